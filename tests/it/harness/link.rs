//! A link to Postgres that can be broken in the ways in which networks break: cut, frozen, slow, and cut at the worst
//! moment, when a COMMIT was sent and its answer has not come back.
//!
//! It listens on a loopback port and copies bytes to the server, which does not notice anything of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio_postgres::Config;

use super::postgres::Endpoint;

/// What the link does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    /// Copies.
    Whole,
    /// Connections are reset and new ones refused.
    Cut,
    /// Nothing moves, nobody is told.
    Frozen,
    /// Each piece waits before it is passed on, in both directions.
    Slow(Duration),
    /// Passes everything until a client sends COMMIT; passes that too, then is cut before the answer.
    CutAfterCommit,
    /// Passes everything until a client sends COMMIT, and is cut before that.
    CutBeforeCommit,
}

/// A breakable link.
pub struct Link {
    url: String,
    condition: Arc<watch::Sender<Condition>>,
    listening: tokio::task::JoinHandle<()>,
}

impl Link {
    /// A whole link to the server of `database_url`.
    pub async fn to(database_url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback port");
        let port = listener.local_addr().expect("local address").port();
        let condition = Arc::new(watch::Sender::new(Condition::Whole));
        let listening = tokio::spawn(listen(listener, Endpoint::of(database_url), condition.clone()));
        Self { url: through(port, database_url), condition, listening }
    }

    /// URL of the same database through the link.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Resets all connections and refuses new ones.
    pub fn cut(&self) {
        self.condition.send_replace(Condition::Cut);
    }

    /// Stops copying; connections stay, new ones are taken and get no answer.
    pub fn freeze(&self) {
        self.condition.send_replace(Condition::Frozen);
    }

    /// Holds each piece back for `delay`, in both directions.
    pub fn delay(&self, delay: Duration) {
        self.condition.send_replace(Condition::Slow(delay));
    }

    /// At the next COMMIT that a client sends: it reaches the server, the answer does not come back, the link is cut.
    pub fn cut_after_commit(&self) {
        self.condition.send_replace(Condition::CutAfterCommit);
    }

    /// At the next COMMIT that a client sends: it does not reach the server, the link is cut.
    pub fn cut_before_commit(&self) {
        self.condition.send_replace(Condition::CutBeforeCommit);
    }

    /// Whether the link is cut, which the two above make it by themselves.
    pub fn is_cut(&self) -> bool {
        *self.condition.borrow() == Condition::Cut
    }

    /// Copies again.
    pub fn mend(&self) {
        self.condition.send_replace(Condition::Whole);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.cut();
        self.listening.abort();
    }
}

fn through(port: u16, database_url: &str) -> String {
    let config: Config = database_url.parse().expect("database URL");
    let database = config.get_dbname().expect("database in URL");
    let user = config.get_user().unwrap_or("postgres");
    let password =
        config.get_password().map(|word| format!(":{}", String::from_utf8_lossy(word))).unwrap_or_default();
    format!("postgres://{user}{password}@127.0.0.1:{port}/{database}")
}

async fn listen(listener: TcpListener, server: Endpoint, condition: Arc<watch::Sender<Condition>>) {
    while let Ok((client, _)) = listener.accept().await {
        // With a linger of nothing, closing sends RST instead of FIN: a cut, not a goodbye.
        let _ = client.set_zero_linger();
        if *condition.borrow() == Condition::Cut {
            continue;
        }
        let (server, condition) = (server.clone(), condition.clone());
        tokio::spawn(async move {
            match server {
                Endpoint::Unix(path) => join(client, UnixStream::connect(path).await, &condition).await,
                Endpoint::Tcp(address) => join(client, TcpStream::connect(address).await, &condition).await,
            }
        });
    }
}

/// Copies both ways until one side ends or the link is cut.
async fn join<S>(client: TcpStream, server: std::io::Result<S>, condition: &watch::Sender<Condition>)
where
    S: AsyncRead + AsyncWrite,
{
    let Ok(server) = server else { return };
    let (from_server, to_server) = tokio::io::split(server);
    let (from_client, to_client) = tokio::io::split(client);
    let mut cut = condition.subscribe();
    let commits = AtomicBool::new(false);
    tokio::select! {
        () = copy(from_client, to_server, condition, Side::Client, &commits) => {}
        () = copy(from_server, to_client, condition, Side::Server, &commits) => {}
        _ = cut.wait_for(|condition| *condition == Condition::Cut) => {}
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    condition: &watch::Sender<Condition>,
    side: Side,
    commits: &AtomicBool,
) {
    let mut watched = condition.subscribe();
    let mut piece = vec![0; 64 << 10];
    loop {
        let length = match from.read(&mut piece).await {
            Ok(0) | Err(_) => return,
            Ok(length) => length,
        };
        let Ok(now) = watched.wait_for(|condition| *condition != Condition::Frozen).await.map(|now| *now)
        else {
            return;
        };
        if let Condition::Slow(delay) = now {
            tokio::time::sleep(delay).await;
        }
        match side {
            Side::Client if now == Condition::CutAfterCommit && says_commit(&piece[..length]) => {
                commits.store(true, Ordering::SeqCst);
            }
            Side::Client if now == Condition::CutBeforeCommit && says_commit(&piece[..length]) => {
                condition.send_replace(Condition::Cut);
                return;
            }
            // The server answers once it has committed.
            Side::Server if commits.load(Ordering::SeqCst) => {
                condition.send_replace(Condition::Cut);
                return;
            }
            Side::Client | Side::Server => {}
        }
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}

/// Whether the bytes of a client hold a query `COMMIT`. A test's statements come in one piece.
fn says_commit(bytes: &[u8]) -> bool {
    bytes.windows(7).any(|window| window == b"COMMIT\0")
}
