//! The way to the shop and back: what a request must look like, upstream connections, header fields, bodies.
//!
//! [`head::check`] refuses what must not be forwarded, [`fields`] and [`forwarded`] turn a client's head into ours and
//! a shop's head into the client's, [`Upstreams::send`] finds a connection and streams the bodies, [`Refusal`] is
//! every reason for an answer of our own. [`Fleet`] is what all workers know of the servers, and what the office does
//! for them; [`Upstreams`] is what one worker has of them.

mod balance;
mod body;
mod budget;
mod client_address;
mod connection;
mod dial;
pub mod fields;
mod fleet;
pub mod forwarded;
pub mod head;
pub mod http2;
pub mod https;
mod maintenance;
mod names;
pub mod pages;
mod passage;
mod probe;
mod refusal;
mod request_id;
mod rfc7239;
mod server;
mod socket;
mod spelling;
mod standing;
mod sticky;
mod tls;
mod tunnel;
mod upstream;
mod upstreams;

pub use body::{BodyError, Received, RequestBody, ResponseBody};
pub use client_address::client_address;
pub use fleet::Fleet;
pub use forwarded::{Client, Peer};
pub use head::Authority;
pub use maintenance::Maintenance;
pub use pages::{Asker, Pages};
pub use passage::{Passage, Sending};
pub use refusal::Refusal;
pub use request_id::RequestIds;
pub use socket::Socket;
pub use spelling::{Names, Spelling};
pub use tunnel::{Passed, Tunnel, Upgrade};
pub use upstreams::Upstreams;
