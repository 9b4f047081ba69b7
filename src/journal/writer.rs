//! The journal thread: gathers what the workers hand over, writes it with one system call, answers.
//!
//! Rule: an answer [`Ack::Written`] means that the kernel has the frames (and, where asked, the disk). When the disk
//! refuses, frames of hits are held in memory, bounded, and written when it takes them again. A file that somebody
//! removed while it is written is put back with what it had.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use super::directory::{COPY, Place, RunDirectory, is_named};
use super::frame::{FORMAT, FRAME_HEAD_BYTES, Header, payloads};
use super::reader::segment_path;
use super::{HEADER_BYTES, Position, admits};
use crate::clock::unix_ms;
use crate::config::Fsync;
use crate::hit::{Importance, Record};
use crate::telemetry::metrics::{Loss, Metrics, Tally};

/// Most bytes held in memory while the disk refuses.
const BACKLOG_BYTES: u64 = 64 << 20;
/// How often a refused write is tried again.
const RETRY: Duration = Duration::from_millis(250);
/// How often it is looked whether the files that are written are still there.
const LOOK: Duration = Duration::from_secs(1);
/// Most bytes written at once.
const GATHER_BYTES: usize = 4 << 20;

/// Frames that somebody wants written.
#[derive(Debug)]
pub struct Batch {
    /// Whole frames.
    pub frames: Vec<u8>,
    /// Whether they must be on the disk before the answer, and are refused rather than held in memory.
    pub durable: bool,
    /// Format of the segment they stand in; other than [`FORMAT`] it is a segment of their own.
    pub format: u16,
    /// Where the answer goes.
    pub ack: oneshot::Sender<Answer>,
}

/// What became of a batch.
#[derive(Debug)]
pub struct Answer {
    /// Whether it is written.
    pub ack: Ack,
    /// The batch's buffer, emptied, to be used again.
    pub buffer: Vec<u8>,
}

/// Whether a batch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// The journal has it.
    Written,
    /// The disk refuses; it is held in memory and written later.
    Held,
    /// The disk refuses and the batch was durable: nothing of it is kept.
    Refused,
}

/// What the thread is told.
#[derive(Debug, Clone)]
pub struct WriterConfig {
    /// `journal.dir`, in which the run directory is made.
    pub journal_dir: PathBuf,
    /// When data is forced to the disk.
    pub fsync: Fsync,
    /// Size at which a new segment begins.
    pub segment_bytes: u64,
    /// Size of all journals at which records are dropped.
    pub max_bytes: u64,
}

/// What others may know of the thread's progress.
#[derive(Debug, Default)]
pub struct Progress {
    directory: OnceLock<Arc<RunDirectory>>,
    written: Mutex<Position>,
    /// Notified after each write.
    pub grown: Notify,
    /// Whether the disk refuses since it has no room.
    pub disk_is_full: AtomicBool,
    /// Bytes of all segments below `journal.dir`: the writer adds, whoever deletes subtracts.
    pub bytes_on_disk: AtomicU64,
}

impl Progress {
    /// The run directory; none as long as the disk does not let it be made. It is held as long as this value lives.
    pub fn directory(&self) -> Option<&Arc<RunDirectory>> {
        self.directory.get()
    }

