//! The program refreshes by itself, and whatever becomes of it meanwhile, nothing is wrong.

use jiff::Timestamp;
use utm_dispatcher::store::migrate::{self, SchemaState, migrations};
use utm_dispatcher::store::rollups::refresh;

use super::{at, count, held_refreshes, is_held};
use crate::harness::app::{Running, app_config};
use crate::harness::load;
use crate::harness::postgres::{self, Database};
use crate::harness::program::Program;
use crate::harness::{DEADLINE, eventually};
use crate::stats::seed::{Seed, Visit};

/// Hours with marks: several migrations mark those of the past.
const MARKED: &str = "(SELECT DISTINCT session_hour FROM dirty_hours) hours";

/// A database as a version before rollups left it, with sessions.
async fn with_a_past() -> Database {
    let database = postgres::database().await;
    let old: Vec<_> = migrations().into_iter().filter(|migration| migration.version() <= 3).collect();
    assert_eq!(migrate::bring_to(&database.store(), &old).await.unwrap(), SchemaState::Current);
    let seed = Seed { client: database.connect().await, database: postgres::database().await };
    for month in ["2026-02-01", "2026-05-01"] {
        seed.client.batch_execute(&format!("SELECT make_partition('sessions', '{month}')")).await.unwrap();
    }
    for day in ["2026-02-03T23:59:00Z", "2026-02-28T00:00:00Z", "2026-05-01T10:00:00Z"] {
        seed.visit(&Visit { at: at(day), ..Visit::default() }).await;
    }
    database
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_sums_up_the_past_by_itself_after_an_upgrade() {
    let database = with_a_past().await;
    let upstream = load::shop().await;
    let files = tempfile::tempdir().unwrap();
    let app = Running::start(app_config(upstream.address(), &database.url, files.path())).await;
    let client = database.connect().await;
    eventually("the past is summed up", DEADLINE, async || {
        let sum = "SELECT coalesce(sum(sessions), 0)::bigint FROM session_days";
        (client.query_one(sum, &[]).await.ok()?.get::<_, i64>(0) == 3).then_some(())
    })
    .await;
    let days: i64 =
        client.query_one("SELECT count(DISTINCT session_day) FROM session_days", &[]).await.unwrap().get(0);
    assert_eq!((days, count(&client, "dirty_hours").await), (3, 0));
    let general = app.report("general-stats?period=all_time").await.unwrap();
    assert_eq!(general["results"]["total_sessions"], 3);
    eventually("the metrics say so", DEADLINE, async || {
        let metrics = app.ask("/metrics").await.1;
        let says = |line: &str| metrics.lines().any(|known| known == line);
        (says("utm_dispatcher_rollup_hours_total 72") && says("utm_dispatcher_rollup_hours_waiting 0"))
            .then_some(())
    })
    .await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_in_the_midst_of_a_refresh_changes_nothing() {
    let database = with_a_past().await;
    migrate::migrate(&database.store()).await.unwrap();
    let client = database.connect().await;
    let holder = held_refreshes(&database).await;
    let upstream = load::shop().await;
    let files = tempfile::tempdir().unwrap();
    let mut program = Program::new(upstream.address(), &database.url, files.path());
    program.start().await;
    is_held(&client).await;
    program.kill();
    holder.batch_execute("ROLLBACK").await.unwrap();
    eventually("the lock is free", DEADLINE, async || {
        refresh(&database.store(), Timestamp::UNIX_EPOCH).await.unwrap()
    })
    .await;
    assert_eq!((count(&client, MARKED).await, count(&client, "session_quarters").await), (72, 0));
    program.start().await;
    eventually("all is summed up", DEADLINE, async || {
        (count(&client, "dirty_hours").await == 0).then_some(())
    })
    .await;
    let sums = "SELECT (SELECT sum(sessions) FROM session_days)::bigint, (SELECT sum(sessions) FROM session_quarters)::bigint";
    let row = client.query_one(sums, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (3, 3));
    assert!(program.terminate().await.success(), "{}", program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_fails_says_so_once_and_reports_go_on() {
    let database = with_a_past().await;
    migrate::migrate(&database.store()).await.unwrap();
    let client = database.connect().await;
    client.batch_execute("ALTER TABLE session_days ADD CONSTRAINT never CHECK (false)").await.unwrap();
    let upstream = load::shop().await;
    let files = tempfile::tempdir().unwrap();
    let mut program = Program::new(upstream.address(), &database.url, files.path());
    program.start().await;
    eventually("a warning", DEADLINE, async || {
        program.log().contains("rollups cannot be refreshed").then_some(())
    })
    .await;
    assert_eq!(count(&client, MARKED).await, 72, "what failed is as before");
    assert!(program.terminate().await.success(), "{}", program.log());
}
