//! Kernels written once over a small view of memory: run by the simulated device, and by the flat oracle.

use std::sync::Arc;

use gmem_hal::{BindingFootprint, ByteRange, Footprint, GridBox, Kernel, Launch};
use gmem_sim::{SimKernel, SimStop, SimThread, loads, stores, updates};

/// What a kernel sees. Out of bounds, a whole access reads zero or is dropped.
pub trait Memory {
    fn len(&self, binding: usize) -> u64;
    fn get(&mut self, binding: usize, at: u64, out: &mut [u8]) -> Result<(), SimStop>;
    fn put(&mut self, binding: usize, at: u64, bytes: &[u8]) -> Result<(), SimStop>;
    fn add(&mut self, binding: usize, at: u64, by: u32) -> Result<(), SimStop>;

    fn word(&mut self, binding: usize, at: u64) -> Result<u32, SimStop> {
        let mut bytes = [0; 4];
        self.get(binding, at, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }
}

impl Memory for SimThread<'_> {
    fn len(&self, binding: usize) -> u64 {
        Self::len(self, binding)
    }
    fn get(&mut self, binding: usize, at: u64, out: &mut [u8]) -> Result<(), SimStop> {
        self.load_bytes(binding, at, out)
    }
    fn put(&mut self, binding: usize, at: u64, bytes: &[u8]) -> Result<(), SimStop> {
        self.store_bytes(binding, at, bytes)
    }
    fn add(&mut self, binding: usize, at: u64, by: u32) -> Result<(), SimStop> {
        self.atomic_add(binding, at, by).map(|_| ())
    }
}

/// What a kernel does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// dst = src, chunk by chunk.
    Copy,
    /// c = a + b, in words.
    Add,
    /// x = 5 x + salt, in place.
    Bump,
    /// Counts bytes of its data in 16 atomic bins.
    Histogram,
    /// dst[f(idx[i])] = src[i]: the footprint depends on data.
    Scatter,
    /// out[i] = next[next[..[i]]]: it depends on data level by level.
    Chase,
    /// x[i + 1] += x[i]: what it touches depends, it says, on what it writes.
    Chain,
    /// sum[i] = the sum of words all over src: one workgroup has a wide footprint.
    Wide,
}

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::Copy,
        Self::Add,
        Self::Bump,
        Self::Histogram,
        Self::Scatter,
        Self::Chase,
        Self::Chain,
        Self::Wide,
    ];

    pub fn bindings(self) -> Vec<gmem_hal::BindingUse> {
        match self {
            Self::Copy => vec![loads("src"), stores("dst")],
            Self::Add => vec![loads("a"), loads("b"), stores("c")],
            Self::Bump | Self::Chain => vec![updates("x")],
            Self::Histogram => vec![loads("data"), updates("bins")],
            Self::Scatter => vec![loads("idx"), loads("src"), stores("dst")],
            Self::Chase => vec![loads("next"), stores("out")],
            Self::Wide => vec![loads("src"), stores("sum")],
        }
    }

    /// Whether bindings of it may lie in the same memory: where an address is loaded, nothing may be stored.
    pub fn may_overlap(self) -> bool {
        matches!(self, Self::Copy | Self::Add | Self::Bump | Self::Chain)
    }
}

/// The uniform of all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Bytes that a workgroup works on: a multiple of 4, at most 4096.
    pub chunk: u32,
    /// Bytes from one workgroup's to the next one's.
    pub stride: u32,
    pub salt: u32,
    /// Whether the static footprint is given as intervals, too wide.
    pub loose: bool,
}

impl Shape {
    pub fn to_value(self) -> Vec<u8> {
        [self.chunk, self.stride, self.salt, self.loose.into()]
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect()
    }

    fn of(launch: &Launch) -> Self {
        let word = |i: usize| {
            u32::from_le_bytes(
                launch.values[0][i * 4..][..4]
                    .try_into()
                    .expect("four bytes"),
            )
        };
        Self {
            chunk: word(0),
            stride: word(1),
            salt: word(2),
            loose: word(3) != 0,
        }
    }
}

/// A workgroup's number in row-major order.
pub fn linear(id: [u32; 3], grid: [u32; 3]) -> u64 {
    u64::from(id[0])
        + u64::from(grid[0]) * (u64::from(id[1]) + u64::from(grid[1]) * u64::from(id[2]))
}

