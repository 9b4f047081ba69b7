//! Every counter of the program in one struct, passed by `Arc`. No label ever comes from a client.

use std::fmt::{self, Display, Formatter};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{Atomic, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::traffic::{Traffic, TrafficCollector};
use crate::clock::unix_ms;
use crate::hit::Importance;

/// Label `reason`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    /// Why.
    pub reason: &'static str,
}

/// Label `result` of a reload: `ok`, or `refused` for a configuration that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    /// How it ended.
    pub result: &'static str,
}

impl Outcome {
    const OK: Outcome = Outcome { result: "ok" };
    const REFUSED: Outcome = Outcome { result: "refused" };
}

/// Label `kind`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Kind {
    /// What of.
    pub kind: &'static str,
}

/// Labels `kind` and `reason` of lost records.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Lost {
    /// What they were: `page_view` (or a bot count), `action`, `rest` (touches and orders).
    pub kind: &'static str,
    /// Why they were lost.
    pub reason: &'static str,
}

/// Why records are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The journal does not answer, and a worker holds all it may.
    Stalled,
    /// The record is greater than a frame may be.
    TooLarge,
    /// The journal has ended.
    Closed,
    /// The journals have their greatest size.
    Full,
    /// The disk refuses, and the journal holds all it may.
    Refused,
}

impl Loss {
    const ALL: [Loss; 5] = [Loss::Stalled, Loss::TooLarge, Loss::Closed, Loss::Full, Loss::Refused];

    fn reason(self) -> &'static str {
        match self {
            Loss::Stalled => "journal_stalled",
            Loss::TooLarge => "too_large",
            Loss::Closed => "journal_closed",
            Loss::Full => "journal_full",
            Loss::Refused => "disk_refused",
        }
    }
}

/// How many records of each [`Importance`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally([u64; 3]);

impl Tally {
    const KINDS: [&'static str; 3] = ["page_view", "action", "rest"];

    /// A single record.
    pub fn one(importance: Importance) -> Self {
        let mut tally = Self::default();
        tally.add(importance);
        tally
    }

    /// One more.
    pub fn add(&mut self, importance: Importance) {
        self.0[importance as usize] += 1;
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == [0; 3]
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [page_views, actions, rest] = self.0;
        write!(f, "{page_views} page views, {actions} actions, {rest} orders, touches and others")
    }
}

/// Time and size of committed batches.
#[derive(Debug)]
pub struct BatchSizes {
    /// Seconds from the first statement to the commit.
    pub seconds: Histogram,
    /// Records.
    pub records: Histogram,
}

impl Default for BatchSizes {
    fn default() -> Self {
        let seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];
        let records = [1.0, 10.0, 50.0, 250.0, 1_000.0, 5_000.0, 20_000.0, 50_000.0];
        Self { seconds: Histogram::new(seconds), records: Histogram::new(records) }
    }
}

/// Label `table`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Table {
    /// A table of the database.
    pub table: String,
}

/// Label `upstream`, as the configuration names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct UpstreamLabel {
    /// Its name.
    pub upstream: String,
}

/// Labels `upstream` and `server`, as the configuration names them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ServerLabels {
    /// Name of the upstream.
    pub upstream: String,
    /// URL of the server.
    pub server: String,
}

/// A number that several workers change all the time: alone on its cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Padded(AtomicI64);

impl Atomic<i64> for Padded {
    fn inc(&self) -> i64 {
        self.inc_by(1)
    }

    fn inc_by(&self, by: i64) -> i64 {
        // Whoever waits for room counts itself before it looks, whoever gives it back looks after it counted.
        self.0.fetch_add(by, Ordering::SeqCst)
    }

    fn dec(&self) -> i64 {
        self.dec_by(1)
    }

    fn dec_by(&self, by: i64) -> i64 {
        self.0.fetch_sub(by, Ordering::SeqCst)
    }

    fn set(&self, to: i64) -> i64 {
        self.0.swap(to, Ordering::SeqCst)
    }

