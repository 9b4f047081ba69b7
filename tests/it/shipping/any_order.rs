//! The same hits give the same rows, in any order, in any portions, through any number of shippers.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio_postgres::Client;
use utm_dispatcher::hit::{BotCount, CustomerKeyKind, SpendFact};

use super::*;
use crate::harness::postgres;

/// Some hours, in steps that make hits of the same moment, or of the same half hour, likely.
fn moment() -> impl Strategy<Value = u64> {
    (0u64..40).prop_map(|step| TEN + step * 13 * MINUTE)
}

fn who() -> impl Strategy<Value = Identity> {
    (1u8..4, 1u16..4).prop_map(|(visitor, number)| {
        let begun = TEN + u64::from(number) * 5 * 3_600_000;
        let minted = (number == 1).then(|| Uuid::from_bytes([visitor + 100; 16]));
        Identity { minted_from: minted, ..identity(visitor, number, begun) }
    })
}

fn evidence() -> impl Strategy<Value = Option<Touch<'static>>> {
    let tagged = (1i64..4).prop_map(|number| {
        let source = ["google", "Google", "facebook"][usize::try_from(number).unwrap() % 3];
        let clicks = vec![("gclid".into(), number.to_string().into())];
        Some(Touch { click_ids: clicks, ..touch(number, source) })
    });
    let spelt = Just(Some(touch(1, "GOOGLE")));
    let referred = Just(Some(Touch {
        evidence: 9,
        referrer: Some("https://duckduckgo.com/".into()),
        ..Touch::default()
    }));
    prop_oneof![3 => Just(None), 2 => tagged, 1 => spelt, 1 => referred]
}

fn actions() -> impl Strategy<Value = Vec<Action<'static>>> {
    let viewed = (0usize..2, prop::option::of(0usize..3)).prop_map(|(product, name)| Action {
        product_id: Some(["p1", "p2"][product].into()),
        product_name: name.map(|name| ["Shirt", "Футболка", "hoodie"][name].into()),
        ..action("product_view")
    });
    let other = (0usize..5, prop::option::of(0usize..4)).prop_map(|(kind, who)| {
        let customer = who.filter(|_| kind > 1).map(|who| keys_of(who, false)).unwrap_or_default();
        Action { customer, ..action(["add_to_cart", "search", "registration", "wish", "lead"][kind]) }
    });
    let reference =
        || prop::option::of((0usize..2).prop_map(|number| std::borrow::Cow::Borrowed(["r1", "r2"][number])));
    let bought = (0usize..3, 1i64..3, any::<(bool, bool)>(), reference()).prop_map(
        |(order, value, (header, is_weak), reference)| Action {
            order_id: Some(["o1", "o2", "o3"][order].into()),
            customer: if header { keys_of(order + 1, false) } else { Vec::new() },
            value: Some((value * 150).into()),
            way: if header { Way::Header } else { Way::Rule },
            reference,
            is_weak: is_weak && !header,
            ..action("purchase")
        },
    );
    let paid = (1i64..3, reference()).prop_map(|(value, reference)| Action {
        value: Some(value.into()),
        reference,
        ..action("payment")
    });
    prop::collection::vec(prop_oneof![3 => viewed, 2 => other, 1 => bought, 1 => paid], 0..3)
}

const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X)",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/120.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Linux; Android 12; SM-X906C) Chrome/80.0.3987.119 Safari/537.36",
    "curl/8",
];

fn any_hit() -> impl Strategy<Value = Record<'static>> {
    (moment(), who(), evidence(), actions(), any::<(bool, bool, u8)>()).prop_map(
        |(at_ms, identity, touch, actions, (page_view_, phone, fbp))| {
            let agent = AGENTS[usize::from(fbp) % AGENTS.len()];
            hit(Hit {
                page_view: page_view_,
                touch,
                actions,
                user_agent: agent.into(),
                cookies: vec![("_fbp".into(), (fbp % 3).to_string().into())],
                bot_score: fbp % 5,
                bot_reasons: 1 << (fbp % 4),
                path: if phone { "/uk/a".into() } else { "/b".into() },
                ..page_view(identity, at_ms)
            })
        },
    )
}

