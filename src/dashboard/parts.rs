//! The parts of a page: numbers as cards, facts, tables with links that filter, columns in time, cohorts.

use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::dashboard::chart::{self, Column};
use crate::dashboard::numbers::{self, NOTHING, written};
use crate::dashboard::question::{FIELDS, Question};
use crate::dashboard::reports::Report;
use crate::dashboard::sheets::Part;
use crate::dashboard::words::{known, word};
use crate::terms::{Kind, Locale, Term};

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
    /// Whether the page can be filtered.
    pub(crate) has_filters: bool,
}

/// A table's shape: see [`Part::Rows`].
pub(crate) struct Shape {
    pub(crate) labels: &'static [&'static str],
    pub(crate) numbers: &'static [&'static str],
    pub(crate) bar: &'static str,
}

impl View<'_> {
    pub(crate) fn word<'a>(&self, key: &'a str) -> &'a str {
        word(key, self.locale)
    }

    /// A part of a report.
    pub(crate) fn part(&self, part: &Part, report: &Report) -> Markup {
        match *part {
            Part::Figures { title, at, fields } => html! {
                section {
                    h2 { (self.word(title)) }
                    dl.cards {
                        @for field in fields { (self.card(report, field, value_at(report.at(at), field), &[], None)) }
                    }
                }
            },
            Part::Facts { title, at, fields } => self.facts(title, report.at(at), fields),
            Part::Rows { title, at, labels, numbers, bar } => html! {
                section {
                    @if !title.is_empty() { h2 { (self.word(title)) } }
                    (self.table(report, report.rows(at), &Shape { labels, numbers, bar }))
                }
            },
            Part::Series { fields } => html! {
                div.pair {
                    @for field in fields {
                        section { h2 { (self.name(field)) } (self.series(report.rows(""), field)) }
                    }
                }
            },
            Part::Matrix => self.matrix(report),
        }
    }

    /// A number with its change, the line of its course, and what must be known of it.
    pub(crate) fn card(
        &self,
        report: &Report,
        field: &str,
        value: &Value,
        course: &[f64],
        note: Option<Markup>,
    ) -> Markup {
        let currency =
            report.meta("currency").as_str().filter(|_| kind(field) == Kind::Money && !value.is_null());
        html! {
            div.card {
                dt title=[self.definition(field)] { (self.name(field)) }
                dd {
                    strong { (written(value, kind(field), self.locale)) }
                    @if let Some(currency) = currency { " " small { (currency) } }
                    @if let Some(note) = note { " " (note) }
                    (chart::small_line(course))
                }
            }
        }
    }

    /// How much more it is than before.
    pub(crate) fn change(&self, field: &str, now: &Value, before: &Value, change: &Value) -> Option<Markup> {
        let change = change.as_f64()?;
        let is_few = kind(field) == Kind::Count
            && [now, before].iter().all(|value| value.as_f64().is_some_and(|value| value < FEW));
        let before = format!("{}: {}", self.word("previous"), written(before, kind(field), self.locale));
        let title = if is_few { format!("{before}. {}", self.word("few")) } else { before };
        Some(html! {
            span.change.few[is_few] title=(title) { (numbers::change(change, kind(field), self.locale)) }
        })
    }

    /// A table; links of its heads sort, links of its labels filter.
    pub(crate) fn table(&self, report: &Report, rows: &[Value], shape: &Shape) -> Markup {
        let labels: Vec<&str> = shape
            .labels
            .iter()
            .copied()
            .filter(|field| rows.iter().any(|row| !is_nothing(value_at(row, field))))
            .collect();
        if rows.is_empty() {
            return html! { p.nothing { (self.word("nothing")) } };
        }
        let greatest = rows.iter().filter_map(|row| as_number(value_at(row, shape.bar))).fold(0.0, f64::max);
        let sums = [("other", report.meta("other")), ("total", report.meta("totals"))];
        html! {
            div.wide tabindex="0" {
                table {
                    thead {
                        tr {
                            @for field in &labels { (self.head(field, false)) }
                            @for field in shape.numbers { (self.head(field, true)) }
                        }
                    }
                    tbody {
                        @for row in rows {
                            tr {
                                @for field in &labels { td { (self.label(field, row)) } }
                                @for field in shape.numbers {
                                    td.number {
                                        (written(value_at(row, field), kind(field), self.locale))
                                        @if *field == shape.bar {
                                            (chart::bar(as_number(value_at(row, field)).unwrap_or_default(), greatest))
                                        }
                                    }
                                }
                            }
                        }
                    }
                    @if sums.iter().any(|(_, sums)| has_any(sums, shape.numbers)) {
                        tfoot {
                            @for (name, sums) in sums.iter().filter(|(_, sums)| has_any(sums, shape.numbers)) {
                                tr {
                                    th scope="row" colspan=(labels.len().max(1)) { (self.word(name)) }
                                    @for field in shape.numbers {
                                        td.number { (written(value_at(sums, field), kind(field), self.locale)) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// Columns of one field of the buckets.
    pub(crate) fn series(&self, rows: &[Value], field: &str) -> Markup {
        let kind = kind(field);
        let day = |row: &Value| written(&row["from"], Kind::Time, self.locale);
        let by_hour = rows.iter().any(|row| !day(row).ends_with("00:00:00"));
        let columns: Vec<Column> = rows
            .iter()
            .map(|row| {
                let at = day(row);
                let previous = &row["previous"];
                let mut title = format!("{at}: {}", written(&row[field], kind, self.locale));
                if !previous.is_null() {
                    let before = written(&previous[field], kind, self.locale);
                    title += &format!(" ({}: {before})", self.word("previous"));
                }
                Column {
                    label: if by_hour { at.get(11..16) } else { at.get(5..10) }
                        .unwrap_or_default()
                        .to_owned(),
                    value: as_number(&row[field]).unwrap_or_default(),
                    previous: as_number(&previous[field]),
                    title,
                    is_open: row["is_over"] == false,
                }
            })
            .collect();
        if columns.is_empty() {
            return html! { p.nothing { (self.word("nothing")) } };
        }
        chart::columns(&columns, self.name(field), |value| {
            numbers::number(value, usize::from(value.fract() != 0.0), self.locale)
        })
    }

    /// What a field is called.
    pub(crate) fn name<'a>(&self, field: &'a str) -> &'a str {
        Term::of(field).map_or(field, |term| term.name(self.locale))
    }

    fn definition(&self, field: &str) -> Option<&'static str> {
        Some(Term::of(field)?.definition(self.locale))
    }

    fn facts(&self, title: &str, of: &Value, fields: &[&str]) -> Markup {
        html! {
            section {
                h2 { (self.word(title)) }
                dl.facts {
                    @for field in fields.iter().filter(|field| !is_nothing(value_at(of, field))) {
                        dt title=[self.definition(field)] { (self.name(field)) }
                        dd { @if *field == "session_id" { (self.label(field, of)) } @else { (self.text(field, value_at(of, field))) } }
                    }
                }
            }
        }
    }

    fn head(&self, field: &str, is_number: bool) -> Markup {
        let sorted = self.question.one("sort").or(self.sorts.first().map(String::as_str)).unwrap_or_default();
        let (by, is_ascending) =
            sorted.split_once(':').map_or((sorted, false), |(by, way)| (by, way == "asc"));
        let is_sorted = by == field && self.sorts.len() > 1;
        let order = is_sorted.then_some(if is_ascending { "ascending" } else { "descending" });
        html! {
            th.number[is_number] scope="col" title=[self.definition(field)] aria-sort=[order] {
                @if self.sorts.len() > 1 && self.sorts.iter().any(|known| known == field) {
                    @let next = if is_sorted && !is_ascending { format!("{field}:asc") } else { field.to_owned() };
                    a href=(self.question.with("sort", &next).link()) title=(format!("{} {}", self.word("sort_by"), self.name(field))) {
                        (self.name(field))
                    }
                } @else { (self.name(field)) }
            }
        }
    }

    /// A value that is no number: with the link that it is good for.
    fn label(&self, field: &str, row: &Value) -> Markup {
        let value = value_at(row, field);
        match self.link(field, row) {
            Some(link) if field == "session_id" => {
                let id = value.as_str().unwrap_or_default();
                html! { a href=(link) title=(id) { code { (id.get(24..).unwrap_or(id)) } } }
            }
            Some(link) => html! { a href=(link) { (self.text(field, value)) } },
            None => self.text(field, value),
        }
    }

    fn text(&self, field: &str, value: &Value) -> Markup {
        let text = match kind(field) {
            Kind::Step => known(&format!("step.{}", value.as_str().unwrap_or_default()), self.locale)
                .map_or_else(|| written(value, Kind::Text, self.locale), str::to_owned),
            kind => written(value, kind, self.locale),
        };
        match kind(field) {
            Kind::Time | Kind::Begin => html! { time datetime=[value.as_str()] { (text) } },
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
                let of_site = row["site"].as_str().map_or(lasting.clone(), |site| lasting.with("site", site));
                Some(format!("{}orders/{}{}", self.root, encoded(value), of_site.link()))
            }
            field if self.has_filters && FIELDS.contains(&field) => {
                Some(self.question.filtered(field, value).link())
            }
            _ => None,
        }
    }

    fn matrix(&self, report: &Report) -> Markup {
        let kind = match report.at("/metric").as_str() {
            Some("retention") => Kind::Rate,
            Some("orders") => Kind::Count,
            _ => Kind::Money,
        };
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
                h2 { (self.word("matrix")) }
                div.wide tabindex="0" {
                    table.heat {
                        thead { tr {
                            (self.head("cohort", false)) (self.head("size", true))
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

/// The kind of a field's values.
pub(crate) fn kind(field: &str) -> Kind {
    Term::of(field).map_or(Kind::Text, |term| term.kind)
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

fn has_any(sums: &Value, fields: &[&str]) -> bool {
    fields.iter().any(|field| !value_at(sums, field).is_null())
}

fn day(value: &Value) -> &str {
    value.as_str().map_or(NOTHING, |text| text.get(..10).unwrap_or(text))
}

fn encoded(id: &str) -> String {
    utf8_percent_encode(id, NON_ALPHANUMERIC).to_string()
}
