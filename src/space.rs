//! The address space as users see it.

use std::sync::{Arc, RwLock, Weak};

use bytemuck::Pod;
use gmem_hal::trace::Tracer;
use gmem_hal::{Device, DeviceInfo, Geometry, HostMechanism, NodeId, PageSize, Va};
use gmem_host::Opened;
use gmem_runtime::policy::{PolicyKind, build};
use gmem_runtime::{AddressSpace, Heap, PageReport, Placement};
use gmem_sim::SimDevice;
use gmem_wgpu::{Source, WgpuDevice};

use crate::{Builder, Error, Kernel, Stats, Vector};

/// What runs kernels behind a device.
#[derive(Clone)]
pub(crate) enum Engine {
    Gpu(Arc<WgpuDevice>),
    Sim(Arc<SimDevice>),
    Other(Arc<dyn Device>),
}

impl Engine {
    fn device(&self) -> Arc<dyn Device> {
        match self {
            Self::Gpu(d) => Arc::clone(d) as Arc<dyn Device>,
            Self::Sim(d) => Arc::clone(d) as Arc<dyn Device>,
            Self::Other(d) => Arc::clone(d),
        }
    }
}

/// A device of a space.
#[derive(Clone)]
pub struct DeviceHandle {
    pub(crate) node: NodeId,
    pub(crate) engine: Engine,
    info: DeviceInfo,
    space: Weak<Inner>,
}

impl DeviceHandle {
    /// Its node: what [`PageReport`] calls it.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// What it is.
    #[must_use]
    pub fn info(&self) -> &DeviceInfo {
        &self.info
    }

    /// Nodes are numbered by space: another's would name the wrong device.
    pub(crate) fn check_space(&self, inner: &Arc<Inner>) -> Result<(), Error> {
        if std::ptr::eq(self.space.as_ptr(), Arc::as_ptr(inner)) {
            Ok(())
        } else {
            Err(Error::OtherSpaceDevice {
                device: self.info.name.clone(),
            })
        }
    }

    /// The GPU behind it, if it is one.
    #[must_use]
    pub fn gpu(&self) -> Option<&Arc<WgpuDevice>> {
        match &self.engine {
            Engine::Gpu(d) => Some(d),
            _ => None,
        }
    }

    /// The simulated device behind it, if it is one.
    #[must_use]
    pub fn simulated(&self) -> Option<&Arc<SimDevice>> {
        match &self.engine {
            Engine::Sim(d) => Some(d),
            _ => None,
        }
    }
}

pub(crate) struct Inner {
    pub(crate) space: AddressSpace,
    pub(crate) heap: Heap,
    devices: RwLock<Vec<DeviceHandle>>,
    mechanism: HostMechanism,
    why: String,
    policy: PolicyKind,
    placement: Placement,
    seed: u64,
}

/// One address space, shared by the CPU and its devices. Cheap to clone; it lives until the last clone and the last
/// memory in it are gone.
#[doc(alias = "gm_as")]
#[derive(Clone)]
pub struct Gmem {
    pub(crate) inner: Arc<Inner>,
}

impl Gmem {
    /// A space with the best GPU there is and defaults for everything.
    ///
    /// # Errors
    /// When there is no usable adapter, or the host's memory cannot be set up.
    pub fn new() -> Result<Self, Error> {
        Self::builder().build()
    }

