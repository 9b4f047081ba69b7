//! Whether two shares differ: what a test says, and how sure one can be. Pure functions.

use statrs::distribution::{Beta, ChiSquared, Continuous, ContinuousCDF, Normal};
use statrs::function::factorial::ln_binomial;

use crate::stats::ratio::{Interval, two_decimals};

/// 1.96: what a normal value stays below in 97.5 % of cases.
const Z_95: f64 = 1.959_963_984_540_054;

/// 0.84: what it stays below in 80 % of cases.
const Z_80: f64 = 0.841_621_233_572_914_2;

/// Where an expected count is less, the normal approximation does not hold (Cochran 1954).
const LEAST_EXPECTED: f64 = 5.0;

/// Points at which the probability to be the best is summed up.
const POINTS: u32 = 2_000;

/// So many of so many.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Share {
    pub(crate) part: i64,
    pub(crate) whole: i64,
}

/// What a test of two shares says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tested {
    /// How likely a difference at least as great is when there is none, two-sided.
    pub(crate) p_value: f64,
    /// `fisher_exact` where an expected count is less than five, else `two_proportion_z`.
    pub(crate) test: &'static str,
}

impl Share {
    fn rate(self) -> Option<f64> {
        (self.whole > 0).then(|| to_f64(self.part) / to_f64(self.whole))
    }

    /// The Wilson score interval of 95 %, as parts of one.
    fn wilson(self) -> Option<(f64, f64)> {
        let (rate, count) = (self.rate()?, to_f64(self.whole));
        let z_squared = Z_95 * Z_95;
        let centre = rate + z_squared / (2.0 * count);
        let spread = Z_95 * (rate * (1.0 - rate) / count + z_squared / (4.0 * count * count)).sqrt();
        let scale = 1.0 + z_squared / count;
        Some((((centre - spread) / scale).max(0.0), ((centre + spread) / scale).min(1.0)))
    }
}

/// Whether two shares differ; none where one is of nothing.
pub(crate) fn test(one: Share, other: Share) -> Option<Tested> {
    let (rate, other_rate) = (one.rate()?, other.rate()?);
    let (whole, other_whole) = (to_f64(one.whole), to_f64(other.whole));
    let pooled = to_f64(one.part + other.part) / (whole + other_whole);
    let least = pooled.min(1.0 - pooled) * whole.min(other_whole);
    if least < LEAST_EXPECTED {
        return Some(Tested { p_value: fisher(one, other), test: "fisher_exact" });
    }
    let error = (pooled * (1.0 - pooled) * (1.0 / whole + 1.0 / other_whole)).sqrt();
    let z = (rate - other_rate) / error;
    let p_value = 2.0 * Normal::standard().sf(z.abs());
    Some(Tested { p_value, test: "two_proportion_z" })
}

/// Fisher's exact test, two-sided: all tables with these sums that are no likelier than the one seen.
fn fisher(one: Share, other: Share) -> f64 {
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    let (whole, other_whole) = (count(one.whole), count(other.whole));
    let parts = count(one.part) + count(other.part);
    let ln_all = ln_binomial(whole + other_whole, parts);
    let ln_chance = |part: u64| ln_binomial(whole, part) + ln_binomial(other_whole, parts - part) - ln_all;
    let seen = ln_chance(count(one.part).min(parts));
    let possible = parts.saturating_sub(other_whole)..=parts.min(whole);
    // As likely as the one seen, but for rounding.
    let unlikely = possible.map(ln_chance).filter(|chance| *chance <= seen + 1e-7);
    unlikely.map(f64::exp).sum::<f64>().min(1.0)
}

/// The 95 % interval of the difference of two shares in points, from their Wilson intervals (Newcombe 1998, method 10).
pub(crate) fn difference(one: Share, other: Share) -> Option<(f64, Interval)> {
    let (rate, other_rate) = (one.rate()?, other.rate()?);
    let ((low, high), (other_low, other_high)) = (one.wilson()?, other.wilson()?);
    let difference = rate - other_rate;
    let below = ((rate - low).powi(2) + (other_high - other_rate).powi(2)).sqrt();
    let above = ((high - rate).powi(2) + (other_rate - other_low).powi(2)).sqrt();
    let points = |value: f64| two_decimals(value * 100.0);
    let interval = Interval { low: points(difference - below), high: points(difference + above) };
    Some((points(difference), interval))
}

