//! One request: route → capture → forward → record. Read this first.

use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::request::Parts;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::accept::{self, Bound, Connection, Workers};
use crate::clock::Clock;
use crate::config::Config;
use crate::exchange::{AnswerBody, Exchange};
use crate::forward::{
    self, Peer, Refusal, RequestBody, ResponseBody, Standing, Upstreams, fields, forwarded, head,
};
use crate::record::{Recorder, Recording};
use crate::route::Router;
use crate::telemetry::causes::Causes;
use crate::telemetry::metrics::{Metrics, Reason};
use crate::telemetry::traffic::Meter;

/// Starts the workers that forward requests as `config` says.
///
/// # Errors
///
/// When a thread cannot be made.
pub fn start(
    bound: Bound,
    config: &Arc<Config>,
    recording: Recording,
    metrics: &Arc<Metrics>,
) -> io::Result<Workers> {
    let (config_of_all, metrics_of_all) = (Arc::clone(config), Arc::clone(metrics));
    let standings = Standing::of_all(&config.upstreams, metrics);
    accept::start(bound, &config.proxy, metrics, move |clock| {
        let proxy = Proxy::new(&config_of_all, &standings, &recording, &metrics_of_all, clock);
        let recorder = Rc::clone(&proxy.recorder);
        let answer = move |connection, request| Rc::clone(&proxy).answer(connection, request);
        (answer, async move { recorder.close().await })
    })
}

/// All that one worker needs to answer requests.
struct Proxy {
    config: Arc<Config>,
    metrics: Arc<Metrics>,
    clock: Rc<Clock>,
    router: Router,
    upstreams: Rc<Upstreams>,
    recorder: Rc<Recorder>,
    meter: Rc<Meter>,
}

impl Proxy {
    fn new(
        config: &Arc<Config>,
        standings: &[Arc<Standing>],
        recording: &Recording,
        metrics: &Arc<Metrics>,
        clock: &Rc<Clock>,
    ) -> Rc<Self> {
        let timeouts = config.proxy.timeouts;
        let upstreams = Upstreams::new(&config.upstreams, standings, timeouts, metrics, clock);
        tokio::task::spawn_local(Rc::clone(&upstreams).close_stale_connections());
        tokio::task::spawn_local(Rc::clone(&upstreams).knock());
        let router = Router::new(config);
        let meter = Rc::new(metrics.traffic.open(router.labels()));
        Rc::new(Proxy {
            config: Arc::clone(config),
            metrics: Arc::clone(metrics),
            clock: Rc::clone(clock),
            router,
            upstreams,
            recorder: Recorder::start(recording, &config.tracking, metrics),
            meter,
        })
    }

    async fn answer(
        self: Rc<Self>,
        connection: Rc<Connection>,
        request: Request<Incoming>,
    ) -> Response<AnswerBody> {
        let (head, body) = request.into_parts();
        let body = self.request_body(body, &connection);
        let mut exchange = Exchange::begin(&self.meter, body.received());
        let response = match self.forward(&connection, head, body, &mut exchange).await {
            Ok(response) => response,
            Err(refusal) => self.refuse(&refusal),
        };
        exchange.answer(response)
    }

    /// The story of a request that goes well.
    async fn forward(
        &self,
        connection: &Connection,
        mut head: Parts,
        body: RequestBody,
        exchange: &mut Exchange,
    ) -> Result<Response<ResponseBody>, Refusal> {
        if let Some(refusal) = connection.take_refusal(&head) {
            return Err(refusal);
        }
        if self.is_health_check(&head) {
            return Ok(forward::text(StatusCode::OK, "ok"));
        }
        let authority = head::check(&mut head, &self.config.proxy.limits)?;
        let route = self.router.find(&authority.host(), head.uri.path());
        exchange.route = route.number;
        let peer = connection.peer();
        let client = forwarded::client(&head.headers, peer, &self.config.proxy.trusted_proxies);

        let mut watch = self.recorder.watch(&head, route, client);

        let said_from = fields::clean_request(&mut head.headers, peer.trusted);
        self.note_undeclared_proxy(said_from, peer);
        self.recorder.strip(&mut head, route);
        forwarded::tell(&mut head.headers, peer, client, &authority);
        watch.tell_upstream(&mut head.headers);

        let mut response = match self.upstreams.send(route.upstream, head, body, &mut exchange.passage).await
        {
            Ok(response) => response,
            Err(refusal) => self.refuse(&refusal),
        };
        fields::clean_response(&mut response);
        watch.conclude(&mut response).await;
        Ok(response)
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

    /// Behind a proxy that is not declared the shop sees one visitor and no https: say once how to declare it.
    fn note_undeclared_proxy(&self, said_from: bool, peer: &Peer) {
        if !said_from || peer.trusted || !is_private(peer.address) {
            return;
        }
        if !self.metrics.state.undeclared_proxy.swap(true, Ordering::Relaxed) {
            let address = peer.address;
            tracing::warn!(
                "forwarding headers of a private address that is not declared were ignored; if this is your own \
                 proxy, add to [proxy]: trusted_proxies = [\"{address}\"]"
            );
        }
    }

    fn refuse(&self, refusal: &Refusal) -> Response<ResponseBody> {
        let reason = Reason { reason: refusal.reason() };
        if refusal.is_upstreams() {
            self.metrics.upstream_errors.get_or_create(&reason).inc();
            tracing::warn!(reason = reason.reason, error = %Causes(refusal), "an upstream could not answer");
        } else {
            self.metrics.requests_refused.get_or_create(&reason).inc();
        }
        refusal.respond()
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
