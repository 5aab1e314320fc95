//! What the case of a row says about a curve or a matrix: `WHAT at FACTORx`, and what follows.

/// The parts of a case.
#[derive(Debug, Clone, PartialEq)]
pub struct AtFactor<'a> {
    /// The kernel, the workload.
    pub what: &'a str,
    /// Data over device memory.
    pub factor: f64,
    /// What follows, without the comma; mostly a policy, or nothing.
    pub rest: &'a str,
}

/// Reads a case, if it is such a one.
#[must_use]
pub fn at_factor(case: &str) -> Option<AtFactor<'_>> {
    // The last ` at ` that a factor follows: names may have one too.
    case.rmatch_indices(" at ").find_map(|(at, word)| {
        let (what, after) = (&case[..at], &case[at + word.len()..]);
        let (number, rest) = after.split_once('x')?;
        let factor: f64 = number.trim().parse().ok()?;
        let rest = rest.trim_start_matches([',', ' ', ':', ';']).trim_end();
        let sound = factor.is_finite() && factor > 0.0 && !what.trim().is_empty();
        sound.then_some(AtFactor {
            what: what.trim(),
            factor,
            rest,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_taken_apart() {
        let parts = |case| at_factor(case).map(|parts| (parts.what, parts.factor, parts.rest));
        assert_eq!(parts("triad at 0.5x"), Some(("triad", 0.5, "")));
        assert_eq!(parts("heat at 1.25x, lru"), Some(("heat", 1.25, "lru")));
        assert_eq!(
            parts("look at me at 4x , random policy "),
            Some(("look at me", 4.0, "random policy"))
        );
        assert_eq!(parts("heat at 4 x: lru"), Some(("heat", 4.0, "lru")));
        for other in [
            "",
            "triad",
            "triad at home",
            "triad at x",
            " at 4x",
            "triad at -1x",
            "triad at infx",
            "triad at NaNx",
        ] {
            assert_eq!(parts(other), None, "{other}");
        }
    }
}
