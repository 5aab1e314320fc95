//! Bulk migration each way, against plain wgpu on a device of its own: `write_buffer`, and copy + map for reading.

mod common;

use criterion::{Criterion, criterion_group, criterion_main};

const BYTES: usize = 64 << 20;

/// Plain wgpu, as one would write it by hand.
struct Plain {
    device: wgpu::Device,
    queue: wgpu::Queue,
    buffer: wgpu::Buffer,
    staging: wgpu::Buffer,
    data: Vec<u8>,
}

impl Plain {
    fn open(backend: wgpu::Backends) -> Option<Self> {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = backend;
        let instance = wgpu::Instance::new(descriptor);
        let adapter =
            pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))
                .ok()?;
        let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            required_limits: adapter.limits(),
            ..Default::default()
        }))
        .ok()?;
        let make = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: BYTES as u64,
                usage,
                mapped_at_creation: false,
            })
        };
        use wgpu::BufferUsages as U;
        let buffer = make(U::STORAGE | U::COPY_DST | U::COPY_SRC);
        let staging = make(U::MAP_READ | U::COPY_DST);
        Some(Self {
            device,
            queue,
            buffer,
            staging,
            data: vec![1; BYTES],
        })
    }

    fn wait(&self) {
        self.device
            .poll(wgpu::PollType::wait_indefinitely())
            .expect("the device is there");
    }

    fn write(&self) {
        self.queue.write_buffer(&self.buffer, 0, &self.data);
        self.queue.submit([]);
        self.wait();
    }

    fn read(&mut self) {
        let mut encoder = self
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(&self.buffer, 0, &self.staging, 0, BYTES as u64);
        self.queue.submit([encoder.finish()]);
        self.staging
            .slice(..)
            .map_async(wgpu::MapMode::Read, |r| r.expect("mappable"));
        self.wait();
        let view = self
            .staging
            .slice(..)
            .get_mapped_range()
            .expect("it is mapped");
        self.data.copy_from_slice(&view);
        drop(view);
        self.staging.unmap();
    }
}

fn migration(c: &mut Criterion) {
    let Some(gm) = common::gpu(|b| b.device_memory(80 << 20)) else {
        return;
    };
    let device = gm.device(0).expect("it has one");
    let backend = if device.info().backend == "gl" {
        wgpu::Backends::GL
    } else {
        wgpu::Backends::PRIMARY
    };
    let Some(plain) = Plain::open(backend) else {
        return;
    };
    let plain = std::cell::RefCell::new(plain);
    let mut v = gm.alloc::<u32>(BYTES / 4).expect("room");
    let touch = gm
        .kernel(
            "@group(0) @binding(0) var<storage, read_write> v: array<u32>;
             @compute @workgroup_size(64) fn add(@builtin(global_invocation_id) id: vec3<u32>) {
                 if (id.x < arrayLength(&v)) { v[id.x] = v[id.x] + 1u; }
             }",
        )
        .expect("compiles");

    // To the device: a prefetch of pages that are valid on the host alone. (Taking them back is not timed.)
    v.fill(7);
    let mut to = || {
        let t = common::seconds(|| v.prefetch(&device).expect("room"));
        v.evict(&device).expect("clean copies go for free");
        t
    };
    common::ratio("migration/to device", "write_buffer", 11, &mut to, || {
        common::seconds(|| plain.borrow().write())
    });

    // Home: an eviction of pages that only the device has.
    let home = || {
        touch.over(BYTES / 4).bind("v", &mut v).run().expect("runs");
        common::seconds(|| v.evict(&device).expect("home"))
    };
    common::ratio("migration/home", "copy + map + memcpy", 11, home, || {
        common::seconds(|| plain.borrow_mut().read())
    });

    let mut group = c.benchmark_group("migration");
    group
        .sample_size(10)
        .throughput(criterion::Throughput::Bytes(BYTES as u64));
    group.bench_function("write_buffer", |b| b.iter(|| plain.borrow().write()));
}

criterion_group!(benches, migration);
criterion_main!(benches);
