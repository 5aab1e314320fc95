//! What the tests share: the devices of this machine, seeded bytes, and a placement by hand that stands in for the manager.
#![allow(dead_code)]

#[path = "../../../../tests/skipped/mod.rs"]
mod skipped;

use std::sync::Arc;

use gmem_hal::{
    Attempt, ByteRange, CopyRun, Device, DeviceError, FrameIndex, FrameRun, Geometry, GridBox,
    HostMemory, Kernel, Launch, PageEntry, PageSize, Pass, PassReport, PlainHost, ProbeReport,
    Translation, Window,
};
use gmem_wgpu::{
    AdapterChoice, BackendName, PlainError, PlainRunner, WgpuDevice, WgpuOptions, open,
};

#[allow(unused_imports)] // Not every test skips something of its own.
pub use skipped::skipped;

pub const PAGE: u64 = 4 << 10;

/// Opens every backend that this machine has and `GMEM_TEST_ADAPTER` allows; says so where there is none.
pub fn devices(device_memory: u64, window_bytes: Option<u64>) -> Vec<Arc<WgpuDevice>> {
    let only = std::env::var("GMEM_TEST_ADAPTER").unwrap_or_default();
    let mut out = Vec::new();
    let here = gmem_wgpu::adapters();
    for backend in BackendName::ALL {
        let exists = here.iter().any(|a| a.backend == backend.name());
        if !exists || (!only.is_empty() && only != backend.name()) {
            continue;
        }
        let options = WgpuOptions {
            adapter: AdapterChoice::Backend(backend),
            device_memory: Some(device_memory),
            window_bytes,
            ..WgpuOptions::default()
        };
        match open(&options) {
            Ok(device) => out.push(device),
            Err(error) => skipped(format_args!("{}: {error}", backend.name())),
        }
    }
    if out.is_empty() {
        skipped("no adapter to test with");
    }
    out
}

/// Bytes that depend on a seed alone (xorshift64*).
pub fn seeded(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        out.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    out.truncate(bytes);
    out
}

pub fn frames(first: u32, frames: u32) -> FrameRun {
    FrameRun::new(FrameIndex(first), frames)
}

/// A space with a device whose windows all exist, and its pages placed by hand.
pub struct Bench {
    pub device: Arc<WgpuDevice>,
    pub host: PlainHost,
    pub geometry: Geometry,
    pub windows: Vec<Window>,
    /// Frames of all windows that are free, in order.
    free: Vec<u32>,
    resident: Vec<(u64, u32)>,
}

impl Bench {
    pub fn new(device: Arc<WgpuDevice>, page: PageSize, space: u64) -> Self {
        let host = PlainHost::new(space);
        let geometry = Geometry {
            base: host.base(),
            len: host.len(),
            page,
        };
        let info = device.attach(geometry).unwrap();
        let mut windows = Vec::new();
        let mut have = 0;
        while have < info.max_frames {
            let window = device.grow(info.max_frames - have).unwrap();
            assert_eq!(window.first.0, windows.len() as u32 * info.window_frames);
            have += window.frames;
            windows.push(window);
        }
        assert_eq!(have, info.max_frames);
        assert!(matches!(
            device.grow(1),
            Err(DeviceError::OutOfMemory { .. })
        ));
        let free = windows
            .iter()
            .flat_map(|w| w.first.0..w.first.0 + w.frames)
            .collect();
        Self {
            device,
            host,
            geometry,
            windows,
            free,
            resident: Vec::new(),
        }
    }

    /// Pages of a range.
    pub fn pages(&self, range: ByteRange) -> std::ops::Range<u64> {
        self.geometry.pages_of(range)
    }

    /// Makes a range resident in one run of frames.
    pub fn place_run(&mut self, range: ByteRange, writable: bool) -> FrameRun {
        self.place_run_from(range, writable, 0)
    }

