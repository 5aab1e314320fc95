//! Every call of a device fails once, at every point of a fixed story; devices die; hosts fail. What was written is never lost
//! while a copy of it is left, and no wrong byte is ever seen.

mod common;
mod skipped;

use std::sync::Arc;

use common::audit::{audit, same};
use common::flat::Allocation;
use common::kernels::Kind;
use common::rig::{PAGE, Rig, whole_pages};
use common::{HostKind, mechanism};
use gmem_hal::{
    Access, ByteRange, Cause, CpuFaultSink, DeviceError, HostError, HostMechanism, HostMemory,
    Launch, PlainHost, Rights, Va,
};
use gmem_runtime::{MoveError, Region};
use gmem_sim::{Call, Injection, SimDevice, SimKernel, loads, stores, updates};

/// Runs a step until no injected error is in its way, checking after each failure that all is consistent.
fn insist<T, E: std::fmt::Display>(
    rig: &Rig,
    failures: &mut u64,
    mut f: impl FnMut() -> Result<T, E>,
) -> T {
    loop {
        match f() {
            Ok(t) => return t,
            Err(e) => assert!(
                e.to_string().contains("injected"),
                "only the injected error: {e}"
            ),
        }
        *failures += 1;
        rig.space
            .check()
            .expect("frames and mappings agree after a failed call");
        assert!(*failures < 100, "it fails for ever");
    }
}

/// A copy, page by page, and each page of `same` stored as it is. It says that where it writes depends on what it wrote: it is
/// attempted, and undone.
fn unforeseen() -> SimKernel {
    let bindings = vec![loads("src"), stores("dst"), updates("same")];
    SimKernel::new("unforeseen", bindings, |t| {
        let at = u64::from(t.workgroup()[0]) * PAGE;
        let mut page = vec![0; PAGE as usize];
        t.load_bytes(0, at, &mut page)?;
        t.store_bytes(1, at, &page)?;
        t.load_bytes(2, at, &mut page)?;
        t.store_bytes(2, at, &page)
    })
    .resident_only("nobody foresees it")
}

/// A copy of all pages by one workgroup, which needs remote frames for them.
fn at_once() -> SimKernel {
    SimKernel::new("at once", vec![loads("src"), stores("dst")], |t| {
        let mut bytes = vec![0; t.len(0) as usize];
        t.load_bytes(0, 0, &mut bytes)?;
        t.store_bytes(1, 0, &bytes)
    })
}

