//! P12: a kernel that touches one page in a hundred of a region four times the device memory, against moving all of it.
//!
//! Which pages is data, so they are found by a probe. One case changes whole pages, which the CPU then reads; the other reads a
//! single word in each of them. Every round has other pages, which are on the host when the clock starts.

use gmem::{Gmem, Kernel, Vector};

use super::baseline::Plain;
use super::baseline::sweep::{Sweep, Work};
use super::bed::{Bed, seconds};
use super::job::sum;
use super::row::Row;
use crate::cli::Failure;
use crate::cli::seeded::Seeded;

/// What the ratio should be at most.
const GOAL: f64 = 0.15;
/// Bytes of the region on a software adapter.
pub const BYTES: usize = 128 << 20;
/// The region over the device memory.
pub const FACTOR: u64 = 4;
/// Which part of the pages is touched.
const PART: usize = 100;
/// Rounds in one reading of ours, whose seconds are divided by it.
const ROUNDS: usize = 4;

/// One row for each case.
///
/// # Errors
/// When a launch fails.
pub fn rows(bed: &Bed<'_>, done: &mut dyn FnMut(Row)) -> Result<(), Failure> {
    for gathers in [false, true] {
        let case = if gathers {
            "one word in each of 1 % of the pages, region of 4x"
        } else {
            "all of 1 % of the pages changed, region of 4x"
        };
        if !bed.is_known("P12", case) {
            done(row(bed, gathers, case)?);
        }
    }
    Ok(())
}

/// A region, and what is done at some places of it in each round.
pub struct Sparse {
    /// What is done.
    pub work: Work,
    /// Words of the region.
    pub len: usize,
    /// Places by round.
    pub rounds: Vec<Vec<u32>>,
    /// What the results of a round add up to, by round.
    sums: Vec<u64>,
}

impl Sparse {
    /// Of `len` words in pages of `page`: whole pages that are changed, or single words that are gathered.
    #[must_use]
    pub fn new(len: usize, page: usize, gathers: bool, seed: u64) -> Self {
        let work = if gathers {
            Work::gather()
        } else {
            Work::update(page)
        };
        let rounds = rounds(len, page, work.words, seed);
        let sums = rounds.iter().map(|places| expected(places, work)).collect();
        Self {
            work,
            len,
            rounds,
            sums,
        }
    }

