//! The configuration of capture, made ready for the request path.

use std::borrow::Cow;
use std::collections::HashSet;

use http::{HeaderValue, Uri};

use super::cookie::CookieName;
use super::evidence::{Evidence, REDACTED, Referrer};
use super::host::{is_within, registrable, same_owner};
use super::mask;
use super::query::{NamePatterns, decode_name};
use super::registry::{Kind, Registry};
use crate::config::{CookieDomain, IdentifyBy, StoreIp, Tracking, TrackingMode};
use crate::hit::{Action, Touch};

/// The parameters that every campaign has.
const UTM: [&[u8]; 6] =
    [b"utm_source", b"utm_medium", b"utm_campaign", b"utm_content", b"utm_term", b"utm_id"];

/// What capture goes by; one for all routes.
#[derive(Debug, Clone)]
pub struct Rules {
    pub(super) cookie_name: CookieName,
    pub(super) session_timeout_s: u32,
    pub(super) stores_address: bool,
    pub(super) registry: Registry,
    pub(super) redact: NamePatterns,
    pub(super) identify_by: IdentifyBy,
    pub(super) honours_gpc: bool,
    /// Whether the traffic is left as it is.
    pub(super) only_observes: bool,
    domain: CookieDomain,
    max_age_s: u64,
    assets: HashSet<String>,
    locales: Vec<String>,
    excluded_referrers: Vec<String>,
    marketing_cookies: CookieNames,
}

impl Rules {
    /// Compiles the configuration.
    pub fn new(tracking: &Tracking) -> Self {
        let lower = |list: &[String]| list.iter().map(|text| text.to_ascii_lowercase()).collect::<Vec<_>>();
        Self {
            cookie_name: CookieName::new(&tracking.identity.cookie),
            session_timeout_s: u32::try_from(tracking.identity.session_timeout.as_secs()).unwrap_or(u32::MAX),
            stores_address: tracking.privacy.store_ip != StoreIp::None,
            registry: Registry::with(&tracking.parameters),
            redact: NamePatterns::new(tracking.privacy.redact_parameters.iter().map(String::as_str)),
            identify_by: tracking.identity.mode.clone(),
            honours_gpc: tracking.identity.honour_gpc,
            only_observes: tracking.mode == TrackingMode::Observe,
            domain: tracking.identity.domain.clone(),
            max_age_s: tracking.identity.max_age.as_secs(),
            assets: lower(&tracking.static_extensions).into_iter().collect(),
            locales: lower(&tracking.locale_prefixes),
            excluded_referrers: lower(&tracking.attribution.referrer_exclusions),
            marketing_cookies: CookieNames::new(&tracking.cookies),
        }
    }

    /// Whether click ids and cookies that tell of a person are kept of anybody.
    pub fn keeps_personal(&self) -> bool {
        !matches!(self.identify_by, IdentifyBy::Cookieless)
    }

    /// The touch of a landing on `host` that another system recorded: its tags and click ids as a query, and its referrer,
    /// unless that is the shop's own, a payment or a sign-in.
    pub fn touch_of(&self, query: &str, referrer: Option<&str>, host: &str) -> Option<Touch<'static>> {
        let referrer = referrer.and_then(|referrer| Referrer::read(referrer.as_bytes()));
        let external = referrer.filter(|referrer| {
            !(referrer.host == host
                || same_owner(&referrer.host, host)
                || self.is_excluded_referrer(&referrer.host))
        });
        let evidence = Evidence::read(query.as_bytes(), &self.registry, &self.redact, self.keeps_personal());
        evidence.touch(external).map(Touch::into_owned)
    }

    /// Whether a path names a file that is no page, by its extension.
    pub(super) fn is_asset(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or_default();
        let Some((_, extension)) = name.rsplit_once('.') else { return false };
        if extension.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return self.assets.contains(&extension.to_ascii_lowercase());
        }
        self.assets.contains(extension)
    }

    /// A target as it may be shown: values only of parameters that are recorded and tell of nobody.
    pub fn shown(&self, target: &Uri) -> String {
        mask::target(target, |raw| {
            let mut buffer = [0; 64];
            let Some(name) = decode_name(raw, &mut buffer) else { return false };
            let is_known = UTM.contains(&name)
                || self.registry.find(name).is_some_and(|parameter| {
                    !parameter.is_personal && !matches!(parameter.kind, Kind::ClickId | Kind::Sign)
                });
            is_known && !self.redact.matches(raw)
        })
    }

    /// An action without the values that are not to be stored.
    pub(super) fn redacted_action<'a>(&self, mut action: Action<'a>) -> Action<'a> {
        for (name, value) in &mut action.properties {
            if !self.redact.is_empty() && self.redact.matches(name.as_bytes()) {
                *value = Cow::Borrowed(REDACTED);
            }
        }
        action
    }

    /// A path without the language in front of it.
    pub(super) fn without_locale<'a>(&self, path: &'a str) -> &'a str {
        without_locale(&self.locales, path)
    }

    /// Whether a referrer is a payment or sign-in host.
    pub(super) fn is_excluded_referrer(&self, host: &str) -> bool {
        self.excluded_referrers.iter().any(|domain| is_within(host, domain))
    }

    /// Whether a cookie is a marketing cookie.
    pub(super) fn records_cookie(&self, name: &[u8]) -> bool {
        self.marketing_cookies.hold(name)
    }

    /// The name of the visitor's cookie.
    pub fn cookie_name(&self) -> &CookieName {
        &self.cookie_name
    }

    /// The `Set-Cookie` line (RFC 6265) that gives the cookie its value.
    pub(super) fn set_cookie(&self, value: &str, host: &str, https: bool) -> Option<HeaderValue> {
        self.cookie_line(value, self.max_age_s, host, https)
    }

    /// The `Set-Cookie` line that takes the cookie away.
    pub(super) fn expire_cookie(&self, host: &str, https: bool) -> Option<HeaderValue> {
        self.cookie_line("", 0, host, https)
    }

    fn cookie_line(&self, value: &str, max_age_s: u64, host: &str, https: bool) -> Option<HeaderValue> {
        let domain = match &self.domain {
            CookieDomain::Host => None,
            CookieDomain::Auto => registrable(host),
            CookieDomain::Literal(domain) => Some(domain.as_str()),
        };
        let name = self.cookie_name.as_str();
        let mut line = format!("{name}={value}; Path=/; Max-Age={max_age_s}");
        if let Some(domain) = domain {
            line.push_str("; Domain=");
            line.push_str(domain);
        }
        line.push_str(if https { "; HttpOnly; Secure; SameSite=Lax" } else { "; HttpOnly; SameSite=Lax" });
        HeaderValue::try_from(line).ok()
    }
}

