//! Feeds the shipper from journals: this process's own and those it adopted.
//!
//! Rule: the truth about how far a journal is shipped is the database's. After any failure, and every so often, the
//! positions are asked for again and reading resumes there: behind a commit whose answer was lost, or at an earlier
//! place when the database was restored and the segments are still kept.

mod stock;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Batch, Folding, Located, ShipError, Shipped, Shipper, Stretch};
use crate::clock::unix_ms;
use crate::hit::Record;
use crate::ingest::Receipts;
use crate::journal::Position;
use crate::journal::directory::RunDirectory;
use crate::journal::reader::{Chunk, ReadError, Reader};
use crate::journal::writer::Progress;
use crate::telemetry::causes::Causes;
use crate::telemetry::metrics::{Kind, Metrics, Reason};

/// How long records gather before a batch begins: the price of a round trip is shared, and a page view is still in the
/// reports within a second.
const GATHER: Duration = Duration::from_millis(150);
/// Most bytes of one batch, as the program has it. The longer a backlog's batch, the fewer times a session is written again;
/// and the longer new hits, other proxies and who waits for a receipt wait for its end, and the more memory it takes: 400 MB
/// at 16 MiB of first page views.
pub const BATCH_BYTES: usize = 8 << 20;
/// How often free directories are looked for, shipped segments deleted and positions asked for again.
const CHORES: Duration = Duration::from_secs(10);
/// How long a batch is halved to find records that cannot be stored before others have their turn, as the program has it.
pub const HALVING: Duration = Duration::from_secs(5);
/// Least bytes of the batches after one that was halved.
const LEAST_BYTES: usize = 4 << 10;
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
    /// Most bytes of one batch.
    pub batch_bytes: usize,
    /// How long a batch is halved before others have their turn.
    pub halving: Duration,
}

/// Reads journals and has them shipped until it is told to end.
#[derive(Debug)]
pub struct Feed {
    config: FeedConfig,
    shipper: Shipper,
    journals: BTreeMap<Uuid, Source>,
    /// Journals of earlier runs that could not be taken last time.
    refused: BTreeSet<Uuid>,
    progress: Arc<Progress>,
    receipts: Arc<Receipts>,
    metrics: Arc<Metrics>,
    chores_at: Instant,
    /// Most bytes of the next batch.
    batch_bytes: usize,
    pause: Duration,
    has_failed: bool,
    /// Records that were set aside since that was told last, and when that was.
    set_aside: u64,
    told_at: Option<Instant>,
}

#[derive(Debug)]
struct Source {
    directory: Arc<RunDirectory>,
    /// How far it is written, when this process writes it.
    live: Option<Arc<Progress>>,
    reading: Option<Reading>,
    /// Why it could not be read last time.
    trouble: Option<Trouble>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Unreadable,
    /// Only a newer version can read it.
    Newer,
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
    /// Time of the oldest record, Unix milliseconds; none when it cannot be read.
    oldest_ms: Option<u64>,
    bytes: usize,
    is_full: bool,
}

/// Why nothing more is shipped now.
enum Halt {
    /// Everything is shipped.
    Idle,
    /// It failed; try again later.
    Failed,
    /// The database has not the tables that there were; what it says.
    SchemaGone(String),
}

