//! What a reload can change of a running program, key by key, and what it has to leave as it was.
//!
//! Rule: every key has its answer here, and `config/example.toml` says `(restart)` at the keys that need one.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Config;

/// What brings a changed key into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// New requests, connections, batches and reports go by it.
    Reload,
    /// It stays as it was at the start: sockets, threads, files and pools are made once.
    Restart,
}

use Takes::{Reload, Restart};

/// Every key, in the order of the alphabet.
pub(super) const KEYS: &[(&str, Takes)] = &[
    ("action.currency", Reload),
    ("action.customer", Reload),
    ("action.location", Reload),
    ("action.method", Reload),
    ("action.order_id", Reload),
    ("action.order_number", Reload),
    ("action.path", Reload),
    ("action.product_id", Reload),
    ("action.product_name", Reload),
    ("action.properties", Reload),
    ("action.reference", Reload),
    ("action.site", Reload),
    ("action.status", Reload),
    ("action.type", Reload),
    ("action.value", Reload),
    ("action.webhook", Reload),
    ("action.when", Reload),
    ("database.auto_migrate", Restart),
    ("database.data_dir", Restart),
    ("database.managed", Restart),
    ("database.new_values_per_day", Restart),
    ("database.pool", Restart),
    ("database.statement_timeout", Restart),
    ("database.url", Restart),
    ("database.url_file", Restart),
    ("geo.database", Reload),
    ("journal.dir", Restart),
    ("journal.fsync", Restart),
    ("journal.keep", Restart),
    ("journal.max_bytes", Restart),
    ("journal.segment_bytes", Restart),
    ("journal.wait", Restart),
    ("log.format", Restart),
    ("log.level", Reload),
    ("orders.customer_key_file", Restart),
    ("orders.phone_country", Restart),
    ("orders.revenue", Reload),
    ("points.add_to_cart", Reload),
    ("points.click", Reload),
    ("points.initiate_checkout", Reload),
    ("points.lead", Reload),
    ("points.page_view", Reload),
    ("points.payment", Reload),
    ("points.product_view", Reload),
    ("points.purchase", Reload),
    ("points.registration", Reload),
    ("points.remove_from_cart", Reload),
    ("points.scroll", Reload),
    ("points.search", Reload),
    ("points.time_on_page", Reload),
    ("proxy.access_log.address", Restart),
    ("proxy.access_log.format", Restart),
    ("proxy.access_log.path", Restart),
    ("proxy.drain_timeout", Reload),
    ("proxy.error_page.file", Reload),
    ("proxy.error_page.status", Reload),
    ("proxy.forwarded", Reload),
    ("proxy.health_path", Reload),
    ("proxy.limits.body_bytes", Reload),
    ("proxy.limits.connections_per_ip", Reload),
    ("proxy.limits.header_bytes", Reload),
    ("proxy.limits.headers", Reload),
    ("proxy.limits.uri_bytes", Reload),
    ("proxy.listen", Restart),
    ("proxy.maintenance.allow", Reload),
    ("proxy.maintenance.flag_file", Reload),
    ("proxy.maintenance.on", Reload),
    ("proxy.maintenance.retry_after", Reload),
    ("proxy.max_connections", Reload),
    ("proxy.proxy_protocol", Reload),
    ("proxy.redirect_http", Reload),
    ("proxy.request_id_header", Reload),
    ("proxy.timeouts.body_idle", Reload),
    ("proxy.timeouts.connect", Reload),
    ("proxy.timeouts.first_byte", Reload),
    ("proxy.timeouts.header", Reload),
    ("proxy.timeouts.keep_alive", Reload),
    ("proxy.timeouts.response_header", Reload),
    ("proxy.timeouts.response_idle", Reload),
    ("proxy.timeouts.tunnel_idle", Reload),
    ("proxy.tls.certificate", Reload),
    ("proxy.tls.key", Reload),
    ("proxy.tls.min_version", Reload),
    ("proxy.tls.names", Reload),
    ("proxy.tls_listen", Restart),
    ("proxy.trusted_proxies", Reload),
    ("proxy.workers", Restart),
    ("route.host", Reload),
    ("route.path", Reload),
    ("route.site", Reload),
    ("route.strip", Reload),
    ("route.timeouts.connect", Reload),
    ("route.timeouts.response_header", Reload),
    ("route.timeouts.response_idle", Reload),
    ("route.tracking", Reload),
    ("route.upstream", Reload),
    ("stats.allowed_hosts", Reload),
    ("stats.currency", Reload),
    ("stats.database_url", Restart),
    ("stats.database_url_file", Restart),
    ("stats.listen", Restart),
    ("stats.metrics_public", Reload),
    ("stats.public_url", Reload),
    ("stats.timezone", Reload),
    ("stats.token.hash", Reload),
    ("stats.token.hash_file", Reload),
    ("stats.token.name", Reload),
    ("stats.token.scope", Reload),
    ("tracking.action_body_bytes", Reload),
    ("tracking.attribution.aliases", Reload),
    ("tracking.attribution.lookback", Reload),
    ("tracking.attribution.referrer_exclusions", Reload),
    ("tracking.cookies", Reload),
    ("tracking.exclude.cookies", Reload),
    ("tracking.exclude.hosts", Reload),
    ("tracking.exclude.ips", Reload),
    ("tracking.exclude.link", Reload),
    ("tracking.exclude.paths", Reload),
    ("tracking.exclude.user_agents", Reload),
    ("tracking.exclude.visitors", Reload),
    ("tracking.identity.consent_cookie", Reload),
    ("tracking.identity.consent_pattern", Reload),
    ("tracking.identity.cookie", Reload),
    ("tracking.identity.domain", Reload),
    ("tracking.identity.honour_gpc", Reload),
    ("tracking.identity.max_age", Reload),
    ("tracking.identity.mode", Reload),
    ("tracking.identity.secret_file", Restart),
    ("tracking.identity.session_timeout", Reload),
    ("tracking.locale_prefixes", Reload),
    ("tracking.mode", Reload),
    ("tracking.parameters", Reload),
    ("tracking.presets", Reload),
    ("tracking.privacy.redact_parameters", Reload),
    ("tracking.privacy.retain.events", Reload),
    ("tracking.privacy.retain.sessions", Reload),
    ("tracking.privacy.retain.visitors", Reload),
    ("tracking.privacy.store_ip", Reload),
    ("tracking.restore_on_redirect", Reload),
    ("tracking.static_extensions", Reload),
    ("tracking.strip", Reload),
    ("tracking.upstream_headers", Reload),
    ("upstream.balance", Reload),
    ("upstream.eject_after", Reload),
    ("upstream.health.fall", Reload),
    ("upstream.health.host", Reload),
    ("upstream.health.interval", Reload),
    ("upstream.health.path", Reload),
    ("upstream.health.rise", Reload),
    ("upstream.health.timeout", Reload),
    ("upstream.host", Reload),
    ("upstream.keep_alive", Reload),
    ("upstream.name", Reload),
    ("upstream.queue", Reload),
    ("upstream.queue_timeout", Reload),
    ("upstream.retries", Reload),
    ("upstream.servers", Reload),
    ("upstream.sticky_cookie", Reload),
    ("upstream.tls.ca", Reload),
    ("upstream.tls.server_name", Reload),
    ("upstream.trust_events", Reload),
];

