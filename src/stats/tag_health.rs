//! `tag-health`: what is wrong with the tags of links, and with links within the shop.
//!
//! Findings of tags are computed from what was tagged, so a new one holds for the past too; those of links were noted by the
//! request path.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::stats::AppState;
use crate::stats::answer::{Answer, ListMeta};
use crate::stats::csv;
use crate::stats::database::DatabaseError;
use crate::stats::groups::sessions_by_campaign;
use crate::stats::params::{Accepts, Format, ParameterError};
use crate::stats::problem::StatsError;
use crate::stats::scope::Scope;

pub(crate) const ACCEPTS: Accepts =
    Accepts { window: true, filters: true, list: Some((100, &["hits"])), ..Accepts::NOTHING };

/// Something that is wrong, and an example of it.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Finding {
    /// `unexpanded_macro`, `double_encoding`, `personal_data`, `missing_source`, `missing_medium`, `source_is_an_id`,
    /// `spelt_differently`, or of a link `tags_on_own_link`.
    finding: String,
    /// What was tagged, as seen.
    source: Option<String>,
    medium: Option<String>,
    campaign: Option<String>,
    content: Option<String>,
    term: Option<String>,
    /// Where a link within the shop leads.
    landing_host: Option<String>,
    landing_page: Option<String>,
    /// Sessions that came by the tags; page views by a link.
    hits: i64,
}

/// How many findings there are.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Count {
    findings: i64,
}

/// `GET /api/v1/tag-health`
pub(crate) async fn tag_health(
    State(shared): AppState,
    RawQuery(query): RawQuery,
) -> Result<Response, StatsError> {
    let params = shared.params(query.as_deref(), &ACCEPTS)?;
    if params.sort.ascending || params.cursor.is_some() {
        return Err(ParameterError::new("sort", "findings come by hits, the most first, in one page").into());
    }
    let snapshot = shared.context.database.snapshot().await?;
    let scope = Scope::of(&params);
    let (of_links, limit) = (params.filters.by_field().is_empty(), i64::from(params.limit));
    let (campaigns, hits) = sessions_by_campaign(&snapshot, &scope).await?;
    let mut parameters = scope.parameters_of_sites();
    parameters.push((&of_links, Type::BOOL));
    parameters.push((&limit, Type::INT8));
    parameters.push((&campaigns, Type::INT8_ARRAY));
    parameters.push((&hits, Type::INT8_ARRAY));
    let rows = snapshot.rows(include_str!("sql/tag_health.sql"), &parameters).await?;
    let freshness = snapshot.conclude().await?;
    let findings =
        rows.iter().map(Finding::read).collect::<Result<Vec<_>, _>>().map_err(DatabaseError::from)?;
    if params.format == Format::Csv {
        return Ok(csv::attachment("tag-health", &findings));
    }
    let total = rows.first().map(|row| row.try_get("total")).transpose().map_err(DatabaseError::from)?;
    let total: i64 = total.unwrap_or_default();
    let given = i64::try_from(findings.len()).unwrap_or(i64::MAX);
    let list = ListMeta {
        totals: Count { findings: total },
        other: Some(Count { findings: total - given }),
        next_cursor: None,
    };
    Ok(Answer::of_window(freshness, &params, findings).with_list(&params, list).into_response())
}

impl Finding {
    fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Finding {
            finding: row.try_get("finding")?,
            source: row.try_get("source")?,
            medium: row.try_get("medium")?,
            campaign: row.try_get("campaign")?,
            content: row.try_get("content")?,
            term: row.try_get("term")?,
            landing_host: row.try_get("landing_host")?,
            landing_page: row.try_get("landing_page")?,
            hits: row.try_get("hits")?,
        })
    }
}
