//! How many people: counted by their hashes where that is quick, else estimated by sketches.
//!
//! A window is counted or estimated as a whole, whatever is asked about it: so reports of one window agree.

use jiff::SignedDuration;
use tokio_postgres::types::Type;

use crate::stats::crowd::{Crowd, Pair};
use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::people::window_sessions;
use crate::stats::scope::Scope;
use crate::stats::sketch::{ERROR_PERCENT, Sketch, estimate_few};
use crate::store::columns::Number;

/// Windows up to this length are counted whatever is in them: 31 days, one of which may have 25 hours.
const COUNTED_SPAN: SignedDuration = SignedDuration::from_hours(31 * 24 + 1);
/// Longer ones are counted up to this many sessions, whatever filters leave of them.
const COUNTED_SESSIONS: u64 = 500_000;
/// Codes of a label that need no sketch, which takes four kilobytes.
const FEW: usize = 512;
/// Labels that have a sketch; of later ones that are often seen doubles are thrown away.
const SKETCHES: usize = 4096;

/// How people are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// By hashes of their ids, session by session.
    Counted,
    /// By sketches, for the reason given.
    Estimated(&'static str),
    /// By sketches of rollups: not all sessions are kept.
    Rolled,
}

impl Way {
    /// The way for a window.
    pub(crate) async fn of(snapshot: &Snapshot, scope: &Scope) -> Result<Way, DatabaseError> {
        if !are_kept(snapshot, scope).await? {
            return Ok(if scope.is_of_sessions() { Way::Rolled.of_sessions() } else { Way::Rolled });
        }
        let (from, to) = scope.window();
        if from.is_some_and(|from| to.duration_since(from) <= COUNTED_SPAN) {
            return Ok(Way::Counted);
        }
        Ok(if window_sessions(snapshot, scope).await? <= COUNTED_SESSIONS {
            Way::Counted
        } else {
            Way::Estimated("it is longer than 31 days and has more than 500,000 sessions")
        })
    }

    /// The same where rollups do not tell what is asked: of the sessions that are there.
    pub(crate) fn of_sessions(self) -> Way {
        match self {
            Way::Rolled => Way::Estimated(NOT_KEPT),
            way => way,
        }
    }

    /// What the reader of an estimate must know.
    pub(crate) fn warning(self) -> Option<String> {
        let reason = match self {
            Way::Counted => return None,
            Way::Estimated(reason) => reason,
            Way::Rolled => NOT_KEPT,
        };
        Some(format!(
            "visitors of this window are estimated, with a standard error of {ERROR_PERCENT} %: {reason}"
        ))
    }

    /// The column by which people are told apart.
    pub(crate) fn column(self) -> Number {
        match self {
            Way::Counted => Number::Visitor,
            Way::Estimated(_) | Way::Rolled => Number::Sketch,
        }
    }

    /// Nobody yet.
    pub(crate) fn nobody(self) -> People {
        match self {
            Way::Counted => People::Counted(Crowd::default()),
            Way::Estimated(_) | Way::Rolled => People::Estimated(Estimated::default()),
        }
    }
}

/// Whether all sessions of a window are there: of months that are over for long only rollups are.
pub(crate) async fn are_kept(snapshot: &Snapshot, scope: &Scope) -> Result<bool, DatabaseError> {
    let (from, to) = scope.window();
    let edges = [(&from as _, Type::TIMESTAMPTZ), (&to as _, Type::TIMESTAMPTZ)];
    let kept = snapshot.row(include_str!("sql/sessions_kept.sql"), &edges).await?;
    Ok(kept.ok_or(DatabaseError::Failed)?.try_get("kept")?)
}

const NOT_KEPT: &str = "some of its sessions are no longer kept one by one";

/// Who has which label so far, whatever labels are of: they are numbers from 0.
#[derive(Debug)]
pub(crate) enum People {
    Counted(Crowd),
    Estimated(Estimated),
}

/// By sketches.
#[derive(Debug, Default)]
pub(crate) struct Estimated {
    /// Those that wait, by label.
    waiting: Vec<Waiting>,
    by_label: Vec<Codes>,
    /// How many labels have a sketch.
    sketches: usize,
}

impl People {
    /// Adds those of a label, by what [`Way::column`] has.
    pub(crate) fn add(&mut self, label: u32, who: impl Iterator<Item = i64>) {
        match self {
            People::Counted(crowd) => who.for_each(|hash| crowd.add((hash, label))),
            People::Estimated(estimated) => {
                estimated.add_codes(label, who.map(|code| u32::try_from(code).unwrap_or_default()));
            }
        }
    }