    /// Places of a round, at most.
    #[must_use]
    pub fn most(&self) -> usize {
        self.rounds.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// The region before any launch.
    #[must_use]
    pub fn data(&self) -> Vec<u32> {
        (0..self.len).map(before).collect()
    }

    /// Writes what a round changes as it was before, by plain stores.
    pub fn reset(&self, data: &mut [u32], round: usize) {
        if self.work.gathers {
            return;
        }
        for place in &self.rounds[round] {
            let words = words(*place, self.work);
            let first = words.start;
            (data[words].iter_mut().zip(first..)).for_each(|(word, i)| *word = before(i));
        }
    }

    /// Whether the results of a round are right: those in `out` of what gathers, else those in the data.
    #[must_use]
    pub fn right(&self, round: usize, (data, out): (&[u32], &[u32])) -> bool {
        let found = if self.work.gathers {
            sum(bytemuck::cast_slice(out))
        } else {
            sum_of(data, &self.rounds[round], self.work)
        };
        found == self.sums[round]
    }
}

fn row(bed: &Bed<'_>, gathers: bool, case: &str) -> Result<Row, Failure> {
    let bytes = BYTES * bed.scale();
    let memory = bytes as u64 / FACTOR;
    let gm = bed.space(memory)?;
    let page = gm.geometry().page.bytes() as usize / 4;
    let sparse = Sparse::new(bytes / 4, page, gathers, bed.common.seed);
    let (work, rounds, sums) = (sparse.work, &sparse.rounds, &sparse.sums);
    let most = sparse.most();
    let mut ours = Ours::new(&gm, work, bytes / 4, rounds)?;
    let mut sweep = Sweep::new(&Plain::of(&gm)?, work, sparse.data(), most, memory);

    let (mut right, mut next) = (true, 0);
    let mut theirs = true;
    let measured = bed.measure(
        &mut || {
            ours.reset();
            let mut found = Vec::new();
            let took = seconds(|| {
                (0..rounds.len()).try_for_each(|round| {
                    found.push(ours.round(round)?);
                    Ok(())
                })
            })?;
            right &= found == *sums;
            Ok(took / rounds.len() as f64)
        },
        &mut || {
            let round = next;
            next = (next + 1) % rounds.len();
            // The others were left as an earlier reading made them, and are not touched.
            sparse.reset(sweep.data(), round);
            let mut was_right = false;
            let took = seconds(|| {
                sweep.run(&rounds[round])?;
                was_right = sparse.right(round, sweep.results());
                Ok(())
            })?;
            theirs &= was_right;
            Ok(took)
        },
    )?;
    // Nothing else has changed, on either side.
    let verified = right
        && theirs
        && (gathers || (ours.verify(rounds) && all_right(sweep.data(), rounds, work)));
    Ok(Row::timed("P12", case, "all of it through the device by hand", measured)
        .goal(GOAL)
        .bytes((most * page * 4 * if gathers { 1 } else { 2 }) as u64)
        .baseline_bytes((bytes * if gathers { 1 } else { 2 }) as u64)
        .verified(verified)
        .note("bytes are those that must move: the touched pages, or the whole region; in the first case there and back"))
}

/// The words of each round's places: one page in [`PART`], no page in two rounds, in ascending order.
fn rounds(len: usize, page: usize, words: usize, seed: u64) -> Vec<Vec<u32>> {
    let (order, within) = (
        Seeded::new(seed, 0x7370_6172),
        Seeded::new(seed, 0x7370_6173),
    );
    let pages = len / page;
    let mut shuffled: Vec<usize> = (0..pages).collect();
    shuffled.sort_unstable_by_key(|page| order.at(*page as u64));
    let each = (pages / PART).max(1);
    (shuffled.chunks_exact(each).take(ROUNDS))
        .map(|touched| {
            let mut places: Vec<u32> = touched
                .iter()
                .map(|touched| {
                    let word = touched * page + within.at(*touched as u64) as usize % page;
                    (word / words) as u32
                })
                .collect();
            places.sort_unstable();
            places
        })
        .collect()
}

/// A word before any launch.
const fn before(index: usize) -> u32 {
    (index as u32).wrapping_mul(0x9e37_79b1)
}

/// The same word once it was touched.
const fn after(index: usize) -> u32 {
    before(index).wrapping_mul(3).wrapping_add(1)
}

/// The words of a place.
const fn words(place: u32, work: Work) -> std::ops::Range<usize> {
    place as usize * work.words..(place as usize + 1) * work.words
}

/// What all results of a round add up to.
fn expected(places: &[u32], work: Work) -> u64 {
    (places.iter().flat_map(|place| words(*place, work)))
        .fold(0, |total, index| total.wrapping_add(after(index).into()))
}

/// What the words at places add up to.
fn sum_of(data: &[u32], places: &[u32], work: Work) -> u64 {
    places.iter().fold(0, |all, place| {
        all.wrapping_add(sum(bytemuck::cast_slice(&data[words(*place, work)])))
    })
}

/// Whether every word is what it should be, those of all rounds having been touched once.
fn all_right(data: &[u32], rounds: &[Vec<u32>], work: Work) -> bool {
    let mut touched = vec![false; data.len() / work.words];
    rounds
        .iter()
        .flatten()
        .for_each(|place| touched[*place as usize] = true);
    (data.chunks_exact(work.words).zip(&touched).enumerate()).all(|(place, (words, touched))| {
        (words.iter().zip(place * work.words..)).all(|(word, index)| {
            *word
                == if *touched {
                    after(index)
                } else {
                    before(index)
                }
        })
    })
}

/// The region on gmem, with the places of each round.
struct Ours {
    work: Work,
    kernel: Kernel,
    data: Vector<u32>,
    rounds: Vec<Round>,
}

struct Round {
    list: Vec<u32>,
    places: Vector<u32>,
    out: Option<Vector<u32>>,
}

impl Ours {
    fn new(gm: &Gmem, work: Work, len: usize, rounds: &[Vec<u32>]) -> Result<Self, Failure> {
        let mut data = gm.alloc::<u32>(len)?;
        (data.iter_mut().enumerate()).for_each(|(index, word)| *word = before(index));
        let rounds = rounds
            .iter()
            .map(|list| {
                let out = (work.gathers).then(|| gm.alloc(list.len())).transpose()?;
                Ok(Round {
                    list: list.clone(),
                    places: gm.alloc(list.len())?,
                    out,
                })
            })
            .collect::<Result<_, Failure>>()?;
        Ok(Self {
            work,
            kernel: gm.kernel(work.source)?,
            data,
            rounds,
        })
    }

