//! `funnel`: how far sessions come, step by step, by what was done in each and when.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use crate::stats::AppState;
use crate::stats::answer::Answer;
use crate::stats::csv;
use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::params::{Accepts, Format, ParameterError};
use crate::stats::problem::StatsError;
use crate::stats::ratio::{median, percent, two_decimals};
use crate::stats::scan::{Part, Wanted, kinds, scan};
use crate::stats::scope::Scope;
use crate::store::columns::{List, Number, flags};

pub(crate) const ACCEPTS: Accepts =
    Accepts { window: true, filters: true, csv: true, own: &["mode", "steps"], ..Accepts::NOTHING };

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
        if index > 0 && step != PURCHASE && funnel.kinds[index - 1].is_none() {
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

/// The step whose times stand by themselves.
const PAGE_VIEW: &str = "page_view";

/// How far the sessions of a scope came.
struct Funnel<'a> {
    steps: &'a [String],
    is_closed: bool,
    /// By step: which kind of action it is, if such a one was ever seen.
    kinds: Vec<Option<i64>>,
    /// By step; the first is the session itself.
    sessions: Vec<i64>,
    /// From the step before, microseconds.
    waits: Vec<Vec<i64>>,
}

/// A session. Times are microseconds from its start.
struct Visit {
    began_at: i64,
    last_seen: i64,
    converted: bool,
}

/// Where the times of a step are.
#[derive(Clone, Copy)]
enum Times {
    /// Nowhere: nobody did it that day.
    None,
    /// Among actions, with this place in the list of kinds.
    OfKind(usize),
    OfPageViews,
}

impl<'a> Funnel<'a> {
    async fn read(
        snapshot: &Snapshot,
        scope: &Scope,
        steps: &'a [String],
        is_closed: bool,
    ) -> Result<Funnel<'a>, DatabaseError> {
        let kinds = kinds(snapshot, steps).await?;
        let reached = steps.len() + 1;
        let (sessions, waits) = (vec![0; reached], vec![Vec::new(); reached]);
        let mut funnel = Funnel { steps, is_closed, kinds, sessions, waits };
        let wanted = Wanted {
            numbers: &[Number::Begin, Number::Last, Number::Flags],
            ids: &[],
            lists: if steps.iter().any(|step| step == PAGE_VIEW) {
                &[List::Kind, List::Time, List::View]
            } else {
                &[List::Kind, List::Time]
            },
            edges: &[],
        };
        scan(snapshot, scope, wanted, |part| funnel.add_part(part)).await?;
        Ok(funnel)
    }

    fn add_part(&mut self, part: &Part) {
        let kinds = &part.kinds().list;
        let times = self.steps.iter().zip(&self.kinds).map(|(step, kind)| match kind {
            _ if step == PAGE_VIEW => Times::OfPageViews,
            Some(kind) => kinds
                .iter()
                .position(|of_day| of_day == kind)
                .map_or(Times::None, |place| Times::OfKind(place + 1)),
            None => Times::None,
        });
        let times: Vec<Times> = times.collect();
        let (begins, lasts, flags) =
            (part.numbers(Number::Begin), part.numbers(Number::Last), part.numbers(Number::Flags));
        for &session in part.chosen() {
            let visit = Visit {
                began_at: -begins[session],
                last_seen: lasts[session],
                converted: flags[session] & flags::CONVERTED != 0,
            };
            self.sessions[0] += 1;
            self.add(&visit, |step, since| {
                let is_since = |at: &i64| *at >= since;
                match times[step] {
                    Times::None => None,
                    Times::OfKind(place) => {
                        let actions =
                            part.actions(session).filter(|action| part.kinds().place(*action) == place);
                        actions.map(|action| part.times()[action]).filter(is_since).min()
                    }
                    Times::OfPageViews => part.view_times(session).iter().copied().filter(is_since).min(),
                }
            });
        }
    }

    /// Adds a session: `seen` says when a step was first taken since an instant.
    fn add(&mut self, visit: &Visit, seen: impl Fn(usize, i64) -> Option<i64>) {
        let mut before = Some(visit.began_at);
        let reached = self.sessions.iter_mut().zip(&mut self.waits).skip(1);
        for (index, (step, (sessions, waits))) in self.steps.iter().zip(reached).enumerate() {
            let Some(since) =
                before.filter(|_| self.is_closed).or((!self.is_closed).then_some(visit.began_at))
            else {
                break;
            };
            let seen = seen(index, since);
            let at = match (step.as_str(), visit.converted) {
                (PURCHASE, true) => seen.or(before).or(Some(visit.last_seen)),
                (PURCHASE, false) => None,
                _ => seen,
            };
            *sessions += i64::from(at.is_some());
            waits.extend(at.zip(before).map(|(at, before)| at - before).filter(|wait| *wait >= 0));
            before = at;
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
