//! From an accepted socket to served requests, on one worker.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio_rustls::server::TlsStream;

use super::bind::Kind;
use super::connection::{Answer, Connection, Phase};
use super::gate::Gate;
use super::http2;
use super::proxy_header;
use super::seats::Seats;
use super::stream::ClientStream;
use super::tls::{Certificates, speaks_http2};
use crate::clock::Clock;
use crate::config::{self, Config, Limits, Live};
use crate::forward::{Asker, Pages, Peer, Socket};
use crate::telemetry::metrics::{Metrics, Reason};

/// Room for method, version and line ends beside header fields and target.
const HEAD_SLACK_BYTES: usize = 1024;
/// Least buffer that hyper takes.
const LEAST_BUFFER_BYTES: usize = 8192;
/// What is still read from a client to whom nobody listens any more.
const LINGER_BYTES: usize = 1 << 20;
/// How long that is done, and how long while nothing comes.
const LINGER_TIME: Duration = Duration::from_secs(30);
const LINGER_SILENCE: Duration = Duration::from_secs(2);
/// Pause after `accept` failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Longest page for a connection that is refused: what fits into an empty socket buffer, and into what is sent before the first
/// acknowledgement.
const REFUSAL_BYTES: usize = 12 << 10;

/// What all connections of one worker share.
pub(super) struct Server<H> {
    config: Live<Config>,
    terms: RefCell<Rc<Terms>>,
    metrics: Arc<Metrics>,
    clock: Rc<Clock>,
    handler: H,
    /// Connections of all workers.
    open_in_all: Arc<AtomicUsize>,
    /// Connections of all workers by client.
    seats: Arc<Seats>,
    certificates: Arc<Certificates>,
    /// Connections of this worker.
    open: Cell<usize>,
    all_closed: Notify,
    draining: Rc<Cell<bool>>,
}

/// What a connection is served by from its beginning to its end, whatever is reloaded meanwhile.
struct Terms {
    config: Arc<Config>,
    http: http1::Builder,
    /// What is answered where there are `max_connections`.
    full: Bytes,
    /// What is answered to a client with `connections_per_ip`.
    full_of_client: Bytes,
}

impl Terms {
    fn new(config: Arc<Config>) -> Rc<Self> {
        let pages = Pages::new(&config.proxy.error_pages);
        Rc::new(Terms {
            http: http(config.proxy.limits),
            full: too_many_connections(&pages, StatusCode::SERVICE_UNAVAILABLE),
            full_of_client: too_many_connections(&pages, StatusCode::TOO_MANY_REQUESTS),
            config,
        })
    }
}

/// The answer to a connection that is not served, in full: nothing of its request is read.
fn too_many_connections(pages: &Pages, status: StatusCode) -> Bytes {
    let page = pages.page(status, Asker::default()).filter(|(_, text)| text.len() <= REFUSAL_BYTES);
    let (media_type, text) = page.unwrap_or_else(|| {
        (HeaderValue::from_static("text/plain"), Bytes::from_static(b"too many connections\n"))
    });
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {}\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
         retry-after: 1\r\nconnection: close\r\n\r\n",
        media_type.to_str().unwrap_or_default(),
        text.len()
    );
    [head.as_bytes(), &text].concat().into()
}

fn http(limits: Limits) -> http1::Builder {
    let head_bytes = limits.header_bytes + limits.uri_bytes + HEAD_SLACK_BYTES;
    let mut http = http1::Builder::new();
    // No timer: the socket keeps the times, see `ClientStream`.
    http.auto_date_header(false)
        .half_close(false)
        .max_header_size(head_bytes)
        .max_buf_size(head_bytes.max(LEAST_BUFFER_BYTES));
    // Up to 100 fields hyper parses on the stack.
    if limits.headers != 100 {
        http.max_headers(limits.headers);
    }
    http
}

