//! Rows of exchange rates: what one unit of a currency is worth in another on a day.
//!
//! Rates are nobody's and change nothing that was seen: they are written at once, all or none, and what is imported last of a
//! day and a pair stands.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args as ClapArgs;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use rust_decimal::Decimal;
use tokio_postgres::types::Type;

use super::table::Table;
use super::{about, bytes, conclude, day};
use crate::config::Config;

/// Our field, and what its column is called.
const COLUMNS: [(&str, &[&str]); 5] = [
    ("day", &["day", "date"]),
    ("currency", &["currency", "from", "base"]),
    ("quote", &["quote", "to"]),
    ("rate", &["rate"]),
    ("units", &["units"]),
];

/// The same in what the European Central Bank exports (SDMX-CSV): so many CURRENCY for one CURRENCY_DENOM.
const OF_THE_ECB: [(&str, &str); 5] = [
    ("day", "time_period"),
    ("currency", "currency_denom"),
    ("quote", "currency"),
    ("rate", "obs_value"),
    ("frequency", "freq"),
];

/// Digits after the point of a rate.
const RATE_SCALE: u32 = 12;
const RATE_BELOW: i64 = 1_000_000_000_000;
/// How far ahead a day may lie: banks tell the rate of the next working day.
const DAYS_AHEAD: i32 = 14;

#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// CSV with a header; comma, semicolon or tab; UTF-8 or UTF-16
    file: PathBuf,
    /// The currency that rates are in, where no column says it
    #[arg(long)]
    quote: Option<String>,
    /// Read the file and say what would be refused, and nothing else
    #[arg(long)]
    dry_run: bool,
}

/// Day, currency, quote.
type Key = (Date, String, String);

/// The rows of a file, read.
#[derive(Debug, Default)]
struct Rates {
    /// Line and rate.
    rates: BTreeMap<Key, (u64, Decimal)>,
    /// Rows that say what another one says.
    again: usize,
    refused: Vec<(u64, String)>,
}

pub(super) fn run(config: &Config, args: &Args) -> anyhow::Result<()> {
    let read = read(&bytes(&args.file)?, args.quote.as_deref())?;
    let count = read.rates.len();
    let rows = count + read.again + read.refused.len();
    let done = if args.dry_run || count == 0 {
        format!("would be told: {count}")
    } else {
        let recorded = crate::cli::in_office(write(config, &read.rates))?;
        format!("recorded: {recorded}, known: {}", count + read.again - recorded)
    };
    conclude(&args.file, rows, &done, read.refused)
}

/// Answers how many were not known.
async fn write(config: &Config, rates: &BTreeMap<Key, (u64, Decimal)>) -> anyhow::Result<usize> {
    let (store, _cluster) = crate::cli::database(config).await?;
    crate::cli::must_be_current(&store).await?;
    let days: Vec<Date> = rates.keys().map(|key| key.0).collect();
    let currencies: Vec<&str> = rates.keys().map(|key| key.1.as_str()).collect();
    let quotes: Vec<&str> = rates.keys().map(|key| key.2.as_str()).collect();
    let values: Vec<Decimal> = rates.values().map(|(_, rate)| *rate).collect();
    let client = store.office().await?;
    let parameters = [
        (&days as _, Type::DATE_ARRAY),
        (&currencies as _, Type::TEXT_ARRAY),
        (&quotes as _, Type::TEXT_ARRAY),
        (&values as _, Type::NUMERIC_ARRAY),
    ];
    Ok(client.query_typed(include_str!("sql/rates.sql"), &parameters).await?.len())
}

fn read(bytes: &[u8], quote: Option<&str>) -> anyhow::Result<Rates> {
    let has = |cells: &[String], name: &str| cells.iter().any(|cell| cell.eq_ignore_ascii_case(name));
    let is_of_the_ecb = |cells: &[String]| OF_THE_ECB[..4].iter().all(|(_, name)| has(cells, name));
    let is_own = |cells: &[String]| {
        ["day", "currency", "rate"].iter().all(|field| {
            COLUMNS.iter().any(|(known, names)| known == field && names.iter().any(|name| has(cells, name)))
        })
    };
    let table = Table::read(bytes, |cells| is_of_the_ecb(cells) || is_own(cells))?;
    let is_of_the_ecb = is_of_the_ecb(&table.header);
    let places = if is_of_the_ecb {
        let place = |name: &str| table.header.iter().position(|cell| cell.eq_ignore_ascii_case(name));
        OF_THE_ECB.iter().filter_map(|(field, name)| Some((*field, place(name)?))).collect()
    } else {
        own_places(&table.header)?
    };
    if quote.is_none() && !places.iter().any(|(field, _)| *field == "quote") {
        bail!("no column says what rates are in: name it quote, or give --quote, as in --quote UAH");
    }
    let quote = quote.map(|code| currency("--quote", code)).transpose().map_err(anyhow::Error::msg)?;
    let mut rates = Rates::default();
    rates.refused.extend(table.too_long.iter().map(|line| (*line, super::TOO_LONG.to_owned())));
    let latest = Timestamp::now().to_zoned(TimeZone::UTC).date().checked_add(DAYS_AHEAD.days())?;
    for (line, cells) in &table.rows {
        let cell = |field: &str| {
            let place = places.iter().find(|(known, _)| *known == field);
            place.map(|(_, place)| cells[*place].as_str()).filter(|cell| !cell.is_empty())
        };
        // Of days off the bank tells that there is none.
        if is_of_the_ecb && cell("rate").is_none_or(|rate| rate == "NaN") {
            continue;
        }
        match row(cell, quote.as_deref(), latest) {
            Ok((key, rate)) => rates.add(*line, key, rate),
            Err(reason) => rates.refused.push((*line, reason)),
        }
    }
    Ok(rates)
}

