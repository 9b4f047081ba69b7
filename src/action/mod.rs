//! The grammar of action rules: path templates, and where values are taken from; what actions are worth. Pure; errors are
//! sentences for the person who wrote the rule.

mod points;
mod source;
mod template;

pub use points::{KNOWN_KINDS, Points};
pub use source::{Condition, Css, HtmlPart, Part, Source, Where};
pub(crate) use template::Segment;
pub use template::{Captures, Template, segments};

/// Longest name of an action's type, bytes.
pub const KIND_BYTES: usize = 50;

/// Whether a text names a type of action: lower-case ASCII letters, digits and `_`.
pub fn is_kind(text: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    !text.is_empty() && text.len() <= KIND_BYTES && text.bytes().all(is_name)
}
