//! The schema changes while others write and read: nothing is lost, and nobody is held up for long.

use std::time::{Duration, Instant};

use refinery_core::Migration;
use utm_dispatcher::store::Store;
use utm_dispatcher::store::migrate::{self, SchemaState, migrations};

use crate::harness::app::{Running, app, app_config};
use crate::harness::link::Link;
use crate::harness::load;
use crate::harness::postgres::{self, Database};
use crate::harness::program::Program;
use crate::harness::{DEADLINE, eventually};
use crate::outages::{answers, is_ready, nothing_is_lost_or_doubled, readiness_says, visits};

/// Longest time that a migration may hold anybody up: it waits two seconds for a lock.
const HELD_UP: Duration = Duration::from_millis(3_500);

/// Somebody reads a table, for as long as the connection lives.
async fn long_report(database: &Database, table: &str) -> tokio_postgres::Client {
    let client = database.connect().await;
    client.batch_execute(&format!("BEGIN; SELECT FROM {table} LIMIT 1")).await.unwrap();
    client
}

/// This binary plays the previous one: the migration that runs beside it is one it does not know.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_beside_writers_loses_nothing_and_holds_nobody_up() {
    let database = postgres::database().await;
    let upstream = load::shop().await;
    let (app, files) = app(upstream.address(), &database.url).await;
    is_ready(&app).await;
    let load = visits(app.proxy, 0);
    answers(&load, 200).await;
    let mut next = migrations();
    let sql = "ALTER TABLE sessions ADD COLUMN later integer;
               CREATE INDEX events_later ON events (kind_id);
               ALTER TABLE journal_checkpoint ADD COLUMN later text;
               CREATE TABLE quite_new (x integer PRIMARY KEY)";
    next.push(Migration::unapplied("V9000__later", sql).unwrap());
    let report = long_report(&database, "sessions").await;
    let migrating: Vec<_> = (0..3)
        .map(|_| {
            let (store, next) = (database.store(), next.clone());
            tokio::spawn(async move { migrate::bring_to(&store, &next).await.unwrap() })
        })
        .collect();
    let (began, mut worst) = (Instant::now(), Duration::ZERO);
    while began.elapsed() < Duration::from_secs(7) {
        let asked = Instant::now();
        assert!(app.report("general-stats").await.is_some());
        worst = worst.max(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(worst < HELD_UP, "{worst:?}");
    assert!(migrating.iter().all(|one| !one.is_finished()), "somebody still reads");
    drop(report);
    for one in migrating {
        assert_eq!(one.await.unwrap(), SchemaState::Current);
    }
    answers(&load, 200).await;
    nothing_is_lost_or_doubled(&load.stop().await, &database).await;
    is_ready(&app).await;
    app.stop().await;

    // Started again, it leaves shipping to those who know the schema, and forwards.
    let config = app_config(upstream.address(), &database.url, files.path());
    let old = Running::start(config).await;
    let load = visits(old.proxy, 1_000_000);
    answers(&load, 100).await;
    readiness_says(&old, "schema: the database's is version 9000").await;
    let outcome = load.stop().await;
    let client = database.connect().await;
    client.batch_execute("DELETE FROM refinery_schema_history WHERE version = 9000").await.unwrap();
    nothing_is_lost_or_doubled(&outcome, &database).await;
    is_ready(&old).await;
    old.stop().await;
}

/// The statement by which version 2 moved a checkpoint.
const OLD_CHECKPOINT: &str =
    "UPDATE journal_checkpoint SET segment = 0, \"offset\" = \"offset\" + 1, hits = hits + 1
                              WHERE journal = '00000000-0000-0000-0000-000000000001'";

#[tokio::test]
async fn months_that_are_there_are_filled_as_those_that_are_made_then() {
    let database = postgres::database().await;
    let before: Vec<Migration> = migrations().into_iter().filter(|one| one.version() < 44).collect();
    migrate::bring_to(&database.store(), &before).await.unwrap();
    let client = database.connect().await;
    client.batch_execute("SELECT make_partition('sessions', '2026-10-01')").await.unwrap();
    migrate::migrate(&database.store()).await.unwrap();
    client.batch_execute("SELECT make_partition('sessions', '2026-11-01')").await.unwrap();
    let filled =
        "SELECT string_agg(relname || array_to_string(reloptions, ','), ' ' ORDER BY relname) FROM pg_class
                  WHERE relname LIKE 'sessions_2026___' AND relkind = 'r'";
    let filled: String = client.query_one(filled, &[]).await.unwrap().get(0);
    assert_eq!(filled, "sessions_2026_10fillfactor=75 sessions_2026_11fillfactor=75");
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_that_a_database_does_not_know_are_told() {
    let upstream = load::shop().await;
    for (encoding, said) in [
        ("LATIN1", "its encoding must be UTF8"),
        ("UTF8", "the database does not know small and capital letters as this program does"),
    ] {
        let database = postgres::database_in_c(encoding).await;
        let files = tempfile::tempdir().unwrap();
        let mut program = Program::new(upstream.address(), &database.url, files.path());
        program.start().await;
        eventually(said, DEADLINE, || async { program.log().contains(said).then_some(()) }).await;
        assert!(program.terminate().await.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_schema_stops_the_shipper_alone_until_somebody_migrates() {
    let database = postgres::database().await;
    let old: Vec<_> = migrations().into_iter().filter(|migration| migration.version() <= 2).collect();
    assert_eq!(migrate::bring_to(&database.store(), &old).await.unwrap(), SchemaState::Current);
    let upstream = load::shop().await;
    let files = tempfile::tempdir().unwrap();
    let mut config = app_config(upstream.address(), &database.url, files.path());
    config.database.auto_migrate = false;
    let app = Running::start(config).await;
    let load = visits(app.proxy, 0);
    answers(&load, 100).await;
    readiness_says(&app, "schema: the database's is version 2, this program needs").await;
    assert_eq!(app.ask("/readyz").await.0, 200);

    let client = database.connect().await;
    let row = "INSERT INTO journal_checkpoint VALUES ('00000000-0000-0000-0000-000000000001', 0, 0)";
    client.batch_execute(row).await.unwrap();
    let report = long_report(&database, "journal_checkpoint").await;
    let store = database.store();
    let migrating = tokio::spawn(async move { migrate::migrate(&store).await.unwrap() });
    let (began, mut worst, mut writes) = (Instant::now(), Duration::ZERO, 0_i64);
    let mut report = Some(report);
    while !migrating.is_finished() {
        let begun = Instant::now();
        assert_eq!(client.execute(OLD_CHECKPOINT, &[]).await.unwrap(), 1);
        worst = worst.max(begun.elapsed());
        writes += 1;
        if began.elapsed() > Duration::from_secs(4) {
            drop(report.take());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(report.is_none(), "it waited for the report");
    assert!(worst < HELD_UP, "{worst:?}");
    assert_eq!(migrating.await.unwrap(), SchemaState::Current);
    let hits = client
        .query_one("SELECT hits FROM journal_checkpoint WHERE segment = 0 AND journal::text LIKE '0%1'", &[]);
    assert_eq!(hits.await.unwrap().get::<_, i64>(0), writes);
    is_ready(&app).await;
    nothing_is_lost_or_doubled(&load.stop().await, &database).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_waits_is_told_and_keeps_nobody_from_ending() {
    let database = postgres::database().await;
    let old: Vec<_> = migrations().into_iter().filter(|migration| migration.version() <= 2).collect();
    assert_eq!(migrate::bring_to(&database.store(), &old).await.unwrap(), SchemaState::Current);
    let upstream = load::shop().await;
    let _report = long_report(&database, "journal_checkpoint").await;
    let files = tempfile::tempdir().unwrap();
    let app = Running::start(app_config(upstream.address(), &database.url, files.path())).await;
    readiness_says(&app, "schema: migration V3__roles waits for a transaction that uses its tables").await;
    let asked = Instant::now();
    app.stop().await;
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_cut_off_while_migrating_holds_nobody_up() {
    let database = postgres::migrated().await;
    let link = Link::to(&database.url).await;
    let mut next = migrations();
    let sql = "ALTER TABLE sites ADD COLUMN later integer; SELECT pg_sleep(1)";
    next.push(Migration::unapplied("V9000__later", sql).unwrap());
    let (cut_off, known) = (Store::new(link.url()).unwrap(), next.clone());
    let frozen = tokio::spawn(async move { migrate::bring_to(&cut_off, &known).await });
    let client = database.connect().await;
    let at_it = "SELECT count(*) FROM pg_stat_activity
                 WHERE wait_event = 'PgSleep' AND datname = current_database()";
    eventually("the migration is under way", DEADLINE, async || {
        (client.query_one(at_it, &[]).await.ok()?.get::<_, i64>(0) > 0).then_some(())
    })
    .await;
    link.freeze();
    let reading = client.batch_execute("SELECT FROM sites");
    tokio::time::timeout(Duration::from_secs(10), reading).await.expect("an answer").unwrap();
    assert_eq!(migrate::bring_to(&database.store(), &next).await.unwrap(), SchemaState::Current);
    frozen.abort();
}
