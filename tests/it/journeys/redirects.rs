//! Landings that are redirects: where shops lose what links say.

use super::stage::{MINUTE, Stage};

#[tokio::test(flavor = "multi_thread")]
async fn tags_that_a_redirect_would_lose_arrive_with_the_page() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor();
    olena.clicks(&stage, "/old?a=1&utm_source=viber&utm_campaign=sale%201").await;
    assert_eq!(olena.page(), "https://shop.ua/new?utm_source=viber&utm_campaign=sale%201");
    let targets: Vec<String> =
        stage.shop_received().iter().map(|request| request.target().to_owned()).collect();
    assert_eq!(targets, ["/old?a=1", "/new"], "the shop sees none of them");
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: viber / sale 1, 1 page
        03-10 10:00 viber / sale 1 (answered 301)
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_that_caches_would_share_is_the_visitor_s_own_when_it_carries_tags() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor();
    olena.asks(&stage, "/cacheable-old?utm_source=viber").await;
    assert_eq!(olena.last.value("location"), Some("/new?utm_source=viber"));
    assert_eq!(olena.last.value("cache-control"), Some("max-age=86400, private"));
    assert!(olena.cookie("_utmd").is_some());
    let mut petro = stage.visitor();
    petro.asks(&stage, "/cacheable-old?a=1").await;
    assert_eq!(petro.last.value("location"), Some("/new"));
    assert_eq!(petro.last.value("cache-control"), Some("public, max-age=86400"));
    assert!(petro.cookie("_utmd").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_goes_along_from_http_to_https_and_from_apex_to_www() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor();
    olena
        .clicks(&stage, "http://shop.ua/goto?https://shop.ua/goto?https://www.shop.ua/&utm_source=viber")
        .await;
    assert_eq!(olena.page(), "https://www.shop.ua/?utm_source=viber");
    stage.pass(MINUTE);
    olena.browses(&stage, "https://www.shop.ua/p/1").await;
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: viber, 2 pages
        03-10 10:00 viber (answered 302)
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_people_s_pages_are_given_no_tags() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor();
    for to in
        ["https://bank.example/pay", "mailto:a@shop.ua", "https://shop.ua@evil.example/", "//evil.example"]
    {
        olena.asks(&stage, &format!("/goto?{to}&utm_source=viber")).await;
        assert_eq!(olena.last.value("location"), Some(to));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_restored_the_touch_of_a_shared_redirect_is_linked_to_the_visitor() {
    let mut stage = Stage::with(|config| config.tracking.restore_on_redirect = false).await;
    let mut olena = stage.visitor();
    olena.clicks(&stage, "/cacheable-old?utm_source=viber&utm_campaign=sale").await;
    assert_eq!(olena.page(), "https://shop.ua/new");
    stage.pass(MINUTE);
    olena.orders(&mut stage, "7", "100.00").await;
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: viber / sale, 2 pages
        03-10 10:00 viber / sale (answered 301)
    order 7: 100.00 of visitor 1 by cookie ← viber / sale
    ");
}
