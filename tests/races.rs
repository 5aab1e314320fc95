//! CPU threads and running kernels on the same pages: no torn value, no stale one, no lost count, while pages really move.

mod common;
mod skipped;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::{HostKind, Rng, mechanism};
use gmem_hal::{ByteRange, HostMechanism, Launch, NodeId, PageSize};
use gmem_runtime::policy::{PolicyKind, build};
use gmem_runtime::{AddressSpace, LaunchError, Placement};
use gmem_sim::{SimDevice, SimKernel, SimOptions, SimStop, loads, stores, updates};

/// The `n`-th value of a word: its halves belong together, so that a torn one shows.
fn pattern(word: u64, n: u32) -> u64 {
    u64::from(n) << 32 | u64::from(check(word as u32, n))
}

fn check(word: u32, n: u32) -> u32 {
    (n ^ word.wrapping_mul(0x9e37_79b9)).wrapping_mul(0x85eb_ca6b) ^ 0x5bd1_e995
}

fn is_whole(word: u64, value: u64) -> bool {
    value == 0 || value == pattern(word, (value >> 32) as u32)
}

/// Words of 8 bytes in memory that CPU threads and kernels share. Word `i` belongs to CPU thread `i % 4` for 0 and 1;
/// kernels count in those of 2; nobody changes those of 3.
#[derive(Clone, Copy)]
struct Words {
    at: usize,
    count: u64,
}

impl Words {
    fn get(&self, word: u64) -> &AtomicU64 {
        assert!(word < self.count);
        let at = std::ptr::with_exposed_provenance_mut::<u64>(self.at + word as usize * 8);
        // SAFETY: inside a region that outlives the test's threads, aligned; every access to it from the CPU is atomic.
        unsafe { AtomicU64::from_ptr(at) }
    }

    /// A CPU thread's life: it reads back what it wrote last, always, and looks at others' words for torn values.
    fn live(&self, thread: u64, seed: u64, over: &AtomicBool) -> u64 {
        let mut rng = Rng(seed + thread);
        let mine = self.count / 4;
        let mut written = vec![0u32; mine as usize];
        let mut touches = 0;
        while !over.load(Ordering::Acquire) || touches < 1000 {
            let i = rng.below(mine);
            let word = i * 4 + thread;
            let n = written[i as usize];
            let expected = if n == 0 { 0 } else { pattern(word, n) };
            let found = self.get(word).load(Ordering::Relaxed);
            assert_eq!(found, expected, "thread {thread} reads word {word} back");
            if rng.chance(60) {
                written[i as usize] += 1;
                self.get(word)
                    .store(pattern(word, n + 1), Ordering::Relaxed);
            }
            let other = rng.below(mine) * 4 + (1 - thread);
            let found = self.get(other).load(Ordering::Relaxed);
            assert!(
                is_whole(other, found),
                "thread {thread} sees a torn {found:#x} in word {other}"
            );
            assert_eq!(
                self.get(i * 4 + 3).load(Ordering::Relaxed),
                0,
                "nobody writes word {}",
                i * 4 + 3
            );
            touches += 1;
        }
        for (n, i) in written.iter().zip(0..) {
            let expected = if *n == 0 {
                0
            } else {
                pattern(i * 4 + thread, *n)
            };
            assert_eq!(
                self.get(i * 4 + thread).load(Ordering::Relaxed),
                expected,
                "thread {thread}, at the end"
            );
        }
        touches
    }
}

/// Runs launches one after the other beside two CPU threads, and checks the counts.
/// `launch` runs a kernel once that adds 1 to each counted word and answers with how many torn words it saw.
fn beside_two_threads(words: Words, launches: u64, mut launch: impl FnMut(u64) -> u64) {
    let over = AtomicBool::new(false);
    let mut rng = Rng(launches);
    std::thread::scope(|s| {
        /// Also when a check fails.
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Release);
            }
        }
        let end = End(&over);
        let threads: Vec<_> = (0..2)
            .map(|t| {
                s.spawn({
                    let over = &over;
                    move || words.live(t, launches, over)
                })
            })
            .collect();
        for n in 0..launches {
            assert_eq!(launch(n), 0, "launch {n} saw torn values");
            for _ in 0..20 {
                let word = rng.below(words.count / 4) * 4 + 2;
                assert_eq!(
                    words.get(word).load(Ordering::Relaxed),
                    n + 1,
                    "word {word} after launch {n}"
                );
            }
        }
        drop(end);
        let touches: Vec<u64> = threads
            .into_iter()
            .map(|t| t.join().expect("a thread's checks hold"))
            .collect();
        eprintln!("{launches} launches, {touches:?} touches");
    });
    for i in 0..words.count / 4 {
        assert_eq!(
            words.get(i * 4 + 2).load(Ordering::Relaxed),
            launches,
            "word {}",
            i * 4 + 2
        );
    }
}

