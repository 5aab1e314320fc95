//! `gmem info`: which adapters there are and what of them gmem can use, how touches by the CPU are noticed and why so, the page size.

use std::fmt::Write as _;

use gmem::DeviceChoice;
use gmem::gpu::{AdapterSummary, OpenError};
use gmem_hal::counted;
use serde::Serialize;

use super::args::{Common, InfoArgs};
use super::files::check_output;
use super::report;
use super::space::{self, Engine};
use super::{Failure, print, size};

/// Everything that `gmem info` says.
#[derive(Debug, Serialize)]
struct Info {
    adapters: Vec<Adapter>,
    /// The device that commands would use with the same options.
    device: Device,
    host: Host,
    page_size: u64,
}

#[derive(Debug, Serialize)]
struct Adapter {
    name: String,
    backend: &'static str,
    driver: String,
    kind: &'static str,
    limits: Limits,
}

#[derive(Debug, Serialize)]
struct Limits {
    storage_binding_bytes: u64,
    buffer_bytes: u64,
    storage_buffers: u32,
    workgroup_invocations: u32,
    workgroup_bytes: u32,
    workgroups_per_dimension: u32,
}

#[derive(Debug, Default, Serialize)]
struct Device {
    name: String,
    backend: &'static str,
    /// The cap on windows, when nobody says otherwise or as was said.
    device_memory: u64,
    /// How many windows the cap is cut into.
    windows: u64,
    /// The most bytes of one.
    window_bytes: u64,
    /// Pages that all of them hold.
    pages: u64,
    /// Pages of remote memory, for workgroups that need more than that.
    remote_pages: u64,
    /// Why there are not more of them.
    #[serde(skip_serializing_if = "str::is_empty")]
    remote_limit: &'static str,
    /// Why it is the simulated one.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Debug, Serialize)]
struct Host {
    mechanism: &'static str,
    reason: String,
    mechanisms: Vec<Mechanism>,
}

#[derive(Debug, Serialize)]
struct Mechanism {
    name: &'static str,
    available: bool,
    /// What is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl From<AdapterSummary> for Adapter {
    fn from(adapter: AdapterSummary) -> Self {
        let limits = adapter.limits;
        Self {
            name: adapter.name,
            backend: adapter.backend,
            driver: adapter.driver,
            kind: adapter.kind.name(),
            limits: Limits {
                storage_binding_bytes: limits.storage_binding_bytes,
                buffer_bytes: limits.buffer_bytes,
                storage_buffers: limits.storage_buffers,
                workgroup_invocations: limits.workgroup_invocations,
                workgroup_bytes: limits.workgroup_bytes,
                workgroups_per_dimension: limits.workgroups_per_dimension,
            },
        }
    }
}

/// Runs `gmem info`.
///
/// # Errors
/// When an adapter or a mechanism that was asked for is not there.
pub fn run(common: &Common, args: &InfoArgs) -> Result<(), Failure> {
    if let Some(report) = &common.report {
        check_output(report)?;
    }
    let info = gather(common)?;
    if let Some(path) = &common.report {
        report::write(path, &info).map_err(Failure::run)?;
    }
    if args.json {
        let json = serde_json::to_string_pretty(&info).map_err(Failure::run)?;
        print(&format!("{json}\n"))
    } else {
        print(&text(&info))
    }
}

fn gather(common: &Common) -> Result<Info, Failure> {
    // Without its device: the host's side is worth knowing even if that fails.
    let gm = space::builder(common).device(DeviceChoice::None).build()?;
    let (mechanism, reason) = gm.mechanism();
    let mechanisms = gmem::host::available()
        .into_iter()
        .map(|(mechanism, verdict)| Mechanism {
            name: mechanism.name(),
            available: verdict.is_ok(),
            reason: verdict.err(),
        })
        .collect();
    Ok(Info {
        adapters: gmem::gpu::adapters()
            .into_iter()
            .map(Adapter::from)
            .collect(),
        device: device(common)?,
        host: Host {
            mechanism: mechanism.name(),
            reason: reason.to_owned(),
            mechanisms,
        },
        page_size: gm.geometry().page.bytes(),
    })
}

/// Opens the device that a command would, to see what it gives.
fn device(common: &Common) -> Result<Device, Failure> {
    let engine = Engine::of(common)?;
    let gm = match engine.builder(common).build() {
        Ok(gm) => gm,
        // What cannot be opened can still be listed.
        Err(gmem::Error::Open(OpenError::Request { adapter, reason })) => {
            return Ok(Device {
                name: adapter,
                reason: Some(reason),
                ..Device::default()
            });
        }
        Err(error) => return Err(error.into()),
    };
    let (device, page) = (gm.device(0)?, gm.geometry().page.bytes());
    let info = device.info();
    let pages = u64::from(info.max_frames);
    let (device_memory, most) = match device.gpu() {
        Some(gpu) => {
            let limits = gpu.adapter().limits;
            (
                gpu.device_memory(),
                limits.storage_binding_bytes.min(limits.buffer_bytes),
            )
        }
        None => (pages * page, u64::from(info.window_frames) * page),
    };
    let window_bytes = most.min(device_memory);
    let each = (window_bytes.saturating_sub(engine.overhead()) / page).max(1);
    Ok(Device {
        name: info.name.clone(),
        backend: info.backend,
        device_memory,
        windows: pages.div_ceil(each),
        window_bytes,
        pages,
        remote_pages: info.remote_frames.into(),
        remote_limit: info.remote_limit,
        reason: match engine {
            Engine::Simulated { instead } => instead,
            Engine::Gpu(_) => None,
        },
    })
}

fn text(info: &Info) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write_text(&mut text, info);
    text
}

