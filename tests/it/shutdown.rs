//! Starting and ending.

use std::time::{Duration, Instant};

use utm_dispatcher::accept::{self, BindError};

use crate::harness::{Reply, Upstream, config, proxy, shop, until};

#[tokio::test]
async fn a_second_instance_on_the_same_port_is_refused() {
    let (_upstream, proxy) = shop(|_| Reply::ok("x")).await;
    let refused = accept::bind(&[proxy.address()], 2);
    assert!(matches!(refused, Err(BindError::InUse(address)) if address == proxy.address()), "{refused:?}");
}

#[tokio::test]
async fn open_requests_end_and_silent_connections_close_soon() {
    let (upstream, mut proxy) = shop(|request| match request.target() {
        "/slow" => Reply::new()
            .pause(Duration::from_millis(600))
            .write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow"),
        _ => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbe")
            .pause(Duration::from_millis(600))
            .write("gn"),
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
    assert!(start.elapsed() < Duration::from_millis(550), "{:?}", start.elapsed());
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
                let mut client = crate::harness::Client::connect(address).await;
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
