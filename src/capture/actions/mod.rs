//! Action rules at work: which of them a request is for, and what they make of it and its answer.
//!
//! Rules: a request that none is for costs one walk along its path; of several rules of one type the first that fires
//! counts; a rule that lacks its order's id, or a condition, does not fire. Everything else may be absent.

mod form;
mod json;
mod money;
mod tree;
mod values;

use http::{HeaderMap, Method, StatusCode, Uri};

use crate::action::{HtmlPart, Source, Where};
use crate::config::{ActionRule, Tracking};
use crate::hit::{Action, CustomerKeyKind, Way};
pub use form::field as form_field;
pub use money::amount_in;
use tree::Tree;
pub use values::{Answered, Bodies, BodyText, PartOf, Read};

use super::rules::without_locale;
use super::{event, mask};

/// The rule type that makes a request a page view.
pub const PAGE_VIEW: &str = "page_view";

/// All action rules, ready for the request path.
#[derive(Debug, Clone, Default)]
pub struct ActionRules {
    tree: Tree,
    rules: Vec<ActionRule>,
    /// Of each rule: whether it sees orders on a page only, where another sees carts or checkouts.
    weak: Vec<bool>,
    locales: Vec<String>,
    body_bytes: usize,
}

/// A request's head, as rules look at it.
#[derive(Debug, Clone, Copy)]
struct Head<'a> {
    site: &'a str,
    method: &'a Method,
    uri: &'a Uri,
    /// The path without a locale.
    path: &'a str,
    headers: &'a HeaderMap,
}

/// A request that rules are for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Numbers of the rules, ascending.
    rules: Vec<usize>,
    site: String,
    method: Method,
    uri: Uri,
    path: String,
    headers: HeaderMap,
}

/// Why a rule does not fire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Miss {
    /// The request is for another site, or has another method.
    NotFor,
    /// The response has another status.
    Status(u16),
    /// It leads elsewhere.
    Location(String),
    /// This must hold, and does not.
    Condition(String),
    /// There is no order's id.
    NoOrder,
    /// Neither is there a reference by which a payment names its order.
    NoReference,
    /// A rule of the same type before it fired.
    Another,
}

impl std::fmt::Display for Miss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Miss::NotFor => f.write_str("it is for another method or site"),
            Miss::Status(status) => write!(f, "the status {status} is not one of its own"),
            Miss::Location(location) => write!(f, "Location leads elsewhere: {location}"),
            Miss::Condition(condition) => write!(f, "when = \"{condition}\" does not hold"),
            Miss::NoOrder => f.write_str("there is no value for order_id"),
            Miss::NoReference => f.write_str("there is no value for reference"),
            Miss::Another => f.write_str("a rule of the same type before it fired"),
        }
    }
}

/// Hashes an identifier of a customer.
pub type Hash<'h> = &'h dyn Fn(CustomerKeyKind, &str, &str) -> Option<[u8; 16]>;

/// What a rule makes of an exchange.
pub type Outcome = Result<Action<'static>, Miss>;

impl ActionRules {
    /// Compiles the rules.
    pub fn new(rules: &[ActionRule], tracking: &Tracking) -> Self {
        let mut tree = Tree::default();
        for (number, rule) in rules.iter().enumerate() {
            rule.paths.iter().for_each(|path| tree.add(path, number));
        }
        Self {
            tree,
            weak: rules.iter().map(|rule| is_weak(rule, rules)).collect(),
            rules: rules.to_vec(),
            locales: tracking.locale_prefixes.clone(),
            body_bytes: tracking.action_body_bytes,
        }
    }

    /// The rule of a number.
    pub fn get(&self, number: usize) -> Option<&ActionRule> {
        self.rules.get(number)
    }

