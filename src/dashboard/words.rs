//! The pages' own words in each language. What fields are called and mean is in [`crate::terms`].
//!
//! `words.tsv` has a line for each: its key, then the text in the languages' order.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::terms::Locale;

static WORDS: LazyLock<HashMap<&str, [&str; 2]>> = LazyLock::new(|| {
    let lines = include_str!("words.tsv").lines();
    let read = |line: &'static str| match *line.split('\t').collect::<Vec<_>>() {
        [key, first, second] => Some((key, [first, second])),
        _ => None,
    };
    lines.filter_map(read).collect()
});

/// The text of a key that is known.
pub(crate) fn known(key: &str, locale: Locale) -> Option<&'static str> {
    WORDS.get(key).map(|texts| locale.pick(*texts))
}

/// The text of a key; the key itself where there is none.
pub(crate) fn word(key: &str, locale: Locale) -> &str {
    known(key, locale).unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_word_in_all_languages() {
        let lines: Vec<&str> = include_str!("words.tsv").lines().collect();
        assert_eq!(WORDS.len(), lines.len(), "a line is no word, or a key stands twice");
        assert!(WORDS.values().flatten().all(|text| !text.trim().is_empty()));
    }
}
