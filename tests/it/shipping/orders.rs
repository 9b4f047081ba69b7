//! Orders find their visitors and touches, whichever comes first.

use utm_dispatcher::erasure::{Erasure, Subject};
use utm_dispatcher::hit::{CustomerKeyKind, ReportOutcome};

use super::*;
use crate::harness::{DEADLINE, eventually, postgres};

const HOUR: u64 = 60 * MINUTE;

async fn shop() -> (Database, Client, Shipper, Journal) {
    let database = postgres::migrated().await;
    let client = database.connect().await;
    let mut shipper = shipper(&database);
    let journal = Journal::new();
    shipper.checkpoints(&[journal.id]).await.unwrap();
    (database, client, shipper, journal)
}

async fn credited(client: &Client) -> Option<String> {
    value(client, "SELECT c.source FROM order_credits LEFT JOIN campaigns c USING (campaign_id) WHERE model = 'last_non_direct'").await
}

#[tokio::test]
async fn an_order_is_credited_to_the_last_touch_before_it() {
    let (_database, client, mut shipper, mut journal) = shop().await;
    let (first, second) = (identity(1, 1, TEN), identity(1, 2, TEN + HOUR));
    let landed = |identity, at, evidence, source| {
        hit(Hit { touch: Some(touch(evidence, source)), ..page_view(identity, at) })
    };
    let records = [
        landed(first, TEN, 1, "google"),
        landed(second, TEN + HOUR, 2, "facebook"),
        hit(purchase(second, TEN + HOUR + MINUTE, "1042", 1499)),
        landed(identity(1, 3, TEN + 2 * HOUR), TEN + 2 * HOUR, 3, "bing"),
    ];
    shipper.ship(journal.batch(&records)).await.unwrap();
    assert_eq!(credited(&client).await.unwrap(), "facebook");
    let order = "SELECT (gross, net, joined_by, points) FROM orders";
    assert_eq!(value(&client, order).await.unwrap(), "(1499,1499,cookie,114)");
    let session = "SELECT (order_count, order_points, score, actions) FROM sessions WHERE session_number = 2";
    assert_eq!(value(&client, session).await.unwrap(), "(1,114,1,1)");
}

#[tokio::test]
async fn points_are_those_of_the_configuration() {
    let (database, client, _, mut journal) = shop().await;
    let mut own = settings();
    let others = [("page_view", 2), ("product_view", 7), ("wishlist", 4), ("purchase", -30)];
    others.into_iter().for_each(|(kind, points)| own.points.set(kind.to_owned(), points));
    let mut shipper = Shipper::new(database.store(), own);
    shipper.checkpoints(&[journal.id]).await.unwrap();
    let visit = identity(1, 1, TEN);
    let viewed = Action { product_id: Some("7".into()), ..action("product_view") };
    let seen = Hit { actions: vec![viewed, action("wishlist")], ..page_view(visit, TEN) };
    let records = [hit(seen.clone()), hit(seen), hit(purchase(visit, TEN + MINUTE, "1042", 1499))];
    shipper.ship(journal.batch(&records)).await.unwrap();
    let session = "SELECT (score, order_points) FROM sessions";
    // Twice a page and a wish; the product once.
    assert_eq!(value(&client, session).await.unwrap(), "(19,-16)");
    let events = "SELECT string_agg(points::text, ',' ORDER BY points) FROM events";
    assert_eq!(value(&client, events).await.unwrap(), "0,2,2,4,4,7");
}

#[tokio::test]
async fn a_session_that_arrives_after_its_order_is_joined() {
    let (_database, client, mut shipper, mut journal) = shop().await;
    let visit = identity(1, 1, TEN);
    let mut report = fact("1042", OrderEntryKind::Placed, TEN + HOUR);
    report.session_id = Some(visit.session_id);
    report.value = Some(200.into());
    shipper.ship(journal.batch(&[order(report)])).await.unwrap();
    assert_eq!(value(&client, "SELECT joined_by FROM orders").await, None);
    assert_eq!(value(&client, "SELECT count(*) FROM order_credits").await.unwrap(), "0");

    let landing = Hit { touch: Some(touch(1, "google")), ..page_view(visit, TEN) };
    shipper.ship(journal.batch(&[hit(landing)])).await.unwrap();
    assert_eq!(value(&client, "SELECT joined_by FROM orders").await.unwrap(), "session");
    assert_eq!(credited(&client).await.unwrap(), "google");
    assert_eq!(value(&client, "SELECT (order_count, order_points) FROM sessions").await.unwrap(), "(1,102)");
}

