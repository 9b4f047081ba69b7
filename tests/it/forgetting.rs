//! Whoever is forgotten is found nowhere any more, and no report tells that somebody is missing.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};
use tokio_postgres::Client as Postgres;
use utm_dispatcher::capture::cookie::VisitorCookie;
use utm_dispatcher::config::Config;
use utm_dispatcher::customer::CustomerHasher;
use utm_dispatcher::hit::CustomerKeyKind;
use utm_dispatcher::keys::KeyRing;

use crate::harness::app::{Running, app_config};
use crate::harness::link::Link;
use crate::harness::load::BROWSER;
use crate::harness::postgres::{self, Database};
use crate::harness::{DEADLINE, Received, Reply, Upstream, eventually};
use crate::outages::is_ready;

const PATIENCE: Duration = Duration::from_secs(60);
const ADDRESS: &str = "198.51.100.7";
const FBCLID: &str = "IwAR2-PersonalClickId";
const FBP: &str = "fb.1.1700000000000.987654321";
const HTML: &str = "Content-Type: text/html";

/// Tables and columns in which one of these texts stands, in any table that there is.
pub(crate) async fn places_of(client: &Postgres, texts: &[String]) -> Vec<String> {
    let columns = "SELECT c.table_name::text, c.column_name::text, c.data_type::text FROM information_schema.columns c
                   JOIN pg_class t ON t.oid = (quote_ident(c.table_schema) || '.' || quote_ident(c.table_name))::regclass
                   WHERE c.table_schema = 'public' AND t.relkind IN ('r', 'p', 'm') AND NOT t.relispartition";
    let plain: Vec<String> = texts.iter().map(|text| format!("%{text}%")).collect();
    let in_bytes = |text: &String| {
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        [format!("%{hex}%"), format!("%{}%", text.replace('-', ""))]
    };
    let bytes: Vec<String> = texts.iter().flat_map(in_bytes).collect();
    let mut places = Vec::new();
    for row in client.query(columns, &[]).await.unwrap() {
        let (table, column, kind): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let (value, patterns) = match kind.as_str() {
            "bytea" => (format!("encode(\"{column}\", 'hex')"), &bytes),
            _ => (format!("\"{column}\"::text"), &plain),
        };
        let sql = format!("SELECT count(*) FROM \"{table}\" WHERE {value} LIKE ANY ($1)");
        if client.query_one(&sql, &[patterns]).await.unwrap().get::<_, i64>(0) > 0 {
            places.push(format!("{table}.{column}"));
        }
    }
    places
}

fn shop(request: &Received) -> Reply {
    let (path, query) = request.target().split_once('?').unwrap_or((request.target(), ""));
    match path {
        "/buy" => {
            let event = format!(
                "X-Utm-Event: purchase; order_id={query}; value=1499.00; currency=UAH; note=Anna%20Personal"
            );
            Reply::with("200 OK", &[HTML, &event], "<p>thanks</p>")
        }
        "/search" => {
            Reply::with("200 OK", &[HTML, "X-Utm-Event: search; text=Anna%20Personal"], "<p>found</p>")
        }
        _ => Reply::with("200 OK", &[HTML], "<p>page</p>"),
    }
}

/// A shop, a database, and what proxies before them share.
struct Place {
    upstream: Upstream,
    database: Database,
    files: tempfile::TempDir,
}

impl Place {
    async fn new() -> Self {
        let upstream = Upstream::start(shop).await;
        Place { upstream, database: postgres::migrated().await, files: tempfile::tempdir().unwrap() }
    }

    /// A proxy with a journal of its own.
    fn config(&self, database_url: &str, name: &str) -> Config {
        let mut config = app_config(self.upstream.address(), database_url, self.files.path());
        config.journal.dir = self.files.path().join(name);
        config.upstreams[0].trust_events = true;
        config.proxy.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        config
    }
}

/// A person's browser.
struct Browser {
    address: &'static str,
    cookie: Option<String>,
}