/// A path without one of the languages in front of it.
pub(super) fn without_locale<'a>(locales: &[String], path: &'a str) -> &'a str {
    let rest = path.strip_prefix('/').unwrap_or(path);
    let (first, end) = rest.split_once('/').map_or((rest, path.len()), |(first, _)| (first, first.len() + 1));
    if locales.iter().any(|locale| first.eq_ignore_ascii_case(locale)) { &path[end..] } else { path }
}

/// Names, or beginnings of names. Most cookies of a shop are none of them: what the first bytes of a name rule out costs
/// three looks into a table.
#[derive(Debug, Clone)]
struct CookieNames {
    /// The name, and whether it is only the beginning of one.
    names: Vec<(Box<[u8]>, bool)>,
    /// By place and byte: a bit for each name that has that byte there, or is shorter.
    may_be: Box<[[u64; 256]; 3]>,
}

impl CookieNames {
    /// Up to 64 names; the configuration has no more.
    fn new(patterns: &[String]) -> Self {
        let names: Vec<(Box<[u8]>, bool)> = patterns
            .iter()
            .take(64)
            .map(|pattern| match pattern.strip_suffix('*') {
                Some(stem) => (stem.as_bytes().into(), true),
                None => (pattern.as_bytes().into(), false),
            })
            .collect();
        let mut may_be = Box::new([[0; 256]; 3]);
        for (index, (name, _)) in names.iter().enumerate() {
            for (place, bytes) in may_be.iter_mut().enumerate() {
                match name.get(place) {
                    Some(byte) => bytes[usize::from(*byte)] |= 1 << index,
                    None => bytes.iter_mut().for_each(|bits| *bits |= 1 << index),
                }
            }
        }
        Self { names, may_be }
    }

    fn hold(&self, name: &[u8]) -> bool {
        let places = self.may_be.iter().zip(name);
        let mut candidates = places.fold(u64::MAX, |bits, (bytes, byte)| bits & bytes[usize::from(*byte)]);
        while candidates != 0 {
            let index = candidates.trailing_zeros() as usize;
            candidates &= candidates - 1;
            let Some((known, is_stem)) = self.names.get(index) else { return false };
            if name.starts_with(known) && (*is_stem || name.len() == known.len()) {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_known_by_name_or_beginning() {
        let names = ["_ga", "_ga_*", "_gcl_*", "FPID", "x"].map(str::to_owned);
        let names = CookieNames::new(&names);
        for name in ["_ga", "_ga_", "_ga_ABC", "_gcl_aw", "FPID", "x"] {
            assert!(names.hold(name.as_bytes()), "{name}");
        }
        for name in ["", "_", "_g", "_gat", "_gcl", "fpid", "FPI", "FPIDx", "xy", "session", "csrf"] {
            assert!(!names.hold(name.as_bytes()), "{name}");
        }
        assert!(!CookieNames::new(&[]).hold(b"a"));
    }
}
