//! Salts of cookieless ids: made two days ahead in the database, so that all its proxies know one visitor by one id, and
//! deleted when their day is over for a day.

use std::time::Duration;

use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use super::{Store, StoreError};
use crate::salts::{Salt, Salts, random};

/// How often salts are looked after.
const INTERVAL: Duration = Duration::from_secs(600);
/// How soon again after the database did not answer, or while days are missing.
const SOON: Duration = Duration::from_secs(2);
/// Today, tomorrow and the day after.
const DAYS: usize = 3;

/// The salts that the database has, by days since 1970, after it was looked after them.
pub async fn shared_salts(store: &Store) -> Result<Vec<(u64, Salt)>, StoreError> {
    let Ok(fresh) = [random(), random(), random()].into_iter().collect::<std::io::Result<Vec<Salt>>>() else {
        return Ok(Vec::new());
    };
    let fresh: Vec<&[u8]> = fresh.iter().map(Salt::as_slice).collect();
    let parameters =
        [(&fresh[0] as _, Type::BYTEA), (&fresh[1] as _, Type::BYTEA), (&fresh[2] as _, Type::BYTEA)];
    let client = store.office().await?;
    let rows = client.query_typed(include_str!("sql/cookieless_salts.sql"), &parameters).await?;
    let salt_of = |row: &tokio_postgres::Row| {
        let day = u64::try_from(row.get::<_, i32>("day")).ok()?;
        Some((day, row.get::<_, &[u8]>("salt").try_into().ok()?))
    };
    Ok(rows.iter().filter_map(salt_of).collect())
}

/// Keeps `salts` as the database has them until `shutdown`. While it is away, those of the next two days are there.
pub async fn share_salts(store: Store, salts: Salts, shutdown: CancellationToken) {
    loop {
        // A database that is away is told by the shipper.
        let shared = shared_salts(&store).await.unwrap_or_default();
        salts.share(&shared);
        let pause = if shared.len() < DAYS { SOON } else { INTERVAL };
        if shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}
