//! Which device a command runs on, and the address space over it.

use gmem::gpu::{AdapterChoice, OpenError, WgpuOptions};
use gmem::{Builder, DeviceChoice, Gmem};
use gmem_hal::PageSize;

use super::Failure;
use super::args::{Adapter, Common};

/// What runs kernels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    /// A GPU through wgpu, running WGSL.
    Gpu(AdapterChoice),
    /// The simulated device, running closures.
    Simulated {
        /// Why there is no GPU, when nobody asked for the simulated device.
        instead: Option<String>,
    },
}

impl Engine {
    /// What the options ask for; without any, a GPU, or the simulated device where there is none.
    ///
    /// # Errors
    /// When there is an adapter and it cannot be opened.
    pub fn of(common: &Common) -> Result<Self, Failure> {
        match adapter(common) {
            None => Ok(Self::Simulated { instead: None }),
            Some(AdapterChoice::Auto) => match gmem::gpu::open(&WgpuOptions::default()) {
                // The best there is is the best of its backend: the others need not be loaded again.
                Ok(gpu) => Ok(Self::Gpu(gpu.adapter().backend.parse().unwrap_or_default())),
                Err(none @ (OpenError::NoAdapter { .. } | OpenError::Unfit { .. })) => {
                    Ok(Self::Simulated {
                        instead: Some(none.to_string()),
                    })
                }
                Err(other) => Err(Failure::run(other)),
            },
            // Somebody said which: if it is not there, that is an error when it is opened.
            Some(named) => Ok(Self::Gpu(named)),
        }
    }

    /// Whether kernels are closures.
    #[must_use]
    pub const fn simulated(&self) -> bool {
        matches!(self, Self::Simulated { .. })
    }

    /// Bytes of device memory that hold no data, whatever its size.
    #[must_use]
    pub fn overhead(&self) -> u64 {
        match self {
            Self::Simulated { .. } => 0,
            // What is more than a page in the least memory that can be opened. No adapter is looked for before that is said.
            Self::Gpu(_) => match gmem::gpu::open(&WgpuOptions {
                device_memory: Some(0),
                ..WgpuOptions::default()
            }) {
                Err(OpenError::Budget { least, .. }) => least - PageSize::MIN.bytes(),
                _ => 0,
            },
        }
    }

    fn device(&self) -> DeviceChoice {
        match self {
            Self::Gpu(choice) => DeviceChoice::Gpu(choice.clone()),
            Self::Simulated { .. } => DeviceChoice::Simulated,
        }
    }

    /// Says how its address space is to be, as far as the common options do.
    pub fn builder(&self, common: &Common) -> Builder {
        with_memory(common, builder(common).device(self.device()))
    }
}

/// The adapter that the options ask for; `None` for the simulated device.
#[must_use]
pub fn adapter(common: &Common) -> Option<AdapterChoice> {
    match &common.adapter {
        None => Some(AdapterChoice::Auto),
        Some(Adapter::Sim) => None,
        // Every word is a choice: one that is no backend is a part of a name.
        Some(Adapter::Backend(name)) => Some(name.parse().unwrap_or_default()),
        Some(Adapter::Named(name)) => Some(AdapterChoice::Name(name.clone())),
    }
}

/// An address space by the common options, still without its device.
pub fn builder(common: &Common) -> Builder {
    let mut builder = Gmem::builder()
        .seed(common.seed)
        .trace(common.tracer.clone());
    if let Some(page) = common.page_size {
        builder = builder.page_size(page.bytes());
    }
    if let Some(policy) = common.policy_kind() {
        builder = builder.policy(policy);
    }
    if let Some(host) = common.host {
        builder = builder.host(gmem::host::Choice::Only(host.into()));
    }
    builder
}

fn with_memory(common: &Common, builder: Builder) -> Builder {
    let builder = match common.device_memory {
        Some(bytes) => builder.device_memory(bytes),
        None => builder,
    };
    match common.remote_memory {
        Some(bytes) => builder.remote_memory(bytes),
        None => builder,
    }
}

/// The device of a space and how touches by the CPU are noticed, in one line.
#[must_use]
pub fn describe(gm: &Gmem, common: &Common) -> String {
    let device = match gm.device(0) {
        Ok(device) if device.gpu().is_some() => {
            format!("{} ({})", device.info().name, device.info().backend)
        }
        _ => "simulated device".to_owned(),
    };
    let policy = common.policy_kind().unwrap_or_default();
    format!(
        "{device}; host mechanism {}; policy {policy}",
        gm.mechanism().0.name()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common(adapter: Adapter) -> Common {
        Common {
            adapter: Some(adapter),
            ..Common::default()
        }
    }

    #[test]
    fn names_of_adapters_become_choices() {
        assert_eq!(adapter(&Common::default()), Some(AdapterChoice::Auto));
        assert_eq!(adapter(&common(Adapter::Sim)), None);
        let gl = adapter(&common(Adapter::Backend("gl"))).unwrap();
        assert_eq!(gl.to_string(), "backend `gl`");
        let named = adapter(&common(Adapter::Named("GeForce".to_owned()))).unwrap();
        assert_eq!(named, AdapterChoice::Name("GeForce".to_owned()));
    }

    #[test]
    fn a_window_has_some_bytes_besides_its_frames_and_the_simulated_device_none() {
        let overhead = Engine::Gpu(AdapterChoice::Auto).overhead();
        assert!(overhead > 0 && overhead < 4096, "{overhead}");
        assert_eq!(Engine::Simulated { instead: None }.overhead(), 0);
    }
}
