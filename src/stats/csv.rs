//! Lists, and the numbers of one thing, as CSV (RFC 4180, UTF-8 with byte order mark). Cells that a spreadsheet would run as a
//! formula are made harmless by an apostrophe.

use std::collections::HashSet;

use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

/// What a file begins with, for spreadsheets to take it as UTF-8.
pub(crate) const BYTE_ORDER_MARK: char = '\u{feff}';

/// The rows as a file. Columns are the fields of the rows, in their order.
pub(crate) fn attachment<Row: Serialize>(name: &str, rows: &[Row]) -> Response {
    file(name, text(rows))
}

/// The numbers of one thing as a file, each on a line of its own. A number within something is named after it, with a dot; of
/// the elements of a list each is called by its first field where that tells them apart, else by its number.
pub(crate) fn numbers(name: &str, thing: &impl Serialize) -> Response {
    file(name, lines(thing))
}

fn file(name: &str, text: String) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.csv\"")),
    ];
    (headers, text).into_response()
}

fn lines(thing: &impl Serialize) -> String {
    let mut text = String::from(BYTE_ORDER_MARK);
    push_line(&mut text, ["name", "value"].map(str::to_owned).into_iter());
    if let Ok(value) = serde_json::to_value(thing) {
        push_value(&mut text, String::new(), value);
    }
    text
}

fn push_value(text: &mut String, name: String, value: Value) {
    let within = |part: &str| if name.is_empty() { part.to_owned() } else { format!("{name}.{part}") };
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                push_value(text, within(&field), value);
            }
        }
        Value::Array(elements) => {
            let names: Vec<Option<String>> = elements.iter().map(first_field).collect();
            let are_told_apart = names.iter().all(Option::is_some)
                && names.iter().collect::<HashSet<_>>().len() == names.len();
            for (index, (element, name)) in elements.into_iter().zip(names).enumerate() {
                match (element, name) {
                    (Value::Object(fields), Some(name)) if are_told_apart => {
                        let rest: Map<String, Value> = fields.into_iter().skip(1).collect();
                        push_value(text, within(&name), Value::Object(rest));
                    }
                    (element, _) => push_value(text, within(&(index + 1).to_string()), element),
                }
            }
        }
        value => push_line(text, [Value::String(name), value].map(cell).into_iter()),
    }
}

/// What the first field of an object says, when that is a text or a number.
fn first_field(element: &Value) -> Option<String> {
    match element.as_object()?.values().next()? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn text<Row: Serialize>(rows: &[Row]) -> String {
    let mut text = String::from(BYTE_ORDER_MARK);
    for (index, row) in rows.iter().enumerate() {
        let Ok(Value::Object(fields)) = serde_json::to_value(row) else { continue };
        if index == 0 {
            push_line(&mut text, fields.keys().cloned());
        }
        push_line(&mut text, fields.into_iter().map(|(_, value)| cell(value)));
    }
    text
}

/// Adds cells as a line.
pub(crate) fn push_line(text: &mut String, cells: impl Iterator<Item = String>) {
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            text.push(',');
        }
        push_cell(text, &cell);
    }
    text.push_str("\r\n");
}

/// What stands between two separators.
pub(crate) fn push_cell(text: &mut String, cell: &str) {
    if cell.contains(['"', ',', '\r', '\n']) {
        text.push('"');
        text.push_str(&cell.replace('"', "\"\""));
        text.push('"');
    } else {
        text.push_str(cell);
    }
}

/// Text of whoever wrote it.
pub(crate) fn push_text(text: &mut String, cell: &str) {
    if is_formula(cell) {
        return push_cell(text, &format!("'{cell}"));
    }
    push_cell(text, cell);
}

/// Whether a spreadsheet would reckon with it. An amount below zero is a number, no formula.
fn is_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err()
}

/// A value as a cell, harmless to spreadsheets.
pub(crate) fn cell(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if is_formula(&text) => format!("'{text}"),
        Value::String(text) => text,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_never_formulas() {
        let rows = [
            serde_json::json!({"a": "=1+1", "b": "x,\"y\"", "c": null, "d": "-3.00"}),
            serde_json::json!({"a": "-cmd", "b": 2, "c": {"k": "v"}, "d": "line\nbreak"}),
        ];
        assert_eq!(
            text(&rows),
            "\u{feff}a,b,c,d\r\n'=1+1,\"x,\"\"y\"\"\",,-3.00\r\n'-cmd,2,\"{\"\"k\"\":\"\"v\"\"}\",\"line\nbreak\"\r\n"
        );
    }

    #[test]
    fn numbers_stand_on_lines_of_their_own_and_are_named_by_where_they_are() {
        let thing = serde_json::json!({
            "total": 3,
            "rate": null,
            "interval": {"low": 1.5, "high": 2.0},
            "within": [{"days": 30, "customers": 2}, {"days": 60, "customers": 1}],
            "sources": [{"channel": "Email", "landings": 1}, {"channel": "Email", "landings": 2}],
            "names": ["=x"],
        });
        let expected = [
            "name,value",
            "total,3",
            "rate,",
            "interval.low,1.5",
            "interval.high,2.0",
            "within.30.customers,2",
            "within.60.customers,1",
            "sources.1.channel,Email",
            "sources.1.landings,1",
            "sources.2.channel,Email",
            "sources.2.landings,2",
            "names.1,'=x",
            "",
        ];
        assert_eq!(lines(&thing), format!("\u{feff}{}", expected.join("\r\n")));
    }
}
