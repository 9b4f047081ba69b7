//! Connections that a server closes just when they are used again.
//!
//! `cargo test --test it -- --ignored upstreams::stale --nocapture` plays it ten thousand times, in minutes.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::harness::{Client, config, proxy};

/// Longest time of the long form.
const LONGEST: Duration = Duration::from_secs(300);

/// When a server closes a connection.
#[derive(Debug, Clone, Copy)]
enum Closing {
    /// When the second request on it arrives, without an answer.
    AtReuse,
    /// When it has been idle for this long.
    Idle(Duration),
}

#[derive(Debug, Default)]
struct Seen {
    /// Connections closed when a request had come on them again.
    closed_at_reuse: AtomicUsize,
    /// Connections closed while idle.
    closed_idle: AtomicUsize,
    /// How often each target of a POST arrived.
    posts: Mutex<HashMap<String, usize>>,
}

async fn shop(closing: Closing) -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::<Seen>::default();
    let shared = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(serve(tcp, closing, Arc::clone(&shared)));
        }
    });
    (address, seen)
}

async fn serve(mut tcp: TcpStream, closing: Closing, seen: Arc<Seen>) {
    let mut buffer = Vec::new();
    for turn in 0.. {
        let head_end = loop {
            if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            let idle = if let Closing::Idle(idle) = closing { idle } else { LONGEST };
            match timeout(idle, tcp.read_buf(&mut buffer)).await {
                Ok(Ok(count)) if count > 0 => {}
                Ok(_) => return,
                Err(_) => {
                    seen.closed_idle.fetch_add(1, Ordering::SeqCst);
                    return;
                }
            }
        };
        let head = String::from_utf8_lossy(&buffer[..head_end]).into_owned();
        let is_post = head.starts_with("POST ");
        if is_post {
            while buffer.len() < head_end + 1 {
                if tcp.read_buf(&mut buffer).await.is_ok_and(|count| count > 0) {
                    continue;
                }
                return;
            }
            let target = head.split(' ').nth(1).unwrap().to_owned();
            *seen.posts.lock().unwrap().entry(target).or_default() += 1;
        }
        buffer.drain(..head_end + usize::from(is_post));
        if turn > 0 && matches!(closing, Closing::AtReuse) {
            let closed = seen.closed_at_reuse.fetch_add(1, Ordering::SeqCst);
            if closed.is_multiple_of(2) {
                let _ = SockRef::from(&tcp).set_linger(Some(Duration::ZERO));
            }
            return;
        }
        if tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.is_err() {
            return;
        }
    }
}

/// GETs, until `count` connections were closed at their reuse.
async fn readers(count: usize) {
    let (address, seen) = shop(Closing::AtReuse).await;
    let proxy = proxy(config(&[address]));
    let begun = Instant::now();
    let clients = (0..8).map(|_| {
        let (address, seen) = (proxy.address(), Arc::clone(&seen));
        tokio::spawn(async move {
            let mut client = Client::connect(address).await;
            let mut statuses = HashMap::<u16, usize>::new();
            while seen.closed_at_reuse.load(Ordering::SeqCst) < count && begun.elapsed() < LONGEST {
                *statuses.entry(client.get("/").await.status()).or_default() += 1;
            }
            statuses
        })
    });
    let mut statuses = HashMap::<u16, usize>::new();
    for client in clients.collect::<Vec<_>>() {
        for (status, count) in client.await.unwrap() {
            *statuses.entry(status).or_default() += count;
        }
    }
    let closed = seen.closed_at_reuse.load(Ordering::SeqCst);
    println!("GET: {closed} connections closed at reuse, answers {statuses:?}");
    assert!(closed >= count, "only {closed} of {count} within {LONGEST:?}");
    assert_eq!(statuses.into_keys().collect::<Vec<_>>(), [200]);
}

/// POSTs at intervals about the server's keep-alive, so that each would meet a connection that is being closed.
async fn writers(clients: usize, rounds: usize) {
    let keep_alive = Duration::from_secs(2);
    let (address, seen) = shop(Closing::Idle(keep_alive)).await;
    let proxy = proxy(config(&[address]));
    let one = |number: usize| {
        let address = proxy.address();
        tokio::spawn(async move {
            let mut client = Client::connect(address).await;
            let mut lost = Vec::new();
            for round in 0..rounds {
                let target = format!("/order/{number}/{round}");
                client
                    .send(format!("POST {target} HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 1\r\n\r\nx"))
                    .await;
                let status = client.answer().await.status();
                if status != 200 {
                    lost.push((target, status));
                }
                // From 20 ms before the end of the server's patience to 20 ms after it.
                let offset = u64::try_from((number * 7 + round * 13) % 41).unwrap();
                tokio::time::sleep(keep_alive - Duration::from_millis(20) + Duration::from_millis(offset))
                    .await;
            }
            lost
        })
    };
    let mut lost = Vec::new();
    for client in (0..clients).map(one).collect::<Vec<_>>() {
        lost.extend(client.await.unwrap());
    }
    let posts = seen.posts.lock().unwrap();
    let closed = seen.closed_idle.load(Ordering::SeqCst);
    println!(
        "POST: {} sent, {} arrived, {} lost, {} arrived twice, {closed} connections closed while idle",
        clients * rounds,
        posts.len(),
        lost.len(),
        posts.values().filter(|count| **count != 1).count()
    );
    assert_eq!(lost, []);
    assert_eq!(posts.len(), clients * rounds);
    assert!(posts.values().all(|count| *count == 1));
    assert!(closed > clients / 2, "connections did end while idle: {closed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_never_notices_a_connection_that_dies_at_reuse() {
    readers(500).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_post_is_lost_to_a_server_that_closes_idle_connections() {
    writers(100, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "ten thousand connections take minutes"]
async fn ten_thousand_connections_that_die_at_reuse() {
    readers(10_000).await;
    writers(500, 20).await;
}
