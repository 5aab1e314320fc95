//! Textures and samplers beside paged memory: loaded, sampled, compared and stored to as in any other kernel.

mod support;

use std::sync::Arc;

use gmem_hal::{DeviceError, GridBox, Kernel, PageSize};
use gmem_wgpu::{Resource, WgpuDevice, WgpuKernel};
use support::{Bench, Case, PAGE, Way, check, devices, launch, lay_out, words};
use wgpu::{TextureFormat as Format, TextureUsages as Usage};

/// A device's own wgpu objects.
struct Own {
    device: wgpu::Device,
    queue: wgpu::Queue,
}

/// Pixels wide and high.
const SIDE: u32 = 16;

impl Own {
    fn of(device: &WgpuDevice) -> Self {
        let (device, queue) = device.wgpu().unwrap();
        Self { device, queue }
    }

    /// A square texture, with what is in it.
    fn texture(&self, format: Format, usage: Usage, layers: u32, bytes: &[u8]) -> wgpu::Texture {
        let size = wgpu::Extent3d {
            width: SIDE,
            height: SIDE,
            depth_or_array_layers: layers,
        };
        let texture = self.device.create_texture(&wgpu::TextureDescriptor {
            label: None,
            size,
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format,
            usage: usage | Usage::COPY_DST,
            view_formats: &[],
        });
        if !bytes.is_empty() {
            let texel = bytes.len() as u32 / (SIDE * SIDE * layers);
            self.queue.write_texture(
                texture.as_image_copy(),
                bytes,
                wgpu::TexelCopyBufferLayout {
                    offset: 0,
                    bytes_per_row: Some(SIDE * texel),
                    rows_per_image: Some(SIDE),
                },
                size,
            );
        }
        texture
    }

    fn sampler(&self, linear: bool, compare: Option<wgpu::CompareFunction>) -> Resource {
        let filter = if linear {
            wgpu::FilterMode::Linear
        } else {
            wgpu::FilterMode::Nearest
        };
        Resource::Sampler(self.device.create_sampler(&wgpu::SamplerDescriptor {
            mag_filter: filter,
            min_filter: filter,
            compare,
            ..Default::default()
        }))
    }

    /// The words of a texture with texels of one word.
    fn read(&self, texture: &wgpu::Texture) -> Vec<u32> {
        let row = (SIDE * 4).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: u64::from(row * SIDE),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_texture_to_buffer(
            texture.as_image_copy(),
            wgpu::TexelCopyBufferInfo {
                buffer: &buffer,
                layout: wgpu::TexelCopyBufferLayout {
                    offset: 0,
                    bytes_per_row: Some(row),
                    rows_per_image: None,
                },
            },
            texture.size(),
        );
        self.queue.submit([encoder.finish()]);
        buffer.map_async(wgpu::MapMode::Read, .., |_| {});
        self.device
            .poll(wgpu::PollType::wait_indefinitely())
            .unwrap();
        let view = buffer.get_mapped_range(..).unwrap();
        let rows = view.chunks_exact(row as usize);
        let words = rows.flat_map(|row| row[..4 * SIDE as usize].chunks_exact(4));
        words
            .map(|w| u32::from_le_bytes(w.try_into().unwrap()))
            .collect()
    }
}

fn view(texture: &wgpu::Texture) -> Resource {
    Resource::Texture(texture.create_view(&Default::default()))
}

fn layered(texture: &wgpu::Texture) -> Resource {
    Resource::Texture(texture.create_view(&wgpu::TextureViewDescriptor {
        dimension: Some(wgpu::TextureViewDimension::D2Array),
        ..Default::default()
    }))
}

/// Runs a case in every way on a device, with what `resources` gives bound.
fn every_way(device: &Arc<WgpuDevice>, case: &Case, resources: Vec<Resource>, results: &[Vec<u8>]) {
    let kernel = WgpuKernel::new(device, &case.source, None, &[]).unwrap();
    let kernel: Arc<dyn Kernel> = kernel.with_resources(resources);
    let mut bench = Bench::new(Arc::clone(device), PageSize::new(PAGE).unwrap(), 2 << 20);
    for way in [Way::Slid, Way::Paged, Way::Mixed] {
        check(&mut bench, &kernel, case, way, results);
    }
}

const PIXELS: u32 = SIDE * SIDE;

