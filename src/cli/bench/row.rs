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
        }
    }
}

/// Two sides that were run in turn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// gmem.
    pub ours: Sample,
    /// What it is compared with.
    pub baseline: Sample,
    /// The median of the ratios of the pairs, ours over the baseline.
    pub ratio: f64,
}

impl Measured {
    /// From readings of both sides, pair by pair, in seconds.
    #[must_use]
    pub fn of(pairs: &[(f64, f64)]) -> Self {
        let each = |f: fn(&(f64, f64)) -> f64| pairs.iter().map(f).collect::<Vec<f64>>();
        Self {
            ours: Sample::of(&each(|p| p.0)),
            baseline: Sample::of(&each(|p| p.1)),
            ratio: Sample::of(&each(|p| p.0 / p.1)).median,
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
        let nothing = Sample::of(&[]);
        assert_eq!((nothing.median, nothing.spread), (0.0, 0.0));
    }

    #[test]
    fn the_ratio_is_that_of_pairs_so_that_a_drifting_machine_does_not_bend_it() {
        // Both sides become ten times slower half-way: every pair still says 2.
        let measured = Measured::of(&[(2.0, 1.0), (2.0, 1.0), (20.0, 10.0), (20.0, 10.0)]);
        assert_eq!(measured.ratio, 2.0);
    }

    #[test]
    fn a_goal_is_about_the_figure() {
        let measured = Measured::of(&[(2.0, 1.0)]);
        let row = Row::timed("P1", "case", "baseline", measured).goal(1.5);
        assert_eq!(row.meets(), Some(false));
        assert_eq!(row.clone().figure(1.2, "us").meets(), Some(true));
        assert_eq!(Row::counted("P9", "c", "b", 8.0, 16.0).meets(), None);
    }

    #[test]
    fn a_rate_needs_bytes_and_seconds() {
        let row = Row::timed("P1", "c", "b", Measured::of(&[(2.0, 1.0)]));
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
        let row = Row::timed("P1", "case", "baseline", Measured::of(&[(2.0, 1.0)])).goal(1.5);
        let json = serde_json::to_string(&row).unwrap();
        assert_eq!(serde_json::from_str::<Row>(&json).unwrap(), row);
        let nothing = Row::counted("P5", "case", "baseline", 0.0, 0.0);
        let json = serde_json::to_string(&nothing).unwrap();
        assert!(json.contains("\"ratio\":null"), "{json}");
        assert!(serde_json::from_str::<Row>(&json).unwrap().ratio.is_nan());
    }
}
