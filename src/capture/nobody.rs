//! What is recorded of whoever is nobody: bots, servers that report, who denies being known, and who is excluded.

use std::borrow::Cow;

use http::{HeaderValue, StatusCode};

use super::bot::Verdict;
use super::conclude::reduce_to_order;
use super::consent::Standing;
use super::origin::Origin;
use super::reasons::Reasons;
use super::response::Answer;
use super::{Conclusion, Ignored, Observation, Rules, bot, evidence, late_record};
use crate::config::IdentifyBy;
use crate::hit::{Action, BotCount, Hit, Record};

/// What is counted of who denies being known is counted by this time.
const QUARTER_MS: u64 = 900_000;

impl Observation {
    /// What later actions are recorded with that are nobody's, or of somebody who denies being known.
    pub(super) fn nobodys_hit(&self, site: &str, status: StatusCode, denied: bool) -> Hit<'static> {
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
    pub(super) fn conclude_stranger<'a>(
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

    /// A hit of nobody: only its orders, or the count of its bot, are kept.
    pub(super) fn conclude_without_identity<'a>(
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
    pub(super) fn conclude_denied<'a>(
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
    pub(super) fn expired_cookie(&self, answer: &Answer, rules: &Rules) -> Option<HeaderValue> {
        let is_unwanted = self.standing == Standing::Denied || rules.identify_by == IdentifyBy::Cookieless;
        if !is_unwanted || rules.only_observes || answer.no_cookie.is_some() || !self.carries_cookie(rules) {
            return None;
        }
        rules.expire_cookie(&self.host(), self.https)
    }
}
