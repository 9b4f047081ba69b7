//! One line of the access log: Apache's combined form, or JSON.
//!
//! Rule: what a client sent is escaped and cut; nothing that it sent begins a line or ends a field.

use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use http::Version;
use jiff::Timestamp;

use crate::config::{self, AccessLogFormat, StoreIp};

/// Longest path that is written whole, bytes.
const PATH_BYTES: usize = 2048;
/// The same of anything else that a client sends.
const FIELD_BYTES: usize = 512;

/// What a line says; what is not known is empty or none.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// When the answer ended, Unix milliseconds.
    pub at_ms: u64,
    /// The client's address.
    pub client: IpAddr,
    /// Whether the client's own connection is encrypted.
    pub https: bool,
    /// As sent; empty of what was no request.
    pub method: &'a str,
    /// Path of the target, without its query, tokens masked; empty where there was none.
    pub path: &'a str,
    /// Length of the query, without `?`.
    pub query_bytes: usize,
    /// Of the request.
    pub version: Version,
    /// `Host`
    pub host: &'a [u8],
    /// `Referer`, of which scheme and host are written.
    pub referer: &'a [u8],
    /// `User-Agent`
    pub user_agent: &'a [u8],
    /// Of the answer; 499 when the client went away before.
    pub status: u16,
    /// Head and body of the request.
    pub request_bytes: u64,
    /// Body of the answer.
    pub sent_bytes: u64,
    /// From the request's head to the end of the answer.
    pub time: Duration,
    /// The way to the shop.
    pub upstream: Option<UpstreamPart<'a>>,
    /// Id of the request.
    pub request_id: &'a [u8],
    /// Name of the site.
    pub site: &'a str,
    /// Label of the route.
    pub route: &'a str,
    /// Why the proxy answered itself.
    pub reason: Option<&'static str>,
    /// How the exchange ended.
    pub end: End,
}

/// What became of a request on its way to an upstream.
#[derive(Debug, Clone)]
pub struct UpstreamPart<'a> {
    /// Name of the upstream.
    pub name: &'a str,
    /// `host:port` of the server.
    pub server: &'a str,
    /// Time to open connections; none when one was open.
    pub connect: Option<Duration>,
    /// From sending to the head of the answer.
    pub header: Option<Duration>,
    /// From sending to the end of the answer.
    pub total: Option<Duration>,
    /// Whether it has answered: with the status of the line.
    pub answered: bool,
    /// How often the request was sent again.
    pub retries: u32,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The whole answer was handed to the connection.
    Complete,
    /// The client went away before.
    ClientGone,
    /// The upstream's answer broke off.
    UpstreamTruncated,
}

impl End {
    fn name(self) -> &'static str {
        match self {
            End::Complete => "complete",
            End::ClientGone => "client_gone",
            End::UpstreamTruncated => "upstream_truncated",
        }
    }
}

/// The present second as text, made once a second.
#[derive(Debug, Default)]
pub(super) struct Seconds {
    second: u64,
    text: String,
}

impl Seconds {
    fn text(&mut self, at_ms: u64, form: &str) -> &str {
        let second = at_ms / 1000;
        if second != self.second || self.text.is_empty() {
            let moment = i64::try_from(second).ok().and_then(|second| Timestamp::from_second(second).ok());
            self.text = moment.unwrap_or_default().strftime(form).to_string();
            self.second = second;
        }
        &self.text
    }
}

/// Adds the entry's line.
pub(super) fn append(
    out: &mut Vec<u8>,
    entry: &Entry<'_>,
    config: &config::AccessLog,
    seconds: &mut Seconds,
) {
    match config.format {
        AccessLogFormat::Off => return,
        AccessLogFormat::Combined => combined(out, entry, config.address, seconds),
        AccessLogFormat::Json => json(out, entry, config.address, seconds),
    }
    out.push(b'\n');
}