    /// Writes all that a launch touches again, so that the host alone has it.
    fn reset(&mut self) {
        for round in &mut self.rounds {
            for place in &round.list {
                let words = words(*place, self.work);
                let first = words.start;
                (self.data[words].iter_mut().enumerate())
                    .for_each(|(i, word)| *word = before(first + i));
            }
            round.places.copy_from_slice(&round.list);
            if let Some(out) = &mut round.out {
                out.fill(0);
            }
        }
    }

    /// One launch, and all its results read by the CPU.
    fn round(&mut self, round: usize) -> Result<u64, Failure> {
        let Round { list, places, out } = &mut self.rounds[round];
        let uniform = [self.work.words as u32, list.len() as u32];
        let groups = list.len().div_ceil(self.work.places) as u32;
        let launch = self.kernel.launch([groups, 1, 1]).bind("places", &*places);
        match out {
            Some(out) => {
                launch
                    .bind("data", &self.data)
                    .bind("out", &mut *out)
                    .uniform("sparse", &uniform)
                    .run()?;
                Ok(sum(bytemuck::cast_slice(out)))
            }
            None => {
                launch
                    .bind("data", &mut self.data)
                    .uniform("sparse", &uniform)
                    .run()?;
                Ok(sum_of(&self.data, list, self.work))
            }
        }
    }

    /// Whether all of the region is as it should be after all rounds.
    fn verify(&self, rounds: &[Vec<u32>]) -> bool {
        all_right(&self.data, rounds, self.work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_touch_one_page_in_a_hundred_and_none_twice() {
        for words in [1, 64] {
            let rounds = rounds(64 * 1000, 64, words, 7);
            assert_eq!(rounds.len(), ROUNDS);
            let mut pages: Vec<usize> = rounds
                .iter()
                .flatten()
                .map(|place| *place as usize * words / 64)
                .collect();
            assert_eq!(pages.len(), ROUNDS * 10);
            pages.sort_unstable();
            pages.dedup();
            assert_eq!(pages.len(), ROUNDS * 10);
            assert!(rounds.iter().all(|places| places.is_sorted()));
        }
    }

    #[test]
    fn a_word_that_should_not_have_changed_is_found() {
        let work = Work {
            source: "",
            words: 4,
            places: 1,
            gathers: false,
        };
        let rounds = [vec![1], vec![3]];
        let mut data: Vec<u32> = (0..16)
            .map(|i| if i / 4 % 2 == 1 { after(i) } else { before(i) })
            .collect();
        assert!(all_right(&data, &rounds, work));
        assert_eq!(sum_of(&data, &rounds[0], work), expected(&rounds[0], work));
        data[9] = after(9);
        assert!(!all_right(&data, &rounds, work));
    }
}
