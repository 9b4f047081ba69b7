//! The pages for people: the API's numbers, in HTML that works without scripts.

use reqwest::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HeaderValue, LOCATION, SET_COOKIE};
use reqwest::{RequestBuilder, StatusCode};
use utm_dispatcher::config::{Scope, StatsToken};
use utm_dispatcher::stats::tokens;

use super::reports::shop_with_carts;
use super::seed::{Order, Seed, Visit};
use super::server::Server;

const WINDOW: &str = "from=2026-11-01&last=2026-11-30";

/// Every page of one report.
const REPORTS: [&str; 27] = [
    "realtime",
    "timeseries",
    "channels",
    "sources",
    "campaigns",
    "content",
    "landing-pages",
    "referrers",
    "attribution",
    "ab-test",
    "geo",
    "geo/regions",
    "geo/cities",
    "devices",
    "browsers",
    "operating-systems",
    "returning-visitors",
    "cohort-analysis",
    "ltv-comparison",
    "repeat-rate",
    "funnel",
    "products",
    "orders",
    "roi",
    "sessions",
    "coverage",
    "tag-health",
];

fn as_browser(request: RequestBuilder) -> RequestBuilder {
    request.header("accept", "text/html,*/*;q=0.8").header("accept-language", "en")
}

async fn page(server: &Server, target: &str) -> String {
    let response = as_browser(server.get(target)).send().await.unwrap();
    let status = response.status();
    let is_html = response.headers()[CONTENT_TYPE].to_str().unwrap().starts_with("text/html");
    let policy = response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
    let text = response.text().await.unwrap();
    assert_eq!(status, 200, "{target}: {text}");
    assert!(is_html && policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{target}");
    assert!(!text.contains("style=") && !text.contains("onclick"), "{target}: {text}");
    text
}

/// The text of a page without its tags, each on a line of its own.
fn words(page: &str) -> String {
    let page = page.split("<main").nth(1).unwrap();
    page.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| format!("{text}\n")).collect()
}

#[tokio::test]
async fn every_report_has_a_page_without_an_error() {
    let (seed, _) = shop_with_carts().await;
    let server = Server::start(&seed.database.url).await;
    for question in [WINDOW, "period=year&source=facebook&lang=uk", "period=all_time", "last=2026-11-19"] {
        for report in REPORTS {
            let text = page(&server, &format!("/reports/{report}?campaign=shoes&{question}")).await;
            assert!(!text.contains("role=\"alert\""), "{report}?{question}: {}", words(&text));
        }
        let text = page(&server, &format!("/?{question}")).await;
        assert!(!text.contains("role=\"alert\""), "{}", words(&text));
    }
    page(&server, &format!("/exports?{WINDOW}")).await;
    page(&server, "/reports/inspect").await;
    let navigation = page(&server, "/").await;
    assert!(REPORTS.iter().all(|report| navigation.contains(&format!("\"reports/{report}\""))));
}

#[tokio::test]
async fn a_page_says_what_the_api_says() {
    let (seed, _) = shop_with_carts().await;
    let server = Server::start(&seed.database.url).await;
    let api = server.report("sources?from=2026-11-01&to=2026-12-01").await;
    let text = words(&page(&server, &format!("/reports/sources?{WINDOW}")).await);
    for row in api["results"].as_array().unwrap().iter().chain([&api["meta"]["totals"]]) {
        let cells = ["sessions", "conversions", "orders"].map(|name| row[name].to_string());
        let rate = row["conversion_rate"].as_f64().map_or("–".to_owned(), |rate| format!("{rate:.2} %"));
        for cell in cells.iter().chain([&rate]) {
            assert!(text.contains(&format!("\n{cell}\n")), "{cell} of {row} in {text}");
        }
    }
    for (asked, shown) in [
        ("from=2026-11-01&to=2026-12-01", WINDOW),
        // Of all time there is nothing before, and it is not cut in halves.
        ("period=all_time", "period=all_time"),
        ("to=2026-11-20", "last=2026-11-19"),
    ] {
        let general = server.report(&format!("general-stats?{asked}")).await;
        let overview = words(&page(&server, &format!("/?{shown}")).await);
        let cards = overview.split("\nBounce rate\n").next().unwrap();
        for name in ["total_sessions", "unique_visitors", "total_orders"] {
            assert!(
                cards.contains(&format!("\n{}\n", general["results"][name])),
                "{name} of {shown} in {cards}"
            );
        }
    }
}

#[tokio::test]
async fn the_first_page_and_the_page_of_a_report_agree() {
    let (seed, _) = shop_with_carts().await;
    let server = Server::start(&seed.database.url).await;
    let numbers =
        async |target: &str| words(&page(&server, target).await).split("\nStep\n").nth(1).unwrap().to_owned();
    let usual = numbers(&format!("/reports/funnel?{WINDOW}")).await;
    assert_eq!(usual, numbers(&format!("/reports/funnel?{WINDOW}&mode=open")).await);
    let rates = |words: &str| -> Vec<String> {
        let funnel = words.split("\nAll sessions\n").nth(1).unwrap();
        funnel.lines().filter(|line| line.ends_with('%')).take(3).map(str::to_owned).collect()
    };
    // Its first step is everybody; of the second the page also tells the share of the first.
    let (first, whole) = (numbers(&format!("/?{WINDOW}")).await, rates(&usual));
    assert_eq!(rates(&first)[..2], whole[..2]);
}

