//! Which rules fire, and what they take from an exchange.

use utm_dispatcher::hit::{CustomerKeyKind, Hit};

use super::with_rules;
use crate::harness::{Client, Proxy, Reply, Upstream, proxy};

const AGENT: &str = "Host: shop.test\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0\r\n";

async fn shop(rules: &str) -> (Upstream, Proxy) {
    let upstream = Upstream::start(|request| match request.target().split('?').next().unwrap() {
        "/order" | "/uk/order" => Reply::with("302 Found", &["Location: /uk/thanks/A-17/?x=1"], ""),
        "/refused" => Reply::with("302 Found", &["Location: /cart/"], ""),
        "/json" => Reply::with(
            "200 OK",
            &["Content-Type: application/json", "X-Total: 1 499,50 ₴"],
            r#"{"ok": true, "item": {"id": 17, "name": "Red  shirt"}, "list": [{"a/b": "x"}]}"#,
        ),
        "/page" => Reply::with(
            "200 OK",
            &["Content-Type: text/html; charset=utf-8"],
            "<html><h1>  </h1><h1>Red <i>shirt</i></h1><div id=p data-total='$1,499.50' data-none></div></html>",
        ),
        "/data" => Reply::with("200 OK", &["Content-Type: application/json"], "{}"),
        "/missing" => Reply::with("404 Not Found", &["Content-Type: text/html"], "<h1>no</h1>"),
        _ => Reply::ok("ok"),
    })
    .await;
    let proxy = proxy(with_rules(upstream.address(), rules));
    (upstream, proxy)
}

