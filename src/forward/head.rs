//! What a request's head must look like to be forwarded, whatever the version of HTTP that it came in.

use std::borrow::Cow;

use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Uri, Version};

use super::refusal::Refusal;
use crate::config::Limits;

/// The `Host` of a request, checked.
#[derive(Debug, Clone)]
pub struct Authority {
    /// As sent; none in HTTP/1.0 without `Host`.
    value: Option<HeaderValue>,
    /// Bytes of `value` before the port.
    host_end: usize,
}

impl Authority {
    /// The field's value.
    pub fn value(&self) -> Option<&HeaderValue> {
        self.value.as_ref()
    }

    /// Host for matching: lower case, without port and trailing dot; empty when there is none.
    pub fn host(&self) -> Cow<'_, str> {
        let host = self.text(..self.host_end);
        let host = host.strip_suffix('.').unwrap_or(host);
        if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(host.to_ascii_lowercase())
        } else {
            Cow::Borrowed(host)
        }
    }

    /// The port that the client named.
    pub(super) fn port(&self) -> Option<&str> {
        self.text(self.host_end..).strip_prefix(':').filter(|port| !port.is_empty())
    }

    /// The port that the client used: the one it named, else the scheme's.
    pub(super) fn port_value(&self, https: bool) -> HeaderValue {
        match self.port() {
            // Digits make a value.
            Some(port) => HeaderValue::from_str(port).unwrap_or(HeaderValue::from_static("0")),
            None => HeaderValue::from_static(if https { "443" } else { "80" }),
        }
    }

    fn text(&self, range: impl std::slice::SliceIndex<[u8], Output = [u8]>) -> &str {
        let bytes = self.value.as_ref().map_or(&b""[..], HeaderValue::as_bytes);
        // Checked to be ASCII when the authority was made.
        bytes.get(range).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

/// Checks method, target, `Host` and announced length, and turns an absolute target into a path.
///
/// # Errors
///
/// The answer to give instead: 400, 405, 413 or 414.
pub fn check(head: &mut Parts, limits: &Limits) -> Result<Authority, Refusal> {
    check_method(&head.method)?;
    let authority = check_host(&head.headers, head.version)?;
    check_target(head, &authority, limits)?;
    check_length(&head.headers, limits)?;
    Ok(authority)
}

fn check_method(method: &Method) -> Result<(), Refusal> {
    // TRACE would echo cookies, CONNECT would make us an open proxy.
    if matches!(*method, Method::TRACE | Method::CONNECT) { Err(Refusal::Method) } else { Ok(()) }
}

/// Exactly one well-formed `Host` (RFC 9112 section 3.2); HTTP/1.0 may have none.
fn check_host(headers: &HeaderMap, version: Version) -> Result<Authority, Refusal> {
    let mut values = headers.get_all(header::HOST).iter();
    let Some(value) = values.next() else {
        return if version == Version::HTTP_10 {
            Ok(Authority { value: None, host_end: 0 })
        } else {
            Err(Refusal::Host)
        };
    };
    if values.next().is_some() {
        return Err(Refusal::Host);
    }
    let host_end = host_end(value.as_bytes()).ok_or(Refusal::Host)?;
    Ok(Authority { value: Some(value.clone()), host_end })
}

/// Where the host ends in `uri-host [":" port]` (RFC 9110 section 7.2); none when it is malformed or empty.
pub(crate) fn host_end(authority: &[u8]) -> Option<usize> {
    let end = match authority {
        [b'[', rest @ ..] => {
            let inner = rest.iter().position(|byte| *byte == b']')?;
            let address = std::str::from_utf8(&rest[..inner]).ok()?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            inner + 2
        }
        _ => {
            let end = authority.iter().position(|byte| *byte == b':').unwrap_or(authority.len());
            let is_valid = end > 0 && authority[..end].iter().all(|byte| is_host_byte(*byte));
            is_valid.then_some(end)?
        }
    };
    match &authority[end..] {
        [] => Some(end),
        [b':', port @ ..] if port.len() <= 5 && port.iter().all(u8::is_ascii_digit) => Some(end),
        _ => None,
    }
}

/// unreserved, sub-delims and `%` (RFC 3986 section 3.2.2).
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte)
}

/// Leaves the target in origin-form, or `*` of OPTIONS.
fn check_target(head: &mut Parts, authority: &Authority, limits: &Limits) -> Result<(), Refusal> {
    let path = head.uri.path_and_query().map_or("", |target| target.as_str());
    if path.len() > limits.uri_bytes {
        return Err(Refusal::TargetTooLong);
    }
    if let Some(target_authority) = head.uri.authority() {
        let default_port = match head.uri.scheme_str() {
            Some("http") => ":80",
            Some("https") => ":443",
            _ => return Err(Refusal::Target),
        };
        let host = without_port(authority.text(..), default_port);
        let target_host = without_port(target_authority.as_str(), default_port);
        if authority.value().is_some() && !host.eq_ignore_ascii_case(target_host) {
            return Err(Refusal::Target);
        }
        head.uri = origin_form(&head.uri)?;
        return Ok(());
    }
    match path.as_bytes() {
        [b'/', ..] => Ok(()),
        b"*" if head.method == Method::OPTIONS => Ok(()),
        _ => Err(Refusal::Target),
    }
}

/// The host without this port, when it names it.
fn without_port<'a>(host: &'a str, port: &str) -> &'a str {
    host.strip_suffix(port).unwrap_or(host)
}

/// The target without scheme and authority. `http://shop?a` has an empty path, which origin-form cannot have.
fn origin_form(uri: &Uri) -> Result<Uri, Refusal> {
    match uri.path_and_query() {
        Some(target) if target.as_str().starts_with('?') => {
            format!("/{}", target.as_str()).parse().map_err(|_| Refusal::Target)
        }
        Some(target) => Ok(Uri::from(target.clone())),
        None => Ok(Uri::default()),
    }
}

/// How the body is framed was seen to before (`accept::Gate`).
fn check_length(headers: &HeaderMap, limits: &Limits) -> Result<(), Refusal> {
    let Some(limit) = limits.body_bytes else { return Ok(()) };
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    match declared.and_then(|length| length.parse::<u64>().ok()) {
        Some(length) if length > limit => Err(Refusal::BodyTooLong),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_checked() {
        for (host, end) in [
            ("shop.ua", Some(7)),
            ("shop.ua:8080", Some(7)),
            ("shop.ua:", Some(7)),
            ("[::1]", Some(5)),
            ("[::1]:80", Some(5)),
            ("", None),
            (":80", None),
            ("a/b", None),
            ("a b", None),
            ("user@shop", None),
            ("shop:80a", None),
            ("shop:123456", None),
            ("[::1", None),
            ("[zz]", None),
            ("[::1]x", None),
            ("a,b", Some(3)),
            ("caf\u{e9}", None),
        ] {
            assert_eq!(host_end(host.as_bytes()), end, "{host}");
        }
    }

    #[test]
    fn a_host_is_matched_in_lower_case_without_port_and_dot() {
        let value = HeaderValue::from_static("Www.Shop.UA.:8080");
        let authority = Authority { host_end: host_end(value.as_bytes()).unwrap(), value: Some(value) };
        assert_eq!(authority.host(), "www.shop.ua");
        assert_eq!(authority.port_value(false), "8080");
    }
}
