//! A sparse space far larger than its device.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use gmem_hal::{
    ByteRange, CopyRun, CpuFaultSink, Device, FrameIndex, Geometry, HostError, HostMechanism,
    HostMemory, PageEntry, PageSize, Rights, Translation, Va,
};
use gmem_wgpu::WgpuDevice;

use crate::GIB;
use crate::support::{self, frames};

/// What is at an address before anything is stored there. The kernels add and multiply a few of them.
pub(super) fn first(address: u64) -> u32 {
    (address / 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) as u32 >> 3
}

/// Host memory of which a word costs nothing until it is stored to.
#[derive(Default)]
pub(super) struct Sparse(pub(super) Mutex<HashMap<u64, u32>>);

impl Sparse {
    pub(super) fn word(&self, address: u64) -> u32 {
        let changed = self.0.lock().unwrap().get(&address).copied();
        changed.unwrap_or_else(|| first(address))
    }

    pub(super) fn set(&self, address: u64, word: u32) {
        self.0.lock().unwrap().insert(address, word);
    }
}

impl HostMemory for Sparse {
    fn base(&self) -> Va {
        Va(1 << 44)
    }
    fn len(&self) -> u64 {
        128 * GIB
    }
    fn mechanism(&self) -> HostMechanism {
        HostMechanism::Explicit
    }
    fn read_sharing(&self) -> bool {
        true
    }
    fn start(&self, _: Arc<dyn CpuFaultSink>) -> Result<(), HostError> {
        Ok(())
    }
    fn stop(&self) {}
    fn commit(&self, _: ByteRange) -> Result<(), HostError> {
        Ok(())
    }
    fn decommit(&self, _: ByteRange) -> Result<(), HostError> {
        Ok(())
    }
    fn set_rights(&self, _: ByteRange, _: Rights) -> Result<(), HostError> {
        Ok(())
    }
    fn reserve(&self, _: ByteRange) -> Result<(), HostError> {
        Ok(())
    }
    fn punch(&self, _: ByteRange) -> Result<(), HostError> {
        Ok(())
    }
    fn with_bytes(&self, range: ByteRange, f: &mut dyn FnMut(&[u8])) {
        let words = (range.offset..range.end()).step_by(4);
        f(&support::words(words.map(|at| self.word(at))));
    }
    fn write_bytes(&self, offset: u64, src: &[u8]) {
        for (at, word) in (offset..).step_by(4).zip(src.chunks_exact(4)) {
            let word = u32::from_le_bytes(word.try_into().unwrap());
            if word != self.word(at) {
                self.set(at, word);
            }
        }
    }
}

/// A space far larger than its device, and pages placed by hand.
pub(super) struct Field {
    pub(super) device: Arc<WgpuDevice>,
    pub(super) host: Sparse,
    pub(super) geometry: Geometry,
    pub(super) free: Vec<u32>,
    pub(super) window_frames: u32,
    pub(super) resident: BTreeMap<u64, u32>,
}

impl Field {
    pub(super) fn new(device: Arc<WgpuDevice>, page: PageSize) -> Self {
        let host = Sparse::default();
        let geometry = Geometry {
            base: host.base(),
            len: host.len(),
            page,
        };
        let info = device.attach(geometry).unwrap();
        let mut free = Vec::new();
        while free.len() < info.max_frames as usize {
            let window = device.grow(info.max_frames).unwrap();
            free.extend(window.first.0..window.first.0 + window.frames);
        }
        Self {
            device,
            host,
            geometry,
            free,
            window_frames: info.window_frames,
            resident: BTreeMap::new(),
        }
    }

    pub(super) fn enter(&mut self, pages: &[u64], chosen: &[u32]) {
        let bytes = self.geometry.page.bytes();
        for (&page, &frame) in pages.iter().zip(chosen) {
            let run = CopyRun {
                offset: page * bytes,
                frames: frames(frame, 1),
            };
            self.device.upload(&[run], &self.host).unwrap();
            let entry = PageEntry {
                page,
                frame: Some((FrameIndex(frame), true)),
            };
            self.device.set_entries(&[entry]).unwrap();
            self.resident.insert(page, frame);
        }
    }

    /// Makes pages resident, by turns in all the windows.
    pub(super) fn place(&mut self, pages: &[u64]) {
        let mut chosen = Vec::new();
        let windows = self.free.iter().max().unwrap() / self.window_frames + 1;
        for i in 0..pages.len() as u32 {
            let window = |frame: u32| frame / self.window_frames == i % windows;
            let at = self.free.iter().rposition(|&f| window(f)).unwrap_or(0);
            chosen.push(self.free.remove(at));
        }
        self.enter(pages, &chosen);
    }

    /// Makes adjacent pages resident in one run.
    pub(super) fn place_run(&mut self, pages: std::ops::Range<u64>) -> Translation {
        let n = (pages.end - pages.start) as usize;
        let chosen: Vec<u32> = self.free.drain(..n).collect();
        assert!(chosen.windows(2).all(|w| w[1] == w[0] + 1));
        self.enter(&pages.collect::<Vec<_>>(), &chosen);
        Translation::Slid {
            slice: ByteRange::default(),
            frames: frames(chosen[0], n as u32),
            skip: 0,
        }
    }

    pub(super) fn evict_all(&mut self) {
        let bytes = self.geometry.page.bytes();
        for (page, frame) in std::mem::take(&mut self.resident) {
            let run = CopyRun {
                offset: page * bytes,
                frames: frames(frame, 1),
            };
            self.device.download(&[run], &self.host).unwrap();
            let entry = PageEntry { page, frame: None };
            self.device.set_entries(&[entry]).unwrap();
            self.free.push(frame);
        }
        self.free.sort_unstable();
    }

    pub(super) fn pages(&self, range: ByteRange) -> std::ops::Range<u64> {
        self.geometry.pages_of(range)
    }
}
