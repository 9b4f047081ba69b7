//! What the shop tells the API: into the journal, durably, and back with the outcome when the database has it.
//!
//! The stats port submits, the shipper delivers; neither knows the other.

use std::collections::HashMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::clock::unix_ms;
use crate::erasure::{self, Erasure, Subject};
use crate::hit::{Record, ReportOutcome};
use crate::journal::frame::{ERASURE_FORMAT, FORMAT, append};
use crate::journal::writer::{Ack, Batch};

/// Submits facts. Clones share it.
#[derive(Debug, Clone)]
pub struct Ingest {
    batches: Sender<Batch>,
    receipts: Arc<Receipts>,
}

/// The journal did not take what was submitted, or not in time. It may be submitted again: an entry counts once.
#[derive(Debug, thiserror::Error)]
#[error("the journal cannot be written")]
pub struct JournalUnavailable;

/// How long a submission waits for the journal and for its outcomes together.
pub const OUTCOME_WAIT: Duration = Duration::from_secs(5);

impl Ingest {
    /// Submits to the journal behind `batches`.
    pub fn new(batches: Sender<Batch>, receipts: Arc<Receipts>) -> Self {
        Self { batches, receipts }
    }

    /// Hands orders, actions and money spent over and waits until they are on the disk. Their receipts are set here.
    pub async fn submit(
        &self,
        mut facts: Vec<Record<'static>>,
    ) -> Result<Submission<'_>, JournalUnavailable> {
        let deadline = Instant::now() + OUTCOME_WAIT;
        let request = Uuid::new_v4();
        let count = facts.len();
        receive_in_turn(&mut facts);
        let frames = frames_of(request, 0, &mut facts)?;
        let outcomes = self.receipts.expect(request, count);
        let given_up = GivenUp { receipts: &self.receipts, request };
        self.write(frames, FORMAT, deadline).await?;
        Ok(Submission { outcomes, deadline, _given_up: given_up })
    }

    /// Has somebody forgotten: answers the erasure's id when it is on the disk, and with it, as far as
    /// [`OUTCOME_WAIT`] allows, what it did; none = safe, not yet in the database.
    pub async fn forget(
        &self,
        subject: Subject,
    ) -> Result<(Uuid, Option<erasure::Receipt>), JournalUnavailable> {
        let deadline = Instant::now() + OUTCOME_WAIT;
        let erasure_id = Uuid::new_v4();
        let (tell, receipt) = oneshot::channel();
        self.receipts.erasures().insert(erasure_id, tell);
        let written = self.write_erasure(Erasure { erasure_id, at_ms: unix_ms(), subject }, deadline).await;
        let receipt = match written {
            Ok(()) => Ok(timeout_at(deadline, receipt).await.ok().and_then(Result::ok)),
            Err(error) => Err(error),
        };
        self.receipts.erasures().remove(&erasure_id);
        Ok((erasure_id, receipt?))
    }

    /// Hands facts over and waits until they are on the disk. Their outcomes are known by the request and their index,
    /// counted from `first`.
    pub async fn record_facts(
        &self,
        request: Uuid,
        first: u32,
        facts: &mut [Record<'static>],
    ) -> Result<(), JournalUnavailable> {
        let frames = frames_of(request, first, facts)?;
        self.write(frames, FORMAT, Instant::now() + OUTCOME_WAIT).await
    }

    /// Hands an erasure over and waits until it is on the disk.
    pub async fn record(&self, erasure: Erasure) -> Result<(), JournalUnavailable> {
        self.write_erasure(erasure, Instant::now() + OUTCOME_WAIT).await
    }

    async fn write_erasure(&self, erasure: Erasure, deadline: Instant) -> Result<(), JournalUnavailable> {
        let mut frames = Vec::new();
        append(&Record::Erasure(erasure), &mut frames).map_err(|_| JournalUnavailable)?;
        self.write(frames, ERASURE_FORMAT, deadline).await
    }

    /// Returns when the frames are on the disk.
    async fn write(&self, frames: Vec<u8>, format: u16, deadline: Instant) -> Result<(), JournalUnavailable> {
        let (ack, answer) = oneshot::channel();
        let sent = self.batches.send(Batch { frames, durable: true, format, ack });
        let is_written = sent.is_ok()
            && timeout_at(deadline, answer)
                .await
                .is_ok_and(|answer| answer.is_ok_and(|answer| answer.ack == Ack::Written));
        if is_written { Ok(()) } else { Err(JournalUnavailable) }
    }
}

