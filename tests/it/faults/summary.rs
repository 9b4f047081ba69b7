//! What all rounds come to, by kind: a table for people, a line of JSON for programs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::kinds::{ALL, Kind};

/// What rounds of a kind come to.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub(super) rounds: u64,
    /// Of them those with another accident at the same time.
    pub(super) in_pairs: u64,
    pub(super) kills: u64,
    pub(super) hits: u64,
    pub(super) lost: u64,
    pub(super) doubled: u64,
    pub(super) admitted: u64,
    pub(super) failed: u64,
    pub(super) cut: u64,
    /// The worst of the rounds' 99th percentiles of the time to an answer, before the accident and while it lasts.
    pub(super) calm_p99: Duration,
    pub(super) worst_p99: Duration,
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.rounds += other.rounds;
        self.in_pairs += other.in_pairs;
        self.kills += other.kills;
        self.hits += other.hits;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.admitted += other.admitted;
        self.failed += other.failed;
        self.cut += other.cut;
        self.calm_p99 = self.calm_p99.max(other.calm_p99);
        self.worst_p99 = self.worst_p99.max(other.worst_p99);
    }

    fn row(&self, name: &str) -> String {
        let Tally { rounds, in_pairs, kills, hits, lost, doubled, admitted, failed, cut, .. } = self;
        let (calm, p99) = (milliseconds(self.calm_p99), milliseconds(self.worst_p99));
        format!(
            "{name:<22}{rounds:>7}{in_pairs:>7}{kills:>7}{hits:>9}{lost:>6}{doubled:>8}{admitted:>9}{failed:>7}\
             {cut:>6}{calm:>9.1}{p99:>9.1}"
        )
    }

    fn json(&self) -> Value {
        json!({
            "rounds": self.rounds, "in_pairs": self.in_pairs, "kills": self.kills, "hits": self.hits,
            "lost": self.lost, "doubled": self.doubled, "admitted": self.admitted, "failed": self.failed,
            "cut": self.cut, "calm_p99_ms": milliseconds(self.calm_p99), "worst_p99_ms": milliseconds(self.worst_p99),
        })
    }
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

/// What all rounds come to.
#[derive(Debug, Default)]
pub(super) struct Summary {
    tallies: BTreeMap<&'static str, Tally>,
    skipped: BTreeMap<&'static str, &'static str>,
    /// Promises that are broken, by round.
    pub(super) broken: Vec<String>,
}

impl Summary {
    pub(super) fn add(&mut self, kind: Kind, tally: &Tally) {
        self.tallies.entry(kind.name()).or_default().add(tally);
    }

    /// A kind that this machine cannot try.
    pub(super) fn skip(&mut self, kind: Kind, reason: &'static str) {
        self.skipped.insert(kind.name(), reason);
    }

    pub(super) fn print(&self, seed: u64, took: Duration) {
        println!(
            "{:<22}{:>7}{:>7}{:>7}{:>9}{:>6}{:>8}{:>9}{:>7}{:>6}{:>9}{:>9}",
            "accident",
            "rounds",
            "pairs",
            "kills",
            "hits",
            "lost",
            "doubled",
            "admitted",
            "failed",
            "cut",
            "before",
            "p99 ms"
        );
        let mut total = Tally::default();
        for name in ALL.map(Kind::name) {
            if let Some(tally) = self.tallies.get(name) {
                println!("{}", tally.row(name));
                total.add(tally);
            } else if let Some(reason) = self.skipped.get(name) {
                println!("{name:<22} SKIPPED: {reason}");
            }
        }
        println!("{}", total.row("all"));
        for line in &self.broken {
            println!("BROKEN {line}");
        }
        println!("seed {seed}, {} s", took.as_secs());
        let kinds: BTreeMap<_, _> = self.tallies.iter().map(|(name, tally)| (*name, tally.json())).collect();
        println!(
            "{}",
            json!({
                "seed": seed, "seconds": took.as_secs(), "all": total.json(), "kinds": kinds,
                "skipped": self.skipped, "broken": self.broken,
            })
        );
    }
}
