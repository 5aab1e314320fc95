//! The bed that cases are measured on: which device, how long, how large; and the loop that runs two sides in turn.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use gmem::gpu::{AdapterKind, AdapterSummary};
use gmem::{Builder, Gmem, Placement};

#[cfg(target_os = "linux")]
use super::cores::stir;
use super::json::Failed;
use super::measured::{Measured, Turn, of_few};
use super::row::Row;
use crate::cli::args::Common;
use crate::cli::space::{Engine, builder};
use crate::cli::{Failure, note};

/// Runs of one reading, at most.
const MOST_RUNS: u32 = 8;

/// What all cases of one command share.
pub struct Bed<'a> {
    /// Common options.
    pub common: &'a Common,
    /// Whether fewer readings will do.
    pub quick: bool,
    engine: &'a Engine,
    adapter: AdapterSummary,
    left_out: RefCell<Vec<Failed>>,
    /// Group and case of each row that is known well enough.
    known: RefCell<BTreeSet<(String, String)>>,
}

impl<'a> Bed<'a> {
    /// The bed over a GPU.
    ///
    /// # Errors
    /// When there is no adapter.
    pub fn new(common: &'a Common, quick: bool, engine: &'a Engine) -> Result<Self, Failure> {
        let gm = engine.builder(common).build()?;
        let device = gm.device(0)?;
        let gpu = device.gpu().ok_or_else(|| {
            Failure::run("`gmem bench` needs a GPU adapter, which `gmem info` lists")
        })?;
        Ok(Self {
            common,
            quick,
            engine,
            adapter: gpu.adapter().clone(),
            left_out: RefCell::default(),
            known: RefCell::default(),
        })
    }

    /// The adapter.
    #[must_use]
    pub const fn adapter(&self) -> &AdapterSummary {
        &self.adapter
    }

    /// Whether the adapter is the CPU itself: then kernels and the runtime share its cores.
    #[must_use]
    pub fn software(&self) -> bool {
        self.adapter.kind == AdapterKind::Cpu
    }

    /// Says that something of a group is not measured, and why.
    pub fn leave_out(&self, id: &str, reason: &str) {
        let left_out = Failed {
            id: id.to_owned(),
            reason: reason.to_owned(),
        };
        let mut all = self.left_out.borrow_mut();
        // Every sitting comes to it.
        if !all.contains(&left_out) {
            note(&format!("{id}: left out: {reason}"));
            all.push(left_out);
        }
    }

    /// What was left out so far.
    #[must_use]
    pub fn left_out(&self) -> Vec<Failed> {
        self.left_out.borrow().clone()
    }

    /// Whether a case of a group was measured so often and so surely that another sitting is better spent on others.
    #[must_use]
    pub fn is_known(&self, id: &str, case: &str) -> bool {
        let known = self.known.borrow();
        known.contains(&(id.to_owned(), case.to_owned()))
    }

    /// Takes in what a row came to with this sitting's readings.
    pub fn take_in(&self, row: &Row) {
        if self.effort().knows(row) {
            let case = (row.id.to_string(), row.case.clone());
            self.known.borrow_mut().insert(case);
        }
    }

    /// How many times larger a case is made than on a software adapter, where all sizes are for some 10 to 50 ms of work.
    #[must_use]
    pub fn scale(&self) -> usize {
        if self.software() { 1 } else { 8 }
    }

