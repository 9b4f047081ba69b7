//! Whether a request comes from a person: a verdict with a score and reasons, from this one request alone.
//!
//! Rule: never by substrings in the middle of a word, and people in in-app browsers pass. The words are data
//! (`data/bots.tsv`, which `data/update-bots.py` writes, and the program's own below).

use std::sync::LazyLock;

use super::query::holds;
use words::TABLE;

mod words;

/// Version of words and rules, noted with each verdict; to be raised with every change of them.
pub const RULES_VERSION: u8 = 3;

/// Reasons for suspicion, bits of [`Verdict::reasons`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Reason {
    /// The user agent names itself as a crawler.
    Crawler = 1,
    /// It fetches a page to show a preview of it.
    LinkPreview = 2,
    /// It is a program library or a command-line tool.
    HttpLibrary = 4,
    /// It is a browser that no person looks at.
    Headless = 8,
    /// There is no user agent.
    NoUserAgent = 16,
    /// A Chromium that names no language.
    NoAcceptLanguage = 32,
    /// A Chromium that sends no `Sec-Fetch-*` over https.
    NoSecFetch = 64,
    /// It asks for what only who looks for holes asks for.
    ScannerPath = 128,
    /// The user agent names itself as a monitor.
    Monitor = 256,
    /// The user agent names itself as a scanner for holes.
    Scanner = 512,
}

impl Reason {
    /// All of them.
    const ALL: [Self; 10] = [
        Self::Crawler,
        Self::LinkPreview,
        Self::HttpLibrary,
        Self::Headless,
        Self::NoUserAgent,
        Self::NoAcceptLanguage,
        Self::NoSecFetch,
        Self::ScannerPath,
        Self::Monitor,
        Self::Scanner,
    ];

    /// As `inspect` spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Crawler => "crawler",
            Self::LinkPreview => "link_preview",
            Self::HttpLibrary => "http_library",
            Self::Headless => "headless",
            Self::NoUserAgent => "no_user_agent",
            Self::NoAcceptLanguage => "no_accept_language",
            Self::NoSecFetch => "no_sec_fetch",
            Self::ScannerPath => "scanner_path",
            Self::Monitor => "monitor",
            Self::Scanner => "scanner",
        }
    }
}

/// The words for a set of [`Reason`] bits.
pub fn words(reasons: u32) -> impl Iterator<Item = &'static str> {
    Reason::ALL.into_iter().filter(move |reason| reasons & *reason as u32 != 0).map(Reason::word)
}

/// From this score on a request is not recorded, only counted.
const CERTAIN: u8 = 90;

/// What is thought of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verdict {
    /// 0 = a person, 100 = certainly none.
    pub score: u8,
    /// Set of [`Reason`] bits.
    pub reasons: u32,
    /// What it calls itself, or what it looks like.
    pub bot: &'static str,
}

impl Verdict {
    /// Whether this is a bot beyond doubt.
    pub fn is_certain(&self) -> bool {
        self.score >= CERTAIN
    }

    fn add(&mut self, reason: Reason, score: u8, bot: &'static str) {
        self.reasons |= reason as u32;
        self.score = self.score.saturating_add(score).min(100);
        if self.bot.is_empty() {
            self.bot = bot;
        }
    }
}

/// What the verdict looks at besides the user agent and the path.
#[derive(Debug, Clone, Copy, Default)]
pub struct Signs {
    /// There is an `Accept-Language`.
    pub accept_language: bool,
    /// There is a `Sec-Fetch-Mode`.
    pub sec_fetch: bool,
    /// `Sec-CH-UA` names a browser without a screen.
    pub headless_brand: bool,
    /// The request came over https.
    pub https: bool,
}

/// Beginnings of paths that no page of a shop has. Those with a lower score are pages of some shops' own staff.
const SCANNER_PATHS: [(&[u8], u8); 26] = [
    (b"/.env", CERTAIN),
    (b"/.git/", CERTAIN),
    (b"/.aws/", CERTAIN),
    (b"/.ssh/", CERTAIN),
    (b"/.svn/", CERTAIN),
    (b"/.ds_store", CERTAIN),
    (b"/.htpasswd", CERTAIN),
    (b"/_ignition/", CERTAIN),
    (b"/actuator/", CERTAIN),
    (b"/autodiscover/", CERTAIN),
    (b"/boaform/", CERTAIN),
    (b"/cgi-bin/", CERTAIN),
    (b"/etc/passwd", CERTAIN),
    (b"/hnap1", CERTAIN),
    (b"/owa/auth", CERTAIN),
    (b"/phpmyadmin", CERTAIN),
    (b"/server-status", CERTAIN),
    (b"/solr/admin", CERTAIN),
    (b"/vendor/phpunit/", CERTAIN),
    (b"/web-inf/", CERTAIN),
    (b"/wp-config", CERTAIN),
    (b"/wp-includes/wlwmanifest", CERTAIN),
    (b"/wp-login.php", 60),
    (b"/wp-admin/install.php", CERTAIN),
    (b"/wp-admin/setup-config.php", CERTAIN),
    (b"/xmlrpc.php", 60),
];

/// Makes the table of programs' names, which takes some ten milliseconds; whoever needs it before waits for it.
pub fn prepare() {
    LazyLock::force(&TABLE);
}

/// What a request is thought of.
pub fn judge(user_agent: &[u8], path: &[u8], signs: Signs) -> Verdict {
    let mut verdict = Verdict::default();
    if user_agent.trim_ascii().is_empty() {
        verdict.add(Reason::NoUserAgent, CERTAIN, "(no user agent)");
        return verdict;
    }
    if let Some(word) = TABLE.as_ref().and_then(|table| table.find(user_agent)) {
        verdict.add(word.reason, 100, word.name.trim_end_matches('/'));
        return verdict;
    }
    if signs.headless_brand {
        verdict.add(Reason::Headless, 100, "(headless)");
        return verdict;
    }
    if let Some((_, score)) = SCANNER_PATHS.iter().find(|(begin, _)| begins(path, begin)) {
        verdict.add(Reason::ScannerPath, *score, "(scanner)");
    }
    if holds(user_agent, b"Chrome/") {
        if !signs.accept_language {
            verdict.add(Reason::NoAcceptLanguage, 60, "(chromium without language)");
        }
        if signs.https && !signs.sec_fetch {
            verdict.add(Reason::NoSecFetch, 60, "(chromium without sec-fetch)");
        }
    }
    verdict
}

fn begins(path: &[u8], begin: &[u8]) -> bool {
    // All have a slash first: what follows it rules most of them out.
    let may_begin = path.get(1).zip(begin.get(1)).is_some_and(|(one, other)| one.eq_ignore_ascii_case(other));
    may_begin && path.get(..begin.len()).is_some_and(|start| start.eq_ignore_ascii_case(begin))
}

#[cfg(test)]
pub(crate) mod tests;
