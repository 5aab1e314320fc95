//! P9: what the runtime remembers of pages, and how fast it finds and changes it, from 1 GiB to 1 TiB of space.
//!
//! The space is one region. Of some blocks, spread evenly over it, every page is touched, by the CPU and then by the device;
//! nothing else is, since what was never touched is said to cost nothing.

use std::hint::black_box;

use gmem::host::{Choice, HostMechanism};
use gmem::{DeviceChoice, Gmem, Vector};
use gmem_hal::{BLOCK_BYTES, NodeId, Rights, Va};
use gmem_runtime::step::{Event, Mapping, step};

use super::baseline::index::{Answers, Index};
use super::bed::{Bed, seconds};
use super::row::Row;
use crate::cli::Failure;
use crate::cli::seeded::Seeded;
use crate::cli::space::builder;

/// Bytes of metadata for a page of 64 KiB, at most.
const GOAL: f64 = 16.0;
/// Spaces.
const SIZES: [(&str, u64); 3] = [("1 GiB", 1 << 30), ("32 GiB", 32 << 30), ("1 TiB", 1 << 40)];
/// Blocks whose pages are touched.
const BLOCKS: u64 = 32;
/// Look-ups in a reading.
const LOOKUPS: usize = 1 << 19;
/// Views in a reading.
const VIEWS: usize = 1 << 17;
/// How often every question is put to the step in a reading.
const ROUNDS: usize = 10_000;

/// Adds one to the first word of each page; bound to a block.
const WGSL: &str = "
@group(0) @binding(0) var<storage, read_write> v: array<u32>;
@group(0) @binding(1) var<uniform> words: vec4<u32>;
@compute @workgroup_size(32)
fn add(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x * words.x;
    if (i < arrayLength(&v)) { v[i] += 1u; }
}";

/// Rows for each size.
///
/// # Errors
/// When a space cannot be opened.
pub fn rows(bed: &Bed<'_>, done: &mut dyn FnMut(Row)) -> Result<(), Failure> {
    let mut smallest: Option<Spread> = None;
    for (name, bytes) in SIZES {
        let mut spread = Spread::new(touched_by_cpu(bed, bytes)?, bytes)?;
        lookups(bed, &spread, name, done)?;
        if let Some(smallest) = &smallest
            && bytes == SIZES[SIZES.len() - 1].1
        {
            larger(bed, &spread, smallest, done)?;
        }
        footprint(&mut spread, name, bytes, done)?;
        smallest.get_or_insert(spread);
    }
    drop(smallest);
    views(bed, done)?;
    steps(bed, done)
}

/// A space of so many bytes, for touching on both sides.
fn touched_by_cpu(bed: &Bed<'_>, bytes: u64) -> Result<Gmem, Failure> {
    let device_memory = BLOCKS * BLOCK_BYTES + (16 << 20);
    Ok(bed.builder(device_memory).reserve(bytes).build()?)
}

/// A region as large as its space, with some touched blocks.
struct Spread {
    gm: Gmem,
    memory: Vector<u8>,
    /// The first byte of each touched page.
    pages: Vec<usize>,
    page: usize,
}

impl Spread {
    /// Touches the blocks by plain stores, or through views where those would not be noticed.
    fn new(gm: Gmem, bytes: u64) -> Result<Self, Failure> {
        let mut memory = gm.alloc::<u8>(bytes as usize)?;
        let page = gm.geometry().page.bytes() as usize;
        let apart = bytes / BLOCKS;
        let pages: Vec<usize> = (0..BLOCKS)
            .flat_map(|block| {
                (0..BLOCK_BYTES)
                    .step_by(page)
                    .map(move |at| block * apart + at)
            })
            .map(|at| at as usize)
            .collect();
        for (i, &at) in pages.iter().enumerate() {
            memory.write(at..at + 1)?[0] = i as u8;
        }
        Ok(Self {
            gm,
            memory,
            pages,
            page,
        })
    }

    fn va(&self, at: usize) -> Va {
        Va(self.memory.va().0 + at as u64)
    }

