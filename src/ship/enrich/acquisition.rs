//! Source and medium of a touch: as tagged, else as its click id or its referrer tells. A pure function of the
//! touch and of two tables (the registry of parameters, `data/referrers.tsv`); what was not tagged is marked as
//! inferred.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::capture::registry::{Told, parameters};
use crate::hit::Touch;

/// Mark of an inference from the referrer.
const BY_REFERRER: &str = "referrer";

/// Where a visitor came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acquired<'a> {
    /// As tagged, or inferred.
    pub source: Option<Cow<'a, str>>,
    /// As tagged, or inferred.
    pub medium: Option<Cow<'a, str>>,
    /// Name of the click id, or `referrer`, when the source is inferred.
    pub inferred: Option<&'static str>,
}

/// The two tables.
#[derive(Debug)]
pub struct Acquisition {
    /// Parameters that tell a source.
    telling: Vec<(&'static str, Told)>,
    hosts: HashMap<&'static str, (&'static str, &'static str)>,
    labels: HashMap<&'static str, (&'static str, &'static str)>,
}

impl Default for Acquisition {
    fn default() -> Self {
        let telling = parameters().filter_map(|parameter| match parameter.name {
            Cow::Borrowed(name) => Some((name, parameter.tells?)),
            Cow::Owned(_) => None,
        });
        let telling = telling.collect();
        let (mut hosts, mut labels) = (HashMap::new(), HashMap::new());
        for [host, source, medium] in rows(include_str!("../data/referrers.tsv")) {
            match host.strip_suffix(".*") {
                Some(label) => labels.insert(label, (source, medium)),
                None => hosts.insert(host, (source, medium)),
            };
        }
        Acquisition { telling, hosts, labels }
    }
}

/// Rows of three columns; `#` begins a comment.
fn rows(table: &'static str) -> impl Iterator<Item = [&'static str; 3]> {
    table.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut columns = line.split('\t');
        Some([columns.next()?, columns.next()?, columns.next()?])
    })
}

impl Acquisition {
    /// In this order: `utm_source`; a click id, which keeps a tagged medium; the referrer, when there is no utm
    /// parameter at all. Utm parameters without a source, and nothing that tells it, leave the source open.
    pub fn of<'a>(&self, touch: &'a Touch<'_>) -> Acquired<'a> {
        let tagged = |value: &'a Option<Cow<'_, str>>| value.as_deref().map(Cow::Borrowed);
        let (source, medium) = (tagged(&touch.source), tagged(&touch.medium));
        if source.is_some() {
            return Acquired { source, medium, inferred: None };
        }
        let other_utm = [&touch.medium, &touch.campaign, &touch.content, &touch.term, &touch.id]
            .iter()
            .any(|part| part.is_some());
        if let Some((name, told)) = self.telling.iter().find(|(name, _)| carries(touch, name)) {
            let inferred = if told.needs_evidence && !other_utm { "social" } else { told.medium };
            return Acquired {
                source: Some(Cow::Borrowed(told.source)),
                medium: medium.or(Some(Cow::Borrowed(inferred))),
                inferred: Some(name),
            };
        }
        let host = touch.referrer.as_deref().and_then(host_of).filter(|_| !other_utm);
        match host {
            None => Acquired { source, medium, inferred: None },
            Some(host) => self.referred(host),
        }
    }

    fn referred(&self, host: String) -> Acquired<'static> {
        let known = suffixes(&host).find_map(|suffix| self.hosts.get(suffix)).or_else(|| {
            let domain = psl::domain_str(&host)?;
            self.labels.get(domain.split('.').next()?)
        });
        let (source, medium) = match known {
            Some(&(source, medium)) => (Cow::Borrowed(source), medium),
            None => (Cow::Owned(host), "referral"),
        };
        Acquired { source: Some(source), medium: Some(Cow::Borrowed(medium)), inferred: Some(BY_REFERRER) }
    }
}

fn carries(touch: &Touch<'_>, name: &str) -> bool {
    touch.click_ids.iter().chain(&touch.parameters).any(|(have, _)| have.eq_ignore_ascii_case(name))
}

/// `a.b.c`, `b.c`, `c`: hosts match on label boundaries only.
fn suffixes(host: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(host), |rest| rest.split_once('.').map(|(_, parent)| parent))
}

