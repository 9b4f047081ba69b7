//! Lays two years down, and sums them up.

use std::time::Instant;

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls};
use utm_dispatcher::managed::Cluster;
use utm_dispatcher::store::partitions::{self, Month};
use utm_dispatcher::store::{Store, migrate, rollups};

use crate::Arguments;

/// Sessions that one statement lays down.
const PORTION: u64 = 50_000;

/// A history.
pub(crate) struct Laid {
    pub(crate) url: String,
    pub(crate) figures: Value,
}

/// Makes it when it is not there.
pub(crate) async fn lay_down(cluster: &Cluster, arguments: &Arguments) -> anyhow::Result<Laid> {
    let url = cluster.superuser_url("history");
    let maintenance = connect(&cluster.superuser_url("postgres")).await?;
    let made = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = 'history')";
    let begun = Instant::now();
    if !maintenance.query_one(made, &[]).await?.get::<_, bool>(0) {
        maintenance.batch_execute("DROP DATABASE IF EXISTS laying").await?;
        maintenance.batch_execute("CREATE DATABASE laying").await?;
        fill(&cluster.superuser_url("laying"), arguments).await?;
        // By its name the next run knows that it is whole.
        maintenance.batch_execute("ALTER DATABASE laying RENAME TO history").await?;
    }
    migrate::migrate(&Store::new(&url)?).await?;
    sum_up(&url).await?;
    let sizes = "SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM events), (SELECT count(*) FROM orders),
                        (SELECT count(*) FROM visitors), pg_database_size(current_database())";
    let row = connect(&url).await?.query_one(sizes, &[]).await?;
    let [sessions, events, orders, visitors, bytes] = [0, 1, 2, 3, 4].map(|column| row.get::<_, i64>(column));
    println!(
        "{sessions} sessions, {events} page views and actions, {orders} orders, {visitors} visitors: {:.2} GB",
        bytes as f64 / 1e9
    );
    let figures = json!({"sessions": sessions, "events": events, "orders": orders, "visitors": visitors, "bytes": bytes,
                         "laid_down_in_s": begun.elapsed().as_secs()});
    Ok(Laid { url, figures })
}

async fn fill(url: &str, arguments: &Arguments) -> anyhow::Result<()> {
    println!("laying down {} sessions; 10 million take some minutes", arguments.sessions);
    let store = Store::new(url)?;
    migrate::migrate(&store).await?;
    let now = Timestamp::now();
    let months =
        (0..=27).filter_map(|month| Month::of(now - SignedDuration::from_hours((month - 1) * 684))).collect();
    partitions::ensure(&mut store.office().await?, &months).await?;
    connect(url).await?.batch_execute(include_str!("dictionaries.sql")).await?;
    let begun = Instant::now();
    let writers = (0..arguments.writers).map(|writer| {
        let (url, arguments) = (url.to_owned(), arguments.clone());
        tokio::spawn(async move {
            let client = connect(&url).await?;
            client
                .batch_execute(&format!(
                    "SET history.sessions = {}; SET history.now = '{now}'",
                    arguments.sessions
                ))
                .await?;
            let portions = (0..arguments.sessions).step_by(PORTION as usize);
            for from in portions.skip(writer as usize).step_by(arguments.writers as usize) {
                let to = (from + PORTION).min(arguments.sessions);
                client
                    .batch_execute(&format!("SET history.first = {from}; SET history.after = {to}"))
                    .await?;
                client.batch_execute(include_str!("facts.sql")).await?;
            }
            anyhow::Ok(())
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await??;
    }
    println!("laid down in {:?}", begun.elapsed());
    let client = connect(url).await?;
    // Nobody of them behaves otherwise than the column says.
    for statement in ["TRUNCATE unjudged_hours", "VACUUM ANALYZE"] {
        client.batch_execute(statement).await?;
    }
    Ok(())
}

/// As the program does it, hour by hour.
async fn sum_up(url: &str) -> anyhow::Result<()> {
    let (store, client) = (Store::new(url)?, connect(url).await?);
    let begun = Instant::now();
    let (mut hours, mut days) = (0, 0);
    loop {
        let done = rollups::refresh(&store, Timestamp::now()).await?.context("a lock that nobody holds")?;
        (hours, days) = (hours + done.hours, days + done.order_days);
        if (done.hours, done.order_days) == (0, 0) {
            break;
        }
    }
    if hours + days > 0 {
        for statement in [
            "VACUUM ANALYZE session_days",
            "VACUUM ANALYZE session_quarters",
            "VACUUM ANALYZE order_columns",
            "VACUUM dirty_hours",
            "VACUUM dirty_order_days",
        ] {
            client.batch_execute(statement).await?;
        }
        println!("{hours} hours summed up in {:?}", begun.elapsed());
    }
    Ok(())
}

/// A connection of its own.
pub(crate) async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
