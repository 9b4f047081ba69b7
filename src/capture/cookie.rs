//! The `_utmd` cookie, and cookies within a `Cookie` field.
//!
//! # Value
//!
//! Base64url without padding of 69 bytes, big-endian:
//!
//! | bytes | field |
//! |---|---|
//! | 1 | version = 1 |
//! | 1 | key id |
//! | 16 | visitor id, UUIDv7 |
//! | 16 | session id |
//! | 4 | session start, Unix seconds |
//! | 4 | last activity, Unix seconds |
//! | 4 | campaign hash of the session, 0 = none |
//! | 4 | click hash of the session, 0 = none |
//! | 2 | session number (saturating) |
//! | 1 | flags: 1 = [`UNRECORDED`] |
//! | 16 | first half of HMAC-SHA-256(key, the 53 bytes before) |
//!
//! What does not verify, or lies in the future by more than five minutes, is as good as no cookie. Of two cookies of the
//! name (host and domain) the one that verifies and started last counts.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac;
use http::header::{self, HeaderMap, HeaderValue};
use memchr::memmem::Finder;
use uuid::Uuid;

use super::query::split;
use crate::keys::KeyRing;

const VERSION: u8 = 1;
const SIGNED_BYTES: usize = 53;
const BYTES: usize = SIGNED_BYTES + 16;
/// Length of the value in characters.
const CHARS: usize = 92;
/// How far clocks of proxies may differ, seconds.
const CLOCK_SKEW_S: u32 = 300;

/// Flag: the visitor came with a response that left no record, a redirect for example. The next hit that leaves one
/// tells the cookieless id, so that what came before can be linked.
pub const UNRECORDED: u8 = 1;

/// What the cookie says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VisitorCookie {
    /// The visitor.
    pub visitor_id: Uuid,
    /// The visitor's latest session.
    pub session_id: Uuid,
    /// Its start, Unix seconds.
    pub started_s: u32,
    /// Its last activity, Unix seconds.
    pub active_s: u32,
    /// Hash of its campaign part, 0 = none.
    pub campaign_hash: u32,
    /// Hash of its click part, 0 = none.
    pub click_hash: u32,
    /// Its number, 1 = first visit.
    pub session_number: u16,
    /// A set of bits: [`UNRECORDED`].
    pub flags: u8,
}

/// Why there is no visitor's cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoCookie {
    /// None of the name came.
    Absent,
    /// What came does not count.
    Invalid,
}

impl VisitorCookie {
    /// The signed value.
    pub fn encode(&self, keys: &KeyRing) -> String {
        let (key_id, mac) = keys.signing();
        let mut bytes = [0; BYTES];
        bytes[0] = VERSION;
        bytes[1] = key_id;
        bytes[2..18].copy_from_slice(self.visitor_id.as_bytes());
        bytes[18..34].copy_from_slice(self.session_id.as_bytes());
        bytes[34..38].copy_from_slice(&self.started_s.to_be_bytes());
        bytes[38..42].copy_from_slice(&self.active_s.to_be_bytes());
        bytes[42..46].copy_from_slice(&self.campaign_hash.to_be_bytes());
        bytes[46..50].copy_from_slice(&self.click_hash.to_be_bytes());
        bytes[50..52].copy_from_slice(&self.session_number.to_be_bytes());
        bytes[52] = self.flags;
        let tag = mac.chain_update(&bytes[..SIGNED_BYTES]).finalize().into_bytes();
        bytes[SIGNED_BYTES..].copy_from_slice(&tag[..16]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a value; none when it does not verify or lies in the future.
    pub fn decode(value: &[u8], keys: &KeyRing, now_s: u32) -> Option<Self> {
        if value.len() != CHARS {
            return None;
        }
        let mut bytes = [0; BYTES];
        if URL_SAFE_NO_PAD.decode_slice(value, &mut bytes).ok()? != BYTES || bytes[0] != VERSION {
            return None;
        }
        keys.get(bytes[1])?
            .chain_update(&bytes[..SIGNED_BYTES])
            .verify_truncated_left(&bytes[SIGNED_BYTES..])
            .ok()?;
        let u32_at =
            |at: usize| bytes[at..at + 4].iter().fold(0, |value, byte| (value << 8) | u32::from(*byte));
        let uuid_at = |at: usize| Uuid::from_slice(&bytes[at..at + 16]).unwrap_or_default();
        let cookie = Self {
            visitor_id: uuid_at(2),
            session_id: uuid_at(18),
            started_s: u32_at(34),
            active_s: u32_at(38),
            campaign_hash: u32_at(42),
            click_hash: u32_at(46),
            session_number: u16::from_be_bytes([bytes[50], bytes[51]]),
            flags: bytes[52],
        };
        (cookie.started_s.max(cookie.active_s) <= now_s.saturating_add(CLOCK_SKEW_S)).then_some(cookie)
    }

    /// Of all cookies named `name` in these `Cookie` fields, the one that verifies and started last.
    pub fn find<'a>(
        fields: impl Iterator<Item = &'a [u8]>,
        name: &'a CookieName,
        keys: &KeyRing,
        now_s: u32,
    ) -> Result<Self, NoCookie> {
        let mut none = NoCookie::Absent;
        fields
            .flat_map(|field| name.values(field))
            .inspect(|_| none = NoCookie::Invalid)
            .filter_map(|value| Self::decode(value, keys, now_s))
            .max_by_key(|cookie| (cookie.started_s, cookie.active_s, cookie.session_id))
            .ok_or(none)
    }
}

/// The cookies of a `Cookie` field as name and value, quotes kept.
pub fn pairs(field: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    split(field, b';').filter_map(|pair| {
        let pair = pair.trim_ascii();
        memchr::memchr(b'=', pair).map(|at| (&pair[..at], &pair[at + 1..]))
    })
}

/// The name of a cookie, ready to be looked for: a field is gone through by what is rare in the name, not cookie by cookie.
#[derive(Debug, Clone)]
pub struct CookieName {
    name: String,
    finder: Finder<'static>,
}

impl CookieName {
    /// This name.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), finder: Finder::new(name).into_owned() }
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The values that cookies of the name have in a `Cookie` field, quotes kept.
    pub fn values<'a>(&'a self, field: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.places(field).filter_map(|place| field[place].trim_ascii()[self.name.len()..].strip_prefix(b"="))
    }

