//! Two sides that were run in turn: their readings, and the ratio that these make.

use serde::Serialize;

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
        let sorted = sorted(readings);
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
}

/// A mean that a few wild values do not bend, and two clusters of values do not make jump.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Midmean {
    mean: f64,
    /// Its standard error, as far as the values do not depend on each other.
    error: f64,
}

impl Midmean {
    /// The mean of those between the quartiles (the trimmed mean of 25 %), and its error by the variance of the values whose outer
    /// quarters were moved to the quartiles (Tukey and McLaughlin). Of none, all is zero; of one, nothing is known of the error.
    fn of(values: &[f64]) -> Self {
        let sorted = sorted(values);
        let (count, trimmed) = (sorted.len(), sorted.len() / 4);
        let inner = &sorted[trimmed..count - trimmed];
        let (Some(&low), Some(&high)) = (inner.first(), inner.last()) else {
            return Self {
                mean: 0.0,
                error: 0.0,
            };
        };
        let moved: Vec<f64> = sorted.iter().map(|v| v.max(low).min(high)).collect();
        Self {
            mean: mean(inner),
            error: deviation(&moved) / (inner.len() as f64 / count as f64) / (count as f64).sqrt(),
        }
    }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The standard deviation of what the values were drawn from; of one, zero.
fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (squares / (values.len().max(2) - 1) as f64).sqrt()
}

/// What the error of so many values is to be multiplied by: a few that agree by chance make it look small. (Student's
/// quantile over the normal one, at 97.5 %, nearly, from four values on; fewer are believed more than that, since what the turns of a
/// sitting say among themselves is in an error too.)
#[must_use]
pub fn of_few(values: usize) -> f64 {
    1.0 + 1.6 / (values.max(2) - 1) as f64
}

/// A turn: readings of ours, and of the baseline between them, in seconds.
pub type Turn = ([f64; 2], [f64; 2]);

/// A turn's ratio is that of its sums, so that a machine that becomes slower evenly does not bend it.
fn ratio(([a, d], [b, c]): &Turn) -> f64 {
    (a + d) / (b + c)
}

/// Two sides that were run in turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// gmem.
    pub ours: Sample,
    /// What it is compared with.
    pub baseline: Sample,
    /// Ours over the baseline: the mean of the sittings' ratios between their quartiles, and each of them the same of its turns'. A
    /// sitting counts as much as any other, however many turns it had.
    pub ratio: f64,
    /// Its standard error, as a part of it: what the sittings say among themselves, since the turns of one have its place in
    /// memory and its minute in common; or what the turns of all say together, where that is more.
    pub error: f64,
    /// The turns, sitting by sitting.
    pub sittings: Vec<Vec<Turn>>,
}

impl Measured {
    /// From readings of both sides, turn by turn and sitting by sitting. Of none, all is zero.
    #[must_use]
    pub fn of(sittings: Vec<Vec<Turn>>) -> Self {
        let all = |side: fn(&Turn) -> [f64; 2]| {
            let readings: Vec<f64> = sittings.iter().flatten().flat_map(side).collect();
            Sample::of(&readings)
        };
        let ratios: Vec<f64> = sittings.iter().flatten().map(ratio).collect();
        let apart: Vec<f64> = (sittings.iter().filter(|sitting| !sitting.is_empty()))
            .map(|sitting| Midmean::of(&sitting.iter().map(ratio).collect::<Vec<_>>()).mean)
            .collect();
        let among = Midmean::of(&apart);
        let error = among.error.max(Midmean::of(&ratios).error);
        Self {
            ours: all(|turn| turn.0),
            baseline: all(|turn| turn.1),
            ratio: among.mean,
            error: if among.mean > 0.0 {
                error / among.mean
            } else {
                0.0
            },
            sittings,
        }
    }

