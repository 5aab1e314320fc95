//! Recorded runs: what a tracer hears of, and that a replay of a record moves what the run itself moved.

mod adapters;
mod common;
mod skipped;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::Rng;
use common::kernels::{Kind, Shape, kernel};
use gmem::gpu::AdapterChoice;
use gmem::hal::trace::{Recorder, Recording, Tracer, WaitFor, What};
use gmem::replay::{Accesses, Moved, Strategy, accesses, replay};
use gmem::{DeviceChoice, Gmem};
use gmem_hal::{Access, ByteRange, Cause, Launch, NodeId, PageSize, PlainHost};
use gmem_runtime::policy::{PolicyKind, build};
use gmem_runtime::{AddressSpace, LaunchError, Placement, Region};
use gmem_sim::{SimDevice, SimKernel, SimOptions, updates};

const PAGE: u64 = 4096;

/// How a random run is made.
#[derive(Clone, Copy, Debug)]
struct Setup {
    policy: PolicyKind,
    placement: Placement,
    /// Frames of each device.
    frames: &'static [u64],
    seed: u64,
}

/// A space over plain memory with simulated devices, recorded.
struct Run {
    space: AddressSpace,
    devices: Vec<NodeId>,
    recorder: Arc<Recorder>,
}

impl Run {
    fn new(setup: &Setup) -> Self {
        let recorder = Recorder::new();
        let host = Arc::new(PlainHost::new(8 << 20));
        let space = AddressSpace::traced(host, PageSize::MIN, &Tracer::to(&recorder)).unwrap();
        let attach = |&frames: &u64| {
            let device = SimDevice::new(SimOptions {
                capacity_bytes: frames * PAGE,
                window_bytes: 8 * PAGE,
                ..SimOptions::default()
            });
            let policy = build(setup.policy, setup.seed);
            let attached = space.attach(Arc::new(device), policy, setup.placement);
            attached.unwrap().node
        };
        let devices = setup.frames.iter().map(attach).collect();
        Self {
            space,
            devices,
            recorder,
        }
    }

    /// Random launches on random devices, and random accesses of the CPU between them.
    fn play(&self, seed: u64, steps: usize) {
        let rng = &mut Rng(seed);
        let regions: Vec<Arc<Region>> = (0..3)
            .map(|_| self.space.allocate(16 * PAGE, 1).unwrap())
            .collect();
        for _ in 0..steps {
            let region = rng.pick(&regions).range();
            let pages = rng.within(1, 16);
            let first = rng.below(17 - pages);
            let range = ByteRange::new(region.offset + first * PAGE, pages * PAGE);
            let device = *rng.pick(&self.devices);
            match rng.below(12) {
                0 => self.home(range, Access::Read),
                1 => self.home(range, Access::Write),
                2 if rng.chance(30) => self.space.discard(range).unwrap(),
                3 if rng.chance(30) => {
                    self.space.evict(device, range).unwrap().wait().unwrap();
                }
                4 if rng.chance(50) => {
                    self.space.prefetch(device, range).unwrap().wait().unwrap();
                }
                _ => self.launch(device, &regions, rng),
            }
        }
    }

    fn home(&self, range: ByteRange, access: Access) {
        let cause = Cause::UserCopy;
        self.space.bring_home(range, access, cause).unwrap();
    }

