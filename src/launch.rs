//! Launches: memory bound to a kernel's variables, then run.

use std::any::TypeId;
use std::future::Future;
use std::marker::PhantomData;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytemuck::Pod;
use gmem_hal::{ByteRange, Reached};
use gmem_runtime::{LaunchHandle, LaunchReport};
use gmem_wgpu::{Resource, ScalarLeaf, WgpuKernel, wgpu};

use crate::pointers::Pointed;
use crate::space::Inner;
use crate::{Error, Kernel, ResourceInfo, StorageInfo, Vector};

/// The Rust type of what is bound.
#[derive(Clone, Copy)]
struct Element {
    name: &'static str,
    bytes: usize,
    scalar: Option<ScalarLeaf>,
    /// Raw memory and bytes fit everything.
    any: bool,
}

impl Element {
    fn of<T: Pod>() -> Self {
        let id = TypeId::of::<T>();
        let is = |ids: &[TypeId]| ids.contains(&id);
        macro_rules! family {
            ($t:ty) => {
                is(&[
                    TypeId::of::<$t>(),
                    TypeId::of::<[$t; 2]>(),
                    TypeId::of::<[$t; 3]>(),
                    TypeId::of::<[$t; 4]>(),
                    TypeId::of::<[$t; 8]>(),
                    TypeId::of::<[$t; 9]>(),
                    TypeId::of::<[$t; 12]>(),
                    TypeId::of::<[$t; 16]>(),
                ])
            };
        }
        let scalar = if family!(f32) {
            Some(ScalarLeaf::F32)
        } else if family!(u32) {
            Some(ScalarLeaf::U32)
        } else if family!(i32) {
            Some(ScalarLeaf::I32)
        } else {
            None
        };
        Self {
            name: core::any::type_name::<T>(),
            bytes: size_of::<T>(),
            scalar,
            any: is(&[TypeId::of::<u8>(), TypeId::of::<i8>()]),
        }
    }

    const RAW: Self = Self {
        name: "raw memory",
        bytes: 1,
        scalar: None,
        any: true,
    };

    fn fits(&self, binding: &StorageInfo) -> bool {
        if self.any || binding.element == "bytes" {
            return true;
        }
        match (self.scalar, binding.scalar) {
            // Words of one kind: any grouping of them is the same memory, but for three-component vectors,
            // which WGSL spreads over four words.
            (Some(given), Some(expected)) => given == expected && !self.is_packed_vec3(binding),
            // A struct of ours: it has to be one of theirs, or the whole.
            (None, _) => match binding.stride {
                Some(stride) => {
                    self.bytes.is_multiple_of(stride as usize)
                        || self.bytes >= binding.min_bytes as usize
                }
                None => self.bytes >= binding.min_bytes as usize || self.bytes == 4,
            },
            // Plain words for a struct of several kinds: the user packs it.
            (Some(_), None) => true,
        }
    }

    fn is_packed_vec3(&self, binding: &StorageInfo) -> bool {
        binding.element.starts_with("vec3") && self.bytes == 12
    }
}

/// Memory to be bound: from `&Vector`, `&mut Vector`, or a part of one.
pub struct Binding<'a> {
    pub(crate) inner: Option<Arc<Inner>>,
    pub(crate) range: Result<ByteRange, Error>,
    element: Element,
    pub(crate) writable: bool,
    lent: PhantomData<&'a ()>,
}

impl<'a, T: Pod> From<&'a Vector<T>> for Binding<'a> {
    fn from(vector: &'a Vector<T>) -> Self {
        vector.part(0..vector.len())
    }
}

impl<'a, T: Pod> From<&'a mut Vector<T>> for Binding<'a> {
    fn from(vector: &'a mut Vector<T>) -> Self {
        let len = vector.len();
        vector.part_mut(0..len)
    }
}

impl<T: Pod> Vector<T> {
    /// Some of its elements, to be bound for reading.
    #[must_use]
    pub fn part(&self, elements: Range<usize>) -> Binding<'_> {
        Binding {
            inner: Some(Arc::clone(self.inner())),
            range: self.byte_range(elements),
            element: Element::of::<T>(),
            writable: false,
            lent: PhantomData,
        }
    }

    /// Some of its elements, to be bound for reading and writing.
    #[must_use]
    pub fn part_mut(&mut self, elements: Range<usize>) -> Binding<'_> {
        Binding {
            writable: true,
            ..self.part(elements)
        }
    }
}

