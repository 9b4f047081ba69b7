//! Accidents of the disk that the journal is on, and of the room that it may take.

use super::kinds::Harm;
use super::stand::{PATIENCE, Stand};
use crate::harness::eventually;

/// Room for all journals: plenty.
pub(super) const WIDE: &str = "48MiB";
/// The least that can be configured.
const NARROW: &str = "1MiB";

/// Other programs take all the room.
pub(super) fn fill(stand: &mut Stand) -> Harm {
    stand.disk().fill();
    Harm::Done
}

/// Nothing answers any more.
pub(super) fn freeze(stand: &mut Stand) -> Harm {
    Harm::Guarded(stand.disk().freeze())
}

/// The program starts with a journal on a disk that is read-only, as after a reboot with errors.
pub(super) async fn protect(stand: &mut Stand) -> Harm {
    stand.end_program().await;
    stand.disk().remount("ro");
    stand.program.start().await;
    stand.answers(20).await;
    Harm::Done
}

/// The database is away until the journal has taken all that it may.
pub(super) async fn narrow(stand: &mut Stand) -> Harm {
    stand.replace(|program| program.configure(|settings| settings.journal_bytes = NARROW)).await;
    stand.link.cut();
    stand.load().be_bulky(true);
    let program = &stand.program;
    let drops = || async { (program.counter("hits_dropped").await? > 0).then_some(()) };
    eventually("records are dropped", PATIENCE, drops).await;
    Harm::Done
}

/// The database is there again. The process stays until the round is over: its counters say what it dropped.
pub(super) fn reconnect(stand: &mut Stand) {
    stand.load().be_bulky(false);
    stand.link.mend();
}
