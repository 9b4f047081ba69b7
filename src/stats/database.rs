//! The stats port's own connections. Each answer is read in one read-only snapshot, so that its parts agree.
//!
//! Statements are sent unnamed: they work through PgBouncer in transaction mode and are planned for the parameters
//! at hand, so that filters which are not given cost nothing. One that is only looked at has a name for so long, within
//! its snapshot's transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deadpool_postgres::{Object, Pool, PoolError, TimeoutType};
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Row, RowStream};

use crate::stats::replica::{Freshness, Lag};
use crate::store::columns::Damaged;
use crate::store::{StoreError, connect};

/// What the database is given beyond the statement timeout to say that it stopped.
const ANSWER_MARGIN: Duration = Duration::from_secs(2);

const BEGIN: &str = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// A parameter of a statement and its type.
pub type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// Why the database gave no answer. What it said itself is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// It cannot be reached, shuts down, or has no schema yet.
    #[error("the database does not answer; numbers are there again when it does")]
    Away,
    /// All connections for reports are in use.
    #[error("other questions are being answered; ask again")]
    Busy,
    /// The statement took longer than `database.statement_timeout`.
    #[error("the question takes too long; ask for a shorter period or fewer filters")]
    TooCostly,
    /// It ended the statement or the connection for another's sake, as a replica does with one that reads what is being
    /// cleaned up. Asked once more, by `src/stats/again.rs`, it most likely answers.
    #[error("the database had to interrupt the question; ask again")]
    Interrupted,
    /// It refused a statement: a fault of this program.
    #[error("the answer could not be computed; the log says why")]
    Failed,
}

/// A pool for reports. Cheap to clone; makes connections when they are needed.
#[derive(Debug, Clone)]
pub struct ReportDatabase {
    pool: Pool,
    statement_timeout: Duration,
    /// Seconds that it lacks of what is written elsewhere, as [`crate::stats::replica::watch_replica`] last saw it.
    strayed: Arc<AtomicU64>,
}

/// One read-only snapshot. [`Snapshot::finish`] gives its connection back; dropping it unfinished closes it.
pub struct Snapshot {
    client: Option<Object>,
    statement_timeout: Duration,
    strayed: Arc<AtomicU64>,
}

impl ReportDatabase {
    /// A pool of at most `connections` to the database at `url`; nothing is connected yet.
    pub fn new(
        url: &str,
        connections: usize,
        statement_timeout: Duration,
    ) -> Result<ReportDatabase, StoreError> {
        let pool = connect::pool(url, connections.max(1))?;
        Ok(ReportDatabase { pool, statement_timeout, strayed: Arc::default() })
    }

    /// Notes how many seconds of what is written elsewhere it lacks, though it follows none.
    pub fn note_strayed(&self, seconds: u64) {
        self.strayed.store(seconds, Ordering::Relaxed);
    }

