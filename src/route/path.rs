//! Paths as routes see them: escapes decoded once, `.` and `..` resolved, empty segments dropped. Only the match uses
//! this copy; what is forwarded stays as it was sent.

use std::borrow::Cow;

/// The path for matching. It borrows where nothing needs to be resolved, which is nearly always.
pub(super) fn normalise(path: &str) -> Cow<'_, str> {
    if is_plain(path.as_bytes()) {
        return Cow::Borrowed(path);
    }
    let decoded = decode(path.as_bytes());
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in decoded.split(|byte| *byte == b'/') {
        match dots_of(segment) {
            b"" | b"." => {}
            b".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    let last = decoded.rsplit(|byte| *byte == b'/').next().map(dots_of);
    let is_folder = matches!(last, Some(b"" | b"." | b".."));
    let mut normal = Vec::with_capacity(decoded.len() + 1);
    for segment in &segments {
        normal.push(b'/');
        normal.extend_from_slice(segment);
    }
    if is_folder || segments.is_empty() {
        normal.push(b'/');
    }
    Cow::Owned(String::from_utf8_lossy(&normal).into_owned())
}

/// `..;a` is `..` to servers that know parameters of segments; every other segment stays.
fn dots_of(segment: &[u8]) -> &[u8] {
    match segment.split(|byte| *byte == b';').next() {
        Some(dots @ (b"." | b"..")) => dots,
        _ => segment,
    }
}

/// Whether `path` is `prefix` or lies below it: `/shop` holds `/shop` and `/shop/a`, not `/shopping`.
pub(super) fn is_below(path: &str, prefix: &str) -> bool {
    match path.strip_prefix(prefix) {
        Some(rest) => rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'),
        None => false,
    }
}

/// No escape, and no slash that a slash or a dot follows.
fn is_plain(path: &[u8]) -> bool {
    let mut after_slash = false;
    for &byte in path {
        if byte == b'%' || (after_slash && matches!(byte, b'/' | b'.')) {
            return false;
        }
        after_slash = byte == b'/';
    }
    true
}

fn decode(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'%', [high, low, tail @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    decoded.push(high << 4 | low);
                    rest = tail;
                }
                _ => decoded.push(byte),
            },
            _ => decoded.push(byte),
        }
    }
    decoded
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dots_escapes_and_empty_segments_are_resolved() {
        for (path, normal) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a//b", "/a/b"),
            ("/x/../admin", "/admin"),
            ("/x/%2e%2e/admin", "/admin"),
            ("/../../admin", "/admin"),
            ("/%61dmin/", "/admin/"),
            ("/x%2F..%2Fadmin", "/admin"),
            ("/a/.", "/a/"),
            ("/a/..", "/"),
            ("/100%", "/100%"),
            ("/%zz", "/%zz"),
            ("/.well-known/x", "/.well-known/x"),
            ("/x/..;a=b/admin", "/admin"),
            ("/a;b/c", "/a;b/c"),
            ("/x/%2e%2e%3b/admin", "/admin"),
            ("/%252e%252e/a", "/%2e%2e/a"),
        ] {
            assert_eq!(normalise(path), normal, "{path}");
        }
    }

    #[test]
    fn prefixes_end_at_segments() {
        assert!(is_below("/shop", "/shop"));
        assert!(is_below("/shop/a", "/shop"));
        assert!(!is_below("/shopping", "/shop"));
        assert!(is_below("/shop/a", "/shop/"));
        assert!(!is_below("/shop", "/shop/"));
        assert!(is_below("/anything", "/"));
    }

    proptest! {
        #[test]
        fn a_normal_path_starts_with_a_slash_and_has_no_dots_left(path in "/[ -~]{0,40}") {
            let normal = normalise(&path);
            prop_assert!(normal.starts_with('/'));
            prop_assert!(normal.split('/').all(|segment| segment != ".." && segment != "."));
        }
    }
}
