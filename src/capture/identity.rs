//! Who a hit belongs to: the visitor, and the visit that it continues or begins.
//!
//! # Session id
//!
//! So that tabs restored together, and two proxies, agree without talking: bytes 0–5 are the hit's hour (Unix
//! milliseconds, rounded down), bytes 6–15 the first ten bytes of HMAC-SHA-256(signing key, visitor id ‖ previous
//! session id or zeros ‖ campaign hash ‖ click hash ‖ hour as 8 bytes), with the version (8) and variant bits of a
//! UUIDv8 put over bits 48–51 and 64–65. Cookieless: zeros for the previous session and the hashes, and the UTC day
//! for the hour.
//!
//! # Cookieless id
//!
//! SipHash-2-4-128, keyed by the day's salt, over client address (16 bytes, IPv4 mapped) ‖ user agent ‖ 0x1F ‖
//! registrable domain of the host, or the host.

use std::net::IpAddr;

use hmac::Mac;
use siphasher::sip128::{Hasher128, SipHasher24};
use std::hash::Hasher;
use uuid::{Builder, Uuid};

use super::cookie::VisitorCookie;
use super::evidence::Evidence;
use super::reasons::SessionStep;
use crate::hit::{Identity, IdentityMode};
use crate::keys::KeyRing;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// How long after the last activity a return from a payment or sign-in still continues the session, seconds.
const HOLD_S: u32 = 86_400;

/// What a hit does to its visitor's sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit {
    /// Visitor and session.
    pub identity: Identity,
    /// Whether the hit begins the session.
    pub begins: bool,
    /// Why it does, or does not.
    pub step: SessionStep,
    /// The cookie that says so, in cookie mode.
    pub cookie: Option<VisitorCookie>,
}

impl Visit {
    /// The visit of a known visitor. A new session begins after `timeout_s` without activity or with new evidence;
    /// `holds` keeps the present one for a day, for returns from payment and sign-in hosts.
    pub fn known(
        cookie: &VisitorCookie,
        evidence: &Evidence<'_>,
        holds: bool,
        timeout_s: u32,
        keys: &KeyRing,
        at_ms: u64,
    ) -> Self {
        let at_s = seconds(at_ms);
        let idle_s = at_s.saturating_sub(cookie.active_s);
        let is_new = evidence.is_new_to(cookie.campaign_hash, cookie.click_hash);
        let (begins, step) = match (idle_s >= timeout_s, is_new) {
            (false, false) => (false, SessionStep::Continued),
            _ if holds && idle_s < HOLD_S => (false, SessionStep::Held),
            (_, true) => (true, SessionStep::NewEvidence),
            (true, false) => (true, SessionStep::Timeout),
        };
        let cookie = if begins {
            let hour = at_ms - at_ms % HOUR_MS;
            VisitorCookie {
                session_id: session_id(
                    keys,
                    cookie.visitor_id,
                    cookie.session_id,
                    evidence.campaign_hash,
                    evidence.click_hash,
                    hour,
                ),
                started_s: at_s,
                active_s: at_s,
                campaign_hash: evidence.campaign_hash,
                click_hash: evidence.click_hash,
                session_number: cookie.session_number.saturating_add(1),
                ..*cookie
            }
        } else {
            VisitorCookie { active_s: cookie.active_s.max(at_s), ..*cookie }
        };
        Self::of_cookie(cookie, begins, step)
    }

    /// The first visit of a visitor who gets the id `visitor_id` now.
    pub fn minted(visitor_id: Uuid, evidence: &Evidence<'_>, keys: &KeyRing, at_ms: u64) -> Self {
        let Evidence { campaign_hash, click_hash, .. } = *evidence;
        let hour = at_ms - at_ms % HOUR_MS;
        let at_s = seconds(at_ms);
        let cookie = VisitorCookie {
            visitor_id,
            session_id: session_id(keys, visitor_id, Uuid::nil(), campaign_hash, click_hash, hour),
            started_s: at_s,
            active_s: at_s,
            campaign_hash,
            click_hash,
            session_number: 1,
            flags: 0,
        };
        Self::of_cookie(cookie, true, SessionStep::First)
    }

    /// The visit of the day of somebody on whom no cookie may be set: one session a day, which evidence never splits.
    pub fn cookieless(visitor_id: Uuid, keys: &KeyRing, at_ms: u64) -> Self {
        let day = at_ms - at_ms % DAY_MS;
        let identity = Identity {
            mode: IdentityMode::Cookieless,
            visitor_id,
            session_id: session_id(keys, visitor_id, Uuid::nil(), 0, 0, day),
            session_number: 1,
            minted_from: None,
        };
        Self { identity, begins: true, step: SessionStep::OfTheDay, cookie: None }
    }

    fn of_cookie(cookie: VisitorCookie, begins: bool, step: SessionStep) -> Self {
        let identity = Identity {
            mode: IdentityMode::Cookie,
            visitor_id: cookie.visitor_id,
            session_id: cookie.session_id,
            session_number: cookie.session_number,
            minted_from: None,
        };
        Self { identity, begins, step, cookie: Some(cookie) }
    }
}

