//! Sending a request: which server, which connection, and what may be tried again (RFC 9110 section 9.2.2).
//!
//! | what happened | tried again |
//! |---|---|
//! | no connection to a server | on the next server, whatever the method |
//! | nothing of the request was written | on a new connection, whatever the method |
//! | written on a reused connection that ended without a byte | once, on a new connection: GET, HEAD, OPTIONS without body |
//! | anything else | never |

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::HOST;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use prometheus_client::metrics::counter::Counter;
use tokio::time::MissedTickBehavior;

use super::body::{Download, Progress, RequestBody, ResponseBody};
use super::connection::Lease;
use super::refusal::Refusal;
use super::server::Server;
use super::standing::Standing;
use crate::clock::{Clock, TICK_MS, Timer};
use crate::config::{self, Config, HostHeader, Timeouts};
use crate::telemetry::metrics::Metrics;

/// Idle time up to which a connection may carry a request that cannot be repeated; the clock's tick taken off 500 ms.
const SURELY_OPEN_MS: u64 = 500 - TICK_MS;

/// New connections tried for one request whose earlier ones closed before anything was written.
const MAX_UNSENT: u32 = 3;

/// All upstreams, as one worker sees them.
#[derive(Debug)]
pub struct Upstreams {
    upstreams: Vec<Rc<Upstream>>,
    timeouts: Timeouts,
    clock: Rc<Clock>,
    retried: Counter,
}

#[derive(Debug)]
struct Upstream {
    servers: Vec<Rc<Server>>,
    next: Cell<usize>,
    host: Host,
    retries: u32,
    standing: Arc<Standing>,
}

#[derive(Debug)]
enum Host {
    Preserve,
    Server,
    Literal(HeaderValue),
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
        self.server.as_deref().map(Server::authority)
    }

    /// A new connection, its time measured.
    async fn connect_to(&mut self, server: &Rc<Server>, timeout: Duration) -> Result<Lease, Refusal> {
        self.server = Some(Rc::clone(server));
        let begun_at = Instant::now();
        let outcome = server.connect(timeout).await;
        *self.connect.get_or_insert_default() += begun_at.elapsed();
        outcome.map(|connection| Lease::new(server, connection, false))
    }

    fn send_by(&mut self, lease: &Lease) -> Instant {
        if lease.is_reused {
            self.server = Some(Rc::clone(lease.server()));
        }
        *self.sent_at.insert(Instant::now())
    }
}

/// How one attempt failed.
struct Failure {
    refusal: Refusal,
    /// The request, when nothing of it was written.
    unsent: Option<Request<RequestBody>>,
    /// The request as it was written, when it may be written again: the connection had been used before, and not a
    /// byte came back.
    stale: Option<Stale>,
}

/// A request lost on a connection that the server had closed, or was closing.
struct Stale {
    server: Rc<Server>,
    head: Bytes,
}

impl Upstreams {
    /// Pools for all upstreams, in the order of the configuration, as are `standings`. Those whose standing is one of
    /// `previous` are taken over from there.
    pub fn new(
        config: &Config,
        standings: &[Arc<Standing>],
        previous: Option<&Upstreams>,
        metrics: &Metrics,
        clock: &Rc<Clock>,
    ) -> Rc<Self> {
        let kept = |standing: &Arc<Standing>| {
            let mut known = previous?.upstreams.iter();
            known.find(|upstream| Arc::ptr_eq(&upstream.standing, standing)).map(Rc::clone)
        };
        let with_standing = config.upstreams.iter().zip(standings);
        let upstreams = with_standing
            .map(|(upstream, standing)| {
                kept(standing).unwrap_or_else(|| Rc::new(Upstream::new(upstream, clock, standing)))
            })
            .collect();
        let (timeouts, retried) = (config.proxy.timeouts, metrics.upstream_retries.clone());
        Rc::new(Upstreams { upstreams, timeouts, clock: Rc::clone(clock), retried })
    }

    /// Closes idle connections that are too old, as long as there is somebody to use them; one task a worker.
    pub async fn close_stale_connections(all: Weak<Self>) {
        let mut interval = tokio::time::interval(Duration::from_secs(1));
        loop {
            interval.tick().await;
            let Some(all) = all.upgrade() else { return };
            all.upstreams
                .iter()
                .flat_map(|upstream| &upstream.servers)
                .for_each(|server| server.close_stale());
        }
    }