/// A space with simulated devices of so many frames each, which take their time.
fn simulated(
    host: HostKind,
    page: u64,
    frames: &[u64],
    latency: Option<u64>,
) -> (AddressSpace, Vec<(NodeId, Arc<SimDevice>)>) {
    let space =
        AddressSpace::new(host.open(16 << 20).unwrap(), PageSize::new(page).unwrap()).unwrap();
    let devices = frames
        .iter()
        .map(|&frames| {
            let device = Arc::new(SimDevice::new(SimOptions {
                capacity_bytes: frames * page,
                window_bytes: 4 * page,
                latency: latency.map(|us| Duration::ZERO..=Duration::from_micros(us)),
                ..SimOptions::default()
            }));
            let policy = build(PolicyKind::Clock, 0);
            let attached = space
                .attach(Arc::clone(&device) as _, policy, Placement::Contiguous)
                .unwrap();
            (attached.node, device)
        })
        .collect();
    (space, devices)
}

/// Adds 1 to the counted words of a piece of memory and counts the torn ones among the CPU's.
fn count_and_look() -> SimKernel {
    SimKernel::new(
        "count_and_look",
        vec![updates("words"), updates("torn")],
        |t| {
            let per_group: u64 = t.value::<u32>(0, 0).into();
            let first = u64::from(t.workgroup()[0]) * per_group;
            for word in first..(first + per_group).min(t.len(0) / 8) {
                let value = t.load::<u64>(0, word * 8)?;
                match word % 4 {
                    2 => t.store(0, word * 8, value + 1)?,
                    3 if value != 0 => drop(t.atomic_add(1, 0, 1)?),
                    0 | 1 if !is_whole(word, value) => drop(t.atomic_add(1, 0, 1)?),
                    _ => {}
                }
            }
            Ok::<(), SimStop>(())
        },
    )
    .with_footprint(|launch, b| {
        use gmem_hal::{BindingFootprint, Footprint};
        let per_group = u64::from(u32::from_le_bytes(
            launch.values[0][..4].try_into().unwrap(),
        )) * 8;
        let (from, len) = (
            u64::from(b.start[0]) * per_group,
            u64::from(b.size[0]) * per_group,
        );
        let end = launch.bound[0].len;
        let piece = || Footprint::Ranges(vec![ByteRange::new(from, len.min(end - from))]);
        let torn = || Footprint::Ranges(vec![ByteRange::new(0, 8)]);
        vec![
            BindingFootprint {
                reads: piece(),
                writes: piece(),
            },
            BindingFootprint {
                reads: torn(),
                writes: torn(),
            },
        ]
    })
}

fn two_threads_and_a_simulated_kernel(mechanism_: HostMechanism) {
    let Some(host) = mechanism(mechanism_) else {
        return;
    };
    let page = 4096;
    // 48 pages of words on devices of 6 and 20 frames: nothing stays where it is.
    let (space, devices) = simulated(host, page, &[6, 20], Some(80));
    let shared = space.allocate(48 * page, 1).unwrap();
    let torn = space.allocate(8, 1).unwrap();
    let words = Words {
        at: shared.va().0 as usize,
        count: 48 * page / 8,
    };
    let kernel: Arc<dyn gmem_hal::Kernel> = Arc::new(count_and_look());
    beside_two_threads(words, 100, |n| {
        let per_group = page as u32 / 8;
        let launch = Launch {
            kernel: Arc::clone(&kernel),
            bound: vec![shared.range(), ByteRange::new(torn.range().offset, 8)],
            values: vec![per_group.to_le_bytes().to_vec()],
            grid: [(words.count as u32).div_ceil(per_group), 1, 1],
            reach: Vec::new(),
        };
        let node = devices[n as usize % 2].0;
        space.launch(node, launch).unwrap().wait().unwrap();
        let torn = Words {
            at: torn.va().0 as usize,
            count: 1,
        };
        torn.get(0).load(Ordering::Relaxed)
    });
    let counts = space.counts();
    assert!(
        counts.evictions > 0 && counts.cpu_faults > 0,
        "pages move: {counts:?}"
    );
    space.check().unwrap();
}

