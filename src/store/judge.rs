//! Judges sessions hour by hour: which of them are one visit, whose behaviour no person shows, and whom a rule excludes; and
//! tells workers the rules.
//!
//! Rule: an hour has a mark in `unjudged_hours`, or its sessions are judged by the present rules. Marks are deleted before
//! sessions are read, in one transaction, so that a batch which commits beside it keeps its mark
//! (`migrations/V11__left_out.sql`). What is found is a function of the hour's sessions: sessions are flagged, never
//! dropped, and judged anew when rules change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::{Client, Transaction};
use ipnet::IpNet;
use sha2::{Digest, Sha256};
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Store, StoreError, locks};
use crate::config::{Config, Exclude, Live};
use crate::exclusion::{CurrentExclusions, Exclusions, Kind, Rule};
use crate::telemetry::causes::Causes;

/// Version of the rules of behaviour in `sql/judge_hours.sql`; to be raised with every change of them.
pub const BEHAVIOUR_VERSION: i32 = 3;

/// The rules of behaviour, by their bit, as reports spell them.
const BEHAVIOUR: [(i32, &str); 4] = [
    (1, "faster_than_people"),
    (2, "no_cookie_returned"),
    (4, "opens_mail_links_at_once"),
    (8, "no_assets_fetched"),
];

/// The words for a set of reasons.
pub fn words(reasons: i32) -> impl Iterator<Item = &'static str> {
    BEHAVIOUR.into_iter().filter(move |(bit, _)| reasons & bit != 0).map(|(_, word)| word)
}

/// How often the rules of the API are looked up, and counts written.
const INTERVAL: Duration = Duration::from_secs(2);
/// How often hours that changed are judged; at once when rules changed.
const JUDGE_INTERVAL: Duration = Duration::from_secs(30);
/// Hours that one transaction judges at most.
const HOURS_AT_ONCE: i64 = 6;
/// How long a transaction may stand idle, wait for a lock, or run one statement.
const TIMEOUTS_MS: [&str; 3] = ["10000", "20000", "120000"];

/// What is excluded, and what the office makes of it.
#[derive(Debug)]
pub struct Judge {
    store: Store,
    config: Live<Config>,
    /// Rules of the configuration, and what it said.
    configured: (Exclude, Vec<Arc<Rule>>),
    /// Where workers find the rules.
    current: CurrentExclusions,
    /// Networks whose behaviour is not judged: loopback and trusted peers.
    exempt: Vec<IpNet>,
    /// The rules in the database with their ids.
    rules: BTreeMap<(Kind, String, bool), (i64, Arc<Rule>)>,
    is_told: bool,
    fingerprint: Option<i64>,
}

impl Judge {
    /// A judge; workers go by the rules of the configuration from now on.
    pub fn new(store: Store, config: Live<Config>, current: CurrentExclusions) -> Self {
        let mut judge = Judge {
            store,
            configured: Default::default(),
            config,
            current,
            exempt: Vec::new(),
            rules: BTreeMap::new(),
            is_told: false,
            fingerprint: None,
        };
        judge.take_configuration();
        judge
    }

    fn take_configuration(&mut self) {
        let config = self.config.now();
        let loopback = ["127.0.0.0/8", "::1/128"].iter().filter_map(|text| text.parse().ok());
        self.exempt = loopback.chain(config.proxy.trusted_proxies.iter().copied()).collect();
        if config.tracking.exclude != self.configured.0 {
            let exclude = config.tracking.exclude.clone();
            // Rules that workers have already go on counting.
            let known = self.current.now();
            let kept = |rule: Arc<Rule>| {
                let same = |other: &&Arc<Rule>| other.kind() == rule.kind() && other.value() == rule.value();
                known.rules().iter().find(same).cloned().unwrap_or(rule)
            };
            let rules = exclude.rules().into_iter().map(kept).collect();
            drop(known);
            self.configured = (exclude, rules);
            self.is_told = false;
            self.hand_out();
        }
    }

    /// Gives workers the rules of the configuration and of the API.
    fn hand_out(&self) {
        let api = self.rules.iter().filter(|((_, _, is_configured), _)| !is_configured);
        let all = self.configured.1.iter().cloned().chain(api.map(|(_, (_, rule))| Arc::clone(rule)));
        self.current.replace(Exclusions::new(all.collect()));
    }

