//! A case under plain wgpu and through a space, compared bit for bit.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use gmem::gpu::shaders::{Entry, Program as Parsed};
use gmem::gpu::{AdapterChoice, BackendName, PlainError, PlainKernel};
use gmem::hal::DeviceError;
use gmem::{DeviceChoice, Error, Gmem, Vector};
use gmem_runtime::LaunchError;

use super::data::fill;
use super::print::{Form, name, wgsl};
use super::program::{Program, Role};
use super::setting::Case;

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Both gave the same; how the launches found what they touch.
    Same(Ways),
    /// A documented error of too little memory; everything is as it should be after it.
    Refused(&'static str),
    /// Plain wgpu cannot run it here: there is nothing to compare with.
    Incomparable(String),
    /// The kernel itself is none: a defect of the fuzzer.
    Invalid(String),
    /// Contents differ.
    Differs(String),
    /// An error that plain wgpu does not give: its kind, all of it.
    Failed(&'static str, String),
}

impl Verdict {
    /// Whether it is the same defect, as far as one can tell.
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Differs(_), Self::Differs(_)) | (Self::Invalid(_), Self::Invalid(_)) => true,
            (Self::Failed(a, _), Self::Failed(b, _)) => a == b,
            _ => false,
        }
    }
}

/// What the launches of a case were made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    /// Passes over what a probe found.
    pub probed: u64,
    /// Attempts that missed nothing.
    pub attempted: u64,
    /// Attempts that were undone.
    pub undone: u64,
}

impl std::ops::AddAssign for Ways {
    fn add_assign(&mut self, other: Self) {
        self.probed += other.probed;
        self.attempted += other.attempted;
        self.undone += other.undone;
    }
}

/// Changes what a launch left before it is compared: how the fuzzer itself is tested.
pub type Tamper<'a> = &'a dyn Fn(&Program, &mut [Vec<u8>]);

thread_local! {
    /// Whether a panic of this thread is a verdict.
    static JUDGING: Cell<bool> = const { Cell::new(false) };
}

/// What is a verdict is told once it is shrunk, and not at every attempt.
fn keep_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !JUDGING.get() && !gmem::gpu::panics_are_errors() {
                usual(info);
            }
        }));
    });
}

/// Runs a case on an adapter.
pub fn judge(adapter: &AdapterChoice, case: &Case, tamper: Tamper<'_>) -> Verdict {
    keep_quiet();
    let outside = JUDGING.replace(true);
    let ran = catch_unwind(AssertUnwindSafe(|| run(adapter, case, tamper)));
    JUDGING.set(outside);
    match ran {
        Ok(Ok(verdict) | Err(verdict)) => verdict,
        Err(panic) => {
            let text = (panic.downcast_ref::<String>().cloned())
                .or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).to_owned()));
            Verdict::Failed("a panic", text.unwrap_or_default())
        }
    }
}

