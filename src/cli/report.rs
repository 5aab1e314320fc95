//! The report of a run, as JSON: what it bound, what it held, what it moved and why, and how long it took.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use gmem::{DeviceHandle, Gmem};
use gmem_hal::Cause;
use gmem_runtime::Counts;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::args::Common;
use super::output;

/// Bytes by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ByCause(pub [u64; Cause::ALL.len()]);

impl ByCause {
    /// Counts bytes for a cause.
    #[cfg(test)]
    pub fn add(&mut self, cause: Cause, bytes: u64) {
        self.0[cause as usize] += bytes;
    }

    /// Causes that moved anything, with their bytes.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Cause::ALL
            .into_iter()
            .map(|cause| (cause.name(), self.0[cause as usize]))
            .filter(|(_, bytes)| *bytes > 0)
    }
}

impl Serialize for ByCause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for cause in Cause::ALL {
            map.serialize_entry(cause.name(), &self.0[cause as usize])?;
        }
        map.end()
    }
}

/// Bytes moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// To devices.
    pub host_to_device: ByCause,
    /// Back.
    pub device_to_host: ByCause,
}

/// Passes by how their footprint was known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Footprint {
    /// Worked out on the host.
    #[serde(rename = "static")]
    pub statically: u64,
    /// Found by a probe.
    pub probe: u64,
    /// Not known: all bindings were resident.
    pub resident: u64,
    /// Not known: run as a transaction.
    pub transaction: u64,
}

/// How long it took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Seconds {
    /// From the first launch to the last result at hand.
    pub total: f64,
    /// Of that, in passes.
    pub kernel: f64,
}

/// On what, and how, a run was made: what has to be known to repeat it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// This command's.
    pub gmem_version: &'static str,
    /// The adapter's name.
    pub adapter: String,
    /// `vulkan`, `gl`, `metal`, `dx12`, or `sim` for the simulated device.
    pub backend: &'static str,
    /// The driver's name and version; empty where there is none, or it does not say.
    pub driver: String,
    /// How touches by the CPU were noticed.
    pub host_mechanism: &'static str,
    /// What was evicted when device memory was full.
    pub policy: String,
    /// Of generated data and of the random policy.
    pub seed: u64,
}

impl Setting {
    /// That of a space over one device.
    #[must_use]
    pub fn of(gm: &Gmem, common: &Common) -> Self {
        let device = gm.device(0).ok();
        let info = device.as_ref().map(DeviceHandle::info);
        let gpu = device.as_ref().and_then(DeviceHandle::gpu);
        Self {
            gmem_version: env!("CARGO_PKG_VERSION"),
            adapter: info.map_or_else(String::new, |info| info.name.clone()),
            backend: info.map_or("", |info| info.backend),
            driver: gpu.map_or_else(String::new, |gpu| gpu.adapter().driver.clone()),
            host_mechanism: gm.mechanism().0.name(),
            policy: common.policy_kind().unwrap_or_default().to_string(),
            seed: common.seed,
        }
    }
}

/// The report of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// Which demonstration it was, if one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether an independent computation came to the same result, of a demonstration; whether all was as expected, of a plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
    /// On what, and how.
    #[serde(flatten)]
    pub setting: Setting,
    /// Bytes of all bindings.
    pub bytes_bound: u64,
    /// The cap on windows.
    pub device_memory: u64,
    /// The most that all windows together ever had.
    pub peak_device_bytes: u64,
    /// Bytes of all buffers: tables and staging as they are, windows and remote windows at their most.
    pub wgpu_bytes: u64,
    /// The most bytes of remote memory there ever was: 0 unless a workgroup needed more than the device memory.
    pub remote_bytes: u64,
    /// Bytes in a page.
    pub page_size: u64,
    /// Passes run.
    pub passes: u64,
    /// Faults served, of the CPU and of devices.
    pub faults: u64,
    /// Pages evicted.
    pub evictions: u64,
    /// Bytes moved, by direction and cause.
    pub moved: Moved,
    /// Passes by how their footprint was known.
    pub footprint: Footprint,
    /// How long it took.
    pub seconds: Seconds,
}

impl Report {
    /// Takes over what the manager counted during the run.
    pub fn count(&mut self, counts: &Counts) {
        self.passes = counts.passes;
        self.faults = counts.cpu_faults + counts.device_faults;
        self.evictions = counts.evictions;
        self.moved = Moved {
            host_to_device: ByCause(counts.host_to_device),
            device_to_host: ByCause(counts.device_to_host),
        };
        self.footprint = Footprint {
            statically: counts.static_passes,
            probe: counts.probed_passes,
            resident: counts.resident_passes,
            transaction: counts.attempted_passes,
        };
        self.seconds.kernel = counts.kernel_nanos as f64 / 1e9;
    }
}

/// The report of several demonstrations.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Demos {
    /// One each, in the order they were run.
    pub demos: Vec<Report>,
}

