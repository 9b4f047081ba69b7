//! Tokens and e-mail addresses in paths.
//!
//! A segment with an e-mail address in it becomes `{email}`. Of the others each *stretch*, ASCII letters and digits
//! without anything between them, is looked at; it is a token, and becomes `{token}`, when it has
//!
//! * 16 characters or more, all hexadecimal digits of one case, letters and digits among them; or
//! * the form of a UUID, hyphens and all; or
//! * 16 characters or more, letters and digits, and *p* pieces with 8 *p* ≥ 24 + its length (a piece is of one kind:
//!   small letters with a capital before them, capitals, digits; `iphone15promax256gb` has 5, a random one about one for
//!   each two characters); or
//! * 12 characters or more of all three kinds, and three pieces for each eight characters; or
//! * 16 characters or more without digits, capitals beside capitals twice, and the pieces of the third case.
//!
//! Short stretches with letters and digits beside a token (`c3w1p7-` of a reset link) go with it. Digits alone, words and
//! what is percent-encoded are never masked: `/product/red-shirt-42/` and `/order/1042` stay.

use std::borrow::Cow;

use super::EMAIL;
use super::encoded::find;

/// What stands for a token.
const TOKEN: &str = "{token}";

/// Shortest stretch that can be a token.
const SHORTEST_TOKEN: usize = 12;

/// A path without tokens and e-mail addresses.
pub fn path(path: &str) -> Cow<'_, str> {
    if !may_hold_secrets(path.as_bytes()) {
        return Cow::Borrowed(path);
    }
    let mut masked = String::new();
    let mut is_changed = false;
    for (index, segment) in path.split('/').enumerate() {
        if index > 0 {
            masked.push('/');
        }
        let text = mask_segment(segment);
        is_changed |= matches!(text, Cow::Owned(_));
        masked.push_str(&text);
    }
    if is_changed { Cow::Owned(masked) } else { Cow::Borrowed(path) }
}

/// Whether there is a long stretch of more than small letters, or what could be an `@`: most paths have neither, and are
/// done with here.
fn may_hold_secrets(path: &[u8]) -> bool {
    let (mut run, mut hyphenated, mut is_plain) = (0, 0, true);
    for byte in path {
        let is_word = byte.is_ascii_alphanumeric();
        is_plain = !is_word || ((is_plain || run == 0) && byte.is_ascii_lowercase());
        run = if is_word { run + 1 } else { 0 };
        hyphenated = if is_word || *byte == b'-' { hyphenated + 1 } else { 0 };
        if (run >= SHORTEST_TOKEN && !is_plain) || hyphenated >= UUID_CHARS {
            return true;
        }
    }
    find(path, b'@').is_some()
}

fn mask_segment(segment: &str) -> Cow<'_, str> {
    let bytes = segment.as_bytes();
    // Not at the beginning, since `/@name` is a profile's address, and with a dot behind it.
    let behind_at = match find(bytes, b'@') {
        Some((0, behind)) => find(&bytes[behind..], b'@').map(|(_, end)| behind + end),
        other => other.map(|(_, end)| end),
    };
    if behind_at.is_some_and(|at| find(&bytes[at..], b'.').is_some()) {
        return Cow::Owned(EMAIL.to_owned());
    }
    let stretches = stretches(bytes);
    let mut masked: Vec<(usize, usize)> = Vec::new();
    for (index, &(start, end)) in stretches.iter().enumerate() {
        if masked.last().is_some_and(|&(_, until)| start < until) {
            continue;
        }
        if let Some(end) = uuid_at(bytes, start) {
            masked.push((start, end));
        } else if is_token(&bytes[start..end]) {
            let is_mixed = |&&(start, end): &&(usize, usize)| Shape::of(&bytes[start..end]).is_mixed();
            let first =
                stretches[..index].iter().rev().take_while(is_mixed).last().map_or(start, |run| run.0);
            let last = stretches[index + 1..].iter().take_while(is_mixed).last().map_or(end, |run| run.1);
            match masked.last_mut() {
                Some(before) if before.1 > first => before.1 = last,
                _ => masked.push((first, last)),
            }
        }
    }
    if masked.is_empty() {
        return Cow::Borrowed(segment);
    }
    let mut text = String::with_capacity(segment.len());
    let mut from = 0;
    for (start, end) in masked {
        text.push_str(&segment[from..start]);
        text.push_str(TOKEN);
        from = end;
    }
    text.push_str(&segment[from..]);
    Cow::Owned(text)
}

/// Where ASCII letters and digits stand together; what is percent-encoded is neither.
fn stretches(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let (mut start, mut place) = (0, 0);
    while place <= bytes.len() {
        match bytes.get(place) {
            Some(byte) if byte.is_ascii_alphanumeric() => place += 1,
            other => {
                if place > start {
                    found.push((start, place));
                }
                place += if other == Some(&b'%') { 3 } else { 1 };
                start = place;
            }
        }
    }
    found
}

const UUID_CHARS: usize = 36;

