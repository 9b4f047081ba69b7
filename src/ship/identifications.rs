//! Writes who visitors said to be, for [`super::customers`] to find whose orders are.
//!
//! Rule: a batch that brings one which is not known yet, or the session that one waits for, holds the settle lock exclusively:
//! whichever of it and an order of the customer comes last finds the other.

use std::collections::BTreeSet;

use deadpool_postgres::Transaction;
use tokio_postgres::Error;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::columns::send;
use super::rows::Rows;
use super::rows::identifications::Identification;

/// Those of the batch's hits that are not known yet, and those that wait for one of its sessions.
pub(super) async fn concerned(transaction: &Transaction<'_>, rows: &Rows) -> Result<BTreeSet<i64>, Error> {
    let ids: Vec<i64> = rows.identifications.keys().copied().collect();
    let sessions: Vec<Uuid> = rows.sessions.keys().map(|key| key.session_id).collect();
    if ids.is_empty() && sessions.is_empty() {
        return Ok(BTreeSet::new());
    }
    let parameters = [(&ids as _, Type::INT8_ARRAY), (&sessions as _, Type::UUID_ARRAY)];
    let found = transaction.query_typed(include_str!("sql/identifications_new.sql"), &parameters).await?;
    Ok(found.iter().map(|row| row.get("identification_id")).collect())
}

/// Writes those of hits and of what the shop told anew; answers all whose customer may be another now, of which
/// `concerned` are known.
pub(super) async fn write(
    transaction: &Transaction<'_>,
    rows: &Rows,
    told: Vec<Identification>,
    mut concerned: BTreeSet<i64>,
) -> Result<BTreeSet<i64>, Error> {
    let mut all = rows.identifications.clone();
    for row in told {
        let (id, at) = (row.id(), row.at);
        let known = all.entry(id).or_insert(row);
        known.at = known.at.min(at);
        concerned.insert(id);
    }
    send!(transaction, "identifications", all, |(id, row)| {
        INT8_ARRAY: id, INT4_ARRAY: row.site_id, UUID_ARRAY: row.visitor_id, UUID_ARRAY: row.session_id,
        BYTEA_ARRAY: &row.keys[0], BYTEA_ARRAY: &row.keys[1], BYTEA_ARRAY: &row.keys[2],
        TIMESTAMPTZ_ARRAY: row.at,
    })?;
    send!(transaction, "identified_sessions", concerned, |id| { INT8_ARRAY: id })?;
    Ok(concerned)
}
