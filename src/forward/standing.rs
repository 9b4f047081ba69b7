//! What all workers together know of one server: whether it can be used, how busy it is, how fast it answers, where it
//! is. Workers read and write atomics; what changes rarely changes under a lock that no request waits for.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::sync::Notify;

use crate::config::UpstreamServer;
use crate::telemetry::metrics::{Metrics, Padded, ServerLabels};

/// The last attempt to connect to it failed.
const DOWN: u8 = 1;
/// Its health checks fail.
const UNHEALTHY: u8 = 2;
/// Requests failed on it, and its time is not over.
const EJECTED: u8 = 4;

/// How long a server is out the first time; twice as long each further time, up to the longest.
const FIRST_EJECTION_MS: u64 = 5_000;
const LONGEST_EJECTION_MS: u64 = 300_000;
/// Over this time the share of a server that is back grows from a tenth to the whole.
const RETURN_MS: u64 = 10_000;
const LEAST_SHARE: f64 = 0.1;
/// The time over which answers count for the latency, and after which half of it is forgotten where none come.
const MEMORY_MS: f64 = 10_000.0;

/// A server, for all workers and over reloads.
#[derive(Debug)]
pub(super) struct ServerStanding {
    pub(super) labels: ServerLabels,
    /// `host:port`
    pub(super) authority: String,
    pub(super) tls: Option<Tls>,
    metrics: Arc<Metrics>,
    started: Instant,
    busy: Busy,
    names: ArcSwap<Names>,
    asked: Notify,
    ejection: Mutex<Ejection>,
    pub(super) requests: Counter,
    pub(super) connections: Counter,
    failures_in_all: Counter,
    up: Gauge,
}

/// How TLS is spoken with it. The configuration has the sessions that can be resumed.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

/// What requests touch, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Busy {
    in_flight: Gauge<i64, Padded>,
    /// Why it gets no requests; 0 = it does.
    out: AtomicU8,
    /// Failures since the last answer.
    failures: AtomicU32,
    /// Microseconds to the head of an answer, averaged; 0 = none yet.
    latency_us: AtomicU32,
    latency_at_ms: AtomicU64,
    /// How many answers were timed.
    timed: AtomicU32,
    /// When it came back; 0 = it never was out.
    back_ms: AtomicU64,
}

/// What the name service said.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) addresses: Vec<SocketAddr>,
    /// Why there are none.
    pub(super) error: Option<io::Error>,
    is_asked: bool,
}

#[derive(Debug, Default)]
struct Ejection {
    /// How often in a row.
    count: u32,
    ends_ms: u64,
}

impl ServerStanding {
    pub(super) fn new(
        upstream: &str,
        server: &UpstreamServer,
        tls: Option<Tls>,
        metrics: &Arc<Metrics>,
    ) -> Arc<Self> {
        let labels = ServerLabels { upstream: upstream.to_owned(), server: server.url() };
        let names = match server.authority.parse::<SocketAddr>() {
            Ok(address) => Names { addresses: vec![address], error: None, is_asked: true },
            Err(_) => Names::default(),
        };
        let busy = Busy {
            in_flight: metrics.upstream_server_in_flight.get_or_create_owned(&labels),
            ..Busy::default()
        };
        let up = metrics.upstream_server_up.get_or_create_owned(&labels);
        up.set(1);
        Arc::new(ServerStanding {
            authority: server.authority.clone(),
            tls,
            started: Instant::now(),
            busy,
            names: ArcSwap::from_pointee(names),
            asked: Notify::new(),
            ejection: Mutex::default(),
            requests: metrics.upstream_server_requests.get_or_create_owned(&labels),
            connections: metrics.upstream_server_connections.get_or_create_owned(&labels),
            failures_in_all: metrics.upstream_server_failures.get_or_create_owned(&labels),
            up,
            labels,
            metrics: Arc::clone(metrics),
        })
    }

