//! What a page is asked for: the pairs of its query string, kept from link to link.
//!
//! They are those of the reports, with a few of the pages' own: `lang`; `last`, the last day of a window, which reports
//! take as the first day after it; and the fields of the form that adds a filter.

use std::collections::BTreeSet;

use jiff::ToSpan;
use jiff::civil::Date;

/// What a page shows when nothing is said of time.
const PERIOD: &str = "week";

/// What is kept when another page is gone to.
const LASTING: [&str; 9] =
    ["period", "from", "to", "last", "timezone", "site", "bots", "date_basis", "model"];

/// Pairs that only pages know.
const OWN: [&str; 2] = ["lang", "last"];

/// Fields of the form that adds a filter: the field, the sign before `=`, the value.
const ADDED: [&str; 3] = ["add_field", "add_sign", "add_value"];

/// Fields that can be filtered by.
pub(crate) const FIELDS: [&str; 8] =
    ["source", "medium", "campaign", "content", "term", "device", "country", "channel"];

/// The pairs, without those that say nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Question(Vec<(String, String)>);

/// What a report is asked.
pub(crate) struct Asked {
    /// Its query string.
    pub(crate) query: String,
    /// Filters that it does not know.
    pub(crate) left_out: Vec<String>,
}

impl Question {
    /// Reads a query string.
    pub(crate) fn read(query: &str) -> Question {
        let pairs = form_urlencoded::parse(query.as_bytes()).into_owned();
        let mut pairs: Vec<(String, String)> = pairs.filter(|(_, value)| !value.trim().is_empty()).collect();
        if pairs.iter().any(|(name, _)| name == "from" || name == "last") {
            pairs.retain(|(name, _)| name != "period");
        }
        Question(pairs)
    }

    /// The same with the filter that the form adds; none when it adds none.
    pub(crate) fn with_added(&self) -> Option<Question> {
        let field = self.one(ADDED[0])?;
        let mut question = self.clone();
        question.0.retain(|(name, _)| !ADDED.contains(&name.as_str()));
        if let (true, Some(value)) = (FIELDS.contains(&field), self.one(ADDED[2])) {
            let name = format!("{field}{}", self.one(ADDED[1]).unwrap_or_default());
            question.0.push((name, value.to_owned()));
        }
        Some(question)
    }

