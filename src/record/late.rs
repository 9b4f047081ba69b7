//! What the body of an answer tells of actions: read while it passes, recorded before its last byte goes out.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::Frame;

use super::Recorder;
use crate::bodies::{BodyReader, SharedReader};
use crate::capture::actions::{Asked, Bodies, BodyText, Stage};
use crate::capture::{Ignored, Observation, late_record};
use crate::forward::BodyError;
use crate::hit::{Action, Hit};
use crate::inspect::{Journal, MOST_ACTIONS, Note, Verdict};
use crate::journal::hand::Ticket;

/// An answer whose body is read. Dropped before its end, what is known is recorded.
pub struct Late {
    pub(super) recorder: Rc<Recorder>,
    /// Who it was.
    pub(super) observation: Box<Observation>,
    /// What the actions are recorded with; none when they are.
    pub(super) hit: Option<Box<Hit<'static>>>,
    /// Why nothing is recorded of the request, unless there are actions.
    pub(super) ignored: Option<Ignored>,
    pub(super) asked: Box<Asked>,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) request: Option<SharedReader>,
    pub(super) response: BodyReader,
    /// Types of actions that the shop itself told of.
    pub(super) told: Vec<String>,
    pub(super) note: Option<Box<Note>>,
    pub(super) waits: Option<Pin<Box<dyn Future<Output = bool>>>>,
    /// The body's end, which does not go out before what was read is recorded.
    pub held: Option<BodyPiece>,
}

/// What a body gives next; none at its end.
type BodyPiece = Option<Result<Frame<Bytes>, BodyError>>;

impl Late {
    /// A piece of the body goes out.
    pub fn take(&mut self, piece: &Bytes) {
        if self.hit.is_some() {
            self.response.take(piece);
        }
    }

    /// Reads a little of what went out.
    pub fn step(&mut self) {
        self.response.step();
    }

    /// The body has ended as it should.
    pub fn end(&mut self) {
        self.response.end();
    }

    /// Ready when what the body told of is written, or need not be waited for any longer.
    pub fn poll_recorded(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.hit.is_some() {
            let more_of_request = self.request.as_ref().is_some_and(|reader| reader.borrow_mut().step());
            if self.response.step() || more_of_request {
                // Others come in between.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some(ticket) = self.record() {
                let hand = self.recorder.hand.clone();
                self.waits = Some(Box::pin(async move { hand.written(ticket).await }));
            }
        }
        if let Some(waits) = &mut self.waits {
            let is_written = ready!(waits.as_mut().poll(context));
            self.waits = None;
            self.tell(Some(if is_written { Journal::Written } else { Journal::Ahead }));
        }
        self.tell(None);
        Poll::Ready(())
    }

    fn record(&mut self) -> Option<Ticket> {
        let hit = self.hit.take()?;
        let recorder = Rc::clone(&self.recorder);
        let actions = self.actions(&recorder);
        let record = late_record(hit, actions);
        if let (None, Some(reason)) = (&record, self.ignored) {
            recorder.count_ignored(reason);
        }
        recorder.hand.push(&record?)
    }

    /// What the bodies tell; counts those that could not be read whole.
    fn actions(&mut self, recorder: &Recorder) -> Vec<Action<'static>> {
        let reader = self.request.as_ref().map(|reader| reader.borrow());
        let request = reader
            .as_ref()
            .map(|reader| BodyText::new(reader.text().unwrap_or_default(), reader.lack().is_none()));
        let response = self.response.text().map(|text| BodyText::new(text, self.response.lack().is_none()));
        let part = |part: &_| self.response.part(part);
        let bodies = Bodies { request: request.as_ref(), response: response.as_ref(), part: Some(&part) };
        let answered = recorder.actions.answered(self.status, &self.headers);
        let outcomes =
            recorder.actions.actions(&self.asked, &answered, bodies, Stage::Body, &recorder.hash());
        recorder.count_unread(Some(&self.response), response.as_ref());
        recorder.count_unread(reader.as_deref(), request.as_ref());
        let mut actions = Vec::new();
        for action in outcomes.into_iter().filter_map(|(_, outcome)| outcome.ok()) {
            if !self.told.iter().any(|told| *told == action.kind) {
                actions.push(self.observation.kept(action, &recorder.rules));
            }
        }
        if let Some(note) = self.note.as_mut().filter(|_| !actions.is_empty()) {
            let room = MOST_ACTIONS.saturating_sub(note.actions.len());
            note.actions.extend(actions.iter().take(room).map(|action| action.kind.to_string()));
            if matches!(note.verdict, Verdict::NotRecorded(_)) {
                note.verdict = Verdict::Recorded;
            }
        }
        actions
    }

    /// Tells of it, while somebody looks.
    fn tell(&mut self, outcome: Option<Journal>) {
        if let Some(mut note) = self.note.take() {
            note.journal = outcome.unwrap_or(note.journal);
            self.recorder.inspection.tell(note);
        }
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        if self.hit.is_none() {
            return;
        }
        // No more than the limit of a body, and nobody waits for it.
        while self.response.step() {}
        if let Some(request) = &self.request {
            while request.borrow_mut().step() {}
        }
        let outcome = self.record().map(|_| Journal::Ahead);
        self.tell(outcome);
    }
}

impl fmt::Debug for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Late").finish_non_exhaustive()
    }
}
