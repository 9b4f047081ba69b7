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
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::header::{
    ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::dashboard::layout::Page;
use crate::dashboard::parts::View;
use crate::dashboard::question::{Defaults, Question};
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

/// Rows of a list's file: as many as the API gives at once.
const MOST_ROWS: &str = "1000";

/// Reports whose rows have tags as they were seen, which filters do not know.
const RAW: [&str; 1] = ["tag-health"];

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
    let locale = locale_of(parts, &question_of(parts).unwrap_or_default());
    answer(status, layout::login(locale, &root(parts.uri.path()), next, refusal))
}

/// A refusal in words, for people.
pub fn refused(parts: &Parts, status: StatusCode, detail: &str) -> Response {
    let question = question_of(parts).unwrap_or_default();
    let locale = locale_of(parts, &question);
    answer(status, layout::plain(locale, &root(parts.uri.path()), &question, word(detail, locale)))
}

type Pages = State<Arc<Reports>>;

/// What a path names; an error where it is no text.
type Named = Result<Path<String>, PathRejection>;

/// What a page is asked.
struct Asked {
    parts: Parts,
    question: Question,
    locale: Locale,
    root: String,
}

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Asked, Response> {
        let Some(question) = question_of(parts) else {
            return Err(refused(parts, StatusCode::URI_TOO_LONG, "too_long"));
        };
        let (root, locale) = (root(parts.uri.path()), locale_of(parts, &question));
        let asked = Asked { parts: parts.clone(), question, locale, root };
        match asked.question.with_added() {
            Some(question) => Err(asked.elsewhere(&question)),
            None => Ok(asked),
        }
    }
}

impl Asked {
    /// With what is usual on the page.
    fn or(mut self, defaults: Defaults) -> Asked {
        self.question = self.question.or(defaults);
        self
    }

    /// The same page, asked otherwise.
    fn elsewhere(&self, question: &Question) -> Response {
        let page = self.parts.uri.path().rsplit('/').next().unwrap_or_default();
        // Relative to here: whatever the page is called, it is none of another host.
        (StatusCode::SEE_OTHER, [(LOCATION, format!("./{page}{}", question.link()))]).into_response()
    }

    fn page<'a>(
        &'a self,
        name: &'a str,
        about: Option<&'a str>,
        sorts: &'a [String],
        has_filters: bool,
    ) -> Page<'a> {
        let (question, locale, root) = (&self.question, self.locale, self.root.as_str());
        let view = View { question, locale, root, sorts, has_filters };
        Page { view, name, about, is_signed_in: self.parts.extensions.get::<SignedIn>().is_some() }
    }
}

async fn overview(State(reports): Pages, asked: Asked) -> Response {
    let page = asked.page("overview", None, &[], true);
    let (status, main) = overview::main(&page, &reports, &asked).await;
    answer(status, page.document(&main))
}

async fn sheet(State(reports): Pages, name: Named, asked: Asked) -> Response {
    let name = name.map(|name| name.0).unwrap_or_default();
    let (Some(sheet), Some(takes)) = (Sheet::of(&name), reports.takes(&name)) else {
        return nothing_there(&asked);
    };
    let asked = asked.or(sheet.defaults);
    let has_filters = takes.names.contains("source") && !RAW.contains(&sheet.name);
    let page = asked.page(sheet.name, None, &takes.sorts, has_filters);
    if name == "ab-test" && asked.question.one("campaign").is_none() {
        let controls = page.controls(takes, None);
        let main = html! { (controls) p.nothing { (word("choose_campaign", asked.locale)) } };
        return answer(StatusCode::OK, page.document(&main));
    }
    let report = reports.ask(sheet.name, &name, &name, &asked.question.without(sheet.fixed())).await;
    let controls = page.controls(takes, report.as_ref().ok());
    let (status, shown) = shown(&page, sheet, report);
    let file = takes.names.contains("format").then(|| {
        let question = asked.question.without(sheet.fixed()).with("format", "csv");
        let question = if asked.question.one("limit").is_none() { question.with("limit", MOST_ROWS) } else { question };
        let query = question.to(&takes.names).query;
        html! { p { a href=(format!("{}api/v1/{name}?{query}", asked.root)) { (word("as_file", asked.locale)) " (CSV)" } } }
    });
    let main = html! {
        (controls)
        @if name == "realtime" { label.live hidden { input type="checkbox"; " " (word("live", asked.locale)) } }
        (shown)
        @if let Some(file) = file { (file) }
    };
    answer(status, page.document(&main))
}

async fn session(State(reports): Pages, id: Named, asked: Asked) -> Response {
    one(&reports, &SESSION, "sessions/{id}", id, asked).await
}

async fn order(State(reports): Pages, id: Named, asked: Asked) -> Response {
    one(&reports, &ORDER, "orders/{id}/explain", id, asked).await
}

/// A page about the thing of this id.
async fn one(reports: &Reports, sheet: &'static Sheet, report: &str, id: Named, asked: Asked) -> Response {
    let Ok(Path(id)) = id else { return nothing_there(&asked) };
    let asked = asked.or(sheet.defaults);
    let path = report.replace("{id}", &utf8_percent_encode(&id, NON_ALPHANUMERIC).to_string());
    let answered = reports.ask(sheet.name, report, &path, &asked.question.about_one()).await;
    let page = asked.page(sheet.name, Some(&id), &[], false);
    let (status, shown) = shown(&page, sheet, answered);
    answer(status, page.document(&shown))
}

/// The parts of a report, the way to the rows that follow, and the notes; or why there is none.
fn shown(page: &Page<'_>, sheet: &Sheet, report: Result<Report, Refusal>) -> (StatusCode, Markup) {
    let report = match report {
        Ok(report) => report,
        Err(refusal) => return (refusal.status(), page.refusal(&refusal)),
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

fn nothing_there(asked: &Asked) -> Response {
    refused(&asked.parts, StatusCode::NOT_FOUND, "not_found")
}

async fn exports(State(reports): Pages, asked: Asked) -> Response {
    let Some(takes) = reports.takes("export") else { return nothing_there(&asked) };
    let page = asked.page("exports", None, &[], true);
    let question = asked.question.lasting();
    let link = |kind: &str, format: &str| {
        let question = question.with("type", kind).with("format", format).with("locale", asked.locale.name());
        format!("{}api/v1/export?{}", asked.root, question.to(&takes.names).query)
    };
    let main = html! {
        (page.controls(takes, None))
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
    answer(StatusCode::OK, page.document(&main))
}

async fn asset(content_type: &'static str, text: &'static str) -> Response {
    ([(CONTENT_TYPE, content_type), (CACHE_CONTROL, A_YEAR), (X_CONTENT_TYPE_OPTIONS, "nosniff")], text)
        .into_response()
}

fn answer(status: StatusCode, document: Markup) -> Response {
    let headers: [(HeaderName, &str); 5] = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "same-origin"),
    ];
    (status, headers, document.into_string()).into_response()
}

/// None when it is too long.
fn question_of(parts: &Parts) -> Option<Question> {
    Question::read(parts.uri.query().unwrap_or_default())
}

/// The language that the address says, else the one that the browser likes best.
fn locale_of(parts: &Parts, question: &Question) -> Locale {
    question.one("lang").and_then(Locale::of).unwrap_or_else(|| {
        let languages = parts.headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        Locale::accepted(languages.unwrap_or_default())
    })
}

/// The way from this path back to `/`: pages work wherever a proxy puts them.
fn root(path: &str) -> String {
    "../".repeat(path.matches('/').count().saturating_sub(1))
}
