//! `funnel`: how far sessions come, step by step.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::types::Type;

use crate::stats::AppState;
use crate::stats::answer::Answer;
use crate::stats::csv;
use crate::stats::database::DatabaseError;
use crate::stats::params::{Accepts, Format, ParameterError};
use crate::stats::problem::StatsError;
use crate::stats::ratio::{percent, two_decimals};
use crate::stats::scope::Scope;

pub(crate) const ACCEPTS: Accepts =
    Accepts { window: true, csv: true, own: &["mode", "steps"], ..Accepts::NOTHING };

/// The steps when none are named.
const USUAL_STEPS: [&str; 5] = ["product_view", "add_to_cart", "initiate_checkout", "lead", "purchase"];

/// Most steps of a funnel.
const MOST_STEPS: usize = 10;

/// Sessions that came as far as a step.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Reached {
    step: String,
    sessions: i64,
    /// Percent of all sessions.
    rate_of_total: Option<f64>,
    /// Percent of the sessions of the step before; null for the first.
    rate_of_previous: Option<f64>,
    /// Sessions of the step before that did not come here; null for the first, and where an open funnel widens.
    drop_off: Option<i64>,
    /// From the step before, of those that came here after it.
    median_seconds: Option<f64>,
}

/// `GET /api/v1/funnel`
pub(crate) async fn funnel(
    State(shared): AppState,
    RawQuery(query): RawQuery,
) -> Result<Response, StatsError> {
    let params = shared.params(query.as_deref(), &ACCEPTS)?;
    let mode = params.given.choice("mode", &["closed", "open"])?.unwrap_or("closed");
    let is_closed = mode == "closed";
    let steps = match params.given.one("steps")? {
        Some(text) => read_steps(text)?,
        None => USUAL_STEPS.map(str::to_owned).to_vec(),
    };
    let snapshot = shared.context.database.snapshot().await?;
    let scope = Scope::of(&params);
    let mut parameters = scope.parameters();
    parameters.push((&steps, Type::TEXT_ARRAY));
    parameters.push((&is_closed, Type::BOOL));
    let rows = snapshot.rows(include_str!("sql/funnel.sql"), &parameters).await?;
    let freshness = snapshot.conclude().await?;
    let mut results: Vec<Reached> = Vec::with_capacity(rows.len());
    let mut warnings = Vec::new();
    let read = (|| {
        for (index, row) in rows.iter().enumerate() {
            let sessions: i64 = row.try_get("sessions")?;
            let step =
                index.checked_sub(1).and_then(|index| steps.get(index)).map_or("session", String::as_str);
            let (total, before) = (results.first(), results.last());
            if !row.try_get::<_, bool>("known")? {
                warnings.push(format!("no action of the name {step} was ever seen"));
            } else if is_closed && sessions == 0 && before.is_some_and(|before| before.sessions > 0) {
                warnings.push(format!(
                    "no session came to {step}: in a closed funnel nothing can follow it; steps= leaves it out"
                ));
            }
            results.push(Reached {
                step: step.to_owned(),
                sessions,
                rate_of_total: percent(sessions, total.map_or(sessions, |total| total.sessions)),
                rate_of_previous: before.and_then(|before| percent(sessions, before.sessions)),
                drop_off: before.map(|before| before.sessions - sessions).filter(|lost| *lost >= 0),
                median_seconds: row.try_get::<_, Option<f64>>("median_seconds")?.map(two_decimals),
            });
        }
        Ok::<_, tokio_postgres::Error>(())
    })();
    read.map_err(DatabaseError::from)?;
    if params.format == Format::Csv {
        return Ok(csv::attachment("funnel", &results));
    }
    let mut answer = Answer::<_, ()>::of_window(freshness, &params, results)
        .with_own("mode", mode)
        .with_own("steps", steps);
    for warning in warnings {
        answer = answer.with_warning(Some(warning));
    }
    Ok(answer.into_response())
}

/// Names of actions, separated by commas.
fn read_steps(text: &str) -> Result<Vec<String>, ParameterError> {
    let steps: Vec<String> = text.split(',').map(|step| step.trim().to_lowercase()).collect();
    let is_name = |step: &String| {
        (1..=64).contains(&step.len())
            && step.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    if steps.len() > MOST_STEPS || !steps.iter().all(is_name) {
        let reason =
            format!("expected up to {MOST_STEPS} names of actions, as product_view,add_to_cart,purchase");
        return Err(ParameterError::new("steps", reason));
    }
    Ok(steps)
}