impl Rates {
    fn add(&mut self, line: u64, key: Key, rate: Decimal) {
        match self.rates.get(&key) {
            None => _ = self.rates.insert(key, (line, rate)),
            Some((_, known)) if *known == rate => self.again += 1,
            Some((first, _)) => {
                let reason = format!("line {first} has another rate of this day and these currencies");
                self.refused.push((line, reason));
            }
        }
    }
}

fn own_places(header: &[String]) -> anyhow::Result<Vec<(&'static str, usize)>> {
    let mut places: Vec<(&'static str, usize)> = Vec::new();
    for (place, name) in header.iter().enumerate() {
        let known =
            COLUMNS.iter().find(|(_, names)| names.iter().any(|known| name.eq_ignore_ascii_case(known)));
        match known {
            None => {
                let known: Vec<&str> = COLUMNS.iter().flat_map(|(_, names)| *names).copied().collect();
                bail!("the column {name} is none that is known: {}", known.join(", "))
            }
            Some((field, _)) if places.iter().any(|(known, _)| known == field) => {
                bail!("two columns say the {field}: {name} is one of them")
            }
            Some((field, _)) => places.push((field, place)),
        }
    }
    Ok(places)
}

/// One rate. `cell` gives the text of a field, none where it is empty; `quote` is what rates are in where no cell says it.
fn row<'a>(
    cell: impl Fn(&str) -> Option<&'a str>,
    quote: Option<&str>,
    latest: Date,
) -> Result<(Key, Decimal), String> {
    let required = |field: &str| cell(field).ok_or_else(|| about(field, "it is missing"));
    if cell("frequency").is_some_and(|frequency| frequency != "D") {
        return Err("it is of more than one day: export daily rates".to_owned());
    }
    let day = day(required("day")?)?;
    if day.year() < 1990 || day > latest {
        return Err(about("day", format!("{day} lies before 1990 or ahead")));
    }
    let from = currency("currency", required("currency")?)?;
    let to = match (cell("quote"), quote) {
        (Some(code), _) => currency("quote", code)?,
        (None, Some(code)) => code.to_owned(),
        (None, None) => return Err(about("quote", "it is missing")),
    };
    if from == to {
        return Err(format!("{from} in {to} is no rate"));
    }
    let rate = number(required("rate")?)?;
    let rate = match cell("units") {
        None => rate,
        Some(units) => rate / power_of_ten(units)?,
    };
    let rate = rate.normalize();
    if rate <= Decimal::ZERO || rate.scale() > RATE_SCALE || rate >= Decimal::from(RATE_BELOW) {
        let limits = format!(
            "it must be above zero, below {RATE_BELOW}, and have at most {RATE_SCALE} digits after the point"
        );
        return Err(about("rate", limits));
    }
    Ok(((day, from, to), rate))
}

fn currency(field: &str, text: &str) -> Result<String, String> {
    let code = text.trim().to_ascii_uppercase();
    let is_code = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    if is_code { Ok(code) } else { Err(about(field, "not a code of three letters, as UAH")) }
}

/// `41.2567` or `41,2567`. What may be a thousand or one and nothing is refused: `1,234`.
fn number(text: &str) -> Result<Decimal, String> {
    let wrong = || about("rate", "not a number, as 41.2567");
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b',')) {
        return Err(wrong());
    }
    if let Some((_, after)) = text.split_once(',')
        && after.len() == 3
    {
        return Err(about(
            "rate",
            format!("{text} can be read in two ways: write it with a point, as 41.2567"),
        ));
    }
    text.replacen(',', ".", 1).parse().map_err(|_| wrong())
}

/// How many units a rate is for.
fn power_of_ten(text: &str) -> Result<Decimal, String> {
    let is_power = text.len() <= 7 && text.starts_with('1') && text[1..].bytes().all(|byte| byte == b'0');
    let units = text.parse().ok().filter(|_| is_power);
    units.ok_or_else(|| about("units", "not 1, 10, 100, …"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_banks_write_them() {
        for (text, value) in [("41.2567", "41.2567"), ("41,2567", "41.2567"), ("7", "7"), ("0,98", "0.98")] {
            assert_eq!(number(text).unwrap(), value.parse().unwrap(), "{text}");
        }
        for text in ["1,234", "1,234.50", "1.234,50", "-1", "", "1 2", ".", "1e5", "½"] {
            assert!(number(text).is_err(), "{text}");
        }
        assert!(power_of_ten("½").is_err() && power_of_ten("").is_err() && power_of_ten("11").is_err());
        assert_eq!(power_of_ten("100").unwrap(), Decimal::ONE_HUNDRED);
    }
}
