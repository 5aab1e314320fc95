//! What opening an adapter and compiling a kernel can fail with, and how wgpu's own errors become [`DeviceError`]s.

use gmem_hal::{DeviceError, counted};

/// Why no device could be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No adapter matches the choice.
    #[error("{}", no_adapter(wanted, available))]
    NoAdapter {
        /// What was asked for.
        wanted: String,
        /// The adapters there are, as `name (backend)`.
        available: Vec<String>,
    },
    /// The adapter cannot run compute shaders with storage buffers.
    #[error("adapter `{adapter}` cannot be used: {reason}")]
    Unfit {
        /// Its name.
        adapter: String,
        /// What it lacks.
        reason: String,
    },
    /// The driver gave no device.
    #[error("adapter `{adapter}` gave no device: {reason}")]
    Request {
        /// Its name.
        adapter: String,
        /// What the driver said.
        reason: String,
    },
    /// The cap on device memory holds not even the smallest page.
    #[error("a device memory of {} holds no page: give at least {least} bytes", counted(*bytes, "byte"))]
    Budget {
        /// What was asked for.
        bytes: u64,
        /// The least that works, with 4 KiB pages.
        least: u64,
    },
    /// The device thread could not be started, or ended.
    #[error("the device thread did not start: {reason}")]
    Thread {
        /// Why.
        reason: String,
    },
}

fn no_adapter(wanted: &str, available: &[String]) -> String {
    if available.is_empty() {
        "there is no GPU adapter here: install a driver (a software one will do, on Debian `mesa-vulkan-drivers`)".to_owned()
    } else {
        format!(
            "no adapter matches {wanted}: this machine has {}",
            available.join(", ")
        )
    }
}

/// Why a kernel could not be compiled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The source, its entry point or its overrides.
    #[error(transparent)]
    Shader(#[from] gmem_shaders::ShaderError),
    /// The kernel is beyond what this device can run.
    #[error("kernel `{kernel}` cannot run on this device: {reason}")]
    Unsupported {
        /// The entry point.
        kernel: String,
        /// What it needs, and what there is.
        reason: String,
    },
}

/// The error of a call out of an error of wgpu: what was asked for was wrong, or too much.
pub(crate) fn device_error(error: &wgpu::Error) -> DeviceError {
    match error {
        wgpu::Error::OutOfMemory { .. } => DeviceError::OutOfMemory {
            what: "a command",
            bytes: 0,
        },
        wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
            DeviceError::Unsupported {
                reason: format!("the device rejects a command: {}", one_line(description)),
            }
        }
    }
}

/// A driver's or validator's report as one line.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
