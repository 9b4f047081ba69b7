//! Requests that must not reach the shop, and clients that take their time.

use std::time::Duration;

use utm_dispatcher::config::{ErrorPage, StatusPattern};

use crate::harness::{DEADLINE, Reply, Upstream, config, eventually, free_address, proxy, shop, until};

#[tokio::test]
async fn malformed_requests_are_answered_and_not_forwarded() {
    let (upstream, proxy) = shop(|_| Reply::ok("x")).await;
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("GET http://other/ HTTP/1.1\r\nHost: shop.test\r\n\r\n", 400),
        ("GET http://me@shop.test/ HTTP/1.1\r\nHost: shop.test\r\n\r\n", 400),
        ("GET * HTTP/1.1\r\nHost: shop.test\r\n\r\n", 400),
        ("GET shop.test HTTP/1.1\r\nHost: shop.test\r\n\r\n", 400),
        ("TRACE / HTTP/1.1\r\nHost: shop.test\r\n\r\n", 405),
        ("CONNECT shop.test:443 HTTP/1.1\r\nHost: shop.test\r\n\r\n", 405),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
    ] {
        let mut client = proxy.connect().await;
        client.send(request).await;
        assert_eq!(client.answer().await.status(), status, "{request}");
        assert!(client.is_closed().await, "{request}");
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn an_absolute_target_becomes_a_path() {
    let (upstream, proxy) = shop(|_| Reply::ok("x")).await;
    let mut client = proxy.connect().await;
    client.send("GET http://Shop.Test/a//b?c HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 200);
    client.send("OPTIONS * HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 200);
    let targets: Vec<String> =
        upstream.received().iter().map(|request| request.target().to_owned()).collect();
    assert_eq!(targets, ["/a//b?c", "*"]);
}

#[tokio::test]
async fn a_malformed_chunk_is_the_clients_fault() {
    let (_upstream, proxy) = shop(|_| Reply::ok("x")).await;
    let mut client = proxy.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.status(), 400);
    assert!(client.is_closed().await);
}

/// A body that is not read to its end must not be taken for the next request, nor may the client send one behind it.
#[tokio::test]
async fn who_is_answered_within_a_body_is_told_that_the_connection_ends() {
    let upstream = Upstream::start(|request| match request.target() {
        "/early" => Reply::with("403 Forbidden", &[], "no").early(),
        _ => Reply::ok("x"),
    })
    .await;
    let mut of_limits = config(&[upstream.address()]);
    of_limits.proxy.limits.body_bytes = Some(10);
    of_limits.proxy.timeouts.body_idle = Duration::from_millis(300);
    let (proxy, down) = (proxy(of_limits), proxy(config(&[free_address()])));
    let length = |target: &str, length: usize| {
        format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")
    };
    let chunks =
        |body: &str| format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    for (server, request, status) in [
        (&proxy, length("/", 11), 413),
        (&proxy, chunks("b\r\nhello world\r\n"), 413),
        (&proxy, chunks("0x5\r\nhello\r\n0\r\n\r\n"), 400),
        (&proxy, length("/", 5) + "he", 408),
        (&proxy, length("/early", 5) + "he", 403),
        (&down, length("/", 5) + "he", 502),
    ] {
        let mut client = server.connect().await;
        client.send(&request).await;
        let answer = client.answer().await;
        let said = answer.value("connection").map(str::to_ascii_lowercase);
        assert_eq!((answer.status(), said.as_deref()), (status, Some("close")), "{request}");
        assert!(client.is_closed().await, "{request}");
    }
    let mut client = down.connect().await;
    for _ in 0..2 {
        assert_eq!(client.get("/").await.status(), 502, "without a body it goes on");
    }
}

#[tokio::test]
async fn limits_are_kept() {
    let upstream = Upstream::start(|_| Reply::ok("x")).await;
    let mut config = config(&[upstream.address()]);
    config.proxy.limits.body_bytes = Some(10);
    let proxy = proxy(config);
    let long = "x".repeat(33 << 10);
    let many: String = (0..201).map(|number| format!("X-{number}: 1\r\n")).collect();
    let big: String = (0..70).map(|number| format!("X-{number}: {}\r\n", "y".repeat(1500))).collect();
    for (request, status) in [
        (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{big}\r\n"), 431),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world".to_owned(), 413),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n"
                .to_owned(),
            413,
        ),
    ] {
        let mut client = proxy.connect().await;
        client.send(&request).await;
        assert_eq!(client.answer().await.status(), status, "{}", &request[..40.min(request.len())]);
    }
    let fields: String = (0..150).map(|number| format!("X-{number}: 1\r\n")).collect();
    let mut client = proxy.connect().await;
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).await;
    assert_eq!(client.answer().await.status(), 200);
}

