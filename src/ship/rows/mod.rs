//! A batch folded into rows, one file per family of tables.
//!
//! Every merged column follows the rule that the migration states beside it: the same rule here, between the
//! records of a batch, and in `sql/`, between a batch and the table. That is what makes the order of arrival
//! irrelevant.

pub mod denied;
pub mod dictionaries;
pub mod events;
pub mod identifications;
pub mod orders;
pub mod sessions;
pub mod spend;
pub mod told;
pub mod visitors;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use jiff::civil::Date;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::batch::{Batch, Located};
use super::dictionary::{self, Kind, Written};
use super::enrich::acquisition::Acquisition;
use super::enrich::place::Places;
use super::forgotten::{ForgottenList, NewHashes, NewSession};
use super::labels::CurrentLabels;
use crate::action::Points;
use crate::config::StoreIp;
use crate::erasure::Erasure;
use crate::hit::{BotCount, Hit, IdentityMode, Record, RecordError};
use crate::journal::Position;
use crate::store::partitions::Month;

/// What folding needs beside the records.
#[derive(Debug)]
pub struct Enricher {
    /// Source and medium.
    pub acquisition: Acquisition,
    /// Channels and names of sources.
    pub labels: CurrentLabels,
    /// Places.
    pub places: Places,
    /// How addresses are stored.
    pub store_ip: StoreIp,
    /// First path segments that name a language.
    pub locale_prefixes: Vec<String>,
    /// What actions are worth.
    pub points: Points,
    /// Rows that need not be offered again.
    pub written: Mutex<Written>,
}

impl Enricher {
    /// Notes the rows of a committed batch, but for those that were refused.
    pub(super) fn remember(
        &self,
        rows: &dictionaries::Dictionaries,
        refused: &std::collections::BTreeSet<(Kind, i64)>,
    ) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        for (kind, id) in rows.ids().filter(|key| !refused.contains(key)) {
            written.insert((kind, id), ());
        }
    }

    /// Offers every row again.
    pub(super) fn forget(&self) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Rows of all tables, by key.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// Dictionary rows that may be new.
    pub dictionaries: dictionaries::Dictionaries,
    /// `visitors`
    pub visitors: BTreeMap<Uuid, visitors::Visitor>,
    /// `sessions`
    pub sessions: BTreeMap<SessionKey, sessions::Session>,
    /// `session_cookies`
    pub cookies: BTreeMap<(SessionKey, String), sessions::Cookie>,
    /// `touches`
    pub touches: BTreeMap<(SessionKey, i64), sessions::Touched>,
    /// `product_views`
    pub product_views: BTreeMap<(SessionKey, i64, i32), events::ProductView>,
    /// `events`, but for product views
    pub events: Vec<events::Event>,
    /// `bot_hits`
    pub bot_hits: BTreeMap<(Timestamp, i32, String, i32), BotHits>,
    /// `denied_hits`
    pub denied_hits: BTreeMap<(Timestamp, i32, i64), denied::Counts>,
    /// `link_findings`
    pub link_findings: BTreeMap<(Date, i32, i64, i16), i64>,
    /// `identifications`
    pub identifications: identifications::Identifications,
    /// `order_entries`
    pub entries: BTreeMap<orders::EntryKey, orders::Entry>,
    /// `order_references`: site, reference and order
    pub references: BTreeSet<(i32, String, String)>,
    /// `payments`, by site, reference and way
    pub payments: BTreeMap<(i32, String, i16), orders::Payment>,
    /// Reports whose senders wait.
    pub receipts: Vec<orders::Report>,
    /// `ad_spend`
    pub spend: BTreeMap<spend::SpendKey, spend::Spend>,
    /// Reports about it whose senders wait.
    pub spend_receipts: Vec<spend::SpendReport>,
    /// `told_actions`, with their events
    pub told: BTreeMap<told::ToldKey, told::Told>,
    /// Told actions whose senders wait.
    pub told_receipts: Vec<told::ToldReport>,
    /// Who is to be forgotten, when all else is written.
    pub erasures: Vec<Erasure>,
    /// Sessions of forgotten visitors, by the id that is replaced, which the list of the forgotten has not yet.
    pub(super) new_sessions: BTreeMap<Uuid, NewSession>,
    /// Hashes of customers that forgotten visitors' records bring.
    pub(super) new_hashes: NewHashes,
    /// Records that cannot become rows.
    pub refused: Vec<Refused>,
    /// Time of the newest record, Unix milliseconds.
    pub newest_ms: u64,
    /// The list by which the forgotten were left out.
    pub(super) forgotten: Arc<ForgottenList>,
    /// What retention has passed: facts from before it are not stored; orders are.
    pub horizon: Option<Timestamp>,
    /// Earliest time of the facts; none when there are none.
    pub oldest_at: Option<Timestamp>,
    /// Records of which no fact is stored for the horizon's sake.
    pub past_retention: u64,
}

