//! Which servers take connections, as all workers together know; counts the upstreams that have none left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::config;
use crate::telemetry::metrics::Metrics;

/// How the servers of one upstream stand. A server is down when the last attempt to connect to it failed, the upstream
/// when all its servers are.
#[derive(Debug)]
pub struct Standing {
    upstream: String,
    is_down: Box<[AtomicBool]>,
    down: AtomicUsize,
    metrics: Arc<Metrics>,
}

impl Standing {
    /// One for each upstream, for all workers; all servers are up.
    pub fn of_all(upstreams: &[config::Upstream], metrics: &Arc<Metrics>) -> Vec<Arc<Self>> {
        let standings = upstreams.iter().map(|upstream| Standing {
            upstream: upstream.name.clone(),
            is_down: upstream.servers.iter().map(|_| AtomicBool::new(false)).collect(),
            down: AtomicUsize::new(0),
            metrics: Arc::clone(metrics),
        });
        standings.map(Arc::new).collect()
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
                tracing::info!(upstream = self.upstream, "an upstream takes connections again");
            }
        } else if self.down.fetch_add(1, Ordering::Relaxed) + 1 == all {
            upstreams_down.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(upstream = self.upstream, "no server of an upstream takes connections");
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
            upstream: "shop".to_owned(),
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
