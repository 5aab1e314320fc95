//! What `gmem bench` says about one case: a row, and the samples it was made from.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};

/// Repeated readings of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Sample {
    /// The middle one, in seconds.
    pub median: f64,
    /// The distance between the first and the third quartile, as a part of the median.
    pub spread: f64,
    /// How many.
    pub readings: usize,
}

impl Sample {
    /// The sample of some readings in seconds; of none, all is zero.
    #[must_use]
    pub fn of(readings: &[f64]) -> Self {
        let mut sorted = readings.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |part: usize| sorted.get(sorted.len() * part / 4).copied();
        let median = at(2).unwrap_or(0.0);
        let quartiles = at(3).unwrap_or(0.0) - at(1).unwrap_or(0.0);
        Self {
            median,
            spread: if median > 0.0 {
                quartiles / median
            } else {
                0.0
            },
            readings: sorted.len(),
        }
    }

    /// The standard error of the median as a part of it, as far as the readings do not depend on each other and are spread
    /// like a normal distribution, of which half lies within 0.6745 of its deviation.
    #[must_use]
    pub fn error(&self) -> f64 {
        let deviation = self.spread / (2.0 * 0.6745);
        let median = (std::f64::consts::PI / 2.0).sqrt();
        median * deviation / (self.readings.max(1) as f64).sqrt()
    }
}

/// A turn: readings of ours, and of the baseline between them, in seconds.
pub type Turn = ([f64; 2], [f64; 2]);

/// Two sides that were run in turn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// gmem.
    pub ours: Sample,
    /// What it is compared with.
    pub baseline: Sample,
    /// The median of the turns' ratios, ours over the baseline.
    ///
    /// A turn's ratio is that of its sums, so that a machine that becomes slower evenly does not bend it, and readings that
    /// lie around two values do not make the median jump from one to the other.
    pub ratio: f64,
    /// Its standard error, as a part of it.
    pub error: f64,
    /// How many turns.
    pub turns: usize,
}

impl Measured {
    /// From readings of both sides, turn by turn.
    #[must_use]
    pub fn of(turns: &[Turn]) -> Self {
        let all = |side: fn(&Turn) -> [f64; 2]| {
            let readings: Vec<f64> = turns.iter().flat_map(side).collect();
            Sample::of(&readings)
        };
        let ratios: Vec<f64> = (turns.iter())
            .map(|([a, d], [b, c])| (a + d) / (b + c))
            .collect();
        let ratio = Sample::of(&ratios);
        Self {
            ours: all(|turn| turn.0),
            baseline: all(|turn| turn.1),
            ratio: ratio.median,
            error: ratio.error(),
            turns: turns.len(),
        }
    }
}

/// What a case came to. Less is better in every row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The group of cases it belongs to: `P1` and so on.
    pub id: Cow<'static, str>,
    /// What was done, in words that stay the same from run to run.
    pub case: String,
    /// Ours over the baseline; of time where there are times, else of what `unit` says.
    #[serde(deserialize_with = "or_no_number")]
    pub ratio: f64,
    /// The standard error of the ratio as a part of it, where readings were repeated.
    #[serde(default)]
    pub error: Option<f64>,
    /// How many turns, of two readings of each side, the ratio is the median of.
    #[serde(default)]
    pub turns: Option<usize>,
    /// The figure that the goal is about: the ratio, unless `unit` says otherwise.
    #[serde(deserialize_with = "or_no_number")]
    pub figure: f64,
    /// What the figure counts: `x` for a ratio, `B/page`, `us`, ...
    pub unit: Cow<'static, str>,
    /// What the figure should be at most.
    pub goal: Option<f64>,
    /// Seconds of ours: the median.
    pub ours_s: Option<f64>,
    /// The spread of ours: the distance between quartiles as a part of the median.
    pub ours_spread: Option<f64>,
    /// Seconds of the baseline: the median.
    pub baseline_s: Option<f64>,
    /// The spread of the baseline.
    pub baseline_spread: Option<f64>,
    /// What ours is compared with.
    pub baseline: String,
    /// Bytes that the case is about: what the kernel must touch, or what was moved (the case says which).
    pub bytes: u64,
    /// The same bytes for the baseline, where they differ.
    pub baseline_bytes: Option<u64>,
    /// 10^9 bytes a second of ours, where there are both.
    #[serde(default)]
    pub gb_s: Option<f64>,
    /// 10^9 bytes a second of the baseline.
    #[serde(default)]
    pub baseline_gb_s: Option<f64>,
    /// Whether the results of both sides were what an independent computation says.
    pub verified: bool,
    /// What a reader should know besides; mostly empty.
    #[serde(default)]
    pub note: String,
}

