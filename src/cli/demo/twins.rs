//! What the simulated device runs in place of the WGSL: the same computations as closures, each called once for a workgroup.
//!
//! They touch the same bindings in the same way, so that the manager has the same work to do: streams say beforehand what a
//! workgroup touches, `pagerank` leaves it to a probe.

use bytemuck::Pod;
use gmem::sim::{SimKernel, SimStop, SimThread, loads, stores, updates};
use gmem_hal::{BindingFootprint, ByteRange, Footprint, GridBox, Launch};

use super::histogram::BINS;
use super::pagerank::LANES;

/// Elements of each array in a workgroup of `triad`.
pub const TRIAD_ELEMENTS: u64 = 4096;
/// Rows in a workgroup of `heat`.
pub const HEAT_ROWS: u64 = 16;
/// Bytes in a workgroup of `histogram`.
pub const HISTOGRAM_BYTES: u64 = 64 << 10;

/// `a[i] = b[i] + scale * c[i]`; its value is the scale.
pub fn triad() -> SimKernel {
    let part =
        |t: &SimThread<'_>| clip(TRIAD_ELEMENTS * 4, u64::from(t.workgroup()[0]), 1, t.len(0));
    let body = move |t: &mut SimThread<'_>| {
        let part = part(t);
        let scale: f32 = t.value(0, 0);
        let (b, c): (Vec<f32>, Vec<f32>) = (read(t, 1, part)?, read(t, 2, part)?);
        let a: Vec<f32> = b.iter().zip(&c).map(|(b, c)| b + scale * c).collect();
        t.store_bytes(0, part.offset, bytemuck::cast_slice(&a))
    };
    SimKernel::new("triad", vec![stores("a"), loads("b"), loads("c")], body).with_footprint(
        |launch, part| {
            let part = rows(launch, part, TRIAD_ELEMENTS * 4);
            vec![
                touches(None, Some(part)),
                touches(Some(part), None),
                touches(Some(part), None),
            ]
        },
    )
}

/// A step of heat conduction; its value is the plate.
pub fn heat() -> SimKernel {
    let body = |t: &mut SimThread<'_>| {
        let (width, height) = (t.value::<u32>(0, 0) as usize, t.value::<u32>(0, 4) as usize);
        let first = t.workgroup()[0] as usize * HEAT_ROWS as usize;
        let row = |y: usize| ByteRange::new((y * width) as u64 * 4, width as u64 * 4);
        for y in first..height.min(first + HEAT_ROWS as usize) {
            let same: Vec<f32> = read(t, 0, row(y))?;
            let mut after = same.clone();
            if y > 0 && y + 1 < height {
                let (above, below): (Vec<f32>, Vec<f32>) =
                    (read(t, 0, row(y - 1))?, read(t, 0, row(y + 1))?);
                for x in 1..width - 1 {
                    after[x] = 0.25 * (same[x - 1] + same[x + 1] + above[x] + below[x]);
                }
            }
            t.store_bytes(1, row(y).offset, bytemuck::cast_slice(&after))?;
        }
        Ok(())
    };
    SimKernel::new("heat", vec![loads("before"), stores("after")], body).with_footprint(
        |launch, part| {
            let width = value(launch, 0);
            let written = rows(launch, part, HEAT_ROWS * width * 4);
            let start = written.offset.saturating_sub(width * 4);
            let end = (written.end() + width * 4).min(launch.bound[0].len);
            let read = ByteRange::new(start, end - start);
            vec![touches(Some(read), None), touches(None, Some(written))]
        },
    )
}