/// A launch being put together. The first mistake is kept and returned by `run` or `submit`.
#[must_use = "nothing runs before `run` or `submit`"]
pub struct Launch<'a> {
    pub(crate) kernel: &'a Kernel,
    grid: [u32; 3],
    bound: Vec<Option<ByteRange>>,
    pub(crate) reach: Vec<Reached>,
    values: Vec<Option<Vec<u8>>>,
    extra_values: Vec<Vec<u8>>,
    resources: Vec<Option<Resource>>,
    mistake: Option<Error>,
    lent: PhantomData<&'a mut ()>,
}

impl<'a> Launch<'a> {
    pub(crate) fn new(kernel: &'a Kernel, grid: [u64; 3]) -> Self {
        let launch = Self {
            kernel,
            grid: grid.map(|side| u32::try_from(side).unwrap_or(u32::MAX)),
            bound: vec![None; kernel.storage.len()],
            reach: Vec::new(),
            values: vec![None; kernel.uniforms.len()],
            extra_values: Vec::new(),
            resources: vec![None; kernel.resources.len()],
            mistake: None,
            lent: PhantomData,
        };
        launch.kept(within_ids(kernel, grid))
    }

    pub(crate) fn kept(mut self, result: Result<(), Error>) -> Self {
        if let Err(e) = result
            && self.mistake.is_none()
        {
            self.mistake = Some(e);
        }
        self
    }

    /// Binds memory to a storage variable, named as in the source or as `GROUP.BINDING`:
    /// a `&Vector` where the kernel only reads it, a `&mut Vector` where it writes.
    pub fn bind(mut self, name: &str, memory: impl Into<Binding<'a>>) -> Self {
        let result = self.try_bind(name, memory.into());
        self.kept(result)
    }

    /// Binds `bytes` bytes at a raw pointer of the space.
    ///
    /// # Safety
    /// Until the launch is over, nobody holds a `&mut` to these bytes (nor a `&`, where the kernel writes them), they are not
    /// freed, and CPU threads that touch them meanwhile expect what any racing thread would do.
    #[allow(unsafe_code)]
    pub unsafe fn bind_raw(mut self, name: &str, p: *const u8, bytes: usize) -> Self {
        let gm = crate::Gmem {
            inner: Arc::clone(&self.kernel.inner),
        };
        let memory = Binding {
            inner: Some(Arc::clone(&self.kernel.inner)),
            range: gm.raw_range(p, bytes),
            element: Element::RAW,
            writable: true,
            lent: PhantomData,
        };
        let result = self.try_bind(name, memory);
        self.kept(result)
    }

    fn try_bind(&mut self, name: &str, memory: Binding<'a>) -> Result<(), Error> {
        let kernel = self.kernel;
        let i = find(
            name,
            kernel
                .storage
                .iter()
                .map(|s| (s.name.as_str(), Some(s.slot))),
        )
        .ok_or_else(|| {
            no_such(
                kernel,
                "storage binding",
                name,
                kernel.storage.iter().map(|s| s.name.as_str()),
            )
        })?;
        let info = &kernel.storage[i];
        let (kernel_name, name) = (kernel.name().to_owned(), info.name.clone());
        if memory
            .inner
            .is_some_and(|inner| !Arc::ptr_eq(&inner, &kernel.inner))
        {
            return Err(Error::OtherSpace { name });
        }
        let range = memory.range?;
        if self.bound[i].is_some() {
            return Err(Error::BoundTwice {
                kernel: kernel_name,
                name,
            });
        }
        if info.writes && !memory.writable {
            return Err(Error::NotMutable {
                kernel: kernel_name,
                name,
            });
        }
        if !memory.element.fits(info) {
            let expected = info.stride.map_or_else(
                || info.element.clone(),
                |_| format!("array<{}>", info.element),
            );
            return Err(Error::ElementType {
                kernel: kernel_name,
                name,
                expected,
                given: memory.element.name,
            });
        }
        if range.len < u64::from(info.min_bytes) {
            return Err(Error::Size {
                kernel: kernel_name,
                name,
                expected: info.min_bytes.into(),
                given: range.len,
            });
        }
        let align = info.align.max(1);
        let va = kernel.inner.space.geometry().va(range.offset);
        if !va.0.is_multiple_of(u64::from(align)) {
            return Err(Error::Misaligned {
                kernel: kernel_name,
                name,
                va,
                align,
            });
        }
        self.bound[i] = Some(range);
        Ok(())
    }

