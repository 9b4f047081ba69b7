//! `check`: reads the configuration as `run` would and prints what is in force.

use std::io::Write;
use std::path::Path;

use crate::config;

/// No arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Prints the resolved configuration; the errors are the caller's to show.
pub(super) fn run(path: &Path, _: &Args) -> anyhow::Result<()> {
    let config = config::load(path)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "# {} is fine. In force is:\n\n{config}", path.display())?;
    Ok(())
}
