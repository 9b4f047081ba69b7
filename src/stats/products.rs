//! `products`: how often each was seen, put into the cart and bought. Rows and `other` add up to `totals`.
//!
//! What was bought is told by the positions of orders, the rest by what was done in sessions, added up by the keys of products. In
//! which visits a product was both is found by the sessions of its orders. Of orders without positions the purchases are looked
//! up, but for those of sessions in which no purchase names a product.

use std::collections::HashMap;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::stats::AppState;
use crate::stats::answer::{Answer, ListMeta};
use crate::stats::csv;
use crate::stats::cursor::{decode_rank, encode_rank};
use crate::stats::database::{DatabaseError, Parameter, Snapshot};
use crate::stats::params::{Accepts, Format};
use crate::stats::problem::StatsError;
use crate::stats::ratio::percent;
use crate::stats::scan::{Part, Wanted, kinds, scan};
use crate::stats::scope::{Money, Scope};
use crate::store::columns::{List, id_hash};

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
    let mut bought = Bought::read(&snapshot, &scope, &money).await?;
    let mut done = Done::read(&snapshot, &scope, &mut bought).await?;
    bought.look_up(&snapshot, &scope, &mut done).await?;
    let (limit, offset) = (i64::from(params.limit), i64::from(passed));
    let digits = i32::try_from(money.minor_units()).unwrap_or(2);
    let mut parameters: Vec<Parameter<'_>> = vec![
        (&params.sort.column, Type::TEXT),
        (&params.sort.ascending, Type::BOOL),
        (&offset, Type::INT8),
        (&limit, Type::INT8),
        (&digits, Type::INT4),
    ];
    parameters.push((&done.products, Type::INT8_ARRAY));
    parameters.extend(done.sums.iter().map(|column| (column as _, Type::INT8_ARRAY)));
    parameters.extend(bought.parameters());
    let rows = snapshot.rows(include_str!("sql/products.sql"), &parameters).await?;
    let freshness = snapshot.conclude().await?;
    let [products @ .., other, totals] = rows.as_slice() else { return Err(DatabaseError::Failed.into()) };
    let products =
        products.iter().map(Product::read).collect::<Result<Vec<_>, _>>().map_err(DatabaseError::from)?;
    if params.format == Format::Csv {
        return Ok(csv::attachment("products", &products));
    }
    let given = passed.saturating_add(u32::try_from(products.len()).unwrap_or(u32::MAX));
    let all: i64 = totals.try_get("products").map_err(DatabaseError::from)?;
    let list = ListMeta {
        totals: Sums::read(totals).map_err(DatabaseError::from)?,
        other: Some(Sums::read(other).map_err(DatabaseError::from)?),
        next_cursor: (i64::from(given) < all).then(|| encode_rank(given)),
    };
    Ok(Answer::of_window(freshness, &params, products)
        .with_money(&params, money.currency(), bought.left_out)
        .with_list(&params, list)
        .into_response())
}

/// What was bought, by product: one array for each column, as `products.sql` takes them.
#[derive(Debug, Default)]
struct Bought {
    sites: Vec<i32>,
    products: Vec<String>,
    names: Vec<Option<String>>,
    purchases: Vec<i64>,
    quantities: Vec<String>,
    revenues: Vec<Option<String>>,
    /// Orders whose worth is not known.
    left_out: i64,
    /// Sessions, as `id_hash()` has them, and keys of the products that their orders have, in this order.
    by_session: Vec<(i64, i64)>,
    /// Of orders without positions, by their sessions: the order, and the session.
    unnamed: HashMap<i64, Vec<(String, Uuid)>>,
}

impl Bought {
    async fn read(snapshot: &Snapshot, scope: &Scope, money: &Money) -> Result<Bought, DatabaseError> {
        let mut parameters = scope.parameters();
        parameters.extend(money.parameters());
        let mut bought = Bought::default();
        for row in snapshot.rows(include_str!("sql/products_bought.sql"), &parameters).await? {
            let sessions: Vec<Uuid> = row.try_get::<_, Option<_>>("sessions")?.unwrap_or_default();
            let Some(product) = row.try_get("product_id")? else {
                bought.left_out += row.try_get::<_, i64>("left_out")?;
                let orders: Vec<String> = row.try_get::<_, Option<_>>("orders")?.unwrap_or_default();
                for (order, session) in orders.into_iter().zip(sessions) {
                    bought.unnamed.entry(id_hash(session)).or_default().push((order, session));
                }
                continue;
            };
            let (quantity, revenue) = (row.try_get("quantity")?, row.try_get("revenue")?);
            bought.push(&row, product, quantity, revenue)?;
            if let Some(key) = row.try_get("product_key")? {
                bought.by_session.extend(sessions.iter().map(|session| (id_hash(*session), key)));
            }
        }
        bought.by_session.sort_unstable();
        Ok(bought)
    }

