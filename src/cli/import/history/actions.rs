//! Rows of `storefront_useraction`: each is told as the API takes actions, in the session that it is of. Purchases are the
//! orders' business.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::Terms;
use super::dump::{Dump, Row};
use super::sessions::Sessions;
use crate::action::is_kind;
use crate::hit::Record;
use crate::stats::action_item;

/// Longest texts that actions have.
const NAME_LETTERS: usize = 200;
const PROPERTY_LETTERS: usize = 512;
const PROPERTIES: usize = 50;
/// A product that is looked at again within this time was looked at once.
const AGAIN_MS: u64 = 1_800_000;
/// What the original added to each action's metadata, and sessions have.
const OF_SESSIONS: [&str; 2] = ["visitor_id", "first_touch"];

/// What actions tell of an order.
#[derive(Debug, Default)]
pub(super) struct Bought {
    /// The first purchase: its line, time, value and number of the order.
    pub(super) purchase: Option<(u64, u64, Option<String>, Option<String>)>,
    /// The session of the first action that names the order: the original's id.
    pub(super) session: Option<String>,
}

/// Reads actions; answers the orders that they name.
pub(super) fn read(dump: &mut Dump, sessions: &mut Sessions, terms: &Terms<'_>) -> BTreeMap<String, Bought> {
    let mut reading = Reading { sessions, terms, bought: BTreeMap::new(), viewed: HashSet::new() };
    let (mut records, mut refused, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
    for row in by_time(dump, terms.now) {
        match reading.row(&row) {
            Ok(Taken::Record(record)) => records.push((row.line, record)),
            Ok(Taken::Nothing(why)) => left_out.push((row.line, why)),
            Ok(Taken::Purchase) => {}
            Err(reason) => refused.push((row.line, reason)),
        }
    }
    let bought = reading.bought;
    dump.records.extend(records);
    dump.refused.extend(refused);
    dump.left_out.extend(left_out);
    bought
}

/// What cannot be read comes first; it is refused later.
fn by_time(dump: &Dump, now: Timestamp) -> Vec<Row<'_>> {
    let mut rows = dump.rows();
    rows.sort_by_key(|row| (row.time("timestamp", now).ok().flatten(), row.line));
    rows
}

enum Taken {
    Record(Record<'static>),
    /// The order has it.
    Purchase,
    Nothing(&'static str),
}

struct Reading<'a> {
    sessions: &'a mut Sessions,
    terms: &'a Terms<'a>,
    bought: BTreeMap<String, Bought>,
    /// Session, product and half hour.
    viewed: HashSet<(String, String, u64)>,
}

impl Reading<'_> {
    fn row(&mut self, row: &Row<'_>) -> Result<Taken, String> {
        let kind = row.need("action_type")?;
        let at_ms = row.need_time("timestamp", self.terms.now)?;
        let (id, order_id) = (row.need("id")?, row.text("order_id"));
        let metadata = metadata(row)?;
        let session = self.session_of(row, &metadata, at_ms)?;
        if let Some(order_id) = order_id {
            let bought = self.bought.entry(order_id.to_owned()).or_default();
            bought.session = bought.session.take().or_else(|| session.clone());
        }
        match (kind, order_id) {
            ("purchase", None) => return Err("a purchase without its order".to_owned()),
            ("purchase", Some(order_id)) => {
                if let Some(session) = &session {
                    self.note(session, at_ms)?;
                }
                return self.purchase(row, order_id, at_ms);
            }
            ("page_view", _) => return Err("pages are counted where the proxy sees them".to_owned()),
            _ if !is_kind(kind) => return Err(format!("the type {kind} is no name of actions")),
            _ => {}
        }
        let Some(session) = session else {
            return Ok(Taken::Nothing("of no session: the original did not know where they came from"));
        };
        if kind == "product_view" {
            let product = row.text("product_id").ok_or("a product view without its product")?;
            let began = self.sessions.by_id.get(&session).map_or(0, |past| past.at_ms);
            let slot = (at_ms - at_ms.min(began - began % 3_600_000)) / AGAIN_MS;
            if !self.viewed.insert((session.clone(), product.to_owned(), slot)) {
                return Ok(Taken::Nothing("the same product seen again within half an hour"));
            }
        }
        let session_id = self.note(&session, at_ms)?;
        let mut item = self.item(row, kind, metadata, at_ms);
        item.insert("reference".to_owned(), json!(format!("original {id}")));
        let content = Sha256::digest(Value::Object(item.clone()).to_string());
        item.insert("session_id".to_owned(), json!(session_id));
        let mut fact = action_item::fact(&item, kind, self.terms.now, &self.terms.customers)?;
        // Whatever its session is called.
        fact.content = content.iter().take(8).fold(0, |number, byte| number << 8 | i64::from(*byte));
        Ok(Taken::Record(Record::Action(Box::new(fact))))
    }

