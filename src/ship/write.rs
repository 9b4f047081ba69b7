//! One batch, one transaction: read [`attempt`] for the order of its steps.
//!
//! # Why batches cannot miss each other
//!
//! An order is computed from facts of other batches. So whoever computes orders holds [`locks::SETTLE`] exclusively:
//! every other batch is then committed, and seen, or has not begun, and will find the order. All other batches hold
//! it shared. A batch finds out under the shared lock whether it concerns orders; if so it starts over with the
//! exclusive one, since two batches that both wanted more than they hold would wait for each other.
//!
//! Whoever is forgotten is so under the exclusive lock, too. So a batch that holds the lock sees whether the list is the
//! one it was folded with; if not it is folded again.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use deadpool_postgres::{Client, Transaction};
use jiff::Timestamp;
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::batch::{Batch, Located};
use super::columns::send;
use super::customers;
use super::events;
use super::forget;
use super::forgotten::ForgottenList;
use super::growth::Growth;
use super::identifications;
use super::rows::events::{Event, ProductView};
use super::rows::identifications::Identifications;
use super::rows::visitors::Visitor;
use super::rows::{Rows, SessionKey, kind_id, stored};
use super::settle;
use super::spend;
use super::told;
use crate::erasure::Receipt;
use crate::hit::ReportOutcome;
use crate::store::locks;

/// How long a transaction may stand idle (its shipper frozen), wait for a lock, or run one statement.
const TIMEOUTS_MS: [&str; 3] = ["10000", "20000", "60000"];

/// What became of reports whose senders wait: request, position in it and outcome.
pub(super) type Outcomes = Vec<((Uuid, u32), ReportOutcome)>;

/// What became of one try.
#[derive(Debug)]
pub(super) enum Attempt {
    /// It is in the database.
    Committed { outcomes: Outcomes, receipts: Vec<Receipt>, growth: Growth },
    /// Nothing was written: the checkpoint of this journal is not where the batch begins.
    CheckpointMoved(Uuid),
    /// Nothing was written: the batch has facts from before this horizon.
    PastHorizon(Timestamp),
    /// Nothing was written: orders must be computed, which needs the exclusive lock.
    ConcernsOrders,
    /// Nothing was written: others are forgotten than when the batch was folded.
    OthersForgotten(ForgottenList),
}

/// What an error asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The same again: two transactions were in each other's way.
    Conflict,
    /// A row cannot be stored, whenever it is tried.
    Data,
    /// A partition is missing, or is not one for this row.
    Partition,
    /// A statement took too long: fewer rows may do.
    Slow,
    /// The database is away, or not as it should be; the commit may have happened.
    Elsewhere,
}

impl Fault {
    pub(super) fn of(error: &tokio_postgres::Error) -> Fault {
        let Some(state) = error.code() else {
            // The client side refuses a value, too; it has no other mark.
            let refused = !error.is_closed() && error.to_string().starts_with("error serializing");
            return if refused { Fault::Data } else { Fault::Elsewhere };
        };
        let conflicts = [
            &SqlState::T_R_SERIALIZATION_FAILURE,
            &SqlState::T_R_DEADLOCK_DETECTED,
            &SqlState::LOCK_NOT_AVAILABLE,
        ];
        if conflicts.contains(&state) {
            return Fault::Conflict;
        }
        let constraint = error.as_db_error().and_then(DbError::constraint);
        match state.code().get(..2) {
            // Only a constraint of the table's own has a name.
            _ if *state == SqlState::CHECK_VIOLATION && constraint.is_none() => Fault::Partition,
            _ if *state == SqlState::QUERY_CANCELED => Fault::Slow,
            Some("21" | "22" | "23" | "54") => Fault::Data,
            _ => Fault::Elsewhere,
        }
    }
}

/// How a batch is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) cap: i64,
    pub(super) lookback: Duration,
    pub(super) purchase_points: i16,
    pub(super) exclusive: bool,
}

