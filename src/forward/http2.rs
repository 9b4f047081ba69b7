//! A request of HTTP/2 as HTTP/1.1 has it (RFC 9113 section 8.3.1, RFC 9110 section 7.2).
//!
//! The library has refused fields of a connection, names in upper case, pseudo-fields out of place and lengths that are
//! not true; a length that stands there twice it lets pass.

use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Uri};

use super::fields::lines_bytes;
use super::refusal::Refusal;
use crate::config::Limits;

/// `:authority` becomes `Host`, the target a path, the crumbs of `Cookie` one line; a body of unknown length is chunked.
///
/// # Errors
///
/// The answer to give instead: 400, 405 or 431.
pub fn as_http1(head: &mut Parts, has_body: bool, limits: &Limits) -> Result<(), Refusal> {
    trim_values(&mut head.headers);
    // As HTTP/1.1 has them: there all cookies are one field.
    join_cookies(&mut head.headers);
    if head.headers.len() > limits.headers {
        return Err(Refusal::TooManyFields);
    }
    if lines_bytes(&head.headers) > limits.header_bytes {
        return Err(Refusal::HeadTooLarge);
    }
    if head.headers.get_all(header::CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err(Refusal::Framing);
    }
    if head.method == Method::CONNECT {
        return Err(Refusal::Method);
    }
    tell_host(head)?;
    let target = head.uri.path_and_query().cloned().ok_or(Refusal::Target)?;
    let is_fit = target.as_str().starts_with('/') || (target == "*" && head.method == Method::OPTIONS);
    if !is_fit {
        return Err(Refusal::Target);
    }
    head.uri = Uri::from(target);
    if has_body && !head.headers.contains_key(header::CONTENT_LENGTH) {
        // Where a body is unusual for the method, its absence would be assumed.
        head.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    Ok(())
}

/// Blanks around a value are no part of it in HTTP/1.1, and should not be there in HTTP/2 (RFC 9113 section 8.2.1).
fn trim_values(headers: &mut HeaderMap) {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    for value in headers.values_mut() {
        let bytes = value.as_bytes();
        if (is_blank(bytes.first()) || is_blank(bytes.last()))
            && let Ok(trimmed) = HeaderValue::from_bytes(bytes.trim_ascii())
        {
            *value = trimmed;
        }
    }
}

/// Exactly one `Host`: that of `:authority`, which no other may contradict.
fn tell_host(head: &mut Parts) -> Result<(), Refusal> {
    let Some(authority) = head.uri.authority() else {
        // `Host` alone is checked as in HTTP/1.1.
        return Ok(());
    };
    let authority = authority.as_str().as_bytes();
    let differs = |host: &HeaderValue| !host.as_bytes().eq_ignore_ascii_case(authority);
    if head.headers.get_all(header::HOST).iter().any(differs) {
        return Err(Refusal::Host);
    }
    let value = HeaderValue::from_bytes(authority).map_err(|_| Refusal::Host)?;
    head.headers.insert(header::HOST, value);
    Ok(())
}

/// A browser sends each cookie as a line of its own (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut lines = headers.get_all(header::COOKIE).iter();
    let (Some(first), Some(second)) = (lines.next(), lines.next()) else { return };
    let mut joined = first.as_bytes().to_vec();
    for line in std::iter::once(second).chain(lines) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(line.as_bytes());
    }
    // Made of valid values, so it is one.
    if let Ok(joined) = HeaderValue::from_maybe_shared(bytes::Bytes::from(joined)) {
        headers.insert(header::COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const LIMITS: Limits = Limits {
        header_bytes: 1 << 16,
        headers: 5,
        uri_bytes: 1 << 15,
        body_bytes: None,
        connections_per_ip: None,
    };

    fn converted(request: http::request::Builder) -> Result<Parts, Refusal> {
        let mut head = request.body(()).unwrap().into_parts().0;
        as_http1(&mut head, false, &LIMITS)?;
        Ok(head)
    }

    #[test]
    fn the_authority_is_the_host_and_the_target_a_path() {
        let head = converted(Request::get("https://Shop.test:8443/a//b?c")).unwrap();
        assert_eq!(head.uri, "/a//b?c");
        assert_eq!(head.headers["host"], "Shop.test:8443");
        let head = converted(Request::get("https://shop.test/").header("host", "SHOP.test")).unwrap();
        assert_eq!(head.headers.get_all("host").iter().count(), 1);
        assert!(matches!(
            converted(Request::get("https://shop.test/").header("host", "other.test")),
            Err(Refusal::Host)
        ));
        assert!(matches!(converted(Request::connect("shop.test:443")), Err(Refusal::Method)));
    }

    #[test]
    fn crumbs_of_cookies_become_one_line_in_their_order() {
        let request = Request::get("https://a/").header("cookie", "a=1").header("x", "y");
        let head = converted(request.header("cookie", "b=2").header("cookie", "c=3; d=4")).unwrap();
        let lines: Vec<_> = head.headers.get_all("cookie").iter().collect();
        assert_eq!(lines, ["a=1; b=2; c=3; d=4"]);
    }

    #[test]
    fn fields_are_counted() {
        let mut request = Request::get("https://a/");
        for _ in 0..6 {
            request = request.header("x", "y");
        }
        assert!(matches!(converted(request), Err(Refusal::TooManyFields)));
    }

    #[test]
    fn crumbs_of_cookies_are_counted_as_the_one_line_that_they_become() {
        let mut request = Request::get("https://a/");
        for _ in 0..1000 {
            request = request.header("cookie", format!("a={}", "1".repeat(60)));
        }
        let head = converted(request).unwrap();
        let line = head.headers["cookie"].len();
        assert!(line < LIMITS.header_bytes && line + 1000 * "cookie: \r\n".len() > LIMITS.header_bytes);
        let request = Request::get("https://a/").header("cookie", "a=1");
        let request =
            request.header("cookie", "a".repeat(LIMITS.header_bytes - "cookie: a=1; \r\n".len() + 1));
        assert!(matches!(converted(request), Err(Refusal::HeadTooLarge)));
    }

    #[test]
    fn a_body_of_unknown_length_is_chunked() {
        let mut head = Request::get("https://a/").body(()).unwrap().into_parts().0;
        as_http1(&mut head, true, &LIMITS).unwrap();
        assert_eq!(head.headers["transfer-encoding"], "chunked");
    }

    #[test]
    fn blanks_around_a_value_do_not_reach_a_shop() {
        let head =
            converted(Request::get("https://shop.test/").header("x", " a b\t").header("y", " ")).unwrap();
        assert_eq!((head.headers["x"].as_bytes(), head.headers["y"].as_bytes()), (&b"a b"[..], &b""[..]));
    }
}
