//! The shipper: a batch in, what became of it out. Its caller reads the journals, and waits when the database is away.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use deadpool_postgres::{Client, Object};
use jiff::Timestamp;
use tokio::task::JoinHandle;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::agents;
use super::batch::Batch;
use super::dictionary::Written;
use super::enrich::acquisition::Acquisition;
use super::enrich::place::Places;
use super::forgotten::ForgottenList;
use super::known::KnownVisitors;
use super::labels::CurrentLabels;
use super::rows::{Enricher, Refused, Rows};
use super::write::{self, Attempt, Fault, Terms};
use crate::action::Points;
use crate::config::{Config, Live, StoreIp};
use crate::erasure::Receipt;
use crate::hit::Record;
use crate::hit::ReportOutcome;
use crate::journal::Position;
use crate::store::partitions::{self, Month};
use crate::store::{Store, StoreError};
use crate::telemetry::causes::Causes;

/// How often a batch is tried while other transactions are in its way.
const TRIES: u32 = 8;
/// Longest time for one try, the database's answer included; the transaction's own timeouts are shorter.
const TRY_TIMEOUT: Duration = Duration::from_secs(120);
/// Longest time for reading the checkpoints, or for a turn of user agents.
const LOOK_TIMEOUT: Duration = Duration::from_secs(30);

/// What the configuration says about shipping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShipSettings {
    /// How long before an order a touch still counts.
    pub lookback: Duration,
    /// How client addresses are stored.
    pub store_ip: StoreIp,
    /// New dictionary rows a day, kind and site.
    pub new_values_per_day: u32,
    /// First path segments that name a language.
    pub locale_prefixes: Vec<String>,
    /// An mmdb file.
    pub geo_database: Option<PathBuf>,
    /// What actions are worth.
    pub points: Points,
}

impl From<&Config> for ShipSettings {
    fn from(config: &Config) -> Self {
        ShipSettings {
            lookback: config.tracking.attribution.lookback,
            store_ip: config.tracking.privacy.store_ip,
            new_values_per_day: config.database.new_values_per_day,
            locale_prefixes: config.tracking.locale_prefixes.clone(),
            geo_database: config.geo_database.clone(),
            points: config.points.clone(),
        }
    }
}

/// What of a batch is in the database.
#[derive(Debug, Default)]
pub struct Shipped {
    /// Records that became rows.
    pub records: u64,
    /// Records set aside.
    pub quarantined: u64,
    /// Damaged places of the journals that were passed over.
    pub damaged: Vec<(Uuid, Position)>,
    /// How often it, or a part of it, was halved.
    pub halvings: u64,
    /// Values that are not told apart since a dictionary may not grow any more that day, by dictionary.
    pub overflowed: BTreeMap<&'static str, u64>,
    /// Records of which no fact was stored: retention has passed their time.
    pub past_retention: u64,
    /// For each report with a receipt what became of it.
    pub outcomes: Vec<((Uuid, u32), ReportOutcome)>,
    /// What erasures did.
    pub receipts: Vec<Receipt>,
}

