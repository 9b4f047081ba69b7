//! The way to the shop and back: what a request must look like, upstream connections, header fields, bodies.
//!
//! [`head::check`] refuses what must not be forwarded, [`fields`] and [`forwarded`] turn a client's head into ours and
//! a shop's head into the client's, [`Upstreams::send`] finds a connection and streams the bodies, [`Refusal`] is
//! every reason for an answer of our own.

mod body;
mod client_address;
mod connection;
pub mod fields;
pub mod forwarded;
pub mod head;
mod refusal;
mod server;
mod standing;
mod upstreams;

pub use body::{BodyError, Received, RequestBody, ResponseBody};
pub use client_address::client_address;
pub use forwarded::{Client, Peer};
pub use head::Authority;
pub use refusal::{Refusal, text};
pub use standing::Standing;
pub use upstreams::{Passage, Upstreams};
