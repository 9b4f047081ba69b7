//! `sources`, `campaigns`, `content`, `channels`, and by what only single sessions have `devices`, `browsers`,
//! `operating-systems`, `geo`, `referrers`, `landing-pages`: how the groups of a dimension compare. Rows and `other` add up to `totals`.

use std::collections::{BTreeMap, HashMap, HashSet};

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::stats::answer::{Answer, ListMeta};
use crate::stats::csv;
use crate::stats::cursor::{decode_rank, encode_rank};
use crate::stats::database::{DatabaseError, Parameter, Snapshot};
use crate::stats::groups::{GroupKey, Groups};
use crate::stats::order_scan::Label;
use crate::stats::params::{Accepts, Format, Params};
use crate::stats::problem::StatsError;
use crate::stats::ratio::{from_millionths, percent};
use crate::stats::replica::Freshness;
use crate::stats::sales::{Sales, Wanted, sales};
use crate::stats::scope::{Money, Scope};
use crate::stats::tally::Tally;
use crate::stats::visitors::Way;
use crate::stats::worth::decimal;
use crate::stats::{AppState, Shared};
use crate::store::columns::Id;
use crate::store::order_columns::OrderId;

pub(crate) const ACCEPTS: Accepts = Accepts {
    list: Some((
        20,
        &[
            "sessions",
            "visitors",
            "conversions",
            "conversion_rate",
            "orders",
            "revenue",
            "avg_order_value",
            "total_score",
            "bounce_rate",
        ],
    )),
    ..Accepts::MONEY
};

/// What sessions are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dimension {
    Source,
    Campaign,
    Content,
    Channel,
    Device,
    Browser,
    System,
    Country,
    Region,
    City,
    Referrer,
    Landing,
}

/// A group: what it is of, and its numbers.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Group {
    #[serde(flatten)]
    keys: Keys,
    #[serde(flatten)]
    sums: Sums,
}

#[derive(Debug, Default, JsonSchema, Serialize)]
pub(crate) struct Keys {
    #[serde(flatten)]
    of_session: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    campaign: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    medium: Option<String>,
}

/// The numbers of a group, of all groups, or of those not given. A visitor of two groups counts in each of them.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub(crate) struct Sums {
    sessions: i64,
    visitors: i64,
    conversions: i64,
    conversion_rate: Option<f64>,
    orders: serde_json::Number,
    revenue: String,
    avg_order_value: Option<String>,
    total_score: i64,
    bounce_rate: Option<f64>,
}

/// `GET /api/v1/sources`
pub(crate) async fn sources(shared: AppState, query: RawQuery) -> Result<Response, StatsError> {
    breakdown(Dimension::Source, shared, query).await
}

/// `GET /api/v1/campaigns`
pub(crate) async fn campaigns(shared: AppState, query: RawQuery) -> Result<Response, StatsError> {
    breakdown(Dimension::Campaign, shared, query).await
}

/// `GET /api/v1/content`
pub(crate) async fn content(shared: AppState, query: RawQuery) -> Result<Response, StatsError> {
    breakdown(Dimension::Content, shared, query).await
}

/// `GET /api/v1/channels`
pub(crate) async fn channels(shared: AppState, query: RawQuery) -> Result<Response, StatsError> {
    breakdown(Dimension::Channel, shared, query).await
}

/// `GET /api/v1/devices`
pub(crate) async fn devices(shared: AppState, query: RawQuery) -> Result<Response, StatsError> {
    breakdown(Dimension::Device, shared, query).await
}

/// `GET /api/v1/browsers`
pub(crate) async fn browsers(shared: AppState, query: RawQuery) -> Result<Response, StatsError> {
    breakdown(Dimension::Browser, shared, query).await
}

/// `GET /api/v1/operating-systems`
pub(crate) async fn operating_systems(shared: AppState, query: RawQuery) -> Result<Response, StatsError> {
    breakdown(Dimension::System, shared, query).await
}

/// `GET /api/v1/geo`: countries
pub(crate) async fn countries(shared: AppState, query: RawQuery) -> Result<Response, StatsError> {
    breakdown(Dimension::Country, shared, query).await
}

