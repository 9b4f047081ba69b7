//! `tail`, and that nothing personal is where it does not belong.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

use crate::harness::client::Answer;
use crate::harness::load::{self, BROWSER};
use crate::harness::program::Program;
use crate::harness::{Client, eventually, postgres};

const PATIENCE: Duration = Duration::from_secs(30);

/// One request on a connection of its own.
async fn send(program: &Program, request: &str) -> Answer {
    let mut client = Client::connect(program.proxy).await;
    client.send(request.to_owned()).await;
    client.answer().await
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_shows_the_last_requests_and_those_coming() {
    let database = postgres::migrated().await;
    let upstream = load::shop().await;
    let files = tempfile::tempdir().unwrap();
    let mut program = Program::new(upstream.address(), &database.url, files.path());
    program.start().await;
    let mut tail = Command::new(env!("CARGO_BIN_EXE_utm-dispatcher"))
        .args(["tail", "--json", "--me", "-n", "5", "--config"])
        .arg(program.config())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(tail.stdout.take().unwrap());
    let (lines, read) = mpsc::channel();
    std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| lines.send(line)));
    // It is on as soon as it has asked.
    let first = eventually("a line of tail", PATIENCE, || async {
        send(&program, &format!("GET /p/boots?utm_source=x HTTP/1.1\r\n{BROWSER}\r\n")).await;
        read.try_recv().ok()
    })
    .await;
    let note: Value = serde_json::from_str(&first).unwrap();
    assert_eq!((&note["path"], &note["verdict"]), (&Value::from("/p/boots"), &Value::from("page_view")));
    assert_eq!(note["touch"]["source"], "x");
    send(&program, &format!("GET /second HTTP/1.1\r\n{BROWSER}\r\n")).await;
    let mut seen = None;
    while seen.is_none() {
        let line = read.recv_timeout(PATIENCE).expect("the second page is told while it is watched");
        seen = line.contains("/second").then_some(line);
    }
    tail.kill().unwrap();
    tail.wait().unwrap();
    let (status, answer) = program.ask("/api/v1/inspect?verdict=all").await.unwrap();
    assert_eq!(status, 400, "{answer}");
    assert!(program.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_reaches_the_log_or_the_text_of_the_database() {
    const SECRETS: [&str; 8] = [
        "203.0.113.77",
        "5ecretcookie",
        "5ecretquery",
        "5ecretreferrer",
        "4ab1f0a6dc5d1ad5bd0d0c3d7c6e4ff2",
        "olena@example.com",
        "olena%40example.com",
        "5ecrettoken",
    ];
    let database = postgres::migrated().await;
    let upstream = load::shop().await;
    let files = tempfile::tempdir().unwrap();
    let mut program = Program::new(upstream.address(), &database.url, files.path());
    program.edit(|text| {
        let trusting = text.replacen("workers = 2", "workers = 1\ntrusted_proxies = [\"127.0.0.0/8\"]", 1);
        trusting + "\n[log]\nlevel = \"debug\"\n"
    });
    program.start().await;
    let fields = "X-Forwarded-For: 203.0.113.77\r\nCookie: _utmd=5ecretcookie; session=5ecretcookie\r\n\
                  Authorization: Bearer 5ecrettoken\r\nReferer: https://mail.example/?q=5ecretreferrer\r\n";
    for request in [
        format!(
            "GET /reset/4ab1f0a6dc5d1ad5bd0d0c3d7c6e4ff2?t=5ecretquery&utm_source=olena%40example.com HTTP/1.1\r\n{BROWSER}{fields}\r\n"
        ),
        format!("GET /unsubscribe/olena@example.com HTTP/1.1\r\n{BROWSER}{fields}\r\n"),
        // Refused.
        format!("GET /?5ecretquery HTTP/1.1\r\nHost: a\r\nHost: b\r\n{fields}\r\n"),
        format!("GET /?5ecretquery HTTP/1.1\r\n{BROWSER}{fields}Transfer-Encoding: 5ecretquery\r\n\r\n"),
    ] {
        send(&program, &request).await;
    }
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for target in [
        "/api/v1/sessions?source=5ecretquery",
        "/api/v1/nothing?5ecretquery",
        "/api/v1/orders/5ecretquery/explain",
    ] {
        let request = client.get(format!("http://{}{target}", program.stats)).bearer_auth("5ecrettoken");
        let _ = request.send().await.unwrap();
    }
    eventually("both pages are shipped", PATIENCE, || async {
        (program.counter("records_shipped").await? >= 2).then_some(())
    })
    .await;
    assert!(program.terminate().await.success());

    let log = program.log();
    assert!(log.contains("forwarding"), "{log}");
    let client = database.connect().await;
    let tables = client
        .query("SELECT format('%I', relname) FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace", &[])
        .await
        .unwrap();
    assert!(tables.len() > 20);
    for secret in SECRETS {
        assert!(!log.contains(secret), "{secret} is in the log: {log}");
        for table in &tables {
            let table: String = table.get(0);
            let sql = format!("SELECT t::text FROM {table} t WHERE position($1 IN t::text) > 0");
            let rows = client.query(&sql, &[&secret]).await.unwrap();
            assert!(rows.is_empty(), "{secret} is in {table}: {}", rows[0].get::<_, String>(0));
        }
    }
    let kept: i64 = client
        .query_one("SELECT count(*) FROM pages WHERE path IN ('/reset/{token}', '/unsubscribe/{email}')", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(kept, 2, "the pages are there");
}
