//! Monthly partitions of the tables that grow, made ahead of need. No fact ever fails for want of one.
//!
//! The function `make_partition()` of the migrations does it, with the rights of the tables' owner, which who ships need
//! not have.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use deadpool_postgres::Client;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use super::{Store, StoreError, locks};

/// Tables partitioned by month, with the column that decides.
const PARTITIONED: [&str; 5] = ["sessions", "session_cookies", "touches", "events", "product_views"];

/// How long attaching may wait for other DDL.
const LOCK_TIMEOUT_MS: &str = "10000";
/// How long others may wait for one who is frozen or cut off while at it.
const IDLE_TIMEOUT_MS: &str = "5000";

/// A calendar month in UTC, counted from January of year 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(i32);

impl Month {
    /// The month of a moment between the years 2000 and 2199; none outside: a clock that wrong gets no table.
    pub fn of(at: Timestamp) -> Option<Month> {
        let date = TimeZone::UTC.to_datetime(at).date();
        (2000..2200)
            .contains(&date.year())
            .then(|| Month(i32::from(date.year()) * 12 + i32::from(date.month()) - 1))
    }

    /// The month before, this one, and the two that follow `now`.
    pub fn around(now: Timestamp) -> BTreeSet<Month> {
        Month::of(now).into_iter().flat_map(|Month(index)| (index - 1..=index + 2).map(Month)).collect()
    }

    fn year(self) -> i32 {
        self.0.div_euclid(12)
    }

    fn number(self) -> i32 {
        self.0.rem_euclid(12) + 1
    }

    fn first_day(self) -> Option<Date> {
        Date::new(i16::try_from(self.year()).ok()?, i8::try_from(self.number()).ok()?, 1).ok()
    }
}

/// Makes the partitions around `now`: to be called at the start and once a day.
pub async fn ahead(store: &Store, now: Timestamp) -> Result<(), StoreError> {
    ensure(&mut store.office().await?, &Month::around(now)).await
}

/// Makes partitions ahead, now and daily, until `shutdown`. A batch that finds one missing makes it itself.
pub async fn keep_ahead(store: Store, shutdown: CancellationToken) {
    loop {
        let pause = match ahead(&store, Timestamp::now()).await {
            Ok(()) => Duration::from_secs(86_400),
            Err(error) => {
                tracing::warn!(%error, "partitions could not be made ahead; tried again in a minute");
                Duration::from_secs(60)
            }
        };
        if shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// Makes what is missing of these months' partitions. Safe to call from several processes at once.
pub async fn ensure(client: &mut Client, months: &BTreeSet<Month>) -> Result<(), StoreError> {
    let wanted: BTreeMap<String, (&str, Month)> = months
        .iter()
        .flat_map(|&month| PARTITIONED.map(|table| (name(table, month), (table, month))))
        .collect();
    let tables: Vec<&str> = wanted.values().map(|&(table, _)| table).collect();
    let names: Vec<&String> = wanted.keys().collect();
    let names = [(&tables as _, Type::TEXT_ARRAY), (&names as _, Type::TEXT_ARRAY)];
    if client.query_typed(include_str!("sql/partitions_missing.sql"), &names).await?.is_empty() {
        return Ok(());
    }
    let transaction = client.transaction().await?;
    let settings = [(&LOCK_TIMEOUT_MS as _, Type::TEXT), (&IDLE_TIMEOUT_MS as _, Type::TEXT)];
    transaction.query_typed(include_str!("sql/begin_partitions.sql"), &settings).await?;
    transaction.query_typed(include_str!("sql/lock.sql"), &[(&locks::PARTITIONS, Type::INT8)]).await?;
    for row in transaction.query_typed(include_str!("sql/partitions_missing.sql"), &names).await? {
        if let Some(&(table, month)) = wanted.get(row.get::<_, &str>(0)) {
            let of_month = [(&table as _, Type::TEXT), (&month.first_day() as _, Type::DATE)];
            transaction.query_typed(include_str!("sql/make_partition.sql"), &of_month).await?;
            tracing::info!(table, year = month.year(), month = month.number(), "partition made");
        }
    }
    Ok(transaction.commit().await?)
}

fn name(table: &str, month: Month) -> String {
    format!("{table}_{:04}_{:02}", month.year(), month.number())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn december_is_of_its_year() {
        let month = Month::of("2026-12-31T23:59:59Z".parse().unwrap()).unwrap();
        assert_eq!(name("events", month), "events_2026_12");
        assert_eq!(month.first_day(), Some(jiff::civil::date(2026, 12, 1)));
    }

    #[test]
    fn four_months_lie_around_now() {
        let months = Month::around("2026-01-15T00:00:00Z".parse().unwrap());
        let names: Vec<_> = months.into_iter().map(|month| name("e", month)).collect();
        assert_eq!(names, ["e_2025_12", "e_2026_01", "e_2026_02", "e_2026_03"]);
    }

    #[test]
    fn a_wrong_clock_gets_no_table() {
        assert_eq!(Month::of(Timestamp::UNIX_EPOCH), None);
        assert_eq!(Month::of(Timestamp::MAX), None);
    }
}