    /// Changes something, outside of any snapshot: one statement, whole or not at all.
    pub async fn change(
        &self,
        statement: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, DatabaseError> {
        let client = self.client().await?;
        match timeout(self.statement_timeout + ANSWER_MARGIN, client.query_typed(statement, parameters)).await
        {
            Ok(answer) => answer.map_err(DatabaseError::from),
            Err(_) => {
                // It is in the middle of something, and must not be used again.
                drop(Object::take(client));
                Err(DatabaseError::Away)
            }
        }
    }

    /// A connection.
    pub async fn client(&self) -> Result<Object, DatabaseError> {
        self.pool.get().await.map_err(|error| {
            match &error {
                PoolError::Timeout(TimeoutType::Wait) => return DatabaseError::Busy,
                PoolError::Backend(refused) if refused.code().is_some() => {
                    tracing::warn!(error = %chain(refused), "the database refuses a report's connection");
                }
                _ => tracing::debug!(%error, "no connection for a report"),
            }
            DatabaseError::Away
        })
    }

    /// Opens a snapshot.
    pub async fn snapshot(&self) -> Result<Snapshot, DatabaseError> {
        let client = self.client().await?;
        let mut snapshot = Snapshot {
            client: Some(client),
            statement_timeout: self.statement_timeout,
            strayed: Arc::clone(&self.strayed),
        };
        snapshot.in_time(snapshot.connection()?.batch_execute(BEGIN)).await?;
        snapshot.allow(self.statement_timeout).await?;
        Ok(snapshot)
    }
}

impl Snapshot {
    /// Asks one question.
    pub async fn rows(
        &self,
        statement: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, DatabaseError> {
        self.in_time(self.connection()?.query_typed(statement, parameters)).await
    }

    /// Asks a question whose answer is read row by row. Nothing else can be asked meanwhile.
    pub async fn stream(
        &self,
        statement: &str,
        parameters: Vec<Parameter<'_>>,
    ) -> Result<RowStream, DatabaseError> {
        self.in_time(self.connection()?.query_typed_raw(statement, parameters)).await
    }

    /// Names of the columns that a statement answers, whose parameters have these types. It is not run.
    pub async fn columns(&self, statement: &str, types: &[Type]) -> Result<Vec<String>, DatabaseError> {
        let statement = self.in_time(self.connection()?.prepare_typed(statement, types)).await?;
        Ok(statement.columns().iter().map(|column| column.name().to_owned()).collect())
    }

    /// Lets the statements that follow run for so long.
    pub async fn allow(&mut self, time: Duration) -> Result<(), DatabaseError> {
        let milliseconds = time.as_millis().clamp(1, 2_147_483_647).to_string();
        self.rows(include_str!("sql/snapshot_settings.sql"), &[(&milliseconds, Type::TEXT)]).await?;
        self.statement_timeout = time;
        Ok(())
    }

    /// Asks a question that has at most one answer.
    pub async fn row(
        &self,
        statement: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Option<Row>, DatabaseError> {
        Ok(self.rows(statement, parameters).await?.into_iter().next())
    }

    /// Ends a report's snapshot: says how far the data reaches that it was read from, and how far back.
    pub async fn conclude(self) -> Result<Freshness, DatabaseError> {
        let row = self.row(include_str!("sql/freshness.sql"), &[]).await?.ok_or(DatabaseError::Failed)?;
        let strayed = self.strayed.load(Ordering::Relaxed);
        self.finish().await?;
        let lag: Option<f64> = row.try_get("lag")?;
        Ok(Freshness {
            data_through: row.try_get("data_through")?,
            lag: Lag::of_seconds(lag.or((strayed > 0).then_some(strayed as f64))),
            sessions_since: row.try_get("sessions_since")?,
            clicks_since: row.try_get("clicks_since")?,
        })
    }

    /// Ends the snapshot and gives the connection back.
    pub async fn finish(mut self) -> Result<(), DatabaseError> {
        self.in_time(self.connection()?.batch_execute("COMMIT")).await?;
        drop(self.client.take());
        Ok(())
    }

    fn connection(&self) -> Result<&Object, DatabaseError> {
        self.client.as_ref().ok_or(DatabaseError::Failed)
    }

    async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, DatabaseError> {
        match timeout(self.statement_timeout + ANSWER_MARGIN, answer).await {
            Ok(answer) => answer.map_err(DatabaseError::from),
            Err(_) => Err(DatabaseError::Away),
        }
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        // A connection in the middle of something must not be used again.
        if let Some(client) = self.client.take() {
            drop(Object::take(client));
        }
    }
}

impl From<Damaged> for DatabaseError {
    fn from(error: Damaged) -> DatabaseError {
        tracing::error!(%error, "a report could not read what rollups have");
        DatabaseError::Failed
    }
}

impl From<tokio_postgres::Error> for DatabaseError {
    fn from(error: tokio_postgres::Error) -> DatabaseError {
        let Some(code) = error.code() else {
            if error.is_closed()
                || std::error::Error::source(&error).is_some_and(|source| source.is::<std::io::Error>())
            {
                tracing::debug!(%error, "the connection of a report was lost");
                return DatabaseError::Interrupted;
            }
            tracing::error!(error = %chain(&error), "a report could not read the database's answer");
            return DatabaseError::Failed;
        };
        match code {
            code if *code == SqlState::QUERY_CANCELED => DatabaseError::TooCostly,
            code if [
                SqlState::T_R_SERIALIZATION_FAILURE,
                SqlState::T_R_DEADLOCK_DETECTED,
                SqlState::ADMIN_SHUTDOWN,
            ]
            .contains(code) =>
            {
                tracing::debug!(error = %chain(&error), "a report was interrupted");
                DatabaseError::Interrupted
            }
            // Connection lost, shut down or starting, out of resources, no schema yet, no right to it yet.
            code if ["08", "57", "53", "25"].iter().any(|class| code.code().starts_with(class))
                || [
                    SqlState::UNDEFINED_TABLE,
                    SqlState::UNDEFINED_FUNCTION,
                    SqlState::UNDEFINED_COLUMN,
                    SqlState::INVALID_CATALOG_NAME,
                    SqlState::INSUFFICIENT_PRIVILEGE,
                ]
                .contains(code) =>
            {
                tracing::warn!(error = %chain(&error), "the database cannot answer a report now");
                DatabaseError::Away
            }
            _ => {
                tracing::error!(error = %chain(&error), "the database refused a report's statement");
                DatabaseError::Failed
            }
        }
    }
}

/// The database's message and code without the values it may quote.
fn chain(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(database) => format!("{} ({})", database.message(), database.code().code()),
        None => error.to_string(),
    }
}
