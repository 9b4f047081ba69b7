//! Whoever is forgotten is so in whatever order records arrive, and no total tells.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sha2::{Digest, Sha256};
use utm_dispatcher::erasure::{Erasure, Outcome, Subject};
use utm_dispatcher::hit::CustomerKeyKind;
use utm_dispatcher::store::StoreError;
use utm_dispatcher::store::columns::id_hash;
use utm_dispatcher::store::order_columns::Orders;
use utm_dispatcher::store::rollups::refresh;

use super::any_order::{any_record, clear, ship_all};
use super::*;
use crate::harness::{DEADLINE, eventually, postgres};

/// The facts without names: what totals are made of.
const TOTALS: [&str; 8] = [
    "SELECT count(DISTINCT visitor_id) FROM visitors",
    "SELECT (first_seen, last_seen, registered_at, site_id) FROM visitors",
    "SELECT (started_at, last_seen, entry_at, entry_hash, landing_page_id, agent_id, place_id, touch_at, campaign_id,
             referrer_id, page_views, actions, score, bot_score, bot_reasons, order_count, order_points, session_hour,
             session_number, product_view_at, lead_at, purchase_at, site_id) FROM sessions",
    "SELECT (session_hour, at, hash, campaign_id, referrer_id) FROM touches",
    "SELECT (session_hour, product_key, slot, at, hash) FROM product_views",
    "SELECT (at, page_id, product_key, kind_id, points, value, currency, order_id, session_id IS NULL) FROM events",
    "SELECT (order_id, placed_at, gross, paid, cancelled, refunded, net, visitor_id IS NULL, session_id IS NULL,
             joined_by, points) FROM orders",
    "SELECT (order_id, model, position, touch_at, campaign_id, referrer_id, credit) FROM order_credits",
];

async fn totals(client: &Client) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for sql in TOTALS {
        let sql = format!("SELECT x::text FROM ({sql}) AS x ORDER BY 1");
        all.push(client.query(&sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect());
    }
    all
}

fn erasure(subject: Subject, at_ms: u64) -> Record<'static> {
    Record::Erasure(Erasure { erasure_id: Uuid::new_v4(), at_ms, subject })
}

