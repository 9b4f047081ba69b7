//! One item of `POST /api/v1/orders`: JSON of a stranger in, an [`OrderFact`] or a reason out.

use std::str::FromStr;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::customer::CustomerHasher;
use crate::hit::{CustomerKeyKind, OrderEntryKind, OrderFact, Way};
use crate::stats::given::nearest;

pub(crate) const FIELDS: &[&str] = &[
    "site",
    "order_id",
    "status",
    "value",
    "currency",
    "reference",
    "at",
    "order_number",
    "session_id",
    "visitor_id",
    "click_ids",
    "customer",
    "items",
    "properties",
];
const STATUSES: &[&str] = &["placed", "paid", "cancelled", "refunded", "delivered"];

/// Most letters of ids, numbers and references.
const ID_LETTERS: usize = 200;
/// Longest identifier of a customer.
const CUSTOMER_LETTERS: usize = 320;
/// Longest click id, as registered parameters have it.
const CLICK_ID_BYTES: usize = 4096;
/// Most click ids of an order.
const CLICK_IDS: usize = 20;
/// Most positions of an order, and their size as JSON.
const POSITIONS: usize = 500;
const POSITIONS_BYTES: usize = 64 * 1024;
/// Size of the properties as JSON.
const PROPERTIES_BYTES: usize = 16 * 1024;
/// How far ahead of the clock an order may lie.
const SECONDS_AHEAD: i64 = 300;
/// 2000-01-01T00:00:00Z; nothing was sold through this program before.
const EARLIEST_SECOND: i64 = 946_684_800;
/// Amounts are below this.
const VALUE_BELOW: i64 = 1_000_000_000_000;
/// Decimals of an amount.
const VALUE_SCALE: u32 = 4;

/// An item that is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The order's id, when it could be read.
    pub(crate) order_id: Option<String>,
    /// One sentence for the sender.
    pub(crate) reason: String,
}

impl Refusal {
    /// A refusal of the order with this id.
    pub(crate) fn new(order_id: Option<String>, reason: impl Into<String>) -> Refusal {
        Refusal { order_id, reason: reason.into() }
    }
}

/// Reads one item. `now` is the time of its arrival, and of the entry when the item does not say.
pub(crate) fn read(item: &Value, now: Timestamp, customers: &CustomerHasher) -> Result<OrderFact, Refusal> {
    let Value::Object(fields) = item else { return Err(Refusal::new(None, "expected an object")) };
    let order_id =
        id_text(fields, "order_id").and_then(|id| id.ok_or_else(|| "order_id is required".to_owned()));
    let order_id = order_id.map_err(|reason| Refusal::new(None, reason))?;
    read_fields(fields, order_id.clone(), now, customers)
        .map_err(|reason| Refusal::new(Some(order_id), reason))
}

fn read_fields(
    fields: &Map<String, Value>,
    order_id: String,
    now: Timestamp,
    customers: &CustomerHasher,
) -> Result<OrderFact, String> {
    known_fields_only(fields, FIELDS).map_err(|reason| {
        if reason.contains("did you mean") {
            reason
        } else {
            format!("{reason}; what else you know goes into properties")
        }
    })?;
    let site = id_text(fields, "site")?.unwrap_or_else(|| "default".to_owned());
    let received_ms = u64::try_from(now.as_millisecond()).unwrap_or(0);
    Ok(OrderFact {
        kind: status(fields)?,
        reference: id_text(fields, "reference")?.unwrap_or_default(),
        way: Way::Api,
        at_ms: time(fields, now)?.unwrap_or(received_ms),
        value: given(fields, "value").map(|value| amount("value", value)).transpose()?,
        currency: currency(fields)?,
        order_number: id_text(fields, "order_number")?,
        session_id: uuid(fields, "session_id")?,
        visitor_id: uuid(fields, "visitor_id")?,
        click_ids: click_ids(fields)?,
        customer: customer(fields, &site, customers)?,
        items: positions(fields)?,
        properties: properties(fields)?,
        received_ms,
        receipt: None,
        site,
        order_id,
    })
}

