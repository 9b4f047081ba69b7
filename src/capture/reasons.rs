//! Why a conclusion is what it is: plain data that falls off on the way to it, for whoever asks later. Nothing here is
//! computed for its own sake.

use super::bot::Verdict;

/// The reasons of one conclusion.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reasons {
    /// Why this is no page view; none for one that may be.
    pub no_page_view: Option<NoPageView>,
    /// What the rule that excludes it is about.
    pub excluded_by: Option<crate::exclusion::Kind>,
    /// What is thought of the client.
    pub bot: Verdict,
    /// Whose it is.
    pub identity: IdentityStep,
    /// What it does to the session.
    pub session: SessionStep,
    /// What becomes of the cookie.
    pub cookie: CookieStep,
    /// What it says about where somebody came from.
    pub evidence: EvidenceStep,
}

/// Why nobody saw a page: of what the request says first, then of what the response says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPageView {
    /// It is no GET.
    Method,
    /// The browser fetched it ahead.
    Prefetch,
    /// A script, a frame or a picture asked for it.
    NotANavigation,
    /// The client went away before there was an answer.
    ClientGone,
    /// The status is neither 2xx nor 304.
    Status,
    /// The content is no HTML.
    ContentType,
}

/// How a hit's visitor became known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IdentityStep {
    /// There is none, or nothing asked for it.
    #[default]
    Nobody,
    /// By the cookie.
    Known,
    /// New; there was no cookie.
    Minted,
    /// New; the cookie that was there does not verify, or is a forgotten visitor's.
    Replaced,
    /// By the hash of the day.
    Cookieless,
    /// Not at all: the visitor denies it.
    Denied,
}

/// What a hit does to its visitor's session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SessionStep {
    /// There is none.
    #[default]
    None,
    /// It goes on.
    Continued,
    /// It goes on although its time is over: the visitor comes back from a payment or sign-in host.
    Held,
    /// It is the visitor's first.
    First,
    /// A new one: the last activity is too long ago.
    Timeout,
    /// A new one: the evidence differs from the session's.
    NewEvidence,
    /// The one of the day.
    OfTheDay,
}

/// What becomes of the visitor's cookie on a response.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CookieStep {
    /// Nothing happened for which it is set.
    #[default]
    NotDue,
    /// Given: a new visitor, or a new session.
    Set,
    /// Given anew with the time of this activity.
    Refreshed,
    /// Not given: the client's is less than a minute old.
    Fresh,
    /// Taken away.
    Expired,
    /// Not given: a cache may hand the response to others.
    Shareable,
    /// Not given: a 304 has the fields of what is in the cache.
    NotModified,
    /// Not given: nobody receives the response.
    ClientGone,
    /// Not given: another site's page sent this request, and the browser left its cookie out.
    ForeignPage,
    /// Not given: visitors are known for a day only, or this one has not agreed to more.
    Unwanted,
}

/// What a hit says about where somebody came from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EvidenceStep {
    /// Nothing, or nothing asked for it.
    #[default]
    None,
    /// A touch of a session that begins with it.
    Touch,
    /// What the open session has already.
    Known,
}

impl NoPageView {
    /// As `inspect` spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Prefetch => "prefetch",
            Self::NotANavigation => "not_a_navigation",
            Self::ClientGone => "client_gone",
            Self::Status => "status",
            Self::ContentType => "content_type",
        }
    }

    /// For people.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Method => "only GET can show a page",
            Self::Prefetch => "the browser fetched it ahead, nobody looked at it yet",
            Self::NotANavigation => "a script, frame or picture asked for it, no navigation",
            Self::ClientGone => "the client went away before there was an answer",
            Self::Status => "its status is neither 2xx nor 304",
            Self::ContentType => "it is no HTML",
        }
    }
}

impl IdentityStep {
    /// As `inspect` spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Nobody => "none",
            Self::Known => "known",
            Self::Minted => "minted",
            Self::Replaced => "replaced",
            Self::Cookieless => "cookieless",
            Self::Denied => "denied",
        }
    }
}

impl SessionStep {
    /// As `inspect` spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Continued => "continued",
            Self::Held => "held",
            Self::First => "first",
            Self::Timeout => "new_timeout",
            Self::NewEvidence => "new_evidence",
            Self::OfTheDay => "of_the_day",
        }
    }
}

impl CookieStep {
    /// As `inspect` spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::NotDue => "not_due",
            Self::Set => "set",
            Self::Refreshed => "refreshed",
            Self::Fresh => "fresh",
            Self::Expired => "expired",
            Self::Shareable => "shareable",
            Self::NotModified => "not_modified",
            Self::ClientGone => "client_gone",
            Self::ForeignPage => "foreign_page",
            Self::Unwanted => "unwanted",
        }
    }

    /// For people: why no cookie is set; none where one is, or is not due.
    pub fn refusal(self) -> Option<&'static str> {
        match self {
            Self::Shareable => Some("the response says that a cache may hand it to others"),
            Self::NotModified => Some("a 304 changes only what is in the cache"),
            Self::ClientGone => Some("nobody receives the response"),
            Self::ForeignPage => {
                Some("another site's page sent it, and a new cookie would replace the visitor's")
            }
            Self::Unwanted => Some("visitors are known for a day only, or this one has not agreed to more"),
            Self::NotDue | Self::Set | Self::Refreshed | Self::Fresh | Self::Expired => None,
        }
    }
}

impl EvidenceStep {
    /// As `inspect` spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Touch => "touch",
            Self::Known => "known",
        }
    }
}
