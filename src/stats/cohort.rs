//! `cohort-analysis`: visitors by the day, week or month of their first session, and what they did in each one since.

use std::pin::pin;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use jiff::Timestamp;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio_postgres::types::Type;

use crate::stats::AppState;
use crate::stats::answer::{Answer, rfc3339};
use crate::stats::bought::bought;
use crate::stats::crowd::{Crowd, Pair};
use crate::stats::csv;
use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::money::each;
use crate::stats::params::{Accepts, Format, ParameterError, Params};
use crate::stats::people::People;
use crate::stats::period::Step;
use crate::stats::problem::StatsError;
use crate::stats::ratio::{percent, two_decimals};
use crate::stats::scan::{Wanted, scan};
use crate::stats::scope::{Money, Scope};
use crate::stats::timeseries::begun;
use crate::stats::worth::decimal;
use crate::store::columns::{Number, id_hash};

pub(crate) const ACCEPTS: Accepts =
    Accepts { csv: true, own: &["cohort_type", "metric", "periods"], ..Accepts::MONEY };

/// Most cohorts, and most periods of each.
const MOST: usize = 100;

/// Periods when nothing is said.
const USUAL_PERIODS: usize = 12;

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Cohorts {
    cohort_type: &'static str,
    metric: &'static str,
    /// When each cohort's period begins.
    cohorts: Vec<String>,
    /// 0 is the cohort's own period.
    periods: Vec<usize>,
    /// A row for each cohort, a cell for each period; null for a period that is not over. Percent of members (retention),
    /// money per member (ltv), orders, money (revenue): all but retention since the cohort's beginning.
    matrix: Vec<Vec<Value>>,
    totals: Vec<Total>,
    /// By period, over the cohorts for which it is over: of members (retention, ltv), else of cohorts.
    averages: Vec<Value>,
}

/// A cohort, whatever the metric.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Total {
    cohort: String,
    size: i64,
    /// Members with an order so far.
    converted: i64,
    orders: i64,
    revenue: String,
}

/// A quarter of an hour.
const QUARTER_MICROSECONDS: i64 = 900_000_000;

/// What is known of a cohort.
#[derive(Debug, Clone, Default)]
struct Cohort {
    active: Vec<i64>,
    orders: Vec<i64>,
    revenue: Vec<Decimal>,
    converted: i64,
}

/// `GET /api/v1/cohort-analysis`
pub(crate) async fn cohort_analysis(
    State(shared): AppState,
    RawQuery(query): RawQuery,
) -> Result<Response, StatsError> {
    let mut params = shared.params(query.as_deref(), &ACCEPTS)?;
    let step = params.given.choice("cohort_type", &["day", "week", "month"])?.and_then(Step::parse);
    let step = step.unwrap_or(Step::Month);
    let metric =
        params.given.choice("metric", &["retention", "ltv", "orders", "revenue"])?.unwrap_or("retention");
    let periods = match params.given.one("periods")? {
        None => USUAL_PERIODS,
        Some(text) => {
            text.trim().parse().ok().filter(|count| (1..=MOST).contains(count)).ok_or_else(|| {
                ParameterError::new("periods", format!("expected a whole number from 1 to {MOST}"))
            })?
        }
    };
    params.use_period_by_default("90d")?;
    let snapshot = shared.context.database.snapshot().await?;
    let money = Money::of(&params, &shared.config(), &snapshot).await?;
    let (from, to) = begun(&snapshot, params.window).await?;
    let (edges, cohorts) = edges(&params, step, (from, to.min(params.now).max(from)), periods)?;
    let scope = Scope::of(&params);
    let spans = edges.len() - 1;
    let empty = Cohort {
        active: vec![0; spans],
        orders: vec![0; spans],
        revenue: vec![Decimal::ZERO; spans],
        converted: 0,
    };
    let mut known = vec![empty; cohorts];
    let orders = Order::all(&snapshot, &scope, &money, &edges).await?;
    let mut left_out = 0;
    if let [first, .., last] = edges.as_slice() {
        let since = scope.unfiltered(Some(*first), *last);
        let beside = months(&snapshot, &scope, &since).await?;
        for people in People::of(&snapshot, &since, beside).await? {
            let facts = read(&snapshot, (&scope, &since), people, &edges, &orders).await?;
            left_out += count(facts, &orders, &mut known);
        }
    }
    let freshness = snapshot.conclude().await?;
    let results =
        Table { step, metric, edges: &edges, periods, digits: money.minor_units(), params: &params }
            .tell(&known);
    if params.format == Format::Csv {
        return Ok(csv::attachment("cohort-analysis", &results.rows()));
    }
    Ok(Answer::<_, ()>::of_window(freshness, &params, results)
        .with_money(&params, money.currency(), left_out)
        .with_own("cohort_type", step.name())
        .with_own("metric", metric)
        .with_own("periods", periods)
        .into_response())
}