    /// Some bytes of touched pages, drawn by lot.
    fn draw(&self, seed: u64, times: usize) -> Vec<usize> {
        let lots = Seeded::new(seed, 0x709);
        (0..times as u64)
            .map(|i| {
                let lot = lots.at(i);
                let page = self.pages[(lot >> 32) as usize % self.pages.len()];
                page + lot as usize % self.page
            })
            .collect()
    }
}

/// Looks addresses up: how many of their pages the CPU may write.
fn writable(found: impl Iterator<Item = Mapping>) -> usize {
    found
        .filter(|mapping| mapping.rights(NodeId::HOST) == Rights::Write)
        .count()
}

/// Look-ups against a hash map of the same pages.
fn lookups(
    bed: &Bed<'_>,
    spread: &Spread,
    name: &str,
    done: &mut dyn FnMut(Row),
) -> Result<(), Failure> {
    let case = format!("look-up, {name}");
    if bed.is_known("P9", &case) {
        return Ok(());
    }
    let gm = &spread.gm;
    let drawn: Vec<Va> = (spread.draw(bed.common.seed, LOOKUPS).iter())
        .map(|&at| spread.va(at))
        .collect();
    let query = |va: Va| gm.query(va).map_or(Mapping::NIL, |report| report.mapping);
    let known = spread
        .pages
        .iter()
        .map(|&at| (spread.va(at), query(spread.va(at))));
    let index = Index::new(gm.geometry().page.shift(), known);
    // A page between two touched blocks is nobody's.
    let between = spread.va(BLOCK_BYTES as usize + spread.page / 2);
    let mut right = query(between) == Mapping::NIL && index.query(between) == Mapping::NIL;
    let mut theirs_right = true;
    let measured = bed.measure(
        &mut || {
            seconds(|| {
                let found = drawn.iter().map(|&va| query(black_box(va)));
                right &= writable(found) == LOOKUPS;
                Ok(())
            })
        },
        &mut || {
            seconds(|| {
                let found = drawn.iter().map(|&va| index.query(black_box(va)));
                theirs_right &= writable(found) == LOOKUPS;
                Ok(())
            })
        },
    )?;
    let nanos = measured.ours.median / LOOKUPS as f64 * 1e9;
    done(
        Row::timed(
            "P9",
            case,
            "a hash map of the touched pages behind a lock",
            measured,
        )
        .verified(right && theirs_right)
        .note(format!("{nanos:.0} ns for each of {LOOKUPS}")),
    );
    Ok(())
}

/// Look-ups in the largest space against those in the smallest.
fn larger(
    bed: &Bed<'_>,
    large: &Spread,
    small: &Spread,
    done: &mut dyn FnMut(Row),
) -> Result<(), Failure> {
    let case = "look-up, 1 TiB beside 1 GiB";
    if bed.is_known("P9", case) {
        return Ok(());
    }
    let mut right = true;
    let mut reading = |spread: &Spread| {
        let drawn = spread.draw(bed.common.seed, LOOKUPS);
        let base = spread.memory.va().0;
        let mut found = 0;
        let seconds = seconds(|| {
            for &at in &drawn {
                // The small one's pages were home once more, and are shared since.
                let report = spread.gm.query(black_box(Va(base + at as u64)));
                found +=
                    usize::from(report.is_some_and(|r| r.rights(NodeId::HOST) != Rights::None));
            }
            Ok(())
        });
        right &= found == LOOKUPS;
        seconds
    };
    let reading = std::cell::RefCell::new(&mut reading);
    let measured = bed.measure(&mut || (reading.borrow_mut())(large), &mut || {
        (reading.borrow_mut())(small)
    })?;
    done(
        Row::timed("P9", case, "the same in a space of 1 GiB", measured)
            .verified(right)
            .note("as many touched pages in both"),
    );
    Ok(())
}

