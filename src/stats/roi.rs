//! `roi`: what advertising brought for what it cost. What it cost is given with the question, else stored by the day.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use rust_decimal::prelude::ToPrimitive;
use rust_decimal::{Decimal, RoundingStrategy};
use schemars::JsonSchema;
use serde::Serialize;

use crate::stats::AppState;
use crate::stats::answer::Answer;
use crate::stats::customers::Customers;
use crate::stats::general::{conversions, sold};
use crate::stats::params::{Accepts, ParameterError, Params};
use crate::stats::problem::StatsError;
use crate::stats::ratio::two_decimals;
use crate::stats::scope::{Money, Scope};
use crate::stats::spend::Spend;
use crate::stats::worth;

pub(crate) const ACCEPTS: Accepts = Accepts { csv: true, own: &["ad_spend", "margin"], ..Accepts::MONEY };

/// Money is in the report's currency, and so is the spend that was given; null where spend is missing.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Roi {
    revenue: String,
    ad_spend: Option<String>,
    /// Where the spend is from: `given` with the question, or `stored` as `POST /api/v1/ad-spend` told it.
    ad_spend_is: Option<&'static str>,
    /// Revenue, with `margin` that part of it, without the spend.
    profit: Option<String>,
    /// Percent of the spend that is profit.
    roi: Option<f64>,
    /// Revenue for each unit of spend.
    roas: Option<f64>,
    conversions: i64,
    cost_per_conversion: Option<String>,
    /// Customers whose first purchase ever is of the window.
    new_customers: i64,
    /// Spend for each new customer.
    cac: Option<String>,
    avg_order_value: Option<String>,
}

/// `GET /api/v1/roi`
pub(crate) async fn roi(State(shared): AppState, RawQuery(query): RawQuery) -> Result<Response, StatsError> {
    let params = shared.params(query.as_deref(), &ACCEPTS)?;
    let given = decimal(&params, "ad_spend", Decimal::from(1_000_000_000_000_i64))?;
    let margin = decimal(&params, "margin", Decimal::ONE_HUNDRED)?;
    let snapshot = shared.context.database.snapshot().await?;
    let money = Money::of(&params, &shared.config(), &snapshot).await?;
    let scope = Scope::of(&params);
    let conversions = conversions(&snapshot, &scope).await?;
    let sold = sold(&snapshot, &scope, &money).await?;
    let customers = Customers::read(&snapshot, &scope, &money).await?;
    let stored = match given {
        Some(_) => Spend::default(),
        None => Spend::stored(&snapshot, &params, &money).await?,
    };
    let spend = given.or(stored.cost);
    let freshness = snapshot.conclude().await?;
    let new_customers = customers.each().filter(|orders| orders.first().is_some_and(|one| one.chosen));
    let new_customers = i64::try_from(new_customers.count()).unwrap_or(i64::MAX);

    let digits = money.minor_units();
    let text = |amount: Decimal| {
        let places = u32::try_from(digits).unwrap_or(2);
        let amount = amount.round_dp_with_strategy(places, RoundingStrategy::MidpointAwayFromZero);
        format!("{amount:.digits$}")
    };
    let revenue = worth::decimal(sold.revenue, digits);
    let earned = margin.map_or(revenue, |margin| revenue * margin / Decimal::ONE_HUNDRED);
    let profit = spend.map(|spend| earned - spend);
    let for_each = |count: i64| spend.and_then(|spend| spend.checked_div(count.into())).map(text);
    let ratio = |part: Decimal, whole: Option<Decimal>| part.checked_div(whole?)?.to_f64().map(two_decimals);
    let results = Roi {
        ad_spend: spend.map(text),
        ad_spend_is: given.map(|_| "given").or_else(|| stored.cost.map(|_| "stored")),
        profit: profit.map(text),
        roi: profit.and_then(|profit| ratio(profit * Decimal::ONE_HUNDRED, spend)),
        roas: ratio(revenue, spend),
        conversions,
        cost_per_conversion: for_each(conversions),
        new_customers,
        cac: for_each(new_customers),
        avg_order_value: sold.average(digits),
        revenue: worth::text(sold.revenue, digits),
    };
    let missing = spend.is_none().then(|| {
        "what the advertising cost is not known: POST /api/v1/ad-spend keeps it by the day, and ad_spend=1500.00 tells \
            it, in the report's currency"
            .to_owned()
    });
    let mut answer = Answer::of_window(freshness, &params, results)
        .with_money(&params, money.currency(), sold.left_out)
        .with_warning(missing)
        .with_warning(customers.warning());
    for warning in stored.warnings {
        answer = answer.with_warning(Some(warning));
    }
    for (name, value) in [("ad_spend", given), ("margin", margin)] {
        if let Some(value) = value {
            answer = answer.with_own(name, value.to_string());
        }
    }
    Ok(answer.in_format(&params, "roi"))
}

/// A decimal number from 0 to `most`.
fn decimal(params: &Params, name: &str, most: Decimal) -> Result<Option<Decimal>, ParameterError> {
    let Some(text) = params.given.one(name)? else { return Ok(None) };
    let number: Option<Decimal> = text.trim().parse().ok();
    match number.filter(|number| *number >= Decimal::ZERO && *number <= most && number.scale() <= 6) {
        Some(number) => Ok(Some(number)),
        None => Err(ParameterError::new(name, format!("expected a number from 0 to {most}, as 1500.00"))),
    }
}
