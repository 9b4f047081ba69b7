//! What a service manager is told of the process (`sd_notify(3)`); without one, nothing is.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sd_notify::NotifyState::{self, Ready, Reloading, Status, Stopping, Watchdog};

use crate::telemetry::metrics::Metrics;

/// The process serves.
pub(super) fn ready() {
    tell(&[Ready, Status("forwarding")]);
}

/// The configuration is read again; [`ready`] ends it.
pub(super) fn reloading() {
    // `Type=notify-reload` wants to know of which moment this is said.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[Reloading, now, Status("reading the configuration again")]),
        Err(error) => tracing::warn!(%error, "the time of a reload is not known"),
    }
}

/// The process ends in order.
pub(super) fn stopping() {
    tell(&[Stopping, Status("draining: no new connections")]);
}

/// Says again and again that the process is alive, where `WATCHDOG_USEC` asks for it: not while a worker stands still.
pub(super) async fn feed_watchdog(metrics: Arc<Metrics>) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let mut interval = tokio::time::interval(limit / 3);
    let mut last = Vec::new();
    loop {
        interval.tick().await;
        let pulses = metrics.state.pulses();
        let stands_still = pulses.iter().zip(&last).any(|(now, before)| now == before);
        last = pulses;
        if !stands_still || metrics.state.draining.load(Ordering::Relaxed) {
            tell(&[Watchdog]);
        } else {
            tracing::error!("a worker stands still; the watchdog is not fed");
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager cannot be told of the process");
    }
}
