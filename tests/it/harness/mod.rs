//! What the tests stand on: a shop that does what it is told, a client that sends exact bytes, a proxy between them.

pub(crate) mod client;
pub(crate) mod config;
pub(crate) mod proxy;
pub(crate) mod upstream;

use std::time::{Duration, Instant};

pub(crate) use client::Client;
pub(crate) use config::config;
pub(crate) use proxy::{Proxy, proxy};
pub(crate) use upstream::{Received, Reply, Upstream};

/// Longest time that anything in a test may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A shop and a proxy before it, with the default configuration.
pub(crate) async fn shop(script: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> (Upstream, Proxy) {
    let upstream = Upstream::start(script).await;
    let proxy = proxy(config(&[upstream.address()]));
    (upstream, proxy)
}
