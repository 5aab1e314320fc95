//! Bindings of more than 4 GiB, and of more than 16 GiB: sparse ones, touched around the places where a number of bits
//! runs out, and at their ends.

mod field;
mod kinds;
#[path = "../support/mod.rs"]
mod support;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use field::{Field, first};
use gmem_hal::{ByteRange, Device, DeviceError, GridBox, HostMemory, PageSize, Pass, Translation};
use gmem_wgpu::{CompileError, WgpuKernel};
use kinds::{KINDS, Kind};
use support::{devices, launch};

const GIB: u64 = 1 << 30;

/// Runs a kind over a binding of so many bytes that begins so many bytes into its first page, and looks at every byte of
/// every page that it touched.
fn check(
    field: &mut Field,
    kernel: &Arc<dyn gmem_hal::Kernel>,
    kind: &Kind,
    bytes: u64,
    skip: u64,
) {
    let page = field.geometry.page.bytes();
    let what = format!("{} of {bytes:#x} bytes, pages of {page}", kind.name);
    let indices = kind.indices(bytes);
    let elements = bytes / kind.stride;
    let at = ByteRange::new(256, indices.len() as u64 * 4);
    let results = ByteRange::new(page + 64, (indices.len() as u64 + 1) * 4);
    let far = ByteRange::new(7 * page + skip, bytes);
    let groups = indices.len().div_ceil(32) as u32;
    let launch = launch(kernel, &[at, far, results], &[], [groups, 1, 1]);
    let boxes = [GridBox::whole(launch.grid)];
    let mut want: HashMap<u64, u32> = HashMap::new();
    for (i, &index) in indices.iter().enumerate() {
        field.host.set(at.offset + 4 * i as u64, index);
    }

    // What a probe finds: the pages of all elements that there are, and no other.
    field.place(&[0]);
    let touched = &field.device.probe(&launch, &boxes).unwrap()[0];
    assert!(!touched.stopped, "{what}");
    let mut before = BTreeSet::new();
    for (i, &index) in (0..).zip(&indices) {
        let got = if u64::from(index) < elements {
            let start = far.offset + u64::from(index) * kind.stride;
            let old: Vec<u32> = (start..start + kind.stride)
                .step_by(4)
                .map(|at| field.host.word(at))
                .collect();
            let mut new = old.clone();
            let got = (kind.host)(&mut new, i);
            for (k, (old, new)) in (0..).zip(old.iter().zip(&new)) {
                if old != new {
                    want.insert(start + 4 * k, *new);
                    before.insert((start + 4 * k) / page - 7);
                }
            }
            got
        } else {
            0
        };
        want.insert(results.offset + 4 * u64::from(i), got);
    }
    want.insert(results.end() - 4, elements as u32);
    let writes: BTreeSet<u64> = touched.touched[1]
        .writes
        .iter()
        .map(|&p| p.into())
        .collect();
    let reads: BTreeSet<u64> = touched.touched[1].reads.iter().map(|&p| p.into()).collect();
    assert!(
        writes.is_superset(&before),
        "{what}: {before:?} and not {writes:?}"
    );
    for &found in writes.union(&reads) {
        let near = indices.iter().any(|&index| {
            let start = skip + u64::from(index) * kind.stride;
            u64::from(index) < elements
                && start < (found + 1) * page
                && start + kind.stride > found * page
        });
        assert!(near, "{what}: page {found} is no element's");
    }

    let pages: Vec<u64> = writes.union(&reads).map(|p| p + 7).collect();
    field.place(&[1]);
    field.place(&pages);
    let pass = Pass {
        launch: &launch,
        boxes: &boxes,
        translations: &[Translation::Paged; 3],
    };
    field
        .device
        .run(&pass)
        .unwrap_or_else(|e| panic!("{what}: {e}"));
    let resident: Vec<u64> = field.resident.keys().copied().collect();
    let untouched: HashMap<u64, u32> = field.host.0.lock().unwrap().clone();
    field.evict_all();
    for page_number in resident {
        for address in (page_number * page..(page_number + 1) * page).step_by(4) {
            let old = untouched.get(&address).copied();
            let want = want.get(&address).copied().or(old);
            let want = want.unwrap_or_else(|| first(address));
            assert_eq!(
                field.host.word(address),
                want,
                "{what} at byte {:#x} of the binding, {address:#x} of the space",
                address.wrapping_sub(far.offset)
            );
        }
    }
}

