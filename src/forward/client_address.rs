//! Whose request it is when proxies stand in between. Pure, because a client may write anything into these fields.

use std::net::IpAddr;

use ipnet::IpNet;

/// The address nearest to us that is no trusted proxy.
///
/// `lines` are the values of `X-Forwarded-For` in the order of the message; they are read from the right, and only as
/// long as the address before is trusted, because everything further left was written by somebody we do not know. An
/// entry that is no address ends the walk at the last proxy.
pub fn client_address<'a>(
    peer: IpAddr,
    trusted: &[IpNet],
    lines: impl DoubleEndedIterator<Item = &'a [u8]>,
) -> IpAddr {
    let entries = lines.rev().flat_map(|line| line.rsplit(|byte| *byte == b','));
    walk(peer, trusted, entries.map(parse))
}

/// Over trusted addresses to the first that is not; `entries` begin with the last one written.
pub(super) fn walk(peer: IpAddr, trusted: &[IpNet], entries: impl Iterator<Item = Entry>) -> IpAddr {
    let mut nearest = peer.to_canonical();
    for entry in entries {
        if !is_trusted(nearest, trusted) {
            return nearest;
        }
        match entry {
            Entry::Empty => {}
            Entry::Address(address) => nearest = address,
            Entry::Garbage => return nearest,
        }
    }
    nearest
}

/// Whether forwarding fields from this address are believed.
pub(super) fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// What stands in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    Empty,
    Address(IpAddr),
    /// No address: `unknown`, an obfuscated identifier (RFC 7239 section 6), or anything else.
    Garbage,
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`; a zone (`%eth0`) is cut off.
pub(super) fn parse(entry: &[u8]) -> Entry {
    let Ok(text) = std::str::from_utf8(entry.trim_ascii()) else { return Entry::Garbage };
    if text.is_empty() {
        return Entry::Empty;
    }
    address(text).map_or(Entry::Garbage, |address| Entry::Address(address.to_canonical()))
}

fn address(text: &str) -> Option<IpAddr> {
    if let Some(rest) = text.strip_prefix('[') {
        let (inner, after) = rest.split_once(']')?;
        let has_port = || after.strip_prefix(':').is_some_and(is_port);
        return (after.is_empty() || has_port()).then(|| without_zone(inner))?.parse().ok().map(IpAddr::V6);
    }
    if let Some((host, port)) = text.split_once(':')
        && !port.contains(':')
    {
        return is_port(port).then(|| host.parse().ok().map(IpAddr::V4))?;
    }
    if text.contains(':') { without_zone(text).parse().ok() } else { text.parse().ok() }
}

/// Digits, or an obfuscated one (RFC 7239 section 6.3).
fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(name) => {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        }
        None => (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

fn without_zone(text: &str) -> &str {
    match text.split_once('%') {
        Some((address, zone)) if zone.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b)) => {
            address
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(peer: &str, trusted: &[&str], lines: &[&str]) -> String {
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        client_address(peer.parse().unwrap(), &trusted, lines.iter().map(|line| line.as_bytes())).to_string()
    }

    #[test]
    fn an_untrusted_peer_is_the_client_whatever_it_says() {
        assert_eq!(found("192.0.2.9", &["10.0.0.0/8"], &["1.1.1.1"]), "192.0.2.9");
    }

    #[test]
    fn the_walk_goes_right_to_left_over_trusted_addresses() {
        let trusted = &["10.0.0.0/8", "2001:db8::/32"];
        assert_eq!(found("10.0.0.1", trusted, &["6.6.6.6, 1.1.1.1"]), "1.1.1.1");
        assert_eq!(found("10.0.0.1", trusted, &["6.6.6.6, 1.1.1.1, 10.0.0.2"]), "1.1.1.1");
        assert_eq!(found("10.0.0.1", trusted, &["6.6.6.6", "1.1.1.1,", "10.0.0.2"]), "1.1.1.1");
        assert_eq!(found("10.0.0.1", trusted, &["1.1.1.1:4711, [2001:db8::5]:80"]), "1.1.1.1");
        assert_eq!(found("::ffff:10.0.0.1", trusted, &["::ffff:1.1.1.1"]), "1.1.1.1");
        assert_eq!(found("10.0.0.1", trusted, &["1.1.1.1, unknown, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(found("10.0.0.1", trusted, &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
        assert_eq!(found("10.0.0.1", trusted, &[]), "10.0.0.1");
        assert_eq!(found("10.0.0.1", trusted, &["fe80::1%eth0"]), "fe80::1");
    }

    #[test]
    fn entries_are_addresses_with_or_without_port_or_nothing() {
        for (text, address) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:80", "192.0.2.1"),
            ("192.0.2.1:_x", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[2001:db8::1]:_p", "2001:db8::1"),
            ("[fe80::1%eth0]:80", "fe80::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("[::ffff:192.0.2.1]", "192.0.2.1"),
        ] {
            assert_eq!(parse(text.as_bytes()), Entry::Address(address.parse().unwrap()), "{text}");
        }
        for text in [
            "unknown",
            "_hidden",
            "_SEVKISEK",
            "192.0.2",
            "192.0.2.1:",
            "192.0.2.1:x",
            "192.0.2.1%eth0",
            "[192.0.2.1]",
            "[::1",
            "::1]",
            "[::1]80",
            "[::1]:",
            "1.2.3.4:123456",
            "\u{e9}",
            "::1%a]:1",
        ] {
            assert_eq!(parse(text.as_bytes()), Entry::Garbage, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_an_untrusted_client_writes_never_moves_its_address(
            written in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..4),
        ) {
            // The trusted proxy 10.0.0.1 has appended the client that it saw, 192.0.2.9.
            let mut lines = written;
            lines.push(b"192.0.2.9".to_vec());
            let trusted = ["10.0.0.0/8".parse().unwrap()];
            let peer = "10.0.0.1".parse().unwrap();
            let address = client_address(peer, &trusted, lines.iter().map(Vec::as_slice));
            prop_assert_eq!(address.to_string(), "192.0.2.9");
        }

        #[test]
        fn any_bytes_give_the_peer_or_an_address_from_the_list(
            lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..4),
        ) {
            let trusted = ["0.0.0.0/0".parse().unwrap()];
            client_address("10.0.0.1".parse().unwrap(), &trusted, lines.iter().map(Vec::as_slice));
        }
    }
}
