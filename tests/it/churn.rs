//! Everything that operators do to a running program, at once and under load: reloads, new certificates, an upstream's
//! server killed and started again, the end. `./dev churn` is the long form.

use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::harness::load::{Load, Outcome, Way, page};
use crate::harness::program::Program;
use crate::harness::tls::Authority;
use crate::harness::{Received, Reply, Upstream, free_address, postgres, until};
use crate::outages::nothing_is_lost_or_doubled;
use crate::tunnels::echo;

/// `drain_timeout`: as long as the open tunnel holds the end up.
const DRAIN: Duration = Duration::from_secs(4);
/// What the end may take beyond it: the last batch.
const END: Duration = Duration::from_secs(15);
/// How long the shop takes for the stream that is open when the end begins.
const SLOW: Duration = Duration::from_millis(1500);

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// The loads: what they are called, how visitors come, how many.
fn ways(authority: &Arc<Authority>) -> [(&'static str, Way, usize); 5] {
    [
        ("HTTP/1.1", Way::Kept, 4),
        ("HTTP/1.1, a connection each", Way::Fresh, 2),
        ("TLS", Way::Tls(Arc::clone(authority)), 3),
        ("TLS, a handshake each", Way::FreshTls(Arc::clone(authority)), 1),
        ("HTTP/2", Way::Http2(Arc::clone(authority)), 4),
    ]
}

/// A shop whose slow page is of the proxy's other server.
fn with_slow_page(request: &Received) -> Reply {
    match request.target() {
        "/slow" => Reply::new().pause(SLOW).write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow"),
        _ => page(request),
    }
}

/// The program, those around it, and what has been done to it.
struct Stand {
    shop: Upstream,
    second: Option<Upstream>,
    second_address: SocketAddr,
    authority: Arc<Authority>,
    program: Program,
    encrypted: SocketAddr,
    reloads: usize,
    swaps: usize,
    kills: usize,
}

impl Stand {
    async fn build(database_url: &str, files: &Path) -> Self {
        let shop = Upstream::start(with_slow_page).await;
        let second = Upstream::start_at(free_address(), page).await;
        let authority = Arc::new(Authority::new());
        let mut program = Program::new(shop.address(), database_url, files);
        let (encrypted, echo) = (program.encrypt(&authority), echo().await);
        let (first, second_address) = (shop.address(), second.address());
        program.edit(|text| {
            let one = format!("servers = [\"http://{first}\"]");
            let both = format!("servers = [\"http://{first}\", \"http://{second_address}\"]");
            let drain = format!("[proxy]\ndrain_timeout = \"{}s\"\n", DRAIN.as_secs());
            let text = text.replace(&one, &both).replace("[proxy]\n", &drain);
            format!(
                "{text}\n[[upstream]]\nname = \"echo\"\nservers = [\"http://{echo}\"]\n\
                 [[upstream]]\nname = \"first\"\nservers = [\"http://{first}\"]\n\
                 [[route]]\npath = \"/ws\"\nupstream = \"echo\"\n\
                 [[route]]\npath = \"/slow\"\nupstream = \"first\"\n"
            )
        });
        program.start().await;
        let second = Some(second);
        Self { shop, second, second_address, authority, program, encrypted, reloads: 0, swaps: 0, kills: 0 }
    }

    /// Visitors on every way: how it is called, how many they are, and what becomes of them.
    fn visitors(&self) -> Vec<(&'static str, u64, Load)> {
        let start = |(number, (name, way, visitors)): (u64, (&'static str, Way, usize))| {
            let proxy = if name.starts_with("HTTP/1.1") { self.program.proxy } else { self.encrypted };
            let (first, pause) = (number * 100_000_000, Duration::from_millis(20));
            let load = Load::start_by(way, proxy, visitors, "visit", first, pause);
            (name, u64::try_from(visitors).unwrap(), load)
        };
        (0..).zip(ways(&self.authority)).map(start).collect()
    }

    /// One reload, sometimes of a new certificate, and sometimes a server's end or return after it.
    async fn turn(&mut self) {
        let reloads = self.reloads;
        self.program.edit(|text| {
            let text = text.split("\n# churn").next().unwrap().to_owned();
            let path = ["/a", "/b"][reloads % 2];
            format!("{text}\n# churn\n[[route]]\npath = \"{path}\"\nupstream = \"shop\"\n")
        });
        let newest = (reloads % 3 == 1).then(|| self.authority.write("shop", &["shop.test"]));
        self.program.reload().await;
        self.reloads += 1;
        if let Some(newest) = newest {
            self.swaps += 1;
            let shown = certificate(&self.authority, self.encrypted).await;
            assert_eq!(shown, newest, "after reload {reloads}");
        }
        if reloads % 5 == 1 {
            self.second.take().unwrap().kill();
            self.kills += 1;
        }
        if reloads % 5 == 3 {
            self.second = Some(Upstream::start_at(self.second_address, page).await);
        }
    }

    /// SIGTERM, while an answer over HTTP/2 is awaited; how long the end took.
    async fn end(&mut self) -> Duration {
        let slow = slow_stream(&self.authority, self.encrypted).await;
        until("the slow request is at the shop", || {
            self.shop.received().iter().any(|request| request.target() == "/slow")
        })
        .await;
        let begun = Instant::now();
        self.program.signal("TERM");
        slow.await.unwrap();
        let status = self.program.ended().await;
        let time = begun.elapsed();
        assert!(status.success() && time < DRAIN + END, "{status} after {time:?}: {}", self.program.log());
        time
    }
}

async fn churn(time: Duration) {
    let database = postgres::migrated().await;
    let files = tempfile::tempdir().unwrap();
    let mut stand = Stand::build(&database.url, files.path()).await;
    let mut socket = open_socket(&stand.authority, stand.encrypted).await;
    let loads = stand.visitors();
    let (begun, mut echoes) = (Instant::now(), 0);
    while begun.elapsed() < time {
        stand.turn().await;
        says_it_again(&mut socket, echoes).await;
        echoes += 1;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let before: Vec<(u64, u64)> = loads.iter().map(|(_, _, load)| load.cut_and_opened()).collect();
    let end = stand.end().await;

    let (mut all, mut lines) = (Outcome::default(), Vec::new());
    for ((name, visitors, load), (cut, opened)) in loads.into_iter().zip(before) {
        let outcome = load.stop().await;
        let (answers, failed, cut_at_end) =
            (outcome.received.len(), outcome.failures.len(), outcome.cut - cut);
        lines.push(format!(
            "{name}: {answers} answers on {opened} connections, {failed} failed, {cut} cut, {cut_at_end} cut by the end"
        ));
        assert!(answers > 0 && cut == 0, "{lines:?}");
        let connections = match name {
            "HTTP/1.1" | "TLS" => Some(visitors),
            "HTTP/2" => Some(1),
            _ => None,
        };
        assert!(connections.is_none_or(|all| all == opened), "connections outlive reloads: {lines:?}");
        all.received.extend(outcome.received);
        all.failures.extend(outcome.failures);
    }
    let Stand { reloads, swaps, kills, .. } = stand;
    println!(
        "{reloads} reloads, {swaps} new certificates, {kills} kills of a server in {time:?}; {}; the WebSocket answered \
         {echoes} times; the end took {end:?}",
        lines.join("; ")
    );
    assert!(all.failures.is_empty(), "{:?}", all.failures);
    assert_eq!(stand.program.log().matches("configuration reloaded").count(), reloads);
    stand.program.start().await;
    nothing_is_lost_or_doubled(&all, &database).await;
}

/// A WebSocket in TLS, whose server has said hello.
async fn open_socket(authority: &Authority, proxy: SocketAddr) -> Socket {
    let stream = authority.connect(proxy, "shop.test", &["http/1.1"]).await.unwrap();
    let (mut socket, response) = client_async("ws://shop.test/ws", stream).await.unwrap();
    assert_eq!(response.status(), 101);
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
    socket
}

async fn says_it_again(socket: &mut Socket, number: usize) {
    let message = Message::text(format!("message {number}"));
    socket.send(message.clone()).await.unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(10), socket.next()).await;
    assert_eq!(answer.unwrap().unwrap().unwrap(), message);
}

/// What a new handshake is shown.
async fn certificate(authority: &Authority, proxy: SocketAddr) -> CertificateDer<'static> {
    let stream = authority.connect(proxy, "shop.test", &["http/1.1"]).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone()
}

/// Asks for the slow page over HTTP/2. Answers its text, if the connection was told to go before it came.
async fn slow_stream(authority: &Authority, proxy: SocketAddr) -> tokio::task::JoinHandle<&'static str> {
    let stream = authority.connect(proxy, "shop.test", &["h2"]).await.unwrap();
    let is_told = Arc::new(AtomicBool::new(false));
    let frames = Frames { stream, head: Vec::new(), left: 0, is_told: Arc::clone(&is_told) };
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(frames)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = http::Request::get("https://shop.test/slow").body(Empty::<Bytes>::new()).unwrap();
    let response = sender.send_request(request);
    tokio::spawn(async move {
        let response = response.await.unwrap();
        assert!(is_told.load(Ordering::SeqCst), "GOAWAY before the answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "slow");
        drop(sender);
        connection.await.unwrap().unwrap();
        "slow"
    })
}

/// A connection of HTTP/2 that sees a GOAWAY go by (RFC 9113 sections 4.1 and 6.8).
struct Frames {
    stream: TlsStream<TcpStream>,
    /// What has come of a frame's head.
    head: Vec<u8>,
    /// Bytes of the present frame that are still to come.
    left: usize,
    is_told: Arc<AtomicBool>,
}

impl Frames {
    fn look(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let count = self.left.min(bytes.len());
                self.left -= count;
                bytes = &bytes[count..];
                continue;
            }
            self.head.push(bytes[0]);
            bytes = &bytes[1..];
            if let [one, two, three, kind, _, _, _, _, _] = *self.head {
                self.left = usize::try_from(u32::from_be_bytes([0, one, two, three])).unwrap();
                if kind == 7 {
                    self.is_told.store(true, Ordering::SeqCst);
                }
                self.head.clear();
            }
        }
    }
}

impl AsyncRead for Frames {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.look(&buffer.filled()[before..]);
        outcome
    }
}

impl AsyncWrite for Frames {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_certificates_a_killed_server_and_the_end_fail_no_request() {
    churn(Duration::from_secs(8)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute; ./dev churn"]
async fn a_minute_of_churn_fails_no_request() {
    churn(Duration::from_secs(60)).await;
}