/// Bytes, once the device has touched the pages too.
fn footprint(
    spread: &mut Spread,
    name: &str,
    bytes: u64,
    done: &mut dyn FnMut(Row),
) -> Result<(), Failure> {
    let page = spread.page;
    let per_block = BLOCK_BYTES as usize / page;
    let kernel = spread.gm.kernel(WGSL)?;
    let words = [(page / 4) as u32, 0, 0, 0];
    for block in spread.pages.iter().step_by(per_block) {
        let part = spread.memory.part_mut(*block..block + BLOCK_BYTES as usize);
        kernel
            .launch([per_block.div_ceil(32) as u32, 1, 1])
            .bind("v", part)
            .uniform_bytes("words", bytemuck::bytes_of(&words))
            .run()?;
    }
    let node = spread.gm.device(0)?.node();
    let there = spread.pages.iter().all(|&at| {
        let report = spread.gm.query(spread.va(at));
        report.is_some_and(|r| r.rights(node) == Rights::Write)
    });
    // Before anything comes home.
    let stats = spread.gm.stats();
    let (blocks, index) = stats.metadata_bytes;
    let tables = stats.devices.first().map_or(0, |(_, bytes)| bytes.tables);
    let right = there && came_back(spread)?;
    let touched = spread.pages.len() as f64;
    let per_page = blocks as f64 / touched;
    let row = |case: &str, baseline: &str, ours: f64, theirs: f64| {
        Row::counted("P9", format!("{case}, {name}"), baseline, ours, theirs).verified(right)
    };
    let metadata = row("page metadata", "16 B for each page", per_page, GOAL)
        .bytes(blocks as u64)
        .figure(per_page, "B/page")
        .note("pages that the CPU and a device have touched, by blocks");
    done(if page == 64 << 10 {
        metadata.goal(GOAL)
    } else {
        metadata
    });
    let per_page = index as f64 / touched;
    done(
        row("index over blocks", "16 B for each page", per_page, GOAL)
            .bytes(index as u64)
            .figure(per_page, "B/page")
            .note("at its worst: one touched block in many; a full space needs 8 B a block and 16 B a GiB more"),
    );
    let all = (bytes / page as u64) as f64;
    done(
        row(
            "device page table",
            "4 B for each page of the space",
            tables as f64,
            4.0 * all,
        )
        .bytes(tables)
        .figure(tables as f64 / all, "B/page")
        .note(format!(
            "over all pages up to the last one mapped, with the fault buffer; {:.0} B for each page that is there; the host keeps a copy of the entries",
            tables as f64 / touched
        )),
    );
    Ok(())
}

