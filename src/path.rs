//! Paths as routes, exclusions and the look for scanners see them: escapes decoded once, `.` and `..` resolved, empty
//! segments dropped. Only the match uses this copy; what is forwarded and stored stays as it was sent.

use std::borrow::Cow;

/// The path for matching. It borrows where nothing needs to be resolved, which is nearly always.
pub fn normalise(path: &str) -> Cow<'_, str> {
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

/// The same for whoever looks for ASCII alone: it borrows, too, where only other letters are escaped.
pub fn normalise_ascii(path: &str) -> Cow<'_, str> {
    let is_other_letter = |digit: &u8| digit.is_ascii_hexdigit() && *digit >= b'8';
    let bytes = path.as_bytes();
    let mut escapes = memchr::memchr_iter(b'%', bytes);
    let is_ascii_plain =
        escapes.all(|at| bytes.get(at + 1).is_some_and(is_other_letter)) && !has_odd_segment(bytes);
    if is_ascii_plain { Cow::Borrowed(path) } else { normalise(path) }
}

/// `..;a` is `..` to servers that know parameters of segments; every other segment stays.
fn dots_of(segment: &[u8]) -> &[u8] {
    match segment.split(|byte| *byte == b';').next() {
        Some(dots @ (b"." | b"..")) => dots,
        _ => segment,
    }
}

/// Whether `path` is `prefix` or lies below it: `/shop` holds `/shop` and `/shop/a`, not `/shopping`.
pub(crate) fn is_below(path: &str, prefix: &str) -> bool {
    match path.strip_prefix(prefix) {
        Some(rest) => rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'),
        None => false,
    }
}

/// No escape, and no slash that a slash or a dot follows.
fn is_plain(path: &[u8]) -> bool {
    memchr::memchr(b'%', path).is_none() && !has_odd_segment(path)
}

/// Whether a slash or a dot follows a slash.
fn has_odd_segment(path: &[u8]) -> bool {
    path.windows(2).any(|pair| matches!(pair, [b'/', b'/' | b'.']))
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
            assert_eq!(normalise_ascii(path), normal, "{path}");
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

    #[test]
    fn other_letters_alone_are_no_reason_for_a_copy() {
        for path in ["/", "/p/boots", "/%D0%BA%D1%83%D1%80%D1%82%D0%BA%D0%B8/", "/caf%c3%a9"] {
            assert!(matches!(normalise_ascii(path), Cow::Borrowed(_)), "{path}");
        }
        for path in ["/%D0%BA/%2eenv", "//.env", "/%61dmin", "/x/../y"] {
            assert!(matches!(normalise_ascii(path), Cow::Owned(_)), "{path}");
        }
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
