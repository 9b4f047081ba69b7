//! Which rows of a list are given: in the order that is asked for, from where the page before ended.

use std::cmp::Ordering;
use std::ops::Range;

use crate::stats::params::Params;

/// Puts the rows that are asked for in their places, and says which these are. Each has a rank, a fraction, and is last where it has
/// none; those of one rank stand as `tie` says, in whatever direction ranks are asked for.
pub(crate) fn given<T>(
    rows: &mut [T],
    params: &Params,
    passed: u32,
    rank: impl Fn(&T) -> Option<(i128, i128)>,
    tie: impl Fn(&T, &T) -> Ordering,
) -> Range<usize> {
    let order = |one: &T, other: &T| {
        let ranks = match (rank(one), rank(other)) {
            (Some((one, of_one)), Some((other, of_other))) => {
                let ranks = one.saturating_mul(of_other).cmp(&other.saturating_mul(of_one));
                if params.sort.ascending { ranks } else { ranks.reverse() }
            }
            (one, other) => other.is_some().cmp(&one.is_some()),
        };
        ranks.then_with(|| tie(one, other))
    };
    let end = (passed as usize).saturating_add(params.limit as usize).min(rows.len());
    if end < rows.len() {
        rows.select_nth_unstable_by(end, order);
    }
    rows[..end].sort_unstable_by(order);
    (passed as usize).min(end)..end
}
