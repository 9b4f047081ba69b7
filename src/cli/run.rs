//! `run`: the proxy, the shipper and the stats port, until a signal.

use std::path::Path;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::config;
use crate::telemetry::logs;

/// No arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Runs until SIGTERM or SIGINT; a second one ends the process at once, with the journal intact.
pub(super) fn run(config: &Path, _args: &Args) -> anyhow::Result<()> {
    let config = config::load(config)?;
    logs::init(&config.log)?;
    super::office()?.block_on(async {
        let app = App::bind(config).await?;
        for address in app.proxy_addresses() {
            tracing::info!(%address, "forwarding");
        }
        tracing::info!(address = %app.stats_address(), "statistics");
        let shutdown = CancellationToken::new();
        tokio::spawn(end_on_signals(shutdown.clone()));
        app.run(shutdown).await
    })
}

async fn end_on_signals(shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be handled")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be handled")?;
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if shutdown.is_cancelled() {
            tracing::warn!("second signal: ends at once");
            std::process::exit(1);
        }
        tracing::info!("drains: no new connections");
        shutdown.cancel();
    }
}
