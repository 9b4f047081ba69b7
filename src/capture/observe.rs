//! Looks at a request's head: takes from its fields, by reference count, what will be needed when the response is there.

use std::borrow::Cow;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};

use super::bot::{self, Signs, Verdict};
use super::consent::Standing;
use super::evidence::{self, Referrer, cap_chars};
use super::hints::ClientHints;
use super::query::holds;
use super::reasons::NoPageView;
use super::{Arrival, Observation, Rules, cookie, host, mask};
use crate::exclusion::{self, Exclusions, Rule};
use crate::path;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Longest user agent that is kept, in characters.
const USER_AGENT_CHARS: usize = 512;
/// Longest path that is kept, in characters.
const PATH_CHARS: usize = 1024;
/// Most marketing cookies of one hit.
const COOKIES: usize = 24;

impl Observation {
    /// Looks at a request's head. None for an asset that nothing can be learned from.
    pub fn of(
        method: &Method,
        target: &Uri,
        headers: &HeaderMap,
        arrival: Arrival,
        rules: &Rules,
    ) -> Option<Box<Self>> {
        let path = target.path();
        if rules.is_asset(path) {
            return None;
        }
        let fields = Fields::of(headers);
        let is_navigation = match fields.mode {
            Some(mode) => {
                mode == "navigate" && fields.destination.is_none_or(|destination| destination == "document")
            }
            None => fields.accept.is_some_and(|accept| holds(accept.as_bytes(), b"text/html")),
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
        Some(Box::new(Self {
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
                headless_brand: fields.brands.is_some_and(|brands| holds(brands.as_bytes(), b"Headless")),
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
        }))
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

    /// Whether the browser fetches it before anybody wants it.
    pub fn is_prefetch(&self) -> bool {
        self.no_page_view == Some(NoPageView::Prefetch)
    }

    pub(super) fn judge(&self) -> Verdict {
        let path = path::normalise_ascii(self.target.path());
        bot::judge(self.agent_bytes(), path.as_bytes(), self.signs)
    }

    pub(super) fn host(&self) -> Cow<'_, str> {
        self.host.as_ref().and_then(|host| host.to_str().ok()).map_or(Cow::Borrowed(""), host::host_of)
    }

    /// The path as it is stored.
    pub(super) fn path(&self) -> Cow<'_, str> {
        cap_chars(mask::path(self.target.path()), PATH_CHARS).0
    }

    pub(super) fn agent_bytes(&self) -> &[u8] {
        self.user_agent.as_ref().map_or(&[], HeaderValue::as_bytes)
    }

    pub(super) fn user_agent(&self) -> Cow<'_, str> {
        let bytes = self.agent_bytes();
        // The lossy way goes byte by byte.
        let text = std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed);
        cap_chars(text, USER_AGENT_CHARS).0
    }

    pub(super) fn marketing_cookies<'a>(&'a self, rules: &Rules) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
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
                    found.is_prefetch |= words.iter().any(|word| holds(value.as_bytes(), word));
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
