//! Retention: what is older than `tracking.privacy.retain` says goes, facts by whole months.
//!
//! A horizon moves first; from then on no batch stores facts from before it, so what is counted and dropped then stands
//! still. Every step is a transaction of its own: any proxy may take it, or end in the middle of it. How clocks that are
//! wrong are kept from wiping anything stands in `sql/note_time.sql` and `sql/horizons_due.sql`.

use std::time::Duration;

use deadpool_postgres::{Client, Transaction};
use jiff::Timestamp;
use jiff::civil::Date;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{GenericClient, Row};

use super::{Store, StoreError, locks};
use crate::config::Retain;
use crate::telemetry::causes::Causes;
use crate::telemetry::metrics::{Metrics, Table};

/// How long moving a horizon waits for the batches under way; those that come meanwhile wait with it.
const FENCE_MS: &str = "2000";
/// How long a drop waits for whoever uses the table; those that come meanwhile wait with it.
const DROP_MS: &str = "200";
/// How long others may wait for one who is frozen or cut off while at it.
const IDLE_MS: &str = "5000";
/// How often a drop is tried before it is left to the next pass, and the pause between.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);
/// How many rows are deleted at once.
const PIECE: i64 = 5000;

/// Does what is due, and says whether all of it is done: false while another proxy is at it. `now` is this proxy's clock.
pub async fn pass(
    store: &Store,
    retain: Retain,
    now: Timestamp,
    metrics: &Metrics,
) -> Result<bool, StoreError> {
    let mut client = store.office().await?;
    let is_steady = time_is_steady(&client).await?;
    if is_steady {
        move_horizons(&mut client, retain, now).await?;
    }
    let is_done = drop_due(&mut client, metrics).await?;
    if is_steady {
        delete_rows(&client, retain, now, metrics).await?;
    }
    Ok(is_done)
}

async fn time_is_steady(client: &Client) -> Result<bool, StoreError> {
    let row = client.query_typed_one(include_str!("sql/note_time.sql"), &[]).await?;
    if row.get("begins_anew") {
        tracing::info!(
            "the database's clock is new to us, or jumped; nothing is deleted until it has gone on for a week"
        );
    }
    Ok(row.get("steady"))
}