    /// Adds people with their labels.
    pub(crate) fn add_each<'a>(&mut self, people: impl Iterator<Item = (i64, &'a u32)>) {
        match self {
            People::Counted(crowd) => people.for_each(|(hash, label)| crowd.add((hash, *label))),
            People::Estimated(estimated) => {
                people.for_each(|(code, label)| estimated.add(*label, code));
            }
        }
    }

    /// Adds those of a label whom rollups tell.
    pub(crate) fn add_sketch(&mut self, label: u32, bytes: &[u8]) {
        if let People::Estimated(estimated) = self {
            estimated.codes(label).sketch.get_or_insert_default().add(bytes);
        }
    }

    /// Those of so many groups, which `groups` says of each label.
    pub(crate) fn of_groups(self, groups: &[u32], count: usize) -> Members {
        match self {
            People::Counted(crowd) => {
                Members::Counted(crowd.once_each(|label| groups[label as usize]).collect())
            }
            People::Estimated(estimated) => {
                let mut of_groups = vec![Codes::default(); count];
                for (codes, group) in estimated.by_label().into_iter().zip(groups) {
                    of_groups[*group as usize].take(codes);
                }
                Members::Estimated(of_groups)
            }
        }
    }

    /// How many there are when all have the first label. Nobody can be more people than sessions.
    pub(crate) fn number(self, sessions: i64) -> i64 {
        self.of_groups(&[0], 1).together(&[sessions], |_| true)
    }
}

/// Who is in which group.
#[derive(Debug)]
pub(crate) enum Members {
    /// Shares of all: hash and group, each pair once, those of one hash side by side.
    Counted(Vec<Vec<Pair>>),
    /// Of each group.
    Estimated(Vec<Codes>),
}

impl Members {
    /// How many each group has, of so many sessions.
    pub(crate) fn of_each(&self, sessions: &[i64]) -> Vec<i64> {
        match self {
            Members::Counted(shares) => {
                let mut people = vec![0; sessions.len()];
                shares.iter().flatten().for_each(|(_, group)| people[*group as usize] += 1);
                people
            }
            Members::Estimated(codes) => {
                codes.iter().zip(sessions).map(|(codes, sessions)| codes.estimate().min(*sessions)).collect()
            }
        }
    }

    /// How many there are in some of the groups, each once.
    pub(crate) fn together(&self, sessions: &[i64], is_chosen: impl Fn(usize) -> bool) -> i64 {
        match self {
            Members::Counted(shares) => {
                let mut people = 0;
                for share in shares {
                    let mut last = None;
                    for (hash, _) in share.iter().filter(|(_, group)| is_chosen(*group as usize)) {
                        people += i64::from(last != Some(hash));
                        last = Some(hash);
                    }
                }
                people
            }
            Members::Estimated(codes) => {
                let (mut sketch, mut of_sessions) = (Sketch::default(), 0);
                for (group, codes) in codes.iter().enumerate().filter(|(group, _)| is_chosen(*group)) {
                    codes.add_to(&mut sketch);
                    of_sessions += sessions[group];
                }
                sketch.estimate().min(of_sessions)
            }
        }
    }
}

impl Estimated {
    fn codes(&mut self, label: u32) -> &mut Codes {
        if self.by_label.len() <= label as usize {
            self.by_label.resize_with(label as usize + 1, Codes::default);
        }
        &mut self.by_label[label as usize]
    }

    #[inline]
    fn add(&mut self, label: u32, code: i64) {
        if self.waiting.len() <= label as usize {
            self.waiting.resize(label as usize + 1, Waiting::default());
        }
        let waiting = &mut self.waiting[label as usize];
        waiting.codes[waiting.count] = u32::try_from(code).unwrap_or_default();
        waiting.count += 1;
        if waiting.count == WAITING {
            self.put(label);
        }
    }

    /// Puts the codes that wait to the others of their label.
    #[inline(never)]
    fn put(&mut self, label: u32) {
        let waiting = &mut self.waiting[label as usize];
        let (codes, count) = (waiting.codes, std::mem::take(&mut waiting.count));
        self.add_codes(label, codes.into_iter().take(count));
    }

    /// Adds to those of a label.
    fn add_codes(&mut self, label: u32, codes: impl Iterator<Item = u32>) {
        self.codes(label).few.extend(codes);
        self.by_label[label as usize].compact(&mut self.sketches);
    }

