//! The parts of a page: numbers as cards, facts, tables with links that filter, columns in time, cohorts.

use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::dashboard::chart::{self, Column};
use crate::dashboard::numbers::{self, NOTHING, written};
use crate::dashboard::question::Question;
use crate::dashboard::reports::Report;
use crate::dashboard::sheets::{Part, Table};
use crate::dashboard::words::{known, word};
use crate::terms::{FILTERS, Kind, Locale, Term};

/// Fewer than this, and a change of percent says little.
const FEW: f64 = 30.0;

/// What a page is made for.
pub(crate) struct View<'a> {
    pub(crate) question: &'a Question,
    pub(crate) locale: Locale,
    /// The way from the page back to `/`.
    pub(crate) root: &'a str,
    /// What rows can be sorted by.
    pub(crate) sorts: &'a [String],
    /// Whether the page can be filtered by what rows are about.
    pub(crate) has_filters: bool,
}

/// Fields of a part of an answer, by which they are looked up among the terms.
#[derive(Clone)]
pub(crate) struct Fields(String);

impl Fields {
    /// Those there, in the report of this name.
    pub(crate) fn of(report: &str, at: &str) -> Fields {
        Fields(format!("{report}{at}"))
    }

    fn term(&self, field: &str) -> Option<&'static Term> {
        Term::of(&format!("{}/{field}", self.0))
    }

    /// The kind of a field's values.
    pub(crate) fn kind(&self, field: &str) -> Kind {
        self.term(field).map_or(Kind::Text, |term| term.kind)
    }

    /// What a field is called.
    pub(crate) fn name<'a>(&self, field: &'a str, locale: Locale) -> &'a str {
        self.term(field).map_or(field, |term| term.name(locale))
    }

    fn definition(&self, field: &str, locale: Locale) -> Option<&'static str> {
        Some(self.term(field)?.definition(locale))
    }
}

