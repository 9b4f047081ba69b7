//! Who asks: read from the fields of trusted proxies, and told to the shop in `X-Forwarded-For/-Proto/-Host/-Port` and
//! `X-Real-IP`, in `Forwarded` (RFC 7239), or in both.
//!
//! Rule: the shop sees only what we, or a trusted peer, have said. Of the two kinds of fields one is believed; the other
//! may be a stranger's that the peer let through.

use std::borrow::Cow;
use std::net::IpAddr;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use super::client_address::{client_address, is_trusted, walk};
use super::head::Authority;
use super::rfc7239;
use crate::config::ForwardedFields;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// The other end of a connection; made once for all its requests.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address; IPv4 in IPv6 is shown as IPv4.
    pub address: IpAddr,
    /// Whether it is one of `trusted_proxies`.
    pub trusted: bool,
    /// Whether the connection is encrypted.
    pub https: bool,
    text: HeaderValue,
}

impl Peer {
    /// The peer at this address, on a connection that is encrypted or not.
    pub fn new(address: IpAddr, trusted: &[IpNet], https: bool) -> Self {
        let address = address.to_canonical();
        let text = address_value(address);
        Peer { address, trusted: is_trusted(address, trusted), https, text }
    }

    /// The same peer to whoever trusts these.
    pub fn under(&self, trusted: &[IpNet]) -> Cow<'_, Self> {
        let trusted = is_trusted(self.address, trusted);
        if trusted == self.trusted {
            Cow::Borrowed(self)
        } else {
            Cow::Owned(Self { trusted, ..self.clone() })
        }
    }
}

/// Whose request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// The client's address: the peer's, or what trusted proxies say.
    pub address: IpAddr,
    /// Whether the client's own connection is encrypted.
    pub https: bool,
}

/// Which list of addresses of a trusted peer is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    XForwardedFor,
    Forwarded,
}

impl List {
    /// The kind that is spoken here; the other only where the peer sends none of that.
    fn of(headers: &HeaderMap, fields: ForwardedFields) -> Option<Self> {
        let has = |list: &Self| match list {
            List::XForwardedFor => headers.contains_key(X_FORWARDED_FOR),
            List::Forwarded => headers.contains_key(header::FORWARDED),
        };
        let order = match fields {
            ForwardedFields::Rfc7239 => [List::Forwarded, List::XForwardedFor],
            ForwardedFields::XForwarded | ForwardedFields::Both => [List::XForwardedFor, List::Forwarded],
        };
        order.into_iter().find(has)
    }
}

/// Finds the client behind trusted proxies. To be called before the fields are rewritten.
pub fn client(headers: &HeaderMap, peer: &Peer, trusted: &[IpNet], fields: ForwardedFields) -> Client {
    if !peer.trusted {
        return Client { address: peer.address, https: peer.https };
    }
    let mut proto = headers.get(X_FORWARDED_PROTO).map(HeaderValue::as_bytes);
    let address = match List::of(headers, fields) {
        Some(List::XForwardedFor) => {
            let lines = headers.get_all(X_FORWARDED_FOR).iter().map(HeaderValue::as_bytes);
            client_address(peer.address, trusted, lines)
        }
        Some(List::Forwarded) => {
            let lines = headers.get_all(header::FORWARDED).iter().map(HeaderValue::as_bytes);
            // What the walk reads last was said by the trusted proxy that is farthest from us.
            let elements = rfc7239::from_the_right(lines).inspect(|element| proto = element.proto.or(proto));
            walk(peer.address, trusted, elements.map(|element| element.node))
        }
        None => peer.address,
    };
    Client { address, https: proto.map_or(peer.https, is_https) }
}