    /// All codes of each label.
    fn by_label(mut self) -> Vec<Codes> {
        (0..u32::try_from(self.waiting.len()).unwrap_or(u32::MAX)).for_each(|label| self.put(label));
        self.by_label
    }
}

/// Codes of a label that are put to its others together: these lie far from another label's, which is next.
#[derive(Debug, Clone, Default)]
#[repr(align(64))]
struct Waiting {
    codes: [u32; WAITING],
    count: usize,
}

/// Codes that fit a line of the processor's cache, with their number.
const WAITING: usize = 14;

/// The `sketch_code()`s of a label or a group: as they are while they are few, for most labels are seldom seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Codes {
    sketch: Option<Sketch>,
    few: Vec<u32>,
    /// How many of these were left when doubles were thrown away.
    left: usize,
}

impl Codes {
    /// Puts what are no longer few into a sketch, so many at a time that it stays in the processor's cache meanwhile.
    fn compact(&mut self, sketches: &mut usize) {
        if self.few.len() < FEW.max(2 * self.left) {
            return;
        }
        if self.sketch.is_none() && *sketches < SKETCHES {
            self.sketch = Some(Sketch::default());
            *sketches += 1;
        }
        match &mut self.sketch {
            Some(sketch) => {
                self.few.drain(..).for_each(|code| sketch.add_code(code));
                self.few.shrink_to(FEW);
            }
            None => {
                self.few.sort_unstable();
                self.few.dedup();
                self.left = self.few.len();
            }
        }
    }

    fn take(&mut self, other: Codes) {
        self.few.extend(other.few);
        match (&mut self.sketch, other.sketch) {
            (Some(sketch), Some(other)) => sketch.merge(&other),
            (None, sketch) => self.sketch = sketch,
            _ => {}
        }
    }

    fn add_to(&self, sketch: &mut Sketch) {
        self.few.iter().for_each(|code| sketch.add_code(*code));
        if let Some(own) = &self.sketch {
            sketch.merge(own);
        }
    }

    fn estimate(&self) -> i64 {
        if self.sketch.is_none() && self.few.len() < FEW {
            return estimate_few(self.few.clone());
        }
        let mut sketch = Sketch::default();
        self.add_to(&mut sketch);
        sketch.estimate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of 100 labels each has so many people.
    fn among(mut people: People, one_by_one: bool) -> (Vec<i64>, i64, i64) {
        let code = |who: u64| {
            (who.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52 << 8 | u64::from(who.trailing_zeros() + 1))
                .cast_signed()
        };
        for round in 0..3 {
            for label in 0..100 {
                let who = (0..u64::from(label) * 20).map(|who| code(who + 1 + round));
                if one_by_one {
                    who.for_each(|code| people.add_each(std::iter::once((code, &label))));
                } else {
                    people.add(label, who);
                }
            }
        }
        let groups: Vec<u32> = (0..100).map(|label| label / 50).collect();
        let members = people.of_groups(&groups, 2);
        let sessions = [1 << 20; 2];
        (
            members.of_each(&sessions),
            members.together(&sessions, |_| true),
            members.together(&sessions, |group| group == 0),
        )
    }

    #[test]
    fn labels_without_a_sketch_are_estimated_all_the_same() {
        let few = |sketches| People::Estimated(Estimated { sketches, ..Estimated::default() });
        let told = among(few(0), false);
        for sketches in [0, SKETCHES - 3, SKETCHES] {
            assert_eq!(
                (among(few(sketches), false), among(few(sketches), true)),
                (told.clone(), told.clone())
            );
        }
        assert_eq!((told.0[1], told.0[0]), (told.1, told.2));
        assert!(told.1 > told.2 && told.2 > 0, "{told:?}");
    }

    #[test]
    fn people_are_counted_once_however_many_sessions_they_have() {
        let mut people = Way::Counted.nobody();
        for session in 0..300 {
            people.add(0, (session * 10_000..(session + 1) * 10_000).map(|session| session % 700_001));
        }
        assert_eq!(people.number(i64::MAX), 700_001);
    }

    #[test]
    fn nobody_is_no_people() {
        for way in [Way::Counted, Way::Rolled] {
            assert_eq!(way.nobody().number(0), 0);
            assert_eq!(way.nobody().of_groups(&[], 0).together(&[], |_| true), 0);
        }
    }
}
