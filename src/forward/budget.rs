//! How much may be sent a second time: a fifth of the requests and ten a second, for each worker and upstream.
//!
//! When it is spent, requests that would be repeated take no used connection, so that they need not be: then nothing
//! fails that would not fail without reuse, and a server in trouble is not asked twice for everything.

use std::cell::Cell;
use std::rc::Rc;

use crate::clock::Clock;

const OF_REQUESTS: f64 = 0.2;
const PER_MS: f64 = 0.01;
/// What may be saved up.
const MOST: f64 = 100.0;

/// The budget of one worker for one upstream.
#[derive(Debug)]
pub(super) struct RetryBudget {
    left: Cell<f64>,
    filled_ms: Cell<u64>,
    clock: Rc<Clock>,
}

impl RetryBudget {
    pub(super) fn new(clock: &Rc<Clock>) -> Self {
        RetryBudget { left: Cell::new(MOST), filled_ms: Cell::new(clock.now_ms()), clock: Rc::clone(clock) }
    }

    /// A request comes.
    pub(super) fn earn(&self) {
        let now_ms = self.clock.now_ms();
        let since_ms = now_ms.saturating_sub(self.filled_ms.replace(now_ms));
        let of_time =
            if since_ms == 0 { 0.0 } else { PER_MS * f64::from(u32::try_from(since_ms).unwrap_or(u32::MAX)) };
        self.left.set((self.left.get() + OF_REQUESTS + of_time).min(MOST));
    }

    /// Whether nothing is left.
    pub(super) fn is_spent(&self) -> bool {
        self.left.get() < 1.0
    }

    /// One request is sent again. Those that were on their way when the budget was spent make debts.
    pub(super) fn spend(&self) {
        self.left.set((self.left.get() - 1.0).max(-MOST));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_requests_may_be_repeated_beyond_what_is_saved() {
        let budget = RetryBudget::new(&Clock::start());
        let mut repeated = 0;
        for _ in 0..10_000 {
            budget.earn();
            if !budget.is_spent() {
                budget.spend();
                repeated += 1;
            }
        }
        assert!((2_000..=2_100).contains(&repeated), "{repeated}");
    }
}