    /// How many turns there were.
    #[must_use]
    pub fn turns(&self) -> usize {
        self.sittings.iter().map(Vec::len).sum()
    }
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
        let nothing = Sample::of(&[]);
        assert_eq!((nothing.median, nothing.spread), (0.0, 0.0));
    }

    #[test]
    fn a_midmean_is_of_the_inner_half() {
        let four = Midmean::of(&[100.0, 1.0, 2.0, -100.0]);
        assert_eq!(four.mean, 1.5);
        // Moved to the quartiles they are 1, 1, 2, 2; half of them are left.
        let deviation = (4.0 * 0.25 / 3.0_f64).sqrt();
        assert!((four.error - deviation / 0.5 / 2.0).abs() < 1e-12);
        assert_eq!(Midmean::of(&[2.0, 4.0]).mean, 3.0);
        let one = Midmean::of(&[2.0]);
        assert_eq!((one.mean, one.error), (2.0, 0.0));
        let none = Midmean::of(&[]);
        assert_eq!((none.mean, none.error), (0.0, 0.0));
    }

    #[test]
    fn few_values_need_a_wider_berth() {
        // Student's distribution, with one degree of freedom less than values.
        for (values, quantile) in [(4, 3.182), (5, 2.776), (8, 2.365), (16, 2.131)] {
            let factor = quantile / 1.96;
            assert!((of_few(values) / factor - 1.0).abs() < 0.06, "{values}");
        }
        assert_eq!(of_few(1), of_few(2));
    }

    /// A turn whose two readings of a side are the same.
    fn turn(ours: f64, baseline: f64) -> Turn {
        ([ours; 2], [baseline; 2])
    }

    #[test]
    fn the_ratio_is_that_of_turns_so_that_a_drifting_machine_does_not_bend_it() {
        // Both sides become ten times slower half-way: every turn still says 2.
        let turns = [(2.0, 1.0), (2.0, 1.0), (20.0, 10.0), (20.0, 10.0)];
        let measured = Measured::of(vec![turns.map(|(a, b)| turn(a, b)).to_vec()]);
        assert_eq!((measured.ratio, measured.error), (2.0, 0.0));
        // It becomes slower evenly: the sums of a turn have the ratio that both have at any one time.
        let measured = Measured::of(vec![vec![([1.0, 4.0], [2.0, 3.0])]]);
        assert_eq!(measured.ratio, 1.0);
        assert_eq!((measured.ours.readings, measured.turns()), (2, 1));
    }

    #[test]
    fn sittings_that_disagree_make_the_error_larger_than_their_turns_do() {
        let sitting = |ratio: f64, turns: usize| vec![turn(ratio, 1.0); turns];
        let agreed = Measured::of(vec![sitting(2.0, 50), sitting(2.0, 50)]);
        assert_eq!((agreed.ratio, agreed.error), (2.0, 0.0));
        let apart = Measured::of(vec![sitting(1.9, 50), sitting(2.1, 50)]);
        assert!((apart.ratio - 2.0).abs() < 1e-12);
        // Two values 0.2 apart: 0.1 either way of their mean, of 2.
        assert!((apart.error - 0.05).abs() < 1e-12, "{}", apart.error);
        // One long one says less of that than it seems.
        let one = Measured::of(vec![[sitting(1.9, 50), sitting(2.1, 50)].concat()]);
        assert!(one.error < apart.error);
        // A long one counts as much as a short one, and one that is far off does not count where there are enough.
        let uneven = Measured::of(vec![sitting(1.9, 50), sitting(2.1, 2)]);
        assert!((uneven.ratio - 2.0).abs() < 1e-12);
        let with_one_far_off = [2.0, 9.0, 2.0, 2.0].map(|ratio| sitting(ratio, 5));
        assert_eq!(Measured::of(with_one_far_off.to_vec()).ratio, 2.0);
        let nothing = Measured::of(Vec::new());
        assert_eq!((nothing.ratio, nothing.error), (0.0, 0.0));
    }
}
