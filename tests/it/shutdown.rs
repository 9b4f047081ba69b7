//! Starting and ending.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use utm_dispatcher::accept::{self, BindError};
use utm_dispatcher::config::Live;

use crate::harness::{Client, Reply, Upstream, config, proxy, shop, until};

#[tokio::test]
async fn a_second_instance_on_the_same_port_is_refused() {
    let (_upstream, proxy) = shop(|_| Reply::ok("x")).await;
    let mut same = config(&[]).proxy;
    same.listen = vec![proxy.address()];
    let refused = accept::bind(&same);
    assert!(matches!(refused, Err(BindError::InUse(address)) if address == proxy.address()), "{refused:?}");
}

#[tokio::test]
async fn open_requests_end_and_silent_connections_close_soon() {
    let gate = CancellationToken::new();
    let held = gate.clone();
    let (upstream, mut proxy) = shop(move |request| match request.target() {
        "/slow" => Reply::new().wait(&held).write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow"),
        "/stream" => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbe").wait(&held).write("gn"),
        _ => Reply::ok("x"),
    })
    .await;
    let (mut slow, mut streaming) = (proxy.connect().await, proxy.connect().await);
    let (mut idle, mut untouched) = (proxy.connect().await, proxy.connect().await);
    idle.get("/").await;
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    streaming.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until("both requests are at the shop", || upstream.received().len() == 3).await;

    let start = Instant::now();
    proxy.workers.drain();
    assert!(idle.is_closed().await && untouched.is_closed().await);
    assert!(start.elapsed() < Duration::from_secs(10), "before the drain's deadline: {:?}", start.elapsed());
    gate.cancel();
    let answer = slow.answer().await;
    assert_eq!((answer.body.as_slice(), answer.value("connection")), (&b"slow"[..], Some("close")));
    assert_eq!(streaming.answer().await.body, b"begn");
    assert!(slow.is_closed().await && streaming.is_closed().await);
    for _ in 0..2 {
        assert!(proxy.workers.next_end().await.unwrap().drained);
    }
    assert!(tokio::net::TcpStream::connect(proxy.address()).await.is_err());
    proxy.workers.join();
}

#[tokio::test]
async fn requests_that_do_not_end_are_cut_off_at_the_deadline() {
    let upstream = Upstream::start(|_| Reply::new().until_closed()).await;
    let mut config = config(&[upstream.address()]);
    config.proxy.drain_timeout = Duration::from_millis(300);
    let mut proxy = proxy(config);
    let mut client = proxy.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until("the request is at the shop", || upstream.received().len() == 1).await;
    proxy.workers.drain();
    while proxy.workers.next_end().await.is_some() {}
    assert!(client.is_closed().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_of_a_busy_client_is_lost_while_the_proxy_ends() {
    let (_upstream, proxy) = shop(|_| Reply::ok("x")).await;
    let address = proxy.address();
    let clients: Vec<_> = (0..50)
        .map(|_| {
            tokio::spawn(async move {
                let mut client = Client::connect(address).await;
                let mut answered = 0;
                loop {
                    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
                    let answer = client.answer().await;
                    assert_eq!(answer.status(), 200);
                    answered += 1;
                    if answer.value("connection") == Some("close") {
                        return answered;
                    }
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    proxy.workers.drain();
    for client in clients {
        assert!(client.await.unwrap() > 0);
    }
    proxy.workers.join();
}

#[tokio::test]
async fn a_panic_in_one_connection_is_only_that_connections() {
    let mut config = config(&[]);
    config.proxy.workers = 1;
    let config = Live::new(config);
    let bound = accept::bind(&config.now().proxy).unwrap();
    let metrics = std::sync::Arc::default();
    let workers = accept::start(bound, &config, &metrics, |_| {
        let answer = |_, request: http::Request<hyper::body::Incoming>| async move {
            assert_ne!(request.uri().path(), "/panic");
            utm_dispatcher::forward::pages::text(http::StatusCode::OK, "fine")
        };
        (answer, std::future::ready(()))
    })
    .unwrap();
    let mut bystander = Client::connect(workers.addresses()[0]).await;
    assert_eq!(bystander.get("/").await.status(), 200);
    let mut victim = Client::connect(workers.addresses()[0]).await;
    victim.send("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(victim.is_closed().await);
    assert_eq!(bystander.get("/").await.body, b"fine");
    drop(bystander);
    until("no connection is counted as open", || metrics.connections_open.get() == 0).await;
}
