//! What a question about some days costs does not grow with the years before: months outside of its window are not read.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;
use utm_dispatcher::store::order_columns::{ORDER_ROWS, PURCHASE_ROWS};
use utm_dispatcher::store::partitions::{self, Month};

use crate::stats::seed::{Order, Seed, Visit};

/// Its name, its text, and what it takes beside window and filters.
type Question = (&'static str, &'static str, &'static [&'static str]);

macro_rules! question {
    ($name:literal, $more:expr) => {
        ($name, include_str!(concat!("../../src/stats/sql/", $name, ".sql")), $more)
    };
}

const EDGES: &str = "(ARRAY['2026-06-10Z', '2026-06-15Z', '2026-06-20Z']::timestamptz[])";

const OF_SESSIONS: [Question; 8] = [
    question!("general_sessions", &[]),
    question!("left_out_sessions", &[]),
    question!("timeseries_sessions", &[EDGES]),
    question!("label_sums", &[]),
    question!("sessions_by_campaign", &[]),
    question!("export_sessions", &[]),
    question!("export_touches", &[]),
    question!("export_actions", &[]),
];
/// Of an order of the twelfth of June, and of clicks of some days.
const OF_CLICKS: [&str; 7] = [
    "'{2026-06-12T10:00:00Z}'::timestamptz[]",
    "'{1}'::bigint[]",
    "'2026-06-12T10:00:00Z'::timestamptz",
    "'2026-06-12T10:00:00Z'::timestamptz",
    "'2026-06-10Z'::timestamptz",
    "'2026-06-14Z'::timestamptz",
    "'Purchase'",
];
const BY_CLICKS: [Question; 2] =
    [question!("export_google", &OF_CLICKS), question!("export_meta", &OF_CLICKS)];

/// The day of orders that are told one by one.
const OF_ORDERS: [&str; 5] =
    ["ARRAY['2026-06-12Z'::timestamptz]", "NULL", "NULL", "'{session_starts,linear,keys}'", "'{linear}'"];

/// An order of the twelfth of June.
const OF_PURCHASES: [&str; 5] = [
    "ARRAY[1]",
    "ARRAY['612']",
    "(SELECT array_agg(o.session_id) FROM orders o WHERE o.order_id = '612')",
    "'2026-06-12Z'",
    "'2026-06-13Z'",
];

const WINDOW: &str = "'2026-06-10Z'::timestamptz, '2026-06-20Z'::timestamptz, NULL, 'exclude'";

/// The statement with literals in the place of its parameters: the planner knows them as those that are sent.
fn filled(sql: &str, parameters: &[&str]) -> String {
    let pairs = parameters.iter().enumerate().rev();
    pairs.fold(sql.to_owned(), |sql, (index, literal)| sql.replace(&format!("${}", index + 1), literal))
}

/// Months of partitions that a plan read.
fn months_read(plan: &Value, months: &mut BTreeSet<String>) {
    match plan {
        Value::Array(parts) => parts.iter().for_each(|part| months_read(part, months)),
        Value::Object(node) => {
            if let Some(name) = node.get("Relation Name").and_then(Value::as_str)
                && node["Actual Loops"].as_f64().unwrap() > 0.0
                && let Some((_, month)) = name.split_once("_2026_")
            {
                months.insert(month.to_owned());
            }
            node.values().for_each(|part| months_read(part, months));
        }
        _ => {}
    }
}

