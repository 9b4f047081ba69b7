//! `timeseries` and `compare`, against a plain count of the same facts, and against `general-stats`.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan, Zoned};
use rust_decimal::Decimal;
use serde_json::Value;
use utm_dispatcher::store::rollups::refresh;

use super::reports::random_shop;
use super::seed::{Order, Seed, Visit};
use super::server::{Server, problem};

/// Three weeks over the end of summer time in Kyiv, on 25 October 2026.
fn autumn_shop() -> (Vec<Visit>, Vec<Order>) {
    let earlier = SignedDuration::from_hours(24 * 12);
    let (mut visits, mut orders) = random_shop();
    visits.iter_mut().for_each(|visit| visit.at -= earlier);
    orders.iter_mut().for_each(|order| order.at -= earlier);
    (visits, orders)
}

async fn seeded() -> (Seed, Vec<Visit>, Vec<Order>) {
    let seed = Seed::new().await;
    let (visits, orders) = autumn_shop();
    for visit in &visits {
        seed.visit(visit).await;
    }
    for order in &orders {
        seed.order(order).await;
    }
    (seed, visits, orders)
}

/// Beginnings of local hours, days, weeks and months, by their calendar alone.
fn edges(interval: &str, from: &Zoned, to: &Zoned) -> Vec<Timestamp> {
    let mut edges = vec![from.timestamp()];
    let mut at = from.timestamp();
    // Every quarter of an hour is looked at: whether a new hour, day, week or month has begun in it.
    let name = |at: Timestamp| {
        let local = at.to_zoned(from.time_zone().clone());
        let date = local.date();
        match interval {
            "hour" => (date, i64::from(local.hour()) * 100 + i64::from(local.offset().seconds())),
            "day" => (date, 0),
            "week" => (date - i64::from(local.weekday().to_monday_zero_offset()).days(), 0),
            _ => (date.first_of_month(), 0),
        }
    };
    while at < to.timestamp() {
        let next = at + SignedDuration::from_mins(15);
        if name(next) != name(at) {
            edges.push(next);
        }
        at = next;
    }
    if edges.last() != Some(&to.timestamp()) {
        edges.push(to.timestamp());
    }
    edges
}

fn expected(
    visits: &[Visit],
    orders: &[Order],
    from: Timestamp,
    to: Timestamp,
) -> (i64, usize, i64, i64, usize, Decimal) {
    let visits: Vec<_> =
        visits.iter().filter(|visit| visit.at >= from && visit.at < to && visit.bot_score < 50).collect();
    let orders: Vec<_> = orders.iter().filter(|order| order.at >= from && order.at < to).collect();
    (
        i64::try_from(visits.len()).unwrap(),
        visits.iter().map(|visit| visit.visitor).collect::<BTreeSet<_>>().len(),
        visits.iter().map(|visit| i64::from(visit.page_views)).sum(),
        visits.iter().map(|visit| i64::from(visit.order_count > 0)).sum(),
        orders.len(),
        orders.iter().map(|order| order.net.unwrap().parse::<Decimal>().unwrap()).sum(),
    )
}

fn told(bucket: &Value) -> (i64, usize, i64, i64, usize, Decimal) {
    let count = |field: &str| bucket[field].as_i64().unwrap();
    let size = |field: &str| usize::try_from(count(field)).unwrap();
    (
        count("sessions"),
        size("visitors"),
        count("page_views"),
        count("conversions"),
        size("orders"),
        bucket["revenue"].as_str().unwrap().parse().unwrap(),
    )
}

