//! Accidents of Postgres, of the way to it, and of what is in it.

use std::time::Duration;

use super::kinds::Harm;
use super::stand::{PATIENCE, Stand};
use crate::harness::eventually;
use crate::harness::postgres::connect;

/// `kill -9`
pub(super) async fn kill(stand: &mut Stand) -> Harm {
    stand.server.kill().await;
    stand.kills += 1;
    Harm::Done
}

/// Every process stands still.
pub(super) fn freeze(stand: &mut Stand) -> Harm {
    Harm::Guarded(stand.server.freeze())
}

/// A fast shutdown in the middle of what it does.
pub(super) async fn shut_down(stand: &mut Stand) -> Harm {
    stand.server.stop().await;
    Harm::Done
}

/// The next COMMIT is done, its answer does not arrive.
pub(super) async fn lose_answer(stand: &mut Stand) -> Harm {
    stand.link.cut_after_commit();
    is_cut(stand).await
}

/// The next COMMIT does not arrive.
pub(super) async fn lose_commit(stand: &mut Stand) -> Harm {
    stand.link.cut_before_commit();
    is_cut(stand).await
}

/// With another accident at the same time there may be no commit.
async fn is_cut(stand: &Stand) -> Harm {
    let cut = eventually("a commit is cut", PATIENCE, || async { stand.link.is_cut().then_some(()) });
    let _ = tokio::time::timeout(Duration::from_secs(2), cut).await;
    Harm::Done
}

/// The way to Postgres is open again.
pub(super) async fn reconnect(stand: &mut Stand) {
    stand.pass(100).await;
    stand.link.mend();
}

/// What a backup would hold.
pub(super) async fn copy(stand: &mut Stand) -> Harm {
    stand.database.copy_while_cut(&stand.link).await;
    Harm::Done
}

/// Puts the copy in the database's place, once the latter has gone on.
pub(super) async fn restore(stand: &mut Stand) {
    stand.answers(50).await;
    stand.pass(300).await;
    stand.database.restore_while_cut(&stand.link).await;
}

/// A newer program migrated the database, and the old one is started again.
pub(super) async fn outdate(stand: &mut Stand) -> Harm {
    let newer = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
        VALUES (9999, 'newer', '2026-01-01T00:00:00Z', '0')";
    stand.does(newer).await;
    stand.replace(|_| {}).await;
    Harm::Done
}

/// The database is this version's again.
pub(super) async fn update(stand: &mut Stand) {
    stand.does("DELETE FROM refinery_schema_history WHERE version = 9999").await;
}

/// From now on Postgres refuses what visitors see of odd pages.
pub(super) async fn refuse_odd(stand: &mut Stand) -> Harm {
    stand.does("ALTER TABLE events ADD CONSTRAINT poison CHECK (status <> 203) NOT VALID").await;
    stand.spoilt.odd = true;
    stand.load().be_odd(true);
    Harm::Done
}

/// It does not refuse any more.
pub(super) async fn take_odd(stand: &mut Stand) {
    connect(&stand.database.url)
        .await
        .batch_execute("ALTER TABLE events DROP CONSTRAINT IF EXISTS poison")
        .await
        .unwrap();
}
