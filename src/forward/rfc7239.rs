//! The field `Forwarded` (RFC 7239). Pure, because a client may write anything into it.
//!
//! Rule: a line with an error in it is garbage as a whole. A quote that a client leaves open may swallow what the proxy
//! behind it has added; nothing of such a line can be told apart.

use std::net::IpAddr;

use http::header::HeaderValue;

use super::client_address::{Entry, parse};

/// What one proxy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element<'a> {
    /// `for`
    pub(super) node: Entry,
    /// `proto`
    pub(super) proto: Option<&'a [u8]>,
}

const GARBAGE: Element<'static> = Element { node: Entry::Garbage, proto: None };

/// Elements of all lines, the last one written first.
pub(super) fn from_the_right<'a>(
    lines: impl DoubleEndedIterator<Item = &'a [u8]>,
) -> impl Iterator<Item = Element<'a>> {
    lines.rev().flat_map(|line| elements(line).unwrap_or_else(|| vec![GARBAGE]).into_iter().rev())
}

/// Elements of a line from the left; none when it is malformed.
fn elements(line: &[u8]) -> Option<Vec<Element<'_>>> {
    let mut elements = Vec::new();
    let mut rest = line;
    loop {
        let mut element = Element { node: Entry::Empty, proto: None };
        let mut has_pairs = false;
        let ends_with_comma = loop {
            rest = rest.trim_ascii_start();
            match rest {
                [] => break false,
                [b',', after @ ..] => {
                    rest = after;
                    break true;
                }
                [b';', after @ ..] => rest = after,
                _ => {
                    let (name, value, after) = pair(rest)?;
                    has_pairs = true;
                    if name.eq_ignore_ascii_case(b"for") {
                        element.node = match parse(value) {
                            Entry::Empty => Entry::Garbage,
                            node => node,
                        };
                    } else if name.eq_ignore_ascii_case(b"proto") {
                        element.proto = Some(value);
                    }
                    rest = after;
                }
            }
        };
        // A proxy that does not say for whom leaves the walk nowhere to go.
        if has_pairs && element.node == Entry::Empty {
            element.node = Entry::Garbage;
        }
        elements.push(element);
        if !ends_with_comma {
            return Some(elements);
        }
    }
}

/// `name=value` or `name="value"`, and what follows: the end, `;` or `,`.
fn pair(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let equals = text.iter().position(|byte| *byte == b'=')?;
    let (name, after) = (&text[..equals], &text[equals + 1..]);
    if name.is_empty() || !name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte)) {
        return None;
    }
    let (value, after) = match after {
        [b'"', quoted @ ..] => {
            let end = end_of_quoted(quoted)?;
            (&quoted[..end], &quoted[end + 1..])
        }
        // Brackets and colons need quotes by the grammar; not everybody knows.
        _ => {
            let is_end = |byte: &u8| matches!(byte, b';' | b',') || byte.is_ascii_whitespace();
            let end = after.iter().position(is_end).unwrap_or(after.len());
            (&after[..end], &after[end..])
        }
    };
    let after = after.trim_ascii_start();
    let is_over = matches!(after, [] | [b';' | b',', ..]);
    let is_quoted = text.get(equals + 1) == Some(&b'"');
    (is_over && (is_quoted || !value.contains(&b'"'))).then_some((name, value, after))
}

/// Where the closing quote is; a backslash takes the meaning of what follows.
fn end_of_quoted(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match text.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// What we say: for whom, and which `Host` and scheme it asked us for.
pub(super) fn element(address: IpAddr, host: Option<&HeaderValue>, https: Option<bool>) -> HeaderValue {
    let mut text = match address {
        IpAddr::V4(v4) => format!("for={v4}"),
        IpAddr::V6(v6) => format!("for=\"[{v6}]\""),
    };
    if let Some(host) = host.and_then(|host| host.to_str().ok()) {
        // A checked `Host` has neither quotes nor backslashes.
        let is_token = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
        text += &if is_token { format!(";host={host}") } else { format!(";host=\"{host}\"") };
    }
    if let Some(https) = https {
        text += if https { ";proto=https" } else { ";proto=http" };
    }
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("for=unknown"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::client_address::walk;
    use super::*;

    fn found(lines: &[&[u8]]) -> String {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "2001:db8:a::/48".parse().unwrap()];
        let nodes = from_the_right(lines.iter().copied()).map(|element| element.node);
        walk("10.0.0.1".parse().unwrap(), &trusted, nodes).to_string()
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        for (line, address) in [
            ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
            ("for=192.0.2.43, for=198.51.100.17", "198.51.100.17"),
            ("for=192.0.2.43,for=10.0.0.7 ; proto=https", "192.0.2.43"),
            ("for=\"192.0.2.43:47011\"", "192.0.2.43"),
            ("for=\"_gazonk\"", "10.0.0.1"),
            ("for=192.0.2.43, for=\"[2001:db8:a::1]\", ,", "192.0.2.43"),
            ("for=192.0.2.43, for=unknown, for=10.0.0.7", "10.0.0.7"),
            ("for=[2001:db8::5]", "2001:db8::5"),
        ] {
            assert_eq!(found(&[line.as_bytes()]), address, "{line}");
        }
        assert_eq!(found(&[b"for=192.0.2.1", b"for=10.0.0.2"]), "192.0.2.1");
    }

    #[test]
    fn an_open_quote_makes_nobody_an_address() {
        for line in [
            &b"for=6.6.6.6;x=\", for=192.0.2.9"[..],
            b"for=6.6.6.6;x=\", for=\"[2001:db8::1]\"",
            b"for=6.6.6.6;x=\"\\\", for=\"[2001:db8::1]\"",
        ] {
            assert_eq!(found(&[line]), "10.0.0.1");
        }
    }

    proptest! {
        /// The trusted proxy 10.0.0.1 has appended the client that it saw: whatever the client wrote before, it is
        /// that address or, where the line cannot be read, nobody's.
        #[test]
        fn what_an_untrusted_client_writes_never_makes_it_somebody_else(
            written in proptest::collection::vec(any::<u8>(), 0..60),
            is_v6: bool,
            in_one_line: bool,
        ) {
            let appended: &[u8] = if is_v6 { b"for=\"[2001:db8::9]\";proto=https" } else { b"for=192.0.2.9" };
            let truth = if is_v6 { "2001:db8::9" } else { "192.0.2.9" };
            let address = if in_one_line {
                found(&[&[&written, &b", "[..], appended].concat()])
            } else {
                found(&[&written, appended])
            };
            let is_nobody = in_one_line && address == "10.0.0.1";
            prop_assert!(address == truth || is_nobody, "{}", address);
        }

        #[test]
        fn what_we_say_is_read_back(bits: u128, is_v6: bool, https: bool) {
            let address = if is_v6 { IpAddr::from(bits.to_be_bytes()) } else { IpAddr::from(u32::try_from(bits & 0xffff_ffff).unwrap().to_be_bytes()) };
            let value = element(address, Some(&HeaderValue::from_static("shop.test:8080")), Some(https));
            let elements = elements(value.as_bytes()).unwrap();
            prop_assert_eq!(elements[0].node, Entry::Address(address.to_canonical()));
            prop_assert_eq!(elements[0].proto, Some(if https { &b"https"[..] } else { b"http" }));
        }
    }
}
