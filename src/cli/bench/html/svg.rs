//! Pieces of SVG as text, and the scales that say where they go.

use std::fmt::Write as _;

/// Text as HTML and SVG hold it, in elements and in attributes.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // What no document may hold.
            c if c.is_control() && !matches!(c, '\n' | '\t') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A picture of so many units, with the words for those who do not see it. `id` is one of its own on the page.
#[must_use]
pub fn picture(
    id: &str,
    [width, height]: [f64; 2],
    title: &str,
    description: &str,
    body: &str,
) -> String {
    let (title, description) = (escape(title), escape(description));
    format!(
        "<svg viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\">\n\
         <title id=\"{id}-title\">{title}</title>\n<desc id=\"{id}-desc\">{description}</desc>\n{body}</svg>\n"
    )
}

/// Where text begins, ends or has its middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// It begins there.
    Start,
    /// Its middle is there.
    Middle,
    /// It ends there.
    End,
}

/// Words at a point of their base line.
#[must_use]
pub fn text(class: &str, anchor: Anchor, [x, y]: [f64; 2], words: &str) -> String {
    let anchor = match anchor {
        Anchor::Start => "start",
        Anchor::Middle => "middle",
        Anchor::End => "end",
    };
    format!(
        "<text class=\"{class}\" text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>\n",
        escape(words)
    )
}

/// A straight line.
#[must_use]
pub fn line(class: &str, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2]) -> String {
    format!(
        "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>\n"
    )
}

/// A line through points; nothing where there are fewer than two.
#[must_use]
pub fn polyline(class: &str, points: &[[f64; 2]]) -> String {
    if points.len() < 2 {
        return String::new();
    }
    let mut path = String::new();
    for [x, y] in points {
        // Writing to a string does not fail.
        let _ = write!(path, "{x:.1},{y:.1} ");
    }
    format!(
        "<polyline class=\"{class}\" points=\"{}\"/>\n",
        path.trim_end()
    )
}

/// A mark that can be told from others without its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A disc, or a ring where it is not filled.
    Circle,
    /// A square on its tip.
    Diamond,
    /// A square.
    Square,
    /// A triangle that points up.
    Triangle,
}

impl Shape {
    /// The shapes of lines, in turn.
    pub const ALL: [Self; 4] = [Self::Circle, Self::Square, Self::Triangle, Self::Diamond];
}

/// A mark around a point, with words that are shown when it is pointed at.
#[must_use]
pub fn mark(shape: Shape, class: &str, [x, y]: [f64; 2], words: &str) -> String {
    let words = escape(words);
    let points: &[[f64; 2]] = match shape {
        Shape::Circle => {
            return format!(
                "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\"><title>{words}</title></circle>\n"
            );
        }
        Shape::Diamond => &[[0.0, -6.5], [6.5, 0.0], [0.0, 6.5], [-6.5, 0.0]],
        Shape::Square => &[[-4.2, -4.2], [4.2, -4.2], [4.2, 4.2], [-4.2, 4.2]],
        Shape::Triangle => &[[0.0, -5.5], [5.5, 4.5], [-5.5, 4.5]],
    };
    let mut path = String::new();
    for [dx, dy] in points {
        let _ = write!(path, "{:.1},{:.1} ", x + dx, y + dy);
    }
    format!(
        "<polygon class=\"{class}\" points=\"{}\"><title>{words}</title></polygon>\n",
        path.trim_end()
    )
}

/// Where values go on a picture: a logarithmic scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Axis {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
}

/// What values there are between powers of ten, from many to few.
const STEPS: [&[f64]; 5] = [
    &[
        1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0, 2.2, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0,
        7.0, 8.0, 9.0, 9.5,
    ],
    &[1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 9.0],
    &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0],
    &[1.0, 2.0, 5.0],
    &[1.0],
];

