//! The pairs of a query string: names checked, values within bounds, each read by what it should be.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::stats::filters::FIELDS;
use crate::stats::params::{Accepts, MOST_ROWS, ParameterError, Sort};
use crate::stats::period::{PERIODS, Period, Window, start_of_day};

/// Longest value of a parameter, in bytes.
const VALUE_BYTES: usize = 1024;

/// Most parameters of a request.
const MOST_PARAMETERS: usize = 100;

/// Names and values as they came, names checked.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    named: Vec<(&'static str, String)>,
    /// Filters as they came, the sign before `=` with the name.
    pub(crate) filters: Vec<(String, String)>,
}

impl Given {
    pub(crate) fn read(query: &str, accepts: &Accepts) -> Result<Given, ParameterError> {
        let known = known_names(accepts);
        let mut given = Given { named: Vec::new(), filters: Vec::new() };
        for (index, (name, value)) in form_urlencoded::parse(query.as_bytes()).enumerate() {
            if index >= MOST_PARAMETERS {
                return Err(ParameterError::new(&name, format!("more than {MOST_PARAMETERS} parameters")));
            }
            let field = name.trim_end_matches(['!', '~']);
            let filter = accepts.filters && FIELDS.contains(&field);
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

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.named.iter().filter(move |(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn one(&self, name: &str) -> Result<Option<&str>, ParameterError> {
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

    pub(crate) fn choice(
        &self,
        name: &str,
        choices: &[&'static str],
    ) -> Result<Option<&'static str>, ParameterError> {
        let Some(value) = self.one(name)? else { return Ok(None) };
        match choices.iter().find(|choice| **choice == value) {
            Some(choice) => Ok(Some(choice)),
            None => Err(ParameterError::new(name, not_a_choice(value, choices))),
        }
    }

    pub(crate) fn limit(&self, default: u32) -> Result<u32, ParameterError> {
        let Some(value) = self.one("limit")? else { return Ok(default) };
        value.parse().ok().filter(|limit| (1..=MOST_ROWS).contains(limit)).ok_or_else(|| {
            ParameterError::new("limit", format!("expected a whole number from 1 to {MOST_ROWS}"))
        })
    }

    pub(crate) fn sort(&self, columns: &[&'static str]) -> Result<Sort, ParameterError> {
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

    pub(crate) fn window(
        &self,
        now: Timestamp,
        zone: &TimeZone,
    ) -> Result<(Option<Period>, Window), ParameterError> {
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

/// Names that an endpoint understands, filters without their sign.
pub(crate) fn known_names(accepts: &Accepts) -> Vec<&'static str> {
    let mut known = vec!["timezone"];
    if accepts.window {
        known.extend(["period", "from", "to", "bots", "site"]);
    }
    if accepts.filters {
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
    if accepts.csv {
        known.push("format");
    }
    known.extend(accepts.own);
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