#[tokio::test]
async fn a_touch_that_arrives_late_changes_the_credit() {
    let (_database, client, mut shipper, mut journal) = shop().await;
    let visit = identity(1, 2, TEN);
    shipper.ship(journal.batch(&[hit(purchase(visit, TEN + HOUR, "1042", 100))])).await.unwrap();
    assert_eq!(
        value(&client, "SELECT count(*) FROM order_credits").await.unwrap(),
        "7",
        "one for each model"
    );
    assert_eq!(credited(&client).await, None, "direct");

    let earlier = identity(1, 1, TEN - 24 * HOUR);
    let landing = Hit { touch: Some(touch(1, "google")), ..page_view(earlier, TEN - 24 * HOUR) };
    shipper.ship(journal.batch(&[hit(landing)])).await.unwrap();
    assert_eq!(credited(&client).await.unwrap(), "google");

    let beyond = identity(1, 1, TEN - 100 * 24 * HOUR);
    let landing = Hit { touch: Some(touch(1, "bing")), ..page_view(beyond, TEN - 100 * 24 * HOUR) };
    shipper.ship(journal.batch(&[hit(landing)])).await.unwrap();
    assert_eq!(credited(&client).await.unwrap(), "google");
}

#[tokio::test]
async fn the_ledger_adds_up() {
    let (_database, client, mut shipper, mut journal) = shop().await;
    let entry = |kind, reference: &str, value: Option<i64>, minute: u64| {
        let fact = fact("1042", kind, TEN + minute * MINUTE);
        order(OrderFact { reference: reference.into(), value: value.map(Into::into), ..fact })
    };
    use OrderEntryKind::*;
    let ledger = "SELECT (gross, paid, cancelled, refunded, net) FROM orders";
    let steps = [
        (entry(Paid, "a", Some(200), 1), "(200,200,0,0,200)"),
        (entry(Placed, "", Some(1500), 2), "(1500,200,0,0,1500)"),
        (entry(Paid, "b", None, 3), "(1500,1500,0,0,1500)"),
        (entry(Refunded, "x", Some(300), 4), "(1500,1500,0,300,1200)"),
        (entry(Cancelled, "p", Some(100), 5), "(1500,1500,100,300,1100)"),
        (entry(Cancelled, "", None, 6), "(1500,1500,1200,300,0)"),
        (entry(Cancelled, "q", Some(1500), 7), "(1500,1500,1200,300,0)"),
    ];
    for (step, expected) in steps {
        shipper.ship(journal.batch(&[step])).await.unwrap();
        assert_eq!(value(&client, ledger).await.unwrap(), expected);
    }
    assert_eq!(value(&client, "SELECT count(*) FROM order_credits").await.unwrap(), "0", "not tracked");
}

#[tokio::test]
async fn a_report_is_recorded_once_and_not_contradicted() {
    let (_database, _client, mut shipper, mut journal) = shop().await;
    let report = |number: u32, value: i64| {
        order(OrderFact {
            value: Some(value.into()),
            receipt: Some((Uuid::nil(), number)),
            received_ms: TEN + u64::from(number),
            ..fact("1042", OrderEntryKind::Placed, TEN)
        })
    };
    let first = shipper.ship(journal.batch(&[report(1, 100), report(2, 100)])).await.unwrap();
    let second = shipper.ship(journal.batch(&[report(3, 100), report(4, 150)])).await.unwrap();
    let outcomes: Vec<_> = first.outcomes.into_iter().chain(second.outcomes).collect();
    let of = |number| outcomes.iter().find(|((_, at), _)| *at == number).map(|(_, outcome)| outcome.clone());
    assert_eq!(of(1), Some(ReportOutcome::Recorded));
    assert_eq!(of(2), Some(ReportOutcome::Duplicate));
    assert_eq!(of(3), Some(ReportOutcome::Duplicate));
    assert!(matches!(of(4), Some(ReportOutcome::Refused(reason)) if reason.contains("100")));
}

#[tokio::test]
async fn a_product_view_counts_once_in_half_an_hour() {
    let (_database, client, mut shipper, mut journal) = shop().await;
    let viewed = |minute: u64| {
        let action = Action { product_id: Some("p".into()), ..action("product_view") };
        hit(Hit {
            page_view: false,
            actions: vec![action],
            ..page_view(identity(1, 1, TEN), TEN + minute * MINUTE)
        })
    };
    shipper.ship(journal.batch(&[viewed(20), viewed(25), viewed(31)])).await.unwrap();
    shipper.ship(journal.batch(&[viewed(10), viewed(40)])).await.unwrap();
    assert_eq!(value(&client, "SELECT score FROM sessions").await.unwrap(), "6");
    let times = "SELECT string_agg(to_char(at AT TIME ZONE 'UTC', 'HH24:MI'), ' ' ORDER BY at) FROM events";
    assert_eq!(value(&client, times).await.unwrap(), "10:10 10:31");
}

