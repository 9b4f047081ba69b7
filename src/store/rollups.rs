//! Keeps the rollups: sums up hours of sessions that are over, and those that changed since. What they are, and the rule
//! that reports rely on, stands in `migrations/V5__rollups.sql`: an hour has a mark, or its rollups are right.
//!
//! # Why no change is missed
//!
//! A transaction here first deletes marks, then reads sessions; a batch commits its changes and their marks together. At
//! READ COMMITTED each statement sees what was committed before it. A batch whose mark was deleted was committed before
//! the deletion, so its changes are seen by the statements after it. One that commits later keeps its mark, since the
//! deletion did not see it: at worst its changes are summed up now and again in a minute. The order of the two steps is
//! all that this needs; the other way round, a batch between them would lose its mark and not be summed up.
//!
//! Columns (`columns.rs`) are kept by the same rule and in the same transaction: of a day those of the hours taken are replaced.
//! So are those of orders (`order_columns.rs`), by marks of their days, and anew with the hours of their sessions.
//!
//! Reports see the deletion and the new sums together, or neither. A transaction that fails or dies leaves everything as
//! it was. That one process at a time does this only saves work: it is what the lock is for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::Transaction;
use jiff::{SignedDuration, Timestamp};
use tokio_postgres::types::{ToSql, Type};
use tokio_util::sync::CancellationToken;

use super::columns::{ACTIONS_OF_HOURS, Columns, Number, SESSIONS_OF_HOURS, day_and_hour, day_of};
use super::order_columns::{self, Bought, ORDER_ROWS, Orders, POSITION_ROWS, PURCHASE_ROWS, Packed};
use super::{Store, StoreError, locks};
use crate::telemetry::causes::Causes;
use crate::telemetry::metrics::Metrics;

/// How often it is looked what is to be done.
const INTERVAL: Duration = Duration::from_secs(60);
/// Hours that one transaction sums up at most: so that it is soon over.
const HOURS_AT_ONCE: i64 = 24;
/// Days of orders that one transaction packs for their own marks.
const ORDER_DAYS_AT_ONCE: i64 = 24;
/// How long a transaction may stand idle (its process frozen), wait for a lock, or run one statement.
const TIMEOUTS_MS: [&str; 3] = ["10000", "20000", "120000"];

/// What one transaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refreshed {
    /// Hours summed up.
    pub hours: usize,
    /// Days of orders packed.
    pub order_days: usize,
    /// Closed hours that have a mark still.
    pub waiting: u64,
}

