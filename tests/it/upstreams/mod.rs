//! Which of a shop's servers a request goes to, and what happens when one of them fails.

mod names;
mod stale;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use utm_dispatcher::config::{Balance, Config, HostHeader};
use utm_dispatcher::telemetry::metrics::ServerLabels;

use crate::harness::client::Answer;
use crate::harness::program::Program;
use crate::harness::{
    Client, DEADLINE, Proxy, Reply, Upstream, config, eventually, free_address, proxy, until,
};

/// One worker, so that turns are exact.
fn one_worker(servers: &[SocketAddr]) -> Config {
    let mut config = config(servers);
    config.proxy.workers = 1;
    config
}

async fn shop_named(name: &'static str) -> Upstream {
    Upstream::start(move |_| Reply::ok(name)).await
}

fn labels(address: SocketAddr) -> ServerLabels {
    ServerLabels { upstream: "shop".to_owned(), server: format!("http://{address}") }
}

fn is_up(proxy: &Proxy, address: SocketAddr) -> bool {
    proxy.metrics.upstream_server_up.get_or_create(&labels(address)).get() == 1
}

/// How many of `count` requests, one after the other on one connection, each server got.
async fn shares(proxy: &Proxy, count: usize, upstreams: &[&Upstream]) -> Vec<usize> {
    let before: Vec<usize> = upstreams.iter().map(|upstream| upstream.received().len()).collect();
    let mut client = proxy.connect().await;
    for _ in 0..count {
        assert_eq!(client.get("/").await.status(), 200);
    }
    upstreams.iter().zip(before).map(|(upstream, before)| upstream.received().len() - before).collect()
}

#[tokio::test]
async fn turns_are_taken_by_weight() {
    let (a, b) = (shop_named("a").await, shop_named("b").await);
    let mut config = one_worker(&[a.address(), b.address()]);
    config.upstreams[0].balance = Balance::RoundRobin;
    config.upstreams[0].servers[0].weight = 3;
    assert_eq!(shares(&proxy(config), 40, &[&a, &b]).await, [30, 10]);
}

