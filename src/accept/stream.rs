//! A client's socket with what hyper lacks: the gate that only good requests pass, and timeouts before the first byte,
//! within a head, between requests, and while the client does not take what is sent.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::{Connection, Phase};
use super::gate::{Gate, Mode};
use super::send_timer::SendTimer;
use crate::clock::Clock;
use crate::forward::{Refusal, Socket};

/// The socket as hyper sees it.
#[derive(Debug)]
pub(super) struct ClientStream {
    socket: Socket,
    connection: Rc<Connection>,
    gate: Gate,
    /// The connection is reset when this is dropped.
    resets: bool,
    send_timer: SendTimer,
}

impl ClientStream {
    pub(super) fn new(
        socket: Socket,
        connection: Rc<Connection>,
        gate: Gate,
        send_idle: Duration,
        clock: &Rc<Clock>,
    ) -> Self {
        let send_timer = SendTimer::new(send_idle, clock);
        ClientStream { socket, connection, gate, resets: false, send_timer }
    }

    /// Returns when bytes are there, or the end of them; false when it is not worth waiting for more.
    pub(super) async fn has_something_to_say(&mut self) -> bool {
        self.gate.rest();
        poll_fn(|context| {
            if self.socket.poll_readable(context).is_ready() {
                self.connection.end_rest();
                return Poll::Ready(true);
            }
            self.connection.poll_patience(context).map(|()| false)
        })
        .await
    }

    /// What is below, to be closed in order.
    pub(super) fn into_socket(mut self) -> Socket {
        if self.resets {
            self.set_reset(false);
        }
        self.socket
    }

    /// Whether the connection is reset when it is dropped, instead of closed.
    fn set_reset(&mut self, resets: bool) {
        self.resets = resets;
        let linger = resets.then_some(Duration::ZERO);
        // Where the system refuses, the client takes what it got for the whole, as behind other proxies.
        let _ = socket2::SockRef::from(&*self.socket.tcp()).set_linger(linger);
    }

    /// From now on the client may take nothing for this long.
    pub(super) fn set_send_idle(&mut self, idle: Duration) {
        self.send_timer.set_idle(idle);
    }
}

impl ClientStream {
    /// Whether the gate takes bytes now. What it keeps of a request for an upgrade is let go here when the answer has
    /// told what it is.
    fn takes_bytes(&mut self) -> io::Result<bool> {
        let mode = self.gate.mode();
        match (mode, self.connection.phase()) {
            (Mode::Waiting | Mode::Full, Phase::Tunnel) => self.gate.open(),
            (Mode::Waiting | Mode::Full, Phase::Idle | Phase::Resting) => self.gate.resume(),
            (Mode::Broken, _) => return Err(io::ErrorKind::InvalidData.into()),
            _ => return Ok(matches!(mode, Mode::Reading | Mode::Waiting)),
        }
        self.pass_on();
        Ok(!self.gate.has_something() && self.gate.mode() == Mode::Reading)
    }

    /// Tells the connection what the gate knows of what went on.
    fn pass_on(&mut self) {
        while let Some(spelling) = self.gate.take_spelling() {
            self.connection.note_spelling(spelling);
        }
        if let Some(refused) = self.gate.take_refused() {
            self.connection.refuse(refused);
        }
    }

    /// The socket has nothing. Ready when it is not worth waiting for more; then there may be something to give.
    fn poll_silence(&mut self, context: &Context<'_>) -> Poll<()> {
        // While the client does not take what is sent, it has nothing to say: `send_timer` watches.
        if self.send_timer.is_running() {
            return Poll::Pending;
        }
        self.connection.hear_nothing(self.gate.is_within_head());
        ready!(self.connection.poll_patience(context));
        if self.connection.phase() == Phase::Head {
            self.gate.refuse(Refusal::HeadTimeout);
            self.pass_on();
        }
        Poll::Ready(())
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let takes_bytes = !this.gate.has_something() && this.takes_bytes()?;
            if this.gate.has_something() {
                this.gate.give(buffer.remaining(), |bytes| buffer.put_slice(bytes));
                this.connection.hear(this.gate.is_between_messages());
                return Poll::Ready(Ok(()));
            }
            if this.gate.holds_something() {
                this.connection.wait_for_end_of_answer(context);
            }
            if !takes_bytes {
                // The answers to what went before are still to be sent; then it goes on, or the connection ends.
                return Poll::Pending;
            }
            let filled_before = buffer.filled().len();
            if Pin::new(&mut this.socket).poll_read(context, buffer)?.is_pending() {
                ready!(this.poll_silence(context));
                if this.gate.has_something() {
                    continue;
                }
                // To hyper, patience that ends is a client that closes.
                return Poll::Ready(Ok(()));
            }
            let came = &buffer.filled()[filled_before..];
            if came.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let passed = this.gate.admit(came);
            // An empty line between two requests is nothing.
            if passed > 0 || !this.gate.is_between_messages() {
                this.connection.hear(this.gate.is_between_messages());
            }
            this.pass_on();
            buffer.set_filled(filled_before + passed);
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.socket).poll_write(context, bytes);
        this.send_timer.watch(context, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.socket).poll_write_vectored(context, slices);
        this.send_timer.watch(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.connection.answer_ends_with_it() && !this.resets {
            this.set_reset(true);
        }
        // An encrypted connection takes what the socket does not.
        let outcome = Pin::new(&mut this.socket).poll_flush(context);
        this.send_timer.watch(context, outcome)
    }

    /// Nothing: whoever takes the socket back closes it, or keeps it while the client is silent.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
