//! What a launch binds besides memory, through the whole runtime: textures, samplers and immediates.

mod adapters;
mod few_pages;
mod skipped;

use few_pages::space;
use gmem::{DeviceChoice, Error, Gmem};
use wgpu::{TextureFormat as Format, TextureUsages as Usage};

/// The device's own wgpu objects.
fn own(gm: &Gmem) -> (wgpu::Device, wgpu::Queue) {
    gm.device(0).unwrap().gpu().unwrap().wgpu().unwrap()
}

/// A texture of `u32`s, 256 wide.
fn texture(gm: &Gmem, usage: Usage, texels: &[u32]) -> wgpu::Texture {
    let (device, queue) = own(gm);
    let size = wgpu::Extent3d {
        width: 256,
        height: texels.len() as u32 / 256,
        depth_or_array_layers: 1,
    };
    let texture = device.create_texture(&wgpu::TextureDescriptor {
        label: None,
        size,
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: Format::R32Uint,
        usage: usage | Usage::COPY_DST | Usage::COPY_SRC,
        view_formats: &[],
    });
    let layout = wgpu::TexelCopyBufferLayout {
        offset: 0,
        bytes_per_row: Some(1024),
        rows_per_image: None,
    };
    let bytes = bytemuck::cast_slice(texels);
    queue.write_texture(texture.as_image_copy(), bytes, layout, size);
    texture
}

fn read(gm: &Gmem, texture: &wgpu::Texture) -> Vec<u32> {
    let (device, queue) = own(gm);
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: u64::from(texture.height()) * 1024,
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    encoder.copy_texture_to_buffer(
        texture.as_image_copy(),
        wgpu::TexelCopyBufferInfo {
            buffer: &buffer,
            layout: wgpu::TexelCopyBufferLayout {
                offset: 0,
                bytes_per_row: Some(1024),
                rows_per_image: None,
            },
        },
        texture.size(),
    );
    queue.submit([encoder.finish()]);
    buffer.map_async(wgpu::MapMode::Read, .., |_| {});
    device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    let view = buffer.get_mapped_range(..).unwrap();
    bytemuck::pod_collect_to_vec(&view)
}

fn view(texture: &wgpu::Texture) -> wgpu::TextureView {
    texture.create_view(&Default::default())
}

/// The pages that a workgroup touches stand in a texture, and how often each ran is counted in another.
const GATHER: &str = "
struct Push { add: u32, list: array<u32, 3> }
var<immediate> push: Push;
@group(0) @binding(0) var at: texture_2d<u32>;
@group(1) @binding(7) var ran: texture_storage_2d<r32uint, read_write>;
@group(3) @binding(17) var<storage, read_write> data: array<u32>;
@compute @workgroup_size(256) fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    let p = vec2<u32>(id.x % 256u, id.x / 256u);
    data[textureLoad(at, p, 0).x] += push.add + push.list[id.x % 3u];
    textureStore(ran, p, vec4<u32>(textureLoad(ran, p).x + 1u));
}";

#[test]
fn a_texture_decides_what_is_paged_in_and_another_counts_that_all_ran_once() {
    for adapter in adapters::adapters() {
        let gm = space(&adapter, 16);
        let n = 64 * 1024_u32;
        // Each workgroup in one page, no two of them in the same, and none in order.
        let at: Vec<u32> = (0..n)
            .map(|i| (i / 256 * 37 % 256) * 1024 + i % 256 * 4)
            .collect();
        let gather = gm.kernel(GATHER).unwrap();
        let mut data = gm.alloc::<u32>(256 * 1024).unwrap();
        data.iter_mut().zip(0..).for_each(|(x, i)| *x = i);
        let mut expected: Vec<u32> = data.to_vec();
        let push = [5_u32, 100, 200, 300];
        for round in 1..=2 {
            for (i, &at) in at.iter().enumerate() {
                expected[at as usize] += push[0] + push[1 + i % 3];
            }
            let ran = texture(&gm, Usage::STORAGE_BINDING, &vec![round; n as usize]);
            let at = texture(&gm, Usage::TEXTURE_BINDING, &at);
            let report = gather
                .launch([n / 256, 1, 1])
                .bind("data", &mut data)
                .texture("at", &view(&at))
                .texture("1.7", &view(&ran))
                .uniform("push", &push)
                .run()
                .unwrap();
            assert!(report.passes > 8, "{adapter}: {} passes", report.passes);
            assert_eq!(data[..], expected[..], "{adapter}: round {round}");
            let counts = read(&gm, &ran);
            assert!(
                counts.iter().all(|&c| c == round + 1),
                "{adapter}: {counts:?}"
            );
        }
    }
}