/// `%h - - [%t] "%r" %>s %b "%{Referer}i" "%{User-agent}i"` of Apache httpd's `mod_log_config`. Times are UTC.
fn combined(out: &mut Vec<u8>, entry: &Entry<'_>, address: StoreIp, seconds: &mut Seconds) {
    put_address(out, entry.client, address);
    out.extend_from_slice(b" - - [");
    out.extend_from_slice(seconds.text(entry.at_ms, "%d/%b/%Y:%H:%M:%S +0000").as_bytes());
    out.extend_from_slice(b"] \"");
    if entry.method.is_empty() {
        out.push(b'-');
    } else {
        put_escaped(out, cut(entry.method.as_bytes(), FIELD_BYTES));
        out.push(b' ');
        put_escaped(out, if entry.path.is_empty() { b"-" } else { cut(entry.path.as_bytes(), PATH_BYTES) });
        out.push(b' ');
        out.extend_from_slice(protocol(entry.version).as_bytes());
    }
    out.extend_from_slice(b"\" ");
    put_number(out, entry.status);
    out.push(b' ');
    put_number(out, entry.sent_bytes);
    out.extend_from_slice(b" \"");
    match referrer(entry.referer) {
        Some((origin, _)) => {
            put_escaped(out, cut(origin, FIELD_BYTES));
            out.push(b'/');
        }
        None => out.push(b'-'),
    }
    out.extend_from_slice(b"\" \"");
    match entry.user_agent {
        [] => out.push(b'-'),
        agent => put_escaped(out, cut(agent, FIELD_BYTES)),
    }
    out.push(b'"');
}

fn json(out: &mut Vec<u8>, entry: &Entry<'_>, address: StoreIp, seconds: &mut Seconds) {
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(seconds.text(entry.at_ms, "%Y-%m-%dT%H:%M:%S").as_bytes());
    out.push(b'.');
    put_three_digits(out, entry.at_ms % 1000);
    out.extend_from_slice(b"Z\"");
    if address != StoreIp::None {
        out.extend_from_slice(b",\"client\":\"");
        put_address(out, entry.client, address);
        out.push(b'"');
    }
    put_text(out, "method", cut(entry.method.as_bytes(), FIELD_BYTES));
    put_text(out, "path", cut(entry.path.as_bytes(), PATH_BYTES));
    if entry.query_bytes > 0 {
        put_field(out, "query_bytes", entry.query_bytes as u64);
    }
    if !entry.method.is_empty() {
        put_text(out, "protocol", protocol(entry.version).as_bytes());
    }
    put_field(out, "status", entry.status);
    put_field(out, "bytes_sent", entry.sent_bytes);
    put_field(out, "request_bytes", entry.request_bytes);
    put_ms(out, "duration_ms", Some(entry.time));
    if let Some(upstream) = &entry.upstream {
        put_text(out, "upstream", upstream.name.as_bytes());
        put_text(out, "server", upstream.server.as_bytes());
        put_ms(out, "upstream_connect_ms", upstream.connect);
        put_ms(out, "upstream_header_ms", upstream.header);
        put_ms(out, "upstream_ms", upstream.total);
        if upstream.answered {
            put_field(out, "upstream_status", entry.status);
        }
        put_field(out, "retries", upstream.retries);
    }
    put_text(out, "request_id", entry.request_id);
    put_text(out, "host", cut(entry.host, FIELD_BYTES));
    if let Some((_, host)) = referrer(entry.referer) {
        put_text(out, "referer_host", cut(host, FIELD_BYTES));
    }
    put_text(out, "user_agent", cut(entry.user_agent, FIELD_BYTES));
    put_text(out, "site", entry.site.as_bytes());
    put_text(out, "route", entry.route.as_bytes());
    out.extend_from_slice(if entry.https { b",\"https\":true" } else { b",\"https\":false" });
    put_text(out, "reason", entry.reason.unwrap_or_default().as_bytes());
    put_text(out, "end", entry.end.name().as_bytes());
    out.push(b'}');
}

