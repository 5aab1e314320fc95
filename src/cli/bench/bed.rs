//! The bed that cases are measured on: which device, how long, how large; and the loop that runs two sides in turn.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use gmem::gpu::{AdapterKind, AdapterSummary};
use gmem::{Builder, Gmem, Placement};

use super::json::Failed;
use super::measured::{Measured, Turn};
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
                patience: Duration::from_millis(350),
                turns: (2, 15),
                tolerance: 0.015,
                sittings: 8,
                all: Duration::from_secs(280),
            }
        } else {
            Effort {
                patience: Duration::from_secs(2),
                turns: (3, 60),
                tolerance: 0.0075,
                sittings: 8,
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
        self.effort().measure(ours, baseline)
    }
}

/// How long, how often and how surely everything is measured.
///
/// All cases are run in turn too, again and again: in each *sitting* a case makes its two sides anew and measures them for a
/// short while. So its readings are spread over the whole run, and over several places in memory: a machine that others use changes
/// for minutes, and where memory happens to lie changes nothing but by making it anew.
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
    /// Sittings, at most.
    pub sittings: usize,
    /// How long all of them may take together: none is begun that would last longer, but the first.
    pub all: Duration,
}

impl Effort {
    /// Whether there is to be another sitting, after so many, the last of which took so long.
    #[must_use]
    pub fn sits_again(&self, sittings: usize, elapsed: Duration, last: Duration) -> bool {
        sittings == 0 || (sittings < self.sittings && elapsed + last <= self.all)
    }

    fn measure(
        &self,
        ours: &mut dyn FnMut() -> Result<f64, Failure>,
        baseline: &mut dyn FnMut() -> Result<f64, Failure>,
    ) -> Result<Measured, Failure> {
        ours()?;
        let mut last = baseline()?;
        let began = Instant::now();
        let mut turns: Vec<Turn> = Vec::new();
        let mut measured = Measured::of(Vec::new());
        while self.goes_on(turns.len(), began.elapsed(), measured.error) {
            let a = reading(ours, last)?;
            let b = [reading(baseline, a)?, reading(baseline, a)?];
            let d = reading(ours, b[1])?;
            last = b[1];
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

/// A reading of one side: the mean of as many runs as take half as long as the other side's reading, which is one where both take
/// about as long. A shorter reading would meet other moments of a shared machine than the long one beside it, and say less.
fn reading(side: &mut dyn FnMut() -> Result<f64, Failure>, other: f64) -> Result<f64, Failure> {
    let (mut sum, mut runs) = (0.0, 0);
    while runs == 0 || (sum < other / 2.0 && runs < MOST_RUNS) {
        sum += side()?;
        runs += 1;
    }
    Ok(sum / f64::from(runs))
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
    use super::*;

    const EFFORT: Effort = Effort {
        patience: Duration::from_secs(4),
        turns: (3, 10),
        tolerance: 0.01,
        sittings: 3,
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
        assert!(
            EFFORT.sits_again(0, 100 * second, 100 * second),
            "the first"
        );
        assert!(EFFORT.sits_again(1, 30 * second, 30 * second));
        assert!(!EFFORT.sits_again(1, 40 * second, 30 * second), "too long");
        assert!(!EFFORT.sits_again(3, second, second), "enough");
    }

    #[test]
    fn sides_take_turns_each_of_which_begins_and_ends_with_ours() {
        let order = RefCell::new(String::new());
        let side = |name: char, seconds: f64| {
            order.borrow_mut().push(name);
            Ok(seconds)
        };
        let measured = (Effort {
            patience: Duration::ZERO,
            ..EFFORT
        })
        .measure(&mut || side('a', 3.0), &mut || side('b', 2.0))
        .unwrap();
        assert_eq!(*order.borrow(), "ababbaabbaabba");
        assert_eq!((measured.ratio, measured.error), (1.5, 0.0));
    }

    #[test]
    fn a_reading_of_the_shorter_side_is_of_several_runs() {
        let mut runs = [3.0, 5.0, 1.0].into_iter();
        let mut side = || Ok(runs.next().expect("no more are needed"));
        // 8 is the half of 16; one is enough where the other is shorter, or at most twice as long.
        assert_eq!(reading(&mut side, 16.0).ok(), Some(4.0));
        assert_eq!(reading(&mut side, 2.0).ok(), Some(1.0));
        let mut runs = 0;
        let mut nothing = || {
            runs += 1;
            Ok(0.0)
        };
        assert_eq!(reading(&mut nothing, 1.0).ok(), Some(0.0));
        assert_eq!(runs, MOST_RUNS, "it ends");
    }
}
