//! What figures depend on besides gmem itself: the adapter and its driver, the CPU, the memory, how gmem was built and set up.

use gmem::Gmem;
use serde::{Deserialize, Serialize};

use super::baseline::Plain;
use super::bed::Bed;
use crate::cli::Failure;

/// The machine, and how gmem was built and set up on it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// The adapter's name.
    pub adapter: String,
    /// The interface to it: `vulkan` and so on.
    pub backend: String,
    /// The kind of hardware: `discrete` and so on.
    pub kind: String,
    /// The driver's name.
    pub driver: String,
    /// What the driver says of itself, mostly its version.
    pub driver_info: String,
    /// The operating system.
    pub os: String,
    /// The instruction set.
    pub arch: String,
    /// The CPU's model.
    pub cpu: String,
    /// Threads of the CPU that this process may use.
    pub cores: usize,
    /// Bytes of the host's memory, where the system says so.
    pub memory: Option<u64>,
    /// How touches by the CPU are noticed.
    pub host_mechanism: String,
    /// Bytes in a page, where a case does not choose its own.
    pub page_size: u64,
    /// Whether gmem was built with assertions, that is, not for speed.
    pub debug_build: bool,
    /// Whether the run was traced, which takes time too.
    pub traced: bool,
}

impl Machine {
    /// This machine, as a bed uses it.
    ///
    /// # Errors
    /// When a space cannot be opened.
    pub fn of(bed: &Bed<'_>) -> Result<Self, Failure> {
        let gm = bed.space(16 << 20)?;
        let adapter = bed.adapter();
        let (driver, driver_info) = driver(&gm)?;
        Ok(Self {
            adapter: adapter.name.clone(),
            backend: adapter.backend.to_owned(),
            kind: adapter.kind.name().to_owned(),
            driver,
            driver_info,
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            cpu: cpu(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory: memory(),
            host_mechanism: gm.mechanism().0.name().to_owned(),
            page_size: gm.geometry().page.bytes(),
            debug_build: cfg!(debug_assertions),
            traced: bed.common.trace.is_some(),
        })
    }
}

/// The driver's name and what it says of itself, which are two things where wgpu tells.
fn driver(gm: &Gmem) -> Result<(String, String), Failure> {
    let info = Plain::of(gm)?.device.adapter_info();
    Ok((info.driver, info.driver_info))
}

/// The CPU's model, or `unknown`.
fn cpu() -> String {
    let told = if cfg!(target_os = "linux") {
        std::fs::read_to_string("/proc/cpuinfo")
            .ok()
            .and_then(|text| field(&text, "model name").map(str::to_owned))
    } else if cfg!(target_os = "macos") {
        sysctl("machdep.cpu.brand_string")
    } else {
        std::env::var("PROCESSOR_IDENTIFIER").ok()
    };
    told.unwrap_or_else(|| "unknown".to_owned())
}

/// Bytes of the host's memory.
fn memory() -> Option<u64> {
    if cfg!(target_os = "macos") {
        return sysctl("hw.memsize")?.parse().ok();
    }
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kib: u64 = field(&text, "MemTotal")?
        .strip_suffix("kB")?
        .trim()
        .parse()
        .ok()?;
    kib.checked_mul(1024)
}

fn sysctl(name: &str) -> Option<String> {
    let output = std::process::Command::new("sysctl")
        .args(["-n", name])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The value of the first line `name : value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_system_are_found() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nmodel name\t: other\nMemTotal:  16 kB\n";
        assert_eq!(field(text, "model name"), Some("Some CPU @ 2 GHz"));
        assert_eq!(field(text, "MemTotal"), Some("16 kB"));
        assert_eq!(field(text, "model"), None);
        assert_eq!(field("", "model"), None);
    }

    #[test]
    fn this_machine_has_a_cpu_and_on_linux_memory() {
        assert!(!cpu().is_empty());
        if cfg!(target_os = "linux") {
            assert!(memory().is_some_and(|bytes| bytes > 1 << 20));
        }
    }

    #[test]
    fn what_a_file_does_not_say_is_empty() {
        let machine: Machine = serde_json::from_str("{\"cores\": 3}").unwrap();
        assert_eq!((machine.cores, machine.adapter.as_str()), (3, ""));
    }
}
