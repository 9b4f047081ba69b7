//! What is old goes, and nothing else: totals, orders and credits stay, nobody waits, and no clock wipes anything.

use std::time::Instant;

use jiff::Timestamp;
use utm_dispatcher::config::Retain;
use utm_dispatcher::store::{Store, StoreError, locks, retention, rollups};
use utm_dispatcher::telemetry::metrics::{Metrics, Table};

use super::*;
use crate::harness::{DEADLINE, eventually, postgres};
use crate::stats::server::Server;

fn ms(text: &str) -> u64 {
    text.parse::<Timestamp>().unwrap().as_millisecond().cast_unsigned()
}

/// A database whose upkeep has seen the clock go on for a week, and a shipper of it.
async fn shop() -> (Database, Client, Shipper, Journal) {
    let database = postgres::migrated().await;
    let client = database.connect().await;
    let watched =
        "INSERT INTO upkeep_clock (seen_at, steady_since) VALUES (now(), now() - interval '8 days')";
    client.batch_execute(watched).await.unwrap();
    let mut shipper = shipper(&database);
    let journal = Journal::new();
    shipper.checkpoints(&[journal.id]).await.unwrap();
    (database, client, shipper, journal)
}

fn landing(visitor: u8, number: u16, at: &str, source: &'static str) -> Record<'static> {
    let at = ms(at);
    hit(Hit { touch: Some(touch(i64::from(number), source)), ..page_view(identity(visitor, number, at), at) })
}

/// One who came over two years and bought, one who never came back, one of today, and somebody in each month since.
fn two_years() -> Vec<Record<'static>> {
    let bought = |visitor, number, at, order| {
        let at = ms(at);
        hit(purchase(identity(visitor, number, at - 5 * MINUTE), at, order, 100))
    };
    let mut records = vec![
        landing(1, 1, "2024-08-31T23:10:00Z", "google"),
        bought(1, 1, "2024-08-31T23:15:00Z", "a"),
        landing(1, 2, "2024-09-10T10:00:00Z", "bing"),
        landing(1, 3, "2024-09-10T20:31:00Z", "google"),
        landing(2, 1, "2024-09-20T10:00:00Z", "facebook"),
        landing(1, 4, "2025-06-10T10:00:00Z", "google"),
        bought(1, 4, "2025-06-10T10:05:00Z", "b"),
        landing(1, 5, "2025-11-10T10:00:00Z", "google"),
        bought(1, 5, "2025-11-10T10:05:00Z", "c"),
        landing(3, 1, "2026-11-22T10:00:00Z", "google"),
    ];
    let months =
        ["2025-12"].into_iter().map(str::to_owned).chain((1..11).map(|month| format!("2026-{month:02}")));
    records.extend(
        (1..).zip(months).map(|(number, month)| landing(6, number, &format!("{month}-05T10:00:00Z"), "x")),
    );
    records
}

/// The months of these, and all that follow November 2025.
fn and_since(first: &str) -> String {
    let year: Vec<_> = (1..12).map(|month| format!("2026-{month:02}")).collect();
    format!("{first} 2025-11 2025-12 {}", year.join(" ")).trim().to_owned()
}

/// Sums up all that is over, as retention waits for, and lets it pass.
async fn upkeep(store: &Store, retain: Retain, now: Timestamp, metrics: &Metrics) -> Result<(), StoreError> {
    sum_up(store).await;
    retention::pass(store, retain, now, metrics).await.map(drop)
}

async fn sum_up(store: &Store) {
    let done = async || {
        let refreshed = rollups::refresh(store, Timestamp::now()).await.unwrap();
        refreshed.filter(|refreshed| refreshed.waiting == 0)
    };
    eventually("rollups of all that is over", DEADLINE, done).await;
}

async fn pass(database: &Database) -> Result<Metrics, StoreError> {
    pass_at(database, Timestamp::now()).await
}

async fn pass_at(database: &Database, now: Timestamp) -> Result<Metrics, StoreError> {
    let metrics = Metrics::default();
    upkeep(&database.store(), Retain::default(), now, &metrics).await?;
    Ok(metrics)
}

