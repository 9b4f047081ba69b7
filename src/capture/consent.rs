//! How well whoever comes may be known: by the mode of identity, the answer to the shop's consent banner and
//! `Sec-GPC`.
//!
//! # What is stored of a person
//!
//! | | [`Standing::Known`] | [`Standing::Day`] | [`Standing::Denied`] |
//! |---|---|---|---|
//! | visitor and session id | of the cookie | of the day | no |
//! | address (as `store_ip` says), place, agent | yes | yes | no |
//! | click ids flagged personal, marketing cookies | yes | no | no |
//!
//! Of who denies, page views, landings by source and orders are counted by quarter of an hour.

use http::HeaderValue;

use super::cookie;
use super::query::decode_value;
use crate::config::{Consent, ConsentPattern, IdentifyBy};

/// How well whoever comes may be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// By the cookie.
    Known,
    /// By the hash of a day; nothing is stored in the browser, nor anything personal.
    Day,
    /// Not at all.
    Denied,
}

impl Standing {
    /// Of a request with these cookies; `denies` says that it has an honoured `Sec-GPC: 1`.
    pub(super) fn of(mode: &IdentifyBy, denies: bool, cookies: &[HeaderValue]) -> Self {
        match mode {
            _ if denies => Self::Denied,
            IdentifyBy::Cookie => Self::Known,
            IdentifyBy::Cookieless => Self::Day,
            IdentifyBy::Consent(consent) => Self::by_consent(consent, cookies),
        }
    }

    fn by_consent(consent: &Consent, cookies: &[HeaderValue]) -> Self {
        let mut values = cookies
            .iter()
            .flat_map(|field| cookie::pairs(field.as_bytes()))
            .filter(|(name, _)| *name == consent.cookie.as_bytes());
        let answer = values.find_map(|(_, value)| answer(&consent.pattern, value));
        answer.map_or(Self::Day, |granted| if granted { Self::Known } else { Self::Denied })
    }

    /// Whether click ids that are personal, and marketing cookies, may be kept.
    pub(super) fn keeps_personal(self) -> bool {
        self == Self::Known
    }
}

/// Whether a banner's cookie says yes; none where it says nothing.
pub fn answer(pattern: &ConsentPattern, raw: &[u8]) -> Option<bool> {
    let value = decode_value(raw.strip_prefix(b"\"").and_then(|raw| raw.strip_suffix(b"\"")).unwrap_or(raw));
    let has = |text: &str| memchr::memmem::find(&value, text.as_bytes()).is_some();
    let said = |yes: &str, no: &str| if has(yes) { Some(true) } else { has(no).then_some(false) };
    match pattern {
        // "-1": the visitor is where no consent is asked for (Cookiebot, "server side usage").
        ConsentPattern::Cookiebot if *value == *b"-1" => Some(true),
        ConsentPattern::Cookiebot => said("marketing:true", "marketing:false"),
        ConsentPattern::OneTrust => said("C0004:1", "C0004:0"),
        ConsentPattern::Tcf => tcf(&value),
        ConsentPattern::Own { granted, denied: Some(denied) } => {
            // A refusal may well contain the text of consent ("ads=no", "no"); it counts first.
            if has(denied) { Some(false) } else { has(granted).then_some(true) }
        }
        ConsentPattern::Own { granted, denied: None } => (!value.is_empty()).then(|| has(granted)),
    }
}

/// The core of a TC string (IAB Europe, "Transparency and Consent String", version 2): base64url without padding, of
/// which the first 6 bits are the version and bits 152 to 175 the consent to purposes 1 to 24.
fn tcf(value: &[u8]) -> Option<bool> {
    let core = value.split(|byte| *byte == b'.').next()?;
    if sextet(core, 0)? != 2 {
        return None;
    }
    let consents = |purpose: usize| {
        let bit = 151 + purpose;
        sextet(core, bit / 6).map(|six| six >> (5 - bit % 6) & 1 == 1)
    };
    Some(consents(1)? && consents(7)?)
}

