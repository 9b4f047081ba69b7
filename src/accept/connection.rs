//! One client connection: what is known of the peer, and where in a request the connection is.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::Version;
use http::header::HOST;
use http::request::Parts;
use http_body::{Body, Frame, SizeHint};

use super::gate::Refused;
use crate::clock::{Clock, Timer};
use crate::config::Timeouts;
use crate::forward::{Peer, Spelling, Tunnel};

/// How long a silent connection is still listened to when the worker ends: a request may be on its way, and whoever is
/// in the middle of a page sends the next one at once. It is answered with `Connection: close`.
const LAST_CALL: Duration = Duration::from_millis(200);

/// Silence after which hyper lets go of a connection. A page's requests follow each other faster; who pauses longer
/// costs the next request new buffers, and meanwhile none.
const REST_AFTER: Duration = Duration::from_secs(1);

/// Where a connection is between two requests; decides which timeout runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// No byte has come yet.
    Fresh,
    /// A request's head is coming.
    Head,
    /// A request is being answered.
    Serving,
    /// Answered, and the next request has not begun.
    Idle,
    /// Idle for long: only the socket is kept.
    Resting,
    /// No more HTTP: bytes go both ways. There is no phase after this one.
    Tunnel,
}

/// A client's connection, shared by its socket, its requests and their answers.
#[derive(Debug)]
pub struct Connection {
    peer: Peer,
    local: SocketAddr,
    phase: Cell<Phase>,
    /// The task, while something waits for the end of the present answer.
    waiting: RefCell<Option<Waker>>,
    /// Runs in every phase but `Serving`.
    timer: RefCell<Timer>,
    timeouts: Timeouts,
    /// Whether what came last ends a request: then hyper has read nothing of the next one.
    is_between_requests: Cell<bool>,
    /// How the requests that came spell the names of their fields.
    spellings: RefCell<VecDeque<Spelling>>,
    /// What came last and is no request.
    refused: RefCell<Option<Refused>>,
    /// The last call has begun.
    last_call: Cell<bool>,
    /// What the connection goes on as when the present answer is out.
    tunnel: RefCell<Option<Box<Tunnel>>>,
    /// Set when the present answer is the last and the client may not have sent all of its request: the socket must then
    /// be closed with care.
    unread: Rc<Cell<bool>>,
    /// The answer ends with the connection: nothing but a reset tells the client of one that was cut off.
    answer_ends_with_it: Cell<bool>,
    /// Set for the whole worker when it ends.
    draining: Rc<Cell<bool>>,
}

impl Connection {
    pub(super) fn new(
        peer: Peer,
        local: SocketAddr,
        timeouts: Timeouts,
        clock: &Rc<Clock>,
        draining: Rc<Cell<bool>>,
    ) -> Rc<Self> {
        let connection = Connection {
            peer,
            local,
            phase: Cell::new(Phase::Fresh),
            waiting: RefCell::default(),
            timer: RefCell::new(Timer::new(clock)),
            timeouts,
            is_between_requests: Cell::new(false),
            spellings: RefCell::default(),
            refused: RefCell::default(),
            last_call: Cell::new(false),
            tunnel: RefCell::default(),
            unread: Rc::default(),
            answer_ends_with_it: Cell::new(false),
            draining,
        };
        connection.enter(Phase::Fresh);
        Rc::new(connection)
    }

    pub(super) fn enter(&self, phase: Phase) {
        if self.phase.get() == Phase::Tunnel {
            return;
        }
        self.phase.set(phase);
        let mut timer = self.timer.borrow_mut();
        match phase {
            Phase::Fresh => timer.arm(self.timeouts.first_byte),
            Phase::Head => timer.arm(self.timeouts.header),
            // The answer's head went out before the end began and promised another request.
            Phase::Idle if self.draining.get() => timer.arm(LAST_CALL),
            Phase::Idle if self.may_rest() => timer.arm(REST_AFTER),
            Phase::Idle => timer.arm(self.timeouts.keep_alive),
            Phase::Resting => {
                self.spellings.take();
                timer.arm(self.timeouts.keep_alive.saturating_sub(REST_AFTER));
            }
            Phase::Serving | Phase::Tunnel => timer.disarm(),
        }
        if phase == Phase::Idle
            && let Some(waker) = self.waiting.take()
        {
            waker.wake();
        }
    }

