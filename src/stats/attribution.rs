//! `attribution`: what each model credits, side by side, and the ways by which orders came.

use std::collections::{BTreeMap, HashMap};

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Number, Value};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::stats::AppState;
use crate::stats::answer::Answer;
use crate::stats::csv;
use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::groups::GroupKey;
use crate::stats::params::{Accepts, Format, MODELS, ParameterError};
use crate::stats::problem::StatsError;
use crate::stats::ratio::{from_millionths, two_decimals};
use crate::stats::sales::{Label, Sales, Wanted, sales, text};
use crate::stats::scope::{Money, Scope};

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
    let paths = i64::from(limit);
    let snapshot = shared.context.database.snapshot().await?;
    let scope = Scope::of(&params);
    let money = Money::of(&params, &shared.config(), &snapshot).await?;
    let (groups, left_out) = credited(&snapshot, &scope, &money, by).await?;
    let mut parameters = scope.parameters();
    parameters.extend(money.parameters());
    parameters[MODEL] = (&EVERY_TOUCH, Type::TEXT);
    parameters.push((&by, Type::TEXT));
    parameters.push((&paths, Type::INT8));
    let ways = snapshot.rows(include_str!("sql/attribution_paths.sql"), &parameters).await?;
    let freshness = snapshot.conclude().await?;
    let told = Told::read(groups, &ways).map_err(DatabaseError::from)?;
    let (results, totals) = told.tell(by, limit as usize, money.minor_units());
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

/// What each model credits to each group, and how many orders are left out.
async fn credited(
    snapshot: &Snapshot,
    scope: &Scope,
    money: &Money,
    by: &str,
) -> Result<(BTreeMap<GroupKey, Sums>, i64), DatabaseError> {
    let mut by_label = HashMap::<Label, Sums>::new();
    sales(snapshot, scope, money, Wanted { models: MODELS, id: None }, |sale| {
        by_label.entry(sale.label).or_default()[sale.model] += sale.adds;
    })
    .await?;
    let (labels, sums): (Vec<Label>, Vec<Sums>) = by_label.into_iter().unzip();
    let keys = Label::keys(&labels, snapshot, by).await?;
    let mut groups = BTreeMap::<GroupKey, Sums>::new();
    for (key, sums) in keys.into_iter().zip(&sums) {
        add(groups.entry(key).or_default(), sums);
    }
    Ok((groups, sums.iter().map(|sums| sums[0].left_out).sum()))
}

fn add(sums: &mut Sums, other: &Sums) {
    sums.iter_mut().zip(other).for_each(|(sums, other)| *sums += *other);
}

/// The place of `$22` among the parameters.
const MODEL: usize = 21;

/// What the statements say.
#[derive(Default)]
struct Told {
    groups: BTreeMap<GroupKey, Sums>,
    assisted: BTreeMap<[String; 3], i64>,
    paths: Vec<Path>,
    orders: i64,
    median_touches: Option<f64>,
    median_days: Option<f64>,
}

impl Told {
    fn read(groups: BTreeMap<GroupKey, Sums>, ways: &[Row]) -> Result<Told, tokio_postgres::Error> {
        let mut told = Told { groups, ..Told::default() };
        for row in ways {
            let orders = row.try_get("orders")?;
            match row.try_get("part")? {
                "path" => told.paths.push(Path {
                    touches: row.try_get("path")?,
                    orders,
                    revenue: row.try_get("revenue")?,
                }),
                "assisted" => {
                    if let Ok(key) = row.try_get::<_, Vec<String>>("path")?.try_into() {
                        told.assisted.insert(key, orders);
                    }
                }
                _ => {
                    told.orders = orders;
                    told.median_touches = row.try_get("median_touches")?;
                    told.median_days = row.try_get::<_, Option<f64>>("median_days")?.map(two_decimals);
                }
            }
        }
        Ok(told)
    }

    fn tell(mut self, by: &str, limit: usize, digits: usize) -> (Attribution, BTreeMap<String, Credited>) {
        let credited = |sums: &Sums| {
            let of_model = |sums: &Sales| Credited {
                orders: from_millionths(sums.orders),
                revenue: text(sums.revenue, digits),
            };
            let models = MODELS.iter().zip(sums).map(|(model, sums)| ((*model).to_owned(), of_model(sums)));
            models.collect::<BTreeMap<String, Credited>>()
        };
        let mut totals = Sums::default();
        self.groups.values().for_each(|sums| add(&mut totals, sums));
        let mut groups: Vec<_> = self.groups.into_iter().collect();
        // Greatest first; among equals by name, as they are now.
        groups.sort_by_key(|(_, sums)| std::cmp::Reverse(sums.iter().map(|sums| sums.orders).max()));
        groups.truncate(limit);
        let rows = groups.into_iter().map(|(key, sums)| Group {
            models: credited(&sums),
            assisted_conversions: self.assisted.remove(&key).unwrap_or_default(),
            keys: names(by).iter().zip(key).map(|(name, text)| ((*name).to_owned(), text.into())).collect(),
        });
        let results = Attribution {
            rows: rows.collect(),
            paths: self.paths,
            orders: self.orders,
            median_touches: self.median_touches,
            median_days_to_order: self.median_days,
        };
        (results, credited(&totals))
    }
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
