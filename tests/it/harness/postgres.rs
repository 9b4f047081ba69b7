//! A fresh database for each test, dropped at its end. `DATABASE_URL` names a server on which one may be made.

use std::time::Duration;

use tokio_postgres::{Client, NoTls};
use utm_dispatcher::store::{Store, migrate};

/// A database of its own.
pub(crate) struct Database {
    /// Where it is.
    pub(crate) url: String,
    name: String,
    server: String,
}

/// Makes one.
pub(crate) async fn database() -> Database {
    let database = empty_database().await;
    migrate::migrate(&database.store()).await.unwrap();
    database
}

/// Makes one without the schema.
pub(crate) async fn empty_database() -> Database {
    let server = std::env::var("DATABASE_URL")
        .unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/postgres".to_owned());
    let name = format!("test_{}", uuid::Uuid::now_v7().simple());
    connect(&server).await.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    let (base, query) = server.split_once('?').map_or((server.as_str(), ""), |(base, query)| (base, query));
    let host =
        base.rfind('/').filter(|&slash| slash > "postgres://".len()).map_or(base, |slash| &base[..slash]);
    let query = if query.is_empty() { String::new() } else { format!("?{query}") };
    Database { url: format!("{host}/{name}{query}"), name, server }
}

impl Database {
    pub(crate) fn store(&self) -> Store {
        Store::new(&self.url, 2, Duration::from_secs(30)).unwrap()
    }

    pub(crate) async fn client(&self) -> Client {
        connect(&self.url).await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let sql = format!("DROP DATABASE {name} WITH (FORCE)");
                connect(&server).await.batch_execute(&sql).await
            })
        });
        if let Ok(Err(error)) = dropped.join() {
            eprintln!("test database stays: {error}");
        }
    }
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
