//! The oracle's memory: a flat `Vec<u8>` for each allocation.

use std::collections::BTreeSet;

use gmem_hal::Va;
use gmem_sim::SimStop;

use super::kernels::Memory;

/// One allocation, as it should read.
#[derive(Clone, Debug)]
pub struct Allocation {
    pub va: Va,
    /// From the base of the space.
    pub offset: u64,
    pub bytes: Vec<u8>,
    /// Out of the heap, and not a region of its own.
    pub small: bool,
}

/// Bytes of an allocation that a launch binds.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    pub allocation: usize,
    pub start: u64,
    pub len: u64,
}

/// A launch's view of the oracle's memory, which notes the pages that it touches.
pub struct Flat<'a> {
    pub allocations: &'a mut [Allocation],
    pub bound: &'a [Bound],
    pub page: u64,
    pub touched: BTreeSet<u64>,
}

impl Flat<'_> {
    fn span(
        &mut self,
        binding: usize,
        at: u64,
        len: usize,
    ) -> Option<(usize, std::ops::Range<usize>)> {
        let bound = self.bound[binding];
        if at.checked_add(len as u64)? > bound.len {
            return None;
        }
        let from = bound.start + at;
        let first = self.allocations[bound.allocation].offset + from;
        self.touched
            .extend(first / self.page..=(first + len as u64 - 1) / self.page);
        Some((bound.allocation, from as usize..from as usize + len))
    }
}

impl Memory for Flat<'_> {
    fn len(&self, binding: usize) -> u64 {
        self.bound[binding].len
    }
    fn get(&mut self, binding: usize, at: u64, out: &mut [u8]) -> Result<(), SimStop> {
        match self.span(binding, at, out.len()) {
            Some((a, span)) => out.copy_from_slice(&self.allocations[a].bytes[span]),
            None => out.fill(0),
        }
        Ok(())
    }
    fn put(&mut self, binding: usize, at: u64, bytes: &[u8]) -> Result<(), SimStop> {
        if let Some((a, span)) = self.span(binding, at, bytes.len()) {
            self.allocations[a].bytes[span].copy_from_slice(bytes);
        }
        Ok(())
    }
    fn add(&mut self, binding: usize, at: u64, by: u32) -> Result<(), SimStop> {
        let mut old = [0; 4];
        self.get(binding, at, &mut old)?;
        self.put(
            binding,
            at,
            &u32::from_le_bytes(old).wrapping_add(by).to_le_bytes(),
        )
    }
}
