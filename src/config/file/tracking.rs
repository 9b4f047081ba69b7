//! `[tracking]` and what belongs to it: what is recorded, and how visitors are told apart.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::super::reader::{Table, Value};
use super::super::{
    Attribution, Consent, ConsentPattern, CookieDomain, Exclude, IdentifyBy, IdentityConfig, Journal,
    OwnParameter, ParameterMeaning, Privacy, Retain, StoreIp, Tracking, TrackingMode, UtmField, error,
    values,
};
use super::action::Added;
use super::shop::some_time;
use crate::exclusion::{Kind, Rule};

const DAY: Duration = Duration::from_secs(86_400);

/// Parameters that no shop needs.
const DEFAULT_STRIP: [&str; 1] = ["utm_*"];

/// Cookies by which advertisers recognise their own clicks; the table says whose they are.
const DEFAULT_COOKIES: &str = include_str!("../data/cookies.tsv");

/// As much of a body as a rule reads.
const DEFAULT_ACTION_BODY_BYTES: usize = 256 << 10;
const MOST_ACTION_BODY_BYTES: usize = 16 << 20;

/// Names in `cookies`.
const MOST_COOKIES: usize = 64;

/// What pages pull in. Documents that people open (pdf, zip) are left out: campaigns link to them.
const DEFAULT_STATIC_EXTENSIONS: [&str; 31] = [
    "css",
    "js",
    "mjs",
    "map",
    "wasm",
    "png",
    "jpg",
    "jpeg",
    "gif",
    "svg",
    "webp",
    "avif",
    "ico",
    "bmp",
    "woff",
    "woff2",
    "ttf",
    "otf",
    "eot",
    "mp4",
    "webm",
    "ogv",
    "mov",
    "m3u8",
    "ts",
    "mp3",
    "ogg",
    "wav",
    "m4a",
    "vtt",
    "webmanifest",
];

/// Payment and sign-in hosts that a customer comes back from; subdomains are included by the rule. Hosts that
/// also send visitors of their own (facebook.com, google.com) are left out.
const DEFAULT_REFERRER_EXCLUSIONS: [&str; 43] = [
    "2checkout.com",
    "accounts.google.com",
    "adyen.com",
    "affirm.com",
    "afterpay.com",
    "appleid.apple.com",
    "authorize.net",
    "barion.com",
    "braintreegateway.com",
    "cardinalcommerce.com",
    "checkout.com",
    "clearpay.co.uk",
    "easypay.ua",
    "fondy.eu",
    "fondy.ua",
    "hutko.org",
    "ipay.ua",
    "klarna.com",
    "liqpay.ua",
    "login.live.com",
    "login.microsoftonline.com",
    "mbnk.biz",
    "mollie.com",
    "monobank.ua",
    "multisafepay.com",
    "novapay.ua",
    "paddle.com",
    "pay.amazon.com",
    "pay.google.com",
    "paypal.com",
    "paysera.com",
    "payu.com",
    "payu.pl",
    "payu.ro",
    "portmone.com",
    "portmone.com.ua",
    "privat24.ua",
    "przelewy24.pl",
    "sofort.com",
    "stripe.com",
    "tpay.com",
    "wayforpay.com",
    "worldpay.com",
];

