//! An owner who migrates, a writer who ships, a reader who asks: each can do its work, and nothing else.

use serde_json::json;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use utm_dispatcher::config::{DatabaseUrl, Scope};
use utm_dispatcher::stats::tokens;
use utm_dispatcher::store::migrate::{self, SchemaState};

use crate::faults::{answers, is_ready, nothing_is_lost_or_doubled, page_shop, readiness_says, visits};
use crate::harness::app::{Running, app_config};
use crate::harness::load::BROWSER;
use crate::harness::postgres::{self, Database, Role};
use crate::harness::{DEADLINE, Reply, Upstream, eventually};

struct Roles {
    database: Database,
    owner: Role,
    writer: Role,
    reader: Role,
}

/// Three roles of a database; its tables belong to the owner, and nobody else has any rights.
async fn roles() -> Roles {
    let mut database = postgres::database().await;
    let (owner, writer, reader) =
        (database.role("owner").await, database.role("writer").await, database.role("reader").await);
    let rights = format!(
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC; GRANT CREATE, USAGE ON SCHEMA public TO {}",
        owner.name
    );
    database.connect().await.batch_execute(&rights).await.unwrap();
    assert_eq!(migrate::migrate(&owner.store()).await.unwrap(), SchemaState::Current);
    Roles { database, owner, writer, reader }
}

impl Roles {
    async fn grant(&self) {
        let (writer, reader) = (Some(self.writer.name.as_str()), Some(self.reader.name.as_str()));
        migrate::grant_rights(&self.owner.store(), writer, reader).await.unwrap();
    }
}

async fn is_denied(client: &Client, statement: &str) {
    let error = client.batch_execute(statement).await.expect_err(statement);
    assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{statement}: {error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_roles_share_the_work_and_none_may_do_more() {
    let roles = roles().await;
    roles.grant().await;
    let upstream = Upstream::start(|request| match request.target() {
        "/buy" => Reply::with(
            "200 OK",
            &["Content-Type: text/html", "X-Utm-Event: purchase; order_id=1; value=10.00; currency=UAH"],
            "<p>thanks</p>",
        ),
        _ => Reply::with("200 OK", &["Content-Type: text/html"], "<p>page</p>"),
    })
    .await;
    let files = tempfile::tempdir().unwrap();
    let mut config = app_config(upstream.address(), &roles.writer.url, files.path());
    config.upstreams[0].trust_events = true;
    config.database.auto_migrate = false;
    config.stats.database_url = Some(DatabaseUrl(roles.reader.url.clone()));
    let app = Running::start(config).await;
    let mut client = app.connect().await;
    for target in ["/?utm_source=facebook", "/buy"] {
        client.send(format!("GET {target} HTTP/1.1\r\n{BROWSER}\r\n")).await;
        assert_eq!(client.answer().await.status(), 200);
    }
    is_ready(&app).await;
    let order = json!([{"order_id": "1", "status": "paid", "value": "10.00", "currency": "UAH"}]);
    let (status, told) = app.tell_orders(&order).await;
    assert_eq!((status, &told["results"][0]["outcome"]), (200, &json!("recorded")), "{told}");
    for report in ["sources", "campaigns", "content", "sessions", "orders/1/explain"] {
        assert_eq!(app.ask(&format!("/api/v1/{report}")).await.0, 200, "{report}");
    }
    let stats = app.report("general-stats").await.unwrap();
    assert_eq!(stats.pointer("/results/page_views"), Some(&json!(2)), "{stats:#}");
    let session = app.report("sessions").await.unwrap()["results"][0]["session_id"].clone();
    assert_eq!(app.ask(&format!("/api/v1/sessions/{}", session.as_str().unwrap())).await.0, 200);

    let visitor = app.report("sessions").await.unwrap()["results"][0]["visitor_id"].clone();
    let (status, receipt) = app.forget(visitor.as_str().unwrap()).await;
    assert_eq!((status, &receipt["results"]["outcome"]), (200, &json!("forgotten")), "{receipt}");

    let writer = postgres::connect(&roles.writer.url).await;
    tokens::create(&writer, "analyst", Scope::Read).await.unwrap();
    eventually("the token closes the port", DEADLINE, async || {
        (app.ask("/api/v1/sources").await.0 == 401).then_some(())
    })
    .await;
    writer.batch_execute("SELECT make_partition('events', '2031-05-17')").await.unwrap();
    writer.batch_execute("SELECT FROM events_2031_05").await.expect_err("through its table only");
    for statement in [
        "DROP TABLE events_2031_05",
        "ALTER TABLE sessions ADD COLUMN x integer",
        "CREATE TABLE of_its_own (x integer)",
        "TRUNCATE events",
        "UPDATE refinery_schema_history SET version = 0",
        "SELECT grant_rights('somebody', NULL)",
    ] {
        is_denied(&writer, statement).await;
    }
    for arguments in ["'quarantine', '2031-05-01'", "'pg_class', '2031-05-01'", "'events', '1999-05-01'"] {
        let error = writer.batch_execute(&format!("SELECT make_partition({arguments})")).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::INVALID_PARAMETER_VALUE), "{arguments}: {error:?}");
    }

    let reader = postgres::connect(&roles.reader.url).await;
    for statement in [
        "DELETE FROM sessions",
        "INSERT INTO sites VALUES (1, 'x')",
        "UPDATE orders SET paid = 0",
        "CREATE TABLE of_its_own (x integer)",
        "SELECT FROM quarantine",
        "SELECT FROM api_tokens",
        "SELECT FROM identity_keys",
        "SELECT FROM erasures",
        "SELECT FROM forgotten",
        "SELECT make_partition('events', '2031-06-01')",
    ] {
        is_denied(&reader, statement).await;
    }
    app.stop().await;
}