    /// An address space with so many bytes of device memory; page size, policy and host mechanism as the common options say.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn space(&self, device_memory: u64) -> Result<Gmem, Failure> {
        Ok(self.builder(device_memory).build()?)
    }

    /// The same, to be changed before it is built.
    pub fn builder(&self, device_memory: u64) -> Builder {
        // A cap given on the command line is for demos and runs: cases choose their own.
        let common = Common {
            device_memory: None,
            ..self.common.clone()
        };
        self.engine.builder(&common).device_memory(device_memory)
    }

    /// A space whose bindings never lie in one run of frames: everything is paged.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn fragmented(&self, device_memory: u64) -> Result<Gmem, Failure> {
        Ok(self
            .builder(device_memory)
            .placement(Placement::Scattered)
            .build()?)
    }

    /// A space without any device.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn host_only(&self) -> Result<Gmem, Failure> {
        Ok(builder(self.common)
            .device(gmem::DeviceChoice::None)
            .build()?)
    }

    /// How long, how often and how surely everything is measured.
    #[must_use]
    pub const fn effort(&self) -> Effort {
        if self.quick {
            Effort {
                patience: Duration::from_millis(250),
                turns: (2, 15),
                tolerance: 0.015,
                sittings: (5, 24),
                known: 0.02,
                all: Duration::from_secs(285),
            }
        } else {
            Effort {
                patience: Duration::from_secs(1),
                turns: (3, 60),
                tolerance: 0.0075,
                sittings: (5, 16),
                known: 0.015,
                all: Duration::from_secs(18 * 60),
            }
        }
    }

    /// Reads both sides in turn (A B B A and again), after a warm-up of one run each, until the ratio is known well enough or the
    /// patience is over. Each side gives its own seconds.
    ///
    /// # Errors
    /// The first of either side.
    pub fn measure(
        &self,
        ours: &mut dyn FnMut() -> Result<f64, Failure>,
        baseline: &mut dyn FnMut() -> Result<f64, Failure>,
    ) -> Result<Measured, Failure> {
        let since = Instant::now();
        (self.effort()).measure(&|| since.elapsed(), &mut stir, ours, baseline)
    }
}

/// Elsewhere the scheduler alone says where threads lie.
#[cfg(not(target_os = "linux"))]
const fn stir(_turn: usize) {}

/// How long, how often and how surely everything is measured.
///
/// All cases are run in turn too, again and again: in each *sitting* a case makes its two sides anew and measures them for a
/// short while. So its readings are spread over minutes and over several places in memory: a machine that others use changes for
/// minutes, and where memory happens to lie changes nothing but by making it anew. Threads, which stay where they came to lie, are placed anew
/// before each turn. Cases that are known leave the time to the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effort {
    /// How long both sides of a case are run in a sitting: a third of it once the tolerance is reached, half as long again while the
    /// error is twice as large. A turn is always run to its end.
    pub patience: Duration,
    /// Turns of a case in a sitting, of two readings of each side: at least, whatever the patience; at most.
    pub turns: (usize, usize),
    /// What the ratio's standard error should come down to in each sitting, as a part of it. Steady cases are there soon and leave
    /// the time to the others.
    pub tolerance: f64,
    /// Sittings of a case: at least, before it counts as known, since few of them may agree by chance; at most.
    pub sittings: (usize, usize),
    /// The error of a ratio, as a part of it, with which it is known.
    pub known: f64,
    /// How long all of them may take together.
    pub all: Duration,
}

impl Effort {
    /// Whether there is time for another sitting of a group that last took so long: there always is for the first.
    #[must_use]
    pub fn has_time(&self, elapsed: Duration, last: Option<Duration>) -> bool {
        last.is_none_or(|last| elapsed + last <= self.all)
    }

    /// Whether a row, with the readings of all sittings so far, needs no more of them: its error is small enough, or
    /// there is nothing in it that chance has a part in.
    #[must_use]
    pub fn knows(&self, row: &Row) -> bool {
        let sittings = row.sittings.len();
        (row.error).is_none_or(|error| {
            sittings >= self.sittings.0 && error * of_few(sittings) <= self.known
        })
    }

