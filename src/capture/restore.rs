//! Parameters that were taken off a request come back on the redirect that answers it, so that the page it leads to, and
//! the browser's own scripts, see them.

use std::collections::HashSet;

use super::host::host_of;
use super::query::{NamePatterns, decode_name, pairs, query_of};

/// Where a `Location` leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination<'a> {
    /// The host that was asked.
    SameHost,
    /// Another one, in lower case, without its port.
    Host(std::borrow::Cow<'a, str>),
    /// No page of the web (`mailto:`, an app).
    Elsewhere,
}

impl<'a> Destination<'a> {
    /// Reads a reference (RFC 3986, 4.1).
    pub fn of(location: &'a [u8]) -> Self {
        let Ok(text) = std::str::from_utf8(location) else { return Self::Elsewhere };
        let scheme = text
            .find([':', '/', '?', '#'])
            .filter(|end| text[*end..].starts_with(':'))
            .map(|end| (&text[..end], &text[end + 1..]));
        let rest = match scheme {
            Some((scheme, rest)) if ["http", "https"].iter().any(|web| scheme.eq_ignore_ascii_case(web)) => {
                rest
            }
            Some(_) => return Self::Elsewhere,
            None => text,
        };
        match rest.strip_prefix("//") {
            Some(rest) => {
                let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
                Self::Host(host_of(authority.rsplit('@').next().unwrap_or_default()))
            }
            None if scheme.is_some() => Self::Elsewhere,
            None => Self::SameHost,
        }
    }
}

/// `location` with those pairs of `query` that `stripped` matches and whose names it lacks, before its fragment; none
/// when it lacks none. Pairs keep their bytes and order.
pub fn restored(location: &[u8], query: &[u8], stripped: &NamePatterns) -> Option<Vec<u8>> {
    let name_of = |raw: &[u8]| {
        let mut buffer = [0; 64];
        // A name that is too long to be compared stands for itself.
        decode_name(raw, &mut buffer).map_or_else(|| raw.to_vec(), <[u8]>::to_vec)
    };
    let there: HashSet<Vec<u8>> =
        query_of(location).into_iter().flat_map(pairs).map(|(name, _)| name_of(name)).collect();
    let missing: Vec<&[u8]> = query
        .split(|byte| *byte == b'&')
        .filter(|pair| {
            let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
            stripped.matches(name) && !there.contains(&name_of(name))
        })
        .collect();
    if missing.is_empty() {
        return None;
    }
    let end = memchr::memchr(b'#', location).unwrap_or(location.len());
    let (target, fragment) = location.split_at(end);
    let mut out = Vec::with_capacity(location.len() + query.len() + 1);
    out.extend_from_slice(target);
    match query_of(target) {
        None => out.push(b'?'),
        Some(query) if query.is_empty() || query.ends_with(b"&") => {}
        Some(_) => out.push(b'&'),
    }
    out.extend_from_slice(&missing.join(&b'&'));
    out.extend_from_slice(fragment);
    Some(out)
}

/// A `Cache-Control` for an answer that is one visitor's own: without `public` and `s-maxage`, with `private`.
pub fn made_private<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    for directive in values.flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii) {
        let name = directive.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
        let goes = ["public", "s-maxage", "private", ""]
            .iter()
            .any(|word| name.eq_ignore_ascii_case(word.as_bytes()));
        if !goes {
            kept.push(directive);
        }
    }
    kept.push(b"private");
    kept.join(&b", "[..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn utm() -> NamePatterns {
        NamePatterns::new(["utm_*"])
    }

    #[test]
    fn what_the_location_lacks_is_appended_before_its_fragment() {
        let query = b"a=1&utm_source=x%20y&utm_medium=&b";
        for (location, expected) in [
            ("/new", "/new?utm_source=x%20y&utm_medium="),
            ("/new#top", "/new?utm_source=x%20y&utm_medium=#top"),
            ("/new?", "/new?utm_source=x%20y&utm_medium="),
            ("/new?c=2", "/new?c=2&utm_source=x%20y&utm_medium="),
            ("/new?c=2&#top?x", "/new?c=2&utm_source=x%20y&utm_medium=#top?x"),
            ("https://www.shop.ua", "https://www.shop.ua?utm_source=x%20y&utm_medium="),
            ("/new?UTM_Source=z", "/new?UTM_Source=z&utm_medium="),
            ("/new?utm%5Fsource=z&utm_medium=m", ""),
            ("/new?utm_source[]=z&utm_medium", ""),
        ] {
            let expected = (!expected.is_empty()).then(|| expected.as_bytes().to_vec());
            assert_eq!(restored(location.as_bytes(), query, &utm()), expected, "{location}");
        }
        assert_eq!(restored(b"/new", b"a=1&b", &utm()), None);
    }

    #[test]
    fn a_location_leads_to_a_host_or_nowhere() {
        for (location, expected) in [
            ("/new", Destination::SameHost),
            ("", Destination::SameHost),
            ("?a=b:c", Destination::SameHost),
            ("new/a:b", Destination::SameHost),
            ("HTTPS://WWW.Shop.ua:8443/x", Destination::Host("www.shop.ua".into())),
            ("//www.shop.ua?x", Destination::Host("www.shop.ua".into())),
            ("https://shop.ua@evil.example/", Destination::Host("evil.example".into())),
            ("https://evil.example\\@shop.ua/", Destination::Host("evil.example".into())),
            ("https:/x", Destination::Elsewhere),
            ("mailto:a@shop.ua", Destination::Elsewhere),
            ("viber://chat?x", Destination::Elsewhere),
        ] {
            assert_eq!(Destination::of(location.as_bytes()), expected, "{location}");
        }
        assert_eq!(Destination::of(b"/\xff"), Destination::Elsewhere);
    }

    #[test]
    fn no_cache_may_hand_a_private_answer_on() {
        for (values, expected) in [
            (&[][..], "private"),
            (&["public, max-age=60"], "max-age=60, private"),
            (&["Public", "S-MaxAge=1 , must-revalidate"], "must-revalidate, private"),
            (&["private=\"x\", no-cache"], "no-cache, private"),
            (&["no-store"], "no-store, private"),
        ] {
            let made = made_private(values.iter().map(|value| value.as_bytes()));
            assert_eq!(String::from_utf8(made).unwrap(), expected, "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn everything_of_the_location_stays(location in "[a-z/:?#&=_%]{0,20}", query in "((utm_[a-c]|[a-c])(=[a-z]?)?&?){0,5}") {
            if let Some(out) = restored(location.as_bytes(), query.as_bytes(), &utm()) {
                let mut rest = out.iter();
                prop_assert!(location.bytes().all(|byte| rest.any(|other| *other == byte)), "a subsequence");
                prop_assert_eq!(restored(&out, query.as_bytes(), &utm()), None, "idempotent");
            }
        }
    }
}