/// Sums up until `shutdown`; says in the log when that does not work, and when it works again.
pub async fn keep_fresh(store: Store, metrics: Arc<Metrics>, shutdown: CancellationToken) {
    let mut works = true;
    while !shutdown.is_cancelled() {
        let begun = Instant::now();
        let refreshed = refresh(&store, Timestamp::now()).await;
        let took = begun.elapsed();
        match (&refreshed, works) {
            (Err(error), true) => tracing::warn!(
                error = %Causes(error),
                "rollups cannot be refreshed; reports stay exact, and read more of the sessions"
            ),
            (Ok(_), false) => tracing::info!("rollups are refreshed again"),
            _ => {}
        }
        works = refreshed.is_ok();
        if let Ok(Some(refreshed)) = &refreshed {
            note(&metrics, *refreshed, took);
        }
        let pause = match refreshed {
            // The past, after an upgrade: as much rest as work, so that half of a core is left to others.
            Ok(Some(Refreshed { hours: 1.., waiting: 1.., .. })) => took,
            Ok(Some(Refreshed { order_days, .. })) if order_days as i64 >= ORDER_DAYS_AT_ONCE => took,
            _ => INTERVAL,
        };
        shutdown.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
}

fn note(metrics: &Metrics, refreshed: Refreshed, took: Duration) {
    metrics.rollup_hours.inc_by(refreshed.hours as u64);
    metrics.rollup_seconds.inc_by(took.as_secs_f64());
    metrics.rollup_hours_waiting.set(i64::try_from(refreshed.waiting).unwrap_or(i64::MAX));
    metrics.rollup_refreshed_unix_seconds.set(Timestamp::now().as_second());
}

/// One transaction: sums up some of the closed hours that have a mark. None when another process is at it.
pub async fn refresh(store: &Store, now: Timestamp) -> Result<Option<Refreshed>, StoreError> {
    let mut client = store.office().await?;
    let transaction = client.transaction().await?;
    let timeouts = TIMEOUTS_MS.each_ref().map(|text| (text as _, Type::TEXT));
    transaction.query_typed(include_str!("sql/refresh_begin.sql"), &timeouts).await?;
    let number = [(&locks::ROLLUPS as _, Type::INT8)];
    if !transaction.query_typed_one(include_str!("sql/try_lock.sql"), &number).await?.get::<_, bool>("taken")
    {
        return Ok(None);
    }
    let hours = take_marks(&transaction, now).await?;
    sum_up(&transaction, &hours).await?;
    pack(&transaction, &hours).await?;
    let order_days = pack_orders(&transaction, &hours, now).await?;
    transaction.query_typed(include_str!("sql/compact_marks.sql"), &[]).await?;
    transaction.query_typed(include_str!("sql/compact_order_marks.sql"), &[]).await?;
    let at = [(&now as _, Type::TIMESTAMPTZ)];
    let waiting: i64 =
        transaction.query_typed_one(include_str!("sql/hours_waiting.sql"), &at).await?.get("hours");
    transaction.commit().await?;
    Ok(Some(Refreshed { hours: hours.len(), order_days, waiting: u64::try_from(waiting).unwrap_or(0) }))
}

/// The hours whose marks were deleted. A month that was dropped is told by its rollups only: what they say stays.
async fn take_marks(
    transaction: &Transaction<'_>,
    now: Timestamp,
) -> Result<Vec<Timestamp>, tokio_postgres::Error> {
    let parameters = [(&now as _, Type::TIMESTAMPTZ), (&HOURS_AT_ONCE as _, Type::INT8)];
    let taken = transaction.query_typed(include_str!("sql/take_marks.sql"), &parameters).await?;
    Ok(taken.iter().filter(|row| row.get("is_kept")).map(|row| row.get("session_hour")).collect())
}

async fn sum_up(transaction: &Transaction<'_>, hours: &[Timestamp]) -> Result<(), tokio_postgres::Error> {
    if hours.is_empty() {
        return Ok(());
    }
    let hours = [(&hours as _, Type::TIMESTAMPTZ_ARRAY)];
    transaction.query_typed(include_str!("sql/clear_quarters.sql"), &hours).await?;
    transaction.query_typed(include_str!("sql/fill_quarters.sql"), &hours).await?;
    let days = transaction.query_typed(include_str!("sql/whole_days.sql"), &hours).await?;
    let days: Vec<Timestamp> = days.iter().map(|row| row.get("session_day")).collect();
    let days = [(&days as _, Type::TIMESTAMPTZ_ARRAY)];
    transaction.query_typed(include_str!("sql/clear_days.sql"), &days).await?;
    transaction.query_typed(include_str!("sql/fill_days.sql"), &days).await.map(drop)
}

/// Puts hours into the columns of their days.
async fn pack(transaction: &Transaction<'_>, hours: &[Timestamp]) -> Result<(), StoreError> {
    let mut days = BTreeMap::<Timestamp, (Vec<i64>, Columns)>::new();
    for hour in hours {
        let (day, hour) = day_and_hour(*hour);
        days.entry(day).or_default().0.push(hour);
    }
    let list: Vec<Timestamp> = days.keys().copied().collect();
    let list = [(&list as _, Type::TIMESTAMPTZ_ARRAY)];
    let mut anew: Vec<Timestamp> = Vec::new();
    for row in transaction.query_typed(include_str!("sql/column_days.sql"), &list).await? {
        let day = row.get("session_day");
        let Some((taken, columns)) = days.get_mut(&day) else { continue };
        let is_older = row.try_get::<_, Option<&[u8]>>("actions")?.is_none();
        let mut whole = Columns::default();
        match whole.read::<StoreError>(&row) {
            Ok(()) if is_older => anew.push(day),
            Ok(()) => columns.add_but(&whole, taken),
            Err(StoreError::Damaged(error)) => {
                tracing::error!(%error, "a packed day of sessions is packed anew");
                anew.push(day);
            }
            Err(error) => return Err(error),
        }
    }
    if !anew.is_empty() {
        let days = [(&anew as _, Type::TIMESTAMPTZ_ARRAY), (&hours as _, Type::TIMESTAMPTZ_ARRAY)];
        transaction.query_typed(include_str!("sql/mark_rest_of_days.sql"), &days).await?;
    }
    let of_hours = [(&hours as _, Type::TIMESTAMPTZ_ARRAY)];
    let done = transaction.query_typed(ACTIONS_OF_HOURS, &of_hours).await?;
    let done = done.into_iter().map(|row| (row.get("session_id"), row)).collect();
    let sessions = transaction.query_typed(SESSIONS_OF_HOURS, &of_hours).await?;
    for row in &sessions {
        let (day, _) = day_and_hour(row.get("session_hour"));
        if let Some((_, columns)) = days.get_mut(&day) {
            columns.add(row, &done, day)?;
        }
    }
    transaction.query_typed(include_str!("sql/clear_columns.sql"), &list).await?;
    for (day, (_, columns)) in &days {
        put(transaction, *day, columns).await?;
    }
    Ok(())
}

async fn put(
    transaction: &Transaction<'_>,
    day: Timestamp,
    columns: &Columns,
) -> Result<(), tokio_postgres::Error> {
    let starts = columns.numbers(Number::Start).iter().copied();
    let (Some(first), Some(last)) = (starts.clone().min(), starts.max()) else { return Ok(()) };
    let sessions = i32::try_from(columns.sessions()).unwrap_or(i32::MAX);
    let [first, last] = [first, last].map(|start| day + SignedDuration::from_micros(start));
    let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> = vec![
        (&day, Type::TIMESTAMPTZ),
        (&sessions, Type::INT4),
        (&first, Type::TIMESTAMPTZ),
        (&last, Type::TIMESTAMPTZ),
    ];
    let packed = columns.packed();
    parameters.extend(packed.iter().map(|column| (column as _, Type::BYTEA)));
    transaction.query_typed(include_str!("sql/fill_columns.sql"), &parameters).await.map(drop)
}

/// Packs days of orders: some of those with a mark, and those that have orders of sessions of these hours.
async fn pack_orders(
    transaction: &Transaction<'_>,
    hours: &[Timestamp],
    now: Timestamp,
) -> Result<usize, StoreError> {
    let parameters = [(&now as _, Type::TIMESTAMPTZ), (&ORDER_DAYS_AT_ONCE as _, Type::INT8)];
    let taken = transaction.query_typed(include_str!("sql/take_order_marks.sql"), &parameters).await?;
    let hours = [(&hours as _, Type::TIMESTAMPTZ_ARRAY)];
    let told = transaction.query_typed(include_str!("sql/order_days_of_hours.sql"), &hours).await?;
    let days = taken.iter().chain(&told).map(|row| (row.get("order_day"), Orders::default()));
    let mut days: BTreeMap<Timestamp, Orders> = days.collect();
    let list: Vec<Timestamp> = days.keys().copied().collect();
    let (always, columns, models) = (None::<Timestamp>, order_columns::columns(), &order_columns::MODELS[..]);
    let parameters = [
        (&list as _, Type::TIMESTAMPTZ_ARRAY),
        (&always as _, Type::TIMESTAMPTZ),
        (&always as _, Type::TIMESTAMPTZ),
        (&columns as _, Type::TEXT_ARRAY),
        (&models as _, Type::TEXT_ARRAY),
    ];
    let (mut bought, unnamed) = Bought::of(transaction.query_typed(POSITION_ROWS, &parameters[..3]).await?)?;
    if let Some(unnamed) = unnamed {
        bought.add_purchases(transaction.query_typed(PURCHASE_ROWS, &unnamed.parameters()).await?)?;
    }
    for row in transaction.query_typed(ORDER_ROWS, &parameters).await? {
        let day = day_of(row.get("placed_at"));
        if let Some(orders) = days.get_mut(&day) {
            orders.add(&row, &bought, day)?;
        }
    }
    let list = [(&list as _, Type::TIMESTAMPTZ_ARRAY)];
    transaction.query_typed(include_str!("sql/clear_order_columns.sql"), &list).await?;
    for (day, orders) in &days {
        if orders.orders() > 0 {
            put_orders(transaction, *day, &orders.packed()).await?;
        }
    }
    Ok(days.len())
}

async fn put_orders(
    transaction: &Transaction<'_>,
    day: Timestamp,
    packed: &Packed<'_>,
) -> Result<(), tokio_postgres::Error> {
    let orders = i32::try_from(packed.orders).unwrap_or(i32::MAX);
    let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> = vec![
        (&day, Type::TIMESTAMPTZ),
        (&orders, Type::INT4),
        (&packed.currencies, Type::TEXT_ARRAY),
        (&packed.product_ids, Type::TEXT_ARRAY),
        (&packed.product_names, Type::TEXT_ARRAY),
    ];
    parameters.extend(packed.columns.iter().map(|column| (column as _, Type::BYTEA)));
    transaction.query_typed(include_str!("sql/fill_order_columns.sql"), &parameters).await.map(drop)
}
