//! Rows of `identifications`: telephones, e-mails and user ids that visitors gave other than with an order.

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Folding, Rows};
use crate::hit::{ActionFact, CustomerKeyKind};

/// A row of `identifications`; its columns there.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the migration documents the columns")]
pub struct Identification {
    pub site_id: i32,
    pub visitor_id: Option<Uuid>,
    pub session_id: Option<Uuid>,
    /// Telephone, e-mail and user id.
    pub keys: [Option<Vec<u8>>; 3],
    pub at: Timestamp,
}

impl Identification {
    fn names_anybody(&self) -> bool {
        self.keys.iter().any(Option::is_some)
    }

    /// Its key in the table.
    pub(in crate::ship) fn id(&self) -> i64 {
        let mut hasher = Sha256::new();
        hasher.update(self.site_id.to_be_bytes());
        for who in [self.visitor_id, self.session_id] {
            hasher.update(who.unwrap_or_default().as_bytes());
        }
        for key in &self.keys {
            let key = key.as_deref().unwrap_or_default();
            hasher.update([u8::try_from(key.len()).unwrap_or(u8::MAX)]);
            hasher.update(key);
        }
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(hasher.finalize());
        i64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl Rows {
    /// What a hit's actions tell, but for orders, whose reports have it.
    pub(super) fn add_identifications(&mut self, visitor_id: Uuid, folding: &Folding<'_>) {
        for action in folding.hit.actions.iter().filter(|action| !action.is_of_order()) {
            let keys = self.keys(&action.customer, folding.hit.at_ms);
            let (site_id, at, visitor_id) = (folding.site_id, folding.at, Some(visitor_id));
            let row = Identification { site_id, visitor_id, session_id: None, keys, at };
            if row.names_anybody() {
                let known = self.identifications.entry(row.id()).or_insert(row);
                known.at = known.at.min(at);
            }
        }
    }

    /// What the shop said with an action.
    pub(super) fn identification_of(
        &self,
        fact: &ActionFact,
        site_id: i32,
        at: Timestamp,
    ) -> Option<Identification> {
        let keys = self.keys(&fact.customer, fact.received_ms);
        let session_id = fact.session_id;
        let visitor_id = fact.visitor_id.filter(|_| session_id.is_none());
        let row = Identification { site_id, visitor_id, session_id, keys, at };
        row.names_anybody().then_some(row)
    }

    /// Hashes as they are stored.
    fn keys(&self, customer: &[(CustomerKeyKind, [u8; 16])], received_ms: u64) -> [Option<Vec<u8>>; 3] {
        [CustomerKeyKind::Phone, CustomerKeyKind::Email, CustomerKeyKind::UserId].map(|kind| {
            let (_, hash) = customer.iter().find(|(have, _)| *have == kind)?;
            self.forgotten.customer(hash, received_ms)
        })
    }
}
