//! Where the values of a rule come from: the request, its answer, and copies of their bodies.

use std::cell::OnceCell;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::super::{cookie, event, evidence};
use super::{Head, form, json};
use crate::action::{HtmlPart, Source};
use crate::config::ActionRule;

/// The head of an answer.
#[derive(Debug)]
pub struct Answered<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its fields.
    pub headers: &'a HeaderMap,
    /// The path that it redirects to, without a locale.
    pub(super) location: Option<String>,
}

/// As much of a body as was copied.
#[derive(Debug)]
pub struct BodyText<'a> {
    bytes: &'a [u8],
    is_whole: bool,
    is_json: OnceCell<bool>,
}

impl<'a> BodyText<'a> {
    /// These bytes, and whether they are all.
    pub fn new(bytes: &'a [u8], is_whole: bool) -> Self {
        Self { bytes, is_whole, is_json: OnceCell::new() }
    }

    /// Whether it is JSON; looked at once.
    pub fn is_json(&self) -> bool {
        *self.is_json.get_or_init(|| json::is_json(self.bytes))
    }

    fn at(&self, pointer: &str) -> Option<String> {
        // Where nothing but blanks was cut off, a map or a list is whole.
        let is_sure = self.is_whole || json::is_closed(self.bytes);
        (is_sure && self.is_json()).then(|| json::value(self.bytes, pointer))?
    }
}

/// Finds a part in a page.
pub type PartOf<'a> = &'a dyn Fn(&HtmlPart) -> Option<String>;

/// Copies of bodies, as far as there are some.
#[derive(Clone, Copy, Default)]
pub struct Bodies<'a> {
    /// The request's.
    pub request: Option<&'a BodyText<'a>>,
    /// The response's.
    pub response: Option<&'a BodyText<'a>>,
    /// Parts of the response's as a page.
    pub part: Option<PartOf<'a>>,
}

/// All that a rule may look at.
#[derive(Clone, Copy)]
pub struct Read<'a> {
    head: Head<'a>,
    rule: &'a ActionRule,
    answered: Option<&'a Answered<'a>>,
    bodies: Bodies<'a>,
}

impl<'a> Read<'a> {
    /// Only the request's head.
    pub(super) fn of_request(head: Head<'a>, rule: &'a ActionRule) -> Self {
        Self { head, rule, answered: None, bodies: Bodies::default() }
    }

    pub(super) fn of(
        head: Head<'a>,
        rule: &'a ActionRule,
        answered: &'a Answered<'a>,
        bodies: Bodies<'a>,
    ) -> Self {
        Self { head, rule, answered: Some(answered), bodies }
    }

    /// The value at a source, tidied; none for an empty one.
    pub fn value(&self, source: &Source) -> Option<String> {
        let value = match source {
            Source::Path(name) => {
                let captures = self.rule.paths.iter().find_map(|path| path.captures(self.head.path))?;
                let (_, raw) = captures.into_iter().find(|(known, _)| known == name)?;
                event::value_of(raw.as_bytes()).into_owned()
            }
            Source::Query(name) => {
                let query = self.head.uri.query()?.as_bytes();
                let mut pairs = form_urlencoded::parse(query);
                pairs.find(|(known, value)| known == name && !value.is_empty())?.1.into_owned()
            }
            Source::Form(name) => {
                let body = self.bodies.request?;
                let content_type = self.head.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
                form::field(body.bytes, content_type, body.is_whole, name)?
            }
            Source::Json(pointer) => self.bodies.request?.at(pointer)?,
            Source::Header(name) => field(self.head.headers, name)?,
            Source::Cookie(name) => {
                let fields = self.head.headers.get_all(header::COOKIE).iter();
                let mut pairs = fields.flat_map(|field| cookie::pairs(field.as_bytes()));
                let (_, value) = pairs.find(|(known, _)| *known == name.as_bytes())?;
                event::value_of(value).into_owned()
            }
            Source::Location(name) => {
                let captures = self.rule.location.as_ref()?.captures(self.answered?.location.as_deref()?)?;
                let (_, raw) = captures.into_iter().find(|(known, _)| known == name)?;
                event::value_of(raw.as_bytes()).into_owned()
            }
            Source::ResponseHeader(name) => field(self.answered?.headers, name)?,
            Source::ResponseJson(pointer) => self.bodies.response?.at(pointer)?,
            Source::ResponseHtml(part) => self.bodies.part?(part)?,
            Source::Text(text) => text.clone(),
        };
        let value = evidence::tidy(value);
        (!value.is_empty()).then_some(value)
    }
}

fn field(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).map(|value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// The path of `Location`, be it a path or a URL.
pub(super) fn location_path(headers: &HeaderMap) -> Option<&str> {
    let location = headers.get(header::LOCATION)?.to_str().ok()?.trim();
    let path = match location.split_once("://") {
        Some((_, rest)) => &rest[rest.find('/')?..],
        None => location,
    };
    let end = path.find(['?', '#']).unwrap_or(path.len());
    path.starts_with('/').then(|| &path[..end])
}
