//! A line of an access log: common and combined as Apache and nginx write them, or JSON, ours or nginx'.

use serde_json::Value;

/// What is known of a logged request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Logged {
    /// The request line as it was sent, without its end.
    pub(super) line: Vec<u8>,
    /// `Host`
    pub(super) host: Option<String>,
    /// What was answered.
    pub(super) status: Option<u16>,
}

/// What a line says; none when it cannot be read.
pub(super) fn read(line: &[u8]) -> Option<Logged> {
    let line = line.trim_ascii();
    if line.first() == Some(&b'{') { from_json(line) } else { from_text(line) }
}

/// `… [time] "request line" status …`, whatever stands before the time.
fn from_text(line: &[u8]) -> Option<Logged> {
    let begin = memchr::memmem::find(line, b"] \"")? + 3;
    let rest = &line[begin..];
    let mut at = 0;
    let end = loop {
        match rest.get(at)? {
            b'"' => break at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    };
    let status = rest[end + 1..].trim_ascii_start().split(|byte| *byte == b' ').next()?;
    let status: u16 = std::str::from_utf8(status).ok()?.parse().ok()?;
    Some(Logged { line: unescaped(&rest[..end]), host: None, status: Some(status) })
}

/// What `\xHH`, `\"`, `\\` and Apache's letters stand for.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let hex = |digits: &[u8]| {
            std::str::from_utf8(digits).ok().and_then(|text| u8::from_str_radix(text, 16).ok())
        };
        let (byte, length) = match (first, after) {
            (b'\\', [b'x', high, low, ..]) => match hex(&[*high, *low]) {
                Some(byte) => (byte, 4),
                None => (b'\\', 1),
            },
            (b'\\', [b't', ..]) => (b'\t', 2),
            (b'\\', [b'n', ..]) => (b'\n', 2),
            (b'\\', [b'r', ..]) => (b'\r', 2),
            (b'\\', [escaped @ (b'"' | b'\\'), ..]) => (*escaped, 2),
            (byte, _) => (*byte, 1),
        };
        bytes.push(byte);
        rest = &rest[length..];
    }
    bytes
}

fn from_json(line: &[u8]) -> Option<Logged> {
    let value: Value = serde_json::from_slice(line).ok()?;
    let text = |names: &[&str]| names.iter().find_map(|name| value.get(name)?.as_str());
    let status = value.get("status").and_then(|status| match status {
        Value::String(text) => text.parse().ok(),
        status => status.as_u64().and_then(|status| u16::try_from(status).ok()),
    });
    let line = match text(&["request"]) {
        Some(line) => line.to_owned(),
        None => {
            let method = text(&["method", "request_method"])?;
            let target = text(&["request_uri", "path", "uri", "url"])?;
            let version = text(&["protocol", "server_protocol"]).unwrap_or("HTTP/1.1");
            format!("{method} {target} {version}")
        }
    };
    Some(Logged { line: line.into_bytes(), host: text(&["host", "http_host"]).map(str::to_owned), status })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_of_the_usual_forms_are_read() {
        let combined =
            br#"192.0.2.1 - bob [10/Oct/2026:13:55:36 +0000] "GET /a?b=\x22\"c HTTP/1.1" 200 23 "-" "x""#;
        let logged = read(combined).unwrap();
        assert_eq!(logged.line, b"GET /a?b=\"\"c HTTP/1.1");
        assert_eq!(logged.status, Some(200));
        let common = br#"shop.test:443 ::1 - - [10/Oct/2026:13:55:36 +0000] "-" 408 -"#;
        assert_eq!(read(common).unwrap().line, b"-");
        let ours = br#"{"method":"GET","path":"/a","protocol":"HTTP/2.0","status":200,"host":"shop.test"}"#;
        let logged = read(ours).unwrap();
        assert_eq!((&*logged.line, logged.host.as_deref()), (&b"GET /a HTTP/2.0"[..], Some("shop.test")));
        let nginx = br#"{"request":"POST /x?y HTTP/1.1","status":"201"}"#;
        assert_eq!(read(nginx).unwrap().status, Some(201));
        for line in [&b""[..], b"2026/10/10 error", b"{\"a\":1}", b"{", b"x [t] \"GET", b"x [t] \"a\" b"] {
            assert_eq!(read(line), None);
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_not(line in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = read(&line);
            let _ = read(&[b"x - - [t] \"", &line[..], b"\" 200 1"].concat());
        }
    }
}
