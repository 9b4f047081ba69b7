//! `compare`: the numbers of a window beside those of one before it that is exactly as long, and what changed.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::stats::AppState;
use crate::stats::answer::{Answer, rfc3339};
use crate::stats::csv;
use crate::stats::general::{GeneralStats, count};
use crate::stats::params::{Accepts, Format, ParameterError};
use crate::stats::period::{COMPARISONS, Comparison, Window};
use crate::stats::problem::StatsError;
use crate::stats::ratio::two_decimals;
use crate::stats::scope::Money;
use crate::stats::timeseries::begun;

pub(crate) const ACCEPTS: Accepts = Accepts { csv: true, own: &["compare"], ..Accepts::MONEY };

/// What is a share already: its change is told in points.
const RATES: [&str; 3] = ["bounce_rate", "conversion_rate", "lead_rate"];

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Compared {
    current: GeneralStats,
    previous: GeneralStats,
    /// By number: percent of the previous one, points for rates; null from zero, and where one of the two is null.
    change: Map<String, Value>,
    windows: Windows,
}

/// What was compared: both are of the same length.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Windows {
    current: Edges,
    previous: Edges,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Edges {
    from: Option<String>,
    to: String,
}

/// `GET /api/v1/compare`
pub(crate) async fn compare(
    State(shared): AppState,
    RawQuery(query): RawQuery,
) -> Result<Response, StatsError> {
    let params = shared.params(query.as_deref(), &ACCEPTS)?;
    let with = params.given.choice("compare", COMPARISONS)?.and_then(Comparison::parse);
    let with = with.unwrap_or(Comparison::PreviousPeriod);
    let snapshot = shared.context.database.snapshot().await?;
    let money = Money::of(&params, &shared.config(), &snapshot).await?;
    let (from, to) = begun(&snapshot, params.window).await?;
    let [current, previous] = if params.window.from.is_some() {
        with.equally_long(from, to, params.now, &params.zone)
            .map_err(|_| ParameterError::new("compare", "this window is out of range"))?
    } else {
        // Nothing is before all of it: its second half with its first.
        let to = to.min(params.now).max(from);
        let middle = from + to.duration_since(from) / 2;
        [(middle, to), (from, middle)].map(|(from, to)| Window { from: Some(from), to })
    };
    let now = count(&snapshot, &params, current, &money).await?;
    let before = count(&snapshot, &params, previous, &money).await?;
    let freshness = snapshot.conclude().await?;
    let edges = |window: Window| Edges {
        from: window.from.map(|from| rfc3339(from, &params.zone)),
        to: rfc3339(window.to, &params.zone),
    };
    let compared = Compared {
        change: change(&now.stats, &before.stats),
        current: now.stats,
        previous: before.stats,
        windows: Windows { current: edges(current), previous: edges(previous) },
    };
    if params.format == Format::Csv {
        return Ok(csv::attachment("compare", &compared.lines()));
    }
    Ok(Answer::<_, ()>::of_window(freshness, &params, compared)
        .with_money(&params, money.currency(), now.left_out + before.left_out)
        .with_own("compare", with.name())
        .with_warning(now.way.warning().or_else(|| before.way.warning()))
        .into_response())
}

/// A number beside the one before it, as a line of a file.
#[derive(Debug, Serialize)]
struct Line {
    name: String,
    current: Value,
    previous: Value,
    change: Value,
}

impl Compared {
    fn lines(&self) -> Vec<Line> {
        let fields = |stats: &GeneralStats| match serde_json::to_value(stats) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        let (mut current, mut previous) = (fields(&self.current), fields(&self.previous));
        let line = |(name, change): (&String, &Value)| Line {
            current: current.remove(name).unwrap_or_default(),
            previous: previous.remove(name).unwrap_or_default(),
            name: name.clone(),
            change: change.clone(),
        };
        self.change.iter().map(line).collect()
    }
}

fn change(current: &GeneralStats, previous: &GeneralStats) -> Map<String, Value> {
    let (Ok(Value::Object(current)), Ok(Value::Object(previous))) =
        (serde_json::to_value(current), serde_json::to_value(previous))
    else {
        return Map::new();
    };
    let numbers = current.iter().filter(|(_, value)| !value.is_object());
    numbers
        .filter(|(name, _)| !name.ends_with("_interval"))
        .map(|(name, value)| {
            let (now, before) = (number(value), previous.get(name).and_then(number));
            let change = now.zip(before).and_then(|(now, before)| {
                if RATES.contains(&name.as_str()) {
                    return (now - before).to_f64();
                }
                ((now - before) * Decimal::ONE_HUNDRED).checked_div(before.abs())?.to_f64()
            });
            (name.clone(), change.map(two_decimals).into())
        })
        .collect()
}

fn number(value: &Value) -> Option<Decimal> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.to_string().parse().ok(),
        _ => None,
    }
}
