//! What the program promises, tried from outside: one file an area.

mod harness;

mod forwarding;
mod framing;
mod shutdown;
