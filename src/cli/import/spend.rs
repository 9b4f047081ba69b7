//! Rows of advertising cost: columns of `POST /api/v1/ad-spend`, or a report by day as advertisers' pages export it.
//!
//! Of an advertiser's report the campaign's and the advertisement's names are `campaign` and `content`; cost of several rows
//! with one day and the same tags (advertisement groups, placements) is added up.

use std::collections::BTreeMap;

use anyhow::bail;
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::table::Table;
use super::{AdSpendArgs, Read, about, day};
use crate::hit::{Record, SpendFact};
use crate::stats::spend_item::{self, FIELDS, Key};

/// Columns of an advertiser's report.
struct Advertiser {
    name: &'static str,
    source: &'static str,
    medium: &'static str,
    /// What its report has and no other's; all of them.
    marks: &'static [&'static str],
    /// Our field, and what the advertiser calls it; the first that is there counts.
    columns: &'static [(&'static str, &'static [&'static str])],
}

const ADVERTISERS: [Advertiser; 3] = [
    Advertiser {
        name: "Meta",
        source: "facebook",
        medium: "paid_social",
        marks: &["campaign name", "amount spent"],
        columns: &[
            ("day", &["day", "reporting starts"]),
            ("until", &["reporting ends"]),
            ("campaign", &["campaign name"]),
            ("content", &["ad name"]),
            ("cost", &["amount spent"]),
            ("clicks", &["link clicks", "clicks (all)"]),
            ("impressions", &["impressions"]),
            ("currency", &["currency"]),
        ],
    },
    Advertiser {
        name: "Google Ads",
        source: "google",
        medium: "cpc",
        marks: &["campaign", "cost", "impr."],
        columns: &[
            ("day", &["day"]),
            ("campaign", &["campaign"]),
            ("content", &["ad name"]),
            ("cost", &["cost"]),
            ("clicks", &["clicks"]),
            ("impressions", &["impr."]),
            ("currency", &["currency code", "currency"]),
        ],
    },
    Advertiser {
        name: "TikTok",
        source: "tiktok",
        medium: "paid_social",
        marks: &["campaign name", "cost"],
        columns: &[
            ("day", &["by day", "date", "day"]),
            ("campaign", &["campaign name"]),
            ("content", &["ad name"]),
            ("cost", &["cost"]),
            ("clicks", &["clicks (destination)", "clicks"]),
            ("impressions", &["impressions", "impression"]),
            ("currency", &["currency"]),
        ],
    },
];

pub(super) fn read(bytes: &[u8], args: &AdSpendArgs) -> anyhow::Result<Read> {
    let is_own = |cells: &[String]| ["day", "cost"].iter().all(|name| cells.iter().any(|cell| cell == name));
    let table = Table::read(bytes, |cells| is_own(cells) || advertiser(cells).is_some())?;
    let by = if is_own(&table.header) { None } else { advertiser(&table.header) };
    let columns = match by {
        Some(by) => by.places(&table.header)?,
        None => own_places(&table.header)?,
    };
    let now = Timestamp::now();
    let mut read = Read::of(&table);
    let mut facts: BTreeMap<Key, (u64, SpendFact)> = BTreeMap::new();
    for (line, cells) in &table.rows {
        // Sums of all rows stand at the end of reports.
        if by.is_some() && cells.iter().any(|cell| is_total(cell)) {
            continue;
        }
        let item = item(&columns, cells, by, args);
        match item.and_then(|item| spend_item::read(&item, now).map_err(|(_, reason)| reason)) {
            Err(reason) => read.refused.push((*line, reason)),
            Ok((_, fact)) => match facts.get_mut(&spend_item::key(&fact)) {
                None => _ = facts.insert(spend_item::key(&fact), (*line, fact)),
                Some((_, first)) if by.is_some() && first.currency == fact.currency => add(first, &fact),
                Some((first, _)) => {
                    read.refused.push((*line, format!("line {first} has this day and these tags already")));
                }
            },
        }
    }
    read.records.extend(facts.into_values().map(|(line, fact)| (line, Record::Spend(Box::new(fact)))));
    Ok(read)
}

/// Whose report has this header.
fn advertiser(header: &[String]) -> Option<&'static Advertiser> {
    let names: Vec<String> = header.iter().map(|name| plain(name).0).collect();
    ADVERTISERS.iter().find(|by| by.marks.iter().all(|mark| names.iter().any(|name| name == mark)))
}

/// A column's name in lower case, and the currency in brackets that it may end with: `Amount spent (UAH)`.
fn plain(name: &str) -> (String, Option<String>) {
    let name = name.trim().to_lowercase();
    if let Some((before, code)) = name.strip_suffix(')').and_then(|name| name.rsplit_once(" ("))
        && code.len() == 3
        && code.bytes().all(|byte| byte.is_ascii_lowercase())
        && code != "all"
    {
        return (before.to_owned(), Some(code.to_ascii_uppercase()));
    }
    (name, None)
}

