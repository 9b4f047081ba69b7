//! The resolved configuration: what the program runs by, nothing in it is left open.
//!
//! `file` has the TOML's shape and turns it into this; `error.rs` says where a file is wrong, `show.rs` prints what
//! holds, `authorities` reads the PEM files that it names, `reload.rs` says what of it can change while the program runs.

pub mod authorities;
mod error;
mod file;
mod live;
mod reader;
mod reload;
mod show;
mod values;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use jiff::tz::TimeZone;

pub use error::ConfigErrors;
pub use live::Live;
pub use reload::Change;

use crate::action::{Condition, Points, Source, Template};
use crate::exclusion::{Kind, Rule};
use crate::hit::CustomerKeyKind;

/// Reads the file at `path`, with the process's environment. Relative paths in it start from its folder.
///
/// # Errors
/// Everything that is wrong with the file, or why it cannot be read.
pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| {
        ConfigErrors::unreadable(&name, format!("cannot read the configuration: {error}"))
    })?;
    let text = String::from_utf8(bytes)
        .map_err(|_| ConfigErrors::unreadable(&name, "the configuration is not UTF-8".to_owned()))?;
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    parse_in(path.parent(), &text, &name, &|variable| std::env::var(variable).ok())
}

/// Reads `text`, which errors call `name`; relative paths in it start from the folder of `name`.
///
/// # Errors
/// Everything that is wrong with the text.
pub fn parse(text: &str, name: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigErrors> {
    parse_in(Path::new(name).parent(), text, name, env)
}

fn parse_in(
    folder: Option<&Path>,
    text: &str,
    name: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, ConfigErrors> {
    let outcome = file::read(text, folder.unwrap_or(Path::new("")), env);
    outcome.config.ok_or_else(|| ConfigErrors::new(name, text, outcome.problems))
}

/// The cookie by which people are signed in at the stats port; no server of a shop gets it.
pub const STATS_COOKIE: &str = "_utmd_stats";

/// Everything that a run is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[proxy]`
    pub proxy: Proxy,
    /// `[[upstream]]`, at least one; the first serves what no route matches.
    pub upstreams: Vec<Upstream>,
    /// `[[route]]`, most specific first.
    pub routes: Vec<Route>,
    /// `[tracking]`
    pub tracking: Tracking,
    /// `[[action]]`, then those of presets; of the same type the first that matches counts.
    pub actions: Vec<ActionRule>,
    /// `[points]`: what actions are worth.
    pub points: Points,
    /// `[orders]`
    pub orders: Orders,
    /// `[geo] database`: path of an mmdb file.
    pub geo_database: Option<PathBuf>,
    /// `[database]`
    pub database: Database,
    /// `[journal]`
    pub journal: Journal,
    /// `[stats]`
    pub stats: Stats,
    /// `[log]`
    pub log: Log,
}

/// `[proxy]`: the public side.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// Addresses to listen on for plain HTTP; port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// Addresses to listen on for TLS.
    pub tls_listen: Vec<SocketAddr>,
    /// `[[proxy.tls]]`; the first is for names that none is for.
    pub tls: Vec<Tls>,
    /// Whether what comes to `listen` is sent to `tls_listen`.
    pub redirect_http: bool,
    /// Whether each connection begins with a PROXY header, which only `trusted_proxies` may send.
    pub proxy_protocol: bool,
    /// Worker threads, at least 1.
    pub workers: usize,
    /// A path that the proxy answers itself with 200 "ok".
    pub health_path: Option<String>,
    /// Peers whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// What says who asks: believed from those peers, and told to the shop.
    pub forwarded: ForwardedFields,
    /// The field in which a request's id travels; none = requests have none.
    pub request_id_header: Option<http::HeaderName>,
    /// `[proxy.access_log]`
    pub access_log: AccessLog,
    /// `[[proxy.error_page]]`
    pub error_pages: Vec<ErrorPage>,
    /// `[proxy.maintenance]`
    pub maintenance: Maintenance,
    /// Open connections, all workers together.
    pub max_connections: usize,
    /// How long open requests may take to end at shutdown.
    pub drain_timeout: Duration,
    /// Size limits of what clients send.
    pub limits: Limits,
    /// Time limits.
    pub timeouts: Timeouts,
}

