//! The registry of parameters that are recorded with a touch: a table (`data/parameters.tsv`), not code, and what a shop
//! adds to it (`tracking.parameters`).

use std::borrow::Cow;
use std::collections::HashMap;

use super::query::{decode_name, pairs};
use crate::config::{OwnParameter, ParameterMeaning, UtmField};

/// A registered parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name, in lower case.
    pub name: Cow<'static, str>,
    /// What it is.
    pub kind: Kind,
    /// What it tells when the link names no source.
    pub tells: Option<Told>,
    /// Whether its presence proves that the click was paid for.
    pub paid: Paid,
    /// Whether its value tells one click, or person, from all others.
    pub is_personal: bool,
}

/// What a parameter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A click id, and so a part of the evidence.
    ClickId,
    /// Names a person: as a click id, but its value is never kept.
    Sign,
    /// Kept beside the evidence.
    Beside,
    /// Stands for a utm parameter that is missing. Of several that are present the least rank counts; the utm
    /// parameter's own is 0.
    Instead {
        /// The utm parameter.
        field: UtmField,
        /// Its place among those that stand for it, from 1.
        rank: u8,
    },
}

/// Whether a click was paid for, as far as a parameter tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paid {
    /// Only advertisements carry it.
    Yes,
    /// It says nothing of the kind.
    No,
    /// Advertisements carry it, and other links too.
    Mixed,
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
    by_name: HashMap<Cow<'static, [u8]>, Parameter>,
}

impl Registry {
    /// The delivered table.
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// The delivered table and a shop's own parameters, which count before delivered ones of their name.
    pub fn with(own: &[OwnParameter]) -> Self {
        let mut ranks = [0; UtmField::NAMES.len()];
        let mut by_name = HashMap::new();
        for mut parameter in parameters().chain(own.iter().map(own_parameter)) {
            if let Kind::Instead { field, rank } = &mut parameter.kind {
                ranks[*field as usize] += 1;
                *rank = ranks[*field as usize];
            }
            let name = match &parameter.name {
                Cow::Borrowed(name) => Cow::Borrowed(name.as_bytes()),
                Cow::Owned(name) => Cow::Owned(name.clone().into_bytes()),
            };
            by_name.insert(name, parameter);
        }
        Self { by_name }
    }

    /// Whether a query has a parameter of a campaign: `utm_*`, or a name that stands for one.
    pub fn has_tags(&self, query: &[u8]) -> bool {
        pairs(query).any(|(name, _)| {
            let mut buffer = [0; 64];
            decode_name(name, &mut buffer).is_some_and(|name| {
                let stands_for = |parameter: &Parameter| matches!(parameter.kind, Kind::Instead { .. });
                name.starts_with(b"utm_") || self.find(name).is_some_and(stands_for)
            })
        })
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

/// All delivered parameters, in the order of the table: of several that are present the first tells the source.
pub fn parameters() -> impl Iterator<Item = Parameter> {
    include_str!("data/parameters.tsv").lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut columns = line.split('\t');
        let (name, kind) = (columns.next()?, columns.next()?);
        let (source, medium) = (columns.next()?, columns.next()?);
        let (paid, is_personal) = (columns.next()?, columns.next()? == "yes");
        let told =
            Told { source, medium: medium.trim_end_matches('?'), needs_evidence: medium.ends_with('?') };
        Some(Parameter {
            name: Cow::Borrowed(name),
            kind: match kind {
                "click" => Kind::ClickId,
                "sign" => Kind::Sign,
                "parameter" => Kind::Beside,
                field => Kind::Instead { field: field_of(field)?, rank: 0 },
            },
            tells: (!source.is_empty()).then_some(told),
            paid: match paid {
                "yes" => Paid::Yes,
                "mixed" => Paid::Mixed,
                _ => Paid::No,
            },
            is_personal,
        })
    })
}

fn own_parameter(own: &OwnParameter) -> Parameter {
    let kind = match own.meaning {
        ParameterMeaning::Beside => Kind::Beside,
        ParameterMeaning::ClickId => Kind::ClickId,
        ParameterMeaning::Instead(field) => Kind::Instead { field, rank: 0 },
    };
    // Whose click ids they are nobody knows: they are taken for personal.
    let is_personal = kind == Kind::ClickId;
    Parameter { name: Cow::Owned(own.name.clone()), kind, tells: None, paid: Paid::No, is_personal }
}

fn field_of(name: &str) -> Option<UtmField> {
    UtmField::NAMES.iter().find(|(field, _)| *field == name).map(|(_, field)| *field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_well_formed() {
        let lines = include_str!("data/parameters.tsv").lines().filter(|line| !line.starts_with('#'));
        let registry = Registry::new();
        assert_eq!(
            registry.by_name.len(),
            lines.clone().count(),
            "every row is read, and no name stands twice"
        );
        for line in lines {
            let columns: Vec<&str> = line.split('\t').collect();
            assert!(
                ["yes", "no", "mixed"].contains(&columns[4]) && ["yes", "no"].contains(&columns[5]),
                "{line}"
            );
            assert_eq!((columns.len(), columns[2].is_empty()), (6, columns[3].is_empty()), "{line}");
        }
        let mut click_ids = 0;
        for parameter in parameters() {
            assert_eq!(parameter.name, parameter.name.to_ascii_lowercase());
            assert!(parameter.name.len() < 64, "longer names are not compared");
            assert!(parameter.kind != Kind::Sign || parameter.is_personal);
            click_ids += usize::from(parameter.kind == Kind::ClickId);
        }
        assert!(click_ids >= 33, "{click_ids}");
        assert_eq!(registry.find(b"fbclid").unwrap().kind, Kind::ClickId);
        assert_eq!(registry.find(b"fbclid").unwrap().paid, Paid::Mixed);
        assert_eq!(registry.find(b"utm_source_platform").unwrap().kind, Kind::Beside);
        assert_eq!(registry.find(b"aid"), None);
    }

    #[test]
    fn own_parameters_come_after_the_delivered_ones_that_mean_the_same() {
        let own = |name: &str, meaning| OwnParameter { name: name.to_owned(), meaning };
        let registry = Registry::with(&[
            own("creo", ParameterMeaning::Beside),
            own("ref", ParameterMeaning::Instead(UtmField::Source)),
            own("fbclid", ParameterMeaning::Beside),
        ]);
        assert_eq!(registry.find(b"creo").unwrap().kind, Kind::Beside);
        let rank = |name: &[u8]| match registry.find(name).unwrap().kind {
            Kind::Instead { field: UtmField::Source, rank } => rank,
            other => panic!("{other:?}"),
        };
        assert_eq!((rank(b"mtm_source"), rank(b"ref")), (1, 5));
        assert_eq!(registry.find(b"fbclid").unwrap().kind, Kind::Beside, "the shop knows better");
    }
}
