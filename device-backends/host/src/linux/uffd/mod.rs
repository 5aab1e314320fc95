//! The userfaultfd mechanism: absent pages are events that handler threads serve.
//!
//! The whole user mapping is registered once; `commit` and `decommit` change its page protection, which the
//! registration survives. A page of a committed range is in one of three states, and the kernel alone knows which:
//!
//! | rights | page-table entry | a load | a store |
//! |---|---|---|---|
//! | none | absent | event | event |
//! | read | present, write-protected | goes on | event |
//! | write | present | goes on | goes on |
//!
//! `mapped` remembers which pages were mapped last. It is a hint that saves calls over ranges in mixed states; an event
//! on a page clears its bit, so a page that the kernel took out on its own (swapping) is mapped again.
//! Poisoned pages are remembered exactly: a grant or a commit drops their entries, which is what cures them.

mod handler;
pub(crate) mod kernel;

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gmem_hal::{ByteRange, CpuFaultSink, HostError, HostMechanism, HostMemory, Rights, Va};
use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::mm::MprotectFlags;

use self::kernel::{Abilities, Mapped, Uffd, Watch};
use super::os_on;
use super::plane::Plane;
use super::thread::{Life, join_all, wrong_time};
use super::window::Window;

/// A host memory whose touches are noticed by userfaultfd.
pub(crate) struct UffdHost {
    shared: Arc<Shared>,
    threads: usize,
    life: Mutex<Life>,
}

/// What the handler threads share with the host memory.
struct Shared {
    // Declared before the window: closing the descriptor wakes whoever still waits, before the mapping goes.
    uffd: Uffd,
    abilities: Abilities,
    /// Readable for ever once written: wakes every handler thread for its end.
    stop: OwnedFd,
    /// Waits on both; edge-triggered on events, so that one event wakes one thread.
    poll: OwnedFd,
    stopped: AtomicBool,
    mapped: Plane,
    poisoned: Mutex<BTreeSet<u64>>,
    /// The size of `poisoned`, to look at without its lock.
    poisoned_count: AtomicUsize,
    window: Window,
}

impl UffdHost {
    /// Reserves `len` bytes, a multiple of 2 MiB, and registers them.
    pub(crate) fn open(len: u64, threads: usize, privileged: bool) -> Result<Self, HostError> {
        let (uffd, abilities) = Uffd::open(privileged)?;
        let window = Window::open(len)?;
        let (stop, poll) = handler::wait_queue(&uffd)?;
        let shared = Shared {
            mapped: Plane::open(len, window.granule())?,
            uffd,
            abilities,
            stop,
            poll,
            stopped: AtomicBool::new(false),
            poisoned: Mutex::default(),
            poisoned_count: AtomicUsize::new(0),
            window,
        };
        shared.register(ByteRange::new(0, len))?;
        Ok(Self {
            shared: Arc::new(shared),
            threads: threads.max(2),
            life: Mutex::default(),
        })
    }

    /// What it can do here, for reports.
    pub(crate) fn describe(&self) -> String {
        let Abilities {
            kernel_faults,
            write_protect,
            poison,
        } = self.shared.abilities;
        let yes = |has, yes, no| if has { yes } else { no };
        format!(
            "userfaultfd, {}, {}, {}",
            yes(kernel_faults, "system calls served too", "user mode only"),
            yes(
                write_protect,
                "pages shared for reading",
                "no sharing for reading"
            ),
            yes(poison, "lost pages poisoned", "lost pages unmapped"),
        )
    }
}

impl Shared {
    fn at(&self, offset: u64) -> u64 {
        self.window.base() + offset
    }

    fn register(&self, range: ByteRange) -> Result<(), HostError> {
        let watch = if self.abilities.write_protect {
            Watch::MinorAndWrite
        } else {
            Watch::Minor
        };
        self.uffd
            .register(self.at(range.offset), range.len, watch)
            .map_err(|errno| os_on("ioctl(UFFDIO_REGISTER)", range, errno))
    }

