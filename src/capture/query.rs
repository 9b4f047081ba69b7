//! The query string as bytes: taking parameters off without touching any other byte, and reading parameters.
//!
//! Rules (no URL library does these): split on `&` only; a name is what stands before the first `=`, decoded once for
//! comparison only; everything that stays, stays byte for byte.

use std::borrow::Cow;

/// As much of a name as is compared.
const NAME_BYTES: usize = 64;

/// Which parameters are taken off: names, or prefixes where the pattern ends with `*`. Compared without case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NamePatterns {
    exact: Vec<Box<[u8]>>,
    prefixes: Vec<Box<[u8]>>,
}

impl NamePatterns {
    /// Compiles patterns such as `utm_*` or `ref`.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Self {
        let mut compiled = Self::default();
        for pattern in patterns {
            let lower = pattern.to_ascii_lowercase();
            match lower.strip_suffix('*') {
                Some(prefix) => compiled.prefixes.push(prefix.as_bytes().into()),
                None => compiled.exact.push(lower.as_bytes().into()),
            }
        }
        compiled
    }

    /// Whether nothing matches.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty()
    }

    /// Whether a parameter name, as it stands in the query, matches. `utm_source[]` counts as `utm_source`, since PHP
    /// reads it so; `utm.source` is another name.
    pub fn matches(&self, raw_name: &[u8]) -> bool {
        let mut buffer = [0; NAME_BYTES];
        let (name, is_whole) = decode_start(raw_name, &mut buffer);
        (is_whole && self.exact.iter().any(|exact| **exact == *without_brackets(name)))
            || self.prefixes.iter().any(|prefix| name.starts_with(prefix))
    }

    /// Whether a parameter could begin at a byte: a cheap test before the name is decoded.
    fn may_begin_with(&self, byte: u8) -> bool {
        let byte = byte.to_ascii_lowercase();
        byte == b'%'
            || byte == b'+'
            || self
                .exact
                .iter()
                .chain(&self.prefixes)
                .any(|name| name.first().is_none_or(|first| *first == byte))
    }
}

/// The query part of a request target: what stands after the first `?`, without a fragment.
pub fn query_of(target: &[u8]) -> Option<&[u8]> {
    let target = memchr::memchr(b'#', target).map_or(target, |end| &target[..end]);
    memchr::memchr(b'?', target).map(|mark| &target[mark + 1..])
}

/// `target` without the matching parameters; none when there is nothing to take off.
///
/// Order, repetition, empty segments and every byte of what stays are kept. When the query becomes empty the `?` goes
/// too.
pub fn strip(target: &[u8], patterns: &NamePatterns) -> Option<Vec<u8>> {
    let query = query_of(target)?;
    let place = |part: &[u8]| part.as_ptr() as usize - target.as_ptr() as usize;
    let mut segments = segments(query);
    let first = segments.by_ref().find(|segment| is_match(segment, patterns))?;
    let mut out = Vec::with_capacity(target.len());
    // With the `?` or `&` before it, which goes if nothing follows.
    out.extend_from_slice(&target[..place(first)]);
    for segment in segments.filter(|segment| !is_match(segment, patterns)) {
        out.extend_from_slice(segment);
        out.push(b'&');
    }
    out.pop();
    if out.len() == place(query) {
        out.pop();
    }
    out.extend_from_slice(&target[place(query) + query.len()..]);
    Some(out)
}

/// The pairs of a query as raw name and raw value (none without `=`).
pub fn pairs(query: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    segments(query).map(split_pair)
}

/// A raw name in lower case, decoded once, PHP's array brackets off; none when it is too long to be one of ours.
pub fn decode_name<'b>(raw: &[u8], buffer: &'b mut [u8; NAME_BYTES]) -> Option<&'b [u8]> {
    let (name, is_whole) = decode_start(raw, buffer);
    is_whole.then(|| without_brackets(name))
}

