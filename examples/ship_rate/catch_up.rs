//! An hour's backlog of an earlier run is caught up by a process of its own, while that has new hits and reports ask.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::oneshot;
use utm_dispatcher::clock::unix_ms;
use utm_dispatcher::journal::frame::{FORMAT, append};
use utm_dispatcher::journal::writer::Batch;
use utm_dispatcher::store::Store;
use uuid::Uuid;

use crate::Arguments;
use crate::cluster::Databases;
use crate::mix::{Mix, VIEWS_A_SESSION, Window};
use crate::shipping::{Shipping, leave_journal};

/// What somebody asks meanwhile.
const REPORT: &str = "SELECT source, count(*), sum(page_views) FROM session_facts
    WHERE started_at >= '2026-11-21T10:00Z' AND session_hour >= '2026-11-19T10:00Z' AND started_at < '2026-11-22T10:00Z'
      AND session_hour < '2026-11-22T10:00Z' GROUP BY source";
const CALM_REPORTS: usize = 10;

/// Measures, prints and answers the figures.
pub(crate) async fn measure(databases: &Databases, arguments: &Arguments) -> anyhow::Result<Value> {
    let known = databases.visitors(arguments.backlog).await?;
    let begin_ms = databases.next_hour_ms().await?;
    let sessions = arguments.backlog / VIEWS_A_SESSION;
    let window = Window { begin_ms, sessions, mix: arguments.mix, known: &known };
    databases.make_room(begin_ms, window.end_ms()).await?;
    databases.make_room(unix_ms(), unix_ms()).await?;
    let journals = tempfile::tempdir()?;
    let backlog = leave_journal(journals.path(), window.hits())?;
    println!(
        "\ncatching up {} page views, {} new hits a second beside it",
        arguments.backlog, arguments.new_hits
    );
    let client = databases.shipped.office().await?;
    let mut calm = Vec::new();
    for _ in 0..CALM_REPORTS {
        calm.push(report(&client).await?);
    }
    let mut child = Command::new(std::env::current_exe()?)
        .arg("--ship-from")
        .arg(journals.path())
        .arg("--url")
        .arg(databases.shipped_url())
        .arg("--new-hits")
        .arg(arguments.new_hits.to_string())
        .stdin(Stdio::piped())
        .spawn()?;
    let begun = Instant::now();
    let records = i64::try_from(sessions * VIEWS_A_SESSION)?;
    let (mut busy, mut ages, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    let drained = loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        busy.push(report(&client).await?);
        let (shipped, new) = standing(&client, backlog).await?;
        // The new hits come at an even pace: so many ago the newest that is there was made.
        ages.push(begun.elapsed().as_secs_f64() - new as f64 / arguments.new_hits as f64);
        memory.extend(anonymous_mib(child.id()));
        if shipped >= records {
            break begun.elapsed().as_secs_f64();
        }
        anyhow::ensure!(
            begun.elapsed() < Duration::from_secs(900),
            "not caught up within a quarter of an hour"
        );
    };
    drop(child.stdin.take());
    child.wait()?;
    let figures = json!({
        "drained_a_second": records as f64 / drained, "seconds": drained,
        "newest_new_hit_age_s": {"median": at(&mut ages, 0.5), "p90": at(&mut ages, 0.9), "greatest": at(&mut ages, 1.0)},
        "anonymous_mib": {"median": at(&mut memory, 0.5), "greatest": at(&mut memory, 1.0)},
        "report_ms": {"calm": at(&mut calm, 0.5), "meanwhile": at(&mut busy, 0.5), "meanwhile_p90": at(&mut busy, 0.9)},
    });
    println!("{}", serde_json::to_string_pretty(&figures)?);
    Ok(figures)
}

/// How many records of the backlog are shipped, and how many of the journal that came after it.
async fn standing(client: &deadpool_postgres::Client, backlog: Uuid) -> anyhow::Result<(i64, i64)> {
    let sql = "SELECT coalesce(sum(hits) FILTER (WHERE journal = $1), 0)::bigint,
                      coalesce(sum(hits) FILTER (WHERE journal > $1), 0)::bigint FROM journal_checkpoint";
    let row = client.query_one(sql, &[&backlog]).await?;
    Ok((row.get(0), row.get(1)))
}

/// Milliseconds that the report takes.
async fn report(client: &deadpool_postgres::Client) -> anyhow::Result<f64> {
    let begun = Instant::now();
    client.query(REPORT, &[]).await?;
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

fn anonymous_mib(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? / 1024.0)
}

/// The value at a share of the sorted values.
fn at(values: &mut [f64], share: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let index = ((values.len().max(1) - 1) as f64 * share).round();
    values.get(index as usize).copied()
}

/// The process that catches up: ships, and has new hits of its own.
pub(crate) async fn ship_until_input_ends(
    journals: &Path,
    url: &str,
    new_hits: u64,
    mix: Mix,
) -> anyhow::Result<()> {
    let shipping = Shipping::start(journals, Store::new(url)?)?;
    let (ended, mut ends) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read(&mut [0]);
        let _ = ended.send(());
    });
    let window = Window { begin_ms: unix_ms(), sessions: 0, mix, known: &[] };
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    let mut number = 0;
    loop {
        tokio::select! {
            _ = &mut ends => break,
            _ = ticks.tick() => {
                let mut frames = Vec::new();
                for _ in 0..new_hits / 20 {
                    append(&window.hit(number, 0, unix_ms()), &mut frames)?;
                    number += 1;
                }
                let (ack, _) = oneshot::channel();
                shipping.batches.send(Batch { frames, durable: false, format: FORMAT, ack })?;
            }
        }
    }
    shipping.end().await
}
