//! Where a rule takes a value from: `form:product_id`, `response_json:/cart_total`, `response_html:#order@data-id`.

use std::fmt;
use std::str::FromStr;

use http::HeaderName;
use lol_html::Selector;

/// Where values come from; as rules spell it, what follows, and whether it must be there.
const PLACES: [(&str, &str); 11] = [
    ("path", "name"),
    ("query", "name"),
    ("form", "name"),
    ("json", "/pointer"),
    ("header", "name"),
    ("cookie", "name"),
    ("location", "name"),
    ("response_header", "name"),
    ("response_json", "/pointer"),
    ("response_html", "CSS@attribute"),
    ("text", "any text"),
];

/// Where a value is taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// What the request's path has at this name of the rule's `path`.
    Path(String),
    /// A parameter of the query.
    Query(String),
    /// A field of the request's body, be it urlencoded or multipart.
    Form(String),
    /// A value of the request's body as JSON, by its pointer (RFC 6901).
    Json(String),
    /// A field of the request.
    Header(HeaderName),
    /// A cookie of the request.
    Cookie(String),
    /// What the redirect's `Location` has at this name of the rule's `location`.
    Location(String),
    /// A field of the response.
    ResponseHeader(HeaderName),
    /// A value of the response's body as JSON, by its pointer (RFC 6901).
    ResponseJson(String),
    /// A part of the response's body as HTML.
    ResponseHtml(HtmlPart),
    /// This text.
    Text(String),
}

/// What has to be there for a value to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Where {
    /// The request's head.
    RequestHead,
    /// The request's body.
    RequestBody,
    /// The response's head.
    ResponseHead,
    /// The response's body.
    ResponseBody,
}

/// A part of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HtmlPart {
    /// Which element; the first that has a value counts.
    pub css: Css,
    /// What of it.
    pub part: Part,
}

/// What of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The value of an attribute, lower case.
    Attribute(String),
    /// Its text.
    Text,
}

/// A selector of CSS, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Css(String);

impl Css {
    /// The selector, compiled.
    pub fn selector(&self) -> Option<Selector> {
        self.0.parse().ok()
    }
}

impl Source {
    /// What must be there.
    pub fn place(&self) -> Where {
        match self {
            Source::Path(_) | Source::Query(_) | Source::Header(_) | Source::Cookie(_) | Source::Text(_) => {
                Where::RequestHead
            }
            Source::Form(_) | Source::Json(_) => Where::RequestBody,
            Source::Location(_) | Source::ResponseHeader(_) => Where::ResponseHead,
            Source::ResponseJson(_) | Source::ResponseHtml(_) => Where::ResponseBody,
        }
    }

    fn word(&self) -> &'static str {
        let index = match self {
            Source::Path(_) => 0,
            Source::Query(_) => 1,
            Source::Form(_) => 2,
            Source::Json(_) => 3,
            Source::Header(_) => 4,
            Source::Cookie(_) => 5,
            Source::Location(_) => 6,
            Source::ResponseHeader(_) => 7,
            Source::ResponseJson(_) => 8,
            Source::ResponseHtml(_) => 9,
            Source::Text(_) => 10,
        };
        PLACES[index].0
    }

    /// The words that a source begins with.
    pub fn words() -> impl Iterator<Item = &'static str> {
        PLACES.iter().map(|(word, _)| *word)
    }
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, rest) = text.split_once(':').unwrap_or((text, ""));
        let Some((word, wanted)) = PLACES.iter().find(|(known, _)| *known == word.trim()) else {
            return Err(format!("`{text}` is nothing that a value is taken from"));
        };
        let rest = if *word == "text" { rest } else { rest.trim() };
        if rest.is_empty() {
            return Err(format!("`{text}` lacks what to take: `{word}:{wanted}`"));
        }
        let bare =
            || rest.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(rest).to_owned();
        let header = || {
            rest.parse::<HeaderName>().map_err(|_| format!("`{rest}` in `{text}` cannot be a header's name"))
        };
        let pointer = || match rest.starts_with('/') {
            true => Ok(rest.to_owned()),
            false => Err(format!("`{text}`: a pointer begins with /, as in `{word}:/order/id`")),
        };
        Ok(match *word {
            "path" => Source::Path(bare()),
            "query" => Source::Query(rest.to_owned()),
            "form" => Source::Form(rest.to_owned()),
            "json" => Source::Json(pointer()?),
            "header" => Source::Header(header()?),
            "cookie" => Source::Cookie(rest.to_owned()),
            "location" => Source::Location(bare()),
            "response_header" => Source::ResponseHeader(header()?),
            "response_json" => Source::ResponseJson(pointer()?),
            "response_html" => Source::ResponseHtml(html_part(rest)?),
            _ => Source::Text(rest.to_owned()),
        })
    }
}

