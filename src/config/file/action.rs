//! `[[action]]` and `tracking.presets`: how the proxy sees what visitors do.

use http::Method;
use toml::de::DeTable;

use super::super::reader::{Environment, Source as Text, Table, Value};
use super::super::{ActionRule, StatusPattern, error};
use crate::action::{Condition, KNOWN_KINDS, Points, Source, Template, Where, is_kind};
use crate::hit::CustomerKeyKind;

/// Most that the points of one action may be, in either direction.
const MOST_POINTS: u16 = 10_000;

/// Most rules; each is looked at for every request on its path.
const RULES: usize = 1000;

/// What is delivered.
const PRESETS: [(&str, &str); 3] = [
    ("twocomms", include_str!("../../../config/presets/twocomms.toml")),
    ("django-oscar", include_str!("../../../config/presets/django-oscar.toml")),
    ("woocommerce", include_str!("../../../config/presets/woocommerce.toml")),
];

/// What presets add to a configuration.
#[derive(Debug, Default)]
pub(super) struct Added {
    pub(super) locale_prefixes: Vec<String>,
    pub(super) excluded_paths: Vec<String>,
    pub(super) rules: Vec<ActionRule>,
}

/// The file's own rules, which come before those of presets.
pub(super) fn rules(root: &Table<'_>, mut added: Added) -> Option<Vec<ActionRule>> {
    let own: Vec<Option<ActionRule>> = root.tables("action").iter().map(rule).collect();
    let mut rules = own.into_iter().collect::<Option<Vec<_>>>()?;
    rules.append(&mut added.rules);
    if rules.len() > RULES {
        return root.refuse(format!("there are more than {RULES} action rules, those of presets among them"));
    }
    Some(rules)
}

/// What the presets have that are named, by a name or as a file.
pub(super) fn presets(value: &Value<'_>) -> Option<Added> {
    let named = value.list(|item| {
        let text = item.text()?;
        if let Some((name, preset)) = PRESETS.iter().find(|(name, _)| *name == text) {
            return read_preset(item, name, preset);
        }
        if !text.contains('/') && !text.ends_with(".toml") {
            let names: Vec<String> = PRESETS.iter().map(|(name, _)| format!("`{name}`")).collect();
            return item.refuse_with(
                format!("there is no preset `{text}`: {}, or a file that ends with .toml", names.join(", ")),
                error::did_you_mean(&text, PRESETS.iter().map(|(name, _)| *name)),
            );
        }
        let content = item.content()?;
        read_preset(item, &text, &content)
    })?;
    let mut all = Added::default();
    for added in named {
        all.locale_prefixes.extend(added.locale_prefixes);
        all.excluded_paths.extend(added.excluded_paths);
        all.rules.extend(added.rules);
    }
    Some(all)
}

/// What is wrong with a preset is told at the place that names it.
fn read_preset(item: &Value<'_>, name: &str, text: &str) -> Option<Added> {
    let line = |at: usize| text[..text.floor_char_boundary(at)].matches('\n').count() + 1;
    let (document, errors) = DeTable::parse_recoverable(text);
    if let Some(error) = errors.first() {
        let line = line(error.span().map_or(0, |span| span.start));
        return item.refuse(format!("{name}, line {line}: {}", error.message().trim()));
    }
    let no_environment: Environment<'_> = &|_| None;
    let source = Text::new(text, std::path::Path::new(""), no_environment);
    let root = source.root(document.get_ref());
    let tracking = root.table("tracking");
    let added = Added {
        locale_prefixes: tracking.or("locale_prefixes", Vec::new(), super::tracking::locales),
        excluded_paths: super::tracking::excluded_paths(&tracking.table("exclude")),
        rules: rules(&root, Added::default()).unwrap_or_default(),
    };
    source.refuse_unknown(document.get_ref());
    let (problems, _) = source.finish();
    for problem in &problems {
        let line = line(problem.span.as_ref().map_or(0, |span| span.start));
        let help = problem.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        item.refuse::<()>(format!("{name}, line {line}: {}{help}", problem.message));
    }
    problems.is_empty().then_some(added)
}