/// Write, launch, read back, share between devices, scatter, attempt, borrow remote frames, evict, relaunch, free: through every
/// action of the protocol. `arm` is called once everything is attached. Answers with how many calls `call` had, and how many failures were seen.
fn story(call: Call, arm: impl Fn(&SimDevice)) -> (u64, u64) {
    // Fewer frames than the story needs: it evicts too.
    let rig = Rig::remote(Arc::new(PlainHost::new(8 << 20)), &[5, 9], 8);
    rig.devices.iter().for_each(|(_, d)| arm(d));
    let failed = &mut 0;
    let regions: Vec<Arc<Region>> = (0..3)
        .map(|_| rig.space.allocate(4 * PAGE, 1).unwrap())
        .collect();
    let [x, y, out] = &regions[..] else {
        unreachable!()
    };
    let first = insist(&rig, failed, || rig.fill(x, |i| (i % 251) as u8));

    // Copies do not depend on what they overwrite, so a launch can simply be repeated.
    insist(&rig, failed, || {
        rig.launch(0, Kind::Copy, &[x, y], whole_pages(0), 4)
    });
    same(
        &insist(&rig, failed, || rig.load(y.range())),
        &first,
        || "y after a copy".to_owned(),
    );
    // The other device reads what the first wrote, then takes it over.
    insist(&rig, failed, || {
        rig.launch(1, Kind::Copy, &[y, out], whole_pages(0), 4)
    });
    insist(&rig, failed, || {
        rig.space.prefetch(rig.devices[0].0, out.range())?.wait()
    });
    let second = insist(&rig, failed, || rig.fill(x, |i| (i % 13) as u8));
    insist(&rig, failed, || {
        rig.launch(1, Kind::Copy, &[x, y], whole_pages(0), 4)
    });
    // In halves, for the loads of a probe: scatter goes by an index.
    insist(&rig, failed, || {
        rig.launch(0, Kind::Scatter, &[x, y, out], whole_pages(5), 64)
    });
    for range in [x.range(), y.range()] {
        insist(&rig, failed, || {
            rig.space.evict(rig.devices[1].0, range)?.wait()
        });
    }
    same(
        &insist(&rig, failed, || rig.load(y.range())),
        &second,
        || "y after eviction".to_owned(),
    );
    let mut scattered = first;
    let words = (0..64).map(|i| u32::from_le_bytes(second[i * 4..][..4].try_into().unwrap()) ^ 5);
    for (i, word) in words.enumerate() {
        let slot = (word as usize % (scattered.len() / 8)) * 8;
        scattered[slot..slot + 8].copy_from_slice(&second[i * 8..][..8]);
    }
    same(
        &insist(&rig, failed, || rig.load(out.range())),
        &scattered,
        || "what was scattered".to_owned(),
    );
    // The second time pages are stored to that only the device has.
    for _ in 0..2 {
        insist(&rig, failed, || {
            let launch = Launch {
                kernel: Arc::new(unforeseen()),
                bound: [out, y, x].map(|r| r.range()).to_vec(),
                values: Vec::new(),
                grid: [4, 1, 1],
                reach: Vec::new(),
            };
            rig.space.launch(rig.devices[1].0, launch)?.wait()
        });
    }
    for (region, bytes) in [(y, &scattered), (x, &second)] {
        same(
            &insist(&rig, failed, || rig.load(region.range())),
            bytes,
            || "what was attempted".to_owned(),
        );
    }
    insist(&rig, failed, || {
        let launch = Launch {
            kernel: Arc::new(at_once()),
            bound: [x, y].map(|r| r.range()).to_vec(),
            values: Vec::new(),
            grid: [1; 3],
            reach: Vec::new(),
        };
        rig.space.launch(rig.devices[0].0, launch)?.wait()
    });
    assert!(rig.space.counts().remote_passes > 0);
    same(
        &insist(&rig, failed, || rig.load(y.range())),
        &second,
        || "what was copied at once".to_owned(),
    );
    insist(&rig, failed, || rig.space.discard(y.range()));
    insist(&rig, failed, || {
        rig.launch(0, Kind::Copy, &[y, x], whole_pages(0), 4)
    });
    same(
        &insist(&rig, failed, || rig.load(x.range())),
        &vec![0; x.range().len as usize],
        || "zeroes".to_owned(),
    );
    let left = [Allocation {
        va: out.va(),
        offset: out.range().offset,
        bytes: scattered,
        small: false,
    }];
    audit(&rig.space, &rig.devices, &left);

    for region in &regions {
        insist(&rig, failed, || rig.space.free(region.va()));
    }
    audit(&rig.space, &rig.devices, &[]);
    for (node, device) in &rig.devices {
        assert_eq!(
            rig.space.device(*node).unwrap().0.used,
            0,
            "frames of {node:?} leaked"
        );
        assert_eq!(device.entries(), [], "translations of {node:?} leaked");
    }
    (
        rig.devices
            .iter()
            .map(|(_, d)| d.calls(call))
            .max()
            .unwrap(),
        *failed,
    )
}

#[test]
fn an_error_at_the_nth_call_of_any_function_costs_a_retry_and_nothing_else() {
    let mut points = 0;
    for call in Call::ALL.into_iter().filter(|&c| c != Call::Attach) {
        let (calls, failures) = story(call, |_| {});
        assert_eq!(failures, 0);
        assert!(calls > 0, "the story never calls {}", call.name());
        for nth in 1..=calls {
            for midst in [false, true] {
                let injection = Injection::at(call, nth, call.refused());
                let injection = if midst {
                    injection.in_the_midst()
                } else {
                    injection
                };
                let (_, failures) = story(call, |d| d.inject(injection.clone()));
                // What takes pages out of remote frames tries again by itself.
                let again = [Call::Download, Call::SetEntries, Call::DropRemote].contains(&call);
                assert!(
                    (u64::from(!again)..=2).contains(&failures),
                    "the {nth}th {} fails: {failures} failures",
                    call.name()
                );
                points += 1;
            }
        }
    }
    eprintln!("{points} points of failure");
}

#[test]
fn errors_one_after_another_cost_retries_and_nothing_else() {
    let midst = |nth| Injection::anywhere(nth, Call::Run.refused()).in_the_midst();
    for first in 1..40 {
        for gap in 1..4 {
            // The second often meets the retry of what the first stopped.
            let (_, failures) = story(Call::Run, |d| {
                d.inject(midst(first));
                d.inject(midst(first + gap));
            });
            assert!(failures > 0, "calls {first} and {gap} after it");
        }
    }
}

