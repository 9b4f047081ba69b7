//! Orders that rules see, beside what the shop and its bank say of them.

use serde_json::{Value, json};

use super::add_rules;
use crate::harness::app::{Running, app_config};
use crate::harness::program::Program;
use crate::harness::{Client, DEADLINE, Reply, Upstream, eventually, postgres};

const AGENT: &str = "Host: shop.test\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0\r\n\
     Accept: text/html\r\nAccept-Language: uk\r\n";

const RULES: &str = r##"
[[action]]
type = "add_to_cart"
path = "/add"
method = "POST"
[[action]]
type = "purchase"
path = "/invoice"
method = "POST"
order_id = "response_json:/order"
reference = "response_json:/invoice"
[[action]]
type = "purchase"
path = "/thanks/{id}"
method = "GET"
order_id = "path:id"
value = "response_html:#total"
currency = "text:UAH"
[[action]]
type = "payment"
path = "/hook"
webhook = true
reference = "json:/invoice"
value = "json:/amount"
"##;

/// A visitor with a browser of their own.
struct Visitor {
    client: Client,
    cookie: String,
}

impl Visitor {
    async fn come(app: &Running) -> Self {
        let mut visitor = Visitor { client: app.connect().await, cookie: String::new() };
        visitor.ask("GET /?utm_source=instagram&utm_campaign=cats", "").await;
        visitor
    }

    async fn ask(&mut self, request: &str, body: &str) {
        let (cookie, length) = (&self.cookie, body.len());
        self.client
            .send(format!(
                "{request} HTTP/1.1\r\n{AGENT}{cookie}Origin: http://shop.test\r\nContent-Length: {length}\r\n\r\n{body}"
            ))
            .await;
        let answer = self.client.answer().await;
        if let Some(line) = answer.value("set-cookie") {
            self.cookie = format!("Cookie: {}\r\n", line.split(';').next().unwrap());
        }
    }
}

async fn pay(app: &Running, invoice: &str) {
    let body = format!(r#"{{"invoice": "{invoice}", "amount": "12.50"}}"#);
    let head = "POST /hook HTTP/1.1\r\nHost: shop.test\r\nContent-Type: application/json";
    let mut client = app.connect().await;
    client.send(format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())).await;
    client.answer().await;
}

async fn order(app: &Running, id: &str, is_ready: impl Fn(&Value) -> bool) -> Value {
    let target = format!("/api/v1/orders/{id}/explain");
    eventually(&format!("order {id}"), DEADLINE, || async {
        let (status, text) = app.ask(&target).await;
        let answer: Value = (status == 200).then(|| serde_json::from_str(&text).unwrap())?;
        is_ready(&answer["results"]).then(|| answer["results"].clone())
    })
    .await
}

async fn shop_with_rules() -> (Running, Upstream, tempfile::TempDir, postgres::Database) {
    let database = postgres::migrated().await;
    let upstream = Upstream::start(|request| match request.target().split('?').next().unwrap() {
        "/invoice" => {
            Reply::with("200 OK", &["Content-Type: application/json"], r#"{"order": 7, "invoice": "inv7"}"#)
        }
        path if path.starts_with("/thanks/") => {
            Reply::with("200 OK", &["Content-Type: text/html"], "<p id=total>12,50 ₴</p>")
        }
        _ => Reply::with("200 OK", &["Content-Type: text/html"], "<p>page</p>"),
    })
    .await;
    let files = tempfile::tempdir().unwrap();
    let mut config = app_config(upstream.address(), &database.url, files.path());
    add_rules(&mut config, RULES);
    (Running::start(config).await, upstream, files, database)
}

/// A rule, a page, the API and a bank, in any order: one order of one visitor.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_seen_in_several_ways_is_one() {
    for (webhook_first, number) in [(false, 1), (true, 2)] {
        let (app, _upstream, _files, _database) = shop_with_rules().await;
        let mut visitor = Visitor::come(&app).await;
        if webhook_first {
            pay(&app, "inv7").await;
        }
        visitor.ask("POST /add", "").await;
        visitor.ask("POST /invoice", "").await;
        visitor.ask("GET /thanks/7", "").await;
        visitor.ask("GET /thanks/7", "").await;
        if !webhook_first {
            pay(&app, "inv7").await;
        }
        let told = json!([{"order_id": "7", "status": "placed", "value": "12.50", "currency": "UAH"}]);
        assert_eq!(app.tell_orders(&told).await.0, 200);
        let found = order(&app, "7", |it| it["entries"].as_array().unwrap().len() == 4).await;
        assert_eq!(found["order"]["gross"], "12.50", "{number}: {found:#}");
        assert_eq!(found["order"]["paid"], "12.50", "{number}: {found:#}");
        assert_eq!(found["join"]["rule"], "cookie");
        let stats = app.report("general-stats?period=today").await.unwrap();
        let results = &stats["results"];
        assert_eq!(
            (&results["total_sessions"], &results["total_orders"]),
            (&json!(1), &json!(1)),
            "{results:#}"
        );
        app.stop().await;
    }
}

