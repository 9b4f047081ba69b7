//! The people of a report, a share of them at a time: what is kept of each has a bound then, however long the window is. The
//! price is that columns are read again for each share.

use std::ops::ControlFlow;

use tokio_postgres::types::Type;

use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::scan::{Choices, Wanted, scan_until};
use crate::stats::scope::Scope;

/// Sessions of a share, about; 24 bytes of each are 48 MiB. Tests, which have few, have several shares all the same.
const SESSIONS: u64 = if cfg!(debug_assertions) { 1000 } else { 2 << 20 };

/// Some of all visitors, chosen by their hashes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct People {
    share: u64,
    shares: u64,
}

impl People {
    /// All who have sessions in a scope, in shares; so much else is known of them.
    pub(crate) async fn of(
        snapshot: &Snapshot,
        scope: &Scope,
        beside: u64,
    ) -> Result<impl Iterator<Item = People> + use<>, DatabaseError> {
        // Few windows have so many that it matters how many the filters leave.
        let sessions = match window_sessions(snapshot, scope).await? {
            many if many > SESSIONS => {
                count(snapshot, scope, &Choices::of(snapshot, scope).await?, u64::MAX).await?
            }
            few => few,
        };
        let shares = (sessions + beside).div_ceil(SESSIONS).max(1);
        Ok((0..shares).map(move |share| People { share, shares }))
    }

    /// Whether a visitor of this hash is one of them.
    pub(crate) fn have(self, visitor: i64) -> bool {
        // The lower half of the bits is left to sieves.
        (visitor.cast_unsigned() >> 32) % self.shares == self.share
    }
}

/// About how many sessions the window of a scope has.
pub(crate) async fn window_sessions(snapshot: &Snapshot, scope: &Scope) -> Result<u64, DatabaseError> {
    let (from, to) = scope.window();
    let edges = [(&from as _, Type::TIMESTAMPTZ), (&to as _, Type::TIMESTAMPTZ)];
    let row = snapshot.row(include_str!("sql/window_sessions.sql"), &edges).await?;
    let sessions: i64 = row.ok_or(DatabaseError::Failed)?.try_get("sessions")?;
    Ok(u64::try_from(sessions).unwrap_or(0))
}

/// How many sessions a scope has; once there are more than `most`, the others are not counted.
pub(crate) async fn count(
    snapshot: &Snapshot,
    scope: &Scope,
    choices: &Choices,
    most: u64,
) -> Result<u64, DatabaseError> {
    let mut sessions = 0;
    let nothing = Wanted { numbers: &[], ids: &[], lists: &[], edges: &[] };
    scan_until(snapshot, scope, choices, nothing, |part| {
        sessions += part.chosen().len() as u64;
        if sessions > most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .await?;
    Ok(sessions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_in_one_share() {
        for visitor in [0, 1, -1, i64::MIN, i64::MAX, 0x1234_5678_9abc_def0] {
            for shares in 1..9 {
                let having = (0..shares).filter(|share| People { share: *share, shares }.have(visitor));
                assert_eq!(having.count(), 1, "{visitor} of {shares}");
            }
        }
    }
}
