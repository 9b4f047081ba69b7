//! Orders, their credits and their sessions, computed anew as a pure function of what is known.
//!
//! Run as often as one likes; the result depends on `order_entries`, `identifications`, `sessions`, `visitors` and `touches`
//! alone.
//! The rules stand in `sql/settle_orders.sql`, `sql/settle_links.sql` and `sql/settle_credits.sql`.

use std::collections::BTreeSet;

use deadpool_postgres::Transaction;
use rust_decimal::Decimal;
use tokio_postgres::Error;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::columns::send;
use super::customers::{self, Keys};
use super::forget;
use super::rows::Rows;
use super::rows::orders::Report;
use super::write::{Outcomes, Terms};

use crate::hit::{IdentityMode, ReportOutcome};

/// Orders by `(site_id, order_id)`.
pub(super) type Orders = BTreeSet<(i32, String)>;

/// Which orders this batch concerns: those it reports about, and those whose visitors' facts it brings.
pub(super) async fn concerned(transaction: &Transaction<'_>, rows: &Rows) -> Result<Orders, Error> {
    let minted_from = rows.visitors.values().filter_map(|visitor| visitor.minted_from);
    let (mut cookieless, mut first): (BTreeSet<Uuid>, BTreeSet<Uuid>) =
        (minted_from.collect(), BTreeSet::new());
    for (key, session) in &rows.sessions {
        if session.identity == IdentityMode::Cookieless.code() {
            cookieless.insert(key.visitor_id);
        } else if session.session_number == 1 {
            first.insert(key.visitor_id);
        }
    }
    let [cookieless, first] = [cookieless, first].map(|ids| ids.into_iter().collect::<Vec<Uuid>>());
    let minted = rows.visitors.iter().filter(|(_, visitor)| visitor.minted_from.is_some());
    let minted: Vec<Uuid> = minted.map(|(id, _)| *id).collect();
    let least_at = rows.sessions.values().map(|session| session.least_at).min();
    let affected = async {
        send!(transaction, "affected_orders", rows.sessions, |(key, session)| {
            UUID_ARRAY: key.session_id, UUID_ARRAY: key.visitor_id, TIMESTAMPTZ_ARRAY: session.least_at,
        }, TIMESTAMPTZ: least_at, UUID_ARRAY: cookieless, UUID_ARRAY: first, UUID_ARRAY: minted)
    };
    let clicks = rows.touches.values().filter_map(|touch| Some((touch.site_id, touch.click_ids.as_ref()?)));
    let clicks: Vec<(i32, &String)> = clicks.collect();
    let clicked = async {
        send!(transaction, "click_orders", clicks, |(site_id, click_ids)| {
            INT4_ARRAY: *site_id, TEXT_ARRAY: *click_ids,
        })
    };
    let (affected, clicked) = tokio::try_join!(biased; affected, clicked)?;
    let reported = rows.entries.keys().map(|key| (key.site_id, key.order_id.clone()));
    Ok(affected.iter().chain(&clicked).map(|row| (row.get(0), row.get(1))).chain(reported).collect())
}

/// Writes what was reported, and says to each who waits what became of his report.
pub(super) async fn entries(transaction: &Transaction<'_>, rows: &Rows) -> Result<Outcomes, Error> {
    send!(transaction, "entries", rows.entries, |(key, entry)| {
        INT4_ARRAY: key.site_id, TEXT_ARRAY: &key.order_id, INT2_ARRAY: key.kind, TEXT_ARRAY: &key.reference,
        INT2_ARRAY: key.way, TIMESTAMPTZ_ARRAY: entry.at, TIMESTAMPTZ_ARRAY: entry.received_at,
        INT8_ARRAY: entry.hash, NUMERIC_ARRAY: entry.value, TEXT_ARRAY: &entry.currency,
        TEXT_ARRAY: &entry.order_number, UUID_ARRAY: entry.visitor_id, UUID_ARRAY: entry.session_id,
        BOOL_ARRAY: entry.by_cookie, TEXT_ARRAY: &entry.click_ids, BYTEA_ARRAY: &entry.phone,
        BYTEA_ARRAY: &entry.email, BYTEA_ARRAY: &entry.user_id, TEXT_ARRAY: &entry.items,
        TEXT_ARRAY: &entry.properties, BOOL_ARRAY: entry.weak,
    })?;
    let standing = send!(transaction, "standing_entries", rows.receipts, |report| {
        INT4_ARRAY: report.key.site_id, TEXT_ARRAY: &report.key.order_id, INT2_ARRAY: report.key.kind,
        TEXT_ARRAY: &report.key.reference, INT2_ARRAY: report.key.way,
    })?;
    Ok(standing
        .iter()
        .filter_map(|row| {
            let index = usize::try_from(row.get::<_, i64>("index")).ok()?.checked_sub(1)?;
            let report = rows.receipts.get(index)?;
            Some((report.receipt, outcome(report, row.get("hash"), row.get("value"), row.get("currency"))))
        })
        .collect())
}

