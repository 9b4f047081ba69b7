//! Header fields that end here: those of one connection (RFC 9110 section 7.6.1), those that only we may set.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode, Version};

/// Fields that a `Connection` line may not take away, however often it names them: the message would change its
/// meaning, or a client could hide where it comes from.
fn is_protected(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::HOST
            | header::CONTENT_LENGTH
            | header::TRANSFER_ENCODING
            | header::COOKIE
            | header::SET_COOKIE
            | header::AUTHORIZATION
            | header::CONTENT_TYPE
            | header::CACHE_CONTROL
    ) || kind(name.as_str()) == Kind::Forwarding
}

/// Fields in which proxies and content networks say where a request comes from and what it was for, by first letter. A
/// shop that believes one of them must not see a stranger's.
const FORWARDING_C: [&str; 4] = ["cf-connecting-ip", "cf-connecting-ipv6", "cf-visitor", "client-ip"];
const FORWARDING_F: [&str; 4] = ["forwarded", "fastly-client-ip", "fly-client-ip", "front-end-https"];
const FORWARDING_T: [&str; 1] = ["true-client-ip"];
const FORWARDING_W: [&str; 2] = ["wl-proxy-client-ip", "wl-proxy-ssl"];
const FORWARDING_X: [&str; 19] = [
    "x-real-ip",
    "x-forwarded",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-forwarded-for",
    "x-original-host",
    "x-original-url",
    "x-rewrite-url",
    "x-host",
    "x-proxyuser-ip",
    "x-originating-ip",
    "x-remote-ip",
    "x-remote-addr",
    "x-envoy-external-address",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-appengine-user-ip",
    "x-scheme",
    "x-url-scheme",
];

/// What a field of a request is to us.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Forwarded as it is.
    Plain,
    /// `Connection`: removed with what it names.
    Connection,
    /// Removed.
    Dropped,
    /// Removed unless it says `trailers`.
    Te,
    /// Removed when it says `100-continue`: that is between us and the client.
    Expect,
    /// Says where the request comes from; removed unless the peer is trusted.
    Forwarding,
}

fn kind(name: &str) -> Kind {
    // Most fields leave at their first letter.
    match name.as_bytes() {
        [b'c', ..] if name == "connection" => Kind::Connection,
        [b'c', ..] => forwarding_or_plain(name, &FORWARDING_C),
        [b'e', ..] if name == "expect" => Kind::Expect,
        [b'f', ..] => forwarding_or_plain(name, &FORWARDING_F),
        [b'k', ..] if name == "keep-alive" => Kind::Dropped,
        [b'p', ..] if name == "proxy" || name == "proxy-connection" => Kind::Dropped,
        [b't', ..] if name == "te" => Kind::Te,
        [b't', ..] => forwarding_or_plain(name, &FORWARDING_T),
        [b'u', ..] if name == "upgrade" => Kind::Dropped,
        [b'w', ..] => forwarding_or_plain(name, &FORWARDING_W),
        [b'x', ..] if is_spelled(name, "x-utm-", true) => Kind::Dropped,
        [b'x', ..] if is_spelled(name, "x-forwarded-", true) => underscored(name),
        [b'x', ..] => forwarding_or_plain(name, &FORWARDING_X),
        _ => Kind::Plain,
    }
}

fn forwarding_or_plain(name: &str, fields: &[&str]) -> Kind {
    if fields.iter().any(|field| is_spelled(name, field, false)) { underscored(name) } else { Kind::Plain }
}

/// Programs behind CGI cannot tell `X_Real_IP`, and some not `X.Real.IP`, from `X-Real-IP`: nobody may send those.
fn underscored(name: &str) -> Kind {
    if name.contains(['_', '.']) { Kind::Dropped } else { Kind::Forwarding }
}

/// Whether `name` is `pattern`, or begins with it, where `_` and `.` count as `-`.
pub(super) fn is_spelled(name: &str, pattern: &str, is_prefix: bool) -> bool {
    let (name, pattern) = (name.as_bytes(), pattern.as_bytes());
    (name.len() == pattern.len() || (is_prefix && name.len() > pattern.len()))
        && pattern
            .iter()
            .zip(name)
            .all(|(want, have)| want == have || (*want == b'-' && matches!(have, b'_' | b'.')))
}

/// How long fields are as lines of HTTP/1.1, blanks around values aside.
pub fn lines_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + ": ".len() + value.len() + "\r\n".len()).sum()
}