/// Tries once. Of the visitors those are written that are named.
pub(super) async fn attempt(
    client: &mut Client,
    batch: &Batch,
    rows: &Rows,
    visitors: &[(&Uuid, &Visitor)],
    terms: Terms,
) -> Result<Attempt, tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    let timeouts = TIMEOUTS_MS.each_ref().map(|text| (text as _, Type::TEXT));
    transaction.query_typed(include_str!("sql/begin.sql"), &timeouts).await?;
    if let Some(journal) = move_checkpoints(&transaction, batch, rows.newest_at()).await? {
        return Ok(Attempt::CheckpointMoved(journal));
    }
    if !rows.erasures.is_empty() {
        forget::hold_months(&transaction).await?;
    }
    let ((), horizon, changed) = tokio::try_join!(
        biased;
        lock(&transaction, terms.exclusive),
        horizon(&transaction),
        rows.forgotten.changed(&transaction),
    )?;
    if let Some(horizon) = horizon
        && rows.oldest_at.is_some_and(|oldest| oldest < horizon)
    {
        return Ok(Attempt::PastHorizon(horizon));
    }
    if let Some(list) = changed {
        return Ok(Attempt::OthersForgotten(list));
    }
    if !rows.new_sessions.is_empty() {
        forget::add_sessions(&transaction, &rows.new_sessions).await?;
    }
    let (mut concerned, are_new) = tokio::try_join!(
        biased;
        settle::concerned(&transaction, rows),
        identifications::are_new(&transaction, rows),
    )?;
    if (are_new || !concerned.is_empty()) && !terms.exclusive {
        return Ok(Attempt::ConcernsOrders);
    }
    write_quarantine(&transaction, rows).await?;
    let growth = Growth::add(&transaction, &rows.dictionaries, terms.cap).await?;
    let (mut outcomes, told);
    if growth.refused.is_empty() {
        write_facts(&transaction, rows, visitors).await?;
        (outcomes, told) = write_told(&transaction, rows).await?;
    } else {
        let mut rows = rows.clone();
        rows.overflow(&growth.refused);
        let visitors: Vec<(&Uuid, &Visitor)> =
            visitors.iter().filter_map(|(id, _)| rows.visitors.get_key_value(*id)).collect();
        write_facts(&transaction, &rows, &visitors).await?;
        (outcomes, told) = write_told(&transaction, &rows).await?;
    }
    let identified = identifications::write(&transaction, rows, told, are_new).await?;
    if !identified.orders.is_empty() && !terms.exclusive {
        return Ok(Attempt::ConcernsOrders);
    }
    concerned.extend(identified.orders);
    concerned.extend(told::join(&transaction, rows).await?);
    let keys = customers::keys(&transaction, &concerned).await?;
    outcomes.extend(settle::entries(&transaction, rows).await?);
    concerned.extend(settle::payments(&transaction, rows).await?);
    // Reports of this batch are there now: what is replaced is so in them, too.
    forget::anonymise_identifications(&transaction, &identified.visitors, &identified.sessions).await?;
    forget::rename_hashes(&transaction, &rows.new_hashes).await?;
    settle::orders(&transaction, &concerned, &keys, terms).await?;
    let mut receipts = Vec::new();
    for erasure in &rows.erasures {
        receipts.push(forget::forget(&transaction, erasure).await?);
    }
    growth.count(&transaction).await?;
    transaction.commit().await?;
    Ok(Attempt::Committed { outcomes, receipts, growth })
}

/// Writes what the API told but for orders; answers who somebody is by it.
async fn write_told(
    transaction: &Transaction<'_>,
    rows: &Rows,
) -> Result<(Outcomes, Vec<Identifications>), tokio_postgres::Error> {
    let (mut outcomes, identifications) = told::write(transaction, rows).await?;
    outcomes.extend(spend::write(transaction, rows).await?);
    Ok((outcomes, identifications))
}

