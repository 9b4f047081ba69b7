//! Upgrades: WebSockets through the proxy, and what must not become a tunnel.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};
use tokio_util::sync::CancellationToken;
use utm_dispatcher::telemetry::metrics::ServerLabels;

use crate::harness::tls::Authority;
use crate::harness::{Reply, config, proxy, shop, until};

const SWITCHED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

fn upgrade(protocol: &str, more: &str) -> String {
    format!("GET /ws HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n{more}\r\n")
}

/// A server that sends every message back; the first word comes from it.
pub(crate) async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut socket = accept_async(tcp).await.unwrap();
                socket.send(Message::text("hello")).await.unwrap();
                while let Some(Ok(message)) = socket.next().await {
                    if !message.is_close() {
                        socket.send(message).await.unwrap();
                    }
                }
            });
        }
    });
    address
}

pub(crate) async fn converse<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> WebSocketStream<S> {
    let (mut socket, response) = client_async("ws://shop.test/ws?utm_source=x", stream).await.unwrap();
    assert_eq!(response.status(), 101);
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
    for size in [0, 1, 1 << 10, 1 << 20] {
        let message = Message::binary(vec![7; size]);
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn websockets_pass_plain_and_encrypted() {
    let server = echo().await;
    let authority = Authority::new();
    let mut config = authority.config(server);
    config.proxy.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    let proxy = proxy(config);
    let open = || proxy.metrics.connections_open.get();
    let mut plain = converse(TcpStream::connect(proxy.address()).await.unwrap()).await;
    let encrypted = authority.connect(proxy.workers.addresses()[1], "shop.test", &["http/1.1"]).await;
    let mut encrypted = converse(encrypted.unwrap()).await;
    assert_eq!(open(), 2);
    plain.close(None).await.unwrap();
    encrypted.close(None).await.unwrap();
    while plain.next().await.is_some() {}
    while encrypted.next().await.is_some() {}
    until("both have ended", || open() == 0).await;
}

#[tokio::test]
async fn bytes_behind_both_heads_are_not_lost() {
    let (upstream, proxy) = shop(|_| Reply::raw(format!("{SWITCHED}early")).until_closed()).await;
    let mut client = proxy.connect().await;
    client.send(format!("{}GET /inside HTTP/1.1\r\n\r\n", upgrade("websocket", ""))).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.value("upgrade")), (101, Some("websocket")));
    assert_eq!(answer.value("connection").map(str::to_ascii_lowercase).as_deref(), Some("upgrade"));
    let mut early = [0; 5];
    client.read_exact(&mut early).await;
    assert_eq!(&early, b"early");
    // What looks like a request inside of a tunnel is none.
    assert_eq!(upstream.received().len(), 1);
    assert_eq!(upstream.only().value("connection").map(str::to_ascii_lowercase).as_deref(), Some("upgrade"));
}

#[tokio::test]
async fn what_was_not_asked_for_is_a_bad_gateway() {
    let (upstream, proxy) = shop(|_| Reply::raw(SWITCHED).until_closed()).await;
    assert_eq!(proxy.get("/").await.status(), 502);
    for request in [
        upgrade("other", ""),
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n".to_owned(),
        "GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n".to_owned(),
    ] {
        let mut client = proxy.connect().await;
        client.send(&request).await;
        assert_eq!(client.answer().await.status(), 502, "{request}");
    }
    assert_eq!(upstream.received().len(), 4);
}

#[tokio::test]
async fn other_answers_pass_and_the_connection_goes_on() {
    let (upstream, proxy) = shop(|_| Reply::with("426 Upgrade Required", &[], "no")).await;
    let mut client = proxy.connect().await;
    for _ in 0..2 {
        client.send(upgrade("websocket", "")).await;
        assert_eq!(client.answer().await.status(), 426);
    }
    assert_eq!(client.get("/").await.status(), 426);
    assert_eq!(upstream.received().iter().filter(|request| request.value("upgrade").is_some()).count(), 2);
}