    /// `clock` says how long it has been running; `stir` is given the number of each turn before it begins.
    fn measure(
        &self,
        clock: &dyn Fn() -> Duration,
        stir: &mut dyn FnMut(usize),
        ours: &mut dyn FnMut() -> Result<f64, Failure>,
        baseline: &mut dyn FnMut() -> Result<f64, Failure>,
    ) -> Result<Measured, Failure> {
        let mut ours = Side::new(clock, ours)?;
        let mut baseline = Side::new(clock, baseline)?;
        let began = clock();
        let mut turns: Vec<Turn> = Vec::new();
        let mut measured = Measured::of(Vec::new());
        while self.goes_on(turns.len(), clock() - began, measured.error) {
            stir(turns.len());
            // Settled before the turn: what it meets has no say in how it is read.
            let runs = [ours.runs(&baseline), baseline.runs(&ours)];
            let a = ours.reading(runs[0])?;
            let b = [baseline.reading(runs[1])?, baseline.reading(runs[1])?];
            let d = ours.reading(runs[0])?;
            turns.push(([a, d], b));
            measured = Measured::of(vec![turns.clone()]);
        }
        Ok(measured)
    }

    fn goes_on(&self, turns: usize, elapsed: Duration, error: f64) -> bool {
        let (least, most) = self.turns;
        // Machines change their speed for tenths of a second: what few readings agree on may be one such time.
        let patience = if error > 2.0 * self.tolerance {
            self.patience * 3 / 2
        } else if error > self.tolerance {
            self.patience
        } else {
            self.patience / 3
        };
        turns < least || (turns < most && elapsed < patience)
    }
}

/// One of the two sides.
struct Side<'a> {
    clock: &'a dyn Fn() -> Duration,
    /// Runs it, and gives its seconds: those that count, and not what it does before and after.
    run: &'a mut dyn FnMut() -> Result<f64, Failure>,
    /// How long a run took when it was last read, by the clock.
    took: Duration,
}

impl<'a> Side<'a> {
    /// Warms it up.
    fn new(
        clock: &'a dyn Fn() -> Duration,
        run: &'a mut dyn FnMut() -> Result<f64, Failure>,
    ) -> Result<Self, Failure> {
        let mut side = Self {
            clock,
            run,
            took: Duration::ZERO,
        };
        side.reading(1)?;
        Ok(side)
    }

    /// Of how many runs a reading is: as many as take half as long as one of the other side, which is one where both take about
    /// as long. A shorter reading would meet other moments of a shared machine than the long one beside it, and say less.
    fn runs(&self, other: &Self) -> u32 {
        let runs = other.took.as_secs_f64() / 2.0 / self.took.as_secs_f64();
        (runs.ceil() as u32).clamp(1, MOST_RUNS)
    }

    /// The mean of so many runs.
    fn reading(&mut self, runs: u32) -> Result<f64, Failure> {
        let began = (self.clock)();
        let mut sum = 0.0;
        for _ in 0..runs {
            sum += (self.run)()?;
        }
        self.took = ((self.clock)() - began) / runs;
        Ok(sum / f64::from(runs))
    }
}

