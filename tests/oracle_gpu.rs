//! Random operations on real adapters against a flat oracle: whatever page size, budget, policy, placement and host
//! mechanism, memory holds what plain arithmetic says.
//!
//! Over 1,000 operations on each adapter. `GMEM_ORACLE_SEED` moves all seeds, `GMEM_ORACLE_FACTOR` multiplies the operations.

mod adapters;
mod common;
mod integers;
mod skipped;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use common::Rng;
use gmem::gpu::{AdapterChoice, WgpuOptions};
use gmem::hal::HostMechanism;
use gmem::host::Choice;
use gmem::{DeviceChoice, DeviceHandle, Error, Gmem, Kernel, Placement, PolicyKind};
use gmem_runtime::LaunchError;
use integers::memory::{Memory, same};
use integers::{Args, Flat, GROUP, Kind};

/// Operations on one space.
const OPERATIONS: u64 = 150;

fn setting(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// One space to be tried.
#[derive(Clone, Debug)]
struct Setup {
    adapter: AdapterChoice,
    page: u64,
    /// Frames that the budget holds, and bytes more that hold none.
    frames: u64,
    crumb: u64,
    /// The most bytes of a window, where less than the adapter's own.
    window: Option<u64>,
    /// The cap on remote memory, where it is not the usual one.
    remote: Option<u64>,
    policy: PolicyKind,
    placement: Placement,
    host: HostMechanism,
    seed: u64,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    operations: u64,
    launches: u64,
    too_large: u64,
    /// Of these, some after workgroups that did fit.
    partial: u64,
    passes: u64,
    evictions: u64,
    /// Passes that used remote frames.
    remote: u64,
}

struct World<'a> {
    setup: &'a Setup,
    rng: Rng,
    // Before the space: vectors are given back to it.
    memories: Vec<Memory>,
    kernels: BTreeMap<Kind, Kernel>,
    device: DeviceHandle,
    cap: u64,
    capacity: u64,
    /// Remote frames that it may have.
    remote: u64,
    done: Done,
    gm: Gmem,
}

impl<'a> World<'a> {
    fn new(setup: &'a Setup) -> Self {
        let cap = setup.frames * (setup.page) + 256 + setup.crumb;
        let gm = Gmem::builder()
            .device(DeviceChoice::None)
            .page_size(setup.page)
            .policy(setup.policy)
            .placement(setup.placement)
            .host(Choice::Only(setup.host))
            .seed(setup.seed)
            .build()
            .expect("the host mechanism is there");
        let options = WgpuOptions {
            adapter: setup.adapter.clone(),
            device_memory: Some(cap),
            window_bytes: setup.window,
            remote_memory: setup.remote,
            ..WgpuOptions::default()
        };
        let gpu = gmem::gpu::open(&options).expect("the adapter is there");
        let device = gm.attach_gpu(gpu).expect("the budget holds a page");
        let capacity = u64::from(device.info().max_frames);
        let remote = u64::from(device.info().remote_frames);
        assert!(capacity >= 1 && capacity <= setup.frames);
        assert!(setup.window.is_some() || capacity == setup.frames);
        Self {
            setup,
            rng: Rng(setup.seed),
            memories: Vec::new(),
            kernels: BTreeMap::new(),
            device,
            cap,
            capacity,
            remote,
            done: Done::default(),
            gm,
        }
    }

