//! The configuration of capture, made ready for the request path.

use std::collections::HashSet;

use http::HeaderValue;

use super::bot::BotNames;
use super::host::{is_within, registrable};
use super::registry::Registry;
use crate::config::{CookieDomain, StoreIp, Tracking};

/// What capture goes by; one for all routes.
#[derive(Debug, Clone)]
pub struct Rules {
    pub(super) cookie_name: String,
    pub(super) session_timeout_s: u32,
    pub(super) stores_address: bool,
    pub(super) bots: BotNames,
    pub(super) registry: Registry,
    domain: CookieDomain,
    max_age_s: u64,
    assets: HashSet<String>,
    locales: Vec<String>,
    excluded_referrers: Vec<String>,
    /// Names, and whether each is only the beginning of one.
    marketing_cookies: Vec<(String, bool)>,
}

impl Rules {
    /// Compiles the configuration.
    pub fn new(tracking: &Tracking) -> Self {
        let lower = |list: &[String]| list.iter().map(|text| text.to_ascii_lowercase()).collect::<Vec<_>>();
        Self {
            cookie_name: tracking.identity.cookie.clone(),
            session_timeout_s: u32::try_from(tracking.identity.session_timeout.as_secs()).unwrap_or(u32::MAX),
            stores_address: tracking.privacy.store_ip != StoreIp::None,
            bots: BotNames::new(),
            registry: Registry::new(),
            domain: tracking.identity.domain.clone(),
            max_age_s: tracking.identity.max_age.as_secs(),
            assets: lower(&tracking.static_extensions).into_iter().collect(),
            locales: lower(&tracking.locale_prefixes),
            excluded_referrers: lower(&tracking.attribution.referrer_exclusions),
            marketing_cookies: tracking
                .cookies
                .iter()
                .map(|name| match name.strip_suffix('*') {
                    Some(prefix) => (prefix.to_owned(), true),
                    None => (name.clone(), false),
                })
                .collect(),
        }
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

    /// A path without the language in front of it.
    pub(super) fn without_locale<'a>(&self, path: &'a str) -> &'a str {
        let rest = path.strip_prefix('/').unwrap_or(path);
        let (first, end) =
            rest.split_once('/').map_or((rest, path.len()), |(first, _)| (first, first.len() + 1));
        if self.locales.iter().any(|locale| first.eq_ignore_ascii_case(locale)) { &path[end..] } else { path }
    }

    /// Whether a referrer is a payment or sign-in host.
    pub(super) fn is_excluded_referrer(&self, host: &str) -> bool {
        self.excluded_referrers.iter().any(|domain| is_within(host, domain))
    }

    /// Whether a cookie is a marketing cookie.
    pub(super) fn records_cookie(&self, name: &[u8]) -> bool {
        self.marketing_cookies.iter().any(|(known, is_prefix)| {
            name.starts_with(known.as_bytes()) && (*is_prefix || name.len() == known.len())
        })
    }

    /// The name of the visitor's cookie.
    pub fn cookie_name(&self) -> &str {
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
        let name = &self.cookie_name;
        let mut line = format!("{name}={value}; Path=/; Max-Age={max_age_s}");
        if let Some(domain) = domain {
            line.push_str("; Domain=");
            line.push_str(domain);
        }
        line.push_str(if https { "; HttpOnly; Secure; SameSite=Lax" } else { "; HttpOnly; SameSite=Lax" });
        HeaderValue::try_from(line).ok()
    }
}
