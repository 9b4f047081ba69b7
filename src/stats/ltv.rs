//! `ltv-comparison`: what visitors are worth, by the source that brought them first.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::stats::AppState;
use crate::stats::answer::Answer;
use crate::stats::csv;
use crate::stats::database::DatabaseError;
use crate::stats::money;
use crate::stats::params::{Accepts, Format};
use crate::stats::problem::StatsError;
use crate::stats::ratio::mean;
use crate::stats::scope::{Money, Scope};

pub(crate) const ACCEPTS: Accepts = Accepts { csv: true, ..Accepts::MONEY };

/// Visitors who first came in the window, and what they brought since, whatever credited it.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Value {
    source: String,
    visitors: i64,
    /// Of them, with an order.
    customers: i64,
    orders: i64,
    revenue: String,
    ltv_per_visitor: Option<String>,
    ltv_per_customer: Option<String>,
    orders_per_customer: Option<f64>,
    avg_order_value: Option<String>,
    /// Those who came at least 30 days ago, and what they brought within 30 days.
    visitors_30: i64,
    customers_30: i64,
    revenue_30: String,
    ltv_per_visitor_30: Option<String>,
    ltv_per_customer_30: Option<String>,
    visitors_60: i64,
    customers_60: i64,
    revenue_60: String,
    ltv_per_visitor_60: Option<String>,
    ltv_per_customer_60: Option<String>,
    visitors_90: i64,
    customers_90: i64,
    revenue_90: String,
    ltv_per_visitor_90: Option<String>,
    ltv_per_customer_90: Option<String>,
}

/// All sources together.
#[derive(Debug, Default, JsonSchema, Serialize)]
pub(crate) struct Totals {
    visitors: i64,
    customers: i64,
    orders: i64,
    revenue: String,
}

/// `GET /api/v1/ltv-comparison`
pub(crate) async fn ltv_comparison(
    State(shared): AppState,
    RawQuery(query): RawQuery,
) -> Result<Response, StatsError> {
    let mut params = shared.params(query.as_deref(), &ACCEPTS)?;
    params.use_period_by_default("month")?;
    let snapshot = shared.context.database.snapshot().await?;
    let scope = Scope::of(&params);
    let money = Money::of(&params, &shared.config(), &snapshot).await?;
    let mut parameters = scope.parameters();
    parameters.extend(money.parameters());
    parameters.push((&params.now, Type::TIMESTAMPTZ));
    let rows = snapshot.rows(include_str!("sql/ltv.sql"), &parameters).await?;
    let freshness = snapshot.conclude().await?;
    let digits = money.minor_units();
    let left_out = rows.iter().map(|row| row.try_get::<_, i64>("left_out")).sum::<Result<i64, _>>();
    let left_out = left_out.map_err(DatabaseError::from)?;
    let values = rows
        .iter()
        .map(|row| Value::read(row, digits))
        .collect::<Result<Vec<_>, _>>()
        .map_err(DatabaseError::from)?;
    if params.format == Format::Csv {
        return Ok(csv::attachment("ltv-comparison", &values));
    }
    let mut totals = Totals::default();
    let mut revenue = Decimal::ZERO;
    for value in &values {
        totals.visitors += value.visitors;
        totals.customers += value.customers;
        totals.orders += value.orders;
        revenue += value.revenue.parse::<Decimal>().unwrap_or_default();
    }
    totals.revenue = format!("{revenue:.digits$}");
    Ok(Answer::of_window(freshness, &params, values)
        .with_money(&params, money.currency(), left_out)
        .with_totals(totals)
        .into_response())
}

impl Value {
    fn read(row: &Row, digits: usize) -> Result<Value, tokio_postgres::Error> {
        let count = |column: &str| row.try_get::<_, i64>(column);
        let text = |column: &str| row.try_get::<_, String>(column);
        let each = |amount: &str, of: &str| {
            Ok::<_, tokio_postgres::Error>(money::each(&text(amount)?, count(of)?, digits))
        };
        Ok(Value {
            source: text("source")?,
            visitors: count("visitors")?,
            customers: count("customers")?,
            orders: count("orders")?,
            revenue: text("revenue")?,
            ltv_per_visitor: each("revenue", "visitors")?,
            ltv_per_customer: each("revenue", "customers")?,
            orders_per_customer: mean(count("orders")?, count("customers")?),
            avg_order_value: row.try_get("avg_order_value")?,
            visitors_30: count("visitors_30")?,
            customers_30: count("customers_30")?,
            revenue_30: text("revenue_30")?,
            ltv_per_visitor_30: each("revenue_30", "visitors_30")?,
            ltv_per_customer_30: each("revenue_30", "customers_30")?,
            visitors_60: count("visitors_60")?,
            customers_60: count("customers_60")?,
            revenue_60: text("revenue_60")?,
            ltv_per_visitor_60: each("revenue_60", "visitors_60")?,
            ltv_per_customer_60: each("revenue_60", "customers_60")?,
            visitors_90: count("visitors_90")?,
            customers_90: count("customers_90")?,
            revenue_90: text("revenue_90")?,
            ltv_per_visitor_90: each("revenue_90", "visitors_90")?,
            ltv_per_customer_90: each("revenue_90", "customers_90")?,
        })
    }
}
