//! An owner who migrates, a writer who ships, a reader who asks: each can do its work, and nothing else.

use serde_json::json;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use utm_dispatcher::config::{DatabaseUrl, Scope};
use utm_dispatcher::stats::tokens;
use utm_dispatcher::store::migrate::{self, SchemaState};

use crate::harness::app::{Running, app_config};
use crate::harness::load::{self, BROWSER};
use crate::harness::postgres::{self, Database, Role};
use crate::harness::program::Program;
use crate::harness::{DEADLINE, Reply, Upstream, eventually, free_address};
use crate::outages::{answers, is_ready, nothing_is_lost_or_doubled, readiness_says, visits};

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

/// A function made for the very types of a call is preferred to the system's own, wherever it stands in the search path;
/// before PostgreSQL 15 everybody may make one in the schema `public`.
#[tokio::test]
async fn a_function_of_a_strangers_is_not_run_with_the_owners_rights() {
    let roles = roles().await;
    roles.grant().await;
    let open = format!("GRANT CREATE ON SCHEMA public TO {}", roles.reader.name);
    roles.database.connect().await.batch_execute(&open).await.unwrap();
    let reader = postgres::connect(&roles.reader.url).await;
    for (function, text) in [("date_trunc(text, date)", "timestamptz"), ("to_char(date, text)", "text")] {
        let trap = format!(
            "CREATE FUNCTION public.{function} RETURNS {text} LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'run as %', current_user; END $$"
        );
        reader.batch_execute(&trap).await.unwrap();
    }
    let writer = postgres::connect(&roles.writer.url).await;
    writer.batch_execute("SELECT make_partition('events', '2031-05-01')").await.unwrap();
    // Whoever calls grant_rights() refuses such a reader, since other statements could run its functions too.
    let (owner, reader) = (roles.owner.store(), roles.reader.name.as_str());
    let refused = migrate::grant_rights(&owner, None, Some(reader)).await.unwrap_err();
    assert_eq!(refused.code(), Some(&SqlState::INVALID_PARAMETER_VALUE), "{refused:?}");
}

#[tokio::test]
async fn an_owner_a_writer_and_a_schema_may_have_any_name() {
    let database = postgres::database().await;
    let admin = database.connect().await;
    let suffix = database.name();
    let [owner, writer, reader] =
        ["Owner.of", "the-Writer of", "Leser\"ß"].map(|word| format!("{word}{suffix}"));
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    for role in [&owner, &writer, &reader] {
        let role = quoted(role);
        let schema = "CREATE SCHEMA IF NOT EXISTS \"Its.Schema\"";
        let made =
            format!("{schema}; CREATE ROLE {role} LOGIN; ALTER ROLE {role} SET search_path = \"Its.Schema\"");
        admin.batch_execute(&made).await.unwrap();
    }
    let own = format!("ALTER SCHEMA \"Its.Schema\" OWNER TO {}", quoted(&owner));
    admin.batch_execute(&own).await.unwrap();
    let connected = async |role: &str| {
        let mut config: tokio_postgres::Config = database.url.parse().unwrap();
        let (client, connection) = config.user(role).connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    };
    let owning = connected(&owner).await;
    let mut migrations = migrate::migrations();
    migrations.sort_by_key(|migration| migration.version());
    for migration in migrations {
        owning.batch_execute(migration.sql().unwrap()).await.unwrap();
    }
    owning.execute("SELECT grant_rights($1, $2)", &[&writer, &reader]).await.unwrap();
    let writing = connected(&writer).await;
    writing.batch_execute("SELECT make_partition('events', '2031-05-01')").await.unwrap();
    writing.batch_execute("SELECT FROM api_tokens; DELETE FROM sites").await.unwrap();
    let reading = connected(&reader).await;
    reading.batch_execute("SELECT FROM session_facts WHERE started_at > '2031-05-01'").await.unwrap();
    is_denied(&reading, "SELECT FROM api_tokens").await;
    let drop = format!(
        "DROP SCHEMA \"Its.Schema\" CASCADE; DROP ROLE {}, {}, {}",
        quoted(&owner),
        quoted(&writer),
        quoted(&reader)
    );
    drop_when_free(&admin, &drop, [owning, writing, reading]).await;
}

async fn drop_when_free(admin: &Client, statement: &str, clients: [Client; 3]) {
    drop(clients);
    eventually("no role is used", DEADLINE, async || admin.batch_execute(statement).await.ok()).await;
}