/// Where the horizons of these kinds belong, of those that stand before it; months none = for ever.
async fn horizons_due(
    client: &Client,
    kept: &[(&'static str, Option<u32>)],
    now: Timestamp,
) -> Result<Vec<Row>, StoreError> {
    let (kinds, months): (Vec<&str>, Vec<i32>) =
        kept.iter().filter_map(|&(kind, months)| Some((kind, i32::try_from(months?).ok()?))).unzip();
    let Some(shortest) = months.iter().min() else { return Ok(Vec::new()) };
    let parameters = [
        (&kinds as _, Type::TEXT_ARRAY),
        (&months as _, Type::INT4_ARRAY),
        (&now as _, Type::TIMESTAMPTZ),
        (shortest as _, Type::INT4),
    ];
    Ok(client.query_typed(include_str!("sql/horizons_due.sql"), &parameters).await?)
}

/// A batch holds the settle lock from before it reads the horizon until its end: so when a horizon has moved, whoever
/// stores facts knows it.
async fn move_horizons(client: &mut Client, retain: Retain, now: Timestamp) -> Result<(), StoreError> {
    let due = horizons_due(client, &[("events", retain.events), ("sessions", retain.sessions)], now).await?;
    if due.is_empty() {
        return Ok(());
    }
    let transaction = begin(client, FENCE_MS).await?;
    transaction.query_typed(include_str!("sql/lock.sql"), &[(&locks::SETTLE, Type::INT8)]).await?;
    for row in &due {
        let (kind, horizon): (&str, Timestamp) = (row.get("kind"), row.get("horizon"));
        let moved = [(&kind as _, Type::TEXT), (&horizon as _, Type::TIMESTAMPTZ)];
        transaction.query_typed(include_str!("sql/move_horizon.sql"), &moved).await?;
    }
    Ok(transaction.commit().await?)
}

/// Drops the months that lie before their horizons, the oldest first; false while another proxy is at one of them.
async fn drop_due(client: &mut Client, metrics: &Metrics) -> Result<bool, StoreError> {
    let mut in_the_way = None;
    let mut left_to_others = Vec::new();
    for (table, month) in partitions_due(&***client).await? {
        let (year, number) = (month.year(), month.month());
        match drop_month(client, &table, month).await {
            Ok(true) => {
                tracing::info!(table, year, month = number, "partition dropped");
                metrics.partitions_dropped.get_or_create(&Table { table }).inc();
            }
            Ok(false) => left_to_others.push((table, month)),
            Err(error) if error.is_in_the_way() => in_the_way = Some(error),
            Err(error) if error.code() == Some(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE) => {
                tracing::warn!(error = %Causes(&error), table, year, month = number, "partition not dropped yet");
            }
            Err(error) => return Err(error),
        }
    }
    let left = partitions_due(&***client).await?;
    metrics.partitions_due.set(i64::try_from(left.len()).unwrap_or(i64::MAX));
    in_the_way.map_or(Ok(!left.iter().any(|due| left_to_others.contains(due))), Err)
}

async fn partitions_due(client: &impl GenericClient) -> Result<Vec<(String, Date)>, StoreError> {
    let rows = client.query_typed(include_str!("sql/partitions_due.sql"), &[]).await?;
    Ok(rows.iter().map(|row| (row.get("parent"), row.get("month"))).collect())
}

/// Counts a month where that is to be, and drops it; false when another proxy does or did.
async fn drop_month(client: &mut Client, table: &str, month: Date) -> Result<bool, StoreError> {
    let mut transaction = begin(client, DROP_MS).await?;
    let lock = [(&locks::RETENTION as _, Type::INT8)];
    let row = transaction.query_typed_one(include_str!("sql/try_lock.sql"), &lock).await?;
    let due = partitions_due(&*transaction).await?;
    if !row.get::<_, bool>("taken") || !due.contains(&(table.to_owned(), month)) {
        return Ok(false);
    }
    if table == "sessions" {
        let month = [(&month as _, Type::DATE)];
        transaction.query_typed(include_str!("sql/fill_visitor_months.sql"), &month).await?;
        transaction.query_typed(include_str!("sql/drop_columns.sql"), &month).await?;
        transaction.query_typed(include_str!("sql/mark_orders_of_month.sql"), &month).await?;
    } else if table == "events" {
        let month = [(&month as _, Type::DATE)];
        transaction.query_typed(include_str!("sql/mark_hours_of_events.sql"), &month).await?;
    }
    let mut tries = 0;
    loop {
        tries += 1;
        let savepoint = transaction.transaction().await?;
        match drop_partition(&savepoint, table, month).await {
            Ok(()) => {
                savepoint.commit().await?;
                break;
            }
            Err(error) if tries < TRIES && error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                savepoint.rollback().await?;
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    transaction.commit().await?;
    Ok(true)
}

async fn drop_partition(
    transaction: &Transaction<'_>,
    table: &str,
    month: Date,
) -> Result<(), tokio_postgres::Error> {
    transaction.query_typed(include_str!("sql/lock.sql"), &[(&locks::PARTITIONS, Type::INT8)]).await?;
    let of_month = [(&table as _, Type::TEXT), (&month as _, Type::DATE)];
    transaction.query_typed(include_str!("sql/drop_partition.sql"), &of_month).await.map(drop)
}

async fn begin<'a>(client: &'a mut Client, lock_timeout: &str) -> Result<Transaction<'a>, StoreError> {
    let transaction = client.transaction().await?;
    let timeouts = [(&lock_timeout as _, Type::TEXT), (&IDLE_MS as _, Type::TEXT)];
    transaction.query_typed(include_str!("sql/begin_partitions.sql"), &timeouts).await?;
    Ok(transaction)
}

/// Deletes, in pieces, what is not partitioned; its horizon moves when all of it is gone.
async fn delete_rows(
    client: &Client,
    retain: Retain,
    now: Timestamp,
    metrics: &Metrics,
) -> Result<(), StoreError> {
    let kept = [
        ("visitors", retain.visitors),
        ("identifications", retain.visitors),
        ("bot_hits", retain.sessions),
        ("denied_hits", retain.sessions),
        ("link_findings", retain.sessions),
        ("told_actions", retain.events),
        ("quarantine", retain.events),
    ];
    for row in horizons_due(client, &kept, now).await? {
        let (kind, horizon): (&str, Timestamp) = (row.get("kind"), row.get("horizon"));
        let statement = match kind {
            "visitors" => include_str!("sql/delete_visitors.sql"),
            "identifications" => include_str!("sql/delete_identifications.sql"),
            "bot_hits" => include_str!("sql/delete_bot_hits.sql"),
            "denied_hits" => include_str!("sql/delete_denied_hits.sql"),
            "link_findings" => include_str!("sql/delete_link_findings.sql"),
            "told_actions" => include_str!("sql/delete_told_actions.sql"),
            _ => include_str!("sql/delete_quarantine.sql"),
        };
        let mut deleted = 0;
        loop {
            let piece = [(&horizon as _, Type::TIMESTAMPTZ), (&PIECE as _, Type::INT8)];
            let rows = client.execute_typed(statement, &piece).await?;
            deleted += rows;
            metrics.rows_deleted.get_or_create(&Table { table: kind.to_owned() }).inc_by(rows);
            if rows < PIECE.unsigned_abs() {
                break;
            }
        }
        if deleted > 0 {
            tracing::info!(table = kind, rows = deleted, before = %horizon, "old rows deleted");
        }
        let moved = [(&kind as _, Type::TEXT), (&horizon as _, Type::TIMESTAMPTZ)];
        client.query_typed(include_str!("sql/move_horizon.sql"), &moved).await?;
    }
    Ok(())
}
