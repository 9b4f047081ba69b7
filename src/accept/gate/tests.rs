//! What passes, what is refused, and that it is the same however the bytes are split.

use proptest::prelude::*;

use super::*;

const LIMITS: Limits =
    Limits { header_bytes: 8 << 10, headers: 20, uri_bytes: 300, body_bytes: None, connections_per_ip: None };

/// What came of some bytes.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// Without the stand-in.
    out: Vec<u8>,
    refused: Option<&'static str>,
    broken: bool,
    escaped: u64,
    within_head: bool,
    /// Heads whose spelling is known.
    heads: usize,
}

/// Sends `bytes` through a gate in pieces that end at `splits`, taking out at most `room` at a time.
fn outcome(bytes: &[u8], splits: &[usize], room: usize) -> Outcome {
    let escaped = Counter::default();
    let mut gate = Gate::new(LIMITS, escaped.clone());
    let mut out = Vec::new();
    let mut from = 0;
    for end in splits.iter().copied().chain([bytes.len()]) {
        let piece = &bytes[from..end.clamp(from, bytes.len())];
        from += piece.len();
        if gate.mode() == Mode::Reading && !piece.is_empty() {
            let passed = gate.admit(piece);
            out.extend_from_slice(&piece[..passed]);
        }
        while gate.has_something() {
            gate.give(room.max(1), |bytes| out.extend_from_slice(bytes));
        }
    }
    let refused = gate.take_refused().map(|refused| refused.refusal.reason());
    if refused.is_some() {
        let stand_in = if out.ends_with(STAND_IN_OF_HEAD) { STAND_IN_OF_HEAD } else { STAND_IN };
        assert!(out.ends_with(stand_in));
        out.truncate(out.len() - stand_in.len());
    }
    let broken = gate.mode() == Mode::Broken;
    let within_head = gate.is_within_head();
    let heads = std::iter::from_fn(|| gate.take_spelling()).count();
    Outcome { out, refused, broken, escaped: escaped.get(), within_head, heads }
}

fn whole(bytes: &[u8]) -> Outcome {
    outcome(bytes, &[], usize::MAX)
}

#[test]
fn good_messages_pass_untouched() {
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\nhost:a:80\n\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:  Chunked \r\n\r\n5;a=\"b\"\r\nhello\r\n0 \r\nA: b\r\n\r\n",
        b"GET /caf\xc3\xa9\"?q=|^{}\\[]` HTTP/1.1\r\nHost: [::1]:80\r\nX: \xff\t\x80\r\n\r\n",
        b"get http://a/ HTTP/1.1\r\nHost: a\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let outcome = whole(bytes);
        assert_eq!(outcome.out, bytes, "{}", bytes.escape_ascii());
        assert!(!outcome.broken && !outcome.within_head && outcome.refused.is_none());
        assert_eq!(outcome.escaped, 0);
        assert_eq!(outcome.heads, bytes.windows(7).filter(|word| word == b" HTTP/1").count());
    }
}

#[test]
fn empty_lines_before_a_request_go_no_further() {
    let request = b"GET /<> HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2);
    let bytes = [&b"\r\n\n".repeat(300)[..], &request[..29], b"\n\r\n", &request[29..], b"\r\n"].concat();
    let outcome = whole(&bytes);
    assert_eq!(
        outcome.out.escape_ascii().to_string().replace("%3C%3E", "<>"),
        request.escape_ascii().to_string()
    );
    assert!(!outcome.within_head && outcome.refused.is_none());
}

