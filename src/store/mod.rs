//! What is in Postgres: connections, schema, partitions, rollups, retention.
//!
//! Everything here works through a pooler in transaction mode: no named statement, no session setting, no session
//! lock. Statements go as one unnamed parse–bind–execute; settings and locks are those of a transaction.

pub mod columns;
pub mod connect;
pub mod forgotten;
pub mod identity_keys;
pub mod judge;
pub mod locks;
pub mod migrate;
pub mod order_columns;
mod order_positions;
mod order_shares;
pub mod partitions;
pub mod retention;
pub mod rollups;
pub mod salts;
pub mod upkeep;

pub use connect::Store;

use deadpool_postgres::PoolError;
use tokio_postgres::error::{DbError, SqlState};

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database URL cannot be understood.
    #[error("the database URL is not valid: {0}")]
    Url(#[source] tokio_postgres::Error),
    /// The pool could not be built.
    #[error("the connection pool cannot be built: {0}")]
    Build(#[from] deadpool_postgres::BuildError),
    /// No connection could be had.
    #[error("no connection to the database: {0}")]
    Connection(#[from] deadpool_postgres::PoolError),
    /// A statement failed.
    #[error("the database refused a statement: {0}")]
    Database(#[from] tokio_postgres::Error),
    /// What it gave cannot be read.
    #[error(transparent)]
    Damaged(#[from] columns::Damaged),
    /// A migration failed; those before it stand.
    #[error("migration {name} failed: {source}")]
    Migration {
        /// Its version and name.
        name: String,
        /// What the database said.
        source: tokio_postgres::Error,
    },
}

impl StoreError {
    /// What the database itself said, if it answered.
    fn answer(&self) -> Option<&DbError> {
        match self {
            StoreError::Connection(PoolError::Backend(error))
            | StoreError::Database(error)
            | StoreError::Migration { source: error, .. } => error.as_db_error(),
            StoreError::Url(_)
            | StoreError::Build(_)
            | StoreError::Connection(_)
            | StoreError::Damaged(_) => None,
        }
    }

    /// The code of what the database said.
    pub fn code(&self) -> Option<&SqlState> {
        self.answer().map(DbError::code)
    }

    /// What keeps us from shipping although the database answers, and stays so until somebody changes it; none when it
    /// is away, or comes and goes.
    pub fn refusal(&self) -> Option<String> {
        if let StoreError::Migration { name, .. } = self
            && self.is_in_the_way()
        {
            return Some(format!(
                "schema: migration {name} waits for a transaction that uses its tables; it is tried again until that ends"
            ));
        }
        let answer = self.answer()?;
        let said = format!("{} ({})", answer.message(), answer.code().code());
        match answer.code().code().get(..2)? {
            "28" | "3D" => Some(format!("database: it does not let this program in: {said}")),
            "53" => Some(format!("database: it has not what it needs: {said}")),
            // The statements themselves have letters that it cannot have.
            _ if *answer.code() == SqlState::UNTRANSLATABLE_CHARACTER => Some(format!(
                "database: its encoding must be UTF8 (CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8'): {said}"
            )),
            _ if *answer.code() == SqlState::READ_ONLY_SQL_TRANSACTION => {
                Some(format!("database: it is one to be read only, as a standby: {said}"))
            }
            _ if *answer.code() == SqlState::INSUFFICIENT_PRIVILEGE => Some(format!(
                "rights: the role of database.url has not the rights it needs: {said}; the owner of the tables gives them \
                 by `migrate --writer ROLE`"
            )),
            _ => None,
        }
    }
}