    /// Gives a uniform or an immediate (push constant) its value: a `Pod` with the layout of the WGSL type.
    pub fn uniform<T: Pod>(self, name: &str, value: &T) -> Self {
        self.uniform_bytes(name, bytemuck::bytes_of(value))
    }

    /// Gives a uniform or an immediate its bytes. They may fall short of the WGSL type's size by its trailing padding (less than 16 bytes).
    pub fn uniform_bytes(mut self, name: &str, bytes: &[u8]) -> Self {
        let result = self.try_uniform(name, bytes);
        self.kept(result)
    }

    fn try_uniform(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let kernel = self.kernel;
        let i = find(
            name,
            kernel.uniforms.iter().map(|u| (u.name.as_str(), u.slot)),
        )
        .ok_or_else(|| {
            no_such(
                kernel,
                "uniform",
                name,
                kernel.uniforms.iter().map(|u| u.name.as_str()),
            )
        })?;
        let info = &kernel.uniforms[i];
        let (kernel_name, name) = (kernel.name().to_owned(), info.name.clone());
        let data_end = info
            .leaves
            .last()
            .map_or(info.bytes, |l| l.offset + u32::from(l.scalar.width));
        let given = bytes.len() as u64;
        if given < u64::from(data_end) || given > u64::from(info.bytes) {
            return Err(Error::Size {
                kernel: kernel_name,
                name,
                expected: info.bytes.into(),
                given,
            });
        }
        if self.values[i].is_some() {
            return Err(Error::BoundTwice {
                kernel: kernel_name,
                name,
            });
        }
        let mut value = bytes.to_vec();
        value.resize(info.bytes as usize, 0);
        self.values[i] = Some(value);
        Ok(())
    }

    /// Binds a texture of the device's own: made with [`WgpuDevice::wgpu`](crate::gpu::WgpuDevice::wgpu) of this kernel's
    /// device, and held until the kernel's next launch with another one, or its end. What the kernel stores to it is
    /// there when the launch is over; nobody else uses it meanwhile.
    pub fn texture(self, name: &str, view: &wgpu::TextureView) -> Self {
        self.resource("texture", name, Resource::Texture(view.clone()))
    }

    /// Binds a sampler of the device's own: see [`Launch::texture`].
    pub fn sampler(self, name: &str, sampler: &wgpu::Sampler) -> Self {
        self.resource("sampler", name, Resource::Sampler(sampler.clone()))
    }

    fn resource(mut self, kind: &'static str, name: &str, resource: Resource) -> Self {
        let kernel = self.kernel;
        let infos = kernel.resources.iter();
        let fits = |info: &&ResourceInfo| resource.fits(info.kind);
        let found = find(name, infos.clone().map(|r| (r.name.as_str(), Some(r.slot))));
        let result = match found.filter(|&i| fits(&&kernel.resources[i])) {
            None => {
                let available = infos.filter(fits).map(|r| r.name.as_str());
                Err(no_such(kernel, kind, name, available))
            }
            Some(i) if self.resources[i].is_some() => Err(Error::BoundTwice {
                kernel: kernel.name().to_owned(),
                name: kernel.resources[i].name.clone(),
            }),
            Some(i) => {
                self.resources[i] = Some(resource);
                Ok(())
            }
        };
        self.kept(result)
    }

    /// Gives a device's own kernel its next value (they have no names there).
    pub fn value<T: Pod>(mut self, value: &T) -> Self {
        self.extra_values.push(bytemuck::bytes_of(value).to_vec());
        self
    }