/// `proxy.forwarded`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardedFields {
    /// `X-Forwarded-*` and `X-Real-IP`.
    XForwarded,
    /// `Forwarded` of RFC 7239.
    Rfc7239,
    /// Both; `X-Forwarded-For` is believed.
    Both,
}

impl ForwardedFields {
    /// As the file spells them.
    pub const NAMES: [(&str, Self); 3] =
        [("x-forwarded", Self::XForwarded), ("rfc7239", Self::Rfc7239), ("both", Self::Both)];
}

/// `[proxy.access_log]`
#[derive(Debug, Clone)]
pub struct AccessLog {
    /// Shape of a line.
    pub format: AccessLogFormat,
    /// The file; none = standard output.
    pub path: Option<PathBuf>,
    /// How client addresses are written.
    pub address: StoreIp,
}

/// `proxy.access_log.format`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// No log.
    Off,
    /// One JSON object a line.
    Json,
    /// Apache's combined form.
    Combined,
}

impl AccessLogFormat {
    /// As the file spells them.
    pub const NAMES: [(&str, Self); 3] =
        [("off", Self::Off), ("json", Self::Json), ("combined", Self::Combined)];
}

/// `[[proxy.error_page]]`: what answers of the proxy's own look like.
#[derive(Debug, Clone)]
pub struct ErrorPage {
    /// Which answers.
    pub status: StatusPattern,
    /// Where the text was read from.
    pub file: PathBuf,
    /// The text, with placeholders.
    pub text: String,
}

/// A status or a class of them: `502`, `5xx`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusPattern {
    /// This one.
    Exact(u16),
    /// All that begin with this digit.
    Class(u16),
}

impl StatusPattern {
    /// Whether it means this status.
    pub fn matches(self, status: u16) -> bool {
        match self {
            Self::Exact(exact) => status == exact,
            Self::Class(class) => status / 100 == class,
        }
    }
}

impl std::fmt::Display for StatusPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(status) => write!(f, "{status}"),
            Self::Class(class) => write!(f, "{class}xx"),
        }
    }
}

/// `[proxy.maintenance]`: everybody is answered 503 instead of the shop.
#[derive(Debug, Clone)]
pub struct Maintenance {
    /// Now.
    pub on: bool,
    /// While this file is there.
    pub flag_file: Option<PathBuf>,
    /// Client addresses that find the shop open.
    pub allow: Vec<IpNet>,
    /// What `Retry-After` says.
    pub retry_after: Duration,
}

/// `[[proxy.tls]]`: a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// PEM file of the certificate and those that vouch for it.
    pub certificate: PathBuf,
    /// PEM file of its key.
    pub key: PathBuf,
    /// Host names that it is used for, lower case, `*.suffix` among them; none = those in the certificate.
    pub names: Vec<String>,
    /// Least version of TLS.
    pub min_version: TlsVersion,
}

/// `proxy.tls.min_version`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246
    V1_2,
    /// RFC 8446
    V1_3,
}

impl TlsVersion {
    /// As the file spells them.
    pub const NAMES: [(&str, Self); 2] = [("1.2", Self::V1_2), ("1.3", Self::V1_3)];
}

/// `[proxy.limits]`, in bytes unless said.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// All header fields of a request together.
    pub header_bytes: usize,
    /// Number of header fields.
    pub headers: usize,
    /// The request target.
    pub uri_bytes: usize,
    /// The request body; none = no limit.
    pub body_bytes: Option<u64>,
    /// Open connections of one client, all workers together; none = no limit but that of all.
    pub connections_per_ip: Option<usize>,
}