impl<H> Server<H> {
    pub(super) fn new(
        config: Live<Config>,
        metrics: Arc<Metrics>,
        open_in_all: Arc<AtomicUsize>,
        seats: Arc<Seats>,
        certificates: Arc<Certificates>,
        clock: Rc<Clock>,
        handler: H,
    ) -> Rc<Self> {
        let (open, draining) = (Cell::new(0), Rc::default());
        Rc::new(Server {
            terms: RefCell::new(Terms::new(config.now())),
            config,
            metrics,
            clock,
            handler,
            open_in_all,
            seats,
            certificates,
            open,
            all_closed: Notify::new(),
            draining,
        })
    }

    /// The terms of a connection that begins now.
    fn terms(&self) -> Rc<Terms> {
        let newest = self.config.peek();
        let mut terms = self.terms.borrow_mut();
        if !Arc::ptr_eq(&newest, &terms.config) {
            *terms = Terms::new(Arc::clone(&newest));
        }
        Rc::clone(&terms)
    }

    pub(super) fn clock(&self) -> &Rc<Clock> {
        &self.clock
    }

    /// From now on answers say `Connection: close`, and silent connections end.
    pub(super) fn begin_drain(&self) {
        self.draining.set(true);
        self.clock.wake_all();
    }

    /// Waits until the last connection has ended or `drain_timeout` has passed.
    pub(super) async fn drained(&self) {
        let all_closed = async {
            while self.open.get() > 0 {
                self.all_closed.notified().await;
            }
        };
        if tokio::time::timeout(self.config.now().proxy.drain_timeout, all_closed).await.is_err() {
            tracing::warn!(open = self.open.get(), "requests were cut off at the end of drain_timeout");
        }
    }
}