#[test]
fn a_lost_device_takes_only_what_it_alone_had() {
    let rig = Rig::plain(&[8, 8]);
    let shared = rig.space.allocate(2 * PAGE, 1).unwrap();
    let alone = rig.space.allocate(2 * PAGE, 1).unwrap();
    let elsewhere = rig.space.allocate(2 * PAGE, 1).unwrap();
    let content = rig.fill(&shared, |i| i as u8).unwrap();
    // `shared` is read by device 0, `alone` written by it; `elsewhere` is written by device 1.
    rig.launch(0, Kind::Copy, &[&shared, &alone], whole_pages(0), 2)
        .unwrap();
    rig.launch(1, Kind::Copy, &[&shared, &elsewhere], whole_pages(0), 2)
        .unwrap();
    rig.devices[0].1.lose("it fell");
    assert_eq!(
        rig.load(shared.range()).unwrap(),
        content,
        "the host has a copy"
    );
    assert_eq!(
        rig.load(elsewhere.range()).unwrap(),
        content,
        "another device has it"
    );
    for access in [Access::Read, Access::Write] {
        let lost = rig.space.bring_home(alone.range(), access, Cause::UserCopy);
        assert!(
            matches!(lost, Err(MoveError::Device(DeviceError::Lost { .. }))),
            "{lost:?}"
        );
    }
    let gone = rig.launch(0, Kind::Copy, &[&shared, &elsewhere], whole_pages(0), 2);
    assert!(gone.is_err_and(|e| e.to_string().contains("lost")));
    let needs_it = rig.launch(1, Kind::Copy, &[&alone, &elsewhere], whole_pages(0), 2);
    assert!(needs_it.is_err_and(|e| e.to_string().contains("lost")));
    // The rest goes on: memory of both kinds is written, launched over and freed, and the lost pages can be given up.
    let again = rig.fill(&shared, |i| (i / 7) as u8).unwrap();
    rig.launch(1, Kind::Copy, &[&shared, &elsewhere], whole_pages(0), 2)
        .unwrap();
    assert_eq!(rig.load(elsewhere.range()).unwrap(), again);
    rig.space.discard(alone.range()).unwrap();
    assert_eq!(rig.load(alone.range()).unwrap(), vec![0; 2 * PAGE as usize]);
    for region in [&shared, &alone, &elsewhere] {
        rig.space.free(region.va()).unwrap();
    }
    rig.space.check().unwrap();
}

#[test]
fn a_space_whose_device_died_with_the_only_copy_can_be_dropped() {
    let rig = Rig::plain(&[4]);
    let x = rig.space.allocate(2 * PAGE, 1).unwrap();
    rig.launch(0, Kind::Bump, &[&x], whole_pages(1), 2).unwrap();
    rig.devices[0].1.lose("it fell");
    assert!(rig.load(x.range()).is_err());
    drop(rig);
}

/// The body of a child process: touches a page whose only copy died with its device.
#[cfg(target_os = "linux")]
fn touch_a_lost_page(host: HostKind) {
    let rig = Rig::new(host.open(8 << 20).unwrap(), &[4]);
    let x = rig.space.allocate(2 * PAGE, 1).unwrap();
    rig.launch(0, Kind::Bump, &[&x], whole_pages(1), 1).unwrap();
    rig.devices[0].1.lose("it fell");
    let at = std::ptr::with_exposed_provenance::<u8>(x.va().0 as usize);
    // SAFETY: inside a live region. The second page was never touched, and reads as zero.
    assert_eq!(unsafe { at.add(PAGE as usize).read_volatile() }, 0);
    // SAFETY: inside a live region: it ends in a signal, which is what the parent waits for.
    let byte = unsafe { at.read_volatile() };
    println!("read {byte} from a page that is lost");
}

