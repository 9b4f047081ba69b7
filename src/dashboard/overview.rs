//! The first page: the numbers of a window beside those before it, their course, and the heads of the lists.

use axum::http::StatusCode;
use futures_util::future::join_all;
use maud::{Markup, html};
use serde_json::Value;

use crate::dashboard::Asked;
use crate::dashboard::layout::Page;
use crate::dashboard::numbers::written;
use crate::dashboard::parts::{Fields, as_number};
use crate::dashboard::question::Question;
use crate::dashboard::reports::{Refusal, Report, Reports, Takes};
use crate::dashboard::sheets::{FEW_MEASURES, FEWER_MEASURES, Part, Sheet, Table};
use crate::terms::Kind;

/// The cards, each with the field of the series that is its course.
const CARDS: [(&str, &str); 9] = [
    ("total_sessions", "sessions"),
    ("unique_visitors", "visitors"),
    ("page_views", "page_views"),
    ("total_conversions", "conversions"),
    ("conversion_rate", ""),
    ("total_orders", "orders"),
    ("total_revenue", "revenue"),
    ("avg_order_value", ""),
    ("bounce_rate", ""),
];

/// What is drawn in the course of time.
const DRAWN: [&str; 2] = ["sessions", "revenue"];

/// The lists: how many rows, what they are about and their numbers.
const LISTS: [(&str, &str, &[&str], &[&str]); 8] = [
    ("channels", "6", &["channel"], FEW_MEASURES),
    ("sources", "10", &["source"], FEW_MEASURES),
    ("campaigns", "10", &["campaign", "source", "medium"], FEWER_MEASURES),
    ("content", "6", &["content", "campaign", "source"], FEWER_MEASURES),
    ("landing-pages", "6", &["landing_page"], FEW_MEASURES),
    ("products", "6", &["name"], &["views", "cart_adds", "purchases"]),
    ("devices", "6", &["device", "brand", "model"], FEWER_MEASURES),
    ("geo", "6", &["country_name"], FEW_MEASURES),
];

/// Fewer sessions, and a rate says so little that its interval is told instead.
const ENOUGH: f64 = 100.0;

/// All below the title; the status of the page is that of its numbers.
pub(crate) async fn main(page: &Page<'_>, reports: &Reports, asked: &Asked) -> (StatusCode, Markup) {
    let nothing = Takes::default();
    let takes = reports.takes("compare").unwrap_or(&nothing);
    let of = |question: Question, name: &'static str| async move {
        reports.ask(name, name, name, &question).await
    };
    let general = match of(asked.question.clone(), "general-stats").await {
        Ok(general) => general,
        // What is asked wrongly, or of a database that is away, is so for all the rest.
        Err(refusal) => {
            let main = html! { (page.controls(takes, None)) (page.refusal(&refusal)) };
            return (refusal.status(), main);
        }
    };
    let compare = asked.question.one("compare").unwrap_or("previous_period");
    let beside = asked.question.without(&["compare"]);
    let beside = if is_since_ever(&general) { beside } else { beside.with("compare", compare) };
    let funnel = asked.question.clone().or(Sheet::of("funnel").map_or(&[], |sheet| sheet.defaults));
    let listed = asked.question.lasting();
    let lists = LISTS.iter().map(|(name, limit, ..)| of(listed.with("limit", limit), name));
    let (compared, series, funnel, lists) = tokio::join!(
        of(asked.question.clone(), "compare"),
        of(beside, "timeseries"),
        of(funnel, "funnel"),
        join_all(lists),
    );
    let others = [&compared, &series, &funnel].into_iter().chain(&lists).filter_map(|one| one.as_ref().ok());
    let all: Vec<&Report> = std::iter::once(&general).chain(others).collect();
    let cards_fields = CARDS.iter().map(|(field, _)| (*field).to_owned());
    let of_lists = LISTS.iter().flat_map(|(name, _, labels, numbers)| {
        labels.iter().chain(*numbers).map(move |field| format!("{name}/{field}"))
    });
    let main = html! {
        (page.controls(takes, compared.as_ref().ok()))
        (cards(page, &general, compared.as_ref().ok(), series.as_ref().ok()))
        (or_refusal(page, &series, |series| page.view.part(&Part::Series { fields: &DRAWN }, series)))
        div.pair {
            section {
                (heading(page, "funnel"))
                (or_refusal(page, &funnel, |report| {
                    page.view.table(report, &Table {
                        title: "", at: "", labels: &["step"], numbers: &["sessions", "rate_of_total"], bar: "rate_of_total",
                    })
                }))
            }
            @for ((name, _, labels, numbers), list) in LISTS.iter().zip(&lists) {
                section {
                    (heading(page, name))
                    (or_refusal(page, list, |report| page.view.table(report, &Table { title: "", at: "", labels, numbers, bar: numbers[0] })))
                }
            }
        }
        (page.notes(&all, cards_fields.chain(of_lists)))
    };
    (StatusCode::OK, main)
}

/// Each number beside that of the window before, if one was before.
fn cards(page: &Page<'_>, general: &Report, compared: Option<&Report>, series: Option<&Report>) -> Markup {
    let now = general.at("");
    let compared = compared.filter(|_| !is_since_ever(general));
    let fields = Fields::of(general.name, "");
    html! {
        dl.cards {
            @for (field, course) in CARDS {
                @let course: Vec<f64> = series.map_or(&[][..], |series| series.rows("")).iter()
                    .filter_map(|row| as_number(&row[course])).collect();
                @let note = compared.and_then(|compared| {
                    page.view.change(field, &now[field], &compared.at("/previous")[field], &compared.at("/change")[field])
                });
                @let doubt = (field == "conversion_rate").then(|| doubt(page, now)).flatten();
                (page.view.card(&fields, general, field, &now[field], &course, doubt.or(note)))
            }
        }
    }
}

/// Nothing was before such a window.
fn is_since_ever(report: &Report) -> bool {
    report.meta("from").is_null()
}

/// Where the true rate lies, when there is too little to say it.
fn doubt(page: &Page<'_>, now: &Value) -> Option<Markup> {
    let is_few =
        as_number(&now["total_sessions"]).is_some_and(|sessions| sessions > 0.0 && sessions < ENOUGH);
    let interval = &now["conversion_rate_interval"];
    (is_few && !interval.is_null()).then(|| {
        let interval = written(interval, Kind::Interval, page.view.locale);
        html! { span.change.few { (page.view.word("too_few")) " " (interval) } }
    })
}

fn heading(page: &Page<'_>, name: &str) -> Markup {
    let lasting = page.view.question.lasting().link();
    html! {
        h2 { (page.view.word(name)) " " a.whole href=(format!("reports/{name}{lasting}")) aria-label=(format!("{}: {}", page.view.word(name), page.view.word("whole"))) { (page.view.word("whole")) } }
    }
}

/// An error is an error, and no zero.
fn or_refusal(
    page: &Page<'_>,
    report: &Result<Report, Refusal>,
    show: impl FnOnce(&Report) -> Markup,
) -> Markup {
    match report {
        Ok(report) => show(report),
        Err(refusal) => page.refusal(refusal),
    }
}
