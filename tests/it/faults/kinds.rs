//! The list of accidents, and which of them can meet.

use rand::rngs::StdRng;

use super::stand::Stand;
use super::{clock, database, disk, process, segments};
use crate::harness::guard::Guard;
use crate::harness::program::Program;

/// An accident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    ProxyKilled,
    ProxiesOverlap,
    ClockJumps,
    PostgresKilled,
    PostgresFrozen,
    PostgresRestarted,
    CommitAnswerLost,
    CommitLost,
    DatabaseRestored,
    SchemaTooNew,
    PoisonRows,
    DiskFull,
    DiskReadOnly,
    DiskFrozen,
    JournalFull,
    SegmentTorn,
    BitsFlipped,
}

pub(super) const ALL: [Kind; 17] = [
    Kind::ProxyKilled,
    Kind::ProxiesOverlap,
    Kind::ClockJumps,
    Kind::PostgresKilled,
    Kind::PostgresFrozen,
    Kind::PostgresRestarted,
    Kind::CommitAnswerLost,
    Kind::CommitLost,
    Kind::DatabaseRestored,
    Kind::SchemaTooNew,
    Kind::PoisonRows,
    Kind::DiskFull,
    Kind::DiskReadOnly,
    Kind::DiskFrozen,
    Kind::JournalFull,
    Kind::SegmentTorn,
    Kind::BitsFlipped,
];

/// What a kind concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Concern {
    Proxy,
    Database,
    Journal,
}

/// What becomes of the process that forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Forwarding {
    /// It goes on: no request may fail.
    GoesOn,
    /// It ends in its own time: a visitor may find a connection closed, and asks again.
    IsReplaced,
    /// It is killed: requests under way fail.
    IsKilled,
}

