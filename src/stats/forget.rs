//! `DELETE /api/v1/visitors/{id}`: forgets a visitor.
//!
//! As with orders, the journal has it before the answer goes out; the answer waits for the receipt as long as
//! [`crate::ingest::OUTCOME_WAIT`], then says "accepted". Asking again is harmless.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::erasure::{Receipt, Subject};
use crate::ingest::JournalUnavailable;
use crate::stats::AppState;
use crate::stats::answer::rfc3339;
use crate::stats::problem::StatsError;

/// What became of an erasure.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct ReceiptDetails {
    erasure_id: Uuid,
    /// `forgotten`, `already_forgotten`, `nothing_found`, `too_many` or `accepted`.
    outcome: &'static str,
    /// When it was done; absent when only accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    /// Rows that were made anonymous or deleted, by table; absent when only accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    erased: Option<BTreeMap<&'static str, u64>>,
}

impl ReceiptDetails {
    /// Of an erasure that is in the journal, with its receipt when there is one already.
    pub(crate) fn new(erasure_id: Uuid, receipt: Option<Receipt>, zone: &TimeZone) -> Self {
        Self {
            erasure_id,
            outcome: receipt.as_ref().map_or("accepted", |receipt| receipt.outcome.word()),
            at: receipt.as_ref().map(|receipt| rfc3339(receipt.at, zone)),
            erased: receipt.map(|receipt| receipt.erased),
        }
    }
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Results {
    results: ReceiptDetails,
}

/// `DELETE /api/v1/visitors/{id}`
pub(super) async fn visitor(
    State(shared): AppState,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, StatsError> {
    let id = id.ok().and_then(|Path(id)| Uuid::parse_str(&id).ok()).ok_or(StatsError::NoVisitorId)?;
    let forgotten = shared.context.ingest.forget(Subject::Visitor(id)).await;
    let (erasure_id, receipt) = forgotten.map_err(|JournalUnavailable| {
        tracing::warn!("an erasure was not taken: the journal does not answer");
        StatsError::JournalUnavailable
    })?;
    let status = if receipt.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let results = ReceiptDetails::new(erasure_id, receipt, &shared.config().stats.timezone);
    Ok((status, Json(Results { results })).into_response())
}
