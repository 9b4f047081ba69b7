//! The real program as a process of its own, for signals and crashes.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use super::free_address;
use super::tls::Authority;

/// Longest time from SIGTERM to the end.
const LONGEST_END: Duration = Duration::from_secs(60);

/// A configuration file and the ports it names; processes may come and go.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) proxy: SocketAddr,
    pub(crate) stats: SocketAddr,
    /// Where it takes TLS, if it does.
    encrypted: Option<SocketAddr>,
    settings: Settings,
    config: PathBuf,
    log: PathBuf,
    environment: Vec<(String, String)>,
    child: Option<Child>,
    /// The service manager's end of what the process tells it.
    manager: Option<tokio::net::UnixDatagram>,
}

/// Sockets that a service manager holds.
#[derive(Debug)]
pub(crate) struct Sockets {
    proxy: TcpListener,
    stats: TcpListener,
}

impl Sockets {
    /// Bound where the program will look for visitors and questions.
    pub(crate) fn of(program: &Program) -> Self {
        let bind = |address| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.set_reuse_address(true).unwrap();
            socket.bind(&SocketAddr::into(address)).unwrap();
            socket.listen(4096).unwrap();
            TcpListener::from(socket)
        };
        Self { proxy: bind(program.proxy), stats: bind(program.stats) }
    }
}

/// What differs from configuration to configuration.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) upstream: SocketAddr,
    pub(crate) database_url: String,
    /// Configuration, keys and log.
    pub(crate) files: PathBuf,
    /// `journal.dir`
    pub(crate) journal: PathBuf,
    /// `journal.max_bytes`
    pub(crate) journal_bytes: &'static str,
    /// `journal.wait`
    pub(crate) journal_wait: &'static str,
    /// Further tables.
    pub(crate) more: String,
}

impl Settings {
    /// With the defaults, and everything in `files`.
    pub(crate) fn new(upstream: SocketAddr, database_url: &str, files: &Path) -> Self {
        Self {
            upstream,
            database_url: database_url.to_owned(),
            files: files.to_owned(),
            journal: files.join("journal"),
            journal_bytes: "4GiB",
            journal_wait: "20ms",
            more: String::new(),
        }
    }

    fn text(&self, proxy: SocketAddr, stats: SocketAddr) -> String {
        let Self { upstream, database_url, journal_bytes, journal_wait, more, .. } = self;
        let (files, journal) = (self.files.display(), self.journal.display());
        // The keys are by default with the journal; on a disk of its own, accidents are the journal's alone.
        let keys = if self.journal.starts_with(&self.files) {
            String::new()
        } else {
            format!(
                "[tracking.identity]\nsecret_file = \"{files}/secret\"\n\n\
                 [orders]\ncustomer_key_file = \"{files}/customer-key\"\n\n"
            )
        };
        format!(
            "[proxy]\nlisten = [\"{proxy}\"]\nworkers = 2\n\n\
             [[upstream]]\nname = \"shop\"\nservers = [\"http://{upstream}\"]\ntrust_events = true\n\n\
             {keys}\
             [database]\nurl = \"{database_url}\"\nnew_values_per_day = 1000000\n\n\
             [journal]\ndir = \"{journal}\"\nwait = \"{journal_wait}\"\nsegment_bytes = \"256KiB\"\nmax_bytes = \"{journal_bytes}\"\n\n\
             [stats]\nlisten = \"{stats}\"\nmetrics_public = true\n\n{more}"
        )
    }
}

impl Program {
    /// Writes a configuration with the defaults into `files`; nothing runs yet.
    pub(crate) fn new(upstream: SocketAddr, database_url: &str, files: &Path) -> Self {
        Self::with(Settings::new(upstream, database_url, files))
    }

    /// Writes a configuration; nothing runs yet.
    pub(crate) fn with(settings: Settings) -> Self {
        let (proxy, stats) = (free_address(), free_address());
        let config = settings.files.join(format!("{}.toml", proxy.port()));
        std::fs::write(&config, settings.text(proxy, stats)).unwrap();
        let log = settings.files.join("log");
        let environment = Vec::new();
        Self { proxy, stats, encrypted: None, settings, config, log, environment, child: None, manager: None }
    }

    /// Another one with the same files, on other ports.
    pub(crate) fn beside(&self) -> Self {
        Self::with(self.settings.clone())
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Changes the configuration of the next process; its ports stay.
    pub(crate) fn configure(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings);
        std::fs::write(&self.config, self.settings.text(self.proxy, self.stats)).unwrap();
    }

    /// The configuration file.
    pub(crate) fn config(&self) -> &Path {
        &self.config
    }

    /// Changes the configuration file as text.
    pub(crate) fn edit(&self, change: impl FnOnce(String) -> String) {
        let text = std::fs::read_to_string(&self.config).unwrap();
        std::fs::write(&self.config, change(text)).unwrap();
    }

    /// Has the next process take TLS, too, with a certificate for shop.test; answers where.
    pub(crate) fn encrypt(&mut self, authority: &Authority) -> SocketAddr {
        authority.write("shop", &["shop.test"]);
        let encrypted = free_address();
        let (pem, key) = (authority.path("shop.pem"), authority.path("shop.key"));
        self.edit(|text| {
            let text = text.replace("[proxy]\n", &format!("[proxy]\ntls_listen = [\"{encrypted}\"]\n"));
            let (pem, key) = (pem.display(), key.display());
            format!("{text}\n[[proxy.tls]]\ncertificate = \"{pem}\"\nkey = \"{key}\"\n")
        });
        self.encrypted = Some(encrypted);
        encrypted
    }

