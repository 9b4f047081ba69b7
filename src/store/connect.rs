//! Pools of connections: one for the office and its shipper; reports have their own, so that neither starves the other.
//!
//! Connections are made when first needed: a pool can be built with the database away.

use std::time::Duration;

use deadpool_postgres::{Client, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio_postgres::{Config, NoTls};

use super::StoreError;

/// Longest time for making a connection, and for waiting until one of the pool is free.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The shipper, a partition or migration holding its lock beside it, rollups, retention.
const OFFICE_CONNECTIONS: usize = 6;

/// The database, as the office uses it.
#[derive(Debug, Clone)]
pub struct Store {
    office: Pool,
}

impl Store {
    /// Reads a `postgres://` URL (`?host=/directory` for a Unix socket) or a libpq key-value string; connects to
    /// nothing yet.
    pub fn new(url: &str) -> Result<Self, StoreError> {
        Ok(Store { office: pool(url, OFFICE_CONNECTIONS)? })
    }

    /// A connection.
    pub async fn office(&self) -> Result<Client, StoreError> {
        Ok(self.office.get().await?)
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

/// A pool of at most `size` connections; connects to nothing yet.
pub fn pool(url: &str, size: usize) -> Result<Pool, StoreError> {
    let config = connection_config(url)?;
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
