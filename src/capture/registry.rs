//! The registry of parameters that are recorded with a touch: a table (`data/parameters.tsv`), not code.

use std::collections::HashMap;

/// A registered parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter {
    /// Its name, in lower case.
    pub name: &'static str,
    /// Whether it is a click id, and so a part of the evidence.
    pub is_click_id: bool,
    /// What it tells when the link names no source.
    pub tells: Option<Told>,
}

/// Source and medium that a parameter tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// The source.
    pub source: &'static str,
    /// The medium.
    pub medium: &'static str,
    /// Whether the medium holds only with other utm parameters; without, it is `social`.
    pub needs_evidence: bool,
}

/// The table, found by name.
#[derive(Debug, Clone)]
pub struct Registry {
    by_name: HashMap<&'static [u8], Parameter>,
}

impl Registry {
    /// The delivered table.
    pub fn new() -> Self {
        Self { by_name: parameters().map(|parameter| (parameter.name.as_bytes(), parameter)).collect() }
    }

    /// The parameter of this lower-case name.
    pub fn find(&self, name: &[u8]) -> Option<&Parameter> {
        self.by_name.get(name)
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

/// All registered parameters, in the order of the table: of several that are present the first tells the source.
pub fn parameters() -> impl Iterator<Item = Parameter> {
    include_str!("data/parameters.tsv").lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut columns = line.split('\t');
        let (name, kind) = (columns.next()?, columns.next()?);
        let (source, medium) = (columns.next()?, columns.next()?);
        let told =
            Told { source, medium: medium.trim_end_matches('?'), needs_evidence: medium.ends_with('?') };
        let tells = (!source.is_empty()).then_some(told);
        Some(Parameter { name, is_click_id: kind == "click", tells })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_well_formed() {
        let rows = include_str!("data/parameters.tsv").lines().filter(|line| !line.starts_with('#')).count();
        let registry = Registry::new();
        assert_eq!(registry.by_name.len(), rows, "every row is read, and no name stands twice");
        for parameter in parameters() {
            assert_eq!(parameter.name, parameter.name.to_ascii_lowercase());
            assert!(parameter.name.len() < 64, "longer names are not compared");
        }
        assert!(registry.find(b"fbclid").unwrap().is_click_id);
        assert!(!registry.find(b"utm_source_platform").unwrap().is_click_id);
        assert_eq!(registry.find(b"aid"), None);
    }
}
