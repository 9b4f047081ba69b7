//! Parameters of reports: text of a query string in, types out. Whatever comes in, the worst is a 400 with a reason.
//!
//! A parameter with an empty value counts as not given, as an untouched field of a form.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::stats::filters::{FIELDS, Filters};
use crate::stats::period::{PERIODS, Period, Window, start_of_day};

/// The greatest `limit`.
pub(crate) const MOST_ROWS: u32 = 1000;

/// Longest value of a parameter, in bytes.
const VALUE_BYTES: usize = 1024;

/// Most parameters of a request.
const MOST_PARAMETERS: usize = 100;

/// The attribution models that reports can use.
pub(crate) const MODELS: &[&str] = &["last_non_direct"];

/// What an endpoint understands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Accepts {
    /// A window, filters and bots.
    pub(crate) window: bool,
    /// Money: date basis and attribution model.
    pub(crate) money: bool,
    /// A list: its default limit and the columns it can be sorted by, the first by default.
    pub(crate) list: Option<(u32, &'static [&'static str])>,
    /// Text search, `q`.
    pub(crate) search: bool,
    /// `site` without a window.
    pub(crate) site: bool,
}

/// Parameters as resolved.
#[derive(Debug, Clone)]
pub(crate) struct Params {
    /// The named period, when that is what was asked for.
    pub(crate) period: Option<Period>,
    /// What it is in instants.
    pub(crate) window: Window,
    /// Zone of days and of times in the answer.
    pub(crate) zone: TimeZone,
    /// Sites, any of; empty = all.
    pub(crate) sites: Vec<String>,
    /// Filters by field.
    pub(crate) filters: Filters,
    /// Whether sessions of doubtful visitors count.
    pub(crate) bots: Bots,
    /// Which orders are the window's.
    pub(crate) date_basis: DateBasis,
    /// Attribution model.
    pub(crate) model: &'static str,
    /// Rows to give.
    pub(crate) limit: u32,
    /// Where the page before ended.
    pub(crate) cursor: Option<String>,
    /// Order of rows.
    pub(crate) sort: Sort,
    /// Text to look for.
    pub(crate) search: Option<String>,
    /// Shape of the answer.
    pub(crate) format: Format,
}

/// `bots=`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bots {
    /// Flagged sessions do not count.
    Exclude,
    /// They count as others do.
    Include,
    /// Nothing else counts.
    Only,
}

/// `date_basis=`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DateBasis {
    /// Orders placed in the window.
    Order,
    /// Orders of the sessions that began in the window.
    Session,
}

/// `format=`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// The answer with query and meta.
    Json,
    /// The rows alone.
    Csv,
}

/// `sort=`: a column, greatest first; `column:asc` for least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sort {
    /// The column.
    pub(crate) column: &'static str,
    /// Least first.
    pub(crate) ascending: bool,
}

/// A parameter that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{parameter}: {reason}")]
pub(crate) struct ParameterError {
    /// Its name, as sent.
    pub(crate) parameter: String,
    /// What is wrong with it.
    pub(crate) reason: String,
}

impl ParameterError {
    /// An error about `parameter`.
    pub(crate) fn new(parameter: &str, reason: impl Into<String>) -> ParameterError {
        ParameterError { parameter: parameter.chars().take(100).collect(), reason: reason.into() }
    }
}

impl Bots {
    /// As in the query string.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Bots::Exclude => "exclude",
            Bots::Include => "include",
            Bots::Only => "only",
        }
    }
}

impl DateBasis {
    /// As in the query string.
    pub(crate) fn name(self) -> &'static str {
        match self {
            DateBasis::Order => "order",
            DateBasis::Session => "session",
        }
    }
}