    /// Asks upstreams that take no connections for one, as long as they are used; one task a worker. Whoever sends no
    /// requests because of what we report about an upstream would else never hear that it is back.
    pub async fn knock(all: Weak<Self>) {
        let mut interval = tokio::time::interval(Duration::from_secs(1));
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            let Some(all) = all.upgrade() else { return };
            for upstream in all.upstreams.iter().filter(|upstream| upstream.standing.is_down()) {
                // What came of it is noted; the connection, if any, waits for the next request.
                if let Ok(lease) = upstream.connect(all.timeouts.connect, &mut Passage::default()).await {
                    lease.give_back();
                }
            }
        }
    }

    /// Sends a request to the upstream with this index and waits for the head of the response; `passage` says how far
    /// it came.
    ///
    /// Dropping the future, or the body of the response before its end, cancels the request: its connection is cut.
    ///
    /// # Errors
    ///
    /// What to answer instead.
    pub async fn send(
        &self,
        upstream: usize,
        mut head: Parts,
        body: RequestBody,
        passage: &mut Passage,
    ) -> Result<Response<ResponseBody>, Refusal> {
        let upstream = self.upstreams.get(upstream).ok_or(Refusal::NoServer)?;
        head.version = Version::HTTP_11;
        let is_repeatable =
            body.is_empty() && matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS);
        let mut retries_left = if is_repeatable { upstream.retries } else { 0 };
        let longest_idle_ms = if retries_left > 0 { u64::MAX } else { SURELY_OPEN_MS };
        let progress = body.progress();
        let method = head.method.clone();
        let mut unsent_left = MAX_UNSENT;
        let mut request = Request::from_parts(head, body);
        let mut lease = upstream.lease(longest_idle_ms, self.timeouts.connect, passage).await?;
        upstream.host.apply(&mut request, &lease);
        let mut recorded = None;
        loop {
            let sent_at = passage.send_by(&lease);
            let failure = match self.exchange(lease, request, progress.as_deref(), retries_left > 0).await {
                Ok(response) => {
                    passage.header = Some(sent_at.elapsed());
                    return Ok(response);
                }
                Err(failure) => failure,
            };
            match (failure.unsent, failure.stale) {
                (Some(unsent), _) if unsent_left > 0 => {
                    unsent_left -= 1;
                    self.retried.inc();
                    passage.retries += 1;
                    request = unsent;
                    lease = upstream.connect(self.timeouts.connect, passage).await?;
                    upstream.host.apply(&mut request, &lease);
                }
                (None, Some(stale)) => {
                    retries_left -= 1;
                    self.retried.inc();
                    passage.retries += 1;
                    request = stand_in(&method);
                    lease = upstream.connect_again(&stale.server, self.timeouts.connect, passage).await?;
                    recorded = Some(stale.head);
                }
                _ => return Err(failure.refusal),
            }
            if let Some(head) = &recorded {
                lease.replay(head.clone());
            }
        }
    }

    /// One attempt on one connection.
    async fn exchange(
        &self,
        mut lease: Lease,
        request: Request<RequestBody>,
        progress: Option<&Progress>,
        is_repeatable: bool,
    ) -> Result<Response<ResponseBody>, Failure> {
        let records = is_repeatable && lease.is_reused;
        let Some(connection) = lease.connection() else {
            return Err(Failure { refusal: Refusal::NoServer, unsent: Some(request), stale: None });
        };
        connection.wire.begin(records);
        let wire = Rc::clone(&connection.wire);
        let sending = connection.sender.try_send_request(request);
        match self.within_response_time(sending, progress).await {
            Some(Ok(response)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                Err(Failure { refusal: Refusal::UpstreamUpgraded, unsent: None, stale: None })
            }
            Some(Ok(response)) => Ok(self.attach(response, lease)),
            Some(Err(mut error)) => {
                let unsent = error.take_message();
                let refusal = Refusal::from_exchange(error.into_error());
                let head = if wire.is_answered() { None } else { wire.take_recorded() };
                let stale = head.map(|head| Stale { server: Rc::clone(lease.server()), head });
                Err(Failure { refusal, unsent, stale })
            }
            None => Err(Failure { refusal: Refusal::ResponseTimeout, unsent: None, stale: None }),
        }
    }

    /// None when `response_header` has passed since the request moved last.
    async fn within_response_time<F: Future>(
        &self,
        sending: F,
        progress: Option<&Progress>,
    ) -> Option<F::Output> {
        let limit = self.timeouts.response_header;
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let mut timer = Timer::new(&self.clock);
        timer.arm(limit);
        let mut sending = pin!(sending);
        std::future::poll_fn(|context| {
            if let Poll::Ready(outcome) = sending.as_mut().poll(context) {
                return Poll::Ready(Some(outcome));
            }
            while timer.poll_due(context).is_ready() {
                let moved_ms = progress.map_or(0, |progress| progress.moved_ms.get());
                let due_ms = moved_ms.saturating_add(limit_ms).saturating_add(TICK_MS);
                if due_ms <= self.clock.now_ms() {
                    return Poll::Ready(None);
                }
                timer.arm_at(due_ms);
            }
            Poll::Pending
        })
        .await
    }

    /// Ties the response to its connection, which goes back when the body has been read.
    fn attach(&self, response: Response<Incoming>, lease: Lease) -> Response<ResponseBody> {
        response.map(|incoming| {
            if http_body::Body::is_end_stream(&incoming) {
                lease.give_back();
                return ResponseBody::Empty;
            }
            let download = Download::new(incoming, lease, self.timeouts.response_idle, &self.clock);
            ResponseBody::Upstream(download)
        })
    }
}

