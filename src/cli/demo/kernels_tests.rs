//! The kernels on plain wgpu, against the same references that their demonstrations are verified with.

use wgpu::util::DeviceExt as _;

use super::{heat, histogram, pagerank, triad, verify::Verified};
use crate::cli::progress::Progress;

struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
}

/// Some adapter; says so when there is none.
fn gpu() -> Option<Gpu> {
    let instance = wgpu::Instance::default();
    let Ok(adapter) =
        pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))
    else {
        eprintln!("skipped: there is no adapter");
        return None;
    };
    let (device, queue) =
        pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default())).unwrap();
    Some(Gpu { device, queue })
}

impl Gpu {
    fn buffer(&self, contents: &[u8], uniform: bool) -> wgpu::Buffer {
        let kind = if uniform {
            wgpu::BufferUsages::UNIFORM
        } else {
            wgpu::BufferUsages::STORAGE
        };
        let usage = kind | wgpu::BufferUsages::COPY_SRC;
        self.device
            .create_buffer_init(&wgpu::util::BufferInitDescriptor {
                label: None,
                contents,
                usage,
            })
    }

    fn storage<T: bytemuck::Pod>(&self, data: &[T]) -> wgpu::Buffer {
        self.buffer(bytemuck::cast_slice(data), false)
    }

    /// Dispatches a kernel once for each list of buffers, bound in order.
    fn run(&self, source: &str, entry: &str, grid: [u32; 3], launches: &[Vec<&wgpu::Buffer>]) {
        let module = self
            .device
            .create_shader_module(wgpu::ShaderModuleDescriptor {
                label: None,
                source: wgpu::ShaderSource::Wgsl(source.into()),
            });
        let pipeline = self
            .device
            .create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: None,
                layout: None,
                module: &module,
                entry_point: Some(entry),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                cache: None,
            });
        for buffers in launches {
            let entries: Vec<_> = (0..)
                .zip(buffers)
                .map(|(binding, buffer)| wgpu::BindGroupEntry {
                    binding,
                    resource: buffer.as_entire_binding(),
                })
                .collect();
            let layout = &pipeline.get_bind_group_layout(0);
            let descriptor = wgpu::BindGroupDescriptor {
                label: None,
                layout,
                entries: &entries,
            };
            let group = self.device.create_bind_group(&descriptor);
            let mut encoder = self
                .device
                .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &group, &[]);
            pass.dispatch_workgroups(grid[0], grid[1], grid[2]);
            drop(pass);
            self.queue.submit([encoder.finish()]);
        }
    }

    fn read<T: bytemuck::Pod>(&self, buffer: &wgpu::Buffer) -> Vec<T> {
        let readback = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: buffer.size(),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(buffer, 0, &readback, 0, buffer.size());
        self.queue.submit([encoder.finish()]);
        readback.map_async(wgpu::MapMode::Read, .., |mapped| mapped.unwrap());
        self.device
            .poll(wgpu::PollType::wait_indefinitely())
            .unwrap();
        let bytes = readback.get_mapped_range(..).unwrap().to_vec();
        bytemuck::pod_collect_to_vec(&bytes)
    }
}

#[test]
fn triad_is_what_its_reference_says() {
    let Some(gpu) = gpu() else { return };
    let shape = triad::Triad::sized(12 * 100_001);
    let (mut b, mut c) = (vec![0.0; shape.len], vec![0.0; shape.len]);
    triad::fill(&mut b, &mut c, 1, &Progress::hidden());
    let a = gpu.storage(&vec![0.0_f32; shape.len]);
    let scale = gpu.buffer(&triad::SCALE.to_le_bytes(), true);
    gpu.run(
        triad::SOURCE,
        triad::ENTRY,
        shape.grid(),
        &[vec![&a, &gpu.storage(&b), &gpu.storage(&c), &scale]],
    );
    assert_eq!(
        triad::verify(&gpu.read::<f32>(&a), &b, &c, 1, &Progress::hidden()),
        Ok(Verified::Exact)
    );
}

#[test]
fn heat_is_what_its_reference_says() {
    let Some(gpu) = gpu() else { return };
    for (width, height) in [(256, 100), (33, 47)] {
        let plate = heat::Plate { width, height };
        let mut first = vec![0.0_f32; plate.cells()];
        heat::fill(&mut first, plate, 2, &Progress::hidden());
        let grids = [
            gpu.storage(&first),
            gpu.storage(&vec![0.0_f32; plate.cells()]),
        ];
        let uniform = gpu.buffer(bytemuck::bytes_of(&plate.uniform()), true);
        let launches: Vec<_> = (0..heat::STEPS as usize)
            .map(|step| vec![&grids[step % 2], &grids[(step + 1) % 2], &uniform])
            .collect();
        gpu.run(heat::SOURCE, heat::ENTRY, plate.grid(), &launches);
        let last = gpu.read::<f32>(&grids[heat::STEPS as usize % 2]);
        assert_eq!(
            heat::verify(&last, plate, heat::STEPS, 2, &Progress::hidden()),
            Ok(Verified::Exact)
        );
    }
}

#[test]
fn pagerank_is_what_its_reference_says() {
    let Some(gpu) = gpu() else { return };
    let graph = pagerank::sized(1 << 20, 3).build().unwrap();
    let nodes = graph.nodes();
    let (mut row_ptr, mut sources) = (vec![0; nodes + 1], vec![0; graph.edges()]);
    let (mut weight, mut share) = (vec![0.0; nodes], vec![0.0; nodes]);
    pagerank::fill(&graph, &mut row_ptr, &mut sources, &mut weight, &mut share);
    let zeroes = vec![0.0_f32; nodes];
    let shares = [gpu.storage(&share), gpu.storage(&zeroes)];
    let (row_ptr, sources, weight) = (
        gpu.storage(&row_ptr),
        gpu.storage(&sources),
        gpu.storage(&weight),
    );
    let rank = gpu.storage(&zeroes);
    let uniform = gpu.buffer(&pagerank::uniform(&graph), true);
    let launches: Vec<_> = (0..pagerank::ITERATIONS as usize)
        .map(|i| {
            vec![
                &row_ptr,
                &sources,
                &weight,
                &shares[i % 2],
                &shares[(i + 1) % 2],
                &rank,
                &uniform,
            ]
        })
        .collect();
    gpu.run(
        pagerank::SOURCE,
        pagerank::ENTRY,
        pagerank::grid(&graph),
        &launches,
    );
    let verified = pagerank::verify(
        &gpu.read::<f32>(&rank),
        &graph,
        pagerank::ITERATIONS,
        &Progress::hidden(),
    );
    eprintln!("pagerank: {verified:?}");
    assert!(verified.is_ok(), "{verified:?}");
}

#[test]
fn histogram_is_what_its_reference_says() {
    let Some(gpu) = gpu() else { return };
    for bytes in [1, 3, 70_001, 1_000_000] {
        let mut words = vec![0; histogram::words(bytes)];
        histogram::fill(&mut words, 4, &Progress::hidden());
        let bins = gpu.storage(&[0_u32; histogram::BINS]);
        let input = gpu.buffer(&(bytes as u32).to_le_bytes(), true);
        let data = gpu.storage(&words);
        gpu.run(
            histogram::SOURCE,
            histogram::ENTRY,
            histogram::grid(bytes),
            &[vec![&data, &bins, &input]],
        );
        let counts = histogram::Counts::of_seed(4, bytes, &Progress::hidden());
        assert_eq!(
            counts.verify(&gpu.read::<u32>(&bins)),
            Ok(Verified::Exact),
            "{bytes} bytes"
        );
    }
}