#[tokio::test]
async fn an_upgrade_with_a_body_is_refused_and_other_http_is_never_switched_to() {
    let (upstream, proxy) = shop(|_| Reply::ok("x")).await;
    for body in ["Content-Length: 2\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut client = proxy.connect().await;
        client.send(upgrade("websocket", body)).await;
        assert_eq!(client.answer().await.status(), 400, "{body}");
    }
    assert!(upstream.received().is_empty());
    let mut client = proxy.connect().await;
    client.send(upgrade("h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n")).await;
    assert_eq!(client.answer().await.status(), 200);
    assert_eq!(upstream.only().value("upgrade"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_has_its_room_at_the_server_until_it_ends() {
    let server = echo().await;
    let mut config = config(&[server]);
    config.upstreams[0].servers[0].max_connections = Some(1);
    config.upstreams[0].queue = 0;
    let proxy = proxy(config);
    let labels = ServerLabels { upstream: "shop".to_owned(), server: format!("http://{server}") };
    let in_flight = || proxy.metrics.upstream_server_in_flight.get_or_create(&labels).get();
    let mut socket = converse(TcpStream::connect(proxy.address()).await.unwrap()).await;
    assert_eq!(in_flight(), 1);
    let full = proxy.get("/").await;
    assert_eq!((full.status(), full.value("retry-after")), (503, Some("1")));
    socket.close(None).await.unwrap();
    while socket.next().await.is_some() {}
    until("its room is free", || in_flight() == 0).await;
    let socket = converse(TcpStream::connect(proxy.address()).await.unwrap()).await;
    // A client that is gone without a word.
    socket2::SockRef::from(socket.get_ref()).set_linger(Some(Duration::ZERO)).unwrap();
    drop(socket);
    until("its room is free, too", || in_flight() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_that_is_asked_for_while_the_worker_ends_is_one() {
    let gate = CancellationToken::new();
    let held = gate.clone();
    let (upstream, proxy) =
        shop(move |_| Reply::new().wait(&held).write(format!("{SWITCHED}hello")).until_closed()).await;
    let mut client = proxy.connect().await;
    client.send(upgrade("websocket", "")).await;
    until("it is at the shop", || upstream.received().len() == 1).await;
    proxy.workers.drain();
    tokio::time::sleep(Duration::from_millis(300)).await;
    gate.cancel();
    let answer = client.answer().await;
    let connection = answer.value("connection").map(str::to_ascii_lowercase);
    assert_eq!((answer.status(), connection.as_deref()), (101, Some("upgrade")));
    let mut hello = [0; 5];
    client.read_exact(&mut hello).await;
    assert_eq!(&hello, b"hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_tunnel_ends_and_one_that_speaks_does_not() {
    let server = echo().await;
    let mut config = config(&[server]);
    config.proxy.timeouts.tunnel_idle = Duration::from_millis(600);
    // None of these is for tunnels.
    config.proxy.timeouts.keep_alive = Duration::from_millis(100);
    config.proxy.timeouts.response_idle = Duration::from_millis(100);
    let proxy = proxy(config);
    let mut socket = converse(TcpStream::connect(proxy.address()).await.unwrap()).await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        socket.send(Message::text("still here")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("still here"));
    }
    let silent = Instant::now();
    assert!(socket.next().await.is_none_or(|end| end.is_err()));
    assert!(silent.elapsed() > Duration::from_millis(500), "{:?}", silent.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn tunnels_go_on_while_the_worker_ends_until_the_deadline() {
    let server = echo().await;
    let mut config = config(&[server]);
    config.proxy.drain_timeout = Duration::from_millis(1500);
    let proxy = proxy(config);
    let mut socket = converse(TcpStream::connect(proxy.address()).await.unwrap()).await;
    proxy.workers.drain();
    let told = Instant::now();
    tokio::time::sleep(Duration::from_millis(700)).await;
    socket.send(Message::text("still here")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("still here"));
    assert!(socket.next().await.is_none_or(|end| end.is_err()));
    assert!(told.elapsed() > Duration::from_millis(1400), "{:?}", told.elapsed());
}
