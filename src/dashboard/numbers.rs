//! Values as people read them, by language: `1,234.50` and `1 234,50`.

use jiff::SignedDuration;
use serde_json::Value;

use crate::terms::{Kind, Locale};

/// What differences of rates are in.
const POINTS: [&str; 2] = ["pp", "в. п."];

/// Where there is no value.
pub(crate) const NOTHING: &str = "–";

/// A value of this kind as text.
pub(crate) fn written(value: &Value, kind: Kind, locale: Locale) -> String {
    match (value, kind) {
        (Value::Null, _) => NOTHING.to_owned(),
        (Value::Bool(yes), _) => locale.pick(if *yes { ["yes", "так"] } else { ["no", "ні"] }).to_owned(),
        (Value::Object(ends), Kind::Interval) => {
            let end = |name: &str| ends.get(name).and_then(Value::as_f64).map(|end| number(end, 2, locale));
            format!("{}–{} %", end("low").unwrap_or_default(), end("high").unwrap_or_default())
        }
        (Value::Number(it), Kind::Count) if it.as_f64().is_some_and(|it| it.fract() == 0.0) => {
            grouped(&it.as_f64().map(|it| format!("{it:.0}")).unwrap_or_default(), locale)
        }
        (Value::Number(it), _) => {
            let it = it.as_f64().unwrap_or_default();
            match kind {
                Kind::Rate => format!("{} %", number(it, 2, locale)),
                Kind::Share => format!("{} %", number(it * 100.0, 1, locale)),
                Kind::Seconds => duration(it, locale),
                Kind::Points => format!("{} {}", number(it, 2, locale), locale.pick(POINTS)),
                Kind::P if it < 0.001 => format!("< {}", number(0.001, 3, locale)),
                Kind::P => number(it, 3, locale),
                Kind::Text => value.to_string(),
                _ => number(it, 2, locale),
            }
        }
        (Value::String(text), Kind::Money | Kind::Number | Kind::Count) => grouped(text, locale),
        (Value::String(text), Kind::Time) => to_the_second(text),
        (Value::String(text), Kind::Begin) => begin(text),
        (Value::String(text), _) => text.clone(),
        (Value::Array(all), _) => {
            let between = if kind == Kind::Way { " → " } else { ", " };
            let all = all.iter().map(|one| written(one, kind, locale));
            all.collect::<Vec<_>>().join(between)
        }
        (Value::Object(pairs), _) => {
            let pairs =
                pairs.iter().map(|(name, value)| format!("{name}: {}", written(value, Kind::Text, locale)));
            pairs.collect::<Vec<_>>().join(", ")
        }
    }
}

/// How much more than before, with its sign: percent, points for rates.
pub(crate) fn change(value: f64, kind: Kind, locale: Locale) -> String {
    let sign = if value > 0.0 { "+" } else { "" };
    let unit = if kind == Kind::Rate { locale.pick(POINTS) } else { "%" };
    let places = if value.abs() < 100.0 { 1 } else { 0 };
    format!("{sign}{} {unit}", number(value, places, locale))
}

/// In few letters, for an axis.
pub(crate) fn short(value: f64, locale: Locale) -> String {
    let (times, unit) = match value.abs() {
        1e9.. => (1e9, locale.pick([" bn", " млрд"])),
        1e6.. => (1e6, locale.pick([" m", " млн"])),
        1e4.. => (1e3, locale.pick([" k", " тис."])),
        _ => (1.0, ""),
    };
    let value = value / times;
    format!("{}{unit}", number(value, usize::from((value * 10.0).round() % 10.0 != 0.0), locale))
}

/// With so many places behind the point.
pub(crate) fn number(value: f64, places: usize, locale: Locale) -> String {
    grouped(&format!("{value:.places$}"), locale)
}

/// A decimal number as text with its thousands apart; any other text as it is.
fn grouped(decimal: &str, locale: Locale) -> String {
    let (sign, digits) = decimal.strip_prefix('-').map_or(("", decimal), |digits| ("−", digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return decimal.to_owned();
    }
    let (between, point) = locale.pick([(',', '.'), ('\u{a0}', ',')]);
    let mut text = sign.to_owned();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            text.push(between);
        }
        text.push(digit);
    }
    if !fraction.is_empty() {
        text.push(point);
        text.push_str(fraction);
    }
    text
}

