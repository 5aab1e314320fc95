//! The mprotect mechanism: page protections, and a SIGSEGV handler that posts the fault and waits.
//!
//! What runs in the signal handler is in [`signal`]; everything else, the sink included, runs on handler threads here.
//! A touch outside every committed range is refused before the sink is asked, and a refused touch is left to the
//! handler that was installed before, or to the default action.

mod signal;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gmem_hal::{
    Access, ByteRange, CpuFault, CpuFaultSink, HostError, HostMechanism, HostMemory, Rights, Va,
    Verdict,
};
use parking_lot::{Mutex, RwLock};
use rustix::mm::MprotectFlags;

use self::signal::{Posted, Space};
use super::batch::{ask, unique_by_page};
use super::plane::Plane;
use super::ranges::RangeSet;
use super::thread::{Life, join_all, spawn_deaf, wrong_time};
use super::window::Window;

/// A host memory whose touches are noticed by page protections.
pub(crate) struct ProtectHost {
    shared: Arc<Shared>,
    threads: usize,
    life: Mutex<Life>,
    space: Mutex<Option<Space>>,
}

/// What the handler threads share with the host memory.
struct Shared {
    window: Window,
    stopped: AtomicBool,
    committed: RwLock<RangeSet>,
    /// Pages known to have memory: kept so that a grant need not ask the kernel for it again.
    backed: Plane,
    /// Pages that may be read: tells a store from a load where the processor's fault does not say.
    readable: Plane,
}

impl ProtectHost {
    /// Reserves `len` bytes, a multiple of 2 MiB.
    pub(crate) fn open(len: u64, threads: usize) -> Result<Self, HostError> {
        let window = Window::open(len)?;
        let shared = Shared {
            stopped: AtomicBool::new(false),
            committed: RwLock::default(),
            backed: Plane::open(len, window.granule())?,
            readable: Plane::open(len, window.granule())?,
            window,
        };
        Ok(Self {
            shared: Arc::new(shared),
            threads: threads.max(2),
            life: Mutex::default(),
            space: Mutex::default(),
        })
    }
}

impl Shared {
    /// One handler thread: takes what was posted, asks the sink, answers.
    fn run(&self, space: Space, sink: &dyn CpuFaultSink) {
        let (mut posted, mut faults, mut verdicts) = (Vec::new(), Vec::new(), Vec::new());
        while space.take(&mut posted) {
            faults.clear();
            {
                let committed = self.committed.read();
                posted.retain(|post: &Posted| {
                    let offset = post.address.wrapping_sub(self.window.base());
                    let ours = offset < self.window.len() && committed.contains(offset);
                    if ours {
                        faults.push(CpuFault {
                            offset,
                            access: self.access(post, offset),
                        });
                    } else {
                        post.answer(Verdict::Fail);
                    }
                    ours
                });
            }
            unique_by_page(&mut faults, self.window.granule());
            ask(sink, &faults, &mut verdicts);
            for post in posted.drain(..) {
                let page = self
                    .window
                    .page_of(post.address.wrapping_sub(self.window.base()));
                let at = faults.partition_point(|fault| fault.offset < page.offset);
                post.answer(verdicts.get(at).copied().unwrap_or(Verdict::Fail));
            }
        }
    }

    /// What a thread was doing. Where the processor does not say: a touch of a page that may be read is a store.
    fn access(&self, post: &Posted, offset: u64) -> Access {
        post.access.unwrap_or(if self.readable.get(offset) {
            Access::Write
        } else {
            Access::Read
        })
    }

    /// Gives memory to the pages of a range that are not known to have it.
    fn back(&self, range: ByteRange) -> Result<(), HostError> {
        let (mut at, end) = (range.offset, range.end());
        while at < end {
            let next = self.backed.run_end(at, end);
            if !self.backed.get(at) {
                let run = ByteRange::new(at, next - at);
                self.window.fill(run)?;
                self.backed.put(run, true);
            }
            at = next;
        }
        Ok(())
    }
}

impl HostMemory for ProtectHost {
    fn base(&self) -> Va {
        Va(self.shared.window.base())
    }

    fn len(&self) -> u64 {
        self.shared.window.len()
    }

    fn mechanism(&self) -> HostMechanism {
        HostMechanism::Mprotect
    }

    fn read_sharing(&self) -> bool {
        true
    }