#[tokio::test]
async fn months_outside_of_the_window_are_not_read() {
    let seed = Seed::by_month().await;
    let at = |month: u32, day: u32| -> Timestamp {
        format!("2026-{month:02}-{day:02}T10:00:00Z").parse().unwrap()
    };
    let months = (1..=12).filter_map(|month| Month::of(at(month, 15))).collect();
    partitions::ensure(&mut seed.database.store().office().await.unwrap(), &months).await.unwrap();
    for month in 1..=12 {
        for day in [3, 12, 18] {
            let visitor = u128::from(month * 100 + day);
            let visit = Visit {
                at: at(month, day),
                visitor,
                tags: Some(("google", "cpc", "x")),
                order_count: 1,
                ..Visit::default()
            };
            let session = seed.visit(&visit).await;
            seed.action(session, visitor, at(month, day), "product_view", Some("p1")).await;
            let order = Order {
                id: visitor.to_string(),
                at: at(month, day),
                visitor: Some(visitor),
                session: Some(session),
                gross: Some("10"),
                ..Order::default()
            };
            seed.order(&order).await;
        }
    }
    seed.client.batch_execute("ANALYZE").await.unwrap();
    let filters = ["NULL"; 16].join(", ");
    let window: Vec<&str> = WINDOW.split(", ").chain(filters.split(", ")).collect();
    let questions = OF_SESSIONS.iter().map(|(name, sql, more)| {
        (*name, filled(sql, &window.iter().chain(more.iter()).copied().collect::<Vec<&str>>()))
    });
    let of_orders = [
        ("order_rows", filled(ORDER_ROWS, &OF_ORDERS)),
        ("order_purchases", filled(PURCHASE_ROWS, &OF_PURCHASES)),
    ];
    let of_clicks = BY_CLICKS.iter().map(|(name, sql, parameters)| (*name, filled(sql, parameters)));
    for (name, question) in questions.chain(of_orders).chain(of_clicks) {
        let explain = format!("EXPLAIN (ANALYZE, FORMAT JSON) {question}");
        let plan: Value = seed.client.query_one(&explain, &[]).await.unwrap().get(0);
        let mut months = BTreeSet::new();
        months_read(&plan, &mut months);
        assert!(months.contains("06"), "{name} reads nothing: {plan:#}");
        // What the shop tells of a session may be of any later time.
        let least = if name == "export_actions" { months.iter().min().map(String::as_str) } else { None };
        let is_pruned = least.map_or(months.len() == 1, |least| least == "06");
        assert!(is_pruned, "{name} reads months {months:?} for ten days of June");
    }
}

/// Names of the relations that a plan has, whether it reads them or not.
fn planned<'a>(plan: &'a Value, names: &mut BTreeSet<&'a str>) {
    match plan {
        Value::Array(parts) => parts.iter().for_each(|part| planned(part, names)),
        Value::Object(node) => {
            names.extend(node.get("Relation Name").and_then(Value::as_str));
            node.values().for_each(|part| planned(part, names));
        }
        _ => {}
    }
}

#[tokio::test]
async fn a_page_of_sessions_is_planned_for_its_own_months() {
    let seed = Seed::by_month().await;
    let at: Timestamp = "2026-06-12T10:00:00Z".parse().unwrap();
    let months =
        (1..=12).filter_map(|month| Month::of(format!("2026-{month:02}-15T10:00:00Z").parse().unwrap()));
    partitions::ensure(&mut seed.database.store().office().await.unwrap(), &months.collect()).await.unwrap();
    let session = seed.visit(&Visit { at, visitor: 7, ..Visit::default() }).await;
    let parameters =
        [&format!("'{{{session}}}'"), "'{2026-06-12T10:00:00Z}'", "'{00000000-0000-0000-0000-000000000007}'"];
    let details = filled(include_str!("../../src/stats/sql/sessions_details.sql"), &parameters);
    let explain = format!("EXPLAIN (FORMAT JSON) {details}");
    let plan: Value = seed.client.query_one(&explain, &[]).await.unwrap().get(0);
    let mut names = BTreeSet::new();
    planned(&plan, &mut names);
    let of_months: Vec<&str> = names.into_iter().filter(|name| name.contains("_2026_")).collect();
    assert_eq!(of_months, ["session_cookies_2026_06", "sessions_2026_06", "touches_2026_06"]);
}
