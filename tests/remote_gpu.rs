//! Workgroups that need more than all of the device memory, on every adapter: where kernels reach the host's memory, with what
//! they lack in remote frames and the result that the CPU has, and elsewhere refused, with memory as before.

mod adapters;
mod common;
mod skipped;

use std::sync::Arc;

use gmem::gpu::{AdapterChoice, WgpuOptions};
use gmem::{Builder, DeviceChoice, Error, Gmem, LaunchReport, Vector};
use gmem_runtime::{LaunchError, Placement};

const PAGE: u64 = 4096;
/// Words of a page.
const WORDS: u32 = 1024;
/// Frames of device memory: a sixteenth of what a workgroup touches.
const FRAMES: u64 = 16;
/// Lanes of a workgroup, each of which looks at a page of its own.
const LANES: u32 = 256;
const GROUPS: u32 = 4;

fn builder(adapter: &AdapterChoice) -> Builder {
    builder_of(adapter, PAGE, FRAMES)
}

/// A space with so many frames of so many bytes.
fn builder_of(adapter: &AdapterChoice, page: u64, frames: u64) -> Builder {
    Gmem::builder()
        .device(DeviceChoice::Gpu(adapter.clone()))
        .device_memory(frames * page + 256)
        .page_size(page)
}

fn vector(gm: &Gmem, words: impl Iterator<Item = u32>) -> Vector<u32> {
    let words: Vec<u32> = words.collect();
    let mut vector = gm.alloc::<u32>(words.len()).unwrap();
    vector.copy_from_slice(&words);
    vector
}

fn datum(i: u32) -> u32 {
    i.wrapping_mul(2_654_435_761)
}

/// Where a lane looks: in another page, of so many words, than any other lane of its workgroup.
fn index(i: u32, words: u32) -> u32 {
    let (group, lane) = (i / LANES, i % LANES);
    (lane * 37 + group * 11) % LANES * words + (group * 131 + lane * 7) % words
}

/// A kernel with what it is bound to, and what that is afterwards.
struct Job {
    name: &'static str,
    source: String,
    memory: Vec<Vec<u32>>,
    wanted: Vec<Vec<u32>>,
    /// Pages that each of its workgroups touches.
    pages: u64,
}

/// Over pages of so many words, found by a probe, by attempts, and without running anything.
fn jobs(words: u32) -> [Job; 3] {
    let all = LANES * GROUPS;
    let data: Vec<u32> = (0..LANES * words).map(datum).collect();
    let places: Vec<u32> = (0..all).map(|i| index(i, words)).collect();
    let mut drawn = data.clone();
    let mut strode = data.clone();
    for i in 0..all {
        drawn[index(i, words) as usize] ^= i + 1;
        strode[((i % LANES) * words + i / LANES) as usize] += i;
    }
    let gathered = places.iter().map(|&at| datum(at)).collect();
    [
        Job {
            name: "gather",
            source: "
                @group(0) @binding(0) var<storage, read> places: array<u32>;
                @group(0) @binding(1) var<storage, read> data: array<u32>;
                @group(0) @binding(2) var<storage, read_write> found: array<u32>;
                @compute @workgroup_size(256) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
                    found[id.x] = data[places[id.x]];
                }"
            .to_owned(),
            memory: vec![places.clone(), data.clone(), vec![0; all as usize]],
            wanted: vec![places.clone(), data.clone(), gathered],
            pages: u64::from(LANES) + 2,
        },
        Job {
            name: "draw",
            source: "
                @group(0) @binding(0) var<storage, read> places: array<u32>;
                @group(0) @binding(1) var<storage, read_write> data: array<u32>;
                @group(0) @binding(2) var<storage, read_write> drawn: atomic<u32>;
                @compute @workgroup_size(256) fn main() {
                    let number = atomicAdd(&drawn, 1u);
                    let at = places[number];
                    data[at] = data[at] ^ (number + 1u);
                }"
            .to_owned(),
            memory: vec![places.clone(), data.clone(), vec![0]],
            wanted: vec![places, drawn, vec![all]],
            pages: u64::from(LANES) + 2,
        },
        Job {
            name: "stride",
            source: "
                @group(0) @binding(0) var<storage, read_write> data: array<u32>;
                @compute @workgroup_size(256)
                fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3<u32>) {
                    data[lane * WORDSu + group.x] += group.x * 256u + lane;
                }"
            .replace("WORDS", &words.to_string()),
            memory: vec![data],
            wanted: vec![strode],
            pages: u64::from(LANES),
        },
    ]
}

