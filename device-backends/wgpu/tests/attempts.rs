//! Attempts on every adapter: what is missing, what is touched, loops that end, and frames copied to frames. That attempts with all
//! pages give what the original gives is compared in `corpus.rs`.

mod support;

use std::sync::Arc;

use gmem_hal::{
    Attempt, AttemptReport, ByteRange, CopyRun, Device, DeviceError, FrameCopy, FrameIndex,
    GridBox, HostMemory, Kernel, Launch, PageEntry, PageSize, Translation,
};
use gmem_wgpu::{WgpuDevice, WgpuKernel};
use support::{Bench, PAGE, devices, frames, launch, seeded, words};

fn attempt(
    device: &WgpuDevice,
    launch: &Launch,
    pages: &[PageEntry],
) -> Result<AttemptReport, DeviceError> {
    device.attempt(&Attempt {
        launch,
        boxes: &[GridBox::whole(launch.grid)],
        translations: &vec![Translation::Paged; launch.bound.len()],
        page: PageSize::new(PAGE).unwrap(),
        pages,
    })
}

fn compiled(device: &Arc<WgpuDevice>, source: &str) -> Arc<dyn Kernel> {
    WgpuKernel::compile(device, source, None, &[]).unwrap()
}

/// Binding `b` of so many pages each, one after another.
fn bound(pages: &[u64]) -> Vec<ByteRange> {
    let mut at = 0;
    let place = |&pages: &u64| {
        let range = ByteRange::new(at, pages * PAGE);
        at += pages * PAGE;
        range
    };
    pages.iter().map(place).collect()
}

#[test]
fn an_attempt_tells_hits_and_misses_page_by_page() {
    let source = "
        @group(0) @binding(0) var<storage, read> at: array<u32>;
        @group(0) @binding(1) var<storage, read_write> x: array<atomic<u32>>;
        @group(0) @binding(2) var<storage, read_write> out: array<u32>;
        @compute @workgroup_size(4) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            out[id.x * 1024u] = atomicAdd(&x[at[id.x]], 10u) + 7u;
        }";
    for device in devices(1 << 20, None) {
        let mut bench = Bench::new(Arc::clone(&device), PageSize::new(PAGE).unwrap(), 1 << 20);
        let kernel = compiled(&device, source);
        let bound = bound(&[1, 4, 4]);
        bench.host.write_bytes(0, &seeded(5, 9 * PAGE as usize));
        bench
            .host
            .write_bytes(0, &words([3 * 1024, 1024 + 5, 3 * 1024, 5000]));
        bench.host.write_bytes(PAGE, &vec![0; 4 * PAGE as usize]);
        for (b, range) in bound.iter().enumerate() {
            bench.place_scattered(*range, true, b as u64);
        }
        let launch = launch(&kernel, &bound, &[], [1, 1, 1]);
        let of = |b: usize, pages: &[u64]| -> Vec<PageEntry> {
            let first = bound[b].offset / PAGE;
            let all = bench.grants(bound[b], b > 0);
            let wanted = |entry: &PageEntry| pages.contains(&(entry.page - first));
            all.into_iter().filter(wanted).collect()
        };
        // All that it could store to is there, but not what it loads: the zeroes lead to page 0.
        let report = attempt(&device, &launch, &[of(1, &[1, 2, 3]), of(2, &[1])].concat()).unwrap();
        assert!(report.missed);
        assert_eq!(report.touched[0].reads, [0]);
        assert_eq!(report.touched[1].writes, [0]);
        assert_eq!(report.touched[2].writes, [0, 1, 2, 3]);
        // What it stored in page 1 of `out` is what a dropped atomic gave.
        let home = |bench: &mut Bench| {
            bench.evict_all();
            let got = bench.read(ByteRange::new(0, 9 * PAGE));
            for (b, range) in bound.iter().enumerate() {
                bench.place_scattered(*range, true, b as u64 + 7);
            }
            got
        };
        let got = home(&mut bench);
        let word = |got: &[u8], at: u64| {
            u32::from_le_bytes(got[at as usize..at as usize + 4].try_into().unwrap())
        };
        assert_eq!(word(&got, 6 * PAGE), 7);
        assert_eq!(
            got[5 * PAGE as usize..6 * PAGE as usize],
            seeded(5, 9 * PAGE as usize)[5 * PAGE as usize..6 * PAGE as usize]
        );
        assert!(
            got[PAGE as usize..5 * PAGE as usize]
                .iter()
                .all(|b| *b == 0)
        );
        // With the index, and one of the pages for reading only.
        let of = |b: usize, pages: &[u64], writable: bool| -> Vec<PageEntry> {
            let first = bound[b].offset / PAGE;
            let all = bench.grants(bound[b], writable);
            let wanted = |entry: &PageEntry| pages.contains(&(entry.page - first));
            all.into_iter().filter(wanted).collect()
        };
        let some = [of(0, &[0], false), of(1, &[1], true), of(1, &[3], false)].concat();
        let report = attempt(&device, &launch, &some).unwrap();
        assert!(report.missed);
        assert_eq!(report.touched[1].writes, [1, 3]);
        let all = [
            of(0, &[0], false),
            of(1, &[1, 3], true),
            of(2, &[0, 1, 2, 3], true),
        ]
        .concat();
        let report = attempt(&device, &launch, &all).unwrap();
        assert!(!report.missed, "{report:?}");
        assert_eq!(report.touched[1].writes, [1, 3]);
        // The index 5000 is out of bounds, which is no miss.
        let got = home(&mut bench);
        assert_eq!(word(&got, 8 * PAGE), 7);
        assert_eq!(word(&got, PAGE + 3 * PAGE), 20);
        // Twice: the attempt before this one had the page, and nobody undid it.
        assert_eq!(word(&got, PAGE + PAGE + 20), 20);
    }
}

