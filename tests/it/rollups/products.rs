//! What was bought: the list of products says of packed orders what it says of the orders themselves, whatever came later.

use serde_json::{Value, json};
use utm_dispatcher::store::rollups::refresh;
use uuid::Uuid;

use super::{at, count, told};
use crate::stats::seed::{Order, Seed, Tags, Visit};
use crate::stats::server::Server;

const NOW: &str = "2026-11-20T00:00:00Z";
const WINDOW: &str = "from=2026-11-01&to=2026-11-20&timezone=UTC";
const AD: Tags = ("google", "cpc", "x");

/// Whatever is asked, packed orders say what orders say.
const REPORTS: [&str; 12] = [
    "products?limit=1&",
    "products?limit=100&sort=purchases:asc&",
    "products?limit=100&sort=revenue&",
    "products?limit=100&sort=cart_to_purchase_rate&source=google&",
    "products?site=second&",
    "products?source!=google&",
    "products?date_basis=session&bots=include&",
    "products?date_basis=session&device=desktop&",
    "products?model=linear&campaign=x&",
    "products?country=ua&",
    "products?bots=only&",
    "general-stats?",
];

struct Shop {
    seed: Seed,
    server: Server,
    /// Of the order without positions.
    session: Uuid,
}

async fn items(seed: &Seed, site: &str, order: &str, (kind, way): (i16, i16), items: &Value) {
    let statement = "INSERT INTO order_entries (site_id, order_id, kind, reference, way, at, received_at, hash, by_cookie, items)
                     SELECT o.site_id, o.order_id, $3, '', $4, o.placed_at, o.placed_at, 0, false, $5
                     FROM orders o JOIN sites s USING (site_id) WHERE s.name = $1 AND o.order_id = $2";
    assert_eq!(seed.client.execute(statement, &[&site, &order, &kind, &way, items]).await.unwrap(), 1);
}

/// Something that names an order is done in a session.
async fn action(seed: &Seed, session: Uuid, kind: &str, product: &str, order: &str) {
    let when = at("2026-11-10T10:00:30Z");
    seed.action(session, 6, when, kind, Some(product)).await;
    let named = "UPDATE events SET order_id = $1 WHERE session_id = $2 AND order_id IS NULL";
    seed.client.execute(named, &[&order, &session]).await.unwrap();
}

/// An order of 100 that an ad earned, but for what changes; with a visitor it has a session, which is answered.
async fn place(
    seed: &Seed,
    id: &str,
    placed: &str,
    visitor: Option<u128>,
    change: fn(&mut Order),
) -> Option<Uuid> {
    let mut order = Order {
        id: id.to_owned(),
        at: at(placed),
        visitor,
        gross: Some("100.00"),
        net: Some("100.00"),
        credits: vec![(Some(AD), 1_000_000)],
        ..Order::default()
    };
    change(&mut order);
    if let Some(visitor) = visitor {
        let began = order.at - jiff::SignedDuration::from_mins(30);
        let (site, tags) = (order.site, Some(AD));
        let visit = Visit { site, at: began, visitor, order_count: 1, tags, ..Visit::default() };
        order.session = Some(seed.visit(&visit).await);
    }
    seed.order(&order).await;
    order.session
}

