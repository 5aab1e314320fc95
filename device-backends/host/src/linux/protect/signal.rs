//! The SIGSEGV handler, and the tables through which it speaks with handler threads.
//!
//! The handler runs on whatever thread faulted, in the middle of anything: it takes no lock and allocates nothing. It
//! looks the address up in [`SPACES`], claims a slot of [`SLOTS`], posts, rings the space's bell and sleeps on the slot:
//!
//! ```text
//!   FREE --handler--> FILLING --handler--> POSTED --thread--> SERVING --thread--> RESUME or FAIL --handler--> FREE
//! ```
//!
//! Both tables are static, so that nothing a late handler looks at is ever freed. An address that is in no space, a
//! fault that was refused, and every signal that somebody sent, go to the handler installed before ours, or to the
//! default action by way of a second fault. The handler stays installed for the life of the process: others may have
//! chained to it. SIGBUS is not handled: on Linux page protections never raise it.

use std::mem::MaybeUninit;
use std::ptr::null_mut;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use gmem_hal::{Access, HostError, HostMechanism, Verdict};
use libc::{c_int, c_void, siginfo_t};
use parking_lot::Mutex;
use rustix::thread::futex::{self, Flags, Timespec};

use crate::linux::thread::wrong_time;

/// Spaces of one process that can be alive at once.
const MOST_SPACES: usize = 64;
/// Faults that can be waiting at once; more wait for a slot.
const MOST_FAULTS: usize = 128;

static SPACES: [SpaceEntry; MOST_SPACES] = [const { SpaceEntry::new() }; MOST_SPACES];
static SLOTS: [Slot; MOST_FAULTS] = [const { Slot::new() }; MOST_FAULTS];
static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();
/// Which entries of [`SPACES`] are taken; also held while the handler is installed. Never taken by the handler.
static TAKEN: Mutex<[bool; MOST_SPACES]> = Mutex::new([false; MOST_SPACES]);

/// One space, as the handler sees it.
struct SpaceEntry {
    base: AtomicU64,
    /// Zero when the entry is not in use.
    len: AtomicU64,
    /// The process it belongs to: a forked child has the table but not the threads.
    process: AtomicU32,
    /// Counts posts; handler threads sleep on it.
    bell: AtomicU32,
}

impl SpaceEntry {
    const fn new() -> Self {
        Self {
            base: AtomicU64::new(0),
            len: AtomicU64::new(0),
            process: AtomicU32::new(0),
            bell: AtomicU32::new(0),
        }
    }

    fn holds(&self, address: u64) -> bool {
        let len = self.len.load(Ordering::Acquire);
        address.wrapping_sub(self.base.load(Ordering::Acquire)) < len
    }

    fn ring(&self, sleepers: u32) {
        self.bell.fetch_add(1, Ordering::Release);
        let _ = futex::wake(&self.bell, Flags::PRIVATE, sleepers);
    }
}

const FREE: u32 = 0;
const FILLING: u32 = 1;
const POSTED: u32 = 2;
const SERVING: u32 = 3;
const RESUME: u32 = 4;
const FAIL: u32 = 5;

const LOAD: u32 = 0;
const STORE: u32 = 1;
const UNKNOWN: u32 = 2;

/// One waiting fault; a cache line, so that slots do not disturb one another.
#[repr(align(64))]
struct Slot {
    state: AtomicU32,
    space: AtomicU32,
    access: AtomicU32,
    address: AtomicU64,
}

impl Slot {
    const fn new() -> Self {
        Self {
            state: AtomicU32::new(FREE),
            space: AtomicU32::new(0),
            access: AtomicU32::new(UNKNOWN),
            address: AtomicU64::new(0),
        }
    }

    fn change(&self, from: u32, to: u32) -> bool {
        self.state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    fn answer(&self, verdict: Verdict) {
        let state = if verdict == Verdict::Resume {
            RESUME
        } else {
            FAIL
        };
        self.state.store(state, Ordering::Release);
        let _ = futex::wake(&self.state, Flags::PRIVATE, 1);
    }
}

/// A fault that a handler thread took on, and has to answer.
pub(super) struct Posted {
    slot: usize,
    /// The address touched.
    pub(super) address: u64,
    /// What the thread was doing, where the processor says.
    pub(super) access: Option<Access>,
}

impl Posted {
    /// Lets the faulting thread go on, or leaves it to the previous handler.
    pub(super) fn answer(&self, verdict: Verdict) {
        SLOTS[self.slot].answer(verdict);
    }