/// Of one entry that is told several times in one piece the first stands: the others arrive a millisecond after each other.
pub fn receive_in_turn(facts: &mut [Record<'_>]) {
    let mut last = HashMap::new();
    for fact in facts {
        let Record::Order(fact) = fact else { continue };
        let first = fact.received_ms;
        let received_ms = last
            .entry((fact.site.clone(), fact.order_id.clone(), fact.kind.code(), fact.reference.clone()))
            .and_modify(|last| *last = first.max(*last + 1))
            .or_insert(first);
        fact.received_ms = *received_ms;
    }
}

/// Sets receipts, by which outcomes are known.
fn frames_of(
    request: Uuid,
    first: u32,
    facts: &mut [Record<'static>],
) -> Result<Vec<u8>, JournalUnavailable> {
    let mut frames = Vec::new();
    for (index, fact) in (first..).zip(facts) {
        match fact {
            Record::Order(fact) => fact.receipt = Some((request, index)),
            Record::Action(fact) => fact.receipt = Some((request, index)),
            Record::Spend(fact) => fact.receipt = Some((request, index)),
            Record::Hit(_) | Record::BotCount(_) | Record::Erasure(_) => {}
        }
        append(fact, &mut frames).map_err(|_| JournalUnavailable)?;
    }
    Ok(frames)
}

/// What was submitted and is on the disk.
pub struct Submission<'a> {
    outcomes: oneshot::Receiver<Vec<ReportOutcome>>,
    deadline: Instant,
    _given_up: GivenUp<'a>,
}

impl Submission<'_> {
    /// The outcome of each in their order, as far as [`OUTCOME_WAIT`] allows; none = not yet in the database.
    pub async fn outcomes(self) -> Option<Vec<ReportOutcome>> {
        timeout_at(self.deadline, self.outcomes).await.ok().and_then(Result::ok)
    }
}

/// Forgets a submission however its wait ends: while the database is away nothing is delivered that would.
struct GivenUp<'a> {
    receipts: &'a Receipts,
    request: Uuid,
}

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        self.receipts.lock().remove(&self.request);
    }
}

/// Submissions whose outcome is not known yet.
#[derive(Debug, Default)]
pub struct Receipts {
    waiting: Mutex<HashMap<Uuid, Waiting>>,
    erasures: Mutex<HashMap<Uuid, oneshot::Sender<erasure::Receipt>>>,
}

#[derive(Debug)]
struct Waiting {
    outcomes: Vec<Option<ReportOutcome>>,
    missing: usize,
    tell: oneshot::Sender<Vec<ReportOutcome>>,
}

impl Receipts {
    /// Hands outcomes to who waits for them; those of others are dropped.
    pub fn deliver(&self, outcomes: impl IntoIterator<Item = ((Uuid, u32), ReportOutcome)>) {
        let mut waiting = self.lock();
        for ((request, index), outcome) in outcomes {
            let Some(submission) = waiting.get_mut(&request) else { continue };
            let Some(slot) = submission.outcomes.get_mut(index as usize) else { continue };
            if slot.replace(outcome).is_none() {
                submission.missing -= 1;
            }
            if submission.missing == 0
                && let Some(submission) = waiting.remove(&request)
            {
                let _ = submission.tell.send(submission.outcomes.into_iter().flatten().collect());
            }
        }
        waiting.retain(|_, submission| !submission.tell.is_closed());
    }

    /// Hands receipts of erasures to who waits for them.
    pub fn deliver_erasures(&self, receipts: impl IntoIterator<Item = erasure::Receipt>) {
        let mut waiting = self.erasures();
        for receipt in receipts {
            if let Some(tell) = waiting.remove(&receipt.erasure_id) {
                let _ = tell.send(receipt);
            }
        }
    }

    fn erasures(&self) -> MutexGuard<'_, HashMap<Uuid, oneshot::Sender<erasure::Receipt>>> {
        self.erasures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn expect(&self, request: Uuid, facts: usize) -> oneshot::Receiver<Vec<ReportOutcome>> {
        let (tell, outcomes) = oneshot::channel();
        let submission = Waiting { outcomes: vec![None; facts], missing: facts, tell };
        self.lock().insert(request, submission);
        outcomes
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
