//! Whether a request comes from a person: a verdict with a score and reasons, from this one request alone.
//!
//! Rule: never by substrings in the middle of a word, and people in in-app browsers pass.

use aho_corasick::{AhoCorasick, MatchKind};

/// Reasons for suspicion, bits of [`Verdict::reasons`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Reason {
    /// The user agent names itself as a crawler or monitor.
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
}

impl Reason {
    /// All of them.
    const ALL: [Self; 7] = [
        Self::Crawler,
        Self::LinkPreview,
        Self::HttpLibrary,
        Self::Headless,
        Self::NoUserAgent,
        Self::NoAcceptLanguage,
        Self::NoSecFetch,
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

/// What the verdict looks at besides the user agent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Signs {
    /// There is an `Accept-Language`.
    pub accept_language: bool,
    /// There is a `Sec-Fetch-Mode`.
    pub sec_fetch: bool,
    /// The request came over https.
    pub https: bool,
}

/// Names by which programs give themselves away: whole words, compared without case. A name that ends with `*` may go
/// on (`headlesschrome/120`).
const NAMES: [(&str, Reason); 58] = [
    ("googlebot*", Reason::Crawler),
    ("adsbot*", Reason::Crawler),
    ("mediapartners-google", Reason::Crawler),
    ("apis-google", Reason::Crawler),
    ("google-inspectiontool", Reason::Crawler),
    ("googleother", Reason::Crawler),
    ("storebot-google", Reason::Crawler),
    ("bingbot", Reason::Crawler),
    ("bingpreview", Reason::LinkPreview),
    ("slurp", Reason::Crawler),
    ("duckduckbot*", Reason::Crawler),
    ("baiduspider*", Reason::Crawler),
    ("yandexbot", Reason::Crawler),
    ("yandeximages", Reason::Crawler),
    ("yandexmobilebot", Reason::Crawler),
    ("petalbot", Reason::Crawler),
    ("applebot", Reason::Crawler),
    ("semrushbot*", Reason::Crawler),
    ("ahrefsbot", Reason::Crawler),
    ("ahrefssiteaudit", Reason::Crawler),
    ("mj12bot", Reason::Crawler),
    ("dotbot", Reason::Crawler),
    ("bytespider", Reason::Crawler),
    ("gptbot", Reason::Crawler),
    ("oai-searchbot", Reason::Crawler),
    ("chatgpt-user", Reason::Crawler),
    ("claudebot", Reason::Crawler),
    ("perplexitybot", Reason::Crawler),
    ("ccbot", Reason::Crawler),
    ("amazonbot", Reason::Crawler),
    ("uptimerobot", Reason::Crawler),
    ("pingdom*", Reason::Crawler),
    ("chrome-lighthouse", Reason::Crawler),
    ("pagespeed", Reason::Crawler),
    ("crawler", Reason::Crawler),
    ("spider", Reason::Crawler),
    ("bot", Reason::Crawler),
    ("facebookexternalhit", Reason::LinkPreview),
    ("facebookcatalog", Reason::Crawler),
    ("meta-externalagent", Reason::Crawler),
    ("twitterbot", Reason::LinkPreview),
    ("linkedinbot", Reason::LinkPreview),
    ("slackbot*", Reason::LinkPreview),
    ("telegrambot", Reason::LinkPreview),
    ("discordbot", Reason::LinkPreview),
    ("skypeuripreview", Reason::LinkPreview),
    ("viberbot", Reason::LinkPreview),
    ("curl", Reason::HttpLibrary),
    ("wget", Reason::HttpLibrary),
    ("python-requests", Reason::HttpLibrary),
    ("python-urllib", Reason::HttpLibrary),
    ("aiohttp", Reason::HttpLibrary),
    ("go-http-client", Reason::HttpLibrary),
    ("okhttp", Reason::HttpLibrary),
    ("axios", Reason::HttpLibrary),
    ("scrapy", Reason::HttpLibrary),
    ("headlesschrome*", Reason::Headless),
    ("phantomjs", Reason::Headless),
];

/// The table of names, ready for one pass over a user agent.
#[derive(Debug, Clone)]
pub struct BotNames {
    automaton: AhoCorasick,
}

impl BotNames {
    /// Compiles the table.
    pub fn new() -> Self {
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .build(NAMES.map(|(name, _)| name.trim_end_matches('*')));
        // The table is a constant; should it ever not compile, an empty one lets everybody pass.
        Self {
            automaton: automaton
                .unwrap_or_else(|_| AhoCorasick::new(&[] as &[&str]).unwrap_or_else(|_| unreachable!())),
        }
    }

