//! The commands, one file each. Exit code 0: fine; 64: bad usage or configuration; 1: anything else.

mod check;
mod demo;
mod export;
mod forget;
mod import;
mod journal;
mod journalled;
mod migrate;
mod rules;
mod run;
mod service;
mod tail;
mod token;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::config::{Config, ConfigErrors, DatabasePlace};
use crate::managed::{self, Cluster, ManagedError, Settings};
use crate::store::Store;
use crate::store::migrate::{SchemaState, schema_state};

/// `EX_USAGE` of sysexits.h.
const EXIT_USAGE: u8 = 64;

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "utm-dispatcher", version, about)]
struct Cli {
    /// The configuration file
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "UTM_DISPATCHER_CONFIG",
        hide_env_values = true,
        default_value = "/etc/utm-dispatcher/config.toml"
    )]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy, the shipper and the stats port until SIGTERM or SIGINT
    Run(run::Args),
    /// Check the configuration and print what is in force, secrets masked
    Check(check::Args),
    /// Bring the database to this version's schema
    Migrate(migrate::Args),
    /// Show everything at work on this machine: a private database, a sample shop and its visitors
    Demo(demo::Args),
    /// Show the last requests and those coming, and why each was counted or not
    Tail(tail::Args),
    /// Tokens for the stats port
    Token(token::Args),
    /// Forget a person: identities go, totals stay
    Forget(forget::Args),
    /// Take orders, advertising cost or the past of the in-app UTM Dispatcher from files
    Import(import::Args),
    /// Print everything that is stored of a person, as JSON
    Export(export::Args),
    /// What the journal holds
    Journal(journal::Args),
    /// Try action rules on a recorded visit
    Rules(rules::Args),
}

/// Runs the command that `arguments` (the program's name first) ask for, and says how the process shall end. Errors
/// are on standard error.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(answer) => {
            // Help and version arrive here too. A closed terminal is no reason to fail.
            let _ = answer.print();
            return if answer.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match dispatch(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<ConfigErrors>() {
            Some(errors) => {
                eprintln!("{errors}");
                ExitCode::from(EXIT_USAGE)
            }
            None => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

fn dispatch(cli: &Cli) -> anyhow::Result<()> {
    match &cli.command {
        Command::Run(args) => run::run(&cli.config, args),
        Command::Check(args) => check::run(&cli.config, args),
        Command::Migrate(args) => migrate::run(&cli.config, args),
        Command::Demo(args) => demo::run(args),
        Command::Tail(args) => tail::run(&cli.config, args),
        Command::Token(args) => token::run(&cli.config, args),
        Command::Forget(args) => forget::run(&cli.config, args),
        Command::Import(args) => import::run(&cli.config, args),
        Command::Export(args) => export::run(&cli.config, args),
        Command::Journal(args) => journal::run(&cli.config, args),
        Command::Rules(args) => rules::run(&cli.config, args),
    }
}

/// How long what hangs, on a frozen disk for one, may keep the process from its end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Does what is not the request path, on a runtime of its own, whose threads give way to those that forward.
fn in_office<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("office")
        .on_thread_start(give_way)
        .build()?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_timeout(LAST_WORDS);
    outcome
}

/// How much nicer the office's threads are: of a core that a thread that forwards wants as well they have a quarter.
/// More, and whatever else runs on the machine would keep reports and shipping from it.
#[cfg(target_os = "linux")]
const NICER: i32 = 5;

/// Lowers the priority of this thread alone (on Linux each thread has its own: setpriority(2), "Bugs").
#[cfg(target_os = "linux")]
fn give_way() {
    use rustix::process::{getpriority_process, setpriority_process};
    // Whoever may not is not worse off than before.
    let _ = getpriority_process(None).and_then(|own| setpriority_process(None, (own + NICER).min(19)));
}

/// Elsewhere the whole process would be lowered, and forwarding with it.
#[cfg(not(target_os = "linux"))]
fn give_way() {}

/// The database of a command that runs beside the program, or without it. A private server that nobody runs is started
/// and lives as long as the value beside it.
async fn database(config: &Config) -> anyhow::Result<(Store, Option<Cluster>)> {
    let (url, cluster) = match &config.database.place {
        DatabasePlace::Url(url) => (url.clone(), None),
        DatabasePlace::Managed(dir) => match Cluster::open(dir, Settings::default()) {
            Ok(mut cluster) => {
                cluster.start().await?;
                (cluster.url(), Some(cluster))
            }
            Err(ManagedError::InUse(home)) => (managed::url_in(&home), None),
            Err(error) => return Err(error.into()),
        },
    };
    Ok((Store::new(&url)?, cluster))
}

/// Refuses a database that this version's questions are not for.
async fn must_be_current(store: &Store) -> anyhow::Result<()> {
    if schema_state(store).await? != SchemaState::Current {
        anyhow::bail!("the database's schema is of another version");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
