//! Kernels that none of us wrote: every stage of vello's that its authors also wrote for the CPU, unmodified, over a picture of
//! some thousand shapes, in all, a half and an eighth of the memory that the stage binds, where its footprint can be known.
//!
//! - `scene` draws the picture, as vello encodes one; `pipeline` runs vello's own CPU stages over it in their order, and so has
//!   what each stage reads and what it writes;
//! - `stages` compares byte for byte what is the same in whatever order workgroups run;
//! - `allocating` compares the stages that allocate by atomics, which put their output in the order in which workgroups came:
//!   each has a form that does not know of that order;
//! - `wide` has the scan of a long run of path tags in all its levels, and pages of 2 MiB, which need more data than a picture has;
//! - `curves` has curves and strokes, whose floats no two implementations of `sin` agree on.
//!
//! The picture's coordinates are such that all of vello's arithmetic over straight edges is exact: halves and powers of two.
//! So are then the bytes, whatever a driver contracts or divides by.

#[path = "../adapters/mod.rs"]
mod adapters;
#[path = "../paging/mod.rs"]
mod paging;
#[path = "../skipped/mod.rs"]
mod skipped;

mod allocating;
mod curves;
mod pipeline;
mod scene;
mod stages;
mod wide;

use gmem::gpu::AdapterChoice;

/// How much more is bound than the device's memory holds.
fn factors(adapter: &AdapterChoice) -> &'static [u64] {
    if paging::is_gl(adapter) {
        &[1, 8]
    } else {
        &[1, 2, 8]
    }
}

/// Page sizes: of the picture's buffers, which are of some hundred KiB, larger ones would leave a stage few frames more than
/// its bindings. `wide` has 2 MiB.
fn pages(adapter: &AdapterChoice) -> &'static [u64] {
    // Zeroing its workgroup memory takes llvmpipe's GL some seconds to compile, for each variant.
    if paging::is_gl(adapter) {
        &[16_384]
    } else {
        &[4096, 16_384, 65_536]
    }
}