/// One workgroup.
pub fn step(kind: Kind, shape: Shape, id: u64, m: &mut impl Memory) -> Result<(), SimStop> {
    let at = id * u64::from(shape.stride);
    let mut chunk = [0; 4096];
    let chunk = &mut chunk[..shape.chunk as usize];
    match kind {
        Kind::Copy => {
            m.get(0, at, chunk)?;
            m.put(1, at, chunk)
        }
        Kind::Add => {
            for word in (0..u64::from(shape.chunk)).step_by(4) {
                let sum = m.word(0, at + word)?.wrapping_add(m.word(1, at + word)?);
                m.put(2, at + word, &sum.to_le_bytes())?;
            }
            Ok(())
        }
        Kind::Bump => {
            m.get(0, at, chunk)?;
            chunk
                .iter_mut()
                .for_each(|b| *b = b.wrapping_mul(5).wrapping_add(shape.salt as u8));
            m.put(0, at, chunk)
        }
        Kind::Histogram => {
            m.get(0, at, chunk)?;
            for byte in chunk {
                m.add(1, u64::from(*byte % 16) * 4, 1)?;
            }
            Ok(())
        }
        Kind::Scatter => {
            let mut value = [0; 8];
            let slots = (m.len(2) / 8).max(1);
            let slot = u64::from(m.word(0, id * 4)? ^ shape.salt) % slots;
            m.get(1, id * 8, &mut value)?;
            m.put(2, slot * 8, &value)
        }
        Kind::Chase => {
            let words = (m.len(0) / 4).max(1);
            let mut p = id;
            for _ in 0..=shape.salt % 6 {
                p = u64::from(m.word(0, p % words * 4)?).wrapping_add(id);
            }
            m.put(1, id * 4, &(p as u32).to_le_bytes())
        }
        Kind::Chain => {
            let sum = m
                .word(0, at)?
                .wrapping_add(m.word(0, at + u64::from(shape.stride))?);
            m.put(0, at + u64::from(shape.stride), &sum.to_le_bytes())
        }
        Kind::Wide => {
            let mut sum = shape.salt;
            for at in (0..m.len(0)).step_by(shape.stride as usize) {
                sum = sum.wrapping_add(m.word(0, at)?);
            }
            m.put(1, id * 4, &sum.to_le_bytes())
        }
    }
}

/// The kernel of a kind for a simulated device.
pub fn kernel(kind: Kind) -> Arc<dyn Kernel> {
    let name = format!("{kind:?}").to_lowercase();
    let kernel = SimKernel::new(&name, kind.bindings(), move |t| {
        let shape = Shape {
            chunk: t.value(0, 0),
            stride: t.value(0, 4),
            salt: t.value(0, 8),
            loose: t.value::<u32>(0, 12) != 0,
        };
        step(kind, shape, linear(t.workgroup(), t.grid()), t)
    });
    Arc::new(match kind {
        Kind::Scatter | Kind::Chase => kernel,
        Kind::Chain => kernel.resident_only("each element depends on the one before"),
        _ => kernel.with_footprint(move |launch, workgroups| footprint(kind, launch, workgroups)),
    })
}

fn footprint(kind: Kind, launch: &Launch, workgroups: &GridBox) -> Vec<BindingFootprint> {
    let shape = Shape::of(launch);
    let ids = || {
        let b = *workgroups;
        let span = move |d: usize| b.start[d]..b.start[d] + b.size[d];
        span(2)
            .flat_map(move |z| span(1).flat_map(move |y| span(0).map(move |x| [x, y, z])))
            .map(|id| linear(id, launch.grid))
    };
    let clipped = |b: usize, pieces: &mut dyn Iterator<Item = (u64, u64)>| {
        let end = launch.bound[b].len;
        let inside = pieces
            .filter(|&(at, len)| at + len <= end)
            .map(|(at, len)| ByteRange::new(at, len));
        Footprint::Ranges(merged(inside.collect(), shape.loose))
    };
    let chunks = |b: usize| {
        clipped(
            b,
            &mut ids().map(|id| (id * u64::from(shape.stride), u64::from(shape.chunk))),
        )
    };
    let each = |b: usize, bytes: u64| clipped(b, &mut ids().map(|id| (id * bytes, bytes)));
    let nothing = Footprint::empty;
    let used = |reads: Footprint, writes: Footprint| BindingFootprint { reads, writes };
    match kind {
        Kind::Copy => vec![used(chunks(0), nothing()), used(nothing(), chunks(1))],
        Kind::Add => {
            let words = |b: usize| {
                let words = move |id: u64| {
                    let at = id * u64::from(shape.stride);
                    (0..u64::from(shape.chunk))
                        .step_by(4)
                        .map(move |w| (at + w, 4))
                };
                clipped(b, &mut ids().flat_map(words))
            };
            vec![
                used(words(0), nothing()),
                used(words(1), nothing()),
                used(nothing(), words(2)),
            ]
        }
        Kind::Bump => vec![used(chunks(0), chunks(0))],
        Kind::Histogram => {
            let bins = || clipped(1, &mut (0..16).map(|bin| (bin * 4, 4)));
            vec![used(chunks(0), nothing()), used(bins(), bins())]
        }
        Kind::Wide => {
            let end = launch.bound[0].len;
            let all = clipped(
                0,
                &mut (0..end).step_by(shape.stride as usize).map(|at| (at, 4)),
            );
            vec![used(all, nothing()), used(nothing(), each(1, 4))]
        }
        Kind::Scatter | Kind::Chase | Kind::Chain => unreachable!("these have no static footprint"),
    }
}

/// Sorted and disjoint; one interval over all if `loose`.
fn merged(mut ranges: Vec<ByteRange>, loose: bool) -> Vec<ByteRange> {
    ranges.sort_unstable_by_key(|r| r.offset);
    let mut out: Vec<ByteRange> = Vec::new();
    for r in ranges {
        match out.last_mut() {
            Some(last) if loose || r.offset <= last.end() => {
                last.len = last.end().max(r.end()) - last.offset
            }
            _ => out.push(r),
        }
    }
    out
}
