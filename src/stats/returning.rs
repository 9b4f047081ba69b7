//! `returning-visitors`: whether sessions are somebody's first, and how often and how soon people come again.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;

use crate::stats::AppState;
use crate::stats::answer::Answer;
use crate::stats::database::DatabaseError;
use crate::stats::params::Accepts;
use crate::stats::problem::StatsError;
use crate::stats::ratio::{percent, two_decimals};
use crate::stats::scope::Scope;

pub(crate) const ACCEPTS: Accepts = Accepts { window: true, csv: true, ..Accepts::NOTHING };

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Returning {
    total_sessions: i64,
    /// Sessions with number 1.
    first_visits: i64,
    /// Sessions of visitors who had an earlier one, ever.
    returning_visits: i64,
    first_visit_rate: Option<f64>,
    returning_visit_rate: Option<f64>,
    sessions_by_number: [ByNumber; 5],
    /// Between the starts of a returning visitor's session and of the one before.
    median_days_between_sessions: Option<f64>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct ByNumber {
    /// Which of the visitor's sessions it is: `1`, `2`, `3-5`, `6-10`, `11+`.
    session_number: &'static str,
    sessions: i64,
    rate: Option<f64>,
}

/// `GET /api/v1/returning-visitors`
pub(crate) async fn returning(
    State(shared): AppState,
    RawQuery(query): RawQuery,
) -> Result<Response, StatsError> {
    const DAY_SECONDS: f64 = 86_400.0;
    let params = shared.params(query.as_deref(), &ACCEPTS)?;
    let snapshot = shared.context.database.snapshot().await?;
    let row = snapshot.row(include_str!("sql/returning.sql"), &Scope::of(&params).parameters()).await?;
    let freshness = snapshot.conclude().await?;
    let row = row.ok_or(DatabaseError::Failed)?;
    let read = || {
        let columns = [
            ("1", "first_visits"),
            ("2", "second_visits"),
            ("3-5", "third_to_fifth"),
            ("6-10", "sixth_to_tenth"),
            ("11+", "later"),
        ];
        let mut sessions = [0; 5];
        for (count, (_, column)) in sessions.iter_mut().zip(columns) {
            *count = row.try_get::<_, i64>(column)?;
        }
        let total: i64 = sessions.iter().sum();
        let (first, again) = (sessions[0], total - sessions[0]);
        Ok::<_, tokio_postgres::Error>(Returning {
            total_sessions: total,
            first_visits: first,
            returning_visits: again,
            first_visit_rate: percent(first, total),
            returning_visit_rate: percent(again, total),
            sessions_by_number: std::array::from_fn(|index| ByNumber {
                session_number: columns[index].0,
                sessions: sessions[index],
                rate: percent(sessions[index], total),
            }),
            median_days_between_sessions: row
                .try_get::<_, Option<f64>>("median_seconds")?
                .map(|seconds| two_decimals(seconds / DAY_SECONDS)),
        })
    };
    let results = read().map_err(DatabaseError::from)?;
    Ok(Answer::of_window(freshness, &params, results).in_format(&params, "returning-visitors"))
}
