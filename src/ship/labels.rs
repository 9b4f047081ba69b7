//! Keeps the labels of campaigns (the source's one name, the channel) those of the present rules and aliases.
//!
//! Rule: whoever makes a campaign's row labels it by what it knows; here all rows with other labels than the present are
//! labelled anew, in one transaction, so that no report sees both. A program with older tables than the database has seen
//! leaves them alone, lest two of them undo each other's work.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use deadpool_postgres::{Client, Transaction};
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use super::columns::send;
use super::enrich::channel::{Labeller, Labels, RULES_VERSION, Tagged};
use crate::config::{Config, Live};
use crate::store::{Store, StoreError};
use crate::telemetry::causes::Causes;

/// How often the aliases are looked up.
const INTERVAL: Duration = Duration::from_secs(2);
/// Rows that are labelled by one statement.
const PIECE: i64 = 5000;

/// The rules with the present aliases. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct CurrentLabels(Arc<ArcSwap<Labeller>>);

impl CurrentLabels {
    /// Those known now.
    pub fn now(&self) -> Guard<Arc<Labeller>> {
        self.0.load()
    }
}

/// Looks up the aliases until `shutdown`, and labels what is labelled otherwise. The database is
/// told first of those of the configuration.
pub async fn keep_current(
    store: Store,
    labels: CurrentLabels,
    config: Live<Config>,
    shutdown: CancellationToken,
) {
    let mut told = None;
    let mut works = true;
    while !shutdown.is_cancelled() {
        let configured = config.now().tracking.attribution.aliases.clone();
        let looked = look(&store, &labels, configured, &mut told).await;
        match (&looked, works) {
            (Err(error), true) => tracing::debug!(error = %Causes(error), "aliases cannot be looked up"),
            (Ok(0), _) | (Err(_), false) => {}
            (Ok(campaigns), _) => tracing::info!(campaigns, "campaigns labelled by other rules or aliases"),
        }
        works = looked.is_ok();
        shutdown.run_until_cancelled(tokio::time::sleep(INTERVAL)).await;
    }
}

/// Answers how many campaigns were labelled anew.
async fn look(
    store: &Store,
    labels: &CurrentLabels,
    configured: Vec<(String, String)>,
    told: &mut Option<Vec<(String, String)>>,
) -> Result<u64, StoreError> {
    let mut client = store.office().await?;
    if told.as_ref() != Some(&configured) {
        let (aliases, sources): (Vec<&String>, Vec<&String>) =
            configured.iter().map(|(alias, source)| (alias, source)).unzip();
        let parameters = [(&aliases as _, Type::TEXT_ARRAY), (&sources as _, Type::TEXT_ARRAY)];
        client.query_typed(include_str!("sql/configured_aliases.sql"), &parameters).await?;
        *told = Some(configured);
    }
    let labeller = Labeller::new(aliases(&client).await?);
    if labeller.fingerprint() != labels.now().fingerprint() {
        labels.0.store(Arc::new(labeller));
    }
    let version = [(&RULES_VERSION as _, Type::INT4)];
    let row = client.query_typed_one(include_str!("sql/label_rules.sql"), &version).await?;
    if row.get::<_, i32>("version") > RULES_VERSION {
        return Ok(0);
    }
    let labeller = labels.now();
    let transaction = client.transaction().await?;
    let mut labelled = 0;
    loop {
        let piece = label_some(&transaction, &labeller).await?;
        labelled += piece;
        if piece < PIECE.unsigned_abs() {
            break;
        }
    }
    transaction.commit().await?;
    Ok(labelled)
}

/// Those of the API come before those of the configuration.
async fn aliases(client: &Client) -> Result<HashMap<String, String>, StoreError> {
    let rows = client.query_typed(include_str!("sql/aliases.sql"), &[]).await?;
    Ok(rows.iter().map(|row| (row.get("alias"), row.get("source"))).collect())
}

async fn label_some(transaction: &Transaction<'_>, labeller: &Labeller) -> Result<u64, StoreError> {
    let fingerprint = labeller.fingerprint();
    let parameters = [(&fingerprint as _, Type::INT8), (&PIECE as _, Type::INT8)];
    let rows = transaction.query_typed(include_str!("sql/campaigns_to_label.sql"), &parameters).await?;
    let labelled: Vec<(i64, Labels)> = rows
        .iter()
        .map(|row| {
            let labels = labeller.label(Tagged {
                source: row.get("source"),
                medium: row.get("medium"),
                campaign: row.get("campaign"),
                inferred: row.get("inferred"),
            });
            (row.get("campaign_id"), labels)
        })
        .collect();
    send!(transaction, "label_campaigns", labelled, |(id, labels)| {
        INT8_ARRAY: id, TEXT_ARRAY: &labels.source, TEXT_ARRAY: labels.channel,
    }, INT8: fingerprint)?;
    Ok(labelled.len() as u64)
}
