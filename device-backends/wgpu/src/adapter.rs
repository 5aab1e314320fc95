//! Which adapters there are, and which one to use.
//!
//! Key types: [`AdapterSummary`] (what a person wants to know of one), [`AdapterChoice`].
//! Invariant: enumeration opens no device and never panics; a backend whose driver fails to load is simply absent.

use std::fmt;
use std::str::FromStr;

use crate::error::OpenError;

/// Which adapter to open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AdapterChoice {
    /// The best there is: discrete, integrated, virtual, then software through Vulkan, then GL.
    #[default]
    Auto,
    /// The best one of a backend: `vulkan`, `gl`, `metal` or `dx12`.
    Backend(BackendName),
    /// The best one whose name contains this, in any case.
    Name(String),
}

impl fmt::Display for AdapterChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("any adapter"),
            Self::Backend(backend) => write!(f, "backend `{}`", backend.name()),
            Self::Name(name) => write!(f, "name `{name}`"),
        }
    }
}

impl FromStr for AdapterChoice {
    type Err = core::convert::Infallible;

    /// `auto`, a backend's name, or a part of an adapter's name.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Ok(match s {
            "auto" | "" => Self::Auto,
            _ => BackendName::ALL
                .into_iter()
                .find(|b| b.name() == s)
                .map_or_else(|| Self::Name(s.to_owned()), Self::Backend),
        })
    }
}

/// An interface to GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BackendName {
    /// Vulkan.
    Vulkan,
    /// OpenGL, OpenGL ES.
    Gl,
    /// Metal.
    Metal,
    /// Direct3D 12.
    Dx12,
}

impl BackendName {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Vulkan, Self::Gl, Self::Metal, Self::Dx12];

    /// The name used on the command line and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vulkan => "vulkan",
            Self::Gl => "gl",
            Self::Metal => "metal",
            Self::Dx12 => "dx12",
        }
    }

    const fn flags(self) -> wgpu::Backends {
        match self {
            Self::Vulkan => wgpu::Backends::VULKAN,
            Self::Gl => wgpu::Backends::GL,
            Self::Metal => wgpu::Backends::METAL,
            Self::Dx12 => wgpu::Backends::DX12,
        }
    }
}

/// What kind of hardware is behind an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AdapterKind {
    /// A GPU with memory of its own.
    Discrete,
    /// A GPU that shares the CPU's memory.
    Integrated,
    /// A GPU lent to a virtual machine.
    Virtual,
    /// Software on the CPU.
    Cpu,
    /// The driver does not say.
    Other,
}

impl AdapterKind {
    /// The name used in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Discrete => "discrete",
            Self::Integrated => "integrated",
            Self::Virtual => "virtual",
            Self::Cpu => "cpu",
            Self::Other => "other",
        }
    }

    const fn of(kind: wgpu::DeviceType) -> Self {
        match kind {
            wgpu::DeviceType::DiscreteGpu => Self::Discrete,
            wgpu::DeviceType::IntegratedGpu => Self::Integrated,
            wgpu::DeviceType::VirtualGpu => Self::Virtual,
            wgpu::DeviceType::Cpu => Self::Cpu,
            wgpu::DeviceType::Other => Self::Other,
        }
    }
}

/// What a person wants to know of an adapter before choosing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterSummary {
    /// Its name.
    pub name: String,
    /// `vulkan`, `gl`, `metal` or `dx12`.
    pub backend: &'static str,
    /// The driver's name and version.
    pub driver: String,
    /// The kind of hardware.
    pub kind: AdapterKind,
    /// The limits that decide what gmem can do with it.
    pub limits: AdapterLimits,
}

/// The limits of an adapter that decide how windows are cut and what a kernel may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdapterLimits {
    /// The most bytes one storage binding may have.
    pub storage_binding_bytes: u64,
    /// The most bytes of one buffer.
    pub buffer_bytes: u64,
    /// Storage buffers in one shader.
    pub storage_buffers: u32,
    /// Invocations in a workgroup.
    pub workgroup_invocations: u32,
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
    /// Workgroups in one dimension of a dispatch.
    pub workgroups_per_dimension: u32,
}

impl AdapterLimits {
    pub(crate) fn of(limits: &wgpu::Limits) -> Self {
        Self {
            storage_binding_bytes: limits.max_storage_buffer_binding_size,
            buffer_bytes: limits.max_buffer_size,
            storage_buffers: limits.max_storage_buffers_per_shader_stage,
            workgroup_invocations: limits.max_compute_invocations_per_workgroup,
            workgroup_bytes: limits.max_compute_workgroup_storage_size,
            workgroups_per_dimension: limits.max_compute_workgroups_per_dimension,
        }
    }
}