#[test]
fn loops_end_that_wait_for_what_is_not_there() {
    let source = "
        @group(0) @binding(0) var<storage, read> next: array<u32>;
        @group(0) @binding(1) var<storage, read_write> out: array<u32>;
        var<workgroup> again: u32;
        fn last(start: u32) -> u32 {
            var at = start;
            while at != 0xffffu { at = next[at]; }
            return at;
        }
        @compute @workgroup_size(32)
        fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
            var sum = last(id.x);
            loop {
                if lane == 0u { again = next[0]; }
                if workgroupUniformLoad(&again) != 0u { break; }
                sum += 1u;
            }
            out[id.x] = sum;
        }";
    for device in devices(1 << 20, None) {
        let mut bench = Bench::new(Arc::clone(&device), PageSize::new(PAGE).unwrap(), 1 << 20);
        let kernel = compiled(&device, source);
        let bound = bound(&[2, 1]);
        bench.host.write_bytes(
            0,
            &words((0..2048).map(|i| if i % 31 == 30 { 0xffff } else { i + 1 })),
        );
        for range in &bound {
            bench.place_scattered(*range, true, 3);
        }
        let launch = launch(&kernel, &bound, &[], [8, 1, 1]);
        let report = attempt(&device, &launch, &[]).unwrap();
        assert!(report.missed);
        assert_eq!(report.touched[0].reads, [0]);
        let out = bench.grants(bound[1], true);
        assert!(attempt(&device, &launch, &out).unwrap().missed);
        let all = [bench.grants(bound[0], false), out].concat();
        assert!(!attempt(&device, &launch, &all).unwrap().missed);
        bench.evict_all();
        assert_eq!(
            bench.read(ByteRange::new(2 * PAGE, 4 * 256)),
            words([0xffff; 256])
        );
    }
}

#[test]
fn frames_are_copied_within_windows_and_between_them() {
    for device in devices(3 << 20, Some(300 * PAGE + 256)) {
        let bench = Bench::new(Arc::clone(&device), PageSize::new(PAGE).unwrap(), 2 << 20);
        assert!(bench.windows.len() > 1);
        let other = bench.windows[1].first.0;
        let bytes = seeded(8, 280 * PAGE as usize);
        bench.host.write_bytes(0, &bytes);
        let run = |first, n| CopyRun {
            offset: 0,
            frames: frames(first, n),
        };
        device.upload(&[run(0, 140)], &bench.host).unwrap();
        let copy = |from, to| FrameCopy {
            from: FrameIndex(from),
            to: FrameIndex(to),
        };
        // More than the scratch holds, each frame several times, forwards and backwards; and some to another window.
        let mut copies: Vec<FrameCopy> = (0..390)
            .map(|i| match i {
                0..260 => copy((i + i / 130) % 140, 150 + i % 130),
                _ => copy(i - 260, 279 - (i - 260)),
            })
            .collect();
        copies.extend((0..10).map(|i| copy(130 + i, other + 3 * i)));
        device.copy_frames(&copies).unwrap();
        // The last ones count.
        for copy in copies.split_off(260) {
            device.download(&[run(copy.to.0, 1)], &bench.host).unwrap();
            let at = copy.from.0 as usize * PAGE as usize;
            let got = bench.read(ByteRange::new(0, PAGE));
            assert_eq!(got, bytes[at..at + PAGE as usize], "{copy:?}");
        }
    }
}

#[test]
fn a_kernel_that_must_run_in_one_piece_is_not_cut_into_dispatches() {
    let source = "
        @group(0) @binding(0) var<storage, read_write> turn: array<atomic<u32>>;
        @compute @workgroup_size(1) fn main(@builtin(workgroup_id) group: vec3<u32>) {
            loop { if atomicLoad(&turn[0]) == group.x { break; } }
            atomicStore(&turn[0], group.x + 1u);
        }";
    for device in devices(1 << 20, None) {
        let mut bench = Bench::new(Arc::clone(&device), PageSize::new(PAGE).unwrap(), 1 << 20);
        let kernel = compiled(&device, source);
        let reason = kernel.waits().expect("it waits").to_owned();
        assert!(
            reason.contains("`turn`") && reason.contains("line 4"),
            "{reason}"
        );
        let range = ByteRange::new(0, PAGE);
        bench.place_scattered(range, true, 1);
        let most = 65_535;
        let launch = launch(&kernel, &[range], &[], [most + 1, 1, 1]);
        let result = bench.run(&launch, &[Translation::Paged]);
        assert!(
            matches!(&result, Err(DeviceError::Unsupported { reason }) if reason.contains("one piece")),
            "{result:?}"
        );
        bench.evict_all();
        assert_eq!(bench.read(range), vec![0; PAGE as usize]);
    }
}
