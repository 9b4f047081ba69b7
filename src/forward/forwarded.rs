//! Who asks, as the shop is told: `X-Forwarded-For/-Proto/-Host/-Port` and `X-Real-IP`.

use std::borrow::Cow;
use std::net::IpAddr;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use super::client_address::{client_address, is_trusted};
use super::head::Authority;

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
    /// A peer on a plain connection.
    pub fn new(address: IpAddr, trusted: &[IpNet]) -> Self {
        let address = address.to_canonical();
        let text = address_value(address);
        Peer { address, trusted: is_trusted(address, trusted), https: false, text }
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

/// Finds the client behind trusted proxies. To be called before the fields are rewritten.
pub fn client(headers: &HeaderMap, peer: &Peer, trusted: &[IpNet]) -> Client {
    if !peer.trusted {
        return Client { address: peer.address, https: peer.https };
    }
    let lines = headers.get_all(X_FORWARDED_FOR).iter().map(HeaderValue::as_bytes);
    let https = match headers.get(X_FORWARDED_PROTO) {
        Some(proto) => proto.as_bytes().eq_ignore_ascii_case(b"https"),
        None => peer.https,
    };
    Client { address: client_address(peer.address, trusted, lines), https }
}

/// Tells the shop. From a trusted peer what is there is kept and the list of addresses grows by the peer; from any
/// other [`super::fields::clean_request`] has removed all.
pub fn tell(headers: &mut HeaderMap, peer: &Peer, client: Client, authority: &Authority) {
    if peer.trusted {
        return tell_from_proxy(headers, peer, client, authority);
    }
    headers.insert(X_FORWARDED_FOR, peer.text.clone());
    headers.insert(X_REAL_IP, peer.text.clone());
    headers.insert(X_FORWARDED_PROTO, scheme_value(client.https));
    headers.insert(X_FORWARDED_PORT, authority.port_value(client.https));
    if let Some(host) = authority.value() {
        headers.insert(X_FORWARDED_HOST, host.clone());
    }
}

fn tell_from_proxy(headers: &mut HeaderMap, peer: &Peer, client: Client, authority: &Authority) {
    let list = appended(headers.get_all(X_FORWARDED_FOR).iter(), &peer.text);
    headers.insert(X_FORWARDED_FOR, list);
    let text =
        || if client.address == peer.address { peer.text.clone() } else { address_value(client.address) };
    headers.entry(X_REAL_IP).or_insert_with(text);
    headers.entry(X_FORWARDED_PROTO).or_insert_with(|| scheme_value(client.https));
    headers.entry(X_FORWARDED_PORT).or_insert_with(|| authority.port_value(client.https));
    if let Some(host) = authority.value() {
        headers.entry(X_FORWARDED_HOST).or_insert_with(|| host.clone());
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

fn address_value(address: IpAddr) -> HeaderValue {
    // Digits, letters, dots and colons always make a value.
    HeaderValue::from_str(&address.to_string()).unwrap_or(HeaderValue::from_static("unknown"))
}
