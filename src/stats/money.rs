//! Amounts as people write them: decimal text with the currency's minor units.

use std::str::FromStr;

use rust_decimal::Decimal;

/// Currencies of ISO 4217 whose minor units are not two, with their number.
const MINOR_UNITS: &[(&str, u32)] = &[
    ("BHD", 3),
    ("BIF", 0),
    ("CLF", 4),
    ("CLP", 0),
    ("DJF", 0),
    ("GNF", 0),
    ("IQD", 3),
    ("ISK", 0),
    ("JOD", 3),
    ("JPY", 0),
    ("KMF", 0),
    ("KRW", 0),
    ("KWD", 3),
    ("LYD", 3),
    ("OMR", 3),
    ("PYG", 0),
    ("RWF", 0),
    ("TND", 3),
    ("UGX", 0),
    ("UYI", 0),
    ("UYW", 4),
    ("VND", 0),
    ("VUV", 0),
    ("XAF", 0),
    ("XOF", 0),
    ("XPF", 0),
];

/// Digits after the point of an amount in this currency.
pub(crate) fn minor_units(currency: Option<&str>) -> u32 {
    let known = currency.and_then(|currency| MINOR_UNITS.iter().find(|(code, _)| *code == currency));
    known.map_or(2, |(_, digits)| *digits)
}

/// An amount, as the database has it, in the currency's minor units; text that is no number stays as it is.
pub(crate) fn amount(text: &str, currency: Option<&str>) -> String {
    let digits = minor_units(currency);
    match Decimal::from_str(text) {
        Ok(value) => {
            let value =
                value.round_dp_with_strategy(digits, rust_decimal::RoundingStrategy::MidpointAwayFromZero);
            format!("{value:.*}", digits as usize)
        }
        Err(_) => text.to_owned(),
    }
}

/// An amount divided among so many; null among none.
pub(crate) fn each(amount: &str, count: i64, digits: usize) -> Option<String> {
    let share = amount.parse::<Decimal>().ok()?.checked_div(count.into())?;
    let places = u32::try_from(digits).unwrap_or(2);
    let share = share.round_dp_with_strategy(places, rust_decimal::RoundingStrategy::MidpointAwayFromZero);
    Some(format!("{share:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_the_digits_of_their_currency() {
        assert_eq!(amount("1499", Some("UAH")), "1499.00");
        assert_eq!(amount("1499.005", None), "1499.01");
        assert_eq!(amount("1499.5", Some("JPY")), "1500");
        assert_eq!(amount("1.5", Some("KWD")), "1.500");
        assert_eq!(amount("-3", Some("EUR")), "-3.00");
    }
}
