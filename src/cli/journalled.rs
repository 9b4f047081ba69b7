//! What a command tells: into a journal of its own, so that it survives the database, and then to the database. With that
//! away the running program ships it as soon as it is back.

use std::sync::Arc;

use anyhow::{Context, bail};
use uuid::Uuid;

use crate::config::Config;
use crate::erasure::Erasure;
use crate::hit::Record;
use crate::ingest::{Ingest, Receipts, receive_in_turn};
use crate::journal::directory::RunDirectory;
use crate::journal::reader::Reader;
use crate::journal::writer::{Writer, WriterConfig};
use crate::ship::{Batch, Located, ShipSettings, Shipped, Shipper, Stretch};
use crate::store::migrate::{SchemaState, schema_state};
use crate::telemetry::metrics::Metrics;

/// Bytes read, and shipped, at once.
const CHUNK_BYTES: usize = 1 << 18;
/// Facts written at once.
const FACTS: usize = 1000;

/// Answers the journal, which nobody else ships as long as the value lives.
pub(super) async fn write_erasure(config: &Config, erasure: Erasure) -> anyhow::Result<Arc<RunDirectory>> {
    let (ingest, writer) = open(config)?;
    ingest.record(erasure).await.with_context(|| format!("in {}", config.journal.dir.display()))?;
    close(ingest, writer).await
}

/// Answers the journal, as above, and by which request the facts' outcomes are known: the index is the fact's.
pub(super) async fn write_facts(
    config: &Config,
    mut facts: Vec<Record<'static>>,
) -> anyhow::Result<(Arc<RunDirectory>, Uuid)> {
    let (ingest, writer) = open(config)?;
    let request = Uuid::new_v4();
    receive_in_turn(&mut facts);
    let mut first = 0;
    for some in facts.chunks_mut(FACTS) {
        let written = ingest.record_facts(request, first, some).await;
        written.with_context(|| format!("in {}", config.journal.dir.display()))?;
        first += u32::try_from(some.len())?;
    }
    Ok((close(ingest, writer).await?, request))
}

/// Brings a journal that is written to its end to the database.
pub(super) async fn ship(config: &Config, directory: &RunDirectory) -> anyhow::Result<Shipped> {
    let (store, _cluster) = super::database(config).await?;
    if schema_state(&store).await? != SchemaState::Current {
        bail!("its schema is of another version");
    }
    let mut shipper = Shipper::new(store, ShipSettings::from(config));
    let positions = shipper.checkpoints(&[directory.journal]).await?;
    let mut expected = positions.get(&directory.journal).copied().unwrap_or_default();
    let mut reader = Reader::new(&directory.path, expected);
    let mut shipped = Shipped::default();
    loop {
        let chunk = reader.read(None, CHUNK_BYTES)?;
        if chunk.is_empty() {
            return Ok(shipped);
        }
        let located = |(position, payload)| Located { position, payload };
        let records = chunk.frames.into_iter().map(located).collect();
        let stretch = Stretch {
            journal: directory.journal,
            expected,
            next: chunk.end,
            records,
            damaged: chunk.damaged,
        };
        let part = shipper.ship(Batch::new(vec![stretch])).await?;
        shipped.receipts.extend(part.receipts);
        shipped.outcomes.extend(part.outcomes);
        expected = chunk.end;
    }
}

fn open(config: &Config) -> anyhow::Result<(Ingest, Writer)> {
    let journal = &config.journal;
    let writer = Writer::start(
        WriterConfig {
            journal_dir: journal.dir.clone(),
            fsync: journal.fsync,
            segment_bytes: journal.segment_bytes,
            max_bytes: journal.max_bytes,
        },
        Arc::new(Metrics::default()),
    )?;
    Ok((Ingest::new(writer.batches.clone(), Arc::new(Receipts::default())), writer))
}

async fn close(ingest: Ingest, writer: Writer) -> anyhow::Result<Arc<RunDirectory>> {
    drop((ingest, writer.batches));
    let _ = writer.ended.await;
    let directory = writer.progress.directory().context("the journal has no directory")?;
    Ok(Arc::clone(directory))
}
