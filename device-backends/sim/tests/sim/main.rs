//! The simulated device against its contract.

mod addresses;
mod attempts;
mod contract;
mod injection;
mod kernels;

use std::sync::Arc;

use gmem_hal::{
    Attempt, AttemptReport, ByteRange, CopyRun, Device, DeviceError, DeviceInfo, FrameCopy,
    FrameIndex, FrameRun, Geometry, GridBox, HostMemory, Kernel, Launch, PageEntry, PageSize, Pass,
    PassReport, PlainHost, Translation,
};
use gmem_sim::{SimDevice, SimKernel, SimOptions};

const PAGE: u64 = 4096;

/// A device of 4 KiB pages in windows of at most 6, attached to 2 MiB of plain host memory.
struct Rig {
    device: SimDevice,
    host: PlainHost,
    info: DeviceInfo,
    geometry: Geometry,
}

impl Rig {
    fn new() -> Self {
        Self::with(SimOptions {
            capacity_bytes: 20 * PAGE + 100,
            window_bytes: 6 * PAGE,
            remote_bytes: 8 * PAGE,
            ..SimOptions::default()
        })
    }

    fn with(options: SimOptions) -> Self {
        let host = PlainHost::new(1);
        let geometry = Geometry {
            base: host.base(),
            len: host.len(),
            page: PageSize::MIN,
        };
        let device = SimDevice::new(options);
        let info = device.attach(geometry).unwrap();
        Self {
            device,
            host,
            info,
            geometry,
        }
    }

    /// With all windows grown.
    fn grown() -> Self {
        let rig = Self::new();
        while rig.device.grow(u32::MAX).is_ok() {}
        rig
    }

    /// Brings a page into a frame and makes it known.
    fn map(&self, page: u64, frame: u32, writable: bool) {
        let frames = FrameRun::new(FrameIndex(frame), 1);
        self.device
            .upload(
                &[CopyRun {
                    offset: page * PAGE,
                    frames,
                }],
                &self.host,
            )
            .unwrap();
        self.device
            .set_entries(&[entry(page, frame, writable)])
            .unwrap();
    }

    /// Brings the bytes of a page's frame home.
    fn fetch(&self, page: u64, frame: u32) {
        let frames = FrameRun::new(FrameIndex(frame), 1);
        self.device
            .download(
                &[CopyRun {
                    offset: page * PAGE,
                    frames,
                }],
                &self.host,
            )
            .unwrap();
    }

    fn fill(&self, seed: u64) {
        let mut state = seed;
        let bytes: Vec<u8> = (0..self.host.len())
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        self.host.write_bytes(0, &bytes);
    }

    fn host_bytes(&self, offset: u64, len: u64) -> Vec<u8> {
        let mut bytes = vec![0; len as usize];
        self.host.read_bytes(offset, &mut bytes);
        bytes
    }

    fn host_word(&self, offset: u64) -> u64 {
        u64::from_le_bytes(self.host_bytes(offset, 8).try_into().unwrap())
    }

    fn run(
        &self,
        launch: &Launch,
        translations: &[Translation],
    ) -> Result<PassReport, DeviceError> {
        let boxes = [GridBox::whole(launch.grid)];
        self.device.run(&Pass {
            launch,
            boxes: &boxes,
            translations,
        })
    }

    fn attempt(
        &self,
        launch: &Launch,
        translations: &[Translation],
        pages: &[PageEntry],
    ) -> Result<AttemptReport, DeviceError> {
        let boxes = [GridBox::whole(launch.grid)];
        self.device.attempt(&Attempt {
            launch,
            boxes: &boxes,
            translations,
            page: self.geometry.page,
            pages,
        })
    }
}

fn entry(page: u64, frame: u32, writable: bool) -> PageEntry {
    PageEntry {
        page,
        frame: Some((FrameIndex(frame), writable)),
    }
}

fn launch(kernel: SimKernel, bound: &[(u64, u64)], workgroups: u32) -> Launch {
    Launch {
        kernel: Arc::new(kernel) as Arc<dyn Kernel>,
        bound: bound
            .iter()
            .map(|&(offset, len)| ByteRange::new(offset, len))
            .collect(),
        values: Vec::new(),
        grid: [workgroups, 1, 1],
        reach: Vec::new(),
    }
}

/// The xorshift that tests draw from.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}
