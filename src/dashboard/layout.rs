//! What all pages have around them: navigation, the window and the filters, what belongs to the numbers.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use maud::{DOCTYPE, Markup, html};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::dashboard::numbers::{NOTHING, begin, to_the_second};
use crate::dashboard::parts::View;
use crate::dashboard::question::{Question, days_later};
use crate::dashboard::reports::{OF_PROGRAMS, Refusal, Report, Takes};
use crate::dashboard::sheets::{GROUPS, SHEETS, Sheet};
use crate::dashboard::words::{known, word};
use crate::dashboard::{SCRIPT, STYLE};
use crate::terms::{FILTERS, LOCALES, Locale, Term};

/// What can be chosen on all pages that know it.
const CHOICES: [&str; 3] = ["bots", "date_basis", "model"];

/// Parameters that are numbers.
const NUMBERS: [&str; 5] = ["ad_spend", "margin", "minimum_effect", "periods", "limit"];

/// Parameters that have a place of their own on the page, or in its links.
const PLACED: [&str; 13] = [
    "timezone",
    "period",
    "from",
    "to",
    "bots",
    "site",
    "date_basis",
    "model",
    "cursor",
    "sort",
    "type",
    "locale",
    "conversion_name",
];

/// Where assets are: their addresses change when they do.
static ASSETS: LazyLock<[String; 2]> = LazyLock::new(|| {
    [("style.css", STYLE), ("script.js", SCRIPT)].map(|(name, text)| {
        let digest = Sha256::digest(text.as_bytes());
        let version: String = digest[..6].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("assets/{name}?{version}")
    })
});

/// What a page is, besides its parts.
pub(crate) struct Page<'a> {
    pub(crate) view: View<'a>,
    /// The page's name, which is a word's, too.
    pub(crate) name: &'a str,
    /// What it is about, where the name does not say it.
    pub(crate) about: Option<&'a str>,
    /// Whether somebody is signed in who can sign out.
    pub(crate) is_signed_in: bool,
}

