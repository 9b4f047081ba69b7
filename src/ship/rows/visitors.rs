//! Rows of `visitors`.

use jiff::Timestamp;
use uuid::Uuid;

use super::sessions::FirstTouch;
use super::{Folding, Rows};
use crate::hit::Identity;

/// A row of `visitors`; its columns there.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the migration documents the columns")]
pub struct Visitor {
    pub site_id: i32,
    pub identity: i16,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub minted_from: Option<Uuid>,
    pub registered_at: Option<Timestamp>,
    pub first_touch: Option<FirstTouch>,
    pub last_touch: Option<FirstTouch>,
}

impl Rows {
    pub(super) fn add_visitor(
        &mut self,
        identity: &Identity,
        touch: Option<FirstTouch>,
        folding: &Folding<'_>,
    ) {
        let at = folding.at;
        let day = day_of(at);
        let registered = folding.hit.actions.iter().any(|action| action.kind == "registration");
        let row = self.visitors.entry(identity.visitor_id).or_insert(Visitor {
            site_id: folding.site_id,
            identity: identity.mode.code(),
            first_seen: at,
            last_seen: day,
            minted_from: None,
            registered_at: None,
            first_touch: None,
            last_touch: None,
        });
        row.site_id = row.site_id.min(folding.site_id);
        row.identity = row.identity.min(identity.mode.code());
        row.first_seen = row.first_seen.min(at);
        row.last_seen = row.last_seen.max(day);
        row.minted_from = row.minted_from.max(identity.minted_from);
        row.first_touch = [row.first_touch, touch].into_iter().flatten().min();
        row.last_touch = row.last_touch.max(touch);
        if registered {
            row.registered_at = earliest(row.registered_at, at);
        }
    }
}

/// The beginning of the UTC day: when somebody was last seen is asked by retention only, in months.
fn day_of(at: Timestamp) -> Timestamp {
    let ms = at.as_millisecond();
    Timestamp::from_millisecond(ms - ms.rem_euclid(86_400_000)).unwrap_or(at)
}

/// The earlier of a moment that may be open and another.
pub(super) fn earliest(known: Option<Timestamp>, at: Timestamp) -> Option<Timestamp> {
    Some(known.map_or(at, |known| known.min(at)))
}
