//! One request: route → capture → forward → record. Read this first.

use std::cell::RefCell;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use tokio::time::MissedTickBehavior;

use crate::accept::{self, Bound, Connection, Workers};
use crate::capture::actions::ActionRules;
use crate::capture::{Rules, bot};
use crate::clock::Clock;
use crate::config::{Config, Live};
use crate::exchange::{AnswerBody, Books, Exchange};
use crate::forward::{
    Asker, Authority, Client, Fleet, Maintenance, Pages, Peer, Refusal, RequestBody, RequestIds,
    ResponseBody, Sending, Upgrade, Upstreams, fields, forwarded, head, http2, https, pages,
};
use crate::record::{Recorder, Recording};
use crate::route::Router;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::{Metrics, Reason};

/// How often a worker looks whether there is a newer snapshot when no request makes it look.
const KEEP_UP: Duration = Duration::from_secs(1);

/// What all workers go by: the configuration, and what was made of it once for all of them.
#[derive(Debug)]
pub struct Snapshot {
    config: Arc<Config>,
    router: Arc<Router>,
    rules: Arc<Rules>,
    actions: Arc<ActionRules>,
    fleet: Arc<Fleet>,
    maintenance: Maintenance,
}

impl Snapshot {
    /// Of a start. As [`Snapshot::next`] it must be called within the office's runtime, where servers are looked after.
    ///
    /// # Errors
    ///
    /// When authorities of upstreams' certificates cannot be read.
    pub fn new(config: &Arc<Config>, metrics: &Arc<Metrics>) -> io::Result<Self> {
        Self::after(None, config, metrics)
    }

    /// Of a reload: servers that stay where they are keep their connections and their standing.
    ///
    /// # Errors
    ///
    /// As of [`Snapshot::new`].
    pub fn next(&self, config: &Arc<Config>, metrics: &Arc<Metrics>) -> io::Result<Self> {
        Self::after(Some(&self.fleet), config, metrics)
    }

    fn after(fleet: Option<&Fleet>, config: &Arc<Config>, metrics: &Arc<Metrics>) -> io::Result<Self> {
        // Nothing else takes so long at the start, and not every request needs it: it is made beside.
        std::thread::Builder::new().name("bot-names".to_owned()).spawn(bot::prepare)?;
        Ok(Self {
            router: Arc::new(Router::new(config)),
            rules: Arc::new(Rules::new(&config.tracking)),
            actions: Arc::new(ActionRules::new(&config.actions, &config.tracking)),
            maintenance: Maintenance::watch(&config.proxy.maintenance),
            fleet: Fleet::start(&config.upstreams, metrics, fleet)?,
            config: Arc::clone(config),
        })
    }
}

/// Starts the workers that forward requests as `snapshot` says, and `config` where connections are taken.
///
/// # Errors
///
/// When a thread cannot be made.
pub fn start(
    bound: Bound,
    config: &Live<Config>,
    snapshot: &Live<Snapshot>,
    recording: Recording,
    access_log: Option<AccessLog>,
    metrics: &Arc<Metrics>,
) -> io::Result<Workers> {
    let (snapshot_of_all, metrics_of_all) = (snapshot.clone(), Arc::clone(metrics));
    accept::start(bound, config, metrics, move |clock| {
        let worker = Worker::start(&snapshot_of_all, &recording, access_log.clone(), &metrics_of_all, clock);
        let ending = Rc::clone(&worker);
        let answer = move |connection, request| worker.proxy().answer(connection, request);
        let end = async move {
            let proxy = ending.proxy();
            proxy.recorder.close().await;
            proxy.books.hand_over();
        };
        (answer, end)
    })
}

/// One worker, from snapshot to snapshot.
struct Worker {
    snapshot: Live<Snapshot>,
    proxy: RefCell<Rc<Proxy>>,
    access_log: Option<AccessLog>,
    metrics: Arc<Metrics>,
    clock: Rc<Clock>,
}

