//! `[orders]`, `[database]`, `[journal]`, `[stats]` and `[log]`: what happens behind the request path.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::super::reader::{Table, Value};
use super::super::{
    Database, DatabasePlace, DatabaseUrl, Fsync, Journal, Log, LogFormat, Orders, Revenue, Scope, Stats,
    StatsToken, error, values,
};
use super::shop::{size, some_time, time};

/// `[orders]`; the key file is in the journal's directory by default.
pub(super) fn orders(table: &Table<'_>, journal: Option<&Journal>) -> Orders {
    let default_key = journal.map_or_else(PathBuf::new, |journal| journal.dir.join("customer-key"));
    Orders {
        revenue: table.or("revenue", Revenue::Placed, |value| value.choice(&Revenue::NAMES)),
        phone_country: table
            .optional("phone_country", |value| value.parse(|text| values::capital_code(text, 2, "UA"))),
        customer_key_file: table.or("customer_key_file", default_key, |value| value.path()),
    }
}

/// `[database]`
pub(super) fn database(table: &Table<'_>) -> Option<Database> {
    let place = database_place(table);
    let pool = table.or("pool", 8, |value| value.number(1..=1000));
    let auto_migrate = table.or("auto_migrate", true, |value| value.flag());
    let statement_timeout = table.or("statement_timeout", Duration::from_secs(30), some_time);
    let new_values_per_day =
        table.or("new_values_per_day", 100_000, |value| value.number(1..=u64::from(u32::MAX)));
    Some(Database { place: place?, pool, auto_migrate, statement_timeout, new_values_per_day })
}

fn database_place(table: &Table<'_>) -> Option<DatabasePlace> {
    let url = table.optional("url", |value| database_url(value, &value.text()?));
    let url_file = table.optional("url_file", |value| database_url(value, &value.content()?));
    let managed = table.optional("managed", |value| value.flag());
    let data_dir = table.optional("data_dir", |value| value.path());
    let has = |key| table.value(key).is_some();
    match (has("url"), has("url_file"), has("managed") && managed != Some(false)) {
        (true, false, false) | (false, true, false) if has("data_dir") => {
            table.refuse("`data_dir` belongs to `managed = true`")
        }
        (true, false, false) => url.map(DatabasePlace::Url),
        (false, true, false) => url_file.map(DatabasePlace::Url),
        (false, false, true) if has("data_dir") => {
            data_dir.filter(|_| managed.is_some()).map(DatabasePlace::Managed)
        }
        (false, false, true) => table.refuse("`managed = true` needs `data_dir`, where the database lives"),
        (false, false, false) => {
            table.refuse("`url` is missing from [database] (or `managed = true` with a `data_dir`)")
        }
        _ => table.refuse("the database is in one place: give one of `url`, `url_file` and `managed = true`"),
    }
}

/// The error never repeats the URL: it may hold a password.
fn database_url(value: &Value<'_>, url: &str) -> Option<String> {
    let has_scheme = url.starts_with("postgres://") || url.starts_with("postgresql://");
    if has_scheme && url.parse::<tokio_postgres::Config>().is_ok() {
        return Some(url.to_owned());
    }
    value.refuse("this is no database URL: write it as in \"postgres://user@host:5432/name\", percent-encode a password")
}

/// `[journal]`
pub(super) fn journal(table: &Table<'_>) -> Option<Journal> {
    let dir = table.required("dir", |value| value.path());
    let fsync = table.or("fsync", Fsync::Every(Duration::from_millis(100)), fsync);
    let wait = table.or("wait", Duration::from_millis(20), time);
    let segment_bytes = table.or("segment_bytes", 64 << 20, |value| size(value, 64 << 10..=4 << 30));
    let max_bytes = table.or("max_bytes", 4 << 30, |value| {
        let max_bytes = size(value, 1 << 20..=1 << 60)?;
        if max_bytes < segment_bytes {
            value.refuse("`max_bytes` is at least `segment_bytes`")
        } else {
            Some(max_bytes)
        }
    });
    let keep = table.or("keep", Duration::from_secs(86_400), time);
    Some(Journal { dir: dir?, fsync, wait, segment_bytes, max_bytes, keep })
}

fn fsync(value: &Value<'_>) -> Option<Fsync> {
    let text = value.text()?;
    match text.as_str() {
        "always" => return Some(Fsync::Always),
        "never" => return Some(Fsync::Never),
        _ => {}
    }
    match values::duration(&text) {
        Ok(every) if !every.is_zero() => Some(Fsync::Every(every)),
        Ok(_) => value.refuse("`fsync` is longer than zero; \"always\" is before each response"),
        Err(_) => value.refuse_with(
            format!("`fsync` is `always`, `never` or a duration such as \"100ms\", not `{text}`"),
            error::did_you_mean(&text, ["always", "never"]),
        ),
    }
}

