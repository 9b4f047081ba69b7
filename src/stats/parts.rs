//! A window in parts that are read one after the other. Each is as long as lets it have some ten thousand rows: few enough to be
//! sorted in memory, so many that asking costs little beside reading, in a small shop and in a large one.
//!
//! A session whose first hits were lost may have started more than two days after its hour; in a window that begins between the two
//! it is not found, and so in a part.

use jiff::{SignedDuration, Timestamp};

use crate::stats::period::Window;

/// Fewer rows than this, and the next part is twice as long.
const FEW: usize = 10_000;

/// More rows than this, and the next part is as much shorter as would have made them [`RIGHT`].
const MANY: usize = 40_000;

/// As many rows as a part is made for.
const RIGHT: usize = 20_000;

/// How long the first part is: its rows are there soon, and a month is ten doublings away.
const FIRST: SignedDuration = SignedDuration::from_hours(1);

const SHORTEST: SignedDuration = SignedDuration::from_mins(1);

/// After a time in which little happened many may come at once.
const LONGEST: SignedDuration = SignedDuration::from_hours(31 * 24);

/// What is left of a window.
#[derive(Debug)]
pub(crate) struct Parts {
    from: Option<Timestamp>,
    /// Where the next part begins to have anything.
    begin: Timestamp,
    to: Timestamp,
    length: SignedDuration,
    is_over: bool,
}

impl Parts {
    /// A window as one part.
    pub(crate) fn one(window: Window) -> Parts {
        Parts::since(window.to, window)
    }

    /// A window in which there is nothing before `begin`.
    pub(crate) fn since(begin: Timestamp, window: Window) -> Parts {
        let begin = window.from.map_or(begin, |from| from.max(begin)).min(window.to);
        Parts { from: window.from, begin, to: window.to, length: FIRST, is_over: false }
    }

    /// The next part, after one of so many rows.
    pub(crate) fn next(&mut self, rows: usize) -> Option<Window> {
        if self.is_over {
            return None;
        }
        if rows < FEW {
            self.length = (self.length * 2).min(LONGEST);
        } else if rows > MANY {
            let shorter = self.length.as_secs_f64() * RIGHT as f64 / rows as f64;
            self.length = SignedDuration::from_secs_f64(shorter).max(SHORTEST);
        }
        Some(self.take())
    }

    /// The first part: there is always one.
    pub(crate) fn first(&mut self) -> Window {
        self.take()
    }

    fn take(&mut self) -> Window {
        let end = self.begin.checked_add(self.length).map_or(self.to, |end| end.min(self.to));
        self.is_over = end >= self.to;
        let part = Window { from: self.from, to: end };
        self.from = Some(end);
        self.begin = end;
        part
    }
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rows of a test")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    proptest! {
        #[test]
        fn parts_make_up_the_window_whatever_is_in_them(
            from in prop::option::of(0_i64..100_000_000),
            begin in 0_i64..100_000_000,
            length in 0_i64..100_000_000,
            rows in prop::collection::vec(0_usize..100_000, 1..50),
        ) {
            let window = Window { from: from.map(at), to: at(from.unwrap_or(begin) + length) };
            let mut parts = Parts::since(at(begin), window);
            let mut read = vec![parts.first()];
            for rows in rows.iter().chain(std::iter::repeat(&0)) {
                match parts.next(*rows) {
                    Some(part) => read.push(part),
                    None => break,
                }
            }
            prop_assert_eq!(read[0].from, window.from);
            prop_assert_eq!(read[read.len() - 1].to, window.to);
            for pair in read.windows(2) {
                prop_assert_eq!(pair[1].from, Some(pair[0].to));
                prop_assert!(pair[0].to < pair[1].to);
            }
        }
    }

    #[test]
    fn two_years_of_a_small_shop_are_few_parts() {
        let mut parts = Parts::since(at(0), Window { from: None, to: at(2 * 365 * 86_400) });
        parts.first();
        assert_eq!(std::iter::from_fn(|| parts.next(100)).count(), 32);
    }

    #[test]
    fn after_a_silence_one_part_at_most_is_long() {
        let (opening, an_hour) = (at(365 * 86_400), 20_000.0);
        let rows = |part: Window| {
            let hours = (part.to.duration_since(opening).as_secs_f64() / 3600.0).max(0.0);
            let before =
                part.from.map_or(0.0, |from| (from.duration_since(opening).as_secs_f64() / 3600.0).max(0.0));
            ((hours - before) * an_hour) as usize
        };
        let mut parts = Parts::since(at(0), Window { from: None, to: at(730 * 86_400) });
        let mut sizes = vec![rows(parts.first())];
        while let Some(part) = parts.next(*sizes.last().unwrap()) {
            sizes.push(rows(part));
        }
        assert_eq!(sizes.iter().filter(|size| **size > 50_000).count(), 1, "{sizes:?}");
    }

    #[test]
    fn one_part_is_the_window() {
        let window = Window { from: None, to: at(86_400) };
        let mut parts = Parts::one(window);
        assert_eq!((parts.first(), parts.next(0)), (window, None));
    }
}
