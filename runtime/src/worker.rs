//! A device's worker: the one thread that brings pages to it and runs launches on it, in the order they were asked for.
//!
//! It never touches a user mapping, so that whatever a CPU thread waits for, a pass can end.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use crossbeam_channel::{Sender, unbounded};
use futures::channel::oneshot;
use gmem_hal::{Access, ByteRange, Cause, Launch, NodeId, Va};

use crate::claim::{Claims, Needs};
use crate::context::Context;
use crate::error::{AddressError, LaunchError, MoveError};
use crate::launch::{LaunchReport, execute};
use crate::region::Region;
use crate::space::{AddressSpace, Shared};

enum Job {
    Launch(
        Box<Launch>,
        InFlight,
        oneshot::Sender<Result<LaunchReport, LaunchError>>,
    ),
    Prefetch(ByteRange, InFlight, oneshot::Sender<Result<(), MoveError>>),
    Evict(ByteRange, InFlight, oneshot::Sender<Result<(), MoveError>>),
}

/// The regions that a job uses, until it is over.
struct InFlight(Vec<(Arc<Region>, Access)>);

impl InFlight {
    fn begin(regions: Vec<(Arc<Region>, Access)>) -> Result<Self, Arc<Region>> {
        let mut begun = Self(Vec::with_capacity(regions.len()));
        for (region, access) in regions {
            if !region.begin(access) {
                return Err(region);
            }
            begun.0.push((region, access));
        }
        Ok(begun)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        for (region, access) in &self.0 {
            region.end(*access);
        }
    }
}

/// A device's thread. Dropping it lets it finish what it was given, and waits.
pub(crate) struct Worker {
    jobs: Option<Sender<Job>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Worker {
    pub(crate) fn start(shared: Arc<Shared>, context: Arc<Context>) -> Self {
        let (jobs, inbox) = unbounded::<Job>();
        let thread = std::thread::Builder::new()
            .name(format!("gmem-device-{}", context.node.0))
            .spawn(move || {
                for job in inbox {
                    match job {
                        Job::Launch(launch, in_flight, reply) => {
                            let result = contained(|| execute(&shared, &context, &launch))
                                .unwrap_or_else(|what| Err(LaunchError::Internal { what }));
                            // Waiters see the region free before they see the result.
                            drop(in_flight);
                            let _ = reply.send(result);
                        }
                        Job::Prefetch(range, in_flight, reply) => {
                            let result = contained(|| prefetch(&shared, &context, range))
                                .unwrap_or_else(internal);
                            drop(in_flight);
                            let _ = reply.send(result);
                        }
                        Job::Evict(range, in_flight, reply) => {
                            let pages: Vec<u64> = shared.geometry.pages_of(range).collect();
                            let result =
                                contained(|| context.evict(&shared, &pages, Cause::Advice))
                                    .unwrap_or_else(internal);
                            drop(in_flight);
                            let _ = reply.send(result);
                        }
                    }
                }
            })
            .expect("a thread can be started");
        Self {
            jobs: Some(jobs),
            thread: Some(thread),
        }
    }

    fn send(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // A worker that is gone drops the job, and its handle says so.
            let _ = jobs.send(job);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Runs a job; a panic in it (a bug of ours, or of a kernel's closure) ends the job and not the worker.
fn contained<R>(job: impl FnOnce() -> R) -> Result<R, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        text.or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic".to_owned())
    })
}

fn internal(what: String) -> Result<(), MoveError> {
    Err(gmem_hal::DeviceError::Unsupported {
        reason: format!("internal error: {what}"),
    }
    .into())
}

/// Brings as many of the first pages of a range as the device holds, all claimed at once: so none of them makes room for
/// another one, and what would not stay is not brought.
fn prefetch(shared: &Shared, context: &Context, range: ByteRange) -> Result<(), MoveError> {
    let pages = shared.geometry.pages_of(range);
    let mut most = context.capacity().max(1);
    loop {
        let mut needs = Needs::default();
        needs.add(
            pages.start..pages.end.min(pages.start.saturating_add(most)),
            Access::Read,
        );
        match Claims::none(context, shared).extend(&needs, Cause::Prefetch) {
            // The device gave fewer windows than it said it would: that is known now.
            Err(MoveError::TooLarge { .. }) if (1..most).contains(&context.capacity()) => {
                most = context.capacity();
            }
            done => return done,
        }
    }
}

/// Something a device was asked to do. It goes on whether or not anybody waits; waiting is by `.await` or [`Pending::wait`].
#[must_use = "an error is lost if nobody waits; the work itself goes on"]
pub struct Pending<T, E> {
    reply: oneshot::Receiver<Result<T, E>>,
    gone: fn() -> E,
}

impl<T, E> Pending<T, E> {
    /// Waits on this thread.
    ///
    /// # Errors
    /// What the work failed with.
    pub fn wait(self) -> Result<T, E> {
        futures::executor::block_on(self)
    }
}

impl<T, E> Future for Pending<T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.reply)
            .poll(cx)
            .map(|r| r.unwrap_or_else(|_| Err((self.gone)())))
    }
}