fn any_report() -> impl Strategy<Value = Record<'static>> {
    let named = (prop::option::of(who()), prop::bool::ANY);
    (moment(), 0usize..4, 0usize..5, prop::option::of(1i64..4), 0usize..2, named).prop_map(
        |(at_ms, id, kind, value, reference, (who, whole))| {
            let kinds = [
                OrderEntryKind::Placed,
                OrderEntryKind::Paid,
                OrderEntryKind::Cancelled,
                OrderEntryKind::Refunded,
                OrderEntryKind::Delivered,
            ];
            order(OrderFact {
                value: value.map(|value| (value * 50).into()),
                reference: ["", "r"][reference].into(),
                session_id: who.filter(|_| whole).map(|who| who.session_id),
                visitor_id: who.filter(|_| !whole).map(|who| who.visitor_id),
                customer: keys_of(id, kind == 1),
                click_ids: value.map(|value| ("gclid".into(), value.to_string())).into_iter().collect(),
                received_ms: at_ms + value.unwrap_or(0).cast_unsigned() * 1000,
                ..fact(["o1", "o2", "o3", "o4"][id], kinds[kind], at_ms)
            })
        },
    )
}

/// One order has two keys, and connects those that have one of them.
fn keys_of(order: usize, other_phone: bool) -> Vec<(CustomerKeyKind, [u8; 16])> {
    let (phone, email) = (
        (CustomerKeyKind::Phone, [u8::from(other_phone) + 7; 16]),
        (CustomerKeyKind::Email, [u8::try_from(order % 3).unwrap() + 20; 16]),
    );
    match order {
        0 => vec![phone],
        1 => vec![phone, email],
        _ => vec![email],
    }
}

pub(super) fn any_record() -> impl Strategy<Value = Record<'static>> {
    let bot = moment().prop_map(|at_ms| {
        Record::BotCount(BotCount {
            at_ms,
            site: "default".into(),
            bot: "crawler".into(),
            reasons: 1,
            rules: 2,
        })
    });
    let done = (moment(), who(), 0usize..4, any::<bool>()).prop_map(|(at_ms, who, kind, whole)| {
        let kind = ["add_to_cart", "lead", "registration", "wish"][kind];
        let fact = told(kind, whole.then_some(who.session_id), at_ms);
        let visitor_id = Some(who.visitor_id);
        let reference = format!("{} {:?}", fact.reference, who.visitor_id);
        let customer = if kind == "wish" { Vec::new() } else { keys_of(kind.len() % 4, at_ms % 4 == 0) };
        Record::Action(Box::new(ActionFact { visitor_id, reference, customer, ..fact }))
    });
    prop_oneof![10 => any_hit(), 3 => any_report(), 1 => done, 1 => bot]
}

/// A hit before its visitor was minted, and one of somebody who denies being known.
fn nameless_hit() -> impl Strategy<Value = Record<'static>> {
    (moment(), 1u8..4, evidence(), any::<(bool, bool)>()).prop_map(
        |(at_ms, visitor, touch, (denied, landing))| {
            let findings = u32::from(landing);
            if denied {
                let touch = touch.filter(|_| landing);
                let who =
                    Hit { identity: None, client_address: None, ..page_view(identity(1, 1, at_ms), at_ms) };
                return hit(Hit { denied, landing, touch, ..who });
            }
            let day = at_ms - at_ms % 86_400_000;
            let of_the_day = Identity { mode: IdentityMode::Cookieless, ..identity(visitor + 100, 1, day) };
            hit(Hit { touch, findings, ..page_view(of_the_day, at_ms) })
        },
    )
}

/// Money spent, reported again and again.
fn spend() -> impl Strategy<Value = Record<'static>> {
    (moment(), 1i8..3, 0usize..3, 1i64..4).prop_map(|(received_ms, day, source, cost)| {
        Record::Spend(Box::new(SpendFact {
            site: "default".into(),
            day: (2026, 11, day),
            source: Some(["google", "Google", "facebook"][source].into()),
            medium: None,
            campaign: None,
            content: None,
            utm_id: None,
            cost: cost.into(),
            currency: None,
            clicks: Some(cost.unsigned_abs()),
            impressions: None,
            received_ms,
            receipt: None,
        }))
    })
}

/// Records, and for each its journal and its place in the shuffle.
fn case() -> impl Strategy<Value = Vec<(Record<'static>, usize, u32)>> {
    let record = prop_oneof![8 => any_record(), 2 => nameless_hit(), 1 => spend()];
    prop::collection::vec((record, 0usize..4, any::<u32>()), 1..50)
}

