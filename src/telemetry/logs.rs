//! Sets up logging from `[log]`: one line per event on standard error.
//!
//! Rule for every line of the program: readable alone, and never an IP, a cookie, a token or a full query string.

use std::io::IsTerminal;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::config::{Log, LogFormat};

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// `log.level` is no filter.
    #[error("log.level is no filter")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    /// The process has a logger already.
    #[error("logging is set up already")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Sends the process's events to standard error from now on. Once per process.
///
/// # Errors
/// When `log.level` is no filter, or when it has been called before.
pub fn init(log: &Log) -> Result<(), LogsError> {
    let level: Targets = log.level.parse()?;
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let lines = match log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(level)).try_init()?;
    Ok(())
}