    /// A space made to measure.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn over(
        opened: Opened,
        page: PageSize,
        policy: PolicyKind,
        placement: Placement,
        seed: u64,
        tracer: &Tracer,
    ) -> Result<Self, Error> {
        let space = AddressSpace::traced(opened.host, page, tracer)?;
        Ok(Self {
            inner: Arc::new(Inner {
                space,
                heap: Heap::default(),
                devices: RwLock::default(),
                mechanism: opened.mechanism,
                why: opened.why,
                policy,
                placement,
                seed,
            }),
        })
    }

    /// Attaches any device to the space.
    ///
    /// # Errors
    /// When the device cannot prepare its page table.
    #[doc(alias = "gm_as_attach")]
    pub fn attach(&self, device: Arc<dyn Device>) -> Result<DeviceHandle, Error> {
        self.attach_engine(Engine::Other(device))
    }

    /// Attaches a simulated device; kernels for it are closures.
    ///
    /// # Errors
    /// As [`Gmem::attach`].
    pub fn attach_simulated(&self, device: Arc<SimDevice>) -> Result<DeviceHandle, Error> {
        self.attach_engine(Engine::Sim(device))
    }

    /// Attaches a GPU opened by [`gmem_wgpu::open`].
    ///
    /// # Errors
    /// As [`Gmem::attach`].
    pub fn attach_gpu(&self, device: Arc<WgpuDevice>) -> Result<DeviceHandle, Error> {
        self.attach_engine(Engine::Gpu(device))
    }

    pub(crate) fn attach_engine(&self, engine: Engine) -> Result<DeviceHandle, Error> {
        let policy = build(self.inner.policy, self.inner.seed);
        let attached = self
            .inner
            .space
            .attach(engine.device(), policy, self.inner.placement)?;
        let handle = DeviceHandle {
            node: attached.node,
            engine,
            info: attached.info,
            space: Arc::downgrade(&self.inner),
        };
        self.inner
            .devices
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push(handle.clone());
        Ok(handle)
    }

    /// A device by its number, the first being 0.
    ///
    /// # Errors
    /// When there are not as many.
    pub fn device(&self, index: usize) -> Result<DeviceHandle, Error> {
        let devices = self
            .inner
            .devices
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        devices.get(index).cloned().ok_or(Error::NoDevice { index })
    }

    /// Memory for `len` elements, all zero bytes; it costs nothing until it is touched.
    ///
    /// # Errors
    /// When there is no room, or nothing was asked for.
    pub fn alloc<T: Pod>(&self, len: usize) -> Result<Vector<T>, Error> {
        Vector::new(self, len)
    }

    /// Compiles a shader for the first device; it has one compute entry point. A text alone is WGSL, [`Source`] takes
    /// SPIR-V and GLSL as well:
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let gm = gmem::Gmem::new()?;
    /// let triple = gm.kernel(
    ///     "@group(0) @binding(0) var<storage, read_write> x: array<u32>;
    ///      @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) { x[id.x] *= 3u; }",
    /// )?;
    /// let blur = gm.kernel(gmem::Source::spirv(std::fs::read("blur.spv")?))?;
    /// let sum = gm.kernel(gmem::Source::glsl(std::fs::read_to_string("sum.comp")?))?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// What is wrong with the source, with the line.
    pub fn kernel<'a>(&self, source: impl Into<Source<'a>>) -> Result<Kernel, Error> {
        self.kernel_on(&self.device(0)?, source, None, &[])
    }

    /// Compiles an entry point of a shader for a device (the only one when `entry` is `None`), with values for its
    /// `override`s: specialisation constants, in SPIR-V and GLSL, by name or id.
    ///
    /// # Errors
    /// What is wrong with the source, or that the device runs no shaders or is another space's.
    pub fn kernel_on<'a>(
        &self,
        device: &DeviceHandle,
        source: impl Into<Source<'a>>,
        entry: Option<&str>,
        overrides: &[(String, f64)],
    ) -> Result<Kernel, Error> {
        device.check_space(&self.inner)?;
        Kernel::from_source(self, device, source.into(), entry, overrides)
    }

    /// Takes a kernel that a device made itself (a closure of the simulated one).
    ///
    /// # Errors
    /// When the device is another space's.
    pub fn kernel_of(
        &self,
        device: &DeviceHandle,
        kernel: Arc<dyn gmem_hal::Kernel>,
    ) -> Result<Kernel, Error> {
        device.check_space(&self.inner)?;
        Ok(Kernel::from_device(self, device, kernel))
    }

    /// Where the space lies and how it is cut.
    #[must_use]
    pub fn geometry(&self) -> Geometry {
        self.inner.space.geometry()
    }

    /// How touches by the CPU are noticed, and why in this way.
    #[must_use]
    pub fn mechanism(&self) -> (HostMechanism, &str) {
        (self.inner.mechanism, &self.inner.why)
    }

    /// What happened so far, and what is held now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let devices = self
            .inner
            .devices
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        Stats {
            counts: self.inner.space.counts(),
            devices: devices
                .iter()
                .filter_map(|d| self.inner.space.device(d.node))
                .collect(),
            regions: self.inner.space.regions(),
            metadata_bytes: self.inner.space.metadata_bytes(),
        }
    }

    /// Which nodes hold the page of an address, with which rights. `None` outside the space.
    #[must_use]
    pub fn query(&self, va: Va) -> Option<PageReport> {
        self.inner.space.query(va)
    }

    /// Checks that frames and page tables agree: for tests.
    ///
    /// # Errors
    /// What does not.
    pub fn check(&self) -> Result<(), String> {
        self.inner.space.check()
    }
}