#[tokio::test]
async fn rights_go_to_nobody_by_mistake() {
    let roles = roles().await;
    roles.grant().await;
    let (owner, admin) = (roles.owner.store(), roles.database.store());
    let (writer, reader) = (roles.writer.name.as_str(), roles.reader.name.as_str());
    for (store, given, code) in [
        (&owner, (Some("public"), None), SqlState::UNDEFINED_OBJECT),
        (&owner, (None, Some("public")), SqlState::UNDEFINED_OBJECT),
        (&owner, (Some("nobody of that name"), None), SqlState::UNDEFINED_OBJECT),
        (&owner, (Some(reader), Some(reader)), SqlState::INVALID_PARAMETER_VALUE),
        (&owner, (Some(writer), Some(roles.owner.name.as_str())), SqlState::INVALID_PARAMETER_VALUE),
        // Who does not own the tables would give rights to nothing.
        (&admin, (Some(writer), Some(reader)), SqlState::INSUFFICIENT_PRIVILEGE),
    ] {
        let error = migrate::grant_rights(store, given.0, given.1).await.expect_err("refused");
        assert_eq!(error.code(), Some(&code), "{given:?}: {error:?}");
    }
    // What a reader has by another role, or as everybody, cannot be taken from it.
    let owning = postgres::connect(&roles.owner.url).await;
    let superuser = roles.database.connect().await;
    for (given, taken) in [
        ("GRANT SELECT ON api_tokens TO PUBLIC".into(), "REVOKE ALL ON api_tokens FROM PUBLIC".into()),
        (format!("GRANT {writer} TO {reader}"), format!("REVOKE {writer} FROM {reader}")),
    ] {
        superuser.batch_execute(&given).await.unwrap();
        let error = migrate::grant_rights(&owner, None, Some(reader)).await.expect_err("refused");
        assert_eq!(error.code(), Some(&SqlState::INVALID_PARAMETER_VALUE), "{given}: {error:?}");
        superuser.batch_execute(&taken).await.unwrap();
    }
    // Who was a writer, or was given too much, is a reader afterwards and nothing else.
    owning.batch_execute(&format!("GRANT ALL ON api_tokens, sessions TO {reader}")).await.unwrap();
    migrate::grant_rights(&owner, None, Some(reader)).await.unwrap();
    migrate::grant_rights(&owner, None, Some(writer)).await.unwrap();
    for role in [&roles.reader, &roles.writer] {
        let client = postgres::connect(&role.url).await;
        client.batch_execute("SELECT FROM sessions").await.unwrap();
        for statement in [
            "DELETE FROM sessions",
            "SELECT FROM api_tokens",
            "SELECT make_partition('events', '2031-05-01')",
        ] {
            is_denied(&client, statement).await;
        }
    }
}

/// Who has taken the right to run functions from everybody has to give it to those who read and write.
#[tokio::test(flavor = "multi_thread")]
async fn reports_work_where_nothing_is_given_to_everybody() {
    let roles = roles().await;
    let owning = postgres::connect(&roles.owner.url).await;
    owning.batch_execute("REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC").await.unwrap();
    roles.grant().await;
    let upstream = load::shop().await;
    let files = tempfile::tempdir().unwrap();
    let mut config = app_config(upstream.address(), &roles.writer.url, files.path());
    config.database.auto_migrate = false;
    config.stats.database_url = Some(DatabaseUrl(roles.reader.url.clone()));
    let app = Running::start(config).await;
    is_ready(&app).await;
    assert!(app.report("general-stats").await.is_some());
    app.stop().await;
}