/// Holm's correction: p-values of several comparisons as they must be read together.
pub(crate) fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|one, other| p_values[*one].total_cmp(&p_values[*other]));
    let mut adjusted = vec![1.0; p_values.len()];
    let mut least = 0.0_f64;
    for (rank, index) in order.into_iter().enumerate() {
        let left = u32::try_from(p_values.len() - rank).unwrap_or(u32::MAX);
        least = least.max((p_values[index] * f64::from(left)).min(1.0));
        adjusted[index] = least;
    }
    adjusted
}

/// How likely each share is the greatest, beta-binomial with a uniform prior: the density of one times the chance that
/// all others are less, summed up where that density is.
pub(crate) fn probabilities_to_be_best(shares: &[Share]) -> Vec<f64> {
    let betas: Vec<Option<Beta>> = shares
        .iter()
        .map(|share| Beta::new(to_f64(share.part) + 1.0, to_f64(share.whole - share.part) + 1.0).ok())
        .collect();
    let chances =
        (0..betas.len()).map(|index| betas[index].map_or(0.0, |own| chance_to_lead(&own, index, &betas)));
    let mut chances: Vec<f64> = chances.collect();
    let all: f64 = chances.iter().sum();
    if all > 0.0 {
        chances.iter_mut().for_each(|chance| *chance /= all);
    }
    chances
}

fn chance_to_lead(own: &Beta, index: usize, betas: &[Option<Beta>]) -> f64 {
    let (a, b) = (own.shape_a(), own.shape_b());
    let (mean, deviation) = (a / (a + b), (a * b / ((a + b).powi(2) * (a + b + 1.0))).sqrt());
    let (low, high) = ((mean - 10.0 * deviation).max(0.0), (mean + 10.0 * deviation).min(1.0));
    let step = (high - low) / f64::from(POINTS);
    // The middle of each strip: the ends, where a density may be infinite, are not looked at.
    let strips = (0..POINTS).map(|strip| {
        let x = low + (f64::from(strip) + 0.5) * step;
        let others = betas.iter().enumerate().filter(|(other, _)| *other != index);
        own.pdf(x) * others.map(|(_, other)| other.map_or(1.0, |other| other.cdf(x))).product::<f64>()
    });
    strips.sum::<f64>() * step
}

/// How many each of two must be for a rate that differs by this part of the baseline's to be found in 80 % of cases at a
/// level of 5 %, two-sided; none where no number would do.
pub(crate) fn sample_size(baseline: Share, effect: f64) -> Option<i64> {
    let rate = baseline.rate().filter(|rate| *rate > 0.0 && *rate < 1.0)?;
    let changed = (rate * (1.0 + effect)).min(1.0);
    let variance = rate * (1.0 - rate) + changed * (1.0 - changed);
    let size = ((Z_95 + Z_80).powi(2) * variance / (changed - rate).powi(2)).ceil();
    #[allow(clippy::cast_possible_truncation, reason = "a float beyond i64 becomes its greatest value")]
    (size.is_finite()).then_some(size as i64)
}

/// How likely so uneven a split of visitors is when all variants are shown equally often (chi-squared).
pub(crate) fn split_p_value(visitors: &[i64]) -> Option<f64> {
    let groups = u32::try_from(visitors.len()).ok().filter(|groups| *groups > 1)?;
    let expected = to_f64(visitors.iter().sum()) / f64::from(groups);
    if expected <= 0.0 {
        return None;
    }
    let statistic: f64 = visitors.iter().map(|count| (to_f64(*count) - expected).powi(2) / expected).sum();
    Some(ChiSquared::new(f64::from(groups - 1)).ok()?.sf(statistic))
}

