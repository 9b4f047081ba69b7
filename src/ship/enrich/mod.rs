//! What can be looked up about a hit after the fact: device, place, where the visitor came from.
//!
//! Everything here is a function of the hit and of tables; nothing asks the network.

pub mod acquisition;
pub mod address;
pub mod agent;
pub mod channel;
pub mod place;
pub mod sources;

pub use acquisition::Acquired;
pub use agent::Agent;
