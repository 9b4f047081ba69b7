//! Decides, when the response's head is there, what is recorded and whether a cookie is set.

use http::StatusCode;
use http::header::{HeaderMap, HeaderValue};
use uuid::Uuid;

use super::bot::{self, Verdict};
use super::consent::Standing;
use super::cookie::{self, NoCookie, VisitorCookie};
use super::origin::Origin;
use super::reasons::{CookieStep, EvidenceStep, IdentityStep, NoPageView, Reasons};
use super::response::Answer;
use super::{Fired, Ignored, Observation, ResponseHead, Rules, Secrets, X_UTM_EVENT, event};
use crate::exclusion::{self, Rule};
use crate::hit::{Action, Hit, Identity, Record, Touch, findings};

/// A cookie is refreshed at most this often, seconds.
const REFRESH_S: u32 = 60;

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
pub(super) fn reduce_to_order(action: &mut Action<'_>) {
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
