//! The journal: what was seen, kept on disk until Postgres has it.
//!
//! # Files
//!
//! `journal.dir/<run uuid>/` belongs to one run of the program and is held by an exclusive lock on its file `lock`.
//! A process writes only into its own run directory; it *adopts* directories whose lock is free ([`directory`]), reads
//! them to their end and ships them. So old and new binary overlap, and what a crashed one left is not lost.
//!
//! A run directory holds segments `<number, 10 digits>.journal`, numbered from 0, append-only.
//!
//! # Segment
//!
//! All integers big-endian. A header of [`HEADER_BYTES`] bytes, then frames.
//!
//! | offset | bytes | header field |
//! |---|---|---|
//! | 0 | 8 | `UTMDJRN1` |
//! | 8 | 2 | format: 3, or 4 where the only record is an erasure; 1 and 2 by binaries with records of version 1 |
//! | 10 | 2 | flags, 0 |
//! | 12 | 16 | journal: the run's uuid |
//! | 28 | 8 | segment number |
//! | 36 | 8 | created, Unix milliseconds |
//! | 44 | 4 | CRC-32C of the 44 bytes before |
//!
//! | bytes | frame field |
//! |---|---|
//! | 4 | length of the payload, 2 … [`MAX_PAYLOAD_BYTES`] |
//! | 4 | CRC-32C of the payload |
//! | … | payload ([`crate::hit`]) |
//!
//! A [`Position`] is (segment number, offset in the file). A reader's position is the start of the first frame that it
//! has not read; (0, 0) is the beginning. A frame never spans segments.
//!
//! # Promises
//!
//! * An erasure ([`crate::erasure`]) stands alone in a segment of format 4. A binary that knows no erasures refuses the
//!   segment and stops there, rather than setting the record aside and passing on; the next one that does ships it.
//! * A frame is handed to the kernel before the first byte of its response's head is sent, but a response waits no
//!   longer than `journal.wait` ([`hand`]).
//! * A disk that refuses, also at the start, costs no request: records are held in memory, bounded, until it takes
//!   them; the run directory is made when it can be ([`writer`]).
//! * Frames of one worker are in the order in which the worker pushed them.
//! * A torn last frame is cut off when its directory is adopted; a damaged frame inside is skipped and counted, and so
//!   is a segment that is missing ([`reader`]).
//! * What is written survives the removal of its file, of the lock and of the directory while its process lives.
//! * When there is no room, page views are dropped first, then actions, then everything ([`admits`]); each drop is
//!   counted.

use crate::hit::Importance;

pub mod directory;
pub mod frame;
pub mod hand;
pub mod reader;
pub mod writer;

/// Size of a segment's header.
pub const HEADER_BYTES: usize = 48;

/// Greatest payload of a frame; a greater length in a file is damage.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 20;

/// A place in a journal: the next frame to read, or the end of the written ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// Segment number.
    pub segment: u64,
    /// Byte offset in the segment's file.
    pub offset: u64,
}

/// Whether a record is still let in when `used` of `capacity` bytes are taken: page views up to 90 %, actions up to
/// 95 %, touches and orders up to all of it.
pub fn admits(importance: Importance, used: u64, capacity: u64) -> bool {
    let percent = match importance {
        Importance::PageView => 90,
        Importance::Action => 95,
        Importance::TouchOrOrder => 100,
    };
    used < capacity / 100 * percent
}

#[cfg(test)]
mod tests;
