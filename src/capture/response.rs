//! What a response's head says about the page: is it one, and may a cookie be set on it.

use std::time::{Duration, UNIX_EPOCH};

use http::StatusCode;
use http::header::{self, HeaderMap, HeaderValue};

use super::reasons::{CookieStep, NoPageView};

/// What matters of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    /// Why a person who navigated here sees no page; none for one: 2xx with HTML, or 304.
    pub(super) no_page: Option<NoPageView>,
    /// 3xx but 304, 4xx or 5xx.
    pub(super) is_redirect_or_error: bool,
    /// Why no cookie may be set on it; none where one may. Not where a cache may hand it to others (it says so, or it is
    /// a 304), nor where nobody receives it (499).
    pub(super) no_cookie: Option<CookieStep>,
}

impl Answer {
    /// `at_ms`, Unix milliseconds, stands in for a `Date` that the upstream did not send.
    pub(super) fn of(status: StatusCode, headers: &HeaderMap, at_ms: u64) -> Self {
        let is_not_modified = status == StatusCode::NOT_MODIFIED;
        let is_gone = status.as_u16() == CLIENT_CLOSED_REQUEST;
        let no_page = if is_not_modified {
            None
        } else if is_gone {
            Some(NoPageView::ClientGone)
        } else if !status.is_success() {
            Some(NoPageView::Status)
        } else if !is_html(headers.get(header::CONTENT_TYPE)) {
            Some(NoPageView::ContentType)
        } else {
            None
        };
        let no_cookie = if is_not_modified {
            Some(CookieStep::NotModified)
        } else if is_gone {
            Some(CookieStep::ClientGone)
        } else if is_shareable(headers, at_ms) {
            Some(CookieStep::Shareable)
        } else {
            None
        };
        Self { no_page, is_redirect_or_error: !is_not_modified && status.as_u16() >= 300, no_cookie }
    }
}

/// Whether a cookie may be set on a response: no cache may hand it to others. `at_ms` is now, Unix time.
pub fn may_set_cookie(status: StatusCode, headers: &HeaderMap, at_ms: u64) -> bool {
    Answer::of(status, headers, at_ms).no_cookie.is_none()
}

/// Status of a request whose client went away before it had an answer, as nginx has it.
pub const CLIENT_CLOSED_REQUEST: u16 = 499;

fn is_html(content_type: Option<&HeaderValue>) -> bool {
    let Some(value) = content_type else { return false };
    let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    essence.eq_ignore_ascii_case(b"text/html") || essence.eq_ignore_ascii_case(b"application/xhtml+xml")
}

/// RFC 9111: `public`, `s-maxage`, or freshness (`max-age` above 0, `Expires` in the future of `Date`) without
/// `private` or `no-store`.
fn is_shareable(headers: &HeaderMap, at_ms: u64) -> bool {
    let mut fresh = None;
    for directive in headers
        .get_all(header::CACHE_CONTROL)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
    {
        let (name, value) = match memchr::memchr(b'=', directive) {
            Some(at) => (&directive[..at], directive[at + 1..].trim_ascii()),
            None => (directive, &[][..]),
        };
        if name.eq_ignore_ascii_case(b"private") || name.eq_ignore_ascii_case(b"no-store") {
            return false;
        } else if name.eq_ignore_ascii_case(b"public") || name.eq_ignore_ascii_case(b"s-maxage") {
            fresh = Some(true);
        } else if name.eq_ignore_ascii_case(b"max-age") {
            let is_zero = value.iter().all(|byte| matches!(byte, b'0' | b'"'));
            fresh = Some(fresh == Some(true) || !is_zero);
        } else if name.eq_ignore_ascii_case(b"no-cache") {
            fresh = fresh.or(Some(false));
        }
    }
    fresh.unwrap_or_else(|| expires_later(headers, at_ms))
}

fn expires_later(headers: &HeaderMap, at_ms: u64) -> bool {
    let time = |name| {
        let value: &HeaderValue = headers.get(name)?;
        httpdate::parse_http_date(value.to_str().ok()?).ok()
    };
    // `Expires: 0` and other text that is no date means "already expired".
    let now = || UNIX_EPOCH + Duration::from_millis(at_ms);
    time(header::EXPIRES).is_some_and(|expires| expires > time(header::DATE).unwrap_or_else(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, fields: &[(&'static str, &'static str)]) -> Answer {
        let headers = fields
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), HeaderValue::from_static(value)));
        Answer::of(StatusCode::from_u16(status).unwrap(), &headers.collect(), 1_700_000_000_000)
    }

    #[test]
    fn pages_are_html_or_not_modified() {
        assert!(answer(200, &[("content-type", "text/html; charset=utf-8")]).no_page.is_none());
        assert!(answer(200, &[("content-type", "TEXT/HTML")]).no_page.is_none());
        assert!(answer(304, &[]).no_page.is_none());
        assert!(answer(404, &[("content-type", "text/html")]).no_page.is_some());
        assert!(answer(200, &[("content-type", "application/json")]).no_page.is_some());
        assert!(answer(200, &[]).no_page.is_some());
    }

    #[test]
    fn only_what_says_so_is_shareable() {
        for (value, shareable) in [
            ("public", true),
            ("max-age=60", true),
            ("s-maxage=1, max-age=0", true),
            ("max-age=0, must-revalidate", false),
            ("private, max-age=600", false),
            ("no-store", false),
            ("public, no-store", false),
            ("no-cache", false),
            ("Max-Age=60, Private", false),
        ] {
            assert_eq!(answer(200, &[("cache-control", value)]).no_cookie.is_some(), shareable, "{value}");
        }
        assert!(answer(200, &[]).no_cookie.is_none());
        assert!(answer(200, &[("expires", "0")]).no_cookie.is_none());
        assert!(answer(200, &[("expires", "Thu, 19 Nov 1981 08:52:00 GMT")]).no_cookie.is_none());
        assert!(answer(200, &[("expires", "Wed, 21 Oct 2037 07:28:00 GMT")]).no_cookie.is_some());
        assert!(answer(304, &[]).no_cookie.is_some());
    }
}