/// Two batches that each know one of an order's payments would each compute it without the other's.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_waits_for_what_is_under_way() {
    let (database, client, mut shipper, mut journal) = shop().await;
    let mut placed = purchase(identity(1, 1, TEN), TEN, "1042", 100);
    placed.actions[0].reference = Some("invoice".into());
    shipper.ship(journal.batch(&[hit(placed)])).await.unwrap();
    let looker = database.connect().await;
    let settle = utm_dispatcher::store::locks::SETTLE;
    client.batch_execute(&format!("BEGIN; SELECT pg_advisory_xact_lock_shared({settle})")).await.unwrap();
    let payment = Action { reference: Some("invoice".into()), value: Some(40.into()), ..action("payment") };
    let told = Hit {
        identity: None,
        page_view: false,
        actions: vec![payment],
        ..page_view(identity(1, 1, TEN), TEN)
    };
    let batch = journal.batch(&[hit(told)]);
    let paid = tokio::spawn(async move { shipper.ship(batch).await.unwrap() });
    let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";
    eventually("the payment waits", DEADLINE, async || {
        (value(&looker, waits).await.unwrap() == "true").then_some(())
    })
    .await;
    client.batch_execute("COMMIT").await.unwrap();
    paid.await.unwrap();
    assert_eq!(value(&client, "SELECT (gross, paid) FROM orders").await.unwrap(), "(100,40)");
}

/// By which rule an order was joined, to whom, and what it is credited to.
async fn joined(client: &Client, order: &str) -> String {
    let sql = format!(
        "SELECT concat_ws(' ', o.joined_by, left(o.visitor_id::text, 2), right(o.session_id::text, 1), c.source)
         FROM orders o
         LEFT JOIN order_credits k ON (k.site_id, k.order_id, k.model) = (o.site_id, o.order_id, 'last_non_direct')
         LEFT JOIN campaigns c USING (campaign_id)
         WHERE o.order_id = '{order}'"
    );
    value(client, &sql).await.unwrap()
}

#[tokio::test]
async fn an_order_of_a_customer_is_joined_to_who_ordered_before() {
    let (_database, client, mut shipper, mut journal) = shop().await;
    let (phone, email) = ((CustomerKeyKind::Phone, [1; 16]), (CustomerKeyKind::Email, [2; 16]));
    let told = |id: &str, at_ms, customer: &[(CustomerKeyKind, [u8; 16])]| {
        order(OrderFact { customer: customer.to_vec(), ..fact(id, OrderEntryKind::Placed, at_ms) })
    };
    // By the telephone, before and after anything is known of the customer.
    let records = [told("early", TEN - HOUR, &[phone]), told("late", TEN + 48 * HOUR, &[email])];
    shipper.ship(journal.batch(&records)).await.unwrap();
    assert_eq!(joined(&client, "late").await, "");
    let visit = identity(1, 1, TEN);
    let landing = Hit { touch: Some(touch(1, "google")), ..page_view(visit, TEN) };
    let bought = hit(purchase(visit, TEN + MINUTE, "web", 100));
    shipper.ship(journal.batch(&[hit(landing), bought])).await.unwrap();
    let paid =
        OrderFact { customer: vec![phone, email], ..fact("web", OrderEntryKind::Paid, TEN + 2 * MINUTE) };
    shipper.ship(journal.batch(&[order(paid)])).await.unwrap();
    assert_eq!(joined(&client, "late").await, "customer 01 1 google");
    assert_eq!(joined(&client, "web").await, "cookie 01 1 google");
    assert_eq!(joined(&client, "early").await, "", "nobody had ordered by then");
    let counted = "SELECT order_count FROM sessions";
    assert_eq!(value(&client, counted).await.unwrap(), "2");

    // The latest order before it leads to the other browser now.
    let other = identity(2, 1, TEN + HOUR);
    let landing = Hit { touch: Some(touch(2, "bing")), ..page_view(other, TEN + HOUR) };
    let mut bought = purchase(other, TEN + HOUR + MINUTE, "phone", 100);
    bought.actions[0].customer = vec![email];
    shipper.ship(journal.batch(&[hit(bought), hit(landing)])).await.unwrap();
    assert_eq!(joined(&client, "late").await, "customer 02 1 bing");
    assert_eq!(value(&client, "SELECT sum(order_count) FROM sessions").await.unwrap(), "3");
    // Its own cookie is better than any customer,
    shipper.ship(journal.batch(&[hit(purchase(visit, TEN + 48 * HOUR, "late", 5))])).await.unwrap();
    // and what came last in the other browser is credited all the same.
    assert_eq!(joined(&client, "late").await, "cookie 01 1 bing");
}

