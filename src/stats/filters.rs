//! Filters by field: `source=facebook` (repeated: any of), `source!=x`, `campaign~=text`.
//!
//! They become arrays of LIKE patterns, two for each field, so that one statement serves all of them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::stats::params::ParameterError;

pub(crate) use crate::terms::FILTERS as FIELDS;

/// Filters of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filters {
    fields: [Filter; FIELDS.len()],
}

/// What one field must be.
#[derive(Debug, Clone, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub(crate) struct Filter {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    is: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    contains: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    is_not: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    contains_not: Vec<String>,
}

/// LIKE patterns of one field; none = no such filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Patterns {
    /// One of them must match.
    pub(crate) include: Option<Vec<String>>,
    /// None of them may match.
    pub(crate) exclude: Option<Vec<String>>,
}

impl Filters {
    /// Adds the filter that a parameter asks for. The sign before `=` is a part of its name: `source!`, `source~`,
    /// `source!~`.
    pub(crate) fn add(&mut self, name: &str, value: &str) -> Result<(), ParameterError> {
        let field = name.trim_end_matches(['!', '~']);
        let index = FIELDS
            .iter()
            .position(|known| *known == field)
            .ok_or_else(|| ParameterError::new(name, "no field to filter by"))?;
        let filter = &mut self.fields[index];
        let values = match &name[field.len()..] {
            "" => &mut filter.is,
            "~" => &mut filter.contains,
            "!" => &mut filter.is_not,
            "!~" => &mut filter.contains_not,
            _ => return Err(ParameterError::new(name, "expected =, !=, ~= or !~= after the field")),
        };
        values.push(value.trim().to_lowercase());
        Ok(())
    }

    /// What a field must be, when it must be one thing.
    pub(crate) fn only(&self, field: &str) -> Option<&str> {
        let filter = self.fields.get(FIELDS.iter().position(|known| *known == field)?)?;
        match (filter.is.as_slice(), filter.contains.is_empty()) {
            ([only], true) => Some(only),
            _ => None,
        }
    }

    /// Patterns in the order of [`FIELDS`].
    pub(crate) fn patterns(&self) -> [Patterns; FIELDS.len()] {
        self.fields.each_ref().map(|filter| Patterns {
            include: patterns(&filter.is, &filter.contains),
            exclude: patterns(&filter.is_not, &filter.contains_not),
        })
    }

    /// The filters that are given, by field.
    pub(crate) fn by_field(&self) -> BTreeMap<&'static str, &Filter> {
        FIELDS.into_iter().zip(&self.fields).filter(|(_, filter)| **filter != Filter::default()).collect()
    }
}

fn patterns(whole: &[String], parts: &[String]) -> Option<Vec<String>> {
    if whole.is_empty() && parts.is_empty() {
        return None;
    }
    let parts = parts.iter().map(|part| contains_pattern(part));
    Some(whole.iter().map(|value| escape(value)).chain(parts).collect())
}

/// The LIKE pattern of texts that contain `part`.
pub(crate) fn contains_pattern(part: &str) -> String {
    format!("%{}%", escape(part))
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_become_patterns_that_mean_the_text_itself() {
        let mut filters = Filters::default();
        for (name, value) in
            [("source", "Face_Book"), ("source", "ig"), ("source~", "50%"), ("source!", "x\\y")]
        {
            filters.add(name, value).unwrap();
        }
        let [source, medium, ..] = filters.patterns();
        assert_eq!(source.include, Some(vec!["face\\_book".into(), "ig".into(), "%50\\%%".into()]));
        assert_eq!(source.exclude, Some(vec!["x\\\\y".into()]));
        assert_eq!(medium, Patterns::default());
        assert!(filters.add("source~~", "x").is_err());
        assert_eq!(filters.by_field().len(), 1);
    }
}