/// Key of a session and all that hangs on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey {
    /// The session.
    pub session_id: Uuid,
    /// Read from the session id.
    pub session_hour: Timestamp,
    /// The visitor.
    pub visitor_id: Uuid,
}

/// A row of `bot_hits`.
#[derive(Debug, Clone, Copy, Default)]
pub struct BotHits {
    /// Requests.
    pub hits: i64,
    /// The newest version of the rules that found them.
    pub rules: i16,
}

/// A record for `quarantine`.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Its journal.
    pub journal: Uuid,
    /// Where it stands.
    pub record: Located,
    /// Why.
    pub error: String,
}

/// Why a record cannot become rows.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// It cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Its time, or that of its session, has no partition.
    #[error("{0} ms is no time between the years 2000 and 2199")]
    Time(u64),
    /// It is no day.
    #[error("{0:?} is no year, month and day")]
    Day((i16, i8, i8)),
}

/// One hit while it is folded: what several tables need of it.
struct Folding<'a> {
    hit: &'a Hit<'a>,
    at: Timestamp,
    /// First 8 bytes of the hash of the payload: decides between hits of the same millisecond.
    hash: i64,
    site_id: i32,
    page_id: i64,
    points: &'a Points,
}

impl Folding<'_> {
    /// Whether nothing of the person may be stored.
    fn is_anonymous(&self) -> bool {
        self.hit.identity.is_some_and(|identity| identity.mode == IdentityMode::Forgotten)
    }
}

impl Rows {
    /// Time of the newest record; none when there is none.
    pub fn newest_at(&self) -> Option<Timestamp> {
        let newest_ms = i64::try_from(self.newest_ms).ok().filter(|ms| *ms > 0)?;
        Timestamp::from_millisecond(newest_ms).ok()
    }

    /// Folds all records of a batch, without who is forgotten. Takes CPU time only.
    pub fn fold(
        batch: &Batch,
        enricher: &Enricher,
        forgotten: Arc<ForgottenList>,
        horizon: Option<Timestamp>,
    ) -> Rows {
        let mut rows = Rows { forgotten, horizon, ..Rows::default() };
        for stretch in batch.stretches() {
            for record in &stretch.records {
                if let Err(error) = rows.add(record, enricher) {
                    rows.refused.push(Refused {
                        journal: stretch.journal,
                        record: record.clone(),
                        error: error.to_string(),
                    });
                }
            }
        }
        rows.rename_new_sessions();
        rows
    }

    /// Sets all records of a batch aside and makes nothing else of them.
    pub(super) fn set_aside(batch: &Batch, error: &str, forgotten: Arc<ForgottenList>) -> Rows {
        let refused = batch.stretches().iter().flat_map(|stretch| {
            stretch.records.iter().map(|record| Refused {
                journal: stretch.journal,
                record: record.clone(),
                error: error.to_owned(),
            })
        });
        Rows { refused: refused.collect(), forgotten, ..Rows::default() }
    }

    /// Reports of this batch may name a session that only this batch shows to be a forgotten visitor's.
    fn rename_new_sessions(&mut self) {
        if self.new_sessions.is_empty() {
            return;
        }
        for entry in self.entries.values_mut() {
            let known = entry.session_id.and_then(|id| self.new_sessions.get(&id));
            entry.session_id = known.map(|session| session.replacement).or(entry.session_id);
        }
        for told in self.told.values_mut() {
            if let Some(known) = told.session_id.and_then(|id| self.new_sessions.get(&id)) {
                let replacement = known.replacement;
                told.session_id = Some(replacement);
                (told.event.session_id, told.event.properties) = (told.session_id, None);
                let known = std::mem::take(&mut told.identifications).into_iter();
                let renamed = known.map(|((site, hash, _), row)| ((site, hash, replacement), row));
                told.identifications = renamed.collect();
            }
        }
    }

    /// A record that is refused leaves nothing behind: all that can fail happens before the first row.
    fn add(&mut self, record: &Located, enricher: &Enricher) -> Result<(), FoldError> {
        let hash = payload_hash(&record.payload);
        match Record::decode(&record.payload)? {
            Record::Hit(mut hit) => {
                let new_session = self.forgotten.anonymise_hit(&mut hit, &mut self.new_hashes);
                self.add_hit(&hit, hash, enricher)?;
                self.new_sessions.extend(new_session.map(|session| (session.session_id, session)));
                Ok(())
            }
            Record::Order(mut fact) => {
                self.forgotten.anonymise_fact(&mut fact, &mut self.new_hashes);
                self.add_fact(&fact, hash, enricher)
            }
            Record::Action(mut fact) => {
                self.forgotten.anonymise_action(&mut fact);
                self.add_told(&fact, hash, enricher)
            }
            Record::Spend(fact) => self.add_spend(&fact, hash, enricher),
            Record::Erasure(erasure) => {
                time(erasure.at_ms)?;
                self.erasures.push(erasure);
                Ok(())
            }
            Record::BotCount(count) => self.add_bot(&count, enricher),
        }
    }