    /// The session that a row names, else the visitor's latest.
    fn session_of(
        &self,
        row: &Row<'_>,
        metadata: &Map<String, Value>,
        at_ms: u64,
    ) -> Result<Option<String>, String> {
        let visitor = metadata.get("visitor_id").and_then(Value::as_str);
        let latest = || visitor.and_then(|visitor| self.sessions.latest_of(self.terms.site, visitor, at_ms));
        let Some(named) = row.text("utm_session").or_else(latest) else { return Ok(None) };
        match self.sessions.by_id.get(named) {
            Some(past) if past.refusal.is_some() => {
                Err(format!("its session, line {} of the sessions, is refused", past.line))
            }
            Some(_) => Ok(Some(named.to_owned())),
            None => Err(format!("its session {named} is none of the sessions")),
        }
    }

    /// Notes that something was done in a session; answers the session's id.
    fn note(&mut self, session: &str, at_ms: u64) -> Result<uuid::Uuid, String> {
        if let Some(refusal) = self.terms.refusal(at_ms, None) {
            return Err(refusal);
        }
        let past = self.sessions.by_id.get_mut(session).ok_or("its session is none of the sessions")?;
        past.activity.push(at_ms);
        Ok(past.identity.session_id)
    }

    fn purchase(&mut self, row: &Row<'_>, order_id: &str, at_ms: u64) -> Result<Taken, String> {
        let bought = self.bought.entry(order_id.to_owned()).or_default();
        if bought.purchase.is_some() {
            return Ok(Taken::Nothing("an order's further purchases"));
        }
        let text = |name| row.text(name).map(str::to_owned);
        bought.purchase = Some((row.line, at_ms, text("cart_value"), text("order_number")));
        Ok(Taken::Purchase)
    }

    /// The row as the API has it.
    fn item(
        &self,
        row: &Row<'_>,
        kind: &str,
        metadata: Map<String, Value>,
        at_ms: u64,
    ) -> Map<String, Value> {
        let mut item = Map::new();
        let mut set = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                item.insert(name.to_owned(), json!(value));
            }
        };
        let text = |name| row.text(name).map(str::to_owned);
        set("site", Some(self.terms.site.to_owned()));
        set("type", Some(kind.to_owned()));
        set("at", self.terms.time(at_ms));
        let page = row.text("page_path").filter(|path| path.starts_with('/'));
        set("page", page.map(|path| format!("https://{}{path}", self.terms.host)));
        set("product_id", text("product_id"));
        set("product_name", row.text("product_name").map(|name| name.chars().take(NAME_LETTERS).collect()));
        set("value", text("cart_value"));
        set("currency", self.terms.currency.map(str::to_owned).filter(|_| row.text("cart_value").is_some()));
        set("order_id", text("order_id"));
        set("order_number", text("order_number"));
        if !metadata.is_empty() {
            item.insert("properties".to_owned(), Value::Object(properties(metadata)));
        }
        item
    }
}

fn metadata(row: &Row<'_>) -> Result<Map<String, Value>, String> {
    match row.text("metadata").map(serde_json::from_str) {
        None | Some(Ok(Value::Null)) => Ok(Map::new()),
        Some(Ok(Value::Object(metadata))) => Ok(metadata),
        _ => Err("metadata: it is no JSON object".to_owned()),
    }
}

/// Texts, numbers, true and false; what is nested becomes its JSON.
fn properties(metadata: Map<String, Value>) -> Map<String, Value> {
    let own = metadata.into_iter().filter(|(name, _)| !OF_SESSIONS.contains(&name.as_str()));
    let as_text = |(name, value): (String, Value)| {
        let text = match value {
            Value::String(text) => text,
            value => value.to_string(),
        };
        let text: String =
            text.chars().filter(|letter| !letter.is_control()).take(PROPERTY_LETTERS).collect();
        (name, json!(text))
    };
    own.filter(|(_, value)| !value.is_null()).take(PROPERTIES).map(as_text).collect()
}
