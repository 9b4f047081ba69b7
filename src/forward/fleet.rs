//! All upstreams as all workers know them, and the tasks of the office that look after their servers.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;
use rustls::RootCertStore;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::refusal::Refusal;
use super::standing::ServerStanding;
use super::{names, probe, tls};
use crate::config;
use crate::telemetry::causes::Causes;
use crate::telemetry::metrics::{Metrics, ServerLabels, UpstreamLabel};

/// Time between two lines of the log about requests that an upstream did not answer.
const QUIET_MS: u64 = 5_000;

/// How long a waiting request trusts that it will be told of room.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Every upstream, in the order of the configuration. Its tasks end with it.
#[derive(Debug)]
pub struct Fleet {
    pub(super) upstreams: Vec<Arc<Standing>>,
    tasks: Vec<AbortHandle>,
}

/// How one upstream stands.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) config: config::Upstream,
    pub(super) servers: Vec<Arc<ServerStanding>>,
    /// Who vouches for its servers, where TLS is spoken with one.
    authorities: Option<Arc<RootCertStore>>,
    /// Requests that wait for a server with room.
    waiting: AtomicUsize,
    waiting_shown: Gauge,
    freed: Notify,
    /// No server answers, and `upstreams_down` counts it.
    is_down: AtomicBool,
    /// A reload has put another in its place.
    is_retired: AtomicBool,
    complaints: Complaints,
    metrics: Arc<Metrics>,
}

impl Fleet {
    /// Makes all upstreams known and begins to look after them. A server that `before` has under the same upstream and
    /// URL stays what it is.
    ///
    /// Must be called within a runtime, which is to have threads of its own, apart from the workers'.
    ///
    /// # Errors
    ///
    /// When authorities of certificates cannot be read.
    pub fn start(
        upstreams: &[config::Upstream],
        metrics: &Arc<Metrics>,
        before: Option<&Fleet>,
    ) -> io::Result<Arc<Self>> {
        let known = before.map(|before| before.upstreams.as_slice()).unwrap_or_default();
        let standing = |upstream| Standing::new(upstream, metrics, known).map(Arc::new);
        let upstreams = upstreams.iter().map(standing).collect::<io::Result<Vec<_>>>()?;
        known.iter().for_each(|before| before.retire(&upstreams));
        upstreams.iter().for_each(|upstream| upstream.note_silence());
        let mut tasks = Vec::new();
        for upstream in &upstreams {
            for number in 0..upstream.servers.len() {
                let (of_probe, of_names) = (Arc::clone(upstream), Arc::clone(&upstream.servers[number]));
                tasks.push(tokio::spawn(probe::look_after(of_probe, number)).abort_handle());
                tasks.push(tokio::spawn(names::look_up(of_names)).abort_handle());
            }
        }
        let fleet = Fleet { upstreams, tasks };
        let is_gone = |labels: &&ServerLabels| fleet.labels().all(|known| known != *labels);
        before
            .into_iter()
            .flat_map(Fleet::labels)
            .filter(is_gone)
            .for_each(|labels| metrics.forget_server(labels));
        Ok(Arc::new(fleet))
    }

