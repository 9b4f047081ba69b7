//! Writes what advertising cost; what was reported last of a day and a campaign stands.

use std::collections::HashMap;

use deadpool_postgres::Transaction;
use jiff::civil::Date;
use rust_decimal::Decimal;
use tokio_postgres::Error;
use uuid::Uuid;

use super::columns::send;
use super::rows::Rows;
use crate::hit::ReportOutcome;

/// Writes it, and says to each who waits what became of his report.
pub(super) async fn write(
    transaction: &Transaction<'_>,
    rows: &Rows,
) -> Result<Vec<((Uuid, u32), ReportOutcome)>, Error> {
    let before = send!(transaction, "spend_standing", rows.spend_receipts, |report| {
        INT4_ARRAY: report.key.0, DATE_ARRAY: report.key.1, INT8_ARRAY: report.key.2,
    })?;
    let mut standing = HashMap::new();
    for row in &before {
        let key: (i32, Date, i64) = (row.try_get("site_id")?, row.try_get("day")?, row.try_get("spend_key")?);
        standing.insert(key, row);
    }
    let mut outcomes = Vec::with_capacity(rows.spend_receipts.len());
    for report in &rows.spend_receipts {
        let is_known = match standing.get(&report.key) {
            Some(row) => report.spend.says((
                row.try_get::<_, Decimal>("cost")?,
                row.try_get("currency")?,
                row.try_get("clicks")?,
                row.try_get("impressions")?,
            )),
            None => false,
        };
        let outcome = if is_known { ReportOutcome::Duplicate } else { ReportOutcome::Recorded };
        outcomes.push((report.receipt, outcome));
    }
    send!(transaction, "spend", rows.spend, |((site_id, day, key), spend)| {
        INT4_ARRAY: site_id, DATE_ARRAY: day, INT8_ARRAY: key, INT8_ARRAY: spend.campaign_id,
        NUMERIC_ARRAY: spend.cost, TEXT_ARRAY: &spend.currency, INT8_ARRAY: spend.clicks,
        INT8_ARRAY: spend.impressions, TIMESTAMPTZ_ARRAY: spend.received_at, INT8_ARRAY: spend.hash,
    })?;
    Ok(outcomes)
}
