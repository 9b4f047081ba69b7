//! Journeys through the proxy, by raw bytes: what the shop sees, what the browser is given, what the journal holds.

use std::time::Duration;

use utm_dispatcher::capture::cookie::VisitorCookie;
use utm_dispatcher::config::{Config, Consent, ConsentPattern, IdentifyBy, Route, TrackingMode};
use utm_dispatcher::hit::{Hit, IdentityMode};
use utm_dispatcher::telemetry::metrics::Reason;

use crate::harness::client::Answer;
use crate::harness::load::BROWSER;
use crate::harness::{Client, Proxy, Received, Reply, Upstream, config, proxy, until};

const HTML: &str = "Content-Type: text/html";
const TAGS: &str = "utm_source=facebook&utm_medium=cpc";

/// A shop and a proxy whose answers wait for their records, so that the journal can be read as soon as they are there.
async fn shop_with(
    change: impl FnOnce(&mut Config),
    script: impl Fn(&Received) -> Reply + Send + Sync + 'static,
) -> (Upstream, Proxy) {
    let upstream = Upstream::start(script).await;
    let mut config = config(&[upstream.address()]);
    config.journal.wait = Duration::from_secs(10);
    config.upstreams[0].trust_events = true;
    change(&mut config);
    (upstream, proxy(config))
}

async fn shop(script: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> (Upstream, Proxy) {
    shop_with(|_| {}, script).await
}

/// Pages everywhere, but for a few paths that say what they are.
fn pages(request: &Received) -> Reply {
    let path = request.target().split('?').next().unwrap();
    match path {
        "/old" => Reply::with("301 Moved Permanently", &["Location: /new"], ""),
        "/cart" | "/login" => Reply::with("302 Found", &["Location: /checkout"], ""),
        "/missing" => Reply::with("404 Not Found", &[HTML], "<p>none</p>"),
        "/public" => Reply::with("200 OK", &[HTML, "Cache-Control: public, max-age=60"], "<p>page</p>"),
        "/catalog" => Reply::with("200 OK", &["Content-Type: application/pdf"], "%PDF"),
        "/data" => Reply::with("200 OK", &["Content-Type: application/json"], "{}"),
        "/buy" => {
            Reply::with("200 OK", &[HTML, "X-Utm-Event: purchase; order_id=7; value=10.50"], "<p>ok</p>")
        }
        "/silent" => Reply::new().until_closed(),
        _ => Reply::with("200 OK", &[HTML], "<p>page</p>"),
    }
}

/// A browser of a person that keeps its cookie.
struct Browser<'a> {
    proxy: &'a Proxy,
    client: Client,
    cookie: Option<String>,
}

impl<'a> Browser<'a> {
    async fn new(proxy: &'a Proxy) -> Self {
        Browser { proxy, client: proxy.connect().await, cookie: None }
    }

    async fn open(&mut self, target: &str) -> Answer {
        self.send("GET", target, "").await
    }

    /// Sends a request with the cookie and further fields, each with its line end.
    async fn send(&mut self, method: &str, target: &str, fields: &str) -> Answer {
        let cookie = self.cookie.as_ref().map_or(String::new(), |value| format!("Cookie: _utmd={value}\r\n"));
        self.send_bare(method, target, &format!("{cookie}{fields}")).await
    }

    /// The same without the cookie; one that is set is kept.
    async fn send_bare(&mut self, method: &str, target: &str, fields: &str) -> Answer {
        let length = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
        self.client.send(format!("{method} {target} HTTP/1.1\r\n{BROWSER}{fields}{length}\r\n")).await;
        let answer =
            if method == "HEAD" { self.client.answer_to_head().await } else { self.client.answer().await };
        if let Some(value) = own_cookie(&answer) {
            self.cookie = Some(value);
        }
        answer
    }

    /// What its cookie says.
    fn known(&self) -> VisitorCookie {
        let value = self.cookie.as_ref().expect("a cookie");
        VisitorCookie::decode(value.as_bytes(), &self.proxy.keys(), u32::MAX - 300).expect("ours")
    }

