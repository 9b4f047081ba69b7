//! Visitors whose rows need not be written again, since nothing of them would change.
//!
//! Every column of `visitors` merges in one direction only. So what was committed once stands, or something beyond it,
//! whoever else writes, as long as the row is there: it goes only by retention, months after the day it was last seen,
//! and by being forgotten, after which nothing is taken as known.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::recent::Recent;
use super::rows::visitors::Visitor;

/// At least so many visitors are remembered; those of half an hour at 500 page views a second.
const VISITORS: usize = 100_000;

/// Rows of `visitors` as they were last committed.
#[derive(Debug, Default)]
pub(super) struct KnownVisitors(Recent<Uuid, Known, VISITORS>);

/// What most hits carry. The other columns are rare: a hit that has one is always written.
#[derive(Debug, Clone, Copy)]
struct Known {
    first_seen_ms: i64,
    last_seen_ms: i64,
    site_id: i32,
    identity: i16,
}

impl Known {
    fn of(visitor: &Visitor) -> Self {
        Known {
            first_seen_ms: visitor.first_seen.as_millisecond(),
            last_seen_ms: visitor.last_seen.as_millisecond(),
            site_id: visitor.site_id,
            identity: visitor.identity,
        }
    }

    fn merged(self, other: Self) -> Self {
        Known {
            first_seen_ms: self.first_seen_ms.min(other.first_seen_ms),
            last_seen_ms: self.last_seen_ms.max(other.last_seen_ms),
            site_id: self.site_id.min(other.site_id),
            identity: self.identity.min(other.identity),
        }
    }

    fn covers(self, other: Self) -> bool {
        self.first_seen_ms <= other.first_seen_ms
            && self.last_seen_ms >= other.last_seen_ms
            && self.site_id <= other.site_id
            && self.identity <= other.identity
    }
}

impl KnownVisitors {
    /// The rows that are new or would change something, in their order.
    pub(super) fn unwritten<'a>(
        &mut self,
        visitors: &'a BTreeMap<Uuid, Visitor>,
    ) -> Vec<(&'a Uuid, &'a Visitor)> {
        visitors
            .iter()
            .filter(|(id, visitor)| {
                visitor.minted_from.is_some()
                    || visitor.registered_at.is_some()
                    || visitor.first_touch.is_some()
                    || !self.0.get(**id).is_some_and(|known| known.covers(Known::of(visitor)))
            })
            .collect()
    }

    /// Notes rows of a committed batch.
    pub(super) fn remember(&mut self, visitors: &[(&Uuid, &Visitor)]) {
        for (id, visitor) in visitors {
            let written = Known::of(visitor);
            let known = self.0.get(**id).map_or(written, |known| known.merged(written));
            self.0.insert(**id, known);
        }
    }

    /// Takes nothing for granted any more.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::*;

    fn one(first_seen: Timestamp) -> BTreeMap<Uuid, Visitor> {
        let visitor = Visitor {
            site_id: 1,
            identity: 1,
            first_seen,
            last_seen: Timestamp::UNIX_EPOCH,
            minted_from: None,
            registered_at: None,
            first_touch: None,
            last_touch: None,
        };
        BTreeMap::from([(Uuid::nil(), visitor)])
    }

    #[test]
    fn only_what_changes_something_is_written() {
        let noon = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(12);
        let (early, late) = (one(noon), one(noon + SignedDuration::from_hours(1)));
        let mut known = KnownVisitors::default();
        assert_eq!(known.unwritten(&late).len(), 1, "not committed yet");
        known.remember(&known_rows(&late));
        assert!(known.unwritten(&late).is_empty());
        assert_eq!(known.unwritten(&early).len(), 1, "seen before the first time that is known");
        known.remember(&known_rows(&early));
        assert!(known.unwritten(&late).is_empty() && known.unwritten(&early).is_empty());
        let changes: [fn(&mut Visitor); 5] = [
            |visitor| visitor.site_id = 0,
            |visitor| visitor.identity = 0,
            |visitor| visitor.last_seen += SignedDuration::from_hours(24),
            |visitor| visitor.minted_from = Some(Uuid::max()),
            |visitor| visitor.registered_at = Some(visitor.first_seen),
        ];
        for change in changes {
            let mut changed = late.clone();
            changed.values_mut().for_each(change);
            assert_eq!(known.unwritten(&changed).len(), 1);
        }
        known.forget();
        assert_eq!(known.unwritten(&late).len(), 1);
    }

    fn known_rows(visitors: &BTreeMap<Uuid, Visitor>) -> Vec<(&Uuid, &Visitor)> {
        visitors.iter().collect()
    }
}
