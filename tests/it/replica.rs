//! Reports are read from a replica, and say how far it is.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use utm_dispatcher::config::DatabaseUrl;
use utm_dispatcher::stats::database::{DatabaseError, ReportDatabase};

use crate::harness::app::{Running, app_config};
use crate::harness::load::{self, BROWSER};
use crate::harness::postgres::{DedicatedPostgres, connect};
use crate::harness::{DEADLINE, Upstream, eventually};
use crate::outages::{is_ready, readiness_says};

async fn visit(app: &Running, times: usize) {
    let mut client = app.connect().await;
    for _ in 0..times {
        client.send(format!("GET /?utm_source=facebook HTTP/1.1\r\n{BROWSER}\r\n")).await;
        assert_eq!(client.answer().await.status(), 200);
    }
}

async fn report_when(app: &Running, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    eventually(what, DEADLINE, async || app.report("general-stats").await.filter(&fits)).await
}

fn has_page_views(count: u64) -> impl Fn(&Value) -> bool {
    move |report| report.pointer("/results/page_views") == Some(&json!(count))
}

fn is_behind(report: &Value) -> bool {
    report["meta"]["warnings"][0].as_str().is_some_and(|warning| warning.contains("seconds behind"))
}

/// A program that writes to the primary and reads reports from the replica, with its shop and its files.
async fn reading(replica: &DedicatedPostgres, primary: &DedicatedPostgres) -> (Running, Upstream, TempDir) {
    let upstream = load::shop().await;
    let files = tempfile::tempdir().unwrap();
    let mut config = app_config(upstream.address(), &primary.url(), files.path());
    config.stats.database_url = Some(DatabaseUrl(replica.url()));
    (Running::start(config).await, upstream, files)
}

fn data_through(report: &Value) -> &str {
    report.pointer("/meta/data_through").and_then(Value::as_str).expect("how far the data reaches")
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_come_from_the_replica_and_say_how_far_it_is() {
    let Some(primary) = DedicatedPostgres::start().await else { return };
    let mut replica = primary.replica().await;
    let (app, _shop, _files) = reading(&replica, &primary).await;
    visit(&app, 3).await;
    let first = report_when(&app, "three page views", has_page_views(3)).await;
    assert_eq!(first.pointer("/meta/warnings"), Some(&json!([])), "{first:#}");
    is_ready(&app).await;

    // What is shipped does not reach a replica that stands still, and no answer says that it did.
    let following = connect(&replica.url()).await;
    following.batch_execute("SELECT pg_wal_replay_pause()").await.unwrap();
    visit(&app, 2).await;
    let writing = connect(&primary.url()).await;
    eventually("all is shipped", DEADLINE, async || {
        let shipped = writing.query_one("SELECT count(*) FROM events", &[]).await.ok()?;
        (shipped.get::<_, i64>(0) == 5).then_some(())
    })
    .await;
    let lagging = report_when(&app, "a lag that is told", is_behind).await;
    assert!(has_page_views(3)(&lagging), "{lagging:#}");
    assert_eq!(data_through(&lagging), data_through(&first));
    following.batch_execute("SELECT pg_wal_replay_resume()").await.unwrap();
    let caught_up = report_when(&app, "five page views", has_page_views(5)).await;
    assert_ne!(data_through(&caught_up), data_through(&first));

    // The shop, its orders and the tokens do not need the replica.
    replica.stop().await;
    assert_eq!(app.ask("/api/v1/general-stats").await.0, 503);
    readiness_says(&app, "replica: ").await;
    visit(&app, 1).await;
    let order = json!([{"order_id": "1", "status": "placed", "value": "1.00", "currency": "UAH"}]);
    assert_eq!(app.tell_orders(&order).await.0, 200);
    replica.restart().await;
    report_when(&app, "six page views", has_page_views(6)).await;
    is_ready(&app).await;
    app.stop().await;
}

/// After a failover that only half of the configuration followed.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_promoted_and_stands_still_says_so() {
    let Some(primary) = DedicatedPostgres::start().await else { return };
    let replica = primary.replica().await;
    let (app, _shop, _files) = reading(&replica, &primary).await;
    visit(&app, 1).await;
    report_when(&app, "a page view", has_page_views(1)).await;
    connect(&replica.url()).await.batch_execute("SELECT pg_promote()").await.unwrap();
    let alone = report_when(&app, "it answers alone", has_page_views(1)).await;
    assert_eq!(alone.pointer("/meta/warnings"), Some(&json!([])), "it has all: {alone:#}");
    tokio::time::sleep(Duration::from_secs(6)).await;
    visit(&app, 1).await;
    let strayed = report_when(&app, "what it lacks is told", is_behind).await;
    assert!(has_page_views(1)(&strayed), "{strayed:#}");
    app.stop().await;
}