fn page(bytes: u64) -> PageSize {
    PageSize::new(bytes).unwrap()
}

/// Lengths in bytes, and bytes before the binding in its first page.
fn every_kind(lengths: &[(u64, u64)], page_bytes: u64) {
    let window = 90 * page_bytes + 256;
    for device in devices(3 * window, Some(window)) {
        let mut field = Field::new(Arc::clone(&device), page(page_bytes));
        for kind in &KINDS {
            let kernel = match WgpuKernel::compile(&device, kind.source(), None, &[]) {
                Ok(kernel) => kernel,
                Err(CompileError::Unsupported { reason, .. }) => {
                    support::skipped(format_args!("{}: {reason}", kind.name));
                    continue;
                }
                Err(error) => panic!("{}: {error}", kind.name),
            };
            for &(bytes, skip) in lengths {
                let most = u64::from(u32::MAX) * kind.stride;
                check(&mut field, &kernel, kind, bytes.min(most), skip);
            }
        }
    }
}

#[test]
fn bindings_over_two_and_four_gib() {
    let lengths = [(3 * GIB + 240, 0), (5 * GIB + 1200, 240)];
    every_kind(&lengths, 4 << 10);
}

/// The last element that an index tells, and words past 32 bits, also where only the binding's place in its first page
/// takes it there.
#[test]
fn bindings_over_sixteen_gib() {
    let lengths = [
        (16 * GIB - 240, 240),
        (16 * GIB - 16, 48),
        (17 * GIB, 0),
        (40 * GIB + 480, 720),
    ];
    every_kind(&lengths, 64 << 10);
}