impl<H, F, B> Server<H>
where
    H: Fn(Rc<Connection>, Request<Incoming>) -> F + 'static,
    F: Future<Output = Response<B>> + 'static,
    B: Body + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    /// Takes connections until the worker drains, then those that the kernel has taken already.
    pub(super) async fn take_connections(
        self: Rc<Self>,
        listener: TcpListener,
        kind: Kind,
        mut drain_seen: watch::Receiver<bool>,
    ) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = drain_seen.wait_for(|drain| *drain) => break,
            };
            match accepted {
                Ok((tcp, peer)) => self.admit(tcp, peer, kind),
                Err(error) => pause_after(&error).await,
            }
        }
        // Whoever is in the queue has been told "connected"; a request may be on its way.
        self.draining.set(true);
        let Ok(queue) = listener.into_std() else { return };
        while let Ok((tcp, peer)) = queue.accept() {
            if tcp.set_nonblocking(true).is_ok()
                && let Ok(tcp) = TcpStream::from_std(tcp)
            {
                self.admit(tcp, peer, kind);
            }
        }
    }

    fn admit(self: &Rc<Self>, tcp: TcpStream, peer: SocketAddr, kind: Kind) {
        self.metrics.connections.inc();
        let place = Place::take(self);
        let terms = self.terms();
        if self.open_in_all.load(Ordering::Relaxed) > terms.config.proxy.max_connections {
            return self.refuse(&tcp, kind, "too_many_connections", &terms.full);
        }
        tokio::task::spawn_local(Rc::clone(self).serve(tcp, peer.ip(), kind, terms, place));
    }

    /// Refuses a connection. As much of the answer is sent as fits into an empty socket buffer, which is all of it; nobody
    /// is waited for.
    fn refuse(&self, tcp: &TcpStream, kind: Kind, reason: &'static str, answer: &[u8]) {
        self.metrics.requests_refused.get_or_create(&Reason { reason }).inc();
        if kind == Kind::Plain {
            let _ = tcp.try_write(answer);
        }
    }

    async fn serve(
        self: Rc<Self>,
        mut tcp: TcpStream,
        peer: IpAddr,
        kind: Kind,
        terms: Rc<Terms>,
        _place: Place<H>,
    ) {
        let proxy = &terms.config.proxy;
        let Ok(local) = tcp.local_addr() else { return };
        // Without it the answer's last packet may wait for the client's acknowledgement; not worth failing for.
        let _ = tcp.set_nodelay(true);
        let Some(client) = self.client(proxy, &mut tcp, peer).await else { return };
        let peer = Peer::new(client, &proxy.trusted_proxies, kind == Kind::Tls);
        let Some(_seat) = self.seats.take_seat(&peer, proxy.limits.connections_per_ip) else {
            let reason = "too_many_connections_of_client";
            return self.refuse(&tcp, kind, reason, &terms.full_of_client);
        };
        let connection = Connection::new(peer, local, proxy.timeouts, &self.clock, Rc::clone(&self.draining));
        let socket = match kind {
            Kind::Plain => Socket::Plain(tcp),
            Kind::Tls => {
                let Some(tls) = self.encrypt(proxy, tcp, &connection).await else { return };
                let is_http2 = speaks_http2(&tls);
                let socket = Socket::Tls(Box::new(tls.into()));
                if is_http2 {
                    return self.serve_http2(proxy, &connection, socket).await;
                }
                socket
            }
        };
        self.serve_http1(&terms, &connection, socket).await;
    }

    /// Who is at the other end: the peer, or what the load balancer says with the PROXY protocol.
    async fn client(&self, proxy: &config::Proxy, tcp: &mut TcpStream, peer: IpAddr) -> Option<IpAddr> {
        let peer = peer.to_canonical();
        if !proxy.proxy_protocol {
            return Some(peer);
        }
        if !proxy.trusted_proxies.iter().any(|network| network.contains(&peer)) {
            self.refuse_connection("proxy_header_untrusted");
            return None;
        }
        let reading = proxy_header::read(tcp);
        let reason = match tokio::time::timeout(proxy.timeouts.first_byte, reading).await {
            Ok(Ok(client)) => return Some(client.unwrap_or(peer)),
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => "proxy_header_malformed",
            Ok(Err(_)) => "proxy_header_closed",
            Err(_) => "proxy_header_timeout",
        };
        self.refuse_connection(reason);
        None
    }

    /// The handshake. Until the first byte comes, a connection is only its socket.
    async fn encrypt(
        &self,
        proxy: &config::Proxy,
        tcp: TcpStream,
        connection: &Connection,
    ) -> Option<TlsStream<TcpStream>> {
        let speaks = poll_fn(|context| {
            let mut first = [0];
            match tcp.poll_peek(context, &mut ReadBuf::new(&mut first)) {
                Poll::Ready(outcome) => Poll::Ready(outcome.is_ok_and(|count| count > 0)),
                Poll::Pending => connection.poll_patience(context).map(|()| false),
            }
        });
        if !speaks.await {
            return None;
        }
        let handshake = Box::pin(self.certificates.handshake(tcp));
        let reason = match tokio::time::timeout(proxy.timeouts.header, handshake).await {
            Ok(Ok(tls)) => return Some(tls),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a TLS handshake failed");
                if error.kind() == io::ErrorKind::UnexpectedEof { "tls_closed" } else { "tls_handshake" }
            }
            Err(_) => "tls_timeout",
        };
        self.refuse_connection(reason);
        None
    }

    fn refuse_connection(&self, reason: &'static str) {
        self.metrics.connections_refused.get_or_create(&Reason { reason }).inc();
    }

    async fn serve_http2(&self, proxy: &config::Proxy, connection: &Rc<Connection>, socket: Socket) {
        connection.enter(Phase::Serving);
        let serving = http2::serve(connection, socket, proxy, &self.clock, &self.handler);
        match Box::pin(serving).await {
            Ok(socket) => close(socket, true).await,
            Err(error) => tracing::debug!(%error, "a client connection ended early"),
        }
    }

    async fn serve_http1(&self, terms: &Terms, connection: &Rc<Connection>, socket: Socket) {
        let send_idle = terms.config.proxy.timeouts.response_idle;
        let gate = Gate::new(terms.config.proxy.limits, self.metrics.targets_escaped.clone());
        let mut stream = ClientStream::new(socket, Rc::clone(connection), gate, send_idle, &self.clock);
        // A silent connection is only its socket: hyper's buffers are made when a client speaks, and go when it rests.
        while stream.has_something_to_say().await {
            let service = service_fn(|request| self.answer(Rc::clone(connection), request));
            let mut serving = Box::new(terms.http.serve_connection(TokioIo::new(stream), service));
            // With the shutdown that the stream ignores: without one, hyper leaves what a slow client has not taken.
            if let Err(error) = poll_fn(|context| Pin::new(&mut *serving).poll(context)).await {
                // The client went away or sent what is no HTTP; hyper has answered where it could.
                return tracing::debug!(%error, "a client connection ended early");
            }
            let parts = serving.into_parts();
            let leftover = parts.read_buf;
            stream = parts.io.into_inner();
            if let Some(tunnel) = connection.take_tunnel() {
                let idle = terms.config.proxy.timeouts.tunnel_idle;
                stream.set_send_idle(idle);
                tunnel.run(&mut stream, leftover, idle, &self.clock).await;
                // Whatever the client still says is of no interest.
                connection.unread().set(true);
                break;
            }
            if !connection.is_resting() {
                break;
            }
        }
        close(stream.into_socket(), connection.unread().get()).await;
    }

    fn answer(
        &self,
        connection: Rc<Connection>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Answer<B>>, Infallible>> + use<H, F, B> {
        connection.enter(Phase::Serving);
        let is_http_10 = request.version() == Version::HTTP_10;
        // In a box of its own: hyper keeps room for the future as long as it serves the connection.
        let answer = Box::pin((self.handler)(Rc::clone(&connection), request));
        async move {
            let mut response = answer.await;
            // A connection that becomes a tunnel says so in this field, and does not end.
            let is_switch = response.status() == StatusCode::SWITCHING_PROTOCOLS;
            if (connection.is_draining() || connection.unread().get()) && !is_switch {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            if is_http_10 && response.body().size_hint().exact().is_none() {
                connection.begin_endless_answer();
            }
            Ok(response.map(|body| Answer { body, connection }))
        }
    }
}

/// A connection's place in the counts.
struct Place<H> {
    server: Rc<Server<H>>,
}

impl<H> Place<H> {
    fn take(server: &Rc<Server<H>>) -> Self {
        server.open.set(server.open.get() + 1);
        server.open_in_all.fetch_add(1, Ordering::Relaxed);
        server.metrics.connections_open.inc();
        Place { server: Rc::clone(server) }
    }
}

impl<H> Drop for Place<H> {
    fn drop(&mut self) {
        let server = &self.server;
        server.open.set(server.open.get() - 1);
        server.open_in_all.fetch_sub(1, Ordering::Relaxed);
        server.metrics.connections_open.dec();
        if server.open.get() == 0 {
            server.all_closed.notify_one();
        }
    }
}

/// Ends a connection. A client that still sends must be listened to: closing at once would reset the connection and could
/// take the answer from it (RFC 9112 section 9.6).
async fn close(mut socket: Socket, unread: bool) {
    // An encrypted connection has something to say at its end, which the client may not take.
    let _ = tokio::time::timeout(LINGER_SILENCE, socket.shutdown()).await;
    if !unread {
        return;
    }
    let discard = async {
        let mut buffer = vec![0; 16 * 1024];
        let mut read = 0;
        while read < LINGER_BYTES {
            match tokio::time::timeout(LINGER_SILENCE, socket.tcp().read(&mut buffer)).await {
                Err(_) | Ok(Ok(0) | Err(_)) => return,
                Ok(Ok(count)) => read += count,
            }
        }
    };
    let _ = tokio::time::timeout(LINGER_TIME, discard).await;
}

/// Errors of the connection itself need no pause; want of descriptors or memory does, or the loop would spin.
async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    if !matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
        tracing::warn!(%error, "connections cannot be taken at the moment");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}
