//! Puts a newly read configuration in force while the program runs.
//!
//! Rule: a configuration that is wrong changes nothing. Requests, batches and reports that have begun end by what they
//! began with.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::accept::Certificates;
use crate::config::{Change, Config, ConfigErrors, Live};
use crate::files::raise_open_files;
use crate::proxy::Snapshot;
use crate::telemetry::logs::LogLevel;
use crate::telemetry::metrics::Metrics;

/// Everybody who goes by the configuration.
#[derive(Debug)]
pub struct Reload {
    config: Live<Config>,
    snapshot: Live<Snapshot>,
    metrics: Arc<Metrics>,
    certificates: Arc<Certificates>,
    log_level: Option<LogLevel>,
}

impl Reload {
    pub(crate) fn new(
        config: &Live<Config>,
        snapshot: &Live<Snapshot>,
        metrics: &Arc<Metrics>,
        certificates: &Arc<Certificates>,
    ) -> Self {
        Self {
            config: config.clone(),
            snapshot: snapshot.clone(),
            metrics: Arc::clone(metrics),
            certificates: Arc::clone(certificates),
            log_level: None,
        }
    }

    /// Changes the log's level, too.
    #[must_use]
    pub fn with_log_level(self, log_level: LogLevel) -> Self {
        Self { log_level: Some(log_level), ..self }
    }

    /// Puts what was read in force, or says why not.
    pub fn apply(&self, read: Result<Config, ConfigErrors>) {
        match read {
            Ok(config) => self.put_in_force(config),
            Err(errors) => self.refuse(errors.summary()),
        }
    }

    fn refuse(&self, problem: String) {
        tracing::error!(%problem, "the configuration is wrong and not reloaded; the one before stays in force");
        self.metrics.note_config_refused(problem);
    }

    fn put_in_force(&self, config: Config) {
        let old = self.config.now();
        let Change { config, changed, needs_restart } = Change::between(&old, config);
        let snapshot = match self.snapshot.now().next(&config, &self.metrics) {
            Ok(snapshot) => snapshot,
            Err(error) => return self.refuse(error.to_string()),
        };
        if let Some(level) = &self.log_level
            && let Err(error) = level.set(&config.log.level)
        {
            tracing::error!(%error, "log.level could not be changed");
        }
        if config.proxy.max_connections > old.proxy.max_connections {
            raise_open_files(config.proxy.max_connections);
        }
        if config.proxy.trusted_proxies != old.proxy.trusted_proxies {
            self.metrics.state.undeclared_proxy.store(false, Ordering::Relaxed);
        }
        // They could be used a moment ago, when the configuration was read.
        if let Err(error) = self.certificates.replace(&config.proxy.tls) {
            tracing::error!(%error, "TLS certificates cannot be used; those read before stay in use");
        }
        self.snapshot.replace(snapshot);
        self.config.replace(config);
        let (changed, needs_restart) = (listed(&changed), listed(&needs_restart));
        if needs_restart == NONE {
            tracing::info!(%changed, "configuration reloaded");
        } else {
            tracing::warn!(%changed, %needs_restart, "configuration reloaded; some of it stays as it was until a restart");
        }
        // Last: whoever sees it counted finds it in the log.
        self.metrics.note_config_reloaded();
    }
}

/// What stands for no key.
const NONE: &str = "nothing";

fn listed(keys: &[String]) -> String {
    if keys.is_empty() { NONE.to_owned() } else { keys.join(", ") }
}