/// `CSS@attribute`, or `CSS` for its text; `CSS@text` is the text as well.
fn html_part(text: &str) -> Result<HtmlPart, String> {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_:".contains(&byte))
    };
    let (css, part) = match text.rsplit_once('@') {
        Some((css, "text")) => (css, Part::Text),
        Some((css, name)) if is_name(name) => (css, Part::Attribute(name.to_ascii_lowercase())),
        _ => (text, Part::Text),
    };
    match css.trim().parse::<Selector>() {
        Ok(_) => Ok(HtmlPart { css: Css(css.trim().to_owned()), part }),
        Err(error) => Err(format!("`{css}` is no selector that can be used: {error}")),
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.word())?;
        match self {
            Source::Path(text)
            | Source::Query(text)
            | Source::Form(text)
            | Source::Json(text)
            | Source::Cookie(text)
            | Source::Location(text)
            | Source::ResponseJson(text)
            | Source::Text(text) => f.write_str(text),
            Source::Header(name) | Source::ResponseHeader(name) => write!(f, "{name}"),
            Source::ResponseHtml(HtmlPart { css, part: Part::Attribute(name) }) => {
                write!(f, "{}@{name}", css.0)
            }
            Source::ResponseHtml(HtmlPart { css, part: Part::Text }) => write!(f, "{}@text", css.0),
        }
    }
}

/// What must hold for a rule to fire: `form:qty`, something is there; `!form:qty`, nothing is; `json:/status = paid|hold`,
/// one of these is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Where to look.
    pub source: Source,
    /// What may be there; empty = anything.
    pub any_of: Vec<String>,
    /// Whether the opposite must hold.
    pub is_not: bool,
}

impl Condition {
    /// Whether it holds of what is there.
    pub fn holds(&self, value: Option<&str>) -> bool {
        let is_there = value.is_some_and(|value| {
            !value.is_empty() && (self.any_of.is_empty() || self.any_of.iter().any(|known| known == value))
        });
        is_there != self.is_not
    }
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (is_not, rest) = match text.trim().strip_prefix('!') {
            Some(rest) => (true, rest.trim_start()),
            None => (false, text.trim()),
        };
        if rest.ends_with(" =") {
            return Err(format!("`{text}` lacks a value behind the sign of equality"));
        }
        // With blanks around, since selectors have signs of equality of their own.
        let (source, any_of) = match rest.split_once(" = ") {
            Some((source, values)) => {
                (source, values.split('|').map(|value| value.trim().to_owned()).collect())
            }
            None => (rest, Vec::new()),
        };
        if any_of.iter().any(String::is_empty) {
            return Err(format!("`{text}` lacks a value behind the sign of equality"));
        }
        Ok(Self { source: source.parse()?, any_of, is_not })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.is_not { "!" } else { "" }, self.source)?;
        if self.any_of.is_empty() { Ok(()) } else { write!(f, " = {}", self.any_of.join("|")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_read_back_as_they_are_shown() {
        for text in [
            "path:slug",
            "query:q",
            "form:product_id",
            "json:/status",
            "header:x-order",
            "cookie:currency",
            "location:id",
            "response_header:x-total",
            "response_json:/item/0/id",
            "response_html:#purchase-payload@data-order-id",
            "response_html:h1[data-a=\"b\"]@text",
            "text:UAH",
        ] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
        assert_eq!("path:{slug}".parse::<Source>().unwrap(), Source::Path("slug".to_owned()));
        assert_eq!("response_html: h1 ".parse::<Source>().unwrap().to_string(), "response_html:h1@text");
        for wrong in
            ["", "form", "form:", "from:x", "json:x", "header:a b", "response_html:###", "response_html:@id"]
        {
            assert!(wrong.parse::<Source>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn conditions_hold_of_what_is_there() {
        for (text, value, holds) in [
            ("form:qty", Some("1"), true),
            ("form:qty", Some(""), false),
            ("form:qty", None, false),
            ("!form:qty", None, true),
            ("json:/status = paid|hold", Some("hold"), true),
            ("json:/status = paid|hold", Some("failed"), false),
            ("!json:/status = paid", Some("failed"), true),
        ] {
            let condition: Condition = text.parse().unwrap();
            assert_eq!(condition.holds(value), holds, "{text} {value:?}");
            assert_eq!(condition.to_string(), text);
        }
        assert!("form:a = ".parse::<Condition>().is_err());
    }
}
