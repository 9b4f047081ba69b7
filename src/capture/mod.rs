//! Who came, from where, and what it means: pure functions of a request and its response.
//!
//! [`Observation::of`] takes from a request's head what will be needed, by reference count; [`Observation::conclude`]
//! decides, when the response's head is there, what is recorded and whether a cookie is set. Nothing here reads a
//! clock, draws a random number or does I/O: time, ids, salts and rules come in as arguments.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Uri};
use uuid::Uuid;

use crate::config::IdentifyBy;
use crate::erasure::ForgottenVisitors;
use crate::exclusion::{self, Exclusions, Rule};
use crate::hit::{Action, BotCount, Hit, Identity, Record, Touch, findings};
use crate::keys::KeyRing;
use crate::path;

pub mod actions;
pub mod bot;
pub mod consent;
pub mod cookie;
pub mod event;
pub mod evidence;
mod hints;
pub mod host;
pub mod identity;
pub mod mask;
pub mod query;
pub mod reasons;
pub mod registry;
mod response;
pub mod restore;
mod rules;

use bot::{Signs, Verdict};
use consent::Standing;
use cookie::{NoCookie, VisitorCookie};
use evidence::{Evidence, Referrer, cap_chars};
use hints::ClientHints;
use identity::Visit;
use reasons::{CookieStep, EvidenceStep, IdentityStep, NoPageView, Reasons};
use response::Answer;
pub use response::{CLIENT_CLOSED_REQUEST, may_set_cookie};
pub use rules::Rules;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The response field by which a shop tells what happened.
pub const X_UTM_EVENT: HeaderName = HeaderName::from_static("x-utm-event");

/// Longest user agent that is kept, in characters.
const USER_AGENT_CHARS: usize = 512;
/// Longest path that is kept, in characters.
const PATH_CHARS: usize = 1024;
/// Most marketing cookies of one hit.
const COOKIES: usize = 24;
/// A cookie is refreshed at most this often, seconds.
const REFRESH_S: u32 = 60;
/// What is counted of who denies being known is counted by this time.
const QUARTER_MS: u64 = 900_000;

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

/// What is made of a request and its response.
#[derive(Debug, Default)]
pub struct Conclusion<'a> {
    /// What goes into the journal.
    pub record: Option<Record<'a>>,
    /// The `Set-Cookie` line for the response.
    pub set_cookie: Option<HeaderValue>,
    /// Whether this was a page view.
    pub page_view: bool,
    /// Why nothing is recorded.
    pub ignored: Option<Ignored>,
    /// How it came to this.
    pub reasons: Reasons,
    /// What actions that the answer's body tells of are recorded with, by [`late_record`].
    pub later: Option<Box<Hit<'static>>>,
}

/// The record of actions that became known after the hit they belong to was recorded; none when nothing is left of them.
pub fn late_record<'a>(mut hit: Box<Hit<'a>>, actions: Vec<Action<'a>>) -> Option<Record<'a>> {
    hit.actions = actions;
    if hit.denied {
        hit.actions.iter_mut().for_each(reduce_to_order);
    }
    if hit.identity.is_none() {
        hit.actions.retain(Action::is_of_order);
    }
    (!hit.actions.is_empty()).then_some(Record::Hit(hit))
}

/// An action of somebody who denies being known: the shop's order, and nothing of whose it is.
fn reduce_to_order(action: &mut Action<'_>) {
    (action.product_id, action.product_name, action.properties) = (None, None, Vec::new());
    action.customer = Vec::new();
}

impl Conclusion<'_> {
    /// Whose the record is, or what is recorded later.
    pub fn visitor(&self) -> Option<Uuid> {
        let hit = match &self.record {
            Some(Record::Hit(hit)) => hit.identity,
            _ => self.later.as_ref().and_then(|hit| hit.identity),
        };
        hit.map(|identity| identity.visitor_id)
    }

    /// Leaves of the record only orders, since a rule excludes the visitor.
    pub fn leave_out(&mut self, by: exclusion::Kind) {
        (self.set_cookie, self.page_view, self.ignored) = (None, false, Some(Ignored::Excluded));
        self.reasons = Reasons {
            no_page_view: self.reasons.no_page_view,
            excluded_by: Some(by),
            bot: self.reasons.bot,
            ..Reasons::default()
        };
        if let Some(hit) = &mut self.later {
            hit.leave_only_orders();
        }
        if let Some(Record::Hit(hit)) = &mut self.record {
            hit.leave_only_orders();
        }
        if self
            .record
            .as_ref()
            .is_some_and(|record| matches!(record, Record::Hit(hit) if hit.actions.is_empty()))
        {
            self.record = None;
        }
    }
}

