//! `[proxy]`, `[[upstream]]` and `[[route]]`: the request path.

use std::cmp::Reverse;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::super::reader::{Table, Value};
use super::super::{
    Balance, ForwardedFields, HealthCheck, HostHeader, Limits, Proxy, Route, StoreIp, Timeouts, Tls,
    TlsVersion, Upstream, UpstreamServer, UpstreamTimeouts, UpstreamTls, authorities, error, values,
};
use super::seen;
use crate::certificates::{Certificate, CertificateError};

const DEFAULT_MAX_CONNECTIONS: usize = 10_000;
/// Workers keep sets of servers in the bits of a number.
const MAX_SERVERS: usize = 64;
const DEFAULT_SITE: &str = "default";

/// `[proxy]` with its limits and time limits.
pub(super) fn proxy(table: &Table<'_>, store_ip: StoreIp) -> Option<Proxy> {
    let tls_listen = table.optional("tls_listen", addresses);
    let listen = match table.value("listen") {
        None if tls_listen.is_some() => Some(Vec::new()),
        _ => table.required("listen", addresses),
    };
    let tls_listen = tls_listen.unwrap_or_default();
    let twice = tls_listen.iter().find(|own| own.port() != 0 && listen.iter().flatten().any(|it| it == *own));
    if let (Some(twice), Some(value)) = (twice, table.value("tls_listen")) {
        value.refuse::<()>(format!(
            "{twice} is in `listen` as well: one address is either plain or encrypted"
        ));
    }
    let tls = certificates(table);
    let redirect_http = table.or("redirect_http", false, |value| {
        let redirects = value.flag()?;
        match redirects && tls_listen.is_empty() {
            true => value.refuse("there is no `tls_listen` to send anybody to"),
            false => Some(redirects),
        }
    });
    let workers = table.or("workers", 0, |value| value.number(0..=1024));
    let health_path = table.optional("health_path", |value| {
        let path = value.parse(values::path_prefix)?;
        if path == "/" { value.refuse("this would answer the shop's front page") } else { Some(path) }
    });
    let trusted_proxies =
        table.or("trusted_proxies", Vec::new(), |value| value.list(|item| item.parse(values::network)));
    let forwarded =
        table.or("forwarded", ForwardedFields::XForwarded, |value| value.choice(&ForwardedFields::NAMES));
    let request_id_header = table.optional("request_id_header", seen::request_id_header);
    let access_log = seen::access_log(&table.table("access_log"), store_ip);
    let error_pages = seen::error_pages(table);
    let maintenance = seen::maintenance(&table.table("maintenance"));
    let proxy_protocol = table.or("proxy_protocol", false, |value| {
        let is_on = value.flag()?;
        match is_on && trusted_proxies.is_empty() {
            true => {
                value.refuse("name in `trusted_proxies` who sends it: from others no connection is taken")
            }
            false => Some(is_on),
        }
    });
    let max_connections =
        table.or("max_connections", DEFAULT_MAX_CONNECTIONS, |value| value.number(1..=10_000_000));
    let drain_timeout = table.or("drain_timeout", Duration::from_secs(30), time);
    let limits = limits(&table.table("limits"));
    let timeouts = timeouts(&table.table("timeouts"));
    let workers = match workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    };
    Some(Proxy {
        listen: listen?,
        tls_listen,
        tls: tls?,
        redirect_http,
        proxy_protocol,
        workers,
        health_path,
        trusted_proxies,
        forwarded,
        request_id_header,
        access_log,
        error_pages: error_pages?,
        maintenance,
        max_connections,
        drain_timeout,
        limits,
        timeouts,
    })
}

/// At least one address, none twice.
fn addresses(value: &Value<'_>) -> Option<Vec<SocketAddr>> {
    let addresses = value.list(|item| item.parse(values::listen_address))?;
    let is_twice =
        |(i, address): &(usize, &SocketAddr)| address.port() != 0 && addresses[..*i].contains(address);
    match addresses.iter().enumerate().find(is_twice) {
        Some((_, twice)) => value.refuse(format!("{twice} is listed twice")),
        None if addresses.is_empty() => value.refuse("the proxy needs an address to listen on"),
        None => Some(addresses),
    }
}

/// All `[[proxy.tls]]`. Their files are read, so that what is wrong with them is known before the program runs.
fn certificates(table: &Table<'_>) -> Option<Vec<Tls>> {
    let certificates = table.tables("tls");
    let is_complete = match (table.value("tls_listen"), certificates.first()) {
        (Some(value), None) => value.refuse("there is no [[proxy.tls]] with a certificate for it"),
        (None, Some(first)) => {
            first.refuse("`tls_listen` is missing from [proxy]: the addresses that take TLS with this")
        }
        _ => Some(()),
    };
    // All are read before any failure counts, so that all are reported.
    let mut read: Vec<Option<Tls>> = Vec::new();
    let mut taken = Names::default();
    for table in &certificates {
        let certificate = certificate(table);
        read.push(certificate.and_then(|(tls, of_certificate)| taken.take(table, tls, of_certificate)));
    }
    is_complete.and_then(|()| read.into_iter().collect())
}

