//! A request's whole way: from a browser through the proxy, journal and shipper to a report.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;
use tokio::sync::Barrier;
use utm_dispatcher::capture::cookie::VisitorCookie;
use utm_dispatcher::keys::KeyRing;
use uuid::Uuid;

use crate::harness::app::{Running, app, app_config};
use crate::harness::link::Link;
use crate::harness::load::BROWSER;
use crate::harness::{Client, Reply, Upstream, eventually, postgres};

const PATIENCE: Duration = Duration::from_secs(20);

async fn html_shop() -> Upstream {
    Upstream::start(|_| Reply::with("200 OK", &["Content-Type: text/html"], "<p>page</p>")).await
}

async fn open(client: &mut Client, target: &str, more: &str) -> crate::harness::client::Answer {
    client.send(format!("GET {target} HTTP/1.1\r\n{BROWSER}{more}\r\n")).await;
    client.answer().await
}

/// The value of the visitor's cookie that an answer sets.
fn cookie_of(answer: &crate::harness::client::Answer) -> String {
    let line = answer.value("set-cookie").expect("a cookie");
    line.strip_prefix("_utmd=").unwrap().split(';').next().unwrap().to_owned()
}

/// Waits until the report says `expected` at `pointer`; panics with what it says instead.
async fn report_says(app: &Running, target: &str, pointer: &str, expected: serde_json::Value) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let report = app.report(target).await;
        if report.as_ref().is_some_and(|report| report.pointer(pointer) == Some(&expected)) {
            return;
        }
        assert!(Instant::now() < deadline, "{target}: {pointer} is not {expected}: {report:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_tagged_visitors_at_once_are_a_thousand_sessions() {
    let database = postgres::database().await;
    let upstream = html_shop().await;
    let (app, _files) = app(upstream.address(), &database.url).await;
    report_says(&app, "general-stats", "/results/total_sessions", json!(0)).await;

    let all_connected = Arc::new(Barrier::new(1000));
    let visitors: Vec<_> = (0..1000)
        .map(|number| {
            let (proxy, all_connected) = (app.proxy, Arc::clone(&all_connected));
            tokio::spawn(async move {
                let mut client = Client::connect(proxy).await;
                all_connected.wait().await;
                let tags = format!("utm_source=facebook&utm_medium=cpc&utm_campaign=c{number}");
                let target = format!("/p/{number}?a=%7E&{tags}&fbclid=Cl{number}&b=&&c");
                let answer =
                    open(&mut client, &target, &format!("X-Number: {number}\r\nCookie: own=1; x=\"y\"\r\n"))
                        .await;
                assert_eq!(answer.status(), 200);
                assert!(answer.value("set-cookie").is_some());
            })
        })
        .collect();
    for visitor in visitors {
        visitor.await.unwrap();
    }
    report_says(&app, "general-stats", "/results/total_sessions", json!(1000)).await;

    let received = upstream.received();
    assert_eq!(received.len(), 1000);
    let added = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-real-ip"];
    for request in &received {
        let number = request.value("x-number").unwrap();
        assert_eq!(request.target(), format!("/p/{number}?a=%7E&fbclid=Cl{number}&b=&&c"));
        let fields: Vec<&str> = request
            .head
            .split("\r\n")
            .skip(1)
            .filter(|line| !line.is_empty())
            .filter(|line| !added.contains(&line.split(':').next().unwrap().to_ascii_lowercase().as_str()))
            .collect();
        let sent = format!("{BROWSER}X-Number: {number}\r\nCookie: own=1; x=\"y\"\r\n");
        assert_eq!(fields.join("\r\n") + "\r\n", sent);
    }

    let campaigns = app.report("campaigns?limit=1000").await.unwrap();
    let sessions: BTreeMap<&str, u64> = campaigns["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            assert_eq!((row["source"].as_str(), row["medium"].as_str()), (Some("facebook"), Some("cpc")));
            (row["campaign"].as_str().unwrap(), row["sessions"].as_u64().unwrap())
        })
        .collect();
    let expected: Vec<String> = (0..1000).map(|number| format!("c{number}")).collect();
    assert_eq!(sessions, expected.iter().map(|name| (name.as_str(), 1)).collect());
    app.stop().await;
}

