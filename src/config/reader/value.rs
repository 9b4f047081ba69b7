//! One value of the file, read as what its key wants.

use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;

use toml::Spanned;
use toml::de::DeValue;

use super::{Source, Table};
use crate::config::error::did_you_mean;

/// A value of the file.
pub(in crate::config) struct Value<'a> {
    pub(super) source: &'a Source<'a>,
    /// Its key with the tables around it; of an item, that of its list.
    pub(super) path: String,
    pub(super) value: &'a DeValue<'a>,
    pub(super) span: Range<usize>,
    /// Whether it stands in a list.
    pub(super) is_item: bool,
}

impl<'a> Value<'a> {
    /// A string, `${NAME}` replaced.
    pub(in crate::config) fn text(&self) -> Option<String> {
        match self.value {
            DeValue::String(text) => self.source.expand(text, &self.span),
            _ => self.refuse(format!("{} is a string, not {}", self.subject(), self.kind())),
        }
    }

    /// What `parse` makes of the string; its error is reported.
    pub(in crate::config) fn parse<T>(&self, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        parse(&self.text()?).map_err(|message| self.refuse::<()>(message)).ok()
    }

    /// `true` or `false`.
    pub(in crate::config) fn flag(&self) -> Option<bool> {
        match self.value {
            DeValue::Boolean(flag) => return Some(*flag),
            DeValue::String(text) if text.contains("${") => {
                if let Ok(flag) = self.text()?.trim().parse() {
                    return Some(flag);
                }
            }
            _ => {}
        }
        self.refuse(format!("`{}` is true or false, not {}", self.key(), self.kind()))
    }

    /// A whole number within `range`.
    pub(in crate::config) fn number<T: TryFrom<u64>>(&self, range: RangeInclusive<u64>) -> Option<T> {
        let number = match self.value {
            DeValue::Integer(digits) => i128::from_str_radix(digits.as_str(), digits.radix()).ok(),
            DeValue::String(text) if text.contains("${") => self.text()?.trim().parse().ok(),
            _ => None,
        };
        let fitting =
            number.and_then(|number| u64::try_from(number).ok()).filter(|number| range.contains(number));
        match fitting.and_then(|number| T::try_from(number).ok()) {
            Some(number) => Some(number),
            None => {
                let (key, least, most) = (self.key(), range.start(), range.end());
                self.refuse(format!("`{key}` is a whole number from {least} to {most}"))
            }
        }
    }

    /// An integer as it stands, for keys that take a number or a text.
    pub(in crate::config) fn plain_number(&self) -> Option<u64> {
        let digits = self.value.as_integer()?;
        u64::from_str_radix(digits.as_str(), digits.radix()).ok()
    }

    /// An integer, of either sign; nothing is reported.
    pub(in crate::config) fn signed_number(&self) -> Option<i64> {
        let digits = self.value.as_integer()?;
        i64::from_str_radix(digits.as_str(), digits.radix()).ok()
    }

    /// A list; every item that `read` refuses is reported.
    pub(in crate::config) fn list<T>(&self, read: impl Fn(&Value<'a>) -> Option<T>) -> Option<Vec<T>> {
        let DeValue::Array(items) = self.value else {
            return self.refuse(format!("`{}` is a list, in brackets, not {}", self.key(), self.kind()));
        };
        let item = |item: &'a Spanned<DeValue<'a>>| {
            let (source, path) = (self.source, self.path.clone());
            read(&Value { source, path, value: item.get_ref(), span: item.span(), is_item: true })
        };
        // All items are read before any failure counts, so that all are reported.
        let read: Vec<Option<T>> = items.iter().map(item).collect();
        read.into_iter().collect()
    }

    /// The table that it is; none when it is something else, which is not reported.
    pub(in crate::config) fn as_table(&self) -> Option<Table<'a>> {
        let entries = self.value.as_table()?;
        Some(Table {
            source: self.source,
            path: self.path.clone(),
            entries: Some(entries),
            span: Some(self.span.clone()),
        })
    }

    /// One of the words of `choices`.
    pub(in crate::config) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(*choice);
        }
        let words: Vec<String> = choices.iter().map(|(word, _)| format!("`{word}`")).collect();
        let message = format!("`{}` is {}, not `{text}`", self.key(), words.join(" or "));
        self.refuse_with(message, did_you_mean(&text, choices.iter().map(|(word, _)| *word)))
    }

    /// A path; a relative one starts from the folder of the configuration file.
    pub(in crate::config) fn path(&self) -> Option<PathBuf> {
        let text = self.text()?;
        if text.is_empty() {
            return self.refuse(format!("`{}` is empty", self.key()));
        }
        Some(self.source.base.join(text))
    }

    /// The content of the file that is named, without blanks around it.
    pub(in crate::config) fn content(&self) -> Option<String> {
        let path = self.path()?;
        match std::fs::read_to_string(&path) {
            Ok(text) => Some(text.trim().to_owned()),
            Err(error) => self.refuse(format!("cannot read {}: {error}", path.display())),
        }
    }

    /// Reports the value.
    pub(in crate::config) fn refuse<T>(&self, message: impl Into<String>) -> Option<T> {
        self.refuse_with(message, None)
    }

    /// Reports the value and says what to do.
    pub(in crate::config) fn refuse_with<T>(
        &self,
        message: impl Into<String>,
        help: Option<String>,
    ) -> Option<T> {
        self.source.report(Some(self.span.clone()), message.into(), help);
        None
    }

    /// The key's own name.
    pub(in crate::config) fn key(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or(&self.path)
    }

    fn subject(&self) -> String {
        let of_list = if self.is_item { "an item of " } else { "" };
        format!("{of_list}`{}`", self.key())
    }

    pub(in crate::config) fn kind(&self) -> &'static str {
        match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        }
    }
}
