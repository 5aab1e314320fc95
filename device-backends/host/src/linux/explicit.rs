//! The explicit mechanism: committed pages are always readable and writable, and nothing is noticed.

use std::sync::Arc;

use gmem_hal::{ByteRange, CpuFaultSink, HostError, HostMechanism, HostMemory, Rights, Va};
use rustix::mm::MprotectFlags;

use super::window::Window;

/// A host memory whose user brackets every access with a view.
pub(crate) struct ExplicitHost {
    window: Window,
}

impl ExplicitHost {
    /// Reserves `len` bytes, a multiple of 2 MiB.
    pub(crate) fn open(len: u64) -> Result<Self, HostError> {
        Ok(Self {
            window: Window::open(len)?,
        })
    }
}

impl HostMemory for ExplicitHost {
    fn base(&self) -> Va {
        Va(self.window.base())
    }
    fn len(&self) -> u64 {
        self.window.len()
    }
    fn mechanism(&self) -> HostMechanism {
        HostMechanism::Explicit
    }
    fn read_sharing(&self) -> bool {
        true
    }
    fn start(&self, _sink: Arc<dyn CpuFaultSink>) -> Result<(), HostError> {
        Ok(())
    }
    fn stop(&self) {}
    fn commit(&self, range: ByteRange) -> Result<(), HostError> {
        self.window
            .protect(range, MprotectFlags::READ | MprotectFlags::WRITE)
    }
    fn decommit(&self, range: ByteRange) -> Result<(), HostError> {
        self.window.protect(range, MprotectFlags::empty())?;
        self.window.punch(range)
    }
    fn set_rights(&self, range: ByteRange, _rights: Rights) -> Result<(), HostError> {
        self.window.check("set_rights", range)
    }
    fn reserve(&self, range: ByteRange) -> Result<(), HostError> {
        self.window.fill(range)
    }
    fn punch(&self, range: ByteRange) -> Result<(), HostError> {
        self.window.punch(range)
    }
    fn with_bytes(&self, range: ByteRange, f: &mut dyn FnMut(&[u8])) {
        self.window.with_bytes(range, f);
    }
    fn write_bytes(&self, offset: u64, src: &[u8]) {
        self.window.write_bytes(offset, src);
    }
}
