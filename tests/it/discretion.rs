//! What the program says of people in its logs: nothing by which one could be known.

use std::time::Duration;

use crate::harness::program::Program;
use crate::harness::{Client, DEADLINE, Reply, Upstream, eventually, postgres};

/// What must not be said: an address, values of a query, of cookies and of fields, tokens, a customer.
const SECRETS: [&str; 9] = [
    "198.51.100.77",
    "2001:db8:77::1",
    "s3cret",
    "_utmd=",
    "Anna",
    "anna@example.com",
    "380671234567",
    "IwAR2",
    "4ab1f0a6dc5d1ad5bd0d",
];

/// Requests of all kinds: counted and not, answered, refused, broken, and such as are none.
const REQUESTS: [&str; 22] = [
    "GET /?utm_source=viber&fbclid=IwAR2-s3cret&email=anna@example.com HTTP/1.1\r\nHost: shop.test\r\nACCEPT\r\n",
    "GET /p/1?utm_source=s3cret HTTP/1.1\r\nHost: shop.test\r\nReferer: https://www.google.com/search?q=s3cret\r\nACCEPT\r\n",
    "GET /reset/4ab1f0a6dc5d1ad5bd0d/?t=s3cret HTTP/1.1\r\nHost: shop.test\r\nACCEPT\r\n",
    "GET / HTTP/1.1\r\nHost: shop.test\r\nSec-GPC: 1\r\nCookie: _utmd=s3cret\r\nACCEPT\r\n",
    "GET / HTTP/1.1\r\nHost: shop.test\r\nSec-Purpose: prefetch\r\nACCEPT\r\n",
    "GET / HTTP/1.1\r\nHost: shop.test\r\nAuthorization: Bearer s3cret\r\nCookie: sessionid=s3cret; _fbp=s3cret\r\nACCEPT\r\n",
    "GET /a.css?v=s3cret HTTP/1.1\r\nHost: shop.test\r\nACCEPT\r\n",
    "GET /admin/?s3cret HTTP/1.1\r\nHost: shop.test\r\nACCEPT\r\n",
    "GET /buy?s3cret HTTP/1.1\r\nHost: shop.test\r\nACCEPT\r\n",
    "GET /event?s3cret HTTP/1.1\r\nHost: shop.test\r\nACCEPT\r\n",
    "GET /broken?s3cret HTTP/1.1\r\nHost: shop.test\r\nACCEPT\r\n",
    "GET /hangs-up?s3cret HTTP/1.1\r\nHost: shop.test\r\nACCEPT\r\n",
    "GET /nonsense?s3cret HTTP/1.1\r\nHost: shop.test\r\nACCEPT\r\n",
    "POST /login HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 24\r\nContent-Type: application/x-www-form-urlencoded\r\nACCEPT\r\npassword=s3cret&name=Ann",
    "GET /?s3cret HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: Googlebot/2.1\r\nX-Forwarded-For: 198.51.100.77\r\n\r\n",
    "GET /?s3cret HTTP/1.1\r\nHost: shop.test\r\nX-Forwarded-For: 2001:db8:77::1\r\n\r\n",
    "GET /?s3cret HTTP/1.1\r\nHost: shop.test\r\nX-Forwarded-For: 198.51.100.77\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    "TRACE /?s3cret HTTP/1.1\r\nHost: shop.test\r\nX-Forwarded-For: 198.51.100.77\r\n\r\n",
    "CONNECT shop.test:443 HTTP/1.1\r\nHost: shop.test:443\r\nX-Forwarded-For: 198.51.100.77\r\n\r\n",
    "GET /?s3cret HTTP/1.1\r\nX-Forwarded-For: 198.51.100.77\r\n\r\n",
    "GET /?s3cret HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\nX-Forwarded-For: 198.51.100.77\r\n\r\n",
    "GET /?s3cret\u{1}\r\ns3cret: 198.51.100.77\r\n\r\n",
];

const ACCEPT: &str = "X-Forwarded-For: 198.51.100.77\r\nX-Forwarded-Proto: https\r\nUser-Agent: Mozilla/5.0 (X11; Linux) Firefox/120.0\r\n\
                      Accept: text/html\r\nAccept-Language: uk\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n\r\n";

