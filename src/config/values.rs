//! Single values of the file: durations, sizes, hosts, patterns. Pure; an error is a sentence for the person.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

const DURATION_UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// The database itself refuses to drop anything younger than three months.
const LEAST_MONTHS: u32 = 3;
const MOST_MONTHS: u32 = 1200;

const SIZE_UNITS: [(&str, u64); 8] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// Parts of a number and a unit: "100ms", "1h30m", "390d".
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration: write a number and ms, s, m, h or d, as in \"30s\"");
    let mut millis: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = leading_number(rest).ok_or_else(wrong)?;
        let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (_, factor) =
            DURATION_UNITS.iter().find(|(unit, _)| *unit == &after[..unit_end]).ok_or_else(wrong)?;
        let part = number.checked_mul(*factor).ok_or_else(wrong)?;
        millis = millis.checked_add(part).filter(|sum| i64::try_from(*sum).is_ok()).ok_or_else(wrong)?;
        rest = &after[unit_end..];
    }
    if text.is_empty() { Err(wrong()) } else { Ok(Duration::from_millis(millis)) }
}

/// A text that [`duration`] reads as `value`, in the largest unit that fits. One minute and one day are better known
/// as 60s and 24h.
pub(super) fn show_duration(value: Duration) -> String {
    let millis = value.as_millis();
    let fits = |unit: &str, factor: u128| {
        let least = if matches!(unit, "m" | "d") { 2 * factor } else { factor };
        millis >= least && millis.is_multiple_of(factor)
    };
    let unit = DURATION_UNITS.iter().rev().find(|(unit, factor)| fits(unit, u128::from(*factor)));
    let (unit, factor) = unit.unwrap_or(&("s", 1_000));
    format!("{}{unit}", millis / u128::from(*factor))
}

/// How long something is kept: "13 months", or "forever", which is none.
pub(super) fn months(text: &str) -> Result<Option<u32>, String> {
    if text == "forever" {
        return Ok(None);
    }
    let number = text.strip_suffix("months").and_then(|number| number.trim_end().parse().ok());
    match number.filter(|months| LEAST_MONTHS <= *months && *months <= MOST_MONTHS) {
        Some(months) => Ok(Some(months)),
        None => Err(format!(
            "`{text}` is not how long to keep something: write whole months, from {LEAST_MONTHS} to {MOST_MONTHS}, as \
             in \"13 months\", or \"forever\""
        )),
    }
}

/// A text that [`months`] reads as `kept`.
pub(super) fn show_months(kept: Option<u32>) -> String {
    kept.map_or_else(|| "forever".to_owned(), |months| format!("{months} months"))
}

/// A number of bytes with a unit: "64MiB".
pub(super) fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no size: write a number and B, KiB, MiB or GiB, as in \"64MiB\"");
    let (number, unit) = leading_number(text).ok_or_else(wrong)?;
    let (_, factor) =
        SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim_start())).ok_or_else(wrong)?;
    number.checked_mul(*factor).ok_or_else(wrong)
}

/// The shortest text that [`size`] reads as `bytes`, in whole binary units.
pub(super) fn show_size(bytes: u64) -> String {
    let unit = SIZE_UNITS[..4].iter().rev().find(|(_, factor)| bytes != 0 && bytes.is_multiple_of(*factor));
    let (unit, factor) = unit.unwrap_or(&("B", 1));
    format!("{}{unit}", bytes / factor)
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// An address to listen on: `127.0.0.1:8080`, `[::]:8080`.
pub(super) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is no address to listen on: write it as in \"127.0.0.1:8080\""))
}

/// A network in CIDR form, or one address. Host bits are cleared.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(IpNet::from).ok();
    let network = address.or_else(|| text.parse::<IpNet>().ok());
    network
        .map(|network| network.trunc())
        .ok_or_else(|| format!("`{text}` is neither an address nor a network such as \"10.0.0.0/8\""))
}

