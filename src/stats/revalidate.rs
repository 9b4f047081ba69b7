//! Whoever has a report of a window that is over may ask whether it is still so (RFC 9110, sections 8.8 and 13):
//! `ETag`, `If-None-Match`, 304. The report is made all the same; what is late changes it, and with it its tag.

use std::hash::Hash;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use siphasher::sip128::{Hasher128, SipHasher24};

/// The tag of what is told. It is weak: when it was told is not part of it.
pub(crate) fn tag(told: &[u8]) -> Option<HeaderValue> {
    let mut hasher = SipHasher24::new();
    told.hash(&mut hasher);
    HeaderValue::try_from(format!("W/\"{:032x}\"", hasher.finish128().as_u128())).ok()
}

/// Asks, and leaves out what the asker has.
pub(crate) async fn ask(request: Request, next: Next) -> Response {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let known = request.headers().clone();
    let mut answer = next.run(request).await;
    let Some(tag) = answer.headers().get(ETAG).filter(|_| is_read && answer.status() == StatusCode::OK)
    else {
        return answer;
    };
    let is_known = is_among(tag, &known);
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if is_known {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        *answer.body_mut() = Body::empty();
        answer.headers_mut().remove(CONTENT_TYPE);
        answer.headers_mut().remove(CONTENT_LENGTH);
    }
    answer
}

/// The weak comparison of RFC 9110, section 8.8.3.2.
fn is_among(tag: &HeaderValue, fields: &HeaderMap) -> bool {
    let opaque = |tag: &[u8]| tag.strip_prefix(b"W/").unwrap_or(tag).to_vec();
    let own = opaque(tag.as_bytes());
    let lines = fields.get_all(IF_NONE_MATCH).iter();
    let mut known =
        lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    known.any(|one| one == b"*" || opaque(one) == own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly() {
        let own = tag(b"a").unwrap();
        assert_ne!(own, tag(b"b").unwrap());
        let text = own.to_str().unwrap();
        let among = |lines: &[&str]| {
            let mut fields = HeaderMap::new();
            for line in lines {
                fields.append(IF_NONE_MATCH, line.parse().unwrap());
            }
            is_among(&own, &fields)
        };
        for lines in [&[text][..], &[&text[2..]], &["\"x\"", text], &[&format!("\"x\" , {text}")], &["*"]] {
            assert!(among(lines), "{lines:?}");
        }
        for lines in [&[][..], &["\"x\""], &[&text[3..]], &[""]] {
            assert!(!among(lines), "{lines:?}");
        }
    }
}
