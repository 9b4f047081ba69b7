//! Whether a request comes from a person: a verdict with a score and reasons, from this one request alone.
//!
//! Rule: never by substrings in the middle of a word, and people in in-app browsers pass. The words are data
//! (`data/bots.tsv`, which `data/update-bots.py` writes, and the program's own below).

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

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

/// Names besides those of the list: whole words, compared without case; `*` where a word may go on.
const OWN_NAMES: [(&str, Reason); 40] = [
    ("googlebot*", Reason::Crawler),
    ("adsbot*", Reason::Crawler),
    ("google-safety", Reason::Crawler),
    ("chrome-lighthouse", Reason::Monitor),
    ("lighthouse", Reason::Monitor),
    ("pagespeed", Reason::Monitor),
    ("pingdom*", Reason::Monitor),
    ("monitoring", Reason::Monitor),
    ("site24x7", Reason::Monitor),
    ("better uptime", Reason::Monitor),
    ("updown.io", Reason::Monitor),
    ("kube-probe", Reason::Monitor),
    ("googlehc", Reason::Monitor),
    ("elb-healthchecker", Reason::Monitor),
    ("haproxy", Reason::Monitor),
    ("headlesschrome*", Reason::Headless),
    ("phantomjs", Reason::Headless),
    ("puppeteer", Reason::Headless),
    ("playwright", Reason::Headless),
    ("selenium", Reason::Headless),
    ("cypress", Reason::Headless),
    ("slackbot*", Reason::LinkPreview),
    ("bingpreview", Reason::LinkPreview),
    ("skypeuripreview", Reason::LinkPreview),
    ("viberbot", Reason::LinkPreview),
    ("okhttp", Reason::HttpLibrary),
    ("python-urllib", Reason::HttpLibrary),
    ("python-requests", Reason::HttpLibrary),
    ("aiohttp", Reason::HttpLibrary),
    ("node-fetch", Reason::HttpLibrary),
    ("undici", Reason::HttpLibrary),
    ("guzzlehttp", Reason::HttpLibrary),
    ("java/1*", Reason::HttpLibrary),
    ("libwww-perl", Reason::HttpLibrary),
    ("winhttp", Reason::HttpLibrary),
    ("postmanruntime", Reason::HttpLibrary),
    ("insomnia", Reason::HttpLibrary),
    ("sqlmap", Reason::Scanner),
    ("ubermetrics-technologies.com", Reason::Crawler),
    ("ranksonicsiteauditor", Reason::Crawler),
];

/// Ends of words that only programs have: `FooBot/1.0`, `foo-crawler`.
const OWN_ENDS: [&str; 7] = ["bot", "bots", "crawler", "spider", "scraper", "fetcher", "crawling"];

/// Words of people's agents that end like that: a maker of phones.
const PEOPLE: [&str; 1] = ["cubot"];

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

/// A word to look for.
#[derive(Debug)]
struct Word {
    name: &'static str,
    reason: Reason,
    open_start: bool,
    open_end: bool,
}

/// All words, ready for one pass over a user agent.
#[derive(Debug)]
struct Table {
    automaton: AhoCorasick,
    words: Vec<Word>,
}

/// Constant data, so that all workers share it.
static TABLE: LazyLock<Option<Table>> = LazyLock::new(Table::new);

impl Table {
    /// None should the constant data ever not compile: then the list lets everybody pass.
    fn new() -> Option<Self> {
        let own = OWN_NAMES.map(|(name, reason)| Word::new(name, reason));
        let ends = OWN_ENDS.map(|end| Word { open_start: true, ..Word::new(end, Reason::Crawler) });
        // Of several words at a place the first one names the bot.
        let words: Vec<Word> = listed().chain(own).chain(ends).collect();
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::DFA))
            .build(words.iter().map(|word| word.name))
            .ok()?;
        Some(Table { automaton, words })
    }

    fn find(&self, user_agent: &[u8]) -> Option<&Word> {
        let word_of = |found: &aho_corasick::Match| {
            let word = &self.words[found.pattern()];
            word.stands_at(user_agent, found.start(), found.end()).then_some((found.pattern(), word))
        };
        let found = self.automaton.find_overlapping_iter(user_agent).filter_map(|found| word_of(&found));
        found.min_by_key(|(pattern, _)| *pattern).map(|(_, word)| word)
    }
}

impl Word {
    fn new(name: &'static str, reason: Reason) -> Self {
        Word {
            name: name.trim_matches('*'),
            reason,
            open_start: name.starts_with('*'),
            open_end: name.ends_with('*'),
        }
    }

