//! What a page is asked for: the pairs of its query string, kept from link to link.
//!
//! They are those of the reports, with a few of the pages' own: `lang`; `last`, the last day of a window, which reports
//! take as the first day after it; `of_site`, whose order it is; and the fields of the form that adds a filter.

use std::collections::BTreeSet;

use jiff::ToSpan;
use jiff::civil::Date;

use crate::terms::FILTERS;

/// Longest query string, in bytes: each link of a page repeats it.
const QUESTION_BYTES: usize = 2048;

/// Most rows of a page; files have more.
const PAGE_ROWS: u32 = 200;

/// What a page shows when nothing is said of time.
const PERIOD: &str = "week";

/// What is kept when another page is gone to, filters aside.
const LASTING: [&str; 10] =
    ["lang", "period", "from", "to", "last", "timezone", "site", "bots", "date_basis", "model"];

/// Fields of the form that adds a filter: the field, the sign before `=`, the value.
const ADDED: [&str; 3] = ["add_field", "add_sign", "add_value"];

/// What a report is asked when a page's address does not say it.
pub(crate) type Defaults = &'static [(&'static str, &'static str)];

/// The pairs, without those that say nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Question {
    pairs: Vec<(String, String)>,
    defaults: Defaults,
}

/// What a report is asked.
pub(crate) struct Asked {
    /// Its query string.
    pub(crate) query: String,
    /// Filters that it does not know.
    pub(crate) left_out: Vec<String>,
}

impl Question {
    /// Reads a query string; none when it is too long to be repeated in every link.
    pub(crate) fn read(query: &str) -> Option<Question> {
        if query.len() > QUESTION_BYTES {
            return None;
        }
        let said = form_urlencoded::parse(query.as_bytes()).into_owned();
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in said.filter(|(_, value)| !value.trim().is_empty()) {
            // What a form holds hidden goes before what is typed into it.
            if ["from", "to", "last"].contains(&name.as_str()) {
                pairs.retain(|(known, _)| *known != name);
            }
            pairs.push((name, value));
        }
        let has = |pairs: &[(String, String)], wanted: &str| pairs.iter().any(|(name, _)| name == wanted);
        if has(&pairs, "last") {
            pairs.retain(|(name, _)| name != "to");
        }
        // The API's spelling of a last day.
        for (name, value) in &mut pairs {
            if let ("to", Some(last)) = (name.as_str(), days_later(value, -1)) {
                (*name, *value) = ("last".to_owned(), last);
            }
        }
        if has(&pairs, "from") || has(&pairs, "last") {
            pairs.retain(|(name, _)| name != "period");
        }
        Some(Question { pairs, defaults: &[] })
    }

    /// With what is asked where nothing is said.
    pub(crate) fn or(mut self, defaults: Defaults) -> Question {
        self.defaults = defaults;
        self
    }

    /// The same with the filter that the form adds; none when it adds none.
    pub(crate) fn with_added(&self) -> Option<Question> {
        let field = self.one(ADDED[0])?;
        let mut question = self.without(&ADDED);
        let sign = self.one(ADDED[1]).unwrap_or_default();
        match self.one(ADDED[2]) {
            Some(value) if FILTERS.contains(&field) => {
                question.pairs.push((format!("{field}{sign}"), value.to_owned()))
            }
            Some(value) if field == "site" => question.pairs.push((field.to_owned(), value.to_owned())),
            _ => {}
        }
        Some(question)
    }