/// The quickest of several counts: what the program makes a page view wait is in all of them, what a busy machine adds
/// is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_view_is_in_the_reports_within_two_seconds() {
    let database = postgres::migrated().await;
    let upstream = html_shop().await;
    let (app, _files) = app(upstream.address(), &database.url).await;
    report_says(&app, "general-stats", "/results/page_views", json!(0)).await;
    let mut client = app.connect().await;
    let mut took = Vec::new();
    for number in 1..=5 {
        open(&mut client, "/p?utm_source=facebook", "").await;
        let answered = Instant::now();
        report_says(&app, "general-stats", "/results/page_views", json!(number)).await;
        took.push(answered.elapsed());
    }
    assert!(took.iter().min() < Some(&Duration::from_secs(2)), "{took:?}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tabs_restored_together_over_two_proxies_are_one_session() {
    let database = postgres::migrated().await;
    let upstream = html_shop().await;
    let files = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let secret = files[0].path().join("secret");
    let mut apps = Vec::new();
    for files in &files {
        let mut config = app_config(upstream.address(), &database.url, files.path());
        config.tracking.identity.secret_file.clone_from(&secret);
        apps.push(Running::start(config).await);
    }
    let keys = KeyRing::load_or_create(&secret).unwrap();
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    // The hour is part of a session's id: tabs on both sides of a full hour may differ.
    if now() % 3600 > 3590 {
        tokio::time::sleep(Duration::from_secs(11)).await;
    }
    let yesterday = u32::try_from(now() - 86_400).unwrap();
    let old = VisitorCookie {
        visitor_id: Uuid::now_v7(),
        session_id: Uuid::now_v7(),
        started_s: yesterday,
        active_s: yesterday,
        campaign_hash: 7,
        click_hash: 0,
        session_number: 4,
        flags: 0,
    };
    let cookie = format!("Cookie: _utmd={}\r\n", old.encode(&keys));
    let tabs: Vec<_> = (0..8)
        .map(|number| {
            let (proxy, cookie) = (apps[number % 2].proxy, cookie.clone());
            tokio::spawn(async move {
                let mut client = Client::connect(proxy).await;
                cookie_of(&open(&mut client, &format!("/tab/{number}"), &cookie).await)
            })
        })
        .collect();
    let mut sessions = Vec::new();
    for tab in tabs {
        let now_s = u32::try_from(now()).unwrap();
        sessions.push(VisitorCookie::decode(tab.await.unwrap().as_bytes(), &keys, now_s).unwrap().session_id);
    }
    sessions.dedup();
    assert_eq!(sessions.len(), 1);
    report_says(&apps[0], "general-stats", "/results/page_views", json!(8)).await;
    report_says(&apps[1], "general-stats", "/results/total_sessions", json!(1)).await;
    let list = apps[0].report("sessions").await.unwrap();
    assert_eq!(list["results"][0]["session_id"], json!(sessions[0]));
    for app in apps {
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_credited_to_the_last_campaign_whichever_way_it_becomes_known() {
    let database = postgres::migrated().await;
    let upstream = Upstream::start(|request| match request.target() {
        "/buy" => Reply::with(
            "302 Found",
            &[
                "Location: /thanks",
                "X-Utm-Event: purchase; order_id=H-1; order_number=TWC-1; value=100.50; currency=UAH",
            ],
            "",
        ),
        _ => Reply::with("200 OK", &["Content-Type: text/html"], "<p>page</p>"),
    })
    .await;
    let files = tempfile::tempdir().unwrap();
    let mut config = app_config(upstream.address(), &database.url, files.path());
    config.upstreams[0].trust_events = true;
    let app = Running::start(config).await;

    let mut client = app.connect().await;
    let first =
        cookie_of(&open(&mut client, "/?utm_source=google&utm_medium=cpc&utm_campaign=spring", "").await);
    let with = |cookie: &str| format!("Cookie: _utmd={cookie}\r\n");
    // Times are kept in milliseconds, and touches of one millisecond have no last one.
    tokio::time::sleep(Duration::from_millis(5)).await;
    let second =
        open(&mut client, "/p?utm_source=newsletter&utm_medium=email&utm_campaign=may", &with(&first)).await;
    let second = cookie_of(&second);
    client.send(format!("POST /buy HTTP/1.1\r\n{BROWSER}{}Content-Length: 0\r\n\r\n", with(&second))).await;
    let bought = client.answer().await;
    assert_eq!(
        (bought.status(), bought.value("x-utm-event")),
        (302, None),
        "the shop's word is for us alone"
    );
    assert!(upstream.received().iter().all(|request| request.value("cookie").is_none()), "so is our cookie");

    report_says(&app, "general-stats", "/results/total_orders", json!(1)).await;
    let keys = KeyRing::load_or_create(&files.path().join("secret")).unwrap();
    let session = VisitorCookie::decode(second.as_bytes(), &keys, u32::MAX - 300).unwrap().session_id;
    let told = json!([
        {"order_id": "A-1", "status": "placed", "value": "20.00", "currency": "UAH", "session_id": session},
        {"order_id": "A-1", "status": "paid", "value": "20.00", "currency": "UAH"},
        {"order_id": "A-1", "status": "refunded", "value": "5.00", "currency": "UAH", "reference": "r1"},
        {"order_id": "A-2", "status": "placed", "value": "7.00", "currency": "UAH"},
        {"order_id": "A-3", "status": "teleported"},
    ]);
    let (status, answer) = app.tell_orders(&told).await;
    assert_eq!(status, 200, "{answer}");
    let outcomes: Vec<_> =
        answer["results"].as_array().unwrap().iter().map(|item| item["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["recorded", "recorded", "recorded", "recorded", "refused"]);
    let (_, again) = app.tell_orders(&told).await;
    assert_eq!(again["results"][0]["outcome"], "duplicate");

    let stats = app.report("general-stats").await.unwrap();
    let results = &stats["results"];
    assert_eq!(results["total_orders"], 3);
    assert_eq!((&results["gross_revenue"], &results["refunds"]), (&json!("127.50"), &json!("5.00")));
    assert_eq!((&results["total_revenue"], &results["paid_revenue"]), (&json!("122.50"), &json!("20.00")));
    let sources = app.report("sources").await.unwrap();
    let money: BTreeMap<&str, (i64, &str)> = sources["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (
                row["source"].as_str().unwrap(),
                (row["orders"].as_i64().unwrap(), row["revenue"].as_str().unwrap()),
            )
        })
        .collect();
    assert_eq!(money["newsletter"], (2, "115.50"));
    assert_eq!(money["google"], (0, "0.00"));
    assert_eq!(money["(not tracked)"], (1, "7.00"));
    let explained = app.report("orders/H-1/explain").await.unwrap();
    assert_eq!(explained.pointer("/results/order/joined_by"), Some(&json!("cookie")), "{explained:#}");
    let sql = "SELECT properties ->> 'order_number' FROM events WHERE order_id = 'H-1'";
    let number: String = database.connect().await.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(number, "TWC-1");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_starts_and_serves_with_postgres_away_and_ships_later() {
    let database = postgres::migrated().await;
    let link = Link::to(&database.url).await;
    link.cut();
    let upstream = html_shop().await;
    let (app, _files) = app(upstream.address(), link.url()).await;
    let mut client = app.connect().await;
    assert_eq!(open(&mut client, "/first?utm_source=a", "").await.status(), 200);
    for number in 0..99 {
        assert_eq!(open(&mut client, &format!("/{number}?utm_source=a"), "").await.status(), 200);
    }
    let (status, ready) = app.ask("/readyz").await;
    assert_eq!((status, ready.lines().next()), (200, Some("degraded")), "{ready}");
    assert!(app.report("general-stats").await.is_none());
    link.mend();
    report_says(&app, "general-stats", "/results/page_views", json!(100)).await;
    report_says(&app, "general-stats", "/results/total_sessions", json!(100)).await;
    eventually("ready", PATIENCE, || async { (app.ask("/readyz").await.1 == "ready\n").then_some(()) }).await;
    app.stop().await;
}

/// Seconds that the oldest record has waited.
async fn oldest_unshipped(app: &Running) -> u64 {
    let (_, metrics) = app.ask("/metrics").await;
    let line =
        metrics.lines().find(|line| line.starts_with("utm_dispatcher_journal_oldest_unshipped_seconds"));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_age_of_what_waits_grows_while_postgres_is_away() {
    let database = postgres::migrated().await;
    let link = Link::to(&database.url).await;
    let upstream = html_shop().await;
    link.cut();
    // From the start on, when nothing of the journal is known, and later.
    let (app, _files) = app(upstream.address(), link.url()).await;
    assert_eq!(oldest_unshipped(&app).await, 0, "nothing waits");
    for path in ["/early", "/late"] {
        link.cut();
        assert_eq!(open(&mut app.connect().await, path, "").await.status(), 200);
        eventually("it waits for two seconds", PATIENCE, || async {
            (oldest_unshipped(&app).await >= 2).then_some(())
        })
        .await;
        link.mend();
        eventually("nothing waits", PATIENCE, || async { (oldest_unshipped(&app).await == 0).then_some(()) })
            .await;
    }
    app.stop().await;
}
