//! The names of a request's fields as the client wrote them. hyper has names in lower case; it could keep how they were
//! written, in a second map beside the fields, which took a tenth of a request's instructions. So the gate notes them, and
//! they are put back into the head that hyper has written.

use std::ops::Range;
use std::rc::Rc;

use memchr::{memchr, memmem};

/// Names as they were written, in their order; none where all are in lower case, or one has a `^` or `~`, which differ as
/// capitals and small letters do.
#[derive(Debug, Clone, Default)]
pub struct Spelling(Option<Rc<[u8]>>);

/// Names that are being gathered, each behind its length, which is marked by the bit `LENGTH`.
#[derive(Debug, Default)]
pub struct Names(Vec<u8>);

/// The bit that no byte of a name has.
const LENGTH: u8 = 0x80;

/// Room for names that is kept from head to head.
const KEPT_NAMES_BYTES: usize = 1 << 10;

impl Names {
    /// Adds one. Of a name that is longer than any in use the spelling is not kept.
    pub fn push(&mut self, name: &[u8]) {
        if let Some(length) = u8::try_from(name.len()).ok().filter(|length| *length < LENGTH) {
            self.0.push(LENGTH | length);
            self.0.extend_from_slice(name);
        }
    }

    /// Takes all out.
    pub fn take(&mut self) -> Spelling {
        // All bytes are looked at, so that the loop is done in vectors.
        let (has_capitals, is_odd) = self.0.iter().fold((false, false), |(capitals, odd), byte| {
            (capitals | byte.is_ascii_uppercase(), odd | (*byte == b'^') | (*byte == b'~'))
        });
        let spelling = Spelling((has_capitals && !is_odd).then(|| self.0.as_slice().into()));
        self.0.clear();
        self.0.shrink_to(KEPT_NAMES_BYTES);
        spelling
    }
}

impl Spelling {
    /// Whether a head is right as hyper writes it.
    pub(super) fn is_plain(&self) -> bool {
        self.0.is_none()
    }

    /// Spells the names in a head; those that the client has not written stay as they are. Behind a name that is found an
    /// empty value has no space before it, as clients write it.
    pub(super) fn restore(&self, head: &mut Vec<u8>) {
        let Some(names) = self.0.as_deref() else { return };
        let mut next = 0;
        let mut at = 0;
        while let Some(end) = memchr(b'\n', &head[at..]) {
            at += end + 1;
            let Some(place) = find(names, next, &head[at..]) else { continue };
            next = place.end;
            let value = at + place.len() + 1;
            head[at..value - 1].copy_from_slice(&names[place]);
            if head[value..].starts_with(b" \r\n") {
                head.remove(value);
            }
            at = value;
        }
    }
}

/// Where the name stands that a line begins with, looked for from the place `from` on and then from the beginning: fields
/// come in nearly the order in which they were written, those of one name together.
fn find(names: &[u8], from: usize, line: &[u8]) -> Option<Range<usize>> {
    let place = |at: usize| at + 1..at + 1 + usize::from(names[at] & !LENGTH);
    if let Some(next) = (from < names.len()).then(|| place(from))
        && line.get(next.len()) == Some(&b':')
        && is_same(&line[..next.len()], &names[next.clone()])
    {
        return Some(next);
    }
    let name = &line[..memchr(b':', line)?];
    let within = |mut at: usize, end: usize| {
        while at < end {
            let place = place(at);
            at = place.end;
            if place.len() == name.len() && is_same(name, &names[place.clone()]) {
                return Some(place);
            }
        }
        None
    };
    within(from, names.len()).or_else(|| within(0, from))
}

/// Whether two names of one length are the same but for case, eight letters at a time: names are short.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let small = |letters: &[u8; 8]| u64::from_ne_bytes(*letters) | u64::from_ne_bytes([0x20; 8]);
    let (ones, one_rest) = one.as_chunks();
    let (others, other_rest) = other.as_chunks();
    ones.iter().zip(others).all(|(one, other)| small(one) == small(other))
        && one_rest.iter().zip(other_rest).all(|(one, other)| one | 0x20 == other | 0x20)
}