/// Why a batch is not, or perhaps not, in the database.
#[derive(Debug, thiserror::Error)]
pub enum ShipError {
    /// Another shipper moved the journal on, or the database was restored: begin again from
    /// [`Shipper::checkpoints`].
    #[error("journal {0} is not where it was expected in the database")]
    CheckpointMoved(Uuid),
    /// The database is away or refuses: wait, then begin again from [`Shipper::checkpoints`]. Parts of the batch, or
    /// all of it, may be committed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database does not answer; as above.
    #[error("the database did not answer within {0:?}")]
    Timeout(Duration),
    /// Folding panicked, or was given up at the program's end.
    #[error("the batch could not be folded: {0}")]
    Fold(#[from] tokio::task::JoinError),
}

impl ShipError {
    /// What the database says that has not our tables, or those of another version.
    pub fn missing_of_schema(&self) -> Option<String> {
        let ShipError::Store(StoreError::Database(error)) = self else { return None };
        let gone = [&SqlState::UNDEFINED_TABLE, &SqlState::UNDEFINED_COLUMN, &SqlState::INVALID_SCHEMA_NAME];
        error.as_db_error().filter(|said| gone.contains(&said.code())).map(|said| said.message().to_owned())
    }
}

impl From<tokio_postgres::Error> for ShipError {
    fn from(error: tokio_postgres::Error) -> Self {
        ShipError::Store(StoreError::Database(error))
    }
}

/// How far these journals are in the database; those it does not know are missing. Changes nothing.
pub async fn checkpoints(store: &Store, journals: &[Uuid]) -> Result<HashMap<Uuid, Position>, StoreError> {
    let client = store.office().await?;
    let parameters = [(&journals as _, Type::UUID_ARRAY)];
    Ok(positions(&client.query_typed(include_str!("sql/checkpoints.sql"), &parameters).await?))
}

fn positions(rows: &[Row]) -> HashMap<Uuid, Position> {
    let number = |value: i64| u64::try_from(value).unwrap_or(0);
    let position =
        |row: &Row| Position { segment: number(row.get("segment")), offset: number(row.get("offset")) };
    rows.iter().map(|row| (row.get("journal"), position(row))).collect()
}

fn enricher(settings: &ShipSettings, labels: &CurrentLabels) -> Enricher {
    Enricher {
        acquisition: Acquisition::default(),
        labels: labels.clone(),
        places: Places::new(settings.geo_database.clone()),
        store_ip: settings.store_ip,
        locale_prefixes: settings.locale_prefixes.clone(),
        points: settings.points.clone(),
        written: Mutex::new(Written::default()),
    }
}

/// Writes batches, one at a time.
#[derive(Debug)]
pub struct Shipper {
    store: Store,
    settings: ShipSettings,
    labels: CurrentLabels,
    /// Where the settings come from, if they may change, and what they were taken from last.
    follows: Option<(Live<Config>, Arc<Config>)>,
    enricher: Arc<Enricher>,
    /// Partitions known to exist.
    months: BTreeSet<Month>,
    /// What retention has passed, as far as known.
    horizon: Option<Timestamp>,
    /// Visitors whose rows need not be written again.
    known: KnownVisitors,
    /// Where the database was seen to stand. Elsewhere, without us, means another database: restored to an earlier state.
    stands: HashMap<Uuid, Position>,
    /// Who was forgotten when the database was last asked.
    forgotten: Arc<ForgottenList>,
    /// Whether there may be user agents to be read.
    agents_unread: bool,
}

/// A batch that is being folded on a thread of its own.
#[derive(Debug)]
pub struct Folding {
    batch: Batch,
    rows: JoinHandle<Rows>,
}

impl Shipper {
    /// Opens nothing yet.
    pub fn new(store: Store, settings: ShipSettings) -> Self {
        Shipper {
            store,
            follows: None,
            enricher: Arc::new(enricher(&settings, &CurrentLabels::default())),
            settings,
            labels: CurrentLabels::default(),
            months: BTreeSet::new(),
            horizon: None,
            known: KnownVisitors::default(),
            stands: HashMap::new(),
            forgotten: Arc::default(),
            agents_unread: true,
        }
    }

    /// As [`Shipper::new`]; each batch goes by what `config` says when it is folded.
    pub fn following(store: Store, config: Live<Config>) -> Self {
        let now = config.now();
        Shipper {
            follows: Some((config, Arc::clone(&now))),
            ..Shipper::new(store, ShipSettings::from(&*now))
        }
    }

    /// The same with the labels that somebody keeps current.
    pub fn labelling(self, labels: CurrentLabels) -> Self {
        Shipper { enricher: Arc::new(enricher(&self.settings, &labels)), labels, ..self }
    }

    fn keep_up(&mut self) {
        let Some((config, taken)) = &mut self.follows else { return };
        let now = config.now();
        if Arc::ptr_eq(&now, taken) {
            return;
        }
        let settings = ShipSettings::from(&*now);
        *taken = now;
        if settings != self.settings {
            self.enricher = Arc::new(enricher(&settings, &self.labels));
            self.settings = settings;
        }
    }

