//! Remote frames: frames in the host's memory, lent to one workgroup that needs more than its device has.
//!
//! They are a last resort, since every access to them goes over the bus. There are as many as the workgroup lacks, and for as long as
//! it runs: then what they hold goes home and they leave the pool, so that no other page is ever put there. The device keeps
//! the windows behind them until its launch is over.
//!
//! Only a device's own worker calls this, as it alone allocates frames.

use gmem_hal::trace::{Began, What};
use gmem_hal::{DeviceError, Window};

use crate::context::{BATCH_BYTES, Context, DeviceMemory};
use crate::error::MoveError;
use crate::shadow::patiently;
use crate::space::Shared;

/// The least frames that a device is asked for.
const LEAST: u64 = 16;

/// The remote frames of a device.
#[derive(Default)]
pub(crate) struct Remote {
    /// What the device gave, each with how many of its frames are lent.
    windows: Vec<(Window, u32)>,
    /// It gave no more.
    short: bool,
    /// When the first was lent, and the most that were since then.
    lent: Option<(Began, u64)>,
}

impl Remote {
    fn held(&self) -> u64 {
        self.windows.iter().map(|w| u64::from(w.0.frames)).sum()
    }

    /// Frames that are lent: in the pool, beside the device's own.
    pub(crate) fn lent(&self) -> u64 {
        self.windows.iter().map(|w| u64::from(w.1)).sum()
    }
}

impl DeviceMemory {
    /// Has so many remote frames in the pool, which has fewer. The device holds them.
    fn lend(&mut self, mut frames: u64) -> Result<(), MoveError> {
        for (window, lent) in &mut self.remote.windows {
            let part = frames.min(u64::from(window.frames)) as u32;
            frames -= u64::from(part);
            let longer = Window {
                frames: part,
                ..*window
            };
            let added = match *lent {
                _ if part == *lent => Ok(()),
                0 => self.pool.add_window(longer),
                _ => self.pool.lengthen(longer),
            };
            added.map_err(|bad| {
                let reason = bad.to_string();
                DeviceError::Unsupported { reason }
            })?;
            *lent = part;
        }
        Ok(())
    }
}

impl Context {
    /// Frames that are lent.
    pub(crate) fn lent(&self) -> u64 {
        self.memory.lock().remote.lent()
    }

    /// The most frames that could be lent, as far as is known.
    pub(crate) fn remote_capacity(&self) -> u64 {
        let memory = self.memory.lock();
        if memory.remote.short {
            memory.remote.held()
        } else {
            u64::from(self.info.remote_frames)
        }
    }

    /// Lends frames until there is room for `needed` pages in all. `false` when there cannot be, or was room already.
    ///
    /// # Errors
    /// When a device fails. What was lent may have been taken back.
    /// LOCKING: no lock held, and no page claimed here; takes block locks and frames.
    pub(crate) fn lend(&self, space: &Shared, needed: u64) -> Result<bool, MoveError> {
        // Its own come first: behind a remote window it gives no more of them.
        self.grow_for(space, usize::MAX)?;
        let missing = needed.saturating_sub(self.own_capacity());
        let (lent, held) = {
            let memory = self.memory.lock();
            (memory.remote.lent(), memory.remote.held())
        };
        if missing <= lent || missing > self.remote_capacity() {
            return Ok(false);
        }
        if missing > held && !self.hold(space, missing)? {
            return Ok(false);
        }
        let mut memory = self.memory.lock();
        let (began, most) = match memory.remote.lent {
            Some(lent) => lent,
            None => (space.tracer.begin(), 0),
        };
        memory.remote.lent = Some((began, most.max(missing)));
        memory.lend(missing)?;
        Ok(true)
    }

    /// Has the device hold so many frames, in windows that are few and large. `false` when it does not give them.
    fn hold(&self, space: &Shared, frames: u64) -> Result<bool, MoveError> {
        self.end_remote(space)?;
        // A workgroup often turns out to need some more.
        let wanted = frames.next_power_of_two().max(LEAST);
        let wanted = wanted.min(self.remote_capacity());
        loop {
            let held = self.memory.lock().remote.held();
            if held >= wanted {
                return Ok(true);
            }
            let began = space.tracer.begin();
            let grown = self.device.grow_remote((wanted - held) as u32);
            space.tracer.end(began, || What::Grow {
                node: self.node,
                frames: grown.as_ref().map_or(0, |w| u64::from(w.frames)),
            });
            let remote = &mut self.memory.lock().remote;
            match grown {
                Ok(window) => remote.windows.push((window, 0)),
                Err(DeviceError::OutOfMemory { .. }) => {
                    remote.short = true;
                    return Ok(held >= frames);
                }
                Err(e) => return Err(self.failed(e)),
            }
        }
    }

    /// Brings home what lies in remote frames, and lends them no more.
    ///
    /// # Errors
    /// When a device fails: its pages are where they were.
    /// LOCKING: no lock held, and no page claimed here; takes block locks and frames.
    pub(crate) fn take_back(&self, space: &Shared) -> Result<(), MoveError> {
        if self.lent() == 0 {
            return Ok(());
        }
        let batch = (BATCH_BYTES / space.geometry.page.bytes()).max(1) as usize;
        // A page must not stay there because a device once refused to copy it.
        patiently(|| {
            let there: Vec<_> = {
                let memory = self.memory.lock();
                let first = memory.remote.windows[0].0.first;
                let used = memory.pool.used_frames().filter(|(f, _)| *f >= first);
                used.filter_map(|(f, page)| Some((page?, f))).collect()
            };
            for part in there.chunks(batch) {
                self.evict_frames(space, part.to_vec())?;
            }
            Ok(())
        })?;
        let lent = {
            let mut memory = self.memory.lock();
            let DeviceMemory { pool, remote, .. } = &mut *memory;
            for (window, lent) in remote.windows.iter_mut().filter(|w| w.1 > 0) {
                if !pool.remove_window(window.first) {
                    let reason = "remote frames are still in use".to_owned();
                    return Err(DeviceError::Unsupported { reason }.into());
                }
                *lent = 0;
            }
            remote.lent.take()
        };
        if let Some((began, most)) = lent {
            space.tracer.end(began, || What::Remote {
                node: self.node,
                frames: most,
            });
        }
        Ok(())
    }

    /// Takes back all that was lent, and gives the windows behind it back to the device.
    ///
    /// # Errors
    /// When a device fails; what it still has is given back when this is called again.
    /// LOCKING: as [`Context::take_back`].
    pub(crate) fn end_remote(&self, space: &Shared) -> Result<(), MoveError> {
        self.take_back(space)?;
        if self.memory.lock().remote.windows.is_empty() {
            self.memory.lock().remote.short = false;
            return Ok(());
        }
        patiently(|| self.device.drop_remote().map_err(|e| self.failed(e)))?;
        self.memory.lock().remote = Remote::default();
        Ok(())
    }
}
