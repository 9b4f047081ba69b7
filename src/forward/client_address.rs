//! Whose request it is when proxies stand in between. Pure, because a client may write anything into these fields.

use std::net::{IpAddr, SocketAddr};

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
    let mut nearest = peer.to_canonical();
    for entry in lines.rev().flat_map(|line| line.rsplit(|byte| *byte == b',')) {
        if !is_trusted(nearest, trusted) {
            return nearest;
        }
        match parse(entry) {
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

enum Entry {
    Empty,
    Address(IpAddr),
    Garbage,
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`, a zone (`%eth0`) cut off.
fn parse(entry: &[u8]) -> Entry {
    let Ok(text) = std::str::from_utf8(entry.trim_ascii()) else { return Entry::Garbage };
    if text.is_empty() {
        return Entry::Empty;
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let bare = bare.split_once('%').map_or(bare, |(address, _zone)| address);
    bare.parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|with_port| with_port.ip()))
        .map_or(Entry::Garbage, |address| Entry::Address(address.to_canonical()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn walk(peer: &str, trusted: &[&str], lines: &[&str]) -> String {
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        client_address(peer.parse().unwrap(), &trusted, lines.iter().map(|line| line.as_bytes())).to_string()
    }

    #[test]
    fn an_untrusted_peer_is_the_client_whatever_it_says() {
        assert_eq!(walk("192.0.2.9", &["10.0.0.0/8"], &["1.1.1.1"]), "192.0.2.9");
    }

    #[test]
    fn the_walk_goes_right_to_left_over_trusted_addresses() {
        let trusted = &["10.0.0.0/8", "2001:db8::/32"];
        assert_eq!(walk("10.0.0.1", trusted, &["6.6.6.6, 1.1.1.1"]), "1.1.1.1");
        assert_eq!(walk("10.0.0.1", trusted, &["6.6.6.6, 1.1.1.1, 10.0.0.2"]), "1.1.1.1");
        assert_eq!(walk("10.0.0.1", trusted, &["6.6.6.6", "1.1.1.1,", "10.0.0.2"]), "1.1.1.1");
        assert_eq!(walk("10.0.0.1", trusted, &["1.1.1.1:4711, [2001:db8::5]:80"]), "1.1.1.1");
        assert_eq!(walk("::ffff:10.0.0.1", trusted, &["::ffff:1.1.1.1"]), "1.1.1.1");
        assert_eq!(walk("10.0.0.1", trusted, &["1.1.1.1, unknown, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(walk("10.0.0.1", trusted, &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
        assert_eq!(walk("10.0.0.1", trusted, &[]), "10.0.0.1");
        assert_eq!(walk("10.0.0.1", trusted, &["fe80::1%eth0"]), "fe80::1");
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