/// `[proxy.timeouts]`
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// From accept to the first byte of a request.
    pub first_byte: Duration,
    /// From the first byte to the end of the head.
    pub header: Duration,
    /// Idle time between two requests.
    pub keep_alive: Duration,
    /// Idle time within a request body.
    pub body_idle: Duration,
    /// Connecting to an upstream.
    pub connect: Duration,
    /// From the request's end to the response's head.
    pub response_header: Duration,
    /// Idle time within a response body.
    pub response_idle: Duration,
    /// Idle time of a connection that was upgraded.
    pub tunnel_idle: Duration,
}

/// What of [`Timeouts`] a route may have otherwise: the shop's side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UpstreamTimeouts {
    /// Getting a connection to a server, its name and TLS included.
    pub connect: Duration,
    /// From the request's end to the response's head.
    pub response_header: Duration,
    /// Idle time within a response body.
    pub response_idle: Duration,
}

impl From<Timeouts> for UpstreamTimeouts {
    fn from(timeouts: Timeouts) -> Self {
        let Timeouts { connect, response_header, response_idle, .. } = timeouts;
        Self { connect, response_header, response_idle }
    }
}

/// `[[upstream]]`: a shop's servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Its name in routes, logs and metrics.
    pub name: String,
    /// Its servers, each at another address; one at least is no backup.
    pub servers: Vec<UpstreamServer>,
    /// How a server is chosen.
    pub balance: Balance,
    /// Name of the cookie that keeps a visitor with one server.
    pub sticky_cookie: Option<String>,
    /// Which `Host` the servers see.
    pub host: HostHeader,
    /// Whether its `X-Utm-Event` is recorded.
    pub trust_events: bool,
    /// How `https://` servers are known.
    pub tls: UpstreamTls,
    /// Requests of our own that ask how servers are.
    pub health: HealthCheck,
    /// Failures in a row after which a server gets no requests for a while; 0 = never.
    pub eject_after: u32,
    /// How long an idle connection to it is kept.
    pub keep_alive: Duration,
    /// How often a request that may be repeated is tried again.
    pub retries: u32,
    /// Requests that may wait for a server with room, all workers together.
    pub queue: usize,
    /// How long they wait.
    pub queue_timeout: Duration,
}

/// One of `servers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamServer {
    /// Whether it is spoken to by TLS.
    pub https: bool,
    /// `host:port`
    pub authority: String,
    /// Its share of requests, relative to the others'.
    pub weight: u32,
    /// Whether it is used only while no other can be.
    pub backup: bool,
    /// Requests at a time, all workers together; none = no limit.
    pub max_connections: Option<usize>,
}

impl UpstreamServer {
    /// Scheme, host and port: what it is known by in logs and metrics, and over a reload.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.https { "https" } else { "http" }, self.authority)
    }

    /// The host without the port; IPv6 without brackets.
    pub fn host(&self) -> &str {
        let host = self.authority.rsplit_once(':').map_or(self.authority.as_str(), |(host, _)| host);
        host.trim_matches(['[', ']'])
    }
}

/// `balance`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// Of two servers picked by weight, the one with less to do, measured by open requests and time to answer.
    P2c,
    /// In turn, by weight.
    RoundRobin,
    /// The one with the fewest open requests, by weight.
    LeastConnections,
}

impl Balance {
    /// As the file spells them.
    pub const NAMES: [(&str, Self); 3] = [
        ("p2c", Self::P2c),
        ("round_robin", Self::RoundRobin),
        ("least_connections", Self::LeastConnections),
    ];
}

/// `upstream.tls`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// A PEM file with the authorities that may have signed the servers' certificates; none = the system's.
    pub ca: Option<PathBuf>,
    /// The name in the certificates, which is also sent as SNI; none = the host of the server's URL.
    pub server_name: Option<String>,
}

