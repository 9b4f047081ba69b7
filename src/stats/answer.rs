//! The shape of every answer: `{"query": …as resolved…, "results": …, "meta": {…}}`.

use std::collections::BTreeMap;
use std::mem::take;

use axum::http::header::ETAG;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::stats::csv;
use crate::stats::filters::Filter;
use crate::stats::params::{Format, Params};
use crate::stats::replica::Freshness;
use crate::stats::revalidate;

/// What is answered.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Answer<Results, Sums = ()> {
    query: Query,
    results: Results,
    meta: Meta<Sums>,
}

/// The question as it was understood.
#[derive(Debug, Default, JsonSchema, Serialize)]
pub(crate) struct Query {
    #[serde(skip_serializing_if = "Option::is_none")]
    period: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    timezone: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    site: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    filters: BTreeMap<&'static str, Filter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bots: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    date_basis: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sort: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    q: Option<String>,
    /// Parameters of this report alone.
    #[serde(flatten)]
    own: BTreeMap<&'static str, Value>,
}

/// What belongs to the numbers.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Meta<Sums> {
    timezone: String,
    /// First instant of the window; null = since ever.
    from: Option<String>,
    /// First instant after the window; null where there is none.
    to: Option<String>,
    generated_at: String,
    /// Newest record in the database that answered; null when there is none yet.
    data_through: Option<String>,
    /// The currency of all money; null when no order has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<Option<String>>,
    /// The model by which orders and revenue are credited.
    #[serde(skip_serializing_if = "Option::is_none")]
    attribution: Option<&'static str>,
    warnings: Vec<String>,
    #[serde(flatten)]
    list: Option<ListMeta<Sums>>,
    /// Whether all of the window was over when the newest record was made.
    #[serde(skip)]
    is_over: bool,
}

/// What belongs to the rows of a list.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct ListMeta<Sums> {
    /// Everything, rows that are not given included.
    pub(crate) totals: Sums,
    /// What is not in the rows given; null where rows do not add up.
    pub(crate) other: Option<Sums>,
    /// Gives the rows that follow; null after the last.
    pub(crate) next_cursor: Option<String>,
}

impl<Results: Serialize, Sums: Serialize> Answer<Results, Sums> {
    /// An answer about a window.
    pub(crate) fn of_window(
        freshness: Freshness,
        params: &Params,
        results: Results,
    ) -> Answer<Results, Sums> {
        let mut answer = Answer::of_one(freshness, params, results);
        let (from, to) = edges(params);
        answer.query.period = params.period.map(crate::stats::period::Period::name);
        answer.query.from.clone_from(&from);
        answer.query.to.clone_from(&to);
        answer.query.filters =
            params.filters.by_field().into_iter().map(|(field, filter)| (field, filter.clone())).collect();
        answer.query.bots = Some(params.bots.name());
        answer.meta.from = from;
        answer.meta.to = to;
        answer.meta.is_over = freshness.data_through.is_some_and(|through| through >= params.window.to);
        let reaches = |since: &Timestamp| params.window.from.is_none_or(|from| from < *since);
        answer.with_warning(freshness.sessions_since.filter(reaches).map(|since| {
            let since = rfc3339(since, &params.zone);
            format!("sessions before {since} are no longer kept one by one: what needs them leaves them out")
        }))
    }

    /// An answer about one thing.
    pub(crate) fn of_one(freshness: Freshness, params: &Params, results: Results) -> Answer<Results, Sums> {
        let timezone = zone_name(&params.zone);
        let query = Query { timezone: timezone.clone(), site: params.sites.clone(), ..Query::default() };
        let meta = Meta {
            timezone,
            from: None,
            to: None,
            generated_at: rfc3339(Timestamp::now(), &params.zone),
            data_through: freshness.data_through.map(|at| rfc3339(at, &params.zone)),
            currency: None,
            attribution: None,
            warnings: freshness.lag.warning().into_iter().collect(),
            list: None,
            is_over: false,
        };
        Answer { query, results, meta }
    }

    /// Adds what money is in, and by what it is credited.
    pub(crate) fn with_money(mut self, params: &Params, currency: Option<&str>, left_out: i64) -> Self {
        self.query.date_basis = Some(params.date_basis.name());
        self.query.model = Some(params.model);
        self.meta.currency = Some(currency.map(str::to_owned));
        self.meta.attribution = Some(params.model);
        if left_out > 0 {
            self.meta.warnings.push(format!(
                "{left_out} {} another currency than {} and no exchange rate: counted, but not in any sum of money",
                if left_out == 1 { "order has" } else { "orders have" },
                currency.unwrap_or("the report's"),
            ));
        }
        self
    }

    /// Adds what belongs to the rows.
    pub(crate) fn with_list(mut self, params: &Params, list: ListMeta<Sums>) -> Self {
        self.query.limit = Some(params.limit);
        let direction = if params.sort.ascending { ":asc" } else { "" };
        self.query.sort = Some(format!("{}{direction}", params.sort.column));
        self.query.q.clone_from(&params.search);
        self.meta.list = Some(list);
        self
    }

    /// Adds the totals of rows that are all given.
    pub(crate) fn with_totals(mut self, totals: Sums) -> Self {
        self.meta.list = Some(ListMeta { totals, other: None, next_cursor: None });
        self
    }

    /// Adds a parameter of this report alone, as resolved.
    pub(crate) fn with_own(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.query.own.insert(name, value.into());
        self
    }

    /// Adds something the reader must know.
    pub(crate) fn with_warning(mut self, warning: Option<String>) -> Self {
        self.meta.warnings.extend(warning);
        self
    }
}

impl<Results: Serialize> Answer<Results> {
    /// The answer, or its numbers alone as a file of this name.
    pub(crate) fn in_format(self, params: &Params, name: &str) -> Response {
        match params.format {
            Format::Csv => csv::numbers(name, &self.results),
            Format::Json => self.into_response(),
        }
    }
}

impl<Results: Serialize, Sums: Serialize> IntoResponse for Answer<Results, Sums> {
    fn into_response(mut self) -> Response {
        if !self.meta.is_over {
            return axum::Json(self).into_response();
        }
        // What moves on though the report stays as it is.
        let (generated_at, data_through) = (take(&mut self.meta.generated_at), self.meta.data_through.take());
        let tag = serde_json::to_vec(&self).ok().and_then(|told| revalidate::tag(&told));
        (self.meta.generated_at, self.meta.data_through) = (generated_at, data_through);
        (tag.map(|tag| [(ETAG, tag)]), axum::Json(self)).into_response()
    }
}

/// An instant as RFC 3339 with the zone's offset.
pub(crate) fn rfc3339(instant: Timestamp, zone: &TimeZone) -> String {
    instant.display_with_offset(zone.to_offset(instant)).to_string()
}

fn edges(params: &Params) -> (Option<String>, Option<String>) {
    (
        params.window.from.map(|from| rfc3339(from, &params.zone)),
        Some(rfc3339(params.window.to, &params.zone)),
    )
}

fn zone_name(zone: &TimeZone) -> String {
    zone.iana_name().map_or_else(|| zone.to_offset(Timestamp::now()).to_string(), str::to_owned)
}
