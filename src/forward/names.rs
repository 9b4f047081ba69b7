//! The names of servers, looked up again and again by the office; a worker never waits for the name service.
//!
//! They are asked of the system (`getaddrinfo`), so that /etc/hosts, search domains and a resolver of the host's own count
//! as they do for every other program. It does not tell how long an answer is good: an interval shorter than any
//! usual one stands in, and caches that know better lie behind it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::standing::ServerStanding;

/// Time between two look-ups of a name.
const INTERVAL: Duration = Duration::from_secs(5);
/// The same while the name has never been found.
const FIRST_INTERVAL: Duration = Duration::from_secs(1);
/// Longest time of one.
const PATIENCE: Duration = Duration::from_secs(10);

/// Keeps the addresses of a server, for ever.
pub(super) async fn look_up(server: Arc<ServerStanding>) {
    if server.authority.parse::<std::net::SocketAddr>().is_ok() {
        return;
    }
    loop {
        let answer = match timeout(PATIENCE, tokio::net::lookup_host(server.authority.as_str())).await {
            Ok(answer) => answer.map(Iterator::collect),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the name service does not answer")),
        };
        server.note_names(answer);
        let is_found = !server.known_addresses().addresses.is_empty();
        sleep(if is_found { INTERVAL } else { FIRST_INTERVAL }).await;
    }
}