/// `upstream.health`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// Target of a GET that a healthy server answers with 2xx or 3xx; none = no checks.
    pub path: Option<String>,
    /// Its `Host`; none = the server's own.
    pub host: Option<String>,
    /// Time between two checks of a server.
    pub interval: Duration,
    /// Longest time of one.
    pub timeout: Duration,
    /// Failed checks in a row that take a server out.
    pub fall: u32,
    /// Checks passed in a row that bring it back.
    pub rise: u32,
}

/// Which `Host` an upstream sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostHeader {
    /// The client's.
    Preserve,
    /// The server's own `host:port`.
    Upstream,
    /// This text.
    Literal(String),
}

/// `[[route]]`: which requests go where, and how they are tracked.
#[derive(Debug, Clone)]
pub struct Route {
    /// Exact host, `*.suffix`, or none for all; lower case.
    pub host: Option<String>,
    /// Path prefix, `/` for all.
    pub path: String,
    /// Index into [`Config::upstreams`].
    pub upstream: usize,
    /// The shop's name in the statistics.
    pub site: String,
    /// Whether requests are recorded, stripped and given cookies.
    pub tracking: bool,
    /// Names of query parameters that are taken off; a trailing `*` makes a prefix.
    pub strip: Vec<String>,
    /// How long its upstream may take.
    pub timeouts: UpstreamTimeouts,
}

/// `[tracking]`
#[derive(Debug, Clone)]
pub struct Tracking {
    /// What is done to requests at all.
    pub mode: TrackingMode,
    /// Parameters taken off where a route does not say.
    pub strip: Vec<String>,
    /// Parameters that are recorded besides the delivered ones.
    pub parameters: Vec<OwnParameter>,
    /// Whether a redirect of the shop gets back the parameters that were taken off.
    pub restore_on_redirect: bool,
    /// Marketing cookies to record; a trailing `*` makes a prefix.
    pub cookies: Vec<String>,
    /// Whether the shop is told visitor, session and campaign by `X-Utm-*`.
    pub upstream_headers: bool,
    /// `[tracking.exclude]`
    pub exclude: Exclude,
    /// File extensions (no dot) that are assets, not hits.
    pub static_extensions: Vec<String>,
    /// First path segments that name a language (`en`, `uk`).
    pub locale_prefixes: Vec<String>,
    /// As much of a body, decoded, as an action rule reads.
    pub action_body_bytes: usize,
    /// `[tracking.identity]`
    pub identity: IdentityConfig,
    /// `[tracking.privacy]`
    pub privacy: Privacy,
    /// `[tracking.attribution]`
    pub attribution: Attribution,
}

/// `[[action]]`: what a request and its answer mean. Of several places of a value the first that has one counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionRule {
    /// Type of the action.
    pub kind: String,
    /// The only site that it is for; none = all.
    pub site: Option<String>,
    /// Methods; none = all but HEAD and OPTIONS.
    pub methods: Vec<http::Method>,
    /// Paths, locale prefixes aside.
    pub paths: Vec<Template>,
    /// Statuses of the response.
    pub status: Vec<StatusPattern>,
    /// The path that the response redirects to.
    pub location: Option<Template>,
    /// What else must hold.
    pub when: Vec<Condition>,
    /// Whether a server sends it, whose own visit does not count.
    pub webhook: bool,
    /// The product's id.
    pub product_id: Vec<Source>,
    /// The product's name.
    pub product_name: Vec<Source>,
    /// Value of the cart or the order.
    pub value: Vec<Source>,
    /// Its currency.
    pub currency: Vec<Source>,
    /// The order's id; a rule that names one and finds none does not fire.
    pub order_id: Vec<Source>,
    /// The order's number.
    pub order_number: Vec<Source>,
    /// Of a purchase and its payments: by what the payment provider knows the order.
    pub reference: Vec<Source>,
    /// What identifies the customer, kept as keyed hashes; without a kind, the value tells.
    pub customer: Vec<(Option<CustomerKeyKind>, Source)>,
    /// Everything else.
    pub properties: Vec<(String, Source)>,
}

