//! One server as one worker sees it: the idle connections to it, the last used first.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::connection::UpstreamConnection;
use super::dial::dial;
use super::fleet::Standing;
use super::refusal::Refusal;
use super::standing::ServerStanding;
use crate::clock::Clock;

/// Idle connections kept for one server by one worker.
const MAX_IDLE: usize = 256;
/// What a server's `Keep-Alive: timeout=` is shortened by: its clock starts before ours.
const HINT_MARGIN_MS: u64 = 1_000;

/// How old a connection becomes where the server has several addresses: so that all of them come to be used.
const SHARED_MS: u64 = 5_000;

/// A server of an upstream.
#[derive(Debug)]
pub(super) struct Server {
    /// Goes into `Host`.
    authority: Option<HeaderValue>,
    keep_alive_ms: u64,
    pool: Rc<Pool>,
    upstream: Arc<Standing>,
    /// Its place in `upstream`.
    pub(super) number: usize,
    pub(super) standing: Arc<ServerStanding>,
}

/// The idle connections to a server; they outlive a reload that does not change it.
#[derive(Debug)]
struct Pool {
    idle: RefCell<VecDeque<Idle>>,
    /// Connections opened, to begin with another address each time.
    turn: Cell<usize>,
    clock: Rc<Clock>,
}

#[derive(Debug)]
struct Idle {
    connection: Box<UpstreamConnection>,
    since_ms: u64,
    until_ms: u64,
}

impl Server {
    /// The server with this number in its upstream; with the idle connections of `before` if that is the same.
    pub(super) fn new<'a>(
        upstream: &Arc<Standing>,
        number: usize,
        clock: &Rc<Clock>,
        mut before: impl Iterator<Item = &'a Rc<Server>>,
    ) -> Option<Rc<Self>> {
        let standing = upstream.servers.get(number)?;
        let before = before.find(|before| Arc::ptr_eq(&before.standing, standing));
        let new_pool = || {
            let (idle, turn) = (RefCell::default(), Cell::new(0));
            Rc::new(Pool { idle, turn, clock: Rc::clone(clock) })
        };
        Some(Rc::new(Server {
            authority: HeaderValue::from_str(without_default_port(standing)).ok(),
            keep_alive_ms: u64::try_from(upstream.config.keep_alive.as_millis()).unwrap_or(u64::MAX),
            pool: before.map_or_else(new_pool, |before| Rc::clone(&before.pool)),
            upstream: Arc::clone(upstream),
            number,
            standing: Arc::clone(standing),
        }))
    }

    /// What goes into `Host` for it.
    pub(super) fn authority(&self) -> Option<&HeaderValue> {
        self.authority.as_ref()
    }

    /// The connection used last that is still open and has been idle for at most `longest_ms`.
    pub(super) fn take_idle(&self, longest_ms: u64) -> Option<Box<UpstreamConnection>> {
        let now_ms = self.pool.clock.now_ms();
        let oldest_ms = now_ms.saturating_sub(longest_ms);
        let mut idle = self.pool.idle.borrow_mut();
        while let Some(last) = idle.back() {
            if last.since_ms < oldest_ms {
                return None;
            }
            let last = idle.pop_back()?;
            if last.until_ms > now_ms && last.connection.is_ready() {
                return Some(last.connection);
            }
        }
        None
    }

    /// Keeps a connection for the next request; less long where the server said how long it does, and not for ever where
    /// others of its addresses are to be used, too.
    pub(super) fn keep(&self, connection: Box<UpstreamConnection>) {
        let hint_ms = connection.keep_alive.get().map_or(u64::MAX, |seconds| {
            let hint_ms = u64::from(seconds) * 1000;
            hint_ms.saturating_sub(HINT_MARGIN_MS).max(hint_ms / 2)
        });
        let since_ms = self.pool.clock.now_ms();
        let age_ms = since_ms.saturating_sub(connection.opened_ms);
        if age_ms > SHARED_MS && self.standing.known_addresses().addresses.len() > 1 {
            return;
        }
        let until_ms = since_ms.saturating_add(self.keep_alive_ms.min(hint_ms));
        let mut idle = self.pool.idle.borrow_mut();
        if idle.len() == MAX_IDLE {
            idle.pop_front();
        }
        idle.push_back(Idle { connection, since_ms, until_ms });
    }

    /// Closes connections that were idle for too long, that the server has closed, or whose address is not its any more.
    pub(super) fn close_stale(&self) {
        let mut idle = self.pool.idle.borrow_mut();
        if idle.is_empty() {
            return;
        }
        let now_ms = self.pool.clock.now_ms();
        let names = self.standing.known_addresses();
        idle.retain(|idle| {
            idle.until_ms > now_ms
                && idle.connection.is_ready()
                && names.addresses.contains(&idle.connection.address)
        });
    }

    /// Opens a connection within `timeout`.
    pub(super) async fn connect(&self, timeout: Duration) -> Result<Box<UpstreamConnection>, Refusal> {
        let turn = self.pool.turn.replace(self.pool.turn.get().wrapping_add(1));
        let outcome = dial(&self.standing, turn, timeout).await;
        self.upstream.note_connection(self.number, outcome.is_ok());
        let (socket, address) = outcome?;
        UpstreamConnection::open(socket, address, self.pool.clock.now_ms())
            .await
            .map_err(Refusal::UpstreamClosed)
    }

    /// A request was not answered.
    pub(super) fn note_failure(&self) {
        self.upstream.note_failure(self.number);
    }
}

/// Room for one request on a server, counted by all workers.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) server: Rc<Server>,
}

impl Slot {
    /// None when the server has no room.
    pub(super) fn take(server: &Rc<Server>) -> Option<Self> {
        let limit = server.upstream.config.servers.get(server.number)?.max_connections;
        server.standing.take_room(limit).then(|| Slot { server: Rc::clone(server) })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.server.standing.give_room_back();
        self.server.upstream.note_room();
    }
}

fn without_default_port(standing: &ServerStanding) -> &str {
    let port = if standing.tls.is_some() { ":443" } else { ":80" };
    standing.authority.strip_suffix(port).unwrap_or(&standing.authority)
}
