//! Probes: which pages some boxes of workgroups would touch, found by running the addresses of a kernel alone.
//!
//! Key type: [`Layout`] (of the fault buffer). Invariant: every page of every binding has its own two bits in every
//! box's record, so that nothing overflows and nothing is lost.

use gmem_hal::{DeviceError, Geometry, GridBox, Launch, ProbeReport, Touched};
use gmem_shaders::{Entry, Mode, Params, REPORT_HEADER_WORDS, Variant};

use crate::device::WgpuDevice;
use crate::pass::{check, paged, pages_of, ways, windows_for};
use crate::recorded::{Bounds, Recorded};
use crate::report::FIRST_RECORD;

/// The fault buffer's size that a probe's width is chosen for.
const BUFFER_BYTES: u64 = 4 << 20;

/// The most boxes of one probe.
const MOST_BOXES: u64 = 64;

/// Pages whose bits share a word.
const PAGES_PER_WORD: u64 = 16;

/// Where a record's words are.
pub(crate) struct Layout {
    /// The first word of each binding's bits, from the record's start.
    touch_bases: Vec<u64>,
    /// Words of a record.
    pub(crate) words: u64,
}

impl Layout {
    pub(crate) fn new(launch: &Launch, geometry: &Geometry) -> Self {
        let mut words = u64::from(REPORT_HEADER_WORDS);
        let touch_bases = (launch.bound.iter())
            .map(|&bound| {
                let base = words;
                let pages = geometry.pages_of(bound);
                words += (pages.end - pages.start).div_ceil(PAGES_PER_WORD);
                base
            })
            .collect();
        Self { touch_bases, words }
    }

    /// The parameters of all bindings.
    fn params(&self, entry: &Entry, launch: &Launch, geometry: &Geometry) -> Vec<u32> {
        let mut params = Params::new([0; 3], [0; 3], 0);
        let head = params.words().len();
        for (binding, &base) in self.touch_bases.iter().enumerate() {
            params.push_paged(paged(entry, launch, geometry, binding, base as u32));
        }
        params.words()[head..].to_vec()
    }

    fn width(&self) -> usize {
        (BUFFER_BYTES / 4 / self.words).clamp(1, MOST_BOXES) as usize
    }

    /// The first word of a binding's bits.
    pub(crate) fn touch_base(&self, binding: usize) -> u32 {
        self.touch_bases[binding] as u32
    }

    /// What a record says.
    pub(crate) fn read(&self, record: &[u32]) -> ProbeReport {
        let ends = self.touch_bases.iter().skip(1).copied().chain([self.words]);
        let touched = (self.touch_bases.iter().zip(ends))
            .map(|(&base, end)| {
                let mut touched = Touched::default();
                for (index, &word) in record[base as usize..end as usize].iter().enumerate() {
                    let mut rest = word;
                    while rest != 0 {
                        let bit = rest.trailing_zeros();
                        rest &= rest - 1;
                        let pages = if bit & 1 == 0 {
                            &mut touched.reads
                        } else {
                            &mut touched.writes
                        };
                        pages.push(index as u32 * PAGES_PER_WORD as u32 + bit / 2);
                    }
                }
                touched
            })
            .collect();
        ProbeReport {
            stopped: record[0] != 0,
            touched,
        }
    }
}

impl WgpuDevice {
    pub(crate) fn width(&self, launch: &Launch) -> usize {
        self.attached("probe_width").map_or(1, |attached| {
            Layout::new(launch, &attached.geometry).width()
        })
    }

    pub(crate) fn run_probe(
        &self,
        launch: &Launch,
        boxes: &[GridBox],
    ) -> Result<Vec<ProbeReport>, DeviceError> {
        let attached = self.attached("probe")?;
        let geometry = &attached.geometry;
        let kernel = self.kernel_of(launch)?;
        let entry = kernel.entry();
        check(entry, launch, geometry)?;
        let all: Vec<usize> = (0..entry.storage.len()).collect();
        let pages = pages_of(launch, geometry, &all);
        let bindings = ways(entry, launch, geometry, &all, self.only_window(&pages)?);
        let windows = windows_for(&bindings, self.window_count());
        let variant = Variant {
            mode: Mode::Probe,
            page_shift: geometry.page.shift(),
            windows,
            bindings,
        };
        let compiled = kernel.compiled(variant)?;
        let layout = Layout::new(launch, geometry);
        let params = layout.params(entry, launch, geometry);
        let bounds = Bounds::of(self);
        let mut reports = Vec::with_capacity(boxes.len());
        for boxes in boxes.chunks(layout.width()) {
            let record = |index: usize| FIRST_RECORD + index as u64 * layout.words;
            let recorded = Recorded {
                compiled: compiled.get(),
                values: launch.values.clone(),
                resources: kernel.resources(),
                storage: entry.storage.len(),
                grid: launch.grid,
                tail: params.clone(),
                boxes: (boxes.iter().enumerate())
                    .map(|(index, &part)| (part, record(index) as u32))
                    .collect(),
                words: record(boxes.len()),
                label: self.label(&entry.name, true),
            };
            let (pace, pages) = (kernel.probe_pace(), pages.clone());
            let (_, found) = self.thread().call(move |gpu| {
                gpu.cover_pages(&pages)?;
                gpu.cover_report(recorded.words)?;
                recorded.run(gpu, &pace, bounds)
            })?;
            let records = found[FIRST_RECORD as usize..].chunks_exact(layout.words as usize);
            reports.extend(records.map(|record| layout.read(record)));
        }
        Ok(reports)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_bit_by_bit() {
        let layout = Layout {
            touch_bases: vec![1, 3],
            words: 4,
        };
        let report = layout.read(&[1, 0b01 | 0b11 << 30, 0b10, 0b01 << 4]);
        assert!(report.stopped);
        assert_eq!(
            report.touched[0],
            Touched {
                reads: vec![0, 15],
                writes: vec![15, 16]
            }
        );
        assert_eq!(
            report.touched[1],
            Touched {
                reads: vec![2],
                writes: vec![]
            }
        );
        assert_eq!(layout.width(), 64);
        assert_eq!(
            Layout {
                touch_bases: vec![1],
                words: 1 << 18
            }
            .width(),
            4
        );
        assert_eq!(
            Layout {
                touch_bases: vec![1],
                words: 1 << 30
            }
            .width(),
            1
        );
    }
}
