//! How fast pages move: the staging ring against wgpu's own `write_buffer`, interleaved in one run.
//!
//!     cargo run --release -p gmem-wgpu --example copies

use std::time::Instant;

use gmem_hal::{CopyRun, Device, FrameIndex, FrameRun, Geometry, HostMemory, PageSize, PlainHost};
use gmem_wgpu::{AdapterChoice, BackendName, WgpuOptions, open};

const BYTES: u64 = 64 << 20;
const PIECE: usize = 8 << 20;

/// `write_buffer` on a device of its own.
struct Raw {
    device: wgpu::Device,
    queue: wgpu::Queue,
    buffer: wgpu::Buffer,
}

impl Raw {
    fn new(backends: wgpu::Backends) -> Option<Self> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends,
            flags: wgpu::InstanceFlags::empty(),
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        });
        let adapter = pollster::block_on(instance.enumerate_adapters(backends))
            .into_iter()
            .next()?;
        let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            required_limits: adapter.limits(),
            ..Default::default()
        }))
        .ok()?;
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: BYTES,
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        });
        Some(Self {
            device,
            queue,
            buffer,
        })
    }

    fn upload(&self, bytes: &[u8]) {
        for (index, piece) in bytes.chunks(PIECE).enumerate() {
            self.queue
                .write_buffer(&self.buffer, (index * PIECE) as u64, piece);
            self.queue.submit([]);
        }
        let _ = self.device.poll(wgpu::PollType::wait_indefinitely());
    }
}

fn seconds(f: impl FnOnce()) -> f64 {
    let start = Instant::now();
    f();
    start.elapsed().as_secs_f64()
}

fn main() {
    for (backend, flags) in [
        (BackendName::Vulkan, wgpu::Backends::VULKAN),
        (BackendName::Gl, wgpu::Backends::GL),
    ] {
        let options = WgpuOptions {
            adapter: AdapterChoice::Backend(backend),
            device_memory: Some(BYTES + (1 << 20)),
            ..WgpuOptions::default()
        };
        let (Ok(device), Some(raw)) = (open(&options), Raw::new(flags)) else {
            println!("{}: no adapter", backend.name());
            continue;
        };
        let host = PlainHost::new(BYTES);
        let page = PageSize::default();
        device
            .attach(Geometry {
                base: host.base(),
                len: host.len(),
                page,
            })
            .expect("attaches");
        device.grow(u32::MAX).expect("grows");
        let pages = (BYTES / page.bytes()) as u32;
        let whole = [CopyRun {
            offset: 0,
            frames: FrameRun::new(FrameIndex(0), pages),
        }];
        let single: Vec<CopyRun> = (0..pages)
            .map(|p| CopyRun {
                offset: u64::from(p) * page.bytes(),
                frames: FrameRun::new(FrameIndex((p * 5) % pages), 1),
            })
            .collect();
        let bytes = vec![3; BYTES as usize];
        host.write_bytes(0, &bytes);
        let mut best = [f64::MAX; 5];
        for _ in 0..8 {
            // The last byte's arrival is part of an upload: a page is brought home to wait for it.
            let wait = || device.download(&single[..1], &host).expect("downloads");
            let times = [
                seconds(|| raw.upload(&bytes)),
                seconds(|| {
                    device.upload(&whole, &host).expect("uploads");
                    wait();
                }),
                seconds(|| {
                    device.upload(&single, &host).expect("uploads");
                    wait();
                }),
                seconds(|| device.download(&whole, &host).expect("downloads")),
                seconds(|| {
                    device.upload(&single[..1], &host).expect("uploads");
                    wait();
                }),
            ];
            for (best, time) in best.iter_mut().zip(times) {
                *best = best.min(time);
            }
        }
        let rate = |i: usize| BYTES as f64 / best[i] / 1e9;
        println!(
            "{}: write_buffer {:.2} GB/s; upload {:.2} GB/s (x{:.2}), single pages {:.2} GB/s (x{:.2}); download {:.2} GB/s; one page there and back {:.0} us",
            backend.name(),
            rate(0),
            rate(1),
            best[0] / best[1],
            rate(2),
            best[0] / best[2],
            rate(3),
            best[4] * 1e6
        );
    }
}
