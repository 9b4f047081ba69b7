//! Reports against numbers worked out by hand, or plainly from the same facts.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::seed::{Order, Seed, Tags, Visit};
use super::server::{Server, problem};
use crate::harness::{DEADLINE, eventually};

const NOVEMBER: &str = "from=2026-11-01&to=2026-12-01";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[tokio::test]
async fn every_statement_fits_the_schema() {
    let seed = Seed::new().await;
    let mut prepared = 0;
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/stats/sql")).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("-- "), "{}: opens with its question", path.display());
        if let Err(error) = seed.client.prepare(&text).await {
            panic!("{}: {}", path.display(), error.as_db_error().unwrap().message());
        }
        prepared += 1;
    }
    assert!(prepared > 10);
}

#[tokio::test]
async fn an_empty_shop_has_zeros_and_nulls() {
    let seed = Seed::new().await;
    let server = Server::start(&seed.database.url).await;
    let mut answer = server.report(&format!("general-stats?{NOVEMBER}")).await;
    answer["meta"]["generated_at"] = json!("now");
    insta::assert_json_snapshot!(answer);
    let mut answer = server.report(&format!("campaigns?{NOVEMBER}&limit=5&sort=revenue:asc&source!=x")).await;
    answer["meta"]["generated_at"] = json!("now");
    insta::assert_json_snapshot!(answer);
}

/// Three people, one bot, orders in two currencies, one of nobody.
async fn small_shop() -> Seed {
    let seed = Seed::new().await;
    let spring: Tags = ("Facebook", "paid_social", "Spring");
    let facebook = Visit { tags: Some(spring), ..Visit::default() };
    let first = seed
        .visit(&Visit {
            order_count: 1,
            order_points: 114,
            score: 20,
            actions: 2,
            seconds: 300,
            ..facebook.clone()
        })
        .await;
    // The same person again, directly, one page only.
    let bounce = Visit {
        at: at("2026-11-12T08:00:00Z"),
        number: 2,
        page_views: 1,
        score: 1,
        seconds: 40,
        ..Visit::default()
    };
    seed.visit(&bounce).await;
    let lead = Visit {
        visitor: 2,
        tags: Some(("facebook", "PAID_SOCIAL", "spring")),
        lead: true,
        registered: true,
        device: "mobile",
        country: "PL",
        page_views: 4,
        score: 54,
        ..Visit::default()
    };
    seed.visit(&lead).await;
    seed.visit(&Visit {
        visitor: 3,
        tags: Some(("google", "cpc", "")),
        page_views: 1,
        score: 1,
        ..Visit::default()
    })
    .await;
    seed.visit(&Visit { visitor: 9, tags: Some(spring), bot_score: 70, ..Visit::default() }).await;
    // Not in November in Kyiv, though in UTC.
    seed.visit(&Visit { visitor: 8, at: at("2026-11-30T22:30:00Z"), ..Visit::default() }).await;

    small_shop_orders(&seed, first).await;
    seed
}

async fn small_shop_orders(seed: &Seed, session: Uuid) {
    let spring: Tags = ("Facebook", "paid_social", "Spring");
    let order = Order { session: Some(session), visitor: Some(1), ..Order::default() };
    seed.order(&Order {
        id: "1".into(),
        gross: Some("1499.00"),
        net: Some("1399.00"),
        paid: "1499",
        refunded: "100",
        credits: vec![(Some(spring), 1_000_000)],
        ..order.clone()
    })
    .await;
    seed.order(&Order {
        id: "2".into(),
        gross: Some("100.5"),
        net: Some("100.5"),
        credits: vec![(None, 1_000_000)],
        ..order.clone()
    })
    .await;
    seed.order(&Order {
        id: "3".into(),
        gross: Some("50"),
        net: Some("50"),
        currency: Some("EUR"),
        ..Order::default()
    })
    .await;
    seed.order(&Order {
        id: "4".into(),
        gross: Some("300"),
        net: Some("300"),
        currency: None,
        ..Order::default()
    })
    .await;
}

