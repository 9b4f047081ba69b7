//! The names of a request's fields as the client wrote them. hyper has names in lower case; it could keep how they were
//! written, in a second map beside the fields, which costs more than all else that is done to a head. So the gate notes
//! them, and they are put back into the head that hyper has written.

use std::rc::Rc;

use memchr::memchr;

/// Names as they were written, in their order, each with its colon; none where all are in lower case.
#[derive(Debug, Clone, Default)]
pub struct Spelling(Option<Rc<[u8]>>);

impl Spelling {
    /// `names`, each with its colon.
    pub fn of(names: &[u8]) -> Self {
        Spelling(names.iter().any(u8::is_ascii_uppercase).then(|| names.into()))
    }

    /// Whether a head is right as hyper writes it.
    pub(super) fn is_plain(&self) -> bool {
        self.0.is_none()
    }

    /// Spells the names in a head; those that the client has not written stay as they are. A value that is empty has no
    /// space before it, as clients write it.
    pub(super) fn restore(&self, head: &mut Vec<u8>) {
        let Some(names) = self.0.as_deref() else { return };
        let mut next = 0;
        let Some(mut at) = memchr(b'\n', head).map(|end| end + 1) else { return };
        while let Some(length) = memchr(b':', &head[at..]) {
            let name = &mut head[at..at + length];
            if let Some(found) = find(names, next, name) {
                name.copy_from_slice(&names[found..found + length]);
                next = found + length + 1;
            }
            at += length + 1;
            if head[at..].starts_with(b" \r\n") {
                head.remove(at);
            }
            let Some(end) = memchr(b'\n', &head[at..]) else { return };
            at += end + 1;
        }
    }
}

/// Where a name stands, looked for from `from` on and then from the beginning: fields come in nearly the order in which
/// they were written, those of one name together.
fn find(names: &[u8], from: usize, name: &[u8]) -> Option<usize> {
    let within = |mut at: usize, end: usize| {
        while at < end {
            let rest = &names[at..];
            if rest.get(name.len()) == Some(&b':') && rest[..name.len()].eq_ignore_ascii_case(name) {
                return Some(at);
            }
            at += memchr(b':', rest)? + 1;
        }
        None
    };
    within(from, names.len()).or_else(|| within(0, from))
}

/// The length of the head that `bytes` begin with; none where they begin with something else.
pub(super) fn head_length(bytes: &[u8]) -> Option<usize> {
    let mut at = memchr(b'\n', bytes)? + 1;
    if !bytes[..at].ends_with(b" HTTP/1.1\r\n") {
        return None;
    }
    loop {
        let end = at + memchr(b'\n', &bytes[at..])? + 1;
        if end == at + 2 {
            return Some(end);
        }
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(names: &[u8], head: &str) -> String {
        let mut bytes = head.as_bytes().to_vec();
        Spelling::of(names).restore(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn names_are_written_as_they_came_whatever_their_order() {
        let names = b"Host:X-CSRFToken:accept:Cookie:DNT:";
        let head = "GET /a:b HTTP/1.1\r\nhost: a:1\r\ndnt: 1\r\ncookie: x=Y\r\naccept: */*\r\nx-csrftoken: z\r\n\r\n";
        let expected = "GET /a:b HTTP/1.1\r\nHost: a:1\r\nDNT: 1\r\nCookie: x=Y\r\naccept: */*\r\nX-CSRFToken: z\r\n\r\n";
        assert_eq!(spelled(names, head), expected);
    }

    #[test]
    fn names_of_others_and_parts_of_names_stay_as_they_are() {
        let names = b"Host:Forwarded:X-Forwarded:";
        let head = "GET / HTTP/1.1\r\nx-forwarded-for: 10.0.0.1\r\nforward: 1\r\nhost: a\r\nx: Host:\r\n\r\n";
        let expected =
            "GET / HTTP/1.1\r\nx-forwarded-for: 10.0.0.1\r\nforward: 1\r\nHost: a\r\nx: Host:\r\n\r\n";
        assert_eq!(spelled(names, head), expected);
    }

    #[test]
    fn lines_of_one_name_keep_each_its_own() {
        let head = "GET / HTTP/1.1\r\nx-a: 1\r\nx-a: 2\r\nx-b: 3\r\n\r\n";
        let expected = "GET / HTTP/1.1\r\nX-A: 1\r\nx-A: 2\r\nX-b: 3\r\n\r\n";
        assert_eq!(spelled(b"X-A:X-b:x-A:", head), expected);
    }

    #[test]
    fn an_empty_value_has_no_space_before_it() {
        let head = "GET / HTTP/1.1\r\nx-a: \r\nx-b: 3\r\nx-c: \r\n\r\n";
        let expected = "GET / HTTP/1.1\r\nX-A:\r\nX-B: 3\r\nx-c:\r\n\r\n";
        assert_eq!(spelled(b"X-A:X-B:", head), expected);
    }

    #[test]
    fn names_in_lower_case_need_no_spelling() {
        assert!(Spelling::of(b"host:accept:").is_plain());
        assert!(Spelling::default().is_plain());
        assert!(!Spelling::of(b"host:Accept:").is_plain());
    }

    #[test]
    fn a_head_ends_with_its_empty_line() {
        assert_eq!(head_length(b"GET / HTTP/1.1\r\n\r\n"), Some(18));
        assert_eq!(head_length(b"GET / HTTP/1.1\r\na: b\r\n\r\nbody\r\n\r\n"), Some(24));
        for none in ["", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\na: b\r\n", "body\r\n\r\n", "\r\n\r\n"] {
            assert_eq!(head_length(none.as_bytes()), None, "{none:?}");
        }
    }
}
