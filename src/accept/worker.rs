//! Worker threads: each takes connections from its own sockets and serves them until it is told to end.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use super::bind::{Bound, Kind};
use super::connection::Connection;
use super::seats::Seats;
use super::serve::Server;
use crate::clock::{Clock, TICK_MS};
use crate::config::{Config, Live};
use crate::telemetry::metrics::Metrics;

/// How long the end of a worker's handler is awaited.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Its number, from 0.
    pub worker: usize,
    /// Whether it was told to; if not, its sockets are deaf and the process should end.
    pub drained: bool,
}

/// The running workers. Dropping it ends them as [`Workers::drain`] does, without waiting.
#[derive(Debug)]
pub struct Workers {
    addresses: Vec<SocketAddr>,
    threads: Vec<JoinHandle<()>>,
    drain: watch::Sender<bool>,
    ended: mpsc::UnboundedReceiver<Ended>,
}

impl Workers {
    /// Where they listen.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Tells all workers to take no more connections and to end when the open requests have ended, at the latest
    /// after `drain_timeout`.
    pub fn drain(&self) {
        self.drain.send_replace(true);
    }

    /// The next worker that ends, for whatever reason; none when all have.
    pub async fn next_end(&mut self) -> Option<Ended> {
        self.ended.recv().await
    }

    /// Drains and waits until all threads are gone. It blocks.
    pub fn join(self) {
        self.drain();
        for thread in self.threads {
            // A panic was reported by `next_end` already.
            let _ = thread.join();
        }
    }
}

/// Starts one thread for each set of sockets.
///
/// `make_handler` is called once on each thread, in its runtime, with the worker's clock. It returns what answers
/// requests (handlers do not fail: a failure is a response too), and what is awaited when all are answered.
///
/// # Errors
///
/// When a thread cannot be made. A runtime that cannot be made is told by [`Workers::next_end`].
pub fn start<M, H, E, F, B>(
    bound: Bound,
    config: &Live<Config>,
    metrics: &Arc<Metrics>,
    make_handler: M,
) -> io::Result<Workers>
where
    M: Fn(&Rc<Clock>) -> (H, E) + Clone + Send + 'static,
    E: Future<Output = ()> + 'static,
    H: Fn(Rc<Connection>, Request<Incoming>) -> F + 'static,
    F: Future<Output = Response<B>> + 'static,
    B: Body + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let addresses = bound.addresses().to_vec();
    let (drain, drain_seen) = watch::channel(false);
    let (ended_sender, ended) = mpsc::unbounded_channel();
    let open_in_all = Arc::new(AtomicUsize::new(0));
    let seats = Seats::new();
    let certificates = bound.certificates;
    let mut threads = Vec::with_capacity(bound.sockets.len());
    for (number, sockets) in bound.sockets.into_iter().enumerate() {
        let notice =
            EndNotice { ended: Ended { worker: number, drained: false }, sender: ended_sender.clone() };
        let pulse = metrics.state.new_pulse();
        let (config, metrics, open_in_all) = (config.clone(), Arc::clone(metrics), Arc::clone(&open_in_all));
        let seats = Arc::clone(&seats);
        let (make_handler, drain_seen) = (make_handler.clone(), drain_seen.clone());
        let certificates = Arc::clone(&certificates);
        threads.push(std::thread::Builder::new().name(format!("proxy-{number}")).spawn(move || {
            run(notice, async move {
                let clock = Clock::start();
                let (handler, end) = make_handler(&clock);
                let server = Server::new(config, metrics, open_in_all, seats, certificates, clock, handler);
                serve_until_drained(sockets, &server, pulse, drain_seen).await?;
                if tokio::time::timeout(END_TIMEOUT, end).await.is_err() {
                    tracing::warn!(worker = number, "the last records were not taken in time");
                }
                Ok(())
            });
        })?);
    }
    Ok(Workers { addresses, threads, drain, ended })
}

/// Tells of the worker's end, also when it ends by a panic.
struct EndNotice {
    ended: Ended,
    sender: mpsc::UnboundedSender<Ended>,
}

impl Drop for EndNotice {
    fn drop(&mut self) {
        let _ = self.sender.send(self.ended);
    }
}

fn run(mut notice: EndNotice, serving: impl Future<Output = io::Result<()>>) {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    let outcome = runtime.and_then(|runtime| {
        let outcome = runtime.block_on(serving);
        runtime.shutdown_background();
        outcome
    });
    match outcome {
        Ok(()) => notice.ended.drained = true,
        Err(error) => tracing::error!(worker = notice.ended.worker, %error, "a worker cannot serve"),
    }
}

async fn serve_until_drained<H, F, B>(
    sockets: Vec<(TcpListener, Kind)>,
    server: &Rc<Server<H>>,
    pulse: Arc<AtomicU64>,
    mut drain_seen: watch::Receiver<bool>,
) -> io::Result<()>
where
    H: Fn(Rc<Connection>, Request<Incoming>) -> F + 'static,
    F: Future<Output = Response<B>> + 'static,
    B: Body + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    tokio::task::spawn_local(tick(Rc::clone(server.clock()), pulse));
    let mut listeners = Vec::with_capacity(sockets.len());
    for (socket, kind) in sockets {
        let listener = tokio::net::TcpListener::from_std(socket)?;
        let taking = Rc::clone(server).take_connections(listener, kind, drain_seen.clone());
        listeners.push(tokio::task::spawn_local(taking));
    }
    // A sender that is gone means the same as one that says so.
    let _ = drain_seen.wait_for(|drain| *drain).await;
    server.begin_drain();
    for listener in listeners {
        listener.await.map_err(io::Error::other)?;
    }
    server.drained().await;
    Ok(())
}

async fn tick(clock: Rc<Clock>, pulse: Arc<AtomicU64>) {
    let mut interval = tokio::time::interval(Duration::from_millis(TICK_MS));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        clock.tick();
        pulse.fetch_add(1, Ordering::Relaxed);
    }
}