#[test]
fn texels_are_loaded_through_functions_and_sizes_are_known() {
    let source = "
@group(1) @binding(2) var image: texture_2d<u32>;
@group(2) @binding(0) var layers: texture_2d_array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<u32>;
fn at(t: texture_2d<u32>, i: u32) -> u32 {
    let size = textureDimensions(t);
    return textureLoad(t, vec2<u32>(i % size.x, i / size.x), 0).x;
}
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let wide = textureDimensions(layers).x;
    let layer = (id.x & 1u) + textureNumLayers(layers) - 2u;
    let texel = textureLoad(layers, vec2<u32>(id.x % wide, id.x / wide), layer, 0);
    out[id.x] = at(image, id.x) + u32(texel.y * 255.0) * 65536u;
}";
    let image: Vec<u32> = (0..PIXELS).map(|i| i * 7 % 65_536).collect();
    let layer: Vec<u8> = (0..3 * PIXELS)
        .flat_map(|i| [0, (i % 251) as u8, 0, 0])
        .collect();
    let results = (0..PIXELS).map(|i| {
        let texel = (i + PIXELS * (1 + i % 2)) % 251;
        image[i as usize] + texel * 65_536
    });
    let results = vec![words(results)];
    for device in devices(2 << 20, None) {
        let own = Own::of(&device);
        let image = own.texture(
            Format::R32Uint,
            Usage::TEXTURE_BINDING,
            1,
            &words(image.clone()),
        );
        let layers = own.texture(Format::Rgba8Unorm, Usage::TEXTURE_BINDING, 3, &layer);
        let data = vec![words(vec![9; PIXELS as usize])];
        let case = Case::new("loads", source, data, vec![], [PIXELS / 64, 1, 1]);
        every_way(
            &device,
            &case,
            vec![view(&image), layered(&layers)],
            &results,
        );
    }
}

/// One kernel, with a texture that may be filtered and one that may not.
#[test]
fn textures_are_sampled_as_their_formats_allow() {
    let source = "
@group(0) @binding(0) var t: texture_2d<f32>;
@group(0) @binding(1) var s: sampler;
@group(0) @binding(2) var<uniform> side: f32;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let at = vec2<f32>(f32(id.x) % side + 0.5, floor(f32(id.x) / side) + 0.5) / side;
    // The texel at the right, but for the last column, which repeats.
    out[id.x] = textureSampleLevel(t, s, at, 0.0, vec2<i32>(1, 0)).x;
}";
    let texel = |i: u32| {
        let right = if i % SIDE == SIDE - 1 { i } else { i + 1 };
        (right * 3 % 256) as u8
    };
    for device in devices(2 << 20, None) {
        let own = Own::of(&device);
        let rgba: Vec<u8> = (0..PIXELS)
            .flat_map(|i| [(i * 3 % 256) as u8, 0, 0, 0])
            .collect();
        let floats: Vec<u8> = rgba
            .iter()
            .step_by(4)
            .flat_map(|b| f32::from(*b).to_le_bytes())
            .collect();
        let filtered = own.texture(Format::Rgba8Unorm, Usage::TEXTURE_BINDING, 1, &rgba);
        let rigid = own.texture(Format::R32Float, Usage::TEXTURE_BINDING, 1, &floats);
        let kernel = WgpuKernel::new(&device, source, None, &[]).unwrap();
        let mut bench = Bench::new(Arc::clone(&device), PageSize::new(PAGE).unwrap(), 2 << 20);
        let data = vec![words(vec![0; PIXELS as usize])];
        let values = vec![(SIDE as f32).to_le_bytes().to_vec()];
        let case = Case::new("samples", source, data, values, [PIXELS / 64, 1, 1]);
        let exact: Vec<u8> = (0..PIXELS)
            .flat_map(|i| f32::from(texel(i)).to_le_bytes())
            .collect();
        let unorm = (0..PIXELS)
            .flat_map(|i| (f32::from(texel(i)) / 255.0).to_le_bytes())
            .collect();
        for (texture, linear, result) in
            [(&filtered, true, vec![unorm]), (&rigid, false, vec![exact])]
        {
            let bound: Arc<dyn Kernel> =
                kernel.with_resources(vec![view(texture), own.sampler(linear, None)]);
            if linear {
                // Filtering computes with weights of 1 and 0: close, not equal.
                let close = run_once(&mut bench, &bound, &case);
                let got = close[0]
                    .chunks_exact(4)
                    .map(|c| f32::from_le_bytes(c.try_into().unwrap()));
                let want = result[0]
                    .chunks_exact(4)
                    .map(|c| f32::from_le_bytes(c.try_into().unwrap()));
                for (i, (got, want)) in got.zip(want).enumerate() {
                    assert!((got - want).abs() < 0.01, "{i}: {got}, not {want}");
                }
            } else {
                check(&mut bench, &bound, &case, Way::Paged, &result);
            }
        }
    }
}