/// Scheme with host, and the host alone, of an absolute URL; a user and password are in neither.
fn referrer(url: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memmem::find(url, b"://")?;
    if !url[..colon].iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)) {
        return None;
    }
    let begin = colon + 3;
    let authority = url.get(begin..)?;
    let end = authority.iter().position(|byte| b"/?#\\".contains(byte)).unwrap_or(authority.len());
    let authority = &authority[..end];
    if authority.is_empty() || !authority.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'@') {
        return None;
    }
    Some((&url[..begin + end], authority))
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

fn cut(text: &[u8], bytes: usize) -> &[u8] {
    &text[..text.len().min(bytes)]
}

fn put_address(out: &mut Vec<u8>, address: IpAddr, kept: StoreIp) {
    let address = match (kept, address) {
        (StoreIp::None, _) => return out.push(b'-'),
        (StoreIp::Full, address) => address,
        (StoreIp::Truncated, IpAddr::V4(v4)) => {
            let [a, b, c, _] = v4.octets();
            IpAddr::from([a, b, c, 0])
        }
        (StoreIp::Truncated, IpAddr::V6(v6)) => {
            let [a, b, c, ..] = v6.segments();
            IpAddr::from([a, b, c, 0, 0, 0, 0, 0])
        }
    };
    let IpAddr::V4(v4) = address else {
        // Writing to memory does not fail.
        let _ = write!(out, "{address}");
        return;
    };
    for (index, octet) in v4.octets().into_iter().enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        put_number(out, octet);
    }
}

fn put_number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn put_three_digits(out: &mut Vec<u8>, number: u64) {
    let digit = |place: u64| b'0' + u8::try_from(number / place % 10).unwrap_or(0);
    out.extend_from_slice(&[digit(100), digit(10), digit(1)]);
}

fn put_name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn put_field(out: &mut Vec<u8>, name: &str, number: impl itoa::Integer) {
    put_name(out, name);
    put_number(out, number);
}

/// Milliseconds to the microsecond.
fn put_ms(out: &mut Vec<u8>, name: &str, time: Option<Duration>) {
    let Some(time) = time else { return };
    let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    put_field(out, name, us / 1000);
    out.push(b'.');
    put_three_digits(out, us % 1000);
}

/// A JSON string; an empty one is left out.
fn put_text(out: &mut Vec<u8>, name: &str, text: &[u8]) {
    if text.is_empty() {
        return;
    }
    put_name(out, name);
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        put_json(out, chunk.valid());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}

fn put_json(out: &mut Vec<u8>, text: &str) {
    let is_plain = |byte: u8| (byte >= b' ') & (byte != b'"') & (byte != b'\\') & (byte != 0x7f);
    if are_all(text.as_bytes(), is_plain) {
        return out.extend_from_slice(text.as_bytes());
    }
    for byte in text.bytes() {
        match byte {
            byte if is_plain(byte) => out.push(byte),
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            _ => {
                out.extend_from_slice(b"\\u00");
                put_hex(out, byte);
            }
        }
    }
}

/// As nginx and Apache do: quotes, backslashes and all that is no visible ASCII as `\xHH`.
fn put_escaped(out: &mut Vec<u8>, text: &[u8]) {
    let is_plain = |byte: u8| (b' '..0x7f).contains(&byte) & (byte != b'"') & (byte != b'\\');
    if are_all(text, is_plain) {
        return out.extend_from_slice(text);
    }
    for byte in text {
        if is_plain(*byte) {
            out.push(*byte);
        } else {
            out.extend_from_slice(b"\\x");
            put_hex(out, *byte);
        }
    }
}

/// Without an early end, so that it becomes vector instructions.
fn are_all(text: &[u8], is_plain: impl Fn(u8) -> bool) -> bool {
    text.iter().fold(true, |all, byte| all & is_plain(*byte))
}

