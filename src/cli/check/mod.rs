//! `check`: reads the configuration as `run` would and prints what is in force; with a log of the shop's, what would
//! become of its requests.

mod access_log;
mod logged;

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::config;

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Say which requests of this access log (combined, common or JSON; also .gz; `-` for standard input) the proxy
    /// would refuse or change
    #[arg(long, value_name = "FILE")]
    access_log: Option<PathBuf>,
}

/// Prints the resolved configuration, or what it means for a log; the errors are the caller's to show.
pub(super) fn run(path: &Path, args: &Args) -> anyhow::Result<()> {
    let config = config::load(path)?;
    if let Some(log) = &args.access_log {
        return access_log::run(&config, log);
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "# {} is fine. In force is:\n\n{config}", path.display())?;
    Ok(())
}
