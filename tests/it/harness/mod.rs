//! What the tests stand on: a shop that does what it is told, a client that sends exact bytes, a proxy between them, a
//! Postgres and a link to it that breaks.

pub(crate) mod app;
pub(crate) mod client;
pub(crate) mod config;
pub(crate) mod disk;
pub(crate) mod guard;
pub(crate) mod ledger;
pub(crate) mod link;
pub(crate) mod load;
pub(crate) mod postgres;
pub(crate) mod program;
pub(crate) mod proxy;
pub(crate) mod tls;
pub(crate) mod upstream;

use std::net::{SocketAddr, TcpListener};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

pub(crate) use client::Client;
pub(crate) use config::config;
pub(crate) use proxy::{Proxy, proxy};
pub(crate) use upstream::{Received, Reply, Upstream};

/// Longest time that anything in a test may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// An address on which nobody listens, now or later: its port is below those that the kernel gives to sockets which do
/// not name one, and no other test of this process is given it.
pub(crate) fn free_address() -> SocketAddr {
    const PORTS: u16 = 12_000;
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(rand::random_range(0..PORTS)));
    loop {
        let port = 20_000 + NEXT.fetch_add(1, Ordering::Relaxed) % PORTS;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// Asks again and again until `question` gives an answer; panics with `what` when it does not in time.
pub(crate) async fn eventually<T, F>(what: &str, patience: Duration, mut question: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let start = Instant::now();
    loop {
        if let Some(answer) = question().await {
            return answer;
        }
        assert!(start.elapsed() < patience, "{what}: not within {patience:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A shop and a proxy before it, with the default configuration.
pub(crate) async fn shop(script: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> (Upstream, Proxy) {
    let upstream = Upstream::start(script).await;
    let proxy = proxy(config(&[upstream.address()]));
    (upstream, proxy)
}

/// Says why a test cannot run here; where nothing may be left out (`UTM_DISPATCHER_NO_SKIP`), fails instead.
pub(crate) fn skip(reason: &str) {
    assert!(std::env::var_os("UTM_DISPATCHER_NO_SKIP").is_none(), "this test must not be left out: {reason}");
    println!("SKIPPED: {reason}");
}

/// Values of all lines of a field in a request's or a response's head, in order.
fn field_values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    head.split("\r\n")
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
        .collect()
}
