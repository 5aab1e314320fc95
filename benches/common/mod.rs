//! Ratios against a named baseline: both run in turn (A B A B ...) in one process after a warm-up, so that a machine whose
//! speed drifts does not bend them.

use std::time::Instant;

/// Runs `ours` and `baseline` in turn, each giving its own seconds, and prints the medians and their ratio.
pub fn ratio(
    case: &str,
    baseline_name: &str,
    rounds: usize,
    mut ours: impl FnMut() -> f64,
    mut baseline: impl FnMut() -> f64,
) -> f64 {
    ours();
    baseline();
    let (mut a, mut b, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (x, y) = (ours(), baseline());
        a.push(x);
        b.push(y);
        pairs.push(x / y);
    }
    let (x, y, r) = (median(&mut a), median(&mut b), median(&mut pairs));
    println!(
        "ratio {case}: {r:.3}x (ours {:.3} ms, {baseline_name} {:.3} ms, {rounds} pairs)",
        x * 1e3,
        y * 1e3
    );
    r
}

/// Seconds that a call takes.
pub fn seconds(f: impl FnOnce()) -> f64 {
    let start = Instant::now();
    f();
    start.elapsed().as_secs_f64()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
