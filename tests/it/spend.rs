//! What advertising cost is told by the API, and is in the database once, as it was told last.

use serde_json::{Value, json};

use crate::harness::app::{Running, app, outcomes};
use crate::harness::{DEADLINE, Reply, Upstream, eventually, postgres};

async fn running() -> (Running, Upstream, tempfile::TempDir, postgres::Database) {
    let database = postgres::migrated().await;
    let upstream = Upstream::start(|_| Reply::ok("")).await;
    let (app, files) = app(upstream.address(), &database.url).await;
    // Until the database is made the journal alone has what is told.
    let placed = json!([{"order_id": "1", "status": "placed"}]);
    eventually("outcomes are told", DEADLINE, || async {
        (app.tell_orders(&placed).await.0 == 200).then_some(())
    })
    .await;
    (app, upstream, files, database)
}

#[tokio::test(flavor = "multi_thread")]
async fn money_spent_is_kept_once_as_it_was_told_last() {
    let (app, _upstream, _files, database) = running().await;
    let row = |cost: &str| {
        json!({"day": "2026-11-20", "source": "Facebook", "medium": "paid_social", "campaign": "winter", "cost": cost,
               "currency": "uah", "clicks": 120, "impressions": "45000"})
    };
    let other = json!({"day": "2026-11-20", "utm_id": 77, "cost": 3});
    let batch = json!([row("410.50"), other, row("1"), {"day": "2026-11-20", "cost": "1"}]);
    let (status, answer) = app.tell("ad-spend", &batch).await;
    let named = json!({"day": "2026-11-20", "source": "Facebook", "medium": "paid_social", "campaign": "winter",
                       "outcome": "recorded"});
    assert_eq!(answer["results"][0], named);
    assert_eq!(
        outcomes((status, answer)),
        [
            "recorded",
            "recorded",
            "refused: this day and these tags are in the batch already",
            "refused: one of source, medium, campaign, content and utm_id is required"
        ]
    );
    assert_eq!(outcomes(app.tell("ad-spend", &json!([row("410.5")])).await), ["duplicate"]);
    assert_eq!(outcomes(app.tell("ad-spend", &json!([row("415")])).await), ["recorded"]);
    assert_eq!(outcomes(app.tell("ad-spend", &json!([row("415.00")])).await), ["duplicate"]);
    let client = database.connect().await;
    let sql = "SELECT string_agg(concat_ws(' ', s.day, c.label_source, c.medium, c.campaign, c.utm_id, s.cost, s.currency,
                                           s.clicks, s.impressions), '; ' ORDER BY s.cost)
               FROM ad_spend s JOIN campaigns c USING (campaign_id)";
    let stored: String = client.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(stored, "2026-11-20 77 3; 2026-11-20 facebook paid_social winter 415.00 UAH 120 45000");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn return_on_advertising_is_of_the_money_that_was_told() {
    let (app, _upstream, _files, _database) = running().await;
    let order = json!([{"order_id": "2", "status": "placed", "value": "1000", "currency": "UAH",
                        "at": "2026-11-20T12:00:00Z"}]);
    assert_eq!(outcomes(app.tell_orders(&order).await), ["recorded"]);
    let row = |day: &str, source: &str, cost: &str, currency: &str| json!({"day": day, "source": source, "medium": "cpc", "campaign": "winter", "cost": cost, "currency": currency});
    let told = json!([
        row("2026-11-19", "facebook", "7", "UAH"),
        row("2026-11-20", "FB", "100.50", "UAH"),
        row("2026-11-20", "google", "99.50", "UAH"),
        row("2026-11-20", "bing", "5", "EUR"),
        row("2026-11-21", "facebook", "11", "UAH"),
    ]);
    assert_eq!(outcomes(app.tell("ad-spend", &told).await), ["recorded"; 5]);
    let roi =
        async |query: &str| app.report(&format!("roi?from=2026-11-20&to=2026-11-21{query}")).await.unwrap();
    let day = roi("").await;
    let all = &day["results"];
    assert_eq!((&all["ad_spend"], &all["ad_spend_is"]), (&json!("200.00"), &json!("stored")));
    assert_eq!((&all["profit"], &all["roi"], &all["roas"]), (&json!("800.00"), &json!(400.0), &json!(5.0)));
    let warnings = day["meta"]["warnings"].to_string();
    assert!(warnings.contains("1 of the stored costs are in another currency"), "{warnings}");
    for (query, spend) in [
        ("&source=facebook", json!("100.50")),
        ("&source!=facebook", json!("99.50")),
        ("&campaign=winter&medium=cpc", json!("200.00")),
        ("&channel=paid+search", json!("99.50")),
        ("&source=tiktok", Value::Null),
        ("&device=mobile", Value::Null),
        ("&site=other", Value::Null),
        ("&timezone=Europe/Kyiv", json!("200.00")),
        ("&ad_spend=50", json!("50.00")),
    ] {
        assert_eq!(roi(query).await["results"]["ad_spend"], spend, "{query}");
    }
    let rest = app.report("roi?from=2026-11-20T01:00:00Z&to=2026-11-21T12:00:00Z").await.unwrap();
    assert_eq!(rest["results"]["ad_spend"], "11.00");
    assert!(rest["meta"]["warnings"].to_string().contains("in which the window begins is not in it"));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_money_spent_is_refused_with_its_reason() {
    let (app, _upstream, _files, _database) = running().await;
    let ahead = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(72)).to_string();
    let day = "2026-11-20";
    for (item, said) in [
        (json!(7), "expected an object"),
        (json!({"source": "x", "cost": 1}), "day is required"),
        (json!({"day": "20.11.2026", "source": "x", "cost": 1}), "day is required"),
        (json!({"day": "1999-11-20", "source": "x", "cost": 1}), "before the year 2000"),
        (json!({"day": ahead[..10], "source": "x", "cost": 1}), "lies ahead"),
        (json!({"day": day, "source": "x"}), "cost is required"),
        (json!({"day": day, "source": "x", "cost": -1}), "cost is not a decimal number"),
        (json!({"day": day, "source": "x", "cost": 1, "clicks": 1.5}), "clicks is not a whole number"),
        (json!({"day": day, "source": "x\u{7}", "cost": 1}), "no control characters"),
        (json!({"day": day, "sorce": "x", "cost": 1}), "did you mean source?"),
        (json!({"day": day, "source": "x".repeat(513), "cost": 1}), "at most 512 letters"),
    ] {
        let told = outcomes(app.tell("ad-spend", &json!([item])).await);
        assert!(told[0].starts_with("refused: ") && told[0].contains(said), "{item}: {told:?}");
    }
    app.stop().await;
}