#[test]
fn two_threads_and_a_simulated_kernel_under_userfaultfd() {
    two_threads_and_a_simulated_kernel(HostMechanism::Userfaultfd);
}

#[test]
fn two_threads_and_a_simulated_kernel_under_mprotect() {
    two_threads_and_a_simulated_kernel(HostMechanism::Mprotect);
}

/// A kernel reads through an index that a CPU thread keeps changing: each launch goes by some of the values, and never fails
/// for having been probed with one and run with another.
fn an_index_that_changes_under_a_kernel(mechanism_: HostMechanism) {
    let Some(host) = mechanism(mechanism_) else {
        return;
    };
    let page = 4096;
    let (space, devices) = simulated(host, page, &[9], None);
    let (index, data, out) = (
        space.allocate(2 * page, 1).unwrap(),
        space.allocate(64 * page, 1).unwrap(),
        space.allocate(page, 1).unwrap(),
    );
    let at = |region: &gmem_runtime::Region| Words {
        at: region.va().0 as usize,
        count: region.range().len / 8,
    };
    let (index_words, data_words, out_words) = (at(&index), at(&data), at(&out));
    for word in 0..data_words.count {
        data_words
            .get(word)
            .store(pattern(word, 7), Ordering::Relaxed);
    }
    let groups = 64;
    let gather = SimKernel::new(
        "gather",
        vec![loads("index"), loads("data"), stores("out")],
        |t| {
            let group = u64::from(t.workgroup()[0]);
            // On both pages of the index.
            let at = t.load::<u64>(0, (group % 2) * 4096 + group * 8)?;
            let value = t.load::<u64>(1, at * 8)?;
            t.store(2, group * 16, at)?;
            t.store(2, group * 16 + 8, value)
        },
    );
    let kernel: Arc<dyn gmem_hal::Kernel> = Arc::new(gather);
    let over = AtomicBool::new(false);
    let failed: Result<(), LaunchError> = std::thread::scope(|s| {
        let over = &over;
        s.spawn(move || {
            let mut rng = Rng(1);
            while !over.load(Ordering::Acquire) {
                let group = rng.below(groups);
                let word = (group % 2) * 512 + group;
                index_words
                    .get(word)
                    .store(rng.below(data_words.count), Ordering::Relaxed);
            }
        });
        let result = (0..150).try_for_each(|n| {
            let launch = Launch {
                kernel: Arc::clone(&kernel),
                bound: vec![index.range(), data.range(), out.range()],
                values: vec![],
                grid: [groups as u32, 1, 1],
                reach: Vec::new(),
            };
            space.launch(devices[0].0, launch)?.wait()?;
            for group in 0..groups {
                let (word, value) = (out_words.get(group * 2), out_words.get(group * 2 + 1));
                let (word, value) = (word.load(Ordering::Relaxed), value.load(Ordering::Relaxed));
                assert_eq!(value, pattern(word, 7), "group {group} of launch {n}");
            }
            Ok(())
        });
        over.store(true, Ordering::Release);
        result
    });
    failed.expect("an index may change at any time");
    space.check().unwrap();
}

#[test]
fn an_index_that_changes_under_a_kernel_under_userfaultfd() {
    an_index_that_changes_under_a_kernel(HostMechanism::Userfaultfd);
}

#[test]
fn an_index_that_changes_under_a_kernel_under_mprotect() {
    an_index_that_changes_under_a_kernel(HostMechanism::Mprotect);
}

/// What a GPU does in the same race; `words` are pairs of (low, high) halves.
const COUNT_AND_LOOK: &str = "
    @group(0) @binding(0) var<storage, read_write> words: array<vec2<u32>>;
    @group(0) @binding(1) var<storage, read_write> torn: array<atomic<u32>, 2>;

    fn check(word: u32, n: u32) -> u32 {
        return ((n ^ (word * 0x9e3779b9u)) * 0x85ebca6bu) ^ 0x5bd1e995u;
    }

    @compute @workgroup_size(64)
    fn count_and_look(@builtin(global_invocation_id) id: vec3<u32>) {
        let i = id.x;
        if (i >= arrayLength(&words)) { return; }
        let w = words[i];
        if (i % 4u == 2u) {
            words[i].x = w.x + 1u;
        } else if (any(w != vec2<u32>(0u))) {
            if (i % 4u == 3u || w.x != check(i, w.y)) { atomicAdd(&torn[0], 1u); }
        }
    }";

