//! `sources`, `campaigns`, `content`, `channels`, and by what only single sessions have `devices`, `browsers`,
//! `operating-systems`, `geo`, `referrers`, `landing-pages`: how the groups of a dimension compare. Rows and `other` add up to `totals`.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::stats::answer::{Answer, ListMeta};
use crate::stats::csv;
use crate::stats::cursor::{decode_rank, encode_rank};
use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::groups::{GroupKey, Groups};
use crate::stats::order_scan::Label;
use crate::stats::params::{Accepts, Format, Params};
use crate::stats::problem::StatsError;
use crate::stats::rank::given;
use crate::stats::ratio::{from_millionths, percent};
use crate::stats::replica::Freshness;
use crate::stats::sales::{Sales, Wanted, sales};
use crate::stats::scope::{Money, Scope};
use crate::stats::tally::Tally;
use crate::stats::visitors::Way;
use crate::stats::worth::text;
use crate::stats::{AppState, Shared};
use crate::store::columns::Id;
use crate::store::order_columns::OrderId;
use crate::terms::MEASURES;

pub(crate) const ACCEPTS: Accepts = Accepts { list: Some((20, MEASURES)), ..Accepts::MONEY };

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
    let groups = look(*dimension, shared, &params, 0).await?.groups;
    let rows = groups.iter().filter_map(|group| match serde_json::to_value(group) {
        Ok(Value::Object(row)) => Some(row),
        _ => None,
    });
    Ok(rows.collect())
}

/// What is told of a dimension.
struct Looked {
    groups: Vec<Group>,
    /// How many there are of them.
    all_groups: usize,
    totals: Sums,
    other: Sums,
    left_out: i64,
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
    let way = Way::of(&snapshot, &scope).await?;
    // What only sessions have no rollup tells.
    let way = if dimension.of_session().is_some() { way.of_sessions() } else { way };
    let groups = Groups::read(&snapshot, &scope, dimension.name(), dimension.label(), way).await?;
    let money = Money::of(params, &shared.config(), &snapshot).await?;
    let sold = sold(&snapshot, &scope, &money, dimension, |label| groups.of_label(label)).await?;
    let freshness = snapshot.conclude().await?;
    let mut lines = Line::all(&groups, &sold);
    let given = given(&mut lines, params, passed, |line| line.rank(params.sort.column), Line::stands_by);
    let (mut all, mut others) = (Line::default(), Line::default());
    let mut are_given = vec![false; groups.keys.len()];
    for (place, line) in lines.iter().enumerate() {
        all.add(line);
        if !given.contains(&place) {
            others.add(line);
        } else if let Some(group) = line.group {
            are_given[group] = true;
        }
    }
    (all.visitors, others.visitors) = groups.of_all_and_others(&are_given);
    let digits = money.minor_units();
    let told = lines[given].iter();
    Ok(Looked {
        groups: told.map(|line| Group { keys: dimension.keys(line.key), sums: line.sums(digits) }).collect(),
        all_groups: lines.len(),
        totals: all.sums(digits),
        other: others.sums(digits),
        left_out: all.sold.left_out,
        way,
        money,
        freshness,
    })
}

/// What was sold by each group: of what was tagged by the touches that earned it, else by the session that ordered. `known` is the
/// group of what labels sessions, as far as it was asked for.
pub(crate) async fn sold<'a>(
    snapshot: &Snapshot,
    scope: &Scope,
    money: &Money,
    dimension: Dimension,
    known: impl Fn(Option<i64>) -> Option<&'a GroupKey>,
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
    let mut sold = BTreeMap::<GroupKey, Sales>::new();
    // Most are labels of sessions, too, whose groups are known.
    by_label.retain(|label, sums| {
        label
            .of_sessions()
            .and_then(&known)
            .map(|key| *sold.entry(key.clone()).or_default() += *sums)
            .is_none()
    });
    let (labels, sums): (Vec<Label>, Vec<Sales>) = by_label.into_iter().unzip();
    if !labels.is_empty() {
        let keys = Label::keys(&labels, snapshot, dimension.name()).await?;
        keys.into_iter().zip(sums).for_each(|(key, sums)| *sold.entry(key).or_default() += sums);
    }
    Ok(sold)
}

