//! `migrate`: brings the database to this version's schema.

use std::path::Path;

/// No arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Applies the migrations that are missing.
pub(super) fn run(_config: &Path, _args: &Args) -> anyhow::Result<()> {
    anyhow::bail!("not available in this build yet")
}
