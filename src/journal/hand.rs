//! A worker's hand-over to the journal: gathers the frames of one turn of the event loop, lets responses wait.
//!
//! Rule: one batch of a worker is under way at a time; what comes meanwhile is the next one. A response waits until
//! its frame is written, but no longer than `journal.wait`; after a missed wait none waits until the journal answers
//! again.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

use super::admits;
use super::frame::{FORMAT, append};
use super::writer::{Ack, Answer, Batch};
use crate::hit::Record;
use crate::telemetry::metrics::{Loss, Metrics, Tally};

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
    /// What is pending, and since when.
    pending_records: Cell<Tally>,
    pending_since: Cell<Instant>,
    /// The batch that is gathered now.
    gathering: Cell<u64>,
    /// All batches before this one are written, or the journal answered that it holds them.
    answered: Cell<u64>,
    stalled: Cell<bool>,
    /// More waits than may.
    drops: Cell<bool>,
    closing: Cell<bool>,
    closed: Cell<bool>,
    /// Wakes the task that hands over.
    filled: Notify,
    /// Tells that task, while it waits for the journal, that this is the end.
    ends: Notify,
    /// Wakes responses: of even and of odd batches, so that those of the next one sleep on.
    released: [Notify; 2],
    metrics: Arc<Metrics>,
}

impl Hand {
    /// A hand-over to `batches`. Must be called within a `LocalSet`, on which its task runs until [`Hand::close`].
    pub fn start(batches: Sender<Batch>, wait: Duration, metrics: Arc<Metrics>) -> Self {
        let shared = Rc::new(Shared {
            pending: RefCell::default(),
            pending_records: Cell::default(),
            pending_since: Cell::new(Instant::now()),
            gathering: Cell::new(0),
            answered: Cell::new(0),
            stalled: Cell::new(false),
            drops: Cell::new(false),
            closing: Cell::new(false),
            closed: Cell::new(false),
            filled: Notify::new(),
            ends: Notify::new(),
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
        let importance = record.importance();
        let loss = if !admits(importance, pending.len() as u64, PENDING_BYTES) {
            if !shared.drops.replace(true) {
                tracing::error!(
                    "what waits in memory for the journal is too much; page views are dropped first"
                );
            }
            Loss::Stalled
        } else if append(record, &mut pending).is_err() {
            Loss::TooLarge
        } else {
            shared.metrics.hits.inc();
            let mut records = shared.pending_records.get();
            if records.is_empty() {
                shared.pending_since.set(Instant::now());
            }
            records.add(importance);
            shared.pending_records.set(records);
            shared.filled.notify_one();
            return Some(Ticket(shared.gathering.get()));
        };
        shared.metrics.count_dropped(loss, Tally::one(importance));
        None
    }

    /// Returns once the frame is written, or need not be waited for any longer (false, and counted).
    pub async fn written(&self, ticket: Ticket) -> bool {
        let shared = &self.shared;
        while shared.answered.get() <= ticket.0 {
            if shared.stalled.get() {
                shared.metrics.responses_ahead_of_journal.inc();
                return false;
            }
            shared.released[(ticket.0 % 2) as usize].notified().await;
        }
        if shared.stalled.get() {
            shared.metrics.responses_ahead_of_journal.inc();
        }
        !shared.stalled.get()
    }

    /// Hands over what is pending and ends the task; returns when the journal has answered or the task has given up.
    pub async fn close(&self) {
        self.shared.closing.set(true);
        self.shared.filled.notify_one();
        self.shared.ends.notify_one();
        while !self.shared.closed.get() {
            self.shared.released[0].notified().await;
        }
    }
}

impl Shared {
    /// What is pending, as a batch, and what records it has.
    fn take_batch(&self, spare: Vec<u8>) -> (Batch, oneshot::Receiver<Answer>, Tally) {
        let frames = self.pending.replace(spare);
        self.gathering.set(self.gathering.get() + 1);
        let (ack, answer) = oneshot::channel();
        (Batch { frames, durable: false, format: FORMAT, ack }, answer, self.pending_records.take())
    }

    /// Hands over what is left without waiting for the batch before it, nor for an answer.
    fn leave(&self, batches: &Sender<Batch>) {
        let (batch, _, records) = self.take_batch(Vec::new());
        if batches.send(batch).is_err() {
            self.metrics.count_dropped(Loss::Closed, records);
        }
    }

    /// The first worker to find out says so for all.
    fn stall(&self, wait: Duration) {
        self.stalled.set(true);
        if !self.metrics.state.journal_stalled.swap(true, Ordering::Relaxed) {
            tracing::warn!(wait_ms = wait.as_millis(), "journal does not answer; responses no longer wait");
        }
        self.release_all();
    }

    fn recover(&self) {
        self.drops.set(false);
        if self.metrics.state.journal_stalled.swap(false, Ordering::Relaxed) {
            tracing::info!("journal answers again");
        }
    }

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
        let number = shared.gathering.get();
        // Counted from its first record on, which may have waited for the batch before.
        let deadline = shared.pending_since.get() + wait;
        let (batch, mut answer, records) = shared.take_batch(spare);
        // When nobody takes it, its answer is an error.
        let _ = batches.send(batch);
        let answer = match timeout_at(deadline, &mut answer).await {
            Ok(answer) => answer,
            Err(_) => {
                shared.stall(wait);
                let answer = tokio::select! {
                    answer = &mut answer => answer,
                    () = shared.ends.notified() => {
                        shared.leave(&batches);
                        answer.await
                    }
                };
                // Responses of the next batch have gone already: it begins anew.
                shared.pending_since.set(Instant::now());
                answer
            }
        };
        let ack = answer.as_ref().map(|answer| answer.ack).ok();
        if ack.is_none() {
            shared.metrics.count_dropped(Loss::Closed, records);
        }
        let was_stalled = shared.stalled.replace(ack != Some(Ack::Written));
        shared.answered.set(number + 1);
        if was_stalled && ack.is_some() {
            shared.recover();
        }
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