fn rule(table: &Table<'_>) -> Option<ActionRule> {
    let kind = table.required("type", kind);
    let paths = table.required("path", |value| one_or_more(value, |item| item.parse(Template::parse)));
    let location = table.optional("location", |value| value.parse(Template::parse));
    let expected = if table.value("location").is_some() {
        vec![StatusPattern::Class(3)]
    } else {
        vec![StatusPattern::Class(2), StatusPattern::Exact(304)]
    };
    let sources = |key| table.or(key, Vec::new(), |value| one_or_more(value, source));
    let rule = ActionRule {
        kind: String::new(),
        paths: Vec::new(),
        site: table.optional("site", |value| value.text()),
        methods: table.or("method", Vec::new(), |value| one_or_more(value, method)),
        status: table.or("status", expected, |value| one_or_more(value, status)),
        location,
        when: table.or("when", Vec::new(), |value| one_or_more(value, condition)),
        webhook: table.or("webhook", false, |value| value.flag()),
        product_id: sources("product_id"),
        product_name: sources("product_name"),
        value: sources("value"),
        currency: sources("currency"),
        order_id: sources("order_id"),
        order_number: sources("order_number"),
        reference: sources("reference"),
        customer: table.or("customer", Vec::new(), |value| one_or_more(value, customer)),
        properties: table.or("properties", Vec::new(), |value| one_or_more(value, property)),
    };
    let rule = ActionRule { kind: kind?, paths: paths?, ..rule };
    check(table, &rule)?;
    Some(rule)
}

/// What no key alone tells.
fn check(table: &Table<'_>, rule: &ActionRule) -> Option<()> {
    for source in rule.sources() {
        let names = match source {
            Source::Path(name) => {
                let lacking = rule.paths.iter().find(|path| path.names().all(|known| known != name));
                lacking.map(|path| (name, "path", path.to_string(), path.names().collect::<Vec<_>>()))
            }
            Source::Location(name) => match &rule.location {
                Some(location) if location.names().any(|known| known == name) => None,
                Some(location) => {
                    Some((name, "location", location.to_string(), location.names().collect::<Vec<_>>()))
                }
                None => {
                    return table.refuse(format!(
                        "`{source}` needs `location`, the path that the redirect leads to: location = \"/thanks/{{{name}}}/\""
                    ));
                }
            },
            _ => None,
        };
        if let Some((name, key, template, known)) = names {
            let near = error::did_you_mean(name, known).map(|help| format!(": {help}")).unwrap_or_default();
            return table
                .refuse(format!("`{source}`: there is no {{{name}}} in {key} = \"{template}\"{near}"));
        }
    }
    let looks_late = |source: &Source| matches!(source.place(), Where::RequestBody | Where::ResponseBody);
    if rule.kind == "page_view" && rule.sources().any(looks_late) {
        return table.refuse(
            "a page_view is decided when the response's head is there: its rule cannot look at bodies",
        );
    }
    if rule.kind == "payment" && rule.order_id.is_empty() && rule.reference.is_empty() {
        return table.refuse("a payment is of an order: `order_id` or `reference` has to say which");
    }
    Some(())
}

fn kind(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    known_or_own(value, &text)?;
    Some(text)
}

/// A text that is a type of action, and not one that is known with a slip of the pen.
fn known_or_own(value: &Value<'_>, text: &str) -> Option<()> {
    if !is_kind(text) {
        return value.refuse(format!("`{text}` is no type of action: small letters, digits and _ make one"));
    }
    match error::did_you_mean(text, KNOWN_KINDS.map(|(kind, _)| kind)) {
        Some(help) if KNOWN_KINDS.iter().all(|(kind, _)| *kind != text) => {
            value.refuse_with(format!("`{text}` is too like a type that is known"), Some(help))
        }
        _ => Some(()),
    }
}

