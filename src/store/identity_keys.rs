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

/// Notes the fingerprint of the key that this proxy signs with, the first; says whether another proxy signs with one
/// that is not among them, whose cookies mean nothing here.
pub async fn note_key(store: &Store, fingerprints: &[[u8; 8]]) -> Result<bool, StoreError> {
    let client = store.office().await?;
    let fingerprints: Vec<&[u8]> = fingerprints.iter().map(<[u8; 8]>::as_slice).collect();
    let parameters = [(&fingerprints as _, Type::BYTEA_ARRAY)];
    Ok(client.query_typed_one(include_str!("sql/note_key.sql"), &parameters).await?.get("differs"))
}

/// Compares until `shutdown`, and says so in the log and by `/readyz` when another key is in use.
pub async fn watch_key(
    store: Store,
    fingerprints: Vec<[u8; 8]>,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) {
    loop {
        // A database that is away is told by the shipper.
        if let Ok(differs) = note_key(&store, &fingerprints).await
            && metrics.state.key_differs.swap(differs, Ordering::Relaxed) != differs
        {
            if differs {
                tracing::error!(
                    "another proxy of this database signs with a key that is not in tracking.identity.secret_file here: \
                     visitors are counted anew whenever they come from the other one; give all proxies the same file"
                );
            } else {
                tracing::info!("all proxies of this database sign with keys that are known here");
            }
        }
        if shutdown.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_none() {
            return;
        }
    }
}