/// Whether it is https, and `host:port`, of `http[s]://host[:port][/]`; without a port it is the scheme's.
pub(super) fn server(text: &str) -> Result<(bool, String), String> {
    let (https, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => {
            return Err(format!(
                "`{text}` begins with neither http:// nor https://: write it as in \"http://127.0.0.1:9000\""
            ));
        }
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let wrong = |why: &str| Err(format!("`{text}` {why}: write it as in \"http://127.0.0.1:9000\""));
    if authority.contains('@') {
        return Err("a server takes no user and password".to_owned());
    }
    if authority.contains(['/', '?', '#']) {
        return wrong("has a path, but requests keep their own");
    }
    let Ok(parsed) = authority.parse::<http::uri::Authority>() else { return wrong("is no URL") };
    let host = parsed.host();
    if host.is_empty()
        || (host.starts_with('[') && host[1..].trim_end_matches(']').parse::<IpAddr>().is_err())
    {
        return wrong("names no host");
    }
    match (parsed.port(), parsed.port_u16()) {
        (None, _) if authority == host => Ok((https, format!("{host}:{}", if https { 443 } else { 80 }))),
        (Some(_), Some(port)) if port > 0 => Ok((https, format!("{host}:{port}"))),
        _ => wrong("has no valid port"),
    }
}

/// A host name or address as it stands in `Host` without its port, lower case; IPv6 in brackets.
pub(super) fn host(text: &str) -> Result<String, String> {
    let lower = text.trim_end_matches('.').to_ascii_lowercase();
    if let Ok(address) = lower.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(if address.is_ipv6() { format!("[{address}]") } else { address.to_string() });
    }
    if lower.contains(':') {
        return Err(format!("`{text}`: leave scheme and port away, the name is enough"));
    }
    if !text.is_ascii() {
        return Err(format!("`{text}`: write the name in its ASCII form (xn--…)"));
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    };
    if lower.len() <= 253 && lower.split('.').all(label) {
        return Ok(lower);
    }
    Err(format!("`{text}` is no host name"))
}

/// A host name or `*.suffix`.
pub(super) fn host_pattern(text: &str) -> Result<String, String> {
    match text.strip_prefix("*.") {
        Some(suffix) => Ok(format!("*.{}", host(suffix)?)),
        None if text.contains('*') => {
            Err(format!("`{text}`: `*` stands only at the front, as in \"*.example.com\""))
        }
        None => host(text),
    }
}

/// A name with an optional `*` at its end.
pub(super) fn name_pattern(text: &str) -> Result<String, String> {
    let stem = text.strip_suffix('*').unwrap_or(text);
    if stem.contains('*') {
        return Err(format!("`{text}`: `*` stands only at the end, as in \"utm_*\""));
    }
    if stem.is_empty() {
        return Err(format!("`{text}` would match everything: give at least a first letter"));
    }
    if stem.contains(|c: char| c.is_whitespace() || c.is_control() || "&=;#".contains(c)) {
        return Err(format!("`{text}` cannot be a name: it holds a blank or one of & = ; #"));
    }
    Ok(text.to_owned())
}

/// A path that begins with `/`.
pub(super) fn path_prefix(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err(format!("`{text}`: a path begins with `/`"));
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || "?#*".contains(c)) {
        return Err(format!("`{text}`: a path prefix holds no blank and none of ? # *"));
    }
    Ok(text.to_owned())
}

/// A name of ours (upstream, site, token): one to sixty-four letters, digits, `-`, `_` or `.`.
pub(super) fn plain_name(text: &str) -> Result<String, String> {
    let fine = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    if text.is_empty() || text.chars().count() > 64 || !text.chars().all(fine) {
        return Err(format!("`{text}`: a name is 1 to 64 letters, digits, `-`, `_` or `.`"));
    }
    Ok(text.to_owned())
}

/// A cookie's name: a token (RFC 6265 section 4.1.1).
pub(super) fn cookie_name(text: &str) -> Result<String, String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if text.is_empty() || !text.chars().all(fine) {
        return Err(format!("`{text}` cannot be a cookie's name"));
    }
    Ok(text.to_owned())
}

