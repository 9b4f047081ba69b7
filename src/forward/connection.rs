//! One connection to a server: lent to one request at a time, kept while it is idle, cut when it cannot be reused.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::body::RequestBody;
use super::server::{Server, Slot};
use super::socket::Socket;
use super::spelling::{Spelling, head_length};

/// Fields of a response; shops have been seen that set a hundred cookies.
const MAX_FIELDS: usize = 256;
/// What may come before an answer has begun: longer than any head that is read, so that only interim answers without end
/// reach it.
const MAX_UNANSWERED_BYTES: usize = 1 << 20;
/// Room for a request's head that a connection keeps from one to the next.
const KEPT_HEAD_BYTES: usize = 8 << 10;

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
    /// Whether the server has answered in HTTP/1.0, in which hyper would write all that follows: without the body of a
    /// request that comes in chunks, for one.
    is_http_10: Cell<bool>,
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
    pub(super) async fn open(socket: Socket, address: SocketAddr, now_ms: u64) -> hyper::Result<Box<Self>> {
        let wire = Rc::new(Wire::default());
        let stream = UpstreamStream::new(socket, Rc::clone(&wire));
        let (sender, connection) = http1::Builder::new()
            // Those of responses; of requests see `Spelling`.
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
        Ok(Box::new(UpstreamConnection {
            sender,
            wire,
            address,
            opened_ms: now_ms,
            keep_alive: Cell::new(None),
            is_http_10: Cell::new(false),
            task: task.abort_handle(),
            ended,
        }))
    }

    /// Whether it can take a request: not closed by the server as far as we have heard, of HTTP/1.1, and not busy. To hyper a
    /// connection is ready when an answer has come whole, though the request's head may not have gone out whole.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready() && self.wire.is_out() && !self.is_http_10.get()
    }
}

/// What a request needs to know of the bytes of its exchange, and may have sent in their place.
///
/// hyper consumes a request as it writes it. Copying every request before, in case its connection turns out to be dead,
/// would cost more than everything else that is done to its head; copying the bytes as they are written costs little.
#[derive(Debug, Default)]
pub(super) struct Wire {
    /// How much has come since the request began; none when the head of its answer has come whole.
    unanswered_bytes: Cell<Option<usize>>,
    /// Nothing of the request's head has been written.
    begins: Cell<bool>,
    /// The socket, or its TLS session, did not take all that hyper had to write.
    lags: Cell<bool>,
    records: Cell<bool>,
    spelling: RefCell<Spelling>,
    /// The head as it is written, where it is not written as it comes from hyper or may be wanted again.
    head: RefCell<Vec<u8>>,
    /// Written in place of the next head that hyper writes.
    replay: RefCell<Option<Bytes>>,
}

impl Wire {
    /// A request begins, the names of whose fields are spelled so; with `records` its head is kept.
    pub(super) fn begin(&self, records: bool, spelling: Spelling) {
        self.unanswered_bytes.set(Some(0));
        self.begins.set(true);
        self.records.set(records);
        self.spelling.replace(spelling);
    }

    /// The head of the answer has come.
    pub(super) fn note_answer(&self) {
        self.unanswered_bytes.set(None);
    }

    /// So many bytes have come. An error where they are too many for the head of an answer.
    fn note_read(&self, count: usize) -> io::Result<()> {
        let Some(before) = self.unanswered_bytes.get() else { return Ok(()) };
        self.unanswered_bytes.set(Some(before + count));
        if before + count > MAX_UNANSWERED_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "too much before the answer"));
        }
        Ok(())
    }

    /// The request is answered: its head is not wanted any more.
    fn forget(&self) {
        let mut head = self.head.borrow_mut();
        head.clear();
        head.shrink_to(KEPT_HEAD_BYTES);
    }

    /// Whether the request is with the socket, or its TLS session, as far as hyper had it.
    fn is_out(&self) -> bool {
        !self.begins.get() && !self.lags.get()
    }

    /// Whether a byte of a response has come since.
    pub(super) fn is_answered(&self) -> bool {
        self.unanswered_bytes.get() != Some(0)
    }

    /// The head of a request without body as it was written; none if that never began.
    pub(super) fn take_recorded(&self) -> Option<Bytes> {
        let head = self.records.get().then(|| self.head.take())?;
        (!head.is_empty()).then(|| Bytes::from(head))
    }

    /// Has `head` written in place of the next request's.
    pub(super) fn replay(&self, head: Bytes) {
        *self.replay.borrow_mut() = Some(head);
    }

    /// What is to be written in place of the head that `bytes`, the first of a request, begin with: that is in `head` now,
    /// and the length of the other is answered. None where `bytes` go out as they are: nothing else is wanted, or they
    /// begin with no head, which would not be sent again then.
    fn head_in_place_of(&self, bytes: &[u8]) -> Option<usize> {
        let spelling = self.spelling.take();
        let replay = self.replay.take();
        if spelling.is_plain() && replay.is_none() && !self.records.get() {
            return None;
        }
        let mut head = self.head.borrow_mut();
        if let Some(replay) = replay {
            head.extend_from_slice(&replay);
            // What hyper writes is a stand-in, on a connection on which nothing was written before: all of it.
            return Some(bytes.len());
        }
        let length = head_length(bytes)?;
        head.extend_from_slice(&bytes[..length]);
        spelling.restore(&mut head);
        Some(length)
    }
}

/// A connection while a request uses it. Dropping it cuts the connection: the request is cancelled.
#[derive(Debug)]
pub(super) struct Lease {
    slot: Option<Slot>,
    connection: Option<Box<UpstreamConnection>>,
    /// Whether another request used the connection before.
    pub(super) is_reused: bool,
}

