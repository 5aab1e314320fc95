//! What translation costs: SAXPY slid and paged against plain wgpu, interleaved in one run.
//!
//!     cargo run --release -p gmem-wgpu --example saxpy [elements]

use std::sync::Arc;

use gmem_hal::{
    ByteRange, CopyRun, Device, FrameIndex, FrameRun, Geometry, GridBox, HostMemory, Launch,
    PageEntry, PageSize, Pass, PlainHost, Translation,
};
use gmem_wgpu::{AdapterChoice, BackendName, PlainKernel, WgpuKernel, WgpuOptions, adapters, open};

const SOURCE: &str = "
struct P { a: f32, n: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> p: P;
@compute @workgroup_size(256) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    if i >= p.n { return; }
    y[i] = p.a * x[i] + y[i];
}";

/// The median and the least.
fn summary(mut times: Vec<f64>) -> [f64; 2] {
    times.sort_by(f64::total_cmp);
    [times[times.len() / 2], times[0]]
}

fn main() {
    // Plain wgpu has 65,535 workgroups of 256 in one dispatch.
    let elements: u64 = std::env::args()
        .nth(1)
        .and_then(|a| a.parse().ok())
        .unwrap_or(65_535 * 256);
    let bytes = elements * 4;
    let grid = [elements.div_ceil(256) as u32, 1, 1];
    let page = PageSize::default();
    let pages = bytes.div_ceil(page.bytes());
    let here = adapters();
    for backend in [BackendName::Vulkan, BackendName::Gl] {
        let Some(adapter) = here.iter().find(|a| a.backend == backend.name()) else {
            continue;
        };
        // One window, or where they do not fit one, each array in its own.
        let one = pages * page.bytes() + 256;
        let fits = 2 * one <= adapter.limits.storage_binding_bytes;
        let options = WgpuOptions {
            adapter: AdapterChoice::Backend(backend),
            device_memory: Some(2 * one),
            window_bytes: (!fits).then_some(one),
            ..WgpuOptions::default()
        };
        let Ok(device) = open(&options) else {
            println!("{}: no adapter", backend.name());
            continue;
        };
        let host = PlainHost::new(2 * pages * page.bytes());
        let geometry = Geometry {
            base: host.base(),
            len: host.len(),
            page,
        };
        let info = device.attach(geometry).expect("attaches");
        let mut windows = vec![device.grow(u32::MAX).expect("grows")];
        while windows.iter().map(|w| w.frames).sum::<u32>() < info.max_frames {
            windows.push(device.grow(u32::MAX).expect("grows"));
        }
        // Both in one window, or each in its own.
        let second = windows.get(1).map_or(pages as u32, |w| w.first.0);
        let frames = [
            FrameRun::new(FrameIndex(0), pages as u32),
            FrameRun::new(FrameIndex(second), pages as u32),
        ];
        for (index, &run) in frames.iter().enumerate() {
            let first = index as u64 * pages;
            device
                .upload(
                    &[CopyRun {
                        offset: first * page.bytes(),
                        frames: run,
                    }],
                    &host,
                )
                .expect("uploads");
            let entries: Vec<PageEntry> = (0..run.frames)
                .map(|i| PageEntry {
                    page: first + u64::from(i),
                    frame: Some((FrameIndex(run.first.0 + i), true)),
                })
                .collect();
            device.set_entries(&entries).expect("enters");
        }

        let values = vec![[0.5f32.to_le_bytes(), (elements as u32).to_le_bytes()].concat()];
        let kernel = WgpuKernel::compile(&device, SOURCE, None, &[]).expect("compiles");
        let plain =
            PlainKernel::prepare(&device, SOURCE, None, &[], &[bytes, bytes], &values, grid)
                .expect("prepares");
        let bound = vec![
            ByteRange::new(0, bytes),
            ByteRange::new(pages * page.bytes(), bytes),
        ];
        let launch = Launch {
            kernel: Arc::clone(&kernel),
            bound: bound.clone(),
            values,
            grid,
            reach: Vec::new(),
        };
        let slid = frames.map(|frames| Translation::Slid {
            slice: ByteRange::new(0, bytes),
            frames,
            skip: 0,
        });
        let boxes = [GridBox::whole(grid)];
        let run = |translations: &[Translation]| {
            device
                .run(&Pass {
                    launch: &launch,
                    boxes: &boxes,
                    translations,
                })
                .expect("runs")
                .seconds
        };
        let paged = [Translation::Paged, Translation::Paged];
        let mut times = [Vec::new(), Vec::new(), Vec::new()];
        for round in 0..12 {
            let (a, b) = (plain.dispatch_and_wait().expect("runs"), run(&slid));
            let c = run(&paged);
            // The first round compiles.
            if round > 0 {
                times.iter_mut().zip([a, b, c]).for_each(|(t, s)| t.push(s));
            }
        }
        let [plain, one_run, table] = times.map(summary);
        println!(
            "{} ({} windows, {elements} elements): plain {:.2} ms, slid x{:.2}, paged x{:.2} (of the least: {:.2}, {:.2})",
            backend.name(),
            windows.len(),
            plain[0] * 1e3,
            one_run[0] / plain[0],
            table[0] / plain[0],
            one_run[1] / plain[1],
            table[1] / plain[1]
        );
        // The least launch there is, warm.
        let tiny = Launch {
            grid: [1, 1, 1],
            ..launch.clone()
        };
        let one = [GridBox::whole([1, 1, 1])];
        let start = std::time::Instant::now();
        for _ in 0..200 {
            device
                .run(&Pass {
                    launch: &tiny,
                    boxes: &one,
                    translations: &slid,
                })
                .expect("runs");
        }
        println!(
            "{}: a warm launch takes {:.0} us",
            backend.name(),
            start.elapsed().as_secs_f64() * 1e6 / 200.0
        );
    }
}