    /// As `place_run`, in a window from `window` on.
    pub fn place_run_from(&mut self, range: ByteRange, writable: bool, window: usize) -> FrameRun {
        let pages = self.pages(range);
        let n = (pages.end - pages.start) as usize;
        let window_frames = self.windows.get(1).map_or(u32::MAX, |w| w.first.0);
        let at = (0..self.free.len().saturating_sub(n - 1)).find(|&i| {
            let (first, last) = (self.free[i], self.free[i + n - 1]);
            last - first == n as u32 - 1
                && first / window_frames == last / window_frames
                && first / window_frames >= window as u32
        });
        let at = at.expect("the test's device has room for the run");
        let run = frames(self.free[at], n as u32);
        self.free.drain(at..at + n);
        self.enter(pages, (run.first.0..).take(n).collect(), writable);
        run
    }

    /// Makes a range resident in frames all over the windows.
    pub fn place_scattered(&mut self, range: ByteRange, writable: bool, seed: u64) {
        self.place_scattered_in(range, writable, seed, 0..u32::MAX);
    }

    /// As `place_scattered`, in some of the frames.
    pub fn place_scattered_in(
        &mut self,
        range: ByteRange,
        writable: bool,
        seed: u64,
        frames: std::ops::Range<u32>,
    ) {
        let pages = self.pages(range);
        let mut state = seed | 1;
        let (mut among, others): (Vec<u32>, Vec<u32>) =
            self.free.iter().partition(|f| frames.contains(f));
        let chosen = pages.clone().map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let at = (state >> 33) as usize % among.len();
            among.swap_remove(at)
        });
        let chosen: Vec<u32> = chosen.collect();
        self.free = others;
        self.free.extend(among);
        self.free.sort_unstable();
        self.enter(pages, chosen, writable);
    }

    fn enter(&mut self, pages: std::ops::Range<u64>, chosen: Vec<u32>, writable: bool) {
        let page = self.geometry.page.bytes();
        let runs: Vec<CopyRun> = (pages.clone().zip(&chosen))
            .map(|(p, &f)| CopyRun {
                offset: p * page,
                frames: frames(f, 1),
            })
            .collect();
        self.device.upload(&runs, &self.host).unwrap();
        let entries: Vec<PageEntry> = (pages.clone().zip(&chosen))
            .map(|(page, &f)| PageEntry {
                page,
                frame: Some((FrameIndex(f), writable)),
            })
            .collect();
        self.device.set_entries(&entries).unwrap();
        self.resident.extend(pages.zip(chosen));
    }

    /// The resident pages of a range, as an attempt is granted them.
    pub fn grants(&self, range: ByteRange, writable: bool) -> Vec<PageEntry> {
        let frame_of = |page: u64| self.resident.iter().find(|r| r.0 == page).map(|r| r.1);
        self.pages(range)
            .filter_map(|page| {
                Some(PageEntry {
                    page,
                    frame: Some((FrameIndex(frame_of(page)?), writable)),
                })
            })
            .collect()
    }

    /// Copies everything home and takes all translations away.
    pub fn evict_all(&mut self) {
        let page = self.geometry.page.bytes();
        let mut resident = std::mem::take(&mut self.resident);
        resident.sort_unstable();
        let runs: Vec<CopyRun> = resident
            .iter()
            .map(|&(p, f)| CopyRun {
                offset: p * page,
                frames: frames(f, 1),
            })
            .collect();
        self.device.download(&runs, &self.host).unwrap();
        let entries: Vec<PageEntry> = resident
            .iter()
            .map(|&(page, _)| PageEntry { page, frame: None })
            .collect();
        self.device.set_entries(&entries).unwrap();
        self.free.extend(resident.into_iter().map(|(_, f)| f));
        self.free.sort_unstable();
    }

    /// Frees all frames after a check that failed half-way.
    pub fn forget(&mut self) {
        if !self.resident.is_empty() {
            self.evict_all();
        }
    }

    /// The bytes of a range, from wherever they are valid.
    pub fn read(&self, range: ByteRange) -> Vec<u8> {
        let mut out = vec![0; range.len as usize];
        self.host.read_bytes(range.offset, &mut out);
        out
    }

    pub fn run(
        &self,
        launch: &Launch,
        translations: &[Translation],
    ) -> Result<PassReport, DeviceError> {
        let boxes = [GridBox::whole(launch.grid)];
        self.device.run(&Pass {
            launch,
            boxes: &boxes,
            translations,
        })
    }

    pub fn probe(
        &self,
        launch: &Launch,
        boxes: &[GridBox],
    ) -> Result<Vec<ProbeReport>, DeviceError> {
        self.device.probe(launch, boxes)
    }
}