    /// The last hit in the journal, which must be one of this browser's present session.
    fn last_hit(&self) -> Hit<'static> {
        let hit = self.proxy.hits().pop().expect("a hit");
        let (identity, known) = (hit.identity.unwrap(), self.known());
        assert_eq!((identity.visitor_id, identity.session_id), (known.visitor_id, known.session_id));
        assert_eq!(identity.session_number, known.session_number);
        hit
    }
}

fn own_cookie(answer: &Answer) -> Option<String> {
    let lines: Vec<&str> =
        answer.values("set-cookie").into_iter().filter_map(|line| line.strip_prefix("_utmd=")).collect();
    assert!(lines.len() <= 1, "{lines:?}");
    lines.first().map(|line| line.split(';').next().unwrap().to_owned())
}

fn source(hit: &Hit<'_>) -> Option<String> {
    hit.touch.as_ref().and_then(|touch| touch.source.as_deref().map(str::to_owned))
}

fn ignored(proxy: &Proxy, reason: &'static str) -> u64 {
    proxy.metrics.hits_ignored.get_or_create(&Reason { reason }).get()
}

#[tokio::test]
async fn tags_leave_the_target_and_every_other_byte_stays() {
    let (upstream, proxy) = shop(pages).await;
    let long = format!("/a?utm_{0}=1&b&utm_x[{0}]=2", "x".repeat(100));
    let filler = "k=v&".repeat(5000);
    let (longest, stays) =
        (format!("/a?{filler}utm_source=x"), format!("/a?{}", filler.trim_end_matches('&')));
    for (line, expected) in [
        ("GET /a?", "/a?"),
        ("GET /a?&&", "/a?&&"),
        ("GET /a?utm_source=x", "/a"),
        ("GET /a??utm_source=x", "/a??utm_source=x"),
        ("GET /a?b&utm_source=x&&c=%zz;+|", "/a?b&&c=%zz;+|"),
        ("GET //a/../b/%2e?UTM_Medium&utm%5Fterm=1&z=", "//a/../b/%2e?z="),
        ("GET http://shop.test?utm_source=x", "/"),
        ("GET http://shop.test?utm_source=x&b=1", "/?b=1"),
        ("GET http://shop.test/p?utm_source=x", "/p"),
        (&format!("GET {long}"), "/a?b"),
        (&format!("GET {longest}"), stays.as_str()),
        ("HEAD /a?utm_source=x&b", "/a?b"),
        ("POST /a?utm_source=x", "/a?utm_source=x"),
    ] {
        let mut client = proxy.connect().await;
        client.send(format!("{line} HTTP/1.1\r\n{BROWSER}Content-Length: 0\r\n\r\n")).await;
        let answer =
            if line.starts_with("HEAD") { client.answer_to_head().await } else { client.answer().await };
        assert_eq!(answer.status(), 200, "{line:.80}");
        assert_eq!(upstream.received().last().unwrap().target(), expected, "{line:.80}");
    }
}

/// Routes without tracking, and no tracking at all.
fn untracked(config: &mut Config) {
    config.routes = vec![Route {
        host: None,
        path: "/untracked".to_owned(),
        upstream: 0,
        site: "default".to_owned(),
        tracking: false,
        strip: Vec::new(),
        timeouts: config.proxy.timeouts.into(),
    }];
}

