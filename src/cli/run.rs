//! `gmem run`: any kernel in WGSL, SPIR-V or GLSL over files, with no Rust.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use gmem::gpu::Source as Shader;
use gmem::gpu::{CompileError, Leaf as WgslLeaf, ScalarLeaf, ShaderError};
use gmem::{Gmem, Kernel, StorageInfo, UniformInfo};
use gmem_hal::counted;

use super::args::{Common, RunArgs};
use super::demo::stage::{at_hand, fill_in};
use super::files::{Input, Memory, check_output};
use super::misfit::MisfitError;
use super::progress::Progress;
use super::report::{self, Report, Setting};
use super::space::{self, Engine};
use super::spec::{BindSpec, BindingName, Source};
use super::stream;
use super::uniform::{Leaf, LeafKind, UniformSource, UniformSpec, fill_leaves};
use super::{Failure, note, print, size};

/// The simulated device has no compiler.
#[derive(Debug, thiserror::Error)]
#[error(
    "the simulated device runs Rust closures, not shaders: `gmem run` needs a GPU adapter, which `gmem info` lists"
)]
pub(super) struct NeedsGpu;

/// Runs `gmem run`.
///
/// # Errors
/// With bad arguments when they do not fit the kernel or name nothing; else when the run fails.
pub fn run(common: &Common, args: &RunArgs) -> Result<(), Failure> {
    let source = source(&args.kernel)?;
    let inputs: Vec<Input> = args
        .binds
        .iter()
        .map(|bind| Input::open(bind, common.seed))
        .collect::<Result<_, _>>()?;
    for uniform in &args.uniforms {
        if let UniformSource::File(path) = &uniform.source {
            stream::open(path).map_err(Failure::arguments)?;
        }
    }
    if let Some(report) = &common.report {
        check_output(report)?;
    }
    let adapter = space::adapter(common).ok_or_else(|| Failure::run(NeedsGpu))?;
    let gm = Engine::Gpu(adapter).builder(common).build()?;
    let overrides: Vec<(String, f64)> = args
        .overrides
        .iter()
        .map(|o| (o.name.clone(), o.value))
        .collect();
    let kernel = gm
        .kernel_on(&gm.device(0)?, &source, args.entry.as_deref(), &overrides)
        .map_err(|error| misnamed_or_failed(error, !overrides.is_empty()))?;
    check_grid(args.workgroups(), kernel.ids_of_a_workgroup()).map_err(Failure::arguments)?;
    let names = bindings(&kernel, &args.binds).map_err(Failure::arguments)?;
    for ((info, spec), input) in names.iter().zip(&args.binds).zip(&inputs) {
        check_element(info, spec, input).map_err(Failure::arguments)?;
    }
    let values = values(&kernel, &args.uniforms, "--uniform")?;

    let progress = Progress::start("reading", inputs.iter().map(Input::bytes_to_read).sum());
    let mut memory = inputs
        .into_iter()
        .map(|input| input.load(&gm, &progress))
        .collect::<Result<Vec<_>, _>>()?;
    drop(progress);
    let (mut report, launches) = launch(&gm, &kernel, args, &names, &mut memory, &values)?;
    fill_in(&mut report, &gm);
    report.setting = Setting::of(&gm, common);

    let mut text = summary(&kernel, args, &report, launches);
    for (spec, memory) in args.binds.iter().zip(&memory) {
        if let Some(out) = &spec.out {
            memory.write(out)?;
            let _ = writeln!(text, "wrote {} ({})", out.display(), memory.describe(out));
        }
    }
    for (info, spec) in names.iter().zip(&args.binds) {
        if info.writes && spec.out.is_none() {
            note(&format!(
                "note: `{}` was written and kept nowhere: add ,out=FILE to its --bind",
                info.name
            ));
        }
    }
    if let Some(path) = &common.report {
        report::write(path, &report).map_err(Failure::run)?;
    }
    print(&text)
}

/// The kernel, in the language that its file's name says.
pub fn source(path: &Path) -> Result<Shader<'static>, Failure> {
    stream::open(path).map_err(Failure::arguments)?;
    let bytes = std::fs::read(path).map_err(|e| Failure::run(stream::StreamError::io(path, e)))?;
    Shader::from_file(path, bytes)
        .map_err(|e| Failure::run(format!("{} cannot be read: {e}", path.display())))
}

