//! Choosing one of several servers. Sets of servers are bits of a number, the lowest bit is the first server.

use std::cell::{Cell, RefCell};

/// A server must have this much less to do to be preferred to the one that was drawn first.
const NOTABLY_LESS: f64 = 0.8;

/// A server as the choice sees it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Candidate {
    /// Above 0.
    pub(super) weight: f64,
    /// Open requests.
    pub(super) in_flight: f64,
    /// Time to answer; 0 = not known.
    pub(super) latency_us: f64,
}

/// The servers in a set, by number.
pub(super) fn members(set: u64) -> impl Iterator<Item = usize> {
    std::iter::successors((set != 0).then_some(set), |set| {
        let rest = set & (set - 1);
        (rest != 0).then_some(rest)
    })
    .map(|set| set.trailing_zeros() as usize)
}

/// A source of chance that needs not be secure.
#[derive(Debug)]
pub(super) struct Chance(Cell<u64>);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Chance(Cell::new(seed | 1))
    }

    /// From 0 up to but not including 1.
    fn next(&self) -> f64 {
        let mut state = self.0.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.0.set(state);
        // 32 bits fit a double exactly.
        f64::from(u32::try_from(state >> 32).unwrap_or(0)) / 4_294_967_296.0
    }
}

/// Draws one by weight; none from an empty set.
fn draw(set: u64, look: &impl Fn(usize) -> Candidate, chance: &Chance) -> Option<usize> {
    let total: f64 = members(set).map(|number| look(number).weight).sum();
    let mut at = chance.next() * total;
    for number in members(set) {
        at -= look(number).weight;
        if at < 0.0 {
            return Some(number);
        }
    }
    members(set).next()
}

/// The power of two choices: of two drawn by weight the second, if it has notably less to do than the first; the less, the
/// more surely.
///
/// What a server has to do is its open requests in proportion to its weight, times the time that it takes to answer.
/// So idle servers share by weight, and busy or slow ones get less.
pub(super) fn p2c(set: u64, look: impl Fn(usize) -> Candidate, chance: &Chance) -> Option<usize> {
    let first = draw(set, &look, chance)?;
    let Some(second) = draw(set & !(1 << first), &look, chance) else { return Some(first) };
    let (a, b) = (look(first), look(second));
    let mean_weight = f64::midpoint(a.weight, b.weight);
    let load = |one: &Candidate| 1.0 + one.in_flight * mean_weight / one.weight;
    let (mut of_a, mut of_b) = (load(&a), load(&b));
    if a.latency_us > 0.0 && b.latency_us > 0.0 {
        of_a *= a.latency_us;
        of_b *= b.latency_us;
    }
    let ratio = of_b / of_a;
    // Not for certain: one slow answer must not keep a server from showing that it is not slow.
    let is_better = ratio < NOTABLY_LESS && chance.next() >= ratio * ratio;
    Some(if is_better { second } else { first })
}

/// The one with the fewest open requests for its weight; among equals by chance and weight.
pub(super) fn least_connections(
    set: u64,
    look: impl Fn(usize) -> Candidate,
    chance: &Chance,
) -> Option<usize> {
    let mut least = f64::INFINITY;
    let mut equals = 0_u64;
    for number in members(set) {
        let one = look(number);
        let load = one.in_flight / one.weight;
        if load < least {
            (least, equals) = (load, 0);
        }
        if load <= least {
            equals |= 1 << number;
        }
    }
    draw(equals, &look, chance)
}

/// Smooth weighted turns: each gains its weight, the richest is taken and pays what all have gained. So of weights 3 and
/// 1 come a, a, b, a.
#[derive(Debug, Default)]
pub(super) struct Turns(RefCell<Vec<f64>>);

impl Turns {
    pub(super) fn next(&self, set: u64, look: impl Fn(usize) -> Candidate) -> Option<usize> {
        let mut credits = self.0.borrow_mut();
        let mut total = 0.0;
        let mut richest = None::<usize>;
        for number in members(set) {
            if credits.len() <= number {
                credits.resize(number + 1, 0.0);
            }
            let weight = look(number).weight;
            total += weight;
            credits[number] += weight;
            if richest.is_none_or(|best| credits[number] > credits[best]) {
                richest = Some(number);
            }
        }
        let richest = richest?;
        credits[richest] -= total;
        Some(richest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidate(weight: f64, in_flight: f64, latency_us: f64) -> Candidate {
        Candidate { weight, in_flight, latency_us }
    }

    fn shares(servers: &[Candidate], mut choose: impl FnMut(u64) -> Option<usize>) -> Vec<f64> {
        let set = (1 << servers.len()) - 1;
        let mut counts = vec![0.0; servers.len()];
        for _ in 0..10_000 {
            counts[choose(set).unwrap()] += 1.0 / 10_000.0;
        }
        counts
    }

    #[test]
    fn turns_are_smooth() {
        let servers = [candidate(3.0, 0.0, 0.0), candidate(1.0, 0.0, 0.0)];
        let turns = Turns::default();
        let order: Vec<usize> = (0..8).map(|_| turns.next(0b11, |at| servers[at]).unwrap()).collect();
        assert_eq!(order, [0, 0, 1, 0, 0, 0, 1, 0]);
    }

    #[test]
    fn idle_servers_share_by_weight() {
        let servers = [candidate(3.0, 0.0, 900.0), candidate(1.0, 0.0, 1000.0)];
        let chance = Chance::new(7);
        for share in [
            shares(&servers, |set| p2c(set, |at| servers[at], &chance)),
            shares(&servers, |set| least_connections(set, |at| servers[at], &chance)),
        ] {
            assert!((share[0] - 0.75).abs() < 0.02, "{share:?}");
        }
    }

    #[test]
    fn who_has_more_to_do_or_is_slow_gets_less() {
        let chance = Chance::new(7);
        for servers in [
            [candidate(1.0, 0.0, 1000.0), candidate(1.0, 5.0, 1000.0), candidate(1.0, 1.0, 1000.0)],
            [candidate(1.0, 0.0, 100.0), candidate(1.0, 0.0, 5000.0), candidate(1.0, 0.0, 1000.0)],
        ] {
            let share = shares(&servers, |set| p2c(set, |at| servers[at], &chance));
            assert!(share[0] > 0.55 && share[1] < 0.05, "{share:?}");
        }
        let servers = [candidate(1.0, 3.0, 0.0), candidate(2.0, 4.0, 0.0)];
        let share = shares(&servers, |set| least_connections(set, |at| servers[at], &chance));
        assert!(share[1] > 0.99, "{share:?}");
    }

    proptest! {
        #[test]
        fn only_members_are_chosen(set in any::<u64>(), seed in any::<u64>(), weights in proptest::collection::vec(0.01_f64..100.0, 64)) {
            let look = |at: usize| candidate(weights[at], weights[63 - at], weights[at / 2]);
            let (chance, turns) = (Chance::new(seed), Turns::default());
            for chosen in [p2c(set, look, &chance), least_connections(set, look, &chance), turns.next(set, look)] {
                match chosen {
                    Some(number) => prop_assert!(set >> number & 1 == 1),
                    None => prop_assert_eq!(set, 0),
                }
            }
            prop_assert_eq!(members(set).fold(0_u64, |set, number| set | 1 << number), set);
        }
    }
}