/// `[points]`: what actions are worth, by their type.
pub(super) fn points(table: &Table<'_>) -> Points {
    let mut points = Points::default();
    let own = table.keys().filter(|key| KNOWN_KINDS.iter().all(|(kind, _)| kind != key));
    for kind in KNOWN_KINDS.iter().map(|(kind, _)| *kind).chain(own) {
        let worth = table.optional(kind, |value| {
            known_or_own(value, kind)?;
            let number = value.signed_number().and_then(|number| i16::try_from(number).ok());
            match number.filter(|number| number.unsigned_abs() <= MOST_POINTS) {
                Some(number) => Some(number),
                None => {
                    value.refuse(format!("points are a whole number from -{MOST_POINTS} to {MOST_POINTS}"))
                }
            }
        });
        worth.into_iter().for_each(|worth| points.set(kind.to_owned(), worth));
    }
    points
}

fn method(value: &Value<'_>) -> Option<Method> {
    value.parse(|text| {
        let is_method =
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
        match Method::from_bytes(text.as_bytes()) {
            Ok(method) if is_method => Ok(method),
            _ => Err(format!("`{text}` is no method such as \"POST\"")),
        }
    })
}

fn status(value: &Value<'_>) -> Option<StatusPattern> {
    let text = value.plain_number().map_or_else(|| value.text(), |number| Some(number.to_string()))?;
    let pattern = match text.strip_suffix("xx") {
        Some(class) => class.parse().ok().map(StatusPattern::Class),
        None => text.parse().ok().map(StatusPattern::Exact),
    };
    match pattern {
        Some(pattern @ (StatusPattern::Class(2..=5) | StatusPattern::Exact(200..=599))) => Some(pattern),
        _ => value.refuse(format!("`{text}` is no status: write it as in \"302\" or \"2xx\"")),
    }
}

fn source(value: &Value<'_>) -> Option<Source> {
    let text = value.text()?;
    read_source(value, &text)
}

fn read_source<T: std::str::FromStr<Err = String>>(value: &Value<'_>, text: &str) -> Option<T> {
    match text.parse() {
        Ok(read) => Some(read),
        Err(message) => {
            let word = text.trim_start_matches('!').split(':').next().unwrap_or_default().trim();
            let is_known = Source::words().any(|known| known == word);
            let help = error::did_you_mean(word, Source::words()).filter(|_| !is_known);
            value.refuse_with(message, help)
        }
    }
}

fn condition(value: &Value<'_>) -> Option<Condition> {
    let text = value.text()?;
    read_source(value, &text)
}

/// `name = source`.
fn property(value: &Value<'_>) -> Option<(String, Source)> {
    let text = value.text()?;
    match text.split_once(" = ").map(|(name, source)| (name.trim(), source.trim())) {
        Some((name, source)) if !name.is_empty() => Some((name.to_owned(), read_source(value, source)?)),
        _ => value.refuse(format!("`{text}` is no property such as \"coupon = form:code\"")),
    }
}

/// `phone = source`, or a source alone, whose value says what it is.
fn customer(value: &Value<'_>) -> Option<(Option<CustomerKeyKind>, Source)> {
    const KINDS: [(&str, CustomerKeyKind); 3] = [
        ("phone", CustomerKeyKind::Phone),
        ("email", CustomerKeyKind::Email),
        ("user_id", CustomerKeyKind::UserId),
    ];
    let text = value.text()?;
    let Some((name, source)) = text.split_once(" = ") else {
        return Some((None, read_source(value, &text)?));
    };
    let name = name.trim();
    match KINDS.iter().find(|(known, _)| *known == name) {
        Some((_, kind)) => Some((Some(*kind), read_source(value, source.trim())?)),
        None => value.refuse_with(
            format!("`{name}` is none of phone, email and user_id"),
            error::did_you_mean(name, KINDS.iter().map(|(known, _)| *known)),
        ),
    }
}

/// A list, or what could be its only item.
fn one_or_more<'a, T>(value: &Value<'a>, read: impl Fn(&Value<'a>) -> Option<T>) -> Option<Vec<T>> {
    if value.kind() != "a list" {
        return read(value).map(|item| vec![item]);
    }
    let items = value.list(read)?;
    if items.is_empty() { value.refuse(format!("`{}` is an empty list", value.key())) } else { Some(items) }
}
