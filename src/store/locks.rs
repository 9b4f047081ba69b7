//! Numbers of the advisory locks, one place so that they never collide. All are taken for a transaction only.
//!
//! The upper half spells `utmd`, so that other programs of the same database keep clear.

/// Held while the schema is brought to this version.
pub const MIGRATE: i64 = 0x7574_6d64_0000_0001;

/// Held while partitions are made.
pub const PARTITIONS: i64 = 0x7574_6d64_0000_0002;

/// Held shared by every batch, exclusively by one that computes orders: whoever computes an order sees all facts
/// committed so far, and no fact it should have seen is under way.
pub const SETTLE: i64 = 0x7574_6d64_0000_0003;

/// Held while rollups are refreshed.
pub const ROLLUPS: i64 = 0x7574_6d64_0000_0004;

/// Held while retention counts and drops a month, and by whoever changes sessions of long ago other than by batches:
/// what was counted is what goes.
pub const RETENTION: i64 = 0x7574_6d64_0000_0005;

/// Held by who brings back records that were set aside.
pub const REPLAY: i64 = 0x7574_6d64_0000_0006;
