//! The people of a report, a share of them at a time: what is kept of each has a bound then, however long the window is. The
//! price is that columns are read again for each share.

use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::scan::{Wanted, scan};
use crate::stats::scope::Scope;

/// Sessions of a share, about; 16 bytes of each are 32 MiB. Tests, which have few, have several shares all the same.
const SESSIONS: u64 = if cfg!(debug_assertions) { 1000 } else { 2 << 20 };

/// Some of all visitors, chosen by their hashes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct People {
    share: u64,
    shares: u64,
}

impl People {
    /// All who have sessions in a scope, in shares.
    pub(crate) async fn of(
        snapshot: &Snapshot,
        scope: &Scope,
    ) -> Result<impl Iterator<Item = People> + use<>, DatabaseError> {
        let shares = count(snapshot, scope).await?.div_ceil(SESSIONS).max(1);
        Ok((0..shares).map(move |share| People { share, shares }))
    }

    /// Whether a visitor of this hash is one of them.
    pub(crate) fn have(self, visitor: i64) -> bool {
        // The lower half of the bits is left to tables that tell visitors apart by them.
        (visitor.cast_unsigned() >> 32) % self.shares == self.share
    }
}

/// How many sessions a scope has.
pub(crate) async fn count(snapshot: &Snapshot, scope: &Scope) -> Result<u64, DatabaseError> {
    let mut sessions = 0;
    let nothing = Wanted { numbers: &[], ids: &[], lists: &[], edges: &[] };
    scan(snapshot, scope, nothing, |part| sessions += part.chosen().len() as u64).await?;
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
