//! `run`: the proxy, the shipper and the stats port, until a signal.

use std::path::Path;

/// No arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Runs until SIGTERM or SIGINT.
pub(super) fn run(_config: &Path, _args: &Args) -> anyhow::Result<()> {
    anyhow::bail!("not available in this build yet")
}