    fn wake(&self, range: ByteRange) {
        // It fails only for ranges that are no longer registered, where nobody waits.
        let _ = self.uffd.wake(self.at(range.offset), range.len);
    }

    /// Grants rights, whatever the state of each page: maps what is absent with the right protection, then sets the
    /// protection of what was there, each in one call where the range is in one state.
    fn grant(&self, range: ByteRange, write: bool) -> Result<(), HostError> {
        if !write && !self.abilities.write_protect {
            return Err(HostError::Unavailable {
                mechanism: HostMechanism::Userfaultfd.name(),
                reason: "the kernel cannot map pages for reading alone: grant the right to write"
                    .to_owned(),
            });
        }
        self.cure(range, MprotectFlags::READ | MprotectFlags::WRITE)?;
        let (mut at, end) = (range.offset, range.end());
        let mut existed = false;
        let mut filled_at = None;
        while at < end {
            let rest = ByteRange::new(at, end - at);
            let mapped = self.uffd.map(self.at(at), rest.len, write);
            match mapped.map_err(|errno| os_on("ioctl(UFFDIO_CONTINUE)", rest, errno))? {
                Mapped::Bytes(bytes) => {
                    self.mapped.put(ByteRange::new(at, bytes), true);
                    at += bytes;
                }
                Mapped::Exists => {
                    existed = true;
                    self.mapped.put(self.window.page_of(at), true);
                    at = self.mapped.run_end(at, end);
                }
                Mapped::Absent if filled_at == Some(at) => {
                    return Err(os_on("ioctl(UFFDIO_CONTINUE)", rest, Errno::FAULT));
                }
                Mapped::Absent => {
                    self.window.fill(rest)?;
                    filled_at = Some(at);
                }
                Mapped::Again => std::thread::yield_now(),
            }
        }
        // Mapping woke who waited for what it mapped, and allowing stores wakes too.
        let mut woken = !existed;
        if existed && self.abilities.write_protect {
            self.uffd
                .write_protect(self.at(range.offset), range.len, !write)
                .map_err(|errno| os_on("ioctl(UFFDIO_WRITEPROTECT)", range, errno))?;
            woken = write;
        }
        if !woken {
            self.wake(range);
        }
        handler::note_woken(self.at(range.offset), range.len);
        Ok(())
    }

    /// Makes the page of a byte raise SIGBUS (SIGSEGV where the kernel cannot) for whoever touches it.
    fn fail(&self, offset: u64) {
        let page = self.window.page_of(offset);
        let mut poisoned = self.poisoned.lock();
        let done = loop {
            if !self.abilities.poison {
                break Err(Errno::NOSYS);
            }
            match self.uffd.poison(self.at(page.offset), page.len) {
                Ok(Mapped::Again) => std::thread::yield_now(),
                done => break done,
            }
        };
        let failed = match done {
            // Somebody mapped it meanwhile: it is not lost.
            Ok(Mapped::Exists) => poisoned.contains(&page.offset),
            Ok(_) => true,
            Err(_) => self.window.protect(page, MprotectFlags::empty()).is_ok(),
        };
        if failed {
            poisoned.insert(page.offset);
            self.poisoned_count.store(poisoned.len(), Ordering::Release);
        }
        drop(poisoned);
        self.wake(page);
    }

    /// Takes the poison off the pages of a range and leaves them absent, with this page protection.
    fn cure(&self, range: ByteRange, rights: MprotectFlags) -> Result<(), HostError> {
        if self.poisoned_count.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        let mut poisoned = self.poisoned.lock();
        let pages: Vec<u64> = poisoned.range(range.offset..range.end()).copied().collect();
        for offset in pages {
            let page = self.window.page_of(offset);
            // Dropping the entry drops the poison; the protection is for kernels that have none.
            self.window.zap(page)?;
            self.window.protect(page, rights)?;
            self.mapped.put(page, false);
            poisoned.remove(&offset);
        }
        self.poisoned_count.store(poisoned.len(), Ordering::Release);
        Ok(())
    }
}

