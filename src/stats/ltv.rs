//! `ltv-comparison`: what visitors are worth, by the source that brought them first. Members are those whose first session is in the
//! window; their first touch is that session's, else the first one known of the visitor. Their orders are all, whatever earned them.

use std::collections::{HashMap, HashSet};
use std::pin::pin;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use futures_util::TryStreamExt;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::types::Type;

use crate::stats::AppState;
use crate::stats::answer::Answer;
use crate::stats::bought::{Bought, bought};
use crate::stats::csv;
use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::groups::keys;
use crate::stats::money;
use crate::stats::params::{Accepts, Format};
use crate::stats::people::{People, Sieve};
use crate::stats::problem::StatsError;
use crate::stats::ratio::mean;
use crate::stats::scan::{Wanted, scan};
use crate::stats::scope::{Money, Scope};
use crate::stats::worth::{rounded, text};
use crate::store::columns::{Id, Number, id_hash};

pub(crate) const ACCEPTS: Accepts = Accepts { csv: true, ..Accepts::MONEY };

/// Visitors who first came in the window, and what they brought since, whatever credited it.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Value {
    source: String,
    visitors: i64,
    /// Of them, with an order.
    customers: i64,
    orders: i64,
    revenue: String,
    ltv_per_visitor: Option<String>,
    ltv_per_customer: Option<String>,
    orders_per_customer: Option<f64>,
    avg_order_value: Option<String>,
    /// Those who came at least 30 days ago, and what they brought within 30 days.
    visitors_30: i64,
    customers_30: i64,
    revenue_30: String,
    ltv_per_visitor_30: Option<String>,
    ltv_per_customer_30: Option<String>,
    visitors_60: i64,
    customers_60: i64,
    revenue_60: String,
    ltv_per_visitor_60: Option<String>,
    ltv_per_customer_60: Option<String>,
    visitors_90: i64,
    customers_90: i64,
    revenue_90: String,
    ltv_per_visitor_90: Option<String>,
    ltv_per_customer_90: Option<String>,
}

/// All sources together.
#[derive(Debug, Default, JsonSchema, Serialize)]
pub(crate) struct Totals {
    visitors: i64,
    customers: i64,
    orders: i64,
    revenue: String,
}

/// Days from the first session, and microseconds of a day.
const HORIZONS: [i64; 3] = [30, 60, 90];
const DAY: i64 = 86_400_000_000;

/// `GET /api/v1/ltv-comparison`
pub(crate) async fn ltv_comparison(
    State(shared): AppState,
    RawQuery(query): RawQuery,
) -> Result<Response, StatsError> {
    let mut params = shared.params(query.as_deref(), &ACCEPTS)?;
    params.use_period_by_default("month")?;
    let snapshot = shared.context.database.snapshot().await?;
    let scope = Scope::of(&params);
    let money = Money::of(&params, &shared.config(), &snapshot).await?;
    let mut labels = Labels::read(&snapshot, &scope).await?;
    let mut sums = Vec::new();
    for people in People::of(&snapshot, &scope).await? {
        let members = Member::all(&snapshot, &scope, people, &mut labels).await?;
        sums.resize(labels.sources.len(), Sums::default());
        let theirs = Sieve::of(members.iter().map(|member| member.visitor));
        let ever = (None, Timestamp::MAX);
        let bought = bought(&snapshot, &scope, &money, ever, |visitor| theirs.may_have(visitor)).await?;
        let mut orders = bought.as_slice();
        for member in members {
            orders = &orders[orders.partition_point(|order| order.visitor < member.visitor)..];
            let theirs = &orders[..orders.partition_point(|order| order.visitor == member.visitor)];
            sums[member.source].add(&member, theirs, params.now.as_microsecond());
        }
    }
    let freshness = snapshot.conclude().await?;
    let digits = money.minor_units();
    let mut by_source: Vec<(String, Sums)> =
        labels.sources.into_iter().zip(sums).filter(|(_, sums)| sums.visitors > 0).collect();
    by_source.sort_by(|(name, sums), (other, others)| {
        others.visitors.cmp(&sums.visitors).then_with(|| name.cmp(other))
    });
    let mut all = Sums::default();
    by_source.iter().for_each(|(_, sums)| all.merge(sums));
    let totals = Totals {
        visitors: all.visitors,
        customers: all.customers,
        orders: all.orders,
        revenue: text(all.revenue, digits),
    };
    let values: Vec<Value> = by_source.into_iter().map(|(source, sums)| sums.tell(source, digits)).collect();
    if params.format == Format::Csv {
        return Ok(csv::attachment("ltv-comparison", &values));
    }
    Ok(Answer::of_window(freshness, &params, values)
        .with_money(&params, money.currency(), all.left_out)
        .with_totals(totals)
        .into_response())
}

