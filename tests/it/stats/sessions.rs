//! Who was here, what they did, and why an order is credited as it is.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio_postgres::types::ToSql;
use utm_dispatcher::store::rollups::refresh;
use uuid::Uuid;

use super::seed::{Order, Seed, Tags, Visit};
use super::server::{Server, problem};

const NOVEMBER: &str = "from=2026-11-01&to=2026-12-01";

#[tokio::test]
async fn pages_of_sessions_have_each_session_once_newest_first() {
    let seed = Seed::new().await;
    let start: Timestamp = "2026-11-10T10:00:00Z".parse().unwrap();
    for index in 0..23_u32 {
        // Several begin in the same instant.
        let at = start + SignedDuration::from_secs(i64::from(index / 4));
        let tags: Option<Tags> = (index % 2 == 0).then_some(("google", "cpc", "Весна 50%"));
        seed.visit(&Visit { at, visitor: u128::from(index) + 1, tags, ..Visit::default() }).await;
    }
    let server = Server::start(&seed.database.url).await;
    let mut given: Vec<(String, String)> = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = server.report(&format!("sessions?{NOVEMBER}&limit=5&cursor={cursor}")).await;
        assert_eq!(page["meta"]["totals"]["sessions"], 23);
        given.extend(page["results"].as_array().unwrap().iter().map(|session| {
            let text = |field: &str| session[field].as_str().unwrap().to_owned();
            (text("first_seen"), text("session_id"))
        }));
        match page["meta"]["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(given.len(), 23);
    assert!(given.windows(2).all(|pair| pair[0] > pair[1]), "{given:?}");

    let found = async |query: &str| {
        let answer = server.report(&format!("sessions?{NOVEMBER}&{query}")).await;
        (answer["results"].as_array().unwrap().len(), answer["meta"]["totals"]["sessions"].clone())
    };
    assert_eq!(found("q=ВЕСНА").await, (12, json!(12)));
    assert_eq!(found("q=50%25").await, (12, json!(12)));
    assert_eq!(found("q=5%25").await, (0, json!(0)), "a percent sign is itself");
    assert_eq!(found("source=google&limit=3").await, (3, json!(12)));
}

#[tokio::test]
async fn pages_reach_as_far_back_as_the_window() {
    let seed = Seed::new().await;
    let now = Timestamp::now();
    // Denser and denser, as far as a page looks in its first steps and farther.
    let hours = [9000, 1500, 800, 770, 760, 30, 25, 23, 20, 2, 1, 0];
    for (number, hours) in (1..).zip(hours) {
        let at = now - SignedDuration::from_hours(hours) - SignedDuration::from_mins(5);
        let device = if number % 3 == 0 { "mobile" } else { "desktop" };
        let first_hit_lost = now - SignedDuration::from_hours(hours + 20);
        let hour = first_hit_lost.round((jiff::Unit::Hour, 1)).unwrap();
        let hour = (number % 4 == 0).then_some(hour);
        seed.visit(&Visit { at, hour, visitor: number, device, ..Visit::default() }).await;
    }
    let server = Server::start(&seed.database.url).await;
    for (filter, count) in [("", 12), ("&device=mobile", 4), ("&device=desktop", 8)] {
        for limit in [1, 2, 5, 50] {
            let mut given: Vec<Timestamp> = Vec::new();
            let mut cursor = String::new();
            loop {
                let question = format!("sessions?period=all_time&limit={limit}&cursor={cursor}{filter}");
                let page = server.report(&question).await;
                assert_eq!(page["meta"]["totals"]["sessions"], count, "{question}");
                let seen = page["results"].as_array().unwrap().iter();
                let begins = seen.map(|session| session["first_seen"].as_str().unwrap());
                given.extend(begins.map(|begin| begin.parse::<Timestamp>().unwrap()));
                match page["meta"]["next_cursor"].as_str() {
                    Some(next) => next.clone_into(&mut cursor),
                    None => break,
                }
            }
            assert_eq!(given.len(), count, "{limit}{filter}");
            assert!(given.windows(2).all(|pair| pair[0] > pair[1]), "{limit}{filter}: {given:?}");
        }
    }
}

#[tokio::test]
async fn up_to_ten_thousand_sessions_are_counted_and_more_are_not() {
    let seed = Seed::new().await;
    let now = Timestamp::now();
    let mut ids = Vec::new();
    for (visitor, hours) in [(1, 3), (2, 100), (3, 300), (4, 2000)] {
        let at = now - SignedDuration::from_hours(hours);
        ids.push(seed.visit(&Visit { at, visitor, ..Visit::default() }).await);
    }
    let copies = "INSERT INTO sessions
         SELECT (jsonb_populate_record(s, jsonb_build_object('session_id',
             overlay(s.session_id::text PLACING lpad(to_hex(n), 12, '0') FROM 25)))).*
         FROM sessions s
         CROSS JOIN generate_series($2::integer, $3::integer) AS n
         WHERE s.session_id = $1";
    for id in &ids {
        seed.client.execute(copies, &[id, &1, &2499]).await.unwrap();
    }
    let server = Server::start(&seed.database.url).await;
    let whole = async || {
        let page = server.report("sessions?period=all_time&limit=3").await;
        assert_eq!(page["results"].as_array().unwrap().len(), 3);
        (page["meta"]["totals"]["sessions"].clone(), page["meta"]["warnings"].as_array().unwrap().len())
    };
    assert_eq!(whole().await, (json!(10_000), 0));
    pack(&seed).await;
    assert_eq!(whole().await, (json!(10_000), 0));
    for id in &ids {
        seed.client.execute(copies, &[id, &5000, &5000]).await.unwrap();
        assert_eq!(whole().await, (Value::Null, 1));
    }
    pack(&seed).await;
    assert_eq!(whole().await, (Value::Null, 1));
}

/// Packs all that is there.
async fn pack(seed: &Seed) {
    let later = Timestamp::now() + SignedDuration::from_hours(24);
    while refresh(&seed.database.store(), later).await.unwrap().unwrap().hours > 0 {}
}

#[tokio::test]
async fn a_session_tells_its_touches_actions_and_orders() {
    let seed = Seed::new().await;
    let session_id = journey(&seed).await;
    let server = Server::start(&seed.database.url).await;
    let mut story = server.report(&format!("sessions/{session_id}?timezone=UTC")).await;
    story["meta"]["generated_at"] = json!("now");
    insta::assert_json_snapshot!(story);
    let list = server.report(&format!("sessions?{NOVEMBER}&timezone=UTC")).await;
    assert_eq!(list["results"][0], story["results"]["session"], "the list says the same");
    let missing = server.get(&format!("/api/v1/sessions/{}", Uuid::nil())).send().await.unwrap();
    assert_eq!(problem(missing).await.0, 404);
}

#[tokio::test]
async fn an_order_explains_which_touch_earned_it_and_why_others_did_not() {
    let seed = Seed::new().await;
    journey(&seed).await;
    let server = Server::start(&seed.database.url).await;
    let answer = server.report("orders/1042/explain?site=default").await;
    let results = &answer["results"];
    assert_eq!(results["join"]["rule"], "cookie");
    let verdicts: Vec<_> = results["touches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|touch| {
            format!("{} {}: {} {}", touch["utm_source"], touch["verdict"], touch["reason"], touch["credits"])
        })
        .collect();
    insta::assert_snapshot!(verdicts.join("\n"));
    insta::assert_json_snapshot!(json!([results["order"], results["entries"], results["credits"]]));

    let nobody = server.report("orders/7%2F2026/explain").await;
    assert_eq!(nobody["results"]["join"]["rule"], Value::Null);
    assert!(nobody["results"]["join"]["explanation"].as_str().unwrap().contains("(not tracked)"));
    let refused = async |target: &str| {
        problem(server.get(&format!("/api/v1/orders/{target}")).send().await.unwrap()).await
    };
    assert_eq!(refused("9999/explain").await.0, 404);
    assert_eq!(refused("1042/explain?site=second").await.0, 404);
    seed.order(&Order { site: "second", id: "1042".into(), ..Order::default() }).await;
    let (status, which) = refused("1042/explain").await;
    assert_eq!((status, which["detail"].as_str().unwrap().contains("several sites")), (400, true));
}