    fn operate(&mut self) {
        while self.memories.len() < 5 {
            self.allocate();
        }
        let i = self.rng.below(self.memories.len() as u64) as usize;
        match self.rng.below(100) {
            0..6 if self.memories.len() < 9 => self.allocate(),
            0..12 => drop(self.memories.swap_remove(i)),
            12..24 => {
                let range = self.memories[i].some(&mut self.rng);
                self.memories[i].read(range);
            }
            24..27 => {
                let memory = &self.memories[i];
                same(&memory.vector, &memory.words, || {
                    format!("all of {:?}", memory.vector)
                });
            }
            27..42 => {
                let range = self.memories[i].some(&mut self.rng);
                self.memories[i].write(range, &mut self.rng);
            }
            // Content never depends on whether a hint could be followed.
            42..48 => self.memories[i]
                .vector
                .prefetch(&self.device)
                .expect("hints do not fail"),
            48..50 => self.memories[i]
                .vector
                .prefetch_host()
                .expect("hints do not fail"),
            50..55 => self.memories[i]
                .vector
                .evict(&self.device)
                .expect("there is room at home"),
            55..58 => {
                self.memories[i]
                    .vector
                    .discard()
                    .expect("nothing is in use");
                self.memories[i].words.fill(0);
            }
            _ => self.launch(),
        }
        self.done.operations += 1;
        let stats = self.gm.stats();
        assert!(
            stats.devices[0].1.peak_windows <= self.cap,
            "over the cap: {stats:?}"
        );
        if self.done.operations.is_multiple_of(16) {
            self.gm.check().expect("frames and mappings agree");
        }
    }

    fn allocate(&mut self) {
        let page = self.setup.page / 4;
        // Together some times the budget, and never so much that the oracle is what takes the time.
        let most = (page * self.setup.frames * 2).min((8 << 20) / 4);
        let len = match self.rng.below(6) {
            0 => self.rng.within(4, 600),
            1 => self.rng.within(4, 2 * page),
            2 => most,
            3 => self.rng.within(4, most),
            _ => self.rng.within(most / 4, most / 2),
        };
        let mut memory = Memory {
            vector: self.gm.alloc(len as usize).expect("there is room"),
            words: vec![0; len as usize],
        };
        if self.rng.chance(70) {
            let range = memory.some(&mut self.rng);
            memory.write(range, &mut self.rng);
        }
        self.memories.push(memory);
    }

    fn args(&mut self, kind: Kind, parts: &[(u64, bool)], groups: u64) -> Args {
        let rng = &mut self.rng;
        let written = parts.iter().filter(|p| p.1).map(|p| p.0).min().unwrap_or(1) / kind.width();
        let read = parts
            .iter()
            .filter(|p| !p.1)
            .map(|p| p.0)
            .max()
            .unwrap_or(1)
            / kind.width();
        let threads = groups * GROUP;
        let n = if rng.chance(70) {
            threads
        } else {
            rng.within(1, threads)
        };
        // Over all of what is written, densely, or beyond its end.
        let wide = (written / threads).max(1);
        let stride = *rng.pick(&[1, wide, wide, wide, wide + 1, 2 * wide]);
        let start = if rng.chance(60) {
            0
        } else {
            rng.below(written + 1)
        };
        let modulo = *rng.pick(&[
            64,
            self.setup.page / 4,
            read.max(1),
            read.max(1),
            read.max(1),
            2 * read + 1,
        ]);
        // A word number of which four times overflows must not wrap around into the binding.
        let from = *rng.pick(&[0, 0, 0, 5, read / 2, read, 0x4000_0000]);
        let step = (read / threads).max(1) + rng.below(2);
        Args {
            n: n as u32,
            start: start as u32,
            stride: stride as u32,
            salt: rng.next() as u32,
            modulo: modulo as u32,
            from: from as u32,
            step: step as u32,
            depth: rng.within(1, 4) as u32,
        }
    }

