//! Templates of paths: `/product/{slug}/*`.
//!
//! Rules: compared by segments, so that a slash at the end makes no difference; `{name}` takes one or more bytes within a
//! segment, of several in one segment the first takes as much as it can; `*` as the last segment is any rest, none too.
//! Case counts. A template that is not ASCII is compared as browsers encode it.

use std::fmt;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// Most segments of a template.
const SEGMENTS: usize = 32;
/// What browsers encode in a path.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`').add(b'^');

/// A path with named parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    segments: Vec<Segment>,
    /// Whether any rest may follow.
    is_open: bool,
}

/// What stands between two slashes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Segment {
    /// This text.
    Literal(String),
    /// Texts and named parts, no two named parts side by side.
    Parts(Vec<Piece>),
}

/// A part of a segment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Piece {
    Text(String),
    Name(String),
}

/// What a path has where the template has names.
pub type Captures<'p> = Vec<(String, &'p str)>;

impl Template {
    /// Reads a template.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Err(format!("`{text}` is no path: it begins with /"));
        }
        if text.contains(['?', '#']) {
            return Err(format!(
                "`{text}`: a path ends before ? and #; what the query has is asked for by `when = [\"query:name\"]`"
            ));
        }
        let mut parts: Vec<&str> = segments(text).collect();
        let is_open = parts.last() == Some(&"*");
        if is_open {
            parts.pop();
        }
        if parts.len() > SEGMENTS {
            return Err(format!("`{text}` has more than {SEGMENTS} segments"));
        }
        let segments = parts.iter().map(|part| Segment::parse(part)).collect::<Result<Vec<_>, _>>()?;
        let template = Self { text: text.to_owned(), segments, is_open };
        let names: Vec<&str> = template.names().collect();
        if let Some((_, twice)) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
            return Err(format!("`{text}` has two parts that are called `{twice}`"));
        }
        Ok(template)
    }

    /// The names in it.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().flat_map(Segment::names)
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether a path is meant, and what it has at the names.
    pub fn captures<'p>(&self, path: &'p str) -> Option<Captures<'p>> {
        let mut found = Vec::new();
        let mut given = segments(path);
        for segment in &self.segments {
            if !segment.matches(given.next()?, &mut |name, text| found.push((name.to_owned(), text))) {
                return None;
            }
        }
        (self.is_open || given.next().is_none()).then_some(found)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The segments of a path; a slash at its end makes none.
pub fn segments(path: &str) -> impl Iterator<Item = &str> + Clone {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    path.split('/').take(if path.is_empty() { 0 } else { usize::MAX })
}

impl Segment {
    fn parse(text: &str) -> Result<Self, String> {
        if text.contains('*') {
            return Err(format!("`{text}`: * is a whole segment, the last one; {{name}} is what differs"));
        }
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some(open) = rest.find('{') {
            let Some(length) = rest[open..].find('}') else { return Err(format!("`{text}`: {{ without }}")) };
            let name = &rest[open + 1..open + length];
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            if name.is_empty() || !name.bytes().all(is_name) {
                return Err(format!("`{name}` in `{text}` is no name: letters, digits and _ make one"));
            }
            if open > 0 {
                pieces.push(Piece::Text(encoded(&rest[..open])));
            } else if matches!(pieces.last(), Some(Piece::Name(_))) {
                return Err(format!("`{text}`: there has to be something between two names"));
            }
            pieces.push(Piece::Name(name.to_owned()));
            rest = &rest[open + length + 1..];
        }
        if rest.contains('}') {
            return Err(format!("`{text}`: }} without {{"));
        }
        if pieces.is_empty() {
            return Ok(Segment::Literal(encoded(rest)));
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(encoded(rest)));
        }
        Ok(Segment::Parts(pieces))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let pieces: &[Piece] = if let Segment::Parts(pieces) = self { pieces } else { &[] };
        pieces
            .iter()
            .filter_map(|piece| if let Piece::Name(name) = piece { Some(name.as_str()) } else { None })
    }

    /// Whether a path's segment is meant; tells the parts at the names, the last one first.
    pub(crate) fn matches<'p>(&self, given: &'p str, tell: &mut dyn FnMut(&str, &'p str)) -> bool {
        let pieces = match self {
            Segment::Literal(text) => return same(text, given),
            Segment::Parts(pieces) => pieces,
        };
        let (mut rest, pieces) = match pieces.split_first() {
            Some((Piece::Text(text), after)) => match given.strip_prefix(text.as_str()) {
                Some(rest) => (rest, after),
                None => return false,
            },
            _ => (given, pieces.as_slice()),
        };
        let mut pieces = pieces.iter().rev().peekable();
        while let Some(piece) = pieces.next() {
            let name = match piece {
                Piece::Text(text) => match rest.strip_suffix(text.as_str()) {
                    Some(before) => {
                        rest = before;
                        continue;
                    }
                    None => return false,
                },
                Piece::Name(name) => name,
            };
            let begin = match pieces.peek() {
                Some(Piece::Text(before)) => rest.rfind(before.as_str()).map(|at| at + before.len()),
                _ => Some(0),
            };
            let Some((before, value)) = begin.map(|begin| rest.split_at(begin)) else { return false };
            if value.is_empty() {
                return false;
            }
            tell(name, value);
            rest = before;
        }
        rest.is_empty()
    }
}

