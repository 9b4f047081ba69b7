//! `products`: how often each was seen, put into the cart and bought. Rows and `other` add up to `totals`.
//!
//! What was bought is told by orders, the rest by what was done in sessions, added up by the keys of products. In which visits a
//! product was both is found by the sessions of its orders.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::{AddAssign, Range};

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use foldhash::HashMap;
use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::types::Type;

use crate::stats::AppState;
use crate::stats::answer::{Answer, ListMeta};
use crate::stats::csv;
use crate::stats::cursor::{decode_rank, encode_rank};
use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::params::{Accepts, Format};
use crate::stats::positions::{Positions, Sold};
use crate::stats::problem::StatsError;
use crate::stats::rank::given;
use crate::stats::ratio::percent;
use crate::stats::scan::{Part, Wanted, kinds, scan};
use crate::stats::scope::{Money, Scope};
use crate::stats::worth::text;
use crate::store::columns::List;
use crate::store::order_columns::Amount;

pub(crate) const ACCEPTS: Accepts = Accepts {
    list: Some((
        20,
        &[
            "views",
            "cart_adds",
            "purchases",
            "revenue",
            "view_to_cart_rate",
            "cart_to_purchase_rate",
            "view_to_purchase_rate",
        ],
    )),
    ..Accepts::MONEY
};

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Product {
    product_id: String,
    name: Option<String>,
    site: Option<String>,
    #[serde(flatten)]
    sums: Sums,
}

/// Rates are of visits: in how many of those with the one was the other, too.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Sums {
    views: i64,
    cart_adds: i64,
    cart_removes: i64,
    /// Orders with the product.
    purchases: i64,
    /// Pieces bought.
    quantity: String,
    /// Of positions whose price is known; null where none is.
    revenue: Option<String>,
    view_to_cart_rate: Option<f64>,
    cart_to_purchase_rate: Option<f64>,
    view_to_purchase_rate: Option<f64>,
}

/// `GET /api/v1/products`
pub(crate) async fn products(
    State(shared): AppState,
    RawQuery(query): RawQuery,
) -> Result<Response, StatsError> {
    let params = shared.params(query.as_deref(), &ACCEPTS)?;
    let passed = params.cursor.as_deref().map_or(Ok(0), decode_rank)?;
    let snapshot = shared.context.database.snapshot().await?;
    let scope = Scope::of(&params);
    let money = Money::of(&params, &shared.config(), &snapshot).await?;
    let bought = Positions::read(&snapshot, &scope, &money).await?;
    let left_out = bought.left_out;
    let mut lines = Lines::of(bought, &snapshot).await?;
    add_done(&snapshot, &scope, &mut lines).await?;
    let mut lines = lines.known(&snapshot).await?;
    let all = lines.len();
    let given = given(&mut lines, &params, passed, |line| line.rank(params.sort.column), Line::stands_by);
    let (digits, mut totals, mut other) = (money.minor_units(), Sum::default(), Sum::default());
    for (place, line) in lines.iter().enumerate() {
        totals += line.sum;
        if !given.contains(&place) {
            other += line.sum;
        }
    }
    let products = called(&snapshot, &lines[given.clone()], digits).await?;
    let freshness = snapshot.conclude().await?;
    if params.format == Format::Csv {
        return Ok(csv::attachment("products", &products));
    }
    let list = ListMeta {
        totals: totals.told(digits),
        other: Some(other.told(digits)),
        next_cursor: (given.end < all).then(|| encode_rank(u32::try_from(given.end).unwrap_or(u32::MAX))),
    };
    Ok(Answer::of_window(freshness, &params, products)
        .with_money(&params, money.currency(), left_out)
        .with_list(&params, list)
        .into_response())
}

/// What was done with a product: of these as many, and of visits.
#[derive(Debug, Clone, Copy)]
enum Count {
    Views,
    Adds,
    Removes,
    /// Visits.
    Viewed,
    ViewedCarted,
    Carted,
    CartedBought,
    ViewedBought,
}

/// By [`Count`].
type Counts = [i64; 8];

/// What was done with a product, and what was bought of it.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    counts: Counts,
    sold: Sold,
}

impl AddAssign for Sum {
    fn add_assign(&mut self, other: Sum) {
        self.counts.iter_mut().zip(other.counts).for_each(|(count, more)| *count += more);
        self.sold += other.sold;
    }
}

impl Sum {
    fn of(&self, count: Count) -> i64 {
        self.counts[count as usize]
    }

    fn told(&self, digits: usize) -> Sums {
        let rate = |part, whole| percent(self.of(part), self.of(whole));
        let Amount { number, scale } = self.sold.quantity;
        Sums {
            views: self.of(Count::Views),
            cart_adds: self.of(Count::Adds),
            cart_removes: self.of(Count::Removes),
            purchases: self.sold.purchases,
            quantity: text(number, scale as usize),
            revenue: self.sold.revenue.map(|revenue| text(revenue, digits)),
            view_to_cart_rate: rate(Count::ViewedCarted, Count::Viewed),
            cart_to_purchase_rate: rate(Count::CartedBought, Count::Carted),
            view_to_purchase_rate: rate(Count::ViewedBought, Count::Viewed),
        }
    }
}

