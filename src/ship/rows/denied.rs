//! Rows of `denied_hits`, and of `link_findings`: counts that name nobody.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Enricher, Folding, Rows};
use crate::hit::{Hit, findings};

/// Stands for "no evidence" in the key of `denied_hits`.
pub const NO_CAMPAIGN: i64 = -1;

const QUARTER_MS: i64 = 900_000;

/// Columns of `denied_hits`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the migration documents the columns")]
pub struct Counts {
    pub page_views: i64,
    pub landings: i64,
    pub orders: i64,
}

impl Counts {
    /// Both together.
    pub fn add(&mut self, other: Counts) {
        self.page_views += other.page_views;
        self.landings += other.landings;
        self.orders += other.orders;
    }
}

impl Rows {
    /// Counts a hit of somebody who denies being known.
    pub(super) fn add_denied(&mut self, hit: &Hit<'_>, at: Timestamp, site_id: i32, enricher: &Enricher) {
        let ms = at.as_millisecond();
        let quarter = Timestamp::from_millisecond(ms - ms.rem_euclid(QUARTER_MS)).unwrap_or(at);
        if !self.takes_facts_of(quarter) {
            return;
        }
        let campaign_id = match &hit.touch {
            Some(touch) if hit.landing => self.dictionaries.campaign(site_id, &hit.site, touch, enricher),
            _ => NO_CAMPAIGN,
        };
        let orders =
            hit.actions.iter().filter(|action| action.kind == "purchase" && action.order_id.is_some());
        self.denied_hits.entry((quarter, site_id, campaign_id)).or_default().add(Counts {
            page_views: i64::from(hit.page_view),
            landings: i64::from(hit.landing),
            orders: orders.fold(0, |count, _| count + 1),
        });
    }

    pub(super) fn add_findings(&mut self, folding: &Folding<'_>) {
        if folding.hit.findings & findings::TAGS_ON_OWN_LINK != 0 {
            let day = folding.at.to_zoned(TimeZone::UTC).date();
            *self.link_findings.entry((day, folding.site_id, folding.page_id, 1)).or_default() += 1;
        }
    }
}
