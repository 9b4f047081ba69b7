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
    /// A socket was handed over, and no address is left for it.
    #[error("more sockets were handed over than there are addresses to listen on{}", .0.map(|at| format!(": {at}")).unwrap_or_default())]
    TooMany(Option<SocketAddr>),
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
    take_or_bind(config, Vec::new())
}

/// As [`bind`], where these sockets were handed over: they serve the addresses that they have, and what is left of both
/// in the order of the lists. All workers share the one socket of an address.
///
/// # Errors
///
/// As [`bind`]; [`BindError::TooMany`] when a socket has no address to serve.
pub fn take_or_bind(config: &config::Proxy, handed: Vec<TcpListener>) -> Result<Bound, BindError> {
    let mut bound = Bound {
        addresses: Vec::new(),
        sockets: (0..config.workers).map(|_| Vec::new()).collect(),
        certificates: Certificates::load(&config.tls)?,
    };
    let plain = config.listen.iter().map(|address| (*address, Kind::Plain));
    let encrypted = config.tls_listen.iter().map(|address| (*address, Kind::Tls));
    let listen: Vec<(SocketAddr, Kind)> = plain.chain(encrypted).collect();
    for (&(asked, kind), socket) in listen.iter().zip(served_by(&listen, handed)?) {
        let refused = |source| BindError::Refused { address: asked, source };
        let mut address = asked;
        if let Some(socket) = socket {
            address = socket.local_addr().map_err(refused)?;
            if address != asked {
                tracing::warn!(%asked, %address, "an address is served where the socket handed over is");
            }
            for own in &mut bound.sockets {
                own.push((socket.try_clone().map_err(refused)?, kind));
            }
        } else {
            probe(asked)?;
            for own in &mut bound.sockets {
                let listener = listen_on(address).map_err(refused)?;
                address = listener.local_addr().map_err(refused)?;
                own.push((listener, kind));
            }
        }
        bound.addresses.push(address);
    }
    Ok(bound)
}

/// For each address the socket that serves it, if one was handed over.
fn served_by(
    listen: &[(SocketAddr, Kind)],
    handed: Vec<TcpListener>,
) -> Result<Vec<Option<TcpListener>>, BindError> {
    let mut served: Vec<Option<TcpListener>> = listen.iter().map(|_| None).collect();
    let mut rest = Vec::new();
    for socket in handed {
        let address = socket.local_addr().ok();
        match listen.iter().position(|(asked, _)| Some(*asked) == address) {
            Some(place) if served[place].is_none() => served[place] = Some(socket),
            _ => rest.push(socket),
        }
    }
    for socket in rest {
        match served.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(socket),
            // Whoever connected to it would wait for ever.
            None => return Err(BindError::TooMany(socket.local_addr().ok())),
        }
    }
    Ok(served)
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

    fn proxy(listen: &[SocketAddr], workers: usize) -> config::Proxy {
        let listen: Vec<String> = listen.iter().map(|address| format!("\"{address}\"")).collect();
        let text = format!(
            "[proxy]\nlisten = [{}]\nworkers = {workers}\n\
             [[upstream]]\nname = \"shop\"\nservers = [\"http://127.0.0.1:9\"]\n\
             [database]\nurl = \"postgres://a@b/c\"\n[journal]\ndir = \"j\"\n\
             [stats]\nlisten = \"127.0.0.1:0\"\n",
            listen.join(", ")
        );
        config::parse(&text, "test.toml", &|_| None).unwrap().proxy
    }

    #[test]
    fn port_zero_gives_all_workers_the_same_port() {
        let bound = bind(&proxy(&["127.0.0.1:0".parse().unwrap()], 3)).unwrap();
        let port = bound.addresses()[0].port();
        assert_ne!(port, 0);
        for sockets in &bound.sockets {
            assert_eq!(sockets[0].0.local_addr().unwrap().port(), port);
        }
    }

    #[test]
    fn sockets_serve_their_own_address_and_else_the_next_that_is_free() {
        let socket = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (named, other) = (socket(), socket());
        let (own, its) = (named.local_addr().unwrap(), other.local_addr().unwrap());
        let listen = ["127.0.0.1:1".parse().unwrap(), own];
        let bound = take_or_bind(&proxy(&listen, 2), vec![named, other]).unwrap();
        assert_eq!(bound.addresses(), [its, own]);
        for sockets in &bound.sockets {
            let addresses = sockets.iter().map(|(socket, _)| socket.local_addr().unwrap());
            assert_eq!(addresses.collect::<Vec<_>>(), [its, own]);
        }
        let refused = take_or_bind(&proxy(&[own], 1), vec![socket(), socket()]);
        assert!(matches!(refused, Err(BindError::TooMany(Some(_)))), "{refused:?}");
    }
}