    /// A `Cookie` field without the cookies of the name; none when it has none of them. Every other byte stays; a cookie
    /// goes with the `;` and the space that follow it, the last one with those before it.
    pub fn without(&self, field: &[u8]) -> Option<Vec<u8>> {
        let mut places = self.places(field).peekable();
        places.peek()?;
        let mut out = Vec::with_capacity(field.len());
        let mut rest = 0;
        for place in places {
            keep(&field[rest..place.start], &mut out);
            rest = place.end + 1;
        }
        match field.get(rest..) {
            Some(last) => keep(last, &mut out),
            None => _ = out.pop(),
        }
        Some(out)
    }

    /// Takes the cookie out of all `Cookie` lines; a line that has no other goes.
    pub fn hide(&self, headers: &mut HeaderMap) {
        let header::Entry::Occupied(mut lines) = headers.entry(header::COOKIE) else { return };
        let mut some_are_empty = false;
        for line in lines.iter_mut() {
            if let Some(rest) = self.without(line.as_bytes())
                && let Ok(rest) = HeaderValue::from_maybe_shared(bytes::Bytes::from(rest))
            {
                some_are_empty |= rest.is_empty();
                *line = rest;
            }
        }
        if some_are_empty {
            let (name, lines) = lines.remove_entry_mult();
            let kept: Vec<HeaderValue> = lines.filter(|line| !line.is_empty()).collect();
            for line in kept {
                headers.append(&name, line);
            }
        }
    }

    /// What stands between the `;` before each cookie of the name and the one behind it, blanks between name and `=` overlooked.
    fn places<'a>(&'a self, field: &'a [u8]) -> impl Iterator<Item = Range<usize>> {
        let mut from = 0;
        std::iter::from_fn(move || {
            loop {
                let at = from + self.finder.find(&field[from..])?;
                let name_end = at + self.name.len();
                from = name_end;
                let before = field[..at].trim_ascii_end();
                let begins = before.is_empty() || before.ends_with(b";");
                if begins && field[name_end..].trim_ascii_start().starts_with(b"=") {
                    let end =
                        memchr::memchr(b';', &field[name_end..]).map_or(field.len(), |end| name_end + end);
                    return Some(before.len()..end);
                }
            }
        })
    }
}