/// The edges of periods from the first cohort's on, as many as the last cohort needs; and how many cohorts there are.
fn edges(
    params: &Params,
    step: Step,
    (from, to): (Timestamp, Timestamp),
    periods: usize,
) -> Result<(Vec<Timestamp>, usize), ParameterError> {
    let out_of_range = |_| ParameterError::new("from", "this window is out of range");
    let own = step.edges(from, to, &params.zone, MOST).map_err(out_of_range)?;
    let mut edges = own.ok_or_else(|| {
        let reason = format!("more than {MOST} cohorts; ask for a longer cohort_type or a shorter window");
        ParameterError::new("cohort_type", reason)
    })?;
    let cohorts = edges.len() - 1;
    // The last cohort's period goes on behind the window.
    if cohorts > 0 {
        edges.pop();
    }
    while edges.len() < cohorts + periods {
        let Some(last) = edges.last().copied().filter(|last| *last <= params.now || edges.len() <= cohorts)
        else {
            break;
        };
        edges.push(step.next(last, &params.zone).map_err(out_of_range)?);
    }
    Ok((edges, cohorts))
}

/// Which period an instant is in, from 1; 0 is before all of them.
fn period(edges: &[Timestamp], at: i64) -> u16 {
    u16::try_from(edges.partition_point(|edge| edge.as_microsecond() <= at)).unwrap_or(u16::MAX)
}

/// What somebody ordered.
struct Order {
    visitor: i64,
    period: u16,
    revenue: Decimal,
    /// Whether it has an exchange rate, or needs none.
    counted: bool,
}

impl Order {
    /// All orders between the first edge and the last.
    async fn all(
        snapshot: &Snapshot,
        scope: &Scope,
        money: &Money,
        edges: &[Timestamp],
    ) -> Result<Vec<Order>, DatabaseError> {
        let (Some(first), Some(last)) = (edges.first(), edges.last()) else { return Ok(Vec::new()) };
        let bought = bought(snapshot, scope, money, (Some(*first), *last), |_| true).await?;
        let orders = bought.iter().map(|order| Order {
            visitor: order.visitor,
            period: period(edges, order.at),
            revenue: decimal(order.revenue.unwrap_or_default().into(), money.minor_units()),
            counted: order.revenue.is_some(),
        });
        Ok(orders.collect())
    }
}

/// What is known of a visitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fact {
    /// A first session that the filters choose was in this period.
    Began(u16),
    /// Some session was in this period.
    Came(u16),
    /// The place of an order.
    Ordered(u32),
}

/// Of some people, what is known of those who first came in the window, and of others; filters choose whose first session counts, and
/// whatever they did `since` does.
async fn read(
    snapshot: &Snapshot,
    (scope, since): (&Scope, &Scope),
    people: People,
    edges: &[Timestamp],
    orders: &[Order],
) -> Result<Crowd<Fact>, DatabaseError> {
    let mut facts = Crowd::default();
    let wanted = Wanted { numbers: &[Number::Visitor, Number::Number], ids: &[], lists: &[], edges };
    let is_filtered = scope.is_filtered();
    scan(snapshot, scope, wanted, |part| {
        let (visitors, numbers) = (part.numbers(Number::Visitor), part.numbers(Number::Number));
        for session in part.chosen().iter().copied().filter(|session| people.have(visitors[*session])) {
            let period = period(edges, part.start(session));
            if numbers[session] == 1 {
                facts.add((visitors[session], Fact::Began(period)));
            }
            if !is_filtered {
                facts.add((visitors[session], Fact::Came(period)));
            }
        }
    })
    .await?;
    if !is_filtered {
        read_months(snapshot, (scope, since), people, edges, &mut facts).await?;
    }
    let members = facts.sieve();
    // Of a window without filters all sessions are told.
    let (first, last) = since.window();
    let rest = since.unfiltered(if is_filtered { first } else { Some(scope.window().1) }, last);
    let wanted = Wanted { numbers: &[Number::Visitor], ..wanted };
    scan(snapshot, &rest, wanted, |part| {
        let visitors = part.numbers(Number::Visitor);
        for session in part.chosen().iter().copied().filter(|session| members.may_have(visitors[*session])) {
            facts.add((visitors[session], Fact::Came(period(edges, part.start(session)))));
        }
    })
    .await?;
    for (order, place) in orders.iter().zip(0..).filter(|(order, _)| members.may_have(order.visitor)) {
        facts.add((order.visitor, Fact::Ordered(place)));
    }
    Ok(facts)
}