impl Observation {
    /// Looks at a request's head. None for an asset that nothing can be learned from.
    pub fn of(
        method: &Method,
        target: &Uri,
        headers: &HeaderMap,
        arrival: Arrival,
        rules: &Rules,
    ) -> Option<Self> {
        let path = target.path();
        if rules.is_asset(path) {
            return None;
        }
        let fields = Fields::of(headers);
        let is_navigation = match fields.mode {
            Some(mode) => {
                mode == "navigate" && fields.destination.is_none_or(|destination| destination == "document")
            }
            None => fields.accept.is_some_and(|accept| contains(accept, b"text/html")),
        };
        let is_safe = method == Method::GET || method == Method::HEAD;
        let denies = rules.honours_gpc && fields.gpc.is_some_and(|value| value == "1");
        let no_page_view = if method != Method::GET {
            Some(NoPageView::Method)
        } else if fields.is_prefetch {
            Some(NoPageView::Prefetch)
        } else {
            (!is_navigation).then_some(NoPageView::NotANavigation)
        };
        Some(Self {
            at_ms: arrival.at_ms,
            client: arrival.client,
            https: arrival.https,
            target: target.clone(),
            host: fields.host.cloned(),
            user_agent: fields.user_agent.cloned(),
            client_hints: ClientHints {
                brands: fields.brands.cloned(),
                platform: fields.platform.cloned(),
                mobile: fields.mobile.is_some_and(|value| value == "?1"),
            },
            referer: fields.referer.cloned(),
            signs: Signs {
                accept_language: fields.accept_language.is_some(),
                sec_fetch: fields.mode.is_some(),
                headless_brand: fields.brands.is_some_and(|brands| contains(brands, b"Headless")),
                https: arrival.https,
            },
            is_get: method == Method::GET,
            is_safe,
            is_navigation: is_navigation && !fields.is_prefetch && method != Method::HEAD,
            may_be_new: is_safe || is_from_own_page(headers),
            standing: match Standing::of(&rules.identify_by, denies, &fields.cookies) {
                Standing::Known if rules.only_observes => Standing::Day,
                standing => standing,
            },
            is_from_within: fields.site.is_some_and(|site| site == "same-origin" || site == "same-site"),
            is_from_same_host: fields.site.is_some_and(|site| site == "same-origin"),
            cookies: fields.cookies,
            told: None,
            no_page_view,
            excluded_by: None,
            fetched_assets: false,
        })
    }

    /// Looks whether a rule excludes the request, and counts it.
    pub fn exclude(&mut self, exclusions: &Exclusions, rules: &Rules) {
        if exclusions.is_empty() {
            return;
        }
        let cookies: Vec<(&[u8], &[u8])> = if exclusions.needs_cookies() {
            self.cookies.iter().flat_map(|field| cookie::pairs(field.as_bytes())).collect()
        } else {
            Vec::new()
        };
        let path = self.target.path();
        let path = if exclusions.needs_path() { path::normalise(path) } else { Cow::Borrowed(path) };
        let rule = exclusions.find(&exclusion::Seen {
            address: self.client,
            user_agent: self.agent_bytes(),
            host: &self.host(),
            path: &path,
            path_without_locale: rules.without_locale(&path),
            cookies: &cookies,
        });
        let rule = rule.cloned().inspect(|rule| rule.count());
        self.excluded_by = rule;
    }

    /// Notes whether files of pages were fetched from the same address lately.
    pub fn note_assets(&mut self, fetched: bool) {
        self.fetched_assets = fetched;
    }

    /// The value of the rule that excludes the request.
    pub fn exclusion(&self) -> Option<&str> {
        self.excluded_by.as_deref().map(Rule::value)
    }

