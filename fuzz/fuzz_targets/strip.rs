//! Taking parameters off a target is join ∘ filter ∘ split on `&`, and touches nothing else.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use utm_dispatcher::capture::query::{NamePatterns, strip};

static PATTERNS: LazyLock<NamePatterns> = LazyLock::new(|| NamePatterns::new(["utm_*", "fbclid"]));

fuzz_target!(|target: &[u8]| {
    let stripped = strip(target, &PATTERNS);
    assert_eq!(stripped, expected(target), "{:?}", String::from_utf8_lossy(target));
    if let Some(out) = stripped {
        assert_eq!(strip(&out, &PATTERNS), None, "idempotent");
    }
});

fn expected(target: &[u8]) -> Option<Vec<u8>> {
    let end = target.iter().position(|byte| *byte == b'#').unwrap_or(target.len());
    let mark = target[..end].iter().position(|byte| *byte == b'?')?;
    let segments: Vec<&[u8]> = target[mark + 1..end].split(|byte| *byte == b'&').collect();
    let kept: Vec<&[u8]> = segments.iter().copied().filter(|segment| !is_ours(segment)).collect();
    if kept.len() == segments.len() {
        return None;
    }
    let query = kept.join(&b'&');
    let mark: &[u8] = if query.is_empty() { b"" } else { b"?" };
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    Some([path, mark, &query, &target[end..]].concat())
}

/// Whether a segment's name, decoded once and in lower case, is one of ours.
fn is_ours(segment: &[u8]) -> bool {
    let raw = segment.split(|byte| *byte == b'=').next().unwrap_or_default();
    let mut name = Vec::new();
    let mut at = 0;
    while at < raw.len() {
        let escape = raw.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        let decoded = escape
            .filter(|digits| raw[at] == b'%' && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        name.push(decoded.unwrap_or(if raw[at] == b'+' { b' ' } else { raw[at] }).to_ascii_lowercase());
        at += if decoded.is_some() { 3 } else { 1 };
    }
    if name.starts_with(b"utm_") {
        return true;
    }
    // An exact name is compared with names of up to 64 bytes, without PHP's brackets.
    let is_short = name.len() <= 64;
    if name.ends_with(b"]")
        && let Some(bracket) = name.iter().position(|byte| *byte == b'[').filter(|at| *at > 0)
    {
        name.truncate(bracket);
    }
    is_short && name == b"fbclid"
}
