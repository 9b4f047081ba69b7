//! Visitors who open pages of their own, and a ledger of the answers that they received.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Fields of a browser that is a person's.
pub(crate) const BROWSER: &str = "Host: shop.test\r\n\
    User-Agent: Mozilla/5.0 (Linux; Android 13; Pixel 7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\nAccept-Language: uk-UA,uk;q=0.9\r\n";

/// Visitors under way; each page is opened once.
pub(crate) struct Load {
    ledger: Arc<Ledger>,
    visitors: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Ledger {
    next: AtomicU64,
    pause: Duration,
    /// Paths whose answer was received whole.
    received: Mutex<HashSet<String>>,
    /// Requests that ended otherwise.
    failed: AtomicU64,
    stop: AtomicBool,
}

/// What became of all requests.
pub(crate) struct Outcome {
    /// Paths whose answer was received whole.
    pub(crate) received: HashSet<String>,
    /// How many requests ended otherwise.
    pub(crate) failed: u64,
}

impl Load {
    /// So many visitors, each one request after another, until [`Load::stop`]. Connections that break are opened anew.
    pub(crate) fn start(proxy: SocketAddr, visitors: usize) -> Self {
        Self::paced(proxy, visitors, 0, Duration::ZERO)
    }

    /// As [`Load::start`], with pages numbered from `first` and a pause after each.
    pub(crate) fn paced(proxy: SocketAddr, visitors: usize, first: u64, pause: Duration) -> Self {
        let ledger = Arc::new(Ledger { next: AtomicU64::new(first), pause, ..Ledger::default() });
        let visitors = (0..visitors).map(|_| tokio::spawn(visit(proxy, Arc::clone(&ledger)))).collect();
        Self { ledger, visitors }
    }

    pub(crate) fn received(&self) -> usize {
        self.ledger.received.lock().unwrap().len()
    }

    pub(crate) async fn stop(self) -> Outcome {
        self.ledger.stop.store(true, Ordering::Relaxed);
        for visitor in self.visitors {
            visitor.await.unwrap();
        }
        let received = std::mem::take(&mut *self.ledger.received.lock().unwrap());
        Outcome { received, failed: self.ledger.failed.load(Ordering::Relaxed) }
    }
}

async fn visit(proxy: SocketAddr, ledger: Arc<Ledger>) {
    let mut connection = None;
    while !ledger.stop.load(Ordering::Relaxed) {
        let mut tcp = match connection.take() {
            Some(tcp) => tcp,
            None => match TcpStream::connect(proxy).await {
                Ok(tcp) => tcp,
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    continue;
                }
            },
        };
        let path = format!("/h/{}", ledger.next.fetch_add(1, Ordering::Relaxed));
        if open(&mut tcp, &path).await.is_ok() {
            ledger.received.lock().unwrap().insert(path);
            connection = Some(tcp);
            tokio::time::sleep(ledger.pause).await;
        } else {
            ledger.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn open(tcp: &mut TcpStream, path: &str) -> std::io::Result<()> {
    let request = format!("GET {path}?utm_source=load&utm_campaign=ledger HTTP/1.1\r\n{BROWSER}\r\n");
    tcp.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    loop {
        if tcp.read_buf(&mut answer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
            let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
            if answer.len() >= end + 4 + length {
                return if head.starts_with("http/1.1 200") {
                    Ok(())
                } else {
                    Err(std::io::Error::other(head))
                };
            }
        }
    }
}
