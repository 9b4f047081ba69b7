//! The demonstration's database: a private Postgres, or a new database on the server that `DATABASE_URL` names. Gone
//! at the end in both cases; what else is on that server is not touched.

use anyhow::Context;
use tokio_postgres::{Client, NoTls};

use super::state::StateDir;
use crate::managed::{Cluster, Settings};

/// An empty database.
#[derive(Debug)]
pub(super) struct Database {
    /// As `database.url` has it.
    pub(super) url: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Private(Box<Cluster>),
    OnServer { server_url: String, name: String },
}

impl Database {
    pub(super) async fn open(state: &StateDir) -> anyhow::Result<Self> {
        if let Ok(server_url) = std::env::var("DATABASE_URL")
            && !server_url.is_empty()
        {
            return Self::on_server(server_url, state.word()).await;
        }
        let settings = Settings { disposable: true, ..Settings::default() };
        let mut cluster = Cluster::open_in(&state.database_home(), settings)?;
        cluster.start().await?;
        Ok(Self { url: cluster.url(), place: Place::Private(Box::new(cluster)) })
    }

    async fn on_server(server_url: String, name: String) -> anyhow::Result<Self> {
        let url = with_database(&server_url, &name).context("DATABASE_URL is no postgres:// URL")?;
        let client = connect(&server_url).await?;
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.context("creating a database")?;
        Ok(Self { url, place: Place::OnServer { server_url, name } })
    }

    pub(super) async fn close(&mut self) -> anyhow::Result<()> {
        match &mut self.place {
            Place::Private(cluster) => Ok(cluster.stop().await?),
            Place::OnServer { server_url, name } => {
                let dropped = format!("DROP DATABASE {name} WITH (FORCE)");
                connect(server_url).await?.batch_execute(&dropped).await.context("dropping the database")
            }
        }
    }
}

async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.context("connecting to DATABASE_URL")?;
    tokio::spawn(connection);
    Ok(client)
}

/// The same server, another database.
fn with_database(url: &str, name: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = place.split('/').next()?;
    Some(format!("{scheme}://{authority}/{name}?{parameters}"))
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn only_the_database_of_a_url_is_replaced() {
        let other = |url| with_database(url, "x");
        assert_eq!(other("postgres://u:p@h:1/db?a=b").as_deref(), Some("postgres://u:p@h:1/x?a=b"));
        assert_eq!(other("postgres://h").as_deref(), Some("postgres://h/x?"));
        assert_eq!(other("host=h dbname=db"), None);
    }
}
