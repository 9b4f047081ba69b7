//! `import history`: the tables of the in-app UTM Dispatcher as CSV, so that its past is in the reports.
//!
//! Rule: what is imported is what the proxy has not seen. Rows from when it counts by itself on are refused, and ids follow
//! from the original's, so that each row counts once however often it is imported.

mod actions;
mod dump;
mod orders;
mod sessions;
mod standing;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::Args as ClapArgs;
use jiff::Timestamp;

use self::dump::{Dump, Of};
use self::sessions::Sessions;
use self::standing::Standing;
use crate::capture::Rules;
use crate::config::{Config, StoreIp};
use crate::customer::CustomerHasher;
use crate::hit::ReportOutcome;

#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// CSV of storefront_utmsession, and, all at once, of storefront_useraction and the shop's orders; their columns tell which
    /// is which. Without the last one orders are what purchases among the actions tell
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The shop's host: pages are of it, and referrers of its domain are its own
    #[arg(long)]
    host: String,
    /// The shop, as routes call it
    #[arg(long, default_value = "default")]
    site: String,
    /// The currency of all amounts; by default stats.currency
    #[arg(long)]
    currency: Option<String>,
    /// What is later than this is refused; by default the proxy's own first session
    #[arg(long, value_name = "TIME")]
    before: Option<Timestamp>,
    /// Read the files and say what would be refused, and nothing else
    #[arg(long)]
    dry_run: bool,
}

/// What rows are read by.
pub(super) struct Terms<'a> {
    now: Timestamp,
    site: &'a str,
    host: &'a str,
    currency: Option<&'a str>,
    rules: &'a Rules,
    /// Hashes customers as everything else does.
    customers: CustomerHasher,
    store_ip: StoreIp,
    /// The pause that ends a session.
    pause: Duration,
    /// From then on the proxy counts by itself.
    until: Option<Timestamp>,
}

impl Terms<'_> {
    /// Why what happened then is not taken.
    fn refusal(&self, at_ms: u64, horizon: Option<Timestamp>) -> Option<String> {
        let lies_before =
            |moment: Timestamp| i64::try_from(at_ms).is_ok_and(|at| at < moment.as_millisecond());
        match self.until {
            Some(until) if !lies_before(until) => {
                return Some(format!("since {until} the proxy counts by itself"));
            }
            _ => {}
        }
        horizon
            .filter(|horizon| lies_before(*horizon))
            .map(|horizon| format!("nothing from before {horizon} is kept"))
    }

    fn time(&self, at_ms: u64) -> Option<String> {
        Some(Timestamp::from_millisecond(i64::try_from(at_ms).ok()?).ok()?.to_string())
    }

    fn stores_address(&self) -> bool {
        self.store_ip != StoreIp::None
    }
}

/// Does it; an error when something was refused.
pub(super) fn run(config: &Config, args: &Args) -> anyhow::Result<()> {
    super::super::in_office(import(config, args))
}

async fn import(config: &Config, args: &Args) -> anyhow::Result<()> {
    let rules = Rules::new(&config.tracking);
    let host = args.host.to_lowercase();
    if host.is_empty() || host.contains(['/', ':', ' ', '?']) {
        bail!("--host is a name alone, as shop.example");
    }
    let mut terms = Terms {
        now: Timestamp::now(),
        site: &args.site,
        host: &host,
        currency: args.currency.as_deref(),
        rules: &rules,
        customers: orders::customers(config)?,
        store_ip: config.tracking.privacy.store_ip,
        pause: config.tracking.identity.session_timeout,
        until: args.before,
    };
    let mut given = Given::read(&args.files)?;
    let mut sessions = Sessions::read(&mut given.sessions, &terms);
    let ids = sessions.by_id.values().map(|past| past.identity.session_id).collect();
    let standing = Standing::ask(config, &args.site, ids).await?;
    terms.until = terms.until.or(standing.seen_since);
    sessions.refuse(standing.horizon, &terms);
    let mut dumps = given.read_others(&mut sessions, &terms);
    let known = add_sessions(&mut dumps, sessions, &standing, &terms)?;
    tell(config, dumps, &known, args.dry_run).await
}

/// The files, each by the table that it is of.
struct Given {
    sessions: Dump,
    actions: Option<Dump>,
    orders: Option<Dump>,
}

impl Given {
    fn read(files: &[PathBuf]) -> anyhow::Result<Given> {
        let mut given = [None, None, None];
        for path in files {
            let dump = Dump::read(path)?;
            let table = dump.table();
            if let Some(other) = given[table as usize].replace(dump) {
                bail!("{} and {} are both of {}", other.path().display(), path.display(), table.name());
            }
        }
        let [Some(sessions), actions, orders] = given else {
            bail!("no file is of {}: sessions are what all the others belong to", Of::Sessions.name());
        };
        Ok(Given { sessions, actions, orders })
    }

