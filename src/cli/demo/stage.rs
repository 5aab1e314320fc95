//! What every demonstration has in common: an address space of its own, a kernel that is WGSL or its twin, the clock, the report.

use std::hint::black_box;
use std::time::Instant;

use bytemuck::Pod;
use gmem::gpu::PlainKernel;
use gmem::sim::SimKernel;
use gmem::{DeviceHandle, Gmem, Kernel, Launch, Vector};

use super::budget::{Budget, Terms, settle};
use super::verify::{Mismatch, Verified};
use crate::cli::Failure;
use crate::cli::args::{Common, DemoArgs, DemoName};
use crate::cli::report::{Report, Setting};
use crate::cli::space::{Engine, describe};
use crate::cli::table::{Plain, Row};

/// The simulated device is for seeing that it works: it gets a part of the data.
const SIMULATED_PART: u64 = 16;

/// What all demonstrations of one command share.
pub struct Setup<'a> {
    /// Common options.
    pub common: &'a Common,
    /// Options of the demonstrations.
    pub args: &'a DemoArgs,
    /// The device.
    pub engine: &'a Engine,
}

impl Setup<'_> {
    /// Bytes of data that a demonstration should have.
    #[must_use]
    pub fn bytes(&self, default: u64) -> u64 {
        let part = if self.engine.simulated() {
            SIMULATED_PART
        } else {
            1
        };
        self.args.size.unwrap_or(default / part)
    }

    /// The budget of a demonstration; `least` says how many pages of so many bytes one workgroup needs.
    pub fn budget(&self, name: DemoName, data: u64, least: impl Fn(u64) -> u64) -> Budget {
        let terms = Terms {
            common: self.common,
            name: name.name(),
            data,
            overhead: self.engine.overhead(),
            // Its footprints are the graph's, which nobody can foresee.
            raise: name == DemoName::Pagerank,
        };
        settle(&terms, least)
    }
}

/// Of Mesa's llvmpipe, Vulkan's lavapipe included; met with version 22.3.
const LLVMPIPE_ROUNDS: usize = 65_535;

/// A demonstration that came to its end.
pub struct Outcome {
    /// Its row of the table.
    pub row: Row,
    /// The device it ran on.
    pub device: String,
    /// What a person should know of it.
    pub notes: Vec<String>,
}

/// A demonstration under way: its space and what is known so far.
pub struct Stage {
    gm: Gmem,
    device: DeviceHandle,
    describes: String,
    name: DemoName,
    report: Report,
    notes: Vec<String>,
}

/// The kernel as plain wgpu is to run it.
pub struct PlainRun<'a> {
    /// The source.
    pub source: &'a str,
    /// The entry point.
    pub entry: &'a str,
    /// The contents of each storage binding, in binding order.
    pub buffers: &'a [&'a [u8]],
    /// The uniform.
    pub uniform: &'a [u8],
    /// Workgroups.
    pub grid: [u32; 3],
    /// Launches.
    pub repeat: u32,
    /// The bindings that are read back.
    pub results: &'a [usize],
}

impl Stage {
    /// Opens a space of `budget` for `data` bytes.
    ///
    /// # Errors
    /// When the device or the space cannot be opened.
    pub fn open(
        setup: &Setup<'_>,
        name: DemoName,
        data: u64,
        budget: Budget,
    ) -> Result<Self, Failure> {
        let builder = setup.engine.builder(setup.common);
        let gm = builder
            .page_size(budget.page.bytes())
            .device_memory(budget.memory)
            .build()?;
        let report = Report {
            name: Some(name.name().to_owned()),
            bytes_bound: data,
            device_memory: budget.memory,
            page_size: budget.page.bytes(),
            setting: Setting::of(&gm, setup.common),
            ..Report::default()
        };
        Ok(Self {
            device: gm.device(0)?,
            describes: describe(&gm, setup.common),
            gm,
            name,
            report,
            notes: budget.note.into_iter().collect(),
        })
    }

    /// The space.
    #[must_use]
    pub const fn gm(&self) -> &Gmem {
        &self.gm
    }

    /// After how many rounds the driver leaves the loops of a lane as if they were done, where one is known to.
    #[must_use]
    pub fn most_rounds(&self) -> Option<usize> {
        let mesa = |name: &str| name.starts_with("llvmpipe");
        let gpu = self.device.gpu()?;
        mesa(&gpu.adapter().name).then_some(LLVMPIPE_ROUNDS)
    }