/// A number, or none where there was no number: that is how JSON writes it.
fn or_no_number<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}

impl Row {
    /// A row about time.
    #[must_use]
    pub fn timed(
        id: &'static str,
        case: impl Into<String>,
        baseline: impl Into<String>,
        measured: Measured,
    ) -> Self {
        Self {
            id: Cow::Borrowed(id),
            case: case.into(),
            ratio: measured.ratio,
            error: Some(measured.error),
            turns: Some(measured.turns),
            figure: measured.ratio,
            unit: Cow::Borrowed("x"),
            goal: None,
            ours_s: Some(measured.ours.median),
            ours_spread: Some(measured.ours.spread),
            baseline_s: Some(measured.baseline.median),
            baseline_spread: Some(measured.baseline.spread),
            baseline: baseline.into(),
            bytes: 0,
            baseline_bytes: None,
            gb_s: None,
            baseline_gb_s: None,
            verified: false,
            note: String::new(),
        }
    }

    /// A row about something that is counted and not timed: ours, the baseline's, in the same unit.
    #[must_use]
    pub fn counted(
        id: &'static str,
        case: impl Into<String>,
        baseline: impl Into<String>,
        ours: f64,
        theirs: f64,
    ) -> Self {
        let ratio = ours / theirs;
        Self {
            id: Cow::Borrowed(id),
            case: case.into(),
            ratio,
            error: None,
            turns: None,
            figure: ratio,
            unit: Cow::Borrowed("x"),
            goal: None,
            ours_s: None,
            ours_spread: None,
            baseline_s: None,
            baseline_spread: None,
            baseline: baseline.into(),
            bytes: 0,
            baseline_bytes: None,
            gb_s: None,
            baseline_gb_s: None,
            verified: false,
            note: String::new(),
        }
    }

    /// With a goal for its figure.
    #[must_use]
    pub const fn goal(mut self, goal: f64) -> Self {
        self.goal = Some(goal);
        self
    }

    /// With another figure than the ratio to set against the goal.
    #[must_use]
    pub fn figure(mut self, figure: f64, unit: &'static str) -> Self {
        self.figure = figure;
        self.unit = Cow::Borrowed(unit);
        self
    }

    /// With the bytes it is about.
    #[must_use]
    pub fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self.rated()
    }

    /// With the bytes of the baseline, where they differ.
    #[must_use]
    pub fn baseline_bytes(mut self, bytes: u64) -> Self {
        self.baseline_bytes = Some(bytes);
        self.rated()
    }

    fn rated(mut self) -> Self {
        self.gb_s = self.rate().map(|rate| rate / 1e9);
        self.baseline_gb_s = self.baseline_rate().map(|rate| rate / 1e9);
        self
    }

    /// With whether its results were right.
    #[must_use]
    pub const fn verified(mut self, verified: bool) -> Self {
        self.verified = verified;
        self
    }

    /// With a remark.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// Whether the goal, if there is one, was reached.
    #[must_use]
    pub fn meets(&self) -> Option<bool> {
        self.goal.map(|goal| self.figure <= goal)
    }

    /// Whether the goal lies within two standard errors of the figure, where that is the ratio of times: then chance decides
    /// on which side of it the figure is.
    #[must_use]
    pub fn is_close(&self) -> bool {
        match (self.goal, self.error) {
            (Some(goal), Some(error)) if self.unit == "x" => {
                (self.figure - goal).abs() <= 2.0 * error * self.figure
            }
            _ => false,
        }
    }

    /// Bytes a second of ours, where it has both.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        rate(self.bytes, self.ours_s)
    }

    /// Bytes a second of the baseline, where it has both.
    #[must_use]
    pub fn baseline_rate(&self) -> Option<f64> {
        rate(self.baseline_bytes.unwrap_or(self.bytes), self.baseline_s)
    }
}