/// The same at a moment of its own: which of two hits of one millisecond comes first depends on ids.
fn at_its_own_moment(mut record: Record<'static>, index: usize) -> Record<'static> {
    let later = u64::try_from(index).unwrap() * 7;
    match &mut record {
        Record::Hit(hit) => hit.at_ms += later,
        Record::Order(fact) => {
            (fact.at_ms, fact.received_ms) = (fact.at_ms + later, fact.received_ms + later);
            // What a click joined stands: an order that comes after the erasure finds it no more.
            fact.click_ids.clear();
        }
        Record::Action(fact) => {
            fact.at_ms += later;
            fact.reference = index.to_string();
        }
        Record::Spend(_) | Record::BotCount(_) | Record::Erasure(_) => {}
    }
    record
}

/// Records, each with its journal and its place in the shuffle, and the place of the erasure.
fn case() -> impl Strategy<Value = (Vec<(Record<'static>, usize, u32)>, u32)> {
    (prop::collection::vec((any_record(), 0usize..4, any::<u32>()), 1..50), any::<u32>())
}

#[test]
fn an_erasure_changes_no_total_whenever_it_comes() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (database, client) = runtime.block_on(async {
        let database = postgres::migrated().await;
        let client = database.connect().await;
        (database, client)
    });
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { Config::default().cases } else { 8 };
    let config = Config { failure_persistence: None, max_shrink_iters: 200, ..Config::with_cases(cases) };
    let mut runner = TestRunner::new(config);
    let person = identity(1, 1, TEN);
    let result = runner.run(&(case(), 1usize..20, 1usize..4), |((case, place), portion, shippers)| {
        let case: Vec<_> = (0..)
            .zip(case)
            .map(|(index, (record, journal, place))| (at_its_own_moment(record, index), journal, place))
            .collect();
        runtime.block_on(async {
            clear(&client).await;
            let whole: Vec<_> = case.iter().map(|(record, ..)| record.clone()).collect();
            ship_all(&database, vec![whole.clone()], 50, 1, false).await;
            let expected = totals(&client).await;

            clear(&client).await;
            let mut shuffled = case;
            shuffled.push((erasure(Subject::Visitor(person.visitor_id), TEN), 0, place));
            shuffled.sort_by_key(|(.., place)| *place);
            let mut journals: BTreeMap<usize, Vec<_>> = BTreeMap::new();
            for (record, journal, _) in shuffled {
                journals.entry(journal).or_default().push(record);
            }
            ship_all(&database, journals.into_values().collect(), portion, shippers, true).await;
            let found = totals(&client).await;
            for (number, rows) in expected.iter().enumerate() {
                prop_assert_eq!(rows, &found[number], "{}", TOTALS[number]);
            }
            let mut names = vec![person.visitor_id, Uuid::from_bytes([101; 16])];
            names.extend(whole.iter().filter_map(|record| {
                match record {
                    Record::Hit(hit) => hit.identity.filter(|who| who.visitor_id == person.visitor_id),
                    _ => None,
                }
                .map(|who| who.session_id)
            }));
            let names: Vec<String> = names.iter().map(Uuid::to_string).collect();
            let led = crate::forgetting::places_of(&client, &names).await;
            prop_assert!(led.is_empty(), "{:?}", led);
            let customers = "SELECT count(*) FROM order_entries e JOIN orders o USING (site_id, order_id)
                             JOIN visitors v ON v.visitor_id = o.visitor_id
                             WHERE v.identity = 0 AND octet_length(e.phone) = 16";
            prop_assert_eq!(value(&client, customers).await.unwrap(), "0");
            Ok(())
        })
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

/// Ships one record and answers the outcome of its erasure.
async fn outcome(shipper: &mut Shipper, journal: &mut Journal, subject: Subject) -> Outcome {
    let batch = journal.batch(&[erasure(subject, TEN + 60 * MINUTE)]);
    shipper.ship(batch).await.unwrap().receipts.pop().unwrap().outcome
}

#[tokio::test]
async fn an_order_or_a_customer_leads_to_the_person_and_to_all_their_orders() {
    for by_customer in [false, true] {
        let database = postgres::migrated().await;
        let client = database.connect().await;
        let mut shipper = shipper(&database);
        let mut journal = Journal::new();
        shipper.checkpoints(&[journal.id]).await.unwrap();
        let (phone, email) = ([0xA7; 16], [0xB8; 16]);
        let told = |id: &str, customer| OrderFact {
            customer,
            properties: Some("{\"note\": \"for Anna\"}".into()),
            items: Some("[{\"product_id\": \"7\", \"name\": \"Mug for Anna\", \"quantity\": 1}]".into()),
            ..fact(id, OrderEntryKind::Placed, TEN + 5 * MINUTE)
        };
        let (one, two, other) = (identity(1, 1, TEN), identity(2, 1, TEN), identity(3, 1, TEN));
        let records = [
            hit(Hit { touch: Some(touch(1, "google")), ..page_view(one, TEN) }),
            hit(purchase(one, TEN + MINUTE, "a", 100)),
            order(told("a", vec![(CustomerKeyKind::Phone, phone)])),
            // The same person by another browser, and by the telephone alone.
            hit(page_view(two, TEN)),
            hit(purchase(two, TEN + MINUTE, "b", 200)),
            order(told("b", vec![(CustomerKeyKind::Phone, phone), (CustomerKeyKind::Email, email)])),
            order(told("c", vec![(CustomerKeyKind::Phone, phone)])),
            hit(page_view(other, TEN)),
            hit(purchase(other, TEN + MINUTE, "d", 300)),
        ];
        shipper.ship(journal.batch(&records)).await.unwrap();
        let before = totals(&client).await;
        let subject = if by_customer {
            Subject::Customer(phone)
        } else {
            Subject::Order { site: "default".into(), order_id: "a".into() }
        };
        assert_eq!(outcome(&mut shipper, &mut journal, subject.clone()).await, Outcome::Forgotten);
        assert_eq!(outcome(&mut shipper, &mut journal, subject).await, Outcome::AlreadyForgotten);
        // Reports of before that come late, about an order that is known and one that is not.
        let late =
            |id| OrderFact { kind: OrderEntryKind::Paid, ..told(id, vec![(CustomerKeyKind::Phone, phone)]) };
        shipper.ship(journal.batch(&[order(late("a")), order(late("e"))])).await.unwrap();

        let hex = |bytes: [u8; 16]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let mut names = vec![hex(phone), "Anna".to_owned()];
        // Orders by the telephone alone do not lead to the address that only another order names.
        names.extend(
            [one, two].iter().flat_map(|who| [who.visitor_id, who.session_id]).map(|id| id.to_string()),
        );
        assert_eq!(crate::forgetting::places_of(&client, &names).await, [""; 0]);
        let marked =
            "SELECT string_agg(order_id, ',' ORDER BY order_id) FROM orders WHERE forgotten_at IS NOT NULL";
        // The one that is not known has the person's number, as replaced: it is joined to who is nobody, and so forgotten.
        assert_eq!(value(&client, marked).await.unwrap(), "a,b,c,e");
        let untouched =
            "SELECT identity FROM visitors WHERE visitor_id = '03030303-0303-0303-0303-030303030303'";
        assert_eq!(value(&client, untouched).await.unwrap(), "1");
        let sources = "SELECT string_agg(DISTINCT s.source, ',') FROM order_credits c JOIN campaigns s USING (campaign_id)
                       WHERE c.model = 'first'";
        assert_eq!(value(&client, sources).await.unwrap(), "google", "credits stay when reports come");
        // The order that came late counts in the session that it is of; nothing else changes.
        let after = totals(&client).await;
        assert_eq!((&after[..2], &after[3..6]), (&before[..2], &before[3..6]));
    }
}

/// What packed days of orders have of customers, visitors and sessions.
async fn packed_names(client: &Client) -> BTreeSet<i64> {
    let mut names = BTreeSet::new();
    for row in client.query("SELECT * FROM order_columns", &[]).await.unwrap() {
        let orders = Orders::read::<StoreError>(&row).unwrap();
        for order in 0..orders.orders() {
            names.extend(
                orders.keys(order).iter().copied().chain(orders.visitor(order)).chain(orders.buyer(order)),
            );
        }
    }
    names
}

#[tokio::test]
async fn packed_orders_know_nobody_who_is_forgotten() {
    let database = postgres::migrated().await;
    let client = database.connect().await;
    let mut shipper = shipper(&database);
    let mut journal = Journal::new();
    shipper.checkpoints(&[journal.id]).await.unwrap();
    let person = identity(1, 1, TEN);
    let phone = [0xA7; 16];
    let told = OrderFact {
        customer: vec![(CustomerKeyKind::Phone, phone)],
        ..fact("a", OrderEntryKind::Placed, TEN + 5 * MINUTE)
    };
    let records = [hit(page_view(person, TEN)), hit(purchase(person, TEN + MINUTE, "a", 100)), order(told)];
    shipper.ship(journal.batch(&records)).await.unwrap();
    let later = jiff::Timestamp::from_millisecond((TEN + 72 * 60 * MINUTE).cast_signed()).unwrap();
    let pack = async || {
        while refresh(&database.store(), later).await.unwrap().is_some_and(|done| done.order_days > 0) {}
        packed_names(&client).await
    };
    let digest = Sha256::digest([b"p".as_slice(), &phone].concat());
    let key = i64::from_be_bytes(digest[..8].try_into().unwrap());
    let names = BTreeSet::from([key, id_hash(person.visitor_id), id_hash(person.session_id)]);
    assert_eq!(pack().await, names);
    assert_eq!(
        outcome(&mut shipper, &mut journal, Subject::Visitor(person.visitor_id)).await,
        Outcome::Forgotten
    );
    let replaced = pack().await;
    assert_eq!((replaced.len(), replaced.is_disjoint(&names)), (3, true));
}

#[tokio::test]
async fn nobody_unknown_is_forgotten_but_a_visitor_who_may_still_come() {
    let database = postgres::migrated().await;
    let client = database.connect().await;
    let mut shipper = shipper(&database);
    let mut journal = Journal::new();
    shipper.checkpoints(&[journal.id]).await.unwrap();
    let order = Subject::Order { site: "default".into(), order_id: "none".into() };
    for subject in [order.clone(), order] {
        assert_eq!(outcome(&mut shipper, &mut journal, subject).await, Outcome::NothingFound);
    }
    let person = identity(1, 1, TEN);
    let visitor = Subject::Visitor(person.visitor_id);
    assert_eq!(outcome(&mut shipper, &mut journal, visitor.clone()).await, Outcome::NothingFound);
    assert_eq!(outcome(&mut shipper, &mut journal, visitor).await, Outcome::AlreadyForgotten);
    shipper.ship(journal.batch(&[hit(page_view(person, TEN))])).await.unwrap();
    let anonymous = "SELECT (identity, address IS NULL, page_views) FROM sessions";
    assert_eq!(value(&client, anonymous).await.unwrap(), "(0,t,1)");
    // When the key is gone nobody can tell in which session it was; it counts all the same.
    client.batch_execute("UPDATE erasures SET key = NULL").await.unwrap();
    let late = Hit { cookies: vec![("_fbp".into(), "fb.1.2.3".into())], ..page_view(person, TEN + MINUTE) };
    shipper.ship(journal.batch(&[hit(late)])).await.unwrap();
    assert_eq!(value(&client, "SELECT count(*) FROM sessions").await.unwrap(), "1");
    assert_eq!(value(&client, "SELECT (count(*), count(session_id)) FROM events").await.unwrap(), "(2,1)");
    let names = [person.visitor_id.to_string(), person.session_id.to_string(), "fb.1.2.3".into()];
    assert_eq!(crate::forgetting::places_of(&client, &names).await, [""; 0]);
}

/// Shops put some number where they have none.
#[tokio::test]
async fn a_number_that_all_orders_have_is_nobodys() {
    let database = postgres::migrated().await;
    let client = database.connect().await;
    let mut shipper = shipper(&database);
    let mut journal = Journal::new();
    shipper.checkpoints(&[journal.id]).await.unwrap();
    let zeros = vec![(CustomerKeyKind::Phone, [9; 16])];
    let told = |id: usize| OrderFact {
        customer: zeros.clone(),
        ..fact(&id.to_string(), OrderEntryKind::Placed, TEN)
    };
    let records: Vec<_> = (0..1001).map(|id| order(told(id))).collect();
    shipper.ship(journal.batch(&records)).await.unwrap();
    for subject in
        [Subject::Customer([9; 16]), Subject::Order { site: "default".into(), order_id: "7".into() }]
    {
        assert_eq!(outcome(&mut shipper, &mut journal, subject).await, Outcome::TooMany);
    }
    let kept =
        "SELECT (count(*), (SELECT count(*) FROM forgotten)) FROM order_entries WHERE phone IS NOT NULL";
    assert_eq!(value(&client, kept).await.unwrap(), "(1001,0)");
}

#[tokio::test]
async fn records_set_aside_are_forgotten_too() {
    let database = postgres::migrated().await;
    let client = database.connect().await;
    let mut shipper = shipper(&database);
    let mut journal = Journal::new();
    shipper.checkpoints(&[journal.id]).await.unwrap();
    let (person, other) = (identity(1, 1, TEN), identity(2, 1, TEN));
    let poison = |who| hit(Hit { path: "/nul\0".into(), ..page_view(who, TEN) });
    shipper.ship(journal.batch(&[poison(person), poison(other)])).await.unwrap();
    assert_eq!(value(&client, "SELECT count(*) FROM quarantine").await.unwrap(), "2");
    let visitor = Subject::Visitor(person.visitor_id);
    shipper.ship(journal.batch(&[hit(page_view(person, TEN)), erasure(visitor, TEN)])).await.unwrap();
    assert_eq!(value(&client, "SELECT count(*) FROM quarantine").await.unwrap(), "1");
    assert_eq!(shipper.ship(journal.batch(&[poison(person)])).await.unwrap().quarantined, 1);
    let names = "SELECT count(*) FROM quarantine
                 WHERE position(decode(repeat('01', 16), 'hex') IN payload) > 0";
    assert_eq!(value(&client, names).await.unwrap(), "0");
}

/// The shop names the session of a forgotten visitor before anything of the session is known.
#[tokio::test]
async fn a_session_that_comes_late_is_known_to_the_order_that_names_it() {
    let database = postgres::migrated().await;
    let client = database.connect().await;
    let (mut one, mut two) = (shipper(&database), shipper(&database));
    let (mut first, mut second) = (Journal::new(), Journal::new());
    one.checkpoints(&[first.id, second.id]).await.unwrap();
    let person = identity(1, 1, TEN);
    one.ship(first.batch(&[hit(page_view(person, TEN))])).await.unwrap();
    two.ship(second.batch(&[hit(page_view(identity(2, 1, TEN), TEN))])).await.unwrap();
    one.ship(first.batch(&[erasure(Subject::Visitor(person.visitor_id), TEN)])).await.unwrap();
    let later = identity(1, 2, TEN);
    let named =
        OrderFact { session_id: Some(later.session_id), ..fact("1", OrderEntryKind::Placed, TEN + MINUTE) };
    two.ship(second.batch(&[order(named)])).await.unwrap();
    // This shipper has folded without knowing of the erasure so far.
    two.ship(second.batch(&[hit(page_view(later, TEN))])).await.unwrap();
    assert_eq!(value(&client, "SELECT joined_by FROM orders").await.unwrap(), "session");
    let again =
        OrderFact { session_id: Some(later.session_id), ..fact("1", OrderEntryKind::Paid, TEN + MINUTE) };
    one.ship(first.batch(&[order(again)])).await.unwrap();
    let names = [person.visitor_id, person.session_id, later.session_id].map(|id| id.to_string());
    assert_eq!(crate::forgetting::places_of(&client, &names).await, [""; 0]);
}

/// What retention leaves of a visitor whose sessions are dropped: months, an order, its credits.
#[tokio::test]
async fn what_outlives_a_persons_sessions_is_forgotten_too() {
    let database = postgres::migrated().await;
    let client = database.connect().await;
    let mut shipper = shipper(&database);
    let mut journal = Journal::new();
    shipper.checkpoints(&[journal.id]).await.unwrap();
    let person = identity(1, 1, TEN);
    let records = [
        hit(Hit { touch: Some(touch(1, "google")), ..page_view(person, TEN) }),
        hit(purchase(person, TEN + MINUTE, "a", 100)),
    ];
    shipper.ship(journal.batch(&records)).await.unwrap();
    let months = "INSERT INTO visitor_months (visitor_id, month, site_id, bot, identity, first_seen, sessions,
                      page_views, conversions, lead_sessions, started)
                  SELECT visitor_id, '2025-01-01', site_id, false, identity, first_seen, 1, 1, 1, 0, '{1}' FROM visitors;
                  DELETE FROM sessions; DELETE FROM touches; DELETE FROM visitors; DELETE FROM events";
    client.batch_execute(months).await.unwrap();
    let visitor = Subject::Visitor(person.visitor_id);
    assert_eq!(outcome(&mut shipper, &mut journal, visitor.clone()).await, Outcome::Forgotten);
    let names = [person.visitor_id, person.session_id].map(|id| id.to_string());
    assert_eq!(crate::forgetting::places_of(&client, &names).await, [""; 0]);
    assert_eq!(
        value(&client, "SELECT (count(*), max(identity)) FROM visitor_months").await.unwrap(),
        "(1,0)"
    );
    let credited =
        "SELECT (o.visitor_id IS NOT NULL, s.source) FROM orders o JOIN order_credits USING (order_id)
                    JOIN campaigns s USING (campaign_id) WHERE model = 'first'";
    assert_eq!(value(&client, credited).await.unwrap(), "(t,google)");
    assert_eq!(outcome(&mut shipper, &mut journal, visitor).await, Outcome::AlreadyForgotten);
    let order = Subject::Order { site: "default".into(), order_id: "a".into() };
    assert_eq!(outcome(&mut shipper, &mut journal, order).await, Outcome::AlreadyForgotten);
}

/// Batches of several proxies are under way while their visitors are forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn no_row_that_is_being_written_is_missed() {
    const VISITORS: u8 = 6;
    let database = postgres::migrated().await;
    let client = database.connect().await;
    let mut journals: Vec<Vec<Record<'static>>> = (0..3)
        .map(|proxy: u64| {
            (0..120)
                .map(|index: u64| {
                    let visitor = u8::try_from(index % u64::from(VISITORS)).unwrap() + 1;
                    let number = u16::try_from(index / 40).unwrap() + 1;
                    let at = TEN + index * 1000 + proxy;
                    hit(page_view(identity(visitor, number, TEN), at))
                })
                .collect()
        })
        .collect();
    for visitor in 1..=VISITORS {
        let subject = Subject::Visitor(Uuid::from_bytes([visitor; 16]));
        journals[usize::from(visitor) % 3].insert(usize::from(visitor) * 15, erasure(subject, TEN));
    }
    ship_all(&database, journals, 4, 3, true).await;
    let names: Vec<String> = (1..=VISITORS)
        .flat_map(|visitor| {
            let sessions = (1..=3).map(move |number| identity(visitor, number, TEN).session_id);
            sessions.chain([Uuid::from_bytes([visitor; 16])])
        })
        .map(|id| id.to_string())
        .collect();
    assert_eq!(crate::forgetting::places_of(&client, &names).await, [""; 0]);
    let counted = "SELECT (count(*), sum(page_views), count(DISTINCT visitor_id)) FROM sessions";
    assert_eq!(value(&client, counted).await.unwrap(), "(18,360,6)");
    assert_eq!(value(&client, "SELECT count(*) FROM visitors").await.unwrap(), "6");
}

/// A month is being dropped: neither other batches nor the drop wait for the erasure that waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_waits_for_a_drop_is_in_nobodys_way() {
    let database = postgres::migrated().await;
    let (client, looker) = (database.connect().await, database.connect().await);
    let (mut erasing, mut other) = (shipper(&database), shipper(&database));
    let (mut journal, mut others) = (Journal::new(), Journal::new());
    erasing.checkpoints(&[journal.id]).await.unwrap();
    other.checkpoints(&[others.id]).await.unwrap();
    let seen = hit(page_view(identity(1, 1, TEN), TEN));
    other.ship(others.batch(std::slice::from_ref(&seen))).await.unwrap();
    let retention = utm_dispatcher::store::locks::RETENTION;
    client.batch_execute(&format!("BEGIN; SELECT pg_advisory_xact_lock({retention})")).await.unwrap();
    let subject = Subject::Visitor(identity(1, 1, TEN).visitor_id);
    let batch = journal.batch(&[hit(page_view(identity(2, 1, TEN), TEN)), erasure(subject, TEN)]);
    let erased = tokio::spawn(async move { erasing.ship(batch).await.unwrap() });
    let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";
    eventually("the erasure waits", DEADLINE, async || {
        (value(&looker, waits).await.unwrap() == "true").then_some(())
    })
    .await;
    let beside = tokio::time::timeout(Duration::from_secs(5), other.ship(others.batch(&[seen]))).await;
    assert_eq!(beside.expect("another batch does not wait").unwrap().records, 1);
    let dropping = "SET LOCAL lock_timeout = '200ms'; LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE";
    client.batch_execute(dropping).await.expect("the drop gets its lock");
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(erased.await.unwrap().receipts[0].outcome, Outcome::Forgotten);
}
