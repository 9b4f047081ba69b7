//! Promises of the program, each kept by a test from the outside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failure in a test's own steps is the test's failure"
)]

mod config;