/// A code of `length` capital letters, such as a currency (ISO 4217) or a country (ISO 3166-1).
pub(super) fn capital_code(text: &str, length: usize, example: &str) -> Result<String, String> {
    if text.len() == length && text.chars().all(|c| c.is_ascii_uppercase()) {
        return Ok(text.to_owned());
    }
    Err(format!("`{text}`: write {length} capital letters, as in \"{example}\""))
}

/// 32 bytes as 64 hexadecimal digits. The error does not repeat the text, which may be a token.
pub(super) fn sha256(text: &str) -> Result<[u8; 32], String> {
    let wrong = || "this is not the SHA-256 of a token: write its 64 hexadecimal digits".to_owned();
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let digits = digits.filter(|digits| digits.len() == 64).ok_or_else(wrong)?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = pair[0] << 4 | pair[1];
    }
    Ok(bytes)
}

/// A level, or `target=level` pairs separated by commas.
pub(super) fn log_level(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    for directive in text.split(',') {
        let level = directive.rsplit('=').next().unwrap_or(directive).trim();
        if !LEVELS.contains(&level) {
            let near =
                super::error::did_you_mean(level, LEVELS).map(|help| format!("; {help}")).unwrap_or_default();
            return Err(format!("`{level}` is no level (error, warn, info, debug, trace, off){near}"));
        }
    }
    match text.parse::<tracing_subscriber::filter::Targets>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!("`{text}`: write a level, or pairs as in \"info,utm_dispatcher::ship=debug\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_back_as_they_are_shown() {
        for text in ["100ms", "5s", "30m", "24h", "390d", "60s", "90s", "0s", "1500ms"] {
            let value = duration(text).unwrap();
            assert_eq!(show_duration(value), text);
        }
        assert_eq!(duration("1h30m").unwrap(), Duration::from_secs(5400));
        assert_eq!(show_duration(Duration::from_secs(3600)), "1h");
        for wrong in ["", "5", "s", "5 s", "-5s", "5S", "1.5s", "99999999999999999999d", "999999999999999d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn months_read_back_as_they_are_shown() {
        for text in ["3 months", "13 months", "1200 months", "forever"] {
            assert_eq!(show_months(months(text).unwrap()), text);
        }
        assert_eq!(months("13months").unwrap(), Some(13));
        for wrong in
            ["", "13", "390d", "2 months", "0 months", "-13 months", "1201 months", "never", "13 month"]
        {
            assert!(months(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_read_back_as_they_are_shown() {
        for (text, bytes) in
            [("64MiB", 64 << 20), ("1kB", 1000), ("4GiB", 4 << 30), ("17B", 17), ("1 KiB", 1024)]
        {
            assert_eq!(size(text).unwrap(), bytes);
            assert_eq!(size(&show_size(bytes)).unwrap(), bytes);
        }
        for wrong in ["", "64", "MiB", "64M", "1.5GiB", "99999999TiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn servers_are_host_and_port() {
        for (text, https, authority) in [
            ("http://shop", false, "shop:80"),
            ("https://shop", true, "shop:443"),
            ("http://127.0.0.1:9000/", false, "127.0.0.1:9000"),
            ("http://[::1]:9000", false, "[::1]:9000"),
        ] {
            assert_eq!(server(text).unwrap(), (https, authority.to_owned()));
        }
        for wrong in [
            "ftp://x",
            "x:80",
            "http://",
            "http://u:p@x",
            "http://x/a",
            "http://x:",
            "http://x:0",
            "http://[x]",
        ] {
            assert!(server(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn hosts_are_lower_case_without_port() {
        assert_eq!(host("Shop.Example.").unwrap(), "shop.example");
        assert_eq!(host("::1").unwrap(), "[::1]");
        assert_eq!(host_pattern("*.Example.com").unwrap(), "*.example.com");
        for wrong in ["", "a:80", "a..b", "магазин.укр", "a b"] {
            assert!(host(wrong).is_err(), "{wrong}");
        }
        assert!(host_pattern("a.*.com").is_err());
    }
}
