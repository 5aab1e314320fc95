//! Typed memory of the space.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

use bytemuck::Pod;
use gmem_hal::{Access, ByteRange, Cause, HostMechanism, Va};
use gmem_runtime::{MoveError, PageReport, Region};

use crate::space::Inner;
use crate::{DeviceHandle, Error, Gmem, view};

/// `len` elements in pages of their own, shared by the CPU and the devices. Derefs to a slice.
///
/// A slice is ordinary memory: touching it brings the page home when it is elsewhere, and waits for a pass that uses it.
/// Under [`HostMechanism::Explicit`] touches are not noticed: there, taking the slice brings all of the vector home first
/// ([`Vector::read`] and [`Vector::write`] bring a part).
pub struct Vector<T> {
    inner: Arc<Inner>,
    region: Arc<Region>,
    len: usize,
    element: PhantomData<T>,
}

impl<T: Pod> Vector<T> {
    pub(crate) fn new(gm: &Gmem, len: usize) -> Result<Self, Error> {
        let bytes = len.checked_mul(size_of::<T>()).ok_or(Error::TooMany {
            elements: len,
            bytes: size_of::<T>(),
        })?;
        let region = gm
            .inner
            .space
            .allocate(bytes as u64, align_of::<T>() as u64)?;
        Ok(Self {
            inner: Arc::clone(&gm.inner),
            region,
            len,
            element: PhantomData,
        })
    }

    /// The address of the first element: the same on the CPU and in every device's page table.
    #[must_use]
    pub fn va(&self) -> Va {
        self.region.va()
    }

    /// Bytes in all.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        (self.len * size_of::<T>()) as u64
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// The bytes of some elements, from the base of the space.
    pub(crate) fn byte_range(&self, elements: Range<usize>) -> Result<ByteRange, Error> {
        if elements.start > elements.end || elements.end > self.len {
            return Err(Error::OutOfRange {
                start: elements.start,
                end: elements.end,
                len: self.len,
            });
        }
        let size = size_of::<T>() as u64;
        Ok(ByteRange::new(
            self.region.range().offset + elements.start as u64 * size,
            (elements.end - elements.start) as u64 * size,
        ))
    }

    fn ready(&self, elements: Range<usize>, access: Access) -> Result<Va, Error> {
        let range = self.byte_range(elements)?;
        self.region.wait(access);
        if self.inner.space.host().mechanism() == HostMechanism::Explicit {
            self.inner
                .space
                .bring_home(range, access, Cause::UserCopy)?;
        }
        Ok(self.inner.space.geometry().va(range.offset))
    }

    /// Some elements, to be read. Waits for launches that write the vector.
    ///
    /// # Errors
    /// When the range is outside, or the only copy of a page is lost (noticed here only under explicit views).
    #[allow(unsafe_code)]
    pub fn read(&self, elements: Range<usize>) -> Result<&[T], Error> {
        let va = self.ready(elements.clone(), Access::Read)?;
        // SAFETY: the range is inside the live region, whose page-aligned start suits any `T`. No launch writes it: those that
        // did are over (`ready` waited), a new one needs `&mut self`, and so does a CPU writer.
        Ok(unsafe { view::shared(va, elements.len()) })
    }

    /// Some elements, to be changed. Waits for launches that use the vector.
    ///
    /// # Errors
    /// As [`Vector::read`].
    #[allow(unsafe_code)]
    pub fn write(&mut self, elements: Range<usize>) -> Result<&mut [T], Error> {
        let va = self.ready(elements.clone(), Access::Write)?;
        // SAFETY: as in `read`; launches that read it are over too, and `&mut self` keeps everybody else out.
        Ok(unsafe { view::exclusive(va, elements.len()) })
    }

