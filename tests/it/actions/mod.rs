//! Action rules: the proxy sees what visitors do, and the shop and its visitors see nothing of it.

mod ledger;
mod oscar;
mod passing;
mod trying;
mod twocomms;
mod values;

use std::net::SocketAddr;

use utm_dispatcher::config::{self, Config};

use crate::harness;

/// The documented defaults with these tables before `upstream`.
fn with_rules(upstream: SocketAddr, tables: &str) -> Config {
    let mut config = harness::config(&[upstream]);
    add_rules(&mut config, tables);
    config
}

/// Takes over what these tables say of actions.
fn add_rules(config: &mut Config, tables: &str) {
    let text = format!(
        "[proxy]\nlisten = [\"127.0.0.1:1\"]\n[[upstream]]\nname = \"shop\"\nservers = [\"http://127.0.0.1:2\"]\n[database]\n\
         url = \"postgres://127.0.0.1:3/none\"\n[journal]\ndir = \"/tmp\"\n[stats]\nlisten = \"127.0.0.1:4\"\n{tables}"
    );
    let read = config::parse(&text, "rules.toml", &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
    config.actions = read.actions;
    config.tracking.locale_prefixes = read.tracking.locale_prefixes;
    config.tracking.exclude = read.tracking.exclude;
    config.tracking.action_body_bytes = read.tracking.action_body_bytes;
}