impl Upstream {
    fn new(upstream: &config::Upstream, clock: &Rc<Clock>, standing: &Arc<Standing>) -> Self {
        let servers = upstream.servers.iter().enumerate();
        let server = |(number, authority): (usize, &String)| {
            Server::new(authority, number, upstream.keep_alive, clock, standing)
        };
        Upstream {
            servers: servers.map(server).collect(),
            next: Cell::new(0),
            host: Host::new(&upstream.host),
            retries: upstream.retries,
            standing: Arc::clone(standing),
        }
    }

    /// An idle connection of the server whose turn it is, else a new one.
    async fn lease(
        &self,
        longest_idle_ms: u64,
        timeout: Duration,
        passage: &mut Passage,
    ) -> Result<Lease, Refusal> {
        let server = self.take_turn().ok_or(Refusal::NoServer)?;
        if let Some(connection) = server.take_idle(longest_idle_ms) {
            return Ok(Lease::new(server, connection, true));
        }
        match passage.connect_to(server, timeout).await {
            Ok(lease) => Ok(lease),
            Err(refusal) if self.servers.len() == 1 => Err(refusal),
            Err(_) => self.connect(timeout, passage).await,
        }
    }

    /// A new connection to the server whose turn it is, or to the next one that takes it.
    async fn connect(&self, timeout: Duration, passage: &mut Passage) -> Result<Lease, Refusal> {
        let mut refusal = Refusal::NoServer;
        for _ in 0..self.servers.len() {
            let server = self.take_turn().ok_or(Refusal::NoServer)?;
            match passage.connect_to(server, timeout).await {
                Ok(lease) => return Ok(lease),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    /// A new connection for a request whose `Host` is written already.
    async fn connect_again(
        &self,
        server: &Rc<Server>,
        timeout: Duration,
        passage: &mut Passage,
    ) -> Result<Lease, Refusal> {
        match passage.connect_to(server, timeout).await {
            Ok(lease) => Ok(lease),
            Err(refusal) if matches!(self.host, Host::Server) => Err(refusal),
            Err(_) => self.connect(timeout, passage).await,
        }
    }

    fn take_turn(&self) -> Option<&Rc<Server>> {
        let turn = self.next.get();
        self.next.set(turn.wrapping_add(1));
        self.servers.get(turn.checked_rem(self.servers.len())?)
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

    /// HTTP/1.1 needs a `Host` also where an HTTP/1.0 client sent none.
    fn apply(&self, request: &mut Request<RequestBody>, lease: &Lease) {
        let headers = request.headers_mut();
        let value = match self {
            Host::Preserve if headers.contains_key(HOST) => return,
            Host::Preserve | Host::Server => lease.server().authority_value().cloned(),
            Host::Literal(name) => Some(name.clone()),
        };
        if let Some(value) = value {
            headers.insert(HOST, value);
        }
    }
}

/// What hyper is given to write in place of a recorded head: it must know the method to read the response.
fn stand_in(method: &Method) -> Request<RequestBody> {
    let mut request = Request::new(RequestBody::empty());
    *request.method_mut() = method.clone();
    request
}