/// The id of a session that begins in the hour (or day) that begins at `hour_ms`.
pub fn session_id(
    keys: &KeyRing,
    visitor_id: Uuid,
    previous: Uuid,
    campaign_hash: u32,
    click_hash: u32,
    hour_ms: u64,
) -> Uuid {
    let (_, mac) = keys.signing();
    let tag = mac
        .chain_update(visitor_id.as_bytes())
        .chain_update(previous.as_bytes())
        .chain_update(campaign_hash.to_be_bytes())
        .chain_update(click_hash.to_be_bytes())
        .chain_update(hour_ms.to_be_bytes())
        .finalize()
        .into_bytes();
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&hour_ms.to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&tag[..10]);
    Builder::from_custom_bytes(bytes).into_uuid()
}

/// The visitor id of the day, from the day's salt.
pub fn cookieless_id(salt: &[u8; 16], client: IpAddr, user_agent: &[u8], domain: &str) -> Uuid {
    let address = match client {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    let mut hasher = SipHasher24::new_with_key(salt);
    hasher.write(&address.octets());
    hasher.write(user_agent);
    hasher.write(&[0x1f]);
    hasher.write(domain.as_bytes());
    Uuid::from_bytes(hasher.finish128().as_bytes())
}

/// Unix seconds, as the cookie has them.
pub(super) fn seconds(unix_ms: u64) -> u32 {
    u32::try_from(unix_ms / 1000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::query::NamePatterns;
    use super::super::registry::Registry;
    use super::*;

    const AT: u64 = 1_700_000_000_000;
    const TIMEOUT: u32 = 1800;

    fn keys() -> KeyRing {
        crate::keys::parse(std::path::Path::new("keys"), "1 AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE")
            .unwrap()
    }

    fn visitor() -> Uuid {
        Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001)
    }

    fn first() -> VisitorCookie {
        Visit::minted(visitor(), &Evidence::default(), &keys(), AT).cookie.unwrap()
    }

    fn next(cookie: &VisitorCookie, query: &'static str, holds: bool, after_s: u64) -> Visit {
        Visit::known(
            cookie,
            &Evidence::read(query.as_bytes(), &Registry::new(), &NamePatterns::default(), true),
            holds,
            TIMEOUT,
            &keys(),
            AT + after_s * 1000,
        )
    }

    #[test]
    fn session_id_has_the_documented_vector() {
        let id = session_id(&keys(), visitor(), Uuid::nil(), 0x75dc_e2ea, 0, 1_699_999_200_000);
        assert_eq!(id.to_string(), "018bcfd9-3300-884e-934b-cff0d5e01ebd");
        assert_eq!(id.get_version_num(), 8);
        assert_eq!(id.as_u128() >> 80, 1_699_999_200_000);
        let cookieless =
            cookieless_id(&[7; 16], "203.0.113.9".parse().unwrap(), b"Mozilla/5.0", "shop.example");
        assert_eq!(cookieless.to_string(), "274ce212-7521-7ee3-5b7b-41c9c9769cea");
    }

    #[test]
    fn activity_within_the_timeout_continues_and_idleness_ends_a_session() {
        let continued = next(&first(), "", false, 1799);
        assert!(!continued.begins);
        assert_eq!(continued.cookie.unwrap().active_s, 1_700_001_799);
        let ended = next(&first(), "", false, 1800);
        assert!(ended.begins);
        assert_eq!(ended.identity.session_number, 2);
        assert_ne!(ended.identity.session_id, first().session_id);
    }

    #[test]
    fn new_evidence_begins_a_session_and_the_same_again_does_not() {
        let tagged = next(&first(), "utm_source=a", false, 10);
        assert!(tagged.begins);
        let cookie = tagged.cookie.unwrap();
        assert!(!next(&cookie, "utm_source=a", false, 20).begins, "a reload");
        assert!(!next(&cookie, "", false, 20).begins, "an untagged page");
        let other = next(&cookie, "utm_source=b", false, 20);
        let back = next(&other.cookie.unwrap(), "utm_source=a", false, 30);
        assert!(other.begins && back.begins, "A, B, A are three sessions");
        assert_ne!(back.identity.session_id, tagged.identity.session_id);
    }

    #[test]
    fn tabs_restored_together_agree() {
        let one = next(&first(), "utm_source=a", false, 90_000);
        let two = next(&first(), "utm_source=A", false, 90_003);
        assert_eq!(one.identity.session_id, two.identity.session_id);
    }

    #[test]
    fn a_payment_return_begins_no_session_within_a_day() {
        assert!(!next(&first(), "gclid=x", true, 7200).begins);
        assert!(!next(&first(), "", true, 86_399).begins);
        assert!(next(&first(), "", true, 86_400).begins);
    }

    #[test]
    fn a_cookieless_visitor_has_one_session_a_day() {
        let day = AT - AT % DAY_MS;
        let morning = Visit::cookieless(visitor(), &keys(), day + 1);
        let evening = Visit::cookieless(visitor(), &keys(), day + DAY_MS - 1);
        let tomorrow = Visit::cookieless(visitor(), &keys(), day + DAY_MS);
        assert_eq!(morning.identity, evening.identity);
        assert_ne!(morning.identity.session_id, tomorrow.identity.session_id);
    }
}
