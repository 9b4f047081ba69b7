//! How fast records reach a Postgres that is full already, beside bare `COPY` of the very same rows; how many bytes a
//! page view takes there; and how an hour's backlog is caught up while new hits come in. One command, a private cluster
//! with default settings:
//!
//!     cargo run --release --example ship_rate -- --data-dir /var/tmp/ship-rate
//!
//! The mix: 4 page views a session, 1.3 sessions a visitor, 30 % of the sessions tagged; 500 page views a second, 5 to
//! 75 s from one to the next. The directory is made and filled when it is empty, and used again when it is not.
#![allow(clippy::cast_possible_truncation, reason = "what is measured and counted here is small")]

mod catch_up;
mod cluster;
mod live;
mod mix;
mod rounds;
mod shipping;

use std::path::PathBuf;

use clap::Parser;
use serde_json::json;

use cluster::Databases;
use mix::Mix;

/// The program's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Clone, Parser)]
struct Arguments {
    /// The cluster's directory; its path must be short, and open to the server's user.
    #[arg(long, default_value = "/tmp/ship-rate")]
    data_dir: PathBuf,
    /// Sessions that are there before, when the directory is new.
    #[arg(long, default_value_t = 10_000_000)]
    sessions: u64,
    /// Page views of each round's journal.
    #[arg(long, default_value_t = 200_000)]
    views: u64,
    /// Interleaved rounds; 0 leaves them out.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Page views that are shipped as they come, after the rounds; 0 leaves it out.
    #[arg(long, default_value_t = 400_000)]
    live: u64,
    /// Page views that wait when catching up begins, an hour at 500 a second; 0 leaves it out.
    #[arg(long, default_value_t = 1_800_000)]
    backlog: u64,
    /// New hits a second meanwhile.
    #[arg(long, default_value_t = 100)]
    new_hits: u64,
    /// Where the figures go as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    #[command(flatten)]
    mix: Mix,
    /// Ships the journals below this directory until standard input ends: the process that catches up.
    #[arg(long, hide = true)]
    ship_from: Option<PathBuf>,
    #[arg(long, hide = true, default_value = "")]
    url: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(journals) = &arguments.ship_from {
        return catch_up::ship_until_input_ends(journals, &arguments.url, arguments.new_hits, arguments.mix)
            .await;
    }
    let mut databases = Databases::open(&arguments.data_dir, arguments.sessions).await?;
    let load = std::fs::read_to_string("/proc/loadavg")?;
    println!("load of the machine at the start: {}", load.trim());
    let mut figures = json!({"load": load.trim(), "sessions": databases.sessions, "mix": arguments.mix});
    if arguments.rounds > 0 {
        figures["rounds"] = rounds::measure(&databases, &arguments).await?;
    }
    if arguments.live > 0 {
        figures["live"] = live::measure(&databases, &arguments).await?;
    }
    if arguments.backlog > 0 {
        figures["catch_up"] = catch_up::measure(&databases, &arguments).await?;
    }
    databases.stop().await?;
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_string_pretty(&figures)?)?;
    }
    Ok(())
}
