//! `GET /api/v1/inspect`: the last requests that tracking looked at, each with its verdict and the reasons.
//!
//! Asking switches it on; nothing from before is there. With `after` and `wait` the answer comes when there is something
//! new, so that whoever follows needs no stream: each answer names the number to ask with next.

use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use axum::extract::connect_info::ConnectInfo;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;
use uuid::Uuid;

use crate::capture::reasons::IdentityStep;
use crate::capture::{Ignored, bot};
use crate::inspect::{Note, Verdict};
use crate::ship::enrich::acquisition::Acquisition;
use crate::stats::AppState;
use crate::stats::access::Peers;
use crate::stats::answer::rfc3339;
use crate::stats::params::ParameterError;
use crate::stats::problem::StatsError;

/// Longest wait for something new, seconds.
const LONGEST_WAIT_S: u64 = 30;
/// Notes in an answer, unless asked otherwise, and at most.
const USUAL_LIMIT: usize = 100;
const MOST_NOTES: usize = 500;
/// Longest path that is looked for.
const PATH_CHARS: usize = 1024;

static ACQUISITION: LazyLock<Acquisition> = LazyLock::new(Acquisition::default);

/// What is asked.
#[derive(Debug, Default, Clone, JsonSchema, Serialize)]
pub(crate) struct Query {
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<u64>,
    wait: u64,
    limit: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    verdict: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    site: Vec<String>,
    me: bool,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Answer {
    query: Query,
    results: Vec<Shown>,
    meta: Meta,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Meta {
    timezone: String,
    generated_at: String,
    /// Since when requests are noted.
    since: String,
    /// To be given as `after` in the next question.
    next: u64,
    /// Requests of which there is no note, since the process began: they came too fast.
    missed: u64,
    warnings: Vec<String>,
}

/// One request.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Shown {
    number: u64,
    at: String,
    site: String,
    method: String,
    host: String,
    path: String,
    status: u16,
    target: String,
    forwarded: Option<String>,
    verdict: &'static str,
    reason: Option<&'static str>,
    no_page_view: Option<&'static str>,
    exclusion: Option<String>,
    bot: Option<Bot>,
    identity: &'static str,
    visitor_id: Option<Uuid>,
    session: &'static str,
    session_id: Option<Uuid>,
    session_number: Option<u16>,
    cookie: &'static str,
    evidence: &'static str,
    touch: Option<Came>,
    actions: Vec<String>,
    journal: Option<&'static str>,
    /// The same for people.
    why: Vec<String>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Bot {
    score: u8,
    name: String,
    reasons: Vec<&'static str>,
    /// Version of the rules.
    rules: u8,
}

/// Where somebody came from.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Came {
    source: Option<String>,
    medium: Option<String>,
    campaign: Option<String>,
    content: Option<String>,
    term: Option<String>,
    inferred_from: Option<&'static str>,
    /// Names of the click ids; their values are personal.
    click_ids: Vec<String>,
    referrer: Option<String>,
}

/// `GET /api/v1/inspect`
pub(super) async fn inspect(
    State(shared): AppState,
    peers: Option<Extension<ConnectInfo<Peers>>>,
    RawQuery(query): RawQuery,
) -> Result<Response, StatsError> {
    let query = Query::read(query.as_deref().unwrap_or_default())?;
    let inspection = &shared.context.inspection;
    let config = shared.context.config.now();
    let zone = &config.stats.timezone;
    let since = inspection.look(crate::clock::unix_ms());
    let asker = peers.and_then(|peers| peers.0.0.remote).map(|address| address.ip());
    let deadline = Instant::now() + Duration::from_secs(query.wait);
    let mut after = query.after;
    let (notes, next) = loop {
        let (notes, next) = inspection.after(after, query.limit, |note| query.wants(note, asker));
        if !notes.is_empty() || query.wait == 0 || !inspection.wait(next, deadline).await {
            break (notes, next);
        }
        after = after.map(|_| next);
    };
    let meta = Meta {
        timezone: zone.iana_name().unwrap_or("UTC").to_owned(),
        generated_at: rfc3339(Timestamp::now(), zone),
        since: time_of(since, zone),
        next,
        missed: inspection.missed(),
        warnings: Vec::new(),
    };
    let results = notes.into_iter().map(|note| Shown::of(note, zone)).collect();
    Ok(Json(Answer { query, results, meta }).into_response())
}

impl Query {
    fn read(text: &str) -> Result<Self, ParameterError> {
        let mut query = Query { limit: USUAL_LIMIT, ..Query::default() };
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            let number = |most: u64| {
                let number = value.parse().ok().filter(|number| *number <= most);
                number.ok_or_else(|| ParameterError::new(&name, format!("a whole number up to {most}")))
            };
            match &*name {
                _ if value.is_empty() => {}
                "after" => query.after = Some(number(u64::MAX)?),
                "wait" => query.wait = number(LONGEST_WAIT_S)?,
                "limit" => query.limit = usize::try_from(number(MOST_NOTES as u64)?.max(1)).unwrap_or(1),
                "path" => query.path = Some(value.chars().take(PATH_CHARS).collect()),
                "site" => query.site.push(value.chars().take(PATH_CHARS).collect()),
                "verdict" if Verdict::WORDS.contains(&&*value) => query.verdict.push(value.into_owned()),
                "verdict" => {
                    return Err(ParameterError::new(&name, format!("one of {}", Verdict::WORDS.join(", "))));
                }
                "me" if matches!(&*value, "true" | "false") => query.me = value == "true",
                "me" => return Err(ParameterError::new(&name, "true or false")),
                _ => {
                    let known = "after, wait, limit, path, site, verdict, me";
                    return Err(ParameterError::new(&name, format!("not a parameter; there are {known}")));
                }
            }
        }
        Ok(query)
    }

