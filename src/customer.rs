//! Customer hashes: what identifies a person is hashed with a key before it is stored anywhere.
//!
//! A hash is the first 16 bytes of HMAC-SHA-256(customer key, kind ‖ 0x1F ‖ value) with kind `phone`, `email` or
//! `user_id`. phone: digits only, a leading 00 dropped, a national number completed by `orders.phone_country`;
//! email: trimmed, lower-cased, nothing else folded; user_id: site ‖ 0x1F ‖ verbatim.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::hit::CustomerKeyKind;
use crate::keys::KeyRing;

/// A key of customers that more reports about orders name is shared: it stands for no one customer.
pub const MOST_REPORTS: i32 = 200;
/// One that orders of more browsers have, too: a shop assistant's own telephone, an account for trying out.
pub const MOST_BROWSERS: i32 = 10;

/// Hashes identifiers with the signing key of the customer key file.
#[derive(Clone)]
pub struct CustomerHasher {
    mac: Hmac<Sha256>,
    country: Option<&'static Numbering>,
}

/// How numbers are written within a country.
#[derive(Debug)]
struct Numbering {
    country: &'static str,
    calling_code: &'static str,
    /// Dialled before a national number and not a part of it.
    trunk: &'static str,
    /// Digits of a national number without the trunk prefix, least and most.
    digits: (usize, usize),
}

/// By ISO 3166-1 alpha-2; the national significant numbers' lengths are those of ITU-T E.164 numbering plans.
const NUMBERINGS: &[Numbering] = &[
    numbering("AT", "43", "0", 7, 13),
    numbering("AU", "61", "0", 9, 9),
    numbering("BE", "32", "0", 8, 9),
    numbering("BG", "359", "0", 8, 9),
    numbering("BR", "55", "0", 10, 11),
    numbering("CA", "1", "1", 10, 10),
    numbering("CH", "41", "0", 9, 9),
    numbering("CZ", "420", "", 9, 9),
    numbering("DE", "49", "0", 6, 11),
    numbering("DK", "45", "", 8, 8),
    numbering("EE", "372", "", 7, 8),
    numbering("ES", "34", "", 9, 9),
    numbering("FI", "358", "0", 6, 10),
    numbering("FR", "33", "0", 9, 9),
    numbering("GB", "44", "0", 9, 10),
    numbering("GE", "995", "0", 9, 9),
    numbering("GR", "30", "", 10, 10),
    numbering("HR", "385", "0", 8, 9),
    numbering("HU", "36", "06", 8, 9),
    numbering("IE", "353", "0", 7, 9),
    numbering("IL", "972", "0", 8, 9),
    numbering("IN", "91", "0", 10, 10),
    numbering("IT", "39", "", 6, 11),
    numbering("KZ", "7", "8", 10, 10),
    numbering("LT", "370", "8", 8, 8),
    numbering("LV", "371", "", 8, 8),
    numbering("MD", "373", "0", 8, 8),
    numbering("NL", "31", "0", 9, 9),
    numbering("NO", "47", "", 8, 8),
    numbering("PL", "48", "", 9, 9),
    numbering("PT", "351", "", 9, 9),
    numbering("RO", "40", "0", 9, 9),
    numbering("RS", "381", "0", 8, 9),
    numbering("SE", "46", "0", 7, 9),
    numbering("SI", "386", "0", 8, 8),
    numbering("SK", "421", "0", 9, 9),
    numbering("TR", "90", "0", 10, 10),
    numbering("UA", "380", "0", 9, 9),
    numbering("US", "1", "1", 10, 10),
];

const fn numbering(
    country: &'static str,
    calling_code: &'static str,
    trunk: &'static str,
    least: usize,
    most: usize,
) -> Numbering {
    Numbering { country, calling_code, trunk, digits: (least, most) }
}

impl CustomerHasher {
    /// Hashes with the ring's signing key; `phone_country` (ISO 3166-1 alpha-2) completes national numbers. A country
    /// that is not in the table leaves them as they are.
    pub fn new(keys: &KeyRing, phone_country: Option<&str>) -> CustomerHasher {
        let country = phone_country
            .and_then(|code| NUMBERINGS.iter().find(|known| known.country.eq_ignore_ascii_case(code)));
        CustomerHasher { mac: keys.signing().1, country }
    }

