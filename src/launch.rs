//! Launches: memory bound to a kernel's variables, then run.

use std::any::TypeId;
use std::future::Future;
use std::marker::PhantomData;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytemuck::Pod;
use gmem_hal::ByteRange;
use gmem_runtime::{LaunchHandle, LaunchReport};
use gmem_wgpu::ScalarLeaf;

use crate::space::Inner;
use crate::{Error, Kernel, StorageInfo, Vector};

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
    inner: Option<Arc<Inner>>,
    range: Result<ByteRange, Error>,
    element: Element,
    writable: bool,
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
    kernel: &'a Kernel,
    grid: [u32; 3],
    bound: Vec<Option<ByteRange>>,
    values: Vec<Option<Vec<u8>>>,
    extra_values: Vec<Vec<u8>>,
    mistake: Option<Error>,
    lent: PhantomData<&'a mut ()>,
}

impl<'a> Launch<'a> {
    pub(crate) fn new(kernel: &'a Kernel, grid: [u64; 3]) -> Self {
        let launch = Self {
            kernel,
            grid: grid.map(|side| u32::try_from(side).unwrap_or(u32::MAX)),
            bound: vec![None; kernel.storage.len()],
            values: vec![None; kernel.uniforms.len()],
            extra_values: Vec::new(),
            mistake: None,
            lent: PhantomData,
        };
        launch.kept(within_ids(kernel, grid))
    }

    fn kept(mut self, result: Result<(), Error>) -> Self {
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
            kernel.storage.iter().map(|s| (s.name.as_str(), s.slot)),
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

    /// Gives a uniform its value: a `Pod` with the layout of the WGSL type.
    pub fn uniform<T: Pod>(self, name: &str, value: &T) -> Self {
        self.uniform_bytes(name, bytemuck::bytes_of(value))
    }

    /// Gives a uniform its bytes. They may fall short of the WGSL type's size by its trailing padding (less than 16 bytes).
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
        let mut values = Vec::with_capacity(self.values.len());
        for (value, info) in self.values.into_iter().zip(&*kernel.uniforms) {
            values.push(value.ok_or_else(|| Error::NoValue {
                kernel: kernel.name().to_owned(),
                name: info.name.clone(),
                bytes: info.bytes,
            })?);
        }
        values.extend(self.extra_values);
        let launch = gmem_hal::Launch {
            kernel: Arc::clone(&kernel.device),
            bound,
            values,
            grid: self.grid,
        };
        let handle = kernel.inner.space.launch(kernel.node, launch)?;
        Ok(Running {
            handle,
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
/// whoever looks at the memory next waits for it.
#[must_use = "an error is lost if nobody waits"]
pub struct Running<'a> {
    handle: LaunchHandle,
    _inner: Arc<Inner>,
    lent: PhantomData<&'a mut ()>,
}

impl Running<'_> {
    /// Waits on this thread.
    ///
    /// # Errors
    /// What went wrong.
    pub fn wait(self) -> Result<LaunchReport, Error> {
        Ok(self.handle.wait()?)
    }
}

impl Future for Running<'_> {
    type Output = Result<LaunchReport, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.handle).poll(cx).map(|r| Ok(r?))
    }
}

/// An id beyond 32 bits would begin again at 0: those invocations would run twice.
fn within_ids(kernel: &Kernel, grid: [u64; 3]) -> Result<(), Error> {
    let workgroup = kernel.workgroup_size();
    let fits = grid.iter().zip(workgroup).all(|(&groups, lanes)| {
        u32::try_from(groups).is_ok() && groups * u64::from(lanes) <= 1 << 32
    });
    let all: u128 = grid.iter().map(|&side| u128::from(side)).product();
    if fits && all < 1 << 63 {
        Ok(())
    } else {
        Err(Error::Grid {
            kernel: kernel.name().to_owned(),
            grid,
            workgroup,
        })
    }
}

/// The index of a variable, by name or as `GROUP.BINDING`.
fn find<'n>(name: &str, variables: impl Iterator<Item = (&'n str, (u32, u32))>) -> Option<usize> {
    let slot = name
        .split_once('.')
        .and_then(|(g, b)| Some((g.parse().ok()?, b.parse().ok()?)));
    let mut variables = variables;
    variables.position(|(n, s)| n == name || Some(s) == slot)
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
