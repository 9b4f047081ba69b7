//! What the program promises, tried from outside: one file an area.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod harness;

mod forwarding;
mod framing;
mod shutdown;
