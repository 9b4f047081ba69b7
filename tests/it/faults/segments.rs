//! Segments that are damaged while no process runs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use utm_dispatcher::hit::Record;
use utm_dispatcher::journal::HEADER_BYTES;
use utm_dispatcher::journal::frame::{FRAME_HEAD_BYTES, Look, look};

use super::kinds::Harm;
use super::stand::Stand;

/// A record begins with its length.
const LENGTH_BYTES: usize = 4;

/// What stands in a segment.
struct Frame {
    segment: PathBuf,
    at: usize,
    bytes: usize,
    /// The page, when it is a hit's.
    path: Option<String>,
}

/// Kills the program while it writes; a record of which only a part was written stands at the end.
pub(super) async fn tear(stand: &mut Stand, dice: &mut StdRng) -> Harm {
    let (_, frames) = unshipped(stand).await;
    let last = frames.last().unwrap();
    let mut bytes = std::fs::read(&last.segment).unwrap();
    let part = dice.random_range(1..last.bytes);
    bytes.extend_from_within(last.at..last.at + part);
    std::fs::write(&last.segment, bytes).unwrap();
    restart(stand).await
}

/// Flips a bit of each of some records, no two of them neighbours, since such are one stretch to who cannot read them.
pub(super) async fn flip(stand: &mut Stand, dice: &mut StdRng) -> Harm {
    let (since, frames) = unshipped(stand).await;
    let below = format!("/{}/", stand.load().name());
    let is_new = |frame: &Frame| {
        let number = frame.path.as_deref().and_then(|path| path.strip_prefix(&below)?.rsplit('/').next());
        number.and_then(|number| number.parse::<u64>().ok()).is_some_and(|number| number >= since)
    };
    let mut places: Vec<usize> = (0..frames.len()).filter(|&place| is_new(&frames[place])).collect();
    places.shuffle(dice);
    let mut flipped = BTreeSet::new();
    for place in places.into_iter().take(5) {
        if flipped.contains(&(place + 1))
            || place.checked_sub(1).is_some_and(|other| flipped.contains(&other))
        {
            continue;
        }
        let frame = &frames[place];
        // A last record that is too long for its file is a torn one, of which nobody can know that it was whole.
        let first = if place + 1 == frames.len() { LENGTH_BYTES } else { 0 };
        let mut bytes = std::fs::read(&frame.segment).unwrap();
        bytes[frame.at + dice.random_range(first..frame.bytes)] ^= 1 << dice.random_range(0..8);
        std::fs::write(&frame.segment, bytes).unwrap();
        stand.spoilt.pages.extend(frame.path.clone());
        stand.spoilt.records += 1;
        flipped.insert(place);
    }
    restart(stand).await
}

/// Kills the program when some records have been written that are not in the database. Answers its journal's records, and
/// the number of the first page that cannot be in the database.
async fn unshipped(stand: &mut Stand) -> (u64, Vec<Frame>) {
    stand.link.cut();
    // A commit that was under way is over.
    stand.pass(100).await;
    let since = stand.load().next();
    stand.answers(60).await;
    stand.kill();
    let frames = frames_in(&stand.program.settings().journal);
    assert!(!frames.is_empty());
    (since, frames)
}

async fn restart(stand: &mut Stand) -> Harm {
    stand.link.mend();
    stand.program.start().await;
    Harm::Done
}

/// The records of the latest run.
fn frames_in(journal: &Path) -> Vec<Frame> {
    let sorted = |directory: &Path| {
        let entries = std::fs::read_dir(directory).unwrap();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    let run = sorted(journal).into_iter().rfind(|path| path.is_dir()).unwrap();
    let mut frames = Vec::new();
    for segment in sorted(&run) {
        if segment.extension().is_none_or(|extension| extension != "journal") {
            continue;
        }
        let bytes = std::fs::read(&segment).unwrap();
        let mut at = HEADER_BYTES;
        while let Some(Look::Frame(payload)) = bytes.get(at..).map(look) {
            let start = at + FRAME_HEAD_BYTES;
            let path = match Record::decode(&bytes[start..start + payload]) {
                Ok(Record::Hit(hit)) => Some(hit.path.to_string()),
                _ => None,
            };
            frames.push(Frame { segment: segment.clone(), at, bytes: FRAME_HEAD_BYTES + payload, path });
            at = start + payload;
        }
    }
    frames
}
