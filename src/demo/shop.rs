//! The sample shop: a list, product pages, a cart in a cookie, a checkout without a payment.
//!
//! It tells the proxy what happens by `X-Utm-Event`, as a real shop would; it knows nothing else of it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::goods::{CURRENCY, PRODUCTS, Product, find, money};

const EVENT: &str = "x-utm-event";
/// Product ids joined by dots.
const CART: &str = "cart";
const LONGEST_CART: usize = 30;
/// Thank-you pages are shown for this many orders back.
const KEPT_ORDERS: usize = 10_000;

type Orders = Arc<Mutex<OrderBook>>;

#[derive(Debug)]
struct OrderBook {
    next: u32,
    totals: BTreeMap<u32, u32>,
}

/// Serves the shop on a free loopback port until `shutdown`; its orders are numbered from `first_order`.
pub(super) async fn open(first_order: u32, shutdown: CancellationToken) -> std::io::Result<SocketAddr> {
    let orders: Orders = Arc::new(Mutex::new(OrderBook { next: first_order, totals: BTreeMap::new() }));
    let pages = Router::new()
        .route("/", get(home))
        .route("/product/{id}", get(product))
        .route("/cart", get(cart))
        .route("/cart/add", post(add_to_cart))
        .route("/checkout", get(checkout).post(place_order))
        .route("/thank-you/{order}", get(thank_you))
        .route("/style.css", get(style))
        .fallback(missing)
        .with_state(orders);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        let serving = axum::serve(listener, pages).with_graceful_shutdown(shutdown.cancelled_owned());
        if let Err(problem) = serving.await {
            tracing::error!(%problem, "the sample shop ended");
        }
    });
    Ok(address)
}

async fn home(headers: HeaderMap) -> Response {
    let mut body =
        String::from("<h1>Made of clay</h1><p>Pots and plates from a small workshop.</p><ul class=goods>");
    for Product { id, name, price, picture, .. } in &PRODUCTS {
        let _ = write!(
            body,
            "<li><a href=/product/{id}><span class=picture>{picture}</span><b>{name}</b><i>{price} ₴</i></a></li>"
        );
    }
    body.push_str("</ul>");
    page(StatusCode::OK, "Workshop", &headers, &body).into_response()
}

async fn product(Path(id): Path<u32>, headers: HeaderMap) -> Response {
    let Some(Product { name, price, picture, text, .. }) = find(id) else { return missing(headers).await };
    let body = format!(
        "<div class=one><span class=picture>{picture}</span><div><h1>{name}</h1><p>{text}</p><p><b>{price} ₴</b></p>\
         <form method=post action=/cart/add><input type=hidden name=product_id value={id}>\
         <button>Add to cart</button></form></div></div>"
    );
    let told = event("product_view", &[("product_id", &id.to_string()), ("product_name", name)]);
    (told, page(StatusCode::OK, name, &headers, &body)).into_response()
}

async fn add_to_cart(headers: HeaderMap, form: String) -> Response {
    let wanted = form.split('&').find_map(|pair| pair.strip_prefix("product_id=")?.parse().ok());
    let Some(product) = wanted.and_then(find) else { return missing(headers).await };
    let mut goods = cart_of(&headers);
    goods.push(product);
    goods.truncate(LONGEST_CART);
    let ids: Vec<String> = goods.iter().map(|product| product.id.to_string()).collect();
    let told = event(
        "add_to_cart",
        &[
            ("product_id", &product.id.to_string()),
            ("product_name", product.name),
            ("value", &money(total(&goods))),
            ("currency", CURRENCY),
        ],
    );
    let cookie = format!("{CART}={}; Path=/; HttpOnly; SameSite=Lax", ids.join("."));
    (StatusCode::SEE_OTHER, told, [(LOCATION, "/cart".to_owned()), (SET_COOKIE, cookie)]).into_response()
}

async fn cart(headers: HeaderMap) -> Response {
    let goods = cart_of(&headers);
    let mut body = String::from("<h1>Your cart</h1>");
    if goods.is_empty() {
        body.push_str("<p>Nothing in it yet. <a href=/>Look around</a></p>");
    } else {
        body.push_str(&table(&goods));
        body.push_str("<p><a class=button href=/checkout>To the checkout</a></p>");
    }
    page(StatusCode::OK, "Cart", &headers, &body).into_response()
}

async fn checkout(headers: HeaderMap) -> Response {
    let goods = cart_of(&headers);
    if goods.is_empty() {
        return (StatusCode::SEE_OTHER, [(LOCATION, "/cart")]).into_response();
    }
    let body = format!(
        "<h1>Checkout</h1>{}<form method=post action=/checkout><label>Name <input name=name value='A. Customer'>\
         </label><p>Nothing is sold here: no payment, no parcel.</p><button>Order</button></form>",
        table(&goods)
    );
    let told = event("initiate_checkout", &[("value", &money(total(&goods))), ("currency", CURRENCY)]);
    (told, page(StatusCode::OK, "Checkout", &headers, &body)).into_response()
}

