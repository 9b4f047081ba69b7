//! Visitors who open pages of their own, and what they were given: the side of the ledger that knows nothing of the
//! program.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::SendRequest;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use uuid::Uuid;

use super::tls::{self, Authority};
use super::{Received, Reply, Upstream};

/// Fields of a browser that is a person's.
pub(crate) const BROWSER: &str = "Host: shop.test\r\n\
    User-Agent: Mozilla/5.0 (Linux; Android 13; Pixel 7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\nAccept-Language: uk-UA,uk;q=0.9\r\n";

/// Longest that a visitor waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// What an order is worth.
pub(crate) const VALUE: &str = "100.5";

/// What a visitor was given.
#[derive(Debug, Clone)]
pub(crate) struct Receipt {
    pub(crate) status: u16,
    /// Whom the cookie names that the visitor has now.
    pub(crate) visitor: Option<Uuid>,
    /// The campaign that the page was tagged with.
    pub(crate) campaign: Option<String>,
    /// The order that the shop said was placed.
    pub(crate) order: Option<String>,
}

/// How visitors come.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    /// Over HTTP/1.1, each on a connection that is kept.
    Kept,
    /// The same, with a new connection for each page.
    Fresh,
    /// Over HTTP/1.1 in TLS, each on a connection that is kept.
    Tls(Arc<Authority>),
    /// The same, with a new handshake for each page.
    FreshTls(Arc<Authority>),
    /// Over HTTP/2, all on one connection.
    Http2(Arc<Authority>),
}

/// Visitors under way; each page is opened once.
pub(crate) struct Load {
    shared: Arc<Shared>,
    visitors: Vec<JoinHandle<()>>,
}

struct Shared {
    way: Way,
    name: String,
    proxy: Mutex<SocketAddr>,
    next: AtomicU64,
    pause: Duration,
    received: Mutex<HashMap<String, Receipt>>,
    failures: Mutex<Vec<String>>,
    cut: AtomicU64,
    refused: AtomicU64,
    opened: AtomicU64,
    http2: tokio::sync::Mutex<Option<SendRequest<tls::Body>>>,
    times: Mutex<Vec<Duration>>,
    odd: AtomicBool,
    bulky: AtomicBool,
    stop: AtomicBool,
}

/// What became of all requests.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// What was received whole, by path.
    pub(crate) received: HashMap<String, Receipt>,
    /// Requests that ended otherwise, and how.
    pub(crate) failures: Vec<String>,
    /// Requests on a connection that had been used and was closed before a byte of the answer: where a server ends,
    /// HTTP cannot avoid them, and browsers send them again.
    pub(crate) cut: u64,
    /// Connections that were not taken.
    pub(crate) refused: u64,
}

impl Load {
    /// So many visitors, each one request after another with a pause between, until [`Load::stop`]. `name` is the first
    /// segment of their paths; pages are numbered from `first` on.
    pub(crate) fn start(proxy: SocketAddr, visitors: usize, name: &str, first: u64, pause: Duration) -> Self {
        Self::start_by(Way::Kept, proxy, visitors, name, first, pause)
    }