/// `https`, or the first of a list; `wss` is https that was upgraded.
fn is_https(proto: &[u8]) -> bool {
    let first = proto.split(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
    first.eq_ignore_ascii_case(b"https") || first.eq_ignore_ascii_case(b"wss")
}

/// Tells the shop. From a trusted peer what is there is kept and the list of addresses grows by the peer; from any
/// other [`super::fields::clean_request`] has removed all.
pub fn tell(
    headers: &mut HeaderMap,
    peer: &Peer,
    client: Client,
    authority: &Authority,
    fields: ForwardedFields,
) {
    let list = if peer.trusted { List::of(headers, fields) } else { None };
    let forwarded = (fields != ForwardedFields::XForwarded)
        .then(|| forwarded_value(headers, list, peer, client, authority));
    let x_forwarded_for =
        (fields != ForwardedFields::Rfc7239).then(|| x_forwarded_for_value(headers, list, peer, client));
    match forwarded {
        Some(value) => _ = headers.insert(header::FORWARDED, value),
        None if peer.trusted => _ = headers.remove(header::FORWARDED),
        None => {}
    }
    match x_forwarded_for {
        Some(value) => {
            headers.insert(X_FORWARDED_FOR, value);
            tell_the_rest(headers, list, peer, client, authority);
        }
        None if peer.trusted => {
            for name in [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST, X_FORWARDED_PORT, X_REAL_IP] {
                headers.remove(name);
            }
        }
        None => {}
    }
}

/// What belongs to `X-Forwarded-For`; what a trusted peer has said stays.
fn tell_the_rest(
    headers: &mut HeaderMap,
    list: Option<List>,
    peer: &Peer,
    client: Client,
    authority: &Authority,
) {
    match list {
        // A peer that says no list may still say this.
        None => _ = headers.entry(X_REAL_IP).or_insert_with(|| peer.text.clone()),
        Some(_) => _ = headers.insert(X_REAL_IP, client_text(peer, client)),
    }
    if list == Some(List::Forwarded) {
        headers.insert(X_FORWARDED_PROTO, scheme_value(client.https));
    } else {
        headers.entry(X_FORWARDED_PROTO).or_insert_with(|| scheme_value(client.https));
    }
    headers.entry(X_FORWARDED_PORT).or_insert_with(|| authority.port_value(client.https));
    if let Some(host) = authority.value() {
        headers.entry(X_FORWARDED_HOST).or_insert_with(|| host.clone());
    }
}

fn x_forwarded_for_value(
    headers: &HeaderMap,
    list: Option<List>,
    peer: &Peer,
    client: Client,
) -> HeaderValue {
    match list {
        Some(List::XForwardedFor) => appended(headers.get_all(X_FORWARDED_FOR).iter(), &peer.text),
        Some(List::Forwarded) if client.address != peer.address => {
            appended([&client_text(peer, client)].into_iter(), &peer.text)
        }
        Some(List::Forwarded) | None => peer.text.clone(),
    }
}

fn forwarded_value(
    headers: &HeaderMap,
    list: Option<List>,
    peer: &Peer,
    client: Client,
    authority: &Authority,
) -> HeaderValue {
    let host = authority.value();
    match list {
        Some(List::Forwarded) => {
            let last = rfc7239::element(peer.address, host, Some(peer.https));
            appended(headers.get_all(header::FORWARDED).iter(), &last)
        }
        Some(List::XForwardedFor) if client.address != peer.address => {
            let first = rfc7239::element(client.address, host, Some(client.https));
            appended([&first].into_iter(), &rfc7239::element(peer.address, None, None))
        }
        Some(List::XForwardedFor) | None => rfc7239::element(peer.address, host, Some(client.https)),
    }
}

/// All lines in one, and `last` after them.
fn appended<'a>(lines: impl Iterator<Item = &'a HeaderValue>, last: &HeaderValue) -> HeaderValue {
    let mut list = Vec::with_capacity(64);
    for line in lines.filter(|line| !line.is_empty()) {
        list.extend_from_slice(line.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(last.as_bytes());
    // Made of valid values, so it is one.
    HeaderValue::from_bytes(&list).unwrap_or_else(|_| last.clone())
}

fn scheme_value(https: bool) -> HeaderValue {
    HeaderValue::from_static(if https { "https" } else { "http" })
}

fn client_text(peer: &Peer, client: Client) -> HeaderValue {
    if client.address == peer.address { peer.text.clone() } else { address_value(client.address) }
}

fn address_value(address: IpAddr) -> HeaderValue {
    // Digits, letters, dots and colons always make a value.
    HeaderValue::from_str(&address.to_string()).unwrap_or(HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::config::Limits;
    use crate::forward::head;

    const LIMITS: Limits = Limits {
        header_bytes: 65_536,
        headers: 200,
        uri_bytes: 32_768,
        body_bytes: None,
        connections_per_ip: None,
    };

    /// What the shop is told of a request from 10.0.0.1 with these fields, and who the client is.
    fn told(trusted: &str, fields: ForwardedFields, lines: &[(&str, &str)]) -> (Client, Vec<String>) {
        let mut head = Request::builder().header("host", "shop.test:8080").body(()).unwrap().into_parts().0;
        for (name, value) in lines {
            head.headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let authority = head::check(&mut head, &LIMITS).unwrap();
        let trusted = [trusted.parse().unwrap()];
        let peer = Peer::new("10.0.0.1".parse().unwrap(), &trusted, false);
        let mut headers = head.headers;
        let client = client(&headers, &peer, &trusted, fields);
        super::super::fields::clean_request(&mut headers, peer.trusted);
        tell(&mut headers, &peer, client, &authority, fields);
        headers.remove("host");
        let line =
            |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
        let mut told: Vec<String> = headers.iter().map(line).collect();
        told.sort();
        (client, told)
    }

    fn client_of(https: bool, address: &str) -> Client {
        Client { address: address.parse().unwrap(), https }
    }

    const NOBODY: &str = "10.9.9.9/32";
    const NGINX: &str = "10.0.0.0/8";

    #[test]
    fn a_strangers_fields_are_replaced() {
        let forged = [("x-forwarded-for", "6.6.6.6"), ("forwarded", "for=6.6.6.6"), ("x-real-ip", "6.6.6.6")];
        let (client, told_plain) = told(NOBODY, ForwardedFields::XForwarded, &forged);
        assert_eq!(client, client_of(false, "10.0.0.1"));
        let x = [
            "x-forwarded-for: 10.0.0.1",
            "x-forwarded-host: shop.test:8080",
            "x-forwarded-port: 8080",
            "x-forwarded-proto: http",
            "x-real-ip: 10.0.0.1",
        ];
        assert_eq!(told_plain, x);
        let rfc = "forwarded: for=10.0.0.1;host=\"shop.test:8080\";proto=http";
        assert_eq!(told(NOBODY, ForwardedFields::Rfc7239, &forged).1, [rfc]);
        assert_eq!(told(NOBODY, ForwardedFields::Both, &forged).1, [[rfc].as_slice(), &x].concat());
    }

    #[test]
    fn a_trusted_peers_list_grows_and_what_it_let_through_of_the_other_kind_goes() {
        let lines = [
            ("x-forwarded-for", "6.6.6.6, 192.0.2.7"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "www.shop.test"),
            ("x-forwarded-port", "443"),
            ("x-real-ip", "6.6.6.6"),
            ("forwarded", "for=6.6.6.6"),
        ];
        let (client, told_plain) = told(NGINX, ForwardedFields::XForwarded, &lines);
        assert_eq!(client, client_of(true, "192.0.2.7"));
        let x = [
            "x-forwarded-for: 6.6.6.6, 192.0.2.7, 10.0.0.1",
            "x-forwarded-host: www.shop.test",
            "x-forwarded-port: 443",
            "x-forwarded-proto: https",
            "x-real-ip: 192.0.2.7",
        ];
        assert_eq!(told_plain, x);
        let rfc = "forwarded: for=192.0.2.7;host=\"shop.test:8080\";proto=https, for=10.0.0.1";
        assert_eq!(told(NGINX, ForwardedFields::Both, &lines).1, [[rfc].as_slice(), &x].concat());
    }

    #[test]
    fn forwarded_is_read_where_it_is_spoken_or_alone() {
        let list = "for=6.6.6.6, for=\"[2001:db8::7]:99\";proto=https;host=a, for=10.0.0.2;proto=http";
        let alone = [("forwarded", list)];
        let (client, told_plain) = told(NGINX, ForwardedFields::XForwarded, &alone);
        assert_eq!(client, client_of(true, "2001:db8::7"));
        assert_eq!(told_plain[0], "x-forwarded-for: 2001:db8::7, 10.0.0.1");
        assert_eq!(told_plain[3..], ["x-forwarded-proto: https", "x-real-ip: 2001:db8::7"]);
        let both = [("forwarded", list), ("x-forwarded-for", "7.7.7.7"), ("x-real-ip", "7.7.7.7")];
        let (client, told_rfc) = told(NGINX, ForwardedFields::Rfc7239, &both);
        assert_eq!(client, client_of(true, "2001:db8::7"));
        let grown = format!("forwarded: {list}, for=10.0.0.1;host=\"shop.test:8080\";proto=http");
        assert_eq!(told_rfc, [grown]);
    }

    #[test]
    fn what_names_no_address_ends_the_walk() {
        for list in ["for=unknown", "for=_hidden", "proto=https", "for=\"1.1.1.1", "for=1.1.1.1 x", "="] {
            let (client, _) = told(NGINX, ForwardedFields::Rfc7239, &[("forwarded", list)]);
            assert_eq!(client.address.to_string(), "10.0.0.1", "{list}");
        }
    }

    #[test]
    fn of_a_list_of_schemes_the_first_is_the_clients() {
        for (proto, https) in [("https", true), ("HTTPS,http", true), ("http, https", false), ("wss", true)] {
            let lines = [("x-forwarded-for", "192.0.2.7"), ("x-forwarded-proto", proto)];
            assert_eq!(told(NGINX, ForwardedFields::XForwarded, &lines).0.https, https, "{proto}");
        }
    }
}
