//! Referrers and hosts: no bytes make reading them fail, and what is kept of them has no query, no credentials, no capitals
//! in the host.

#![no_main]

use libfuzzer_sys::fuzz_target;
use utm_dispatcher::capture::evidence::{Evidence, Referrer};
use utm_dispatcher::capture::host;

fuzz_target!(|value: &[u8]| {
    if let Ok(text) = std::str::from_utf8(value) {
        let host = host::host_of(text);
        assert!(!host.bytes().any(|byte| byte.is_ascii_uppercase()));
        let _ = host::registrable(&host);
        assert!(host::same_owner(&host, &host));
        assert!(host::is_within(&host, &host));
    }
    let Some(referrer) = Referrer::read(value) else { return };
    assert!(!referrer.host.is_empty());
    assert!(!referrer.url.contains(['?', '#']) && referrer.url.contains("://"));
    let authority = referrer.url.split("://").nth(1).unwrap_or_default().split('/').next().unwrap_or_default();
    assert!(!authority.contains('@'));
    let url = referrer.url.chars().count();
    let touch = Evidence::default().touch(Some(referrer)).unwrap();
    assert!(url <= 1024 && touch.referrer.is_some());
});