fn dropped(metrics: &Metrics, table: &str) -> u64 {
    metrics.partitions_dropped.get_or_create(&Table { table: table.to_owned() }).get()
}

/// Sessions, page views, conversions and visitors, whether still told one by one or not.
const TOTALS: &str =
    "SELECT (sum(sessions), sum(page_views), sum(conversions), count(DISTINCT visitor_id)) FROM (
        SELECT visitor_id, sessions, page_views, conversions FROM visitor_months
        UNION ALL SELECT visitor_id, 1, page_views, converted::integer FROM session_facts
    ) t";

/// Orders as they are, whether or not their credits stand.
async fn orders_dump(client: &Client) -> Vec<Vec<String>> {
    let tables = dump(client).await;
    let unmarked = |row: &String| row.replace("\"credits_stand\": true", "\"credits_stand\": false");
    ["orders", "order_credits", "order_entries"]
        .map(|table| tables[table].iter().map(unmarked).collect())
        .to_vec()
}

async fn months(client: &Client, table: &str) -> String {
    let sql = "SELECT string_agg(to_char(month, 'YYYY-MM'), ' ' ORDER BY month) FROM fact_partitions WHERE parent =";
    value(client, &format!("{sql} '{table}'")).await.unwrap_or_default()
}

#[tokio::test]
async fn what_goes_is_counted_first_and_totals_stay() {
    let (database, client, mut shipper, mut journal) = shop().await;
    shipper.ship(journal.batch(&two_years())).await.unwrap();
    let (totals, orders) = (value(&client, TOTALS).await, orders_dump(&client).await);
    assert_eq!(months(&client, "sessions").await, and_since("2024-08 2024-09 2025-06"));
    client
        .batch_execute(
            "INSERT INTO bot_hits VALUES ('2024-09-30 23:00+00', 1, 1, 1, 'x'), ('2024-10-01 00:00+00', 1, 1, 1, 'x');
             INSERT INTO quarantine (journal, segment, \"offset\", payload, error, at)
             VALUES (gen_random_uuid(), 0, 0, '', '', '2025-09-30 23:00+00'), (gen_random_uuid(), 0, 0, '', '', now())",
        )
        .await
        .unwrap();

    let metrics = pass(&database).await.unwrap();
    assert_eq!(dropped(&metrics, "sessions"), 2);
    assert_eq!(dropped(&metrics, "events"), 3);
    assert_eq!(metrics.partitions_due.get(), 0);
    assert_eq!(months(&client, "sessions").await, and_since("2025-06"));
    for table in ["events", "touches", "product_views", "session_cookies"] {
        assert_eq!(months(&client, table).await, and_since(""), "{table}");
    }
    assert_eq!(value(&client, TOTALS).await, totals);
    assert_eq!(orders_dump(&client).await, orders);
    let gone = "SELECT array_agg((month, sessions, page_views, conversions, started, first_seen AT TIME ZONE 'UTC')::text
                                 ORDER BY month)
                FROM visitor_months WHERE visitor_id = '01010101-0101-0101-0101-010101010101'";
    assert_eq!(
        value(&client, gone).await.unwrap().replace(['\\', '"'], ""),
        "{(2024-08-01,1,1,1,{2972},2024-08-31 23:10:00),(2024-09-01,2,2,0,{904,946},2024-08-31 23:10:00)}"
    );
    // Who was not seen for 25 months is gone, who came back is not; and so with bots and what was set aside.
    assert_eq!(value(&client, "SELECT count(*) FROM visitors").await.unwrap(), "3");
    assert_eq!(value(&client, "SELECT count(*) FROM bot_hits").await.unwrap(), "1");
    assert_eq!(value(&client, "SELECT count(*) FROM quarantine").await.unwrap(), "1");

    let before = dump(&client).await;
    let again = pass(&database).await.unwrap();
    assert_eq!(dropped(&again, "sessions") + dropped(&again, "events"), 0);
    for (table, rows) in dump(&client).await {
        // Orders are packed again without the sessions that went, sessions without the events.
        let packed = ["order_columns", "session_columns", "dirty_hours"];
        assert!(
            table == "upkeep_clock" || packed.contains(&table.as_str()) || rows == before[&table],
            "{table}"
        );
    }
}

