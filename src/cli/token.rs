//! `token`: access to the stats port. A token is shown once; only its hash is kept.

use std::path::Path;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args as ClapArgs, Subcommand};

use crate::config::Scope;

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
pub(super) fn run(_config: &Path, _args: &Args) -> anyhow::Result<()> {
    anyhow::bail!("not available in this build yet")
}

fn scope_parser() -> impl TypedValueParser<Value = Scope> {
    let find = |word: String| Scope::NAMES.iter().find(|(name, _)| *name == word).map(|(_, scope)| *scope);
    PossibleValuesParser::new(Scope::NAMES.map(|(name, _)| name))
        .try_map(move |word| find(word).ok_or("not a scope"))
}
