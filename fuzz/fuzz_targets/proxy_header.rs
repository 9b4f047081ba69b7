//! A PROXY header is read the same whatever follows it, and is none as long as its end is missing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use utm_dispatcher::accept::{Parsed, parse_proxy_header};

fuzz_target!(|bytes: &[u8]| {
    let Ok(Parsed::Header { length, client }) = parse_proxy_header(bytes) else { return };
    assert!((8..=4096).contains(&length) && length <= bytes.len());
    assert_eq!(parse_proxy_header(&bytes[..length]), Ok(Parsed::Header { length, client }));
    for end in 0..length {
        assert_eq!(parse_proxy_header(&bytes[..end]), Ok(Parsed::Incomplete));
    }
});