/// Takes from a request what ends here. Says whether it carried forwarding fields (kept only when `trusted`).
pub fn clean_request(headers: &mut HeaderMap, trusted: bool) -> bool {
    let mut leaving: Vec<HeaderName> = Vec::new();
    let (mut has_connection, mut has_te, mut has_forwarding) = (false, false, false);
    for name in headers.keys() {
        match kind(name.as_str()) {
            Kind::Plain => continue,
            Kind::Connection => {
                has_connection = true;
                continue;
            }
            Kind::Te => {
                has_te = true;
                continue;
            }
            Kind::Expect if !expects_continue(headers) => continue,
            Kind::Forwarding => {
                has_forwarding = true;
                if trusted {
                    continue;
                }
            }
            Kind::Expect | Kind::Dropped => {}
        }
        leaving.push(name.clone());
    }
    for name in leaving {
        headers.remove(name);
    }
    if has_connection {
        remove_connection(headers);
    }
    if has_te {
        clean_te(headers);
    }
    has_forwarding
}

/// Takes from a response what was between the upstream and us.
pub fn clean_response<B>(response: &mut Response<B>) {
    // The upstream's version is its own affair; hyper would answer in it.
    *response.version_mut() = Version::HTTP_11;
    let is_switch = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let has_no_content = is_switch || response.status() == StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    if headers.contains_key(header::CONNECTION) {
        remove_connection(headers);
    }
    if headers.contains_key(header::TRANSFER_ENCODING) {
        // Both would make the client's framing ambiguous (RFC 9112 section 6.3); chunks win.
        headers.remove(header::CONTENT_LENGTH);
        if is_chunked_alone(headers) {
            // hyper frames towards the client by itself.
            headers.remove(header::TRANSFER_ENCODING);
        }
    }
    if has_no_content {
        headers.remove(header::CONTENT_LENGTH);
    } else if !has_one_length(headers) {
        clean_length(headers);
    }
    headers.remove(KEEP_ALIVE);
    headers.remove(PROXY_CONNECTION);
    if is_switch {
        // It was asked for: this one is for the client.
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    } else {
        headers.remove(header::UPGRADE);
    }
}

/// Whether there is one line of `Content-Length`, and that a number, or none.
fn has_one_length(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    lengths.next().is_none_or(is_length) && lengths.next().is_none()
}

fn is_length(value: &HeaderValue) -> bool {
    let digits = value.as_bytes();
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// Of the same length said several times leaves one, of anything else none: where a body follows hyper has made sure of its
/// length, without one the client need not know it (RFC 9110 section 8.6).
fn clean_length(headers: &mut HeaderMap) {
    let header::Entry::Occupied(lines) = headers.entry(header::CONTENT_LENGTH) else { return };
    let lines: Vec<HeaderValue> = lines.remove_entry_mult().1.collect();
    let mut lengths = lines.iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let first = lengths.next().unwrap_or_default().trim_ascii();
    let is_said_again = lengths.all(|length| length.trim_ascii() == first);
    if let Ok(length) = HeaderValue::from_bytes(first)
        && is_said_again
        && is_length(&length)
    {
        headers.insert(header::CONTENT_LENGTH, length);
    }
}

/// Takes from the trailers of a request or response what may not come after a body (RFC 9110 section 6.5.1), and what
/// only we may say, or be told.
pub(super) fn clean_trailers(trailers: &mut HeaderMap) {
    let is_unfit = |name: &HeaderName| is_protected(name) || kind(name.as_str()) != Kind::Plain;
    let leaving: Vec<HeaderName> = trailers.keys().filter(|name| is_unfit(name)).cloned().collect();
    for name in leaving {
        trailers.remove(name);
    }
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Whether the body's only coding is the chunked one, said once.
fn is_chunked_alone(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::TRANSFER_ENCODING).iter();
    let first_is = values.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"chunked"));
    first_is && values.next().is_none()
}

