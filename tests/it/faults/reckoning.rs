//! What a round comes to: what the visitors and the shop's back office were given against what the database has.

use std::collections::{HashMap, HashSet};

use tokio_postgres::{Client, Error};
use utm_dispatcher::hit::Record;

use crate::harness::ledger::{Findings, compare};
use crate::harness::load::Receipt;

/// What a round comes to.
#[derive(Debug, Default)]
pub(super) struct Reckoning {
    pub(super) hits: u64,
    pub(super) lost: u64,
    pub(super) doubled: u64,
    /// Lost, and said so by a counter or in `quarantine`.
    pub(super) admitted: u64,
    /// What is otherwise than it should be.
    pub(super) problems: Vec<String>,
}

/// What accidents did to records on purpose.
#[derive(Debug, Default)]
pub(super) struct Spoilt {
    /// Pages whose record was damaged.
    pub(super) pages: HashSet<String>,
    /// All records that were, those of pages that nobody was given among them.
    pub(super) records: u64,
    /// Whether Postgres refuses odd pages.
    pub(super) odd: bool,
}

impl Spoilt {
    fn has(&self, path: &String, receipt: &Receipt) -> bool {
        self.pages.contains(path) || (self.odd && receipt.status == 203)
    }
}

/// What the database has of a round.
pub(super) struct Book {
    findings: Findings,
    spoilt: HashSet<String>,
    spoilt_but_stored: usize,
    not_set_aside: usize,
    wrongly_set_aside: usize,
    quarantined: u64,
    orders_lost: Vec<String>,
}

impl Book {
    /// Compares what was received at paths below `/<name>/` and the orders that the API took.
    pub(super) async fn read(
        client: &Client,
        name: &str,
        received: &HashMap<String, Receipt>,
        orders: &HashSet<String>,
        spoilt: &Spoilt,
    ) -> Result<Self, Error> {
        let (away, here): (HashMap<_, _>, HashMap<_, _>) = received
            .iter()
            .map(|(path, receipt)| (path.clone(), receipt.clone()))
            .partition(|(path, receipt)| spoilt.has(path, receipt));
        let findings = compare(client, name, &here).await?;
        let away_stored = away.len() - compare(client, name, &away).await?.lost.len();
        let quarantine = quarantined(client, name).await?;
        let must_be_set_aside = away.keys().filter(|path| !spoilt.pages.contains(*path));
        let may_be_set_aside = |path: &String| spoilt.odd && path.contains("/odd/");
        let stored = "SELECT order_id FROM order_entries WHERE order_id LIKE $1";
        let stored = client.query(stored, &[&format!("api-{name}%")]).await?;
        let stored: HashSet<String> = stored.iter().map(|row| row.get(0)).collect();
        Ok(Self {
            findings,
            spoilt_but_stored: away_stored,
            not_set_aside: must_be_set_aside.filter(|path| !quarantine.contains(path)).count(),
            wrongly_set_aside: quarantine.iter().filter(|path| !may_be_set_aside(path)).count(),
            quarantined: quarantine.len() as u64,
            orders_lost: orders.difference(&stored).cloned().collect(),
            spoilt: away.into_keys().collect(),
        })
    }

    /// Whether everything is there but for so many that were dropped.
    pub(super) fn is_settled(&self, dropped: u64) -> bool {
        self.findings.lost.len() as u64 == dropped && self.not_set_aside == 0 && self.orders_lost.is_empty()
    }

    /// How many pages and orders are not there.
    pub(super) fn missing(&self) -> usize {
        self.findings.lost.len() + self.not_set_aside + self.orders_lost.len()
    }

    /// Whether a page is in the database, as it should be.
    pub(super) fn has(&self, path: &String) -> bool {
        !self.spoilt.contains(path) && self.findings.lost.binary_search(path).is_err()
    }

    pub(super) fn reckon(&self, dropped: u64) -> Reckoning {
        Reckoning {
            lost: (self.findings.lost.len() as u64).saturating_sub(dropped) + self.orders_lost.len() as u64,
            doubled: self.findings.doubled.len() as u64,
            admitted: dropped + self.quarantined,
            problems: self.problems(dropped),
            ..Reckoning::default()
        }
    }

    fn problems(&self, dropped: u64) -> Vec<String> {
        let mut lines = Vec::new();
        let mut note = |is_wrong: bool, line: String| lines.extend(is_wrong.then_some(line));
        let Findings { lost, doubled, wrong } = &self.findings;
        note(lost.len() as u64 != dropped, format!("lost, while {dropped} were dropped: {}", some(lost)));
        note(!doubled.is_empty(), format!("doubled: {}", some(doubled)));
        note(!wrong.is_empty(), format!("wrong: {}", some(wrong)));
        note(!self.orders_lost.is_empty(), format!("orders lost: {}", some(&self.orders_lost)));
        let Self { spoilt_but_stored, not_set_aside, wrongly_set_aside, .. } = self;
        note(*spoilt_but_stored > 0, format!("{spoilt_but_stored} stored although damaged or refused"));
        note(*not_set_aside > 0, format!("{not_set_aside} not set aside"));
        note(*wrongly_set_aside > 0, format!("{wrongly_set_aside} set aside without a reason"));
        lines
    }
}

/// How many there are, and the first of them.
fn some(lines: &[String]) -> String {
    format!("{}: {}", lines.len(), lines.iter().take(8).map(String::as_str).collect::<Vec<_>>().join(", "))
}

/// Paths of the pages of a round in `quarantine`; of all rounds what is no page.
async fn quarantined(client: &Client, name: &str) -> Result<Vec<String>, Error> {
    let rows = client.query("SELECT payload FROM quarantine", &[]).await?;
    let below = format!("/{name}/");
    let path = |row: &tokio_postgres::Row| match Record::decode(row.get::<_, &[u8]>(0)) {
        Ok(Record::Hit(hit)) => hit.path.to_string(),
        other => format!("{below}{other:?}"),
    };
    Ok(rows.iter().map(path).filter(|path| path.starts_with(&below)).collect())
}

/// Compares what rounds have left once more, and sums with their parts.
pub(super) async fn reckon_all(
    client: &Client,
    received: &HashMap<String, Receipt>,
) -> Result<Vec<String>, Error> {
    let Findings { lost, doubled, wrong } = compare(client, "r", received).await?;
    let mut problems = Vec::new();
    for (what, lines) in [("lost", lost), ("doubled", doubled), ("wrong", wrong)] {
        problems.extend((!lines.is_empty()).then(|| format!("after all rounds {what}: {}", some(&lines))));
    }
    let sums = "SELECT (SELECT coalesce(sum(page_views), 0)::bigint FROM sessions),
        (SELECT count(*) FROM events JOIN action_kinds k USING (kind_id) WHERE k.name = 'page_view')";
    let row = client.query_one(sums, &[]).await?;
    let (of_sessions, of_events): (i64, i64) = (row.get(0), row.get(1));
    if of_sessions != of_events {
        problems.push(format!("sessions have {of_sessions} page views, there are {of_events}"));
    }
    Ok(problems)
}
