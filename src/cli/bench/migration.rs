//! P8: bulk migration each way, against `write_buffer` and a mapped copy, and against the best plain copy that is found here.
//!
//! To the device it is a prefetch of pages that the CPU has just written. Home it is twofold: an eviction of pages that the
//! device alone has, and a prefetch that also makes them ready for the CPU to read.

use std::hint::black_box;

use gmem::{DeviceHandle, Gmem, Kernel, Vector};

use super::baseline::copies::{Copies, Way};
use super::baseline::{Plain, dispatch};
use super::bed::{Bed, seconds};
use super::measured::Sample;
use super::row::Row;
use crate::cli::Failure;

/// At least 0.9 of the bandwidth.
const GOAL: f64 = 1.0 / 0.9;
/// Bytes on a software adapter.
const BYTES: usize = 64 << 20;

/// Adds one to every word. A row of the grid has 2^22 vectors.
const WGSL: &str = "
@group(0) @binding(0) var<storage, read_write> v: array<vec4<u32>>;
@compute @workgroup_size(256)
fn add(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.y * 4194304u + id.x;
    if (i < arrayLength(&v)) { v[i] += vec4<u32>(1u); }
}";

/// A row of the grid: 64 MiB.
const ROW: [u32; 2] = [16384, BYTES as u32];

fn grid(bytes: usize) -> [u32; 3] {
    [ROW[0], bytes.div_ceil(ROW[1] as usize) as u32, 1]
}

/// What a word is before anything is added.
const fn word(index: usize) -> u32 {
    (index as u32).wrapping_mul(0x9e37_79b9)
}

/// Rows for each direction.
///
/// # Errors
/// When a device fails.
pub fn rows(bed: &Bed<'_>, done: &mut dyn FnMut(Row)) -> Result<(), Failure> {
    let bytes = BYTES * bed.scale();
    let gm = bed.space(bytes as u64 + (16 << 20))?;
    let mut ours = Ours::new(&gm, bytes)?;
    let mut theirs = Theirs::new(&Plain::of(&gm)?, bytes);
    let right = ours.verify()? && theirs.verify()?;

    let best = theirs.best(bed, true)?;
    for (name, way) in [
        ("write_buffer", Way::Whole),
        ("the best plain copy", best.way),
    ] {
        let case = format!("to the device, {name}");
        if bed.is_known("P8", &case) {
            continue;
        }
        let before = ours.moved();
        let mut readings = 0;
        let measured = bed.measure(
            &mut || {
                readings += 1;
                ours.prefetch()
            },
            &mut || theirs.up(way),
        )?;
        let moved = ours.moved().0 - before.0 == readings * bytes as u64;
        done(
            Row::timed("P8", case, way.name(true), measured)
                .goal(GOAL)
                .bytes(bytes as u64)
                .verified(right && moved)
                .note(&best.found),
        );
    }

    let best = theirs.best(bed, false)?;
    type Action = fn(&mut Ours) -> Result<f64, Failure>;
    let actions: [(&str, Action); 2] = [("home", Ours::evict), ("home, to read", Ours::read_home)];
    for (action, act) in actions {
        for (name, way) in [
            ("copy + map", Way::Whole),
            ("the best plain copy", best.way),
        ] {
            let case = format!("{action}, {name}");
            if bed.is_known("P8", &case) {
                continue;
            }
            let before = ours.moved();
            let mut readings = 0;
            let measured = bed.measure(
                &mut || {
                    readings += 1;
                    ours.launch()?;
                    act(&mut ours)
                },
                &mut || theirs.down(way),
            )?;
            let moved = ours.moved().1 - before.1 == readings * bytes as u64;
            done(
                Row::timed("P8", case, way.name(false), measured)
                    .goal(GOAL)
                    .bytes(bytes as u64)
                    .verified(right && moved)
                    .note(&best.found),
            );
        }
    }
    if ours.right() && theirs.verify()? {
        Ok(())
    } else {
        Err(Failure::run(
            "P8: bytes were wrong after they had moved to and fro",
        ))
    }
}

/// A vector whose words the device adds one to.
struct Ours {
    gm: Gmem,
    device: DeviceHandle,
    kernel: Kernel,
    memory: Vector<u32>,
    /// What was added.
    launches: u32,
}

impl Ours {
    fn new(gm: &Gmem, bytes: usize) -> Result<Self, Failure> {
        let mut memory = gm.alloc::<u32>(bytes / 4)?;
        (memory.iter_mut().enumerate()).for_each(|(i, value)| *value = word(i));
        Ok(Self {
            gm: gm.clone(),
            device: gm.device(0)?,
            kernel: gm.kernel(WGSL)?,
            memory,
            launches: 0,
        })
    }

    /// Bytes moved so far: to the device, home.
    fn moved(&self) -> (u64, u64) {
        let counts = self.gm.stats().counts;
        let sum = |by_cause: &[u64]| by_cause.iter().sum();
        (sum(&counts.host_to_device), sum(&counts.device_to_host))
    }

    /// Makes the device the only one to have it.
    fn launch(&mut self) -> Result<(), Failure> {
        let grid = grid(self.memory.bytes() as usize);
        (self.kernel.launch(grid))
            .bind("v", &mut self.memory)
            .run()?;
        self.launches = self.launches.wrapping_add(1);
        Ok(())
    }

