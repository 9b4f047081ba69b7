//! E-mail addresses, telephone and card numbers in text.

use std::borrow::Cow;

use super::EMAIL;
use crate::capture::evidence::cap_chars;

/// What stands for a telephone number.
const PHONE: &str = "{phone}";
/// What stands for the number of a payment card.
const CARD: &str = "{card}";

/// Longest text of a search, in characters.
const SEARCH_CHARS: usize = 200;

/// What somebody searched for: as [`text`], numbers of ten to twelve digits are telephone numbers too, 200 characters.
pub fn search(value: Cow<'_, str>) -> Cow<'_, str> {
    let masked = mask_text(value, true);
    cap_chars(masked, SEARCH_CHARS).0
}

/// A text without e-mail addresses, telephone numbers (with `+` or a leading zero; or grouped, ten digits or more) and
/// card numbers (14 to 19 digits that pass Luhn's test).
pub fn text(value: Cow<'_, str>) -> Cow<'_, str> {
    mask_text(value, false)
}

fn mask_text(value: Cow<'_, str>, bare_numbers: bool) -> Cow<'_, str> {
    let has_at = memchr::memchr(b'@', value.as_bytes()).is_some();
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let value = if has_at { emails(value) } else { value };
    if digits < FEWEST_DIGITS { value } else { numbers(value, bare_numbers) }
}

/// A text without e-mail addresses.
pub fn emails(value: Cow<'_, str>) -> Cow<'_, str> {
    let is_local = |c: char| c.is_alphanumeric() || "._%+-".contains(c);
    let is_domain = |c: char| c.is_alphanumeric() || ".-".contains(c);
    let mut masked = String::new();
    let mut rest: &str = &value;
    while let Some(at) = rest.find('@') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        let local = before.trim_end_matches(is_local);
        let end = after.find(|c| !is_domain(c)).unwrap_or(after.len());
        let domain = after[..end].trim_end_matches(['.', '-']);
        // A dot, and behind it some label of two letters or more.
        let is_email = local.len() < before.len()
            && !domain.starts_with('.')
            && domain.split('.').skip(1).any(|label| label.chars().count() >= 2);
        if is_email {
            masked.push_str(local);
            masked.push_str(EMAIL);
            rest = &after[domain.len()..];
        } else {
            masked.push_str(&rest[..=at]);
            rest = after;
        }
    }
    if masked.is_empty() {
        return value;
    }
    masked.push_str(rest);
    Cow::Owned(masked)
}

/// Fewest digits of a telephone number.
const FEWEST_DIGITS: usize = 8;

fn numbers(value: Cow<'_, str>, bare_numbers: bool) -> Cow<'_, str> {
    let bytes = value.as_bytes();
    let mut masked = String::new();
    let (mut from, mut place) = (0, 0);
    while place < bytes.len() {
        let begins = bytes[place].is_ascii_digit() || matches!(bytes[place], b'+' | b'(');
        let is_inside =
            bytes[place].is_ascii_digit() && place > 0 && bytes[place - 1].is_ascii_alphanumeric();
        if !begins || is_inside {
            place += 1;
            continue;
        }
        let number = Number::at(&bytes[place..]);
        if let Some(word) = number.word(bare_numbers) {
            masked.push_str(&value[from..place]);
            masked.push_str(word);
            from = place + number.bytes;
        }
        place += number.bytes.max(1);
    }
    if masked.is_empty() {
        return value;
    }
    masked.push_str(&value[from..]);
    Cow::Owned(masked)
}

/// Digits with what people put between them.
#[derive(Debug, Default)]
struct Number {
    bytes: usize,
    digits: Vec<u8>,
    groups: usize,
    has_plus: bool,
}

impl Number {
    /// The number that begins here: a `+` and an opening bracket before it, between digits at most two separators.
    fn at(bytes: &[u8]) -> Self {
        let mut number = Number { has_plus: bytes.first() == Some(&b'+'), ..Number::default() };
        let mut gap = 0;
        for (place, byte) in bytes.iter().enumerate() {
            match byte {
                b'0'..=b'9' => {
                    number.groups += usize::from(number.digits.is_empty() || gap > 0);
                    number.digits.push(byte - b'0');
                    number.bytes = place + 1;
                    gap = 0;
                }
                b' ' | b'-' | b'.' | b'(' | b')' | b'/' if gap < 2 => gap += 1,
                b'+' if place == 0 => {}
                // A letter right behind it: no number, but a part of a word.
                letter => {
                    if letter.is_ascii_alphabetic() && gap == 0 {
                        number.digits.clear();
                    }
                    break;
                }
            }
        }
        number
    }

    fn word(&self, bare_numbers: bool) -> Option<&'static str> {
        let length = self.digits.len();
        if (14..=19).contains(&length) && !self.has_plus && passes_luhn(&self.digits) {
            return Some(CARD);
        }
        let least = if self.has_plus { FEWEST_DIGITS } else { 9 };
        let is_dialled = self.has_plus || self.digits.first() == Some(&0);
        let is_phone = (is_dialled && (least..=15).contains(&length))
            || (self.groups > 2 && (10..=13).contains(&length))
            || (bare_numbers && (10..=12).contains(&length));
        is_phone.then_some(PHONE)
    }
}

/// Luhn's test (ISO/IEC 7812-1, annex B).
fn passes_luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match u32::from(*digit) {
            digit if place % 2 == 0 => digit,
            digit if digit > 4 => 2 * digit - 9,
            digit => 2 * digit,
        })
        .sum();
    sum.is_multiple_of(10) && digits.iter().any(|digit| *digit != 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn people_leave_texts() {
        for (value, expected) in [
            ("shoes for anna.k@example.com size 38", "shoes for {email} size 38"),
            ("Anna@Приклад.укр, or me@b.co.", "{email}, or {email}."),
            ("call +380 67 123-45-67 please", "call {phone} please"),
            ("(067) 123-45-67", "{phone}"),
            ("0671234567", "{phone}"),
            ("555-123-4567", "{phone}"),
            ("4111 1111 1111 1111", "{card}"),
            ("card 5500005555555559!", "card {card}!"),
            ("4111 1111 1111 1112", "4111 1111 1111 1112"),
            ("@home a@b c@d.e", "@home a@b c@d.e"),
            ("anna@shop.example.x", "{email}"),
            ("1042", "1042"),
            ("iPhone 15 Pro 256", "iPhone 15 Pro 256"),
            ("120210000000000123", "120210000000000123"),
            ("sizes 36-38, 40", "sizes 36-38, 40"),
            ("A1234567890B", "A1234567890B"),
            ("2026-03-10", "2026-03-10"),
        ] {
            assert_eq!(text(value.into()), expected, "{value}");
        }
        assert_eq!(text("380671234567".into()), "380671234567", "an id as well as a number");
        assert_eq!(search("380671234567".into()), "{phone}");
        assert_eq!(search("ї".repeat(300).into()).chars().count(), 200);
    }

    proptest! {
        #[test]
        fn what_is_masked_stays_so(value in ".{0,80}") {
            let told = text(value.as_str().into()).into_owned();
            prop_assert_eq!(text(told.as_str().into()), told.clone());
        }
    }
}