    /// When the request came, Unix milliseconds.
    pub fn at_ms(&self) -> u64 {
        self.at_ms
    }

    /// Visitor, session and evidence of this request, as far as the request alone says: for telling the shop. Whoever
    /// navigates without a cookie is told as a new visitor and is recorded as that one, unless the response is one
    /// that takes no cookie.
    pub fn preview(
        &mut self,
        secrets: Secrets<'_>,
        rules: &Rules,
        mint: impl FnOnce() -> Uuid,
    ) -> Option<(Identity, Option<Touch<'_>>)> {
        let is_nobody = self.excluded_by.is_some() || self.judge().is_certain();
        if is_nobody || self.standing == Standing::Denied {
            return None;
        }
        let cookie = self.own_cookie(secrets, rules).ok();
        if cookie.is_none() && !self.may_be_new {
            return None;
        }
        let is_new =
            cookie.is_none() && self.standing == Standing::Known && self.is_get && self.is_navigation;
        self.told = is_new.then(mint);
        let Origin { evidence, external, holds, .. } = self.origin(cookie.as_ref(), rules);
        let visit = self.visit(cookie.as_ref(), &evidence, holds, self.told, secrets, rules);
        Some((visit.identity, evidence.touch(external)))
    }

    /// Decides what is recorded and which cookie is set. `mint` gives a new visitor id; it is called at most once.
    pub fn conclude<'a>(
        &'a self,
        site: &'a str,
        response: ResponseHead<'a>,
        fired: Fired,
        secrets: Secrets<'_>,
        rules: &Rules,
        mint: impl FnOnce() -> Uuid,
    ) -> Conclusion<'a> {
        let ResponseHead { status, headers, trust_events } = response;
        let Fired { awaits_body, webhook, .. } = fired;
        let actions = self.all_actions(headers, trust_events, fired.actions, rules);
        let verdict = self.judge();
        let answer = Answer::of(status, headers, self.at_ms);
        let mut reasons = self.first_reasons(&answer, verdict, fired.page_view);
        let is_nobody = self.excluded_by.is_some() || verdict.is_certain() || webhook;
        if is_nobody || self.standing == Standing::Denied {
            let set_cookie = self.expired_cookie(&answer, rules);
            reasons.cookie = set_cookie.as_ref().map_or(CookieStep::NotDue, |_| CookieStep::Expired);
            let later = awaits_body.then(|| Box::new(self.nobodys_hit(site, status, !is_nobody)));
            let conclusion = if webhook && self.excluded_by.is_none() {
                self.conclude_stranger(site, status, actions, awaits_body)
            } else if is_nobody {
                self.conclude_without_identity(site, status, actions, verdict)
            } else {
                reasons.identity = IdentityStep::Denied;
                self.conclude_denied(site, status, &reasons, actions, rules)
            };
            return Conclusion { set_cookie, reasons, later, ..conclusion };
        }
        let page_view = reasons.no_page_view.is_none();
        let is_recorded_anyway = page_view || !actions.is_empty();
        let is_activity = is_recorded_anyway || awaits_body;
        let nothing = Conclusion { ignored: Some(Ignored::NoPage), ..Conclusion::default() };
        if !(is_activity || self.is_navigation || !self.is_safe) {
            return Conclusion { reasons, ..nothing };
        }

        let found = self.own_cookie(secrets, rules);
        let cookie = found.ok();
        if cookie.is_none() && !self.may_be_new {
            // A bank, or a browser that it sent: an order told by one is of nobody until another request tells whose it is.
            return Conclusion { reasons, ..self.conclude_stranger(site, status, actions, awaits_body) };
        }
        let Origin { evidence, external, holds, findings, .. } = self.origin(cookie.as_ref(), rules);
        let answers_navigation =
            self.is_navigation && (page_view || answer.is_redirect_or_error || !evidence.is_empty());
        if !(is_activity || answers_navigation || (!self.is_safe && cookie.is_some())) {
            return Conclusion { reasons, ..nothing };
        }
        let may_be_given = self.standing == Standing::Known && answer.no_cookie.is_none();
        let is_new = cookie.is_none() && may_be_given && self.may_be_new;
        let minted = is_new.then(|| self.told.unwrap_or_else(mint));
        let mut visit = self.visit(cookie.as_ref(), &evidence, holds, minted, secrets, rules);
        (reasons.session, reasons.identity) = (visit.step, identity_step(found, is_new));
        let within = if external.is_some() && !visit.begins { findings::OPEN_SESSION } else { 0 };
        let tells_nothing = evidence.tells_nothing() && external.is_none();
        let told = if tells_nothing { EvidenceStep::None } else { EvidenceStep::Known };
        let touch = if visit.begins { evidence.touch(external) } else { None };
        reasons.evidence = touch.as_ref().map_or(told, |_| EvidenceStep::Touch);
        let is_recorded = is_recorded_anyway || (touch.is_some() && (answers_navigation || awaits_body));
        let link_is_due = is_new || cookie.is_some_and(|cookie| cookie.flags & cookie::UNRECORDED != 0);
        if link_is_due && (is_recorded || awaits_body) {
            visit.identity.minted_from = Some(self.cookieless_id(secrets));
        }

        let given = visit.cookie.map(|new| VisitorCookie {
            flags: if link_is_due && !is_recorded { cookie::UNRECORDED } else { 0 },
            ..new
        });
        reasons.cookie = match (answer.no_cookie, &given) {
            (Some(refused), _) => refused,
            (None, None) if self.standing == Standing::Day => CookieStep::Unwanted,
            (None, None) => CookieStep::ForeignPage,
            (None, Some(_)) if visit.begins && !(is_activity || answers_navigation) => CookieStep::NotDue,
            (None, Some(_)) if visit.begins => CookieStep::Set,
            (None, Some(new)) => self.refresh(cookie.as_ref(), new, is_activity),
        };
        let expired = self.expired_cookie(&answer, rules);
        reasons.cookie = expired.as_ref().map_or(reasons.cookie, |_| CookieStep::Expired);
        let set_cookie = given
            .filter(|_| matches!(reasons.cookie, CookieStep::Set | CookieStep::Refreshed))
            .and_then(|new| rules.set_cookie(&new.encode(secrets.keys), &self.host(), self.https))
            .or(expired);
        let later =
            awaits_body.then(|| Box::new(self.late_hit(site, status, visit.identity, verdict, rules)));
        let record = is_recorded.then(|| {
            let hit = self.hit(site, status, page_view, Some(visit.identity), touch, actions, verdict, rules);
            Record::Hit(Box::new(Hit { findings: findings | within, ..hit }))
        });
        let ignored = record.is_none().then_some(Ignored::NoPage);
        Conclusion { record, set_cookie, page_view, ignored, reasons, later }
    }

    /// What the shop says, if it is believed, and what rules see. Where both tell of an action of one type, the shop
    /// knows better.
    fn all_actions<'a>(
        &'a self,
        headers: &'a HeaderMap,
        trust_events: bool,
        fired: Vec<Action<'static>>,
        rules: &Rules,
    ) -> Vec<Action<'a>> {
        let mut actions: Vec<Action<'a>> = if trust_events {
            let lines = headers.get_all(X_UTM_EVENT).iter();
            lines.filter_map(|line| Some(rules.redacted_action(event::read(line.as_bytes())?))).collect()
        } else {
            Vec::new()
        };
        let told = actions.len();
        for action in fired {
            if actions[..told].iter().all(|known| known.kind != action.kind) {
                actions.push(self.kept(action, rules));
            }
        }
        actions
    }

    /// An action of a rule, with as much of it as may be kept.
    pub fn kept<'a>(&self, mut action: Action<'a>, rules: &Rules) -> Action<'a> {
        if !self.standing.keeps_personal() {
            action.customer = Vec::new();
        }
        rules.redacted_action(action)
    }

    /// Whether the browser fetches it before anybody wants it.
    pub fn is_prefetch(&self) -> bool {
        self.no_page_view == Some(NoPageView::Prefetch)
    }

    /// What later actions of a known visitor are recorded with.
    fn late_hit(
        &self,
        site: &str,
        status: StatusCode,
        identity: Identity,
        verdict: Verdict,
        rules: &Rules,
    ) -> Hit<'static> {
        Hit {
            identity: Some(identity),
            client_address: rules.stores_address.then_some(self.client),
            user_agent: self.user_agent().into_owned().into(),
            client_hints: self.client_hints.beyond(self.agent_bytes()),
            bot_score: verdict.score,
            bot_reasons: verdict.reasons,
            bot_rules: bot::RULES_VERSION,
            fetched_assets: self.fetched_assets,
            ..self.nobodys_hit(site, status, false)
        }
    }

    /// What later actions are recorded with that are nobody's, or of somebody who denies being known.
    fn nobodys_hit(&self, site: &str, status: StatusCode, denied: bool) -> Hit<'static> {
        let of_place = |text: Cow<'_, str>| if denied { "".into() } else { text.into_owned().into() };
        Hit {
            at_ms: self.at_ms,
            site: site.to_owned().into(),
            host: of_place(self.host()),
            path: of_place(self.path()),
            status: status.as_u16(),
            denied,
            ..Hit::default()
        }
    }

    /// No visitor and no bot: a server that reports, or whoever comes from elsewhere without a cookie and to send something.
    /// Of whom the orders are that it tells, others will say.
    fn conclude_stranger<'a>(
        &'a self,
        site: &'a str,
        status: StatusCode,
        actions: Vec<Action<'a>>,
        awaits_body: bool,
    ) -> Conclusion<'a> {
        let later = awaits_body.then(|| Box::new(self.nobodys_hit(site, status, false)));
        let record = late_record(Box::new(self.nobodys_hit(site, status, false)), actions);
        let ignored = record.is_none().then_some(Ignored::NoPage);
        Conclusion { record, ignored, later, ..Conclusion::default() }
    }

    /// What becomes of the cookie of a session that goes on.
    fn refresh(&self, old: Option<&VisitorCookie>, new: &VisitorCookie, is_activity: bool) -> CookieStep {
        let changes = old.is_none_or(|old| {
            new.active_s >= old.active_s.saturating_add(REFRESH_S) || new.flags != old.flags
        });
        match (is_activity || !self.is_safe, changes) {
            (false, _) => CookieStep::NotDue,
            (true, true) => CookieStep::Refreshed,
            (true, false) => CookieStep::Fresh,
        }
    }

    /// What is known before anybody's identity is.
    /// With `is_told`, a rule says that it is a page view.
    fn first_reasons(&self, answer: &Answer, bot: Verdict, is_told: bool) -> Reasons {
        let no_page_view = self
            .no_page_view
            .or(answer.no_page)
            .filter(|reason| !is_told || matches!(reason, NoPageView::Prefetch | NoPageView::ClientGone));
        Reasons {
            no_page_view,
            excluded_by: self.excluded_by.as_deref().map(Rule::kind),
            bot,
            ..Reasons::default()
        }
    }

    /// A hit of nobody: only its orders, or the count of its bot, are kept.
    fn conclude_without_identity<'a>(
        &'a self,
        site: &'a str,
        status: StatusCode,
        mut actions: Vec<Action<'a>>,
        verdict: Verdict,
    ) -> Conclusion<'a> {
        actions.retain(Action::is_of_order);
        let record = if !actions.is_empty() {
            let mut hit =
                Hit { at_ms: self.at_ms, site: site.into(), status: status.as_u16(), ..Hit::default() };
            hit.host = self.host();
            hit.path = self.path();
            hit.actions = actions;
            Some(Record::Hit(Box::new(hit)))
        } else if self.excluded_by.is_none() {
            Some(Record::BotCount(BotCount {
                at_ms: self.at_ms,
                site: site.into(),
                bot: verdict.bot.into(),
                reasons: verdict.reasons,
                rules: bot::RULES_VERSION,
            }))
        } else {
            None
        };
        let is_hit = matches!(record, Some(Record::Hit(_)));
        let reason = self.excluded_by.as_ref().map_or(Ignored::Bot, |_| Ignored::Excluded);
        let ignored = (!is_hit).then_some(reason);
        Conclusion { record, ignored, ..Conclusion::default() }
    }

    /// A hit of somebody who denies being known: a page view, a landing or an order, to be counted.
    fn conclude_denied<'a>(
        &'a self,
        site: &'a str,
        status: StatusCode,
        reasons: &Reasons,
        mut actions: Vec<Action<'a>>,
        rules: &Rules,
    ) -> Conclusion<'a> {
        let page_view = reasons.no_page_view.is_none();
        actions.retain(Action::is_of_order);
        actions.iter_mut().for_each(reduce_to_order);
        if !page_view && actions.is_empty() {
            return Conclusion { ignored: Some(Ignored::NoPage), ..Conclusion::default() };
        }
        let Origin { evidence, external, is_own, .. } = self.origin(None, rules);
        let landing = page_view && !is_own && !self.is_from_within;
        let touch = if landing { evidence.touch(external).map(evidence::nameless) } else { None };
        // An order is the shop's, with its time; of all else the quarter of an hour is enough.
        let at_ms = if actions.is_empty() { self.at_ms - self.at_ms % QUARTER_MS } else { self.at_ms };
        let hit = Hit {
            at_ms,
            site: site.into(),
            status: status.as_u16(),
            page_view,
            touch,
            actions,
            denied: true,
            landing,
            ..Hit::default()
        };
        Conclusion { record: Some(Record::Hit(Box::new(hit))), page_view, ..Conclusion::default() }
    }

    /// Takes our cookie from a browser that must not have it.
    fn expired_cookie(&self, answer: &Answer, rules: &Rules) -> Option<HeaderValue> {
        let is_unwanted = self.standing == Standing::Denied || rules.identify_by == IdentifyBy::Cookieless;
        if !is_unwanted || rules.only_observes || answer.no_cookie.is_some() || !self.carries_cookie(rules) {
            return None;
        }
        rules.expire_cookie(&self.host(), self.https)
    }

    #[allow(clippy::too_many_arguments, reason = "a hit has as many parts")]
    fn hit<'a>(
        &'a self,
        site: &'a str,
        status: StatusCode,
        page_view: bool,
        identity: Option<Identity>,
        touch: Option<Touch<'a>>,
        actions: Vec<Action<'a>>,
        verdict: Verdict,
        rules: &Rules,
    ) -> Hit<'a> {
        Hit {
            at_ms: self.at_ms,
            site: site.into(),
            host: self.host(),
            path: self.path(),
            status: status.as_u16(),
            page_view,
            identity,
            touch,
            client_address: rules.stores_address.then_some(self.client),
            user_agent: self.user_agent(),
            client_hints: self.client_hints.beyond(self.agent_bytes()),
            cookies: self.marketing_cookies(rules),
            actions,
            bot_score: verdict.score,
            bot_reasons: verdict.reasons,
            bot_rules: bot::RULES_VERSION,
            fetched_assets: self.fetched_assets,
            ..Hit::default()
        }
    }

    fn judge(&self) -> Verdict {
        let path = path::normalise_ascii(self.target.path());
        bot::judge(self.agent_bytes(), path.as_bytes(), self.signs)
    }

    fn own_cookie(&self, secrets: Secrets<'_>, rules: &Rules) -> Result<VisitorCookie, NoCookie> {
        if self.standing != Standing::Known {
            return Err(NoCookie::Absent);
        }
        let now_s = identity::seconds(self.at_ms);
        let fields = self.cookies.iter().map(HeaderValue::as_bytes);
        VisitorCookie::find(fields, &rules.cookie_name, secrets.keys, now_s).and_then(|cookie| {
            if secrets.forgotten.contains(cookie.visitor_id) { Err(NoCookie::Invalid) } else { Ok(cookie) }
        })
    }

    /// Whether there is a cookie of our name, be it good or not.
    fn carries_cookie(&self, rules: &Rules) -> bool {
        let mut names = self.cookies.iter().flat_map(|field| cookie::pairs(field.as_bytes()));
        names.any(|(name, _)| name == rules.cookie_name.as_bytes())
    }

    /// The visit of the cookie's visitor, else of the one minted now, else of somebody known for the day only.
    fn visit(
        &self,
        cookie: Option<&VisitorCookie>,
        evidence: &Evidence<'_>,
        holds: bool,
        minted: Option<Uuid>,
        secrets: Secrets<'_>,
        rules: &Rules,
    ) -> Visit {
        let keys = secrets.keys;
        match (cookie, minted) {
            (Some(cookie), _) => {
                Visit::known(cookie, evidence, holds, rules.session_timeout_s, keys, self.at_ms)
            }
            (None, Some(visitor_id)) => Visit::minted(visitor_id, evidence, keys, self.at_ms),
            (None, None) => Visit::cookieless(self.cookieless_id(secrets), keys, self.at_ms),
        }
    }

    /// Where this request comes from: its tags and its external referrer, where somebody navigates by GET.
    ///
    /// Tags on a link inside the shop are no evidence while a session is open, which it is too where a page of the same
    /// host has the link and the browser has no cookie. Where there is no referrer, `Sec-Fetch-Site` tells of the page.
    fn origin<'a>(&'a self, cookie: Option<&VisitorCookie>, rules: &Rules) -> Origin<'a> {
        let referrer = self.referrer();
        let host = self.host();
        // A page that keeps its address to itself: the browser still says whose it is.
        let is_silent = referrer.is_none();
        let is_same_host = referrer.as_ref().map_or(self.is_from_same_host, |referrer| referrer.host == host);
        let is_own = is_same_host
            || referrer
                .as_ref()
                .map_or(self.is_from_within, |referrer| host::same_owner(&referrer.host, &host));
        let is_excluded =
            !is_own && referrer.as_ref().is_some_and(|referrer| rules.is_excluded_referrer(&referrer.host));
        // Who comes from another host of the shop by a link with tags of its own has followed a campaign.
        let is_from_beside = is_own && !is_same_host;
        let mut origin = Origin { is_own, holds: is_excluded || is_from_beside, ..Origin::default() };
        if !(self.is_get && self.is_navigation) {
            return origin;
        }
        let now_s = identity::seconds(self.at_ms);
        // Without a cookie it may be the landing asked for again, as banners have it once they have their answer.
        let may_be_landing = is_silent && self.standing == Standing::Known;
        let is_open = cookie.map_or(is_same_host && !may_be_landing, |cookie| {
            now_s.saturating_sub(cookie.active_s) < rules.session_timeout_s
        });
        let read = |query: &'a str| {
            let keeps_personal = self.standing.keeps_personal();
            Evidence::read(query.as_bytes(), &rules.registry, &rules.redact, keeps_personal)
        };
        match self.target.query() {
            Some(query) if is_own && is_open => {
                let is_landing = |cookie: &VisitorCookie| {
                    is_silent && !read(query).is_new_to(cookie.campaign_hash, cookie.click_hash)
                };
                if rules.registry.has_tags(query.as_bytes()) && !cookie.is_some_and(is_landing) {
                    origin.findings |= findings::TAGS_ON_OWN_LINK;
                }
            }
            Some(query) => {
                origin.evidence = read(query);
                origin.holds = is_excluded || (is_from_beside && origin.evidence.is_empty());
            }
            None => {}
        }
        if origin.holds {
            origin.findings |= if is_excluded { findings::RETURN } else { findings::OWN_HOST };
        }
        origin.external = referrer.filter(|_| !is_own && !is_excluded);
        origin
    }

    fn referrer(&self) -> Option<Referrer<'_>> {
        self.referer.as_ref().and_then(|value| Referrer::read(value.as_bytes()))
    }

    fn cookieless_id(&self, secrets: Secrets<'_>) -> Uuid {
        let host = self.host();
        identity::cookieless_id(
            secrets.salt,
            self.client,
            self.agent_bytes(),
            host::registrable(&host).unwrap_or(&host),
        )
    }

    fn host(&self) -> Cow<'_, str> {
        self.host.as_ref().and_then(|host| host.to_str().ok()).map_or(Cow::Borrowed(""), host::host_of)
    }

    /// The path as it is stored.
    fn path(&self) -> Cow<'_, str> {
        cap_chars(mask::path(self.target.path()), PATH_CHARS).0
    }

    fn agent_bytes(&self) -> &[u8] {
        self.user_agent.as_ref().map_or(&[], HeaderValue::as_bytes)
    }

    fn user_agent(&self) -> Cow<'_, str> {
        let bytes = self.agent_bytes();
        // The lossy way goes byte by byte.
        let text = std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed);
        cap_chars(text, USER_AGENT_CHARS).0
    }

    fn marketing_cookies<'a>(&'a self, rules: &Rules) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
        let mut found: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
        if !self.standing.keeps_personal() {
            return found;
        }
        for (name, value) in self.cookies.iter().flat_map(|field| cookie::pairs(field.as_bytes())) {
            if !rules.records_cookie(name) || found.len() == COOKIES {
                continue;
            }
            let (name, value) = (evidence::clean(name).0, evidence::clean(value).0);
            if !value.is_empty() && found.iter().all(|(other, _)| *other != name) {
                found.push((name, value));
            }
        }
        found
    }
}

