//! Listening sockets: all are bound before the first thread starts, so that a failure is known at once.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that wait in the kernel, per socket; `net.core.somaxconn` caps it.
const BACKLOG: i32 = 4096;

/// Why an address could not be taken.
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
    /// A socket was handed over, and no address of `proxy.listen` is left for it.
    #[error("more sockets were handed over than proxy.listen has addresses{}", .0.map(|at| format!(": {at}")).unwrap_or_default())]
    TooMany(Option<SocketAddr>),
}

/// Sockets of all workers.
#[derive(Debug)]
pub struct Bound {
    addresses: Vec<SocketAddr>,
    /// One entry a worker, in it one socket an address.
    pub(super) sockets: Vec<Vec<TcpListener>>,
}

impl Bound {
    /// Where the sockets listen, in the order asked for, port 0 resolved.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

/// Binds every address once per worker.
///
/// With port 0 the first worker's socket decides the port and the others join it.
///
/// # Errors
///
/// [`BindError::InUse`] when anybody, also another instance of this program, listens on the address.
pub fn bind(listen: &[SocketAddr], workers: usize) -> Result<Bound, BindError> {
    take_or_bind(listen, workers, Vec::new())
}

/// As [`bind`], where these sockets were handed over: they serve the addresses that they have, and what is left of both
/// in the order of the list. All workers share the one socket of an address.
///
/// # Errors
///
/// As [`bind`]; [`BindError::TooMany`] when a socket has no address to serve.
pub fn take_or_bind(
    listen: &[SocketAddr],
    workers: usize,
    handed: Vec<TcpListener>,
) -> Result<Bound, BindError> {
    let mut bound = Bound { addresses: Vec::new(), sockets: (0..workers).map(|_| Vec::new()).collect() };
    for (&asked, socket) in listen.iter().zip(served_by(listen, handed)?) {
        let refused = |source| BindError::Refused { address: asked, source };
        let mut address = asked;
        if let Some(socket) = socket {
            address = socket.local_addr().map_err(refused)?;
            if address != asked {
                tracing::warn!(%asked, %address, "an address of proxy.listen is served where the socket handed over is");
            }
            for own in &mut bound.sockets {
                own.push(socket.try_clone().map_err(refused)?);
            }
        } else {
            probe(asked)?;
            for own in &mut bound.sockets {
                let listener = listen_on(address).map_err(refused)?;
                address = listener.local_addr().map_err(refused)?;
                own.push(listener);
            }
        }
        bound.addresses.push(address);
    }
    Ok(bound)
}

/// For each address the socket that serves it, if one was handed over.
fn served_by(listen: &[SocketAddr], handed: Vec<TcpListener>) -> Result<Vec<Option<TcpListener>>, BindError> {
    let mut served: Vec<Option<TcpListener>> = listen.iter().map(|_| None).collect();
    let mut rest = Vec::new();
    for socket in handed {
        let address = socket.local_addr().ok();
        match listen.iter().position(|asked| Some(*asked) == address) {
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

    #[test]
    fn port_zero_gives_all_workers_the_same_port() {
        let bound = bind(&["127.0.0.1:0".parse().unwrap()], 3).unwrap();
        let port = bound.addresses()[0].port();
        assert_ne!(port, 0);
        for sockets in &bound.sockets {
            assert_eq!(sockets[0].local_addr().unwrap().port(), port);
        }
    }

    #[test]
    fn sockets_serve_their_own_address_and_else_the_next_that_is_free() {
        let socket = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (named, other) = (socket(), socket());
        let (own, its) = (named.local_addr().unwrap(), other.local_addr().unwrap());
        let listen = ["127.0.0.1:1".parse().unwrap(), own];
        let bound = take_or_bind(&listen, 2, vec![named, other]).unwrap();
        assert_eq!(bound.addresses(), [its, own]);
        for sockets in &bound.sockets {
            let addresses = sockets.iter().map(|socket| socket.local_addr().unwrap());
            assert_eq!(addresses.collect::<Vec<_>>(), [its, own]);
        }
        let refused = take_or_bind(&[own], 1, vec![socket(), socket()]);
        assert!(matches!(refused, Err(BindError::TooMany(Some(_)))), "{refused:?}");
    }
}
