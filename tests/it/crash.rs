//! Crashes: every answer that a client received is in the database exactly once.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio_postgres::Client;

use crate::harness::app::app;
use crate::harness::load::Load;
use crate::harness::postgres::{self, DedicatedPostgres};
use crate::harness::program::Program;
use crate::harness::{Reply, Upstream, eventually};

/// How often the proxy is killed.
const ROUNDS: u64 = 20;
const PATIENCE: Duration = Duration::from_secs(60);

/// Page views in the database by path.
async fn page_views(client: &Client) -> HashMap<String, i64> {
    let sql = "SELECT p.path, count(*) FROM events e JOIN pages p USING (page_id) GROUP BY p.path";
    client.query(sql, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Whether the ledger's answers are there, each once. What was not answered may be there, once.
fn judge(received: &HashSet<String>, views: &HashMap<String, i64>) -> (usize, usize) {
    let lost = received.iter().filter(|path| !views.contains_key(*path)).count();
    let doubled = views.values().filter(|count| **count != 1).count();
    (lost, doubled)
}

async fn page_shop() -> Upstream {
    Upstream::start(|_| Reply::with("200 OK", &["Content-Type: text/html"], "<p>page</p>")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_survives_kill_9_of_the_proxy() {
    let database = postgres::database().await;
    let upstream = page_shop().await;
    let files = tempfile::tempdir().unwrap();
    let mut program = Program::new(upstream.address(), &database.url, files.path());
    program.start().await;
    let load = Load::start(program.proxy, 8);
    for round in 0..ROUNDS {
        // At a moment that differs from round to round, but not before this round's process has answered.
        answers(&load, 20).await;
        tokio::time::sleep(Duration::from_micros(round * 7919 % 150_000)).await;
        program.kill();
        program.start().await;
    }
    let outcome = load.stop().await;
    assert!(program.terminate().await.success(), "{}", program.log());

    let client = database.connect().await;
    let (lost, doubled) = judge(&outcome.received, &page_views(&client).await);
    println!("{ROUNDS} kills, {} answers, lost {lost}, doubled {doubled}", outcome.received.len());
    assert_eq!((lost, doubled), (0, 0), "{}", program.log());
    let sessions: i64 =
        client.query_one("SELECT sum(page_views)::bigint FROM sessions", &[]).await.unwrap().get(0);
    let events: i64 = client.query_one("SELECT count(*) FROM events", &[]).await.unwrap().get(0);
    assert_eq!(sessions, events);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_and_no_hit_is_lost_when_postgres_is_killed() {
    let Some(mut server) = DedicatedPostgres::start().await else { return };
    let upstream = page_shop().await;
    let (app, _files) = app(upstream.address(), &server.url()).await;
    let load = Load::start(app.proxy, 8);
    for _ in 0..3 {
        answers(&load, 300).await;
        server.kill().await;
        answers(&load, 300).await;
        server.restart().await;
    }
    let outcome = load.stop().await;
    assert_eq!(outcome.failed, 0);
    let client = postgres::connect(&server.url()).await;
    eventually("everything is shipped", PATIENCE, || async {
        let shipped = client.query_one("SELECT count(*) FROM events", &[]).await.ok()?;
        (shipped.get::<_, i64>(0) >= i64::try_from(outcome.received.len()).unwrap()).then_some(())
    })
    .await;
    let (lost, doubled) = judge(&outcome.received, &page_views(&client).await);
    println!("3 kills of Postgres, {} answers, lost {lost}, doubled {doubled}", outcome.received.len());
    assert_eq!((lost, doubled), (0, 0));
    app.stop().await;
}

/// Waits until so many more answers have been received.
async fn answers(load: &Load, more: usize) {
    let target = load.received() + more;
    eventually("answers", PATIENCE, || async { (load.received() >= target).then_some(()) }).await;
}
