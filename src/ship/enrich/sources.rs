//! Sources under one name, and what kind of place each is: search, social, video, shopping, AI assistant, mail.
//!
//! Hosts are matched on label boundaries only: `x.com` is not `netflix.com`.

use std::borrow::Cow;
use std::collections::HashMap;

/// What kind of place people come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named as in the table")]
pub enum SourceKind {
    Search,
    Social,
    Video,
    Shopping,
    Ai,
    Email,
    Site,
}

impl SourceKind {
    /// The kind of this name in the tables.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "search" => Self::Search,
            "social" => Self::Social,
            "video" => Self::Video,
            "shopping" => Self::Shopping,
            "ai" => Self::Ai,
            "email" => Self::Email,
            "site" => Self::Site,
            _ => return None,
        })
    }

    /// The medium that a referrer of this kind tells.
    pub fn medium(self) -> &'static str {
        match self {
            Self::Search => "organic",
            Self::Social => "social",
            Self::Video => "video",
            Self::Shopping | Self::Site => "referral",
            Self::Ai => "ai",
            Self::Email => "email",
        }
    }
}

/// A place that has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// What it is reported under.
    pub name: &'static str,
    /// What it is.
    pub kind: SourceKind,
}

/// The table, by host and by name.
#[derive(Debug)]
pub struct Sources {
    hosts: HashMap<&'static str, Known>,
    /// Labels before a public suffix.
    labels: HashMap<&'static str, Known>,
    kinds: HashMap<&'static str, SourceKind>,
}

impl Default for Sources {
    fn default() -> Self {
        let mut sources = Sources { hosts: HashMap::new(), labels: HashMap::new(), kinds: HashMap::new() };
        for [host, name, kind] in rows(include_str!("../data/sources.tsv")) {
            let Some(kind) = SourceKind::named(kind) else { continue };
            match host.strip_suffix(".*") {
                Some(label) => sources.labels.insert(label, Known { name, kind }),
                None => sources.hosts.insert(host, Known { name, kind }),
            };
            sources.kinds.entry(name).or_insert(kind);
        }
        sources
    }
}

impl Sources {
    /// Whose this host is; a lower-case name without `www.`, or an Android package.
    pub fn of_host(&self, host: &str) -> Option<Known> {
        suffixes(host).find_map(|suffix| self.hosts.get(suffix)).copied().or_else(|| {
            let domain = psl::domain_str(host)?;
            self.labels.get(domain.split('.').next()?).copied()
        })
    }

    /// What a source of this name is.
    pub fn kind(&self, name: &str) -> Option<SourceKind> {
        self.kinds.get(name).copied()
    }
}

/// Rows of a table; `#` begins a comment.
pub(super) fn rows<const COLUMNS: usize>(
    table: &'static str,
) -> impl Iterator<Item = [&'static str; COLUMNS]> {
    table.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let columns: Vec<&str> = line.split('\t').collect();
        columns.try_into().ok()
    })
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

/// The aliases: as tagged, in lower case → as reported. Further ones come before the program's own.
#[derive(Debug)]
pub struct Aliases {
    own: HashMap<&'static str, &'static str>,
    further: HashMap<String, String>,
}

/// A source as it is reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named<'a> {
    /// Its one name, in lower case.
    pub name: Cow<'a, str>,
    /// Whether it was named as an ad (`fb-ads`).
    pub is_ad: bool,
}

impl Aliases {
    /// The program's own, and further ones.
    pub fn new(further: HashMap<String, String>) -> Self {
        let own = own_aliases().collect();
        Aliases { own, further }
    }

    fn get(&self, alias: &str) -> Option<&str> {
        self.further.get(alias).map(String::as_str).or_else(|| self.own.get(alias).copied())
    }

    /// The one name of a source as tagged: an alias, a host that is known, either of them with `ads` or `ad` behind it;
    /// else itself, in lower case.
    pub fn name(&self, tagged: &str, sources: &Sources) -> Named<'static> {
        let lower = tagged.trim().to_lowercase();
        if let Some(name) = self.plain(&lower, sources) {
            // `fb_ads` may be an alias by itself.
            let is_ad = without_ads(&lower)
                .is_some_and(|(stem, is_apart)| is_apart || self.plain(stem, sources).is_some())
                || is_ad_program(&lower);
            return Named { name: Cow::Owned(name), is_ad };
        }
        match without_ads(&lower) {
            Some((stem, is_apart)) => match self.plain(stem, sources) {
                Some(name) => Named { name: Cow::Owned(name), is_ad: true },
                None => Named { is_ad: is_apart, name: Cow::Owned(lower) },
            },
            None => Named { name: Cow::Owned(lower), is_ad: false },
        }
    }

    fn plain(&self, lower: &str, sources: &Sources) -> Option<String> {
        if let Some(name) = self.get(lower) {
            return Some(name.to_owned());
        }
        if sources.kind(lower).is_some() {
            return Some(lower.to_owned());
        }
        let host = lower.split_once("://").map_or(lower, |(_, rest)| rest);
        let host = host.split(['/', ':']).next().unwrap_or_default();
        let host = host.strip_prefix("www.").unwrap_or(host);
        if !host.contains('.') {
            return None;
        }
        let name = sources.of_host(host)?.name;
        Some(self.get(name).unwrap_or(name).to_owned())
    }
}

/// The program's own aliases.
pub fn own_aliases() -> impl Iterator<Item = (&'static str, &'static str)> {
    rows(include_str!("../data/aliases.tsv")).map(|[alias, source]| (alias, source))
}