    /// The kernel: the WGSL, or its twin on the simulated device.
    ///
    /// # Errors
    /// When it cannot be compiled.
    pub fn kernel(
        &self,
        source: &str,
        entry: &str,
        twin: impl FnOnce() -> SimKernel,
    ) -> Result<Kernel, Failure> {
        Ok(if self.device.simulated().is_some() {
            self.gm
                .kernel_of(&self.device, std::sync::Arc::new(twin()))?
        } else {
            self.gm.kernel_on(&self.device, source, Some(entry), &[])?
        })
    }

    /// Gives a launch its uniform; twins have no names for them.
    pub fn uniform<'k, T: Pod>(&self, launch: Launch<'k>, name: &str, value: &T) -> Launch<'k> {
        if self.device.simulated().is_some() {
            launch.value(value)
        } else {
            launch.uniform(name, value)
        }
    }

    /// Brings results to the CPU by plain loads, one in each page.
    pub fn at_hand<T: Pod>(&self, results: &Vector<T>) {
        at_hand(&self.gm, results);
    }

    /// Says how long it took since the first launch, results at hand.
    pub fn took(&mut self, since: Instant) {
        self.report.seconds.total = since.elapsed().as_secs_f64();
    }

    /// Takes what was counted, then times the same kernel on plain wgpu, and ends.
    pub fn finish(mut self, verified: Result<Verified, Mismatch>, plain: &PlainRun<'_>) -> Outcome {
        fill_in(&mut self.report, &self.gm);
        self.report.verified = Some(verified.is_ok());
        let plain = match self.plain(plain) {
            Ok(seconds) => Plain::Seconds(seconds),
            Err(why) => {
                self.notes.extend(
                    why.map(|why| format!("{}: not run on plain wgpu: {why}.", self.name.name())),
                );
                Plain::DoesNotFit
            }
        };
        let verified = match verified {
            Ok(verified) => verified.to_string(),
            Err(mismatch) => {
                self.notes
                    .push(format!("{}: NOT VERIFIED: {mismatch}.", self.name.name()));
                "NO".to_owned()
            }
        };
        let row = Row {
            report: self.report,
            plain,
            verified,
        };
        Outcome {
            row,
            device: self.describes,
            notes: self.notes,
        }
    }

    /// Seconds on plain wgpu, from data in the CPU's memory to results there; or why not, where that is worth saying.
    fn plain(&self, run: &PlainRun<'_>) -> Result<f64, Option<String>> {
        let gpu = self.device.gpu().ok_or(None)?;
        let said = |error: &dyn std::error::Error| Some(error.to_string());
        let sizes: Vec<u64> = run
            .buffers
            .iter()
            .map(|buffer| buffer.len() as u64)
            .collect();
        let values = [run.uniform.to_vec()];
        let kernel = PlainKernel::prepare(
            gpu,
            run.source,
            Some(run.entry),
            &[],
            &sizes,
            &values,
            run.grid,
        )
        .map_err(|e| said(&e))?;
        let began = Instant::now();
        for (binding, buffer) in run.buffers.iter().enumerate() {
            kernel.write(binding, buffer).map_err(|e| said(&e))?;
        }
        for _ in 0..run.repeat {
            kernel.dispatch_and_wait().map_err(|e| said(&e))?;
        }
        for binding in run.results {
            black_box(kernel.read(*binding).map_err(|e| said(&e))?);
        }
        Ok(began.elapsed().as_secs_f64())
    }
}

/// Brings memory to the CPU by plain loads, one in each page.
pub fn at_hand<T: Pod>(gm: &Gmem, memory: &Vector<T>) {
    let bytes: &[u8] = bytemuck::cast_slice(memory);
    let page = gm.geometry().page.bytes() as usize;
    black_box(
        bytes
            .iter()
            .step_by(page)
            .fold(0_u8, |sum, byte| sum ^ byte),
    );
}

/// What a space counted and holds, for a report.
pub fn fill_in(report: &mut Report, gm: &Gmem) {
    let stats = gm.stats();
    report.count(&stats.counts);
    report.page_size = gm.geometry().page.bytes();
    if let Some((_, bytes)) = stats.devices.first() {
        report.peak_device_bytes = bytes.peak_windows;
        report.remote_bytes = bytes.peak_remote;
        report.wgpu_bytes = bytes.peak_windows + bytes.peak_remote + bytes.tables + bytes.staging;
    }
}
