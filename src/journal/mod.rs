//! What was seen, kept until the database has it.

/// A place in a journal: segments are numbered from 0, offsets count bytes from the segment's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// Number of the segment.
    pub segment: u64,
    /// Byte in it.
    pub offset: u64,
}
