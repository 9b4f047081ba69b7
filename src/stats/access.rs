//! Who is let in, decided before anything else is looked at.
//!
//! On a loopback address, without `stats.public_url` and while no token exists, everybody is; elsewhere a token is
//! needed for everything but `/healthz` and `/readyz`. Where it is not known whether one exists, since the database has not
//! answered yet, the shop is listened to, and the process's own state is told. `Host` must be a name of this port (DNS
//! rebinding), a write must be JSON, signing in and out aside, and come from no other site's page (cross-site posts).

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::serve::{IncomingStream, Listener};
use tokio::net::{TcpListener, TcpStream};

use crate::config::{Config, Scope};
use crate::dashboard::{self, SignedIn};
use crate::stats::problem::StatsError;
use crate::stats::tokens::{self, PROBE_WAIT, READ_TIMEOUT, TokenHash, Verdict};
use crate::stats::{AppState, Shared, login};

/// The ends of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peers {
    /// The address at which it arrived: one of the port's own names.
    local: Option<SocketAddr>,
    /// Who asks.
    pub(crate) remote: Option<SocketAddr>,
}

/// The port's listener. What is streamed goes out piece by piece: none waits for the one before to be acknowledged (RFC 896).
pub(crate) struct Port(pub(crate) TcpListener);

impl Listener for Port {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let (tcp, remote) = Listener::accept(&mut self.0).await;
        let _ = tcp.set_nodelay(true);
        (tcp, remote)
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, Port>> for Peers {
    fn connect_info(stream: IncomingStream<'_, Port>) -> Peers {
        Peers { local: stream.io().local_addr().ok(), remote: Some(*stream.remote_addr()) }
    }
}

/// What the configuration says of names and tokens.
pub(crate) struct Access {
    config: Arc<Config>,
    names: Vec<String>,
    public_origin: Option<Authority>,
    may_be_open: bool,
}

impl Access {
    /// Whether this is what `config` says.
    pub(crate) fn is_of(&self, config: &Arc<Config>) -> bool {
        Arc::ptr_eq(&self.config, config)
    }

    /// For a port that listens at `listen`.
    pub(crate) fn new(config: Arc<Config>, listen: SocketAddr) -> Access {
        let stats = &config.stats;
        let public_origin = stats
            .public_url
            .as_deref()
            .and_then(|url| Uri::from_str(url).ok())
            .and_then(|url| url.authority().cloned());
        let mut names: Vec<String> = stats.allowed_hosts.iter().map(|name| name.to_lowercase()).collect();
        names.extend(public_origin.as_ref().map(host_name));
        names.push(listen.ip().to_string());
        names.extend(
            std::fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_lowercase()),
        );
        Access {
            names,
            may_be_open: listen.ip().is_loopback() && stats.public_url.is_none() && stats.tokens.is_empty(),
            public_origin,
            config,
        }
    }

    /// What a cookie of this port is for: where people come by `stats.public_url`, its path, and https alone if it is.
    pub(crate) fn cookie_attributes(&self) -> String {
        let public = self.config.stats.public_url.as_deref().and_then(|url| Uri::from_str(url).ok());
        let path = public.as_ref().map_or("/", |url| url.path());
        let secure = if public.as_ref().and_then(Uri::scheme_str) == Some("https") { "; Secure" } else { "" };
        format!("Path={path}; HttpOnly; SameSite=Lax{secure}")
    }

    fn is_own_name(&self, host: &str, local: Option<IpAddr>) -> bool {
        if host == "localhost" || self.names.iter().any(|name| name == host) {
            return true;
        }
        let address = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
        address.is_some_and(|address| {
            address.is_loopback() || local.map(|own| own.to_canonical()) == Some(address)
        })
    }
}