    #[cfg(test)]
    pub(super) fn for_test(address: u64, access: Option<Access>) -> Self {
        Self {
            slot: 0,
            address,
            access,
        }
    }
}

/// An entry of the table of spaces. A copy is held by each handler thread; the host memory closes and releases it once.
#[derive(Clone, Copy)]
pub(super) struct Space {
    index: usize,
}

impl Space {
    /// Enters a range of addresses: faults there are ours from now on.
    pub(super) fn open(base: u64, len: u64) -> Result<Self, HostError> {
        let mut taken = TAKEN.lock();
        let Some(index) = taken.iter().position(|&t| !t) else {
            return Err(HostError::Unavailable {
                mechanism: HostMechanism::Mprotect.name(),
                reason: format!("{MOST_SPACES} address spaces are alive in this process: drop one"),
            });
        };
        taken[index] = true;
        let entry = &SPACES[index];
        entry.process.store(std::process::id(), Ordering::Release);
        entry.base.store(base, Ordering::Release);
        // Last: with a length the entry is in use.
        entry.len.store(len, Ordering::Release);
        Ok(Self { index })
    }

    /// Ends the entry: later faults are not ours, and handler threads come back from [`Space::take`].
    pub(super) fn close(self) {
        let entry = &SPACES[self.index];
        entry.len.store(0, Ordering::Release);
        entry.ring(u32::MAX >> 1);
    }

    /// Gives the entry back, after the threads have ended. What was posted too late for them is refused.
    pub(super) fn release(self) {
        for slot in &SLOTS {
            if slot.space.load(Ordering::Acquire) as usize == self.index
                && slot.change(POSTED, SERVING)
            {
                slot.answer(Verdict::Fail);
            }
        }
        TAKEN.lock()[self.index] = false;
    }

    /// Waits for faults of this space and takes on all that are posted. False when the space was closed and none is left.
    pub(super) fn take(self, posted: &mut Vec<Posted>) -> bool {
        let entry = &SPACES[self.index];
        loop {
            // Read before looking: a post that the look misses changes it, and the wait below returns at once.
            let bell = entry.bell.load(Ordering::Acquire);
            for (index, slot) in SLOTS.iter().enumerate() {
                if slot.state.load(Ordering::Acquire) != POSTED
                    || slot.space.load(Ordering::Acquire) as usize != self.index
                    || !slot.change(POSTED, SERVING)
                {
                    continue;
                }
                // Between the look and the claim the slot may have become another space's fault: hand it over.
                let space = slot.space.load(Ordering::Acquire) as usize;
                if space != self.index {
                    slot.state.store(POSTED, Ordering::Release);
                    SPACES[space].ring(1);
                    continue;
                }
                posted.push(Posted {
                    slot: index,
                    address: slot.address.load(Ordering::Acquire),
                    access: match slot.access.load(Ordering::Acquire) {
                        LOAD => Some(Access::Read),
                        STORE => Some(Access::Write),
                        _ => None,
                    },
                });
            }
            if !posted.is_empty() {
                return true;
            }
            if entry.len.load(Ordering::Acquire) == 0 {
                return false;
            }
            let _ = futex::wait(&entry.bell, Flags::PRIVATE, bell, None);
        }
    }
}

/// Installs the handler, once for the process.
pub(super) fn install() -> Result<(), HostError> {
    let _installing = TAKEN.lock();
    if PREVIOUS.get().is_some() {
        return Ok(());
    }
    let failed = |_| wrong_time("sigaction", "the kernel refused a handler for SIGSEGV");
    // What was there is remembered before ours can run, and need it.
    let mut old = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: asks only; `old` is valid for writing.
    check(unsafe { libc::sigaction(libc::SIGSEGV, std::ptr::null(), old.as_mut_ptr()) })
        .map_err(failed)?;
    // SAFETY: initialised by the call above (and a plain struct of integers, for which zeroes are valid too).
    let old = unsafe { old.assume_init() };
    // SAFETY: a plain struct of integers and an optional function, for which zeroes are valid.
    let mut new = unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() };
    let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = on_fault;
    new.sa_sigaction = handler as usize;
    // On the alternative stack, so that a stack overflow still reaches the handler it is meant for; not deferred, so
    // that a fault inside a handler that we chain to goes there again and does not kill silently.
    new.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
    // SAFETY: `sa_mask` is valid for writing; the handler is an `extern "C"` function of the SA_SIGINFO kind which
    // does only what a signal handler may do, and PREVIOUS is set before it is installed.
    check(unsafe {
        libc::sigemptyset(&raw mut new.sa_mask);
        let _ = PREVIOUS.set(old);
        libc::sigaction(libc::SIGSEGV, &raw const new, null_mut())
    })
    .map_err(failed)
}

