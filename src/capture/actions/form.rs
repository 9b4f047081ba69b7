//! Fields of a form that was posted: `application/x-www-form-urlencoded` and `multipart/form-data` (RFC 7578).

use std::borrow::Cow;

/// Most fields that are read.
const FIELDS: usize = 500;

/// The first value of a field; what was cut off is left out. Files are no values.
pub fn field(body: &[u8], content_type: &str, is_whole: bool, name: &str) -> Option<String> {
    let (essence, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    match essence.trim().to_ascii_lowercase().as_str() {
        "application/x-www-form-urlencoded" => urlencoded(body, is_whole, name),
        "multipart/form-data" => multipart(body, &boundary(parameters)?, name),
        _ => None,
    }
}

fn urlencoded(body: &[u8], is_whole: bool, name: &str) -> Option<String> {
    let body = if is_whole { body } else { &body[..memchr::memrchr(b'&', body)?] };
    let mut pairs = form_urlencoded::parse(body).take(FIELDS);
    pairs.find(|(known, value)| known == name && !value.is_empty()).map(|(_, value)| value.into_owned())
}

/// The `boundary` parameter, quoted or not.
fn boundary(parameters: &str) -> Option<String> {
    let value = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    })?;
    // RFC 2046: at most 70 characters.
    (1..=70).contains(&value.len()).then(|| format!("--{value}"))
}

/// A part ends where the next boundary begins; one without is not complete.
fn multipart(body: &[u8], boundary: &str, name: &str) -> Option<String> {
    let finder = memchr::memmem::Finder::new(boundary.as_bytes());
    let mut rest = &body[finder.find(body)? + boundary.len()..];
    for _ in 0..FIELDS {
        let part = &rest[..finder.find(rest)?];
        rest = &rest[part.len() + boundary.len()..];
        let Some(head_end) = memchr::memmem::find(part, b"\r\n\r\n") else { continue };
        let (head, value) = (&part[..head_end], &part[head_end + 4..]);
        let value = value.strip_suffix(b"\r\n").unwrap_or(value);
        if !value.is_empty() && name_of(head).is_some_and(|known| known == name) {
            return Some(String::from_utf8_lossy(value).into_owned());
        }
    }
    None
}

/// The name of a part that is no file.
fn name_of(head: &[u8]) -> Option<Cow<'_, str>> {
    let head = std::str::from_utf8(head).ok()?;
    let line = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    let (mut name, mut rest) = (None, line);
    while let Some(at) = rest.find('=') {
        let key = rest[..at].rsplit(';').next().unwrap_or_default().trim();
        let value = rest[at + 1..].trim_start();
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => value.split_once(';').unwrap_or((value, "")),
        };
        if key.eq_ignore_ascii_case("filename") || key.eq_ignore_ascii_case("filename*") {
            return None;
        }
        if key.eq_ignore_ascii_case("name") {
            name = Some(value);
        }
        rest = after;
    }
    // What browsers encode in a name (WHATWG HTML, multipart/form-data).
    name.map(|name| match name.contains('%') {
        true => name.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n").into(),
        false => name.into(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MULTIPART: &str = "--x1\r\nContent-Disposition: form-data; name=\"product_id\"\r\n\r\n42\r\n--x1\r\n\
        content-disposition: form-data; name=\"photo\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n\0\r\n--x1\r\n\
        Content-Disposition: form-data; name=note\r\n\r\nred\r\nshirt\r\n--x1--\r\n";

    #[test]
    fn fields_are_found_in_both_kinds_of_forms() {
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        let of = |name| field(b"a=1&product_id=4+2%21&b=&b=3&cut=of", form, true, name);
        assert_eq!(of("product_id").as_deref(), Some("4 2!"));
        assert_eq!(of("b").as_deref(), Some("3"));
        assert_eq!(of("c"), None);
        assert_eq!(field(b"a=1&cut=of", form, false, "cut"), None, "what is cut off is no value");
        assert_eq!(field(b"a=1&cut=of", form, false, "a").as_deref(), Some("1"));
        let of = |name| field(MULTIPART.as_bytes(), "multipart/form-data; boundary=x1", true, name);
        assert_eq!(of("product_id").as_deref(), Some("42"));
        assert_eq!(of("note").as_deref(), Some("red\r\nshirt"));
        assert_eq!(of("photo"), None, "a file is no value");
        assert_eq!(field(b"a=1", "text/plain", true, "a"), None);
    }

    proptest! {
        #[test]
        fn no_body_makes_it_fail(body in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..260) {
            for kind in ["application/x-www-form-urlencoded", "multipart/form-data; boundary=\"x1\""] {
                let _ = field(&body, kind, false, "a");
                let _ = field(&MULTIPART.as_bytes()[..cut.min(MULTIPART.len())], kind, true, "note");
            }
        }
    }
}
