//! Sockets that a service manager has bound and hands over (`sd_listen_fds(3)`): they outlive the process, so that one
//! binary can follow another without a moment at which nobody listens.
//!
//! Rule: the one called `stats` is the stats port's, all others are the proxy's. None is closed and bound again.

use std::net::TcpListener;

use listenfd::ListenFd;

/// The name (`FileDescriptorName=`) of the stats port's socket.
const STATS: &str = "stats";

/// Why the sockets handed over cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HandedError {
    /// One is something else than a TCP socket.
    #[error("what was handed over is no TCP socket")]
    NoSocket(#[from] std::io::Error),
    /// Only one can be the stats port's.
    #[error("two sockets named `stats` were handed over")]
    Twice,
}

/// What was handed over.
#[derive(Debug, Default)]
pub struct Handed {
    /// For `proxy.listen`.
    pub proxy: Vec<TcpListener>,
    /// For `stats.listen`.
    pub stats: Option<TcpListener>,
}

impl Handed {
    /// Takes what `LISTEN_FDS` speaks of, once; nothing where `LISTEN_PID` names another process. To be called before
    /// there are threads, since it changes the environment.
    ///
    /// # Errors
    ///
    /// When it is not what we can use.
    pub fn take() -> Result<Self, HandedError> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut sockets = ListenFd::from_env();
        let mut handed = Self::default();
        for number in 0..sockets.len() {
            let name = names.next();
            let Some(socket) = sockets.take_tcp_listener(number)? else { continue };
            socket.set_nonblocking(true)?;
            if name != Some(STATS) {
                handed.proxy.push(socket);
            } else if handed.stats.replace(socket).is_some() {
                return Err(HandedError::Twice);
            }
        }
        Ok(handed)
    }
}
