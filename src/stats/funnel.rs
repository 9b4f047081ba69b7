//! `funnel`: how far sessions come, step by step. A session has the first time of each usual step; what it did is looked up only
//! where these do not tell: one step was taken before the one that it should follow, or a step is another one.

use std::collections::HashMap;
use std::pin::pin;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use futures_util::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::stats::AppState;
use crate::stats::answer::Answer;
use crate::stats::csv;
use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::params::{Accepts, Format, ParameterError};
use crate::stats::people;
use crate::stats::period::Window;
use crate::stats::problem::StatsError;
use crate::stats::ratio::{median, percent, two_decimals};
use crate::stats::scope::Scope;
use crate::stats::timeseries::begun;

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
    let funnel = Funnel::read(&snapshot, &scope, &steps, is_closed).await?;
    let freshness = snapshot.conclude().await?;
    let mut results: Vec<Reached> = Vec::with_capacity(funnel.sessions.len());
    let mut warnings = Vec::new();
    for (index, (sessions, mut waits)) in funnel.sessions.into_iter().zip(funnel.waits).enumerate() {
        let step = index.checked_sub(1).map_or("session", |index| &steps[index]);
        let (total, before) = (results.first(), results.last());
        if index > 0 && step != PURCHASE && !funnel.kinds.values().any(|known| known == step) {
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
            median_seconds: median(&mut waits).map(|wait| two_decimals(wait / 1e6)),
        });
    }
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

/// The step that is an order: a session with one came there at the time of its first purchase that follows; an order that only
/// the shop told of follows whatever was.
const PURCHASE: &str = "purchase";

/// Sessions of a part of the window, about. Tests, which have few, have several parts all the same.
const PART_SESSIONS: u64 = if cfg!(debug_assertions) { 500 } else { 50_000 };

/// How far the sessions of a scope came.
struct Funnel<'a> {
    steps: &'a [String],
    is_closed: bool,
    /// Names of the actions that were ever seen, by kind.
    kinds: HashMap<i32, String>,
    /// By step; the first is the session itself.
    sessions: Vec<i64>,
    /// From the step before, microseconds.
    waits: Vec<Vec<i64>>,
}

/// A session. Times are microseconds since 1970.
struct Visit {
    session_ids: [Option<Uuid>; 2],
    began_at: i64,
    last_seen: i64,
    converted: bool,
    /// When each of the usual steps was first taken.
    first: [Option<i64>; USUAL_STEPS.len()],
}

/// What was done in a session cannot be told from first times.
struct Unknown;

