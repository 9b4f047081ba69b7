//! Answers of the proxy's own: the shop's pages on them, maintenance, and the id that every request has.

use std::time::Duration;

use utm_dispatcher::config::{Config, ErrorPage, Maintenance, StatusPattern};

use crate::harness::{DEADLINE, Proxy, Reply, Upstream, config, eventually, free_address, proxy};

fn page(status: StatusPattern, file: &str, text: &str) -> ErrorPage {
    ErrorPage { status, file: file.into(), text: text.to_owned() }
}

/// A configuration whose shop is away, with pages and ids.
fn dressed(shop: std::net::SocketAddr) -> Config {
    let mut config = config(&[shop]);
    config.proxy.request_id_header = Some("X-Request-Id".parse().unwrap());
    config.proxy.health_path = Some("/healthz".to_owned());
    config.proxy.error_pages = vec![
        page(StatusPattern::Class(5), "5xx.html", "<h1>Back soon</h1><!-- {status} {request_id} -->"),
        page(StatusPattern::Class(5), "5xx.json", "{\"status\":{status},\"id\":\"{request_id}\"}"),
        page(StatusPattern::Exact(405), "405.txt", "{reason}"),
    ];
    config
}

#[tokio::test]
async fn people_get_the_shops_page_and_programs_json() {
    let proxy = proxy(dressed(free_address()));
    let answer = proxy.get("/").await;
    let id = answer.value("x-request-id").unwrap().to_owned();
    assert_eq!(answer.status(), 502);
    assert_eq!(answer.value("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(answer.value("cache-control"), Some("no-store"));
    assert_eq!(String::from_utf8(answer.body).unwrap(), format!("<h1>Back soon</h1><!-- 502 {id} -->"));

    let mut client = proxy.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: shop.test\r\nAccept: application/json\r\n\r\n").await;
    let answer = client.answer().await;
    let id = answer.value("x-request-id").unwrap().to_owned();
    assert_eq!(answer.value("content-type"), Some("application/json"));
    assert_eq!(String::from_utf8(answer.body).unwrap(), format!("{{\"status\":502,\"id\":\"{id}\"}}"));

    client.send("HEAD / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    let answer = client.answer_to_head().await;
    assert_eq!((answer.status(), answer.value("cache-control")), (502, Some("no-store")));
    assert_eq!(client.get("/healthz").await.body, b"ok", "a HEAD has no body");
    client.send("TRACE / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    assert_eq!(client.answer().await.body, b"Method Not Allowed");
}

#[tokio::test]
async fn the_shops_own_errors_are_never_dressed() {
    let upstream =
        Upstream::start(|_| Reply::with("502 Bad Gateway", &["X-Request-Id: theirs"], "ours")).await;
    let proxy = proxy(dressed(upstream.address()));
    let answer = proxy.get("/").await;
    assert_eq!(answer.body, b"ours");
    let id = upstream.only().value("x-request-id").unwrap().to_owned();
    assert_eq!(answer.values("x-request-id"), [id], "one id, the request's");
}

async fn status_of(proxy: &Proxy) -> u16 {
    proxy.get("/?utm_source=mail").await.status()
}

#[tokio::test]
async fn the_shop_is_closed_while_a_file_is_there_but_for_a_few() {
    let upstream = Upstream::start(|_| Reply::ok("open")).await;
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("maintenance");
    let mut config = dressed(upstream.address());
    config.proxy.trusted_proxies = vec!["127.0.0.1".parse::<std::net::IpAddr>().unwrap().into()];
    config.proxy.maintenance = Maintenance {
        on: false,
        flag_file: Some(file.clone()),
        allow: vec!["192.0.2.0/24".parse().unwrap()],
        retry_after: Duration::from_secs(90),
    };
    let proxy = proxy(config);
    assert_eq!(status_of(&proxy).await, 200);
    std::fs::write(&file, "").unwrap();
    eventually("it closes", DEADLINE, || async { (status_of(&proxy).await == 503).then_some(()) }).await;
    let seen = upstream.received().len();

    let mut client = proxy.connect().await;
    let answer = client.get("/").await;
    assert_eq!(answer.value("retry-after"), Some("90"));
    assert!(answer.body.starts_with(b"<h1>Back soon</h1>"));
    assert_eq!(answer.value("connection"), None, "the connection may go on");
    assert_eq!(client.get("/healthz").await.body, b"ok", "probes are answered before");
    assert_eq!(upstream.received().len(), seen, "the shop hears nothing");
    client.send("GET / HTTP/1.1\r\nHost: shop.test\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n").await;
    assert_eq!(client.answer().await.body, b"open");

    std::fs::remove_file(&file).unwrap();
    eventually("it opens", DEADLINE, || async { (status_of(&proxy).await == 200).then_some(()) }).await;
    let refused = proxy
        .metrics
        .requests_refused
        .get_or_create(&utm_dispatcher::telemetry::metrics::Reason { reason: "maintenance" });
    assert!(refused.get() > 0);
}

#[tokio::test]
async fn who_comes_while_the_shop_is_closed_is_recorded() {
    let mut config = config(&[free_address()]);
    config.proxy.maintenance.on = true;
    let proxy = proxy(config);
    let mut client = proxy.connect().await;
    client
        .send("GET /?utm_source=mail HTTP/1.1\r\nHost: shop.test\r\nAccept: text/html\r\nAccept-Language: uk\r\n\
               User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
               Sec-Fetch-Mode: navigate\r\n\r\n")
        .await;
    let answer = client.answer().await;
    assert_eq!(answer.status(), 503);
    assert!(answer.value("set-cookie").unwrap().starts_with("_utmd="));
    assert_eq!(proxy.hits().len(), 1);
}

#[tokio::test]
async fn ids_of_trusted_proxies_are_kept_and_strangers_get_new_ones() {
    let upstream = Upstream::start(|_| Reply::ok("x")).await;
    for (trusted, kept) in [(true, true), (false, false)] {
        let mut config = dressed(upstream.address());
        if trusted {
            config.proxy.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        }
        let proxy = proxy(config);
        let mut client = proxy.connect().await;
        client
            .send(
                "GET / HTTP/1.1\r\nHost: shop.test\r\nX-Request-Id: from-nginx\r\nX_Request_Id: forged\r\n\
                   traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\
                   Connection: X-Request-Id\r\n\r\n",
            )
            .await;
        let answer = client.answer().await;
        let id = answer.value("x-request-id").unwrap();
        assert_eq!(id == "from-nginx", kept, "{id}");
        let request = upstream.received().pop().unwrap();
        assert_eq!(request.values("x-request-id"), [id]);
        assert_eq!(request.value("x_request_id"), None);
        let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(request.value("traceparent"), Some(traceparent), "passed on untouched");
    }
}

#[tokio::test]
async fn without_a_field_for_ids_nothing_is_added() {
    let upstream = Upstream::start(|_| Reply::ok("x")).await;
    let proxy = proxy(config(&[upstream.address()]));
    let mut client = proxy.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: shop.test\r\nX-Request-Id: mine\r\n\r\n").await;
    assert_eq!(client.answer().await.value("x-request-id"), None);
    assert_eq!(upstream.only().value("x-request-id"), Some("mine"));
}