/// How a feed ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// As it was told to.
    Closed,
    /// The database has not our tables, or not all; what it says. It must be brought up to date first.
    SchemaGone(String),
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
            batch_bytes: config.batch_bytes,
            config,
            shipper,
            journals: BTreeMap::new(),
            refused: BTreeSet::new(),
            progress,
            receipts,
            metrics,
            chores_at: Instant::now(),
            pause: PAUSE.0,
            has_failed: false,
            set_aside: 0,
            told_at: None,
        }
    }

    /// Ships until `closed`, and then what is left, as long as the database takes it. Answers also the feed, to go on with.
    pub async fn run(mut self, closed: CancellationToken) -> (End, Self) {
        let progress = Arc::clone(&self.progress);
        loop {
            let ends = closed.is_cancelled();
            match self.ship_all(&closed).await {
                Halt::Failed | Halt::Idle | Halt::SchemaGone(_) if ends => return (End::Closed, self),
                Halt::SchemaGone(said) => {
                    self.forget_positions();
                    return (End::SchemaGone(said), self);
                }
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
        let (mut ahead, mut was_asked) = (None, false);
        loop {
            if ahead.is_none() {
                // Also amid a long backlog: what is shipped of it makes room.
                if self.take_stock_when_due() {
                    self.tell_of_quarantine();
                    self.look_again().await;
                }
                self.take_own();
                was_asked |= match self.locate().await {
                    Ok(was_asked) => was_asked,
                    Err(error) => return self.note_failure(&error),
                };
            }
            let Some(underway) = ahead.take().or_else(|| self.begin_batch()) else {
                // Of a journal that cannot be read the age is not known; it is not nothing.
                if self.count_troubles() == 0 {
                    self.metrics.state.oldest_unshipped_ms.store(0, Ordering::Relaxed);
                }
                if self.read_agents().await && !closed.is_cancelled() {
                    continue;
                }
                // Where something is to be shipped, that it is asked does not say that it takes records.
                if was_asked {
                    self.note_success();
                }
                return Halt::Idle;
            };
            if let Some(oldest_ms) = underway.oldest_ms {
                self.metrics.state.oldest_unshipped_ms.store(oldest_ms, Ordering::Relaxed);
            }
            // Amid a backlog the next batch is folded while this one is written. Not when chores are due: they must find
            // everything that was read committed.
            if underway.is_full && Instant::now() < self.chores_at {
                ahead = self.begin_batch();
            }
            let begun = Instant::now();
            let mut shipped = Shipped::default();
            let outcome = self.shipper.ship_folded(underway.folding, &mut shipped, self.config.halving).await;
            let records = self.count_shipped(&shipped);
            self.size_next_batch(underway.bytes, shipped.halvings > 0);
            self.receipts.deliver(shipped.outcomes);
            self.receipts.deliver_erasures(shipped.receipts);
            match outcome {
                Ok(true) => {
                    for (journal, end) in underway.ends {
                        if let Some(reading) =
                            self.journals.get_mut(&journal).and_then(|source| source.reading.as_mut())
                        {
                            reading.committed = end;
                        }
                    }
                    self.metrics.batches.inc();
                    self.metrics.batch.seconds.observe(begun.elapsed().as_secs_f64());
                    self.metrics.batch.records.observe(records as f64);
                    self.note_success();
                    self.read_agents().await;
                }
                Ok(false) => {
                    // The rest is read again, and with it what was read ahead: the chores may be due before.
                    ahead = None;
                    self.forget_positions();
                    if let Err(error) = self.locate().await {
                        return self.note_failure(&error);
                    }
                    self.note_success();
                }
                Err(error) => {
                    // With the positions goes what was read ahead.
                    self.forget_positions();
                    return self.note_failure(&error);
                }
            }
        }
    }

    /// Where records cannot be stored there may be more of them: in small batches they are found with fewer tries, and hold
    /// fewer others up.
    fn size_next_batch(&mut self, bytes: usize, was_halved: bool) {
        self.batch_bytes = if was_halved {
            (bytes.min(self.batch_bytes) / 4).max(LEAST_BYTES)
        } else {
            (self.batch_bytes * 2).min(self.config.batch_bytes)
        };
    }

    /// What else is done every so often, and needs the database.
    async fn look_again(&mut self) {
        self.check_positions().await;
        if let Ok(records) = self.shipper.set_aside_records().await {
            self.metrics.quarantine_records.set(records);
        }
        self.shipper.expect_agents();
    }

    /// Reads a batch and begins to fold it; none when nothing is left.
    fn begin_batch(&mut self) -> Option<Underway> {
        let stretches = self.on_disk(Self::read);
        self.count_troubles();
        if stretches.is_empty() {
            return None;
        }
        let oldest_ms = oldest_ms(&stretches);
        let ends = stretches.iter().map(|stretch| (stretch.journal, stretch.next)).collect();
        let bytes: usize = stretches.iter().map(Stretch::bytes).sum();
        let folding = self.shipper.fold(Batch::new(stretches));
        Some(Underway { folding, ends, oldest_ms, bytes, is_full: bytes >= self.batch_bytes / 2 })
    }

    /// Says whether more user agents are to be read at once. One that cannot be read now waits for the next look.
    async fn read_agents(&mut self) -> bool {
        self.shipper.read_agents().await.unwrap_or_else(|error| {
            tracing::warn!(error = %Causes(&error), "user agents are not read now; their devices stay unknown");
            false
        })
    }

    /// Asks the database for the positions that are not known; answers whether there were any.
    async fn locate(&mut self) -> Result<bool, ShipError> {
        let unknown: Vec<Uuid> = self
            .journals
            .iter()
            .filter(|(_, source)| source.reading.is_none())
            .map(|(journal, _)| *journal)
            .collect();
        if unknown.is_empty() {
            return Ok(false);
        }
        for (journal, committed) in self.shipper.checkpoints(&unknown).await? {
            if let Some(source) = self.journals.get_mut(&journal) {
                let reader = Reader::new(&source.directory.path, committed);
                source.reading = Some(Reading { reader, committed, read: committed, is_at_end: false });
            }
        }
        Ok(true)
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
        let whole = self.batch_bytes;
        let own_most = if others_wait { whole / 2 } else { whole };
        let shares = own.into_iter().zip([own_most]).chain(others.into_iter().zip(std::iter::repeat(whole)));
        for ((journal, source), most) in shares {
            if bytes < most
                && let Some(stretch) = source.next_stretch(*journal, most - bytes)
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

    /// Does what may hang on a frozen disk; the other tasks of this thread go on elsewhere meanwhile.
    fn on_disk<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let metrics = Arc::clone(&self.metrics);
        metrics.state.disk_asked_ms.store(unix_ms(), Ordering::Relaxed);
        let done = tokio::task::block_in_place(|| work(self));
        metrics.state.disk_asked_ms.store(0, Ordering::Relaxed);
        done
    }

    /// Asks the database for all positions: one that lies before ours means that it was restored to an earlier state.
    async fn check_positions(&mut self) {
        let known: Vec<Uuid> = self.journals.keys().copied().collect();
        let Ok(positions) = self.shipper.checkpoints(&known).await else {
            // Asked for again at once, and told when that fails too.
            self.forget_positions();
            return;
        };
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

    /// Answers how many records there are.
    fn count_shipped(&mut self, shipped: &Shipped) -> u64 {
        self.set_aside += shipped.quarantined;
        self.tell_of_quarantine();
        if let Some((journal, Position { segment, offset })) = shipped.damaged.first() {
            tracing::error!(
                places = shipped.damaged.len(), %journal, segment, offset,
                "parts of a journal are damaged or missing, the first here; they are passed over"
            );
        }
        let metrics = &self.metrics;
        metrics.records_shipped.inc_by(shipped.records);
        metrics.records_quarantined.inc_by(shipped.quarantined);
        metrics.journal_frames_damaged.inc_by(shipped.damaged.len() as u64);
        let refused = metrics.records_refused.get_or_create(&Reason { reason: "past_retention" });
        refused.inc_by(shipped.past_retention);
        for (kind, values) in &shipped.overflowed {
            metrics.values_overflowed.get_or_create(&Kind { kind }).inc_by(*values);
        }
        shipped.all()
    }

    /// Not with every batch: there may be many such records, behind each other.
    fn tell_of_quarantine(&mut self) {
        if self.set_aside > 0 && self.told_at.is_none_or(|told_at| told_at.elapsed() >= CHORES) {
            let records = std::mem::take(&mut self.set_aside);
            tracing::warn!(
                records,
                "records cannot be stored; the table quarantine has them and the reasons"
            );
            self.told_at = Some(Instant::now());
        }
    }

    /// Counts the journals that cannot be read, for whatever reason.
    fn count_troubles(&self) -> usize {
        let with = |trouble| self.journals.values().filter(|source| source.trouble == Some(trouble)).count();
        let newer = with(Trouble::Newer);
        let unreadable = with(Trouble::Unreadable) + self.refused.len();
        self.metrics.journals_newer.set(i64::try_from(newer).unwrap_or(i64::MAX));
        self.metrics.journals_unreadable.set(i64::try_from(unreadable).unwrap_or(i64::MAX));
        newer + unreadable
    }

    fn note_success(&mut self) {
        self.pause = PAUSE.0;
        self.has_failed = false;
        if self.metrics.state.note_database(None) {
            tracing::info!("the database takes records");
        }
    }

    fn note_failure(&mut self, error: &ShipError) -> Halt {
        if let Some(said) = error.missing_of_schema() {
            self.metrics.batch_failures.get_or_create(&Reason { reason: "database" }).inc();
            return Halt::SchemaGone(said);
        }
        let state = &self.metrics.state;
        let (reason, was_up) = match error {
            ShipError::Store(answered) => match answered.refusal() {
                Some(refusal) => {
                    state.note_database(Some(refusal));
                    ("database", false)
                }
                None => ("database", state.note_database_away()),
            },
            ShipError::Timeout(_) => ("timeout", state.note_database_away()),
            ShipError::CheckpointMoved(_) => ("checkpoint_moved", false),
            ShipError::Fold(_) => ("fold", false),
        };
        self.metrics.batch_failures.get_or_create(&Reason { reason }).inc();
        let was_told = std::mem::replace(&mut self.has_failed, true);
        if was_up || !was_told {
            tracing::warn!(error = %Causes(error), "records are not shipped now; they wait in the journal");
        }
        Halt::Failed
    }
}

impl Source {
    fn is_at_end(&self) -> bool {
        self.reading.as_ref().is_some_and(|reading| reading.is_at_end)
    }

    /// The next records; nothing as [`Source::read`]. Over damage the database's position moves, too: else it would be
    /// read, and counted, again.
    fn next_stretch(&mut self, journal: Uuid, max_bytes: usize) -> Option<Stretch> {
        let chunk = loop {
            let chunk = self.read(max_bytes)?;
            if !chunk.frames.is_empty() || !chunk.damaged.is_empty() {
                break chunk;
            }
            // It moved to the next segment.
        };
        let reading = self.reading.as_mut()?;
        let expected = std::mem::replace(&mut reading.read, chunk.end);
        let located = |(position, payload)| Located { position, payload };
        let records = chunk.frames.into_iter().map(located).collect();
        Some(Stretch { journal, expected, next: chunk.end, records, damaged: chunk.damaged })
    }

    /// The next chunk; none at the end, or when the journal cannot be read, which is said once.
    fn read(&mut self, max_bytes: usize) -> Option<Chunk> {
        let reading = self.reading.as_mut()?;
        if reading.is_at_end && self.live.is_none() {
            return None; // nobody writes it any more
        }
        let written = self.live.as_ref().map(|progress| progress.written());
        match reading.reader.read(written, max_bytes) {
            Ok(chunk) => {
                if self.trouble.take().is_some() {
                    tracing::info!(journal = %self.directory.journal, "a journal can be read again");
                }
                reading.is_at_end = chunk.is_empty();
                (!chunk.is_empty()).then_some(chunk)
            }
            Err(error) => {
                let trouble = match error {
                    ReadError::Io { .. } | ReadError::Elsewhere { .. } => Trouble::Unreadable,
                    ReadError::Newer { .. } => Trouble::Newer,
                };
                if self.trouble.replace(trouble) != Some(trouble) {
                    tracing::error!(journal = %self.directory.journal, %error, "a journal cannot be read");
                }
                None
            }
        }
    }
}

/// A journal's records are by time, nearly: of each the first is looked at.
fn oldest_ms(stretches: &[Stretch]) -> Option<u64> {
    let firsts = stretches.iter().filter_map(|stretch| stretch.records.first());
    firsts.filter_map(|located| Record::decode(&located.payload).ok()).map(|record| record.at_ms()).min()
}