/// How the visitor came to be known, by the cookie that was found.
fn identity_step(found: Result<VisitorCookie, NoCookie>, is_new: bool) -> IdentityStep {
    match found {
        Ok(_) => IdentityStep::Known,
        Err(_) if !is_new => IdentityStep::Cookieless,
        Err(NoCookie::Absent) => IdentityStep::Minted,
        Err(NoCookie::Invalid) => IdentityStep::Replaced,
    }
}

/// Where a request comes from.
#[derive(Default)]
struct Origin<'a> {
    evidence: Evidence<'a>,
    /// The referrer, when it is a page of others and no payment or sign-in.
    external: Option<Referrer<'a>>,
    /// Whether the referrer is a page of the shop.
    is_own: bool,
    /// Whether it comes back from a payment, a sign-in or another host of the shop: the session goes on.
    holds: bool,
    /// [`findings`] bits.
    findings: u32,
}

/// What is looked at of a request's fields, found in one pass: a lookup of each would hash a name each. Of a field that
/// stands there more than once the first counts.
#[derive(Default)]
struct Fields<'a> {
    host: Option<&'a HeaderValue>,
    user_agent: Option<&'a HeaderValue>,
    referer: Option<&'a HeaderValue>,
    accept: Option<&'a HeaderValue>,
    accept_language: Option<&'a HeaderValue>,
    mode: Option<&'a HeaderValue>,
    destination: Option<&'a HeaderValue>,
    gpc: Option<&'a HeaderValue>,
    brands: Option<&'a HeaderValue>,
    platform: Option<&'a HeaderValue>,
    mobile: Option<&'a HeaderValue>,
    site: Option<&'a HeaderValue>,
    cookies: Vec<HeaderValue>,
    is_prefetch: bool,
}