/// What a newly read configuration means for a program that runs by another.
#[derive(Debug)]
pub struct Change {
    /// What is in force from now on: the new one, with the old one's values where a restart is needed.
    pub config: Arc<Config>,
    /// Keys that change, in the order of the alphabet.
    pub changed: Vec<String>,
    /// Keys that differ and are kept as they were.
    pub needs_restart: Vec<String>,
}

impl Change {
    /// From the configuration in force to the one that was read.
    pub fn between(old: &Config, new: Config) -> Self {
        let differing = old.differing_keys(&new);
        let (needs_restart, changed) =
            differing.into_iter().partition(|key| KEYS.contains(&(key.as_str(), Restart)));
        Self { config: Arc::new(keeping(old, new)), changed, needs_restart }
    }
}

/// `new`, with what needs a restart as it is in `old`.
fn keeping(old: &Config, mut new: Config) -> Config {
    new.proxy.listen.clone_from(&old.proxy.listen);
    new.proxy.tls_listen.clone_from(&old.proxy.tls_listen);
    if new.proxy.tls.is_empty() {
        // Who is still listened to needs them.
        new.proxy.tls.clone_from(&old.proxy.tls);
    }
    new.proxy.workers = old.proxy.workers;
    new.proxy.access_log = old.proxy.access_log.clone();
    new.tracking.identity.secret_file.clone_from(&old.tracking.identity.secret_file);
    new.orders.phone_country.clone_from(&old.orders.phone_country);
    new.orders.customer_key_file.clone_from(&old.orders.customer_key_file);
    new.database = old.database.clone();
    new.journal = old.journal.clone();
    new.stats.listen = old.stats.listen;
    new.stats.database_url.clone_from(&old.stats.database_url);
    new.log.format = old.log.format;
    new
}

impl Config {
    /// Paths of the keys in which the two differ, in effect: an absent key and its default are the same.
    fn differing_keys(&self, other: &Self) -> BTreeSet<String> {
        let (own, others) = (self.settings(), other.settings());
        let of_one = |one: &BTreeSet<(usize, String, String)>, other: &BTreeSet<(usize, String, String)>| {
            one.difference(other).map(|(_, key, _)| key.clone()).collect::<Vec<_>>()
        };
        of_one(&own, &others).into_iter().chain(of_one(&others, &own)).collect()
    }
}
