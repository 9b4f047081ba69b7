//! One item of `POST /api/v1/actions` or `/api/v1/registrations`: JSON of a stranger in, an [`ActionFact`] or a reason out.

use std::collections::BTreeMap;

use http::Uri;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::action::is_kind;
use crate::capture::event::masked_property;
use crate::capture::mask;
use crate::customer::CustomerHasher;
use crate::hit::{ActionFact, CustomerKeyKind};
use crate::stats::order_item::{amount, currency, customer, given, id_text, known_fields_only, time, uuid};

/// Fields of an action.
pub(crate) const FIELDS: &[&str] = &[
    "site",
    "type",
    "reference",
    "session_id",
    "visitor_id",
    "order_id",
    "order_number",
    "at",
    "page",
    "product_id",
    "product_name",
    "value",
    "currency",
    "customer",
    "properties",
];

/// Fields of a registration.
pub(crate) const REGISTRATION_FIELDS: &[&str] =
    &["site", "reference", "session_id", "visitor_id", "at", "page", "customer", "properties"];

/// What is told otherwise, or seen by the proxy alone, and how.
const ELSEWHERE: [(&str, &str); 4] = [
    ("purchase", "orders are told by POST /api/v1/orders"),
    ("payment", "payments are told by POST /api/v1/orders, status paid"),
    ("page_view", "pages are counted where the proxy sees them"),
    ("product_view", "products looked at are counted where the proxy sees them"),
];

/// Longest page, as hits have it.
const PAGE_BYTES: usize = 2048;
/// Most properties, and most letters of one.
const PROPERTIES: usize = 50;
const PROPERTY_LETTERS: usize = 512;

/// By what its sender knows an item; null where it could not be read, or is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub(crate) struct ActionName {
    #[serde(rename = "type")]
    kind: Option<String>,
    reference: Option<String>,
}

/// Reads one item; `now` is the time of its arrival. A registration needs no type.
pub(crate) fn read(
    item: &Value,
    now: Timestamp,
    customers: &CustomerHasher,
    registration: bool,
) -> Result<(ActionName, ActionFact), (ActionName, String)> {
    let Value::Object(fields) = item else {
        return Err((ActionName::default(), "expected an object".to_owned()));
    };
    let text = |name| fields.get(name).and_then(Value::as_str).map(|text| text.chars().take(200).collect());
    let kind = if registration { Some("registration".to_owned()) } else { text("type") };
    let name = ActionName { kind, reference: text("reference") };
    let read = if registration {
        known_fields_only(fields, REGISTRATION_FIELDS)
            .and_then(|()| fact(fields, "registration", now, customers))
    } else {
        known_fields_only(fields, FIELDS).and_then(|()| fact(fields, kind_of(fields)?, now, customers))
    };
    match read {
        Ok(fact) => Ok((name, fact)),
        Err(reason) => Err((name, reason)),
    }
}

fn kind_of(fields: &Map<String, Value>) -> Result<&str, String> {
    let kind = given(fields, "type").and_then(Value::as_str).filter(|kind| is_kind(kind));
    let kind = kind
        .ok_or("type is required, as add_to_cart: at most 64 lower-case letters, digits and underscores")?;
    match ELSEWHERE.iter().find(|(known, _)| *known == kind) {
        Some((_, how)) => Err(format!("type {kind}: {how}")),
        None => Ok(kind),
    }
}

