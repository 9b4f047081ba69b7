//! Masking: nothing of an e-mail address or a token is left, what is masked stays so, and digits and words are not touched.

#![no_main]

use libfuzzer_sys::fuzz_target;
use utm_dispatcher::capture::mask;

const TOKEN: &str = "4ab1f0a6dc5d1ad5bd0d0c3d7c6e4ff2";
const EMAIL: &str = "anna@example.com";

fuzz_target!(|text: &str| {
    let path = mask::path(text).into_owned();
    assert_eq!(mask::path(&path), path, "again");
    assert_eq!(path.matches('/').count(), text.matches('/').count(), "no segment comes or goes");
    for secret in [TOKEN, EMAIL] {
        assert!(!mask::path(&format!("/{text}/{secret}/{text}")).contains(secret));
    }
    let told = mask::text(text.into()).into_owned();
    assert_eq!(mask::text(told.as_str().into()), told, "again");
    assert!(!mask::text(format!("{text} {EMAIL} {text}").into()).contains(EMAIL));
    assert!(mask::search(text.into()).chars().count() <= 200);
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'/') {
        assert_eq!(path, text, "digits stay");
    }
    if let Ok(target) = text.parse() {
        let shown = mask::target(&target, |_| false);
        assert!(!shown.contains(EMAIL));
    }
});
