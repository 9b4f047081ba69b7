//! The first page: the numbers of a window beside those before it, their course, and the heads of the lists.

use futures_util::future::join_all;
use maud::{Markup, html};
use serde_json::Value;

use crate::dashboard::Asked;
use crate::dashboard::layout::Page;
use crate::dashboard::numbers::written;
use crate::dashboard::parts::{Shape, as_number};
use crate::dashboard::question::Question;
use crate::dashboard::reports::{Refusal, Report, Reports, Takes};
use crate::dashboard::sheets::{FEW_MEASURES, Part};
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

/// The lists: how many rows, and what they are about.
const LISTS: [(&str, &str, Shape); 8] = [
    ("channels", "6", few(&["channel"])),
    ("sources", "10", few(&["source"])),
    ("campaigns", "10", few(&["campaign", "source"])),
    ("content", "6", few(&["content", "campaign"])),
    ("landing-pages", "6", few(&["landing_page"])),
    (
        "products",
        "6",
        Shape { labels: &["name"], numbers: &["views", "cart_adds", "purchases"], bar: "views" },
    ),
    ("devices", "6", few(&["device", "model"])),
    ("geo", "6", few(&["country_name"])),
];

/// Fewer sessions, and a rate says so little that its interval is told instead.
const ENOUGH: f64 = 100.0;

const fn few(labels: &'static [&'static str]) -> Shape {
    Shape { labels, numbers: FEW_MEASURES, bar: "sessions" }
}

/// All below the title.
pub(crate) async fn main(page: &Page<'_>, reports: &Reports, asked: &Asked) -> Markup {
    let of = |question: Question, name: &'static str| async move { reports.ask(name, name, &question).await };
    let beside = match asked.question.period() {
        Some("all_time") => asked.question.clone(), // nothing was before
        _ => asked.question.with("compare", asked.question.one("compare").unwrap_or("previous_period")),
    };
    let funnel = asked.question.with("mode", "open");
    let lists = LISTS.iter().map(|(name, limit, _)| of(asked.question.with("limit", limit), name));
    let (compared, series, funnel, lists) = tokio::join!(
        of(asked.question.clone(), "compare"),
        of(beside, "timeseries"),
        of(funnel, "funnel"),
        join_all(lists),
    );
    let all = [&compared, &series, &funnel].into_iter().chain(&lists);
    let all: Vec<&Report> = all.filter_map(|one| one.as_ref().ok()).collect();
    let nothing = Takes::default();
    let shown = LISTS.iter().flat_map(|(.., shape)| shape.labels.iter().chain(shape.numbers));
    let fields = CARDS.iter().map(|(field, _)| field).chain(shown).copied();
    html! {
        (page.controls(reports.takes("compare").unwrap_or(&nothing), compared.as_ref().ok()))
        (or_refusal(&compared, |report| cards(page, report, series.as_ref().ok())))
        (or_refusal(&series, |report| html! {
            (page.view.part(&Part::Series { fields: &DRAWN }, report))
        }))
        div.pair {
            section {
                (heading(page, "funnel"))
                (or_refusal(&funnel, |report| {
                    let shape = Shape { labels: &["step"], numbers: &["sessions", "rate_of_total"], bar: "rate_of_total" };
                    page.view.table(report, report.rows(""), &shape)
                }))
            }
            @for ((name, _, shape), list) in LISTS.iter().zip(&lists) {
                section {
                    (heading(page, name))
                    (or_refusal(list, |report| page.view.table(report, report.rows(""), shape)))
                }
            }
        }
        (page.notes(&all, fields))
    }
}

fn cards(page: &Page<'_>, compared: &Report, series: Option<&Report>) -> Markup {
    let (now, before) = (compared.at("/current"), compared.at("/previous"));
    html! {
        dl.cards {
            @for (field, course) in CARDS {
                @let course: Vec<f64> = series.map_or(&[][..], |series| series.rows("")).iter()
                    .filter_map(|row| as_number(&row[course])).collect();
                @let note = page.view.change(field, &now[field], &before[field], &compared.at("/change")[field]);
                @let doubt = (field == "conversion_rate").then(|| doubt(page, now)).flatten();
                (page.view.card(compared, field, &now[field], &course, doubt.or(note)))
            }
        }
    }
}

/// Where the true rate lies, when there is too little to say it.
fn doubt(page: &Page<'_>, now: &Value) -> Option<Markup> {
    let is_few =
        as_number(&now["total_sessions"]).is_some_and(|sessions| sessions > 0.0 && sessions < ENOUGH);
    let interval = &now["conversion_rate_interval"];
    (is_few && !interval.is_null()).then(|| {
        let interval = written(interval, Kind::Interval, page.view.locale);
        html! { span.change.few title=(page.view.word("too_few")) { (page.view.word("too_few")) " " (interval) } }
    })
}

fn heading(page: &Page<'_>, name: &str) -> Markup {
    let lasting = page.view.question.lasting().link();
    html! {
        h2 { (page.view.word(name)) " " a.whole href=(format!("reports/{name}{lasting}")) aria-label=(format!("{}: {}", page.view.word(name), page.view.word("whole"))) { (page.view.word("whole")) } }
    }
}

/// An error is an error, and no zero.
fn or_refusal(report: &Result<Report, Refusal>, show: impl FnOnce(&Report) -> Markup) -> Markup {
    match report {
        Ok(report) => show(report),
        Err(refusal) => Page::refusal(refusal),
    }
}
