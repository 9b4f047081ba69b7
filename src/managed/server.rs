//! The server process: made, watched, stopped. Every program of Postgres runs as the server's user.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;
use tracing::warn;

use super::binaries::Binaries;
use super::home::Home;
use super::{ManagedError, SUPERUSER, Settings};

const POLL: Duration = Duration::from_millis(20);
/// Orphans of a killed server keep its shared memory until they have noticed; until then a start is refused.
const ORPHANS_MAY_TAKE: Duration = Duration::from_secs(20);
const STOP_MAY_TAKE: Duration = Duration::from_secs(60);

/// Starts the server and waits for it; meanwhile a second process reads standard input, a pipe whose other end only
/// the owner holds, and asks for a fast shutdown when it ends. Signals are for the server alone to understand: the
/// terminal and service managers send theirs to whole groups.
///
/// Arguments: home, "disposable" or not, then the server's command line.
const KEEPER: &str = r#"
home=$1 disposable=$2
shift 2
trap '' HUP INT TERM
exec 3<&0 </dev/null >>"$home/log" 2>&1
"$@" 3<&- &
server=$!
{ read -r _ <&3; kill -INT "$server"; } &
watcher=$!
exec 3<&-
wait "$server"
status=$?
kill -KILL "$watcher" 2>/dev/null
[ "$disposable" = disposable ] && [ "$status" -eq 0 ] && rm -rf "$home"
exit "$status"
"#;

/// A running server.
#[derive(Debug)]
pub(super) struct Server {
    keeper: Child,
    /// Closing it stops the server.
    _pipe: Option<ChildStdin>,
}

impl Server {
    /// Starts the server on initialised data and waits until it answers, however long its recovery takes.
    pub(super) async fn start(
        home: &Home,
        binaries: &Binaries,
        settings: &Settings,
        superuser_url: &str,
    ) -> Result<Self, ManagedError> {
        let deadline = Instant::now() + ORPHANS_MAY_TAKE;
        loop {
            let mut server = Self::spawn(home, binaries, settings)?;
            while server.is_running() {
                match connect(superuser_url).await {
                    Ok(_) => return Ok(server),
                    Err(problem) if is_refusal(&problem) => return Err(problem.into()),
                    Err(_) => tokio::time::sleep(POLL).await,
                }
            }
            let output = last_lines(home);
            if Instant::now() > deadline || !output.contains("shared memory block") {
                return Err(ManagedError::Program { program: "postgres", output });
            }
        }
    }

    fn spawn(home: &Home, binaries: &Binaries, settings: &Settings) -> Result<Self, ManagedError> {
        rotate_log(home);
        let mut command = Command::new("/bin/sh");
        home.user().drop_to(&mut command);
        // A group of its own: Ctrl-C in a terminal is for this program, which ends the server in its own time.
        command.process_group(0).args(["-c", KEEPER, "utm-dispatcher-postgres"]).arg(home.path());
        command.arg(if settings.disposable { "disposable" } else { "kept" });
        command.arg(binaries.program("postgres")).arg("-D").arg(home.data_dir());
        let socket_dir = home.socket_dir();
        set(&mut command, "unix_socket_directories", &socket_dir.display().to_string());
        set(&mut command, "unix_socket_permissions", "0700");
        set(&mut command, "listen_addresses", "");
        set(&mut command, "port", "5432");
        set(&mut command, "log_checkpoints", "off");
        if settings.disposable {
            for name in ["fsync", "full_page_writes", "synchronous_commit"] {
                set(&mut command, name, "off");
            }
        }
        for (name, value) in &settings.parameters {
            set(&mut command, name, value);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut keeper = command.spawn().map_err(ManagedError::io("starting postgres"))?;
        let pipe = keeper.stdin.take();
        Ok(Self { keeper, _pipe: pipe })
    }

    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.keeper.try_wait(), Ok(None))
    }

    pub(super) async fn ended(&mut self) {
        while self.is_running() {
            tokio::time::sleep(POLL).await;
        }
    }

    /// A fast shutdown: connections are ended, everything is written.
    pub(super) async fn stop(mut self) -> Result<(), ManagedError> {
        self._pipe = None;
        let ended = tokio::time::timeout(STOP_MAY_TAKE, self.ended()).await;
        ended.map_err(|_| ManagedError::StillRunning(STOP_MAY_TAKE))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The pipe closes with the fields; reaping is only possible for a keeper that has ended already.
        let _ = self.keeper.try_wait();
    }
}