/// Host of a URL (also `android-app://package`), lower case, without user, port and `www.`.
pub fn host_of(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let host = match host.strip_prefix('[') {
        Some(literal) => literal.split(']').next()?,
        None => host.split(':').next()?,
    };
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let host = host.strip_prefix("www.").unwrap_or(&host);
    (!host.is_empty()).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(touch: &Touch<'_>) -> (Option<String>, Option<String>, Option<&'static str>) {
        let acquisition = Acquisition::default();
        let acquired = acquisition.of(touch);
        (acquired.source.map(Cow::into_owned), acquired.medium.map(Cow::into_owned), acquired.inferred)
    }

    fn is(
        source: &str,
        medium: &str,
        by: &'static str,
    ) -> (Option<String>, Option<String>, Option<&'static str>) {
        (Some(source.into()), Some(medium.into()), Some(by))
    }

    fn clicked(name: &'static str) -> Touch<'static> {
        Touch { click_ids: vec![(name.into(), "x".into())], ..Touch::default() }
    }

    fn referred(url: &'static str) -> Touch<'static> {
        Touch { referrer: Some(url.into()), ..Touch::default() }
    }

    #[test]
    fn a_click_id_tells_the_source_that_was_not_tagged() {
        assert_eq!(told(&clicked("gclid")), is("google", "cpc", "gclid"));
        assert_eq!(told(&clicked("wbraid")), is("google", "cpc", "wbraid"));
        assert_eq!(told(&clicked("msclkid")), is("bing", "cpc", "msclkid"));
        assert_eq!(told(&clicked("ttclid")), is("tiktok", "paid_social", "ttclid"));
        assert_eq!(told(&clicked("ScCid")), is("snapchat", "paid_social", "sccid"));
    }

    #[test]
    fn fbclid_alone_is_not_proof_of_an_ad() {
        assert_eq!(told(&clicked("fbclid")), is("facebook", "social", "fbclid"));
        let named = Touch { campaign: Some("spring".into()), ..clicked("fbclid") };
        assert_eq!(told(&named), is("facebook", "paid_social", "fbclid"));
        let tagged = Touch { medium: Some("Stories".into()), ..clicked("fbclid") };
        assert_eq!(told(&tagged), is("facebook", "Stories", "fbclid"));
    }

    #[test]
    fn a_tag_is_never_overruled() {
        let touch = Touch {
            source: Some("IG".into()),
            referrer: Some("https://google.com/".into()),
            ..clicked("gclid")
        };
        assert_eq!(told(&touch), (Some("IG".into()), None, None));
    }

    #[test]
    fn a_tag_without_source_leaves_it_open() {
        let touch = Touch { campaign: Some("spring".into()), ..referred("https://google.com/") };
        assert_eq!(told(&touch), (None, None, None));
    }

    #[test]
    fn referrers_match_on_label_boundaries() {
        assert_eq!(told(&referred("https://www.google.com.ua/")), is("google", "organic", "referrer"));
        assert_eq!(
            told(&referred("https://gemini.google.com/app")),
            is("gemini.google.com", "ai", "referrer")
        );
        assert_eq!(told(&referred("https://chatgpt.com/")), is("chatgpt.com", "ai", "referrer"));
        assert_eq!(told(&referred("https://l.instagram.com/")), is("instagram", "social", "referrer"));
        assert_eq!(told(&referred("https://netflix.com/")), is("netflix.com", "referral", "referrer"));
        assert_eq!(
            told(&referred("https://notfacebook.com/")),
            is("notfacebook.com", "referral", "referrer")
        );
        assert_eq!(
            told(&referred("https://google.evil.example/")),
            is("google.evil.example", "referral", "referrer")
        );
        assert_eq!(told(&referred("android-app://com.google.android.gm/")), is("gmail", "email", "referrer"));
    }

    #[test]
    fn hosts_are_taken_out_of_urls() {
        assert_eq!(host_of("https://user@WWW.Example.com:8443/a?b").as_deref(), Some("example.com"));
        assert_eq!(host_of("http://[2001:db8::1]:80/").as_deref(), Some("2001:db8::1"));
        assert_eq!(host_of("no url"), None);
        assert_eq!(host_of("https:///x"), None);
    }
}
