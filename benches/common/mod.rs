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
#[allow(dead_code, reason = "not every bench times by the clock")]
pub fn seconds(f: impl FnOnce()) -> f64 {
    let start = Instant::now();
    f();
    start.elapsed().as_secs_f64()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A GPU space, or `None` with the reason printed.
#[allow(dead_code, reason = "not every bench needs a GPU")]
pub fn gpu(build: impl FnOnce(gmem::Builder) -> gmem::Builder) -> Option<gmem::Gmem> {
    match build(gmem::Gmem::builder()).build() {
        Ok(gm) => Some(gm),
        Err(e) => {
            println!("skipped: {e}");
            None
        }
    }
}

/// Binds the calling thread, and those that it will make, to one of the cores that the process was given, or to all.
///
/// # Errors
/// Why not: there are not as many cores, or this system cannot.
#[allow(dead_code, reason = "not every bench says where it runs")]
#[cfg(target_os = "linux")]
pub fn run_on(core: Option<usize>) -> Result<(), String> {
    use std::sync::LazyLock;

    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    static GIVEN: LazyLock<Vec<usize>> = LazyLock::new(|| {
        let set = sched_getaffinity(None).unwrap_or_default();
        (0..CpuSet::MAX_CPU)
            .filter(|&cpu| set.is_set(cpu))
            .collect()
    });
    let chosen = match core {
        Some(core) => (GIVEN.get(core..=core))
            .ok_or_else(|| format!("{} cores are not enough", GIVEN.len()))?,
        None => &GIVEN[..],
    };
    let mut set = CpuSet::new();
    chosen.iter().for_each(|&cpu| set.set(cpu));
    sched_setaffinity(None, &set).map_err(|errno| errno.to_string())
}

/// Threads cannot be bound to cores here.
///
/// # Errors
/// Always.
#[allow(dead_code, reason = "not every bench says where it runs")]
#[cfg(not(target_os = "linux"))]
pub fn run_on(_core: Option<usize>) -> Result<(), String> {
    Err("threads cannot be bound to cores on this system".to_owned())
}
