//! What is read of bodies does not change them, nor hold them up.

use std::io::Write;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestCaseError, TestRunner};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use utm_dispatcher::telemetry::metrics::Reason;

use super::with_rules;
use crate::harness::{Reply, Upstream, proxy, until};

/// Every body is looked at in every way.
const RULES: &str = r##"
[[action]]
type = "seen"
path = "/*"
status = ["2xx", "3xx", "4xx"]
properties = ["a = form:a", "b = json:/b", "c = response_json:/c", "d = response_html:#d@data-d", "e = response_html:h1"]
[tracking]
action_body_bytes = "64KiB"
"##;

#[derive(Debug, Clone)]
struct Message {
    body: Vec<u8>,
    encoding: &'static str,
    content_type: &'static str,
    framing: Framing,
    /// Bytes that are sent at a time.
    piece: usize,
    /// The pause before each of the first few pieces.
    pause: Duration,
}

/// Pieces with a pause before them.
const PAUSED: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length,
    Chunked,
    /// A response that ends before its length.
    Truncated,
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(body).unwrap();
    out.finish().unwrap()
}

/// Bodies of all sizes that are what they say, or are not.
fn message() -> impl Strategy<Value = Message> {
    let size = prop_oneof![Just(0usize), Just(1), 2usize..300, 60_000usize..70_000, Just(3 << 20)];
    let text = prop_oneof![
        Just("a=1&b=2&"),
        Just("{\"b\": 1, \"c\": {\"d\": []}}"),
        Just("<h1>Title</h1><p id=d data-d='1'>text</p>"),
        Just("\0\u{fffd}--x\r\n")
    ];
    let encoding =
        prop_oneof![Just("identity"), Just("gzip"), Just("br"), Just("deflate"), Just("zstd"), Just("odd")];
    let content_type = prop_oneof![
        Just("text/html"),
        Just("application/json"),
        Just("application/x-www-form-urlencoded"),
        Just("multipart/form-data; boundary=x")
    ];
    let framing = prop_oneof![Just(Framing::Length), Just(Framing::Chunked), Just(Framing::Truncated)];
    (size, text, encoding, content_type, framing, any::<bool>(), 1usize..200_000).prop_map(
        |(size, text, encoding, content_type, framing, is_honest, piece)| {
            let plain: Vec<u8> = text.bytes().cycle().take(size).collect();
            let body = if is_honest && encoding == "gzip" { gzip(&plain) } else { plain };
            let pause = Duration::from_millis(1);
            Message { body, encoding, content_type, framing, piece: piece.max(size / 40), pause }
        },
    )
}

impl Message {
    fn fields(&self) -> String {
        let length = match self.framing {
            Framing::Chunked => "Transfer-Encoding: chunked".to_owned(),
            Framing::Length => format!("Content-Length: {}", self.body.len()),
            Framing::Truncated => format!("Content-Length: {}", self.body.len() + 1),
        };
        format!("Content-Type: {}\r\nContent-Encoding: {}\r\n{length}\r\n", self.content_type, self.encoding)
    }

    /// The body as it is sent.
    fn pieces(&self) -> Vec<Vec<u8>> {
        let pieces = self.body.chunks(self.piece);
        if self.framing != Framing::Chunked {
            return pieces.map(<[u8]>::to_vec).collect();
        }
        let framed =
            pieces.map(|piece| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat());
        framed.chain([b"0\r\n\r\n".to_vec()]).collect()
    }

    fn reply(&self) -> Reply {
        let mut reply = Reply::raw(format!("HTTP/1.1 200 OK\r\n{}\r\n", self.fields()));
        for (number, piece) in self.pieces().into_iter().enumerate() {
            reply = if number < PAUSED { reply.pause(self.pause) } else { reply };
            reply = reply.write(piece);
        }
        // Late enough that the head is out.
        if self.framing == Framing::Truncated {
            reply.pause(Duration::from_millis(50)).close()
        } else {
            reply
        }
    }
}