/// What the bindings of a case hold after one paged run.
fn run_once(bench: &mut Bench, kernel: &Arc<dyn Kernel>, case: &Case) -> Vec<Vec<u8>> {
    let bound = lay_out(bench, &case.data);
    for (i, &range) in bound.iter().enumerate() {
        bench.place_scattered(range, kernel.bindings()[i].writes, i as u64 + 5);
    }
    let launch = launch(kernel, &bound, &case.values, case.grid);
    bench
        .run(&launch, &vec![gmem_hal::Translation::Paged; bound.len()])
        .unwrap();
    bench.evict_all();
    bound.iter().map(|&range| bench.read(range)).collect()
}

#[test]
fn depths_are_compared() {
    let source = "
@group(0) @binding(0) var depth: texture_depth_2d;
@group(0) @binding(1) var less: sampler_comparison;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let reference = f32(id.x) / 256.0;
    out[id.x] = textureSampleCompareLevel(depth, less, vec2<f32>(0.5), reference);
}";
    for device in devices(2 << 20, None) {
        let own = Own::of(&device);
        let depth = own.texture(
            Format::Depth32Float,
            Usage::TEXTURE_BINDING | Usage::RENDER_ATTACHMENT,
            1,
            &[],
        );
        let target = depth.create_view(&Default::default());
        let mut encoder = own.device.create_command_encoder(&Default::default());
        encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            depth_stencil_attachment: Some(wgpu::RenderPassDepthStencilAttachment {
                view: &target,
                depth_ops: Some(wgpu::Operations {
                    load: wgpu::LoadOp::Clear(0.5),
                    store: wgpu::StoreOp::Store,
                }),
                stencil_ops: None,
            }),
            ..Default::default()
        });
        own.queue.submit([encoder.finish()]);
        let results = (0..PIXELS).flat_map(|i| f32::from(u8::from(i < 128)).to_le_bytes());
        let data = vec![words(vec![9; PIXELS as usize])];
        let case = Case::new("depths", source, data, vec![], [PIXELS / 64, 1, 1]);
        let less = own.sampler(false, Some(wgpu::CompareFunction::Less));
        let results = vec![results.collect()];
        every_way(&device, &case, vec![view(&depth), less], &results);
    }
}

const STORES: &str = "
@group(0) @binding(0) var out: texture_storage_2d<rgba8unorm, write>;
@group(0) @binding(1) var sums: texture_storage_2d<r32uint, read_write>;
@group(0) @binding(2) var seen: texture_storage_2d<r32uint, read>;
@group(0) @binding(3) var<storage, read> at: array<u32>;
@group(0) @binding(4) var<storage, read_write> data: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let p = vec2<u32>(id.x % 16u, id.x / 16u);
    let byte = f32(data[at[id.x]] & 255u) / 255.0;
    textureStore(out, p, vec4<f32>(byte, 0.0, 1.0, 0.0));
    textureStore(sums, p, vec4<u32>(textureLoad(sums, p).x + 1u));
    data[at[id.x]] += textureLoad(seen, p).x;
}";

