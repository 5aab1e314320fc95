//! A memory file mapped twice: the *user mapping*, whose rights change, and the *alias*, which the runtime reads and writes.
//!
//! Invariants: both mappings live, at fixed addresses, as long as the [`Window`]; every range that is passed to the
//! kernel is checked to lie inside; neither mapping is inherited by `fork`.
//! Which pages may be touched when is the business of the three hosts.

use std::os::fd::OwnedFd;
use std::ptr::NonNull;

use gmem_hal::{BLOCK_BYTES, ByteRange, HostError};
use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, ftruncate, memfd_create};
use rustix::io::Errno;
use rustix::mm::{
    Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap, mmap_anonymous, mprotect, munmap,
};

use super::{os, os_on};

/// The two mappings of one space, and the file under them.
pub(super) struct Window {
    user: NonNull<u8>,
    alias: NonNull<u8>,
    len: usize,
    granule: u64,
    file: OwnedFd,
}

// SAFETY: the pointers are the window's own mappings, which no other value frees; all access through them is by
// methods that pass addresses to the kernel, or that move bytes under the block locks of the caller.
unsafe impl Send for Window {}
// SAFETY: as above: no method hands out access that the caller's block locks do not make exclusive.
unsafe impl Sync for Window {}

impl Window {
    /// Reserves both mappings; `len` is a multiple of 2 MiB. The user mapping gives no access yet.
    pub(super) fn open(len: u64) -> Result<Self, HostError> {
        let whole = ByteRange::new(0, len);
        let size = usize::try_from(len).map_err(|_| os_on("mmap", whole, Errno::NOMEM))?;
        let file =
            memfd_create("gmem", MemfdFlags::CLOEXEC).map_err(|errno| os("memfd_create", errno))?;
        ftruncate(&file, len).map_err(|errno| match errno {
            Errno::FBIG | Errno::INVAL => os_on("ftruncate", whole, Errno::NOMEM),
            other => os_on("ftruncate", whole, other),
        })?;
        let user = map_aligned(&file, size, ProtFlags::empty())
            .map_err(|errno| os_on("mmap", whole, errno))?;
        let alias =
            map_aligned(&file, size, ProtFlags::READ | ProtFlags::WRITE).map_err(|errno| {
                // SAFETY: `user` was mapped above with this size, and nothing refers to it yet.
                let _ = unsafe { munmap(user.as_ptr().cast(), size) };
                os_on("mmap", whole, errno)
            })?;
        Ok(Self {
            user,
            alias,
            len: size,
            granule: rustix::param::page_size() as u64,
            file,
        })
    }

    /// The lowest address of the user mapping.
    pub(super) fn base(&self) -> u64 {
        self.user.as_ptr() as u64
    }

    /// Bytes reserved.
    pub(super) fn len(&self) -> u64 {
        self.len as u64
    }

    /// The kernel's own page: the unit of rights, 4 KiB on most machines.
    pub(super) fn granule(&self) -> u64 {
        self.granule
    }

    /// The kernel's page that a byte lies in.
    pub(super) fn page_of(&self, offset: u64) -> ByteRange {
        ByteRange::new(offset & !(self.granule - 1), self.granule)
    }

    /// Refuses a range that is not made of whole pages inside the space.
    pub(super) fn check(&self, call: &'static str, range: ByteRange) -> Result<(), HostError> {
        let inside = range
            .offset
            .checked_add(range.len)
            .is_some_and(|end| end <= self.len());
        let whole = (range.offset | range.len).is_multiple_of(self.granule);
        if inside && whole {
            return Ok(());
        }
        let reason = format!(
            "offset {:#x} with length {:#x} is not a run of whole pages inside the space",
            range.offset, range.len
        );
        Err(HostError::Os {
            call,
            source: std::io::Error::new(std::io::ErrorKind::InvalidInput, reason),
        })
    }

    /// Sets the page protection of the user mapping.
    pub(super) fn protect(&self, range: ByteRange, rights: MprotectFlags) -> Result<(), HostError> {
        self.check("mprotect", range)?;
        if range.len == 0 {
            return Ok(());
        }
        // SAFETY: checked to lie in the user mapping, which holds no Rust object of this crate: a touch that the new
        // protection does not allow is a fault of the program that touches, as `HostMemory` says.
        unsafe { mprotect(self.user_at(range), range.len as usize, rights) }
            .map_err(|errno| os_on("mprotect", range, errno))
    }

    /// Takes the pages of a range out of the user mapping; their contents stay in the file.
    pub(super) fn zap(&self, range: ByteRange) -> Result<(), HostError> {
        self.check("madvise", range)?;
        if range.len == 0 {
            return Ok(());
        }
        // SAFETY: checked to lie in the user mapping, which is shared: dropping page-table entries loses no byte.
        unsafe {
            madvise(
                self.user_at(range),
                range.len as usize,
                Advice::LinuxDontNeed,
            )
        }
        .map_err(|errno| os_on("madvise", range, errno))
    }

    /// Gives every page of a range memory (zeroed where it had none), keeping contents.
    pub(super) fn fill(&self, range: ByteRange) -> Result<(), HostError> {
        self.check("fallocate", range)?;
        self.allocate(FallocateFlags::KEEP_SIZE, range)
    }

    /// Gives the memory of a range back. It reads as zero afterwards, and is out of both mappings.
    pub(super) fn punch(&self, range: ByteRange) -> Result<(), HostError> {
        self.check("fallocate", range)?;
        self.allocate(
            FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
            range,
        )
    }

    fn allocate(&self, flags: FallocateFlags, range: ByteRange) -> Result<(), HostError> {
        if range.len == 0 {
            return Ok(());
        }
        loop {
            match fallocate(&self.file, flags, range.offset, range.len) {
                Ok(()) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(os_on("fallocate", range, errno)),
            }
        }
    }