#[tokio::test]
async fn cohorts_of_months_that_go_stay_as_they_were() {
    let (database, client, mut shipper, mut journal) = shop().await;
    let mut records = two_years();
    records.push(landing(2, 2, "2024-09-30T22:40:00Z", "google"));
    // Who bought and never came again.
    for visitor in 20..220 {
        let at = ms("2024-09-12T10:00:00Z") + u64::from(visitor) * MINUTE;
        let order: &'static str = format!("of {visitor}").leak();
        records.push(hit(page_view(identity(visitor, 1, at), at)));
        records.push(hit(purchase(identity(visitor, 1, at), at + MINUTE, order, 100)));
    }
    shipper.ship(journal.batch(&records)).await.unwrap();
    let server = Server::start(&database.url).await;
    let ask = async |more: &str| {
        let question = format!("cohort-analysis?from=2024-08-01&timezone=Europe/Kyiv&periods=28{more}");
        server.report(&question).await["results"].take()
    };
    let questions: [&str; 5] = [
        "",
        "&cohort_type=week&to=2025-07-01",
        "&metric=revenue",
        "&metric=orders&to=2024-10-01",
        "&bots=only",
    ];
    let mut before = Vec::new();
    for more in questions {
        before.push(ask(more).await);
    }
    assert_eq!(before[0]["totals"][1]["size"], 202, "{}", before[0]);
    assert_eq!(before[3]["totals"][1]["orders"], 203, "{}", before[3]);
    pass(&database).await.unwrap();
    assert_eq!(months(&client, "sessions").await, and_since("2025-06"));
    for (more, before) in questions.iter().zip(before) {
        assert_eq!(ask(more).await, before, "{more}");
    }
}