/// Names that [[proxy.tls]] tables are for.
#[derive(Default)]
struct Names {
    /// Those that `names` lists.
    said: Vec<String>,
    /// Those, and where there is no list the certificate's own.
    all: Vec<String>,
}

impl Names {
    /// A table that is never chosen, for some name or for all, is a mistake: of two with one name the first is used. (The
    /// names of certificates may overlap, and may come to do so when one is renewed.)
    fn take(&mut self, table: &Table<'_>, tls: Tls, of_certificate: Vec<String>) -> Option<Tls> {
        if let Some(name) = tls.names.iter().find(|name| self.said.contains(name)) {
            return table.value("names")?.refuse(format!("an earlier [[proxy.tls]] is for `{name}`"));
        }
        let own = if tls.names.is_empty() { of_certificate } else { tls.names.clone() };
        if !own.is_empty() && own.iter().all(|name| self.all.contains(name)) {
            let key = if tls.names.is_empty() { "certificate" } else { "names" };
            let names = own.join("`, `");
            return table.value(key)?.refuse(format!(
                "this would never be used: what stands before it in [[proxy.tls]] is for `{names}`"
            ));
        }
        self.said.extend(tls.names.iter().cloned());
        self.all.extend(own);
        Some(tls)
    }
}

/// A table, and the names of its certificate.
fn certificate(table: &Table<'_>) -> Option<(Tls, Vec<String>)> {
    let certificate = table.required("certificate", |value| value.path());
    let key = table.required("key", |value| value.path());
    let names = table.or("names", Vec::new(), |value| value.list(|item| item.parse(values::host_pattern)));
    let min_version = table.or("min_version", TlsVersion::V1_2, |value| value.choice(&TlsVersion::NAMES));
    let (certificate, key) = (certificate?, key?);
    match Certificate::load(&certificate, &key) {
        Ok(loaded) => Some((Tls { certificate, key, names, min_version }, loaded.names)),
        Err(error) => {
            let key = if matches!(error, CertificateError::Chain(_)) { "certificate" } else { "key" };
            table.value(key)?.refuse(error.to_string())
        }
    }
}

fn limits(table: &Table<'_>) -> Limits {
    Limits {
        // Below 8 KiB the HTTP parser has no room for one line; above 64 KiB a target fits no `Uri`.
        header_bytes: table.or("header_bytes", 64 << 10, |value| size(value, 8 << 10..=16 << 20)),
        headers: table.or("headers", 200, |value| value.number(1..=10_000)),
        uri_bytes: table.or("uri_bytes", 32 << 10, |value| size(value, 256..=65_534)),
        body_bytes: table.optional("body_bytes", |value| size(value, 0..=u64::MAX)),
        connections_per_ip: table.optional("connections_per_ip", |value| value.number(1..=1_000_000)),
    }
}

fn timeouts(table: &Table<'_>) -> Timeouts {
    let or = |key, secs| table.or(key, Duration::from_secs(secs), some_time);
    Timeouts {
        first_byte: or("first_byte", 10),
        header: or("header", 15),
        keep_alive: or("keep_alive", 75),
        body_idle: or("body_idle", 60),
        connect: or("connect", 3),
        response_header: or("response_header", 60),
        response_idle: or("response_idle", 60),
        tunnel_idle: or("tunnel_idle", 60 * 60),
    }
}

/// A duration.
pub(super) fn time(value: &Value<'_>) -> Option<Duration> {
    match value.plain_number() {
        Some(number) => value.refuse(format!("`{}` needs a unit, as in \"{number}s\"", value.key())),
        None => value.parse(values::duration),
    }
}

/// A duration longer than zero.
pub(super) fn some_time(value: &Value<'_>) -> Option<Duration> {
    let duration = time(value)?;
    if duration.is_zero() {
        value.refuse(format!("`{}` is longer than zero", value.key()))
    } else {
        Some(duration)
    }
}

/// A size with its unit, or a plain number of bytes.
pub(super) fn size<T: TryFrom<u64>>(value: &Value<'_>, range: std::ops::RangeInclusive<u64>) -> Option<T> {
    let bytes = match value.plain_number() {
        Some(bytes) => bytes,
        None => value.parse(values::size)?,
    };
    let fitting = Some(bytes).filter(|bytes| range.contains(bytes)).and_then(|bytes| T::try_from(bytes).ok());
    match fitting {
        Some(bytes) => Some(bytes),
        None => {
            let (least, most) = (values::show_size(*range.start()), values::show_size(*range.end()));
            value.refuse(format!("`{}` is from {least} to {most}", value.key()))
        }
    }
}

