//! Bytes of a request target that no `Uri` can hold, percent-encoded as browsers do: campaign links in mails and
//! advertisements have them, and the click was paid for.

use std::borrow::Cow;

use http::Uri;

/// Whether a target is a path and query of bytes that stand for themselves everywhere.
pub(super) fn is_plain(target: &[u8]) -> bool {
    // All bytes are looked at, wherever an odd one stands: so the loop is done in vectors.
    let is_odd = |byte: u8| {
        (byte <= 0x20)
            | (byte >= 0x7f)
            | (byte == b'"')
            | (byte == b'#')
            | (byte == b'<')
            | (byte == b'>')
            | (byte == b'`')
    };
    target.first() == Some(&b'/') && !target.iter().fold(false, |found, byte| found | is_odd(*byte))
}

/// The target as it can be forwarded; none when it is none at all.
///
/// Encoded are controls, DEL, bytes that are no UTF-8, `<`, `>`, in the path `` ` ``, in the query `"`. A fragment,
/// which is not for servers (RFC 9110 section 4.2.5), is cut off.
pub(super) fn mended(target: &[u8]) -> Option<Cow<'_, [u8]>> {
    let whole = memchr::memchr(b'#', target).map_or(target, |end| &target[..end]);
    let query_start = memchr::memchr(b'?', whole).unwrap_or(whole.len());
    let needs = |at: usize, byte: u8| match byte {
        0..=0x20 | 0x7f | b'<' | b'>' => true,
        b'`' => at < query_start,
        b'"' => at >= query_start,
        _ => false,
    };
    let mut mended = Vec::new();
    let mut at = 0;
    for chunk in whole.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            if needs(at, byte) {
                encode(byte, &mut mended)
            } else {
                mended.push(byte)
            }
            at += 1;
        }
        chunk.invalid().iter().for_each(|byte| encode(*byte, &mut mended));
        at += chunk.invalid().len();
    }
    let mended = if mended == target { Cow::Borrowed(target) } else { Cow::Owned(mended) };
    (!mended.is_empty() && Uri::try_from(&*mended).is_ok()).then_some(mended)
}

fn encode(byte: u8, into: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    into.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_no_uri_holds_is_encoded_and_the_rest_stays() {
        for (target, want) in [
            (&b"/a<b>`\"?q=<x>\"`"[..], &b"/a%3Cb%3E%60\"?q=%3Cx%3E%22`"[..]),
            (b"/caf\xe9?\xc3\xa9\xff", b"/caf%E9?\xc3\xa9%FF"),
            (b"/\x01\t\x7f", b"/%01%09%7F"),
            (b"/%zz%?%", b"/%zz%?%"),
            (b"/a?b#c?d", b"/a?b"),
            (b"/#", b"/"),
            (b"http://shop.test/<", b"http://shop.test/%3C"),
            (b"*", b"*"),
        ] {
            assert_eq!(mended(target).unwrap(), want, "{}", target.escape_ascii());
        }
        for target in [&b"#"[..], b"http://[::1/", b"a b", b"http://<x>/"] {
            assert_eq!(mended(target), None, "{}", target.escape_ascii());
        }
    }

    proptest! {
        /// What is mended is held by a `Uri` byte for byte, and needs no mending again; a plain target needs none.
        #[test]
        fn a_mended_target_is_a_uri(rest in prop::collection::vec(any::<u8>(), 0..64)) {
            let target = [b"/", rest.as_slice()].concat();
            let mended = mended(&target).unwrap();
            let uri = Uri::try_from(&*mended).unwrap();
            prop_assert_eq!(uri.path_and_query().unwrap().as_str().as_bytes(), &*mended);
            prop_assert!(matches!(super::mended(&mended), Some(Cow::Borrowed(_))));
            if is_plain(&target) {
                prop_assert_eq!(&*mended, &target);
            }
        }
    }
}
