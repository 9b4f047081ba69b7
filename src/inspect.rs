//! The last requests that tracking looked at, and why each was counted or not.
//!
//! Rule: while nobody looks, a request pays one relaxed load. Whoever looks switches it on for [`LOOKS_FOR`]; until then
//! workers send a note of each request over a bounded channel (a full one loses notes, which is counted, and holds up
//! nothing), and a task of the office keeps the last [`KEPT`]. Nothing of it is written anywhere. Paths and values are
//! masked before they come here; the client's address is kept for comparing and is never shown.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Method;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::capture::Ignored;
use crate::capture::reasons::Reasons;
use crate::hit::{Identity, Touch};

/// Notes that are kept.
pub const KEPT: usize = 500;
/// How long it stays on after somebody looked.
pub const LOOKS_FOR: Duration = Duration::from_secs(600);
/// Notes that may be on their way.
const ON_THEIR_WAY: usize = 500;
/// Longest text of a note, in characters: at the very worst, all of them full, notes take ten megabytes.
pub const TEXT_CHARS: usize = 300;
/// Most actions of a note.
pub const MOST_ACTIONS: usize = 20;
/// Says to those who wait that there is nothing to wait for.
const CLOSED: u64 = u64::MAX;

/// What was made of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It counts as a page view.
    PageView,
    /// It is no page view, but an action, an order or a touch of it is recorded.
    Recorded,
    /// Only that there was one is counted.
    Counted,
    /// Nothing is recorded.
    NotRecorded(Option<Ignored>),
}

impl Verdict {
    /// Every word for one.
    pub const WORDS: [&str; 4] = ["page_view", "recorded", "counted", "not_recorded"];

    /// As `inspect` spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::PageView => Self::WORDS[0],
            Self::Recorded => Self::WORDS[1],
            Self::Counted => Self::WORDS[2],
            Self::NotRecorded(_) => Self::WORDS[3],
        }
    }
}

/// What became of the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Journal {
    /// There was none.
    Nothing,
    /// It was written before the response went out.
    Written,
    /// The response went ahead of it.
    Ahead,
    /// There was no room for it.
    Dropped,
}

impl Journal {
    /// As `inspect` spells it.
    pub fn word(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Written => Some("written"),
            Self::Ahead => Some("ahead"),
            Self::Dropped => Some("dropped"),
        }
    }
}

/// One request, and what was made of it.
#[derive(Debug, Clone)]
pub struct Note {
    /// Its place among all notes of this process, from 1.
    pub number: u64,
    /// When its head was there, Unix milliseconds.
    pub at_ms: u64,
    /// The shop.
    pub site: Arc<str>,
    /// Whose it is; never shown.
    pub client: IpAddr,
    /// Its method.
    pub method: Method,
    /// The host that was asked.
    pub host: String,
    /// Its path, masked.
    pub path: String,
    /// Path and query as they came, masked.
    pub target: String,
    /// Path and query as the shop got them, masked; none when they are the same.
    pub forwarded: Option<String>,
    /// Of the response; 499 when the client went away before.
    pub status: u16,
    /// What was made of it.
    pub verdict: Verdict,
    /// Why.
    pub reasons: Reasons,
    /// The exclusion that holds.
    pub exclusion: Option<String>,
    /// Whose visit it is.
    pub identity: Option<Identity>,
    /// The touch that is recorded, without the values of click ids.
    pub touch: Option<Touch<'static>>,
    /// Kinds of the actions that were seen.
    pub actions: Vec<String>,
    /// What became of the record.
    pub journal: Journal,
}

/// The notes of one process. Clones share them.
#[derive(Debug, Clone)]
pub struct Inspection {
    shared: Arc<Shared>,
}

/// Where notes arrive.
#[derive(Debug)]
pub struct Keeper {
    notes: mpsc::Receiver<Box<Note>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    looks_for: Duration,
    is_on: AtomicBool,
    missed: AtomicU64,
    way: mpsc::Sender<Box<Note>>,
    kept: Mutex<Kept>,
    newest: watch::Sender<u64>,
    looked: tokio::sync::Notify,
}

