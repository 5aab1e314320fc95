//! P6: the CPU touches pages that are not there. Each touch is a fault, served by the runtime's handler threads, against a
//! bare userfaultfd handler (`gmem_host::bare`): one thread that fills one page of zeroes for each event, and knows nothing.
//!
//! With two touching threads it is still one bare handler: an expert's least. Both sides run on the cores they are told to.

use std::hint::black_box;
use std::ops::Range;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use gmem::host::HostMechanism;
use gmem::{Gmem, Vector};
use gmem_host::bare::BareHandler;

use super::bed::Bed;
use super::cores::Cores;
use super::row::Row;
use crate::cli::Failure;
use crate::cli::seeded::Seeded;

/// What the ratio should be at most.
const GOAL: f64 = 1.3;
/// Bytes whose pages are touched in a reading.
const BYTES: usize = 64 << 20;
/// Who is compared with.
const BASELINE: &str = "a bare userfaultfd handler, one thread";

/// Which core the handlers run on (any, where `None`), and one for each touching thread.
struct Place {
    name: &'static str,
    handlers: Option<usize>,
    touchers: &'static [usize],
}

const PLACES: [Place; 3] = [
    Place {
        name: "1 thread, one core",
        handlers: Some(0),
        touchers: &[0],
    },
    Place {
        name: "1 thread, two cores",
        handlers: Some(1),
        touchers: &[0],
    },
    Place {
        name: "2 threads, two cores",
        handlers: None,
        touchers: &[0, 1],
    },
];

/// In which order pages are touched.
#[derive(Clone, Copy)]
enum Order {
    Random,
    Sequential,
}

impl Place {
    fn case(&self, order: Order) -> String {
        let order = match order {
            Order::Random => "random",
            Order::Sequential => "sequential",
        };
        format!("{}, {order}", self.name)
    }

    fn cores(&self) -> usize {
        let touchers = self.touchers.iter().copied();
        touchers
            .chain(self.handlers)
            .max()
            .map_or(1, |most| most + 1)
    }
}

/// Rows for each place: in random order, and in sequence.
///
/// # Errors
/// When a space cannot be opened. Where there is no userfaultfd there are no rows.
pub fn rows(bed: &Bed<'_>, done: &mut dyn FnMut(Row)) -> Result<(), Failure> {
    let cores = Cores::given()?;
    for place in &PLACES {
        if place.cores() > cores.count() {
            bed.leave_out("P6", &format!("{}: there are fewer cores", place.name));
            continue;
        }
        // Threads inherit where their maker may run.
        cores.bind(place.handlers)?;
        let gm = bed.host_only()?;
        if gm.mechanism().0 != HostMechanism::Userfaultfd {
            bed.leave_out("P6", gm.mechanism().1);
            return Ok(());
        }
        let plan = Plan::new(&gm, place.touchers.len());
        let bare = BareHandler::new(plan.bytes(), plan.page).map_err(Failure::run)?;
        cores.bind(place.touchers.first().copied())?;
        let touching = Touching {
            cores: &cores,
            place,
            plan: &plan,
        };
        let mut memory = gm.alloc::<u8>(plan.bytes())?;
        for order in [Order::Random, Order::Sequential] {
            let case = place.case(order);
            if !bed.is_known("P6", &case) {
                let row = touching.row(bed, &gm, &mut memory, &bare, order)?;
                done(row);
            }
        }
    }
    Ok(())
}

/// The memory: one part for each thread.
struct Plan {
    page: usize,
    threads: usize,
    /// Pages that each thread touches.
    pages: usize,
}

impl Plan {
    fn new(gm: &Gmem, threads: usize) -> Self {
        let page = gm.geometry().page.bytes() as usize;
        Self {
            page,
            threads,
            pages: BYTES / page / threads,
        }
    }

    /// Bytes of a part: with a page that nobody touches, so that none of a part follows one of another.
    fn part(&self) -> usize {
        (self.pages + 1) * self.page
    }

    fn bytes(&self) -> usize {
        self.threads * self.part()
    }

    fn sequential(&self) -> Vec<usize> {
        (0..self.pages).collect()
    }

    /// A random order in which no page comes right after the one before it, so that every touch is a fault of its own.
    fn random(&self, seed: u64) -> Vec<usize> {
        let mut order = self.sequential();
        for attempt in 0.. {
            let lots = Seeded::new(seed, 0x706_0000 + attempt);
            for i in (1..order.len()).rev() {
                order.swap(i, (lots.at(i as u64) % (i as u64 + 1)) as usize);
            }
            if order.windows(2).all(|pair| pair[0] + 1 != pair[1]) {
                break;
            }
        }
        order
    }
}

/// Threads that touch pages in turn.
struct Touching<'a> {
    cores: &'a Cores,
    place: &'a Place,
    plan: &'a Plan,
}