/// A group, or several: its sessions and what it sold.
#[derive(Debug, Clone, Copy)]
struct Line<'a> {
    key: &'a GroupKey,
    /// Its place, where it has sessions.
    group: Option<usize>,
    visitors: i64,
    sessions: Tally,
    sold: Sales,
}

impl Default for Line<'_> {
    fn default() -> Self {
        const NONE: &GroupKey = &[String::new(), String::new(), String::new()];
        Line { key: NONE, group: None, visitors: 0, sessions: Tally::default(), sold: Sales::default() }
    }
}

impl<'a> Line<'a> {
    /// Those of all groups that have either.
    fn all(groups: &'a Groups, sold: &'a BTreeMap<GroupKey, Sales>) -> Vec<Line<'a>> {
        let mut alone: BTreeMap<&GroupKey, Sales> = sold.iter().map(|(key, sold)| (key, *sold)).collect();
        let of_sessions = groups.keys.iter().zip(&groups.visitors).zip(&groups.sums).enumerate();
        let mut lines: Vec<Line<'a>> = of_sessions
            .map(|(group, ((key, visitors), sessions))| Line {
                key,
                group: Some(group),
                visitors: *visitors,
                sessions: *sessions,
                sold: alone.remove(key).unwrap_or_default(),
            })
            .collect();
        lines.extend(alone.into_iter().map(|(key, sold)| Line { key, sold, ..Line::default() }));
        lines
    }

    fn add(&mut self, other: &Line<'_>) {
        self.sessions += other.sessions;
        self.sold += other.sold;
    }

    /// By what it is sorted: a fraction, none where there is none.
    fn rank(&self, column: &str) -> Option<(i128, i128)> {
        let Tally { sessions, conversions, bounces, points, .. } = self.sessions;
        let (part, whole) = match column {
            "visitors" => (self.visitors.into(), 1),
            "conversions" => (conversions.into(), 1),
            "conversion_rate" => (conversions.into(), sessions),
            "orders" => (self.sold.orders.into(), 1),
            "revenue" => (self.sold.revenue, 1),
            "avg_order_value" => (self.sold.gross, self.sold.valued_orders),
            "total_score" => (points.into(), 1),
            "bounce_rate" => (bounces.into(), sessions),
            _ => (sessions.into(), 1),
        };
        (whole != 0).then_some((part, whole.into()))
    }

    /// Which of two of one rank comes first.
    fn stands_by(&self, other: &Line<'_>) -> Ordering {
        let sums = |line: &Line<'_>| (line.sessions.sessions, line.sold.revenue);
        sums(other).cmp(&sums(self)).then_with(|| self.key.cmp(other.key))
    }

    fn sums(&self, digits: usize) -> Sums {
        let Tally { sessions, conversions, bounces, points, .. } = self.sessions;
        Sums {
            sessions,
            visitors: self.visitors,
            conversions,
            conversion_rate: percent(conversions, sessions),
            orders: from_millionths(self.sold.orders),
            revenue: text(self.sold.revenue, digits),
            avg_order_value: self.sold.average(digits),
            total_score: points,
            bounce_rate: percent(bounces, sessions),
        }
    }
}

async fn breakdown(
    dimension: Dimension,
    State(shared): AppState,
    RawQuery(query): RawQuery,
) -> Result<Response, StatsError> {
    let params = shared.params(query.as_deref(), &ACCEPTS)?;
    let passed = params.cursor.as_deref().map_or(Ok(0), decode_rank)?;
    let looked = look(dimension, &shared, &params, passed).await?;
    if params.format == Format::Csv {
        return Ok(csv::attachment(dimension.name(), &looked.groups));
    }
    let given = passed.saturating_add(u32::try_from(looked.groups.len()).unwrap_or(u32::MAX));
    let next_cursor = ((given as usize) < looked.all_groups).then(|| encode_rank(given));
    let list = ListMeta { totals: looked.totals, other: Some(looked.other), next_cursor };
    Ok(Answer::of_window(looked.freshness, &params, looked.groups)
        .with_money(&params, looked.money.currency(), looked.left_out)
        .with_list(&params, list)
        .with_warning(looked.way.warning())
        .into_response())
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

    /// The names of the keys of what only single sessions have, in the order in which `label_groups.sql` has them.
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
