//! One request and its answer, from the head of the one to the last byte of the other: what of them is counted and
//! logged, whatever becomes of them.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};

use crate::accept::RequestLine;
use crate::capture::{CLIENT_CLOSED_REQUEST, mask};
use crate::clock::unix_ms;
use crate::config::Config;
use crate::forward::{BodyError, Client, Passage, Passed, Peer, Received, ResponseBody, Tunnel, fields};
use crate::record::Late;
use crate::route::{NO_ROUTE, Route, Router};
use crate::telemetry::access_log::{AccessLog, End, Entry, HAND_OVER_AFTER, Pen, UpstreamPart};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traffic::Meter;

/// What one worker counts and logs its exchanges with.
#[derive(Debug)]
pub struct Books {
    meter: Meter,
    pen: Option<Pen>,
    /// By number of the route.
    places: Vec<Place>,
}

/// What the log says of a route.
#[derive(Debug)]
struct Place {
    route: String,
    site: Arc<str>,
    upstream: String,
}

impl Books {
    /// To be called on the worker's own thread, within its runtime.
    pub fn open(
        config: &Config,
        router: &Router,
        metrics: &Metrics,
        access_log: Option<&AccessLog>,
    ) -> Rc<Self> {
        let mut labels = router.labels().into_iter();
        let nowhere =
            Place { route: labels.next().unwrap_or_default(), site: "".into(), upstream: String::new() };
        let place = |(route, label): (&Route, String)| Place {
            route: label,
            site: Arc::clone(&route.site),
            upstream: config
                .upstreams
                .get(route.upstream)
                .map_or_else(String::new, |known| known.name.clone()),
        };
        let places = [nowhere].into_iter().chain(router.routes().zip(labels).map(place)).collect();
        let books = Rc::new(Books {
            meter: metrics.traffic.open(router.labels()),
            pen: access_log.map(AccessLog::pen),
            places,
        });
        if books.pen.is_some() {
            let weak = Rc::downgrade(&books);
            tokio::task::spawn_local(async move {
                let mut interval = tokio::time::interval(HAND_OVER_AFTER);
                loop {
                    interval.tick().await;
                    let Some(books) = weak.upgrade() else { return };
                    books.hand_over();
                }
            });
        }
        books
    }

    /// Hands over the lines that are gathered.
    pub fn hand_over(&self) {
        if let Some(pen) = &self.pen {
            pen.hand_over();
        }
    }
}

/// An exchange under way. It is told of when it is dropped: with the future that answers, if the client goes away
/// before the head of the answer is there; else with the answer's body, which it holds. It stays in one place from
/// beginning to end: hyper moves answers about.
#[derive(Debug)]
pub struct Exchange {
    books: Rc<Books>,
    begun_at: Instant,
    /// How much of its body has come.
    received: Received,
    /// Number of its route.
    route: usize,
    /// Its way to an upstream.
    pub passage: Passage,
    /// Its id, where requests have one.
    pub request_id: Option<HeaderValue>,
    /// Whether who asks would rather have JSON than a page.
    pub wants_json: bool,
    /// The answer's body; nothing while there is no answer.
    body: ResponseBody,
    /// What the answer's body is read for; none when that is done.
    pub late: Option<Box<Late>>,
    /// Of the answer; none while there is none.
    status: Option<u16>,
    /// Why the proxy answers itself.
    reason: Option<&'static str>,
    /// Of the answer's body.
    sent_bytes: u64,
    /// Whether the answer's end has come, and how; none while it has not.
    end: Option<End>,
    /// What the protocol has passed on that was switched to.
    passed: Option<Rc<Passed>>,
    /// Only where there is a log.
    facts: Option<Facts>,
}

/// What the log says of a request; taken by reference count.
#[derive(Debug)]
struct Facts {
    /// None of what is no request.
    method: Option<Method>,
    target: Option<PathAndQuery>,
    version: Version,
    client: Client,
    head_bytes: usize,
    host: Option<HeaderValue>,
    referer: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
}