/// The sources of campaigns, each once.
struct Labels {
    sources: Vec<String>,
    by_campaign: HashMap<Option<i64>, usize>,
    /// The campaigns of first touches of visitors who had these later than they came.
    later: HashMap<i64, i64>,
}

impl Labels {
    async fn read(snapshot: &Snapshot, scope: &Scope) -> Result<Labels, DatabaseError> {
        let (from, to) = scope.window();
        let window = vec![(&from as _, Type::TIMESTAMPTZ), (&to as _, Type::TIMESTAMPTZ)];
        let mut later = HashMap::new();
        let mut rows = pin!(snapshot.stream(include_str!("sql/later_touches.sql"), window).await?);
        while let Some(row) = rows.try_next().await? {
            later.insert(id_hash(row.try_get("visitor_id")?), row.try_get("campaign_id")?);
        }
        Ok(Labels { sources: Vec::new(), by_campaign: HashMap::new(), later })
    }

    /// Learns the sources of campaigns.
    async fn learn(
        &mut self,
        snapshot: &Snapshot,
        campaigns: HashSet<Option<i64>>,
    ) -> Result<(), DatabaseError> {
        let new: Vec<Option<i64>> =
            campaigns.into_iter().filter(|campaign| !self.by_campaign.contains_key(campaign)).collect();
        let keys = keys(snapshot, "source", &new, &vec![true; new.len()]).await?;
        for (campaign, [source, ..]) in new.into_iter().zip(keys) {
            let place = self.sources.iter().position(|known| *known == source).unwrap_or_else(|| {
                self.sources.push(source);
                self.sources.len() - 1
            });
            self.by_campaign.insert(campaign, place);
        }
        Ok(())
    }
}

/// A visitor whose first session is in the window and passes.
struct Member {
    visitor: i64,
    /// Microseconds since 1970.
    began_at: i64,
    /// The place of the source.
    source: usize,
}

impl Member {
    /// Some of all, by visitor.
    async fn all(
        snapshot: &Snapshot,
        scope: &Scope,
        people: People,
        labels: &mut Labels,
    ) -> Result<Vec<Member>, DatabaseError> {
        let mut sessions: Vec<(i64, i64, Option<i64>)> = Vec::new();
        let mut campaigns = HashSet::from([None]);
        let numbers = &[Number::Visitor, Number::Number, Number::Start, Number::Begin];
        let wanted = Wanted { numbers, ids: &[Id::Campaign], lists: &[], edges: &[] };
        scan(snapshot, scope, wanted, |part| {
            let (visitors, numbers) = (part.numbers(Number::Visitor), part.numbers(Number::Number));
            let (before, labels) = (part.numbers(Number::Begin), part.ids(Id::Campaign));
            campaigns.extend(labels.list.iter().copied().map(Some));
            let first = part.chosen().iter().copied().filter(|session| numbers[*session] == 1);
            let first = first.filter(|session| people.have(visitors[*session]));
            sessions.extend(first.map(|session| {
                (visitors[session], part.start(session) - before[session], labels.of(session))
            }));
        })
        .await?;
        sessions.sort_unstable();
        campaigns.extend(labels.later.values().copied().map(Some));
        labels.learn(snapshot, campaigns).await?;
        let members = sessions.chunk_by(|one, other| one.0 == other.0).map(|of_one| {
            let (visitor, began_at, _) = of_one[0];
            let later = || labels.later.get(&visitor).copied();
            let is_touched = of_one.iter().any(|(.., campaign)| campaign.is_some());
            let source =
                |campaign: Option<i64>| labels.by_campaign.get(&campaign).copied().unwrap_or_default();
            let source = match later() {
                Some(campaign) if !is_touched => source(Some(campaign)),
                // Of several first sessions, as of tabs that were opened at once, the one that is named first.
                _ => {
                    let sources = of_one.iter().map(|(.., campaign)| source(*campaign));
                    sources.min_by_key(|source| &labels.sources[*source]).unwrap_or_default()
                }
            };
            Member { visitor, began_at, source }
        });
        Ok(members.collect())
    }
}

