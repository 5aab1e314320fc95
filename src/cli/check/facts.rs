//! What `gmem check` finds out, as it is printed in JSON.

use gmem::gpu::ShaderError;
use gmem::gpu::shaders::naga::{AddressSpace, ArraySize, StorageAccess, TypeInner};
use gmem::gpu::shaders::{
    AccessKind, Entry, Hazard, HazardClass, How, Mode, SlotKind, StorageBinding, ValueKind, Variant,
};
use gmem_hal::{PageSize, counted};
use serde::Serialize;

use super::footprint::Found;

/// Everything.
#[derive(Debug, Default, Serialize)]
pub struct Checked {
    /// One each, in the order they were named.
    pub files: Vec<FileFacts>,
}

impl Checked {
    /// Whether every file could be read and every entry point is supported.
    #[must_use]
    pub fn all_supported(&self) -> bool {
        self.files.iter().all(|file| {
            file.error.is_none() && file.entries.iter().all(|e| e.unsupported.is_none())
        })
    }
}

/// A file.
#[derive(Debug, Default, Serialize)]
pub struct FileFacts {
    /// As it was named.
    pub file: String,
    /// Why there is no more to say of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its compute entry points, those that were asked for.
    pub entries: Vec<EntryFacts>,
    /// The names of all of them.
    #[serde(skip)]
    pub all: Vec<String>,
}

/// A compute entry point.
#[derive(Debug, Default, Serialize)]
pub struct EntryFacts {
    /// Its name.
    pub name: String,
    /// Invocations of a workgroup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workgroup_size: Option<[u32; 3]>,
    /// What it binds.
    pub bindings: Vec<BindingFacts>,
    /// That it follows pointers, and what that means.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pointers: String,
    /// The hazard class: A to E.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hazard: Option<&'static str>,
    /// What makes it that.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hazard_why: String,
    /// How its pages are found: `static`, `probe`, `attempt` or `resident`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub footprint: Option<&'static str>,
    /// Why so.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// The variants that its launches could need, each rewritten and valid.
    pub variants: Vec<VariantFacts>,
    /// Override constants that were taken to be 1.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assumed: Vec<String>,
    /// What cannot be translated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsupported: Option<Unsupported>,
}

/// A binding.
#[derive(Debug, Serialize)]
pub struct BindingFacts {
    /// The variable's name.
    pub name: String,
    /// `@group`.
    pub group: u32,
    /// `@binding`.
    pub binding: u32,
    /// `storage`, `uniform`, `immediate`, `texture` or `sampler`.
    pub kind: &'static str,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: String,
    /// How it is declared; of storage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declared: Option<&'static str>,
    /// How it is really used; of storage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<Used>,
    /// How its pages are found; of storage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub footprint: Option<&'static str>,
    /// Why so.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// Places in the source that access a binding, in what the entry point reaches.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Used {
    /// Loads.
    pub loads: usize,
    /// Stores.
    pub stores: usize,
    /// `atomicLoad`s.
    pub atomic_loads: usize,
    /// `atomicStore`s.
    pub atomic_stores: usize,
    /// Atomic read-modify-writes.
    pub atomic_updates: usize,
}

impl Used {
    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        let each = [
            (self.loads, "load"),
            (self.stores, "store"),
            (self.atomic_loads, "atomic load"),
            (self.atomic_stores, "atomic store"),
            (self.atomic_updates, "atomic update"),
        ];
        let words: Vec<String> = each
            .into_iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, what)| counted(n as u64, what))
            .collect();
        if words.is_empty() {
            "only its length".to_owned()
        } else {
            words.join(", ")
        }
    }
}

/// A rewritten, valid form of an entry point.
#[derive(Debug, Serialize)]
pub struct VariantFacts {
    /// `run` or `probe`.
    pub mode: &'static str,
    /// How bindings are found in it: `whole`, `slid` or `paged`.
    pub translation: &'static str,
    /// Storage buffers that it binds, with one window of device memory.
    pub storage_buffers: usize,
}

/// Something that cannot be translated, or a defect.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Unsupported {
    /// What.
    pub what: String,
    /// Where, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Whether it is a defect, of gmem or of the compiler that it uses.
    pub defect: bool,
}