impl<'a> Funnel<'a> {
    async fn read(
        snapshot: &Snapshot,
        scope: &Scope,
        steps: &'a [String],
        is_closed: bool,
    ) -> Result<Funnel<'a>, DatabaseError> {
        let (kinds, reached) = (HashMap::new(), steps.len() + 1);
        let (sessions, waits) = (vec![0; reached], vec![Vec::new(); reached]);
        let mut funnel = Funnel { steps, is_closed, kinds, sessions, waits };
        for row in snapshot.rows(include_str!("sql/funnel_kinds.sql"), &[(&steps, Type::TEXT_ARRAY)]).await? {
            funnel.kinds.insert(row.try_get("kind_id")?, row.try_get("name")?);
        }
        let sessions = people::count(snapshot, scope).await?;
        funnel.sessions[0] = i64::try_from(sessions).unwrap_or(i64::MAX);
        let (from, to) = scope.window();
        let (from, to) = begun(snapshot, Window { from, to }).await?;
        // Parts of the window in turn, so that memory has a bound.
        let parts = i64::try_from(sessions.div_ceil(PART_SESSIONS).max(1)).unwrap_or(i64::MAX);
        let length = SignedDuration::from_micros((to.as_microsecond() - from.as_microsecond()) / parts + 1);
        let mut begin = from;
        while begin < to {
            let end = begin.saturating_add(length).map_or(to, |end| end.min(to));
            funnel.add_part(snapshot, &scope.between(begin, end)).await?;
            begin = end;
        }
        Ok(funnel)
    }

    async fn add_part(&mut self, snapshot: &Snapshot, scope: &Scope) -> Result<(), DatabaseError> {
        let all = !self.steps.iter().all(|step| USUAL_STEPS.contains(&step.as_str()));
        let mut parameters = scope.parameters();
        parameters.push((&all, Type::BOOL));
        let mut unknown = Vec::new();
        let mut rows = pin!(snapshot.stream(include_str!("sql/funnel_visits.sql"), parameters).await?);
        while let Some(row) = rows.try_next().await? {
            let visit = Visit::read(&row)?;
            match self.way(&visit, |step, since| visit.first_since(step, since)) {
                Ok(way) => self.add(visit.began_at, &way),
                Err(Unknown) => unknown.push(visit),
            }
        }
        let done = self.done(snapshot, &unknown).await?;
        for visit in &unknown {
            let seen = |step: &str, since| {
                let done = visit.session_ids.iter().flatten().filter_map(|session| done.get(session));
                let times = done.flatten().filter(|(kind, at)| {
                    (since..=visit.last_seen).contains(at)
                        && self.kinds.get(kind).is_some_and(|name| name == step)
                });
                Ok(times.map(|(_, at)| *at).min())
            };
            if let Ok(way) = self.way(visit, seen) {
                self.add(visit.began_at, &way);
            }
        }
        Ok(())
    }

    /// When a session came to each step, as far as it came: `seen` says when a step was first taken since an instant.
    fn way(
        &self,
        visit: &Visit,
        seen: impl Fn(&str, i64) -> Result<Option<i64>, Unknown>,
    ) -> Result<Vec<Option<i64>>, Unknown> {
        let mut way = Vec::with_capacity(self.steps.len());
        let mut at = Some(visit.began_at);
        for step in self.steps {
            let Some(since) = at.filter(|_| self.is_closed).or((!self.is_closed).then_some(visit.began_at))
            else {
                break;
            };
            let seen = seen(step, since)?;
            at = match (step.as_str(), visit.converted) {
                (PURCHASE, true) => seen.or(at).or(Some(visit.last_seen)),
                (PURCHASE, false) => None,
                _ => seen,
            };
            way.push(at);
        }
        Ok(way)
    }

    fn add(&mut self, began_at: i64, way: &[Option<i64>]) {
        let mut before = Some(began_at);
        let steps = self.sessions.iter_mut().zip(&mut self.waits).skip(1);
        for (at, (sessions, waits)) in way.iter().zip(steps) {
            *sessions += i64::from(at.is_some());
            waits.extend(at.zip(before).map(|(at, before)| at - before).filter(|wait| *wait >= 0));
            before = *at;
        }
    }

    /// Kind and time of whatever these did that is a step.
    async fn done(
        &self,
        snapshot: &Snapshot,
        visits: &[Visit],
    ) -> Result<HashMap<Uuid, Vec<(i32, i64)>>, DatabaseError> {
        let mut done = HashMap::<Uuid, Vec<(i32, i64)>>::new();
        let (Some(first), Some(last)) = (
            visits.iter().map(|visit| visit.began_at).min(),
            visits.iter().map(|visit| visit.last_seen).max(),
        ) else {
            return Ok(done);
        };
        let sessions: Vec<Uuid> = visits.iter().flat_map(|visit| visit.session_ids).flatten().collect();
        let kinds: Vec<i32> = self.kinds.keys().copied().collect();
        let instant = |at| Timestamp::from_microsecond(at).map_err(|_| DatabaseError::Failed);
        let (first, last) = (instant(first)?, instant(last)?);
        let parameters = vec![
            (&sessions as _, Type::UUID_ARRAY),
            (&kinds as _, Type::INT4_ARRAY),
            (&first as _, Type::TIMESTAMPTZ),
            (&last as _, Type::TIMESTAMPTZ),
        ];
        let mut rows = pin!(snapshot.stream(include_str!("sql/funnel_events.sql"), parameters).await?);
        while let Some(row) = rows.try_next().await? {
            let at: Timestamp = row.try_get("at")?;
            let of_session = done.entry(row.try_get("session_id")?).or_default();
            of_session.push((row.try_get("kind_id")?, at.as_microsecond()));
        }
        Ok(done)
    }
}

impl Visit {
    fn read(row: &Row) -> Result<Visit, tokio_postgres::Error> {
        let at = |column: &str| {
            row.try_get::<_, Option<Timestamp>>(column).map(|at| at.map(Timestamp::as_microsecond))
        };
        Ok(Visit {
            session_ids: [Some(row.try_get("session_id")?), row.try_get("cookieless_session_id")?],
            began_at: row.try_get::<_, Timestamp>("began_at")?.as_microsecond(),
            last_seen: row.try_get::<_, Timestamp>("last_seen")?.as_microsecond(),
            converted: row.try_get("converted")?,
            first: [
                at("product_view_at")?,
                at("add_to_cart_at")?,
                at("initiate_checkout_at")?,
                at("lead_at")?,
                at("purchase_at")?,
            ],
        })
    }

    /// When a step was first taken since an instant, where the first time of all tells that.
    fn first_since(&self, step: &str, since: i64) -> Result<Option<i64>, Unknown> {
        let place = USUAL_STEPS.iter().position(|usual| *usual == step).ok_or(Unknown)?;
        match self.first[place] {
            _ if self.session_ids[1].is_some() => Err(Unknown),
            Some(first) if first < since => Err(Unknown),
            first => Ok(first.filter(|first| *first <= self.last_seen)),
        }
    }
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
