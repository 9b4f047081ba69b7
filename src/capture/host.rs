//! Hosts: without port, in lower case, and the domain that somebody registered.

use std::borrow::Cow;
use std::net::IpAddr;

/// The host of an authority (`host[:port]`) in lower case, without port and trailing dot.
pub fn host_of(authority: &str) -> Cow<'_, str> {
    let host = if authority.starts_with('[') {
        authority.find(']').map_or(authority, |end| &authority[..=end])
    } else {
        authority.split(':').next().unwrap_or_default()
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

/// The registrable domain of a host by the public suffix list; none for addresses, single labels and public suffixes.
pub fn registrable(host: &str) -> Option<&str> {
    if host.starts_with('[') || host.parse::<IpAddr>().is_ok() {
        return None;
    }
    // A suffix that the list does not know (`localhost`, `shop.internal`) says nothing about who registers below it.
    psl::domain(host.as_bytes())
        .filter(|domain| domain.suffix().is_known())
        .and_then(|domain| std::str::from_utf8(domain.as_bytes()).ok())
}

/// Whether two hosts belong to the same owner: the same host or the same registrable domain.
pub fn same_owner(one: &str, other: &str) -> bool {
    one == other || registrable(one).is_some_and(|domain| registrable(other) == Some(domain))
}

/// Whether `host` is `domain` or below it.
pub fn is_within(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_dots_and_case_go() {
        assert_eq!(host_of("Shop.Example:8080"), "shop.example");
        assert_eq!(host_of("shop.example."), "shop.example");
        assert_eq!(host_of("[::1]:80"), "[::1]");
        assert_eq!(host_of(""), "");
    }

    #[test]
    fn registrable_domains_follow_the_public_suffix_list() {
        assert_eq!(registrable("www.shop.co.uk"), Some("shop.co.uk"));
        assert_eq!(registrable("shop.com.ua"), Some("shop.com.ua"));
        for host in ["127.0.0.1", "[::1]", "localhost", "co.uk", "github.io", "shop.internal"] {
            assert_eq!(registrable(host), None, "{host}");
        }
        assert!(same_owner("www.shop.ua", "m.shop.ua"));
        assert!(!same_owner("a.github.io", "b.github.io"));
        assert!(is_within("www.paypal.com", "paypal.com") && !is_within("notpaypal.com", "paypal.com"));
    }
}
