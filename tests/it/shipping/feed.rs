//! New hits reach the database in seconds, whatever else waits: the journal of an earlier run, or a flood of user agents.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use utm_dispatcher::config::Fsync;
use utm_dispatcher::ingest::Receipts;
use utm_dispatcher::journal::directory::RunDirectory;
use utm_dispatcher::journal::frame::{Header, append};
use utm_dispatcher::journal::reader::segment_path;
use utm_dispatcher::journal::writer::{Batch as Frames, Writer, WriterConfig};
use utm_dispatcher::ship::enrich::Agent;
use utm_dispatcher::ship::feed::{Feed, FeedConfig};
use utm_dispatcher::telemetry::metrics::Metrics;

use super::*;
use crate::harness::{DEADLINE, eventually, postgres};

/// A feed with a journal of its own.
struct Fed {
    writer: Writer,
    closed: CancellationToken,
    metrics: Arc<Metrics>,
    _journals: TempDir,
}

impl Fed {
    /// Ships what lies in `journals`, and `first` in the own journal.
    async fn start(journals: TempDir, shipper: Shipper, first: &[Record<'_>]) -> Self {
        let metrics = Arc::new(Metrics::default());
        let journal_dir = journals.path().to_owned();
        let (segment_bytes, max_bytes) = (64 << 20, 1 << 30);
        let config =
            WriterConfig { journal_dir: journal_dir.clone(), fsync: Fsync::Never, segment_bytes, max_bytes };
        let writer = Writer::start(config, Arc::clone(&metrics)).unwrap();
        let closed = CancellationToken::new();
        let fed = Fed { writer, closed, metrics: Arc::clone(&metrics), _journals: journals };
        fed.write(first).await;
        let config = FeedConfig {
            journal_dir,
            keep: Duration::ZERO,
            max_bytes,
            batch_bytes: 4 << 20,
            halving: Duration::ZERO,
        };
        let progress = Arc::clone(&fed.writer.progress);
        let mut feed = Feed::new(config, shipper, progress, Arc::new(Receipts::default()), metrics);
        feed.take_stock_when_due();
        tokio::spawn(feed.run(fed.closed.clone()));
        fed
    }

    async fn write(&self, records: &[Record<'_>]) {
        let mut frames = Vec::new();
        for record in records {
            append(record, &mut frames).unwrap();
        }
        let (ack, written) = oneshot::channel();
        self.writer.batches.send(Frames { frames, durable: false, format: 1, ack }).unwrap();
        written.await.unwrap();
    }
}

impl Drop for Fed {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

fn leave_journal(journals: &Path, records: impl Iterator<Item = Record<'static>>) -> Uuid {
    let directory = RunDirectory::create(journals).unwrap();
    let header = Header { format: 1, journal: directory.journal, segment: 0, created_ms: TEN };
    let mut bytes = header.encode().to_vec();
    records.for_each(|record| append(&record, &mut bytes).unwrap());
    std::fs::write(segment_path(&directory.path, 0), bytes).unwrap();
    directory.journal
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_hit_does_not_wait_for_the_backlog_of_an_earlier_run() {
    let database = postgres::migrated().await;
    let client = database.connect().await;
    let journals = tempfile::tempdir().unwrap();
    const BACKLOG: i64 = 60_000;
    let long = "/long".repeat(40);
    let old = (0..BACKLOG).map(|number| {
        let at_ms = TEN + u64::try_from(number).unwrap();
        hit(Hit {
            path: long.clone().into(),
            ..page_view(identity(u8::try_from(number % 200).unwrap(), 1, TEN), at_ms)
        })
    });
    let backlog = leave_journal(journals.path(), old);
    let new = hit(page_view(identity(250, 1, TEN), TEN + 600_000));
    let _fed = Fed::start(journals, shipper(&database), &[new]).await;
    let sql = "SELECT EXISTS (SELECT FROM visitors WHERE visitor_id = $1),
                      coalesce((SELECT hits FROM journal_checkpoint WHERE journal = $2), 0)";
    let newcomer = identity(250, 1, TEN).visitor_id;
    let shipped = eventually("the new hit is there", Duration::from_secs(60), async || {
        let row = client.query_one(sql, &[&newcomer, &backlog]).await.unwrap();
        row.get::<_, bool>(0).then(|| row.get::<_, i64>(1))
    })
    .await;
    // Two batches, and what was shipped between two looks.
    assert!(shipped > 0, "the backlog has its share, too");
    assert!(shipped <= BACKLOG / 2, "{shipped} of the backlog went before");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_written_is_unshipped_while_the_next_is_read() {
    let database = postgres::migrated().await;
    let client = database.connect().await;
    let journals = tempfile::tempdir().unwrap();
    let long = "/long".repeat(40);
    // More than half of a batch, and less than a whole one: it is looked for more, and nothing is found.
    let old = (0..11_000)
        .map(|number| hit(Hit { path: long.clone().into(), ..page_view(identity(1, 1, TEN), TEN + number) }));
    leave_journal(journals.path(), old);
    client.batch_execute("BEGIN; LOCK TABLE visitors IN EXCLUSIVE MODE").await.unwrap();
    let fed = Fed::start(journals, shipper(&database), &[]).await;
    let waits = "SELECT EXISTS (SELECT FROM pg_locks
                                WHERE relation = 'visitors'::regclass AND NOT granted
                                  AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";
    eventually("the batch waits for the table", DEADLINE, async || {
        (value(&client, waits).await.unwrap() == "true").then_some(())
    })
    .await;
    assert_eq!(fed.metrics.state.oldest_unshipped_ms.load(Ordering::Relaxed), TEN);
    client.batch_execute("ROLLBACK").await.unwrap();
    eventually("nothing waits", DEADLINE, async || {
        (fed.metrics.state.oldest_unshipped_ms.load(Ordering::Relaxed) == 0).then_some(())
    })
    .await;
    assert_eq!(fed.metrics.records_shipped.get(), 11_000);
}

/// Halving is left off after each part here.
#[tokio::test(flavor = "multi_thread")]
async fn records_that_cannot_be_stored_are_all_found_and_no_other_is_lost() {
    let database = postgres::migrated().await;
    let client = database.connect().await;
    let odd = |number: u64| number.is_multiple_of(40) || (200..220).contains(&number);
    let records: Vec<_> = (0..400)
        .map(|number| {
            let path = if odd(number) { "/nul\0" } else { "/" };
            hit(Hit { path: path.into(), ..page_view(identity(1, 1, TEN), TEN + number) })
        })
        .collect();
    let set_aside = (0..400).filter(|number| odd(*number)).count() as u64;
    let fed = Fed::start(TempDir::new().unwrap(), shipper(&database), &records).await;
    let counted = || async {
        let metrics = &fed.metrics;
        let counts = (metrics.records_shipped.get(), metrics.records_quarantined.get());
        (counts == (400 - set_aside, set_aside)).then_some(())
    };
    eventually("all are dealt with", 3 * DEADLINE, counted).await;
    assert_eq!(value(&client, "SELECT page_views FROM sessions").await, Some((400 - set_aside).to_string()));
    assert_eq!(value(&client, "SELECT count(*) FROM quarantine").await, Some(set_aside.to_string()));
}

fn agent(number: usize) -> String {
    let android = format!("Linux; Android 12; SM-X{number}");
    let windows = format!("Windows NT 10.0; Win64; x64; build {number}");
    let system = if number.is_multiple_of(2) { android } else { windows };
    format!(
        "Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{number}.0.0.0 Safari/537.36"
    )
}

/// UTM_DISPATCHER_TEST_AGENTS asks for more of them.
fn flood() -> usize {
    std::env::var("UTM_DISPATCHER_TEST_AGENTS").map_or(1_500, |number| number.parse().unwrap())
}

fn hits_of_agents() -> Vec<Record<'static>> {
    (0..flood())
        .map(|number| {
            hit(Hit {
                user_agent: agent(number).into(),
                ..page_view(identity(1, 1, TEN), TEN + number as u64)
            })
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_user_agents_holds_nothing_up_and_all_are_read() {
    let database = postgres::migrated().await;
    let client = database.connect().await;
    let fed = Fed::start(tempfile::tempdir().unwrap(), shipper(&database), &hits_of_agents()).await;
    let is_there = "SELECT EXISTS (SELECT FROM events WHERE at = $1)";
    let unread = "SELECT count(*) FROM agents WHERE NOT is_read";
    let mut slowest = Duration::ZERO;
    let mut minute = 60;
    while value(&client, unread).await.unwrap() != "0" || minute < 63 {
        minute += 1;
        let at_ms = TEN + minute * MINUTE;
        let begun = Instant::now();
        fed.write(&[hit(page_view(identity(2, 1, TEN), at_ms))]).await;
        let at = jiff::Timestamp::from_millisecond(at_ms.cast_signed()).unwrap();
        eventually("a hit beside the flood is there", Duration::from_secs(60), async || {
            client.query_one(is_there, &[&at]).await.unwrap().get::<_, bool>(0).then_some(())
        })
        .await;
        slowest = slowest.max(begun.elapsed());
    }
    println!("slowest hit beside {} fresh agents: {slowest:?}", flood());
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    let rows = client
        .query(
            "SELECT user_agent, device_type, device_brand, device_model, os_name, os_version, browser_name,
                    browser_version FROM agents WHERE agent_id <> 0",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(rows.len(), flood() + 1);
    for row in rows.iter().step_by(rows.len() / 200) {
        let stored = Agent {
            device_type: match row.get(1) {
                "tablet" => "tablet",
                "desktop" => "desktop",
                other => panic!("{other}"),
            },
            device_brand: row.get(2),
            device_model: row.get(3),
            os_name: row.get(4),
            os_version: row.get(5),
            browser_name: row.get(6),
            browser_version: row.get(7),
        };
        assert_eq!(stored, Agent::of(row.get(0), ""));
    }
}

#[tokio::test]
async fn user_agents_beyond_the_cap_are_not_read_and_others_are_read_by_whoever_comes() {
    let database = postgres::migrated().await;
    let client = database.connect().await;
    let capped = ShipSettings { new_values_per_day: 5, ..settings() };
    let mut one = Shipper::new(database.store(), capped);
    let mut journal = Journal::new();
    one.checkpoints(&[journal.id]).await.unwrap();
    one.ship(journal.batch(&hits_of_agents()[..100])).await.unwrap();
    assert_eq!(value(&client, "SELECT count(*) FROM agents WHERE agent_id <> 0").await.unwrap(), "5");
    assert_eq!(value(&client, "SELECT count(DISTINCT device_type) FROM agents").await.unwrap(), "1");
    // It ended before it read them.
    drop(one);
    let mut other = shipper(&database);
    while other.read_agents().await.unwrap() {}
    assert_eq!(value(&client, "SELECT count(*) FROM agents WHERE NOT is_read").await.unwrap(), "0");
    assert_eq!(
        value(&client, "SELECT count(*) FROM agents WHERE device_type <> 'unknown'").await.unwrap(),
        "5"
    );
}
