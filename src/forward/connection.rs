//! One connection to a server: lent to one request at a time, kept while it is idle, cut when it cannot be reused.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use super::body::RequestBody;
use super::server::Server;

/// An open connection.
#[derive(Debug)]
pub(super) struct UpstreamConnection {
    pub(super) sender: SendRequest<RequestBody>,
    /// Set with the first byte of a response.
    pub(super) answered: Rc<Cell<bool>>,
    task: AbortHandle,
}

impl UpstreamConnection {
    /// Starts HTTP on a socket.
    pub(super) async fn open(tcp: TcpStream) -> hyper::Result<Self> {
        let answered = Rc::new(Cell::new(false));
        let stream = UpstreamStream { tcp, answered: Rc::clone(&answered), write_failed: false };
        let (sender, connection) =
            http1::Builder::new().preserve_header_case(true).handshake(TokioIo::new(stream)).await?;
        let task = tokio::task::spawn_local(async move {
            // Whoever waits for a response is told the error; an idle connection that ends is no news.
            let _ = connection.await;
        });
        Ok(UpstreamConnection { sender, answered, task: task.abort_handle() })
    }

    /// Whether it can take a request: not closed by the server as far as we have heard, and not busy.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }
}

/// A connection while a request uses it. Dropping it cuts the connection: the request is cancelled.
#[derive(Debug)]
pub(super) struct Lease {
    server: Rc<Server>,
    connection: Option<UpstreamConnection>,
    /// Whether another request used the connection before.
    pub(super) is_reused: bool,
}

impl Lease {
    pub(super) fn new(server: &Rc<Server>, connection: UpstreamConnection, is_reused: bool) -> Self {
        Lease { server: Rc::clone(server), connection: Some(connection), is_reused }
    }

    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    pub(super) fn connection(&mut self) -> Option<&mut UpstreamConnection> {
        self.connection.as_mut()
    }

    /// To be called when the response has been read to its end. A connection that is not ready then is still sending
    /// a request that was answered early, or is about to close: it is cut.
    pub(super) fn give_back(mut self) {
        if self.connection.as_ref().is_some_and(UpstreamConnection::is_ready)
            && let Some(connection) = self.connection.take()
        {
            self.server.keep(connection);
        }
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
struct UpstreamStream {
    tcp: TcpStream,
    answered: Rc<Cell<bool>>,
    write_failed: bool,
}

impl UpstreamStream {
    /// A server may answer and close before it has read the whole request. Its answer, if there is one, is worth more
    /// than our failed write: so the rest goes nowhere, and reading decides what came of it.
    fn outlive(&mut self, length: usize, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match outcome {
            Poll::Ready(Err(_)) => {
                self.write_failed = true;
                Poll::Ready(Ok(length))
            }
            other => other,
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
        let outcome = Pin::new(&mut self.tcp).poll_read(context, buffer);
        if buffer.filled().len() > filled_before {
            self.answered.set(true);
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
        if self.write_failed {
            return Poll::Ready(Ok(bytes.len()));
        }
        let outcome = Pin::new(&mut self.tcp).poll_write(context, bytes);
        self.outlive(bytes.len(), outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        if self.write_failed {
            return Poll::Ready(Ok(length));
        }
        let outcome = Pin::new(&mut self.tcp).poll_write_vectored(context, slices);
        self.outlive(length, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}