/// What became of a job, and what its memory holds then.
fn run(gm: &Gmem, job: &Job) -> (Result<LaunchReport, Error>, Vec<Vec<u32>>) {
    let kernel = gm.kernel(job.source.as_str()).unwrap();
    let mut memory: Vec<Vector<u32>> = (job.memory.iter())
        .map(|words| vector(gm, words.iter().copied()))
        .collect();
    let mut launch = kernel.launch([GROUPS, 1, 1]);
    for (info, memory) in kernel.storage().iter().zip(&mut memory) {
        launch = launch.bind(&info.name, memory);
    }
    let result = launch.run();
    // Before the CPU has touched anything.
    let (frames, bytes) = gm.stats().devices[0];
    assert_eq!(bytes.remote, 0, "{}: {bytes:?}", job.name);
    assert!(u64::from(frames.total()) * gm.geometry().page.bytes() <= bytes.windows);
    gm.check().unwrap();
    let found = memory.iter().map(|vector| vector.to_vec()).collect();
    (result, found)
}

#[track_caller]
fn same(found: &[Vec<u32>], wanted: &[Vec<u32>], what: &str) {
    for (b, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        let wrong = (0..wanted.len()).find(|&i| found[i] != wanted[i]);
        assert_eq!(wrong, None, "{what}: binding {b}");
    }
}

/// Checks a job in a space that may have what it needs.
fn check(gm: &Gmem, job: &Job, what: &str) {
    let device = gm.device(0).unwrap();
    let own = u64::from(device.info().max_frames);
    let remote = u64::from(device.info().remote_frames);
    let before = gm.stats().counts;
    let (result, found) = run(gm, job);
    let counts = gm.stats().counts.since(&before);
    if own + remote < job.pages {
        let error = result.unwrap_err();
        let text = error.to_string();
        assert!(
            matches!(
                error,
                Error::Launch(LaunchError::FootprintTooLarge { capacity, remote: told, .. })
                    if (capacity, told) == (own, remote)
            ),
            "{what}: {text}"
        );
        assert!(text.contains(device.info().remote_limit), "{what}: {text}");
        same(&found, &job.memory, what);
        assert_eq!(counts.passes, 0, "{what}");
        return;
    }
    let report = result.unwrap_or_else(|e| panic!("{what}: {e}"));
    same(&found, &job.wanted, what);
    assert_eq!(report.remote_bytes, (job.pages - own) * PAGE, "{what}");
    // Workgroups that look at the same pages may share a pass.
    let attempted = job.name == "draw";
    let passes = counts.remote_passes;
    assert_eq!(passes, report.passes, "{what}");
    assert!(
        (1..=u64::from(GROUPS)).contains(&passes),
        "{what}: {passes}"
    );
    assert_eq!(
        counts.attempted_passes,
        if attempted { passes } else { 0 },
        "{what}"
    );
}

#[test]
fn what_does_not_fit_is_found_in_remote_frames_or_refused() {
    for adapter in adapters::adapters() {
        for job in jobs(WORDS) {
            let what = format!("{adapter}, {}", job.name);
            let gm = builder(&adapter).build().unwrap();
            let info = gm.device(0).unwrap().info().clone();
            if info.remote_frames == 0 {
                skipped::skipped(format_args!("{what}: {}", info.remote_limit));
            }
            check(&gm, &job, &what);
            // And again, with everything compiled.
            check(&gm, &job, &what);
            let (_, bytes) = gm.stats().devices[0];
            assert!(bytes.peak_windows <= FRAMES * PAGE + 256, "{what}");
            let gpu = gm.device(0).unwrap().gpu().unwrap().remote_memory();
            assert!(bytes.peak_remote <= gpu, "{what}: {bytes:?}");
        }
    }
}

