//! What is known of whom: pairs of a visitor's hash and a label, each once, those of one visitor side by side. A label is whatever
//! a report knows of visitors: a group that they are in, a session, an order.
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
pub(crate) type Pair<L = u32> = (i64, L);

/// Pairs, some of them more than once.
#[derive(Debug)]
pub(crate) struct Crowd<L = u32> {
    shares: Vec<Share<L>>,
    room: Room<L>,
}

#[derive(Debug, Clone)]
struct Share<L> {
    pairs: Vec<Pair<L>>,
    /// How many may be there before doubles are thrown away.
    limit: usize,
}

/// Room that is used again.
#[derive(Debug)]
struct Room<L> {
    /// By the last bits of a hash, and the next places: the place of a visitor among `visitors`.
    table: Vec<u32>,
    visitors: Vec<Visitor>,
    /// Whose each pair is.
    whose: Vec<u32>,
    by_visitor: Vec<Pair<L>>,
}

#[derive(Debug)]
struct Visitor {
    hash: i64,
    /// How many pairs; then where the next one of them goes.
    next: usize,
}

impl<L: Copy + Ord> Default for Crowd<L> {
    fn default() -> Self {
        let room =
            Room { table: Vec::new(), visitors: Vec::new(), whose: Vec::new(), by_visitor: Vec::new() };
        Crowd { shares: vec![Share { pairs: Vec::new(), limit: GATHERED }; SHARES], room }
    }
}

impl<L: Copy + Ord> Crowd<L> {
    /// Adds a pair.
    pub(crate) fn add(&mut self, (hash, label): Pair<L>) {
        let share = &mut self.shares[usize::from(hash.to_be_bytes()[0])];
        share.pairs.push((hash, label));
        if share.pairs.len() == share.limit {
            self.room.once_each(&mut share.pairs);
            share.limit = GATHERED.max(2 * share.pairs.len());
        }
    }

    /// The pairs of one share after the other, with the labels that those given become: each once, and those of a visitor side by
    /// side, by label.
    pub(crate) fn once_each(mut self, becomes: impl Fn(L) -> L) -> impl Iterator<Item = Vec<Pair<L>>> {
        self.shares.into_iter().map(move |share| {
            let mut pairs = share.pairs;
            pairs.iter_mut().for_each(|(_, label)| *label = becomes(*label));
            self.room.once_each(&mut pairs);
            pairs
        })
    }

    /// Who is there, some more than once.
    pub(crate) fn visitors(&self) -> impl Iterator<Item = i64> {
        self.shares.iter().flat_map(|share| &share.pairs).map(|(hash, _)| *hash)
    }

    /// The same, to ask whether somebody is.
    pub(crate) fn sieve(&self) -> Sieve {
        let pairs = self.shares.iter().map(|share| share.pairs.len()).sum();
        Sieve::of(pairs, self.visitors())
    }
}

impl<L: Copy + Ord> Room<L> {
    fn once_each(&mut self, pairs: &mut Vec<Pair<L>>) {
        let Some(any) = pairs.first().copied() else { return };
        self.tell_apart(pairs);
        let mut end = 0;
        for visitor in &mut self.visitors {
            (visitor.next, end) = (end, end + visitor.next);
        }
        self.by_visitor.clear();
        self.by_visitor.resize(pairs.len(), any);
        for (pair, visitor) in pairs.iter().zip(&self.whose) {
            let next = &mut self.visitors[*visitor as usize].next;
            self.by_visitor[*next] = *pair;
            *next += 1;
        }
        pairs.clear();
        for of_visitor in self.by_visitor.chunk_by_mut(|one, other| one.0 == other.0) {
            of_visitor.sort_unstable();
            let once = of_visitor.chunk_by(|one, other| one == other).filter_map(<[Pair<L>]>::first);
            pairs.extend(once);
        }
    }

    /// Finds whose each pair is, and how many pairs each visitor has.
    fn tell_apart(&mut self, pairs: &[Pair<L>]) {
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

/// Some visitors, by a bit of each: who has none is not one of them.
#[derive(Debug)]
pub(crate) struct Sieve {
    words: Vec<u64>,
}

impl Sieve {
    /// One of so many visitors, or fewer.
    fn of(count: usize, visitors: impl Iterator<Item = i64>) -> Sieve {
        let mut sieve = Sieve { words: vec![0; (count / 4 + 1).next_power_of_two()] };
        for visitor in visitors {
            let (word, bit) = sieve.place(visitor);
            sieve.words[word] |= bit;
        }
        sieve
    }

    /// Whether a visitor may be one of them; of the others few may.
    pub(crate) fn may_have(&self, visitor: i64) -> bool {
        let (word, bit) = self.place(visitor);
        self.words[word] & bit != 0
    }

    /// A word, and a bit of it.
    fn place(&self, visitor: i64) -> (usize, u64) {
        let word = usize::try_from((visitor >> 6) & (self.words.len() as i64 - 1));
        (word.unwrap_or_default(), 1 << (visitor & 63))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn told(crowd: Crowd) -> Vec<Pair> {
        crowd.once_each(|label| label).collect::<Vec<_>>().concat()
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

    #[test]
    fn a_sieve_has_all_and_few_others() {
        let visitors = |from: i64| {
            (from..from + 1000).map(|visitor| visitor.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.cast_signed()))
        };
        let mut crowd = Crowd::default();
        visitors(0).for_each(|visitor| crowd.add((visitor, 0)));
        let sieve = crowd.sieve();
        assert!(visitors(0).all(|visitor| sieve.may_have(visitor)));
        let others = visitors(5000).filter(|visitor| sieve.may_have(*visitor)).count();
        assert!(others < 150, "{others}");
        assert!(!Crowd::<u32>::default().sieve().may_have(7));
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
            let told = crowd.once_each(|label| label / 3).collect::<Vec<_>>().concat();
            prop_assert_eq!((told.len(), told.into_iter().collect::<BTreeSet<_>>()), (once.len(), once));
        }
    }
}