async fn place_order(State(orders): State<Orders>, headers: HeaderMap) -> Response {
    let goods = cart_of(&headers);
    if goods.is_empty() {
        return (StatusCode::SEE_OTHER, [(LOCATION, "/cart")]).into_response();
    }
    let order = {
        let mut book = orders.lock().unwrap_or_else(PoisonError::into_inner);
        let order = book.next;
        book.next += 1;
        book.totals.insert(order, total(&goods));
        if book.totals.len() > KEPT_ORDERS {
            book.totals.pop_first();
        }
        order
    };
    let emptied = format!("{CART}=; Path=/; Max-Age=0");
    (StatusCode::SEE_OTHER, [(LOCATION, format!("/thank-you/{order}")), (SET_COOKIE, emptied)])
        .into_response()
}

async fn thank_you(State(orders): State<Orders>, Path(order): Path<u32>, headers: HeaderMap) -> Response {
    let total = orders.lock().unwrap_or_else(PoisonError::into_inner).totals.get(&order).copied();
    let Some(total) = total else { return missing(headers).await };
    let number = order.to_string();
    let told = event("purchase", &[("order_id", &number), ("value", &money(total)), ("currency", CURRENCY)]);
    let body = format!("<h1>Thank you!</h1><p>Your order <b>{number}</b> of {total} ₴ is being packed.</p>");
    (told, page(StatusCode::OK, "Thank you", &headers, &body)).into_response()
}

async fn missing(headers: HeaderMap) -> Response {
    page(
        StatusCode::NOT_FOUND,
        "Not found",
        &headers,
        "<h1>Not here</h1><p><a href=/>Back to the shop</a></p>",
    )
    .into_response()
}

async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css"), (axum::http::header::CACHE_CONTROL, "public, max-age=3600")], STYLE)
}

/// `X-Utm-Event` as `(name, value)`.
fn event(kind: &str, fields: &[(&str, &str)]) -> [(&'static str, String); 1] {
    let mut line = kind.to_owned();
    for (name, value) in fields {
        let encoded = utf8_percent_encode(value, NON_ALPHANUMERIC);
        let _ = write!(line, "; {name}={encoded}");
    }
    [(EVENT, line)]
}

fn cart_of(headers: &HeaderMap) -> Vec<&'static Product> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|field| field.to_str().ok());
    let mut pairs = cookies.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let ids = pairs.find(|(name, _)| *name == CART).map(|(_, value)| value).unwrap_or_default();
    ids.split('.').filter_map(|id| find(id.parse().ok()?)).take(LONGEST_CART).collect()
}

fn total(goods: &[&Product]) -> u32 {
    goods.iter().map(|product| product.price).sum()
}

fn table(goods: &[&Product]) -> String {
    let mut rows = String::new();
    for Product { name, price, picture, .. } in goods {
        let _ = write!(rows, "<tr><td>{picture} {name}<td>{price} ₴");
    }
    format!("<table>{rows}<tr><th>Together<th>{} ₴</table>", total(goods))
}

fn page(status: StatusCode, title: &str, headers: &HeaderMap, body: &str) -> impl IntoResponse + use<> {
    let in_cart = cart_of(headers).len();
    let text = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>\
         <title>{title} · Made of clay</title><link rel=stylesheet href=/style.css>\
         <header><a href=/>🏺 Made of clay</a><a href=/cart>Cart ({in_cart})</a></header><main>{body}</main>\
         <footer>A sample shop behind utm-dispatcher. Nothing is sold here.</footer></html>"
    );
    (status, [(CONTENT_TYPE, "text/html; charset=utf-8")], text)
}

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--accent:#b5562f}
body{margin:0 auto;max-width:62rem;padding:0 1rem;font:17px/1.5 system-ui,sans-serif}
header{display:flex;justify-content:space-between;padding:1rem 0;border-bottom:1px solid var(--line)}
header a{text-decoration:none;color:inherit;font-weight:600}
footer{margin:3rem 0 1rem;font-size:.8rem;opacity:.7}
.goods{display:grid;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));gap:1rem;list-style:none;padding:0}
.goods a{display:grid;gap:.3rem;padding:1rem;border:1px solid var(--line);border-radius:.6rem;text-decoration:none;color:inherit}
.goods a:hover{border-color:var(--accent)}
.picture{font-size:3.5rem}.one{display:flex;gap:2rem;align-items:center}.one .picture{font-size:8rem}
button,.button{background:var(--accent);color:#fff;border:0;border-radius:.4rem;padding:.6rem 1.2rem;font:inherit;text-decoration:none;cursor:pointer}
table{border-collapse:collapse;width:100%}td,th{padding:.4rem;border-bottom:1px solid var(--line);text-align:left}
";