/// Launches as often as was asked for, and has the results at hand. Says how many passes each launch took.
fn launch(
    gm: &Gmem,
    kernel: &Kernel,
    args: &RunArgs,
    names: &[StorageInfo],
    memory: &mut [Memory],
    values: &[(String, Vec<u8>)],
) -> Result<(Report, u64), Failure> {
    let mut report = Report {
        bytes_bound: memory.iter().map(|memory| memory.memory.bytes()).sum(),
        device_memory: gm.device(0)?.gpu().map_or(0, |gpu| gpu.device_memory()),
        ..Report::default()
    };
    let _progress = Progress::start("running", 0);
    let began = Instant::now();
    let mut passes = 0;
    for _ in 0..args.repeat {
        let mut launch = kernel.launch(args.workgroups());
        for (info, memory) in names.iter().zip(&mut *memory) {
            launch = launch.bind(&info.name, &mut memory.memory);
        }
        for (name, bytes) in values {
            launch = launch.uniform_bytes(name, bytes);
        }
        passes += launch.run().map_err(misfit_or_failed)?.passes;
    }
    for (_, memory) in args
        .binds
        .iter()
        .zip(&*memory)
        .filter(|(spec, _)| spec.out.is_some())
    {
        at_hand(gm, &memory.memory);
    }
    report.seconds.total = began.elapsed().as_secs_f64();
    Ok((report, passes))
}

/// An entry point or a constant that was named wrong, or has to be named, is the argument's fault; all else the run's.
pub(super) fn misnamed_or_failed(error: gmem::Error, overridden: bool) -> Failure {
    let ours = match &error {
        gmem::Error::Compile(CompileError::Shader(shader)) => match shader {
            ShaderError::NoEntryPoint { name, available } => {
                name.is_some() || !available.is_empty()
            }
            ShaderError::Override { name, .. } => name.is_some() || overridden,
            _ => false,
        },
        _ => false,
    };
    if ours {
        Failure::arguments(error)
    } else {
        Failure::run(error)
    }
}

/// Too small a binding is the argument's fault, all else the run's.
pub(super) fn misfit_or_failed(error: gmem::Error) -> Failure {
    match error {
        gmem::Error::Size { .. } => Failure::arguments(error),
        _ => Failure::run(error),
    }
}

fn summary(kernel: &Kernel, args: &RunArgs, report: &Report, passes: u64) -> String {
    let workgroups: u64 = args
        .workgroups()
        .iter()
        .map(|side| u64::from(*side))
        .product();
    let launches = if args.repeat == 1 {
        String::new()
    } else {
        format!("{} launches of ", args.repeat)
    };
    format!(
        "{}: {launches}{} in {}, {:.2} s ({:.2} s in the kernel)\n{}",
        kernel.name(),
        counted(workgroups, "workgroup"),
        counted(passes, "pass"),
        report.seconds.total,
        report.seconds.kernel,
        figures(report),
    )
}

/// What was bound and moved, in a line.
pub(super) fn figures(report: &Report) -> String {
    let moved = |moved: &report::ByCause| moved.each().map(|(_, bytes)| bytes).sum::<u64>();
    let remote = match report.remote_bytes {
        0 => String::new(),
        bytes => format!(
            " and {} of remote memory, for workgroups that did not fit",
            size::show(bytes)
        ),
    };
    format!(
        "{} bound, {} of device memory{remote}; {} moved there, {} back; {}, {}\n",
        size::show(report.bytes_bound),
        size::show(report.device_memory),
        size::show(moved(&report.moved.host_to_device)),
        size::show(moved(&report.moved.device_to_host)),
        counted(report.faults, "fault"),
        counted(report.evictions, "eviction"),
    )
}

pub(super) fn check_grid(grid: [u32; 3], lanes: [u32; 3]) -> Result<(), MisfitError> {
    for ((groups, lanes), dimension) in grid.into_iter().zip(lanes).zip(['x', 'y', 'z']) {
        if u64::from(groups) * u64::from(lanes) > 1 << 32 {
            return Err(MisfitError::Grid {
                groups,
                lanes,
                dimension,
            });
        }
    }
    let all: u128 = grid.iter().map(|side| u128::from(*side)).product();
    if all >= 1 << 63 {
        Err(MisfitError::Workgroups(grid))
    } else {
        Ok(())
    }
}

/// The storage binding of each `--bind`; all of the kernel's are there.
fn bindings(kernel: &Kernel, specs: &[BindSpec]) -> Result<Vec<StorageInfo>, MisfitError> {
    let names: Vec<&BindingName> = specs.iter().map(|spec| &spec.name).collect();
    storage(kernel, &names, "--bind")
}