impl Worker {
    fn start(
        snapshot: &Live<Snapshot>,
        recording: &Recording,
        access_log: Option<AccessLog>,
        metrics: &Arc<Metrics>,
        clock: &Rc<Clock>,
    ) -> Rc<Self> {
        let now = snapshot.now();
        let upstreams = Upstreams::new(&now.fleet, None, metrics, clock);
        let recorder = Recorder::start(recording, &now.config.tracking, &now.rules, &now.actions, metrics);
        let worker = Rc::new(Self {
            snapshot: snapshot.clone(),
            proxy: RefCell::new(Proxy::new(now, upstreams, recorder, access_log.as_ref(), metrics, clock)),
            access_log,
            metrics: Arc::clone(metrics),
            clock: Rc::clone(clock),
        });
        tokio::task::spawn_local(Rc::clone(&worker).keep_up());
        worker
    }

    /// What answers a request that begins now.
    fn proxy(&self) -> Rc<Proxy> {
        let newest = self.snapshot.peek();
        let mut proxy = self.proxy.borrow_mut();
        if !Arc::ptr_eq(&newest, &proxy.snapshot) {
            *proxy = proxy.next(Arc::clone(&newest), self.access_log.as_ref(), &self.metrics, &self.clock);
        }
        Rc::clone(&proxy)
    }

    /// A worker without requests lets go of what a reload has replaced, too.
    async fn keep_up(self: Rc<Self>) {
        let mut interval = tokio::time::interval(KEEP_UP);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            self.proxy();
        }
    }
}

/// All that one worker needs to answer requests, by one snapshot: a request ends as it began.
struct Proxy {
    snapshot: Arc<Snapshot>,
    config: Arc<Config>,
    metrics: Arc<Metrics>,
    clock: Rc<Clock>,
    router: Arc<Router>,
    upstreams: Rc<Upstreams>,
    recorder: Rc<Recorder>,
    books: Rc<Books>,
    pages: Pages,
    request_ids: Option<RequestIds>,
}

impl Proxy {
    fn new(
        snapshot: Arc<Snapshot>,
        upstreams: Rc<Upstreams>,
        recorder: Rc<Recorder>,
        access_log: Option<&AccessLog>,
        metrics: &Arc<Metrics>,
        clock: &Rc<Clock>,
    ) -> Rc<Self> {
        tokio::task::spawn_local(Upstreams::close_stale_connections(Rc::downgrade(&upstreams)));
        let config = &snapshot.config;
        Rc::new(Proxy {
            books: Books::open(config, &snapshot.router, metrics, access_log),
            pages: Pages::new(&config.proxy.error_pages),
            request_ids: config.proxy.request_id_header.clone().map(RequestIds::new),
            config: Arc::clone(config),
            metrics: Arc::clone(metrics),
            clock: Rc::clone(clock),
            router: Arc::clone(&snapshot.router),
            snapshot,
            upstreams,
            recorder,
        })
    }

    fn next(
        &self,
        to: Arc<Snapshot>,
        access_log: Option<&AccessLog>,
        metrics: &Arc<Metrics>,
        clock: &Rc<Clock>,
    ) -> Rc<Self> {
        let upstreams = Upstreams::new(&to.fleet, Some(&self.upstreams), metrics, clock);
        let recorder = self.recorder.next(&to.config.tracking, &to.rules, &to.actions);
        Proxy::new(to, upstreams, recorder, access_log, metrics, clock)
    }

