//! One upstream as one worker sees it: which of its servers a request goes to, and on which connection.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{HOST, HeaderMap, HeaderValue};
use http::{Method, Request};

use super::balance::{Candidate, Chance, Turns, least_connections, members, p2c};
use super::body::RequestBody;
use super::budget::RetryBudget;
use super::connection::{Lease, UpstreamConnection};
use super::fleet::Standing;
use super::passage::Passage;
use super::refusal::Refusal;
use super::server::{Server, Slot};
use super::sticky::StickyCookie;
use crate::clock::{Clock, TICK_MS};
use crate::config::{Balance, HostHeader};

/// Idle time up to which a connection may carry a request that cannot be repeated; the clock's tick taken off 500 ms.
const SURELY_OPEN_MS: u64 = 500 - TICK_MS;
/// Servers that a request tries to connect to before it is given up.
const MAX_SERVERS_TRIED: u32 = 4;

/// An upstream.
#[derive(Debug)]
pub(super) struct Upstream {
    servers: Vec<Rc<Server>>,
    primaries: u64,
    backups: u64,
    turns: Turns,
    chance: Chance,
    standing: Arc<Standing>,
    pub(super) host: Host,
    pub(super) sticky: Option<StickyCookie>,
    pub(super) budget: RetryBudget,
}

/// Which `Host` the servers see.
#[derive(Debug)]
pub(super) enum Host {
    Preserve,
    Server,
    Literal(HeaderValue),
}

/// Which idle connections a request may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reuse {
    /// Any: it can be repeated.
    Any,
    /// Those that no server can be closing by its own rules.
    SurelyOpen,
    /// None.
    Never,
}

/// What a request asks for when it looks for a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    /// The server that its cookie names.
    pub(super) server: Option<usize>,
    pub(super) reuse: Reuse,
    /// For the connection to one server.
    pub(super) timeout: Duration,
}

/// What came of looking for a server.
enum Choice {
    Slot(Slot),
    /// All that could be used have `max_connections`.
    Full,
    /// All were tried.
    Nobody,
}

impl Upstream {
    /// `before` is what was known of the same upstream before a reload.
    pub(super) fn new(standing: &Arc<Standing>, clock: &Rc<Clock>, before: Option<&Upstream>) -> Self {
        let config = &standing.config;
        let known = || before.map(|before| before.servers.iter()).into_iter().flatten();
        let server = |number| Server::new(standing, number, clock, known());
        let set = |backup| {
            let all = config.servers.iter().enumerate();
            all.filter(|(_, server)| server.backup == backup).fold(0, |set, (number, _)| set | 1 << number)
        };
        let urls = || config.servers.iter().map(|server| server.url());
        Upstream {
            servers: (0..standing.servers.len()).filter_map(server).collect(),
            primaries: set(false),
            backups: set(true),
            turns: Turns::default(),
            chance: Chance::new(rand::random()),
            host: Host::new(&config.host),
            sticky: config.sticky_cookie.as_deref().map(|name| StickyCookie::new(name, urls())),
            budget: RetryBudget::new(clock),
            standing: Arc::clone(standing),
        }
    }

    /// Name, for finding it again after a reload.
    pub(super) fn name(&self) -> &str {
        &self.standing.config.name
    }

    /// How often a request may be repeated.
    pub(super) fn retries(&self) -> u32 {
        self.standing.config.retries
    }

    /// Whether answers are timed.
    pub(super) fn measures(&self) -> bool {
        self.servers.len() > 1 && self.standing.config.balance == Balance::P2c
    }

    /// A request got no answer.
    pub(super) fn complain(&self, refusal: &Refusal) {
        self.standing.complain(refusal);
    }

    pub(super) fn close_stale(&self) {
        self.servers.iter().for_each(|server| server.close_stale());
    }

    /// Whether a server other than this one gets requests.
    pub(super) fn has_other(&self, number: usize) -> bool {
        members((self.primaries | self.backups) & !(1 << number))
            .any(|other| self.servers.get(other).is_some_and(|server| server.standing.is_usable()))
    }