#[cfg(target_os = "linux")]
fn a_raw_touch_of_a_lost_page_dies(mechanism_: HostMechanism, test: &str) {
    use std::os::unix::process::ExitStatusExt;
    let Some(host) = mechanism(mechanism_) else {
        return;
    };
    if std::env::var_os("GMEM_TEST_CHILD").is_some() {
        return touch_a_lost_page(host);
    }
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("GMEM_TEST_CHILD", "1")
        .output()
        .unwrap();
    let signal = child.status.signal();
    // SIGBUS; SIGSEGV where that is what the mechanism has.
    assert!(signal == Some(7) || signal == Some(11), "{child:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_raw_touch_of_a_lost_page_is_a_signal_under_userfaultfd() {
    let test = "a_raw_touch_of_a_lost_page_is_a_signal_under_userfaultfd";
    a_raw_touch_of_a_lost_page_dies(HostMechanism::Userfaultfd, test);
}

#[cfg(target_os = "linux")]
#[test]
fn a_raw_touch_of_a_lost_page_is_a_signal_under_mprotect() {
    a_raw_touch_of_a_lost_page_dies(
        HostMechanism::Mprotect,
        "a_raw_touch_of_a_lost_page_is_a_signal_under_mprotect",
    );
}

/// A host whose n-th call of one function fails.
struct FailingHost {
    inner: PlainHost,
    /// Which function, and how many of its calls are left before the one that fails.
    fails: parking_lot::Mutex<Option<(&'static str, u32)>>,
}

impl FailingHost {
    fn enter(&self, call: &'static str) -> Result<(), HostError> {
        let mut fails = self.fails.lock();
        match &mut *fails {
            Some((name, 1)) if *name == call => {
                *fails = None;
                Err(HostError::Os {
                    call,
                    source: std::io::Error::other("injected"),
                })
            }
            Some((name, left)) if *name == call => {
                *left -= 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl HostMemory for FailingHost {
    fn base(&self) -> Va {
        self.inner.base()
    }
    fn len(&self) -> u64 {
        self.inner.len()
    }
    fn mechanism(&self) -> HostMechanism {
        self.inner.mechanism()
    }
    fn read_sharing(&self) -> bool {
        true
    }
    fn start(&self, sink: Arc<dyn CpuFaultSink>) -> Result<(), HostError> {
        self.inner.start(sink)
    }
    fn stop(&self) {}
    fn commit(&self, range: ByteRange) -> Result<(), HostError> {
        self.enter("commit")?;
        self.inner.commit(range)
    }
    fn decommit(&self, range: ByteRange) -> Result<(), HostError> {
        self.inner.decommit(range)
    }
    fn set_rights(&self, range: ByteRange, rights: Rights) -> Result<(), HostError> {
        self.enter("set_rights")?;
        self.inner.set_rights(range, rights)
    }
    fn reserve(&self, range: ByteRange) -> Result<(), HostError> {
        self.enter("reserve")?;
        self.inner.reserve(range)
    }
    fn punch(&self, range: ByteRange) -> Result<(), HostError> {
        self.enter("punch")?;
        self.inner.punch(range)
    }
    fn with_bytes(&self, range: ByteRange, f: &mut dyn FnMut(&[u8])) {
        self.inner.with_bytes(range, f);
    }
    fn write_bytes(&self, offset: u64, src: &[u8]) {
        self.inner.write_bytes(offset, src);
    }
}

#[test]
fn an_error_of_the_host_costs_a_retry_and_nothing_else() {
    for call in ["commit", "set_rights", "reserve", "punch"] {
        let mut fired = 0;
        for nth in 1..30 {
            let host = Arc::new(FailingHost {
                inner: PlainHost::new(8 << 20),
                fails: Default::default(),
            });
            let rig = Rig::new(Arc::clone(&host) as _, &[3]);
            *host.fails.lock() = Some((call, nth));
            let failed = &mut 0;
            let retried =
                |r: Result<Arc<Region>, _>| r.or_else(|_| rig.space.allocate(4 * PAGE, 1)).unwrap();
            let x = retried(rig.space.allocate(4 * PAGE, 1));
            let y = retried(rig.space.allocate(4 * PAGE, 1));
            let first = insist(&rig, failed, || rig.fill(&x, |i| (i % 199) as u8));
            insist(&rig, failed, || {
                rig.launch(0, Kind::Copy, &[&x, &y], whole_pages(0), 4)
            });
            // Device 0 alone has some of y now, and the host's bytes there are older.
            insist(&rig, failed, || {
                rig.space
                    .discard(ByteRange::new(y.range().offset, 2 * PAGE))
            });
            let mut expected = first.clone();
            expected[..2 * PAGE as usize].fill(0);
            insist(&rig, failed, || {
                rig.launch(0, Kind::Copy, &[&y, &x], whole_pages(0), 4)
            });
            same(
                &insist(&rig, failed, || rig.load(y.range())),
                &expected,
                || format!("y, {nth}th {call}"),
            );
            same(
                &insist(&rig, failed, || rig.load(x.range())),
                &expected,
                || format!("x, {nth}th {call}"),
            );
            insist(&rig, failed, || rig.space.free(x.va()));
            let z = retried(rig.space.allocate(4 * PAGE, 1));
            let zeroes = vec![0; z.range().len as usize];
            same(
                &insist(&rig, failed, || rig.load(z.range())),
                &zeroes,
                || format!("fresh, {nth}th {call}"),
            );
            if host.fails.lock().is_none() {
                fired += 1;
            }
        }
        assert!(fired > 0, "{call} is never called");
    }
}
