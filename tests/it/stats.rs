//! The stats port: right numbers, plain refusals, nothing lost of what the shop tells.

mod access;
mod agreement;
mod credits;
mod exports;
mod health;
mod ingest;
mod metrics;
mod openapi;
mod pages;
mod people;
mod questions;
mod rates;
mod reports;
mod revalidation;
pub mod seed;
mod series;
pub mod server;
mod sessions;
mod views;