    /// Adds what purchases name of the orders that are still unnamed.
    async fn look_up(
        &mut self,
        snapshot: &Snapshot,
        scope: &Scope,
        done: &mut Done,
    ) -> Result<(), DatabaseError> {
        if self.unnamed.is_empty() {
            return Ok(());
        }
        let (orders, sessions): (Vec<String>, Vec<Uuid>) =
            std::mem::take(&mut self.unnamed).into_values().flatten().unzip();
        let (_, to) = scope.window();
        let parameters: [Parameter<'_>; 3] =
            [(&orders, Type::TEXT_ARRAY), (&sessions, Type::UUID_ARRAY), (&to, Type::TIMESTAMPTZ)];
        for row in snapshot.rows(include_str!("sql/products_told.sql"), &parameters).await? {
            let purchases: i64 = row.try_get("purchases")?;
            self.push(&row, row.try_get("product_id")?, purchases.to_string(), None)?;
            let key = row.try_get("product_key")?;
            for session in row.try_get::<_, Vec<Uuid>>("sessions")? {
                let visit = (id_hash(session), key);
                if self.by_session.binary_search(&visit).is_err() {
                    done.add_bought(key, done.named.get(&visit).copied().unwrap_or_default());
                }
            }
        }
        Ok(())
    }

    fn push(
        &mut self,
        row: &Row,
        product: String,
        quantity: String,
        revenue: Option<String>,
    ) -> Result<(), DatabaseError> {
        self.sites.push(row.try_get("site_id")?);
        self.products.push(product);
        self.names.push(row.try_get("name")?);
        self.purchases.push(row.try_get("purchases")?);
        self.quantities.push(quantity);
        self.revenues.push(revenue);
        Ok(())
    }

    /// The keys of the products that the orders of a session have.
    fn of(&self, session: i64) -> impl Iterator<Item = i64> {
        let begin = self.by_session.partition_point(|(of, _)| *of < session);
        let of_session = self.by_session.iter().skip(begin).take_while(move |(of, _)| *of == session);
        of_session.map(|(_, product)| *product)
    }

    fn parameters(&self) -> [Parameter<'_>; 6] {
        [
            (&self.sites, Type::INT4_ARRAY),
            (&self.products, Type::TEXT_ARRAY),
            (&self.names, Type::TEXT_ARRAY),
            (&self.purchases, Type::INT8_ARRAY),
            (&self.quantities, Type::TEXT_ARRAY),
            (&self.revenues, Type::TEXT_ARRAY),
        ]
    }
}

/// Columns of sums, in the order in which `products.sql` takes them.
#[derive(Debug, Clone, Copy)]
enum Sum {
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

/// What was done with products in the sessions of a scope.
#[derive(Debug, Default)]
struct Done {
    /// Keys.
    products: Vec<i64>,
    /// Of each product, by [`Sum`].
    sums: [Vec<i64>; 8],
    /// The places of keys.
    known: HashMap<i64, usize>,
    /// Of sessions with an order without positions in which purchases name products: each product there, whether it was viewed and
    /// whether it was put into the cart.
    named: HashMap<(i64, i64), [bool; 2]>,
}

/// What is counted, and what names products of orders.
const KINDS: [&str; 4] = ["product_view", "add_to_cart", "remove_from_cart", "purchase"];
const PURCHASE: usize = 3;

impl Done {
    async fn read(snapshot: &Snapshot, scope: &Scope, bought: &mut Bought) -> Result<Done, DatabaseError> {
        let kinds = kinds(snapshot, &KINDS).await?;
        let mut done = Done::default();
        let lists = &[List::Kind, List::Product, List::Buyer];
        let wanted = Wanted { numbers: &[], ids: &[], lists, edges: &[] };
        scan(snapshot, scope, wanted, |part| done.add(part, &kinds, bought)).await?;
        Ok(done)
    }

