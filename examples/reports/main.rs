//! How long every report takes over a shop's two years, from today to all time. One command, a private cluster with the
//! private cluster's own settings and 1 GB of shared buffers:
//!
//!     cargo run --profile dist --example reports -- --data-dir /var/tmp/reports --sessions 1000000
//!
//! The history, from a seed: 5 page views and actions a session, 3 % of them with an order, 1.4 sessions a visitor, daily and
//! weekly rhythm, few campaigns, pages and products that are used much and many that are not, bots, refunds. It is laid down when
//! the directory is new, by several connections at once, and summed up by the program's own refresher; `--keep` leaves it for
//! the next run.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "what is measured and counted here is small"
)]

mod ask;
mod history;

use std::path::PathBuf;

use clap::Parser;
use serde_json::json;
use utm_dispatcher::managed::{Cluster, Settings};

/// The program's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Clone, Parser)]
struct Arguments {
    /// The cluster's directory; its path must be short, and open to the server's user.
    #[arg(long, default_value = "/tmp/utm-reports")]
    data_dir: PathBuf,
    /// Sessions of two years.
    #[arg(long, default_value_t = 10_000_000)]
    sessions: u64,
    /// Connections that lay them down.
    #[arg(long, default_value_t = 2)]
    writers: u64,
    /// How often each question is asked, after once to warm up.
    #[arg(long, default_value_t = 5)]
    repeat: usize,
    /// Only questions whose address contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Seconds for all questions together; what is left then is not asked.
    #[arg(long, default_value_t = 900)]
    seconds: u64,
    /// Leaves the data where it is.
    #[arg(long)]
    keep: bool,
    /// Where the figures go as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let parameter = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let parameters = vec![parameter("shared_buffers", "1GB"), parameter("max_wal_size", "8GB")];
    let mut cluster = Cluster::open_in(&arguments.data_dir, Settings { parameters, disposable: false })?;
    cluster.start().await?;
    let laid = history::lay_down(&cluster, &arguments).await?;
    let load = std::fs::read_to_string("/proc/loadavg")?;
    println!("load of the machine at the start: {}", load.trim());
    let answers = ask::every_question(&laid.url, &arguments).await?;
    let figures = json!({"load": load.trim(), "history": laid.figures, "questions": answers});
    cluster.stop().await?;
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_string_pretty(&figures)?)?;
    }
    if !arguments.keep {
        std::fs::remove_dir_all(&arguments.data_dir)?;
    }
    Ok(())
}
