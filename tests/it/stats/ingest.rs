//! What the shop tells about its orders.

use serde_json::{Value, json};
use utm_dispatcher::hit::{CustomerKeyKind, OrderEntryKind, ReportOutcome, Way};
use utm_dispatcher::journal::writer::Ack;

use super::server::{Server, problem};

const NOWHERE: &str = "postgres://nobody@127.0.0.1:1/nothing";

#[tokio::test]
async fn orders_reach_the_journal_whole_and_their_outcomes_come_back() {
    let mut server = Server::start(NOWHERE).await;
    let orders = json!([
        {
            "order_id": "1042", "status": "placed", "value": "1499.00", "currency": "uah", "at": "2026-11-22T10:00:00+02:00",
            "reference": "r1", "order_number": "TWC-1042", "session_id": "019aa000-0000-8000-8000-000000000001",
            "click_ids": {"FBCLID": "IwAR2-AbC"}, "customer": {"phone": "067 123-45-67", "email": " Anna@Example.com"},
            "items": [{"product_id": 17, "name": "Tee", "quantity": 2, "price": "749.50"}], "properties": {"note": "ё"}
        },
        {"order_id": "1043", "status": "paid", "value": -1},
        {"order_id": 1044, "status": "delivered", "site": "second"},
        {"order_id": "1045", "status": "refunded", "value": 10.5},
    ]);
    let sending = tokio::spawn(server.post_orders(&orders).send());
    let submission = server.submissions.recv().await.unwrap();
    let [first, third, fourth] = submission.facts.as_slice() else { panic!("{:?}", submission.facts) };
    assert_eq!(
        (first.site.as_str(), first.order_id.as_str(), first.kind),
        ("default", "1042", OrderEntryKind::Placed)
    );
    assert_eq!((first.way, first.at_ms, first.reference.as_str()), (Way::Api, 1_795_334_400_000, "r1"));
    assert_eq!(
        (first.value.unwrap().to_string().as_str(), first.currency.as_deref()),
        ("1499.00", Some("UAH"))
    );
    assert_eq!(first.click_ids, [("fbclid".to_owned(), "IwAR2-AbC".to_owned())]);
    let phone = server.customers.hash(CustomerKeyKind::Phone, "default", "+380671234567").unwrap();
    let email = server.customers.hash(CustomerKeyKind::Email, "default", "anna@example.com").unwrap();
    assert_eq!(first.customer, [(CustomerKeyKind::Phone, phone), (CustomerKeyKind::Email, email)]);
    assert!(!format!("{first:?}").to_lowercase().contains("anna"), "nothing of a person but hashes");
    assert_eq!((third.site.as_str(), third.order_id.as_str()), ("second", "1044"));
    assert_eq!(fourth.value.unwrap().to_string(), "10.5");
    let receipts: Vec<_> = submission.facts.iter().map(|fact| fact.receipt.unwrap()).collect();
    assert!(receipts.iter().all(|receipt| receipt.0 == receipts[0].0));
    assert_eq!(receipts.iter().map(|receipt| receipt.1).collect::<Vec<_>>(), [0, 1, 2]);

    submission.durable.send(Ack::Written);
    let outcomes = vec![
        ReportOutcome::Recorded,
        ReportOutcome::Duplicate,
        ReportOutcome::Refused("another value stands".into()),
    ];
    submission.outcomes.send(outcomes);
    let response = sending.await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
    insta::assert_json_snapshot!(response.json::<Value>().await.unwrap());
}

#[tokio::test]
async fn an_order_that_is_only_in_the_journal_is_accepted() {
    let mut server = Server::start(NOWHERE).await;
    let sending = tokio::spawn(server.post_orders(&json!([{"order_id": "1", "status": "placed"}])).send());
    let submission = server.submissions.recv().await.unwrap();
    submission.durable.send(Ack::Written);
    drop(submission.outcomes);
    let response = sending.await.unwrap().unwrap();
    assert_eq!(response.status(), 202);
    assert_eq!(
        response.json::<Value>().await.unwrap(),
        json!({"results": [{"order_id": "1", "outcome": "accepted"}]})
    );
}

#[tokio::test]
async fn an_order_that_the_journal_cannot_take_is_not_accepted() {
    let mut server = Server::start(NOWHERE).await;
    let orders = json!([{"order_id": "1", "status": "placed"}]);
    let sending = tokio::spawn(server.post_orders(&orders).send());
    let submission = server.submissions.recv().await.unwrap();
    submission.durable.send(Ack::Refused);
    assert_eq!(problem(sending.await.unwrap().unwrap()).await.0, 503);
    server.submissions.close();
    assert_eq!(problem(server.post_orders(&orders).send().await.unwrap()).await.0, 503);
}