    /// Lends bytes through the alias.
    ///
    /// # Panics
    /// When the range leaves the space: reading on would be undefined.
    pub(super) fn with_bytes(&self, range: ByteRange, f: &mut dyn FnMut(&[u8])) {
        self.assert_inside(range);
        // SAFETY: inside the alias, which stays mapped readable as long as `self` is borrowed. The caller holds the block
        // locks and revoked the user's right to write, so nobody writes these bytes while they are lent.
        let bytes = unsafe {
            std::slice::from_raw_parts(
                self.alias.as_ptr().add(range.offset as usize),
                range.len as usize,
            )
        };
        f(bytes);
    }

    /// Overwrites bytes through the alias.
    ///
    /// # Panics
    /// When the bytes leave the space: writing on would be undefined.
    pub(super) fn write_bytes(&self, offset: u64, src: &[u8]) {
        self.assert_inside(ByteRange::new(offset, src.len() as u64));
        // SAFETY: inside the alias, which is mapped writable; the caller holds the block locks and revoked the user's
        // rights, so nobody else reads or writes these bytes, and `src`, a live borrow, is not among them.
        unsafe {
            std::ptr::copy_nonoverlapping(
                src.as_ptr(),
                self.alias.as_ptr().add(offset as usize),
                src.len(),
            );
        }
    }

    fn assert_inside(&self, range: ByteRange) {
        let inside = range
            .offset
            .checked_add(range.len)
            .is_some_and(|end| end <= self.len());
        assert!(
            inside,
            "{range:?} leaves the space of {:#x} bytes",
            self.len
        );
    }

    /// The address in the user mapping of a checked range.
    fn user_at(&self, range: ByteRange) -> *mut core::ffi::c_void {
        self.user
            .as_ptr()
            .wrapping_add(range.offset as usize)
            .cast()
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // SAFETY: the two mappings are this window's own and nothing borrows from it any more. User pointers into the
        // space are raw, and dead by the contract of `HostMemory`.
        unsafe {
            let _ = munmap(self.user.as_ptr().cast(), self.len);
            let _ = munmap(self.alias.as_ptr().cast(), self.len);
        }
    }
}

/// Maps the file at a multiple of 2 MiB: reserves that much more, maps inside it, trims the rest.
fn map_aligned(file: &OwnedFd, len: usize, prot: ProtFlags) -> Result<NonNull<u8>, Errno> {
    let slack = BLOCK_BYTES as usize;
    let reserved = len.checked_add(slack).ok_or(Errno::NOMEM)?;
    let hold = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: a new mapping at an address of the kernel's choice disturbs no other.
    let start = unsafe {
        mmap_anonymous(std::ptr::null_mut(), reserved, ProtFlags::empty(), hold)?.cast::<u8>()
    };
    let head = start.align_offset(slack);
    let base = start.wrapping_add(head);
    let flags = MapFlags::SHARED | MapFlags::NORESERVE | MapFlags::FIXED;
    // SAFETY: `base..base + len` lies in the reservation above, which is ours and unused.
    let mapped = unsafe { mmap(base.cast(), len, prot, flags, file, 0) }.and_then(|_| {
        // SAFETY: the mapping made just now.
        unsafe { madvise(base.cast(), len, Advice::LinuxDontFork) }
    });
    if let Err(errno) = mapped {
        // SAFETY: the whole reservation is ours and unused.
        let _ = unsafe { munmap(start.cast(), reserved) };
        return Err(errno);
    }
    let tail = slack - head;
    // SAFETY: head and tail are what the reservation has outside `base..base + len`; unused.
    unsafe {
        if head > 0 {
            let _ = munmap(start.cast(), head);
        }
        if tail > 0 {
            let _ = munmap(base.wrapping_add(len).cast(), tail);
        }
    }
    NonNull::new(base).ok_or(Errno::NOMEM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_outside_the_space_or_unaligned_are_refused() {
        let window = Window::open(BLOCK_BYTES).unwrap();
        assert!(window.base().is_multiple_of(BLOCK_BYTES));
        for (offset, len) in [
            (BLOCK_BYTES, 4096),
            (0, 2 * BLOCK_BYTES),
            (1, 4096),
            (0, 5),
            (u64::MAX, 4096),
        ] {
            let range = ByteRange::new(offset, len);
            assert!(window.check("test", range).is_err(), "{range:?}");
            assert!(window.fill(range).is_err(), "{range:?}");
            assert!(window.zap(range).is_err(), "{range:?}");
        }
        window
            .check("test", ByteRange::new(BLOCK_BYTES, 0))
            .unwrap();
    }

    #[test]
    fn a_punched_range_reads_as_zero() {
        let window = Window::open(BLOCK_BYTES).unwrap();
        window.write_bytes(4096, &[7; 8192]);
        window.punch(ByteRange::new(4096, 4096)).unwrap();
        window.with_bytes(ByteRange::new(4096, 8192), &mut |bytes| {
            assert!(bytes[..4096].iter().all(|&b| b == 0));
            assert!(bytes[4096..].iter().all(|&b| b == 7));
        });
    }

    #[test]
    fn more_than_the_address_space_is_out_of_memory() {
        assert!(matches!(
            Window::open(1 << 60),
            Err(HostError::OutOfMemory { .. })
        ));
    }

    #[test]
    #[should_panic(expected = "leaves the space")]
    fn bytes_outside_the_space_are_never_lent() {
        let window = Window::open(BLOCK_BYTES).unwrap();
        window.with_bytes(ByteRange::new(BLOCK_BYTES - 1, 2), &mut |_| {});
    }
}