async fn post(client: &mut Client, target: &str, content_type: &str, body: &str) {
    let length = body.len();
    client
        .send(format!(
            "POST {target} HTTP/1.1\r\n{AGENT}Origin: http://shop.test\r\nCookie: currency=uah\r\nContent-Type: {content_type}\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        ))
        .await;
    client.answer().await;
}

async fn get(client: &mut Client, target: &str, more: &str) -> u16 {
    client.send(format!("GET {target} HTTP/1.1\r\n{AGENT}{more}\r\n")).await;
    client.answer().await.status()
}

fn shown(hits: &[Hit<'_>]) -> Vec<String> {
    let actions = hits.iter().flat_map(|hit| &hit.actions);
    actions
        .map(|action| {
            let texts = [
                ("product", &action.product_id),
                ("name", &action.product_name),
                ("currency", &action.currency),
                ("order", &action.order_id),
                ("number", &action.order_number),
                ("reference", &action.reference),
            ];
            let mut parts = vec![action.kind.to_string()];
            parts.extend(
                texts.into_iter().filter_map(|(name, text)| Some(format!("{name}={}", text.as_ref()?))),
            );
            parts.extend(action.value.map(|value| format!("value={}", value.normalize())));
            parts.extend(action.properties.iter().map(|(name, value)| format!("{name}={value}")));
            parts.extend(action.customer.iter().map(|(kind, _)| format!("{kind:?}")));
            parts.join(" ")
        })
        .collect()
}

const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test(flavor = "multi_thread")]
async fn every_source_has_its_value() {
    let (_upstream, proxy) = shop(
        r##"
[[action]]
type = "add_to_cart"
path = "/json"
method = "POST"
product_id = "response_json:/item/id"
product_name = "response_json:/item/name"
value = "response_header:x-total"
currency = "cookie:currency"
properties = ["size = form:size", "pick = query:pick", "agent = header:content-type", "deep = response_json:/list/0/a~1b", "none = json:/x"]
[[action]]
type = "wish"
path = "/wish/{shop}/*"
product_id = "json:/product/0"
properties = ["shop = path:shop", "fixed = text:yes"]
[[action]]
type = "product_view"
path = "/page"
product_name = "response_html:h1"
value = ["response_html:#p@data-none", "response_html:#p@data-total"]
"##,
    )
    .await;
    let mut client = proxy.connect().await;
    post(&mut client, "/json?pick=a%20b", FORM, "size=XL&note=x").await;
    let multipart = "--b\r\nContent-Disposition: form-data; name=\"size\"\r\n\r\nM\r\n--b--\r\n";
    post(&mut client, "/json", "multipart/form-data; boundary=b", multipart).await;
    post(&mut client, "/wish/kyiv+1/a/b/", "application/json", r#"{"product": ["p%31"]}"#).await;
    get(&mut client, "/page", "").await;
    assert_eq!(
        shown(&proxy.hits()),
        [
            "add_to_cart product=17 name=Red  shirt currency=UAH value=1499.5 size=XL pick=a b agent=application/x-www-form-urlencoded deep=x",
            "add_to_cart product=17 name=Red  shirt currency=UAH value=1499.5 size=M agent=multipart/form-data; boundary=b deep=x",
            "wish product=p%31 shop=kyiv+1 fixed=yes",
            "product_view name=Red shirt value=1499.5",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_json_keep_their_digits() {
    let (_upstream, proxy) = shop(
        "[[action]]\ntype = \"purchase\"\npath = \"/hook\"\norder_id = \"json:/order/id\"\nvalue = \"json:/total\"\n\
         properties = [\"rate = json:/rate\"]\n",
    )
    .await;
    let mut client = proxy.connect().await;
    for body in [
        r#"{"order": {"id": 20261127194411382001}, "total": 10.50, "rate": 1e400}"#,
        "\u{feff}{\"order\": {\"id\": 20261127194411382002}, \"total\": 1.0E3, \"rate\": 1.10}",
    ] {
        post(&mut client, "/hook", "application/json", body).await;
    }
    assert_eq!(
        shown(&proxy.hits()),
        [
            "purchase order=20261127194411382001 value=10.5 rate=1e400",
            "purchase order=20261127194411382002 value=1000 rate=1.10",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_names_its_order_and_one_that_fails_is_none() {
    let (_upstream, proxy) = shop(
        r#"
[[action]]
type = "purchase"
path = ["/order", "/refused"]
location = "/thanks/{id}/"
order_id = "location:{id}"
customer = ["form:phone", "email = form:mail", "form:name"]
[tracking]
locale_prefixes = ["uk"]
"#,
    )
    .await;
    let mut client = proxy.connect().await;
    let body = "phone=%2B380671234567&mail=Anna%40example.com&name=Anna";
    post(&mut client, "/uk/order", FORM, body).await;
    post(&mut client, "/refused", FORM, body).await;
    let hits = proxy.hits();
    assert_eq!(shown(&hits), ["purchase order=A-17 Phone Email"]);
    let customer = &hits.iter().find_map(|hit| hit.actions.first()).unwrap().customer;
    assert_eq!(customer[0].0, CustomerKeyKind::Phone);
    assert!(customer.iter().all(|(_, hash)| hash != &[0; 16]));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_products_name_nobody_and_orders_cost_nothing_or_something() {
    let (_upstream, proxy) = shop(
        r#"
[[action]]
type = "purchase"
path = "/json"
order_id = "query:order"
value = "query:total"
product_name = "query:name"
[[action]]
type = "remove_from_cart"
path = "/data"
value = "query:total"
"#,
    )
    .await;
    let mut client = proxy.connect().await;
    get(&mut client, "/json?order=7&total=-5&name=Gift+for+anna%40example.com", "").await;
    get(&mut client, "/data?total=-5", "").await;
    assert_eq!(
        shown(&proxy.hits()),
        ["purchase name=Gift for {email} order=7 value=-5", "remove_from_cart value=-5"]
    );
    assert_eq!(
        proxy
            .hits()
            .iter()
            .flat_map(|hit| &hit.actions)
            .map(|action| action.value.is_some())
            .collect::<Vec<_>>(),
        [false, true]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_decide_and_the_first_rule_of_a_type_counts() {
    let (_upstream, proxy) = shop(
        r#"
[[action]]
type = "search"
path = "/json"
when = ["query:q", "!query:page", "response_json:/ok = true"]
properties = ["query = query:q", "rule = text:first"]
[[action]]
type = "search"
path = "/*"
when = "query:q"
status = ["2xx", "404"]
properties = ["query = query:q", "rule = text:second"]
[[action]]
type = "lead"
path = "/json"
when = "response_json:/ok = false"
"#,
    )
    .await;
    let mut client = proxy.connect().await;
    for target in ["/json", "/json?q=a", "/json?q=b&page=2", "/missing?q=anna@example.com", "/order?q=d"] {
        get(&mut client, target, "").await;
    }
    assert_eq!(
        shown(&proxy.hits()),
        ["search query=a rule=first", "search query=b rule=second", "search query={email} rule=second"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_are_loaded_as_data_are_page_views_where_a_rule_says_so() {
    let (_upstream, proxy) = shop(
        "[[action]]\ntype = \"page_view\"\nmethod = \"GET\"\npath = \"/data/*\"\nwhen = \"query:page\"\n",
    )
    .await;
    let mut client = proxy.connect().await;
    let data = "Accept: application/json\r\n";
    for (target, more) in [
        ("/data?page=1", data.to_owned()),
        ("/data", data.to_owned()),
        ("/other?page=1", data.to_owned()),
        ("/data?page=2", format!("{data}Sec-Purpose: prefetch\r\n")),
        ("/data?page=3", format!("{data}Sec-Fetch-Mode: cors\r\n")),
    ] {
        get(&mut client, target, &more).await;
    }
    let hits = proxy.hits();
    assert_eq!(hits.iter().filter(|hit| hit.page_view).count(), 2);
    assert_eq!(shown(&hits), [""; 0]);
}

/// A bank is no visitor, whatever it sends.
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_tells_of_an_order_and_is_nobody() {
    let (_upstream, proxy) = shop(
        "[[action]]\ntype = \"payment\"\npath = \"/hook\"\nwebhook = true\nwhen = \"json:/status = paid\"\n\
         order_id = \"json:/order\"\nreference = \"json:/invoice\"\nvalue = \"json:/amount\"\n",
    )
    .await;
    let mut client = proxy.connect().await;
    for status in ["paid", "failed"] {
        let body = format!(r#"{{"status": "{status}", "order": 17, "invoice": "i1", "amount": 12.5}}"#);
        post(&mut client, "/hook", "application/json", &body).await;
    }
    let hits = proxy.hits();
    assert_eq!(shown(&hits), ["payment order=17 reference=i1 value=12.5"]);
    assert!(hits.iter().all(|hit| hit.identity.is_none() && hit.user_agent.is_empty()));
}

/// What is known of nobody is nobody's.
#[tokio::test(flavor = "multi_thread")]
async fn of_who_denies_being_known_only_the_order_is_kept() {
    let (_upstream, proxy) = shop(
        "[[action]]\ntype = \"purchase\"\npath = \"/json\"\norder_id = \"response_json:/item/id\"\nproduct_id = \"text:p\"\n\
         customer = \"text:anna@example.com\"\nproperties = [\"a = text:b\"]\n[[action]]\ntype = \"lead\"\npath = \"/json\"\n",
    )
    .await;
    get(&mut proxy.connect().await, "/json", "Sec-GPC: 1\r\n").await;
    let hits = proxy.hits();
    assert_eq!(shown(&hits), ["purchase order=17"]);
    assert!(hits.iter().all(|hit| hit.denied && hit.identity.is_none() && hit.path.is_empty()));
}

/// Two that tell of the same: the shop knows better.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_shop_says_itself_stands_for_what_a_rule_would() {
    let upstream = Upstream::start(|_| {
        Reply::with(
            "200 OK",
            &["X-Utm-Event: purchase; order_id=1; value=5", "Content-Type: application/json"],
            "{\"id\": 1}",
        )
    })
    .await;
    let rules = "[[action]]\ntype = \"purchase\"\npath = \"/a\"\norder_id = \"response_json:/id\"\n[[action]]\ntype = \"purchase\"\npath = \"/b\"\norder_id = \"text:1\"\n";
    let mut config = with_rules(upstream.address(), rules);
    config.upstreams[0].trust_events = true;
    let proxy = proxy(config);
    for target in ["/a", "/b"] {
        get(&mut proxy.connect().await, target, "").await;
    }
    assert_eq!(shown(&proxy.hits()), ["purchase order=1 value=5"; 2]);
}