    /// The end of what is written.
    pub fn written(&self) -> Position {
        *self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The running thread. It ends, after writing all it was given, when the last sender of batches is dropped.
#[derive(Debug)]
pub struct Writer {
    /// Where batches go.
    pub batches: Sender<Batch>,
    /// How far it is.
    pub progress: Arc<Progress>,
    /// Ready when the thread has ended; an error when it died before it had written all.
    pub ended: oneshot::Receiver<()>,
}

impl Writer {
    /// Starts the thread `journal` (and `journal-sync`, where data is forced to the disk at intervals).
    ///
    /// Waits for no disk. One on which no segment can be made is one that refuses: it is tried again. Fails when a
    /// thread cannot be made.
    pub fn start(config: WriterConfig, metrics: Arc<Metrics>) -> io::Result<Self> {
        let progress = Arc::new(Progress::default());
        let (batches, receiver) = channel();
        let syncer = match config.fsync {
            Fsync::Every(interval) => Some(Syncer::start(interval, Arc::clone(&metrics))?),
            Fsync::Always | Fsync::Never => None,
        };
        let mut state = State {
            config,
            progress: Arc::clone(&progress),
            metrics,
            segment: None,
            next_segment: 0,
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            refusing: false,
            retry_at: Instant::now(),
            looked_at: Instant::now(),
            is_misplaced: false,
            is_full: false,
            drops: false,
            syncer,
        };
        let (end, ended) = oneshot::channel();
        std::thread::Builder::new().name("journal".into()).spawn(move || {
            state.run(&receiver);
            drop(state);
            let _ = end.send(());
        })?;
        Ok(Self { batches, progress, ended })
    }
}

struct Segment {
    format: u16,
    file: Arc<File>,
    number: u64,
    end: u64,
}

struct State {
    config: WriterConfig,
    progress: Arc<Progress>,
    metrics: Arc<Metrics>,
    segment: Option<Segment>,
    next_segment: u64,
    backlog: VecDeque<Vec<u8>>,
    backlog_bytes: u64,
    refusing: bool,
    retry_at: Instant,
    looked_at: Instant,
    /// The files that are written are not where they should be, and could not be put back.
    is_misplaced: bool,
    /// The journals have their greatest size, or nearly.
    is_full: bool,
    /// What the disk refuses is more than may wait in memory.
    drops: bool,
    syncer: Option<Syncer>,
}

impl State {
    fn run(&mut self, receiver: &Receiver<Batch>) {
        let mut gathered = Vec::new();
        let mut waiting: Vec<Batch> = Vec::new();
        let mut alone = None;
        self.try_again();
        loop {
            match receiver.recv_timeout(if self.refusing { RETRY } else { LOOK }) {
                Ok(batch) if batch.format != FORMAT => alone = Some(batch),
                Ok(batch) => waiting.push(batch),
                Err(RecvTimeoutError::Timeout) if self.refusing && self.backlog.is_empty() => {
                    self.try_again();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.looked_at.elapsed() >= LOOK {
                self.look_after_files();
            }
            let mut bytes: usize = waiting.iter().map(|batch| batch.frames.len()).sum();
            while alone.is_none() && bytes < GATHER_BYTES {
                let Ok(batch) = receiver.try_recv() else { break };
                if batch.format != FORMAT {
                    alone = Some(batch);
                    break;
                }
                bytes += batch.frames.len();
                waiting.push(batch);
            }
            self.drain_backlog();
            self.write_all(&mut waiting, &mut gathered);
            waiting.extend(alone.take());
            self.write_all(&mut waiting, &mut gathered);
        }
        self.look_after_files();
        self.retry_at = Instant::now();
        self.drain_backlog();
        if self.backlog_bytes > 0 {
            let mut lost = Tally::default();
            for payload in self.backlog.iter().flat_map(|frames| payloads(frames)) {
                lost.add(importance(payload));
            }
            self.metrics.count_dropped(Loss::Closed, lost);
            // Nobody reads the metrics any more.
            tracing::error!(%lost, "records are lost that waited in memory for the journal's disk");
        }
        if let (Some(segment), false) = (&self.segment, self.config.fsync == Fsync::Never) {
            let _ = sync(&segment.file, &self.metrics);
        }
    }

    /// Writes the batches in their order with one call, and answers them.
    fn write_all(&mut self, waiting: &mut Vec<Batch>, gathered: &mut Vec<u8>) {
        let Some(format) = waiting.first().map(|batch| batch.format) else { return };
        if !self.has_room() {
            self.drop_unadmitted(waiting);
        }
        if self.is_misplaced {
            // Also what the kernel takes might be found by nobody.
            for batch in waiting.extract_if(.., |batch| batch.durable) {
                answer(batch, Ack::Refused);
            }
        }
        let durable = waiting.iter().any(|batch| batch.durable);
        let written = if !self.backlog.is_empty() {
            Err(0) // behind what is held, so that the order stays
        } else if let [only] = waiting.as_slice() {
            self.write(&only.frames, durable, format)
        } else {
            gathered.clear();
            waiting.iter().for_each(|batch| gathered.extend_from_slice(&batch.frames));
            self.write(gathered, durable, format)
        };
        let mut reached = written.err().unwrap_or(0);
        for batch in waiting.drain(..) {
            let begun = reached.min(batch.frames.len());
            reached -= begun;
            let ack = if written.is_ok() {
                Ack::Written
            } else if batch.durable {
                Ack::Refused
            } else {
                self.hold(&batch.frames[begun..]);
                Ack::Held
            };
            answer(batch, ack);
        }
    }

    /// Takes out of the batches what is not important enough for the room that is left.
    fn drop_unadmitted(&self, waiting: &mut Vec<Batch>) {
        let mut used = self.progress.bytes_on_disk.load(Ordering::Relaxed);
        for mut batch in std::mem::take(waiting) {
            let (kept, dropped) = admitted(&batch.frames, used, self.config.max_bytes);
            if batch.durable && !dropped.is_empty() {
                answer(batch, Ack::Refused);
                continue;
            }
            self.metrics.count_dropped(Loss::Full, dropped);
            used += kept.len() as u64;
            batch.frames = kept;
            waiting.push(batch);
        }
    }

    /// Finds out whether the disk takes anything when there is nothing to write.
    fn try_again(&mut self) {
        match self.open_segment(FORMAT) {
            Ok(()) => self.accepted(),
            Err(error) => self.refused(&error),
        }
    }

    /// Writes whole frames; on failure says how many bytes, a whole number of frames, were written all the same.
    fn write(&mut self, frames: &[u8], durable: bool, format: u16) -> Result<(), usize> {
        if frames.is_empty() {
            return Ok(());
        }
        if self.refusing && Instant::now() < self.retry_at {
            return Err(0);
        }
        let is_alone = format != FORMAT;
        let full = self.segment.as_ref().is_none_or(|segment| {
            segment.end >= self.config.segment_bytes || segment.format != FORMAT || is_alone
        });
        if full && self.segment.is_some() {
            // What is left behind is put back first: nobody could do it later.
            self.look_after_files();
            if self.is_misplaced {
                let error = io::Error::other("its files are not where they should be");
                self.refused(&error);
                return Err(0);
            }
        }
        if full && let Err(error) = self.open_segment(format) {
            self.refused(&error);
            return Err(0);
        }
        let Some(segment) = &mut self.segment else { return Err(0) };
        let mut done = 0;
        let outcome = loop {
            match segment.file.write_at(&frames[done..], segment.end + done as u64) {
                Ok(bytes) if done + bytes == frames.len() => {
                    done += bytes;
                    break Ok(());
                }
                Ok(0) => break Err(io::Error::from(io::ErrorKind::WriteZero)),
                Ok(bytes) => done += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        let whole = if outcome.is_ok() { done } else { whole_frames(&frames[..done]) };
        segment.end += whole as u64;
        // A torn frame at the end is cut off; where even that fails the next write begins a new segment.
        let tail_is_clean = whole == done || segment.file.set_len(segment.end).is_ok();
        let must_sync = durable || self.config.fsync == Fsync::Always;
        let outcome =
            outcome.and_then(|()| if must_sync { sync(&segment.file, &self.metrics) } else { Ok(()) });
        self.publish(whole as u64);
        if whole > 0 {
            self.note_waiting();
        }
        if !tail_is_clean {
            self.segment = None;
        }
        match outcome {
            Ok(()) => {
                self.accepted();
                Ok(())
            }
            Err(error) => {
                self.refused(&error);
                Err(whole)
            }
        }
    }

    fn publish(&self, bytes: u64) {
        if let Some(segment) = &self.segment {
            *self.progress.written.lock().unwrap_or_else(PoisonError::into_inner) =
                Position { segment: segment.number, offset: segment.end };
        }
        let on_disk = self.progress.bytes_on_disk.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.metrics.journal_held_bytes.set(i64::try_from(on_disk).unwrap_or(i64::MAX));
        self.progress.grown.notify_one();
        if let Some(syncer) = &self.syncer {
            syncer.dirty.store(true, Ordering::Release);
        }
    }

    /// What was written waits to be shipped, also while nobody can read it because the database is away.
    fn note_waiting(&self) {
        let oldest = &self.metrics.state.oldest_unshipped_ms;
        if oldest.load(Ordering::Relaxed) == 0 {
            let _ = oldest.compare_exchange(0, unix_ms(), Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    fn open_segment(&mut self, format: u16) -> io::Result<()> {
        let directory = self.directory()?;
        let number = self.next_segment;
        let path = segment_path(&directory.path, number);
        let file = new_file(&path)?;
        let header = Header { format, journal: directory.journal, segment: number, created_ms: unix_ms() };
        let is_named_on_disk = format != FORMAT || self.config.fsync != Fsync::Never;
        let made = file
            .write_all_at(&header.encode(), 0)
            .and_then(|()| if is_named_on_disk { File::open(&directory.path)?.sync_all() } else { Ok(()) });
        if let Err(error) = made {
            // Only a number that is taken is left out: readers hold a gap for a loss.
            if fs::remove_file(&path).is_err() {
                self.next_segment += 1;
            }
            return Err(error);
        }
        self.next_segment += 1;
        let file = Arc::new(file);
        if let Some(syncer) = &self.syncer {
            syncer.watch(Arc::clone(&file));
        }
        self.segment = Some(Segment { format, file, number, end: HEADER_BYTES as u64 });
        self.publish(HEADER_BYTES as u64);
        Ok(())
    }

    /// The run directory, made with the first segment.
    fn directory(&self) -> io::Result<Arc<RunDirectory>> {
        if let Some(directory) = self.progress.directory() {
            return Ok(Arc::clone(directory));
        }
        let made = Arc::new(RunDirectory::create(&self.config.journal_dir)?);
        Ok(Arc::clone(self.progress.directory.get_or_init(|| made)))
    }

    fn has_room(&mut self) -> bool {
        let used = self.progress.bytes_on_disk.load(Ordering::Relaxed);
        let is_full = !admits(Importance::PageView, used, self.config.max_bytes);
        if is_full != std::mem::replace(&mut self.is_full, is_full) {
            if is_full {
                tracing::error!(used, "journals have nearly journal.max_bytes; page views are dropped first");
            } else {
                tracing::info!("journals have room again");
            }
        }
        !is_full
    }

    /// Puts back what somebody has removed under us.
    fn look_after_files(&mut self) {
        self.looked_at = Instant::now();
        let place = self.put_back();
        let dir = self.config.journal_dir.display();
        let problem = match place {
            Ok(Place::Kept) => None,
            Ok(Place::Restored) => {
                tracing::error!(%dir, "somebody removed files that the journal is written to; they are put back");
                None
            }
            Ok(Place::Moved) => Some("they were moved elsewhere".to_owned()),
            Err(error) => Some(format!("they cannot be put back: {error}")),
        };
        let was_misplaced = std::mem::replace(&mut self.is_misplaced, problem.is_some());
        self.metrics.state.journal_misplaced.store(self.is_misplaced, Ordering::Relaxed);
        match problem {
            Some(problem) if !was_misplaced => tracing::error!(
                %dir, problem, "the files that the journal is written to are not there; nothing of them is shipped"
            ),
            None if was_misplaced => {
                tracing::info!(%dir, "the files that the journal is written to are there again")
            }
            _ => {}
        }
    }

    fn put_back(&mut self) -> io::Result<Place> {
        let Some(directory) = self.progress.directory() else { return Ok(Place::Kept) };
        let place = directory.put_back()?;
        let Some(segment) = self.segment.as_mut().filter(|_| place != Place::Moved) else { return Ok(place) };
        let path = segment_path(&directory.path, segment.number);
        if is_named(&segment.file.metadata()?, &path)? {
            return Ok(place);
        }
        segment.file = Arc::new(copied(&segment.file, segment.end, &path)?);
        if let Some(syncer) = &self.syncer {
            syncer.watch(Arc::clone(&segment.file));
        }
        self.progress.grown.notify_one();
        Ok(Place::Restored)
    }

    /// Keeps frames in memory until the disk takes them again.
    fn hold(&mut self, frames: &[u8]) {
        let (kept, dropped) = admitted(frames, self.backlog_bytes, BACKLOG_BYTES);
        self.metrics.count_dropped(Loss::Refused, dropped);
        if !dropped.is_empty() && !std::mem::replace(&mut self.drops, true) {
            tracing::error!(
                "what waits in memory for the journal's disk is too much; page views are dropped first"
            );
        }
        self.backlog_bytes += kept.len() as u64;
        if !kept.is_empty() {
            self.backlog.push_back(kept);
        }
    }

    fn drain_backlog(&mut self) {
        while let Some(frames) = self.backlog.pop_front() {
            match self.write(&frames, false, FORMAT) {
                Ok(()) => self.backlog_bytes -= frames.len() as u64,
                Err(written) => {
                    self.backlog_bytes -= written as u64;
                    self.backlog.push_front(frames[written..].to_vec());
                    return;
                }
            }
        }
    }

    fn accepted(&mut self) {
        if std::mem::take(&mut self.refusing) {
            self.metrics.state.note_disk(None);
            self.progress.disk_is_full.store(false, Ordering::Relaxed);
            self.drops = false;
            tracing::info!("journal takes records again");
        }
    }

    fn refused(&mut self, error: &io::Error) {
        self.retry_at = Instant::now() + RETRY;
        let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        self.progress.disk_is_full.store(is_full, Ordering::Relaxed);
        let said =
            if is_full { "its disk has no room".to_owned() } else { format!("its disk refuses: {error}") };
        self.metrics.state.note_disk(Some(said));
        if !std::mem::replace(&mut self.refusing, true) {
            let dir = self.config.journal_dir.display();
            tracing::error!(%dir, %error, "journal cannot be written; records are held in memory");
        }
    }
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// A file with the first `bytes` of one that has not its name any more, in its place.
fn copied(removed: &File, bytes: u64, path: &Path) -> io::Result<File> {
    let unnamed = path.with_extension(COPY);
    let _ = fs::remove_file(&unnamed); // of an attempt that was cut off
    let copying = || {
        let mut copy = new_file(&unnamed)?;
        let mut source = removed;
        source.rewind()?;
        io::copy(&mut source.take(bytes), &mut copy)?;
        copy.sync_data()?;
        fs::rename(&unnamed, path)?;
        Ok(copy)
    };
    copying().inspect_err(|_| {
        let _ = fs::remove_file(&unnamed);
    })
}

fn answer(batch: Batch, ack: Ack) {
    let mut buffer = batch.frames;
    buffer.clear();
    let _ = batch.ack.send(Answer { ack, buffer });
}

/// What is lost with a record; one that cannot be read is worth the least.
fn importance(payload: &[u8]) -> Importance {
    Record::decode(payload).map_or(Importance::PageView, |record| record.importance())
}

/// The frames that are important enough when `used` of `capacity` bytes are taken, and what is not.
fn admitted(frames: &[u8], used: u64, capacity: u64) -> (Vec<u8>, Tally) {
    let mut kept = Vec::new();
    let mut dropped = Tally::default();
    let mut at = 0;
    for payload in payloads(frames) {
        let end = at + FRAME_HEAD_BYTES + payload.len();
        let importance = importance(payload);
        if admits(importance, used + kept.len() as u64, capacity) {
            kept.extend_from_slice(&frames[at..end]);
        } else {
            dropped.add(importance);
        }
        at = end;
    }
    (kept, dropped)
}

fn whole_frames(bytes: &[u8]) -> usize {
    payloads(bytes).map(|payload| FRAME_HEAD_BYTES + payload.len()).sum()
}

/// Forces a file to the disk at intervals, on a thread of its own so that no write waits for it.
struct Syncer {
    dirty: Arc<AtomicBool>,
    files: Sender<Arc<File>>,
}

impl Syncer {
    fn start(interval: Duration, metrics: Arc<Metrics>) -> io::Result<Self> {
        let dirty = Arc::new(AtomicBool::new(false));
        let (files, receiver) = channel::<Arc<File>>();
        let flag = Arc::clone(&dirty);
        std::thread::Builder::new().name("journal-sync".into()).spawn(move || {
            let mut current: Option<Arc<File>> = None;
            loop {
                match receiver.recv_timeout(interval) {
                    // The finished segment gets its last sync; the new one follows at its interval.
                    Ok(file) => current.replace(file).iter().for_each(|file| sync_or_tell(file, &metrics)),
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {
                        if flag.swap(false, Ordering::AcqRel) {
                            current.iter().for_each(|file| sync_or_tell(file, &metrics));
                        }
                    }
                }
            }
        })?;
        Ok(Self { dirty, files })
    }

    fn watch(&self, file: Arc<File>) {
        let _ = self.files.send(file);
    }
}

/// Forces a file to the disk; a failure is counted.
fn sync(file: &File, metrics: &Metrics) -> io::Result<()> {
    file.sync_data().inspect_err(|_| {
        metrics.journal_sync_failures.inc();
    })
}

/// A disk that fails is told once, not at every interval, and so is one that works again.
fn sync_or_tell(file: &File, metrics: &Metrics) {
    let outcome = sync(file, metrics);
    let failed_before = metrics.state.sync_fails.swap(outcome.is_err(), Ordering::Relaxed);
    match outcome {
        Err(error) if !failed_before => tracing::error!(%error, "journal could not be forced to the disk"),
        Ok(()) if failed_before => tracing::info!("journal is forced to the disk again"),
        Ok(()) | Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_that_fails_is_counted_and_told_until_one_succeeds() {
        let metrics = Metrics::default();
        let fails =
            || (metrics.journal_sync_failures.get(), metrics.state.sync_fails.load(Ordering::Relaxed));
        // A device that takes everything and cannot be forced.
        let hopeless = File::open("/dev/null").unwrap();
        sync_or_tell(&hopeless, &metrics);
        sync_or_tell(&hopeless, &metrics);
        assert_eq!(fails(), (2, true));
        sync_or_tell(&tempfile::tempfile().unwrap(), &metrics);
        assert_eq!(fails(), (2, false));
    }
}
