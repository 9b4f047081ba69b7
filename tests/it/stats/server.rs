//! A stats port on a free port of loopback, as the program serves it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};
use utm_dispatcher::config;
use utm_dispatcher::customer::CustomerHasher;
use utm_dispatcher::hit::{OrderFact, Record, ReportOutcome};
use utm_dispatcher::ingest::{Ingest, Receipts};
use utm_dispatcher::journal::frame::payloads;
use utm_dispatcher::journal::writer::{Ack, Answer, Batch};
use utm_dispatcher::keys::KeyRing;
use utm_dispatcher::stats::StatsContext;
use utm_dispatcher::stats::database::ReportDatabase;
use utm_dispatcher::telemetry::metrics::Metrics;
use uuid::Uuid;

use crate::harness;

/// A running port; ends when it is dropped.
pub struct Server {
    pub address: String,
    pub metrics: Arc<Metrics>,
    pub customers: CustomerHasher,
    /// What the port hands to the journal.
    pub submissions: mpsc::UnboundedReceiver<Submission>,
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
        let receipts = Arc::new(Receipts::default());
        let (batches, taken) = std::sync::mpsc::channel();
        let ingest = Ingest::new(batches, Arc::clone(&receipts));
        let (hand_on, submissions) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            taken.into_iter().try_for_each(|batch| hand_on.send(Submission::read(batch, &receipts)))
        });
        let pool =
            |url| ReportDatabase::new(url, config.database.pool, config.database.statement_timeout).unwrap();
        let database = pool(config.stats.database_url.as_ref().map_or(database_url, |replica| &replica.0));
        let tokens = pool(database_url);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let context = StatsContext {
            config: config::Live::new(config),
            database,
            tokens,
            metrics: Arc::clone(&metrics),
            ingest,
            customers: customers.clone(),
            inspection: utm_dispatcher::inspect::Inspection::new().0,
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

    /// A request to forget a visitor.
    pub fn delete_visitor(&self, id: &str) -> RequestBuilder {
        self.client.delete(format!("{}/api/v1/visitors/{id}", self.address))
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

    /// A form as browsers send it, and what it leads to is not followed.
    pub fn post_form(&self, path: &str, form: String) -> RequestBuilder {
        let client =
            Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let request = client.post(format!("{}{path}", self.address));
        request.header("content-type", "application/x-www-form-urlencoded").body(form)
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
    let mut config = harness::config(&[SocketAddr::from(([127, 0, 0, 1], 9))]);
    config.orders.phone_country = Some("UA".into());
    config.database.place = config::DatabasePlace::Url(database_url.into());
    config.database.statement_timeout = Duration::from_secs(30);
    config.stats.metrics_public = false;
    config.stats.timezone = TimeZone::get("Europe/Kyiv").unwrap();
    config
}

/// Facts that the port handed to the journal, and the ends by which the journal and the shipper answer.
pub struct Submission {
    pub facts: Vec<OrderFact>,
    pub durable: Durable,
    pub outcomes: Outcomes,
}

/// The journal's answer.
pub struct Durable(oneshot::Sender<Answer>);

impl Durable {
    pub fn send(self, ack: Ack) {
        self.0.send(Answer { ack, buffer: Vec::new() }).unwrap();
    }
}

/// The shipper's answer.
pub struct Outcomes {
    receipts: Arc<Receipts>,
    ids: Vec<(Uuid, u32)>,
}

impl Outcomes {
    pub fn send(self, outcomes: Vec<ReportOutcome>) {
        self.receipts.deliver(self.ids.into_iter().zip(outcomes));
    }
}

impl Submission {
    fn read(batch: Batch, receipts: &Arc<Receipts>) -> Self {
        assert!(batch.durable);
        let facts: Vec<OrderFact> = payloads(&batch.frames)
            .map(|payload| match Record::decode(payload).unwrap() {
                Record::Order(fact) => *fact,
                other => panic!("{other:?}"),
            })
            .collect();
        let ids = facts.iter().map(|fact| fact.receipt.unwrap()).collect();
        let outcomes = Outcomes { receipts: Arc::clone(receipts), ids };
        Self { facts, durable: Durable(batch.ack), outcomes }
    }
}