async fn shop() -> Shop {
    let seed = Seed::new().await;
    let order = async |id: &str, placed: &str, visitor: Option<u128>, change: fn(&mut Order)| {
        place(&seed, id, placed, visitor, change).await
    };
    let one = order("1", "2026-11-10T10:30:00Z", Some(1), |_| {}).await.unwrap();
    for (kind, product) in [("product_view", "a"), ("add_to_cart", "a"), ("product_view", "e")] {
        seed.action(one, 1, at("2026-11-10T10:00:10Z"), kind, Some(product)).await;
    }
    // Some of each product twice, which is rounded once; and what is neither a number nor a product.
    let positions = json!([
        {"product_id": "a", "name": "Apple", "quantity": "2", "price": "10.00"},
        {"product_id": "a", "name": "Apples", "quantity": 1.5, "price": "0.33"},
        {"product_id": "b", "quantity": "some", "price": "5"},
        {"name": "nothing", "price": "1"}, "c", {"product_id": "c"},
        {"product_id": "d", "name": "Dates", "quantity": "0.50", "price": "1e3"},
    ]);
    items(&seed, "default", "1", (1, 4), &positions).await;
    // All of it was given back.
    order("2", "2026-11-10T11:00:00Z", Some(2), |order| (order.refunded, order.net) = ("100.00", Some("0")))
        .await;
    items(&seed, "default", "2", (1, 4), &json!([{"product_id": "a", "name": "An apple", "price": "9"}]))
        .await;
    order("3", "2026-11-10T12:00:00Z", None, |order| order.credits = Vec::new()).await;
    items(&seed, "default", "3", (1, 4), &json!([{"product_id": "a", "price": "7"}])).await;
    for (day, currency, rate) in [("2026-11-11", "EUR", "40.01")] {
        let statement = "INSERT INTO exchange_rates (day, currency, quote, rate) VALUES ($1::text::date, $2, 'UAH', $3::text::numeric)";
        seed.client.execute(statement, &[&day, &currency, &rate]).await.unwrap();
    }
    order("4", "2026-11-11T12:00:00Z", Some(4), |order| order.currency = Some("EUR")).await;
    // 3.375 and 0.1 × 3 of them are 135.03375 and 12.003.
    let euros = json!([{"product_id": "b", "quantity": "3", "price": "1.125"}, {"product_id": "d", "quantity": 3, "price": "0.1"}]);
    items(&seed, "default", "4", (1, 4), &euros).await;
    order("5", "2026-11-11T13:00:00Z", Some(5), |order| order.currency = Some("USD")).await;
    items(&seed, "default", "5", (1, 4), &json!([{"product_id": "a", "price": "7"}])).await;
    // Without positions; what another order's purchase names is not of it.
    let session = order("6", "2026-11-10T10:30:30Z", Some(6), |_| {}).await.unwrap();
    for (kind, product, order) in [
        ("product_view", "e", "6"),
        ("purchase", "e", "6"),
        ("purchase", "e", "6"),
        ("purchase", "b", "6"),
        ("purchase", "a", "7"),
    ] {
        action(&seed, session, kind, product, order).await;
    }
    items(&seed, "default", "6", (1, 4), &json!([{"name": "nothing"}])).await;
    // The best report counts: of its placing, by the API.
    order("7", "2026-11-13T12:00:00Z", Some(7), |_| {}).await;
    for (report, product) in [((2, 4), "x"), ((1, 3), "y"), ((1, 4), "f")] {
        items(&seed, "default", "7", report, &json!([{"product_id": product, "price": "1.005"}])).await;
    }
    let of_second = |order: &mut Order| {
        (order.site, order.credits) = ("second", vec![(Some(AD), 600_000), (None, 400_000)]);
    };
    order("1", "2026-11-14T12:00:00Z", Some(8), of_second).await;
    items(&seed, "second", "1", (1, 4), &json!([{"product_id": "a", "name": "Another", "price": "3"}])).await;
    let linear = "INSERT INTO order_credits (site_id, order_id, model, position, campaign_id, credit, touch_at)
                  SELECT c.site_id, c.order_id, 'linear', n, CASE WHEN n = 1 THEN c.campaign_id END, 500000, c.touch_at
                  FROM order_credits c CROSS JOIN generate_series(1, 2) AS n WHERE c.position = 1";
    seed.client.batch_execute(linear).await.unwrap();
    let server = Server::start_with(&seed.database.url, |config| {
        config.stats.currency = Some("UAH".into());
    })
    .await;
    Shop { seed, server, session }
}

impl Shop {
    /// Of each product what was bought of it.
    async fn bought(&self) -> Vec<Value> {
        let answer = told(&self.server, &format!("products?limit=100&sort=purchases&{WINDOW}")).await;
        assert_eq!(answer["meta"]["totals"]["purchases"], sum(&answer, "purchases"));
        let rows = answer["results"].as_array().unwrap().iter();
        rows.map(|row| {
            json!([
                row["site"],
                row["product_id"],
                row["name"],
                row["views"],
                row["purchases"],
                row["quantity"],
                row["revenue"],
                row["view_to_purchase_rate"],
                row["cart_to_purchase_rate"]
            ])
        })
        .collect()
    }

    async fn reports(&self) -> Vec<Value> {
        let mut reports = Vec::new();
        for report in REPORTS {
            reports.push(told(&self.server, &format!("{report}{WINDOW}")).await);
        }
        reports
    }

    /// Packs what there is; answers how many days of orders that were.
    async fn pack(&self) -> usize {
        let mut days = 0;
        loop {
            let refreshed = refresh(&self.seed.database.store(), at(NOW)).await.unwrap().unwrap();
            days += refreshed.order_days;
            if refreshed.hours == 0 && refreshed.order_days == 0 {
                return days;
            }
        }
    }

    /// Fails where reports say something else when all is packed; answers what was bought.
    async fn holds(&self) -> Vec<Value> {
        let (before, bought) = (self.reports().await, self.bought().await);
        self.pack().await;
        for marks in ["dirty_hours", "dirty_order_days", "order_columns WHERE positions IS NULL"] {
            assert_eq!(count(&self.seed.client, marks).await, 0, "{marks}");
        }
        for ((report, packed), before) in REPORTS.iter().zip(self.reports().await).zip(before) {
            assert_eq!(packed, before, "{report}");
        }
        assert_eq!(self.bought().await, bought);
        bought
    }

    async fn execute(&self, statement: &str) {
        self.seed.client.batch_execute(statement).await.unwrap();
    }
}

fn sum(answer: &Value, column: &str) -> i64 {
    answer["results"].as_array().unwrap().iter().map(|row| row[column].as_i64().unwrap()).sum()
}

