//! Client addresses: which are worth a look into the geo file, and how they are stored.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::config::StoreIp;

/// The address as Postgres' `inet` text: whole, or its /24 or /48; an IPv6-mapped one as IPv4.
pub fn stored(address: IpAddr, store_ip: StoreIp) -> Option<String> {
    let address = address.to_canonical();
    match store_ip {
        StoreIp::None => None,
        StoreIp::Full => Some(address.to_string()),
        StoreIp::Truncated => Some(network(address).to_string()),
    }
}

/// An address without the part that tells people of one network apart.
pub fn truncated(address: IpAddr) -> IpAddr {
    network(address.to_canonical()).network()
}

fn network(address: IpAddr) -> IpNet {
    let length = if address.is_ipv4() { 24 } else { 48 };
    IpNet::new(address, length).map_or_else(|_| address.into(), |network| network.trunc())
}

/// Whether the address may belong to somebody on the public internet (IANA special-purpose registries, RFC 6890).
pub fn is_global(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_global_v4(v4),
        IpAddr::V6(v6) => is_global_v6(v6),
    }
}

fn is_global_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19));
    !special
}

/// Only 2000::/3 is given out; of that, documentation and benchmarking are not people.
fn is_global_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, ..] = address.segments();
    (0x2000..0x4000).contains(&a)
        && !(a == 0x2001 && b == 0x0db8)
        && !(a == 0x2001 && b == 2 && c == 0)
        && !(a == 0x3fff && b < 0x1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_are_cut_to_their_network() {
        assert_eq!(stored(ip("203.0.113.77"), StoreIp::Truncated).unwrap(), "203.0.113.0/24");
        assert_eq!(stored(ip("2001:db8:1:2::3"), StoreIp::Truncated).unwrap(), "2001:db8:1::/48");
        assert_eq!(stored(ip("::ffff:203.0.113.77"), StoreIp::Truncated).unwrap(), "203.0.113.0/24");
        assert_eq!(stored(ip("203.0.113.77"), StoreIp::Full).unwrap(), "203.0.113.77");
        assert_eq!(stored(ip("203.0.113.77"), StoreIp::None), None);
    }

    #[test]
    fn private_networks_are_not_looked_up() {
        for local in [
            "10.1.2.3",
            "172.16.0.1",
            "127.0.0.1",
            "100.64.0.1",
            "::1",
            "fe80::1",
            "fd00::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!is_global(ip(local)), "{local}");
        }
        for public in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2a00:1450::1", "::ffff:8.8.8.8"] {
            assert!(is_global(ip(public)), "{public}");
        }
    }
}