/// A product that somebody did something with, or bought.
#[derive(Debug, Default)]
struct Line {
    site: i32,
    /// The shop's id.
    id: String,
    /// Where something was done with it, or a purchase names it: it is called what is known of it then.
    key: Option<i64>,
    /// What positions call it.
    names: BTreeSet<String>,
    sum: Sum,
}

impl Line {
    /// By what it is sorted: a fraction, none where there is none.
    fn rank(&self, column: &str) -> Option<(i128, i128)> {
        let (part, whole) = match column {
            "cart_adds" => (self.sum.of(Count::Adds), 1),
            "purchases" => (self.sum.sold.purchases, 1),
            "revenue" => return self.sum.sold.revenue.map(|revenue| (revenue, 1)),
            "view_to_cart_rate" => (self.sum.of(Count::ViewedCarted), self.sum.of(Count::Viewed)),
            "cart_to_purchase_rate" => (self.sum.of(Count::CartedBought), self.sum.of(Count::Carted)),
            "view_to_purchase_rate" => (self.sum.of(Count::ViewedBought), self.sum.of(Count::Viewed)),
            _ => (self.sum.of(Count::Views), 1),
        };
        (whole != 0).then_some((part.into(), whole.into()))
    }

    /// Which of two of one rank comes first.
    fn stands_by(&self, other: &Line) -> Ordering {
        let counts = |line: &Line| (line.sum.of(Count::Views), line.sum.sold.purchases);
        counts(other).cmp(&counts(self)).then_with(|| (self.site, &self.id).cmp(&(other.site, &other.id)))
    }
}

/// All products of a report.
#[derive(Debug, Default)]
struct Lines {
    lines: Vec<Line>,
    /// How many of the first ones positions name.
    named: usize,
    /// Of each line by itself, since they are counted one by one.
    counts: Vec<Counts>,
    /// The lines of keys.
    by_key: HashMap<i64, usize>,
    /// Sessions, as `id_hash()` has them, and the lines that their orders have, in this order.
    of_orders: Vec<(i64, usize)>,
    /// Where those of each session are in `of_orders`.
    by_session: HashMap<i64, Range<usize>>,
}

impl Lines {
    async fn of(bought: Positions, snapshot: &Snapshot) -> Result<Lines, DatabaseError> {
        let mut lines = Lines { of_orders: bought.named_by, ..Lines::default() };
        for named in bought.named {
            lines.lines.push(Line {
                site: i32::try_from(named.site).unwrap_or_default(),
                id: named.id,
                key: None,
                names: named.names,
                sum: Sum { counts: Counts::default(), sold: named.sold },
            });
        }
        lines.named = lines.lines.len();
        lines.counts.resize(lines.named, Counts::default());
        let sites: Vec<i32> = lines.lines.iter().map(|line| line.site).collect();
        let ids: Vec<&str> = lines.lines.iter().map(|line| line.id.as_str()).collect();
        let parameters = [(&sites as _, Type::INT4_ARRAY), (&ids as _, Type::TEXT_ARRAY)];
        for row in snapshot.rows(include_str!("sql/keys_of_products.sql"), &parameters).await? {
            let place: i32 = row.try_get("place")?;
            let line = usize::try_from(place - 1).map_err(|_| DatabaseError::Failed)?;
            lines.by_key.insert(row.try_get("product_key")?, line);
        }
        for (key, orders) in bought.told {
            let quantity = Amount { number: orders.into(), scale: 0 };
            let line = lines.done_with(key);
            lines.lines[line].sum.sold += Sold { purchases: orders, quantity, revenue: None };
        }
        let told_by = bought.told_by.into_iter().map(|(session, key)| (session, lines.by_key[&key]));
        lines.of_orders.extend(told_by);
        lines.of_orders.sort_unstable();
        lines.of_orders.dedup();
        let mut end = 0;
        lines.by_session.reserve(lines.of_orders.len());
        for of_session in lines.of_orders.chunk_by(|(one, _), (other, _)| one == other) {
            let begin = end;
            end += of_session.len();
            lines.by_session.extend(of_session.first().map(|(session, _)| (*session, begin..end)));
        }
        Ok(lines)
    }

    /// The line of a product that something was done with.
    fn done_with(&mut self, key: i64) -> usize {
        let line = *self.by_key.entry(key).or_insert_with(|| {
            self.lines.push(Line::default());
            self.counts.push(Counts::default());
            self.lines.len() - 1
        });
        self.lines[line].key = Some(key);
        line
    }

    fn count(&mut self, count: Count, line: usize) {
        self.counts[line][count as usize] += 1;
    }