#[tokio::test]
async fn what_was_bought_is_the_same_packed() {
    let shop = shop().await;
    let expected = [
        json!(["default", "a", "Product a", 1, 4, "6.5", "27.50", 100.0, 100.0]),
        json!(["default", "b", "Product b", 0, 3, "5", "140.03", null, null]),
        json!(["default", "d", "Dates", 0, 2, "3.50", "12.00", null, null]),
        json!(["default", "e", "Product e", 2, 1, "1", null, 50.0, null]),
        json!(["default", "c", null, 0, 1, "1", null, null, null]),
        json!(["default", "f", null, 0, 1, "1", "1.01", null, null]),
        json!(["second", "a", "Another", 0, 1, "1", "3.00", null, null]),
    ];
    let bought = shop.holds().await;
    assert_eq!(bought.len(), expected.len(), "{bought:?}");
    for row in expected {
        assert!(bought.contains(&row), "{row} is not in {bought:?}");
    }
    let warnings = shop.reports().await[0]["meta"]["warnings"].to_string();
    assert!(warnings.contains("1 order has another currency than UAH"), "{warnings}");
}

#[tokio::test]
async fn what_comes_later_is_told_at_once() {
    let shop = shop().await;
    shop.holds().await;
    let row = async |product: &str| {
        let bought = shop.bought().await;
        bought.into_iter().find(|row| row[0] == "default" && row[1] == product).unwrap()
    };
    // Another purchase of the order without positions.
    action(&shop.seed, shop.session, "purchase", "g", "6").await;
    assert_eq!(row("g").await[4], 1);
    shop.holds().await;
    // Positions of it, which stand in the place of purchases.
    items(&shop.seed, "default", "6", (1, 3), &json!([{"product_id": "h", "price": "4"}])).await;
    shop.execute("DELETE FROM order_entries WHERE order_id = '6' AND way = 4").await;
    assert_eq!(row("h").await[6], "4.00");
    assert!(shop.holds().await.iter().all(|row| row[1] != "g"));
    // A product is called otherwise, in an order and for all.
    shop.execute("UPDATE order_entries SET items = '[{\"product_id\": \"h\", \"name\": \"Hat\"}]' WHERE order_id = '6'").await;
    assert_eq!([row("h").await[2].clone(), row("h").await[6].clone()], [json!("Hat"), Value::Null]);
    shop.execute("UPDATE products SET name = 'Zebra' WHERE product_id = 'a'").await;
    assert_eq!(row("a").await[2], "Zebra");
    shop.holds().await;
    // Its session is known by another name.
    let renamed = "UPDATE sessions SET session_id = n.id FROM (SELECT session_id AS old, overlay(session_id::text placing 'abcd' from 20)::uuid AS id
                       FROM orders WHERE order_id = '1' AND visitor_id = '00000000-0000-0000-0000-000000000001') n
                   WHERE session_id = n.old";
    let of_rest = |table: &str| {
        renamed
            .replace("UPDATE sessions", &format!("UPDATE {table}"))
            .replace("WHERE session_id", &format!("WHERE {table}.session_id"))
    };
    shop.execute(&format!(
        "BEGIN; {}; {}; {}; COMMIT",
        of_rest("sessions"),
        of_rest("events"),
        of_rest("orders")
    ))
    .await;
    assert_eq!(row("a").await[7], 100.0);
    shop.holds().await;
    // What was done there is gone.
    shop.execute("DELETE FROM events; UPDATE sessions SET page_views = page_views").await;
    assert_eq!(row("a").await[2], "Apples");
    shop.holds().await;
}

#[tokio::test]
async fn days_that_a_binary_of_before_packed_have_what_was_bought_all_the_same() {
    let shop = shop().await;
    let bought = shop.holds().await;
    let reports = shop.reports().await;
    shop.execute(
        "UPDATE order_columns SET buyers = NULL, positions = NULL, told = NULL, product_ids = NULL, product_names = NULL
         WHERE order_day > '2026-11-10Z'",
    )
    .await;
    assert_eq!((shop.bought().await, shop.reports().await), (bought.clone(), reports.clone()));
    assert_eq!(shop.pack().await, 3);
    assert_eq!((shop.bought().await, shop.reports().await), (bought, reports));
}

#[tokio::test]
async fn numbers_beyond_all_measure_are_packed_too() {
    let shop = shop().await;
    shop.pack().await;
    let long = json!([{"product_id": "z", "quantity": "999999999999.999999999999", "price": "999999999999999.999999999999"},
                      {"product_id": "y", "quantity": "0.000000000001", "price": "0.000000000001"}]);
    items(&shop.seed, "default", "3", (1, 3), &long).await;
    shop.execute("DELETE FROM order_entries WHERE order_id = '3' AND way = 4").await;
    for _ in 0..3 {
        let bought = shop.bought().await;
        let z = json!([
            "default",
            "z",
            null,
            0,
            1,
            "999999999999.999999999999",
            "999999999999999999999998999.00",
            null,
            null
        ]);
        let y = json!(["default", "y", null, 0, 1, "0.000000000001", "0.00", null, null]);
        assert!(bought.contains(&z) && bought.contains(&y), "{bought:?}");
        refresh(&shop.seed.database.store(), at(NOW)).await.unwrap();
    }
    assert_eq!(count(&shop.seed.client, "dirty_order_days").await, 0);
    assert_eq!(count(&shop.seed.client, "order_columns WHERE order_day = '2026-11-10Z'").await, 1);
}
