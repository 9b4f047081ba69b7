//! `migrate`: brings the database to this version's schema.

use std::path::Path;

use anyhow::Context;

use crate::config;
use crate::store::migrate::{SchemaState, grant_rights, grant_views, migrate};
use crate::telemetry::logs;

/// Whom to give rights.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A role that ships: gets what a proxy with `auto_migrate = false` needs
    #[arg(long, value_name = "ROLE")]
    writer: Option<String>,
    /// A role that asks: gets what reports read, and may change nothing
    #[arg(long, value_name = "ROLE")]
    reader: Option<String>,
    /// A role that draws charts: gets the views of the schema bi, which are made, and nothing else
    #[arg(long, value_name = "ROLE")]
    analyst: Option<String>,
}

/// Applies the migrations that are missing, then gives rights.
pub(super) fn run(config: &Path, args: &Args) -> anyhow::Result<()> {
    let config = config::load(config)?;
    logs::init(&config.log)?;
    super::in_office(async {
        let (store, _cluster) = super::database(&config).await?;
        match migrate(&store).await? {
            SchemaState::Newer { found, wanted } => anyhow::bail!(
                "the database's schema is version {found}, newer than this program's {wanted}; nothing was changed"
            ),
            SchemaState::Current | SchemaState::Older { .. } => println!("the database's schema is current"),
        }
        if args.writer.is_some() || args.reader.is_some() {
            grant_rights(&store, args.writer.as_deref(), args.reader.as_deref()).await?;
            println!("the roles have their rights");
        }
        if let Some(analyst) = &args.analyst {
            grant_views(&store, analyst).await.context(
                "the views could not be made; the owner of the tables makes them, in a schema bi of its own \
                 (CREATE SCHEMA bi AUTHORIZATION …) where it may make none",
            )?;
            println!("{analyst} may read the views of the schema bi");
        }
        Ok(())
    })
}