    /// Adds what was done in sessions of a day; `seen` is of its products.
    fn add(&mut self, part: &Part, kinds: &[Option<i64>], seen: &mut [Seen]) {
        let (of_kinds, of_products) = (part.kinds(), part.products());
        // By places from 1: which of KINDS it is.
        let which = |kind: &i64| kinds.iter().position(|known| *known == Some(*kind)).unwrap_or(NONE);
        let which: Vec<usize> = std::iter::once(NONE).chain(of_kinds.list.iter().map(which)).collect();
        let what = |action: usize| (which[of_kinds.place(action)], of_products.place(action).wrapping_sub(1));
        for (session, action) in part.done() {
            let (kind, product) = what(action);
            let (Some(count), Some(of_product)) = (COUNTS.get(kind), seen.get_mut(product)) else { continue };
            if of_product.line == NONE {
                of_product.line = self.done_with(of_products.list[product]);
            }
            let line = of_product.line;
            self.count(*count, line);
            if let Some(visits) = VISITS.get(kind).filter(|_| of_product.last[kind] != session) {
                of_product.last[kind] = session;
                self.count(*visits, line);
                if of_product.last[1 - kind] == session {
                    self.count(Count::ViewedCarted, line);
                }
            }
        }
        for &session in part.chosen() {
            if let Some(buyer) = part.buyer(session) {
                for place in self.by_session.get(&buyer).cloned().into_iter().flatten() {
                    let (_, line) = self.of_orders[place];
                    // Whether it was viewed in the session with the order, and put into the cart.
                    for (kind, count) in [(0, Count::ViewedBought), (1, Count::CartedBought)] {
                        let mut done = part.actions(session).map(what);
                        let is = |(of, product): (usize, usize)| {
                            of == kind && seen.get(product).is_some_and(|seen| seen.line == line)
                        };
                        if done.any(is) {
                            self.count(count, line);
                        }
                    }
                }
            }
        }
    }

    /// Those whose product is there.
    async fn known(mut self, snapshot: &Snapshot) -> Result<Vec<Line>, DatabaseError> {
        for (line, counts) in self.lines.iter_mut().zip(&self.counts) {
            line.sum.counts = *counts;
        }
        let alone = self.lines.split_off(self.named);
        let keys: Vec<Option<i64>> = alone.iter().map(|line| line.key).collect();
        let parameters = [(&keys as _, Type::INT8_ARRAY)];
        let rows = snapshot.rows(include_str!("sql/products_of_keys.sql"), &parameters).await?;
        for (mut line, row) in alone.into_iter().zip(&rows) {
            if let (Some(site), Some(id)) = (row.try_get("site_id")?, row.try_get("product_id")?) {
                (line.site, line.id) = (site, id);
                self.lines.push(line);
            }
        }
        Ok(self.lines)
    }
}

/// What is told of these.
async fn called(snapshot: &Snapshot, lines: &[Line], digits: usize) -> Result<Vec<Product>, DatabaseError> {
    let sites: Vec<i32> = lines.iter().map(|line| line.site).collect();
    let keys: Vec<Option<i64>> = lines.iter().map(|line| line.key).collect();
    let named = (1..).zip(lines).flat_map(|(place, line)| line.names.iter().map(move |name| (place, name)));
    let (places, names): (Vec<i32>, Vec<&str>) = named.map(|(place, name)| (place, name.as_str())).unzip();
    let parameters = [
        (&sites as _, Type::INT4_ARRAY),
        (&keys as _, Type::INT8_ARRAY),
        (&places as _, Type::INT4_ARRAY),
        (&names as _, Type::TEXT_ARRAY),
    ];
    let rows = snapshot.rows(include_str!("sql/product_names.sql"), &parameters).await?;
    let told = lines.iter().zip(&rows).map(|(line, row)| {
        Ok(Product {
            product_id: line.id.clone(),
            name: row.try_get("name")?,
            site: row.try_get("site")?,
            sums: line.sum.told(digits),
        })
    });
    told.collect()
}

/// What counts.
const KINDS: [&str; 3] = ["product_view", "add_to_cart", "remove_from_cart"];
/// As what, each of them.
const COUNTS: [Count; 3] = [Count::Views, Count::Adds, Count::Removes];
/// And as what the visits with the first two.
const VISITS: [Count; 2] = [Count::Viewed, Count::Carted];

/// A product of a day: its line, and the last sessions that viewed it and put it into the cart.
#[derive(Debug, Clone, Copy)]
struct Seen {
    line: usize,
    last: [usize; 2],
}

/// Of a product with which nothing was done so far, or a session that is none.
const NONE: usize = usize::MAX;

/// Adds what was done with products in the sessions of a scope.
async fn add_done(snapshot: &Snapshot, scope: &Scope, lines: &mut Lines) -> Result<(), DatabaseError> {
    let kinds = kinds(snapshot, &KINDS).await?;
    let wanted =
        Wanted { numbers: &[], ids: &[], lists: &[List::Kind, List::Product, List::Buyer], edges: &[] };
    let mut seen = Vec::new();
    scan(snapshot, scope, wanted, |part| {
        seen.clear();
        seen.resize(part.products().list.len(), Seen { line: NONE, last: [NONE; 2] });
        lines.add(part, &kinds, &mut seen);
    })
    .await
}