const fn backend_name(backend: wgpu::Backend) -> &'static str {
    match backend {
        wgpu::Backend::Noop => "noop",
        wgpu::Backend::Vulkan => "vulkan",
        wgpu::Backend::Metal => "metal",
        wgpu::Backend::Dx12 => "dx12",
        wgpu::Backend::Gl => "gl",
        wgpu::Backend::BrowserWebGpu => "webgpu",
    }
}

pub(crate) fn summary(adapter: &wgpu::Adapter) -> AdapterSummary {
    let info = adapter.get_info();
    AdapterSummary {
        name: info.name,
        backend: backend_name(info.backend),
        driver: format!("{} {}", info.driver, info.driver_info)
            .trim()
            .to_owned(),
        kind: AdapterKind::of(info.device_type),
        limits: AdapterLimits::of(&adapter.limits()),
    }
}

/// The order of preference: lower is better.
fn rank(adapter: &AdapterSummary) -> (bool, u8) {
    let kind = match adapter.kind {
        AdapterKind::Discrete => 0,
        AdapterKind::Integrated => 1,
        AdapterKind::Virtual => 2,
        AdapterKind::Other => 3,
        AdapterKind::Cpu => 4,
    };
    (adapter.backend == "gl", kind)
}

fn all(backends: wgpu::Backends) -> Vec<(AdapterSummary, wgpu::Adapter)> {
    // Validation layers are for those who debug drivers: they would change every timing.
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends,
        flags: wgpu::InstanceFlags::empty(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let adapters = pollster::block_on(instance.enumerate_adapters(backends));
    let mut found: Vec<_> = adapters.into_iter().map(|a| (summary(&a), a)).collect();
    found.sort_by_key(|(summary, _)| rank(summary));
    found
}

/// All adapters of this machine, best first.
#[must_use]
pub fn adapters() -> Vec<AdapterSummary> {
    // In a thread of its own: a driver that panics while it is loaded must not take its user with it.
    let found = std::thread::Builder::new()
        .name("gmem-adapters".to_owned())
        .spawn(|| {
            all(wgpu::Backends::PRIMARY | wgpu::Backends::GL)
                .into_iter()
                .map(|(s, _)| s)
                .collect()
        });
    found.ok().and_then(|t| t.join().ok()).unwrap_or_default()
}

/// The adapter that a choice means.
pub(crate) fn choose(choice: &AdapterChoice) -> Result<(AdapterSummary, wgpu::Adapter), OpenError> {
    let backends = match choice {
        AdapterChoice::Backend(backend) => backend.flags(),
        _ => wgpu::Backends::PRIMARY | wgpu::Backends::GL,
    };
    let wanted = |summary: &AdapterSummary| match choice {
        AdapterChoice::Auto | AdapterChoice::Backend(_) => true,
        AdapterChoice::Name(part) => summary.name.to_lowercase().contains(&part.to_lowercase()),
    };
    all(backends)
        .into_iter()
        .find(|(summary, _)| wanted(summary))
        .ok_or_else(|| OpenError::NoAdapter {
            wanted: choice.to_string(),
            available: adapters()
                .into_iter()
                .map(|a| format!("{} ({})", a.name, a.backend))
                .collect(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read_from_the_command_line() {
        let choice = |s: &str| s.parse::<AdapterChoice>().unwrap();
        assert_eq!(choice("auto"), AdapterChoice::Auto);
        assert_eq!(choice("gl"), AdapterChoice::Backend(BackendName::Gl));
        assert_eq!(
            choice("vulkan"),
            AdapterChoice::Backend(BackendName::Vulkan)
        );
        assert_eq!(choice("radeon"), AdapterChoice::Name("radeon".to_owned()));
    }

    #[test]
    fn hardware_goes_before_software_and_vulkan_before_gl() {
        let limits = AdapterLimits::of(&wgpu::Limits::default());
        let adapter = |backend, kind| AdapterSummary {
            name: String::new(),
            backend,
            driver: String::new(),
            kind,
            limits,
        };
        let order = [
            adapter("vulkan", AdapterKind::Discrete),
            adapter("metal", AdapterKind::Integrated),
            adapter("vulkan", AdapterKind::Virtual),
            adapter("vulkan", AdapterKind::Cpu),
            adapter("gl", AdapterKind::Discrete),
            adapter("gl", AdapterKind::Cpu),
        ];
        assert!(order.is_sorted_by(|a, b| rank(a) < rank(b)));
    }
}
