//! A shop over bare TCP that does exactly what its script says and remembers every byte it was sent.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A request as it arrived.
#[derive(Debug, Clone, Default)]
pub(crate) struct Received {
    /// Request line and fields, with the empty line; bytes above ASCII shown as Latin-1.
    pub(crate) head: String,
    /// The body, chunks joined; empty while a script is asked that answers early.
    pub(crate) body: Vec<u8>,
    /// Number of the connection, from 0.
    pub(crate) connection: usize,
    /// Number of the request on its connection, from 0.
    pub(crate) turn: usize,
}

impl Received {
    pub(crate) fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    pub(crate) fn method(&self) -> &str {
        self.head.split(' ').next().unwrap_or_default()
    }

    /// Values of all lines of a field, in order.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        super::field_values(&self.head, name)
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values(name).first().copied()
    }
}

/// What to do with a request, step by step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    steps: Vec<Step>,
    early: bool,
}

#[derive(Debug, Clone)]
enum Step {
    Write(Vec<u8>),
    Pause(Duration),
    Wait(CancellationToken),
    Close,
    Reset,
    /// Reads until the other side closes.
    UntilClosed,
}

impl Reply {
    /// Nothing.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// 200 with a length.
    pub(crate) fn ok(body: impl AsRef<[u8]>) -> Self {
        Self::with("200 OK", &[], body)
    }

    /// A status, fields as written, a body with its length.
    pub(crate) fn with(status: &str, fields: &[&str], body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        Self::new()
            .write(format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n", body.len()))
            .write(body)
    }

    /// These bytes.
    pub(crate) fn raw(bytes: impl AsRef<[u8]>) -> Self {
        Self::new().write(bytes)
    }

    pub(crate) fn write(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.steps.push(Step::Write(bytes.as_ref().to_vec()));
        self
    }

    pub(crate) fn pause(mut self, time: Duration) -> Self {
        self.steps.push(Step::Pause(time));
        self
    }

    /// Waits until the test lets it go on.
    pub(crate) fn wait(mut self, gate: &CancellationToken) -> Self {
        self.steps.push(Step::Wait(gate.clone()));
        self
    }

    pub(crate) fn close(mut self) -> Self {
        self.steps.push(Step::Close);
        self
    }

    pub(crate) fn reset(mut self) -> Self {
        self.steps.push(Step::Reset);
        self
    }

    pub(crate) fn until_closed(mut self) -> Self {
        self.steps.push(Step::UntilClosed);
        self
    }

    /// Answers when the head is there, without reading the body.
    pub(crate) fn early(mut self) -> Self {
        self.early = true;
        self
    }
}

/// The running shop; it ends when dropped.
pub(crate) struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    script: Box<dyn Fn(&Received) -> Reply + Send + Sync>,
    received: Mutex<Vec<Received>>,
    opened: AtomicUsize,
    closed: AtomicUsize,
    killed: CancellationToken,
}

impl Upstream {
    /// Asks `script` what to do with each request.
    pub(crate) async fn start(script: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), script).await
    }

    /// The same at an address that is free.
    pub(crate) async fn start_at(
        address: SocketAddr,
        script: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Box::new(script),
            received: Mutex::default(),
            opened: AtomicUsize::new(0),
            closed: AtomicUsize::new(0),
            killed: CancellationToken::new(),
        });
        let task = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                while let Ok((tcp, _)) = listener.accept().await {
                    let shared = Arc::clone(&shared);
                    tokio::spawn(async move {
                        let connection = shared.opened.fetch_add(1, Ordering::SeqCst);
                        let visit = Visit { tcp, buffer: Vec::new(), shared: &shared };
                        shared.killed.run_until_cancelled(visit.serve(connection)).await;
                        shared.closed.fetch_add(1, Ordering::SeqCst);
                    });
                }
            }
        });
        Upstream { address, shared, task }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// All requests so far, in the order of their ends.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// All requests since this was asked last.
    pub(crate) fn take_received(&self) -> Vec<Received> {
        std::mem::take(&mut *self.shared.received.lock().unwrap())
    }

    /// The only request so far.
    pub(crate) fn only(&self) -> Received {
        let received = self.received();
        assert_eq!(received.len(), 1, "{received:?}");
        received[0].clone()
    }

    /// Connections opened so far.
    pub(crate) fn opened(&self) -> usize {
        self.shared.opened.load(Ordering::SeqCst)
    }

    /// Connections that have ended.
    pub(crate) fn closed(&self) -> usize {
        self.shared.closed.load(Ordering::SeqCst)
    }
}

impl Upstream {
    /// Ends it and all its connections at once, as a killed process does.
    pub(crate) fn kill(self) {
        drop(self);
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
        self.shared.killed.cancel();
    }
}

/// One connection.
struct Visit<'a> {
    tcp: TcpStream,
    buffer: Vec<u8>,
    shared: &'a Shared,
}

/// None ends the connection.
type Go<T> = Option<T>;

impl Visit<'_> {
    async fn serve(mut self, connection: usize) -> Go<()> {
        self.tcp.set_nodelay(true).ok()?;
        for turn in 0.. {
            let head = self.head().await?;
            let mut received = Received { head, connection, turn, ..Received::default() };
            let reply = (self.shared.script)(&received);
            if !reply.early {
                received.body = self.body(&received).await?;
            }
            self.shared.received.lock().unwrap().push(received);
            for step in reply.steps {
                self.run(step).await?;
            }
            if reply.early {
                return None;
            }
        }
        None
    }

    async fn run(&mut self, step: Step) -> Go<()> {
        match step {
            Step::Write(bytes) => self.tcp.write_all(&bytes).await.ok(),
            Step::Pause(time) => {
                tokio::time::sleep(time).await;
                Some(())
            }
            Step::Wait(gate) => {
                gate.cancelled().await;
                Some(())
            }
            Step::Close => None,
            Step::Reset => {
                socket2::SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO)).ok()?;
                None
            }
            Step::UntilClosed => {
                while self.fill().await.is_some() {}
                None
            }
        }
    }

    async fn head(&mut self) -> Go<String> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            self.fill().await?;
        };
        Some(self.buffer.drain(..end).map(char::from).collect())
    }

    async fn body(&mut self, received: &Received) -> Go<Vec<u8>> {
        if received.value("transfer-encoding").is_some() {
            let mut body = Vec::new();
            loop {
                let size = usize::from_str_radix(&self.line().await?, 16).ok()?;
                body.extend(self.exactly(size).await?);
                if size == 0 {
                    while !self.line().await?.is_empty() {}
                    return Some(body);
                }
                self.line().await?;
            }
        }
        let length = received.value("content-length").map_or(0, |length| length.parse().unwrap());
        self.exactly(length).await
    }

    async fn exactly(&mut self, length: usize) -> Go<Vec<u8>> {
        while self.buffer.len() < length {
            self.fill().await?;
        }
        Some(self.buffer.drain(..length).collect())
    }

    async fn line(&mut self) -> Go<String> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..at]).into_owned();
                self.buffer.drain(..at + 2);
                return Some(line);
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Go<()> {
        let mut chunk = vec![0; 64 << 10];
        match self.tcp.read(&mut chunk).await {
            Ok(0) | Err(_) => None,
            Ok(count) => {
                self.buffer.extend_from_slice(&chunk[..count]);
                Some(())
            }
        }
    }
}