/// Whether the bytes at home are those that the CPU wrote and the device added to.
fn came_back(spread: &Spread) -> Result<bool, Failure> {
    for (i, &at) in spread.pages.iter().enumerate() {
        if spread.memory.read(at..at + 1)?[0] != (i as u8).wrapping_add(1) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A look-up and a step for each view of a byte: the largest space against the smallest.
fn views(bed: &Bed<'_>, done: &mut dyn FnMut(Row)) -> Result<(), Failure> {
    let case = "look-up and step, 1 TiB beside 1 GiB";
    if bed.is_known("P9", case) {
        return Ok(());
    }
    let open = |bytes: u64| {
        let gm = builder(bed.common)
            .device(DeviceChoice::None)
            .host(Choice::Only(HostMechanism::Explicit))
            .reserve(bytes)
            .build()?;
        Spread::new(gm, bytes)
    };
    let mut spaces = [open(SIZES[SIZES.len() - 1].1)?, open(SIZES[0].1)?];
    let drawn = spaces.each_ref().map(|s| s.draw(bed.common.seed, VIEWS));
    let [large, small] = &mut spaces;
    let views = |spread: &mut Spread, drawn: &[usize]| {
        seconds(|| {
            for &at in drawn {
                let byte = &mut spread.memory.write(at..at + 1)?[0];
                *byte = byte.wrapping_add(1);
            }
            Ok(())
        })
    };
    // A reading may be of several runs of one side.
    let mut rounds = [0u64; 2];
    let [of_large, of_small] = &mut rounds;
    let measured = bed.measure(
        &mut || {
            *of_large += 1;
            views(large, &drawn[0])
        },
        &mut || {
            *of_small += 1;
            views(small, &drawn[1])
        },
    )?;
    let mut right = true;
    for ((spread, drawn), rounds) in spaces.iter().zip(&drawn).zip(rounds) {
        // Bytes are drawn more than once: what each should be is counted.
        let mut expected = std::collections::HashMap::<usize, u8>::new();
        for (i, &at) in spread.pages.iter().enumerate() {
            expected.insert(at, i as u8);
        }
        for &at in drawn {
            let byte = expected.entry(at).or_default();
            *byte = byte.wrapping_add(rounds as u8);
        }
        for (&at, &byte) in &expected {
            right &= spread.memory.read(at..at + 1)?[0] == byte;
        }
    }
    let nanos = measured.ours.median / VIEWS as f64 * 1e9;
    done(
        Row::timed("P9", case, "the same in a space of 1 GiB", measured)
            .verified(right)
            .note(format!(
                "{nanos:.0} ns for each of {VIEWS} explicit views of a byte"
            )),
    );
    Ok(())
}

/// Every mapping that two devices and the host can come to, with everything that they may want.
fn questions() -> Vec<(Mapping, Event)> {
    let events: Vec<Event> = (0..3)
        .map(NodeId)
        .flat_map(|n| [Event::Read(n), Event::Write(n), Event::Evict(n)])
        .chain([Event::Discard])
        .collect();
    let mut seen = vec![Mapping::NIL];
    let mut out = Vec::new();
    let mut at = 0;
    while at < seen.len() {
        for &event in &events {
            out.push((seen[at], event));
            let next = step(seen[at], event, true).next;
            if !seen.contains(&next) {
                seen.push(next);
            }
        }
        at += 1;
    }
    out
}

/// Whether an answer gives what was asked for.
fn answers(event: Event, next: Mapping) -> bool {
    next.is_consistent()
        && match event {
            Event::Read(node) => next.rights(node) != Rights::None,
            Event::Write(node) => next.rights(node) == Rights::Write,
            Event::Evict(NodeId::HOST) => true,
            Event::Evict(node) => !next.valid.has(node),
            Event::Hold(_) => {
                next.valid.has(NodeId::HOST) && next.rights(NodeId::HOST) == Rights::None
            }
            Event::Discard => next == Mapping::NIL,
        }
}

/// The step alone.
fn steps(bed: &Bed<'_>, done: &mut dyn FnMut(Row)) -> Result<(), Failure> {
    let case = "step, whatever the space";
    if bed.is_known("P9", case) {
        return Ok(());
    }
    let questions = questions();
    let table = Answers::new(&questions);
    let right = questions.iter().all(|&(mapping, event)| {
        let answer = table.get(mapping, event);
        answers(event, step(mapping, event, true).next)
            && answer.is_some_and(|step| answers(event, step.next))
    });
    let measured = bed.measure(
        &mut || {
            seconds(|| {
                for _ in 0..ROUNDS {
                    for &(mapping, event) in &questions {
                        black_box(step(black_box(mapping), black_box(event), true));
                    }
                }
                Ok(())
            })
        },
        &mut || {
            seconds(|| {
                for _ in 0..ROUNDS {
                    for &(mapping, event) in &questions {
                        black_box(table.get(black_box(mapping), black_box(event)));
                    }
                }
                Ok(())
            })
        },
    )?;
    let nanos = measured.ours.median / (ROUNDS * questions.len()) as f64 * 1e9;
    done(
        Row::timed("P9", case, "a hash table of all answers", measured)
            .verified(right)
            .note(format!(
                "{nanos:.0} ns; a pure function of one page's mapping"
            )),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_is_answered_with_what_was_asked_for() {
        let questions = questions();
        assert!(questions.len() > 50);
        for (mapping, event) in questions {
            let next = step(mapping, event, true).next;
            assert!(answers(event, next), "{mapping:?} {event:?} {next:?}");
        }
        assert!(!answers(Event::Write(NodeId(1)), Mapping::NIL));
        assert!(!answers(Event::Read(NodeId(1)), Mapping::NIL));
    }
}
