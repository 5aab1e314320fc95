//! A kernel with its data, run through the facade in so many frames of device memory.
#![allow(dead_code, reason = "every test uses a part of it")]

use gmem::gpu::{AdapterChoice, BackendName, PlainRunner};
use gmem::{DeviceChoice, Error, Gmem, Vector};
use gmem_runtime::LaunchError;

use crate::skipped::skipped;

/// Bytes of guard in the one window that a test's device memory takes.
pub const GUARD: u64 = 256;

/// A kernel, and what is bound to it: storage and uniforms in binding order.
#[derive(Clone, Debug)]
pub struct Job<'a> {
    pub name: &'a str,
    pub source: &'a str,
    pub entry: Option<&'a str>,
    pub storage: Vec<Vec<u8>>,
    pub uniforms: Vec<Vec<u8>>,
    pub grid: [u32; 3],
}

/// What a run left.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The bytes of every storage binding.
    pub storage: Vec<Vec<u8>>,
    /// Submissions that ran workgroups.
    pub passes: u64,
    /// The frames that it ran in.
    pub frames: u64,
}

impl Job<'_> {
    /// The pages of its storage bindings, each of which has pages of its own.
    pub fn pages(&self, page: u64) -> u64 {
        let of = |bytes: &Vec<u8>| (bytes.len() as u64).div_ceil(page);
        self.storage.iter().map(of).sum()
    }

    /// Runs it in `frames` frames of `page` bytes.
    pub fn run(&self, adapter: &AdapterChoice, page: u64, frames: u64) -> Result<Outcome, Error> {
        let cap = frames * page + GUARD;
        let gm = space(adapter, page, cap);
        let kernel = gm.kernel_on(&gm.device(0)?, self.source, self.entry, &[])?;
        assert_eq!(kernel.storage().len(), self.storage.len(), "{}", self.name);
        assert_eq!(
            kernel.uniforms().len(),
            self.uniforms.len(),
            "{}",
            self.name
        );
        let mut memory = Vec::with_capacity(self.storage.len());
        for bytes in &self.storage {
            let mut vector: Vector<u8> = gm.alloc(bytes.len())?;
            vector.copy_from_slice(bytes);
            memory.push(vector);
        }
        let mut launch = kernel.launch(self.grid);
        for (info, memory) in kernel.storage().iter().zip(&mut memory) {
            launch = launch.bind(&info.name, memory);
        }
        for (info, bytes) in kernel.uniforms().iter().zip(&self.uniforms) {
            launch = launch.uniform_bytes(&info.name, bytes);
        }
        let passes = launch.run()?.passes;
        let storage = memory.iter().map(|m| m.to_vec()).collect();
        let peak = gm.stats().devices[0].1.peak_windows;
        assert!(
            peak <= cap,
            "{}: {peak} bytes are over the cap of {cap}",
            self.name
        );
        Ok(Outcome {
            storage,
            passes,
            frames,
        })
    }

    /// Runs it in a `factor`th of its pages, or in as few as one of its workgroups needs, where that is more.
    pub fn over(&self, adapter: &AdapterChoice, page: u64, factor: u64) -> Result<Outcome, Error> {
        let all = self.pages(page);
        let mut frames = (all / factor).max(1);
        loop {
            match self.run(adapter, page, frames) {
                Err(Error::Launch(LaunchError::FootprintTooLarge { needed, .. }))
                    if frames < needed && needed <= all =>
                {
                    frames = needed;
                }
                other => return other,
            }
        }
    }

    /// What the original gives under plain wgpu on the same adapter.
    pub fn plain(&self, adapter: &AdapterChoice) -> Vec<Vec<u8>> {
        let gm = space(adapter, 65_536, 1 << 20);
        let device = gm.device(0).expect("a device");
        let mut buffers = self.storage.clone();
        PlainRunner::new(device.gpu().expect("a GPU"))
            .run(
                self.source,
                self.entry,
                &[],
                &mut buffers,
                &self.uniforms,
                self.grid,
                1,
            )
            .unwrap_or_else(|e| panic!("{adapter}: {} under plain wgpu: {e}", self.name));
        buffers
    }
}

/// A space whose first device has `bytes` of memory.
pub fn space(adapter: &AdapterChoice, page: u64, bytes: u64) -> Gmem {
    Gmem::builder()
        .device(DeviceChoice::Gpu(adapter.clone()))
        .device_memory(bytes)
        // What a workgroup needs is to be told.
        .remote_memory(0)
        .page_size(page)
        .build()
        .unwrap_or_else(|e| panic!("{adapter}: {e}"))
}

/// Whether an adapter is GL's: there, a software one takes seconds to compile some kernels.
pub fn is_gl(adapter: &AdapterChoice) -> bool {
    *adapter == AdapterChoice::Backend(BackendName::Gl)
}

/// Whether one of vello's stages has more workgroup memory than a software GL's compiler can zero in a minute; what is
/// skipped is said.
pub fn is_too_slow(adapter: &AdapterChoice, stage: &str) -> bool {
    let slow = is_gl(adapter)
        && [
            "binning",
            "clip_leaf",
            "coarse",
            "pathtag_scan1",
            "pathtag_scan_large",
            "pathtag_scan_small",
        ]
        .contains(&stage);
    if slow {
        skipped(format_args!(
            "{adapter}: {stage} takes minutes to compile there"
        ));
    }
    slow
}

/// The first byte in which two results differ, in words.
pub fn difference(job: &Job<'_>, got: &[Vec<u8>], expected: &[Vec<u8>]) -> Option<String> {
    assert_eq!(got.len(), expected.len());
    for (binding, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert_eq!(got.len(), expected.len());
        let differs = |at: &usize| got[*at] != expected[*at];
        if let Some(at) = (0..got.len()).find(differs) {
            let words = |bytes: &[u8]| {
                let from = at / 4 * 4;
                let of = &bytes[from..bytes.len().min(from + 16)];
                format!("{of:02x?}")
            };
            let count = (0..got.len()).filter(differs).count();
            return Some(format!(
                "{}: storage binding {binding} differs from byte {at} on ({count} bytes in all): {}, not {}",
                job.name,
                words(got),
                words(expected)
            ));
        }
    }
    None
}

/// Chance from a seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `n`.
    pub fn below(&mut self, n: u32) -> u32 {
        (self.next() % u64::from(n.max(1))) as u32
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u32) as usize]
    }

    pub fn words(&mut self, n: usize) -> Vec<u32> {
        (0..n).map(|_| self.next() as u32).collect()
    }
}

/// Bytes as elements.
pub fn elements<T: bytemuck::Pod>(bytes: &[u8]) -> Vec<T> {
    bytemuck::pod_collect_to_vec(bytes)
}
