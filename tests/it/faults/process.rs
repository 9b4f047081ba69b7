//! Accidents of the proxy's process.

use rand::RngExt;
use rand::rngs::StdRng;

use super::kinds::Harm;
use super::stand::Stand;
use crate::harness::program::Program;

/// Kills it some times, each after a moment that differs.
pub(super) async fn kill(stand: &mut Stand, dice: &mut StdRng) -> Harm {
    for _ in 0..dice.random_range(1..=3) {
        stand.answers(20).await;
        stand.pass(dice.random_range(0..150)).await;
        stand.kill();
        stand.program.start().await;
    }
    Harm::Done
}

/// Starts another on the same journals and sends new visitors there.
pub(super) async fn overlap(stand: &mut Stand) -> Harm {
    let mut new = stand.program.beside();
    new.start().await;
    Harm::Old(Box::new(stand.change_to(new)))
}

/// Ends the old one in its own time.
pub(super) async fn end_old(stand: &mut Stand, mut old: Program) {
    stand.answers(20).await;
    let status = old.terminate().await;
    assert!(status.success(), "the old program ended with {status}");
}