#[tokio::test]
async fn weights_hold_for_every_kind_of_balance() {
    for balance in [Balance::P2c, Balance::LeastConnections] {
        // The same time to answer, or p2c would rightly prefer one.
        let slow = || Upstream::start(|_| Reply::new().pause(Duration::from_millis(20)).write(OK));
        let (a, b) = (slow().await, slow().await);
        let mut config = one_worker(&[a.address(), b.address()]);
        config.upstreams[0].balance = balance;
        config.upstreams[0].servers[0].weight = 3;
        let shares = shares(&proxy(config), 160, &[&a, &b]).await;
        assert!((90..=150).contains(&shares[0]), "{balance:?}: {shares:?}");
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Clients that ask at the same time, each `count` times; answers what was not 200.
async fn crowd(address: SocketAddr, clients: usize, count: usize) -> Vec<u16> {
    let one = |_| {
        tokio::spawn(async move {
            let mut client = Client::connect(address).await;
            let mut bad = Vec::new();
            for _ in 0..count {
                let status = client.get("/").await.status();
                if status != 200 {
                    bad.push(status);
                }
            }
            bad
        })
    };
    let tasks: Vec<_> = (0..clients).map(one).collect();
    let mut bad = Vec::new();
    for task in tasks {
        bad.extend(task.await.unwrap());
    }
    bad
}

#[tokio::test]
async fn a_slow_server_gets_less() {
    let fast = shop_named("fast").await;
    let slow = Upstream::start(|_| Reply::new().pause(Duration::from_millis(100)).write(OK)).await;
    let proxy = proxy(config(&[slow.address(), fast.address()]));
    assert!(crowd(proxy.address(), 8, 50).await.is_empty());
    let (slow, fast) = (slow.received().len(), fast.received().len());
    assert!(slow * 4 < fast, "slow {slow}, fast {fast}");
}

#[tokio::test]
async fn backups_serve_only_while_no_other_server_can() {
    let backup = shop_named("backup").await;
    let address = free_address();
    let mut config = config(&[address, backup.address()]);
    config.upstreams[0].servers[1].backup = true;
    let proxy = proxy(config);
    for _ in 0..10 {
        assert_eq!(proxy.get("/").await.body, b"backup");
    }
    assert!(!is_up(&proxy, address));
    let primary = Upstream::start_at(address, |_| Reply::ok("primary")).await;
    until("the server is found again", || is_up(&proxy, address)).await;
    for _ in 0..10 {
        assert_eq!(proxy.get("/").await.body, b"primary");
    }
    assert_eq!((primary.received().len(), backup.received().len()), (10, 10));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_ejected_and_returns() {
    let is_broken = Arc::new(AtomicBool::new(true));
    let (of_script, good) = (Arc::clone(&is_broken), shop_named("good").await);
    let bad = Upstream::start(move |_| {
        if of_script.load(Ordering::SeqCst) { Reply::new().reset() } else { Reply::ok("bad") }
    })
    .await;
    let mut config = one_worker(&[bad.address(), good.address()]);
    config.upstreams[0].balance = Balance::RoundRobin;
    let proxy = proxy(config);
    for _ in 0..40 {
        assert_eq!(proxy.get("/").await.body, b"good", "who reads notices nothing");
    }
    assert_eq!(bad.received().len(), 3, "three failures in a row were enough");
    assert!(!is_up(&proxy, bad.address()) && is_up(&proxy, good.address()));
    is_broken.store(false, Ordering::SeqCst);
    let ejected = Instant::now();
    until("it is tried again", || is_up(&proxy, bad.address())).await;
    assert!(ejected.elapsed() > Duration::from_secs(3));
    // Its share is small at first.
    let shares = shares(&proxy, 100, &[&bad, &good]).await;
    assert!((1..=30).contains(&shares[0]), "{shares:?}");
}

#[tokio::test]
async fn the_last_server_gets_requests_whatever_it_does() {
    let bad = Upstream::start(|_| Reply::new().reset()).await;
    let proxy = proxy(config(&[bad.address(), free_address()]));
    for _ in 0..20 {
        assert_eq!(proxy.get("/").await.status(), 502);
    }
    assert!(bad.received().len() >= 20);
    assert!(is_up(&proxy, bad.address()));
}

#[tokio::test]
async fn health_checks_take_a_server_out_and_bring_it_back() {
    let is_well = Arc::new(AtomicBool::new(false));
    let of_script = Arc::clone(&is_well);
    let sick = Upstream::start(move |request| match (request.target(), of_script.load(Ordering::SeqCst)) {
        ("/healthz", false) => Reply::with("503 Service Unavailable", &[], "ill"),
        ("/healthz", true) => Reply::with("204 No Content", &[], ""),
        _ => Reply::ok("sick"),
    })
    .await;
    let well = shop_named("well").await;
    let mut config = config(&[sick.address(), well.address()]);
    let health = &mut config.upstreams[0].health;
    health.path = Some("/healthz".to_owned());
    health.host = Some("check.test".to_owned());
    health.interval = Duration::from_millis(50);
    let proxy = proxy(config);
    until("the sick server is out", || !is_up(&proxy, sick.address())).await;
    for _ in 0..20 {
        assert_eq!(proxy.get("/").await.body, b"well");
    }
    let check = sick.received().into_iter().find(|request| request.target() == "/healthz").unwrap();
    assert_eq!(check.value("host"), Some("check.test"));
    is_well.store(true, Ordering::SeqCst);
    until("it is back", || is_up(&proxy, sick.address())).await;
}

#[tokio::test]
async fn an_upstream_whose_servers_all_fail_their_checks_is_down_and_still_asked() {
    let sick = Upstream::start(|request| match request.target() {
        "/healthz" => Reply::with("500 Internal Server Error", &[], ""),
        _ => Reply::ok("sick"),
    })
    .await;
    let mut config = config(&[sick.address()]);
    config.upstreams[0].health.path = Some("/healthz".to_owned());
    config.upstreams[0].health.interval = Duration::from_millis(50);
    let proxy = proxy(config);
    until("the upstream is down", || proxy.metrics.state.upstreams_down.load(Ordering::Relaxed) == 1).await;
    assert_eq!(proxy.get("/").await.body, b"sick");
}

fn cookie_of(answer: &Answer) -> Option<String> {
    let of_shop = |line: &&str| line.starts_with("shop_server=");
    answer.values("set-cookie").into_iter().find(of_shop).map(str::to_owned)
}

fn sticky(servers: &[SocketAddr]) -> Config {
    let mut config = config(servers);
    config.upstreams[0].sticky_cookie = Some("shop_server".to_owned());
    config
}

async fn get_with(proxy: &Proxy, cookie: &str) -> Answer {
    let mut client = proxy.connect().await;
    client.send(format!("GET / HTTP/1.1\r\nHost: shop.test\r\nCookie: a=1; {cookie}; b=2\r\n\r\n")).await;
    client.answer().await
}

#[tokio::test]
async fn a_visitor_stays_with_a_server_also_when_the_list_is_reordered() {
    let (a, b, c) = (shop_named("a").await, shop_named("b").await, shop_named("c").await);
    let before = proxy(sticky(&[a.address(), b.address(), c.address()]));
    let first = before.get("/").await;
    let line = cookie_of(&first).unwrap();
    assert!(line.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{line}");
    let pair = line.split(';').next().unwrap();
    let after = proxy(sticky(&[c.address(), b.address(), a.address()]));
    for proxy in [&before, &after] {
        for _ in 0..10 {
            let answer = get_with(proxy, pair).await;
            assert_eq!(answer.body, first.body);
            assert_eq!(cookie_of(&answer), None, "it is set only where it would change");
        }
    }
    for upstream in [&a, &b, &c] {
        for request in upstream.received() {
            assert!(request.value("cookie").is_none_or(|cookie| cookie == "a=1; b=2"), "{}", request.head);
        }
    }
}

#[tokio::test]
async fn no_upstream_sees_the_sticky_cookie_of_another() {
    let (shop, blog) = (shop_named("shop").await, shop_named("blog").await);
    let mut config = sticky(&[shop.address()]);
    let blogs = utm_dispatcher::config::Upstream {
        name: "blog".to_owned(),
        servers: crate::harness::config(&[blog.address()]).upstreams.remove(0).servers,
        sticky_cookie: None,
        ..config.upstreams[0].clone()
    };
    config.upstreams.push(blogs);
    config.routes.push(utm_dispatcher::config::Route {
        host: None,
        path: "/blog".to_owned(),
        upstream: 1,
        site: "default".to_owned(),
        tracking: false,
        strip: Vec::new(),
        timeouts: config.proxy.timeouts.into(),
    });
    let proxy = proxy(config);
    let pair = cookie_of(&proxy.get("/").await).unwrap().split(';').next().unwrap().to_owned();
    let mut client = proxy.connect().await;
    for cookies in [format!("a=1; {pair}; b=2"), pair] {
        client.send(format!("GET /blog HTTP/1.1\r\nHost: shop.test\r\nCookie: {cookies}\r\n\r\n")).await;
        assert_eq!(client.answer().await.body, b"blog");
    }
    let received = blog.received();
    let seen: Vec<Option<&str>> = received.iter().map(|request| request.value("cookie")).collect();
    assert_eq!(seen, [Some("a=1; b=2"), None]);
}

/// Browsers do not tell ports apart: they send it to the shop of the same host, too.
#[tokio::test]
async fn no_shop_sees_by_what_somebody_is_signed_in_at_the_stats_port() {
    let shop = shop_named("shop").await;
    let proxy = proxy(config(&[shop.address()]));
    get_with(&proxy, "_utmd_stats=secret").await;
    assert_eq!(shop.received()[0].value("cookie"), Some("a=1; b=2"));
}

#[tokio::test]
async fn a_visitor_whose_server_is_away_gets_another_and_its_cookie() {
    let a = shop_named("a").await;
    let away = free_address();
    let home = Upstream::start_at(away, |_| Reply::ok("home")).await;
    let proxy = proxy(sticky(&[a.address(), away]));
    let mut pair = String::new();
    until_get(&proxy, "home", |answer| {
        pair = cookie_of(answer).unwrap().split(';').next().unwrap().to_owned()
    })
    .await;
    drop(home);
    let answer = get_with(&proxy, &pair).await;
    assert_eq!((answer.status(), answer.body.as_slice()), (200, &b"a"[..]));
    let moved = cookie_of(&answer).unwrap();
    assert!(!moved.starts_with(&pair), "{moved}");
}

async fn until_get(proxy: &Proxy, body: &str, mut then: impl FnMut(&Answer)) {
    for _ in 0..200 {
        let answer = proxy.get("/").await;
        if answer.body == body.as_bytes() {
            return then(&answer);
        }
    }
    panic!("{body} never answered");
}

#[tokio::test]
async fn the_sticky_cookie_is_not_set_where_a_cache_may_share_it() {
    let shop = Upstream::start(|request| match request.target() {
        "/public" => Reply::with("200 OK", &["Cache-Control: public, max-age=60"], "x"),
        _ => Reply::ok("x"),
    })
    .await;
    let proxy = proxy(sticky(&[shop.address()]));
    assert_eq!(cookie_of(&proxy.get("/public").await), None);
    assert!(cookie_of(&proxy.get("/").await).is_some());
}

#[tokio::test]
async fn requests_wait_for_room_and_beyond_the_queue_get_a_503_that_says_when_to_come_back() {
    let gate = CancellationToken::new();
    let (of_script, at_a_time) = (gate.clone(), Arc::new(AtomicUsize::new(0)));
    let (now, most) = (Arc::clone(&at_a_time), Arc::new(AtomicUsize::new(0)));
    let most_seen = Arc::clone(&most);
    let shop = Upstream::start(move |_| {
        most_seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Reply::new().wait(&of_script).write(OK)
    })
    .await;
    let mut config = config(&[shop.address()]);
    config.upstreams[0].servers[0].max_connections = Some(2);
    config.upstreams[0].queue = 3;
    let proxy = proxy(config);
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = proxy.connect().await;
        client.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
        clients.push(client);
    }
    let waiting = || {
        let label = utm_dispatcher::telemetry::metrics::UpstreamLabel { upstream: "shop".to_owned() };
        proxy.metrics.upstream_waiting.get_or_create(&label).get()
    };
    until("two are served and three wait", || shop.received().len() == 2 && waiting() == 3).await;
    let refused = proxy.get("/").await;
    assert_eq!((refused.status(), refused.value("retry-after")), (503, Some("1")));
    gate.cancel();
    for client in &mut clients {
        assert_eq!(client.answer().await.status(), 200);
    }
    assert_eq!((shop.received().len(), waiting()), (5, 0));
    assert!(shop.opened() <= 4, "{}", shop.opened());
}

#[tokio::test]
async fn who_waits_too_long_for_room_gets_a_503() {
    let shop = Upstream::start(|_| Reply::new().until_closed()).await;
    let mut config = config(&[shop.address()]);
    config.upstreams[0].servers[0].max_connections = Some(1);
    config.upstreams[0].queue_timeout = Duration::from_millis(200);
    let proxy = proxy(config);
    let mut first = proxy.connect().await;
    first.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    until("the only place is taken", || shop.received().len() == 1).await;
    let refused = proxy.get("/").await;
    assert_eq!((refused.status(), refused.value("retry-after")), (503, Some("1")));
    // Who leaves makes room.
    drop(first);
    until("its request is given up", || shop.closed() == 1).await;
    let mut next = proxy.connect().await;
    next.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    until("the next has it", || shop.received().len() == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_and_restarted_costs_no_reader_an_answer() {
    let stays = Upstream::start(|_| Reply::new().pause(Duration::from_millis(1)).write(OK)).await;
    let address = free_address();
    let start = || Upstream::start_at(address, |_| Reply::new().pause(Duration::from_millis(1)).write(OK));
    let mut killed = Some(start().await);
    let proxy = proxy(config(&[stays.address(), address]));
    let load = tokio::spawn(crowd(proxy.address(), 8, 1500));
    let mut kills = 0;
    while !load.is_finished() {
        tokio::time::sleep(Duration::from_millis(300)).await;
        match killed.take() {
            Some(server) => {
                server.kill();
                kills += 1;
            }
            None => killed = Some(start().await),
        }
    }
    assert_eq!(load.await.unwrap(), Vec::<u16>::new(), "answers that were not 200");
    assert!(kills > 0);
}

#[tokio::test]
async fn retries_stay_within_their_budget_and_nobody_who_reads_fails() {
    // A server that closes every connection when it is used a second time.
    let shop =
        Upstream::start(|request| if request.turn == 0 { Reply::ok("x") } else { Reply::new().close() })
            .await;
    let proxy = proxy(one_worker(&[shop.address()]));
    let count = 1500;
    assert_eq!(shares(&proxy, count, &[]).await.len(), 0);
    let start = proxy.metrics.upstream_retries.get();
    let retried = usize::try_from(start).unwrap();
    // A fifth, what is saved up, and ten a second for at most twenty seconds.
    assert!(retried <= count / 5 + 100 + 200, "{retried}");
    assert!(retried > 100, "the connections did die at reuse: {retried}");
    assert_eq!(shop.received().len(), count + retried);
}

#[tokio::test]
async fn a_head_that_is_sent_again_names_the_server_that_gets_it() {
    let a = Upstream::start(|request| if request.turn == 0 { Reply::ok("a") } else { Reply::new().close() })
        .await;
    let b = shop_named("b").await;
    let mut config = one_worker(&[a.address(), b.address()]);
    config.upstreams[0].host = HostHeader::Upstream;
    config.upstreams[0].balance = Balance::RoundRobin;
    let proxy = proxy(config);
    let mut client = proxy.connect().await;
    for _ in 0..20 {
        assert_eq!(client.get("/").await.status(), 200);
    }
    for upstream in [&a, &b] {
        for request in upstream.received() {
            assert_eq!(request.values("host"), [upstream.address().to_string()]);
        }
    }
}

/// HTTP/1.1 needs a name where an HTTP/1.0 client sent none.
#[tokio::test]
async fn a_request_without_host_names_the_server_that_gets_it_also_when_it_is_sent_again() {
    let a = Upstream::start(|_| Reply::new().close()).await;
    let b = shop_named("b").await;
    let mut config = one_worker(&[a.address(), b.address()]);
    config.upstreams[0].balance = Balance::RoundRobin;
    let proxy = proxy(config);
    for _ in 0..4 {
        let mut client = proxy.connect().await;
        client.send("GET / HTTP/1.0\r\n\r\n").await;
        assert_eq!(client.answer().await.status(), 200);
    }
    assert!(!a.received().is_empty(), "some requests were sent twice");
    for upstream in [&a, &b] {
        for request in upstream.received() {
            assert_eq!(request.values("host"), [upstream.address().to_string()]);
        }
    }
}

#[tokio::test]
async fn what_is_sent_a_third_time_is_what_the_client_sent() {
    // Answers once, and closes every connection on which it is asked again.
    let a = Upstream::start(|request| match (request.connection, request.turn) {
        (0, 0) => Reply::ok("a"),
        _ => Reply::new().close(),
    })
    .await;
    let b = shop_named("b").await;
    let mut config = one_worker(&[a.address(), b.address()]);
    config.upstreams[0].balance = Balance::RoundRobin;
    config.upstreams[0].retries = 2;
    let proxy = proxy(config);
    let mut client = proxy.connect().await;
    for _ in 0..6 {
        client.send("GET /page?a=1 HTTP/1.1\r\nHost: shop.test\r\nX-CSRFToken: x\r\n\r\n").await;
        assert_eq!(client.answer().await.status(), 200);
    }
    assert!(a.received().len() >= 3, "it was asked in vain twice");
    for request in [a.received(), b.received()].concat() {
        assert_eq!(request.target(), "/page?a=1");
        assert!(request.head.contains("\r\nX-CSRFToken: x"), "{}", request.head);
    }
}

/// An outage makes states that are logged once, and failed requests by the thousand.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_does_not_flood_the_log() {
    let files = tempfile::tempdir().unwrap();
    let mut program = Program::new(free_address(), "postgres://127.0.0.1:1/none", files.path());
    program.start().await;
    let mut client = Client::connect(program.proxy).await;
    for _ in 0..300 {
        assert_eq!(client.get("/").await.status(), 502);
    }
    let told = || {
        let log = program.log();
        let lines: Vec<String> = log
            .lines()
            .filter(|line| line.contains("requests were not answered"))
            .map(str::to_owned)
            .collect();
        let number = |line: &String| -> u64 {
            let rest = line.split("requests=").nth(1).unwrap();
            rest.split(' ').next().unwrap().parse().unwrap()
        };
        (lines.iter().map(number).sum::<u64>(), lines)
    };
    until("each is told of", || told().0 == 300).await;
    let (_, lines) = told();
    assert!(
        lines[0].contains("upstream=\"shop\"") && lines[0].contains("reason=\"unreachable\""),
        "{lines:?}"
    );
    assert!(lines.len() < 10, "{lines:?}");
    let log = program.log();
    for said in ["a server takes no connections", "no server of an upstream answers"] {
        assert_eq!(log.matches(said).count(), 1, "{log}");
    }
}

#[tokio::test]
async fn latency_is_told_by_route_and_class() {
    let upstream = Upstream::start(|request| match request.target() {
        "/api/gone" => Reply::with("404 Not Found", &[], "no"),
        _ => Reply::ok("x"),
    })
    .await;
    let files = tempfile::tempdir().unwrap();
    let mut program = Program::new(upstream.address(), "postgres://127.0.0.1:1/none", files.path());
    program.edit(|text| text + "\n[[route]]\npath = \"/api\"\nupstream = \"shop\"\n");
    program.start().await;
    let mut client = Client::connect(program.proxy).await;
    for (target, status) in [("/", 200), ("/api/x", 200), ("/api/y", 200), ("/api/gone", 404)] {
        assert_eq!(client.get(target).await.status(), status);
    }
    client.send("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 405);
    for line in [
        "request_seconds_count{route=\"*/api\",class=\"2xx\"} 2",
        "request_seconds_count{route=\"*/api\",class=\"4xx\"} 1",
        "request_seconds_count{route=\"default\",class=\"2xx\"} 1",
        "request_seconds_count{route=\"none\",class=\"4xx\"} 1",
        "upstream_header_seconds_count{route=\"*/api\",class=\"2xx\"} 2",
    ] {
        eventually(line, DEADLINE, || async {
            let (_, metrics) = program.ask("/metrics").await?;
            metrics.contains(&format!("utm_dispatcher_{line}\n")).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_server_that_says_how_long_it_keeps_connections_is_believed() {
    let shop = Upstream::start(|_| Reply::with("200 OK", &["Keep-Alive: timeout=1"], "x")).await;
    let proxy = proxy(one_worker(&[shop.address()]));
    let mut client = proxy.connect().await;
    client.get("/").await;
    client.get("/").await;
    assert_eq!(shop.opened(), 1);
    tokio::time::sleep(Duration::from_millis(900)).await;
    client.get("/").await;
    assert_eq!(shop.opened(), 2, "half a second is what is left of the second");
}

#[tokio::test]
async fn a_route_may_give_its_upstream_more_time() {
    let shop = Upstream::start(|_| Reply::new().pause(Duration::from_millis(700)).write(OK)).await;
    let mut config = config(&[shop.address()]);
    config.proxy.timeouts.response_header = Duration::from_millis(200);
    let mut timeouts = utm_dispatcher::config::UpstreamTimeouts::from(config.proxy.timeouts);
    timeouts.response_header = Duration::from_secs(10);
    config.routes.push(utm_dispatcher::config::Route {
        host: None,
        path: "/slow".to_owned(),
        upstream: 0,
        site: "default".to_owned(),
        tracking: true,
        strip: Vec::new(),
        timeouts,
    });
    let proxy = proxy(config);
    assert_eq!(proxy.get("/").await.status(), 504);
    assert_eq!(proxy.get("/slow/report").await.status(), 200);
}