    /// The first value of this name.
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Names and values of filters, the sign before `=` with the name.
    pub(crate) fn filters(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter(|(name, _)| is_filter(name)).map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// All pairs but those of these names.
    pub(crate) fn others<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = (&'a str, &'a str)> {
        let others = self.0.iter().filter(|(name, _)| !names.contains(&name.as_str()));
        others.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The named period; the usual one when nothing is said, none when days are.
    pub(crate) fn period(&self) -> Option<&str> {
        let by_days = ["from", "to", "last"].iter().any(|name| self.one(name).is_some());
        self.one("period").or((!by_days).then_some(PERIOD))
    }

    /// With this value instead of those there; another page of a list begins anew.
    pub(crate) fn with(&self, name: &str, value: &str) -> Question {
        let mut question = self.without(&[name, "cursor"]);
        question.0.push((name.to_owned(), value.to_owned()));
        question
    }

    /// With this period and without days.
    pub(crate) fn in_period(&self, period: &str) -> Question {
        self.without(&["from", "to", "last"]).with("period", period)
    }

    /// With this filter, once.
    pub(crate) fn filtered(&self, field: &str, value: &str) -> Question {
        self.unfiltered(field, value).without(&["cursor"]).and(field, value)
    }

    /// Without this filter.
    pub(crate) fn unfiltered(&self, field: &str, value: &str) -> Question {
        let mut question = self.without(&["cursor"]);
        question.0.retain(|(known, its)| known != field || its != value);
        question
    }

    /// What is kept when another page is gone to.
    pub(crate) fn lasting(&self) -> Question {
        let kept = |name: &str| name == OWN[0] || LASTING.contains(&name) || is_filter(name);
        Question(self.0.iter().filter(|(name, _)| kept(name)).cloned().collect())
    }

    /// As a query string, with its `?` if there is anything.
    pub(crate) fn link(&self) -> String {
        if self.0.is_empty() { String::new() } else { format!("?{}", encode(&self.0)) }
    }

    /// What a report is asked that takes these parameters.
    pub(crate) fn to(&self, accepted: &BTreeSet<String>) -> Asked {
        let mut pairs = Vec::with_capacity(self.0.len() + 1);
        let mut left_out = Vec::new();
        for (name, value) in &self.0 {
            match (name.as_str(), accepted.contains(name)) {
                ("last", _) if accepted.contains("to") => pairs.push(("to".to_owned(), day_after(value))),
                (_, true) => pairs.push((name.clone(), value.clone())),
                _ if is_filter(name) => left_out.push(name.trim_end_matches(['!', '~']).to_owned()),
                _ => {}
            }
        }
        if let (Some(period), None, true) = (self.period(), self.one("period"), accepted.contains("period")) {
            pairs.push(("period".to_owned(), period.to_owned()));
        }
        Asked { query: encode(&pairs), left_out }
    }

    fn without(&self, names: &[&str]) -> Question {
        Question(self.0.iter().filter(|(name, _)| !names.contains(&name.as_str())).cloned().collect())
    }

    fn and(mut self, name: &str, value: &str) -> Question {
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }
}

fn encode(pairs: &[(String, String)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// A filter as it is written in a query string: a field and one of the signs `!`, `~`, `!~` or none.
fn is_filter(name: &str) -> bool {
    FIELDS.contains(&name.trim_end_matches(['!', '~']))
}

/// What is no day is passed on: the report says what is wrong with it.
fn day_after(day: &str) -> String {
    let after = day.parse::<Date>().and_then(|day| day.checked_add(1.day()));
    after.map_or_else(|_| day.to_owned(), |day| day.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn reports_are_asked_what_they_take() {
        let question =
            Question::read("source~=x&last=2026-11-30&from=2026-11-01&lang=uk&metric=ltv&period=year&site=");
        let asked = question.to(&accepted(&["from", "to", "source~", "period"]));
        assert_eq!(asked.query, "source%7E=x&to=2026-12-01&from=2026-11-01");
        assert!(asked.left_out.is_empty());
        let asked = question.to(&accepted(&["metric"]));
        assert_eq!((asked.query.as_str(), asked.left_out), ("metric=ltv", vec!["source".to_owned()]));
        assert_eq!(Question::read("").to(&accepted(&["period"])).query, "period=week");
        assert_eq!(Question::read("last=never").to(&accepted(&["to"])).query, "to=never");
    }

    #[test]
    fn links_change_what_they_are_for_and_keep_the_rest() {
        let question = Question::read("source=a&cursor=c&metric=ltv&lang=uk");
        assert_eq!(question.with("metric", "orders").link(), "?source=a&lang=uk&metric=orders");
        assert_eq!(question.filtered("source", "b").link(), "?source=a&metric=ltv&lang=uk&source=b");
        assert_eq!(question.filtered("source", "a").link(), "?metric=ltv&lang=uk&source=a");
        assert_eq!(question.unfiltered("source", "a").link(), "?metric=ltv&lang=uk");
        assert_eq!(question.lasting().link(), "?source=a&lang=uk");
        assert_eq!(Question::read("from=2026-01-01").in_period("year").link(), "?period=year");
    }

    #[test]
    fn the_form_adds_a_filter() {
        let added = |query| Question::read(query).with_added().map(|question| question.link());
        assert_eq!(added("period=year").as_deref(), None);
        assert_eq!(added("add_field=source&add_sign=!~&add_value=a b").as_deref(), Some("?source%21%7E=a+b"));
        assert_eq!(added("add_field=password&add_value=x&period=year").as_deref(), Some("?period=year"));
        assert_eq!(added("add_field=source&add_sign=&add_value=").as_deref(), Some(""));
    }
}