    /// Which rules a request is for, by all that its head says; none for most requests.
    pub fn find(&self, site: &str, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Box<Asked>> {
        if self.rules.is_empty() {
            return None;
        }
        let head = self.head(site, method, uri, headers);
        let numbers = self.on_path(head, |rule| is_for(rule, site, method) && may_fire(rule, head));
        (!numbers.is_empty()).then(|| Box::new(head.asked(numbers)))
    }

    /// The request with all rules on its path, also those that it is not for: to tell why they do not fire.
    pub fn try_out(&self, site: &str, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Asked> {
        let head = self.head(site, method, uri, headers);
        let numbers = self.on_path(head, |_| true);
        (!numbers.is_empty()).then(|| head.asked(numbers))
    }

    /// Numbers of rules on a path, ascending; a list without room where there is none.
    fn on_path(&self, head: Head<'_>, is_meant: impl Fn(&ActionRule) -> bool) -> Vec<usize> {
        let mut found = Vec::new();
        self.tree.find(head.path, &mut |number| {
            if self.rules.get(number).is_some_and(&is_meant) {
                found.push(number);
            }
        });
        found.sort_unstable();
        found.dedup();
        found
    }

    fn head<'a>(&self, site: &'a str, method: &'a Method, uri: &'a Uri, headers: &'a HeaderMap) -> Head<'a> {
        Head { site, method, uri, path: without_locale(&self.locales, uri.path()), headers }
    }

    /// Whether a copy of the request's body is needed.
    pub fn reads_request(&self, asked: &Asked) -> bool {
        self.sources(asked).any(|source| source.place() == Where::RequestBody)
    }

    /// Whether the request comes from a server, whose own visit does not count.
    pub fn is_webhook(&self, asked: &Asked) -> bool {
        self.of(asked).any(|(_, rule)| rule.webhook)
    }

    /// As much of a body as is read, decoded bytes.
    pub fn body_bytes(&self) -> usize {
        self.body_bytes
    }

    /// The head of an answer, as rules look at it.
    pub fn answered<'a>(&self, status: StatusCode, headers: &'a HeaderMap) -> Answered<'a> {
        let location =
            values::location_path(headers).map(|path| without_locale(&self.locales, path).to_owned());
        Answered { status, headers, location }
    }

    /// Leaves out the rules that a response's head rules out; answers whether its body is needed.
    pub fn narrow(&self, asked: &mut Asked, answered: &Answered<'_>) -> bool {
        asked
            .rules
            .retain(|number| self.rules.get(*number).is_some_and(|rule| miss(rule, answered).is_none()));
        self.sources(asked).any(|source| source.place() == Where::ResponseBody)
    }

    /// What of a response's body is needed: its text, and parts of it as a page.
    pub fn wanted<'r>(&'r self, asked: &'r Asked) -> (bool, Vec<&'r HtmlPart>) {
        let is_text = self.sources(asked).any(|source| matches!(source, Source::ResponseJson(_)));
        let mut parts: Vec<&HtmlPart> = Vec::new();
        for source in self.sources(asked) {
            if let Source::ResponseHtml(part) = source
                && !parts.contains(&part)
            {
                parts.push(part);
            }
        }
        (is_text, parts)
    }

    /// Whether a `page_view` rule makes this a page view.
    pub fn is_page_view(&self, asked: &Asked, answered: &Answered<'_>) -> bool {
        self.of(asked).filter(|(_, rule)| rule.kind == PAGE_VIEW).any(|(_, rule)| {
            let read = Read::of(asked.head(), rule, answered, Bodies::default());
            rule.when.iter().all(|condition| condition.holds(read.value(&condition.source).as_deref()))
        })
    }

    /// What each rule makes of the exchange, as far as it is its turn: where one of a type needs the response's body, all of
    /// that type wait for it.
    pub fn actions(
        &self,
        asked: &Asked,
        answered: &Answered<'_>,
        bodies: Bodies<'_>,
        stage: Stage,
        hash: Hash<'_>,
    ) -> Vec<(usize, Outcome)> {
        let is_late = |kind: &str| {
            self.of(asked).any(|(_, rule)| {
                rule.kind == kind && rule.sources().any(|source| source.place() == Where::ResponseBody)
            })
        };
        let mut outcomes: Vec<(usize, Outcome)> = Vec::new();
        for (number, rule) in self.of(asked) {
            let is_now = match stage {
                Stage::Trial => true,
                _ if rule.kind == PAGE_VIEW => false,
                Stage::All => true,
                Stage::Head => !is_late(&rule.kind),
                Stage::Body => is_late(&rule.kind),
            };
            if !is_now {
                continue;
            }
            let has_fired =
                outcomes.iter().any(|(_, outcome)| matches!(outcome, Ok(action) if action.kind == rule.kind));
            let outcome = match miss(rule, answered) {
                _ if !is_for(rule, &asked.site, &asked.method) => Err(Miss::NotFor),
                Some(miss) => Err(miss),
                None if has_fired => Err(Miss::Another),
                None => action(rule, &Read::of(asked.head(), rule, answered, bodies), &asked.site, hash)
                    .map(|action| Action { is_weak: self.weak.get(number) == Some(&true), ..action }),
            };
            outcomes.push((number, outcome));
        }
        outcomes
    }

    fn of<'r>(&'r self, asked: &'r Asked) -> impl Iterator<Item = (usize, &'r ActionRule)> {
        asked.rules.iter().filter_map(|number| Some((*number, self.rules.get(*number)?)))
    }

    fn sources<'r>(&'r self, asked: &'r Asked) -> impl Iterator<Item = &'r Source> {
        self.of(asked).flat_map(|(_, rule)| rule.sources())
    }
}