#[tokio::test]
async fn a_click_that_the_shop_names_joins_the_order() {
    let (_database, client, mut shipper, mut journal) = shop().await;
    let clicked = |gclid: &str, at_ms| {
        let click_ids =
            vec![("gclid".to_owned(), gclid.to_owned()), ("ttclid".to_owned(), "none".to_owned())];
        order(OrderFact { click_ids, ..fact(gclid, OrderEntryKind::Placed, at_ms) })
    };
    let records = [clicked("one", TEN + HOUR), clicked("two", TEN - MINUTE), clicked("three", TEN + HOUR)];
    shipper.ship(journal.batch(&records)).await.unwrap();
    let landed = |visitor: u8, gclid: &'static str, source| {
        let touch =
            Touch { click_ids: vec![("gclid".into(), gclid.into())], ..touch(visitor.into(), source) };
        hit(Hit { touch: Some(touch), ..page_view(identity(visitor, 1, TEN), TEN) })
    };
    shipper.ship(journal.batch(&[landed(1, "one", "google"), landed(2, "two", "bing")])).await.unwrap();
    assert_eq!(joined(&client, "one").await, "click_id 01 1 google");
    assert_eq!(joined(&client, "two").await, "", "the click came after it");
    assert_eq!(joined(&client, "three").await, "");
    // Who is forgotten keeps the credit, and nothing of the click.
    let erasure = Erasure {
        erasure_id: Uuid::new_v4(),
        at_ms: TEN + HOUR,
        subject: Subject::Visitor(identity(1, 1, TEN).visitor_id),
    };
    shipper.ship(journal.batch(&[Record::Erasure(erasure)])).await.unwrap();
    let paid = fact("one", OrderEntryKind::Paid, TEN + 2 * HOUR);
    shipper.ship(journal.batch(&[order(paid)])).await.unwrap();
    let credit = joined(&client, "one").await;
    assert!(credit.starts_with("click_id ") && credit.ends_with(" google"), "{credit}");
    let clicks = "SELECT count(*) FROM order_entries WHERE click_ids IS NOT NULL AND order_id = 'one'";
    assert_eq!(value(&client, clicks).await.unwrap(), "0");
}

#[tokio::test]
async fn a_number_that_very_many_orders_have_joins_none() {
    let (_database, client, mut shipper, mut journal) = shop().await;
    let visit = identity(1, 1, TEN);
    let mut bought = purchase(visit, TEN, "0", 100);
    bought.actions[0].customer = vec![(CustomerKeyKind::Phone, [9; 16])];
    let mut records = vec![hit(page_view(visit, TEN)), hit(bought)];
    let told = |id: usize| OrderFact {
        customer: vec![(CustomerKeyKind::Phone, [9; 16])],
        ..fact(&id.to_string(), OrderEntryKind::Placed, TEN + MINUTE)
    };
    let joined = "SELECT count(visitor_id) FROM orders";
    records.extend((1..150).map(|id| order(told(id))));
    shipper.ship(journal.batch(&records)).await.unwrap();
    assert_eq!(value(&client, joined).await.unwrap(), "150");
    // Those that were settled before the number had too many are, too, nobody's customer's.
    let more: Vec<_> = (150..201).map(|id| order(told(id))).collect();
    shipper.ship(journal.batch(&more)).await.unwrap();
    assert_eq!(value(&client, joined).await.unwrap(), "1");
    assert_eq!(value(&client, "SELECT count(customer) FROM orders").await.unwrap(), "0");
    shipper.ship(journal.batch(&[order(told(201))])).await.unwrap();
    assert_eq!(value(&client, joined).await.unwrap(), "1");
}

/// A purchase by a browser, with what identifies the customer.
fn bought_by(
    browser: Identity,
    at_ms: u64,
    order: &'static str,
    customer: &[(CustomerKeyKind, [u8; 16])],
) -> Record<'static> {
    let mut bought = purchase(browser, at_ms, order, 100);
    bought.actions[0].customer = customer.to_vec();
    hit(bought)
}

