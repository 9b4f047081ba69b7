//! What links say, and what is read of it.

use utm_dispatcher::config::{OwnParameter, ParameterMeaning, UtmField};

use super::stage::{MINUTE, Stage};

#[tokio::test(flavor = "multi_thread")]
async fn google_s_two_click_ids_are_both_kept() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor();
    olena.clicks(&stage, "/?gad_source=1&gclid=Cj0KCQ_a-b&gbraid=0AAAAA").await;
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: google / cpc, 1 page
        03-10 10:00 google / cpc gclid=Cj0KCQ_a-b gbraid=0AAAAA
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_decoded_once() {
    let mut stage = Stage::open().await;
    for campaign in
        ["%D0%BE%D1%81%D1%96%D0%BD%D1%8C", "осінь", "a%20b+c", "100%2525", "50%", "%E0%80", "a%00b%0A"]
    {
        stage.visitor().clicks(&stage, &format!("/?utm_source=viber&utm_campaign={campaign}")).await;
        stage.pass(MINUTE);
    }
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: viber / осінь, 1 page
        03-10 10:00 viber / осінь
    visitor 2, cookie
      03-10 10:01 session 1: viber / осінь, 1 page
        03-10 10:01 viber / осінь
    visitor 3, cookie
      03-10 10:02 session 1: viber / a b c, 1 page
        03-10 10:02 viber / a b c
    visitor 4, cookie
      03-10 10:03 session 1: viber / 100%25, 1 page
        03-10 10:03 viber / 100%25
    visitor 5, cookie
      03-10 10:04 session 1: viber / 50%, 1 page
        03-10 10:04 viber / 50%
    visitor 6, cookie
      03-10 10:05 session 1: viber / ��, 1 page
        03-10 10:05 viber / �� (invalid_utf8)
    visitor 7, cookie
      03-10 10:06 session 1: viber / ab, 1 page
        03-10 10:06 viber / ab
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_repeated_parameter_the_first_that_says_something_counts() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor();
    olena.clicks(&stage, "/?utm_source=&utm_source=viber&UTM_SOURCE=sms&utm_medium=&utm_campaign=%20").await;
    stage.pass(MINUTE);
    let mut petro = stage.visitor();
    petro.clicks(&stage, "/?utm_source=&utm_medium=&gclid=").await;
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: viber, 1 page
        03-10 10:00 viber (repeated)
    visitor 2, cookie
      03-10 10:01 session 1: (direct), 1 page
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_id_of_four_kilobytes_is_whole_and_a_longer_one_marked() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor();
    olena.clicks(&stage, &format!("/?utm_source=ig&fbclid={}", "Ab1-".repeat(1024))).await;
    stage.pass(MINUTE);
    let mut petro = stage.visitor();
    petro
        .clicks(
            &stage,
            &format!("/?utm_source=ig&fbclid={}&utm_term={}", "Ab1-".repeat(1025), "x".repeat(600)),
        )
        .await;
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: instagram, 1 page
        03-10 10:00 ig fbclid=Ab1-Ab1-Ab1-Ab1-Ab1-
    visitor 2, cookie
      03-10 10:01 session 1: instagram, 1 page
        03-10 10:01 ig / xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx fbclid=Ab1-Ab1-Ab1-Ab1-Ab1- (truncated) (click_id_cut)
    ");
    let lengths = "SELECT string_agg(length(click_ids->>'fbclid')::text, ' ' ORDER BY at) FROM touches";
    assert_eq!(stage.value(lengths).await.as_deref(), Some("4096 4096"));
}

