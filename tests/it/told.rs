//! What the shop says that people did counts once, in the session that it names.

use serde_json::{Value, json};
use utm_dispatcher::store::rollups;

use crate::harness::app::{Running, app, outcomes};
use crate::harness::{DEADLINE, Reply, Upstream, eventually, postgres};

struct Shop {
    app: Running,
    _upstream: Upstream,
    _files: tempfile::TempDir,
    database: postgres::Database,
}

/// A shop that has one visitor in one session; both ids.
async fn visited() -> (Shop, String, String) {
    let database = postgres::migrated().await;
    let upstream = Upstream::start(|_| Reply::with("200 OK", &["Content-Type: text/html"], "hello")).await;
    let (app, files) = app(upstream.address(), &database.url).await;
    let mut client = app.connect().await;
    let page = "GET / HTTP/1.1\r\nHost: shop.example\r\nAccept: text/html\r\nAccept-Language: uk\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/132.0\r\n\r\n";
    client.send(page).await;
    client.answer().await;
    let ids = eventually("the visit is in the database", DEADLINE, || async {
        let sessions = app.report("sessions?period=week").await?;
        let session = sessions["results"].get(0)?;
        Some((session["session_id"].as_str()?.to_owned(), session["visitor_id"].as_str()?.to_owned()))
    })
    .await;
    (Shop { app, _upstream: upstream, _files: files, database }, ids.0, ids.1)
}