impl Page<'_> {
    /// The whole document.
    pub(crate) fn document(&self, main: &Markup) -> Markup {
        let View { locale, root, question, .. } = self.view;
        let other = LOCALES.iter().find(|name| **name != locale.name()).copied().unwrap_or_default();
        document(
            locale,
            root,
            self.title(),
            &html! {
                header.top {
                    a.menu href="#pages" { (self.view.word("menu")) }
                    a.brand href=(at_root(root, &question.lasting())) { "utm-dispatcher" }
                    a.language href=(question.with("lang", other).link()) lang=(other) hreflang=(other) { (self.view.word("language")) }
                    @if self.is_signed_in {
                        form method="post" action=(format!("{root}logout?lang={}", locale.name())) { button { (self.view.word("logout")) } }
                    }
                }
                div.frame {
                    (self.navigation())
                    main id="main" {
                        h1 { (self.title()) @if let Some(about) = self.about { " " code { (about) } } }
                        (main)
                    }
                }
            },
        )
    }

    /// The window and the filters, and what else the report takes; with what it took where nothing is said.
    pub(crate) fn controls(&self, takes: &Takes, report: Option<&Report>) -> Markup {
        let question = self.view.question;
        let has = |name: &str| takes.names.contains(name);
        let is_own = |name: &str| {
            let is_filter = FILTERS.contains(&name.trim_end_matches(['!', '~']));
            let is_placed = PLACED.contains(&name) || OF_PROGRAMS.contains(&name);
            !is_placed && (!is_filter || self.name == "ab-test" && name == "campaign")
        };
        let own: Vec<_> = takes.parameters.iter().filter(|(name, _)| is_own(name)).collect();
        let fixed = Sheet::of(self.name).map_or(&[][..], Sheet::fixed);
        let choices: Vec<_> = CHOICES
            .into_iter()
            .filter(|name| !fixed.contains(name))
            .filter_map(|name| takes.values(name))
            .collect();
        let days: Vec<&str> = ["from", "last"]
            .into_iter()
            .filter(|name| has("from") && question.one(name).is_none_or(is_day))
            .collect();
        let own_names = own.iter().map(|(name, _)| name.as_str());
        let drawn: Vec<&str> =
            own_names.chain(choices.iter().map(|(name, _)| *name)).chain(days).chain(["cursor"]).collect();
        html! {
            div.controls {
                @if has("period") {
                    nav.periods aria-label=(self.view.word("period")) {
                        @for period in takes.values("period").map_or(&[][..], |(_, periods)| periods) {
                            a href=(question.in_period(period).link()) aria-current=[(question.period() == Some(period.as_str())).then_some("true")] {
                                (self.view.word(&format!("period.{period}")))
                            }
                        }
                    }
                }
                form.choices method="get" {
                    @for (name, value) in question.others(&drawn) { input type="hidden" name=(name) value=(value); }
                    @if has("from") {
                        label { (self.view.word("from_day")) " " input type="date" name="from" value=[question.one("from").filter(|from| is_day(from))]; }
                        label { (self.view.word("last_day")) " " input type="date" name="last" value=[question.one("last").filter(|last| is_day(last))]; }
                    }
                    @for (name, values) in choices { (self.choice(name, values)) }
                    @for (name, values) in &own { (self.own(name, values, report.map_or(&Value::Null, |report| report.query(name)))) }
                    @if drawn != ["cursor"] { button { (self.view.word("apply")) } }
                }
                (self.filters(has("source")))
                @if let Some(report) = report { (self.window(report)) }
            }
        }
    }

    /// The window as it was understood, by its first and last day where it is one of days.
    fn window(&self, report: &Report) -> Markup {
        let at = |name: &str| report.meta(name).as_str();
        let from = at("from").map_or(self.view.word("since_ever").to_owned(), begin);
        html! {
            @if let Some(to) = at("to") {
                p.window {
                    (self.view.word("window")) ": " (from) " – "
                    @match last_day(to) { Some(day) => { (day) } None => { (begin(to)) } }
                }
            }
        }
    }

    /// What belongs to the numbers of these reports, and what they mean.
    pub(crate) fn notes(&self, reports: &[&Report], fields: impl Iterator<Item = String>) -> Markup {
        let warnings: BTreeSet<&str> = reports.iter().flat_map(|report| report.warnings()).collect();
        let left_out: BTreeSet<&str> =
            reports.iter().flat_map(|report| report.left_out.iter().map(String::as_str)).collect();
        let fact = |name: &str| reports.iter().find_map(|report| report.meta(name).as_str());
        let mut terms: Vec<(&str, &str)> = fields
            .filter_map(|field| Term::of(&field))
            .map(|term| (term.name(self.view.locale), term.definition(self.view.locale)))
            .collect();
        terms.sort_unstable();
        terms.dedup();
        html! {
            footer.notes {
                @for warning in warnings { p.warning role="note" lang=[self.view.lang_of_api()] { (warning) } }
                @if !left_out.is_empty() {
                    p.warning role="note" { (self.view.word("not_filtered")) " " (left_out.into_iter().collect::<Vec<_>>().join(", ")) }
                }
                p {
                    @if reports.iter().any(|report| report.has_meta("data_through")) {
                        (self.view.word("through")) ": "
                        @match fact("data_through") {
                            Some(at) => { time datetime=(at) { (to_the_second(at)) } }
                            None => { (self.view.word("through.none")) }
                        }
                        " · "
                    }
                    @if let Some(zone) = fact("timezone") { (self.view.word("zone")) ": " (zone) }
                    @if let Some(currency) = fact("currency") { " · " (self.view.word("money_in")) " " (currency) }
                }
                @if !terms.is_empty() {
                    details {
                        summary { (self.view.word("definitions")) }
                        dl.terms { @for (name, definition) in terms { dt { (name) } dd { (definition) } } }
                    }
                }
            }
        }
    }

    /// Why there is no answer.
    pub(crate) fn refusal(&self, refusal: &Refusal) -> Markup {
        html! { p.problem role="alert" lang=[self.view.lang_of_api()] { (refusal.detail) } }
    }

    fn title(&self) -> &str {
        self.view.word(self.name)
    }

    fn navigation(&self) -> Markup {
        let View { root, question, .. } = self.view;
        let lasting = question.lasting();
        let current = |name: &str| (self.name == name).then_some("page");
        html! {
            nav.pages id="pages" aria-label=(self.view.word("menu")) {
                a href=(at_root(root, &lasting)) aria-current=[current("overview")] { (self.view.word("overview")) }
                @for group in GROUPS {
                    p { (self.view.word(group)) }
                    ul {
                        @for sheet in SHEETS.iter().filter(|sheet| sheet.group == group) {
                            li { a href=(format!("{root}reports/{}{}", sheet.name, lasting.link())) aria-current=[current(sheet.name)] {
                                (self.view.word(sheet.name))
                            } }
                        }
                        @if group == GROUPS[GROUPS.len() - 1] {
                            li { a href=(format!("{root}exports{}", lasting.link())) aria-current=[current("exports")] { (self.view.word("exports")) } }
                            li { a href=(format!("{root}api")) { (self.view.word("api")) } }
                        }
                    }
                }
            }
        }
    }

    /// One of these, the usual first.
    fn choice(&self, name: &str, values: &[String]) -> Markup {
        let usual = values.first().map_or("", String::as_str);
        let chosen = self.view.question.one(name).unwrap_or(usual);
        html! {
            label { (self.view.word(name)) " "
                select name=(name) {
                    @for value in values {
                        option value=(if value == usual { "" } else { value }) selected[value == chosen] {
                            (self.view.word(&format!("{name}.{value}")))
                        }
                    }
                }
            }
        }
    }

    /// A parameter of this report alone.
    fn own(&self, name: &str, values: &[String], taken: &Value) -> Markup {
        let taken = taken.as_str().map(str::to_owned).or_else(|| taken.as_number().map(ToString::to_string));
        let given = self.view.question.one(name);
        let (shown, usual) =
            (given.or(taken.as_deref()), if given.is_none() { taken.as_deref() } else { None });
        html! {
            label { (self.view.word(name)) " "
                @if values.is_empty() {
                    input name=(name) value=[given] placeholder=[usual] size="10" type=(if NUMBERS.contains(&name) { "number" } else { "text" }) step="any";
                } @else {
                    select name=(name) {
                        @if usual.is_none() { option value="" { (NOTHING) } }
                        @for value in values {
                            option value=(if usual == Some(value.as_str()) { "" } else { value }) selected[shown == Some(value)] {
                                (known(&format!("{name}.{value}"), self.view.locale).unwrap_or(value))
                            }
                        }
                    }
                }
            }
        }
    }

    /// The filters that are set, each with the link that takes it away; and the form that adds one.
    fn filters(&self, can_add: bool) -> Markup {
        let question = self.view.question;
        html! {
            div.filters {
                @for (name, value) in question.filters() {
                    @let field = name.trim_end_matches(['!', '~']);
                    @let sign = &name[field.len()..];
                    span.filter {
                        (self.view.name(field)) " " (self.view.word(&format!("sign.{sign}"))) " " b { (value) } " "
                        a href=(question.unfiltered(name, value).here()) aria-label=(format!("{}: {} {value}", self.view.word("filter.remove"), self.view.name(field))) { "×" }
                    }
                }
                @if can_add {
                    details {
                        summary { (self.view.word("filter.add")) }
                        form method="get" {
                            @for (name, value) in question.others(&["cursor"]) { input type="hidden" name=(name) value=(value); }
                            label { (self.view.word("filter.field")) " " select name="add_field" {
                                @for field in FILTERS.into_iter().chain(["site"]) { option value=(field) { (self.view.name(field)) } }
                            } }
                            select name="add_sign" aria-label=(self.view.word("filter.condition")) {
                                @for sign in ["", "!", "~", "!~"] { option value=(sign) { (self.view.word(&format!("sign.{sign}"))) } }
                            }
                            label { (self.view.word("filter.value")) " " input name="add_value" required; }
                            button { (self.view.word("filter.add")) }
                        }
                    }
                }
            }
        }
    }
}