fn landed(browser: Identity, at_ms: u64, evidence: i64, source: &'static str) -> Record<'static> {
    hit(Hit { touch: Some(touch(evidence, source)), ..page_view(browser, at_ms) })
}

/// Ships four records, each as a batch of its own, into an empty store; `order`, below 24, says which comes when.
async fn ship_one_by_one(database: &Database, client: &Client, records: &[Record<'static>; 4], order: usize) {
    super::any_order::clear(client).await;
    let (mut shipper, mut journal) = (shipper(database), Journal::new());
    shipper.checkpoints(&[journal.id]).await.unwrap();
    let mut left: Vec<_> = records.iter().collect();
    for place in [order % 4, order / 4 % 3, order / 12, 0] {
        let record = left.remove(place).clone();
        shipper.ship(journal.batch(&[record])).await.unwrap();
    }
}

#[tokio::test]
async fn a_click_in_another_browser_of_the_customer_earns_the_order() {
    let phone = (CustomerKeyKind::Phone, [1; 16]);
    let (mobile, again) = (identity(1, 1, TEN), identity(1, 2, TEN + 24 * HOUR));
    let desktop = identity(2, 1, TEN + 48 * HOUR);
    let records = [
        landed(mobile, TEN, 1, "google"),
        bought_by(mobile, TEN + MINUTE, "first", &[phone]),
        landed(again, TEN + 24 * HOUR, 2, "bing"),
        bought_by(desktop, TEN + 48 * HOUR, "second", &[phone]),
    ];
    let (database, client, _, _) = shop().await;
    // In several orders of arrival, one by one.
    for order in (0..24_usize).step_by(5) {
        ship_one_by_one(&database, &client, &records, order).await;
        assert_eq!(joined(&client, "second").await, "cookie 02 1 bing", "order {order}");
        assert_eq!(joined(&client, "first").await, "cookie 01 1 google", "order {order}");
        let linear = "SELECT string_agg(concat_ws(' ', c.source, k.credit), ', ' ORDER BY k.position)
                      FROM order_credits k JOIN campaigns c USING (campaign_id)
                      WHERE k.order_id = 'second' AND k.model = 'linear'";
        assert_eq!(value(&client, linear).await.unwrap(), "google 500000, bing 500000");
        // No visitor is changed for it: conversions and people are counted as before.
        assert_eq!(value(&client, "SELECT sum(order_count) FROM sessions").await.unwrap(), "2");
    }
    // What connects may have happened after the order, too: whose a touch was does not depend on when it was told.
    let (mut shipper, mut journal) = (shipper(&database), Journal::new());
    shipper.checkpoints(&[journal.id]).await.unwrap();
    let stranger = (CustomerKeyKind::Email, [5; 16]);
    let tablet = identity(3, 1, TEN + 30 * HOUR);
    let records = [
        landed(tablet, TEN + 30 * HOUR, 3, "tiktok"),
        bought_by(identity(4, 1, TEN + 31 * HOUR), TEN + 31 * HOUR, "early", &[stranger]),
        bought_by(tablet, TEN + 32 * HOUR, "late", &[stranger]),
    ];
    shipper.ship(journal.batch(&records)).await.unwrap();
    assert_eq!(joined(&client, "early").await, "cookie 04 1 tiktok");
    assert_eq!(joined(&client, "late").await, "cookie 03 1 tiktok");
}

#[tokio::test]
async fn keys_connect_browsers_by_way_of_orders_that_have_both() {
    let (_database, client, mut shipper, mut journal) = shop().await;
    let (phone, email) = ((CustomerKeyKind::Phone, [1; 16]), (CustomerKeyKind::Email, [2; 16]));
    let records = [
        landed(identity(1, 1, TEN), TEN, 1, "google"),
        bought_by(identity(1, 1, TEN), TEN + MINUTE, "mobile", &[phone]),
        bought_by(identity(2, 1, TEN + 9 * HOUR), TEN + 9 * HOUR, "desktop", &[email]),
    ];
    shipper.ship(journal.batch(&records)).await.unwrap();
    assert_eq!(joined(&client, "desktop").await, "cookie 02 1");
    let both =
        |at_ms| OrderFact { customer: vec![phone, email], ..fact("shop", OrderEntryKind::Placed, at_ms) };
    shipper.ship(journal.batch(&[order(both(TEN + HOUR))])).await.unwrap();
    assert_eq!(joined(&client, "desktop").await, "cookie 02 1 google");
    assert_eq!(joined(&client, "shop").await, "customer 01 1 google");
    // With the fact goes what followed from it.
    client
        .batch_execute(
            "DELETE FROM order_entries WHERE order_id = 'shop'; DELETE FROM orders WHERE order_id = 'shop'",
        )
        .await
        .unwrap();
    let paid = fact("desktop", OrderEntryKind::Paid, TEN + 10 * HOUR);
    shipper.ship(journal.batch(&[order(paid)])).await.unwrap();
    assert_eq!(joined(&client, "desktop").await, "cookie 02 1");
}

#[tokio::test]
async fn what_very_many_browsers_order_with_connects_none() {
    let (_database, client, mut shipper, mut journal) = shop().await;
    let phone = (CustomerKeyKind::Phone, [9; 16]);
    const ORDERS: [&str; 11] = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"];
    let mut records = vec![landed(identity(1, 1, TEN), TEN, 1, "google")];
    let bought = |number: usize| {
        let at = TEN + number as u64 * MINUTE;
        bought_by(identity(u8::try_from(number).unwrap(), 1, TEN), at, ORDERS[number - 1], &[phone])
    };
    records.extend((1..=10).map(bought));
    shipper.ship(journal.batch(&records)).await.unwrap();
    assert_eq!(joined(&client, "10").await, "cookie 0a 1 google");
    shipper.ship(journal.batch(&[bought(11)])).await.unwrap();
    for order in &ORDERS[1..] {
        let told = joined(&client, order).await;
        assert!(told.starts_with("cookie ") && !told.ends_with("google"), "{order}: {told}");
    }
    assert_eq!(joined(&client, "1").await, "cookie 01 1 google");
}

#[tokio::test]
async fn an_order_keeps_what_a_forgotten_browser_earned_it_and_no_name_of_it() {
    let (_database, client, mut shipper, mut journal) = shop().await;
    let (phone, email) = ((CustomerKeyKind::Phone, [1; 16]), (CustomerKeyKind::Email, [2; 16]));
    let mobile = identity(1, 1, TEN);
    let both = OrderFact { customer: vec![phone, email], ..fact("shop", OrderEntryKind::Placed, TEN + HOUR) };
    let records = [
        landed(mobile, TEN, 1, "google"),
        bought_by(mobile, TEN + MINUTE, "mobile", &[phone]),
        order(both),
        // By way of the order that the shop told: it is not forgotten with the first one.
        bought_by(identity(2, 1, TEN + 9 * HOUR), TEN + 9 * HOUR, "desktop", &[email]),
    ];
    shipper.ship(journal.batch(&records)).await.unwrap();
    let erasure = |number: u8| {
        Record::Erasure(Erasure {
            erasure_id: Uuid::new_v4(),
            at_ms: TEN + 20 * HOUR,
            subject: Subject::Visitor(identity(number, 1, TEN).visitor_id),
        })
    };
    shipper.ship(journal.batch(&[erasure(1)])).await.unwrap();
    let credit = "SELECT concat_ws(' ', c.source, k.session_id IN (SELECT session_id FROM touches)) FROM order_credits k
                  JOIN campaigns c USING (campaign_id) WHERE k.order_id = 'desktop' AND k.model = 'first'";
    let name = format!("SELECT count(*) FROM order_credits WHERE session_id = '{}'", mobile.session_id);
    assert_eq!(value(&client, credit).await.unwrap(), "google t");
    assert_eq!(value(&client, &name).await.unwrap(), "0");
    // Whatever comes late leads to the same.
    let paid = fact("desktop", OrderEntryKind::Paid, TEN + 10 * HOUR);
    shipper.ship(journal.batch(&[landed(mobile, TEN, 1, "google"), order(paid)])).await.unwrap();
    assert_eq!(value(&client, credit).await.unwrap(), "google t");
    assert_eq!(value(&client, &name).await.unwrap(), "0");
}

/// Something that is no order, with what identifies the customer.
fn identified(
    browser: Identity,
    at_ms: u64,
    kind: &'static str,
    customer: &[(CustomerKeyKind, [u8; 16])],
) -> Record<'static> {
    let given = Action { customer: customer.to_vec(), ..action(kind) };
    hit(Hit { page_view: false, actions: vec![given], ..page_view(browser, at_ms) })
}

#[tokio::test]
async fn a_browser_in_which_the_customer_registered_earns_orders_of_another() {
    let phone = (CustomerKeyKind::Phone, [1; 16]);
    let (mobile, desktop) = (identity(1, 1, TEN), identity(2, 1, TEN + 48 * HOUR));
    let records = [
        landed(mobile, TEN, 1, "google"),
        identified(mobile, TEN + MINUTE, "registration", &[phone]),
        bought_by(desktop, TEN + 48 * HOUR, "web", &[phone]),
        order(OrderFact {
            customer: vec![phone],
            ..fact("by telephone", OrderEntryKind::Placed, TEN + 2 * HOUR)
        }),
    ];
    let (database, client, _, _) = shop().await;
    for order in 0..24_usize {
        ship_one_by_one(&database, &client, &records, order).await;
        assert_eq!(joined(&client, "web").await, "cookie 02 1 google", "order {order}");
        assert_eq!(joined(&client, "by telephone").await, "customer 01 1 google", "order {order}");
        assert_eq!(value(&client, "SELECT count(*) FROM identifications").await.unwrap(), "1");
    }
}

#[tokio::test]
async fn what_the_api_tells_of_a_session_identifies_its_visitor_once_it_comes() {
    let (_database, client, mut shipper, mut journal) = shop().await;
    let (email, user) = ((CustomerKeyKind::Email, [1; 16]), (CustomerKeyKind::UserId, [2; 16]));
    let mobile = identity(1, 1, TEN);
    let signed_in =
        ActionFact { customer: vec![user, email], ..told("lead", Some(mobile.session_id), TEN + MINUTE) };
    let records = [
        Record::Action(Box::new(signed_in)),
        bought_by(identity(2, 1, TEN + HOUR), TEN + HOUR, "web", &[email]),
        bought_by(identity(3, 1, TEN + HOUR), TEN + HOUR, "shop", &[user]),
    ];
    shipper.ship(journal.batch(&records)).await.unwrap();
    assert_eq!(joined(&client, "web").await, "cookie 02 1");
    shipper.ship(journal.batch(&[landed(mobile, TEN, 1, "google")])).await.unwrap();
    assert_eq!(joined(&client, "web").await, "cookie 02 1 google");
    assert_eq!(joined(&client, "shop").await, "cookie 03 1 google");
    let waiting = "SELECT count(*) FROM identifications WHERE is_session";
    assert_eq!(value(&client, waiting).await.unwrap(), "0");
    // It connects a browser with each, and not the two orders: anybody may type anything.
    assert_eq!(value(&client, "SELECT count(customer) FROM orders").await.unwrap(), "0");
    // A touch that comes late counts like any other.
    shipper.ship(journal.batch(&[landed(mobile, TEN + 2 * MINUTE, 2, "bing")])).await.unwrap();
    assert_eq!(joined(&client, "web").await, "cookie 02 1 bing");
}

#[tokio::test]
async fn what_is_given_in_very_many_browsers_connects_none() {
    let (_database, client, mut shipper, mut journal) = shop().await;
    let phone = (CustomerKeyKind::Phone, [9; 16]);
    let given = |number: u8| identified(identity(number, 1, TEN), TEN + u64::from(number), "lead", &[phone]);
    let mut records = vec![landed(identity(1, 1, TEN), TEN, 1, "google")];
    records.extend((1..10).map(given));
    records.push(bought_by(identity(20, 1, TEN), TEN + HOUR, "web", &[phone]));
    shipper.ship(journal.batch(&records)).await.unwrap();
    assert_eq!(joined(&client, "web").await, "cookie 14 1 google");
    // Somebody says it again: that is no other browser.
    shipper.ship(journal.batch(&[given(9)])).await.unwrap();
    assert_eq!(joined(&client, "web").await, "cookie 14 1 google");
    shipper.ship(journal.batch(&[given(10), given(11)])).await.unwrap();
    assert_eq!(joined(&client, "web").await, "cookie 14 1");
    // What orders connect is connected all the same.
    let other = [
        landed(identity(30, 1, TEN), TEN, 2, "bing"),
        bought_by(identity(30, 1, TEN), TEN + MINUTE, "mobile", &[phone]),
    ];
    shipper.ship(journal.batch(&other)).await.unwrap();
    assert_eq!(joined(&client, "web").await, "cookie 14 1 bing");
}

#[tokio::test]
async fn a_browser_that_gives_very_many_names_is_nobodys() {
    let (_database, client, mut shipper, mut journal) = shop().await;
    let phone = |number: u8| (CustomerKeyKind::Phone, [number; 16]);
    let greedy = identity(1, 1, TEN);
    let mut records = vec![landed(greedy, TEN, 1, "affiliate")];
    records.extend((1..=10).map(|number| identified(greedy, TEN + MINUTE, "lead", &[phone(number)])));
    records.push(order(OrderFact {
        customer: vec![phone(3)],
        ..fact("told", OrderEntryKind::Placed, TEN + HOUR)
    }));
    shipper.ship(journal.batch(&records)).await.unwrap();
    assert_eq!(joined(&client, "told").await, "customer 01 1 affiliate");
    let more: Vec<_> =
        (11..40).map(|number| identified(greedy, TEN + MINUTE, "lead", &[phone(number)])).collect();
    shipper.ship(journal.batch(&more)).await.unwrap();
    assert_eq!(joined(&client, "told").await, "", "of what was believed before, too, nothing is");
}

#[tokio::test]
async fn a_beginning_without_a_cookie_earns_what_its_visitor_is_known_for_whenever_it_comes() {
    let (database, client, mut shipper, mut journal) = shop().await;
    let phone = (CustomerKeyKind::Phone, [1; 16]);
    let day = TEN - TEN % 86_400_000;
    let before = Identity { mode: IdentityMode::Cookieless, ..identity(101, 1, day) };
    let minted = Identity { minted_from: Some(before.visitor_id), ..identity(1, 1, TEN) };
    let records = [
        landed(before, TEN, 1, "google"),
        bought_by(identity(2, 1, TEN), TEN + 5 * MINUTE, "web", &[phone]),
        identified(identity(1, 1, TEN), TEN + 20 * MINUTE, "lead", &[phone]),
    ];
    shipper.ship(journal.batch(&records)).await.unwrap();
    assert_eq!(joined(&client, "web").await, "cookie 02 1");
    // Another proxy ships the hit that says so.
    let (mut late, mut its) = (super::shipper(&database), Journal::new());
    late.checkpoints(&[its.id]).await.unwrap();
    late.ship(its.batch(&[hit(page_view(minted, TEN + 10 * MINUTE))])).await.unwrap();
    assert_eq!(joined(&client, "web").await, "cookie 02 1 google");
}

#[tokio::test]
async fn whoever_is_forgotten_is_so_in_all_browsers_that_they_gave_their_name_in() {
    let (_database, client, mut shipper, mut journal) = shop().await;
    let phone = (CustomerKeyKind::Phone, [0xee; 16]);
    let (mobile, desktop) = (identity(1, 1, TEN), identity(2, 1, TEN + 9 * HOUR));
    let records = [
        landed(mobile, TEN, 1, "google"),
        identified(mobile, TEN + MINUTE, "lead", &[phone]),
        bought_by(desktop, TEN + 9 * HOUR, "web", &[phone]),
    ];
    shipper.ship(journal.batch(&records)).await.unwrap();
    let erasure = Erasure {
        erasure_id: Uuid::new_v4(),
        at_ms: TEN + 20 * HOUR,
        subject: Subject::Visitor(desktop.visitor_id),
    };
    shipper.ship(journal.batch(&[Record::Erasure(erasure)])).await.unwrap();
    // Whatever comes late is of the same nobody.
    let late = [
        identified(mobile, TEN + 2 * MINUTE, "registration", &[phone]),
        order(fact("web", OrderEntryKind::Paid, TEN + 10 * HOUR)),
    ];
    shipper.ship(journal.batch(&late)).await.unwrap();
    let credit = "SELECT c.source FROM order_credits k JOIN campaigns c USING (campaign_id)
                  WHERE k.order_id = 'web' AND k.model = 'last_non_direct'";
    assert_eq!(value(&client, credit).await.unwrap(), "google");
    let names = [mobile.visitor_id, desktop.visitor_id, mobile.session_id, desktop.session_id];
    let mut names: Vec<String> = names.iter().map(Uuid::to_string).collect();
    names.push("ee".repeat(16));
    let led = crate::forgetting::places_of(&client, &names).await;
    assert!(led.is_empty(), "{led:?}");
    let kept = "SELECT string_agg(DISTINCT octet_length(hash)::text, ' ') FROM identifications";
    assert_eq!(value(&client, kept).await.unwrap(), "17");
}

#[tokio::test]
async fn an_erasure_reaches_no_further_than_what_is_believed() {
    let (_database, client, mut shipper, mut journal) = shop().await;
    let phone = (CustomerKeyKind::Phone, [0xee; 16]);
    let erased =
        |subject| Record::Erasure(Erasure { erasure_id: Uuid::new_v4(), at_ms: TEN + 20 * HOUR, subject });
    // Very many give the number of somebody else, and one of them very many numbers.
    let mut records = vec![bought_by(identity(1, 1, TEN), TEN + HOUR, "web", &[phone])];
    records
        .extend((2..20).map(|number| identified(identity(number, 1, TEN), TEN + MINUTE, "lead", &[phone])));
    let other = |number: u8| (CustomerKeyKind::Phone, [number; 16]);
    records.extend((1..20).map(|number| identified(identity(19, 1, TEN), TEN, "lead", &[other(number)])));
    records.push(bought_by(identity(30, 1, TEN), TEN + HOUR, "not theirs", &[other(7)]));
    // The shop tells of a session that never comes.
    let waits = ActionFact { customer: vec![phone], ..told("lead", Some(Uuid::from_u128(77)), TEN) };
    records.push(Record::Action(Box::new(waits)));
    shipper.ship(journal.batch(&records)).await.unwrap();
    let forgotten = "SELECT count(*) FROM visitors WHERE identity = 0";
    shipper.ship(journal.batch(&[erased(Subject::Visitor(identity(19, 1, TEN).visitor_id))])).await.unwrap();
    assert_eq!(value(&client, forgotten).await.unwrap(), "1");
    shipper.ship(journal.batch(&[erased(Subject::Customer([0xee; 16]))])).await.unwrap();
    assert_eq!(value(&client, forgotten).await.unwrap(), "2");
    let led = crate::forgetting::places_of(&client, &["ee".repeat(16)]).await;
    assert!(led.is_empty(), "{led:?}");
}

#[tokio::test]
async fn a_lead_of_somebody_forgotten_that_comes_late_earns_as_if_they_were_not() {
    let (_database, client, mut shipper, mut journal) = shop().await;
    let phone = (CustomerKeyKind::Phone, [0xee; 16]);
    let mobile = identity(1, 1, TEN);
    let placed = OrderFact { customer: vec![phone], ..fact("told", OrderEntryKind::Placed, TEN + HOUR) };
    shipper.ship(journal.batch(&[landed(mobile, TEN, 1, "google"), order(placed)])).await.unwrap();
    let subject = Subject::Visitor(mobile.visitor_id);
    let erasure = Erasure { erasure_id: Uuid::new_v4(), at_ms: TEN + 20 * HOUR, subject };
    shipper.ship(journal.batch(&[Record::Erasure(erasure)])).await.unwrap();
    shipper.ship(journal.batch(&[identified(mobile, TEN + MINUTE, "lead", &[phone])])).await.unwrap();
    let told = joined(&client, "told").await;
    assert!(told.starts_with("customer ") && told.ends_with(" google"), "{told}");
    let names = [mobile.visitor_id.to_string(), mobile.session_id.to_string(), "ee".repeat(16)];
    let led = crate::forgetting::places_of(&client, &names).await;
    assert!(led.is_empty(), "{led:?}");
}

#[tokio::test]
async fn credits_by_way_of_a_key_lose_the_names_of_whoever_is_forgotten() {
    let (_database, client, mut shipper, mut journal) = shop().await;
    let (phone, email) = ((CustomerKeyKind::Phone, [1; 16]), (CustomerKeyKind::Email, [2; 16]));
    let (first, second) = (identity(1, 1, TEN), identity(2, 1, TEN + HOUR));
    let records = [
        landed(first, TEN, 1, "google"),
        identified(first, TEN, "lead", &[email]),
        identified(second, TEN + HOUR, "lead", &[phone, email]),
        bought_by(identity(3, 1, TEN + 2 * HOUR), TEN + 2 * HOUR, "web", &[email]),
    ];
    shipper.ship(journal.batch(&records)).await.unwrap();
    assert_eq!(joined(&client, "web").await, "cookie 03 1 google");
    let subject = Subject::Visitor(first.visitor_id);
    let erasure = Erasure { erasure_id: Uuid::new_v4(), at_ms: TEN + 20 * HOUR, subject };
    shipper.ship(journal.batch(&[Record::Erasure(erasure)])).await.unwrap();
    let names = [first.visitor_id.to_string(), first.session_id.to_string()];
    let led = crate::forgetting::places_of(&client, &names).await;
    assert!(led.is_empty(), "{led:?}");
    let credit = "SELECT c.source FROM order_credits k JOIN campaigns c USING (campaign_id)
                  WHERE k.order_id = 'web' AND k.model = 'first'";
    assert_eq!(value(&client, credit).await.unwrap(), "google");
}
