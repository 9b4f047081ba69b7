//! `ltv-comparison`: what visitors are worth, by the source that brought them first. Members are those whose first session is in the
//! window; their first touch is that session's, else the first one known of the visitor. Their orders are all, whatever earned them.

use std::pin::pin;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use foldhash::{HashMap, HashMapExt};
use futures_util::TryStreamExt;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::types::Type;

use crate::stats::AppState;
use crate::stats::answer::Answer;
use crate::stats::bought::{Bought, bought, earlier};
use crate::stats::crowd::{Crowd, Pair, Sieve};
use crate::stats::csv;
use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::groups::keys;
use crate::stats::money;
use crate::stats::params::{Accepts, Format};
use crate::stats::people::People;
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
    for people in People::of(&snapshot, &scope, 0).await? {
        let mut known = members(&snapshot, &scope, people, &mut labels).await?;
        sums.resize(labels.sources.len(), Sums::default());
        let members = known.sieve();
        let since = first_order(&snapshot, &scope, &known, &members).await?;
        let ever = (since, Timestamp::MAX);
        let bought = bought(&snapshot, &scope, &money, ever, |visitor| members.may_have(visitor)).await?;
        bought.iter().zip(0..).for_each(|(order, place)| known.add((order.visitor, Known::Ordered(place))));
        let mut orders = Vec::new();
        for share in known.once_each(|known| known) {
            for of_visitor in share.chunk_by(|one, other| one.0 == other.0) {
                let Some(member) = labels.member(of_visitor) else { continue };
                orders.clear();
                orders.extend(of_visitor.iter().filter_map(|(_, known)| known.order(&bought)));
                sums[member.source].add(&member, &orders, params.now.as_microsecond());
            }
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
    /// The places of campaigns, and of none.
    campaigns: HashMap<Option<i64>, u32>,
    /// By the place of the campaign: that of its source.
    by_campaign: Vec<usize>,
    /// The campaigns of first touches of visitors who had these later than they came.
    later: HashMap<i64, u32>,
}

impl Labels {
    async fn read(snapshot: &Snapshot, scope: &Scope) -> Result<Labels, DatabaseError> {
        let (from, to) = scope.window();
        let window = vec![(&from as _, Type::TIMESTAMPTZ), (&to as _, Type::TIMESTAMPTZ)];
        let campaigns = HashMap::from_iter([(None, UNTOUCHED)]);
        let mut labels =
            Labels { sources: Vec::new(), campaigns, by_campaign: Vec::new(), later: HashMap::new() };
        let mut rows = pin!(snapshot.stream(include_str!("sql/later_touches.sql"), window).await?);
        while let Some(row) = rows.try_next().await? {
            let campaign = labels.place(row.try_get("campaign_id")?);
            labels.later.insert(id_hash(row.try_get("visitor_id")?), campaign);
        }
        Ok(labels)
    }

    fn place(&mut self, campaign: Option<i64>) -> u32 {
        let next = u32::try_from(self.campaigns.len()).unwrap_or(u32::MAX);
        *self.campaigns.entry(campaign).or_insert(next)
    }

    /// Learns the sources of campaigns that are new.
    async fn learn(&mut self, snapshot: &Snapshot) -> Result<(), DatabaseError> {
        let known = self.by_campaign.len();
        let mut new: Vec<(u32, Option<i64>)> =
            self.campaigns.iter().map(|(campaign, place)| (*place, *campaign)).collect();
        new.retain(|(place, _)| *place as usize >= known);
        new.sort_unstable();
        let new: Vec<Option<i64>> = new.into_iter().map(|(_, campaign)| campaign).collect();
        for [source, ..] in keys(snapshot, "source", &new, &vec![true; new.len()]).await? {
            let place = self.sources.iter().position(|known| *known == source).unwrap_or_else(|| {
                self.sources.push(source);
                self.sources.len() - 1
            });
            self.by_campaign.push(place);
        }
        Ok(())
    }

    /// The member of whom this is known, if it is one.
    fn member(&self, known: &[Pair<Known>]) -> Option<Member> {
        let source = |campaign: u32| self.by_campaign[campaign as usize];
        let came = || known.iter().filter_map(|(_, known)| known.came());
        let (began_at, _) = came().next()?;
        let later =
            self.later.get(&known.first()?.0).filter(|_| came().all(|(_, campaign)| campaign == UNTOUCHED));
        // Of several first sessions, as of tabs that were opened at once, the one that is named first.
        let first =
            || came().map(|(_, campaign)| source(campaign)).min_by_key(|source| &self.sources[*source]);
        let source = later.map(|campaign| source(*campaign)).or_else(first)?;
        Some(Member { began_at, source })
    }
}

/// The place of no campaign.
const UNTOUCHED: u32 = 0;

/// What is known of a visitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Known {
    /// When a first session that passes began, microseconds since 1970, and the place of its campaign.
    Came(i64, u32),
    /// The place of an order.
    Ordered(u32),
}

impl Known {
    fn came(self) -> Option<(i64, u32)> {
        match self {
            Known::Came(at, campaign) => Some((at, campaign)),
            Known::Ordered(_) => None,
        }
    }

    fn order(self, bought: &[Bought]) -> Option<Bought> {
        match self {
            Known::Came(..) => None,
            Known::Ordered(place) => bought.get(place as usize).copied(),
        }
    }
}

/// A visitor whose first session is in the window and passes.
struct Member {
    /// Microseconds since 1970.
    began_at: i64,
    /// The place of the source.
    source: usize,
}

/// Some of the members.
async fn members(
    snapshot: &Snapshot,
    scope: &Scope,
    people: People,
    labels: &mut Labels,
) -> Result<Crowd<Known>, DatabaseError> {
    let mut known = Crowd::default();
    let numbers = &[Number::Visitor, Number::Number, Number::Start, Number::Begin];
    let wanted = Wanted { numbers, ids: &[Id::Campaign], lists: &[], edges: &[] };
    scan(snapshot, scope, wanted, |part| {
        let (visitors, numbers) = (part.numbers(Number::Visitor), part.numbers(Number::Number));
        let (before, campaigns) = (part.numbers(Number::Begin), part.ids(Id::Campaign));
        let places: Vec<u32> = campaigns.list.iter().map(|campaign| labels.place(Some(*campaign))).collect();
        let first = part.chosen().iter().copied().filter(|session| numbers[*session] == 1);
        for session in first.filter(|session| people.have(visitors[*session])) {
            let campaign = campaigns.place(session).checked_sub(1).map_or(UNTOUCHED, |place| places[place]);
            known.add((visitors[session], Known::Came(part.start(session) - before[session], campaign)));
        }
    })
    .await?;
    labels.learn(snapshot).await?;
    Ok(known)
}

/// No later than the first order of these was placed; none where the window is since ever. Few ordered before the window, and what
/// others did then need not be read.
async fn first_order(
    snapshot: &Snapshot,
    scope: &Scope,
    known: &Crowd<Known>,
    members: &Sieve,
) -> Result<Option<Timestamp>, DatabaseError> {
    let (Some(from), _) = scope.window() else { return Ok(None) };
    let earlier = earlier(snapshot, scope, from, |visitor| members.may_have(visitor)).await?;
    let earlier = known.visitors().filter_map(|visitor| earlier.get(&visitor).copied());
    Ok(Some(earlier.min().unwrap_or(from)))
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
