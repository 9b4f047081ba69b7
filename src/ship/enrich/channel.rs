//! Channels: GA4's default channel group by the rules of `data/channels.tsv`, and the labels of a campaign.
//!
//! Rule: a pure function of what was tagged, the tables and the aliases. The tables have a version ([`RULES_VERSION`]),
//! to be raised with every change of them.

use std::borrow::Cow;
use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::sources::{Aliases, SourceKind, Sources, rows};

/// Version of the tables `channels.tsv`, `sources.tsv` and `aliases.tsv` and of the code that reads them. A program with
/// a lower one leaves the labels of a higher one alone.
pub const RULES_VERSION: i32 = 2;

/// The channel where no rule holds.
pub const UNASSIGNED: &str = "Unassigned";

/// What of a campaign the rules look at.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tagged<'a> {
    /// As tagged, or inferred.
    pub source: Option<&'a str>,
    /// As tagged, or inferred.
    pub medium: Option<&'a str>,
    /// As tagged.
    pub campaign: Option<&'a str>,
    /// Name of the click id, or `referrer`, when something is inferred.
    pub inferred: Option<&'a str>,
}

/// What a campaign is reported as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// The source's one name; none when there is none.
    pub source: Option<String>,
    /// The channel.
    pub channel: &'static str,
}

/// The rules with the aliases of a moment.
#[derive(Debug)]
pub struct Labeller {
    rules: Vec<Rule>,
    sources: Sources,
    aliases: Aliases,
    fingerprint: i64,
}

#[derive(Debug)]
struct Rule {
    channel: &'static str,
    /// One of these must hold, all tests of it.
    alternatives: Vec<Vec<Test>>,
}

