//! Writes who visitors said to be: such a browser is the customer's whose orders name the same key.
//!
//! Rule: a batch that tells what is not known yet, or brings a session that somebody waits for, holds the settle lock
//! exclusively: whichever of it and an order of the customer comes last finds the other. What is believed stands in
//! `identified_by()` of the migrations.

use deadpool_postgres::Transaction;
use tokio_postgres::Error;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::rows::Rows;
use super::rows::identifications::{Identifications, merge};
use super::settle::Orders;

/// Whether the batch has something new.
pub(super) async fn are_new(transaction: &Transaction<'_>, rows: &Rows) -> Result<bool, Error> {
    let sessions = sessions_of(rows);
    if rows.identifications.is_empty() && sessions.is_empty() {
        return Ok(false);
    }
    let keys = rows.identifications.keys();
    let sites: Vec<i32> = keys.clone().map(|(site, ..)| *site).collect();
    let hashes: Vec<&[u8]> = keys.clone().map(|(_, hash, _)| hash.as_slice()).collect();
    let subjects: Vec<Uuid> = keys.map(|(.., subject)| *subject).collect();
    let parameters: [(&(dyn ToSql + Sync), Type); 4] = [
        (&sites, Type::INT4_ARRAY),
        (&hashes, Type::BYTEA_ARRAY),
        (&subjects, Type::UUID_ARRAY),
        (&sessions, Type::UUID_ARRAY),
    ];
    let new = transaction.query_typed(include_str!("sql/identifications_new.sql"), &parameters).await?;
    Ok(!new.is_empty())
}

/// What was written of them.
#[derive(Debug, Default)]
pub(super) struct Identified {
    /// Orders that may be joined or credited otherwise for it.
    pub(super) orders: Orders,
    /// Whose they may be, and of which sessions.
    pub(super) visitors: Vec<Uuid>,
    pub(super) sessions: Vec<Uuid>,
}

/// Writes those of hits and of what the shop `told` anew.
pub(super) async fn write(
    transaction: &Transaction<'_>,
    rows: &Rows,
    told: Vec<Identifications>,
    are_new: bool,
) -> Result<Identified, Error> {
    let mut all = rows.identifications.clone();
    told.into_iter().flatten().for_each(|(key, row)| merge(&mut all, key, &row));
    if all.is_empty() && !are_new {
        return Ok(Identified::default());
    }
    let sessions = sessions_of(rows);
    let visitors: Vec<Uuid> = rows.sessions.keys().map(|key| key.visitor_id).collect();
    let (mut subjects, mut named) = (visitors, Vec::new());
    for ((.., subject), row) in &all {
        if row.is_session { named.push(*subject) } else { subjects.push(*subject) }
    }
    let parameters: [(&(dyn ToSql + Sync), Type); 8] = [
        (&all.keys().map(|(site, ..)| *site).collect::<Vec<_>>(), Type::INT4_ARRAY),
        (&all.keys().map(|(_, hash, _)| hash.as_slice()).collect::<Vec<_>>(), Type::BYTEA_ARRAY),
        (&all.keys().map(|(.., subject)| *subject).collect::<Vec<_>>(), Type::UUID_ARRAY),
        (&all.values().map(|row| row.kind).collect::<Vec<_>>(), Type::TEXT_ARRAY),
        (&all.values().map(|row| row.is_session).collect::<Vec<_>>(), Type::BOOL_ARRAY),
        (&all.values().map(|row| row.is_browser).collect::<Vec<_>>(), Type::BOOL_ARRAY),
        (&all.values().map(|row| row.at).collect::<Vec<_>>(), Type::TIMESTAMPTZ_ARRAY),
        (&sessions, Type::UUID_ARRAY),
    ];
    let orders = transaction.query_typed(include_str!("sql/identifications.sql"), &parameters).await?;
    let orders = orders.iter().map(|row| (row.get("site_id"), row.get("order_id"))).collect();
    Ok(Identified { orders, visitors: subjects, sessions: named })
}

fn sessions_of(rows: &Rows) -> Vec<Uuid> {
    rows.sessions.keys().map(|key| key.session_id).collect()
}