impl Exchange {
    /// A request's head is there.
    pub fn begin(books: &Rc<Books>, peer: &Peer, head: &Parts, received: Received) -> Box<Self> {
        books.meter.begin();
        Box::new(Exchange {
            books: Rc::clone(books),
            begun_at: Instant::now(),
            received,
            route: NO_ROUTE,
            passage: Passage::default(),
            request_id: None,
            wants_json: false,
            body: ResponseBody::Empty,
            late: None,
            status: None,
            reason: None,
            sent_bytes: 0,
            end: None,
            passed: None,
            facts: books.pen.is_some().then(|| Facts::of(peer, head)),
        })
    }

    /// Whether some of the request is still to come.
    pub fn awaits_body(&self) -> bool {
        !self.received.is_over()
    }

    /// It goes this way, and is this client's.
    pub fn note_way(&mut self, route: &Route, client: Client) {
        self.route = route.number;
        if let Some(facts) = &mut self.facts {
            facts.client = client;
        }
    }

    /// It stands in for what is no request, of which so many bytes had come, and which began with this line, if with any.
    pub fn note_refused(&mut self, line: Option<RequestLine>, bytes: usize) {
        if let Some(facts) = &mut self.facts {
            (facts.method, facts.target, facts.head_bytes) = (None, None, bytes);
            if let Some(RequestLine { method, path, version }) = line {
                (facts.method, facts.target, facts.version) = (Some(method), path, version);
            }
        }
    }

    /// Its `Host` has become known.
    pub fn note_host(&mut self, headers: &HeaderMap) {
        if let Some(facts) = &mut self.facts {
            facts.host = headers.get(header::HOST).cloned();
        }
    }

    /// The proxy answers it itself.
    pub fn note_reason(&mut self, reason: &'static str) {
        self.reason = Some(reason);
    }

    /// The head of the answer goes out; the exchange lasts as long as its body.
    pub fn answer(mut self: Box<Self>, response: Response<ResponseBody>) -> Response<AnswerBody> {
        self.note_status(response.status().as_u16());
        let is_to_head = self.facts.as_ref().is_some_and(|facts| facts.method == Some(Method::HEAD));
        if response.status().as_u16() == CLIENT_CLOSED_REQUEST {
            self.end = Some(End::ClientGone);
        } else if is_to_head || response.body().is_end_stream() {
            self.end = Some(End::Complete);
        }
        response.map(|body| {
            self.body = body;
            AnswerBody(Some(self))
        })
    }

    /// The answer is 101: the exchange lasts as long as the tunnel.
    pub fn go_on_as(mut self: Box<Self>, mut tunnel: Box<Tunnel>) -> Box<Tunnel> {
        self.note_status(StatusCode::SWITCHING_PROTOCOLS.as_u16());
        self.end = Some(End::Complete);
        self.passed = Some(tunnel.passed());
        tunnel.keep(self);
        tunnel
    }

