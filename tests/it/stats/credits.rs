//! `ab-test`, `attribution`, `orders`, `realtime`: what is credited to what, and what is going on.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use uuid::Uuid;

use super::reports::random_shop;
use super::seed::{Order, Seed, Tags, Visit};
use super::server::{Server, problem};

const MODELS: [&str; 7] =
    ["first", "last", "last_non_direct", "last_paid", "linear", "position", "time_decay"];

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn dice() -> impl FnMut(u32) -> u32 {
    let mut runner = TestRunner::deterministic();
    move |most| (0..most).new_tree(&mut runner).unwrap().current()
}

/// So many visitors of a content, so many of them with an order.
async fn variant(seed: &Seed, tags: Tags, visitor: u128, visitors: i32, conversions: i32) {
    let visit = Visit { tags: Some(tags), visitor, ..Visit::default() };
    let id = seed.visit(&visit).await;
    seed.client
        .execute(
            "INSERT INTO sessions
             SELECT (jsonb_populate_record(s, jsonb_build_object(
                 'session_id', overlay(s.session_id::text PLACING lpad(n::text, 12, '0') FROM 25),
                 'visitor_id', gen_random_uuid(), 'order_count', (n <= $3)::integer))).*
             FROM sessions s
             CROSS JOIN generate_series(1, $2) AS n
             WHERE s.session_id = $1",
            &[&id, &visitors, &conversions],
        )
        .await
        .unwrap();
    seed.client.execute("DELETE FROM sessions WHERE session_id = $1", &[&id]).await.unwrap();
    let parts =
        "UPDATE campaigns SET content = split_part(campaign, '/', 2), campaign = split_part(campaign, '/', 1)
                 WHERE campaign LIKE '%/%'";
    seed.client.execute(parts, &[]).await.unwrap();
}

#[tokio::test]
async fn an_ab_test_names_a_winner_only_when_there_is_one() {
    let seed = Seed::new().await;
    variant(&seed, ("facebook", "paid_social", "autumn/red"), 1, 6_000, 300).await;
    variant(&seed, ("facebook", "paid_social", "autumn/blue"), 2, 5_800, 420).await;
    variant(&seed, ("facebook", "paid_social", "autumn/green"), 3, 5_900, 310).await;
    variant(&seed, ("google", "cpc", "winter/a"), 4, 40, 3).await;
    variant(&seed, ("google", "cpc", "winter/b"), 5, 45, 9).await;
    let server = Server::start(&seed.database.url).await;
    let window = "from=2026-11-01&to=2026-12-01";
    let answer = server.report(&format!("ab-test?{window}&campaign=autumn&minimum_effect=40")).await;
    let results = &answer["results"];
    let told: Vec<_> = results["variants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["content"].as_str().unwrap(),
                one["visitors"].as_i64().unwrap(),
                one["conversions"].as_i64().unwrap(),
            )
        })
        .collect();
    assert_eq!(told, [("red", 6_000, 300), ("green", 5_900, 310), ("blue", 5_800, 420)]);
    assert_eq!((&results["baseline"], &results["winner"]), (&json!("red"), &json!("blue")), "{results:#}");
    assert_eq!((&results["total_visitors"], &results["total_conversions"]), (&json!(17_700), &json!(1_030)));
    let [_, green, blue] = results["variants"].as_array().unwrap().as_slice() else { panic!("{results}") };
    assert_eq!(blue["conversion_rate"], 7.24);
    assert_eq!(blue["against_baseline"]["difference"], 2.24);
    assert_eq!(blue["against_baseline"]["is_significant"], true);
    assert_eq!(green["against_baseline"]["is_significant"], false);
    // Holm: the greater of two p-values stands as it is, the lesser one twice.
    assert_eq!(green["against_baseline"]["p_value"], green["against_baseline"]["adjusted_p_value"]);
    let sum: f64 = results["variants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["probability_to_be_best"].as_f64().unwrap())
        .sum();
    assert!((sum - 1.0).abs() < 0.001 && blue["probability_to_be_best"].as_f64().unwrap() > 0.99);
    assert_eq!(results["sample_ratio"]["is_even"], true);
    assert!(results["design"].as_str().unwrap().starts_with("observational"));
    assert!(answer["meta"]["warnings"][0].as_str().unwrap().contains("pooled"));

    let answer = server.report(&format!("ab-test?{window}&campaign=winter&source=google&baseline=A")).await;
    let results = &answer["results"];
    assert_eq!(results["winner"], "inconclusive");
    assert!(results["conclusion"].as_str().unwrap().contains("not enough people"));
    assert_eq!(results["variants"][0]["against_baseline"]["test"], "two_proportion_z");
    assert!(results["variants"][1]["missing_visitors"].as_i64().unwrap() > 1_000);
    assert_eq!(answer["meta"]["warnings"], json!([]));
    let answer = server.report(&format!("ab-test?{window}&campaign=never")).await;
    assert_eq!(answer["results"]["winner"], "inconclusive");
    for target in [
        "ab-test",
        "ab-test?campaign=a&campaign=b",
        "ab-test?campaign=autumn&baseline=pink&period=all_time",
        "ab-test?campaign~=autumn",
    ] {
        assert_eq!(
            problem(server.get(&format!("/api/v1/{target}")).send().await.unwrap()).await.0,
            400,
            "{target}"
        );
    }
}