    /// How far these journals are in the database; those it does not know stand at the beginning.
    pub async fn checkpoints(&mut self, journals: &[Uuid]) -> Result<HashMap<Uuid, Position>, ShipError> {
        let asked = self.ask_checkpoints(journals).await;
        let is_elsewhere =
            |(journal, position)| self.stands.get(journal).is_some_and(|stand| stand != position);
        if asked.as_ref().map_or(true, |positions| positions.iter().any(is_elsewhere)) {
            self.doubt();
        }
        let positions = asked?;
        self.stands.extend(&positions);
        Ok(positions)
    }

    async fn ask_checkpoints(&self, journals: &[Uuid]) -> Result<HashMap<Uuid, Position>, ShipError> {
        let client = self.store.office().await?;
        let Ok(rows) = tokio::time::timeout(LOOK_TIMEOUT, read_checkpoints(&client, journals)).await else {
            drop(Object::take(client));
            return Err(ShipError::Timeout(LOOK_TIMEOUT));
        };
        Ok(positions(&rows?))
    }

    /// Takes nothing for granted any more: the database may be another one.
    fn doubt(&mut self) {
        self.months.clear();
        self.horizon = None;
        self.enricher.forget();
        self.known.forget();
        self.stands.clear();
    }

    /// How many records are in `quarantine`, counted up to ten thousand.
    pub async fn set_aside_records(&mut self) -> Result<i64, ShipError> {
        let client = self.store.office().await?;
        let counting = client.query_typed_one(include_str!("sql/quarantine_records.sql"), &[]);
        let Ok(row) = tokio::time::timeout(LOOK_TIMEOUT, counting).await else {
            drop(Object::take(client));
            return Err(ShipError::Timeout(LOOK_TIMEOUT));
        };
        Ok(row?.get("records"))
    }

    /// Begins to fold a batch, also while another is written. What was folded before an error must not be shipped after
    /// it: it leaves out dictionary rows that the database then was known to have.
    pub fn fold(&mut self, batch: Batch) -> Folding {
        self.keep_up();
        let (enricher, folded, horizon) = (Arc::clone(&self.enricher), batch.clone(), self.horizon);
        let forgotten = Arc::clone(&self.forgotten);
        let fold = move || Rows::fold(&folded, &enricher, forgotten, horizon);
        Folding { batch, rows: tokio::task::spawn_blocking(fold) }
    }

    /// Brings a batch to the database, wholly and once. A record that cannot be stored is found by halving, set
    /// aside in `quarantine`, and the rest goes in; so after an error a first part of the batch may be committed.
    pub async fn ship(&mut self, batch: Batch) -> Result<Shipped, ShipError> {
        let (folding, mut shipped) = (self.fold(batch), Shipped::default());
        self.ship_folded(folding, &mut shipped, Duration::MAX).await?;
        Ok(shipped)
    }

    /// As [`Shipper::ship`], when folding has begun already. Adds to `shipped` whatever is committed, after an error
    /// too: nobody comes by these records again. Answers whether all of the batch is in: when it is halved for longer
    /// than `most`, others have their turn, and the rest must be read again from [`Shipper::checkpoints`].
    pub async fn ship_folded(
        &mut self,
        folding: Folding,
        shipped: &mut Shipped,
        most: Duration,
    ) -> Result<bool, ShipError> {
        let begun = Instant::now();
        let mut open = vec![folding];
        while let Some(Folding { batch, rows }) = open.pop() {
            let before = shipped.all();
            match self.ship_whole(&batch, rows).await? {
                Ending::Committed(part) => shipped.add(part),
                Ending::PastHorizon(horizon) => {
                    self.horizon = Some(horizon);
                    open.push(self.fold(batch));
                }
                Ending::OthersForgotten => open.push(self.fold(batch)),
                Ending::Unstorable(_) if batch.len() > 1 => {
                    shipped.halvings += 1;
                    let (first, second) = batch.halves();
                    open.extend([self.fold(second), self.fold(first)]);
                }
                Ending::Unstorable(error) => shipped.add(self.set_aside(&batch, error).await?),
            }
            if shipped.all() > before && begun.elapsed() >= most {
                return Ok(open.is_empty());
            }
        }
        Ok(true)
    }

