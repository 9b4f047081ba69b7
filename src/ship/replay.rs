//! Brings records that were set aside to the database again, each once.
//!
//! Rule: a record is shipped as the one record of a journal whose id follows from its row of `quarantine`. So one that was
//! stored, and whose row is still there since nobody came to delete it, is known by that journal's checkpoint.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::batch::{Batch, Located, Stretch};
use super::shipper::{ShipError, ShipSettings, Shipper};
use crate::journal::Position;
use crate::store::{Store, locks};

/// Rows looked at together.
const ROWS: i64 = 100;
/// Where a journal of one record ends.
const END: Position = Position { segment: 0, offset: 1 };

/// What became of records that were set aside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    /// They are where they belong.
    pub stored: u64,
    /// They cannot be stored; `quarantine` has the reason of now.
    pub refused: u64,
    /// They are of a time that is not kept any more, and gone.
    pub past_retention: u64,
}

/// Why it was not tried, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Two at once would try the same records.
    #[error("another one brings them back now")]
    Busy,
    /// Those before are done.
    #[error(transparent)]
    Ship(#[from] ShipError),
}

/// Tries each record once that is in `quarantine` now. After an error those before it are done.
pub async fn replay(store: &Store, settings: ShipSettings) -> Result<Replayed, ReplayError> {
    let mut client = store.office().await.map_err(ShipError::from)?;
    let transaction = client.transaction().await.map_err(ShipError::from)?;
    let number = [(&locks::REPLAY as _, Type::INT8)];
    let sql = include_str!("sql/lock_replay.sql");
    let row = transaction.query_typed_one(sql, &number).await.map_err(ShipError::from)?;
    if !row.get::<_, bool>("taken") {
        return Err(ReplayError::Busy);
    }
    // The lock is the transaction's, which has nothing else to do.
    let replayed = try_each(store, settings).await?;
    transaction.commit().await.map_err(ShipError::from)?;
    Ok(replayed)
}

async fn try_each(store: &Store, settings: ShipSettings) -> Result<Replayed, ShipError> {
    let mut shipper = Shipper::new(store.clone(), settings);
    let mut replayed = Replayed::default();
    let mut after = 0_i64;
    let newest: i64 = store
        .office()
        .await?
        .query_typed_one(include_str!("sql/quarantine_newest.sql"), &[])
        .await?
        .get("id");
    loop {
        let bounds = [(&after as _, Type::INT8), (&newest as _, Type::INT8), (&ROWS as _, Type::INT8)];
        let rows =
            store.office().await?.query_typed(include_str!("sql/quarantine_rows.sql"), &bounds).await?;
        let Some(last) = rows.last() else { return Ok(replayed) };
        after = last.get("quarantine_id");
        for row in rows {
            let id: i64 = row.get("quarantine_id");
            let journal = journal_of(id);
            let stands = shipper.checkpoints(&[journal]).await?.get(&journal).copied().unwrap_or_default();
            let mut past_retention = 0;
            if stands != END {
                let payload = Bytes::from(row.get::<_, Vec<u8>>("payload"));
                let records = vec![Located { position: stands, payload }];
                let alone = Stretch { journal, expected: stands, next: END, records, damaged: Vec::new() };
                past_retention = shipper.ship(Batch::new(vec![alone])).await?.past_retention;
            }
            let done = [(&id as _, Type::INT8), (&journal as _, Type::UUID)];
            let client = store.office().await?;
            let row = client.query_typed_one(include_str!("sql/quarantine_done.sql"), &done).await?;
            match (row.get("refused"), past_retention) {
                (true, _) => replayed.refused += 1,
                (false, 0) => replayed.stored += 1,
                (false, _) => replayed.past_retention += 1,
            }
        }
    }
}

fn journal_of(quarantine_id: i64) -> Uuid {
    let digest =
        Sha256::new().chain_update(b"quarantine").chain_update(quarantine_id.to_be_bytes()).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Uuid::new_v8(bytes)
}
