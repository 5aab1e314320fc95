//! Remote windows on adapters that have them, and copies and attempts in pieces of pages on all.

mod support;

use std::sync::Arc;

use gmem_hal::{
    Attempt, ByteRange, CopyRun, Device, DeviceError, FrameIndex, GridBox, HostMemory, PageEntry,
    PageSize, Pass, Translation,
};
use gmem_wgpu::WgpuKernel;
use support::{Bench, PAGE, devices, frames, launch, seeded, skipped, words};

const REVERSE: &str = "
    @group(0) @binding(0) var<storage, read> x: array<u32>;
    @group(0) @binding(1) var<storage, read_write> y: array<u32>;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
        y[id.x] = x[arrayLength(&x) - 1u - id.x];
    }";

fn entry(page: u64, frame: u32, writable: bool) -> PageEntry {
    PageEntry {
        page,
        frame: Some((FrameIndex(frame), writable)),
    }
}

fn page_words(bytes: &[u8]) -> Vec<u32> {
    let (words, _) = bytes.as_chunks::<4>();
    words.iter().map(|w| u32::from_le_bytes(*w)).collect()
}

#[test]
fn kernels_reach_remote_frames_beside_a_devices_own() {
    for device in devices(4 * PAGE + 256, None) {
        let page = PageSize::new(PAGE).unwrap();
        let bench = Bench::new(Arc::clone(&device), page, 1 << 20);
        let before = device.bytes();
        assert_eq!((before.remote, before.peak_remote), (0, 0));
        if device.remote_memory() == 0 {
            let none = device.grow_remote(1);
            assert!(
                matches!(none, Err(DeviceError::OutOfMemory { .. })),
                "{none:?}"
            );
            device.drop_remote().unwrap();
            skipped(format_args!(
                "{}: no remote memory",
                device.adapter().backend
            ));
            continue;
        }
        let kernel: Arc<dyn gmem_hal::Kernel> =
            WgpuKernel::compile(&device, REVERSE, None, &[]).unwrap();
        for round in 0..3 {
            let window = device.grow_remote(5).unwrap();
            assert_eq!(window.frames, 5);
            let own = device.grow(1);
            assert!(
                matches!(own, Err(DeviceError::OutOfMemory { .. })),
                "{own:?}"
            );
            let bytes = device.bytes();
            assert_eq!(
                (bytes.windows, bytes.remote),
                (before.windows, 5 * PAGE + 256)
            );
            // Pages 0 to 3 are loaded from, 4 to 7 stored to: each second one in a remote frame.
            bench.host.write_bytes(0, &seeded(round, 8 * PAGE as usize));
            let frame = |page: u64| match page % 2 {
                0 => page as u32 / 2,
                _ => window.first.0 + 4 - page as u32 / 2,
            };
            let runs: Vec<CopyRun> = (0..8)
                .map(|page| CopyRun {
                    offset: page * PAGE,
                    frames: frames(frame(page), 1),
                })
                .collect();
            device.upload(&runs, &bench.host).unwrap();
            let entries: Vec<PageEntry> = (0..8).map(|p| entry(p, frame(p), p >= 4)).collect();
            device.set_entries(&entries).unwrap();
            let bound = [
                ByteRange::new(0, 4 * PAGE),
                ByteRange::new(4 * PAGE, 4 * PAGE),
            ];
            let launch = launch(&kernel, &bound, &[], [64, 1, 1]);
            let pass = Pass {
                launch: &launch,
                boxes: &[GridBox::whole([64, 1, 1])],
                translations: &[Translation::Paged, Translation::Paged],
            };
            device.run(&pass).unwrap();
            device.download(&runs, &bench.host).unwrap();
            let mut found = vec![0; 8 * PAGE as usize];
            bench.host.read_bytes(0, &mut found);
            let mut wanted = page_words(&seeded(round, 8 * PAGE as usize));
            let back: Vec<u32> = wanted[..4096].iter().rev().copied().collect();
            wanted[4096..].copy_from_slice(&back);
            assert!(page_words(&found) == wanted, "{}", device.adapter().backend);
            let gone: Vec<PageEntry> = (0..8).map(|page| PageEntry { page, frame: None }).collect();
            device.set_entries(&gone).unwrap();
            device.drop_remote().unwrap();
            assert_eq!(device.bytes().remote, 0);
            // What is in no window is no longer to be reached.
            assert!(device.upload(&runs[1..2], &bench.host).is_err());
        }
        assert_eq!(device.bytes().peak_remote, 5 * PAGE + 256);
    }
}