/// `GET /api/v1/geo/regions`
pub(crate) async fn regions(shared: AppState, query: RawQuery) -> Result<Response, StatsError> {
    breakdown(Dimension::Region, shared, query).await
}

/// `GET /api/v1/geo/cities`
pub(crate) async fn cities(shared: AppState, query: RawQuery) -> Result<Response, StatsError> {
    breakdown(Dimension::City, shared, query).await
}

/// `GET /api/v1/referrers`
pub(crate) async fn referrers(shared: AppState, query: RawQuery) -> Result<Response, StatsError> {
    breakdown(Dimension::Referrer, shared, query).await
}

/// `GET /api/v1/landing-pages`
pub(crate) async fn landing_pages(shared: AppState, query: RawQuery) -> Result<Response, StatsError> {
    breakdown(Dimension::Landing, shared, query).await
}

/// The lists, by the names of their exports.
pub(crate) const LISTS: [(&str, Dimension); 12] = [
    ("sources", Dimension::Source),
    ("campaigns", Dimension::Campaign),
    ("content", Dimension::Content),
    ("channels", Dimension::Channel),
    ("devices", Dimension::Device),
    ("browsers", Dimension::Browser),
    ("operating-systems", Dimension::System),
    ("geo", Dimension::Country),
    ("regions", Dimension::Region),
    ("cities", Dimension::City),
    ("referrers", Dimension::Referrer),
    ("landing-pages", Dimension::Landing),
];

/// All groups of one of the [`LISTS`].
pub(crate) async fn all(
    name: &str,
    shared: &Shared,
    mut params: Params,
) -> Result<Vec<Map<String, Value>>, StatsError> {
    let list = LISTS.iter().find(|(known, _)| *known == name);
    let (_, dimension) = list.ok_or(StatsError::NotFound("there is no such list"))?;
    (params.limit, params.sort.column) = (u32::MAX, "sessions");
    let groups = look(*dimension, shared, &params, 0).await?.parts.groups;
    let rows = groups.iter().filter_map(|group| match serde_json::to_value(group) {
        Ok(Value::Object(row)) => Some(row),
        _ => None,
    });
    Ok(rows.collect())
}

/// What the statement says of a dimension.
struct Looked {
    parts: Parts,
    totals: Sums,
    other: Sums,
    way: Way,
    money: Money,
    freshness: Freshness,
}

async fn look(
    dimension: Dimension,
    shared: &Shared,
    params: &Params,
    passed: u32,
) -> Result<Looked, DatabaseError> {
    let snapshot = shared.context.database.snapshot().await?;
    let scope = Scope::of(params);
    let way = Way::of(&snapshot, &scope, params.window).await?;
    // What only sessions have no rollup tells.
    let way = if dimension.of_session().is_some() { way.of_sessions() } else { way };
    let groups = Groups::read(&snapshot, &scope, dimension.name(), dimension.label(), way).await?;
    let money = Money::of(params, &shared.config(), &snapshot).await?;
    let sold = sold(&snapshot, &scope, &money, dimension).await?;
    let rows = compared(&snapshot, params, passed, &groups, &sold, money.minor_units()).await?;
    let freshness = snapshot.conclude().await?;
    let mut parts = read(dimension, &rows)?;
    let (Some(mut totals), Some(mut other)) = (parts.totals.take(), parts.other.take()) else {
        return Err(DatabaseError::Failed);
    };
    (totals.visitors, other.visitors) = groups.of_all_and_others(&parts.keys);
    Ok(Looked { parts, totals, other, way, money, freshness })
}

/// What was sold by each group: of what was tagged by the touches that earned it, else by the session that ordered.
async fn sold(
    snapshot: &Snapshot,
    scope: &Scope,
    money: &Money,
    dimension: Dimension,
) -> Result<BTreeMap<GroupKey, Sales>, DatabaseError> {
    let id = dimension.of_order();
    let mut by_label = HashMap::<Label, Sales>::new();
    let models = [money.model()];
    let wanted = Wanted { models: &models, id, ..Wanted::default() };
    sales(snapshot, scope, money, wanted, |sale| {
        let by_session = id.map(|_| sale.id.map_or(Label::Direct, Label::Campaign));
        for (label, adds) in sale.earned.iter().flatten() {
            *by_label.entry(by_session.unwrap_or(*label)).or_default() += *adds;
        }
    })
    .await?;
    let (labels, sums): (Vec<Label>, Vec<Sales>) = by_label.into_iter().unzip();
    let keys = Label::keys(&labels, snapshot, dimension.name()).await?;
    let mut sold = BTreeMap::<GroupKey, Sales>::new();
    for (key, sums) in keys.into_iter().zip(sums) {
        *sold.entry(key).or_default() += sums;
    }
    Ok(sold)
}

