//! Builds every stage in flow order and owns the order in which they end.
//!
//! [`App::bind`] takes everything that can fail at once: keys, journal, sockets. [`App::run`] then forwards from the
//! first moment on, whatever the database does, until it is told to end:
//! no new connections → open requests end → journal closed → last batch shipped → database stopped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::accept::{self, Bound, Handed, Workers};
use crate::assets::Assets;
use crate::clock::WallClock;
use crate::config::{Config, DatabasePlace, Live};
use crate::customer::CustomerHasher;
use crate::erasure::Forgotten;
use crate::exclusion::{CurrentExclusions, Exclusions};
use crate::files::raise_open_files;
use crate::ingest::{Ingest, Receipts};
use crate::inspect::Inspection;
use crate::journal::writer::{Progress, Writer, WriterConfig};
use crate::keys::KeyRing;
use crate::keys::file::{Unsaved, save_when_possible};
use crate::managed::{Cluster, Settings};
use crate::proxy::{self, Snapshot};
use crate::record::Recording;
use crate::reload::Reload;
use crate::salts::Salts;
use crate::ship::Shipper;
use crate::ship::feed::{BATCH_BYTES, End, Feed, FeedConfig, HALVING};
use crate::ship::labels::{self, CurrentLabels};
use crate::stats::database::ReportDatabase;
use crate::stats::replica::watch_replica;
use crate::stats::{self, StatsContext};
use crate::store::forgotten::watch_forgotten;
use crate::store::identity_keys::watch_key;
use crate::store::judge::Judge;
use crate::store::migrate::{SchemaState, advance, look_at_letters, schema_state};
use crate::store::salts::share_salts;
use crate::store::{Store, rollups, upkeep};
use crate::telemetry::access_log::{self, AccessLog};
use crate::telemetry::causes::Causes;
use crate::telemetry::metrics::Metrics;

/// After so long without it what is missing in the database is told again.
const MISSING_AGAIN: Duration = Duration::from_secs(60);
/// How long the journal's last write may take at the end.
const LAST_WRITE: Duration = Duration::from_secs(5);
/// How long the access log's last lines may take at the end.
const LAST_LINES: Duration = Duration::from_secs(1);
/// How long open requests to the stats port may take at the end.
const LAST_ANSWERS: Duration = Duration::from_secs(10);
/// How long the last batch may take at the end.
const LAST_BATCH: Duration = Duration::from_secs(10);
/// Connections for reading tokens, where reports are read from a replica.
const TOKEN_CONNECTIONS: usize = 2;
/// Pause between attempts to bring the schema up to date.
const MIGRATE_PAUSE: Duration = Duration::from_secs(1);

/// The program, its sockets bound and its files open.
#[derive(Debug)]
pub struct App {
    config: Live<Config>,
    snapshot: Live<Snapshot>,
    metrics: Arc<Metrics>,
    bound: Bound,
    proxy_addresses: Vec<SocketAddr>,
    stats_listener: TcpListener,
    stats_address: SocketAddr,
    keys: KeyRing,
    unsaved_keys: Vec<Unsaved>,
    customers: CustomerHasher,
    salts: Salts,
    clock: WallClock,
    writer: Writer,
    access_log: Option<(AccessLog, access_log::Ended)>,
    cluster: Option<Cluster>,
    store: Store,
    reports: ReportDatabase,
    tokens: ReportDatabase,
}

impl App {
    /// Opens files and sockets. Nothing is forwarded yet, and nothing waits for the database, nor for a disk on which
    /// the journal could be written.
    ///
    /// Must be called within a tokio runtime, and [`App::run`] within one of several threads.
    pub async fn bind(config: Config) -> anyhow::Result<Self> {
        Self::bind_or_take(config, Handed::default()).await
    }