fn expects_continue(headers: &HeaderMap) -> bool {
    headers.get(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Removes `Connection` and the fields that it names.
fn remove_connection(headers: &mut HeaderMap) {
    let header::Entry::Occupied(entry) = headers.entry(header::CONNECTION) else { return };
    let (_, mut values) = entry.remove_entry_mult();
    let mut nominated = Vec::new();
    if let Some(first) = values.next() {
        nominate(&first, &mut nominated);
    }
    for value in values {
        nominate(&value, &mut nominated);
    }
    for name in nominated {
        headers.remove(name);
    }
}

fn nominate(value: &HeaderValue, nominated: &mut Vec<HeaderName>) {
    for token in value.as_bytes().split(|byte| *byte == b',') {
        let token = token.trim_ascii();
        if token.eq_ignore_ascii_case(b"keep-alive") || token.eq_ignore_ascii_case(b"close") {
            continue;
        }
        // TE has its own rule, and what is no field name names no field.
        if let Ok(name) = HeaderName::from_bytes(token)
            && !is_protected(&name)
            && name != header::TE
            && name != header::UPGRADE
        {
            nominated.push(name);
        }
    }
}

/// `TE` concerns one connection; that the client takes trailers is told anew.
fn clean_te(headers: &mut HeaderMap) {
    let wants_trailers = headers.get_all(header::TE).iter().any(|value| {
        value
            .as_bytes()
            .split(|byte| *byte == b',')
            .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    });
    if wants_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    } else {
        headers.remove(header::TE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        headers
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        headers.keys().map(HeaderName::as_str).collect()
    }

    #[test]
    fn fields_of_the_connection_and_those_it_names_are_removed() {
        let mut headers = map(&[
            ("connection", "keep-alive, x-secret"),
            ("connection", "X-Other,, close"),
            ("keep-alive", "timeout=5"),
            ("x-secret", "1"),
            ("x-other", "1"),
            ("proxy-connection", "keep-alive"),
            ("upgrade", "websocket"),
            ("te", "gzip"),
            ("proxy", "http://evil"),
            ("expect", "100-Continue"),
            ("accept", "*/*"),
        ]);
        assert!(!clean_request(&mut headers, false));
        assert_eq!(names(&headers), ["accept"]);
    }

    #[test]
    fn a_client_cannot_have_end_to_end_fields_removed() {
        let mut headers = map(&[
            ("connection", "cookie, host, authorization, content-length, x-forwarded-for"),
            ("cookie", "a=b"),
            ("host", "shop"),
            ("authorization", "x"),
            ("content-length", "1"),
            ("x-forwarded-for", "1.1.1.1"),
        ]);
        clean_request(&mut headers, true);
        assert_eq!(headers.len(), 5);
    }

    #[test]
    fn forwarding_fields_are_kept_from_trusted_peers_only_and_never_with_underscores() {
        for name in [FORWARDING_C.as_slice(), &FORWARDING_F, &FORWARDING_T, &FORWARDING_X].concat() {
            for trusted in [false, true] {
                let mut headers = map(&[(name, "1"), ("accept", "*/*")]);
                if name.contains('-') {
                    headers.insert(
                        HeaderName::from_bytes(name.replace('-', "_").as_bytes()).unwrap(),
                        "2".parse().unwrap(),
                    );
                }
                assert!(clean_request(&mut headers, trusted), "{name}");
                let kept = headers.get(name).map(|value| value == "1");
                assert_eq!(kept, trusted.then_some(true), "{name}");
                assert_eq!(headers.len(), if trusted { 2 } else { 1 }, "{name}");
            }
        }
        let lines = [
            ("x-forwarded-for", "1"),
            ("x_forwarded_for", "1"),
            ("x-forwarded_proto", "1"),
            ("x-real-ip", "1"),
            ("forwarded", "1"),
            ("cf-connecting-ip", "1"),
            ("cf_connecting_ip", "1"),
            ("true-client-ip", "1"),
            ("x-utm-visitor", "1"),
            ("x_utm_visitor", "1"),
            ("x-utmost", "1"),
        ];
        let mut headers = map(&lines);
        assert!(clean_request(&mut headers, false));
        assert_eq!(names(&headers), ["x-utmost"]);
        let mut headers = map(&lines);
        assert!(clean_request(&mut headers, true));
        let mut kept = names(&headers);
        kept.sort_unstable();
        let want =
            ["cf-connecting-ip", "forwarded", "true-client-ip", "x-forwarded-for", "x-real-ip", "x-utmost"];
        assert_eq!(kept, want);
    }

    #[test]
    fn trailers_cannot_say_what_fields_may_not() {
        let names_of =
            ["x-checksum", "set-cookie", "content-length", "x-utm-event", "x_utm_visitor", "x-real-ip"];
        let mut trailers = map(&names_of.map(|name| (name, "1")));
        clean_trailers(&mut trailers);
        assert_eq!(names(&trailers), ["x-checksum"]);
    }

    #[test]
    fn trailers_are_asked_for_anew() {
        let mut headers = map(&[("te", "gzip, Trailers"), ("connection", "te")]);
        clean_request(&mut headers, false);
        assert_eq!(headers["te"], "trailers");
    }

    #[test]
    fn of_length_and_chunks_the_chunks_win() {
        let mut response = Response::new(());
        *response.headers_mut() = map(&[("content-length", "5"), ("transfer-encoding", "chunked")]);
        clean_response(&mut response);
        assert!(response.headers().is_empty());
    }

    #[test]
    fn a_length_is_told_once_or_not_at_all() {
        let length = |status: u16, values: &[&str]| {
            let mut response = Response::builder().status(status).body(()).unwrap();
            *response.headers_mut() =
                map(&values.iter().map(|value| ("content-length", *value)).collect::<Vec<_>>());
            clean_response(&mut response);
            let left: Vec<_> = response.headers().get_all("content-length").iter().cloned().collect();
            left
        };
        assert_eq!(length(200, &["5"]), ["5"]);
        assert_eq!(length(200, &["5", "5"]), ["5"]);
        assert_eq!(length(200, &["5, 5", "5"]), ["5"]);
        for values in [&["5", "6"][..], &["+5"], &["5, 6"], &["5,"], &["x"], &["5", "x"]] {
            assert_eq!(length(200, values), [] as [&str; 0], "{values:?}");
        }
        for status in [101, 204] {
            assert_eq!(length(status, &["5"]), [] as [&str; 0], "{status}");
        }
    }
}
