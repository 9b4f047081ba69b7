//! Whether a request comes from a person: a verdict with a score and reasons, from this one request alone.
//!
//! Rule: never by substrings in the middle of a word, and people in in-app browsers pass. The words are data
//! (`data/bots.tsv`, which `data/update-bots.py` writes, and the program's own below).

use std::sync::LazyLock;

use words::TABLE;

mod words;

/// Version of words and rules, noted with each verdict; to be raised with every change of them.
pub const RULES_VERSION: u8 = 2;

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

/// The names of programs.
#[derive(Debug, Clone, Default)]
pub struct BotNames;

impl BotNames {
    /// Makes the table, if nobody has: some ten milliseconds.
    pub fn new() -> Self {
        LazyLock::force(&TABLE);
        BotNames
    }

    /// What a request is thought of.
    pub fn judge(&self, user_agent: &[u8], path: &[u8], signs: Signs) -> Verdict {
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
}

fn begins(path: &[u8], begin: &[u8]) -> bool {
    path.get(..begin.len()).is_some_and(|start| start.eq_ignore_ascii_case(begin))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::uap_core;

    const PERSON: Signs =
        Signs { accept_language: true, sec_fetch: true, headless_brand: false, https: true };

    fn judge(user_agent: &str) -> Verdict {
        BotNames::new().judge(user_agent.as_bytes(), b"/", PERSON)
    }

    #[test]
    fn bots_that_say_so_are_certain() {
        for (user_agent, bot, reason) in [
            (
                "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
                "googlebot",
                Reason::Crawler,
            ),
            (
                "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0)",
                "bingbot",
                Reason::Crawler,
            ),
            (
                "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
                "facebookexternalhit",
                Reason::LinkPreview,
            ),
            ("TelegramBot (like TwitterBot)", "telegrambot", Reason::LinkPreview),
            ("WhatsApp/2.23.20.0", "whatsapp", Reason::LinkPreview),
            ("curl/8.5.0", "curl", Reason::HttpLibrary),
            ("python-requests/2.31.0", "python-requests", Reason::HttpLibrary),
            (
                "Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/120.0.0.0 Safari/537.36",
                "headlesschrome",
                Reason::Headless,
            ),
            (
                "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)",
                "uptimerobot",
                Reason::Monitor,
            ),
            ("SomeNew Bot/1.0", "bot", Reason::Crawler),
            ("FreshlyMadeBot/1.0", "bot", Reason::Crawler),
            ("", "(no user agent)", Reason::NoUserAgent),
            ("  ", "(no user agent)", Reason::NoUserAgent),
        ] {
            let verdict = judge(user_agent);
            assert!(verdict.is_certain(), "{user_agent}");
            assert_eq!((verdict.bot, verdict.reasons), (bot, reason as u32), "{user_agent}");
        }
    }

    #[test]
    fn people_pass() {
        for user_agent in [
            "Mozilla/5.0 (Linux; Android 9; Cubot X19) AppleWebKit/537.36 Chrome/80.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 8.1; CUBOT_NOTE_S) AppleWebKit/537.36 Chrome/80.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 10; CUBOT) AppleWebKit/537.36 Chrome/80.0 Mobile Safari/537.36",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 [LinkedInApp]/9.29",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/21A329 [FBAN/FBIOS;FBAV/440.0]",
            "Mozilla/5.0 (Linux; Android 13) AppleWebKit/537.36 Chrome/117.0 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/440.0]",
            "Mozilla/5.0 (Linux; Android 13) AppleWebKit/537.36 Chrome/117.0 Mobile Safari/537.36 Instagram 300.0",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 16_6 like Mac OS X) Twitter for iPhone/9.60",
            "Mozilla/5.0 (Linux; arm_64; Android 12) YaApp_Android/22.116 YaSearchBrowser/22.116",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) musical_ly_33.5.0 BytedanceWebview/d8a21c6",
            "Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/124.0 Mobile Safari/537.36 Telegram-Android/10.14.2",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Telegram-iOS/10.1",
            "Mozilla/5.0 (Linux; Android 13; SM-A536B) Chrome/120.0 Mobile Safari/537.36 Viber/21.3",
            "Mozilla/5.0 (Linux; Android 9; KFMAWI) AppleWebKit/537.36 Silk/108.4 like Chrome/108.0 Safari/537.36",
        ] {
            assert_eq!(judge(user_agent), Verdict::default(), "{user_agent}");
        }
    }

    /// The sample strings that come with the list.
    #[test]
    fn nearly_all_samples_of_the_list_are_bots() {
        let samples: Vec<&str> = include_str!("../data/bot-agents.txt").lines().collect();
        let left: Vec<&&str> = samples.iter().filter(|agent| !judge(agent).is_certain()).collect();
        println!("{} of {} samples are bots; left: {left:#?}", samples.len() - left.len(), samples.len());
        assert!(samples.len() > 2000);
        assert!(left.len() * 100 <= samples.len(), "{left:#?}");
    }

    /// Agents of people: all that uap-core's cases of devices, and its list of Firefoxes, do not call a spider.
    #[test]
    #[ignore = "needs a checkout of uap-core: UAP_CORE=… cargo test --lib -- --ignored people_are_rarely"]
    fn people_are_rarely_taken_for_bots() {
        let mut cases = uap_core::cases("tests/test_device.yaml");
        cases.extend(uap_core::cases("test_resources/firefox_user_agent_strings.yaml"));
        let is = |case: &uap_core::Case, family| case.get("family").is_some_and(|known| known == family);
        let agents = cases.iter().filter(|case| !is(case, "Spider")).map(|case| &case["user_agent_string"]);
        let people: Vec<&String> = agents.filter(|agent| agent.starts_with("Mozilla/5.0")).collect();
        let taken: Vec<_> = people.iter().filter(|agent| judge(agent).is_certain()).collect();
        println!("{} of {} people are taken for bots: {taken:#?}", taken.len(), people.len());
        assert!(people.len() > 10_000 && taken.len() * 200 <= people.len());
        let spiders: Vec<_> = cases.iter().filter(|case| is(case, "Spider")).collect();
        let missed: Vec<_> =
            spiders.iter().filter(|case| !judge(&case["user_agent_string"]).is_certain()).collect();
        println!("{} of {} spiders are taken for people", missed.len(), spiders.len());
    }

    #[test]
    fn a_chromium_without_its_headers_is_doubtful_or_worse() {
        let chrome = b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0 Safari/537.36";
        let names = BotNames::new();
        let judge = |signs| names.judge(chrome, b"/", signs);
        assert_eq!(judge(PERSON).score, 0);
        assert_eq!(judge(Signs { accept_language: false, ..PERSON }).score, 60);
        assert_eq!(judge(Signs { sec_fetch: false, ..PERSON }).score, 60);
        assert_eq!(judge(Signs { sec_fetch: false, https: false, ..PERSON }).score, 0, "plain http has none");
        assert!(
            judge(Signs { sec_fetch: false, accept_language: false, https: true, ..PERSON }).is_certain()
        );
        assert!(judge(Signs { headless_brand: true, ..PERSON }).is_certain());
    }

    #[test]
    fn who_looks_for_holes_is_no_visitor() {
        let firefox = b"Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0";
        let score = |path: &str| BotNames::new().judge(firefox, path.as_bytes(), PERSON).score;
        for path in ["/.env", "/.ENV.bak", "/.git/config", "/phpMyAdmin/index.php", "/cgi-bin/x"] {
            assert_eq!(score(path), CERTAIN, "{path}");
        }
        assert_eq!(score("/wp-login.php"), 60, "a shop's staff may go there");
        for path in ["/", "/environment", "/p/.env", "/git/", "/wp-admin/admin-ajax.php", "/wp-content/x"] {
            assert_eq!(score(path), 0, "{path}");
        }
    }
}