/// What stands before `ads` or `ad`, and whether they are a word of their own.
fn without_ads(lower: &str) -> Option<(&str, bool)> {
    let stem = lower.strip_suffix("ads").or_else(|| lower.strip_suffix("ad"))?;
    let trimmed = stem.trim_end_matches(['-', '_', '.', ' ', '+', '/']);
    (!trimmed.is_empty()).then_some((trimmed, trimmed.len() < stem.len()))
}

/// Programs of ads that do not end in the word.
fn is_ad_program(lower: &str) -> bool {
    lower.contains("adwords") || lower == "gdn"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(tagged: &str) -> (String, bool) {
        let named = Aliases::new(HashMap::new()).name(tagged, &Sources::default());
        (named.name.into_owned(), named.is_ad)
    }

    #[test]
    fn the_tables_are_well_formed() {
        let lines = |table: &'static str| table.lines().filter(|line| !line.starts_with('#'));
        let hosts = include_str!("../data/sources.tsv");
        let sources = Sources::default();
        assert_eq!(lines(hosts).count(), sources.hosts.len() + sources.labels.len(), "no host stands twice");
        for [host, name, kind] in rows(hosts) {
            assert!(SourceKind::named(kind).is_some(), "{host}");
            assert_eq!((host, name), (host.to_lowercase().as_str(), name.to_lowercase().as_str()));
            assert_eq!(sources.kind(name), SourceKind::named(kind), "{name} is one thing");
        }
        let aliases = include_str!("../data/aliases.tsv");
        assert_eq!(lines(aliases).count(), Aliases::new(HashMap::new()).own.len(), "no alias stands twice");
        for [alias, source] in rows(aliases) {
            assert_eq!(alias, alias.to_lowercase());
            assert!(sources.kind(source).is_some(), "{source} is known");
            assert!(sources.kind(alias).is_none(), "{alias} is a name of its own");
        }
    }

    #[test]
    fn one_source_has_one_name() {
        for tagged in [
            "Facebook",
            "facebook",
            " FB ",
            "fb",
            "Meta",
            "facebook.com",
            "m.facebook.com",
            "https://l.facebook.com/",
        ] {
            assert_eq!(named(tagged), ("facebook".into(), false), "{tagged}");
        }
        for tagged in ["FB-ads", "fb_ad", "fbads", "facebook ads", "metaads", "facebookads", "facebook_ads"] {
            assert_eq!(named(tagged), ("facebook".into(), true), "{tagged}");
        }
        for (tagged, name) in [
            ("IG", "instagram"),
            ("Inst_Vid", "instagram"),
            ("IGShopping", "instagram"),
            ("tt", "tiktok"),
            ("t.me", "telegram"),
            ("tg", "telegram"),
            ("yt", "youtube"),
            ("chatgpt.com", "chatgpt"),
            ("openai", "chatgpt"),
            ("www.google.com.ua", "google"),
            ("X", "twitter"),
            ("Осінь", "осінь"),
            ("threads", "threads"),
        ] {
            assert_eq!(named(tagged), (name.into(), false), "{tagged}");
        }
        assert_eq!(named("adwords"), ("google".into(), true));
        assert_eq!(named("tiktokads"), ("tiktok".into(), true));
    }

    #[test]
    fn words_that_end_like_ads_are_none() {
        for word in ["roads", "downloads", "ipad", "nomad", "ads", "ad", "threads", "broad"] {
            assert!(!named(word).1, "{word}");
        }
        assert_eq!(named("partner-ads"), ("partner-ads".into(), true));
    }

    #[test]
    fn further_aliases_come_before_the_own() {
        let further =
            HashMap::from([("ig".to_owned(), "ig".to_owned()), ("bloger".to_owned(), "anna".to_owned())]);
        let (aliases, sources) = (Aliases::new(further), Sources::default());
        assert_eq!(aliases.name("IG", &sources).name, "ig");
        assert_eq!(aliases.name("Bloger", &sources).name, "anna");
        assert_eq!(aliases.name("bloger-ads", &sources), Named { name: "anna".into(), is_ad: true });
    }

    #[test]
    fn hosts_match_on_label_boundaries() {
        let sources = Sources::default();
        let name = |host| sources.of_host(host).map(|known| (known.name, known.kind));
        assert_eq!(name("x.com"), Some(("twitter", SourceKind::Social)));
        assert_eq!(name("t.co"), Some(("twitter", SourceKind::Social)));
        assert_eq!(name("netflix.com"), Some(("netflix", SourceKind::Video)));
        assert_eq!(name("max.com"), None);
        for host in ["google.com", "google.co.uk", "google.com.ua", "news.google.de", "google.ac"] {
            assert_eq!(name(host), Some(("google", SourceKind::Search)), "{host}");
        }
        for host in
            ["notwikipedia.org", "notgoogle.com", "google.evil.example", "facebook.com.evil.net", "xt.co"]
        {
            assert_eq!(name(host), None, "{host}");
        }
        assert_eq!(name("com.google.android.gm"), Some(("gmail", SourceKind::Email)));
    }

    #[test]
    fn hosts_are_taken_out_of_urls() {
        assert_eq!(host_of("https://user@WWW.Example.com:8443/a?b").as_deref(), Some("example.com"));
        assert_eq!(host_of("http://[2001:db8::1]:80/").as_deref(), Some("2001:db8::1"));
        assert_eq!(host_of("no url"), None);
        assert_eq!(host_of("https:///x"), None);
    }
}
