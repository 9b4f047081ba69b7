//! Brings journals to Postgres: each record exactly once, in any order, from any number of proxies.
//!
//! [`Batch`] → [`rows::Rows`], folded and enriched in memory → one transaction: checkpoints, dictionary rows, facts,
//! orders. The checkpoints move by compare-and-set in that transaction, so a batch is in the database wholly and
//! once, or not at all. After an error the truth is what [`Shipper::checkpoints`] says: a commit whose answer was
//! lost may have happened.

mod agents;
pub mod batch;
mod columns;
mod customers;
pub mod dictionary;
pub mod enrich;
mod events;
pub mod export;
pub mod feed;
mod forget;
mod forgotten;
mod growth;
mod identifications;
mod known;
pub mod labels;
mod recent;
mod replay;
pub mod rows;
mod settle;
mod shipper;
mod spend;
mod told;
mod write;

pub use batch::{Batch, Located, Stretch};
pub use replay::{ReplayError, Replayed, replay};
pub use shipper::{Folding, ShipError, ShipSettings, Shipped, Shipper, checkpoints};