fn run(adapter: &AdapterChoice, case: &Case, tamper: Tamper<'_>) -> Result<Verdict, Verdict> {
    let Case { program, setting } = case;
    let failed = |kind: &'static str| move |e: Error| Verdict::Failed(kind, e.to_string());
    let bare = wgsl(program, Form::Bare);
    valid(Form::Bare, &bare)?;
    if *adapter == AdapterChoice::Backend(BackendName::Gl) && bare.contains("@size") {
        let why =
            "the original is wrong there: GLSL knows no `@size`, so its members lie elsewhere";
        return Err(Verdict::Incomparable(why.to_owned()));
    }
    let gm = Gmem::builder()
        .device(DeviceChoice::Gpu(adapter.clone()))
        .device_memory(setting.budget())
        // Those that do not fit are refused as often as they run.
        .remote_memory([0, 64 << 20][(setting.seed % 2) as usize])
        .page_size(setting.page)
        .policy(setting.policy)
        .placement(setting.placement)
        .seed(setting.seed)
        .build()
        .map_err(failed("no space"))?;
    let before = fill(program, setting.seed);
    // Out of bounds the kernel as it is gives other things on other drivers.
    let first = if program.wild {
        Form::Checked
    } else {
        Form::Bare
    };
    let expected = plain(&gm, case, first, &before)?;

    let kernel = gm.kernel(&bare).map_err(failed("not compiled"))?;
    let mut memory: Vec<Vector<u8>> = Vec::new();
    for bytes in &before {
        let mut vector = gm.alloc(bytes.len()).map_err(failed("no memory"))?;
        vector.copy_from_slice(bytes);
        memory.push(vector);
    }
    let mut refused = None;
    for turn in 0..setting.launches {
        let mut launch = kernel.launch(program.grid);
        for (at, vector) in memory.iter_mut().enumerate() {
            let name = name(at);
            if let Some(info) = kernel.storage().iter().find(|info| info.name == name) {
                let bound = program.buffers[at].bound();
                launch = match info.writes {
                    true => launch.bind(&name, vector.part_mut(bound)),
                    false => launch.bind(&name, vector.part(bound)),
                };
            }
        }
        if !kernel.uniforms().is_empty() {
            launch = launch.uniform_bytes("p", bytemuck::cast_slice(&program.params));
        }
        match launch.run() {
            Ok(_) => {}
            Err(Error::Launch(LaunchError::FootprintTooLarge { .. })) => {
                refused = Some(("FootprintTooLarge", turn));
                break;
            }
            Err(Error::Launch(LaunchError::MustBeResident { .. })) => {
                refused = Some(("MustBeResident", turn));
                break;
            }
            Err(e) => return Err(Verdict::Failed("not run", e.to_string())),
        }
        // A CPU that reads, and writes what was there: pages go to and fro, and nothing changes.
        for (vector, bytes) in memory.iter_mut().zip(&before) {
            let at = (setting.seed as usize).wrapping_mul(77) % bytes.len();
            let byte = std::hint::black_box(vector[at]);
            vector.write(at..at + 1).map_err(failed("lost"))?[0] = byte;
        }
    }
    let mut found: Vec<Vec<u8>> = memory.iter().map(|vector| vector.to_vec()).collect();
    drop(memory);
    gm.check()
        .map_err(|e| Verdict::Failed("not consistent", e))?;
    let counts = gm.stats().counts;
    tamper(program, &mut found);
    let settle = |expected: &[Vec<u8>]| match &refused {
        None => compare(program, &before, expected, &found),
        Some((kind, number)) => {
            let turn = Turn {
                number: *number,
                last: setting.launches == 1,
            };
            after_refusal(program, kind, &turn, &before, expected, &found)
        }
    };
    let mut settled = settle(&expected);
    if settled.is_err() && first == Form::Bare {
        // It may be out of bounds after all, once it is shrunk.
        settled = settle(&plain(&gm, case, Form::Checked, &before)?);
    }
    settled?;
    Ok(match refused {
        Some((kind, _)) => Verdict::Refused(kind),
        None => Verdict::Same(Ways {
            probed: counts.probed_passes,
            attempted: counts.attempted_passes,
            undone: counts.undone_passes,
        }),
    })
}

/// That a kernel is valid is the fuzzer's own business.
fn valid(form: Form, text: &str) -> Result<Entry, Verdict> {
    Parsed::from_wgsl(text)
        .and_then(|p| p.entry(None, &[]))
        .map_err(|e| Verdict::Invalid(format!("{form:?}: {e}")))
}

