//! A feed as the program has it, and journals for it.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use utm_dispatcher::clock::unix_ms;
use utm_dispatcher::config::{Fsync, StoreIp};
use utm_dispatcher::hit::Record;
use utm_dispatcher::ingest::Receipts;
use utm_dispatcher::journal::directory::RunDirectory;
use utm_dispatcher::journal::frame::{FORMAT, Header, append};
use utm_dispatcher::journal::reader::segment_path;
use utm_dispatcher::journal::writer::{Batch, Writer, WriterConfig};
use utm_dispatcher::ship::feed::{BATCH_BYTES, End, Feed, FeedConfig, HALVING};
use utm_dispatcher::ship::{ShipSettings, Shipper};
use utm_dispatcher::store::Store;
use utm_dispatcher::telemetry::metrics::Metrics;
use uuid::Uuid;

const SEGMENT_BYTES: usize = 64 << 20;

/// A running feed with a journal of its own.
pub(crate) struct Shipping {
    pub(crate) metrics: Arc<Metrics>,
    /// Its own journal's.
    pub(crate) batches: Sender<Batch>,
    closed: CancellationToken,
    feed: JoinHandle<(End, Feed)>,
}

impl Shipping {
    /// Ships what lies below `journals`.
    pub(crate) fn start(journals: &Path, store: Store) -> anyhow::Result<Self> {
        let metrics = Arc::new(Metrics::default());
        let config = WriterConfig {
            journal_dir: journals.to_owned(),
            fsync: Fsync::Every(Duration::from_millis(100)),
            segment_bytes: SEGMENT_BYTES as u64,
            max_bytes: 8 << 30,
        };
        let writer = Writer::start(config, Arc::clone(&metrics))?;
        let config = FeedConfig {
            journal_dir: journals.to_owned(),
            keep: Duration::ZERO,
            max_bytes: 8 << 30,
            batch_bytes: BATCH_BYTES,
            halving: HALVING,
        };
        let settings = ShipSettings {
            lookback: Duration::from_secs(90 * 86_400),
            store_ip: StoreIp::Truncated,
            new_values_per_day: 100_000,
            locale_prefixes: Vec::new(),
            points: utm_dispatcher::action::Points::default(),
            geo_database: None,
        };
        let receipts = Arc::new(Receipts::default());
        let shipper = Shipper::new(store, settings);
        let mut feed =
            Feed::new(config, shipper, Arc::clone(&writer.progress), receipts, Arc::clone(&metrics));
        feed.take_stock_when_due();
        let closed = CancellationToken::new();
        let feed = tokio::spawn(feed.run(closed.clone()));
        Ok(Shipping { metrics, batches: writer.batches, closed, feed })
    }

    /// Ships what is left.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        drop(self.batches);
        self.closed.cancel();
        self.feed.await?;
        Ok(())
    }
}

/// Writes a journal as an earlier run left it.
pub(crate) fn leave_journal<'a>(
    journals: &Path,
    records: impl Iterator<Item = Record<'a>>,
) -> anyhow::Result<Uuid> {
    let directory = RunDirectory::create(journals)?;
    let mut segment = 0;
    let header = |segment| {
        Header { format: FORMAT, journal: directory.journal, segment, created_ms: unix_ms() }
            .encode()
            .to_vec()
    };
    let mut bytes = header(segment);
    for record in records {
        append(&record, &mut bytes)?;
        if bytes.len() > SEGMENT_BYTES {
            std::fs::write(segment_path(&directory.path, segment), &bytes)?;
            segment += 1;
            bytes = header(segment);
        }
    }
    std::fs::write(segment_path(&directory.path, segment), &bytes)?;
    Ok(directory.journal)
}