    fn add(&mut self, part: &Part, kinds: &[Option<i64>], bought: &mut Bought) {
        let (of_kinds, of_products) = (part.kinds(), part.products());
        let known: Vec<Option<usize>> =
            of_kinds.list.iter().map(|kind| kinds.iter().position(|known| *known == Some(*kind))).collect();
        // Places in [`KINDS`] and in the day's list of products.
        let what = |action| {
            let kind = known[of_kinds.place(action).checked_sub(1)?]?;
            Some((kind, of_products.place(action).checked_sub(1)?))
        };
        // Of each product of the day its place, and the last sessions that viewed it and put it into the cart.
        let mut places = vec![None; of_products.list.len()];
        let mut last = vec![[usize::MAX; 2]; of_products.list.len()];
        for &session in part.chosen() {
            for (kind, product) in part.actions(session).filter_map(what) {
                let (count, visits) = match kind {
                    0 => (Sum::Views, Some(Sum::Viewed)),
                    1 => (Sum::Adds, Some(Sum::Carted)),
                    2 => (Sum::Removes, None),
                    _ => continue,
                };
                let place = *places[product].get_or_insert_with(|| self.place(of_products.list[product]));
                self.count(count, place);
                let last = &mut last[product];
                if let Some(visits) = visits.filter(|_| last[kind] != session) {
                    last[kind] = session;
                    self.count(visits, place);
                    if last[1 - kind] == session {
                        self.count(Sum::ViewedCarted, place);
                    }
                }
            }
            if let Some(buyer) = part.buyer(session) {
                let done = part.actions(session).filter_map(what);
                let done: Vec<(usize, i64)> =
                    done.map(|(kind, product)| (kind, of_products.list[product])).collect();
                self.add_buyer(buyer, &done, bought);
            }
        }
    }

    /// Adds whether what a session with an order bought was viewed there, and put into the cart.
    fn add_buyer(&mut self, buyer: i64, done: &[(usize, i64)], bought: &mut Bought) {
        let did = |product| [0, 1].map(|kind| done.contains(&(kind, product)));
        for product in bought.of(buyer) {
            self.add_bought(product, did(product));
        }
        if !bought.unnamed.contains_key(&buyer) {
            return;
        }
        if done.iter().any(|(kind, _)| *kind == PURCHASE) {
            self.named.extend(done.iter().map(|(_, product)| ((buyer, *product), did(*product))));
        } else {
            bought.unnamed.remove(&buyer);
        }
    }

    fn add_bought(&mut self, product: i64, [viewed, carted]: [bool; 2]) {
        for (_, sum) in
            [(viewed, Sum::ViewedBought), (carted, Sum::CartedBought)].into_iter().filter(|(did, _)| *did)
        {
            let place = self.place(product);
            self.count(sum, place);
        }
    }

    fn place(&mut self, product: i64) -> usize {
        *self.known.entry(product).or_insert_with(|| {
            self.products.push(product);
            self.sums.iter_mut().for_each(|column| column.push(0));
            self.products.len() - 1
        })
    }

    fn count(&mut self, sum: Sum, place: usize) {
        self.sums[sum as usize][place] += 1;
    }
}

impl Product {
    fn read(row: &Row) -> Result<Product, tokio_postgres::Error> {
        Ok(Product {
            product_id: row.try_get("product_id")?,
            name: row.try_get("name")?,
            site: row.try_get("site")?,
            sums: Sums::read(row)?,
        })
    }
}

impl Sums {
    fn read(row: &Row) -> Result<Sums, tokio_postgres::Error> {
        let count = |column: &str| row.try_get::<_, i64>(column);
        let (viewed, carted) = (count("viewed")?, count("carted")?);
        Ok(Sums {
            views: count("views")?,
            cart_adds: count("cart_adds")?,
            cart_removes: count("cart_removes")?,
            purchases: count("purchases")?,
            quantity: row.try_get("quantity")?,
            revenue: row.try_get("revenue")?,
            view_to_cart_rate: percent(count("viewed_carted")?, viewed),
            cart_to_purchase_rate: percent(count("carted_bought")?, carted),
            view_to_purchase_rate: percent(count("viewed_bought")?, viewed),
        })
    }
}