impl Head<'_> {
    fn asked(self, rules: Vec<usize>) -> Asked {
        Asked {
            rules,
            site: self.site.to_owned(),
            method: self.method.clone(),
            uri: self.uri.clone(),
            path: self.path.to_owned(),
            headers: self.headers.clone(),
        }
    }
}

impl Asked {
    fn head(&self) -> Head<'_> {
        let Self { site, method, uri, path, headers, .. } = self;
        Head { site, method, uri, path, headers }
    }
}

/// Which rules are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Those that need no response's body.
    Head,
    /// The others.
    Body,
    /// All: there is no body.
    All,
    /// All, page views too: to tell what they would do.
    Trial,
}

fn is_for(rule: &ActionRule, site: &str, method: &Method) -> bool {
    let is_method = match rule.methods.as_slice() {
        [] => method != Method::HEAD && method != Method::OPTIONS,
        methods => methods.contains(method),
    };
    is_method && rule.site.as_deref().is_none_or(|own| own == site)
}

/// Whether nothing in the request's head speaks against it.
fn may_fire(rule: &ActionRule, head: Head<'_>) -> bool {
    let read = Read::of_request(head, rule);
    let mut of_head = rule.when.iter().filter(|it| it.source.place() == Where::RequestHead);
    of_head.all(|condition| condition.holds(read.value(&condition.source).as_deref()))
}

/// An order that is only read off a page could be anybody's who opens the page, where carts and checkouts are seen too.
fn is_weak(rule: &ActionRule, rules: &[ActionRule]) -> bool {
    let is_before = |other: &ActionRule| {
        matches!(other.kind.as_str(), "add_to_cart" | "initiate_checkout")
            && (other.site.is_none() || rule.site.is_none() || other.site == rule.site)
    };
    rule.kind == "purchase" && rule.methods == [Method::GET] && rules.iter().any(is_before)
}

/// What the answer's head has against a rule.
fn miss(rule: &ActionRule, answered: &Answered<'_>) -> Option<Miss> {
    let status = answered.status.as_u16();
    if !rule.status.iter().any(|pattern| pattern.matches(status)) {
        return Some(Miss::Status(status));
    }
    let location = rule.location.as_ref()?;
    match answered.location.as_deref() {
        Some(path) if location.captures(path).is_some() => None,
        path => Some(Miss::Location(path.unwrap_or("there is none").to_owned())),
    }
}

fn action(rule: &ActionRule, read: &Read<'_>, site: &str, hash: Hash<'_>) -> Outcome {
    for condition in &rule.when {
        if !condition.holds(read.value(&condition.source).as_deref()) {
            return Err(Miss::Condition(condition.to_string()));
        }
    }
    let first = |sources: &[Source]| sources.iter().find_map(|source| read.value(source));
    let mut action = Action::new(rule.kind.clone(), Way::Rule);
    action.order_id = first(&rule.order_id).map(Into::into);
    if !rule.order_id.is_empty() && action.order_id.is_none() {
        return Err(Miss::NoOrder);
    }
    action.reference = first(&rule.reference).map(Into::into);
    if rule.kind == "payment" && !action.is_of_order() {
        return Err(Miss::NoReference);
    }
    action.order_number = first(&rule.order_number).map(Into::into);
    action.product_id = first(&rule.product_id).map(Into::into);
    action.product_name = first(&rule.product_name).map(|name| mask::emails(name.into()));
    action.value =
        rule.value.iter().filter_map(|source| read.value(source)).find_map(|text| amount_in(&text));
    let codes = rule.currency.iter().filter_map(|source| read.value(source));
    action.currency =
        codes.map(|code| code.to_ascii_uppercase()).find(|code| event::is_currency(code)).map(Into::into);
    event::leave_debts(&mut action);
    for (name, source) in &rule.properties {
        if let Some(value) = read.value(source) {
            event::add_property(&mut action, name.clone().into(), value.into());
        }
    }
    for (kind, source) in &rule.customer {
        let Some(value) = read.value(source) else { continue };
        let Some(kind) = kind.or_else(|| kind_of(&value)) else { continue };
        let known = action.customer.iter().any(|(have, _)| *have == kind);
        action.customer.extend(hash(kind, site, &value).filter(|_| !known).map(|hash| (kind, hash)));
    }
    Ok(action)
}

/// An e-mail address has an `@`, a telephone number seven digits.
fn kind_of(value: &str) -> Option<CustomerKeyKind> {
    if value.contains('@') {
        return Some(CustomerKeyKind::Email);
    }
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    (digits >= 7).then_some(CustomerKeyKind::Phone)
}