    /// As [`App::bind`], with sockets that were handed over.
    pub async fn bind_or_take(config: Config, handed: Handed) -> anyhow::Result<Self> {
        let config = Arc::new(config);
        raise_open_files(config.proxy.max_connections);
        let metrics = Arc::new(Metrics::default());
        metrics.note_config_loaded();
        let bound = accept::take_or_bind(&config.proxy, handed.proxy)?;
        let stats_listener = match handed.stats {
            Some(socket) => TcpListener::from_std(socket),
            None => TcpListener::bind(config.stats.listen).await,
        };
        let stats_listener = stats_listener
            .with_context(|| format!("cannot listen on {} for statistics", config.stats.listen))?;
        let keys = KeyRing::load_or_create(&config.tracking.identity.secret_file)?;
        let customer_keys = KeyRing::load_or_create(&config.orders.customer_key_file)?;
        let customers = CustomerHasher::new(&customer_keys, config.orders.phone_country.as_deref());
        let writer = Writer::start(
            WriterConfig {
                journal_dir: config.journal.dir.clone(),
                fsync: config.journal.fsync,
                segment_bytes: config.journal.segment_bytes,
                max_bytes: config.journal.max_bytes,
            },
            Arc::clone(&metrics),
        )
        .context("cannot start the journal's threads")?;
        let access_log = AccessLog::start(&config.proxy.access_log, &metrics).with_context(|| {
            let path = config.proxy.access_log.path.as_deref();
            format!(
                "cannot open the access log {}",
                path.map_or_else(String::new, |path| path.display().to_string())
            )
        })?;
        let (cluster, url) = match &config.database.place {
            DatabasePlace::Url(url) => (None, url.clone()),
            DatabasePlace::Managed(dir) => {
                let cluster = Cluster::open(dir, Settings::default())?;
                let url = cluster.url();
                (Some(cluster), url)
            }
        };
        let database = |url: &str, pool| ReportDatabase::new(url, pool, config.database.statement_timeout);
        let (reports, tokens) = match &config.stats.database_url {
            Some(replica) => {
                (database(&replica.0, config.database.pool)?, database(&url, TOKEN_CONNECTIONS)?)
            }
            None => {
                let reports = database(&url, config.database.pool)?;
                (reports.clone(), reports)
            }
        };
        Ok(Self {
            proxy_addresses: bound.addresses().to_vec(),
            stats_address: stats_listener.local_addr()?,
            bound,
            stats_listener,
            salts: Salts::new().context("no random bytes")?,
            clock: WallClock::default(),
            unsaved_keys: [&keys, &customer_keys].into_iter().filter_map(KeyRing::unsaved).cloned().collect(),
            keys,
            customers,
            writer,
            access_log,
            cluster,
            store: Store::new(&url)?,
            reports,
            tokens,
            snapshot: Live::new(Snapshot::new(&config, &metrics)?),
            config: Live::new(config),
            metrics,
        })
    }

    /// What changes the configuration while the program runs.
    pub fn reload(&self) -> Reload {
        Reload::new(&self.config, &self.snapshot, &self.metrics, self.bound.certificates())
    }

    /// The same program, for which it is what `clock` shows when it records.
    #[must_use]
    pub fn with_clock(self, clock: WallClock) -> Self {
        Self { clock, ..self }
    }

    /// Where the proxy listens.
    pub fn proxy_addresses(&self) -> &[SocketAddr] {
        &self.proxy_addresses
    }

    /// What is counted, and how it stands.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Where the stats port listens.
    pub fn stats_address(&self) -> SocketAddr {
        self.stats_address
    }

    /// The access log, if there is one; to be opened anew after its file was renamed.
    pub fn access_log(&self) -> Option<AccessLog> {
        self.access_log.as_ref().map(|(log, _)| log.clone())
    }

    /// Forwards, records, ships and answers until `shutdown`; fails when a thread of the request path dies.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let Self { config, snapshot, metrics, store, .. } = self;
        let Writer { batches, progress, ended: mut journal_ended } = self.writer;
        let (forgotten, exclusions) = (Forgotten::default(), exclusions_of(&config.now()));
        let (inspection, keeper) = Inspection::new();
        let recording = Recording {
            batches: batches.clone(),
            wait: config.now().journal.wait,
            keys: Arc::new(self.keys.clone()),
            customers: self.customers.clone(),
            salts: self.salts.clone(),
            forgotten: forgotten.clone(),
            exclusions: exclusions.clone(),
            assets: Assets::default(),
            clock: self.clock,
            inspection: inspection.clone(),
        };
        let certificates = Arc::clone(self.bound.certificates());
        let log = self.access_log.as_ref().map(|(log, _)| log.clone());
        let mut workers = proxy::start(self.bound, &config, &snapshot, recording, log, &metrics)?;

        // The office: everything from here on may fail or wait without a request noticing.
        let [office_ends, stats_ends, journal_closed] = std::array::from_fn(|_| CancellationToken::new());
        let receipts = Arc::new(Receipts::default());
        let database = self.cluster.map(|cluster| tokio::spawn(cluster.run(office_ends.clone())));
        tokio::spawn(until(office_ends.clone(), certificates.watch(Arc::clone(&metrics))));
        tokio::spawn(save_when_possible(self.unsaved_keys, Arc::clone(&metrics), office_ends.clone()));
        let context = StatsContext {
            config: config.clone(),
            database: self.reports,
            tokens: self.tokens,
            metrics: Arc::clone(&metrics),
            ingest: Ingest::new(batches.clone(), Arc::clone(&receipts)),
            customers: self.customers,
            inspection,
        };
        tokio::spawn(keeper.keep(stats_ends.clone()));
        watch_a_replica(&context, &office_ends);
        let stats = tokio::spawn(stats::serve(self.stats_listener, context, stats_ends.clone()));
        let shipping = Shipping {
            config: config.clone(),
            store,
            keys: self.keys,
            salts: self.salts,
            forgotten,
            exclusions,
            labels: CurrentLabels::default(),
            progress,
            receipts,
            metrics: Arc::clone(&metrics),
        };
        let shipping = tokio::spawn(shipping.run(journal_closed.clone()));
        drop(batches);

