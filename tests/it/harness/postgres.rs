//! Databases for tests: one private cluster for the whole run, a fresh database for each test, and a cluster of its
//! own for a test that kills it. With `DATABASE_URL` set, the fresh databases are created on that server instead.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, NoTls};
use utm_dispatcher::managed::{Cluster, ManagedError, ServerUser, Settings};
use utm_dispatcher::store::Store;
use uuid::Uuid;

use super::guard::Guard;
use super::link::Link;
use super::{DEADLINE, eventually, skip};

static SHARED: OnceCell<Place> = OnceCell::const_new();
static TEMPLATE: OnceCell<()> = OnceCell::const_new();
static NEXT: AtomicU32 = AtomicU32::new(0);
/// What the servers of a run never take together.
const MOST_BYTES: u64 = 4 << 30;

/// Where databases are created.
struct Place {
    /// Of a role that may create databases.
    maintenance_url: String,
    /// Ends, with all its files, when this process does.
    cluster: Option<Cluster>,
}

/// An empty database of its own, dropped afterwards.
pub struct Database {
    /// As `database.url` has it; the role may do everything.
    pub url: String,
    name: String,
    maintenance_url: String,
    roles: Vec<String>,
}

/// A fresh empty database, for what is about making the schema; all other tests are faster with `migrated`.
pub async fn database() -> Database {
    let place = SHARED.get_or_init(shared_place).await;
    database_on(&place.maintenance_url, "template1").await
}

/// A new database with this encoding, in the locale C.
pub async fn database_in_c(encoding: &str) -> Database {
    let place = SHARED.get_or_init(shared_place).await;
    let template = format!("template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'");
    database_on(&place.maintenance_url, &template).await
}

async fn database_on(maintenance_url: &str, template: &str) -> Database {
    let name = format!("it_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let maintenance = connect(maintenance_url).await;
    let statement = format!("CREATE DATABASE {name} TEMPLATE {template}");
    maintenance.batch_execute(&statement).await.expect("creating a database");
    let url = with_database(maintenance_url, &name);
    Database { url, name, maintenance_url: maintenance_url.to_owned(), roles: Vec::new() }
}

/// A fresh database with the schema of this program.
pub async fn migrated() -> Database {
    let place = SHARED.get_or_init(shared_place).await;
    if place.cluster.is_none() {
        // Nothing may be left on a server that others have.
        let database = database().await;
        migrate(&database.url).await;
        return database;
    }
    // A copy costs a fifth of all the migrations.
    TEMPLATE
        .get_or_init(|| async {
            let maintenance = connect(&place.maintenance_url).await;
            maintenance.batch_execute("CREATE DATABASE migrated").await.expect("creating a database");
            migrate(&with_database(&place.maintenance_url, "migrated")).await;
        })
        .await;
    database_on(&place.maintenance_url, "migrated").await
}

async fn migrate(url: &str) {
    let store = Store::new(url).expect("database URL");
    utm_dispatcher::store::migrate::migrate(&store).await.expect("migrating");
}

/// Somebody who may log in to a database.
pub struct Role {
    /// As SQL names it.
    pub name: String,
    /// The database, as `database.url` has it, for this role.
    pub url: String,
}

impl Role {
    /// The database as this role sees it.
    pub fn store(&self) -> Store {
        Store::new(&self.url).expect("database URL")
    }
}

impl Database {
    /// A connection to it.
    pub async fn connect(&self) -> Client {
        connect(&self.url).await
    }

    /// Makes a copy of it, for which nobody may be connected.
    pub async fn copy_while_cut(&self, link: &Link) {
        self.while_cut(link, &[&format!("CREATE DATABASE {0}_copy TEMPLATE {0}", self.name)]).await;
    }

    /// Puts the copy in its place, as a restore does.
    pub async fn restore_while_cut(&self, link: &Link) {
        let statements = [
            format!("DROP DATABASE {} WITH (FORCE)", self.name),
            format!("ALTER DATABASE {0}_copy RENAME TO {0}", self.name),
        ];
        self.while_cut(link, &statements.each_ref().map(String::as_str)).await;
    }

    async fn while_cut(&self, link: &Link, statements: &[&str]) {
        link.cut();
        let maintenance = connect(&self.maintenance_url).await;
        let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
        for statement in statements {
            eventually(statement, DEADLINE, || async {
                maintenance.query(others, &[&self.name]).await.ok()?;
                maintenance.batch_execute(statement).await.ok()
            })
            .await;
        }
        link.mend();
    }

    /// As SQL names it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A new role that may log in and has no rights yet; it goes with the database.
    pub async fn role(&mut self, purpose: &str) -> Role {
        let name = format!("{}_{purpose}", self.name);
        self.connect()
            .await
            .batch_execute(&format!("CREATE ROLE {name} LOGIN"))
            .await
            .expect("creating a role");
        self.roles.push(name.clone());
        let separator = if self.url.contains('?') { '&' } else { '?' };
        Role { url: format!("{}{separator}user={name}", self.url), name }
    }

    /// It, as the program sees it.
    pub fn store(&self) -> Store {
        Store::new(&self.url).expect("database URL")
    }
}

impl Drop for Database {
    /// On a thread of its own, since the test's runtime may be ending. A failure only leaves a database behind.
    fn drop(&mut self) {
        let (url, name) = (self.maintenance_url.clone(), self.name.clone());
        let roles = std::mem::take(&mut self.roles);
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let (client, connection) =
                    tokio_postgres::connect(&url, NoTls).await.map_err(std::io::Error::other)?;
                tokio::spawn(connection);
                let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                client.batch_execute(&statement).await.map_err(std::io::Error::other)?;
                for role in roles {
                    let statement = format!("DROP ROLE IF EXISTS {role}");
                    client.batch_execute(&statement).await.map_err(std::io::Error::other)?;
                }
                Ok::<(), std::io::Error>(())
            })
        });
        let _ = dropping.join();
    }
}

