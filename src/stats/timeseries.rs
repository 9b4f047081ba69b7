//! `timeseries`: the numbers of a window by hour, day, week or month of the zone. Buckets without anything are there, too;
//! each says what `general-stats` says of it.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Number, Value};
use tokio_postgres::types::Type;

use crate::stats::AppState;
use crate::stats::answer::{Answer, rfc3339};
use crate::stats::csv;
use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::params::{Accepts, Format, MOST_ROWS, ParameterError, Params};
use crate::stats::period::{COMPARISONS, Comparison, STEPS, Step, Window};
use crate::stats::problem::StatsError;
use crate::stats::ratio::from_millionths;
use crate::stats::sales::{Sales, Wanted, sales};
use crate::stats::scan::{self, scan};
use crate::stats::scope::{Money, Scope};
use crate::stats::tally::Tally;
use crate::stats::visitors::{People, Way};
use crate::stats::worth::text;
use crate::store::columns;

pub(crate) const ACCEPTS: Accepts = Accepts { csv: true, own: &["interval", "compare"], ..Accepts::MONEY };

/// A bucket, and the one it is compared with.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Point {
    #[serde(flatten)]
    bucket: Bucket,
    /// With `compare`: the bucket of the same place in the other window; null where that has fewer.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<Option<Bucket>>,
}

/// A span of the window, half-open.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub(crate) struct Bucket {
    from: String,
    to: String,
    /// Whether it was over when the question was asked.
    is_over: bool,
    #[serde(flatten)]
    sums: Sums,
}

#[derive(Debug, Clone, JsonSchema, Serialize)]
pub(crate) struct Sums {
    sessions: i64,
    /// Each once in a bucket: those of several buckets are more than those of the window.
    visitors: i64,
    page_views: i64,
    conversions: i64,
    orders: Number,
    revenue: String,
}

/// All buckets together.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Totals {
    #[serde(flatten)]
    sums: Sums,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<Sums>,
}

/// A window in buckets.
struct Series {
    buckets: Vec<Bucket>,
    totals: Sums,
    way: Way,
    left_out: i64,
}

impl Point {
    /// In columns: those of the other window as `previous_…`.
    fn flat(&self) -> Map<String, Value> {
        let fields = |bucket: &Bucket| match serde_json::to_value(bucket) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        let mut columns = fields(&self.bucket);
        if let Some(previous) = &self.previous {
            let values = previous.as_ref().map(fields).unwrap_or_default();
            for name in columns.keys().cloned().collect::<Vec<_>>() {
                let value = values.get(&name).cloned().unwrap_or_default();
                columns.insert(format!("previous_{name}"), value);
            }
        }
        columns
    }
}

/// `GET /api/v1/timeseries`
pub(crate) async fn timeseries(
    State(shared): AppState,
    RawQuery(query): RawQuery,
) -> Result<Response, StatsError> {
    let params = shared.params(query.as_deref(), &ACCEPTS)?;
    let step = params.given.choice("interval", STEPS)?.and_then(Step::parse);
    let compare = params.given.choice("compare", COMPARISONS)?.and_then(Comparison::parse);
    let snapshot = shared.context.database.snapshot().await?;
    let money = Money::of(&params, &shared.config(), &snapshot).await?;
    let (from, to) = begun(&snapshot, params.window).await?;
    let step = step.unwrap_or_else(|| Step::fitting(from, to));
    let series = read(&snapshot, &params, step, (from, to), &money).await?;
    let previous = match compare {
        None => None,
        Some(compare) => {
            let window = compare.window(from, to, &params.zone).map_err(|_| out_of_range("compare"))?;
            Some(read(&snapshot, &params, step, window, &money).await?)
        }
    };
    let freshness = snapshot.conclude().await?;
    let left_out = series.left_out + previous.as_ref().map_or(0, |series| series.left_out);
    let warning = series.way.warning().or_else(|| previous.as_ref().and_then(|series| series.way.warning()));
    let totals = Totals { sums: series.totals, previous: previous.as_ref().map(|one| one.totals.clone()) };
    let mut earlier = previous.map(|series| series.buckets.into_iter());
    let points: Vec<Point> = series
        .buckets
        .into_iter()
        .map(|bucket| Point { bucket, previous: earlier.as_mut().map(Iterator::next) })
        .collect();
    if params.format == Format::Csv {
        return Ok(csv::attachment("timeseries", &points.iter().map(Point::flat).collect::<Vec<_>>()));
    }
    let mut answer = Answer::of_window(freshness, &params, points)
        .with_money(&params, money.currency(), left_out)
        .with_own("interval", step.name())
        .with_totals(totals)
        .with_warning(warning);
    if let Some(compare) = compare {
        answer = answer.with_own("compare", compare.name());
    }
    Ok(answer.into_response())
}

/// The edges of a window: since ever is since there is anything, in an empty shop nothing at all.
pub(crate) async fn begun(
    snapshot: &Snapshot,
    window: Window,
) -> Result<(Timestamp, Timestamp), DatabaseError> {
    if let Some(from) = window.from {
        return Ok((from, window.to));
    }
    let row = snapshot.row(include_str!("sql/history_begin.sql"), &[]).await?.ok_or(DatabaseError::Failed)?;
    let begin: Option<Timestamp> = row.try_get("begin")?;
    Ok((begin.map_or(window.to, |begin| begin.min(window.to)), window.to))
}

