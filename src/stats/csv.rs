//! Lists as CSV (RFC 4180, UTF-8 with byte order mark). Cells that a spreadsheet would run as a formula are made
//! harmless by an apostrophe.

use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;

/// What a file begins with, for spreadsheets to take it as UTF-8.
pub(crate) const BYTE_ORDER_MARK: char = '\u{feff}';

/// The rows as a file. Columns are the fields of the rows, in their order.
pub(crate) fn attachment<Row: Serialize>(name: &str, rows: &[Row]) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.csv\"")),
    ];
    (headers, text(rows)).into_response()
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
        if cell.contains(['"', ',', '\r', '\n']) {
            text.push('"');
            text.push_str(&cell.replace('"', "\"\""));
            text.push('"');
        } else {
            text.push_str(&cell);
        }
    }
    text.push_str("\r\n");
}

/// A value as a cell, harmless to spreadsheets.
pub(crate) fn cell(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        // An amount below zero is a number to a spreadsheet, no formula.
        Value::String(text)
            if text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err() =>
        {
            format!("'{text}")
        }
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
}
