//! docs/shop-developers.md: the code in it is run as it stands, before the real program.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::program::{Program, Settings};
use crate::harness::{Client, DEADLINE, Reply, Upstream, eventually, free_address, postgres, skip, until};

/// Scope ingest: `shop-token`; scope read: `reader-token`.
const TABLES: &str = "[tracking]\nupstream_headers = true\n\
    [[stats.token]]\nname = \"shop\"\nscope = \"ingest\"\n\
    hash = \"88cc4600551e64b7cb97dd7f63ebad405255e5d17bdd71ee9fe1ed5cc20d0b3b\"\n\
    [[stats.token]]\nname = \"reader\"\nscope = \"read\"\n\
    hash = \"ba5005a40cf5212e4ac0190104cc127edab013294bb71279a975b27a80982d45\"\n";

/// Several programs make themselves a schema meanwhile.
const PATIENCE: Duration = DEADLINE.saturating_mul(3);

/// Code of the guide in a language, in order.
fn blocks(language: &str) -> Vec<String> {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/shop-developers.md");
    let text = fs::read_to_string(guide).unwrap();
    let fenced = text.split("\n```").collect::<Vec<_>>();
    let opened = fenced.iter().filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n'));
    opened.map(str::to_owned).collect()
}

/// A shop of the guide; ends with the test.
struct Shop(Child);

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A page of the shop as a browser gets it: body, and the cookie if one was set.
async fn page(client: &mut Client, target: &str, cookie: &str) -> (String, Option<String>) {
    client
        .send(format!(
            "GET {target} HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 \
             Firefox/120.0\r\nAccept: text/html\r\nAccept-Language: uk\r\n{cookie}\r\n"
        ))
        .await;
    let answer = client.answer().await;
    assert_eq!(answer.status(), 200, "{target}");
    assert_eq!(answer.value("x-utm-event"), None, "visitors do not see it");
    let set = answer.value("set-cookie").map(|line| line.split(';').next().unwrap().to_owned());
    (String::from_utf8(answer.body.clone()).unwrap(), set)
}

async fn report(program: &Program, target: &str) -> Option<Value> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let question =
        client.get(format!("http://{}/api/v1/{target}", program.stats)).bearer_auth("reader-token");
    let response = question.send().await.ok()?;
    if response.status() == 200 { response.json().await.ok() } else { None }
}

async fn order(program: &Program, id: &str, is_done: impl Fn(&Value) -> bool) -> Value {
    eventually("the order is there", PATIENCE, || async {
        let results = report(program, &format!("orders/{id}/explain")).await?["results"].clone();
        is_done(&results).then_some(results)
    })
    .await
}

/// A visitor by a campaign orders; then the back office tells what became of it.
async fn a_purchase(
    upstream: std::net::SocketAddr,
    files: &Path,
    mut back_office: Command,
    property: Option<&str>,
) {
    let database = postgres::migrated().await;
    let mut settings = Settings::new(upstream, &database.url, files);
    settings.more = TABLES.to_owned();
    let mut program = Program::with(settings);
    program.start().await;
    let mut client = Client::connect(program.proxy).await;
    let (session, cookie) =
        page(&mut client, "/?utm_source=guide&utm_medium=docs&utm_campaign=shops", "").await;
    assert_eq!(session.len(), 36, "the shop is told the session: {session:?}");
    let cookie = format!("Cookie: {}\r\n", cookie.unwrap());
    assert_eq!(page(&mut client, "/order", &cookie).await.0, session);
    order(&program, "1042", |_| true).await;

    back_office
        .arg(&session)
        .env("UTM_DISPATCHER", format!("http://{}", program.stats))
        .env("UTM_DISPATCHER_TOKEN", "shop-token");
    let told = tokio::task::spawn_blocking(move || back_office.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&told.stdout).into_owned() + &String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success(), "{said}");
    // What takes the database more than five seconds is "accepted".
    let taken = said.matches("recorded").count() + said.matches("accepted").count();
    assert_eq!(taken, 3, "{said}");

    let first = order(&program, "1042", |results| results["order"]["net"] == "1000.00").await;
    assert_eq!((&first["order"]["gross"], &first["order"]["paid"]), (&json!("1499.00"), &json!("1499.00")));
    let second = order(&program, "1043", |_| true).await;
    assert_eq!(second["order"]["net"], "380.00");
    for (explained, rule) in [(first, "cookie"), (second, "session")] {
        let credits = explained["credits"].as_array().unwrap();
        let credit = credits.iter().find(|credit| credit["model"] == "last_non_direct").unwrap();
        assert_eq!((&credit["source"], &credit["campaign"]), (&json!("guide"), &json!("shops")));
        assert_eq!(explained["join"]["rule"], rule, "{explained:#}");
    }
    let story = report(&program, &format!("sessions/{session}")).await.unwrap();
    let actions = story["results"]["actions"].as_array().unwrap();
    let purchase = actions.iter().find(|action| action["type"] == "purchase").unwrap();
    assert_eq!(purchase["properties"]["gift"].as_str(), property);
    assert!(program.terminate().await.success());
}

/// Both programs of the guide in one language.
async fn both_programs_work(language: &str, interpreter: &[&str], serve: impl Fn(&Path, u16) -> Vec<String>) {
    let Some(interpreter) = interpreter.iter().find(|name| {
        let version =
            Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    }) else {
        skip(&format!("{} is not installed", interpreter[0]));
        return;
    };
    let [shop, tell] = blocks(language).try_into().unwrap();
    let files = tempfile::tempdir().unwrap();
    let (shop_file, tell_file) = (files.path().join("shop"), files.path().join("tell"));
    fs::write(&shop_file, shop).unwrap();
    fs::write(&tell_file, tell).unwrap();
    let address = free_address();
    let mut command = Command::new(interpreter);
    command.args(serve(&shop_file, address.port())).env("PORT", address.port().to_string());
    let _shop =
        Shop(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    until("the shop listens", || TcpStream::connect(address).is_ok()).await;
    let mut back_office = Command::new(interpreter);
    back_office.arg(&tell_file);
    a_purchase(address, files.path(), back_office, Some("чашка; синя")).await;
}

fn as_script(file: &Path, _: u16) -> Vec<String> {
    vec![file.display().to_string()]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guides_python_works() {
    both_programs_work("python", &["python3"], as_script).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guides_javascript_works() {
    both_programs_work("javascript", &["node", "nodejs"], as_script).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guides_php_works() {
    both_programs_work("php", &["php"], |file, port| {
        vec!["-S".to_owned(), format!("127.0.0.1:{port}"), file.display().to_string()]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guides_curl_works() {
    let [script] = blocks("sh").try_into().unwrap();
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("tell");
    fs::write(&file, script).unwrap();
    let shop = Upstream::start(|request| {
        let session = request.value("x-utm-session").unwrap_or_default();
        let event = "X-Utm-Event: purchase; order_id=1042; value=1499.00; currency=UAH";
        let is_order = request.target() == "/order";
        Reply::with(
            "200 OK",
            &["Content-Type: text/html", if is_order { event } else { "X-Other: 1" }],
            session,
        )
    })
    .await;
    let mut back_office = Command::new("sh");
    back_office.arg(&file);
    a_purchase(shop.address(), files.path(), back_office, None).await;
}
