//! Ratios, computed from sums. Nothing over nothing is null, never zero.

use schemars::JsonSchema;
use serde::Serialize;

/// 1.96: what a normal value stays below in 97.5 % of cases.
const Z_95: f64 = 1.959_963_984_540_054;

/// A 95 % confidence interval, in percent.
#[derive(Debug, Clone, Copy, PartialEq, JsonSchema, Serialize)]
pub(crate) struct Interval {
    /// Lower end.
    pub(crate) low: f64,
    /// Upper end.
    pub(crate) high: f64,
}

/// `part / whole` in percent, two decimals.
pub(crate) fn percent(part: i64, whole: i64) -> Option<f64> {
    quotient(part, whole).map(|ratio| two_decimals(ratio * 100.0))
}

/// `sum / count`, two decimals.
pub(crate) fn mean(sum: i64, count: i64) -> Option<f64> {
    quotient(sum, count).map(two_decimals)
}

/// The median, of an even number the mean of the two in the middle. Puts the values in another order.
#[allow(clippy::cast_precision_loss, reason = "a span of time in microseconds is exact for centuries")]
pub(crate) fn median(values: &mut [i64]) -> Option<f64> {
    let upper = values.len() / 2;
    let is_even = values.len().is_multiple_of(2);
    let (below, upper, _) = (!values.is_empty()).then(|| values.select_nth_unstable(upper))?;
    let upper = *upper as f64;
    let lower = below.iter().max().filter(|_| is_even).map_or(upper, |lower| *lower as f64);
    Some(lower + (upper - lower) * 0.5)
}

/// The median of spans in microseconds: days, two decimals.
pub(crate) fn median_days(spans: &mut [i64]) -> Option<f64> {
    median(spans).map(|span| two_decimals(span / 86_400e6))
}

/// The Wilson score interval of a share of `part` in `whole`, in percent, two decimals: honest with small samples.
pub(crate) fn wilson(part: i64, whole: i64) -> Option<Interval> {
    let share = quotient(part, whole)?;
    let count = to_f64(whole);
    let z_squared = Z_95 * Z_95;
    let centre = share + z_squared / (2.0 * count);
    let spread = Z_95 * (share * (1.0 - share) / count + z_squared / (4.0 * count * count)).sqrt();
    let scale = 100.0 / (1.0 + z_squared / count);
    Some(Interval {
        low: two_decimals(((centre - spread) * scale).max(0.0)),
        high: two_decimals(((centre + spread) * scale).min(100.0)),
    })
}

/// Whole orders as a whole number; parts of orders, which some models give, with a fraction.
pub(crate) fn from_millionths(millionths: i64) -> serde_json::Number {
    if millionths % 1_000_000 == 0 {
        return (millionths / 1_000_000).into();
    }
    #[allow(clippy::cast_precision_loss, reason = "counts of orders stay far below 2^53 millionths")]
    let orders = millionths as f64 / 1_000_000.0;
    serde_json::Number::from_f64(orders).unwrap_or_else(|| 0.into())
}

fn quotient(part: i64, whole: i64) -> Option<f64> {
    (whole != 0).then(|| to_f64(part) / to_f64(whole))
}

#[allow(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn to_f64(count: i64) -> f64 {
    count as f64
}

/// Rounded as all ratios are.
pub(crate) fn two_decimals(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_have_two_decimals_and_no_zero_for_nothing() {
        assert_eq!(percent(1, 3), Some(33.33));
        assert_eq!(percent(2, 3), Some(66.67));
        assert_eq!(percent(0, 5), Some(0.0));
        assert_eq!(percent(0, 0), None);
        assert_eq!(mean(7, 2), Some(3.5));
    }

    #[test]
    fn wilson_agrees_with_published_values() {
        // 10 of 100: 5.52 % to 17.44 % (Newcombe 1998 gives the method; the values follow from its formula).
        assert_eq!(wilson(10, 100), Some(Interval { low: 5.52, high: 17.44 }));
        assert_eq!(wilson(0, 10), Some(Interval { low: 0.0, high: 27.75 }));
        assert_eq!(wilson(10, 10), Some(Interval { low: 72.25, high: 100.0 }));
        assert_eq!(wilson(0, 0), None);
    }
}