/// How many rows [`read_months`] reads.
async fn months(snapshot: &Snapshot, scope: &Scope, since: &Scope) -> Result<u64, DatabaseError> {
    if scope.is_filtered() {
        return Ok(0);
    }
    let (from, to) = since.window();
    let edges = [(&from as _, Type::TIMESTAMPTZ), (&to as _, Type::TIMESTAMPTZ)];
    let row = snapshot.row(include_str!("sql/cohort_months_count.sql"), &edges).await?;
    let months: i64 = row.ok_or(DatabaseError::Failed)?.try_get("months")?;
    Ok(u64::try_from(months).unwrap_or(0))
}

/// Adds what is kept of months whose sessions are not: who came in which quarter of an hour. Filters choose among sessions, of which
/// that does not tell.
async fn read_months(
    snapshot: &Snapshot,
    (scope, since): (&Scope, &Scope),
    people: People,
    edges: &[Timestamp],
    facts: &mut Crowd<Fact>,
) -> Result<(), DatabaseError> {
    let ((from, to), bots) = (since.window(), since.only_bots());
    let [_, _, sites] = <[_; 3]>::try_from(since.parameters_of_sites()).map_err(|_| DatabaseError::Failed)?;
    let parameters =
        vec![(&from as _, Type::TIMESTAMPTZ), (&to as _, Type::TIMESTAMPTZ), sites, (&bots as _, Type::BOOL)];
    let mut rows = pin!(snapshot.stream(include_str!("sql/cohort_months.sql"), parameters).await?);
    let (first, last) = scope.window();
    let begins_in_window = |at: &Timestamp| first.is_none_or(|first| first <= *at) && *at < last;
    while let Some(row) = rows.next().await {
        let row = row?;
        let visitor = id_hash(row.try_get("visitor_id")?);
        if !people.have(visitor) {
            continue;
        }
        let (first_seen, begins): (Timestamp, Timestamp) =
            (row.try_get("first_seen")?, row.try_get("begins")?);
        let quarter = |quarters: i64| begins.as_microsecond() + quarters * QUARTER_MICROSECONDS;
        for quarters in row.try_get::<_, Vec<i16>>("started")?.into_iter().map(i64::from) {
            facts.add((visitor, Fact::Came(period(edges, quarter(quarters)))));
            let at = first_seen.as_microsecond();
            if (quarter(quarters)..quarter(quarters + 1)).contains(&at) && begins_in_window(&first_seen) {
                facts.add((visitor, Fact::Began(period(edges, at))));
            }
        }
    }
    Ok(())
}

/// Adds who came in each period since their first, and what they ordered; how many of the orders have no exchange rate.
fn count(facts: Crowd<Fact>, orders: &[Order], known: &mut [Cohort]) -> i64 {
    let mut left_out = 0;
    for share in facts.once_each(|fact| fact) {
        for of_visitor in share.chunk_by(|one, other| one.0 == other.0) {
            // The earliest one holds.
            let [(_, Fact::Began(first)), ..] = of_visitor else { continue };
            let cohort = usize::from(*first).checked_sub(1).and_then(|place| known.get_mut(place));
            left_out += cohort.map_or(0, |cohort| cohort.add(*first, of_visitor, orders));
        }
    }
    left_out
}

