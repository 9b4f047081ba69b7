//! Amounts of money as pages show them: `1 499,00 ₴`, `$1,499.00`, `1499`.

use rust_decimal::Decimal;

use super::event;

/// The first amount in a text. Blanks, apostrophes and points or commas before three digits divide thousands; a last
/// point or comma with one or two digits behind it is the decimal one.
pub fn amount_in(text: &str) -> Option<Decimal> {
    if let Some(amount) = event::amount_of(text.trim()) {
        return Some(amount);
    }
    if has_exponent(text.trim()) {
        return event::amount_of(&Decimal::from_scientific(text.trim()).ok()?.to_string());
    }
    let begin = text.find(|char: char| char.is_ascii_digit())?;
    let is_negative = text[..begin].trim_end().ends_with(['-', '\u{2212}']);
    let mut number = String::new();
    let mut chars = text[begin..].chars().peekable();
    while let Some(char) = chars.next() {
        let is_inner = chars.peek().is_some_and(char::is_ascii_digit);
        match char {
            '0'..='9' => number.push(char),
            '.' | ',' if is_inner => number.push(char),
            ' ' | '\u{a0}' | '\u{202f}' | '\u{2009}' | '\'' | '\u{2019}' if is_inner => {}
            _ => break,
        }
        if number.len() > 32 {
            return None;
        }
    }
    let decimal_at = number.rfind(['.', ',']).filter(|at| {
        let behind = number.len() - at - 1;
        // Twice the same sign, or three digits behind it, divides thousands.
        let sign = &number[*at..=*at];
        behind <= 2 || (behind == 4 && number.matches(['.', ',']).count() == 1) || {
            behind != 3 && number.matches(sign).count() == 1
        }
    });
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let plain = match decimal_at {
        Some(at) => format!("{}.{}", digits(&number[..at]), digits(&number[at + 1..])),
        None => digits(&number),
    };
    let amount = event::amount_of(&plain)?;
    Some(if is_negative { -amount } else { amount })
}

/// Whether it is a number like `1.0E7`, as programs write large ones.
fn has_exponent(text: &str) -> bool {
    let Some((number, exponent)) = text.split_once(['e', 'E']) else { return false };
    let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    let is_exponent = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_exponent && Decimal::from_str_exact(number).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_read_as_people_write_them() {
        for (text, amount) in [
            ("1499", "1499"),
            ("1499.50", "1499.5"),
            ("1499,5", "1499.5"),
            ("1 499,00 ₴", "1499"),
            ("1\u{a0}499\u{a0}грн", "1499"),
            ("$1,499.00", "1499"),
            ("1.499,00 €", "1499"),
            ("1,499", "1499"),
            ("1,234,567", "1234567"),
            ("CHF 1'499.95", "1499.95"),
            ("Total: -20.10", "-20.1"),
            ("12 items", "12"),
            ("1.0E7", "10000000"),
            ("-1.5e+3", "-1500"),
            ("125e-2", "1.25"),
            ("12 E5", "12"),
        ] {
            assert_eq!(amount_in(text), Some(amount.parse().unwrap()), "{text}");
        }
        for text in [
            "",
            "free",
            "₴",
            "99999999999999999999999999999999999999",
            "1e400",
            "1e12",
            "1e-9",
            "1e99999999999",
        ] {
            assert_eq!(amount_in(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_formatted_is_read_back(units in 0u64..1_000_000_000, cents in 0u64..100, comma in any::<bool>()) {
            let mut grouped = String::new();
            let digits = units.to_string();
            for (index, digit) in digits.chars().enumerate() {
                if index > 0 && (digits.len() - index) % 3 == 0 {
                    grouped.push(if comma { ' ' } else { ',' });
                }
                grouped.push(digit);
            }
            let text = format!("{grouped}{}{cents:02} ₴", if comma { ',' } else { '.' });
            let hundredths = i64::try_from(units * 100 + cents).unwrap();
            prop_assert_eq!(amount_in(&text), Some(Decimal::new(hundredths, 2)), "{}", text);
        }

        #[test]
        fn no_text_makes_it_fail(text in "\\PC{0,40}", numbers in "[0-9., 'eE+-]{0,40}") {
            let _ = amount_in(&text);
            let _ = amount_in(&numbers);
        }
    }
}
