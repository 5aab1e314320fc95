//! Trouble on purpose: errors at the n-th call, errors by chance, latency, and a device that is gone.

use std::ops::RangeInclusive;
use std::time::Duration;

use gmem_hal::DeviceError;
use parking_lot::Mutex;

use crate::rng::Rng;

/// The functions of a device that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// [`gmem_hal::Device::attach`].
    Attach,
    /// [`gmem_hal::Device::grow`].
    Grow,
    /// [`gmem_hal::Device::set_entries`].
    SetEntries,
    /// [`gmem_hal::Device::upload`].
    Upload,
    /// [`gmem_hal::Device::download`].
    Download,
    /// [`gmem_hal::Device::zero`].
    Zero,
    /// [`gmem_hal::Device::run`].
    Run,
    /// [`gmem_hal::Device::probe`].
    Probe,
    /// [`gmem_hal::Device::attempt`].
    Attempt,
    /// [`gmem_hal::Device::copy_frames`].
    CopyFrames,
    /// [`gmem_hal::Device::grow_remote`].
    GrowRemote,
    /// [`gmem_hal::Device::drop_remote`].
    DropRemote,
}

impl Call {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Attach,
        Self::Grow,
        Self::SetEntries,
        Self::Upload,
        Self::Download,
        Self::Zero,
        Self::Run,
        Self::Probe,
        Self::Attempt,
        Self::CopyFrames,
        Self::GrowRemote,
        Self::DropRemote,
    ];

    /// The function's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Attach => "attach",
            Self::Grow => "grow",
            Self::SetEntries => "set_entries",
            Self::Upload => "upload",
            Self::Download => "download",
            Self::Zero => "zero",
            Self::Run => "run",
            Self::Probe => "probe",
            Self::Attempt => "attempt",
            Self::CopyFrames => "copy_frames",
            Self::GrowRemote => "grow_remote",
            Self::DropRemote => "drop_remote",
        }
    }

    /// The error of a call that had no effect and may be tried again.
    #[must_use]
    pub fn refused(self) -> DeviceError {
        DeviceError::Refused {
            call: self.name(),
            reason: "injected".to_owned(),
        }
    }
}

/// One error to come.
///
/// [`DeviceError::Lost`] takes the device down for good, as if by [`crate::SimDevice::lose`].
#[derive(Clone, Debug)]
pub struct Injection {
    /// Calls of which function count; of any when `None`.
    pub call: Option<Call>,
    /// Which of them fails, counted from the injection: 1 is the next one.
    pub nth: u64,
    /// What it fails with.
    pub error: DeviceError,
    /// Whether it fails before it did anything. Otherwise it fails in the midst of it, as far as the contract of
    /// [`gmem_hal::Device`] permits: copies and `zero` leave rubbish where they were writing, a `run` or `attempt` has run some workgroups
    /// (but for [`DeviceError::Refused`], which promises no effect); `grow`, `grow_remote`, `drop_remote`, `set_entries` and `probe` change nothing.
    pub before_effect: bool,
}

impl Injection {
    /// The `nth` call of a function from now on fails before it did anything.
    #[must_use]
    pub fn at(call: Call, nth: u64, error: DeviceError) -> Self {
        Self {
            call: Some(call),
            nth,
            error,
            before_effect: true,
        }
    }

    /// The `nth` call of any function from now on fails before it did anything.
    #[must_use]
    pub fn anywhere(nth: u64, error: DeviceError) -> Self {
        Self {
            call: None,
            nth,
            error,
            before_effect: true,
        }
    }

    /// It fails in the midst of its work instead.
    #[must_use]
    pub fn in_the_midst(self) -> Self {
        Self {
            before_effect: false,
            ..self
        }
    }
}

#[derive(Debug)]
struct State {
    rng: Rng,
    calls: [u64; Call::ALL.len()],
    pending: Vec<Injection>,
    probability: f64,
    lost: Option<String>,
}

/// What every call passes through.
#[derive(Debug)]
pub(crate) struct Gate {
    state: Mutex<State>,
    latency: Option<RangeInclusive<Duration>>,
}

impl Gate {
    pub(crate) fn new(seed: u64, latency: Option<RangeInclusive<Duration>>) -> Self {
        Self {
            state: Mutex::new(State {
                rng: Rng::new(seed),
                calls: [0; Call::ALL.len()],
                pending: Vec::new(),
                probability: 0.0,
                lost: None,
            }),
            latency,
        }
    }

    /// Counts and delays a call. `Err`: it fails now. `Ok(Some)`: it is to fail in the midst of its work.
    pub(crate) fn enter(&self, call: Call) -> Result<Option<DeviceError>, DeviceError> {
        let (delay, verdict) = {
            let mut state = self.state.lock();
            state.calls[call as usize] += 1;
            let delay = self.latency.as_ref().map(|range| {
                let span = range.end().saturating_sub(*range.start());
                *range.start() + span.mul_f64(state.rng.unit())
            });
            (delay, state.verdict(call))
        };
        if let Some(delay) = delay {
            std::thread::sleep(delay);
        }
        verdict
    }

    pub(crate) fn inject(&self, injection: Injection) {
        self.state.lock().pending.push(injection);
    }

    pub(crate) fn clear(&self) {
        let mut state = self.state.lock();
        state.pending.clear();
        state.probability = 0.0;
    }

    pub(crate) fn fail_randomly(&self, probability: f64) {
        self.state.lock().probability = probability;
    }

    pub(crate) fn lose(&self, reason: &str) {
        self.state.lock().lose(reason);
    }

    pub(crate) fn check_lost(&self) -> Result<(), DeviceError> {
        self.state.lock().check_lost()
    }

    pub(crate) fn calls(&self) -> [u64; Call::ALL.len()] {
        self.state.lock().calls
    }

    /// Draws from the device's seed.
    pub(crate) fn with_rng<T>(&self, f: impl FnOnce(&mut Rng) -> T) -> T {
        f(&mut self.state.lock().rng)
    }
}

impl State {
    fn check_lost(&self) -> Result<(), DeviceError> {
        match &self.lost {
            Some(reason) => Err(DeviceError::Lost {
                reason: reason.clone(),
            }),
            None => Ok(()),
        }
    }

    fn lose(&mut self, reason: &str) {
        self.lost.get_or_insert_with(|| reason.to_owned());
    }

    fn verdict(&mut self, call: Call) -> Result<Option<DeviceError>, DeviceError> {
        self.check_lost()?;
        let mut fired = None;
        for (at, injection) in self.pending.iter_mut().enumerate() {
            if injection.call.is_none_or(|c| c == call) {
                injection.nth = injection.nth.saturating_sub(1);
                if injection.nth == 0 && fired.is_none() {
                    fired = Some(at);
                }
            }
        }
        if let Some(at) = fired {
            let Injection {
                error,
                before_effect,
                ..
            } = self.pending.remove(at);
            if let DeviceError::Lost { reason } = &error {
                self.lose(reason);
            }
            return if before_effect {
                Err(error)
            } else {
                Ok(Some(error))
            };
        }
        if self.probability > 0.0 && self.rng.unit() < self.probability {
            let error = call.refused();
            return if self.rng.below(2) == 0 {
                Err(error)
            } else {
                Ok(Some(error))
            };
        }
        Ok(None)
    }
}
