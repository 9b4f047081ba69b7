//! Which journals there are: adopts those whose owner has gone, deletes what need not be kept, measures the rest.
//!
//! Nothing here needs the database: journals of earlier runs count towards `max_bytes` also while it is away.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{CHORES, Feed, Source};
use crate::journal::HEADER_BYTES;
use crate::journal::directory::{Found, RunDirectory, held_bytes};
use crate::journal::writer::Progress;

/// How many journals of earlier runs are held at once, each with a file open. With more than half of them, those that
/// are shipped are not kept for a restore.
const MOST_ADOPTED: usize = 256;

impl Feed {
    /// Takes stock every ten seconds; says whether it did now.
    pub fn take_stock_when_due(&mut self) -> bool {
        let is_due = Instant::now() >= self.chores_at;
        if is_due {
            self.chores_at = Instant::now() + CHORES;
            self.on_disk(Self::take_stock);
        }
        is_due
    }

    fn take_stock(&mut self) {
        self.take_own();
        let room = MOST_ADOPTED.saturating_sub(self.journals.len());
        let own = self.progress.directory().map(|own| own.journal);
        match RunDirectory::adopt_free(&self.config.journal_dir, own, room) {
            Ok(found) => self.take_in(found),
            Err(error) if !self.metrics.state.journals_unseen.swap(true, Ordering::Relaxed) => {
                tracing::warn!(%error, "cannot look for journals of earlier runs");
            }
            Err(_) => {}
        }
        self.delete_shipped();
    }

    /// What cannot be taken is told once, not at every look.
    fn take_in(&mut self, found: Found) {
        if self.metrics.state.journals_unseen.swap(false, Ordering::Relaxed) {
            tracing::info!("journals of earlier runs are looked for again");
        }
        for directory in found.adopted {
            tracing::info!(journal = %directory.journal, "ships the journal of an earlier run");
            self.add(Arc::new(directory), None);
        }
        for (journal, error) in &found.refused {
            if !self.refused.contains(journal) {
                tracing::warn!(%journal, %error, "cannot take the journal of an earlier run");
            }
        }
        self.refused = found.refused.into_iter().map(|(journal, _)| journal).collect();
    }

    /// This process's journal, as soon as it could be made.
    pub(super) fn take_own(&mut self) {
        if let Some(own) = self.progress.directory()
            && !self.journals.contains_key(&own.journal)
        {
            self.add(Arc::clone(own), Some(Arc::clone(&self.progress)));
        }
    }

    fn add(&mut self, directory: Arc<RunDirectory>, live: Option<Arc<Progress>>) {
        let source = Source { directory, live, reading: None, trouble: None };
        self.journals.insert(source.directory.journal, source);
    }

    /// Deletes segments that are shipped and old; when room is short also younger ones.
    fn delete_shipped(&mut self) {
        let known = self.progress.bytes_on_disk.load(Ordering::Relaxed);
        let total = held_bytes(&self.config.journal_dir).unwrap_or(known);
        // What was kept for a restore may be what fills the disk.
        let disk_is_full = self.progress.disk_is_full.load(Ordering::Relaxed);
        let is_short = total > self.config.max_bytes / 10 * 8 || disk_is_full;
        let is_crowded = self.journals.len() > MOST_ADOPTED / 2;
        let mut deleted = 0;
        self.journals.retain(|_, source| {
            let Some(reading) = &source.reading else { return true };
            // Whatever was read is committed: else the position would not be known.
            let all_shipped = source.live.is_none() && reading.is_at_end;
            let is_bare = || source.directory.bytes().is_ok_and(|bytes| bytes <= HEADER_BYTES as u64);
            let keep = if is_short || (all_shipped && (is_crowded || is_bare())) {
                Duration::ZERO
            } else {
                self.config.keep
            };
            deleted += source.directory.delete_shipped(reading.committed, all_shipped, keep).unwrap_or(0);
            !(all_shipped && source.directory.remove_if_empty())
        });
        let left = total.saturating_sub(deleted);
        self.progress.bytes_on_disk.store(left, Ordering::Relaxed);
        self.metrics.journal_held_bytes.set(i64::try_from(left).unwrap_or(i64::MAX));
        let adopted = self.journals.values().filter(|source| source.live.is_none()).count();
        self.metrics.journals_adopted.set(i64::try_from(adopted).unwrap_or(i64::MAX));
        self.count_troubles();
    }
}