/// Where the UUID ends that begins here.
fn uuid_at(bytes: &[u8], start: usize) -> Option<usize> {
    let end = start + UUID_CHARS;
    let candidate = bytes.get(start..end)?;
    let fits = candidate.iter().enumerate().all(|(place, byte)| match place {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    (fits && !bytes.get(end).is_some_and(u8::is_ascii_alphanumeric)).then_some(end)
}

fn is_token(stretch: &[u8]) -> bool {
    let length = stretch.len();
    if length < SHORTEST_TOKEN {
        return false;
    }
    let shape = Shape::of(stretch);
    let has_letters = shape.small || shape.capital;
    let is_long = length >= 16;
    let is_choppy = 8 * shape.pieces >= 24 + length;
    match (shape.digits, has_letters) {
        (true, true) => {
            (is_long && shape.is_hexadecimal && shape.small != shape.capital)
                || (is_long && is_choppy)
                || (shape.small && shape.capital && 8 * shape.pieces >= 3 * length)
        }
        (false, true) => is_long && is_choppy && shape.capital_pairs >= 2,
        (_, false) => false,
    }
}

/// What a stretch is made of.
#[derive(Debug, Default)]
struct Shape {
    pieces: usize,
    capital_pairs: usize,
    small: bool,
    capital: bool,
    digits: bool,
    is_hexadecimal: bool,
}

impl Shape {
    fn of(stretch: &[u8]) -> Self {
        let mut shape = Shape { is_hexadecimal: true, ..Shape::default() };
        let mut before = None;
        for byte in stretch {
            let kind = match byte {
                b'0'..=b'9' => Kind::Digit,
                b'A'..=b'Z' => Kind::Capital,
                _ => Kind::Small,
            };
            // A capital belongs to the word that it begins.
            let continues = before == Some(kind) || (before, kind) == (Some(Kind::Capital), Kind::Small);
            shape.pieces += usize::from(!continues);
            shape.capital_pairs += usize::from(before == Some(Kind::Capital) && kind == Kind::Capital);
            shape.is_hexadecimal &= byte.is_ascii_hexdigit();
            match kind {
                Kind::Digit => shape.digits = true,
                Kind::Capital => shape.capital = true,
                Kind::Small => shape.small = true,
            }
            before = Some(kind);
        }
        shape
    }

    fn is_mixed(&self) -> bool {
        self.digits && (self.small || self.capital)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Small,
    Capital,
    Digit,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masked(text: &str) -> String {
        path(text).into_owned()
    }

    #[test]
    fn tokens_and_addresses_leave_paths() {
        for (text, expected) in [
            ("/reset/MQ/c3w1p7-8f3a2b1c9d8e7f6a5b4c3d2e1f0a9b8c/", "/reset/MQ/{token}/"),
            ("/password/reset/3b7e9a40f1c85d26e4b0a97cf3d81e5b6a20c94f7e1d83b5", "/password/reset/{token}"),
            ("/order/550e8400-e29b-41d4-a716-446655440000", "/order/{token}"),
            ("/o/550e8400-e29b-41d4-a716-446655440000/pay", "/o/{token}/pay"),
            ("/checkout/wc_order_Xh3Tq9ZbL0aPw", "/checkout/wc_order_{token}"),
            ("/12345678/orders/4ab1f0a6dc5d1ad5bd0d0c3d7c6e4ff2", "/12345678/orders/{token}"),
            ("/verify/01HF7Y8QK3M9ZT2XV5B6N4C1DA", "/verify/{token}"),
            ("/u/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N", "/u/{token}"),
            ("/item;jsessionid=1A2B3C4D5E6F708192A3B4C5D6E7F809", "/item;jsessionid={token}"),
            ("/unsubscribe/anna@example.com", "/unsubscribe/{email}"),
            ("/unsubscribe/anna%40example.com/now", "/unsubscribe/{email}/now"),
            ("/unsubscribe/anna%2540example.com", "/unsubscribe/{email}"),
            ("/unsubscribe/anna%252540example.com/x", "/unsubscribe/{email}/x"),
            ("/unsubscribe/anna%25%34%30example.com", "/unsubscribe/{email}"),
            ("/unsubscribe/anna%40example%2Ecom", "/unsubscribe/{email}"),
            ("/@shop/@to;anna@example.com", "/@shop/{email}"),
            ("/red-shirt-9f8b7c6d5e4f3a2b", "/red-shirt-{token}"),
        ] {
            assert_eq!(masked(text), expected, "{text}");
        }
    }

    #[test]
    fn ordinary_paths_of_shops_stay() {
        for path in ORDINARY.lines() {
            assert_eq!(masked(path), path);
            assert!(matches!(super::path(path), Cow::Borrowed(_)));
        }
    }

    /// As shops on WooCommerce, Shopify, Magento, PrestaShop, OpenCart, Bitrix and Django have them.
    const ORDINARY: &str = include_str!("../data/ordinary_paths.txt");

    /// Random tokens of the kinds that programs make: how many get through.
    #[test]
    fn random_tokens_hardly_ever_stay() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).unwrap() % below
        };
        let hex = "0123456789abcdef";
        let base36 = "0123456789abcdefghijklmnopqrstuvwxyz";
        let base62 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let base64 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
        for (alphabet, length, most_of_thousand) in [
            (hex, 32, 1),
            (hex, 64, 1),
            (base36, 20, 130),
            (base36, 32, 20),
            (base36, 40, 12),
            (base62, 20, 60),
            (base62, 32, 5),
            (base64, 43, 15),
        ] {
            let stay = (0..1000)
                .filter(|_| {
                    let token: String =
                        (0..length).map(|_| char::from(alphabet.as_bytes()[next(alphabet.len())])).collect();
                    masked(&format!("/reset/{token}")) == format!("/reset/{token}")
                })
                .count();
            assert!(stay <= most_of_thousand, "{stay} of 1000 with {length} of {} letters", alphabet.len());
        }
    }

    proptest! {
        #[test]
        fn what_is_masked_stays_so(value in ".{0,80}") {
            let once = masked(&value);
            prop_assert_eq!(masked(&once), once.clone());
            prop_assert_eq!(value.matches('/').count(), once.matches('/').count());
        }

        #[test]
        fn digits_and_words_stay(words in proptest::collection::vec("([a-z]{1,15}|[0-9]{1,30}|[A-Z][a-z]{1,12})", 1..6)) {
            let path = format!("/{}/", words.join("-"));
            prop_assert_eq!(masked(&path), path.clone());
        }
    }
}