/// Adds what stays of a field; what separates cookies does not begin one.
fn keep(part: &[u8], out: &mut Vec<u8>) {
    let is_between = |byte: &u8| byte.is_ascii_whitespace() || *byte == b';';
    let start = if out.is_empty() { part.iter().position(|byte| !is_between(byte)) } else { Some(0) };
    out.extend_from_slice(&part[start.unwrap_or(part.len())..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys() -> KeyRing {
        crate::keys::parse(
            std::path::Path::new("keys"),
            "1 AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE\n0 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        )
        .unwrap()
    }

    fn name() -> CookieName {
        CookieName::new("_utmd")
    }

    fn example() -> VisitorCookie {
        VisitorCookie {
            visitor_id: Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001),
            session_id: Uuid::from_u128(0x018f_ffff_0000_8000_8000_0000_0000_0002),
            started_s: 1_700_000_000,
            active_s: 1_700_000_060,
            campaign_hash: 0x75dc_e2ea,
            click_hash: 0,
            session_number: 3,
            flags: 0,
        }
    }

    #[test]
    fn cookie_has_the_documented_layout() {
        let value = example().encode(&keys());
        assert_eq!(value.len(), CHARS);
        assert_eq!(
            value,
            "AQEBkAAAAABwAIAAAAAAAAABAY___wAAgACAAAAAAAAAAmVT8QBlU_E8ddzi6gAAAAAAAwDXZVtH-beIhP0vj-zsAEWO"
        );
        assert_eq!(VisitorCookie::decode(value.as_bytes(), &keys(), 1_700_000_060), Some(example()));
    }

    #[test]
    fn forged_foreign_and_future_cookies_are_none() {
        let value = example().encode(&keys());
        let now = 1_700_000_060;
        for at in 0..value.len() {
            let mut forged = value.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            if forged != value.as_bytes() {
                assert_eq!(VisitorCookie::decode(&forged, &keys(), now), None, "character {at}");
            }
        }
        let other =
            crate::keys::parse(std::path::Path::new("keys"), "1 AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI")
                .unwrap();
        assert_eq!(VisitorCookie::decode(value.as_bytes(), &other, now), None);
        assert!(VisitorCookie::decode(value.as_bytes(), &keys(), now - 300).is_some());
        assert_eq!(VisitorCookie::decode(value.as_bytes(), &keys(), now - 301), None);
    }

    #[test]
    fn an_older_key_still_verifies() {
        let old =
            crate::keys::parse(std::path::Path::new("keys"), "0 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
                .unwrap();
        let value = example().encode(&old);
        assert_eq!(VisitorCookie::decode(value.as_bytes(), &keys(), 1_700_000_060), Some(example()));
    }

    #[test]
    fn of_two_cookies_the_one_that_verifies_and_started_last_counts() {
        let later = VisitorCookie { started_s: 1_700_000_001, ..example() };
        let field =
            format!("a=b; _utmd={}; _utmd={}; _utmd=x", later.encode(&keys()), example().encode(&keys()));
        let found = VisitorCookie::find([field.as_bytes()].into_iter(), &name(), &keys(), 1_700_000_100);
        assert_eq!(found, Ok(later));
    }

    #[test]
    fn own_cookie_leaves_and_every_other_byte_stays() {
        for (field, expected) in [
            ("_utmd=x", Some("")),
            ("a=b; _utmd=x", Some("a=b")),
            ("_utmd=x; a=b", Some("a=b")),
            ("a=b; _utmd=x; c=\"d; e\"", Some("a=b; c=\"d; e\"")),
            ("a=b;_utmd=x;c=d;; e", Some("a=b;c=d;; e")),
            ("_utmd=x; _utmd=y", Some("")),
            ("a=b;  _utmd =\"x\"; c", Some("a=b; c")),
            ("a=_utmd=x; _utmd2=y; x_utmd=z", None),
            ("a=b", None),
        ] {
            assert_eq!(name().without(field.as_bytes()).as_deref(), expected.map(str::as_bytes), "{field}");
        }
    }

    proptest! {
        #[test]
        fn cookies_are_found_wherever_they_stand(field in "(_utmd|_utm|d|=|;|;|; | |\t|a|\"){0,16}") {
            let field = field.as_bytes();
            let is_own = |pair: &&[u8]| {
                let name_end = memchr::memchr(b'=', pair);
                name_end.is_some_and(|end| pair[..end].trim_ascii() == b"_utmd")
            };
            let values = pairs(field).filter(|(other, _)| other == b"_utmd").map(|(_, value)| value);
            prop_assert!(name().values(field).eq(values));
            let others: Vec<&[u8]> = split(field, b';').filter(|pair| !is_own(pair)).collect();
            let others = others.join(&b';');
            let start = others.iter().position(|byte| !b"; \t".contains(byte)).unwrap_or(others.len());
            let expected = split(field, b';').any(|pair| is_own(&pair)).then(|| others[start..].to_vec());
            prop_assert_eq!(name().without(field), expected);
        }

        #[test]
        fn no_bytes_make_it_fail(value in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = VisitorCookie::decode(&value, &keys(), 1_700_000_060);
            let _ = name().without(&value);
            let mut field = b"_utmd=".to_vec();
            field.extend(&value);
            let _ = VisitorCookie::find([field.as_slice()].into_iter(), &name(), &keys(), 1_700_000_060);
        }
    }
}