/// Answers the journal that stands elsewhere.
async fn move_checkpoints(
    transaction: &Transaction<'_>,
    batch: &Batch,
    newest_at: Option<Timestamp>,
) -> Result<Option<Uuid>, tokio_postgres::Error> {
    for stretch in batch.stretches() {
        let journal = stretch.journal;
        let (Some((segment, offset)), Some((next_segment, next_offset))) =
            (stored(stretch.expected), stored(stretch.next))
        else {
            return Ok(Some(journal));
        };
        let records = i64::try_from(stretch.records.len()).unwrap_or(i64::MAX);
        let moved = transaction
            .query_typed(
                include_str!("sql/move_checkpoint.sql"),
                &[
                    (&journal, Type::UUID),
                    (&segment, Type::INT8),
                    (&offset, Type::INT8),
                    (&next_segment, Type::INT8),
                    (&next_offset, Type::INT8),
                    (&records, Type::INT8),
                    (&newest_at, Type::TIMESTAMPTZ),
                ],
            )
            .await?;
        if moved.is_empty() {
            return Ok(Some(journal));
        }
    }
    Ok(None)
}

async fn lock(transaction: &Transaction<'_>, exclusive: bool) -> Result<(), tokio_postgres::Error> {
    let sql =
        if exclusive { include_str!("sql/lock_exclusive.sql") } else { include_str!("sql/lock_shared.sql") };
    transaction.query_typed(sql, &[(&locks::SETTLE, Type::INT8)]).await.map(drop)
}

/// What retention has passed. It moves under the exclusive lock only: it stands until the end of this transaction.
async fn horizon(transaction: &Transaction<'_>) -> Result<Option<Timestamp>, tokio_postgres::Error> {
    Ok(transaction.query_typed_one(include_str!("sql/horizon.sql"), &[]).await?.get("horizon"))
}

/// A record that names who is forgotten leaves its place and its error only.
async fn write_quarantine(transaction: &Transaction<'_>, rows: &Rows) -> Result<(), tokio_postgres::Error> {
    let payload = |record: &Located| {
        if rows.forgotten.is_named_in(&record.payload) { Bytes::new() } else { record.payload.clone() }
    };
    send!(transaction, "quarantine", rows.refused, |refused| {
        UUID_ARRAY: refused.journal,
        INT8_ARRAY: stored(refused.record.position).map(|(segment, _)| segment),
        INT8_ARRAY: stored(refused.record.position).map(|(_, offset)| offset),
        BYTEA_ARRAY: payload(&refused.record).to_vec(),
        TEXT_ARRAY: &refused.error,
    })?;
    Ok(())
}

/// Tables in one order for all proxies, rows in key order: so that batches wait for each other, not in a circle.
async fn write_facts(
    transaction: &Transaction<'_>,
    rows: &Rows,
    visitors: &[(&Uuid, &Visitor)],
) -> Result<(), tokio_postgres::Error> {
    let ((), new_views) = tokio::try_join!(biased; write_visitors(transaction, visitors), write_product_views(transaction, rows))?;
    tokio::try_join!(
        biased;
        write_sessions(transaction, rows, &new_views),
        write_cookies(transaction, rows),
        write_touches(transaction, rows),
        write_bot_hits(transaction, rows),
        write_denied_hits(transaction, rows),
        write_link_findings(transaction, rows),
    )?;
    let events: Vec<&Event> = rows.events.iter().chain(new_views.iter().map(|(_, view)| &view.hit)).collect();
    events::copy(transaction, &events).await
}

async fn write_visitors(
    transaction: &Transaction<'_>,
    visitors: &[(&Uuid, &Visitor)],
) -> Result<(), tokio_postgres::Error> {
    send!(transaction, "visitors", visitors, |(id, visitor)| {
        UUID_ARRAY: id, INT4_ARRAY: visitor.site_id, INT2_ARRAY: visitor.identity,
        TIMESTAMPTZ_ARRAY: visitor.first_seen, TIMESTAMPTZ_ARRAY: visitor.last_seen,
        UUID_ARRAY: visitor.minted_from, TIMESTAMPTZ_ARRAY: visitor.registered_at,
        TIMESTAMPTZ_ARRAY: visitor.first_touch.map(|touch| touch.at),
        INT8_ARRAY: visitor.first_touch.map(|touch| touch.evidence),
        INT8_ARRAY: visitor.first_touch.map(|touch| touch.campaign_id),
        INT8_ARRAY: visitor.first_touch.and_then(|touch| touch.referrer_id),
        TIMESTAMPTZ_ARRAY: visitor.last_touch.map(|touch| touch.at),
        INT8_ARRAY: visitor.last_touch.map(|touch| touch.evidence),
        INT8_ARRAY: visitor.last_touch.map(|touch| touch.campaign_id),
        INT8_ARRAY: visitor.last_touch.and_then(|touch| touch.referrer_id),
    })
    .map(drop)
}

