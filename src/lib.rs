//! A tracking reverse proxy that stands in front of an online shop.
//!
//! Modules in the order in which data flows:
//!
//! 1. [`accept`] takes connections, [`route`] says which upstream and site a request is for,
//! 2. [`capture`] reads who came and from where (pure: no clock, no I/O),
//! 3. [`forward`] sends the request to the shop and streams the answer back,
//! 4. [`journal`] keeps what was seen, before the response goes out,
//! 5. [`ship`] brings it to Postgres, exactly once; [`store`] is what is there,
//! 6. [`stats`] answers questions about it on a second port, [`dashboard`] shows the answers to people.
//!
//! [`proxy`] tells the story of one request; read it first. [`app`] builds the program and ends it. Stages share one
//! plain record, the [`hit::Hit`]; imports point one way, in the order that `tests/it/architecture.rs` holds.

pub mod action;
pub mod certificates;
pub mod clock;
pub mod config;
pub mod customer;
pub mod erasure;
pub mod exclusion;
pub mod files;
pub mod hit;
pub mod ingest;
pub mod keys;
pub mod path;
pub mod salts;
pub mod telemetry;
pub mod terms;

pub mod accept;
pub mod assets;
pub mod bodies;
pub mod capture;
pub mod dashboard;
pub mod forward;
pub mod journal;
pub mod route;
pub mod ship;
pub mod stats;
pub mod store;

pub mod app;
pub mod exchange;
pub mod inspect;
pub mod proxy;
pub mod record;
pub mod reload;

pub mod cli;
pub mod demo;
pub mod managed;