    /// Looks up rules and judges until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut judged_at: Option<Instant> = None;
        let mut works = true;
        while !shutdown.is_cancelled() {
            let is_due = judged_at.is_none_or(|at| at.elapsed() >= JUDGE_INTERVAL);
            let outcome = match self.look().await {
                Ok(changed) if changed || is_due => {
                    judged_at = Some(Instant::now());
                    self.judge_all(&shutdown).await
                }
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
            // A database that is away is told by the shipper.
            if let (Err(error), true) = (&outcome, works) {
                tracing::debug!(error = %Causes(error), "sessions are not judged now");
            }
            works = outcome.is_ok();
            shutdown.run_until_cancelled(tokio::time::sleep(INTERVAL)).await;
        }
    }

    /// Looks up the rules and writes what they counted; says whether they changed.
    pub async fn look(&mut self) -> Result<bool, StoreError> {
        self.take_configuration();
        let client = self.store.office().await?;
        if !self.is_told {
            self.tell(&client).await?;
            self.is_told = true;
        }
        self.write_counts(&client).await?;
        let rows = client.query_typed(include_str!("sql/exclusions.sql"), &[]).await?;
        let mut rules = BTreeMap::new();
        for row in &rows {
            let is_configured = row.get::<_, &str>("origin") == "config";
            let Some(kind) = Kind::named(row.get("kind")) else { continue };
            let key = (kind, row.get::<_, String>("value"), is_configured);
            let known = match self.rules.get(&key) {
                Some((_, rule)) => Some(Arc::clone(rule)),
                None if is_configured => self.configured_rule(kind, &key.1),
                None => None,
            };
            // What is there already is judged by all rules of the database, also by those of another's configuration.
            if let Some(rule) = known.or_else(|| Rule::new(kind, &key.1).ok().map(Arc::new)) {
                rules.insert(key, (row.get("exclusion_id"), rule));
            }
        }
        let keys_changed = rules.keys().ne(self.rules.keys());
        self.rules = rules;
        let fingerprint = self.fingerprint_of_rules();
        if keys_changed {
            self.hand_out();
        }
        self.fingerprint = Some(fingerprint);
        let parameters = [(&BEHAVIOUR_VERSION as _, Type::INT4), (&fingerprint as _, Type::INT8)];
        let row = client.query_typed_one(include_str!("sql/note_rules.sql"), &parameters).await?;
        Ok(row.get::<_, bool>("changed"))
    }

    fn configured_rule(&self, kind: Kind, value: &str) -> Option<Arc<Rule>> {
        self.configured.1.iter().find(|rule| rule.kind() == kind && rule.value() == value).cloned()
    }

    /// Puts the configuration's rules in place of those that were there.
    async fn tell(&self, client: &Client) -> Result<(), StoreError> {
        let kinds: Vec<&str> = self.configured.1.iter().map(|rule| rule.kind().name()).collect();
        let values: Vec<&str> = self.configured.1.iter().map(|rule| rule.value()).collect();
        let parameters = [(&kinds as _, Type::TEXT_ARRAY), (&values as _, Type::TEXT_ARRAY)];
        client.query_typed(include_str!("sql/configured_exclusions.sql"), &parameters).await?;
        Ok(())
    }

    /// What a process that dies has not written is not counted.
    async fn write_counts(&self, client: &Client) -> Result<(), StoreError> {
        let counted =
            self.rules.values().map(|(id, rule)| (*id, rule.take_hits())).filter(|(_, hits)| *hits > 0);
        let (ids, hits): (Vec<i64>, Vec<i64>) =
            counted.map(|(id, hits)| (id, i64::try_from(hits).unwrap_or(i64::MAX))).unzip();
        if !ids.is_empty() {
            let parameters = [(&ids as _, Type::INT8_ARRAY), (&hits as _, Type::INT8_ARRAY)];
            client.query_typed(include_str!("sql/exclusion_hits.sql"), &parameters).await?;
        }
        Ok(())
    }

