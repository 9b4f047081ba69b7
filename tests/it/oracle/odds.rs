//! What can be concluded from shares, the plain way: chances are counted out or summed up strip by strip, intervals are searched.

use serde_json::{Value, json};

use super::compare::percent;

const Z: f64 = 1.959_964;
/// Strips of what is summed up.
const STRIPS: u32 = 20_000;

/// So many of so many.
pub type Share = (i64, i64);

/// The area under a curve from one point to another.
fn area(from: f64, to: f64, curve: impl Fn(f64) -> f64) -> f64 {
    let width = (to - from) / f64::from(STRIPS);
    (0..STRIPS).map(|strip| curve(from + (f64::from(strip) + 0.5) * width) * width).sum()
}

fn bell(x: f64) -> f64 {
    (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

fn rate((part, whole): Share) -> f64 {
    part as f64 / whole as f64
}

/// The shares from which the one seen is as far away as 95 of 100 stay: searched on both sides of it.
fn interval(share: Share) -> (f64, f64) {
    let (seen, whole) = (rate(share), share.1 as f64);
    let is_near =
        |true_rate: f64| (seen - true_rate).abs() <= Z * (true_rate * (1.0 - true_rate) / whole).sqrt();
    let search = |mut far: f64| {
        if is_near(far) {
            return far;
        }
        let mut near = seen.clamp(1e-12, 1.0 - 1e-12);
        for _ in 0..100 {
            let middle = f64::midpoint(far, near);
            if is_near(middle) { near = middle } else { far = middle }
        }
        near
    };
    (search(0.0), search(1.0))
}

/// How likely a difference at least as great is when there is none, and by which test.
fn p_value(one: Share, other: Share) -> (f64, &'static str) {
    let (parts, whole) = (one.0 + other.0, one.1 + other.1);
    let pooled = parts as f64 / whole as f64;
    let expected = [one, other].map(|(_, of)| (of as f64 * pooled).min(of as f64 * (1.0 - pooled)));
    if expected.iter().any(|expected| *expected < 5.0) {
        // Every way in which the parts can fall, by the logarithm of how often it does.
        let ln_ways =
            |of: i64, part: i64| (0..part).map(|n| ((of - n) as f64 / (n + 1) as f64).ln()).sum::<f64>();
        let falls = |part: i64| ln_ways(one.1, part) + ln_ways(other.1, parts - part) - ln_ways(whole, parts);
        let possible = (parts - other.1).max(0)..=parts.min(one.1);
        let unlikely = possible.map(falls).filter(|fall| *fall <= falls(one.0) + 1e-7);
        return (unlikely.map(f64::exp).sum::<f64>().min(1.0), "fisher_exact");
    }
    let error = (pooled * (1.0 - pooled) * (1.0 / one.1 as f64 + 1.0 / other.1 as f64)).sqrt();
    (2.0 * (0.5 - area(0.0, ((rate(one) - rate(other)) / error).abs(), bell)), "two_proportion_z")
}

/// How likely each has the greatest rate, when before all rates were equally likely.
fn chances(shares: &[Share]) -> Vec<f64> {
    let densities: Vec<Vec<f64>> = shares
        .iter()
        .map(|(part, whole)| {
            let at = |strip: u32| (f64::from(strip) + 0.5) / f64::from(STRIPS);
            let ln = |x: f64| *part as f64 * x.ln() + (whole - part) as f64 * (1.0 - x).ln();
            let most = (0..STRIPS).map(|strip| ln(at(strip))).fold(f64::NEG_INFINITY, f64::max);
            let density: Vec<f64> = (0..STRIPS).map(|strip| (ln(at(strip)) - most).exp()).collect();
            let all: f64 = density.iter().sum();
            density.into_iter().map(|one| one / all).collect()
        })
        .collect();
    (0..shares.len())
        .map(|own| {
            let mut below = vec![0.0; shares.len()];
            let mut chance = 0.0;
            for strip in 0..STRIPS as usize {
                let half = |other: usize| below[other] + densities[other][strip] / 2.0;
                let others = (0..shares.len()).filter(|other| *other != own).map(half);
                chance += densities[own][strip] * others.product::<f64>();
                densities.iter().zip(&mut below).for_each(|(density, below)| *below += density[strip]);
            }
            chance
        })
        .collect()
}

/// How likely so uneven a split is, when each is shown equally often.
fn evenness(visitors: &[i64]) -> f64 {
    let expected = visitors.iter().sum::<i64>() as f64 / visitors.len() as f64;
    let statistic: f64 = visitors.iter().map(|count| (*count as f64 - expected).powi(2) / expected).sum();
    let freedom = (visitors.len() - 1) as f64;
    // The square of a length: of a point that is thrown in so many directions.
    let shape = |length: f64| length.powf(freedom - 1.0) * (-length * length / 2.0).exp();
    let far = area(statistic.sqrt(), statistic.sqrt() + 12.0, shape);
    far / (far + area(0.0, statistic.sqrt(), shape))
}

/// What `ab-test` must say of these contents, the first of which is the baseline.
pub fn conclusions(contents: &[(String, Share)]) -> (Vec<Value>, Value) {
    let shares: Vec<Share> = contents.iter().map(|(_, share)| *share).collect();
    let (baseline, chances) = (shares[0], chances(&shares));
    let tested: Vec<f64> = shares[1..].iter().map(|share| p_value(*share, baseline).0).collect();
    // Each as if it were the worst of those that are no better: times how many are at least as bad.
    let adjusted = |p: f64| {
        let so_far = tested.iter().filter(|other| **other <= p);
        so_far
            .map(|one| one * tested.iter().filter(|other| *other >= one).count() as f64)
            .fold(0.0, f64::max)
            .min(1.0)
    };
    let base = rate(baseline);
    let more = (base * 1.2).min(1.0);
    let spread = base * (1.0 - base) + more * (1.0 - more);
    let least = ((Z + 0.841_621).powi(2) * spread / (more - base).powi(2)).ceil() as i64;
    let rows = contents.iter().enumerate().map(|(index, (content, share))| {
        let (low, high) = interval(*share);
        let against = (index > 0).then(|| {
            let (p, test) = p_value(*share, baseline);
            let (other_low, other_high) = interval(baseline);
            let difference = rate(*share) - base;
            let below = ((rate(*share) - low).powi(2) + (other_high - base).powi(2)).sqrt();
            let above = ((high - rate(*share)).powi(2) + (base - other_low).powi(2)).sqrt();
            json!({"difference": 100.0 * difference, "test": test, "p_value": p, "adjusted_p_value": adjusted(p),
                   "is_significant": adjusted(p) < 0.05,
                   "difference_interval": {"low": 100.0 * (difference - below), "high": 100.0 * (difference + above)}})
        });
        json!({"content": content, "conversion_rate": percent(share.0, share.1),
               "conversion_rate_interval": {"low": 100.0 * low, "high": 100.0 * high},
               "probability_to_be_best": chances[index], "minimum_visitors": least,
               "missing_visitors": (least - share.1).max(0), "against_baseline": against})
    });
    let even = evenness(&shares.iter().map(|share| share.1).collect::<Vec<_>>());
    let whole = json!({
        "baseline": contents[0].0,
        "total_visitors": shares.iter().map(|share| share.1).sum::<i64>(),
        "total_conversions": shares.iter().map(|share| share.0).sum::<i64>(),
        "sample_ratio": {"p_value": even, "is_even": even >= 0.001},
    });
    (rows.collect(), whole)
}
