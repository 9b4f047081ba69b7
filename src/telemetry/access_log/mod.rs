//! The access log: one line for each answered request, written by a thread of its own.
//!
//! Rule: no worker ever waits for it. A worker gathers lines and hands them over, many at once; what the disk does not
//! take in time is dropped and counted. No line holds a cookie, a token, or anything of a query but its length.

mod line;
mod writer;

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;

pub use line::{End, Entry, UpstreamPart};
pub use writer::Ended;

use self::line::Seconds;
use self::writer::Message;
use crate::config::{self, AccessLogFormat};
use crate::telemetry::metrics::Metrics;

/// Most bytes of lines that wait for the disk.
const WAITING_BYTES: u64 = 16 << 20;
/// Bytes that a worker gathers before it hands them over.
const GATHERED_BYTES: usize = 32 << 10;
/// How long a line waits in a worker at most.
pub const HAND_OVER_AFTER: Duration = Duration::from_millis(200);

/// The way to the log. Clones share it.
#[derive(Debug, Clone)]
pub struct AccessLog {
    config: Arc<config::AccessLog>,
    sender: Sender<Message>,
    /// Bytes that are handed over and not written.
    waiting_bytes: Arc<AtomicU64>,
    dropped: Counter,
}

/// One worker's hand at the log.
#[derive(Debug)]
pub struct Pen {
    log: AccessLog,
    lines: RefCell<Vec<u8>>,
    gathered: Cell<u64>,
    seconds: RefCell<Seconds>,
}

impl AccessLog {
    /// Opens the file and starts the writer; none when there is to be no log.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened, or the thread not be made.
    pub fn start(config: &config::AccessLog, metrics: &Metrics) -> io::Result<Option<(Self, Ended)>> {
        if config.format == AccessLogFormat::Off {
            return Ok(None);
        }
        let waiting_bytes = Arc::new(AtomicU64::new(0));
        let dropped = metrics.access_log_dropped.clone();
        let (sender, ended) =
            writer::start(config.path.clone(), Arc::clone(&waiting_bytes), dropped.clone())?;
        Ok(Some((AccessLog { config: Arc::new(config.clone()), sender, waiting_bytes, dropped }, ended)))
    }

    /// Has the file opened anew, after it was renamed. Lines handed over before still go to the old one.
    pub fn reopen(&self) {
        // A writer that is gone has said why.
        let _ = self.sender.send(Message::Reopen);
    }

    /// Has the writer end when all that was handed over is written.
    pub fn close(&self) {
        let _ = self.sender.send(Message::End);
    }

    /// For one worker.
    pub fn pen(&self) -> Pen {
        Pen {
            log: self.clone(),
            lines: RefCell::new(Vec::with_capacity(GATHERED_BYTES + 4096)),
            gathered: Cell::new(0),
            seconds: RefCell::default(),
        }
    }
}

impl Pen {
    /// Adds a line.
    pub fn write(&self, entry: &Entry<'_>) {
        let mut lines = self.lines.borrow_mut();
        line::append(&mut lines, entry, &self.log.config, &mut self.seconds.borrow_mut());
        self.gathered.set(self.gathered.get() + 1);
        let is_enough = lines.len() >= GATHERED_BYTES;
        drop(lines);
        if is_enough {
            self.hand_over();
        }
    }

    /// Sends the writer what is gathered.
    pub fn hand_over(&self) {
        let count = self.gathered.take();
        if count == 0 {
            return;
        }
        let mut lines = self.lines.borrow_mut();
        let bytes = lines.len() as u64;
        let log = &self.log;
        if log.waiting_bytes.load(Ordering::Relaxed) + bytes > WAITING_BYTES {
            lines.clear();
            log.dropped.inc_by(count);
            return;
        }
        log.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let room = lines.capacity();
        let lines = std::mem::replace(&mut *lines, Vec::with_capacity(room.min(2 * GATHERED_BYTES)));
        if log.sender.send(Message::Lines { bytes: lines, count }).is_err() {
            log.dropped.inc_by(count);
        }
    }
}

impl Drop for Pen {
    fn drop(&mut self) {
        self.hand_over();
    }
}
