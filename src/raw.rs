//! The raw form: `malloc` and friends over the space. Pointers are ordinary: lists and trees of them can be walked by the
//! CPU and, by the same addresses, by devices.
#![allow(unsafe_code)]

use std::sync::Arc;

use gmem_hal::{Access, ByteRange, Cause, Reached, Va};
use gmem_runtime::AddressError;

use crate::{Error, Gmem, Launch, view};

impl Gmem {
    /// Memory for `bytes` bytes, aligned to 16; its content is unspecified. Null when there is no room or `bytes` is 0.
    #[doc(alias = "gm_malloc")]
    #[must_use]
    pub fn malloc(&self, bytes: usize) -> *mut u8 {
        self.aligned_alloc(16, bytes)
    }

    /// Memory for `bytes` bytes at a multiple of `align` (a power of two up to 2 MiB). Null when that cannot be had.
    #[must_use]
    pub fn aligned_alloc(&self, align: usize, bytes: usize) -> *mut u8 {
        self.inner
            .heap
            .allocate(&self.inner.space, bytes as u64, align as u64)
            .map_or(core::ptr::null_mut(), view::pointer)
    }

    /// Memory for `count` elements of `bytes` bytes, all zero. Null when there is no room or the product overflows.
    #[must_use]
    pub fn calloc(&self, count: usize, bytes: usize) -> *mut u8 {
        let Some(total) = count.checked_mul(bytes) else {
            return core::ptr::null_mut();
        };
        let p = self.malloc(total);
        if !p.is_null() {
            // A slot used before may be on a device still; where touches are not noticed it must come home first.
            if self.touch(p, total, true).is_err() {
                // SAFETY: it was given a moment ago, and nobody else knows of it.
                let _ = unsafe { self.free(p) };
                return core::ptr::null_mut();
            }
            // SAFETY: `malloc` gave `total` bytes that nobody else knows of.
            unsafe { core::ptr::write_bytes(p, 0, total) };
        }
        p
    }

    /// Gives memory back. Null is allowed, as in C. Waits for launches that use its region.
    ///
    /// # Errors
    /// When the pointer is not one that `malloc` gave: freed before, inside an allocation, or foreign. Nothing happens then.
    ///
    /// # Safety
    /// Nobody uses the memory any more: no reference to it is alive, and no pass of a launch follows a pointer to it.
    pub unsafe fn free(&self, p: *mut u8) -> Result<(), Error> {
        if p.is_null() {
            return Ok(());
        }
        Ok(self
            .inner
            .heap
            .free(&self.inner.space, Va(p.expose_provenance() as u64))?)
    }

    /// Moves an allocation to one of `bytes` bytes, keeping what fits; in place where its slot is large enough.
    /// Null allocates; zero bytes frees and gives null; null on failure, the old allocation then staying.
    ///
    /// # Errors
    /// When the pointer is not one that `malloc` gave.
    ///
    /// # Safety
    /// As [`Gmem::free`], for the old address.
    pub unsafe fn realloc(&self, p: *mut u8, bytes: usize) -> Result<*mut u8, Error> {
        if p.is_null() {
            return Ok(self.malloc(bytes));
        }
        let usable = self.usable(p)?;
        if bytes == 0 {
            // SAFETY: the caller's promise.
            unsafe { self.free(p)? };
            return Ok(core::ptr::null_mut());
        }
        if bytes <= usable && bytes > usable / 4 {
            return Ok(p);
        }
        let new = self.malloc(bytes);
        if new.is_null() {
            return Ok(new);
        }
        let kept = usable.min(bytes);
        if let Err(e) = self
            .touch(p, kept, false)
            .and_then(|()| self.touch(new, kept, true))
        {
            // SAFETY: it was given a moment ago, and nobody else knows of it.
            unsafe { self.free(new)? };
            return Err(e);
        }
        // SAFETY: both are live allocations of at least that many bytes, and do not overlap; the caller promises that the old
        // one is not in use.
        unsafe {
            core::ptr::copy_nonoverlapping(p, new, kept);
            self.free(p)?;
        }
        Ok(new)
    }

    /// Bytes usable at a pointer that `malloc` gave.
    ///
    /// # Errors
    /// When it is not one.
    #[doc(alias = "malloc_usable_size")]
    pub fn usable(&self, p: *const u8) -> Result<usize, Error> {
        Ok(self
            .inner
            .heap
            .usable(&self.inner.space, Va(p.expose_provenance() as u64))? as usize)
    }

    /// Brings the bytes at a pointer home, with the right to write them if `write`: what an access needs first where touches
    /// are not noticed (explicit views). Elsewhere it is a prefetch.
    ///
    /// # Errors
    /// When the bytes are not inside one region, or the only copy of a page is lost.
    pub fn touch(&self, p: *const u8, bytes: usize, write: bool) -> Result<(), Error> {
        let range = self.raw_range(p, bytes)?;
        let access = if write { Access::Write } else { Access::Read };
        Ok(self
            .inner
            .space
            .bring_home(range, access, Cause::UserCopy)?)
    }

    /// The bytes at a pointer, from the base of the space.
    pub(crate) fn raw_range(&self, p: *const u8, bytes: usize) -> Result<ByteRange, Error> {
        let va = Va(p.expose_provenance() as u64);
        let region = self.inner.space.region_of(va)?;
        let offset = self
            .inner
            .space
            .geometry()
            .offset_of(va)
            .ok_or(AddressError::Unknown { va })?;
        let start = offset - region.range().offset;
        let end = start.saturating_add(bytes as u64);
        if end > region.range().len {
            return Err(Error::BeyondRegion {
                va: region.va(),
                start,
                end,
                len: region.range().len,
            });
        }
        Ok(ByteRange::new(offset, bytes as u64))
    }
}

impl Launch<'_> {
    /// Says that the kernel's pointers may lead to `bytes` bytes at a raw pointer of the space, to be read and written.
    ///
    /// # Safety
    /// As [`Launch::bind_raw`].
    pub unsafe fn reach_raw(mut self, p: *const u8, bytes: usize) -> Self {
        let gm = Gmem {
            inner: Arc::clone(&self.kernel.inner),
        };
        let result = gm.raw_range(p, bytes).map(|bytes| {
            self.reach.push(Reached {
                bytes,
                writable: true,
            });
        });
        self.kept(result)
    }

    /// Says that the kernel's pointers may lead to everything that is allocated in the space now, by whomever.
    ///
    /// # Safety
    /// As [`Launch::bind_raw`], for every byte of the space that the kernel really reaches; nothing of it is freed until the
    /// launch is over.
    pub unsafe fn reach_all(mut self) -> Self {
        let regions = self.kernel.inner.space.all_regions();
        self.reach.extend(regions.iter().map(|region| Reached {
            bytes: ByteRange::new(region.range().offset, region.bytes()),
            writable: true,
        }));
        self
    }
}