impl Lease {
    pub(super) fn new(slot: Slot, connection: Box<UpstreamConnection>, is_reused: bool) -> Self {
        Lease { slot: Some(slot), connection: Some(connection), is_reused }
    }

    pub(super) fn server(&self) -> Option<&Rc<Server>> {
        self.slot.as_ref().map(|slot| &slot.server)
    }

    pub(super) fn connection(&mut self) -> Option<&mut UpstreamConnection> {
        self.connection.as_deref_mut()
    }

    /// Has the head of an earlier request written in place of the next one's.
    pub(super) fn replay(&self, head: Bytes) {
        if let Some(connection) = &self.connection {
            connection.wire.replay(head);
        }
    }

    /// What the connection is after a 101; its room at the server stays taken. None where the request has not gone out
    /// whole: what is left of it would stand before what the client says.
    pub(super) async fn switch(mut self) -> Option<Switched> {
        if !self.connection.as_ref()?.wire.is_out() {
            return None;
        }
        let (stream, leftover) = self.connection.take()?.ended.await.ok()?;
        Some(Switched { stream, leftover, _slot: self.slot.take() })
    }

    /// The answer that comes is of HTTP/1.0.
    pub(super) fn note_http_10(&self) {
        if let Some(connection) = &self.connection {
            connection.is_http_10.set(true);
        }
    }

    /// How long the server says that it keeps the connection.
    pub(super) fn note_keep_alive(&self, seconds: u32) {
        if let Some(connection) = &self.connection {
            connection.keep_alive.set(Some(seconds));
        }
    }

    /// To be called when the response has been read to its end. A connection that is not ready then is still sending
    /// a request that was answered early, its head or its body, or is about to close: it is cut.
    pub(super) fn give_back(mut self) {
        if self.connection.as_deref().is_some_and(UpstreamConnection::is_ready)
            && let (Some(connection), Some(slot)) = (self.connection.take(), &self.slot)
        {
            connection.wire.forget();
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
    /// What is being written in place of a head.
    head: Option<HeadInPlace>,
    /// How a write failed. The system tells once that the server reset the connection: where a write was told, reading meets
    /// an end as if the server had closed in order.
    write_failed: Option<io::ErrorKind>,
}

/// How far the head is written that stands in [`Wire`].
#[derive(Debug)]
struct HeadInPlace {
    written: usize,
    /// Length of what it stands for.
    instead_of: usize,
}

impl UpstreamStream {
    fn new(socket: Socket, wire: Rc<Wire>) -> Self {
        UpstreamStream { socket, wire, head: None, write_failed: None }
    }

    fn write(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        if self.write_failed.is_some() {
            return Poll::Ready(Ok(length));
        }
        if self.wire.begins.take() {
            let instead_of = slices.first().and_then(|first| self.wire.head_in_place_of(first));
            self.head = instead_of.map(|instead_of| HeadInPlace { written: 0, instead_of });
        }
        let outcome = match self.head.take() {
            Some(head) => self.write_head(context, head, slices),
            None => Pin::new(&mut self.socket).poll_write_vectored(context, slices),
        };
        self.wire.lags.set(!matches!(outcome, Poll::Ready(Ok(count)) if count >= length));
        // A server may answer and close before it has read the whole request. Its answer, if there is one, is worth
        // more than our failed write: so the rest goes nowhere, and reading decides what came of it.
        if let Poll::Ready(Err(error)) = outcome {
            self.write_failed = Some(error.kind());
            return Poll::Ready(Ok(length));
        }
        outcome
    }

    /// Writes the head in place of the one that `slices` begin with, and what follows that as far as there is room. Until
    /// the head is out hyper hears of none of it: it has another length than hyper's own.
    fn write_head(
        &mut self,
        context: &mut Context<'_>,
        mut head: HeadInPlace,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let (first, others) =
            slices.split_first().map_or((&[][..], slices), |(first, others)| (first, others));
        let behind = first.get(head.instead_of..).unwrap_or_default();
        loop {
            let bytes = self.wire.head.borrow();
            let rest = bytes.get(head.written..).unwrap_or_default();
            let outcome = if behind.is_empty() && others.is_empty() {
                Pin::new(&mut self.socket).poll_write(context, rest)
            } else {
                let mut all = Vec::with_capacity(slices.len() + 1);
                all.extend([IoSlice::new(rest), IoSlice::new(behind)]);
                all.extend(others.iter().map(|slice| IoSlice::new(slice)));
                Pin::new(&mut self.socket).poll_write_vectored(context, &all)
            };
            match outcome {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) if count >= rest.len() => {
                    return Poll::Ready(Ok(head.instead_of + count - rest.len()));
                }
                Poll::Ready(Ok(count)) => head.written += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.head = Some(head);
                    return Poll::Pending;
                }
            }
        }
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
        let count = buffer.filled().len() - filled_before;
        if count > 0 {
            self.wire.note_read(count)?;
        } else if self.write_failed == Some(io::ErrorKind::ConnectionReset)
            && matches!(outcome, Poll::Ready(Ok(())))
        {
            // Else a part of an answer without length would be taken for the whole.
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn a_reset_is_no_end_though_a_write_was_told_of_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut servers, _) = listener.accept().await.unwrap();
        let mut stream = UpstreamStream::new(Socket::Plain(ours), Rc::default());
        servers.write_all(b"part").await.unwrap();
        socket2::SockRef::from(&servers).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(servers);
        while stream.socket.tcp().peer_addr().is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        stream.write_all(b"the rest of a request").await.unwrap();
        let mut answer = Vec::new();
        let error = stream.read_to_end(&mut answer).await.unwrap_err();
        assert_eq!((answer.as_slice(), error.kind()), (b"part".as_slice(), io::ErrorKind::ConnectionReset));
    }
}
