//! Adds dictionary rows, within the cap of new rows per day, kind and site.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::Transaction;
use tokio_postgres::{Error, Row};

use super::columns::send;
use super::dictionary::Kind;
use super::rows::dictionaries::Dictionaries;

/// What became of a batch's dictionary rows.
#[derive(Debug, Default)]
pub(super) struct Growth {
    /// Rows that may not be made: facts point at the overflow row instead.
    pub(super) refused: BTreeSet<(Kind, i64)>,
    counts: BTreeMap<(&'static str, i32), (i64, i64)>,
}

impl Growth {
    /// Adds what is new, in the order of kind and id.
    pub(super) async fn add(
        transaction: &Transaction<'_>,
        rows: &Dictionaries,
        cap: i64,
    ) -> Result<Growth, Error> {
        let (.., campaigns, pages, referrers, products, agents, places) = tokio::try_join!(
            biased;
            add_sites(transaction, rows),
            add_action_kinds(transaction, rows),
            add_campaigns(transaction, rows, cap),
            add_pages(transaction, rows, cap),
            add_referrers(transaction, rows, cap),
            add_products(transaction, rows, cap),
            add_agents(transaction, rows, cap),
            add_places(transaction, rows, cap),
        )?;
        let mut growth = Growth::default();
        growth.take(Kind::Campaign, &campaigns);
        growth.take(Kind::Page, &pages);
        growth.take(Kind::Referrer, &referrers);
        growth.take(Kind::Product, &products);
        growth.take(Kind::Agent, &agents);
        growth.take(Kind::Place, &places);
        Ok(growth)
    }

    /// Counts the growth. Comes last in a transaction: all proxies share these rows.
    pub(super) async fn count(&self, transaction: &Transaction<'_>) -> Result<(), Error> {
        send!(transaction, "growth", self.counts, |((kind, site), (added, refused))| {
            TEXT_ARRAY: kind, INT4_ARRAY: site, INT8_ARRAY: added, INT8_ARRAY: refused,
        })?;
        Ok(())
    }

    /// How many facts point at an overflow row, by dictionary.
    pub(super) fn overflowed(&self) -> BTreeMap<&'static str, u64> {
        let mut overflowed = BTreeMap::new();
        for ((kind, _), (_, refused)) in &self.counts {
            if let Some(refused) = u64::try_from(*refused).ok().filter(|refused| *refused > 0) {
                *overflowed.entry(*kind).or_default() += refused;
            }
        }
        overflowed
    }

    fn take(&mut self, kind: Kind, fresh: &[Row]) {
        for row in fresh {
            let (id, site): (i64, i32) = (row.get("id"), row.get("site_id"));
            let (added, refused) = self.counts.entry((kind.name(), site)).or_default();
            if row.get("allowed") {
                *added += i64::from(row.get::<_, bool>("added"));
            } else {
                *refused += row.get::<_, i64>("uses");
                self.refused.insert((kind, id));
            }
        }
    }
}

async fn add_sites(transaction: &Transaction<'_>, rows: &Dictionaries) -> Result<Vec<Row>, Error> {
    send!(transaction, "sites", rows.sites, |(id, name)| { INT4_ARRAY: id, TEXT_ARRAY: name })
}

async fn add_action_kinds(transaction: &Transaction<'_>, rows: &Dictionaries) -> Result<Vec<Row>, Error> {
    send!(transaction, "action_kinds", rows.action_kinds, |(id, name)| { INT4_ARRAY: id, TEXT_ARRAY: name })
}

async fn add_campaigns(
    transaction: &Transaction<'_>,
    rows: &Dictionaries,
    cap: i64,
) -> Result<Vec<Row>, Error> {
    send!(transaction, "campaigns", rows.campaigns, |(id, fresh)| {
        INT8_ARRAY: id, INT8_ARRAY: fresh.uses, INT4_ARRAY: fresh.row.site_id,
        TEXT_ARRAY: &fresh.row.source, TEXT_ARRAY: &fresh.row.medium, TEXT_ARRAY: &fresh.row.campaign,
        TEXT_ARRAY: &fresh.row.content, TEXT_ARRAY: &fresh.row.term, TEXT_ARRAY: &fresh.row.utm_id,
        TEXT_ARRAY: &fresh.row.parameters, TEXT_ARRAY: fresh.row.inferred,
        TEXT_ARRAY: &fresh.row.label_source, TEXT_ARRAY: fresh.row.channel, INT8_ARRAY: fresh.row.labelled_by,
    }, INT8: cap)
}

async fn add_pages(transaction: &Transaction<'_>, rows: &Dictionaries, cap: i64) -> Result<Vec<Row>, Error> {
    send!(transaction, "pages", rows.pages, |(id, fresh)| {
        INT8_ARRAY: id, INT8_ARRAY: fresh.uses, INT4_ARRAY: fresh.row.site_id,
        TEXT_ARRAY: &fresh.row.host, TEXT_ARRAY: &fresh.row.path, TEXT_ARRAY: &fresh.row.locale,
    }, INT8: cap)
}

async fn add_referrers(
    transaction: &Transaction<'_>,
    rows: &Dictionaries,
    cap: i64,
) -> Result<Vec<Row>, Error> {
    send!(transaction, "referrers", rows.referrers, |(id, fresh)| {
        INT8_ARRAY: id, INT8_ARRAY: fresh.uses, INT4_ARRAY: fresh.row.site_id,
        TEXT_ARRAY: &fresh.row.host, TEXT_ARRAY: &fresh.row.url,
    }, INT8: cap)
}

async fn add_products(
    transaction: &Transaction<'_>,
    rows: &Dictionaries,
    cap: i64,
) -> Result<Vec<Row>, Error> {
    let fresh = send!(transaction, "products", rows.products, |(id, fresh)| {
        INT8_ARRAY: id, INT8_ARRAY: fresh.uses, INT4_ARRAY: fresh.row.site_id,
        TEXT_ARRAY: &fresh.row.product_id,
        TEXT_ARRAY: fresh.row.named.as_ref().map(|(_, name)| name),
        DATE_ARRAY: fresh.row.named.as_ref().map(|(day, _)| day),
    }, INT8: cap)?;
    send!(transaction, "product_names", rows.products, |(id, fresh)| {
        INT8_ARRAY: id,
        TEXT_ARRAY: fresh.row.named.as_ref().map(|(_, name)| name),
        DATE_ARRAY: fresh.row.named.as_ref().map(|(day, _)| day),
    })?;
    Ok(fresh)
}

async fn add_agents(transaction: &Transaction<'_>, rows: &Dictionaries, cap: i64) -> Result<Vec<Row>, Error> {
    send!(transaction, "agents", rows.agents, |(id, fresh)| {
        INT8_ARRAY: id, INT8_ARRAY: fresh.uses, TEXT_ARRAY: &fresh.row.user_agent, TEXT_ARRAY: &fresh.row.client_hints,
    }, INT8: cap)
}

async fn add_places(transaction: &Transaction<'_>, rows: &Dictionaries, cap: i64) -> Result<Vec<Row>, Error> {
    send!(transaction, "places", rows.places, |(id, fresh)| {
        INT8_ARRAY: id, INT8_ARRAY: fresh.uses,
        TEXT_ARRAY: &fresh.row.country, TEXT_ARRAY: &fresh.row.country_name, TEXT_ARRAY: &fresh.row.region,
        TEXT_ARRAY: &fresh.row.city, TEXT_ARRAY: &fresh.row.timezone,
    }, INT8: cap)
}