fn rate(bytes: u64, seconds: Option<f64>) -> Option<f64> {
    let seconds = seconds.filter(|&seconds| bytes > 0 && seconds > 0.0)?;
    Some(bytes as f64 / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_its_median_and_quartiles() {
        let sample = Sample::of(&[5.0, 1.0, 3.0, 2.0, 4.0]);
        assert_eq!(sample.median, 3.0);
        assert!((sample.spread - 2.0 / 3.0).abs() < 1e-12);
        let many = Sample::of(&[1.0, 2.0, 3.0, 4.0, 5.0].repeat(9));
        assert_eq!((many.spread, many.readings), (sample.spread, 45));
        assert!((many.error() * 3.0 - sample.error()).abs() < 1e-12);
        let nothing = Sample::of(&[]);
        assert_eq!((nothing.median, nothing.spread), (0.0, 0.0));
    }

    /// A turn whose two readings of a side are the same.
    fn turn(ours: f64, baseline: f64) -> Turn {
        ([ours; 2], [baseline; 2])
    }

    #[test]
    fn the_ratio_is_that_of_turns_so_that_a_drifting_machine_does_not_bend_it() {
        // Both sides become ten times slower half-way: every turn still says 2.
        let turns = [(2.0, 1.0), (2.0, 1.0), (20.0, 10.0), (20.0, 10.0)];
        let measured = Measured::of(&turns.map(|(a, b)| turn(a, b)));
        assert_eq!((measured.ratio, measured.error), (2.0, 0.0));
        // It becomes slower evenly: the sums of a turn have the ratio that both have at any one time.
        let measured = Measured::of(&[([1.0, 4.0], [2.0, 3.0])]);
        assert_eq!(measured.ratio, 1.0);
        assert_eq!(measured.ours.readings, 2);
    }

    #[test]
    fn a_goal_is_about_the_figure() {
        let measured = Measured::of(&[turn(2.0, 1.0)]);
        let row = Row::timed("P1", "case", "baseline", measured).goal(1.5);
        assert_eq!(row.meets(), Some(false));
        assert_eq!(row.clone().figure(1.2, "us").meets(), Some(true));
        assert_eq!(Row::counted("P9", "c", "b", 8.0, 16.0).meets(), None);
        let unsteady = Measured {
            error: 0.2,
            ..measured
        };
        let row = |goal| Row::timed("P1", "case", "baseline", unsteady).goal(goal);
        assert!(row(1.3).is_close() && row(2.7).is_close());
        assert!(!row(1.1).is_close() && !row(2.9).is_close());
    }

    #[test]
    fn a_rate_needs_bytes_and_seconds() {
        let row = Row::timed("P1", "c", "b", Measured::of(&[turn(2.0, 1.0)]));
        assert_eq!((row.rate(), row.baseline_rate()), (None, None));
        let row = row.bytes(8);
        assert_eq!((row.rate(), row.baseline_rate()), (Some(4.0), Some(8.0)));
        assert_eq!((row.gb_s, row.baseline_gb_s), (Some(4e-9), Some(8e-9)));
        let row = row.baseline_bytes(2);
        assert_eq!((row.gb_s, row.baseline_gb_s), (Some(4e-9), Some(2e-9)));
        assert_eq!(Row::counted("P9", "c", "b", 1.0, 1.0).bytes(8).rate(), None);
    }

    #[test]
    fn a_row_comes_back_from_its_json_even_where_it_has_no_number() {
        let row = Row::timed("P1", "case", "baseline", Measured::of(&[turn(2.0, 1.0)])).goal(1.5);
        let json = serde_json::to_string(&row).unwrap();
        assert_eq!(serde_json::from_str::<Row>(&json).unwrap(), row);
        let nothing = Row::counted("P5", "case", "baseline", 0.0, 0.0);
        let json = serde_json::to_string(&nothing).unwrap();
        assert!(json.contains("\"ratio\":null"), "{json}");
        assert!(serde_json::from_str::<Row>(&json).unwrap().ratio.is_nan());
    }
}
