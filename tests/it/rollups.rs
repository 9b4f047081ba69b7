//! Rollups: reports say through them what the sessions say, at any moment, whoever writes or dies meanwhile.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tokio_postgres::Client;
use utm_dispatcher::store::migrate::{self, SchemaState, migrations};
use utm_dispatcher::store::rollups::{Refreshed, refresh};

use crate::faults::page_shop;
use crate::harness::app::{Running, app_config};
use crate::harness::postgres::{self, Database};
use crate::harness::program::Program;
use crate::harness::{DEADLINE, eventually};
use crate::stats::seed::{Seed, Tags, Visit};
use crate::stats::server::Server;

/// Of the sessions here, which are those of some days.
const BEGIN: &str = "2026-03-20T00:00:00Z";
const DAYS: u32 = 12;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Refreshes until nothing is left to do.
async fn roll_up(database: &Database, now: Timestamp) {
    while refresh(&database.store(), now).await.unwrap().unwrap().hours > 0 {}
}

async fn count(client: &Client, what: &str) -> i64 {
    client.query_one(&format!("SELECT count(*) FROM {what}"), &[]).await.unwrap().get(0)
}

/// What a report says, without the time at which it said it.
async fn told(server: &Server, target: &str) -> Value {
    let mut answer = server.report(target).await;
    answer["meta"]["generated_at"] = json!("now");
    answer
}

/// What reports say now, and what they say when nothing is summed up; fails where that differs.
async fn reports_agree_with_sessions(seed: &Seed, server: &Server, targets: &[String]) {
    let mut through_rollups = Vec::new();
    for target in targets {
        through_rollups.push(told(server, target).await);
    }
    seed.client
        .batch_execute(
            "CREATE TEMPORARY TABLE marks AS SELECT * FROM dirty_hours;
             INSERT INTO dirty_hours SELECT DISTINCT session_hour FROM sessions",
        )
        .await
        .unwrap();
    for (target, through_rollups) in targets.iter().zip(through_rollups) {
        assert_eq!(through_rollups, told(server, target).await, "{target}");
    }
    seed.client
        .batch_execute(
            "BEGIN; DELETE FROM dirty_hours; INSERT INTO dirty_hours SELECT * FROM marks; DROP TABLE marks; COMMIT",
        )
        .await
        .unwrap();
}

#[derive(Debug, Clone)]
enum Step {
    /// Sessions begin.
    Visits(Vec<Visit>),
    /// Something of every so-manieth session changes.
    Change(i32),
    /// Every so-manieth session is erased.
    Erase(i32),
    /// The office sums up, at a moment so many hours after the beginning.
    Refresh(u32),
}

