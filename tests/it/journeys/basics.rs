//! The ways that everybody goes.

use super::stage::{DAY, MINUTE, Stage};

#[tokio::test(flavor = "multi_thread")]
async fn found_by_search_convinced_by_an_advertisement_bought_directly() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor();
    olena.arrives_from(&stage, "https://www.google.com/", "/").await;
    olena.browses(&stage, "/p/boots").await;
    stage.pass(2 * DAY);
    olena.clicks(&stage, "/p/boots?utm_source=facebook&utm_medium=paid_social&utm_campaign=autumn").await;
    stage.pass(DAY);
    olena.types(&stage, "/").await;
    stage.pass(5 * MINUTE);
    olena.orders(&mut stage, "1042", "1499.00").await;
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: google / organic, 2 pages
        03-10 10:00 google / organic from https://www.google.com/
      03-12 10:00 session 2: facebook / paid_social / autumn, 1 page
        03-12 10:00 facebook / paid_social / autumn
      03-13 10:00 session 3: (direct), 2 pages
    order 1042: 1499.00 of visitor 1 by cookie ← facebook / paid_social / autumn
    ");
}

/// Whoever tells of an order first, it is the visitor's who shows the cookie; and nobody's when nobody does.
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_takes_no_order_from_its_visitor() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor();
    olena.clicks(&stage, "/?utm_source=facebook&utm_medium=paid_social&utm_campaign=autumn").await;
    let mut bank = stage.visitor().with_agent("WayForPay/1.0").without_language().without_cookies();
    bank.reports(&mut stage, "1042", "1499.00").await;
    bank.reports(&mut stage, "1043", "20.00").await;
    stage.pass(MINUTE);
    olena.orders(&mut stage, "1042", "1499.00").await;
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: facebook / paid_social / autumn, 2 pages
        03-10 10:00 facebook / paid_social / autumn
    order 1042: 1499.00 of visitor 1 by cookie ← facebook / paid_social / autumn
    order 1043: 20.00 of nobody ← (not tracked)
    ");
}