/// What the kernel gives under plain wgpu: the bound bytes of each buffer.
fn plain(gm: &Gmem, case: &Case, form: Form, before: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, Verdict> {
    let Case { program, setting } = case;
    let text = wgsl(program, form);
    let entry = valid(form, &text)?;
    let numbers: Vec<usize> = (entry.storage.iter())
        .filter_map(|binding| binding.name[1..].parse().ok())
        .collect();
    let sizes: Vec<u64> = (numbers.iter())
        .map(|&b| program.buffers[b].bytes() as u64)
        .collect();
    let values: Vec<Vec<u8>> = (entry.values.iter())
        .map(|_| bytemuck::cast_slice(&program.params).to_vec())
        .collect();
    let device = gm.device(0).expect("the space has one");
    let gpu = device.gpu().expect("it is a GPU");
    let incomparable = |e: DeviceError| match e {
        DeviceError::Unsupported { reason } => Verdict::Incomparable(reason),
        e => Verdict::Failed("plain wgpu", e.to_string()),
    };
    let kernel = PlainKernel::prepare(gpu, &text, None, &[], &sizes, &values, program.grid)
        .map_err(|e| match e {
            PlainError::Device(e) => incomparable(e),
            e => Verdict::Invalid(e.to_string()),
        })?;
    for (at, &b) in numbers.iter().enumerate() {
        let bound = program.buffers[b].bound();
        kernel.write(at, &before[b][bound]).map_err(incomparable)?;
    }
    for _ in 0..setting.launches {
        kernel.dispatch_and_wait().map_err(incomparable)?;
    }
    let mut out: Vec<Vec<u8>> = (program.buffers.iter().zip(before))
        .map(|(buffer, bytes)| bytes[buffer.bound()].to_vec())
        .collect();
    for (at, &b) in numbers.iter().enumerate() {
        out[b] = kernel.read(at).map_err(incomparable)?;
    }
    Ok(out)
}

fn outside(program: &Program, b: usize, before: &[u8], found: &[u8]) -> Result<(), Verdict> {
    let bound = program.buffers[b].bound();
    let beyond = (0..before.len()).filter(|at| !bound.contains(at));
    match beyond.into_iter().find(|&at| before[at] != found[at]) {
        None => Ok(()),
        Some(at) => Err(Verdict::Differs(format!(
            "byte {at} of the memory of `b{b}` changed, which is outside of the bound {bound:?}"
        ))),
    }
}

fn compare(
    program: &Program,
    before: &[Vec<u8>],
    expected: &[Vec<u8>],
    found: &[Vec<u8>],
) -> Result<(), Verdict> {
    for (b, buffer) in program.buffers.iter().enumerate() {
        let part = &found[b][buffer.bound()];
        if let Some(at) = buffer.differs(part, &expected[b]) {
            let word = |bytes: &[u8]| {
                let at = at / 4 * 4;
                u32::from_le_bytes(bytes[at..at + 4].try_into().expect("a word"))
            };
            let many = (0..part.len())
                .filter(|&i| part[i] != expected[b][i])
                .count();
            return Err(Verdict::Differs(format!(
                "`b{b}`: {many} bytes, the first {} (word {:#x}, plain wgpu {:#x}, before {:#x})",
                buffer.describe(at),
                word(part),
                word(&expected[b]),
                word(&before[b][buffer.bound()]),
            )));
        }
        outside(program, b, &before[b], &found[b])?;
    }
    Ok(())
}

/// Which launch of several: what is expected is after the last one.
struct Turn {
    number: u32,
    last: bool,
}

/// After a refusal nothing has run, or some whole workgroups.
fn after_refusal(
    program: &Program,
    kind: &str,
    turn: &Turn,
    before: &[Vec<u8>],
    expected: &[Vec<u8>],
    found: &[Vec<u8>],
) -> Result<(), Verdict> {
    for (b, buffer) in program.buffers.iter().enumerate() {
        outside(program, b, &before[b], &found[b])?;
        let (was, is) = (&before[b][buffer.bound()], &found[b][buffer.bound()]);
        let read_only = matches!(buffer.role, Role::Data(_) | Role::Permutation);
        if read_only || (kind == "MustBeResident" && turn.number == 0) {
            if let Some(at) = buffer.differs(was, is) {
                let at = buffer.describe(at);
                return Err(Verdict::Differs(format!(
                    "`b{b}`: {at} changed, after {kind}"
                )));
            }
        } else if matches!(buffer.role, Role::Own(_)) && turn.last {
            let words = is.chunks(4).zip(was.chunks(4)).zip(expected[b].chunks(4));
            for (at, ((is, was), then)) in words.enumerate() {
                if is != was && is != then {
                    let at = buffer.describe(4 * at);
                    return Err(Verdict::Differs(format!(
                        "`b{b}`: {at} is neither as before nor as after, after {kind}"
                    )));
                }
            }
        }
    }
    Ok(())
}
