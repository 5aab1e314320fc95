//! Building an address space: which device, how much of it, which pages, which policy, which host mechanism.

use std::sync::Arc;

use gmem_hal::PageSize;
use gmem_hal::trace::Tracer;
use gmem_host::Choice;
use gmem_runtime::Placement;
use gmem_runtime::policy::PolicyKind;
use gmem_sim::{SimDevice, SimOptions};
use gmem_wgpu::{AdapterChoice, REMOTE_MEMORY, WgpuOptions};

use crate::space::{Engine, Gmem};
use crate::{Error, hal};

/// The address range reserved by default. It costs nothing until it is used.
const RESERVE: u64 = 1 << 40;

/// The first device of a space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A GPU through wgpu.
    Gpu(AdapterChoice),
    /// The simulated device, which runs closures.
    Simulated,
    /// None yet: [`Gmem::attach`] adds some.
    None,
}

impl Default for DeviceChoice {
    fn default() -> Self {
        Self::Gpu(AdapterChoice::Auto)
    }
}

/// Says what an address space is to be like; every setting has a default that fits most.
#[derive(Clone, Debug)]
#[must_use = "nothing is made before `build`"]
pub struct Builder {
    device: DeviceChoice,
    device_memory: Option<u64>,
    remote_memory: Option<u64>,
    page_bytes: u64,
    policy: PolicyKind,
    seed: u64,
    placement: Placement,
    host: Choice,
    host_options: gmem_host::Options,
    reserve: Option<u64>,
    tracer: Tracer,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            device: DeviceChoice::default(),
            device_memory: None,
            remote_memory: None,
            page_bytes: PageSize::default().bytes(),
            policy: PolicyKind::default(),
            seed: 0,
            placement: Placement::default(),
            host: Choice::Auto,
            host_options: gmem_host::Options::default(),
            reserve: None,
            tracer: Tracer::off(),
        }
    }
}

impl Builder {
    /// The first device: the best GPU by default.
    pub fn device(mut self, device: DeviceChoice) -> Self {
        self.device = device;
        self
    }

    /// A hard cap, in bytes, on the device buffers that data may take: frames and, of each window, 256 bytes of guard.
    /// By default 256 MiB on a software adapter, else 1 GiB.
    pub fn device_memory(mut self, bytes: u64) -> Self {
        self.device_memory = Some(bytes);
        self
    }

    /// A cap, in bytes, on *remote* memory: the host's, in which a device finds, slowly and for as long as it runs, what a single
    /// workgroup needs beyond all of the device memory. 0 forbids it: such a workgroup is then refused. By default as much as the
    /// device memory, and at least 64 MiB. Some adapters have none (GL's).
    pub fn remote_memory(mut self, bytes: u64) -> Self {
        self.remote_memory = Some(bytes);
        self
    }

    /// The unit of migration and translation in bytes: a power of two from 4 KiB to 2 MiB, 64 KiB by default.
    pub fn page_size(mut self, bytes: u64) -> Self {
        self.page_bytes = bytes;
        self
    }

    /// Which pages leave a full device first.
    pub fn policy(mut self, policy: PolicyKind) -> Self {
        self.policy = policy;
        self
    }

    /// Where the frames of adjacent pages are put: scattering them measures translation through the page table.
    pub fn placement(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }

    /// The seed of whatever draws lots.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How touches by the CPU are noticed: the best mechanism that the machine has, by default.
    pub fn host(mut self, choice: Choice) -> Self {
        self.host = choice;
        self
    }

    /// How the host mechanism is opened: handler threads, privileged mode.
    pub fn host_options(mut self, options: gmem_host::Options) -> Self {
        self.host_options = options;
        self
    }

    /// Bytes of address range to reserve: all allocations together fit in it. 1 TiB by default, which costs nothing.
    pub fn reserve(mut self, bytes: u64) -> Self {
        self.reserve = Some(bytes);
        self
    }

    /// Where what happens is recorded: see [`hal::trace`]. Nowhere by default, which costs nothing.
    pub fn trace(mut self, tracer: Tracer) -> Self {
        self.tracer = tracer;
        self
    }

    /// Makes the space.
    ///
    /// # Errors
    /// When there is no such device, page size or host mechanism, or the device memory holds not one page.
    pub fn build(self) -> Result<Gmem, Error> {
        let page = PageSize::new(self.page_bytes)?;
        let opened = match self.reserve {
            Some(bytes) => gmem_host::open_with(bytes, self.host, self.host_options)?,
            // Where address space is scarce, less will do.
            None => [RESERVE, RESERVE >> 4, RESERVE >> 8]
                .iter()
                .map(|&bytes| gmem_host::open_with(bytes, self.host, self.host_options))
                .find(|r| !matches!(r, Err(hal::HostError::OutOfMemory { .. })))
                .unwrap_or_else(|| {
                    gmem_host::open_with(RESERVE >> 10, self.host, self.host_options)
                })?,
        };
        let gm = Gmem::over(
            opened,
            page,
            self.policy,
            self.placement,
            self.seed,
            &self.tracer,
        )?;
        match self.device {
            DeviceChoice::Gpu(adapter) => {
                let options = WgpuOptions {
                    adapter,
                    device_memory: self.device_memory,
                    remote_memory: self.remote_memory,
                    tracer: self.tracer,
                    ..WgpuOptions::default()
                };
                gm.attach_engine(Engine::Gpu(gmem_wgpu::open(&options)?))?;
            }
            DeviceChoice::Simulated => {
                let mut options = SimOptions {
                    seed: self.seed,
                    ..SimOptions::default()
                };
                if let Some(bytes) = self.device_memory {
                    options.capacity_bytes = bytes;
                }
                let most = options.capacity_bytes.max(REMOTE_MEMORY);
                options.remote_bytes = self.remote_memory.unwrap_or(most);
                gm.attach_engine(Engine::Sim(Arc::new(SimDevice::new(options))))?;
            }
            DeviceChoice::None => {}
        }
        Ok(gm)
    }
}
