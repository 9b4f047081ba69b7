//! Who is known, for how long, and who is not.

use std::fs;

use utm_dispatcher::config::{Config, Consent, ConsentPattern, IdentifyBy, TrackingMode};

use super::stage::{DAY, HOUR, MINUTE, Stage};

fn with_consent(config: &mut Config) {
    let pattern = ConsentPattern::Own { granted: "ads=yes".to_owned(), denied: None };
    config.tracking.identity.mode = IdentifyBy::Consent(Consent { cookie: "consent".to_owned(), pattern });
}

const DENIED: &str = "SELECT string_agg(format('%s: %s %s, %s pages %s landings %s orders',
        to_char(d.quarter AT TIME ZONE 'UTC', 'HH24:MI'), coalesce(c.source, '-'), coalesce(c.medium, '-'),
        d.page_views, d.landings, d.orders), E'\\n' ORDER BY d.quarter, c.source NULLS FIRST)
    FROM denied_hits d LEFT JOIN campaigns c USING (campaign_id)";

#[tokio::test(flavor = "multi_thread")]
async fn a_landing_that_caches_share_earns_the_order_of_the_visitor_who_comes_of_it() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor();
    olena.clicks(&stage, "/cached?utm_source=viber&utm_campaign=sale").await;
    assert!(olena.cookie("_utmd").is_none());
    stage.pass(20 * MINUTE);
    olena.browses(&stage, "/p/1").await;
    stage.pass(DAY);
    olena.types(&stage, "/").await;
    olena.orders(&mut stage, "7", "100.00").await;
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: viber / sale, 2 pages
        03-10 10:00 viber / sale
      03-11 10:20 session 2: (direct), 2 pages
    order 7: 100.00 of visitor 1 by cookie ← viber / sale
    ");
    let touches = stage.report("orders/7/explain").await["touches"].clone();
    assert_eq!(
        (touches[0]["utm_source"].as_str(), touches[0]["verdict"].as_str()),
        (Some("viber"), Some("credited"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_may_have_landed_neither_gets_the_landing() {
    let mut stage = Stage::open().await;
    let (mut olena, mut petro) = (stage.visitor(), stage.visitor());
    petro.moves_to("203.0.113.1");
    olena.clicks(&stage, "/cached?utm_source=viber").await;
    stage.pass(5 * MINUTE);
    olena.browses(&stage, "/p/1").await;
    petro.types(&stage, "/p/2").await;
    stage.pass(MINUTE);
    olena.orders(&mut stage, "7", "100.00").await;
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookieless
      03-10 10:00 session 1: viber, 1 page
        03-10 10:00 viber
    visitor 2, cookie
      03-10 10:05 session 1: (direct), 2 pages
    visitor 3, cookie
      03-10 10:05 session 1: (direct), 1 page
    order 7: 100.00 of visitor 2 by cookie ← (direct)
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_agrees_in_mid_visit_keeps_the_campaign_of_the_landing() {
    let mut stage = Stage::with(with_consent).await;
    let mut olena = stage.visitor();
    olena.clicks(&stage, "/?utm_source=google&utm_medium=cpc&utm_campaign=brand&gclid=Cj0").await;
    assert!(olena.cookie("_utmd").is_none(), "nothing is stored before consent");
    olena.keeps("consent", "stats=yes&ads=yes");
    stage.pass(2 * MINUTE);
    olena.browses(&stage, "/p/1").await;
    stage.pass(MINUTE);
    olena.orders(&mut stage, "7", "100.00").await;
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: google / cpc / brand, 3 pages
        03-10 10:00 google / cpc / brand gclid=
    order 7: 100.00 of visitor 1 by cookie ← google / cpc / brand
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_refuses_is_only_counted_and_loses_the_cookie() {
    let mut stage = Stage::with(with_consent).await;
    let mut olena = stage.visitor();
    olena.keeps("consent", "ads=yes");
    olena.clicks(&stage, "/?utm_source=viber").await;
    assert!(olena.cookie("_utmd").is_some());
    olena.keeps("consent", "ads=no");
    stage.pass(20 * MINUTE);
    olena.arrives_from(&stage, "https://www.google.com/", "/p/1?gclid=Cj0").await;
    assert!(olena.cookie("_utmd").is_none(), "taken away");
    olena.browses(&stage, "/p/2").await;
    olena.orders(&mut stage, "7", "100.00").await;
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: viber, 1 page
        03-10 10:00 viber
    order 7: 100.00 of nobody ← (not tracked)
    ");
    insta::assert_snapshot!(stage.value(DENIED).await.unwrap(), @r"
    10:15: - -, 2 pages 0 landings 1 orders
    10:15: google cpc, 1 pages 1 landings 0 orders
    ");
    assert_eq!(
        stage.value("SELECT count(*) FROM touches WHERE click_ids IS NOT NULL").await.as_deref(),
        Some("0")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_says_global_privacy_control_is_only_counted() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor().saying("Sec-GPC: 1");
    olena.clicks(&stage, "/?utm_source=viber&utm_medium=social&utm_campaign=secret&fbclid=X").await;
    olena.browses(&stage, "/p/1").await;
    stage.pass(HOUR);
    olena.types(&stage, "/").await;
    insta::assert_snapshot!(stage.story().await, @"");
    insta::assert_snapshot!(stage.value(DENIED).await.unwrap(), @r"
    10:00: - -, 1 pages 0 landings 0 orders
    10:00: viber social, 1 pages 1 landings 0 orders
    11:00: - -, 1 pages 1 landings 0 orders
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_is_not_honoured_global_privacy_control_changes_nothing() {
    let mut stage = Stage::with(|config| config.tracking.identity.honour_gpc = false).await;
    let mut olena = stage.visitor().saying("Sec-GPC: 1");
    olena.clicks(&stage, "/?utm_source=viber").await;
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: viber, 1 page
        03-10 10:00 viber
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_cookies_a_day_is_one_visit_with_all_its_touches() {
    let mut stage = Stage::with(|config| config.tracking.identity.mode = IdentifyBy::Cookieless).await;
    let mut olena = stage.visitor();
    olena.keeps("_utmd", "left-over");
    olena.keeps("_fbp", "fb.1.1.1");
    olena.clicks(&stage, "/?utm_source=viber&utm_medium=social").await;
    assert!(olena.cookie("_utmd").is_none(), "what an earlier mode left is taken away");
    stage.pass(2 * HOUR);
    olena.clicks(&stage, "/?gclid=Cj0").await;
    let known = stage.report("sessions?period=all_time").await;
    assert_eq!((&known[0]["gclid"], &known[0]["fbc"]), (&serde_json::Value::Null, &serde_json::Value::Null));
    olena.browses(&stage, "/p/1?utm_source=banner").await;
    olena.orders(&mut stage, "7", "100.00").await;
    stage.pass(DAY);
    olena.types(&stage, "/").await;
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookieless
      03-10 10:00 session 1: viber / social, 4 pages
        03-10 10:00 viber / social
        03-10 12:00 google / cpc gclid=
    visitor 2, cookieless
      03-11 12:00 session 1: (direct), 1 page
    order 7: 100.00 of visitor 1 by cookie ← google / cpc
    ");
    let personal = "SELECT (SELECT count(*) FROM session_cookies)
                           + (SELECT count(*) FROM touches WHERE click_ids->>'gclid' <> '')";
    assert_eq!(stage.value(personal).await.as_deref(), Some("0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_refuses_cookies_is_somebody_new_on_each_page_and_its_referrals_are_not_made_up() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor().without_cookies();
    olena.clicks(&stage, "/?utm_source=viber").await;
    stage.pass(MINUTE);
    olena.browses(&stage, "/p/1?utm_source=banner").await;
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: viber, 1 page
        03-10 10:00 viber
    visitor 2, cookie
      03-10 10:01 session 1: (direct), 1 page
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_cookie_is_none() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor();
    olena.types(&stage, "/").await;
    let genuine = olena.cookie("_utmd").unwrap().to_owned();
    let mut mallory = stage.visitor();
    let end = if genuine.ends_with('A') { "B" } else { "A" };
    mallory.keeps("_utmd", &format!("{}{end}", &genuine[..genuine.len() - 1]));
    stage.pass(MINUTE);
    mallory.clicks(&stage, "/?utm_source=spam").await;
    assert_ne!(mallory.cookie("_utmd").unwrap()[..40], genuine[..40]);
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: (direct), 1 page
    visitor 2, cookie
      03-10 10:01 session 1: spam, 1 page
        03-10 10:01 spam
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_loses_nobody() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor();
    olena.clicks(&stage, "/?utm_source=viber").await;
    let before = olena.cookie("_utmd").unwrap().to_owned();
    stage
        .restart(|files| {
            let secret = files.join("secret");
            let old = fs::read_to_string(&secret).unwrap();
            fs::write(&secret, format!("9 CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk\n{old}")).unwrap();
        })
        .await;
    stage.pass(5 * MINUTE);
    olena.browses(&stage, "/p/1").await;
    assert_ne!(olena.cookie("_utmd").unwrap(), before, "signed with the new key");
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: viber, 2 pages
        03-10 10:00 viber
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_proxies_whose_clocks_differ_know_one_visitor_in_one_visit() {
    let mut stage = Stage::open().await;
    stage.another_proxy(-120_000).await;
    let mut olena = stage.visitor();
    olena.clicks(&stage, "/?utm_source=viber").await;
    olena.goes_by_proxy(1);
    olena.browses(&stage, "/p/1").await;
    stage.pass(10 * MINUTE);
    olena.browses(&stage, "/p/2").await;
    olena.goes_by_proxy(0);
    stage.pass(25 * MINUTE);
    olena.orders(&mut stage, "7", "100.00").await;
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: viber, 4 pages
        03-10 10:00 viber
    order 7: 100.00 of visitor 1 by cookie ← viber
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_observes_changes_no_byte() {
    let mut heads = Vec::new();
    for mode in [TrackingMode::Observe, TrackingMode::Off] {
        let mut stage = Stage::with(move |config| {
            config.tracking.mode = mode;
            config.tracking.upstream_headers = true;
        })
        .await;
        let mut olena = stage.visitor();
        olena.clicks(&stage, "/old?utm_source=viber&fbclid=X").await;
        let landing = olena.last.head.clone();
        olena.browses(&stage, "/p/1").await;
        olena.says("Sec-GPC: 1");
        olena.keeps("_utmd", "left-over");
        olena.browses(&stage, "/p/2").await;
        let received: Vec<String> = stage.shop_received().into_iter().map(|request| request.head).collect();
        let port = |head: &str| {
            head.lines().filter(|line| !line.starts_with("x-forwarded-port")).collect::<String>()
        };
        let received: Vec<String> = received.iter().map(|head| port(head)).collect();
        heads.push((received, landing, olena.last.head.clone()));
        if mode == TrackingMode::Observe {
            insta::assert_snapshot!(stage.story().await, @r"
            visitor 1, cookieless
              03-10 10:00 session 1: viber, 2 pages
                03-10 10:00 viber fbclid= (answered 301)
            ");
        } else {
            assert_eq!(stage.story().await, "");
        }
    }
    assert_eq!(heads[0], heads[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_forgotten_takes_nothing_from_the_campaign_of_a_landing_without_cookie() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor();
    olena.clicks(&stage, "/cached?utm_source=viber&utm_campaign=sale").await;
    stage.pass(MINUTE);
    olena.browses(&stage, "/p/1").await;
    olena.orders(&mut stage, "7", "100.00").await;
    let explained = stage.report("orders/7/explain").await;
    stage.forget(explained["order"]["visitor_id"].as_str().unwrap()).await;
    // The order is computed anew.
    stage.shop_reports("7", "paid", serde_json::json!({"value": "100.00", "currency": "UAH"})).await;
    let story = stage.story().await;
    assert!(story.contains("visitor 1, forgotten") && story.contains("← viber / sale"), "{story}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visit_that_began_without_a_cookie_is_one_in_sums_and_in_lists() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor();
    olena.clicks(&stage, "/cached?utm_source=viber&utm_medium=social&utm_campaign=sale&fbclid=Cl").await;
    stage.pass(5 * MINUTE);
    olena.browses(&stage, "/p/1").await;
    stage.judged().await;
    let general = stage.report("general-stats?period=all_time").await;
    let numbers = [
        "total_sessions",
        "unique_visitors",
        "new_visitors",
        "page_views",
        "bounce_rate",
        "avg_session_seconds",
    ];
    let numbers = numbers.map(|name| general[name].as_f64().unwrap());
    assert_eq!(numbers, [1.0, 1.0, 1.0, 2.0, 0.0, 300.0]);
    for (report, field, value) in [
        ("sources", "source", "viber"),
        ("campaigns", "campaign", "sale"),
        ("landing-pages", "landing_page", "/cached"),
    ] {
        let rows = stage.report(&format!("{report}?period=all_time")).await;
        let rows = rows.as_array().unwrap();
        assert_eq!(
            (rows.len(), &rows[0][field], &rows[0]["sessions"]),
            (1, &value.into(), &1.into()),
            "{rows:?}"
        );
    }
    let sessions = stage.report("sessions?period=all_time&bots=include").await;
    assert_eq!((sessions.as_array().unwrap().len(), &sessions[0]["fbclid"]), (1, &"Cl".into()));
    let beginning = sessions[0]["begun_in"].as_str().unwrap();
    let whole = stage.report(&format!("sessions/{}", sessions[0]["session_id"].as_str().unwrap())).await;
    assert_eq!(
        (whole["touches"].as_array().unwrap().len(), whole["actions"].as_array().unwrap().len()),
        (1, 2)
    );
    let part = stage.report(&format!("sessions/{beginning}")).await;
    assert_eq!(part["session"]["continued_in"], sessions[0]["session_id"]);
    let coverage = stage.report("coverage?period=all_time").await;
    assert_eq!(
        (&coverage["sessions"]["counted"], &coverage["sessions"]["joined_landings"]),
        (&1.into(), &1.into())
    );

    // Now it may have been somebody else's: nobody's visit is made up.
    let mut petro = stage.visitor();
    petro.moves_to("203.0.113.1");
    stage.pass(5 * MINUTE);
    petro.types(&stage, "/p/2").await;
    stage.judged().await;
    let general = stage.report("general-stats?period=all_time").await;
    assert_eq!((&general["total_sessions"], &general["page_views"]), (&3.into(), &3.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_with_the_cookie_of_somebody_forgotten_is_somebody_new() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor();
    olena.clicks(&stage, "/?utm_source=viber").await;
    let before = olena.cookie("_utmd").unwrap().to_owned();
    let visitor = stage.value("SELECT visitor_id FROM visitors").await.unwrap();
    stage.forget(&visitor).await;
    stage.pass(HOUR);
    // Proxies look the list up every two seconds.
    for _ in 0..100 {
        olena.keeps("_utmd", &before);
        olena.types(&stage, "/").await;
        if stage.value("SELECT count(*) > 0 FROM visitors WHERE identity = 1").await.as_deref()
            == Some("true")
        {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let known = stage.texts("SELECT visitor_id::text FROM visitors WHERE identity = 1").await;
    assert!(!known.is_empty() && !known.contains(&visitor), "{known:?}");
    assert_ne!(olena.cookie("_utmd").unwrap()[..30], before[..30]);
    assert_eq!(
        stage.value(&format!("SELECT count(*) FROM sessions WHERE visitor_id = '{visitor}'")).await.unwrap(),
        "0"
    );
}