/// Seconds that something takes.
///
/// # Errors
/// Its own.
pub fn seconds<R>(f: impl FnOnce() -> Result<R, Failure>) -> Result<f64, Failure> {
    let began = Instant::now();
    f()?;
    Ok(began.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const EFFORT: Effort = Effort {
        patience: Duration::from_secs(4),
        turns: (3, 10),
        tolerance: 0.01,
        sittings: (2, 3),
        known: 0.04,
        all: Duration::from_secs(60),
    };

    #[test]
    fn a_case_ends_when_it_is_known_well_enough_or_takes_too_long() {
        let second = Duration::from_secs(1);
        assert!(EFFORT.goes_on(2, 100 * second, 0.0), "too few readings");
        assert!(EFFORT.goes_on(3, second / 2, 0.0), "too short");
        assert!(EFFORT.goes_on(3, 2 * second, 0.02), "not known well");
        assert!(!EFFORT.goes_on(3, 2 * second, 0.005), "known");
        assert!(EFFORT.goes_on(3, 5 * second, 0.03), "hardly known");
        assert!(!EFFORT.goes_on(3, 5 * second, 0.02), "nearly known");
        assert!(!EFFORT.goes_on(3, 6 * second, 0.03), "no patience left");
        assert!(!EFFORT.goes_on(10, second, 0.02), "readings enough");
    }

    #[test]
    fn sittings_go_on_while_there_is_time_for_another() {
        let second = Duration::from_secs(1);
        assert!(EFFORT.has_time(100 * second, None), "the first");
        assert!(EFFORT.has_time(30 * second, Some(30 * second)));
        assert!(!EFFORT.has_time(40 * second, Some(30 * second)));
    }

    #[test]
    fn a_row_is_known_once_enough_sittings_agree() {
        let row = |ratios: &[f64]| {
            let sittings = ratios.iter().map(|&ratio| vec![([ratio; 2], [1.0; 2])]);
            Row::timed("P1", "case", "baseline", Measured::of(sittings.collect()))
        };
        assert!(EFFORT.knows(&row(&[1.0, 1.03])));
        assert!(!EFFORT.knows(&row(&[1.0])), "one may say anything");
        assert!(!EFFORT.knows(&row(&[1.0, 1.1])), "they differ");
        // Two that are 0.06 apart have an error of 0.03, which for so few is not sure enough; for more of them it would be.
        assert!(!EFFORT.knows(&row(&[1.0, 1.06])), "they may be lucky");
        assert!(EFFORT.knows(&row(&[1.0, 1.06, 1.0, 1.06, 1.0, 1.06])));
        assert!(EFFORT.knows(&Row::counted("P5", "c", "b", 3.0, 2.0)));
    }

    #[test]
    fn sides_take_turns_each_of_which_is_stirred_and_begins_and_ends_with_ours() {
        let order = RefCell::new(String::new());
        let side = |name: char, seconds: f64| {
            order.borrow_mut().push(name);
            Ok(seconds)
        };
        let measured = (Effort {
            patience: Duration::ZERO,
            ..EFFORT
        })
        .measure(
            &|| Duration::ZERO,
            &mut |turn| order.borrow_mut().push_str(&turn.to_string()),
            &mut || side('a', 3.0),
            &mut || side('b', 2.0),
        )
        .unwrap();
        assert_eq!(*order.borrow(), "ab0abba1abba2abba");
        assert_eq!((measured.ratio, measured.error), (1.5, 0.0));
    }

    #[test]
    fn readings_of_the_shorter_side_are_of_several_runs_settled_beforehand() {
        let now = Cell::new(Duration::ZERO);
        let clock = || now.get();
        let order = RefCell::new(String::new());
        let run = |name: char, millis: u64| {
            order.borrow_mut().push(name);
            now.set(now.get() + Duration::from_millis(millis));
            // What is given need not be what the clock says.
            Ok(millis as f64)
        };
        let mut times = [10, 10, 60, 2, 2].into_iter();
        let (mut a, mut b) = (
            || run('a', 40),
            || run('b', times.next().expect("no more are needed")),
        );
        let (mut ours, mut baseline) = (
            Side::new(&clock, &mut a).unwrap(),
            Side::new(&clock, &mut b).unwrap(),
        );
        // 20 is the half of 40; one is enough where the other is shorter, or at most twice as long.
        assert_eq!((ours.runs(&baseline), baseline.runs(&ours)), (1, 2));
        // A slow run among them does not make them fewer.
        assert_eq!(baseline.reading(2).unwrap(), 35.0);
        assert_eq!((ours.runs(&baseline), baseline.runs(&ours)), (1, 1));
        baseline.reading(2).unwrap();
        assert_eq!(baseline.runs(&ours), MOST_RUNS, "it ends");
        ours.reading(1).unwrap();
        assert_eq!(*order.borrow(), "abbbbba");
    }
}
