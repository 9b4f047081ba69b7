//! Who is let in.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use utm_dispatcher::config::{Scope, StatsToken};
use utm_dispatcher::hit::ReportOutcome;
use utm_dispatcher::journal::writer::Ack;
use utm_dispatcher::stats::tokens;

use super::seed::Seed;
use super::server::{Server, problem};
use crate::harness::link::Link;
use crate::harness::{DEADLINE, eventually, postgres};

fn toml_token(name: &str, scope: Scope, token: &str) -> StatsToken {
    StatsToken { name: name.into(), scope, sha256: tokens::hash(token) }
}

#[tokio::test]
async fn tokens_of_the_configuration_work_without_the_database() {
    let server = Server::start_with("postgres://nobody@127.0.0.1:1/nothing", |config| {
        config.stats.tokens = vec![
            toml_token("reader", Scope::Read, "read-me"),
            toml_token("shop", Scope::Ingest, "tell-me"),
            toml_token("owner", Scope::Admin, "all"),
        ];
    })
    .await;
    let (status, refused) = problem(server.get("/api/v1/sources").send().await.unwrap()).await;
    assert_eq!(status, 401);
    insta::assert_json_snapshot!(refused);
    let status = async |path: &str, token: &str| {
        server.get(path).bearer_auth(token).send().await.unwrap().status().as_u16()
    };
    // A token that is not in the configuration could be in the database, which is away.
    assert_eq!(status("/metrics", "wrong").await, 503);
    assert_eq!(status("/metrics", "read-me").await, 200);
    assert_eq!(status("/metrics", "tell-me").await, 403);
    assert_eq!(status("/metrics", "all").await, 200);
    assert_eq!(status("/api/v1/sources", "read-me").await, 503);
    let posted = server.post_orders(&json!([])).bearer_auth("read-me").send().await.unwrap();
    assert_eq!(posted.status(), 403);
    let posted = server.post_orders(&json!([])).bearer_auth("tell-me").send().await.unwrap();
    assert_eq!(posted.status(), 200);

    // Forgetting is nothing that a shop's back office or an analyst does.
    let delete = async |token: &str| {
        server.delete_visitor("me").bearer_auth(token).send().await.unwrap().status().as_u16()
    };
    assert_eq!((delete("read-me").await, delete("tell-me").await, delete("all").await), (403, 403, 400));

    assert_eq!(server.get("/healthz").send().await.unwrap().status(), 200);
    let readyz = server.get("/readyz").send().await.unwrap().text().await.unwrap();
    assert_eq!(readyz, "degraded\n", "reasons need a token");
    let readyz = server.get("/readyz").bearer_auth("tell-me").send().await.unwrap().text().await.unwrap();
    assert!(readyz.contains("database:"), "{readyz}");
}

#[tokio::test]
async fn the_first_token_closes_an_open_port_and_a_revoked_one_opens_nothing() {
    let seed = Seed::new().await;
    let server = Server::start(&seed.database.url).await;
    assert_eq!(server.get("/api/v1/sources").send().await.unwrap().status(), 200, "open on loopback");

    let token = tokens::create(&seed.client, "analyst", Scope::Read).await.unwrap();
    tokens::create(&seed.client, "shop", Scope::Ingest).await.unwrap();
    assert!(tokens::create(&seed.client, "shop", Scope::Ingest).await.is_err(), "the name is taken");
    let until = async |wanted: u16, token: Option<&str>| {
        eventually(&format!("status {wanted}"), DEADLINE, async || {
            let request = server.get("/api/v1/sources");
            let request = if let Some(token) = token { request.bearer_auth(token) } else { request };
            (request.send().await.unwrap().status() == wanted).then_some(())
        })
        .await;
    };
    until(401, None).await;
    until(200, Some(&token)).await;
    assert_eq!(server.post_orders(&json!([])).bearer_auth(&token).send().await.unwrap().status(), 403);

    tokens::revoke(&seed.client, "analyst").await.unwrap();
    until(401, Some(&token)).await;
    let listed = tokens::list(&seed.client).await.unwrap();
    let states: Vec<_> = listed
        .iter()
        .map(|token| (token.name.as_str(), token.scope.as_str(), token.revoked_at.is_some()))
        .collect();
    assert_eq!(states, [("analyst", "read", true), ("shop", "ingest", false)]);
}

