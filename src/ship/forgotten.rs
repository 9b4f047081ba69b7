//! Who is forgotten, as the shipper knows it, and the replacements that records of theirs get before they are folded.
//!
//! # Replacements
//!
//! First bytes of HMAC-SHA-256(key of the erasure, letter ‖ what is replaced): a visitor's id (`v`) becomes a UUIDv8; a
//! session's (`s`) too, but keeps its first six bytes, the hour and with it its partition; a touch's evidence (`e`) is
//! replaced since it is a hash of click ids. The hash of a customer becomes the first 16 bytes of
//! SHA-256(key ‖ `c` ‖ hash), and a zero byte by which it is known as a replacement: in all reports, whoever ordered, as long
//! as there is a key, so that orders which it joined stay joined. Equal things get equal replacements, different ones
//! different: so whatever comes late falls into its place, and no total changes.

use std::collections::{BTreeMap, HashMap};

use deadpool_postgres::Transaction;
use hmac::Mac;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio_postgres::Error;
use uuid::{Builder, Uuid};

use crate::erasure::{IdHash, id_hash};
use crate::hit::{ActionFact, Hit, IdentityMode, OrderFact};
use crate::keys::{KEY_BYTES, keyed};

/// Hashes of customers that are to be replaced and are not in the list yet, each with an erasure and its key.
pub(super) type NewHashes = BTreeMap<[u8; 16], (Uuid, [u8; KEY_BYTES])>;

/// Kind of what is forgotten, as Postgres stores it.
pub(super) const VISITOR: i16 = 1;
/// A session of theirs.
pub(super) const SESSION: i16 = 2;
/// The keyed hash of a customer.
pub(super) const CUSTOMER: i16 = 3;

/// Makes the replacements of one erasure.
#[derive(Clone)]
pub(super) struct Replacer([u8; KEY_BYTES]);

impl Replacer {
    pub(super) fn new(key: [u8; KEY_BYTES]) -> Self {
        Self(key)
    }

    pub(super) fn visitor(&self, id: Uuid) -> Uuid {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.tag(b'v', id.as_bytes())[..16]);
        Builder::from_custom_bytes(bytes).into_uuid()
    }

    pub(super) fn session(&self, id: Uuid) -> Uuid {
        let mut bytes = *id.as_bytes();
        bytes[6..].copy_from_slice(&self.tag(b's', id.as_bytes())[..10]);
        Builder::from_custom_bytes(bytes).into_uuid()
    }

    pub(super) fn evidence(&self, evidence: i64) -> i64 {
        let [a, b, c, d, e, f, g, h, ..] = self.tag(b'e', &evidence.to_be_bytes());
        i64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// As `sql/forget_hashes.sql` makes it.
    fn customer(&self, hash: &[u8; 16]) -> Vec<u8> {
        let digest = Sha256::new().chain_update(self.0).chain_update(b"c").chain_update(hash).finalize();
        digest[..16].iter().copied().chain([0]).collect()
    }

    fn tag(&self, letter: u8, value: &[u8]) -> [u8; 32] {
        keyed(&self.0).chain_update([letter]).chain_update(value).finalize().into_bytes().into()
    }
}

impl std::fmt::Debug for Replacer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Replacer")
    }
}

/// The list as it stood at some moment.
#[derive(Debug, Default)]
pub struct ForgottenList {
    /// Tells one state of the list from another; empty before it was read.
    stamp: String,
    entries: HashMap<(i16, IdHash), Entry>,
}

#[derive(Debug)]
struct Entry {
    erasure_id: Uuid,
    /// When the erasure was asked for, Unix milliseconds.
    at_ms: u64,
    /// None when the key is deleted.
    replacer: Option<Replacer>,
}

/// A session of a forgotten visitor that is not in the list yet.
#[derive(Debug, Clone)]
pub(crate) struct NewSession {
    /// What shops may name it by.
    pub(super) session_id: Uuid,
    pub(super) replacement: Uuid,
    pub(super) erasure_id: Uuid,
}

