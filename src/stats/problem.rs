//! What the stats port answers when it cannot answer: `application/problem+json` (RFC 9457).
//!
//! One function picks the status. Nothing of a database's or a library's own words goes out.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use crate::stats::again::Interruption;
use crate::stats::database::DatabaseError;
use crate::stats::params::ParameterError;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StatsError {
    /// A parameter of the query string is wrong.
    #[error("{0}")]
    Parameter(#[from] ParameterError),
    /// The body cannot be read as what it should be.
    #[error("{detail}")]
    Body {
        /// What is wrong with it.
        detail: String,
        /// JSON pointer into it.
        pointer: String,
    },
    /// The body is neither JSON nor JSON lines by its `Content-Type`.
    #[error("the body must be application/json or application/x-ndjson")]
    MediaType,
    /// The body is larger than is taken.
    #[error("{0}")]
    TooLarge(String),
    /// No valid token.
    #[error("a valid token is needed: Authorization: Bearer …")]
    Unauthorized,
    /// The token may not do this.
    #[error("the token's scope does not allow this")]
    Forbidden,
    /// A write came from another site's page.
    #[error("writing from another site's page is refused")]
    ForeignOrigin,
    /// `Host` names something that this port is not.
    #[error("this server does not answer to that host name; stats.allowed_hosts has the names it answers to")]
    UnknownHost,
    /// There is no such thing.
    #[error("{0}")]
    NotFound(&'static str),
    /// The path is there, but not for this method.
    #[error("this address does not take that method")]
    Method,
    /// The database gave no answer.
    #[error("{0}")]
    Database(#[from] DatabaseError),
    /// What should be a visitor's id is none.
    #[error("a visitor's id is a UUID")]
    NoVisitorId,
    /// The journal takes nothing now.
    #[error("nothing can be taken now; send it again later")]
    JournalUnavailable,
    /// As many exports are under way as may be.
    #[error("other exports are under way; ask again when one of them is done")]
    ExportsBusy,
    /// As many batches are told as may be at once.
    #[error("other batches are being taken; send it again when one of them is answered")]
    IngestBusy,
    /// Which tokens there are is written in the database, which does not answer.
    #[error("whether a token is needed, and valid, is not known while the database is away")]
    TokensUnavailable,
}

/// The body of an error.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Problem {
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
}

impl StatsError {
    /// The status of the answer.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            StatsError::Parameter(_) | StatsError::Body { .. } | StatsError::NoVisitorId => {
                StatusCode::BAD_REQUEST
            }
            StatsError::Unauthorized => StatusCode::UNAUTHORIZED,
            StatsError::Forbidden | StatsError::ForeignOrigin => StatusCode::FORBIDDEN,
            StatsError::NotFound(_) => StatusCode::NOT_FOUND,
            StatsError::Method => StatusCode::METHOD_NOT_ALLOWED,
            StatsError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            StatsError::IngestBusy => StatusCode::TOO_MANY_REQUESTS,
            StatsError::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            StatsError::UnknownHost => StatusCode::MISDIRECTED_REQUEST,
            StatsError::Database(DatabaseError::TooCostly) => StatusCode::UNPROCESSABLE_ENTITY,
            StatsError::Database(DatabaseError::Away | DatabaseError::Busy | DatabaseError::Interrupted)
            | StatsError::JournalUnavailable
            | StatsError::ExportsBusy
            | StatsError::TokensUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            StatsError::Database(DatabaseError::Failed) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn title(&self) -> &'static str {
        match self {
            StatsError::Parameter(_) => "Bad parameter",
            StatsError::Body { .. } => "Bad body",
            StatsError::NoVisitorId => "Bad visitor id",
            StatsError::Unauthorized => "No valid token",
            StatsError::Forbidden => "Not allowed",
            StatsError::ForeignOrigin => "Foreign origin",
            StatsError::NotFound(_) => "Not found",
            StatsError::Method => "Method not allowed",
            StatsError::TooLarge(_) => "Too large",
            StatsError::MediaType => "Unsupported media type",
            StatsError::UnknownHost => "Unknown host",
            StatsError::Database(DatabaseError::TooCostly) => "Too costly",
            StatsError::Database(DatabaseError::Away) | StatsError::TokensUnavailable => "Database away",
            StatsError::Database(DatabaseError::Interrupted) => "Interrupted",
            StatsError::JournalUnavailable => "Journal unavailable",
            StatsError::Database(DatabaseError::Busy) => "Too many at once",
            StatsError::ExportsBusy => "Exports under way",
            StatsError::IngestBusy => "Too many at once",
            StatsError::Database(DatabaseError::Failed) => "Internal error",
        }
    }

    fn pointer(&self) -> Option<String> {
        match self {
            StatsError::Parameter(error) => Some(format!("/query/{}", escape_pointer(&error.parameter))),
            StatsError::Body { pointer, .. } => Some(pointer.clone()),
            _ => None,
        }
    }
}

/// RFC 6901, section 3.
fn escape_pointer(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

impl IntoResponse for StatsError {
    fn into_response(self) -> Response {
        let status = self.status();
        let problem = Problem {
            title: self.title(),
            status: status.as_u16(),
            detail: self.to_string(),
            pointer: self.pointer(),
        };
        let mut response = (status, axum::Json(problem)).into_response();
        if matches!(self, StatsError::Database(DatabaseError::Interrupted)) {
            response.extensions_mut().insert(Interruption);
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}
