//! Sending a request: on which connection, and what may be tried again (RFC 9110 section 9.2.2).
//!
//! | what happened | tried again |
//! |---|---|
//! | no connection to a server | on the next server, whatever the method |
//! | nothing of the request was written | on a new connection, whatever the method |
//! | written on a reused connection that ended without a byte | once, on a new connection: GET, HEAD, OPTIONS without body |
//! | written on a new connection that ended without a byte | once, the same methods, if another server can take it |
//! | anything else | never |
//!
//! Once, unless `retries` says how often.

use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, UPGRADE};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use prometheus_client::metrics::counter::Counter;

use super::body::{Download, Progress, RequestBody, ResponseBody};
use super::connection::Lease;
use super::fleet::Fleet;
use super::passage::Sending;
use super::refusal::Refusal;
use super::server::Slot;
use super::spelling::Spelling;
use super::sticky::OwnCookies;
use super::tunnel::{Tunnel, Upgrade};
use super::upstream::{Reuse, Upstream, Wish, name_server, name_server_in_written, stand_in};
use crate::clock::{Clock, TICK_MS, Timer};
use crate::config::UpstreamTimeouts;
use crate::telemetry::metrics::Metrics;

/// New connections tried for one request whose earlier ones closed before anything was written.
const MAX_UNSENT: u32 = 3;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// All upstreams, as one worker sees them.
#[derive(Debug)]
pub struct Upstreams {
    upstreams: Vec<Upstream>,
    own_cookies: OwnCookies,
    clock: Rc<Clock>,
    retried: Counter,
    /// Its tasks end with the last worker.
    _fleet: Arc<Fleet>,
}

/// One attempt to send a request.
struct Attempt<'a> {
    upstream: &'a Upstream,
    timeouts: &'a UpstreamTimeouts,
    sent_at: Instant,
    /// Whether it may be repeated when it gets no answer.
    is_repeatable: bool,
    /// How the client spells the names of fields.
    spelling: &'a Spelling,
    /// What it asks to switch to.
    upgrade: Option<&'a HeaderValue>,
}

/// How one attempt failed.
struct Failure {
    refusal: Refusal,
    /// Nothing of the request was written.
    is_unsent: bool,
    /// The head as it was written, when not a byte came back and it was recorded.
    unanswered: Option<Bytes>,
    /// The connection had been used before.
    was_reused: bool,
    /// The room on the server.
    slot: Option<Slot>,
}

impl Upstreams {
    /// Pools for all upstreams, in the order of the configuration. Servers that are the same in `before` keep their
    /// idle connections.
    pub fn new(
        fleet: &Arc<Fleet>,
        before: Option<&Upstreams>,
        metrics: &Metrics,
        clock: &Rc<Clock>,
    ) -> Rc<Self> {
        let known =
            |name: &str| before.and_then(|before| before.upstreams.iter().find(|up| up.name() == name));
        let upstreams = fleet
            .upstreams
            .iter()
            .map(|standing| Upstream::new(standing, clock, known(&standing.config.name)))
            .collect();
        let names = fleet.upstreams.iter().filter_map(|standing| standing.config.sticky_cookie.as_deref());
        let own_cookies = OwnCookies::new(names);
        let retried = metrics.upstream_retries.clone();
        Rc::new(Upstreams {
            upstreams,
            own_cookies,
            clock: Rc::clone(clock),
            retried,
            _fleet: Arc::clone(fleet),
        })
    }

    /// Closes idle connections that are too old, as long as the upstreams are there; one task a worker.
    pub async fn close_stale_connections(upstreams: Weak<Self>) {
        let mut interval = tokio::time::interval(Duration::from_secs(1));
        loop {
            interval.tick().await;
            let Some(upstreams) = upstreams.upgrade() else { return };
            upstreams.upstreams.iter().for_each(Upstream::close_stale);
        }
    }

    /// Has the log say that the upstream with this index did not answer a request.
    pub fn complain(&self, upstream: usize, refusal: &Refusal) {
        if let Some(upstream) = self.upstreams.get(upstream) {
            upstream.complain(refusal);
        }
    }