impl ActionRule {
    /// All places that it looks at.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        let values = [
            &self.product_id,
            &self.product_name,
            &self.value,
            &self.currency,
            &self.order_id,
            &self.order_number,
            &self.reference,
        ];
        let conditions = self.when.iter().map(|condition| &condition.source);
        let customer = self.customer.iter().map(|(_, source)| source);
        let properties = self.properties.iter().map(|(_, source)| source);
        values.into_iter().flatten().chain(conditions).chain(customer).chain(properties)
    }
}

/// `[tracking.exclude]`: who and what is not recorded. Values of rules ([`Rule`]).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exclude {
    /// Paths by segments; locale prefixes are looked through.
    pub paths: Vec<String>,
    /// Addresses and networks.
    pub ips: Vec<String>,
    /// Parts of user agents.
    pub user_agents: Vec<String>,
    /// Ids of visitors.
    pub visitors: Vec<String>,
    /// Cookies, `name` or `name=value`.
    pub cookies: Vec<String>,
    /// Hosts, or `*.` and what they are below.
    pub hosts: Vec<String>,
    /// Path at which the proxy itself gives a browser a cookie by which it is excluded.
    pub link: Option<String>,
}

impl Exclude {
    /// The cookie that [`Exclude::link`] gives.
    pub const COOKIE: &str = "_utmd_off";

    /// The rules, ready for the request path.
    pub fn rules(&self) -> Vec<Arc<Rule>> {
        let cookie_of_link = self.link.is_some().then(|| Self::COOKIE.to_owned());
        let of = |kind, values: &[String]| -> Vec<Arc<Rule>> {
            values.iter().filter_map(|value| Rule::new(kind, value).ok()).map(Arc::new).collect()
        };
        [
            of(Kind::Path, &self.paths),
            of(Kind::Ip, &self.ips),
            of(Kind::UserAgent, &self.user_agents),
            of(Kind::Visitor, &self.visitors),
            of(Kind::Cookie, &self.cookies),
            of(Kind::Cookie, cookie_of_link.as_slice()),
            of(Kind::Host, &self.hosts),
        ]
        .concat()
    }
}

/// `tracking.mode`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrackingMode {
    /// Strip, set the cookie, record.
    Record,
    /// Record, and leave the traffic as it is: whoever comes is known for a day only.
    Observe,
    /// Forward only.
    Off,
}

impl TrackingMode {
    /// As the file spells them.
    pub const NAMES: [(&str, Self); 3] =
        [("record", Self::Record), ("observe", Self::Observe), ("off", Self::Off)];
}

/// An item of `tracking.parameters`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnParameter {
    /// Its name, in lower case.
    pub name: String,
    /// What it is.
    pub meaning: ParameterMeaning,
}

/// What a parameter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterMeaning {
    /// Kept beside the utm parameters.
    Beside,
    /// Another name of a utm parameter, for links that have no such.
    Instead(UtmField),
    /// A click id: personal, and a part of the evidence.
    ClickId,
}

/// The utm parameters by which touches are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as the parameters")]
pub enum UtmField {
    Source,
    Medium,
    Campaign,
    Content,
    Term,
    Id,
}

impl UtmField {
    /// As links spell them.
    pub const NAMES: [(&str, Self); 6] = [
        ("utm_source", Self::Source),
        ("utm_medium", Self::Medium),
        ("utm_campaign", Self::Campaign),
        ("utm_content", Self::Content),
        ("utm_term", Self::Term),
        ("utm_id", Self::Id),
    ];
}