/// A field's value; null counts as not given.
pub(crate) fn given<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| !value.is_null())
}

pub(crate) fn known_fields_only(fields: &Map<String, Value>, known: &[&'static str]) -> Result<(), String> {
    let Some(unknown) = fields.keys().find(|name| !known.contains(&name.as_str())) else { return Ok(()) };
    let unknown: String = unknown.chars().filter(|letter| !letter.is_control()).take(100).collect();
    Err(match nearest(&unknown, known) {
        Some(meant) => format!("unknown field {unknown}; did you mean {meant}?"),
        None => format!("unknown field {unknown}"),
    })
}

/// Text of 1 to [`ID_LETTERS`] letters without control characters; a whole number counts as its text.
pub(crate) fn id_text(fields: &Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    let text = match given(fields, name) {
        None => return Ok(None),
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(Value::Number(number)) if number.is_u64() => number.to_string(),
        Some(_) => return Err(format!("{name} is not text")),
    };
    if text.is_empty() && name != "order_id" {
        return Ok(None);
    }
    if text.is_empty() || text.chars().count() > ID_LETTERS || text.chars().any(char::is_control) {
        return Err(format!("{name} must have 1 to {ID_LETTERS} letters and no control characters"));
    }
    Ok(Some(text))
}

fn status(fields: &Map<String, Value>) -> Result<OrderEntryKind, String> {
    let one_of = STATUSES.join(", ");
    let Some(Value::String(status)) = given(fields, "status") else {
        return Err(format!("status is required, one of {one_of}"));
    };
    Ok(match status.as_str() {
        "placed" => OrderEntryKind::Placed,
        "paid" => OrderEntryKind::Paid,
        "cancelled" => OrderEntryKind::Cancelled,
        "refunded" => OrderEntryKind::Refunded,
        "delivered" => OrderEntryKind::Delivered,
        other => {
            return Err(match nearest(other, STATUSES) {
                Some(meant) => format!("status must be one of {one_of}; did you mean {meant}?"),
                None => format!("status must be one of {one_of}"),
            });
        }
    })
}

pub(crate) fn time(fields: &Map<String, Value>, now: Timestamp) -> Result<Option<u64>, String> {
    let Some(value) = given(fields, "at") else { return Ok(None) };
    let at = value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let at = at.ok_or("at is not a time with offset, as 2026-11-22T10:00:00+02:00")?;
    if at.as_second() < EARLIEST_SECOND {
        return Err("at lies before the year 2000".to_owned());
    }
    if at.as_second() - now.as_second() > SECONDS_AHEAD {
        return Err("at lies more than five minutes ahead".to_owned());
    }
    Ok(u64::try_from(at.as_millisecond()).ok())
}

pub(crate) fn amount(name: &str, value: &Value) -> Result<Decimal, String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return Err(format!("{name} is not a decimal number")),
    };
    let plain = !text.is_empty()
        && text.len() <= 40
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let amount = Decimal::from_str(&text).ok().filter(|_| plain);
    let Some(amount) = amount else {
        return Err(format!("{name} is not a decimal number of zero or more, as 1499.00"));
    };
    if amount.normalize().scale() > VALUE_SCALE || amount >= Decimal::from(VALUE_BELOW) {
        return Err(format!("{name} must have at most {VALUE_SCALE} decimals and be below {VALUE_BELOW}"));
    }
    Ok(amount)
}

pub(crate) fn currency(fields: &Map<String, Value>) -> Result<Option<String>, String> {
    let Some(value) = given(fields, "currency") else { return Ok(None) };
    let code = value.as_str().map(|code| code.trim().to_ascii_uppercase());
    let code = code.filter(|code| code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase()));
    code.map(Some).ok_or_else(|| "currency is not a code of three letters, as UAH".to_owned())
}

