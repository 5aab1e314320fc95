//! `gmem check`: what gmem makes of a kernel, without running it: what it accesses, how its pages are found and why, what is not supported.
//!
//! Nothing is guessed: every entry point is analysed, and rewritten in each variant that its launches could need; each of them is
//! validated. No adapter is needed.

mod facts;
mod footprint;
mod text;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use gmem::gpu::shaders::{Entry, Program};
use gmem::gpu::{ShaderError, Source};

use super::args::{CheckArgs, Common};
use super::files::check_output;
use super::{Failure, print, report, spec, stream};
use facts::{Checked, EntryFacts, FileFacts, Unsupported};

/// Stack of the thread that looks at a file: what is nested deeply in a source is visited by recursion.
const STACK: usize = 256 << 20;

/// What is wrong with the arguments of `gmem check`, once the files are known.
#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error("no compute entry point is called `{name}`: there {}", match .available.as_slice() {
        [] => "is none at all".to_owned(),
        all => format!("are {}", all.join(", ")),
    })]
    Entry {
        name: String,
        available: Vec<String>,
    },
    #[error("no file has an override constant `{0}`")]
    Override(String),
    #[error("{0:?} is a plan, which `gmem run` takes: give `gmem check` the kernels that it names")]
    Plan(PathBuf),
    #[error("{path:?}: {source}")]
    Value { path: PathBuf, source: ShaderError },
}

/// Runs `gmem check`.
///
/// # Errors
/// With bad arguments when a file is missing or no kernel, or a name is nowhere; else when something is not supported, which
/// the result says.
pub fn run(common: &Common, args: &CheckArgs) -> Result<(), Failure> {
    if let Some(report) = &common.report {
        check_output(report)?;
    }
    for path in &args.files {
        stream::open(path).map_err(Failure::arguments)?;
        if spec::has_extension(path, "toml") {
            return Err(Failure::arguments(CheckError::Plan(path.clone())));
        }
    }
    let _quiet = QuietPanics::new();
    let mut used = vec![false; args.overrides.len()];
    let mut files = Vec::with_capacity(args.files.len());
    for path in &args.files {
        files.push(on_a_deep_stack(path, || file(path, args, &mut used))?);
    }
    let all = || files.iter().flat_map(|file: &FileFacts| &file.all);
    if let Some(name) = &args.entry
        && !files.iter().any(|f| f.error.is_some())
        && !all().any(|found| found == name)
    {
        return Err(Failure::arguments(CheckError::Entry {
            name: name.clone(),
            available: all().cloned().collect(),
        }));
    }
    if files.iter().any(|f| !f.entries.is_empty())
        && let Some(unused) = used.iter().position(|used| !used)
    {
        let name = args.overrides[unused].name.clone();
        return Err(Failure::arguments(CheckError::Override(name)));
    }
    let checked = Checked { files };
    if let Some(path) = &common.report {
        report::write(path, &checked).map_err(Failure::run)?;
    }
    if args.json {
        let json = serde_json::to_string_pretty(&checked).map_err(Failure::run)?;
        print(&format!("{json}\n"))?;
    } else {
        print(&text::draw(&checked))?;
    }
    if checked.all_supported() {
        Ok(())
    } else {
        Err(Failure::Said(1))
    }
}

/// What there is to say of one file.
fn file(path: &Path, args: &CheckArgs, used: &mut [bool]) -> Result<FileFacts, Failure> {
    let mut facts = FileFacts {
        file: path.display().to_string(),
        ..FileFacts::default()
    };
    let program = match caught(|| parse(path)) {
        Ok(Ok(program)) => program,
        Ok(Err(Refused::Arguments(failure))) => return Err(failure),
        Ok(Err(Refused::Source(error))) => {
            facts.error = Some(error);
            return Ok(facts);
        }
        Err(defect) => {
            facts.error = Some(format!(
                "reading it failed, which is a defect of gmem or its compiler: {defect}"
            ));
            return Ok(facts);
        }
    };
    facts.all = program
        .entry_points()
        .into_iter()
        .map(str::to_owned)
        .collect();
    for name in &facts.all {
        if args.entry.as_ref().is_some_and(|wanted| wanted != name) {
            continue;
        }
        let overrides = Overrides { args, path };
        let entry = caught(|| overrides.prepared(&program, name, used));
        facts.entries.push(match entry {
            Ok(Ok((entry, assumed))) => {
                let mut facts = caught(|| EntryFacts::of(&entry)).unwrap_or_else(|defect| {
                    EntryFacts::refused(name, Unsupported::defect(&defect))
                });
                facts.assumed = assumed;
                facts
            }
            Ok(Err(PrepareError::Arguments(failure))) => return Err(failure),
            Ok(Err(PrepareError::Shader(error))) => {
                EntryFacts::refused(name, Unsupported::from(&error))
            }
            Err(defect) => EntryFacts::refused(name, Unsupported::defect(&defect)),
        });
    }
    Ok(facts)
}