#[allow(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn to_f64(count: i64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use statrs::function::beta::ln_beta;

    fn share(part: i64, whole: i64) -> Share {
        Share { part, whole }
    }

    fn near(one: f64, other: f64, tolerance: f64) -> bool {
        (one - other).abs() <= tolerance
    }

    #[test]
    fn tests_agree_with_published_values() {
        // Fisher's lady tasting tea, 3 of 4 against 1 of 4: 34/70 two-sided.
        let tea = test(share(3, 4), share(1, 4)).unwrap();
        assert_eq!(tea.test, "fisher_exact");
        assert!(near(tea.p_value, 34.0 / 70.0, 1e-9), "{tea:?}");
        // 100 of 1,000 against 130 of 1,000: pooled 0.115, error 0.014267, z 2.1027, p 0.03549.
        let z = test(share(100, 1_000), share(130, 1_000)).unwrap();
        assert_eq!(z.test, "two_proportion_z");
        assert!(near(z.p_value, 0.035_49, 5e-5), "{z:?}");
        assert_eq!(test(share(0, 0), share(1, 2)), None);
        // Newcombe 1998, table II, example (a): 56/70 − 48/80, method 10: 0.0524 to 0.3339.
        let (points, interval) = difference(share(56, 70), share(48, 80)).unwrap();
        assert_eq!((points, interval), (20.0, Interval { low: 5.24, high: 33.39 }));
        assert_eq!(holm(&[0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02]);
        // 10 % against 12 %: 3,841 of each (the usual formula without continuity correction).
        assert_eq!(sample_size(share(100, 1_000), 0.2), Some(3_839));
        assert_eq!(sample_size(share(0, 1_000), 0.2), None);
        // Chi-squared 4 with one degree of freedom: 0.0455.
        assert!(near(split_p_value(&[60, 40]).unwrap(), 0.045_5, 1e-4));
        assert_eq!(split_p_value(&[7]), None);
    }

    /// The chance that the second of two is greater, as the finite sum that it is.
    fn exactly(first: Share, second: Share) -> f64 {
        let [a, b] = [first.part + 1, first.whole - first.part + 1].map(to_f64);
        let [c, d] = [second.part + 1, second.whole - second.part + 1].map(to_f64);
        (0..=second.part)
            .map(to_f64)
            .map(|i| (ln_beta(a + i, b + d) - (d + i).ln() - ln_beta(1.0 + i, d) - ln_beta(a, b)).exp())
            .sum::<f64>()
            .min(c)
    }

    #[test]
    fn probabilities_agree_with_the_closed_form() {
        for (first, second) in [
            (share(0, 0), share(0, 0)),
            (share(3, 20), share(5, 22)),
            (share(0, 400), share(3, 400)),
            (share(1_000, 20_000), share(1_080, 20_000)),
        ] {
            let chances = probabilities_to_be_best(&[first, second]);
            assert!(near(chances[1], exactly(first, second), 1e-4), "{first:?} {second:?}: {chances:?}");
        }
    }

    proptest! {
        #[test]
        fn chances_are_chances(shares in proptest::collection::vec((0_i64..500, 0_i64..5_000), 1..6)) {
            let shares: Vec<Share> = shares.into_iter().map(|(part, more)| share(part, part + more)).collect();
            let chances = probabilities_to_be_best(&shares);
            prop_assert!(near(chances.iter().sum(), 1.0, 1e-9));
            prop_assert!(chances.iter().all(|chance| (0.0..=1.0).contains(chance)));
            for one in &shares {
                for other in &shares {
                    let tested = test(*one, *other);
                    prop_assert_eq!(tested.is_some(), one.whole > 0 && other.whole > 0);
                    if let Some(tested) = tested {
                        prop_assert!((0.0..=1.0).contains(&tested.p_value));
                        let turned = test(*other, *one).unwrap();
                        prop_assert!(near(tested.p_value, turned.p_value, 1e-9));
                        let (points, interval) = difference(*one, *other).unwrap();
                        prop_assert!(interval.low <= points && points <= interval.high);
                    }
                }
            }
        }
    }
}