/// Browsers write `%D0`, others `%d0`.
fn same(text: &str, given: &str) -> bool {
    text == given || (text.contains('%') && text.eq_ignore_ascii_case(given))
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn captured(template: &str, path: &str) -> Option<Vec<String>> {
        let found = Template::parse(template).unwrap().captures(path)?;
        Some(found.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
    }

    #[test]
    fn a_template_is_compared_by_segments() {
        for (template, path, expected) in [
            ("/", "/", Some(vec![])),
            ("/", "/a", None),
            ("/*", "/", Some(vec![])),
            ("/*", "/a/b", Some(vec![])),
            ("/cart/add/", "/cart/add", Some(vec![])),
            ("/cart/add", "/cart/add/", Some(vec![])),
            ("/cart/add", "/cart/added", None),
            ("/cart/add", "/cart/add/1", None),
            ("/cart/add", "/cart//add", None),
            ("/p/{slug}", "/p/red-shirt/", Some(vec!["slug=red-shirt"])),
            ("/p/{slug}", "/p/", None),
            ("/p/{slug}/*", "/p/red/xl/blue/", Some(vec!["slug=red"])),
            ("/c/{slug}_{id}/", "/c/coders_at_work_207/", Some(vec!["id=207", "slug=coders_at_work"])),
            ("/c/{slug}_{id}/", "/c/_207/", None),
            ("/o-{id}.html", "/o-17.html", Some(vec!["id=17"])),
            ("/o-{id}.html", "/o-.html", None),
            ("/o-{id}.html", "/o-2o-3.html", Some(vec!["id=2o-3"])),
            ("/кошик", "/%D0%BA%D0%BE%D1%88%D0%B8%D0%BA", Some(vec![])),
            ("/кошик", "/%d0%ba%d0%be%d1%88%d0%b8%d0%ba", Some(vec![])),
        ] {
            let expected: Option<Vec<String>> =
                expected.map(|list: Vec<&str>| list.into_iter().map(str::to_owned).collect());
            assert_eq!(captured(template, path), expected, "{template} {path}");
        }
    }

    #[test]
    fn what_is_no_template_is_explained() {
        for wrong in
            ["cart", "", "/a?b", "/a#b", "/*/a", "/a*", "/{", "/}", "/{}", "/{a b}", "/{a}{b}", "/{a}/{a}"]
        {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_put_together_is_taken_apart(slug in "[a-z-]{1,8}", id in "[0-9]{1,8}") {
            let found = captured("/c/{slug}_{id}/*", &format!("/c/{slug}_{id}/"));
            prop_assert_eq!(found, Some(vec![format!("id={id}"), format!("slug={slug}")]));
        }

        #[test]
        fn no_text_makes_it_fail(template in "/[{}a*_/ї.-]{0,20}", path in "[/a_%ї.-]{0,20}") {
            if let Ok(template) = Template::parse(&template) {
                let _ = template.captures(&path);
            }
        }
    }
}
