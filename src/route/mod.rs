//! Which upstream and site a request is for: the longest match of host and path prefix.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::capture::query::NamePatterns;
use crate::config::{Config, UpstreamTimeouts};
use crate::path;

/// What the configuration says about one kind of request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its place among [`Router::labels`].
    pub number: usize,
    /// Index of its upstream.
    pub upstream: usize,
    /// The shop's name in the statistics.
    pub site: Arc<str>,
    /// Whether requests are recorded, stripped and given cookies.
    pub tracking: bool,
    /// Query parameters that are taken off.
    pub strip: NamePatterns,
    /// Whether the upstream's `X-Utm-Event` is recorded.
    pub trust_events: bool,
    /// How long the upstream may take.
    pub timeouts: UpstreamTimeouts,
}

/// All routes, most specific first.
#[derive(Debug)]
pub struct Router {
    rules: Vec<Rule>,
    fallback: Route,
    looks_at_path: bool,
}

/// Number, among [`Router::labels`], of a request that was answered before a route was looked for.
pub const NO_ROUTE: usize = 0;

#[derive(Debug)]
struct Rule {
    host: HostRule,
    path: String,
    route: Route,
}

#[derive(Debug)]
enum HostRule {
    Any,
    /// `.suffix`
    Suffix(String),
    Exact(String),
}

impl Router {
    /// Routes as configured; what none matches goes to the first upstream as site "default".
    pub fn new(config: &Config) -> Self {
        let fallback = Route {
            number: 0,
            upstream: 0,
            site: "default".into(),
            tracking: true,
            strip: patterns(&config.tracking.strip),
            trust_events: config.upstreams.first().is_some_and(|upstream| upstream.trust_events),
            timeouts: config.proxy.timeouts.into(),
        };
        let rules = config.routes.iter().map(|route| {
            Rule::new(
                route,
                config.upstreams.get(route.upstream).is_some_and(|upstream| upstream.trust_events),
            )
        });
        Self::sorted(rules.collect(), fallback)
    }

    fn sorted(mut rules: Vec<Rule>, mut fallback: Route) -> Self {
        rules.sort_by_key(|rule| std::cmp::Reverse((rule.host.weight(), rule.path.len())));
        let routes = rules.iter_mut().map(|rule| &mut rule.route).chain([&mut fallback]);
        routes.zip(NO_ROUTE + 1..).for_each(|(route, number)| route.number = number);
        let looks_at_path = rules.iter().any(|rule| rule.path != "/");
        Router { rules, fallback, looks_at_path }
    }

    /// All routes, in the order of their numbers from 1.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.rules.iter().map(|rule| &rule.route).chain([&self.fallback])
    }

    /// Those that a request can come to: what no route is for is nothing where one is for all.
    pub fn reachable(&self) -> impl Iterator<Item = &Route> {
        let is_for_all = |rule: &Rule| matches!(rule.host, HostRule::Any) && rule.path == "/";
        let left = !self.rules.iter().any(is_for_all);
        self.rules.iter().map(|rule| &rule.route).chain(left.then_some(&self.fallback))
    }

    /// What logs and metrics call the routes, by [`Route::number`]: host and path as configured, `*` for any host;
    /// `default` where none matches, `none` where none was looked for.
    pub fn labels(&self) -> Vec<String> {
        let rules = self.rules.iter().map(|rule| format!("{}{}", rule.host, rule.path));
        ["none".to_owned()].into_iter().chain(rules).chain(["default".to_owned()]).collect()
    }

    /// The route of a request. `host` is lower case, without port and trailing dot; `path` as it was sent.
    pub fn find(&self, host: &str, path: &str) -> &Route {
        if self.rules.is_empty() {
            return &self.fallback;
        }
        // `OPTIONS *` is about the host as a whole.
        let looks_at_path = self.looks_at_path && path.starts_with('/');
        let path = if looks_at_path { path::normalise(path) } else { Cow::Borrowed("/") };
        let found =
            self.rules.iter().find(|rule| rule.host.matches(host) && path::is_below(&path, &rule.path));
        found.map_or(&self.fallback, |rule| &rule.route)
    }
}