    /// A connection for a request.
    pub(super) async fn lease(&self, wish: Wish, passage: &mut Passage) -> Result<Lease, Refusal> {
        self.lease_elsewhere(wish, 0, passage).await
    }

    /// A new connection: to the server that this room is on, if it takes one and `elsewhere` is not asked for.
    pub(super) async fn lease_again(
        &self,
        slot: Option<Slot>,
        elsewhere: bool,
        mut wish: Wish,
        passage: &mut Passage,
    ) -> Result<Lease, Refusal> {
        wish.reuse = Reuse::Never;
        let mut tried = 0;
        if let Some(slot) = slot {
            tried |= 1 << slot.server.number;
            if !elsewhere {
                match passage.connect_to(slot, wish.timeout).await {
                    Ok(lease) => return Ok(lease),
                    Err(refusal) if self.servers.len() == 1 => return Err(refusal),
                    Err(_) => {}
                }
            }
        }
        self.lease_elsewhere(wish, tried, passage).await
    }

    /// As [`Upstream::lease`], with none of the servers in the set `tried`.
    async fn lease_elsewhere(
        &self,
        wish: Wish,
        mut tried: u64,
        passage: &mut Passage,
    ) -> Result<Lease, Refusal> {
        let mut refusal = Refusal::NoServer;
        for _ in 0..MAX_SERVERS_TRIED {
            let slot = match self.slot(wish.server, tried).await {
                Choice::Slot(slot) => slot,
                Choice::Full => return Err(Refusal::Full),
                Choice::Nobody => return Err(refusal),
            };
            if let Some(connection) = idle(&slot, wish.reuse).await {
                return Ok(Lease::new(slot, connection, true));
            }
            tried |= 1 << slot.server.number;
            match passage.connect_to(slot, wish.timeout).await {
                Ok(lease) => return Ok(lease),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    /// Room on a server; waits for it where all are busy.
    async fn slot(&self, wanted: Option<usize>, tried: u64) -> Choice {
        if !self.standing.has_waiting() {
            match self.choose(wanted, tried) {
                Choice::Full => {}
                choice => return choice,
            }
        }
        let take = || match self.choose(wanted, tried) {
            Choice::Full => None,
            choice => Some(choice),
        };
        Box::pin(self.standing.queue(take)).await.unwrap_or(Choice::Full)
    }

    fn choose(&self, wanted: Option<usize>, tried: u64) -> Choice {
        let candidates = self.candidates(tried);
        let take = |number: usize| self.servers.get(number).and_then(Slot::take);
        let only = (candidates.count_ones() == 1).then(|| candidates.trailing_zeros() as usize);
        if let Some(number) = only.or(wanted.filter(|wanted| candidates >> wanted & 1 == 1)) {
            return take(number).map_or(Choice::Full, Choice::Slot);
        }
        let now = Instant::now();
        let mut open = candidates;
        while let Some(number) = self.pick(open, now) {
            if let Some(slot) = take(number) {
                return Choice::Slot(slot);
            }
            open &= !(1 << number);
        }
        if candidates == 0 { Choice::Nobody } else { Choice::Full }
    }

    /// Servers that get requests: backups while no other is usable, and when none is at all, all of them. A request that
    /// was sent in vain is no worse than one that was not sent.
    fn candidates(&self, tried: u64) -> u64 {
        if self.servers.len() == 1 {
            return self.primaries & !tried;
        }
        let usable = |set: u64| {
            let is_usable = |number: &usize| self.servers[*number].standing.is_usable();
            members(set & !tried).filter(is_usable).fold(0, |set, number| set | 1 << number)
        };
        let sets = [usable(self.primaries), usable(self.backups), (self.primaries | self.backups) & !tried];
        sets.into_iter().find(|set| *set != 0).unwrap_or(0)
    }

    fn pick(&self, set: u64, now: Instant) -> Option<usize> {
        let config = &self.standing.config;
        let measures = config.balance == Balance::P2c;
        let look = |number: usize| {
            let (server, config) = (&self.servers[number].standing, &config.servers[number]);
            let in_flight = u32::try_from(server.in_flight()).unwrap_or(u32::MAX);
            Candidate {
                weight: f64::from(config.weight) * server.share(now),
                in_flight: f64::from(in_flight),
                latency_us: if measures { server.latency_us(now) } else { 0.0 },
            }
        };
        match config.balance {
            Balance::P2c => p2c(set, look, &self.chance),
            Balance::RoundRobin => self.turns.next(set, look),
            Balance::LeastConnections => least_connections(set, look, &self.chance),
        }
    }
}

/// An idle connection of the server that the room is on.
async fn idle(slot: &Slot, reuse: Reuse) -> Option<Box<UpstreamConnection>> {
    match reuse {
        Reuse::Any => slot.server.take_idle(u64::MAX),
        Reuse::SurelyOpen => {
            // What has arrived meanwhile is read first: the end of a connection, too.
            tokio::task::yield_now().await;
            slot.server.take_idle(SURELY_OPEN_MS)
        }
        Reuse::Never => None,
    }
}

impl Host {
    fn new(host: &HostHeader) -> Self {
        match host {
            HostHeader::Preserve => Host::Preserve,
            HostHeader::Upstream => Host::Server,
            // The configuration was checked; a name that is none leaves the client's.
            HostHeader::Literal(name) => HeaderValue::from_str(name).map_or(Host::Preserve, Host::Literal),
        }
    }

    /// Puts what the servers see into a request, unless that is the name of the server that it goes to: then says so. HTTP/1.1
    /// needs a `Host` also where an HTTP/1.0 client sent none.
    pub(super) fn apply(&self, headers: &mut HeaderMap) -> bool {
        match self {
            Host::Preserve => !headers.contains_key(HOST),
            Host::Server => true,
            Host::Literal(name) => {
                headers.insert(HOST, name.clone());
                false
            }
        }
    }
}

/// Has a request name the server that it goes to.
pub(super) fn name_server(request: &mut Request<RequestBody>, lease: &Lease) {
    if let Some(authority) = lease.server().and_then(|server| server.authority()) {
        request.headers_mut().insert(HOST, authority.clone());
    }
}

/// The same for a head that is written already.
pub(super) fn name_server_in_written(head: bytes::Bytes, lease: &Lease) -> bytes::Bytes {
    match lease.server().and_then(|server| server.authority()) {
        Some(authority) => replace_host(&head, authority.as_bytes()).map_or(head, bytes::Bytes::from),
        None => head,
    }
}

/// A written head with another `Host`; none where it has none.
fn replace_host(head: &[u8], host: &[u8]) -> Option<Vec<u8>> {
    let mut at = 0;
    loop {
        at += memchr::memmem::find(&head[at..], b"\r\n")? + 2;
        let line_end = at + memchr::memmem::find(&head[at..], b"\r\n")?;
        if head[at..line_end].get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"host:")) {
            return Some([&head[..at + 5], b" ", host, &head[line_end..]].concat());
        }
    }
}

/// What hyper is given to write in place of a recorded head: it must know the method to read the response.
pub(super) fn stand_in(method: &Method) -> Request<RequestBody> {
    let mut request = Request::new(RequestBody::empty());
    *request.method_mut() = method.clone();
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_host_of_a_written_head_changes() {
        let head = b"GET / HTTP/1.1\r\nX-Host: a\r\nHOST: a:1\r\nHost-Not: a\r\n\r\n";
        let changed = replace_host(head, b"b:2").unwrap();
        assert_eq!(changed, b"GET / HTTP/1.1\r\nX-Host: a\r\nHOST: b:2\r\nHost-Not: a\r\n\r\n");
        assert_eq!(replace_host(b"GET / HTTP/1.1\r\n\r\n", b"b"), None);
        assert_eq!(replace_host(b"GET", b"b"), None);
    }
}
