//! What the program promises, tried from outside: real sockets, a real Postgres, real time. One file an area.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]
#![allow(unreachable_pub, reason = "a binary has no public side; pub here says what other files may use")]

mod harness;

mod access_log;
mod actions;
mod answers;
mod architecture;
mod behind_nginx;
mod bodies;
mod churn;
mod config;
mod conformance;
mod demo;
mod discretion;
mod faults;
mod forgetting;
mod forwarding;
mod framing;
mod guide;
mod http2;
mod importing;
mod inspecting;
mod journeys;
mod managed;
mod migrating;
mod outages;
mod pooler;
mod proxy_header;
mod reloading;
mod replacing;
mod replica;
mod roles;
mod rollups;
mod salts;
mod service;
mod shipping;
mod shutdown;
mod slow_clients;
mod spend;
mod spine;
mod sql;
mod stats;
mod tls;
mod told;
mod tunnels;
mod upstreams;
mod visibility;
