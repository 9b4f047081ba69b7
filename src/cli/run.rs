//! `run`: the proxy, the shipper and the stats port, until a signal.

use std::path::{Path, PathBuf};

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::service;
use crate::accept::Handed;
use crate::app::App;
use crate::config;
use crate::reload::Reload;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::logs;

/// No arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Runs until SIGTERM or SIGINT; a second one ends the process at once, with the journal intact. SIGHUP has `file` read
/// again.
pub(super) fn run(file: &Path, _args: &Args) -> anyhow::Result<()> {
    let config = config::load(file)?;
    let log_level = logs::init(&config.log)?;
    let handed = Handed::take().context("sockets were handed over (LISTEN_FDS)")?;
    super::in_office(async {
        // Before anything is there that a signal should end in order.
        let mut signals = Signals::new()?;
        // What log rotation, and who has changed the configuration, tell servers by; their default would end the process.
        let hangup = signal(SignalKind::hangup()).context("SIGHUP cannot be handled")?;
        let rotated = signal(SignalKind::user_defined1()).context("SIGUSR1 cannot be handled")?;
        let app = App::bind_or_take(config, handed).await?;
        for address in app.proxy_addresses() {
            tracing::info!(%address, "forwarding");
        }
        tracing::info!(address = %app.stats_address(), "statistics");
        let shutdown = CancellationToken::new();
        let reload = app.reload().with_log_level(log_level);
        tokio::spawn(reload_when_told(hangup, reload, file.to_owned(), shutdown.clone()));
        tokio::spawn(service::feed_watchdog(app.metrics()));
        tokio::spawn(reopen_logs(rotated, app.access_log()));
        let told = shutdown.clone();
        tokio::spawn(async move {
            signals.next().await;
            tracing::info!("drains: no new connections");
            service::stopping();
            told.cancel();
            signals.next().await;
            tracing::warn!("second signal: ends at once");
            std::process::exit(1);
        });
        service::ready();
        app.run(shutdown).await
    })
}

/// At each SIGHUP until `shutdown`. Signals that come while one is obeyed are one more.
async fn reload_when_told(mut hangup: Signal, reload: Reload, file: PathBuf, shutdown: CancellationToken) {
    while shutdown.run_until_cancelled(hangup.recv()).await.flatten().is_some() {
        // Files may be on a disk that hangs.
        tokio::task::block_in_place(|| {
            service::reloading();
            reload.apply(config::load(&file));
            service::ready();
        });
    }
}

async fn reopen_logs(mut rotated: Signal, access_log: Option<AccessLog>) {
    while rotated.recv().await.is_some() {
        if let Some(log) = &access_log {
            log.reopen();
        }
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be handled")?;
        let interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be handled")?;
        Ok(Self { terminate, interrupt })
    }

    /// Returns when one has come.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
