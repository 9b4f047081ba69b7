//! What the program promises, tried from outside.

mod harness;

mod config;
mod managed;
