//! `repeat-rate`: how many customers buy again, and how soon.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;

use crate::stats::AppState;
use crate::stats::answer::Answer;
use crate::stats::customers::{Customers, Purchase};
use crate::stats::params::Accepts;
use crate::stats::problem::StatsError;
use crate::stats::ratio::{mean, median_days, percent};
use crate::stats::scope::{Money, Scope};

pub(crate) const ACCEPTS: Accepts = Accepts { csv: true, ..Accepts::MONEY };

/// Days within which a second purchase is looked for, and microseconds of a day.
const HORIZONS: [i64; 3] = [30, 60, 90];
const DAY: i64 = 86_400_000_000;

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct RepeatRate {
    /// With a purchase in the window.
    total_customers: i64,
    /// Of them: with an earlier one, ever.
    repeat_customers: i64,
    one_time_customers: i64,
    repeat_rate: Option<f64>,
    /// Purchases of the window.
    total_orders: i64,
    avg_orders_per_customer: Option<f64>,
    /// From a purchase to the customer's next one, where that is in the window.
    median_days_between_orders: Option<f64>,
    /// Of customers whose first purchase is in the window and long enough ago: who bought again within so many days.
    within: Vec<Within>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Within {
    days: i64,
    customers: i64,
    repeat_customers: i64,
    repeat_rate: Option<f64>,
}

/// `GET /api/v1/repeat-rate`
pub(crate) async fn repeat_rate(
    State(shared): AppState,
    RawQuery(query): RawQuery,
) -> Result<Response, StatsError> {
    let mut params = shared.params(query.as_deref(), &ACCEPTS)?;
    params.use_period_by_default("month")?;
    let snapshot = shared.context.database.snapshot().await?;
    let money = Money::of(&params, &shared.config(), &snapshot).await?;
    let customers = Customers::read(&snapshot, &Scope::of(&params), &money).await?;
    let freshness = snapshot.conclude().await?;
    let of_window: Vec<&[Purchase]> =
        customers.each().filter(|orders| orders.iter().any(|order| order.chosen)).collect();
    let count = |condition: &dyn Fn(&[Purchase]) -> bool| {
        i64::try_from(of_window.iter().filter(|orders| condition(orders)).count()).unwrap_or(i64::MAX)
    };
    let (total, repeat) =
        (count(&|_| true), count(&|orders| orders.iter().skip(1).any(|order| order.chosen)));
    let orders = of_window.iter().flat_map(|orders| orders.iter()).filter(|order| order.chosen).count();
    let orders = i64::try_from(orders).unwrap_or(i64::MAX);
    let within = HORIZONS.into_iter().map(|days| {
        let horizon = days * DAY;
        let is_mature = |orders: &[Purchase]| {
            orders
                .first()
                .is_some_and(|first| first.chosen && params.now.as_microsecond() - first.at >= horizon)
        };
        let again =
            |orders: &[Purchase]| matches!(orders, [first, second, ..] if second.at - first.at <= horizon);
        let (mature, came_again) = (count(&is_mature), count(&|orders| is_mature(orders) && again(orders)));
        Within {
            days,
            customers: mature,
            repeat_customers: came_again,
            repeat_rate: percent(came_again, mature),
        }
    });
    let results = RepeatRate {
        total_customers: total,
        repeat_customers: repeat,
        one_time_customers: total - repeat,
        repeat_rate: percent(repeat, total),
        total_orders: orders,
        avg_orders_per_customer: mean(orders, total),
        median_days_between_orders: median_days(&mut gaps(&of_window)),
        within: within.collect(),
    };
    Ok(Answer::of_window(freshness, &params, results)
        .with_money(&params, money.currency(), 0)
        .with_warning(customers.warning())
        .in_format(&params, "repeat-rate"))
}

/// Microseconds from each customer's order before to each purchase of the window.
fn gaps(customers: &[&[Purchase]]) -> Vec<i64> {
    let pairs = customers.iter().flat_map(|orders| orders.windows(2)).filter(|pair| pair[1].chosen);
    pairs.map(|pair| pair[1].at - pair[0].at).collect()
}