#[test]
fn a_written_texture_that_decides_addresses_needs_all_resident() {
    let source = "
@group(0) @binding(0) var t: texture_storage_2d<r32uint, read_write>;
@group(0) @binding(1) var<storage, read_write> data: array<u32>;
@compute @workgroup_size(256) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let p = vec2<u32>(id.x % 256u, id.x / 256u);
    let at = textureLoad(t, p).x;
    textureStore(t, p, vec4<u32>(at + 1u));
    data[at] = id.x;
}";
    for adapter in adapters::adapters() {
        let gm = space(&adapter, 32);
        let at: Vec<u32> = (0..1024).map(|i| i * 13 % 1024).collect();
        let t = texture(&gm, Usage::STORAGE_BINDING, &at);
        let kernel = gm.kernel(source).unwrap();
        let mut data = gm.alloc::<u32>(4 * 1024).unwrap();
        let run = |data: &mut gmem::Vector<u32>| {
            let launch = kernel.launch([4, 1, 1]).texture("t", &view(&t));
            launch.bind("data", data).run().map(drop)
        };
        run(&mut data).unwrap();
        for (i, &at) in (0..).zip(&at) {
            assert_eq!(data[at as usize], i, "{adapter}");
        }
        let before = read(&gm, &t);
        assert_eq!(before[3], at[3] + 1);
        let mut large = gm.alloc::<u32>(64 * 1024).unwrap();
        let text = run(&mut large).unwrap_err().to_string();
        assert!(
            text.contains("a texel of a texture that the kernel may store to"),
            "{adapter}: {text}"
        );
        assert_eq!(read(&gm, &t), before, "{adapter}: nothing ran");
    }
}

#[test]
fn what_is_not_given_or_not_so_is_told_by_name() {
    let source = "
@group(0) @binding(0) var t: texture_2d<f32>;
@group(0) @binding(1) var s: sampler;
@group(0) @binding(2) var<storage, read_write> data: array<f32>;
var<immediate> scale: f32;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    data[id.x] = scale * textureSampleLevel(t, s, vec2<f32>(0.5), 0.0).x;
}";
    for adapter in adapters::adapters() {
        let gm = space(&adapter, 16);
        let (device, _) = own(&gm);
        let kernel = gm.kernel(source).unwrap();
        let names: Vec<_> = kernel
            .resources()
            .iter()
            .map(|r| (r.name.as_str(), r.slot, r.ty.as_str()))
            .collect();
        assert_eq!(
            names,
            [("t", (0, 0), "texture_2d<f32>"), ("s", (0, 1), "sampler")]
        );
        assert_eq!(kernel.uniforms()[0].slot, None);
        let mut data = gm.alloc::<f32>(64).unwrap();
        let sampler = device.create_sampler(&Default::default());
        let t = view(&texture(&gm, Usage::TEXTURE_BINDING, &[0; 256]));
        let error = kernel
            .over(64)
            .bind("data", &mut data)
            .texture("t", &t)
            .uniform("scale", &1.0_f32)
            .run()
            .unwrap_err();
        assert!(
            matches!(&error, Error::NoResource { kind: "sampler", name, ty, .. } if name == "s" && ty == "sampler"),
            "{error}"
        );
        assert!(
            error
                .to_string()
                .contains("sampler `s` of kernel `main` is not bound")
        );
        let swapped = kernel.over(64).texture("s", &t).run().unwrap_err();
        assert!(
            matches!(&swapped, Error::NoSuchVariable { kind: "texture", name, available, .. } if name == "s" && available == "t"),
            "{swapped}"
        );
        let twice = kernel
            .over(64)
            .sampler("s", &sampler)
            .sampler("0.1", &sampler);
        assert!(matches!(twice.run(), Err(Error::BoundTwice { .. })));
        // Integers are no floats: wgpu says so, and the device lives.
        let mismatch = kernel
            .over(64)
            .bind("data", &mut data)
            .texture("t", &t)
            .sampler("s", &sampler)
            .uniform("scale", &1.0_f32)
            .run();
        assert!(mismatch.is_err());
        let none = kernel.over(64).bind("data", &mut data).texture("t", &t);
        let unset = none.sampler("s", &sampler).run().unwrap_err();
        assert!(
            matches!(&unset, Error::NoValue { name, .. } if name == "scale"),
            "{unset}"
        );
        data[3] = 7.0;
        assert_eq!(data[3], 7.0);
    }
}

#[test]
fn the_simulated_device_has_no_textures() {
    let Some(adapter) = adapters::adapters().into_iter().next() else {
        return;
    };
    let gpu = space(&adapter, 16);
    let t = view(&texture(&gpu, Usage::TEXTURE_BINDING, &[0; 256]));
    let gm = Gmem::builder()
        .device(DeviceChoice::Simulated)
        .build()
        .unwrap();
    let touch = gmem::sim::SimKernel::new("touch", vec![], |_| Ok(()));
    let device = gm.device(0).unwrap();
    let kernel = gm.kernel_of(&device, std::sync::Arc::new(touch)).unwrap();
    let error = kernel.launch([1, 1, 1]).texture("t", &t).run().unwrap_err();
    assert!(
        matches!(&error, Error::NoSuchVariable { kind: "texture", available, .. } if available == "none"),
        "{error}"
    );
}
