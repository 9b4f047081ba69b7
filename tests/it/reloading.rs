//! SIGHUP: what changes at once, what stays, and what a wrong file does, which is nothing.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use crate::harness::load::BROWSER;
use crate::harness::program::Program;
use crate::harness::tls::{Authority, Body};
use crate::harness::{Client, DEADLINE, Received, Reply, Upstream, eventually, free_address, until};

/// A program without a database, which a reload does not need, before this shop.
async fn running(upstream: &Upstream) -> (Program, TempDir) {
    let files = tempfile::tempdir().unwrap();
    let mut program = Program::new(upstream.address(), "postgres://127.0.0.1:1/none", files.path());
    program.start().await;
    (program, files)
}

async fn shop_that_says(word: &'static str) -> Upstream {
    Upstream::start(move |_| Reply::with("200 OK", &["Content-Type: text/html"], word)).await
}

/// Connections of one program, on all its workers.
async fn connections(program: &Program, number: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..number {
        let mut client = Client::connect(program.proxy).await;
        assert_eq!(client.get("/").await.status(), 200);
        clients.push(client);
    }
    clients
}

/// What the shop was asked for last.
fn last_target(shop: &Upstream) -> String {
    shop.received().last().map(Received::target).unwrap_or_default().to_owned()
}

async fn readiness(program: &Program) -> String {
    eventually("/readyz", DEADLINE, || async { program.ask("/readyz").await }).await.1
}

#[tokio::test]
async fn a_wrong_file_changes_nothing_and_is_explained() {
    let shop = shop_that_says("shop").await;
    let (program, _files) = running(&shop).await;
    let mut kept = Client::connect(program.proxy).await;
    kept.get("/?utm_source=a&x=1").await;
    assert_eq!(last_target(&shop), "/?x=1");
    let line = std::fs::read_to_string(program.config()).unwrap().lines().count() + 3;
    program.edit(|text| text + "\n[tracking]\nstripp = []\n");
    program.reload().await;
    for client in [&mut kept, &mut Client::connect(program.proxy).await] {
        assert_eq!(client.get("/?utm_source=a&x=2").await.body, b"shop");
        assert_eq!(last_target(&shop), "/?x=2");
    }
    let problem = format!("there is no key `stripp` in [tracking] ({}:{line})", program.config().display());
    assert!(program.log().contains(&problem), "{}", program.log());
    let said = readiness(&program).await;
    assert!(said.starts_with("degraded\n") && said.contains(&problem), "{said}");

    program.edit(|text| text.replace("stripp", "strip"));
    program.reload().await;
    kept.get("/?utm_source=a").await;
    assert_eq!(last_target(&shop), "/?utm_source=a");
    let said = readiness(&program).await;
    assert!(!said.contains("config:"), "{said}");
    let (_, metrics) = program.ask("/metrics").await.unwrap();
    for line in ["config_reloads_total{result=\"ok\"} 1", "config_reloads_total{result=\"refused\"} 1"] {
        assert!(metrics.contains(line), "{metrics}");
    }
}

#[tokio::test]
async fn a_file_that_is_gone_changes_nothing() {
    let shop = shop_that_says("shop").await;
    let (program, _files) = running(&shop).await;
    let aside = program.config().with_extension("aside");
    std::fs::rename(program.config(), &aside).unwrap();
    program.reload().await;
    assert_eq!(Client::connect(program.proxy).await.get("/").await.body, b"shop");
    assert!(readiness(&program).await.contains("config: what was reloaded is wrong, cannot read"));
    std::fs::rename(&aside, program.config()).unwrap();
    program.reload().await;
    assert!(!readiness(&program).await.contains("config:"));
}

#[tokio::test]
async fn a_changed_list_holds_at_once_on_every_connection_and_its_default_comes_back() {
    let shop = shop_that_says("shop").await;
    let (program, _files) = running(&shop).await;
    let mut clients = connections(&program, 8).await;
    let strip = "\n[tracking]\nstrip = [\"ref\"]\n";
    for (edit, wanted) in [(strip, "/?utm_source=a&x=1"), ("", "/?x=1&ref=b")] {
        program.edit(|text| text.replace(strip, "") + edit);
        program.reload().await;
        for client in &mut clients {
            client.get("/?utm_source=a&x=1&ref=b").await;
            assert_eq!(last_target(&shop), wanted);
        }
    }
    let said = "configuration reloaded changed=tracking.strip";
    assert_eq!(program.log().matches(said).count(), 2, "{}", program.log());
}