fn write_text(text: &mut String, info: &Info) -> std::fmt::Result {
    writeln!(text, "Adapters")?;
    if info.adapters.is_empty() {
        writeln!(text, "  none")?;
    }
    for adapter in &info.adapters {
        let limits = &adapter.limits;
        writeln!(
            text,
            "  {} ({}, {})",
            adapter.name, adapter.backend, adapter.kind
        )?;
        if !adapter.driver.is_empty() {
            writeln!(text, "    driver            {}", adapter.driver)?;
        }
        writeln!(
            text,
            "    largest binding   {}",
            size::show(limits.storage_binding_bytes)
        )?;
        writeln!(
            text,
            "    largest buffer    {}",
            size::show(limits.buffer_bytes)
        )?;
        writeln!(
            text,
            "    storage buffers   {} in a shader",
            limits.storage_buffers
        )?;
        writeln!(
            text,
            "    workgroups        {} invocations, {} of memory, {} in a dimension",
            limits.workgroup_invocations,
            size::show(limits.workgroup_bytes.into()),
            limits.workgroups_per_dimension
        )?;
    }
    let device = &info.device;
    match device.backend {
        "sim" => writeln!(
            text,
            "\nDevice: the simulated device, which runs closures and no WGSL"
        )?,
        "" => writeln!(text, "\nDevice: {}", device.name)?,
        backend => writeln!(text, "\nDevice: {} ({backend})", device.name)?,
    }
    if let Some(reason) = &device.reason {
        writeln!(text, "  because           {reason}")?;
    }
    if device.pages > 0 {
        writeln!(
            text,
            "  device memory     {}",
            size::show(device.device_memory)
        )?;
        let windows = match device.windows {
            1 => "1 window".to_owned(),
            several => format!(
                "{several} windows of at most {}",
                size::show(device.window_bytes)
            ),
        };
        writeln!(
            text,
            "  in                {windows}, {}",
            counted(device.pages, "page")
        )?;
        writeln!(
            text,
            "  remote memory     {} ({})",
            counted(device.remote_pages, "page"),
            device.remote_limit
        )?;
    }
    writeln!(text, "\nHost mechanism: {}", info.host.mechanism)?;
    writeln!(text, "  because           {}", info.host.reason)?;
    for mechanism in &info.host.mechanisms {
        let verdict = match &mechanism.reason {
            None => "works here",
            Some(reason) => reason,
        };
        writeln!(text, "  {:<17} {verdict}", mechanism.name)?;
    }
    writeln!(text, "\nPage size: {}", size::show(info.page_size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> Info {
        Info {
            adapters: Vec::new(),
            device: Device {
                backend: "sim",
                pages: 256,
                windows: 4,
                window_bytes: 4 << 20,
                ..Device::default()
            },
            host: Host {
                mechanism: "mprotect",
                reason: "it was asked for".to_owned(),
                mechanisms: vec![Mechanism {
                    name: "uffd",
                    available: false,
                    reason: Some("no kernel support".to_owned()),
                }],
            },
            page_size: 65_536,
        }
    }

    #[test]
    fn a_machine_without_adapters_has_something_to_say() {
        let text = text(&info());
        for words in [
            "none",
            "simulated",
            "4 windows of at most 4 MiB",
            "mprotect",
            "no kernel support",
            "64 KiB",
        ] {
            assert!(text.contains(words), "{words} is missing from\n{text}");
        }
    }

    #[test]
    fn json_has_the_keys_that_scripts_read() {
        let json = serde_json::to_value(info()).unwrap();
        assert_eq!(json["page_size"], 65_536);
        assert_eq!(json["host"]["mechanism"], "mprotect");
        assert_eq!(json["host"]["mechanisms"][0]["available"], false);
        assert_eq!(json["device"]["windows"], 4);
        assert!(json["adapters"].as_array().unwrap().is_empty());
    }
}
