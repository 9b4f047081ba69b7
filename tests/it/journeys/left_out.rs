//! Who is no customer: bots, scanners of mail, monitors, staff; and people who look like one of them and are none.

use serde_json::{Value, json};

use super::stage::{MINUTE, Stage};
use std::time::Duration;

const SAFARI: &str =
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)";

async fn sessions(stage: &Stage, bots: &str) -> i64 {
    let stats = stage.report(&format!("general-stats?period=all_time&bots={bots}")).await;
    stats["total_sessions"].as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_that_say_so_are_counted_and_nothing_else() {
    let mut stage = Stage::open().await;
    for agent in [
        "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
        "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)",
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "WhatsApp/2.23.20.0",
    ] {
        let mut bot = stage.visitor().with_agent(agent);
        bot.clicks(&stage, "/p/boots?utm_source=facebook").await;
        assert_eq!(bot.cookie("_utmd"), None, "{agent}");
    }
    assert_eq!(sessions(&stage, "include").await, 0);
    let counted = "SELECT string_agg(bot || ' ' || hits, ', ' ORDER BY bot) FROM bot_hits";
    assert_eq!(
        stage.value(counted).await.unwrap(),
        "facebookexternalhit 1, googlebot 1, uptimerobot 1, whatsapp 1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn people_in_browsers_of_applications_are_people() {
    let mut stage = Stage::open().await;
    for agent in [
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/21A329 [FBAN/FBIOS;FBAV/440.0]",
        "Mozilla/5.0 (Linux; Android 13) Chrome/117.0 Mobile Safari/537.36 Instagram 300.0",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/15E148 [LinkedInApp]/9.29",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) musical_ly_33.5.0 BytedanceWebview/d8a21c6",
        "Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/124.0 Mobile Safari/537.36 Telegram-Android/10.14.2",
        "Mozilla/5.0 (Linux; Android 9; Cubot X19) Chrome/80.0 Mobile Safari/537.36",
    ] {
        stage.visitor().with_agent(agent).clicks(&stage, "/?utm_source=ig").await;
    }
    assert_eq!(sessions(&stage, "exclude").await, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_opens_all_links_of_a_mail_at_once_is_a_scanner() {
    let mut stage = Stage::open().await;
    let mail = |page: &str| format!("/p/{page}?utm_source=newsletter&utm_medium=email&utm_campaign=autumn");
    // A filter of an office's mail: it keeps no cookies, and is gone within three seconds.
    let mut scanner = stage.visitor().with_agent(SAFARI).without_cookies();
    for page in ["boots", "coats", "hats", "socks"] {
        scanner.clicks(&stage, &mail(page)).await;
        stage.pass(Duration::from_millis(700));
    }
    // Somebody who reads it: two links, with a look at each.
    let mut reader = stage.visitor().with_agent(SAFARI);
    for page in ["boots", "coats"] {
        reader.clicks(&stage, &mail(page)).await;
        stage.pass(MINUTE);
        reader.browses(&stage, "/cart").await;
    }
    assert_eq!(sessions(&stage, "exclude").await, 5);
    stage.judged().await;
    assert_eq!(sessions(&stage, "exclude").await, 1, "the reader's");
    assert_eq!((sessions(&stage, "only").await, sessions(&stage, "include").await), (4, 5));
    let reasons =
        "SELECT string_agg(DISTINCT behaviour_reasons || ' by ' || behaviour_rules, ',') FROM sessions
                   WHERE behaviour_score > 0";
    assert_eq!(stage.value(reasons).await.unwrap(), "4 by 3");
    let flagged = stage.report("sessions?period=all_time&bots=only&limit=1").await;
    assert_eq!((&flagged[0]["is_bot"], &flagged[0]["bot_score"]), (&json!(true), &json!(0)));
    assert_eq!(
        (&flagged[0]["behaviour_score"], &flagged[0]["behaviour_reasons"], &flagged[0]["behaviour_rules"]),
        (&json!(80), &json!(["opens_mail_links_at_once"]), &json!(3))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn people_who_open_links_of_a_mail_in_tabs_are_no_scanner() {
    let mut stage = Stage::open().await;
    let mail = |page: &str| format!("/p/{page}?utm_medium=email&utm_campaign={page}");
    // She returns the cookie, and each link is a visit of its own.
    let mut reader = stage.visitor().with_agent(SAFARI);
    for page in ["boots", "coats", "hats", "socks"] {
        reader.clicks(&stage, &mail(page)).await;
        stage.pass(Duration::from_millis(700));
    }
    // An office behind one address, with one make of telephone: all are at the mail, and one goes on.
    let mut office: Vec<_> =
        (0..4).map(|_| stage.visitor().with_agent(&format!("{SAFARI} Office"))).collect();
    for (person, page) in office.iter_mut().zip(["boots", "coats", "hats", "socks"]) {
        person.moves_to("198.51.100.7");
        person.clicks(&stage, &mail(page)).await;
        stage.pass(Duration::from_secs(1));
    }
    office[2].browses(&stage, "/cart").await;
    // Programs that open links, but of no mail, or without any tag.
    let mut others = stage.visitor().with_agent(SAFARI).without_cookies();
    for page in ["boots", "coats", "hats", "socks"] {
        others.clicks(&stage, &format!("/p/{page}?utm_source=viber&utm_campaign={page}")).await;
        others.arrives_from(&stage, "https://mail.google.com/", &format!("/p/{page}")).await;
    }
    stage.judged().await;
    assert_eq!((sessions(&stage, "exclude").await, sessions(&stage, "only").await), (16, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_is_left_out_and_a_scanner_found_however_it_is_spelt() {
    let mut stage = Stage::with(|config| {
        config.tracking.exclude.paths = ["/адмін", "/%D0%BA", "/staff"].map(str::to_owned).to_vec();
        config.tracking.exclude.ips = vec!["::ffff:203.0.113.200".to_owned()];
    })
    .await;
    let mut clerk = stage.visitor();
    for path in [
        "/%D0%B0%D0%B4%D0%BC%D1%96%D0%BD/x",
        "/%d0%b0%d0%b4%d0%bc%d1%96%d0%bd",
        "/%d0%ba",
        "/staff/x",
        "/%73taff",
        "/x/../staff",
        "//staff",
    ] {
        clerk.types(&stage, path).await;
    }
    clerk.moves_to("203.0.113.200");
    clerk.types(&stage, "/").await;
    let mut scanner = stage.visitor();
    for path in ["//.env", "/%2eenv", "/x/..//.git/config"] {
        scanner.types(&stage, path).await;
    }
    assert_eq!(sessions(&stage, "include").await, 0);
    assert_eq!(
        stage.value("SELECT sum(hits) FROM bot_hits WHERE bot = '(scanner)'").await.as_deref(),
        Some("3")
    );
    scanner.types(&stage, "/staffing").await;
    assert_eq!(sessions(&stage, "include").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_never_returns_a_cookie_is_flagged_and_an_office_is_not() {
    let mut stage = Stage::open().await;
    let mut program = stage.visitor().with_agent(SAFARI).without_cookies();
    for _ in 0..25 {
        program.types(&stage, "/").await;
        stage.pass(Duration::from_secs(40));
    }
    // Twenty-five people behind one address, with the same telephones: they keep their cookies.
    for _ in 0..25 {
        let mut person = stage.visitor().with_agent(&format!("{SAFARI} Version/17"));
        person.moves_to("198.51.100.7");
        person.types(&stage, "/").await;
        stage.pass(Duration::from_secs(5));
        person.browses(&stage, "/p/boots").await;
    }
    stage.judged().await;
    assert_eq!((sessions(&stage, "exclude").await, sessions(&stage, "only").await), (25, 25));
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_follow_a_link_once_and_are_not_counted_again() {
    let mut stage =
        Stage::with(|config| config.tracking.exclude.link = Some("/-/do-not-count-me".to_owned())).await;
    let mut staff = stage.visitor();
    staff.types(&stage, "/-/do-not-count-me").await;
    assert_eq!(staff.cookie("_utmd_off"), Some("1"));
    assert!(stage.shop_received().is_empty(), "the proxy answers itself");
    staff.types(&stage, "/").await;
    staff.browses(&stage, "/p/boots").await;
    assert_eq!((sessions(&stage, "include").await, staff.cookie("_utmd")), (0, None));
    stage.report_when("exclusions", |rules| rules[0]["hits"] == 2).await;
    let rules = stage.report("exclusions").await;
    assert_eq!(
        (&rules[0]["kind"], &rules[0]["value"], &rules[0]["origin"]),
        (&json!("cookie"), &json!("_utmd_off"), &json!("config"))
    );

    staff.types(&stage, "/-/do-not-count-me?off").await;
    staff.types(&stage, "/").await;
    assert_eq!(sessions(&stage, "include").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_given_later_holds_for_what_comes_and_for_what_is_there() {
    let mut stage = Stage::open().await;
    let kiosk = format!("{SAFARI} AcmeKiosk/2");
    let mut shop_window = stage.visitor().with_agent(&kiosk);
    let mut customer = stage.visitor();
    shop_window.types(&stage, "/").await;
    customer.types(&stage, "/").await;
    assert_eq!(sessions(&stage, "exclude").await, 2);

    let (status, rule) =
        stage.put("exclusions", r#"{"kind": "user_agent", "value": "acmekiosk", "note": "window"}"#).await;
    assert_eq!(status, 200, "{rule}");
    stage.report_when("general-stats?period=all_time", |stats| stats["total_sessions"] == 1).await;
    // Workers have it within seconds.
    stage.report_when("exclusions", |rules| rules[0]["sessions"] == 1).await;
    stage.pass(60 * MINUTE);
    shop_window.types(&stage, "/").await;
    customer.types(&stage, "/").await;
    assert_eq!(sessions(&stage, "include").await, 2, "two of the customer");
    stage.report_when("exclusions", |rules| rules[0]["hits"] == 1).await;

    let id = rule["results"]["id"].as_i64().unwrap();
    assert_eq!(stage.delete(&format!("exclusions/{id}")).await, 204);
    stage.report_when("general-stats?period=all_time", |stats| stats["total_sessions"] == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_rule_keeps_out_what_it_names() {
    let mut stage = Stage::with(|config| {
        config.tracking.locale_prefixes = vec!["uk".to_owned()];
        let exclude = &mut config.tracking.exclude;
        exclude.paths = vec!["/admin".to_owned()];
        exclude.ips = vec!["192.0.2.0/24".to_owned()];
        exclude.cookies = vec!["role=staff".to_owned()];
        exclude.hosts = vec!["test.shop.ua".to_owned()];
    })
    .await;
    let mut office = stage.visitor();
    office.moves_to("192.0.2.77");
    office.types(&stage, "/").await;
    let mut staff = stage.visitor();
    staff.keeps("role", "staff");
    staff.types(&stage, "/").await;
    let mut tester = stage.visitor();
    tester.types(&stage, "https://test.shop.ua/").await;
    let mut clerk = stage.visitor();
    for path in ["/admin", "/admin/orders", "/uk/admin"] {
        clerk.types(&stage, path).await;
    }
    assert_eq!(sessions(&stage, "include").await, 0);
    clerk.types(&stage, "/administration").await;
    assert_eq!(sessions(&stage, "include").await, 1);
    for (body, pointer) in [
        (r#"{"kind": "ip", "value": "203.0.113"}"#, "/value"),
        (r#"{"kind": "moon", "value": "x"}"#, "/kind"),
        (r#"{"kind": "path"}"#, ""),
    ] {
        let (status, problem): (u16, Value) = stage.put("exclusions", body).await;
        assert_eq!((status, problem["pointer"].as_str()), (400, Some(pointer)), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_pages_and_fetches_no_files_is_flagged_where_everybody_else_fetches_some() {
    let mut stage = Stage::open().await;
    for number in 0..21 {
        let mut visitor = stage.visitor();
        // Her browser has the files of the first page when the second is asked for; a program asks for none.
        visitor.types(&stage, "/").await;
        if number != 7 {
            visitor.asks(&stage, "/static/shop.css").await;
        }
        for page in ["/p/boots", "/p/coats"] {
            stage.pass(Duration::from_secs(20));
            visitor.browses(&stage, page).await;
        }
    }
    stage.judged().await;
    assert_eq!((sessions(&stage, "exclude").await, sessions(&stage, "only").await), (20, 1));
    let flagged = stage.report("sessions?period=all_time&bots=only").await;
    assert_eq!(flagged[0]["behaviour_reasons"], json!(["no_assets_fetched"]));
    assert_eq!(flagged[0]["ip_address"], "203.0.113.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_say_by_which_rules_they_were_reached() {
    let mut stage = Stage::open().await;
    let mut robot = stage.visitor().with_agent("Mozilla/5.0 (compatible; Googlebot/2.1)");
    robot.types(&stage, "/p/boots").await;
    // A doubtful one, since Chromium names a language: it orders all the same.
    let mut doubtful = stage.visitor().without_language();
    doubtful.clicks(&stage, "/?utm_source=viber").await;
    doubtful.orders(&mut stage, "7", "100.00").await;
    let version = utm_dispatcher::capture::bot::RULES_VERSION;
    assert_eq!(stage.value("SELECT rules FROM bot_hits").await.unwrap(), version.to_string());
    let explained = stage.report("orders/7/explain").await;
    let verdict = &explained["session"];
    assert_eq!(
        [&verdict["is_bot"], &verdict["bot_score"], &verdict["bot_reasons"], &verdict["bot_rules"]],
        [&json!(true), &json!(60), &json!(["no_accept_language"]), &json!(version)]
    );
    let coverage = stage.report("coverage?period=all_time").await;
    assert_eq!(
        coverage["bots"],
        json!({"hits": 1, "names": [{"bot": "googlebot", "reasons": ["crawler"], "rules": version, "hits": 1}]})
    );
    assert_eq!(coverage["sessions"]["flagged"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn coverage_tells_what_is_in_no_number() {
    let mut stage = Stage::with(|config| config.tracking.exclude.paths = vec!["/admin".to_owned()]).await;
    let mut silent = stage.visitor().saying("Sec-GPC: 1");
    silent.clicks(&stage, "/?utm_source=viber&utm_medium=social").await;
    silent.browses(&stage, "/p/boots").await;
    let mut staff = stage.visitor();
    staff.types(&stage, "/admin").await;
    let mut olena = stage.visitor();
    olena.clicks(&stage, "/?utm_source=fb&utm_medium=cpc").await;
    olena.orders(&mut stage, "7", "100.00").await;
    stage.shop_reports("7", "placed", json!({"value": "100.00", "currency": "UAH"})).await;
    stage.shop_reports("8", "placed", json!({"value": "50.00", "currency": "UAH"})).await;
    stage.report_when("exclusions", |rules| rules[0]["hits"] == 1).await;
    let coverage = stage.report("coverage?period=all_time").await;
    assert_eq!(
        coverage["denied"],
        json!({"page_views": 2, "landings": 1, "orders": 0,
               "sources": [{"channel": "Organic Social", "source": "viber", "landings": 1}]})
    );
    assert_eq!(coverage["exclusions"], json!([{"kind": "path", "rules": 1, "hits": 1, "sessions": 0}]));
    let orders = &coverage["orders"];
    let numbers = [
        "orders",
        "seen",
        "reported",
        "seen_and_reported",
        "by_header",
        "by_api",
        "with_visitor",
        "with_touch",
    ];
    assert_eq!(numbers.map(|name| orders[name].as_i64().unwrap()), [2, 1, 2, 1, 1, 2, 1, 1]);
    assert_eq!((&orders["seen_rate"], &orders["days"][0]["day"]), (&json!(50.0), &json!("2026-03-10")));
    assert_eq!(stage.ask("/api/v1/coverage?source=fb").await.0, 400);
}
