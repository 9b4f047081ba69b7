//! `export`: every row, whole or not at all; and what advertising platforms are told.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use utm_dispatcher::store::rollups::refresh;
use uuid::Uuid;

use super::reports::shop_with_carts;
use super::seed::{Order, Seed, Tags, Visit};
use super::server::{Server, problem};

const WINDOW: &str = "from=2026-11-01&to=2026-12-01";
const ADS: Tags = ("google", "cpc", "shoes");

async fn text(server: &Server, target: &str) -> String {
    let response = server.get(&format!("/api/v1/{target}")).send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(status, 200, "{target}: {text}");
    text
}

async fn objects(server: &Server, target: &str) -> Vec<Value> {
    text(server, target).await.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn exports_have_every_row_of_the_reports() {
    let (seed, visits) = shop_with_carts().await;
    let server = Server::start(&seed.database.url).await;
    for filter in ["", "&source=facebook", "&bots=only"] {
        let general = server.report(&format!("general-stats?{WINDOW}{filter}")).await;
        let sessions = general["results"]["total_sessions"].as_u64().unwrap();
        for kind in ["sessions", "actions", "touches"] {
            let rows = objects(&server, &format!("export?type={kind}&format=ndjson&{WINDOW}{filter}")).await;
            let is_chosen = |visit: &&Visit| match filter {
                "&bots=only" => visit.bot_score >= 50,
                "&source=facebook" => {
                    visit.bot_score < 50
                        && visit.tags.is_some_and(|tags| tags.0.eq_ignore_ascii_case("facebook"))
                }
                _ => visit.bot_score < 50,
            };
            let has_row = |visit: &&Visit| kind != "touches" || visit.tags.is_some();
            let expected = visits.iter().filter(is_chosen).filter(has_row).count();
            assert_eq!(rows.len(), expected, "{kind}{filter}");
            assert!(kind == "touches" || rows.len() as u64 == sessions);
            // Whatever parts it is read in.
            let ever = format!("export?type={kind}&format=ndjson&period=all_time{filter}");
            assert_eq!(objects(&server, &ever).await.len(), expected, "{kind}{filter}");
            let seen: Vec<&str> = rows.iter().filter_map(|row| row["first_seen"].as_str()).collect();
            assert!(kind != "sessions" || seen.len() == rows.len() && seen.is_sorted(), "{filter}");
        }
        let csv = text(&server, &format!("export?type=sessions&{WINDOW}{filter}")).await;
        assert_eq!(csv.lines().count() as u64, sessions + 1, "{filter}");
        let rows = objects(&server, &format!("export?type=orders&format=ndjson&{WINDOW}{filter}")).await;
        assert_eq!(rows.len() as u64, general["results"]["total_orders"].as_u64().unwrap(), "{filter}");
        let has_cents =
            |amount: &Value| amount.as_str().is_none_or(|amount| amount.rfind('.') == Some(amount.len() - 3));
        assert!(
            rows.iter().all(|row| ["gross", "paid", "cancelled", "refunded", "net"]
                .iter()
                .all(|name| has_cents(&row[name]))),
            "{rows:?}"
        );
        let rows = objects(&server, &format!("export?type=campaigns&format=ndjson&{WINDOW}{filter}")).await;
        let sum: i64 = rows.iter().map(|row| row["sessions"].as_i64().unwrap()).sum();
        assert_eq!(sum as u64, sessions, "{filter}");
    }
    for kind in ["sessions", "actions", "touches", "orders"] {
        let some = text(&server, &format!("export?type={kind}&{WINDOW}")).await;
        let none = text(&server, &format!("export?type={kind}&from=2010-01-01&to=2010-01-02")).await;
        assert_eq!(none.lines().collect::<Vec<_>>(), some.lines().take(1).collect::<Vec<_>>(), "{kind}");
    }
    for kind in ["google-offline-conversions", "meta-conversions"] {
        let none = text(&server, &format!("export?type={kind}&from=2010-01-01&to=2010-01-02")).await;
        assert!(none.lines().count() == 1 && none.contains("alue,"), "{none}");
    }
    let csv = text(&server, &format!("export?type=sources&locale=uk&{WINDOW}")).await;
    assert!(csv.starts_with("\u{feff}Джерело,Сесії,Відвідувачі,Конверсії,CR (%),"), "{csv}");
    for target in
        ["export", "export?type=people", "export?type=sessions&format=json", "export?type=sessions&limit=5"]
    {
        assert_eq!(
            problem(server.get(&format!("/api/v1/{target}")).send().await.unwrap()).await.0,
            400,
            "{target}"
        );
    }
}

/// More sessions than are handed on at once.
async fn many_sessions() -> Seed {
    let seed = Seed::new().await;
    let id = seed.visit(&Visit::default()).await;
    seed.client
        .execute(
            "INSERT INTO sessions
             SELECT (jsonb_populate_record(s, jsonb_build_object('session_id',
                 overlay(s.session_id::text PLACING lpad(to_hex(n), 12, '0') FROM 25)))).*
             FROM sessions s
             CROSS JOIN generate_series(1, 30000) AS n
             WHERE s.session_id = $1",
            &[&id],
        )
        .await
        .unwrap();
    seed
}

#[tokio::test]
async fn an_export_that_breaks_off_is_no_answer() {
    let seed = many_sessions().await;
    let server = Server::start(&seed.database.url).await;
    let whole = text(&server, &format!("export?type=sessions&{WINDOW}")).await;
    assert_eq!(whole.lines().count(), 30_002);

    let mut response = server.get(&format!("/api/v1/export?type=sessions&{WINDOW}")).send().await.unwrap();
    response.chunk().await.unwrap().unwrap();
    // The server behind the answer goes away in the middle of it.
    seed.client
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
            &[],
        )
        .await
        .unwrap();
    let broken = loop {
        match response.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(broken, "a part was given for the whole");
}

#[tokio::test]
async fn an_export_that_has_ended_makes_room_for_the_next() {
    let seed = many_sessions().await;
    let server = Server::start(&seed.database.url).await;
    let slowly = || server.get(&format!("/api/v1/export?type=sessions&{WINDOW}")).send();
    let mut first = slowly().await.unwrap();
    first.chunk().await.unwrap().unwrap();
    for _ in 0..300 {
        text(&server, "export?type=orders&from=2010-01-01&to=2010-01-02").await;
    }
    let second = slowly().await.unwrap();
    assert_eq!(second.status(), 200);
    assert_eq!(problem(slowly().await.unwrap()).await.0, 503, "two are under way");
}

#[tokio::test]
async fn platforms_are_told_of_orders_by_the_click_that_they_gave() {
    let seed = Seed::new().await;
    let order = |id: &str, visitor, session| Order {
        id: id.into(),
        at: "2026-11-10T10:30:00Z".parse().unwrap(),
        visitor: Some(visitor),
        session: Some(session),
        gross: Some("1499.00"),
        net: Some("1399.00"),
        credits: vec![(Some(ADS), 1_000_000)],
        ..Order::default()
    };
    let clicks = [
        (1_u128, json!({"gclid": "G-1", "gbraid": "B-1"})),
        (2, json!({"wbraid": "W-2"})),
        (3, json!({"fbclid": "F-3"})),
        (4, json!({})),
    ];
    for (visitor, ids) in &clicks {
        let session = seed.visit(&Visit { visitor: *visitor, tags: Some(ADS), ..Visit::default() }).await;
        seed.client
            .execute("UPDATE touches SET click_ids = $2 WHERE session_id = $1", &[&session, ids])
            .await
            .unwrap();
        seed.order(&order(&visitor.to_string(), *visitor, session)).await;
    }
    seed.order(&Order { net: Some("0"), ..order("cancelled", 1, Uuid::nil()) }).await;
    let server = Server::start(&seed.database.url).await;
    let google =
        text(&server, &format!("export?type=google-offline-conversions&{WINDOW}&conversion_name=Sale")).await;
    insta::assert_snapshot!(google.replace('\r', ""), @r"
    ﻿Google Click ID,GBRAID,WBRAID,Conversion Name,Conversion Time,Conversion Value,Conversion Currency,Order ID
    G-1,,,Sale,2026-11-10 10:30:00+00:00,1399.00,UAH,1
    ,,W-2,Sale,2026-11-10 10:30:00+00:00,1399.00,UAH,2
    ");
    let meta = objects(&server, &format!("export?type=meta-conversions&format=ndjson&{WINDOW}")).await;
    assert_eq!(
        meta,
        [json!({
            "event_name": "Purchase", "event_time": 1_794_306_600_i64, "event_id": "3", "action_source": "website",
            "fbc": "fb.1.1794304800000.F-3", "fbp": null, "external_id": null, "value": "1399.00", "currency": "UAH",
        })]
    );
}

/// When all of the orders are placed.
const PLACED: &str = "2026-11-10T10:30:00Z";

/// A click: so long before the order, of a visitor, with an id of Google's and of Meta's.
async fn click(seed: &Seed, visitor: u128, before: SignedDuration, id: &str) -> Uuid {
    let at = PLACED.parse::<Timestamp>().unwrap() - before;
    let session = seed.visit(&Visit { visitor, at, tags: Some(ADS), ..Visit::default() }).await;
    let ids = json!({"gclid": id, "fbclid": id});
    seed.client
        .execute("UPDATE touches SET click_ids = $2 WHERE session_id = $1", &[&session, &ids])
        .await
        .unwrap();
    session
}

/// An order of a visitor; who has none is nobody.
async fn placed(seed: &Seed, id: &str, visitor: u128) {
    let order = Order {
        id: id.into(),
        at: PLACED.parse().unwrap(),
        visitor: (visitor > 0).then_some(visitor),
        gross: Some("10.00"),
        credits: if visitor > 0 { vec![(Some(ADS), 1_000_000)] } else { Vec::new() },
        ..Order::default()
    };
    seed.order(&order).await;
}

/// Orders and the clicks by which platforms know them.
async fn clicked(server: &Server, filter: &str) -> [BTreeMap<String, String>; 2] {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let google = format!("export?type=google-offline-conversions&format=ndjson&{WINDOW}{filter}");
    let google = objects(server, &google).await;
    let meta = objects(server, &format!("export?type=meta-conversions&format=ndjson&{WINDOW}{filter}")).await;
    let meta = meta.iter().filter_map(|row| {
        let id = row["fbc"].as_str()?.rsplit('.').next()?.to_owned();
        Some((text(&row["event_id"]), id))
    });
    [
        google.iter().map(|row| (text(&row["Order ID"]), text(&row["Google Click ID"]))).collect(),
        meta.collect(),
    ]
}

/// Orders of browsers that are a customer's: one is known by an order, one by what was said in it.
async fn browsers_of_a_customer(seed: &Seed) {
    for (visitor, order) in [(20_u128, "customer"), (21, "customer-too"), (22, "named")] {
        placed(seed, order, visitor).await;
    }
    click(seed, 21, SignedDuration::from_hours(3), "other-browser").await;
    click(seed, 23, SignedDuration::from_hours(2), "said-so").await;
    seed.entry("named", PLACED.parse().unwrap(), None, Some("phone"), None).await;
    seed.client
        .execute(
            "INSERT INTO identifications (site_id, hash, subject, kind, is_session, is_browser, at)
             SELECT e.site_id, e.phone, $1, 'phone', false, true, e.at FROM order_entries e WHERE e.order_id = 'named'",
            &[&Uuid::from_u128(23)],
        )
        .await
        .unwrap();
    seed.client
        .batch_execute("UPDATE orders SET customer = 'customer' WHERE order_id LIKE 'customer%'")
        .await
        .unwrap();
}

/// An order after a visit that began without a cookie, by a click.
async fn landed_without_a_cookie(seed: &Seed) {
    let (first, begun) = (SignedDuration::from_hours(5), PLACED.parse::<Timestamp>().unwrap());
    let landing = begun - first;
    let hour = Some("2026-11-10T00:00:00Z".parse().unwrap());
    let visit = Visit { visitor: 30, at: landing, hour, tags: Some(ADS), ..Visit::default() };
    let beginning = seed.visit(&visit).await;
    seed.visit(&Visit { visitor: 31, at: landing + SignedDuration::from_mins(2), ..Visit::default() }).await;
    placed(seed, "landed", 31).await;
    seed.client
        .batch_execute(&format!(
            "UPDATE sessions SET identity = 2 WHERE session_id = '{beginning}';
             UPDATE touches SET click_ids = '{{\"gclid\": \"before\", \"fbclid\": \"before\"}}' WHERE session_id = '{beginning}';
             INSERT INTO visitors (visitor_id, site_id, identity, first_seen, last_seen, minted_from)
             VALUES ('{}', 0, 1, '{landing}'::timestamptz + interval '2 minutes', '{begun}', '{}')",
            Uuid::from_u128(31),
            Uuid::from_u128(30),
        ))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_click_counts_for_ninety_days_and_for_all_who_are_the_customer() {
    let seed = Seed::new().await;
    let (days, instant) = (SignedDuration::from_hours(90 * 24), SignedDuration::from_millis(1));
    let client = &seed.client;
    for (visitor, order, before) in [
        (1_u128, "too-old", days),
        (2, "just-in-time", days - instant),
        (3, "at-once", SignedDuration::ZERO),
        (4, "too-late", -instant),
        (5, "cut", SignedDuration::from_hours(1)),
        (6, "two", SignedDuration::from_hours(50)),
        (7, "told", SignedDuration::from_hours(1)),
        (8, "forgotten", SignedDuration::from_hours(1)),
        (9, "free", SignedDuration::from_hours(1)),
    ] {
        click(&seed, visitor, before, order).await;
        placed(&seed, order, visitor).await;
    }
    click(&seed, 6, SignedDuration::from_hours(49), "later").await;
    client
        .batch_execute(
            "UPDATE touches SET flags = 8 WHERE click_ids ->> 'gclid' = 'cut';
             UPDATE orders SET forgotten_at = now() WHERE order_id = 'forgotten';
             UPDATE orders SET net = 0 WHERE order_id = 'free'",
        )
        .await
        .unwrap();
    // What the shop told goes before what was seen, of whomever it is.
    placed(&seed, "nobody", 0).await;
    for order in ["told", "nobody"] {
        seed.entry(order, PLACED.parse().unwrap(), None, None, None).await;
        let ids = json!({"gclid": format!("{order}-by-shop")});
        client
            .execute("UPDATE order_entries SET click_ids = $2 WHERE order_id = $1", &[&order, &ids])
            .await
            .unwrap();
    }
    browsers_of_a_customer(&seed).await;
    landed_without_a_cookie(&seed).await;
    let expected = |google: bool| -> BTreeMap<String, String> {
        let mut all = vec![
            ("just-in-time", "just-in-time"),
            ("at-once", "at-once"),
            ("two", "later"),
            ("customer", "other-browser"),
            ("customer-too", "other-browser"),
            ("named", "said-so"),
            ("landed", "before"),
        ];
        let told = [("told", "told-by-shop"), ("nobody", "nobody-by-shop")];
        all.extend(if google { &told[..] } else { &[("told", "told")] });
        all.into_iter().map(|(order, id)| (order.to_owned(), id.to_owned())).collect()
    };
    let server = Server::start(&seed.database.url).await;
    // All are of one instant: read from the orders, and packed.
    for _ in 0..2 {
        let [google, meta] = clicked(&server, "").await;
        assert_eq!(google, expected(true));
        assert_eq!(meta, expected(false));
        let [google, meta] = clicked(&server, "&source=google").await;
        assert_eq!(google.len(), expected(true).len() - 1, "nobody came from nowhere");
        assert_eq!(meta, expected(false));
        assert_eq!(clicked(&server, "&source=facebook").await, [BTreeMap::new(), BTreeMap::new()]);
        let now = "2027-01-01T00:00:00Z".parse().unwrap();
        while refresh(&seed.database.store(), now).await.unwrap().unwrap().hours > 0 {}
    }
}

#[tokio::test]
async fn of_clicks_of_one_instant_one_is_told_and_cookies_go_before_clicks() {
    let seed = Seed::new().await;
    let an_hour = SignedDuration::from_hours(1);
    placed(&seed, "twins", 1).await;
    let twins = click(&seed, 1, an_hour, "greater").await;
    placed(&seed, "cookies", 2).await;
    let clicked_in = click(&seed, 2, an_hour, "click").await;
    let bought_in = click(&seed, 2, an_hour * 3, "before").await;
    seed.client
        .batch_execute(&format!(
            "INSERT INTO touches
             SELECT (jsonb_populate_record(t, jsonb_build_object('evidence', t.evidence - 1, 'click_ids',
                 '{{\"gclid\": \"less\", \"fbclid\": \"less\"}}'::jsonb))).*
             FROM touches t WHERE t.session_id = '{twins}';
             UPDATE orders SET session_id = '{bought_in}' WHERE order_id = 'cookies';
             INSERT INTO session_cookies (session_id, visitor_id, session_hour, at, name, value)
             SELECT s.session_id, s.visitor_id, s.session_hour, s.started_at, '_fbc', 'fb.1.1.' || c.value
             FROM (VALUES ('{clicked_in}'::uuid, 'by-click'), ('{bought_in}', 'by-order')) AS c(session_id, value)
             JOIN sessions s USING (session_id);
             INSERT INTO session_cookies (session_id, visitor_id, session_hour, at, name, value)
             SELECT s.session_id, s.visitor_id, s.session_hour, s.started_at, '_fbp', 'fb.1.1.2'
             FROM sessions s WHERE s.session_id = '{bought_in}'"
        ))
        .await
        .unwrap();
    let server = Server::start(&seed.database.url).await;
    let [google, meta] = clicked(&server, "").await;
    let pairs = |of: &BTreeMap<String, String>| -> Vec<String> {
        of.iter().map(|(order, id)| format!("{order} {id}")).collect()
    };
    assert_eq!(pairs(&google), ["cookies click", "twins less"]);
    assert_eq!(pairs(&meta), ["cookies by-click", "twins less"]);
    let meta = objects(&server, &format!("export?type=meta-conversions&format=ndjson&{WINDOW}")).await;
    assert_eq!(
        meta.iter().map(|row| row["fbp"].clone()).collect::<Vec<_>>(),
        [json!("fb.1.1.2"), Value::Null]
    );
}