    /// The same on another way.
    pub(crate) fn start_by(
        way: Way,
        proxy: SocketAddr,
        visitors: usize,
        name: &str,
        first: u64,
        pause: Duration,
    ) -> Self {
        let shared = Arc::new(Shared {
            way,
            name: name.to_owned(),
            proxy: Mutex::new(proxy),
            next: AtomicU64::new(first),
            pause,
            received: Mutex::default(),
            failures: Mutex::default(),
            cut: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            opened: AtomicU64::new(0),
            http2: tokio::sync::Mutex::default(),
            times: Mutex::default(),
            odd: AtomicBool::new(false),
            bulky: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let visitors = (0..visitors).map(|_| tokio::spawn(visit(Arc::clone(&shared)))).collect();
        Self { shared, visitors }
    }

    /// How many answers were received whole.
    pub(crate) fn received(&self) -> usize {
        self.shared.received.lock().unwrap().len()
    }

    /// How many requests found their connection closed, and how many connections were opened, so far.
    pub(crate) fn cut_and_opened(&self) -> (u64, u64) {
        (self.shared.cut.load(Ordering::Relaxed), self.shared.opened.load(Ordering::Relaxed))
    }

    /// The first segment of its paths.
    pub(crate) fn name(&self) -> &str {
        &self.shared.name
    }

    /// The number of the next page.
    pub(crate) fn next(&self) -> u64 {
        self.shared.next.load(Ordering::SeqCst)
    }

    /// New connections go to this address.
    pub(crate) fn go_to(&self, proxy: SocketAddr) {
        *self.shared.proxy.lock().unwrap() = proxy;
    }

    /// Whether some pages are those that the shop answers with 203.
    pub(crate) fn be_odd(&self, odd: bool) {
        self.shared.odd.store(odd, Ordering::SeqCst);
    }

    /// Whether pages are tagged with kilobytes.
    pub(crate) fn be_bulky(&self, bulky: bool) {
        self.shared.bulky.store(bulky, Ordering::SeqCst);
    }

    /// The 99th percentile of the times to an answer since the last call.
    pub(crate) fn p99(&self) -> Duration {
        let mut times = std::mem::take(&mut *self.shared.times.lock().unwrap());
        times.sort_unstable();
        times.get(times.len() * 99 / 100).copied().unwrap_or_default()
    }

    pub(crate) async fn stop(mut self) -> Outcome {
        self.shared.stop.store(true, Ordering::Relaxed);
        for visitor in std::mem::take(&mut self.visitors) {
            visitor.await.unwrap();
        }
        Outcome {
            received: std::mem::take(&mut *self.shared.received.lock().unwrap()),
            failures: std::mem::take(&mut *self.shared.failures.lock().unwrap()),
            cut: self.shared.cut.load(Ordering::Relaxed),
            refused: self.shared.refused.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

/// A shop for them: pages, orders, pages that are gone, and odd ones.
pub(crate) async fn shop() -> Upstream {
    Upstream::start(page).await
}

/// What it answers.
pub(crate) fn page(request: &Received) -> Reply {
    let path = request.target().split('?').next().unwrap_or_default();
    let html = "Content-Type: text/html";
    let mut segments = path.split('/').skip(1);
    let (name, kind, number) = (segments.next(), segments.next(), segments.next());
    match (name, kind, number) {
        (Some(name), Some("order"), Some(number)) => {
            let order = format!("{name}-{number}");
            let event = format!("X-Utm-Event: purchase; order_id={order}; value={VALUE}; currency=UAH");
            Reply::with("200 OK", &[html, &event, &format!("X-Order: {order}")], "<p>thanks</p>")
        }
        (_, Some("gone"), _) => Reply::with("404 Not Found", &[html], "<p>gone</p>"),
        (_, Some("odd"), _) => Reply::with("203 Odd", &[html], "<p>odd</p>"),
        _ => Reply::with("200 OK", &[html], "<p>page</p>"),
    }
}

/// A visitor, who is replaced by a new one after some pages.
async fn visit(shared: Arc<Shared>) {
    let mut connection: Option<Line> = None;
    let mut cookie = None;
    while !shared.stop.load(Ordering::Relaxed) {
        let mut is_used = connection.is_some();
        let mut line = match connection.take() {
            Some(line) => line,
            None => match shared.connect().await {
                Ok((line, is_others)) => {
                    is_used = is_others;
                    line
                }
                Err(None) => {
                    shared.refused.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    continue;
                }
                Err(Some(reason)) => {
                    shared.fail("a handshake", &reason);
                    tokio::time::sleep(shared.pause).await;
                    continue;
                }
            },
        };
        let page = shared.next_page();
        if page.number % 40 == 39 {
            cookie = None;
        }
        let begun = Instant::now();
        let answer = tokio::time::timeout(PATIENCE, line.ask(&page.target, cookie.as_deref())).await;
        match answer.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}"))) {
            Ok(Some(answer)) if matches!(answer.status, 200 | 203 | 404) => {
                shared.times.lock().unwrap().push(begun.elapsed());
                cookie = answer.cookie.or(cookie);
                let receipt = Receipt {
                    status: answer.status,
                    visitor: cookie.as_deref().and_then(named_by),
                    campaign: page.campaign,
                    order: answer.order,
                };
                shared.received.lock().unwrap().insert(page.path, receipt);
                let is_kept = !matches!(shared.way, Way::Fresh | Way::FreshTls(_));
                connection = (is_kept && !answer.is_last).then_some(line);
            }
            Ok(None) if is_used => {
                shared.cut.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Some(answer)) => shared.fail(&page.path, &format!("status {}", answer.status)),
            Ok(None) => shared.fail(&page.path, "closed without an answer"),
            Err(reason) => shared.fail(&page.path, &reason),
        }
        tokio::time::sleep(shared.pause).await;
    }
}

/// A visitor's connection.
enum Line {
    Http1(Box<Either<TcpStream, TlsStream<TcpStream>>>),
    Http2(SendRequest<tls::Body>),
}

impl Line {
    /// None when the connection ends before a byte of the answer, or before the request.
    async fn ask(&mut self, target: &str, cookie: Option<&str>) -> Result<Option<Answer>, String> {
        match self {
            Line::Http1(stream) => ask(&mut **stream, target, cookie).await,
            Line::Http2(sender) => ask_http2(sender, target, cookie).await,
        }
    }
}

impl Shared {
    /// A connection, and whether others use it as well; an error without a reason when none is taken.
    async fn connect(&self) -> Result<(Line, bool), Option<String>> {
        let proxy = *self.proxy.lock().unwrap();
        let authority = match &self.way {
            Way::Http2(authority) => {
                let mut http2 = self.http2.lock().await;
                if let Some(open) = http2.as_ref().filter(|open| !open.is_closed()) {
                    return Ok((Line::Http2(open.clone()), true));
                }
                let stream = self.encrypt(authority, proxy, &["h2"]).await?;
                let opened =
                    http2.insert(tls::http2_on(stream).await.map_err(|error| Some(error.to_string()))?);
                return Ok((Line::Http2(opened.clone()), false));
            }
            Way::Kept | Way::Fresh => {
                let tcp = TcpStream::connect(proxy).await.map_err(|_| None)?;
                self.opened.fetch_add(1, Ordering::Relaxed);
                return Ok((Line::Http1(Box::new(Either::Left(tcp))), false));
            }
            Way::Tls(authority) | Way::FreshTls(authority) => authority,
        };
        let stream = self.encrypt(authority, proxy, &["http/1.1"]).await?;
        Ok((Line::Http1(Box::new(Either::Right(stream))), false))
    }

    async fn encrypt(
        &self,
        authority: &Authority,
        proxy: SocketAddr,
        protocols: &[&str],
    ) -> Result<TlsStream<TcpStream>, Option<String>> {
        match authority.connect(proxy, "shop.test", protocols).await {
            Ok(stream) => {
                self.opened.fetch_add(1, Ordering::Relaxed);
                Ok(stream)
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Err(None),
            Err(error) => Err(Some(error.to_string())),
        }
    }
}

struct Page {
    number: u64,
    path: String,
    target: String,
    campaign: Option<String>,
}

impl Shared {
    fn fail(&self, path: &str, reason: &str) {
        self.failures.lock().unwrap().push(format!("{path}: {reason}"));
    }

    fn next_page(&self) -> Page {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        let name = &self.name;
        let (is_odd, is_bulky) = (self.odd.load(Ordering::SeqCst), self.bulky.load(Ordering::SeqCst));
        let kind = match number % 20 {
            7 => "order/",
            12 => "gone/",
            5 if is_odd && number % 40 == 5 => "odd/",
            _ => "",
        };
        let path = format!("/{name}/{kind}{number}");
        let campaign = (is_bulky || number % 5 == 2).then(|| format!("{name}-{number}"));
        let mut target = path.clone();
        if let Some(campaign) = &campaign {
            target.push_str(&format!("?utm_source=load&utm_medium=cpc&utm_campaign={campaign}"));
            if is_bulky {
                target.push_str(&format!("&gclid={}", "x".repeat(4000)));
            }
        }
        Page { number, path, target, campaign }
    }
}

struct Answer {
    status: u16,
    cookie: Option<String>,
    order: Option<String>,
    is_last: bool,
}

/// None when the connection ends before a byte of the answer.
async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    tcp: &mut S,
    target: &str,
    cookie: Option<&str>,
) -> Result<Option<Answer>, String> {
    let cookie = cookie.map(|value| format!("Cookie: _utmd={value}\r\n")).unwrap_or_default();
    let request = format!("GET {target} HTTP/1.1\r\n{BROWSER}{cookie}\r\n");
    if tcp.write_all(request.as_bytes()).await.is_err() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    loop {
        match tcp.read_buf(&mut bytes).await {
            Ok(0) | Err(_) if bytes.is_empty() => return Ok(None),
            Ok(0) => return Err("closed within the answer".to_owned()),
            Err(error) => return Err(format!("within the answer: {error}")),
            Ok(_) => {}
        }
        let Some(end) = bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]);
        let value = |name| super::field_values(&head, name).first().copied();
        let length: usize = value("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        if bytes.len() < end + 4 + length {
            continue;
        }
        return Ok(Some(Answer {
            status: head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0),
            cookie: ours(super::field_values(&head, "set-cookie").into_iter()),
            order: value("x-order").map(str::to_owned),
            is_last: value("connection") == Some("close"),
        }));
    }
}