    fn launch(&mut self) {
        let kind = *self.rng.pick(&Kind::ALL);
        let grid = [
            self.rng.within(1, 24),
            if self.rng.chance(30) {
                self.rng.within(2, 4)
            } else {
                1
            },
        ];
        let groups = grid[0] * grid[1];
        if !self.kernels.contains_key(&kind) {
            self.kernels
                .insert(kind, self.gm.kernel(kind.source()).expect("it compiles"));
        }
        // What is written is taken out, and so is something that nothing binds: for the CPU, meanwhile.
        let uses = kind.bindings();
        let mut take = |rng: &mut Rng| {
            let i = rng.below(self.memories.len() as u64) as usize;
            self.memories.swap_remove(i)
        };
        let mut written: Vec<Memory> = uses
            .iter()
            .filter(|u| u.1)
            .map(|_| take(&mut self.rng))
            .collect();
        let mut bystander = take(&mut self.rng);
        let mut next = 0;
        let which: Vec<usize> = uses
            .iter()
            .map(|&(_, writes)| {
                if writes {
                    next += 1;
                    next - 1
                } else {
                    self.rng.below(self.memories.len() as u64) as usize
                }
            })
            .collect();
        let of = |memories: &'_ [Memory], written: &'_ [Memory], b: usize, rng: &mut Rng| {
            let memory = if uses[b].1 {
                &written[which[b]]
            } else {
                &memories[which[b]]
            };
            let part = memory.part(rng);
            let at = memory.vector.va().0 + part.start as u64 * 4;
            (memory.words[part.clone()].to_vec(), at, part)
        };
        let mut parts = Vec::new();
        let mut flat = Flat {
            words: Vec::new(),
            at: Vec::new(),
            page: self.setup.page,
            touched: BTreeSet::new(),
        };
        for b in 0..uses.len() {
            let (words, at, part) = of(&self.memories, &written, b, &mut self.rng);
            flat.words.push(words);
            flat.at.push(at);
            parts.push(part);
        }
        let lengths: Vec<(u64, bool)> = parts
            .iter()
            .zip(uses)
            .map(|(p, u)| (p.len() as u64, u.1))
            .collect();
        let args = self.args(kind, &lengths, groups);

        let mut launch = self.kernels[&kind]
            .launch([grid[0] as u32, grid[1] as u32, 1])
            .uniform("p", &args.words());
        let mut taken = written.iter_mut();
        for (b, part) in parts.iter().enumerate() {
            launch = if uses[b].1 {
                let memory = taken.next().expect("one for each");
                launch.bind(uses[b].0, memory.vector.part_mut(part.clone()))
            } else {
                launch.bind(uses[b].0, self.memories[which[b]].vector.part(part.clone()))
            };
        }
        let running = launch.submit().expect("it is well-formed");
        for _ in 0..self.rng.below(3) {
            let range = bystander.some(&mut self.rng);
            bystander.read(range.clone());
            bystander.write(range, &mut self.rng);
        }
        let result = running.wait();

        let before = flat.words.clone();
        let mut widest = 0;
        for group in 0..groups {
            flat.touched.clear();
            flat.run(kind, args, group);
            widest = widest.max(flat.touched.len() as u64);
        }
        self.done.launches += 1;
        let what = || format!("{kind:?} over {grid:?} with {args:?}, bound {parts:?}");
        match result {
            Ok(report) => {
                self.done.passes += report.passes;
                assert!(report.passes >= 1, "{}", what());
            }
            Err(Error::Launch(e @ LaunchError::FootprintTooLarge { capacity, .. })) => {
                self.done.too_large += 1;
                assert_eq!(capacity, self.capacity);
                assert!(
                    widest > capacity + self.remote,
                    "{}: no workgroup touches more than {widest} pages of {capacity} and {}: {e}",
                    what(),
                    self.remote
                );
                // Workgroups take effect in order, each once, up to the one that does not fit.
                flat.words = before;
                let ran = (0..=groups).find(|&group| {
                    let holds = written.iter().enumerate().all(|(w, memory)| {
                        let b = (0..uses.len())
                            .find(|&b| uses[b].1 && which[b] == w)
                            .expect("bound");
                        let found = memory
                            .vector
                            .read(parts[b].clone())
                            .expect("nothing was lost");
                        found == flat.words[b]
                    });
                    if !holds {
                        flat.run(kind, args, group);
                    }
                    holds
                });
                let ran =
                    ran.unwrap_or_else(|| panic!("{}: memory is as after no workgroup", what()));
                assert!(ran < groups, "{}: all of it ran, and yet: {e}", what());
                self.done.partial += u64::from(ran > 0);
            }
            Err(e) => panic!("{}: {e}", what()),
        }
        for (b, part) in parts.iter().enumerate().filter(|(b, _)| uses[*b].1) {
            let memory = &mut written[which[b]];
            memory.words[part.clone()].copy_from_slice(&flat.words[b]);
            if self.rng.chance(25) {
                let found = memory.vector.read(part.clone()).expect("nothing was lost");
                same(found, &flat.words[b], || {
                    format!("`{}` after {}", uses[b].0, what())
                });
            }
        }
        self.memories.extend(written);
        self.memories.push(bystander);
    }