#[test]
fn what_is_read_passes_unchanged() {
    let runtime = Runtime::new().unwrap();
    let mut runner = TestRunner::new(Cases {
        cases: 60,
        failure_persistence: None,
        max_shrink_iters: 20,
        ..Cases::default()
    });
    runner
        .run(&(message(), message()), |(request, response)| runtime.block_on(passes(request, response)))
        .unwrap();
}

/// Sends a request through the rules to a shop that answers with the response; both arrive as they were sent.
async fn passes(mut request: Message, response: Message) -> Result<(), TestCaseError> {
    if request.framing == Framing::Truncated {
        request.framing = Framing::Length;
    }
    let answer = response.clone();
    let upstream = Upstream::start(move |_| answer.reply()).await;
    let proxy = proxy(with_rules(upstream.address(), RULES));
    let mut client = proxy.connect().await;
    client.send(format!("POST /x HTTP/1.1\r\nHost: shop.test\r\n{}\r\n", request.fields())).await;
    for (number, piece) in request.pieces().into_iter().enumerate() {
        if number < PAUSED {
            tokio::time::sleep(request.pause).await;
        }
        client.send(piece).await;
    }
    let answer = client.answer().await;
    let received = upstream.only();
    prop_assert!(received.body == request.body, "the request changed");
    prop_assert_eq!(received.value("content-encoding"), Some(request.encoding));
    prop_assert!(answer.body == response.body, "the response changed");
    prop_assert_eq!(answer.value("content-encoding"), Some(response.encoding));
    prop_assert_eq!(answer.complete, response.framing != Framing::Truncated);
    if response.framing == Framing::Length {
        let length = response.body.len().to_string();
        prop_assert_eq!(answer.value("content-length"), Some(length.as_str()));
    }
    Ok(())
}

/// [`PAGE`] a hundred times, and as often as 50 MiB have room for it, by `brotli -q 11`.
const BROTLI: [&str; 2] = [
    "GwMQ+J0F7t4dmtDi7Fp7JxFIucGRDjLkndAgwzYGJ9lJWqHBxUucGDhc5QEAQb1vCeJYCeNJFZL3zQI=",
    "y///P/idBe7eHZrQ4uxaeycRSLnBkQ4y5J3QIMM2BifZSVqhwcVLnBg4XOT9H0G9bwniWAnjSRWS983i//8f/BIAcVgAoHv/x///P/glAOKw\
     AED3/o///3/wSwDEYQGA7v0f////4JcAiMMCAN37P/7//8EvARCHBQC693/5/z+DXwIgDgsAdO9nAA==",
];
const PAGE: &str = "<h1>Title</h1><p id=d data-d='1'>text</p>";
const LARGE: usize = 50 << 20;