impl Router {
    /// Whether this proxy stands before a host, as far as routes tell: one that a route names, any where none names one.
    pub fn serves(&self, host: &str) -> bool {
        let names_hosts = self.rules.iter().any(|rule| !matches!(rule.host, HostRule::Any));
        !names_hosts
            || self.rules.iter().any(|rule| !matches!(rule.host, HostRule::Any) && rule.host.matches(host))
    }
}

impl Rule {
    fn new(route: &crate::config::Route, trust_events: bool) -> Self {
        let host = match route.host.as_deref() {
            None => HostRule::Any,
            Some(host) => match host.strip_prefix('*') {
                Some(suffix) => HostRule::Suffix(suffix.to_owned()),
                None => HostRule::Exact(host.to_owned()),
            },
        };
        Rule {
            host,
            path: path::normalise(&route.path).into_owned(),
            route: Route {
                number: 0,
                upstream: route.upstream,
                site: route.site.as_str().into(),
                tracking: route.tracking,
                strip: patterns(&route.strip),
                trust_events,
                timeouts: route.timeouts,
            },
        }
    }
}

fn patterns(names: &[String]) -> NamePatterns {
    NamePatterns::new(names.iter().map(String::as_str))
}

impl fmt::Display for HostRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostRule::Any => f.write_str("*"),
            HostRule::Suffix(suffix) => write!(f, "*{suffix}"),
            HostRule::Exact(host) => f.write_str(host),
        }
    }
}

impl HostRule {
    /// Exact before wildcard, longer wildcards before shorter, any host last.
    fn weight(&self) -> (u8, usize) {
        match self {
            HostRule::Any => (0, 0),
            HostRule::Suffix(suffix) => (1, suffix.len()),
            HostRule::Exact(_) => (2, 0),
        }
    }

