//! Comparing what a device computed with what the CPU computes on its own.

use gmem_hal::counted;

/// What a comparison that holds has found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verified {
    /// Every value is equal, bit for bit.
    Exact,
    /// Every value is within the tolerance; the largest relative difference.
    Within(f32),
}

impl std::fmt::Display for Verified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact => f.write_str("yes"),
            Self::Within(worst) => write!(f, "yes, to {worst:.0e}"),
        }
    }
}

/// Values that are not what they should be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{what}[{index}] is {got} and should be {want}; differing: {differing} of {}", counted(*compared as u64, "value"))]
pub struct Mismatch {
    /// Which array.
    pub what: &'static str,
    /// The first that differs.
    pub index: usize,
    /// What it is.
    pub got: f64,
    /// What it should be.
    pub want: f64,
    /// How many differ.
    pub differing: usize,
    /// How many were compared.
    pub compared: usize,
}

/// A comparison under way.
#[derive(Debug)]
pub struct Comparison {
    what: &'static str,
    tolerance: f32,
    worst: f32,
    compared: usize,
    differing: usize,
    first: Option<(usize, f64, f64)>,
}

impl Comparison {
    /// Compares an array, of which floats may differ by a relative `tolerance`.
    #[must_use]
    pub const fn new(what: &'static str, tolerance: f32) -> Self {
        Self {
            what,
            tolerance,
            worst: 0.0,
            compared: 0,
            differing: 0,
            first: None,
        }
    }

    /// Values compared so far.
    #[must_use]
    pub const fn compared(&self) -> usize {
        self.compared
    }

    /// Compares the next float.
    pub fn float(&mut self, got: f32, want: f32) {
        // Equal bits, so that a NaN equals itself and zeroes of different signs are told apart.
        if got.to_bits() == want.to_bits() {
            self.compared += 1;
            return;
        }
        let relative = (got - want).abs() / want.abs().max(f32::MIN_POSITIVE);
        if self.tolerance > 0.0 && relative <= self.tolerance {
            self.worst = self.worst.max(relative);
            self.compared += 1;
        } else {
            self.differ(f64::from(got), f64::from(want));
        }
    }

    /// Compares the next integer.
    pub fn integer(&mut self, got: u64, want: u64) {
        if got == want {
            self.compared += 1
        } else {
            self.differ(got as f64, want as f64)
        }
    }

    fn differ(&mut self, got: f64, want: f64) {
        self.first.get_or_insert((self.compared, got, want));
        self.differing += 1;
        self.compared += 1;
    }

    /// Ends the comparison; `expected` values should have been compared.
    ///
    /// # Errors
    /// When one differs, or some are missing.
    pub fn finish(self, expected: usize) -> Result<Verified, Mismatch> {
        let Self {
            what,
            worst,
            compared,
            differing,
            first,
            ..
        } = self;
        if let Some((index, got, want)) = first {
            return Err(Mismatch {
                what,
                index,
                got,
                want,
                differing,
                compared,
            });
        }
        if compared != expected {
            let (got, want) = (compared as f64, expected as f64);
            return Err(Mismatch {
                what: "length",
                index: 0,
                got,
                want,
                differing: compared.abs_diff(expected),
                compared,
            });
        }
        Ok(if worst > 0.0 {
            Verified::Within(worst)
        } else {
            Verified::Exact
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_exact_and_near_ones_within_the_tolerance() {
        let mut exact = Comparison::new("a", 0.0);
        exact.float(1.5, 1.5);
        exact.integer(7, 7);
        assert_eq!(exact.finish(2), Ok(Verified::Exact));
        let mut near = Comparison::new("a", 1e-5);
        near.float(1.000_001, 1.0);
        near.float(0.0, 0.0);
        assert!(
            matches!(near.finish(2), Ok(Verified::Within(worst)) if worst > 0.0 && worst <= 1e-5)
        );
    }

    #[test]
    fn the_first_difference_and_their_number_are_told() {
        let mut comparison = Comparison::new("bins", 0.0);
        comparison.integer(1, 1);
        comparison.integer(2, 3);
        comparison.integer(4, 5);
        let mismatch = comparison.finish(3).unwrap_err();
        assert_eq!(
            (
                mismatch.index,
                mismatch.got,
                mismatch.want,
                mismatch.differing
            ),
            (1, 2.0, 3.0, 2)
        );
        for (got, want, tolerance) in [
            (1.0, 1.1, 1e-5),
            (f32::NAN, 1.0, 1e-5),
            (-0.0, 0.0, 0.0),
            (1.0, 1.000_000_1, 0.0),
        ] {
            let mut comparison = Comparison::new("a", tolerance);
            comparison.float(got, want);
            assert!(comparison.finish(1).is_err(), "{got} {want}");
        }
        assert!(
            Comparison::new("a", 0.0).finish(1).is_err(),
            "nothing compared is nothing verified"
        );
    }
}