fn sextet(text: &[u8], at: usize) -> Option<u8> {
    Some(match *text.get(at)? {
        letter @ b'A'..=b'Z' => letter - b'A',
        letter @ b'a'..=b'z' => letter - b'a' + 26,
        digit @ b'0'..=b'9' => digit - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;

    use super::*;

    /// The core of a TC string with these purposes, by the layout of the specification.
    fn tc_string(version: u8, purposes: &[usize]) -> String {
        let mut bytes = [0_u8; 30];
        bytes[0] = version << 2;
        for purpose in purposes {
            let bit = 152 + purpose - 1;
            bytes[bit / 8] |= 0x80 >> (bit % 8);
        }
        URL_SAFE_NO_PAD.encode(bytes)
            + ".IFoEUQQgAIQwgIwQABAEAAAAOIAACAIAAAAQAIAgEAACEAAAAAgAQBAAAAAAAGBAAgAAAAAAAFAAECAAAgAAQARAEQAAAAAJAAIAAgAAAYQEAAAQmAgBC3ZAYzUw"
    }

    #[test]
    fn known_banners_are_read() {
        let cookiebot = |marketing: bool| {
            format!(
                "%7Bstamp:%27x%3D%3D%27%2Cnecessary:true%2Cstatistics:true%2Cmarketing:{marketing}%2Cver:1%7D"
            )
        };
        let onetrust = |targeting: u8| {
            format!("isGpcEnabled=0&datestamp=Tue&groups=C0001%3A1%2CC0002%3A1%2CC0004%3A{targeting}")
        };
        for (pattern, value, expected) in [
            (&ConsentPattern::Cookiebot, cookiebot(true), Some(true)),
            (&ConsentPattern::Cookiebot, cookiebot(false), Some(false)),
            (&ConsentPattern::Cookiebot, "-1".to_owned(), Some(true)),
            (&ConsentPattern::Cookiebot, "0".to_owned(), None),
            (&ConsentPattern::OneTrust, onetrust(1), Some(true)),
            (&ConsentPattern::OneTrust, onetrust(0), Some(false)),
            (&ConsentPattern::OneTrust, "landingPath=NotLandingPage".to_owned(), None),
            (&ConsentPattern::Tcf, tc_string(2, &[1, 3, 7]), Some(true)),
            (&ConsentPattern::Tcf, tc_string(2, &[1, 2, 3, 4, 5, 6, 8, 9, 10]), Some(false)),
            (&ConsentPattern::Tcf, tc_string(2, &[7]), Some(false)),
            (&ConsentPattern::Tcf, tc_string(2, &[]), Some(false)),
            (&ConsentPattern::Tcf, tc_string(1, &[1, 7]), None),
            (&ConsentPattern::Tcf, "C".to_owned(), None),
            (&ConsentPattern::Tcf, String::new(), None),
        ] {
            assert_eq!(answer(pattern, value.as_bytes()), expected, "{pattern:?} {value}");
        }
    }

    #[test]
    fn own_patterns_are_texts_of_the_value() {
        let own = |denied: Option<&str>| ConsentPattern::Own {
            granted: "ads=yes".to_owned(),
            denied: denied.map(str::to_owned),
        };
        for (denied, value, expected) in [
            (None, "stats%3Dno&ads%3Dyes", Some(true)),
            (None, "ads=no", Some(false)),
            (None, "", None),
            (Some("ads=no"), "ads=yes", Some(true)),
            (Some("ads=no"), "ads=no", Some(false)),
            (Some("ads=no"), "asked", None),
        ] {
            assert_eq!(answer(&own(denied), value.as_bytes()), expected, "{denied:?} {value}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            for (_, _, pattern) in &ConsentPattern::NAMES {
                let _ = answer(pattern, &value);
            }
        }
    }
}