#[tokio::test]
async fn the_shop_never_sees_our_cookie_and_every_other_stays() {
    let (upstream, tracked) = shop_with(untracked, pages).await;
    let address = upstream.address();
    let mut off = config(&[address]);
    off.tracking.mode = TrackingMode::Off;
    let off = proxy(off);
    for (proxy, target) in [(&tracked, "/"), (&tracked, "/a.css"), (&tracked, "/untracked/x"), (&off, "/")] {
        for (sent, expected) in [
            ("Cookie: _utmd=x\r\n", vec![]),
            ("Cookie: a=b; _utmd=x; c=d\r\n", vec!["a=b; c=d"]),
            ("Cookie: _utmd=x;a=b\r\nCookie: _utmd=\"y\"\r\nCookie: c=\"d e\"\r\n", vec!["a=b", "c=\"d e\""]),
            ("Cookie: a=b;  _utmd =x;c=d\r\n", vec!["a=b;c=d"]),
            (
                "Cookie: x_utmd=1; _utmd2=2; _utm=3; a=_utmd=4\r\n",
                vec!["x_utmd=1; _utmd2=2; _utm=3; a=_utmd=4"],
            ),
            ("cookie: \u{e9}=1; _utmd=x\r\n", vec!["\u{c3}\u{a9}=1"]),
        ] {
            let mut client = proxy.connect().await;
            client.send(format!("GET {target} HTTP/1.1\r\n{BROWSER}{sent}\r\n")).await;
            assert_eq!(client.answer().await.status(), 200);
            assert_eq!(upstream.received().last().unwrap().values("cookie"), expected, "{target} {sent}");
        }
    }
}

#[tokio::test]
async fn the_words_between_proxy_and_shop_reach_no_one_else() {
    let events = ["X-Utm-Event: purchase; order_id=1", "x-utm-event: click", HTML];
    let script = move |request: &Received| match request.target() {
        "/untracked/304" => Reply::raw("HTTP/1.1 304 Not Modified\r\nX-Utm-Event: click\r\n\r\n"),
        "/redirect" => Reply::with("302 Found", &["Location: /", events[0], events[1]], ""),
        _ => Reply::with("200 OK", &events, "<p>ok</p>"),
    };
    let (upstream, tracked) = shop_with(untracked, script).await;
    let mut off = config(&[upstream.address()]);
    off.tracking.mode = TrackingMode::Off;
    let off = proxy(off);
    for (proxy, target) in [
        (&tracked, "/"),
        (&tracked, "/redirect"),
        (&tracked, "/a.css"),
        (&tracked, "/untracked/x"),
        (&tracked, "/untracked/304"),
        (&off, "/"),
    ] {
        let mut client = proxy.connect().await;
        let forged = "X-Utm-Visitor: 1\r\nx_utm_session: 2\r\nX-UTM-Event: purchase\r\nX-Utmost: 3\r\n";
        client.send(format!("GET {target} HTTP/1.1\r\n{BROWSER}{forged}\r\n")).await;
        assert_eq!(client.answer().await.value("x-utm-event"), None, "{target}");
        let head = upstream.received().pop().unwrap().head.to_ascii_lowercase();
        assert!(!head.contains("utm-") && !head.contains("utm_") && head.contains("x-utmost: 3"), "{head}");
    }
}

#[tokio::test]
async fn forged_and_foreign_cookies_are_replaced_and_of_two_the_latest_counts() {
    let (_upstream, proxy) = shop(pages).await;
    let mut browser = Browser::new(&proxy).await;
    browser.open("/").await;
    let (mine, known) = (browser.cookie.clone().unwrap(), browser.known());
    let other = if &mine[20..21] == "A" { "B" } else { "A" };
    let forged = format!("{}{other}{}", &mine[..20], &mine[21..]);
    for value in ["x", &forged, &format!("{mine}A"), &format!("\"{mine}\""), "%00", "AQ"] {
        let answer = browser.send_bare("GET", "/", &format!("Cookie: _utmd={value}\r\n")).await;
        assert!(own_cookie(&answer).is_some(), "{value}");
        assert_ne!(browser.known().visitor_id, known.visitor_id, "{value}");
    }
    let stale = VisitorCookie { started_s: known.started_s - 100, ..known }.encode(&proxy.keys());
    for fields in [
        format!("Cookie: _utmd={stale}; _utmd={mine}\r\n"),
        format!("Cookie: _utmd={mine}\r\nCookie: _utmd={stale}; _utmd={forged}\r\n"),
    ] {
        assert!(own_cookie(&browser.send_bare("GET", "/", &fields).await).is_none(), "{fields}");
        assert_eq!(proxy.hits().pop().unwrap().identity.unwrap().session_id, known.session_id);
    }
}

