//! `returning-visitors`: whether sessions are somebody's first, and how often and how soon people come again.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::types::Type;

use crate::stats::AppState;
use crate::stats::answer::Answer;
use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::params::Accepts;
use crate::stats::people::{People, Sieve};
use crate::stats::problem::StatsError;
use crate::stats::ratio::{median_days, percent};
use crate::stats::scan::{Wanted, scan};
use crate::stats::scope::Scope;
use crate::store::columns::{Number, id_hash};

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
    let params = shared.params(query.as_deref(), &ACCEPTS)?;
    let snapshot = shared.context.database.snapshot().await?;
    let scope = Scope::of(&params);
    let (mut visits, mut between) = (Visits::default(), Vec::new());
    for people in People::of(&snapshot, &scope).await? {
        visits.read(&snapshot, &scope, people).await?;
        between.extend(gaps(&snapshot, &scope, std::mem::take(&mut visits.again)).await?);
    }
    let freshness = snapshot.conclude().await?;
    let total: i64 = visits.by_number.iter().sum();
    let (first, again) = (visits.by_number[0], total - visits.by_number[0]);
    let results = Returning {
        total_sessions: total,
        first_visits: first,
        returning_visits: again,
        first_visit_rate: percent(first, total),
        returning_visit_rate: percent(again, total),
        sessions_by_number: std::array::from_fn(|index| ByNumber {
            session_number: NUMBERS[index].1,
            sessions: visits.by_number[index],
            rate: percent(visits.by_number[index], total),
        }),
        median_days_between_sessions: median_days(&mut between),
    };
    Ok(Answer::of_window(freshness, &params, results).in_format(&params, "returning-visitors"))
}

/// The greatest number of each line.
const NUMBERS: [(i64, &str); 5] = [(1, "1"), (2, "2"), (5, "3-5"), (10, "6-10"), (i64::MAX, "11+")];

/// A visitor's hash, and when one of their sessions began, microseconds since 1970.
type Begun = (i64, i64);

/// Sessions of the window.
#[derive(Default)]
struct Visits {
    by_number: [i64; NUMBERS.len()],
    /// Of those who had come before.
    again: Vec<Begun>,
}

impl Visits {
    /// Adds these people's.
    async fn read(
        &mut self,
        snapshot: &Snapshot,
        scope: &Scope,
        people: People,
    ) -> Result<(), DatabaseError> {
        let wanted = Wanted {
            numbers: &[Number::Number, Number::Visitor, Number::Start],
            ids: &[],
            lists: &[],
            edges: &[],
        };
        scan(snapshot, scope, wanted, |part| {
            let (numbers, visitors) = (part.numbers(Number::Number), part.numbers(Number::Visitor));
            for session in part.chosen().iter().copied().filter(|session| people.have(visitors[*session])) {
                let number = numbers[session];
                let line = NUMBERS.iter().position(|(greatest, _)| number <= *greatest);
                self.by_number[line.unwrap_or(NUMBERS.len() - 1)] += 1;
                if number > 1 {
                    self.again.push((visitors[session], part.start(session)));
                }
            }
        })
        .await
    }
}

/// How long each of these was after the visitor's session before, whatever window or filter that is of; microseconds.
///
/// Most came back soon: longer and longer stretches before the window are looked through for those not found yet.
async fn gaps(snapshot: &Snapshot, scope: &Scope, mut again: Vec<Begun>) -> Result<Vec<i64>, DatabaseError> {
    const LEAST: SignedDuration = SignedDuration::from_hours(32 * 24);
    if again.is_empty() {
        return Ok(Vec::new());
    }
    again.sort_unstable();
    let (from, to) = scope.window();
    let length = from.map(|from| to.duration_since(from).max(LEAST)).unwrap_or_default();
    let mut later = [Some(1), Some(4), None].into_iter();
    let (mut gaps, mut until, mut since) = (Vec::with_capacity(again.len()), to, from);
    loop {
        let earlier = starts(snapshot, (since, until), &again).await?;
        again.retain(|(visitor, start)| {
            let before = &earlier[..earlier.partition_point(|one| *one < (*visitor, *start))];
            let found = before.last().filter(|(other, _)| other == visitor);
            found.inspect(|(_, before)| gaps.push(start - before)).is_none()
        });
        let Some(reached) = since.filter(|_| !again.is_empty()) else { return Ok(gaps) };
        until = reached;
        since = later.next().flatten().and_then(|times| reached.checked_sub(length * times).ok());
    }
}

/// When sessions of these visitors, and of a few others, began that reports count or a rule leaves out, in order.
async fn starts(
    snapshot: &Snapshot,
    (from, to): (Option<Timestamp>, Timestamp),
    visitors: &[Begun],
) -> Result<Vec<Begun>, DatabaseError> {
    let sieve = Sieve::of(visitors.iter().map(|(visitor, _)| *visitor));
    let mut starts = Vec::new();
    let wanted = Wanted { numbers: &[Number::Visitor, Number::Start], ids: &[], lists: &[], edges: &[] };
    scan(snapshot, &Scope::everything(from, to), wanted, |part| {
        let visitors = part.numbers(Number::Visitor);
        for &session in part.chosen() {
            let visitor = visitors[session];
            if sieve.may_have(visitor) {
                starts.push((visitor, part.start(session)));
            }
        }
    })
    .await?;
    let window = [(&from as _, Type::TIMESTAMPTZ), (&to as _, Type::TIMESTAMPTZ)];
    for row in snapshot.rows(include_str!("sql/left_out_sessions.sql"), &window).await? {
        let visitor = id_hash(row.try_get("visitor_id")?);
        if sieve.may_have(visitor) {
            starts.push((visitor, row.try_get::<_, Timestamp>("started_at")?.as_microsecond()));
        }
    }
    starts.sort_unstable();
    Ok(starts)
}
