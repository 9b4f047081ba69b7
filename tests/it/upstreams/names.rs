//! Servers that are known by name: the program follows the name service, here /etc/hosts in a mount namespace of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::harness::{Client, Reply, Upstream, eventually, free_address, skip};

/// The name is looked up every five seconds, and connections grow five seconds old.
const PATIENCE: Duration = Duration::from_secs(60);
const NAME: &str = "shop.names.test";

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn may_unshare() -> bool {
    let script = "mount --bind /dev/null /etc/hosts";
    let outcome = Command::new("unshare").args(["-m", "sh", "-c", script]).stderr(Stdio::null()).status();
    outcome.is_ok_and(|status| status.success())
}

/// The program before a server of this name, which sees `hosts` as /etc/hosts.
fn start(files: &Path, hosts: &Path, proxy: SocketAddr, port: u16) -> Running {
    let journal = files.join("journal");
    let text = format!(
        "[proxy]\nlisten = [\"{proxy}\"]\nworkers = 2\n\
         [[upstream]]\nname = \"shop\"\nservers = [\"http://{NAME}:{port}\"]\n\
         [database]\nurl = \"postgres://127.0.0.1:1/none\"\n\
         [journal]\ndir = \"{}\"\n[stats]\nlisten = \"127.0.0.1:0\"\n",
        journal.display()
    );
    let config = files.join("config.toml");
    fs::write(&config, text).unwrap();
    let log = fs::File::create(files.join("log")).unwrap();
    let script = "mount --bind \"$1\" /etc/hosts && exec \"$2\" run --config \"$3\"";
    let child = Command::new("unshare")
        .args(["-m", "sh", "-c", script, "sh"])
        .args([hosts, Path::new(env!("CARGO_BIN_EXE_utm-dispatcher")), &config])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    Running(child)
}

async fn body(proxy: SocketAddr) -> Option<Vec<u8>> {
    tokio::net::TcpStream::connect(proxy).await.ok()?;
    let answer = Client::connect(proxy).await.get("/").await;
    (answer.status() == 200).then_some(answer.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_followed_wherever_it_leads_and_its_last_addresses_stay_good() {
    if !may_unshare() {
        return skip("no mount namespace may be made here");
    }
    let files = tempfile::tempdir().unwrap();
    let hosts = files.path().join("hosts");
    fs::write(&hosts, format!("127.0.0.2 {NAME}\n")).unwrap();
    let port = free_address().port();
    let at = |last: u8| SocketAddr::from(([127, 0, 0, last], port));
    let _second = Upstream::start_at(at(2), |_| Reply::ok("second")).await;
    let third = Upstream::start_at(at(3), |_| Reply::ok("third")).await;
    let proxy = free_address();
    let _running = start(files.path(), &hosts, proxy, port);
    let answers = |wanted: &'static [u8]| async move {
        eventually("the name is followed", PATIENCE, async || {
            (body(proxy).await.as_deref() == Some(wanted)).then_some(())
        })
        .await;
    };
    answers(b"second").await;
    fs::write(&hosts, format!("127.0.0.3 {NAME}\n")).unwrap();
    // Of every worker, one after the other.
    eventually("all go to the new address", PATIENCE, async || {
        for _ in 0..5 {
            body(proxy).await.filter(|body| body == b"third")?;
        }
        Some(())
    })
    .await;
    // Both addresses are used: connections begin with one and with the other.
    fs::write(&hosts, format!("127.0.0.2 {NAME}\n127.0.0.3 {NAME}\n")).unwrap();
    answers(b"second").await;
    // A name that is gone costs nobody an answer.
    fs::write(&hosts, "").unwrap();
    tokio::time::sleep(Duration::from_secs(7)).await;
    for _ in 0..5 {
        assert!(body(proxy).await.is_some());
    }
    assert!(!third.received().is_empty());
}
