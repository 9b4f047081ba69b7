//! By what else sessions are compared: devices, browsers, systems, places, referrers, landing pages.

use serde_json::{Value, json};

use super::stage::{MINUTE, Stage};

/// What the address says to somebody who has a file of places.
const PLACES: &[u8] = include_bytes!("../../../src/ship/data/test-places.mmdb");
const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                      Version/17.1 Mobile/15E148 Safari/604.1";
const WINDOWS: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36";

/// Three visits: an iPhone from Kyiv that comes by a search and orders, and comes back; a desk in Germany.
async fn three_visits() -> (Stage, tempfile::TempDir) {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("places.mmdb");
    std::fs::write(&path, PLACES).unwrap();
    let mut stage = Stage::with(move |config| config.geo_database = Some(path.clone())).await;
    let mut olena = stage.visitor().with_agent(IPHONE);
    olena.moves_to("5.5.5.77");
    olena.arrives_from(&stage, "https://www.google.com/", "/p/boots").await;
    stage.pass(MINUTE);
    olena.orders(&mut stage, "7", "900.00").await;
    stage.pass(60 * MINUTE);
    olena.types(&stage, "/").await;
    let mut hans = stage.visitor().with_agent(WINDOWS);
    hans.moves_to("5.5.6.1");
    hans.clicks(&stage, "/p/boots?utm_source=viber").await;
    // What an agent says is read after its row is written.
    let are_read = |rows: &Value| {
        let devices: Vec<&Value> = rows.as_array().unwrap().iter().map(|row| &row["device"]).collect();
        devices.len() == 2 && !devices.contains(&&json!("unknown"))
    };
    stage.report_when("devices?period=all_time", are_read).await;
    (stage, files)
}

/// Rows without all but these fields.
fn rows(report: &Value, fields: &[&str]) -> Vec<String> {
    let rows = report.as_array().unwrap().iter();
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    rows.map(|row| fields.iter().map(|field| word(&row[field])).collect::<Vec<_>>().join(" | ")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_visit_has_a_device_a_place_and_a_landing() {
    let (stage, _files) = three_visits().await;
    let numbers = ["sessions", "visitors", "conversions", "orders", "revenue"];
    for (report, keys, expected) in [
        (
            "devices",
            &["device", "brand", "model"][..],
            &[
                "mobile | Apple | iPhone | 2 | 1 | 1 | 1 | 900.00",
                "desktop | (none) | (none) | 1 | 1 | 0 | 0 | 0.00",
            ][..],
        ),
        (
            "browsers",
            &["browser", "version"],
            &["Mobile Safari | 17 | 2 | 1 | 1 | 1 | 900.00", "Chrome | 120 | 1 | 1 | 0 | 0 | 0.00"],
        ),
        (
            "operating-systems",
            &["os", "version"],
            &["iOS | 17.1 | 2 | 1 | 1 | 1 | 900.00", "Windows | 10 | 1 | 1 | 0 | 0 | 0.00"],
        ),
        (
            "geo",
            &["country", "country_name"],
            &["UA | Ukraine | 2 | 1 | 1 | 1 | 900.00", "DE | Germany | 1 | 1 | 0 | 0 | 0.00"],
        ),
        (
            "geo/regions",
            &["region", "country"],
            &["Kyiv City | UA | 2 | 1 | 1 | 1 | 900.00", "(none) | DE | 1 | 1 | 0 | 0 | 0.00"],
        ),
        (
            "geo/cities",
            &["city", "region", "country"],
            &[
                "Kyiv | Kyiv City | UA | 2 | 1 | 1 | 1 | 900.00",
                "(none) | (none) | DE | 1 | 1 | 0 | 0 | 0.00",
            ],
        ),
        (
            "referrers",
            &["referrer"],
            &["(none) | 2 | 2 | 0 | 0 | 0.00", "google.com | 1 | 1 | 1 | 1 | 900.00"],
        ),
        (
            "landing-pages",
            &["landing_page", "landing_host"],
            &["/p/boots | shop.ua | 2 | 2 | 1 | 1 | 900.00", "/ | shop.ua | 1 | 1 | 0 | 0 | 0.00"],
        ),
    ] {
        let answer = stage.report(&format!("{report}?period=all_time")).await;
        assert_eq!(rows(&answer, &[keys, &numbers].concat()), expected, "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_add_up_are_filtered_sorted_and_given_as_a_table() {
    let (stage, _files) = three_visits().await;
    for report in [
        "devices",
        "browsers",
        "operating-systems",
        "geo",
        "geo/regions",
        "geo/cities",
        "referrers",
        "landing-pages",
    ] {
        let (status, text) =
            stage.ask(&format!("/api/v1/{report}?period=all_time&limit=1&sort=revenue")).await;
        assert_eq!(status, 200, "{report}: {text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        let (meta, first) = (&answer["meta"], &answer["results"][0]);
        assert_eq!(
            (&first["revenue"], &meta["totals"]["sessions"]),
            (&json!("900.00"), &json!(3)),
            "{report}"
        );
        for field in ["sessions", "conversions", "orders"] {
            let number = |value: &Value| value[field].as_i64().unwrap();
            assert_eq!(number(first) + number(&meta["other"]), number(&meta["totals"]), "{report} {field}");
        }
        let cursor = meta["next_cursor"].as_str().unwrap();
        let rest = stage.report(&format!("{report}?period=all_time&sort=revenue&cursor={cursor}")).await;
        assert_eq!(rest.as_array().unwrap().len(), 1, "{report}: {rest}");
        let filtered = stage.report(&format!("{report}?period=all_time&country=de")).await;
        assert_eq!(rows(&filtered, &["sessions"]), ["1"], "{report}");
        let (_, table) = stage.ask(&format!("/api/v1/{report}?period=all_time&format=csv")).await;
        assert_eq!(table.lines().count(), 3, "{report}: {table}");
        assert_eq!(stage.ask(&format!("/api/v1/{report}?sort=moon")).await.0, 400, "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_names_itself_in_client_hints_alone_is_known_by_them() {
    let mut stage = Stage::open().await;
    let brave = "Sec-CH-UA: \"Brave\";v=\"142\", \"Chromium\";v=\"142\", \"Not_A Brand\";v=\"99\"";
    let mut brave = stage.visitor().with_agent(WINDOWS).saying(brave).saying("Sec-CH-UA-Mobile: ?1");
    brave.clicks(&stage, "/p/boots?utm_source=viber").await;
    let chrome = "Sec-CH-UA: \"Google Chrome\";v=\"142\", \"Chromium\";v=\"142\"";
    let mut chrome =
        stage.visitor().with_agent(WINDOWS).saying(chrome).saying("Sec-CH-UA-Platform: \"Windows\"");
    chrome.clicks(&stage, "/p/boots?utm_source=viber").await;
    let are_read = |rows: &Value| {
        let devices: Vec<&Value> = rows.as_array().unwrap().iter().map(|row| &row["device"]).collect();
        devices.len() == 2 && !devices.contains(&&json!("unknown"))
    };
    stage.report_when("devices?period=all_time", are_read).await;
    let devices = stage.report("devices?period=all_time").await;
    let mut devices = rows(&devices, &["device"]);
    devices.sort();
    assert_eq!(devices, ["desktop", "mobile"]);
    let browsers = stage.report("browsers?period=all_time").await;
    let mut browsers = rows(&browsers, &["browser", "version"]);
    browsers.sort();
    assert_eq!(browsers, ["Brave | 142", "Chrome | 120"]);
}