/// The page of an order can be opened by whoever guesses its number.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_alone_makes_nobody_a_customer() {
    let (app, _upstream, _files, _database) = shop_with_rules().await;
    let mut guest = Visitor::come(&app).await;
    guest.ask("GET /thanks/8", "").await;
    let found = order(&app, "8", |_| true).await;
    assert_eq!(found["join"]["rule"], Value::Null, "{found:#}");

    let mut customer = Visitor::come(&app).await;
    customer.ask("POST /add", "").await;
    customer.ask("GET /thanks/9", "").await;
    order(&app, "9", |it| it["join"]["rule"] == "cookie").await;

    // What the shop confirms is no guess.
    let told = json!([{"order_id": "8", "status": "placed", "value": "12.50", "currency": "UAH"}]);
    assert_eq!(app.tell_orders(&told).await.0, 200);
    order(&app, "8", |it| it["join"]["rule"] == "cookie").await;
    app.stop().await;
}

/// What a body told is recorded before its last byte is out: after a crash it is there once, and nothing else is doubled.
#[tokio::test(flavor = "multi_thread")]
async fn kill_9_within_a_body_doubles_nothing() {
    let database = postgres::migrated().await;
    let upstream = Upstream::start(|request| match request.target() {
        "/add" => Reply::with("200 OK", &["Content-Type: application/json"], "{\"total\": 5}"),
        "/p/7" => {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1000\r\n\r\n";
            Reply::raw(format!("{head}<h1>Red</h1><p>")).until_closed()
        }
        _ => Reply::with("200 OK", &["Content-Type: text/html"], "<h1>page</h1>"),
    })
    .await;
    let files = tempfile::tempdir().unwrap();
    let mut program = Program::new(upstream.address(), &database.url, files.path());
    program.configure(|settings| {
        settings.more =
            "[[action]]\ntype = \"add_to_cart\"\npath = \"/add\"\nvalue = \"response_json:/total\"\n\
            [[action]]\ntype = \"product_view\"\npath = \"/p/{id}\"\nproduct_id = \"path:id\"\n\
            product_name = \"response_html:h1\"\n"
                .to_owned();
    });
    program.start().await;
    let mut visitor = Visitor { client: Client::connect(program.proxy).await, cookie: String::new() };
    visitor.ask("GET /?utm_source=instagram", "").await;
    visitor.ask("POST /add", "").await;
    let cookie = &visitor.cookie;
    visitor.client.send(format!("GET /p/7 HTTP/1.1\r\n{AGENT}{cookie}\r\n")).await;
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"<p>") {
        let mut byte = [0];
        visitor.client.read_exact(&mut byte).await;
        bytes.push(byte[0]);
    }
    program.kill();
    program.start().await;
    let mut visitor =
        Visitor { client: Client::connect(program.proxy).await, cookie: visitor.cookie.clone() };
    visitor.ask("GET /p/8", "").await;

    let client = database.connect().await;
    // Product views are no part of a session's actions.
    let sum = "SELECT count(*), sum(page_views)::bigint, sum(actions)::bigint, \
               (SELECT count(*) FROM events WHERE product_key IS NOT NULL) FROM sessions";
    let counts = eventually("all is there", DEADLINE, async || {
        let row = client.query_one(sum, &[]).await.ok()?;
        let views = row.get::<_, Option<i64>>(1).filter(|views| *views >= 3)?;
        let actions = row.get::<_, Option<i64>>(2).filter(|actions| *actions >= 1)?;
        let products = Some(row.get::<_, i64>(3)).filter(|products| *products >= 1)?;
        Some((row.get::<_, i64>(0), views, actions, products))
    })
    .await;
    // The page that nobody has seen to its end tells nothing; its view was told with its head.
    assert_eq!(counts, (1, 3, 1, 1));
    assert!(program.terminate().await.success(), "{}", program.log());
}
