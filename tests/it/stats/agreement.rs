//! Whatever is asked for, reports agree: lists add up to `general-stats` under every filter, and so do series.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use rust_decimal::Decimal;
use serde_json::Value;
use utm_dispatcher::store::rollups::refresh;

use super::reports::random_shop;
use super::seed::Seed;
use super::server::Server;

const LISTS: [&str; 12] = [
    "sources",
    "campaigns",
    "content",
    "channels",
    "devices",
    "browsers",
    "operating-systems",
    "geo",
    "geo/regions",
    "geo/cities",
    "referrers",
    "landing-pages",
];

/// Sessions, conversions, score, orders in millionths, money.
fn sums(row: &Value) -> (i64, i64, i64, i64, Decimal) {
    let count = |field: &str| row[field].as_i64().unwrap();
    let orders: Decimal = row["orders"].to_string().parse().unwrap();
    let millionths = (orders * Decimal::from(1_000_000)).round();
    (
        count("sessions"),
        count("conversions"),
        count("total_score"),
        millionths.to_string().parse().unwrap(),
        row["revenue"].as_str().unwrap().parse().unwrap(),
    )
}

fn filters() -> impl Strategy<Value = String> {
    let one = |pair: &'static str| proptest::option::weighted(0.25, proptest::strategy::Just(pair));
    let pairs = vec![
        one("source=facebook"),
        one("source!=google"),
        one("source~=oo"),
        one("source=(direct)"),
        one("source=(not tracked)"),
        one("medium=cpc"),
        one("campaign~=spring"),
        one("campaign!~=spring"),
        one("content!=x"),
        one("term=(none)"),
        one("device=mobile"),
        one("device!=mobile"),
        one("country=ua"),
        one("channel=unassigned"),
        one("channel!=direct"),
        one("bots=include"),
        one("date_basis=session"),
        one("model=linear"),
        one("timezone=Asia/Kathmandu"),
    ];
    pairs.prop_map(|pairs| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for pair in pairs.into_iter().flatten() {
            let (name, value) = pair.rsplit_once('=').unwrap();
            query.append_pair(name, value);
        }
        query.finish()
    })
}

#[tokio::test]
async fn lists_add_up_to_general_stats_under_every_filter() {
    let seed = Seed::new().await;
    let (mut visits, mut orders) = random_shop();
    for (index, visit) in visits.iter_mut().enumerate() {
        visit.device = ["desktop", "mobile", "tablet"][index % 3];
        visit.country = ["UA", "PL"][index % 2];
    }
    let mut ids = Vec::new();
    for visit in &visits {
        ids.push(seed.visit(visit).await);
    }
    for (index, order) in orders.iter_mut().enumerate() {
        order.session = order.visitor.map(|_| ids[index * 3]);
        seed.order(order).await;
    }
    // Another model, by which two touches share each order.
    seed.client
        .batch_execute(
            "INSERT INTO order_credits (site_id, order_id, model, position, campaign_id, credit, touch_at)
             SELECT c.site_id, c.order_id, 'linear', n, CASE n WHEN 1 THEN c.campaign_id END, 500000 + (3 - 2 * n) * 7, c.touch_at
             FROM order_credits c
             CROSS JOIN generate_series(1, 2) AS n",
        )
        .await
        .unwrap();
    let server = Server::start(&seed.database.url).await;
    let mut runner = TestRunner::deterministic();
    let (filters, limits) = (filters(), proptest::sample::select(vec![1, 2, 5, 1000]));
    for round in 0..40 {
        // Of sessions, of columns, and of both.
        match round {
            13 => {
                while refresh(&seed.database.store(), "2026-12-01T00:00:00Z".parse().unwrap())
                    .await
                    .unwrap()
                    .unwrap()
                    .hours
                    > 0
                {}
            }
            26 => {
                let marks = "INSERT INTO dirty_hours SELECT DISTINCT session_hour FROM sessions
                             WHERE extract(hour FROM session_hour)::integer % 3 = 0";
                seed.client.batch_execute(marks).await.unwrap();
            }
            _ => {}
        }
        let query =
            format!("from=2026-11-04&to=2026-11-17&{}", filters.new_tree(&mut runner).unwrap().current());
        let general = server.report(&format!("general-stats?{query}")).await["results"].clone();
        let mut expected = general.clone();
        for (name, from) in [
            ("sessions", "total_sessions"),
            ("conversions", "total_conversions"),
            ("orders", "total_orders"),
            ("revenue", "total_revenue"),
        ] {
            expected[name] = general[from].clone();
        }
        let expected = sums(&expected);
        for list in [LISTS[round % 12], LISTS[(round + 5) % 12], LISTS[(round * 7 + 3) % 12]] {
            let limit = limits.new_tree(&mut runner).unwrap().current();
            let answer = server.report(&format!("{list}?{query}&limit={limit}")).await;
            assert_eq!(sums(&answer["meta"]["totals"]), expected, "{list}?{query}");
            assert_eq!(answer["meta"]["totals"]["visitors"], general["unique_visitors"], "{list}?{query}");
            let rows =
                answer["results"].as_array().unwrap().iter().chain([&answer["meta"]["other"]]).map(sums);
            let sum = rows.reduce(|a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2, a.3 + b.3, a.4 + b.4)).unwrap();
            assert_eq!(sum, expected, "rows and other of {list}?{query}&limit={limit}");
        }
        let series = server.report(&format!("timeseries?{query}&interval=day")).await;
        let totals = &series["meta"]["totals"];
        assert_eq!(totals["sessions"], general["total_sessions"], "{query}");
        assert_eq!(totals["orders"], general["total_orders"], "{query}");
        assert_eq!(totals["revenue"], general["total_revenue"], "{query}");
        assert_eq!(totals["visitors"], general["unique_visitors"], "{query}");
        let list = server.report(&format!("orders?{query}")).await;
        assert_eq!(list["meta"]["totals"]["orders"], general["total_orders"], "{query}");
    }
}
