//! The device thread: it alone calls wgpu, so that error scopes and GL contexts, which belong to a thread, always fit.
//!
//! Key types: [`DeviceThread`] (the door), [`Kept`] (something of wgpu's that must be dropped in there).
//! Invariants: a panic behind the door, a closed door and a lost device all come out as [`DeviceError::Lost`];
//! errors that wgpu reports to nobody in particular become the error of the call in progress.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{JoinHandle, ThreadId};

use crossbeam_channel::{Sender, bounded, unbounded};
use gmem_hal::DeviceError;
use parking_lot::Mutex;

use crate::error::OpenError;
use crate::gpu::Gpu;

type Job = Box<dyn FnOnce(&mut Gpu) + Send>;

/// The door to the thread that owns a [`Gpu`]. The thread ends, and is waited for, when the last door is dropped.
pub(crate) struct DeviceThread {
    jobs: Option<Sender<Job>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    id: ThreadId,
}

impl DeviceThread {
    /// Starts a thread with what `open` makes in it; also gives what `open` has to tell.
    pub(crate) fn start<T: Send + 'static>(
        open: impl FnOnce() -> Result<(Gpu, T), OpenError> + Send + 'static,
    ) -> Result<(Arc<Self>, T), OpenError> {
        let (jobs, inbox) = unbounded::<Job>();
        let (opened, answer) = bounded(1);
        let body = move || {
            let mut gpu = match catch_unwind(AssertUnwindSafe(open)) {
                Ok(Ok((gpu, facts))) => {
                    if opened.send(Ok(facts)).is_err() {
                        return;
                    }
                    gpu
                }
                Ok(Err(error)) => {
                    let _ = opened.send(Err(error));
                    return;
                }
                Err(panic) => {
                    let _ = opened.send(Err(OpenError::Thread {
                        reason: panic_text(panic.as_ref()),
                    }));
                    return;
                }
            };
            for job in inbox {
                job(&mut gpu);
            }
        };
        let thread = std::thread::Builder::new()
            .name("gmem-device".to_owned())
            // Shader compilers recurse deeply.
            .stack_size(64 << 20)
            .spawn(body)
            .map_err(|e| OpenError::Thread {
                reason: e.to_string(),
            })?;
        let facts = answer.recv().unwrap_or_else(|_| {
            Err(OpenError::Thread {
                reason: "it ended".to_owned(),
            })
        })?;
        let id = thread.thread().id();
        Ok((
            Arc::new(Self {
                jobs: Some(jobs),
                thread: Mutex::new(Some(thread)),
                id,
            }),
            facts,
        ))
    }

    /// Runs `job` in the thread and waits for its result.
    pub(crate) fn call<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Gpu) -> Result<R, DeviceError> + Send + 'static,
    ) -> Result<R, DeviceError> {
        let (reply, answer) = bounded(1);
        let posted = self.post(move |gpu| {
            let _ = reply.send(guarded(gpu, job));
        });
        if !posted {
            return Err(ended());
        }
        answer.recv().unwrap_or_else(|_| Err(ended()))
    }

    /// Runs `job` in the thread some time later; whether there is still a thread.
    pub(crate) fn post(&self, job: impl FnOnce(&mut Gpu) + Send + 'static) -> bool {
        self.jobs
            .as_ref()
            .is_some_and(|jobs| jobs.send(Box::new(job)).is_ok())
    }
}

impl Drop for DeviceThread {
    fn drop(&mut self) {
        self.jobs = None;
        // A job may itself hold the last door: its thread cannot wait for itself.
        if std::thread::current().id() != self.id
            && let Some(thread) = self.thread.lock().take()
        {
            let _ = thread.join();
        }
    }
}

/// A job with every kind of failure made an error.
fn guarded<R>(
    gpu: &mut Gpu,
    job: impl FnOnce(&mut Gpu) -> Result<R, DeviceError>,
) -> Result<R, DeviceError> {
    gpu.alive()?;
    match catch_unwind(AssertUnwindSafe(|| job(&mut *gpu))) {
        Ok(result) => {
            // The report nobody asked for explains the failure better than what followed from it.
            gpu.uncaptured()?;
            result
        }
        Err(panic) => {
            let reason = panic_text(panic.as_ref());
            gpu.lose(&reason);
            Err(DeviceError::Lost { reason })
        }
    }
}

fn ended() -> DeviceError {
    DeviceError::Lost {
        reason: "the device thread has ended".to_owned(),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    format!(
        "the device thread panicked: {}",
        text.unwrap_or("no message")
    )
}

/// Something made of wgpu objects that others hold, and that is dropped in the device thread.
pub(crate) struct Kept<T: Send + Sync + 'static> {
    value: Option<Arc<T>>,
    thread: Arc<DeviceThread>,
}

impl<T: Send + Sync + 'static> Kept<T> {
    pub(crate) fn new(value: T, thread: &Arc<DeviceThread>) -> Self {
        Self {
            value: Some(Arc::new(value)),
            thread: Arc::clone(thread),
        }
    }

    /// The value, for a job. The job drops its reference in the thread, and before the last of all is posted there.
    pub(crate) fn get(&self) -> Arc<T> {
        Arc::clone(self.value.as_ref().expect("taken only on drop"))
    }
}

impl<T: Send + Sync + 'static> Drop for Kept<T> {
    fn drop(&mut self) {
        if let Some(value) = self.value.take() {
            self.thread.post(move |_| drop(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{WgpuOptions, open};
    use gmem_hal::{Device, Geometry, PageSize, Va};

    #[test]
    fn a_panic_in_the_device_thread_loses_the_device_and_nothing_else() {
        let Ok(device) = open(&WgpuOptions::default()) else {
            println!("skipped: no adapter to test with");
            return;
        };
        let result = device
            .thread()
            .call(|_| -> Result<(), DeviceError> { panic!("on purpose") });
        let Err(DeviceError::Lost { reason }) = &result else {
            panic!("{result:?}")
        };
        assert!(reason.contains("on purpose"), "{reason}");
        let geometry = Geometry {
            base: Va(1 << 40),
            len: 2 << 20,
            page: PageSize::default(),
        };
        assert_eq!(device.attach(geometry).unwrap_err(), result.unwrap_err());
    }

    #[test]
    fn an_error_no_scope_caught_fails_the_call_in_progress_and_no_later_one() {
        let Ok(device) = open(&WgpuOptions::default()) else {
            println!("skipped: no adapter to test with");
            return;
        };
        let result = device.thread().call(|gpu| {
            // It is for nothing.
            let _ = gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: 16,
                usage: wgpu::BufferUsages::empty(),
                mapped_at_creation: false,
            });
            Ok(())
        });
        assert!(
            matches!(result, Err(DeviceError::Unsupported { .. })),
            "{result:?}"
        );
        assert_eq!(device.thread().call(|_| Ok(7)), Ok(7));
    }
}