#[tokio::test]
async fn the_cookie_has_the_attributes_of_its_host_and_scheme() {
    let (_upstream, proxy) =
        shop_with(|config| config.proxy.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()], pages).await;
    for (host, proto, attributes) in [
        ("www.shop.com.ua:8443", "https", "Domain=shop.com.ua; HttpOnly; Secure; SameSite=Lax"),
        ("shop.com.ua.", "http", "Domain=shop.com.ua; HttpOnly; SameSite=Lax"),
        ("com.ua", "http", "HttpOnly; SameSite=Lax"),
        ("192.0.2.7", "http", "HttpOnly; SameSite=Lax"),
        ("[::1]:80", "http", "HttpOnly; SameSite=Lax"),
        ("localhost", "http", "HttpOnly; SameSite=Lax"),
    ] {
        let mut client = proxy.connect().await;
        let fields = BROWSER.replace("shop.test", host);
        let modes = "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n";
        client.send(format!("GET / HTTP/1.1\r\n{fields}X-Forwarded-Proto: {proto}\r\n{modes}\r\n")).await;
        let answer = client.answer().await;
        let (_, said) = answer.value("set-cookie").unwrap().split_once("; ").unwrap();
        assert_eq!(said, format!("Path=/; Max-Age=33696000; {attributes}"), "{host}");
    }
}

#[tokio::test]
async fn cookies_of_the_shop_stay_and_what_caches_share_carries_none_of_ours() {
    let (_upstream, proxy) = shop(|request| {
        let caching = request.value("x-caching").map(str::to_owned).unwrap_or_default();
        Reply::with("200 OK", &[HTML, "Set-Cookie: a=1; Path=/", "Set-Cookie: b=2", &caching], "<p>page</p>")
    })
    .await;
    for (caching, sets) in [
        ("X-None: 1", true),
        ("Cache-Control: private, max-age=600", true),
        ("Expires: Thu, 19 Nov 1981 08:52:00 GMT", true),
        ("Cache-Control: public", false),
        ("Cache-Control: max-age=1", false),
        ("Cache-Control: s-maxage=1", false),
        ("Expires: Wed, 21 Oct 2037 07:28:00 GMT", false),
    ] {
        let answer = Browser::new(&proxy).await.send("GET", "/", &format!("X-Caching: {caching}\r\n")).await;
        assert_eq!(answer.values("set-cookie")[..2], ["a=1; Path=/", "b=2"], "{caching}");
        assert_eq!(own_cookie(&answer).is_some(), sets, "{caching}");
    }
}

#[tokio::test]
async fn a_redirect_chain_is_one_session_for_who_keeps_cookies_and_loses_no_touch_for_who_does_not() {
    let (_upstream, proxy) = shop(pages).await;
    let mut browser = Browser::new(&proxy).await;
    let google = "Referer: https://www.google.com/\r\n";
    for target in [format!("/old?{TAGS}&fbclid=A"), format!("/login?{TAGS}"), "/new".to_owned()] {
        browser.send("GET", &target, google).await;
    }
    let hits = proxy.hits();
    assert_eq!(hits.iter().map(|hit| hit.page_view).collect::<Vec<_>>(), [false, true]);
    assert_eq!(
        (hits[0].status, source(&hits[0]).as_deref(), hits[1].touch.is_some()),
        (301, Some("facebook"), false)
    );
    assert_eq!(browser.last_hit().identity.unwrap().session_id, hits[0].identity.unwrap().session_id);

    let mut forgetful = Browser::new(&proxy).await;
    forgetful.send_bare("GET", &format!("/old?{TAGS}"), "").await;
    forgetful.send_bare("GET", "/new", "").await;
    let hits = &proxy.hits()[2..];
    assert_eq!((source(&hits[0]).as_deref(), source(&hits[1])), (Some("facebook"), None));
}

