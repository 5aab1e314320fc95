//! The cap on device memory and the bytes that are reported, against every buffer that wgpu was asked for: a ledger kept
//! from the trace of the one place that makes buffers, with sizes as wgpu has them.

mod adapters;
mod command;
mod skipped;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use gmem::gpu::{
    AdapterChoice, BufferEvent, BufferPurpose, BufferTrace, OpenError, WgpuDevice, WgpuOptions,
    open,
};
use gmem::hal::{Device, DeviceBytes, DeviceError};
use gmem::{DeviceChoice, Error, Gmem};

/// The buffers that exist, and the most that ever did.
#[derive(Default)]
struct Ledger {
    live: BTreeMap<u64, BufferEvent>,
    most_windows: u64,
    most_remote: u64,
    made: u64,
    /// What was wrong: said by the test, since a panic in the device's thread only loses the device.
    wrong: Vec<String>,
}

impl Ledger {
    fn sum(&self, of: impl Fn(&BufferEvent) -> bool) -> u64 {
        self.live.values().filter(|b| of(b)).map(|b| b.size).sum()
    }

    fn bytes(&self, purpose: BufferPurpose) -> u64 {
        self.sum(|b| b.purpose == purpose)
    }

    /// As the device should count them.
    fn count(&self) -> DeviceBytes {
        DeviceBytes {
            windows: self.bytes(BufferPurpose::Window),
            tables: self.bytes(BufferPurpose::Table),
            staging: self.bytes(BufferPurpose::Staging),
            peak_windows: self.most_windows,
            remote: self.bytes(BufferPurpose::Remote),
            peak_remote: self.most_remote,
        }
    }

    fn note(&mut self, event: &BufferEvent, cap: u64) {
        if event.made {
            self.made += 1;
            if self.live.insert(event.id, *event).is_some() {
                self.wrong.push(format!("made twice: {event:?}"));
            }
        } else if self
            .live
            .remove(&event.id)
            .map(|b| BufferEvent { made: false, ..b })
            != Some(*event)
        {
            self.wrong
                .push(format!("dropped, but never made: {event:?}"));
        }
        // Frames are in what kernels may be bound to and copies may go to and come from: by usage, whatever it is called.
        // Reports are the only other such buffers.
        let frames = wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_SRC
            | wgpu::BufferUsages::COPY_DST;
        let windows = self.sum(|b| b.label == "a window");
        let remote = event.purpose == BufferPurpose::Remote;
        let holds = event.purpose == BufferPurpose::Window || remote;
        if holds && !event.usage.contains(frames) {
            self.wrong
                .push(format!("a window that cannot hold frames: {event:?}"));
        }
        // What is in the host's memory can be mapped there: no other buffer that kernels reach can.
        let mapped = (wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::MAP_READ) & event.usage;
        if remote != (mapped.bits().count_ones() == 2) {
            self.wrong.push(format!("remote, or not: {event:?}"));
        }
        if (event.label == "a window") != (event.purpose == BufferPurpose::Window) {
            self.wrong
                .push(format!("labelled as something else: {event:?}"));
        }
        if windows > cap {
            self.wrong
                .push(format!("windows of {windows} bytes over a cap of {cap}"));
        }
        self.most_windows = self.most_windows.max(windows);
        self.most_remote = self.most_remote.max(self.bytes(BufferPurpose::Remote));
    }
}

/// Options with a trace into a ledger, which compares itself with the device's own counts at each event.
fn traced(adapter: &AdapterChoice, cap: u64, window: Option<u64>) -> (WgpuOptions, Arc<Traced>) {
    let traced = Arc::new(Traced::default());
    let told = Arc::clone(&traced);
    let trace = BufferTrace::new(move |event| {
        // Let go of after the ledger: it may be the last hold on a device, whose buffers are told of as they go.
        let device = told.device.get().and_then(Weak::upgrade);
        let mut ledger = told.ledger.lock().unwrap();
        ledger.note(event, cap);
        if let Some(device) = &device {
            let (counted, summed) = (device.bytes(), ledger.count());
            if counted != summed {
                ledger.wrong.push(format!(
                    "at {event:?}: counted {counted:?}, summed {summed:?}"
                ));
            }
        }
    });
    let options = WgpuOptions {
        adapter: adapter.clone(),
        device_memory: Some(cap),
        window_bytes: window,
        trace,
        ..WgpuOptions::default()
    };
    (options, traced)
}

#[derive(Default)]
struct Traced {
    ledger: Mutex<Ledger>,
    device: OnceLock<Weak<WgpuDevice>>,
}