    /// Reads actions and orders; answers all files.
    fn read_others(self, sessions: &mut Sessions, terms: &Terms<'_>) -> Vec<Dump> {
        let Given { sessions: first, mut actions, mut orders } = self;
        let mut bought = BTreeMap::new();
        if let Some(dump) = &mut actions {
            bought = actions::read(dump, sessions, terms);
            if orders.is_none() {
                orders::of_purchases(&bought, sessions, terms, dump);
            }
        }
        if let Some(dump) = &mut orders {
            orders::read(dump, &bought, sessions, terms);
            if let Some(actions) = &mut actions {
                let ids: HashSet<&str> = dump.rows().iter().filter_map(|row| row.text("id")).collect();
                let orphans = bought.iter().filter(|(id, _)| !ids.contains(id.as_str()));
                let orphans = orphans.filter_map(|(id, bought)| Some((id, bought.purchase.as_ref()?.0)));
                let orphans =
                    orphans.map(|(id, line)| (line, format!("its order {id} is none of the orders")));
                actions.refused.extend(orphans);
            }
        }
        std::iter::once(first).chain(actions).chain(orders).collect()
    }
}

/// Adds the records of sessions to the files whose lines tell of them; answers the lines of sessions that are known.
fn add_sessions(
    dumps: &mut [Dump],
    sessions: Sessions,
    standing: &Standing,
    terms: &Terms<'_>,
) -> anyhow::Result<HashSet<u64>> {
    let (mut known, last) = (HashSet::new(), dumps.len() - 1);
    for (id, past) in sessions.by_id {
        if let Some(reason) = past.refusal {
            dumps[0].refused.push((past.line, reason));
            continue;
        }
        let records = past.records(&id, terms)?;
        let dump = if past.is_of_order { last } else { 0 };
        dumps[dump].records.extend(records.into_iter().map(|record| (past.line, record)));
        if standing.is_known(past.identity.session_id) {
            known.insert(past.line);
        }
    }
    Ok(known)
}

/// Tells the records, unless it is a rehearsal, and says what became of the lines.
async fn tell(config: &Config, dumps: Vec<Dump>, known: &HashSet<u64>, dry_run: bool) -> anyhow::Result<()> {
    let mut files: Vec<Outcomes> = dumps.iter().map(Outcomes::of).collect();
    let (mut lines, mut records) = (Vec::new(), Vec::new());
    for (file, dump) in dumps.into_iter().enumerate() {
        for (line, record) in dump.records {
            lines.push((file, line));
            records.push(record);
        }
    }
    let outcomes = if dry_run || records.is_empty() { None } else { super::tell(config, records).await? };
    let is_told = outcomes.is_some();
    for (index, outcome) in outcomes.into_iter().flatten() {
        let (file, line) = lines[index];
        files[file].note(line, outcome);
    }
    files[0].known.extend(known);
    let mut refused = 0;
    for file in &files {
        refused += file.print(if is_told {
            "recorded"
        } else if dry_run {
            "would be told"
        } else {
            "accepted"
        });
    }
    if refused > 0 {
        bail!("not all was taken");
    }
    Ok(())
}

/// What becomes of the lines of a file.
struct Outcomes {
    name: String,
    rows: usize,
    /// Lines that have records.
    told: BTreeSet<u64>,
    known: BTreeSet<u64>,
    refused: Vec<(u64, String)>,
    left_out: BTreeMap<&'static str, Vec<u64>>,
}

impl Outcomes {
    fn of(dump: &Dump) -> Outcomes {
        let mut left_out: BTreeMap<&'static str, Vec<u64>> = BTreeMap::new();
        for (line, why) in &dump.left_out {
            left_out.entry(why).or_default().push(*line);
        }
        Outcomes {
            name: dump.name(),
            rows: dump.count(),
            told: dump.records.iter().map(|(line, _)| *line).collect(),
            known: BTreeSet::new(),
            refused: dump.refused.clone(),
            left_out,
        }
    }

    fn note(&mut self, line: u64, outcome: ReportOutcome) {
        match outcome {
            ReportOutcome::Recorded => {}
            ReportOutcome::Duplicate => _ = self.known.insert(line),
            ReportOutcome::Refused(reason) => self.refused.push((line, reason)),
        }
    }

    /// Answers how many lines are refused.
    fn print(&self, done: &str) -> usize {
        let mut refused: Vec<_> = self.refused.iter().collect();
        refused.sort();
        for (line, reason) in refused {
            println!("{} line {line}: {reason}", self.name);
        }
        for (why, lines) in &self.left_out {
            println!("{} left out: {}, {why}; the first is line {}", self.name, lines.len(), lines[0]);
        }
        let lines: BTreeSet<u64> = self.refused.iter().map(|(line, _)| *line).collect();
        let taken = self.told.difference(&lines).filter(|line| !self.known.contains(line)).count();
        let known = self.known.difference(&lines).count();
        println!(
            "{} rows: {}, {done}: {taken}, known: {known}, left out: {}, refused: {}",
            self.name,
            self.rows,
            self.left_out.values().map(Vec::len).sum::<usize>(),
            lines.len()
        );
        lines.len()
    }
}