fn duration(seconds: f64, locale: Locale) -> String {
    let [days, hours, minutes, short] = locale.pick([["d", "h", "min", "s"], ["д", "год", "хв", "с"]]);
    let whole = SignedDuration::try_from_secs_f64(seconds.round()).unwrap_or_default().as_secs();
    match whole {
        86_400.. => format!("{} {days} {} {hours}", whole / 86_400, whole % 86_400 / 3600),
        3600.. => format!("{} {hours} {} {minutes}", whole / 3600, whole % 3600 / 60),
        60.. => format!("{} {minutes} {} {short}", whole / 60, whole % 60),
        _ => format!("{whole} {short}"),
    }
}

/// The beginning of an hour or a day: at midnight the day.
pub(crate) fn begin(text: &str) -> String {
    let at = to_the_second(text);
    at.strip_suffix(" 00:00:00").or(at.get(..16)).unwrap_or(&at).to_owned()
}

/// An RFC 3339 time to the second, without its offset, which the page says once.
pub(crate) fn to_the_second(text: &str) -> String {
    text.get(..19).unwrap_or(text).replacen('T', " ", 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_written_as_people_read_them() {
        let [english, ukrainian] = ["en", "uk"].map(|name| Locale::of(name).unwrap());
        for (value, kind, first, second) in [
            (json!(1_234_567), Kind::Count, "1,234,567", "1\u{a0}234\u{a0}567"),
            (json!(0.5), Kind::Count, "0.50", "0,50"),
            (json!("-1234.50"), Kind::Money, "−1,234.50", "−1\u{a0}234,50"),
            (json!("n/a"), Kind::Money, "n/a", "n/a"),
            (json!(1.73), Kind::Rate, "1.73 %", "1,73 %"),
            (json!(0.6204), Kind::Share, "62.0 %", "62,0 %"),
            (json!({"low": 1.28, "high": 2.3}), Kind::Interval, "1.28–2.30 %", "1,28–2,30 %"),
            (json!(145.88), Kind::Seconds, "2 min 26 s", "2 хв 26 с"),
            (json!(90_061), Kind::Seconds, "1 d 1 h", "1 д 1 год"),
            (
                json!("2026-11-27T22:46:05.785+02:00"),
                Kind::Time,
                "2026-11-27 22:46:05",
                "2026-11-27 22:46:05",
            ),
            (json!("2026-11-27T00:00:00+02:00"), Kind::Begin, "2026-11-27", "2026-11-27"),
            (json!("2026-11-27T20:00:00+02:00"), Kind::Begin, "2026-11-27 20:00", "2026-11-27 20:00"),
            (json!(null), Kind::Count, "–", "–"),
            (json!(404), Kind::Text, "404", "404"),
            (json!(true), Kind::Flag, "yes", "так"),
            (json!(["google", "(direct)"]), Kind::Way, "google → (direct)", "google → (direct)"),
            (json!(["crawler", "no_cookie"]), Kind::Text, "crawler, no_cookie", "crawler, no_cookie"),
            (json!(0.0494), Kind::P, "0.049", "0,049"),
            (json!(0.0), Kind::P, "< 0.001", "< 0,001"),
            (json!(0.39), Kind::Points, "0.39 pp", "0,39 в. п."),
        ] {
            assert_eq!(written(&value, kind, english), first);
            assert_eq!(written(&value, kind, ukrainian), second);
        }
        for (value, text) in [
            (0.0, "0"),
            (7.5, "7.5"),
            (5000.0, "5,000"),
            (15_000.0, "15 k"),
            (2.5e6, "2.5 m"),
            (1e12, "1,000 bn"),
        ] {
            assert_eq!(short(value, english), text);
        }
        assert_eq!(change(5.04, Kind::Count, english), "+5.0 %");
        assert_eq!(change(-1.5, Kind::Rate, ukrainian), "−1,5 в. п.");
        assert_eq!(change(0.0, Kind::Count, english), "0.0 %");
    }
}
