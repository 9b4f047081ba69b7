//! Money in other currencies counts by the rate of its day, once rounded, the same however it is split; without one it is left
//! out, and the answer says so.

use serde_json::{Value, json};

use super::seed::{Order, Seed, Tags, Visit};
use super::server::Server;

const OCTOBER: &str = "from=2026-10-01&to=2026-11-01";
const AD: Tags = ("facebook", "paid_social", "autumn");
const MAIL: Tags = ("newsletter", "email", "october");

async fn rates(seed: &Seed, rates: &[(&str, &str, &str, &str)]) {
    for (day, currency, quote, rate) in rates {
        let statement = "INSERT INTO exchange_rates (day, currency, quote, rate)
                         VALUES ($1::text::date, $2, $3, $4::text::numeric)";
        seed.client.execute(statement, &[day, currency, quote, rate]).await.unwrap();
    }
}

async fn order(seed: &Seed, id: &str, at: &str, value: &'static str, currency: Option<&'static str>) {
    let (gross, net) = (Some(value), Some(value));
    let credits = vec![(Some(AD), 333_333), (Some(MAIL), 666_667)];
    let order =
        Order { id: id.into(), at: at.parse().unwrap(), gross, net, currency, credits, ..Order::default() };
    seed.order(&order).await;
}

/// A shop in Kyiv, whose midnight is 21:00 UTC, whose bank tells rates of Thursday and Friday, the 15th and 16th.
async fn shop() -> Seed {
    let seed = Seed::new().await;
    let visit = Visit { at: "2026-10-16T10:00:00Z".parse().unwrap(), tags: Some(AD), ..Visit::default() };
    seed.visit(&visit).await;
    rates(
        &seed,
        &[
            ("2026-10-15", "EUR", "UAH", "48.10"),
            ("2026-10-16", "EUR", "UAH", "48.5555"),
            ("2026-10-16", "UAH", "USD", "0.024"),
            ("2026-10-15", "EUR", "PLN", "4.25"),
            ("2026-10-16", "EUR", "PLN", "4.3"),
        ],
    )
    .await;
    order(&seed, "own", "2026-10-16T12:00:00Z", "100.00", Some("UAH")).await;
    order(&seed, "unnamed", "2026-10-16T12:00:00Z", "1.00", None).await;
    seed
}

/// Most of its orders are in euros.
async fn in_hryvnias(seed: &Seed) -> Server {
    Server::start_with(&seed.database.url, |config| config.stats.currency = Some("UAH".into())).await
}

async fn revenue(server: &Server, id: &str) -> Value {
    let answer = server.report(&format!("orders?period=all_time&q={id}")).await;
    answer["results"][0]["revenue"].clone()
}

#[tokio::test]
async fn an_order_counts_by_the_rate_of_its_day_or_of_the_last_week() {
    let seed = shop().await;
    for (id, at, value, currency, worth, day, by_way_of) in [
        // The last minute of the 15th and the first of the 16th, in Kyiv.
        ("ends", "2026-10-15T20:59:59Z", "10", "EUR", json!("481.00"), json!("2026-10-15"), Value::Null),
        ("begins", "2026-10-15T21:00:00Z", "10", "EUR", json!("485.56"), json!("2026-10-16"), Value::Null),
        ("sunday", "2026-10-18T12:00:00Z", "0.01", "EUR", json!("0.49"), json!("2026-10-16"), Value::Null),
        ("week", "2026-10-23T12:00:00Z", "1", "EUR", json!("48.56"), json!("2026-10-16"), Value::Null),
        ("longer", "2026-10-24T12:00:00Z", "1", "EUR", Value::Null, Value::Null, Value::Null),
        ("before", "2026-10-14T12:00:00Z", "1", "EUR", Value::Null, Value::Null, Value::Null),
        // 3 / 0.024 is 125 and nothing less.
        ("inverse", "2026-10-17T12:00:00Z", "3", "USD", json!("125.00"), json!("2026-10-16"), Value::Null),
        // 43 zlotys are ten euros on the 16th.
        ("cross", "2026-10-17T12:00:00Z", "43", "PLN", json!("485.56"), json!("2026-10-16"), json!("EUR")),
        ("never", "2026-10-16T12:00:00Z", "7", "GBP", Value::Null, Value::Null, Value::Null),
    ] {
        order(&seed, id, at, value, Some(currency)).await;
        let server = in_hryvnias(&seed).await;
        assert_eq!(revenue(&server, id).await, worth, "{id}");
        // Whatever zone a report is asked for in, and the answer explains it.
        for zone in ["America/New_York", "Asia/Tokyo"] {
            let explained = server.report(&format!("orders/{id}/explain?timezone={zone}")).await;
            let exchange = &explained["results"]["exchange"];
            assert_eq!(
                (&exchange["revenue"], &exchange["rate_day"], &exchange["by_way_of"]),
                (&worth, &day, &by_way_of),
                "{id}"
            );
            assert_eq!(exchange["currency"], "UAH");
        }
    }
    let server = in_hryvnias(&seed).await;
    let explained = server.report("orders/cross/explain").await;
    assert_eq!(explained["results"]["exchange"]["rate"], "11.291976744186");
    assert_eq!(server.report("orders/own/explain").await["results"]["exchange"], Value::Null);
    // A rate of the pair itself counts before one that is found by way of others, though it is older.
    rates(&seed, &[("2026-10-12", "PLN", "UAH", "11")]).await;
    assert_eq!(revenue(&server, "cross").await, "473.00");
    // A new rate stands in for the old one, in every report at once.
    seed.client
        .batch_execute("UPDATE exchange_rates SET rate = 50 WHERE day = '2026-10-16' AND quote = 'UAH'")
        .await
        .unwrap();
    assert_eq!(revenue(&server, "sunday").await, "0.50");
}

