//! Tells proxies who is forgotten, and deletes the keys of replacements when nothing is kept any more that needs them.

use std::collections::HashSet;
use std::time::Duration;

use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Store, StoreError};
use crate::erasure::{Forgotten, ForgottenVisitors, IdHash};

/// How often it is looked up who is forgotten.
const INTERVAL: Duration = Duration::from_secs(2);

/// What a look at the list needs.
#[derive(Debug)]
struct Watch {
    store: Store,
    forgotten: Forgotten,
    /// How long after an erasure its key is kept.
    keep: Duration,
    /// The erasures whose visitors are known.
    newest: Option<(Uuid, i64)>,
}

/// Looks until `shutdown`. While the database is away proxies go by what they know.
pub async fn watch_forgotten(
    store: Store,
    forgotten: Forgotten,
    keep: Duration,
    shutdown: CancellationToken,
) {
    let mut watch = Watch { store, forgotten, keep, newest: None };
    loop {
        // A database that is away is told by the shipper.
        if let Err(error) = watch.look().await {
            tracing::debug!(%error, "it cannot be looked up who is forgotten");
        }
        if shutdown.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_none() {
            return;
        }
    }
}

impl Watch {
    async fn look(&mut self) -> Result<(), StoreError> {
        let client = self.store.office().await?;
        let seconds = self.keep.as_secs_f64();
        let keep = [(&seconds as _, Type::FLOAT8)];
        client.query_typed(include_str!("sql/forget_keys.sql"), &keep).await?;
        let rows = client.query_typed(include_str!("sql/newest_forgotten.sql"), &[]).await?;
        let newest = rows.first().map(|row| (row.get("erasure_id"), row.get("forgotten_no")));
        if newest != self.newest {
            let rows = client.query_typed(include_str!("sql/forgotten_visitors.sql"), &[]).await?;
            let hashes: HashSet<IdHash> =
                rows.iter().filter_map(|row| row.get::<_, &[u8]>("id_hash").try_into().ok()).collect();
            self.forgotten.replace(ForgottenVisitors::new(hashes));
            self.newest = newest;
        }
        Ok(())
    }
}