    fn fingerprint_of_rules(&self) -> i64 {
        let mut hash = Sha256::new();
        for (kind, value, _) in self.rules.keys() {
            hash.update(format!("{}\u{1f}{value}\u{1e}", kind.name()));
        }
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(hash.finalize());
        i64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// Judges every hour that has a mark now.
    pub async fn judge_all(&self, shutdown: &CancellationToken) -> Result<(), StoreError> {
        while !shutdown.is_cancelled() && self.judge_some().await? > 0 {}
        Ok(())
    }

    /// One transaction; answers how many hours are done. None while another process, or retention, is at it.
    async fn judge_some(&self) -> Result<usize, StoreError> {
        let mut client = self.store.office().await?;
        let transaction = client.transaction().await?;
        let timeouts = TIMEOUTS_MS.each_ref().map(|text| (text as _, Type::TEXT));
        transaction.query_typed(include_str!("sql/refresh_begin.sql"), &timeouts).await?;
        let number = [(&locks::RETENTION as _, Type::INT8)];
        let row = transaction.query_typed_one(include_str!("sql/try_lock.sql"), &number).await?;
        if !row.get::<_, bool>("taken") {
            return Ok(0);
        }
        let most = [(&HOURS_AT_ONCE as _, Type::INT8)];
        let hours = transaction.query_typed(include_str!("sql/take_unjudged.sql"), &most).await?;
        let hours: Vec<jiff::Timestamp> = hours.iter().map(|row| row.get("session_hour")).collect();
        if hours.is_empty() {
            return Ok(0);
        }
        let of_hours = [(&hours as _, Type::TIMESTAMPTZ_ARRAY)];
        transaction.query_typed(include_str!("sql/join_landings.sql"), &of_hours).await?;
        self.judge_hours(&transaction, &hours).await?;
        transaction.commit().await?;
        Ok(hours.len())
    }

    async fn judge_hours(
        &self,
        transaction: &Transaction<'_>,
        hours: &[jiff::Timestamp],
    ) -> Result<(), StoreError> {
        let matched = self.matched(transaction, hours).await?;
        let version = i16::try_from(BEHAVIOUR_VERSION).unwrap_or(i16::MAX);
        let exempt: Vec<String> = self.exempt.iter().map(ToString::to_string).collect();
        let parameters = [
            (&hours as _, Type::TIMESTAMPTZ_ARRAY),
            (&version as _, Type::INT2),
            (&exempt as _, Type::TEXT_ARRAY),
            (&matched.networks.0 as _, Type::INT8_ARRAY),
            (&matched.networks.1 as _, Type::TEXT_ARRAY),
            (&matched.agents.0 as _, Type::INT8_ARRAY),
            (&matched.agents.1 as _, Type::INT8_ARRAY),
            (&matched.pages.0 as _, Type::INT8_ARRAY),
            (&matched.pages.1 as _, Type::INT8_ARRAY),
            (&matched.pages.2 as _, Type::BOOL_ARRAY),
            (&matched.visitors.0 as _, Type::INT8_ARRAY),
            (&matched.visitors.1 as _, Type::UUID_ARRAY),
        ];
        transaction.query_typed(include_str!("sql/judge_hours.sql"), &parameters).await?;
        Ok(())
    }

    /// The rules, each with what of these hours it matches.
    async fn matched(
        &self,
        transaction: &Transaction<'_>,
        hours: &[jiff::Timestamp],
    ) -> Result<Matched, StoreError> {
        let mut matched = Matched::default();
        let mut by_text = Vec::new();
        for (id, rule) in self.rules.values() {
            if let Some(network) = rule.network() {
                matched.networks.0.push(*id);
                matched.networks.1.push(network.to_string());
            } else if let Some(visitor) = rule.visitor() {
                matched.visitors.0.push(*id);
                matched.visitors.1.push(visitor);
            } else {
                by_text.push((*id, rule));
            }
        }
        if by_text.is_empty() {
            return Ok(matched);
        }
        let hours = [(&hours as _, Type::TIMESTAMPTZ_ARRAY)];
        for row in transaction.query_typed(include_str!("sql/judged_texts.sql"), &hours).await? {
            for (id, rule) in &by_text {
                if let Some(agent) = row.get::<_, Option<&str>>("user_agent") {
                    if rule.matches_agent(agent) {
                        matched.agents.0.push(*id);
                        matched.agents.1.push(row.get("agent_id"));
                    }
                } else if rule.matches_page(row.get("host"), row.get("path"))
                    || rule.matches_page(row.get("host"), row.get("bare_path"))
                {
                    matched.pages.0.push(*id);
                    matched.pages.1.push(row.get("page_id"));
                    matched.pages.2.push(rule.kind() == Kind::Path);
                }
            }
        }
        Ok(matched)
    }
}

/// Ids of rules, and of what they match.
#[derive(Debug, Default)]
struct Matched {
    networks: (Vec<i64>, Vec<String>),
    agents: (Vec<i64>, Vec<i64>),
    pages: (Vec<i64>, Vec<i64>, Vec<bool>),
    visitors: (Vec<i64>, Vec<Uuid>),
}