impl Cohort {
    /// Adds a member who first came in this period; how many of their orders have no exchange rate.
    fn add(&mut self, first: u16, facts: &[Pair<Fact>], orders: &[Order]) -> i64 {
        let (mut has_ordered, mut left_out) = (false, 0);
        for (_, fact) in facts {
            match fact {
                Fact::Came(period) if *period >= first => {
                    if let Some(active) = self.active.get_mut(usize::from(*period) - 1) {
                        *active += 1;
                    }
                }
                Fact::Began(_) | Fact::Came(_) => {}
                Fact::Ordered(place) => {
                    let Some(order) = orders.get(*place as usize) else { continue };
                    // A period before one's own is that one: whatever was ordered then was ordered as one came.
                    let place = usize::from(order.period.max(first)) - 1;
                    let sums = (self.orders.get_mut(place), self.revenue.get_mut(place));
                    let (Some(orders), Some(revenue)) = sums else { continue };
                    *orders += 1;
                    *revenue += order.revenue;
                    self.converted += i64::from(!has_ordered);
                    has_ordered = true;
                    left_out += i64::from(!order.counted);
                }
            }
        }
        left_out
    }
}

struct Table<'a> {
    step: Step,
    metric: &'static str,
    edges: &'a [Timestamp],
    periods: usize,
    digits: usize,
    params: &'a Params,
}

impl Table<'_> {
    fn tell(&self, known: &[Cohort]) -> Cohorts {
        let names: Vec<String> =
            self.edges.iter().take(known.len()).map(|edge| rfc3339(*edge, &self.params.zone)).collect();
        let matrix = known.iter().enumerate().map(|(index, cohort)| {
            (0..self.periods).map(|period| self.cell(cohort, index, period).unwrap_or_default()).collect()
        });
        let totals = known.iter().zip(&names).enumerate().map(|(index, (cohort, name))| {
            let revenue: Decimal = cohort.revenue.iter().sum();
            Total {
                cohort: name.clone(),
                size: cohort.active.get(index).copied().unwrap_or_default(),
                converted: cohort.converted,
                orders: cohort.orders.iter().sum(),
                revenue: format!("{revenue:.*}", self.digits),
            }
        });
        Cohorts {
            cohort_type: self.step.name(),
            metric: self.metric,
            periods: (0..self.periods).collect(),
            matrix: matrix.collect(),
            totals: totals.collect(),
            averages: (0..self.periods)
                .map(|period| self.average(known, period).unwrap_or_default())
                .collect(),
            cohorts: names,
        }
    }

    /// Size, active members, orders and revenue since the beginning, of a period that is over.
    fn sums(&self, cohort: &Cohort, index: usize, period: usize) -> Option<(i64, i64, i64, Decimal)> {
        let place = index + period;
        self.edges.get(place + 1).filter(|end| **end <= self.params.now)?;
        let orders = cohort.orders[..=place].iter().sum();
        let revenue = cohort.revenue[..=place].iter().sum();
        Some((cohort.active[index], cohort.active[place], orders, revenue))
    }

    fn cell(&self, cohort: &Cohort, index: usize, period: usize) -> Option<Value> {
        let (size, active, orders, revenue) = self.sums(cohort, index, period)?;
        Some(match self.metric {
            "retention" => percent(active, size).into(),
            "ltv" => each(&revenue.to_string(), size, self.digits).into(),
            "orders" => orders.into(),
            _ => format!("{revenue:.*}", self.digits).into(),
        })
    }

    fn average(&self, known: &[Cohort], period: usize) -> Option<Value> {
        let over: Vec<_> = known
            .iter()
            .enumerate()
            .filter_map(|(index, cohort)| self.sums(cohort, index, period))
            .filter(|(size, ..)| *size > 0)
            .collect();
        let cohorts = i64::try_from(over.len()).ok().filter(|cohorts| *cohorts > 0)?;
        let (size, active) = over.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let orders: i64 = over.iter().map(|one| one.2).sum();
        let revenue: Decimal = over.iter().map(|one| one.3).sum();
        Some(match self.metric {
            "retention" => percent(active, size).into(),
            "ltv" => each(&revenue.to_string(), size, self.digits).into(),
            "orders" => Decimal::from(orders).checked_div(cohorts.into())?.to_f64().map(two_decimals).into(),
            _ => each(&revenue.to_string(), cohorts, self.digits).into(),
        })
    }
}

impl Cohorts {
    /// A line for each cohort, its size first.
    fn rows(&self) -> Vec<Map<String, Value>> {
        let lines = self.totals.iter().zip(&self.matrix);
        lines
            .map(|(total, cells)| {
                let mut line = Map::new();
                line.insert("cohort".into(), total.cohort.clone().into());
                line.insert("size".into(), total.size.into());
                line.extend(
                    cells.iter().enumerate().map(|(period, cell)| (format!("period_{period}"), cell.clone())),
                );
                line
            })
            .collect()
    }
}
