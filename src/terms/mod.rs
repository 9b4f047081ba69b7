//! What the fields of reports are called and what they mean, in each language: one table for CSV and for pages.
//!
//! `terms.tsv` has a line for each: the field, what kind of value it is, its name and its definition in the languages'
//! order. Where a field means something of its own in one report, that line's field begins with the report's name. A field
//! without a line is called by its own name.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The languages, the first by default (ISO 639-1).
pub const LOCALES: &[&str] = &["en", "uk"];

/// Fields that reports can be filtered by, in the order in which statements take them.
pub const FILTERS: [&str; 8] =
    ["source", "medium", "campaign", "content", "term", "device", "country", "channel"];

/// The numbers by which lists compare what their rows are about, in the order of the columns.
pub const MEASURES: &[&str] = &[
    "sessions",
    "visitors",
    "conversions",
    "conversion_rate",
    "orders",
    "revenue",
    "avg_order_value",
    "total_score",
    "bounce_rate",
];

/// Which of [`LOCALES`].
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Locale(usize);

/// What kind of value a field has: how it is written for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Words, ids.
    Text,
    /// Yes or no.
    Flag,
    /// Whole things.
    Count,
    /// A number with a fraction.
    Number,
    /// Decimal text in minor units of a currency.
    Money,
    /// Percent.
    Rate,
    /// A part of one.
    Share,
    /// Percent, from `low` to `high`.
    Interval,
    /// A difference of rates, in points.
    Points,
    /// The p-value of a test.
    P,
    /// Time that passed.
    Seconds,
    /// The same, in days.
    Days,
    /// An instant.
    Time,
    /// The beginning of an hour or a day.
    Begin,
    /// What came one after the other.
    Way,
}

/// A field of reports.
#[derive(Debug)]
pub struct Term {
    /// How its values are written.
    pub kind: Kind,
    names: [&'static str; 2],
    definitions: [&'static str; 2],
}

static TERMS: LazyLock<HashMap<&str, Term>> = LazyLock::new(|| {
    let lines = include_str!("terms.tsv").lines();
    lines.filter_map(|line| read(&line.split('\t').collect::<Vec<_>>())).collect()
});

fn read(line: &[&'static str]) -> Option<(&'static str, Term)> {
    let &[field, kind, first_name, second_name, first_definition, second_definition] = line else {
        return None;
    };
    let kind = match kind {
        "text" => Kind::Text,
        "flag" => Kind::Flag,
        "count" => Kind::Count,
        "number" => Kind::Number,
        "money" => Kind::Money,
        "rate" => Kind::Rate,
        "share" => Kind::Share,
        "interval" => Kind::Interval,
        "seconds" => Kind::Seconds,
        "days" => Kind::Days,
        "time" => Kind::Time,
        "begin" => Kind::Begin,
        "points" => Kind::Points,
        "p" => Kind::P,
        "way" => Kind::Way,
        _ => return None,
    };
    let (names, definitions) = ([first_name, second_name], [first_definition, second_definition]);
    Some((field, Term { kind, names, definitions }))
}

impl Locale {
    /// The language of this name.
    pub fn of(name: &str) -> Option<Locale> {
        LOCALES.iter().position(|known| *known == name).map(Locale)
    }

    /// The first one of an `Accept-Language` that is known here (RFC 9110, section 12.5.4), weights aside: browsers
    /// send what they like best first.
    pub fn accepted(languages: &str) -> Locale {
        let names = languages.split(',').map(|range| range.trim_start().get(..2).unwrap_or_default());
        names.map(str::to_ascii_lowercase).find_map(|name| Locale::of(&name)).unwrap_or_default()
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        LOCALES[self.0]
    }

    /// Which one of the texts is in it.
    pub fn pick<T: Copy>(self, texts: [T; 2]) -> T {
        texts[self.0]
    }
}

impl Term {
    /// The one of a field by its path (a report, what is within another, the field): that of the whole path or else of
    /// its longest end that has one.
    pub fn of(path: &str) -> Option<&'static Term> {
        let ends = std::iter::successors(Some(path), |end| end.split_once('/').map(|(_, end)| end));
        ends.into_iter().find_map(|end| TERMS.get(end))
    }

    /// What it is called.
    pub fn name(&self, locale: Locale) -> &'static str {
        locale.pick(self.names)
    }

    /// What it means.
    pub fn definition(&self, locale: Locale) -> &'static str {
        locale.pick(self.definitions)
    }
}

/// What a column of a file is called: by its name in JSON, unless the language is another than the first.
pub fn heading(field: &str, locale: Locale) -> String {
    match Term::of(field).filter(|_| locale != Locale::default()) {
        Some(term) if term.kind == Kind::Rate => format!("{} (%)", term.name(locale)),
        Some(term) => term.name(locale).to_owned(),
        None => field.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_term_with_all_its_texts() {
        let lines: Vec<&str> = include_str!("terms.tsv").lines().collect();
        assert_eq!(TERMS.len(), lines.len(), "a line is no term, or a field stands twice");
        for (field, term) in TERMS.iter() {
            let texts = term.names.iter().chain(&term.definitions);
            assert!(texts.into_iter().all(|text| !text.trim().is_empty()), "{field}");
            assert!(term.definitions.iter().all(|text| text.ends_with('.')), "{field}");
        }
    }

    #[test]
    fn a_field_means_what_it_does_in_its_report() {
        let name = |path| Term::of(path).map(|term| term.name(Locale(0)));
        assert_eq!(name("sources/orders"), name("orders"));
        assert_eq!(name("attribution/models/last/orders"), Some("Last"));
        assert_ne!(
            Term::of("ab-test/conversions").unwrap().definitions,
            Term::of("conversions").unwrap().definitions
        );
        assert_eq!(name("sources/nothing"), None);
    }

    #[test]
    fn columns_are_called_by_language() {
        let [english, ukrainian] = [Locale(0), Locale(1)];
        assert_eq!(heading("conversion_rate", english), "conversion_rate");
        assert_eq!(heading("conversion_rate", ukrainian), "CR (%)");
        assert_eq!(heading("sessions", ukrainian), "Сесії");
        assert_eq!(heading("fbclid", ukrainian), "fbclid");
    }

    #[test]
    fn the_first_language_that_is_known_is_taken() {
        for (languages, locale) in
            [("uk-UA,uk;q=0.9,en;q=0.8", "uk"), ("de, UK;q=0.5", "uk"), ("", "en"), ("ї", "en"), ("fr", "en")]
        {
            assert_eq!(Locale::accepted(languages).name(), locale, "{languages}");
        }
    }
}