/// All `[[upstream]]`; none stands for one that is wrong. `listen` are our own addresses, `cookies` our own cookies.
pub(super) fn upstreams(root: &Table<'_>, listen: &[SocketAddr], cookies: &[&str]) -> Vec<Option<Upstream>> {
    let tables = root.tables("upstream");
    if tables.is_empty() {
        root.refuse::<()>("there is no [[upstream]]: the proxy needs one to forward to");
    }
    let mut upstreams: Vec<Option<Upstream>> = Vec::new();
    for table in tables {
        let name = table.required("name", |value| {
            let name = value.parse(values::plain_name)?;
            let taken = upstreams.iter().flatten().any(|upstream| upstream.name == name);
            if taken { value.refuse(format!("there are two upstreams named `{name}`")) } else { Some(name) }
        });
        upstreams.push(upstream(&table, name, listen, cookies));
    }
    upstreams
}

fn upstream(
    table: &Table<'_>,
    name: Option<String>,
    listen: &[SocketAddr],
    cookies: &[&str],
) -> Option<Upstream> {
    let servers = table.required("servers", |value| {
        let servers = value.list(|item| server(item, listen))?;
        let twice = servers.iter().enumerate().find(|(i, server)| {
            servers[..*i]
                .iter()
                .any(|other| other.https == server.https && other.authority == server.authority)
        });
        match twice {
            Some((_, server)) => value.refuse(format!("{} is listed twice", server.url())),
            None if servers.is_empty() => value.refuse("an upstream needs a server"),
            None if servers.len() > MAX_SERVERS => {
                value.refuse(format!("an upstream has at most {MAX_SERVERS} servers"))
            }
            None if servers.iter().all(|server| server.backup) => {
                value.refuse("an upstream needs a server that is no backup")
            }
            None => Some(servers),
        }
    });
    let balance = table.or("balance", Balance::P2c, |value| value.choice(&Balance::NAMES));
    let sticky_cookie = table.optional("sticky_cookie", |value| {
        let name = value.parse(values::cookie_name)?;
        if cookies.contains(&name.as_str()) {
            return value.refuse(format!("`{name}` is the name of another cookie of the proxy's own"));
        }
        Some(name)
    });
    let host = table.or("host", HostHeader::Preserve, host_header);
    let trust_events = table.or("trust_events", false, |value| value.flag());
    let tls = tls(&table.table("tls"));
    let health = health(&table.table("health"));
    let eject_after = table.or("eject_after", 3, |value| value.number(0..=1000));
    let keep_alive = table.or("keep_alive", Duration::from_secs(4), time);
    let retries = table.or("retries", 1, |value| value.number(0..=10));
    let queue = table.or("queue", 1000, |value| value.number(0..=1_000_000));
    let queue_timeout = table.or("queue_timeout", Duration::from_secs(5), some_time);
    Some(Upstream {
        name: name?,
        servers: servers?,
        balance,
        sticky_cookie,
        host,
        trust_events,
        tls,
        health,
        eject_after,
        keep_alive,
        retries,
        queue,
        queue_timeout,
    })
}

/// A URL, or a table with one.
fn server(item: &Value<'_>, listen: &[SocketAddr]) -> Option<UpstreamServer> {
    let url = |value: &Value<'_>| {
        let (https, authority) = value.parse(values::server)?;
        if is_ourselves(&authority, listen) {
            return value.refuse("this is the proxy's own address: requests would go round in a circle");
        }
        Some((https, authority))
    };
    let Some(table) = item.as_table() else {
        let (https, authority) = url(item)?;
        return Some(UpstreamServer { https, authority, weight: 1, backup: false, max_connections: None });
    };
    let url = table.required("url", url);
    let weight = table.or("weight", 1, |value| value.number(1..=1000));
    let backup = table.or("backup", false, |value| value.flag());
    let max_connections = table.optional("max_connections", |value| value.number(1..=1_000_000));
    let (https, authority) = url?;
    Some(UpstreamServer { https, authority, weight, backup, max_connections })
}

fn tls(table: &Table<'_>) -> UpstreamTls {
    let ca = table.optional("ca", |value| {
        let path = value.path()?;
        match authorities::read(&path) {
            Ok(_) => Some(path),
            Err(error) => value.refuse(format!("cannot read {}: {error}", path.display())),
        }
    });
    UpstreamTls { ca, server_name: table.optional("server_name", |value| value.parse(values::host)) }
}

