//! Who and what is left out of the statistics: rules by address, user agent, visitor, cookie, path and host.
//!
//! One predicate for what comes ([`Exclusions::find`], on the request path) and, in the office, for what is there already.
//! Each rule counts what it excluded.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};
use ipnet::{IpNet, Ipv4Net};
use uuid::Uuid;

use crate::path::normalise;

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An address or a network.
    Ip,
    /// A part of the user agent, in any case.
    UserAgent,
    /// A visitor's id.
    Visitor,
    /// A cookie, `name` or `name=value`.
    Cookie,
    /// A path, by segments, as routes read it: however it is escaped.
    Path,
    /// A host, or `*.` and what hosts are below.
    Host,
}

impl Kind {
    /// All of them, with their names in the API and the database.
    pub const NAMES: [(&str, Self); 6] = [
        ("ip", Self::Ip),
        ("user_agent", Self::UserAgent),
        ("visitor", Self::Visitor),
        ("cookie", Self::Cookie),
        ("path", Self::Path),
        ("host", Self::Host),
    ];

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// A rule: what is compared, made ready.
#[derive(Debug)]
pub struct Rule {
    kind: Kind,
    value: String,
    test: Test,
    /// How often it excluded something since the office last asked.
    hits: AtomicU64,
}

#[derive(Debug)]
enum Test {
    Network(IpNet),
    Part(String),
    Visitor(Uuid),
    Cookie { name: String, value: Option<String> },
    Path(Vec<String>),
    Host { host: String, below: bool },
}

impl Rule {
    /// Reads a rule.
    ///
    /// # Errors
    /// What is wrong with the value, in words.
    pub fn new(kind: Kind, value: &str) -> Result<Self, String> {
        let value = value.trim();
        if value.is_empty() || value.len() > 512 || value.chars().any(char::is_control) {
            return Err("a rule has 1 to 512 characters".to_owned());
        }
        let test = match kind {
            Kind::Ip => {
                let network = value.parse::<IpNet>().or_else(|_| value.parse::<IpAddr>().map(IpNet::from));
                let network =
                    network.map_err(|_| format!("`{value}` is neither an address nor a network"))?;
                Test::Network(canonical(network.trunc()))
            }
            Kind::UserAgent => Test::Part(value.to_lowercase()),
            Kind::Visitor => {
                Test::Visitor(Uuid::parse_str(value).map_err(|_| format!("`{value}` is no visitor's id"))?)
            }
            Kind::Cookie => {
                let (name, value) = value
                    .split_once('=')
                    .map_or((value, None), |(name, value)| (name, Some(value.to_owned())));
                if name.is_empty() || name.contains([' ', ';', ',']) {
                    return Err(format!("`{name}` is no name of a cookie"));
                }
                Test::Cookie { name: name.to_owned(), value }
            }
            Kind::Path => {
                if !value.starts_with('/') {
                    return Err(format!("`{value}` is no path: it begins with `/`"));
                }
                Test::Path(segments(&normalise(value)).map(str::to_owned).collect())
            }
            Kind::Host => {
                let lower = value.to_lowercase();
                let (host, below) =
                    lower.strip_prefix("*.").map_or((lower.as_str(), false), |host| (host, true));
                if host.is_empty() || host.contains(['*', '/', ':']) {
                    return Err(format!(
                        "`{value}` is no host such as `test.shop.example` or `*.shop.example`"
                    ));
                }
                Test::Host { host: host.to_owned(), below }
            }
        };
        Ok(Self { kind, value: value.to_owned(), test, hits: AtomicU64::new(0) })
    }

    /// What it is about.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its value, as given.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// How often it excluded something since this was last asked.
    pub fn take_hits(&self) -> u64 {
        self.hits.swap(0, Ordering::Relaxed)
    }

