//! Visitors who open pages of their own, and what they were given: the side of the ledger that knows nothing of the
//! program.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{Received, Reply, Upstream};

/// Fields of a browser that is a person's.
pub(crate) const BROWSER: &str = "Host: shop.test\r\n\
    User-Agent: Mozilla/5.0 (Linux; Android 13; Pixel 7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\nAccept-Language: uk-UA,uk;q=0.9\r\n";

/// Longest that a visitor waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
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

/// Visitors under way; each page is opened once.
pub(crate) struct Load {
    shared: Arc<Shared>,
    visitors: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    proxy: Mutex<SocketAddr>,
    next: AtomicU64,
    pause: Duration,
    received: Mutex<HashMap<String, Receipt>>,
    failures: Mutex<Vec<String>>,
    cut: AtomicU64,
    refused: AtomicU64,
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
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            proxy: Mutex::new(proxy),
            next: AtomicU64::new(first),
            pause,
            received: Mutex::default(),
            failures: Mutex::default(),
            cut: AtomicU64::new(0),
            refused: AtomicU64::new(0),
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
    let mut connection: Option<TcpStream> = None;
    let mut cookie = None;
    while !shared.stop.load(Ordering::Relaxed) {
        let is_used = connection.is_some();
        let proxy = *shared.proxy.lock().unwrap();
        let mut tcp = match connection.take() {
            Some(tcp) => tcp,
            None => match TcpStream::connect(proxy).await {
                Ok(tcp) => tcp,
                Err(_) => {
                    shared.refused.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    continue;
                }
            },
        };
        let page = shared.next_page();
        if page.number % 40 == 39 {
            cookie = None;
        }
        let begun = Instant::now();
        let answer = tokio::time::timeout(PATIENCE, ask(&mut tcp, &page.target, cookie.as_deref())).await;
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
                connection = (!answer.is_last).then_some(tcp);
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
async fn ask(tcp: &mut TcpStream, target: &str, cookie: Option<&str>) -> Result<Option<Answer>, String> {
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
        let cookies = super::field_values(&head, "set-cookie");
        let ours = cookies.iter().find_map(|cookie| cookie.strip_prefix("_utmd="));
        return Ok(Some(Answer {
            status: head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0),
            cookie: ours.and_then(|value| value.split(';').next()).map(str::to_owned),
            order: value("x-order").map(str::to_owned),
            is_last: value("connection") == Some("close"),
        }));
    }
}

/// The visitor that a cookie names: its bytes 2 to 17.
fn named_by(cookie: &str) -> Option<Uuid> {
    let bytes = URL_SAFE_NO_PAD.decode(cookie).ok()?;
    Uuid::from_slice(bytes.get(2..18)?).ok()
}
