//! `import`: what the shop, an advertiser or a bank has in files: orders, advertising cost, exchange rates, and the past of the
//! system before. To import a file again is harmless.
//!
//! A row becomes what the API takes, or a hit, is read by the same rules, and goes the same way: into a journal, then to the
//! database; exchange rates, which nobody waits for, go there at once. Every row that is refused is named with its line and
//! the reason.

mod history;
mod orders;
mod rates;
mod spend;
mod table;

use std::fmt::Display;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args as ClapArgs, Subcommand};
use jiff::civil::Date;

use super::journalled;
use crate::config::{self, Config};
use crate::hit::{Record, ReportOutcome};

/// What to import.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Orders: columns are named as the fields of POST /api/v1/orders, nested ones with a dot (customer.phone)
    Orders(FileArgs),
    /// Advertising cost: columns of POST /api/v1/ad-spend, or a report by day of Meta, Google Ads or TikTok
    AdSpend(AdSpendArgs),
    /// Exchange rates: columns day, currency, quote and rate, or the daily rates of the European Central Bank
    Rates(rates::Args),
    /// The past of the in-app UTM Dispatcher: its tables, as CSV
    History(Box<history::Args>),
}

#[derive(Debug, ClapArgs)]
struct FileArgs {
    /// CSV with a header; comma, semicolon or tab; UTF-8 or UTF-16
    file: PathBuf,
    /// The shop, where no column says it
    #[arg(long, default_value = "default")]
    site: String,
    /// Read the file and say what would be refused, and nothing else
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, ClapArgs)]
struct AdSpendArgs {
    #[command(flatten)]
    file: FileArgs,
    /// utm_source of the links, where no column says it; by default that of the advertiser
    #[arg(long)]
    source: Option<String>,
    /// utm_medium of the links, where no column says it; by default that of the advertiser
    #[arg(long)]
    medium: Option<String>,
    /// The currency, where neither a column nor its name says it
    #[arg(long)]
    currency: Option<String>,
}

const TOO_LONG: &str = "more cells than the header has";

/// The rows of a file, read.
#[derive(Debug, Default)]
struct Read {
    /// Line and record.
    records: Vec<(u64, Record<'static>)>,
    /// Line and reason.
    refused: Vec<(u64, String)>,
}

impl Read {
    /// Nothing but what is refused of a table in any case.
    fn of(table: &table::Table) -> Read {
        let reason = || TOO_LONG.to_owned();
        Read { refused: table.too_long.iter().map(|line| (*line, reason())).collect(), ..Read::default() }
    }
}

/// Does it; an error when something was refused.
pub(super) fn run(config: &Path, args: &Args) -> anyhow::Result<()> {
    let config = config::load(config)?;
    let (file, read) = match &args.what {
        What::Orders(file) => (file, orders::read(&bytes(&file.file)?, file, &config)?),
        What::AdSpend(args) => (&args.file, spend::read(&bytes(&args.file.file)?, args)?),
        What::Rates(args) => return rates::run(&config, args),
        What::History(args) => return history::run(&config, args),
    };
    let mut refused = read.refused;
    let rows = read.records.len() + refused.len();
    let done = if file.dry_run || read.records.is_empty() {
        format!("would be told: {}", read.records.len())
    } else {
        let (lines, records): (Vec<u64>, Vec<_>) = read.records.into_iter().unzip();
        match super::in_office(tell(&config, records))? {
            Some(outcomes) => told(&lines, outcomes, &mut refused),
            None => format!("accepted: {}, for the running program to ship", lines.len()),
        }
    };
    conclude(&file.file, rows, &done, refused)
}

/// Prints what was refused and what was done; an error when something was refused.
fn conclude(file: &Path, rows: usize, done: &str, mut refused: Vec<(u64, String)>) -> anyhow::Result<()> {
    refused.sort();
    for (line, reason) in &refused {
        println!("line {line}: {reason}");
    }
    println!("rows: {rows}, {done}, refused: {}", refused.len());
    if !refused.is_empty() {
        bail!("not all of {} was taken", file.display());
    }
    Ok(())
}

fn bytes(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// The outcome of each record that has one, by its place; none while the database is away.
async fn tell(
    config: &Config,
    records: Vec<Record<'static>>,
) -> anyhow::Result<Option<Vec<(usize, ReportOutcome)>>> {
    let count = records.iter().filter(|record| !matches!(record, Record::Hit(_))).count();
    let (directory, request) = journalled::write_facts(config, records).await?;
    let shipped = journalled::ship(config, &directory).await;
    let mut outcomes = match shipped {
        Ok(shipped) => shipped.outcomes,
        Err(error) => {
            eprintln!("the database cannot be written ({error:#}); the running program does it when it can");
            return Ok(None);
        }
    };
    outcomes.retain(|((of, _), _)| *of == request);
    outcomes.sort_by_key(|((_, index), _)| *index);
    if outcomes.len() != count {
        bail!(
            "the database told of {} rows of {count}; importing the file again is harmless",
            outcomes.len()
        );
    }
    Ok(Some(outcomes.into_iter().map(|((_, index), outcome)| (index as usize, outcome)).collect()))
}

fn told(lines: &[u64], outcomes: Vec<(usize, ReportOutcome)>, refused: &mut Vec<(u64, String)>) -> String {
    let (mut recorded, mut known) = (0, 0);
    for (line, (_, outcome)) in lines.iter().zip(outcomes) {
        match outcome {
            ReportOutcome::Recorded => recorded += 1,
            ReportOutcome::Duplicate => known += 1,
            ReportOutcome::Refused(reason) => refused.push((*line, reason)),
        }
    }
    format!("recorded: {recorded}, known: {known}")
}

/// A reason with the column that it is about.
fn about(column: &str, reason: impl Display) -> String {
    format!("{column}: {reason}")
}

/// A day in a way that cannot be misread.
fn day(text: &str) -> Result<Date, String> {
    const FORMATS: [&str; 6] = ["%Y-%m-%d", "%d.%m.%Y", "%b %d, %Y", "%d %b %Y", "%B %d, %Y", "%d %B %Y"];
    let text = text.split_once(" 00:00").map_or(text, |(day, _)| day).trim();
    let read = FORMATS.iter().find_map(|format| Date::strptime(format, text).ok());
    read.ok_or_else(|| about("day", "not written as 2026-11-22, 22.11.2026 or 22 Nov 2026"))
}
