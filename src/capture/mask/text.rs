//! E-mail addresses, telephone and card numbers in text.

use std::borrow::Cow;

use super::EMAIL;
use super::encoded::{decoded, find};
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
/// card numbers (14 to 19 digits that pass Luhn's test), whatever other numbers stand beside them.
pub fn text(value: Cow<'_, str>) -> Cow<'_, str> {
    mask_text(value, false)
}

fn mask_text(value: Cow<'_, str>, bare_numbers: bool) -> Cow<'_, str> {
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let value = emails(value);
    if digits < FEWEST_DIGITS { value } else { numbers(value, bare_numbers) }
}

/// A text without e-mail addresses, also such as are percent-encoded, however often.
pub fn emails(value: Cow<'_, str>) -> Cow<'_, str> {
    let is_local = |c: char| c.is_alphanumeric() || "._%+-".contains(c);
    let mut masked = String::new();
    let mut rest: &str = &value;
    while let Some((at, behind)) = find(rest.as_bytes(), b'@') {
        let local = rest[..at].trim_end_matches(is_local);
        match domain_end(&rest[behind..]) {
            Some(end) if local.len() < at => {
                masked.push_str(local);
                masked.push_str(EMAIL);
                rest = &rest[behind + end..];
            }
            _ => {
                masked.push_str(&rest[..behind]);
                rest = &rest[behind..];
            }
        }
    }
    if masked.is_empty() {
        return value;
    }
    masked.push_str(rest);
    Cow::Owned(masked)
}

/// How far a domain goes that begins here: it has a dot, and behind that some label of two letters or more.
fn domain_end(text: &str) -> Option<usize> {
    let (mut place, mut end) = (0, None);
    let (mut is_behind_dot, mut label) = (false, 0);
    while let Some(first) = text[place..].chars().next() {
        let (char, bytes) = match decoded(&text.as_bytes()[place..]) {
            Some((byte, bytes)) if byte.is_ascii() => (char::from(byte), bytes),
            // A letter that is no ASCII, byte by byte.
            Some((_, bytes)) if first == '%' => ('\u{fffd}', bytes),
            _ => (first, first.len_utf8()),
        };
        place += bytes;
        match char {
            '.' if place == bytes => return None,
            '.' => (is_behind_dot, label) = (true, 0),
            '-' => label += 1,
            letter if letter.is_alphanumeric() || (letter == '\u{fffd}' && first == '%') => {
                label += 1;
                if end.is_some() || (is_behind_dot && label >= 2) {
                    end = Some(place);
                }
            }
            _ => break,
        }
    }
    end
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
        let (run, end) = Group::run(&value, place);
        let mut found = Vec::new();
        find_numbers(&run, bare_numbers, &mut found);
        found.sort_unstable();
        for (start, end, word) in found {
            masked.push_str(&value[from..start]);
            masked.push_str(word);
            from = end;
        }
        place = end.max(place + 1);
    }
    if masked.is_empty() {
        return value;
    }
    masked.push_str(&value[from..]);
    Cow::Owned(masked)
}

/// Digits without anything between them.
#[derive(Debug)]
struct Group {
    /// Where its mask would begin: at the `+` or the opening bracket before it, if there is one.
    start: usize,
    end: usize,
    digits: Vec<u8>,
    has_plus: bool,
}

impl Group {
    /// The groups from here on that may be parts of one number, between two of them at most two separators; and where
    /// they end. Digits right before a letter are no number, but a part of a word.
    fn run(text: &str, start: usize) -> (Vec<Self>, usize) {
        let bytes = text.as_bytes();
        let mut run: Vec<Self> = Vec::new();
        let has_plus = bytes[start] == b'+';
        let (mut gap, mut place) = (0, start + usize::from(has_plus));
        while let Some(byte) = bytes.get(place) {
            match byte {
                b'0'..=b'9' => {
                    let end = bytes[place..].iter().position(|byte| !byte.is_ascii_digit());
                    let end = end.map_or(bytes.len(), |digits| place + digits);
                    let is_first = run.is_empty();
                    run.push(Self {
                        start: if is_first { start } else { place - usize::from(bytes[place - 1] == b'(') },
                        end,
                        digits: bytes[place..end].iter().map(|digit| digit - b'0').collect(),
                        has_plus: has_plus && is_first,
                    });
                    (gap, place) = (0, end);
                }
                _ => match text[place..].chars().next().filter(|char| gap < 2 && is_separator(*char)) {
                    Some(separator) => (gap, place) = (gap + 1, place + separator.len_utf8()),
                    None => break,
                },
            }
        }
        let end = run.last().map_or(start, |group| group.end);
        if bytes.get(end).is_some_and(u8::is_ascii_alphabetic) {
            run.pop();
        }
        (run, end)
    }
}

/// What stands between the digits of a number that is written in groups: blanks, hyphens, dashes and what cannot be seen,
/// of every width.
fn is_separator(char: char) -> bool {
    matches!(char,
        ' ' | '\t' | '-' | '.' | '(' | ')' | '/' | '\u{a0}' | '\u{ad}' | '\u{2000}'..='\u{200f}'
        | '\u{2010}'..='\u{2015}' | '\u{202f}' | '\u{205f}' | '\u{2060}' | '\u{2212}' | '\u{3000}' | '\u{feff}')
}

/// How people write card numbers: digits of each group.
const CARDS: [&[usize]; 6] = [&[4, 4, 4, 4], &[4, 4, 4, 4, 3], &[4, 6, 5], &[4, 6, 4], &[8, 8], &[6, 13]];

/// How people write telephone numbers without `+` or a leading zero, likewise.
const PHONES: [&[usize]; 9] = [
    &[3, 3, 4],
    &[3, 3, 2, 2],
    &[1, 3, 3, 4],
    &[2, 3, 3, 4],
    &[1, 3, 3, 2, 2],
    &[2, 3, 3, 2, 2],
    &[3, 2, 3, 2, 2],
    &[2, 3, 7],
    &[3, 2, 7],
];

/// Finds the numbers in a run that are to be masked, each as start, end and what stands for it. Where they overlap they
/// are one: more than a number may go, never a part of one stay. What is left beside them is a run of its own.
fn find_numbers(run: &[Group], bare_numbers: bool, found: &mut Vec<(usize, usize, &'static str)>) {
    let mut numbers: Vec<(usize, usize, &'static str)> = Vec::new();
    for first in 0..run.len() {
        for (is_number, word) in [(is_card as fn(&[Group], bool, bool) -> bool, CARD), (is_phone, PHONE)] {
            let lasts = (first + 1..=run.len().min(first + MOST_DIGITS)).rev();
            let longest = lasts
                .into_iter()
                .find(|&last| is_number(&run[first..last], last - first == run.len(), bare_numbers));
            let Some(last) = longest else { continue };
            match numbers.last_mut() {
                Some((_, until, before)) if first < *until => {
                    *until = last.max(*until);
                    *before = if word == CARD { CARD } else { *before };
                }
                _ => numbers.push((first, last, word)),
            }
        }
    }
    let mut from = 0;
    for &(first, last, word) in &numbers {
        found.push((run[first].start, run[last - 1].end, word));
        find_numbers(&run[from..first], bare_numbers, found);
        from = last;
    }
    if from > 0 {
        find_numbers(&run[from..], bare_numbers, found);
    }
}

/// Most digits of a card number (ISO/IEC 7812-1).
const MOST_DIGITS: usize = 19;

fn is_card(part: &[Group], is_whole: bool, _: bool) -> bool {
    let length = digits_of(part).count();
    let is_long_enough = (14..=MOST_DIGITS).contains(&length);
    if !is_long_enough || part[0].digits[0] == 0 || (part[0].has_plus && length <= LONGEST_PHONE) {
        return false;
    }
    (is_whole || part.len() == 1 || is_written_as(part, &CARDS)) && passes_luhn(part)
}

/// Most digits of a telephone number (ITU-T E.164).
const LONGEST_PHONE: usize = 15;

/// Beside other numbers more must speak for it than where it stands by itself.
fn is_phone(part: &[Group], is_whole: bool, bare_numbers: bool) -> bool {
    let length = digits_of(part).count();
    let first = &part[0].digits;
    if part[0].has_plus {
        return (FEWEST_DIGITS..=LONGEST_PHONE).contains(&length);
    }
    let is_dialled = first.first() == Some(&0);
    if is_whole {
        return (is_dialled && (9..=LONGEST_PHONE).contains(&length))
            || (part.len() > 2 && (10..=13).contains(&length))
            || (bare_numbers && (10..=12).contains(&length));
    }
    let most = if first.starts_with(&[0, 0]) { LONGEST_PHONE } else { 12 };
    let is_french = part.len() == 5 && part.iter().all(|group| group.digits.len() == 2);
    (is_dialled && (9..=most).contains(&length) && (first.len() > 2 || is_french))
        || is_written_as(part, &PHONES)
        || (bare_numbers && part.len() == 1 && (10..=12).contains(&length))
}

fn is_written_as(part: &[Group], ways: &[&[usize]]) -> bool {
    ways.iter().any(|way| part.iter().map(|group| group.digits.len()).eq(way.iter().copied()))
}

fn digits_of(part: &[Group]) -> impl DoubleEndedIterator<Item = u8> {
    part.iter().flat_map(|group| group.digits.iter().copied())
}

/// Luhn's test (ISO/IEC 7812-1, annex B).
fn passes_luhn(part: &[Group]) -> bool {
    let sum: u32 = digits_of(part)
        .rev()
        .enumerate()
        .map(|(place, digit)| match u32::from(digit) {
            digit if place % 2 == 0 => digit,
            digit if digit > 4 => 2 * digit - 9,
            digit => 2 * digit,
        })
        .sum();
    sum.is_multiple_of(10) && digits_of(part).any(|digit| digit != 0)
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
            ("2026-03-10 2026-03-13", "2026-03-10 2026-03-13"),
            ("01.02.2026 15.02.2026", "01.02.2026 15.02.2026"),
            ("1499.00 2599.00 899.00", "1499.00 2599.00 899.00"),
            ("4111 1111 1111 1111 12/26 123", "{card} 12/26 123"),
            ("4111111111111111 123", "{card} 123"),
            ("0671234567 0501234567", "{phone} {phone}"),
            ("067-123-45-67 050-123-45-67", "{phone}"),
            ("+380 67 123-45-67 4111 1111 1111 1111", "{phone} {card}"),
            ("5500005555555559 4111111111111111", "{card} {card}"),
            ("5500 0055 5555 5559 4111-1111-1111-1111", "{card}"),
            ("size 5 (067) 123-45-67 4111111111111111", "size {phone} {card}"),
            ("4111 1111 1111 1111 2pcs", "{card} 2pcs"),
            ("anna%40example.com", "{email}"),
            ("4111\u{a0}1111\u{202f}1111\u{2013}1111", "{card}"),
            ("(067)\u{a0}123\u{2011}45\u{2212}67", "{phone}"),
            ("067\u{2014}1234567 і далі", "{phone} і далі"),
            ("1000\u{2013}1500 грн", "1000\u{2013}1500 грн"),
            ("x anna%2540mail.example%2Ecom.", "x {email}."),
            ("50%25 off, 100%", "50%25 off, 100%"),
        ] {
            assert_eq!(text(value.into()), expected, "{value}");
        }
        assert_eq!(text("380671234567".into()), "380671234567", "an id as well as a number");
        assert_eq!(search("380671234567".into()), "{phone}");
        assert_eq!(search("380671234567 1".into()), "{phone} 1");
        assert_eq!(search("ї".repeat(300).into()).chars().count(), 200);
    }

    /// A card number whose last digit passes the test, in groups as people write them.
    fn card() -> impl Strategy<Value = String> {
        ("[3-6][0-9]{14}", prop_oneof![Just(""), Just(" "), Just("-"), Just("\u{2013}")]).prop_map(
            |(digits, separator)| {
                let last = ('0'..='9').find(|last| passes_luhn(&Group::run(&format!("{digits}{last}"), 0).0));
                let digits: Vec<char> = digits.chars().chain(last).collect();
                digits.chunks(4).map(String::from_iter).collect::<Vec<_>>().join(separator)
            },
        )
    }

    fn phone() -> impl Strategy<Value = String> {
        prop_oneof![
            "\\+380[0-9]{9}",
            "\\+380 [0-9]{2} [0-9]{3}-[0-9]{2}-[0-9]{2}",
            "0[1-9][0-9]{8}",
            "0[1-9][0-9]-[0-9]{3}-[0-9]{2}-[0-9]{2}",
            "\\(0[1-9][0-9]\\) [0-9]{3} [0-9]{2} [0-9]{2}",
            "[2-9][0-9]{2}-[0-9]{3}-[0-9]{4}",
        ]
    }

    proptest! {
        #[test]
        fn neither_a_card_nor_a_telephone_stays_whatever_numbers_are_beside_it(
            number in prop_oneof![card(), phone()],
            before in "([0-9]{1,6}[ ./\u{a0}-]{1,2}){0,4}",
            after in "([ ./\u{2013}-]{1,2}[0-9]{1,6}){0,4}",
            next in prop_oneof![card(), phone()],
        ) {
            let told = text(format!("{before}{number}{after} {next}").into()).into_owned();
            let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
            let left = digits(&told);
            for number in [number, next] {
                prop_assert!(!left.contains(&digits(&number)), "{}", told);
            }
            prop_assert!(told.contains('{') && told.len() < before.len() + after.len() + 30, "{}", told);
            prop_assert_eq!(text(told.as_str().into()), told.clone());
        }

        #[test]
        fn what_is_masked_stays_so(value in ".{0,80}") {
            let told = text(value.as_str().into()).into_owned();
            prop_assert_eq!(text(told.as_str().into()), told.clone());
        }
    }
}