    /// Counts something that it excluded.
    pub fn count(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    /// The network of a rule by address.
    pub fn network(&self) -> Option<IpNet> {
        if let Test::Network(network) = self.test { Some(network) } else { None }
    }

    /// The visitor of a rule by visitor.
    pub fn visitor(&self) -> Option<Uuid> {
        if let Test::Visitor(id) = self.test { Some(id) } else { None }
    }

    /// Whether this is a rule by user agent, and excludes this one.
    pub fn matches_agent(&self, user_agent: &str) -> bool {
        matches!(&self.test, Test::Part(part) if contains_ignoring_case(user_agent.as_bytes(), part))
    }

    /// Whether this is a rule by path or host, and excludes this page.
    pub fn matches_page(&self, host: &str, path: &str) -> bool {
        match &self.test {
            Test::Path(pattern) => matches_path(pattern, &normalise(path)),
            Test::Host { host: of_rule, below } => is_host(host, of_rule, *below),
            _ => false,
        }
    }

    fn matches(&self, seen: &Seen<'_>) -> bool {
        match &self.test {
            Test::Network(network) => network.contains(&seen.address.to_canonical()),
            Test::Part(part) => contains_ignoring_case(seen.user_agent, part),
            Test::Visitor(_) => false,
            Test::Cookie { name, value } => seen.cookies.iter().any(|(known, held)| {
                *known == name.as_bytes() && value.as_ref().is_none_or(|value| *held == value.as_bytes())
            }),
            Test::Path(pattern) => {
                matches_path(pattern, seen.path) || matches_path(pattern, seen.path_without_locale)
            }
            Test::Host { host, below } => is_host(seen.host, host, *below),
        }
    }
}

/// What of a request rules look at.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The client's address.
    pub address: IpAddr,
    /// `User-Agent`.
    pub user_agent: &'a [u8],
    /// Host in lower case, without port.
    pub host: &'a str,
    /// Path, normalised where a rule looks at it.
    pub path: &'a str,
    /// The same without a language in front.
    pub path_without_locale: &'a str,
    /// The cookies that came with it, names and values.
    pub cookies: &'a [(&'a [u8], &'a [u8])],
}

/// All rules.
#[derive(Debug, Default)]
pub struct Exclusions {
    rules: Vec<Arc<Rule>>,
    needs_cookies: bool,
    needs_path: bool,
}

impl Exclusions {
    /// These.
    pub fn new(rules: Vec<Arc<Rule>>) -> Self {
        let needs = |kind| rules.iter().any(|rule| rule.kind == kind);
        Self { needs_cookies: needs(Kind::Cookie), needs_path: needs(Kind::Path), rules }
    }

    /// Whether nothing is excluded.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a rule looks at cookies.
    pub fn needs_cookies(&self) -> bool {
        self.needs_cookies
    }

    /// Whether a rule looks at the path.
    pub fn needs_path(&self) -> bool {
        self.needs_path
    }

    /// The first rule that excludes a request; not those by visitor.
    pub fn find(&self, seen: &Seen<'_>) -> Option<&Arc<Rule>> {
        self.rules.iter().find(|rule| rule.matches(seen))
    }

    /// The first rule that excludes a visitor.
    pub fn find_visitor(&self, visitor_id: Uuid) -> Option<&Arc<Rule>> {
        self.rules.iter().find(|rule| rule.visitor() == Some(visitor_id))
    }

    /// All of them.
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }
}

/// The rules as far as this process knows: the office looks them up, workers read. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct CurrentExclusions(Arc<ArcSwap<Exclusions>>);

impl CurrentExclusions {
    /// Those known now.
    pub fn now(&self) -> Guard<Arc<Exclusions>> {
        self.0.load()
    }

    /// What the office found.
    pub fn replace(&self, exclusions: Exclusions) {
        self.0.store(Arc::new(exclusions));
    }
}

/// Addresses are compared as what they are: an IPv4 address written as an IPv6 one (`::ffff:203.0.113.7`) is IPv4.
fn canonical(network: IpNet) -> IpNet {
    match (network.addr().to_canonical(), network.prefix_len().checked_sub(96)) {
        (IpAddr::V4(address), Some(prefix)) if matches!(network, IpNet::V6(_)) => {
            Ipv4Net::new(address, prefix).map_or(network, IpNet::V4)
        }
        _ => network,
    }
}

