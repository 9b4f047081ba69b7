//! Whether an answer says what is expected, to the cent and the row.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// Counts of orders, which may have millionths: all else with a fraction is rounded to two decimals.
const EXACT: [&str; 4] = ["orders", "total_orders", "paid_orders", "credit"];

/// Chances, which have four decimals.
const CHANCES: [&str; 3] = ["p_value", "adjusted_p_value", "probability_to_be_best"];

/// Notes every field that is expected and differs. A ratio is expected as it is before it is rounded.
pub fn agree(actual: &Value, expected: &Value, place: &str, differences: &mut Vec<String>) {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => {
            for (name, value) in expected {
                agree(
                    actual.get(name).unwrap_or(&Value::Null),
                    value,
                    &format!("{place}.{name}"),
                    differences,
                );
            }
        }
        (Value::Array(some), Value::Array(other)) if some.len() == other.len() => {
            for (index, (actual, expected)) in some.iter().zip(other).enumerate() {
                agree(actual, expected, &format!("{place}[{index}]"), differences);
            }
        }
        _ if is_same(actual, expected, nearness(place)) => {}
        _ => differences.push(format!("{place} is {actual} instead of {expected}")),
    }
}

/// How much a number may differ.
fn nearness(place: &str) -> f64 {
    let is_one_of = |names: &[&str]| names.iter().any(|name| place.ends_with(&format!(".{name}")));
    match () {
        () if is_one_of(&EXACT) => 1e-7,
        () if is_one_of(&CHANCES) => 0.000_06,
        () => 0.005_000_1,
    }
}

fn is_same(actual: &Value, expected: &Value, near: f64) -> bool {
    match (actual, expected) {
        (Value::Number(some), Value::Number(other)) if some.is_f64() || other.is_f64() => {
            some.as_f64().zip(other.as_f64()).is_some_and(|(some, other)| (some - other).abs() <= near)
        }
        _ => actual == expected,
    }
}

/// The same for rows in any order, told apart by what these fields say.
pub fn agree_rows(
    actual: &Value,
    expected: &[Value],
    keys: &[&str],
    place: &str,
    differences: &mut Vec<String>,
) {
    let by_key = |rows: &[Value]| -> BTreeMap<String, Value> {
        let key = |row: &Value| keys.iter().map(|key| row[*key].to_string()).collect::<Vec<_>>().join(" ");
        let sorted: BTreeMap<_, _> = rows.iter().map(|row| (key(row), row.clone())).collect();
        assert_eq!(sorted.len(), rows.len(), "{place}: a row twice");
        sorted
    };
    let (actual, expected) = (by_key(actual.as_array().unwrap()), by_key(expected));
    let keys: BTreeSet<&String> = actual.keys().chain(expected.keys()).collect();
    for key in keys {
        match (actual.get(key), expected.get(key)) {
            (Some(actual), Some(expected)) => agree(actual, expected, &format!("{place} {key}"), differences),
            (None, _) => differences.push(format!("{place}: {key} is missing")),
            (_, None) => differences.push(format!("{place}: {key} is too much")),
        }
    }
}

/// Decimal text of cents.
pub fn money(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100)
}

/// Cents divided among so many, half a cent away from zero; null among none.
pub fn each(cents: i64, count: i64) -> Value {
    if count == 0 {
        return Value::Null;
    }
    let (cents, count) = (i128::from(cents), i128::from(count));
    let rounded = (2 * cents.abs() + count) / (2 * count) * cents.signum();
    money(i64::try_from(rounded).unwrap()).into()
}

/// The same for millionths of orders.
pub fn each_order(cents: i64, millionths: i64) -> Value {
    if millionths == 0 {
        return Value::Null;
    }
    let (cents, millionths) = (i128::from(cents) * 1_000_000, i128::from(millionths));
    let rounded = (2 * cents.abs() + millionths) / (2 * millionths) * cents.signum();
    money(i64::try_from(rounded).unwrap()).into()
}

pub fn ratio(part: f64, whole: f64) -> Value {
    if whole == 0.0 { Value::Null } else { Value::from(part / whole) }
}

pub fn percent(part: i64, whole: i64) -> Value {
    ratio(100.0 * part as f64, whole as f64)
}

pub fn mean(sum: i64, count: i64) -> Value {
    ratio(sum as f64, count as f64)
}

pub fn orders(millionths: i64) -> Value {
    if millionths % 1_000_000 == 0 {
        return (millionths / 1_000_000).into();
    }
    Value::from(millionths as f64 / 1e6)
}

pub fn median(mut values: Vec<f64>) -> Value {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => Value::Null,
        count if count % 2 == 1 => Value::from(values[count / 2]),
        count => Value::from((values[count / 2 - 1] + values[count / 2]) / 2.0),
    }
}

/// An object of these keys and fields.
pub fn row(keys: &[&str], values: &[String], fields: Value) -> Value {
    let mut row: Map<String, Value> =
        keys.iter().zip(values).map(|(key, value)| ((*key).into(), value.clone().into())).collect();
    if let Value::Object(fields) = fields {
        row.extend(fields);
    }
    Value::Object(row)
}
