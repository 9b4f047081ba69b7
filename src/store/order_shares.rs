//! What each order of a day has any number of, packed: the touches that earned it by a model, and the keys by which its customer is
//! known.

use std::ops::Range;

use super::columns::{Damaged, Ids, MOST_LISTED, measured, pack, part, unpack};

/// Which parts of a list are each order's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shares {
    /// How many each order has.
    pub(super) counts: Vec<i64>,
    /// Where those of each order begin, and the last ones end.
    begins: Vec<usize>,
}

/// Who earned orders, by one model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Credits {
    touches: Shares,
    campaigns: Ids,
    credits: Vec<i64>,
}

/// By what the customers of orders are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Keys {
    shares: Shares,
    keys: Vec<i64>,
}

impl Shares {
    pub(super) fn push(&mut self, count: usize) {
        if self.begins.is_empty() {
            self.begins.push(0);
        }
        self.counts.push(count as i64);
        self.begins.push(self.all() + count);
    }

    /// The places of an order's; none of what was not read.
    pub(super) fn of(&self, order: usize) -> Range<usize> {
        match self.begins.get(order..order + 2) {
            Some(&[begin, end]) => begin..end,
            _ => 0..0,
        }
    }

    /// How many all orders have.
    pub(super) fn all(&self) -> usize {
        self.begins.last().copied().unwrap_or_default()
    }

    pub(super) fn unpack(bytes: &[u8], orders: usize) -> Result<Shares, Damaged> {
        let counts = unpack(bytes, orders)?;
        let mut begins = vec![0_usize];
        for count in &counts {
            let count = usize::try_from(*count).map_err(|_| Damaged)?;
            let end = begins.last().and_then(|begin| begin.checked_add(count)).ok_or(Damaged)?;
            begins.push(end);
        }
        let shares = Shares { counts, begins };
        if shares.all() > MOST_LISTED { Err(Damaged) } else { Ok(shares) }
    }
}

impl Credits {
    pub(super) fn push(&mut self, touches: impl Iterator<Item = (Option<i64>, i64)>) {
        let before = self.credits.len();
        for (campaign, credit) in touches {
            self.campaigns.push(campaign);
            self.credits.push(credit);
        }
        self.touches.push(self.credits.len() - before);
    }

    /// The campaigns of all touches, each once.
    pub(super) fn campaigns(&self) -> &[i64] {
        &self.campaigns.list
    }

    /// The touches of an order: the place of the campaign from 1, 0 for none, and the credit.
    pub(super) fn of(&self, order: usize) -> impl Iterator<Item = (usize, i64)> {
        self.touches.of(order).map(|touch| (self.campaigns.place(touch), self.credits[touch]))
    }

    /// Counts and credits with their lengths in front, then campaigns.
    pub(super) fn packed(&self) -> Vec<u8> {
        let parts = measured(pack(&self.touches.counts)).chain(measured(pack(&self.credits)));
        parts.chain(self.campaigns.packed()).collect()
    }

    pub(super) fn unpack(bytes: &[u8], orders: usize) -> Result<Credits, Damaged> {
        let (counts, rest) = part(bytes)?;
        let (credits, campaigns) = part(rest)?;
        let touches = Shares::unpack(counts, orders)?;
        let all = touches.all();
        Ok(Credits { credits: unpack(credits, all)?, campaigns: Ids::unpack(campaigns, all)?, touches })
    }
}

impl Keys {
    /// Those that several entries name once.
    pub(super) fn push(&mut self, mut keys: Vec<i64>) {
        keys.sort_unstable();
        keys.dedup();
        self.shares.push(keys.len());
        self.keys.extend(keys);
    }

    /// Those of an order.
    pub(super) fn of(&self, order: usize) -> &[i64] {
        &self.keys[self.shares.of(order)]
    }

    /// Counts with their length in front, then keys.
    pub(super) fn packed(&self) -> Vec<u8> {
        measured(pack(&self.shares.counts)).chain(pack(&self.keys)).collect()
    }

    pub(super) fn unpack(bytes: &[u8], orders: usize) -> Result<Keys, Damaged> {
        let (counts, keys) = part(bytes)?;
        let shares = Shares::unpack(counts, orders)?;
        Ok(Keys { keys: unpack(keys, shares.all())?, shares })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn credits_come_back(
            orders in prop::collection::vec(
                prop::collection::vec((prop::option::of(-4i64..4), 0i64..1_000_001), 0..4), 0..20),
        ) {
            let mut credits = Credits::default();
            orders.iter().for_each(|touches| credits.push(touches.iter().copied()));
            let read = Credits::unpack(&credits.packed(), orders.len()).unwrap();
            let told = |touch| (read.campaigns.of(touch), read.credits[touch]);
            let told: Vec<Vec<_>> =
                (0..orders.len()).map(|order| read.touches.of(order).map(told).collect()).collect();
            prop_assert_eq!(told, orders);
        }

        #[test]
        fn keys_come_back_once_each(
            orders in prop::collection::vec(prop::collection::vec(-3i64..3, 0..4), 0..20),
        ) {
            let mut keys = Keys::default();
            orders.iter().for_each(|own| keys.push(own.clone()));
            let read = Keys::unpack(&keys.packed(), orders.len()).unwrap();
            for (order, own) in orders.iter().enumerate() {
                let own: Vec<i64> = BTreeSet::from_iter(own.iter().copied()).into_iter().collect();
                prop_assert_eq!(read.of(order), own);
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80), count in 0usize..9) {
            if let Ok(credits) = Credits::unpack(&bytes, count) {
                prop_assert_eq!(credits.touches.begins.len(), count + 1);
            }
            if let Ok(keys) = Keys::unpack(&bytes, count) {
                prop_assert_eq!(keys.shares.begins.len(), count + 1);
            }
        }
    }
}