    fn labels(&self) -> impl Iterator<Item = &ServerLabels> {
        self.upstreams.iter().flat_map(|upstream| &upstream.servers).map(|server| &server.labels)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Standing {
    fn new(
        upstream: &config::Upstream,
        metrics: &Arc<Metrics>,
        before: &[Arc<Standing>],
    ) -> io::Result<Self> {
        let before = before.iter().find(|before| before.config.name == upstream.name);
        let is_https = upstream.servers.iter().any(|server| server.https);
        let authorities = is_https.then(|| tls::authorities(&upstream.tls)).transpose()?;
        let tls = authorities.as_ref().map(tls::client_config).transpose()?;
        let has_new_authorities = before.is_some_and(|before| before.has_others(authorities.as_deref()));
        if has_new_authorities {
            let upstream = &upstream.name;
            tracing::info!(upstream, "the certificate authorities of an upstream changed");
        }
        let same_tls = before.filter(|before| before.config.tls == upstream.tls);
        let mut servers = Vec::with_capacity(upstream.servers.len());
        for server in &upstream.servers {
            let known = same_tls
                .and_then(|before| before.servers.iter().find(|known| known.labels.server == server.url()))
                .filter(|known| known.tls.is_none() || !has_new_authorities);
            if let Some(known) = known {
                if upstream.health.path.is_none() {
                    known.note_health(true, "");
                }
                servers.push(Arc::clone(known));
                continue;
            }
            let tls = match &tls {
                Some(config) if server.https => Some(tls::of_server(config, &upstream.tls, server)?),
                _ => None,
            };
            servers.push(ServerStanding::new(&upstream.name, server, tls, metrics));
        }
        Ok(Standing {
            config: upstream.clone(),
            servers,
            authorities,
            waiting: AtomicUsize::new(0),
            waiting_shown: metrics
                .upstream_waiting
                .get_or_create_owned(&UpstreamLabel { upstream: upstream.name.clone() }),
            freed: Notify::new(),
            is_down: AtomicBool::new(false),
            is_retired: AtomicBool::new(false),
            complaints: Complaints::default(),
            metrics: Arc::clone(metrics),
        })
    }

    /// Whether its servers were vouched for by others than these.
    fn has_others(&self, authorities: Option<&RootCertStore>) -> bool {
        let both = self.authorities.as_deref().zip(authorities);
        both.is_some_and(|(before, now)| !tls::are_same(before, now))
    }

    /// From now on one of `next` counts in its place.
    fn retire(&self, next: &[Arc<Standing>]) {
        self.is_retired.store(true, Ordering::SeqCst);
        if self.is_down.swap(false, Ordering::SeqCst) {
            match next.iter().find(|next| next.config.name == self.config.name) {
                Some(next) => next.is_down.store(true, Ordering::SeqCst),
                None => _ = self.metrics.state.upstreams_down.fetch_sub(1, Ordering::Relaxed),
            }
        }
    }

    /// What came of an attempt to connect to the server with this index.
    pub(super) fn note_connection(&self, number: usize, connected: bool) {
        let Some(server) = self.servers.get(number) else { return };
        if server.note_connection(connected) {
            self.note_silence();
        }
        if !connected {
            self.note_failure(number);
        }
    }

    /// What the health checks of a server say.
    pub(super) fn note_health(&self, number: usize, healthy: bool, error: &str) {
        if self.servers.get(number).is_some_and(|server| server.note_health(healthy, error)) {
            self.note_silence();
        }
    }

    /// A server did not answer a request. It is ejected if that is one time too many and another can take its place.
    pub(super) fn note_failure(&self, number: usize) {
        let Some(server) = self.servers.get(number) else { return };
        let failures = server.note_failure();
        let eject_after = self.config.eject_after;
        let others = self.servers.iter().enumerate().filter(|(other, _)| *other != number);
        if eject_after > 0
            && failures >= eject_after
            && others.into_iter().any(|(_, other)| other.is_usable())
        {
            server.eject(failures);
        }
    }

    /// A request got no answer.
    pub(super) fn complain(&self, refusal: &Refusal) {
        self.complaints.untold.fetch_add(1, Ordering::Relaxed);
        if let Some(requests) = self.complaints.due() {
            let (upstream, reason) = (&self.config.name, refusal.reason());
            let error = Causes(refusal);
            tracing::warn!(upstream, requests, reason, %error, "requests were not answered by an upstream");
        }
    }

    /// Those that no later one has told of.
    pub(super) fn complain_of_the_rest(&self) {
        if let Some(requests) = self.complaints.due() {
            let upstream = &self.config.name;
            tracing::warn!(upstream, requests, "more requests were not answered by an upstream");
        }
    }

    /// Counts the upstream as down while no server answers.
    pub(super) fn note_silence(&self) {
        while !self.is_retired.load(Ordering::SeqCst) {
            let is_down = self.servers.iter().all(|server| server.is_silent()) && !self.servers.is_empty();
            if self.is_down.swap(is_down, Ordering::SeqCst) != is_down {
                let upstreams_down = &self.metrics.state.upstreams_down;
                let upstream = &self.config.name;
                if is_down {
                    upstreams_down.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(upstream, "no server of an upstream answers");
                } else {
                    upstreams_down.fetch_sub(1, Ordering::Relaxed);
                    tracing::info!(upstream, "an upstream answers again");
                }
            }
            // Another thread may have seen it otherwise meanwhile.
            if self.servers.iter().all(|server| server.is_silent()) == is_down || self.servers.is_empty() {
                return;
            }
        }
    }

    /// Whether a server has room.
    fn has_room(&self) -> bool {
        let mut servers = self.config.servers.iter().zip(&self.servers);
        servers.any(|(config, server)| config.max_connections.is_none_or(|limit| server.in_flight() < limit))
    }

    /// Whether others wait already; who comes now must not overtake them.
    pub(super) fn has_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// A request has ended.
    pub(super) fn note_room(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.freed.notify_one();
        }
    }

    /// Waits, in a queue of limited length and for a limited time, until `take` gives something; none when it did not.
    pub(super) async fn queue<T>(&self, mut take: impl FnMut() -> Option<T>) -> Option<T> {
        let place = Place::take(self);
        if place.before >= self.config.queue {
            return None;
        }
        let until = Instant::now() + self.config.queue_timeout;
        let mut is_next = place.before == 0;
        loop {
            let mut freed = pin!(self.freed.notified());
            // From here on no end of a request is missed.
            freed.as_mut().enable();
            if is_next && let Some(taken) = take() {
                return Some(taken);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            // A server that comes back makes room without a request that ends.
            let _ = tokio::time::timeout(left.min(LOOK_AGAIN), freed).await;
            is_next = true;
        }
    }
}

/// What the log says of requests that an upstream did not answer: one line at once, then at most one in a while, which
/// has their number. An outage must not fill a disk.
#[derive(Debug)]
struct Complaints {
    started: Instant,
    /// When the last line was written, and not before.
    quiet_until_ms: AtomicU64,
    untold: AtomicU64,
}

impl Default for Complaints {
    fn default() -> Self {
        Complaints { started: Instant::now(), quiet_until_ms: AtomicU64::new(0), untold: AtomicU64::new(0) }
    }
}

impl Complaints {
    /// How many requests a line is to be about that is due now.
    fn due(&self) -> Option<u64> {
        let now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let until_ms = self.quiet_until_ms.load(Ordering::Relaxed);
        if now_ms < until_ms || self.untold.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let next_ms = now_ms + QUIET_MS;
        self.quiet_until_ms.compare_exchange(until_ms, next_ms, Ordering::Relaxed, Ordering::Relaxed).ok()?;
        Some(self.untold.swap(0, Ordering::Relaxed)).filter(|untold| *untold > 0)
    }
}

/// A place in the queue.
struct Place<'a> {
    standing: &'a Standing,
    before: usize,
}

impl<'a> Place<'a> {
    fn take(standing: &'a Standing) -> Self {
        standing.waiting_shown.inc();
        Place { standing, before: standing.waiting.fetch_add(1, Ordering::SeqCst) }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let standing = self.standing;
        standing.waiting_shown.dec();
        // Whoever had room told one only; there may be room for the next as well.
        if standing.waiting.fetch_sub(1, Ordering::SeqCst) > 1 && standing.has_room() {
            standing.freed.notify_one();
        }
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        if self.is_down.load(Ordering::SeqCst) {
            self.metrics.state.upstreams_down.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