/// Whether a host is the rule's, or with `below` one below it.
fn is_host(host: &str, of_rule: &str, below: bool) -> bool {
    host.strip_suffix(of_rule)
        .is_some_and(|before| if below { before.ends_with('.') } else { before.is_empty() })
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

/// Whether a path is one that the pattern names, or below it: `/admin` is `/admin` and `/admin/x`, not `/administration`.
fn matches_path(pattern: &[String], path: &str) -> bool {
    let mut of_path = segments(path);
    pattern.iter().all(|glob| of_path.next().is_some_and(|segment| matches_segment(glob, segment)))
}

/// Whether a segment is what a glob names, in which `*` stands for any text.
fn matches_segment(glob: &str, segment: &str) -> bool {
    let Some((first, rest)) = glob.split_once('*') else { return glob == segment };
    let Some(mut left) = segment.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').map_or(("", rest), |(middle, last)| (middle, last));
    let Some(without_last) = left.strip_suffix(last) else { return false };
    left = without_last;
    middle.split('*').all(|part| match left.find(part) {
        Some(at) => {
            left = &left[at + part.len()..];
            true
        }
        None => false,
    })
}

/// `part` is in lower case.
fn contains_ignoring_case(text: &[u8], part: &str) -> bool {
    if part.is_ascii() {
        return text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part.as_bytes()));
    }
    String::from_utf8_lossy(text).to_lowercase().contains(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(kind: Kind, value: &str) -> Rule {
        Rule::new(kind, value).unwrap()
    }

    const SEEN: Seen<'static> = Seen {
        address: IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7)),
        user_agent: b"Mozilla/5.0 Acme-Kiosk/2",
        host: "test.shop.ua",
        path: "/uk/admin/x",
        path_without_locale: "/admin/x",
        cookies: &[(b"staff", b"1"), (b"a", b"b")],
    };

    #[test]
    fn each_kind_of_rule_excludes_what_it_names() {
        for (kind, value) in [
            (Kind::Ip, "203.0.113.7"),
            (Kind::Ip, "203.0.113.0/24"),
            (Kind::Ip, "::ffff:203.0.113.7"),
            (Kind::Ip, "::ffff:203.0.113.0/120"),
            (Kind::UserAgent, "acme-KIOSK"),
            (Kind::Cookie, "staff"),
            (Kind::Cookie, "staff=1"),
            (Kind::Path, "/admin"),
            (Kind::Path, "/uk/*/x"),
            (Kind::Path, "/%61dmin"),
            (Kind::Path, "/x/..//admin"),
            (Kind::Host, "test.shop.ua"),
            (Kind::Host, "*.shop.ua"),
        ] {
            assert!(rule(kind, value).matches(&SEEN), "{value}");
        }
        for (kind, value) in [
            (Kind::Ip, "203.0.113.8"),
            (Kind::Ip, "2001:db8::/32"),
            (Kind::Ip, "::ffff:203.0.113.8"),
            (Kind::UserAgent, "kiosk/3"),
            (Kind::Cookie, "staff=2"),
            (Kind::Cookie, "staf"),
            (Kind::Path, "/adm"),
            (Kind::Path, "/admin/x/y"),
            (Kind::Host, "shop.ua"),
            (Kind::Host, "*.test.shop.ua"),
        ] {
            assert!(!rule(kind, value).matches(&SEEN), "{value}");
        }
    }

    #[test]
    fn paths_are_compared_by_segment() {
        let matches = |pattern: &str, path: &str| {
            matches_path(&segments(pattern).map(str::to_owned).collect::<Vec<_>>(), path)
        };
        for (pattern, path) in [
            ("/admin", "/admin"),
            ("/admin", "/admin/"),
            ("/admin/", "/admin/x/y"),
            ("/a*n", "/admin/x"),
            ("/*/edit", "/post/edit"),
            ("/x*y*z", "/x1y2z"),
            ("/", "/anything"),
            ("/feed*", "/feed.xml"),
            ("/*", "/x"),
        ] {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("/admin", "/administration"),
            ("/admin", "/adm"),
            ("/a*n", "/admix"),
            ("/x*y*z", "/xz"),
            ("/ab*ba", "/aba"),
            ("/*", "/"),
            ("/p/*/edit", "/p/edit"),
        ] {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn wrong_rules_are_refused_in_words() {
        for (kind, value) in [
            (Kind::Ip, "203.0.113"),
            (Kind::Ip, "203.0.113.0/40"),
            (Kind::Visitor, "x"),
            (Kind::Cookie, "a b"),
            (Kind::Path, "admin"),
            (Kind::Host, "a*b"),
            (Kind::UserAgent, " "),
        ] {
            assert!(!Rule::new(kind, value).unwrap_err().is_empty(), "{value}");
        }
    }

    #[test]
    fn a_visitor_is_found_by_id_and_rules_count() {
        let id = Uuid::from_u128(7);
        let exclusions = Exclusions::new(vec![Arc::new(rule(Kind::Visitor, &id.to_string()))]);
        assert!(exclusions.find(&SEEN).is_none() && exclusions.find_visitor(Uuid::nil()).is_none());
        exclusions.find_visitor(id).unwrap().count();
        assert_eq!((exclusions.rules()[0].take_hits(), exclusions.rules()[0].take_hits()), (1, 0));
    }

    proptest::proptest! {
        #[test]
        fn a_glob_without_stars_is_the_text_itself(text in "[^/*]{1,20}", other in "[^/*]{1,20}") {
            proptest::prop_assert!(matches_segment(&text, &text));
            proptest::prop_assert_eq!(matches_segment(&text, &other), text == other);
            let (prefix, suffix) = (format!("{text}*"), format!("*{text}"));
            proptest::prop_assert!(matches_segment(&prefix, &(text.clone() + &other)));
            proptest::prop_assert!(matches_segment(&suffix, &(other + &text)));
        }
    }
}