/// `[tracking.identity]`
#[derive(Debug, Clone)]
pub struct IdentityConfig {
    /// How visitors are known.
    pub mode: IdentifyBy,
    /// Whether `Sec-GPC: 1` means that a visitor denies being known.
    pub honour_gpc: bool,
    /// Name of the cookie.
    pub cookie: String,
    /// Its `Domain` attribute.
    pub domain: CookieDomain,
    /// Its lifetime.
    pub max_age: Duration,
    /// The key file.
    pub secret_file: PathBuf,
    /// Idle time that ends a session.
    pub session_timeout: Duration,
}

/// `tracking.identity.mode`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentifyBy {
    /// By the cookie.
    Cookie,
    /// By a hash that is valid for one day; nothing is stored in the browser.
    Cookieless,
    /// By the cookie where the visitor has agreed, for one day where nothing is known of that, not at all where the
    /// visitor denies it.
    Consent(Consent),
}

/// Where the shop's consent banner keeps the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// Name of its cookie.
    pub cookie: String,
    /// How its value is read.
    pub pattern: ConsentPattern,
}

/// `tracking.identity.consent_pattern`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsentPattern {
    /// Cookiebot: the category "marketing".
    Cookiebot,
    /// OneTrust: the group C0004, targeting.
    OneTrust,
    /// IAB TCF: purposes 1 (storing) and 7 (measuring advertisements).
    Tcf,
    /// Texts of the value, decoded once.
    Own {
        /// Its presence is consent.
        granted: String,
        /// Its presence is a refusal; none = whatever is not consent.
        denied: Option<String>,
    },
}

impl ConsentPattern {
    /// Banners that are known by name, and the cookie that they set.
    pub const NAMES: [(&str, &str, Self); 3] = [
        ("cookiebot", "CookieConsent", Self::Cookiebot),
        ("onetrust", "OptanonConsent", Self::OneTrust),
        ("tcf", "euconsent-v2", Self::Tcf),
    ];
}

/// `tracking.identity.domain`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CookieDomain {
    /// The registrable domain of the request's host, by the public suffix list.
    Auto,
    /// None: the cookie belongs to the host alone.
    Host,
    /// This domain.
    Literal(String),
}

/// `[tracking.privacy]`
#[derive(Debug, Clone)]
pub struct Privacy {
    /// How client addresses are stored.
    pub store_ip: StoreIp,
    /// Parameters and properties of actions whose values are never stored; a trailing `*` makes a prefix.
    pub redact_parameters: Vec<String>,
    /// How long what is stored is kept.
    pub retain: Retain,
}

/// `tracking.privacy.retain`: whole months, none = for ever. None is shorter than the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retain {
    /// Events, touches, product views and marketing cookies.
    pub events: Option<u32>,
    /// Sessions.
    pub sessions: Option<u32>,
    /// Visitors, since they were last seen.
    pub visitors: Option<u32>,
}

impl Default for Retain {
    fn default() -> Self {
        Self { events: Some(13), sessions: Some(25), visitors: Some(25) }
    }
}

/// `tracking.privacy.store_ip`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreIp {
    /// /24 of IPv4, /48 of IPv6.
    Truncated,
    /// Whole.
    Full,
    /// Not at all.
    None,
}

impl StoreIp {
    /// As the file spells them.
    pub const NAMES: [(&str, Self); 3] =
        [("truncated", Self::Truncated), ("full", Self::Full), ("none", Self::None)];
}

/// `[tracking.attribution]`
#[derive(Debug, Clone)]
pub struct Attribution {
    /// How long before an order a touch still counts.
    pub lookback: Duration,
    /// Hosts (payment, sign-in) whose referrals are no evidence; subdomains included.
    pub referrer_exclusions: Vec<String>,
    /// Sources under other names: as tagged, as reported; lower case.
    pub aliases: Vec<(String, String)>,
}

/// `[orders]`
#[derive(Debug, Clone)]
pub struct Orders {
    /// What `revenue` means in reports.
    pub revenue: Revenue,
    /// ISO 3166-1 alpha-2 code that completes national phone numbers.
    pub phone_country: Option<String>,
    /// Key file of the customer hashes.
    pub customer_key_file: PathBuf,
}