/// A launch under way.
pub type LaunchHandle = Pending<LaunchReport, LaunchError>;

/// A move under way.
pub type MoveHandle = Pending<(), MoveError>;

fn detached() -> MoveError {
    MoveError::Device(gmem_hal::DeviceError::Lost {
        reason: "it was detached".into(),
    })
}

impl AddressSpace {
    /// Starts a kernel on a device; it runs after what that device was given before.
    ///
    /// # Errors
    /// At once, when a binding is not inside a region, the grid is empty, or the kernel is another device's.
    pub fn launch(&self, node: NodeId, launch: Launch) -> Result<LaunchHandle, LaunchError> {
        let kernel = Arc::clone(&launch.kernel);
        if launch.grid.contains(&0) {
            return Err(LaunchError::EmptyGrid { grid: launch.grid });
        }
        let uses = kernel.bindings();
        if uses.len() != launch.bound.len() {
            return Err(LaunchError::BindingCount {
                kernel: kernel.name().to_owned(),
                expected: uses.len(),
                given: launch.bound.len(),
            });
        }
        let context = self.shared.context(node).ok_or(LaunchError::Detached)?;
        if !context.device.accepts(&kernel) {
            return Err(LaunchError::WrongDevice {
                kernel: kernel.name().to_owned(),
            });
        }
        let mut regions: BTreeMap<Va, (Arc<Region>, Access)> = BTreeMap::new();
        let mut used_ranges = Vec::with_capacity(launch.bound.len() + launch.reach.len());
        let mut stores = false;
        for (b, (bound, used)) in launch.bound.iter().zip(uses).enumerate() {
            if launch.follows(b) {
                stores |= used.writes;
            } else {
                used_ranges.push((*bound, used.writes, used.name.as_str()));
            }
        }
        let reached = launch.reach.iter();
        used_ranges.extend(reached.map(|r| (r.bytes, r.writable && stores, "what it reaches")));
        for (range, writes, name) in used_ranges {
            let region = self
                .region_of_range(range)
                .map_err(|source| LaunchError::Binding {
                    binding: name.to_owned(),
                    source,
                })?;
            let access = if writes { Access::Write } else { Access::Read };
            let (_, most) = regions.entry(region.va).or_insert((region, access));
            *most = access.max(*most);
        }
        let in_flight = InFlight::begin(regions.into_values().collect())
            .map_err(|region| LaunchError::PinnedToHost { va: region.va })?;
        let (reply, answer) = oneshot::channel();
        self.with_worker(node, |w| {
            w.send(Job::Launch(Box::new(launch), in_flight, reply))
        });
        Ok(Pending {
            reply: answer,
            gone: || LaunchError::Detached,
        })
    }

    /// Brings the pages of a range to a device for reading, before a launch needs them. Of a range that is larger than the
    /// device its first pages are brought, as many as fit, and the others stay where they are.
    ///
    /// # Errors
    /// At once, when the range is not inside a region.
    #[doc(alias = "hmadvise")]
    #[doc(alias = "MADV_PREFETCH")]
    pub fn prefetch(&self, node: NodeId, range: ByteRange) -> Result<MoveHandle, MoveError> {
        self.send_move(node, range, Job::Prefetch)
    }

    /// Takes the pages of a range away from a device, those that nobody else has going home first.
    ///
    /// # Errors
    /// At once, when the range is not inside a region.
    pub fn evict(&self, node: NodeId, range: ByteRange) -> Result<MoveHandle, MoveError> {
        self.send_move(node, range, Job::Evict)
    }

    fn send_move(
        &self,
        node: NodeId,
        range: ByteRange,
        job: impl FnOnce(ByteRange, InFlight, oneshot::Sender<Result<(), MoveError>>) -> Job,
    ) -> Result<MoveHandle, MoveError> {
        let region = self.region_of_range(range)?;
        let (reply, answer) = oneshot::channel();
        // A move changes no content, so it counts as a reader; a region pinned to the host stays there.
        match InFlight::begin(vec![(region, Access::Read)]) {
            Ok(in_flight) => {
                self.with_worker(node, |w| w.send(job(range, in_flight, reply)));
            }
            Err(_) => {
                let _ = reply.send(Ok(()));
            }
        }
        Ok(Pending {
            reply: answer,
            gone: detached,
        })
    }

    /// The region that holds all of a range.
    fn region_of_range(&self, range: ByteRange) -> Result<Arc<Region>, AddressError> {
        let va = Va(self.shared.geometry.base.0.wrapping_add(range.offset));
        let region = self.region_of(va)?;
        let inside = range
            .offset
            .checked_add(range.len)
            .is_some_and(|end| end <= region.range.end());
        if inside {
            Ok(region)
        } else {
            Err(AddressError::Interior {
                va,
                start: region.va,
            })
        }
    }
}