    fn answer(
        self: Rc<Self>,
        connection: Rc<Connection>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<AnswerBody>> {
        let (mut head, body) = request.into_parts();
        let body = self.request_body(body, &connection);
        let mut exchange = Exchange::begin(&self.books, connection.peer(), &head, body.received());
        exchange.wants_json = self.pages.wants_json(&head.headers);
        if let Some(ids) = &self.request_ids {
            exchange.request_id = Some(ids.id_of(&head.headers, connection.peer().trusted));
        }
        async move {
            let mut response = match self.forward(&connection, &mut head, body, &mut exchange).await {
                Ok(response) => response,
                Err(refusal) => self.refuse(&refusal, &mut exchange),
            };
            if let (Some(ids), Some(id)) = (&self.request_ids, &exchange.request_id) {
                ids.tell_client(response.headers_mut(), id);
            }
            if exchange.awaits_body() {
                // What is still to come may never be read: no other request should be sent behind it.
                connection.unread().set(true);
            }
            if !matches!(response.body(), ResponseBody::Tunnel(_)) {
                return exchange.answer(response);
            }
            let (head, body) = response.into_parts();
            if let ResponseBody::Tunnel(tunnel) = body {
                connection.switch_to(exchange.go_on_as(tunnel));
            }
            Response::from_parts(head, AnswerBody::nothing())
        }
    }

    /// The story of a request that goes well.
    async fn forward(
        &self,
        connection: &Connection,
        head: &mut Parts,
        mut body: RequestBody,
        exchange: &mut Exchange,
    ) -> Result<Response<ResponseBody>, Refusal> {
        let spelling = connection.take_spelling();
        if let Some(refused) = connection.take_refused(head) {
            exchange.note_refused(refused.line, refused.bytes);
            return Err(refused.refusal);
        }
        if self.is_health_check(head) {
            exchange.note_reason("health");
            return Ok(pages::text(StatusCode::OK, "ok"));
        }
        if let Some(answer) = self.link_for_staff(head) {
            return Ok(answer);
        }
        let limits = &self.config.proxy.limits;
        if head.version == Version::HTTP_2 {
            let fitting = http2::as_http1(head, !body.is_empty(), limits);
            exchange.note_host(&head.headers);
            fitting?;
        }
        let authority = head::check(head, limits)?;
        let upgrade = Upgrade::asked(head)?;
        let route = self.router.find(&authority.host(), head.uri.path());
        let Config { proxy, .. } = &*self.config;
        // Who is trusted may have changed since the connection began.
        let peer = &*connection.peer().under(&proxy.trusted_proxies);
        let client = forwarded::client(&head.headers, peer, &proxy.trusted_proxies, proxy.forwarded);
        exchange.note_way(route, client);

        if let Some(redirect) = self.redirect_to_https(head, &authority, client, connection)? {
            return Ok(redirect);
        }

        let mut watch = self.recorder.watch(head, route, client);
        if let Some(reader) = watch.reader() {
            body.copy_to(reader);
        }

        let said_from = fields::clean_request(&mut head.headers, peer.trusted);
        self.note_undeclared_proxy(said_from, peer);
        let stripped = self.recorder.strip(head, route);
        watch.note_forwarded(&head.uri);
        forwarded::tell(&mut head.headers, peer, client, &authority, proxy.forwarded);
        if let (Some(ids), Some(id)) = (&self.request_ids, &exchange.request_id) {
            ids.tell_upstream(&mut head.headers, id);
        }
        watch.tell_upstream(&mut head.headers);
        if let Some(upgrade) = &upgrade {
            upgrade.ask(&mut head.headers);
        }

        let maintenance = &self.snapshot.maintenance;
        let answer = if maintenance.is_closed_to(client.address) {
            Err(Refusal::Maintenance(maintenance.retry_after))
        } else {
            let sending = Sending {
                timeouts: &route.timeouts,
                https: client.https,
                spelling,
                passage: &mut exchange.passage,
            };
            let head = std::mem::replace(head, Request::new(()).into_parts().0);
            let mut request = Request::from_parts(head, body);
            self.upstreams.send(route.upstream, &mut request, sending).await
        };
        let mut response = match answer {
            Ok(mut response) => {
                fields::clean_response(&mut response);
                response
            }
            Err(refusal) => {
                if refusal.is_upstreams() {
                    self.upstreams.complain(route.upstream, &refusal);
                }
                self.refuse(&refusal, exchange)
            }
        };
        if let Some(target) = stripped {
            let serves = |host: &str| self.router.serves(host);
            self.recorder.restore(&target, route, &authority.host(), serves, &mut response);
        }
        exchange.late = watch.conclude(&mut response).await;
        Ok(response)
    }

    /// With `redirect_http`, what comes over http gets no further: it comes again, over https, and is recorded then.
    fn redirect_to_https(
        &self,
        head: &Parts,
        authority: &Authority,
        client: Client,
        connection: &Connection,
    ) -> Result<Option<Response<ResponseBody>>, Refusal> {
        let proxy = &self.config.proxy;
        let encrypted = proxy.tls_listen.first().filter(|_| proxy.redirect_http && !client.https);
        let Some(encrypted) = encrypted else { return Ok(None) };
        https::redirect(head, authority, connection.local(), encrypted.port()).map(Some)
    }

    fn request_body(&self, body: Incoming, connection: &Connection) -> RequestBody {
        let proxy = &self.config.proxy;
        RequestBody::new(
            body,
            proxy.limits.body_bytes,
            proxy.timeouts.body_idle,
            &self.clock,
            connection.unread(),
        )
    }

    fn is_health_check(&self, head: &Parts) -> bool {
        self.config.proxy.health_path.as_deref().is_some_and(|path| path == head.uri.path())
    }

    /// `tracking.exclude.link`: gives this browser the cookie by which it is excluded, and takes it away with `?off`.
    fn link_for_staff(&self, head: &Parts) -> Option<Response<ResponseBody>> {
        let link = self.config.tracking.exclude.link.as_deref()?;
        if link != head.uri.path() || head.method != Method::GET {
            return None;
        }
        let (text, line) = if head.uri.query() == Some("off") {
            ("This browser is counted again.\n", "_utmd_off=; Path=/; Max-Age=0; SameSite=Lax")
        } else {
            ("This browser is not counted.\n", "_utmd_off=1; Path=/; Max-Age=34560000; SameSite=Lax")
        };
        let mut response = pages::text(StatusCode::OK, text);
        response.headers_mut().insert(header::SET_COOKIE, HeaderValue::from_static(line));
        Some(response)
    }

    /// Behind a proxy that is not declared the shop sees one visitor and no https: say once how to declare it.
    fn note_undeclared_proxy(&self, said_from: bool, peer: &Peer) {
        if !said_from || peer.trusted || !is_private(peer.address) {
            return;
        }
        if !self.metrics.state.undeclared_proxy.swap(true, Ordering::Relaxed) {
            let mut trusted: Vec<String> =
                self.config.proxy.trusted_proxies.iter().map(|network| format!("\"{network}\"")).collect();
            trusted.push(format!("\"{}\"", peer.address));
            let trusted = trusted.join(", ");
            tracing::warn!(
                "forwarding headers of a private address that is not declared were ignored; if this is your own \
                 proxy, write into [proxy]: trusted_proxies = [{trusted}]"
            );
        }
    }

    fn refuse(&self, refusal: &Refusal, exchange: &mut Exchange) -> Response<ResponseBody> {
        if let Refusal::ClientGone = refusal {
            return refusal.respond(&self.pages, Asker::default());
        }
        exchange.note_reason(refusal.reason());
        let reason = Reason { reason: refusal.reason() };
        if refusal.is_upstreams() {
            self.metrics.upstream_errors.get_or_create(&reason).inc();
        } else {
            self.metrics.requests_refused.get_or_create(&reason).inc();
        }
        let asker = Asker { request_id: exchange.request_id.as_ref(), wants_json: exchange.wants_json };
        refusal.respond(&self.pages, asker)
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private() || address.is_loopback() || address.is_link_local(),
        IpAddr::V6(address) => {
            address.is_unique_local() || address.is_loopback() || address.is_unicast_link_local()
        }
    }
}