/// Opens a connection and drives it in the background.
pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("connecting to Postgres");
    tokio::spawn(connection);
    client
}

/// Where a server listens.
#[derive(Debug, Clone)]
pub enum Endpoint {
    /// Path of the socket.
    Unix(PathBuf),
    /// `host:port`.
    Tcp(String),
}

impl Endpoint {
    /// Where the server of `url` listens.
    pub fn of(url: &str) -> Self {
        let config: Config = url.parse().expect("database URL");
        let port = config.get_ports().first().copied().unwrap_or(5432);
        match config.get_hosts().first().expect("host in database URL") {
            Host::Unix(directory) => Endpoint::Unix(directory.join(format!(".s.PGSQL.{port}"))),
            Host::Tcp(host) => Endpoint::Tcp(format!("{host}:{port}")),
        }
    }
}

/// `url` with another database; a `postgres://` URL.
pub fn with_database(url: &str, name: &str) -> String {
    let (scheme, rest) = url.split_once("://").expect("DATABASE_URL must be a postgres:// URL");
    let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = place.split('/').next().unwrap_or_default();
    format!("{scheme}://{authority}/{name}?{parameters}")
}

async fn shared_place() -> Place {
    if let Some(url) = env::var("DATABASE_URL").ok().filter(|url| !url.is_empty()) {
        return Place { maintenance_url: url, cluster: None };
    }
    let settings = Settings { parameters: parameters([("max_wal_size", "256MB")]), disposable: true };
    let mut cluster =
        Cluster::open_in(&fresh_home(), settings).expect("a private Postgres for this test run");
    cluster.start().await.expect("the private Postgres of this test run starts");
    Place { maintenance_url: cluster.superuser_url("postgres"), cluster: Some(cluster) }
}

/// A path short enough for a socket, in a directory that the server's user can enter. In memory where there is plenty: a
/// database is hundreds of files, and a file system is slow to make files where others have just been deleted.
pub fn fresh_home() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let has_room = rustix::fs::statvfs(memory).is_ok_and(|disk| disk.f_bavail * disk.f_frsize > MOST_BYTES);
    let parent = if has_room { memory } else { Path::new("/tmp") };
    let name = Uuid::new_v4().simple().to_string();
    parent.join(format!("utm-it-{}", &name[..12]))
}

fn dedicated_settings() -> Settings {
    let parameters = parameters([("fsync", "off"), ("max_standby_streaming_delay", "100ms")]);
    Settings { parameters, disposable: false }
}