    /// What comes next of the answer's body. Where it is read, its end waits until what it told of is recorded, no longer
    /// than the journal lets a response wait.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(late) = &mut self.late else { return Pin::new(&mut self.body).poll_frame(context) };
        let frame = match late.held.take() {
            Some(frame) => frame,
            None => {
                let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
                if let Some(Ok(frame)) = &frame
                    && let Some(data) = frame.data_ref()
                {
                    late.take(data);
                }
                frame
            }
        };
        let is_last = match &frame {
            Some(Ok(_)) => self.body.is_end_stream(),
            Some(Err(_)) | None => true,
        };
        if !is_last {
            late.step();
            return Poll::Ready(frame);
        }
        if !matches!(frame, Some(Err(_))) {
            late.end();
        }
        if late.poll_recorded(context).is_pending() {
            late.held = Some(frame);
            return Poll::Pending;
        }
        self.late = None;
        Poll::Ready(frame)
    }

    /// What has come behind its head.
    fn received_bytes(&self) -> u64 {
        self.received.bytes() + self.passed.as_ref().map_or(0, |passed| passed.up.get())
    }

    fn note_status(&mut self, status: u16) {
        self.status = Some(status);
        self.books.meter.answer(status);
    }

    fn log(&self, pen: &Pen, facts: &Facts, status: u16, now: Instant) {
        // A reset token in a log opens the account as well as one in a database.
        let path = mask::path(facts.target.as_ref().map_or("", PathAndQuery::path));
        let query = facts.target.as_ref().and_then(PathAndQuery::query).unwrap_or_default();
        let place = self.books.places.get(self.route);
        let upstream = self.passage.server().map(|server| UpstreamPart {
            name: place.map_or("", |place| &place.upstream),
            server,
            connect: self.passage.connect,
            header: self.passage.header,
            total: self.passage.sent_at.map(|sent_at| now - sent_at),
            answered: self.passage.header.is_some(),
            retries: self.passage.retries,
        });
        pen.write(&Entry {
            at_ms: unix_ms(),
            client: facts.client.address,
            https: facts.client.https,
            method: facts.method.as_ref().map_or("", Method::as_str),
            path: &path,
            query_bytes: query.len(),
            version: facts.version,
            host: bytes_of(&facts.host),
            referer: bytes_of(&facts.referer),
            user_agent: bytes_of(&facts.user_agent),
            status,
            request_bytes: facts.head_bytes as u64 + self.received_bytes(),
            sent_bytes: self.sent_bytes,
            time: now - self.begun_at,
            upstream,
            request_id: bytes_of(&self.request_id),
            site: place.map_or("", |place| &place.site),
            route: place.map_or("", |place| &place.route),
            reason: self.reason,
            end: self.end.unwrap_or(End::ClientGone),
        });
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(passed) = &self.passed {
            self.sent_bytes = passed.down.get();
            self.books.meter.send(self.sent_bytes);
        }
        if self.status.is_none() {
            self.note_status(CLIENT_CLOSED_REQUEST);
        }
        let status = self.status.unwrap_or(CLIENT_CLOSED_REQUEST);
        let (header, received) = (self.passage.header, self.received_bytes());
        let now = Instant::now();
        self.books.meter.end(self.route, status, now - self.begun_at, header, received);
        if let (Some(pen), Some(facts)) = (&self.books.pen, &self.facts) {
            self.log(pen, facts, status, now);
        }
    }
}

impl Facts {
    fn of(peer: &Peer, head: &Parts) -> Self {
        let field = |name: &header::HeaderName| head.headers.get(name).cloned();
        Facts {
            method: Some(head.method.clone()),
            target: head.uri.path_and_query().cloned(),
            version: head.version,
            client: Client { address: peer.address, https: peer.https },
            head_bytes: head_bytes(head),
            host: field(&header::HOST),
            referer: field(&header::REFERER),
            user_agent: field(&header::USER_AGENT),
        }
    }
}

/// Bytes of a head in HTTP/1.1, blanks around values aside.
fn head_bytes(head: &Parts) -> usize {
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let line = head.method.as_str().len() + " ".len() + target + " HTTP/1.1\r\n".len();
    line + fields::lines_bytes(&head.headers) + "\r\n".len()
}

fn bytes_of(value: &Option<HeaderValue>) -> &[u8] {
    value.as_ref().map_or(&[], HeaderValue::as_bytes)
}

/// The body of an answer, with the exchange that ends with it; none where that has become a tunnel.
#[derive(Debug)]
pub struct AnswerBody(Option<Box<Exchange>>);

impl AnswerBody {
    /// Of an answer that has no body and ends no exchange.
    pub fn nothing() -> Self {
        AnswerBody(None)
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(exchange) = &mut self.0 else { return Poll::Ready(None) };
        let frame = ready!(exchange.poll_next(context));
        match &frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                exchange.sent_bytes += bytes as u64;
                exchange.books.meter.send(bytes as u64);
                if exchange.body.is_end_stream() {
                    exchange.end = Some(End::Complete);
                }
            }
            Some(Err(_)) => exchange.end = Some(End::UpstreamTruncated),
            None => exchange.end = Some(End::Complete),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|exchange| {
            exchange.late.as_ref().is_none_or(|late| late.held.is_none()) && exchange.body.is_end_stream()
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or(SizeHint::with_exact(0), |exchange| exchange.body.size_hint())
    }
}