/// Lets a request through or answers it.
pub(crate) async fn guard(State(shared): AppState, request: Request, next: Next) -> Response {
    let open_to_all = match request.uri().path() {
        "/healthz" | "/readyz" => true,
        "/metrics" => shared.config().stats.metrics_public,
        _ => false,
    };
    if open_to_all {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    if shared.logins.token(&parts.headers, login::now()).is_some() {
        parts.extensions.insert(SignedIn);
    }
    match admit(&shared, &parts).await {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(StatsError::Unauthorized) if is_for_people(&parts) => login::ask(&parts),
        Err(refusal) if is_for_people(&parts) => {
            dashboard::refused(&parts, refusal.status(), &refusal.to_string())
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// A page, which people look at: a browser asks for it, and it is not of the API.
pub(crate) fn is_for_people(parts: &Parts) -> bool {
    let accepted = parts.headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("text/html")) && !parts.uri.path().starts_with("/api/")
}

/// What is needed to sign in and out: forms, and how the page looks.
fn is_for_signing_in(parts: &Parts) -> bool {
    ["/login", "/logout"].contains(&parts.uri.path()) || parts.uri.path().starts_with("/assets/")
}

/// Whether a request may have what it asks for.
pub(crate) async fn admit(shared: &Shared, parts: &Parts) -> Result<(), StatsError> {
    let authority = host_of(parts).ok_or(StatsError::UnknownHost)?;
    let local = parts.extensions.get::<ConnectInfo<Peers>>().and_then(|info| info.0.local);
    let access = shared.access();
    if !access.is_own_name(&host_name(&authority), local.map(|address| address.ip())) {
        return Err(StatsError::UnknownHost);
    }
    let reading = matches!(parts.method, Method::GET | Method::HEAD);
    if !reading && !is_own_origin(&access, parts, &authority) {
        return Err(StatsError::ForeignOrigin);
    }
    if is_for_signing_in(parts) {
        return Ok(());
    }
    if let Some(scope) = token_scope(shared, &access, parts).await? {
        let enough = match scope {
            Scope::Admin => true,
            Scope::Read => reading && !is_for_administrators(parts),
            Scope::Ingest => parts.method == Method::POST || parts.uri.path() == "/readyz",
        };
        if !enough {
            return Err(StatsError::Forbidden);
        }
    }
    if !reading && !is_json(parts) {
        return Err(StatsError::MediaType);
    }
    Ok(())
}

/// What the shop tells, which waits in the journal, and the state of the process.
fn needs_no_database(parts: &Parts) -> bool {
    match parts.uri.path() {
        "/metrics" | "/readyz" => true,
        path => parts.method == Method::POST && path.starts_with("/api/v1/"),
    }
}

/// Rules that have addresses of people; and all of a person at once, which is more than reports tell.
fn is_for_administrators(parts: &Parts) -> bool {
    ["/api/v1/exclusions", "/api/v1/visitors/"].iter().any(|begin| parts.uri.path().starts_with(begin))
}

/// The scope of the request's token; none when no token is needed.
async fn token_scope(shared: &Shared, access: &Access, parts: &Parts) -> Result<Option<Scope>, StatsError> {
    let reading = matches!(parts.method, Method::GET | Method::HEAD);
    let given = bearer(parts).map(tokens::hash);
    let token = given.or_else(|| shared.logins.token(&parts.headers, login::now()).filter(|_| reading));
    // A probe does not wait for a database that does not answer.
    let patience = if parts.uri.path() == "/readyz" { PROBE_WAIT } else { READ_TIMEOUT };
    match shared.judge(token, patience).await {
        Admitted::As(scope) => Ok(Some(scope)),
        Admitted::Anybody => Ok(None),
        // Nobody but this machine can ask, and what the shop tells must not be lost because the database was away
        // when the process began.
        Admitted::Unknown if access.may_be_open && needs_no_database(parts) => Ok(None),
        Admitted::Unknown if access.may_be_open || token.is_some() => Err(StatsError::TokensUnavailable),
        Admitted::Unknown | Admitted::Nobody => Err(StatsError::Unauthorized),
    }
}

/// For whom a token is taken.
pub(crate) enum Admitted {
    /// For somebody who may do this.
    As(Scope),
    /// No token is needed.
    Anybody,
    /// A valid one is needed.
    Nobody,
    /// The database has not said.
    Unknown,
}

impl Shared {
    /// Judges what is known of a token by the configuration's tokens and the database's.
    pub(crate) async fn judge(&self, token: Option<TokenHash>, patience: Duration) -> Admitted {
        let access = self.access();
        let own = access.config.stats.tokens.iter().map(|token| (token.scope, &token.sha256));
        if let Some(scope) = token.and_then(|token| tokens::find(own, &token)) {
            return Admitted::As(scope);
        }
        match self.book.judge(&self.context.tokens, token, patience).await {
            Verdict::Valid(scope) => Admitted::As(scope),
            Verdict::NoTokens if access.may_be_open => Admitted::Anybody,
            Verdict::Unknown => Admitted::Unknown,
            Verdict::Invalid | Verdict::NoTokens => Admitted::Nobody,
        }
    }
}

fn bearer(parts: &Parts) -> Option<&str> {
    let (scheme, token) = parts.headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The one host a request names: its target's, else the `Host` field's (RFC 9112, section 3.2.2).
fn host_of(parts: &Parts) -> Option<Authority> {
    if let Some(authority) = parts.uri.authority() {
        return Some(authority.clone());
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next()?;
    if hosts.next().is_some() {
        return None;
    }
    host.to_str().ok()?.parse().ok()
}

/// Without port, brackets and final dot, lower case.
fn host_name(authority: &Authority) -> String {
    let host = authority.host().to_lowercase();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
    host.strip_suffix('.').unwrap_or(host).to_owned()
}

fn is_own_origin(access: &Access, parts: &Parts, authority: &Authority) -> bool {
    if parts.headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site" || site == "same-site") {
        return false;
    }
    let Some(origin) = parts.headers.get(ORIGIN) else { return true };
    let origin = origin.to_str().ok().and_then(|origin| Uri::from_str(origin).ok());
    let Some(origin) = origin.as_ref().and_then(Uri::authority) else { return false };
    origin == authority || access.public_origin.as_ref() == Some(origin)
}

fn is_json(parts: &Parts) -> bool {
    if !matches!(parts.method, Method::POST | Method::PUT | Method::PATCH) {
        return true;
    }
    let media_type =
        parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    ["application/json", "application/x-ndjson"].iter().any(|known| media_type.eq_ignore_ascii_case(known))
}
