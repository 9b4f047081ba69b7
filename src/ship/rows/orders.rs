//! Rows of `order_entries`: what hits and the API reported about orders.

use jiff::Timestamp;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::{Enricher, FoldError, Rows, json_object, time};
use crate::hit::{Action, CustomerKeyKind, Hit, OrderEntryKind, OrderFact, Way};

/// Key of `order_entries`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the migration documents the columns")]
pub struct EntryKey {
    pub site_id: i32,
    pub order_id: String,
    pub kind: i16,
    pub reference: String,
    pub way: i16,
}

/// A row of `order_entries`; its columns there. A visitor's stands before any other, then the one received first.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the migration documents the columns")]
pub struct Entry {
    pub at: Timestamp,
    pub received_at: Timestamp,
    pub hash: i64,
    pub value: Option<Decimal>,
    pub currency: Option<String>,
    pub order_number: Option<String>,
    pub visitor_id: Option<Uuid>,
    pub session_id: Option<Uuid>,
    pub by_cookie: bool,
    pub click_ids: Option<String>,
    pub phone: Option<Vec<u8>>,
    pub email: Option<Vec<u8>>,
    pub user_id: Option<Vec<u8>>,
    pub items: Option<String>,
    pub properties: Option<String>,
    pub weak: bool,
}

/// A row of `payments`; its columns there. The least by (received_at, hash) stands.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the migration documents the columns")]
pub struct Payment {
    pub at: Timestamp,
    pub received_at: Timestamp,
    pub hash: i64,
    pub value: Option<Decimal>,
    pub currency: Option<String>,
}

/// A report whose sender waits to hear what became of it.
#[derive(Debug, Clone)]
pub struct Report {
    /// Request and position in it.
    pub receipt: (Uuid, u32),
    /// The entry it would be.
    pub key: EntryKey,
    /// Of the record.
    pub hash: i64,
    /// Its amount.
    pub value: Option<Decimal>,
    /// Its currency.
    pub currency: Option<String>,
}

impl Entry {
    /// Of a visitor's before any other, the one received first.
    fn rank(&self) -> (bool, Timestamp, i64) {
        (!self.by_cookie, self.received_at, self.hash)
    }
}

impl Rows {
    /// A purchase that names its order is a placed order, a payment that does is money for it.
    ///
    /// Where a rule saw a purchase, the path is its reference: an order's thank-you page may tell what the request that
    /// placed it did not, its value for one.
    pub(super) fn add_orders_of(&mut self, hit: &Hit<'_>, at: Timestamp, hash: i64, site_id: i32) {
        for action in &hit.actions {
            let Some(order_id) = action.order_id.as_deref() else {
                self.add_payment_of(action, at, hash, site_id);
                continue;
            };
            if let Some(reference) = action.reference.as_deref() {
                self.references.insert((site_id, reference.to_owned(), order_id.to_owned()));
            }
            let (kind, reference) = match (action.kind.as_ref(), action.way) {
                ("purchase", Way::Rule) => (OrderEntryKind::Placed, hit.path.as_ref()),
                ("purchase", _) => (OrderEntryKind::Placed, ""),
                ("payment", _) => (OrderEntryKind::Paid, action.reference.as_deref().unwrap_or_default()),
                _ => continue,
            };
            let key = EntryKey {
                site_id,
                order_id: order_id.to_owned(),
                kind: kind.code(),
                reference: reference.to_owned(),
                way: action.way.code(),
            };
            let identifier = |kind| {
                let (_, hash) = action.customer.iter().find(|(have, _)| *have == kind)?;
                self.forgotten.customer(hash, hit.at_ms)
            };
            let entry = Entry {
                at,
                received_at: at,
                hash,
                value: action.value,
                currency: action.currency.as_deref().map(str::to_owned),
                order_number: action.order_number.as_deref().map(str::to_owned),
                visitor_id: hit.identity.map(|identity| identity.visitor_id),
                session_id: hit.identity.map(|identity| identity.session_id),
                by_cookie: hit.identity.is_some(),
                click_ids: None,
                phone: identifier(CustomerKeyKind::Phone),
                email: identifier(CustomerKeyKind::Email),
                user_id: identifier(CustomerKeyKind::UserId),
                items: None,
                properties: json_object(&action.properties),
                weak: action.is_weak,
            };
            self.merge_entry(key, entry);
        }
    }

    /// A payment that names its order by a reference only.
    fn add_payment_of(&mut self, action: &Action<'_>, at: Timestamp, hash: i64, site_id: i32) {
        let Some(reference) = action.reference.as_deref().filter(|_| action.kind == "payment") else {
            return;
        };
        let payment = Payment {
            at,
            received_at: at,
            hash,
            value: action.value,
            currency: action.currency.as_deref().map(str::to_owned),
        };
        let key = (site_id, reference.to_owned(), action.way.code());
        let row = self.payments.entry(key).or_insert_with(|| payment.clone());
        if (payment.received_at, payment.hash) < (row.received_at, row.hash) {
            *row = payment;
        }
    }

    pub(super) fn add_fact(
        &mut self,
        fact: &OrderFact,
        hash: i64,
        enricher: &Enricher,
    ) -> Result<(), FoldError> {
        let (at, received_at) = (time(fact.at_ms)?, time(fact.received_ms)?);
        self.newest_ms = self.newest_ms.max(fact.received_ms);
        let site_id = self.dictionaries.site(&fact.site, enricher);
        let key = EntryKey {
            site_id,
            order_id: fact.order_id.clone(),
            kind: fact.kind.code(),
            reference: fact.reference.clone(),
            way: fact.way.code(),
        };
        let identifier = |kind| {
            let (_, hash) = fact.customer.iter().find(|(have, _)| *have == kind)?;
            self.forgotten.customer(hash, fact.received_ms)
        };
        let entry = Entry {
            at,
            received_at,
            hash,
            value: fact.value,
            currency: fact.currency.clone(),
            order_number: fact.order_number.clone(),
            visitor_id: fact.visitor_id,
            session_id: fact.session_id,
            by_cookie: false,
            click_ids: json_object(&fact.click_ids),
            phone: identifier(CustomerKeyKind::Phone),
            email: identifier(CustomerKeyKind::Email),
            user_id: identifier(CustomerKeyKind::UserId),
            items: fact.items.clone(),
            properties: fact.properties.clone(),
            weak: false,
        };
        if let Some(receipt) = fact.receipt {
            let (value, currency) = (fact.value, fact.currency.clone());
            self.receipts.push(Report { receipt, key: key.clone(), hash, value, currency });
        }
        self.merge_entry(key, entry);
        Ok(())
    }

    fn merge_entry(&mut self, key: EntryKey, entry: Entry) {
        let row = self.entries.entry(key).or_insert_with(|| entry.clone());
        if entry.rank() < row.rank() {
            *row = entry;
        }
    }
}
