//! TLS: which certificate, changed ones, what the shop is told, and clients that do not go along.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use utm_dispatcher::config::TlsVersion;
use utm_dispatcher::telemetry::metrics::Reason;

use crate::harness::load::BROWSER;
use crate::harness::tls::{Authority, encrypt};
use crate::harness::{Client, Reply, Upstream, free_address, proxy, until};

const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\npage";

/// One GET and its answer's head; the connection stays open.
async fn get(stream: &mut TlsStream<TcpStream>, target: &str) -> std::io::Result<String> {
    stream.write_all(format!("GET {target} HTTP/1.1\r\n{BROWSER}\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\npage") {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(String::from_utf8(answer).unwrap())
}

#[tokio::test]
async fn the_shop_is_told_https_and_the_cookie_is_secure() {
    let authority = Authority::new();
    let upstream = Upstream::start(|_| Reply::raw(PAGE)).await;
    let proxy = proxy(authority.config(upstream.address()));
    let mut stream = authority.connect(proxy.address(), "shop.test", &["http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let answer = get(&mut stream, "/?utm_source=x").await.unwrap();
    assert!(answer.contains("; Secure"), "{answer}");
    let received = upstream.only();
    assert_eq!(received.value("x-forwarded-proto"), Some("https"));
    assert_eq!(received.value("x-forwarded-port"), Some("443"));
    assert_eq!((received.target(), proxy.hits().len()), ("/", 1));
    // What is silent for long is only its socket, and speaks again as if nothing had been.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    get(&mut stream, "/again").await.unwrap();
    assert_eq!(upstream.received().len(), 2);
    proxy.workers.drain();
    let mut rest = Vec::new();
    assert_eq!(stream.read_to_end(&mut rest).await.unwrap(), 0, "closed as TLS wants it");
}

#[tokio::test]
async fn each_name_gets_its_certificate_and_all_others_the_first() {
    let authority = Authority::new();
    let first = authority.write("first", &["shop.test", "127.0.0.1"]);
    let second = authority.write("second", &["*.wild.test", "exact.test"]);
    let third = authority.write("third", &["said.test", "deep.wild.test"]);
    let mut config = crate::harness::config(&[]);
    config.proxy.tls_listen = std::mem::take(&mut config.proxy.listen);
    config.proxy.tls = ["first", "second", "third"].map(|file| authority.table(file)).to_vec();
    config.proxy.tls[2].names = vec!["said.test".to_owned(), "deep.wild.test".to_owned()];
    let proxy = proxy(config);
    let got = async |name: &str| {
        let stream = authority.connect(proxy.address(), name, &[]).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    assert_eq!(got("shop.test").await, first);
    assert_eq!(got("127.0.0.1").await, first, "no name asked for");
    assert_eq!(got("any.wild.test").await, second);
    assert_eq!(got("EXACT.test").await, second);
    assert_eq!(got("said.test").await, third);
    assert_eq!(got("deep.wild.test").await, third, "an exact name before a wildcard");
    let unknown = authority.connect(proxy.address(), "unknown.test", &[]).await.unwrap_err();
    assert!(unknown.to_string().contains("not valid for name"), "the first one's: {unknown}");
}

#[tokio::test]
async fn the_least_version_is_kept_and_sessions_are_resumed() {
    let authority = Authority::new();
    let upstream = Upstream::start(|_| Reply::raw(PAGE)).await;
    let mut config = authority.config(upstream.address());
    authority.write("new", &["new.test"]);
    let mut table = authority.table("new");
    table.min_version = TlsVersion::V1_3;
    config.proxy.tls.push(table);
    let proxy = proxy(config);
    let old = authority.client(&[], &[&TLS12]);
    assert!(encrypt(proxy.address(), "new.test", Arc::clone(&old)).await.is_err());
    for client in [old, authority.client(&[], &[&TLS13])] {
        let mut first = encrypt(proxy.address(), "shop.test", Arc::clone(&client)).await.unwrap();
        get(&mut first, "/").await.unwrap();
        assert_eq!(first.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
        // Tickets are good for a new certificate, too.
        authority.write("shop", &["shop.test"]);
        proxy.certificates.replace(&[authority.table("shop")]).unwrap();
        let mut second = encrypt(proxy.address(), "shop.test", client).await.unwrap();
        get(&mut second, "/").await.unwrap();
        assert_eq!(second.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_certificates_are_used_without_a_failed_request_and_broken_ones_are_not() {
    let authority = Arc::new(Authority::new());
    let upstream = Upstream::start(|_| Reply::raw(PAGE)).await;
    let proxy = proxy(authority.config(upstream.address()));
    tokio::spawn(Arc::clone(&proxy.certificates).watch(Arc::clone(&proxy.metrics)));
    let is_over = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let mut visitors: Vec<_> = (0..4)
        .map(|number| {
            let (authority, is_over) = (Arc::clone(&authority), Arc::clone(&is_over));
            let (answered, address) = (Arc::clone(&answered), proxy.address());
            tokio::spawn(async move {
                let mut kept = authority.connect(address, "shop.test", &[]).await.unwrap();
                while !is_over.load(Ordering::Relaxed) {
                    if number % 2 == 0 {
                        kept = authority.connect(address, "shop.test", &[]).await.unwrap();
                    }
                    get(&mut kept, "/").await.unwrap();
                    answered.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
        })
        .collect();
    let current = async || {
        let stream = authority.connect(proxy.address(), "shop.test", &[]).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    let mut newest = current().await;
    for _ in 0..2 {
        newest = authority.write("shop", &["shop.test"]);
        crate::harness::eventually("the new certificate is used", Duration::from_secs(20), async || {
            (current().await == newest).then_some(())
        })
        .await;
    }
    let is_refused = || proxy.metrics.state.certificates_refused.load(Ordering::Relaxed);
    std::fs::write(authority.path("shop.pem"), "half a certif").unwrap();
    until("the broken file is seen", is_refused).await;
    assert_eq!(current().await, newest);
    let mended = authority.write("shop", &["shop.test"]);
    until("the good file is seen", || !is_refused()).await;
    assert_eq!(current().await, mended);
    is_over.store(true, Ordering::Relaxed);
    for visitor in visitors.drain(..) {
        visitor.await.unwrap();
    }
    assert!(answered.load(Ordering::Relaxed) > 20);
    assert!(proxy.metrics.tls_certificate_end_unix_seconds.get() > 1_700_000_000);
}

#[tokio::test]
async fn who_does_not_go_along_with_the_handshake_is_counted_and_bothers_nobody() {
    let authority = Authority::new();
    let upstream = Upstream::start(|_| Reply::raw(PAGE)).await;
    let mut config = authority.config(upstream.address());
    config.proxy.timeouts.first_byte = Duration::from_secs(1);
    config.proxy.timeouts.header = Duration::from_secs(1);
    let proxy = proxy(config);
    let refused = |reason| proxy.metrics.connections_refused.get_or_create(&Reason { reason }).get();
    let mut plain = Client::connect(proxy.address()).await;
    plain.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (mut silent, mut slow) = (proxy.connect().await, proxy.connect().await);
    slow.send([0x16, 3, 1]).await;
    let mut gone = proxy.connect().await;
    gone.send([0x16, 3, 1]).await;
    drop(gone);
    let mut stream = authority.connect(proxy.address(), "shop.test", &[]).await.unwrap();
    get(&mut stream, "/").await.unwrap();
    assert!(silent.is_closed().await && slow.is_closed().await);
    for reason in ["tls_handshake", "tls_timeout", "tls_closed"] {
        until(reason, || refused(reason) == 1).await;
    }
}

#[tokio::test]
async fn http_is_sent_to_https_with_the_whole_target_and_recorded_only_there() {
    let authority = Authority::new();
    let upstream = Upstream::start(|_| Reply::raw(PAGE)).await;
    let mut config = authority.config(upstream.address());
    config.proxy.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    config.proxy.tls_listen = vec![free_address()];
    config.proxy.redirect_http = true;
    config.proxy.health_path = Some("/up".to_owned());
    let port = config.proxy.tls_listen[0].port();
    let proxy = proxy(config);
    let mut client = proxy.connect().await;
    let target = "/a//b?utm_source=x&gclid=1";
    client.send(format!("GET {target} HTTP/1.1\r\nHost: shop.test:8080\r\n\r\n")).await;
    let answer = client.answer().await;
    let location = format!("https://shop.test:{port}{target}");
    assert_eq!((answer.status(), answer.value("location")), (301, Some(location.as_str())));
    assert_eq!(answer.values("set-cookie").len(), 0);
    client.send("POST / HTTP/1.1\r\nHost: shop.test:8080\r\nContent-Length: 2\r\n\r\nhi").await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), upstream.received().len(), proxy.hits().len()), (308, 0, 0));
    assert_eq!(proxy.get("/up").await.status(), 200, "a probe is answered where it asks");
    let mut client = proxy.connect().await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(
        client.answer().await.status(),
        400,
        "nobody knows where to send it, and in clear it goes nowhere"
    );
    let mut stream =
        authority.connect(proxy.workers.addresses()[1], "shop.test", &["http/1.1"]).await.unwrap();
    get(&mut stream, target).await.unwrap();
    assert_eq!((upstream.received().len(), proxy.hits().len()), (1, 1));
}

#[tokio::test]
async fn large_bodies_pass_encrypted() {
    let authority = Authority::new();
    let bytes: Vec<u8> = (0..4_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let answer = bytes.clone();
    let upstream = Upstream::start(move |_| Reply::ok(&answer)).await;
    let proxy = proxy(authority.config(upstream.address()));
    let mut client = authority.http1(proxy.address()).await;
    let body = http_body_util::Full::from(bytes.clone()).map_err(|never| match never {}).boxed();
    let request = Request::post("/").header("host", "shop.test").body(body).unwrap();
    let response: Response<_> = client.send_request(request).await.unwrap();
    assert!(response.into_body().collect().await.unwrap().to_bytes() == bytes);
    assert!(upstream.only().body == bytes);
    let empty = Empty::new().map_err(|never| match never {}).boxed();
    let request = Request::get("/").header("host", "shop.test").body(empty).unwrap();
    assert_eq!(client.send_request(request).await.unwrap().status(), 200);
}
