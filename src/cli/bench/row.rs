//! What `gmem bench` says about one case: a row.

use std::borrow::Cow;

use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::measured::{Measured, Turn, of_few};

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
    /// How many turns, of two readings of each side, the ratio is of.
    #[serde(default)]
    pub turns: Option<usize>,
    /// The readings themselves, in seconds a run: those of each turn of each sitting, first the two of ours (which began and ended
    /// the turn), then the two of the baseline.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "on_one_line"
    )]
    pub sittings: Vec<Vec<Turn>>,
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

/// JSON without line breaks: there are thousands of readings.
fn on_one_line<S: Serializer>(sittings: &[Vec<Turn>], to: S) -> Result<S::Ok, S::Error> {
    serde_json::to_string(sittings)
        .and_then(RawValue::from_string)
        .map_err(S::Error::custom)?
        .serialize(to)
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
        let mut row = Self::counted(id, case, baseline, measured.ratio, 1.0);
        row.take(measured);
        row
    }

    /// What the readings say.
    fn take(&mut self, measured: Measured) {
        self.ratio = measured.ratio;
        self.error = Some(measured.error);
        self.turns = Some(measured.turns());
        self.ours_s = Some(measured.ours.median);
        self.ours_spread = Some(measured.ours.spread);
        self.baseline_s = Some(measured.baseline.median);
        self.baseline_spread = Some(measured.baseline.spread);
        self.sittings = measured.sittings;
    }

    /// The same case, measured again in a later sitting: its readings are added to those before. What is not a matter of readings is
    /// as it was the last time, but a wrong result stays one. A figure that is not the ratio becomes the mean of the sittings'.
    #[must_use]
    pub fn and_later(self, mut later: Self) -> Self {
        later.verified &= self.verified;
        let (before, now) = (self.sittings.len() as f64, later.sittings.len() as f64);
        if before + now > 0.0 {
            let sittings = [self.sittings, std::mem::take(&mut later.sittings)].concat();
            later.take(Measured::of(sittings));
            later.figure = if later.unit == "x" {
                later.ratio
            } else {
                (before * self.figure + now * later.figure) / (before + now)
            };
        }
        later.baseline = if self.baseline.split("; ").any(|one| one == later.baseline) {
            self.baseline
        } else {
            format!("{}; {}", self.baseline, later.baseline)
        };
        later.rated()
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
            sittings: Vec::new(),
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

    /// Whether the goal lies within two standard errors of the figure (of few sittings: more), where that is the ratio of times: then chance decides
    /// on which side of it the figure is.
    #[must_use]
    pub fn is_close(&self) -> bool {
        match (self.goal, self.error) {
            (Some(goal), Some(error)) if self.unit == "x" => {
                let error = error * of_few(self.sittings.len());
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

    /// A turn whose two readings of a side are the same.
    fn turn(ours: f64, baseline: f64) -> Measured {
        Measured::of(vec![vec![([ours; 2], [baseline; 2])]])
    }

    #[test]
    fn a_goal_is_about_the_figure() {
        let measured = turn(2.0, 1.0);
        let row = Row::timed("P1", "case", "baseline", measured.clone()).goal(1.5);
        assert_eq!(row.meets(), Some(false));
        assert_eq!(row.clone().figure(1.2, "us").meets(), Some(true));
        assert_eq!(Row::counted("P9", "c", "b", 8.0, 16.0).meets(), None);
        let unsteady = Measured {
            error: 0.2 / of_few(1),
            ..measured
        };
        let row = |goal| Row::timed("P1", "case", "baseline", unsteady.clone()).goal(goal);
        assert!(row(1.3).is_close() && row(2.7).is_close());
        assert!(!row(1.1).is_close() && !row(2.9).is_close());
    }

    #[test]
    fn a_rate_needs_bytes_and_seconds() {
        let row = Row::timed("P1", "c", "b", turn(2.0, 1.0));
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
        let row = Row::timed("P1", "case", "baseline", turn(2.0, 1.0)).goal(1.5);
        let json = serde_json::to_string_pretty(&row).unwrap();
        assert_eq!(serde_json::from_str::<Row>(&json).unwrap(), row);
        assert!(json.contains("[[[[2.0,2.0],[1.0,1.0]]]]"), "{json}");
        let nothing = Row::counted("P5", "case", "baseline", 0.0, 0.0);
        let json = serde_json::to_string(&nothing).unwrap();
        assert!(json.contains("\"ratio\":null"), "{json}");
        assert!(serde_json::from_str::<Row>(&json).unwrap().ratio.is_nan());
    }

    #[test]
    fn a_later_sitting_adds_its_readings() {
        let row = |ours, baseline| Row::timed("P1", "case", "baseline", turn(ours, baseline));
        let both = (row(2.0, 1.0).verified(true)).and_later(row(4.0, 1.0).verified(true));
        assert_eq!((both.ratio, both.figure, both.turns), (3.0, 3.0, Some(2)));
        assert_eq!(both.ours_s, Some(4.0));
        assert!(both.verified && both.sittings.len() == 2);
        // A figure of its own is the mean of the sittings', however many came before.
        let us = |figure| row(2.0, 1.0).figure(figure, "us");
        let three = us(1.0).and_later(us(2.0)).and_later(us(6.0));
        assert_eq!((three.figure, three.ratio), (3.0, 2.0));
        // What was wrong once is.
        assert!(
            !row(2.0, 1.0)
                .and_later(row(2.0, 1.0).verified(true))
                .verified
        );
        // What was counted is not added up.
        let counted = |ours| Row::counted("P5", "case", "baseline", ours, 2.0);
        assert_eq!(counted(4.0).and_later(counted(4.0)).ratio, 2.0);
    }

    #[test]
    fn baselines_that_differ_are_all_named() {
        let row = |name: &str| Row::timed("P8", "case", name, turn(2.0, 1.0));
        let both = row("a").and_later(row("b"));
        assert_eq!(both.baseline, "a; b");
        assert_eq!(
            both.and_later(row("b")).and_later(row("a")).baseline,
            "a; b"
        );
        assert_eq!(row("a").and_later(row("a")).baseline, "a");
    }
}
