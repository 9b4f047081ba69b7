//! The real program as a process of its own, for signals and crashes.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use super::free_address;

/// A configuration file and the ports it names; processes may come and go.
pub(crate) struct Program {
    pub(crate) proxy: SocketAddr,
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
        Self { proxy, config, log: files.join("log"), child: None }
    }

    /// Starts a process and waits until it forwards.
    pub(crate) async fn start(&mut self) {
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_utm-dispatcher"))
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

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM; waits for the end.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap()
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
