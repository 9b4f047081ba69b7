//! The pages of the stats port: HTML and SVG that are made here, for browsers with and without scripts.
//!
//! A page asks the `reports` it shows by the API itself, within the process; `sheets` says which page shows what,
//! `question` what its address asks for, `parts` and `layout` how it looks. Nothing here knows of the database, and
//! nothing is asked of another host.

mod chart;
mod layout;
mod numbers;
mod overview;
mod parts;
mod question;
mod reports;
mod sheets;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::header::{
    ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};

use crate::dashboard::layout::Page;
use crate::dashboard::parts::View;
use crate::dashboard::question::Question;
use crate::dashboard::reports::{Refusal, Report, Reports};
use crate::dashboard::sheets::{EXPORTS, ORDER, SESSION, Sheet};
use crate::dashboard::words::word;
use crate::terms::Locale;

pub(crate) const STYLE: &str = include_str!("style.css");
pub(crate) const SCRIPT: &str = include_str!("script.js");

/// Nothing is loaded from elsewhere, nothing runs that is not a file of this port, nobody puts a page into a frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Assets change their address when they change.
const A_YEAR: &str = "private, max-age=31536000, immutable";

/// A request came from somebody who is signed in, and can sign out.
#[derive(Debug, Clone, Copy)]
pub struct SignedIn;

/// The pages, with answers from this API, which describes itself by this document (OpenAPI).
pub fn pages(api: Router, document: &[u8]) -> Router {
    Router::new()
        .route("/", get(overview))
        .route("/reports/{*name}", get(sheet))
        .route("/sessions/{id}", get(session))
        .route("/orders/{id}", get(order))
        .route("/exports", get(exports))
        .route("/assets/style.css", get(|| asset("text/css; charset=utf-8", STYLE)))
        .route("/assets/script.js", get(|| asset("text/javascript; charset=utf-8", SCRIPT)))
        .with_state(Arc::new(Reports::new(api, document)))
}

/// Where a token is given; `next` is where to go then, `refusal` the word for why the last one was not taken.
pub fn login(parts: &Parts, status: StatusCode, next: &str, refusal: Option<&str>) -> Response {
    answer(status, &layout::login(accepted(&parts.headers), &root(parts.uri.path()), next, refusal))
}

/// A refusal in words, for people.
pub fn refused(parts: &Parts, status: StatusCode, detail: &str) -> Response {
    answer(status, &layout::plain(accepted(&parts.headers), &root(parts.uri.path()), detail))
}