#[tokio::test]
async fn reloads_and_ways_within_the_shop_continue_and_other_campaigns_begin_anew() {
    let (_upstream, proxy) = shop(pages).await;
    let mut browser = Browser::new(&proxy).await;
    let mut numbers = Vec::new();
    for (target, fields) in [
        ("/?utm_source=a", ""),
        ("/?utm_source=a", ""),
        ("/?utm_source=A&utm_medium=", ""),
        ("/sale?utm_source=banner", "Referer: http://shop.test/\r\n"),
        ("/p", "Referer: https://www.google.com/\r\n"),
        ("/?utm_source=b", ""),
        ("/?utm_source=a", ""),
        ("/?utm_source=a&gclid=G", ""),
        ("/?gclid=G", ""),
        ("/?gclid=g", ""),
    ] {
        browser.send("GET", target, fields).await;
        let hit = browser.last_hit();
        numbers.push((hit.identity.unwrap().session_number, hit.touch.is_some()));
    }
    let (yes, no) = (true, false);
    let expected =
        [(1, yes), (1, no), (1, no), (1, no), (1, no), (2, yes), (3, yes), (4, yes), (4, no), (5, yes)];
    assert_eq!(numbers, expected);
}

#[tokio::test]
async fn a_checkout_keeps_its_visitor_through_posts_redirects_and_the_bank() {
    let (_upstream, proxy) = shop(pages).await;
    let mut browser = Browser::new(&proxy).await;
    browser.open(&format!("/?{TAGS}")).await;
    let first = browser.known();
    browser.send("POST", "/cart", "Origin: http://shop.test\r\nReferer: http://shop.test/\r\n").await;
    browser.send("GET", "/checkout", "Referer: http://shop.test/\r\n").await;
    // A bank returns people by POST; a browser does not send SameSite=Lax cookies along with it.
    let from_bank = "Origin: https://bank.example\r\nReferer: https://bank.example/3ds\r\n";
    let answer = browser.send_bare("POST", "/cart", from_bank).await;
    assert_eq!(own_cookie(&answer), None, "a new cookie would replace the visitor");
    let answer = browser.send_bare("POST", "/thanks", "Origin: null\r\n").await;
    assert_eq!(own_cookie(&answer), None, "nor on a page");
    browser.send("GET", "/buy", "Referer: https://bank.example/3ds\r\n").await;
    let order = browser.last_hit();
    assert_eq!(order.actions[0].order_id.as_deref(), Some("7"));
    assert_eq!(order.identity.unwrap().session_id, first.session_id);
    assert!(order.touch.is_none());
    assert!(proxy.hits().iter().all(|hit| hit.identity.unwrap().visitor_id == first.visitor_id));
}

#[tokio::test]
async fn who_adds_to_the_cart_on_the_first_private_answer_is_known_from_there_on() {
    let (_upstream, proxy) = shop(pages).await;
    let mut browser = Browser::new(&proxy).await;
    assert_eq!(own_cookie(&browser.open(&format!("/public?{TAGS}")).await), None);
    let landing = proxy.hits().pop().unwrap();
    assert_eq!(landing.identity.unwrap().mode, IdentityMode::Cookieless);
    assert_eq!(source(&landing).as_deref(), Some("facebook"));
    // Cookies are given here, and nothing is to be recorded: the link to the landing comes with the next page.
    browser.send("POST", "/login", "Origin: http://shop.test\r\n").await;
    let given = browser.known();
    browser.open("/checkout").await;
    let page = browser.last_hit().identity.unwrap();
    assert_eq!((page.visitor_id, page.session_id), (given.visitor_id, given.session_id));
    assert_eq!(page.minted_from, Some(landing.identity.unwrap().visitor_id));
    browser.open("/next").await;
    assert_eq!(browser.last_hit().identity.unwrap().minted_from, None, "told once");
}

#[tokio::test]
async fn a_tagged_way_to_a_download_is_a_touch_and_to_nothing_else_a_page_view() {
    let (_upstream, proxy) = shop(pages).await;
    let mut browser = Browser::new(&proxy).await;
    browser.open(&format!("/catalog?{TAGS}")).await;
    let hit = browser.last_hit();
    assert_eq!((hit.page_view, source(&hit).as_deref()), (false, Some("facebook")));
    assert_eq!(own_cookie(&Browser::new(&proxy).await.open("/catalog").await), None);
    assert_eq!((proxy.hits().len(), proxy.metrics.page_views.get()), (1, 0));
}

