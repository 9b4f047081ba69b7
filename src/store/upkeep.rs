//! What the office does to the database in turn, from every proxy alike: partitions ahead of need, then retention.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{Store, StoreError, partitions, retention};
use crate::config::{Config, Live};
use crate::telemetry::causes::Causes;
use crate::telemetry::metrics::Metrics;

/// How often all of it is looked at; and again what did not succeed.
const INTERVAL: Duration = Duration::from_secs(3600);
const RETRY: Duration = Duration::from_secs(60);

/// Takes care now and hourly, until `shutdown`. A batch that finds a partition missing makes it itself.
pub async fn keep(store: Store, config: Live<Config>, metrics: Arc<Metrics>, shutdown: CancellationToken) {
    loop {
        let now = Timestamp::now();
        let retain = config.now().tracking.privacy.retain;
        let ahead = partitions::ahead(&store, now).await;
        let made =
            is_done(ahead.map(|()| true), "partitions could not be made ahead; tried again in a minute");
        let passed = retention::pass(&store, retain, now, &metrics).await;
        let kept = is_done(passed, "what is too old could not be deleted; tried again in a minute");
        let pause = if made && kept { INTERVAL } else { RETRY };
        if shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

fn is_done(outcome: Result<bool, StoreError>, problem: &'static str) -> bool {
    match outcome {
        Ok(is_done) => is_done,
        // Somebody uses the table; that goes by.
        Err(error) if error.is_in_the_way() => false,
        Err(error) => {
            tracing::warn!(error = %Causes(&error), "{problem}");
            false
        }
    }
}