    /// Every page is written by the CPU; then, timed, all of it goes to the device. Afterwards the device has nothing.
    fn prefetch(&mut self) -> Result<f64, Failure> {
        let words = self.gm.geometry().page.bytes() as usize / 4;
        (self.memory.iter_mut().step_by(words)).for_each(|value| *value = black_box(*value));
        let seconds = seconds(|| Ok(self.memory.prefetch(&self.device)?))?;
        self.memory.evict(&self.device)?;
        Ok(seconds)
    }

    fn evict(&mut self) -> Result<f64, Failure> {
        seconds(|| Ok(self.memory.evict(&self.device)?))
    }

    fn read_home(&mut self) -> Result<f64, Failure> {
        seconds(|| Ok(self.memory.prefetch_host()?))
    }

    /// Whether every word is what it was at first and what was added.
    fn right(&self) -> bool {
        (self.memory.iter().enumerate()).all(|(i, &v)| v == word(i).wrapping_add(self.launches))
    }

    /// To the device, changed there, and home, both ways.
    fn verify(&mut self) -> Result<bool, Failure> {
        let mut right = true;
        for home in [Self::evict, Self::read_home] {
            self.prefetch()?;
            self.launch()?;
            home(self)?;
            right &= self.right();
        }
        Ok(right)
    }
}

/// The best of some ways.
struct Best {
    way: Way,
    /// How fast each was.
    found: String,
}

/// The same by hand.
struct Theirs {
    plain: Plain,
    copies: Copies,
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    source: Vec<u32>,
    result: Vec<u32>,
}

impl Theirs {
    fn new(plain: &Plain, bytes: usize) -> Self {
        let copies = Copies::new(plain, bytes);
        let pipeline = plain.pipeline(WGSL);
        let group = plain.group(&pipeline, &[(copies.buffer(), 0, None)]);
        Self {
            plain: plain.clone(),
            copies,
            pipeline,
            group,
            source: (0..bytes / 4).map(word).collect(),
            // Every page of it is there before a clock starts.
            result: vec![1; bytes / 4],
        }
    }

    fn up(&mut self, way: Way) -> Result<f64, Failure> {
        seconds(|| self.copies.up(way, bytemuck::cast_slice(&self.source)))
    }

    fn down(&mut self, way: Way) -> Result<f64, Failure> {
        seconds(|| (self.copies).down(way, bytemuck::cast_slice_mut(&mut self.result)))
    }

    /// Each way there, changed on the device, and each way back.
    fn verify(&mut self) -> Result<bool, Failure> {
        let mut right = true;
        for turn in 0..Way::UP.len().max(Way::DOWN.len()) {
            self.up(Way::UP[turn % Way::UP.len()])?;
            let mut encoder = self.plain.encoder();
            let grid = grid(4 * self.source.len());
            dispatch(&mut encoder, &self.pipeline, &self.group, grid);
            self.plain.queue.submit([encoder.finish()]);
            self.result.fill(0);
            self.down(Way::DOWN[turn % Way::DOWN.len()])?;
            right &= (self.source.iter().zip(&self.result)).all(|(a, b)| a.wrapping_add(1) == *b);
        }
        Ok(right)
    }

    /// Tries every way, in turn.
    fn best(&mut self, bed: &Bed<'_>, up: bool) -> Result<Best, Failure> {
        let ways: &[Way] = if up { &Way::UP } else { &Way::DOWN };
        let mut readings = vec![Vec::new(); ways.len()];
        for _ in 0..if bed.quick { 3 } else { 7 } {
            for (&way, readings) in ways.iter().zip(&mut readings) {
                readings.push(if up { self.up(way) } else { self.down(way) }?);
            }
        }
        let medians: Vec<f64> = readings.iter().map(|r| Sample::of(r).median).collect();
        let bytes = 4.0 * self.source.len() as f64;
        let found: Vec<String> = (ways.iter().zip(&medians))
            .map(|(way, median)| format!("{} {:.1} GB/s", way.name(up), bytes / median / 1e9))
            .collect();
        let fastest = (ways.iter().copied().zip(medians)).min_by(|a, b| a.1.total_cmp(&b.1));
        Ok(Best {
            way: fastest.map_or(Way::Whole, |(way, _)| way),
            found: format!("found: {}", found.join(", ")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_brings_all_bytes_there_and_back() {
        let bytes = 16 << 20;
        let Ok(gm) = Gmem::builder().device_memory(32 << 20).build() else {
            eprintln!("skipped: there is no adapter");
            return;
        };
        let mut ours = Ours::new(&gm, bytes).expect("it fits");
        assert!(ours.verify().expect("it runs"));
        ours.launches += 1;
        assert!(!ours.right(), "what was not added is missed");
        let mut theirs = Theirs::new(&Plain::of(&gm).expect("it has a GPU"), bytes);
        assert!(theirs.verify().expect("it runs"));
    }

    #[test]
    fn the_grid_covers_every_vector() {
        for bytes in [BYTES, 8 * BYTES, BYTES + 16] {
            let [x, y, z] = grid(bytes);
            assert!(u64::from(x * y * z) * 256 * 16 >= bytes as u64);
            assert!(x <= 65_535 && y <= 65_535);
        }
        // What the kernel calls a row is one.
        assert_eq!(ROW[0] * 256, 4_194_304);
        assert_eq!(ROW[0] * 256 * 16, ROW[1]);
    }
}
