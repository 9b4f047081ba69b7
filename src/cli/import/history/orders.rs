//! Rows of the shop's orders, with the six fields that the original added to them; or, without such a file, what purchases
//! tell of orders.

use std::collections::BTreeMap;

use anyhow::bail;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Terms;
use super::actions::Bought;
use super::dump::{Dump, Row};
use super::sessions::Sessions;
use crate::config::Config;
use crate::customer::CustomerHasher;
use crate::hit::{Record, Way};
use crate::keys::KeyRing;
use crate::stats::order_item;

/// What of an order stands in its properties.
const PROPERTIES: [&str; 3] = ["pay_type", "source", "sale_source"];

/// Hashes customers as everything else does.
pub(super) fn customers(config: &Config) -> anyhow::Result<CustomerHasher> {
    let keys = KeyRing::load_or_create(&config.orders.customer_key_file)?;
    if keys.unsaved().is_some() {
        bail!("the key of customers is not there: {}", config.orders.customer_key_file.display());
    }
    Ok(CustomerHasher::new(&keys, config.orders.phone_country.as_deref()))
}

/// Reads the file of orders.
pub(super) fn read(
    dump: &mut Dump,
    bought: &BTreeMap<String, Bought>,
    sessions: &mut Sessions,
    terms: &Terms<'_>,
) {
    let (mut records, mut refused) = (Vec::new(), Vec::new());
    for row in dump.rows() {
        match entries(&row, bought, sessions, terms) {
            Ok(entries) => records.extend(entries.into_iter().map(|entry| (row.line, entry))),
            Err(reason) => {
                sessions.drop_order(row.text("id").unwrap_or_default());
                refused.push((row.line, reason));
            }
        }
    }
    dump.records.extend(records);
    dump.refused.extend(refused);
}

/// Placed, and paid and cancelled where the row says so. The original does not know when: payments are of the time of the
/// purchase that it noted, all else of the order's.
fn entries(
    row: &Row<'_>,
    bought: &BTreeMap<String, Bought>,
    sessions: &mut Sessions,
    terms: &Terms<'_>,
) -> Result<Vec<Record<'static>>, String> {
    let (id, at_ms) = (row.need("id")?, row.need_time("created", terms.now)?);
    let actions = bought.get(id);
    let session_id = session_of(row, id, actions, at_ms, sessions, terms);
    let paid_ms = actions.and_then(|bought| bought.purchase.as_ref()).map_or(at_ms, |purchase| purchase.1);
    let mut placed = entry(terms, id, "placed", at_ms, row.text("total_sum"));
    let mut set = |name: &str, value: Value| _ = placed.insert(name.to_owned(), value);
    if let Some(session_id) = session_id {
        set("session_id", json!(session_id));
    }
    if let Some(number) = row.text("order_number") {
        set("order_number", json!(number));
    }
    let texts = |names: &[&str]| -> Map<String, Value> {
        let own = |name: &&str| Some(((*name).to_owned(), json!(row.text(name)?)));
        names.iter().filter_map(own).collect()
    };
    let mut customer = texts(&["phone", "email"]);
    if let Some(user) = row.text("user") {
        customer.insert("user_id".to_owned(), json!(user));
    }
    set("customer", Value::Object(customer));
    set("properties", Value::Object(texts(&PROPERTIES)));
    let mut items = vec![placed];
    if row.text("payment_status") == Some("paid") {
        items.push(entry(terms, id, "paid", paid_ms, row.text("total_sum")));
    }
    if row.text("status") == Some("cancelled") {
        items.push(entry(terms, id, "cancelled", at_ms, None));
    }
    items.into_iter().map(|item| record(item, terms)).collect()
}

/// The session that the row names, else that of an action that names the order, else one that the row's own tags tell of.
fn session_of(
    row: &Row<'_>,
    id: &str,
    actions: Option<&Bought>,
    at_ms: u64,
    sessions: &mut Sessions,
    terms: &Terms<'_>,
) -> Option<Uuid> {
    let named = row.text("utm_session").or_else(|| actions?.session.as_deref());
    if let Some(past) = named.and_then(|named| sessions.by_id.get_mut(named)) {
        past.activity.push(at_ms);
        return Some(past.identity.session_id);
    }
    // What the proxy counts has its own session.
    if terms.refusal(at_ms, None).is_some() { None } else { sessions.add_order(id, row, at_ms, terms) }
}

/// Orders of which only purchases tell.
pub(super) fn of_purchases(
    bought: &BTreeMap<String, Bought>,
    sessions: &Sessions,
    terms: &Terms<'_>,
    dump: &mut Dump,
) {
    for (id, bought) in bought {
        let Some((line, at_ms, value, number)) = &bought.purchase else { continue };
        let mut item = entry(terms, id, "placed", *at_ms, value.as_deref());
        let session = bought.session.as_ref().and_then(|session| sessions.by_id.get(session));
        if let Some(past) = session {
            item.insert("session_id".to_owned(), json!(past.identity.session_id));
        }
        if let Some(number) = number {
            item.insert("order_number".to_owned(), json!(number));
        }
        match record(item, terms) {
            Ok(record) => dump.records.push((*line, record)),
            Err(reason) => dump.refused.push((*line, reason)),
        }
    }
}

fn entry(terms: &Terms<'_>, id: &str, status: &str, at_ms: u64, value: Option<&str>) -> Map<String, Value> {
    let mut item = Map::new();
    let mut set = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            item.insert(name.to_owned(), json!(value));
        }
    };
    set("site", Some(terms.site.to_owned()));
    set("order_id", Some(id.to_owned()));
    set("status", Some(status.to_owned()));
    set("at", terms.time(at_ms));
    set("value", value.map(str::to_owned));
    set("currency", terms.currency.map(str::to_owned).filter(|_| value.is_some()));
    item
}

fn record(item: Map<String, Value>, terms: &Terms<'_>) -> Result<Record<'static>, String> {
    let mut fact = order_item::read(&Value::Object(item), terms.now, &terms.customers)
        .map_err(|refusal| refusal.reason)?;
    fact.way = Way::Import;
    Ok(Record::Order(Box::new(fact)))
}
