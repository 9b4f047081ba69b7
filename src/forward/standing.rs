//! Which servers take connections, as all workers together know; counts the upstreams that have none left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::config;
use crate::telemetry::metrics::Metrics;

/// How the servers of one upstream stand. A server is down when the last attempt to connect to it failed, the upstream
/// when all its servers are.
#[derive(Debug)]
pub struct Standing {
    upstream: config::Upstream,
    is_down: Box<[AtomicBool]>,
    down: AtomicUsize,
    metrics: Arc<Metrics>,
}

impl Standing {
    /// One for each upstream, for all workers: that of `known` where the upstream is the same, else a new one, with all
    /// servers up.
    pub fn of_all(
        upstreams: &[config::Upstream],
        known: &[Arc<Self>],
        metrics: &Arc<Metrics>,
    ) -> Vec<Arc<Self>> {
        let kept = |upstream: &config::Upstream| {
            known.iter().find(|standing| standing.upstream == *upstream).map(Arc::clone)
        };
        let fresh = |upstream: &config::Upstream| Standing {
            upstream: upstream.clone(),
            is_down: upstream.servers.iter().map(|_| AtomicBool::new(false)).collect(),
            down: AtomicUsize::new(0),
            metrics: Arc::clone(metrics),
        };
        upstreams.iter().map(|upstream| kept(upstream).unwrap_or_else(|| Arc::new(fresh(upstream)))).collect()
    }

    /// Whether no server takes connections.
    pub(super) fn is_down(&self) -> bool {
        let all = self.is_down.len();
        all > 0 && self.down.load(Ordering::Relaxed) == all
    }

    /// What came of an attempt to connect to the server with this index.
    pub(super) fn note(&self, server: usize, connected: bool) {
        let Some(is_down) = self.is_down.get(server) else { return };
        if is_down.load(Ordering::Relaxed) != connected
            || is_down.swap(!connected, Ordering::Relaxed) != connected
        {
            return;
        }
        // Each server is counted when its own flag turns, so the last to fall and the first to rise are told exactly.
        let all = self.is_down.len();
        let upstreams_down = &self.metrics.state.upstreams_down;
        if connected {
            if self.down.fetch_sub(1, Ordering::Relaxed) == all {
                upstreams_down.fetch_sub(1, Ordering::Relaxed);
                tracing::info!(upstream = self.upstream.name, "an upstream takes connections again");
            }
        } else if self.down.fetch_add(1, Ordering::Relaxed) + 1 == all {
            upstreams_down.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(upstream = self.upstream.name, "no server of an upstream takes connections");
        }
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        if self.is_down() {
            self.metrics.state.upstreams_down.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_down_when_all_its_servers_are_and_up_with_the_first() {
        let metrics = Arc::new(Metrics::default());
        let standing = Standing {
            upstream: config::Upstream {
                name: "shop".to_owned(),
                servers: vec!["127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned()],
                host: config::HostHeader::Preserve,
                trust_events: false,
                keep_alive: std::time::Duration::from_secs(4),
                retries: 1,
            },
            is_down: Box::new([AtomicBool::new(false), AtomicBool::new(false)]),
            down: AtomicUsize::new(0),
            metrics: Arc::clone(&metrics),
        };
        for (server, connected, down) in [
            (0, true, 0),
            (0, false, 0),
            (0, false, 0),
            (1, false, 1),
            (0, false, 1),
            (1, true, 0),
            (1, true, 0),
            (1, false, 1),
            (0, true, 0),
            (1, true, 0),
        ] {
            standing.note(server, connected);
            assert_eq!(metrics.state.upstreams_down.load(Ordering::Relaxed), down);
            assert_eq!(standing.is_down(), down == 1);
        }
    }
}