#[tokio::test]
async fn money_of_several_currencies_adds_up_in_every_report() {
    let seed = shop().await;
    order(&seed, "1", "2026-10-16T12:00:00Z", "10.01", Some("EUR")).await;
    order(&seed, "2", "2026-10-17T12:00:00Z", "20.07", Some("EUR")).await;
    order(&seed, "3", "2026-10-17T12:00:00Z", "9.99", Some("USD")).await;
    order(&seed, "4", "2026-10-17T12:00:00Z", "1000000", Some("GBP")).await;
    // 486.04 + 974.51 + 416.25, with what was in hryvnias.
    let total = "1977.80";
    let left_out =
        "1 order has another currency than UAH and no exchange rate: counted, but not in any sum of money";
    let server = in_hryvnias(&seed).await;
    for (report, money) in [
        ("general-stats", "total_revenue"),
        ("timeseries?interval=day", "revenue"),
        ("sources", "revenue"),
        ("campaigns", "revenue"),
        ("channels?source~=e", "revenue"),
        ("devices", "revenue"),
        ("landing-pages", "revenue"),
        ("orders", "revenue"),
        ("roi?ad_spend=1", "revenue"),
        ("compare", "total_revenue"),
    ] {
        let mark = if report.contains('?') { '&' } else { '?' };
        let answer = server.report(&format!("{report}{mark}{OCTOBER}")).await;
        let results = if report == "compare" { &answer["results"]["current"] } else { &answer["results"] };
        let sum = if results.is_array() { &answer["meta"]["totals"] } else { results };
        assert_eq!(sum[money], total, "{report}: {answer:#}");
        let warnings = answer["meta"]["warnings"].as_array().unwrap();
        assert!(warnings.iter().any(|warning| warning == left_out), "{report}: {warnings:?}");
        if report == "sources" {
            let rows = answer["results"].as_array().unwrap();
            let cents =
                |row: &Value| row["revenue"].as_str().unwrap().replace('.', "").parse::<i64>().unwrap();
            assert_eq!(rows.iter().map(cents).sum::<i64>(), 197_780, "{rows:?}");
        }
    }
    // In the currency that the configuration names, by the same rates.
    let server =
        Server::start_with(&seed.database.url, |config| config.stats.currency = Some("EUR".into())).await;
    let answer = server.report(&format!("general-stats?{OCTOBER}")).await;
    // 10.01 + 20.07 as they are; 100 and 0 of hryvnias, the unnamed one is of euros; 9.99 dollars by way of hryvnias.
    assert_eq!(answer["results"]["total_revenue"], "41.71", "{answer:#}");
    assert_eq!(answer["meta"]["currency"], "EUR");
}

#[tokio::test]
async fn advertising_costs_what_it_cost_on_its_day() {
    let seed = shop().await;
    let spend = async |day: &str, key: i64, cost: &str, currency: Option<&str>| {
        let statement = "INSERT INTO ad_spend (site_id, day, spend_key, campaign_id, cost, currency, received_at, hash)
                         SELECT min(site_id), $1::text::date, $2, $2, $3::text::numeric, $4, now(), 0 FROM sites";
        seed.client.execute(statement, &[&day, &key, &cost, &currency]).await.unwrap();
    };
    spend("2026-10-15", 1, "10", Some("EUR")).await;
    spend("2026-10-16", 1, "10", Some("EUR")).await;
    spend("2026-10-16", 2, "5.50", None).await;
    spend("2026-10-16", 3, "100", Some("GBP")).await;
    let server = in_hryvnias(&seed).await;
    let answer = server.report(&format!("roi?{OCTOBER}")).await;
    assert_eq!(answer["results"]["ad_spend"], "972.06", "{answer:#}");
    let warnings = answer["meta"]["warnings"].to_string();
    assert!(
        warnings.contains("1 of the stored costs are in another currency without an exchange rate"),
        "{warnings}"
    );
}

/// A shop with one currency asks for no rate, however many are known.
#[tokio::test]
async fn rates_cost_nothing_where_there_is_one_currency() {
    let seed = shop().await;
    let window =
        "now() - interval '30 days', now(), NULL, 'exclude', NULL, NULL, NULL, NULL, 'order', 'last'";
    let plan = async |zone: &str| {
        let question =
            format!("EXPLAIN SELECT sum(revenue) FROM report_credits({window}, 'UAH', 2, 'placed', {zone})");
        let rows =
            seed.client.query_typed(&question, &[] as &[(_, tokio_postgres::types::Type)]).await.unwrap();
        rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
    };
    let (one, several) = (plan("NULL").await, plan("'Europe/Kyiv'").await);
    assert!(!one.contains("exchange_rates") && !one.contains("Append"), "{one}");
    assert!(several.contains("exchange_rates") && !several.contains("Function Scan"), "{several}");
}
