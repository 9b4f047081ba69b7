//! Everything works through PgBouncer in transaction mode, which gives each transaction any server connection.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tokio_postgres::config::Host;
use utm_dispatcher::config::Scope;
use utm_dispatcher::managed::ServerUser;
use utm_dispatcher::stats::tokens;
use utm_dispatcher::store::Store;
use utm_dispatcher::store::migrate::{self, SchemaState};

use crate::harness::app::{Running, app_config};
use crate::harness::load::{self, Load};
use crate::harness::postgres::{self, Database};
use crate::harness::{DEADLINE, eventually, free_address, skip, until};
use crate::outages::{answers, nothing_is_lost_or_doubled};

/// Server connections that all share.
const POOL: u8 = 3;

struct Pooler {
    url: String,
    child: Child,
    _files: TempDir,
}

impl Pooler {
    /// A pooler before a database; none, having printed SKIPPED, where the program is missing.
    async fn before(database: &Database) -> Option<Self> {
        let mut places = std::env::split_paths(&std::env::var_os("PATH")?).collect::<Vec<_>>();
        places.push("/usr/sbin".into());
        let Some(program) = places.iter().map(|place| place.join("pgbouncer")).find(|path| path.exists())
        else {
            skip("pgbouncer is not installed");
            return None;
        };
        let files = tempfile::tempdir().unwrap();
        std::fs::set_permissions(files.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let address = free_address();
        let settings = files.path().join("pgbouncer.ini");
        std::fs::write(&settings, ini(&database.url, address.port())).unwrap();
        let mut command = Command::new(program);
        if running_as_root() {
            ServerUser::choose().unwrap().drop_to(&mut command);
        }
        let child = command.arg("-q").arg(&settings).stdin(Stdio::null()).spawn().unwrap();
        let pooler =
            Self { url: format!("postgres://pooled@{address}/{}", database.name()), child, _files: files };
        until("the pooler listens", || TcpStream::connect(address).is_ok()).await;
        Some(pooler)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn running_as_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    Path::new("/proc/self").metadata().is_ok_and(|process| process.uid() == 0)
}

fn ini(database_url: &str, port: u16) -> String {
    let config: tokio_postgres::Config = database_url.parse().unwrap();
    let host = match &config.get_hosts()[0] {
        Host::Unix(directory) => directory.display().to_string(),
        Host::Tcp(host) => host.clone(),
    };
    let server_port = config.get_ports().first().copied().unwrap_or(5432);
    let (name, user) = (config.get_dbname().unwrap(), config.get_user().unwrap_or("postgres"));
    let password = config.get_password().map(|word| format!(" password={}", String::from_utf8_lossy(word)));
    format!(
        "[databases]\n{name} = host={host} port={server_port} dbname={name} user={user}{}\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
         pool_mode = transaction\ndefault_pool_size = {POOL}\nmax_client_conn = 200\nlogfile =\n",
        password.unwrap_or_default()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn two_programs_do_all_their_work_through_a_pooler_of_three_connections() {
    let database = postgres::database().await;
    let Some(pooler) = Pooler::before(&database).await else { return };
    let upstream = load::shop().await;
    let files = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut apps = Vec::new();
    for files in &files {
        apps.push(Running::start(app_config(upstream.address(), &pooler.url, files.path())).await);
    }
    let migrating: Vec<_> = (0..3)
        .map(|_| {
            let store = Store::new(&pooler.url).unwrap();
            tokio::spawn(async move { migrate::migrate(&store).await.unwrap() })
        })
        .collect();
    // A visitor of this load buys with each twentieth page, and each page settles all orders of its visitor again.
    let visits = |proxy, first| Load::start(proxy, 4, "visit", first, Duration::from_millis(50));
    let loads = [visits(apps[0].proxy, 0), visits(apps[1].proxy, 1_000_000)];
    for one in migrating {
        assert_eq!(one.await.unwrap(), SchemaState::Current);
    }
    for (app, load) in apps.iter().zip(&loads) {
        is_ready_but_for_the_key(app).await;
        answers(load, 300).await;
        for number in 0..5 {
            let order = json!([{"order_id": number.to_string(), "status": "placed", "value": "1.00", "currency": "UAH"}]);
            assert_eq!(app.tell_orders(&order).await.0, 200);
            for report in ["general-stats", "sources", "sessions", "orders/0/explain"] {
                assert_eq!(app.ask(&format!("/api/v1/{report}")).await.0, 200, "{report}");
            }
        }
    }
    let [first, second] = loads;
    let (mut outcome, more) = (first.stop().await, second.stop().await);
    outcome.received.extend(more.received);
    outcome.failures.extend(more.failures);
    nothing_is_lost_or_doubled(&outcome, &database).await;

    let pooled = postgres::connect(&pooler.url).await;
    let token = tokens::create(&pooled, "analyst", Scope::Read).await.unwrap();
    assert!(token.starts_with("utmd_"));
    // Nothing that a session would keep was left behind for the next who gets it.
    let settings = "SELECT current_setting('lock_timeout'), current_setting('statement_timeout'),
                           (SELECT count(*) FROM pg_prepared_statements)::text";
    for _ in 0..10 {
        let messages = pooled.simple_query(settings).await.unwrap();
        let left = messages.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some([row.get(0), row.get(1), row.get(2)]),
            _ => None,
        });
        assert_eq!(left.unwrap(), [Some("0"), Some("0"), Some("0")]);
    }
    for app in apps {
        app.stop().await;
    }
}

/// Two programs with a key each know of each other through the database.
async fn is_ready_but_for_the_key(app: &Running) {
    eventually("ready", DEADLINE, async || {
        let (_, text) = app.ask("/readyz").await;
        let reasons: Vec<_> = text.lines().skip(1).filter(|line| !line.starts_with("key: ")).collect();
        reasons.is_empty().then_some(())
    })
    .await;
}