/// Elements of three 16-bit values: some lie in two pages, and halves of words pass 32 bits at 8 GiB.
#[test]
fn halves_of_words_past_eight_gib() {
    let source = "
enable wgpu_int16;
struct Six { a: u16, b: u16, c: u16 }
@group(0) @binding(0) var<storage, read> at: array<u32>;
@group(0) @binding(1) var<storage, read_write> far: array<Six>;
@group(0) @binding(2) var<storage, read_write> results: array<u32>;
@compute @workgroup_size(32) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    if i == 0u { results[arrayLength(&results) - 1u] = arrayLength(&far); }
    if i >= arrayLength(&at) { return; }
    let j = at[i];
    let six = far[j];
    results[i] = (u32(six.a) << 16u) ^ (u32(six.b) << 8u) ^ u32(six.c);
    far[j].b = u16(i);
}";
    let half = |bytes: &[u8], at: u64| {
        u32::from(u16::from_le_bytes([
            bytes[at as usize],
            bytes[at as usize + 1],
        ]))
    };
    for device in devices(8 << 20, None) {
        let kernel = match WgpuKernel::compile(&device, source, None, &[]) {
            Ok(kernel) => kernel,
            Err(error) => {
                support::skipped(error);
                continue;
            }
        };
        let mut field = Field::new(device, page(4 << 10));
        for bytes in [8 * GIB - 4096, 11 * GIB + 4] {
            let ends = [31, 32, 33].map(|bits| (1_u64 << bits) / 6);
            let near = ends.into_iter().chain([bytes / 6, 4095 / 6]);
            // Not next to each other: each has a word of its own.
            let near: BTreeSet<u64> = near.flat_map(|at| [at - 2, at, at + 2]).collect();
            let indices: Vec<u32> = near.iter().map(|&at| at as u32).collect();
            let n = indices.len() as u64;
            let bound = [
                ByteRange::new(256, 4 * n),
                ByteRange::new(2 * 4096 + 4, bytes),
                ByteRange::new(4096, 4 * n + 4),
            ];
            let launch = launch(&kernel, &bound, &[], [n.div_ceil(32) as u32, 1, 1]);
            let boxes = [GridBox::whole(launch.grid)];
            let mut want = vec![];
            for (i, &index) in (0..).zip(&indices) {
                field.host.set(256 + 4 * i, index);
                let start = bound[1].offset + 6 * u64::from(index);
                let mut six = vec![0; 12];
                field.host.read_bytes(start / 4 * 4, &mut six);
                let six = &six[(start % 4) as usize..];
                want.push(if u64::from(index) < bytes / 6 {
                    half(six, 0) << 16 ^ half(six, 2) << 8 ^ half(six, 4)
                } else {
                    0
                });
            }
            field.place(&[0, 1]);
            let found = field.device.probe(&launch, &boxes).unwrap().remove(0);
            let pages: Vec<u64> = found.touched[1]
                .reads
                .iter()
                .map(|&p| u64::from(p) + 2)
                .collect();
            field.place(&pages);
            let pass = Pass {
                launch: &launch,
                boxes: &boxes,
                translations: &[Translation::Paged; 3],
            };
            field.device.run(&pass).unwrap();
            field.evict_all();
            for (i, &index) in (0..).zip(&indices) {
                let got = field.host.word(4096 + 4 * i);
                assert_eq!(got, want[i as usize], "element {index} of {bytes:#x} bytes");
                let at = bound[1].offset + 6 * u64::from(index) + 2;
                let word = field.host.word(at / 4 * 4).to_le_bytes();
                if u64::from(index) < bytes / 6 {
                    assert_eq!(half(&word, at % 4), i as u32, "element {index}");
                }
            }
            assert_eq!(u64::from(field.host.word(4096 + 4 * n)), bytes / 6);
        }
    }
}

/// Around 4 GiB in one run of frames.
#[test]
fn slices_of_long_bindings_slide() {
    for device in devices(8 << 20, None) {
        let mut field = Field::new(Arc::clone(&device), page(4 << 10));
        for kind in KINDS.iter().filter(|kind| kind.stride < 1000) {
            let kernel = WgpuKernel::compile(&device, kind.source(), None, &[]).unwrap();
            // The second is far.
            for bytes in [10 * GIB, 15 * GIB + (1 << 30) - 4 * kind.stride, 18 * GIB] {
                let bytes = (bytes - bytes % 240).min(u64::from(u32::MAX) * kind.stride);
                let far = ByteRange::new(7 * 4096 + 240, bytes);
                let middle = (4 * GIB).next_multiple_of(240) / kind.stride;
                let indices: Vec<u32> = (0..64).map(|i| (middle - 32 + i) as u32).collect();
                let at = ByteRange::new(256, 256);
                let results = ByteRange::new(4096 + 64, 65 * 4);
                let launch = launch(&kernel, &[at, far, results], &[], [2, 1, 1]);
                let slice = ByteRange::new((middle - 32) * kind.stride, 64 * kind.stride);
                let slice_pages = field.pages(ByteRange::new(far.offset + slice.offset, slice.len));
                let mut wanted = HashMap::new();
                for (i, &index) in (0..).zip(&indices) {
                    field.host.set(at.offset + 4 * u64::from(i), index);
                    let start = far.offset + u64::from(index) * kind.stride;
                    let addresses = (start..start + kind.stride).step_by(4);
                    let mut words: Vec<u32> =
                        addresses.clone().map(|at| field.host.word(at)).collect();
                    wanted.insert(
                        results.offset + 4 * u64::from(i),
                        (kind.host)(&mut words, i),
                    );
                    wanted.extend(addresses.zip(words));
                }
                field.place(&[0, 1]);
                let first_byte = far.offset + slice.offset;
                let Translation::Slid { frames, .. } = field.place_run(slice_pages) else {
                    unreachable!()
                };
                let translations = [
                    Translation::Paged,
                    Translation::Slid {
                        slice,
                        frames,
                        skip: first_byte % 4096,
                    },
                    Translation::Paged,
                ];
                let boxes = [GridBox::whole(launch.grid)];
                let pass = Pass {
                    launch: &launch,
                    boxes: &boxes,
                    translations: &translations,
                };
                field.device.run(&pass).unwrap();
                field.evict_all();
                for (&address, &word) in &wanted {
                    assert_eq!(
                        field.host.word(address),
                        word,
                        "{} of {bytes:#x} bytes at {address:#x}",
                        kind.name
                    );
                }
            }
        }
    }
}

