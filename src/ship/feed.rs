//! Feeds the shipper from journals: this process's own and those it adopted.
//!
//! Rule: the truth about how far a journal is shipped is the database's. After any failure, and every so often, the
//! positions are asked for again and reading resumes there: behind a commit whose answer was lost, or at an earlier
//! place when the database was restored and the segments are still kept.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Batch, Folding, Located, ShipError, Shipper, Stretch};
use crate::hit::Record;
use crate::ingest::Receipts;
use crate::journal::directory::RunDirectory;
use crate::journal::reader::{Chunk, ReadError, Reader};
use crate::journal::writer::Progress;
use crate::journal::{HEADER_BYTES, Position};
use crate::telemetry::causes::Causes;
use crate::telemetry::metrics::{Metrics, Reason};

/// How long records gather before a batch begins: the price of a round trip is shared, and a page view is still in the
/// reports within a second.
const GATHER: Duration = Duration::from_millis(150);
/// Most bytes of one batch.
const BATCH_BYTES: usize = 4 << 20;
/// How often free directories are looked for, shipped segments deleted and positions asked for again.
const CHORES: Duration = Duration::from_secs(10);
/// How many journals of earlier runs are held at once, each with a file open. With more than half of them, those that
/// are shipped are not kept for a restore.
const MOST_ADOPTED: usize = 256;
/// First and longest pause after a failure.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// What the feed goes by.
#[derive(Debug, Clone)]
pub struct FeedConfig {
    /// `journal.dir`
    pub journal_dir: PathBuf,
    /// How long shipped segments are kept.
    pub keep: Duration,
    /// Size of all journals at which records are dropped.
    pub max_bytes: u64,
}

/// Reads journals and has them shipped until it is told to end.
#[derive(Debug)]
pub struct Feed {
    config: FeedConfig,
    shipper: Shipper,
    journals: BTreeMap<Uuid, Source>,
    progress: Arc<Progress>,
    receipts: Arc<Receipts>,
    metrics: Arc<Metrics>,
    chores_at: Instant,
    pause: Duration,
    has_failed: bool,
}

#[derive(Debug)]
struct Source {
    directory: Arc<RunDirectory>,
    /// How far it is written, when this process writes it.
    live: Option<Arc<Progress>>,
    reading: Option<Reading>,
    is_unreadable: bool,
}

/// Where reading stands; none while the database's position is not known.
#[derive(Debug)]
struct Reading {
    reader: Reader,
    committed: Position,
    /// Where the next stretch begins.
    read: Position,
    is_at_end: bool,
}

/// A batch on its way, and where it ends in each journal.
struct Underway {
    folding: Folding,
    ends: Vec<(Uuid, Position)>,
    is_full: bool,
}

/// Why nothing more is shipped now.
enum Halt {
    /// Everything is shipped.
    Idle,
    /// It failed; try again later.
    Failed,
    /// The database has not the tables that there were.
    SchemaGone,
}

/// How a feed ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As it was told to.
    Closed,
    /// The database was replaced by one that must be brought up to date first.
    SchemaGone,
}