    fn get(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Everything that is counted. Names on the wire are `utm_dispatcher_<field>`, counters with `_total`.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Requests, their times and bytes, counted by each worker for itself.
    pub traffic: Arc<Traffic>,
    /// Lines of the access log that the disk did not take in time.
    pub access_log_dropped: Counter,
    /// Connections accepted.
    pub connections: Counter,
    /// Connections open now.
    pub connections_open: Gauge,
    /// Connections that ended before their first request for what the client did, by reason.
    pub connections_refused: Family<Reason, Counter>,
    /// When the first of the TLS certificates in use ends, Unix seconds; 0 without any.
    pub tls_certificate_end_unix_seconds: Gauge,
    /// Requests that an upstream could not answer, by reason.
    pub upstream_errors: Family<Reason, Counter>,
    /// Requests sent to an upstream a second time.
    pub upstream_retries: Counter,
    /// Requests that wait for a server with room, by upstream.
    pub upstream_waiting: Family<UpstreamLabel, Gauge>,
    /// Requests given to a server.
    pub upstream_server_requests: Family<ServerLabels, Counter>,
    /// Requests and connections that a server failed.
    pub upstream_server_failures: Family<ServerLabels, Counter>,
    /// Connections opened to a server.
    pub upstream_server_connections: Family<ServerLabels, Counter>,
    /// How often a server was taken out for its failures.
    pub upstream_server_ejections: Family<ServerLabels, Counter>,
    /// Requests that a server has now.
    pub upstream_server_in_flight: Family<ServerLabels, Gauge<i64, Padded>>,
    /// 1 when a server gets requests, else 0.
    pub upstream_server_up: Family<ServerLabels, Gauge>,
    /// Requests refused before forwarding, by reason.
    pub requests_refused: Family<Reason, Counter>,
    /// Targets of which bytes that no URI may have were percent-encoded.
    pub targets_escaped: Counter,
    /// Records handed to the journal.
    pub hits: Counter,
    /// Hits that were counted as page views.
    pub page_views: Counter,
    /// Requests not recorded, by reason (asset, noise, bot, …).
    pub hits_ignored: Family<Reason, Counter>,
    /// Copies of bodies that action rules could not read whole, by reason.
    pub bodies_unread: Family<Reason, Counter>,
    /// Records lost, by what they were and why ([`Metrics::count_dropped`]).
    pub hits_dropped: Family<Lost, Counter>,
    /// Responses sent before their record was written.
    pub responses_ahead_of_journal: Counter,
    /// Frames of a journal that could not be read.
    pub journal_frames_damaged: Counter,
    /// Bytes of all segments on disk, also of journals that other processes hold.
    pub journal_held_bytes: Gauge,
    /// Attempts to force the journal to the disk that failed.
    pub journal_sync_failures: Counter,
    /// Journals of earlier runs that are held.
    pub journals_adopted: Gauge,
    /// Journals of earlier runs that cannot be taken or read.
    pub journals_unreadable: Gauge,
    /// Journals of earlier runs that only a newer version can read.
    pub journals_newer: Gauge,
    /// Seconds since the oldest record that is not in the database arrived.
    pub journal_oldest_unshipped_seconds: Gauge,
    /// Batches committed.
    pub batches: Counter,
    /// Records committed.
    pub records_shipped: Counter,
    /// Records set aside in `quarantine`.
    pub records_quarantined: Counter,
    /// Rows of `quarantine`, counted up to ten thousand.
    pub quarantine_records: Gauge,
    /// Facts whose value is not told apart since its dictionary may not grow any more that day, by dictionary.
    pub values_overflowed: Family<Kind, Counter>,
    /// Batches that failed and are tried again, by reason.
    pub batch_failures: Family<Reason, Counter>,
    /// `batch_seconds` and `batch_records` of committed batches.
    pub batch: BatchSizes,
    /// Records of which no fact was stored, by reason.
    pub records_refused: Family<Reason, Counter>,
    /// Months that retention dropped, by table.
    pub partitions_dropped: Family<Table, Counter>,
    /// Months that retention has passed and that are still there.
    pub partitions_due: Gauge,
    /// Rows that retention deleted, by table.
    pub rows_deleted: Family<Table, Counter>,
    /// Closed hours of sessions that are not summed up.
    pub rollup_hours_waiting: Gauge,
    /// Hours of sessions summed up by this process.
    pub rollup_hours: Counter,
    /// Time spent summing up, seconds.
    pub rollup_seconds: Counter<f64, AtomicU64>,
    /// When this process last looked after the rollups, Unix seconds.
    pub rollup_refreshed_unix_seconds: Gauge,
    /// How far the replica that reports are read from is behind, seconds.
    pub replica_lag_seconds: Gauge,
    /// Times the configuration was read again, by what came of it.
    pub config_reloads: Family<Outcome, Counter>,
    /// When the configuration in force was read, Unix seconds.
    pub config_loaded_unix_seconds: Gauge,
    /// State that `/readyz` tells.
    pub state: State,
}

/// What is wrong now, read by `/readyz`.
#[derive(Debug, Default)]
pub struct State {
    /// The database answered last time.
    pub database_up: AtomicBool,
    /// Why nothing is shipped although the database answers: what it concerns, a colon, what to do.
    pub standstill: Mutex<Option<String>>,
    /// The journal did not answer in time.
    pub journal_stalled: AtomicBool,
    /// What the disk said that does not take the journal's records.
    pub journal_refused: Mutex<Option<String>>,
    /// The files that the journal is written to were moved away, or removed and could not be put back.
    pub journal_misplaced: AtomicBool,
    /// The journal could not be forced to the disk.
    pub sync_fails: AtomicBool,
    /// Journals of earlier runs cannot be looked for.
    pub journals_unseen: AtomicBool,
    /// Since when journals have been looked for or read, Unix milliseconds; 0 while nobody does.
    pub disk_asked_ms: AtomicU64,
    /// Another proxy signs with another key.
    pub key_differs: AtomicBool,
    /// A new key could not be written to its file.
    pub keys_unsaved: AtomicBool,
    /// A key file that was to be written has another key meanwhile.
    pub keys_replaced: AtomicBool,
    /// Changed TLS certificates cannot be used; those before are.
    pub certificates_refused: AtomicBool,
    /// What is wrong with the configuration that was read last and is not in force.
    pub config_refused: Mutex<Option<String>>,
    /// Of each worker a number that grows as long as it is not stuck.
    pub pulses: Mutex<Vec<Arc<AtomicU64>>>,
    /// Shutting down.
    pub draining: AtomicBool,
    /// Upstreams of which the last attempt to connect to every server failed.
    pub upstreams_down: AtomicI64,
    /// When the oldest record arrived that is not in the database, Unix milliseconds; 0 when there is none.
    pub oldest_unshipped_ms: AtomicU64,
    /// The replica that reports are read from does not answer.
    pub replica_away: AtomicBool,
    /// Forwarding headers came from a peer that is not declared.
    pub undeclared_proxy: AtomicBool,
}

impl State {
    /// A worker that begins; it is to count on.
    pub fn new_pulse(&self) -> Arc<AtomicU64> {
        let pulse = Arc::default();
        self.pulses.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&pulse));
        pulse
    }

    /// How far each worker has counted.
    pub fn pulses(&self) -> Vec<u64> {
        let pulses = self.pulses.lock().unwrap_or_else(PoisonError::into_inner);
        pulses.iter().map(|pulse| pulse.load(Ordering::Relaxed)).collect()
    }

    /// For how many seconds the oldest record has waited that is not in the database.
    pub fn unshipped_seconds(&self, now_ms: u64) -> u64 {
        seconds_since(&self.oldest_unshipped_ms, now_ms)
    }

    /// For how many seconds journals have been looked for or read now.
    pub fn disk_asked_seconds(&self, now_ms: u64) -> u64 {
        seconds_since(&self.disk_asked_ms, now_ms)
    }

    /// The disk refuses the journal's records, or takes them again; answers whether that is new.
    pub fn note_disk(&self, refused: Option<String>) -> bool {
        let mut known = self.journal_refused.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = known.is_some() != refused.is_some();
        *known = refused;
        is_new
    }

    /// The database answers; `standstill` says why nothing is shipped all the same. Answers whether it was away or
    /// shipping stood still before.
    pub fn note_database(&self, standstill: Option<String>) -> bool {
        let mut known = self.standstill.lock().unwrap_or_else(PoisonError::into_inner);
        let stood_still = std::mem::replace(&mut *known, standstill).is_some();
        !self.database_up.swap(true, Ordering::Relaxed) || stood_still
    }

    /// The database does not answer. Answers whether it did before.
    pub fn note_database_away(&self) -> bool {
        *self.standstill.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.database_up.swap(false, Ordering::Relaxed)
    }
}

