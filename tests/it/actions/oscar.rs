//! The delivered rules for django-oscar, on what its own templates (4.2) say. `./dev real-shop` has the real shop.

use super::with_rules;
use crate::harness::{Reply, Upstream, proxy};

const HTML: &str = "Content-Type: text/html; charset=utf-8";

const THANKS: &str = r#"<html><head><title>Order 100012: confirmation | Made of clay</title></head><body>
<div id="top_page"><a href="/accounts/">Account</a></div>
<p class="lead">
    Your order has been placed and a confirmation email has been sent - your order number is
    <strong>100012</strong>.
</p>
<div class="basket-items"><p class="price_color">₴380.00</p></div>
<div id="basket_totals"><table class="table table-sm">
<tr class="basket-items"><th class="total">Basket total</th><th class="total text-right">₴1,360.50</th></tr>
<tr><td class="total"><h3>Order total</h3></td><td class="total text-right"><h3 class="price_color">₴1,400.50</h3></td></tr>
</table></div></body></html>"#;

#[tokio::test(flavor = "multi_thread")]
async fn oscars_own_pages_tell_checkouts_and_orders() {
    let upstream = Upstream::start(|request| match (request.target(), request.value("cookie")) {
        ("/checkout/", Some("signed-in=1")) => {
            Reply::with("302 Found", &["Location: /checkout/shipping-address/"], "")
        }
        ("/checkout/", Some("empty=1")) => Reply::with("302 Found", &["Location: /basket/"], ""),
        ("/checkout/thank-you/", Some("none=1")) => Reply::with("302 Found", &["Location: /catalogue/"], ""),
        ("/checkout/thank-you/", _) => Reply::with("200 OK", &[HTML], THANKS),
        _ => Reply::with("200 OK", &[HTML], "<html><p class=lead>Welcome</p></html>"),
    })
    .await;
    let proxy = proxy(with_rules(upstream.address(), "[tracking]\npresets = [\"django-oscar\"]\n"));
    let mut client = proxy.connect().await;
    for (target, cookie, expected) in [
        ("/checkout/", "", Some("initiate_checkout")),
        ("/checkout/", "signed-in=1", Some("initiate_checkout")),
        ("/checkout/", "empty=1", None),
        ("/checkout/shipping-address/", "", None),
        ("/checkout/thank-you/", "", Some("purchase 100012 1400.50")),
        ("/checkout/thank-you/", "none=1", None),
        ("/catalogue/clay-teapot_1/", "", Some("product_view")),
        ("/catalogue/category/pots_3/", "", None),
    ] {
        let before = proxy.hits().iter().map(|hit| hit.actions.len()).sum();
        let agent = "Host: shop.test\r\nUser-Agent: Mozilla/5.0 (X11) Firefox/120.0\r\nAccept: text/html";
        client.send(format!("GET {target} HTTP/1.1\r\n{agent}\r\nCookie: {cookie}\r\n\r\n")).await;
        client.answer().await;
        let hits = proxy.hits();
        let shown: Vec<String> = hits
            .iter()
            .flat_map(|hit| &hit.actions)
            .skip(before)
            .map(|action| {
                let order = action.order_id.as_ref().map(|order| format!(" {order}")).unwrap_or_default();
                let value = action.value.map(|value| format!(" {value:.2}")).unwrap_or_default();
                format!("{}{order}{value}", action.kind)
            })
            .collect();
        assert_eq!(shown, expected.into_iter().collect::<Vec<_>>(), "{target} {cookie}");
    }
}