/// These, and what every server of tests needs.
fn parameters<const COUNT: usize>(more: [(&str, &str); COUNT]) -> Vec<(String, String)> {
    let all = std::iter::once(("max_connections", "300")).chain(more);
    all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A server of its own for a test that stops, kills and restarts it.
pub struct DedicatedPostgres {
    cluster: Cluster,
}

impl DedicatedPostgres {
    /// Starts one; none, having printed SKIPPED, where the machine has no server binaries.
    pub async fn start() -> Option<Self> {
        // Commits stay synchronous: a killed server must keep them. A power cut is not tested.
        let mut cluster = match Cluster::open_in(&fresh_home(), dedicated_settings()) {
            Err(ManagedError::NoBinaries) => {
                skip("there are no PostgreSQL server binaries on this machine");
                return None;
            }
            opened => opened.expect("a private Postgres"),
        };
        cluster.start().await.expect("the private Postgres starts");
        Some(Self { cluster })
    }

    /// A server that follows this one.
    pub async fn replica(&self) -> Self {
        let postmaster = self.cluster.postmaster_pid().expect("a running postmaster");
        let program = std::fs::read_link(format!("/proc/{postmaster}/exe")).expect("the server's program");
        let mut cluster = Cluster::open_in(&fresh_home(), dedicated_settings()).expect("a private Postgres");
        let mut command = Command::new(program.with_file_name("pg_basebackup"));
        ServerUser::choose().expect("a user for Postgres").drop_to(&mut command);
        command.args([
            "--write-recovery-conf",
            "--checkpoint=fast",
            "--no-sync",
            "--username=postgres",
            "--pgdata",
        ]);
        command.arg(cluster.home().join("data")).arg("--host").arg(self.cluster.socket_dir());
        let output = command.current_dir("/").output().expect("pg_basebackup");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        cluster.start().await.expect("the replica starts");
        Self { cluster }
    }

    /// URL of its database `utm`, the same after each start; the role may do everything.
    pub fn url(&self) -> String {
        self.cluster.superuser_url("utm")
    }

    /// A fresh empty database on it.
    pub async fn database(&self) -> Database {
        database_on(&self.cluster.superuser_url("postgres"), "template1").await
    }

    /// Stops all processes of the server where they are, until the guard is dropped.
    pub fn freeze(&self) -> Guard {
        let postmaster = self.cluster.postmaster_pid().expect("a running postmaster");
        // The postmaster first, so that it makes no further ones.
        signal("STOP", &[postmaster]);
        let all: Vec<u32> = std::iter::once(postmaster).chain(children_of(postmaster)).collect();
        let pids: Vec<String> = all.iter().map(u32::to_string).collect();
        let guard = Guard::new("kill -CONT \"$@\"", &pids.iter().map(String::as_str).collect::<Vec<_>>());
        signal("STOP", &all);
        guard
    }

    /// `kill -9` of the postmaster; returns when it is gone.
    pub async fn kill(&mut self) {
        let pid = self.cluster.postmaster_pid().expect("a running postmaster");
        signal("KILL", &[pid]);
        let cluster = &mut self.cluster;
        tokio::time::timeout(Duration::from_secs(10), cluster.ended()).await.expect("the postmaster dies");
    }

    /// An orderly stop.
    pub async fn stop(&mut self) {
        self.cluster.stop().await.expect("the private Postgres stops");
    }

    /// Starts it again on the same data and waits until it answers.
    pub async fn restart(&mut self) {
        self.cluster.start().await.expect("the private Postgres starts again");
    }
}

/// Processes that have ended meanwhile are passed over.
fn signal(name: &str, pids: &[u32]) {
    for pid in pids {
        let _ = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).output();
    }
}

fn children_of(parent: u32) -> Vec<u32> {
    let is_child = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // "<pid> (<name>) <state> <parent> …"
        let parent_of = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
        parent_of == Some(parent)
    };
    let entries = std::fs::read_dir("/proc").expect("/proc");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(is_child).collect()
}

impl Drop for DedicatedPostgres {
    fn drop(&mut self) {
        let cluster = &mut self.cluster;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(cluster.stop()).map_err(std::io::Error::other)
            });
        });
        let _ = std::fs::remove_dir_all(self.cluster.home());
    }
}
