//! A shop with the routes of TwoComms, its delivered rules, and a visit through all of them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::add_rules;
use crate::harness::app::{Running, app_config};
use crate::harness::{DEADLINE, Received, Reply, Upstream, eventually, postgres};

const AGENT: &str = "Host: shop.test\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0\r\n\
     Accept: text/html\r\nAccept-Language: uk\r\n";
const HTML: &str = "Content-Type: text/html; charset=utf-8";
const JSON: &str = "Content-Type: application/json";

/// What the shop's views answer.
fn answer(request: &Received) -> Reply {
    let path = request.target().split('?').next().unwrap();
    let path = path.strip_prefix("/ru").unwrap_or(path);
    match (request.method(), path) {
        (_, "/product/17/images/") => Reply::with("200 OK", &[JSON], "[]"),
        ("GET", path) if path.starts_with("/product/") => {
            Reply::with("200 OK", &[HTML], "<html><h1 class=title>Футболка &quot;Кіт&quot;</h1></html>")
        }
        (_, "/cart/add/") => Reply::with(
            "200 OK",
            &[JSON],
            r#"{"ok": true, "count": 1, "cart_total": 900.0, "item": {"product_id": 17, "offer_id": "TC-0017-XL", "quantity": 1,
                "currency": "UAH", "product_title": "Футболка"}}"#,
        ),
        (_, "/cart/update/") => Reply::with("200 OK", &[JSON], r#"{"ok": true, "total": 1800}"#),
        (_, "/cart/remove/") => Reply::with("200 OK", &[JSON], r#"{"ok": true, "count": 0, "total": 0}"#),
        (_, "/cart/clean/") => Reply::with("302 Found", &["Location: /cart/"], ""),
        (_, "/orders/create/") if request.body.ends_with(b"full_name=") => {
            Reply::with("302 Found", &["Location: /cart/"], "")
        }
        (_, "/orders/create/") => Reply::with("302 Found", &["Location: /ru/orders/success/259/"], ""),
        (_, "/cart/monobank/create-invoice/") if request.body.is_empty() => {
            Reply::with("200 OK", &[JSON], r#"{"success": false, "error": "empty"}"#)
        }
        (_, "/cart/monobank/create-invoice/") => Reply::with(
            "200 OK",
            &[JSON],
            r#"{"success": true, "invoice_url": "https://pay.mbnk.biz/x", "invoice_id": "inv260", "order_id": 260, "order_ref": "TWC-260"}"#,
        ),
        (_, "/orders/success/260/") => Reply::with(
            "200 OK",
            &[HTML],
            r#"<html><div id="purchase-payload" data-order-id="260" data-order-number="TWC260" data-value="1499,00"
                data-currency="UAH" data-coupon="CAT"></div></html>"#,
        ),
        (_, "/orders/success/999/") => Reply::with("200 OK", &[HTML], "<html><h1>Замовлення</h1></html>"),
        (_, "/payments/monobank/return/") => {
            Reply::with("302 Found", &["Location: /orders/success/260/"], "")
        }
        (_, "/register/") => Reply::with("302 Found", &["Location: /profile/setup/"], ""),
        (_, "/login/") => Reply::with("302 Found", &["Location: /"], ""),
        (_, "/accounts/ajax/login/") => Reply::with("200 OK", &[JSON], r#"{"success": false}"#),
        (_, "/accounts/ajax/register/") => Reply::with("200 OK", &[JSON], r#"{"success": true}"#),
        ("POST", _) => Reply::with("200 OK", &[JSON], r#"{"success": true, "ok": true}"#),
        _ => Reply::with("200 OK", &[HTML], "<html>page</html>"),
    }
}

/// What somebody does, and the actions that it is.
const VISIT: &[(&str, &str, &str)] = &[
    ("GET /?utm_source=instagram&utm_medium=cpc&utm_campaign=cats", "", "page_view"),
    ("GET /ru/product/kit-xl/red/XL/", "", "page_view product_view"),
    ("GET /product/17/images/", "", ""),
    ("GET /search/?q=kit+380671234567", "", "page_view search"),
    ("POST /cart/add/", "product_id=17&size=XL&qty=1", "add_to_cart"),
    ("POST /ru/cart/update/", "cart_key=17:XL&qty=2", "update_cart"),
    ("POST /cart/remove/", "key=17:XL&product_id=17", "remove_from_cart"),
    ("POST /cart/clean/", "", "remove_from_cart"),
    ("GET /cart/", "", "page_view"),
    ("POST /checkout/capture/", "name=Anna&phone=0671234567&email=anna@example.com", "initiate_checkout"),
    ("POST /cart/delivery/cities/", "q=Ky", "shipping_step"),
    ("POST /cart/apply-promo/", "promo_code=CAT", "apply_coupon"),
    ("POST /orders/create/", "full_name=", ""),
    ("POST /orders/create/", "full_name=Anna&phone=0671234567&pay_type=cod", "purchase"),
    ("POST /cart/monobank/create-invoice/", "", ""),
    ("POST /cart/monobank/create-invoice/", "pay_type=online_full", "purchase"),
    ("GET /payments/monobank/return/?invoiceId=inv260", "", "payment_return"),
    ("GET /ru/orders/success/260/", "", "page_view purchase"),
    ("GET /orders/success/999/", "", "page_view"),
    ("POST /register/", "email=anna@example.com", "registration"),
    ("POST /login/", "email=anna@example.com", "sign_in"),
    ("POST /accounts/ajax/login/", "email=anna@example.com", ""),
    ("POST /accounts/ajax/register/", "email=anna@example.com", "registration"),
    ("POST /custom-print/lead/", "phone=0671234567", "lead"),
    ("POST /favorites/toggle/17/", "", "favorite"),
    ("POST /survey/print-feedback/start/", "", "survey"),
    ("GET /admin-panel/?section=dispatcher", "", ""),
];

async fn visit(app: &Running) {
    let mut client = app.connect().await;
    let mut cookie = String::new();
    for (request, body, _) in VISIT {
        let length = body.len();
        client
            .send(format!(
                "{request} HTTP/1.1\r\n{AGENT}{cookie}Origin: http://shop.test\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{body}"
            ))
            .await;
        let answer = client.answer().await;
        if let Some(line) = answer.value("set-cookie") {
            cookie = format!("Cookie: {}\r\n", line.split(';').next().unwrap());
        }
    }
    let hook = r#"{"invoiceId": "inv260", "status": "success", "amount": 149900}"#;
    let head =
        "POST /payments/monobank/webhook/ HTTP/1.1\r\nHost: shop.test\r\nContent-Type: application/json";
    client.send(format!("{head}\r\nContent-Length: {}\r\n\r\n{hook}", hook.len())).await;
    client.answer().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_of_the_shop_is_seen_as_what_it_is() {
    let database = postgres::database().await;
    let upstream = Upstream::start(answer).await;
    let files = tempfile::tempdir().unwrap();
    let mut config = app_config(upstream.address(), &database.url, files.path());
    config.orders.phone_country = Some("UA".to_owned());
    add_rules(&mut config, "[tracking]\npresets = [\"twocomms\"]\n");
    let app = Running::start(config).await;
    visit(&app).await;

    let expected: Vec<&str> = VISIT.iter().flat_map(|(_, _, kinds)| kinds.split_whitespace()).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    expected.iter().for_each(|kind| *counts.entry(kind).or_default() += 1);
    let sessions = eventually("the whole visit is there", DEADLINE, || async {
        let sessions = app.report("sessions?period=today").await?;
        sessions.pointer("/results/0/session_id").is_some().then_some(sessions)
    })
    .await;
    let id = sessions["results"][0]["session_id"].as_str().unwrap().to_owned();
    let story = eventually("every action is there", DEADLINE, || async {
        let story = app.report(&format!("sessions/{id}")).await?;
        let actions = story.pointer("/results/actions")?.as_array()?;
        (actions.len() >= expected.len()).then(|| story.clone())
    })
    .await;
    let actions = story["results"]["actions"].as_array().unwrap();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    actions.iter().for_each(|action| *seen.entry(action["type"].as_str().unwrap()).or_default() += 1);
    assert_eq!(seen, counts, "{actions:#?}");
    assert_eq!(sessions["results"].as_array().unwrap().len(), 1, "one visit");

    let of = |kind: &str| actions.iter().find(|action| action["type"] == kind).unwrap();
    let view = of("product_view");
    assert_eq!(view["product_id"], "kit-xl");
    let added = of("add_to_cart");
    assert_eq!(
        (&added["product_id"], &added["value"], &added["currency"], &added["points"]),
        (&json!("17"), &json!("900.00"), &json!("UAH"), &json!(10))
    );
    assert_eq!(added["properties"]["size"], "XL");
    assert_eq!(of("search")["properties"]["query"], "kit {phone}");
    assert_eq!(of("apply_coupon")["properties"]["coupon"], "CAT");
    let text = story.to_string();
    for private in ["0671234567", "anna@example.com", "Anna"] {
        assert!(!text.contains(private), "{private} is nowhere");
    }
    orders_are_joined(&app).await;
    app.stop().await;
}

/// Both orders are the visitor's; the one paid by card has the value that its page says.
async fn orders_are_joined(app: &Running) {
    for (order, value) in [("259", Value::Null), ("260", json!("1499.00"))] {
        let order = app.report(&format!("orders/{order}/explain")).await.unwrap();
        let results = &order["results"];
        assert_eq!(results.pointer("/order/gross").unwrap_or(&Value::Null), &value, "{order:#}");
        assert!(results.to_string().contains("cats"), "credited to its campaign: {order:#}");
    }
}