#[tokio::test]
async fn answers_say_what_is_no_longer_kept() {
    let seed = Seed::new().await;
    let session = journey(&seed).await;
    let server = Server::start(&seed.database.url).await;
    let warnings = async |target: &str| server.report(target).await["meta"]["warnings"].clone();
    assert_eq!(warnings("general-stats?period=all_time").await, json!([]));
    let horizons =
        "INSERT INTO retention_horizons VALUES ('sessions', '2026-05-01'), ('events', '2026-11-15')";
    seed.client.batch_execute(horizons).await.unwrap();
    let sessions = json!([
        "sessions before 2026-05-01T03:00:00+03:00 are no longer kept one by one: what needs them leaves them out"
    ]);
    for target in
        ["general-stats?period=all_time", "sources?from=2026-04-30&to=2026-06-01", "sessions?period=all_time"]
    {
        assert_eq!(warnings(target).await, sessions, "{target}");
    }
    assert_eq!(warnings("general-stats?from=2026-05-02&to=2026-06-01").await, json!([]));
    let story = warnings(&format!("sessions/{session}")).await;
    assert_eq!(story, json!(["clicks and actions before 2026-11-15T02:00:00+02:00 are no longer kept"]));
    let explained = warnings("orders/1042/explain").await;
    assert!(explained[0].as_str().unwrap().contains("credits stand as they were computed"), "{explained}");
}

