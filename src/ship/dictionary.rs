//! Ids of dictionary rows: a hash of their content, the same on every proxy, so that nobody looks anything up.
//!
//! # Format
//!
//! SHA-256 over the kind's name and the fields, joined by 0x1F; the first 8 bytes, big-endian, are the id, for the
//! small dictionaries `site` and `action` the first 4. A computed 0 becomes 1, since 0 is the overflow row.
//!
//! A field that is absent is the single byte 0x00, an empty one is no bytes at all. A 0x1F inside a field is
//! written as 0x00 0x01. (Text in Postgres has no 0x00, so neither collides with anything.)
//!
//! | kind | fields |
//! |---|---|
//! | `site`, `action` | name |
//! | `campaign` | site, source, medium, campaign, content, term, utm_id, parameters as JSON with sorted keys, inferred |
//! | `page` | site, host, path |
//! | `referrer` | site, URL without query |
//! | `product` | site, the shop's product id |
//! | `agent` | the `User-Agent` field |
//! | `place` | country, country name, region, city, time zone |
//!
//! # Test vectors
//!
//! | kind | fields | id |
//! |---|---|---|
//! | `site` | `default` | 1728390920 |
//! | `action` | `page_view` | 1174879155 |
//! | `page` | `default`, `shop.example`, `/` | -2283633149652961046 |
//! | `campaign` | `default`, `google`, `cpc`, absent × 5, `gclid` | 2932162803236499484 |
//! | `agent` | empty | 9062937793271370341 |

use sha2::{Digest, Sha256};

use super::recent::Recent;

/// The row that hits point at when no new rows may be made.
pub const OVERFLOW: i64 = 0;

/// Which dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `sites`
    Site,
    /// `action_kinds`
    Action,
    /// `campaigns`
    Campaign,
    /// `pages`
    Page,
    /// `referrers`
    Referrer,
    /// `products`
    Product,
    /// `agents`
    Agent,
    /// `places`
    Place,
}

impl Kind {
    /// Its name in the hash and in `dictionary_growth`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Site => "site",
            Kind::Action => "action",
            Kind::Campaign => "campaign",
            Kind::Page => "page",
            Kind::Referrer => "referrer",
            Kind::Product => "product",
            Kind::Agent => "agent",
            Kind::Place => "place",
        }
    }
}

/// The id of a row; see the module for the format.
pub fn id(kind: Kind, fields: &[Option<&str>]) -> i64 {
    let digest = digest(kind, fields);
    let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(digest);
    match i64::from_be_bytes([a, b, c, d, e, f, g, h]) {
        0 => 1,
        id => id,
    }
}

/// The id of a row of a small dictionary.
pub fn small_id(kind: Kind, name: &str) -> i32 {
    let [a, b, c, d, ..] = <[u8; 32]>::from(digest(kind, &[Some(name)]));
    match i32::from_be_bytes([a, b, c, d]) {
        0 => 1,
        id => id,
    }
}

fn digest(kind: Kind, fields: &[Option<&str>]) -> sha2::digest::Output<Sha256> {
    let mut hash = Sha256::new_with_prefix(kind.name());
    for field in fields {
        hash.update([0x1F]);
        match field {
            None => hash.update([0x00]),
            Some(text) => {
                for (index, part) in text.split('\u{1F}').enumerate() {
                    if index > 0 {
                        hash.update([0x00, 0x01]);
                    }
                    hash.update(part);
                }
            }
        }
    }
    hash.finalize()
}

/// Rows known to be in the database, so that batches do not offer them again. What is forgotten is merely offered once
/// more.
pub type Written = Recent<(Kind, i64), (), 131_072>;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_those_of_the_format() {
        assert_eq!(small_id(Kind::Site, "default"), 1_728_390_920);
        assert_eq!(small_id(Kind::Action, "page_view"), 1_174_879_155);
        assert_eq!(
            id(Kind::Page, &[Some("default"), Some("shop.example"), Some("/")]),
            -2_283_633_149_652_961_046
        );
        let campaign =
            [Some("default"), Some("google"), Some("cpc"), None, None, None, None, None, Some("gclid")];
        assert_eq!(id(Kind::Campaign, &campaign), 2_932_162_803_236_499_484);
        assert_eq!(id(Kind::Agent, &[Some("")]), 9_062_937_793_271_370_341);
    }

    #[test]
    fn absent_and_empty_and_shifted_fields_differ() {
        let ids: HashSet<i64> = [
            &[Some("a"), Some("b")][..],
            &[Some("ab"), None],
            &[Some("ab"), Some("")],
            &[None, Some("ab")],
            &[Some("a\u{1F}b")],
            &[Some("a\u{1F}"), Some("b")],
            &[Some("a"), Some("\u{1F}b")],
        ]
        .map(|fields| id(Kind::Page, fields))
        .into();
        assert_eq!(ids.len(), 7);
    }
}