/// A temporary table comes before others where names are looked up.
#[tokio::test]
async fn a_writer_cannot_lend_itself_the_owners_rights() {
    let roles = roles().await;
    roles.grant().await;
    let lend = format!("GRANT TEMPORARY ON DATABASE {} TO {}", roles.database.name(), roles.writer.name);
    roles.database.connect().await.batch_execute(&lend).await.unwrap();
    let writer = postgres::connect(&roles.writer.url).await;
    let trap = "CREATE TEMPORARY TABLE events (at timestamptz) PARTITION BY RANGE (at);
                SET search_path = pg_temp, public;
                SELECT make_partition('events', '2031-05-01')";
    writer.batch_execute(trap).await.unwrap();
    let row = writer
        .query_one(
            "SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relname = 'events_2031_05'",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, &str>(0), "public");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_rights_ships_nothing_and_says_so_until_it_has_them() {
    let roles = roles().await;
    let upstream = page_shop().await;
    let files = tempfile::tempdir().unwrap();
    let mut config = app_config(upstream.address(), &roles.writer.url, files.path());
    config.database.auto_migrate = false;
    let app = Running::start(config).await;
    let load = visits(app.proxy, 0);
    answers(&load, 100).await;
    readiness_says(&app, "has not the rights it needs: permission denied for table refinery_schema_history")
        .await;
    assert_eq!(app.ask("/readyz").await.0, 200);
    roles.grant().await;
    is_ready(&app).await;
    // While it ships, too.
    let owner = postgres::connect(&roles.owner.url).await;
    let (revoke, writer) = ("REVOKE INSERT ON events FROM", &roles.writer.name);
    let revoke = format!("{revoke} {writer}");
    eventually("a revoke", DEADLINE, async || owner.batch_execute(&revoke).await.ok()).await;
    readiness_says(&app, "permission denied for table events").await;
    roles.grant().await;
    is_ready(&app).await;
    nothing_is_lost_or_doubled(&load.stop().await, &roles.database).await;
    app.stop().await;
}
