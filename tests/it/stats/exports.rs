//! `export`: every row, whole or not at all; and what advertising platforms are told.

use serde_json::{Value, json};

use super::reports::shop_with_carts;
use super::seed::{Order, Seed, Tags, Visit};
use super::server::{Server, problem};

const WINDOW: &str = "from=2026-11-01&to=2026-12-01";

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
        let rows = objects(&server, &format!("export?type=campaigns&format=ndjson&{WINDOW}{filter}")).await;
        let sum: i64 = rows.iter().map(|row| row["sessions"].as_i64().unwrap()).sum();
        assert_eq!(sum as u64, sessions, "{filter}");
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

#[tokio::test]
async fn an_export_that_breaks_off_is_no_answer() {
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
async fn platforms_are_told_of_orders_by_the_click_that_they_gave() {
    let seed = Seed::new().await;
    let ads: Tags = ("google", "cpc", "shoes");
    let order = |id: &str, visitor, session| Order {
        id: id.into(),
        at: "2026-11-10T10:30:00Z".parse().unwrap(),
        visitor: Some(visitor),
        session: Some(session),
        gross: Some("1499.00"),
        net: Some("1399.00"),
        credits: vec![(Some(ads), 1_000_000)],
        ..Order::default()
    };
    let clicks = [
        (1_u128, json!({"gclid": "G-1", "gbraid": "B-1"})),
        (2, json!({"wbraid": "W-2"})),
        (3, json!({"fbclid": "F-3"})),
        (4, json!({})),
    ];
    for (visitor, ids) in &clicks {
        let session = seed.visit(&Visit { visitor: *visitor, tags: Some(ads), ..Visit::default() }).await;
        seed.client
            .execute("UPDATE touches SET click_ids = $2 WHERE session_id = $1", &[&session, ids])
            .await
            .unwrap();
        seed.order(&order(&visitor.to_string(), *visitor, session)).await;
    }
    seed.order(&Order { net: Some("0"), ..order("cancelled", 1, uuid::Uuid::nil()) }).await;
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
