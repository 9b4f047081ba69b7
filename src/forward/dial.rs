//! Opening a connection to one server: all its addresses, IPv6 and IPv4 beside each other (RFC 8305), then TLS.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsConnector;

use super::refusal::Refusal;
use super::socket::Socket;
use super::standing::ServerStanding;

/// Head start of an address before the next one (RFC 8305 section 5).
const HEAD_START: Duration = Duration::from_millis(250);
/// Silence after which the kernel asks whether a server is still there, and how often it asks.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// How long what was sent may stay unacknowledged.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Connects within `limit`, name and TLS included. `turn` says with which of its addresses to begin.
pub(super) async fn dial(
    server: &ServerStanding,
    turn: usize,
    limit: Duration,
) -> Result<(Socket, SocketAddr), Refusal> {
    timeout(limit, connect(server, turn)).await.unwrap_or(Err(Refusal::ConnectTimeout))
}

async fn connect(server: &ServerStanding, turn: usize) -> Result<(Socket, SocketAddr), Refusal> {
    let names = server.addresses().await;
    if names.addresses.is_empty() {
        let error = names.error.as_ref().map_or(io::ErrorKind::NotFound.into(), copy);
        return Err(Refusal::Unresolved(error));
    }
    let addresses = in_order(&names.addresses, turn);
    drop(names);
    let (tcp, address) = race(addresses).await.map_err(Refusal::Unreachable)?;
    prepare(&tcp);
    let Some(tls) = &server.tls else { return Ok((Socket::Plain(tcp), address)) };
    let connector = TlsConnector::from(std::sync::Arc::clone(&tls.config));
    let stream = connector.connect(tls.name.clone(), tcp).await.map_err(Refusal::Tls)?;
    Ok((Socket::Tls(Box::new(stream.into())), address))
}

fn copy(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

/// What a connection would do without is not worth failing for.
fn prepare(tcp: &TcpStream) {
    let _ = tcp.set_nodelay(true);
    let socket = SockRef::from(tcp);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_INTERVAL);
    let _ = socket.set_tcp_keepalive(&keepalive);
    let _ = socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
}

/// The families in turn, beginning with that of the first address; within each, beginning with another address each
/// turn.
fn in_order(addresses: &[SocketAddr], turn: usize) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let family = |v6: bool| {
        let mut family: Vec<SocketAddr> =
            addresses.iter().copied().filter(|address| address.is_ipv6() == v6).collect();
        if !family.is_empty() {
            let start = turn % family.len();
            family.rotate_left(start);
        }
        family
    };
    let (first, second) = (family(first_is_v6), family(!first_is_v6));
    let mut order = Vec::with_capacity(addresses.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    while order.len() < addresses.len() {
        order.extend(first.next());
        order.extend(second.next());
    }
    order
}

type Attempt = Pin<Box<dyn Future<Output = (io::Result<TcpStream>, SocketAddr)> + Send>>;

/// The first connection that succeeds, or the last error. The next attempt begins when one fails, and after the head
/// start.
async fn race(addresses: Vec<SocketAddr>) -> io::Result<(TcpStream, SocketAddr)> {
    let mut waiting = addresses.into_iter();
    let mut running: Vec<Attempt> = Vec::new();
    let mut head_start = pin!(sleep(Duration::ZERO));
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    poll_fn(|context| {
        loop {
            let mut failed = false;
            let mut at = 0;
            while at < running.len() {
                match running[at].as_mut().poll(context) {
                    Poll::Ready((Ok(tcp), address)) => return Poll::Ready(Ok((tcp, address))),
                    Poll::Ready((Err(error), _)) => {
                        last = error;
                        failed = true;
                        drop(running.swap_remove(at));
                    }
                    Poll::Pending => at += 1,
                }
            }
            let is_due = failed || running.is_empty() || is_over(head_start.as_mut(), context);
            match if is_due { waiting.next() } else { None } {
                Some(address) => {
                    running.push(Box::pin(async move { (TcpStream::connect(address).await, address) }));
                    head_start.as_mut().reset(tokio::time::Instant::now() + HEAD_START);
                }
                None if running.is_empty() => {
                    return Poll::Ready(Err(std::mem::replace(&mut last, io::ErrorKind::Other.into())));
                }
                None => return Poll::Pending,
            }
        }
    })
    .await
}

fn is_over(sleep: Pin<&mut Sleep>, context: &mut Context<'_>) -> bool {
    sleep.poll(context).is_ready()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_and_each_address_comes_first_some_time() {
        let all = addresses(&["[::1]:1", "[::2]:1", "10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"]);
        assert_eq!(
            in_order(&all, 0),
            addresses(&["[::1]:1", "10.0.0.1:1", "[::2]:1", "10.0.0.2:1", "10.0.0.3:1"])
        );
        assert_eq!(
            in_order(&all, 1),
            addresses(&["[::2]:1", "10.0.0.2:1", "[::1]:1", "10.0.0.3:1", "10.0.0.1:1"])
        );
        let v4 = addresses(&["10.0.0.1:1", "10.0.0.2:1"]);
        let firsts: Vec<SocketAddr> = (0..4).map(|turn| in_order(&v4, turn)[0]).collect();
        assert_eq!(firsts, [v4[0], v4[1], v4[0], v4[1]]);
    }

    #[tokio::test]
    async fn an_address_that_refuses_or_is_silent_holds_nobody_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let refusing = addresses(&["127.0.0.1:1"])[0];
        // Its queue holds one, and takes no more.
        let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        full.bind(&addresses(&["127.0.0.1:0"])[0].into()).unwrap();
        full.listen(0).unwrap();
        let silent = full.local_addr().unwrap().as_socket().unwrap();
        let _queued = TcpStream::connect(silent).await.unwrap();
        for bad in [refusing, silent] {
            let start = Instant::now();
            let (_, address) = race(vec![bad, good]).await.unwrap();
            assert_eq!(address, good);
            assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        }
        assert_eq!(
            race(vec![refusing, refusing]).await.unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
    }
}