/// Orders joined to a visitor whose credits are not one whole order by each of the seven models, and orders of nobody that
/// have credits.
const UNBALANCED: &str = "SELECT count(*) FROM orders o
    WHERE (SELECT count(*) FROM (
               SELECT FROM order_credits c WHERE (c.site_id, c.order_id) = (o.site_id, o.order_id)
               GROUP BY c.model HAVING sum(c.credit) = 1000000 AND min(c.credit) > 0) m)
          <> CASE WHEN o.visitor_id IS NULL THEN 0 ELSE 7 END";

pub(super) async fn clear(client: &Client) {
    client.batch_execute(&format!("TRUNCATE {}", tables_of(client).await.join(", "))).await.unwrap();
}

/// Ships portions of `portion` records of each journal, by `shippers` at the same time; with `ahead` each folds the next
/// batch before it writes one.
pub(super) async fn ship_all(
    database: &Database,
    journals: Vec<Vec<Record<'static>>>,
    portion: usize,
    shippers: usize,
    ahead: bool,
) {
    let mut works: Vec<Vec<Vec<Record<'static>>>> = (0..shippers).map(|_| Vec::new()).collect();
    for (index, journal) in journals.into_iter().enumerate() {
        works[index % shippers].push(journal);
    }
    let works = works.into_iter().map(|journals| {
        let mut shipper = shipper(database);
        tokio::spawn(async move {
            let mut open: Vec<_> = journals.into_iter().map(|records| (Journal::new(), records)).collect();
            let ids: Vec<Uuid> = open.iter().map(|(journal, _)| journal.id).collect();
            shipper.checkpoints(&ids).await.unwrap();
            let mut folded = VecDeque::new();
            while open.iter().any(|(_, records)| !records.is_empty()) {
                let stretches = open.iter_mut().map(|(journal, records)| {
                    let rest = records.split_off(portion.min(records.len()));
                    journal.stretch(&std::mem::replace(records, rest))
                });
                folded.push_back(shipper.fold(Batch::new(stretches.collect())));
                if !ahead || folded.len() > 1 {
                    shipper
                        .ship_folded(folded.pop_front().unwrap(), &mut Shipped::default(), Duration::MAX)
                        .await
                        .unwrap();
                    shipper.read_agents().await.unwrap();
                }
            }
            for last in folded {
                shipper.ship_folded(last, &mut Shipped::default(), Duration::MAX).await.unwrap();
            }
            while shipper.read_agents().await.unwrap() {}
        })
    });
    for work in works.collect::<Vec<_>>() {
        work.await.unwrap();
    }
}

#[test]
fn order_and_portions_of_arrival_do_not_show() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (database, client) = runtime.block_on(async {
        let database = postgres::migrated().await;
        let client = database.connect().await;
        (database, client)
    });
    // PROPTEST_CASES asks for more of them.
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { Config::default().cases } else { 8 };
    let config = Config { failure_persistence: None, max_shrink_iters: 200, ..Config::with_cases(cases) };
    let mut runner = TestRunner::new(config);
    let result =
        runner.run(&(case(), 1usize..20, 1usize..4, any::<bool>()), |(case, portion, shippers, ahead)| {
            runtime.block_on(async {
                clear(&client).await;
                let whole: Vec<_> = case.iter().map(|(record, ..)| record.clone()).collect();
                let count = whole.len();
                ship_all(&database, vec![whole], count, 1, false).await;
                let expected = dump(&client).await;
                prop_assert!(expected["agents"].iter().all(|row| row.contains("\"is_read\": true")));

                prop_assert_eq!(value(&client, UNBALANCED).await.unwrap(), "0");

                clear(&client).await;
                let mut shuffled = case;
                shuffled.sort_by_key(|(.., place)| *place);
                let mut journals: BTreeMap<usize, Vec<_>> = BTreeMap::new();
                for (record, journal, _) in shuffled {
                    journals.entry(journal).or_default().push(record);
                }
                ship_all(&database, journals.into_values().collect(), portion, shippers, ahead).await;
                let found = dump(&client).await;
                for (table, rows) in &expected {
                    prop_assert_eq!(rows, &found[table], "{}", table);
                }
                Ok(())
            })
        });
    result.unwrap_or_else(|error| panic!("{error}"));
}