impl ForgottenList {
    /// The list as the database has it, when that is another one. The transaction must hold the settle lock.
    pub(super) async fn changed(
        &self,
        transaction: &Transaction<'_>,
    ) -> Result<Option<ForgottenList>, Error> {
        let row = transaction.query_typed_one(include_str!("sql/forgotten_stamp.sql"), &[]).await?;
        let stamp: String = row.get("stamp");
        if stamp == self.stamp {
            return Ok(None);
        }
        let rows = transaction.query_typed(include_str!("sql/forgotten_list.sql"), &[]).await?;
        let entries = rows.iter().filter_map(|row| {
            let hash = IdHash::try_from(row.get::<_, &[u8]>("id_hash")).ok()?;
            let at: Timestamp = row.get("at");
            let key = row.get::<_, Option<&[u8]>>("key").and_then(|key| key.try_into().ok());
            let entry = Entry {
                erasure_id: row.get("erasure_id"),
                at_ms: u64::try_from(at.as_millisecond()).unwrap_or(0),
                replacer: key.map(Replacer::new),
            };
            Some(((row.get("kind"), hash), entry))
        });
        Ok(Some(ForgottenList { entries: entries.collect(), stamp }))
    }

    fn entry(&self, kind: i16, id: &[u8; 16]) -> Option<&Entry> {
        if self.entries.is_empty() { None } else { self.entries.get(&(kind, id_hash(id))) }
    }

    /// Whether bytes that cannot be read, or stored, name somebody who is forgotten.
    pub(super) fn is_named_in(&self, payload: &[u8]) -> bool {
        !self.entries.is_empty()
            && payload.windows(16).any(|window| {
                let Ok(id) = window.try_into() else { return false };
                let hash = id_hash(id);
                [VISITOR, SESSION, CUSTOMER].iter().any(|kind| self.entries.contains_key(&(*kind, hash)))
            })
    }

    /// A customer's hash as it is stored; none when it is not to be.
    pub(super) fn customer(&self, hash: &[u8; 16], received_ms: u64) -> Option<Vec<u8>> {
        match self.entry(CUSTOMER, hash) {
            Some(Entry { replacer: Some(replacer), .. }) => Some(replacer.customer(hash)),
            Some(entry) if received_ms <= entry.at_ms => None,
            _ => Some(hash.to_vec()),
        }
    }

    /// Notes hashes of customers that a forgotten person's record brings.
    fn note<'a>(&self, entry: &Entry, hashes: impl Iterator<Item = &'a [u8; 16]>, new: &mut NewHashes) {
        let Some(Replacer(key)) = entry.replacer else { return };
        for hash in hashes {
            if self.entry(CUSTOMER, hash).is_none_or(|listed| listed.replacer.is_none()) {
                new.insert(*hash, (entry.erasure_id, key));
            }
        }
    }

    /// Takes the person out of a hit; answers the session when shops may name it and the list has it not.
    pub(super) fn anonymise_hit(&self, hit: &mut Hit<'_>, new: &mut NewHashes) -> Option<NewSession> {
        let identity = hit.identity.as_mut()?;
        // What a fresh visitor was minted from must not lead to the one that is forgotten.
        identity.minted_from = identity.minted_from.filter(|id| self.entry(VISITOR, id.as_bytes()).is_none());
        let entry = self.entry(VISITOR, identity.visitor_id.as_bytes())?;
        hit.cookies.clear();
        for action in &mut hit.actions {
            action.properties.clear();
            if entry.replacer.is_none() {
                action.customer.clear();
            }
            if action.is_of_order() {
                self.note(entry, action.customer.iter().map(|(_, hash)| hash), new);
            }
            if action.product_id.is_none() {
                action.product_name = None;
            }
        }
        let Some(replacer) = &entry.replacer else {
            (hit.identity, hit.touch, hit.client_address) = (None, None, None);
            return None;
        };
        if let Some(touch) = &mut hit.touch {
            touch.evidence = replacer.evidence(touch.evidence);
        }
        let session_id = identity.session_id;
        identity.mode = IdentityMode::Forgotten;
        identity.visitor_id = replacer.visitor(identity.visitor_id);
        identity.session_id = replacer.session(session_id);
        identity.minted_from = None;
        let is_listed = self.entry(SESSION, session_id.as_bytes()).is_some();
        let (replacement, erasure_id) = (identity.session_id, entry.erasure_id);
        (!is_listed).then_some(NewSession { session_id, replacement, erasure_id })
    }

    /// Takes the person out of what the shop reported: of a visitor or a session that is forgotten whenever it was
    /// received, of a customer what was received before the erasure.
    pub(super) fn anonymise_fact(&self, fact: &mut OrderFact, new: &mut NewHashes) {
        if self.entries.is_empty() {
            return;
        }
        let visitor = fact.visitor_id.and_then(|id| self.entry(VISITOR, id.as_bytes()));
        let session = fact.session_id.and_then(|id| self.entry(SESSION, id.as_bytes()));
        let of_customer = fact
            .customer
            .iter()
            .any(|(_, hash)| self.entry(CUSTOMER, hash).is_some_and(|entry| fact.received_ms <= entry.at_ms));
        if visitor.is_none() && session.is_none() && !of_customer {
            return;
        }
        rename(&mut fact.visitor_id, &mut fact.session_id, visitor, session);
        match visitor.or(session).filter(|entry| entry.replacer.is_some()) {
            Some(entry) => self.note(entry, fact.customer.iter().map(|(_, hash)| hash), new),
            None if visitor.is_some() || session.is_some() => fact.customer.clear(),
            None => {}
        }
        fact.click_ids.clear();
        (fact.items, fact.properties) = (None, None);
    }

    /// Takes the person out of what the shop said that somebody did.
    pub(super) fn anonymise_action(&self, fact: &mut ActionFact) {
        let visitor = fact.visitor_id.and_then(|id| self.entry(VISITOR, id.as_bytes()));
        let session = fact.session_id.and_then(|id| self.entry(SESSION, id.as_bytes()));
        if visitor.is_none() && session.is_none() {
            return;
        }
        rename(&mut fact.visitor_id, &mut fact.session_id, visitor, session);
        if visitor.or(session).is_some_and(|entry| entry.replacer.is_none()) {
            fact.customer.clear();
        }
        fact.properties.clear();
        if fact.product_id.is_none() {
            fact.product_name = None;
        }
    }
}

