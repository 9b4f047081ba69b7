//! Client Hints (RFC 8942; the three that Chromium sends unasked over https), as far as they say more than the user
//! agent. Chromium froze what its user agent says, so a browser that does not name itself there, a Chromebook that says
//! Linux, and a telephone that asks for desktop pages are known by them alone.
//!
//! Written as one text, empty for most: `browser=Brave/142; system=Chrome OS; mobile`.

use std::borrow::Cow;

use http::HeaderValue;

use super::query::holds;

/// Longest name of a browser, and longest version.
const NAME_BYTES: usize = 32;
const VERSION_BYTES: usize = 16;

/// Brands that say no more than `Chrome/` in a user agent does.
const COMMON: [&[u8]; 2] = [b"Google Chrome", b"Chromium"];

/// Systems as `Sec-CH-UA-Platform` names them, and the mark by which a user agent of it is known.
const SYSTEMS: [(&str, &[u8]); 7] = [
    ("Android", b"Android"),
    ("Chrome OS", b"CrOS"),
    ("Chromium OS", b"CrOS"),
    ("iOS", b"like Mac OS X"),
    ("Linux", b"Linux"),
    ("macOS", b"Macintosh"),
    ("Windows", b"Windows"),
];

/// The fields of one request.
#[derive(Debug, Clone, Default)]
pub(super) struct ClientHints {
    /// `Sec-CH-UA`
    pub(super) brands: Option<HeaderValue>,
    /// `Sec-CH-UA-Platform`
    pub(super) platform: Option<HeaderValue>,
    /// `Sec-CH-UA-Mobile` is `?1`.
    pub(super) mobile: bool,
}

impl ClientHints {
    /// What they say that this user agent does not.
    pub(super) fn beyond(&self, user_agent: &[u8]) -> Cow<'static, str> {
        let mut text = String::new();
        let brands = self.brands.as_ref().map_or(&[][..], HeaderValue::as_bytes);
        // Whoever names itself in the user agent does so behind this, or before it with a word that the tables know.
        if user_agent.ends_with(b"Safari/537.36")
            && let Some((name, version)) = own_brand(brands)
        {
            add(&mut text, &["browser=", name, "/", version]);
        }
        let platform = self.platform.as_ref().map_or(&[][..], HeaderValue::as_bytes);
        let platform =
            platform.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or_default();
        if let Some((name, mark)) = SYSTEMS.iter().find(|(name, _)| name.as_bytes() == platform)
            && !holds(user_agent, mark)
        {
            add(&mut text, &["system=", name]);
        }
        if self.mobile && !holds(user_agent, b"Mobi") {
            add(&mut text, &["mobile"]);
        }
        if text.is_empty() { Cow::Borrowed("") } else { Cow::Owned(text) }
    }
}

fn add(text: &mut String, parts: &[&str]) {
    if !text.is_empty() {
        text.push_str("; ");
    }
    parts.iter().for_each(|part| text.push_str(part));
}

/// The brand that is neither a common one nor noise (`"Not_A Brand";v="99"`, which changes with each version so that
/// nobody relies on the list), with its version.
fn own_brand(brands: &[u8]) -> Option<(&str, &str)> {
    let mut rest = brands;
    while let Some((name, behind)) = quoted(rest) {
        let (version, behind) = match behind.strip_prefix(b";v=").map(quoted) {
            Some(Some((version, behind))) => (version, behind),
            Some(None) => return None,
            None => (&[][..], behind),
        };
        rest = behind;
        let is_noise = name.trim_ascii().starts_with(b"Not") && holds(name, b"Brand");
        if !is_noise && !COMMON.contains(&name) && is_name(name) && is_version(version) {
            return std::str::from_utf8(name).ok().zip(std::str::from_utf8(version).ok());
        }
    }
    None
}

/// The next text in quotes, and what follows it. None of the brands in use has an escaped quote.
fn quoted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = memchr::memchr(b'"', bytes)? + 1;
    let end = start + memchr::memchr(b'"', &bytes[start..])?;
    Some((&bytes[start..end], &bytes[end + 1..]))
}

fn is_name(name: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || b" .-+".contains(byte);
    (1..=NAME_BYTES).contains(&name.len()) && name.iter().all(is_letter)
}

fn is_version(version: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
    (1..=VERSION_BYTES).contains(&version.len()) && version.iter().all(is_part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DESK: &[u8] = b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";
    const NOISE: &str = "\"Chromium\";v=\"142\", \"Not_A Brand\";v=\"99\"";

    fn hints(brands: &str, platform: &str, mobile: bool) -> ClientHints {
        let field = |text: &str| (!text.is_empty()).then(|| HeaderValue::from_str(text).unwrap());
        ClientHints { brands: field(brands), platform: field(platform), mobile }
    }

    #[test]
    fn only_what_the_user_agent_does_not_say_is_kept() {
        for (brands, platform, mobile, expected) in [
            ("", "", false, ""),
            (NOISE, "\"Linux\"", false, ""),
            ("\"Chromium\";v=\"142\", \"Google Chrome\";v=\"142\", \"Not?A_Brand\";v=\"8\"", "", false, ""),
            (
                "\"Chromium\";v=\"142\", \"Brave\";v=\"142\", \" Not A;Brand\";v=\"99\"",
                "",
                false,
                "browser=Brave/142",
            ),
            (NOISE, "\"Chrome OS\"", false, "system=Chrome OS"),
            (NOISE, "\"Android\"", true, "system=Android; mobile"),
            ("\"Brave\";v=\"1\"", "\"Android\"", true, "browser=Brave/1; system=Android; mobile"),
            ("\"Brave\"", "Android", false, ""),
            ("\"<script>\";v=\"1\"", "\"TempleOS\"", false, ""),
        ] {
            assert_eq!(hints(brands, platform, mobile).beyond(DESK), expected, "{brands} {platform}");
        }
        let edge = [DESK, b" Edg/142.0.0.0"].concat();
        assert_eq!(
            hints("\"Microsoft Edge\";v=\"142\"", "\"Windows\"", false).beyond(&edge),
            "system=Windows"
        );
    }

    proptest! {
        #[test]
        fn whatever_comes_is_bounded(brands in "[ -~]{0,200}", platform in "[ -~]{0,40}", mobile: bool) {
            prop_assert!(hints(&brands, &platform, mobile).beyond(DESK).len() <= 96);
        }
    }
}
