//! `returning-visitors`: whether sessions are somebody's first, and how often and how soon people come again.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::types::Type;

use crate::stats::AppState;
use crate::stats::answer::Answer;
use crate::stats::crowd::Crowd;
use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::params::Accepts;
use crate::stats::people::People;
use crate::stats::problem::StatsError;
use crate::stats::ratio::{median_days, percent};
use crate::stats::scan::{Wanted, scan};
use crate::stats::scope::Scope;
use crate::store::columns::{Number, id_hash};

pub(crate) const ACCEPTS: Accepts = Accepts { window: true, filters: true, csv: true, ..Accepts::NOTHING };

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
    /// Between the starts of a returning visitor's session and of the one before. Where that one is not known, as it is no longer
    /// kept, the time counts as longer than all others; null where half of the times are such.
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
    let mut visits = Visits::default();
    let mut stretches = stretches(scope.window());
    let nearest = stretches.remove(0);
    for people in People::of(&snapshot, &scope, 0).await? {
        let again = visits.read(&snapshot, &scope, people).await?;
        visits.look_back(&snapshot, nearest, again).await?;
    }
    for stretch in stretches {
        if visits.tell_median(stretch.1) {
            break;
        }
        for again in std::mem::take(&mut visits.unknown) {
            visits.look_back(&snapshot, stretch, again).await?;
        }
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
        median_days_between_sessions: visits.median_days_away(),
    };
    Ok(Answer::of_window(freshness, &params, results).in_format(&params, "returning-visitors"))
}

/// The greatest number of each line.
const NUMBERS: [(i64, &str); 5] = [(1, "1"), (2, "2"), (5, "3-5"), (10, "6-10"), (i64::MAX, "11+")];

/// A visitor's hash, and when one of their sessions began, microseconds since 1970.
type Begun = (i64, i64);

/// From when, if not since ever, to when.
type Stretch = (Option<Timestamp>, Timestamp);

/// Where the session before one of the window is looked for: each stretch ends where the one before began. Most came back soon.
fn stretches((from, to): Stretch) -> Vec<Stretch> {
    let before =
        |days: i64| from.and_then(|from| from.checked_sub(SignedDuration::from_hours(24 * days)).ok());
    let mut stretches = vec![(before(32), to)];
    for since in [before(160), None] {
        stretches.extend(stretches.last().and_then(|last| last.0).map(|reached| (since, reached)));
    }
    stretches
}

/// Sessions of the window.
#[derive(Default)]
struct Visits {
    by_number: [i64; NUMBERS.len()],
    /// How long visitors were away before returning visits, microseconds.
    away: Vec<i64>,
    /// Of which that is not known yet, a share of people after the other.
    unknown: Vec<Vec<Begun>>,
}

impl Visits {
    /// Adds these people's; those who had come before.
    async fn read(
        &mut self,
        snapshot: &Snapshot,
        scope: &Scope,
        people: People,
    ) -> Result<Vec<Begun>, DatabaseError> {
        let wanted = Wanted {
            numbers: &[Number::Number, Number::Visitor, Number::Start],
            ids: &[],
            lists: &[],
            edges: &[],
        };
        let mut again = Vec::new();
        scan(snapshot, scope, wanted, |part| {
            let (numbers, visitors) = (part.numbers(Number::Number), part.numbers(Number::Visitor));
            for session in part.chosen().iter().copied().filter(|session| people.have(visitors[*session])) {
                let number = numbers[session];
                let line = NUMBERS.iter().position(|(greatest, _)| number <= *greatest);
                self.by_number[line.unwrap_or(NUMBERS.len() - 1)] += 1;
                if number > 1 {
                    again.push((visitors[session], part.start(session)));
                }
            }
        })
        .await?;
        Ok(again)
    }

