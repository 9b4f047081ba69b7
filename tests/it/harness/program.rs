//! The real program as a process of its own, for signals and crashes.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use super::free_address;

/// Longest time from SIGTERM to the end.
const LONGEST_END: Duration = Duration::from_secs(60);

/// A configuration file and the ports it names; processes may come and go.
pub(crate) struct Program {
    pub(crate) proxy: SocketAddr,
    /// How many threads the office may have; one a core when it is not said.
    pub(crate) office_threads: Option<u32>,
    stats: SocketAddr,
    config: PathBuf,
    log: PathBuf,
    child: Option<Child>,
}

impl Program {
    /// Writes a configuration into `files`; nothing runs yet.
    pub(crate) fn new(upstream: SocketAddr, database_url: &str, files: &Path) -> Self {
        let (proxy, stats) = (free_address(), free_address());
        let config = files.join("config.toml");
        let text = format!(
            "[proxy]\nlisten = [\"{proxy}\"]\nworkers = 2\n\n[[upstream]]\nname = \"shop\"\n\
             servers = [\"http://{upstream}\"]\ntrust_events = true\n\n[database]\nurl = \"{database_url}\"\n\n\
             [journal]\ndir = \"{}\"\n\n[stats]\nlisten = \"{stats}\"\n",
            files.join("journal").display()
        );
        std::fs::write(&config, text).unwrap();
        Self { proxy, office_threads: None, stats, config, log: files.join("log"), child: None }
    }

    /// Starts a process and waits until it forwards.
    pub(crate) async fn start(&mut self) {
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let threads = self.office_threads.map(|threads| ("TOKIO_WORKER_THREADS", threads.to_string()));
        let child = Command::new(env!("CARGO_BIN_EXE_utm-dispatcher"))
            .envs(threads)
            .arg("run")
            .arg("--config")
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let proxy = self.proxy;
        super::until("the program listens", || {
            TcpStream::connect_timeout(&proxy, Duration::from_millis(100)).is_ok()
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
        let mut child = self.child.take().unwrap();
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
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
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
