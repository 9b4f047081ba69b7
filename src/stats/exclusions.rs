//! What is excluded: `GET` and `PUT /api/v1/exclusions`, `DELETE /api/v1/exclusions/{id}`. For administrators: the rules have
//! addresses of people.
//!
//! Workers go by a rule within seconds, and what is there already is left out of reports as soon as it is judged anew.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::exclusion::{Kind, Rule};
use crate::stats::AppState;
use crate::stats::answer::rfc3339;
use crate::stats::database::DatabaseError;
use crate::stats::problem::StatsError;

/// Longest note, in characters.
const NOTE_CHARS: usize = 512;

/// `{"results": …}`
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Results<T> {
    results: T,
}

/// A rule.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Exclusion {
    id: i64,
    /// `ip`, `user_agent`, `visitor`, `cookie`, `path` or `host`.
    kind: String,
    value: String,
    note: Option<String>,
    /// `config` or `api`.
    origin: String,
    created_at: String,
    /// Requests that it kept out.
    hits: i64,
    last_hit_at: Option<String>,
    /// Sessions of earlier times that it leaves out.
    sessions: i64,
}

/// The body of a `PUT`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    kind: String,
    value: String,
    #[serde(default)]
    note: Option<String>,
}

/// `GET /api/v1/exclusions`
pub(super) async fn list(State(shared): AppState) -> Result<Response, StatsError> {
    let snapshot = shared.context.tokens.snapshot().await?;
    let rows = snapshot.rows(include_str!("sql/exclusions.sql"), &[]).await?;
    snapshot.finish().await?;
    let zone = &shared.context.config.now().stats.timezone;
    let results = rows.iter().map(|row| read(row, zone)).collect::<Result<Vec<_>, _>>();
    Ok(Json(Results { results: results.map_err(DatabaseError::from)? }).into_response())
}

/// `PUT /api/v1/exclusions` with `{"kind": "ip", "value": "203.0.113.7", "note": "the office"}`; again, it changes the note.
pub(super) async fn put(
    State(shared): AppState,
    body: Result<Json<Wanted>, JsonRejection>,
) -> Result<Response, StatsError> {
    let wrong = |detail: String, pointer: &str| StatsError::Body { detail, pointer: pointer.to_owned() };
    let Json(wanted) = body
        .map_err(|_| wrong("expected {\"kind\": \"…\", \"value\": \"…\", \"note\": \"…\"}".to_owned(), ""))?;
    let kind = Kind::named(&wanted.kind).ok_or_else(|| {
        let kinds = Kind::NAMES.map(|(name, _)| name).join(", ");
        wrong(format!("kind is one of {kinds}"), "/kind")
    })?;
    let rule = Rule::new(kind, &wanted.value).map_err(|detail| wrong(detail, "/value"))?;
    let note = wanted.note.filter(|note| !note.trim().is_empty());
    if note.as_ref().is_some_and(|note| note.chars().count() > NOTE_CHARS || note.contains('\0')) {
        return Err(wrong(format!("a note has at most {NOTE_CHARS} characters"), "/note"));
    }
    let (kind, value) = (kind.name(), rule.value());
    let parameters = [(&kind as _, Type::TEXT), (&value as _, Type::TEXT), (&note as _, Type::TEXT)];
    let rows = shared.context.tokens.change(include_str!("sql/exclusion_put.sql"), &parameters).await?;
    let row = rows.first().ok_or(DatabaseError::Failed)?;
    let zone = &shared.context.config.now().stats.timezone;
    Ok(Json(Results { results: read(row, zone).map_err(DatabaseError::from)? }).into_response())
}

/// `DELETE /api/v1/exclusions/{id}`: what it left out is in reports again; what it kept out never was.
pub(super) async fn delete(
    State(shared): AppState,
    id: Result<Path<i64>, PathRejection>,
) -> Result<Response, StatsError> {
    let not_found = StatsError::NotFound("the API has no such exclusion");
    let Ok(Path(id)) = id else { return Err(not_found) };
    let sql = include_str!("sql/exclusion_delete.sql");
    if shared.context.tokens.change(sql, &[(&id as _, Type::INT8)]).await?.is_empty() {
        return Err(not_found);
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn read(row: &Row, zone: &TimeZone) -> Result<Exclusion, tokio_postgres::Error> {
    let last_hit_at: Option<Timestamp> = row.try_get("last_hit_at")?;
    Ok(Exclusion {
        id: row.try_get("exclusion_id")?,
        kind: row.try_get("kind")?,
        value: row.try_get("value")?,
        note: row.try_get("note")?,
        origin: row.try_get("origin")?,
        created_at: rfc3339(row.try_get("created_at")?, zone),
        hits: row.try_get("hits")?,
        last_hit_at: last_hit_at.map(|at| rfc3339(at, zone)),
        sessions: row.try_get("sessions")?,
    })
}