/// Which column has which of our fields.
struct Places {
    columns: Vec<(&'static str, usize)>,
    /// As the name of the cost's column says.
    currency: Option<String>,
}

impl Advertiser {
    fn places(&self, header: &[String]) -> anyhow::Result<Places> {
        let names: Vec<(String, Option<String>)> = header.iter().map(|name| plain(name)).collect();
        let find =
            |known: &[&str]| known.iter().find_map(|known| names.iter().position(|(name, _)| name == known));
        let columns: Vec<_> =
            self.columns.iter().filter_map(|(field, known)| Some((*field, find(known)?))).collect();
        if !columns.iter().any(|(field, _)| *field == "day") {
            bail!("the report of {} has no column of days: export it by day", self.name);
        }
        let cost = columns.iter().find(|(field, _)| *field == "cost");
        let currency = cost.and_then(|(_, place)| names[*place].1.clone());
        Ok(Places { columns, currency })
    }
}

fn own_places(header: &[String]) -> anyhow::Result<Places> {
    let mut columns = Vec::new();
    for (place, name) in header.iter().enumerate() {
        match FIELDS.iter().find(|field| *field == name) {
            Some(field) => columns.push((*field, place)),
            None => bail!("the column {name} is none that is known: {}", FIELDS.join(", ")),
        }
    }
    Ok(Places { columns, currency: None })
}

/// A row as the API has it; empty cells are not given.
fn item(
    places: &Places,
    cells: &[String],
    by: Option<&Advertiser>,
    args: &AdSpendArgs,
) -> Result<Value, String> {
    let mut item = Map::new();
    item.insert("site".to_owned(), json!(args.file.site));
    let source = args.source.as_deref().or(by.map(|by| by.source));
    let medium = args.medium.as_deref().or(by.map(|by| by.medium));
    let currency = places.currency.as_deref().or(args.currency.as_deref());
    for (name, value) in [("source", source), ("medium", medium), ("currency", currency)] {
        item.extend(value.map(|value| (name.to_owned(), json!(value))));
    }
    let mut until = None;
    for (field, place) in &places.columns {
        let cell = cells[*place].as_str();
        if cell.is_empty() || (by.is_some() && matches!(cell, "-" | "--")) {
            continue;
        }
        match *field {
            "until" => until = Some(cell),
            "day" => _ = item.insert("day".to_owned(), json!(day(cell)?.to_string())),
            "cost" => _ = item.insert("cost".to_owned(), json!(number("cost", cell)?.to_string())),
            "clicks" | "impressions" => {
                let count = number(field, cell)?.normalize();
                item.insert((*field).to_owned(), json!(count.to_string()));
            }
            _ => _ = item.insert((*field).to_owned(), json!(cell)),
        }
    }
    if let Some(until) = until
        && item.get("day") != Some(&json!(day(until)?.to_string()))
    {
        return Err("it is of more than one day: export the report by day".to_owned());
    }
    Ok(Value::Object(item))
}

fn is_total(cell: &str) -> bool {
    let cell = cell.to_lowercase();
    cell.starts_with("total:")
        || cell.starts_with("total of ")
        || cell == "total"
        || cell.starts_with("results from ")
}

/// What several rows of a report say of one day and the same tags.
fn add(first: &mut SpendFact, more: &SpendFact) {
    let sum = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (None, None) => None,
        (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
    };
    first.cost += more.cost;
    first.clicks = sum(first.clicks, more.clicks);
    first.impressions = sum(first.impressions, more.impressions);
}

/// A number as people write them: `1,234.50`, `1 234,50`, `1234.5 ₴`.
fn number(column: &str, text: &str) -> Result<Decimal, String> {
    let digits: String =
        text.chars().filter(|letter| letter.is_ascii_digit() || ".,-".contains(*letter)).collect();
    let (comma, point) = (digits.rfind(','), digits.rfind('.'));
    let plain = match (comma, point) {
        (Some(comma), Some(point)) if comma > point => digits.replace('.', "").replace(',', "."),
        (Some(_), Some(_)) => digits.replace(',', ""),
        // Three digits behind the only comma are thousands.
        (Some(comma), None) if digits.len() - comma == 4 || digits.matches(',').count() > 1 => {
            digits.replace(',', "")
        }
        (Some(_), None) => digits.replace(',', "."),
        (None, _) => digits,
    };
    plain.parse().map_err(|_| about(column, "not a number, as 1499.00"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_days_are_read_as_people_write_them() {
        for (text, number_of) in [
            ("1,234.50", "1234.50"),
            ("1 234,50", "1234.50"),
            ("1.234,50 ₴", "1234.50"),
            ("1,234", "1234"),
            ("1,234,567", "1234567"),
            ("12,5", "12.5"),
            ("$0.07", "0.07"),
            ("7", "7"),
        ] {
            assert_eq!(number("cost", text).unwrap().to_string(), number_of, "{text}");
        }
        assert!(number("cost", "free").is_err() && number("cost", "1.2.3").is_err());
        for text in [
            "2026-11-22",
            "22.11.2026",
            "Nov 22, 2026",
            "22 Nov 2026",
            "22 November 2026",
            "2026-11-22 00:00:00",
        ] {
            assert_eq!(day(text).unwrap().to_string(), "2026-11-22", "{text}");
        }
        assert!(day("11/22/2026").is_err(), "which is the month?");
    }
}
