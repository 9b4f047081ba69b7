//! Interleaved rounds: a journal by the shipper, then bare `COPY` of the rows that it became into the other database.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use utm_dispatcher::store::Store;

use crate::Arguments;
use crate::cluster::{Databases, own_cpu_seconds, sizes};
use crate::mix::{VIEWS_A_SESSION, Window};
use crate::shipping::{Shipping, leave_journal};

/// Each table with the rows of a window of time, from $1 to $2.
const TABLES: [(&str, &str); 8] = [
    ("visitors", "first_seen"),
    ("sessions", "session_hour"),
    ("session_cookies", "session_hour"),
    ("touches", "session_hour"),
    ("product_views", "session_hour"),
    ("events", "at"),
    ("order_entries", "at"),
    ("orders", "placed_at"),
];

/// What a piece of work took.
struct Took {
    seconds: f64,
    server_cpu: f64,
    own_cpu: f64,
}

/// Measures, prints a table and answers its figures.
pub(crate) async fn measure(databases: &Databases, arguments: &Arguments) -> anyhow::Result<Value> {
    let known = databases.visitors(arguments.views).await?;
    let mut rounds = Vec::new();
    println!(
        "\n{:>6} {:>12} {:>12} {:>6} {:>22} {:>22} {:>6}",
        "round", "shipped/s", "COPY/s", "ratio", "CPU µs/view shipped", "CPU µs/view by COPY", "ratio"
    );
    // The first round is not counted: it reads the tables of user agents and warms the caches.
    let mut before = BTreeMap::new();
    for number in 0..=arguments.rounds {
        if number == 1 {
            before = sizes(&databases.shipped.office().await?).await?;
        }
        let sessions = arguments.views / VIEWS_A_SESSION;
        let begin_ms = databases.next_hour_ms().await?;
        let window = Window { begin_ms, sessions, mix: arguments.mix, known: &known };
        databases.make_room(begin_ms, window.end_ms()).await?;
        let shipped = ship(databases, &window).await?;
        let copied = copy(databases, &window).await?;
        if number == 0 {
            continue;
        }
        let views = (sessions * VIEWS_A_SESSION) as f64;
        let micros = |seconds: f64| seconds * 1e6 / views;
        let cpu = shipped.server_cpu + shipped.own_cpu;
        println!(
            "{number:>6} {:>12.0} {:>12.0} {:>6.2} {:>10.1} ({:>4.1} own) {:>22.1} {:>6.2}",
            views / shipped.seconds,
            views / copied.seconds,
            copied.seconds / shipped.seconds,
            micros(cpu),
            micros(shipped.own_cpu),
            micros(copied.server_cpu),
            copied.server_cpu / cpu
        );
        rounds.push(json!({
            "shipped_a_second": views / shipped.seconds, "copied_a_second": views / copied.seconds,
            "ratio": copied.seconds / shipped.seconds, "shipped_server_cpu_us": micros(shipped.server_cpu),
            "shipped_own_cpu_us": micros(shipped.own_cpu), "copied_server_cpu_us": micros(copied.server_cpu),
            "cpu_ratio": copied.server_cpu / cpu,
        }));
    }
    let after = sizes(&databases.shipped.office().await?).await?;
    let views = (arguments.views / VIEWS_A_SESSION * VIEWS_A_SESSION * u64::from(arguments.rounds)) as f64;
    let bytes = bytes_a_view(&before, &after, views);
    println!();
    let total = print_bytes(&bytes);
    let medians: Value = ["shipped_a_second", "copied_a_second", "ratio", "cpu_ratio"]
        .map(|name| (name.to_owned(), json!(median(&rounds, name))))
        .into_iter()
        .collect::<serde_json::Map<_, _>>()
        .into();
    println!("medians: {medians}");
    Ok(json!({"rounds": rounds, "medians": medians, "bytes_a_view": bytes, "total_bytes_a_view": total}))
}

