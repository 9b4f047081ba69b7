//! Our cookie leaves a `Cookie` field and every other stays; only a signed value is believed.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use utm_dispatcher::capture::cookie::{CookieName, VisitorCookie, pairs};
use utm_dispatcher::keys::KeyRing;

const NOW_S: u32 = 1_700_000_000;
const GENUINE: VisitorCookie = VisitorCookie {
    visitor_id: uuid(1),
    session_id: uuid(2),
    started_s: NOW_S,
    active_s: NOW_S,
    campaign_hash: 3,
    click_hash: 4,
    session_number: 5,
    flags: 0,
};

static NAME: LazyLock<CookieName> = LazyLock::new(|| CookieName::new("_utmd"));

static KEYS: LazyLock<KeyRing> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    KeyRing::load_or_create(&folder.path().join("secret")).unwrap()
});

fuzz_target!(|field: &[u8]| {
    let is_ours = |(name, _): &(&[u8], &[u8])| name.trim_ascii() == NAME.as_str().as_bytes();
    match NAME.without(field) {
        None => assert!(!pairs(field).any(|pair| is_ours(&pair))),
        Some(rest) => {
            assert!(pairs(field).any(|pair| is_ours(&pair)));
            assert!(pairs(&rest).eq(pairs(field).filter(|pair| !is_ours(pair))));
        }
    }
    assert!(VisitorCookie::find([field].into_iter(), &NAME, &KEYS, NOW_S).is_err(), "unsigned");
    let _ = VisitorCookie::decode(field, &KEYS, NOW_S);
    let genuine = [field, b"; _utmd=", GENUINE.encode(&KEYS).as_bytes()].concat();
    let found = VisitorCookie::find([field, &genuine].into_iter(), &NAME, &KEYS, NOW_S);
    assert_eq!(found, Ok(GENUINE), "beside any others");
});

const fn uuid(number: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(number)
}