#[tokio::test]
async fn routes_come_and_go_and_requests_end_where_they_began() {
    let gate = CancellationToken::new();
    let held = gate.clone();
    let shop = Upstream::start(move |request| match request.target() {
        "/blog/slow" => Reply::new().wait(&held).write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nshop"),
        _ => Reply::ok("shop"),
    })
    .await;
    let blog = shop_that_says("blog").await;
    let (program, _files) = running(&shop).await;
    let mut clients = connections(&program, 8).await;
    let mut slow = Client::connect(program.proxy).await;
    slow.send("GET /blog/slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until("the slow request is at the shop", || last_target(&shop) == "/blog/slow").await;

    let route = format!(
        "\n[[upstream]]\nname = \"blog\"\nservers = [\"http://{}\"]\n\
         [[route]]\npath = \"/blog\"\nupstream = \"blog\"\n",
        blog.address()
    );
    program.edit(|text| text + &route);
    program.reload().await;
    for client in &mut clients {
        assert_eq!(client.get("/blog/x").await.body, b"blog");
        assert_eq!(client.get("/").await.body, b"shop");
    }
    program.edit(|text| text.replace(&route, ""));
    program.reload().await;
    for client in &mut clients {
        assert_eq!(client.get("/blog/x").await.body, b"shop");
    }
    until("no connection to a server that is not used any more is kept", || blog.closed() == blog.opened())
        .await;
    gate.cancel();
    assert_eq!(slow.answer().await.body, b"shop");
    assert_eq!(slow.get("/").await.body, b"shop");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_outlives_reloads_also_of_its_route() {
    let (shop, echo) = (shop_that_says("shop").await, crate::tunnels::echo().await);
    let (program, _files) = running(&shop).await;
    let route = format!(
        "\n[[upstream]]\nname = \"echo\"\nservers = [\"http://{echo}\"]\n\
         [[route]]\npath = \"/ws\"\nupstream = \"echo\"\n"
    );
    program.edit(|text| text + &route);
    program.reload().await;
    let mut socket = crate::tunnels::converse(TcpStream::connect(program.proxy).await.unwrap()).await;
    for edit in ["\n[tracking]\nstrip = [\"ref\"]\n", ""] {
        program.edit(|text| text.replace(&route, "") + edit);
        program.reload().await;
        socket.send(Message::text("still here")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("still here"));
    }
    assert_eq!(Client::connect(program.proxy).await.get("/ws").await.body, b"shop", "others go elsewhere");
}

/// The watch over the files may be slower than an operator who swaps them and reloads.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_puts_a_new_certificate_in_use_and_leaves_open_connections_alone() {
    let shop = shop_that_says("shop").await;
    let authority = Authority::new();
    authority.write("shop", &["shop.test"]);
    let (files, encrypted) = (tempfile::tempdir().unwrap(), free_address());
    let mut program = Program::new(shop.address(), "postgres://127.0.0.1:1/none", files.path());
    let (pem, key) = (authority.path("shop.pem"), authority.path("shop.key"));
    program.edit(|text| {
        let (pem, key) = (pem.display(), key.display());
        let text = text.replace("[proxy]\n", &format!("[proxy]\ntls_listen = [\"{encrypted}\"]\n"));
        format!("{text}\n[[proxy.tls]]\ncertificate = \"{pem}\"\nkey = \"{key}\"\n")
    });
    program.start().await;
    let get = || http::Request::get("/").header("host", "shop.test").body(Body::default()).unwrap();
    let mut old = authority.http1(encrypted).await;
    let mut old_http2 = authority.http2(encrypted).await;
    assert_eq!(old.send_request(get()).await.unwrap().status(), 200);
    let newest = authority.write("shop", &["shop.test"]);
    program.reload().await;
    let stream = authority.connect(encrypted, "shop.test", &["http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0], newest);
    old.ready().await.unwrap();
    assert_eq!(old.send_request(get()).await.unwrap().status(), 200);
    let get = http::Request::get("https://shop.test/").body(Body::default()).unwrap();
    assert_eq!(old_http2.send_request(get).await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_upstream_that_stays_as_it_is_keeps_its_connections() {
    let shop = shop_that_says("shop").await;
    let (program, _files) = running(&shop).await;
    let mut clients = connections(&program, 4).await;
    let opened = shop.opened();
    for round in 0..5 {
        program.edit(|text| text + &format!("\n# round {round}\n"));
        let other = format!("[proxy]\nhealth_path = \"/health{round}\"\n");
        program.edit(|text| {
            let rest = text.split_once("listen = ").unwrap().1;
            format!("{other}listen = {rest}")
        });
        program.reload().await;
        for client in &mut clients {
            assert_eq!(client.get(&format!("/health{round}")).await.body, b"ok");
            assert_eq!(client.get("/").await.body, b"shop");
        }
    }
    assert_eq!(shop.opened(), opened, "connections to the shop were used again");
}

#[tokio::test]
async fn a_server_that_stays_in_a_changed_list_keeps_its_connections() {
    let (shop, backup) = (shop_that_says("shop").await, shop_that_says("backup").await);
    let (program, _files) = running(&shop).await;
    let mut clients = connections(&program, 4).await;
    let opened = shop.opened();
    program.edit(|text| {
        let (shop, backup) = (shop.address(), backup.address());
        let list = format!(
            "[{{ url = \"http://{backup}\", backup = true }}, {{ url = \"http://{shop}\", weight = 5 }}]"
        );
        text.replace(&format!("[\"http://{shop}\"]"), &list)
    });
    program.reload().await;
    for client in &mut clients {
        assert_eq!(client.get("/").await.body, b"shop");
    }
    assert_eq!(shop.opened(), opened, "connections to the shop were used again");
    let (_, metrics) = program.ask("/metrics").await.unwrap();
    let up = format!("upstream_server_up{{upstream=\"shop\",server=\"http://{}\"}} 1", backup.address());
    assert!(metrics.contains(&up), "{metrics}");
}

#[tokio::test]
async fn what_needs_a_restart_is_named_and_stays() {
    let shop = shop_that_says("shop").await;
    let (program, files) = running(&shop).await;
    let mut client = Client::connect(program.proxy).await;
    let visit = |cookie: &str| format!("GET / HTTP/1.1\r\n{BROWSER}{cookie}\r\n");
    client.send(visit("")).await;
    let set = client.answer().await.value("set-cookie").unwrap().to_owned();
    let cookie = format!("Cookie: {}\r\n", set.split(';').next().unwrap());

    let elsewhere = files.path().join("elsewhere");
    program.edit(|text| {
        text.replace(&program.proxy.to_string(), "127.0.0.1:1")
            .replace(&program.stats.to_string(), "127.0.0.1:2")
            .replace("workers = 2", "workers = 3")
            .replace(&files.path().join("journal").display().to_string(), &elsewhere.display().to_string())
    });
    program.reload().await;
    let named = "needs_restart=journal.dir, orders.customer_key_file, proxy.listen, proxy.workers, stats.listen, \
                 tracking.identity.secret_file";
    assert!(program.log().contains(named), "{}", program.log());
    assert!(!elsewhere.exists());
    assert_eq!(std::fs::read_dir(files.path().join("journal")).unwrap().count(), 3, "keys and one journal");
    for client in [&mut client, &mut Client::connect(program.proxy).await] {
        client.send(visit(&cookie)).await;
        assert_eq!(client.answer().await.value("set-cookie"), None, "the cookie is still one of ours");
    }
}

#[tokio::test]
async fn limits_trust_and_tokens_are_reloaded() {
    let shop = shop_that_says("shop").await;
    let (program, _files) = running(&shop).await;
    let mut client = Client::connect(program.proxy).await;
    let forwarded = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n";
    client.send(forwarded).await;
    client.answer().await;
    assert_eq!(shop.received()[0].value("x-forwarded-for"), Some("127.0.0.1"));
    assert!(readiness(&program).await.contains("undeclared proxy"));
    let hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    program.edit(|text| {
        let text = text.replace("[proxy]", "[proxy]\ntrusted_proxies = [\"127.0.0.1\"]");
        format!(
            "{text}[[stats.token]]\nname = \"a\"\nscope = \"read\"\nhash = \"{hash}\"\n\
             [proxy.limits]\nuri_bytes = 300\n"
        )
    });
    program.reload().await;
    client.send(forwarded).await;
    client.answer().await;
    assert_eq!(shop.received()[1].value("x-forwarded-for"), Some("192.0.2.1, 127.0.0.1"));
    assert_eq!(client.get(&format!("/{}", "x".repeat(400))).await.status(), 414);
    let sources = "/api/v1/sources";
    assert_eq!(program.ask(sources).await.unwrap().0, 401);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = client.get(format!("http://{}{sources}", program.stats)).bearer_auth("test");
    assert_eq!(ask.send().await.unwrap().status(), 503, "let in, and the database is away");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_reloads_under_load_fail_no_request_and_leave_no_memory_behind() {
    let shop = crate::harness::load::shop().await;
    let (program, _files) = running(&shop).await;
    let load = crate::outages::visits(program.proxy, 0);
    // So that a configuration which stays behind is seen.
    let bulk: String = (0..3000).map(|number| format!("\"extension{number}\", ")).collect();
    let storm = async |reloads: usize| {
        for round in 0..reloads {
            program.edit(|text| {
                let text = text.split("\n# round").next().unwrap().to_owned();
                let strip = if round % 4 == 0 { "stripp" } else { "strip" };
                let server = shop.address();
                format!(
                    "{text}\n# round\n[tracking]\nstatic_extensions = [{bulk}]\n{strip} = [\"utm_*\", \"x{round}\"]\n\
                     [[upstream]]\nname = \"other\"\nservers = [\"http://{server}\"]\nretries = {}\n\
                     [[route]]\npath = \"/visit/order\"\nupstream = \"other\"\n",
                    round % 7
                )
            });
            program.reload().await;
        }
    };
    storm(60).await;
    let before = program.resident_bytes();
    storm(200).await;
    let grown = program.resident_bytes().saturating_sub(before);
    // Signals that come faster than files are read are one.
    (0..50).for_each(|_| program.signal("HUP"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let outcome = load.stop().await;
    assert!(outcome.failures.is_empty() && outcome.cut == 0, "{:?}, cut {}", outcome.failures, outcome.cut);
    assert!(outcome.received.len() > 200, "{} answers", outcome.received.len());
    // The load itself goes on meanwhile; 150 such configurations are several times this.
    assert!(grown < 24 << 20, "{grown} bytes more after 200 reloads");
}
