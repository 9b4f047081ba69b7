//! A configuration with the documented defaults, for loopback and port 0.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use utm_dispatcher::config::*;

/// Two workers on a free port before these servers.
pub(crate) fn config(servers: &[SocketAddr]) -> Config {
    Config {
        proxy: proxy(),
        upstreams: vec![upstream("shop", servers)],
        routes: Vec::new(),
        tracking: tracking(),
        actions: Vec::new(),
        points: utm_dispatcher::action::Points::default(),
        orders: Orders {
            revenue: Revenue::Placed,
            phone_country: None,
            customer_key_file: PathBuf::from("customer.key"),
        },
        geo_database: None,
        database: Database {
            place: DatabasePlace::Url("postgres://127.0.0.1:1/none".to_owned()),
            pool: 2,
            auto_migrate: true,
            statement_timeout: Duration::from_secs(10),
            new_values_per_day: 100_000,
        },
        journal: Journal {
            dir: PathBuf::from("journal"),
            fsync: Fsync::Never,
            wait: Duration::from_millis(20),
            segment_bytes: 64 << 20,
            max_bytes: 1 << 30,
            keep: Duration::from_secs(86_400),
        },
        stats: Stats {
            listen: loopback(),
            allowed_hosts: Vec::new(),
            metrics_public: true,
            timezone: jiff::tz::TimeZone::UTC,
            currency: None,
            database_url: None,
            public_url: None,
            tokens: Vec::new(),
        },
        log: Log { format: LogFormat::Text, level: "warn".to_owned() },
    }
}

/// An upstream with these servers.
pub(crate) fn upstream(name: &str, servers: &[SocketAddr]) -> Upstream {
    Upstream {
        name: name.to_owned(),
        servers: servers.iter().map(|address| server(&address.to_string())).collect(),
        balance: Balance::P2c,
        sticky_cookie: None,
        host: HostHeader::Preserve,
        trust_events: false,
        tls: UpstreamTls::default(),
        health: HealthCheck {
            path: None,
            host: None,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            fall: 3,
            rise: 2,
        },
        eject_after: 3,
        keep_alive: Duration::from_secs(4),
        retries: 1,
        queue: 1000,
        queue_timeout: Duration::from_secs(5),
    }
}

/// A server at `host:port`.
pub(crate) fn server(authority: &str) -> UpstreamServer {
    UpstreamServer {
        https: false,
        authority: authority.to_owned(),
        weight: 1,
        backup: false,
        max_connections: None,
    }
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn proxy() -> Proxy {
    Proxy {
        listen: vec![loopback()],
        tls_listen: Vec::new(),
        tls: Vec::new(),
        redirect_http: false,
        proxy_protocol: false,
        workers: 2,
        health_path: None,
        trusted_proxies: Vec::new(),
        forwarded: ForwardedFields::XForwarded,
        request_id_header: None,
        access_log: AccessLog { format: AccessLogFormat::Off, path: None, address: StoreIp::Truncated },
        error_pages: Vec::new(),
        maintenance: Maintenance {
            on: false,
            flag_file: None,
            allow: Vec::new(),
            retry_after: Duration::from_secs(300),
        },
        max_connections: 10_000,
        drain_timeout: Duration::from_secs(30),
        limits: Limits {
            header_bytes: 64 << 10,
            headers: 200,
            uri_bytes: 32 << 10,
            body_bytes: None,
            connections_per_ip: None,
        },
        timeouts: Timeouts {
            first_byte: Duration::from_secs(10),
            header: Duration::from_secs(15),
            keep_alive: Duration::from_secs(75),
            body_idle: Duration::from_secs(60),
            connect: Duration::from_secs(3),
            response_header: Duration::from_secs(60),
            response_idle: Duration::from_secs(60),
            tunnel_idle: Duration::from_secs(3600),
        },
    }
}

fn tracking() -> Tracking {
    Tracking {
        mode: TrackingMode::Record,
        strip: vec!["utm_*".to_owned()],
        parameters: Vec::new(),
        restore_on_redirect: true,
        cookies: Vec::new(),
        upstream_headers: false,
        exclude: Exclude::default(),
        static_extensions: vec!["css".to_owned(), "js".to_owned()],
        locale_prefixes: Vec::new(),
        action_body_bytes: 256 << 10,
        identity: IdentityConfig {
            mode: IdentifyBy::Cookie,
            honour_gpc: true,
            cookie: "_utmd".to_owned(),
            domain: CookieDomain::Auto,
            max_age: Duration::from_secs(390 * 86_400),
            secret_file: PathBuf::from("secret"),
            session_timeout: Duration::from_secs(1800),
        },
        privacy: Privacy {
            store_ip: StoreIp::Truncated,
            redact_parameters: Vec::new(),
            retain: Retain::default(),
        },
        attribution: Attribution {
            lookback: Duration::from_secs(90 * 86_400),
            referrer_exclusions: Vec::new(),
            aliases: Vec::new(),
        },
    }
}
