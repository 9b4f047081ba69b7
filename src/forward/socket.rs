//! What bytes come and go through, from a client or to a server: a socket, bare or encrypted.
//!
//! Everything above it (timeouts, HTTP) is the same for both.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::{ConnectionCommon, SideData};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// A connection, bare or encrypted.
#[derive(Debug)]
pub enum Socket {
    /// Not encrypted.
    Plain(TcpStream),
    /// Encrypted.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    /// Ready when bytes may be there, or the end of them.
    pub fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let (tcp, holds_something) = match self {
            Socket::Plain(tcp) => (tcp, false),
            Socket::Tls(tls) => match &mut **tls {
                TlsStream::Client(tls) => {
                    let (tcp, session) = tls.get_mut();
                    (tcp, holds_something(session))
                }
                TlsStream::Server(tls) => {
                    let (tcp, session) = tls.get_mut();
                    (tcp, holds_something(session))
                }
            },
        };
        if holds_something { Poll::Ready(()) } else { tcp.poll_read_ready(context).map(|_| ()) }
    }

    /// What is not encrypted, for what is to be read and thrown away.
    pub fn tcp(&mut self) -> &mut TcpStream {
        match self {
            Socket::Plain(tcp) => tcp,
            Socket::Tls(tls) => tls.get_mut().0,
        }
    }
}

/// Whether something is not in the socket any more: it was read together with the end of the handshake.
fn holds_something<D: SideData>(session: &mut ConnectionCommon<D>) -> bool {
    session
        .process_new_packets()
        .map_or(true, |state| state.plaintext_bytes_to_read() > 0 || state.peer_has_closed())
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Socket::Tls(tls) => Pin::new(tls).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Socket::Tls(tls) => Pin::new(tls).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Plain(tcp) => Pin::new(tcp).poll_write_vectored(context, slices),
            Socket::Tls(tls) => Pin::new(tls).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Socket::Plain(tcp) => tcp.is_write_vectored(),
            Socket::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Socket::Tls(tls) => Pin::new(tls).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Socket::Tls(tls) => Pin::new(tls).poll_shutdown(context),
        }
    }
}
