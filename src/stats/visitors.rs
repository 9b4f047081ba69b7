//! How many people: counted from the sessions where that is quick, else estimated from the sketches of the rollups.

use std::collections::HashSet;

use jiff::SignedDuration;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::period::Window;
use crate::stats::scope::Scope;
use crate::stats::sketch::{ERROR_PERCENT, Sketch};

/// Windows up to this length are counted whatever is in them: 31 days, one of which may have 25 hours.
const COUNTED_SPAN: SignedDuration = SignedDuration::from_hours(31 * 24 + 1);
/// Longer ones are counted up to this many sessions, whatever filters leave of them: each has to be read.
const COUNTED_SESSIONS: i64 = 500_000;

/// How people are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// By their ids, session by session.
    Counted,
    /// By sketches, for the reason given.
    Estimated(&'static str),
}

impl Way {
    /// The way for a window; `sessions` in it, where that is known already.
    pub(crate) async fn of(
        snapshot: &Snapshot,
        scope: &Scope,
        window: Window,
        sessions: Option<i64>,
    ) -> Result<Way, DatabaseError> {
        let edges = [(&window.from as _, Type::TIMESTAMPTZ), (&window.to as _, Type::TIMESTAMPTZ)];
        let kept = snapshot.row(include_str!("sql/sessions_kept.sql"), &edges).await?;
        if !kept.ok_or(DatabaseError::Failed)?.try_get::<_, bool>("kept")? {
            return Ok(Way::Estimated("some of its sessions are no longer kept one by one"));
        }
        // Where each session is read in any case, to tell people apart by their ids takes less than to make sketches.
        if scope.is_of_sessions()
            || window.from.is_some_and(|from| window.to.duration_since(from) <= COUNTED_SPAN)
        {
            return Ok(Way::Counted);
        }
        let sessions = match sessions {
            Some(sessions) if !scope.is_filtered() => sessions,
            _ => {
                let (sql, whole) = (include_str!("sql/window_sessions.sql"), scope.unfiltered());
                let row = snapshot.row(sql, &whole.parameters()).await?;
                row.ok_or(DatabaseError::Failed)?.try_get("sessions")?
            }
        };
        Ok(if sessions <= COUNTED_SESSIONS {
            Way::Counted
        } else {
            Way::Estimated("it is longer than 31 days and has more than 500,000 sessions")
        })
    }

    /// What the reader of an estimate must know.
    pub(crate) fn warning(self) -> Option<String> {
        match self {
            Way::Counted => None,
            Way::Estimated(reason) => Some(format!(
                "visitors of this window are estimated, with a standard error of {ERROR_PERCENT} %: {reason}"
            )),
        }
    }

    /// The visitors of a window.
    pub(crate) async fn visitors(self, snapshot: &Snapshot, scope: &Scope) -> Result<i64, DatabaseError> {
        match self {
            Way::Counted => {
                let row = snapshot.row(include_str!("sql/visitors.sql"), &scope.parameters()).await?;
                Ok(row.ok_or(DatabaseError::Failed)?.try_get("visitors")?)
            }
            Way::Estimated(_) => {
                let row = snapshot.row(include_str!("sql/visitors_sketch.sql"), &scope.parameters()).await?;
                let row = row.ok_or(DatabaseError::Failed)?;
                let mut sketch = Sketch::default();
                sketch.add(row.try_get::<_, Option<&[u8]>>("sketch")?.unwrap_or_default());
                Ok(sketch.estimate().min(row.try_get("sessions")?))
            }
        }
    }
}

/// What one group of a list is of.
pub(crate) type GroupKey = [String; 3];

/// Estimates of the groups of a list: one array for each column, as `breakdown.sql` takes them.
#[derive(Debug, Default)]
pub(crate) struct GroupVisitors {
    pub(crate) keys: [Vec<String>; 3],
    pub(crate) visitors: Vec<i64>,
    rows: Vec<Row>,
}

impl GroupVisitors {
    /// Estimates each group of a dimension.
    pub(crate) async fn estimate(
        snapshot: &Snapshot,
        scope: &Scope,
        dimension: &str,
    ) -> Result<GroupVisitors, DatabaseError> {
        let mut parameters = scope.parameters();
        parameters.push((&dimension, Type::TEXT));
        let rows = snapshot.rows(include_str!("sql/breakdown_sketches.sql"), &parameters).await?;
        let mut groups = GroupVisitors::default();
        for row in &rows {
            for (column, key) in groups.keys.iter_mut().zip(key(row)?) {
                column.push(key);
            }
            groups.visitors.push(together([row])?);
        }
        groups.rows = rows;
        Ok(groups)
    }

    /// The visitors of all groups, and of those that are not in `given`: each once.
    pub(crate) fn of_all_and_others(&self, given: &HashSet<GroupKey>) -> Result<(i64, i64), DatabaseError> {
        let mut others = Vec::new();
        for row in &self.rows {
            if !given.contains(&key(row)?) {
                others.push(row);
            }
        }
        Ok((together(&self.rows)?, together(others)?))
    }
}

fn key(row: &Row) -> Result<GroupKey, tokio_postgres::Error> {
    Ok([row.try_get("key_1")?, row.try_get("key_2")?, row.try_get("key_3")?])
}

/// The visitors of these groups, each once. Nobody can be more people than sessions.
fn together<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Result<i64, tokio_postgres::Error> {
    let (mut sketch, mut sessions) = (Sketch::default(), 0);
    for row in rows {
        sketch.add(row.try_get("sketch")?);
        sessions += row.try_get::<_, i64>("sessions")?;
    }
    Ok(sketch.estimate().min(sessions))
}