fn put_hex(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry() -> Entry<'static> {
        Entry {
            at_ms: 1_764_000_000_123,
            client: IpAddr::from([203, 0, 113, 77]),
            https: true,
            method: "GET",
            path: "/a",
            query_bytes: 0,
            version: Version::HTTP_11,
            host: b"shop.test",
            referer: b"https://www.google.com/search?q=secret",
            user_agent: b"Mozilla/5.0 \"x\"",
            status: 200,
            request_bytes: 412,
            sent_bytes: 7,
            time: Duration::from_micros(12_345),
            upstream: None,
            request_id: b"",
            site: "default",
            route: "default",
            reason: None,
            end: End::Complete,
        }
    }

    fn line(entry: &Entry<'_>, format: AccessLogFormat, address: StoreIp) -> String {
        let config = config::AccessLog { format, path: None, address };
        let mut out = Vec::new();
        append(&mut out, entry, &config, &mut Seconds::default());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn combined_is_apaches() {
        assert_eq!(
            line(&entry(), AccessLogFormat::Combined, StoreIp::Truncated),
            "203.0.113.0 - - [24/Nov/2025:16:00:00 +0000] \"GET /a HTTP/1.1\" 200 7 \
             \"https://www.google.com/\" \"Mozilla/5.0 \\x22x\\x22\"\n"
        );
    }

    #[test]
    fn json_leaves_out_what_there_is_not() {
        let upstream = UpstreamPart {
            name: "shop",
            server: "127.0.0.1:9000",
            connect: None,
            header: Some(Duration::from_micros(1_005)),
            total: Some(Duration::from_micros(12_000)),
            answered: true,
            retries: 1,
        };
        let entry = Entry { upstream: Some(upstream), query_bytes: 9, ..entry() };
        assert_eq!(
            line(&entry, AccessLogFormat::Json, StoreIp::None),
            "{\"time\":\"2025-11-24T16:00:00.123Z\",\"method\":\"GET\",\"path\":\"/a\",\"query_bytes\":9,\
             \"protocol\":\"HTTP/1.1\",\"status\":200,\"bytes_sent\":7,\"request_bytes\":412,\"duration_ms\":12.345,\
             \"upstream\":\"shop\",\"server\":\"127.0.0.1:9000\",\"upstream_header_ms\":1.005,\"upstream_ms\":12.000,\
             \"upstream_status\":200,\"retries\":1,\"host\":\"shop.test\",\"referer_host\":\"www.google.com\",\
             \"user_agent\":\"Mozilla/5.0 \\\"x\\\"\",\"site\":\"default\",\"route\":\"default\",\"https\":true,\
             \"end\":\"complete\"}\n"
        );
    }

    #[test]
    fn of_a_referrer_the_host_is_kept_and_never_a_password() {
        let host = |url: &'static str| referrer(url.as_bytes()).map(|(_, host)| host);
        assert_eq!(host("https://a.example:8443/x?y=1#z"), Some(&b"a.example:8443"[..]));
        assert_eq!(host("https://a.example?y=1"), Some(&b"a.example"[..]));
        assert_eq!(host("android-app://com.google/"), Some(&b"com.google"[..]));
        for url in ["", "-", "/x?y", "https://", "https://user:pass@a/", "token=1 https://a/"] {
            assert_eq!(host(url), None, "{url}");
        }
    }

    proptest! {
        #[test]
        fn whatever_clients_send_a_line_is_one_line_of_its_form(
            bytes in proptest::collection::vec(any::<u8>(), 0..700),
            path in ".{0,100}",
        ) {
            let entry = Entry {
                path: &path, host: &bytes, referer: &bytes, user_agent: &bytes, request_id: &bytes, ..entry()
            };
            let json = line(&entry, AccessLogFormat::Json, StoreIp::Full);
            let value: serde_json::Value = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(value["client"].as_str(), Some("203.0.113.77"));
            prop_assert_eq!(json.lines().count(), 1);
            prop_assert_eq!(value["end"].as_str(), Some("complete"));
            let combined = line(&entry, AccessLogFormat::Combined, StoreIp::Full);
            prop_assert_eq!(combined.matches('"').count(), 6);
            prop_assert!(combined.trim_end_matches('\n').bytes().all(|byte| (b' '..0x7f).contains(&byte)));
        }
    }
}