    /// Something came from the client; `is_between_requests` tells whether that ends a request.
    pub(super) fn hear(&self, is_between_requests: bool) {
        self.is_between_requests.set(is_between_requests);
        if matches!(self.phase.get(), Phase::Fresh | Phase::Idle) {
            self.enter(Phase::Head);
        }
    }

    /// Nothing comes from the client, which has sent the beginning of a head or not.
    pub(super) fn hear_nothing(&self, is_within_head: bool) {
        match self.phase.get() {
            Phase::Idle if is_within_head => self.enter(Phase::Head),
            // It was an empty line.
            Phase::Head if !is_within_head => self.enter(Phase::Idle),
            _ => {}
        }
    }

    /// What has come waits for the end of the present answer; nobody else would wake the task then.
    pub(super) fn wait_for_end_of_answer(&self, context: &Context<'_>) {
        *self.waiting.borrow_mut() = Some(context.waker().clone());
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// A request has come that spells the names of its fields so.
    pub(super) fn note_spelling(&self, spelling: Spelling) {
        self.spellings.borrow_mut().push_back(spelling);
    }

    /// How the request that begins spells the names of its fields; to be asked once for each. HTTP/2 has lower case only.
    pub fn take_spelling(&self) -> Spelling {
        self.spellings.borrow_mut().pop_front().unwrap_or_default()
    }

    /// The request that comes next is a stand-in for what is none.
    pub(super) fn refuse(&self, refused: Refused) {
        *self.refused.borrow_mut() = Some(refused);
    }

    /// What a request stands in for that is none. What the client sends after that is not looked at.
    pub fn take_refused(&self, head: &Parts) -> Option<Refused> {
        // An earlier request that has not been answered yet has a `Host`, or is of HTTP/1.0.
        let is_stand_in = head.version == Version::HTTP_11 && !head.headers.contains_key(HOST);
        let refused = if is_stand_in { self.refused.take() } else { None };
        if refused.is_some() {
            self.unread.set(true);
        }
        refused
    }

    /// An answer begins that has no end but the connection's (RFC 9112 section 6.3).
    pub(super) fn begin_endless_answer(&self) {
        self.answer_ends_with_it.set(true);
    }

    pub(super) fn answer_ends_with_it(&self) -> bool {
        self.answer_ends_with_it.get()
    }

    /// The client says something, or goes away: hyper shall hear which.
    pub(super) fn end_rest(&self) {
        if self.is_resting() {
            self.enter(Phase::Idle);
        }
    }

    /// Whether hyper was told that the client closes only so that it lets go of the connection.
    pub(super) fn is_resting(&self) -> bool {
        self.phase.get() == Phase::Resting
    }

    fn may_rest(&self) -> bool {
        let holds_nothing = self.is_between_requests.get() && !self.unread.get();
        holds_nothing && !self.draining.get() && self.timeouts.keep_alive > REST_AFTER
    }

    /// No bytes are there: ready when it is not worth waiting for more. Until then the end of the worker, too, wakes
    /// the task.
    pub(super) fn poll_patience(&self, context: &Context<'_>) -> Poll<()> {
        let is_silent = matches!(self.phase.get(), Phase::Fresh | Phase::Idle | Phase::Resting);
        if is_silent && self.draining.get() && !self.last_call.replace(true) {
            self.timer.borrow_mut().arm(LAST_CALL);
        }
        let is_due = self.timer.borrow_mut().poll_due(context);
        if is_due.is_ready() && self.phase.get() == Phase::Idle && self.may_rest() {
            self.enter(Phase::Resting);
        }
        is_due
    }

    /// The present answer is 101: what comes after it is the tunnel's, and no timeout but that of sending runs.
    pub fn switch_to(&self, tunnel: Box<Tunnel>) {
        self.enter(Phase::Tunnel);
        *self.tunnel.borrow_mut() = Some(tunnel);
    }

    pub(super) fn take_tunnel(&self) -> Option<Box<Tunnel>> {
        self.tunnel.take()
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Our end.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// To be set by whoever gives up a request's body before its end.
    pub fn unread(&self) -> &Rc<Cell<bool>> {
        &self.unread
    }

    /// Whether the connection ends with the present request.
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }
}

/// An answer's body; the connection is idle when it is gone.
#[derive(Debug)]
pub struct Answer<B> {
    pub(super) body: B,
    pub(super) connection: Rc<Connection>,
}

impl<B> Drop for Answer<B> {
    fn drop(&mut self) {
        self.connection.enter(Phase::Idle);
    }
}

impl<B: Body + Unpin> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