#[test]
fn what_is_not_allowed_is_not_taken() {
    for adapter in adapters::adapters() {
        for bytes in [0, 100 * PAGE, 200 * PAGE] {
            for job in jobs(WORDS) {
                let gm = builder(&adapter).remote_memory(bytes).build().unwrap();
                let frames = gm.device(0).unwrap().info().remote_frames;
                assert!(u64::from(frames) * PAGE <= bytes);
                check(&gm, &job, &format!("{adapter}, {}, {bytes}", job.name));
                let peak = gm.stats().devices[0].1.peak_remote;
                assert!(peak <= bytes, "{adapter}: {peak} bytes of {bytes}");
            }
        }
    }
}

#[test]
fn a_workgroup_reaches_several_windows_of_both_kinds() {
    for adapter in adapters::adapters() {
        for job in jobs(WORDS) {
            let gm = Gmem::builder()
                .device(DeviceChoice::None)
                .placement(Placement::Scattered)
                .page_size(PAGE)
                .build()
                .unwrap();
            let gpu = gmem::gpu::open(&WgpuOptions {
                adapter: adapter.clone(),
                device_memory: Some(100 * PAGE + 2 * 256),
                window_bytes: Some(64 * PAGE + 256),
                ..WgpuOptions::default()
            })
            .unwrap();
            let device = gm.attach_gpu(Arc::clone(&gpu)).unwrap();
            let what = format!("{adapter}, {}, several windows", job.name);
            check(&gm, &job, &what);
            if device.info().remote_frames > 0 {
                let peak = gm.stats().devices[0].1.peak_remote;
                assert!(peak > 2 * (64 * PAGE + 256), "{what}: {peak} bytes");
            }
        }
    }
}

#[test]
fn what_fits_has_no_remote_frames_even_after_what_did_not() {
    for adapter in adapters::adapters() {
        let gm = builder(&adapter).build().unwrap();
        for job in jobs(WORDS) {
            let _ = run(&gm, &job);
        }
        let before = gm.stats().counts;
        let kernel = gm
            .kernel(
                "@group(0) @binding(0) var<storage, read_write> x: array<u32>;
                @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) { x[id.x] += 1u; }",
            )
            .unwrap();
        let mut x = vector(&gm, 0..40 * WORDS);
        let report = kernel
            .launch([40 * WORDS / 64, 1, 1])
            .bind("x", &mut x)
            .run()
            .unwrap();
        assert!(x.iter().zip(1..).all(|(x, i)| *x == i), "{adapter}");
        let counts = gm.stats().counts.since(&before);
        assert_eq!((report.remote_bytes, counts.remote_passes), (0, 0));
        assert!(report.passes > 1, "{adapter}: {report:?}");
    }
}

#[test]
fn pieces_of_large_pages_are_enough_where_they_fit() {
    const LARGE: u64 = 64 << 10;
    let jobs = jobs((LARGE / 4) as u32);
    for adapter in adapters::adapters() {
        for job in &jobs {
            let what = format!("{adapter}, {}", job.name);
            // A sixteenth of each page, and a few pieces that lanes touched by mistake.
            let gm = builder_of(&adapter, LARGE, 18)
                .remote_memory(0)
                .build()
                .unwrap();
            let (result, found) = run(&gm, job);
            let report = result.unwrap_or_else(|e| panic!("{what}: {e}"));
            same(&found, &job.wanted, &what);
            let counts = gm.stats().counts;
            assert_eq!(counts.piece_passes, u64::from(GROUPS), "{what}: {report:?}");
            assert_eq!(counts.attempted_passes, report.passes, "{what}");
            let there: u64 = counts.host_to_device.iter().sum();
            assert!(there < 8 << 20, "{what}: {there} bytes went there");
            // With room for half of that nothing has happened, or remote frames were found.
            let gm = builder_of(&adapter, LARGE, 8).build().unwrap();
            let remote = gm.device(0).unwrap().info().remote_frames > 0;
            let (result, found) = run(&gm, job);
            assert_eq!(result.is_ok(), remote, "{what}: {result:?}");
            same(
                &found,
                if remote { &job.wanted } else { &job.memory },
                &what,
            );
            assert_eq!(gm.stats().counts.piece_passes, 0, "{what}");
        }
    }
}
