//! What the database has to say before anything is imported: since when the proxy counts by itself, what is no longer kept,
//! what is there.

use std::collections::HashSet;

use anyhow::Context;
use jiff::Timestamp;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::cli::{database, must_be_current};
use crate::config::Config;

/// As of the moment when it was asked.
#[derive(Debug)]
pub(super) struct Standing {
    /// When the proxy's first session of the site began.
    pub(super) seen_since: Option<Timestamp>,
    /// No facts from before it are stored.
    pub(super) horizon: Option<Timestamp>,
    known: HashSet<Uuid>,
}

impl Standing {
    /// Asks about a site and these sessions.
    pub(super) async fn ask(config: &Config, site: &str, sessions: Vec<Uuid>) -> anyhow::Result<Standing> {
        let (store, _cluster) =
            database(config).await.context("the database is needed to import the past")?;
        must_be_current(&store).await?;
        let client = store.office().await?;
        let of_site = [(&site as _, Type::TEXT)];
        let since = client.query_typed_one(include_str!("sql/seen_since.sql"), &of_site).await?;
        let ids = [(&sessions as _, Type::UUID_ARRAY)];
        let known = client.query_typed(include_str!("sql/sessions_known.sql"), &ids).await?;
        Ok(Standing {
            seen_since: since.get("since"),
            horizon: since.get("horizon"),
            known: known.iter().map(|row| row.get("session_id")).collect(),
        })
    }

    pub(super) fn is_known(&self, session_id: Uuid) -> bool {
        self.known.contains(&session_id)
    }
}