/// The adapter to test with, unless there is none or `GMEM_TEST_ADAPTER` forbids it.
fn gpu(mechanism: HostMechanism, page: u64, device_memory: u64) -> Option<gmem::Gmem> {
    let only = std::env::var("GMEM_TEST_ADAPTER").unwrap_or_default();
    if only == "none" {
        skipped::skipped("no adapter to test with");
        return None;
    }
    let adapter = only.parse().unwrap_or_default();
    let built = gmem::Gmem::builder()
        .device(gmem::DeviceChoice::Gpu(adapter))
        .host(gmem::host::Choice::Only(mechanism))
        .page_size(page)
        .device_memory(device_memory)
        .build();
    match built {
        Ok(gm) => Some(gm),
        Err(gmem::Error::Open(e)) => {
            skipped::skipped(e);
            None
        }
        Err(e) => panic!("{e}"),
    }
}

fn two_threads_and_a_gpu(mechanism_: HostMechanism) {
    let page = 16 << 10;
    if mechanism(mechanism_).is_none() {
        return;
    }
    let Some(gm) = gpu(mechanism_, page, 8 * page) else {
        return;
    };
    let kernel = gm.kernel(COUNT_AND_LOOK).unwrap();
    let bytes = 40 * page as usize;
    let shared = gm.calloc(1, bytes);
    let torn = gm.calloc(1, 8);
    assert!(!shared.is_null() && !torn.is_null());
    let words = Words {
        at: shared.expose_provenance(),
        count: bytes as u64 / 8,
    };
    let started = std::time::Instant::now();
    beside_two_threads(words, 50, |_| {
        // SAFETY: nobody holds a reference to these bytes; the CPU's accesses to them are atomic, word by word, and
        // the memory is freed after the last launch.
        let launch = unsafe {
            kernel
                .over(words.count as usize)
                .bind_raw("words", shared, bytes)
                .bind_raw("torn", torn, 8)
        };
        launch.run().unwrap();
        Words {
            at: torn.expose_provenance(),
            count: 1,
        }
        .get(0)
        .load(Ordering::Relaxed)
    });
    let counts = gm.stats().counts;
    eprintln!(
        "{:?} with {} passes, {} evictions",
        started.elapsed(),
        counts.passes,
        counts.evictions
    );
    assert!(
        counts.evictions > 0 && counts.cpu_faults > 0,
        "pages move: {counts:?}"
    );
    gm.check().unwrap();
    for p in [shared, torn] {
        // SAFETY: all threads are joined and all launches are over.
        unsafe { gm.free(p) }.unwrap();
    }
}

#[test]
fn two_threads_and_a_gpu_under_userfaultfd() {
    two_threads_and_a_gpu(HostMechanism::Userfaultfd);
}

#[test]
fn two_threads_and_a_gpu_under_mprotect() {
    two_threads_and_a_gpu(HostMechanism::Mprotect);
}

#[test]
fn a_view_waits_for_a_launch_whose_handle_was_leaked_under_every_mechanism() {
    for host in HostKind::available() {
        let HostKind::Real(mechanism) = host else {
            continue;
        };
        let gm = gmem::Gmem::builder()
            .device(gmem::DeviceChoice::None)
            .host(gmem::host::Choice::Only(mechanism))
            .page_size(4096)
            .build()
            .unwrap();
        let slow = SimDevice::new(SimOptions {
            capacity_bytes: 4 * 4096,
            window_bytes: 4096,
            latency: Some(Duration::from_millis(1)..=Duration::from_millis(3)),
            ..SimOptions::default()
        });
        let device = gm.attach_simulated(Arc::new(slow)).unwrap();
        let kernel = gm.kernel_of(&device, Arc::new(count_and_look())).unwrap();
        let mut words = gm.alloc::<u64>(16 * 512).unwrap();
        let mut torn = gm.alloc::<u64>(1).unwrap();
        for n in 1..=3 {
            let launch = kernel
                .launch([16, 1, 1])
                .bind("words", &mut words)
                .bind("torn", &mut torn)
                .value(&512u32);
            std::mem::forget(launch.submit().unwrap());
            // The borrow is over and the launch is not.
            let of_all = words.iter().skip(2).step_by(4);
            assert!(
                of_all.eq(std::iter::repeat_n(&n, 16 * 128)),
                "launch {n} under {mechanism:?}"
            );
            words[5] = pattern(5, n as u32);
        }
        assert_eq!(torn[0], 0);
        assert_eq!(words[5], pattern(5, 3));
    }
}