    fn matches(&self, host: &str) -> bool {
        match self {
            HostRule::Any => true,
            HostRule::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
            HostRule::Exact(exact) => host == exact,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn router(rules: &[(Option<&str>, &str, usize)]) -> Router {
        let rules = rules.iter().map(|(host, path, upstream)| {
            Rule::new(
                &crate::config::Route {
                    host: host.map(str::to_owned),
                    path: (*path).to_owned(),
                    upstream: *upstream,
                    site: "s".to_owned(),
                    tracking: true,
                    strip: Vec::new(),
                    timeouts: UpstreamTimeouts::default(),
                },
                false,
            )
        });
        let fallback = Route {
            number: 0,
            upstream: 0,
            site: "default".into(),
            tracking: true,
            strip: NamePatterns::default(),
            trust_events: false,
            timeouts: UpstreamTimeouts::default(),
        };
        Router::sorted(rules.collect(), fallback)
    }

    #[test]
    fn the_longest_match_wins() {
        let router = router(&[
            (None, "/", 1),
            (None, "/api", 2),
            (Some("*.shop.ua"), "/", 3),
            (Some("*.m.shop.ua"), "/", 4),
            (Some("www.shop.ua"), "/", 5),
            (Some("www.shop.ua"), "/api", 6),
        ]);
        for (host, path, upstream) in [
            ("other", "/", 1),
            ("other", "/api/x", 2),
            ("a.shop.ua", "/api", 3),
            ("a.m.shop.ua", "/", 4),
            ("shop.ua", "/", 1),
            ("www.shop.ua", "/apis", 5),
            ("www.shop.ua", "/x/..//api/1", 6),
        ] {
            assert_eq!(router.find(host, path).upstream, upstream, "{host}{path}");
        }
    }

    #[test]
    fn what_nothing_matches_goes_to_the_first_upstream() {
        let router = router(&[(Some("a"), "/", 7)]);
        assert_eq!(&*router.find("b", "/").site, "default");
    }

    #[test]
    fn routes_are_called_as_they_are_written() {
        let router = router(&[(None, "/api", 1), (Some("*.shop.ua"), "/", 2), (Some("shop.ua"), "/", 3)]);
        assert_eq!(router.labels(), ["none", "shop.ua/", "*.shop.ua/", "*/api", "default"]);
        for (host, path, label) in
            [("shop.ua", "/", "shop.ua/"), ("x", "/api/1", "*/api"), ("x", "/", "default")]
        {
            assert_eq!(router.labels()[router.find(host, path).number], label);
        }
    }

    #[test]
    fn a_route_is_found_however_it_is_written_and_asked_for() {
        let router =
            router(&[(None, "/x/../%61dmin//a", 1), (Some("shop.ua"), "/", 2), (None, "/\u{43c}", 3)]);
        for (host, path, upstream) in [
            ("x", "/admin/a/b", 1),
            ("x", "//admin/./a", 1),
            ("x", "/%2e%2e/admin%2Fa", 1),
            ("x", "/admin/b", 0),
            ("shop.ua", "*", 2),
            ("x", "/%D0%BC/1", 3),
            ("x", "/\u{43c}", 3),
        ] {
            assert_eq!(router.find(host, path).upstream, upstream, "{host}{path}");
        }
    }

    /// What the documentation says, said again: of all that match, the most specific host, then the longest path.
    fn best(rules: &[(Option<String>, String)], host: &str, path: &str) -> Option<usize> {
        let matches = |(of_host, of_path): &(Option<String>, String)| {
            let host_matches = match of_host.as_deref() {
                None => true,
                Some(of_host) => match of_host.strip_prefix('*') {
                    Some(suffix) => host.ends_with(suffix),
                    None => host == of_host,
                },
            };
            let folder = format!("{}/", of_path.trim_end_matches('/'));
            host_matches && (of_path == path || format!("{path}/").starts_with(&folder))
        };
        let found = rules.iter().enumerate().filter(|(_, rule)| matches(rule));
        let rank = |(of_host, of_path): &(Option<String>, String)| {
            let host = of_host.as_deref().map(|host| (!host.starts_with('*'), host.len()));
            (host, of_path.len())
        };
        found.max_by_key(|(_, rule)| rank(rule)).map(|(at, _)| at)
    }

    proptest! {
        #[test]
        fn the_most_specific_route_is_found(
            rules in proptest::collection::btree_set(
                (proptest::option::of("(\\*\\.)?([ab]\\.){0,2}c"), "/([xy]/){0,2}[xy]"), 0..8),
            host in "([ab]\\.){0,3}c",
            path in "/([xyz]/){0,3}[xyz]",
        ) {
            let rules: Vec<(Option<String>, String)> = rules.into_iter().collect();
            let made: Vec<(Option<&str>, &str, usize)> = rules.iter().enumerate()
                .map(|(at, (host, path))| (host.as_deref(), path.as_str(), at + 1)).collect();
            let found = router(&made).find(&host, &path).upstream;
            prop_assert_eq!(found.checked_sub(1), best(&rules, &host, &path));
        }

        #[test]
        fn no_spelling_of_a_path_gets_round_a_rule(
            segments in proptest::collection::vec("[a-z]{1,6}", 1..4),
            spellings in proptest::collection::vec(0..6_u8, 4),
            is_escaped in any::<u32>(),
        ) {
            let router = router(&[(None, "/", 1), (None, &format!("/{}", segments.join("/")), 2)]);
            let mut spelt = String::new();
            for (segment, spelling) in segments.iter().zip(spellings) {
                spelt.push_str(["/", "//", "/./", "/zz/../", "/zz/%2e%2E/", "/zz/..;q/"][usize::from(spelling)]);
                for (at, byte) in segment.bytes().enumerate() {
                    if is_escaped >> at & 1 == 1 {
                        spelt.push_str(&format!("%{byte:02X}"));
                    } else {
                        spelt.push(char::from(byte));
                    }
                }
            }
            prop_assert_eq!(router.find("x", &spelt).upstream, 2, "{}", spelt);
        }
    }
}