/// A touch: when, tags, session.
type Touch = (Timestamp, Tags, Uuid);

/// Parts of an order by touch, before they are rounded.
fn weights(model: &str, touches: &[Touch], own: Uuid, placed: Timestamp) -> Vec<f64> {
    let count = touches.len();
    let only =
        |index: Option<usize>| (0..count).map(|one| if Some(one) == index { 1.0 } else { 0.0 }).collect();
    let weights: Vec<f64> = match model {
        "first" => only(Some(0)),
        "last" => only(touches.iter().rposition(|touch| touch.2 == own)),
        "last_non_direct" => only(count.checked_sub(1)),
        "last_paid" => only(touches.iter().rposition(|touch| touch.1.1 == "cpc").or(count.checked_sub(1))),
        "linear" => vec![1.0; count],
        "position" if count <= 2 => vec![1.0; count],
        "position" => (0..count)
            .map(|one| if one == 0 || one + 1 == count { 0.4 } else { 0.2 / (count - 2) as f64 })
            .collect(),
        _ => touches
            .iter()
            .map(|touch| 0.5_f64.powf(placed.duration_since(touch.0).as_secs_f64() / 604_800.0))
            .collect(),
    };
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| if sum > 0.0 { weight / sum } else { 0.0 }).collect()
}

/// 40 people with up to six touches each, and an order of most of them, credited as the program credits.
async fn credited_shop(seed: &Seed) -> Vec<(Order, Vec<Touch>)> {
    let mut pick = dice();
    let tags: [Tags; 4] = [
        ("google", "cpc", "shoes"),
        ("mail", "email", "weekly"),
        ("facebook", "social", "post"),
        ("google", "organic", ""),
    ];
    let mut orders = Vec::new();
    for visitor in 1..=40_u128 {
        let mut begin = at("2026-10-10T00:00:00Z") + SignedDuration::from_mins(i64::from(pick(20_000)));
        let mut touches: Vec<Touch> = Vec::new();
        let mut own = Uuid::nil();
        for number in 1..=i32::try_from(1 + pick(6)).unwrap() {
            let tags = (pick(4) > 0).then(|| tags[pick(4) as usize]);
            own = seed.visit(&Visit { at: begin, visitor, number, tags, ..Visit::default() }).await;
            touches.extend(tags.map(|tags| (begin, tags, own)));
            begin += SignedDuration::from_mins(60 + i64::from(pick(6_000)));
        }
        if pick(5) > 0 {
            let amount = ["100.00", "99.99", "0.05"][pick(3) as usize];
            let order = Order {
                id: visitor.to_string(),
                at: begin,
                visitor: Some(visitor),
                session: Some(own),
                gross: Some(amount),
                net: Some(amount),
                ..Order::default()
            };
            seed.order(&order).await;
            orders.push((order, touches));
        }
    }
    let settle = include_str!("../../../src/ship/sql/settle_credits.sql");
    let site: i32 = seed.client.query_one("SELECT site_id FROM sites", &[]).await.unwrap().get(0);
    let ids: Vec<&str> = orders.iter().map(|(order, _)| order.id.as_str()).collect();
    let sites = vec![site; ids.len()];
    for _ in 0..2 {
        // The second time changes nothing.
        seed.client.execute(settle, &[&sites, &ids, &(90.0 * 86_400.0)]).await.unwrap();
    }
    orders
}

/// Each model's credits are whole, and those that a plain count gives.
fn credits_agree(orders: &[(Order, Vec<Touch>)], rows: &[tokio_postgres::Row]) {
    for (order, touches) in orders {
        for model in MODELS {
            let own: Vec<_> = rows
                .iter()
                .filter(|row| row.get::<_, &str>(0) == order.id && row.get::<_, &str>(1) == model)
                .collect();
            assert_eq!(
                own.iter().map(|row| row.get::<_, i32>(3)).sum::<i32>(),
                1_000_000,
                "{model} of {}",
                order.id
            );
            let weights = weights(model, touches, order.session.unwrap(), order.at);
            if weights.iter().sum::<f64>() == 0.0 {
                assert_eq!(own[0].get::<_, Option<Uuid>>(2), None, "{model} is direct");
                continue;
            }
            let expected: Vec<_> = touches.iter().zip(weights).filter(|(_, weight)| *weight > 0.0).collect();
            assert_eq!(own.len(), expected.len(), "{model} of {}", order.id);
            for (row, (touch, weight)) in own.iter().zip(expected) {
                assert_eq!(row.get::<_, Option<Uuid>>(2), Some(touch.2), "{model}");
                assert!(
                    (f64::from(row.get::<_, i32>(3)) - weight * 1e6).abs() <= 1.0,
                    "{model} of {}",
                    order.id
                );
            }
        }
    }
}

