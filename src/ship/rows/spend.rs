//! Rows of `ad_spend`: what advertising cost, as it was reported last.

use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::{Enricher, FoldError, Rows, time};
use crate::hit::{SpendFact, Touch};

/// Key of `ad_spend`: site, day, and the campaign that the tags stand for.
pub(in crate::ship) type SpendKey = (i32, Date, i64);

/// A row of `ad_spend`; its columns there. The greatest by (received_at, hash) stands.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the migration documents the columns")]
pub struct Spend {
    /// As in the key, unless the dictionary had no room.
    pub campaign_id: i64,
    pub received_at: Timestamp,
    pub hash: i64,
    pub cost: Decimal,
    pub currency: Option<String>,
    pub clicks: Option<i64>,
    pub impressions: Option<i64>,
}

/// A report of money spent whose sender waits to hear what became of it.
#[derive(Debug, Clone)]
pub struct SpendReport {
    /// Request and position in it.
    pub receipt: (Uuid, u32),
    /// The row it would be.
    pub key: SpendKey,
    /// What it says.
    pub spend: Spend,
}

impl Spend {
    /// Whether it says this cost, currency, clicks and impressions.
    pub(in crate::ship) fn says(&self, of: (Decimal, Option<&str>, Option<i64>, Option<i64>)) -> bool {
        (self.cost, self.currency.as_deref(), self.clicks, self.impressions) == of
    }
}

impl Rows {
    pub(super) fn add_spend(
        &mut self,
        fact: &SpendFact,
        hash: i64,
        enricher: &Enricher,
    ) -> Result<(), FoldError> {
        let received_at = time(fact.received_ms)?;
        let (year, month, day) = fact.day;
        let day = Date::new(year, month, day).map_err(|_| FoldError::Day(fact.day))?;
        self.newest_ms = self.newest_ms.max(fact.received_ms);
        let site_id = self.dictionaries.site(&fact.site, enricher);
        let tags = Touch {
            source: fact.source.as_deref().map(Into::into),
            medium: fact.medium.as_deref().map(Into::into),
            campaign: fact.campaign.as_deref().map(Into::into),
            content: fact.content.as_deref().map(Into::into),
            id: fact.utm_id.as_deref().map(Into::into),
            ..Touch::default()
        };
        let campaign_id = self.dictionaries.campaign(site_id, &fact.site, &tags, enricher);
        let count = |count: Option<u64>| count.map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        let spend = Spend {
            campaign_id,
            received_at,
            hash,
            cost: fact.cost,
            currency: fact.currency.clone(),
            clicks: count(fact.clicks),
            impressions: count(fact.impressions),
        };
        let key = (site_id, day, campaign_id);
        if let Some(receipt) = fact.receipt {
            self.spend_receipts.push(SpendReport { receipt, key, spend: spend.clone() });
        }
        let row = self.spend.entry(key).or_insert_with(|| spend.clone());
        if (spend.received_at, spend.hash) > (row.received_at, row.hash) {
            *row = spend;
        }
        Ok(())
    }
}