#[test]
fn pages_are_copied_and_attempted_in_pieces() {
    const LARGE: u64 = 64 << 10;
    let (large, size) = (PageSize::new(LARGE).unwrap(), PageSize::MIN);
    let each = (LARGE / size.bytes()) as u32;
    for device in devices(2 * (3 * LARGE + 256), Some(3 * LARGE + 256)) {
        let bench = Bench::new(Arc::clone(&device), large, 4 << 20);
        assert_eq!(bench.windows.len(), 2);
        let second = bench.windows[1].first.0 * each;
        let source = "
            @group(0) @binding(0) var<storage, read> at: array<u32>;
            @group(0) @binding(1) var<storage, read_write> x: array<u32>;
            @compute @workgroup_size(8) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
                x[at[id.x]] += 1u + id.x;
            }";
        let kernel: Arc<dyn gmem_hal::Kernel> =
            WgpuKernel::compile(&device, source, None, &[]).unwrap();
        // The second binding begins in the midst of a page, and not at a piece.
        let bound = [
            ByteRange::new(16, 32),
            ByteRange::new(LARGE + 5 * 4096 + 256, 20 * LARGE),
        ];
        let places: Vec<u32> = (0..8).map(|lane| lane * 40_000 + 3).collect();
        bench.host.write_bytes(0, &seeded(3, 23 * LARGE as usize));
        bench.host.write_bytes(16, &words(places.iter().copied()));
        let launch = launch(&kernel, &bound, &[], [1, 1, 1]);
        let attempt = |pages: &[PageEntry]| {
            let done = device.attempt(&Attempt {
                launch: &launch,
                boxes: &[GridBox::whole([1, 1, 1])],
                translations: &[Translation::Paged, Translation::Paged],
                page: size,
                pages,
            });
            done.unwrap()
        };
        let missed = attempt(&[]);
        assert!(missed.missed);
        assert_eq!(missed.touched[0].reads, [0]);
        // One piece of each place, in slots all over both windows, the last of a frame among them.
        let piece = |word: u32| (bound[1].offset + u64::from(word) * 4) / 4096;
        let slots: Vec<u32> = (0..8)
            .map(|i| [0, second][i % 2] + 15 + 3 * (i as u32 / 2))
            .collect();
        let mut pages = vec![entry(0, 9, false)];
        pages.extend(
            (places.iter().zip(&slots)).map(|(&word, &slot)| entry(piece(word), slot, true)),
        );
        let runs: Vec<CopyRun> = (pages.iter())
            .map(|e| CopyRun {
                offset: e.page * 4096,
                frames: frames(e.frame.unwrap().0.0, 1),
            })
            .collect();
        device.upload_pieces(size, &runs, &bench.host).unwrap();
        let missed = attempt(&pages[..5]);
        assert!(missed.missed);
        let first = bound[1].offset / 4096;
        let wanted: Vec<u32> = places.iter().map(|&w| (piece(w) - first) as u32).collect();
        assert_eq!(missed.touched[1].writes, wanted);
        device.upload_pieces(size, &runs, &bench.host).unwrap();
        let done = attempt(&pages);
        assert!(!done.missed);
        assert_eq!(
            (&done.touched[0].reads, &done.touched[1].writes),
            (&vec![0], &wanted)
        );
        device
            .download_pieces(size, &runs[1..], &bench.host)
            .unwrap();
        let mut wanted = seeded(3, 23 * LARGE as usize);
        wanted[16..48].copy_from_slice(&words(places.iter().copied()));
        for (lane, &word) in (0_u32..).zip(&places) {
            let at = bound[1].offset as usize + word as usize * 4;
            let was = u32::from_le_bytes(wanted[at..at + 4].try_into().unwrap());
            wanted[at..at + 4].copy_from_slice(&(was.wrapping_add(1 + lane)).to_le_bytes());
        }
        let mut found = vec![0; wanted.len()];
        bench.host.read_bytes(0, &mut found);
        let wrong = (0..found.len()).find(|&i| found[i] != wanted[i]);
        assert_eq!(wrong, None, "{}", device.adapter().backend);
    }
}