/// `[tracking]` with its tables; the key file is in the journal's directory by default. Presets add to its lists.
pub(super) fn tracking(table: &Table<'_>, journal: Option<&Journal>, presets: &Added) -> Tracking {
    let privacy = table.table("privacy");
    let attribution = attribution(&table.table("attribution"));
    Tracking {
        mode: table.or("mode", TrackingMode::Record, |value| value.choice(&TrackingMode::NAMES)),
        strip: table.or("strip", owned(&DEFAULT_STRIP), name_patterns),
        parameters: table.or("parameters", Vec::new(), |value| value.list(|item| item.parse(parameter))),
        restore_on_redirect: table.or("restore_on_redirect", true, |value| value.flag()),
        cookies: table.or("cookies", default_cookies(), marketing_cookies),
        upstream_headers: table.or("upstream_headers", false, |value| value.flag()),
        exclude: exclude(&table.table("exclude"), &presets.excluded_paths),
        static_extensions: table.or("static_extensions", owned(&DEFAULT_STATIC_EXTENSIONS), extensions),
        locale_prefixes: joined(table.or("locale_prefixes", Vec::new(), locales), &presets.locale_prefixes),
        action_body_bytes: table.or("action_body_bytes", DEFAULT_ACTION_BODY_BYTES, |value| {
            let bytes = value.parse(values::size)?;
            match usize::try_from(bytes).ok().filter(|bytes| *bytes <= MOST_ACTION_BODY_BYTES) {
                Some(bytes) => Some(bytes),
                None => value.refuse("`action_body_bytes` is at most 16MiB"),
            }
        }),
        identity: identity(&table.table("identity"), journal),
        privacy: Privacy {
            store_ip: privacy.or("store_ip", StoreIp::Truncated, |value| value.choice(&StoreIp::NAMES)),
            redact_parameters: privacy.or("redact_parameters", Vec::new(), name_patterns),
            retain: retain(&privacy.table("retain"), attribution.lookback),
        },
        attribution,
    }
}

/// `exclude.paths`
pub(super) fn excluded_paths(table: &Table<'_>) -> Vec<String> {
    exclusions(table, "paths", Kind::Path)
}

fn exclusions(table: &Table<'_>, key: &str, kind: Kind) -> Vec<String> {
    table.or(key, Vec::new(), |value| {
        value.list(|item| item.parse(|text| Rule::new(kind, text).map(|rule| rule.value().to_owned())))
    })
}

/// A list with what it lacks of another.
fn joined(mut own: Vec<String>, more: &[String]) -> Vec<String> {
    let lacking: Vec<String> = more.iter().filter(|item| !own.contains(item)).cloned().collect();
    own.extend(lacking);
    own
}

fn exclude(table: &Table<'_>, more_paths: &[String]) -> Exclude {
    let rules = |key, kind| exclusions(table, key, kind);
    Exclude {
        paths: joined(excluded_paths(table), more_paths),
        ips: rules("ips", Kind::Ip),
        user_agents: rules("user_agents", Kind::UserAgent),
        visitors: rules("visitors", Kind::Visitor),
        cookies: rules("cookies", Kind::Cookie),
        hosts: rules("hosts", Kind::Host),
        link: table.optional("link", |value| value.parse(values::path_prefix)),
    }
}

/// Names with an optional `*` at their end.
pub(super) fn name_patterns(value: &Value<'_>) -> Option<Vec<String>> {
    value.list(|item| item.parse(values::name_pattern))
}

fn identity(table: &Table<'_>, journal: Option<&Journal>) -> IdentityConfig {
    let default_secret = journal.map_or_else(PathBuf::new, |journal| journal.dir.join("secret"));
    IdentityConfig {
        mode: identify_by(table),
        honour_gpc: table.or("honour_gpc", true, |value| value.flag()),
        cookie: table.or("cookie", "_utmd".to_owned(), |value| value.parse(values::cookie_name)),
        domain: table.or("domain", CookieDomain::Auto, cookie_domain),
        max_age: table.or("max_age", 390 * DAY, some_time),
        secret_file: table.or("secret_file", default_secret, |value| value.path()),
        session_timeout: table.or("session_timeout", Duration::from_secs(1800), some_time),
    }
}

