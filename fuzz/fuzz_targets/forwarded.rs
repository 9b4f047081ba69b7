//! Whatever stands in forwarding fields, a stranger stays itself, and behind a trusted proxy a client is who the proxy
//! saw, or nobody.

#![no_main]

use std::net::IpAddr;

use http::header::{FORWARDED, HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use utm_dispatcher::config::ForwardedFields;
use utm_dispatcher::forward::Peer;
use utm_dispatcher::forward::forwarded::client;

fuzz_target!(|input: (&[u8], &[u8], bool, bool)| {
    let (list, rest, is_v6, is_rfc7239) = input;
    let trusted = ["10.0.0.0/8".parse().unwrap()];
    let proxy: IpAddr = "10.0.0.1".parse().unwrap();
    let truth: IpAddr = if is_v6 { "2001:db8::9" } else { "192.0.2.9" }.parse().unwrap();
    let appended: &[u8] = match (is_rfc7239, is_v6) {
        (false, false) => b"192.0.2.9",
        (false, true) => b"2001:db8::9",
        (true, false) => b"for=192.0.2.9",
        (true, true) => b"for=\"[2001:db8::9]\";proto=https",
    };
    let (Ok(list), Ok(rest)) =
        (HeaderValue::from_bytes(&[list, b", ", appended].concat()), HeaderValue::from_bytes(rest))
    else {
        return;
    };
    let mut headers = HeaderMap::new();
    let (name, other) = if is_rfc7239 { (FORWARDED.as_str(), "x-forwarded-for") } else { ("x-forwarded-for", "forwarded") };
    headers.append(name.parse::<http::HeaderName>().unwrap(), list);
    headers.append(other.parse::<http::HeaderName>().unwrap(), rest.clone());
    headers.append("x-forwarded-proto", rest);
    let fields = if is_rfc7239 { ForwardedFields::Rfc7239 } else { ForwardedFields::XForwarded };

    let stranger = Peer::new(truth, &trusted, false);
    assert_eq!(client(&headers, &stranger, &trusted, fields).address, truth);
    let found = client(&headers, &Peer::new(proxy, &trusted, false), &trusted, fields).address;
    assert!(found == truth || (is_rfc7239 && found == proxy), "{found}");
});
