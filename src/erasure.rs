//! Forgetting a person: what is asked for, what became of it, and by what a forgotten id is known again.
//!
//! Rule: nobody keeps the id of who is forgotten. What is kept is its SHA-256: an id has 74 random or keyed bits or
//! more, so that no guessing leads from the hash to it, and whoever comes with the id is known.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Whom to forget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// The visitor with this id.
    Visitor(Uuid),
    /// Whoever placed this order.
    Order {
        /// The shop.
        site: String,
        /// The shop's order id.
        order_id: String,
    },
    /// Whoever has this telephone number, e-mail address or user id: its keyed hash.
    Customer([u8; 16]),
}

impl Subject {
    /// The kind, as the store and receipts name it: what was asked for, not who.
    pub fn kind(&self) -> &'static str {
        match self {
            Subject::Visitor(_) => "visitor",
            Subject::Order { .. } => "order",
            Subject::Customer(_) => "customer",
        }
    }
}

/// A record of the journal: somebody is to be forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// Names it in the store and in receipts.
    pub erasure_id: Uuid,
    /// When it was asked for, Unix milliseconds.
    pub at_ms: u64,
    /// Whom.
    pub subject: Subject,
}

/// What an erasure did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The erasure.
    pub erasure_id: Uuid,
    /// How it ended.
    pub outcome: Outcome,
    /// When it was done.
    pub at: Timestamp,
    /// Rows that were made anonymous or deleted, by table; `customers` are reports about orders that lost a person.
    pub erased: BTreeMap<&'static str, u64>,
}

/// How an erasure ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// What was known of the person leads to nobody any more.
    Forgotten,
    /// It had been done before, and nothing has come since.
    AlreadyForgotten,
    /// Nothing is known of the person. A visitor's id is remembered all the same: what comes late is made anonymous.
    NothingFound,
    /// Nothing was done: the order or the customer leads to so many orders that it is no person's.
    TooMany,
}

impl Outcome {
    /// The word for it in receipts.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Forgotten => "forgotten",
            Outcome::AlreadyForgotten => "already_forgotten",
            Outcome::NothingFound => "nothing_found",
            Outcome::TooMany => "too_many",
        }
    }
}

/// SHA-256 of an id or of a customer's hash.
pub type IdHash = [u8; 32];

/// By what an id is known again.
pub fn id_hash(id: &[u8; 16]) -> IdHash {
    Sha256::digest(id).into()
}

/// The visitors that are forgotten, for proxies: their cookies are none.
#[derive(Debug, Default)]
pub struct ForgottenVisitors(HashSet<IdHash>);

impl ForgottenVisitors {
    /// Those with these hashes.
    pub fn new(hashes: HashSet<IdHash>) -> Self {
        Self(hashes)
    }

    /// Whether this one is among them.
    pub fn contains(&self, visitor_id: Uuid) -> bool {
        !self.0.is_empty() && self.0.contains(&id_hash(visitor_id.as_bytes()))
    }
}

/// The visitors that are forgotten as far as this process knows: the office looks them up, workers read. Clones share
/// it.
#[derive(Debug, Clone, Default)]
pub struct Forgotten(Arc<ArcSwap<ForgottenVisitors>>);

impl Forgotten {
    /// Those known now.
    pub fn now(&self) -> Guard<Arc<ForgottenVisitors>> {
        self.0.load()
    }

    /// What the office found.
    pub fn replace(&self, visitors: ForgottenVisitors) {
        self.0.store(Arc::new(visitors));
    }
}
