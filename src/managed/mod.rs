//! A private Postgres for those who have none: found, initialised, started, watched and stopped by this program.
//!
//! It never runs as root, listens on a Unix socket only, and never outlives the process that started it: a small
//! shell process holds the other end of a pipe and stops the server when the pipe closes, however its owner ended.
//! What a predecessor left running is stopped before the next start; two live owners are refused by a lock.

mod binaries;
mod home;
mod server;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{error, info};

pub use binaries::Binaries;
use home::Home;
pub use home::ServerUser;
use server::Server;

/// Role and database that a cluster is created with.
const NAME: &str = "utm";
/// The cluster's superuser; only reachable through the socket, like everything else.
const SUPERUSER: &str = "postgres";
const RESTART_PAUSE: Duration = Duration::from_secs(2);

/// What may differ between clusters.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Server parameters, `(name, value)`, on top of the private cluster's own.
    pub parameters: Vec<(String, String)>,
    /// For tests: nothing is forced to the disk, and all files go when the server ends.
    pub disposable: bool,
}

/// Why there is no private Postgres.
#[derive(Debug, thiserror::Error)]
pub enum ManagedError {
    /// No directory with both `postgres` and `initdb`.
    #[error(
        "no PostgreSQL server binaries found (looked in $UTM_DISPATCHER_POSTGRES_BIN, PATH and \
         /usr/lib/postgresql/*/bin); install PostgreSQL 14 or later, or set database.url"
    )]
    NoBinaries,
    /// The data is of a release whose binaries are not here.
    #[error("{} holds data of PostgreSQL {data}, but only {found} was found here", path.display())]
    OtherRelease {
        /// The data directory.
        path: PathBuf,
        /// Major release of the data.
        data: String,
        /// Major releases of the binaries.
        found: String,
    },
    /// Root without an account to drop to.
    #[error("Postgres must not run as root, and neither `postgres` nor `nobody` is in /etc/passwd")]
    NoServerUser,
    /// No directory is both short enough for a socket and open to the server's user.
    #[error("no place for the database that user {user} can enter; tried {tried}")]
    NoPlace {
        /// Who must enter.
        user: String,
        /// The directories, comma separated.
        tried: String,
    },
    /// The place is somebody else's.
    #[error("{} belongs to user id {owner}; it is not used", path.display())]
    ForeignHome {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// Another live process runs this cluster.
    #[error("the database in {} is run by another process", .0.display())]
    InUse(PathBuf),
    /// A program of Postgres failed.
    #[error("{program} failed: {output}")]
    Program {
        /// Its name.
        program: &'static str,
        /// What it, or the server's log, said last.
        output: String,
    },
    /// The server did not end in time.
    #[error("Postgres did not stop within {0:?}")]
    StillRunning(Duration),
    /// A file or process could not be handled.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The server answers, but role and database could not be made.
    #[error("role and database could not be created: {0}")]
    Setup(#[from] tokio_postgres::Error),
}

impl ManagedError {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| ManagedError::Io { what, source }
    }
}

/// URL of the database `utm` of a cluster that another process runs ([`ManagedError::InUse`] says where).
pub fn url_in(home: &Path) -> String {
    home::url_in(home, NAME, NAME)
}

/// A private cluster. Dropping it stops the server, without waiting for the end.
#[derive(Debug)]
pub struct Cluster {
    home: Home,
    binaries: Binaries,
    settings: Settings,
    server: Option<Server>,
}

impl Cluster {
    /// Takes the place for a cluster under `dir`, without starting it: finds binaries, user and a home directory that
    /// the user can enter, and locks it. Quick; nothing waits. From here on [`Cluster::url`] is known.
    ///
    /// The home is `dir/postgres` unless that path is too long for a socket or closed to the server's user; then it
    /// lies elsewhere, under a name made of a hash of `dir` ([`Cluster::home`], also logged).
    pub fn open(dir: &Path, settings: Settings) -> Result<Self, ManagedError> {
        Self::in_home(Home::open(dir, ServerUser::choose()?)?, settings)
    }

