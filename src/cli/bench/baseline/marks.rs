//! Which pages the lanes of a kernel touch, asked by hand: one submission that clears the marks, sets them and copies them to
//! a buffer that is mapped again and again. Pipeline, bind group and buffers are made beforehand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::simplest::map;
use super::{Plain, dispatch};
use crate::cli::Failure;

/// Lanes of a workgroup.
const GROUP: u64 = 64;

/// A lane marks the page of its word. Who finds it marked leaves it: an atomic that changes nothing would still be waited for.
const WGSL: &str = "
@group(0) @binding(0) var<storage, read_write> marks: array<atomic<u32>>;
@group(0) @binding(1) var<uniform> shift: vec4<u32>;
@compute @workgroup_size(64)
fn mark(@builtin(global_invocation_id) id: vec3<u32>) {
    let page = (id.x * 4u) >> shift.x;
    let bit = 1u << (page % 32u);
    if ((atomicLoad(&marks[page / 32u]) & bit) == 0u) { atomicOr(&marks[page / 32u], bit); }
}";

/// Lanes whose words lie one after the other, ready to mark their pages.
pub struct Marks {
    plain: Plain,
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    marks: wgpu::Buffer,
    readback: wgpu::Buffer,
    grid: [u32; 3],
}

impl Marks {
    /// For so many lanes, over pages of `1 << shift` bytes.
    #[must_use]
    pub fn new(plain: &Plain, lanes: u64, shift: u32) -> Self {
        use wgpu::BufferUsages as U;
        let pages = (4 * lanes).div_ceil(1 << shift);
        let bytes = pages.div_ceil(32) * 4;
        let marks = plain.storage(bytes);
        let readback = plain.buffer(bytes, U::MAP_READ | U::COPY_DST);
        let uniform = plain.uniform(bytemuck::bytes_of(&[shift, 0, 0, 0]));
        let pipeline = plain.pipeline(WGSL);
        let group = plain.group(&pipeline, &[(&marks, 0, None), (&uniform, 0, None)]);
        Self {
            plain: plain.clone(),
            pipeline,
            group,
            marks,
            readback,
            grid: [(lanes / GROUP) as u32, 1, 1],
        }
    }

    /// Asks once: the pages marked, in order.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn round_trip(&self) -> Result<Vec<u32>, Failure> {
        let mut encoder = self.plain.encoder();
        encoder.clear_buffer(&self.marks, 0, None);
        dispatch(&mut encoder, &self.pipeline, &self.group, self.grid);
        encoder.copy_buffer_to_buffer(&self.marks, 0, &self.readback, 0, self.marks.size());
        let submission = self.plain.queue.submit([encoder.finish()]);
        let mapped = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&mapped);
        (self.readback).map_async(wgpu::MapMode::Read, .., move |_| {
            // Whether it went well, the view will tell.
            told.store(true, Ordering::Release);
        });
        self.plain.wait(&submission)?;
        self.plain.until(&mapped)?;
        let view = self.readback.get_mapped_range(..).map_err(Failure::run)?;
        let pages = marked(&view);
        drop(view);
        self.readback.unmap();
        Ok(pages)
    }

    /// The same as one writes it first, to judge the other by: zeroes by `write_buffer`, submit, map, wait for everything.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn simplest_round_trip(&self) -> Result<Vec<u32>, Failure> {
        let zeroes = vec![0; self.marks.size() as usize];
        self.plain.queue.write_buffer(&self.marks, 0, &zeroes);
        let mut encoder = self.plain.encoder();
        dispatch(&mut encoder, &self.pipeline, &self.group, self.grid);
        encoder.copy_buffer_to_buffer(&self.marks, 0, &self.readback, 0, self.marks.size());
        self.plain.queue.submit([encoder.finish()]);
        let mut pages = Vec::new();
        map(&self.plain, &self.readback, |bytes| pages = marked(bytes))?;
        Ok(pages)
    }
}

/// The numbers of the bits that are set.
fn marked(bytes: &[u8]) -> Vec<u32> {
    let mut pages = Vec::new();
    for (first, &word) in (0..)
        .step_by(32)
        .zip(bytemuck::cast_slice::<u8, u32>(bytes))
    {
        let mut rest: u32 = word;
        while rest != 0 {
            pages.push(first + rest.trailing_zeros());
            rest &= rest - 1;
        }
    }
    pages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_marked_each_time() {
        let Ok(gm) = gmem::Gmem::builder().device_memory(8 << 20).build() else {
            eprintln!("skipped: there is no adapter");
            return;
        };
        let plain = Plain::of(&gm).expect("it has a GPU");
        for (lanes, shift, pages) in [(64, 16, 1), (1 << 16, 16, 4), (1 << 16, 12, 64)] {
            let marks = Marks::new(&plain, lanes, shift);
            for _ in 0..2 {
                let marked = marks.round_trip().expect("it runs");
                assert!(marked.into_iter().eq(0..pages), "{lanes} lanes");
                let simplest = marks.simplest_round_trip().expect("it runs");
                assert!(simplest.into_iter().eq(0..pages), "{lanes} lanes");
            }
        }
    }
}