impl Browser {
    fn new(address: &'static str) -> Self {
        Browser { address, cookie: None }
    }

    async fn open(&mut self, app: &Running, target: &str) {
        let cookie = self.cookie.as_ref().map_or(String::new(), |value| format!("; _utmd={value}"));
        let fields = format!("Cookie: _fbp={FBP}{cookie}\r\nX-Forwarded-For: {}\r\n", self.address);
        let mut client = app.connect().await;
        client.send(format!("GET {target} HTTP/1.1\r\n{BROWSER}{fields}\r\n")).await;
        let answer = client.answer().await;
        assert_eq!(answer.status(), 200, "{}", answer.head);
        let set = answer.values("set-cookie").into_iter().find_map(|line| line.strip_prefix("_utmd="));
        self.cookie = set.map(|line| line.split(';').next().unwrap().to_owned()).or(self.cookie.take());
    }

    fn known(&self, files: &Path) -> VisitorCookie {
        let keys = KeyRing::load_or_create(&files.join("secret")).unwrap();
        VisitorCookie::decode(self.cookie.as_ref().unwrap().as_bytes(), &keys, u32::MAX - 300).expect("ours")
    }

    /// The ids by which it is known.
    fn names(&self, files: &Path) -> Vec<String> {
        let cookie = self.known(files);
        vec![cookie.visitor_id.to_string(), cookie.session_id.to_string()]
    }
}

/// From an advertisement to an order, in two sessions.
async fn journey(browser: &mut Browser, app: &Running, order: &str) {
    browser.open(app, &format!("/?utm_source=facebook&utm_medium=cpc&fbclid={FBCLID}")).await;
    browser.open(app, "/search").await;
    browser.open(app, "/?utm_source=newsletter&utm_medium=email").await;
    browser.open(app, &format!("/buy?{order}")).await;
}

/// What every report says, without what is of the moment.
async fn reports(app: &Running) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for report in ["general-stats", "sources", "campaigns", "content"] {
        for more in ["", "&bots=include", "&date_basis=session", "&device=mobile", "&source=facebook"] {
            let target = format!("{report}?period=week{more}");
            let answer = app.report(&target).await.unwrap();
            let parts = json!([answer["results"], answer["meta"]["totals"], answer["meta"]["other"]]);
            all.push((target, parts));
        }
    }
    let sessions = app.report("sessions?period=week").await.unwrap();
    let rows = sessions["results"].as_array().unwrap().iter();
    let counted: Vec<Value> = rows
        .map(|row| json!([row["source"], row["page_views"], row["orders"], row["score"], row["first_seen"]]))
        .collect();
    all.push(("sessions".into(), json!(counted)));
    all
}

async fn has_page_views(app: &Running, wanted: i64) {
    eventually(&format!("{wanted} page views"), PATIENCE, || async {
        let stats = app.report("general-stats?period=week").await?;
        (stats["results"]["page_views"] == json!(wanted)).then_some(())
    })
    .await;
}

async fn is_forgotten(database: &Database, names: &[String]) {
    let client = database.connect().await;
    eventually("nothing leads to the person", PATIENCE, || async {
        places_of(&client, names).await.is_empty().then_some(())
    })
    .await;
}

