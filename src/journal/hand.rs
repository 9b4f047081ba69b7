//! A worker's hand-over to the journal: gathers the frames of one turn of the event loop, lets responses wait.
//!
//! Rule: one batch of a worker is under way at a time; what comes meanwhile is the next one. A response waits until
//! its frame is written, but no longer than `journal.wait`; after a missed wait none waits until the journal answers
//! again.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::admits;
use super::frame::append;
use super::writer::{Ack, Answer, Batch};
use crate::hit::Record;
use crate::telemetry::metrics::{Metrics, Reason};

/// Most bytes that wait in one worker while the journal does not answer.
const PENDING_BYTES: u64 = 16 << 20;

/// The hand-over of one worker. Clones share it.
#[derive(Debug, Clone)]
pub struct Hand {
    shared: Rc<Shared>,
}

/// Names the batch that a frame went into.
#[derive(Debug, Clone, Copy)]
pub struct Ticket(u64);

#[derive(Debug)]
struct Shared {
    pending: RefCell<Vec<u8>>,
    /// The batch that is gathered now.
    gathering: Cell<u64>,
    /// When the first record of the batch that is gathered came.
    began: Cell<Instant>,
    /// All batches before this one are written, or the journal answered that it holds them.
    answered: Cell<u64>,
    stalled: Cell<bool>,
    closing: Cell<bool>,
    closed: Cell<bool>,
    /// Wakes the task that hands over.
    filled: Notify,
    /// Wakes responses: of even and of odd batches, so that those of the next one sleep on.
    released: [Notify; 2],
    metrics: Arc<Metrics>,
}

impl Hand {
    /// A hand-over to `batches`. Must be called within a `LocalSet`, on which its task runs until [`Hand::close`].
    pub fn start(batches: Sender<Batch>, wait: Duration, metrics: Arc<Metrics>) -> Self {
        let shared = Rc::new(Shared {
            pending: RefCell::default(),
            gathering: Cell::new(0),
            began: Cell::new(Instant::now()),
            answered: Cell::new(0),
            stalled: Cell::new(false),
            closing: Cell::new(false),
            closed: Cell::new(false),
            filled: Notify::new(),
            released: [Notify::new(), Notify::new()],
            metrics,
        });
        tokio::task::spawn_local(hand_over(Rc::clone(&shared), batches, wait));
        Self { shared }
    }

    /// Adds a record to the batch that is gathered. None when it was dropped, which is counted.
    pub fn push(&self, record: &Record<'_>) -> Option<Ticket> {
        let shared = &self.shared;
        let mut pending = shared.pending.borrow_mut();
        if pending.is_empty() {
            shared.began.set(Instant::now());
        }
        let reason = if !admits(record.importance(), pending.len() as u64, PENDING_BYTES) {
            "journal_stalled"
        } else if append(record, &mut pending).is_err() {
            "too_large"
        } else {
            shared.metrics.hits.inc();
            shared.filled.notify_one();
            return Some(Ticket(shared.gathering.get()));
        };
        shared.metrics.hits_dropped.get_or_create(&Reason { reason }).inc();
        None
    }

    /// Returns once the frame is written, or need not be waited for any longer (counted).
    pub async fn written(&self, ticket: Ticket) {
        let shared = &self.shared;
        while shared.answered.get() <= ticket.0 {
            if shared.stalled.get() {
                shared.metrics.responses_ahead_of_journal.inc();
                return;
            }
            shared.released[(ticket.0 % 2) as usize].notified().await;
        }
        if shared.stalled.get() {
            shared.metrics.responses_ahead_of_journal.inc();
        }
    }

    /// Hands over what is pending and ends the task; returns when the journal has answered or the task has given up.
    pub async fn close(&self) {
        self.shared.closing.set(true);
        self.shared.filled.notify_one();
        while !self.shared.closed.get() {
            self.shared.released[0].notified().await;
        }
    }
}

impl Shared {
    fn release_all(&self) {
        self.released.iter().for_each(Notify::notify_waiters);
    }
}

async fn hand_over(shared: Rc<Shared>, batches: Sender<Batch>, wait: Duration) {
    let mut spare = Vec::new();
    loop {
        shared.filled.notified().await;
        // Let the other tasks that are ready in this turn add theirs.
        tokio::task::yield_now().await;
        if shared.pending.borrow().is_empty() {
            if shared.closing.get() {
                break;
            }
            continue;
        }
        let frames = shared.pending.replace(spare);
        let began = shared.began.get();
        let number = shared.gathering.get();
        shared.gathering.set(number + 1);
        let (ack, mut answer) = oneshot::channel();
        let sent = batches.send(Batch { frames, durable: false, ack }).is_ok();
        // Its first response may have waited for the batch before as well: all of that is one wait.
        let answer = match tokio::time::timeout_at(began + wait, &mut answer).await {
            Ok(answer) => answer,
            Err(_) => {
                if !shared.stalled.replace(true) {
                    tracing::warn!(
                        wait_ms = wait.as_millis(),
                        "journal does not answer; responses no longer wait"
                    );
                }
                shared.release_all();
                answer.await
            }
        };
        let ack = answer.as_ref().map(|answer| answer.ack).ok().filter(|_| sent);
        shared.stalled.set(ack != Some(Ack::Written));
        shared.answered.set(number + 1);
        if ack == Some(Ack::Written) {
            shared.released[(number % 2) as usize].notify_waiters();
        } else {
            shared.release_all();
        }
        spare = answer.map_or_else(|_| Vec::new(), |Answer { buffer, .. }| buffer);
        if spare.capacity() > 1 << 20 {
            spare = Vec::new();
        }
        if !shared.pending.borrow().is_empty() || shared.closing.get() {
            shared.filled.notify_one();
        }
    }
    shared.closed.set(true);
    shared.release_all();
}