impl HostMemory for UffdHost {
    fn base(&self) -> Va {
        Va(self.shared.window.base())
    }

    fn len(&self) -> u64 {
        self.shared.window.len()
    }

    fn mechanism(&self) -> HostMechanism {
        HostMechanism::Userfaultfd
    }

    fn read_sharing(&self) -> bool {
        self.shared.abilities.write_protect
    }

    fn start(&self, sink: Arc<dyn CpuFaultSink>) -> Result<(), HostError> {
        let mut life = self.life.lock();
        if !matches!(*life, Life::New) {
            return Err(wrong_time("start", "the host memory was started before"));
        }
        match handler::start(&self.shared, &sink, self.threads) {
            Ok(threads) => {
                *life = Life::Running(threads);
                Ok(())
            }
            Err(error) => {
                *life = Life::Stopped;
                Err(error)
            }
        }
    }

    fn stop(&self) {
        let threads = match std::mem::replace(&mut *self.life.lock(), Life::Stopped) {
            Life::Stopped => return,
            Life::Running(threads) => threads,
            Life::New => Vec::new(),
        };
        self.shared.stopped.store(true, Ordering::Release);
        handler::end(&self.shared.stop);
        join_all(threads);
        // Without handlers a touch must not wait for ever, nor see bytes that nobody keeps valid: access ends first,
        // then waiting threads are let go, into a segmentation fault.
        let whole = ByteRange::new(0, self.len());
        let _ = self.shared.window.protect(whole, MprotectFlags::empty());
        let _ = self.shared.uffd.unregister(self.shared.at(0), whole.len);
    }

    fn commit(&self, range: ByteRange) -> Result<(), HostError> {
        self.shared.window.check("commit", range)?;
        if self.shared.stopped.load(Ordering::Acquire) {
            return Err(wrong_time("commit", "the host memory was stopped"));
        }
        self.shared.cure(range, MprotectFlags::empty())?;
        self.shared
            .window
            .protect(range, MprotectFlags::READ | MprotectFlags::WRITE)
    }

    fn decommit(&self, range: ByteRange) -> Result<(), HostError> {
        let shared = &*self.shared;
        shared.window.check("decommit", range)?;
        // Access ends first, so that no touch brings a page back behind us.
        shared.window.protect(range, MprotectFlags::empty())?;
        if !shared.stopped.load(Ordering::Acquire) {
            shared.cure(range, MprotectFlags::empty())?;
        }
        shared.window.zap(range)?;
        shared.mapped.put(range, false);
        shared.window.punch(range)?;
        if range.len > 0 {
            shared.wake(range);
        }
        Ok(())
    }

    fn set_rights(&self, range: ByteRange, rights: Rights) -> Result<(), HostError> {
        self.shared.window.check("set_rights", range)?;
        if range.len == 0 {
            return Ok(());
        }
        match rights {
            Rights::None => {
                self.shared.window.zap(range)?;
                self.shared.mapped.put(range, false);
                Ok(())
            }
            Rights::Read => self.shared.grant(range, false),
            Rights::Write => self.shared.grant(range, true),
        }
    }

    fn reserve(&self, range: ByteRange) -> Result<(), HostError> {
        self.shared.window.fill(range)
    }

    fn punch(&self, range: ByteRange) -> Result<(), HostError> {
        self.shared.window.punch(range)?;
        // The kernel unmaps what it punches.
        self.shared.mapped.put(range, false);
        Ok(())
    }

    fn with_bytes(&self, range: ByteRange, f: &mut dyn FnMut(&[u8])) {
        self.shared.window.with_bytes(range, f);
    }

    fn write_bytes(&self, offset: u64, src: &[u8]) {
        self.shared.window.write_bytes(offset, src);
    }
}

impl Drop for UffdHost {
    fn drop(&mut self) {
        self.stop();
    }
}