    /// As [`Cluster::open`], with exactly `home` as its home, or not at all.
    pub fn open_in(home: &Path, settings: Settings) -> Result<Self, ManagedError> {
        Self::in_home(Home::open_in(home, ServerUser::choose()?)?, settings)
    }

    fn in_home(home: Home, settings: Settings) -> Result<Self, ManagedError> {
        let binaries = Binaries::find(&home)?;
        Ok(Self { home, binaries, settings, server: None })
    }

    /// URL of the database `utm` as role `utm`, its owner. The same for every start.
    pub fn url(&self) -> String {
        self.home.url(NAME, NAME)
    }

    /// URL of any database of the cluster as its superuser.
    pub fn superuser_url(&self, database: &str) -> String {
        self.home.url(SUPERUSER, database)
    }

    /// Where data, socket and log are.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The directory of the socket, `.s.PGSQL.5432` in it.
    pub fn socket_dir(&self) -> PathBuf {
        self.home.socket_dir()
    }

    /// Process id of the running server's postmaster.
    pub fn postmaster_pid(&self) -> Option<u32> {
        self.home.postmaster_pid()
    }

    /// Starts the server, creating the cluster first where there is none, and waits until it answers and has its
    /// role and database. A server left over by a dead predecessor is stopped first.
    pub async fn start(&mut self) -> Result<(), ManagedError> {
        self.server = None;
        server::stop_leftover(&self.home, &self.binaries).await?;
        server::initialise(&self.home, &self.binaries, self.settings.disposable).await?;
        let superuser_url = self.superuser_url("postgres");
        self.server = Some(Server::start(&self.home, &self.binaries, &self.settings, &superuser_url).await?);
        create_role_and_database(&superuser_url).await?;
        info!(home = %self.home().display(), release = self.binaries.release(), "private Postgres is running");
        Ok(())
    }

    /// Whether the server process is there.
    pub fn is_running(&mut self) -> bool {
        self.server.as_mut().is_some_and(Server::is_running)
    }

    /// Returns when the server has ended by itself.
    pub async fn ended(&mut self) {
        if let Some(server) = self.server.as_mut() {
            server.ended().await;
        }
    }

    /// Keeps the server running until `shutdown`: starts it where it is not, starts it again when it ends, and at
    /// last stops it. Failures are logged and retried, since everything else runs without a database.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            if !self.is_running() {
                match self.start().await {
                    Ok(()) => {}
                    Err(problem) => error!(%problem, "private Postgres did not start; trying again"),
                }
            }
            if self.is_running() {
                let ended = shutdown.run_until_cancelled(self.ended()).await;
                if ended.is_some() {
                    error!("private Postgres ended by itself; starting it again");
                }
            }
            if shutdown.run_until_cancelled(tokio::time::sleep(RESTART_PAUSE)).await.is_none() {
                break;
            }
        }
        if let Err(problem) = self.stop().await {
            error!(%problem, "private Postgres did not stop");
        }
    }

    /// Stops the server, ending open connections, and waits until it has written everything.
    pub async fn stop(&mut self) -> Result<(), ManagedError> {
        match self.server.take() {
            Some(server) => server.stop().await,
            None => Ok(()),
        }
    }
}

async fn create_role_and_database(superuser_url: &str) -> Result<(), ManagedError> {
    let client = server::connect(superuser_url).await?;
    let role = client.query_opt("SELECT 1 FROM pg_roles WHERE rolname = $1", &[&NAME]).await?;
    if role.is_none() {
        client.batch_execute("CREATE ROLE utm LOGIN").await?;
    }
    let database = client.query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&NAME]).await?;
    if database.is_none() {
        client.batch_execute("CREATE DATABASE utm OWNER utm").await?;
    }
    Ok(())
}