    fn wants(&self, note: &Note, asker: Option<IpAddr>) -> bool {
        self.path.as_ref().is_none_or(|path| note.path.starts_with(path.as_str()))
            && (self.verdict.is_empty() || self.verdict.iter().any(|word| word == note.verdict.word()))
            && (self.site.is_empty() || self.site.iter().any(|site| **site == *note.site))
            && (!self.me || asker.is_some_and(|asker| is_same(asker, note.client)))
    }
}

/// All loopback addresses are one.
fn is_same(one: IpAddr, other: IpAddr) -> bool {
    let (one, other) = (one.to_canonical(), other.to_canonical());
    one == other || (one.is_loopback() && other.is_loopback())
}

impl Shown {
    fn of(note: Note, zone: &TimeZone) -> Self {
        let reason = match note.verdict {
            Verdict::NotRecorded(ignored) => ignored.map(Ignored::reason),
            _ => None,
        };
        let touch = note.touch.as_ref().map(|touch| {
            let acquired = ACQUISITION.of(touch);
            let owned = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().map(str::to_owned);
            Came {
                source: acquired.source.map(std::borrow::Cow::into_owned),
                medium: acquired.medium.map(std::borrow::Cow::into_owned),
                campaign: owned(&touch.campaign),
                content: owned(&touch.content),
                term: owned(&touch.term),
                inferred_from: acquired.inferred,
                click_ids: touch.click_ids.iter().map(|(name, _)| name.to_string()).collect(),
                referrer: owned(&touch.referrer),
            }
        });
        let bot = (note.reasons.bot.score > 0).then(|| Bot {
            score: note.reasons.bot.score,
            name: note.reasons.bot.bot.to_owned(),
            reasons: bot::words(note.reasons.bot.reasons).collect(),
            rules: bot::RULES_VERSION,
        });
        let why = why(&note, touch.as_ref());
        Shown {
            number: note.number,
            at: time_of(note.at_ms, zone),
            site: note.site.to_string(),
            method: note.method.to_string(),
            host: note.host,
            path: note.path,
            status: note.status,
            target: note.target,
            forwarded: note.forwarded,
            verdict: note.verdict.word(),
            reason,
            no_page_view: note.reasons.no_page_view.map(|reason| reason.word()),
            exclusion: note.exclusion,
            bot,
            identity: note.reasons.identity.word(),
            visitor_id: note.identity.map(|identity| identity.visitor_id),
            session: note.reasons.session.word(),
            session_id: note.identity.map(|identity| identity.session_id),
            session_number: note.identity.map(|identity| identity.session_number),
            cookie: note.reasons.cookie.word(),
            evidence: note.reasons.evidence.word(),
            touch,
            actions: note.actions,
            journal: note.journal.word(),
            why,
        }
    }
}

fn time_of(unix_ms: u64, zone: &TimeZone) -> String {
    let instant = i64::try_from(unix_ms).ok().and_then(|unix_ms| Timestamp::from_millisecond(unix_ms).ok());
    rfc3339(instant.unwrap_or_default(), zone)
}

/// Sentences, the most important first.
fn why(note: &Note, came: Option<&Came>) -> Vec<String> {
    let mut why = Vec::new();
    let mut say = |sentence: String| why.push(sentence);
    let reasons = &note.reasons;
    match note.verdict {
        Verdict::PageView => say("counted as a page view".to_owned()),
        Verdict::Recorded => say("recorded, but not as a page view".to_owned()),
        Verdict::Counted => say("only counted".to_owned()),
        Verdict::NotRecorded(_) => say("not recorded".to_owned()),
    }
    if reasons.bot.score > 0 {
        let words: Vec<&str> = bot::words(reasons.bot.reasons).collect();
        say(format!("bot score {} of 100: {} ({})", reasons.bot.score, words.join(", "), reasons.bot.bot));
    }
    if note.verdict == Verdict::NotRecorded(Some(Ignored::Asset)) {
        say("its extension is a static file's".to_owned());
    }
    if reasons.identity == IdentityStep::Denied {
        say("nobody's: Sec-GPC: 1 or the consent cookie denies being known".to_owned());
    }
    if let Some(exclusion) = &note.exclusion {
        say(format!("the exclusion {exclusion} holds"));
    }
    if let Some(reason) = reasons.no_page_view.filter(|_| note.verdict != Verdict::PageView) {
        say(format!("no page view: {}", reason.sentence()));
    }
    if let Some(refusal) = reasons.cookie.refusal() {
        say(format!("no cookie: {refusal}"));
    }
    if let Some(came) = came {
        let source = came.source.as_deref().unwrap_or("(none)");
        let medium = came.medium.as_deref().unwrap_or("(none)");
        let from = came.inferred_from.map(|name| format!(", inferred from {name}")).unwrap_or_default();
        say(format!("came from {source} / {medium}{from}"));
    }
    if note.journal.word() == Some("dropped") {
        say("there was no room for its record".to_owned());
    }
    why
}