/// The groups that are asked for, the others, and all.
async fn compared(
    snapshot: &Snapshot,
    params: &Params,
    passed: u32,
    groups: &Groups,
    sold: &BTreeMap<GroupKey, Sales>,
    digits: usize,
) -> Result<Vec<Row>, DatabaseError> {
    let (offset, limit) = (i64::from(passed), i64::from(params.limit));
    let places = i32::try_from(digits).unwrap_or(2);
    let column = |of: fn(&Tally) -> i64| groups.sums.iter().map(of).collect::<Vec<i64>>();
    let sums = [
        column(|sums| sums.sessions),
        column(|sums| sums.conversions),
        column(|sums| sums.bounces),
        column(|sums| sums.points),
    ];
    let sold_keys = [0, 1, 2].map(|key| sold.keys().map(|keys| &keys[key]).collect::<Vec<&String>>());
    let counts = |of: fn(&Sales) -> i64| sold.values().map(of).collect::<Vec<i64>>();
    let counts =
        [counts(|sums| sums.orders), counts(|sums| sums.left_out), counts(|sums| sums.valued_orders)];
    let amounts = |of: fn(&Sales) -> i128| sold.values().map(|sums| decimal(of(sums), digits)).collect();
    let amounts: [Vec<Decimal>; 2] = [amounts(|sums| sums.revenue), amounts(|sums| sums.gross)];
    let mut parameters: Vec<Parameter<'_>> = vec![
        (&params.sort.column, Type::TEXT),
        (&params.sort.ascending, Type::BOOL),
        (&offset, Type::INT8),
        (&limit, Type::INT8),
        (&places, Type::INT4),
    ];
    parameters.extend(groups.keys.iter().map(|keys| (keys as _, Type::TEXT_ARRAY)));
    parameters.push((&groups.visitors, Type::INT8_ARRAY));
    parameters.extend(sums.iter().map(|sums| (sums as _, Type::INT8_ARRAY)));
    parameters.extend(sold_keys.iter().map(|keys| (keys as _, Type::TEXT_ARRAY)));
    parameters.extend(counts.iter().map(|counts| (counts as _, Type::INT8_ARRAY)));
    parameters.extend(amounts.iter().map(|amounts| (amounts as _, Type::NUMERIC_ARRAY)));
    snapshot.rows(include_str!("sql/breakdown.sql"), &parameters).await
}

async fn breakdown(
    dimension: Dimension,
    State(shared): AppState,
    RawQuery(query): RawQuery,
) -> Result<Response, StatsError> {
    let params = shared.params(query.as_deref(), &ACCEPTS)?;
    let passed = params.cursor.as_deref().map_or(Ok(0), decode_rank)?;
    let Looked { parts, totals, other, way, money, freshness } =
        look(dimension, &shared, &params, passed).await?;
    if params.format == Format::Csv {
        return Ok(csv::attachment(dimension.name(), &parts.groups));
    }
    let given = passed.saturating_add(u32::try_from(parts.groups.len()).unwrap_or(u32::MAX));
    let next_cursor = (i64::from(given) < parts.total_groups).then(|| encode_rank(given));
    let list = ListMeta { totals, other: Some(other), next_cursor };
    Ok(Answer::of_window(freshness, &params, parts.groups)
        .with_money(&params, money.currency(), parts.left_out)
        .with_list(&params, list)
        .with_warning(way.warning())
        .into_response())
}

#[derive(Default)]
struct Parts {
    groups: Vec<Group>,
    /// Of the groups, as the statement has them.
    keys: HashSet<GroupKey>,
    other: Option<Sums>,
    totals: Option<Sums>,
    total_groups: i64,
    left_out: i64,
}