    /// Looks for the sessions before these, whatever window or filter they are of.
    async fn look_back(
        &mut self,
        snapshot: &Snapshot,
        stretch: Stretch,
        again: Vec<Begun>,
    ) -> Result<(), DatabaseError> {
        if !again.is_empty() {
            let unknown = times_away(known(snapshot, stretch, again).await?, &mut self.away);
            self.unknown.push(unknown);
        }
        Ok(())
    }

    /// Whether those of which it is not known were away for longer than the median, as far back as was looked.
    fn tell_median(&self, reached: Timestamp) -> bool {
        let unknown = self.unknown.iter().flatten();
        let least = unknown.map(|(_, start)| start - reached.as_microsecond()).min();
        least.is_none_or(|least| self.away.iter().filter(|time| **time <= least).count() > self.count() / 2)
    }

    fn median_days_away(mut self) -> Option<f64> {
        let count = self.count();
        let is_known = self.away.len() > count / 2;
        self.away.resize(count, i64::MAX);
        median_days(&mut self.away).filter(|_| is_known)
    }

    /// How many returning visits.
    fn count(&self) -> usize {
        self.away.len() + self.unknown.iter().map(Vec::len).sum::<usize>()
    }
}

/// When a session began, microseconds since 1970; and which of the returning visits it is, from 1, or 0 where it is one that may have
/// been before.
type Known = (i64, u32);

/// Returning visits, and when all sessions of these visitors, and of a few others, began that reports count or a rule leaves out.
async fn known(
    snapshot: &Snapshot,
    (from, to): Stretch,
    again: Vec<Begun>,
) -> Result<Crowd<Known>, DatabaseError> {
    let mut known = Crowd::default();
    for ((visitor, start), visit) in again.into_iter().zip(1..) {
        known.add((visitor, (start, visit)));
    }
    let sieve = known.sieve();
    let wanted = Wanted { numbers: &[Number::Visitor, Number::Start], ids: &[], lists: &[], edges: &[] };
    scan(snapshot, &Scope::everything(from, to), wanted, |part| {
        let visitors = part.numbers(Number::Visitor);
        for &session in part.chosen() {
            let visitor = visitors[session];
            if sieve.may_have(visitor) {
                known.add((visitor, (part.start(session), 0)));
            }
        }
    })
    .await?;
    let window = [(&from as _, Type::TIMESTAMPTZ), (&to as _, Type::TIMESTAMPTZ)];
    for row in snapshot.rows(include_str!("sql/left_out_sessions.sql"), &window).await? {
        let visitor = id_hash(row.try_get("visitor_id")?);
        if sieve.may_have(visitor) {
            known.add((visitor, (row.try_get::<_, Timestamp>("started_at")?.as_microsecond(), 0)));
        }
    }
    Ok(known)
}

/// Adds how long each returning visit was after the session before, microseconds; the visits whose session before is not known.
fn times_away(known: Crowd<Known>, away: &mut Vec<i64>) -> Vec<Begun> {
    let mut unknown = Vec::new();
    for share in known.once_each(|session| session) {
        for of_visitor in share.chunk_by(|one, other| one.0 == other.0) {
            let (mut before, mut last) = (None, None);
            for (visitor, (start, visit)) in of_visitor {
                if last != Some(*start) {
                    (before, last) = (last, Some(*start));
                }
                match before {
                    _ if *visit == 0 => {}
                    Some(before) => away.push(start - before),
                    None => unknown.push((*visitor, *start)),
                }
            }
        }
    }
    unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visit_is_held_against_the_one_before_at_another_time() {
        let sessions =
            [(7, (100, 0)), (7, (350, 1)), (7, (350, 2)), (7, (350, 0)), (7, (400, 3)), (8, (90, 4))];
        let mut known = Crowd::default();
        sessions.into_iter().for_each(|session| known.add(session));
        let mut away = Vec::new();
        assert_eq!(times_away(known, &mut away), [(8, 90)]);
        assert_eq!(away, [250, 250, 50]);
    }
}
