//! From which addresses files of pages were fetched lately: a browser that shows a page fetches some, a program that reads
//! pages does not. What is made of it is said in `src/store/sql/judge_hours.sql`.
//!
//! Rule: no lock, and room for no address. An address is one bit of a table for ten minutes; it can be taken for another
//! one, and a bit that is set while its table is emptied can be lost, so it is a sign and no proof.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How long one table is filled, milliseconds. What was noted is known for as long, and at most twice as long.
const SPAN_MS: u64 = 600_000;
/// The table that is filled, the one before it, and one that nobody looks into.
const TABLES: usize = 3;
/// Words of a table: 2^18 bits.
const WORDS: usize = 4096;

/// Who fetches files of pages. Clones share it.
#[derive(Debug, Clone)]
pub struct Assets {
    tables: Arc<[Table; TABLES]>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Table {
    /// Which span of time it is of.
    span: AtomicU64,
    words: Box<[AtomicU64]>,
}

impl Default for Assets {
    fn default() -> Self {
        let table = || Table {
            span: AtomicU64::new(u64::MAX),
            words: std::iter::repeat_with(AtomicU64::default).take(WORDS).collect(),
        };
        Self { tables: Arc::new([table(), table(), table()]), hasher: RandomState::new() }
    }
}

impl Assets {
    /// A file was fetched from there, at this Unix time in milliseconds.
    pub fn note(&self, address: IpAddr, at_ms: u64) {
        let span = at_ms / SPAN_MS;
        let (word, bit) = self.place(address);
        let Some(table) = self.table(span) else { return };
        let was = table.span.load(Ordering::Relaxed);
        if was != span {
            let won = table.span.compare_exchange(was, span, Ordering::Relaxed, Ordering::Relaxed).is_ok();
            if won {
                table.words.iter().for_each(|word| word.store(0, Ordering::Relaxed));
            }
        }
        if let Some(word) = table.words.get(word)
            && word.load(Ordering::Relaxed) & bit == 0
        {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Whether files were fetched from there in the ten minutes before this time.
    pub fn are_fetched_by(&self, address: IpAddr, at_ms: u64) -> bool {
        let span = at_ms / SPAN_MS;
        let (word, bit) = self.place(address);
        [span, span.saturating_sub(1)].into_iter().any(|span| {
            self.table(span).is_some_and(|table| {
                table.span.load(Ordering::Relaxed) == span
                    && table.words.get(word).is_some_and(|word| word.load(Ordering::Relaxed) & bit != 0)
            })
        })
    }

    fn table(&self, span: u64) -> Option<&Table> {
        self.tables.get(usize::try_from(span % TABLES as u64).ok()?)
    }

    fn place(&self, address: IpAddr) -> (usize, u64) {
        let hash = self.hasher.hash_one(address);
        let word = usize::try_from(hash >> 6).unwrap_or_default() % WORDS;
        (word, 1 << (hash & 63))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_known_for_ten_minutes_and_forgotten_after_twenty() {
        let assets = Assets::default();
        let (olena, petro) = (IpAddr::from([203, 0, 113, 1]), IpAddr::from([203, 0, 113, 2]));
        let begin = 1_000 * SPAN_MS + 5;
        assert!(!assets.are_fetched_by(olena, begin));
        assets.note(olena, begin);
        for (after, is_known) in [(0, true), (SPAN_MS, true), (2 * SPAN_MS, false), (3 * SPAN_MS, false)] {
            assert_eq!(assets.are_fetched_by(olena, begin + after), is_known, "{after}");
        }
        assert!(!assets.are_fetched_by(petro, begin));
        // The table is filled anew when its turn comes again.
        assets.note(petro, begin + TABLES as u64 * SPAN_MS);
        assert!(!assets.are_fetched_by(olena, begin + TABLES as u64 * SPAN_MS));
        assert!(assets.are_fetched_by(petro, begin + TABLES as u64 * SPAN_MS));
    }
}