/// `[stats]`; `proxy_listen` are the addresses it cannot have.
pub(super) fn stats(table: &Table<'_>, proxy_listen: &[SocketAddr]) -> Option<Stats> {
    let listen = table.required("listen", |value| {
        let address = value.parse(values::listen_address)?;
        if proxy_listen.iter().any(|taken| overlap(*taken, address)) {
            return value
                .refuse("this is an address of `proxy.listen`: the statistics need a port of their own");
        }
        Some(address)
    });
    let allowed_hosts =
        table.or("allowed_hosts", Vec::new(), |value| value.list(|item| item.parse(values::host)));
    let metrics_public = table.or("metrics_public", false, |value| value.flag());
    let timezone = table.or("timezone", TimeZone::UTC, timezone);
    let currency =
        table.optional("currency", |value| value.parse(|text| values::capital_code(text, 3, "UAH")));
    let database_url = replica_url(table);
    let public_url = table.optional("public_url", |value| value.parse(public_url));
    let tokens = tokens(table);
    let listen = listen?;
    Some(Stats {
        listen,
        allowed_hosts,
        metrics_public,
        timezone,
        currency,
        database_url,
        public_url,
        tokens: tokens?,
    })
}

/// At most one of the two keys.
fn replica_url(table: &Table<'_>) -> Option<DatabaseUrl> {
    let url = table.optional("database_url", |value| database_url(value, &value.text()?));
    let file = table.optional("database_url_file", |value| database_url(value, &value.content()?));
    if table.value("database_url").is_some() && table.value("database_url_file").is_some() {
        return table
            .refuse("the replica is in one place: give one of `database_url` and `database_url_file`");
    }
    url.or(file).map(DatabaseUrl)
}

fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let all = |address: SocketAddr| address.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && (a.ip() == b.ip() || all(a) || all(b))
}

fn timezone(value: &Value<'_>) -> Option<TimeZone> {
    let text = value.text()?;
    if let Ok(zone) = TimeZone::get(&text) {
        return Some(zone);
    }
    let names: Vec<String> = jiff::tz::db().available().map(|name| name.as_str().to_owned()).collect();
    value.refuse_with(
        format!("`{text}` is no time zone: write its name in the tz database, as in \"Europe/Kyiv\""),
        error::did_you_mean(&text, names.iter().map(String::as_str)),
    )
}

/// Scheme and authority, perhaps a path; no slash at the end.
fn public_url(text: &str) -> Result<String, String> {
    let uri: Option<http::Uri> = text.parse().ok();
    let fine = |uri: &http::Uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    };
    match uri.filter(fine) {
        Some(uri) if uri.query().is_none() && !text.contains(['@', '#']) => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err(format!("`{text}` is no address of a site: write it as in \"https://stats.shop.example\"")),
    }
}

fn tokens(table: &Table<'_>) -> Option<Vec<StatsToken>> {
    let mut tokens: Vec<Option<StatsToken>> = Vec::new();
    for table in table.tables("token") {
        let name = table.required("name", |value| {
            let name = value.parse(values::plain_name)?;
            let taken = tokens.iter().flatten().any(|token: &StatsToken| token.name == name);
            if taken { value.refuse(format!("there are two tokens named `{name}`")) } else { Some(name) }
        });
        let scope = table.required("scope", |value| value.choice(&Scope::NAMES));
        let (hash, hash_file) = (table.value("hash"), table.value("hash_file"));
        let sha256 = match (&hash, &hash_file) {
            (Some(hash), None) => hash.parse(values::sha256),
            (None, Some(file)) => file.content().and_then(|content| {
                values::sha256(&content).map_err(|message| file.refuse::<()>(message)).ok()
            }),
            (None, None) => table.refuse("a token needs `hash` (or `hash_file`)"),
            (Some(_), Some(_)) => table.refuse("a token has one of `hash` and `hash_file`"),
        };
        let token = || Some(StatsToken { name: name?, scope: scope?, sha256: sha256? });
        tokens.push(token());
    }
    tokens.into_iter().collect()
}

/// `[log]`
pub(super) fn log(table: &Table<'_>) -> Log {
    Log {
        format: table.or("format", LogFormat::Text, |value| value.choice(&LogFormat::NAMES)),
        level: table.or("level", "info".to_owned(), |value| value.parse(values::log_level)),
    }
}
