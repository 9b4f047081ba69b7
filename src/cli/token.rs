//! `token`: access to the stats port. A token is shown once; only its hash is kept.

use std::path::Path;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args as ClapArgs, Subcommand};

use crate::config::{self, Scope};
use crate::stats::tokens;
use crate::store::migrate::{SchemaState, migrate, schema_state};

/// Which of the three.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) action: Action,
}

/// What is done with tokens.
#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Make a token and print it, once
    Create {
        /// What the token is for
        name: String,
        /// What it may do: read reports, tell about orders, or everything
        #[arg(long, value_parser = scope_parser())]
        scope: Scope,
    },
    /// List names, scopes and ages
    List,
    /// Make a token worthless
    Revoke {
        /// Its name
        name: String,
    },
}

/// Does what the action says.
pub(super) fn run(config: &Path, args: &Args) -> anyhow::Result<()> {
    let config = config::load(config)?;
    super::office()?.block_on(async {
        let (store, _cluster) = super::database(&config).await?;
        // Tokens are there since the first migration. Another one is the matter of who owns the tables, when they choose.
        if matches!(schema_state(&store).await?, SchemaState::Older { found: 0, .. }) {
            migrate(&store).await?;
        }
        let client = store.office().await?;
        match &args.action {
            Action::Create { name, scope } => {
                println!("{}", tokens::create(&client, name, *scope).await?);
                eprintln!("This token is shown once; only its hash is kept.");
            }
            Action::List => {
                for token in tokens::list(&client).await? {
                    let ended = token.revoked_at.map(|at| format!("  revoked {at:.0}")).unwrap_or_default();
                    println!("{:<24} {:<7} made {:.0}{ended}", token.name, token.scope, token.created_at);
                }
            }
            Action::Revoke { name } => tokens::revoke(&client, name).await?,
        }
        Ok(())
    })
}

fn scope_parser() -> impl TypedValueParser<Value = Scope> {
    let find = |word: String| Scope::NAMES.iter().find(|(name, _)| *name == word).map(|(_, scope)| *scope);
    PossibleValuesParser::new(Scope::NAMES.map(|(name, _)| name))
        .try_map(move |word| find(word).ok_or("not a scope"))
}