/// What lasts while the accident does, and ends it when it is undone.
#[derive(Debug)]
pub(super) enum Harm {
    Done,
    Guarded(Guard),
    Old(Box<Program>),
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::ProxyKilled => "proxy killed",
            Kind::ProxiesOverlap => "two proxies overlap",
            Kind::ClockJumps => "clock jumps",
            Kind::PostgresKilled => "Postgres killed",
            Kind::PostgresFrozen => "Postgres stopped still",
            Kind::PostgresRestarted => "Postgres restarted",
            Kind::CommitAnswerLost => "answer to COMMIT lost",
            Kind::CommitLost => "COMMIT lost",
            Kind::DatabaseRestored => "database restored",
            Kind::SchemaTooNew => "schema too new",
            Kind::PoisonRows => "poison rows",
            Kind::DiskFull => "disk full",
            Kind::DiskReadOnly => "disk read-only",
            Kind::DiskFrozen => "disk frozen",
            Kind::JournalFull => "journal full",
            Kind::SegmentTorn => "segment torn",
            Kind::BitsFlipped => "bits flipped",
        }
    }

    fn concern(self) -> Concern {
        match self {
            Kind::ProxyKilled | Kind::ProxiesOverlap | Kind::ClockJumps => Concern::Proxy,
            Kind::PostgresKilled
            | Kind::PostgresFrozen
            | Kind::PostgresRestarted
            | Kind::CommitAnswerLost
            | Kind::CommitLost
            | Kind::DatabaseRestored
            | Kind::SchemaTooNew
            | Kind::PoisonRows => Concern::Database,
            Kind::DiskFull
            | Kind::DiskReadOnly
            | Kind::DiskFrozen
            | Kind::JournalFull
            | Kind::SegmentTorn
            | Kind::BitsFlipped => Concern::Journal,
        }
    }

    pub(super) fn forwarding(self) -> Forwarding {
        match self {
            Kind::ProxyKilled | Kind::SegmentTorn | Kind::BitsFlipped => Forwarding::IsKilled,
            Kind::ProxiesOverlap
            | Kind::ClockJumps
            | Kind::SchemaTooNew
            | Kind::DiskReadOnly
            | Kind::JournalFull => Forwarding::IsReplaced,
            _ => Forwarding::GoesOn,
        }
    }

    pub(super) fn needs_disk(self) -> bool {
        matches!(self, Kind::DiskFull | Kind::DiskReadOnly | Kind::DiskFrozen)
    }

    /// Whether it cuts the link to Postgres or mends it.
    fn uses_link(self) -> bool {
        matches!(
            self,
            Kind::CommitAnswerLost
                | Kind::CommitLost
                | Kind::DatabaseRestored
                | Kind::JournalFull
                | Kind::SegmentTorn
                | Kind::BitsFlipped
        )
    }

    /// Accidents that may come with this one: one of the database's with another. What the memory of a killed process
    /// held because the disk refused is lost, as documented; what was deleted to make room cannot be shipped to a
    /// restored database. So these do not meet.
    pub(super) fn companions(self) -> Vec<Kind> {
        let meets = |other: &Kind| {
            let (one, two) = (self.concern(), other.concern());
            one != two
                && (one == Concern::Database || two == Concern::Database)
                && !(self.uses_link() && other.uses_link())
                && !self.spoils(*other)
                && !other.spoils(self)
        };
        ALL.into_iter().filter(meets).collect()
    }

    fn spoils(self, other: Kind) -> bool {
        match self {
            // Segments are deleted to make room, or since they look old.
            Kind::DiskFull | Kind::ClockJumps => other == Kind::DatabaseRestored,
            // It starts the program anew, and so would lose what is held in memory.
            Kind::SchemaTooNew => {
                matches!(other, Kind::DiskFull | Kind::DiskReadOnly | Kind::DiskFrozen | Kind::JournalFull)
            }
            // Which of the odd pages are dropped nobody knows.
            Kind::PoisonRows => other == Kind::JournalFull,
            _ => false,
        }
    }

    /// Of two at once the one with the lower number begins first and ends last: a copy of the database needs a server
    /// that runs.
    pub(super) fn rank(self) -> u8 {
        match self {
            Kind::DatabaseRestored => 0,
            Kind::SchemaTooNew | Kind::PoisonRows => 1,
            _ if self.concern() == Concern::Database => 2,
            _ => 3,
        }
    }

    pub(super) async fn begin(self, stand: &mut Stand, dice: &mut StdRng) -> Harm {
        match self {
            Kind::ProxyKilled => process::kill(stand, dice).await,
            Kind::ProxiesOverlap => process::overlap(stand).await,
            Kind::ClockJumps => clock::jump(stand, dice).await,
            Kind::PostgresKilled => database::kill(stand).await,
            Kind::PostgresFrozen => database::freeze(stand),
            Kind::PostgresRestarted => database::shut_down(stand).await,
            Kind::CommitAnswerLost => database::lose_answer(stand).await,
            Kind::CommitLost => database::lose_commit(stand).await,
            Kind::DatabaseRestored => database::copy(stand).await,
            Kind::SchemaTooNew => database::outdate(stand).await,
            Kind::PoisonRows => database::refuse_odd(stand).await,
            Kind::DiskFull => disk::fill(stand),
            Kind::DiskReadOnly => disk::protect(stand).await,
            Kind::DiskFrozen => disk::freeze(stand),
            Kind::JournalFull => disk::narrow(stand).await,
            Kind::SegmentTorn => segments::tear(stand, dice).await,
            Kind::BitsFlipped => segments::flip(stand, dice).await,
        }
    }

    /// Undoes it, unless it is undone when the harm is dropped.
    pub(super) async fn end(self, stand: &mut Stand, harm: Harm) {
        match (self, harm) {
            (Kind::ProxiesOverlap, Harm::Old(old)) => process::end_old(stand, *old).await,
            (Kind::ClockJumps, _) => clock::set_right(stand).await,
            (Kind::PostgresKilled | Kind::PostgresRestarted, _) => stand.server.restart().await,
            (Kind::CommitAnswerLost | Kind::CommitLost, _) => database::reconnect(stand).await,
            (Kind::DatabaseRestored, _) => database::restore(stand).await,
            (Kind::SchemaTooNew, _) => database::update(stand).await,
            (Kind::PoisonRows, _) => stand.load().be_odd(false),
            (Kind::DiskFull, _) => stand.disk().clear(),
            (Kind::DiskReadOnly, _) => stand.disk().remount("rw"),
            (Kind::JournalFull, _) => disk::reconnect(stand),
            (_, Harm::Guarded(guard)) => drop(guard),
            _ => {}
        }
    }
}
