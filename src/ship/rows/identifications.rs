//! Rows of `identifications`: telephones, e-mails and user ids that visitors gave other than with an order.

use std::collections::BTreeMap;

use jiff::Timestamp;
use uuid::Uuid;

use super::{Folding, Rows};
use crate::hit::{ActionFact, CustomerKeyKind, Identity, IdentityMode};

/// Key of `identifications`: site, hash and subject.
pub(in crate::ship) type IdentificationKey = (i32, Vec<u8>, Uuid);

/// Rows of `identifications` by key.
pub(in crate::ship) type Identifications = BTreeMap<IdentificationKey, Identification>;

/// A row of `identifications`; its columns there.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the migration documents the columns")]
pub struct Identification {
    pub kind: &'static str,
    pub is_session: bool,
    pub is_browser: bool,
    pub at: Timestamp,
}

impl Identification {
    fn of_kind(&self, kind: CustomerKeyKind) -> Identification {
        let kind = match kind {
            CustomerKeyKind::Phone => "phone",
            CustomerKeyKind::Email => "email",
            CustomerKeyKind::UserId => "user_id",
        };
        Identification { kind, ..self.clone() }
    }
}

/// Adds a row, or what it knows better.
pub(in crate::ship) fn merge(rows: &mut Identifications, key: IdentificationKey, row: &Identification) {
    let known = rows.entry(key).or_insert_with(|| row.clone());
    known.at = known.at.min(row.at);
    known.is_browser |= row.is_browser;
}

impl Rows {
    /// What a hit's actions tell, but for orders, whose reports have it.
    pub(super) fn add_identifications(&mut self, identity: &Identity, folding: &Folding<'_>) {
        let is_browser = identity.mode != IdentityMode::Cookieless;
        let row = Identification { kind: "", is_session: false, is_browser, at: folding.at };
        for action in folding.hit.actions.iter().filter(|action| !action.is_of_order()) {
            for (kind, hash) in &action.customer {
                let Some(hash) = self.forgotten.customer(hash, folding.hit.at_ms) else { continue };
                let key = (folding.site_id, hash, identity.visitor_id);
                merge(&mut self.identifications, key, &row.of_kind(*kind));
            }
        }
    }

    /// What the shop said with an action, of the session that it names or of the visitor.
    pub(super) fn identifications_of(
        &self,
        fact: &ActionFact,
        site_id: i32,
        at: Timestamp,
    ) -> Identifications {
        let mut rows = Identifications::new();
        let Some(subject) = fact.session_id.or(fact.visitor_id) else { return rows };
        // Whose id is no cookie's has a number of its own each day.
        let is_browser = subject.get_version_num() == 7;
        let row = Identification { kind: "", is_session: fact.session_id.is_some(), is_browser, at };
        for (kind, hash) in &fact.customer {
            let Some(hash) = self.forgotten.customer(hash, fact.received_ms) else { continue };
            merge(&mut rows, (site_id, hash, subject), &row.of_kind(*kind));
        }
        rows
    }
}