/// What of an asset's address changes with it.
pub(crate) fn asset_version(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

type Pages = State<Arc<Reports>>;

/// What a page is asked.
struct Asked {
    parts: Parts,
    question: Question,
    locale: Locale,
    root: String,
}

impl Asked {
    fn read(request: Request) -> Asked {
        let (parts, _) = request.into_parts();
        let question = Question::read(parts.uri.query().unwrap_or_default());
        let locale = question.one("lang").and_then(Locale::of).unwrap_or_else(|| accepted(&parts.headers));
        Asked { root: root(parts.uri.path()), question, locale, parts }
    }

    fn page<'a>(&'a self, name: &'a str, about: Option<&'a str>, sorts: &'a [String]) -> Page<'a> {
        let (question, locale, root) = (&self.question, self.locale, self.root.as_str());
        let view = View { question, locale, root, sorts, has_filters: about.is_none() };
        Page { view, name, about, is_signed_in: self.parts.extensions.get::<SignedIn>().is_some() }
    }

    /// The same page with the filter that was typed, at the address that says so.
    fn with_added(&self) -> Option<Response> {
        let path = self.parts.uri.path().rsplit('/').next().unwrap_or_default();
        let to = self.question.with_added()?.link();
        let to = if path.is_empty() { format!("./{to}") } else { format!("{path}{to}") };
        Some((StatusCode::SEE_OTHER, [(LOCATION, to)]).into_response())
    }

    async fn ask(&self, reports: &Reports, name: &str, path: &str) -> Result<Report, Refusal> {
        reports.ask(name, path, &self.question).await
    }
}

async fn overview(State(reports): Pages, request: Request) -> Response {
    let asked = Asked::read(request);
    if let Some(response) = asked.with_added() {
        return response;
    }
    let page = asked.page("overview", None, &[]);
    answer(StatusCode::OK, &page.document(&overview::main(&page, &reports, &asked).await))
}

async fn sheet(State(reports): Pages, Path(name): Path<String>, request: Request) -> Response {
    let asked = Asked::read(request);
    if let Some(response) = asked.with_added() {
        return response;
    }
    let (Some(sheet), Some(takes)) = (Sheet::of(&name), reports.takes(&name)) else {
        return refused(&asked.parts, StatusCode::NOT_FOUND, word("not_found", asked.locale));
    };
    let page = asked.page(sheet.name, None, &takes.sorts);
    if name == "ab-test" && asked.question.one("campaign").is_none() {
        let controls = page.controls(takes, None);
        let main = html! { (controls) p.nothing { (word("choose_campaign", asked.locale)) } };
        return answer(StatusCode::OK, &page.document(&main));
    }
    let report = asked.ask(&reports, &name, &name).await;
    let controls = page.controls(takes, report.as_ref().ok());
    let (status, shown) = shown(&page, sheet, report);
    let file = takes.parameters.iter().any(|(name, _)| name == "format").then(|| {
        let query = asked.question.with("format", "csv").to(&takes.names).query;
        html! { p { a href=(format!("{}api/v1/{name}?{query}", asked.root)) { (word("as_file", asked.locale)) " (CSV)" } } }
    });
    let mut response =
        answer(status, &page.document(&html! { (controls) (shown) @if let Some(file) = file { (file) } }));
    if name == "realtime" {
        response.headers_mut().insert("refresh", const { axum::http::HeaderValue::from_static("15") });
    }
    response
}

async fn session(State(reports): Pages, Path(id): Path<String>, request: Request) -> Response {
    let asked = Asked::read(request);
    let path = format!("sessions/{}", utf8_percent_encode(&id, NON_ALPHANUMERIC));
    one(&asked, &SESSION, &id, asked.ask(&reports, "sessions/{id}", &path).await)
}

async fn order(State(reports): Pages, Path(id): Path<String>, request: Request) -> Response {
    let asked = Asked::read(request);
    let path = format!("orders/{}/explain", utf8_percent_encode(&id, NON_ALPHANUMERIC));
    one(&asked, &ORDER, &id, asked.ask(&reports, "orders/{id}/explain", &path).await)
}

/// A page about one thing.
fn one(asked: &Asked, sheet: &Sheet, id: &str, report: Result<Report, Refusal>) -> Response {
    let page = asked.page(sheet.name, Some(id), &[]);
    let (status, shown) = shown(&page, sheet, report);
    answer(status, &page.document(&shown))
}

/// The parts of a report, the way to the rows that follow, and the notes; or why there is none.
fn shown(page: &Page<'_>, sheet: &Sheet, report: Result<Report, Refusal>) -> (StatusCode, Markup) {
    let report = match report {
        Ok(report) => report,
        Err(refusal) => {
            let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            return (status, Page::refusal(&refusal));
        }
    };
    let next =
        report.meta("next_cursor").as_str().map(|cursor| page.view.question.with("cursor", cursor).link());
    let main = html! {
        @for part in sheet.parts { (page.view.part(part, &report)) }
        @if let Some(next) = next { p { a.next href=(next) rel="next" { (page.view.word("next")) } } }
        (page.notes(&[&report], sheet.fields()))
    };
    (StatusCode::OK, main)
}

async fn exports(State(reports): Pages, request: Request) -> Response {
    let asked = Asked::read(request);
    if let Some(response) = asked.with_added() {
        return response;
    }
    let page = asked.page("exports", None, &[]);
    let Some(takes) = reports.takes("export") else {
        return refused(&asked.parts, StatusCode::NOT_FOUND, word("not_found", asked.locale));
    };
    let question = asked.question.lasting();
    let link = |kind: &str, format: &str| {
        let question = question.with("type", kind).with("format", format).with("locale", asked.locale.name());
        format!("{}api/v1/export?{}", asked.root, question.to(&takes.names).query)
    };
    let mut controls = takes.clone();
    controls.parameters.clear();
    let main = html! {
        (page.controls(&controls, None))
        p { (word("export.lead", asked.locale)) }
        ul.files {
            @for kind in EXPORTS {
                li {
                    (word(&format!("export.{kind}"), asked.locale)) ": "
                    a href=(link(kind, "csv")) { "CSV" } " · " a href=(link(kind, "ndjson")) { "NDJSON" }
                }
            }
        }
    };
    answer(StatusCode::OK, &page.document(&main))
}

async fn asset(content_type: &'static str, text: &'static str) -> Response {
    ([(CONTENT_TYPE, content_type), (CACHE_CONTROL, A_YEAR), (X_CONTENT_TYPE_OPTIONS, "nosniff")], text)
        .into_response()
}

fn answer(status: StatusCode, document: &Markup) -> Response {
    let headers: [(HeaderName, &str); 5] = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "same-origin"),
    ];
    (status, headers, document.0.clone()).into_response()
}

fn accepted(headers: &HeaderMap) -> Locale {
    let languages = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    Locale::accepted(languages.unwrap_or_default())
}

/// The way from this path back to `/`: pages work wherever a proxy puts them.
fn root(path: &str) -> String {
    "../".repeat(path.matches('/').count().saturating_sub(1))
}
