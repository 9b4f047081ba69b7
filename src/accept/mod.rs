//! Taking connections: one listening socket a worker, one task a connection, nothing shared but counters.
//!
//! [`bind`] takes the addresses, [`start`] puts a thread behind each set of sockets. What answers a request is given
//! as a function, so that this stage knows nothing of those that follow.

mod bind;
mod connection;
mod gate;
mod handed;
mod http2;
mod proxy_header;
mod seats;
mod send_timer;
mod serve;
mod stream;
mod tls;
mod worker;

pub use bind::{BindError, Bound, bind, take_or_bind};
pub use connection::{Answer, Connection};
pub use gate::{Gate, Mode, Refused, RequestLine};
pub use handed::{Handed, HandedError};
pub use proxy_header::{Malformed, Parsed, parse as parse_proxy_header};
pub use tls::{Certificates, TlsError};
pub use worker::{Ended, Workers, start};
