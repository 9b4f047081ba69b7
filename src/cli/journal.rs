//! `journal`: what waits in the journal or is kept there.

use std::path::Path;

use clap::{Args as ClapArgs, Subcommand};

/// Which of the two.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) action: Action,
}

/// What is shown of the journal.
#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// List journals and segments: sizes, and how far each has been shipped
    List,
    /// Print the records as JSON lines
    Dump,
}

/// Does what the action says.
pub(super) fn run(_config: &Path, _args: &Args) -> anyhow::Result<()> {
    anyhow::bail!("not available in this build yet")
}