/// Whole seconds since a moment in Unix milliseconds; 0 stands for none.
fn seconds_since(moment_ms: &AtomicU64, now_ms: u64) -> u64 {
    match moment_ms.load(Ordering::Relaxed) {
        0 => 0,
        moment => now_ms.saturating_sub(moment) / 1000,
    }
}

impl Metrics {
    /// Counts lost records.
    pub fn count_dropped(&self, loss: Loss, lost: Tally) {
        for (kind, records) in Tally::KINDS.into_iter().zip(lost.0).filter(|(_, records)| *records > 0) {
            self.hits_dropped.get_or_create(&Lost { kind, reason: loss.reason() }).inc_by(records);
        }
    }

    /// Shows a server no more that the configuration does not name any more.
    pub fn forget_server(&self, labels: &ServerLabels) {
        self.upstream_server_requests.remove(labels);
        self.upstream_server_failures.remove(labels);
        self.upstream_server_connections.remove(labels);
        self.upstream_server_ejections.remove(labels);
        self.upstream_server_in_flight.remove(labels);
        self.upstream_server_up.remove(labels);
    }

    /// Records lost since the start.
    pub fn dropped(&self) -> u64 {
        self.losses().map(|lost| self.hits_dropped.get_or_create(&lost).get()).sum()
    }