fn identify_by(table: &Table<'_>) -> IdentifyBy {
    const MODES: [(&str, u8); 3] = [("cookie", 0), ("cookieless", 1), ("consent", 2)];
    let mode = table.or("mode", 0, |value| value.choice(&MODES));
    let cookie = table.optional("consent_cookie", |value| value.parse(values::cookie_name));
    let pattern = table.optional("consent_pattern", |value| value.parse(consent_pattern));
    if mode < 2 {
        if let Some(key) = ["consent_cookie", "consent_pattern"].into_iter().find_map(|key| table.value(key))
        {
            key.refuse::<()>(format!("`{}` needs mode = \"consent\"", key.key()));
        }
        return if mode == 0 { IdentifyBy::Cookie } else { IdentifyBy::Cookieless };
    }
    let known = pattern.as_ref().and_then(|pattern| {
        let known = ConsentPattern::NAMES.into_iter().find(|(_, _, known)| known == pattern);
        known.map(|(_, cookie, _)| cookie.to_owned())
    });
    match (cookie.or(known), pattern) {
        (Some(cookie), Some(pattern)) => return IdentifyBy::Consent(Consent { cookie, pattern }),
        (cookie, None) if table.value("consent_pattern").is_none() => {
            let and_cookie =
                if cookie.is_none() { ", or `consent_cookie` and the text of its value" } else { "" };
            table.refuse::<()>(format!(
                "mode = \"consent\" needs `consent_pattern`: cookiebot, onetrust, tcf{and_cookie}"
            ));
        }
        (None, Some(_)) => {
            table.refuse::<()>(
                "a `consent_pattern` of your own needs `consent_cookie`, the cookie that it is of",
            );
        }
        // The pattern was refused.
        _ => {}
    }
    IdentifyBy::Cookieless
}

/// A banner's name, or `granted` or `granted|denied`, texts of the value.
fn consent_pattern(text: &str) -> Result<ConsentPattern, String> {
    if let Some((_, _, known)) = ConsentPattern::NAMES.into_iter().find(|(name, _, _)| *name == text) {
        return Ok(known);
    }
    let (granted, denied) = match text.split_once('|') {
        Some((granted, denied)) => (granted, Some(denied)),
        None => (text, None),
    };
    if granted.is_empty() || denied.is_some_and(|denied| denied.is_empty() || denied.contains('|')) {
        return Err(format!(
            "`{text}` is no text of a cookie's value such as \"ads=yes\" or \"ads=yes|ads=no\""
        ));
    }
    Ok(ConsentPattern::Own { granted: granted.to_owned(), denied: denied.map(str::to_owned) })
}

/// `name`, or `name = meaning`.
fn parameter(text: &str) -> Result<OwnParameter, String> {
    let (name, meaning) = match text.split_once('=') {
        Some((name, meaning)) => (name.trim(), Some(meaning.trim())),
        None => (text.trim(), None),
    };
    let name = values::name_pattern(name)?.to_ascii_lowercase();
    if name.contains('*') || name.len() > 63 {
        return Err(format!("`{name}` is no name of at most 63 bytes"));
    }
    let meaning = match meaning {
        None => ParameterMeaning::Beside,
        Some("click_id") => ParameterMeaning::ClickId,
        Some(meaning) => {
            let field = UtmField::NAMES.into_iter().find(|(name, _)| *name == meaning);
            let (_, field) = field.ok_or_else(|| {
                format!("`{meaning}` is none of click_id, utm_source, utm_medium, utm_campaign, utm_content, utm_term, utm_id")
            })?;
            ParameterMeaning::Instead(field)
        }
    };
    Ok(OwnParameter { name, meaning })
}

fn marketing_cookies(value: &Value<'_>) -> Option<Vec<String>> {
    let names = name_patterns(value)?;
    if names.len() > MOST_COOKIES {
        return value.refuse(format!("`cookies` are at most {MOST_COOKIES} names"));
    }
    Some(names)
}

fn default_cookies() -> Vec<String> {
    let rows = DEFAULT_COOKIES.lines().filter(|line| !line.starts_with('#'));
    rows.filter_map(|line| line.split('\t').next()).map(str::to_owned).collect()
}

fn attribution(table: &Table<'_>) -> Attribution {
    Attribution {
        lookback: table.or("lookback", 90 * DAY, some_time),
        referrer_exclusions: table.or("referrer_exclusions", owned(&DEFAULT_REFERRER_EXCLUSIONS), |value| {
            value.list(|item| item.parse(values::host))
        }),
        aliases: table.or("aliases", Vec::new(), aliases),
    }
}