#[tokio::test(flavor = "multi_thread")]
async fn matomo_s_names_and_the_shop_s_own_are_read() {
    let own = |name: &str, meaning| OwnParameter { name: name.to_owned(), meaning };
    let mut stage = Stage::with(move |config| {
        config.tracking.parameters = vec![
            own("creo", ParameterMeaning::Beside),
            own("ref", ParameterMeaning::Instead(UtmField::Source)),
            own("aff", ParameterMeaning::ClickId),
        ];
    })
    .await;
    let mut olena = stage.visitor();
    olena.clicks(&stage, "/?mtm_source=newsletter&mtm_medium=email&mtm_campaign=march&mtm_kwd=boots").await;
    stage.pass(MINUTE);
    let mut petro = stage.visitor();
    petro.clicks(&stage, "/?ref=blogger&Creo=Video-7&AFF=Xy9").await;
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: newsletter / email / march, 1 page
        03-10 10:00 newsletter / email / march / boots
    visitor 2, cookie
      03-10 10:01 session 1: blogger, 1 page
        03-10 10:01 blogger aff=Xy9
    ");
    let creo = "SELECT parameters->>'creo' FROM campaigns WHERE source = 'blogger'";
    assert_eq!(stage.value(creo).await.as_deref(), Some("Video-7"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_alone_is_a_touch() {
    let mut stage = Stage::with(|config| {
        config.tracking.parameters =
            vec![OwnParameter { name: "creo".to_owned(), meaning: ParameterMeaning::Beside }];
    })
    .await;
    for target in
        ["/?Creo=banner7", "/?gad_source=1&gad_campaignid=22", "/?utm_source_platform=x", "/?page=2"]
    {
        stage.visitor().clicks(&stage, target).await;
        stage.pass(MINUTE);
    }
    // In a visit that is open it begins none.
    let mut olena = stage.visitor();
    olena.clicks(&stage, "/?utm_source=viber").await;
    stage.pass(MINUTE);
    olena.clicks(&stage, "/p/1?creo=banner8").await;
    let story = stage.story().await;
    let story: Vec<&str> = story.lines().map(str::trim_end).collect();
    insta::assert_snapshot!(story.join("\n"), @r"
    visitor 1, cookie
      03-10 10:00 session 1: , 1 page
        03-10 10:00
    visitor 2, cookie
      03-10 10:01 session 1: google / cpc, 1 page
        03-10 10:01 google / cpc
    visitor 3, cookie
      03-10 10:02 session 1: , 1 page
        03-10 10:02
    visitor 4, cookie
      03-10 10:03 session 1: (direct), 1 page
    visitor 5, cookie
      03-10 10:04 session 1: viber, 2 pages
        03-10 10:04 viber
    ");
    let channels =
        "SELECT string_agg(channel || ' ' || parameters, ', ' ORDER BY parameters::text) FROM campaigns
                    WHERE parameters IS NOT NULL";
    let expected = r#"Unassigned {"creo": "banner7"}, Paid Search {"gad_source": "1", "gad_campaignid": "22"}, Unassigned {"utm_source_platform": "x"}"#;
    assert_eq!(stage.value(channels).await.as_deref(), Some(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_that_pixels_set_later_are_there_and_what_facebook_would_set_is_made_up_until_then() {
    let mut stage =
        Stage::with(|config| config.tracking.cookies = vec!["_fbp".to_owned(), "_fbc".to_owned()]).await;
    let mut olena = stage.visitor();
    olena.clicks(&stage, "/?utm_source=fb&fbclid=IwAR0").await;
    let known = |session: &serde_json::Value| [session["fbc"].clone(), session["fbp"].clone()];
    let sessions = stage.report("sessions?period=all_time").await;
    assert_eq!(known(&sessions[0]), ["fb.1.1773136800000.IwAR0".into(), serde_json::Value::Null]);
    olena.keeps("_fbp", "fb.1.1773136801000.77");
    olena.keeps("_fbc", "fb.1.1773136801000.IwAR0");
    stage.pass(MINUTE);
    olena.browses(&stage, "/p/1").await;
    let sessions = stage.report("sessions?period=all_time").await;
    assert_eq!(known(&sessions[0]), ["fb.1.1773136801000.IwAR0", "fb.1.1773136801000.77"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tags_the_referrer_or_the_click_id_tells() {
    let mut stage = Stage::open().await;
    for (referrer, target) in [
        ("https://www.google.com/", "/"),
        ("https://chatgpt.com/", "/"),
        ("android-app://com.google.android.gm/", "/"),
        ("https://forum.example/thread/7", "/"),
        ("https://l.facebook.com/", "/?fbclid=IwAR0"),
        ("https://t.co/", "/?twclid=2-abc"),
    ] {
        stage.visitor().arrives_from(&stage, referrer, target).await;
        stage.pass(MINUTE);
    }
    insta::assert_snapshot!(stage.story().await, @r"
    visitor 1, cookie
      03-10 10:00 session 1: google / organic, 1 page
        03-10 10:00 google / organic from https://www.google.com/
    visitor 2, cookie
      03-10 10:01 session 1: chatgpt / ai, 1 page
        03-10 10:01 chatgpt / ai from https://chatgpt.com/
    visitor 3, cookie
      03-10 10:02 session 1: gmail / email, 1 page
        03-10 10:02 gmail / email from android-app://com.google.android.gm/
    visitor 4, cookie
      03-10 10:03 session 1: forum.example / referral, 1 page
        03-10 10:03 forum.example / referral from https://forum.example/thread/7
    visitor 5, cookie
      03-10 10:04 session 1: facebook / social, 1 page
        03-10 10:04 facebook / social fbclid=IwAR0 from https://l.facebook.com/
    visitor 6, cookie
      03-10 10:05 session 1: twitter / paid_social, 1 page
        03-10 10:05 twitter / paid_social twclid=2-abc from https://t.co/
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_and_the_last_touch_of_a_visitor_stay() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor();
    for source in ["a", "b", "c"] {
        olena.clicks(&stage, &format!("/?utm_source={source}")).await;
        stage.pass(5 * MINUTE);
    }
    olena.types(&stage, "/").await;
    let touches = "SELECT f.source || ' ' || l.source FROM visitors v
                   JOIN campaigns f ON f.campaign_id = v.first_campaign_id
                   JOIN campaigns l ON l.campaign_id = v.last_campaign_id";
    assert_eq!(stage.value(touches).await.as_deref(), Some("a c"));
}
