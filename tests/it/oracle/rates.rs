//! What a bank told of currencies in the week, and what an order is worth by it.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// The currency that sums are in, and where the shop's days are.
pub const REPORT: &str = "UAH";
const SHOP_ZONE: &str = "Europe/Kyiv";

/// Day, currency, in what, rate. The bank rests on Saturdays and Sundays; of dollars it tells the opposite rate, and stops; of
/// zlotys what they are in euros; of pounds nothing.
pub static RATES: [(&str, &str, &str, &str); 12] = [
    ("2026-10-22", "EUR", "UAH", "47.0011"),
    ("2026-10-23", "EUR", "UAH", "48.1234"),
    ("2026-10-26", "EUR", "UAH", "48.5"),
    ("2026-10-27", "EUR", "UAH", "48.49995"),
    ("2026-10-28", "EUR", "UAH", "49"),
    ("2026-10-30", "EUR", "UAH", "50.333333"),
    ("2026-10-20", "UAH", "USD", "0.024193"),
    ("2026-10-21", "UAH", "USD", "0.0239"),
    ("2026-10-21", "EUR", "PLN", "4.2511"),
    ("2026-10-23", "EUR", "PLN", "4.2537"),
    ("2026-10-28", "EUR", "PLN", "4.26"),
    ("2026-10-29", "EUR", "PLN", "4.9"),
];

/// By what an amount is multiplied and divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    factor: i128,
    divisor: i128,
    /// None: no rate is needed.
    pub day: Option<Date>,
    pub by_way_of: Option<&'static str>,
}

impl Exchange {
    /// How an order in this currency counts; none: in no sum.
    pub fn of(currency: Option<&str>, placed: u64) -> Option<Exchange> {
        let Some(currency) = currency.filter(|currency| *currency != REPORT) else {
            return Some(Exchange { factor: 1, divisor: 1, day: None, by_way_of: None });
        };
        let placed = Timestamp::from_millisecond(placed.try_into().unwrap()).unwrap();
        let of_order = placed.to_zoned(TimeZone::get(SHOP_ZONE).unwrap()).date();
        let days: Vec<Date> = (0..=7).map(|ago| of_order - ago.days()).collect();
        let direct = days.iter().find_map(|day| Some((*day, side(currency, REPORT, *day)?)));
        if let Some((day, (factor, divisor))) = direct {
            return Some(Exchange { factor, divisor, day: Some(day), by_way_of: None });
        }
        days.iter().find_map(|day| {
            let (factor, divisor) = side(currency, "EUR", *day)?;
            let (more, less) = side("EUR", REPORT, *day)?;
            let (factor, divisor) = (factor * more, divisor * less);
            Some(Exchange { factor, divisor, day: Some(*day), by_way_of: Some("EUR") })
        })
    }

    /// Cents of the report's currency: rounded once, half away from zero.
    pub fn worth(&self, cents: i64) -> i64 {
        let (exact, of) = (i128::from(cents) * self.factor * 2, self.divisor * 2);
        let whole = (exact.abs() + self.divisor) / of;
        i64::try_from(whole * exact.signum()).unwrap()
    }
}

/// What was told of a pair on a day, in either direction.
fn side(currency: &str, quote: &str, day: Date) -> Option<(i128, i128)> {
    let told = |from: &str, to: &str| {
        let is_it =
            |rate: &&(&str, &str, &str, &str)| (rate.1, rate.2) == (from, to) && rate.0 == day.to_string();
        RATES.iter().find(is_it).map(|rate| fraction(rate.3))
    };
    told(currency, quote).or_else(|| told(quote, currency).map(|(factor, divisor)| (divisor, factor)))
}

fn fraction(text: &str) -> (i128, i128) {
    let (whole, after) = text.split_once('.').unwrap_or((text, ""));
    let digits: i128 = format!("{whole}{after}").parse().unwrap();
    (digits, 10_i128.pow(u32::try_from(after.len()).unwrap()))
}