impl Traced {
    /// Everything so far was in order, and the device counts now what the buffers sum up to.
    #[track_caller]
    fn agrees(&self, counted: DeviceBytes) {
        let ledger = self.ledger.lock().unwrap();
        assert_eq!(ledger.wrong, Vec::<String>::new());
        assert_eq!(counted, ledger.count());
        let all = ledger.sum(|b| b.purpose != BufferPurpose::Plain);
        assert_eq!(
            counted.windows + counted.remote + counted.tables + counted.staging,
            all,
            "every buffer is counted"
        );
    }

    /// Everything that was made is gone, soon: the thread that tells of a buffer may be the last to hold the device.
    #[track_caller]
    fn is_over(&self) {
        let start = Instant::now();
        while !self.ledger.lock().unwrap().live.is_empty() && start.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
        let ledger = self.ledger.lock().unwrap();
        assert_eq!(ledger.wrong, Vec::<String>::new());
        assert!(ledger.made > 0);
        assert!(ledger.live.is_empty(), "leaked: {:?}", ledger.live);
    }
}

/// For what is let go of on another thread.
const PATIENCE: Duration = Duration::from_secs(10);

const SUM: &str = "
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> y: array<u32>;
@group(0) @binding(2) var<storage, read_write> z: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < arrayLength(&z)) { z[id.x] = z[id.x] + x[id.x] + 3u * y[id.x]; }
}";

const GATHER: &str = "
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> z: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < arrayLength(&z)) { z[id.x] = x[x[id.x] % 512u]; }
}";

/// Works on several times the cap, looking at the bytes after every step.
fn work(gm: &Gmem, traced: &Traced, words: usize) {
    let agrees = || traced.agrees(gm.stats().devices[0].1);
    agrees();
    let (sum, gather) = (gm.kernel(SUM).unwrap(), gm.kernel(GATHER).unwrap());
    let mut x = gm.alloc::<u32>(words).unwrap();
    let mut y = gm.alloc::<u32>(words).unwrap();
    let mut z = gm.alloc::<u32>(words).unwrap();
    for round in 0..2_u32 {
        x.iter_mut().zip(0..).for_each(|(x, i)| *x = i * 7 + round);
        y.iter_mut().zip(0..).for_each(|(y, i)| *y = i ^ 0x55);
        z.fill(round);
        agrees();
        sum.over(words)
            .bind("x", &x)
            .bind("y", &y)
            .bind("z", &mut z)
            .run()
            .unwrap();
        agrees();
        assert!(
            (0..words as u32)
                .zip(&*z)
                .all(|(i, &z)| z == round + (i * 7 + round) + 3 * (i ^ 0x55))
        );
        gather
            .over(words)
            .bind("x", &x)
            .bind("z", &mut z)
            .run()
            .unwrap();
        agrees();
        assert!(
            (0..words as u32)
                .zip(&*z)
                .all(|(i, &z)| z == x[((i * 7 + round) % 512) as usize])
        );
        x.prefetch(&gm.device(0).unwrap()).unwrap();
        agrees();
        y.evict(&gm.device(0).unwrap()).unwrap();
        y.discard().unwrap();
        agrees();
    }
}

#[test]
fn the_cap_and_the_bytes_are_those_of_the_buffers_made() {
    for adapter in adapters::adapters() {
        // (page, cap, the most bytes of a window): no cap is a multiple of a page, and the first is the least that three
        // bindings can do with.
        for (page, cap, window) in [
            (4 << 10, 3 * (4 << 10) + 256, None),
            (4 << 10, (150 << 10) + 777, Some((24 << 10) + 256)),
            (16 << 10, (1 << 20) - 1, Some((200 << 10) + 13)),
            (64 << 10, (1 << 20) + 1, None),
            (
                64 << 10,
                3 * (64 << 10) + 2 * 256 + 100,
                Some(2 * (64 << 10) + 256),
            ),
        ] {
            let (options, traced) = traced(&adapter, cap, window);
            let gpu = open(&options).unwrap();
            traced.device.set(Arc::downgrade(&gpu)).unwrap();
            assert_eq!(gpu.device_memory(), cap);
            let gm = Gmem::builder()
                .device(DeviceChoice::None)
                .page_size(page)
                .build()
                .unwrap();
            let device = gm.attach_gpu(gpu).unwrap();
            // 5 times the cap, in three vectors.
            let words = (5 * cap / 3 / 4) as usize;
            work(&gm, &traced, words);

            let stats = gm.stats();
            let (frames, bytes) = stats.devices[0];
            let windows = traced
                .ledger
                .lock()
                .unwrap()
                .live
                .values()
                .filter(|b| b.label == "a window")
                .count();
            assert!(stats.counts.evictions > 0);
            assert!(
                u64::from(frames.total()) * page <= bytes.windows && bytes.windows <= cap,
                "{adapter}: frames are inside windows, windows under the cap: {stats:?}"
            );
            if window.is_some() {
                assert!(windows >= 2, "{adapter}: {windows} windows");
            } else {
                assert_eq!(windows, 1);
                assert!(
                    cap - bytes.windows < page,
                    "{adapter}: the budget is used: {bytes:?} of {cap}"
                );
            }
            assert_eq!(
                u64::from(device.info().max_frames),
                u64::from(frames.total())
            );
            println!("{adapter}, pages of {page}, cap {cap}: {windows} windows, {bytes:?}");
            drop((gm, device));
            traced.is_over();
        }
    }
}