async fn value(shop: &Shop, sql: &str) -> String {
    let client = shop.database.connect().await;
    client.query_one(&format!("SELECT ({sql})::text"), &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_told_counts_once_in_its_session() {
    let (shop, session, visitor) = visited().await;
    let cart = json!({"type": "add_to_cart", "reference": "c-1", "session_id": session, "product_id": 17,
                      "product_name": "Boots", "value": "899.00", "currency": "uah", "page": "https://Shop.example/p/boots?x=1"});
    let lead = json!({"type": "lead", "at": "2026-11-22T10:00:00Z", "session_id": session, "visitor_id": visitor, "value": 250,
                      "properties": {"note": "call +380 67 123 45 67", "size": 42, "none": null}});
    let (status, answer) = shop.app.tell("actions", &json!([cart, lead, cart])).await;
    assert_eq!(
        answer["results"][0],
        json!({"type": "add_to_cart", "reference": "c-1", "outcome": "recorded"})
    );
    assert_eq!(outcomes((status, answer)), ["recorded", "recorded", "duplicate"]);
    assert_eq!(outcomes(shop.app.tell("actions", &json!([lead, cart])).await), ["duplicate", "duplicate"]);
    let other = json!({"type": "add_to_cart", "reference": "c-1", "session_id": session});
    assert_eq!(
        outcomes(shop.app.tell("actions", &json!([other])).await),
        ["refused: another action was told with this reference"]
    );
    let counted = "SELECT (actions, score, add_to_cart_at IS NOT NULL, lead_at) FROM sessions";
    assert_eq!(value(&shop, counted).await, "(2,63,t,\"2026-11-22 10:00:00+00\")");
    let story = shop.app.report(&format!("sessions/{session}")).await.unwrap();
    let actions = story["results"]["actions"].as_array().unwrap();
    assert_eq!(actions.len(), 3, "{actions:?}");
    let events =
        "SELECT string_agg(concat_ws(' ', k.name, p.product_id, p.name, e.value, e.currency, g.host, g.path,
                                              e.properties), '; ' ORDER BY e.value)
                  FROM events e JOIN action_kinds k USING (kind_id) LEFT JOIN products p USING (product_key)
                  LEFT JOIN pages g USING (page_id) WHERE e.value IS NOT NULL AND e.visitor_id IS NOT NULL";
    assert_eq!(
        value(&shop, events).await,
        "lead 250 {\"note\": \"call {phone}\", \"size\": \"42\"}; add_to_cart 17 Boots 899.00 UAH shop.example /p/boots"
    );
    shop.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_told_of_a_packed_session_is_in_reports_at_once() {
    let (shop, session, _) = visited().await;
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(30);
    eventually("the session is packed", DEADLINE, || async {
        rollups::refresh(&shop.database.store(), later).await.unwrap()?;
        (value(&shop, "SELECT coalesce(sum(sessions), 0) FROM session_columns").await == "1").then_some(())
    })
    .await;
    let at = value(&shop, "SELECT to_json(started_at AT TIME ZONE 'UTC') #>> '{}' FROM sessions").await + "Z";
    let told = json!([{"type": "survey", "reference": "s-1", "session_id": session, "at": at},
                      {"type": "add_to_cart", "reference": "c-1", "session_id": session, "at": at, "product_id": 17}]);
    assert_eq!(outcomes(shop.app.tell("actions", &told).await), ["recorded", "recorded"]);
    let funnel = shop.app.report("funnel?steps=page_view,survey,add_to_cart&period=week").await.unwrap();
    let reached: Vec<_> = funnel["results"].as_array().unwrap().iter().map(|row| &row["sessions"]).collect();
    assert_eq!(reached, [1, 1, 1, 1]);
    let products = shop.app.report("products?period=week").await.unwrap();
    assert_eq!(products["results"][0]["cart_adds"], 1);
    shop.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_is_the_visitors_and_its_sessions() {
    let (shop, session, visitor) = visited().await;
    let told = json!([{"session_id": session, "reference": "u-1"}, {"visitor_id": visitor, "at": "2026-11-01T10:00:00Z"}]);
    assert_eq!(outcomes(shop.app.tell("registrations", &told).await), ["recorded", "recorded"]);
    assert_eq!(outcomes(shop.app.tell("registrations", &told).await), ["duplicate", "duplicate"]);
    let registered = "SELECT (v.registered_at, s.registration_at > v.registered_at) FROM visitors v JOIN sessions s USING (visitor_id)";
    assert_eq!(value(&shop, registered).await, "(\"2026-11-01 10:00:00+00\",t)");
    let stats = shop.app.report("general-stats").await.unwrap();
    assert_eq!(stats["results"]["registrations"], 1);

    // By what was told with it the shop's own order is joined.
    let customer = json!({"phone": "067 123 45 67", "email": "anna@example.com"});
    let known = json!([{"session_id": session, "reference": "u-3", "customer": customer}]);
    assert_eq!(outcomes(shop.app.tell("registrations", &known).await), ["recorded"]);
    let other = json!([{"session_id": session, "reference": "u-3", "customer": {"phone": "067 000 00 00"}}]);
    assert_eq!(
        outcomes(shop.app.tell("registrations", &other).await),
        ["refused: another action was told with this reference"]
    );
    let wrong = json!([{"session_id": session, "reference": "u-4", "customer": {"name": "Anna"}}]);
    let refused = outcomes(shop.app.tell("registrations", &wrong).await);
    assert!(refused[0].starts_with("refused: customer: unknown field name"), "{refused:?}");
    let order = json!([{"order_id": "7", "status": "placed", "value": "10.00", "currency": "UAH",
                        "customer": {"phone": "0671234567"}}]);
    assert_eq!(outcomes(shop.app.tell("orders", &order).await), ["recorded"]);
    let explained = shop.app.report("orders/7/explain").await.unwrap();
    assert_eq!(explained["results"]["join"]["rule"], "customer", "{explained}");
    let kept = "SELECT string_agg(i::text, '; ') FROM identifications i";
    assert!(!value(&shop, kept).await.contains("anna"), "hashes alone are kept");

    // Who is forgotten is so in what was told, and in what is told later.
    assert_eq!(shop.app.forget(&visitor).await.0, 200);
    let late = json!([{"visitor_id": visitor, "reference": "u-2"}]);
    assert_eq!(outcomes(shop.app.tell("registrations", &late).await), ["recorded"]);
    let client = shop.database.connect().await;
    assert_eq!(crate::forgetting::places_of(&client, &[visitor, session]).await, [""; 0]);
    shop.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_long_after_the_last_page_is_in_all_reports() {
    let (shop, session, _) = visited().await;
    let later = (jiff::Timestamp::now() + jiff::SignedDuration::from_mins(4)).to_string();
    let lead = json!([{"type": "lead", "reference": "callback", "session_id": session, "at": later}]);
    assert_eq!(outcomes(shop.app.tell("actions", &lead).await), ["recorded"]);
    for mode in ["open", "closed"] {
        let funnel = shop.app.report(&format!("funnel?mode={mode}&steps=lead")).await.unwrap();
        assert_eq!(funnel["results"][1]["sessions"], 1, "{mode}: {funnel}");
    }
    let (_, exported) = shop.app.ask("/api/v1/export?type=actions&format=ndjson").await;
    assert!(exported.contains("\"type\":\"lead\""), "{exported}");
    shop.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_a_visitor_or_an_order_alone_is_exported_and_forgotten_with_them() {
    let (shop, session, visitor) = visited().await;
    let order = json!([{"order_id": "7", "status": "placed", "value": "10.00", "currency": "UAH", "session_id": session}]);
    assert_eq!(outcomes(shop.app.tell("orders", &order).await), ["recorded"]);
    let said = |names: &str, id: &str, note: &str| json!({"type": "consult", "reference": note, names: id, "properties": {"note": note}});
    let consulted = json!([
        said("visitor_id", &visitor, "Anna called"),
        said("order_id", "7", "Anna wrote"),
        said("order_id", "8", "somebody else"),
    ]);
    assert_eq!(outcomes(shop.app.tell("actions", &consulted).await), ["recorded", "recorded", "recorded"]);
    let (_, exported) = shop.app.ask(&format!("/api/v1/visitors/{visitor}")).await;
    assert!(exported.contains("Anna called") && exported.contains("Anna wrote"), "{exported}");
    assert!(!exported.contains("somebody else"), "{exported}");
    assert_eq!(shop.app.forget(&visitor).await.0, 200);
    let kept = "SELECT string_agg(properties->>'note', '; ') FROM events";
    assert_eq!(value(&shop, kept).await, "somebody else");
    shop.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_action_is_refused_with_its_reason() {
    let (shop, session, _) = visited().await;
    let ahead = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)).to_string();
    let many: serde_json::Map<String, Value> = (0..51).map(|n| (n.to_string(), json!(n))).collect();
    for (item, said) in [
        (json!("x"), "expected an object"),
        (json!({"reference": "1", "session_id": session}), "type is required"),
        (json!({"type": "Add To Cart", "reference": "1", "session_id": session}), "type is required"),
        (json!({"type": "purchase", "reference": "1", "session_id": session}), "POST /api/v1/orders"),
        (json!({"type": "page_view", "reference": "1", "session_id": session}), "where the proxy sees them"),
        (json!({"type": "wish", "session_id": session}), "reference or at is required"),
        (json!({"type": "wish", "reference": "1"}), "one of session_id, visitor_id and order_id"),
        (json!({"type": "wish", "reference": "1", "session_id": "me"}), "session_id is not a UUID"),
        (json!({"type": "wish", "at": ahead, "session_id": session}), "more than five minutes ahead"),
        (
            json!({"type": "wish", "at": "1999-01-01T00:00:00Z", "session_id": session}),
            "before the year 2000",
        ),
        (
            json!({"type": "wish", "at": "2019-01-01T00:00:00Z", "session_id": session}),
            "further back than actions are kept, 13 months",
        ),
        (
            json!({"type": "wish", "reference": "1", "session_id": session, "page": "p/boots"}),
            "neither a path",
        ),
        (
            json!({"type": "wish", "reference": "1", "session_id": session, "produkt_id": 1}),
            "did you mean product_id?",
        ),
        (
            json!({"type": "wish", "reference": "1", "session_id": session, "value": -1}),
            "value is not a decimal",
        ),
        (
            json!({"type": "wish", "reference": "1", "session_id": session, "properties": {"a": []}}),
            "a property is neither",
        ),
        (
            json!({"type": "wish", "reference": "1", "session_id": session, "properties": many}),
            "more than 50 properties",
        ),
    ] {
        let told = outcomes(shop.app.tell("actions", &json!([item])).await);
        assert!(told[0].starts_with("refused: ") && told[0].contains(said), "{item}: {told:?}");
    }
    let typed = json!([{"type": "registration", "reference": "1", "session_id": session}]);
    assert!(outcomes(shop.app.tell("registrations", &typed).await)[0].contains("unknown field type"));
    shop.app.stop().await;
}
