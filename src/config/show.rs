//! Prints the resolved configuration as TOML, tables in the file's order, secrets starred.
//!
//! Rule: what is printed reads back as the same configuration, but for what was starred.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::error::starred_url;
use super::values::{show_duration, show_months, show_size};
use super::{
    ActionRule, Config, Consent, ConsentPattern, CookieDomain, Database, DatabasePlace, Fsync, HostHeader,
    IdentifyBy, Journal, Log, Orders, OwnParameter, ParameterMeaning, Proxy, Route, Stats, Tracking,
    Upstream, UpstreamServer, UtmField,
};
use crate::hit::CustomerKeyKind;

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.page().text.trim_start())
    }
}

/// Which table of its name a key stands in, the key's path and its value.
pub(super) type Setting = (usize, String, String);

impl Config {
    /// Everything that is in force, secrets as they are: to be compared, not to be shown.
    pub(super) fn settings(&self) -> BTreeSet<Setting> {
        self.page().settings
    }

    fn page(&self) -> Page {
        let mut page = Page::default();
        page.proxy(&self.proxy);
        self.upstreams.iter().for_each(|upstream| page.upstream(upstream));
        self.routes.iter().for_each(|route| page.route(route, &self.upstreams));
        page.tracking(&self.tracking);
        self.actions.iter().for_each(|rule| page.action(rule));
        page.table("[points]");
        self.points.iter().for_each(|(kind, points)| page.plain(kind, points));
        page.orders(&self.orders);
        if let Some(path) = &self.geo_database {
            page.table("[geo]");
            page.text("database", path.display());
        }
        page.database(&self.database);
        page.journal(&self.journal);
        page.stats(&self.stats);
        page.log(&self.log);
        page
    }
}

/// What is printed, and the same as settings.
#[derive(Default)]
struct Page {
    text: String,
    settings: BTreeSet<Setting>,
    /// Name of the table that is being written.
    table: String,
    /// Tables of each name so far.
    tables: BTreeMap<String, usize>,
}

impl Page {
    fn table(&mut self, title: &str) {
        self.text.push_str(&format!("\n{title}\n"));
        self.table = title.trim_matches(['[', ']']).to_owned();
        *self.tables.entry(self.table.clone()).or_default() += 1;
    }

    fn plain(&mut self, key: &str, value: impl fmt::Display) {
        let value = value.to_string();
        self.secret(key, &value, &value);
    }

    /// A key that is shown in another way than it is.
    fn secret(&mut self, key: &str, shown: &str, value: &str) {
        self.text.push_str(&format!("{key} = {shown}\n"));
        let number = self.tables.get(&self.table).copied().unwrap_or(0);
        self.settings.insert((number, format!("{}.{key}", self.table), value.to_owned()));
    }

    fn url(&mut self, key: &str, url: &str) {
        self.secret(key, &quoted(starred_url(url)), url);
    }

    fn text(&mut self, key: &str, value: impl fmt::Display) {
        self.plain(key, quoted(value));
    }

    fn list<T: fmt::Display>(&mut self, key: &str, values: &[T]) {
        let items: Vec<String> = values.iter().map(quoted).collect();
        self.plain(key, format_args!("[{}]", items.join(", ")));
    }