pub(crate) fn uuid(fields: &Map<String, Value>, name: &str) -> Result<Option<Uuid>, String> {
    match given(fields, name) {
        None => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(value) => {
            let id = value.as_str().and_then(|text| Uuid::parse_str(text).ok());
            id.map(Some).ok_or_else(|| format!("{name} is not a UUID"))
        }
    }
}

fn click_ids(fields: &Map<String, Value>) -> Result<Vec<(String, String)>, String> {
    let Some(value) = given(fields, "click_ids") else { return Ok(Vec::new()) };
    let click_ids = value.as_object().ok_or("click_ids is not an object")?;
    if click_ids.len() > CLICK_IDS {
        return Err(format!("more than {CLICK_IDS} click ids"));
    }
    let mut read = Vec::with_capacity(click_ids.len());
    for (name, value) in click_ids {
        let name = name.to_ascii_lowercase();
        let name_fits = (1..=64).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.".contains(&byte));
        let value = value.as_str().filter(|value| {
            !value.is_empty() && value.len() <= CLICK_ID_BYTES && !value.chars().any(char::is_control)
        });
        match value {
            Some(value) if name_fits => read.push((name, value.to_owned())),
            _ => return Err(format!("a click id is a name and text of at most {CLICK_ID_BYTES} bytes")),
        }
    }
    read.sort();
    Ok(read)
}

/// Identifiers are hashed here; nothing else keeps them.
pub(crate) fn customer(
    fields: &Map<String, Value>,
    site: &str,
    customers: &CustomerHasher,
) -> Result<Vec<(CustomerKeyKind, [u8; 16])>, String> {
    let Some(value) = given(fields, "customer") else { return Ok(Vec::new()) };
    let customer = value.as_object().ok_or("customer is not an object")?;
    known_fields_only(customer, &["phone", "email", "user_id"])
        .map_err(|reason| format!("customer: {reason}"))?;
    let kinds = [
        ("phone", CustomerKeyKind::Phone),
        ("email", CustomerKeyKind::Email),
        ("user_id", CustomerKeyKind::UserId),
    ];
    let mut hashes = Vec::new();
    for (name, kind) in kinds {
        let text = match given(customer, name) {
            None => continue,
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) if number.is_u64() => number.to_string(),
            Some(_) => return Err(format!("customer: {name} is not text")),
        };
        if text.chars().count() > CUSTOMER_LETTERS {
            return Err(format!("customer: {name} has more than {CUSTOMER_LETTERS} letters"));
        }
        hashes.extend(customers.hash(kind, site, &text).map(|hash| (kind, hash)));
    }
    Ok(hashes)
}

fn positions(fields: &Map<String, Value>) -> Result<Option<String>, String> {
    let Some(value) = given(fields, "items") else { return Ok(None) };
    let positions = value.as_array().ok_or("items is not an array")?;
    if positions.len() > POSITIONS {
        return Err(format!("items has more than {POSITIONS} positions"));
    }
    for position in positions {
        let position = position.as_object().ok_or("items has something that is not an object")?;
        for name in ["product_id", "name"] {
            if !matches!(given(position, name), None | Some(Value::String(_) | Value::Number(_))) {
                return Err(format!("items: {name} is not text"));
            }
        }
        for name in ["quantity", "price"] {
            given(position, name).map(|value| amount(&format!("items: {name}"), value)).transpose()?;
        }
    }
    stored_json("items", value, POSITIONS_BYTES)
}

fn properties(fields: &Map<String, Value>) -> Result<Option<String>, String> {
    let Some(value) = given(fields, "properties") else { return Ok(None) };
    if !value.is_object() {
        return Err("properties is not an object".to_owned());
    }
    stored_json("properties", value, PROPERTIES_BYTES)
}

/// As it is stored. PostgreSQL's jsonb has no NUL.
fn stored_json(name: &str, value: &Value, most_bytes: usize) -> Result<Option<String>, String> {
    let text = value.to_string();
    if text.len() > most_bytes {
        return Err(format!("{name} is larger than {most_bytes} bytes"));
    }
    if has_nul(value) {
        return Err(format!("{name} has a NUL character"));
    }
    Ok(Some(text))
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}