impl Feed {
    /// A feed of the journal behind `progress`, which this process writes, and of every directory that it finds free.
    pub fn new(
        config: FeedConfig,
        shipper: Shipper,
        progress: Arc<Progress>,
        receipts: Arc<Receipts>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            config,
            shipper,
            journals: BTreeMap::new(),
            progress,
            receipts,
            metrics,
            chores_at: Instant::now(),
            pause: PAUSE.0,
            has_failed: false,
        }
    }

    /// Ships until `closed`, and then what is left, as long as the database takes it.
    pub async fn run(mut self, closed: CancellationToken) -> End {
        let progress = Arc::clone(&self.progress);
        loop {
            let ends = closed.is_cancelled();
            match self.ship_all(&closed).await {
                Halt::Failed | Halt::Idle if ends => return End::Closed,
                Halt::SchemaGone => return End::SchemaGone,
                Halt::Failed => {
                    tokio::select! {
                        () = tokio::time::sleep(self.pause) => {}
                        () = closed.cancelled() => {}
                    }
                    self.pause = (self.pause * 2).min(PAUSE.1);
                }
                Halt::Idle => {
                    tokio::select! {
                        () = progress.grown.notified() => {
                            tokio::select! {
                                () = tokio::time::sleep(GATHER) => {}
                                () = closed.cancelled() => {}
                            }
                        }
                        () = tokio::time::sleep_until(self.chores_at.into()) => {}
                        () = closed.cancelled() => {}
                    }
                }
            }
        }
    }

    /// Ships batch after batch until nothing is left or something fails.
    async fn ship_all(&mut self, closed: &CancellationToken) -> Halt {
        let mut ahead = None;
        loop {
            if ahead.is_none() {
                // Also amid a long backlog: what is shipped of it makes room.
                if Instant::now() >= self.chores_at {
                    self.do_chores().await;
                }
                self.take_own();
                if let Err(error) = self.locate().await {
                    return self.note_failure(&error);
                }
            }
            let Some(underway) = ahead.take().or_else(|| self.begin_batch()) else {
                if self.read_agents().await && !closed.is_cancelled() {
                    continue;
                }
                return Halt::Idle;
            };
            // Amid a backlog the next batch is folded while this one is written. Not when chores are due: they must find
            // everything that was read committed.
            if underway.is_full && Instant::now() < self.chores_at {
                ahead = self.begin_batch();
            }
            let begun = Instant::now();
            match self.shipper.ship_folded(underway.folding).await {
                Ok(shipped) => {
                    for (journal, end) in underway.ends {
                        if let Some(reading) =
                            self.journals.get_mut(&journal).and_then(|source| source.reading.as_mut())
                        {
                            reading.committed = end;
                        }
                    }
                    self.receipts.deliver(shipped.outcomes);
                    let metrics = &self.metrics;
                    metrics.batches.inc();
                    metrics.records_shipped.inc_by(shipped.records);
                    metrics.records_quarantined.inc_by(shipped.quarantined);
                    metrics
                        .batch_microseconds
                        .inc_by(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
                    self.note_success();
                    self.read_agents().await;
                }
                Err(error) => {
                    // With the positions goes what was read ahead.
                    self.forget_positions();
                    return self.note_failure(&error);
                }
            }
        }
    }

    /// Reads a batch and begins to fold it; none when nothing is left.
    fn begin_batch(&mut self) -> Option<Underway> {
        let stretches = self.read();
        let unreadable = self.journals.values().filter(|source| source.is_unreadable).count();
        self.metrics.state.journals_unreadable.store(unreadable as u64, Ordering::Relaxed);
        if stretches.is_empty() {
            // Of one that cannot be read the age is not known; it is not nothing.
            if unreadable == 0 {
                self.metrics.state.oldest_unshipped_ms.store(0, Ordering::Relaxed);
            }
            return None;
        }
        self.note_age(&stretches);
        let ends = stretches.iter().map(|stretch| (stretch.journal, stretch.next)).collect();
        let bytes: usize = stretches.iter().map(Stretch::bytes).sum();
        let folding = self.shipper.fold(Batch::new(stretches));
        Some(Underway { folding, ends, is_full: bytes >= BATCH_BYTES / 2 })
    }

    /// Says whether more user agents are to be read at once. One that cannot be read now waits for the next chores.
    async fn read_agents(&mut self) -> bool {
        self.shipper.read_agents().await.unwrap_or_else(|error| {
            tracing::warn!(error = %Causes(&error), "user agents are not read now; their devices stay unknown");
            false
        })
    }

    /// Asks the database for the positions that are not known.
    async fn locate(&mut self) -> Result<(), ShipError> {
        let unknown: Vec<Uuid> = self
            .journals
            .iter()
            .filter(|(_, source)| source.reading.is_none())
            .map(|(journal, _)| *journal)
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        for (journal, committed) in self.shipper.checkpoints(&unknown).await? {
            if let Some(source) = self.journals.get_mut(&journal) {
                let reader = Reader::new(&source.directory.path, committed);
                source.reading = Some(Reading { reader, committed, read: committed, is_at_end: false });
            }
        }
        self.note_success();
        Ok(())
    }

    /// The next stretch of each journal, together about a batch. This process's own comes first and takes half at most:
    /// neither its new hits, and who waits for a receipt, nor what earlier runs have left waits for the other's backlog.
    /// Of those the oldest comes first.
    fn read(&mut self) -> Vec<Stretch> {
        let mut stretches = Vec::new();
        let mut bytes = 0;
        let (own, others): (Vec<_>, Vec<_>) =
            self.journals.iter_mut().partition(|(_, source)| source.live.is_some());
        let others_wait = others.iter().any(|(_, source)| !source.is_at_end());
        let own_most = if others_wait { BATCH_BYTES / 2 } else { BATCH_BYTES };
        let shares =
            own.into_iter().zip([own_most]).chain(others.into_iter().zip(std::iter::repeat(BATCH_BYTES)));
        for ((journal, source), most) in shares {
            if bytes < most
                && let Some(stretch) = source.next_stretch(*journal, most - bytes, &self.metrics)
            {
                bytes += stretch.bytes();
                stretches.push(stretch);
            }
        }
        stretches
    }

    fn forget_positions(&mut self) {
        self.journals.values_mut().for_each(|source| source.reading = None);
    }

    async fn do_chores(&mut self) {
        self.chores_at = Instant::now() + CHORES;
        self.take_stock();
        self.check_positions().await;
        self.shipper.expect_agents();
    }

    /// Adopts journals, deletes what need not be kept and measures the rest. Needs no database.
    pub fn take_stock(&mut self) {
        self.take_own();
        let room = MOST_ADOPTED.saturating_sub(self.journals.len());
        match RunDirectory::adopt_free(&self.config.journal_dir, room) {
            Ok(adopted) => {
                for directory in adopted {
                    tracing::info!(journal = %directory.journal, "ships the journal of an earlier run");
                    self.add(Arc::new(directory), None);
                }
            }
            Err(error) => tracing::warn!(%error, "cannot look for journals of earlier runs"),
        }
        self.delete_shipped();
    }

    /// This process's journal, as soon as it could be made.
    fn take_own(&mut self) {
        if let Some(own) = self.progress.directory()
            && !self.journals.contains_key(&own.journal)
        {
            self.add(Arc::clone(own), Some(Arc::clone(&self.progress)));
        }
    }

    fn add(&mut self, directory: Arc<RunDirectory>, live: Option<Arc<Progress>>) {
        let source = Source { directory, live, reading: None, is_unreadable: false };
        self.journals.insert(source.directory.journal, source);
    }

    /// Deletes segments that are shipped and old; when room is short also younger ones.
    fn delete_shipped(&mut self) {
        let total: u64 = self.journals.values().filter_map(|source| source.directory.bytes().ok()).sum();
        // What was kept for a restore may be what fills the disk.
        let disk_is_full = self.progress.disk_is_full.load(Ordering::Relaxed);
        let is_short = total > self.config.max_bytes / 10 * 8 || disk_is_full;
        let is_crowded = self.journals.len() > MOST_ADOPTED / 2;
        let mut deleted = 0;
        self.journals.retain(|_, source| {
            let Some(reading) = &source.reading else { return true };
            // Whatever was read is committed: else the position would not be known.
            let all_shipped = source.live.is_none() && reading.is_at_end;
            let is_bare = || source.directory.bytes().is_ok_and(|bytes| bytes <= HEADER_BYTES as u64);
            let keep = if is_short || (all_shipped && (is_crowded || is_bare())) {
                Duration::ZERO
            } else {
                self.config.keep
            };
            deleted += source.directory.delete_shipped(reading.committed, all_shipped, keep).unwrap_or(0);
            !(all_shipped && source.directory.remove_if_empty())
        });
        let left = total.saturating_sub(deleted);
        self.progress.bytes_on_disk.store(left, Ordering::Relaxed);
        self.metrics.journal_bytes.set(i64::try_from(left).unwrap_or(i64::MAX));
    }

    /// Asks the database for all positions: one that lies before ours means that it was restored to an earlier state.
    async fn check_positions(&mut self) {
        let known: Vec<Uuid> = self.journals.keys().copied().collect();
        let Ok(positions) = self.shipper.checkpoints(&known).await else { return };
        for (journal, position) in positions {
            let Some(source) = self.journals.get_mut(&journal) else { continue };
            let Some(reading) = &source.reading else { continue };
            if reading.committed != position {
                tracing::warn!(
                    %journal, segment = position.segment, offset = position.offset,
                    "the database is at another position of this journal; shipping resumes there"
                );
                source.reading = None;
            }
        }
    }

    fn note_success(&mut self) {
        self.pause = PAUSE.0;
        self.has_failed = false;
        if self.metrics.state.note_database(None) {
            tracing::info!("the database takes records");
        }
    }

    fn note_failure(&mut self, error: &ShipError) -> Halt {
        let reason = match error {
            ShipError::CheckpointMoved(_) => "checkpoint_moved",
            ShipError::Store(_) => "database",
            ShipError::Timeout(_) => "timeout",
            ShipError::Fold(_) => "fold",
        };
        self.metrics.batch_failures.get_or_create(&Reason { reason }).inc();
        let refusal = match error {
            ShipError::Store(error) => error.refusal(),
            ShipError::CheckpointMoved(_) | ShipError::Timeout(_) | ShipError::Fold(_) => None,
        };
        let was_up = match (refusal, error) {
            (Some(refusal), _) => {
                self.metrics.state.note_database(Some(refusal));
                false
            }
            (None, ShipError::Store(_) | ShipError::Timeout(_)) => self.metrics.state.note_database_away(),
            (None, ShipError::CheckpointMoved(_) | ShipError::Fold(_)) => false,
        };
        if was_up || !std::mem::replace(&mut self.has_failed, true) {
            tracing::warn!(error = %Causes(error), "records are not shipped now; they wait in the journal");
        }
        if error.says_schema_is_gone() { Halt::SchemaGone } else { Halt::Failed }
    }

    fn note_age(&self, stretches: &[Stretch]) {
        let firsts = stretches.iter().filter_map(|stretch| stretch.records.first());
        let times =
            firsts.filter_map(|located| Record::decode(&located.payload).ok()).map(|record| record.at_ms());
        if let Some(at_ms) = times.min() {
            self.metrics.state.oldest_unshipped_ms.store(at_ms, Ordering::Relaxed);
        }
    }
}

