//! What the shop tells: `POST /api/v1/orders`, `/api/v1/actions`, `/api/v1/registrations` and `/api/v1/ad-spend` to journal.
//!
//! The journal has it before the answer goes out, so that it survives a database that is away. The answer waits for
//! the outcome as long as [`crate::ingest::OUTCOME_WAIT`], then says "accepted". Sending a batch again is harmless. As
//! many are taken at once as `BATCHES` says; more are answered 429.

use std::collections::HashSet;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::hit::{Record, ReportOutcome};
use crate::ingest::JournalUnavailable;
use crate::stats::order_item::{self, Refusal};
use crate::stats::problem::StatsError;
use crate::stats::spend_item;
use crate::stats::{AppState, Shared, action_item};

/// Largest body.
const BODY_BYTES: usize = 1024 * 1024;

/// Most items of a batch.
const BATCH_ITEMS: usize = 1000;

/// What became of one item.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct ItemResult<N> {
    /// By what its sender knows it.
    #[serde(flatten)]
    name: N,
    /// `recorded`, `duplicate`, `accepted` or `refused`.
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Results<N> {
    results: Vec<ItemResult<N>>,
}

/// An order's id as sent; null when it could not be read.
#[derive(Debug, Default, JsonSchema, Serialize)]
pub(crate) struct OrderName {
    order_id: Option<String>,
}