        let mut journal_died = false;
        let outcome = tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            end = workers.next_end() => Err(anyhow::anyhow!("worker {:?} ended", end.map(|end| end.worker))),
            _ = &mut journal_ended => {
                journal_died = true;
                Err(anyhow::anyhow!("the journal thread died"))
            }
        };
        metrics.state.draining.store(true, Ordering::Relaxed);
        end_workers(workers).await;
        end_access_log(self.access_log).await;
        // The stats port may submit orders until here; with it goes the last sender of batches.
        stats_ends.cancel();
        if tokio::time::timeout(LAST_ANSWERS, end_task("stats port", stats)).await.is_err() {
            tracing::warn!("a request to the stats port does not end");
        }
        if !journal_died {
            end_journal(journal_ended).await;
        }
        journal_closed.cancel();
        end_shipping(shipping).await;
        office_ends.cancel();
        if let Some(database) = database {
            end_task("private Postgres", database).await;
        }
        outcome
    }
}

/// Those of the configuration; the office adds the database's.
fn exclusions_of(config: &Config) -> CurrentExclusions {
    let exclusions = CurrentExclusions::default();
    exclusions.replace(Exclusions::new(config.tracking.exclude.rules()));
    exclusions
}

fn watch_a_replica(context: &StatsContext, office_ends: &CancellationToken) {
    if context.config.now().stats.database_url.is_some() {
        let databases = (context.database.clone(), context.tokens.clone());
        tokio::spawn(watch_replica(databases, Arc::clone(&context.metrics), office_ends.clone()));
    }
}

/// What the office ships with.
struct Shipping {
    config: Live<Config>,
    store: Store,
    keys: KeyRing,
    salts: Salts,
    forgotten: Forgotten,
    exclusions: CurrentExclusions,
    labels: CurrentLabels,
    progress: Arc<Progress>,
    receipts: Arc<Receipts>,
    metrics: Arc<Metrics>,
}

impl Shipping {
    /// Brings the schema up to date as soon as the database answers, and then ships; all over again when the database
    /// was replaced by an older or empty one, or when shipping panicked.
    async fn run(self, closed: CancellationToken) {
        let mut is_first = true;
        let (mut kept, mut missing) = (None, None);
        loop {
            let mut feed = kept.take().unwrap_or_else(|| self.feed());
            if !self.schema_is_current(&mut feed, &closed).await {
                return;
            }
            if std::mem::take(&mut is_first) {
                self.start_watches(&closed);
            }
            match tokio::spawn(feed.run(closed.clone())).await {
                Ok((End::Closed, _)) => return,
                Ok((End::SchemaGone(said), feed)) => {
                    self.tell_what_is_missing(said, &mut missing);
                    kept = Some(feed);
                }
                Err(_) => tracing::error!("shipping panicked; it begins anew"),
            }
            closed.run_until_cancelled(tokio::time::sleep(MIGRATE_PAUSE)).await;
        }
    }

    /// A database that was replaced is brought up to date now; else it stays so until somebody mends it.
    fn tell_what_is_missing(&self, said: String, missing: &mut Option<(String, Instant)>) {
        self.metrics.state.note_database(Some(format!(
            "schema: the database has not all that a program of its version needs: {said}"
        )));
        let is_told = |(before, at): &(String, Instant)| *before == said && at.elapsed() < MISSING_AGAIN;
        if !missing.as_ref().is_some_and(is_told) {
            tracing::warn!(%said, "the database has not our tables, or not all; records wait in the journal");
        }
        *missing = Some((said, Instant::now()));
    }

