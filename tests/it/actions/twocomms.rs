//! A shop with the routes of TwoComms, its delivered rules, and a visit through all of them.

use serde_json::{Value, json};

use super::add_rules;
use crate::harness::app::{Running, app_config};
use crate::harness::{DEADLINE, Received, Reply, Upstream, eventually, postgres};

const AGENT: &str = "Host: shop.test\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0\r\n\
     Accept: text/html\r\nAccept-Language: uk\r\n";
const HTML: &str = "Content-Type: text/html; charset=utf-8";
const JSON: &str = "Content-Type: application/json";

/// What the shop's views answer; what they refuse has `?refused` behind it.
fn answer(request: &Received) -> Reply {
    let is_refused = request.target().ends_with("?refused");
    let path = request.target().split('?').next().unwrap();
    let path = path.strip_prefix("/ru").unwrap_or(path);
    match (request.method(), path) {
        (_, "/product/17/images/" | "/product/17/variants/") => Reply::with("200 OK", &[JSON], "[]"),
        ("GET", "/product/old/") => {
            Reply::with("301 Moved Permanently", &["Location: /product/old/red/"], "")
        }
        ("GET", path) if path.starts_with("/product/") => {
            Reply::with("200 OK", &[HTML], "<html><h1 class=title>Футболка &quot;Кіт&quot;</h1></html>")
        }
        (_, "/cart/add/") if is_refused => {
            Reply::with("200 OK", &[JSON], r#"{"ok": false, "error": "sold out"}"#)
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
        ("GET", "/cart/items/" | "/cart/summary/" | "/cart/count/" | "/survey/print-feedback/current/") => {
            Reply::with("200 OK", &[JSON], "{}")
        }
        (_, "/orders/create/") if is_refused => Reply::with("302 Found", &["Location: /cart/"], ""),
        (_, "/orders/create/") => Reply::with("302 Found", &["Location: /ru/orders/success/259/"], ""),
        (_, "/cart/monobank/create-invoice/") if is_refused => {
            Reply::with("200 OK", &[JSON], r#"{"success": false, "error": "empty"}"#)
        }
        (_, "/cart/monobank/create-invoice/") => Reply::with(
            "200 OK",
            &[JSON],
            r#"{"success": true, "invoice_url": "https://pay.mbnk.biz/x", "invoice_id": "inv260", "order_id": 260, "order_ref": "TWC-260"}"#,
        ),
        (_, "/cart/monobank/quick/") => Reply::with(
            "200 OK",
            &[JSON],
            r#"{"success": true, "invoice_id": "inv261", "order_id": 261, "order_ref": "TWC-261"}"#,
        ),
        (_, "/orders/success/260/") => Reply::with(
            "200 OK",
            &[HTML],
            r#"<html><div id="purchase-payload" data-order-id="260" data-order-number="TWC260" data-value="1499,00"
                data-currency="UAH" data-coupon="CAT" data-phone="0671234567"></div></html>"#,
        ),
        (_, "/orders/success-preview/") => Reply::with(
            "200 OK",
            &[HTML],
            r#"<html><div id="purchase-payload" data-order-id="1" data-value="1" data-currency="UAH"></div></html>"#,
        ),
        (_, "/orders/success/999/") => Reply::with("200 OK", &[HTML], "<html><h1>Замовлення</h1></html>"),
        (_, "/payments/monobank/return/") => {
            Reply::with("302 Found", &["Location: /orders/success/260/"], "")
        }
        (_, "/register/") => Reply::with("302 Found", &["Location: /profile/setup/"], ""),
        (_, "/login/" | "/logout/") => Reply::with("302 Found", &["Location: /"], ""),
        (_, "/accounts/ajax/login/") if is_refused => Reply::with("200 OK", &[JSON], r#"{"success": false}"#),
        ("GET", path) if path.starts_with("/media/") => {
            Reply::with("200 OK", &["Content-Type: image/jpeg"], "")
        }
        ("GET", path) if path.ends_with(".xml") => {
            Reply::with("200 OK", &["Content-Type: application/xml"], "<feed/>")
        }
        ("GET", "/robots.txt" | "/llms-full.txt" | "/healthz/" | "/0123abcd.txt") => {
            Reply::with("200 OK", &["Content-Type: text/plain"], "ok")
        }
        ("POST", _) => Reply::with("200 OK", &[JSON], r#"{"success": true, "ok": true}"#),
        _ => Reply::with("200 OK", &[HTML], "<html>page</html>"),
    }
}

/// What somebody does, what they send with it, and the actions that it is: every route of the shop.
const VISIT: &[(&str, &str, &str)] = &[
    ("GET /?utm_source=instagram&utm_medium=cpc&utm_campaign=cats", "", "page_view"),
    // Listings.
    ("GET /ru/catalog/", "", "page_view"),
    ("GET /catalog/tshirts/", "", "page_view"),
    ("GET /catalog/tshirts/black/", "", "page_view"),
    ("GET /catalog/theme/cats/", "", "page_view"),
    // Products; a view of one counts once, whatever its size and colour; an old address redirects.
    ("GET /ru/product/kit-xl/red/XL/", "", "page_view product_view"),
    ("GET /product/kit-xl/", "", "page_view"),
    ("GET /en/product/hoodie/black/XL/oversize/", "", "page_view product_view"),
    ("GET /product/cap/", "", "page_view product_view"),
    ("GET /product/old/?size=XL&color=red", "", ""),
    ("GET /product/17/images/", "", ""),
    ("GET /product/17/variants/", "", ""),
    ("GET /product/17/quick-view/", "", "page_view"),
    ("GET /search/?q=kit+380671234567&category=caps", "", "page_view search"),
    ("GET /search/", "", "page_view"),
    // The cart.
    ("POST /cart/add/", "product_id=17&size=XL&qty=1", "add_to_cart"),
    ("POST /cart/add/?refused", "product_id=0&size=XL&qty=1", ""),
    ("POST /ru/cart/update/", "cart_key=17:XL&qty=2", "update_cart"),
    ("POST /cart/remove/", "key=17:XL&product_id=17", "remove_from_cart"),
    ("POST /cart/clean/", "", "remove_from_cart"),
    ("GET /cart/", "", "page_view"),
    ("GET /cart/items/", "", ""),
    ("GET /cart/summary/", "", ""),
    ("GET /cart/count/", "", ""),
    // The checkout.
    ("POST /checkout/capture/", "name=Anna&phone=0671234567&email=anna@example.com", "initiate_checkout"),
    ("POST /cart/delivery/cities/", "q=Ky", "shipping_step"),
    ("POST /cart/delivery/warehouses/", "city=Kyiv", "shipping_step"),
    ("POST /cart/apply-promo/", "promo_code=CAT", "apply_coupon"),
    ("POST /cart/remove-promo/", "", "remove_coupon"),
    // Orders.
    ("POST /orders/create/?refused", "full_name=", ""),
    ("POST /orders/create/", "full_name=Anna&phone=0671234567&pay_type=cod", "purchase"),
    ("POST /cart/monobank/create-invoice/?refused", "", ""),
    ("POST /cart/monobank/create-invoice/", "pay_type=online_full", "purchase"),
    ("POST /cart/monobank/quick/", "product_id=17", "purchase"),
    ("GET /payments/monobank/return/?invoiceId=inv260", "", "payment_return"),
    ("GET /ru/orders/success/260/", "", "page_view purchase"),
    ("GET /orders/success/999/", "", "page_view"),
    ("GET /orders/success-preview/", "", "page_view"),
    // Who signs in or up.
    ("POST /register/", "email=anna@example.com", "registration"),
    ("POST /login/", "email=anna@example.com", "sign_in"),
    ("POST /logout/", "", ""),
    ("POST /accounts/ajax/login/?refused", "email=anna@example.com", ""),
    ("POST /accounts/ajax/login/", "email=anna@example.com", "sign_in"),
    ("POST /accounts/ajax/register/", "email=anna@example.com", "registration"),
    ("POST /accounts/telegram-login/complete/", "", "sign_in"),
    // Printing to order.
    ("GET /custom-print/", "", "page_view"),
    ("POST /custom-print/lead/", "phone=0671234567", "lead"),
    ("POST /custom-print/add-to-cart/", "product_id=18", "add_to_cart"),
    ("POST /custom-print/submit-review/", "text=fine", "review"),
    ("POST /custom-print/safe-exit/", "", "custom_print"),
    // The survey.
    ("POST /survey/print-feedback/start/", "", "survey"),
    ("GET /survey/print-feedback/current/", "", ""),
    ("POST /survey/print-feedback/answer/", "answer=5", "survey"),
    ("POST /survey/print-feedback/back/", "", "survey"),
    ("POST /survey/print-feedback/close/", "", "survey"),
    ("POST /survey/print-feedback/complete/", "", "survey"),
    ("POST /survey/print-feedback/dismiss/", "", "survey"),
    // Other leads.
    ("POST /cart/contact-manager/", "phone=0671234567", "lead"),
    ("POST /wholesale/order/", "phone=0671234567", "lead"),
    ("POST /reviews/add/17/", "text=fine", "review"),
    ("POST /favorites/toggle/17/", "", "favorite"),
    ("POST /push/subscribe/", "", "push_subscribe"),
    // Beacons; what the page says of orders is not believed.
    ("POST /api/track-event/", r#"{"event_type": "custom_print_step_enter"}"#, "custom_print"),
    ("POST /api/track-event/", r#"{"event_type": "purchase", "order_id": 1, "cart_value": 99999}"#, ""),
    ("POST /api/rum/", "{}", ""),
    ("POST /csp-report/", "{}", ""),
    // Staff.
    ("GET /admin-panel/?section=dispatcher", "", ""),
    ("GET /ru/admin/orders/", "", ""),
    ("POST /api/admin/analytics/", "{}", ""),
    // What machines ask for.
    ("GET /google-feed.xml", "", ""),
    ("GET /sitemap-products.xml", "", ""),
    ("GET /robots.txt", "", ""),
    ("GET /llms-full.txt", "", ""),
    ("GET /0123abcd.txt", "", ""),
    ("GET /sw.js", "", ""),
    ("GET /static/shop.css", "", ""),
    ("GET /media/cat.jpg", "", ""),
    ("GET /healthz/", "", ""),
];

/// A type of action and the path on which it was.
type Seen = (String, String);

fn expected() -> Vec<Seen> {
    let mut expected: Vec<Seen> = VISIT
        .iter()
        .flat_map(|(request, _, kinds)| {
            let path = request.split([' ', '?']).nth(1).unwrap();
            kinds.split_whitespace().map(move |kind| (path.to_owned(), kind.to_owned()))
        })
        .collect();
    expected.sort();
    expected
}

async fn visit(app: &Running) {
    let mut client = app.connect().await;
    let mut cookie = String::new();
    for (request, body, _) in VISIT {
        let length = body.len();
        let kind =
            if body.starts_with('{') { "application/json" } else { "application/x-www-form-urlencoded" };
        client
            .send(format!(
                "{request} HTTP/1.1\r\n{AGENT}{cookie}Origin: http://shop.test\r\n\
                 Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
            ))
            .await;
        let answer = client.answer().await;
        if let Some(line) = answer.value("set-cookie") {
            cookie = format!("Cookie: {}\r\n", line.split(';').next().unwrap());
        }
    }
    for (invoice, status) in [("inv260", "success"), ("inv261", "failure")] {
        let hook = format!(r#"{{"invoiceId": "{invoice}", "status": "{status}", "amount": 149900}}"#);
        let head =
            "POST /payments/monobank/webhook/ HTTP/1.1\r\nHost: shop.test\r\nContent-Type: application/json";
        client.send(format!("{head}\r\nContent-Length: {}\r\n\r\n{hook}", hook.len())).await;
        client.answer().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_of_the_shop_is_seen_as_what_it_is() {
    let database = postgres::migrated().await;
    let upstream = Upstream::start(answer).await;
    let files = tempfile::tempdir().unwrap();
    let mut config = app_config(upstream.address(), &database.url, files.path());
    config.orders.phone_country = Some("UA".to_owned());
    add_rules(&mut config, "[tracking]\npresets = [\"twocomms\"]\n");
    let app = Running::start(config).await;
    visit(&app).await;

    let expected = expected();
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
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut seen: Vec<Seen> =
        actions.iter().map(|action| (text(&action["path"]), text(&action["type"]))).collect();
    seen.sort();
    assert_eq!(seen, expected, "{actions:#?}");
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

/// All orders are the visitor's; the one paid by card has the value that its page says, and is paid.
async fn orders_are_joined(app: &Running) {
    for (order, value, paid) in
        [("259", Value::Null, "0"), ("260", json!("1499.00"), "1499"), ("261", Value::Null, "0")]
    {
        let what = format!("order {order} has the value {value} and {paid} paid");
        let explained = eventually(&what, DEADLINE, || async {
            let explained = app.report(&format!("orders/{order}/explain")).await?;
            let seen = &explained["results"]["order"];
            let is_paid = seen["paid"].as_str().unwrap_or("0").trim_end_matches(".00") == paid;
            (is_paid && seen["gross"] == value).then_some(explained)
        })
        .await;
        assert!(explained.to_string().contains("cats"), "credited to its campaign: {explained:#}");
    }
    let orders = app.report("orders?period=today").await.unwrap();
    assert_eq!(orders["results"].as_array().unwrap().len(), 3, "none that a page or a beacon made up");
}
