//! Source and medium of a touch: as tagged, else as its click id or its referrer tells. A pure function of the
//! touch and of tables (the registry of parameters, `data/sources.tsv`, the program's own aliases); what was not tagged is marked as
//! inferred.

use std::borrow::Cow;
use std::collections::HashMap;

use super::sources::{Aliases, Sources, host_of};
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
    /// Name of the click id, or `referrer`, when source or medium is inferred.
    pub inferred: Option<&'static str>,
}

/// The tables.
#[derive(Debug)]
pub struct Acquisition {
    /// Parameters that tell a source.
    telling: Vec<(&'static str, Told)>,
    sources: Sources,
    aliases: Aliases,
}

impl Default for Acquisition {
    fn default() -> Self {
        let telling = parameters().filter_map(|parameter| match parameter.name {
            Cow::Borrowed(name) => Some((name, parameter.tells?)),
            Cow::Owned(_) => None,
        });
        let telling = telling.collect();
        Acquisition { telling, sources: Sources::default(), aliases: Aliases::new(HashMap::new()) }
    }
}

impl Acquisition {
    /// In this order: `utm_source`; a click id, which keeps a tagged medium; the referrer, when there is no utm
    /// parameter at all. Utm parameters without a source, and nothing that tells it, leave the source open. A tagged source
    /// without a medium is given that of a click id which proves an ad of this very source (google and gclid; not
    /// duckduckgo and gclid).
    pub fn of<'a>(&self, touch: &'a Touch<'_>) -> Acquired<'a> {
        let tagged = |value: &'a Option<Cow<'_, str>>| value.as_deref().map(Cow::Borrowed);
        let (source, medium) = (tagged(&touch.source), tagged(&touch.medium));
        if let Some(source) = source {
            let proof = if medium.is_none() { self.proof_of(&source, touch) } else { None };
            return match proof {
                Some((name, told)) => {
                    Acquired { source: Some(source), medium: Some(Cow::Borrowed(told)), inferred: Some(name) }
                }
                None => Acquired { source: Some(source), medium, inferred: None },
            };
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

    /// The click id that proves an ad of this source, and the medium it tells.
    fn proof_of(&self, source: &str, touch: &Touch<'_>) -> Option<(&'static str, &'static str)> {
        if touch.click_ids.is_empty() {
            return None;
        }
        let named = self.aliases.name(source, &self.sources);
        self.telling
            .iter()
            .find(|(name, told)| !told.needs_evidence && told.source == named.name && carries(touch, name))
            .map(|(name, told)| (*name, told.medium))
    }

    fn referred(&self, host: String) -> Acquired<'static> {
        let (source, medium) = match self.sources.of_host(&host) {
            Some(known) => (Cow::Borrowed(known.name), known.kind.medium()),
            None => (Cow::Owned(host), "referral"),
        };
        Acquired { source: Some(source), medium: Some(Cow::Borrowed(medium)), inferred: Some(BY_REFERRER) }
    }
}

fn carries(touch: &Touch<'_>, name: &str) -> bool {
    touch.click_ids.iter().chain(&touch.parameters).any(|(have, _)| have.eq_ignore_ascii_case(name))
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
        assert_eq!(told(&referred("https://gemini.google.com/app")), is("gemini", "ai", "referrer"));
        for own in ["docs", "sites", "translate"] {
            let host = format!("{own}.google.com");
            let touch = Touch { referrer: Some(format!("https://{host}/x").into()), ..Touch::default() };
            assert_eq!(told(&touch), is(&host, "referral", "referrer"));
        }
        assert_eq!(told(&referred("https://chatgpt.com/")), is("chatgpt", "ai", "referrer"));
        assert_eq!(told(&referred("https://l.instagram.com/")), is("instagram", "social", "referrer"));
        assert_eq!(told(&referred("https://netflix.com/")), is("netflix", "video", "referrer"));
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
    fn a_click_id_tells_the_medium_of_its_own_source_only() {
        let tagged = |source: &'static str, id| Touch { source: Some(source.into()), ..clicked(id) };
        let of = |touch: Touch<'_>| told(&touch);
        assert_eq!(of(tagged("Google", "gclid")), is("Google", "cpc", "gclid"));
        assert_eq!(of(tagged("adwords", "wbraid")), is("adwords", "cpc", "wbraid"));
        assert_eq!(of(tagged("bing", "msclkid")), is("bing", "cpc", "msclkid"));
        let open = |source: &str| (Some(source.to_owned()), None, None);
        assert_eq!(of(tagged("duckduckgo", "gclid")), open("duckduckgo"));
        assert_eq!(of(tagged("facebook", "fbclid")), open("facebook"), "Meta adds it to organic links too");
        let organic = Touch { medium: Some("organic".into()), ..tagged("google", "gclid") };
        assert_eq!(of(organic), (Some("google".into()), Some("organic".into()), None));
    }
}
