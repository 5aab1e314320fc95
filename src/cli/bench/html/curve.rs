//! The oversubscription curve: time and bytes against data over device memory, a line for each kernel, logarithmic both ways.

use super::case::at_factor;
use super::svg::{self, Anchor, Axis, Shape};
use crate::cli::bench::row::Row;
use crate::cli::bench::show;
use crate::cli::size;

/// The group whose rows are its points.
const ID: &str = "P13";
const SIZE: [f64; 2] = [560.0, 360.0];
/// Left, right, top and bottom of the plot itself. Names of lines are to the right.
const FRAME: [f64; 4] = [72.0, 440.0, 16.0, 306.0];
/// The least distance between two names.
const APART: f64 = 16.0;

/// A kernel's points, by factor.
#[derive(Debug, Clone, PartialEq)]
struct Line {
    name: String,
    points: Vec<Point>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    factor: f64,
    ratio: f64,
    bytes: f64,
}

/// Whether a row is a point of the curve.
#[must_use]
pub fn has(row: &Row) -> bool {
    row.id == ID && at_factor(&row.case).is_some()
}

/// Both plots; empty without rows for them.
#[must_use]
pub fn plots(rows: &[Row]) -> String {
    let lines = lines(rows);
    let time = plot(
        "curve-time",
        &format!("Time over that of {}", baseline(rows)),
        &lines,
        |point| point.ratio,
        false,
    );
    let bytes = plot(
        "curve-bytes",
        "Bytes moved",
        &lines,
        |point| point.bytes,
        true,
    );
    if time.is_empty() && bytes.is_empty() {
        return String::new();
    }
    format!("<div class=\"pair\">\n{time}{bytes}</div>\n")
}

/// What all points are compared with, if that is one thing.
fn baseline(rows: &[Row]) -> &str {
    let mut named = rows
        .iter()
        .filter(|row| has(row))
        .map(|row| row.baseline.as_str());
    let first = named.next().unwrap_or_default();
    if first.is_empty() || named.any(|name| name != first) {
        "the baseline"
    } else {
        first
    }
}

fn lines(rows: &[Row]) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for row in rows.iter().filter(|row| row.id == ID) {
        let Some(parts) = at_factor(&row.case) else {
            continue;
        };
        let name = match parts.rest {
            "" => parts.what.to_owned(),
            rest => format!("{}, {rest}", parts.what),
        };
        let point = Point {
            factor: parts.factor,
            ratio: row.ratio,
            bytes: row.bytes as f64,
        };
        match lines.iter_mut().find(|line| line.name == name) {
            Some(line) => line.points.push(point),
            None => lines.push(Line {
                name,
                points: vec![point],
            }),
        }
    }
    for line in &mut lines {
        line.points.sort_by(|a, b| a.factor.total_cmp(&b.factor));
    }
    lines
}

fn plot(id: &str, title: &str, lines: &[Line], value: fn(&Point) -> f64, bytes: bool) -> String {
    let [left, right, top, bottom] = FRAME;
    let points = || {
        lines
            .iter()
            .flat_map(|line| &line.points)
            .filter(|point| svg::fits(value(point)))
    };
    // The baseline belongs on a scale of ratios.
    let one = (!bytes)
        .then_some(1.0)
        .filter(|_| points().next().is_some());
    let (Some(across), Some(up)) = (
        Axis::over(points().map(|point| point.factor), left, right),
        Axis::over(points().map(value).chain(one), bottom, top),
    ) else {
        return String::new();
    };
    let shown = |value: f64| {
        if bytes {
            size::show(value as u64)
        } else {
            show::unit(&show::short(value), "x")
        }
    };
    let mut body = grid(&across, &up, points(), bytes, shown);
    let mut names = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let (class, shape) = (
            format!("line{}", number % 6),
            Shape::ALL[number % Shape::ALL.len()],
        );
        let places: Vec<(&Point, [f64; 2])> = line
            .points
            .iter()
            .filter(|point| svg::fits(value(point)))
            .map(|point| (point, [across.at(point.factor), up.at(value(point))]))
            .collect();
        body += &svg::polyline(
            &format!("curve {class}"),
            &places.iter().map(|(_, place)| *place).collect::<Vec<_>>(),
        );
        for (point, place) in &places {
            let words = format!(
                "{} at {}x: {}",
                line.name,
                show::short(point.factor),
                shown(value(point))
            );
            body += &svg::mark(shape, &format!("point {class}"), *place, &words);
        }
        if let Some((_, [_, y])) = places.last() {
            names.push((*y, line.name.as_str(), class, shape));
        }
    }
    names.sort_by(|a, b| a.0.total_cmp(&b.0));
    let heights = spread(&names.iter().map(|name| name.0).collect::<Vec<_>>());
    for ((_, name, class, shape), y) in names.iter().zip(heights) {
        body += &svg::mark(*shape, &format!("point {class}"), [right + 14.0, y], name);
        body += &svg::text("name", Anchor::Start, [right + 24.0, y + 4.0], name);
    }
    let names: Vec<&str> = names.iter().map(|name| name.1).collect();
    let description = format!(
        "{title} against data over device memory, both logarithmic, a line each for {}. The table below has all figures.",
        names.join(", ")
    );
    let picture = svg::picture(id, SIZE, title, &description, &body);
    format!(
        "<figure>\n<figcaption>{}</figcaption>\n{picture}</figure>\n",
        svg::escape(title)
    )
}