/// Why there is no program.
enum Refused {
    Arguments(Failure),
    Source(String),
}

/// Reads and parses a file.
fn parse(path: &Path) -> Result<Program, Refused> {
    let bytes = std::fs::read(path)
        .map_err(|e| Refused::Arguments(Failure::run(stream::StreamError::io(path, e))))?;
    Source::from_file(path, bytes)
        .and_then(Program::parse)
        .map_err(|error| Refused::Source(error.to_string()))
}

/// Why there is no entry point.
enum PrepareError {
    Arguments(Failure),
    Shader(ShaderError),
}

/// The values of constants that were given.
struct Overrides<'a> {
    args: &'a CheckArgs,
    path: &'a Path,
}

impl Overrides<'_> {
    /// The entry point, and the constants that got 1 because they have no value by default and none was given.
    fn prepared(
        &self,
        program: &Program,
        name: &str,
        used: &mut [bool],
    ) -> Result<(Entry, Vec<String>), PrepareError> {
        let mut values: Vec<(String, f64)> = Vec::new();
        for (given, used) in self.args.overrides.iter().zip(used) {
            // 1 fits every type: what is refused is the name, which another file may have.
            let tried = program.entry(Some(name), &[(given.name.clone(), 1.0)]);
            let unknown = matches!(&tried, Err(ShaderError::Override { name: Some(n), .. })
                if *n == given.name);
            if !unknown {
                *used = true;
                values.push((given.name.clone(), given.value));
            }
        }
        let given = values.len();
        loop {
            match program.entry(Some(name), &values) {
                Ok(entry) => {
                    let assumed = values.drain(given..).map(|(name, _)| name).collect();
                    return Ok((entry, assumed));
                }
                Err(ShaderError::Override {
                    name: Some(missing),
                    ..
                }) if !values.iter().any(|(name, _)| *name == missing) => {
                    values.push((missing, 1.0));
                }
                Err(source @ ShaderError::Override { name: Some(_), .. }) => {
                    return Err(PrepareError::Arguments(Failure::arguments(
                        CheckError::Value {
                            path: self.path.to_owned(),
                            source,
                        },
                    )));
                }
                Err(error) => return Err(PrepareError::Shader(error)),
            }
        }
    }
}

/// Does something that may panic; what it then said.
fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let text = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned());
        text.or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without words".to_owned())
    })
}

/// Does it in a thread with a large stack.
fn on_a_deep_stack<T: Send>(
    path: &Path,
    work: impl FnOnce() -> Result<T, Failure> + Send,
) -> Result<T, Failure> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name(format!("check {}", path.display()))
            .stack_size(STACK)
            .spawn_scoped(scope, work)
            .map_err(Failure::run)?;
        thread
            .join()
            .unwrap_or_else(|_| Err(Failure::run("a defect that was not caught where it is")))
    })
}

type Hook = Box<dyn Fn(&std::panic::PanicHookInfo<'_>) + Sync + Send>;

/// Panics that are caught and reported need no words of their own.
struct QuietPanics(Option<Hook>);

impl QuietPanics {
    fn new() -> Self {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        Self(Some(before))
    }
}

impl Drop for QuietPanics {
    fn drop(&mut self) {
        if let Some(hook) = self.0.take() {
            std::panic::set_hook(hook);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_words() {
        let _quiet = QuietPanics::new();
        let n = 3;
        assert_eq!(caught(|| n + 1), Ok(4));
        assert_eq!(
            caught::<()>(|| panic!("lost {n}")),
            Err("lost 3".to_owned())
        );
        assert_eq!(caught::<()>(|| panic!("plain")), Err("plain".to_owned()));
    }
}