/// Reads the fields of an action of a type that is known to be one.
pub(crate) fn fact(
    fields: &Map<String, Value>,
    kind: &str,
    now: Timestamp,
    customers: &CustomerHasher,
) -> Result<ActionFact, String> {
    let site = id_text(fields, "site")?.unwrap_or_else(|| "default".to_owned());
    let received_ms = u64::try_from(now.as_millisecond()).unwrap_or(0);
    let (reference, at_ms) = (id_text(fields, "reference")?, time(fields, now)?);
    if reference.is_none() && at_ms.is_none() {
        return Err("reference or at is required: by it the action is known when it is told again".to_owned());
    }
    let (session_id, visitor_id) = (uuid(fields, "session_id")?, uuid(fields, "visitor_id")?);
    let order_id = id_text(fields, "order_id").map_err(|reason| reason.replace("1 to", "at most"))?;
    if session_id.is_none() && visitor_id.is_none() && order_id.is_none() {
        return Err("one of session_id, visitor_id and order_id is required".to_owned());
    }
    let customer = customer(fields, &site, customers)?;
    let digest = digest(fields, &customer);
    Ok(ActionFact {
        kind: kind.to_owned(),
        reference: reference.unwrap_or_else(|| {
            digest[8..24].iter().fold("#".to_owned(), |text, byte| format!("{text}{byte:02x}"))
        }),
        content: digest[..8].iter().fold(0, |number, byte| number << 8 | i64::from(*byte)),
        at_ms: at_ms.unwrap_or(received_ms),
        session_id,
        visitor_id,
        page: page(fields)?,
        product_id: id_text(fields, "product_id")?,
        product_name: id_text(fields, "product_name")?.map(|name| mask::emails(name.into()).into_owned()),
        value: given(fields, "value").map(|value| amount("value", value)).transpose()?,
        currency: currency(fields)?,
        order_id,
        order_number: id_text(fields, "order_number")?,
        properties: properties(fields, kind)?,
        received_ms,
        receipt: None,
        site,
        customer,
    })
}

/// Of what was told, whatever the order of its fields. It is stored, so of the customer it has the keyed hashes.
fn digest(fields: &Map<String, Value>, customer: &[(CustomerKeyKind, [u8; 16])]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for (name, value) in fields.iter().collect::<BTreeMap<_, _>>() {
        if !value.is_null() && name != "customer" {
            hasher.update(format!("{name}\u{1f}{value}\u{1e}"));
        }
    }
    customer.iter().for_each(|(_, hash)| hasher.update(hash));
    hasher.finalize().into()
}

/// Host, if it is told, and masked path of an address, or of a path.
fn page(fields: &Map<String, Value>) -> Result<Option<(String, String)>, String> {
    let Some(value) = given(fields, "page") else { return Ok(None) };
    let uri =
        value.as_str().filter(|text| text.len() <= PAGE_BYTES).and_then(|text| text.parse::<Uri>().ok());
    let uri = uri.filter(|uri| uri.path().starts_with('/'));
    let uri = uri.ok_or("page is neither a path, as /p/boots, nor an address of at most 2048 bytes")?;
    let host = uri.host().unwrap_or_default().to_ascii_lowercase();
    Ok(Some((host, mask::path(uri.path()).into_owned())))
}

/// Names and values; what identifies people in them is masked.
fn properties(fields: &Map<String, Value>, kind: &str) -> Result<Vec<(String, String)>, String> {
    let Some(value) = given(fields, "properties") else { return Ok(Vec::new()) };
    let properties = value.as_object().ok_or("properties is not an object")?;
    if properties.len() > PROPERTIES {
        return Err(format!("more than {PROPERTIES} properties"));
    }
    let mut read = Vec::with_capacity(properties.len());
    for (name, value) in properties {
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            Value::Array(_) | Value::Object(_) => {
                return Err("a property is neither text nor a number, true or false".to_owned());
            }
        };
        let fits = |text: &str| {
            !text.chars().any(char::is_control)
                && text.chars().count() <= PROPERTY_LETTERS
                && !text.is_empty()
        };
        if !fits(name) || !(fits(&text) || text.is_empty()) {
            return Err(format!(
                "a property has a name and text of at most {PROPERTY_LETTERS} letters, without control characters"
            ));
        }
        read.push((name.clone(), masked_property(kind, text.into()).into_owned()));
    }
    Ok(read)
}
