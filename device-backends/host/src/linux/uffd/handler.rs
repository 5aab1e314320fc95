//! The threads that read events, ask the sink, and let the faulting threads go on.
//!
//! A batch is sorted and made unique by page, a store outweighing a load. Whatever a verdict says, it ends in a wake: a
//! thread that is not woken never does anything again. One wake, where it can be: a thread that is woken too often may
//! be waiting for something else by then, and faults once more. So what a sink grants (which wakes) is noted.

use std::cell::RefCell;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gmem_hal::{ByteRange, CpuFault, CpuFaultSink, HostError, Verdict};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

use super::Shared;
use super::kernel::{EventBuffer, Uffd};
use crate::linux::batch::{ask, unique_by_page};
use crate::linux::os;
use crate::linux::thread::spawn_deaf;

/// Events read at once.
const BATCH: usize = 64;

/// How long a thread looks for more events after it served some, before it sleeps.
const LINGER: Duration = Duration::from_micros(30);

const EVENTS: u64 = 0;
const STOP: u64 = 1;

/// The descriptor that ends the threads, and the one that they wait on.
pub(super) fn wait_queue(uffd: &Uffd) -> Result<(OwnedFd, OwnedFd), HostError> {
    let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .map_err(|errno| os("eventfd", errno))?;
    let poll = epoll::create(CreateFlags::CLOEXEC).map_err(|errno| os("epoll_create1", errno))?;
    // Edge-triggered, an event wakes one waiting thread and not all of them; who is woken reads until nothing is left.
    epoll::add(
        &poll,
        uffd,
        EventData::new_u64(EVENTS),
        EventFlags::IN | EventFlags::ET,
    )
    .and_then(|()| epoll::add(&poll, &stop, EventData::new_u64(STOP), EventFlags::IN))
    .map_err(|errno| os("epoll_ctl", errno))?;
    Ok((stop, poll))
}

/// Starts the threads; when one cannot be started, ends those that were.
pub(super) fn start(
    shared: &Arc<Shared>,
    sink: &Arc<dyn CpuFaultSink>,
    count: usize,
) -> Result<Vec<JoinHandle<()>>, HostError> {
    let mut threads = Vec::with_capacity(count);
    for n in 0..count {
        let (shared_there, sink_there) = (Arc::clone(shared), Arc::clone(sink));
        let body = move || Handler::new(&shared_there, &*sink_there).run();
        match spawn_deaf(format!("gmem-fault-{n}"), body) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                end(&shared.stop);
                crate::linux::thread::join_all(threads);
                return Err(error);
            }
        }
    }
    Ok(threads)
}

/// Tells all threads to end.
pub(super) fn end(stop: &OwnedFd) {
    // An eventfd that was never read takes this write, unless it holds one already, which does as well.
    let _ = rustix::io::write(stop, &1u64.to_ne_bytes());
}

thread_local! {
    /// Addresses that grants woke while this thread serves a batch; nothing where no batch is served.
    static WOKEN: RefCell<Option<Vec<Range<u64>>>> = const { RefCell::new(None) };
}

/// Notes that the threads which waited in a range were woken.
pub(super) fn note_woken(start: u64, len: u64) {
    WOKEN.with_borrow_mut(|woken| {
        if let Some(woken) = woken {
            woken.push(start..start + len);
        }
    });
}

/// One thread's buffers.
struct Handler<'a> {
    shared: &'a Shared,
    sink: &'a dyn CpuFaultSink,
    events: EventBuffer,
    faults: Vec<CpuFault>,
    verdicts: Vec<Verdict>,
    woken: Vec<Range<u64>>,
}

impl<'a> Handler<'a> {
    fn new(shared: &'a Shared, sink: &'a dyn CpuFaultSink) -> Self {
        Self {
            shared,
            sink,
            events: EventBuffer::new(BATCH),
            faults: Vec::with_capacity(BATCH),
            verdicts: Vec::with_capacity(BATCH),
            woken: Vec::with_capacity(BATCH),
        }
    }

    fn run(&mut self) {
        let mut ready = [epoll::Event {
            flags: EventFlags::empty(),
            data: EventData::new_u64(EVENTS),
        }; 2];
        loop {
            let count = match epoll::wait(&self.shared.poll, &mut ready, None) {
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                // The descriptor is ours and open: no other error is possible; waiting again would spin.
                Err(_) => return,
            };
            if ready[..count].iter().any(|event| event.data.u64() == STOP) {
                return;
            }
            // A thread that was just let go often faults again at once: waking up for that would cost more than the fault.
            let mut served = Instant::now();
            loop {
                match self.shared.uffd.read(&mut self.events) {
                    Ok(0) | Err(_) if served.elapsed() >= LINGER => break,
                    Ok(0) | Err(_) => std::thread::yield_now(),
                    Ok(_) => {
                        self.serve();
                        served = Instant::now();
                    }
                }
            }
        }
    }

    /// Serves the events read last.
    fn serve(&mut self) {
        let (base, len) = (self.shared.window.base(), self.shared.window.len());
        self.faults.clear();
        for event in self.events.faults() {
            let Some(offset) = event
                .address
                .checked_sub(base)
                .filter(|&offset| offset < len)
            else {
                continue;
            };
            if event.absent {
                // The kernel says that it is not mapped, whatever was remembered.
                self.shared
                    .mapped
                    .put(self.shared.window.page_of(offset), false);
            }
            self.faults.push(CpuFault {
                offset,
                access: event.access,
            });
        }
        unique_by_page(&mut self.faults, self.shared.window.granule());
        WOKEN.set(Some(std::mem::take(&mut self.woken)));
        ask(self.sink, &self.faults, &mut self.verdicts);
        self.woken = WOKEN.take().unwrap_or_default();

        let mut run: Option<ByteRange> = None;
        for (fault, verdict) in self.faults.iter().zip(&self.verdicts) {
            if *verdict == Verdict::Fail {
                self.shared.fail(fault.offset);
                continue;
            }
            let page = self.shared.window.page_of(fault.offset);
            let address = self.shared.at(page.offset);
            if self.woken.iter().any(|range| range.contains(&address)) {
                continue;
            }
            run = match run {
                Some(run) if run.end() == page.offset => {
                    Some(ByteRange::new(run.offset, run.len + page.len))
                }
                Some(done) => {
                    self.shared.wake(done);
                    Some(page)
                }
                None => Some(page),
            };
        }
        if let Some(run) = run {
            self.shared.wake(run);
        }
        self.woken.clear();
    }
}
