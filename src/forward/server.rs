//! One server of an upstream: where it is, and the idle connections to it, the last used first.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::net::TcpStream;

use super::connection::UpstreamConnection;
use super::refusal::Refusal;
use super::standing::Standing;
use crate::clock::Clock;

/// Idle connections kept for one server by one worker.
const MAX_IDLE: usize = 256;
/// How long an answer of the name service is used without asking again.
const NAME_TTL_MS: u64 = 30_000;
/// Addresses of a name that are tried.
const MAX_ADDRESSES: usize = 4;

/// A server, as one worker sees it.
#[derive(Debug)]
pub(super) struct Server {
    /// `host:port`
    authority: String,
    authority_value: Option<HeaderValue>,
    addresses: RefCell<Vec<SocketAddr>>,
    asked_ms: Cell<Option<u64>>,
    idle: RefCell<VecDeque<Idle>>,
    keep_alive_ms: u64,
    clock: Rc<Clock>,
    standing: Arc<Standing>,
    /// Its place in `standing`.
    number: usize,
}

#[derive(Debug)]
struct Idle {
    connection: UpstreamConnection,
    since_ms: u64,
}

impl Server {
    /// The server with this number in its upstream.
    pub(super) fn new(
        authority: &str,
        number: usize,
        keep_alive: Duration,
        clock: &Rc<Clock>,
        standing: &Arc<Standing>,
    ) -> Rc<Self> {
        Rc::new(Server {
            authority: authority.to_owned(),
            authority_value: HeaderValue::from_str(authority).ok(),
            addresses: RefCell::default(),
            asked_ms: Cell::new(None),
            idle: RefCell::default(),
            keep_alive_ms: u64::try_from(keep_alive.as_millis()).unwrap_or(u64::MAX),
            clock: Rc::clone(clock),
            standing: Arc::clone(standing),
            number,
        })
    }

    /// `host:port`
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// What goes into `Host` for it.
    pub(super) fn authority_value(&self) -> Option<&HeaderValue> {
        self.authority_value.as_ref()
    }

    /// The connection used last that is still open and has been idle for at most `longest_ms`.
    pub(super) fn take_idle(&self, longest_ms: u64) -> Option<UpstreamConnection> {
        let oldest_ms = self.clock.now_ms().saturating_sub(longest_ms.min(self.keep_alive_ms));
        let mut idle = self.idle.borrow_mut();
        while let Some(last) = idle.back() {
            if last.since_ms < oldest_ms {
                return None;
            }
            let last = idle.pop_back()?;
            if last.connection.is_ready() {
                return Some(last.connection);
            }
        }
        None
    }

    /// Keeps a connection for the next request.
    pub(super) fn keep(&self, connection: UpstreamConnection) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() == MAX_IDLE {
            idle.pop_front();
        }
        idle.push_back(Idle { connection, since_ms: self.clock.now_ms() });
    }

    /// Closes connections that were idle for too long or that the server has closed.
    pub(super) fn close_stale(&self) {
        let oldest_ms = self.clock.now_ms().saturating_sub(self.keep_alive_ms);
        self.idle.borrow_mut().retain(|idle| idle.since_ms >= oldest_ms && idle.connection.is_ready());
    }

    /// Opens a connection to the first address that takes one, each within `timeout`.
    pub(super) async fn connect(&self, timeout: Duration) -> Result<UpstreamConnection, Refusal> {
        let tcp = self.reach(timeout).await;
        self.standing.note(self.number, tcp.is_ok());
        UpstreamConnection::open(tcp?).await.map_err(Refusal::UpstreamClosed)
    }

    async fn reach(&self, timeout: Duration) -> Result<TcpStream, Refusal> {
        let addresses = self.addresses().await.map_err(Refusal::Unresolved)?;
        let mut refusal = Refusal::NoServer;
        for address in addresses.into_iter().take(MAX_ADDRESSES) {
            match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => {
                    // Without it a small body may wait for an acknowledgement; not worth failing for.
                    let _ = tcp.set_nodelay(true);
                    return Ok(tcp);
                }
                Ok(Err(error)) => refusal = Refusal::Unreachable(error),
                Err(_) => refusal = Refusal::ConnectTimeout,
            }
        }
        Err(refusal)
    }

    /// Addresses of the name. When the name service fails, those it gave last stay good.
    async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = self.authority.parse::<SocketAddr>() {
            return Ok(vec![address]);
        }
        let now_ms = self.clock.now_ms();
        let is_current = self.asked_ms.get().is_some_and(|asked_ms| now_ms - asked_ms < NAME_TTL_MS);
        if is_current && !self.addresses.borrow().is_empty() {
            return Ok(self.addresses.borrow().clone());
        }
        match tokio::net::lookup_host(self.authority.as_str()).await {
            Ok(found) => {
                self.asked_ms.set(Some(now_ms));
                *self.addresses.borrow_mut() = found.collect();
            }
            Err(error) if self.addresses.borrow().is_empty() => return Err(error),
            Err(error) => {
                self.asked_ms.set(Some(now_ms));
                tracing::warn!(server = self.authority, %error, "a server's name was not found; its last addresses are used");
            }
        }
        Ok(self.addresses.borrow().clone())
    }
}
