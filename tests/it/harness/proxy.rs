//! The program under test, in this process, on a free port.

use std::net::SocketAddr;
use std::sync::Arc;

use utm_dispatcher::accept::{self, Workers};
use utm_dispatcher::config::Config;
use utm_dispatcher::telemetry::metrics::Metrics;

use super::Client;

/// A running proxy; it ends when dropped.
pub(crate) struct Proxy {
    pub(crate) workers: Workers,
    pub(crate) metrics: Arc<Metrics>,
}

/// Starts the data plane.
pub(crate) fn proxy(config: Config) -> Proxy {
    let metrics = Arc::new(Metrics::default());
    let bound = accept::bind(&config.proxy.listen, config.proxy.workers).unwrap();
    let workers = utm_dispatcher::proxy::start(bound, &Arc::new(config), &metrics).unwrap();
    Proxy { workers, metrics }
}

impl Proxy {
    pub(crate) fn address(&self) -> SocketAddr {
        self.workers.addresses()[0]
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.address()).await
    }

    /// One GET on a connection of its own, with `Host: shop.test`.
    pub(crate) async fn get(&self, target: &str) -> super::client::Answer {
        self.connect().await.get(target).await
    }
}
