//! `attribution`: what each model credits, side by side, and the ways by which orders came.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Number, Value};

use crate::stats::AppState;
use crate::stats::answer::Answer;
use crate::stats::csv;
use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::groups::GroupKey;
use crate::stats::order_scan::Label;
use crate::stats::params::{Accepts, Format, MODELS, ParameterError};
use crate::stats::problem::StatsError;
use crate::stats::ratio::{from_millionths, median, median_days};
use crate::stats::sales::{Sale, Sales, Wanted, sales};
use crate::stats::scope::{Money, Scope};
use crate::stats::worth::text;

pub(crate) const ACCEPTS: Accepts = Accepts { csv: true, own: &["by", "limit"], ..Accepts::MONEY };

/// The model that credits every touch: ways are read from it.
const EVERY_TOUCH: &str = "linear";

/// Rows, and paths, when nothing is said.
const USUAL_LIMIT: u32 = 20;

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Attribution {
    /// Those with the most orders by any model first.
    rows: Vec<Group>,
    paths: Vec<Path>,
    /// Orders with a known way.
    orders: i64,
    median_touches: Option<f64>,
    /// From the first touch within the lookback to the order.
    median_days_to_order: Option<f64>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Group {
    #[serde(flatten)]
    keys: Map<String, Value>,
    /// By model.
    models: BTreeMap<String, Credited>,
    /// Orders on whose way it was, while something else ended it.
    assisted_conversions: i64,
}

/// What a model credits. Over all groups the models agree.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub(crate) struct Credited {
    orders: Number,
    revenue: String,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Path {
    touches: Vec<String>,
    orders: i64,
    revenue: String,
}

/// Sums by model, in the order of [`MODELS`].
type Sums = [Sales; MODELS.len()];

/// `GET /api/v1/attribution`
pub(crate) async fn attribution(
    State(shared): AppState,
    RawQuery(query): RawQuery,
) -> Result<Response, StatsError> {
    let params = shared.params(query.as_deref(), &ACCEPTS)?;
    if params.given.one("model")?.is_some() {
        return Err(ParameterError::new("model", "all models stand side by side here").into());
    }
    let by = params.given.choice("by", &["source", "campaign", "content", "channel"])?.unwrap_or("source");
    let limit = params.given.limit(USUAL_LIMIT)?;
    let snapshot = shared.context.database.snapshot().await?;
    let scope = Scope::of(&params);
    let money = Money::of(&params, &shared.config(), &snapshot).await?;
    let earned = Earned::read(&snapshot, &scope, &money).await?;
    let left_out = earned.by_label.values().map(|sums| sums[0].left_out).sum();
    let labels: Vec<Label> = earned.by_label.keys().copied().collect();
    let keys = Label::keys(&labels, &snapshot, by).await?;
    let keys: HashMap<Label, Key> = labels.into_iter().zip(keys.into_iter().map(Key::of)).collect();
    let freshness = snapshot.conclude().await?;
    let (results, totals) = earned.tell(&keys, by, limit as usize, money.minor_units());
    if params.format == Format::Csv {
        return Ok(csv::attachment("attribution", &results.rows.iter().map(Group::flat).collect::<Vec<_>>()));
    }
    Ok(Answer::of_window(freshness, &params, results)
        .with_money(&params, money.currency(), left_out)
        .with_own("by", by)
        .with_own("models", MODELS.as_slice())
        .with_own("limit", limit)
        .with_totals(totals)
        .into_response())
}

/// What orders add up to by what earned them.
#[derive(Default)]
struct Earned {
    by_label: HashMap<Label, Sums>,
    /// Orders and revenue of each sequence of touches.
    by_way: HashMap<Vec<Label>, (i64, i128)>,
    /// Of each order with such a one.
    touches: Vec<i64>,
    /// Microseconds since the first of them, whether it passes or not.
    spans: Vec<i64>,
}

impl Earned {
    async fn read(snapshot: &Snapshot, scope: &Scope, money: &Money) -> Result<Earned, DatabaseError> {
        let mut earned = Earned::default();
        let wanted = Wanted { models: MODELS, id: None, first_touch: true };
        let mut way = Vec::new();
        sales(snapshot, scope, money, wanted, |sale| earned.add(sale, &mut way)).await?;
        Ok(earned)
    }

    /// Adds an order; `way` is room.
    fn add(&mut self, sale: &Sale, way: &mut Vec<Label>) {
        for (model, touches) in sale.earned.iter().enumerate() {
            for (label, adds) in touches {
                self.by_label.entry(*label).or_default()[model] += *adds;
            }
        }
        let touches = MODELS.iter().zip(&sale.earned).find(|(model, _)| **model == EVERY_TOUCH);
        let Some((_, touches)) = touches.filter(|(_, touches)| !touches.is_empty()) else { return };
        way.clear();
        way.extend(touches.iter().map(|(label, _)| *label));
        let revenue: i128 = touches.iter().map(|(_, adds)| adds.revenue).sum();
        match self.by_way.get_mut(way.as_slice()) {
            Some(sums) => *sums = (sums.0 + 1, sums.1 + revenue),
            None => _ = self.by_way.insert(way.clone(), (1, revenue)),
        }
        self.touches.push(way.len() as i64);
        self.spans.extend(sale.since_touch);
    }

    fn tell(
        mut self,
        keys: &HashMap<Label, Key>,
        by: &str,
        limit: usize,
        digits: usize,
    ) -> (Attribution, BTreeMap<String, Credited>) {
        let ways = Ways::of(&self.by_way, keys);
        let mut groups = BTreeMap::<&GroupKey, Sums>::new();
        let mut totals = Sums::default();
        for (label, sums) in &self.by_label {
            add(groups.entry(&keys[label].parts).or_default(), sums);
            add(&mut totals, sums);
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        // Greatest first; among equals by name, as they are now.
        groups.sort_by_key(|(_, sums)| Reverse(sums.iter().map(|sums| sums.orders).max()));
        groups.truncate(limit);
        let rows = groups.into_iter().map(|(key, sums)| Group {
            models: credited(&sums, digits),
            assisted_conversions: ways.assisted.get(key).copied().unwrap_or_default(),
            keys: names(by)
                .iter()
                .zip(key)
                .map(|(name, text)| ((*name).into(), text.as_str().into()))
                .collect(),
        });
        let results = Attribution {
            rows: rows.collect(),
            paths: ways.paths(limit, digits),
            orders: self.touches.len() as i64,
            median_touches: median(&mut self.touches),
            median_days_to_order: median_days(&mut self.spans),
        };
        (results, credited(&totals, digits))
    }
}

/// Sequences of touches, each by what its group is called.
struct Ways<'a> {
    by_name: HashMap<Vec<&'a str>, (i64, i128)>,
    /// Orders that each group was on the way of, while another one ended it.
    assisted: HashMap<&'a GroupKey, i64>,
}

impl<'a> Ways<'a> {
    fn of(by_way: &HashMap<Vec<Label>, (i64, i128)>, keys: &'a HashMap<Label, Key>) -> Ways<'a> {
        let mut ways = Ways { by_name: HashMap::new(), assisted: HashMap::new() };
        for (way, (orders, revenue)) in by_way {
            let way: Vec<&Key> = way.iter().map(|label| &keys[label]).collect();
            let sums = ways.by_name.entry(way.iter().map(|key| key.name.as_str()).collect()).or_default();
            *sums = (sums.0 + orders, sums.1 + revenue);
            let last = way.last().map(|key| &key.parts);
            let others = way.iter().map(|key| &key.parts).filter(|parts| Some(*parts) != last);
            for parts in others.collect::<BTreeSet<_>>() {
                *ways.assisted.entry(parts).or_default() += orders;
            }
        }
        ways
    }

    /// Those of the most orders, of these of the most revenue.
    fn paths(self, limit: usize, digits: usize) -> Vec<Path> {
        let mut ways: Vec<_> = self.by_name.into_iter().collect();
        ways.sort_by(|(one, sums), (other, others)| others.cmp(sums).then_with(|| one.cmp(other)));
        ways.truncate(limit);
        let paths = ways.into_iter();
        paths
            .map(|(touches, (orders, revenue))| Path {
                touches: touches.into_iter().map(str::to_owned).collect(),
                orders,
                revenue: text(revenue, digits),
            })
            .collect()
    }
}

/// What a group is, and what it is called on a way.
struct Key {
    parts: GroupKey,
    name: String,
}

impl Key {
    fn of(parts: GroupKey) -> Key {
        let told: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        Key { name: told.join(" / "), parts }
    }
}

fn add(sums: &mut Sums, other: &Sums) {
    sums.iter_mut().zip(other).for_each(|(sums, other)| *sums += *other);
}

fn credited(sums: &Sums, digits: usize) -> BTreeMap<String, Credited> {
    let of_model =
        |sums: &Sales| Credited { orders: from_millionths(sums.orders), revenue: text(sums.revenue, digits) };
    MODELS.iter().zip(sums).map(|(model, sums)| ((*model).to_owned(), of_model(sums))).collect()
}

/// The names of a dimension's keys, in the order in which statements have them.
fn names(by: &str) -> &'static [&'static str] {
    match by {
        "campaign" => &["campaign", "source", "medium"],
        "content" => &["content", "campaign", "source"],
        "channel" => &["channel"],
        _ => &["source"],
    }
}

impl Group {
    /// In columns: `first_orders`, `first_revenue`, …
    fn flat(&self) -> Map<String, Value> {
        let mut columns = self.keys.clone();
        for (model, credited) in &self.models {
            columns.insert(format!("{model}_orders"), credited.orders.clone().into());
            columns.insert(format!("{model}_revenue"), credited.revenue.clone().into());
        }
        columns.insert("assisted_conversions".into(), self.assisted_conversions.into());
        columns
    }
}
