//! Drawings, as SVG: columns in the course of time, small lines, bars beside numbers. What is drawn is also written.

use maud::{Markup, html};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 180.0;
/// Room for the numbers at the left and the days below.
const LEFT: f64 = 64.0;
const BELOW: f64 = 22.0;
const ABOVE: f64 = 12.0;

/// A column.
pub(crate) struct Column {
    /// When it was, in short.
    pub(crate) label: String,
    pub(crate) value: f64,
    /// In the window beside it.
    pub(crate) previous: Option<f64>,
    /// What is said of it.
    pub(crate) title: String,
    /// Whether it goes on.
    pub(crate) is_open: bool,
}

/// Columns, and what was before as a line.
pub(crate) fn columns(columns: &[Column], title: &str, write: impl Fn(f64) -> String) -> Markup {
    let greatest =
        columns.iter().flat_map(|column| [column.value, column.previous.unwrap_or(0.0)]).fold(0.0, f64::max);
    let top = round_up(greatest);
    let height = HEIGHT - ABOVE - BELOW;
    let y = |value: f64| ABOVE + height * (1.0 - (value / top).clamp(0.0, 1.0));
    let step = (WIDTH - LEFT) / columns.len().max(1) as f64;
    let x = |index: usize| LEFT + step * index as f64;
    let line: Vec<String> = columns
        .iter()
        .enumerate()
        .filter_map(|(index, column)| {
            Some(format!("{:.1},{:.1}", x(index) + step / 2.0, y(column.previous?)))
        })
        .collect();
    // As many days as there is room for.
    let every = columns.len().div_ceil(8).max(1);
    html! {
        svg.chart viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(title) {
            @for part in [0.0, 0.5, 1.0] {
                line.grid x1=(LEFT) x2=(WIDTH) y1=(place(y(top * part))) y2=(place(y(top * part))) {}
                text.axis x=(LEFT - 6.0) y=(place(y(top * part) + 4.0)) text-anchor="end" { (write(top * part)) }
            }
            @for (index, column) in columns.iter().enumerate() {
                g.column {
                    title { (column.title) }
                    rect.room x=(place(x(index))) y=(ABOVE) width=(place(step)) height=(height) {}
                    rect.value.open[column.is_open] x=(place(x(index) + step * 0.12)) width=(place(step * 0.76))
                        y=(place(y(column.value))) height=(place(ABOVE + height - y(column.value))) {}
                }
                @if index % every == 0 {
                    text.axis x=(place(x(index) + step / 2.0)) y=(HEIGHT - 6.0) text-anchor="middle" { (column.label) }
                }
            }
            @if line.len() > 1 {
                polyline.halo points=(line.join(" ")) {}
                polyline.previous points=(line.join(" ")) {}
            }
        }
    }
}

/// A line without axes.
pub(crate) fn small_line(values: &[f64]) -> Markup {
    let greatest = values.iter().copied().fold(0.0, f64::max);
    if values.len() < 2 || greatest <= 0.0 {
        return html! {};
    }
    let step = 100.0 / (values.len() - 1) as f64;
    let point = |(index, value): (usize, &f64)| {
        format!("{:.1},{:.1}", step * index as f64, 22.0 - 20.0 * value.max(0.0) / greatest)
    };
    let points: Vec<String> = values.iter().enumerate().map(point).collect();
    html! {
        svg.spark viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true" {
            polyline points=(points.join(" ")) {}
        }
    }
}

/// A bar, as long as the value is of the greatest.
pub(crate) fn bar(value: f64, greatest: f64) -> Markup {
    let width = if greatest > 0.0 { (value / greatest).clamp(0.0, 1.0) * 100.0 } else { 0.0 };
    html! {
        svg.bar viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" {
            rect width=(place(width)) height="4" {}
        }
    }
}

/// The next number of one digit, or one and a half, and zeros.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let unit = 10_f64.powf(value.log10().floor());
    let times = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0].into_iter();
    times.map(|times| times * unit).find(|round| *round >= value).unwrap_or(value)
}

fn place(value: f64) -> String {
    format!("{value:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        for (value, top) in
            [(0.0, 1.0), (0.7, 0.8), (1.0, 1.0), (96.0, 100.0), (101.0, 150.0), (4300.0, 5000.0)]
        {
            assert!((round_up(value) - top).abs() < 1e-9, "{value}: {}", round_up(value));
        }
    }

    #[test]
    fn nothing_to_draw_is_no_line() {
        assert!(small_line(&[1.0]).into_string().is_empty());
        assert!(small_line(&[0.0, 0.0]).into_string().is_empty());
        assert!(columns(&[], "", |_| String::new()).into_string().contains("</svg>"));
    }
}
