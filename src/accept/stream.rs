//! A client's socket with the timeouts that hyper lacks: before the first byte, within a head, between requests, and
//! while the client does not take what is sent.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::Connection;
use super::transport::{SendTimer, Transport};
use crate::clock::Clock;

/// The socket as hyper sees it.
#[derive(Debug)]
pub(super) struct ClientStream {
    transport: Transport,
    connection: Rc<Connection>,
    send_timer: SendTimer,
}

impl ClientStream {
    pub(super) fn new(
        transport: Transport,
        connection: Rc<Connection>,
        send_idle: Duration,
        clock: &Rc<Clock>,
    ) -> Self {
        ClientStream { transport, connection, send_timer: SendTimer::new(send_idle, clock) }
    }

    /// Returns when bytes are there, or the end of them; false when it is not worth waiting for more.
    pub(super) async fn has_something_to_say(&mut self) -> bool {
        poll_fn(|context| {
            if self.transport.poll_readable(context).is_ready() {
                self.connection.end_rest();
                return Poll::Ready(true);
            }
            self.connection.poll_patience(context).map(|()| false)
        })
        .await
    }

    /// What is below.
    pub(super) fn into_transport(self) -> Transport {
        self.transport
    }

    /// From now on the client may take nothing for this long.
    pub(super) fn set_send_idle(&mut self, idle: Duration) {
        self.send_timer.set_idle(idle);
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let filled_before = buffer.filled().len();
        let Poll::Ready(outcome) = Pin::new(&mut this.transport).poll_read(context, buffer) else {
            // While the client does not take what is sent, it has nothing to say: `send_timer` watches.
            if this.send_timer.is_running() {
                return Poll::Pending;
            }
            // To hyper, patience that ends is a client that closes.
            return this.connection.poll_patience(context).map(Ok);
        };
        if buffer.filled().len() > filled_before {
            this.connection.hear(&buffer.filled()[filled_before..]);
        }
        Poll::Ready(outcome)
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.transport).poll_write(context, bytes);
        this.send_timer.watch(context, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.transport).poll_write_vectored(context, slices);
        this.send_timer.watch(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // An encrypted connection takes what the socket does not.
        let outcome = Pin::new(&mut this.transport).poll_flush(context);
        this.send_timer.watch(context, outcome)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_shutdown(context)
    }
}