impl Params {
    /// Reads a query string (without `?`). `zone` is the one days are of unless the request says another.
    pub(crate) fn parse(
        query: &str,
        accepts: &Accepts,
        now: Timestamp,
        zone: &TimeZone,
    ) -> Result<Params, ParameterError> {
        let given = Given::read(query, accepts)?;
        let zone = match given.one("timezone")? {
            None => zone.clone(),
            Some(name) => TimeZone::get(name).map_err(|_| {
                ParameterError::new("timezone", "expected the name of a time zone, as Europe/Kyiv")
            })?,
        };
        let (period, window) = given.window(now, &zone)?;
        let mut filters = Filters::default();
        for (name, value) in &given.filters {
            filters.add(name, value)?;
        }
        let (limit, sorts) = accepts.list.unwrap_or((MOST_ROWS, &[]));
        let model = given.choice("model", MODELS)?.unwrap_or(MODELS[0]);
        Ok(Params {
            period,
            window,
            zone,
            sites: given.all("site").map(str::to_owned).collect(),
            filters,
            bots: match given.choice("bots", &["exclude", "include", "only"])? {
                Some("include") => Bots::Include,
                Some("only") => Bots::Only,
                _ => Bots::Exclude,
            },
            date_basis: match given.choice("date_basis", &["order", "session"])? {
                Some("session") => DateBasis::Session,
                _ => DateBasis::Order,
            },
            model,
            limit: given.limit(limit)?,
            cursor: given.one("cursor")?.map(str::to_owned),
            sort: given.sort(sorts)?,
            search: given.one("q")?.map(str::to_owned),
            format: match given.choice("format", &["json", "csv"])? {
                Some("csv") => Format::Csv,
                _ => Format::Json,
            },
        })
    }
}