    fn add_hit(&mut self, hit: &Hit<'_>, hash: i64, enricher: &Enricher) -> Result<(), FoldError> {
        let at = time(hit.at_ms)?;
        let key = hit.identity.as_ref().map(SessionKey::of).transpose()?;
        self.newest_ms = self.newest_ms.max(hit.at_ms);
        let site_id = self.dictionaries.site(&hit.site, enricher);
        self.add_orders_of(hit, at, hash, site_id);
        if hit.denied {
            self.add_denied(hit, at, site_id, enricher);
            return Ok(());
        }
        if !self.takes_facts_of(key.map_or(at, |key| at.min(key.session_hour))) {
            return Ok(());
        }
        let page_id = self.dictionaries.page(site_id, hit, enricher);
        let folding = Folding { hit, at, hash, site_id, page_id, points: &enricher.points };
        if let Some((key, identity)) = key.zip(hit.identity.as_ref()) {
            let touched = hit.touch.as_ref().map(|touch| self.add_touch(key, touch, &folding, enricher));
            self.add_visitor(identity, touched, &folding);
            self.add_identifications(identity, &folding);
            self.add_session(key, identity, touched, &folding, enricher);
            self.add_cookies(key, &folding);
        }
        self.add_findings(&folding);
        self.add_events(key, &folding, enricher);
        Ok(())
    }

    fn add_bot(&mut self, count: &BotCount<'_>, enricher: &Enricher) -> Result<(), FoldError> {
        let hour = time(count.at_ms - count.at_ms % 3_600_000)?;
        self.newest_ms = self.newest_ms.max(count.at_ms);
        if !self.takes_facts_of(hour) {
            return Ok(());
        }
        let site_id = self.dictionaries.site(&count.site, enricher);
        let key = (hour, site_id, count.bot.clone().into_owned(), count.reasons.cast_signed());
        let row = self.bot_hits.entry(key).or_default();
        row.hits += 1;
        row.rules = row.rules.max(i16::from(count.rules));
        Ok(())
    }

    /// Whether retention still keeps facts of this time; else the record is counted.
    fn takes_facts_of(&mut self, at: Timestamp) -> bool {
        if self.horizon.is_some_and(|horizon| at < horizon) {
            self.past_retention += 1;
            return false;
        }
        self.oldest_at = Some(self.oldest_at.map_or(at, |oldest| oldest.min(at)));
        true
    }

    /// Months for which partitions must exist.
    pub fn months(&self) -> BTreeSet<Month> {
        let hours = self.sessions.keys().map(|key| key.session_hour);
        let times = self.events.iter().map(|event| event.at);
        let views = self.product_views.values().map(|view| view.hit.at);
        let told = self.told.values().map(|told| told.event.at);
        hours.chain(times).chain(views).chain(told).filter_map(Month::of).collect()
    }

    /// Whether orders are computed from this batch, or somebody is forgotten, in any case.
    pub fn needs_exclusive_lock(&self) -> bool {
        !(self.entries.is_empty()
            && self.references.is_empty()
            && self.payments.is_empty()
            && self.told.is_empty()
            && self.erasures.is_empty()
            && self.new_sessions.is_empty()
            && self.new_hashes.is_empty())
    }
}

impl SessionKey {
    fn of(identity: &crate::hit::Identity) -> Result<Self, FoldError> {
        let [a, b, c, d, e, f, ..] = *identity.session_id.as_bytes();
        let hour_ms = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
        Ok(SessionKey {
            session_id: identity.session_id,
            session_hour: time(hour_ms)?,
            visitor_id: identity.visitor_id,
        })
    }
}

/// A moment that has a partition.
pub(super) fn time(milliseconds: u64) -> Result<Timestamp, FoldError> {
    i64::try_from(milliseconds)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .filter(|&at| Month::of(at).is_some())
        .ok_or(FoldError::Time(milliseconds))
}

fn payload_hash(payload: &[u8]) -> i64 {
    let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(Sha256::digest(payload));
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Pairs as a JSON object with sorted keys; of a repeated name the last counts. None when there are none.
fn json_object<N: AsRef<str>, V: AsRef<str>>(pairs: &[(N, V)]) -> Option<String> {
    let object: BTreeMap<&str, &str> =
        pairs.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
    (!object.is_empty()).then(|| serde_json::json!(object).to_string())
}

/// A position's numbers as Postgres stores them; none beyond 2^63, which no journal reaches.
pub(super) fn stored(position: Position) -> Option<(i64, i64)> {
    Some((i64::try_from(position.segment).ok()?, i64::try_from(position.offset).ok()?))
}

/// Id of an action kind.
pub(super) fn kind_id(name: &str) -> i32 {
    dictionary::small_id(Kind::Action, name)
}
