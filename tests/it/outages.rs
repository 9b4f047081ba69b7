//! Journals that cannot be made, databases that begin anew or hang at the end: every answer goes out, and what was seen
//! is in the database once when all is well again. `faults/` has the accidents that are tried by the hundred.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::app::{Running, app, app_config};
use crate::harness::disk::Disk;
use crate::harness::eventually;
use crate::harness::ledger::{self, Findings};
use crate::harness::link::Link;
use crate::harness::load::{self, Load, Outcome};
use crate::harness::postgres::{self, Database};

const PATIENCE: Duration = Duration::from_secs(40);

/// Visitors who open two hundred pages a second, from page `first` on: more would be beyond the cap of new values, and
/// shipped for longer than the test itself takes.
pub(crate) fn visits(proxy: SocketAddr, first: u64) -> Load {
    Load::start(proxy, 8, "visit", first, Duration::from_millis(40))
}

pub(crate) async fn answers(load: &Load, more: usize) {
    let target = load.received() + more;
    eventually("answers", PATIENCE, || async { (load.received() >= target).then_some(()) }).await;
}

/// Waits until each answer that was received is in the database, as long as more come, and judges that no request failed, and that nothing
/// is there twice or otherwise.
pub(crate) async fn nothing_is_lost_or_doubled(outcome: &Outcome, database: &Database) {
    assert!(outcome.failures.is_empty() && outcome.cut == 0, "{outcome:?}");
    let (mut started, mut least) = (Instant::now(), usize::MAX);
    let findings = loop {
        let lost = match compared(outcome, &database.url).await {
            Some(findings) if findings.lost.is_empty() => break findings,
            Some(findings) => findings.lost.len(),
            None => outcome.received.len(),
        };
        if lost < least {
            (started, least) = (Instant::now(), lost);
        }
        assert!(started.elapsed() < PATIENCE, "{lost} of {} answers are lost", outcome.received.len());
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert!(findings.doubled.is_empty() && findings.wrong.is_empty(), "{findings:?}");
}

/// None when the database does not answer.
async fn compared(outcome: &Outcome, database_url: &str) -> Option<Findings> {
    let (client, connection) = tokio_postgres::connect(database_url, tokio_postgres::NoTls).await.ok()?;
    tokio::spawn(connection);
    ledger::compare(&client, "visit", &outcome.received).await.ok()
}

pub(crate) async fn readiness_says(app: &Running, word: &str) {
    eventually(word, PATIENCE, || async { app.ask("/readyz").await.1.contains(word).then_some(()) }).await;
}

pub(crate) async fn is_ready(app: &Running) {
    let started = Instant::now();
    loop {
        let (_, text) = app.ask("/readyz").await;
        if text == "ready\n" {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{text}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_starts_and_serves_without_a_journal_and_records_when_it_can() {
    let database = postgres::migrated().await;
    let upstream = load::shop().await;
    let files = tempfile::tempdir().unwrap();
    let config = app_config(upstream.address(), &database.url, files.path());
    let in_the_way = config.journal.dir.clone();
    std::fs::write(&in_the_way, "a file where a directory belongs").unwrap();
    let app = Running::start(config).await;
    let load = visits(app.proxy, 0);
    answers(&load, 200).await;
    readiness_says(&app, "journal: it takes no records").await;
    let order = json!([{"order_id": "1", "status": "placed", "value": "1.00", "currency": "UAH"}]);
    assert_eq!(app.tell_orders(&order).await.0, 503, "not taken, and said so");
    std::fs::remove_file(&in_the_way).unwrap();
    answers(&load, 200).await;
    is_ready(&app).await;
    nothing_is_lost_or_doubled(&load.stop().await, &database).await;
    assert_eq!(app.tell_orders(&order).await.0, 200);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_under_a_running_process_is_put_back_and_shipped() {
    let database = postgres::migrated().await;
    let upstream = load::shop().await;
    let files = tempfile::tempdir().unwrap();
    let config = app_config(upstream.address(), &database.url, files.path());
    let dir = config.journal.dir.clone();
    let app = Running::start(config).await;
    let load = visits(app.proxy, 0);
    answers(&load, 100).await;
    let run = std::fs::read_dir(&dir).unwrap().next().unwrap().unwrap().path();
    // As who cleans up removes empty files, old files, or all.
    std::fs::remove_file(run.join("lock")).unwrap();
    answers(&load, 100).await;
    std::fs::remove_file(run.join("0000000000.journal")).unwrap();
    answers(&load, 400).await;
    while std::fs::remove_dir_all(&dir).is_err() {} // the lock may be put back meanwhile
    answers(&load, 400).await;
    let order = json!([{"order_id": "1", "status": "placed", "value": "1.00", "currency": "UAH"}]);
    assert_eq!(app.tell_orders(&order).await.0, 200);
    nothing_is_lost_or_doubled(&load.stop().await, &database).await;
    is_ready(&app).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_does_not_wait_for_a_frozen_disk() {
    let Some(disk) = Disk::of_file("16M") else { return };
    let database = postgres::migrated().await;
    let upstream = load::shop().await;
    let files = tempfile::tempdir().unwrap();
    let mut config = app_config(upstream.address(), &database.url, files.path());
    config.journal.dir = disk.path().join("journal");
    let frozen = disk.freeze();
    let started = Instant::now();
    let app = Running::start(config).await;
    let load = visits(app.proxy, 0);
    answers(&load, 100).await;
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    readiness_says(&app, "journal: it takes no records").await;
    drop(frozen);
    is_ready(&app).await;
    nothing_is_lost_or_doubled(&load.stop().await, &database).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_makes_room_for_itself_on_a_full_disk() {
    let Some(disk) = Disk::of_memory("1m") else { return };
    let database = postgres::migrated().await;
    let upstream = load::shop().await;
    let files = tempfile::tempdir().unwrap();
    let mut config = app_config(upstream.address(), &database.url, files.path());
    config.journal.dir = disk.path().join("journal");
    config.journal.segment_bytes = 64 << 10;
    let app = Running::start(config).await;
    let load = visits(app.proxy, 0);
    // Much more than the disk holds, all of it shipped and kept for a restore.
    readiness_says(&app, "journal: it takes no records").await;
    is_ready(&app).await;
    nothing_is_lost_or_doubled(&load.stop().await, &database).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_begins_anew_gets_its_schema_and_everything_again() {
    let database = postgres::migrated().await;
    let upstream = load::shop().await;
    let (app, _files) = app(upstream.address(), &database.url).await;
    let load = visits(app.proxy, 0);
    is_ready(&app).await;
    answers(&load, 300).await;
    let client = database.connect().await;
    eventually("it is emptied", PATIENCE, || async {
        client.batch_execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await.ok()
    })
    .await;
    answers(&load, 100).await;
    nothing_is_lost_or_doubled(&load.stop().await, &database).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_does_not_wait_for_a_database_that_hangs_and_the_next_run_ships() {
    let database = postgres::migrated().await;
    let link = Link::to(&database.url).await;
    let upstream = load::shop().await;
    let files = tempfile::tempdir().unwrap();
    let config = app_config(upstream.address(), link.url(), files.path());
    let hung = Running::start(config.clone()).await;
    let load = visits(hung.proxy, 0);
    is_ready(&hung).await;
    link.freeze();
    answers(&load, 500).await;
    let outcome = load.stop().await;
    let told = Instant::now();
    hung.stop().await;
    assert!(told.elapsed() < Duration::from_secs(15), "{:?}", told.elapsed());
    link.mend();
    let next = Running::start(config).await;
    nothing_is_lost_or_doubled(&outcome, &database).await;
    next.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_in_which_nothing_was_seen_leave_nothing() {
    let database = postgres::migrated().await;
    let upstream = load::shop().await;
    let files = tempfile::tempdir().unwrap();
    let config = app_config(upstream.address(), &database.url, files.path());
    for _ in 0..3 {
        Running::start(config.clone()).await.stop().await;
    }
    let last = Running::start(config.clone()).await;
    eventually("one journal is left", PATIENCE, || async {
        (std::fs::read_dir(&config.journal.dir).unwrap().count() == 1).then_some(())
    })
    .await;
    last.stop().await;
}
