//! The explicit mechanism in memory of the heap, for systems without the mappings that the others need.
//!
//! There is one copy of the bytes: user pointers and the runtime reach the same memory.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use std::sync::Arc;

use gmem_hal::{
    BLOCK_BYTES, ByteRange, CpuFaultSink, HostError, HostMechanism, HostMemory, Rights, Va,
};

/// A host memory on the heap: all of it is readable and writable, always.
pub(crate) struct HeapHost {
    bytes: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the memory is this value's own, and moves with it.
unsafe impl Send for HeapHost {}
// SAFETY: bytes are reached by methods whose callers hold the block locks, as `HostMemory` says.
unsafe impl Sync for HeapHost {}

impl HeapHost {
    /// `len` zeroed bytes, a multiple of 2 MiB.
    pub(crate) fn open(len: u64) -> Result<Self, HostError> {
        let no_room = HostError::OutOfMemory {
            offset: 0,
            bytes: len,
        };
        let layout = usize::try_from(len)
            .ok()
            .filter(|&size| size > 0)
            .and_then(|size| Layout::from_size_align(size, BLOCK_BYTES as usize).ok());
        let Some(layout) = layout else {
            return Err(no_room);
        };
        // SAFETY: the layout's size is not zero.
        let bytes = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(no_room)?;
        Ok(Self { bytes, layout })
    }

    fn at(&self, range: ByteRange) -> *mut u8 {
        let inside = range
            .offset
            .checked_add(range.len)
            .is_some_and(|end| end <= self.len());
        assert!(
            inside,
            "{range:?} leaves the space of {:#x} bytes",
            self.len()
        );
        self.bytes.as_ptr().wrapping_add(range.offset as usize)
    }
}

impl HostMemory for HeapHost {
    fn base(&self) -> Va {
        Va(self.bytes.as_ptr() as u64)
    }
    fn len(&self) -> u64 {
        self.layout.size() as u64
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
    fn commit(&self, _range: ByteRange) -> Result<(), HostError> {
        Ok(())
    }
    fn decommit(&self, range: ByteRange) -> Result<(), HostError> {
        self.punch(range)
    }
    fn set_rights(&self, _range: ByteRange, _rights: Rights) -> Result<(), HostError> {
        Ok(())
    }
    fn reserve(&self, _range: ByteRange) -> Result<(), HostError> {
        Ok(())
    }
    fn punch(&self, range: ByteRange) -> Result<(), HostError> {
        // SAFETY: inside the allocation; the caller holds the block locks and nobody uses the range.
        unsafe { self.at(range).write_bytes(0, range.len as usize) };
        Ok(())
    }
    fn with_bytes(&self, range: ByteRange, f: &mut dyn FnMut(&[u8])) {
        // SAFETY: initialised bytes inside the allocation; the caller holds the block locks and no view writes them.
        f(unsafe { std::slice::from_raw_parts(self.at(range), range.len as usize) });
    }
    fn write_bytes(&self, offset: u64, src: &[u8]) {
        let at = self.at(ByteRange::new(offset, src.len() as u64));
        // SAFETY: inside the allocation; the caller holds the block locks, and `src`, a live borrow, is not among it.
        unsafe { std::ptr::copy_nonoverlapping(src.as_ptr(), at, src.len()) };
    }
}

impl Drop for HeapHost {
    fn drop(&mut self) {
        // SAFETY: allocated with this very layout.
        unsafe { dealloc(self.bytes.as_ptr(), self.layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heap_serves_as_an_explicit_host_memory() {
        let host = HeapHost::open(2 * BLOCK_BYTES).unwrap();
        assert!(host.base().0.is_multiple_of(BLOCK_BYTES));
        host.commit(ByteRange::new(0, BLOCK_BYTES)).unwrap();
        host.write_bytes(100, b"bytes");
        let mut read = [0; 5];
        host.read_bytes(100, &mut read);
        assert_eq!(&read, b"bytes");
        host.decommit(ByteRange::new(0, BLOCK_BYTES)).unwrap();
        host.read_bytes(100, &mut read);
        assert_eq!(read, [0; 5]);
    }

    #[test]
    fn more_than_the_heap_has_is_out_of_memory() {
        assert!(matches!(
            HeapHost::open(1 << 62),
            Err(HostError::OutOfMemory { .. })
        ));
    }
}