/// A replica that has applied nothing since it started does not know how far it is behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_lost_its_primary_says_so_after_a_restart_too() {
    let Some(mut primary) = DedicatedPostgres::start().await else { return };
    let mut replica = primary.replica().await;
    let (app, _shop, _files) = reading(&replica, &primary).await;
    visit(&app, 1).await;
    report_when(&app, "a page view", has_page_views(1)).await;
    let (writing, following) = (connect(&primary.url()).await, connect(&replica.url()).await);
    writing.batch_execute("CHECKPOINT").await.unwrap();
    eventually("all is followed", DEADLINE, async || {
        let sent = writing.query_one("SELECT pg_current_wal_lsn()::text", &[]).await.unwrap();
        let follows = "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn";
        let row = following.query_one(follows, &[&sent.get::<_, &str>(0)]).await.unwrap();
        row.get::<_, bool>(0).then_some(())
    })
    .await;
    primary.stop().await;
    following.batch_execute("CHECKPOINT").await.unwrap();
    replica.stop().await;
    replica.restart().await;
    let lagging = report_when(&app, "a lag that is told", is_behind).await;
    assert!(has_page_views(1)(&lagging), "{lagging:#}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_nothing_of_an_interruption_by_the_replica() {
    let Some(primary) = DedicatedPostgres::start().await else { return };
    let replica = primary.replica().await;
    let (app, _shop, _files) = reading(&replica, &primary).await;
    visit(&app, 1).await;
    report_when(&app, "a page view", has_page_views(1)).await;

    // A report that takes its time, and reads orders.
    const SLOW: &str = "orders";
    let writing = connect(&primary.url()).await;
    let definition = "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname = 'report_credits'";
    let definition: String = writing.query_one(definition, &[]).await.unwrap().get(0);
    let slow =
        definition.replace("WHERE (site_names", "WHERE (SELECT pg_sleep(1) IS NOT NULL) AND (site_names");
    assert_ne!(slow, definition);
    writing.batch_execute(&slow).await.unwrap();
    let following = connect(&replica.url()).await;
    eventually("the slow report", DEADLINE, async || {
        let asked = Instant::now();
        assert!(app.report(SLOW).await.is_some());
        (asked.elapsed() > Duration::from_secs(1)).then_some(())
    })
    .await;
    let interrupt = async || {
        let runs =
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND pid <> pg_backend_pid()";
        eventually("the report runs", DEADLINE, async || {
            (following.query_one(runs, &[]).await.ok()?.get::<_, i64>(0) > 0).then_some(())
        })
        .await;
        let lock = "BEGIN; LOCK orders; UPDATE sites SET name = name; COMMIT";
        eventually("a lock", DEADLINE, async || writing.batch_execute(lock).await.ok()).await;
    };
    let (report, ()) = tokio::join!(app.report(SLOW), interrupt());
    let conflicts = "SELECT sum(confl_lock + confl_snapshot)::bigint FROM pg_stat_database_conflicts";
    eventually("a conflict is counted", DEADLINE, async || {
        (following.query_one(conflicts, &[]).await.ok()?.get::<_, i64>(0) > 0).then_some(())
    })
    .await;
    assert_eq!(report.expect("a report")["meta"]["totals"]["orders"], 0);

    // Nor of a connection that ends.
    let end = async || {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        eventually("the report runs", DEADLINE, async || {
            (!following.query(end, &[]).await.ok()?.is_empty()).then_some(())
        })
        .await;
    };
    let (report, ()) = tokio::join!(app.report(SLOW), end());
    assert_eq!(report.expect("a report")["meta"]["totals"]["orders"], 0);
    app.stop().await;
}

/// A replica ends what reads that which its primary has locked or cleaned up.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_the_replica_interrupts_may_be_asked_again() {
    let Some(primary) = DedicatedPostgres::start().await else { return };
    let replica = primary.replica().await;
    let writing = connect(&primary.url()).await;
    writing.batch_execute("CREATE TABLE noted (x integer); INSERT INTO noted VALUES (1)").await.unwrap();
    let reports = ReportDatabase::new(&replica.url(), 2, Duration::from_secs(30)).unwrap();
    eventually("the table is there", DEADLINE, async || {
        reports.snapshot().await.ok()?.rows("SELECT x FROM noted", &[]).await.ok()
    })
    .await;
    let snapshot = reports.snapshot().await.unwrap();
    let asked = Instant::now();
    let question =
        tokio::spawn(async move { snapshot.rows("SELECT pg_sleep(25) FROM noted", &[]).await.map(|_| ()) });
    let outcome = eventually("an interruption", DEADLINE, async || {
        writing.batch_execute("BEGIN; LOCK noted; INSERT INTO noted VALUES (2); COMMIT").await.unwrap();
        question.is_finished().then_some(())
    });
    outcome.await;
    assert_eq!(question.await.unwrap(), Err(DatabaseError::Interrupted));
    assert!(asked.elapsed() < Duration::from_secs(20));
    assert!(reports.snapshot().await.unwrap().rows("SELECT x FROM noted", &[]).await.is_ok());
}
