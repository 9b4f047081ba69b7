//! Every counter of the program in one struct, passed by `Arc`. No label ever comes from a client.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Label `reason`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    /// Why.
    pub reason: &'static str,
}

/// Label `class`: `1xx` … `5xx`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StatusClass {
    /// Class of the status.
    pub class: &'static str,
}

/// Everything that is counted. Names on the wire are `utm_dispatcher_<field>`, counters with `_total`.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Requests answered, by status class.
    pub requests: Family<StatusClass, Counter>,
    /// Connections accepted.
    pub connections: Counter,
    /// Connections open now.
    pub connections_open: Gauge,
    /// Requests that an upstream could not answer, by reason.
    pub upstream_errors: Family<Reason, Counter>,
    /// Requests sent to an upstream a second time.
    pub upstream_retries: Counter,
    /// Requests refused before forwarding, by reason.
    pub requests_refused: Family<Reason, Counter>,
    /// Records handed to the journal.
    pub hits: Counter,
    /// Hits that were counted as page views.
    pub page_views: Counter,
    /// Requests not recorded, by reason (asset, noise, bot, …).
    pub hits_ignored: Family<Reason, Counter>,
    /// Records lost, by reason.
    pub hits_dropped: Family<Reason, Counter>,
    /// Responses sent before their record was written.
    pub responses_ahead_of_journal: Counter,
    /// Frames of a journal that could not be read.
    pub journal_frames_damaged: Counter,
    /// Bytes of all segments on disk.
    pub journal_bytes: Gauge,
    /// Seconds since the oldest record that is not in the database arrived.
    pub journal_oldest_unshipped_seconds: Gauge,
    /// Batches committed.
    pub batches: Counter,
    /// Records committed.
    pub records_shipped: Counter,
    /// Records set aside in `quarantine`.
    pub records_quarantined: Counter,
    /// Batches that failed and are tried again, by reason.
    pub batch_failures: Family<Reason, Counter>,
    /// Time spent in committed batches, microseconds.
    pub batch_microseconds: Counter,
    /// Closed hours of sessions that are not summed up.
    pub rollup_hours_waiting: Gauge,
    /// Hours of sessions summed up by this process.
    pub rollup_hours: Counter,
    /// Time spent summing up, microseconds.
    pub rollup_microseconds: Counter,
    /// When this process last looked after the rollups, Unix seconds.
    pub rollup_refreshed_unix_seconds: Gauge,
    /// How far the replica that reports are read from is behind, seconds.
    pub replica_lag_seconds: Gauge,
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
    /// The journal takes records.
    pub journal_stalled: AtomicBool,
    /// Another proxy signs with another key.
    pub key_differs: AtomicBool,
    /// Shutting down.
    pub draining: AtomicBool,
    /// Upstreams of which the last attempt to connect to every server failed.
    pub upstreams_down: AtomicI64,
    /// When the oldest record arrived that is not in the database, Unix milliseconds; 0 when there is none.
    pub oldest_unshipped_ms: AtomicU64,
    /// Journals that cannot be read, or that only a newer version can read.
    pub journals_unreadable: AtomicU64,
    /// The replica that reports are read from does not answer.
    pub replica_away: AtomicBool,
    /// Forwarding headers came from a peer that is not declared.
    pub undeclared_proxy: AtomicBool,
}

impl State {
    /// For how many seconds the oldest record has waited that is not in the database.
    pub fn unshipped_seconds(&self, now_ms: u64) -> u64 {
        match self.oldest_unshipped_ms.load(Ordering::Relaxed) {
            0 => 0,
            oldest => now_ms.saturating_sub(oldest) / 1000,
        }
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

impl Metrics {
    /// Registers everything under the prefix `utm_dispatcher`.
    pub fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("utm_dispatcher");
        let Metrics { requests, connections, connections_open, upstream_errors, upstream_retries, .. } = self;
        registry.register("requests", "Requests answered, by status class", requests.clone());
        registry.register("connections", "Connections accepted", connections.clone());
        registry.register("connections_open", "Connections open now", connections_open.clone());
        registry.register(
            "upstream_errors",
            "Requests an upstream could not answer",
            upstream_errors.clone(),
        );
        registry.register("upstream_retries", "Requests sent to an upstream again", upstream_retries.clone());
        let Metrics { requests_refused, hits, page_views, hits_ignored, hits_dropped, .. } = self;
        registry.register("requests_refused", "Requests refused before forwarding", requests_refused.clone());
        registry.register("hits", "Records handed to the journal", hits.clone());
        registry.register("page_views", "Page views", page_views.clone());
        registry.register("hits_ignored", "Requests not recorded", hits_ignored.clone());
        registry.register("hits_dropped", "Records lost", hits_dropped.clone());
        let Metrics { responses_ahead_of_journal, journal_frames_damaged, journal_bytes, .. } = self;
        registry.register(
            "responses_ahead_of_journal",
            "Responses sent before their record was written",
            responses_ahead_of_journal.clone(),
        );
        registry.register(
            "journal_frames_damaged",
            "Unreadable journal frames",
            journal_frames_damaged.clone(),
        );
        registry.register("journal_bytes", "Bytes of all segments on disk", journal_bytes.clone());
        let Metrics { journal_oldest_unshipped_seconds, batches, records_shipped, .. } = self;
        registry.register(
            "journal_oldest_unshipped_seconds",
            "Age of the oldest record not in the database",
            journal_oldest_unshipped_seconds.clone(),
        );
        registry.register("batches", "Batches committed", batches.clone());
        registry.register("records_shipped", "Records committed", records_shipped.clone());
        let Metrics { records_quarantined, batch_failures, batch_microseconds, .. } = self;
        registry.register("records_quarantined", "Records set aside", records_quarantined.clone());
        registry.register("batch_failures", "Batches that failed", batch_failures.clone());
        registry.register("batch_microseconds", "Time in committed batches", batch_microseconds.clone());
        let Metrics { rollup_hours_waiting, rollup_hours, rollup_microseconds, .. } = self;
        registry.register("rollup_hours_waiting", "Closed hours not summed up", rollup_hours_waiting.clone());
        registry.register("rollup_hours", "Hours summed up", rollup_hours.clone());
        registry.register("rollup_microseconds", "Time spent summing up", rollup_microseconds.clone());
        registry.register(
            "rollup_refreshed_unix_seconds",
            "When rollups were last looked after",
            self.rollup_refreshed_unix_seconds.clone(),
        );
        registry.register(
            "replica_lag_seconds",
            "How far the replica of reports is behind",
            self.replica_lag_seconds.clone(),
        );
        registry
    }
}
