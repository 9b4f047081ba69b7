//! A client's socket with the timeouts that hyper lacks: before the first byte, within a head, between requests, and
//! while the client does not take what is sent.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::connection::{Connection, Phase};
use crate::clock::{Clock, Timer};
use crate::config::Timeouts;

/// How long a connection may stay silent that was taken from the queue while the worker ends.
const LATE_FIRST_BYTE: Duration = Duration::from_millis(500);

/// The socket as hyper sees it.
#[derive(Debug)]
pub(super) struct ClientStream {
    tcp: TcpStream,
    connection: Rc<Connection>,
    timeouts: Timeouts,
    /// Taken from the accept queue while the worker ended.
    late: bool,
    read_timer: Timer,
    /// What `read_timer` is armed for.
    timed_phase: Phase,
    write_timer: Timer,
}

impl ClientStream {
    pub(super) fn new(
        tcp: TcpStream,
        connection: Rc<Connection>,
        timeouts: Timeouts,
        clock: &Rc<Clock>,
    ) -> Self {
        let late = connection.is_draining();
        ClientStream {
            tcp,
            connection,
            timeouts,
            late,
            read_timer: Timer::new(clock),
            timed_phase: Phase::Serving,
            write_timer: Timer::new(clock),
        }
    }

    /// The bare socket.
    pub(super) fn into_tcp(self) -> TcpStream {
        self.tcp
    }

    /// Nothing is there to read: the end of the stream when the connection is not worth waiting for.
    fn wait_for_bytes(&mut self, context: &Context<'_>) -> Poll<io::Result<()>> {
        let phase = self.connection.phase.get();
        let silent = matches!(phase, Phase::Fresh | Phase::Idle);
        if silent && self.connection.is_draining() && !(self.late && phase == Phase::Fresh) {
            return Poll::Ready(Ok(()));
        }
        if self.timed_phase != phase || !self.read_timer.is_armed() {
            self.timed_phase = phase;
            match phase {
                Phase::Fresh if self.late => self.read_timer.arm(LATE_FIRST_BYTE),
                Phase::Fresh => self.read_timer.arm(self.timeouts.first_byte),
                Phase::Head => self.read_timer.arm(self.timeouts.header),
                Phase::Idle => self.read_timer.arm(self.timeouts.keep_alive),
                Phase::Serving => self.read_timer.disarm(),
            }
        }
        // The slot is kept in every phase: the end of the worker wakes this task through it.
        self.read_timer.poll_due(context).map(|()| {
            self.read_timer.disarm();
            Ok(())
        })
    }

    fn timed_write(
        &mut self,
        context: &Context<'_>,
        outcome: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if outcome.is_ready() {
            self.write_timer.disarm();
            return outcome;
        }
        if !self.write_timer.is_armed() {
            self.write_timer.arm(self.timeouts.response_idle);
        }
        self.write_timer.poll_due(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
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
        match Pin::new(&mut this.tcp).poll_read(context, buffer) {
            Poll::Ready(outcome) => {
                let phase = &this.connection.phase;
                if buffer.filled().len() > filled_before && matches!(phase.get(), Phase::Fresh | Phase::Idle)
                {
                    phase.set(Phase::Head);
                }
                Poll::Ready(outcome)
            }
            Poll::Pending => this.wait_for_bytes(context),
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.tcp).poll_write(context, bytes);
        this.timed_write(context, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.tcp).poll_write_vectored(context, slices);
        this.timed_write(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(context)
    }
}
