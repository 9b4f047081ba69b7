//! One connection to a server: lent to one request at a time, kept while it is idle, cut when it cannot be reused.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::body::RequestBody;
use super::server::{Server, Slot};
use super::socket::Socket;

/// Fields of a response; shops have been seen that set a hundred cookies.
const MAX_FIELDS: usize = 256;

/// An open connection.
#[derive(Debug)]
pub(super) struct UpstreamConnection {
    pub(super) sender: SendRequest<RequestBody>,
    pub(super) wire: Rc<Wire>,
    /// Where it ends.
    pub(super) address: SocketAddr,
    /// When it was opened, by the worker's clock.
    pub(super) opened_ms: u64,
    /// Seconds for which the server said that it keeps it.
    pub(super) keep_alive: Cell<Option<u32>>,
    task: AbortHandle,
    ended: oneshot::Receiver<(UpstreamStream, Bytes)>,
}

/// A connection that is no HTTP any more, and what came behind the response that ended it.
#[derive(Debug)]
pub(super) struct Switched {
    pub(super) stream: UpstreamStream,
    pub(super) leftover: Bytes,
    _slot: Option<Slot>,
}

impl UpstreamConnection {
    /// Starts HTTP on a socket.
    pub(super) async fn open(socket: Socket, address: SocketAddr, now_ms: u64) -> hyper::Result<Self> {
        let wire = Rc::new(Wire::default());
        let stream = UpstreamStream { socket, wire: Rc::clone(&wire), write_failed: false };
        let (sender, connection) = http1::Builder::new()
            .preserve_header_case(true)
            .max_headers(MAX_FIELDS)
            .handshake(TokioIo::new(stream))
            .await?;
        let (end, ended) = oneshot::channel();
        let task = tokio::task::spawn_local(async move {
            // Whoever waits for a response is told the error; an idle connection that ends is no news. Its socket is
            // asked for after a 101 only, and else closed here.
            if let Ok(parts) = connection.without_shutdown().await {
                let _ = end.send((parts.io.into_inner(), parts.read_buf));
            }
        });
        Ok(UpstreamConnection {
            sender,
            wire,
            address,
            opened_ms: now_ms,
            keep_alive: Cell::new(None),
            task: task.abort_handle(),
            ended,
        })
    }

    /// Whether it can take a request: not closed by the server as far as we have heard, and not busy.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }
}

/// What a request needs to know of the bytes of its exchange, and may have sent in their place.
///
/// hyper consumes a request as it writes it. Copying every request before, in case its connection turns out to be dead,
/// would cost more than everything else that is done to its head; copying the bytes as they are written costs little.
#[derive(Debug, Default)]
pub(super) struct Wire {
    answered: Cell<bool>,
    records: Cell<bool>,
    recorded: RefCell<Vec<u8>>,
    /// Sent instead of the next thing that hyper writes.
    replay: RefCell<Option<Bytes>>,
}

impl Wire {
    /// A request begins; with `records` its head is kept.
    pub(super) fn begin(&self, records: bool) {
        self.answered.set(false);
        self.records.set(records);
        self.recorded.borrow_mut().clear();
    }

    /// Whether a byte of a response has come since.
    pub(super) fn is_answered(&self) -> bool {
        self.answered.get()
    }

    /// The head of a request without body as it was written; none if that never began.
    pub(super) fn take_recorded(&self) -> Option<Bytes> {
        let recorded = std::mem::take(&mut *self.recorded.borrow_mut());
        (!recorded.is_empty()).then(|| Bytes::from(recorded))
    }

    /// Has `head` written in place of the next request's.
    pub(super) fn replay(&self, head: Bytes) {
        *self.replay.borrow_mut() = Some(head);
    }
}

/// A connection while a request uses it. Dropping it cuts the connection: the request is cancelled.
#[derive(Debug)]
pub(super) struct Lease {
    slot: Option<Slot>,
    connection: Option<UpstreamConnection>,
    /// Whether another request used the connection before.
    pub(super) is_reused: bool,
}

impl Lease {
    pub(super) fn new(slot: Slot, connection: UpstreamConnection, is_reused: bool) -> Self {
        Lease { slot: Some(slot), connection: Some(connection), is_reused }
    }

    pub(super) fn server(&self) -> Option<&Rc<Server>> {
        self.slot.as_ref().map(|slot| &slot.server)
    }

    pub(super) fn connection(&mut self) -> Option<&mut UpstreamConnection> {
        self.connection.as_mut()
    }

    /// Has the head of an earlier request written in place of the next one's.
    pub(super) fn replay(&self, head: Bytes) {
        if let Some(connection) = &self.connection {
            connection.wire.replay(head);
        }
    }

    /// What the connection is after a 101; its room at the server stays taken.
    pub(super) async fn switch(mut self) -> Option<Switched> {
        let (stream, leftover) = self.connection.take()?.ended.await.ok()?;
        Some(Switched { stream, leftover, _slot: self.slot.take() })
    }

    /// How long the server says that it keeps the connection.
    pub(super) fn note_keep_alive(&self, seconds: u32) {
        if let Some(connection) = &self.connection {
            connection.keep_alive.set(Some(seconds));
        }
    }

    /// To be called when the response has been read to its end. A connection that is not ready then is still sending
    /// a request that was answered early, or is about to close: it is cut.
    pub(super) fn give_back(mut self) {
        if self.connection.as_ref().is_some_and(UpstreamConnection::is_ready)
            && let (Some(connection), Some(slot)) = (self.connection.take(), &self.slot)
        {
            slot.server.keep(connection);
        }
    }

    /// Cuts the connection and keeps the room for another.
    pub(super) fn cut(mut self) -> Option<Slot> {
        self.slot.take()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.task.abort();
        }
    }
}

/// A server's socket as hyper sees it.
#[derive(Debug)]
pub(super) struct UpstreamStream {
    socket: Socket,
    wire: Rc<Wire>,
    write_failed: bool,
}

impl UpstreamStream {
    fn write(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        if self.write_failed {
            return Poll::Ready(Ok(length));
        }
        if self.wire.records.take() {
            let mut recorded = self.wire.recorded.borrow_mut();
            slices.iter().for_each(|slice| recorded.extend_from_slice(slice));
        }
        let replay = self.wire.replay.take();
        let outcome = match replay {
            Some(head) => self.write_replay(context, head).map_ok(|()| length),
            None => Pin::new(&mut self.socket).poll_write_vectored(context, slices),
        };
        // A server may answer and close before it has read the whole request. Its answer, if there is one, is worth
        // more than our failed write: so the rest goes nowhere, and reading decides what came of it.
        if let Poll::Ready(Err(_)) = outcome {
            self.write_failed = true;
            return Poll::Ready(Ok(length));
        }
        outcome
    }

    fn write_replay(&mut self, context: &mut Context<'_>, mut head: Bytes) -> Poll<io::Result<()>> {
        while !head.is_empty() {
            match Pin::new(&mut self.socket).poll_write(context, &head) {
                Poll::Ready(Ok(count)) => head.advance(count),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.wire.replay(head);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for UpstreamStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled_before = buffer.filled().len();
        let outcome = Pin::new(&mut self.socket).poll_read(context, buffer);
        if buffer.filled().len() > filled_before {
            self.wire.answered.set(true);
        }
        outcome
    }
}

impl AsyncWrite for UpstreamStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
