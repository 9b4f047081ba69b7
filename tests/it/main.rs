//! Every promise of the program, kept against real sockets and a real Postgres.

mod harness;
mod shipping;
mod sql;
