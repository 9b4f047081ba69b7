//! Touches and orders as the session's story and the order's explanation show them.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::capture::bot;
use crate::hit::touch_flags;
use crate::stats::answer::rfc3339;
use crate::stats::money::amount;
use crate::store::judge;

/// One piece of acquisition evidence.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct TouchDetails {
    /// When it was first seen.
    pub(crate) at: String,
    session_id: Uuid,
    /// Its id within the session, as text: it does not fit a JavaScript number.
    evidence: String,
    utm_source: Option<String>,
    utm_medium: Option<String>,
    utm_campaign: Option<String>,
    utm_content: Option<String>,
    utm_term: Option<String>,
    utm_id: Option<String>,
    parameters: Option<Value>,
    click_ids: Option<Value>,
    inferred_from: Option<String>,
    referrer: Option<String>,
    landing_host: Option<String>,
    landing_page: Option<String>,
    status: i16,
    /// What was odd about the values.
    flags: Vec<&'static str>,
}

/// What is thought of a session: of each request, by the request path, and of its behaviour, by the office.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Verdict {
    /// One of the scores is 50 or more.
    is_bot: bool,
    /// 0 = a person, 100 = certainly none; the greatest of its requests.
    bot_score: i16,
    bot_reasons: Vec<&'static str>,
    /// Version of the rules; 0 = before versions were noted.
    bot_rules: i16,
    behaviour_score: i16,
    behaviour_reasons: Vec<&'static str>,
    behaviour_rules: i16,
    /// A rule leaves the session out of all reports.
    is_excluded: bool,
}

/// An order as its ledger makes it. Amounts are decimal text in its own currency.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct OrderDetails {
    site: String,
    order_id: String,
    order_number: Option<String>,
    placed_at: String,
    placed_way: &'static str,
    paid_at: Option<String>,
    delivered_at: Option<String>,
    currency: Option<String>,
    gross: Option<String>,
    paid: Option<String>,
    cancelled: Option<String>,
    refunded: Option<String>,
    net: Option<String>,
    visitor_id: Option<Uuid>,
    session_id: Option<Uuid>,
    joined_by: Option<String>,
    points: i32,
}

impl TouchDetails {
    /// Reads a row of `touch_details`.
    pub(crate) fn read(row: &Row, zone: &TimeZone) -> Result<TouchDetails, tokio_postgres::Error> {
        Ok(TouchDetails {
            at: rfc3339(row.try_get("at")?, zone),
            session_id: row.try_get("session_id")?,
            evidence: row.try_get::<_, i64>("evidence")?.to_string(),
            utm_source: row.try_get("utm_source")?,
            utm_medium: row.try_get("utm_medium")?,
            utm_campaign: row.try_get("utm_campaign")?,
            utm_content: row.try_get("utm_content")?,
            utm_term: row.try_get("utm_term")?,
            utm_id: row.try_get("utm_id")?,
            parameters: row.try_get("parameters")?,
            click_ids: row.try_get("click_ids")?,
            inferred_from: row.try_get("inferred")?,
            referrer: row.try_get("referrer")?,
            landing_host: row.try_get("landing_host")?,
            landing_page: row.try_get("landing_page")?,
            status: row.try_get("status")?,
            flags: flag_names(row.try_get("flags")?),
        })
    }
}

impl Verdict {
    /// Reads a row of `session_texts`.
    pub(crate) fn read(row: &Row) -> Result<Verdict, tokio_postgres::Error> {
        Ok(Verdict {
            is_bot: row.try_get("bot")?,
            bot_score: row.try_get("bot_score")?,
            bot_reasons: bot::words(row.try_get::<_, i32>("bot_reasons")?.cast_unsigned()).collect(),
            bot_rules: row.try_get("bot_rules")?,
            behaviour_score: row.try_get("behaviour_score")?,
            behaviour_reasons: judge::words(row.try_get("behaviour_reasons")?).collect(),
            behaviour_rules: row.try_get("behaviour_rules")?,
            is_excluded: row.try_get("excluded")?,
        })
    }
}

impl OrderDetails {
    /// Reads a row of `order_details`.
    pub(crate) fn read(row: &Row, zone: &TimeZone) -> Result<OrderDetails, tokio_postgres::Error> {
        let currency: Option<String> = row.try_get("currency")?;
        let money = |column: &str| -> Result<Option<String>, tokio_postgres::Error> {
            Ok(row.try_get::<_, Option<&str>>(column)?.map(|text| amount(text, currency.as_deref())))
        };
        let time = |column: &str| -> Result<Option<String>, tokio_postgres::Error> {
            Ok(row.try_get::<_, Option<Timestamp>>(column)?.map(|time| rfc3339(time, zone)))
        };
        Ok(OrderDetails {
            site: row.try_get("site")?,
            order_id: row.try_get("order_id")?,
            order_number: row.try_get("order_number")?,
            placed_at: rfc3339(row.try_get("placed_at")?, zone),
            placed_way: way_name(row.try_get("placed_way")?),
            paid_at: time("paid_at")?,
            delivered_at: time("delivered_at")?,
            gross: money("gross")?,
            paid: money("paid")?,
            cancelled: money("cancelled")?,
            refunded: money("refunded")?,
            net: money("net")?,
            visitor_id: row.try_get("visitor_id")?,
            session_id: row.try_get("session_id")?,
            joined_by: row.try_get("joined_by")?,
            points: row.try_get("points")?,
            currency,
        })
    }
}

impl OrderDetails {
    /// Without the visitor's replacement, which names nobody.
    pub(crate) fn anonymous(self) -> OrderDetails {
        OrderDetails { visitor_id: None, ..self }
    }
}

/// The word for a stored way.
pub(crate) fn way_name(code: i16) -> &'static str {
    match code {
        1 => "rule",
        2 => "header",
        3 => "import",
        4 => "api",
        _ => "unknown",
    }
}

fn flag_names(flags: i32) -> Vec<&'static str> {
    let known = [
        (touch_flags::REPEATED, "repeated"),
        (touch_flags::TRUNCATED, "truncated"),
        (touch_flags::INVALID_UTF8, "invalid_utf8"),
        (touch_flags::CLICK_ID_CUT, "click_id_cut"),
    ];
    known.into_iter().filter(|(bit, _)| flags.cast_unsigned() & bit != 0).map(|(_, name)| name).collect()
}