/// Where a token is given. `next` is where to go then.
pub(crate) fn login(locale: Locale, root: &str, next: &str, refusal: Option<&str>) -> Markup {
    document(
        locale,
        root,
        word("login", locale),
        &html! {
            main.login id="main" {
                h1 { "utm-dispatcher" }
                @if let Some(key) = refusal { p.problem role="alert" { (word(key, locale)) } }
                form method="post" action=(format!("{root}login?lang={}", locale.name())) {
                    input type="hidden" name="next" value=(next);
                    label { (word("login.token", locale)) " "
                        input type="password" name="token" required autofocus autocomplete="current-password"; }
                    button { (word("login", locale)) }
                }
                p { (word("login.hint", locale)) }
            }
        },
    )
}

/// A page of a few words, for what has no report to show.
pub(crate) fn plain(locale: Locale, root: &str, question: &Question, text: &str) -> Markup {
    document(
        locale,
        root,
        word("title", locale),
        &html! {
            main.login id="main" {
                h1 { "utm-dispatcher" }
                p.problem role="alert" { (text) }
                p { a href=(at_root(root, &question.lasting())) { (word("overview", locale)) } }
            }
        },
    )
}

/// What a field for days can show.
fn is_day(text: &str) -> bool {
    days_later(text, 0).is_some()
}

/// The last day of a window that ends with a day; none when it ends within one.
fn last_day(to: &str) -> Option<String> {
    let day = to.get(..10)?;
    to.get(10..19).filter(|time| *time == "T00:00:00").and_then(|_| days_later(day, -1))
}

/// The way to `/`, with this question.
fn at_root(root: &str, question: &Question) -> String {
    format!("{}{}", if root.is_empty() { "./" } else { root }, question.link())
}

fn document(locale: Locale, root: &str, title: &str, body: &Markup) -> Markup {
    let [style, script] = &*ASSETS;
    html! {
        (DOCTYPE)
        html lang=(locale.name()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title) " · utm-dispatcher" }
                link rel="icon" href="data:,";
                link rel="stylesheet" href=(format!("{root}{style}"));
                script src=(format!("{root}{script}")) defer {}
            }
            body {
                a.skip href="#main" { (word("skip", locale)) }
                (body)
            }
        }
    }
}