#[tokio::test]
async fn general_stats_are_what_the_facts_say() {
    let seed = small_shop().await;
    let server = Server::start(&seed.database.url).await;
    let answer = server.report(&format!("general-stats?{NOVEMBER}")).await;
    assert_eq!(
        answer["results"],
        json!({
            "total_sessions": 4, "unique_visitors": 3, "new_visitors": 3, "page_views": 8, "pages_per_session": 2.0,
            "bounce_rate": 50.0, "avg_session_seconds": 90.0,
            "total_conversions": 1, "conversion_rate": 25.0, "conversion_rate_interval": {"low": 4.56, "high": 69.94},
            "lead_sessions": 1, "lead_rate": 25.0, "registrations": 1,
            "total_orders": 4, "paid_orders": 1,
            "total_revenue": "1799.50", "gross_revenue": "1899.50", "paid_revenue": "1499.00", "refunds": "100.00",
            "avg_order_value": "633.17", "total_score": 190, "avg_score_per_session": 47.5,
        })
    );
    assert_eq!(answer["meta"]["currency"], "UAH");
    assert_eq!(answer["meta"]["from"], "2026-11-01T00:00:00+02:00");
    let warning = answer["meta"]["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with("1 order has another currency than UAH"), "{warning}");

    let number = async |query: &str, field: &str| {
        server.report(&format!("general-stats?{NOVEMBER}&{query}")).await["results"][field].clone()
    };
    assert_eq!(number("timezone=UTC", "total_sessions").await, 5);
    assert_eq!(number("bots=include", "total_sessions").await, 5);
    assert_eq!(number("bots=only", "total_sessions").await, 1);
    assert_eq!(number("source=FACEBOOK", "total_sessions").await, 2);
    assert_eq!(number("source=facebook&source=google", "total_sessions").await, 3);
    assert_eq!(number("source!=facebook", "total_sessions").await, 2);
    assert_eq!(number("campaign~=PRI", "total_sessions").await, 2);
    assert_eq!(number("device=mobile&country=pl", "total_sessions").await, 1);
    assert_eq!(number("site=another", "total_sessions").await, 0);
    assert_eq!(number("source=facebook", "total_revenue").await, "1399.00");
    assert_eq!(number("source=(not%20tracked)", "total_orders").await, 2);
    assert_eq!(number("device=desktop", "total_orders").await, 2);
    assert_eq!(number("date_basis=session", "total_revenue").await, "1499.50");
    assert_eq!(number("date_basis=session&bots=only", "total_orders").await, 0);
}

#[tokio::test]
async fn paid_revenue_is_what_the_configuration_asks_for() {
    let seed = small_shop().await;
    let server = Server::start_with(&seed.database.url, |config| {
        config.orders.revenue = utm_dispatcher::config::Revenue::Paid;
        config.stats.currency = Some("EUR".into());
    })
    .await;
    let answer = server.report(&format!("general-stats?{NOVEMBER}")).await;
    assert_eq!(answer["results"]["gross_revenue"], "350.00", "no currency means stats.currency");
    assert_eq!(answer["results"]["total_revenue"], "0.00");
    assert!(answer["meta"]["warnings"][0].as_str().unwrap().starts_with("2 orders have"));
}

#[tokio::test]
async fn sources_have_rows_for_direct_and_for_orders_of_nobody() {
    let seed = small_shop().await;
    let server = Server::start(&seed.database.url).await;
    let mut answer = server.report(&format!("sources?{NOVEMBER}")).await;
    answer["meta"]["generated_at"] = json!("now");
    insta::assert_json_snapshot!(answer);
    let csv = server.get(&format!("/api/v1/sources?{NOVEMBER}&format=csv")).send().await.unwrap();
    insta::assert_snapshot!(csv.text().await.unwrap().replace('\r', ""));
}

#[tokio::test]
async fn money_is_split_to_the_last_unit() {
    let seed = Seed::new().await;
    let tags = [("a", "m", "c"), ("b", "m", "c"), ("c", "m", "c")];
    let credits = vec![(Some(tags[0]), 333_334), (Some(tags[1]), 333_333), (Some(tags[2]), 333_333)];
    let order =
        Order { gross: Some("100"), net: Some("0.05"), visitor: Some(1), credits, ..Order::default() };
    seed.order(&order).await;
    seed.order(&Order { id: "2".into(), gross: Some("10"), net: Some("-0.01"), ..order.clone() }).await;
    let server = Server::start(&seed.database.url).await;
    let answer = server.report(&format!("sources?{NOVEMBER}&sort=revenue")).await;
    let rows: BTreeMap<_, _> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["source"].as_str().unwrap(), row["revenue"].as_str().unwrap()))
        .collect();
    // 5 units: 1.67 each, the two largest remainders get one more; the earliest touch first among equals.
    // -1 unit: -0.333334 and -0.333333 each, floors of -1, two units to give back to the largest remainders.
    assert_eq!(rows, BTreeMap::from([("a", "0.01"), ("b", "0.02"), ("c", "0.01")]));
    assert_eq!(answer["meta"]["totals"]["revenue"], "0.04");
    assert_eq!(answer["meta"]["totals"]["orders"], 2);
    assert_eq!(answer["results"][0]["orders"], 0.666666);
}

