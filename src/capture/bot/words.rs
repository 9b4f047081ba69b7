//! The words by which programs name themselves, looked for in one pass over a user agent.
//!
//! Rule: whole words, compared without case; never in the middle of one.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::Reason;

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

/// Words of people's agents that end like that: a maker of phones, and phones that are named as a bot is.
const PEOPLE: [&str; 4] = ["cubot", "htc butterfly", "htc_butterfly", "htc j butterfly"];

/// A word to look for.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) name: &'static str,
    pub(super) reason: Reason,
    open_start: bool,
    open_end: bool,
}

/// All words, ready for one pass over a user agent.
#[derive(Debug)]
pub(super) struct Table {
    automaton: AhoCorasick,
    words: Vec<Word>,
}

/// Constant data, so that all workers share it.
pub(super) static TABLE: LazyLock<Option<Table>> = LazyLock::new(Table::new);

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

    /// The word that names the program, if there is one.
    pub(super) fn find(&self, user_agent: &[u8]) -> Option<&Word> {
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
    include_str!("../data/bots.tsv").lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
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

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn ends_with_ignoring_case(text: &[u8], end: &str) -> bool {
    text.len() >= end.len() && text[text.len() - end.len()..].eq_ignore_ascii_case(end.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_well_formed() {
        let rows = include_str!("../data/bots.tsv").lines().filter(|line| !line.starts_with('#'));
        let words: Vec<Word> = listed().collect();
        assert_eq!(words.len(), rows.clone().count(), "every row is read");
        for word in words {
            assert!(word.name.len() > 1 && word.name == word.name.to_ascii_lowercase(), "{word:?}");
        }
        assert!(TABLE.is_some());
    }
}