    /// Sends a request to the upstream with this index and waits for the head of the response. A stand-in is left of it.
    ///
    /// Dropping the future, or the body of the response before its end, cancels the request: its connection is cut.
    ///
    /// # Errors
    ///
    /// What to answer instead.
    pub async fn send(
        &self,
        upstream: usize,
        request: &mut Request<RequestBody>,
        sending: Sending<'_>,
    ) -> Result<Response<ResponseBody>, Refusal> {
        let Sending { timeouts, https, spelling, passage } = sending;
        let upstream = self.upstreams.get(upstream).ok_or(Refusal::NoServer)?;
        *request.version_mut() = Version::HTTP_11;
        let wanted = upstream.sticky.as_ref().and_then(|sticky| sticky.server(request.headers()));
        self.own_cookies.hide(request.headers_mut());
        let is_repeatable = request.body().is_empty()
            && matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        upstream.budget.earn();
        let mut retries_left = if is_repeatable { upstream.retries() } else { 0 };
        let reuse = match retries_left {
            0 => Reuse::SurelyOpen,
            _ if upstream.budget.is_spent() => Reuse::Never,
            _ => Reuse::Any,
        };
        let wish = Wish { server: wanted, reuse, timeout: timeouts.connect };
        let progress = request.body().progress();
        let upgrade = request.headers().get(UPGRADE).cloned();
        let mut unsent_left = MAX_UNSENT;
        let mut lease = upstream.lease(wish, passage).await?;
        let names_server = upstream.host.apply(request.headers_mut());
        let mut recorded: Option<Bytes> = None;
        loop {
            if names_server {
                name_server(request, &lease);
                recorded = recorded.map(|head| name_server_in_written(head, &lease));
            }
            if let Some(head) = &recorded {
                lease.replay(head.clone());
            }
            let sent_at = passage.send_by(&lease);
            let number = lease.server().map_or(0, |server| server.number);
            let attempt = Attempt {
                upstream,
                timeouts,
                sent_at,
                is_repeatable: retries_left > 0,
                spelling: &spelling,
                upgrade: upgrade.as_ref(),
            };
            let failure = match self.exchange(attempt, lease, request, progress.as_deref()).await {
                Ok(mut response) => {
                    passage.header = Some(sent_at.elapsed());
                    if let Some(sticky) = upstream.sticky.as_ref().filter(|_| wanted != Some(number)) {
                        sticky.set(&mut response, number, https);
                    }
                    return Ok(response);
                }
                Err(failure) => failure,
            };
            match failure {
                Failure { is_unsent: true, slot, .. } if unsent_left > 0 => {
                    unsent_left -= 1;
                    lease = upstream.lease_again(slot, false, wish, passage).await?;
                }
                Failure { unanswered: Some(head), was_reused, slot, .. }
                    if was_reused || (upstream.has_other(number) && !upstream.budget.is_spent()) =>
                {
                    retries_left -= 1;
                    upstream.budget.spend();
                    lease = upstream.lease_again(slot, !was_reused, wish, passage).await?;
                    recorded = Some(head);
                }
                Failure { refusal, .. } => return Err(refusal),
            }
            self.retried.inc();
            passage.retries += 1;
        }
    }

