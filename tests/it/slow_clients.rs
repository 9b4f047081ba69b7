//! Clients that take their time on purpose, by the hundred (slowhttptest), are not felt by others, and are let go.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Reply, Upstream, config, proxy, skip, until};

/// Connections of each attack.
const CONNECTIONS: &str = "100";

/// Slow heads, slow bodies, slow reading.
const ATTACKS: [(&str, &[&str]); 3] = [
    ("head", &["-H", "-i", "1"]),
    ("body", &["-B", "-i", "1", "-s", "8192", "-x", "10"]),
    ("reading", &["-X", "-w", "64", "-y", "128", "-n", "1", "-z", "16"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_by_the_hundred_are_not_felt_by_others() {
    if Command::new("slowhttptest").arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        return skip("slowhttptest is not installed");
    }
    let upstream = Upstream::start(|request| match request.target() {
        "/reading" => Reply::ok(vec![b'x'; 4 << 20]),
        _ => Reply::ok("x"),
    })
    .await;
    let mut config = config(&[upstream.address()]);
    config.proxy.timeouts.header = Duration::from_secs(5);
    config.proxy.timeouts.body_idle = Duration::from_secs(5);
    config.proxy.timeouts.response_idle = Duration::from_secs(5);
    let proxy = proxy(config);
    let _attacks = ATTACKS.map(|(target, arguments)| {
        let mut command = Command::new("slowhttptest");
        command
            .args(arguments)
            .args(["-c", CONNECTIONS, "-r", CONNECTIONS, "-l", "8", "-p", "3"])
            .args(["-u", &format!("http://{}/{target}", proxy.address())]);
        Attack(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    });
    until("the attacks have begun", || proxy.metrics.connections_open.get() >= 100).await;
    let start = Instant::now();
    let mut slowest = Duration::ZERO;
    while start.elapsed() < Duration::from_secs(4) {
        let begin = Instant::now();
        assert_eq!(proxy.get("/").await.status(), 200);
        slowest = slowest.max(begin.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(slowest < Duration::from_secs(2), "another client waited for {slowest:?}");
    until("the slow ones are gone", || proxy.metrics.connections_open.get() == 0).await;
}

/// Ends with the test, whatever becomes of it.
struct Attack(Child);

impl Drop for Attack {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
