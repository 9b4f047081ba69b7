//! A fresh database for each test, on the server that `DATABASE_URL` names.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio_postgres::{Client, NoTls};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// An empty database of its own.
pub struct Database {
    /// As `database.url` has it.
    pub url: String,
}

/// A fresh empty database.
pub async fn database() -> Database {
    let server = std::env::var("DATABASE_URL").expect("DATABASE_URL names a server for tests");
    let name = format!("stats_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    connect(&server).await.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    let (place, parameters) = server.split_once('?').unwrap_or((&server, ""));
    let (place, _) = place.rsplit_once('/').unwrap();
    Database { url: format!("{place}/{name}?{parameters}") }
}

impl Database {
    /// A connection to it.
    pub async fn connect(&self) -> Client {
        connect(&self.url).await
    }
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("connecting to Postgres");
    tokio::spawn(connection);
    client
}