fn instant(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn buckets_are_of_the_zone_and_agree_with_a_plain_count() {
    let (seed, visits, orders) = seeded().await;
    let server = Server::start(&seed.database.url).await;
    for round in ["sessions", "rollups"] {
        for (interval, zone, first, last) in [
            ("hour", "Europe/Kyiv", "2026-10-24", "2026-10-27"),
            ("hour", "Asia/Kathmandu", "2026-10-24", "2026-10-26"),
            ("day", "Europe/Kyiv", "2026-10-19", "2026-11-12"),
            ("day", "UTC", "2026-10-19", "2026-11-12"),
            ("week", "America/St_Johns", "2026-10-15", "2026-11-13"),
            ("month", "Europe/Kyiv", "2026-09-10", "2026-11-20"),
        ] {
            let zone_of = TimeZone::get(zone).unwrap();
            let [from, to] = [first, last]
                .map(|day| day.parse::<jiff::civil::Date>().unwrap().to_zoned(zone_of.clone()).unwrap());
            let edges = edges(interval, &from, &to);
            let query = format!("from={first}&to={last}&timezone={zone}");
            let answer = server.report(&format!("timeseries?{query}&interval={interval}")).await;
            let rows = answer["results"].as_array().unwrap();
            assert_eq!(rows.len(), edges.len() - 1, "{round}: {interval} in {zone}");
            for (row, edges) in rows.iter().zip(edges.windows(2)) {
                assert_eq!(
                    (instant(&row["from"]), instant(&row["to"])),
                    (edges[0], edges[1]),
                    "{interval} in {zone}"
                );
                assert_eq!(
                    told(row),
                    expected(&visits, &orders, edges[0], edges[1]),
                    "{round}: {interval} in {zone}: {row}"
                );
            }
            let totals = &answer["meta"]["totals"];
            assert_eq!(told(totals), expected(&visits, &orders, from.timestamp(), to.timestamp()));
            let general = server.report(&format!("general-stats?{query}")).await;
            for (here, there) in [
                ("sessions", "total_sessions"),
                ("visitors", "unique_visitors"),
                ("page_views", "page_views"),
                ("conversions", "total_conversions"),
                ("orders", "total_orders"),
                ("revenue", "total_revenue"),
            ] {
                assert_eq!(totals[here], general["results"][there], "{interval} in {zone}: {here}");
            }
        }
        let now = "2026-12-01T00:00:00Z".parse().unwrap();
        while refresh(&seed.database.store(), now).await.unwrap().unwrap().hours > 0 {}
    }
    let filtered =
        server.report("timeseries?from=2026-10-19&to=2026-11-12&source=facebook&date_basis=session").await;
    let general =
        server.report("general-stats?from=2026-10-19&to=2026-11-12&source=facebook&date_basis=session").await;
    assert_eq!(filtered["meta"]["totals"]["revenue"], general["results"]["total_revenue"]);
    assert_eq!(filtered["meta"]["totals"]["sessions"], general["results"]["total_sessions"]);
    assert_eq!(filtered["query"]["interval"], "day", "what fits the window");
}

#[tokio::test]
async fn a_series_is_compared_bucket_by_bucket() {
    let (seed, _, _) = seeded().await;
    let server = Server::start(&seed.database.url).await;
    let answer =
        server.report("timeseries?from=2026-11-02&to=2026-11-09&interval=day&compare=previous_period").await;
    let before = server.report("timeseries?from=2026-10-26&to=2026-11-02&interval=day").await;
    let rows = answer["results"].as_array().unwrap();
    assert_eq!(rows.len(), 7);
    for (row, before) in rows.iter().zip(before["results"].as_array().unwrap()) {
        assert_eq!(&row["previous"], before);
    }
    assert_eq!(answer["meta"]["totals"]["previous"], {
        let mut totals = before["meta"]["totals"].clone();
        totals.as_object_mut().unwrap().remove("previous");
        totals
    });
    let compared = server.report("compare?from=2026-11-02&to=2026-11-09").await;
    assert_eq!(compared["results"]["previous"]["total_sessions"], before["meta"]["totals"]["sessions"]);
    assert_eq!(compared["results"]["current"]["total_revenue"], answer["meta"]["totals"]["revenue"]);

    let year =
        server.report("timeseries?from=2027-10-26&to=2027-11-02&interval=day&compare=previous_year").await;
    for (row, before) in year["results"].as_array().unwrap().iter().zip(before["results"].as_array().unwrap())
    {
        assert_eq!(&row["previous"], before);
    }
    let csv = server
        .get("/api/v1/timeseries?from=2026-11-02&to=2026-11-04&interval=day&compare=previous_period&format=csv")
        .send()
        .await
        .unwrap();
    let csv = csv.text().await.unwrap();
    let header = csv.trim_start_matches('\u{feff}').lines().next().unwrap();
    assert_eq!(
        header,
        "from,to,is_over,sessions,visitors,page_views,conversions,orders,revenue,previous_from,previous_to,\
         previous_is_over,previous_sessions,previous_visitors,previous_page_views,previous_conversions,previous_orders,\
         previous_revenue"
    );
    assert_eq!(csv.lines().count(), 3);
}

#[tokio::test]
async fn compared_windows_are_equally_long_and_change_says_what_it_is_in() {
    let (seed, visits, orders) = seeded().await;
    let server = Server::start(&seed.database.url).await;
    // Kyiv's clock goes back in the second of the two weeks: it has 169 hours.
    for query in [
        "from=2026-10-19&to=2026-10-26",
        "from=2026-10-26&to=2026-11-02",
        "from=2026-11-02&to=2026-11-09T15:00:00Z",
    ] {
        let answer = server.report(&format!("compare?{query}")).await;
        let results = &answer["results"];
        let [current, previous] = ["current", "previous"].map(|name| {
            let window = &results["windows"][name];
            (instant(&window["from"]), instant(&window["to"]))
        });
        assert_eq!(current.1.duration_since(current.0), previous.1.duration_since(previous.0), "{query}");
        assert!(previous.1 <= current.0, "{query}");
        for ((from, to), name) in [(current, "current"), (previous, "previous")] {
            let (sessions, visitors, views, conversions, count, revenue) =
                expected(&visits, &orders, from, to);
            assert_eq!(results[name]["total_sessions"], sessions);
            assert_eq!(results[name]["unique_visitors"], visitors);
            assert_eq!(results[name]["page_views"], views);
            assert_eq!(results[name]["total_conversions"], conversions);
            assert_eq!(results[name]["total_orders"], count);
            assert_eq!(results[name]["total_revenue"].as_str().unwrap().parse::<Decimal>().unwrap(), revenue);
        }
        let number = |name: &str, field: &str| results[name][field].as_f64().unwrap();
        let (now, before) = (number("current", "total_sessions"), number("previous", "total_sessions"));
        let change = results["change"]["total_sessions"].as_f64();
        assert_eq!(
            change,
            (before > 0.0).then(|| ((now - before) / before * 10_000.0).round() / 100.0),
            "{query}"
        );
        if before > 0.0 {
            let points = number("current", "conversion_rate") - number("previous", "conversion_rate");
            let change = results["change"]["conversion_rate"].as_f64().unwrap();
            assert!((change - points).abs() < 0.006, "{query}: {change} is not {points}");
        }
    }
    // Nothing was there before: no percentage can be told.
    let answer = server.report("compare?from=2026-10-20&to=2026-10-24").await;
    assert!(answer["results"]["previous"]["conversion_rate"].is_null());
    assert!(answer["results"]["change"]["conversion_rate"].is_null());
    assert!(answer["results"]["change"]["total_sessions"].is_null());
    // The two halves of all time together are all time.
    let halves = server.report("compare?period=all_time").await;
    let whole = server.report("general-stats?period=all_time").await;
    let sum = ["current", "previous"].map(|name| halves["results"][name]["total_sessions"].as_i64().unwrap());
    assert_eq!(sum[0] + sum[1], whole["results"]["total_sessions"].as_i64().unwrap());
    // A day that goes on is compared with as much of the day before.
    let today = server.report("compare?period=today").await;
    let window = &today["results"]["windows"]["current"];
    assert!(instant(&window["to"]) <= Timestamp::now());
}

#[tokio::test]
async fn an_empty_shop_has_empty_series() {
    let seed = Seed::new().await;
    let server = Server::start(&seed.database.url).await;
    let answer = server.report("timeseries?period=all_time").await;
    assert_eq!(answer["results"].as_array().unwrap().len(), 0);
    let answer = server.report("timeseries?period=week").await;
    assert_eq!(answer["results"].as_array().unwrap().len(), 7);
    server.report("compare?period=all_time").await;
    for target in [
        "timeseries?period=year&interval=hour",
        "timeseries?intervall=day",
        "compare?compare=last_year",
        "compare?format=ndjson",
    ] {
        let (status, refused) = problem(server.get(&format!("/api/v1/{target}")).send().await.unwrap()).await;
        assert_eq!(status, 400, "{target}: {refused}");
    }
}