    /// Reads what some user agents say, for a short while, and says whether there may be more. Failing costs nothing:
    /// they are read some time later.
    pub async fn read_agents(&mut self) -> Result<bool, ShipError> {
        if !std::mem::take(&mut self.agents_unread) {
            return Ok(false);
        }
        let client = self.store.office().await?;
        let Ok(more) = tokio::time::timeout(LOOK_TIMEOUT, agents::read_some(&client)).await else {
            drop(Object::take(client));
            return Err(ShipError::Timeout(LOOK_TIMEOUT));
        };
        self.agents_unread = more?;
        Ok(self.agents_unread)
    }

    /// Looks for user agents that others have left unread.
    pub fn expect_agents(&mut self) {
        self.agents_unread = true;
    }

    async fn ship_whole(&mut self, batch: &Batch, rows: JoinHandle<Rows>) -> Result<Ending, ShipError> {
        match rows.await {
            Ok(rows) => self.write(batch, &rows).await,
            // Some record of it is the cause: it must not keep the others back for ever.
            Err(error) if error.is_panic() => Ok(Ending::Unstorable(error.into())),
            Err(error) => Err(error.into()),
        }
    }

    async fn set_aside(&mut self, batch: &Batch, error: ShipError) -> Result<Shipped, ShipError> {
        let reason = described(&error);
        loop {
            let rows = Rows::set_aside(batch, &reason, Arc::clone(&self.forgotten));
            match self.write(batch, &rows).await? {
                Ending::Committed(shipped) => return Ok(shipped),
                Ending::Unstorable(error) => return Err(error),
                Ending::OthersForgotten => {}
                // It has no facts.
                Ending::PastHorizon(_) => return Ok(Shipped::default()),
            }
        }
    }

    /// Writes rows.
    async fn write(&mut self, batch: &Batch, rows: &Rows) -> Result<Ending, ShipError> {
        let written = self.try_to_write(batch, rows).await;
        if written.is_err() {
            self.doubt();
        }
        written
    }

