//! When a visit begins, goes on and ends.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::stage::{DAY, HOUR, MINUTE, Stage, Visitor};

#[tokio::test(flavor = "multi_thread")]
async fn half_an_hour_of_silence_ends_a_visit() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor();
    olena.types(&stage, "/").await;
    stage.pass(29 * MINUTE);
    olena.browses(&stage, "/p/1").await;
    stage.pass(30 * MINUTE);
    olena.browses(&stage, "/p/2").await;
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: (direct), 2 pages
      03-10 10:59 session 2: (direct), 1 page
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_of_the_landing_is_the_same_visit() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor();
    olena.clicks(&stage, "/?utm_source=viber&utm_campaign=sale").await;
    olena.reloads(&stage).await;
    stage.pass(10 * MINUTE);
    olena.clicks(&stage, "/?utm_source=Viber&utm_campaign=SALE").await;
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: viber / sale, 3 pages
        03-10 10:00 viber / sale
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_other_campaign_is_another_visit_there_and_back() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor();
    for target in [
        "/?utm_source=a&utm_medium=email",
        "/?utm_source=b&utm_medium=sms",
        "/?utm_source=a&utm_medium=email",
    ] {
        olena.clicks(&stage, target).await;
        stage.pass(5 * MINUTE);
    }
    olena.orders(&mut stage, "7", "100.00").await;
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: a / email, 1 page
        03-10 10:00 a / email
      03-10 10:05 session 2: b / sms, 1 page
        03-10 10:05 b / sms
      03-10 10:10 session 3: a / email, 2 pages
        03-10 10:10 a / email
    order 7: 100.00 of visitor 1 by cookie ← a / email
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_on_links_within_the_shop_take_nothing_from_the_campaign_and_are_found() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor();
    olena.clicks(&stage, "/?utm_source=google&utm_medium=cpc&utm_campaign=brand").await;
    olena.browses(&stage, "/sale?utm_source=banner&utm_medium=home").await;
    olena.orders(&mut stage, "7", "100.00").await;
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: google / cpc / brand, 3 pages
        03-10 10:00 google / cpc / brand
    order 7: 100.00 of visitor 1 by cookie ← google / cpc / brand
    ");
    let found = "SELECT path || ' ' || hits FROM link_findings JOIN pages USING (page_id)";
    assert_eq!(stage.value(found).await.as_deref(), Some("/sale 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_pays_at_paypal_for_an_hour_is_still_in_the_visit() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor();
    olena.clicks(&stage, "/?utm_source=google&utm_medium=cpc").await;
    olena.browses(&stage, "/checkout").await;
    stage.pass(HOUR);
    olena.arrives_from(&stage, "https://www.paypal.com/", "/paid?token=EC-1").await;
    olena.orders(&mut stage, "7", "100.00").await;
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: google / cpc, 4 pages
        03-10 10:00 google / cpc
    order 7: 100.00 of visitor 1 by cookie ← google / cpc
    ");
    let explained = stage.report("orders/7/explain").await;
    assert_eq!(explained["touches"][0]["credits"]["linear"], 1.0);
    let ignored = &explained["ignored"][0];
    assert_eq!((&ignored["page"], &ignored["why"]), (&"/paid".into(), &"payment_or_sign_in".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_from_the_bank_the_day_after_is_another_visit_of_the_same_campaign_s_visitor() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor();
    olena.clicks(&stage, "/?utm_source=google&utm_medium=cpc").await;
    stage.pass(DAY);
    olena.arrives_from(&stage, "https://secure.wayforpay.com/", "/paid").await;
    olena.orders(&mut stage, "7", "100.00").await;
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: google / cpc, 1 page
        03-10 10:00 google / cpc
      03-11 10:00 session 2: (direct), 2 pages
    order 7: 100.00 of visitor 1 by cookie ← google / cpc
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_with_google_in_mid_visit_is_no_referral() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor();
    olena.arrives_from(&stage, "https://www.instagram.com/", "/").await;
    stage.pass(40 * MINUTE);
    olena.arrives_from(&stage, "https://accounts.google.com/", "/login").await;
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: instagram / social, 2 pages
        03-10 10:00 instagram / social from https://www.instagram.com/
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visit_over_midnight_is_one() {
    let mut stage = Stage::open().await;
    stage.set_time("2026-03-10T23:50:00Z");
    let mut olena = stage.visitor();
    olena.clicks(&stage, "/?utm_source=viber").await;
    stage.pass(20 * MINUTE);
    olena.browses(&stage, "/p/1").await;
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 23:50 session 1: viber, 2 pages
        03-10 23:50 viber
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_day_on_which_clocks_go_forward_has_twenty_three_hours() {
    let mut stage = Stage::open().await;
    // In Kyiv 29 March 2026 goes from 22:00 to 21:00 UTC.
    for time in
        ["2026-03-28T21:59:00Z", "2026-03-28T22:00:00Z", "2026-03-29T20:59:00Z", "2026-03-29T21:00:00Z"]
    {
        stage.set_time(time);
        stage.visitor().types(&stage, "/").await;
    }
    let day = "general-stats?from=2026-03-29&to=2026-03-30&timezone=Europe/Kyiv";
    assert_eq!(stage.report(day).await["total_sessions"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_browser_fetched_ahead_counts_when_it_is_seen() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor().saying("Sec-Purpose: prefetch;prerender");
    olena.arrives_from(&stage, "https://www.google.com/", "/p/1").await;
    olena.says_nothing_special();
    stage.pass(MINUTE);
    olena.arrives_from(&stage, "https://www.google.com/", "/p/1").await;
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:01 session 1: google / organic, 1 page
        03-10 10:01 google / organic from https://www.google.com/
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_page_is_seen_again() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor();
    olena.arrives_from(&stage, "https://duckduckgo.com/", "/p/1").await;
    stage.pass(5 * MINUTE);
    olena.browses(&stage, "/unchanged").await;
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: duckduckgo / organic, 2 pages
        03-10 10:00 duckduckgo / organic from https://duckduckgo.com/
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_subdomains_are_one_shop() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor();
    olena.clicks(&stage, "https://shop.ua/?utm_source=viber").await;
    olena.browses(&stage, "https://m.shop.ua/p/1").await;
    stage.pass(45 * MINUTE);
    olena.browses(&stage, "https://pay.shop.ua/card").await;
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: viber, 3 pages
        03-10 10:00 viber
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_link_on_the_shop_s_blog_counts_when_the_visit_is_over() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor();
    olena.arrives_from(&stage, "https://www.google.com/", "/").await;
    stage.pass(5 * MINUTE);
    olena.arrives_from(&stage, "https://blog.shop.ua/boots", "/p/1?utm_source=blog").await;
    stage.pass(HOUR);
    olena.arrives_from(&stage, "https://blog.shop.ua/boots", "/p/1").await;
    stage.pass(HOUR);
    olena.arrives_from(&stage, "https://blog.shop.ua/boots", "/p/1?utm_source=blog").await;
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: google / organic, 3 pages
        03-10 10:00 google / organic from https://www.google.com/
      03-10 12:05 session 2: blog, 1 page
        03-10 12:05 blog
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_at_the_shop_in_mid_visit_changes_nothing_about_who_it_is() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor();
    olena.clicks(&stage, "/?utm_source=google&utm_medium=cpc&utm_campaign=brand").await;
    olena.browses(&stage, "/p/boots").await;
    stage.pass(5 * MINUTE);
    // The shop gives a session of its own and sends her on.
    olena.keeps("sessionid", "before");
    olena.submits(&stage, "/login").await;
    olena.keeps("sessionid", "after");
    assert_eq!(olena.page(), "https://shop.ua/account");
    stage.pass(5 * MINUTE);
    olena.orders(&mut stage, "7", "100.00").await;
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: google / cpc / brand, 4 pages
        03-10 10:00 google / cpc / brand
    order 7: 100.00 of visitor 1 by cookie ← google / cpc / brand
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_day_on_which_clocks_go_back_has_twenty_five_hours() {
    let mut stage = Stage::open().await;
    // In Kyiv 25 October 2026 goes from 21:00 to 22:00 UTC of the day after.
    for time in
        ["2026-10-24T20:59:00Z", "2026-10-24T21:00:00Z", "2026-10-25T21:59:00Z", "2026-10-25T22:00:00Z"]
    {
        stage.set_time(time);
        stage.visitor().types(&stage, "/").await;
    }
    let day = "general-stats?from=2026-10-25&to=2026-10-26&timezone=Europe/Kyiv";
    assert_eq!(stage.report(day).await["total_sessions"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_advertisement_within_the_hour_is_a_visit_and_a_touch_of_its_own() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor();
    olena.clicks(&stage, "/?utm_source=google&utm_medium=cpc&gclid=One").await;
    stage.pass(5 * MINUTE);
    // The same campaign, another click.
    olena.clicks(&stage, "/?utm_source=google&utm_medium=cpc&gclid=Two").await;
    stage.pass(5 * MINUTE);
    olena.arrives_from(&stage, "https://www.instagram.com/", "/p/1").await;
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: google / cpc, 1 page
        03-10 10:00 google / cpc gclid=One
      03-10 10:05 session 2: google / cpc, 2 pages
        03-10 10:05 google / cpc gclid=Two
    ");
}

/// What somebody does next.
#[derive(Debug, Clone, Copy)]
enum Step {
    Clicks(u8),
    Comes(u8),
    Browses,
    Orders,
}

/// Steps, with the minutes before each; the step after which a payment is made, and the minutes that it takes.
fn journeys() -> impl Strategy<Value = (Vec<(u64, Step)>, usize, u64)> {
    let pause = prop_oneof![3 => 1u64..25, 2 => 35u64..300, 1 => 1_400u64..9_000];
    let step = prop_oneof![
        2 => (0u8..3).prop_map(Step::Clicks),
        1 => (0u8..2).prop_map(Step::Comes),
        2 => Just(Step::Browses),
        1 => Just(Step::Orders),
    ];
    let first =
        prop_oneof![(0u8..3).prop_map(Step::Clicks), (0u8..2).prop_map(Step::Comes), Just(Step::Browses)];
    let steps = prop::collection::vec((pause, step), 1..6);
    (first, steps, any::<prop::sample::Index>(), 0u64..29).prop_map(|(first, mut steps, at, minutes)| {
        steps.insert(0, (200, first));
        let at = at.index(steps.len());
        steps.push((5, Step::Orders));
        (steps, at, minutes)
    })
}

impl Step {
    async fn done_by(self, visitor: &mut Visitor, stage: &mut Stage, order: &str) {
        let tags = [
            "utm_source=google&utm_medium=cpc&gclid=G",
            "utm_source=viber",
            "utm_source=mail&utm_medium=email",
        ];
        let pages = ["https://www.instagram.com/", "https://duckduckgo.com/"];
        match self {
            Step::Clicks(number) => visitor.clicks(stage, &format!("/?{}", tags[usize::from(number)])).await,
            Step::Comes(number) => visitor.arrives_from(stage, pages[usize::from(number)], "/").await,
            Step::Browses => visitor.browses(stage, "/p/1").await,
            Step::Orders => visitor.orders(stage, order, "100.00").await,
        }
    }
}

/// Of two who do the same one comes back from a payment where the other goes on to the same page.
#[tokio::test(flavor = "multi_thread")]
async fn a_return_from_a_payment_is_a_page_like_any_other_wherever_it_comes() {
    let mut stage = Stage::open().await;
    let mut runner = TestRunner::deterministic();
    let mut told = Vec::new();
    for case in 0..10 {
        let (steps, at, minutes) = journeys().new_tree(&mut runner).unwrap().current();
        let mut twins = [stage.visitor(), stage.visitor()];
        for (number, (pause, step)) in steps.iter().enumerate() {
            stage.pass(MINUTE * u32::try_from(*pause).unwrap());
            for (twin, letter) in twins.iter_mut().zip(['a', 'b']) {
                step.done_by(twin, &mut stage, &format!("{letter}{case}-{number}")).await;
            }
            if number == at {
                stage.pass(MINUTE * u32::try_from(minutes).unwrap());
                twins[0].arrives_from(&stage, "https://www.paypal.com/", "/paid?token=EC-1").await;
                twins[1].browses(&stage, "/paid?token=EC-1").await;
            }
        }
        told.push(format!("{case}: {steps:?}, a payment after step {at} takes {minutes} minutes"));
    }
    for (case, told) in told.iter().enumerate() {
        let [a, b] = [twin_story(&stage, 'a', case).await, twin_story(&stage, 'b', case).await];
        assert!(a.contains("last_paid"), "{told}\n{a}");
        assert_eq!(a, b, "{told}");
    }
    let returns = "SELECT count(*) FROM events WHERE properties ->> 'no_touch' = 'payment_or_sign_in'";
    assert_eq!(stage.value(returns).await.unwrap(), told.len().to_string());
}

/// Sessions of who placed an order of this case, and all credits of its orders.
async fn twin_story(stage: &Stage, letter: char, case: usize) -> String {
    let orders = format!("order_id LIKE '{letter}{case}-%'");
    let sessions = format!(
        "SELECT string_agg(concat_ws(' ', s.session_number, s.started_at, s.last_seen, s.page_views, s.score, s.order_count,
                                     s.order_points, c.source, c.medium), E'\\n' ORDER BY s.started_at, s.session_number)
         FROM sessions s LEFT JOIN campaigns c USING (campaign_id)
         WHERE s.visitor_id IN (SELECT o.visitor_id FROM orders o WHERE o.{orders})"
    );
    let credits = format!(
        "SELECT string_agg(concat_ws(' ', substr(k.order_id, 2), k.model, k.position, k.touch_at, c.source, k.credit), E'\\n'
                           ORDER BY k.order_id, k.model, k.position)
         FROM order_credits k LEFT JOIN campaigns c USING (campaign_id) WHERE k.{orders}"
    );
    let [sessions, credits] = [stage.value(&sessions).await, stage.value(&credits).await];
    format!("{}\n{}", sessions.unwrap_or_default(), credits.unwrap_or_default())
}