/// What the members of a source add up to. Money is in minor units.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    visitors: i64,
    customers: i64,
    orders: i64,
    /// Without an exchange rate.
    left_out: i64,
    /// Orders whose value is known, and it.
    valued: i64,
    gross: i128,
    revenue: i128,
    within: [Within; HORIZONS.len()],
}

/// Within so many days, of those who came long enough ago.
#[derive(Debug, Clone, Copy, Default)]
struct Within {
    visitors: i64,
    customers: i64,
    revenue: i128,
}

impl Sums {
    fn add(&mut self, member: &Member, orders: &[Bought], now: i64) {
        let revenue = |orders: &mut dyn Iterator<Item = &Bought>| -> i128 {
            orders.filter_map(|order| order.revenue).map(i128::from).sum()
        };
        let count = |orders: usize| i64::try_from(orders).unwrap_or(i64::MAX);
        let valued = orders.iter().filter_map(|order| order.gross).map(i128::from);
        self.visitors += 1;
        self.customers += i64::from(!orders.is_empty());
        self.orders += count(orders.len());
        self.left_out += count(orders.iter().filter(|order| order.revenue.is_none()).count());
        self.valued += count(valued.clone().count());
        self.gross += valued.sum::<i128>();
        self.revenue += revenue(&mut orders.iter());
        for (days, within) in HORIZONS.into_iter().zip(&mut self.within) {
            if member.began_at > now - days * DAY {
                continue;
            }
            let mut soon = orders.iter().filter(|order| order.at < member.began_at + days * DAY).peekable();
            within.visitors += 1;
            within.customers += i64::from(soon.peek().is_some());
            within.revenue += revenue(&mut soon);
        }
    }

    fn merge(&mut self, other: &Sums) {
        self.visitors += other.visitors;
        self.customers += other.customers;
        self.orders += other.orders;
        self.left_out += other.left_out;
        self.revenue += other.revenue;
    }

    fn tell(&self, source: String, digits: usize) -> Value {
        let money = |amount: i128| text(amount, digits);
        let each = |amount: i128, count: i64| money::each(&money(amount), count, digits);
        let [first, second, third] = self.within;
        Value {
            source,
            visitors: self.visitors,
            customers: self.customers,
            orders: self.orders,
            revenue: money(self.revenue),
            ltv_per_visitor: each(self.revenue, self.visitors),
            ltv_per_customer: each(self.revenue, self.customers),
            orders_per_customer: mean(self.orders, self.customers),
            avg_order_value: (self.valued > 0).then(|| money(rounded(self.gross, self.valued.into()))),
            visitors_30: first.visitors,
            customers_30: first.customers,
            revenue_30: money(first.revenue),
            ltv_per_visitor_30: each(first.revenue, first.visitors),
            ltv_per_customer_30: each(first.revenue, first.customers),
            visitors_60: second.visitors,
            customers_60: second.customers,
            revenue_60: money(second.revenue),
            ltv_per_visitor_60: each(second.revenue, second.visitors),
            ltv_per_customer_60: each(second.revenue, second.customers),
            visitors_90: third.visitors,
            customers_90: third.customers,
            revenue_90: money(third.revenue),
            ltv_per_visitor_90: each(third.revenue, third.visitors),
            ltv_per_customer_90: each(third.revenue, third.customers),
        }
    }
}