    fn losses(&self) -> impl Iterator<Item = Lost> {
        let of_kind = |kind| Loss::ALL.map(|loss| Lost { kind, reason: loss.reason() });
        Tally::KINDS.into_iter().flat_map(of_kind)
    }

    /// The configuration is in force that was read just now.
    pub fn note_config_loaded(&self) {
        let now_s = unix_ms() / 1000;
        self.config_loaded_unix_seconds.set(i64::try_from(now_s).unwrap_or(i64::MAX));
    }

    /// The same, at a reload.
    pub fn note_config_reloaded(&self) {
        self.note_config_loaded();
        self.config_reloads.get_or_create(&Outcome::OK).inc();
        *self.state.config_refused.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The configuration was read again, is wrong and not in force.
    pub fn note_config_refused(&self, problem: String) {
        self.config_reloads.get_or_create(&Outcome::REFUSED).inc();
        *self.state.config_refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(problem);
    }

    /// Registers everything under the prefix `utm_dispatcher`.
    pub fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("utm_dispatcher");
        self.register_requests(&mut registry);
        self.register_servers(&mut registry);
        self.register_journal(&mut registry);
        self.register_shipping(&mut registry);
        self.register_upkeep(&mut registry);
        self.register_rollups(&mut registry);
        self.register_config(&mut registry);
        registry
    }

    fn register_requests(&self, to: &mut Registry) {
        to.register_collector(Box::new(TrafficCollector(Arc::clone(&self.traffic))));
        to.register("access_log_dropped", "Lines of the access log lost", self.access_log_dropped.clone());
        let Metrics { connections, connections_open, upstream_errors, upstream_retries, .. } = self;
        to.register("connections", "Connections accepted", connections.clone());
        to.register("connections_open", "Connections open now", connections_open.clone());
        to.register("upstream_errors", "Requests an upstream could not answer", upstream_errors.clone());
        to.register("upstream_retries", "Requests sent to an upstream again", upstream_retries.clone());
        let Metrics { connections_refused, tls_certificate_end_unix_seconds, .. } = self;
        to.register("connections_refused", "Connections without a request", connections_refused.clone());
        let end = tls_certificate_end_unix_seconds.clone();
        to.register("tls_certificate_end_unix_seconds", "When the first TLS certificate ends", end);
        let Metrics { requests_refused, hits, page_views, hits_ignored, hits_dropped, .. } = self;
        to.register("requests_refused", "Requests refused before forwarding", requests_refused.clone());
        let escaped = self.targets_escaped.clone();
        to.register("targets_escaped", "Targets with bytes that had to be percent-encoded", escaped);
        to.register("hits", "Records handed to the journal", hits.clone());
        to.register("page_views", "Page views", page_views.clone());
        to.register("hits_ignored", "Requests not recorded", hits_ignored.clone());
        let unread = self.bodies_unread.clone();
        to.register("bodies_unread", "Bodies that action rules could not read whole", unread);
        // There from the start: an alarm on growth does not see a counter that begins with 1.
        self.losses().for_each(|lost| drop(hits_dropped.get_or_create(&lost)));
        to.register("hits_dropped", "Records lost", hits_dropped.clone());
        let ahead = self.responses_ahead_of_journal.clone();
        to.register("responses_ahead_of_journal", "Responses sent before their record was written", ahead);
    }

