//! One item of `POST /api/v1/ad-spend`: JSON of a stranger in, a [`SpendFact`] or a reason out.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use unicode_normalization::UnicodeNormalization;

use crate::hit::SpendFact;
use crate::stats::order_item::{amount, currency, given, id_text, known_fields_only};

pub(crate) const FIELDS: &[&str] = &[
    "site",
    "day",
    "source",
    "medium",
    "campaign",
    "content",
    "utm_id",
    "cost",
    "currency",
    "clicks",
    "impressions",
];

/// Longest value of a tag, as links have it.
const TAG_LETTERS: usize = 512;

/// By what its sender knows an item; null where it could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize)]
pub(crate) struct SpendName {
    day: Option<String>,
    source: Option<String>,
    medium: Option<String>,
    campaign: Option<String>,
}

/// What must not be twice in a batch: site, day and tags.
pub(crate) type Key = (String, (i16, i8, i8), [Option<String>; 5]);

/// The key of a fact.
pub(crate) fn key(fact: &SpendFact) -> Key {
    let tags = [&fact.source, &fact.medium, &fact.campaign, &fact.content, &fact.utm_id];
    (fact.site.clone(), fact.day, tags.map(Clone::clone))
}

/// Reads one item; `now` is the time of its arrival.
pub(crate) fn read(item: &Value, now: Timestamp) -> Result<(SpendName, SpendFact), (SpendName, String)> {
    let Value::Object(fields) = item else {
        return Err((SpendName::default(), "expected an object".to_owned()));
    };
    let text = |name| fields.get(name).and_then(Value::as_str).map(|text| text.chars().take(100).collect());
    let name = SpendName {
        day: text("day"),
        source: text("source"),
        medium: text("medium"),
        campaign: text("campaign"),
    };
    match read_fields(fields, now) {
        Ok(fact) => Ok((name, fact)),
        Err(reason) => Err((name, reason)),
    }
}

fn read_fields(fields: &Map<String, Value>, now: Timestamp) -> Result<SpendFact, String> {
    known_fields_only(fields, FIELDS)?;
    let day = day(fields, now)?;
    let fact = SpendFact {
        site: id_text(fields, "site")?.unwrap_or_else(|| "default".to_owned()),
        day: (day.year(), day.month(), day.day()),
        source: tag(fields, "source")?,
        medium: tag(fields, "medium")?,
        campaign: tag(fields, "campaign")?,
        content: tag(fields, "content")?,
        utm_id: tag(fields, "utm_id")?,
        cost: amount("cost", given(fields, "cost").ok_or("cost is required")?)?,
        currency: currency(fields)?,
        clicks: count(fields, "clicks")?,
        impressions: count(fields, "impressions")?,
        received_ms: u64::try_from(now.as_millisecond()).unwrap_or(0),
        receipt: None,
    };
    if key(&fact).2.iter().all(Option::is_none) {
        return Err("one of source, medium, campaign, content and utm_id is required".to_owned());
    }
    Ok(fact)
}

/// A day of the advertiser's: it may have begun where he is.
fn day(fields: &Map<String, Value>, now: Timestamp) -> Result<Date, String> {
    let day = given(fields, "day").and_then(Value::as_str).and_then(|text| text.trim().parse::<Date>().ok());
    let day = day.ok_or("day is required, as 2026-11-22")?;
    if day.year() < 2000 {
        return Err("day lies before the year 2000".to_owned());
    }
    let tomorrow = now.to_zoned(TimeZone::UTC).date().checked_add(1.day());
    if tomorrow.is_ok_and(|tomorrow| day > tomorrow) {
        return Err("day lies ahead".to_owned());
    }
    Ok(day)
}

/// The value of a tag as links are read: trimmed, NFC; empty = absent.
fn tag(fields: &Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    let text = match given(fields, name) {
        None => return Ok(None),
        Some(Value::String(text)) => text.trim().nfc().collect::<String>(),
        Some(Value::Number(number)) if number.is_u64() => number.to_string(),
        Some(_) => return Err(format!("{name} is not text")),
    };
    if text.chars().count() > TAG_LETTERS || text.chars().any(char::is_control) {
        return Err(format!("{name} must have at most {TAG_LETTERS} letters and no control characters"));
    }
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn count(fields: &Map<String, Value>, name: &str) -> Result<Option<u64>, String> {
    let Some(value) = given(fields, name) else { return Ok(None) };
    let count = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
    match count.filter(|count| i64::try_from(*count).is_ok()) {
        Some(count) => Ok(Some(count)),
        None => Err(format!("{name} is not a whole number of zero or more")),
    }
}