#[tokio::test]
async fn of_what_was_done_first_times_are_left_when_its_month_goes() {
    let (database, client, mut shipper, mut journal) = shop().await;
    shipper.ship(journal.batch(&two_years())).await.unwrap();
    let server = Server::start(&database.url).await;
    let steps = async |names: &str| {
        let target = format!("funnel?from=2025-06-01&to=2025-07-01&mode=open&steps={names}");
        let rows = server.report(&target).await["results"].take();
        rows.as_array().unwrap().iter().map(|row| row["sessions"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(steps("page_view,purchase").await, [1, 1, 1]);
    pass(&database).await.unwrap();
    assert_eq!(months(&client, "events").await, and_since(""));
    assert_eq!(months(&client, "sessions").await, and_since("2025-06"));
    // At once, and packed.
    assert_eq!(steps("page_view,purchase").await, [1, 0, 1]);
    sum_up(&database.store()).await;
    assert_eq!(steps("page_view,purchase").await, [1, 0, 1]);
    let columns =
        "SELECT count(*) FROM session_columns WHERE session_day = '2025-06-10Z' AND octet_length(times) > 0";
    assert_eq!(value(&client, columns).await.unwrap(), "1");
}

#[tokio::test]
async fn several_proxies_at_once_drop_each_month_once() {
    let (database, client, mut shipper, mut journal) = shop().await;
    shipper.ship(journal.batch(&two_years())).await.unwrap();
    let totals = value(&client, TOTALS).await;
    let works: Vec<_> = (0..4)
        .map(|_| {
            let store = database.store();
            tokio::spawn(async move {
                let metrics = Metrics::default();
                upkeep(&store, Retain::default(), Timestamp::now(), &metrics).await.unwrap();
                metrics
            })
        })
        .collect();
    let mut sum = 0;
    for work in works {
        sum += dropped(&work.await.unwrap(), "sessions");
    }
    // Who finds another at it leaves it to that one.
    sum += dropped(&pass(&database).await.unwrap(), "sessions");
    assert_eq!(sum, 2);
    assert_eq!(value(&client, TOTALS).await, totals);
}

#[tokio::test]
async fn a_month_that_was_dropped_does_not_come_back_with_an_old_journal() {
    let (database, client, mut shipper, mut journal) = shop().await;
    shipper.ship(journal.batch(&two_years())).await.unwrap();
    pass(&database).await.unwrap();
    let (before, orders) = (dump(&client).await, orders_dump(&client).await);

    // The same from another journal; and from a shipper that knows nothing of a horizon, nor which months there are.
    for mut late in [shipper, super::shipper(&database)] {
        let mut other = Journal::new();
        late.checkpoints(&[other.id]).await.unwrap();
        let old = &two_years()[..7];
        let shipped = late.ship(other.batch(old)).await.unwrap();
        assert_eq!((shipped.records, shipped.past_retention, shipped.quarantined), (0, 7, 0));
        for (table, rows) in dump(&client).await {
            assert!(table.starts_with("order") || rows == before[&table], "{table}");
        }
        assert_eq!(orders_dump(&client).await, orders);
    }
    assert_eq!(months(&client, "sessions").await, and_since("2025-06"));
    let made = client.batch_execute("SELECT make_partition('touches', '2025-09-01')").await.unwrap_err();
    assert_eq!(made.code().unwrap().code(), "55000");

    // An order of that time is recorded all the same, and joined to nobody: what it came from is not known.
    let mut late = super::shipper(&database);
    let mut other = Journal::new();
    late.checkpoints(&[other.id]).await.unwrap();
    let at = ms("2025-01-01T10:00:00Z");
    let bought = hit(purchase(identity(1, 9, at), at, "late", 100));
    let shipped = late.ship(other.batch(&[bought, landing(3, 1, "2026-11-22T10:10:00Z", "google")])).await;
    assert_eq!(shipped.unwrap().past_retention, 1);
    let order = "SELECT (net, visitor_id, credits_stand) FROM orders WHERE order_id = 'late'";
    assert_eq!(value(&client, order).await.unwrap(), "(100,,t)");
    let none = "SELECT count(*) FROM order_credits WHERE order_id = 'late'";
    assert_eq!(value(&client, none).await.unwrap(), "0");
}

#[tokio::test]
async fn credits_stand_when_their_clicks_are_gone() {
    let (database, client, mut shipper, mut journal) = shop().await;
    shipper.ship(journal.batch(&two_years())).await.unwrap();
    // Named by the shop: later nobody can look up whether there was such a session, or such a visitor.
    let now = "2026-11-22T10:20:00Z";
    let mut by_session = fact("by session", OrderEntryKind::Placed, ms(now));
    by_session.session_id = Some(identity(1, 2, ms("2024-09-10T10:00:00Z")).session_id);
    by_session.value = Some(100.into());
    let mut by_visitor = fact("by visitor", OrderEntryKind::Placed, ms(now));
    by_visitor.visitor_id = Some(identity(2, 1, TEN).visitor_id);
    by_visitor.value = Some(100.into());
    shipper.ship(journal.batch(&[order(by_session), order(by_visitor)])).await.unwrap();
    let joins =
        "SELECT array_agg((order_id, visitor_id, session_id, joined_by) ORDER BY order_id) FROM orders";
    let credits = "SELECT array_agg((c.*)::text ORDER BY order_id, model, position) FROM order_credits c";
    let before = (value(&client, joins).await, value(&client, credits).await);
    assert_eq!(value(&client, "SELECT count(visitor_id) FROM orders").await.unwrap(), "5");
    assert_eq!(value(&client, "SELECT count(DISTINCT order_id) FROM order_credits").await.unwrap(), "5");
    pass(&database).await.unwrap();

    let refunds: Vec<_> = ["a", "b", "c", "by session", "by visitor"]
        .map(|id| {
            let mut refund = fact(id, OrderEntryKind::Refunded, ms(now) + MINUTE);
            refund.value = Some(40.into());
            order(refund)
        })
        .into();
    shipper.ship(journal.batch(&refunds)).await.unwrap();
    assert_eq!(value(&client, "SELECT array_agg(DISTINCT net) FROM orders").await.unwrap(), "{60}");
    assert_eq!((value(&client, joins).await, value(&client, credits).await), before);
    // Not those whose clicks are all there: what comes late still counts for them.
    let late = landing(5, 1, "2026-11-22T09:00:00Z", "google");
    let at = ms("2026-11-22T09:05:00Z");
    let bought = hit(purchase(identity(5, 2, at), at, "new", 100));
    shipper.ship(journal.batch(&[bought])).await.unwrap();
    let credited = "SELECT (session_id IS NOT NULL) FROM order_credits WHERE order_id = 'new' AND model = 'last_non_direct'";
    assert_eq!(value(&client, credited).await.unwrap(), "false");
    shipper.ship(journal.batch(&[late])).await.unwrap();
    assert_eq!(value(&client, credited).await.unwrap(), "true");
    assert_eq!(value(&client, "SELECT count(*) FROM orders WHERE credits_stand").await.unwrap(), "5");
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_beside_a_drop_neither_wait_nor_fail() {
    let (database, client, mut shipper, mut journal) = shop().await;
    shipper.ship(journal.batch(&two_years())).await.unwrap();
    let (sessions, views) =
        (600_u64, "SELECT sum(page_views) FROM sessions WHERE session_hour >= '2026-11-01'");
    // Somebody reads all the time, so that no month can go.
    let report = database.connect().await;
    report.batch_execute("BEGIN; SELECT FROM events LIMIT 1; SELECT FROM sessions LIMIT 1").await.unwrap();
    let store = database.store();
    let passing = tokio::spawn(async move {
        let metrics = Metrics::default();
        let mut tries = 0;
        loop {
            // The hour of the batches is summed up again and again, those of the months that go once.
            rollups::refresh(&store, Timestamp::now()).await.unwrap();
            let passed = retention::pass(&store, Retain::default(), Timestamp::now(), &metrics).await;
            if passed.is_ok() && metrics.partitions_due.get() == 0 {
                return (tries, metrics);
            }
            tries += 1;
        }
    });
    let (began, mut report, mut worst, mut shipped) = (Instant::now(), Some(report), Duration::ZERO, 0);
    while !passing.is_finished() || shipped < sessions {
        let at = TEN + shipped * 1000;
        let batch = journal.batch(&[hit(page_view(identity(9, 1, TEN), at))]);
        let asked = Instant::now();
        assert_eq!(shipper.ship(batch).await.unwrap().records, 1);
        worst = worst.max(asked.elapsed());
        shipped += 1;
        // By then the first month was given up, after eleven seconds.
        if began.elapsed() > Duration::from_secs(13) {
            drop(report.take());
        }
        assert!(began.elapsed() < Duration::from_secs(120), "{shipped}");
    }
    let (tries, metrics) = passing.await.unwrap();
    println!("{shipped} batches, the longest in {worst:?}; {tries} passes in vain");
    assert!(tries > 0, "it waited for the report");
    assert_eq!(dropped(&metrics, "sessions"), 2);
    assert!(worst < Duration::from_secs(2), "{worst:?}");
    assert_eq!(value(&client, views).await.unwrap(), (shipped + 1).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_that_is_killed_leaves_nothing_half_done() {
    let (database, client, mut shipper, mut journal) = shop().await;
    shipper.ship(journal.batch(&two_years())).await.unwrap();
    let totals = value(&client, TOTALS).await;
    let report = database.connect().await;
    report.batch_execute("BEGIN; SELECT FROM sessions LIMIT 1").await.unwrap();
    let store = database.store();
    let passing = tokio::spawn(async move {
        upkeep(&store, Retain::default(), Timestamp::now(), &Metrics::default()).await
    });
    // It has counted a month, and waits to drop it.
    let waits = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND query LIKE '%drop_partition%' AND pid <> pg_backend_pid()
                   AND EXISTS (SELECT FROM pg_locks l WHERE l.pid = pg_stat_activity.pid
                               AND l.relation = 'visitor_months'::regclass)";
    eventually("a drop that waits", DEADLINE, async || {
        (!client.query(waits, &[]).await.unwrap().is_empty()).then_some(())
    })
    .await;
    passing.await.unwrap().unwrap_err();
    report.batch_execute("COMMIT").await.unwrap();
    assert_eq!(value(&client, "SELECT count(*) FROM visitor_months").await.unwrap(), "0");
    assert!(months(&client, "sessions").await.starts_with("2024-08"));
    assert_eq!(value(&client, TOTALS).await, totals);
    pass(&database).await.unwrap();
    assert_eq!(months(&client, "sessions").await, and_since("2025-06"));
    assert_eq!(value(&client, TOTALS).await, totals);
}

#[tokio::test]
async fn a_month_that_is_not_summed_up_waits() {
    let (database, client, mut shipper, mut journal) = shop().await;
    shipper.ship(journal.batch(&two_years())).await.unwrap();
    sum_up(&database.store()).await;
    client.batch_execute("INSERT INTO dirty_hours VALUES ('2024-08-31 23:00+00')").await.unwrap();
    let metrics = Metrics::default();
    retention::pass(&database.store(), Retain::default(), Timestamp::now(), &metrics).await.unwrap();
    assert_eq!((dropped(&metrics, "sessions"), metrics.partitions_due.get()), (1, 1));
    assert_eq!(months(&client, "sessions").await, and_since("2024-08 2025-06"));
    // Its visitors wait with it.
    assert_eq!(value(&client, "SELECT count(*) FROM visitors").await.unwrap(), "4");
    pass(&database).await.unwrap();
    assert_eq!(months(&client, "sessions").await, and_since("2025-06"));
    assert_eq!(value(&client, "SELECT count(*) FROM visitors").await.unwrap(), "3");
}

#[tokio::test]
async fn a_month_with_a_landing_that_was_joined_goes_like_others() {
    let (database, client, mut shipper, mut journal) = shop().await;
    shipper.ship(journal.batch(&two_years())).await.unwrap();
    // As is computed of one that began without a cookie and went on with one.
    client.batch_execute("UPDATE sessions SET continued = true WHERE session_number = 3").await.unwrap();
    let counted =
        value(&client, "SELECT count(*) FROM sessions WHERE session_hour < '2024-10-01' AND NOT continued")
            .await;
    let metrics = pass(&database).await.unwrap();
    assert_eq!((dropped(&metrics, "sessions"), metrics.partitions_due.get()), (2, 0));
    assert_eq!(value(&client, "SELECT sum(sessions) FROM visitor_months").await, counted);
    assert_eq!(value(&client, "SELECT count(*) FROM visitors").await.unwrap(), "3");
}

#[tokio::test]
async fn who_is_busy_with_a_month_does_not_make_it_look_done() {
    let (database, mut client, mut shipper, mut journal) = shop().await;
    shipper.ship(journal.batch(&two_years())).await.unwrap();
    sum_up(&database.store()).await;
    let busy = client.transaction().await.unwrap();
    busy.batch_execute(&format!("SELECT pg_advisory_xact_lock({})", locks::RETENTION)).await.unwrap();
    let metrics = Metrics::default();
    let store = database.store();
    let pass = || retention::pass(&store, Retain::default(), Timestamp::now(), &metrics);
    assert!(!pass().await.unwrap(), "it is tried again soon");
    assert_eq!((dropped(&metrics, "sessions"), metrics.partitions_due.get() > 0), (0, true));
    busy.rollback().await.unwrap();
    assert!(pass().await.unwrap());
    assert_eq!((dropped(&metrics, "sessions"), metrics.partitions_due.get()), (2, 0));
}

#[tokio::test]
async fn no_clock_that_jumps_deletes_what_is_kept() {
    let (database, client, mut shipper, mut journal) = shop().await;
    shipper.ship(journal.batch(&two_years())).await.unwrap();
    let future: Timestamp = "2040-01-01T00:00:00Z".parse().unwrap();
    // A proxy that is ahead by years ships, and takes care of the database.
    shipper.ship(journal.batch(&[landing(4, 1, "2040-01-01T00:00:00Z", "google")])).await.unwrap();
    pass_at(&database, future).await.unwrap();
    assert_eq!(months(&client, "sessions").await, and_since("2025-06") + " 2040-01");
    assert_eq!(months(&client, "events").await, and_since("") + " 2040-01");

    // The database's clock jumps, and so does the proxy's: here, upkeep saw it last where it comes from.
    let jumped = "UPDATE upkeep_clock SET seen_at = now() - interval '4 years', steady_since = now() - interval '5 years';
                  DELETE FROM retention_horizons; DELETE FROM journal_checkpoint WHERE newest_at < '2030-01-01';";
    client.batch_execute(jumped).await.unwrap();
    shipper.checkpoints(&[journal.id]).await.unwrap();
    let short = Retain { events: Some(3), sessions: Some(3), visitors: Some(3) };
    for _ in 0..2 {
        upkeep(&database.store(), short, future, &Metrics::default()).await.unwrap();
        assert_eq!(months(&client, "sessions").await, and_since("2025-06") + " 2040-01");
        assert_eq!(value(&client, "SELECT count(*) FROM visitors").await.unwrap(), "4");
    }
    // Back to where it was: that is a jump, too.
    let back = "UPDATE upkeep_clock SET seen_at = now() + interval '4 years', steady_since = now() - interval '1 year'";
    client.batch_execute(back).await.unwrap();
    upkeep(&database.store(), short, future, &Metrics::default()).await.unwrap();
    assert_eq!(months(&client, "sessions").await, and_since("2025-06") + " 2040-01");
    // A shop whose proxies fell silent keeps what it has: time is what the newest record says.
    client
        .batch_execute(
            "UPDATE upkeep_clock SET seen_at = now(), steady_since = now() - interval '8 days';
             UPDATE journal_checkpoint SET newest_at = '2025-07-01T00:00:00Z'",
        )
        .await
        .unwrap();
    upkeep(&database.store(), short, future, &Metrics::default()).await.unwrap();
    assert_eq!(months(&client, "sessions").await, and_since("2025-06") + " 2040-01");
}

/// Both clocks are wrong, for as long as one likes.
#[tokio::test]
async fn a_time_in_which_nobody_was_there_is_not_believed() {
    let (database, client, mut shipper, mut journal) = shop().await;
    let mut months: Vec<_> = (1..=9).map(|month| format!("2020-{month:02}")).collect();
    months.push("2026-11".to_owned());
    let records: Vec<_> = (1..)
        .zip(&months)
        .map(|(number, month)| landing(1, number, &format!("{month}-05T10:00:00Z"), "x"))
        .collect();
    shipper.ship(journal.batch(&records)).await.unwrap();
    pass(&database).await.unwrap();
    let kept = self::months(&client, "events").await;
    assert_eq!(kept, months.join(" "));
}

/// What a horizon says by mistake is not enough.
#[tokio::test]
async fn the_last_three_months_are_never_dropped() {
    let (_database, client, mut shipper, mut journal) = shop().await;
    shipper.ship(journal.batch(&two_years())).await.unwrap();
    client
        .batch_execute(
            "INSERT INTO retention_horizons VALUES ('events', '2100-01-01'), ('sessions', '2100-01-01')",
        )
        .await
        .unwrap();
    for (arguments, code) in [
        ("'events', '2026-11-01'", "55000"),
        ("'sessions', '2024-08-01'", "55000"), // not in visitor_months
        ("'events', '2020-01-01'", "22023"),
        ("'orders', '2026-11-01'", "22023"),
    ] {
        let refused = client.batch_execute(&format!("SELECT drop_partition({arguments})")).await.unwrap_err();
        assert_eq!(refused.code().unwrap().code(), code, "{arguments}: {refused:?}");
    }
    client.batch_execute("SELECT drop_partition('events', '2025-11-01')").await.unwrap();
}

#[tokio::test]
async fn who_is_forgotten_while_months_go_is_forgotten_in_what_outlives_them() {
    let (database, client, mut shipper, mut journal) = shop().await;
    shipper.ship(journal.batch(&two_years())).await.unwrap();
    sum_up(&database.store()).await;
    let (totals, amounts) = (value(&client, TOTALS).await, value(&client, AMOUNTS).await);
    let horizons = "INSERT INTO retention_horizons (kind, horizon)
                    VALUES ('sessions', '2024-10-01 00:00+00'), ('events', '2025-10-01 00:00+00')";
    client.batch_execute(horizons).await.unwrap();
    // Three records that retention refuses, one that cannot be stored, and an erasure, folded before any of it is known.
    let person = identity(1, 1, ms("2024-09-10T10:00:00Z"));
    let unstorable = Action { currency: Some("U\0".into()), ..action("wish") };
    let at = ms("2026-11-22T11:00:00Z");
    let poison = hit(Hit { actions: vec![unstorable], ..page_view(identity(3, 1, at), at) });
    let subject = utm_dispatcher::erasure::Subject::Visitor(person.visitor_id);
    let erasure = utm_dispatcher::erasure::Erasure { erasure_id: Uuid::now_v7(), at_ms: at, subject };
    let records = [
        landing(1, 2, "2024-09-10T10:00:00Z", "bing"),
        poison,
        Record::Erasure(erasure),
        landing(1, 3, "2024-09-10T20:31:00Z", "google"),
        landing(4, 1, "2025-01-01T10:00:00Z", "google"),
    ];
    let first = shipper.fold(journal.batch(&records));
    let second = shipper.fold(journal.batch(&[landing(1, 4, "2025-06-10T10:00:00Z", "google")]));
    let mut shipped = Shipped::default();
    shipper.ship_folded(first, &mut shipped, Duration::MAX).await.unwrap();
    shipper.ship_folded(second, &mut shipped, Duration::MAX).await.unwrap();
    assert_eq!((shipped.records, shipped.past_retention, shipped.quarantined), (1, 4, 1));
    assert_eq!(shipped.receipts.len(), 1);

    // What was renamed has marks: its months wait until it is summed up again.
    let metrics = Metrics::default();
    retention::pass(&database.store(), Retain::default(), Timestamp::now(), &metrics).await.unwrap();
    assert_eq!((dropped(&metrics, "sessions"), metrics.partitions_due.get()), (0, 2));
    let metrics = pass(&database).await.unwrap();
    assert_eq!((dropped(&metrics, "sessions"), metrics.partitions_due.get()), (2, 0));
    assert_eq!(value(&client, TOTALS).await, totals);
    assert_eq!(value(&client, AMOUNTS).await, amounts);
    let known =
        "SELECT array_agg((identity, month)::text ORDER BY month) FROM visitor_months WHERE identity = 0";
    assert_eq!(value(&client, known).await.unwrap().matches("(0,").count(), 2);
    let sessions = (1..=5).zip([
        "2024-08-31T23:10:00Z",
        "2024-09-10T10:00:00Z",
        "2024-09-10T20:31:00Z",
        "2025-06-10T10:00:00Z",
        "2025-11-10T10:00:00Z",
    ]);
    let names: Vec<String> = sessions
        .map(|(number, at)| identity(1, number, ms(at)).session_id)
        .chain([person.visitor_id])
        .map(|id| id.to_string())
        .collect();
    assert_eq!(crate::forgetting::places_of(&client, &names).await, [""; 0]);
}

/// What orders come to, and what they are credited to.
const AMOUNTS: &str =
    "SELECT array_agg((o.order_id, o.net, c.campaign_id, c.touch_at)::text ORDER BY o.order_id, c.model, c.position)
                       FROM orders o LEFT JOIN order_credits c USING (site_id, order_id)";
