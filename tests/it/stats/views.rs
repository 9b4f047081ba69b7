//! The views of the schema `bi` tell what the reports tell.

use serde_json::Value;
use utm_dispatcher::store::migrate::grant_views;

use super::reports::shop_with_carts;
use super::seed::Seed;
use super::server::Server;

const WINDOW: &str = "timezone=UTC&from=2026-11-05&to=2026-11-15";

const DURING: &str = "started_at >= '2026-11-05T00:00Z' AND started_at < '2026-11-15T00:00Z'";

/// Numbers as the reports write them.
async fn numbers(seed: &Seed, statement: &str) -> Vec<Vec<String>> {
    let rows = seed.client.simple_query(&statement.replace("$within", DURING)).await.unwrap();
    let rows = rows.into_iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|column| row.get(column).unwrap_or("null").to_owned()).collect())
        }
        _ => None,
    });
    rows.collect()
}

fn texts(row: &Value, fields: &[&str]) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    fields.iter().map(|field| text(&row[*field])).collect()
}

#[tokio::test]
async fn views_agree_with_reports() {
    let (seed, visits) = shop_with_carts().await;
    grant_views(&seed.database.store(), "pg_monitor").await.unwrap();
    let server = Server::start(&seed.database.url).await;

    let general = server.report(&format!("general-stats?{WINDOW}")).await["results"].clone();
    let expected = texts(
        &general,
        &["total_sessions", "page_views", "total_conversions", "total_score", "unique_visitors"],
    );
    let counted = "count(*), sum(page_views), count(*) FILTER (WHERE converted), sum(points), count(DISTINCT visitor_id)";
    let sessions =
        numbers(&seed, &format!("SELECT {counted} FROM bi.sessions WHERE NOT bot AND $within")).await;
    assert_eq!(sessions, std::slice::from_ref(&expected));
    let daily = "SELECT sum(sessions), sum(page_views), sum(conversions), sum(points) FROM bi.daily
                 WHERE NOT bot AND day >= '2026-11-05' AND day < '2026-11-15'";
    assert_eq!(numbers(&seed, daily).await, [expected[..4].to_vec()]);
    let people = "SELECT count(*) FROM bi.utm_session WHERE first_seen >= '2026-11-05T00:00Z' AND first_seen < '2026-11-15T00:00Z'";
    assert_eq!(numbers(&seed, people).await, [expected[..1].to_vec()]);

    let campaigns = server.report(&format!("campaigns?{WINDOW}&limit=1000")).await;
    let mut rows: Vec<_> = campaigns["results"].as_array().unwrap().iter().collect();
    rows.retain(|row| row["sessions"] != 0);
    let mut rows: Vec<_> =
        rows.iter().map(|row| texts(row, &["campaign", "source", "medium", "sessions"])).collect();
    rows.sort();
    let groups = "SELECT campaign, source, medium, count(*) FROM bi.sessions WHERE NOT bot AND $within GROUP BY 1, 2, 3";
    let mut groups = numbers(&seed, groups).await;
    groups.sort();
    assert_eq!(groups, rows);
    assert!(groups.len() > 4);

    // Orders by the day they were placed, in the report's currency.
    let placed = "SELECT count(*) FROM bi.orders o WHERE placed_at >= '2026-11-05T00:00Z' AND placed_at < '2026-11-15T00:00Z'
                  AND source = 'facebook'";
    let orders = server.report(&format!("orders?{WINDOW}&source=facebook&bots=include&limit=1000")).await;
    let count = orders["results"].as_array().unwrap().len();
    assert_eq!(numbers(&seed, placed).await, [[count.to_string()]]);
    assert!(count > 0);
    let sum = "SELECT count(*), sum(credit)::integer, count(DISTINCT (site, order_id)) FROM bi.credits WHERE model = 'last_non_direct'";
    let credits = numbers(&seed, sum).await;
    assert_eq!(credits[0][1], credits[0][2], "the credits of an order are 1");
    let copied = "SELECT count(*) FROM bi.order_utm WHERE utm_source = 'Facebook'";
    assert_ne!(numbers(&seed, copied).await, [["0"]], "as it was written");
    let done = numbers(&seed, "SELECT count(*), count(DISTINCT session_id) FROM bi.actions").await;
    assert_eq!(done, [[visits.len().to_string(), visits.len().to_string()]]);
    let people = visits.iter().filter(|visit| visit.bot_score < 50).count();
    let compatible = "SELECT count(*) FROM bi.user_action WHERE action_type = 'add_to_cart'";
    assert_eq!(numbers(&seed, compatible).await, [[people.to_string()]]);
}