/// `orders.revenue`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revenue {
    /// placed − cancelled − refunded
    Placed,
    /// paid − refunded
    Paid,
}

impl Revenue {
    /// As the file spells them.
    pub const NAMES: [(&str, Self); 2] = [("placed", Self::Placed), ("paid", Self::Paid)];
}

/// `[database]`
#[derive(Debug, Clone)]
pub struct Database {
    /// Where it is.
    pub place: DatabasePlace,
    /// Connections of the stats port.
    pub pool: usize,
    /// Whether `run` migrates.
    pub auto_migrate: bool,
    /// Longest time of one report's statement.
    pub statement_timeout: Duration,
    /// New dictionary rows a day, kind and site.
    pub new_values_per_day: u32,
}

/// A `postgres://` URL; shown without its password.
#[derive(Clone)]
pub struct DatabaseUrl(pub String);

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("DatabaseUrl").field(&error::starred_url(&self.0)).finish()
    }
}

/// Where the database is.
#[derive(Clone)]
pub enum DatabasePlace {
    /// A `postgres://` URL.
    Url(String),
    /// A private server that the program runs under this directory.
    Managed(PathBuf),
}

impl std::fmt::Debug for DatabasePlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Url(url) => f.debug_tuple("Url").field(&error::starred_url(url)).finish(),
            Self::Managed(dir) => f.debug_tuple("Managed").field(dir).finish(),
        }
    }
}

/// `[journal]`
#[derive(Debug, Clone)]
pub struct Journal {
    /// Its directory.
    pub dir: PathBuf,
    /// When written records are forced to the disk.
    pub fsync: Fsync,
    /// How long a response waits for its record to be written.
    pub wait: Duration,
    /// Size at which a new segment begins.
    pub segment_bytes: u64,
    /// Size of all segments at which records are dropped.
    pub max_bytes: u64,
    /// How long shipped segments are kept.
    pub keep: Duration,
}

/// `journal.fsync`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// Before the response goes out.
    Always,
    /// At least this often.
    Every(Duration),
    /// Left to the kernel.
    Never,
}

/// `[stats]`
#[derive(Debug, Clone)]
pub struct Stats {
    /// Address of the stats port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Further names the port answers to, lower case, without port.
    pub allowed_hosts: Vec<String>,
    /// Whether `/metrics` needs no token.
    pub metrics_public: bool,
    /// Zone of days.
    pub timezone: TimeZone,
    /// Currency of reports; none = the one most orders have.
    pub currency: Option<String>,
    /// A replica that reports are read from; none = the database that is written.
    pub database_url: Option<DatabaseUrl>,
    /// The address people use, when there is a proxy in front.
    pub public_url: Option<String>,
    /// Tokens that work without the database.
    pub tokens: Vec<StatsToken>,
}

/// `[[stats.token]]`
#[derive(Clone)]
pub struct StatsToken {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub scope: Scope,
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
}

impl std::fmt::Debug for StatsToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatsToken")
            .field("name", &self.name)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Reports.
    Read,
    /// Telling about orders.
    Ingest,
    /// Everything.
    Admin,
}

impl Scope {
    /// As the file spells them.
    pub const NAMES: [(&str, Self); 3] =
        [("read", Self::Read), ("ingest", Self::Ingest), ("admin", Self::Admin)];
}

/// `[log]`
#[derive(Debug, Clone)]
pub struct Log {
    /// Shape of a line.
    pub format: LogFormat,
    /// Least level, as `tracing` filters have it (`info`, `utm_dispatcher=debug`).
    pub level: String,
}

/// `log.format`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// As the file spells them.
    pub const NAMES: [(&str, Self); 2] = [("text", Self::Text), ("json", Self::Json)];
}

#[cfg(test)]
mod tests;