fn set(command: &mut Command, name: &str, value: &str) {
    command.arg("-c").arg(format!("{name}={value}"));
}

/// Opens a connection and drives it in the background until its client is dropped.
pub(super) async fn connect(url: &str) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(async move {
        if let Err(problem) = connection.await {
            warn!(%problem, "connection to the private Postgres broke");
        }
    });
    Ok(client)
}

/// Whether a server that is up turns us away, which waiting would not change.
fn is_refusal(problem: &tokio_postgres::Error) -> bool {
    problem.code().is_some_and(|code| *code != SqlState::CANNOT_CONNECT_NOW)
}

/// Makes a cluster where there is none. A half-made one of an interrupted start lies under another name.
pub(super) async fn initialise(
    home: &Home,
    binaries: &Binaries,
    disposable: bool,
) -> Result<(), ManagedError> {
    let socket_dir = home.socket_dir();
    run_as_user(home, Path::new("mkdir"), "mkdir", |command| {
        command.args(["-p", "-m", "0700", "--"]).arg(&socket_dir);
    })
    .await?;
    if home.data_release().is_some() {
        return Ok(());
    }
    let unfinished = home.path().join("data.unfinished");
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(ManagedError::io(unfinished.display().to_string())(error));
        }
        _ => {}
    }
    let mut outcome = Ok(());
    // C.UTF-8 folds the case of every alphabet and sorts the same everywhere; a few systems do not have it.
    for locale in ["C.UTF-8", "C"] {
        outcome = run_as_user(home, &binaries.program("initdb"), "initdb", |command| {
            command.arg("-D").arg(&unfinished).args(["--encoding=UTF8", "--auth=trust"]);
            command.arg(format!("--locale={locale}")).arg(format!("--username={SUPERUSER}"));
            if disposable {
                command.arg("--no-sync");
            }
        })
        .await;
        if outcome.is_ok() {
            break;
        }
    }
    outcome?;
    fs::rename(&unfinished, home.data_dir()).map_err(ManagedError::io("data"))
}

/// Stops what a killed predecessor left running. The home's lock says that its owner is dead, so nobody needs it.
pub(super) async fn stop_leftover(home: &Home, binaries: &Binaries) -> Result<(), ManagedError> {
    let Some(pid) = home.postmaster_pid() else { return Ok(()) };
    let process = Path::new("/proc").join(pid.to_string());
    if !process.exists() {
        return Ok(());
    }
    let works_in = fs::read_link(process.join("cwd")).ok();
    if works_in.is_some_and(|directory| Some(directory) == fs::canonicalize(home.data_dir()).ok()) {
        warn!(pid, "stopping a private Postgres that its killed owner left running");
        let stopped = run_as_user(home, &binaries.program("pg_ctl"), "pg_ctl stop", |command| {
            command.args(["stop", "--mode=fast", "--timeout=60", "-D"]).arg(home.data_dir());
        })
        .await;
        // It may have been about to end by itself, and be gone before it could be told.
        return if home.postmaster_pid().is_none() { Ok(()) } else { stopped };
    }
    // The number belongs to another program by now, which Postgres would take for a running server.
    let file = home.data_dir().join("postmaster.pid");
    match fs::remove_file(&file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(ManagedError::io(file.display().to_string())(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

async fn run_as_user(
    home: &Home,
    program: &Path,
    name: &'static str,
    arguments: impl FnOnce(&mut Command),
) -> Result<(), ManagedError> {
    let mut command = Command::new(program);
    home.user().drop_to(&mut command);
    arguments(&mut command);
    command.stdin(Stdio::null()).env("LC_ALL", "C");
    let joined = tokio::task::spawn_blocking(move || command.output()).await;
    let output = joined.map_err(std::io::Error::other).flatten().map_err(ManagedError::io(name))?;
    if output.status.success() {
        return Ok(());
    }
    let output = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(ManagedError::Program { program: name, output })
}

/// The log of the run before this is kept, older ones are not.
fn rotate_log(home: &Home) {
    let log = home.path().join("log");
    if fs::metadata(&log).is_ok_and(|found| found.len() > 4 << 20) {
        let _ = fs::rename(&log, home.path().join("log.old"));
    }
}

fn last_lines(home: &Home) -> String {
    let log = fs::read(home.path().join("log")).unwrap_or_default();
    let text = String::from_utf8_lossy(&log);
    let lines: Vec<&str> = text.lines().rev().take(8).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