async fn write_cookies(transaction: &Transaction<'_>, rows: &Rows) -> Result<(), tokio_postgres::Error> {
    send!(transaction, "cookies", rows.cookies, |((key, name), cookie)| {
        UUID_ARRAY: key.session_id, UUID_ARRAY: key.visitor_id, TIMESTAMPTZ_ARRAY: key.session_hour,
        TIMESTAMPTZ_ARRAY: cookie.at, TEXT_ARRAY: name, TEXT_ARRAY: &cookie.value,
    })
    .map(drop)
}

async fn write_touches(transaction: &Transaction<'_>, rows: &Rows) -> Result<(), tokio_postgres::Error> {
    send!(transaction, "touches", rows.touches, |((key, evidence), touch)| {
        UUID_ARRAY: key.session_id, UUID_ARRAY: key.visitor_id, TIMESTAMPTZ_ARRAY: key.session_hour,
        INT8_ARRAY: evidence, TIMESTAMPTZ_ARRAY: touch.at, INT8_ARRAY: touch.hash,
        INT8_ARRAY: touch.campaign_id, INT8_ARRAY: touch.referrer_id, INT8_ARRAY: touch.page_id,
        INT4_ARRAY: touch.site_id, INT4_ARRAY: touch.flags, INT2_ARRAY: touch.status,
        TEXT_ARRAY: &touch.click_ids,
    })
    .map(drop)
}

async fn write_bot_hits(transaction: &Transaction<'_>, rows: &Rows) -> Result<(), tokio_postgres::Error> {
    send!(transaction, "bot_hits", rows.bot_hits, |((hour, site, bot, reasons), row)| {
        TIMESTAMPTZ_ARRAY: hour, INT4_ARRAY: site, TEXT_ARRAY: bot, INT4_ARRAY: reasons, INT8_ARRAY: row.hits,
        INT2_ARRAY: row.rules,
    })
    .map(drop)
}

async fn write_denied_hits(transaction: &Transaction<'_>, rows: &Rows) -> Result<(), tokio_postgres::Error> {
    send!(transaction, "denied_hits", rows.denied_hits, |((quarter, site, campaign), counts)| {
        TIMESTAMPTZ_ARRAY: quarter, INT4_ARRAY: site, INT8_ARRAY: campaign,
        INT8_ARRAY: counts.page_views, INT8_ARRAY: counts.landings, INT8_ARRAY: counts.orders,
    })
    .map(drop)
}

async fn write_link_findings(
    transaction: &Transaction<'_>,
    rows: &Rows,
) -> Result<(), tokio_postgres::Error> {
    send!(transaction, "link_findings", rows.link_findings, |((day, site, page, finding), hits)| {
        DATE_ARRAY: day, INT4_ARRAY: site, INT8_ARRAY: page, INT2_ARRAY: finding, INT8_ARRAY: hits,
    })
    .map(drop)
}

