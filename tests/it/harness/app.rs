//! The whole program under test, in this process, on free ports, its files in a folder of its own.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use utm_dispatcher::app::App;
use utm_dispatcher::clock::WallClock;
use utm_dispatcher::config::{Config, DatabasePlace};

use super::{Client, config};

/// A running program. Dropped without [`Running::stop`] it goes on until the test's runtime ends.
pub(crate) struct Running {
    pub(crate) proxy: SocketAddr,
    stats: String,
    shutdown: CancellationToken,
    ended: JoinHandle<anyhow::Result<()>>,
}

/// The configuration of a program before `upstream`, with its database at `database_url` and its files in `files`.
pub(crate) fn app_config(upstream: SocketAddr, database_url: &str, files: &Path) -> Config {
    let mut config = config(&[upstream]);
    config.database.place = DatabasePlace::Url(database_url.to_owned());
    config.journal.dir = files.join("journal");
    config.tracking.identity.secret_file = files.join("secret");
    config.upstreams[0].trust_events = true;
    config.orders.customer_key_file = files.join("customer-key");
    config
}

/// A program with the default configuration; the folder of its files goes with the second value.
pub(crate) async fn app(upstream: SocketAddr, database_url: &str) -> (Running, TempDir) {
    let files = tempfile::tempdir().unwrap();
    (Running::start(app_config(upstream, database_url, files.path())).await, files)
}

/// What the API says became of each item, with the reason where one is told.
pub(crate) fn outcomes((status, answer): (u16, Value)) -> Vec<String> {
    assert_eq!(status, 200, "{answer}");
    let text = |item: &Value| {
        let reason = item["reason"].as_str().map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("{}{reason}", item["outcome"].as_str().unwrap())
    };
    answer["results"].as_array().unwrap().iter().map(text).collect()
}

impl Running {
    pub(crate) async fn start(config: Config) -> Self {
        Self::start_at(config, WallClock::default()).await
    }

    /// A program that records by this clock.
    pub(crate) async fn start_at(config: Config, clock: WallClock) -> Self {
        let app = App::bind(config).await.unwrap().with_clock(clock);
        let shutdown = CancellationToken::new();
        Self {
            proxy: app.proxy_addresses()[0],
            stats: format!("http://{}", app.stats_address()),
            ended: tokio::spawn(app.run(shutdown.clone())),
            shutdown,
        }
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.proxy).await
    }

    /// The text and status of a page of the stats port.
    pub(crate) async fn ask(&self, target: &str) -> (u16, String) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let response = client.get(format!("{}{target}", self.stats)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// A report, or none while the database is away.
    pub(crate) async fn report(&self, target: &str) -> Option<Value> {
        let (status, text) = self.ask(&format!("/api/v1/{target}")).await;
        assert!(matches!(status, 200 | 503), "{target}: {status} {text}");
        (status == 200).then(|| serde_json::from_str(&text).unwrap())
    }

    /// Tells the API about orders; answers status and body.
    pub(crate) async fn tell_orders(&self, orders: &Value) -> (u16, Value) {
        self.tell("orders", orders).await
    }

    /// Tells the API about `what`; answers status and body.
    pub(crate) async fn tell(&self, what: &str, items: &Value) -> (u16, Value) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.post(format!("{}/api/v1/{what}", self.stats)).json(items);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// Has a visitor forgotten; answers status and body.
    pub(crate) async fn forget(&self, visitor: &str) -> (u16, Value) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.delete(format!("{}/api/v1/visitors/{visitor}", self.stats));
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// Puts something to an address of the API; answers status and body.
    pub(crate) async fn put(&self, target: &str, body: &str) -> (u16, Value) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.put(format!("{}/api/v1/{target}", self.stats));
        let response =
            request.header("content-type", "application/json").body(body.to_owned()).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// Deletes something of the API; answers the status.
    pub(crate) async fn delete(&self, target: &str) -> u16 {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        client.delete(format!("{}/api/v1/{target}", self.stats)).send().await.unwrap().status().as_u16()
    }

    /// Ends it as SIGTERM does.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.ended.await.unwrap().unwrap();
    }
}