    /// What a request is thought of.
    pub fn judge(&self, user_agent: &[u8], signs: Signs) -> Verdict {
        let mut verdict = Verdict::default();
        if user_agent.trim_ascii().is_empty() {
            verdict.add(Reason::NoUserAgent, CERTAIN, "(no user agent)");
            return verdict;
        }
        if let Some((name, reason)) = self.find(user_agent) {
            verdict.add(reason, 100, name.trim_end_matches('*'));
            return verdict;
        }
        if memchr::memmem::find(user_agent, b"Chrome/").is_some() {
            if !signs.accept_language {
                verdict.add(Reason::NoAcceptLanguage, 60, "(chromium without language)");
            }
            if signs.https && !signs.sec_fetch {
                verdict.add(Reason::NoSecFetch, 60, "(chromium without sec-fetch)");
            }
        }
        verdict
    }

    fn find(&self, user_agent: &[u8]) -> Option<(&'static str, Reason)> {
        self.automaton
            .find_overlapping_iter(user_agent)
            .map(|found| (found, NAMES[found.pattern()]))
            .find_map(|(found, (name, reason))| {
                let starts = found.start() == 0 || !is_word(user_agent[found.start() - 1]);
                let ends =
                    name.ends_with('*') || user_agent.get(found.end()).is_none_or(|byte| !is_word(*byte));
                (starts && ends).then_some((name, reason))
            })
    }
}

impl Default for BotNames {
    fn default() -> Self {
        Self::new()
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERSON: Signs = Signs { accept_language: true, sec_fetch: true, https: true };

    fn judge(user_agent: &str) -> Verdict {
        BotNames::new().judge(user_agent.as_bytes(), PERSON)
    }

    #[test]
    fn bots_that_say_so_are_certain() {
        for user_agent in [
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0)",
            "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
            "curl/8.5.0",
            "python-requests/2.31.0",
            "Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/120.0.0.0 Safari/537.36",
            "SomeNew Bot/1.0",
            "",
            "  ",
        ] {
            assert!(judge(user_agent).is_certain(), "{user_agent}");
        }
    }

    #[test]
    fn people_pass() {
        for user_agent in [
            "Mozilla/5.0 (Linux; Android 9; Cubot X19) AppleWebKit/537.36 Chrome/80.0 Mobile Safari/537.36",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 [LinkedInApp]/9.29",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/21A329 [FBAN/FBIOS;FBAV/440.0]",
            "Mozilla/5.0 (Linux; Android 13) AppleWebKit/537.36 Chrome/117.0 Mobile Safari/537.36 Instagram 300.0",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 16_6 like Mac OS X) Twitter for iPhone/9.60",
            "Mozilla/5.0 (Linux; arm_64; Android 12) YaApp_Android/22.116 YaSearchBrowser/22.116",
        ] {
            assert_eq!(judge(user_agent), Verdict::default(), "{user_agent}");
        }
    }

    #[test]
    fn a_chromium_without_its_headers_is_doubtful_or_worse() {
        let chrome = b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0 Safari/537.36";
        let names = BotNames::new();
        let judge = |signs| names.judge(chrome, signs);
        assert_eq!(judge(PERSON).score, 0);
        assert_eq!(judge(Signs { accept_language: false, ..PERSON }).score, 60);
        assert_eq!(judge(Signs { sec_fetch: false, ..PERSON }).score, 60);
        assert_eq!(judge(Signs { sec_fetch: false, https: false, ..PERSON }).score, 0, "plain http has none");
        assert!(judge(Signs { sec_fetch: false, accept_language: false, https: true }).is_certain());
    }
}