#[test]
fn remote_windows_are_counted_apart_and_gone_when_a_launch_is_over() {
    const PAGE: u64 = 4096;
    let adapters = adapters::adapters();
    let mut lent = false;
    for adapter in &adapters {
        let (options, traced) = traced(adapter, 8 * PAGE + 256, None);
        let gpu = open(&options).unwrap();
        traced.device.set(Arc::downgrade(&gpu)).unwrap();
        let gm = Gmem::builder()
            .device(DeviceChoice::None)
            .page_size(PAGE)
            .build()
            .unwrap();
        let device = gm.attach_gpu(gpu).unwrap();
        // Each lane of a workgroup is led to a page of its own.
        let words = 64 * PAGE as usize / 4;
        let mut x = gm.alloc::<u32>(words).unwrap();
        x.iter_mut()
            .zip(0_u32..)
            .for_each(|(x, i)| *x = i % 64 * 1024 + 5);
        let mut z = gm.alloc::<u32>(128).unwrap();
        let gather = gm
            .kernel(GATHER.replace("x[x[id.x] % 512u]", "x[x[id.x]]"))
            .unwrap();
        let result = gather.over(128).bind("x", &x).bind("z", &mut z).run();
        let bytes = gm.stats().devices[0].1;
        traced.agrees(bytes);
        assert_eq!(bytes.remote, 0);
        if device.info().remote_frames == 0 {
            skipped::skipped(format_args!("{adapter}: {}", device.info().remote_limit));
            assert!(result.is_err() && bytes.peak_remote == 0);
        } else {
            let report = result.unwrap();
            assert!(z.iter().all(|&z| z == 5 * 1024 + 5));
            assert!(bytes.peak_remote >= report.remote_bytes && report.remote_bytes > 50 * PAGE);
            lent = true;
        }
        drop((x, z, gather, gm, device));
        traced.is_over();
    }
    let vulkan = AdapterChoice::Backend(gmem::gpu::BackendName::Vulkan);
    assert!(lent || !adapters.contains(&vulkan), "{adapters:?}");
}

#[test]
fn a_plain_kernel_is_traced_and_not_counted_as_the_spaces() {
    for adapter in adapters::adapters() {
        let (options, traced) = traced(&adapter, 1 << 20, None);
        let gpu = open(&options).unwrap();
        let sizes = [40_000, 40_000, 40_002];
        let plain =
            gmem::gpu::PlainKernel::prepare(&gpu, SUM, None, &[], &sizes, &[], [1, 1, 1]).unwrap();
        let held = traced.ledger.lock().unwrap().bytes(BufferPurpose::Plain);
        assert_eq!(held, 40_000 + 40_000 + 40_004);
        assert_eq!(gpu.plain_bytes(), held);
        traced.agrees(gpu.bytes());
        assert_eq!(gpu.bytes(), DeviceBytes::default());
        drop((plain, gpu));
        traced.is_over();
    }
}

#[test]
fn a_cap_that_holds_no_page_is_a_typed_error_and_makes_no_window() {
    for adapter in adapters::adapters() {
        for cap in [0, 1, 4096, 4096 + 255] {
            let (options, traced) = traced(&adapter, cap, None);
            let error = open(&options).map(|_| ()).unwrap_err();
            assert!(
                matches!(error, OpenError::Budget { bytes, least } if bytes == cap && least == 4096 + 256),
                "{cap}: {error}"
            );
            assert_eq!(traced.ledger.lock().unwrap().made, 0);
            let built = Gmem::builder()
                .device(DeviceChoice::Gpu(adapter.clone()))
                .device_memory(cap)
                .build();
            assert!(
                matches!(built, Err(Error::Open(OpenError::Budget { .. }))),
                "{cap}"
            );
        }
        // Enough for a small page, not for this one; and windows that hold none.
        for (cap, window) in [
            (4096 + 256, None),
            ((64 << 10) + 255, None),
            (1 << 20, Some((64 << 10) + 255)),
        ] {
            let (options, traced) = traced(&adapter, cap, window);
            let gm = Gmem::builder()
                .device(DeviceChoice::None)
                .page_size(64 << 10)
                .build()
                .unwrap();
            let error = gm
                .attach_gpu(open(&options).unwrap())
                .map(|_| ())
                .unwrap_err();
            let Error::Device(DeviceError::Unsupported { reason }) = &error else {
                panic!("{error:?}")
            };
            assert!(reason.contains("give at least 65792 bytes"), "{reason}");
            let ledger = traced.ledger.lock().unwrap();
            assert_eq!((ledger.made, &ledger.wrong), (0, &vec![]));
        }
    }
}

