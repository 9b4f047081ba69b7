//! The data plane under test, in this process, on a free port: it records into a journal that nobody ships.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use utm_dispatcher::accept::{self, Certificates, Workers};
use utm_dispatcher::assets::Assets;
use utm_dispatcher::clock::WallClock;
use utm_dispatcher::config::{Config, Live};
use utm_dispatcher::customer::CustomerHasher;
use utm_dispatcher::erasure::Forgotten;
use utm_dispatcher::exclusion::{CurrentExclusions, Exclusions};
use utm_dispatcher::hit::{Hit, Record};
use utm_dispatcher::inspect::Inspection;
use utm_dispatcher::journal::Position;
use utm_dispatcher::journal::reader::Reader;
use utm_dispatcher::journal::writer::{Progress, Writer, WriterConfig};
use utm_dispatcher::keys::KeyRing;
use utm_dispatcher::proxy::Snapshot;
use utm_dispatcher::record::Recording;
use utm_dispatcher::salts::Salts;
use utm_dispatcher::telemetry::access_log::AccessLog;
use utm_dispatcher::telemetry::metrics::Metrics;

use super::Client;

/// A running proxy; it ends when dropped.
pub(crate) struct Proxy {
    pub(crate) workers: Workers,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) certificates: Arc<Certificates>,
    progress: Arc<Progress>,
    files: TempDir,
}

/// Starts the data plane.
pub(crate) fn proxy(config: Config) -> Proxy {
    let metrics = Arc::new(Metrics::default());
    let bound = accept::bind(&config.proxy).unwrap();
    let certificates = Arc::clone(bound.certificates());
    let files = tempfile::tempdir().unwrap();
    let writer_config = WriterConfig {
        journal_dir: files.path().to_owned(),
        fsync: config.journal.fsync,
        segment_bytes: config.journal.segment_bytes,
        max_bytes: config.journal.max_bytes,
    };
    let writer = Writer::start(writer_config, Arc::clone(&metrics)).unwrap();
    let begun = Instant::now();
    while writer.progress.directory().is_none() {
        assert!(begun.elapsed() < super::DEADLINE, "the journal is not opened");
        std::thread::sleep(Duration::from_millis(1));
    }
    let excluded = config.tracking.exclude.rules();
    let recording = Recording {
        batches: writer.batches,
        wait: config.journal.wait,
        keys: Arc::new(KeyRing::load_or_create(&files.path().join("secret")).unwrap()),
        customers: CustomerHasher::new(
            &KeyRing::load_or_create(&files.path().join("customer-key")).unwrap(),
            config.orders.phone_country.as_deref(),
        ),
        salts: Salts::new().unwrap(),
        forgotten: Forgotten::default(),
        exclusions: {
            let exclusions = CurrentExclusions::default();
            exclusions.replace(Exclusions::new(excluded));
            exclusions
        },
        assets: Assets::default(),
        clock: WallClock::default(),
        inspection: Inspection::new().0,
    };
    let access_log = AccessLog::start(&config.proxy.access_log, &metrics).unwrap().map(|(log, _)| log);
    let config = Live::new(config);
    let snapshot = Live::new(Snapshot::new(&config.now(), &metrics).unwrap());
    let workers =
        utm_dispatcher::proxy::start(bound, &config, &snapshot, recording, access_log, &metrics).unwrap();
    Proxy { workers, metrics, certificates, progress: writer.progress, files }
}

impl Proxy {
    pub(crate) fn address(&self) -> SocketAddr {
        self.workers.addresses()[0]
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.address()).await
    }

    /// All hits in the journal so far. Their bytes are leaked: a test ends soon.
    pub(crate) fn hits(&self) -> Vec<Hit<'static>> {
        let journal = self.progress.directory().unwrap();
        let frames = Reader::new(&journal.path, Position::default()).read(None, 64 << 20).unwrap().frames;
        let records =
            frames.into_iter().map(|(_, payload)| Record::decode(Vec::leak(payload.to_vec())).unwrap());
        records.filter_map(|record| if let Record::Hit(hit) = record { Some(*hit) } else { None }).collect()
    }

    /// The keys of the visitor's cookie.
    pub(crate) fn keys(&self) -> KeyRing {
        KeyRing::load_or_create(&self.files.path().join("secret")).unwrap()
    }

    /// One GET on a connection of its own, with `Host: shop.test`.
    pub(crate) async fn get(&self, target: &str) -> super::client::Answer {
        self.connect().await.get(target).await
    }
}
