//! The stats port: right numbers, plain refusals, nothing lost of what the shop tells.

mod access;
mod health;
mod ingest;
mod metrics;
mod reports;
mod seed;
mod server;
mod sessions;
