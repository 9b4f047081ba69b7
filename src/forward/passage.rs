//! What a request asks of its way to an upstream, and what became of it.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::connection::Lease;
use super::refusal::Refusal;
use super::server::{Server, Slot};
use super::spelling::Spelling;
use crate::config::UpstreamTimeouts;

/// How a request is to be sent.
#[derive(Debug)]
pub struct Sending<'a> {
    /// How long the upstream may take.
    pub timeouts: &'a UpstreamTimeouts,
    /// Whether the client came by https.
    pub https: bool,
    /// How the client spells the names of fields.
    pub spelling: Spelling,
    /// Filled in as it goes.
    pub passage: &'a mut Passage,
}

/// What became of a request on its way to an upstream; filled in as it goes.
#[derive(Debug, Default)]
pub struct Passage {
    server: Option<Rc<Server>>,
    /// Time to open connections, failed attempts included; none when one was open.
    pub connect: Option<Duration>,
    /// From the request's sending to the head of the answer.
    pub header: Option<Duration>,
    /// When it was sent last.
    pub sent_at: Option<Instant>,
    /// How often it was sent again.
    pub retries: u32,
}

impl Passage {
    /// `host:port` of the server that it was sent to last.
    pub fn server(&self) -> Option<&str> {
        self.server.as_deref().map(|server| server.standing.authority.as_str())
    }

    /// A new connection, its time measured.
    pub(super) async fn connect_to(&mut self, slot: Slot, timeout: Duration) -> Result<Lease, Refusal> {
        self.server = Some(Rc::clone(&slot.server));
        let begun_at = Instant::now();
        // In a box of its own: most requests find an open connection and need no room for this.
        let outcome = Box::pin(slot.server.connect(timeout)).await;
        *self.connect.get_or_insert_default() += begun_at.elapsed();
        outcome.map(|connection| Lease::new(slot, connection, false))
    }

    /// The request is sent; answers when.
    pub(super) fn send_by(&mut self, lease: &Lease) -> Instant {
        if lease.is_reused {
            self.server = lease.server().map(Rc::clone);
        }
        *self.sent_at.insert(Instant::now())
    }
}