#[tokio::test]
async fn silent_clients_are_let_go() {
    let upstream = Upstream::start(|_| Reply::ok("x")).await;
    let mut config = config(&[upstream.address()]);
    config.proxy.timeouts.first_byte = Duration::from_secs(1);
    config.proxy.timeouts.header = Duration::from_secs(1);
    config.proxy.timeouts.keep_alive = Duration::from_secs(1);
    config.proxy.timeouts.body_idle = Duration::from_secs(1);
    let proxy = proxy(config);

    let mut silent = proxy.connect().await;
    let mut slow_head = proxy.connect().await;
    slow_head.send("GET / HTTP/1.1\r\nHost: a\r\n").await;
    let mut idle = proxy.connect().await;
    idle.get("/").await;
    let mut slow_body = proxy.connect().await;
    slow_body.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe").await;

    assert!(silent.is_closed().await && idle.is_closed().await);
    assert_eq!(slow_head.answer().await.status(), 408);
    assert!(slow_head.is_closed().await);
    assert_eq!(slow_body.answer().await.status(), 408);
}

/// Longer than it takes until only the socket of a silent connection is kept.
const PAUSE: Duration = Duration::from_millis(1500);

#[tokio::test]
async fn a_client_that_pauses_is_served_on_its_connection_until_keep_alive_ends() {
    let upstream = Upstream::start(|_| Reply::ok("x")).await;
    let mut config = config(&[upstream.address()]);
    config.proxy.timeouts.keep_alive = Duration::from_secs(3);
    let proxy = proxy(config);
    let mut client = proxy.connect().await;
    for _ in 0..2 {
        assert_eq!(client.get("/").await.status(), 200);
        assert!(!client.closes_within(PAUSE).await);
    }
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx").await;
    assert_eq!(client.answer().await.status(), 200);
    assert!(!client.closes_within(PAUSE).await);
    assert_eq!(client.get("/").await.status(), 200);
    assert!(client.is_closed().await);
    let mut leaving = proxy.connect().await;
    leaving.get("/").await;
    assert!(!leaving.closes_within(PAUSE).await);
    drop(leaving);
    let start = std::time::Instant::now();
    while proxy.metrics.connections_open.get() > 0 {
        assert!(start.elapsed() < Duration::from_secs(1), "nobody noticed that the client is gone");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn the_beginning_of_a_pipelined_request_outlasts_a_pause() {
    let upstream = Upstream::start(|_| Reply::ok("x")).await;
    let proxy = proxy(config(&[upstream.address()]));
    let mut client = proxy.connect().await;
    client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHo").await;
    assert_eq!(client.answer().await.status(), 200);
    assert!(!client.closes_within(PAUSE).await);
    client.send("st: a\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 200);
}

#[tokio::test]
async fn a_client_that_pauses_in_the_middle_of_a_page_gets_all_of_it() {
    // Of some of these sizes the last part is still in our buffers when the client's are full.
    let upstream = Upstream::start(|request| {
        let kib: usize = request.target().trim_start_matches('/').parse().unwrap_or(0);
        Reply::ok("x".repeat(kib << 10))
    })
    .await;
    let proxy = proxy(config(&[upstream.address()]));
    let mut reading = tokio::task::JoinSet::new();
    for kib in (64..8192).step_by(192) {
        let mut client = proxy.connect().await;
        reading.spawn(async move {
            client.send(format!("GET /{kib} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            tokio::time::sleep(2 * PAUSE).await;
            let answer = client.answer().await;
            assert!(answer.complete && answer.body.len() == kib << 10, "{kib} KiB");
        });
    }
    reading.join_all().await;
}

#[tokio::test]
async fn a_slow_head_does_not_get_more_time_by_trickling() {
    let upstream = Upstream::start(|_| Reply::ok("x")).await;
    let mut config = config(&[upstream.address()]);
    config.proxy.timeouts.header = Duration::from_millis(300);
    let proxy = proxy(config);
    let mut client = proxy.connect().await;
    for letters in 0.. {
        assert!(letters < 200, "each letter bought time");
        client.send("G").await;
        if let Ok(answer) = tokio::time::timeout(Duration::from_millis(50), client.answer()).await {
            assert_eq!(answer.status(), 408);
            break;
        }
    }
}

#[tokio::test]
async fn more_connections_than_allowed_are_told_so() {
    let upstream = Upstream::start(|_| Reply::ok("x")).await;
    let mut config = config(&[upstream.address()]);
    config.proxy.max_connections = 2;
    let proxy = proxy(config);
    let (mut first, mut second) = (proxy.connect().await, proxy.connect().await);
    assert_eq!((first.get("/").await.status(), second.get("/").await.status()), (200, 200));
    assert_eq!(proxy.connect().await.answer().await.status(), 503);
    drop(first);
    let start = std::time::Instant::now();
    loop {
        let mut client = proxy.connect().await;
        let _ =
            tokio::io::AsyncWriteExt::write_all(&mut client.tcp, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        if client.answer().await.status() == 200 {
            break;
        }
        assert!(start.elapsed() < crate::harness::DEADLINE);
    }
}

#[tokio::test]
async fn connections_that_are_too_many_get_the_pages_of_the_shop() {
    let upstream = Upstream::start(|_| Reply::ok("x")).await;
    let page = |status, file: &str, text: String| ErrorPage { status, file: file.into(), text };
    for (of_all, of_client, status) in [(Some(1), None, 503), (None, Some(1), 429)] {
        for (size, is_sent) in [(5_000, true), (11_000, true), (13_000, false)] {
            let text = format!("<p>{{status}} {{request_id}} {}</p>", "x".repeat(size));
            let mut config = config(&[upstream.address()]);
            config.proxy.max_connections = of_all.unwrap_or(config.proxy.max_connections);
            config.proxy.limits.connections_per_ip = of_client;
            config.proxy.error_pages = vec![
                page(StatusPattern::Exact(status), "page.html", text.clone()),
                page(StatusPattern::Class(5), "page.json", "{}".to_owned()),
            ];
            let proxy = proxy(config);
            let mut first = proxy.connect().await;
            assert_eq!(first.get("/").await.status(), 200);
            let answer = proxy.connect().await.answer().await;
            assert_eq!((answer.status(), answer.value("retry-after")), (status, Some("1")));
            let (media_type, shown) = if is_sent {
                let text = text.replace("{status}", &status.to_string()).replace("{request_id}", "-");
                ("text/html; charset=utf-8", text)
            } else {
                ("text/plain", "too many connections\n".to_owned())
            };
            assert_eq!(answer.value("content-type"), Some(media_type));
            assert!(answer.body == shown.as_bytes(), "{status}, {size}");
        }
    }
}

#[tokio::test]
async fn one_client_cannot_have_all_connections() {
    let upstream = Upstream::start(|_| Reply::ok("x")).await;
    let mut config = config(&[upstream.address()]);
    config.proxy.limits.connections_per_ip = Some(2);
    let proxy = proxy(config);
    let (mut first, mut second) = (proxy.connect().await, proxy.connect().await);
    assert_eq!((first.get("/").await.status(), second.get("/").await.status()), (200, 200));
    assert_eq!(proxy.connect().await.answer().await.status(), 429);
    // Another address of the same machine is another client.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let tcp = socket.connect(proxy.address()).await.unwrap();
    assert_eq!(crate::harness::Client::on(tcp).get("/").await.status(), 200);
    drop(first);
    eventually("a place is free again", DEADLINE, || async {
        let mut client = proxy.connect().await;
        client.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.ok()?;
        let answer = client.try_answer(true).await?;
        (answer.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn proxies_in_front_may_have_any_number_of_connections() {
    let upstream = Upstream::start(|_| Reply::ok("x")).await;
    let mut config = config(&[upstream.address()]);
    config.proxy.limits.connections_per_ip = Some(1);
    config.proxy.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let proxy = proxy(config);
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = proxy.connect().await;
        assert_eq!(client.get("/").await.status(), 200);
        clients.push(client);
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_let_go() {
    let upstream = Upstream::start(|_| Reply::ok(vec![b'x'; 32 << 20])).await;
    let mut config = config(&[upstream.address()]);
    config.proxy.timeouts.response_idle = Duration::from_secs(1);
    let proxy = proxy(config);
    let mut client = proxy.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until("the connection of one who does not read has ended", || {
        upstream.closed() == 1 && proxy.metrics.connections_open.get() == 0
    })
    .await;
    assert!(!client.answer().await.complete);
}

#[tokio::test]
async fn an_answer_to_a_bad_request_is_not_lost_on_one_who_still_sends() {
    let (upstream, proxy) = shop(|_| Reply::ok("x")).await;
    for _ in 0..20 {
        let mut client = proxy.connect().await;
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\nContent-Length: 500000\r\n\r\n";
        client.send(head.to_owned() + &"x".repeat(500_000)).await;
        assert_eq!(client.answer().await.status(), 400);
        assert!(client.is_closed().await);
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn the_times_of_a_connection_are_counted_each_for_itself() {
    let upstream = Upstream::start(|_| Reply::ok("x")).await;
    let mut config = config(&[upstream.address()]);
    config.proxy.timeouts.header = Duration::from_millis(600);
    let proxy = proxy(config);
    // A second head that does not end is late by `header`, not by `keep_alive`; also one sent with the first.
    for pipelined in [false, true] {
        let mut client = proxy.connect().await;
        let (first, second) = ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHo");
        if pipelined {
            client.send(first.to_owned() + second).await;
            assert_eq!(client.answer().await.status(), 200);
        } else {
            client.send(first).await;
            assert_eq!(client.answer().await.status(), 200);
            client.send(second).await;
        }
        let start = std::time::Instant::now();
        assert_eq!(client.answer().await.status(), 408);
        assert!(start.elapsed() >= Duration::from_millis(500), "{:?}", start.elapsed());
    }
    // An empty line begins nothing.
    let mut client = proxy.connect().await;
    client.get("/").await;
    client.send("\r").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    client.send("\n").await;
    assert!(!client.closes_within(Duration::from_millis(1500)).await);
    assert_eq!(client.get("/").await.status(), 200);
}

#[tokio::test]
async fn what_is_refused_is_counted_by_reason() {
    let (_upstream, proxy) = shop(|_| Reply::ok("x")).await;
    for (request, reason) in [
        ("GET / HTTP/1.1\r\n\r\n", "host"),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", "framing"),
        ("nonsense\r\n\r\n", "malformed"),
    ] {
        let mut client = proxy.connect().await;
        client.send(request).await;
        assert_eq!(client.answer().await.status(), 400);
        let label = utm_dispatcher::telemetry::metrics::Reason { reason };
        assert_eq!(proxy.metrics.requests_refused.get_or_create(&label).get(), 1, "{reason}");
    }
    proxy.get("/<>").await;
    assert_eq!(proxy.metrics.targets_escaped.get(), 1);
}