    /// What needs the tables to be there, and goes on whatever becomes of shipping.
    fn start_watches(&self, closed: &CancellationToken) {
        let store = self.store.clone();
        tokio::spawn(async move {
            if let Ok(client) = store.office().await {
                let _ = look_at_letters(&client).await; // what it has to say it logs
            }
        });
        let (store, metrics) = (self.store.clone(), Arc::clone(&self.metrics));
        let config = self.config.clone();
        tokio::spawn(upkeep::keep(store.clone(), config, Arc::clone(&metrics), closed.clone()));
        tokio::spawn(rollups::keep_fresh(store.clone(), Arc::clone(&metrics), closed.clone()));
        tokio::spawn(watch_key(store.clone(), self.keys.fingerprints(), metrics, closed.clone()));
        tokio::spawn(share_salts(store.clone(), self.salts.clone(), closed.clone()));
        let judge = Judge::new(store.clone(), self.config.clone(), self.exclusions.clone());
        tokio::spawn(judge.run(closed.clone()));
        let labels = self.labels.clone();
        tokio::spawn(labels::keep_current(store.clone(), labels, self.config.clone(), closed.clone()));
        let (forgotten, keep) = (self.forgotten.clone(), self.config.now().journal.keep);
        tokio::spawn(watch_forgotten(store, forgotten, keep, closed.clone()));
    }

    fn feed(&self) -> Feed {
        let journal = &self.config.now().journal;
        let config = FeedConfig {
            journal_dir: journal.dir.clone(),
            keep: journal.keep,
            max_bytes: journal.max_bytes,
            batch_bytes: BATCH_BYTES,
            halving: HALVING,
        };
        let shipper =
            Shipper::following(self.store.clone(), self.config.clone()).labelling(self.labels.clone());
        let (progress, receipts) = (Arc::clone(&self.progress), Arc::clone(&self.receipts));
        Feed::new(config, shipper, progress, receipts, Arc::clone(&self.metrics))
    }

    /// Returns when the schema is this program's; false when the end came before.
    async fn schema_is_current(&self, feed: &mut Feed, closed: &CancellationToken) -> bool {
        let mut said = None;
        let auto_migrate = self.config.now().database.auto_migrate;
        loop {
            // Journals of earlier runs count towards `max_bytes` also while the database is away.
            feed.take_stock_when_due();
            let (state, remedy) = if auto_migrate {
                (advance(&self.store).await, "another process migrates it")
            } else {
                (schema_state(&self.store).await, "run `migrate`")
            };
            let standstill = match &state {
                Ok(SchemaState::Current) => None,
                Ok(SchemaState::Older { found, wanted }) => Some(format!(
                    "schema: the database's is version {found}, this program needs {wanted}; {remedy}"
                )),
                Ok(SchemaState::Newer { found, wanted }) => Some(format!(
                    "schema: the database's is version {found}, this program knows {wanted}; a newer one must ship"
                )),
                Err(error) => error.refusal(),
            };
            let problem = match (standstill.clone(), &state) {
                (None, Err(error)) => Causes(error).to_string(),
                (Some(standstill), _) => standstill,
                (None, Ok(_)) => return true,
            };
            match standstill {
                Some(_) => self.metrics.state.note_database(standstill),
                None => self.metrics.state.note_database_away(),
            };
            if said.as_ref() != Some(&problem) {
                tracing::warn!(%problem, "nothing is shipped; records are kept in the journal");
                said = Some(problem);
            }
            if closed.is_cancelled() {
                return false;
            }
            closed.run_until_cancelled(tokio::time::sleep(MIGRATE_PAUSE)).await;
        }
    }
}

/// Waits until all that was handed to the journal is written, but not for ever: the disk may hang.
async fn end_journal(ended: oneshot::Receiver<()>) {
    match tokio::time::timeout(LAST_WRITE, ended).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => tracing::error!("the journal thread died"),
        Err(_) => tracing::error!("the disk does not take the journal's last records; they may be lost"),
    }
}

async fn end_access_log(access_log: Option<(AccessLog, access_log::Ended)>) {
    let Some((log, ended)) = access_log else { return };
    log.close();
    if tokio::time::timeout(LAST_LINES, ended).await.is_err() {
        tracing::warn!("the disk does not take the last lines of the access log");
    }
}

async fn end_shipping(shipping: JoinHandle<()>) {
    if tokio::time::timeout(LAST_BATCH, shipping).await.is_err() {
        tracing::warn!(
            "the last records were not shipped in time; they wait in the journal for the next start"
        );
    }
}

async fn end_workers(workers: Workers) {
    let joined = tokio::task::spawn_blocking(move || workers.join()).await;
    if joined.is_err() {
        tracing::error!("a worker could not be joined");
    }
}

/// Goes on with a task that has no end of its own.
async fn until(end: CancellationToken, task: impl Future<Output = ()>) {
    end.run_until_cancelled(task).await;
}

async fn end_task<T>(name: &'static str, task: JoinHandle<T>) {
    if task.await.is_err() {
        tracing::error!(name, "a part of the office died");
    }
}