fn read(dimension: Dimension, rows: &[Row]) -> Result<Parts, tokio_postgres::Error> {
    let mut parts = Parts::default();
    for row in rows {
        let sums = read_sums(row)?;
        match row.try_get("part")? {
            "row" => {
                let key: GroupKey = [row.try_get("key_1")?, row.try_get("key_2")?, row.try_get("key_3")?];
                parts.groups.push(Group { keys: dimension.keys(&key), sums });
                parts.keys.insert(key);
            }
            "other" => parts.other = Some(sums),
            _ => {
                parts.total_groups = row.try_get("groups")?;
                parts.left_out = row.try_get("left_out")?;
                parts.totals = Some(sums);
            }
        }
    }
    Ok(parts)
}

fn read_sums(row: &Row) -> Result<Sums, tokio_postgres::Error> {
    let sessions = row.try_get("sessions")?;
    let conversions = row.try_get("conversions")?;
    Ok(Sums {
        sessions,
        visitors: row.try_get("visitors")?,
        conversions,
        conversion_rate: percent(conversions, sessions),
        orders: from_millionths(row.try_get("orders")?),
        revenue: row.try_get("revenue")?,
        avg_order_value: row.try_get("avg_order_value")?,
        total_score: row.try_get("points")?,
        bounce_rate: percent(row.try_get("bounces")?, sessions),
    })
}

impl Dimension {
    fn name(self) -> &'static str {
        match self {
            Dimension::Source => "source",
            Dimension::Campaign => "campaign",
            Dimension::Content => "content",
            Dimension::Channel => "channel",
            Dimension::Device => "device",
            Dimension::Browser => "browser",
            Dimension::System => "os",
            Dimension::Country => "country",
            Dimension::Region => "region",
            Dimension::City => "city",
            Dimension::Referrer => "referrer",
            Dimension::Landing => "landing",
        }
    }

    /// The label of a session that says its group.
    fn label(self) -> Id {
        match self {
            Dimension::Source | Dimension::Campaign | Dimension::Content | Dimension::Channel => Id::Campaign,
            Dimension::Device | Dimension::Browser | Dimension::System => Id::Agent,
            Dimension::Country | Dimension::Region | Dimension::City => Id::Place,
            Dimension::Referrer => Id::Referrer,
            Dimension::Landing => Id::Page,
        }
    }

    /// The label of an order's session that says its group, where no tag says it.
    fn of_order(self) -> Option<OrderId> {
        self.of_session()?;
        Some(match self.label() {
            Id::Agent => OrderId::Agent,
            Id::Place => OrderId::Place,
            Id::Referrer => OrderId::Referrer,
            _ => OrderId::Page,
        })
    }

    /// The names of the keys of what only single sessions have, in the order in which the statement has them.
    fn of_session(self) -> Option<&'static [&'static str]> {
        Some(match self {
            Dimension::Device => &["device", "brand", "model"],
            Dimension::Browser => &["browser", "version"],
            Dimension::System => &["os", "version"],
            Dimension::Country => &["country", "country_name"],
            Dimension::Region => &["region", "country"],
            Dimension::City => &["city", "region", "country"],
            Dimension::Referrer => &["referrer"],
            Dimension::Landing => &["landing_page", "landing_host"],
            Dimension::Source | Dimension::Campaign | Dimension::Content | Dimension::Channel => return None,
        })
    }

    fn keys(self, key: &GroupKey) -> Keys {
        if let Some(names) = self.of_session() {
            let pairs = names.iter().zip(key);
            let of_session = pairs.map(|(name, text)| ((*name).to_owned(), Value::from(text.clone())));
            return Keys { of_session: of_session.collect(), ..Keys::default() };
        }
        let [first, second, third] = key.each_ref().map(|text| Some(text.clone()));
        match self {
            Dimension::Source => Keys { source: first, ..Keys::default() },
            Dimension::Campaign => Keys { campaign: first, source: second, medium: third, ..Keys::default() },
            Dimension::Content => Keys { content: first, campaign: second, source: third, ..Keys::default() },
            _ => Keys { channel: first, ..Keys::default() },
        }
    }
}
