//! What could identify a person or open their account is taken out before anything is stored: reset tokens, order keys
//! and e-mail addresses in paths; e-mail addresses, telephone and card numbers in text.

use std::borrow::Cow;

use http::Uri;

mod encoded;
mod path;
mod text;

pub use path::path;
pub use text::{emails, search, text};

/// What stands for an e-mail address.
const EMAIL: &str = "{email}";

/// Path and query as they may be shown: of the query only the values for which `shows` says so of their names.
pub fn target(target: &Uri, shows: impl Fn(&[u8]) -> bool) -> String {
    let mut shown = path(target.path()).into_owned();
    let Some(query) = target.query() else { return shown };
    let mut sign = '?';
    for (name, value) in super::query::pairs(query.as_bytes()) {
        shown.push(sign);
        sign = '&';
        shown.push_str(if is_plain_name(name) {
            std::str::from_utf8(name).unwrap_or(HIDDEN)
        } else {
            HIDDEN
        });
        if let Some(value) = value {
            shown.push('=');
            let is_shown = shows(name);
            let text = if is_shown { super::evidence::clean(value).0 } else { HIDDEN.into() };
            shown.push_str(&emails(text));
        }
    }
    shown
}

/// What stands for a value that is not shown.
const HIDDEN: &str = "…";

/// Whether a parameter is named as programs name them, and not itself a secret.
fn is_plain_name(name: &[u8]) -> bool {
    (1..=40).contains(&name.len())
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-.[]".contains(byte))
        && std::str::from_utf8(name).is_ok_and(|name| matches!(path(name), Cow::Borrowed(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_show_only_what_they_may() {
        let shown = |text: &str| target(&text.parse().unwrap(), |name| name.starts_with(b"utm_"));
        assert_eq!(
            shown("/reset/3b7e9a40f1c85d26e4b0?utm_source=a%40b.ua+x&page=2&token=s3cret&anna@b.ua&utm_x&=1"),
            "/reset/{token}?utm_source={email} x&page=…&token=…&…&utm_x&…=…"
        );
        assert_eq!(shown("/a?"), "/a?…");
        assert_eq!(shown("/a"), "/a");
    }
}