impl Axis {
    /// From `start` to `end` for values, with some room at both ends. `None` when none of them can be on it: a
    /// logarithmic scale has no room for what is not above zero.
    #[must_use]
    pub fn over(values: impl IntoIterator<Item = f64>, start: f64, end: f64) -> Option<Self> {
        let logs = values.into_iter().filter(|&value| fits(value)).map(f64::ln);
        let (low, high) = logs.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), log| {
            (low.min(log), high.max(log))
        });
        let room = ((high - low) * 0.04).max(0.1);
        (low <= high).then_some(Self {
            low: low - room,
            high: high + room,
            start,
            end,
        })
    }

    /// Where a value is. One that does not fit is at the start.
    #[must_use]
    pub fn at(&self, value: f64) -> f64 {
        if !fits(value) {
            return self.start;
        }
        let part = (value.ln() - self.low) / (self.high - self.low);
        self.start + part.clamp(0.0, 1.0) * (self.end - self.start)
    }

    /// Round values along it, `most` at most.
    #[must_use]
    pub fn ticks(&self, most: usize) -> Vec<f64> {
        let decades = |step: usize| {
            let (first, last) = (
                (self.low / 10_f64.ln()).floor() as i32,
                (self.high / 10_f64.ln()).ceil() as i32,
            );
            (first..=last).filter(move |decade| decade.rem_euclid(step as i32) == 0)
        };
        for steps in STEPS {
            let ticks = self.within(
                decades(1)
                    .flat_map(|decade| steps.iter().map(move |step| step * 10_f64.powi(decade))),
            );
            if ticks.len() <= most && !ticks.is_empty() {
                return ticks;
            }
        }
        (2..=640)
            .map(|step| self.within(decades(step).map(|decade| 10_f64.powi(decade))))
            .find(|ticks| ticks.len() <= most)
            .unwrap_or_default()
    }

    /// Powers of two along it, `most` at most.
    #[must_use]
    pub fn binary_ticks(&self, most: usize) -> Vec<f64> {
        let (first, last) = (
            (self.low / 2_f64.ln()).floor() as i32,
            (self.high / 2_f64.ln()).ceil() as i32,
        );
        (1..=2100)
            .map(|step| {
                let powers = (first..=last).filter(|power| power.rem_euclid(step) == 0);
                self.within(powers.map(|power| 2_f64.powi(power)))
            })
            .find(|ticks| ticks.len() <= most)
            .unwrap_or_default()
    }

    fn within(&self, values: impl Iterator<Item = f64>) -> Vec<f64> {
        values
            .filter(|&value| fits(value) && (self.low..=self.high).contains(&value.ln()))
            .collect()
    }
}

/// Whether a logarithmic scale has a place for a value.
#[must_use]
pub fn fits(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_an_element_or_an_attribute() {
        assert_eq!(
            escape("<a href=\"x\">&'\u{0}"),
            "&lt;a href=&quot;x&quot;&gt;&amp;&#39;\u{fffd}"
        );
        let evil = "</text><script>alert(\"1\")</script>";
        for made in [
            text("c", Anchor::Start, [0.0, 0.0], evil),
            mark(Shape::Circle, "c", [0.0, 0.0], evil),
            mark(Shape::Diamond, "c", [0.0, 0.0], evil),
            picture("p", [1.0, 1.0], evil, evil, ""),
        ] {
            assert!(
                !made.contains("<script") && made.contains("&lt;script"),
                "{made}"
            );
        }
    }

    #[test]
    fn equal_ratios_are_equal_lengths() {
        let axis = Axis::over([1.0, 100.0], 0.0, 100.0).unwrap();
        let (one, ten, hundred) = (axis.at(1.0), axis.at(10.0), axis.at(100.0));
        assert!(0.0 < one && hundred < 100.0);
        assert!(((ten - one) - (hundred - ten)).abs() < 1e-9);
        // What is beyond stays at the ends, and what is no number at the start.
        assert_eq!(
            (
                axis.at(1e9),
                axis.at(1e-9),
                axis.at(f64::NAN),
                axis.at(-1.0)
            ),
            (100.0, 0.0, 0.0, 0.0)
        );
        // Upwards is towards 0.
        let up = Axis::over([1.0, 100.0], 200.0, 0.0).unwrap();
        assert!(up.at(1.0) > up.at(100.0));
    }

    #[test]
    fn there_is_no_axis_without_values() {
        assert_eq!(Axis::over([], 0.0, 1.0), None);
        assert_eq!(
            Axis::over([0.0, -1.0, f64::NAN, f64::INFINITY], 0.0, 1.0),
            None
        );
        let one = Axis::over([5.0], 0.0, 1.0).unwrap();
        assert!((one.at(5.0) - 0.5).abs() < 1e-9);
        assert!(!one.ticks(8).is_empty());
    }

    #[test]
    fn ticks_are_round_and_few() {
        let ticks = |values: [f64; 2]| Axis::over(values, 0.0, 1.0).unwrap().ticks(9);
        assert_eq!(ticks([1.0, 10.0]), [1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0]);
        assert_eq!(
            ticks([1.0, 100.0]),
            [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]
        );
        for values in [
            [0.9, 1.2],
            [1e-3, 1e9],
            [1e-300, 1e300],
            [f64::MIN_POSITIVE, f64::MAX],
            [3.0, 3.0],
        ] {
            let ticks = ticks(values);
            assert!(
                !ticks.is_empty() && ticks.len() <= 9,
                "{values:?}: {ticks:?}"
            );
            assert!(ticks.windows(2).all(|pair| pair[0] < pair[1]), "{ticks:?}");
        }
        let bytes = Axis::over([1e6, 1e9], 0.0, 1.0).unwrap().binary_ticks(6);
        assert!(
            (3..=6).contains(&bytes.len()) && bytes.iter().all(|b| b.log2().fract() == 0.0),
            "{bytes:?}"
        );
    }

    #[test]
    fn a_line_needs_two_points() {
        assert_eq!(polyline("c", &[[1.0, 2.0]]), "");
        assert_eq!(
            polyline("c", &[[1.0, 2.0], [3.0, 4.0]]),
            "<polyline class=\"c\" points=\"1.0,2.0 3.0,4.0\"/>\n"
        );
    }
}