/// Names and values as they came, names checked.
struct Given {
    named: Vec<(&'static str, String)>,
    filters: Vec<(String, String)>,
}

impl Given {
    fn read(query: &str, accepts: &Accepts) -> Result<Given, ParameterError> {
        let known = known_names(accepts);
        let mut given = Given { named: Vec::new(), filters: Vec::new() };
        for (index, (name, value)) in form_urlencoded::parse(query.as_bytes()).enumerate() {
            if index >= MOST_PARAMETERS {
                return Err(ParameterError::new(&name, format!("more than {MOST_PARAMETERS} parameters")));
            }
            let field = name.trim_end_matches(['!', '~']);
            let filter = accepts.window && FIELDS.contains(&field);
            let key = if filter { field } else { &*name };
            let Some(known_name) = known.iter().find(|known| **known == key) else {
                return Err(ParameterError::new(&name, unknown_name(&name, &known)));
            };
            if value.len() > VALUE_BYTES {
                return Err(ParameterError::new(&name, format!("longer than {VALUE_BYTES} bytes")));
            }
            if value.chars().any(char::is_control) {
                return Err(ParameterError::new(&name, "control characters are not allowed"));
            }
            if value.trim().is_empty() {
                continue;
            }
            if filter {
                given.filters.push((name.into_owned(), value.into_owned()));
            } else {
                given.named.push((known_name, value.into_owned()));
            }
        }
        Ok(given)
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.named.iter().filter(move |(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    fn one(&self, name: &str) -> Result<Option<&str>, ParameterError> {
        let mut values =
            self.named.iter().filter(|(known, _)| *known == name).map(|(_, value)| value.as_str());
        let first = values.next();
        match values.next() {
            Some(second) if Some(second) != first => {
                Err(ParameterError::new(name, "given twice with different values"))
            }
            _ => Ok(first),
        }
    }

    fn choice(&self, name: &str, choices: &[&'static str]) -> Result<Option<&'static str>, ParameterError> {
        let Some(value) = self.one(name)? else { return Ok(None) };
        match choices.iter().find(|choice| **choice == value) {
            Some(choice) => Ok(Some(choice)),
            None => Err(ParameterError::new(name, not_a_choice(value, choices))),
        }
    }

    fn limit(&self, default: u32) -> Result<u32, ParameterError> {
        let Some(value) = self.one("limit")? else { return Ok(default) };
        value.parse().ok().filter(|limit| (1..=MOST_ROWS).contains(limit)).ok_or_else(|| {
            ParameterError::new("limit", format!("expected a whole number from 1 to {MOST_ROWS}"))
        })
    }

    fn sort(&self, columns: &[&'static str]) -> Result<Sort, ParameterError> {
        let default = columns.first().copied().unwrap_or_default();
        let Some(value) = self.one("sort")? else { return Ok(Sort { column: default, ascending: false }) };
        let (name, ascending) = match value.split_once(':') {
            None | Some((_, "desc")) => (value.trim_end_matches(":desc"), false),
            Some((name, "asc")) => (name, true),
            Some((_, direction)) => {
                let reason = not_a_choice(direction, &["desc", "asc"]);
                return Err(ParameterError::new("sort", format!("direction: {reason}")));
            }
        };
        match columns.iter().find(|column| **column == name) {
            Some(column) => Ok(Sort { column, ascending }),
            None => Err(ParameterError::new("sort", not_a_choice(name, columns))),
        }
    }

    fn window(&self, now: Timestamp, zone: &TimeZone) -> Result<(Option<Period>, Window), ParameterError> {
        let out_of_range = |name| move |_| ParameterError::new(name, "this day is out of range");
        let (from, to) = (self.one("from")?, self.one("to")?);
        let period = self.choice("period", PERIODS)?.and_then(Period::parse);
        if from.is_none() && to.is_none() {
            let period = period.unwrap_or(Period::TODAY);
            return Ok((Some(period), period.window(now, zone).map_err(out_of_range("period"))?));
        }
        if period.is_some() {
            return Err(ParameterError::new("period", "either a period or from and to, not both"));
        }
        let from = from.map(|text| instant("from", text, zone)).transpose()?;
        let to = match to {
            Some(text) => instant("to", text, zone)?,
            None => Period::TODAY.window(now, zone).map_err(out_of_range("to"))?.to,
        };
        if from.is_some_and(|from| from >= to) {
            return Err(ParameterError::new(
                "from",
                "from must be before to (to itself is not in the window)",
            ));
        }
        Ok((None, Window { from, to }))
    }
}

/// A date (its first instant in the zone) or an RFC 3339 time, from 1970 to 2999.
fn instant(name: &'static str, text: &str, zone: &TimeZone) -> Result<Timestamp, ParameterError> {
    let wrong =
        || ParameterError::new(name, "expected a date, 2026-11-22, or a time, 2026-11-22T10:00:00+02:00");
    let instant = if text.len() == 10 {
        let date: Date = text.parse().map_err(|_| wrong())?;
        start_of_day(date, zone).map_err(|_| wrong())?
    } else {
        // A plus sign that was not encoded arrives as a space.
        text.replace(' ', "+").parse::<Timestamp>().map_err(|_| wrong())?
    };
    // PostgreSQL's years and this program's are not the same; neither end matters to a shop.
    if !(-86_400..=32_503_680_000).contains(&instant.as_second()) {
        return Err(ParameterError::new(name, "this time is out of range"));
    }
    Ok(instant)
}

fn known_names(accepts: &Accepts) -> Vec<&'static str> {
    let mut known = vec!["timezone"];
    if accepts.window {
        known.extend(["period", "from", "to", "bots", "site"]);
        known.extend(FIELDS);
    }
    if accepts.money {
        known.extend(["date_basis", "model"]);
    }
    if accepts.list.is_some() {
        known.extend(["limit", "cursor", "sort", "format"]);
    }
    if accepts.search {
        known.push("q");
    }
    if accepts.site {
        known.push("site");
    }
    known
}

fn unknown_name(name: &str, known: &[&'static str]) -> String {
    match nearest(name.trim_end_matches(['!', '~']), known) {
        Some(nearest) => format!("unknown parameter; did you mean {nearest}?"),
        None => format!("unknown parameter; known here: {}", known.join(", ")),
    }
}

fn not_a_choice(value: &str, choices: &[&'static str]) -> String {
    match nearest(value, choices) {
        Some(nearest) => format!("expected one of {}; did you mean {nearest}?", choices.join(", ")),
        None => format!("expected one of {}", choices.join(", ")),
    }
}

/// The known word that a misspelt one most likely was.
pub(crate) fn nearest(word: &str, known: &[&'static str]) -> Option<&'static str> {
    if word.len() > 40 {
        return None;
    }
    let word = word.to_lowercase().replace('-', "_");
    known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(&word, known), *known))
        .min()
        .filter(|(distance, known)| *distance <= 2.min(known.len() / 2))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIST: Accepts = Accepts {
        window: true,
        money: true,
        list: Some((20, &["sessions", "revenue"])),
        search: true,
        site: false,
    };

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn parse(query: &str) -> Result<Params, ParameterError> {
        Params::parse(query, &LIST, now(), &TimeZone::get("Europe/Kyiv").unwrap())
    }

    fn reason(query: &str) -> String {
        parse(query).unwrap_err().to_string()
    }

    #[test]
    fn nothing_given_is_today_with_defaults() {
        let params = parse("").unwrap();
        assert_eq!(params.window.from.unwrap().to_string(), "2026-11-21T22:00:00Z");
        assert_eq!((params.limit, params.sort.column, params.bots), (20, "sessions", Bots::Exclude));
        assert_eq!(params.date_basis, DateBasis::Order);
    }

    #[test]
    fn dates_are_local_and_times_are_exact() {
        let params = parse("from=2026-11-01&to=2026-11-02T10:00:00%2B02:00").unwrap();
        assert_eq!(params.window.from.unwrap().to_string(), "2026-10-31T22:00:00Z");
        assert_eq!(params.window.to.to_string(), "2026-11-02T08:00:00Z");
        let unencoded = parse("from=2026-11-01&to=2026-11-02T10:00:00+02:00").unwrap();
        assert_eq!(unencoded.window, params.window);
    }

    #[test]
    fn misspelt_names_and_values_are_answered_with_what_was_meant() {
        insta::assert_snapshot!(
            [
                "perod=week",
                "period=wek",
                "period=decade",
                "limit=0",
                "limit=1001",
                "limit=x",
                "sort=revenu",
                "sort=revenue:up",
                "timezone=Mars/Olympus",
                "from=2026-02-30",
                "from=1015-01-01",
                "from=2026-11-02&to=2026-11-02",
                "period=week&from=2026-11-02",
                "limit=1&limit=2",
                "source=%00",
                "bots=maybe",
                "model=first",
                "sourse!=x",
                "source!!=x",
                "completely_else=1",
            ]
            .map(reason)
            .join("\n")
        );
    }

    #[test]
    fn empty_values_count_as_not_given() {
        let params = parse("period=&source=&limit=&q=+").unwrap();
        assert_eq!((params.period, params.limit, params.search), (Some(Period::TODAY), 20, None));
    }

    proptest! {
        #[test]
        fn any_query_string_is_read_or_refused(query in "\\PC{0,200}") {
            let _ = parse(&query);
        }

        #[test]
        fn any_values_of_known_names_are_read_or_refused(
            pairs in proptest::collection::vec((
                proptest::sample::select(known_names(&LIST)),
                proptest::sample::select(vec!["", "!", "~", "!~"]),
                "[-+:0-9a-zT%. ]{0,30}",
            ), 0..6)
        ) {
            let query = pairs.iter().map(|(name, operator, value)| format!("{name}{operator}={value}"))
                .collect::<Vec<_>>().join("&");
            if let Ok(params) = parse(&query) {
                prop_assert!(params.limit >= 1 && params.limit <= MOST_ROWS);
                if let Some(from) = params.window.from {
                    prop_assert!(from < params.window.to);
                }
            }
        }
    }
}