    /// The first value of this name.
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Names and values of filters, the sign before `=` with the name; sites, too.
    pub(crate) fn filters(&self) -> impl Iterator<Item = (&str, &str)> {
        let filters = self.pairs.iter().filter(|(name, _)| is_filter(name) || name == "site");
        filters.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// All pairs but those of these names.
    pub(crate) fn others<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = (&'a str, &'a str)> {
        let others = self.pairs.iter().filter(|(name, _)| !names.contains(&name.as_str()));
        others.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The named period; the usual one when nothing is said, none when days are.
    pub(crate) fn period(&self) -> Option<&str> {
        let by_days = ["from", "to", "last"].iter().any(|name| self.one(name).is_some());
        let usual =
            self.defaults.iter().find(|(name, _)| *name == "period").map_or(PERIOD, |(_, usual)| usual);
        self.one("period").or((!by_days).then_some(usual))
    }

    /// With this value instead of those there; another page of a list begins anew.
    pub(crate) fn with(&self, name: &str, value: &str) -> Question {
        let mut question = self.without(&[name, "cursor"]);
        question.pairs.push((name.to_owned(), value.to_owned()));
        question
    }

    /// With this period and without days.
    pub(crate) fn in_period(&self, period: &str) -> Question {
        self.without(&["from", "to", "last"]).with("period", period)
    }

    /// With this filter, once.
    pub(crate) fn filtered(&self, field: &str, value: &str) -> Question {
        let mut question = self.unfiltered(field, value);
        question.pairs.push((field.to_owned(), value.to_owned()));
        question
    }

    /// Without this filter.
    pub(crate) fn unfiltered(&self, field: &str, value: &str) -> Question {
        let mut question = self.without(&["cursor"]);
        question.pairs.retain(|(known, its)| known != field || its != value);
        question
    }

    /// What is kept when another page is gone to.
    pub(crate) fn lasting(&self) -> Question {
        let mut question = self.clone();
        question.pairs.retain(|(name, _)| LASTING.contains(&name.as_str()) || is_filter(name));
        question
    }

    /// Without these.
    pub(crate) fn without(&self, names: &[&str]) -> Question {
        let mut question = self.clone();
        question.pairs.retain(|(name, _)| !names.contains(&name.as_str()));
        question
    }

    /// Without what only lists can be asked; of a thing that is of one site, of that one.
    pub(crate) fn about_one(&self) -> Question {
        let mut question = self.without(if self.one("of_site").is_some() { &["site"] } else { &[] });
        question.pairs.retain(|(name, _)| !is_filter(name));
        question
    }

    /// With as many rows as a page shows at most.
    pub(crate) fn of_a_page(&self) -> Question {
        let mut question = self.clone();
        for (name, value) in &mut question.pairs {
            if name == "limit" && value.parse().is_ok_and(|limit: u32| limit > PAGE_ROWS) {
                *value = PAGE_ROWS.to_string();
            }
        }
        question
    }

    /// As a query string, with its `?` if there is anything.
    pub(crate) fn link(&self) -> String {
        if self.pairs.is_empty() { String::new() } else { format!("?{}", encode(&self.pairs)) }
    }

    /// The same page with this question: an address of nothing would be the one with the question there is.
    pub(crate) fn here(&self) -> String {
        if self.pairs.is_empty() { "?".to_owned() } else { self.link() }
    }

    /// What a report is asked that takes these parameters.
    pub(crate) fn to(&self, accepted: &BTreeSet<String>) -> Asked {
        let takes = |name: &str| accepted.contains(name);
        let mut pairs = Vec::with_capacity(self.pairs.len() + 1);
        let mut left_out = Vec::new();
        for (name, value) in &self.pairs {
            match name.as_str() {
                "last" if takes("to") => {
                    pairs.push(("to".to_owned(), days_later(value, 1).unwrap_or_else(|| value.clone())));
                }
                "of_site" if takes("site") => pairs.push(("site".to_owned(), value.clone())),
                known if takes(known) => pairs.push((name.clone(), value.clone())),
                known if is_filter(known) => left_out.push(known.trim_end_matches(['!', '~']).to_owned()),
                _ => {}
            }
        }
        let usual = self.period().map(|period| ("period", period));
        for (name, value) in usual.into_iter().chain(self.defaults.iter().copied()) {
            let is_said = pairs.iter().any(|(known, _)| known == name);
            if takes(name) && !is_said && (name != "period" || self.period() == Some(value)) {
                pairs.push((name.to_owned(), value.to_owned()));
            }
        }
        Asked { query: encode(&pairs), left_out }
    }
}

fn encode(pairs: &[(String, String)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// A filter as it is written in a query string: a field and one of the signs `!`, `~`, `!~` or none.
fn is_filter(name: &str) -> bool {
    FILTERS.contains(&name.trim_end_matches(['!', '~']))
}

/// So many days after a day. What is no day is none: the report says what is wrong with it.
pub(crate) fn days_later(day: &str, days: i64) -> Option<String> {
    let later = day.parse::<Date>().ok().filter(|_| day.len() == 10)?.checked_add(days.days()).ok()?;
    Some(later.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Question {
        Question::read(query).unwrap()
    }

    fn asked(question: &Question, names: &[&str]) -> String {
        question.to(&names.iter().map(|name| (*name).to_owned()).collect()).query
    }

    #[test]
    fn reports_are_asked_what_they_take() {
        let question =
            read("source~=x&last=2026-11-30&from=2026-11-01&lang=uk&metric=ltv&period=year&site=&limit=1000");
        assert_eq!(
            asked(&question.of_a_page(), &["from", "to", "source~", "period", "limit"]),
            "source%7E=x&to=2026-12-01&from=2026-11-01&limit=200"
        );
        let without = question.to(&BTreeSet::from(["metric".to_owned()]));
        assert_eq!((without.query.as_str(), without.left_out), ("metric=ltv", vec!["source".to_owned()]));
        assert_eq!(asked(&read("last=never"), &["to"]), "to=never");
        assert_eq!(asked(&read("site=a&of_site=b&source=x").about_one(), &["site", "source"]), "site=b");
        assert_eq!(asked(&read("site=a").about_one(), &["site"]), "site=a");
    }

    #[test]
    fn what_is_not_said_is_the_usual() {
        let names = ["period", "from", "to", "mode"];
        assert_eq!(asked(&read(""), &names), "period=week");
        let defaults: Defaults = &[("period", "year"), ("mode", "open")];
        assert_eq!(asked(&read("").or(defaults), &names), "period=year&mode=open");
        assert_eq!(asked(&read("period=today&mode=closed").or(defaults), &names), "period=today&mode=closed");
        assert_eq!(asked(&read("from=2026-11-01").or(defaults), &names), "from=2026-11-01&mode=open");
    }

    #[test]
    fn a_window_is_spelt_in_days_that_are_in_it() {
        assert_eq!(read("from=2026-11-01&to=2026-12-01").link(), "?from=2026-11-01&last=2026-11-30");
        assert_eq!(read("to=2026-12-01&last=2026-11-05").link(), "?last=2026-11-05");
        assert_eq!(read("from=2026-11-01T10:00:00Z&from=2026-11-05").link(), "?from=2026-11-05");
        let hours = "from=2026-11-01T10%3A00%3A00Z&to=2026-11-02T10%3A00%3A00Z";
        assert_eq!(read(hours).link(), format!("?{hours}"));
    }

    #[test]
    fn what_every_link_would_repeat_is_not_long() {
        assert!(Question::read(&"!".repeat(QUESTION_BYTES)).is_some());
        assert!(Question::read(&"!".repeat(QUESTION_BYTES + 1)).is_none());
    }

    #[test]
    fn links_change_what_they_are_for_and_keep_the_rest() {
        let question = read("source=a&cursor=c&metric=ltv&lang=uk");
        assert_eq!(question.with("metric", "orders").link(), "?source=a&lang=uk&metric=orders");
        assert_eq!(question.filtered("source", "b").link(), "?source=a&metric=ltv&lang=uk&source=b");
        assert_eq!(question.filtered("source", "a").link(), "?metric=ltv&lang=uk&source=a");
        assert_eq!(question.unfiltered("source", "a").link(), "?metric=ltv&lang=uk");
        assert_eq!(read("source=a").unfiltered("source", "a").here(), "?");
        assert_eq!(question.lasting().link(), "?source=a&lang=uk");
        assert_eq!(read("from=2026-01-01").in_period("year").link(), "?period=year");
    }

    #[test]
    fn the_form_adds_a_filter() {
        let added = |query| read(query).with_added().map(|question| question.link());
        assert_eq!(added("period=year").as_deref(), None);
        assert_eq!(added("add_field=source&add_sign=!~&add_value=a b").as_deref(), Some("?source%21%7E=a+b"));
        assert_eq!(added("add_field=site&add_sign=!&add_value=b").as_deref(), Some("?site=b"));
        assert_eq!(added("add_field=password&add_value=x&period=year").as_deref(), Some("?period=year"));
        assert_eq!(added("add_field=source&add_sign=&add_value=").as_deref(), Some(""));
    }
}