fn health(table: &Table<'_>) -> HealthCheck {
    HealthCheck {
        path: table.optional("path", |value| value.parse(values::path_prefix)),
        host: table.optional("host", |value| value.parse(values::host)),
        interval: table.or("interval", Duration::from_secs(5), some_time),
        timeout: table.or("timeout", Duration::from_secs(2), some_time),
        fall: table.or("fall", 3, |value| value.number(1..=100)),
        rise: table.or("rise", 2, |value| value.number(1..=100)),
    }
}

fn host_header(value: &Value<'_>) -> Option<HostHeader> {
    let text = value.text()?;
    match text.as_str() {
        "preserve" => return Some(HostHeader::Preserve),
        "upstream" => return Some(HostHeader::Upstream),
        _ => {}
    }
    let is_one_word = !text.contains(['.', ':']);
    if let Some(near) = error::did_you_mean(&text, ["preserve", "upstream"]).filter(|_| is_one_word) {
        return value.refuse_with(
            format!("`host` is `preserve`, `upstream` or a host name, not `{text}`"),
            Some(near),
        );
    }
    // A port belongs to what a server may want to see.
    match values::server(&format!("http://{text}")) {
        Ok(_) => Some(HostHeader::Literal(text)),
        Err(_) => value.refuse(format!("`{text}` is no host name")),
    }
}

/// Whether a connection to `server` would end at one of `listen`, as far as the text tells.
fn is_ourselves(server: &str, listen: &[SocketAddr]) -> bool {
    let Some((host, port)) = server.rsplit_once(':') else { return false };
    let ip = match host {
        "localhost" => Some(IpAddr::from([127, 0, 0, 1])),
        host => host.trim_matches(['[', ']']).parse().ok(),
    };
    let Some(ip) = ip else { return false };
    let port: u16 = port.parse().unwrap_or_default();
    let same = |own: IpAddr| own == ip || (own.is_unspecified() && ip.is_loopback());
    listen.iter().any(|own| own.port() != 0 && own.port() == port && same(own.ip()))
}

/// All `[[route]]`, most specific first: exact host, longer `*.suffix`, no host; then the longer path.
pub(super) fn routes(
    root: &Table<'_>,
    upstreams: &[Option<Upstream>],
    strip: &[String],
    timeouts: UpstreamTimeouts,
) -> Option<Vec<Route>> {
    let mut routes: Vec<Option<Route>> = Vec::new();
    let mut places: Vec<(Option<String>, String, usize)> = Vec::new();
    for table in root.tables("route") {
        let route = route(&table, upstreams, strip, timeouts);
        if let Some(route) = &route {
            let same = places.iter().find(|(host, path, _)| *host == route.host && *path == route.path);
            if let Some((_, _, line)) = same {
                table.refuse::<()>(format!("this route has host and path of the one in line {line}"));
            }
            places.push((route.host.clone(), route.path.clone(), table.line()));
        }
        routes.push(route);
    }
    let mut routes: Vec<Route> = routes.into_iter().collect::<Option<_>>()?;
    routes.sort_by_key(|route| {
        let host = route.host.as_deref().map(|host| (!host.starts_with("*."), host.len()));
        (Reverse(host), Reverse(route.path.len()))
    });
    Some(routes)
}

fn route(
    table: &Table<'_>,
    upstreams: &[Option<Upstream>],
    strip: &[String],
    timeouts: UpstreamTimeouts,
) -> Option<Route> {
    let host = table.optional("host", |value| value.parse(values::host_pattern));
    let path = table.or("path", "/".to_owned(), |value| value.parse(values::path_prefix));
    let upstream = table.required("upstream", |value| {
        let name = value.text()?;
        let known = || upstreams.iter().flatten().map(|upstream| upstream.name.as_str());
        match upstreams.iter().position(|upstream| upstream.as_ref().is_some_and(|known| known.name == name))
        {
            Some(index) => Some(index),
            // With a broken upstream in the file nobody knows which names there would be.
            None if upstreams.iter().any(Option::is_none) => None,
            None => value.refuse_with(
                format!("there is no upstream named `{name}`"),
                error::did_you_mean(&name, known()),
            ),
        }
    });
    let site = table.or("site", DEFAULT_SITE.to_owned(), |value| value.parse(values::plain_name));
    let tracking = table.or("tracking", true, |value| value.flag());
    let strip =
        table.or("strip", strip.to_vec(), |value| value.list(|item| item.parse(values::name_pattern)));
    let own = table.table("timeouts");
    let timeouts = UpstreamTimeouts {
        connect: own.or("connect", timeouts.connect, some_time),
        response_header: own.or("response_header", timeouts.response_header, some_time),
        response_idle: own.or("response_idle", timeouts.response_idle, some_time),
    };
    Some(Route { host, path, upstream: upstream?, site, tracking, strip, timeouts })
}
