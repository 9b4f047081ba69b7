//! `rules test`, as a person meets it: the real program and a recording of a browser.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;

const RULES: &str = r##"
[[action]]
type = "add_to_cart"
path = "/cart/add/"
method = "POST"
product_id = "form:product_id"
value = "response_json:/total"
currency = "text:UAH"

[[action]]
type = "purchase"
path = "/orders/create/"
method = "POST"
location = "/thanks/{id}/"
order_id = "location:id"
customer = ["phone = form:phone"]

[[action]]
type = "product_view"
path = "/p/{slug}"
product_id = "path:slug"
product_name = "response_html:h1"
"##;

fn try_rules(folder: &Path, rules: &str, recording: &str) -> Output {
    let minimal = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/minimal.toml");
    let (config, har) = (folder.join("config.toml"), folder.join("visit.har"));
    std::fs::write(&config, std::fs::read_to_string(minimal).unwrap() + rules).unwrap();
    std::fs::write(&har, recording).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_utm-dispatcher"));
    command.args(["rules", "test"]).arg(&har).arg("--config").arg(&config);
    command.env_remove("UTM_DISPATCHER_CONFIG").output().unwrap()
}

fn visit() -> String {
    let form = "application/x-www-form-urlencoded";
    let posted = |url: &str, text: &str| json!({"method": "POST", "url": url, "headers": [], "postData": {"mimeType": form, "text": text}});
    let entries = [
        (
            json!({"method": "GET", "url": "https://shop.test/p/cat?utm_source=x", "headers": []}),
            // Base64 of <h1>Red cat</h1>.
            json!({"status": 200, "headers": [], "content": {"text": "PGgxPlJlZCBjYXQ8L2gxPg==", "encoding": "base64"}}),
        ),
        (
            posted("https://shop.test/cart/add/", "product_id=17"),
            json!({"status": 200, "headers": [], "content": {"text": "{\"total\": 900.5}"}}),
        ),
        (
            posted("https://shop.test/orders/create/", "phone=0671234567"),
            json!({"status": 302, "headers": [{"name": "Location", "value": "/thanks/259/"}], "content": {}}),
        ),
        (
            posted("https://shop.test/orders/create/", "phone=0671234567"),
            json!({"status": 302, "headers": [{"name": "Location", "value": "/cart/"}], "content": {}}),
        ),
        // Blocked by the browser, not of the web, and of no rule.
        (posted("https://shop.test/cart/add/", ""), json!({"status": 0})),
        (json!({"method": "GET", "url": "data:,x"}), json!({"status": 200})),
        (json!({"method": "GET", "url": "https://shop.test/about"}), json!({"status": 200})),
    ].map(|(request, response)| json!({"request": request, "response": response}));
    json!({"log": {"entries": entries}}).to_string()
}

#[test]
fn a_recorded_visit_shows_what_rules_make_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let output = try_rules(folder.path(), RULES, &visit());
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{err}");
    assert_eq!(
        out,
        "GET /p/cat → 200\n    product_view: product_id = cat, product_name = Red cat\n\
         POST /cart/add/ → 200\n    add_to_cart: product_id = 17, value = 900.5, currency = UAH\n\
         POST /orders/create/ → 302\n    purchase: order_id = 259, customer by Phone, as a hash\n\
         POST /orders/create/ → 302\n    no purchase: Location leads elsewhere: /cart/\n\
         POST /cart/add/ → no answer\n7 requests, 3 actions\n"
    );
    assert!(!out.contains("0671234567"));
}

#[test]
fn what_cannot_be_tried_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    for (rules, recording, says) in [
        ("", visit().as_str(), "there are no action rules"),
        (RULES, "<har>", "is no recording in HAR form"),
        (RULES, "{\"log\": {}}", "is no recording in HAR form"),
    ] {
        let output = try_rules(folder.path(), rules, recording);
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && err.contains(says), "{err}");
        assert_eq!(output.stdout, b"");
    }
}