    /// The hash of one identifier; none when nothing identifies in it (no digit, only blanks).
    pub fn hash(&self, kind: CustomerKeyKind, site: &str, value: &str) -> Option<[u8; 16]> {
        let (name, value) = match kind {
            CustomerKeyKind::Phone => ("phone", normal_phone(value, self.country)),
            CustomerKeyKind::Email => ("email", value.trim().to_lowercase()),
            CustomerKeyKind::UserId if value.is_empty() => return None,
            CustomerKeyKind::UserId => ("user_id", format!("{site}\u{1f}{value}")),
        };
        if value.is_empty() {
            return None;
        }
        let mut mac = self.mac.clone();
        mac.update(name.as_bytes());
        mac.update(&[0x1f]);
        mac.update(value.as_bytes());
        let mut hash = [0; 16];
        hash.copy_from_slice(&mac.finalize().into_bytes()[..16]);
        Some(hash)
    }
}

impl std::fmt::Debug for CustomerHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CustomerHasher").field("country", &self.country).finish_non_exhaustive()
    }
}

fn normal_phone(text: &str, country: Option<&Numbering>) -> String {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if text.trim_start().starts_with('+') {
        return digits;
    }
    if let Some(international) = digits.strip_prefix("00") {
        return international.to_owned();
    }
    let Some(country) = country else { return digits };
    let national = |number: &str| (country.digits.0..=country.digits.1).contains(&number.len());
    if digits.strip_prefix(country.calling_code).is_some_and(national) && !national(&digits) {
        return digits;
    }
    match digits.strip_prefix(country.trunk) {
        Some(number) if national(number) => format!("{}{number}", country.calling_code),
        _ if national(&digits) => format!("{}{digits}", country.calling_code),
        _ => digits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::keyed;

    fn phone(text: &str, country: &str) -> String {
        normal_phone(text, NUMBERINGS.iter().find(|known| known.country == country))
    }

    #[test]
    fn every_way_to_write_a_number_gives_the_same_digits() {
        for text in ["+380 (67) 123-45-67", "00380671234567", "380671234567", "067 123 45 67", "67 123 4567"]
        {
            assert_eq!(phone(text, "UA"), "380671234567", "{text}");
        }
        for text in ["+1 212 555 0199", "(212) 555-0199", "1-212-555-0199"] {
            assert_eq!(phone(text, "US"), "12125550199", "{text}");
        }
        assert_eq!(phone("600 123 456", "PL"), "48600123456");
        assert_eq!(phone("+48 600 123 456", "UA"), "48600123456");
        assert_eq!(phone("067 123 45 67", "none"), "0671234567");
    }

    /// The vector: key 32 × 0x0B; computed with Python's `hmac`.
    #[test]
    fn hashes_do_not_change() {
        let hasher = CustomerHasher { mac: keyed(&[0x0b; 32]), country: None };
        let hex = |hash: Option<[u8; 16]>| hash.map(|bytes| bytes.map(|byte| format!("{byte:02x}")).concat());
        assert_eq!(
            hex(hasher.hash(CustomerKeyKind::Email, "default", " Anna@Example.COM ")),
            hex(hasher.hash(CustomerKeyKind::Email, "x", "anna@example.com"))
        );
        assert_eq!(
            hex(hasher.hash(CustomerKeyKind::Email, "default", "anna@example.com")).as_deref(),
            Some("74459da9b19de314b5614072834beb50")
        );
        assert_eq!(
            hex(hasher.hash(CustomerKeyKind::UserId, "default", "42")).as_deref(),
            Some("959488bc765527a9e50324126aee1ab7")
        );
        assert_eq!(hasher.hash(CustomerKeyKind::Phone, "default", "none"), None);
        assert_eq!(hasher.hash(CustomerKeyKind::Email, "default", "  "), None);
    }
}