#[tokio::test]
async fn what_no_person_sees_as_a_page_leaves_nothing() {
    let (_upstream, proxy) = shop(pages).await;
    for (method, target, fields) in [
        ("HEAD", "/?utm_source=a", ""),
        ("HEAD", "/old?utm_source=a", ""),
        ("GET", "/?utm_source=a", "Sec-Purpose: prefetch;prerender\r\n"),
        ("GET", "/old?utm_source=a", "Purpose: prefetch\r\n"),
        ("GET", "/?utm_source=a", "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n"),
        ("GET", "/missing?utm_source=a", "Sec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n"),
        ("GET", "/data", "Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n"),
        ("GET", "/a.css?utm_source=a", ""),
        ("GET", "/data", "Sec-GPC: 1\r\n"),
        ("OPTIONS", "*", ""),
    ] {
        let answer = Browser::new(&proxy).await.send(method, target, fields).await;
        assert_eq!(own_cookie(&answer), None, "{method} {target} {fields}");
        assert_eq!(proxy.hits().len(), 0, "{method} {target} {fields}");
    }
    assert_eq!((ignored(&proxy, "asset"), ignored(&proxy, "no_page")), (1, 9));
    let bare = BROWSER.replace("text/html,application/xhtml+xml;q=0.9,", "");
    let mut client = proxy.connect().await;
    client.send(format!("GET /?{TAGS} HTTP/1.1\r\n{bare}\r\n")).await;
    assert_eq!(own_cookie(&client.answer().await), None, "Accept: */* over http is no navigation");
    assert_eq!(proxy.hits().len(), 0);
}

#[tokio::test]
async fn who_begins_to_deny_loses_the_cookie() {
    let (_upstream, proxy) = shop(pages).await;
    let mut browser = Browser::new(&proxy).await;
    browser.open("/").await;
    let answer = browser.send("GET", "/", "Sec-GPC: 1\r\n").await;
    assert_eq!(answer.values("set-cookie"), ["_utmd=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"]);
    let answer = browser.send("GET", "/public", "Sec-GPC: 1\r\nCookie: _utmd=x\r\n").await;
    assert_eq!(answer.value("set-cookie"), None, "not on what caches share");
    let hits = proxy.hits();
    assert!(hits[1..].iter().all(|hit| hit.denied && hit.identity.is_none() && hit.client_address.is_none()));
    assert_eq!(hits.len(), 3);
}

#[tokio::test]
async fn failures_of_the_shop_and_impatient_clients_lose_no_touch() {
    let (upstream, proxy) =
        shop_with(|config| config.proxy.timeouts.response_header = Duration::from_secs(3), pages).await;
    let mut browser = Browser::new(&proxy).await;
    assert_eq!(browser.open(&format!("/silent?{TAGS}")).await.status(), 504);
    let hit = browser.last_hit();
    assert_eq!((hit.status, source(&hit).as_deref()), (504, Some("facebook")));

    let mut leaving = Browser::new(&proxy).await;
    leaving.client.send(format!("GET /silent?utm_source=leaving HTTP/1.1\r\n{BROWSER}\r\n")).await;
    until("the shop has the request", || upstream.received().len() == 2).await;
    drop(leaving);
    until("it is recorded", || proxy.hits().len() == 2).await;
    let hit = proxy.hits().pop().unwrap();
    assert_eq!((hit.status, source(&hit).as_deref(), hit.page_view), (499, Some("leaving"), false));

    let address = upstream.address();
    drop(upstream);
    until("the shop is gone", || std::net::TcpStream::connect(address).is_err()).await;
    let answer = browser.open("/?utm_source=late").await;
    assert_eq!((answer.status(), answer.value("cache-control")), (502, Some("no-store")));
    assert_eq!(source(&browser.last_hit()).as_deref(), Some("late"));
}