#[test]
fn odd_targets_pass_escaped_and_are_counted() {
    let outcome = whole(
        b"GET /?q=<\"> HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nokGET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    let want = b"GET /?q=%3C%22%3E HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nokGET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(outcome.out.escape_ascii().to_string(), want.escape_ascii().to_string());
    assert_eq!(outcome.escaped, 2);
}

#[test]
fn heads_that_are_none_are_refused() {
    let fields = |lines: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n0\r\n\r\n");
    let cases = [
        (fields("Content-Length: 1\r\nContent-Length: 1\r\n"), "framing"),
        (fields("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), "framing"),
        (fields("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n"), "framing"),
        (fields("Content-Length: 1, 1\r\n"), "framing"),
        (fields("Content-Length: +1\r\n"), "framing"),
        (fields("Content-Length:\r\n"), "framing"),
        (fields("Content-Length: 0000000000000000001\r\n"), "framing"),
        (fields("Transfer-Encoding: gzip, chunked\r\n"), "transfer_coding"),
        (fields("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"), "transfer_coding"),
        (fields("Transfer-Encoding: xchunked\r\n"), "framing"),
        (fields("Transfer-Encoding: chunked, identity\r\n"), "framing"),
        (fields("Transfer-Encoding: chunked, chunked\r\n"), "framing"),
        (fields("Transfer-Encoding: , chunked\r\n"), "framing"),
        (fields("Transfer-Encoding:\r\n"), "framing"),
        (fields("Transfer-Encoding: \u{b}chunked\r\n"), "malformed"),
        (fields("Transfer-Encoding : chunked\r\n"), "malformed"),
        (fields("X: a\r\n b\r\n"), "malformed"),
        (fields("X(Y): a\r\n"), "malformed"),
        (fields(": a\r\n"), "malformed"),
        (fields("X\r\n"), "malformed"),
        (fields("X: a\rb\r\n"), "malformed"),
        (fields("X: a\0b\r\n"), "malformed"),
        (fields("Host: a\r\n"), "host"),
        (fields(&"X: y\r\n".repeat(20)), "head_too_large"),
        (fields(&format!("X: {}\r\n", "y".repeat(8 << 10))), "head_too_large"),
        ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), "framing"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "host"),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".to_owned(), "host"),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n".to_owned(), "malformed"),
        ("GET  / HTTP/1.1\r\n".to_owned(), "malformed"),
        ("GET / HTTP/1.1 \r\n".to_owned(), "malformed"),
        ("GET / http/1.1\r\n".to_owned(), "malformed"),
        ("GET /\r\n".to_owned(), "malformed"),
        ("GET /\0 HTTP/1.1\r\n".to_owned(), "malformed"),
        ("GET / HTTP/1.2\r\n".to_owned(), "version"),
        ("PRI * HTTP/2.0\r\n".to_owned(), "version"),
        ("\u{16}\u{3}\u{1}".to_owned(), "malformed"),
        (" GET / HTTP/1.1\r\n".to_owned(), "malformed"),
        (format!("{} / HTTP/1.1\r\n", "M".repeat(65)), "method"),
        ("M".repeat(1000), "method"),
        (format!("GET /{} HTTP/1.1\r\n", "x".repeat(300)), "target_too_long"),
        (format!("GET /{}", "x".repeat(400)), "target_too_long"),
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "<".repeat(150)), "target_too_long"),
        ("GET http://[::1/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "target"),
    ];
    for (bytes, want) in cases {
        let good = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let outcome = whole(format!("{good}{bytes}").as_bytes());
        assert_eq!(outcome.refused, Some(want), "{}", bytes.escape_debug());
        assert_eq!(outcome.out, good.as_bytes(), "{}", bytes.escape_debug());
    }
}

#[test]
fn a_malformed_chunk_ends_all() {
    for (body, good) in [
        ("0x5\r\nhello", 1),
        ("5\nhello", 1),
        ("5;a\nhello", 3),
        ("5\r\nhelloX", 8),
        ("5 5\r\nhello", 2),
        ("fffffffffffffffff\r\n", 16),
        ("\r\n", 0),
        ("-1\r\n", 0),
        ("0\r\nbad trailer\r\n", 6),
        ("0\r\nA: b\n\r\n", 7),
        ("0\r\n folded: x\r\n", 3),
    ] {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let outcome = whole(format!("{head}{body}GET / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        assert!(outcome.broken, "{body:?}");
        assert_eq!(outcome.out.len(), head.len() + good, "{body:?}");
    }
}

#[test]
fn what_follows_a_request_for_an_upgrade_waits() {
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n";
    for granted in [true, false] {
        let mut gate = Gate::new(LIMITS, Counter::default());
        assert_eq!(gate.admit(&[&request[..], b"no "].concat()), request.len());
        assert_eq!((gate.mode(), gate.has_something()), (Mode::Waiting, false));
        assert_eq!(gate.admit(b"head\r\n"), 0);
        if granted {
            gate.open();
            let mut out = Vec::new();
            gate.give(100, |bytes| out.extend_from_slice(bytes));
            assert_eq!((out.as_slice(), gate.admit(b"\0\r\n")), (&b"no head\r\n"[..], 3));
        } else {
            gate.resume();
            assert_eq!(gate.take_refused().map(|refused| refused.refusal.reason()), Some("malformed"));
        }
    }
}

/// Pieces that requests, good and bad, are made of.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&'static [u8]> = vec![
        b"GET / HTTP/1.1\r\n",
        b"HEAD /<>#? HTTP/1.1\r\n",
        b"POST /a?b=\xff\" HTTP/1.1\n",
        b"Host: a\r\n",
        b"host:b\n",
        b"Content-Length: 3\r\n",
        b"Content-Length: 0\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Upgrade: x\r\n",
        b"X: y\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"3\r\nabc\r\n",
        b"2;x\r\nab\r\n",
        b"0\r\n\r\n",
        b"0\r\nA: b\r\n\r\n",
        b"abc",
    ];
    prop_oneof![9 => prop::sample::select(words).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..4)]
}

proptest! {
    #[test]
    fn it_does_not_matter_how_bytes_are_split(
        pieces in prop::collection::vec(piece(), 0..24),
        mut splits in prop::collection::vec(0_usize..200, 0..24),
        room in 1_usize..40,
    ) {
        let bytes = pieces.concat();
        splits.sort_unstable();
        let want = whole(&bytes);
        prop_assert_eq!(&outcome(&bytes, &splits, room), &want);
        let each: Vec<usize> = (0..bytes.len()).collect();
        prop_assert_eq!(outcome(&bytes, &each, usize::MAX), want);
    }
}
