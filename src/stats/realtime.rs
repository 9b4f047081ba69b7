//! `realtime`: what happened in the last 5 and 30 minutes; once, or with `Accept: text/event-stream` again and again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::stats::answer::Answer;
use crate::stats::database::DatabaseError;
use crate::stats::params::{Accepts, Params};
use crate::stats::problem::StatsError;
use crate::stats::{AppState, Shared};

pub(crate) const ACCEPTS: Accepts = Accepts { site: true, csv: true, own: &["bots"], ..Accepts::NOTHING };

/// Sources and pages that are given.
const MOST_ROWS: i64 = 20;

/// How often a stream tells.
const INTERVAL: Duration = Duration::from_secs(5);

/// A stream ends then; browsers ask again by themselves, and their tokens are looked at anew.
const STREAM_SPAN: Duration = Duration::from_secs(600);

#[derive(Debug, Default, JsonSchema, Serialize)]
pub(crate) struct Now {
    last_5_minutes: Whole,
    last_30_minutes: Whole,
    /// Those with the most people in 30 minutes first, at most 20.
    sources: Vec<Source>,
    pages: Vec<Page>,
}

#[derive(Debug, Default, JsonSchema, Serialize)]
pub(crate) struct Whole {
    #[serde(flatten)]
    counts: Counts,
    orders: i64,
}

#[derive(Debug, Default, JsonSchema, Serialize)]
pub(crate) struct Counts {
    visitors: i64,
    page_views: i64,
    /// All but page views.
    actions: i64,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Source {
    source: String,
    last_5_minutes: Counts,
    last_30_minutes: Counts,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Page {
    path: String,
    host: String,
    last_5_minutes: Counts,
    last_30_minutes: Counts,
}

/// `GET /api/v1/realtime`
pub(crate) async fn realtime(
    State(shared): AppState,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, StatsError> {
    let params = shared.params(query.as_deref(), &ACCEPTS)?;
    let bots = params.given.choice("bots", &["exclude", "include", "only"])?.unwrap_or("exclude");
    let first = look(&shared, &params, bots).await?;
    let accepts = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if !accepts.contains("text/event-stream") {
        return Ok(first.in_format(&params, "realtime"));
    }
    let end = Instant::now() + STREAM_SPAN;
    let looks = stream::unfold(Some((shared, params, first)), move |state| async move {
        let (shared, params, answer) = state?;
        let event = Event::default().event("realtime").json_data(&answer).unwrap_or_default();
        let next = follow(shared, params, bots, end).await;
        Some((Ok::<_, Infallible>(event), next))
    });
    Ok(Sse::new(looks).into_response())
}

/// The next answer, some time later; none at the end of the stream, of the program, or while the database is away.
async fn follow(
    shared: Arc<Shared>,
    params: Params,
    bots: &'static str,
    end: Instant,
) -> Option<(Arc<Shared>, Params, Answer<Now>)> {
    let later = Instant::now() + INTERVAL;
    if later > end {
        return None;
    }
    tokio::select! {
        () = shared.shutdown.cancelled() => return None,
        () = tokio::time::sleep_until(later) => {}
    }
    let answer = look(&shared, &params, bots).await.ok()?;
    Some((shared, params, answer))
}

async fn look(shared: &Shared, params: &Params, bots: &'static str) -> Result<Answer<Now>, StatsError> {
    let now = Timestamp::now();
    let sites = (!params.sites.is_empty()).then_some(&params.sites);
    let snapshot = shared.context.database.snapshot().await?;
    let parameters = [
        (&now as _, Type::TIMESTAMPTZ),
        (&sites as _, Type::TEXT_ARRAY),
        (&bots as _, Type::TEXT),
        (&MOST_ROWS as _, Type::INT8),
    ];
    let rows = snapshot.rows(include_str!("sql/realtime.sql"), &parameters).await?;
    let freshness = snapshot.conclude().await?;
    let results = Now::read(&rows).map_err(DatabaseError::from)?;
    Ok(Answer::of_one(freshness, params, results).with_own("bots", bots))
}

impl Now {
    fn read(rows: &[Row]) -> Result<Now, tokio_postgres::Error> {
        let mut now = Now::default();
        for row in rows {
            let count = |column: &str| row.try_get::<_, i64>(column);
            let last_5_minutes = Counts {
                visitors: count("visitors_5")?,
                page_views: count("page_views_5")?,
                actions: count("actions_5")?,
            };
            let last_30_minutes = Counts {
                visitors: count("visitors_30")?,
                page_views: count("page_views_30")?,
                actions: count("actions_30")?,
            };
            match row.try_get("part")? {
                "source" => {
                    now.sources.push(Source {
                        source: row.try_get("name")?,
                        last_5_minutes,
                        last_30_minutes,
                    });
                }
                "page" => now.pages.push(Page {
                    path: row.try_get("name")?,
                    host: row.try_get("host")?,
                    last_5_minutes,
                    last_30_minutes,
                }),
                _ => {
                    now.last_5_minutes = Whole { counts: last_5_minutes, orders: count("orders_5")? };
                    now.last_30_minutes = Whole { counts: last_30_minutes, orders: count("orders_30")? };
                }
            }
        }
        Ok(now)
    }
}