    /// Starts it, and answers with a future of its report. It runs, on the runtime's own threads, whether or not that is polled.
    ///
    /// # Errors
    /// The first mistake made while putting it together; nothing runs then.
    pub fn submit(self) -> Result<Running<'a>, Error> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        let kernel = self.kernel;
        let mut bound = Vec::with_capacity(self.bound.len());
        for (range, info) in self.bound.into_iter().zip(&*kernel.storage) {
            bound.push(range.ok_or_else(|| Error::Unbound {
                kernel: kernel.name().to_owned(),
                name: info.name.clone(),
            })?);
        }
        let pointed = Pointed::of(kernel, self.reach)?;
        for &binding in &*kernel.hidden {
            if let Some(pointed) = &pointed {
                bound.push(pointed.bound(binding)?);
            }
        }
        let mut values = Vec::with_capacity(self.values.len());
        for (value, info) in self.values.into_iter().zip(&*kernel.uniforms) {
            values.push(value.ok_or_else(|| Error::NoValue {
                kernel: kernel.name().to_owned(),
                name: info.name.clone(),
                bytes: info.bytes,
            })?);
        }
        values.extend(self.extra_values);
        let mut resources = Vec::with_capacity(self.resources.len());
        for (resource, info) in self.resources.into_iter().zip(&*kernel.resources) {
            resources.push(resource.ok_or_else(|| Error::NoResource {
                kernel: kernel.name().to_owned(),
                kind: info.kind.noun(),
                name: info.name.clone(),
                ty: info.ty.clone(),
            })?);
        }
        let launch = gmem_hal::Launch {
            kernel: with_resources(kernel, resources),
            bound,
            values,
            grid: self.grid,
            reach: pointed
                .as_ref()
                .map_or_else(Vec::new, |p| p.reach().to_vec()),
        };
        let handle = kernel.inner.space.launch(kernel.node, launch)?;
        Ok(Running {
            handle,
            pointed,
            _inner: Arc::clone(&kernel.inner),
            lent: PhantomData,
        })
    }

    /// Runs it and waits.
    ///
    /// # Errors
    /// What went wrong; memory is as after the last pass that succeeded.
    pub fn run(self) -> Result<LaunchReport, Error> {
        self.submit()?.wait()
    }
}

/// A launch under way; a future of its report. It borrows what the launch uses. Dropping it does not stop the launch:
/// whoever looks at the memory next waits for it. (Of a kernel that follows pointers it waits for the launch itself.)
#[must_use = "an error is lost if nobody waits"]
pub struct Running<'a> {
    handle: LaunchHandle,
    pointed: Option<Pointed>,
    _inner: Arc<Inner>,
    lent: PhantomData<&'a mut ()>,
}

impl Running<'_> {
    /// Waits on this thread.
    ///
    /// # Errors
    /// What went wrong.
    pub fn wait(self) -> Result<LaunchReport, Error> {
        let Self {
            handle, pointed, ..
        } = self;
        let report = handle.wait()?;
        pointed.map_or(Ok(()), |pointed| pointed.check())?;
        Ok(report)
    }
}

impl Future for Running<'_> {
    type Output = Result<LaunchReport, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let done = Pin::new(&mut self.handle).poll(cx);
        done.map(|report| {
            let report = report?;
            self.pointed
                .take()
                .map_or(Ok(()), |pointed| pointed.check())?;
            Ok(report)
        })
    }
}

/// An id beyond 32 bits would begin again at 0: those invocations would run twice.
fn within_ids(kernel: &Kernel, grid: [u64; 3]) -> Result<(), Error> {
    let ids = kernel.ids_of_a_workgroup();
    let fits = grid
        .iter()
        .zip(ids)
        .all(|(&groups, ids)| u32::try_from(groups).is_ok() && groups * u64::from(ids) <= 1 << 32);
    let all: u128 = grid.iter().map(|&side| u128::from(side)).product();
    if fits && all < 1 << 63 {
        Ok(())
    } else {
        Err(Error::Grid {
            kernel: kernel.name().to_owned(),
            grid,
            workgroup: kernel.workgroup_size(),
        })
    }
}

/// The device's kernel with its textures and samplers, if it has any.
fn with_resources(kernel: &Kernel, resources: Vec<Resource>) -> Arc<dyn gmem_hal::Kernel> {
    match kernel.device.as_any().downcast_ref::<WgpuKernel>() {
        Some(gpu) if !resources.is_empty() => gpu.with_resources(resources),
        _ => Arc::clone(&kernel.device),
    }
}

/// `@group` and `@binding`, of what has them.
type Slot = Option<(u32, u32)>;

/// The index of a variable, by name or as `GROUP.BINDING`.
fn find<'n>(name: &str, mut variables: impl Iterator<Item = (&'n str, Slot)>) -> Option<usize> {
    let slot = name
        .split_once('.')
        .and_then(|(g, b)| Some((g.parse().ok()?, b.parse().ok()?)));
    variables.position(|(n, s)| n == name || (slot.is_some() && s == slot))
}

fn no_such<'n>(
    kernel: &Kernel,
    kind: &'static str,
    name: &str,
    available: impl Iterator<Item = &'n str>,
) -> Error {
    let available: Vec<&str> = available.collect();
    Error::NoSuchVariable {
        kernel: kernel.name().to_owned(),
        kind,
        name: name.to_owned(),
        available: if available.is_empty() {
            "none".to_owned()
        } else {
            available.join(", ")
        },
    }
}
