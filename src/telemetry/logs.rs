//! Sets up logging from `[log]`: one line per event on standard error.
//!
//! Rule for every line of the program: readable alone, and never an IP, a cookie, a token or a full query string.

use std::io::IsTerminal;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

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
    /// The logger is gone.
    #[error("the logger is gone")]
    Gone(#[from] reload::Error),
}

/// The level, which can be changed.
#[derive(Debug, Clone)]
pub struct LogLevel(reload::Handle<Targets, Registry>);

impl LogLevel {
    /// From now on this one.
    ///
    /// # Errors
    /// When it is no filter.
    pub fn set(&self, level: &str) -> Result<(), LogsError> {
        Ok(self.0.reload(filter(level)?)?)
    }
}

/// Sends the process's events to standard error from now on. Once per process.
///
/// # Errors
/// When `log.level` is no filter, or when it has been called before.
pub fn init(log: &Log) -> Result<LogLevel, LogsError> {
    let (level, handle) = reload::Layer::new(filter(&log.level)?);
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let lines = match log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(level)).try_init()?;
    Ok(LogLevel(handle))
}

/// What `level` lets through. The database's driver is kept from writing its statements' parameters, which are people's;
/// its pool from warning of each connection that a database left behind, which the shipper tells once.
fn filter(level: &str) -> Result<Targets, tracing_subscriber::filter::ParseError> {
    let level = level.parse::<Targets>()?.with_target("tokio_postgres", LevelFilter::INFO);
    Ok(level.with_target("deadpool.postgres", LevelFilter::ERROR))
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn no_level_lets_the_driver_write_parameters() {
        for level in ["debug", "trace", "info,tokio_postgres=debug"] {
            let filter = filter(level).unwrap();
            assert!(!filter.would_enable("tokio_postgres::query", &Level::DEBUG), "{level}");
        }
        assert!(filter("debug").unwrap().would_enable("utm_dispatcher::proxy", &Level::DEBUG));
        assert!(filter("warn").unwrap().would_enable("tokio_postgres", &Level::WARN));
        assert!(filter("a=b=c").is_err());
    }
}
