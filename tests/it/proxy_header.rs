//! The PROXY protocol before a connection: who is believed, and what else is closed.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use utm_dispatcher::config::Config;
use utm_dispatcher::telemetry::metrics::Reason;

use crate::harness::tls::Authority;
use crate::harness::{Reply, Upstream, config, proxy, until};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

async fn shop() -> Upstream {
    Upstream::start(|_| Reply::ok("x")).await
}

fn believing(mut config: Config) -> Config {
    config.proxy.proxy_protocol = true;
    config.proxy.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    config.proxy.timeouts.first_byte = Duration::from_millis(500);
    config
}

#[tokio::test]
async fn the_address_is_the_one_of_the_header() {
    let upstream = shop().await;
    let proxy = proxy(believing(config(&[upstream.address()])));
    let v4 = [SIGNATURE, &[0x21, 0x11, 0, 15], &[192, 0, 2, 7, 1, 1, 1, 1, 0, 1, 0, 2], &[4, 0, 0]].concat();
    let local = [SIGNATURE, &[0x20, 0x00, 0, 0]].concat();
    for (header, address) in [
        (b"PROXY TCP4 192.0.2.6 127.0.0.1 4711 80\r\n".to_vec(), "192.0.2.6"),
        (b"PROXY TCP6 2001:db8::6 ::1 4711 80\r\n".to_vec(), "2001:db8::6"),
        (v4, "192.0.2.7"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (local, "127.0.0.1"),
    ] {
        let mut client = proxy.connect().await;
        // In pieces, and with the request behind the last one.
        let (first, rest) = header.split_at(9);
        client.send(first).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        client.send([rest, REQUEST.as_bytes()].concat()).await;
        assert_eq!(client.answer().await.status(), 200);
        client.send("GET / HTTP/1.1\r\nHost: shop.test\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n").await;
        assert_eq!(client.answer().await.status(), 200);
        let received = upstream.received();
        let [.., first, second] = &received[..] else { panic!() };
        assert_eq!(first.value("x-real-ip"), Some(address));
        // Who speaks behind the header is no proxy of ours, unless it says that it is the load balancer itself.
        let forwarded = if address == "127.0.0.1" { "6.6.6.6, 127.0.0.1" } else { address };
        assert_eq!(second.value("x-forwarded-for"), Some(forwarded));
    }
}

#[tokio::test]
async fn others_and_other_bytes_are_closed_and_counted() {
    let upstream = shop().await;
    let proxy = proxy(believing(config(&[upstream.address()])));
    let refused = |proxy: &crate::harness::Proxy, reason| {
        proxy.metrics.connections_refused.get_or_create(&Reason { reason }).get()
    };
    let mut malformed = proxy.connect().await;
    malformed.send(REQUEST).await;
    assert!(malformed.is_closed().await);
    let mut silent = proxy.connect().await;
    silent.send("PROXY TC").await;
    assert!(silent.is_closed().await);
    drop(proxy.connect().await);
    until("all are counted", || {
        ["proxy_header_malformed", "proxy_header_timeout", "proxy_header_closed"]
            .iter()
            .all(|reason| refused(&proxy, reason) == 1)
    })
    .await;

    let mut config = believing(config(&[upstream.address()]));
    config.proxy.trusted_proxies = vec!["192.0.2.1/32".parse().unwrap()];
    let strict = crate::harness::proxy(config);
    let mut stranger = strict.connect().await;
    stranger.send(format!("PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n{REQUEST}")).await;
    assert!(stranger.is_closed().await);
    assert_eq!(refused(&strict, "proxy_header_untrusted"), 1);
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn encryption_begins_behind_the_header() {
    let authority = Authority::new();
    let upstream = shop().await;
    let proxy = proxy(believing(authority.config(upstream.address())));
    let mut tcp = TcpStream::connect(proxy.address()).await.unwrap();
    tcp.write_all(b"PROXY TCP4 192.0.2.6 127.0.0.1 4711 443\r\n").await.unwrap();
    let connector = TlsConnector::from(authority.client(&[], rustls::ALL_VERSIONS));
    let mut stream = connector.connect("shop.test".try_into().unwrap(), tcp).await.unwrap();
    stream.write_all(REQUEST.as_bytes()).await.unwrap();
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).await.unwrap();
    let received = upstream.only();
    assert_eq!(
        (received.value("x-real-ip"), received.value("x-forwarded-proto")),
        (Some("192.0.2.6"), Some("https"))
    );
}
