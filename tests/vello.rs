//! A kernel that none of us wrote: vello's `pathtag_reduce`, unmodified, in a quarter of the memory that its buffers take,
//! byte for byte what its authors' CPU version gives.

mod adapters;
mod skipped;

use std::cell::RefCell;

use gmem::gpu::{AdapterChoice, BackendName};
use gmem::{DeviceChoice, Gmem};
use vello_shaders::cpu::CpuBinding;

const WORKGROUPS: u32 = 4096;
/// Words of vello's `ConfigUniform`, and the one that says where the path tags begin.
const CONFIG_WORDS: usize = 22;
const PATH_TAG_BASE: usize = 9;
/// Bytes of a `TagMonoid`.
const MONOID: usize = 20;

fn path_tags(base: usize) -> Vec<u32> {
    let mut x = 0x9e37_79b9_u32;
    (0..base + WORKGROUPS as usize * 256)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 17;
            x ^= x << 5;
            x
        })
        .collect()
}

#[test]
fn pathtag_reduce_at_a_quarter_of_its_memory_is_byte_equal() {
    let mut config = [0u32; CONFIG_WORDS];
    config[PATH_TAG_BASE] = 37;
    let tags = path_tags(37);
    let reduced = RefCell::new(vec![0u8; WORKGROUPS as usize * MONOID]);
    vello_shaders::cpu::pathtag_reduce(
        WORKGROUPS,
        &[
            CpuBinding::Buffer(bytemuck::cast_slice(&config)),
            CpuBinding::Buffer(bytemuck::cast_slice(&tags)),
            CpuBinding::BufferRW(&reduced),
        ],
    );
    let expected = reduced.into_inner();
    let bytes = (4 * tags.len() + expected.len()) as u64;
    let shader = &vello_shaders::SHADERS.pathtag_reduce;

    for adapter in adapters::adapters() {
        // Zeroing its workgroup memory takes llvmpipe's GL some seconds to compile, for each variant: one page size will do there.
        let gl = adapter == AdapterChoice::Backend(BackendName::Gl);
        let pages: &[u64] = if gl { &[65536] } else { &[4096, 65536] };
        for &page in pages {
            let device_memory = bytes / 4;
            let gm = Gmem::builder()
                .device(DeviceChoice::Gpu(adapter.clone()))
                .device_memory(device_memory)
                .page_size(page)
                .build()
                .unwrap();
            let mut scene = gm.alloc::<u32>(tags.len()).unwrap();
            let mut out = gm.alloc::<u8>(expected.len()).unwrap();
            scene.copy_from_slice(&tags);
            let kernel = gm.kernel(&shader.wgsl.code).unwrap();
            assert_eq!(kernel.workgroup_size(), shader.workgroup_size);
            let report = kernel
                .launch([WORKGROUPS, 1, 1])
                .uniform("config", &config)
                .bind("scene", &scene)
                .bind("reduced", &mut out)
                .run()
                .unwrap();
            assert!(
                *out == *expected,
                "{adapter} with pages of {page}: not what vello's CPU version gives"
            );
            let stats = gm.stats();
            assert!(
                stats.devices[0].1.peak_windows <= device_memory,
                "{adapter}: over the cap"
            );
            assert!(
                report.passes >= 4,
                "{adapter}: {} passes cannot have seen all of it",
                report.passes
            );
        }
    }
}