#[tokio::test]
async fn rows_are_links_that_filter_and_one_filter_is_typed() {
    let (seed, _) = shop_with_carts().await;
    let server = Server::start(&seed.database.url).await;
    let text = page(&server, &format!("/reports/sources?{WINDOW}")).await;
    let link = "?from=2026-11-01&amp;last=2026-11-30&amp;source=facebook";
    assert!(text.contains(&format!("href=\"{link}\"")), "{text}");
    let target = format!("/reports/sources{}", link.replace("&amp;", "&"));
    let filtered = words(&page(&server, &target).await);
    assert!(filtered.contains("\nfacebook\n") && !filtered.contains("\n(direct)\n"), "{filtered}");

    // A form of a browser without scripts sends its empty fields, too.
    let typed =
        "/reports/sources?from=2026-11-01&last=2026-11-30&bots=&add_field=source&add_sign=~&add_value=face";
    let text = words(&page(&server, typed).await);
    assert!(
        text.contains("\nface\n") && text.contains("\nfacebook\n") && !text.contains("\n(direct)\n"),
        "{text}"
    );
    // The last filter is taken away by an address that says so: an empty one would keep it.
    let one = page(&server, "/reports/sources?source=facebook").await;
    assert!(one.contains("<a href=\"?\" aria-label=\"Remove the filter: Source facebook\""), "{one}");
    // What other pages know is kept for them, and not asked of a report that refuses it.
    for target in ["/reports/attribution?model=first", "/reports/coverage?bots=only"] {
        let text = page(&server, &format!("{target}&{WINDOW}")).await;
        assert!(!text.contains("role=\"alert\""), "{target}: {}", words(&text));
    }
    // Whatever a page is called, its form leads to no other host.
    let client =
        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    for name in ["sources", "https:evil.example"] {
        let target = format!("{}/reports/{name}?add_field=source&add_value=x", server.address);
        let response = as_browser(client.get(target)).send().await.unwrap();
        let place = response.headers().get(LOCATION).map(|place| place.to_str().unwrap().to_owned());
        assert_eq!(place.unwrap(), format!("./{name}?source=x"));
    }
    // A report that cannot be filtered says so instead of showing something else.
    let coverage = words(&page(&server, &format!("/reports/coverage?{WINDOW}&source=facebook")).await);
    assert!(coverage.contains("does not know the field: source"), "{coverage}");
}

#[tokio::test]
async fn what_was_tagged_is_text_and_never_markup() {
    let seed = Seed::new().await;
    let evil = "<script>alert(1)</script>\"'&";
    seed.visit(&Visit { tags: Some((evil, "cpc", evil)), ..Visit::default() }).await;
    let server = Server::start(&seed.database.url).await;
    for target in ["/", "/reports/sources", "/reports/campaigns", "/reports/sessions", "/reports/attribution"]
    {
        let text = page(&server, &format!("{target}?{WINDOW}&source={}", urlencoded(evil))).await;
        assert!(text.contains("&lt;script&gt;alert(1)"), "{target}: {text}");
        assert!(!text.contains("<script>alert"), "{target}: {text}");
    }
    for target in [format!("/sessions/{}", urlencoded(evil)), format!("/orders/{}", urlencoded(evil))] {
        let text = as_browser(server.get(&target)).send().await.unwrap().text().await.unwrap();
        assert!(text.contains("&lt;script&gt;") && !text.contains("<script>alert"), "{text}");
    }
}

#[tokio::test]
async fn a_session_and_an_order_tell_their_story() {
    let seed = Seed::new().await;
    let visit = Visit { tags: Some(("google", "cpc", "shoes")), ..Visit::default() };
    let session = seed.visit(&visit).await;
    let at = visit.at;
    seed.order(&Order {
        id: "10/42".into(),
        at,
        visitor: Some(visit.visitor),
        session: Some(session),
        ..Order::default()
    })
    .await;
    let server = Server::start(&seed.database.url).await;
    let list = page(&server, &format!("/reports/orders?{WINDOW}")).await;
    assert!(list.contains("href=\"../orders/10%2F42?"), "{list}");
    let order = words(&page(&server, "/orders/10%2F42").await);
    assert!(order.contains("\n10/42\n"), "{order}");
    let story = words(&page(&server, &format!("/sessions/{session}")).await);
    assert!(
        story.contains("\ngoogle\n") && story.contains("\nshoes\n") && story.contains("\n10/42\n"),
        "{story}"
    );
    let list = page(&server, &format!("/reports/orders?{WINDOW}&site=default")).await;
    let link =
        list.split("href=\"../orders/").nth(1).unwrap().split('"').next().unwrap().replace("&amp;", "&");
    assert!(words(&page(&server, &format!("/orders/{link}")).await).contains("\n10/42\n"), "{link}");
    let nobody = as_browser(server.get("/orders/none")).send().await.unwrap();
    assert_eq!(nobody.status(), 404);
}

