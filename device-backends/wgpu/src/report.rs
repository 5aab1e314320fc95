//! The report: the words that kernels tell the host with. A run raises a flag when it left its footprint, a probe
//! writes its fault buffer.
//!
//! Key type: [`Reports`]. Invariant: word 0 is zero before every run; records of a probe begin at [`FIRST_RECORD`].

use gmem_hal::DeviceError;

use crate::buffers::{Buffer, Purpose};
use crate::clock::Label;
use crate::gpu::Gpu;

/// The word at which the first record of a probe begins: word 0 is the flag of runs.
pub(crate) const FIRST_RECORD: u64 = 16;

/// The report and the buffer it is read back through.
pub(crate) struct Reports {
    pub(crate) report: Buffer,
    pub(crate) readback: Buffer,
    /// Whether word 0 is known to be zero.
    pub(crate) clean: bool,
}

impl Gpu {
    /// Makes the report at least so many words long.
    pub(crate) fn cover_report(&mut self, words: u64) -> Result<(), DeviceError> {
        let bytes = words.max(FIRST_RECORD) * 4;
        if self
            .reports
            .as_ref()
            .is_some_and(|r| r.report.size() >= bytes)
        {
            return Ok(());
        }
        let bytes = bytes.next_power_of_two();
        let what = "the fault buffer";
        if bytes > self.facts.limits.max_storage_buffer_binding_size {
            return Err(DeviceError::OutOfMemory { what, bytes });
        }
        use wgpu::BufferUsages as Usage;
        let report = self.buffer(
            Purpose::Table,
            what,
            bytes,
            Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST,
            false,
        )?;
        let readback = self.buffer(
            Purpose::Table,
            what,
            bytes,
            Usage::MAP_READ | Usage::COPY_DST,
            false,
        )?;
        self.reports = Some(Reports {
            report,
            readback,
            clean: true,
        });
        self.epoch += 1;
        Ok(())
    }

    pub(crate) fn reports(&self) -> Result<&Reports, DeviceError> {
        let reason = "no space is attached".to_owned();
        self.reports.as_ref().ok_or(DeviceError::Refused {
            call: "a launch",
            reason,
        })
    }

    /// Submits `encoder`, then the copy of the report's first bytes home; waits and reads them.
    /// Also gives the seconds from submission to completion.
    pub(crate) fn submit_and_read<R>(
        &self,
        mut encoder: wgpu::CommandEncoder,
        bytes: u64,
        label: Option<Label>,
        read: impl FnOnce(&[u8]) -> R,
    ) -> Result<(f64, R), DeviceError> {
        let reports = self.reports()?;
        encoder.copy_buffer_to_buffer(&reports.report, 0, &reports.readback, 0, bytes);
        let clock = self.clock.as_ref().zip(label);
        if let Some((clock, _)) = &clock {
            clock.resolve(&mut encoder);
        }
        let commands = encoder.finish();
        let start = std::time::Instant::now();
        let submission = self.queue.submit([commands]);
        let mapping = self.map(&reports.readback, wgpu::MapMode::Read, bytes);
        let ticks = clock.as_ref().map(|(clock, _)| clock.map(self));
        let mapped = mapping.wait(self, &submission);
        let completed = std::time::Instant::now();
        let seconds = (completed - start).as_secs_f64();
        if let (Some((clock, label)), Some(ticks)) = (clock, ticks) {
            clock.record(self, &ticks, &submission, (start, completed), label);
        }
        let result = mapped.and_then(|()| {
            let view =
                reports
                    .readback
                    .get_mapped_range(..bytes)
                    .map_err(|e| DeviceError::Lost {
                        reason: format!("the report cannot be read: {e}"),
                    })?;
            Ok((seconds, read(&view)))
        });
        // Also after a failure: a mapping that is pending or done must not meet the next submission.
        reports.readback.unmap();
        result
    }
}
