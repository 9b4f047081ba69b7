//! A wall clock that jumps, by libfaketime: the program reads the time through it, the kernel's timers go on.

use std::path::{Path, PathBuf};

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::kinds::Harm;
use super::stand::Stand;

const JUMPS: [&str; 8] = ["+31m", "+3h", "+26h", "+40d", "-10m", "-3h", "-26h", "-40d"];

/// The library; none where it is not installed.
pub(super) fn library() -> Option<PathBuf> {
    let places = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(Path::new);
    let below = places.into_iter().filter_map(|place| std::fs::read_dir(place).ok());
    let deeper = below.flat_map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())));
    deeper
        .chain(places.map(Path::to_owned))
        .map(|place| place.join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.exists())
}

/// Starts a process that believes in another clock, and turns that some times.
pub(super) async fn jump(stand: &mut Stand, dice: &mut StdRng) -> Harm {
    let library = library().expect("it was looked for");
    let offset = stand.files().join("offset");
    std::fs::write(&offset, "+0").unwrap();
    stand
        .replace(|program| {
            program.environment(&[
                ("LD_PRELOAD", library.to_str().unwrap()),
                ("FAKETIME_TIMESTAMP_FILE", offset.to_str().unwrap()),
                ("FAKETIME_CACHE_DURATION", "1"),
                ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
                ("DONT_FAKE_MONOTONIC", "1"),
                ("NO_FAKE_STAT", "1"),
            ]);
        })
        .await;
    stand.answers(20).await;
    for _ in 0..dice.random_range(1..=2) {
        std::fs::write(&offset, JUMPS.choose(dice).unwrap()).unwrap();
        // Longer than it keeps what it has read.
        stand.pass(1200).await;
        stand.answers(20).await;
    }
    Harm::Done
}

/// Back to the true time.
pub(super) async fn set_right(stand: &mut Stand) {
    stand.replace(|program| program.environment(&[])).await;
}
