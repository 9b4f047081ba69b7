//! Every promise of the program, kept against real sockets and a real Postgres.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails in a test ends it")]

mod harness;
mod shipping;
mod sql;