/// Writes payments and references; answers the orders of those that are known to belong together by them.
pub(super) async fn payments(transaction: &Transaction<'_>, rows: &Rows) -> Result<Orders, Error> {
    send!(transaction, "order_references", rows.references, |(site_id, reference, order_id)| {
        INT4_ARRAY: site_id, TEXT_ARRAY: reference, TEXT_ARRAY: order_id,
    })?;
    send!(transaction, "payments", rows.payments, |((site_id, reference, way), payment)| {
        INT4_ARRAY: site_id, TEXT_ARRAY: reference, INT2_ARRAY: way, TIMESTAMPTZ_ARRAY: payment.at,
        TIMESTAMPTZ_ARRAY: payment.received_at, INT8_ARRAY: payment.hash, NUMERIC_ARRAY: payment.value,
        TEXT_ARRAY: &payment.currency,
    })?;
    let named = rows.references.iter().map(|(site_id, reference, _)| (site_id, reference));
    let named = named.chain(rows.payments.keys().map(|(site_id, reference, _)| (site_id, reference)));
    let named: Vec<_> = named.collect();
    let settled = send!(transaction, "settle_payments", named, |(site_id, reference)| {
        INT4_ARRAY: *site_id, TEXT_ARRAY: reference,
    })?;
    Ok(settled.iter().map(|row| (row.get(0), row.get(1))).collect())
}

fn outcome(report: &Report, hash: i64, value: Option<Decimal>, currency: Option<String>) -> ReportOutcome {
    let other_currency = currency.is_some() && report.currency.is_some() && currency != report.currency;
    if hash == report.hash {
        ReportOutcome::Recorded
    } else if value == report.value && !other_currency {
        ReportOutcome::Duplicate
    } else {
        let known = value.map_or_else(|| "no value".to_owned(), |value| value.to_string());
        let currency = currency.map(|currency| format!(" {currency}")).unwrap_or_default();
        ReportOutcome::Refused(format!("this entry was reported before with {known}{currency}"))
    }
}

/// Computes these orders, whose reports named these keys of customers before. The transaction must hold the settle lock
/// exclusively.
pub(super) async fn orders(
    transaction: &Transaction<'_>,
    orders: &Orders,
    keys_before: &Keys,
    terms: Terms,
) -> Result<(), Error> {
    if orders.is_empty() {
        return Ok(());
    }
    let seconds = terms.lookback.as_secs_f64();
    let mut sessions = join(transaction, orders, terms).await?;
    // Of customers it matters whom their orders are joined to, which is known only now.
    let more = customers::find(transaction, orders, keys_before).await?;
    sessions.extend(join(transaction, &more, terms).await?);
    let orders = &orders.union(&more).cloned().collect::<Orders>();
    let links = send!(transaction, "settle_links", orders, |(site, order)| {
        INT4_ARRAY: site, TEXT_ARRAY: order,
    }, FLOAT8: seconds)?;
    sessions.extend(links.iter().filter_map(|row| row.get::<_, Option<Uuid>>("session_id")));
    send!(transaction, "clear_credits", orders, |(site, order)| { INT4_ARRAY: site, TEXT_ARRAY: order })?;
    send!(transaction, "settle_credits", orders, |(site, order)| {
        INT4_ARRAY: site, TEXT_ARRAY: order,
    }, FLOAT8: seconds)?;
    let sessions: Vec<Uuid> = sessions.into_iter().collect();
    transaction
        .query_typed(include_str!("sql/settle_sessions.sql"), &[(&sessions, Type::UUID_ARRAY)])
        .await?;
    forget::anonymise_orders(transaction, orders).await
}

/// Joins orders to whom a cookie, a session or a visitor's name leads; answers the sessions that they were and are of.
async fn join(transaction: &Transaction<'_>, orders: &Orders, terms: Terms) -> Result<BTreeSet<Uuid>, Error> {
    let before = send!(transaction, "order_sessions", orders, |(site, order)| {
        INT4_ARRAY: site, TEXT_ARRAY: order,
    })?;
    let after = send!(transaction, "settle_orders", orders, |(site, order)| {
        INT4_ARRAY: site, TEXT_ARRAY: order,
    }, FLOAT8: terms.lookback.as_secs_f64(), INT4: i32::from(terms.purchase_points))?;
    let sessions = before.iter().chain(&after).filter_map(|row| row.get::<_, Option<Uuid>>("session_id"));
    Ok(sessions.collect())
}