/// Whatever it writes into the horizons.
#[tokio::test]
async fn a_writer_may_drop_only_what_retention_has_passed() {
    let roles = roles().await;
    roles.grant().await;
    let writer = postgres::connect(&roles.writer.url).await;
    let newest = "INSERT INTO journal_checkpoint (journal, segment, \"offset\", newest_at)
                  VALUES (gen_random_uuid(), 0, 0, now()); SELECT make_partition('sessions', now()::date)";
    writer.batch_execute(newest).await.unwrap();
    writer
        .batch_execute(
            "SELECT make_partition('events', '2020-01-01'), make_partition('touches', '2020-01-01')",
        )
        .await
        .unwrap();
    let dropping = async |arguments: &str| {
        let outcome = writer.batch_execute(&format!("SELECT drop_partition({arguments})")).await;
        outcome.err().map(|error| error.code().unwrap().clone())
    };
    assert_eq!(dropping("'events', '2020-01-01'").await, Some(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE));
    let horizon = "INSERT INTO retention_horizons VALUES ('events', '2020-02-01'), ('sessions', '2100-01-01')
                   ON CONFLICT (kind) DO UPDATE SET horizon = excluded.horizon";
    writer.batch_execute(horizon).await.unwrap();
    let this_month = "'sessions', now()::date";
    assert_eq!(dropping(this_month).await, Some(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE));
    for arguments in ["'quarantine', '2020-01-01'", "'pg_class', '2020-01-01'", "'orders', '2020-01-01'"] {
        assert_eq!(dropping(arguments).await, Some(SqlState::INVALID_PARAMETER_VALUE), "{arguments}");
    }
    assert_eq!(dropping("'events', '2020-01-01'").await, None);
    is_denied(&writer, "DROP TABLE touches_2020_01").await;
    writer.batch_execute("DELETE FROM retention_horizons").await.unwrap();
    let reader = postgres::connect(&roles.reader.url).await;
    is_denied(&reader, "SELECT drop_partition('touches', '2020-01-01')").await;
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
    let upstream = load::shop().await;
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

/// The schema is the owner's matter: who has tokens to make needs what the first version brought.
#[tokio::test]
async fn a_writer_makes_tokens_in_a_schema_of_any_version() {
    let mut database = postgres::database().await;
    let first: Vec<_> =
        migrate::migrations().into_iter().filter(|migration| migration.version() == 1).collect();
    assert_eq!(migrate::bring_to(&database.store(), &first).await.unwrap(), SchemaState::Current);
    let writer = database.role("writer").await;
    let admin = database.connect().await;
    let rights = format!("GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {}", writer.name);
    admin.batch_execute(&rights).await.unwrap();
    let files = tempfile::tempdir().unwrap();
    let program = Program::new(free_address(), &writer.url, files.path());
    for arguments in [&["create", "analyst", "--scope", "read"][..], &["list"], &["revoke", "analyst"]] {
        let output = program.command(&[&["token"], arguments].concat()).await;
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(
        migrate::schema_state(&database.store()).await.unwrap(),
        SchemaState::Older {
            found: 1,
            wanted: i64::from(
                migrate::migrations().iter().map(|migration| migration.version()).max().unwrap()
            ),
        }
    );

    // What it lacks is said, and who can give it.
    let output = program.command(&["migrate"]).await;
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("permission denied"), "{said}");
}

const VIEWS: &[&str] = &[
    "sessions",
    "actions",
    "touches",
    "credits",
    "orders",
    "daily",
    "utm_session",
    "user_action",
    "order_utm",
];

#[tokio::test(flavor = "multi_thread")]
async fn an_analyst_reads_the_views_and_nothing_else() {
    let mut roles = roles().await;
    let analyst = roles.database.role("analyst").await;
    let owner = roles.owner.store();
    let error = migrate::grant_views(&owner, &analyst.name).await.expect_err("may make no schema");
    assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{error:?}");
    let schema = format!("CREATE SCHEMA bi AUTHORIZATION {}", roles.owner.name);
    roles.database.connect().await.batch_execute(&schema).await.unwrap();
    for _ in 0..2 {
        migrate::grant_views(&owner, &analyst.name).await.unwrap();
    }
    // A session that began without a cookie: what few have is looked up apart, with whose rights the view says.
    let begun = "CREATE TABLE sessions_2026_11 PARTITION OF sessions FOR VALUES FROM ('2026-11-01Z') TO ('2026-12-01Z');
         INSERT INTO visitors (visitor_id, site_id, identity, first_seen, last_seen, minted_from)
             SELECT md5('visitor')::uuid, 1, 1, at, at, md5('day')::uuid FROM (SELECT timestamptz '2026-11-10 10:00:01Z' AS at) t;
         INSERT INTO sessions (session_id, visitor_id, session_hour, started_at, last_seen, entry_at, entry_hash, landing_page_id,
                agent_id, site_id, session_number, page_views, actions, score, bot_reasons, identity, entry_rank, bot_score,
                continued, landing)
         SELECT md5(name)::uuid, md5(name)::uuid, day_of(at), at, at, at, 1, 1, 1, 1, 1, 1, 0, 0, 0, identity, 1, 0,
                identity = 2, CASE WHEN identity = 1
                     THEN ROW(at, 1, at, 1, 1, null, null, 1, 0, 0, 0, 0)::session_landing END
         FROM (VALUES ('visitor', 1, timestamptz '2026-11-10 10:00:01Z'), ('day', 2, timestamptz '2026-11-10 10:00:00Z'))
              AS s(name, identity, at)";
    roles.database.connect().await.batch_execute(begun).await.unwrap();
    let client = postgres::connect(&analyst.url).await;
    for view in VIEWS {
        client.query(&format!("SELECT * FROM bi.{view}"), &[]).await.unwrap();
        client.batch_execute(&format!("DELETE FROM bi.{view}")).await.unwrap_err();
    }
    let sessions = client.query("SELECT * FROM bi.utm_session", &[]).await.unwrap();
    assert_eq!(sessions.len(), 1, "the one that goes on is told for both");
    let all = "SELECT count(*) FROM pg_views WHERE schemaname = 'bi'";
    assert_eq!(client.query_one(all, &[]).await.unwrap().get::<_, i64>(0), VIEWS.len() as i64);
    for statement in
        ["SELECT FROM sessions", "SELECT FROM orders", "SELECT FROM order_entries", "CREATE TABLE bi.x ()"]
    {
        is_denied(&client, statement).await;
    }
}
