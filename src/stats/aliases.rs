//! Sources under other names: `GET /api/v1/aliases`, `PUT` and `DELETE /api/v1/aliases/{alias}`.
//!
//! They apply to what is there already as to what comes: names as tagged stay as they are, and reports show the new name
//! within seconds. An alias of the API comes before one of the configuration, and that before the program's own.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::Type;

use crate::stats::AppState;
use crate::stats::database::DatabaseError;
use crate::stats::problem::StatsError;

/// Longest alias or name of a source, in characters.
const CHARS: usize = 512;

/// `{"results": …}`
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Results<T> {
    results: T,
}

/// An alias that was added.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Alias {
    alias: String,
    source: String,
    /// `config` or `api`; of one alias the API's counts.
    origin: String,
}

/// The body of a `PUT`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    source: String,
}

/// `GET /api/v1/aliases`: those that were added; the program's own are not among them.
pub(super) async fn list(State(shared): AppState) -> Result<Response, StatsError> {
    let snapshot = shared.context.tokens.snapshot().await?;
    let rows = snapshot.rows(include_str!("sql/aliases.sql"), &[]).await?;
    snapshot.finish().await?;
    let results = rows
        .iter()
        .map(|row| {
            Ok(Alias {
                alias: row.try_get("alias")?,
                source: row.try_get("source")?,
                origin: row.try_get("origin")?,
            })
        })
        .collect::<Result<Vec<_>, tokio_postgres::Error>>()
        .map_err(DatabaseError::from)?;
    Ok(Json(Results { results }).into_response())
}

/// `PUT /api/v1/aliases/{alias}` with `{"source": "…"}`: from now on the alias is reported as this source.
pub(super) async fn put(
    State(shared): AppState,
    alias: Result<Path<String>, PathRejection>,
    body: Result<Json<Wanted>, JsonRejection>,
) -> Result<Response, StatsError> {
    let alias = name(&alias.map(|Path(alias)| alias).unwrap_or_default(), "alias", "/alias")?;
    let Json(wanted) = body.map_err(|_| StatsError::Body {
        detail: "expected {\"source\": \"…\"}".to_owned(),
        pointer: String::new(),
    })?;
    let source = name(&wanted.source, "source", "/source")?;
    let parameters = [(&alias as _, Type::TEXT), (&source as _, Type::TEXT)];
    shared.context.tokens.change(include_str!("sql/alias_put.sql"), &parameters).await?;
    Ok(Json(Results { results: Alias { alias, source, origin: "api".to_owned() } }).into_response())
}

/// `DELETE /api/v1/aliases/{alias}`: the configuration's, or the program's own, holds again.
pub(super) async fn delete(
    State(shared): AppState,
    alias: Result<Path<String>, PathRejection>,
) -> Result<Response, StatsError> {
    let alias = name(&alias.map(|Path(alias)| alias).unwrap_or_default(), "alias", "/alias")?;
    let deleted = shared
        .context
        .tokens
        .change(include_str!("sql/alias_delete.sql"), &[(&alias as _, Type::TEXT)])
        .await?;
    if deleted.is_empty() {
        return Err(StatsError::NotFound("the API has no such alias"));
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// As names are compared: trimmed, in lower case.
fn name(text: &str, what: &str, pointer: &str) -> Result<String, StatsError> {
    let name = text.trim().to_lowercase();
    let wrong = |detail: String| StatsError::Body { detail, pointer: pointer.to_owned() };
    if name.is_empty() || name.chars().count() > CHARS || name.chars().any(char::is_control) {
        return Err(wrong(format!("{what} is a text of 1 to {CHARS} characters")));
    }
    if name.starts_with('(') {
        return Err(wrong(format!("{what}: names in brackets are the program's own")));
    }
    Ok(name)
}