    fn end(mut self) -> Done {
        for memory in &self.memories {
            memory.read(0..memory.words.len());
        }
        self.gm.check().expect("frames and mappings agree");
        self.memories.clear();
        self.gm.check().expect("frames and mappings agree");
        let stats = self.gm.stats();
        let frames = stats.devices[0].0;
        assert_eq!(stats.regions, 0, "regions leaked");
        assert_eq!((frames.used, frames.retiring), (0, 0), "frames leaked");
        assert!(u64::from(frames.total()) <= self.capacity);
        assert_eq!(stats.devices[0].1.remote, 0, "remote memory is kept");
        self.done.evictions = stats.counts.evictions;
        self.done.remote = stats.counts.remote_passes;
        self.done
    }
}

/// Runs a space; a failure names its seed and step.
fn run(setup: &Setup, operations: u64) -> Done {
    struct Tell<'a>(&'a Setup, u64);
    impl Drop for Tell<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("failed at step {} of {:?}", self.1, self.0);
            }
        }
    }
    let mut tell = Tell(setup, 0);
    let mut world = World::new(setup);
    while tell.1 < operations {
        tell.1 += 1;
        world.operate();
    }
    world.end()
}

/// Four spaces on each adapter: barely enough, several windows, some, ample.
fn in_pages_of(page: u64, turn: usize) {
    let mut hosts = Vec::new();
    for (mechanism, there) in gmem::host::available() {
        match there {
            Ok(()) => hosts.push(mechanism),
            Err(why) => {
                skipped::skipped(format_args!("host mechanism {}: {why}", mechanism.name()))
            }
        }
    }
    let large = page == 2 << 20;
    let budgets = if large {
        [3, 4, 7, 24]
    } else {
        [3, 9, 16, 200]
    };
    let operations = OPERATIONS * setting("GMEM_ORACLE_FACTOR", 1);
    for adapter in adapters::adapters() {
        let (mut all, start) = (Done::default(), Instant::now());
        for (number, frames) in budgets.into_iter().enumerate() {
            let seed = setting("GMEM_ORACLE_SEED", 0) + page + number as u64;
            let setup = Setup {
                adapter: adapter.clone(),
                page,
                frames,
                crumb: [0, 1, page / 2, page - 257][number],
                remote: [Some(0), Some(4 * page + 256), None, Some(0)][number],
                window: (number == 1).then_some(page * if large { 2 } else { 4 } + 256),
                policy: PolicyKind::ALL[(number + turn) % 4],
                placement: [Placement::Contiguous, Placement::Scattered][(number + turn / 2) % 2],
                host: hosts[(number + turn) % hosts.len()],
                seed,
            };
            let done = run(&setup, operations);
            println!("{setup:?}: {done:?}");
            all.operations += done.operations;
            all.launches += done.launches;
            all.too_large += done.too_large;
            all.partial += done.partial;
            all.passes += done.passes;
            all.evictions += done.evictions;
            all.remote += done.remote;
        }
        println!(
            "{adapter}, pages of {page}: {all:?} in {:.1} s",
            start.elapsed().as_secs_f64()
        );
        assert_eq!(all.operations, operations * budgets.len() as u64);
        assert!(all.passes > all.launches - all.too_large, "nothing was cut");
        assert!(all.evictions > 0, "nothing was evicted");
    }
}

#[test]
fn on_gpus_in_pages_of_4_kib() {
    in_pages_of(4 << 10, 0);
}

#[test]
fn on_gpus_in_pages_of_16_kib() {
    in_pages_of(16 << 10, 1);
}

#[test]
fn on_gpus_in_pages_of_64_kib() {
    in_pages_of(64 << 10, 2);
}

#[test]
fn on_gpus_in_pages_of_2_mib() {
    in_pages_of(2 << 20, 3);
}