/// The storage binding of each name; all of the kernel's are there. `option` is what gives one.
pub(super) fn storage(
    kernel: &Kernel,
    names: &[&BindingName],
    option: &'static str,
) -> Result<Vec<StorageInfo>, MisfitError> {
    let all: Vec<_> = kernel
        .storage()
        .iter()
        .map(|s| (s.name.as_str(), Some(s.slot), storage_type(s)))
        .collect();
    if let Some(resource) = kernel.resources().first() {
        return Err(MisfitError::Resource {
            kernel: kernel.name().to_owned(),
            noun: resource.kind.noun(),
            name: resource.name.clone(),
            ty: resource.ty.clone(),
        });
    }
    if kernel.follows_pointers() {
        let kernel = kernel.name().to_owned();
        return Err(MisfitError::Pointers { kernel });
    }
    let found = matched(kernel.name(), "storage binding", option, &all, names)?;
    Ok(found
        .into_iter()
        .map(|index| kernel.storage()[index].clone())
        .collect())
}

/// The bytes of each uniform, by its name; all of the kernel's are there. `option` is what gives one.
pub(super) fn values(
    kernel: &Kernel,
    specs: &[UniformSpec],
    option: &'static str,
) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let all: Vec<_> = kernel
        .uniforms()
        .iter()
        .map(|u| (u.name.as_str(), u.slot, uniform_type(u)))
        .collect();
    let names: Vec<&BindingName> = specs.iter().map(|spec| &spec.name).collect();
    let found =
        matched(kernel.name(), "uniform", option, &all, &names).map_err(Failure::arguments)?;
    found
        .into_iter()
        .zip(specs)
        .map(|(index, spec)| {
            let info = &kernel.uniforms()[index];
            Ok((info.name.clone(), value(info, &spec.source)?))
        })
        .collect()
}

/// A variable's name, its numbers if it has any, and its type.
type Variable<'a> = (&'a str, Option<(u32, u32)>, String);

/// Finds what each name means among `all` (name, numbers, type), and that none is left out or there twice.
fn matched(
    kernel: &str,
    kind: &'static str,
    option: &'static str,
    all: &[Variable<'_>],
    names: &[&BindingName],
) -> Result<Vec<usize>, MisfitError> {
    let list = |those: &[&Variable<'_>]| {
        let each: Vec<String> = those
            .iter()
            .map(|(name, slot, ty)| match slot {
                Some((g, b)) => format!("`{name}` ({g}.{b}, {ty})"),
                None => format!("`{name}` ({ty})"),
            })
            .collect();
        if each.is_empty() {
            "none".to_owned()
        } else {
            each.join(", ")
        }
    };
    let mut given: Vec<Option<&BindingName>> = vec![None; all.len()];
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        let index = all.iter().position(|(variable, slot, _)| match name {
            BindingName::Variable(name) => name == variable,
            BindingName::Slot { group, binding } => Some((*group, *binding)) == *slot,
        });
        let index = index.ok_or_else(|| MisfitError::Unknown {
            kernel: kernel.to_owned(),
            kind,
            name: name.to_string(),
            available: list(&all.iter().collect::<Vec<_>>()),
        })?;
        if let Some(first) = given[index].replace(name) {
            return Err(MisfitError::Twice {
                name: all[index].0.to_owned(),
                first: first.to_string(),
                second: name.to_string(),
            });
        }
        found.push(index);
    }
    let missing: Vec<_> = all
        .iter()
        .zip(&given)
        .filter(|(_, given)| given.is_none())
        .map(|(one, _)| one)
        .collect();
    if missing.is_empty() {
        Ok(found)
    } else {
        Err(MisfitError::Missing {
            kernel: kernel.to_owned(),
            option,
            missing: list(&missing),
        })
    }
}

fn storage_type(info: &StorageInfo) -> String {
    match info.stride {
        Some(_) => format!("array<{}>", info.element),
        None => info.element.clone(),
    }
}

fn uniform_type(info: &UniformInfo) -> String {
    let each: Vec<String> = info
        .leaves
        .iter()
        .map(|leaf| {
            let kind = kind(leaf).map_or("other", LeafKind::name);
            if leaf.path.is_empty() {
                kind.to_owned()
            } else {
                format!("{}: {kind}", leaf.path.trim_start_matches('.'))
            }
        })
        .collect();
    each.join(", ")
}

