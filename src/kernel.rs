//! Kernels: what they bind, by name.

use std::sync::Arc;

use gmem_hal::{Kernel as DeviceKernel, NodeId};
use gmem_wgpu::{Leaf, ResourceKind, ScalarLeaf, Source, WgpuKernel};

use crate::space::{Engine, Inner};
use crate::{DeviceHandle, Error, Gmem, Launch};

/// A storage binding of a kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct StorageInfo {
    /// The variable's name. In GLSL and SPIR-V some have none: they are called by their block, or `b0_3` for set 0 and
    /// binding 3 where no debug names are left.
    pub name: String,
    /// `@group`, `@binding`.
    pub slot: (u32, u32),
    /// The WGSL type of an element, or of the whole where it is no array.
    pub element: String,
    /// Bytes from one element of its runtime-sized array to the next, if it has one.
    pub stride: Option<u32>,
    /// The least bytes that may be bound.
    pub min_bytes: u32,
    /// Where a binding may begin.
    pub align: u32,
    /// The scalar that all of it consists of, if there is just one.
    pub scalar: Option<ScalarLeaf>,
    /// Whether the kernel loads from it: really, not by declaration.
    pub reads: bool,
    /// Whether the kernel stores to it.
    pub writes: bool,
}

/// A uniform or immediate (push constant) of a kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct UniformInfo {
    /// The variable's name.
    pub name: String,
    /// `@group`, `@binding`, which immediates do not have.
    pub slot: Option<(u32, u32)>,
    /// Its size.
    pub bytes: u32,
    /// Its scalars in memory order, at the offsets of the WGSL layout.
    pub leaves: Vec<Leaf>,
}

/// A texture or sampler of a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceInfo {
    /// The variable's name.
    pub name: String,
    /// `@group`, `@binding`.
    pub slot: (u32, u32),
    /// Its WGSL type, such as `texture_2d<f32>`.
    pub ty: String,
    /// What may be bound to it.
    pub kind: ResourceKind,
}

/// A compiled kernel of one device. Cheap to clone.
#[derive(Clone)]
pub struct Kernel {
    pub(crate) inner: Arc<Inner>,
    pub(crate) node: NodeId,
    pub(crate) device: Arc<dyn DeviceKernel>,
    pub(crate) storage: Arc<[StorageInfo]>,
    pub(crate) uniforms: Arc<[UniformInfo]>,
    pub(crate) resources: Arc<[ResourceInfo]>,
    /// The binding numbers of what it follows pointers with, in binding order, which is behind all others.
    pub(crate) hidden: Arc<[u32]>,
    workgroup_size: [u32; 3],
    /// Whether it asks for ids of invocations over the whole grid.
    global_ids: bool,
}

impl Kernel {
    pub(crate) fn from_source(
        gm: &Gmem,
        device: &DeviceHandle,
        source: Source<'_>,
        entry: Option<&str>,
        overrides: &[(String, f64)],
    ) -> Result<Self, Error> {
        let Engine::Gpu(gpu) = &device.engine else {
            return Err(Error::NoWgsl {
                device: device.info().name.clone(),
            });
        };
        let kernel = WgpuKernel::new(gpu, source, entry, overrides)?;
        let entry = kernel.entry();
        let hidden = (entry.storage.iter())
            .filter(|b| b.is_hidden())
            .map(|b| b.binding)
            .collect();
        let storage = entry
            .storage
            .iter()
            .filter(|b| !b.is_hidden())
            .map(|b| StorageInfo {
                name: b.name.clone(),
                slot: (b.group, b.binding),
                element: b.element.clone(),
                stride: b.runtime.map(|r| r.stride),
                min_bytes: b.min_bytes,
                align: b.align,
                scalar: b.scalar,
                reads: b.reads,
                writes: b.writes,
            })
            .collect();
        let uniforms = entry
            .values
            .iter()
            .map(|v| UniformInfo {
                name: v.name.clone(),
                slot: v.slot(),
                bytes: v.bytes,
                leaves: v.leaves.clone(),
            })
            .collect();
        let resources = entry
            .resources
            .iter()
            .map(|r| ResourceInfo {
                name: r.name.clone(),
                slot: (r.group, r.binding),
                ty: r.ty.clone(),
                kind: r.kind,
            })
            .collect();
        let workgroup_size = entry.workgroup_size;
        let global_ids = entry.has_global_ids();
        Ok(Self {
            inner: Arc::clone(&gm.inner),
            node: device.node,
            device: kernel,
            storage,
            uniforms,
            resources,
            hidden,
            workgroup_size,
            global_ids,
        })
    }

    pub(crate) fn from_device(
        gm: &Gmem,
        device: &DeviceHandle,
        kernel: Arc<dyn DeviceKernel>,
    ) -> Self {
        let storage = (0u32..)
            .zip(kernel.bindings())
            .map(|(i, b)| StorageInfo {
                name: b.name.clone(),
                slot: (0, i),
                element: "bytes".to_owned(),
                stride: None,
                min_bytes: 0,
                align: 1,
                scalar: None,
                reads: b.reads,
                writes: b.writes,
            })
            .collect();
        Self {
            inner: Arc::clone(&gm.inner),
            node: device.node,
            device: kernel,
            storage,
            uniforms: Arc::new([]),
            resources: Arc::new([]),
            hidden: Arc::new([]),
            workgroup_size: [1; 3],
            global_ids: true,
        }
    }

    /// The entry point's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.device.name()
    }

    /// Its storage bindings, in binding order.
    #[must_use]
    pub fn storage(&self) -> &[StorageInfo] {
        &self.storage
    }

    /// Its uniforms, in binding order, then its immediates.
    #[must_use]
    pub fn uniforms(&self) -> &[UniformInfo] {
        &self.uniforms
    }

    /// Its textures and samplers, in binding order.
    #[must_use]
    pub fn resources(&self) -> &[ResourceInfo] {
        &self.resources
    }

    /// Whether it follows 64-bit pointers: then a launch says what they may [reach](Launch::reach).
    #[must_use]
    pub fn follows_pointers(&self) -> bool {
        !self.hidden.is_empty()
    }

    /// Invocations in a workgroup, by dimension. Of a device's own kernel: one.
    #[must_use]
    pub fn workgroup_size(&self) -> [u32; 3] {
        self.workgroup_size
    }

    /// Ids that a workgroup uses up in each dimension: its invocations, where the kernel asks for `global_invocation_id`; else
    /// one, its own. A grid has at most 2^32 of them in a dimension.
    #[must_use]
    pub fn ids_of_a_workgroup(&self) -> [u32; 3] {
        if self.global_ids {
            self.workgroup_size
        } else {
            [1; 3]
        }
    }

    /// A launch of `grid` workgroups: of at most 2^32 invocations in a dimension, where the kernel asks for
    /// `global_invocation_id`, and else of any number. In all they may be as many as 2^63 workgroups.
    pub fn launch(&self, grid: [u32; 3]) -> Launch<'_> {
        Launch::new(self, grid.map(u64::from))
    }

    /// A launch of as many workgroups, in the first dimension, as give at least `invocations` invocations there:
    /// at most 2^32, as in [`Kernel::launch`].
    pub fn over(&self, invocations: usize) -> Launch<'_> {
        let groups = invocations.div_ceil(self.workgroup_size[0] as usize);
        Launch::new(self, [groups as u64, 1, 1])
    }
}