/// The lines behind a plot, with their values.
fn grid<'a>(
    across: &Axis,
    up: &Axis,
    points: impl Iterator<Item = &'a Point>,
    bytes: bool,
    shown: impl Fn(f64) -> String,
) -> String {
    let [left, right, top, bottom] = FRAME;
    let mut body = String::new();
    for tick in if bytes {
        up.binary_ticks(7)
    } else {
        up.ticks(7)
    } {
        let y = up.at(tick);
        body += &svg::line("grid", [left, y], [right, y]);
        body += &svg::text("tick", Anchor::End, [left - 8.0, y + 4.0], &shown(tick));
    }
    if !bytes {
        body += &svg::line("one", [left, up.at(1.0)], [right, up.at(1.0)]);
    }
    // The factors that were measured, as far as their numbers have room.
    let mut factors: Vec<f64> = points.map(|point| point.factor).collect();
    factors.sort_by(f64::total_cmp);
    factors.dedup();
    let mut free = f64::NEG_INFINITY;
    for factor in factors {
        let x = across.at(factor);
        body += &svg::line("grid", [x, top], [x, bottom]);
        if x >= free {
            body += &svg::text(
                "tick",
                Anchor::Middle,
                [x, bottom + 16.0],
                &show::short(factor),
            );
            free = x + 26.0;
        }
    }
    body += &svg::text(
        "scale",
        Anchor::Middle,
        [(left + right) / 2.0, bottom + 38.0],
        "data over device memory",
    );
    body
}

/// Heights in order, moved so that none is too close to the one before.
fn spread(heights: &[f64]) -> Vec<f64> {
    let mut free = f64::NEG_INFINITY;
    let place = |height: &f64| {
        let y = height.max(free);
        free = y + APART;
        y
    };
    let mut placed: Vec<f64> = heights.iter().map(place).collect();
    // What went below the frame goes up again, and pushes what is above it.
    let mut floor = FRAME[3];
    for y in placed.iter_mut().rev() {
        *y = y.min(floor);
        floor = *y - APART;
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::measured::Measured;

    fn row(case: &str, ratio: f64, bytes: u64) -> Row {
        Row::timed(
            "P13",
            case,
            "half of it",
            Measured::of(vec![vec![([ratio; 2], [1.0; 2])]]),
        )
        .bytes(bytes)
    }

    #[test]
    fn every_kernel_is_a_line_through_its_factors_in_order() {
        let rows = [
            row("triad at 4x", 6.0, 400),
            row("triad at 0.5x", 1.0, 100),
            row("triad at 1.1x", 2.0, 200),
            row("page<rank> at 0.5x", 1.5, 100),
            row("page<rank> at 4x", 9.0, 0),
            row("no factor", 9.0, 0),
        ];
        let lines = lines(&rows);
        assert_eq!(lines.len(), 2);
        let factors: Vec<f64> = lines[0].points.iter().map(|point| point.factor).collect();
        assert_eq!(factors, [0.5, 1.1, 4.0]);
        let text = plots(&rows);
        assert_eq!(text.matches("<svg").count(), 2);
        // Of the bytes one line has a single point: no line, only the mark.
        assert_eq!(text.matches("<polyline").count(), 3, "{text}");
        assert!(
            text.contains("page&lt;rank&gt;") && !text.contains("page<"),
            "{text}"
        );
        assert!(text.contains("<title>triad at 1.1x: 2x</title>"), "{text}");
        assert!(has(&rows[0]) && !has(&rows[5]));
        assert!(text.contains("Time over that of half of it"), "{text}");
        let mut other = rows.to_vec();
        other[1].baseline = "another".to_owned();
        assert_eq!(baseline(&other), "the baseline");
    }

    #[test]
    fn without_such_rows_there_is_no_plot() {
        assert_eq!(plots(&[]), "");
        assert_eq!(plots(&[row("triad", 1.0, 1)]), "");
        assert_eq!(plots(&[row("triad at 2x", f64::NAN, 0)]), "");
        let other = Row::counted("P5", "triad at 2x", "b", 1.0, 1.0);
        assert_eq!(plots(&[other]), "");
        // Without bytes there is one plot.
        assert_eq!(
            plots(&[row("triad at 2x", 2.0, 0)]).matches("<svg").count(),
            1
        );
    }

    #[test]
    fn names_are_apart_and_within_the_frame() {
        assert_eq!(spread(&[10.0, 12.0, 100.0]), [10.0, 26.0, 100.0]);
        let low = spread(&[FRAME[3] - 1.0, FRAME[3]]);
        assert_eq!(low, [FRAME[3] - APART, FRAME[3]]);
        assert!(spread(&[]).is_empty());
    }
}