#[tokio::test]
async fn models_stand_side_by_side_and_credit_the_same_orders() {
    let seed = Seed::new().await;
    let orders = credited_shop(&seed).await;
    let server = Server::start(&seed.database.url).await;
    let window = "from=2026-10-01&to=2027-01-01";
    let rows = seed
        .client
        .query("SELECT order_id, model, session_id, credit FROM order_credits ORDER BY order_id, model, position", &[])
        .await
        .unwrap();
    credits_agree(&orders, &rows);

    let answer = server.report(&format!("attribution?{window}")).await;
    let general = server.report(&format!("general-stats?{window}")).await;
    for model in MODELS {
        let total = &answer["meta"]["totals"][model];
        assert_eq!(total["orders"], general["results"]["total_orders"], "{model}");
        assert_eq!(total["revenue"], general["results"]["total_revenue"], "{model}");
        // A list with this model says the same.
        let list = server.report(&format!("sources?{window}&model={model}")).await;
        for row in list["results"].as_array().unwrap() {
            let groups = answer["results"]["rows"].as_array().unwrap();
            let group = groups.iter().find(|group| group["source"] == row["source"]);
            let credited = group.map_or_else(
                || json!({"orders": 0, "revenue": "0.00"}),
                |group| group["models"][model].clone(),
            );
            assert_eq!(
                (&credited["orders"], &credited["revenue"]),
                (&row["orders"], &row["revenue"]),
                "{model}: {row}"
            );
        }
        let sum: Decimal = list["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["revenue"].as_str().unwrap().parse::<Decimal>().unwrap())
            .sum();
        assert_eq!(format!("{sum:.2}"), general["results"]["total_revenue"].as_str().unwrap());
    }
    let source = |tags: &Tags| tags.0.to_owned();
    let mut ways: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    let mut assisted: BTreeMap<String, usize> = BTreeMap::new();
    for (_, touches) in &orders {
        let way: Vec<_> = touches.iter().map(|touch| source(&touch.1)).collect();
        for source in way.iter().rev().skip(1).collect::<BTreeSet<_>>() {
            *assisted.entry(source.clone()).or_default() += 1;
        }
        *ways.entry(if way.is_empty() { vec!["(direct)".into()] } else { way }).or_default() += 1;
    }
    for path in answer["results"]["paths"].as_array().unwrap() {
        let way: Vec<String> = serde_json::from_value(path["touches"].clone()).unwrap();
        assert_eq!(path["orders"], ways[&way], "{path}");
    }
    assert_eq!(answer["results"]["orders"], orders.len());
    for row in answer["results"]["rows"].as_array().unwrap() {
        let expected = assisted.get(row["source"].as_str().unwrap()).copied().unwrap_or_default();
        assert_eq!(row["assisted_conversions"], expected, "{row}");
    }
    let filtered = server.report(&format!("general-stats?{window}&source=mail&model=linear")).await;
    let list = server.report(&format!("sources?{window}&source=mail&model=linear")).await;
    assert_eq!(
        filtered["results"]["total_orders"], list["meta"]["totals"]["orders"],
        "parts of orders add up under a filter"
    );
    assert_eq!(filtered["results"]["total_revenue"], list["meta"]["totals"]["revenue"]);
    for target in ["attribution?model=first", "attribution?by=color", "sources?model=last_click"] {
        assert_eq!(
            problem(server.get(&format!("/api/v1/{target}")).send().await.unwrap()).await.0,
            400,
            "{target}"
        );
    }
}

#[tokio::test]
async fn orders_are_listed_once_each_newest_first() {
    let seed = Seed::new().await;
    let (_, orders) = random_shop();
    for order in &orders {
        seed.order(order).await;
    }
    let server = Server::start(&seed.database.url).await;
    let (from, to) = (at("2026-11-04T22:00:00Z"), at("2026-11-14T22:00:00Z"));
    let mut expected: Vec<&Order> = orders.iter().filter(|order| order.at >= from && order.at < to).collect();
    expected.sort_by(|one, other| (other.at, &other.id).cmp(&(one.at, &one.id)));
    let mut cursor = String::new();
    let mut seen = Vec::new();
    loop {
        let page =
            server.report(&format!("orders?from=2026-11-05&to=2026-11-15&limit=7&cursor={cursor}")).await;
        assert_eq!(page["meta"]["totals"]["orders"], expected.len());
        let sum: Decimal = expected.iter().map(|order| order.net.unwrap().parse::<Decimal>().unwrap()).sum();
        assert_eq!(page["meta"]["totals"]["revenue"].as_str().unwrap().parse::<Decimal>().unwrap(), sum);
        seen.extend(
            page["results"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row["order_id"].as_str().unwrap().to_owned()),
        );
        match page["meta"]["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(seen, expected.iter().map(|order| order.id.clone()).collect::<Vec<_>>());
    let one = server.report("orders?from=2026-11-01&to=2026-12-01&q=42").await;
    let row = &one["results"][0];
    assert_eq!((&row["order_id"], &row["credit"]), (&json!("42"), &json!(1)));
    let tracked = server.report("orders?from=2026-11-05&to=2026-11-15&source=(not%20tracked)").await;
    let nobody = expected.iter().filter(|order| order.visitor.is_none()).count();
    assert_eq!(tracked["results"].as_array().unwrap().len(), nobody);
    let csv = server
        .get("/api/v1/orders?from=2026-11-05&to=2026-11-15&format=csv&limit=1000")
        .send()
        .await
        .unwrap();
    assert_eq!(csv.text().await.unwrap().lines().count(), expected.len() + 1);
    assert_eq!(problem(server.get("/api/v1/orders?cursor=AAAA").send().await.unwrap()).await.0, 400);
}

#[tokio::test]
async fn what_happens_now_is_told_once_or_again_and_again() {
    let seed = Seed::new().await;
    let now = Timestamp::now();
    let ago = |minutes: i64| now - SignedDuration::from_mins(minutes);
    let ads: Tags = ("google", "cpc", "shoes");
    let visits = [
        Visit { at: ago(20), visitor: 1, tags: Some(ads), ..Visit::default() },
        Visit { at: ago(4), visitor: 2, ..Visit::default() },
        Visit { at: ago(3), visitor: 3, bot_score: 90, ..Visit::default() },
        Visit { at: ago(90), visitor: 4, ..Visit::default() },
    ];
    // Visitor, minutes ago, what.
    let events = [
        (1, 20, "page_view"),
        (1, 19, "add_to_cart"),
        (1, 2, "page_view"),
        (2, 4, "page_view"),
        (3, 3, "page_view"),
        (4, 89, "page_view"),
    ];
    let mut ids = BTreeMap::new();
    for visit in &visits {
        ids.insert(visit.visitor, seed.visit(visit).await);
    }
    for (visitor, minutes, kind) in events {
        seed.action(ids[&visitor], visitor, ago(minutes), kind, None).await;
    }
    seed.order(&Order {
        id: "new".into(),
        at: ago(1),
        visitor: Some(1),
        session: Some(ids[&1]),
        ..Order::default()
    })
    .await;
    seed.order(&Order { id: "old".into(), at: ago(25), ..Order::default() }).await;
    let server = Server::start(&seed.database.url).await;
    let expected = |least: i64| {
        let inside: Vec<_> = events.iter().filter(|event| event.1 <= least && event.0 != 3).collect();
        let views = inside.iter().filter(|event| event.2 == "page_view").count();
        json!({
            "visitors": inside.iter().map(|event| event.0).collect::<BTreeSet<_>>().len(),
            "page_views": views, "actions": inside.len() - views, "orders": if least == 5 { 1 } else { 2 },
        })
    };
    let answer = server.report("realtime").await;
    assert_eq!(answer["results"]["last_5_minutes"], expected(5));
    assert_eq!(answer["results"]["last_30_minutes"], expected(30));
    let sources: Vec<_> =
        answer["results"]["sources"].as_array().unwrap().iter().map(|row| row["source"].clone()).collect();
    assert_eq!(sources, ["(direct)", "google"]);
    assert_eq!(answer["results"]["pages"][0]["last_30_minutes"]["page_views"], 3);
    assert_eq!(server.report("realtime?bots=include").await["results"]["last_5_minutes"]["visitors"], 3);
    assert_eq!(server.report("realtime?site=another").await["results"]["last_30_minutes"]["visitors"], 0);

    let mut stream =
        server.get("/api/v1/realtime").header("accept", "text/event-stream").send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let mut text = String::new();
    while text.matches("\n\n").count() < 2 {
        text.push_str(std::str::from_utf8(&stream.chunk().await.unwrap().unwrap()).unwrap());
    }
    for event in text.split("\n\n").take(2) {
        let (name, data) = event.split_once('\n').unwrap();
        assert_eq!(name, "event: realtime");
        let told: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(told["results"]["last_30_minutes"]["visitors"], 2);
    }
    // An open stream does not hold up the end.
    drop(server);
    while let Ok(Some(_)) = stream.chunk().await {}
}