/// What a list must say, worked out row by row.
#[derive(Debug, Default, Clone, PartialEq)]
struct Expected {
    sessions: i64,
    visitors: BTreeSet<u128>,
    conversions: i64,
    orders: i64,
    revenue: Decimal,
    score: i64,
}

#[tokio::test]
async fn lists_agree_with_a_plain_count_and_add_up_at_every_limit() {
    let seed = Seed::new().await;
    let (visits, orders) = random_shop();
    for visit in &visits {
        seed.visit(visit).await;
    }
    for order in &orders {
        seed.order(order).await;
    }
    let server = Server::start(&seed.database.url).await;
    let (from, to) = (at("2026-11-04T22:00:00Z"), at("2026-11-14T22:00:00Z"));
    let window = "from=2026-11-05&to=2026-11-15";
    let expected = count_plainly(&visits, &orders, from, to);
    let whole = server.report(&format!("campaigns?{window}&limit=1000")).await;
    let rows = whole["results"].as_array().unwrap();
    assert_eq!(rows.len(), expected.len());
    for row in rows {
        let key = ["campaign", "source", "medium"].map(|field| row[field].as_str().unwrap().to_owned());
        assert_eq!(&read(row), &numbers(&expected[&key]), "{key:?}");
    }
    let all = expected.values().fold(Expected::default(), add);
    assert_eq!(read(&whole["meta"]["totals"]), numbers(&all));
    let general = server.report(&format!("general-stats?{window}")).await;
    assert_eq!(general["results"]["total_revenue"], whole["meta"]["totals"]["revenue"]);
    assert_eq!(general["results"]["total_orders"], whole["meta"]["totals"]["orders"]);
    assert_eq!(general["results"]["unique_visitors"], whole["meta"]["totals"]["visitors"]);

    for report in ["sources", "campaigns", "content"] {
        for limit in [1, 3, 1000] {
            for sort in ["sessions", "revenue", "conversion_rate:asc"] {
                pages_add_up(&server, &format!("{report}?{window}&limit={limit}&sort={sort}"), &whole).await;
            }
        }
    }
}