    fn start(&self, sink: Arc<dyn CpuFaultSink>) -> Result<(), HostError> {
        let mut life = self.life.lock();
        if !matches!(*life, Life::New) {
            return Err(wrong_time("start", "the host memory was started before"));
        }
        *life = Life::Stopped;
        signal::install()?;
        let space = Space::open(self.shared.window.base(), self.shared.window.len())?;
        let mut threads = Vec::with_capacity(self.threads);
        for n in 0..self.threads {
            let (shared, sink) = (Arc::clone(&self.shared), Arc::clone(&sink));
            match spawn_deaf(format!("gmem-fault-{n}"), move || shared.run(space, &*sink)) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    space.close();
                    join_all(threads);
                    space.release();
                    return Err(error);
                }
            }
        }
        *self.space.lock() = Some(space);
        *life = Life::Running(threads);
        Ok(())
    }

    fn stop(&self) {
        let threads = match std::mem::replace(&mut *self.life.lock(), Life::Stopped) {
            Life::Stopped => return,
            Life::Running(threads) => threads,
            Life::New => Vec::new(),
        };
        self.shared.stopped.store(true, Ordering::Release);
        // What is touched from now on is a segmentation fault: bytes that nobody keeps valid are not shown.
        let whole = ByteRange::new(0, self.len());
        let _ = self.shared.window.protect(whole, MprotectFlags::empty());
        if let Some(space) = self.space.lock().take() {
            space.close();
            join_all(threads);
            space.release();
        }
    }

    fn commit(&self, range: ByteRange) -> Result<(), HostError> {
        self.shared.window.check("commit", range)?;
        if self.shared.stopped.load(Ordering::Acquire) {
            return Err(wrong_time("commit", "the host memory was stopped"));
        }
        self.shared.committed.write().insert(range);
        Ok(())
    }

    fn decommit(&self, range: ByteRange) -> Result<(), HostError> {
        let shared = &*self.shared;
        shared.window.check("decommit", range)?;
        shared.window.protect(range, MprotectFlags::empty())?;
        shared.committed.write().remove(range);
        self.punch(range)
    }

    fn set_rights(&self, range: ByteRange, rights: Rights) -> Result<(), HostError> {
        let shared = &*self.shared;
        shared.window.check("set_rights", range)?;
        let protection = match rights {
            Rights::None => MprotectFlags::empty(),
            Rights::Read => MprotectFlags::READ,
            Rights::Write => MprotectFlags::READ | MprotectFlags::WRITE,
        };
        if rights != Rights::None {
            if shared.stopped.load(Ordering::Acquire) {
                return Err(wrong_time("set_rights", "the host memory was stopped"));
            }
            shared.back(range)?;
        }
        shared.window.protect(range, protection)?;
        shared.readable.put(range, rights != Rights::None);
        Ok(())
    }

    fn reserve(&self, range: ByteRange) -> Result<(), HostError> {
        self.shared.window.check("reserve", range)?;
        self.shared.back(range)
    }

    fn punch(&self, range: ByteRange) -> Result<(), HostError> {
        self.shared.window.check("punch", range)?;
        self.shared.backed.put(range, false);
        self.shared.readable.put(range, false);
        self.shared.window.punch(range)
    }

    fn with_bytes(&self, range: ByteRange, f: &mut dyn FnMut(&[u8])) {
        self.shared.window.with_bytes(range, f);
    }

    fn write_bytes(&self, offset: u64, src: &[u8]) {
        self.shared.window.write_bytes(offset, src);
    }
}

impl Drop for ProtectHost {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_that_the_processor_does_not_tell_is_a_store_where_loads_are_allowed() {
        let host = ProtectHost::open(gmem_hal::BLOCK_BYTES, 2).unwrap();
        let page = ByteRange::new(4096, 4096);
        host.commit(page).unwrap();
        let unknown = Posted::for_test(host.base().0 + 5000, None);
        assert_eq!(host.shared.access(&unknown, 5000), Access::Read);
        host.set_rights(page, Rights::Read).unwrap();
        assert_eq!(host.shared.access(&unknown, 5000), Access::Write);
        host.set_rights(page, Rights::None).unwrap();
        assert_eq!(host.shared.access(&unknown, 5000), Access::Read);
        let known = Posted::for_test(host.base().0 + 5000, Some(Access::Write));
        assert_eq!(host.shared.access(&known, 5000), Access::Write);
    }
}