    /// Bytes of memory that the process has.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/statm", self.pid())).unwrap();
        text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
    }

    /// Its threads: names, and how nice each is.
    pub(crate) fn threads(&self) -> Vec<(String, i64)> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        // A thread may end meanwhile.
        let stats = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")).ok());
        let read = |stat: String| {
            let (name, rest) = stat.split_once('(').unwrap().1.rsplit_once(')').unwrap();
            // The 19th field of proc_pid_stat(5).
            (name.to_owned(), rest.split_whitespace().nth(16).unwrap().parse().unwrap())
        };
        stats.map(read).collect()
    }

    /// How the process ended that was told to.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap()
    }

    /// Sends a signal, by its name without `SIG`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// SIGHUP; returns when the file was read again.
    pub(crate) async fn reload(&self) {
        let patience = super::DEADLINE;
        let read = || async { self.counter("config_reloads").await };
        let before = super::eventually("metrics", patience, read).await;
        self.signal("HUP");
        let is_newer = || async { read().await.filter(|reloads| *reloads > before) };
        super::eventually("the file is read again", patience, is_newer).await;
    }

    /// Of the process that runs.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Variables of the environment of the next processes.
    pub(crate) fn environment(&mut self, variables: &[(&str, &str)]) {
        self.environment = variables.iter().map(|&(name, value)| (name.into(), value.into())).collect();
    }

    /// Starts a process that takes its sockets from a service manager, and waits until it says that it is ready.
    pub(crate) async fn start_on(&mut self, sockets: &Sockets) {
        let notify = self.settings.files.join("notify");
        let _ = std::fs::remove_file(&notify);
        let manager = tokio::net::UnixDatagram::bind(&notify).unwrap();
        // The sockets are the standard streams of a shell, which puts them where they belong and becomes the program.
        let script = "exec 3<&0 4<&1 </dev/null >&2; export LISTEN_FDS=2 LISTEN_PID=$$ \
                      LISTEN_FDNAMES=utm-dispatcher.socket:stats; exec \"$0\" run --config \"$1\"";
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let child = Command::new("/bin/sh")
            .args(["-c", script, env!("CARGO_BIN_EXE_utm-dispatcher")])
            .arg(&self.config)
            .env("NOTIFY_SOCKET", &notify)
            .env("WATCHDOG_USEC", "3000000")
            .stdin(OwnedFd::from(sockets.proxy.try_clone().unwrap()))
            .stdout(OwnedFd::from(sockets.stats.try_clone().unwrap()))
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        self.manager = Some(manager);
        self.tells("READY=1").await;
    }

    /// Waits until the process tells its service manager this.
    pub(crate) async fn tells(&self, state: &str) -> String {
        let manager = self.manager.as_ref().unwrap();
        let mut buffer = [0; 1024];
        loop {
            let received = tokio::time::timeout(super::DEADLINE, manager.recv(&mut buffer)).await;
            let length = received.unwrap_or_else(|_| panic!("no {state} in time: {}", self.log())).unwrap();
            let told = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if told.lines().any(|line| line.starts_with(state)) {
                return told;
            }
        }
    }

    /// Another process for the same configuration and the same addresses.
    pub(crate) fn successor(&self) -> Self {
        let (settings, config, log) = (self.settings.clone(), self.config.clone(), self.log.clone());
        let (proxy, stats, environment) = (self.proxy, self.stats, self.environment.clone());
        let encrypted = self.encrypted;
        Self { proxy, stats, encrypted, settings, config, log, environment, child: None, manager: None }
    }

    /// Starts a process and waits until it forwards.
    pub(crate) async fn start(&mut self) {
        self.spawn();
        self.started().await;
    }

    /// Starts a process.
    pub(crate) fn spawn(&mut self) {
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_utm-dispatcher"))
            .arg("run")
            .arg("--config")
            .arg(&self.config)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    /// Waits until the process forwards.
    pub(crate) async fn started(&self) {
        super::until("the program listens", || {
            let mut addresses = std::iter::once(self.proxy).chain(self.encrypted);
            addresses.all(|address| TcpStream::connect_timeout(&address, Duration::from_millis(100)).is_ok())
        })
        .await;
    }

    /// Another command with the same configuration, until it ends.
    pub(crate) async fn command(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_utm-dispatcher"));
        command.args(arguments).arg("--config").arg(&self.config).stdin(Stdio::null());
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// The status and text of a page of the stats port; none when it does not answer soon.
    pub(crate) async fn ask(&self, target: &str) -> Option<(u16, String)> {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build().unwrap();
        let response = client.get(format!("http://{}{target}", self.stats)).send().await.ok()?;
        Some((response.status().as_u16(), response.text().await.ok()?))
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM; waits for the end, and kills a process that does not come to it.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        let mut child = self.child.take().unwrap();
        let told = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            if told.elapsed() > LONGEST_END {
                child.kill().unwrap();
                return child.wait().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What all processes have said so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The sum of a counter over its labels; none when the stats port does not answer.
    pub(crate) async fn counter(&self, name: &str) -> Option<u64> {
        let (_, text) = self.ask("/metrics").await?;
        let of_it = |line: &str| {
            let rest = line.strip_prefix("utm_dispatcher_")?.strip_prefix(name)?.strip_prefix("_total")?;
            rest.rsplit(' ').next()?.parse::<u64>().ok()
        };
        Some(text.lines().filter_map(of_it).sum())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
