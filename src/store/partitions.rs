//! Monthly partitions of the tables that grow, made ahead of need. No fact ever fails for want of one.
//!
//! A partition is made beside its table and then attached: attaching, unlike `CREATE TABLE … PARTITION OF`, does
//! not wait for reports that read the table. DDL takes no parameters, so this is the one place that assembles SQL,
//! from the names below and from integers.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::Client;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio_postgres::types::Type;

use super::{StoreError, locks};

/// Tables partitioned by month, with the column that decides.
const PARTITIONED: [&str; 5] = ["sessions", "session_cookies", "touches", "events", "product_views"];

/// How long attaching may wait for other DDL.
const LOCK_TIMEOUT_MS: &str = "10000";

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

    fn next(self) -> Month {
        Month(self.0 + 1)
    }
}

/// Makes what is missing of these months' partitions. Safe to call from several processes at once.
pub async fn ensure(client: &mut Client, months: &BTreeSet<Month>) -> Result<(), StoreError> {
    let wanted: BTreeMap<String, (&str, Month)> = months
        .iter()
        .flat_map(|&month| PARTITIONED.map(|table| (name(table, month), (table, month))))
        .collect();
    let names: Vec<&String> = wanted.keys().collect();
    let names = [(&names as _, Type::TEXT_ARRAY)];
    if client.query_typed(include_str!("sql/partitions_missing.sql"), &names).await?.is_empty() {
        return Ok(());
    }
    let transaction = client.transaction().await?;
    transaction
        .query_typed(include_str!("sql/set_lock_timeout.sql"), &[(&LOCK_TIMEOUT_MS, Type::TEXT)])
        .await?;
    transaction.query_typed(include_str!("sql/lock.sql"), &[(&locks::PARTITIONS, Type::INT8)]).await?;
    for row in transaction.query_typed(include_str!("sql/partitions_missing.sql"), &names).await? {
        if let Some(&(table, month)) = wanted.get(row.get::<_, &str>(0)) {
            transaction.batch_execute(&definition(table, month)).await?;
            tracing::info!(table, year = month.year(), month = month.number(), "partition made");
        }
    }
    Ok(transaction.commit().await?)
}

fn name(table: &str, month: Month) -> String {
    format!("{table}_{:04}_{:02}", month.year(), month.number())
}

fn definition(table: &str, month: Month) -> String {
    let (name, next) = (name(table, month), month.next());
    format!(
        "CREATE TABLE IF NOT EXISTS {name} (LIKE {table} INCLUDING DEFAULTS);
         ALTER TABLE {table} ATTACH PARTITION {name}
         FOR VALUES FROM ('{:04}-{:02}-01 00:00:00+00') TO ('{:04}-{:02}-01 00:00:00+00')",
        month.year(),
        month.number(),
        next.year(),
        next.number(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn december_ends_with_the_year() {
        let month = Month::of("2026-12-31T23:59:59Z".parse().unwrap()).unwrap();
        let sql = definition("events", month);
        assert!(sql.contains("events_2026_12"), "{sql}");
        assert!(sql.contains("FROM ('2026-12-01 00:00:00+00') TO ('2027-01-01 00:00:00+00')"), "{sql}");
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