#[derive(Debug, Default)]
struct Kept {
    notes: VecDeque<Box<Note>>,
    on_since_ms: Option<u64>,
    until: Option<Instant>,
}

impl Inspection {
    /// One that is off, and the task's part of it.
    pub fn new() -> (Self, Keeper) {
        Self::lasting(LOOKS_FOR)
    }

    fn lasting(looks_for: Duration) -> (Self, Keeper) {
        let (way, notes) = mpsc::channel(ON_THEIR_WAY);
        let shared = Arc::new(Shared {
            looks_for,
            is_on: AtomicBool::new(false),
            missed: AtomicU64::new(0),
            way,
            kept: Mutex::default(),
            newest: watch::Sender::new(0),
            looked: tokio::sync::Notify::new(),
        });
        (Self { shared: Arc::clone(&shared) }, Keeper { notes, shared })
    }

    /// Whether somebody looks.
    pub fn is_on(&self) -> bool {
        self.shared.is_on.load(Ordering::Relaxed)
    }

    /// Sends a note.
    pub fn tell(&self, note: Box<Note>) {
        if self.shared.way.try_send(note).is_err() {
            self.shared.missed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Switches it on, or leaves it on for longer; answers since when it is on, Unix milliseconds.
    pub fn look(&self, now_ms: u64) -> u64 {
        let mut kept = self.shared.kept();
        kept.until = Some(Instant::now() + self.shared.looks_for);
        let since = *kept.on_since_ms.get_or_insert(now_ms);
        self.shared.is_on.store(true, Ordering::Relaxed);
        drop(kept);
        self.shared.looked.notify_one();
        since
    }

    /// Notes that were lost because they came faster than they could be kept.
    pub fn missed(&self) -> u64 {
        self.shared.missed.load(Ordering::Relaxed)
    }

    /// The kept notes after number `after` that `wanted` takes, oldest first: of more than `most` the newest without an
    /// `after`, else the oldest. Beside them the number that the next question is to be asked with.
    pub fn after(&self, after: Option<u64>, most: usize, wanted: impl Fn(&Note) -> bool) -> (Vec<Note>, u64) {
        let kept = self.shared.kept();
        // While it was off notes went, but their numbers do not come back.
        let told = Some(*self.shared.newest.borrow()).filter(|told| *told != CLOSED).unwrap_or(0);
        let newest = kept.notes.back().map_or(0, |note| note.number).max(told);
        // A number beyond is of an earlier run.
        let after = after.filter(|after| *after <= newest);
        let from = after.unwrap_or(0);
        let mut found: Vec<Note> = Vec::new();
        let later = kept.notes.iter().filter(|note| note.number > from && wanted(note));
        match after {
            None => {
                found.extend(later.rev().take(most).map(|note| (**note).clone()));
                found.reverse();
            }
            Some(_) => found.extend(later.take(most).map(|note| (**note).clone())),
        }
        let is_all = found.len() < most || after.is_none();
        let next = if is_all { newest } else { found.last().map_or(newest, |note| note.number) };
        (found, next)
    }

    /// Returns when there is a note after number `after`, at the deadline, or when the program ends (false).
    pub async fn wait(&self, after: u64, deadline: Instant) -> bool {
        let mut newest = self.shared.newest.subscribe();
        let came = newest.wait_for(|newest| *newest > after);
        match timeout_at(deadline, came).await {
            Ok(Ok(newest)) => *newest != CLOSED,
            Ok(Err(_)) | Err(_) => false,
        }
    }
}

impl Shared {
    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Off again when nobody has looked for so long, and everything is thrown away. Under the lock of who looks.
    fn switch_off(&self, now: Instant) {
        let mut kept = self.kept();
        if kept.until.is_some_and(|until| until > now) {
            return;
        }
        self.is_on.store(false, Ordering::Relaxed);
        kept.notes = VecDeque::new();
        kept.on_since_ms = None;
        kept.until = None;
    }
}

impl Keeper {
    /// Keeps notes while somebody looks, until `ends`.
    pub async fn keep(mut self, ends: CancellationToken) {
        let mut number = 0;
        loop {
            let until = self.shared.kept().until;
            tokio::select! {
                () = ends.cancelled() => break,
                () = self.shared.looked.notified() => {}
                () = tokio::time::sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {
                    self.shared.switch_off(Instant::now());
                }
                note = self.notes.recv() => {
                    let Some(mut note) = note else { break };
                    number += 1;
                    note.number = number;
                    let mut kept = self.shared.kept();
                    if kept.until.is_some() {
                        if kept.notes.len() == KEPT {
                            kept.notes.pop_front();
                        }
                        kept.notes.push_back(note);
                        drop(kept);
                        self.shared.newest.send_replace(number);
                    }
                }
            }
        }
        self.shared.is_on.store(false, Ordering::Relaxed);
        self.shared.newest.send_replace(CLOSED);
    }
}

/// A text of a note: no longer than a note may have it.
pub fn capped(text: &str) -> String {
    text.chars().take(TEXT_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(path: &str) -> Box<Note> {
        Box::new(Note {
            number: 0,
            at_ms: 0,
            site: "default".into(),
            client: [127, 0, 0, 1].into(),
            method: Method::GET,
            host: String::new(),
            path: path.to_owned(),
            target: String::new(),
            forwarded: None,
            status: 200,
            verdict: Verdict::PageView,
            reasons: Reasons::default(),
            exclusion: None,
            identity: None,
            touch: None,
            actions: Vec::new(),
            journal: Journal::Nothing,
        })
    }

    async fn newest(inspection: &Inspection, number: u64) {
        let soon = Instant::now() + Duration::from_secs(5);
        assert!(inspection.wait(number - 1, soon).await, "number {number}");
    }

    #[tokio::test]
    async fn it_is_on_while_somebody_looks_and_forgets_everything_then() {
        let (inspection, keeper) = Inspection::lasting(Duration::from_millis(300));
        let ends = CancellationToken::new();
        let task = tokio::spawn(keeper.keep(ends.clone()));
        assert!(!inspection.is_on());
        assert_eq!(inspection.look(7), 7);
        assert!(inspection.is_on());
        assert_eq!(inspection.look(9), 7, "it was on all the time");
        inspection.tell(note("/a"));
        newest(&inspection, 1).await;
        let patience = Instant::now() + Duration::from_secs(20);
        while inspection.is_on() && Instant::now() < patience {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(!inspection.is_on());
        assert!(inspection.after(None, 9, |_| true).0.is_empty());
        assert_eq!(inspection.look(11), 11);
        let (_, next) = inspection.after(Some(0), 9, |_| true);
        assert_eq!(next, 1, "who waits does not wake for what went");
        ends.cancel();
        task.await.unwrap();
        assert!(
            !inspection.wait(5, Instant::now() + Duration::from_secs(9)).await,
            "the end wakes who waits"
        );
    }

    #[tokio::test]
    async fn the_last_are_kept_and_read_on_from_where_one_was() {
        let (inspection, keeper) = Inspection::new();
        let ends = CancellationToken::new();
        let _ends = ends.clone().drop_guard();
        inspection.look(0);
        for number in 0..ON_THEIR_WAY + 7 {
            inspection.tell(note(if number % 2 == 0 { "/even" } else { "/odd" }));
        }
        assert_eq!(inspection.missed(), 7, "nobody took them");
        tokio::spawn(keeper.keep(ends));
        newest(&inspection, ON_THEIR_WAY as u64).await;
        inspection.tell(note("/last"));
        newest(&inspection, ON_THEIR_WAY as u64 + 1).await;
        let (all, next) = inspection.after(None, 1000, |_| true);
        assert_eq!((all.len(), all[0].number, next), (KEPT, 2, KEPT as u64 + 1));
        let (some, next) = inspection.after(Some(10), 2, |note| note.path == "/odd");
        assert_eq!((some.len(), some[0].number, some[1].number, next), (2, 12, 14, 14));
        let (newest, _) = inspection.after(None, 1, |_| true);
        assert_eq!(newest[0].path, "/last");
        assert_eq!(inspection.after(Some(9_999), 1000, |_| true).0.len(), KEPT, "of another run");
    }
}
