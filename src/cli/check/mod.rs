//! `check`: reads the configuration as `run` would and prints what is in force; with a log of the shop's, what would
//! become of its requests.

mod access_log;
mod logged;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::certificates::{Certificate, Ending};
use crate::config::{self, Config};
use crate::route::Router;

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Say which requests of this access log (combined, common or JSON; also .gz; `-` for standard input) the proxy
    /// would refuse or change
    #[arg(long, value_name = "FILE")]
    access_log: Option<PathBuf>,
}

/// Says on standard error which certificates have expired or soon will.
fn warn_of_certificates(config: &Config) {
    for tls in &config.proxy.tls {
        // Whether it can be used has been seen to.
        let Ok(certificate) = Certificate::load(&tls.certificate, &tls.key) else { continue };
        let file = tls.certificate.display();
        match certificate.ending(SystemTime::now()) {
            Some(Ending::Past) => {
                eprintln!("warning: the certificate in {file} has expired; browsers refuse it")
            }
            Some(Ending::In(left)) => {
                eprintln!("warning: the certificate in {file} expires in {} hours", left.as_secs() / 3600);
            }
            None => {}
        }
    }
}

/// Says on standard error which upstreams that one site leads to have the same sticky cookie.
fn warn_of_sticky_cookies(config: &Config) {
    let routes = Router::new(config);
    let mut told = BTreeSet::new();
    for (number, route) in routes.reachable().enumerate() {
        for other in routes.reachable().take(number) {
            let both = [other.upstream.min(route.upstream), other.upstream.max(route.upstream)];
            let [Some(one), Some(two)] = both.map(|upstream| config.upstreams.get(upstream)) else {
                continue;
            };
            let is_same = one.sticky_cookie.is_some() && one.sticky_cookie == two.sticky_cookie;
            if both[0] != both[1] && other.site == route.site && is_same && told.insert(both) {
                let (one, two, cookie) =
                    (&one.name, &two.name, two.sticky_cookie.as_deref().unwrap_or_default());
                eprintln!(
                    "warning: upstreams {one} and {two} of site {} have the same sticky_cookie, {cookie}; each \
                     undoes what the other chose",
                    route.site
                );
            }
        }
    }
}

/// Prints the resolved configuration, or what it means for a log; the errors are the caller's to show.
pub(super) fn run(path: &Path, args: &Args) -> anyhow::Result<()> {
    let config = config::load(path)?;
    if let Some(log) = &args.access_log {
        return access_log::run(&config, log);
    }
    warn_of_certificates(&config);
    warn_of_sticky_cookies(&config);
    let mut out = std::io::stdout().lock();
    writeln!(out, "# {} is fine. In force is:\n\n{config}", path.display())?;
    Ok(())
}