    /// Whether the word stands by itself where it was found, and is not a part of one of people's.
    fn stands_at(&self, text: &[u8], start: usize, end: usize) -> bool {
        let first_is_word = is_word(text[start]);
        let last_is_word = is_word(text[end - 1]);
        let starts = self.open_start || !first_is_word || start == 0 || !is_word(text[start - 1]);
        let ends = self.open_end || !last_is_word || text.get(end).is_none_or(|byte| !is_word(*byte));
        starts && ends && !PEOPLE.iter().any(|name| ends_with_ignoring_case(&text[..end], name))
    }
}

/// The words of the list.
fn listed() -> impl Iterator<Item = Word> {
    include_str!("data/bots.tsv").lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (name, kind) = line.split_once('\t')?;
        let reason = match kind {
            "crawler" => Reason::Crawler,
            "preview" => Reason::LinkPreview,
            "library" => Reason::HttpLibrary,
            "headless" => Reason::Headless,
            "monitor" => Reason::Monitor,
            "scanner" => Reason::Scanner,
            _ => return None,
        };
        Some(Word::new(name, reason))
    })
}

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

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn begins(path: &[u8], begin: &[u8]) -> bool {
    path.get(..begin.len()).is_some_and(|start| start.eq_ignore_ascii_case(begin))
}

fn ends_with_ignoring_case(text: &[u8], end: &str) -> bool {
    text.len() >= end.len() && text[text.len() - end.len()..].eq_ignore_ascii_case(end.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn the_list_is_well_formed() {
        let rows = include_str!("data/bots.tsv").lines().filter(|line| !line.starts_with('#'));
        let words: Vec<Word> = listed().collect();
        assert_eq!(words.len(), rows.clone().count(), "every row is read");
        for word in words {
            assert!(word.name.len() > 1 && word.name == word.name.to_ascii_lowercase(), "{word:?}");
        }
        assert!(TABLE.is_some());
    }

    /// The sample strings that come with the list.
    #[test]
    fn nearly_all_samples_of_the_list_are_bots() {
        let samples: Vec<&str> = include_str!("data/bot-agents.txt").lines().collect();
        let left: Vec<&&str> = samples.iter().filter(|agent| !judge(agent).is_certain()).collect();
        println!("{} of {} samples are bots; left: {left:#?}", samples.len() - left.len(), samples.len());
        assert!(samples.len() > 2000);
        assert!(left.len() * 100 <= samples.len(), "{left:#?}");
    }

    /// Browsers of people: `UAP_CORE` names a checkout of ua-parser/uap-core, whose tests are too large to be here.
    #[test]
    #[ignore = "needs a checkout of uap-core: UAP_CORE=… cargo test --lib -- --ignored browsers_of_people"]
    fn browsers_of_people_are_rarely_taken_for_bots() {
        let folder = std::path::PathBuf::from(std::env::var_os("UAP_CORE").expect("UAP_CORE"));
        let text = std::fs::read_to_string(folder.join("test_resources/firefox_user_agent_strings.yaml"))
            .unwrap()
            + &std::fs::read_to_string(folder.join("tests/test_os.yaml")).unwrap()
            + &std::fs::read_to_string(folder.join("tests/test_ua.yaml")).unwrap();
        let mut agents: Vec<(&str, &str)> = Vec::new();
        let quoted =
            |line: &'static str| line.split_once(':').map(|(_, text)| text.trim().trim_matches(['\'', '"']));
        let mut lines = text.leak().lines().peekable();
        while let Some(line) = lines.next() {
            let Some(agent) = line.trim_start().strip_prefix("- user_agent_string:") else { continue };
            let family = lines.peek().and_then(|line| quoted(line)).unwrap_or_default();
            agents.push((agent.trim().trim_matches(['\'', '"']), family));
        }
        // Some of its cases are programs, which it names as such.
        let is_program = |family: &str| judge(family).is_certain();
        let people: Vec<_> = agents
            .iter()
            .filter(|(agent, family)| agent.starts_with("Mozilla/5.0") && !is_program(family))
            .collect();
        let taken: Vec<_> = people.iter().filter(|(agent, _)| judge(agent).is_certain()).collect();
        println!("{} of {} browsers are taken for bots: {taken:#?}", taken.len(), people.len());
        assert!(people.len() > 1000 && taken.len() * 200 <= people.len());
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
