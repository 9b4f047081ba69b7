//! What is shipped in one transaction: stretches of journals.

use bytes::Bytes;
use uuid::Uuid;

use crate::journal::Position;

/// A record's payload and where it stands.
#[derive(Debug, Clone)]
pub struct Located {
    /// Where its frame begins.
    pub position: Position,
    /// The frame's payload ([`crate::hit::Record::decode`]).
    pub payload: Bytes,
}

/// A stretch of one journal.
#[derive(Debug, Clone)]
pub struct Stretch {
    /// The journal.
    pub journal: Uuid,
    /// Where the database must stand: the position of the stretch's first frame.
    pub expected: Position,
    /// Where the database stands afterwards: the position behind the stretch's last frame.
    pub next: Position,
    /// The records, by position.
    pub records: Vec<Located>,
    /// Where bytes begin that are none: damaged. They are passed over.
    pub damaged: Vec<Position>,
}

impl Stretch {
    /// Bytes of the records.
    pub fn bytes(&self) -> usize {
        self.records.iter().map(|record| record.payload.len()).sum()
    }
}

/// Stretches of journals, each journal at most once.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    stretches: Vec<Stretch>,
}

impl Batch {
    /// Puts the journals in the order in which their checkpoints are moved.
    pub fn new(mut stretches: Vec<Stretch>) -> Self {
        stretches.sort_by_key(|stretch| stretch.journal);
        Batch { stretches }
    }

    /// The stretches, by journal.
    pub fn stretches(&self) -> &[Stretch] {
        &self.stretches
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.stretches.iter().map(|stretch| stretch.records.len()).sum()
    }

    /// The damaged places.
    pub(super) fn damaged(&self) -> Vec<(Uuid, Position)> {
        let of = |stretch: &Stretch| {
            let journal = stretch.journal;
            stretch.damaged.clone().into_iter().map(move |place| (journal, place))
        };
        self.stretches.iter().flat_map(of).collect()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Two batches that, one after the other, are this one; the first has half of the records.
    pub(super) fn halves(self) -> (Batch, Batch) {
        let mut wanted = self.len() / 2;
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for mut stretch in self.stretches {
            if stretch.records.len() <= wanted {
                wanted -= stretch.records.len();
                first.push(stretch);
            } else if wanted == 0 {
                second.push(stretch);
            } else {
                let records = stretch.records.split_off(wanted);
                let middle = records[0].position;
                let is_before = |place: &Position| *place < middle;
                let damaged = stretch.damaged.split_off(stretch.damaged.partition_point(is_before));
                second.push(Stretch { expected: middle, next: stretch.next, records, damaged, ..stretch });
                first.push(Stretch { next: middle, ..stretch });
                wanted = 0;
            }
        }
        (Batch { stretches: first }, Batch { stretches: second })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(journal: u128, offsets: &[u64], next: u64) -> Stretch {
        let at = |offset| Position { segment: 0, offset };
        Stretch {
            journal: Uuid::from_u128(journal),
            expected: at(0),
            next: at(next),
            records: offsets.iter().map(|&o| Located { position: at(o), payload: Bytes::new() }).collect(),
            damaged: Vec::new(),
        }
    }

    #[test]
    fn damage_goes_with_the_half_that_passes_over_it() {
        let at = |offset| Position { segment: 0, offset };
        let damaged = Stretch { damaged: vec![at(2), at(15), at(25)], ..stretch(1, &[0, 10, 20], 30) };
        let (first, second) = Batch::new(vec![damaged]).halves();
        assert_eq!(first.stretches()[0].damaged, [at(2)]);
        assert_eq!(second.stretches()[0].damaged, [at(15), at(25)]);
        let own = |place| (Uuid::from_u128(1), place);
        assert_eq!(
            (first.damaged(), second.damaged()),
            (vec![own(at(2))], [15, 25].map(at).map(own).to_vec())
        );
    }

    #[test]
    fn halves_join_without_gap_and_end_in_single_records() {
        let batch = Batch::new(vec![stretch(2, &[0, 10, 20], 30), stretch(1, &[0, 8], 16)]);
        let mut open = vec![batch];
        let mut singles = Vec::new();
        while let Some(batch) = open.pop() {
            if batch.len() <= 1 {
                singles.push(batch);
                continue;
            }
            let (first, second) = batch.halves();
            assert!(!first.is_empty() && !second.is_empty());
            open.extend([second, first]);
        }
        let mut stands = std::collections::HashMap::new();
        for stretch in singles.iter().flat_map(Batch::stretches) {
            let stand = stands.entry(stretch.journal).or_insert(Position::default());
            assert_eq!(*stand, stretch.expected);
            *stand = stretch.next;
        }
        assert_eq!(stands[&Uuid::from_u128(1)].offset, 16);
        assert_eq!(stands[&Uuid::from_u128(2)].offset, 30);
        assert_eq!(singles.len(), 5);
    }
}
