//! Reads a TOML document key by key, gathers every problem with its place and remembers which keys were asked for.
//!
//! Rule: a key that nobody asked for is an error. A reading function answers `None` only after it has reported why.

mod value;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::error::{Problem, nearest};

pub(super) use value::Value;

/// Looks up an environment variable.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The file that is read, and what was found wrong with it so far.
pub(super) struct Source<'a> {
    text: &'a str,
    base: PathBuf,
    env: Environment<'a>,
    problems: RefCell<Vec<Problem>>,
    known: RefCell<BTreeSet<String>>,
}

impl<'a> Source<'a> {
    /// `base` is the folder that relative paths start from.
    pub(super) fn new(text: &'a str, base: &Path, env: Environment<'a>) -> Self {
        let (problems, known) = (RefCell::default(), RefCell::default());
        Self { text, base: base.to_owned(), env, problems, known }
    }

    /// The document's own table.
    pub(super) fn root<'s>(&'s self, document: &'s DeTable<'s>) -> Table<'s>
    where
        'a: 's,
    {
        Table { source: self, path: String::new(), entries: Some(document), span: None }
    }

    /// Reports every key of `document` that was never asked for.
    pub(super) fn refuse_unknown(&self, document: &DeTable<'_>) {
        let known = self.known.borrow();
        self.refuse_unknown_in(document, "", &known);
    }

    /// What is wrong, and the paths of all keys that were asked for.
    pub(super) fn finish(self) -> (Vec<Problem>, BTreeSet<String>) {
        (self.problems.into_inner(), self.known.into_inner())
    }

    fn report(&self, span: Option<Range<usize>>, message: String, help: Option<String>) {
        self.problems.borrow_mut().push(Problem { message, span, help });
    }

    fn refuse_unknown_in(&self, table: &DeTable<'_>, path: &str, known: &BTreeSet<String>) {
        for (key, value) in table.iter() {
            let key_path = join(path, key.get_ref());
            if known.contains(&key_path) {
                let inner: Vec<&DeTable<'_>> = match value.get_ref() {
                    DeValue::Table(table) => vec![table],
                    DeValue::Array(items) => {
                        items.iter().filter_map(|item| item.get_ref().as_table()).collect()
                    }
                    _ => Vec::new(),
                };
                inner.into_iter().for_each(|table| self.refuse_unknown_in(table, &key_path, known));
            } else {
                let (mut message, help) = unknown_key(key.get_ref(), path, known);
                if value.get_ref().is_table() {
                    message = format!("there is no table [{key_path}]");
                }
                self.report(Some(key.span()), message, help);
            }
        }
    }

    /// `text` with `${NAME}` replaced from the environment and `$${` by `${`.
    fn expand(&self, text: &str, span: &Range<usize>) -> Option<String> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            if rest[..at].ends_with('$') {
                expanded.push_str(&rest[..at - 1]);
                expanded.push_str("${");
                rest = &rest[at + 2..];
                continue;
            }
            expanded.push_str(&rest[..at]);
            let Some(end) = rest[at..].find('}') else {
                let help = "`$${` stands for a literal `${`".to_owned();
                self.report(Some(span.clone()), "`${` without `}`".to_owned(), Some(help));
                return None;
            };
            let (reference, name) = (&rest[at..=at + end], &rest[at + 2..at + end]);
            let Some(value) = (self.env)(name) else {
                let place = self.text[span.clone()].find(reference).map(|offset| span.start + offset);
                let span = place.map_or(span.clone(), |start| start..start + reference.len());
                self.report(Some(span), format!("the environment variable `{name}` is not set"), None);
                return None;
            };
            expanded.push_str(&value);
            rest = &rest[at + end + 1..];
        }
        expanded.push_str(rest);
        Some(expanded)
    }
}

/// A table of the file, or the empty table where the file has none.
pub(super) struct Table<'a> {
    source: &'a Source<'a>,
    path: String,
    entries: Option<&'a DeTable<'a>>,
    span: Option<Range<usize>>,
}

