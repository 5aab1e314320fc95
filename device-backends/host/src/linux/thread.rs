//! Handler threads: named, deaf to signals, joined without ever waiting for themselves.

use std::thread::{Builder, JoinHandle};

use gmem_hal::HostError;

/// Starts a thread that takes no signals: no user's signal handler ever runs on it.
pub(super) fn spawn_deaf(
    name: String,
    body: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, HostError> {
    let mut all = core::mem::MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = core::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // A thread inherits its maker's mask, so it is set around the making: no signal slips in between.
    // SAFETY: both sets are valid for writing; sigfillset initialises the one that is read.
    let masked = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr())
    };
    let made = Builder::new().name(name).spawn(body);
    if masked == 0 {
        // SAFETY: pthread_sigmask succeeded and so initialised `before`.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    }
    made.map_err(|source| HostError::Os {
        call: "thread spawn",
        source,
    })
}

/// Waits for handler threads, but not for the caller's own: a sink's last reference may be dropped on one.
pub(super) fn join_all(threads: Vec<JoinHandle<()>>) {
    let me = std::thread::current().id();
    for thread in threads {
        if thread.thread().id() != me {
            let _ = thread.join();
        }
    }
}

/// The life of a host memory: not started, running, stopped for good.
#[derive(Default)]
pub(super) enum Life {
    /// `start` was not called yet.
    #[default]
    New,
    /// With these handler threads.
    Running(Vec<JoinHandle<()>>),
    /// `stop` was called.
    Stopped,
}

/// The error of starting twice, or of using a stopped space.
pub(super) fn wrong_time(call: &'static str, reason: &'static str) -> HostError {
    HostError::Os {
        call,
        source: std::io::Error::other(reason),
    }
}
