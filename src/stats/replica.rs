//! How fresh the answers are: what the database that answers has, which may be a replica that follows the one written.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::stats::database::{DatabaseError, ReportDatabase};
use crate::telemetry::metrics::Metrics;

/// How often the replica is looked at while nobody asks.
const INTERVAL: Duration = Duration::from_secs(5);
/// A lag that readers are told.
const NOTABLE: Duration = Duration::from_secs(5);

/// How far the data reaches that an answer was read from.
#[derive(Debug, Clone, Copy)]
pub struct Freshness {
    /// Time of the newest record; none when there is none.
    pub data_through: Option<Timestamp>,
    /// How far the database is behind the one it follows.
    pub lag: Lag,
    /// Since when sessions are kept; none while all are.
    pub sessions_since: Option<Timestamp>,
    /// Since when clicks and actions are kept; none while all are.
    pub clicks_since: Option<Timestamp>,
}

/// How far a replica is behind; nothing for a database that follows none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag(Option<Duration>);

impl Lag {
    /// Of what the database says.
    pub fn of_seconds(seconds: Option<f64>) -> Self {
        Lag(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()))
    }

    /// Whole seconds.
    pub fn seconds(self) -> u64 {
        self.0.map_or(0, |lag| lag.as_secs())
    }

    /// What a reader must know of it.
    pub fn warning(self) -> Option<String> {
        let lag = self.0.filter(|lag| *lag >= NOTABLE)?;
        Some(format!("read from a replica that is {} seconds behind", lag.as_secs()))
    }
}

/// Looks until `shutdown` whether the replica answers, and how far it is behind the one that is written; reports are
/// read from the first of the two.
pub async fn watch_replica(
    (reports, written): (ReportDatabase, ReportDatabase),
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) {
    loop {
        let looked = look(&reports, &written).await;
        if let Ok(lag) = looked {
            metrics.replica_lag_seconds.set(i64::try_from(lag.seconds()).unwrap_or(i64::MAX));
        }
        let is_away = matches!(looked, Err(DatabaseError::Away | DatabaseError::Failed));
        if metrics.state.replica_away.swap(is_away, Ordering::Relaxed) != is_away {
            if is_away {
                tracing::warn!("the replica of stats.database_url does not answer; neither do reports");
            } else {
                tracing::info!("the replica of stats.database_url answers again");
            }
        }
        if shutdown.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_none() {
            return;
        }
    }
}

async fn look(reports: &ReportDatabase, written: &ReportDatabase) -> Result<Lag, DatabaseError> {
    // Before the replica: what is written meanwhile it may have already.
    let through = match written.snapshot().await {
        Ok(snapshot) => snapshot.conclude().await.ok().and_then(|written| written.data_through),
        Err(_) => None,
    };
    let read = reports.snapshot().await?.conclude().await?;
    // One that was promoted follows nobody, and stands still.
    let lacks = through.map(|through| match read.data_through {
        Some(reached) => Duration::try_from(through.duration_since(reached)).unwrap_or_default(),
        None => NOTABLE,
    });
    reports.note_strayed(lacks.filter(|lacks| *lacks >= NOTABLE).map_or(0, |lacks| lacks.as_secs()));
    Ok(read.lag)
}