#[derive(Debug, PartialEq, Eq)]
enum Test {
    Paid,
    Shop,
    Kind(SourceKind),
    Is(Field, Vec<&'static str>),
    Has(Field, &'static str),
    Ends(Field, &'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Source,
    Medium,
    Campaign,
    Inferred,
}

impl Default for Labeller {
    fn default() -> Self {
        Self::new(HashMap::new())
    }
}

impl Labeller {
    /// With these aliases before the program's own.
    pub fn new(further: HashMap<String, String>) -> Self {
        let mut sorted: Vec<_> = further.iter().collect();
        sorted.sort();
        let mut hash = Sha256::new();
        hash.update(RULES_VERSION.to_be_bytes());
        for (alias, source) in sorted {
            hash.update(format!("{alias}\u{1f}{source}\u{1e}"));
        }
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(hash.finalize());
        Labeller {
            rules: rows(include_str!("../data/channels.tsv")).filter_map(Rule::read).collect(),
            sources: Sources::default(),
            aliases: Aliases::new(further),
            fingerprint: i64::from_be_bytes([a, b, c, d, e, f, g, h]),
        }
    }

    /// Names rules and aliases: labels with another one are to be computed anew.
    pub fn fingerprint(&self) -> i64 {
        self.fingerprint
    }

    /// What a campaign is reported as.
    pub fn label(&self, tagged: Tagged<'_>) -> Labels {
        let named = tagged.source.map(|source| self.aliases.name(source, &self.sources));
        let lower = |text: Option<&str>| {
            text.map_or(Cow::Borrowed(""), |text| Cow::Owned(text.trim().to_lowercase()))
        };
        let (medium, campaign) = (lower(tagged.medium), lower(tagged.campaign));
        let source = named.as_ref().map_or("", |named| &named.name);
        let seen = Seen {
            kind: self.sources.kind(source),
            paid: named.as_ref().is_some_and(|named| named.is_ad) || is_paid(&medium),
            source,
            medium: &medium,
            campaign: &campaign,
            inferred: tagged.inferred.unwrap_or_default(),
        };
        let rule = self.rules.iter().find(|rule| rule.holds(&seen));
        let channel = rule.map_or(UNASSIGNED, |rule| rule.channel);
        Labels { source: named.map(|named| named.name.into_owned()), channel }
    }
}

/// A campaign as tests see it; texts in lower case, an absent one empty.
struct Seen<'a> {
    source: &'a str,
    medium: &'a str,
    campaign: &'a str,
    inferred: &'a str,
    kind: Option<SourceKind>,
    paid: bool,
}

impl Rule {
    fn read([channel, condition]: [&'static str; 2]) -> Option<Rule> {
        let alternatives = condition
            .split(" or ")
            .map(|tests| tests.split(" and ").map(Test::read).collect::<Option<Vec<_>>>())
            .collect::<Option<Vec<_>>>()?;
        Some(Rule { channel, alternatives })
    }

    fn holds(&self, seen: &Seen<'_>) -> bool {
        self.alternatives.iter().any(|tests| tests.iter().all(|test| test.holds(seen)))
    }
}

impl Test {
    fn read(text: &'static str) -> Option<Test> {
        Some(match text.split_once(' ') {
            None if text == "paid" => Test::Paid,
            None if text == "shop" => Test::Shop,
            None => return None,
            Some(("kind", kind)) => Test::Kind(SourceKind::named(kind)?),
            Some((field, rest)) => {
                let field = match field {
                    "source" => Field::Source,
                    "medium" => Field::Medium,
                    "campaign" => Field::Campaign,
                    "inferred" => Field::Inferred,
                    _ => return None,
                };
                match rest.split_once(' ')? {
                    ("is", values) => Test::Is(field, values.split(", ").collect()),
                    ("has", part) => Test::Has(field, part),
                    ("ends", end) => Test::Ends(field, end),
                    _ => return None,
                }
            }
        })
    }

    fn holds(&self, seen: &Seen<'_>) -> bool {
        match self {
            Test::Paid => seen.paid,
            Test::Shop => is_shop(seen.campaign),
            Test::Kind(kind) => seen.kind == Some(*kind),
            Test::Is(field, values) => values.contains(&field.of(seen)),
            Test::Has(field, part) => field.of(seen).contains(part),
            Test::Ends(field, end) => field.of(seen).ends_with(end),
        }
    }
}

impl Field {
    fn of<'a>(self, seen: &Seen<'a>) -> &'a str {
        match self {
            Field::Source => seen.source,
            Field::Medium => seen.medium,
            Field::Campaign => seen.campaign,
            Field::Inferred => seen.inferred,
        }
    }
}

/// GA4's `^(.*cp.*|ppc|retargeting|paid.*)$`.
fn is_paid(medium: &str) -> bool {
    medium.contains("cp") || medium == "ppc" || medium == "retargeting" || medium.starts_with("paid")
}

/// GA4's `^(.*(([^a-df-z]|^)shop|shopping).*)$`.
fn is_shop(campaign: &str) -> bool {
    campaign.contains("shopping")
        || campaign.match_indices("shop").any(|(at, _)| {
            campaign[..at]
                .chars()
                .next_back()
                .is_none_or(|before| before == 'e' || !before.is_ascii_lowercase())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source, medium, campaign → channel.
    fn channel(source: &str, medium: &str, campaign: &str) -> &'static str {
        let some = |text: &'static str| (!text.is_empty()).then_some(text);
        let leak = |text: &str| some(text.to_owned().leak());
        Labeller::default()
            .label(Tagged {
                source: leak(source),
                medium: leak(medium),
                campaign: leak(campaign),
                inferred: None,
            })
            .channel
    }

    #[test]
    fn every_row_of_the_table_is_read() {
        let rows = include_str!("../data/channels.tsv").lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!((Labeller::default().rules.len(), rows), (19, 19));
    }

    /// One for each row, in the table's order.
    #[test]
    fn each_rule_decides_what_it_is_for() {
        for (source, medium, campaign, expected) in [
            ("(direct)", "(none)", "", "Direct"),
            ("(direct)", "(not set)", "", "Direct"),
            ("google", "cpc", "Cross-Network summer", "Cross-network"),
            ("amazon", "cpc", "", "Paid Shopping"),
            ("google", "cpc", "eshop", "Paid Shopping"),
            ("google", "ppc", "brand", "Paid Search"),
            ("facebook", "paid_social", "", "Paid Social"),
            ("youtube", "cpv", "", "Paid Video"),
            ("youtube", "cpc", "", "Paid Video"),
            ("dv360", "display", "", "Display"),
            ("partner", "banner", "", "Display"),
            ("partner", "expandable", "", "Display"),
            ("partner", "interstitial", "", "Display"),
            ("partner", "cpm", "", "Display"),
            ("partner", "retargeting", "", "Paid Other"),
            ("etsy", "", "", "Organic Shopping"),
            ("partner", "post", "shop-uk", "Organic Shopping"),
            ("instagram", "stories", "", "Organic Social"),
            ("partner", "social media", "", "Organic Social"),
            ("vimeo", "", "", "Organic Video"),
            ("partner", "my-video", "", "Organic Video"),
            ("chatgpt.com", "", "", "AI Assistants"),
            ("gemini", "referral", "", "AI Assistants"),
            ("duckduckgo", "", "", "Organic Search"),
            ("partner", "organic", "", "Organic Search"),
            ("partner", "referral", "", "Referral"),
            ("partner", "app", "", "Referral"),
            ("partner", "link", "", "Referral"),
            ("e mail", "", "", "Email"),
            ("mailchimp", "E-Mail", "", "Email"),
            ("autumn-newsletter", "", "", "Email"),
            ("gmail", "", "", "Email"),
            ("partner", "affiliate", "", "Affiliates"),
            ("spotify", "audio", "", "Audio"),
            ("sms", "", "", "SMS"),
            ("turbosms", "sms", "", "SMS"),
            ("onesignal", "webpush", "", "Mobile Push"),
            ("partner", "mobile-app", "", "Mobile Push"),
            ("partner", "notification", "", "Mobile Push"),
            ("firebase", "", "", "Mobile Push"),
            ("partner", "something", "", "Unassigned"),
            ("", "", "autumn", "Unassigned"),
        ] {
            assert_eq!(channel(source, medium, campaign), expected, "{source} / {medium} / {campaign}");
        }
    }

    #[test]
    fn shops_are_told_from_workshops() {
        for campaign in
            ["eshop", "e-shop", "shop-uk", "Shopify_sale", "my shop", "workshopping", "магазин-shop"]
        {
            assert_eq!(channel("partner", "", campaign), "Organic Shopping", "{campaign}");
        }
        for campaign in ["workshop", "barbershop", "photoshop", "ship"] {
            assert_eq!(channel("partner", "", campaign), "Unassigned", "{campaign}");
        }
    }

    #[test]
    fn paid_media_are_told_by_the_whole_word() {
        for medium in ["cpc", "ppc", "paid", "paid-social", "cpv2cp", "scpromo", "retargeting", "CPA"] {
            assert_eq!(channel("partner", medium, ""), "Paid Other", "{medium}");
        }
        for medium in ["unpaid", "prepaid", "xppc", "retargeting-x", "push", "podcast", "partner"] {
            assert_ne!(channel("partner", medium, ""), "Paid Other", "{medium}");
        }
        assert_eq!(channel("google", "cpm", ""), "Paid Search", "rule 4 comes before 7");
        assert_eq!(channel("partner", "cpm", ""), "Display");
    }

    #[test]
    fn contradictory_tags_go_by_the_order() {
        assert_eq!(channel("email", "referral", ""), "Referral");
        assert_eq!(channel("sms", "affiliate", ""), "Affiliates");
        assert_eq!(channel("email", "affiliate", ""), "Email");
        assert_eq!(channel("chatgpt", "organic", ""), "AI Assistants");
        assert_eq!(channel("facebook", "email", ""), "Organic Social");
    }

    #[test]
    fn a_source_named_as_an_ad_is_paid_whatever_the_medium() {
        assert_eq!(channel("FB-ads", "", ""), "Paid Social");
        assert_eq!(channel("adwords", "banner", ""), "Paid Search");
        assert_eq!(channel("tiktokads", "organic", ""), "Paid Social");
        assert_eq!(channel("Threads", "", ""), "Organic Social");
    }

    #[test]
    fn a_free_listing_is_no_ad() {
        let listing = Tagged {
            source: Some("google"),
            medium: Some("organic"),
            inferred: Some("srsltid"),
            ..Tagged::default()
        };
        assert_eq!(Labeller::default().label(listing).channel, "Organic Shopping");
    }

    #[test]
    fn aliases_change_the_fingerprint_whatever_their_order() {
        let pairs =
            |list: &[(&str, &str)]| list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let one = Labeller::new(pairs(&[("a", "b"), ("c", "d")]));
        assert_eq!(one.fingerprint(), Labeller::new(pairs(&[("c", "d"), ("a", "b")])).fingerprint());
        assert_ne!(one.fingerprint(), Labeller::default().fingerprint());
    }
}