/// A report that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the report cannot be written to {path:?}: {source}")]
pub struct ReportError {
    /// Where it was to go.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// Writes a report, or anything else, as JSON.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, report: &impl Serialize) -> Result<(), ReportError> {
    let written = output::replace(path, |file| {
        let mut file = io::BufWriter::new(file);
        serde_json::to_writer_pretty(&mut file, report)?;
        file.write_all(b"\n")?;
        file.flush()
    });
    written.map_err(|source| ReportError {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report {
            bytes_bound: 4096,
            page_size: 65536,
            ..Report::default()
        };
        report.moved.host_to_device.add(Cause::Demand, 65536);
        report.moved.device_to_host.add(Cause::Eviction, 4096);
        report.moved.device_to_host.add(Cause::Eviction, 4096);
        report.footprint.statically = 3;
        report.seconds = Seconds {
            total: 1.5,
            kernel: 0.5,
        };
        report
    }

    #[test]
    fn a_report_has_the_keys_that_scripts_read() {
        let json = serde_json::to_value(report()).unwrap();
        let keys: Vec<&str> = json
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let mut expected = [
            "gmem_version",
            "adapter",
            "backend",
            "driver",
            "host_mechanism",
            "policy",
            "seed",
            "bytes_bound",
            "device_memory",
            "peak_device_bytes",
            "wgpu_bytes",
            "remote_bytes",
            "page_size",
            "passes",
            "faults",
            "evictions",
            "moved",
            "footprint",
            "seconds",
        ];
        expected.sort_unstable();
        let mut keys = keys;
        keys.sort_unstable();
        assert_eq!(keys, expected);
        assert_eq!(json["moved"]["host_to_device"]["demand"], 65536);
        assert_eq!(json["moved"]["device_to_host"]["eviction"], 8192);
        assert_eq!(json["moved"]["device_to_host"]["user_copy"], 0);
        assert_eq!(json["footprint"]["static"], 3);
        assert_eq!(json["seconds"]["kernel"], 0.5);
        for kind in ["static", "probe", "resident", "transaction"] {
            assert!(json["footprint"][kind].is_u64(), "{kind}");
        }
    }

    #[test]
    fn the_setting_is_that_of_the_space() {
        let common = Common {
            policy: Some(crate::cli::args::PolicyChoice::One(gmem::PolicyKind::Lru)),
            seed: 7,
            ..Common::default()
        };
        let gm = Gmem::builder()
            .device(gmem::DeviceChoice::Simulated)
            .host(gmem::host::Choice::Only(
                gmem::host::HostMechanism::Explicit,
            ))
            .build()
            .unwrap();
        let setting = Setting::of(&gm, &common);
        assert_eq!(
            (setting.backend, setting.host_mechanism, setting.seed),
            ("sim", "explicit", 7)
        );
        assert_eq!(
            (setting.policy.as_str(), setting.driver.as_str()),
            ("lru", "")
        );
        assert_eq!(setting.adapter, gm.device(0).unwrap().info().name);
        assert_eq!(setting.gmem_version, env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn counts_of_the_manager_go_where_they_belong() {
        let mut counts = Counts {
            cpu_faults: 3,
            device_faults: 4,
            evictions: 5,
            passes: 9,
            ..Counts::default()
        };
        (
            counts.static_passes,
            counts.probed_passes,
            counts.resident_passes,
        ) = (6, 2, 1);
        counts.host_to_device[Cause::Prefetch as usize] = 77;
        counts.device_to_host[Cause::Coherence as usize] = 88;
        counts.kernel_nanos = 250_000_000;
        let mut report = report();
        report.count(&counts);
        assert_eq!((report.faults, report.evictions, report.passes), (7, 5, 9));
        assert_eq!(
            report.footprint,
            Footprint {
                statically: 6,
                probe: 2,
                resident: 1,
                transaction: 0
            }
        );
        assert_eq!(
            report.moved.host_to_device.each().collect::<Vec<_>>(),
            [("prefetch", 77)]
        );
        assert_eq!(
            report.moved.device_to_host.each().collect::<Vec<_>>(),
            [("coherence", 88)]
        );
        assert_eq!(
            report.seconds,
            Seconds {
                total: 1.5,
                kernel: 0.25
            }
        );
    }

    #[test]
    fn a_demonstration_has_its_name_and_whether_it_was_verified() {
        let report = Report {
            name: Some("triad".to_owned()),
            verified: Some(true),
            ..report()
        };
        let path = std::env::temp_dir().join(format!("gmem-{}-report.json", std::process::id()));
        write(
            &path,
            &Demos {
                demos: vec![report],
            },
        )
        .unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["demos"][0]["name"], "triad");
        assert_eq!(json["demos"][0]["verified"], true);
        assert!(text.ends_with("}\n"));
    }

    #[test]
    fn a_report_that_cannot_be_written_names_its_file() {
        let error = write(Path::new("/no/such/folder/report.json"), &report()).unwrap_err();
        assert!(error.to_string().contains("folder/report.json"), "{error}");
    }
}