    /// The time by which everything here is measured.
    pub(super) fn ms_at(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether it gets requests.
    pub(super) fn is_usable(&self) -> bool {
        self.busy.out.load(Ordering::Relaxed) == 0
    }

    /// Whether it answers nobody, as far as is known.
    pub(super) fn is_silent(&self) -> bool {
        self.busy.out.load(Ordering::Relaxed) & (DOWN | UNHEALTHY) != 0
    }

    /// Whether the last attempt to connect to it failed.
    pub(super) fn is_down(&self) -> bool {
        self.busy.out.load(Ordering::Relaxed) & DOWN != 0
    }

    /// Takes room for one request of at most `limit`; whether there was any.
    pub(super) fn take_room(&self, limit: Option<usize>) -> bool {
        let in_flight = &self.busy.in_flight;
        let before = usize::try_from(in_flight.inc()).unwrap_or(0);
        if limit.is_some_and(|limit| before >= limit) {
            in_flight.dec();
            return false;
        }
        true
    }

    pub(super) fn give_room_back(&self) {
        self.busy.in_flight.dec();
    }

    /// Requests that have room now.
    pub(super) fn in_flight(&self) -> usize {
        usize::try_from(self.busy.in_flight.get()).unwrap_or(0)
    }

    /// What part of its share of requests it gets: less than 1 after it was out.
    pub(super) fn share(&self, now: Instant) -> f64 {
        let back_ms = self.busy.back_ms.load(Ordering::Relaxed);
        if back_ms == 0 {
            return 1.0;
        }
        let since_ms = self.ms_at(now).saturating_sub(back_ms);
        if since_ms >= RETURN_MS {
            self.busy.back_ms.store(0, Ordering::Relaxed);
            return 1.0;
        }
        let grown = Duration::from_millis(since_ms).div_duration_f64(Duration::from_millis(RETURN_MS));
        grown.max(LEAST_SHARE)
    }

    /// How long it takes to answer, microseconds; the longer it has not been asked, the more it is trusted to have
    /// become faster. 0 = not known.
    pub(super) fn latency_us(&self, now: Instant) -> f64 {
        let latency_us = f64::from(self.busy.latency_us.load(Ordering::Relaxed));
        let at_ms = self.busy.latency_at_ms.load(Ordering::Relaxed);
        let since = Duration::from_millis(self.ms_at(now).saturating_sub(at_ms)).as_secs_f64() * 1000.0;
        latency_us * MEMORY_MS / (MEMORY_MS + since)
    }

    /// A request was answered. Two workers at once may lose one of two samples, which is no harm.
    pub(super) fn note_latency(&self, latency: Duration, now: Instant) {
        let now_ms = self.ms_at(now);
        let sample = latency.as_secs_f64() * 1e6;
        let at_ms = self.busy.latency_at_ms.swap(now_ms, Ordering::Relaxed);
        let before = f64::from(self.busy.latency_us.load(Ordering::Relaxed));
        let since = Duration::from_millis(now_ms.saturating_sub(at_ms).max(1)).as_secs_f64() * 1000.0;
        // The mean of the first answers, whose time says nothing yet.
        let timed = self.busy.timed.load(Ordering::Relaxed).saturating_add(1);
        self.busy.timed.store(timed, Ordering::Relaxed);
        let share = (since / (since + MEMORY_MS)).max(1.0 / f64::from(timed));
        let average = (before + (sample - before) * share).clamp(1.0, f64::from(u32::MAX));
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
        self.busy.latency_us.store(average as u32, Ordering::Relaxed);
    }

    /// It answered, whatever it said.
    pub(super) fn note_answer(&self) {
        if self.busy.failures.load(Ordering::Relaxed) != 0 {
            self.busy.failures.store(0, Ordering::Relaxed);
        }
    }

    /// It did not answer a request, or took no connection. Answers how often in a row.
    pub(super) fn note_failure(&self) -> u32 {
        self.failures_in_all.inc();
        self.busy.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Takes it out for a while, unless it is already.
    pub(super) fn eject(&self, failures: u32) {
        let mut ejection = self.ejection.lock().unwrap_or_else(PoisonError::into_inner);
        if self.busy.out.load(Ordering::Relaxed) & EJECTED != 0 {
            return;
        }
        let now_ms = self.ms_at(Instant::now());
        let is_forgotten = now_ms.saturating_sub(ejection.ends_ms) > LONGEST_EJECTION_MS;
        ejection.count = if is_forgotten { 1 } else { ejection.count.saturating_add(1) };
        let doubled = FIRST_EJECTION_MS << (ejection.count - 1).min(16);
        let time_ms = doubled.min(LONGEST_EJECTION_MS);
        ejection.ends_ms = now_ms + time_ms;
        self.metrics.upstream_server_ejections.get_or_create(&self.labels).inc();
        let ServerLabels { upstream, server } = &self.labels;
        let seconds = time_ms / 1000;
        tracing::warn!(
            upstream,
            server,
            failures,
            seconds,
            "a server does not answer requests and gets none for a while"
        );
        self.set(EJECTED, true);
    }

    /// Lets it come back when its time is over; `eject_after` failures take it out. One more failure is enough then.
    pub(super) fn end_ejection_when_due(&self, eject_after: u32) {
        if self.busy.out.load(Ordering::Relaxed) & EJECTED == 0 {
            return;
        }
        let ejection = self.ejection.lock().unwrap_or_else(PoisonError::into_inner);
        if self.ms_at(Instant::now()) < ejection.ends_ms {
            return;
        }
        self.busy.failures.store(eject_after.saturating_sub(1), Ordering::Relaxed);
        if self.set(EJECTED, false) {
            let ServerLabels { upstream, server } = &self.labels;
            tracing::info!(upstream, server, "a server that did not answer is tried again");
        }
    }

    /// What came of an attempt to connect.
    pub(super) fn note_connection(&self, connected: bool) -> bool {
        if connected {
            self.connections.inc();
        }
        if self.is_down() != connected || !self.set(DOWN, !connected) {
            return false;
        }
        let ServerLabels { upstream, server } = &self.labels;
        if connected {
            tracing::info!(upstream, server, "a server takes connections again");
        } else {
            tracing::warn!(upstream, server, "a server takes no connections");
        }
        true
    }

    /// What its health checks say; answers whether that is new.
    pub(super) fn note_health(&self, healthy: bool, error: &str) -> bool {
        if !self.set(UNHEALTHY, !healthy) {
            return false;
        }
        let ServerLabels { upstream, server } = &self.labels;
        if healthy {
            tracing::info!(upstream, server, "a server is healthy again");
        } else {
            tracing::warn!(upstream, server, error, "a server is not healthy and gets no requests");
        }
        true
    }

    /// Answers whether that is new.
    fn set(&self, reason: u8, is_out: bool) -> bool {
        let out = &self.busy.out;
        let before = if is_out {
            out.fetch_or(reason, Ordering::Relaxed)
        } else {
            out.fetch_and(!reason, Ordering::Relaxed)
        };
        let after = if is_out { before | reason } else { before & !reason };
        if before != 0 && after == 0 {
            self.busy.back_ms.store(self.ms_at(Instant::now()).max(1), Ordering::Relaxed);
        }
        self.up.set(i64::from(out.load(Ordering::Relaxed) == 0));
        before != after
    }

    /// Where it is, when the name service was asked for the first time.
    pub(super) async fn addresses(&self) -> arc_swap::Guard<Arc<Names>> {
        loop {
            let asked = self.asked.notified();
            let names = self.names.load();
            if names.is_asked {
                return names;
            }
            asked.await;
        }
    }

    /// Where it is, as far as is known.
    pub(super) fn known_addresses(&self) -> arc_swap::Guard<Arc<Names>> {
        self.names.load()
    }

    /// What the name service said. Addresses stay good when it fails.
    pub(super) fn note_names(&self, answer: io::Result<Vec<SocketAddr>>) {
        let ServerLabels { upstream, server } = &self.labels;
        let known = self.names.load();
        let (addresses, error) = match answer {
            // In another order they are the same.
            Ok(addresses) if !addresses.is_empty() => {
                let is_same = sorted(&addresses) == sorted(&known.addresses);
                (if is_same { known.addresses.clone() } else { addresses }, None)
            }
            Ok(_) => (known.addresses.clone(), Some(io::Error::other("the name has no address"))),
            Err(error) => (known.addresses.clone(), Some(error)),
        };
        let failed_before = known.error.is_some();
        match &error {
            Some(error) if !failed_before && addresses.is_empty() => {
                tracing::warn!(upstream, server, %error, "a server's name is not found");
            }
            Some(error) if !failed_before => {
                tracing::warn!(upstream, server, %error, "a server's name is not found; its last addresses are used");
            }
            None if failed_before => tracing::info!(upstream, server, "a server's name is found again"),
            _ => {}
        }
        if known.is_asked && addresses != known.addresses && error.is_none() {
            tracing::info!(
                upstream,
                server,
                addresses = addresses.len(),
                "a server's addresses have changed"
            );
        }
        if !known.is_asked || addresses != known.addresses || failed_before != error.is_some() {
            self.names.store(Arc::new(Names { addresses, error, is_asked: true }));
            self.asked.notify_waiters();
        }
    }
}

fn sorted(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut sorted = addresses.to_vec();
    sorted.sort_unstable();
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing() -> Arc<ServerStanding> {
        let server = UpstreamServer {
            https: false,
            authority: "127.0.0.1:1".to_owned(),
            weight: 1,
            backup: false,
            max_connections: None,
        };
        ServerStanding::new("shop", &server, None, &Arc::default())
    }

    #[test]
    fn there_is_room_up_to_the_limit() {
        let server = standing();
        assert!(server.take_room(Some(2)) && server.take_room(Some(2)));
        assert!(!server.take_room(Some(2)));
        server.give_room_back();
        assert!(server.take_room(Some(2)));
        assert_eq!(server.in_flight(), 2);
    }

    #[test]
    fn each_reason_keeps_a_server_out_and_its_return_is_slow() {
        let server = standing();
        assert!(server.is_usable() && !server.is_silent());
        assert!(server.note_connection(false) && !server.note_connection(false));
        assert!(server.note_health(false, "status 500"));
        assert!(server.note_connection(true));
        assert!(!server.is_usable() && server.is_silent() && !server.is_down());
        assert!(server.note_health(true, ""));
        assert!(server.is_usable());
        let now = Instant::now();
        assert!((server.share(now) - 0.1).abs() < 0.01, "{}", server.share(now));
        let half = now + Duration::from_millis(RETURN_MS / 2);
        assert!((server.share(half) - 0.5).abs() < 0.1, "{}", server.share(half));
        let later = now + Duration::from_millis(RETURN_MS + 1000);
        assert!((server.share(later) - 1.0).abs() < 0.01, "{}", server.share(later));
    }

    #[test]
    fn ejections_grow_and_one_failure_after_them_is_enough() {
        let server = standing();
        let mut last_ms = 0;
        for round in 0..10 {
            server.eject(3);
            server.eject(3);
            assert!(!server.is_usable() && !server.is_silent());
            let mut ejection = server.ejection.lock().unwrap();
            let time_ms = ejection.ends_ms.saturating_sub(server.ms_at(Instant::now()));
            let wanted = (FIRST_EJECTION_MS << round).min(LONGEST_EJECTION_MS);
            assert!(time_ms <= wanted && time_ms + 1000 > wanted, "{round}: {time_ms}");
            assert!(time_ms >= last_ms.min(LONGEST_EJECTION_MS - 1000));
            last_ms = time_ms;
            ejection.ends_ms = 0;
            drop(ejection);
            server.end_ejection_when_due(3);
            assert!(server.is_usable());
            assert_eq!(server.note_failure(), 3);
        }
        server.note_answer();
        assert_eq!(server.note_failure(), 1);
    }

    #[test]
    fn latency_follows_what_is_seen_and_fades() {
        let server = standing();
        let start = Instant::now();
        assert!(server.latency_us(start) == 0.0);
        server.note_latency(Duration::from_millis(100), start);
        assert!((server.latency_us(start) - 100_000.0).abs() < 1000.0);
        let later = start + Duration::from_secs(10);
        assert!((server.latency_us(later) - 50_000.0).abs() < 1000.0);
        for step in 0..100 {
            server.note_latency(Duration::from_millis(10), later + Duration::from_secs(step));
        }
        let end = later + Duration::from_secs(99);
        assert!((server.latency_us(end) - 10_000.0).abs() < 1000.0, "{}", server.latency_us(end));
    }

    #[test]
    fn addresses_stay_good_while_the_name_service_fails() {
        let server = standing();
        let addresses = |text: &str| vec![text.parse::<SocketAddr>().unwrap()];
        server.note_names(Ok(addresses("10.0.0.1:1")));
        assert_eq!(server.known_addresses().addresses, addresses("10.0.0.1:1"));
        server.note_names(Err(io::Error::other("away")));
        server.note_names(Ok(Vec::new()));
        assert_eq!(server.known_addresses().addresses, addresses("10.0.0.1:1"));
        assert!(server.known_addresses().error.is_some());
        server.note_names(Ok(addresses("10.0.0.2:1")));
        assert_eq!(server.known_addresses().addresses, addresses("10.0.0.2:1"));
        assert!(server.known_addresses().error.is_none());
    }
}
