//! Parameters of reports: text of a query string in, types out. Whatever comes in, the worst is a 400 with a reason.
//!
//! A parameter with an empty value counts as not given, as an untouched field of a form.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::stats::filters::Filters;
use crate::stats::given::Given;
use crate::stats::period::{Period, Window};

/// The greatest `limit`.
pub(crate) const MOST_ROWS: u32 = 1000;

/// The attribution models that reports can use.
pub(crate) const MODELS: &[&str; 7] =
    &["last_non_direct", "first", "last", "last_paid", "linear", "position", "time_decay"];

/// What an endpoint understands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Accepts {
    /// A window and bots.
    pub(crate) window: bool,
    /// Filters by field.
    pub(crate) filters: bool,
    /// Money: date basis and attribution model.
    pub(crate) money: bool,
    /// A list: its default limit and the columns it can be sorted by, the first by default.
    pub(crate) list: Option<(u32, &'static [&'static str])>,
    /// Text search, `q`.
    pub(crate) search: bool,
    /// `site` without a window.
    pub(crate) site: bool,
    /// Rows as a file, `format`, where there is no list to page through.
    pub(crate) csv: bool,
    /// Parameters of this endpoint alone.
    pub(crate) own: &'static [&'static str],
}

impl Accepts {
    /// Nothing but a zone.
    pub(crate) const NOTHING: Accepts = Accepts {
        window: false,
        filters: false,
        money: false,
        list: None,
        search: false,
        site: false,
        csv: false,
        own: &[],
    };

    /// The shapes an answer can have.
    pub(crate) fn formats(&self) -> &'static [&'static str] {
        if self.own.contains(&"format") { &["csv", "ndjson"] } else { &["json", "csv"] }
    }

    /// A window, and money in it.
    pub(crate) const MONEY: Accepts =
        Accepts { window: true, filters: true, money: true, ..Accepts::NOTHING };
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
    /// When it was asked.
    pub(crate) now: Timestamp,
    /// What was given, for parameters of one endpoint alone.
    pub(crate) given: Given,
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
            format: match given.choice("format", accepts.formats())? {
                Some("csv") => Format::Csv,
                _ => Format::Json,
            },
            now,
            given,
        })
    }
}

impl Params {
    /// Takes this period where the request says nothing of time.
    pub(crate) fn use_period_by_default(&mut self, name: &str) -> Result<(), ParameterError> {
        let is_given = ["period", "from", "to"].iter().any(|name| self.given.all(name).next().is_some());
        if let (false, Some(period)) = (is_given, Period::parse(name)) {
            let window = period.window(self.now, &self.zone);
            self.window = window.map_err(|_| ParameterError::new("period", "this day is out of range"))?;
            self.period = Some(period);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::given::known_names;
    use proptest::prelude::*;

    const LIST: Accepts =
        Accepts { list: Some((20, &["sessions", "revenue"])), search: true, ..Accepts::MONEY };

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
                "model=frist",
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