impl Source {
    fn is_at_end(&self) -> bool {
        self.reading.as_ref().is_some_and(|reading| reading.is_at_end)
    }

    /// The next records; none as [`Source::read`].
    fn next_stretch(&mut self, journal: Uuid, max_bytes: usize, metrics: &Metrics) -> Option<Stretch> {
        let chunk = loop {
            let chunk = self.read(max_bytes, metrics)?;
            if !chunk.frames.is_empty() {
                break chunk;
            }
            // It moved over damage, or to the next segment.
        };
        let reading = self.reading.as_mut()?;
        let expected = std::mem::replace(&mut reading.read, chunk.end);
        let located = |(position, payload)| Located { position, payload };
        let records = chunk.frames.into_iter().map(located).collect();
        Some(Stretch { journal, expected, next: chunk.end, records })
    }

    /// The next chunk; none at the end, or when the journal cannot be read, which is said once.
    fn read(&mut self, max_bytes: usize, metrics: &Metrics) -> Option<Chunk> {
        let reading = self.reading.as_mut()?;
        if reading.is_at_end && self.live.is_none() {
            return None; // nobody writes it any more
        }
        let written = self.live.as_ref().map(|progress| progress.written());
        match reading.reader.read(written, max_bytes) {
            Ok(chunk) => {
                self.is_unreadable = false;
                metrics.journal_frames_damaged.inc_by(chunk.damaged);
                reading.is_at_end = chunk.is_empty();
                (!chunk.is_empty()).then_some(chunk)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_unreadable, true) {
                    self.tell(&error);
                }
                None
            }
        }
    }

    fn tell(&self, error: &ReadError) {
        tracing::error!(journal = %self.directory.journal, %error, "a journal cannot be read");
    }
}
