//! How many people: counted by their hashes where that is quick, else estimated by sketches.
//!
//! A window is counted or estimated as a whole, whatever is asked about it: so reports of one window agree.

use jiff::SignedDuration;
use tokio_postgres::types::Type;

use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::period::Window;
use crate::stats::scope::Scope;
use crate::stats::sketch::{ERROR_PERCENT, Sketch};
use crate::store::columns::Number;

/// Windows up to this length are counted whatever is in them: 31 days, one of which may have 25 hours.
const COUNTED_SPAN: SignedDuration = SignedDuration::from_hours(31 * 24 + 1);
/// Longer ones are counted up to this many sessions, whatever filters leave of them.
const COUNTED_SESSIONS: i64 = 500_000;
/// Hashes gathered before doubles are thrown away.
const GATHERED: usize = 1 << 20;

/// How people are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// By hashes of their ids, session by session.
    Counted,
    /// By sketches, for the reason given.
    Estimated(&'static str),
    /// By sketches of rollups: not all sessions are kept.
    Rolled,
}

impl Way {
    /// The way for a window.
    pub(crate) async fn of(snapshot: &Snapshot, scope: &Scope, window: Window) -> Result<Way, DatabaseError> {
        let edges = [(&window.from as _, Type::TIMESTAMPTZ), (&window.to as _, Type::TIMESTAMPTZ)];
        let kept = snapshot.row(include_str!("sql/sessions_kept.sql"), &edges).await?;
        if !kept.ok_or(DatabaseError::Failed)?.try_get::<_, bool>("kept")? {
            return Ok(if scope.is_of_sessions() { Way::Rolled.of_sessions() } else { Way::Rolled });
        }
        if window.from.is_some_and(|from| window.to.duration_since(from) <= COUNTED_SPAN) {
            return Ok(Way::Counted);
        }
        let row = snapshot.row(include_str!("sql/window_sessions.sql"), &edges).await?;
        let sessions: i64 = row.ok_or(DatabaseError::Failed)?.try_get("sessions")?;
        Ok(if sessions <= COUNTED_SESSIONS {
            Way::Counted
        } else {
            Way::Estimated("it is longer than 31 days and has more than 500,000 sessions")
        })
    }

    /// The same where rollups do not tell what is asked: of the sessions that are there.
    pub(crate) fn of_sessions(self) -> Way {
        match self {
            Way::Rolled => Way::Estimated(NOT_KEPT),
            way => way,
        }
    }

    /// What the reader of an estimate must know.
    pub(crate) fn warning(self) -> Option<String> {
        let reason = match self {
            Way::Counted => return None,
            Way::Estimated(reason) => reason,
            Way::Rolled => NOT_KEPT,
        };
        Some(format!(
            "visitors of this window are estimated, with a standard error of {ERROR_PERCENT} %: {reason}"
        ))
    }

    /// The column by which people are told apart.
    pub(crate) fn column(self) -> Number {
        match self {
            Way::Counted => Number::Visitor,
            Way::Estimated(_) | Way::Rolled => Number::Sketch,
        }
    }

    /// Nobody yet.
    pub(crate) fn nobody(self) -> People {
        match self {
            Way::Counted => People::Counted { hashes: Vec::new(), limit: GATHERED },
            Way::Estimated(_) | Way::Rolled => People::Estimated(Box::default()),
        }
    }
}

const NOT_KEPT: &str = "some of its sessions are no longer kept one by one";

/// The people seen so far.
#[derive(Debug)]
pub(crate) enum People {
    Counted { hashes: Vec<i64>, limit: usize },
    Estimated(Box<Sketch>),
}

impl People {
    /// Adds somebody, by what [`Way::column`] has.
    pub(crate) fn add(&mut self, who: i64) {
        match self {
            People::Counted { hashes, limit } => {
                hashes.push(who);
                if hashes.len() == *limit {
                    once_each(hashes);
                    *limit = GATHERED.max(2 * hashes.len());
                }
            }
            People::Estimated(sketch) => sketch.add_code(who),
        }
    }

    /// How many. Nobody can be more people than sessions.
    pub(crate) fn number(self, sessions: i64) -> i64 {
        match self {
            People::Counted { mut hashes, .. } => {
                once_each(&mut hashes);
                i64::try_from(hashes.len()).unwrap_or(i64::MAX)
            }
            People::Estimated(sketch) => sketch.estimate().min(sessions),
        }
    }
}

fn once_each(hashes: &mut Vec<i64>) {
    hashes.sort_unstable();
    hashes.dedup();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_counted_once_however_many_sessions_they_have() {
        let mut people = Way::Counted.nobody();
        for session in 0..3 * GATHERED as i64 {
            people.add(session % 700_001);
        }
        assert_eq!(people.number(i64::MAX), 700_001);
    }
}