fn visit() -> impl Strategy<Value = Visit> {
    let tags: [Option<Tags>; 5] = [
        None,
        None,
        Some(("Facebook", "paid_social", "Spring")),
        Some(("google", "cpc", "spring")),
        Some(("", "", "nothing")),
    ];
    let numbers = (0..DAYS * 86_400_000, 0u32..30, 1i32..4, 0i64..4_000, 0usize..5);
    let flags = any::<(bool, bool, bool, bool)>();
    (numbers, flags, 0i32..4, 0i16..80).prop_map(
        move |((millisecond, visitor, number, seconds, tagged), flags, few, bot_score)| Visit {
            site: if flags.0 { "default" } else { "second" },
            at: at(BEGIN) + SignedDuration::from_millis(millisecond.into()),
            whole_day: few == 3,
            seconds,
            visitor: u128::from(visitor) + 1,
            number,
            tags: tags[tagged],
            page_views: 1 + few,
            actions: i32::from(flags.1),
            score: few * 7,
            order_count: i32::from(flags.2),
            order_points: few,
            lead: flags.3,
            registered: flags.1,
            bot_score,
            device: if flags.2 { "desktop" } else { "mobile" },
            country: if flags.3 { "UA" } else { "PL" },
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => prop::collection::vec(visit(), 1..40).prop_map(Step::Visits),
        1 => (2i32..6).prop_map(Step::Change),
        1 => (5i32..12).prop_map(Step::Erase),
        4 => (0..(DAYS + 3) * 24).prop_map(Step::Refresh),
    ]
}

/// A report over some window, in some zone, with some filter.
fn question() -> impl Strategy<Value = String> {
    let report = prop::sample::select(vec!["general-stats", "sources", "campaigns"]);
    let zone = prop::sample::select(vec![
        "UTC",
        "Europe/Kyiv",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "America/St_Johns",
    ]);
    let days = (0..DAYS + 2, 1..DAYS + 3).prop_map(|(first, days)| {
        let date = |day: u32| (at(BEGIN) + SignedDuration::from_hours(i64::from(day) * 24 - 24)).to_string();
        format!("from={}&to={}", &date(first)[..10], &date(first + days)[..10])
    });
    let times = (0..DAYS * 1440, 1..DAYS * 1440).prop_map(|(first, minutes)| {
        let time = |minute: u32| at(BEGIN) + SignedDuration::from_mins(i64::from(minute));
        format!("from={}&to={}", time(first), time(first + minutes))
    });
    let window = prop_oneof![4 => days, 1 => times, 1 => Just("period=all_time".to_owned())];
    let filter = prop::sample::select(vec![
        "",
        "",
        "&bots=include",
        "&bots=only",
        "&source=facebook",
        "&source!=facebook&medium~=p",
        "&campaign=spring",
        "&source=(direct)",
        "&device=mobile",
        "&country!=ua&bots=include",
        "&site=second",
    ]);
    (report, window, zone, filter)
        .prop_map(|(report, window, zone, filter)| format!("{report}?{window}&timezone={zone}{filter}"))
}

async fn take(seed: &Seed, step: &Step) {
    match step {
        Step::Visits(visits) => {
            for visit in visits {
                let known = "SELECT count(*) FROM sessions WHERE visitor_id = $1 AND started_at = $2";
                let visitor = uuid::Uuid::from_u128(visit.visitor);
                let row = seed.client.query_one(known, &[&visitor, &visit.at]).await.unwrap();
                if row.get::<_, i64>(0) == 0 {
                    seed.visit(visit).await;
                }
            }
        }
        Step::Change(every) => {
            let change =
                "UPDATE sessions SET page_views = page_views + 1, order_count = 1, bot_score = bot_score + 20
                          WHERE session_number + page_views * 7 + score % $1 = 0 OR actions = $1 % 2";
            seed.client.execute(change, &[every]).await.unwrap();
        }
        Step::Erase(every) => {
            let erase = "DELETE FROM sessions WHERE (extract(epoch FROM started_at))::bigint % $1 = 0";
            seed.client.execute(erase, &[&i64::from(*every)]).await.unwrap();
        }
        Step::Refresh(hours) => {
            let now = at(BEGIN) + SignedDuration::from_hours(i64::from(*hours));
            refresh(&seed.database.store(), now).await.unwrap();
        }
    }
}

#[test]
fn reports_through_rollups_say_what_the_sessions_say_at_any_moment() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (seed, server) = runtime.block_on(async {
        let seed = Seed::new().await;
        let server = Server::start(&seed.database.url).await;
        (seed, server)
    });
    // PROPTEST_CASES asks for more of them.
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { Config::default().cases } else { 12 };
    let config = Config { failure_persistence: None, max_shrink_iters: 100, ..Config::with_cases(cases) };
    let story = prop::collection::vec((step(), prop::collection::vec(question(), 1..6)), 2..10);
    let result = TestRunner::new(config).run(&story, |story| {
        runtime.block_on(async {
            let clear = "TRUNCATE sessions, touches, dirty_hours, session_quarters, session_days;
                         DROP TABLE IF EXISTS marks";
            seed.client.batch_execute(clear).await.unwrap();
            for (step, questions) in &story {
                take(&seed, step).await;
                reports_agree_with_sessions(&seed, &server, questions).await;
            }
            roll_up(&seed.database, at("2026-06-01T00:00:00Z")).await;
            for (_, questions) in &story {
                reports_agree_with_sessions(&seed, &server, questions).await;
            }
        });
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

/// Holds every refresh between the deletion of marks and the summing up, until it is rolled back.
async fn held_refreshes(database: &Database) -> Client {
    let client = database.connect().await;
    client.batch_execute("BEGIN; LOCK TABLE session_quarters IN ACCESS EXCLUSIVE MODE").await.unwrap();
    client
}

async fn is_held(client: &Client) {
    eventually("a refresh that waits", DEADLINE, async || {
        let waits = "pg_locks WHERE relation = 'session_quarters'::regclass AND NOT granted";
        (count(client, waits).await == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_commits_beside_a_refresh_is_not_lost() {
    let seed = Seed::new().await;
    let server = Server::start(&seed.database.url).await;
    let now = at("2026-11-12T00:00:00Z");
    seed.visit(&Visit::default()).await;
    // Begun before the refresh, committed in the midst of it; and begun and committed in the midst of it.
    let early = Seed { client: seed.database.connect().await, database: postgres::database().await };
    early.client.batch_execute("BEGIN").await.unwrap();
    early.visit(&Visit { visitor: 2, ..Visit::default() }).await;
    let holder = held_refreshes(&seed.database).await;
    let store = seed.database.store();
    let running = tokio::spawn(async move { refresh(&store, now).await.unwrap() });
    is_held(&seed.client).await;
    early.client.batch_execute("COMMIT").await.unwrap();
    seed.visit(&Visit { visitor: 3, ..Visit::default() }).await;
    let report = ["general-stats?from=2026-11-01&to=2026-12-01".to_owned()];
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(running.await.unwrap(), Some(Refreshed { hours: 1, waiting: 1 }), "what came later is marked");
    assert_eq!(told(&server, &report[0]).await["results"]["total_sessions"], 3);
    reports_agree_with_sessions(&seed, &server, &report).await;
    roll_up(&seed.database, now).await;
    assert_eq!(count(&seed.client, "dirty_hours").await, 0);
    assert_eq!(told(&server, &report[0]).await["results"]["total_sessions"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_refresh_keeps_out_of_the_way_of_the_first() {
    let seed = Seed::new().await;
    let now = at("2026-11-12T00:00:00Z");
    seed.visit(&Visit::default()).await;
    let holder = held_refreshes(&seed.database).await;
    let store = seed.database.store();
    let running = tokio::spawn(async move { refresh(&store, now).await.unwrap() });
    is_held(&seed.client).await;
    assert_eq!(refresh(&seed.database.store(), now).await.unwrap(), None);
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(running.await.unwrap(), Some(Refreshed { hours: 1, waiting: 0 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_refreshes_beside_many_batches_come_to_the_same() {
    let seed = Seed::new().await;
    let server = Server::start(&seed.database.url).await;
    let now = at("2026-11-13T00:00:00Z");
    let writers: Vec<_> = (0..3u32)
        .map(|writer| {
            let url = seed.database.url.clone();
            tokio::spawn(async move {
                let database = postgres::database().await;
                let seed = Seed { client: postgres::connect(&url).await, database };
                for number in 0..60 {
                    let at = at("2026-11-10T20:00:00Z") + SignedDuration::from_mins(i64::from(number * 7));
                    seed.visit(&Visit { at, visitor: (writer * 100 + number).into(), ..Visit::default() })
                        .await;
                }
            })
        })
        .collect();
    let refreshers: Vec<_> = (0..3)
        .map(|_| {
            let store = seed.database.store();
            tokio::spawn(async move {
                for _ in 0..40 {
                    refresh(&store, now).await.unwrap();
                }
            })
        })
        .collect();
    for task in writers.into_iter().chain(refreshers) {
        task.await.unwrap();
    }
    roll_up(&seed.database, now).await;
    assert_eq!(count(&seed.client, "dirty_hours").await, 0);
    let report = "general-stats?from=2026-11-10&to=2026-11-12".to_owned();
    assert_eq!(told(&server, &report).await["results"]["total_sessions"], 180);
    reports_agree_with_sessions(&seed, &server, &[report]).await;
}

#[tokio::test]
async fn marks_of_open_hours_are_many_only_until_the_next_refresh() {
    let seed = Seed::new().await;
    for visitor in 1..6 {
        seed.visit(&Visit { visitor, ..Visit::default() }).await;
    }
    assert_eq!(count(&seed.client, "dirty_hours").await, 5);
    refresh(&seed.database.store(), at("2026-11-10T11:30:00Z")).await.unwrap();
    assert_eq!(
        (count(&seed.client, "dirty_hours").await, count(&seed.client, "session_quarters").await),
        (1, 0)
    );
    refresh(&seed.database.store(), at("2026-11-10T12:30:00Z")).await.unwrap();
    assert_eq!(
        (count(&seed.client, "dirty_hours").await, count(&seed.client, "session_quarters").await),
        (0, 1)
    );
}

/// A database as version 3 left it, with sessions.
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
    let upstream = page_shop().await;
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
    let marks = count(&client, "dirty_hours").await;
    let holder = held_refreshes(&database).await;
    let upstream = page_shop().await;
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
    assert_eq!((count(&client, "dirty_hours").await, count(&client, "session_quarters").await), (marks, 0));
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

/// Many sessions in two months, of 6,000 visitors, half of them from google; a third of them come in both months.
async fn two_busy_months() -> Seed {
    let database = postgres::migrated().await;
    let client = database.connect().await;
    client
        .batch_execute(
            "SELECT make_partition(t, m) FROM unnest(ARRAY['sessions', 'touches']) t, unnest(ARRAY['2026-04-01', '2026-05-01']::date[]) m;
             INSERT INTO sites VALUES (1, 'default');
             INSERT INTO campaigns (campaign_id, site_id, source) VALUES (1, 1, 'google'), (2, 1, 'facebook');
             INSERT INTO sessions (session_id, visitor_id, session_hour, started_at, last_seen, entry_at, entry_hash,
                 landing_page_id, agent_id, campaign_id, site_id, session_number, page_views, actions, score, bot_reasons,
                 identity, entry_rank, bot_score)
             SELECT (lpad(to_hex((extract(epoch FROM h.hour) * 1000)::bigint), 12, '0')
                        || substr(md5(n::text), 1, 20))::uuid,
                    md5((n % 4000 + CASE WHEN n >= 10000 THEN 2000 ELSE 0 END)::text)::uuid,
                    h.hour, h.hour + interval '5 minutes', h.hour + interval '6 minutes', h.hour, 0, 0, 0,
                    NULLIF(n % 4, 3) % 2 + 1, 1, 1, 1, 0, 0, 0, 1, 0, 0
             FROM generate_series(0, 19999) n
             CROSS JOIN LATERAL (
                 SELECT CASE WHEN n < 10000 THEN timestamptz '2026-04-02 00:00+00' ELSE '2026-05-02 00:00+00' END
                        + n % 600 * interval '1 hour' AS hour
             ) h",
        )
        .await
        .unwrap();
    roll_up(&database, at("2026-07-01T00:00:00Z")).await;
    Seed { database, client }
}

fn is_about(estimate: &Value, exact: &Value) {
    let (estimate, exact) = (estimate.as_f64().unwrap(), exact.as_f64().unwrap());
    assert!((estimate - exact).abs() <= 0.05 * exact, "{estimate} for {exact}");
}

#[tokio::test]
async fn months_that_were_dropped_are_told_by_their_rollups() {
    let seed = two_busy_months().await;
    let server = Server::start(&seed.database.url).await;
    let targets = ["general-stats", "sources", "sources?limit=1&"].map(|report| {
        format!("{}{}from=2026-04-01&to=2026-05-20", report, if report.contains('?') { "" } else { "?" })
    });
    let mut before = Vec::new();
    for target in &targets {
        before.push(told(&server, target).await);
    }
    assert_eq!(before[0]["results"]["unique_visitors"], 6000, "counted while all are there");
    assert_eq!(before[0]["meta"]["warnings"], json!([]));
    seed.client.batch_execute("DROP TABLE sessions_2026_04").await.unwrap();
    // Somebody's mark in it must not make the month nothing.
    seed.client.batch_execute("INSERT INTO dirty_hours VALUES ('2026-04-10T10:00:00Z')").await.unwrap();
    roll_up(&seed.database, at("2026-07-01T00:00:00Z")).await;
    assert_eq!(count(&seed.client, "dirty_hours").await, 0);
    for (target, before) in targets.iter().zip(&before) {
        let mut after = told(&server, target).await;
        assert!(
            after["meta"]["warnings"][0]
                .as_str()
                .unwrap()
                .starts_with("visitors of this window are estimated")
        );
        after["meta"]["warnings"] = json!([]);
        for visitors in [
            "/results/unique_visitors",
            "/results/0/visitors",
            "/results/1/visitors",
            "/results/2/visitors",
            "/meta/totals/visitors",
            "/meta/other/visitors",
        ] {
            if let Some(exact) = before.pointer(visitors) {
                let estimate = after.pointer_mut(visitors).unwrap();
                is_about(estimate, exact);
                *estimate = exact.clone();
            }
        }
        assert_eq!(&after, before, "{target}");
    }
    // A window of the month that is there is counted as ever.
    let may = told(&server, "general-stats?from=2026-05-05&to=2026-05-20").await;
    assert_eq!(may["meta"]["warnings"], json!([]));
}

#[tokio::test]
async fn of_the_sessions_only_hours_with_a_mark_are_read() {
    let seed = two_busy_months().await;
    seed.client.batch_execute("INSERT INTO dirty_hours VALUES ('2026-05-10T10:00:00Z')").await.unwrap();
    let nulls = "NULL, ".repeat(13) + "NULL";
    let plan = format!(
        "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF)
         SELECT sum(sessions) FROM report_sums(NULL, '2026-06-01T00:00:00Z', NULL, 'exclude', {nulls})"
    );
    let rows = seed.client.query(&plan, &[]).await.unwrap();
    let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let april: Vec<&String> = plan.iter().filter(|line| line.contains("on sessions_2026_04")).collect();
    assert!(april.iter().all(|line| line.contains("never executed")), "{plan:#?}");
    let may =
        plan.iter().filter(|line| line.contains("on sessions_2026_05") && !line.contains("never executed"));
    let read: Vec<&String> = may.collect();
    assert!(read.len() == 1 && read[0].contains("sessions_2026_05_pkey"), "{plan:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_fails_says_so_once_and_reports_go_on() {
    let database = with_a_past().await;
    migrate::migrate(&database.store()).await.unwrap();
    let client = database.connect().await;
    client.batch_execute("ALTER TABLE session_days ADD CONSTRAINT never CHECK (false)").await.unwrap();
    let upstream = page_shop().await;
    let files = tempfile::tempdir().unwrap();
    let mut program = Program::new(upstream.address(), &database.url, files.path());
    program.start().await;
    eventually("a warning", DEADLINE, async || {
        program.log().contains("rollups cannot be refreshed").then_some(())
    })
    .await;
    assert_eq!(count(&client, "dirty_hours").await, 72, "what failed is as before");
    assert!(program.terminate().await.success(), "{}", program.log());
}
