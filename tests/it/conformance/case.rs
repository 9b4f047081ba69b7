//! A case as its file has it.

use serde::Deserialize;

const FILES: [(&str, &str); 5] = [
    ("requests", include_str!("requests.toml")),
    ("hosts", include_str!("hosts.toml")),
    ("framing", include_str!("framing.toml")),
    ("fields", include_str!("fields.toml")),
    ("responses", include_str!("responses.toml")),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    #[serde(skip)]
    pub(super) file: &'static str,
    pub(super) name: String,
    pub(super) send: Pieces,
    shop: Option<Many<String>>,
    pub(super) reply: Option<String>,
    #[serde(default)]
    pub(super) reply_end: ReplyEnd,
    status: Option<Many<u16>>,
    #[serde(default)]
    pub(super) heads: Vec<usize>,
    pub(super) answer: Option<String>,
    #[serde(default)]
    pub(super) trailers: Vec<String>,
    complete: Option<Completeness>,
    end: Option<End>,
    pub(super) why: Option<String>,
}

/// Something, or whatever it may be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Maybe<T> {
    Is(T),
    Any,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Pieces {
    One(String),
    Several(Vec<String>),
}

/// A list, or a word: `any`, `same`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Many<T> {
    Word(String),
    List(Vec<T>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Completeness {
    No,
    Any,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ReplyEnd {
    #[default]
    Keep,
    Close,
    Reset,
    Early,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum End {
    Kept,
    Closed,
    Open,
    Any,
}

pub(super) fn all() -> Vec<Case> {
    let read = |(file, text): (&'static str, &str)| {
        let cases = toml::from_str::<File>(text).unwrap_or_else(|error| panic!("{file}.toml: {error}")).case;
        cases.into_iter().map(move |case| Case { file, ..case })
    };
    FILES.into_iter().flat_map(read).collect()
}

impl Pieces {
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        let pieces = match self {
            Pieces::One(piece) => std::slice::from_ref(piece),
            Pieces::Several(pieces) => pieces,
        };
        pieces.iter().map(String::as_str)
    }
}

impl Case {
    /// Statuses of the answers; none when they do not matter.
    pub(super) fn status(&self) -> Option<Vec<u16>> {
        match &self.status {
            None => Some(vec![200]),
            Some(Many::List(status)) => Some(status.clone()),
            Some(Many::Word(_)) => None,
        }
    }

    pub(super) fn end(&self, status: &[u16]) -> Maybe<End> {
        match self.end {
            Some(End::Any) => Maybe::Any,
            Some(end) => Maybe::Is(end),
            None if status.iter().all(|status| *status < 400 || (502..=504).contains(status)) => {
                Maybe::Is(End::Kept)
            }
            None => Maybe::Is(End::Closed),
        }
    }

    pub(super) fn complete(&self) -> Maybe<bool> {
        match self.complete {
            None => Maybe::Is(true),
            Some(Completeness::No) => Maybe::Is(false),
            Some(Completeness::Any) => Maybe::Any,
        }
    }

    /// What reaches the shop; none stands for what follows from the status.
    pub(super) fn shop(&self) -> Maybe<Option<&[String]>> {
        match &self.shop {
            Some(Many::List(messages)) => Maybe::Is(Some(messages)),
            Some(Many::Word(word)) if word == "any" => Maybe::Any,
            _ => Maybe::Is(None),
        }
    }

    /// Whether the shop gets what was sent, whatever the answer.
    pub(super) fn is_same(&self) -> bool {
        matches!(&self.shop, Some(Many::Word(word)) if word == "same")
    }
}
