//! `demo`: the whole program on embedded defaults, with a sample shop behind it and visitors in front.

use crate::config::{Log, LogFormat};
use crate::demo::{self, Options};
use crate::telemetry::logs;

/// Where it listens and what it shows.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Port of the shop on 127.0.0.1 [default: 8080, with --smoke a free one]
    #[arg(long, value_name = "PORT")]
    pub(super) port: Option<u16>,
    /// Port of the statistics on 127.0.0.1 [default: 9090, with --smoke a free one]
    #[arg(long, value_name = "PORT")]
    pub(super) stats_port: Option<u16>,
    /// Make one visitor's journey to an order credited to its campaign, print it and end
    #[arg(long)]
    pub(super) smoke: bool,
    /// Leave the simulated visitors away
    #[arg(long)]
    pub(super) no_visitors: bool,
}

/// Runs until Ctrl-C; with `--smoke` until the journey has succeeded or failed.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    logs::init(&Log { format: LogFormat::Text, level: "warn".to_owned() })?;
    let options = Options {
        port: args.port,
        stats_port: args.stats_port,
        visitors: !args.no_visitors,
        smoke: args.smoke,
    };
    super::in_office(demo::run(&options))
}