#[tokio::test]
async fn an_open_port_takes_only_what_the_shop_tells_while_nobody_knows_whether_there_are_tokens() {
    let mut server = Server::start("postgres://nobody@127.0.0.1:1/nothing").await;
    let status = async |request: reqwest::RequestBuilder| request.send().await.unwrap().status().as_u16();
    for path in ["/api/v1/inspect", "/api/v1/sources", "/api/v1/exclusions", "/"] {
        assert_eq!(status(server.get(path)).await, 503, "{path}");
    }
    assert_eq!(status(server.delete_visitor("01a21de2-5e19-8000-8000-000000000001")).await, 503);
    assert_eq!(status(server.get("/metrics")).await, 200);
    let readyz = server.get("/readyz").send().await.unwrap().text().await.unwrap();
    assert!(readyz.contains("database:"), "{readyz}");
    let told = tokio::spawn(server.post_orders(&json!([{"order_id": "1", "status": "placed"}])).send());
    let submission = server.submissions.recv().await.unwrap();
    submission.durable.send(Ack::Written);
    submission.outcomes.send(vec![ReportOutcome::Recorded]);
    assert_eq!(told.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn tokens_that_are_known_hold_while_the_database_hangs() {
    let database = postgres::migrated().await;
    let link = Link::to(&database.url).await;
    let server = Server::start(link.url()).await;
    let token = tokens::create(&database.connect().await, "shop", Scope::Ingest).await.unwrap();
    let tell = async |token: Option<&str>| {
        let request = server.post_orders(&json!([]));
        let request = if let Some(token) = token { request.bearer_auth(token) } else { request };
        request.send().await.unwrap().status().as_u16()
    };
    eventually("the token closes the port", DEADLINE, async || (tell(None).await == 401).then_some(())).await;
    link.freeze();
    // What was read holds for a while; then somebody reads again, and others wait.
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(6)).await;
        let probe = server.get("/readyz").send();
        let told = join_all((0..4).map(|_| tell(None)));
        let known = join_all((0..4).map(|_| tell(Some(&token))));
        let (_, told, known) = tokio::join!(probe, told, known);
        assert_eq!(told, [401; 4]);
        assert!(!known.contains(&401) && !known.contains(&503), "{known:?}");
    }
}

#[tokio::test]
async fn a_port_that_others_can_reach_is_closed_until_a_token_exists() {
    let seed = Seed::new().await;
    let server = Server::start_with(&seed.database.url, |config| {
        config.stats.public_url = Some("https://stats.example.com".into());
    })
    .await;
    for path in ["/", "/metrics", "/api/v1/sources", "/nothing/here"] {
        assert_eq!(server.get(path).send().await.unwrap().status(), 401, "{path}");
    }
    let posted = server.post_orders(&json!([])).send().await.unwrap();
    assert_eq!(posted.status(), 401);
    let token = tokens::create(&seed.client, "analyst", Scope::Read).await.unwrap();
    eventually("the new token is known", DEADLINE, async || {
        let named = server.get("/api/v1/sources").bearer_auth(&token).header("host", "stats.example.com");
        (named.send().await.unwrap().status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_foreign_host_name_or_page_gets_nothing() {
    let seed = Seed::new().await;
    let server = Server::start_with(&seed.database.url, |config| {
        config.stats.allowed_hosts = vec!["stats.internal".into()];
    })
    .await;
    let with_host =
        async |host: &str| server.get("/api/v1/sources").header("host", host).send().await.unwrap();
    for host in ["localhost", "LOCALHOST:9090", "127.0.0.1", "127.8.8.8:1", "[::1]:9090", "stats.internal:80"]
    {
        assert_eq!(with_host(host).await.status(), 200, "{host}");
    }
    for host in ["evil.example", "evil.example:9090", "127.0.0.1.evil.example", "10.0.0.1"] {
        assert_eq!(with_host(host).await.status(), 421, "{host}");
    }
    insta::assert_json_snapshot!(problem(with_host("evil.example").await).await.1);

    let post = |origin: &str| server.post_orders(&json!([])).header("origin", origin.to_owned());
    assert_eq!(post(&server.address).send().await.unwrap().status(), 200);
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1"] {
        assert_eq!(post(origin).send().await.unwrap().status(), 403, "{origin}");
    }
    let form = server.post_text("[]", "text/plain").send().await.unwrap();
    assert_eq!(problem(form).await.0, 415);
}
