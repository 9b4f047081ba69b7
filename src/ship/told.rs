//! Writes what the shop said that somebody did, and counts it in its session once both are known.
//!
//! Rule: a batch with told actions holds the settle lock exclusively. So whichever of action and session comes last finds
//! the other.

use std::collections::{BTreeSet, HashMap, HashSet};

use deadpool_postgres::Transaction;
use tokio_postgres::Error;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::columns::send;
use super::events;
use super::rows::Rows;
use super::rows::events::Event;
use super::rows::identifications::Identifications;
use super::rows::told::{Told, ToldKey};
use super::settle::Orders;
use super::write::Outcomes;
use crate::hit::ReportOutcome;

/// Writes it, and says to each who waits what became of it; answers also who somebody is by what is new.
pub(super) async fn write(
    transaction: &Transaction<'_>,
    rows: &Rows,
) -> Result<(Outcomes, Vec<Identifications>), Error> {
    let added = send!(transaction, "told_actions", rows.told, |((site_id, kind_id, reference), told)| {
        INT4_ARRAY: site_id, INT4_ARRAY: kind_id, TEXT_ARRAY: reference, INT8_ARRAY: told.content,
        TIMESTAMPTZ_ARRAY: told.event.at, INT2_ARRAY: told.event.points, UUID_ARRAY: told.session_id,
        UUID_ARRAY: told.visitor_id, TEXT_ARRAY: told.order_id.as_deref(),
    })?;
    let mut added: HashSet<ToldKey> =
        added.iter().map(|row| (row.get("site_id"), row.get("kind_id"), row.get("reference"))).collect();
    let new: Vec<&Told> =
        rows.told.iter().filter(|(key, _)| added.contains(*key)).map(|(_, told)| told).collect();
    let events: Vec<&Event> = new.iter().map(|told| &told.event).collect();
    events::copy(transaction, &events).await?;
    let identifications = new.iter().map(|told| told.identifications.clone()).collect();
    let standing = send!(transaction, "told_standing", rows.told_receipts, |report| {
        INT4_ARRAY: report.key.0, INT4_ARRAY: report.key.1, TEXT_ARRAY: &report.key.2,
    })?;
    let standing: HashMap<i64, i64> =
        standing.iter().map(|row| (row.get("index"), row.get("content"))).collect();
    let reports = (1..).zip(&rows.told_receipts);
    let outcomes = reports
        .map(|(index, report)| {
            let outcome = match report.content {
                None => ReportOutcome::Refused("it is older than what is kept".to_owned()),
                Some(content) if standing.get(&index) != Some(&content) => {
                    ReportOutcome::Refused("another action was told with this reference".to_owned())
                }
                Some(_) if added.remove(&report.key) => ReportOutcome::Recorded,
                Some(_) => ReportOutcome::Duplicate,
            };
            (report.receipt, outcome)
        })
        .collect();
    Ok((outcomes, identifications))
}

/// Counts what waits for the sessions and visitors of this batch; answers orders that it may join otherwise.
pub(super) async fn join(transaction: &Transaction<'_>, rows: &Rows) -> Result<Orders, Error> {
    let mut sessions: BTreeSet<Uuid> = rows.sessions.keys().map(|key| key.session_id).collect();
    sessions.extend(rows.told.values().filter_map(|told| told.session_id));
    let mut visitors: BTreeSet<Uuid> = rows.visitors.keys().copied().collect();
    visitors.extend(rows.told.values().filter_map(|told| told.visitor_id));
    if sessions.is_empty() && visitors.is_empty() {
        return Ok(Orders::new());
    }
    let [sessions, visitors] = [sessions, visitors].map(|ids| ids.into_iter().collect::<Vec<Uuid>>());
    let parameters = [(&sessions as _, Type::UUID_ARRAY), (&visitors as _, Type::UUID_ARRAY)];
    let orders = transaction.query_typed(include_str!("sql/told_join.sql"), &parameters).await?;
    Ok(orders.iter().map(|row| (row.get("site_id"), row.get("order_id"))).collect())
}
