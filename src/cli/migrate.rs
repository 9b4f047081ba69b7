//! `migrate`: brings the database to this version's schema.

use std::path::Path;

use crate::config;
use crate::store::migrate::{SchemaState, migrate};

/// No arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Applies the migrations that are missing.
pub(super) fn run(config: &Path, _args: &Args) -> anyhow::Result<()> {
    let config = config::load(config)?;
    super::office()?.block_on(async {
        let (store, _cluster) = super::database(&config).await?;
        match migrate(&store).await? {
            SchemaState::Newer { found, wanted } => anyhow::bail!(
                "the database's schema is version {found}, newer than this program's {wanted}; nothing was changed"
            ),
            SchemaState::Current | SchemaState::Older { .. } => println!("the database's schema is current"),
        }
        Ok(())
    })
}
