//! Whether all proxies of a database sign with the same key: two with different ones would replace each other's cookies
//! for ever.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use super::{Store, StoreError};
use crate::telemetry::metrics::Metrics;

/// How often the key is compared.
const INTERVAL: Duration = Duration::from_secs(60);

/// Notes the fingerprint of this proxy's key; says whether another key is in use as well.
pub async fn note_key(store: &Store, fingerprint: [u8; 8]) -> Result<bool, StoreError> {
    let client = store.office().await?;
    let fingerprint = fingerprint.as_slice();
    let parameters = [(&fingerprint as _, Type::BYTEA)];
    Ok(client.query_typed_one(include_str!("sql/note_key.sql"), &parameters).await?.get("differs"))
}

/// Compares until `shutdown`, and says so in the log and by `/readyz` when another key is in use.
pub async fn watch_key(
    store: Store,
    fingerprint: [u8; 8],
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) {
    loop {
        // A database that is away is told by the shipper.
        if let Ok(differs) = note_key(&store, fingerprint).await
            && metrics.state.key_differs.swap(differs, Ordering::Relaxed) != differs
        {
            if differs {
                tracing::error!(
                    "another proxy of this database signs with another key: visitors are counted anew whenever they \
                     come to the other one; give all proxies the same tracking.identity.secret_file"
                );
            } else {
                tracing::info!("all proxies of this database sign with the same key");
            }
        }
        if shutdown.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_none() {
            return;
        }
    }
}
