//! Listening sockets: all are bound before the first thread starts, so that a failure is known at once.

use std::io;
use std::net::{SocketAddr, TcpListener};

use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};

use super::tls::{Certificates, TlsError};
use crate::config;

/// Connections that wait in the kernel, per socket; `net.core.somaxconn` caps it.
const BACKLOG: i32 = 4096;

/// Why connections cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody listens there; sharing the port silently would split the traffic.
    #[error("{0} is in use by another process")]
    InUse(SocketAddr),
    /// The system refused.
    #[error("cannot listen on {address}")]
    Refused {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// What is spoken at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// HTTP/1.
    Plain,
    /// TLS, and in it HTTP/1 or HTTP/2.
    Tls,
}

/// Sockets of all workers.
#[derive(Debug)]
pub struct Bound {
    addresses: Vec<SocketAddr>,
    /// One entry a worker, in it one socket an address.
    pub(super) sockets: Vec<Vec<(TcpListener, Kind)>>,
    pub(super) certificates: Arc<Certificates>,
}

impl Bound {
    /// Where the sockets listen, `listen` before `tls_listen`, each in the order asked for, port 0 resolved.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The certificates in use.
    pub fn certificates(&self) -> &Arc<Certificates> {
        &self.certificates
    }
}

/// Reads the certificates and binds every address once per worker.
///
/// With port 0 the first worker's socket decides the port and the others join it.
///
/// # Errors
///
/// [`BindError::InUse`] when anybody, also another instance of this program, listens on the address.
pub fn bind(config: &config::Proxy) -> Result<Bound, BindError> {
    let mut bound = Bound {
        addresses: Vec::new(),
        sockets: (0..config.workers).map(|_| Vec::new()).collect(),
        certificates: Certificates::load(&config.tls)?,
    };
    let plain = config.listen.iter().map(|address| (*address, Kind::Plain));
    let encrypted = config.tls_listen.iter().map(|address| (*address, Kind::Tls));
    for (asked, kind) in plain.chain(encrypted) {
        let refused = |source| BindError::Refused { address: asked, source };
        probe(asked)?;
        let mut address = asked;
        for own in &mut bound.sockets {
            let listener = listen_on(address).map_err(refused)?;
            address = listener.local_addr().map_err(refused)?;
            own.push((listener, kind));
        }
        bound.addresses.push(address);
    }
    Ok(bound)
}

/// A socket without `SO_REUSEPORT` cannot be bound beside one that listens, whatever that one allows.
fn probe(address: SocketAddr) -> Result<(), BindError> {
    let bound = stream_socket(address).and_then(|socket| {
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())
    });
    match bound {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(BindError::InUse(address)),
        Err(source) => Err(BindError::Refused { address, source }),
        Ok(()) => Ok(()),
    }
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = stream_socket(address)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn stream_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_zero_gives_all_workers_the_same_port() {
        let text = "[proxy]\nlisten = [\"127.0.0.1:0\"]\nworkers = 3\n\
                    [[upstream]]\nname = \"shop\"\nservers = [\"http://127.0.0.1:9\"]\n\
                    [database]\nurl = \"postgres://a@b/c\"\n[journal]\ndir = \"j\"\n\
                    [stats]\nlisten = \"127.0.0.1:0\"\n";
        let bound = bind(&config::parse(text, "test.toml", &|_| None).unwrap().proxy).unwrap();
        let port = bound.addresses()[0].port();
        assert_ne!(port, 0);
        for sockets in &bound.sockets {
            assert_eq!(sockets[0].0.local_addr().unwrap().port(), port);
        }
    }
}