impl Unsupported {
    /// A panic.
    #[must_use]
    pub fn defect(words: &str) -> Self {
        Self {
            what: format!(
                "a defect of gmem or its compiler, please report it with the kernel: {words}"
            ),
            line: None,
            defect: true,
        }
    }
}

impl From<&ShaderError> for Unsupported {
    fn from(error: &ShaderError) -> Self {
        let (what, line) = match error {
            ShaderError::Unsupported { construct, line } => (construct.clone(), *line),
            other => (other.to_string(), 0),
        };
        Self {
            what,
            line: (line > 0).then_some(line),
            defect: matches!(error, ShaderError::Internal(_)),
        }
    }
}

impl EntryFacts {
    /// An entry point of which nothing more is known.
    #[must_use]
    pub fn refused(name: &str, unsupported: Unsupported) -> Self {
        Self {
            name: name.to_owned(),
            unsupported: Some(unsupported),
            ..Self::default()
        }
    }

    /// Analyses an entry point, and rewrites it in every variant.
    #[must_use]
    pub fn of(entry: &Entry) -> Self {
        let hazard = entry.hazard();
        let found = Found::of(entry, &hazard);
        let mut facts = Self {
            name: entry.name.clone(),
            workgroup_size: Some(entry.workgroup_size),
            bindings: bindings(entry, &found),
            pointers: pointers(entry),
            hazard: Some(hazard.class.name()),
            hazard_why: hazard_why(entry, &hazard),
            footprint: Some(found.method.name()),
            why: found.why,
            ..Self::default()
        };
        let wanted = [
            (Mode::Run, "whole", How::Whole { window: 0 }, true),
            (Mode::Run, "slid", How::Slid { window: 0 }, true),
            (Mode::Run, "paged", How::Paged, true),
            (Mode::Probe, "paged", How::Paged, found.probes),
            (Mode::Checked, "paged", How::Paged, found.attempts),
        ];
        for (mode, translation, how, _) in wanted.into_iter().filter(|wanted| wanted.3) {
            let variant = Variant {
                mode,
                page_shift: PageSize::default().shift(),
                windows: 1,
                bindings: vec![how; entry.storage.len()],
            };
            let mode = match mode {
                Mode::Run => "run",
                Mode::Probe => "probe",
                Mode::Checked => "checked",
            };
            match entry.rewrite(&variant) {
                Ok(rewritten) => facts.variants.push(VariantFacts {
                    mode,
                    translation,
                    storage_buffers: rewritten
                        .slots
                        .iter()
                        .filter(|slot| slot.kind != SlotKind::Params)
                        .count(),
                }),
                Err(error) => {
                    facts.unsupported.get_or_insert(Unsupported::from(&error));
                }
            }
        }
        facts
    }
}

fn bindings(entry: &Entry, found: &Found) -> Vec<BindingFacts> {
    let storage = entry.storage.iter().zip(&found.bindings).enumerate();
    let storage = storage.map(|(index, (binding, (method, why)))| BindingFacts {
        name: binding.name.clone(),
        group: binding.group,
        binding: binding.binding,
        kind: "storage",
        ty: type_of(entry, binding),
        declared: Some(declared(entry, binding)),
        used: Some(used(entry, index)),
        footprint: Some(method.name()),
        why: why.clone(),
    });
    let values = entry.values.iter().map(|binding| BindingFacts {
        name: binding.name.clone(),
        group: binding.group,
        binding: binding.binding,
        kind: match binding.kind {
            ValueKind::Uniform => "uniform",
            ValueKind::Immediate { .. } => "immediate",
        },
        ty: counted(binding.bytes, "byte"),
        declared: None,
        used: None,
        footprint: None,
        why: String::new(),
    });
    let resources = entry.resources.iter().map(|binding| BindingFacts {
        name: binding.name.clone(),
        group: binding.group,
        binding: binding.binding,
        kind: binding.kind.noun(),
        ty: binding.ty.clone(),
        declared: None,
        used: None,
        footprint: None,
        why: String::new(),
    });
    let mut all: Vec<BindingFacts> = storage.chain(values).chain(resources).collect();
    all.sort_by_key(|b| (b.group, b.binding));
    all
}

