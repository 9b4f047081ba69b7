//! `general-stats`: the numbers of a window.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;

use crate::stats::AppState;
use crate::stats::answer::Answer;
use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::params::{Accepts, Params};
use crate::stats::period::Window;
use crate::stats::problem::StatsError;
use crate::stats::ratio::{Interval, from_millionths, mean, percent, wilson};
use crate::stats::sales::{Sales, Wanted, sales};
use crate::stats::scan::{self, scan};
use crate::stats::scope::{Money, Scope};
use crate::stats::tally::{TALLIED, Tally};
use crate::stats::visitors::{People, Way};
use crate::stats::worth::text;
use crate::store::columns::Number;

pub(crate) const ACCEPTS: Accepts = Accepts { csv: true, ..Accepts::MONEY };

/// The numbers of a window. Rates are percent with two decimals, null over nothing; money is decimal text.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct GeneralStats {
    total_sessions: i64,
    unique_visitors: i64,
    new_visitors: i64,
    page_views: i64,
    pages_per_session: Option<f64>,
    bounce_rate: Option<f64>,
    avg_session_seconds: Option<f64>,
    total_conversions: i64,
    conversion_rate: Option<f64>,
    conversion_rate_interval: Option<Interval>,
    lead_sessions: i64,
    lead_rate: Option<f64>,
    registrations: i64,
    total_orders: serde_json::Number,
    paid_orders: serde_json::Number,
    total_revenue: String,
    gross_revenue: String,
    paid_revenue: String,
    refunds: String,
    avg_order_value: Option<String>,
    total_score: i64,
    avg_score_per_session: Option<f64>,
}

/// `GET /api/v1/general-stats`
pub(crate) async fn general_stats(
    State(shared): AppState,
    RawQuery(query): RawQuery,
) -> Result<Response, StatsError> {
    let params = shared.params(query.as_deref(), &ACCEPTS)?;
    let snapshot = shared.context.database.snapshot().await?;
    let money = Money::of(&params, &shared.config(), &snapshot).await?;
    let counted = count(&snapshot, &params, params.window, &money).await?;
    let freshness = snapshot.conclude().await?;
    Ok(Answer::of_window(freshness, &params, counted.stats)
        .with_money(&params, money.currency(), counted.left_out)
        .with_warning(counted.way.warning())
        .in_format(&params, "general-stats"))
}

/// The numbers of a window, and what the reader must know of them.
pub(crate) struct Counted {
    pub(crate) stats: GeneralStats,
    /// How people were told apart.
    pub(crate) way: Way,
    /// Orders in another currency.
    pub(crate) left_out: i64,
}

/// Counts a window that need not be the request's own.
pub(crate) async fn count(
    snapshot: &Snapshot,
    params: &Params,
    window: Window,
    money: &Money,
) -> Result<Counted, DatabaseError> {
    let scope = Scope::within(params, window);
    let way = Way::of(snapshot, &scope).await?;
    let (tally, visitors) = sessions(snapshot, &scope, way).await?;
    let orders = sold(snapshot, &scope, money).await?;
    let stats = together(&tally, visitors, &orders, money.minor_units());
    Ok(Counted { stats, way, left_out: orders.left_out })
}

/// What the orders of a scope add up to.
pub(crate) async fn sold(snapshot: &Snapshot, scope: &Scope, money: &Money) -> Result<Sales, DatabaseError> {
    let mut sold = Sales::default();
    // Where nothing is asked of touches, an order need not be divided among them.
    let models = [money.model()];
    let wanted = Wanted { models: if scope.is_filtered() { &models } else { &[] }, ..Wanted::default() };
    sales(snapshot, scope, money, wanted, |sale| sold += sale.all()).await?;
    Ok(sold)
}

/// How many sessions of a window had an order.
pub(crate) async fn conversions(snapshot: &Snapshot, scope: &Scope) -> Result<i64, DatabaseError> {
    let way = Way::of(snapshot, scope).await?;
    Ok(tally(snapshot, scope, way, &[Number::Flags], None).await?.conversions)
}

/// What the sessions of a scope add up to, and how many people they are of.
async fn sessions(snapshot: &Snapshot, scope: &Scope, way: Way) -> Result<(Tally, i64), DatabaseError> {
    let mut people = way.nobody();
    let numbers = [&TALLIED[..], &[way.column()]].concat();
    let tally = tally(snapshot, scope, way, &numbers, Some(&mut people)).await?;
    Ok((tally, people.number(tally.sessions)))
}

/// What these columns of the sessions of a scope add up to; whose they are, where that is asked.
async fn tally(
    snapshot: &Snapshot,
    scope: &Scope,
    way: Way,
    numbers: &[Number],
    mut people: Option<&mut People>,
) -> Result<Tally, DatabaseError> {
    if way == Way::Rolled {
        let row = snapshot.row(include_str!("sql/general_sessions.sql"), &scope.parameters()).await?;
        let row = row.ok_or(DatabaseError::Failed)?;
        if let Some(people) = people {
            people.add_sketch(0, row.try_get::<_, Option<&[u8]>>("sketch")?.unwrap_or_default());
        }
        return Ok(Tally::read(&row)?);
    }
    let mut tally = Tally::default();
    scan(snapshot, scope, scan::Wanted { numbers, ids: &[], lists: &[], edges: &[] }, |part| {
        tally += Tally::of(part, part.chosen());
        if let Some(people) = &mut people {
            let visitors = part.numbers(way.column());
            people.add(0, part.chosen().iter().map(|session| visitors[*session]));
        }
    })
    .await?;
    Ok(tally)
}

fn together(tally: &Tally, unique_visitors: i64, orders: &Sales, digits: usize) -> GeneralStats {
    let Tally { sessions, page_views, conversions, leads, points, .. } = *tally;
    GeneralStats {
        total_sessions: sessions,
        unique_visitors,
        new_visitors: tally.first_visits,
        page_views,
        pages_per_session: mean(page_views, sessions),
        bounce_rate: percent(tally.bounces, sessions),
        avg_session_seconds: mean(tally.milliseconds, sessions * 1000),
        total_conversions: conversions,
        conversion_rate: percent(conversions, sessions),
        conversion_rate_interval: wilson(conversions, sessions),
        lead_sessions: leads,
        lead_rate: percent(leads, sessions),
        registrations: tally.registrations,
        total_orders: from_millionths(orders.orders),
        paid_orders: from_millionths(orders.paid_orders),
        total_revenue: text(orders.revenue, digits),
        gross_revenue: text(orders.gross, digits),
        paid_revenue: text(orders.paid, digits),
        refunds: text(orders.refunds, digits),
        avg_order_value: orders.average(digits),
        total_score: points,
        avg_score_per_session: mean(points, sessions),
    }
}