    async fn try_to_write(&mut self, batch: &Batch, rows: &Rows) -> Result<Ending, ShipError> {
        let mut client = self.store.office().await?;
        let mut terms = Terms {
            cap: i64::from(self.settings.new_values_per_day),
            lookback: self.settings.lookback,
            purchase_points: self.settings.points.of("purchase"),
            exclusive: rows.needs_exclusive_lock(),
        };
        let visitors = self.known.unwritten(&rows.visitors);
        let mut checked_again = false;
        let mut tries = 0;
        loop {
            tries += 1;
            let attempt = async {
                // Beside the transaction: a partition outlives a batch that fails.
                ensure_partitions(&mut self.months, &mut client, rows).await?;
                Ok::<_, StoreError>(write::attempt(&mut client, batch, rows, &visitors, terms).await)
            };
            let Ok(attempt) = tokio::time::timeout(TRY_TIMEOUT, attempt).await else {
                // A connection in the middle of a statement must not go back to the pool.
                drop(Object::take(client));
                return Err(ShipError::Timeout(TRY_TIMEOUT));
            };
            let error = match attempt? {
                Ok(Attempt::Committed { outcomes, receipts, growth }) => {
                    self.enricher.remember(&rows.dictionaries, &growth.refused);
                    self.known.remember(&visitors);
                    self.stands
                        .extend(batch.stretches().iter().map(|stretch| (stretch.journal, stretch.next)));
                    if !rows.erasures.is_empty() {
                        self.known.forget();
                    }
                    let overflowed = growth.overflowed();
                    self.agents_unread |= !rows.dictionaries.agents.is_empty();
                    return Ok(Ending::Committed(Shipped {
                        overflowed,
                        ..Shipped::of(batch, rows, outcomes, receipts)
                    }));
                }
                Ok(Attempt::CheckpointMoved(journal)) => return Err(ShipError::CheckpointMoved(journal)),
                Ok(Attempt::PastHorizon(horizon)) => return Ok(Ending::PastHorizon(horizon)),
                Ok(Attempt::OthersForgotten(list)) => {
                    self.forgotten = Arc::new(list);
                    self.known.forget();
                    return Ok(Ending::OthersForgotten);
                }
                Ok(Attempt::ConcernsOrders) => {
                    terms.exclusive = true;
                    continue;
                }
                Err(error) => error,
            };
            match Fault::of(&error) {
                Fault::Conflict if tries < TRIES => pause(tries).await,
                Fault::Partition if !checked_again => {
                    checked_again = true;
                    self.months.clear();
                }
                Fault::Data | Fault::Partition => return Ok(Ending::Unstorable(error.into())),
                Fault::Slow if batch.len() > 1 => return Ok(Ending::Unstorable(error.into())),
                Fault::Conflict | Fault::Slow | Fault::Elsewhere => {
                    drop(Object::take(client));
                    return Err(error.into());
                }
            }
        }
    }
}

async fn ensure_partitions(
    months: &mut BTreeSet<Month>,
    client: &mut Client,
    rows: &Rows,
) -> Result<(), StoreError> {
    let needed: BTreeSet<Month> = rows.months().difference(months).copied().collect();
    if !needed.is_empty() {
        partitions::ensure(client, &needed).await?;
        months.extend(needed);
    }
    Ok(())
}

async fn read_checkpoints(client: &Client, journals: &[Uuid]) -> Result<Vec<Row>, tokio_postgres::Error> {
    let journals = [(&journals as _, Type::UUID_ARRAY)];
    client.query_typed(include_str!("sql/checkpoint_rows.sql"), &journals).await?;
    client.query_typed(include_str!("sql/checkpoints.sql"), &journals).await
}

/// How a batch ended that reached the database.
enum Ending {
    Committed(Shipped),
    /// Some record of it cannot be stored, or not with so many others.
    Unstorable(ShipError),
    /// Nothing was written: some facts of it are from before this horizon.
    PastHorizon(Timestamp),
    /// Nothing was written: it must be folded again, without them.
    OthersForgotten,
}

impl Shipped {
    fn of(
        batch: &Batch,
        rows: &Rows,
        outcomes: Vec<((Uuid, u32), ReportOutcome)>,
        receipts: Vec<Receipt>,
    ) -> Shipped {
        let quarantined = rows.refused.len() as u64;
        let refused = rows.refused.iter().filter_map(Refused::outcome);
        Shipped {
            records: batch.len() as u64 - quarantined - rows.past_retention,
            quarantined,
            damaged: batch.damaged(),
            halvings: 0,
            overflowed: BTreeMap::new(),
            past_retention: rows.past_retention,
            outcomes: outcomes.into_iter().chain(refused).collect(),
            receipts,
        }
    }

    /// How many records were dealt with, in whatever way.
    pub(super) fn all(&self) -> u64 {
        self.records + self.quarantined + self.past_retention
    }

    fn add(&mut self, part: Shipped) {
        self.records += part.records;
        self.quarantined += part.quarantined;
        self.damaged.extend(part.damaged);
        self.halvings += part.halvings;
        for (kind, values) in part.overflowed {
            *self.overflowed.entry(kind).or_default() += values;
        }
        self.past_retention += part.past_retention;
        self.outcomes.extend(part.outcomes);
        self.receipts.extend(part.receipts);
    }
}

impl Refused {
    /// What its sender is told, if it waits.
    fn outcome(&self) -> Option<((Uuid, u32), ReportOutcome)> {
        match Record::decode(&self.record.payload) {
            Ok(Record::Order(fact)) => fact.receipt,
            Ok(Record::Action(fact)) => fact.receipt,
            Ok(Record::Spend(fact)) => fact.receipt,
            _ => None,
        }
        .map(|receipt| (receipt, ReportOutcome::Refused("it cannot be stored".to_owned())))
    }
}

/// Longer with each try, and never the same for two shippers: else they would meet again.
async fn pause(tries: u32) {
    let most = 20_u64 << tries.min(6);
    tokio::time::sleep(Duration::from_millis(rand::random_range(most / 2..=most))).await;
}

fn described(error: &ShipError) -> String {
    let answered = match error {
        ShipError::Store(StoreError::Database(error)) => error.as_db_error(),
        _ => None,
    };
    match answered {
        Some(error) => format!("{} ({})", error.message(), error.code().code()),
        None => Causes(error).to_string(),
    }
}