/// The translation of a whole binding that lies in one run.
pub fn slid(geometry: &Geometry, bound: ByteRange, run: FrameRun) -> Translation {
    let skip = bound.offset % geometry.page.bytes();
    Translation::Slid {
        slice: ByteRange::new(0, bound.len),
        frames: run,
        skip,
    }
}

pub fn launch(
    kernel: &Arc<dyn Kernel>,
    bound: &[ByteRange],
    values: &[Vec<u8>],
    grid: [u32; 3],
) -> Launch {
    Launch {
        kernel: Arc::clone(kernel),
        bound: bound.to_vec(),
        values: values.to_vec(),
        grid,
        reach: Vec::new(),
    }
}

/// One kernel with its data.
pub struct Case {
    pub name: String,
    pub source: String,
    /// The first contents of each storage binding.
    pub data: Vec<Vec<u8>>,
    pub values: Vec<Vec<u8>>,
    pub grid: [u32; 3],
    /// For each binding, where not empty, which bytes are compared: what a store does to padding is a driver's own matter.
    pub masks: Vec<Vec<bool>>,
}

impl Case {
    pub fn new(
        name: &str,
        source: &str,
        data: Vec<Vec<u8>>,
        values: Vec<Vec<u8>>,
        grid: [u32; 3],
    ) -> Self {
        Self {
            name: name.to_owned(),
            source: source.to_owned(),
            data,
            values,
            grid,
            masks: Vec::new(),
        }
    }
}

pub fn words(values: impl IntoIterator<Item = u32>) -> Vec<u8> {
    values.into_iter().flat_map(u32::to_le_bytes).collect()
}

/// Small odd multiples of 1/16: sums and products of a few are exact and never a negative zero, so any order of
/// operations and any contraction gives the same.
pub fn floats(seed: u64, n: usize) -> Vec<u8> {
    let raw = seeded(seed, n);
    raw.into_iter()
        .flat_map(|b| (f32::from(i16::from(b) * 2 - 255) / 16.0).to_le_bytes())
        .collect()
}

pub fn indices(seed: u64, n: usize, below: u32) -> Vec<u8> {
    let raw = seeded(seed, n * 4);
    words(
        raw.chunks_exact(4)
            .map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]]) % below),
    )
}

/// How the bindings of a case are found.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    Slid,
    Paged,
    /// Paged, and all pages in the last window that has room for them; anywhere if none has.
    Last,
    /// Every other binding.
    Mixed,
    /// In attempts: first those that miss pages, then one that has all.
    Checked,
}

/// The original's results.
pub fn plain(device: &Arc<WgpuDevice>, case: &Case) -> Result<Vec<Vec<u8>>, PlainError> {
    let mut buffers = case.data.clone();
    let runner = PlainRunner::new(device);
    let timing = runner.run(
        &case.source,
        None,
        &[],
        &mut buffers,
        &case.values,
        case.grid,
        1,
    )?;
    assert_eq!(timing.seconds.len(), 1);
    Ok(buffers)
}

/// Lays the bindings out in the space, each a little way into its first page, between bytes that must not change.
pub fn lay_out(bench: &Bench, data: &[Vec<u8>]) -> Vec<ByteRange> {
    bench
        .host
        .write_bytes(0, &seeded(99, bench.geometry.len as usize));
    let mut at = 0;
    let mut bound = Vec::new();
    for (i, bytes) in data.iter().enumerate() {
        let range = ByteRange::new(at + 256 * (i as u64 % 3 + 1), bytes.len() as u64);
        bench.host.write_bytes(range.offset, bytes);
        bound.push(range);
        at = (range.end() + 512).next_multiple_of(PAGE);
    }
    bound
}

/// The whole space as it should be after a run that left `results` in the bindings.
pub fn expected(bench: &Bench, bound: &[ByteRange], results: &[Vec<u8>]) -> Vec<u8> {
    let mut all = seeded(99, bench.geometry.len as usize);
    for (range, bytes) in bound.iter().zip(results) {
        all[range.offset as usize..range.end() as usize].copy_from_slice(bytes);
    }
    all
}