#[tokio::test]
async fn a_wrong_question_is_answered_with_its_reason_and_not_with_zeros() {
    let seed = Seed::new().await;
    let server = Server::start(&seed.database.url).await;
    let long = format!("/reports/sources?x={}", "!".repeat(3000));
    for (target, status, reason) in [
        ("/?period=decade", 400, "period: expected one of"),
        ("/reports/sources?period=decade", 400, "period: expected one of"),
        ("/reports/sources?from=yesterday", 400, "from: expected a date"),
        ("/reports/nothing", 404, "nothing at this address"),
        ("/nothing", 404, "nothing at this address"),
        ("/sessions/%ff", 404, "nothing at this address"),
        (long.as_str(), 414, "address is too long"),
    ] {
        let response = as_browser(server.get(target)).send().await.unwrap();
        assert_eq!(response.status(), status, "{target}");
        let text = response.text().await.unwrap();
        assert!(text.contains("role=\"alert\"") && text.contains(reason), "{target}: {text}");
    }
    // The file has another shape, and the page its own.
    page(&server, "/reports/sources?format=csv").await;
    let away = Server::start("postgres://nobody@127.0.0.1:1/nothing").await;
    let response = as_browser(away.get("/")).send().await.unwrap();
    assert_eq!(response.status(), 503);
    assert!(response.text().await.unwrap().contains("role=\"alert\""));
}

#[tokio::test]
async fn people_sign_in_with_a_token_and_out_again() {
    let seed = Seed::new().await;
    let server = Server::start_with(&seed.database.url, |config| {
        config.stats.tokens = [("reader", Scope::Read, "read-me"), ("shop", Scope::Ingest, "tell-me")]
            .map(|(name, scope, token)| StatsToken { name: name.into(), scope, sha256: tokens::hash(token) })
            .into();
    })
    .await;
    let asked = as_browser(server.get("/reports/sources?period=year")).send().await.unwrap();
    assert_eq!(asked.status(), 401);
    let text = asked.text().await.unwrap();
    assert!(
        text.contains("action=\"../login?lang=en\"")
            && text.contains("value=\"reports/sources?period=year\""),
        "{text}"
    );
    // Programs are told as ever.
    let asked = server.get("/").send().await.unwrap();
    assert_eq!(
        (asked.status(), asked.headers()[CONTENT_TYPE].to_str().unwrap()),
        (StatusCode::UNAUTHORIZED, "application/problem+json")
    );

    let sign_in = async |token: &str| {
        let form = format!("next=reports%2Fsources%3Fperiod%3Dyear&token={token}");
        as_browser(server.post_form("/login", form)).send().await.unwrap()
    };
    for (token, status) in [("wrong", 403), ("tell-me", 403)] {
        let response = sign_in(token).await;
        assert_eq!(response.status(), status, "{token}");
        assert!(response.headers().get(SET_COOKIE).is_none());
        assert!(response.text().await.unwrap().contains("not valid here"));
    }
    let signed_in = sign_in("read-me").await;
    assert_eq!(signed_in.status(), 303);
    assert_eq!(signed_in.headers()[LOCATION], "./reports/sources?period=year");
    let cookie = signed_in.headers()[SET_COOKIE].to_str().unwrap();
    assert!(cookie.contains("; HttpOnly; SameSite=Lax") && !cookie.contains("read-me"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap().to_owned();

    // Shops set cookies with any letters.
    let cookies = HeaderValue::from_bytes(format!("{cookie}; city=Київ").as_bytes()).unwrap();
    let with_cookie = async |request: RequestBuilder| {
        as_browser(request).header(COOKIE, cookies.clone()).send().await.unwrap()
    };
    let response = with_cookie(server.get("/reports/sources")).await;
    assert_eq!(response.status(), 200);
    assert!(response.text().await.unwrap().contains("action=\"../logout?lang=en\""));
    assert_eq!(with_cookie(server.get("/api/v1/sources")).await.status(), 200, "files are links");
    assert_eq!(with_cookie(server.get("/api/v1/exclusions")).await.status(), 403, "it is a reader's");
    assert_eq!(
        with_cookie(server.delete_visitor("me")).await.status(),
        401,
        "a cookie opens nothing but reading"
    );
    let large = as_browser(server.post_form("/login", "a".repeat(17_000))).send().await.unwrap();
    assert_eq!(large.status(), 413);
    assert!(large.text().await.unwrap().contains("The form is too large."));
    let foreign = server.post_form("/login", "token=read-me".into()).header("origin", "https://evil.example");
    assert_eq!(foreign.send().await.unwrap().status(), 403);
    let out = with_cookie(server.post_form("/logout", String::new())).await;
    assert!(out.status() == 303 && out.headers()[SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
}

fn urlencoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