/// Data whose elements are known must be what the kernel takes them for. Bytes are anything.
pub(super) fn check_element(
    info: &StorageInfo,
    spec: &BindSpec,
    input: &Input,
) -> Result<(), MisfitError> {
    let (Some(layout), Some(scalar)) = (input.layout(), info.scalar) else {
        return Ok(());
    };
    let wanted = match scalar {
        ScalarLeaf::F32 => "f32",
        ScalarLeaf::I32 => "i32",
        ScalarLeaf::U32 => "u32",
    };
    if layout.is_bytes() || layout.wgsl_scalar() == Some(wanted) {
        return Ok(());
    }
    Err(MisfitError::Element {
        name: info.name.clone(),
        wanted: storage_type(info),
        source_name: match &spec.source {
            Source::Npy(path) | Source::Bin(path) => format!("{path:?}"),
            Source::Zeros { .. } => "zeros".to_owned(),
            Source::Made { how, .. } => how.name().to_owned(),
        },
        given: layout
            .wgsl_scalar()
            .map_or_else(|| layout.dtype(), str::to_owned),
    })
}

fn value(info: &UniformInfo, source: &UniformSource) -> Result<Vec<u8>, Failure> {
    match source {
        UniformSource::Values(values) => {
            let leaves: Vec<Leaf> = info
                .leaves
                .iter()
                .map(|leaf| match kind(leaf) {
                    Some(kind) => Ok(Leaf {
                        offset: leaf.offset,
                        kind,
                    }),
                    None => Err(MisfitError::Scalar {
                        name: info.name.clone(),
                        offset: leaf.offset,
                    }),
                })
                .collect::<Result<_, _>>()
                .map_err(Failure::arguments)?;
            fill_leaves(&leaves, info.bytes, values).map_err(|source| {
                Failure::arguments(MisfitError::Values {
                    name: info.name.clone(),
                    ty: uniform_type(info),
                    source,
                })
            })
        }
        UniformSource::File(path) => {
            let (mut file, given) = stream::open(path).map_err(Failure::arguments)?;
            if given != u64::from(info.bytes) {
                return Err(Failure::arguments(MisfitError::FileSize {
                    name: info.name.clone(),
                    wanted: info.bytes,
                    path: path.clone(),
                    given,
                }));
            }
            let mut bytes = vec![0; info.bytes as usize];
            stream::fill(path, &mut file, &mut bytes, &Progress::hidden())?;
            Ok(bytes)
        }
    }
}

/// What a scalar of a uniform is, where a value can be written for it.
fn kind(leaf: &WgslLeaf) -> Option<LeafKind> {
    // The compiler's own type has no name here; how it prints does.
    match (
        format!("{:?}", leaf.scalar.kind).as_str(),
        leaf.scalar.width,
    ) {
        ("Uint", 4) => Some(LeafKind::U32),
        ("Sint", 4) => Some(LeafKind::I32),
        ("Float", 4) => Some(LeafKind::F32),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(names: &[&str]) -> Result<Vec<usize>, MisfitError> {
        let all = [
            ("a", Some((0, 0)), "array<f32>".to_owned()),
            ("b", Some((0, 3)), "array<u32>".to_owned()),
        ];
        let names: Vec<BindingName> = names
            .iter()
            .map(|name| super::super::spec::parse_name(name).unwrap())
            .collect();
        matched(
            "main",
            "storage binding",
            "--bind",
            &all,
            &names.iter().collect::<Vec<_>>(),
        )
    }

    #[test]
    fn bindings_are_found_by_name_and_by_number_in_any_order() {
        assert_eq!(find(&["0.3", "a"]).unwrap(), [1, 0]);
    }

    #[test]
    fn what_does_not_fit_the_kernel_is_named() {
        let missing = find(&["a"]).unwrap_err().to_string();
        assert!(
            missing.contains("`b` (0.3, array<u32>)") && missing.contains("--bind"),
            "{missing}"
        );
        let unknown = find(&["a", "b", "c"]).unwrap_err().to_string();
        assert!(
            unknown.contains("`c`") && unknown.contains("`a` (0.0, array<f32>)"),
            "{unknown}"
        );
        assert!(matches!(
            find(&["a", "b", "0.0"]),
            Err(MisfitError::Twice { .. })
        ));
    }

    #[test]
    fn ids_past_32_bits_are_refused() {
        assert!(check_grid([1 << 24, 1, 1], [256, 1, 1]).is_ok());
        assert!(matches!(
            check_grid([(1 << 24) + 1, 1, 1], [256, 1, 1]),
            Err(MisfitError::Grid { dimension: 'x', .. })
        ));
        assert!(matches!(
            check_grid([u32::MAX; 3], [1; 3]),
            Err(MisfitError::Workgroups(_))
        ));
        assert!(matches!(
            check_grid([1, u32::MAX, 1], [1, 2, 1]),
            Err(MisfitError::Grid { dimension: 'y', .. })
        ));
    }
}
