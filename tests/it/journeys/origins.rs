//! From where people come: sources under one name, channels, click ids and referrers.

use serde_json::Value;

use super::stage::{MINUTE, Stage};

/// `source channel sessions` of the rows of a report, one a line.
fn rows(report: &Value, field: &str) -> String {
    let mut lines: Vec<String> = report
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{} {}", row[field].as_str().unwrap(), row["sessions"]))
        .collect();
    lines.sort();
    lines.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_source_under_many_names_is_one_row() {
    let mut stage = Stage::open().await;
    for tag in ["Facebook", "facebook", "FB-ads", "fb", "m.facebook.com", "Meta"] {
        let mut visitor = stage.visitor();
        visitor.clicks(&stage, &format!("/?utm_source={tag}")).await;
        stage.pass(MINUTE);
    }
    let sources = stage.report("sources?period=all_time").await;
    assert_eq!(rows(&sources, "source"), "facebook 6");
    let channels = stage.report("channels?period=all_time").await;
    assert_eq!(rows(&channels, "channel"), "Organic Social 5\nPaid Social 1");
    let filtered = stage.report("channels?period=all_time&source=facebook&channel=paid+social").await;
    assert_eq!(rows(&filtered, "channel"), "Paid Social 1");
    let seen =
        "SELECT string_agg(source, ',' ORDER BY source COLLATE \"C\") FROM campaigns WHERE campaign_id <> 0";
    assert_eq!(stage.value(seen).await.unwrap(), "FB-ads,Facebook,Meta,facebook,fb,m.facebook.com");
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_told_apart_by_their_labels() {
    let mut stage = Stage::open().await;
    for referrer in [
        "https://x.com/",
        "https://t.co/abc",
        "https://www.netflix.com/browse",
        "https://notwikipedia.org/",
        "https://www.google.com.ua/",
        "android-app://com.google.android.gm/",
        "https://chatgpt.com/",
        "https://blog.example/post",
    ] {
        stage.visitor().arrives_from(&stage, referrer, "/").await;
        stage.pass(MINUTE);
    }
    stage.visitor().types(&stage, "/").await;
    let sources = stage.report("sources?period=all_time").await;
    insta::assert_snapshot!(rows(&sources, "source"), @r"
    (direct) 1
    blog.example 1
    chatgpt 1
    gmail 1
    google 1
    netflix 1
    notwikipedia.org 1
    twitter 2
    ");
    let channels = stage.report("channels?period=all_time").await;
    insta::assert_snapshot!(rows(&channels, "channel"), @r"
    AI Assistants 1
    Direct 1
    Email 1
    Organic Search 1
    Organic Social 2
    Organic Video 1
    Referral 2
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_id_proves_an_advertisement_of_its_own_source_only() {
    let mut stage = Stage::open().await;
    for target in [
        "/?gclid=Q",
        "/?utm_source=google&gclid=Q",
        "/?utm_source=duckduckgo&gclid=Q",
        "/?fbclid=Q",
        "/?srsltid=Q",
        "/?utm_source=newsletter-autumn",
    ] {
        stage.visitor().clicks(&stage, target).await;
        stage.pass(MINUTE);
    }
    let channels = stage.report("channels?period=all_time").await;
    insta::assert_snapshot!(rows(&channels, "channel"), @r"
    Email 1
    Organic Search 1
    Organic Shopping 1
    Organic Social 1
    Paid Search 2
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assistant_recommends_and_the_order_is_its_own() {
    let mut stage = Stage::open().await;
    let mut daryna = stage.visitor();
    daryna.arrives_from(&stage, "https://chatgpt.com/", "/p/boots?utm_source=chatgpt.com").await;
    stage.pass(5 * MINUTE);
    daryna.orders(&mut stage, "7", "900.00").await;
    let channels = stage.report("channels?period=all_time").await;
    let row = &channels[0];
    assert_eq!((row["channel"].as_str(), row["orders"].as_i64()), (Some("AI Assistants"), Some(1)));
    assert_eq!(row["revenue"], "900.00");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_that_is_given_later_holds_for_the_past_too() {
    let mut stage = Stage::with(|config| {
        config.tracking.attribution.aliases = vec![("bloger".to_owned(), "anna".to_owned())];
    })
    .await;
    for tag in ["Bloger", "anna", "promo7"] {
        stage.visitor().clicks(&stage, &format!("/?utm_source={tag}&utm_medium=social")).await;
        stage.pass(MINUTE);
    }
    stage
        .report_when("sources?period=all_time", |sources| rows(sources, "source") == "anna 2\npromo7 1")
        .await;
    assert_eq!(stage.put("aliases/Promo7", r#"{"source": "Anna"}"#).await.0, 200);
    stage.report_when("sources?period=all_time", |sources| rows(sources, "source") == "anna 3").await;
    let listed = stage.report("aliases").await;
    assert_eq!(listed[1], serde_json::json!({"alias": "promo7", "source": "anna", "origin": "api"}));
    assert_eq!(stage.delete("aliases/promo7").await, 204);
    assert_eq!(stage.delete("aliases/promo7").await, 404);
    stage
        .report_when("sources?period=all_time", |sources| rows(sources, "source") == "anna 2\npromo7 1")
        .await;
    assert_eq!(stage.put("aliases/x", r#"{"sourse": "a"}"#).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_on_links_within_the_shop_are_no_touch_where_pages_keep_their_address_to_themselves() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor().without_referrers();
    olena.clicks(&stage, "/?utm_source=viber").await;
    for (page, tag) in [
        ("a", "utm_source=banner"),
        ("b", "UTM_Source=banner"),
        ("c", "utm%5Fsource=x"),
        ("d", "mtm_source=x"),
    ] {
        stage.pass(MINUTE);
        olena.browses(&stage, &format!("/{page}?{tag}")).await;
    }
    stage.pass(MINUTE);
    // Scripts ask for the landing again once a banner has its answer.
    olena.browses(&stage, "/again?utm_source=viber").await;
    olena.browses(&stage, "/p?page=2").await;
    // A page of the shop without a session, and from another site.
    let mut petro = stage.visitor().without_referrers();
    petro.arrives_from(&stage, "https://blog.example/", "/?utm_source=blog").await;
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: viber, 7 pages
        03-10 10:00 viber
    visitor 2, cookie
      03-10 10:05 session 1: blog, 1 page
        03-10 10:05 blog
    ");
    let found = stage.report("tag-health?period=all_time").await;
    let mut pages: Vec<&str> = found
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["finding"] == "tags_on_own_link")
        .map(|finding| finding["landing_page"].as_str().unwrap())
        .collect();
    pages.sort_unstable();
    assert_eq!(pages, ["/a", "/b", "/c", "/d"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_tags_is_found() {
    let mut stage = Stage::open().await;
    for target in [
        "/?utm_source=facebook&utm_medium=paid_social&utm_campaign={{campaign.name}}",
        "/?utm_source=google&utm_medium=cpc&utm_term={keyword}",
        "/?utm_source=Viber&utm_medium=social",
        "/?utm_source=viber&utm_medium=social",
        "/?utm_source=sms&utm_campaign=a%252Bb",
        "/?utm_medium=email&utm_content=anna%40example.com",
        "/?utm_source=120210&utm_medium=cpc",
        "/?gclid=Cj0",
    ] {
        stage.visitor().clicks(&stage, target).await;
        stage.pass(MINUTE);
    }
    let mut olena = stage.visitor();
    olena.types(&stage, "/").await;
    olena.browses(&stage, "/sale?utm_source=banner&utm_medium=home").await;
    let found = stage.report("tag-health?period=all_time").await;
    let mut lines: Vec<String> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| {
            let word = |name: &str| finding[name].as_str().unwrap_or("-").to_owned();
            let words =
                ["finding", "source", "medium", "campaign", "content", "term", "landing_page"].map(word);
            format!("{} {}", words.join(" "), finding["hits"])
        })
        .collect();
    lines.sort();
    insta::assert_snapshot!(lines.join("\n"), @r"
    double_encoding sms - a%2Bb - - - 1
    missing_medium sms - a%2Bb - - - 1
    missing_source - email - {email} - - 1
    personal_data - email - {email} - - 1
    source_is_an_id 120210 cpc - - - - 1
    spelt_differently Viber social - - - - 1
    spelt_differently viber social - - - - 1
    tags_on_own_link - - - - - /sale 1
    unexpanded_macro facebook paid_social {{campaign.name}} - - - 1
    unexpanded_macro google cpc - - {keyword} - 1
    ");
    let of_google = stage.report("tag-health?period=all_time&source=google").await;
    assert_eq!(of_google.as_array().unwrap().len(), 1, "{of_google}");
}
