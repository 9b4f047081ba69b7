//! What bytes come and go through: the client's socket, bare or encrypted.
//!
//! Everything above it (timeouts, HTTP) is the same for all kinds.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::clock::{Clock, Timer};

/// A client's connection, bare or encrypted.
#[derive(Debug)]
pub(super) enum Transport {
    /// Not encrypted.
    Plain(TcpStream),
    /// Encrypted.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Transport {
    /// Ready when bytes may be there, or the end of them.
    pub(super) fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self {
            Transport::Plain(tcp) => tcp.poll_read_ready(context).map(|_| ()),
            Transport::Tls(tls) => {
                let (tcp, session) = tls.get_mut();
                // What was read together with the end of the handshake is not in the socket any more.
                match session.process_new_packets() {
                    Ok(state) if state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed() => {
                        tcp.poll_read_ready(context).map(|_| ())
                    }
                    _ => Poll::Ready(()),
                }
            }
        }
    }

    /// The socket, for what is to be read and thrown away.
    pub(super) fn tcp(&mut self) -> &mut TcpStream {
        match self {
            Transport::Plain(tcp) => tcp,
            Transport::Tls(tls) => tls.get_mut().0,
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Transport::Tls(tls) => Pin::new(tls).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Transport::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Transport::Tls(tls) => Pin::new(tls).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Transport::Plain(tcp) => Pin::new(tcp).poll_write_vectored(context, slices),
            Transport::Tls(tls) => Pin::new(tls).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Transport::Plain(tcp) => tcp.is_write_vectored(),
            Transport::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Transport::Tls(tls) => Pin::new(tls).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Transport::Tls(tls) => Pin::new(tls).poll_shutdown(context),
        }
    }
}

/// How long a client may take nothing of what is sent.
#[derive(Debug)]
pub(super) struct SendTimer {
    timer: Timer,
    idle: Duration,
}

impl SendTimer {
    pub(super) fn new(idle: Duration, clock: &Rc<Clock>) -> Self {
        SendTimer { timer: Timer::new(clock), idle }
    }

    /// Whether something is to be sent that the client does not take.
    pub(super) fn is_running(&self) -> bool {
        self.timer.is_armed()
    }

    /// From now on it is this long.
    pub(super) fn set_idle(&mut self, idle: Duration) {
        self.idle = idle;
    }

    /// What became of sending, or an error when it has been waited for too long.
    pub(super) fn watch<T>(
        &mut self,
        context: &Context<'_>,
        sent: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if sent.is_ready() {
            self.timer.disarm();
            return sent;
        }
        if !self.timer.is_armed() {
            self.timer.arm(self.idle);
        }
        self.timer.poll_due(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}