async fn ship(databases: &Databases, window: &Window<'_>) -> anyhow::Result<Took> {
    let journals = tempfile::tempdir()?;
    leave_journal(journals.path(), window.hits())?;
    let records = window.sessions * VIEWS_A_SESSION;
    checkpoint(&databases.shipped).await?;
    let (server, own, begun) = (databases.cpu_seconds()?, own_cpu_seconds(), Instant::now());
    let shipping = Shipping::start(journals.path(), databases.shipped.clone())?;
    while shipping.metrics.records_shipped.get() < records {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let took = Took {
        seconds: begun.elapsed().as_secs_f64(),
        server_cpu: databases.cpu_seconds()? - server,
        own_cpu: own_cpu_seconds() - own,
    };
    shipping.end().await?;
    Ok(took)
}

async fn copy(databases: &Databases, window: &Window<'_>) -> anyhow::Result<Took> {
    let moment = |ms: u64| anyhow::Ok(jiff::Timestamp::from_millisecond(i64::try_from(ms)?)?);
    let (from, to) = (moment(window.begin_ms)?, moment(window.end_ms())?);
    let client = databases.shipped.office().await?;
    let mut rows: Vec<(&str, Vec<Bytes>)> = Vec::new();
    for (table, time) in TABLES {
        let statement = format!(
            "COPY (SELECT * FROM {table} WHERE {time} >= '{from}' AND {time} < '{to}') TO STDOUT (FORMAT binary)"
        );
        let chunks = client.copy_out(statement.as_str()).await?;
        rows.push((
            table,
            pin!(chunks)
                .map(|chunk| chunk.map_err(anyhow::Error::from))
                .collect::<Vec<_>>()
                .await
                .into_iter()
                .collect::<anyhow::Result<_>>()?,
        ));
    }
    // Chunks of a row each would measure the client.
    let rows: Vec<(&str, Vec<Bytes>)> = rows
        .into_iter()
        .map(|(table, chunks)| (table, chunks.concat().chunks(65_536).map(Bytes::copy_from_slice).collect()))
        .collect();
    checkpoint(&databases.copied).await?;
    let client = databases.copied.office().await?;
    let (server, begun) = (databases.cpu_seconds()?, Instant::now());
    for (table, chunks) in rows {
        let sink = client.copy_in(format!("COPY {table} FROM STDIN (FORMAT binary)").as_str()).await?;
        let mut sink = pin!(sink);
        for chunk in chunks {
            sink.feed(chunk).await?;
        }
        sink.finish().await?;
    }
    Ok(Took {
        seconds: begun.elapsed().as_secs_f64(),
        server_cpu: databases.cpu_seconds()? - server,
        own_cpu: 0.0,
    })
}

/// Both kinds of work begin just behind a checkpoint: whole pages go to the log in both.
async fn checkpoint(store: &Store) -> anyhow::Result<()> {
    Ok(store.office().await?.batch_execute("CHECKPOINT").await?)
}

/// Answers their sum.
pub(crate) fn print_bytes(bytes: &BTreeMap<String, f64>) -> f64 {
    let total = bytes.values().sum();
    println!("bytes a page view, tables and indexes, nothing vacuumed by hand: {total:.0}");
    for (name, bytes) in bytes {
        println!("{bytes:>8.1}  {name}");
    }
    total
}

pub(crate) fn bytes_a_view(
    before: &BTreeMap<String, i64>,
    after: &BTreeMap<String, i64>,
    views: f64,
) -> BTreeMap<String, f64> {
    after
        .iter()
        .map(|(name, bytes)| (name.clone(), (bytes - before.get(name).unwrap_or(&0)) as f64 / views))
        .filter(|(_, bytes)| *bytes >= 0.05)
        .collect()
}

fn median(rounds: &[Value], name: &str) -> f64 {
    let mut values: Vec<f64> = rounds.iter().filter_map(|round| round[name].as_f64()).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
