//! What reaches the shop, and what of its answer reaches the client.

use std::sync::atomic::Ordering;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::timeout;
use utm_dispatcher::config::HostHeader;

use crate::harness::{Received, Reply, Upstream, config, free_address, proxy, shop, until};

#[tokio::test]
async fn targets_pass_byte_for_byte() {
    let (upstream, proxy) = shop(|_| Reply::ok("x")).await;
    let targets = [
        "/",
        "/a?",
        "/?&&",
        "/a//b/../c%2Fd/./%7e",
        "/p?x=1;y=2&x=1&+&%zz&q=|^{}\\[]",
        "/caf\u{e9}?q=\u{456}",
        "/a?xutm_source=1",
    ];
    let mut client = proxy.connect().await;
    for target in targets {
        assert_eq!(client.get(target).await.status(), 200, "{target}");
    }
    let seen: Vec<String> =
        upstream.received().iter().map(|request| latin1_to_utf8(request.target())).collect();
    assert_eq!(seen, targets);
}

fn latin1_to_utf8(text: &str) -> String {
    let bytes: Vec<u8> = text.chars().map(|byte| u8::try_from(u32::from(byte)).unwrap()).collect();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn header_fields_pass_with_their_case_order_and_bytes() {
    let (upstream, proxy) = shop(|_| {
        let fields = ["X-Odd-CASE: a\u{a0}b", "Set-Cookie: a=1; Path=/", "Set-Cookie: b=2", "ETag: \"x\""];
        Reply::with("299 Odd Reason", &fields, "x")
    })
    .await;
    let mut client = proxy.connect().await;
    let request =
        b"GET /x HTTP/1.1\r\nHOST: Shop.Test:8080\r\nX-Weird_name: \xff\xfe\r\nCookie: a=b; c=\"d\"\r\n\
        x-twice: 1\r\nACCEPT: */*\r\nx-twice: 2\r\n\r\n";
    client.send(request).await;
    let answer = client.answer().await;
    let head = upstream.only().head;
    let lines: Vec<&str> = head.trim_end().split("\r\n").collect();
    assert_eq!(
        lines[..6],
        [
            "GET /x HTTP/1.1",
            "HOST: Shop.Test:8080",
            "X-Weird_name: \u{ff}\u{fe}",
            "Cookie: a=b; c=\"d\"",
            "x-twice: 1",
            "x-twice: 2",
        ]
    );
    assert_eq!(lines[6], "ACCEPT: */*");
    let mut added: Vec<&str> = lines[7..].to_vec();
    added.sort_unstable();
    assert_eq!(
        added,
        [
            "x-forwarded-for: 127.0.0.1",
            "x-forwarded-host: Shop.Test:8080",
            "x-forwarded-port: 8080",
            "x-forwarded-proto: http",
            "x-real-ip: 127.0.0.1",
        ]
    );
    // The reply was written as UTF-8: two bytes, both above ASCII, pass as they are.
    assert_eq!(
        answer.head,
        "HTTP/1.1 299 Odd Reason\r\nX-Odd-CASE: a\u{c2}\u{a0}b\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\n\
         ETag: \"x\"\r\nContent-Length: 1"
    );
}

#[tokio::test]
async fn fields_of_one_connection_go_no_further() {
    let (upstream, proxy) = shop(|_| {
        let fields = ["Connection: X-Hop, close", "X-Hop: 1", "Keep-Alive: timeout=1", "X-End: 1"];
        Reply::with("200 OK", &fields, "x").close()
    })
    .await;
    let mut client = proxy.connect().await;
    client
        .send(
            "GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: keep-alive, X-Secret, Cookie\r\nX-Secret: 1\r\n\
             Cookie: a=b\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nTE: trailers\r\nProxy: http://evil\r\n\
             Upgrade: h2c\r\nX-Utm-Visitor: me\r\nX_UTM_Session: me\r\n\r\n",
        )
        .await;
    let answer = client.answer().await;
    let request = upstream.only();
    for gone in [
        "connection",
        "x-secret",
        "keep-alive",
        "proxy-connection",
        "proxy",
        "upgrade",
        "x-utm-visitor",
        "x_utm_session",
    ] {
        assert_eq!(request.value(gone), None, "{gone}");
    }
    assert_eq!((request.value("cookie"), request.value("te")), (Some("a=b"), Some("trailers")));
    for gone in ["connection", "x-hop", "keep-alive"] {
        assert_eq!(answer.value(gone), None, "{gone}");
    }
    assert_eq!(answer.value("x-end"), Some("1"));
    assert_eq!(client.get("/").await.status(), 200, "the client's connection outlives the shop's");
}

const SPOOFED: &str = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n\
    X-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /evil\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n\
    CF-Connecting-IP: 6.6.6.6\r\nTrue-Client-IP: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\n";

#[tokio::test]
async fn forwarding_headers_of_strangers_are_replaced() {
    let (upstream, proxy) = shop(|_| Reply::ok("x")).await;
    let mut client = proxy.connect().await;
    client.send(format!("GET / HTTP/1.1\r\nHost: shop.test\r\n{SPOOFED}\r\n")).await;
    client.answer().await;
    let request = upstream.only();
    assert_eq!(request.values("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(request.values("x-real-ip"), ["127.0.0.1"]);
    assert_eq!(request.values("x-forwarded-proto"), ["http"]);
    assert_eq!(request.values("x-forwarded-host"), ["shop.test"]);
    assert_eq!(request.values("x-forwarded-port"), ["80"]);
    assert!(!request.head.contains("6.6.6.6") && !request.head.contains("evil"), "{}", request.head);
    assert!(proxy.metrics.state.undeclared_proxy.load(std::sync::atomic::Ordering::Relaxed));
}

#[tokio::test]
async fn forwarding_headers_of_trusted_proxies_are_kept_and_extended() {
    let upstream = Upstream::start(|_| Reply::ok("x")).await;
    let mut config = config(&[upstream.address()]);
    config.proxy.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let proxy = proxy(config);
    let mut client = proxy.connect().await;
    client.send(format!("GET / HTTP/1.1\r\nHost: shop.test\r\n{SPOOFED}\r\n")).await;
    client.answer().await;
    let request = upstream.only();
    assert_eq!(request.values("x-forwarded-for"), ["6.6.6.6, 127.0.0.1"]);
    assert_eq!(request.values("x-real-ip"), ["6.6.6.6"]);
    assert_eq!(request.values("x-forwarded-proto"), ["https"]);
    assert_eq!(request.values("x-forwarded-host"), ["evil"]);
    assert_eq!(request.value("forwarded"), None, "the kind that is not spoken may be a stranger's");
    assert_eq!(request.value("x_forwarded_for"), None);
}

#[tokio::test]
async fn the_shop_sees_the_host_that_is_configured() {
    let upstream = Upstream::start(|_| Reply::ok("x")).await;
    for (host, want) in [
        (HostHeader::Preserve, "shop.test".to_owned()),
        (HostHeader::Upstream, upstream.address().to_string()),
        (HostHeader::Literal("inside".to_owned()), "inside".to_owned()),
    ] {
        let mut config = config(&[upstream.address()]);
        config.upstreams[0].host = host;
        proxy(config).get("/").await;
        let received = upstream.received();
        assert_eq!(received.last().unwrap().values("host"), [want]);
    }
}

#[tokio::test]
async fn requests_go_where_their_route_says() {
    let (main, api) =
        (Upstream::start(|_| Reply::ok("main")).await, Upstream::start(|_| Reply::ok("api")).await);
    let mut config = config(&[main.address()]);
    config.upstreams.push(crate::harness::config::upstream("api", &[api.address()]));
    config.routes.push(utm_dispatcher::config::Route {
        host: Some("shop.test".to_owned()),
        path: "/api".to_owned(),
        upstream: 1,
        site: "default".to_owned(),
        tracking: false,
        strip: Vec::new(),
        timeouts: config.proxy.timeouts.into(),
    });
    let proxy = proxy(config);
    for (target, want) in [("/", "main"), ("/api", "api"), ("/apix", "main"), ("/x/%2e%2e/api/y", "api")] {
        assert_eq!(proxy.get(target).await.body, want.as_bytes(), "{target}");
    }
    assert_eq!(api.received().last().unwrap().target(), "/x/%2e%2e/api/y");
}

fn big() -> Vec<u8> {
    (0..10_u32 << 20).map(|at| u8::try_from(at.wrapping_mul(2_654_435_761) >> 24).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_pass_intact_both_ways() {
    let (upstream, proxy) = shop(|_| Reply::ok(big())).await;
    let body = big();
    let mut client = proxy.connect().await;
    client
        .send(format!("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: {}\r\n\r\n", body.len()))
        .await;
    client.send(&body).await;
    // A slow reader: the kernel's buffers fill, and the proxy must wait rather than collect.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let answer = client.answer().await;
    assert!(answer.complete && answer.body == body);
    let request = upstream.only();
    assert!(request.body == body);
    assert_eq!(request.value("content-length"), Some("10485760"));
}

#[tokio::test(flavor = "multi_thread")]
async fn chunked_bodies_pass_both_ways() {
    let (upstream, proxy) = shop(|_| {
        Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            .pause(Duration::from_millis(20))
            .write("6;x=y\r\n world\r\n0\r\n\r\n")
    })
    .await;
    let mut client = proxy.connect().await;
    for method in ["POST", "GET"] {
        client
            .send(format!(
                "{method} / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
            ))
            .await;
        client.send("2;ext\r\nde\r\n0\r\n\r\n").await;
        let answer = client.answer().await;
        assert_eq!((answer.body.as_slice(), answer.complete), (&b"hello world"[..], true));
    }
    let received = upstream.received();
    assert!(received.iter().all(|request| request.body == b"abcde"), "{received:?}");
    assert_eq!(upstream.opened(), 1, "the connection is used again");
}

#[tokio::test]
async fn trailers_reach_a_client_that_asks_for_them() {
    let (upstream, proxy) = shop(|_| {
        Reply::raw(
            "HTTP/1.1 200 OK\r\nTrailer: X-Sum, X-Utm-Event\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Utm-Event: click\r\nX-Sum: 7\r\n\r\n",
        )
    })
    .await;
    let mut client = proxy.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE, close\r\n\r\n").await;
    let mut whole = Vec::new();
    client.tcp.read_to_end(&mut whole).await.unwrap();
    let whole = String::from_utf8(whole).unwrap();
    assert!(whole.to_ascii_lowercase().ends_with("0\r\nx-sum: 7\r\n\r\n"), "{whole}");
    assert_eq!(upstream.only().value("te"), Some("trailers"));
}

#[tokio::test]
async fn a_response_cut_short_is_seen_as_cut_short() {
    let (_upstream, proxy) = shop(|request| match request.target() {
        "/length" => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort").close(),
        "/reset" => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
            .pause(Duration::from_millis(20))
            .reset(),
        "/chunks" => {
            Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n").close()
        }
        _ => Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nshort").close(),
    })
    .await;
    for target in ["/length", "/reset", "/chunks", "/chunk"] {
        let answer = proxy.get(target).await;
        assert_eq!((answer.status(), answer.complete), (200, false), "{target}");
    }
}

#[tokio::test]
async fn a_response_that_ends_with_its_connection_is_complete() {
    let (_upstream, proxy) =
        shop(|_| Reply::raw("HTTP/1.0 200 OK\r\nContent-Type: x\r\n\r\nold server").close()).await;
    let mut client = proxy.connect().await;
    for _ in 0..2 {
        let answer = client.get("/").await;
        assert!(answer.head.starts_with("HTTP/1.1 200 OK"));
        assert_eq!((answer.body.as_slice(), answer.complete), (&b"old server"[..], true));
    }
}

#[tokio::test]
async fn length_and_chunks_in_one_response_are_disentangled() {
    let (_upstream, proxy) = shop(|_| {
        Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    })
    .await;
    let answer = proxy.get("/").await;
    assert_eq!((answer.body.as_slice(), answer.value("content-length")), (&b"hello"[..], None));
}

#[tokio::test]
async fn an_answer_to_a_request_still_coming_reaches_the_client() {
    let (upstream, proxy) =
        shop(|_| Reply::with("413 Payload Too Large", &["Connection: close"], "too much").early()).await;
    let mut client = proxy.connect().await;
    client.send("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 100000000\r\n\r\n").await;
    let (mut reader, mut writer) = client.tcp.into_split();
    let sending = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        let chunk = vec![b'x'; 1 << 16];
        let mut sent = 0;
        while sent < 100_000_000 && writer.write_all(&chunk).await.is_ok() {
            sent += chunk.len();
        }
        sent
    });
    let mut answer = Vec::new();
    let _ = reader.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.ends_with("too much"), "{answer}");
    assert!(sending.await.unwrap() < 100_000_000);
    assert_eq!(upstream.opened(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_to_a_request_still_coming_is_whole_for_a_slow_client() {
    let (upstream, proxy) =
        shop(|_| Reply::with("403 Forbidden", &["Connection: close"], big()).early().until_closed()).await;
    let mut client = proxy.connect().await;
    client.send("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 100\r\n\r\nbegin").await;
    // The kernel's buffers fill, and some of the answer is still with the proxy when the shop has sent it all.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.value("connection")), (403, Some("close")));
    assert!(answer.complete && answer.body == big());
    assert!(client.is_closed().await);
    assert_eq!(upstream.received().len(), 1);
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it_and_the_shop_is_not_asked() {
    let (upstream, proxy) = shop(|_| Reply::ok("thanks")).await;
    let mut client = proxy.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: shop.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.status(), 100);
    client.send("hello").await;
    assert_eq!(client.answer().await.body, b"thanks");
    let request = upstream.only();
    assert_eq!((request.value("expect"), request.body.as_slice()), (None, &b"hello"[..]));
}

#[tokio::test]
async fn interim_responses_of_the_shop_do_not_confuse() {
    let (_upstream, proxy) = shop(|_| {
        Reply::raw("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            .pause(Duration::from_millis(20))
            .write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    })
    .await;
    assert_eq!(proxy.get("/").await.body, b"ok");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (_upstream, proxy) = shop(|request| match request.target() {
        "/slow" => Reply::new()
            .pause(Duration::from_millis(100))
            .write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow"),
        _ => Reply::ok("fast"),
    })
    .await;
    let mut client = proxy.connect().await;
    let request = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    client.send([request("/slow"), request("/fast"), request("/slow"), request("/fast")].concat()).await;
    for want in ["slow", "fast", "slow", "fast"] {
        assert_eq!(client.answer().await.body, want.as_bytes());
    }
}

#[tokio::test]
async fn each_request_spells_names_its_own_way() {
    let (upstream, proxy) = shop(|_| Reply::ok("x")).await;
    let requests = [
        "GET /1 HTTP/1.1\r\nHost: shop.test\r\nX-NUMBER: 1\r\n\r\n",
        "GET /2 HTTP/1.1\r\nhost: shop.test\r\nx-number: 2\r\n\r\n",
        "POST /3 HTTP/1.1\r\nHOST: shop.test\r\nx-Number: 3\r\nCONTENT-Length: 9\r\n\r\nx-number:",
        "POST /4 HTTP/1.1\r\nX-number: 4\r\nHost: shop.test\r\nTransfer-ENCODING: chunked\r\n\r\n\
         9\r\nX-NUMBER:\r\n0\r\n\r\n",
        "\r\nGET /5?x-number:=[] HTTP/1.1\r\nX-Number: 5\r\nHoSt: shop.test\r\n\r\n",
    ];
    let mut client = proxy.connect().await;
    client.send(requests.concat()).await;
    for _ in requests {
        assert_eq!(client.answer().await.status(), 200);
    }
    let spelled: Vec<Vec<String>> = upstream
        .received()
        .iter()
        .map(|request| {
            let names = request.head.split("\r\n").skip(1).filter_map(|line| line.split(':').next());
            let ours =
                |name: &&str| name.is_empty() || name.starts_with("x-forwarded") || *name == "x-real-ip";
            names.filter(|name| !ours(name)).map(str::to_owned).collect()
        })
        .collect();
    assert_eq!(
        spelled,
        [
            vec!["Host", "X-NUMBER"],
            vec!["host", "x-number"],
            vec!["HOST", "x-Number", "CONTENT-Length"],
            vec!["X-number", "Host", "Transfer-ENCODING"],
            vec!["X-Number", "HoSt"],
        ]
    );
    let bodies: Vec<Vec<u8>> = upstream.received().into_iter().map(|request| request.body).collect();
    assert_eq!(bodies, [&b""[..], b"", b"x-number:", b"X-NUMBER:", b""]);
}

#[tokio::test]
async fn old_clients_are_served() {
    let (upstream, proxy) =
        shop(|_| Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"))
            .await;
    let mut client = proxy.connect().await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    let answer = client.answer().await;
    assert!(answer.head.starts_with("HTTP/1.0 200 OK"), "{}", answer.head);
    assert_eq!((answer.body.as_slice(), answer.value("transfer-encoding")), (&b"hello"[..], None));
    assert_eq!(upstream.only().values("host"), [upstream.address().to_string()]);
}

#[tokio::test]
async fn answers_without_body_keep_connections_in_step() {
    let (upstream, proxy) = shop(|request| match (request.method(), request.target()) {
        ("HEAD", _) => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"),
        (_, "/204") => Reply::raw("HTTP/1.1 204 No Content\r\n\r\n"),
        (_, "/304") => Reply::raw("HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n"),
        _ => Reply::ok("body"),
    })
    .await;
    let mut client = proxy.connect().await;
    client.send("HEAD / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    let answer = client.answer_to_head().await;
    assert_eq!((answer.status(), answer.value("content-length")), (200, Some("1234")));
    for (target, status) in [("/204", 204), ("/304", 304), ("/", 200)] {
        assert_eq!(client.get(target).await.status(), status);
    }
    assert_eq!(upstream.opened(), 1);
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_with_it() {
    let (upstream, proxy) = shop(|request| match request.target() {
        "/head" => Reply::new().until_closed(),
        _ => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin").until_closed(),
    })
    .await;
    for (count, target) in ["/head", "/body"].into_iter().enumerate() {
        let mut client = proxy.connect().await;
        client.send(format!("GET {target} HTTP/1.1\r\nHost: shop.test\r\n\r\n")).await;
        until("the shop has the request", || upstream.received().len() == count + 1).await;
        drop(client);
        until("the shop's connection is closed", || upstream.closed() == count + 1).await;
    }
}

#[tokio::test]
async fn connections_to_the_shop_are_used_again() {
    let (upstream, proxy) = shop(|_| Reply::ok("x")).await;
    let mut client = proxy.connect().await;
    for _ in 0..20 {
        client.get("/").await;
        client.send("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 1\r\n\r\nx").await;
        client.answer().await;
    }
    assert_eq!((upstream.opened(), upstream.received().len()), (1, 40));
}

/// Servers close idle connections whenever they like; whoever only reads must not notice.
#[tokio::test(flavor = "multi_thread")]
async fn a_get_survives_connections_that_die_at_reuse() {
    let (upstream, proxy) = shop(|request| match (request.turn, request.connection % 3) {
        (0, _) => Reply::ok("x"),
        (_, 0) => Reply::new().close(),
        (_, 1) => Reply::new().reset(),
        _ => Reply::ok("x").close(),
    })
    .await;
    let mut client = proxy.connect().await;
    for round in 0..600 {
        client.send("GET /x HTTP/1.1\r\nHost: shop.test\r\nX-Case: 1\r\n\r\n").await;
        assert_eq!(client.answer().await.status(), 200, "round {round}");
    }
    let mut heads: Vec<String> = upstream.received().into_iter().map(|request| request.head).collect();
    assert!(heads.len() > 600, "some requests were sent twice");
    heads.dedup();
    assert_eq!(heads.len(), 1, "and what is sent again is the same: {heads:?}");
}

/// hyper would write what follows in HTTP/1.0 itself, which has no chunks.
#[tokio::test]
async fn a_server_that_speaks_http_10_gets_each_request_whole_on_a_connection_of_its_own() {
    let (upstream, proxy) =
        shop(|_| Reply::raw("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx")).await;
    let mut client = proxy.connect().await;
    for round in 0..3 {
        client
            .send("POST /x HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
            .await;
        assert_eq!(client.answer().await.body, b"x", "round {round}");
    }
    for request in upstream.received() {
        assert!(request.head.starts_with("POST /x HTTP/1.1\r\n"), "{}", request.head);
        assert_eq!((request.body.as_slice(), request.turn), (b"hello".as_slice(), 0));
    }
}

#[tokio::test]
async fn interim_answers_without_end_are_an_answer_that_is_none() {
    let (_upstream, proxy) = shop(|request| match request.target() {
        // With an end, so that only their length can be what is wrong.
        "/endless" => Reply::raw("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(200_000))
            .write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        _ => Reply::ok("x"),
    })
    .await;
    let mut client = proxy.connect().await;
    client.send("GET /endless HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 502);
    assert_eq!(proxy.get("/").await.status(), 200);
}

/// A server may answer before it has read a request, and keep the connection. What of the request has not gone out must
/// not stand before the next one.
#[tokio::test]
async fn a_connection_whose_request_is_not_out_gets_no_other() {
    let socket = TcpSocket::new_v4().unwrap();
    // Small packets and little room: a head of 60 KB does not fit into what the kernel holds.
    socket.set_recv_buffer_size(2048).unwrap();
    SockRef::from(&socket).set_tcp_mss(536).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(16).unwrap();
    let mut config = config(&[listener.local_addr().unwrap()]);
    config.proxy.workers = 1;
    let proxy = proxy(config);
    let long = "x".repeat(60_000);
    let requests = [("/one", format!("X-Long: {long}\r\nCookie: a=1\r\n")), ("/two", String::new())];
    let mut servers = Vec::new();
    for (target, fields) in requests {
        let mut client = proxy.connect().await;
        client.send(format!("GET {target} HTTP/1.1\r\nHost: shop.test\r\n{fields}\r\n")).await;
        let accepted = timeout(Duration::from_secs(5), listener.accept()).await;
        let (mut server, _) = accepted.expect("a connection of its own").unwrap();
        let mut begin = [0; 9];
        server.read_exact(&mut begin).await.unwrap();
        assert_eq!(begin, format!("GET {target} ").as_bytes());
        server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx").await.unwrap();
        assert_eq!(client.answer().await.status(), 200);
        servers.push(server);
    }
    let mut rest = Vec::new();
    let _ = servers.remove(0).read_to_end(&mut rest).await;
    assert!(rest.len() < long.len(), "not all of it went out");
    assert!(!String::from_utf8_lossy(&rest).contains("GET "), "and nothing came behind it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_is_never_sent_twice() {
    let (upstream, proxy) = shop(|request| match request.turn {
        0 => Reply::ok("x"),
        _ => Reply::new().close(),
    })
    .await;
    let mut failed = 0;
    for round in 0..100 {
        let mut client = proxy.connect().await;
        client.get("/").await;
        client.send(format!("POST /{round} HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 1\r\n\r\nx")).await;
        failed += usize::from(client.answer().await.status() == 502);
    }
    let mut posts: Vec<Received> = upstream.received();
    posts.retain(|request| request.method() == "POST");
    let mut targets: Vec<&str> = posts.iter().map(Received::target).collect();
    targets.sort_unstable();
    targets.dedup();
    assert_eq!(targets.len(), posts.len(), "no order arrives twice");
    assert_eq!(posts.len(), 100);
    assert!(failed > 0, "the connection did die at reuse");
}

#[tokio::test]
async fn a_post_does_not_use_a_connection_that_the_shop_may_be_closing() {
    let (upstream, proxy) = shop(|_| Reply::ok("x")).await;
    let mut client = proxy.connect().await;
    client.get("/").await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    client.send("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 1\r\n\r\nx").await;
    client.answer().await;
    assert_eq!(upstream.opened(), 2);
}

#[tokio::test]
async fn another_server_takes_over_when_one_is_down() {
    let upstream = Upstream::start(|_| Reply::ok("x")).await;
    let proxy = proxy(config(&[free_address(), upstream.address()]));
    for _ in 0..10 {
        assert_eq!(proxy.get("/").await.status(), 200);
    }
}

#[tokio::test]
async fn an_upstream_is_down_while_no_server_takes_connections_and_is_found_again_without_a_request() {
    let address = free_address();
    let proxy = proxy(config(&[address, free_address()]));
    let down = || proxy.metrics.state.upstreams_down.load(Ordering::Relaxed);
    assert_eq!(down(), 0);
    for _ in 0..10 {
        assert_eq!(proxy.get("/").await.status(), 502);
    }
    assert_eq!(down(), 1, "told once, whichever worker finds out");
    let _server = std::net::TcpListener::bind(address).unwrap();
    until("the upstream is up", || down() == 0).await;
}

#[tokio::test]
async fn failures_of_the_shop_have_their_status() {
    let (_upstream, reset) = shop(|request| match request.target() {
        "/reset" => Reply::new().reset(),
        "/close" => Reply::new().close(),
        _ => Reply::raw("THIS IS NO HTTP\r\n\r\n"),
    })
    .await;
    for target in ["/reset", "/close", "/garbage"] {
        let answer = reset.get(target).await;
        assert_eq!((answer.status(), answer.value("cache-control")), (502, Some("no-store")), "{target}");
    }
    let down = proxy(config(&[free_address()]));
    assert_eq!(down.get("/").await.status(), 502);
    let none = proxy(config(&[])).get("/").await;
    assert_eq!((none.status(), none.value("retry-after")), (503, Some("5")));

    let silent = Upstream::start(|_| Reply::new().until_closed()).await;
    let mut impatient = config(&[silent.address()]);
    impatient.proxy.timeouts.response_header = Duration::from_millis(200);
    assert_eq!(proxy(impatient).get("/").await.status(), 504);
    until("the silent shop is left alone", || silent.closed() == 1).await;
}

#[tokio::test]
async fn a_shop_that_falls_silent_within_a_body_is_given_up() {
    let upstream =
        Upstream::start(|_| Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegin").until_closed())
            .await;
    let mut config = config(&[upstream.address()]);
    config.proxy.timeouts.response_idle = Duration::from_millis(200);
    let answer = proxy(config).get("/").await;
    assert_eq!((answer.body.as_slice(), answer.complete), (&b"begin"[..], false));
}
