//! Every reason why the shop's answer is not what the client gets, and the one place that picks a status for it.

use std::error::Error;
use std::io;
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::{Response, StatusCode};

use super::body::{BodyError, ResponseBody};
use super::pages::{Asker, Pages};
use crate::capture::CLIENT_CLOSED_REQUEST;

/// An answer of our own.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// What came is no HTTP request.
    #[error("malformed request")]
    Malformed,
    /// HTTP of a version other than 1.0 and 1.1, in the form of these.
    #[error("this version of HTTP is not spoken")]
    Version,
    /// The method's name is too long for one.
    #[error("the method is too long")]
    MethodTooLong,
    /// The header fields are more than `headers` or longer than `header_bytes`.
    #[error("the header fields are too many or too long")]
    HeadTooLarge,
    /// The head did not arrive within `header`.
    #[error("the head did not arrive in time")]
    HeadTimeout,
    /// Where the body ends can be understood in more than one way.
    #[error("ambiguous or malformed framing")]
    Framing,
    /// TRACE or CONNECT.
    #[error("this method is not forwarded")]
    Method,
    /// `Host` is missing, repeated or malformed.
    #[error("missing or malformed Host")]
    Host,
    /// The target has a form that fits neither the method nor the `Host`.
    #[error("malformed target")]
    Target,
    /// The target is longer than `uri_bytes`.
    #[error("the target is too long")]
    TargetTooLong,
    /// More header fields than `limits.headers`.
    #[error("too many header fields")]
    TooManyFields,
    /// A transfer coding other than chunked.
    #[error("unknown transfer coding")]
    TransferCoding,
    /// The body is longer than `body_bytes`.
    #[error("the body is too long")]
    BodyTooLong,
    /// The body's framing is malformed.
    #[error("malformed body")]
    Body,
    /// The client stopped sending.
    #[error("the body did not arrive in time")]
    BodyTimeout,
    /// The client went away within its body: there is nobody to answer.
    #[error("the client went away")]
    ClientGone,
    /// The shop is closed for so long.
    #[error("the shop is closed for maintenance")]
    Maintenance(Duration),
    /// The upstream has no server, or none that is healthy.
    #[error("no server is available")]
    NoServer,
    /// All servers have `max_connections`, and the queue is full or was too slow.
    #[error("all servers are busy")]
    Full,
    /// TLS with a server failed.
    #[error("no TLS with the upstream")]
    Tls(#[source] io::Error),
    /// A server's name is not known.
    #[error("the upstream's name was not found")]
    Unresolved(#[source] io::Error),
    /// No server took a connection.
    #[error("the upstream cannot be reached")]
    Unreachable(#[source] io::Error),
    /// No server took a connection in time.
    #[error("the upstream did not take a connection in time")]
    ConnectTimeout,
    /// The connection ended before a response.
    #[error("the upstream closed the connection")]
    UpstreamClosed(#[source] hyper::Error),
    /// What came is no HTTP response.
    #[error("the upstream's response is malformed")]
    UpstreamMalformed(#[source] hyper::Error),
    /// It switched protocols, which nobody had asked for.
    #[error("the upstream switched protocols unasked")]
    UpstreamUpgraded,
    /// No response came in time.
    #[error("the upstream did not answer in time")]
    ResponseTimeout,
}

impl Refusal {
    /// What an error of the upstream connection means: it may be the client's body that failed.
    pub(super) fn from_exchange(error: hyper::Error) -> Self {
        match error.source().and_then(|source| source.downcast_ref::<BodyError>()) {
            Some(BodyError::TooLong) => Refusal::BodyTooLong,
            Some(BodyError::ClientIdle) => Refusal::BodyTimeout,
            Some(BodyError::ClientGone(_)) => Refusal::ClientGone,
            Some(_) => Refusal::Body,
            None if error.is_parse() => Refusal::UpstreamMalformed(error),
            None => Refusal::UpstreamClosed(error),
        }
    }

    /// Status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Refusal::Malformed | Refusal::Framing | Refusal::Host | Refusal::Target | Refusal::Body => {
                StatusCode::BAD_REQUEST
            }
            Refusal::Method => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::HeadTimeout | Refusal::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Refusal::BodyTooLong => StatusCode::PAYLOAD_TOO_LARGE,
            // nginx's, which is not in the list; every number of three digits is a status.
            Refusal::ClientGone => {
                StatusCode::from_u16(CLIENT_CLOSED_REQUEST).unwrap_or(StatusCode::BAD_REQUEST)
            }
            Refusal::TargetTooLong => StatusCode::URI_TOO_LONG,
            Refusal::HeadTooLarge | Refusal::TooManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Refusal::MethodTooLong | Refusal::TransferCoding => StatusCode::NOT_IMPLEMENTED,
            Refusal::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Refusal::Unresolved(_)
            | Refusal::Unreachable(_)
            | Refusal::Tls(_)
            | Refusal::UpstreamClosed(_)
            | Refusal::UpstreamMalformed(_)
            | Refusal::UpstreamUpgraded => StatusCode::BAD_GATEWAY,
            Refusal::NoServer | Refusal::Full | Refusal::Maintenance(_) => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::ConnectTimeout | Refusal::ResponseTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// Label `reason` in the metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Refusal::Malformed => "malformed",
            Refusal::Version => "version",
            Refusal::HeadTooLarge => "head_too_large",
            Refusal::HeadTimeout => "head_timeout",
            Refusal::Framing => "framing",
            Refusal::Method | Refusal::MethodTooLong => "method",
            Refusal::Host => "host",
            Refusal::Target => "target",
            Refusal::TargetTooLong => "target_too_long",
            Refusal::TooManyFields => "too_many_fields",
            Refusal::TransferCoding => "transfer_coding",
            Refusal::BodyTooLong => "body_too_long",
            Refusal::Body => "body",
            Refusal::BodyTimeout => "body_timeout",
            Refusal::ClientGone => "client_gone",
            Refusal::Maintenance(_) => "maintenance",
            Refusal::NoServer => "no_server",
            Refusal::Full => "full",
            Refusal::Tls(_) => "tls",
            Refusal::Unresolved(_) => "unresolved",
            Refusal::Unreachable(_) => "unreachable",
            Refusal::ConnectTimeout => "connect_timeout",
            Refusal::UpstreamClosed(_) => "closed",
            Refusal::UpstreamMalformed(_) | Refusal::UpstreamUpgraded => "malformed",
            Refusal::ResponseTimeout => "response_timeout",
        }
    }

    /// Whether the upstream is to blame, not the client.
    pub fn is_upstreams(&self) -> bool {
        let is_none_of_theirs = matches!(
            self,
            Refusal::MethodTooLong | Refusal::TransferCoding | Refusal::Version | Refusal::Maintenance(_)
        );
        self.status().is_server_error() && !is_none_of_theirs
    }

    /// Whether a server failed in the exchange, and not the client.
    pub(super) fn is_servers_failure(&self) -> bool {
        matches!(
            self,
            Refusal::UpstreamClosed(_)
                | Refusal::UpstreamMalformed(_)
                | Refusal::UpstreamUpgraded
                | Refusal::ResponseTimeout
        )
    }

    /// The answer.
    pub fn respond(&self, pages: &Pages, asker: Asker<'_>) -> Response<ResponseBody> {
        let mut response = pages.respond(self.status(), asker);
        if let Refusal::ClientGone = self {
            *response.body_mut() = ResponseBody::Empty;
        }
        let headers = response.headers_mut();
        match self {
            Refusal::Method => {
                let methods = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
                headers.insert(header::ALLOW, methods);
            }
            Refusal::NoServer => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            Refusal::Maintenance(retry_after) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after.as_secs()));
            }
            Refusal::Full => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        if !self.is_upstreams() && !matches!(self, Refusal::Maintenance(_)) {
            // What follows on this connection cannot be trusted to be where we think it is.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