/// What an item is: its name and a record, or why it is refused.
type Read<N> = Result<(N, Record<'static>), (N, String)>;

/// `POST /api/v1/orders`
pub(super) async fn orders(
    State(shared): AppState,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Result<Response, StatsError> {
    let now = Timestamp::now();
    let customers = &shared.context.customers;
    take(&shared, "orders", &headers, body, |item| match order_item::read(item, now, customers) {
        Ok(fact) => Ok((OrderName { order_id: Some(fact.order_id.clone()) }, Record::Order(Box::new(fact)))),
        Err(Refusal { order_id, reason }) => Err((OrderName { order_id }, reason)),
    })
    .await
}

/// `POST /api/v1/ad-spend`
pub(super) async fn ad_spend(
    State(shared): AppState,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Result<Response, StatsError> {
    let now = Timestamp::now();
    let mut seen = HashSet::new();
    take(&shared, "rows", &headers, body, |item| {
        let (name, fact) = spend_item::read(item, now)?;
        // Which of two stands would be chance.
        match seen.insert(spend_item::key(&fact)) {
            true => Ok((name, Record::Spend(Box::new(fact)))),
            false => Err((name, "this day and these tags are in the batch already".to_owned())),
        }
    })
    .await
}

/// `POST /api/v1/actions`
pub(super) async fn actions(
    State(shared): AppState,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Result<Response, StatsError> {
    take_actions(&shared, "actions", &headers, body).await
}

/// `POST /api/v1/registrations`
pub(super) async fn registrations(
    State(shared): AppState,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Result<Response, StatsError> {
    take_actions(&shared, "registrations", &headers, body).await
}

async fn take_actions(
    shared: &Shared,
    what: &'static str,
    headers: &HeaderMap,
    body: axum::body::Body,
) -> Result<Response, StatsError> {
    let now = Timestamp::now();
    let customers = &shared.context.customers;
    let kept = shared.config().tracking.privacy.retain.events;
    let kept = kept.and_then(|months| Some((months, month_before(now, months)?)));
    take(shared, what, headers, body, |item| {
        let (name, fact) = action_item::read(item, now, customers, what == "registrations")?;
        if let Some((months, oldest_ms)) = kept
            && fact.at_ms < oldest_ms
        {
            return Err((name, format!("at is further back than actions are kept, {months} months")));
        }
        Ok((name, Record::Action(Box::new(fact))))
    })
    .await
}

/// The beginning of the month that was so many months ago, as retention goes by months: Unix milliseconds.
fn month_before(now: Timestamp, months: u32) -> Option<u64> {
    let then = now.to_zoned(TimeZone::UTC).checked_sub(i64::from(months).months()).ok()?;
    let begin = then.first_of_month().and_then(|day| day.start_of_day()).ok()?;
    u64::try_from(begin.timestamp().as_millisecond()).ok()
}

/// Hands a batch of what `read` understands to the journal; `what` is what a batch has, for errors.
async fn take<N: Default + Serialize>(
    shared: &Shared,
    what: &'static str,
    headers: &HeaderMap,
    body: axum::body::Body,
    mut read: impl FnMut(&Value) -> Read<N>,
) -> Result<Response, StatsError> {
    let one_of_few = shared.batches.try_acquire().map_err(|_| StatsError::IngestBusy)?;
    let body = read_body(body).await?;
    let items = read_items(headers, &body, what)?;
    let mut facts = Vec::new();
    let mut results = Vec::with_capacity(items.len());
    for item in items {
        match item.map_err(|reason| (N::default(), reason)).and_then(|item| read(&item)) {
            Ok((name, fact)) => {
                results.push(ItemResult { name, outcome: "accepted", reason: None });
                facts.push(fact);
            }
            Err((name, reason)) => {
                results.push(ItemResult { name, outcome: "refused", reason: Some(reason) });
            }
        }
    }
    let count = facts.len();
    if count == 0 {
        return Ok(Json(Results { results }).into_response());
    }
    let submission = shared.context.ingest.submit(facts).await.map_err(|JournalUnavailable| {
        tracing::warn!(items = count, "{what} were not taken: the journal does not answer");
        StatsError::JournalUnavailable
    })?;
    // What is on the disk holds nobody up who comes meanwhile, however long the database takes.
    drop(one_of_few);
    let outcomes = submission.outcomes().await;
    let status = match outcomes {
        Some(outcomes) if outcomes.len() == count => {
            let waiting = results.iter_mut().filter(|result| result.outcome == "accepted");
            waiting.zip(outcomes).for_each(|(result, outcome)| result.settle(outcome));
            StatusCode::OK
        }
        _ => StatusCode::ACCEPTED,
    };
    Ok((status, Json(Results { results })).into_response())
}

impl<N> ItemResult<N> {
    fn settle(&mut self, outcome: ReportOutcome) {
        (self.outcome, self.reason) = match outcome {
            ReportOutcome::Recorded => ("recorded", None),
            ReportOutcome::Duplicate => ("duplicate", None),
            ReportOutcome::Refused(reason) => ("refused", Some(reason)),
        };
    }
}

async fn read_body(body: axum::body::Body) -> Result<Bytes, StatsError> {
    match Limited::new(body, BODY_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() || has_length_limit(&*error) => {
            Err(StatsError::TooLarge(format!("a batch has at most {BODY_BYTES} bytes")))
        }
        Err(_) => Err(StatsError::Body { detail: "the body ended early".into(), pointer: String::new() }),
    }
}

fn has_length_limit(error: &(dyn std::error::Error + 'static)) -> bool {
    error.source().is_some_and(|source| source.is::<LengthLimitError>() || has_length_limit(source))
}

/// The items of a batch. A line of NDJSON that is no JSON is refused by itself; a broken array is refused whole.
fn read_items(
    headers: &HeaderMap,
    body: &[u8],
    what: &str,
) -> Result<Vec<Result<Value, String>>, StatsError> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let items: Vec<Result<Value, String>> = if content_type.to_ascii_lowercase().contains("ndjson") {
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        lines
            .take(BATCH_ITEMS + 1)
            .map(|line| serde_json::from_slice(line).map_err(|_| "the line is not JSON".to_owned()))
            .collect()
    } else {
        let read = serde_json::from_slice(body).map_err(|error| StatsError::Body {
            detail: format!("not JSON at line {}, column {}", error.line(), error.column()),
            pointer: String::new(),
        })?;
        match read {
            Value::Array(items) => items.into_iter().map(Ok).collect(),
            _ => {
                let detail = format!("expected a JSON array of {what}, or NDJSON as application/x-ndjson");
                return Err(StatsError::Body { detail, pointer: String::new() });
            }
        }
    };
    if items.len() > BATCH_ITEMS {
        return Err(StatsError::TooLarge(format!("a batch has at most {BATCH_ITEMS} {what}")));
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_months_are_kept() {
        let before = |now: &str, months| {
            let begin = i64::try_from(month_before(now.parse().unwrap(), months).unwrap()).unwrap();
            Timestamp::from_millisecond(begin).unwrap().to_string()
        };
        assert_eq!(before("2026-11-27T10:00:00Z", 13), "2025-10-01T00:00:00Z");
        assert_eq!(before("2026-03-31T23:59:59Z", 1), "2026-02-01T00:00:00Z");
    }
}
