//! The demonstration shows what it promises, says plainly why it cannot, and leaves nothing behind.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::harness::{eventually, free_address, skip};

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_utm-dispatcher"));
    command.arg("demo").args(arguments).stdin(Stdio::null());
    command
}

#[test]
fn an_order_is_credited_to_its_campaign() {
    let output = demo(&["--smoke"]).output().expect("the demonstration runs");
    let (said, complaints) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{complaints}");
    for part in
        ["source=facebook", "campaign=smoke_test", "device_type=mobile", "orders=1", "revenue=2479.00"]
    {
        assert!(said.contains(part), "no {part} in\n{said}");
    }
}

#[test]
fn a_taken_port_is_said_plainly() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("its address").port().to_string();
    for option in ["--port", "--stats-port"] {
        let other = if option == "--port" { "--stats-port" } else { "--port" };
        let output = demo(&[option, &port, other, &free_address().port().to_string()])
            .output()
            .expect("the demonstration runs");
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{complaints}");
        assert!(complaints.contains(&port) && complaints.contains(option), "{complaints}");
    }
}

#[tokio::test]
async fn the_past_is_shown_and_a_kill_takes_the_database_along() {
    if std::env::var_os("DATABASE_URL").is_some_and(|url| !url.is_empty()) {
        return skip("DATABASE_URL is set, so the demonstration has no Postgres of its own");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (port, stats) = (free_address().port(), free_address().port());
    let mut command =
        demo(&["--no-visitors", "--port", &port.to_string(), "--stats-port", &stats.to_string()]);
    let running =
        Running(command.env("TMPDIR", folder.path()).stdout(Stdio::null()).spawn().expect("it starts"));

    let report = format!("http://127.0.0.1:{stats}/api/v1/general-stats?period=90d");
    let sessions = eventually("the past is shipped", Duration::from_secs(240), async || {
        let answer = reqwest::get(&report).await.ok()?.json::<serde_json::Value>().await.ok()?;
        let results = &answer["results"];
        let orders = results["total_orders"].as_u64().filter(|orders| *orders > 50)?;
        results["total_sessions"].as_u64().filter(|sessions| *sessions > 10 * orders)
    })
    .await;
    assert!(sessions > 2000, "{sessions} sessions in 90 days");

    let state =
        fs::read_dir(folder.path()).expect("the folder").next().expect("its state").expect("its state");
    let home = Path::new("/tmp").join(format!("{}-postgres", state.file_name().to_string_lossy()));
    assert!(home.exists(), "{}", home.display());
    drop(running);
    eventually("the database ends", Duration::from_secs(30), async || (!home.exists()).then_some(())).await;
}

/// Killed when dropped, as by the kernel when memory runs out.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