/// Once for each workgroup in a run, however it is cut, and never in a probe.
#[test]
fn stores_to_textures_happen_once_and_never_in_a_probe() {
    for device in devices(2 << 20, None) {
        let own = Own::of(&device);
        let storage = Usage::STORAGE_BINDING | Usage::COPY_SRC;
        let out = own.texture(Format::Rgba8Unorm, storage, 1, &[]);
        let first: Vec<u32> = (0..PIXELS).map(|i| i * 5).collect();
        let sums = own.texture(Format::R32Uint, storage, 1, &words(first.clone()));
        let added: Vec<u32> = (0..PIXELS).map(|i| i * i).collect();
        let seen = own.texture(Format::R32Uint, storage, 1, &words(added.clone()));
        // Every element once, far from its neighbours.
        let at: Vec<u32> = (0..PIXELS).map(|i| i * 77 % PIXELS * 16).collect();
        let data: Vec<u32> = (0..PIXELS * 16).map(|i| i / 16).collect();
        let mut results = data.clone();
        for (i, &at) in at.iter().enumerate() {
            results[at as usize] += added[i];
        }
        let pixels: Vec<u32> = at
            .iter()
            .map(|&at| (data[at as usize] & 255) | 0xff_0000)
            .collect();
        let kernel = match WgpuKernel::new(&device, STORES, None, &[]) {
            Ok(kernel) => kernel,
            Err(error) => panic!("{error}"),
        };
        let kernel: Arc<dyn Kernel> =
            kernel.with_resources(vec![view(&out), view(&sums), view(&seen)]);
        let mut bench = Bench::new(Arc::clone(&device), PageSize::new(PAGE).unwrap(), 2 << 20);
        let inputs = vec![words(at.clone()), words(data)];
        let case = Case::new("stores", STORES, inputs, vec![], [PIXELS / 64, 1, 1]);

        let bound = lay_out(&bench, &case.data);
        bench.place_scattered(bound[0], false, 7);
        let launch = launch(&kernel, &bound, &[], case.grid);
        let reports = bench
            .probe(&launch, &GridBox::whole(case.grid).split(4))
            .unwrap();
        assert!(
            reports
                .iter()
                .all(|r| !r.stopped && !r.touched[1].writes.is_empty())
        );
        bench.evict_all();
        assert_eq!(own.read(&sums), first, "a probe stored to a texture");

        let results = vec![words(at), words(results)];
        check(&mut bench, &kernel, &case, Way::Paged, &results);
        assert_eq!(own.read(&out), pixels);
        let once: Vec<u32> = first.iter().map(|x| x + 1).collect();
        assert_eq!(own.read(&sums), once);
    }
}

#[test]
fn addresses_out_of_a_texture_are_probed() {
    let source = "
@group(0) @binding(0) var t: texture_2d<u32>;
@group(0) @binding(1) var<storage, read_write> data: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    data[textureLoad(t, vec2<u32>(id.x % 16u, id.x / 16u), 0).x] = id.x;
}";
    for device in devices(2 << 20, None) {
        let own = Own::of(&device);
        let at = (0..PIXELS).map(|i| if i % 2 == 0 { 1024 * 3 } else { 1024 * 9 + i });
        let t = own.texture(Format::R32Uint, Usage::TEXTURE_BINDING, 1, &words(at));
        let kernel = WgpuKernel::new(&device, source, None, &[]).unwrap();
        let kernel: Arc<dyn Kernel> = kernel.with_resources(vec![view(&t)]);
        let bench = Bench::new(Arc::clone(&device), PageSize::new(PAGE).unwrap(), 2 << 20);
        let bound = [gmem_hal::ByteRange::new(0, 65_536)];
        let launch = launch(&kernel, &bound, &[], [PIXELS / 64, 1, 1]);
        assert_eq!(kernel.probeable(&launch), Ok(()));
        let whole = GridBox::whole(launch.grid);
        let reports = bench.probe(&launch, &[whole]).unwrap();
        assert!(!reports[0].stopped);
        assert_eq!(reports[0].touched[0].writes, [3, 9]);
    }
}

#[test]
fn what_is_missing_or_wrong_is_told() {
    for device in devices(2 << 20, None) {
        let own = Own::of(&device);
        let kernel = WgpuKernel::new(&device, STORES, None, &[]).unwrap();
        let bench = Bench::new(Arc::clone(&device), PageSize::new(PAGE).unwrap(), 2 << 20);
        let bound = [
            gmem_hal::ByteRange::new(0, 1024),
            gmem_hal::ByteRange::new(4096, 16_384),
        ];
        let run = |kernel: Arc<dyn Kernel>| {
            let launch = launch(&kernel, &bound, &[], [1, 1, 1]);
            match bench.run(&launch, &[gmem_hal::Translation::Paged; 2]) {
                Err(DeviceError::Unsupported { reason }) => reason,
                other => panic!("{other:?}"),
            }
        };
        let none = run(Arc::clone(&kernel) as Arc<dyn Kernel>);
        assert!(
            none.contains("the texture `out` (texture_storage_2d<rgba8unorm,write>) is not bound"),
            "{none}"
        );
        let storage = Usage::STORAGE_BINDING | Usage::COPY_SRC;
        let out = own.texture(Format::Rgba8Unorm, storage, 1, &[]);
        let sums = own.texture(Format::R32Uint, storage, 1, &[]);
        let sampler =
            run(kernel.with_resources(vec![view(&out), view(&sums), own.sampler(false, None)]));
        assert!(sampler.contains("the texture `seen`"), "{sampler}");
        // The format that was declared is not this one: wgpu says so, and nothing is lost.
        let format = run(kernel.with_resources(vec![view(&sums), view(&sums), view(&sums)]));
        assert!(format.contains("rejects"), "{format}");
        assert!(bench.device.wgpu().is_ok());
    }
}