impl<'a> Table<'a> {
    /// The keys that the file has in it.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.entries.into_iter().flatten().map(|(key, _)| key.get_ref().as_ref())
    }

    /// What stands under `key`.
    pub(super) fn value(&self, key: &str) -> Option<Value<'a>> {
        let path = join(&self.path, key);
        self.source.known.borrow_mut().insert(path.clone());
        let (_, value) = self.entries?.iter().find(|(name, _)| name.get_ref() == key)?;
        Some(Value { source: self.source, path, value: value.get_ref(), span: value.span(), is_item: false })
    }

    /// What `read` makes of the key; none when it is absent or wrong.
    pub(super) fn optional<T>(&self, key: &str, read: impl FnOnce(&Value<'a>) -> Option<T>) -> Option<T> {
        read(&self.value(key)?)
    }

    /// As [`Self::optional`], with `default` for none.
    pub(super) fn or<T>(&self, key: &str, default: T, read: impl FnOnce(&Value<'a>) -> Option<T>) -> T {
        self.optional(key, read).unwrap_or(default)
    }

    /// As [`Self::optional`]; an absent key is reported.
    pub(super) fn required<T>(&self, key: &str, read: impl FnOnce(&Value<'a>) -> Option<T>) -> Option<T> {
        match self.value(key) {
            Some(value) => read(&value),
            None => self.refuse(format!("`{key}` is missing from {}", self.title())),
        }
    }

    /// The table under `key`.
    pub(super) fn table(&self, key: &str) -> Table<'a> {
        let path = join(&self.path, key);
        let absent = Table { source: self.source, path: path.clone(), entries: None, span: None };
        match self.value(key) {
            None => absent,
            Some(value) => match value.value {
                DeValue::Table(entries) => Table { entries: Some(entries), span: Some(value.span), ..absent },
                _ => {
                    value.refuse::<()>(format!("[{path}] is a table, not {}", value.kind()));
                    absent
                }
            },
        }
    }

    /// The tables `[[key]]`. One that is written `[key]` is reported and read all the same.
    pub(super) fn tables(&self, key: &str) -> Vec<Table<'a>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let (source, path) = (self.source, value.path.as_str());
        let table = |item: &'a DeValue<'a>, span: Range<usize>| match item {
            DeValue::Table(entries) => {
                Some(Table { source, path: path.to_owned(), entries: Some(entries), span: Some(span) })
            }
            value => Value { source, path: path.to_owned(), value, span, is_item: true }
                .refuse(format!("[[{path}]] holds tables")),
        };
        match value.value {
            DeValue::Array(items) => {
                items.iter().filter_map(|item| table(item.get_ref(), item.span())).collect()
            }
            other => {
                value.refuse::<()>(format!(
                    "there can be several of these: write [[{path}]], with two brackets"
                ));
                table(other, value.span.clone()).into_iter().collect()
            }
        }
    }

    /// Reports something about the table as a whole.
    pub(super) fn refuse<T>(&self, message: impl Into<String>) -> Option<T> {
        self.source.report(self.span.clone(), message.into(), None);
        None
    }

    /// Number of the line on which the table begins.
    pub(super) fn line(&self) -> usize {
        let start = self.span.as_ref().map_or(0, |span| span.start);
        self.source.text[..start].matches('\n').count() + 1
    }

    fn title(&self) -> String {
        title(&self.path)
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn title(path: &str) -> String {
    match path {
        "" => "the file".to_owned(),
        "action" | "upstream" | "route" | "stats.token" | "proxy.error_page" | "proxy.tls" => {
            format!("[[{path}]]")
        }
        "upstream.servers" => "a server of [[upstream]]".to_owned(),
        _ => format!("[{path}]"),
    }
}

/// Message and help for a key that nobody asked for in the table `path`.
fn unknown_key(key: &str, path: &str, known: &BTreeSet<String>) -> (String, Option<String>) {
    let parts = |path: &'_ str| path.rsplit_once('.').map(|(table, key)| (table.to_owned(), key.to_owned()));
    let all = || known.iter().map(|known| parts(known).unwrap_or((String::new(), known.clone())));
    let here: Vec<String> = all().filter(|(table, _)| table == path).map(|(_, key)| key).collect();
    let elsewhere = || {
        let (table, _) = all().find(|(_, known)| known == key)?;
        Some(format!("`{key}` belongs in {}", title(&table)))
    };
    let help = nearest(key, here.iter().map(String::as_str))
        .map(|name| format!("did you mean `{name}`?"))
        .or_else(elsewhere);
    (format!("there is no key `{key}` in {}", title(path)), help)
}
