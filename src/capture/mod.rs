//! Who came, from where, and what it means: pure functions of a request and its response.
//!
//! [`Observation::of`] takes from a request's head what will be needed, by reference count (observe.rs);
//! [`Observation::conclude`] decides, when the response's head is there, what is recorded and whether a cookie is set
//! (conclude.rs; of nobody in particular: nobody.rs), by whose the request is and where it comes from (origin.rs).
//! Nothing here reads a clock, draws a random number or does I/O: time, ids, salts and rules come in as arguments.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{StatusCode, Uri};
use uuid::Uuid;

use crate::erasure::ForgottenVisitors;
use crate::exclusion::Rule;
use crate::hit::Action;
use crate::keys::KeyRing;

pub mod actions;
pub mod bot;
mod conclude;
pub mod consent;
pub mod cookie;
pub mod event;
pub mod evidence;
mod hints;
pub mod host;
pub mod identity;
pub mod mask;
mod nobody;
mod observe;
mod origin;
pub mod query;
pub mod reasons;
pub mod registry;
mod response;
pub mod restore;
mod rules;

use bot::Signs;
pub use conclude::{Conclusion, late_record};
use consent::Standing;
use hints::ClientHints;
use reasons::NoPageView;
pub use response::{CLIENT_CLOSED_REQUEST, may_set_cookie};
pub use rules::Rules;

/// The response field by which a shop tells what happened.
pub const X_UTM_EVENT: HeaderName = HeaderName::from_static("x-utm-event");

/// What a request's head says, kept until the response's head is there.
#[derive(Debug)]
pub struct Observation {
    at_ms: u64,
    client: IpAddr,
    https: bool,
    target: Uri,
    host: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    client_hints: ClientHints,
    referer: Option<HeaderValue>,
    cookies: Vec<HeaderValue>,
    signs: Signs,
    is_get: bool,
    is_safe: bool,
    is_navigation: bool,
    may_be_new: bool,
    standing: Standing,
    /// Whether the browser says that the link stands on a page of the same owner, and of this very host.
    is_from_within: bool,
    is_from_same_host: bool,
    /// The visitor id that the shop was told before there was one.
    told: Option<Uuid>,
    no_page_view: Option<NoPageView>,
    excluded_by: Option<Arc<Rule>>,
    /// Whether files of pages were fetched from the same address lately.
    fetched_assets: bool,
}

/// Everything of a request that is not in its head.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// When the head was there, Unix milliseconds.
    pub at_ms: u64,
    /// The client's address.
    pub client: IpAddr,
    /// Whether the client used https.
    pub https: bool,
}

/// What identity needs besides the request.
#[derive(Debug, Clone, Copy)]
pub struct Secrets<'a> {
    /// The keys of the cookie.
    pub keys: &'a KeyRing,
    /// The salt of the day.
    pub salt: &'a [u8; 16],
    /// Visitors whose cookies are none.
    pub forgotten: &'a ForgottenVisitors,
}

/// A response's head.
#[derive(Debug, Clone, Copy)]
pub struct ResponseHead<'a> {
    /// Its status; 499 when the client went away before there was one.
    pub status: StatusCode,
    /// Its fields.
    pub headers: &'a HeaderMap,
    /// Whether its `X-Utm-Event` is believed.
    pub trust_events: bool,
}

/// What action rules say of a request and the head of its answer.
#[derive(Debug, Default)]
pub struct Fired {
    /// Actions.
    pub actions: Vec<Action<'static>>,
    /// Whether it is a page view, though nobody navigates.
    pub page_view: bool,
    /// Whether the answer's body may tell of more.
    pub awaits_body: bool,
    /// Whether a server sends the request: its own visit does not count.
    pub webhook: bool,
}

/// Why nothing is recorded of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// It is for a file that is no page.
    Asset,
    /// A rule excludes it.
    Excluded,
    /// A certain bot; counted by itself.
    Bot,
    /// Nobody saw a page, and nothing happened.
    NoPage,
}

impl Ignored {
    /// All of them, in their order.
    pub const ALL: [Self; 4] = [Self::Asset, Self::Excluded, Self::Bot, Self::NoPage];

    /// The metric's label.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Asset => "asset",
            Self::Excluded => "excluded",
            Self::Bot => "bot",
            Self::NoPage => "no_page",
        }
    }
}

#[cfg(test)]
mod tests;
