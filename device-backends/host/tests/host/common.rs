//! A sink that grants what is asked for, raw touches, and children that are meant to die.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use gmem_hal::{
    Access, ByteRange, CpuFault, CpuFaultSink, HostError, HostMechanism, HostMemory, Rights,
    Verdict,
};
use gmem_host::{Choice, Options, open_with};

/// The runtime's page in these tests.
pub const PAGE: u64 = 64 << 10;

/// Grants every fault, page by page, and writes down what it saw.
pub struct Recorder {
    host: OnceLock<Weak<dyn HostMemory>>,
    rights: Mutex<BTreeMap<u64, Rights>>,
    lost: Mutex<BTreeSet<u64>>,
    seen: Mutex<Vec<CpuFault>>,
}

impl CpuFaultSink for Recorder {
    fn serve(&self, faults: &[CpuFault], verdicts: &mut Vec<Verdict>) {
        let host = self
            .host
            .get()
            .and_then(Weak::upgrade)
            .expect("the host outlives its faults");
        let mut rights = self.rights.lock().unwrap();
        for fault in faults {
            self.seen.lock().unwrap().push(*fault);
            let page = fault.offset / PAGE;
            if self.lost.lock().unwrap().contains(&page) {
                verdicts.push(Verdict::Fail);
                continue;
            }
            let wanted = match fault.access {
                Access::Read if host.read_sharing() => Rights::Read,
                _ => Rights::Write,
            };
            let now = rights.entry(page).or_insert(Rights::None);
            *now = wanted.max(*now);
            host.set_rights(ByteRange::new(page * PAGE, PAGE), *now)
                .expect("rights can be granted");
            verdicts.push(Verdict::Resume);
        }
    }
}

/// A started host memory with its recorder.
pub struct Space {
    pub host: Arc<dyn HostMemory>,
    pub sink: Arc<Recorder>,
}

impl Space {
    /// Nothing, with the reason printed, where this machine lacks the mechanism.
    pub fn open(len: u64, mechanism: HostMechanism) -> Option<Self> {
        Self::open_with(len, mechanism, Options::default())
    }

    pub fn open_with(len: u64, mechanism: HostMechanism, options: Options) -> Option<Self> {
        let host = match open_with(len, Choice::Only(mechanism), options) {
            Ok(opened) => opened.host,
            Err(error @ HostError::Unavailable { .. }) => {
                crate::skipped::skipped(error);
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        let sink = Arc::new(Recorder {
            host: OnceLock::new(),
            rights: Mutex::default(),
            lost: Mutex::default(),
            seen: Mutex::default(),
        });
        assert!(sink.host.set(Arc::downgrade(&host)).is_ok());
        host.start(sink.clone()).unwrap();
        Some(Self { host, sink })
    }

    /// The same with a range committed from the start of the space.
    pub fn committed(len: u64, committed: u64, mechanism: HostMechanism) -> Option<Self> {
        let space = Self::open(len, mechanism)?;
        space.host.commit(ByteRange::new(0, committed)).unwrap();
        Some(space)
    }

    /// Sets rights as the manager would: under the lock of what the sink knows.
    pub fn set(&self, range: ByteRange, rights: Rights) {
        let mut map = self.sink.rights.lock().unwrap();
        for page in range.offset / PAGE..range.end().div_ceil(PAGE) {
            map.insert(page, rights);
        }
        self.host.set_rights(range, rights).unwrap();
    }

    /// Calls the host as the manager would: while no fault is being served.
    pub fn locked(&self, call: impl FnOnce(&dyn HostMemory)) {
        let _lock = self.sink.rights.lock().unwrap();
        call(&*self.host);
    }

    /// Revokes one page and changes it through the alias, under the same lock.
    pub fn rewrite(&self, page: u64, change: impl FnOnce(&mut [u8])) {
        let range = ByteRange::new(page * PAGE, PAGE);
        let mut map = self.sink.rights.lock().unwrap();
        map.insert(page, Rights::None);
        self.host.set_rights(range, Rights::None).unwrap();
        let mut bytes = vec![0; PAGE as usize];
        self.host.read_bytes(range.offset, &mut bytes);
        change(&mut bytes);
        self.host.write_bytes(range.offset, &bytes);
    }

    pub fn lose(&self, page: u64) {
        self.sink.lost.lock().unwrap().insert(page);
    }

    pub fn find(&self, page: u64) {
        self.sink.lost.lock().unwrap().remove(&page);
    }

    /// What was seen since this was asked last.
    pub fn seen(&self) -> Vec<CpuFault> {
        std::mem::take(&mut *self.sink.seen.lock().unwrap())
    }

    /// A load by this thread.
    pub fn peek(&self, offset: u64) -> u8 {
        assert!(offset < self.host.len());
        // SAFETY: an address of the space; the touch is served, or kills a child that is meant to die.
        unsafe { ((self.host.base().0 + offset) as *const u8).read_volatile() }
    }

    /// A store by this thread.
    pub fn poke(&self, offset: u64, value: u8) {
        assert!(offset < self.host.len());
        // SAFETY: as for `peek`; no reference to the byte exists.
        unsafe { ((self.host.base().0 + offset) as *mut u8).write_volatile(value) };
    }

    /// A byte through the alias.
    pub fn alias(&self, offset: u64) -> u8 {
        let mut byte = [0];
        self.host.read_bytes(offset, &mut byte);
        byte[0]
    }
}

const CHILD: &str = "GMEM_HOST_CHILD";

/// Runs `body` in a child process that runs this test alone: the signal that killed it, if one did.
///
/// In the child itself it runs `body` and leaves.
pub fn signal_of_child(test: &str, body: impl FnOnce()) -> Option<i32> {
    if std::env::var_os(CHILD).is_some() {
        let none = libc_limit();
        // SAFETY: a valid limit; it only keeps the child from writing a core file.
        unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
        body();
        std::process::exit(0);
    }
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(
        !text.contains("running 0 tests"),
        "no test is called {test}"
    );
    status.status.signal()
}

fn libc_limit() -> libc::rlimit {
    libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    }
}

/// Makes a test of each function for userfaultfd and for mprotect; the function gets the mechanism and the test's name.
macro_rules! for_each_mechanism {
    ($($name:ident),* $(,)?) => {
        mod uffd {
            $(#[test] fn $name() {
                super::$name(gmem_hal::HostMechanism::Userfaultfd, &$crate::common::test_path(module_path!(), stringify!($name)));
            })*
        }
        mod mprotect {
            $(#[test] fn $name() {
                super::$name(gmem_hal::HostMechanism::Mprotect, &$crate::common::test_path(module_path!(), stringify!($name)));
            })*
        }
    };
}
pub(crate) use for_each_mechanism;

/// The name by which the test harness knows a test: its path without the crate.
pub fn test_path(module: &str, name: &str) -> String {
    let inner = module.split_once("::").map_or(module, |(_, inner)| inner);
    format!("{inner}::{name}")
}