/// The length of the head of a request that `bytes` begin with; none where they begin with something else.
pub(super) fn head_length(bytes: &[u8]) -> Option<usize> {
    let line_end = memchr(b'\n', bytes)?;
    if !bytes[..=line_end].ends_with(b" HTTP/1.1\r\n") {
        return None;
    }
    let start = line_end - 1;
    memmem::find(&bytes[start..], b"\r\n\r\n").map(|end| start + end + 4)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spelling(list: &str) -> Spelling {
        let mut names = Names::default();
        list.split(' ').for_each(|name| names.push(name.as_bytes()));
        names.take()
    }

    fn spelled(names: &str, head: &str) -> String {
        let mut bytes = head.as_bytes().to_vec();
        spelling(names).restore(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn names_are_written_as_they_came_whatever_their_order() {
        let names = "Host X-CSRFToken accept Cookie DNT";
        let head = "GET /a:b HTTP/1.1\r\nhost: a:1\r\ndnt: 1\r\ncookie: x=Y\r\naccept: */*\r\nx-csrftoken: z\r\n\r\n";
        let expected = "GET /a:b HTTP/1.1\r\nHost: a:1\r\nDNT: 1\r\nCookie: x=Y\r\naccept: */*\r\nX-CSRFToken: z\r\n\r\n";
        assert_eq!(spelled(names, head), expected);
    }

    #[test]
    fn names_of_others_and_parts_of_names_stay_as_they_are() {
        let names = "Host Forwarded X-Forwarded";
        let head = "GET / HTTP/1.1\r\nx-forwarded-for: 10.0.0.1\r\nforward: 1\r\nhost: a\r\nx: Host:\r\n\r\n";
        let expected =
            "GET / HTTP/1.1\r\nx-forwarded-for: 10.0.0.1\r\nforward: 1\r\nHost: a\r\nx: Host:\r\n\r\n";
        assert_eq!(spelled(names, head), expected);
    }

    #[test]
    fn lines_of_one_name_keep_each_its_own() {
        let head = "GET / HTTP/1.1\r\nx-a: 1\r\nx-a: 2\r\nx-b: 3\r\n\r\n";
        let expected = "GET / HTTP/1.1\r\nX-A: 1\r\nx-A: 2\r\nX-b: 3\r\n\r\n";
        assert_eq!(spelled("X-A X-b x-A", head), expected);
    }

    #[test]
    fn an_empty_value_has_no_space_before_it() {
        let head = "GET / HTTP/1.1\r\nx-a: \r\nx-b: 3\r\nx-c: \r\n\r\n";
        let expected = "GET / HTTP/1.1\r\nX-A:\r\nX-B: 3\r\nx-c:\r\n\r\n";
        assert_eq!(spelled("X-A X-B x-c", head), expected);
    }

    #[test]
    fn names_in_lower_case_need_no_spelling() {
        assert!(spelling("host accept").is_plain());
        assert!(Spelling::default().is_plain());
        assert!(!spelling("host Accept").is_plain());
        assert!(spelling("Host X~").is_plain() && spelling("X^ Host").is_plain());
    }

    #[test]
    fn a_name_that_is_too_long_is_written_in_lower_case() {
        let (fits, long) = ("X".repeat(127), "X".repeat(128));
        let head =
            format!("GET / HTTP/1.1\r\n{}: 1\r\n{}: 2\r\n\r\n", fits.to_lowercase(), long.to_lowercase());
        let expected = format!("GET / HTTP/1.1\r\n{fits}: 1\r\n{}: 2\r\n\r\n", long.to_lowercase());
        assert_eq!(spelled(&format!("{long} {fits}"), &head), expected);
    }

    #[test]
    fn names_are_gathered_anew_for_each_head() {
        let mut names = Names::default();
        names.push(b"Host");
        assert!(!names.take().is_plain());
        names.push(b"host");
        assert!(names.take().is_plain());
    }

    #[test]
    fn a_head_ends_with_its_empty_line() {
        assert_eq!(head_length(b"GET / HTTP/1.1\r\n\r\n"), Some(18));
        assert_eq!(head_length(b"GET / HTTP/1.1\r\na: b\r\n\r\nbody\r\n\r\n"), Some(24));
        for none in ["", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\na: b\r\n", "body\r\n\r\n", "\r\n\r\n"] {
            assert_eq!(head_length(none.as_bytes()), None, "{none:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_but_the_case_of_names_changes(
            names in proptest::collection::vec("[A-Ca-c_~^-]{1,3}", 1..8),
            fields in proptest::collection::vec(("[a-c_~^-]{1,3}", "[A-C:x-]{1,4}"), 0..8),
        ) {
            let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let head = format!("GET /?a:b HTTP/1.1\r\n{lines}\r\n");
            let spelled = spelled(&names.join(" "), &head);
            prop_assert_eq!(spelled.len(), head.len());
            for (spelled, plain) in spelled.lines().zip(head.lines()) {
                let (name, value) = spelled.split_once(": ").unwrap_or((spelled, ""));
                let (plain_name, plain_value) = plain.split_once(": ").unwrap_or((plain, ""));
                prop_assert_eq!(value, plain_value);
                prop_assert!(name == plain_name || names.iter().any(|known| known == name));
                prop_assert!(name.eq_ignore_ascii_case(plain_name));
            }
        }

        #[test]
        fn what_comes_in_the_order_in_which_it_was_written_is_written_so(
            names in proptest::collection::vec("[A-Za-z-]{1,6}", 1..12),
        ) {
            let lines = |lower: bool| -> String {
                let name = |name: &String| if lower { name.to_lowercase() } else { name.clone() };
                names.iter().map(|each| format!("{}: x\r\n", name(each))).collect()
            };
            let head = |lower| format!("GET / HTTP/1.1\r\n{}\r\n", lines(lower));
            prop_assert_eq!(spelled(&names.join(" "), &head(true)), head(false));
        }
    }
}