/// As much of a raw name as fits, in lower case and decoded once, and whether that is all of it.
fn decode_start<'b>(raw: &[u8], buffer: &'b mut [u8; NAME_BYTES]) -> (&'b [u8], bool) {
    if raw.len() <= NAME_BYTES && !is_encoded(raw) {
        let name = &mut buffer[..raw.len()];
        name.copy_from_slice(raw);
        name.make_ascii_lowercase();
        return (name, true);
    }
    let mut length = 0;
    let mut rest = raw;
    while length < NAME_BYTES
        && let Some((byte, after)) = decode_byte(rest)
    {
        buffer[length] = byte.to_ascii_lowercase();
        length += 1;
        rest = after;
    }
    (&buffer[..length], rest.is_empty())
}

fn without_brackets(name: &[u8]) -> &[u8] {
    let bracket = memchr::memchr(b'[', name).filter(|&at| at > 0 && name.ends_with(b"]"));
    bracket.map_or(name, |at| &name[..at])
}

/// A raw value decoded once (`%XX`, `+` as a space; broken escapes stay as they are).
pub fn decode_value(raw: &[u8]) -> Cow<'_, [u8]> {
    if !is_encoded(raw) {
        return Cow::Borrowed(raw);
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((byte, after)) = decode_byte(rest) {
        out.push(byte);
        rest = after;
    }
    Cow::Owned(out)
}

/// Whether there is anything to decode. Without an early end, so that it becomes vector instructions.
fn is_encoded(raw: &[u8]) -> bool {
    raw.iter().fold(false, |found, byte| found | matches!(byte, b'%' | b'+'))
}

fn decode_byte(raw: &[u8]) -> Option<(u8, &[u8])> {
    match raw {
        [] => None,
        [b'%', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
            Some((hex_digit(*high) << 4 | hex_digit(*low), after))
        }
        [b'+', after @ ..] => Some((b' ', after)),
        [byte, after @ ..] => Some((*byte, after)),
    }
}

fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

fn segments(query: &[u8]) -> impl Iterator<Item = &[u8]> {
    split(query, b'&')
}

/// As `slice::split`, a vector of bytes at a time.
pub(super) fn split(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr::memchr_iter(separator, text).chain(std::iter::once(text.len())).map(move |end| {
        let part = &text[start..end];
        start = end + 1;
        part
    })
}

/// Whether a word stands in a text. For a text as short as a field's value it costs more to prepare a search by what is rare
/// than to look at each place of the word's first letter.
pub(super) fn holds(text: &[u8], word: &[u8]) -> bool {
    word.first().is_none_or(|first| memchr::memchr_iter(*first, text).any(|at| text[at..].starts_with(word)))
}

fn split_pair(segment: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'=', segment) {
        Some(at) => (&segment[..at], Some(&segment[at + 1..])),
        None => (segment, None),
    }
}