impl<'a> Fields<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let mut found = Self::default();
        for (name, value) in headers {
            let slot = match name.as_str() {
                "host" => &mut found.host,
                "user-agent" => &mut found.user_agent,
                "referer" => &mut found.referer,
                "accept" => &mut found.accept,
                "accept-language" => &mut found.accept_language,
                "sec-fetch-mode" => &mut found.mode,
                "sec-fetch-dest" => &mut found.destination,
                "sec-gpc" => &mut found.gpc,
                "sec-ch-ua" => &mut found.brands,
                "sec-ch-ua-platform" => &mut found.platform,
                "sec-ch-ua-mobile" => &mut found.mobile,
                "sec-fetch-site" => &mut found.site,
                "cookie" => {
                    found.cookies.push(value.clone());
                    continue;
                }
                "sec-purpose" | "purpose" | "x-moz" => {
                    let words = [b"prefetch".as_slice(), b"prerender", b"preview"];
                    found.is_prefetch |= words.iter().any(|word| contains(value, word));
                    continue;
                }
                _ => continue,
            };
            slot.get_or_insert(value);
        }
        found
    }
}

/// Whether a page of the shop had the browser send this. A request that another site had it POST (a payment, a sign-in)
/// comes without our SameSite=Lax cookie; a new one would replace the visitor's.
fn is_from_own_page(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return site == "same-origin" || site == "same-site";
    }
    let origin = headers.get(header::ORIGIN).and_then(|origin| Referrer::read(origin.as_bytes()));
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    origin.zip(host).is_some_and(|(origin, host)| host::same_owner(&origin.host, &host::host_of(host)))
}

fn contains(value: &HeaderValue, word: &[u8]) -> bool {
    memchr::memmem::find(value.as_bytes(), word).is_some()
}

#[cfg(test)]
mod tests;