    /// One attempt on one connection. What is written is taken out of `request`, and a stand-in left there.
    async fn exchange(
        &self,
        attempt: Attempt<'_>,
        mut lease: Lease,
        request: &mut Request<RequestBody>,
        progress: Option<&Progress>,
    ) -> Result<Response<ResponseBody>, Failure> {
        let Attempt { upstream, timeouts, sent_at, is_repeatable, spelling, upgrade } = attempt;
        let was_reused = lease.is_reused;
        let fail = |lease: Lease, refusal, is_unsent, unanswered| Failure {
            refusal,
            is_unsent,
            unanswered,
            was_reused,
            slot: lease.cut(),
        };
        let Some(server) = lease.server().map(Rc::clone) else {
            return Err(fail(lease, Refusal::NoServer, true, None));
        };
        let Some(connection) = lease.connection() else {
            return Err(fail(lease, Refusal::NoServer, true, None));
        };
        connection
            .wire
            .begin(is_repeatable && (was_reused || upstream.has_other(server.number)), spelling.clone());
        let wire = Rc::clone(&connection.wire);
        server.standing.requests.inc();
        let stand_in = stand_in(request.method());
        let sending = pin!(connection.sender.try_send_request(std::mem::replace(request, stand_in)));
        let answer = self.within_response_time(sending, progress, timeouts.response_header).await;
        if let Some(Ok(_)) = &answer {
            wire.note_answer();
        }
        match answer {
            Some(Ok(response)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                server.standing.note_answer();
                if !Upgrade::is_granted(upgrade, &response) {
                    return Err(fail(lease, Refusal::UpstreamUpgraded, false, None));
                }
                match lease.switch().await {
                    Some(upstream) => {
                        Ok(response.map(|_| ResponseBody::Tunnel(Box::new(Tunnel::new(upstream)))))
                    }
                    None => Err(Failure {
                        refusal: Refusal::UpstreamUpgraded,
                        is_unsent: false,
                        unanswered: None,
                        was_reused,
                        slot: None,
                    }),
                }
            }
            Some(Ok(response)) => {
                if upstream.measures() {
                    let now = Instant::now();
                    server.standing.note_latency(now.saturating_duration_since(sent_at), now);
                }
                server.standing.note_answer();
                Ok(self.attach(response, lease, timeouts.response_idle))
            }
            Some(Err(mut error)) => {
                let is_unsent = error.take_message().map(|unsent| *request = unsent).is_some();
                let refusal = Refusal::from_exchange(error.into_error());
                let unanswered = if wire.is_answered() { None } else { wire.take_recorded() };
                // A server may close an idle connection when it likes.
                let was_idle = was_reused && !wire.is_answered();
                if !is_unsent && !was_idle && refusal.is_servers_failure() {
                    server.note_failure();
                }
                Err(fail(lease, refusal, is_unsent, unanswered))
            }
            None => {
                server.note_failure();
                Err(fail(lease, Refusal::ResponseTimeout, false, None))
            }
        }
    }

    /// None when `limit` has passed since the request moved last.
    async fn within_response_time<F: Future>(
        &self,
        mut sending: Pin<&mut F>,
        progress: Option<&Progress>,
        limit: Duration,
    ) -> Option<F::Output> {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let mut timer = Timer::new(&self.clock);
        timer.arm(limit);
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
    fn attach(&self, response: Response<Incoming>, lease: Lease, idle: Duration) -> Response<ResponseBody> {
        if response.version() == Version::HTTP_10 {
            lease.note_http_10();
        }
        if let Some(seconds) = keep_alive_hint(response.headers()) {
            lease.note_keep_alive(seconds);
        }
        response.map(|incoming| {
            if http_body::Body::is_end_stream(&incoming) {
                lease.give_back();
                return ResponseBody::Empty;
            }
            ResponseBody::Upstream(Download::new(incoming, lease, idle, &self.clock))
        })
    }
}

/// Seconds of `Keep-Alive: timeout=5, max=100`.
fn keep_alive_hint(headers: &HeaderMap) -> Option<u32> {
    let value = headers.get(KEEP_ALIVE)?.as_bytes();
    value.split(|byte| *byte == b',').find_map(|parameter| {
        let (name, seconds) = parameter.split_at(memchr::memchr(b'=', parameter)?);
        if !name.trim_ascii().eq_ignore_ascii_case(b"timeout") {
            return None;
        }
        std::str::from_utf8(&seconds[1..]).ok()?.trim().parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_may_say_how_long_it_keeps_a_connection() {
        for (value, seconds) in [
            ("timeout=5", Some(5)),
            ("max=100, Timeout = 15", Some(15)),
            ("timeout=5, max=100", Some(5)),
            ("timeout=", None),
            ("timeout=-1", None),
            ("timeout=99999999999", None),
            ("5", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(KEEP_ALIVE, value.parse().unwrap());
            assert_eq!(keep_alive_hint(&headers), seconds, "{value}");
        }
    }
}
