//! Ids of requests: one name under which the proxy in front, this one and the shop speak of the same request.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

use super::fields::is_spelled;

/// Longest id that is taken over from a proxy in front.
const LONGEST: usize = 128;

/// How requests are given ids (`proxy.request_id_header`).
#[derive(Debug, Clone)]
pub struct RequestIds {
    header: HeaderName,
}

impl RequestIds {
    /// Ids that travel in `header`.
    pub fn new(header: HeaderName) -> Self {
        RequestIds { header }
    }

    /// The id of a request: what a trusted peer says, if it is sane, else a new one (UUIDv7, so that ids sort by time).
    pub fn id_of(&self, headers: &HeaderMap, trusted: bool) -> HeaderValue {
        let mut said = headers.get_all(&self.header).iter();
        match (said.next(), said.next()) {
            (Some(id), None) if trusted && is_sane(id.as_bytes()) => id.clone(),
            _ => new_id(),
        }
    }

    /// Tells the shop. What spells the field with `_` goes: a program behind CGI cannot tell the two apart.
    pub fn tell_upstream(&self, headers: &mut HeaderMap, id: &HeaderValue) {
        let is_double = |name: &&HeaderName| {
            **name != self.header && is_spelled(name.as_str(), self.header.as_str(), false)
        };
        let doubles: Vec<HeaderName> = headers.keys().filter(is_double).cloned().collect();
        for name in doubles {
            headers.remove(name);
        }
        headers.insert(&self.header, id.clone());
    }

    /// Tells the client.
    pub fn tell_client(&self, headers: &mut HeaderMap, id: &HeaderValue) {
        headers.insert(&self.header, id.clone());
    }
}

fn new_id() -> HeaderValue {
    let mut text = Uuid::encode_buffer();
    let text = Uuid::now_v7().as_simple().encode_lower(&mut text);
    // Hexadecimal digits make a value.
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("0"))
}

/// Short, and nothing that would need escaping in a log or a page.
fn is_sane(id: &[u8]) -> bool {
    let fine = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+/=@".contains(byte);
    (1..=LONGEST).contains(&id.len()) && id.iter().all(fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trusted_peers_single_sane_id_is_kept() {
        let ids = RequestIds::new(HeaderName::from_static("x-request-id"));
        let id = |lines: &[&str], trusted| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-request-id", HeaderValue::from_bytes(line.as_bytes()).unwrap());
            }
            ids.id_of(&headers, trusted)
        };
        assert_eq!(id(&["abc-1:2"], true), "abc-1:2");
        let long = "a".repeat(129);
        let insane: [(&[&str], bool); 7] = [
            (&["abc"], false),
            (&["a", "b"], true),
            (&[""], true),
            (&["<b>"], true),
            (&["a b"], true),
            (&["\u{e9}"], true),
            (&[&long], true),
        ];
        for (lines, trusted) in insane {
            let minted = id(lines, trusted);
            assert_eq!(minted.len(), 32, "{lines:?}");
            assert!(!lines.contains(&minted.to_str().unwrap()));
        }
        assert_ne!(id(&[], true), id(&[], true));
    }

    #[test]
    fn the_shop_sees_one_id_however_the_field_is_spelled() {
        let ids = RequestIds::new(HeaderName::from_static("x-request-id"));
        let mut headers = HeaderMap::new();
        headers.insert("x_request_id", HeaderValue::from_static("forged"));
        headers.insert("x-request_id", HeaderValue::from_static("forged"));
        headers.insert("x-request-id", HeaderValue::from_static("forged"));
        ids.tell_upstream(&mut headers, &HeaderValue::from_static("real"));
        assert_eq!(headers.len(), 1);
        assert_eq!(headers["x-request-id"], "real");
    }
}