    fn optional(&mut self, key: &str, value: Option<&String>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    fn proxy(&mut self, proxy: &Proxy) {
        self.table("[proxy]");
        for (key, addresses) in [("listen", &proxy.listen), ("tls_listen", &proxy.tls_listen)] {
            if !addresses.is_empty() {
                self.list(key, addresses);
            }
        }
        self.plain("redirect_http", proxy.redirect_http);
        self.plain("proxy_protocol", proxy.proxy_protocol);
        self.plain("workers", proxy.workers);
        self.optional("health_path", proxy.health_path.as_ref());
        self.list("trusted_proxies", &proxy.trusted_proxies);
        self.text("forwarded", name(&proxy.forwarded, &super::ForwardedFields::NAMES));
        if let Some(header) = &proxy.request_id_header {
            self.text("request_id_header", header);
        }
        self.plain("max_connections", proxy.max_connections);
        self.text("drain_timeout", show_duration(proxy.drain_timeout));
        self.table("[proxy.limits]");
        self.text("header_bytes", show_size(proxy.limits.header_bytes as u64));
        self.plain("headers", proxy.limits.headers);
        self.text("uri_bytes", show_size(proxy.limits.uri_bytes as u64));
        if let Some(bytes) = proxy.limits.body_bytes {
            self.text("body_bytes", show_size(bytes));
        }
        if let Some(connections) = proxy.limits.connections_per_ip {
            self.plain("connections_per_ip", connections);
        }
        let times = &proxy.timeouts;
        self.table("[proxy.timeouts]");
        self.text("first_byte", show_duration(times.first_byte));
        self.text("header", show_duration(times.header));
        self.text("keep_alive", show_duration(times.keep_alive));
        self.text("body_idle", show_duration(times.body_idle));
        self.text("connect", show_duration(times.connect));
        self.text("response_header", show_duration(times.response_header));
        self.text("response_idle", show_duration(times.response_idle));
        self.text("tunnel_idle", show_duration(times.tunnel_idle));
        self.seen(proxy);
    }

    fn seen(&mut self, proxy: &Proxy) {
        let log = &proxy.access_log;
        self.table("[proxy.access_log]");
        self.text("format", name(&log.format, &super::AccessLogFormat::NAMES));
        match &log.path {
            Some(path) => self.text("path", path.display()),
            None => self.text("path", "stdout"),
        }
        self.text("address", name(&log.address, &super::StoreIp::NAMES));
        let maintenance = &proxy.maintenance;
        self.table("[proxy.maintenance]");
        self.plain("on", maintenance.on);
        if let Some(file) = &maintenance.flag_file {
            self.text("flag_file", file.display());
        }
        self.list("allow", &maintenance.allow);
        self.text("retry_after", show_duration(maintenance.retry_after));
        for page in &proxy.error_pages {
            self.table("[[proxy.error_page]]");
            self.text("status", page.status);
            self.text("file", page.file.display());
        }
        for tls in &proxy.tls {
            self.table("[[proxy.tls]]");
            self.text("certificate", tls.certificate.display());
            self.text("key", tls.key.display());
            self.list("names", &tls.names);
            self.text("min_version", name(&tls.min_version, &super::TlsVersion::NAMES));
        }
    }

    fn upstream(&mut self, upstream: &Upstream) {
        self.table("[[upstream]]");
        self.text("name", &upstream.name);
        let servers: Vec<String> = upstream.servers.iter().map(server).collect();
        self.plain("servers", format_args!("[{}]", servers.join(", ")));
        self.text("balance", name(&upstream.balance, &super::Balance::NAMES));
        self.optional("sticky_cookie", upstream.sticky_cookie.as_ref());
        self.text(
            "host",
            match &upstream.host {
                HostHeader::Preserve => "preserve",
                HostHeader::Upstream => "upstream",
                HostHeader::Literal(host) => host,
            },
        );
        self.plain("trust_events", upstream.trust_events);
        if let Some(ca) = &upstream.tls.ca {
            self.text("tls.ca", ca.display());
        }
        self.optional("tls.server_name", upstream.tls.server_name.as_ref());
        let health = &upstream.health;
        self.optional("health.path", health.path.as_ref());
        self.optional("health.host", health.host.as_ref());
        self.text("health.interval", show_duration(health.interval));
        self.text("health.timeout", show_duration(health.timeout));
        self.plain("health.fall", health.fall);
        self.plain("health.rise", health.rise);
        self.plain("eject_after", upstream.eject_after);
        self.text("keep_alive", show_duration(upstream.keep_alive));
        self.plain("retries", upstream.retries);
        self.plain("queue", upstream.queue);
        self.text("queue_timeout", show_duration(upstream.queue_timeout));
    }

    fn route(&mut self, route: &Route, upstreams: &[Upstream]) {
        self.table("[[route]]");
        self.optional("host", route.host.as_ref());
        self.text("path", &route.path);
        self.optional("upstream", upstreams.get(route.upstream).map(|upstream| &upstream.name));
        self.text("site", &route.site);
        self.plain("tracking", route.tracking);
        self.list("strip", &route.strip);
        self.text("timeouts.connect", show_duration(route.timeouts.connect));
        self.text("timeouts.response_header", show_duration(route.timeouts.response_header));
        self.text("timeouts.response_idle", show_duration(route.timeouts.response_idle));
    }

    fn tracking(&mut self, tracking: &Tracking) {
        self.table("[tracking]");
        self.text("mode", name(&tracking.mode, &super::TrackingMode::NAMES));
        self.list("strip", &tracking.strip);
        let parameters: Vec<String> = tracking.parameters.iter().map(show_parameter).collect();
        self.list("parameters", &parameters);
        self.plain("restore_on_redirect", tracking.restore_on_redirect);
        self.list("cookies", &tracking.cookies);
        self.plain("upstream_headers", tracking.upstream_headers);
        let exclude = &tracking.exclude;
        self.list("exclude.paths", &exclude.paths);
        self.list("exclude.ips", &exclude.ips);
        self.list("exclude.user_agents", &exclude.user_agents);
        self.list("exclude.visitors", &exclude.visitors);
        self.list("exclude.cookies", &exclude.cookies);
        self.list("exclude.hosts", &exclude.hosts);
        self.optional("exclude.link", exclude.link.as_ref());
        self.list("static_extensions", &tracking.static_extensions);
        self.list("locale_prefixes", &tracking.locale_prefixes);
        self.text("action_body_bytes", show_size(tracking.action_body_bytes as u64));
        let identity = &tracking.identity;
        self.table("[tracking.identity]");
        self.identify_by(&identity.mode);
        self.plain("honour_gpc", identity.honour_gpc);
        self.text("cookie", &identity.cookie);
        self.text(
            "domain",
            match &identity.domain {
                CookieDomain::Auto => "auto",
                CookieDomain::Host => "host",
                CookieDomain::Literal(domain) => domain,
            },
        );
        self.text("max_age", show_duration(identity.max_age));
        self.text("secret_file", identity.secret_file.display());
        self.text("session_timeout", show_duration(identity.session_timeout));
        self.table("[tracking.privacy]");
        self.text("store_ip", name(&tracking.privacy.store_ip, &super::StoreIp::NAMES));
        self.list("redact_parameters", &tracking.privacy.redact_parameters);
        let retain = &tracking.privacy.retain;
        self.table("[tracking.privacy.retain]");
        self.text("events", show_months(retain.events));
        self.text("sessions", show_months(retain.sessions));
        self.text("visitors", show_months(retain.visitors));
        self.table("[tracking.attribution]");
        self.text("lookback", show_duration(tracking.attribution.lookback));
        self.list("referrer_exclusions", &tracking.attribution.referrer_exclusions);
        let aliases = tracking.attribution.aliases.iter();
        self.list(
            "aliases",
            &aliases.map(|(alias, source)| format!("{alias} = {source}")).collect::<Vec<_>>(),
        );
    }

    fn action(&mut self, rule: &ActionRule) {
        self.table("[[action]]");
        self.text("type", &rule.kind);
        self.optional("site", rule.site.as_ref());
        if !rule.methods.is_empty() {
            self.list("method", &rule.methods);
        }
        self.list("path", &rule.paths);
        self.list("status", &rule.status);
        if let Some(location) = &rule.location {
            self.text("location", location);
        }
        self.some("when", &rule.when);
        self.plain("webhook", rule.webhook);
        let values = [
            ("product_id", &rule.product_id),
            ("product_name", &rule.product_name),
            ("value", &rule.value),
            ("currency", &rule.currency),
            ("order_id", &rule.order_id),
            ("order_number", &rule.order_number),
            ("reference", &rule.reference),
        ];
        for (key, sources) in values {
            self.some(key, sources);
        }
        let customer = rule.customer.iter().map(|(kind, source)| match kind {
            Some(CustomerKeyKind::Phone) => format!("phone = {source}"),
            Some(CustomerKeyKind::Email) => format!("email = {source}"),
            Some(CustomerKeyKind::UserId) => format!("user_id = {source}"),
            None => source.to_string(),
        });
        self.some("customer", &customer.collect::<Vec<_>>());
        let properties = rule.properties.iter().map(|(name, source)| format!("{name} = {source}"));
        self.some("properties", &properties.collect::<Vec<_>>());
    }

    /// A list that may not be empty.
    fn some<T: fmt::Display>(&mut self, key: &str, values: &[T]) {
        if !values.is_empty() {
            self.list(key, values);
        }
    }

    fn identify_by(&mut self, mode: &IdentifyBy) {
        match mode {
            IdentifyBy::Cookie => self.text("mode", "cookie"),
            IdentifyBy::Cookieless => self.text("mode", "cookieless"),
            IdentifyBy::Consent(Consent { cookie, pattern }) => {
                self.text("mode", "consent");
                self.text("consent_cookie", cookie);
                let known = ConsentPattern::NAMES.iter().find(|(_, _, known)| known == pattern);
                match (pattern, known) {
                    (ConsentPattern::Own { granted, denied: Some(denied) }, _) => {
                        self.text("consent_pattern", format!("{granted}|{denied}"));
                    }
                    (ConsentPattern::Own { granted, denied: None }, _) => {
                        self.text("consent_pattern", granted)
                    }
                    (_, Some((name, _, _))) => self.text("consent_pattern", name),
                    (_, None) => {}
                }
            }
        }
    }

    fn orders(&mut self, orders: &Orders) {
        self.table("[orders]");
        self.text("revenue", name(&orders.revenue, &super::Revenue::NAMES));
        self.optional("phone_country", orders.phone_country.as_ref());
        self.text("customer_key_file", orders.customer_key_file.display());
    }

    fn database(&mut self, database: &Database) {
        self.table("[database]");
        match &database.place {
            DatabasePlace::Url(url) => self.url("url", url),
            DatabasePlace::Managed(dir) => {
                self.plain("managed", true);
                self.text("data_dir", dir.display());
            }
        }
        self.plain("pool", database.pool);
        self.plain("auto_migrate", database.auto_migrate);
        self.text("statement_timeout", show_duration(database.statement_timeout));
        self.plain("new_values_per_day", database.new_values_per_day);
    }

    fn journal(&mut self, journal: &Journal) {
        self.table("[journal]");
        self.text("dir", journal.dir.display());
        let fsync = match journal.fsync {
            Fsync::Always => "always".to_owned(),
            Fsync::Never => "never".to_owned(),
            Fsync::Every(time) => show_duration(time),
        };
        self.text("fsync", fsync);
        self.text("wait", show_duration(journal.wait));
        self.text("segment_bytes", show_size(journal.segment_bytes));
        self.text("max_bytes", show_size(journal.max_bytes));
        self.text("keep", show_duration(journal.keep));
    }

    fn stats(&mut self, stats: &Stats) {
        self.table("[stats]");
        self.text("listen", stats.listen);
        self.list("allowed_hosts", &stats.allowed_hosts);
        self.plain("metrics_public", stats.metrics_public);
        self.text("timezone", stats.timezone.iana_name().unwrap_or("UTC"));
        self.optional("currency", stats.currency.as_ref());
        if let Some(url) = &stats.database_url {
            self.url("database_url", &url.0);
        }
        self.optional("public_url", stats.public_url.as_ref());
        for token in &stats.tokens {
            self.table("[[stats.token]]");
            self.text("name", &token.name);
            self.text("scope", name(&token.scope, &super::Scope::NAMES));
            let hash = format!("{:02x?}", token.sha256);
            self.secret("hash", &quoted("*".repeat(2 * token.sha256.len())), &hash);
        }
    }

    fn log(&mut self, log: &Log) {
        self.table("[log]");
        self.text("format", name(&log.format, &super::LogFormat::NAMES));
        self.text("level", &log.level);
    }
}

fn show_parameter(parameter: &OwnParameter) -> String {
    let meaning = match parameter.meaning {
        ParameterMeaning::Beside => return parameter.name.clone(),
        ParameterMeaning::ClickId => "click_id",
        ParameterMeaning::Instead(field) => name(&field, &UtmField::NAMES),
    };
    format!("{} = {meaning}", parameter.name)
}

/// A URL, with a table around it where there is more to say.
fn server(server: &UpstreamServer) -> String {
    let mut more = String::new();
    if server.weight != 1 {
        more.push_str(&format!(", weight = {}", server.weight));
    }
    if server.backup {
        more.push_str(", backup = true");
    }
    if let Some(limit) = server.max_connections {
        more.push_str(&format!(", max_connections = {limit}"));
    }
    let url = quoted(server.url());
    if more.is_empty() { url } else { format!("{{ url = {url}{more} }}") }
}

/// A TOML string that is taken as it stands.
fn quoted(value: impl fmt::Display) -> String {
    toml::Value::String(value.to_string().replace("${", "$${")).to_string()
}

fn name<T: PartialEq>(value: &T, names: &[(&'static str, T)]) -> &'static str {
    names.iter().find(|(_, named)| named == value).map_or("", |(name, _)| name)
}
