//! A stats port on a free port of loopback, as the program serves it.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use utm_dispatcher::config;
use utm_dispatcher::customer::CustomerHasher;
use utm_dispatcher::keys::KeyRing;
use utm_dispatcher::stats::StatsContext;
use utm_dispatcher::stats::database::ReportDatabase;
use utm_dispatcher::stats::ingest::{Ingest, Submission};
use utm_dispatcher::telemetry::metrics::Metrics;

/// A running port; ends when it is dropped.
pub struct Server {
    pub address: String,
    pub metrics: Arc<Metrics>,
    pub customers: CustomerHasher,
    /// What the port hands to the journal.
    pub submissions: mpsc::Receiver<Submission>,
    client: Client,
    _files: tempfile::TempDir,
    _shutdown: DropGuard,
}

impl Server {
    /// Serves with the usual configuration.
    pub async fn start(database_url: &str) -> Server {
        Server::start_with(database_url, |_| {}).await
    }

    /// Serves with a configuration of the test's own.
    pub async fn start_with(database_url: &str, change: impl FnOnce(&mut config::Config)) -> Server {
        let files = tempfile::tempdir().unwrap();
        let mut config = usual_config(database_url);
        change(&mut config);
        let keys = KeyRing::load_or_create(&files.path().join("customer-key")).unwrap();
        let customers = CustomerHasher::new(&keys, config.orders.phone_country.as_deref());
        let metrics = Arc::new(Metrics::default());
        let (ingest, submissions) = Ingest::channel(8);
        let database =
            ReportDatabase::new(database_url, config.database.pool, config.database.statement_timeout)
                .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let context = StatsContext {
            config: Arc::new(config),
            database,
            metrics: Arc::clone(&metrics),
            ingest,
            customers: customers.clone(),
        };
        tokio::spawn(utm_dispatcher::stats::serve(listener, context, shutdown.clone()));
        let client = Client::builder().no_proxy().build().unwrap();
        let _shutdown = shutdown.drop_guard();
        Server { address, metrics, customers, submissions, client, _files: files, _shutdown }
    }

    /// A request to this path and query.
    pub fn get(&self, target: &str) -> RequestBuilder {
        self.client.get(format!("{}{target}", self.address))
    }

    /// A post of orders as JSON.
    pub fn post_orders(&self, orders: &Value) -> RequestBuilder {
        self.post_text(&orders.to_string(), "application/json")
    }

    /// A post of any text.
    pub fn post_text(&self, text: &str, content_type: &str) -> RequestBuilder {
        let request = self.client.post(format!("{}/api/v1/orders", self.address));
        request.header("content-type", content_type).body(text.to_owned())
    }

    /// The answer to a report.
    pub async fn report(&self, target: &str) -> Value {
        let response = self.get(&format!("/api/v1/{target}")).send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert_eq!(status, 200, "{target}: {text}");
        serde_json::from_str(&text).unwrap()
    }
}

/// The status of an answer and its problem.
pub async fn problem(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    (status, response.json().await.unwrap())
}

fn usual_config(database_url: &str) -> config::Config {
    let minute = Duration::from_secs(60);
    config::Config {
        proxy: usual_proxy(),
        upstreams: vec![config::Upstream {
            name: "shop".into(),
            servers: vec!["127.0.0.1:9".into()],
            host: config::HostHeader::Preserve,
            trust_events: false,
            keep_alive: minute,
            retries: 1,
        }],
        routes: Vec::new(),
        tracking: config::Tracking {
            mode: config::TrackingMode::Record,
            strip: Vec::new(),
            cookies: Vec::new(),
            upstream_headers: false,
            exclude_paths: Vec::new(),
            static_extensions: Vec::new(),
            locale_prefixes: Vec::new(),
            identity: config::IdentityConfig {
                cookie: "_utmd".into(),
                domain: config::CookieDomain::Auto,
                max_age: 60 * 24 * minute,
                secret_file: "secret".into(),
                session_timeout: 30 * minute,
            },
            privacy: config::Privacy { store_ip: config::StoreIp::Truncated },
            attribution: config::Attribution {
                lookback: 90 * 24 * 60 * minute,
                referrer_exclusions: Vec::new(),
            },
        },
        orders: config::Orders {
            revenue: config::Revenue::Placed,
            phone_country: Some("UA".into()),
            customer_key_file: "customer-key".into(),
        },
        geo_database: None,
        database: config::Database {
            place: config::DatabasePlace::Url(database_url.into()),
            pool: 4,
            auto_migrate: true,
            statement_timeout: Duration::from_secs(30),
            new_values_per_day: 100_000,
        },
        journal: config::Journal {
            dir: "journal".into(),
            fsync: config::Fsync::Never,
            wait: Duration::from_millis(20),
            segment_bytes: 1 << 20,
            max_bytes: 1 << 30,
            keep: minute,
        },
        stats: config::Stats {
            listen: "127.0.0.1:0".parse().unwrap(),
            allowed_hosts: Vec::new(),
            metrics_public: false,
            timezone: TimeZone::get("Europe/Kyiv").unwrap(),
            currency: None,
            public_url: None,
            tokens: Vec::new(),
        },
        log: config::Log { format: config::LogFormat::Text, level: "info".into() },
    }
}

fn usual_proxy() -> config::Proxy {
    let minute = Duration::from_secs(60);
    config::Proxy {
        listen: Vec::new(),
        workers: 1,
        health_path: None,
        trusted_proxies: Vec::new(),
        max_connections: 100,
        drain_timeout: minute,
        limits: config::Limits { header_bytes: 65536, headers: 200, uri_bytes: 32768, body_bytes: None },
        timeouts: config::Timeouts {
            first_byte: minute,
            header: minute,
            keep_alive: minute,
            body_idle: minute,
            connect: minute,
            response_header: minute,
            response_idle: minute,
        },
    }
}