impl View<'_> {
    pub(crate) fn word<'a>(&self, key: &'a str) -> &'a str {
        word(key, self.locale)
    }

    /// What a field is called, whatever report it is of.
    pub(crate) fn name<'a>(&self, field: &'a str) -> &'a str {
        Term::of(field).map_or(field, |term| term.name(self.locale))
    }

    /// `lang` of what the API says in its own words.
    pub(crate) fn lang_of_api(&self) -> Option<&'static str> {
        (self.locale != Locale::default()).then(|| Locale::default().name())
    }

    /// A part of a report.
    pub(crate) fn part(&self, part: &Part, report: &Report) -> Markup {
        match *part {
            Part::Figures { title, at, fields } => self.figures(title, report, at, report.at(at), fields),
            Part::Sums { title, fields } => self.figures(title, report, "", report.meta("totals"), fields),
            Part::Facts { title, at, fields } => self.facts(title, report, at, fields),
            Part::Rows(ref table) => html! {
                section {
                    @if !table.title.is_empty() { h2 { (self.word(table.title)) } }
                    (self.table(report, table))
                }
            },
            Part::Series { fields } => html! {
                div.pair {
                    @for field in fields { section { (self.series(report, field)) } }
                }
            },
            Part::Matrix => self.matrix(report),
        }
    }

    /// A number with its change, the line of its course, and what must be known of it.
    pub(crate) fn card(
        &self,
        fields: &Fields,
        report: &Report,
        field: &str,
        value: &Value,
        course: &[f64],
        note: Option<Markup>,
    ) -> Markup {
        let kind = fields.kind(field);
        let currency = report.meta("currency").as_str().filter(|_| kind == Kind::Money && !value.is_null());
        html! {
            div.card {
                dt title=[fields.definition(field, self.locale)] { (fields.name(field, self.locale)) }
                dd {
                    strong { (written(value, kind, self.locale)) }
                    @if let Some(currency) = currency { " " small { (currency) } }
                    @if let Some(note) = note { " " (note) }
                    (chart::small_line(course))
                }
            }
        }
    }

    fn figures(&self, title: &str, report: &Report, at: &str, values: &Value, names: &[&str]) -> Markup {
        let fields = Fields::of(report.name, at);
        html! {
            section {
                h2 { (self.word(title)) }
                dl.cards {
                    @for name in names { (self.card(&fields, report, name, value_at(values, name), &[], None)) }
                }
            }
        }
    }

    /// How much more it is than before.
    pub(crate) fn change(&self, field: &str, now: &Value, before: &Value, change: &Value) -> Option<Markup> {
        let change = change.as_f64()?;
        let kind = Term::of(field).map_or(Kind::Text, |term| term.kind);
        let is_few = kind == Kind::Count
            && [now, before].iter().all(|value| value.as_f64().is_some_and(|value| value < FEW));
        let before = format!("{}: {}", self.word("previous"), written(before, kind, self.locale));
        Some(html! {
            span.change.few[is_few] title=(before) {
                (numbers::change(change, kind, self.locale))
                span.unseen { ", " (before) }
                @if is_few { " " small { (self.word("few")) } }
            }
        })
    }

    /// A table; links of its heads sort, links of its labels filter.
    pub(crate) fn table(&self, report: &Report, table: &Table) -> Markup {
        let (rows, fields) = (report.rows(table.at), Fields::of(report.name, table.at));
        if rows.is_empty() {
            return html! { p.nothing { (self.word("nothing")) } };
        }
        let is_told = |field: &&str| rows.iter().any(|row| !is_nothing(value_at(row, field)));
        let labels: Vec<&str> = table.labels.iter().copied().filter(is_told).collect();
        let is_beside = |field: &&str| !field.starts_with("previous/") || is_told(field);
        let columns = table.numbers.iter().copied().filter(is_beside);
        let columns: Vec<(&str, Kind)> = columns.map(|field| (field, fields.kind(field))).collect();
        let greatest = rows.iter().filter_map(|row| as_number(value_at(row, table.bar))).fold(0.0, f64::max);
        // Said also where it is not seen: the page's or the section's heading.
        let title = if table.title.is_empty() { report.name } else { table.title };
        html! {
            div.wide tabindex="0" role="region" aria-label=(self.word(title)) {
                table {
                    thead {
                        tr {
                            @for field in &labels { (self.head(&fields, field, false)) }
                            @for (field, _) in &columns { (self.head(&fields, field, true)) }
                        }
                    }
                    tbody {
                        @for row in rows {
                            tr {
                                @for (index, field) in labels.iter().enumerate() {
                                    @if index == 0 { th scope="row" { (self.label(&fields, field, row)) } }
                                    @else { td { (self.label(&fields, field, row)) } }
                                }
                                @for (field, kind) in &columns {
                                    td.number {
                                        (written(value_at(row, field), *kind, self.locale))
                                        @if *field == table.bar {
                                            (chart::bar(as_number(value_at(row, field)).unwrap_or_default(), greatest))
                                        }
                                    }
                                }
                            }
                        }
                    }
                    (self.sums(report, &labels, &columns))
                }
            }
        }
    }

    /// What is not shown, and everything; not where each row has a currency of its own.
    fn sums(&self, report: &Report, labels: &[&str], columns: &[(&str, Kind)]) -> Markup {
        let has_any = |sums: &Value| columns.iter().any(|(field, _)| !value_at(sums, field).is_null());
        let sums = [("other", report.meta("other")), ("total", report.meta("totals"))];
        let sums: Vec<_> =
            sums.into_iter().filter(|(_, sums)| has_any(sums) && !labels.contains(&"currency")).collect();
        html! {
            @if !sums.is_empty() {
                tfoot {
                    @for (name, sums) in sums {
                        tr {
                            th scope="row" colspan=(labels.len().max(1)) { (self.word(name)) }
                            @for (field, kind) in columns {
                                td.number { (written(value_at(sums, field), *kind, self.locale)) }
                            }
                        }
                    }
                }
            }
        }
    }

    /// Columns of one field of the buckets, and what is drawn there in words.
    pub(crate) fn series(&self, report: &Report, field: &str) -> Markup {
        let rows = report.rows("");
        let fields = Fields::of(report.name, "");
        let kind = fields.kind(field);
        let step = report.query("interval").as_str().unwrap_or_default();
        let columns: Vec<Column> = rows
            .iter()
            .map(|row| {
                let at = written(&row["from"], Kind::Begin, self.locale);
                let previous = &row["previous"];
                let mut title = format!("{at}: {}", written(&row[field], kind, self.locale));
                if !previous.is_null() {
                    let before = written(&previous[field], kind, self.locale);
                    title += &format!(" ({}: {before})", self.word("previous"));
                }
                Column {
                    label: label_of(step, row["from"].as_str().unwrap_or_default(), rows.len()).to_owned(),
                    value: as_number(&row[field]).unwrap_or_default(),
                    previous: as_number(&previous[field]),
                    title,
                    is_open: row["is_over"] == false,
                }
            })
            .collect();
        let name = fields.name(field, self.locale);
        html! {
            h2 {
                (name)
                @if self.root.is_empty() {
                    a.whole href=(format!("reports/timeseries{}", self.question.lasting().link())) { (self.word("table")) }
                }
            }
            @if columns.is_empty() { p.nothing { (self.word("nothing")) } } @else {
                (chart::columns(&columns, name, |value| numbers::short(value, self.locale)))
                p.legend {
                    @if columns.iter().any(|column| column.previous.is_some()) { span.previous { (self.word("legend.previous")) } " " }
                    @if columns.iter().any(|column| column.is_open) { span.open { (self.word("legend.open")) } }
                }
            }
        }
    }

    fn facts(&self, title: &str, report: &Report, at: &str, names: &[&str]) -> Markup {
        let (of, fields) = (report.at(at), Fields::of(report.name, at));
        html! {
            section {
                h2 { (self.word(title)) }
                dl.facts {
                    @for name in names.iter().filter(|name| !is_nothing(value_at(of, name))) {
                        dt title=[fields.definition(name, self.locale)] { (fields.name(name, self.locale)) }
                        dd {
                            @if *name == "session_id" { (self.label(&fields, name, of)) }
                            @else { (self.text(&fields, name, value_at(of, name))) }
                        }
                    }
                }
            }
        }
    }

    fn head(&self, fields: &Fields, field: &str, is_number: bool) -> Markup {
        let sorted = self.question.one("sort").or(self.sorts.first().map(String::as_str)).unwrap_or_default();
        let (by, is_ascending) =
            sorted.split_once(':').map_or((sorted, false), |(by, way)| (by, way == "asc"));
        let is_sorted = by == field && self.sorts.len() > 1;
        let order = is_sorted.then_some(if is_ascending { "ascending" } else { "descending" });
        let name = fields.name(field, self.locale);
        html! {
            th.number[is_number] scope="col" title=[fields.definition(field, self.locale)] aria-sort=[order] {
                @if self.sorts.len() > 1 && self.sorts.iter().any(|known| known == field) {
                    @let next = if is_sorted && !is_ascending { format!("{field}:asc") } else { field.to_owned() };
                    a href=(self.question.with("sort", &next).link()) title=(format!("{} {name}", self.word("sort_by"))) { (name) }
                } @else { (name) }
            }
        }
    }

    /// A value that is no number: with the link that it is good for.
    fn label(&self, fields: &Fields, field: &str, row: &Value) -> Markup {
        let value = value_at(row, field);
        match self.link(field, row) {
            Some(link) if field == "session_id" => {
                let id = value.as_str().unwrap_or_default();
                html! { a href=(link) title=(id) { code { (id.get(24..).unwrap_or(id)) } } }
            }
            Some(link) => html! { a href=(link) { (self.text(fields, field, value)) } },
            None => self.text(fields, field, value),
        }
    }

    /// A value in words: those of the pages for names that the program gives, the API's own for its sentences.
    fn text(&self, fields: &Fields, field: &str, value: &Value) -> Markup {
        let kind = fields.kind(field);
        let name = value.as_str().and_then(|value| known(&format!("{field}.{value}"), self.locale));
        let text = name.map_or_else(|| written(value, kind, self.locale), str::to_owned);
        let sentence = ["conclusion", "design", "explanation", "reason", "why"].contains(&field);
        match kind {
            Kind::Time | Kind::Begin => html! { time datetime=[value.as_str()] { (text) } },
            _ if sentence => html! { span lang=[self.lang_of_api()] { (text) } },
            _ => html! { (text) },
        }
    }

    /// Where a value leads: to the page about it, or to the same page with it as a filter.
    fn link(&self, field: &str, row: &Value) -> Option<String> {
        let value = value_at(row, field).as_str()?;
        let lasting = self.question.lasting();
        match if field == "device_type" { "device" } else { field } {
            "session_id" => Some(format!("{}sessions/{}{}", self.root, encoded(value), lasting.link())),
            "order_id" => {
                let of_site =
                    row["site"].as_str().map_or(lasting.clone(), |site| lasting.with("of_site", site));
                Some(format!("{}orders/{}{}", self.root, encoded(value), of_site.link()))
            }
            field if self.has_filters && FILTERS.contains(&field) => {
                Some(self.question.filtered(field, value).link())
            }
            _ => None,
        }
    }

    fn matrix(&self, report: &Report) -> Markup {
        let metric = report.at("/metric").as_str().unwrap_or_default();
        let (kind, unit) = match metric {
            "retention" => (Kind::Rate, Some("%")),
            "orders" => (Kind::Count, None),
            _ => (Kind::Money, report.meta("currency").as_str()),
        };
        let fields = Fields::of(report.name, "");
        let lines: Vec<&[Value]> = report
            .rows("/matrix")
            .iter()
            .map(|line| line.as_array().map_or(&[][..], Vec::as_slice))
            .collect();
        // Everybody is there in the first period.
        let shaded = |line: &&[Value]| -> Vec<f64> {
            line.iter().skip(usize::from(kind == Kind::Rate)).filter_map(as_number).collect()
        };
        let greatest = lines.iter().flat_map(shaded).fold(0.0, f64::max);
        let shade = |value: &Value| match as_number(value) {
            Some(value) if greatest > 0.0 => {
                format!("number h{:.0}", (value / greatest).clamp(0.0, 1.0) * 9.0)
            }
            _ => "number".to_owned(),
        };
        let cell = |value: &Value| match (value, kind) {
            (Value::Null, _) => String::new(),
            (Value::Number(it), Kind::Rate) => {
                numbers::number(it.as_f64().unwrap_or_default(), 1, self.locale)
            }
            _ => written(value, kind, self.locale),
        };
        html! {
            section {
                h2 { (self.word("matrix")) ": " (self.word(&format!("metric.{metric}"))) @if let Some(unit) = unit { ", " (unit) } }
                div.wide tabindex="0" role="region" aria-label=(self.word("matrix")) {
                    table.heat {
                        thead { tr {
                            (self.head(&fields, "cohort", false)) (self.head(&fields, "size", true))
                            @for period in report.rows("/periods") { th.number scope="col" { (period) } }
                        } }
                        tbody {
                            @for ((cohort, line), totals) in report.rows("/cohorts").iter().zip(&lines).zip(report.rows("/totals")) {
                                tr {
                                    th scope="row" { (day(cohort)) }
                                    td.number { (written(&totals["size"], Kind::Count, self.locale)) }
                                    @for value in *line { td class=(shade(value)) { (cell(value)) } }
                                }
                            }
                        }
                        tfoot { tr {
                            th scope="row" colspan="2" { (self.word("average")) }
                            @for value in report.rows("/averages") { td.number { (cell(value)) } }
                        } }
                    }
                }
            }
        }
    }
}

/// Where a bucket stands in time, in short.
fn label_of<'a>(step: &str, from: &'a str, buckets: usize) -> &'a str {
    let part = match step {
        "hour" if buckets <= 48 => 11..16,
        "month" => 0..7,
        "week" if buckets > 52 => 2..10,
        _ => 5..10,
    };
    from.get(part).unwrap_or_default()
}

/// A number, or decimal text as one, for drawing.
pub(crate) fn as_number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

/// A field of a row, or what is at a path within it.
fn value_at<'a>(row: &'a Value, field: &str) -> &'a Value {
    field.split('/').fold(row, |value, name| &value[name])
}

/// Null, or a list of nothing.
fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

fn day(value: &Value) -> &str {
    value.as_str().map_or(NOTHING, |text| text.get(..10).unwrap_or(text))
}

fn encoded(id: &str) -> String {
    utf8_percent_encode(id, NON_ALPHANUMERIC).to_string()
}
