//! A bare userfaultfd handler: the baseline against which the cost of a served fault is measured.
//!
//! One thread reads one event at a time and copies one page of zeroes to where the fault was, nothing else: no batches,
//! no table, no rights, no second mapping. What a real handler takes longer is the price of what it does more.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread::JoinHandle;

use gmem_hal::{ByteRange, HostError, Va};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

use super::thread::{spawn_deaf, wrong_time};
use super::uffd::kernel::{EventBuffer, Mapped, Uffd, Watch};
use super::{os, os_on};

/// Memory whose absent pages are filled with zeroes by one thread, page by page.
pub struct BareHandler {
    base: NonNull<u8>,
    len: usize,
    page: usize,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

// SAFETY: the mapping belongs to this value and to no thread; it goes when the value is dropped, by whomever.
unsafe impl Send for BareHandler {}
// SAFETY: through a shared reference the memory is reached as atomic bytes alone, and `forget` is to them a store of
// zeroes by the kernel. What callers do with `base` is theirs to argue.
unsafe impl Sync for BareHandler {}

impl BareHandler {
    /// `len` bytes (rounded up to whole pages) in pages of `page_bytes`, a power of two of at least 4 KiB.
    ///
    /// # Errors
    /// When the page is no such power of two, or there is no userfaultfd here.
    pub fn new(len: usize, page_bytes: usize) -> Result<Self, HostError> {
        if !page_bytes.is_power_of_two() || page_bytes < rustix::param::page_size() {
            return Err(wrong_time(
                "bare handler",
                "the page must be a power of two, and the kernel's own at least",
            ));
        }
        let uffd = Uffd::open_waiting()?;
        let no_room = HostError::OutOfMemory {
            offset: 0,
            bytes: len as u64,
        };
        // A page more, whose fault ends the thread; and one to align with.
        let Some((len, size)) = len
            .checked_next_multiple_of(page_bytes)
            .and_then(|len| Some((len, len.checked_add(2 * page_bytes)?)))
        else {
            return Err(no_room);
        };
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no other.
        let base = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                size,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }
        .map_err(|errno| os_on("mmap", ByteRange::new(0, len as u64), errno))?;
        let base = NonNull::new(base.cast::<u8>()).ok_or(no_room)?;
        let mut this = Self {
            base,
            len,
            page: page_bytes,
            ending: Arc::default(),
            thread: None,
        };
        let start = this.first() as u64;
        uffd.register(start, (len + page_bytes) as u64, Watch::Missing)
            .map_err(|errno| os("ioctl(UFFDIO_REGISTER)", errno))?;
        let ending = Arc::clone(&this.ending);
        let mask = !(page_bytes as u64 - 1);
        let zeroes = vec![0u8; page_bytes];
        let body = move || {
            let mut events = EventBuffer::new(1);
            while uffd.read(&mut events).is_ok() {
                for event in events.faults() {
                    let at = event.address & mask;
                    // SAFETY: the source is a page's worth of zeroes; the destination is an absent page of the
                    // registered memory, which has no contents yet.
                    let copied = unsafe { uffd.copy(at, zeroes.as_ptr(), zeroes.len() as u64) };
                    if !matches!(copied, Ok(Mapped::Bytes(_))) {
                        let _ = uffd.wake(at, zeroes.len() as u64);
                    }
                }
                if ending.load(Ordering::Acquire) {
                    return;
                }
            }
        };
        this.thread = Some(spawn_deaf("gmem-bare".to_owned(), body)?);
        Ok(this)
    }

    /// The first address, a multiple of the page.
    #[must_use]
    pub fn base(&self) -> Va {
        Va(self.first() as u64)
    }

    /// Bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Stores a byte. On an absent page that is a fault, which the handler serves.
    ///
    /// # Panics
    /// When there is no such byte.
    pub fn touch(&self, offset: usize, value: u8) {
        self.byte(offset).store(value, Ordering::Relaxed);
    }

    /// Loads a byte. On an absent page that is a fault too.
    ///
    /// # Panics
    /// When there is no such byte.
    #[must_use]
    pub fn read(&self, offset: usize) -> u8 {
        self.byte(offset).load(Ordering::Relaxed)
    }

    fn byte(&self, offset: usize) -> &AtomicU8 {
        assert!(offset < self.len, "there is no byte {offset}");
        // SAFETY: a byte inside the mapping, which lives as long as this value; no reference to it but atomic ones is made
        // here, and any byte is an initialised one: an absent page is filled before the access goes on.
        unsafe { AtomicU8::from_ptr(self.first().wrapping_add(offset)) }
    }

    /// Makes every page absent again, so that the next touch of each is a fault.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn forget(&self) -> Result<(), HostError> {
        // SAFETY: this value's own mapping, whose contents nobody was promised to keep.
        unsafe { madvise(self.first().cast(), self.len, Advice::LinuxDontNeed) }
            .map_err(|errno| os("madvise", errno))
    }

    fn first(&self) -> *mut u8 {
        let base = self.base.as_ptr();
        base.wrapping_add(base.align_offset(self.page))
    }
}

impl Drop for BareHandler {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // SAFETY: the page behind the last one, mapped and registered; touching it is the event that ends the
            // thread. Had the thread ended before, its closed descriptor left ordinary memory here.
            unsafe { self.first().wrapping_add(self.len).read_volatile() };
            let _ = thread.join();
        }
        // SAFETY: this value's own mapping.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.len + 2 * self.page) };
    }
}