    fn launch(&self, device: NodeId, regions: &[Arc<Region>], rng: &mut Rng) {
        // Of attempts, what they save and put back is recorded, and in no replay.
        let kind = *rng.pick(&Kind::ALL.map(|k| if k == Kind::Chain { Kind::Bump } else { k }));
        let first = rng.below(3) as usize;
        let bound = (0..kind.bindings().len()).map(|b| regions[(first + b) % 3].range());
        let shape = Shape {
            chunk: PAGE as u32 / 2,
            stride: PAGE as u32 / 2,
            salt: rng.next() as u32,
            loose: rng.chance(20),
        };
        let launch = Launch {
            kernel: kernel(kind),
            bound: bound.collect(),
            values: vec![shape.to_value()],
            grid: [rng.within(1, 30) as u32, 1, 1],
            reach: Vec::new(),
        };
        match self.space.launch(device, launch).unwrap().wait() {
            // A workgroup that is wider than the device says so before it has changed anything.
            Ok(_)
            | Err(LaunchError::FootprintTooLarge { .. } | LaunchError::MustBeResident { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// What every device did, and what all of them moved as the runtime counted it.
    fn over(self) -> (Vec<Accesses>, Moved) {
        self.space.check().unwrap();
        let counts = self.space.counts();
        let pages = |bytes: &[u64]| bytes.iter().sum::<u64>() / PAGE;
        let counted = Moved {
            fetched: pages(&counts.host_to_device),
            homed: pages(&counts.device_to_host),
            zeroed: counts.zeroed_pages,
            evicted: counts.evictions,
        };
        drop(self.space);
        (accesses(&self.recorder.take()).unwrap(), counted)
    }
}

fn sum(moved: impl Iterator<Item = Moved>) -> Moved {
    moved.fold(Moved::default(), |a, b| Moved {
        fetched: a.fetched + b.fetched,
        homed: a.homed + b.homed,
        zeroed: a.zeroed + b.zeroed,
        evicted: a.evicted + b.evicted,
    })
}

/// Plays a random run and replays it: (what was recorded, what the replay of the same policy moved).
fn recorded_and_replayed(setup: &Setup) -> (Moved, Moved) {
    let run = Run::new(setup);
    run.play(setup.seed, 120);
    let (devices, counted) = run.over();
    let recorded = sum(devices.iter().map(Accesses::recorded));
    assert_eq!(recorded, counted, "the record has all that was counted");
    let replayed = |device: &Accesses| {
        let policy = Strategy::Policy(setup.policy);
        let frames = device.device().frames;
        let replayed = replay(device, frames, policy, setup.seed).unwrap();
        let best = replay(device, frames, Strategy::Belady, 0).unwrap();
        assert!(best.fetched <= replayed.fetched && best.fetched <= device.recorded().fetched);
        assert!(device.widest_pass() <= frames);
        replayed
    };
    (recorded, sum(devices.iter().map(replayed)))
}

const SETUPS: [(PolicyKind, &[u64]); 8] = [
    (PolicyKind::Lru, &[24]),
    (PolicyKind::Lru, &[40]),
    (PolicyKind::Clock, &[24]),
    (PolicyKind::Clock, &[40]),
    (PolicyKind::Random, &[24]),
    (PolicyKind::Random, &[40]),
    (PolicyKind::Lru, &[24, 20]),
    (PolicyKind::Clock, &[24, 20]),
];

#[test]
fn a_replay_of_scattered_frames_moves_exactly_what_the_run_moved() {
    for (policy, frames) in SETUPS {
        for seed in 0..3 {
            let setup = Setup {
                policy,
                placement: Placement::Scattered,
                frames,
                seed,
            };
            let (recorded, replayed) = recorded_and_replayed(&setup);
            assert!(recorded.evicted > 0 && recorded.homed > 0, "{setup:?}");
            assert_eq!(replayed, recorded, "{setup:?}");
        }
    }
}

/// How far a replay may be from a run that also evicted for the sake of contiguous frames, in parts of what it fetched.
const CONTIGUOUS_BOUND: f64 = 0.1;

#[test]
fn a_replay_of_contiguous_frames_moves_about_what_the_run_moved() {
    for (policy, frames) in SETUPS {
        let mut both = (0, 0);
        for seed in 0..3 {
            let setup = Setup {
                policy,
                placement: Placement::Contiguous,
                frames,
                seed,
            };
            let (recorded, replayed) = recorded_and_replayed(&setup);
            both.0 += recorded.fetched;
            both.1 += replayed.fetched;
        }
        let off = both.0.abs_diff(both.1) as f64 / both.0 as f64;
        println!("{policy} on {frames:?}: recorded and replayed {both:?}, {off:.3} off");
        assert!(off <= CONTIGUOUS_BOUND, "{policy} on {frames:?}: {both:?}");
    }
}

fn kinds(recording: &Recording) -> BTreeSet<&'static str> {
    recording.events.iter().map(|e| e.what.kind()).collect()
}

/// Increments every page of a vector on the simulated device; the pages that it touches must be probed for.
fn bump(gm: &Gmem) -> gmem::Kernel {
    let kernel = SimKernel::new("bump", vec![updates("x")], |t| {
        let at = u64::from(t.workgroup()[0]) * PAGE;
        let next = t.load::<u32>(0, at)? + 1;
        t.store(0, at, next)
    });
    let device = gm.device(0).unwrap();
    gm.kernel_of(&device, Arc::new(kernel)).unwrap()
}

/// Touches everything there is to hear of, in 8 pages over a device of 4, and in 6 of them at once.
fn busy(builder: gmem::Builder) -> Gmem {
    let gm = builder
        .device(DeviceChoice::Simulated)
        .device_memory(4 * PAGE)
        .page_size(PAGE)
        .build()
        .unwrap();
    let device = gm.device(0).unwrap();
    let mut x = gm.alloc::<u32>(8 * PAGE as usize / 4).unwrap();
    x[0] = 7;
    bump(&gm).launch([8, 1, 1]).bind("x", &mut x).run().unwrap();
    assert_eq!((x[0], x[PAGE as usize / 4]), (8, 1));
    let wide = SimKernel::new("wide", vec![updates("x")], |t| {
        (0..6).try_for_each(|page| t.atomic_add(0, page * PAGE + 4, 1).map(drop))
    });
    let wide = gm.kernel_of(&device, Arc::new(wide)).unwrap();
    let report = wide.launch([1; 3]).bind("x", &mut x).run().unwrap();
    assert_eq!((report.remote_bytes, x[1]), (2 * PAGE, 1));
    x.evict(&device).unwrap();
    x.discard().unwrap();
    drop(x);
    gm
}

#[test]
fn a_tracer_that_is_on_hears_of_everything_and_one_that_is_off_of_nothing() {
    let recorder = Recorder::new();
    drop(busy(Gmem::builder().trace(Tracer::off())));
    assert_eq!(recorder.take(), Recording::default());
    drop(busy(Gmem::builder().trace(Tracer::to(&recorder))));
    let recording = recorder.take();
    let heard = kinds(&recording);
    let mut missing: BTreeSet<_> = What::KINDS.into_iter().collect();
    missing.retain(|kind| !heard.contains(kind));
    // A simulated device compiles nothing and has no clock of its own; a wait for a claim needs two at once, and has a test of its own.
    missing.remove("wait");
    assert_eq!(missing, BTreeSet::from(["compile", "gpu"]));
    assert_eq!(recording.dropped, 0);
    let names: BTreeSet<&str> = recording.tracks.iter().map(|t| t.name.as_str()).collect();
    assert!(names.contains("gmem-device-1"), "{names:?}");
    // Spans of one thread nest: none begins in another one and outlives it.
    for track in 0..recording.tracks.len() as u32 {
        let mut spans: Vec<(u64, u64)> = recording
            .events
            .iter()
            .filter(|e| e.track == track)
            .map(|e| (e.start, e.end))
            .collect();
        spans.sort_by_key(|&(start, end)| (start, std::cmp::Reverse(end)));
        let mut open: Vec<u64> = Vec::new();
        for (start, end) in spans {
            while open.last().is_some_and(|&last| last <= start) {
                open.pop();
            }
            assert!(open.last().is_none_or(|&last| end <= last));
            open.push(end);
        }
    }
}

#[test]
fn a_cpu_that_waits_for_a_pass_is_heard_waiting() {
    let recorder = Recorder::new();
    let host = Arc::new(PlainHost::new(8 << 20));
    let space = AddressSpace::traced(host, PageSize::MIN, &Tracer::to(&recorder)).unwrap();
    let device = Arc::new(SimDevice::new(SimOptions::default()));
    let policy = build(PolicyKind::Lru, 0);
    let node = space
        .attach(device, policy, Placement::Contiguous)
        .unwrap()
        .node;
    let region = space.allocate(PAGE, 1).unwrap();
    let started = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&started);
    let slow = SimKernel::new("slow", vec![updates("x")], move |t| {
        told.store(true, Ordering::Release);
        std::thread::sleep(Duration::from_millis(200));
        t.store(0, 0, 1u32)
    })
    .resident_only("so that its body is its pass");
    let launch = Launch {
        kernel: Arc::new(slow),
        bound: vec![region.range()],
        values: Vec::new(),
        grid: [1, 1, 1],
        reach: Vec::new(),
    };
    let running = space.launch(node, launch).unwrap();
    while !started.load(Ordering::Acquire) {
        std::thread::yield_now();
    }
    space
        .bring_home(region.range(), Access::Write, Cause::UserCopy)
        .unwrap();
    running.wait().unwrap();
    let recording = recorder.take();
    let waits = |e: &&gmem::hal::trace::Event| e.what == What::Wait { on: WaitFor::Claim };
    let wait = recording.events.iter().find(waits).expect("it waited");
    assert!(wait.end - wait.start > 50_000_000, "{wait:?}");
}

const DOUBLE: &str = "
@group(0) @binding(0) var<storage, read_write> x: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < arrayLength(&x)) { x[id.x] = 2u * x[id.x]; }
}";

