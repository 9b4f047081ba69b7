//! Values of a JSON body (RFC 8259) as they are written there: a number keeps its digits.
//!
//! The body is read through once to see that it is JSON; a pointer then passes over what it does not lead to. Nothing here
//! goes deeper into the stack with the body's depth.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// UTF-8's byte order mark, which RFC 8259 section 8.1 lets a reader pass over.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Whether a body is JSON.
pub(super) fn is_json(body: &[u8]) -> bool {
    whole(body).is_some()
}

/// Whether JSON is a map or a list, whose end cannot be missing.
pub(super) fn is_closed(json: &[u8]) -> bool {
    matches!(without_mark(json).trim_ascii_start().first(), Some(b'{' | b'['))
}

/// What a JSON pointer (RFC 6901) leads to: a text, a number as it is written, `true` or `false`.
pub(super) fn value(json: &[u8], pointer: &str) -> Option<String> {
    let mut steps = pointer.split('/').map(|step| step.replace("~1", "/").replace("~0", "~"));
    // A pointer is empty or begins with a slash.
    steps.next().filter(String::is_empty)?;
    let begin = match steps.next() {
        Some(name) => {
            serde_json::Deserializer::from_slice(without_mark(json)).deserialize_any(Step(&name)).ok()??
        }
        None => whole(json)?,
    };
    let found = steps.try_fold(begin, |json, name| {
        serde_json::Deserializer::from_str(json.get()).deserialize_any(Step(&name)).ok()?
    })?;
    match found.get().as_bytes().first()? {
        b'"' => serde_json::from_str(found.get()).ok(),
        b'{' | b'[' | b'n' => None,
        _ => Some(found.get().to_owned()),
    }
}

fn whole(body: &[u8]) -> Option<&RawValue> {
    serde_json::from_slice(without_mark(body)).ok()
}

fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(MARK).unwrap_or(body)
}

/// One step of a pointer: to what has this name in a map, or this place in a list.
struct Step<'n>(&'n str);

impl Step<'_> {
    fn place(&self) -> Option<usize> {
        let is_place = self.0 == "0" || !self.0.starts_with(['0', '+']);
        self.0.parse().ok().filter(|_| is_place)
    }
}

impl<'de> Visitor<'de> for Step<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map or a list")
    }

    /// Of a name that is there twice the last counts.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = map.next_key_seed(Name(self.0))? {
            if is_it {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let (place, mut found) = (self.place(), None);
        for number in 0.. {
            if Some(number) == place {
                found = list.next_element()?;
            } else if list.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
        }
        Ok(found)
    }
}

/// Whether a name of a map is this one.
struct Name<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, name: D) -> Result<bool, D::Error> {
        name.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn at(body: &str, pointer: &str) -> Option<String> {
        is_json(body.as_bytes()).then(|| value(body.as_bytes(), pointer))?
    }

    #[test]
    fn a_number_is_what_was_written() {
        let body =
            r#"{"id": 20261127194411382001, "big": 1e400, "price": 10.50, "least": -0, "exponent": 1.0E7}"#;
        for (name, number) in [
            ("id", "20261127194411382001"),
            ("big", "1e400"),
            ("price", "10.50"),
            ("least", "-0"),
            ("exponent", "1.0E7"),
        ] {
            assert_eq!(at(body, &format!("/{name}")).as_deref(), Some(number));
        }
        assert_eq!(at("17", "").as_deref(), Some("17"));
    }

    #[test]
    fn a_pointer_leads_through_maps_and_lists() {
        let body = "\u{feff} {\"a/b\": {\"m~n\": [\"x\", {\"\": \"\\u0456\\n\"}]}, \"n\": null, \"t\": true, \"01\": 1,
                     \"twice\": [1], \"\\u0061\": 5, \"twice\": 2, \"l\": [0, 1, 2]}";
        for (pointer, value) in [
            ("/a~1b/m~0n/0", Some("x")),
            ("/a~1b/m~0n/1/", Some("і\n")),
            ("/t", Some("true")),
            ("/01", Some("1")),
            ("/twice", Some("2")),
            ("/twice/0", None),
            ("/a", Some("5")),
            ("/l/2", Some("2")),
            ("/l/3", None),
            ("/l/02", None),
            ("/l/+1", None),
            ("/l/-", None),
            ("/l", None),
            ("/n", None),
            ("", None),
            ("t", None),
            ("/t/x", None),
        ] {
            assert_eq!(at(body, pointer).as_deref(), value, "{pointer}");
        }
        for body in ["", "{", "{\"a\": 1} x", "{\"a\": 01}", "\u{feff}\u{feff}1", "{a: 1}"] {
            assert!(!is_json(body.as_bytes()), "{body}");
        }
        assert!(!is_json(b"\"\xff\""));
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = 100_000;
        let body = format!("{{\"deep\": {}{}, \"id\": 7}}", "[".repeat(deep), "]".repeat(deep));
        assert_eq!(at(&body, "/id").as_deref(), Some("7"));
        assert_eq!(at(&body, &format!("/deep{}", "/0".repeat(100))), None);
        assert!(!is_json("[".repeat(deep).as_bytes()));
        let maps = format!("{}1{}", "{\"a\":".repeat(deep), "}".repeat(deep));
        assert_eq!(at(&maps, "/a/a/b"), None);
    }

    proptest! {
        /// The library's own pointer is the measure, where numbers are small.
        #[test]
        fn it_finds_what_a_tree_of_values_has(
            body in "[\\[\\]{}:,\"ab0-9.\\\\ ]{0,12}|(\\{\"a\": ){1,3}\\[[0-9], \"x\", \\{\"b\":[0-9]\\}\\]\\}{1,3}",
            pointer in "(/(a|b|0|1|2|00|~0|-)){0,4}",
        ) {
            let tree = serde_json::from_str::<Value>(&body).ok();
            if let Some(tree) = tree {
                let value = match tree.pointer(&pointer) {
                    Some(Value::String(text)) => Some(text.clone()),
                    Some(Value::Bool(flag)) => Some(flag.to_string()),
                    Some(Value::Number(number)) if number.is_u64() => Some(number.to_string()),
                    Some(Value::Number(_)) => return Ok(()),
                    _ => None,
                };
                prop_assert_eq!(at(&body, &pointer), value);
            } else {
                let _ = at(&body, &pointer);
            }
        }

        #[test]
        fn no_body_makes_it_fail(body in proptest::collection::vec(any::<u8>(), 0..100), pointer in "\\PC{0,10}") {
            let _ = (is_json(&body), value(&body, &pointer));
        }
    }
}
