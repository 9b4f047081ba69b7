//! `products`: how often each was seen, put into the cart and bought. Rows and `other` add up to `totals`.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::stats::AppState;
use crate::stats::answer::{Answer, ListMeta};
use crate::stats::csv;
use crate::stats::cursor::{decode_rank, encode_rank};
use crate::stats::database::DatabaseError;
use crate::stats::params::{Accepts, Format};
use crate::stats::problem::StatsError;
use crate::stats::ratio::percent;
use crate::stats::scope::{Money, Scope};

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
    let (limit, offset) = (i64::from(params.limit), i64::from(passed));
    let mut parameters = scope.parameters();
    parameters.extend(money.parameters());
    parameters.push((&params.sort.column, Type::TEXT));
    parameters.push((&params.sort.ascending, Type::BOOL));
    parameters.push((&offset, Type::INT8));
    parameters.push((&limit, Type::INT8));
    let rows = snapshot.rows(include_str!("sql/products.sql"), &parameters).await?;
    let freshness = snapshot.conclude().await?;
    let [products @ .., other, totals] = rows.as_slice() else { return Err(DatabaseError::Failed.into()) };
    let products =
        products.iter().map(Product::read).collect::<Result<Vec<_>, _>>().map_err(DatabaseError::from)?;
    if params.format == Format::Csv {
        return Ok(csv::attachment("products", &products));
    }
    let given = passed.saturating_add(u32::try_from(products.len()).unwrap_or(u32::MAX));
    let count = |column| totals.try_get::<_, i64>(column).map_err(DatabaseError::from);
    let (all, left_out) = (count("products")?, count("left_out")?);
    let list = ListMeta {
        totals: Sums::read(totals).map_err(DatabaseError::from)?,
        other: Some(Sums::read(other).map_err(DatabaseError::from)?),
        next_cursor: (i64::from(given) < all).then(|| encode_rank(given)),
    };
    Ok(Answer::of_window(freshness, &params, products)
        .with_money(&params, money.currency(), left_out)
        .with_list(&params, list)
        .into_response())
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
