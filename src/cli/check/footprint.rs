//! How the pages of a kernel's bindings are found, by binding, and why so.
//!
//! The analysis is asked with bindings of typical sizes and several values of all uniforms: a footprint that is open for any
//! of them is called open.

use gmem::gpu::shaders::naga::ScalarKind;
use gmem::gpu::shaders::{Entry, Footprint, Hazard, HazardClass, Origin, ResourceKind};

/// Elements of runtime-sized arrays that the analysis is asked about.
const ELEMENTS: u64 = 1 << 20;
/// Values of all scalars of uniforms that it is asked about.
const VALUES: [u32; 4] = [0, 1, 1000, 1 << 20];
/// Causes that are told; more help nobody.
const CAUSES: usize = 3;

/// How pages are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// On the host, before a pass.
    Static,
    /// By a probe on the device.
    Probe,
    /// By attempts: workgroups run over pages that they are given, and are undone where they missed one.
    Attempt,
    /// Not at all: everything has to be resident.
    Resident,
}

impl Method {
    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Probe => "probe",
            Self::Attempt => "attempt",
            Self::Resident => "resident",
        }
    }
}

/// What is known of a binding's addresses without running anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Known {
    /// All.
    Exactly,
    /// Bounds, inside of which data decides.
    Bounds,
    /// Nothing.
    Open,
}

/// How the pages of a kernel are found.
#[derive(Debug)]
pub struct Found {
    /// For the kernel: the weakest of its bindings'.
    pub method: Method,
    /// Why.
    pub why: String,
    /// Of each storage binding.
    pub bindings: Vec<(Method, String)>,
    /// Whether a probe may be compiled.
    pub probes: bool,
    /// Whether it may be run in attempts.
    pub attempts: bool,
}

impl Found {
    /// Asks the analysis.
    pub fn of(entry: &Entry, hazard: &Hazard) -> Self {
        let known = known(entry);
        // Those that pointers are followed in are one memory.
        let space = entry.storage.iter().position(|b| b.follows_pointers());
        let storage = entry.storage.iter().enumerate();
        let apart: Vec<usize> = storage
            .map(|(i, b)| space.filter(|_| b.follows_pointers()).unwrap_or(i))
            .collect();
        let probeable = entry.analysis.probeable(&apart);
        let open = known.contains(&Known::Open);
        let bounds = known.contains(&Known::Bounds);
        let waits = hazard.class == HazardClass::E;
        let paints = entry
            .resources
            .iter()
            .any(|r| matches!(r.kind, ResourceKind::StorageTexture { writes, .. } if writes));
        let method = match &probeable {
            _ if waits => Method::Resident,
            _ if !open => Method::Static,
            Ok(()) => Method::Probe,
            Err(_) if paints => Method::Resident,
            Err(_) => Method::Attempt,
        };
        let bindings = known
            .iter()
            .enumerate()
            .map(|(b, &known)| match known {
                _ if waits => (method, "workgroups wait for each other".to_owned()),
                Known::Exactly => (
                    Method::Static,
                    "its addresses follow from ids, uniforms and constants".to_owned(),
                ),
                Known::Bounds => (
                    Method::Static,
                    format!(
                        "its addresses come from {}, but within bounds that the kernel sets",
                        causes(&entry.origins(b))
                    ),
                ),
                Known::Open => (
                    method,
                    format!("its addresses come from {}", causes(&entry.origins(b))),
                ),
            })
            .collect();
        let why = match (&probeable, method) {
            _ if waits => "workgroups wait for each other, so all of them run in one piece, with every binding resident".to_owned(),
            _ if entry.storage.is_empty() => "it touches no storage".to_owned(),
            (Ok(()), Method::Static) if bounds => {
                "every address is known or bounded before a pass, on the host; where those bounds are wider than device memory, \
                 a probe on the device narrows them".to_owned()
            }
            (Err(reason), Method::Static) if bounds => format!(
                "every address is known or bounded before a pass, on the host; where those bounds are wider than device memory, {} ({reason})",
                if paints { "it is refused" } else { "workgroups are attempted, and undone and attempted again where they missed a page" }
            ),
            (_, Method::Static) => {
                "every address follows from ids, uniforms and constants: worked out on the host before a pass".to_owned()
            }
            (_, Method::Probe) => {
                "some addresses come from data that the kernel does not change: before a pass, a probe on the device computes the \
                 addresses alone, and fetches what they depend on".to_owned()
            }
            (Err(reason), Method::Resident) => {
                format!("{reason}, and it stores to a texture, which cannot be undone: all bindings have to be resident at once")
            }
            (Err(reason), _) => format!(
                "{reason}: where not all bindings fit at once, workgroups are attempted with the pages that they are known to need, \
                 and undone and attempted again with more if they missed one"
            ),
            (Ok(()), _) => "all bindings have to be resident at once".to_owned(),
        };
        Self {
            method,
            why,
            bindings,
            probes: (open || bounds) && probeable.is_ok() && !waits,
            attempts: (open || bounds) && probeable.is_err() && !waits && !paints,
        }
    }
}

/// What the analysis knows of each binding, whatever the uniforms.
fn known(entry: &Entry) -> Vec<Known> {
    let lens: Vec<u64> = entry
        .storage
        .iter()
        .map(|b| match b.runtime {
            Some(array) => u64::from(array.offset) + ELEMENTS * u64::from(array.stride),
            None => b.min_bytes.into(),
        })
        .collect();
    let mut known = vec![Known::Exactly; entry.storage.len()];
    for value in VALUES {
        let values: Vec<Vec<u8>> = entry
            .values
            .iter()
            .map(|binding| {
                let mut bytes = vec![0; binding.bytes as usize];
                for leaf in &binding.leaves {
                    let scalar = match (leaf.scalar.kind, leaf.scalar.width) {
                        (ScalarKind::Uint | ScalarKind::Sint, 4) => value.to_le_bytes(),
                        (ScalarKind::Float, 4) => (value as f32).to_le_bytes(),
                        _ => continue,
                    };
                    let at = leaf.offset as usize;
                    if let Some(place) = bytes.get_mut(at..at + 4) {
                        place.copy_from_slice(&scalar);
                    }
                }
                bytes
            })
            .collect();
        let slices: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let found = entry.analysis.footprint(
            &entry.module,
            &entry.info,
            ([1, 1, 1], [2, 2, 2]),
            [64, 64, 16],
            &lens,
            &slices,
        );
        for (known, found) in known.iter_mut().zip(found) {
            let open = found.reads == Footprint::Unknown || found.writes == Footprint::Unknown;
            *known = (*known).max(match (open, found.scattered) {
                (true, _) => Known::Open,
                (false, true) => Known::Bounds,
                (false, false) => Known::Exactly,
            });
        }
    }
    known
}

/// Causes in words.
fn causes(origins: &[Origin]) -> String {
    let mut words: Vec<String> = Vec::new();
    for origin in origins {
        let text = match origin.line {
            0 => origin.what.clone(),
            line => format!("{} (line {line})", origin.what),
        };
        if !words.contains(&text) {
            words.push(text);
        }
    }
    let more = words.len().saturating_sub(CAUSES);
    words.truncate(CAUSES);
    match (words.is_empty(), more) {
        (true, _) => "arithmetic that is too involved to be bounded".to_owned(),
        (false, 0) => words.join(" and "),
        (false, more) => format!("{} and {more} more", words.join(", ")),
    }
}