    /// Brings the vector to a device before a launch needs it, and waits. Of one that is larger than the device its first
    /// pages are brought, as many as fit: a launch begins with them. The others stay where they are.
    ///
    /// # Errors
    /// When the device failed, or is another space's.
    pub fn prefetch(&self, device: &DeviceHandle) -> Result<(), Error> {
        device.check_space(&self.inner)?;
        Ok(self
            .inner
            .space
            .prefetch(device.node, self.byte_range(0..self.len)?)?
            .wait()?)
    }

    /// Brings the vector home before the CPU needs it.
    ///
    /// # Errors
    /// When the only copy of a page is lost.
    pub fn prefetch_host(&self) -> Result<(), Error> {
        self.region.wait(Access::Read);
        Ok(self.inner.space.bring_home(
            self.byte_range(0..self.len)?,
            Access::Read,
            Cause::Prefetch,
        )?)
    }

    /// Takes the vector away from a device; what only it has goes home.
    ///
    /// # Errors
    /// When the device failed, or is another space's.
    pub fn evict(&self, device: &DeviceHandle) -> Result<(), Error> {
        device.check_space(&self.inner)?;
        Ok(self
            .inner
            .space
            .evict(device.node, self.byte_range(0..self.len)?)?
            .wait()?)
    }

    /// Forgets the content: it reads as zero and costs nothing.
    ///
    /// # Errors
    /// When a device refused to let go.
    #[doc(alias = "gmemFreeEager")]
    pub fn discard(&mut self) -> Result<(), Error> {
        self.region.wait(Access::Write);
        Ok(self.inner.space.discard(self.region.range())?)
    }

    /// Keeps the vector at home while the pin lives: system calls may be given its addresses, launches of it fail.
    ///
    /// # Errors
    /// When the only copy of a page is lost.
    pub fn pin_host(&mut self) -> Result<HostPin<'_, T>, Error> {
        self.inner.space.pin_host(&self.region)?;
        Ok(HostPin { vector: self })
    }

    /// Where each page is.
    #[must_use]
    pub fn residency(&self) -> Vec<PageReport> {
        let geometry = self.inner.space.geometry();
        let pages = geometry.pages_of(self.region.range());
        pages
            .filter_map(|p| {
                self.inner
                    .space
                    .query(geometry.va(p << geometry.page.shift()))
            })
            .collect()
    }
}

impl<T: Pod> Deref for Vector<T> {
    type Target = [T];

    /// # Panics
    /// Under explicit views, when a device was lost with the only copy of a page: [`Vector::read`] returns that as an error.
    fn deref(&self) -> &[T] {
        self.read(0..self.len).unwrap_or_else(|e| panic!("{e}"))
    }
}

impl<T: Pod> DerefMut for Vector<T> {
    /// # Panics
    /// As [`Vector::deref`].
    fn deref_mut(&mut self) -> &mut [T] {
        let len = self.len;
        self.write(0..len).unwrap_or_else(|e| panic!("{e}"))
    }
}

impl<T> Vector<T> {
    /// Elements. (Needs no page: it is not read through the slice.)
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none: never, since an allocation has at least one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<T: Pod + core::fmt::Debug> core::fmt::Debug for Vector<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "Vector<{}>[{}] at {}",
            core::any::type_name::<T>(),
            self.len,
            self.va()
        )
    }
}

impl<T> Drop for Vector<T> {
    fn drop(&mut self) {
        // A device that refuses once (a transient failure) may let go at the second attempt; after that the region leaks.
        for _ in 0..3 {
            match self.inner.space.free(self.region.va()) {
                Err(MoveError::Device(_)) => {}
                _ => return,
            }
        }
    }
}

/// A vector that stays at home. Derefs to its slice.
pub struct HostPin<'a, T: Pod> {
    vector: &'a mut Vector<T>,
}

impl<T: Pod> Deref for HostPin<'_, T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        self.vector
    }
}

impl<T: Pod> DerefMut for HostPin<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.vector
    }
}

impl<T: Pod> Drop for HostPin<'_, T> {
    fn drop(&mut self) {
        self.vector.inner.space.unpin_host(&self.vector.region);
    }
}
