//! Orders that are packed: reports say of them what they would say of the orders themselves, whatever came later.

use jiff::SignedDuration;
use serde_json::{Value, json};
use utm_dispatcher::store::rollups::refresh;

use super::{at, count, told};
use crate::stats::seed::{Order, Seed, Tags, Visit};
use crate::stats::server::Server;

const NOW: &str = "2026-11-20T00:00:00Z";
const WINDOW: &str = "from=2026-11-01&to=2026-11-20";
const TAGS: [Option<Tags>; 3] = [Some(("google", "cpc", "x")), None, Some(("facebook", "social", "y"))];

/// Reports that read packed orders.
const REPORTS: [&str; 8] = [
    "repeat-rate?",
    "repeat-rate?source=google&model=linear&",
    "repeat-rate?date_basis=session&bots=include&",
    "roi?ad_spend=10&device=desktop&",
    "attribution?",
    "attribution?by=campaign&source!=facebook&",
    "attribution?by=channel&date_basis=session&",
    "coverage?",
];

/// Two orders a day of six people, the second of whom is known by a telephone too; each was earned by up to three touches.
async fn shop() -> (Seed, Server) {
    let seed = Seed::new().await;
    for number in 0..24_u32 {
        let placed = at("2026-11-03T08:00:00Z") + SignedDuration::from_hours(12 * i64::from(number));
        let visitor = u128::from(number % 6 + 1);
        let visit =
            Visit { at: placed - SignedDuration::from_mins(20), visitor, order_count: 1, ..Visit::default() };
        let order = Order {
            id: number.to_string(),
            at: placed,
            visitor: (number % 5 > 0).then_some(visitor),
            session: Some(seed.visit(&visit).await),
            gross: Some("10"),
            net: Some(if number % 7 == 0 { "0" } else { "10" }),
            currency: (number % 8 > 0).then_some("UAH"),
            credits: vec![(TAGS[number as usize % 3], 1_000_000)],
            ..Order::default()
        };
        seed.order(&order).await;
        let phone = (visitor == 2).then_some("phone");
        seed.entry(&order.id, placed, None, phone, None).await;
    }
    let linear = "INSERT INTO order_credits (site_id, order_id, model, position, campaign_id, credit, touch_at)
                  SELECT c.site_id, c.order_id, 'linear', n, CASE WHEN n <> order_id::integer % 3 THEN c.campaign_id END,
                         500000, c.touch_at - n * interval '7 hours'
                  FROM order_credits c CROSS JOIN generate_series(1, 2) AS n";
    seed.client.batch_execute(linear).await.unwrap();
    let server = Server::start(&seed.database.url).await;
    (seed, server)
}

async fn reports(server: &Server) -> Vec<Value> {
    let mut reports = Vec::new();
    for report in REPORTS {
        reports.push(told(server, &format!("{report}{WINDOW}")).await);
    }
    reports
}

/// Packs all there is; answers how many days that were.
async fn pack(seed: &Seed) -> usize {
    let mut days = 0;
    loop {
        let refreshed = refresh(&seed.database.store(), at(NOW)).await.unwrap().unwrap();
        days += refreshed.order_days;
        if refreshed.hours == 0 && refreshed.order_days == 0 {
            assert_eq!(count(&seed.client, "dirty_order_days").await, 0);
            return days;
        }
    }
}

#[tokio::test]
async fn packed_orders_say_what_orders_say() {
    let (seed, server) = shop().await;
    let before = reports(&server).await;
    assert!(before[0]["results"]["repeat_customers"].as_i64().unwrap() > 2);
    assert!(before[4]["results"]["median_days_to_order"].as_f64().unwrap() > 0.5);
    assert!(pack(&seed).await >= 12);
    for (packed, report) in reports(&server).await.into_iter().zip(before).rev() {
        assert_eq!(packed, report);
    }
}

#[tokio::test]
async fn a_key_that_comes_later_connects_at_once() {
    let (seed, server) = shop().await;
    pack(&seed).await;
    let report = format!("repeat-rate?{WINDOW}");
    let customers = async || told(&server, &report).await["results"]["total_customers"].as_i64().unwrap();
    let before = customers().await;
    // Order 8 is the third visitor's; with the telephone it is the second's customer's, and so are all of that visitor.
    let api = "INSERT INTO order_entries (site_id, order_id, kind, reference, way, at, received_at, hash, by_cookie, phone)
               SELECT site_id, order_id, 2, '', 3, at, at, 1, false, 'phone' FROM order_entries WHERE order_id = '8'";
    seed.client.batch_execute(api).await.unwrap();
    assert_eq!(customers().await, before - 1);
    assert_eq!(told(&server, &format!("coverage?{WINDOW}")).await["results"]["orders"]["by_import"], 1);
    assert_eq!(pack(&seed).await, 1);
    assert_eq!(customers().await, before - 1);
    // And by another one it is its visitor's alone again.
    let other = "UPDATE order_entries SET phone = 'other' WHERE order_id = '8' AND kind = 2";
    seed.client.batch_execute(other).await.unwrap();
    assert_eq!(customers().await, before);
    pack(&seed).await;
    assert_eq!(customers().await, before);
    seed.client.batch_execute("DELETE FROM order_entries WHERE order_id = '8' AND kind = 2").await.unwrap();
    assert_eq!(told(&server, &format!("coverage?{WINDOW}")).await["results"]["orders"]["by_import"], 0);
}

#[tokio::test]
async fn days_that_a_binary_of_before_packed_are_told_from_their_orders_and_packed_again() {
    let (seed, server) = shop().await;
    pack(&seed).await;
    let before = reports(&server).await;
    let old = "UPDATE order_columns SET visitors = NULL, first_touches = NULL, keys = NULL, buyers = NULL, positions = NULL, told = NULL
               WHERE order_day < '2026-11-08Z'";
    seed.client.batch_execute(old).await.unwrap();
    assert_eq!(reports(&server).await, before);
    assert_eq!(pack(&seed).await, 5);
    assert_eq!(count(&seed.client, "order_columns WHERE keys IS NULL").await, 0);
    assert_eq!(reports(&server).await, before);
    assert_eq!(before[7]["results"]["orders"]["by_api"], json!(24));
}