/// Follows the cursors of a list: each page and its `other` make the totals, and all pages have each group once.
async fn pages_add_up(server: &Server, query: &str, whole: &Value) {
    let totals = read(&whole["meta"]["totals"]);
    let mut cursor = String::new();
    let mut seen = BTreeSet::new();
    loop {
        let page = server.report(&format!("{query}&cursor={cursor}")).await;
        let rows = page["results"].as_array().unwrap();
        let sum = rows.iter().chain([&page["meta"]["other"]]).map(read).reduce(|a, b| Numbers {
            sessions: a.sessions + b.sessions,
            visitors: 0,
            conversions: a.conversions + b.conversions,
            orders: a.orders + b.orders,
            revenue: a.revenue + b.revenue,
            score: a.score + b.score,
        });
        assert_eq!(sum.unwrap(), Numbers { visitors: 0, ..totals.clone() }, "{query} at {cursor}");
        for row in rows {
            let key = ["content", "campaign", "source", "medium"].map(|field| row[field].to_string());
            assert!(seen.insert(key), "{query}: twice {row}");
        }
        match page["meta"]["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert!(!seen.is_empty());
}

#[derive(Debug, Clone, PartialEq)]
struct Numbers {
    sessions: i64,
    visitors: i64,
    conversions: i64,
    orders: i64,
    revenue: Decimal,
    score: i64,
}

fn read(row: &Value) -> Numbers {
    Numbers {
        sessions: row["sessions"].as_i64().unwrap(),
        visitors: row["visitors"].as_i64().unwrap(),
        conversions: row["conversions"].as_i64().unwrap(),
        orders: row["orders"].as_i64().unwrap(),
        revenue: row["revenue"].as_str().unwrap().parse().unwrap(),
        score: row["total_score"].as_i64().unwrap(),
    }
}

fn numbers(expected: &Expected) -> Numbers {
    Numbers {
        sessions: expected.sessions,
        visitors: i64::try_from(expected.visitors.len()).unwrap(),
        conversions: expected.conversions,
        orders: expected.orders,
        revenue: expected.revenue,
        score: expected.score,
    }
}

fn add(mut sum: Expected, one: &Expected) -> Expected {
    sum.sessions += one.sessions;
    sum.visitors.extend(&one.visitors);
    sum.conversions += one.conversions;
    sum.orders += one.orders;
    sum.revenue += one.revenue;
    sum.score += one.score;
    sum
}

fn count_plainly(
    visits: &[Visit],
    orders: &[Order],
    from: Timestamp,
    to: Timestamp,
) -> BTreeMap<[String; 3], Expected> {
    let label = |tags: Option<Tags>, without: &str| match tags {
        None => ["(none)".to_owned(), without.to_owned(), "(none)".to_owned()],
        Some((source, medium, campaign)) => [campaign, source, medium]
            .map(|text| if text.is_empty() { "(none)".to_owned() } else { text.to_lowercase() }),
    };
    let mut groups: BTreeMap<[String; 3], Expected> = BTreeMap::new();
    for visit in visits.iter().filter(|visit| visit.at >= from && visit.at < to && visit.bot_score < 50) {
        let group = groups.entry(label(visit.tags, "(direct)")).or_default();
        group.sessions += 1;
        group.visitors.insert(visit.visitor);
        group.conversions += i64::from(visit.order_count > 0);
        group.score += i64::from(visit.score + visit.order_points);
    }
    for order in orders.iter().filter(|order| order.at >= from && order.at < to) {
        let without = if order.visitor.is_some() { "(direct)" } else { "(not tracked)" };
        let group =
            groups.entry(label(order.credits.first().and_then(|credit| credit.0), without)).or_default();
        group.orders += 1;
        group.revenue += order.net.unwrap().parse::<Decimal>().unwrap();
    }
    groups
}

/// [`random_shop`] in a database, with something put into the cart in each session.
pub async fn shop_with_carts() -> (Seed, Vec<Visit>) {
    let seed = Seed::new().await;
    let (visits, orders) = random_shop();
    for visit in &visits {
        let id = seed.visit(visit).await;
        seed.action(id, visit.visitor, visit.at, "add_to_cart", Some("a")).await;
    }
    for order in &orders {
        seed.order(order).await;
    }
    (seed, visits)
}

/// 300 sessions and 80 orders over three weeks, the same in every run.
pub fn random_shop() -> (Vec<Visit>, Vec<Order>) {
    let mut runner = TestRunner::deterministic();
    let mut pick = |most: u32| (0..most).new_tree(&mut runner).unwrap().current();
    let tags: [Option<Tags>; 8] = [
        None,
        None,
        Some(("Facebook", "paid_social", "Spring")),
        Some(("facebook", "paid_social", "autumn")),
        Some(("google", "cpc", "spring")),
        Some(("google", "organic", "")),
        Some(("Знижка", "email", "листопад")),
        Some(("", "", "nothing")),
    ];
    let amounts = ["10.00", "99.99", "1499.00", "0.01", "333.33"];
    let start = at("2026-11-01T00:00:00Z");
    let visits: Vec<Visit> = (0..300)
        .map(|index| Visit {
            at: start + SignedDuration::from_secs(i64::from(pick(21 * 86_400)) + index % 2),
            visitor: u128::from(pick(120)) + 1,
            number: 1 + i32::try_from(pick(3)).unwrap(),
            tags: tags[pick(8) as usize],
            page_views: 1 + i32::try_from(pick(4)).unwrap(),
            score: i32::try_from(pick(50)).unwrap(),
            order_count: i32::from(pick(5) == 0),
            bot_score: i16::try_from(pick(60)).unwrap(),
            ..Visit::default()
        })
        .collect();
    let orders = (0..80)
        .map(|index| {
            let visitor = (pick(4) > 0).then_some(1);
            let amount = amounts[pick(5) as usize];
            Order {
                id: index.to_string(),
                at: start + SignedDuration::from_secs(i64::from(pick(21 * 86_400))),
                visitor,
                gross: Some(amount),
                net: Some(amount),
                credits: visitor.map(|_| (tags[pick(8) as usize], 1_000_000)).into_iter().collect(),
                ..Order::default()
            }
        })
        .collect();
    (visits, orders)
}

#[tokio::test]
async fn wrong_parameters_are_refused_with_a_pointer() {
    let seed = Seed::new().await;
    let server = Server::start(&seed.database.url).await;
    let response = server.get("/api/v1/sources?perod=week").send().await.unwrap();
    let (status, refused) = problem(response).await;
    assert_eq!(status, 400);
    insta::assert_json_snapshot!(refused);
    for target in [
        "/api/v1/sources?limit=1001",
        "/api/v1/sources?cursor=nonsense",
        "/api/v1/sessions?cursor=AAAA",
        "/api/v1/sessions?sort=first_seen:asc",
        "/api/v1/general-stats?limit=5",
        "/api/v1/sessions/not-a-uuid?period=week",
    ] {
        assert_eq!(problem(server.get(target).send().await.unwrap()).await.0, 400, "{target}");
    }
    for target in [
        "/api/v1/sessions/not-a-uuid",
        "/api/v1/orders/%00/explain",
        "/api/v1/nothing",
        "/api/v1/sessions/%ff",
    ] {
        assert_eq!(problem(server.get(target).send().await.unwrap()).await.0, 404, "{target}");
    }
}

#[tokio::test]
async fn no_query_string_is_an_internal_error() {
    let seed = small_shop().await;
    let server = Server::start(&seed.database.url).await;
    let names = [
        "period",
        "from",
        "to",
        "timezone",
        "limit",
        "cursor",
        "sort",
        "site",
        "source",
        "medium!",
        "campaign~",
        "content!~",
        "term",
        "device",
        "country",
        "bots",
        "date_basis",
        "model",
        "q",
        "format",
        "interval",
        "compare",
        "mode",
        "steps",
        "ad_spend",
        "margin",
        "cohort_type",
        "metric",
        "periods",
        "campaign",
        "baseline",
        "by",
        "type",
        "x",
    ];
    let values = prop_values();
    let mut runner = TestRunner::deterministic();
    let pairs = proptest::collection::vec((proptest::sample::select(names.to_vec()), values), 0..4);
    let reports = proptest::sample::select(vec![
        "general-stats",
        "sources",
        "campaigns",
        "content",
        "sessions",
        "timeseries",
        "compare",
        "funnel",
        "returning-visitors",
        "products",
        "roi",
        "repeat-rate",
        "ltv-comparison",
        "cohort-analysis",
        "ab-test",
        "attribution",
        "orders",
        "realtime",
        "export",
    ]);
    for _ in 0..600 {
        let report = reports.new_tree(&mut runner).unwrap().current();
        let pairs = pairs.new_tree(&mut runner).unwrap().current();
        let query: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
        let response = server.get(&format!("/api/v1/{report}?{query}")).send().await.unwrap();
        let status = response.status().as_u16();
        assert!(matches!(status, 200 | 400 | 422), "{report}?{query}: {status}");
    }
}

fn prop_values() -> impl Strategy<Value = String> {
    let known = [
        "today",
        "all_time",
        "2026-11-01",
        "2026-11-30T10:00:00+02:00",
        "1970-01-01",
        "2999-12-31",
        "UTC",
        "Asia/Kathmandu",
        "1",
        "1000",
        "revenue",
        "revenue:asc",
        "visitors",
        "conversion_rate",
        "facebook",
        "%",
        "\\",
        "_",
        "include",
        "only",
        "session",
        "csv",
        "month",
        "week",
        "previous_period",
        "previous_year",
        "open",
        "lead,purchase",
        "ltv",
        "revenue",
        "linear",
        "time_decay",
        "orders",
        "sources",
        "AAAAAA",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "last_non_direct",
        "(direct)",
    ];
    proptest::prop_oneof![
        3 => proptest::sample::select(known.to_vec()).prop_map(str::to_owned),
        1 => "\\PC{0,20}",
        1 => "[0-9:TZ+-]{0,25}",
    ]
}

#[tokio::test]
async fn a_question_that_takes_too_long_is_ended_and_said_so() {
    let seed = small_shop().await;
    let server = Server::start_with(&seed.database.url, |config| {
        config.database.statement_timeout = std::time::Duration::from_millis(500);
    })
    .await;
    let lock = seed.database.connect().await;
    lock.batch_execute("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let (status, refused) =
        problem(server.get(&format!("/api/v1/sources?{NOVEMBER}")).send().await.unwrap()).await;
    assert_eq!(status, 422);
    insta::assert_json_snapshot!(refused);
    lock.batch_execute("ROLLBACK").await.unwrap();
    eventually("an answer", DEADLINE, async || {
        let answer = server.get(&format!("/api/v1/sources?{NOVEMBER}")).send().await.unwrap();
        (answer.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn filters_that_are_not_given_cost_nothing() {
    let seed = small_shop().await;
    let parameters =
        "now() - interval '7 days', now(), NULL, 'exclude', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                      NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL";
    let plan = async |question: &str| {
        let rows =
            seed.client.query_typed(&format!("EXPLAIN {question}"), &[] as &[(_, Type)]).await.unwrap();
        rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
    };
    let sessions = plan(&format!("SELECT count(*) FROM report_sessions({parameters})")).await;
    assert!(!sessions.contains("Function Scan") && !sessions.contains("campaigns"), "{sessions}");
    let orders = plan(&format!(
        "SELECT sum(revenue) FROM report_orders({parameters}, 'order', 'last_non_direct', 'UAH', 2, 'placed', NULL)"
    ))
    .await;
    let unneeded = ["Function Scan", "WindowAgg", "sessions", "campaigns"];
    assert!(unneeded.iter().all(|word| !orders.contains(word)), "{orders}");
}