#[tokio::test]
async fn answers_without_a_page_keep_their_meaning() {
    let (_upstream, proxy) = shop(|request| match request.target() {
        "/204" => Reply::raw("HTTP/1.1 204 No Content\r\n\r\n"),
        "/206" => Reply::raw("HTTP/1.1 206 Partial Content\r\nContent-Type: text/html\r\nContent-Range: bytes 0-0/5\r\nContent-Length: 1\r\n\r\nx"),
        "/304" => Reply::raw("HTTP/1.1 304 Not Modified\r\n\r\n"),
        "/103" => Reply::raw("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX-Utm-Event: click\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1\r\n\r\nx"),
        "/101" => Reply::raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
        _ => Reply::with("200 OK", &[HTML], "x"),
    })
    .await;
    for (target, status, page_views, sets) in [
        ("/204", 204, 0, false),
        ("/206", 206, 1, true),
        ("/304", 304, 2, false),
        ("/103", 200, 3, true),
        ("/101", 502, 3, true),
    ] {
        let answer = Browser::new(&proxy).await.open(target).await;
        assert_eq!(answer.status(), status, "{target}");
        assert_eq!(proxy.metrics.page_views.get(), page_views, "{target}");
        assert_eq!(own_cookie(&answer).is_some(), sets, "{target}");
    }
}

#[tokio::test]
async fn the_shop_is_told_who_comes_where_it_wants_to_know() {
    let (upstream, proxy) = shop_with(|config| config.tracking.upstream_headers = true, pages).await;
    let told = |name: &str| upstream.received().last().unwrap().value(name).map(str::to_owned);
    let mut browser = Browser::new(&proxy).await;
    browser.open("/?utm_source=%D0%BB%D1%96%D1%82%D0%BE+1&utm_campaign=a%25b&fbclid=Cl").await;
    let first = browser.last_hit().identity.unwrap();
    assert_eq!(told("x-utm-visitor"), Some(first.visitor_id.to_string()));
    assert_eq!(told("x-utm-session"), Some(first.session_id.to_string()));
    assert_eq!(told("x-utm-source").as_deref(), Some("%D0%BB%D1%96%D1%82%D0%BE%201"));
    assert_eq!(
        (told("x-utm-campaign").as_deref(), told("x-utm-click-id").as_deref()),
        (Some("a%25b"), Some("Cl"))
    );
    browser.open("/?utm_source=second").await;
    let second = browser.last_hit().identity.unwrap();
    browser.send("POST", "/login", "Origin: http://shop.test\r\n").await;
    assert_eq!(told("x-utm-session"), Some(second.session_id.to_string()));
    assert_eq!(told("x-utm-source"), None);

    // Who sends something without a cookie and from no page of the shop's, a server for one, is no visitor.
    Browser::new(&proxy).await.send("POST", "/buy", "").await;
    assert!(proxy.hits().pop().unwrap().identity.is_none());
    assert_eq!(told("x-utm-session"), None);
    for fields in ["Sec-GPC: 1\r\n", "User-Agent: Googlebot/2.1\r\n"] {
        let fields = BROWSER
            .lines()
            .filter(|line| !line.starts_with("User"))
            .fold(fields.to_owned(), |all, line| all + line + "\r\n");
        let mut client = proxy.connect().await;
        client.send(format!("GET /?{TAGS} HTTP/1.1\r\n{fields}\r\n")).await;
        client.answer().await;
        assert_eq!((told("x-utm-visitor"), told("x-utm-source")), (None, None), "{fields}");
    }
}

#[tokio::test]
async fn the_shop_is_not_told_of_a_click_id_that_nobody_consented_to() {
    let (upstream, proxy) = shop_with(
        |config| {
            let pattern = ConsentPattern::Own { granted: "yes".to_owned(), denied: None };
            let consent = Consent { cookie: "consent".to_owned(), pattern };
            config.tracking.identity.mode = IdentifyBy::Consent(consent);
            config.tracking.upstream_headers = true;
        },
        pages,
    )
    .await;
    Browser::new(&proxy).await.open("/?utm_source=viber&fbclid=Cl").await;
    let request = upstream.received().pop().unwrap();
    assert_eq!(request.value("x-utm-source"), Some("viber"));
    assert_eq!(request.value("x-utm-click-id"), None, "not even an empty one: {}", request.head);
}
