//! Thousands of odd questions, made up from `/openapi.json` by Schemathesis: `./dev api`.

use std::process::{Command, Stdio};

use super::reports::shop_with_carts;
use crate::harness::program::Program;
use crate::harness::{DEADLINE, Reply, Upstream, eventually};

/// Seconds after which no more is asked, whatever is left.
const LONGEST: &str = "240";

/// What changes the shop's records, and what waits for something to happen, is asked elsewhere.
const ASKED: &str = "^/(?!api/v1/(realtime|inspect))";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes and needs Schemathesis: ./dev api"]
async fn no_question_gets_an_answer_that_is_not_documented() {
    let (seed, _) = shop_with_carts().await;
    let shop = Upstream::start(|_| Reply::ok("shop")).await;
    let files = tempfile::tempdir().unwrap();
    let mut program = Program::new(shop.address(), &seed.database.url, files.path());
    program.start().await;
    eventually("the port answers", DEADLINE, async || {
        program.ask("/api/v1/general-stats").await.filter(|(status, _)| *status == 200)
    })
    .await;
    let checks =
        "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
    let mut command = Command::new(std::env::var("UTM_DISPATCHER_SCHEMATHESIS").unwrap());
    command
        .args(["run", "--no-color", "--checks", checks, "--include-path-regex", ASKED])
        .args(["--phases", "coverage,fuzzing", "--workers", "1", "--seed", "1", "--request-timeout", "20"])
        .args(["--max-examples", &std::env::var("UTM_DISPATCHER_EXAMPLES").unwrap_or_else(|_| "10".into())])
        .args(["--max-time", LONGEST])
        .arg(format!("http://{}/openapi.json", program.stats))
        .current_dir(files.path())
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(program.terminate().await.success(), "{}", program.log());
}
