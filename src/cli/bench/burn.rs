//! P11: processor time that the runtime burns while kernels run. Long kernels are launched and waited for; what gmem's own
//! threads and the one that launches have taken is set against the one thread of a plain loop, and given as a part of a core.
//!
//! The threads of a software adapter, which run the kernel itself, are not counted on either side.

use std::time::Instant;

use super::baseline::Plain;
use super::baseline::warm::Warm;
use super::bed::{Bed, seconds};
use super::job::{Job, Memory, OnGmem};
use super::measured::Sample;
use super::row::Row;
use super::threads::{self, Threads, Times};
use crate::cli::Failure;

/// How long a kernel should take, in seconds.
const LONG: f64 = 5e-3;
/// Launches in a reading: each costs some tens of microseconds, more or less by how much of it is still in the caches.
const LAUNCHES: usize = 32;
/// Lanes.
const LANES: u32 = 4096;

const WGSL: &str = "
@group(0) @binding(0) var<storage, read_write> v: array<u32>;
@group(0) @binding(1) var<uniform> rounds: vec4<u32>;
@compute @workgroup_size(64)
fn spin(@builtin(global_invocation_id) id: vec3<u32>) {
    var x = v[id.x];
    for (var i = 0u; i < rounds.x; i++) { x = x * 1664525u + 1013904223u; }
    v[id.x] = x;
}";

/// `x -> a * x + c`, so many times over, by squaring.
fn repeated(rounds: u32) -> (u32, u32) {
    let then = |(a, c): (u32, u32), (b, d): (u32, u32)| {
        (b.wrapping_mul(a), b.wrapping_mul(c).wrapping_add(d))
    };
    let (mut once, mut all) = ((1_664_525, 1_013_904_223), (1, 0));
    let mut rest = rounds;
    while rest > 0 {
        if rest & 1 == 1 {
            all = then(all, once);
        }
        once = then(once, once);
        rest >>= 1;
    }
    all
}

/// A kernel of so many rounds for every lane.
fn job(rounds: u32) -> Job {
    let (a, c) = repeated(rounds);
    let before: Vec<u32> = (0..LANES).collect();
    let after: Vec<u32> = (before.iter())
        .map(|x| a.wrapping_mul(*x).wrapping_add(c))
        .collect();
    Job {
        name: "spin",
        source: WGSL,
        memory: vec![Memory::output("v", &before, &after)],
        uniform: Some(("rounds", bytemuck::bytes_of(&[rounds, 0, 0, 0]).to_vec())),
        grid: [LANES / 64, 1, 1],
        traffic: 8 * u64::from(LANES),
    }
}

/// A kernel that takes about as long as it should here.
fn long(plain: &Plain) -> Result<Job, Failure> {
    let mut rounds = 1 << 12;
    loop {
        let job = job(rounds);
        let warm = Warm::new(plain, &job);
        // The first launch may compile; one that was held up is not what a launch takes.
        warm.launch()?;
        let mut took = f64::INFINITY;
        for _ in 0..3 {
            took = took.min(seconds(|| warm.launch())?);
        }
        if took >= LONG / 2.0 || rounds >= 1 << 30 {
            let fitting = f64::from(rounds) * LONG / took;
            return Ok(self::job(fitting.clamp(1.0, f64::from(u32::MAX)) as u32));
        }
        rounds *= 2;
    }
}

/// One row.
///
/// # Errors
/// When a launch fails, or this system does not count the time of threads.
pub fn rows(bed: &Bed<'_>, done: &mut dyn FnMut(Row)) -> Result<(), Failure> {
    let before = threads::all()?;
    let gm = bed.space(16 << 20)?;
    let plain = Plain::of(&gm)?;
    let job = long(&plain)?;
    let mut ours = OnGmem::new(&gm, &job)?;
    let theirs = Warm::new(&plain, &job);
    let right = ours.verify()? && theirs.verify()?;
    ours.launch()?;
    let launching = Threads::this("the one that launches")?.and(Threads::of_gmem(&before)?);
    let alone = Threads::this("alone")?;
    let (mut walls, mut parts) = (Vec::new(), Vec::new());
    let measured = bed.measure(
        &mut || {
            let began = Instant::now();
            let spent = spent(&launching, || ours.launch().map(drop))?;
            walls.push(began.elapsed().as_secs_f64());
            let sum = spent.values().sum();
            parts.push(spent);
            Ok(sum)
        },
        &mut || Ok(spent(&alone, || theirs.launch())?.values().sum()),
    )?;
    let wall = Sample::of(&walls).median;
    let shares: Vec<String> = (parts.first().into_iter().flat_map(Times::keys))
        .map(|name| {
            let each: Vec<f64> = parts.iter().map(|times| times[name]).collect();
            format!("{name} {:.2} %", Sample::of(&each).median / wall * 100.0)
        })
        .collect();
    let share = measured.ours.median / wall * 100.0;
    done(
        Row::timed(
            "P11",
            "kernels of 5 ms, all threads of gmem",
            "the thread of a plain loop",
            measured,
        )
        .figure(share, "% of a core")
        .verified(right && ours.verify()? && theirs.verify()?)
        .note(format!(
            "times are those of processors; {LAUNCHES} launches a reading, of {:.1} ms each; {}",
            wall / LAUNCHES as f64 * 1e3,
            shares.join(", ")
        )),
    );
    Ok(())
}

/// What some threads take while a kernel is launched so many times.
fn spent(
    threads: &Threads,
    mut launch: impl FnMut() -> Result<(), Failure>,
) -> Result<Times, Failure> {
    let before = threads.times()?;
    for _ in 0..LAUNCHES {
        launch()?;
    }
    Ok(threads::between(&before, &threads.times()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_spin_right() {
        let Ok(gm) = gmem::Gmem::builder().device_memory(8 << 20).build() else {
            eprintln!("skipped: there is no adapter");
            return;
        };
        let job = job(1000);
        assert!(
            OnGmem::new(&gm, &job)
                .and_then(|mut ours| ours.verify())
                .expect("it runs")
        );
        let plain = Plain::of(&gm).expect("it has a GPU");
        assert!(Warm::new(&plain, &job).verify().expect("it runs"));
    }

    #[test]
    fn rounds_by_squaring_are_rounds_one_by_one() {
        for rounds in [0, 1, 2, 7, 100, 4097] {
            let (a, c) = repeated(rounds);
            let mut x = 12_345u32;
            for _ in 0..rounds {
                x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            }
            assert_eq!(a.wrapping_mul(12_345).wrapping_add(c), x);
        }
    }
}
