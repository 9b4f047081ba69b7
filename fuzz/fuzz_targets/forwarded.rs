//! Forwarding fields of strangers: who is not trusted is the client whatever it says; behind a trusted peer the client is
//! the peer, or an address that stands in the fields; and no bytes make it fail.

#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use utm_dispatcher::forward::client_address;

fuzz_target!(|lines: Vec<Vec<u8>>| {
    let peer: IpAddr = [192, 0, 2, 9].into();
    let inside: IpAddr = [10, 0, 0, 1].into();
    let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
    let read = |peer| client_address(peer, &trusted, lines.iter().map(Vec::as_slice));
    assert_eq!(read(peer), peer, "a stranger is believed nothing");
    let client = read(inside);
    assert_eq!(client, client.to_canonical());
    let with_nearest = [lines.as_slice(), &[b"203.0.113.7, 10.1.1.1".to_vec()]].concat();
    let nearest = client_address(inside, &trusted, with_nearest.iter().map(Vec::as_slice));
    assert_eq!(nearest, IpAddr::from([203, 0, 113, 7]), "what stands further left is not read");
});