/// A visitor with an old touch, two within the lookback, one after the order; an order of theirs and one of nobody.
async fn journey(seed: &Seed) -> Uuid {
    let spring: Tags = ("Facebook", "paid_social", "Spring");
    let day = |text: &str| text.parse::<Timestamp>().unwrap();
    let visit = Visit { visitor: 5, ..Visit::default() };
    seed.visit(&Visit {
        at: day("2026-05-01T10:00:00Z"),
        tags: Some(("tiktok", "cpc", "old")),
        ..visit.clone()
    })
    .await;
    seed.visit(&Visit {
        at: day("2026-10-20T10:00:00Z"),
        tags: Some(("google", "cpc", "first")),
        number: 2,
        ..visit.clone()
    })
    .await;
    let session_id = seed
        .visit(&Visit {
            number: 3,
            tags: Some(spring),
            order_count: 1,
            order_points: 114,
            lead: true,
            actions: 2,
            seconds: 1800,
            ..visit.clone()
        })
        .await;
    seed.visit(&Visit {
        at: day("2026-12-02T10:00:00Z"),
        tags: Some(("email", "crm", "thanks")),
        number: 4,
        ..visit.clone()
    })
    .await;
    seed.order(&Order {
        visitor: Some(5),
        session: Some(session_id),
        gross: Some("1499"),
        net: Some("1499"),
        credits: vec![(Some(spring), 1_000_000)],
        ..Order::default()
    })
    .await;
    seed.order(&Order { id: "7/2026".into(), gross: Some("10"), net: Some("10"), ..Order::default() }).await;
    evidence_of(seed, session_id).await;
    session_id
}

/// What happened in the session, and what was reported about the order.
async fn evidence_of(seed: &Seed, session_id: Uuid) {
    let visitor = Uuid::from_u128(5);
    let site_id: i32 = seed.client.query_one("SELECT site_id FROM sites", &[]).await.unwrap().get(0);
    let hour: Timestamp = "2026-11-10T10:00:00Z".parse().unwrap();
    let execute = async |statement: &str, parameters: &[&(dyn ToSql + Sync)]| {
        seed.client.execute(statement, parameters).await.unwrap();
    };
    execute(
        "INSERT INTO pages (page_id, site_id, host, path) VALUES (7, $1, 'shop.example', '/product/tee')",
        &[&site_id],
    )
    .await;
    execute(
        "INSERT INTO products (product_key, site_id, product_id, name) VALUES (3, $1, '17', 'Tee')",
        &[&site_id],
    )
    .await;
    execute("INSERT INTO action_kinds VALUES (1, 'page_view'), (2, 'add_to_cart')", &[]).await;
    execute(
        "INSERT INTO events (session_id, visitor_id, at, page_id, product_key, site_id, kind_id, points, status, value,
                             currency)
         VALUES ($1, $2, $3, 7, NULL, $4, 1, 1, 200, NULL, NULL),
                ($1, $2, $3 + interval '90.5 seconds', 7, 3, $4, 2, 10, 200, 749.5, 'UAH')",
        &[&session_id, &visitor, &hour, &site_id],
    )
    .await;
    execute(
        "INSERT INTO session_cookies (session_id, visitor_id, session_hour, at, name, value)
         VALUES ($1, $2, $3, $3, '_fbp', 'fb.1.1.2')",
        &[&session_id, &visitor, &hour],
    )
    .await;
    execute(
        "INSERT INTO order_entries (site_id, order_id, kind, reference, way, at, received_at, value, currency, visitor_id,
                                    session_id, hash, by_cookie, phone)
         VALUES ($4, '1042', 1, '', 1, $3, $3, 1499, 'UAH', $2, $1, 1, true, NULL),
                ($4, '1042', 2, 'p1', 4, $3 + interval '10 days', $3 + interval '10 days', 1499, 'UAH', NULL, NULL, 2, false,
                 '\\x01')",
        &[&session_id, &visitor, &hour, &site_id],
    )
    .await;
}