fn is_match(segment: &[u8], patterns: &NamePatterns) -> bool {
    segment.first().is_some_and(|first| patterns.may_begin_with(*first))
        && patterns.matches(split_pair(segment).0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn utm() -> NamePatterns {
        NamePatterns::new(["utm_*"])
    }

    fn stripped(target: &str) -> String {
        strip(target.as_bytes(), &utm())
            .map_or_else(|| target.to_owned(), |out| String::from_utf8(out).unwrap())
    }

    #[test]
    fn only_utm_parameters_go_and_every_other_byte_stays() {
        for (target, expected) in [
            ("/a", "/a"),
            ("/a?", "/a?"),
            ("/a?&&", "/a?&&"),
            ("/a?utm_source=x", "/a"),
            ("/a?utm_source=x#top", "/a#top"),
            ("/a?a&&utm_x=1&b", "/a?a&&b"),
            ("/a?a=1&utm_x=2&", "/a?a=1&"),
            ("/a?&utm_x=1", "/a"),
            ("/a?utm_a=1&utm_b=2", "/a"),
            ("/a?utm_source", "/a"),
            ("/a?UTM_Source=x&q=%7e;y=+&z", "/a?q=%7e;y=+&z"),
            ("/a?utm%5Fsource=x&b=1", "/a?b=1"),
            ("/a?%75tm_source=x&b=1", "/a?b=1"),
            ("/a?%2575tm_source=x", "/a?%2575tm_source=x"),
            ("/a?utm_source[]=x&utm_source[a]=y&b", "/a?b"),
            ("/a?utm.source=x", "/a?utm.source=x"),
            (&format!("/a?utm_{}=x&b", "y".repeat(200)), "/a?b"),
            ("/a?next=%2Fp%3Futm_source%3Dx", "/a?next=%2Fp%3Futm_source%3Dx"),
            ("/a?next=/p?utm_source=x", "/a?next=/p?utm_source=x"),
            ("/a;utm_source=x?b=1;utm_source=2", "/a;utm_source=x?b=1;utm_source=2"),
            ("/a#?utm_source=x", "/a#?utm_source=x"),
            ("/a?%u=1&%=2&utm_x=%zz&a=%e", "/a?%u=1&%=2&a=%e"),
        ] {
            assert_eq!(stripped(target), expected, "{target}");
        }
    }

    #[test]
    fn nothing_to_take_off_costs_no_allocation() {
        assert_eq!(strip(b"/a?b=utm_source&c=%75", &utm()), None);
        assert_eq!(strip(b"/utm_source=1", &utm()), None);
    }

    #[test]
    fn own_patterns_are_names_or_prefixes() {
        let patterns = NamePatterns::new(["fbclid", "MTM_*"]);
        assert_eq!(
            strip(b"/?fbclid=1&mtm_x=2&fbclid2=3&utm_source=4", &patterns).unwrap(),
            b"/?fbclid2=3&utm_source=4"
        );
    }

    fn segment() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            proptest::collection::vec(prop_oneof![Just(b'='), Just(b'%'), Just(b'+'), any::<u8>()], 0..12),
            "(utm|UTM|%75tm|uTm)(_|%5f|%5F)[a-z]{0,5}(=[a-z%=+]{0,6})?".prop_map(String::into_bytes),
            "[a-z]{0,4}(=[a-z%&#?]{0,6})?".prop_map(String::into_bytes),
        ]
    }

    proptest! {
        #[test]
        fn strip_is_join_of_filter_of_split(segments in proptest::collection::vec(segment(), 0..8)) {
            let query: Vec<u8> = segments.join(&b'&').into_iter().filter(|byte| *byte != b'#').collect();
            let target = [b"/p?".as_slice(), &query].concat();
            let kept: Vec<&[u8]> = query
                .split(|byte| *byte == b'&')
                .filter(|segment| !utm().matches(segment.split(|byte| *byte == b'=').next().unwrap()))
                .collect();
            let all = query.split(|byte| *byte == b'&').count();
            let out = strip(&target, &utm());
            if kept.len() == all {
                prop_assert_eq!(&out, &None);
            } else {
                let joined = kept.join(&b'&');
                let expected = if joined.is_empty() { b"/p".to_vec() } else { [b"/p?".as_slice(), &joined].concat() };
                prop_assert_eq!(out.as_ref().unwrap(), &expected);
                prop_assert_eq!(strip(&expected, &utm()), None, "idempotent");
            }
        }

        #[test]
        fn words_are_found_wherever_they_stand(text in "[ab]{0,12}", word in "[ab]{0,3}") {
            prop_assert_eq!(holds(text.as_bytes(), word.as_bytes()), text.contains(&word));
        }

        #[test]
        fn no_bytes_make_it_fail(target in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(out) = strip(&target, &utm()) {
                let mut rest = target.iter();
                prop_assert!(out.iter().all(|byte| rest.any(|other| other == byte)), "a subsequence");
            }
            let query = query_of(&target).unwrap_or_default();
            for (name, value) in pairs(query) {
                let mut buffer = [0; NAME_BYTES];
                let _ = (decode_name(name, &mut buffer), value.map(decode_value));
            }
        }
    }
}