async fn say(program: &Program, request: &str) {
    let mut client = Client::connect(program.proxy).await;
    client.send(request.replace("ACCEPT\r\n", ACCEPT)).await;
    // Some are answered by an end.
    let _ = tokio::time::timeout(Duration::from_secs(5), client.try_answer(true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_says_who_came_or_what_they_know() {
    let upstream = Upstream::start(|request| match request.target().split('?').next().unwrap_or_default() {
        "/event" => Reply::with("200 OK", &["X-Utm-Event: nonsense; Anna; =; value=s3cret"], "x"),
        "/buy" => Reply::with(
            "200 OK",
            &[
                "Content-Type: text/html",
                "X-Utm-Event: purchase; order_id=s3cret; value=1; currency=UAH; name=Anna",
            ],
            "x",
        ),
        "/broken" => Reply::with("500 Internal Server Error", &["Set-Cookie: sessionid=s3cret"], "s3cret"),
        "/hangs-up" => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ns3c").close(),
        "/nonsense" => Reply::raw("s3cret 198.51.100.77\r\n\r\n").close(),
        _ => {
            Reply::with("200 OK", &["Content-Type: text/html", "Set-Cookie: sessionid=s3cret"], "<p>page</p>")
        }
    })
    .await;
    let database = postgres::migrated().await;
    let files = tempfile::tempdir().unwrap();
    let mut program = Program::new(upstream.address(), &database.url, files.path());
    let access_log = files.path().join("access.log");
    program.edit(|text| {
        let text = text.replace("[proxy]\n", "[proxy]\ntrusted_proxies = [\"127.0.0.0/8\"]\n");
        format!(
            "{text}\n[proxy.access_log]\nformat = \"json\"\npath = \"{}\"\n\n[tracking.exclude]\npaths = [\"/admin\"]\n\n\
             [log]\nlevel = \"debug\"\n",
            access_log.display()
        )
    });
    program.start().await;
    for request in REQUESTS {
        say(&program, request).await;
    }
    let api = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
    let url = |target: &str| format!("http://{}/api/v1/{target}", program.stats);
    eventually("the database is there", DEADLINE, || async {
        let (status, _) = program.ask("/api/v1/general-stats?period=today").await?;
        (status == 200).then_some(())
    })
    .await;
    for target in [
        "sessions?q=s3cret",
        "sessions?source=s3cret",
        "sources?nonsense=s3cret",
        "orders/s3cret/explain",
        "s3cret",
    ] {
        api.get(url(target)).bearer_auth("s3cret-token").send().await.unwrap();
    }
    let customer = serde_json::json!({"phone": "+380671234567", "email": "anna@example.com"});
    for order in [
        serde_json::json!([{"order_id": "s3cret", "status": "paid", "value": "1.00", "currency": "UAH", "customer": customer}]),
        serde_json::json!([{"order_id": "s3cret", "status": "paid", "value": "2.00", "currency": "UAH", "customer": customer}]),
        serde_json::json!([{"order_id": "7", "status": "s3cret", "customer": {"phone": "Anna"}}]),
        serde_json::json!({"s3cret": "Anna"}),
    ] {
        api.post(url("orders")).json(&order).send().await.unwrap();
    }
    let exclusion = serde_json::json!({"kind": "ip", "value": "198.51.100.77", "note": "Anna"});
    api.put(url("exclusions")).json(&exclusion).send().await.unwrap();
    api.delete(url("visitors/019aa000-6c1e-7d3b-9f42-5b0e7a1c88d4")).send().await.unwrap();
    program.reload().await;
    let status = program.terminate().await;
    assert!(status.success(), "{}", program.log());

    let logs = program.log() + &std::fs::read_to_string(&access_log).unwrap();
    assert!(logs.lines().count() > REQUESTS.len() / 2 && logs.contains("\"path\":\"/p/1\""), "{logs}");
    let said: Vec<&str> =
        logs.lines().filter(|line| SECRETS.iter().any(|secret| line.contains(secret))).collect();
    assert!(said.is_empty(), "{said:#?}");
}
