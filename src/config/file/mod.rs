//! The TOML's shape → the resolved [`Config`]: every key, its default and what may stand there.
//!
//! Every key is read in each run, whatever else is wrong, so that one pass reports everything.

mod action;
mod office;
mod seen;
mod shop;
mod tracking;

use std::collections::BTreeSet;
use std::path::Path;

use toml::de::DeTable;

use super::error::Problem;
use super::reader::{Environment, Source};
use super::{Config, Exclude};

/// What a text holds: the configuration if nothing is wrong, the problems, and the paths of all keys that exist in
/// the tables it has.
pub(super) struct Outcome {
    pub(super) config: Option<Config>,
    pub(super) problems: Vec<Problem>,
    #[cfg_attr(not(test), allow(dead_code, reason = "the tests compare it with the documented keys"))]
    pub(super) keys: BTreeSet<String>,
}

/// Reads `text`; relative paths in it start from `base`.
pub(super) fn read(text: &str, base: &Path, env: Environment<'_>) -> Outcome {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let problem = |error: &toml::de::Error| Problem {
            message: error.message().trim().to_owned(),
            span: error.span(),
            help: None,
        };
        // What follows from a text that is not TOML would be guesses.
        return Outcome {
            config: None,
            problems: errors.iter().map(problem).collect(),
            keys: BTreeSet::new(),
        };
    }
    let source = Source::new(text, base, env);
    let config = resolve(&source, document.get_ref());
    source.refuse_unknown(document.get_ref());
    let (problems, keys) = source.finish();
    Outcome { config: config.filter(|_| problems.is_empty()), problems, keys }
}

fn resolve<'a>(source: &'a Source<'a>, document: &'a DeTable<'a>) -> Option<Config> {
    let root = source.root(document);
    let journal = office::journal(&root.table("journal"));
    let tracking_table = root.table("tracking");
    let presets = tracking_table.or("presets", action::Added::default(), action::presets);
    let tracking = tracking::tracking(&tracking_table, journal.as_ref(), &presets);
    let actions = action::rules(&root, presets);
    let points = action::points(&root.table("points"));
    let proxy = shop::proxy(&root.table("proxy"), tracking.privacy.store_ip);
    let listen =
        proxy.as_ref().map(|proxy| [&proxy.listen[..], &proxy.tls_listen].concat()).unwrap_or_default();
    let cookies = [tracking.identity.cookie.as_str(), Exclude::COOKIE];
    let upstreams = shop::upstreams(&root, &listen, &cookies);
    let timeouts = proxy.as_ref().map(|proxy| proxy.timeouts.into()).unwrap_or_default();
    let routes = shop::routes(&root, &upstreams, &tracking.strip, timeouts);
    let orders = office::orders(&root.table("orders"), journal.as_ref());
    let geo_database = root.table("geo").optional("database", |value| value.path());
    let database = office::database(&root.table("database"));
    let stats = office::stats(&root.table("stats"), &listen);
    let log = office::log(&root.table("log"));
    Some(Config {
        proxy: proxy?,
        upstreams: upstreams.into_iter().collect::<Option<_>>()?,
        routes: routes?,
        tracking,
        actions: actions?,
        points,
        orders,
        geo_database,
        database: database?,
        journal: journal?,
        stats: stats?,
        log,
    })
}
