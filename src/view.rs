//! Typed views of user memory: the facade's only dereferences.
//!
//! What makes them sound: a region is mapped from its allocation to its end, which waits for nothing but itself; its bytes
//! are initialised (a page that was never written reads as zero) and any bytes are a valid `T: Pod`; an address of the space
//! is touched only by who borrows the vector and by passes of launches that borrowed it, and views wait for those whose
//! borrow was leaked. A fault on the way changes which memory is behind the address, never its content.
#![allow(unsafe_code)]

use bytemuck::Pod;
use gmem_hal::Va;

/// `len` elements from `va` on.
///
/// # Safety
/// - `va` is the address of `len` elements inside one live region, aligned for `T`;
/// - until `'a` ends, the region is not freed and nobody writes these elements: neither a CPU thread nor a pass.
pub(crate) unsafe fn shared<'a, T: Pod>(va: Va, len: usize) -> &'a [T] {
    // SAFETY: the caller vouches for liveness, alignment and the absence of writers; the bytes are initialised
    // (fresh pages are zeroed) and every bit pattern is a `T`. The pointer comes from the mapping that `mmap` exposed.
    unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance(va.0 as usize), len) }
}

/// `len` elements from `va` on, to be changed.
///
/// # Safety
/// As [`shared`], and until `'a` ends nobody else reads these elements either.
pub(crate) unsafe fn exclusive<'a, T: Pod>(va: Va, len: usize) -> &'a mut [T] {
    // SAFETY: as in `shared`, and the caller vouches that the access is exclusive.
    unsafe {
        core::slice::from_raw_parts_mut(core::ptr::with_exposed_provenance_mut(va.0 as usize), len)
    }
}

/// A pointer to an address of the space.
pub(crate) fn pointer(va: Va) -> *mut u8 {
    core::ptr::with_exposed_provenance_mut(va.0 as usize)
}