    fn register_servers(&self, to: &mut Registry) {
        let Metrics { upstream_server_requests: requests, upstream_server_failures: failures, .. } = self;
        to.register("upstream_server_requests", "Requests given to a server", requests.clone());
        to.register("upstream_server_failures", "Requests and connections it failed", failures.clone());
        let Metrics { upstream_server_connections: opened, upstream_server_ejections: ejections, .. } = self;
        to.register("upstream_server_connections", "Connections opened to it", opened.clone());
        to.register("upstream_server_ejections", "Times it was taken out", ejections.clone());
        let Metrics { upstream_server_in_flight: in_flight, upstream_server_up: up, .. } = self;
        to.register("upstream_server_in_flight", "Requests it has now", in_flight.clone());
        to.register("upstream_server_up", "Whether it gets requests", up.clone());
        to.register("upstream_waiting", "Requests waiting for a server", self.upstream_waiting.clone());
    }

    fn register_config(&self, to: &mut Registry) {
        [Outcome::OK, Outcome::REFUSED]
            .iter()
            .for_each(|outcome| drop(self.config_reloads.get_or_create(outcome)));
        to.register("config_reloads", "Times the configuration was read again", self.config_reloads.clone());
        let loaded = self.config_loaded_unix_seconds.clone();
        to.register("config_loaded_unix_seconds", "When the configuration in force was read", loaded);
    }

    fn register_journal(&self, to: &mut Registry) {
        let Metrics { journal_held_bytes, journal_frames_damaged, journal_sync_failures, .. } = self;
        to.register("journal_held_bytes", "Bytes of all segments on disk", journal_held_bytes.clone());
        to.register("journal_frames_damaged", "Unreadable journal frames", journal_frames_damaged.clone());
        to.register("journal_sync_failures", "Failed syncs of the journal", journal_sync_failures.clone());
        let Metrics { journals_adopted, journals_unreadable, journals_newer, .. } = self;
        to.register("journals_adopted", "Journals of earlier runs that are held", journals_adopted.clone());
        to.register("journals_unreadable", "Journals that cannot be read", journals_unreadable.clone());
        to.register("journals_newer", "Journals that need a newer version", journals_newer.clone());
        let age = self.journal_oldest_unshipped_seconds.clone();
        to.register("journal_oldest_unshipped_seconds", "Age of the oldest record not in the database", age);
    }

    fn register_upkeep(&self, to: &mut Registry) {
        let Metrics { partitions_dropped, partitions_due, rows_deleted, .. } = self;
        to.register("partitions_dropped", "Months that retention dropped", partitions_dropped.clone());
        to.register("partitions_due", "Months to be dropped", partitions_due.clone());
        to.register("rows_deleted", "Rows that retention deleted", rows_deleted.clone());
    }

    fn register_shipping(&self, to: &mut Registry) {
        let Metrics { batches, batch, batch_failures, records_shipped, records_quarantined, .. } = self;
        to.register("batches", "Batches committed", batches.clone());
        to.register("batch_seconds", "Time of a committed batch", batch.seconds.clone());
        to.register("batch_records", "Records of a committed batch", batch.records.clone());
        to.register("batch_failures", "Batches that failed", batch_failures.clone());
        to.register("records_shipped", "Records committed", records_shipped.clone());
        to.register("records_quarantined", "Records set aside", records_quarantined.clone());
        let refused = self.records_refused.clone();
        to.register("records_refused", "Records of which no fact was stored", refused);
        let Metrics { quarantine_records, values_overflowed, replica_lag_seconds, .. } = self;
        to.register("quarantine_records", "Rows of quarantine, up to 10,000", quarantine_records.clone());
        to.register("values_overflowed", "Values beyond the day's cap", values_overflowed.clone());
        let lag = replica_lag_seconds.clone();
        to.register("replica_lag_seconds", "How far the replica of reports is behind", lag);
    }

    fn register_rollups(&self, to: &mut Registry) {
        let Metrics { rollup_hours_waiting, rollup_hours, rollup_seconds, .. } = self;
        to.register("rollup_hours_waiting", "Closed hours not summed up", rollup_hours_waiting.clone());
        to.register("rollup_hours", "Hours summed up", rollup_hours.clone());
        to.register("rollup_seconds", "Time spent summing up", rollup_seconds.clone());
        let refreshed = self.rollup_refreshed_unix_seconds.clone();
        to.register("rollup_refreshed_unix_seconds", "When rollups were last looked after", refreshed);
    }
}