#[tokio::test]
async fn every_wrong_item_gets_its_own_reason() {
    let server = Server::start(NOWHERE).await;
    let ahead = (jiff::Timestamp::now() + jiff::SignedDuration::from_mins(6)).to_string();
    let orders = json!([
        7,
        {"status": "placed"},
        {"order_id": "", "status": "placed"},
        {"order_id": "a\u{0}b", "status": "placed"},
        {"order_id": "x".repeat(201), "status": "placed"},
        {"order_id": "1"},
        {"order_id": "2", "status": "payed"},
        {"order_id": "3", "status": "placed", "valeu": "1"},
        {"order_id": "4", "status": "placed", "value": "1,5"},
        {"order_id": "5", "status": "placed", "value": "1.23456"},
        {"order_id": "6", "status": "placed", "value": "1000000000000"},
        {"order_id": "7", "status": "placed", "value": "1e3"},
        {"order_id": "8", "status": "placed", "currency": "гривня"},
        {"order_id": "9", "status": "placed", "at": ahead},
        {"order_id": "10", "status": "placed", "at": "2026-11-22"},
        {"order_id": "11", "status": "placed", "session_id": "me"},
        {"order_id": "12", "status": "placed", "customer": {"fone": "1"}},
        {"order_id": "13", "status": "placed", "items": [{"price": "free"}]},
        {"order_id": "14", "status": "placed", "properties": {"a": "\u{0}"}},
        {"order_id": "15", "status": "placed", "properties": {"a": "x".repeat(20_000)}},
        {"order_id": "16", "status": "placed", "click_ids": {"gclid": 1}},
    ]);
    let response = server.post_orders(&orders).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let body: Value = response.json().await.unwrap();
    let lines: Vec<_> = body["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| {
            assert_eq!(result["outcome"], "refused", "{result}");
            format!("{}: {}", result["order_id"], result["reason"].as_str().unwrap())
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[tokio::test]
async fn lines_are_taken_one_by_one_and_what_is_no_batch_is_refused_whole() {
    let mut server = Server::start(NOWHERE).await;
    let lines = "{\"order_id\": \"1\", \"status\": \"placed\"}\n\n{broken\n{\"order_id\": \"2\", \"status\": \"paid\"}\n";
    let request = server.post_text(lines, "application/x-ndjson");
    let sending = tokio::spawn(request.send());
    let submission = server.submissions.recv().await.unwrap();
    assert_eq!(submission.facts.iter().map(|fact| fact.order_id.as_str()).collect::<Vec<_>>(), ["1", "2"]);
    submission.durable.send(Ack::Written);
    submission.outcomes.send(vec![ReportOutcome::Recorded, ReportOutcome::Recorded]);
    let body: Value = sending.await.unwrap().unwrap().json().await.unwrap();
    let outcomes: Vec<_> = body["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["recorded", "refused", "recorded"]);

    for (body, status) in [
        ("[{\"order_id\"".to_owned(), 400),
        ("{\"order_id\": \"1\"}".to_owned(), 400),
        (format!("[{}1]", "1,".repeat(1000)), 413),
        (format!("[\"{}\"]", "x".repeat(1024 * 1024)), 413),
    ] {
        let response = server.post_text(&body, "application/json").send().await.unwrap();
        assert_eq!(problem(response).await.0, status);
    }
}

#[tokio::test]
async fn more_batches_than_can_wait_at_once_are_asked_to_come_again() {
    let mut server = Server::start(NOWHERE).await;
    let orders = json!([{"order_id": "1", "status": "placed"}]);
    let waiting: Vec<_> = (0..32).map(|_| tokio::spawn(server.post_orders(&orders).send())).collect();
    let mut submissions = Vec::new();
    for _ in 0..32 {
        submissions.push(server.submissions.recv().await.unwrap());
    }
    let refused = server.post_orders(&orders).send().await.unwrap();
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(problem(refused).await.0, 429);
    for submission in submissions {
        submission.durable.send(Ack::Written);
        submission.outcomes.send(vec![ReportOutcome::Recorded]);
    }
    for answer in waiting {
        assert_eq!(answer.await.unwrap().unwrap().status(), 200);
    }
    let again = tokio::spawn(server.post_orders(&orders).send());
    server.submissions.recv().await.unwrap().durable.send(Ack::Written);
    assert!(again.await.unwrap().unwrap().status().is_success());
}
