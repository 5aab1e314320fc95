//! One bit for each page of a space, in memory that costs nothing until a bit is set.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use gmem_hal::{ByteRange, HostError};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use super::os_on;

/// A bit for each kernel page. Bits of pages under different locks may share a word: all changes are atomic.
pub(super) struct Plane {
    words: NonNull<AtomicU64>,
    count: usize,
    shift: u32,
}

// SAFETY: the words are atomics in a mapping that only this value frees.
unsafe impl Send for Plane {}
// SAFETY: as above; shared access goes through atomics alone.
unsafe impl Sync for Plane {}

impl Plane {
    /// All clear, for a space of `len` bytes in pages of `granule` bytes.
    pub(super) fn open(len: u64, granule: u64) -> Result<Self, HostError> {
        let shift = granule.trailing_zeros();
        let count = ((len >> shift).div_ceil(64) as usize).max(1);
        // SAFETY: a new private mapping at an address of the kernel's choice disturbs no other.
        let words = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                count * 8,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }
        .map_err(|errno| os_on("mmap", ByteRange::new(0, len), errno))?;
        let words = NonNull::new(words.cast()).ok_or(HostError::OutOfMemory {
            offset: 0,
            bytes: len,
        })?;
        Ok(Self {
            words,
            count,
            shift,
        })
    }

    fn words(&self) -> &[AtomicU64] {
        // SAFETY: `count` zero-initialised, aligned words, mapped as long as `self` lives and only ever used as atomics.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr(), self.count) }
    }

    /// Sets or clears the bits of a range inside the space.
    pub(super) fn put(&self, range: ByteRange, value: bool) {
        let (mut page, end) = (range.offset >> self.shift, range.end() >> self.shift);
        while page < end {
            let bit = page % 64;
            let n = (64 - bit).min(end - page);
            let mask = (u64::MAX >> (64 - n)) << bit;
            let word = &self.words()[(page / 64) as usize];
            let old = word.load(Ordering::Relaxed);
            // Looking first keeps pages of the plane that hold zeroes only from being given memory.
            if value && old & mask != mask {
                word.fetch_or(mask, Ordering::AcqRel);
            } else if !value && old & mask != 0 {
                word.fetch_and(!mask, Ordering::AcqRel);
            }
            page += n;
        }
    }

    /// The bit of the page that a byte lies in.
    pub(super) fn get(&self, offset: u64) -> bool {
        let page = offset >> self.shift;
        self.words()[(page / 64) as usize].load(Ordering::Acquire) >> (page % 64) & 1 == 1
    }

    /// How far the bits from `offset` on are all as the first one, up to `end`: the offset where that ends.
    pub(super) fn run_end(&self, offset: u64, end: u64) -> u64 {
        let value = self.get(offset);
        let (mut page, last) = (offset >> self.shift, end >> self.shift);
        while page < last {
            let word = self.words()[(page / 64) as usize].load(Ordering::Acquire);
            let same = (if value { !word } else { word } >> (page % 64)).trailing_zeros();
            let left = 64 - (page % 64) as u32;
            page += u64::from(same.min(left));
            if same < left {
                break;
            }
        }
        page.min(last) << self.shift
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        // SAFETY: the mapping is this plane's own, and nothing borrows from it any more.
        let _ = unsafe { munmap(self.words.as_ptr().cast(), self.count * 8) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_follow_a_model_across_words() {
        let plane = Plane::open(1 << 21, 4096).unwrap();
        let mut model = [false; 512];
        let mut seed = 7u64;
        for _ in 0..2000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let from = (seed >> 33) as usize % 512;
            let n = (seed >> 45) as usize % (513 - from);
            let value = seed >> 63 == 1;
            plane.put(ByteRange::new(from as u64 * 4096, n as u64 * 4096), value);
            model[from..from + n].fill(value);
            let at = (seed >> 20) as usize % 512;
            assert_eq!(plane.get(at as u64 * 4096), model[at]);
            let end = model[at..]
                .iter()
                .position(|&b| b != model[at])
                .map_or(512, |n| at + n);
            assert_eq!(
                plane.run_end(at as u64 * 4096, 512 * 4096),
                end as u64 * 4096
            );
        }
    }
}