/// Replaces ids of who is forgotten by these entries.
fn rename(
    visitor_id: &mut Option<Uuid>,
    session_id: &mut Option<Uuid>,
    visitor: Option<&Entry>,
    session: Option<&Entry>,
) {
    if let Some(entry) = visitor {
        let replaced = |id| entry.replacer.as_ref().map(|replacer| replacer.visitor(id));
        *visitor_id = visitor_id.and_then(replaced);
    }
    if let Some(entry) = session.or(visitor) {
        let replaced = |id| entry.replacer.as_ref().map(|replacer| replacer.session(id));
        *session_id = session_id.and_then(replaced);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hit::{Action, CustomerKeyKind, Identity, Way};

    #[test]
    fn nothing_of_a_forgotten_visitor_leads_to_a_customer() {
        for key in [None, Some([7; KEY_BYTES])] {
            let visitor_id = Uuid::from_u128(7);
            let entry = Entry { erasure_id: Uuid::nil(), at_ms: 0, replacer: key.map(Replacer::new) };
            let entries = HashMap::from([((VISITOR, id_hash(visitor_id.as_bytes())), entry)]);
            let list = ForgottenList { stamp: "1".to_owned(), entries };
            let mut bought = Action::new("purchase", Way::Rule);
            bought.order_id = Some("1".into());
            bought.customer = vec![(CustomerKeyKind::Phone, [1; 16])];
            let identity = Identity {
                mode: IdentityMode::Cookie,
                visitor_id,
                session_id: Uuid::from_u128(8),
                session_number: 1,
                minted_from: None,
            };
            let mut hit = Hit { identity: Some(identity), actions: vec![bought], ..Hit::default() };
            let mut new = NewHashes::new();
            list.anonymise_hit(&mut hit, &mut new);
            match key {
                None => assert!(hit.actions[0].customer.is_empty()),
                Some(key) => assert_eq!(new, NewHashes::from([([1; 16], (Uuid::nil(), key))])),
            }
            assert_ne!(hit.identity.map(|identity| identity.visitor_id), Some(visitor_id));
        }
    }

    #[test]
    fn replacements_have_the_documented_form() {
        let replacer = Replacer::new([7; KEY_BYTES]);
        let id = Uuid::from_u128(0x018b_cfd9_3300_884e_934b_cff0_d5e0_1ebd);
        let session = replacer.session(id);
        assert_eq!(session.as_bytes()[..6], id.as_bytes()[..6], "the hour stays");
        assert_ne!(session, id);
        assert_eq!((session.get_version_num(), replacer.visitor(id).get_version_num()), (8, 8));
        assert_ne!(replacer.visitor(id).as_bytes()[6..], session.as_bytes()[6..]);
        assert_eq!(replacer.session(id), session);
        assert_ne!(Replacer::new([8; KEY_BYTES]).session(id), session);
        assert_ne!(replacer.evidence(1), replacer.evidence(2));
    }
}
