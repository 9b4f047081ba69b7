//! Who has which label: pairs of a visitor's hash and a label, each once, those of one visitor side by side.
//!
//! Pairs are spread by their hashes over shares that fit into the processor's cache; there a table tells visitors apart. That is a
//! third of the time that sorting all of them takes. Customers are found so, too: by the keys of orders, with the orders as labels.

/// Shares, by the first byte of the hash.
const SHARES: usize = 1 << 8;
/// Pairs of a share that are gathered before doubles are thrown away; 16 bytes of each.
const GATHERED: usize = 1 << 13;
/// An empty place in a table.
const NOBODY: u32 = u32::MAX;

/// A visitor's hash and a label.
pub(crate) type Pair = (i64, u32);

/// Pairs, some of them more than once.
#[derive(Debug)]
pub(crate) struct Crowd {
    shares: Vec<Share>,
    room: Room,
}

#[derive(Debug, Clone)]
struct Share {
    pairs: Vec<Pair>,
    /// How many may be there before doubles are thrown away.
    limit: usize,
}

/// Room that is used again.
#[derive(Debug, Default)]
struct Room {
    /// By the last bits of a hash, and the next places: the place of a visitor among `visitors`.
    table: Vec<u32>,
    visitors: Vec<Visitor>,
    /// Whose each pair is.
    whose: Vec<u32>,
    by_visitor: Vec<Pair>,
}

#[derive(Debug)]
struct Visitor {
    hash: i64,
    /// How many pairs; then where the next one of them goes.
    next: usize,
}

impl Default for Crowd {
    fn default() -> Self {
        Crowd { shares: vec![Share { pairs: Vec::new(), limit: GATHERED }; SHARES], room: Room::default() }
    }
}

impl Crowd {
    /// Adds a pair.
    pub(crate) fn add(&mut self, (hash, label): Pair) {
        let share = &mut self.shares[usize::from(hash.to_be_bytes()[0])];
        share.pairs.push((hash, label));
        if share.pairs.len() == share.limit {
            self.room.once_each(&mut share.pairs);
            share.limit = GATHERED.max(2 * share.pairs.len());
        }
    }

    /// All pairs, with the labels that those given become: each once, and those of a visitor side by side, by label.
    pub(crate) fn once_each(mut self, becomes: impl Fn(u32) -> u32) -> Vec<Vec<Pair>> {
        let shares = self.shares.into_iter().map(|share| {
            let mut pairs = share.pairs;
            pairs.iter_mut().for_each(|(_, label)| *label = becomes(*label));
            self.room.once_each(&mut pairs);
            pairs
        });
        shares.collect()
    }
}

impl Room {
    fn once_each(&mut self, pairs: &mut Vec<Pair>) {
        self.tell_apart(pairs);
        let mut end = 0;
        for visitor in &mut self.visitors {
            (visitor.next, end) = (end, end + visitor.next);
        }
        self.by_visitor.clear();
        self.by_visitor.resize(pairs.len(), (0, 0));
        for (pair, visitor) in pairs.iter().zip(&self.whose) {
            let next = &mut self.visitors[*visitor as usize].next;
            self.by_visitor[*next] = *pair;
            *next += 1;
        }
        pairs.clear();
        for of_visitor in self.by_visitor.chunk_by_mut(|one, other| one.0 == other.0) {
            of_visitor.sort_unstable();
            let once = of_visitor.chunk_by(|one, other| one == other).filter_map(<[Pair]>::first);
            pairs.extend(once);
        }
    }

    /// Finds whose each pair is, and how many pairs each visitor has.
    fn tell_apart(&mut self, pairs: &[Pair]) {
        let places = (2 * pairs.len()).next_power_of_two();
        self.table.clear();
        self.table.resize(places, NOBODY);
        self.visitors.clear();
        self.whose.clear();
        for (hash, _) in pairs {
            let [low @ .., _, _, _, _] = hash.to_le_bytes();
            let mut place = u32::from_le_bytes(low) as usize & (places - 1);
            let visitor = loop {
                match self.table[place] {
                    NOBODY => {
                        let new = u32::try_from(self.visitors.len()).unwrap_or(NOBODY - 1);
                        self.table[place] = new;
                        self.visitors.push(Visitor { hash: *hash, next: 0 });
                        break new;
                    }
                    known if self.visitors[known as usize].hash == *hash => break known,
                    _ => place = (place + 1) & (places - 1),
                }
            };
            self.visitors[visitor as usize].next += 1;
            self.whose.push(visitor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn told(crowd: Crowd) -> Vec<Pair> {
        crowd.once_each(|label| label).concat()
    }

    #[test]
    fn doubles_take_no_room() {
        let mut crowd = Crowd::default();
        for _ in 0..3 {
            (0..GATHERED as i64).for_each(|visitor| crowd.add((visitor, 7)));
        }
        assert!(crowd.shares[0].pairs.len() <= 2 * GATHERED, "{}", crowd.shares[0].pairs.len());
        assert_eq!(told(crowd).len(), GATHERED);
    }

    proptest! {
        #[test]
        fn pairs_are_told_once_and_by_visitor(
            // Of few visitors, and such that are alike in their first or last bits.
            pairs in prop::collection::vec((prop_oneof![any::<i64>(), -4i64..4, (-4i64..4).prop_map(|high| high << 56)], 0u32..4), 0..200),
        ) {
            let mut crowd = Crowd::default();
            pairs.iter().for_each(|pair| crowd.add(*pair));
            let once = told(crowd);
            prop_assert!(once.is_sorted_by(|one, other| one.0 != other.0 || one.1 < other.1));
            let visitors = once.chunk_by(|one, other| one.0 == other.0).count();
            let expected: BTreeSet<i64> = pairs.iter().map(|(hash, _)| *hash).collect();
            prop_assert_eq!(visitors, expected.len());
            prop_assert_eq!(once.iter().copied().collect::<BTreeSet<_>>(), pairs.iter().copied().collect());
        }

        #[test]
        fn labels_may_become_one(pairs in prop::collection::vec((-4i64..4, 0u32..9), 0..60)) {
            let mut crowd = Crowd::default();
            pairs.iter().for_each(|pair| crowd.add(*pair));
            let once: BTreeSet<Pair> = pairs.iter().map(|(hash, label)| (*hash, label / 3)).collect();
            let told = crowd.once_each(|label| label / 3).concat();
            prop_assert_eq!((told.len(), told.into_iter().collect::<BTreeSet<_>>()), (once.len(), once));
        }
    }
}
