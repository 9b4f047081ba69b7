//! `orders`: the window's orders, newest first, each with what its ledger makes it and what it is credited to.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Number;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::stats::AppState;
use crate::stats::answer::{Answer, ListMeta};
use crate::stats::csv;
use crate::stats::cursor::OrderCursor;
use crate::stats::database::{DatabaseError, Parameter, Snapshot};
use crate::stats::details::OrderDetails;
use crate::stats::filters::contains_pattern;
use crate::stats::general::sold;
use crate::stats::params::{Accepts, Format, ParameterError};
use crate::stats::problem::StatsError;
use crate::stats::ratio::from_millionths;
use crate::stats::sales::Sales;
use crate::stats::scope::{Money, Scope};
use crate::stats::worth::text;

pub(crate) const ACCEPTS: Accepts =
    Accepts { list: Some((50, &["placed_at"])), search: true, ..Accepts::MONEY };

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Order {
    #[serde(flatten)]
    details: OrderDetails,
    /// Of the touch with the greatest credit that passes the filters.
    source: String,
    medium: String,
    campaign: String,
    content: String,
    channel: String,
    /// Part of the order whose touches pass the filters, up to 1.
    credit: Number,
    /// What of it counts, in the report's currency; null in another.
    revenue: Option<String>,
}

/// Of all orders, also those that are not given, by their credit.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Totals {
    orders: Number,
    paid_orders: Number,
    gross: String,
    paid: String,
    refunds: String,
    revenue: String,
}

/// Orders that are looked at first, and how many times as many next.
const FIRST_REACH: i64 = 500;
const GROWTH: i64 = 16;

/// `GET /api/v1/orders`
pub(crate) async fn orders(
    State(shared): AppState,
    RawQuery(query): RawQuery,
) -> Result<Response, StatsError> {
    let params = shared.params(query.as_deref(), &ACCEPTS)?;
    if params.sort.ascending {
        return Err(ParameterError::new("sort", "orders come newest first").into());
    }
    let after = params.cursor.as_deref().map(OrderCursor::decode).transpose()?;
    let pattern = params.search.as_ref().map(|text| contains_pattern(&text.trim().to_lowercase()));
    let snapshot = shared.context.database.snapshot().await?;
    let scope = Scope::of(&params);
    let money = Money::of(&params, &shared.config(), &snapshot).await?;
    let (time, site) =
        (after.as_ref().map(|after| after.placed_at), after.as_ref().map(|after| after.site_id));
    let id = after.map(|after| after.order_id);
    let one_more = i64::from(params.limit) + 1;
    let totals = sold(&snapshot, &scope, &money).await?;
    let asked = [
        (&pattern as _, Type::TEXT),
        (&time as _, Type::TIMESTAMPTZ),
        (&site as _, Type::INT4),
        (&id as _, Type::TEXT),
        (&one_more as _, Type::INT8),
    ];
    let mut rows = newest(&snapshot, &scope, &money, time, asked, params.limit as usize + 1).await?;
    let freshness = snapshot.conclude().await?;
    let limit = params.limit as usize;
    let is_more = rows.len() > limit;
    rows.truncate(limit);
    let cursor = rows.last().filter(|_| is_more).map(cursor).transpose().map_err(DatabaseError::from)?;
    let results = rows.iter().map(|row| Order::read(row, &params.zone));
    let results = results.collect::<Result<Vec<_>, _>>().map_err(DatabaseError::from)?;
    if params.format == Format::Csv {
        return Ok(csv::attachment("orders", &results));
    }
    let left_out = totals.left_out;
    let list = ListMeta {
        totals: Totals::of(&totals, money.minor_units()),
        other: None,
        next_cursor: cursor.map(|cursor| cursor.encode()),
    };
    let searched =
        params.search.is_some().then(|| "totals are of all orders, whatever q looks for".to_owned());
    Ok(Answer::of_window(freshness, &params, results)
        .with_money(&params, money.currency(), left_out)
        .with_list(&params, list)
        .with_warning(searched)
        .into_response())
}

/// The orders of a page. They are looked for among the newest first, in spans that grow: few pages need the whole window.
async fn newest(
    snapshot: &Snapshot,
    scope: &Scope,
    money: &Money,
    after: Option<Timestamp>,
    asked: [Parameter<'_>; 5],
    wanted: usize,
) -> Result<Vec<Row>, DatabaseError> {
    let (from, to) = scope.window();
    let mut reach = FIRST_REACH;
    loop {
        let since = if money.is_by_session() {
            None
        } else {
            let mut parameters = scope.parameters_of_sites();
            parameters.push((&after, Type::TIMESTAMPTZ));
            parameters.push((&reach, Type::INT8));
            let row = snapshot.row(include_str!("sql/orders_since.sql"), &parameters).await?;
            row.map(|row| row.try_get::<_, Timestamp>("placed_at")).transpose()?
        };
        let part = since.or(from).map_or_else(|| scope.clone(), |since| scope.between(since, to));
        let mut parameters = part.parameters();
        parameters.extend(money.parameters());
        parameters.extend(asked.iter().cloned());
        let rows = snapshot.rows(include_str!("sql/orders.sql"), &parameters).await?;
        if since.is_none() || rows.len() >= wanted {
            return Ok(rows);
        }
        reach *= GROWTH;
    }
}

fn cursor(row: &Row) -> Result<OrderCursor, tokio_postgres::Error> {
    Ok(OrderCursor {
        placed_at: row.try_get("placed_at")?,
        site_id: row.try_get("site_id")?,
        order_id: row.try_get("order_id")?,
    })
}

impl Order {
    fn read(row: &Row, zone: &TimeZone) -> Result<Order, tokio_postgres::Error> {
        let details = OrderDetails::read(row, zone)?;
        Ok(Order {
            details: if row.try_get("forgotten")? { details.anonymous() } else { details },
            source: row.try_get("source")?,
            medium: row.try_get("medium")?,
            campaign: row.try_get("campaign")?,
            content: row.try_get("content")?,
            channel: row.try_get("channel")?,
            credit: from_millionths(row.try_get("credit")?),
            revenue: row.try_get("credited_revenue")?,
        })
    }
}

impl Totals {
    fn of(sold: &Sales, digits: usize) -> Totals {
        Totals {
            orders: from_millionths(sold.orders),
            paid_orders: from_millionths(sold.paid_orders),
            gross: text(sold.gross, digits),
            paid: text(sold.paid, digits),
            refunds: text(sold.refunds, digits),
            revenue: text(sold.revenue, digits),
        }
    }
}