/// Attempts boxes: with no page, and with some that may only be read, nothing happens; with all of them everything does.
fn attempt(bench: &Bench, launch: &Launch, boxes: &[GridBox], translations: &[Translation]) {
    let grant = |some: bool| -> Vec<PageEntry> {
        let used = launch.bound.iter().zip(launch.kernel.bindings());
        used.flat_map(|(&range, used)| bench.grants(range, used.writes && !some))
            .filter(|entry| !some || entry.page % 2 == 0)
            .collect()
    };
    let attempt = |pages: &[PageEntry], translations: &[Translation]| {
        let report = bench.device.attempt(&Attempt {
            launch,
            boxes,
            translations,
            page: bench.geometry.page,
            pages,
        });
        report.unwrap()
    };
    let paged = vec![Translation::Paged; launch.bound.len()];
    let missed = attempt(&[], &paged);
    assert_eq!(
        missed.missed,
        missed
            .touched
            .iter()
            .any(|t| !t.reads.is_empty() || !t.writes.is_empty()),
        "{}",
        launch.kernel.name()
    );
    attempt(&grant(true), &paged);
    let done = attempt(&grant(false), translations);
    assert!(!done.missed, "{}: {:?}", launch.kernel.name(), done.touched);
}

pub fn check(
    bench: &mut Bench,
    kernel: &Arc<dyn Kernel>,
    case: &Case,
    way: Way,
    results: &[Vec<u8>],
) {
    let bound = lay_out(bench, &case.data);
    let geometry = bench.geometry;
    let paged = |i: usize| match way {
        Way::Slid => false,
        Way::Paged | Way::Last => true,
        Way::Mixed => i.is_multiple_of(2),
        Way::Checked => !i.is_multiple_of(3),
    };
    let mut translations = vec![Translation::Paged; bound.len()];
    let pages = bound.iter().map(|&range| bench.pages(range));
    let needed: u64 = pages.map(|p| p.end - p.start).sum();
    let last = bench
        .windows
        .iter()
        .rfind(|w| u64::from(w.frames) >= needed);
    let last = last.map_or(0..u32::MAX, |w| w.first.0..w.first.0 + w.frames);
    // Runs before scattered pages, which leave none.
    for scattered in [false, true] {
        for (i, (&range, used)) in bound
            .iter()
            .zip(kernel.bindings())
            .enumerate()
            .filter(|(i, _)| paged(*i) == scattered)
        {
            if scattered {
                let seed = i as u64 + 17;
                match way {
                    Way::Last => {
                        bench.place_scattered_in(range, used.writes, seed, last.clone());
                    }
                    _ => bench.place_scattered(range, used.writes, seed),
                }
            } else {
                let run = bench.place_run_from(range, used.writes, i % bench.windows.len());
                translations[i] = slid(&geometry, range, run);
            }
        }
    }
    let launch = launch(kernel, &bound, &case.values, case.grid);
    // In several boxes and two passes, as a manager does.
    let boxes = GridBox::whole(case.grid).split(4);
    let (first, rest) = boxes.split_at(1);
    for boxes in [first, rest] {
        if matches!(way, Way::Checked) && !boxes.is_empty() {
            attempt(bench, &launch, boxes, &translations);
        } else if !boxes.is_empty() {
            let report = bench.device.run(&Pass {
                launch: &launch,
                boxes,
                translations: &translations,
            });
            assert!(report.unwrap().seconds > 0.0);
        }
    }
    bench.evict_all();
    let got = bench.read(ByteRange::new(0, geometry.len));
    let mut want = expected(bench, &bound, results);
    for (range, mask) in bound.iter().zip(&case.masks) {
        for at in (0..mask.len()).filter(|&at| !mask[at]) {
            let at = range.offset as usize + at;
            want[at] = got[at];
        }
    }
    if let Some(at) = got.iter().zip(&want).position(|(a, b)| a != b) {
        panic!(
            "{} {way:?} on {}: byte {at:#x} of the space is {:#x}, not {:#x}; bindings at {bound:x?}",
            case.name,
            bench.device.adapter().backend,
            got[at],
            want[at]
        );
    }
}
