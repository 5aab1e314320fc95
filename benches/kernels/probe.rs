//! A probe against the kernel that it probes, over the same workgroups, with everything resident: so that it is a probe's last
//! round, which visits every access. Both are whole calls of the device, from the host and back.

use std::sync::Arc;

use gmem::gpu::{AdapterChoice, WgpuDevice, WgpuKernel, WgpuOptions, open};
use gmem::hal::{
    ByteRange, CopyRun, Device, FrameIndex, FrameRun, Geometry, GridBox, HostMemory, Kernel,
    Launch, PageEntry, PageSize, Pass, PlainHost, Translation,
};

use crate::common;

const ROUNDS: usize = 15;
/// Elements of each binding.
const N: u32 = 4 << 20;
const LANES: u32 = 64;
const PAGE: u64 = 64 << 10;

/// Three accesses, and no arithmetic to speak of.
const MOVES: &str = "
    @group(0) @binding(0) var<storage, read> index: array<u32>;
    @group(0) @binding(1) var<storage, read> data: array<u32>;
    @group(0) @binding(2) var<storage, read_write> out: array<u32>;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
        out[id.x] = data[index[id.x]];
    }";

/// The same accesses around arithmetic on the value alone.
const COMPUTES: &str = "
    @group(0) @binding(0) var<storage, read> index: array<u32>;
    @group(0) @binding(1) var<storage, read> data: array<u32>;
    @group(0) @binding(2) var<storage, read_write> out: array<u32>;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
        var x = data[index[id.x]];
        for (var i = 0u; i < 100u; i++) { x = (x ^ (x >> 7u)) * 0x9e3779b1u + i; }
        out[id.x] = x;
    }";

fn computed(mut x: u32) -> u32 {
    for i in 0..100 {
        x = (x ^ (x >> 7)).wrapping_mul(0x9e37_79b1).wrapping_add(i);
    }
    x
}

pub fn measure(adapter: &AdapterChoice) {
    let scattered = |i: u32| i.wrapping_mul(0x9e37_79b1) >> 10;
    let near = |i: u32| i;
    for (name, source, value) in [
        ("loads and stores", MOVES, (|x| x) as fn(u32) -> u32),
        ("computes", COMPUTES, computed),
    ] {
        for (how, index) in [
            ("in order", near as fn(u32) -> u32),
            ("at random", scattered),
        ] {
            let bed = Bed::new(adapter, source, index);
            bed.verify(index, value);
            for (what, data) in [
                ("all slid", bed.slid(1)),
                ("data paged", Translation::Paged),
            ] {
                let translations = [bed.slid(0), data, bed.slid(2)];
                common::ratio(
                    &format!("probe: {name} {how}, {what}"),
                    "the kernel",
                    ROUNDS,
                    || common::seconds(|| bed.probe()),
                    || common::seconds(|| bed.run(&translations)),
                );
            }
        }
    }
}

/// A device with one kernel and all its pages.
struct Bed {
    device: Arc<WgpuDevice>,
    host: PlainHost,
    launch: Launch,
}

impl Bed {
    fn new(adapter: &AdapterChoice, source: &str, index: fn(u32) -> u32) -> Self {
        let bytes = u64::from(N) * 4;
        let device = open(&WgpuOptions {
            adapter: adapter.clone(),
            device_memory: Some(3 * bytes + (1 << 20)),
            ..WgpuOptions::default()
        })
        .expect("the adapter opens");
        let host = PlainHost::new(3 * bytes);
        let geometry = Geometry {
            base: host.base(),
            len: host.len(),
            page: PageSize::new(PAGE).expect("it is a power of two"),
        };
        device.attach(geometry).expect("a space is attached");
        let pages = (3 * bytes / PAGE) as u32;
        let window = device.grow(pages).expect("there is room");
        assert!(window.frames >= pages, "the window is too small");
        let words: Vec<u32> = (0..N).map(index).chain((0..N).map(|i| i * 3 + 1)).collect();
        host.write_bytes(0, bytemuck::cast_slice(&words));
        let first = window.first;
        let all = CopyRun {
            offset: 0,
            frames: FrameRun::new(first, pages),
        };
        device.upload(&[all], &host).expect("the data goes there");
        let entries: Vec<PageEntry> = (0..pages)
            .map(|page| PageEntry {
                page: page.into(),
                frame: Some((FrameIndex(first.0 + page), true)),
            })
            .collect();
        device.set_entries(&entries).expect("the table is written");
        let kernel: Arc<dyn Kernel> =
            WgpuKernel::compile(&device, source, None, &[]).expect("the kernel is one");
        let bound = (0..3).map(|i| ByteRange::new(i * bytes, bytes)).collect();
        Self {
            device,
            host,
            launch: Launch {
                kernel,
                bound,
                values: Vec::new(),
                grid: [N / LANES, 1, 1],
                reach: Vec::new(),
            },
        }
    }

    /// A binding as one run of frames: they are in the order of the pages.
    fn slid(&self, binding: u32) -> Translation {
        let bytes = u64::from(N) * 4;
        let pages = (bytes / PAGE) as u32;
        Translation::Slid {
            slice: ByteRange::new(0, bytes),
            frames: FrameRun::new(FrameIndex(binding * pages), pages),
            skip: 0,
        }
    }

    fn run(&self, translations: &[Translation]) {
        let boxes = [GridBox::whole(self.launch.grid)];
        let pass = Pass {
            launch: &self.launch,
            boxes: &boxes,
            translations,
        };
        self.device.run(&pass).expect("the pass runs");
    }

    fn probe(&self) {
        let width = self.device.probe_width(&self.launch);
        let boxes = GridBox::whole(self.launch.grid).split(width);
        let reports = self
            .device
            .probe(&self.launch, &boxes)
            .expect("the probe runs");
        assert!(reports.iter().all(|r| !r.stopped), "all is resident");
    }

    /// The kernel computes what the CPU does, and the probe names the pages that it touches.
    fn verify(&self, index: fn(u32) -> u32, value: fn(u32) -> u32) {
        self.run(&[self.slid(0), Translation::Paged, self.slid(2)]);
        let (bytes, pages) = (u64::from(N) * 4, u64::from(N) * 4 / PAGE);
        let home = CopyRun {
            offset: 2 * bytes,
            frames: FrameRun::new(FrameIndex(2 * pages as u32), pages as u32),
        };
        self.device
            .download(&[home], &self.host)
            .expect("the results come home");
        let mut found = vec![0u32; N as usize];
        self.host
            .read_bytes(2 * bytes, bytemuck::cast_slice_mut(&mut found));
        let wanted = (0..N).map(|i| value(index(i) * 3 + 1));
        assert!(
            found.into_iter().eq(wanted),
            "the kernel computes something else"
        );
        let whole = [GridBox::whole([N / LANES / 4, 1, 1])];
        let report = &self
            .device
            .probe(&self.launch, &whole)
            .expect("the probe runs")[0];
        let quarter: Vec<u32> = (0..pages as u32 / 4).collect();
        let mut data: Vec<u32> = (0..N / 4).map(|i| index(i) / (PAGE as u32 / 4)).collect();
        data.sort_unstable();
        data.dedup();
        assert_eq!(report.touched[0].reads, quarter);
        assert_eq!(report.touched[1].reads, data);
        assert_eq!(report.touched[2].writes, quarter);
    }
}
