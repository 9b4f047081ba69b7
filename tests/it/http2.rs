//! HTTP/2: the same to the shop and in the records as HTTP/1, many requests at a time, and clients that take nothing.

use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use crate::harness::program::Program;
use crate::harness::tls::Authority;
use crate::harness::{DEADLINE, Received, Reply, Upstream, eventually, proxy, skip, until};

const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\
                    X-Kept: 1\r\nContent-Length: 4\r\n\r\npage";

type Body = BoxBody<Bytes, hyper::Error>;

fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

fn get(target: &str) -> Request<Body> {
    Request::get(format!("https://shop.test{target}")).body(empty()).unwrap()
}

async fn body(response: Response<Incoming>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

/// The fields that a shop is sent, sorted.
fn fields(received: &Received) -> Vec<String> {
    let mut fields: Vec<String> = received.head.split("\r\n").skip(1).map(str::to_ascii_lowercase).collect();
    fields.sort();
    fields
}

#[tokio::test]
async fn a_page_view_is_forwarded_and_recorded_like_one_of_http1() {
    let authority = Authority::new();
    let upstream = Upstream::start(|_| Reply::raw(PAGE)).await;
    let proxy = proxy(authority.config(upstream.address()));
    let target = "/a//b%2F?utm_source=x&y=1&gclid=7";
    let request = |uri: String| {
        Request::get(uri)
            .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
            .header("accept", "text/html")
            .header("accept-language", "uk")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
            .header("referer", "https://ads.test/")
            .header("x-utm-visitor", "forged")
            .header("te", "trailers")
    };
    let (mut one, mut two) = (authority.http1(proxy.address()).await, authority.http2(proxy.address()).await);
    let old = request(target.to_owned()).header("host", "shop.test").header("cookie", "a=1; b=2; c=3");
    let old = one.send_request(old.body(empty()).unwrap()).await.unwrap();
    let new = request(format!("https://shop.test{target}"));
    let new = new.header("cookie", "a=1").header("cookie", "b=2").header("cookie", "c=3");
    let new = two.send_request(new.body(empty()).unwrap()).await.unwrap();
    assert_eq!(new.headers()["x-kept"], "1");
    assert!(!new.headers().contains_key("x-hop") && !new.headers().contains_key("connection"));
    assert!(new.headers()["set-cookie"].to_str().unwrap().contains("; Secure"));
    assert_eq!((old.status(), body(new).await.as_ref()), (http::StatusCode::OK, &b"page"[..]));
    drop(old);

    let received = upstream.received();
    assert_eq!(received[0].head.lines().next(), received[1].head.lines().next());
    assert_eq!(fields(&received[0]), fields(&received[1]));
    assert_eq!(received[1].values("host"), ["shop.test"]);
    assert_eq!(received[1].values("cookie"), ["a=1; b=2; c=3"]);
    let hits = proxy.hits();
    let plain = |number: usize| {
        // Who and when differ, nothing else.
        let hit = format!("{:?}", hits[number]);
        let ids = hit.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        let is_told_apart =
            |word: &&str| word.len() == 36 || word.parse::<u64>().is_ok_and(|n| n > 1_000_000);
        ids.filter(|word| !is_told_apart(word)).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(hits.len(), 2);
    assert_eq!(plain(0), plain(1));
}

#[tokio::test]
async fn three_hundred_cookies_are_no_more_than_one_line_of_http1() {
    let authority = Authority::new();
    let upstream = Upstream::start(|_| Reply::raw(PAGE)).await;
    let proxy = proxy(authority.config(upstream.address()));
    let mut client = authority.http2(proxy.address()).await;
    let cookies: Vec<String> = (0..300).map(|number| format!("c{number}=value")).collect();
    let mut request = Request::get("https://shop.test/");
    for cookie in &cookies {
        request = request.header("cookie", cookie);
    }
    let answer = client.send_request(request.body(empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), http::StatusCode::OK);
    assert_eq!(upstream.only().values("cookie"), [cookies.join("; ")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_requests_at_a_time_are_answered_each_with_its_own() {
    let authority = Authority::new();
    let gate = CancellationToken::new();
    let held = gate.clone();
    let upstream = Upstream::start(move |request| {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.target().len());
        Reply::new().wait(&held).write(answer).write(request.target())
    })
    .await;
    let proxy = proxy(authority.config(upstream.address()));
    let client = authority.http2(proxy.address()).await;
    let asked: Vec<_> = (0..100)
        .map(|number| {
            let mut client = client.clone();
            tokio::spawn(async move {
                let target = format!("/{number}");
                let response = client.send_request(get(&target)).await.unwrap();
                assert_eq!(body(response).await, target);
            })
        })
        .collect();
    until("all are at the shop", || upstream.received().len() == 100).await;
    gate.cancel();
    for answer in asked {
        answer.await.unwrap();
    }
    assert_eq!(proxy.metrics.connections.get(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_pass_whole_both_ways() {
    let authority = Authority::new();
    let bytes: Bytes = (0..2_000_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>().into();
    let answer = bytes.clone();
    let upstream = Upstream::start(move |_| Reply::ok(&answer)).await;
    let proxy = proxy(authority.config(upstream.address()));
    let mut client = authority.http2(proxy.address()).await;
    let request = Request::put("https://shop.test/").body(full(bytes.clone())).unwrap();
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.headers()["content-length"], "8000000");
    assert!(body(response).await == bytes);
    assert!(upstream.only().body == bytes);
}

#[tokio::test]
async fn bodies_without_length_and_trailers_pass_both_ways() {
    let authority = Authority::new();
    let upstream = Upstream::start(|_| {
        Reply::raw(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
             4\r\nbody\r\n0\r\nX-Sum: 9\r\nX-Utm-Event: purchase\r\n\r\n",
        )
    })
    .await;
    let proxy = proxy(authority.config(upstream.address()));
    let mut client = authority.http2(proxy.address()).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-check", HeaderValue::from_static("7"));
    // A body is unusual for GET, and must not be lost.
    let frames = [Ok(Frame::data(Bytes::from("question"))), Ok(Frame::trailers(trailers))];
    let request = Request::get("https://shop.test/").header("trailer", "x-check").header("te", "trailers");
    let request = request.body(BodyExt::boxed(StreamBody::new(futures_util::stream::iter(frames)))).unwrap();
    let answer = client.send_request(request).await.unwrap().into_body().collect().await.unwrap();
    let sums = answer.trailers().unwrap();
    assert_eq!((sums.len(), &sums["x-sum"]), (1, &HeaderValue::from_static("9")));
    assert_eq!(answer.to_bytes(), "body");
    let received = upstream.only();
    assert_eq!(
        (received.body.as_slice(), received.value("transfer-encoding")),
        (&b"question"[..], Some("chunked"))
    );
}

#[tokio::test]
async fn a_stream_that_is_reset_takes_its_request_with_it_and_is_logged_as_499() {
    let authority = Authority::new();
    let upstream = Upstream::start(|_| Reply::new().until_closed()).await;
    let mut config = authority.config(upstream.address());
    let log = authority.path("access.log");
    config.proxy.access_log = utm_dispatcher::config::AccessLog {
        format: utm_dispatcher::config::AccessLogFormat::Json,
        path: Some(log.clone()),
        address: utm_dispatcher::config::StoreIp::None,
    };
    let proxy = proxy(config);
    let mut client = authority.http2(proxy.address()).await;
    let request = tokio::spawn(client.send_request(get("/hangs")));
    until("the shop has it", || upstream.received().len() == 1).await;
    request.abort();
    until("the shop's connection is closed", || upstream.closed() == 1).await;
    let logged = || std::fs::read_to_string(&log).unwrap_or_default();
    until("it is logged", || logged().ends_with('\n')).await;
    let line: serde_json::Value = serde_json::from_str(&logged()).unwrap();
    assert_eq!((line["status"].as_u64(), line["end"].as_str()), (Some(499), Some("client_gone")), "{line}");
    assert!(!client.is_closed(), "the connection goes on");
}

#[tokio::test]
async fn what_has_no_body_is_sent_none_whatever_length_it_tells() {
    let authority = Authority::new();
    let upstream = Upstream::start(|request| match request.target() {
        "/page" => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        "/nothing" => Reply::raw("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"),
        _ => Reply::new().close(),
    })
    .await;
    let mut config = authority.config(upstream.address());
    config.proxy.health_path = Some("/healthz".to_owned());
    let proxy = proxy(config);
    let mut client = authority.http2(proxy.address()).await;
    let head = |target: &str| Request::head(format!("https://shop.test{target}")).body(empty()).unwrap();
    for (request, status, length) in [
        (head("/page"), 200, Some("5")),
        (head("/healthz"), 200, Some("2")),
        (head("/gone"), 502, Some("11")),
        (get("/nothing"), 204, None),
    ] {
        let target = request.uri().clone();
        let response = client.send_request(request).await.unwrap();
        assert_eq!(response.status(), status, "{target}");
        let told = response.headers().get("content-length").map(|length| length.to_str().unwrap().to_owned());
        assert_eq!(told.as_deref(), length, "{target}");
        assert_eq!(body(response).await, "", "{target}");
    }
}

#[tokio::test]
async fn a_response_cut_short_is_reset() {
    let authority = Authority::new();
    let upstream = Upstream::start(|request| match request.target() {
        "/length" => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort").close(),
        _ => Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n").close(),
    })
    .await;
    let proxy = proxy(authority.config(upstream.address()));
    let mut client = authority.http2(proxy.address()).await;
    for target in ["/length", "/chunks"] {
        let response = client.send_request(get(target)).await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(response.into_body().collect().await.is_err(), "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_a_request_still_coming_reaches_the_client() {
    let authority = Authority::new();
    let upstream =
        Upstream::start(|_| Reply::with("413 Payload Too Large", &["Connection: close"], "too much").early())
            .await;
    let mut config = authority.config(upstream.address());
    config.proxy.limits.body_bytes = Some(20 << 20);
    let proxy = proxy(config);
    let mut client = authority.http2(proxy.address()).await;
    let endless = futures_util::stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        Some((Ok(Frame::data(Bytes::from_static(&[b'x'; 16 << 10]))), ()))
    });
    let request = Request::post("https://shop.test/").body(BodyExt::boxed(StreamBody::new(endless))).unwrap();
    let response = client.send_request(request).await.unwrap();
    assert_eq!((response.status().as_u16(), body(response).await.as_ref()), (413, &b"too much"[..]));
    // The proxy's own: the length is told.
    let request = Request::post("https://shop.test/").body(full(vec![0; 21 << 20])).unwrap();
    assert_eq!(client.send_request(request).await.unwrap().status(), 413);
    assert_eq!(upstream.opened(), 1);
}

#[tokio::test]
async fn what_names_two_hosts_or_too_much_is_refused() {
    let authority = Authority::new();
    let upstream = Upstream::start(|_| Reply::raw(PAGE)).await;
    let proxy = proxy(authority.config(upstream.address()));
    let mut client = authority.http2(proxy.address()).await;
    let mut status = async |request: http::request::Builder| {
        let response = client.send_request(request.body(empty()).unwrap()).await.unwrap();
        assert!(!response.headers().contains_key("connection"));
        response.status().as_u16()
    };
    let page = || Request::get("https://shop.test/");
    assert_eq!(status(page().header("host", "other.test")).await, 400);
    assert_eq!(status(page().header("host", "SHOP.test")).await, 200);
    assert_eq!(status(Request::trace("https://shop.test/")).await, 405);
    assert_eq!(status(Request::get(format!("https://shop.test/{}", "a".repeat(33 << 10)))).await, 414);
    let many = (0..201).fold(page(), |request, number| request.header(format!("x-{number}"), "1"));
    assert_eq!(status(many).await, 431);
    assert_eq!(status(page().header("x", "a".repeat(200 << 10))).await, 431);
    let long =
        (0..5).fold(page(), |request, number| request.header(format!("x-{number}"), "a".repeat(17_000)));
    assert_eq!(status(long).await, 431, "85 KB, as in HTTP/1.1");
    let twice =
        Request::post("https://shop.test/").header("content-length", "0").header("content-length", "0");
    assert_eq!(status(twice).await, 400);
    assert_eq!(status(page()).await, 200, "the connection is as good as before");
    assert_eq!(upstream.received().len(), 2);
}

#[tokio::test]
async fn a_connection_ends_when_it_is_idle_or_the_worker_ends_but_no_request_does() {
    let authority = Authority::new();
    let gate = CancellationToken::new();
    let held = gate.clone();
    let upstream = Upstream::start(move |request| match request.target() {
        "/slow" => Reply::new().wait(&held).write(PAGE),
        _ => Reply::raw(PAGE),
    })
    .await;
    let mut config = authority.config(upstream.address());
    config.proxy.timeouts.keep_alive = Duration::from_millis(300);
    let proxy = proxy(config);
    let open = || proxy.metrics.connections_open.get();
    let mut idle = authority.http2(proxy.address()).await;
    body(idle.send_request(get("/")).await.unwrap()).await;
    until("the idle one has ended", || open() == 0 && idle.is_closed()).await;

    let mut busy = authority.http2(proxy.address()).await;
    let slow = tokio::spawn(busy.send_request(get("/slow")));
    until("the request is at the shop", || upstream.received().len() == 2).await;
    proxy.workers.drain();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(busy.send_request(get("/late")).await.is_err(), "no more requests are taken");
    gate.cancel();
    assert_eq!(body(slow.await.unwrap().unwrap()).await, "page");
    until("that one has ended as well", || open() == 0).await;
}

/// A client that reads slowly says something now and then. Whoever closes while it still reads resets the connection,
/// and takes from it what is on its way.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_gets_all_of_its_answer_while_the_worker_ends() {
    const LENGTH: usize = 6 << 20;
    let authority = Authority::new();
    let upstream = Upstream::start(|_| Reply::ok(vec![b'x'; LENGTH])).await;
    let proxy = proxy(authority.config(upstream.address()));
    let mut stream = authority.connect(proxy.address(), "shop.test", &["h2"]).await.unwrap();
    socket2::SockRef::from(stream.get_ref().0).set_recv_buffer_size(64 << 10).unwrap();
    let frame = |kind: u8, flags: u8, id: u32, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &id.to_be_bytes(), payload].concat()
    };
    let window = (1_u32 << 30).to_be_bytes();
    let hello = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(4, 0, 0, &[&[0, 4], &window[..]].concat()),
        frame(8, 0, 0, &window),
        // GET https / with `:authority` (RFC 7541 appendix A).
        frame(1, 5, 1, b"\x82\x87\x84\x41\x09shop.test"),
    ];
    stream.write_all(&hello.concat()).await.unwrap();
    let (mut bytes, mut received, mut is_whole, mut reads) = (Vec::new(), 0, false, 0);
    while !is_whole {
        let mut some = vec![0; 64 << 10];
        let count = stream.read(&mut some).await.unwrap();
        assert!(count > 0, "closed after {received} bytes of the body");
        bytes.extend_from_slice(&some[..count]);
        while let [a, b, c, kind, flags, _, _, _, _, rest @ ..] = bytes.as_slice() {
            let length = usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).unwrap();
            if rest.len() < length {
                break;
            }
            if *kind == 0 {
                received += length;
                is_whole = flags & 1 == 1;
            }
            assert_ne!(*kind, 3, "reset after {received} bytes of the body");
            bytes.drain(..9 + length);
        }
        reads += 1;
        if reads == 8 {
            proxy.workers.drain();
        }
        if reads % 8 == 0 {
            stream.write_all(&frame(6, 0, 0, &[0; 8])).await.unwrap();
            stream.flush().await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(received, LENGTH);
}

#[tokio::test]
async fn a_client_that_takes_nothing_loses_its_stream_and_no_other() {
    let authority = Authority::new();
    let upstream = Upstream::start(|request| match request.target() {
        "/large" => Reply::ok(vec![b'x'; 4 << 20]),
        _ => Reply::raw(PAGE),
    })
    .await;
    let mut config = authority.config(upstream.address());
    config.proxy.timeouts.response_idle = Duration::from_millis(500);
    let proxy = proxy(config);
    let mut client = authority.http2(proxy.address()).await;
    let large = client.send_request(get("/large")).await.unwrap();
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(body(client.send_request(get("/")).await.unwrap()).await, "page");
    }
    assert!(large.into_body().collect().await.is_err(), "it was reset");
    until("the shop's connection is closed", || upstream.closed() > 0).await;
}

/// Floods, by a client that can be as rude as one likes (tests/attacks/http2.py).
#[tokio::test(flavor = "multi_thread")]
async fn floods_cost_little_and_others_are_served() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/attacks/http2.py");
    let python = std::env::var("UTM_DISPATCHER_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    if !Command::new(&python).args(["-c", "import h2"]).output().is_ok_and(|output| output.status.success()) {
        return skip("python3 with the package h2 is missing");
    }
    let authority = Authority::new();
    let upstream = Upstream::start(|request| match request.target() {
        "/large" => Reply::ok(vec![b'x'; 1 << 20]),
        _ => Reply::raw(PAGE),
    })
    .await;
    let files = tempfile::tempdir().unwrap();
    // Memory is a process's: this one has nothing else to do.
    let mut program = Program::new(upstream.address(), "postgres://nobody@127.0.0.1:1/nothing", files.path());
    let proxy = program.encrypt(&authority);
    program.start().await;
    let mut bystander = authority.http2(proxy).await;
    let port = proxy.port().to_string();
    let before = program.resident_bytes();
    let attack =
        tokio::task::spawn_blocking(move || Command::new(python).args([script, &port]).output().unwrap());
    let mut served = 0;
    while !attack.is_finished() {
        assert_eq!(body(bystander.send_request(get("/")).await.unwrap()).await, "page");
        served += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let output = attack.await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    println!("{told}{served} requests of a bystander were answered meanwhile");
    assert!(served > 5);
    let grown = program.resident_bytes().saturating_sub(before);
    assert!(grown < 200 << 20, "{grown} bytes more");
    let is_alone = || async {
        let (_, metrics) = program.ask("/metrics").await?;
        metrics.contains("\nutm_dispatcher_connections_open 1\n").then_some(())
    };
    eventually("what the attacker left has ended", DEADLINE, is_alone).await;
}
