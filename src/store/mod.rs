//! What is in Postgres: connections, schema, partitions.
//!
//! Everything here works through a pooler in transaction mode: no named statement, no session setting, no session
//! lock. Statements go as one unnamed parse–bind–execute; settings and locks are those of a transaction.

pub mod connect;
pub mod identity_keys;
pub mod locks;
pub mod migrate;
pub mod partitions;

pub use connect::Store;

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
    /// A migration failed; those before it stand.
    #[error("migration failed: {0}")]
    Migration(#[from] refinery::Error),
}
