//! Whose a request is, and where it comes from: the cookie, the visit, the tags and the referrer.

use http::HeaderValue;
use uuid::Uuid;

use super::consent::Standing;
use super::cookie::{NoCookie, VisitorCookie};
use super::evidence::{Evidence, Referrer};
use super::identity::Visit;
use super::{Observation, Rules, Secrets, host, identity};
use crate::hit::findings;

/// Where a request comes from.
#[derive(Default)]
pub(super) struct Origin<'a> {
    pub(super) evidence: Evidence<'a>,
    /// The referrer, when it is a page of others and no payment or sign-in.
    pub(super) external: Option<Referrer<'a>>,
    /// Whether the referrer is a page of the shop.
    pub(super) is_own: bool,
    /// Whether it comes back from a payment, a sign-in or another host of the shop: the session goes on.
    pub(super) holds: bool,
    /// [`findings`] bits.
    pub(super) findings: u32,
}

impl Observation {
    pub(super) fn own_cookie(&self, secrets: Secrets<'_>, rules: &Rules) -> Result<VisitorCookie, NoCookie> {
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
    pub(super) fn carries_cookie(&self, rules: &Rules) -> bool {
        self.cookies.iter().any(|field| rules.cookie_name.values(field.as_bytes()).next().is_some())
    }

    /// The visit of the cookie's visitor, else of the one minted now, else of somebody known for the day only.
    pub(super) fn visit(
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
    pub(super) fn origin<'a>(&'a self, cookie: Option<&VisitorCookie>, rules: &Rules) -> Origin<'a> {
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

    pub(super) fn cookieless_id(&self, secrets: Secrets<'_>) -> Uuid {
        let host = self.host();
        identity::cookieless_id(
            secrets.salt,
            self.client,
            self.agent_bytes(),
            host::registrable(&host).unwrap_or(&host),
        )
    }
}