/// The same as a stream of HTTP/2. None when the connection takes no more requests: this one was not sent then.
async fn ask_http2(
    sender: &mut SendRequest<tls::Body>,
    target: &str,
    cookie: Option<&str>,
) -> Result<Option<Answer>, String> {
    let mut request = http::Request::get(format!("https://shop.test{target}"));
    for (name, value) in BROWSER.lines().filter_map(|line| line.split_once(": ")).skip(1) {
        request = request.header(name, value);
    }
    if let Some(value) = cookie {
        request = request.header("cookie", format!("_utmd={value}"));
    }
    let request = request.body(Empty::new().map_err(|never| match never {}).boxed()).unwrap();
    if sender.ready().await.is_err() {
        return Ok(None);
    }
    let response = match sender.try_send_request(request).await {
        Ok(response) => response,
        Err(mut error) => {
            let was_sent = error.take_message().is_none();
            let why = format!("{:?}", error.into_error());
            // What GOAWAY does not count as begun was not looked at (RFC 9113 section 6.8).
            let was_looked_at = !why.contains("GoAway(b\"\", NO_ERROR, Remote)");
            return if was_sent && was_looked_at { Err(why) } else { Ok(None) };
        }
    };
    let (head, body) = response.into_parts();
    body.collect().await.map_err(|error| format!("within the answer: {error:?}"))?;
    let values = |name| head.headers.get_all(name).iter().map(|value| value.to_str().unwrap());
    Ok(Some(Answer {
        status: head.status.as_u16(),
        cookie: ours(values("set-cookie")),
        order: values("x-order").next().map(str::to_owned),
        is_last: false,
    }))
}

/// The value of the visitor's cookie among those that are set.
fn ours<'a>(mut cookies: impl Iterator<Item = &'a str>) -> Option<String> {
    let ours = cookies.find_map(|cookie| cookie.strip_prefix("_utmd="));
    ours.and_then(|value| value.split(';').next()).map(str::to_owned)
}

/// The visitor that a cookie names: its bytes 2 to 17.
fn named_by(cookie: &str) -> Option<Uuid> {
    let bytes = URL_SAFE_NO_PAD.decode(cookie).ok()?;
    Uuid::from_slice(bytes.get(2..18)?).ok()
}