fn check(result: c_int) -> Result<(), ()> {
    if result == 0 { Ok(()) } else { Err(()) }
}

extern "C" fn on_fault(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the C library's errno of this thread, which the interrupted code may be about to read.
    let errno = unsafe { *libc::__errno_location() };
    // SAFETY: with SA_SIGINFO the kernel passes a valid siginfo.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as u64) };
    // Only the kernel's own codes are positive: what was sent by a process is nobody's page fault.
    let served = code > 0 && serve(address, context);
    if !served {
        chain(signal, info, context);
    }
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// Posts the fault and waits for its answer: whether the thread may go on. Async-signal-safe: atomics and system calls.
fn serve(address: u64, context: *mut c_void) -> bool {
    let Some((index, entry)) = SPACES
        .iter()
        .enumerate()
        .find(|(_, entry)| entry.holds(address))
    else {
        return false;
    };
    if entry.process.load(Ordering::Acquire) != std::process::id() {
        return false;
    }
    let slot = claim(address);
    slot.space.store(index as u32, Ordering::Release);
    slot.address.store(address, Ordering::Release);
    slot.access.store(access_of(context), Ordering::Release);
    slot.state.store(POSTED, Ordering::Release);
    entry.ring(1);
    let patience = Timespec {
        tv_sec: 0,
        tv_nsec: 100_000_000,
    };
    loop {
        match slot.state.load(Ordering::Acquire) {
            RESUME => {
                slot.state.store(FREE, Ordering::Release);
                return true;
            }
            FAIL => {
                slot.state.store(FREE, Ordering::Release);
                return false;
            }
            waiting => {
                let _ = futex::wait(&slot.state, Flags::PRIVATE, waiting, Some(&patience));
            }
        }
        // Posted after the space had closed: nobody will take it on.
        if !entry.holds(address) && slot.change(POSTED, FREE) {
            return false;
        }
    }
}

/// A slot of our own. Waits when all are in use: they are held by threads that are being served.
fn claim(address: u64) -> &'static Slot {
    static NEVER: AtomicU32 = AtomicU32::new(0);
    let pause = Timespec {
        tv_sec: 0,
        tv_nsec: 50_000,
    };
    loop {
        let first = (address >> 12) as usize % MOST_FAULTS;
        let (low, high) = SLOTS.split_at(first);
        if let Some(slot) = high
            .iter()
            .chain(low)
            .find(|slot| slot.change(FREE, FILLING))
        {
            return slot;
        }
        let _ = futex::wait(&NEVER, Flags::PRIVATE, 0, Some(&pause));
    }
}

/// What the thread was doing, from the page-fault error code.
#[cfg(target_arch = "x86_64")]
fn access_of(context: *mut c_void) -> u32 {
    // SAFETY: with SA_SIGINFO the kernel passes a valid ucontext.
    let error = unsafe {
        (&(*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs)[libc::REG_ERR as usize]
    };
    if error & 2 != 0 { STORE } else { LOAD }
}

/// What the thread was doing: not told here.
#[cfg(not(target_arch = "x86_64"))]
fn access_of(_context: *mut c_void) -> u32 {
    UNKNOWN
}

/// Leaves a signal to the handler before ours, or to the default action.
fn chain(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let previous = PREVIOUS.get();
    let handler = previous.map_or(libc::SIG_DFL, |previous| previous.sa_sigaction);
    // SAFETY: with SA_SIGINFO the kernel passes a valid siginfo.
    let sent = unsafe { (*info).si_code } <= 0;
    match (handler, previous) {
        // A signal that was sent can be ignored; a fault cannot, and the kernel would kill for it.
        (libc::SIG_IGN, _) if sent => {}
        (libc::SIG_DFL | libc::SIG_IGN, _) | (_, None) => {
            // SAFETY: a zeroed sigaction is SIG_DFL with no flags and an empty mask; both calls are async-signal-safe.
            unsafe {
                let default = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
                libc::sigaction(signal, &raw const default, null_mut());
                if sent {
                    libc::raise(signal);
                }
            }
            // A fault happens again when we return, and then has its default action.
        }
        (handler, Some(previous)) if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: somebody installed this address with SA_SIGINFO, so it is a function of this kind.
            unsafe {
                let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) =
                    std::mem::transmute(handler);
                handler(signal, info, context);
            }
        }
        (handler, Some(_)) => {
            // SAFETY: somebody installed this address without SA_SIGINFO, so it is a function of this kind.
            unsafe {
                let handler: extern "C" fn(c_int) = std::mem::transmute(handler);
                handler(signal);
            }
        }
    }
}
