//! The demonstration: the whole program on embedded defaults, a sample shop behind it and visitors in front.
//!
//! Everything is made anew at each start, the past included, and gone at the end.

mod browser;
mod database;
mod goods;
mod history;
mod journey;
mod records;
mod scene;
mod shop;
mod state;
mod visitors;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::clock::unix_ms;
use crate::config::{self, Config};
use crate::store::Store;
use crate::store::migrate::migrate;
use database::Database;
pub use history::History;
use state::StateDir;

const PORT: u16 = 8080;
const STATS_PORT: u16 = 9090;
const PAST_DAYS: u32 = 90;
const SEED: u64 = 20_261;

/// What is shown, and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port of the proxy on 127.0.0.1; none: 8080, with `smoke` a free one.
    pub port: Option<u16>,
    /// Port of the statistics on 127.0.0.1; none: 9090, with `smoke` a free one.
    pub stats_port: Option<u16>,
    /// Whether simulated visitors come.
    pub visitors: bool,
    /// One visitor's journey to a credited order instead of past and visitors; then the end.
    pub smoke: bool,
}

/// Runs until SIGINT or SIGTERM, with `smoke` until the journey has ended; its failure is an error.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    let port = port_for(options.port, PORT, options.smoke, "--port")?;
    let stats_port = port_for(options.stats_port, STATS_PORT, options.smoke, "--stats-port")?;
    let state = StateDir::create().context("making a folder for the demonstration")?;
    let mut database = Database::open(&state).await?;
    // The program would do so itself, a moment after the statistics are there to be asked.
    migrate(&Store::new(&database.url)?).await?;
    let shown = show(options, port, stats_port, &state, &database).await;
    let closed = database.close().await;
    shown.and(closed)
}

async fn show(
    options: &Options,
    port: u16,
    stats_port: u16,
    state: &StateDir,
    database: &Database,
) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    let first_order = if options.smoke { 1 } else { write_past(&state.journal_dir())? };
    let shop = shop::open(first_order, shutdown.clone()).await.context("opening the sample shop")?;
    let config = configuration(port, stats_port, shop, state, &database.url)?;
    let app = App::bind(config).await?;
    let proxy = *app.proxy_addresses().first().context("the proxy listens nowhere")?;
    let stats = app.stats_address();
    let mut running = std::pin::pin!(app.run(shutdown.clone()));

    let scene = async {
        if options.smoke {
            return journey::smoke(proxy, stats).await;
        }
        print_welcome(proxy, stats);
        if options.visitors {
            tokio::spawn(visitors::come(proxy, shutdown.clone()));
        }
        wait_for_signal().await
    };
    let outcome = tokio::select! {
        ended = &mut running => return ended.and_then(|()| anyhow::bail!("the proxy ended by itself")),
        outcome = scene => outcome,
    };
    shutdown.cancel();
    let ended = tokio::select! {
        ended = running => ended,
        again = wait_for_signal() => again,
    };
    outcome.and(ended)
}

/// The past goes into a journal that looks like that of an earlier run: the program adopts and ships it. Returns the
/// number of the next order.
fn write_past(journal_dir: &Path) -> anyhow::Result<u32> {
    let past = History::write(SEED, PAST_DAYS, unix_ms());
    past.leave_as_journal(journal_dir).context("writing the past into a journal")?;
    Ok(past.next_order)
}

fn configuration(
    port: u16,
    stats_port: u16,
    shop: SocketAddr,
    state: &StateDir,
    database_url: &str,
) -> anyhow::Result<Config> {
    let journal_dir = state.journal_dir();
    // Simulated visitors say their addresses as a load balancer would; that is believed of this machine alone.
    let text = format!(
        r#"
        [proxy]
        listen = ["127.0.0.1:{port}"]
        trusted_proxies = ["127.0.0.1"]
        max_connections = 1000

        [[upstream]]
        name = "sample-shop"
        servers = ["http://{shop}"]
        trust_events = true

        [database]
        url = "{database_url}"

        [journal]
        dir = "{}"

        [stats]
        listen = "127.0.0.1:{stats_port}"
        "#,
        journal_dir.display()
    );
    Ok(config::parse(&text, "demo.toml", &|_| None)?)
}

/// The port asked for, or the default one, or 0 for any; one that is taken is an error that says so.
fn port_for(asked: Option<u16>, default: u16, any: bool, option: &str) -> anyhow::Result<u16> {
    let port = match asked {
        Some(port) => port,
        None if any => return Ok(0),
        None => default,
    };
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(port),
        Err(problem) => {
            anyhow::bail!("port {port} on 127.0.0.1 is not free ({problem}); choose another with {option}")
        }
    }
}

async fn wait_for_signal() -> anyhow::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

#[allow(clippy::print_stdout, reason = "what a person at the terminal reads")]
fn print_welcome(proxy: SocketAddr, stats: SocketAddr) {
    println!(
        "\n  The shop, through the proxy   http://{proxy}/\
         \n  The statistics                http://{stats}/\
         \n\
         \n  Come from a campaign of your own, look around, order something:\
         \n    http://{proxy}/?utm_source=facebook&utm_medium=paid_social&utm_campaign=my_own\
         \n  and see what it brought:\
         \n    http://{stats}/api/v1/campaigns?period=today\
         \n    http://{stats}/api/v1/sessions?period=today&campaign=my_own\
         \n\
         \n  {PAST_DAYS} days of past are being shipped. Ctrl-C ends everything; nothing is kept.\n"
    );
}