/// Answers those that count: the others were seen before in the same half hour, perhaps later in it.
async fn write_product_views<'a>(
    transaction: &Transaction<'_>,
    rows: &'a Rows,
) -> Result<Vec<(SessionKey, &'a ProductView)>, tokio_postgres::Error> {
    let added = send!(transaction, "product_views", rows.product_views, |((key, product, slot), view)| {
        UUID_ARRAY: key.session_id, UUID_ARRAY: key.visitor_id, TIMESTAMPTZ_ARRAY: key.session_hour,
        INT8_ARRAY: product, INT4_ARRAY: slot, TIMESTAMPTZ_ARRAY: view.hit.at, INT8_ARRAY: view.hash,
        INT4_ARRAY: view.hit.site_id,
    })?;
    let added: HashSet<(Uuid, Uuid, i64, i32)> =
        added.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect();
    let is_new =
        |key: &SessionKey, product, slot| added.contains(&(key.session_id, key.visitor_id, product, slot));
    let (new, old): (Vec<_>, Vec<_>) =
        rows.product_views.iter().partition(|((key, product, slot), _)| is_new(key, *product, *slot));
    send!(transaction, "earlier_product_views", old, |((key, product, slot), view)| {
        UUID_ARRAY: key.session_id, UUID_ARRAY: key.visitor_id, TIMESTAMPTZ_ARRAY: key.session_hour,
        INT8_ARRAY: product, INT4_ARRAY: slot, TIMESTAMPTZ_ARRAY: view.hit.at, INT8_ARRAY: view.hash,
        INT8_ARRAY: view.hit.page_id, INT2_ARRAY: view.hit.status, NUMERIC_ARRAY: view.hit.value,
        TEXT_ARRAY: &view.hit.currency, TEXT_ARRAY: &view.hit.order_id, TEXT_ARRAY: &view.hit.properties,
        INT4_ARRAY: view.hit.site_id,
    }, INT4: kind_id("product_view"), FLOAT8: 1800.0_f64)?;
    Ok(new.into_iter().map(|((key, ..), view)| (*key, view)).collect())
}

async fn write_sessions(
    transaction: &Transaction<'_>,
    rows: &Rows,
    new_views: &[(SessionKey, &ProductView)],
) -> Result<(), tokio_postgres::Error> {
    let mut view_points: HashMap<SessionKey, i32> = HashMap::new();
    for (key, view) in new_views {
        *view_points.entry(*key).or_default() += i32::from(view.hit.points);
    }
    send!(transaction, "sessions", rows.sessions, |(key, session)| {
        UUID_ARRAY: key.session_id, UUID_ARRAY: key.visitor_id, TIMESTAMPTZ_ARRAY: key.session_hour,
        TIMESTAMPTZ_ARRAY: session.started_at, TIMESTAMPTZ_ARRAY: session.last_seen,
        TIMESTAMPTZ_ARRAY: session.entry.at, INT8_ARRAY: session.entry.hash,
        INT8_ARRAY: session.entry.landing_page_id, INT8_ARRAY: session.entry.agent_id,
        INT8_ARRAY: session.entry.place_id,
        TIMESTAMPTZ_ARRAY: session.touch.map(|touch| touch.at),
        INT8_ARRAY: session.touch.map(|touch| touch.evidence),
        INT8_ARRAY: session.touch.map(|touch| touch.campaign_id),
        INT8_ARRAY: session.touch.and_then(|touch| touch.referrer_id),
        TIMESTAMPTZ_ARRAY: session.funnel.product_view_at, TIMESTAMPTZ_ARRAY: session.funnel.add_to_cart_at,
        TIMESTAMPTZ_ARRAY: session.funnel.initiate_checkout_at, TIMESTAMPTZ_ARRAY: session.funnel.lead_at,
        TIMESTAMPTZ_ARRAY: session.funnel.purchase_at, TIMESTAMPTZ_ARRAY: session.funnel.registration_at,
        INT4_ARRAY: session.entry.site_id, INT4_ARRAY: session.session_number,
        INT4_ARRAY: session.page_views, INT4_ARRAY: session.actions,
        INT4_ARRAY: session.score + view_points.get(key).copied().unwrap_or(0),
        INT4_ARRAY: session.bot_reasons, INT2_ARRAY: session.identity, INT2_ARRAY: session.entry.rank,
        INT2_ARRAY: session.bot_score, TEXT_ARRAY: &session.entry.address,
        INT2_ARRAY: session.bot_rules, BOOL_ARRAY: session.fetched_assets,
    })?;
    Ok(())
}
