//! Whatever was journalled is in the database once, and its order of arrival does not show.

mod any_order;
mod faults;
mod feed;
mod floods;
mod forgetting;
mod orders;
mod retention;
mod updates;

use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::Duration;

use tokio_postgres::Client;
use utm_dispatcher::config::StoreIp;
use utm_dispatcher::hit::{
    Action, ActionFact, Hit, Identity, IdentityMode, OrderEntryKind, OrderFact, Record, Touch, Way,
};
use utm_dispatcher::journal::Position;
use utm_dispatcher::ship::{Batch, Located, ShipSettings, Shipped, Shipper, Stretch};
use uuid::Uuid;

use crate::harness::postgres::Database;

/// 2026-11-22T10:00:00Z
const TEN: u64 = 1_795_341_600_000;
const MINUTE: u64 = 60_000;

fn settings() -> ShipSettings {
    ShipSettings {
        lookback: Duration::from_secs(90 * 86_400),
        store_ip: StoreIp::Truncated,
        new_values_per_day: 100_000,
        locale_prefixes: vec!["uk".into(), "en".into()],
        geo_database: None,
        points: utm_dispatcher::action::Points::default(),
    }
}

fn shipper(database: &Database) -> Shipper {
    Shipper::new(database.store(), settings())
}

/// The next records of a journal, one after the other, each 100 bytes long.
struct Journal {
    id: Uuid,
    written: u64,
}

impl Journal {
    fn new() -> Self {
        Journal { id: Uuid::now_v7(), written: 0 }
    }

    fn stretch(&mut self, records: &[Record<'_>]) -> Stretch {
        let at = |number| Position { segment: 0, offset: number * 100 };
        let expected = at(self.written);
        let records = records
            .iter()
            .map(|record| {
                let mut payload = Vec::new();
                record.encode_into(&mut payload).unwrap();
                let position = at(self.written);
                self.written += 1;
                Located { position, payload: Bytes::from(payload) }
            })
            .collect();
        Stretch { journal: self.id, expected, next: at(self.written), records, damaged: Vec::new() }
    }

    fn batch(&mut self, records: &[Record<'_>]) -> Batch {
        Batch::new(vec![self.stretch(records)])
    }
}

/// A visitor's `number`th session, begun in the hour of `at_ms`.
fn identity(visitor: u8, number: u16, at_ms: u64) -> Identity {
    let hour = at_ms - at_ms % 3_600_000;
    let mut session = [visitor; 16];
    session[..6].copy_from_slice(&hour.to_be_bytes()[2..]);
    session[14..].copy_from_slice(&number.to_be_bytes());
    Identity {
        mode: IdentityMode::Cookie,
        visitor_id: Uuid::from_bytes([visitor; 16]),
        session_id: Uuid::from_bytes(session),
        session_number: number,
        minted_from: None,
    }
}

fn page_view(identity: Identity, at_ms: u64) -> Hit<'static> {
    Hit {
        at_ms,
        site: "default".into(),
        host: "shop.example".into(),
        path: "/".into(),
        status: 200,
        page_view: true,
        identity: Some(identity),
        client_address: Some("203.0.113.9".parse().unwrap()),
        user_agent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/120.0.0.0 Safari/537.36".into(),
        ..Hit::default()
    }
}

fn touch(evidence: i64, source: &'static str) -> Touch<'static> {
    Touch { evidence, source: Some(source.into()), medium: Some("cpc".into()), ..Touch::default() }
}

fn action(kind: &'static str) -> Action<'static> {
    Action::new(kind, Way::Rule)
}

fn purchase(identity: Identity, at_ms: u64, order: &'static str, value: i64) -> Hit<'static> {
    let bought = Action { order_id: Some(order.into()), value: Some(value.into()), ..action("purchase") };
    Hit { page_view: false, actions: vec![bought], ..page_view(identity, at_ms) }
}

fn fact(order: &str, kind: OrderEntryKind, at_ms: u64) -> OrderFact {
    OrderFact {
        site: "default".into(),
        order_id: order.into(),
        kind,
        reference: String::new(),
        way: Way::Api,
        at_ms,
        value: None,
        currency: None,
        order_number: None,
        session_id: None,
        visitor_id: None,
        click_ids: vec![],
        customer: vec![],
        items: None,
        properties: None,
        received_ms: at_ms,
        receipt: None,
    }
}

/// An action that the shop tells of a session.
fn told(kind: &str, session_id: Option<Uuid>, at_ms: u64) -> ActionFact {
    ActionFact {
        site: "default".into(),
        kind: kind.into(),
        reference: format!("{session_id:?} {at_ms}"),
        content: 1,
        at_ms,
        session_id,
        visitor_id: None,
        page: None,
        product_id: None,
        product_name: None,
        value: None,
        currency: None,
        order_id: None,
        order_number: None,
        properties: vec![("plan".into(), "gold".into())],
        received_ms: at_ms,
        receipt: None,
        customer: vec![],
    }
}

fn hit(hit: Hit<'static>) -> Record<'static> {
    Record::Hit(Box::new(hit))
}

fn order(fact: OrderFact) -> Record<'static> {
    Record::Order(Box::new(fact))
}

/// All rows of all tables as JSON, but for what says when they were written.
async fn dump(client: &Client) -> BTreeMap<String, Vec<String>> {
    let mut tables = BTreeMap::new();
    // How often an hour or a day was marked says nothing of what is known.
    let marks = ["dirty_hours", "unjudged_hours", "dirty_order_days"];
    for table in tables_of(client).await.into_iter().filter(|table| !marks.contains(&table.as_str())) {
        let sql = format!(
            "SELECT (to_jsonb(t) - 'seen_at' - 'computed_at' - 'quarantine_id')::text FROM {table} t ORDER BY 1"
        );
        let rows = client.query(&sql, &[]).await.unwrap();
        tables.insert(table, rows.iter().map(|row| row.get(0)).collect());
    }
    tables
}

async fn tables_of(client: &Client) -> Vec<String> {
    let sql = "SELECT relname::text FROM pg_class
               WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace
                 AND relname NOT IN ('refinery_schema_history', 'journal_checkpoint')";
    client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// The only value of a query's only row, as text.
async fn value(client: &Client, sql: &str) -> Option<String> {
    let row = client.query_one(&format!("SELECT ({sql})::text"), &[]).await.unwrap();
    row.get(0)
}