impl Touching<'_> {
    fn row(
        &self,
        bed: &Bed<'_>,
        gm: &Gmem,
        memory: &mut Vector<u8>,
        bare: &BareHandler,
        order: Order,
    ) -> Result<Row, Failure> {
        let pages = match order {
            Order::Random => self.plan.random(bed.common.seed),
            Order::Sequential => self.plan.sequential(),
        };
        let (page, part) = (self.plan.page, self.plan.part());
        let faults = || gm.stats().counts.cpu_faults;
        let (mut ours_right, mut theirs_right) = (true, true);
        let (mut readings, before) = (0u64, faults());
        let mut theirs_readings = 0u64;
        let measured = bed.measure(
            &mut || {
                readings += 1;
                memory.discard()?;
                let value = stamp(readings);
                let slice: &mut [u8] = &mut *memory;
                let work = slice.chunks_mut(part).map(|part| {
                    let pages = &pages;
                    move || {
                        pages
                            .iter()
                            .for_each(|&p| part[black_box(p) * page] = value)
                    }
                });
                let seconds = self.at_once(work.collect())?;
                ours_right &= right(self.pages(&pages), page, value, |at| memory[at]);
                Ok(seconds)
            },
            &mut || {
                theirs_readings += 1;
                bare.forget().map_err(Failure::run)?;
                let value = stamp(theirs_readings);
                let work = (0..self.plan.threads).map(|thread| {
                    let pages = &pages;
                    move || {
                        let first = thread * part;
                        (pages.iter())
                            .for_each(|&p| bare.touch(first + black_box(p) * page, value));
                    }
                });
                let seconds = self.at_once(work.collect())?;
                theirs_right &= right(self.pages(&pages), page, value, |at| bare.read(at));
                Ok(seconds)
            },
        )?;
        let touches = (self.plan.threads * self.plan.pages) as u64;
        let expected = match order {
            Order::Random => readings * touches..readings * touches + 1,
            // How far the handlers read ahead is theirs to choose.
            Order::Sequential => readings..readings * touches + 1,
        };
        let faults = settled(&expected, || faults() - before);
        Ok(Row::timed("P6", self.place.case(order), BASELINE, measured)
            .goal(GOAL)
            .bytes(touches * page as u64)
            .verified(ours_right && theirs_right && expected.contains(&faults))
            .note(format!(
                "{touches} pages touched by {} faults",
                faults / readings
            )))
    }

    /// The pages of the whole memory that a reading touches.
    fn pages<'o>(&self, order: &'o [usize]) -> impl Iterator<Item = usize> + use<'o> {
        let (threads, apart) = (self.plan.threads, self.plan.pages + 1);
        (0..threads).flat_map(move |thread| order.iter().map(move |p| thread * apart + p))
    }

    /// Runs one piece of work on each core at once; the seconds from the first start to the last end.
    fn at_once<W: FnOnce() + Send>(&self, mut work: Vec<W>) -> Result<f64, Failure> {
        if work.len() == 1
            && let Some(alone) = work.pop()
        {
            let began = Instant::now();
            alone();
            return Ok(began.elapsed().as_secs_f64());
        }
        let ready = Barrier::new(work.len());
        let times: Result<Vec<(Instant, Instant)>, Failure> = std::thread::scope(|scope| {
            let threads: Vec<_> = (work.into_iter().zip(self.place.touchers))
                .map(|(work, &core)| {
                    let ready = &ready;
                    scope.spawn(move || {
                        let bound = self.cores.bind(Some(core));
                        ready.wait();
                        let began = Instant::now();
                        work();
                        bound.map(|()| (began, Instant::now()))
                    })
                })
                .collect();
            (threads.into_iter())
                .map(|thread| {
                    thread
                        .join()
                        .unwrap_or_else(|_| Err(Failure::run("a touching thread panicked")))
                })
                .collect()
        });
        let times = times?;
        let began = times.iter().map(|t| t.0).min();
        let ended = times.iter().map(|t| t.1).max();
        Ok(began
            .zip(ended)
            .map_or(0.0, |(began, ended)| (ended - began).as_secs_f64()))
    }
}

/// What a reading stores: never zero, and another byte than the reading before it.
const fn stamp(reading: u64) -> u8 {
    (reading % 255) as u8 + 1
}

/// Whether every touched byte is there and the next one is zero.
fn right(
    pages: impl Iterator<Item = usize>,
    page: usize,
    value: u8,
    read: impl Fn(usize) -> u8,
) -> bool {
    let mut pages = pages;
    pages.all(|p| read(p * page) == value && read(p * page + 1) == 0)
}

/// A count once it is as expected; handlers let a thread go before they count.
fn settled(expected: &Range<u64>, count: impl Fn() -> u64) -> u64 {
    let began = Instant::now();
    loop {
        let now = count();
        if expected.contains(&now) || began.elapsed() > Duration::from_millis(100) {
            return now;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_order_has_every_page_once_and_none_right_after_its_neighbour() {
        let plan = Plan {
            page: 1 << 16,
            threads: 2,
            pages: 512,
        };
        let order = plan.random(7);
        assert!(order.windows(2).all(|pair| pair[0] + 1 != pair[1]));
        assert_ne!(order, plan.random(8));
        let mut sorted = order;
        sorted.sort_unstable();
        assert_eq!(sorted, plan.sequential());
    }

    #[test]
    fn a_missing_or_a_stray_byte_is_seen() {
        let memory = [3, 0, 0, 3, 0, 0];
        let check = |memory: &[u8]| right([0, 1].into_iter(), 3, 3, |at| memory[at]);
        assert!(check(&memory));
        assert!(!check(&[3, 0, 0, 2, 0, 0]));
        assert!(!check(&[3, 1, 0, 3, 0, 0]));
    }
}