/// A folder of this test's own.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_command_reports_as_wgpu_bytes_what_the_buffers_of_such_a_run_sum_up_to() {
    let folder = Folder(std::env::temp_dir().join(format!("gmem-caps-{}", std::process::id())));
    std::fs::create_dir_all(&folder.0).unwrap();
    std::fs::write(folder.0.join("k.wgsl"), SUM).unwrap();
    let (words, cap) = (200_000_usize, 300_001);
    for adapter in adapters::adapters() {
        let AdapterChoice::Backend(backend) = adapter else {
            panic!("{adapter}")
        };
        let line = format!(
            "run k.wgsl --grid {} --bind x=zeros:u32:{words} --bind y=zeros:u32:{words} --bind z=zeros:u32:{words} \
             --page-size 16KiB --device-memory {cap} --adapter {} --report report.json",
            words.div_ceil(64),
            backend.name()
        );
        let status = command::gmem()
            .args(line.split_whitespace())
            .current_dir(&folder.0)
            .output()
            .unwrap();
        assert!(status.status.success(), "{status:?}");
        let report = std::fs::read(folder.0.join("report.json")).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap();

        let (options, traced) = traced(&adapter, cap, None);
        let gm = Gmem::builder()
            .device(DeviceChoice::None)
            .page_size(16 << 10)
            .build()
            .unwrap();
        gm.attach_gpu(open(&options).unwrap()).unwrap();
        let kernel = gm.kernel(SUM).unwrap();
        let [mut x, mut y, mut z] = [(); 3].map(|()| gm.alloc::<u32>(words).unwrap());
        kernel
            .over(words)
            .bind("x", &mut x)
            .bind("y", &mut y)
            .bind("z", &mut z)
            .run()
            .unwrap();
        let ledger = traced.ledger.lock().unwrap();
        assert_eq!(ledger.wrong, Vec::<String>::new());
        assert_eq!(
            report["wgpu_bytes"],
            ledger.sum(|_| true),
            "{adapter}: {report} and {:?}",
            ledger.live
        );
        assert_eq!(report["peak_device_bytes"], ledger.most_windows);
        assert_eq!(report["device_memory"], cap);
        assert!(ledger.most_windows <= cap);
    }
}

/// Rust files under a folder, without what stands in them for tests only.
fn sources(folder: &Path, out: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let kept = text
                .split("#[cfg(test)]\nmod tests {")
                .next()
                .unwrap()
                .to_owned();
            out.push((path, kept));
        }
    }
}

#[test]
fn buffers_are_made_in_one_place() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["src", "runtime/src", "shaders/src", "device-backends"] {
        sources(&root.join(folder), &mut found);
    }
    let library = |path: &Path| {
        let path = path.strip_prefix(root).unwrap();
        let tests = path.components().any(|c| {
            ["tests", "examples", "benches"]
                .iter()
                .any(|n| c.as_os_str() == *n)
        });
        // What gmem is compared with has buffers of its own, which are not gmem's.
        let baseline = path.starts_with("src/cli/bench/baseline");
        !tests && !baseline && !path.to_string_lossy().ends_with("_tests.rs")
    };
    found.retain(|(path, _)| library(path));
    assert!(found.len() > 50, "{} sources", found.len());
    // Anything that gives a device memory of its own.
    for maker in [
        "create_buffer",
        "create_texture",
        "create_query_set",
        "DeviceExt",
    ] {
        let makers: Vec<_> = found
            .iter()
            .filter(|(_, text)| text.contains(maker))
            .map(|(path, _)| path.clone())
            .collect();
        let expected = match maker {
            "create_buffer" => vec![root.join("device-backends/wgpu/src/buffers.rs")],
            // Two timestamps a pass, only while a run is traced; what they are resolved to is a buffer like any other.
            "create_query_set" => vec![root.join("device-backends/wgpu/src/clock.rs")],
            _ => Vec::new(),
        };
        assert_eq!(makers, expected, "`{maker}`");
    }
}