/// What following pointers means, if it does.
fn pointers(entry: &Entry) -> String {
    let of_space = |b: &&StorageBinding| b.follows_pointers();
    let mut spaces = entry.storage.iter().filter(of_space).peekable();
    if spaces.peek().is_none() {
        return String::new();
    }
    let changes = spaces.any(|b| b.writes);
    format!(
        "follows 64-bit pointers: a launch says what they may reach (`reach`), and an access to anything else is a segmentation \
         fault, with its address and line; {}",
        if changes {
            "it also writes through them, so where what they may reach does not all fit, boxes of workgroups are attempted, and \
             undone if they missed a page"
        } else {
            "it only reads through them, so where what they may reach does not all fit, a probe follows them first, one more \
             page deep each time"
        }
    )
}

fn type_of(entry: &Entry, binding: &StorageBinding) -> String {
    let variable = &entry.module.global_variables[binding.global];
    match entry.module.types[variable.ty].inner {
        TypeInner::Array {
            size: ArraySize::Constant(n),
            ..
        } => format!("array<{}, {n}>", binding.element),
        TypeInner::Array { .. } => format!("array<{}>", binding.element),
        _ => binding.element.clone(),
    }
}

fn declared(entry: &Entry, binding: &StorageBinding) -> &'static str {
    match entry.module.global_variables[binding.global].space {
        AddressSpace::Storage { access } if !access.contains(StorageAccess::STORE) => "read",
        AddressSpace::Storage { access } if !access.contains(StorageAccess::LOAD) => "write",
        _ => "read_write",
    }
}

fn used(entry: &Entry, binding: usize) -> Used {
    let mut used = Used::default();
    for site in entry
        .analysis
        .sites()
        .iter()
        .filter(|s| s.binding == binding)
    {
        let count = match (site.kind, site.atomic) {
            (AccessKind::Load, false) => &mut used.loads,
            (AccessKind::Load, true) => &mut used.atomic_loads,
            (AccessKind::Store, false) => &mut used.stores,
            (AccessKind::Store, true) => &mut used.atomic_stores,
            (AccessKind::Update, _) => &mut used.atomic_updates,
        };
        *count += 1;
    }
    used
}

fn hazard_why(entry: &Entry, hazard: &Hazard) -> String {
    let names = |bindings: &[usize]| {
        let bindings = bindings.iter().map(|&b| &entry.storage[b].name);
        let names: Vec<String> = bindings
            .chain(&hazard.textures)
            .map(|name| format!("`{name}`"))
            .collect();
        names.join(", ")
    };
    match hazard.class {
        HazardClass::A => {
            "no barriers, nothing both read and written: an invocation could run again at any time"
                .to_owned()
        }
        HazardClass::B => {
            "barriers, nothing both read and written: a workgroup could run again at any time"
                .to_owned()
        }
        HazardClass::C => format!(
            "reads and writes {} in place: a workgroup must not run again once it has stored",
            names(&hazard.in_place)
        ),
        HazardClass::D => format!(
            "atomic operations change {}{}: a workgroup must run exactly once",
            names(&hazard.updated),
            if hazard.results_used {
                ", and their results are used"
            } else {
                ""
            }
        ),
        HazardClass::E => {
            let places: Vec<String> = hazard
                .waits
                .iter()
                .map(|wait| {
                    let name = &entry.storage[wait.binding].name;
                    match wait.line {
                        0 => format!("`{name}`"),
                        line => format!("`{name}` (line {line})"),
                    }
                })
                .collect();
            format!(
                "a loop goes on until another workgroup changes {}: workgroups wait for each other",
                places.join(", ")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_are_told_in_words() {
        let used = Used {
            loads: 2,
            atomic_updates: 1,
            ..Used::default()
        };
        assert_eq!(used.words(), "2 loads, 1 atomic update");
        assert_eq!(Used::default().words(), "only its length");
    }

    #[test]
    fn what_is_not_supported_has_its_line_where_it_is_known() {
        let error = |line| ShaderError::Unsupported {
            construct: "a thing".to_owned(),
            line,
        };
        assert_eq!(Unsupported::from(&error(7)).line, Some(7));
        assert_eq!(Unsupported::from(&error(0)).line, None);
        assert!(!Unsupported::from(&error(7)).defect);
        assert!(Unsupported::from(&ShaderError::Internal("x".to_owned())).defect);
    }
}