/// An iteration of PageRank; its value is the graph. What a workgroup touches of `share` depends on `sources`: a probe finds it.
pub fn pagerank() -> SimKernel {
    let uses = vec![
        loads("row_ptr"),
        loads("sources"),
        loads("weight"),
        loads("share"),
        stores("next_share"),
        stores("rank"),
    ];
    SimKernel::new("pagerank", uses, |t| {
        let (nodes, base) = (u64::from(t.value::<u32>(0, 0)), t.value::<f32>(0, 4));
        let first = u64::from(t.workgroup()[0]) * LANES as u64;
        let lanes = nodes.saturating_sub(first).min(LANES as u64);
        let row_ptr: Vec<u32> = read(t, 0, words(first, lanes + 1))?;
        let (start, end) = (u64::from(row_ptr[0]), u64::from(row_ptr[lanes as usize]));
        let sources: Vec<u32> = read(t, 1, words(start, end - start))?;
        let mut rank = vec![base; lanes as usize];
        for (sum, row) in rank.iter_mut().zip(row_ptr.windows(2)) {
            for source in
                &sources[row[0] as usize - start as usize..row[1] as usize - start as usize]
            {
                *sum += t.load::<f32>(3, u64::from(*source) * 4)?;
            }
        }
        let weight: Vec<f32> = read(t, 2, words(first, lanes))?;
        let next: Vec<f32> = rank
            .iter()
            .zip(&weight)
            .map(|(rank, weight)| rank * weight)
            .collect();
        t.store_bytes(4, first * 4, bytemuck::cast_slice(&next))?;
        t.store_bytes(5, first * 4, bytemuck::cast_slice(&rank))
    })
    // What is only summed up leads nowhere.
    .with_feeds(&[true, true, false, false, false, false])
}

/// Counts bytes; its value is how many there are.
pub fn histogram() -> SimKernel {
    let body = |t: &mut SimThread<'_>| {
        let bytes = u64::from(t.value::<u32>(0, 0));
        let part = clip(HISTOGRAM_BYTES, u64::from(t.workgroup()[0]), 1, bytes);
        let mut counts = [0_u32; BINS];
        for byte in read::<u8>(t, 0, part)? {
            counts[usize::from(byte)] += 1;
        }
        for (bin, count) in (0..).zip(counts).filter(|(_, count)| *count > 0) {
            t.atomic_add(1, bin * 4, count)?;
        }
        Ok(())
    };
    SimKernel::new("histogram", vec![loads("words"), updates("bins")], body).with_footprint(
        |launch, part| {
            let words = rows(launch, part, HISTOGRAM_BYTES);
            let bins = ByteRange::new(0, BINS as u64 * 4);
            vec![touches(Some(words), None), touches(Some(bins), Some(bins))]
        },
    )
}

/// `count` pieces of so many bytes from the one numbered `first`, as far as there are bytes.
fn clip(piece: u64, first: u64, count: u64, bytes: u64) -> ByteRange {
    let start = (first * piece).min(bytes);
    ByteRange::new(start, (count * piece).min(bytes - start))
}

/// What a box of workgroups has of the first binding, of which each has so many bytes.
fn rows(launch: &Launch, part: &GridBox, each: u64) -> ByteRange {
    clip(
        each,
        u64::from(part.start[0]),
        u64::from(part.size[0]),
        launch.bound[0].len,
    )
}

fn words(first: u64, count: u64) -> ByteRange {
    ByteRange::new(first * 4, count * 4)
}

fn read<T: Pod>(t: &mut SimThread<'_>, binding: usize, part: ByteRange) -> Result<Vec<T>, SimStop> {
    let mut elements = vec![T::zeroed(); part.len as usize / size_of::<T>()];
    t.load_bytes(
        binding,
        part.offset,
        bytemuck::cast_slice_mut(&mut elements),
    )?;
    Ok(elements)
}

/// A word of the launch's value.
fn value(launch: &Launch, byte: usize) -> u64 {
    let bytes = launch
        .values
        .first()
        .and_then(|value| value.get(byte..byte + 4)?.try_into().ok());
    u64::from(u32::from_le_bytes(bytes.unwrap_or_default()))
}

fn touches(reads: Option<ByteRange>, writes: Option<ByteRange>) -> BindingFootprint {
    let of = |range: Option<ByteRange>| {
        Footprint::Ranges(range.into_iter().filter(|r| r.len > 0).collect())
    };
    BindingFootprint {
        reads: of(reads),
        writes: of(writes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_end_where_the_bytes_do() {
        assert_eq!(clip(100, 0, 1, 250), ByteRange::new(0, 100));
        assert_eq!(clip(100, 1, 2, 250), ByteRange::new(100, 150));
        assert_eq!(clip(100, 3, 1, 250), ByteRange::new(250, 0));
    }

    #[test]
    fn nothing_touched_is_no_range() {
        let nothing = touches(Some(ByteRange::new(5, 0)), None);
        assert_eq!(
            (nothing.reads, nothing.writes),
            (Footprint::empty(), Footprint::empty())
        );
    }
}