/// Doubles more than the device holds, traced.
fn doubled(adapter: &AdapterChoice, tracer: Tracer) -> Gmem {
    let gm = Gmem::builder()
        .device(DeviceChoice::Gpu(adapter.clone()))
        .device_memory(256 << 10)
        .page_size(PAGE)
        .trace(tracer)
        .build()
        .unwrap();
    let mut x = gm.alloc::<u32>(256 << 10).unwrap();
    x.iter_mut().enumerate().for_each(|(i, x)| *x = i as u32);
    let double = gm.kernel(DOUBLE).unwrap();
    double.over(x.len()).bind("x", &mut x).run().unwrap();
    assert!(x.iter().enumerate().all(|(i, &x)| x == 2 * i as u32));
    drop(x);
    gm
}

#[test]
fn gpus_are_traced_with_their_own_clock_between_submission_and_completion() {
    for adapter in adapters::adapters() {
        let recorder = Recorder::new();
        let gm = doubled(&adapter, Tracer::to(&recorder));
        let counts = gm.stats().counts;
        drop(gm);
        let recording = recorder.take();
        let of = |kind: &str| -> Vec<_> {
            let events = recording.events.iter();
            events.filter(|e| e.what.kind() == kind).collect()
        };
        let passes = of("pass");
        assert_eq!(passes.len() as u64, counts.passes, "{adapter}");
        let waits = of("wait");
        assert!(
            waits.iter().any(|e| e.what
                == What::Wait {
                    on: WaitFor::Device
                }),
            "{adapter}"
        );
        let devices = accesses(&recording).unwrap();
        let bytes: u64 = counts.host_to_device.iter().sum();
        assert_eq!(devices[0].recorded().bytes_to_device(PAGE), bytes);
        let frames = devices[0].device().frames;
        let best = replay(&devices[0], frames, Strategy::Belady, 0).unwrap();
        assert_eq!(
            best.fetched,
            devices[0].recorded().fetched,
            "a stream has no choice"
        );
        assert!(!of("compile").is_empty(), "{adapter}");
        let runs = of("gpu");
        println!(
            "{adapter}: {} passes, {} with timestamps",
            passes.len(),
            runs.len()
        );
        if runs.is_empty() {
            continue;
        }
        assert_eq!(runs.len(), passes.len(), "{adapter}");
        for (run, pass) in runs.iter().zip(&passes) {
            assert!(pass.start <= run.start && run.end <= pass.end, "{adapter}");
            assert!(!recording.tracks[run.track as usize].is_thread);
        }
        let untraced = doubled(&adapter, Tracer::off());
        assert_eq!(untraced.stats().counts.passes, counts.passes, "{adapter}");
    }
}
