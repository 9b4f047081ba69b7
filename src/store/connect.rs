//! Pools of connections: one for the office and its shipper, one for reports, so that neither starves the other.
//!
//! Connections are made when first needed: a [`Store`] can be built with the database away.

use std::time::Duration;

use deadpool_postgres::{Client, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Transaction};
use tokio_postgres::types::Type;
use tokio_postgres::{Config, NoTls};

use super::StoreError;

/// Longest time for making a connection, and for waiting until one of the pool is free.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The shipper, a partition or migration holding its lock beside it, rollups, retention.
const OFFICE_CONNECTIONS: usize = 6;

/// The database.
#[derive(Debug, Clone)]
pub struct Store {
    office: Pool,
    stats: Pool,
    statement_timeout: Duration,
}

impl Store {
    /// Reads a `postgres://` URL (`?host=/directory` for a Unix socket) or a libpq key-value string; connects to
    /// nothing yet. Reports get at most `stats_connections`, each of their statements `statement_timeout`.
    pub fn new(url: &str, stats_connections: usize, statement_timeout: Duration) -> Result<Self, StoreError> {
        let config = connection_config(url)?;
        Ok(Store {
            office: pool(config.clone(), OFFICE_CONNECTIONS)?,
            stats: pool(config, stats_connections.max(1))?,
            statement_timeout,
        })
    }

    /// A connection for the office: shipping, partitions, rollups, retention.
    pub async fn office(&self) -> Result<Client, StoreError> {
        Ok(self.office.get().await?)
    }

    /// A connection for a report; begin it with [`Store::begin_report`].
    pub async fn stats(&self) -> Result<Client, StoreError> {
        Ok(self.stats.get().await?)
    }

    /// Begins the read-only transaction of a report: one snapshot for all its statements, each of which ends after
    /// the statement timeout.
    pub async fn begin_report<'a>(&self, client: &'a mut Client) -> Result<Transaction<'a>, StoreError> {
        let transaction = client
            .build_transaction()
            .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
            .read_only(true)
            .start()
            .await?;
        let milliseconds = self.statement_timeout.as_millis().to_string();
        transaction
            .query_typed(include_str!("sql/set_statement_timeout.sql"), &[(&milliseconds, Type::TEXT)])
            .await?;
        Ok(transaction)
    }
}

/// Dead peers are noticed in about a minute: by keepalive when idle, by the user timeout when data is under way.
fn connection_config(url: &str) -> Result<Config, StoreError> {
    let mut config: Config = url.parse().map_err(StoreError::Url)?;
    if config.get_application_name().is_none() {
        config.application_name("utm-dispatcher");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    config
        .keepalives(true)
        .keepalives_idle(Duration::from_secs(30))
        .keepalives_interval(Duration::from_secs(10))
        .keepalives_retries(3)
        .tcp_user_timeout(Duration::from_secs(60));
    Ok(config)
}

fn pool(config: Config, size: usize) -> Result<Pool, StoreError> {
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    Ok(Pool::builder(Manager::from_config(config, NoTls, recycling))
        .max_size(size)
        .runtime(Runtime::Tokio1)
        .create_timeout(Some(CONNECT_TIMEOUT))
        .wait_timeout(Some(CONNECT_TIMEOUT))
        .recycle_timeout(Some(CONNECT_TIMEOUT))
        .build()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_postgres::config::Host;

    #[test]
    fn a_unix_socket_may_be_named_by_the_query() {
        let config = connection_config("postgres://utm@/shop?host=/run/pg&port=5433").unwrap();
        assert_eq!(config.get_hosts(), [Host::Unix("/run/pg".into())]);
        assert_eq!(config.get_ports(), [5433]);
        assert_eq!(config.get_dbname(), Some("shop"));
    }

    #[test]
    fn a_wrong_url_is_refused() {
        assert!(matches!(connection_config("postgres://[::"), Err(StoreError::Url(_))));
    }
}
