//! Whatever happened to sessions and whatever was summed up of it: reports agree with the sessions.

use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use utm_dispatcher::store::rollups::refresh;

use super::{at, reports_agree_with_sessions, roll_up};
use crate::stats::seed::{Order, Seed, Tags, Visit, begin_of};
use crate::stats::server::Server;

/// Of the sessions here, which are those of some days.
const BEGIN: &str = "2026-03-20T00:00:00Z";
const DAYS: u32 = 12;

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
        move |((millisecond, visitor, number, seconds, tagged), flags, few, bot_score)| {
            let at = at(BEGIN) + SignedDuration::from_millis(millisecond.into());
            let hour = match few {
                3 => Some(begin_of(at, 86_400)),
                2 => Some(begin_of(at - SignedDuration::from_hours(seconds % 47), 3_600)),
                _ => None,
            };
            Visit {
                site: if flags.0 { "default" } else { "second" },
                at,
                hour,
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
            }
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
    let report = prop::sample::select(vec![
        "general-stats",
        "sources",
        "campaigns",
        "devices",
        "geo",
        "landing-pages",
        "timeseries",
        "compare",
        "funnel",
        "funnel?mode=open",
        "funnel?steps=page_view,add_to_cart,page_view,purchase",
        "products",
        "products?sort=view_to_purchase_rate",
        "products?sort=revenue&date_basis=session",
    ]);
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
    (report, window, zone, filter).prop_map(|(report, window, zone, filter)| {
        let and = if report.contains('?') { '&' } else { '?' };
        format!("{report}{and}{window}&timezone={zone}{filter}")
    })
}

/// Something is done in a visit: which follows from the visit alone.
async fn act(seed: &Seed, visit: &Visit, session: uuid::Uuid) {
    let kinds = ["page_view", "product_view", "add_to_cart", "remove_from_cart", "purchase"];
    for number in 0..visit.page_views + visit.actions {
        let kind = kinds[(usize::try_from(visit.seconds).unwrap() + number as usize * 3) % kinds.len()];
        let product = ["a", "b"][(visit.visitor as usize + number as usize) % 2];
        let seconds = (visit.seconds * i64::from(number) / 3).min(visit.seconds);
        let at = visit.at + SignedDuration::from_secs(seconds);
        seed.action(session, visit.visitor, at, kind, Some(product).filter(|_| kind != "page_view")).await;
    }
    if visit.order_count > 0 && visit.site == "default" {
        let order = Order {
            id: session.to_string(),
            at: visit.at,
            visitor: Some(visit.visitor),
            session: Some(session),
            gross: Some("10.00"),
            net: Some("10.00"),
            credits: vec![(visit.tags, 1_000_000)],
            ..Order::default()
        };
        seed.order(&order).await;
        let product = ["a", "b"][visit.visitor as usize % 2];
        let quantity = ["1", "0.50", "many"][visit.visitor as usize % 3];
        let items = json!([{"product_id": product, "name": format!("{product}{}", visit.number), "quantity": quantity, "price": "3.335"}]);
        // Of a third nothing tells but what purchases name.
        let has_positions = visit.seconds % 3 > 0;
        seed.entry(&order.id, visit.at, Some(items).filter(|_| has_positions), None, None).await;
        let named = "UPDATE events SET order_id = $1 FROM action_kinds k
                     WHERE k.kind_id = events.kind_id AND k.name = 'purchase' AND session_id = $2";
        seed.client.execute(named, &[&order.id, &session]).await.unwrap();
    }
}

async fn take(seed: &Seed, step: &Step) {
    match step {
        Step::Visits(visits) => {
            for visit in visits {
                let known = "SELECT count(*) FROM sessions WHERE visitor_id = $1 AND started_at = $2";
                let visitor = uuid::Uuid::from_u128(visit.visitor);
                let row = seed.client.query_one(known, &[&visitor, &visit.at]).await.unwrap();
                if row.get::<_, i64>(0) == 0 {
                    let session = seed.visit(visit).await;
                    act(seed, visit, session).await;
                }
            }
        }
        Step::Change(every) => {
            let change =
                "UPDATE sessions SET page_views = page_views + 1, order_count = 1, bot_score = bot_score + 20
                          WHERE (session_number + page_views * 7 + score) % $1 = 0 OR actions = $1 % 2";
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
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { Config::default().cases } else { 6 };
    let config = Config { failure_persistence: None, max_shrink_iters: 100, ..Config::with_cases(cases) };
    let story = prop::collection::vec((step(), prop::collection::vec(question(), 1..6)), 2..10);
    let result = TestRunner::new(config).run(&story, |story| {
        runtime.block_on(async {
            let clear =
                "TRUNCATE sessions, touches, events, orders, order_credits, order_entries, dirty_hours, dirty_order_days, session_quarters,
                     session_days, session_columns, order_columns;
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
