//! What answers of our own look like: the shop's own pages where they are configured, a line of text elsewhere.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};

use super::body::ResponseBody;
use crate::config::{ErrorPage, StatusPattern};

/// The pages, parsed once.
#[derive(Debug)]
pub struct Pages {
    pages: Vec<Page>,
    has_json: bool,
}

#[derive(Debug)]
struct Page {
    status: StatusPattern,
    media_type: HeaderValue,
    is_json: bool,
    pieces: Vec<Piece>,
}

#[derive(Debug)]
enum Piece {
    Text(Bytes),
    Place(Place),
}

/// What is filled in.
#[derive(Debug, Clone, Copy)]
enum Place {
    Status,
    Reason,
    RequestId,
}

const PLACES: [(&str, Place); 3] =
    [("{status}", Place::Status), ("{reason}", Place::Reason), ("{request_id}", Place::RequestId)];

/// Who is answered.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asker<'a> {
    /// The request's id.
    pub request_id: Option<&'a HeaderValue>,
    /// Whether it is a program rather than a person, as far as `Accept` tells ([`Pages::wants_json`]).
    pub wants_json: bool,
}

impl Pages {
    /// The configured pages; an exact status goes before a class.
    pub fn new(pages: &[ErrorPage]) -> Self {
        let mut pages: Vec<Page> = pages.iter().map(Page::new).collect();
        pages.sort_by_key(|page| matches!(page.status, StatusPattern::Class(_)));
        Pages { has_json: pages.iter().any(|page| page.is_json), pages }
    }

    /// Whether the client asks for JSON and not for HTML. It matters only where there are pages for both.
    pub fn wants_json(&self, headers: &HeaderMap) -> bool {
        let accepts = |media_type: &[u8]| {
            let mut lines = headers.get_all(header::ACCEPT).iter();
            lines.any(|line| memchr::memmem::find(line.as_bytes(), media_type).is_some())
        };
        self.has_json && accepts(b"json") && !accepts(b"text/html")
    }

    /// An answer of our own, never to be cached.
    pub fn respond(&self, status: StatusCode, asker: Asker<'_>) -> Response<ResponseBody> {
        let Some((media_type, text)) = self.page(status, asker) else {
            let reason = reason(status);
            let text = match asker.request_id.and_then(|id| id.to_str().ok()) {
                Some(id) => Bytes::from(format!("{reason}\nrequest id: {id}\n")),
                None => Bytes::from_static(reason.as_bytes()),
            };
            return answer(status, HeaderValue::from_static("text/plain; charset=utf-8"), text);
        };
        answer(status, media_type, text)
    }

    /// The configured page for a status: its media type and text.
    pub fn page(&self, status: StatusCode, asker: Asker<'_>) -> Option<(HeaderValue, Bytes)> {
        let fitting = || self.pages.iter().filter(|page| page.status.matches(status.as_u16()));
        // Who wants neither gets what there is.
        let page = fitting().find(|page| page.is_json == asker.wants_json).or_else(|| fitting().next())?;
        Some((page.media_type.clone(), page.fill(status, asker.request_id)))
    }
}

impl Page {
    fn new(page: &ErrorPage) -> Self {
        let extension = page.file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let is_json = extension.eq_ignore_ascii_case("json");
        let media_type = match extension.to_ascii_lowercase().as_str() {
            "json" => "application/json",
            "txt" => "text/plain; charset=utf-8",
            _ => "text/html; charset=utf-8",
        };
        let media_type = HeaderValue::from_static(media_type);
        Page { status: page.status, media_type, is_json, pieces: pieces(&page.text) }
    }

    fn fill(&self, status: StatusCode, request_id: Option<&HeaderValue>) -> Bytes {
        if let [Piece::Text(text)] = self.pieces.as_slice() {
            return text.clone();
        }
        let mut filled = Vec::new();
        for piece in &self.pieces {
            filled.extend_from_slice(match piece {
                Piece::Text(text) => text,
                Piece::Place(Place::Status) => status.as_str().as_bytes(),
                Piece::Place(Place::Reason) => reason(status).as_bytes(),
                Piece::Place(Place::RequestId) => request_id.map_or(b"-", HeaderValue::as_bytes),
            });
        }
        filled.into()
    }
}

fn pieces(mut text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let next = |text: &str| {
        let found = PLACES.iter().filter_map(|(name, place)| Some((text.find(name)?, name.len(), *place)));
        found.min_by_key(|(at, ..)| *at)
    };
    while let Some((at, length, place)) = next(text) {
        pieces.push(Piece::Text(Bytes::copy_from_slice(&text.as_bytes()[..at])));
        pieces.push(Piece::Place(place));
        text = &text[at + length..];
    }
    pieces.push(Piece::Text(Bytes::copy_from_slice(text.as_bytes())));
    pieces
}

fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Error")
}

fn answer(status: StatusCode, media_type: HeaderValue, text: Bytes) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Whole(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, media_type);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A small text of our own, never to be cached.
pub fn text(status: StatusCode, text: &'static str) -> Response<ResponseBody> {
    let media_type = HeaderValue::from_static("text/plain; charset=utf-8");
    answer(status, media_type, Bytes::from_static(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(status: StatusPattern, file: &str, text: &str) -> ErrorPage {
        ErrorPage { status, file: file.into(), text: text.to_owned() }
    }

    fn shown(pages: &Pages, status: u16, asker: Asker<'_>) -> String {
        match pages.respond(StatusCode::from_u16(status).unwrap(), asker).into_body() {
            ResponseBody::Whole(text) => String::from_utf8(text.to_vec()).unwrap(),
            _ => panic!("an answer of our own is whole"),
        }
    }

    #[test]
    fn the_page_of_a_status_goes_before_that_of_its_class() {
        let pages = Pages::new(&[
            page(StatusPattern::Class(5), "5xx.html", "<p>{status} {reason} {request_id}</p>"),
            page(StatusPattern::Exact(502), "502.html", "bad"),
            page(StatusPattern::Class(5), "5xx.json", "{\"status\":{status}}"),
        ]);
        let id = HeaderValue::from_static("id-1");
        let person = Asker { request_id: Some(&id), wants_json: false };
        assert_eq!(shown(&pages, 502, person), "bad");
        assert_eq!(shown(&pages, 504, person), "<p>504 Gateway Timeout id-1</p>");
        assert_eq!(shown(&pages, 504, Asker::default()), "<p>504 Gateway Timeout -</p>");
        assert_eq!(shown(&pages, 504, Asker { wants_json: true, ..person }), "{\"status\":504}");
        assert_eq!(shown(&pages, 502, Asker { wants_json: true, ..person }), "{\"status\":502}");
        assert_eq!(shown(&pages, 400, person), "Bad Request\nrequest id: id-1\n");
        assert_eq!(shown(&pages, 400, Asker::default()), "Bad Request");
    }

    #[test]
    fn programs_are_known_by_what_they_accept() {
        let pages = Pages::new(&[page(StatusPattern::Class(5), "5xx.json", "{}")]);
        for (accept, wanted) in [
            ("application/json", true),
            ("application/problem+json, */*", true),
            ("text/html,application/json;q=0.9", false),
            ("*/*", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(pages.wants_json(&headers), wanted, "{accept}");
        }
    }
}