fn out_of_range(parameter: &str) -> ParameterError {
    ParameterError::new(parameter, "this window is out of range")
}

async fn read(
    snapshot: &Snapshot,
    params: &Params,
    step: Step,
    (from, to): (Timestamp, Timestamp),
    money: &Money,
) -> Result<Series, StatsError> {
    let edges = step
        .edges(from, to, &params.zone, MOST_ROWS as usize)
        .map_err(|_| out_of_range("interval"))?
        .ok_or_else(|| {
            let reason =
                format!("more than {MOST_ROWS} buckets; ask for a longer interval or a shorter window");
            ParameterError::new("interval", reason)
        })?;
    let window = Window { from: Some(from), to };
    let scope = Scope::within(params, window);
    let way = Way::of(snapshot, &scope).await?;
    let mut sums = vec![Bin::default(); edges.len() - 1];
    let visitors = sessions(snapshot, &scope, way, &edges, &mut sums).await?;
    let models = [money.model()];
    let wanted = Wanted { models: if scope.is_filtered() { &models } else { &[] }, ..Wanted::default() };
    let starts: Vec<i64> = edges.iter().map(|edge| edge.as_microsecond()).collect();
    sales(snapshot, &scope, money, wanted, |sale| {
        let bucket = starts.partition_point(|edge| *edge <= sale.at);
        if let Some(bin) = bucket.checked_sub(1).and_then(|bucket| sums.get_mut(bucket)) {
            bin.sold += sale.all();
        }
    })
    .await?;
    let mut all = sums.iter().fold(Bin::default(), Bin::add);
    all.visitors = visitors;
    let digits = money.minor_units();
    let buckets = sums.iter().zip(edges.windows(2)).map(|(tally, edges)| Bucket {
        from: rfc3339(edges[0], &params.zone),
        to: rfc3339(edges[1], &params.zone),
        is_over: edges[1] <= params.now,
        sums: tally.sums(digits),
    });
    Ok(Series { buckets: buckets.collect(), totals: all.sums(digits), left_out: all.sold.left_out, way })
}

/// Fills what buckets have of sessions; answers how many people are in all of them.
async fn sessions(
    snapshot: &Snapshot,
    scope: &Scope,
    way: Way,
    edges: &[Timestamp],
    sums: &mut [Bin],
) -> Result<i64, DatabaseError> {
    let mut people = way.nobody();
    if way == Way::Rolled {
        let mut parameters = scope.parameters();
        parameters.push((&edges, Type::TIMESTAMPTZ_ARRAY));
        for row in &snapshot.rows(include_str!("sql/timeseries_sessions.sql"), &parameters).await? {
            let bucket = row.try_get::<_, i32>("bucket")? - 1;
            let Some(bin) = usize::try_from(bucket).ok().and_then(|bucket| sums.get_mut(bucket)) else {
                continue;
            };
            bin.sessions = Tally::read(row)?;
            let sketch = row.try_get::<_, Option<&[u8]>>("sketch")?.unwrap_or_default();
            people.add_sketch(bucket.cast_unsigned(), sketch);
        }
        return Ok(in_each(sums, people));
    }
    let starts: Vec<i64> = edges.iter().map(|edge| edge.as_microsecond()).collect();
    let numbers = &[columns::Number::Flags, columns::Number::PageViews, way.column()];
    scan(snapshot, scope, scan::Wanted { numbers, ids: &[], lists: &[], edges }, |part| {
        let visitors = part.numbers(way.column());
        for sessions in part.chosen().chunk_by(|one, other| part.start(*one) == part.start(*other)) {
            let start = sessions.first().map(|session| part.start(*session)).unwrap_or_default();
            let Some(bucket) = starts.partition_point(|edge| *edge <= start).checked_sub(1) else { continue };
            let (Some(bin), Ok(label)) = (sums.get_mut(bucket), u32::try_from(bucket)) else { continue };
            bin.sessions += Tally::of(part, sessions);
            people.add(label, sessions.iter().map(|session| visitors[*session]));
        }
    })
    .await?;
    Ok(in_each(sums, people))
}

/// Says how many people each bucket has; answers how many are in all of them.
fn in_each(sums: &mut [Bin], people: People) -> i64 {
    let buckets: Vec<u32> = (0..).take(sums.len()).collect();
    let sessions: Vec<i64> = sums.iter().map(|bin| bin.sessions.sessions).collect();
    let members = people.of_groups(&buckets, sums.len());
    for (bin, visitors) in sums.iter_mut().zip(members.of_each(&sessions)) {
        bin.visitors = visitors;
    }
    members.together(&sessions, |_| true)
}

/// What a bucket has.
#[derive(Debug, Clone, Default)]
struct Bin {
    sessions: Tally,
    visitors: i64,
    sold: Sales,
}

impl Bin {
    fn add(mut self, other: &Bin) -> Bin {
        self.sessions += other.sessions;
        self.sold += other.sold;
        self
    }

    fn sums(&self, digits: usize) -> Sums {
        Sums {
            sessions: self.sessions.sessions,
            visitors: self.visitors,
            page_views: self.sessions.page_views,
            conversions: self.sessions.conversions,
            orders: from_millionths(self.sold.orders),
            revenue: text(self.sold.revenue, digits),
        }
    }
}