/// The customer of the journey, as the ledger has it.
fn customer_hashes(files: &Path) -> Vec<String> {
    let keys = KeyRing::load_or_create(&files.join("customer-key")).unwrap();
    let customers = CustomerHasher::new(&keys, None);
    let known = [
        (CustomerKeyKind::Phone, "+380671234567"),
        (CustomerKeyKind::Email, "anna@example.com"),
        (CustomerKeyKind::UserId, "u-77"),
    ];
    let hex = |(kind, value)| {
        let hash = customers.hash(kind, "default", value).unwrap();
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    known.map(hex).into()
}

/// Sessions without identity, an order that says why.
async fn is_shown_without_a_name(app: &Running) {
    let explained = app.report("orders/1042/explain").await.unwrap();
    let results = &explained["results"];
    assert!(results["join"]["explanation"].as_str().unwrap().starts_with("erased:"), "{results:#}");
    assert_eq!((&results["touches"], &results["order"]["visitor_id"]), (&json!([]), &Value::Null));
    let credits = results["credits"].as_array().unwrap();
    let credit = credits.iter().find(|credit| credit["model"] == "last_non_direct").unwrap();
    assert_eq!(credit["source"], "newsletter");
    let sessions = app.report("sessions?period=week").await.unwrap();
    let nameless: Vec<&Value> =
        sessions["results"].as_array().unwrap().iter().filter(|row| row["identity"] == "forgotten").collect();
    assert_eq!(nameless.len(), 2);
    assert!(nameless.iter().all(|row| row["visitor_id"].is_null() && row["ip_address"].is_null()));
    let story = format!("sessions/{}", nameless[0]["session_id"].as_str().unwrap());
    assert_eq!(app.report(&story).await.unwrap()["results"]["touches"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leads_to_a_forgotten_visitor() {
    let place = Place::new().await;
    let files = place.files.path();
    let app = Running::start(place.config(&place.database.url, "journal")).await;
    is_ready(&app).await;
    let (mut person, mut other) = (Browser::new(ADDRESS), Browser::new("203.0.113.9"));
    journey(&mut person, &app, "1042").await;
    journey(&mut other, &app, "1043").await;
    let session = person.known(files).session_id;
    let order = json!([{
        "order_id": "1042", "status": "paid", "value": "1499.00", "currency": "UAH", "session_id": session,
        "customer": {"phone": "+380671234567", "email": "anna@example.com", "user_id": "u-77"},
        "click_ids": {"fbclid": FBCLID}, "properties": {"note": "Anna Personal"}
    }]);
    assert_eq!(app.tell_orders(&order).await.1["results"][0]["outcome"], "recorded");
    let lead = json!([{"type": "lead", "reference": "call", "session_id": session,
                       "customer": {"email": "anna@example.com"}}]);
    assert_eq!(app.tell("actions", &lead).await.1["results"][0]["outcome"], "recorded");
    has_page_views(&app, 8).await;

    let client = place.database.connect().await;
    eventually("agents are read", PATIENCE, || async {
        let unread = client.query("SELECT FROM agents WHERE NOT is_read", &[]).await.unwrap();
        unread.is_empty().then_some(())
    })
    .await;
    let mut names = person.names(files);
    let first = "SELECT session_id::text FROM sessions WHERE visitor_id::text = $1";
    names.extend(client.query(first, &[&names[0]]).await.unwrap().iter().map(|row| row.get(0)));
    assert_eq!(names.len(), 4, "two sessions");
    names.extend(customer_hashes(files));
    // What the other person has in common with this one is searched for in the rows of this one only.
    let shared = "SELECT (SELECT count(*) FROM touches WHERE click_ids IS NOT NULL)
                       + (SELECT count(*) FROM session_cookies)
                       + (SELECT count(*) FROM events WHERE properties IS NOT NULL)";
    let shared = async || client.query_one(shared, &[]).await.unwrap().get::<_, i64>(0);
    let (before, shared_before) = (reports(&app).await, shared().await);
    let quarantined = "INSERT INTO quarantine (journal, segment, \"offset\", payload, error)
                       VALUES (gen_random_uuid(), 0, 0, 'x'::bytea || uuid_send($1::text::uuid) || 'y'::bytea, 'e')";
    client.execute(quarantined, &[&names[1]]).await.unwrap();
    names.push("198.51.100.".to_owned());
    let led = places_of(&client, &names).await;
    for place in [
        "visitors.visitor_id",
        "orders.session_id",
        "order_entries.email",
        "identifications.hash",
        "sessions.address",
        "quarantine.payload",
    ] {
        assert!(led.contains(&place.to_owned()), "{place} is not among {led:?}");
    }

    let (status, receipt) = app.forget(&names[0]).await;
    assert_eq!((status, &receipt["results"]["outcome"]), (200, &json!("forgotten")), "{receipt}");
    let erased = &receipt["results"]["erased"];
    for (table, rows) in
        [("visitors", 1), ("sessions", 2), ("touches", 2), ("orders", 1), ("customers", 2), ("quarantine", 1)]
    {
        assert_eq!(erased[table], json!(rows), "{table}: {receipt}");
    }
    assert_eq!(places_of(&client, &names).await, [""; 0]);
    assert_eq!(shared().await * 2, shared_before, "what they had in common is the other's alone");
    for ((target, was), (_, is)) in before.iter().zip(reports(&app).await) {
        assert_eq!(*was, is, "{target}");
    }

    is_shown_without_a_name(&app).await;
    let (status, again) = app.forget(&names[0]).await;
    assert_eq!((status, &again["results"]["outcome"]), (200, &json!("already_forgotten")), "{again}");
    let (status, unknown) = app.forget("019aa000-0000-7000-8000-000000000001").await;
    assert_eq!((status, &unknown["results"]["outcome"]), (200, &json!("nothing_found")), "{unknown}");
    assert_eq!(app.forget("me").await.0, 400);

    // Whoever comes back with the old cookie is a new person, in the proxy's eyes too.
    eventually("the proxy knows", DEADLINE, || async {
        let mut back = Browser { cookie: person.cookie.clone(), ..Browser::new("192.0.2.1") };
        back.open(&app, "/").await;
        (back.known(files).visitor_id != person.known(files).visitor_id).then_some(())
    })
    .await;
    assert_eq!(places_of(&client, &names).await, [""; 0]);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hits_of_another_proxy_that_come_after_the_erasure_are_counted_and_anonymous() {
    let place = Place::new().await;
    let files = place.files.path();
    let link = Link::to(&place.database.url).await;
    let one = Running::start(place.config(&place.database.url, "one")).await;
    let two = Running::start(place.config(link.url(), "two")).await;
    is_ready(&one).await;
    is_ready(&two).await;
    let mut person = Browser::new(ADDRESS);
    person.open(&one, &format!("/?utm_source=facebook&fbclid={FBCLID}")).await;
    has_page_views(&one, 1).await;
    link.cut();
    person.open(&two, "/search").await;
    person.open(&two, "/?utm_source=newsletter").await;
    person.open(&two, "/buy?7").await;
    let names = person.names(files);
    assert_eq!(one.forget(&names[0]).await.1["results"]["outcome"], "forgotten");
    link.mend();
    has_page_views(&one, 4).await;
    let stats = one.report("general-stats?period=week").await.unwrap();
    assert_eq!(
        (&stats["results"]["total_sessions"], &stats["results"]["unique_visitors"]),
        (&json!(2), &json!(1)),
        "{stats:#}"
    );
    let sources = one.report("sources?period=week").await.unwrap();
    let newsletter =
        sources["results"].as_array().unwrap().iter().find(|row| row["source"] == "newsletter").unwrap();
    assert_eq!(newsletter["revenue"], "1499.00", "{sources:#}");
    let mut names = names;
    names.extend([FBCLID, FBP, "198.51.100.", "Personal"].map(str::to_owned));
    is_forgotten(&place.database, &names).await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_restored_to_before_an_erasure_is_told_of_it_again() {
    let place = Place::new().await;
    let files = place.files.path();
    let link = Link::to(&place.database.url).await;
    let one = Running::start(place.config(link.url(), "one")).await;
    let two = Running::start(place.config(link.url(), "two")).await;
    is_ready(&one).await;
    is_ready(&two).await;
    let mut person = Browser::new(ADDRESS);
    journey(&mut person, &one, "7").await;
    has_page_views(&one, 4).await;
    place.database.copy_while_cut(&link).await;
    person.open(&one, "/search").await;
    person.open(&two, "/search").await;
    has_page_views(&one, 6).await;
    let mut names = person.names(files);
    assert_eq!(two.forget(&names[0]).await.1["results"]["outcome"], "forgotten");
    let before = reports(&one).await;
    names.extend([FBCLID, FBP, "198.51.100.", "Personal"].map(str::to_owned));
    is_forgotten(&place.database, &names).await;

    place.database.restore_while_cut(&link).await;
    assert!(!places_of(&place.database.connect().await, &names).await.is_empty(), "it is back");
    is_forgotten(&place.database, &names).await;
    has_page_views(&one, 6).await;
    is_forgotten(&place.database, &names).await;
    for ((target, was), (_, is)) in before.iter().zip(reports(&one).await) {
        assert_eq!(*was, is, "{target}");
    }
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_while_the_database_is_away_is_done_when_it_is_back() {
    let place = Place::new().await;
    let files = place.files.path();
    let link = Link::to(&place.database.url).await;
    let app = Running::start(place.config(link.url(), "journal")).await;
    is_ready(&app).await;
    let (mut person, mut other) = (Browser::new(ADDRESS), Browser::new("203.0.113.9"));
    person.open(&app, "/").await;
    other.open(&app, "/").await;
    has_page_views(&app, 2).await;
    link.cut();
    let (status, receipt) = app.forget(&person.names(files)[0]).await;
    assert_eq!((status, &receipt["results"]["outcome"]), (202, &json!("accepted")), "{receipt}");
    // The command leaves a journal, which the running program takes up.
    let printed = command(&place, link.url(), &["--visitor", &other.names(files)[0]]);
    let receipt: Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!((printed.status.code(), &receipt["outcome"]), (Some(0), &json!("accepted")), "{printed:?}");
    link.mend();
    is_forgotten(&place.database, &[person.names(files), other.names(files)].concat()).await;
    app.stop().await;
}

/// Runs the command beside a program whose journal is `journal`.
fn command(place: &Place, database_url: &str, arguments: &[&str]) -> Output {
    run(place, database_url, &[&["forget"], arguments].concat())
}

/// Runs any command so.
fn run(place: &Place, database_url: &str, arguments: &[&str]) -> Output {
    let files = place.files.path();
    let text = format!(
        "[proxy]\nlisten = [\"127.0.0.1:1\"]\n\n[[upstream]]\nname = \"shop\"\nservers = [\"http://127.0.0.1:3\"]\n\n\
         [database]\nurl = \"{database_url}\"\n\n[journal]\ndir = \"{}\"\n\n[stats]\nlisten = \"127.0.0.1:2\"\n\n\
         [orders]\ncustomer_key_file = \"{}\"\n",
        files.join("journal").display(),
        files.join("customer-key").display(),
    );
    std::fs::write(files.join("config.toml"), text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_utm-dispatcher"));
    command.args(arguments).arg("--config").arg(files.join("config.toml"));
    command.output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_forgets_by_visitor_order_and_customer() {
    let place = Place::new().await;
    let files = place.files.path();
    let app = Running::start(place.config(&place.database.url, "journal")).await;
    is_ready(&app).await;
    let mut people = [Browser::new(ADDRESS), Browser::new(ADDRESS), Browser::new(ADDRESS)];
    for (number, person) in people.iter_mut().enumerate() {
        journey(person, &app, &number.to_string()).await;
    }
    let order =
        json!([{"order_id": "2", "status": "paid", "value": 10, "customer": {"email": "anna@example.com"}}]);
    assert_eq!(app.tell_orders(&order).await.1["results"][0]["outcome"], "recorded");
    has_page_views(&app, 12).await;
    let before = reports(&app).await;
    let visitor = people[0].names(files)[0].clone();
    let subjects = [["--visitor", visitor.as_str()], ["--order", "1"], ["--customer", " Anna@Example.com"]];
    for (subject, person) in subjects.iter().zip(&people) {
        for outcome in ["forgotten", "already_forgotten"] {
            let printed = command(&place, &place.database.url, subject);
            let receipt: Value = serde_json::from_slice(&printed.stdout).unwrap();
            assert_eq!(
                (printed.status.code(), &receipt["outcome"]),
                (Some(0), &json!(outcome)),
                "{printed:?}"
            );
        }
        is_forgotten(&place.database, &person.names(files)).await;
    }
    let client = place.database.connect().await;
    let rest = [FBCLID, FBP, "198.51.100.", "Personal"].map(str::to_owned);
    assert_eq!(places_of(&client, &rest).await, [""; 0]);
    for ((target, was), (_, is)) in before.iter().zip(reports(&app).await) {
        assert_eq!(*was, is, "{target}");
    }
    let printed = command(&place, &place.database.url, &["--order", "unknown"]);
    let receipt: Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(receipt["outcome"], "nothing_found");
    for wrong in [&[][..], &["--visitor", "me"], &["--order", "1", "--customer", "x"]] {
        assert_eq!(command(&place, &place.database.url, wrong).status.code(), Some(64), "{wrong:?}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_replacements_goes_with_the_journal() {
    let place = Place::new().await;
    let mut config = place.config(&place.database.url, "journal");
    config.journal.keep = Duration::from_secs(4);
    let app = Running::start(config).await;
    is_ready(&app).await;
    let mut person = Browser::new(ADDRESS);
    person.open(&app, "/").await;
    has_page_views(&app, 1).await;
    assert_eq!(app.forget(&person.names(place.files.path())[0]).await.0, 200);
    let client = place.database.connect().await;
    let keys = async || {
        let row = client.query_one("SELECT count(key) FROM erasures", &[]).await.unwrap();
        row.get::<_, i64>(0)
    };
    assert_eq!(keys().await, 1, "what is late still finds its session");
    eventually("the key is deleted", DEADLINE, || async { (keys().await == 0).then_some(()) }).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_exports_what_is_kept_of_a_visitor_an_order_or_a_customer_as_the_api_does() {
    let place = Place::new().await;
    let files = place.files.path();
    let app = Running::start(place.config(&place.database.url, "journal")).await;
    is_ready(&app).await;
    let (mut person, mut other) = (Browser::new(ADDRESS), Browser::new("203.0.113.9"));
    journey(&mut person, &app, "7").await;
    journey(&mut other, &app, "8").await;
    let order =
        json!([{"order_id": "7", "status": "paid", "value": 10, "customer": {"email": "anna@example.com"}}]);
    assert_eq!(app.tell_orders(&order).await.1["results"][0]["outcome"], "recorded");
    has_page_views(&app, 8).await;
    let visitor = person.names(files)[0].clone();
    let told = eventually("the agent is read", DEADLINE, async || {
        let (_, told) = app.ask(&format!("/api/v1/visitors/{visitor}")).await;
        let told: Value = serde_json::from_str(&told).unwrap();
        (!told["sessions"][0]["os_name"].is_null()).then_some(told)
    })
    .await;
    for subject in [["--visitor", visitor.as_str()], ["--order", "7"], ["--customer", "anna@example.com"]] {
        let printed = run(&place, &place.database.url, &["export", subject[0], subject[1]]);
        assert_eq!(printed.status.code(), Some(0), "{printed:?}");
        let export: Value = serde_json::from_slice(&printed.stdout).unwrap();
        for table in ["visitors", "sessions", "touches", "events", "orders", "order_entries"] {
            assert_eq!(export[table], told[table], "{table} by {subject:?}");
            assert!(!export[table].as_array().unwrap().is_empty(), "{table} by {subject:?}");
        }
        let text = String::from_utf8(printed.stdout).unwrap();
        assert!(text.contains(FBCLID) && text.contains(&visitor), "{text}");
        assert!(other.names(files).iter().all(|name| !text.contains(name.as_str())), "only theirs: {text}");
    }
    for (arguments, code) in [(&["export"][..], 64), (&["export", "--visitor", "nobody"], 64)] {
        let printed = run(&place, &place.database.url, arguments);
        assert_eq!(printed.status.code(), Some(code), "{printed:?}");
        assert!(printed.stdout.is_empty());
    }
    app.stop().await;
}