/// `"alias = source"`, each alias once.
fn aliases(value: &Value<'_>) -> Option<Vec<(String, String)>> {
    let seen = std::cell::RefCell::new(std::collections::BTreeSet::new());
    value.list(|item| {
        item.parse(|text| {
            let named = |text: &str| text.trim().to_lowercase();
            let pair = text.split_once('=').map(|(alias, source)| (named(alias), named(source)));
            match pair.filter(|(alias, source)| !alias.is_empty() && !source.is_empty()) {
                None => Err(format!("`{text}` is no alias such as \"insta = instagram\"")),
                Some((alias, _)) if !seen.borrow_mut().insert(alias.clone()) => {
                    Err(format!("`{alias}` has a source already"))
                }
                Some(pair) => Ok(pair),
            }
        })
    })
}

/// Each at least as long as what it explains: an order is credited to touches, these belong to sessions, those to visitors.
fn retain(table: &Table<'_>, lookback: Duration) -> Retain {
    let default = Retain::default();
    let events = table.or("events", default.events, |value| {
        let events = value.parse(values::months)?;
        // No month has less than 28 days.
        let days = events.map_or(u64::MAX, |months| u64::from(months) * 28);
        if Duration::from_secs(days.saturating_mul(86_400)) < lookback {
            let lookback = values::show_duration(lookback);
            return value.refuse(format!(
                "`events` is at least as long as `tracking.attribution.lookback` ({lookback}): orders are credited to them"
            ));
        }
        Some(events)
    });
    let sessions = table
        .or("sessions", longest(default.sessions, events), |value| kept_as_long(value, events, "events"));
    let visitors = table.or("visitors", longest(default.visitors, sessions), |value| {
        kept_as_long(value, sessions, "sessions")
    });
    Retain { events, sessions, visitors }
}

/// Of two times the longer; none = for ever.
fn longest(one: Option<u32>, other: Option<u32>) -> Option<u32> {
    Some(one?.max(other?))
}

fn kept_as_long(value: &Value<'_>, other: Option<u32>, name: &str) -> Option<Option<u32>> {
    let kept = value.parse(values::months)?;
    if kept.is_some_and(|kept| other.is_none_or(|other| kept < other)) {
        let least = values::show_months(other);
        return value.refuse(format!("`{}` are kept at least as long as `{name}` ({least})", value.key()));
    }
    Some(kept)
}

fn cookie_domain(value: &Value<'_>) -> Option<CookieDomain> {
    let text = value.text()?;
    match text.as_str() {
        "auto" => return Some(CookieDomain::Auto),
        "host" => return Some(CookieDomain::Host),
        _ => {}
    }
    let domain = values::host(text.trim_start_matches('.')).unwrap_or_default();
    if domain.contains('.') && domain.parse::<IpAddr>().is_err() {
        return match psl::domain_str(&domain) {
            Some(_) => Some(CookieDomain::Literal(domain)),
            None => value.refuse(format!("`{text}` is a public suffix: browsers refuse cookies for it")),
        };
    }
    value.refuse_with(
        format!("`domain` is `auto`, `host` or a domain such as \"shop.example\", not `{text}`"),
        error::did_you_mean(&text, ["auto", "host"]),
    )
}

fn extensions(value: &Value<'_>) -> Option<Vec<String>> {
    value.list(|item| {
        item.parse(|text| {
            let extension = text.trim_start_matches('.').to_ascii_lowercase();
            let fine = !extension.is_empty() && extension.chars().all(|c| c.is_ascii_alphanumeric());
            if fine { Ok(extension) } else { Err(format!("`{text}` is no file extension")) }
        })
    })
}

/// First path segments that name a language.
pub(super) fn locales(value: &Value<'_>) -> Option<Vec<String>> {
    value.list(|item| {
        item.parse(|text| {
            let segment = text.trim_matches('/');
            let fine =
                !segment.is_empty() && segment.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
            if fine {
                Ok(segment.to_owned())
            } else {
                Err(format!("`{text}` is no first path segment such as \"en\""))
            }
        })
    })
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
