//! One client connection: what is known of the peer, and where in a request the connection is.

use std::cell::Cell;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};

use crate::forward::Peer;

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
}

/// A client's connection, shared by its socket, its requests and their answers.
#[derive(Debug)]
pub struct Connection {
    peer: Peer,
    local: SocketAddr,
    pub(super) phase: Cell<Phase>,
    /// Set when a request's body was left unread: the socket must then be closed with care.
    unread: Rc<Cell<bool>>,
    /// Set for the whole worker when it ends.
    pub(super) draining: Rc<Cell<bool>>,
}

impl Connection {
    pub(super) fn new(peer: Peer, local: SocketAddr, draining: Rc<Cell<bool>>) -> Rc<Self> {
        Rc::new(Connection { peer, local, phase: Cell::new(Phase::Fresh), unread: Rc::default(), draining })
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
        self.connection.phase.set(Phase::Idle);
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