/// Where the table had no entry yet, a lane stops: the table is made to reach there first, since what a device reads behind a
/// buffer's end may be the buffer's last word.
#[test]
fn pages_behind_the_table_stop_a_probe() {
    let source = "
@group(0) @binding(0) var<storage, read> at: array<u32>;
@group(0) @binding(1) var<storage, read_write> results: array<u32>;
@compute @workgroup_size(1) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    results[0] = at[at[at[at[id.x]]]];
}";
    for device in devices(8 << 20, None) {
        let kernel = WgpuKernel::compile(&device, source, None, &[]).unwrap();
        let mut field = Field::new(device, page(4 << 10));
        let bound = [ByteRange::new(8192, 6 * GIB), ByteRange::new(0, 64)];
        // With this one a table of 1024 entries is full to its last.
        let low = 1022_u64;
        let index = (low * 4096 - 8192) / 4;
        let far = (5 * GIB + 64) / 4;
        field.host.set(8192, index as u32);
        field.host.set(low * 4096, far as u32);
        field.host.set(8192 + 5 * GIB + 64, 77);
        let launch = launch(&kernel, &bound, &[], [1, 1, 1]);
        let boxes = [GridBox::whole(launch.grid)];
        field.place(&[2, low]);
        let probe = |field: &Field| field.device.probe(&launch, &boxes).unwrap().remove(0);
        let found = probe(&field);
        let last = ((5 * GIB + 64) / 4096) as u32;
        assert!(found.stopped);
        assert!(field.device.bytes().tables >= 4 * u64::from(last));
        assert_eq!(found.touched[0].reads, [0, low as u32 - 2, last]);
        field.place(&[0, u64::from(last) + 2]);
        assert!(!probe(&field).stopped);
        field.evict_all();
    }
}

#[test]
fn more_elements_than_an_index_tells_are_refused() {
    let kind = &KINDS[0];
    for device in devices(8 << 20, None) {
        let kernel = WgpuKernel::compile(&device, kind.source(), None, &[]).unwrap();
        let mut field = Field::new(device, page(64 << 10));
        field.place(&[0]);
        let bound = |len| {
            [
                ByteRange::new(0, 64),
                ByteRange::new(0, len),
                ByteRange::new(0, 64),
            ]
        };
        let boxes = [GridBox::whole([1, 1, 1])];
        let run = |len| {
            let launch = launch(&kernel, &bound(len), &[], [1, 1, 1]);
            let translations = [Translation::Untouched; 3];
            field.device.run(&Pass {
                launch: &launch,
                boxes: &boxes,
                translations: &translations,
            })
        };
        match run(16 * GIB) {
            Err(DeviceError::Unsupported { reason }) => {
                assert!(
                    reason.contains("bind at most 17179869180 bytes"),
                    "{reason}"
                );
            }
            other => panic!("{other:?}"),
        }
        // Nothing is resident: it strays, but it is taken.
        let other = run(16 * GIB - 1);
        assert!(
            matches!(other, Err(DeviceError::Confined { .. })),
            "{other:?}"
        );
    }
}