/// What random cases do not come to: encodings that are what they say, also cut off, 50 MiB, and a long silence.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_every_kind_pass_unchanged_while_rules_read_them() {
    let page: Vec<u8> = PAGE.bytes().cycle().take(100_000).collect();
    let large: Vec<u8> = PAGE.bytes().cycle().take(LARGE).collect();
    let brotli = BROTLI.map(|text| BASE64_STANDARD.decode(text).unwrap());
    let zlib = {
        let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(&page).unwrap();
        out.finish().unwrap()
    };
    let stored = {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        out.write_all(&large).unwrap();
        out.finish().unwrap()
    };
    let cut = |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec();
    let kinds = [
        ("identity", Vec::new()),
        ("identity", b"<".to_vec()),
        ("identity", page.clone()),
        ("gzip", gzip(&page)),
        ("gzip", cut(&gzip(&page))),
        ("deflate", zlib.clone()),
        ("deflate", cut(&zlib)),
        ("br", brotli[0].clone()),
        ("br", cut(&brotli[0])),
        // Little that becomes much.
        ("br", brotli[1].clone()),
        ("gzip", gzip(&large)),
        ("zstd", zstd::encode_all(page.as_slice(), 1).unwrap()),
    ];
    let message = |encoding, body: &[u8], framing| Message {
        body: body.to_vec(),
        encoding,
        content_type: "text/html",
        framing,
        piece: (body.len() / 8).max(1),
        pause: Duration::from_millis(1),
    };
    let mut cases = Vec::new();
    for (encoding, body) in &kinds {
        for framing in [Framing::Length, Framing::Chunked, Framing::Truncated] {
            cases.push((encoding.to_string(), message(encoding, body, framing)));
        }
    }
    cases.push(("50 MiB".to_owned(), message("identity", &large, Framing::Length)));
    cases.push(("50 MiB, gzip".to_owned(), message("gzip", &stored, Framing::Chunked)));
    let slow =
        Message { pause: Duration::from_millis(300), ..message("gzip", &gzip(&page), Framing::Chunked) };
    cases.push(("slow".to_owned(), slow));
    for (what, message) in cases {
        let framing = message.framing;
        let outcome = passes(message.clone(), message).await;
        assert!(outcome.is_ok(), "{what}, {framing:?}: {outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_body_tells_is_in_the_journal_before_its_last_byte_is_out() {
    let body = gzip(br#"{"total": "12.50"}"#);
    let fields = ["Content-Type: application/json", "Content-Encoding: gzip"];
    let upstream = Upstream::start(move |_| Reply::with("200 OK", &fields, &body)).await;
    let rules = "[[action]]\ntype = \"add_to_cart\"\npath = \"/add\"\nvalue = \"response_json:/total\"\n";
    let proxy = proxy(with_rules(upstream.address(), rules));
    let mut client = proxy.connect().await;
    for number in 1..=20 {
        client.send("POST /add HTTP/1.1\r\nHost: shop.test\r\nOrigin: http://shop.test\r\nUser-Agent: Mozilla/5.0 (X11) Firefox/120.0\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(client.answer().await.status(), 200);
        let hits = proxy.hits();
        let actions: Vec<_> = hits.iter().flat_map(|hit| &hit.actions).collect();
        assert_eq!(actions.len(), number);
        assert!(actions.iter().all(|action| action.value == Some("12.5".parse().unwrap())));
        assert!(hits.iter().all(|hit| hit.identity.is_some()));
    }
    let ignored = |reason| proxy.metrics.hits_ignored.get_or_create(&Reason { reason }).get();
    assert_eq!(ignored("no_page"), 0, "what is recorded is not ignored");
}

/// A body that tells nothing leaves a request that is not recorded, for one reason and once.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_or_odd_is_counted() {
    let upstream = Upstream::start(move |request| match request.target() {
        "/long" => Reply::with("200 OK", &["Content-Type: application/json"], vec![b' '; 70_000]),
        _ => Reply::with("200 OK", &["Content-Encoding: odd"], "{\"ok\": true}"),
    })
    .await;
    let rules = "[[action]]\ntype = \"lead\"\npath = \"/*\"\nwhen = \"response_json:/ok\"\n\
                 [tracking]\naction_body_bytes = \"64KiB\"\n";
    let proxy = proxy(with_rules(upstream.address(), rules));
    let mut client = proxy.connect().await;
    for target in ["/long", "/odd"] {
        let agent = "User-Agent: Mozilla/5.0 (X11) Firefox/120.0";
        client
            .send(format!(
                "POST {target} HTTP/1.1\r\nHost: shop.test\r\n{agent}\r\nContent-Length: 0\r\n\r\n"
            ))
            .await;
        assert_eq!(client.answer().await.status(), 200);
    }
    assert_eq!(proxy.hits().len(), 0);
    let count = |family: &Family<Reason, Counter>, reason| family.get_or_create(&Reason { reason }).get();
    let unread = &proxy.metrics.bodies_unread;
    assert_eq!((count(unread, "too_long"), count(unread, "encoding")), (1, 1));
    assert_eq!(count(&proxy.metrics.hits_ignored, "no_page"), 2);
}

/// Once a body, whichever of request and answer it is; what was decoded before the end is read.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_what_its_head_says_is_counted_once() {
    let whole = gzip(br#"{"ok": true}"#);
    let cut = whole[..whole.len() - 4].to_vec();
    let upstream = Upstream::start(move |request| match request.target() {
        "/broken" => Reply::with("200 OK", &["Content-Type: application/json"], "{\"ok\": true"),
        "/text" => Reply::with("200 OK", &["Content-Type: text/plain"], "{\"ok\": true"),
        "/cut" => {
            Reply::with("200 OK", &["Content-Type: application/json", "Content-Encoding: gzip"], cut.clone())
        }
        _ => Reply::with("200 OK", &["Content-Type: application/json"], "{}"),
    })
    .await;
    let rules = "[[action]]\ntype = \"lead\"\npath = \"/*\"\nwhen = \"response_json:/ok\"\n\
                 [[action]]\ntype = \"wish\"\npath = \"/wish\"\nwhen = [\"json:/ok\", \"!response_json:/no\"]\n\
                 [[action]]\ntype = \"view\"\npath = \"/view\"\nwhen = \"json:/ok\"\n";
    let proxy = proxy(with_rules(upstream.address(), rules));
    let mut client = proxy.connect().await;
    let counted = || proxy.metrics.bodies_unread.get_or_create(&Reason { reason: "malformed" }).get();
    let requests = [
        ("/broken", "", 1, 0),
        ("/text", "", 1, 0),
        ("/cut", "", 2, 1),
        ("/wish", "{\"ok\": 1", 3, 1),
        ("/wish", "{\"ok\": 1}", 3, 2),
        ("/wish", "", 3, 2),
        ("/view", "{'ok': 1}", 4, 2),
    ];
    for (target, body, malformed, actions) in requests {
        let length = body.len();
        client
            .send(format!(
                "POST {target} HTTP/1.1\r\nHost: shop.test\r\nOrigin: http://shop.test\r\n\
                 User-Agent: Mozilla/5.0 (X11) Firefox/120.0\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
            ))
            .await;
        assert_eq!(client.answer().await.status(), 200);
        assert_eq!(counted(), malformed, "{target} {body}");
        assert_eq!(
            proxy.hits().iter().map(|hit| hit.actions.len()).sum::<usize>(),
            actions,
            "{target} {body}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_but_the_end_of_a_body_goes_out_at_once() {
    let gate = CancellationToken::new();
    let opened = gate.clone();
    let upstream = Upstream::start(move |_| {
        Reply::raw("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 20\r\n\r\n<h1>first</h1>")
            .wait(&opened)
            .write("second")
    })
    .await;
    let rules = "[[action]]\ntype = \"lead\"\npath = \"/*\"\nproperties = [\"title = response_html:h1\"]\n";
    let proxy = proxy(with_rules(upstream.address(), rules));
    let mut client = proxy.connect().await;
    client
        .send("GET / HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: Mozilla/5.0 (X11) Firefox/120.0\r\n\r\n")
        .await;
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"<h1>first</h1>") {
        let mut byte = [0];
        client.read_exact(&mut byte).await;
        bytes.push(byte[0]);
    }
    gate.cancel();
    let mut rest = [0; 6];
    client.read_exact(&mut rest).await;
    assert_eq!(&rest, b"second");
    until("the action is recorded", || proxy.hits().iter().any(|hit| !hit.actions.is_empty())).await;
}

/// The part that came is what is known.
#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_within_a_page_is_recorded_with_what_it_told_so_far() {
    let upstream = Upstream::start(move |_| {
        Reply::raw(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1000\r\n\r\n<h1>Red</h1><p>",
        )
        .until_closed()
    })
    .await;
    let rules = "[[action]]\ntype = \"product_view\"\npath = \"/p/{id}\"\nproduct_id = \"path:id\"\nproduct_name = \"response_html:h1\"\n";
    let proxy = proxy(with_rules(upstream.address(), rules));
    let mut client = proxy.connect().await;
    client
        .send("GET /p/7 HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: Mozilla/5.0 (X11) Firefox/120.0\r\n\r\n")
        .await;
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"<p>") {
        let mut byte = [0];
        client.read_exact(&mut byte).await;
        bytes.push(byte[0]);
    }
    drop(client);
    until("it is recorded", || {
        let hits = proxy.hits();
        let mut actions = hits.iter().flat_map(|hit| &hit.actions);
        actions.any(|action| {
            action.product_id.as_deref() == Some("7") && action.product_name.as_deref() == Some("Red")
        })
    })
    .await;
}
