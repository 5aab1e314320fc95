//! Kernels that somebody brings, in files: each entry point over made-up data (`data.rs`), in half of the memory that it binds,
//! with pages of 4 KiB, bit for bit what the original gives under plain wgpu on the same adapter.
//!
//! Ordinarily those of the examples, demonstrations and benchmarks; others, `.wgsl`, `.spv` and `.comp`, anywhere below a folder:
//!
//! ```text
//! GMEM_KERNELS=FOLDER GMEM_KERNELS_MOST=100 cargo test --release --test brought -- --nocapture
//! ```
//!
//! - `GMEM_KERNELS_MOST`: so many of the folder's entry points, drawn by `GMEM_KERNELS_SEED` (1).
//!
//! Made-up data lead some kernels where they would never go. What is no function of its data is told apart by its hazard class:
//! where workgroups read what others write, or use what their atomic operations give back, another order gives another result.

#[path = "../adapters/mod.rs"]
mod adapters;
mod data;
#[path = "../paging/mod.rs"]
mod paging;
#[path = "../skipped/mod.rs"]
mod skipped;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use gmem::gpu::shaders::{Entry, HazardClass, Program, StorageBinding};
use gmem::gpu::{AdapterChoice, PlainKernel};
use gmem::{Error, Source};
use gmem_runtime::LaunchError;
use paging::{Chance, GUARD, is_gl, space};

const PAGE: u64 = 4096;
/// Most kernels go along x: of ours, with a second row each would be done twice at once. Others' may have more to go along.
const OURS: [u32; 3] = [8, 1, 1];
const OTHERS: [u32; 3] = [8, 2, 1];
const ALONE: [u32; 3] = [1, 1, 1];

/// Kernels of this repository that over made-up data write the same places several times, or find nothing to do.
const MISLED: [&str; 4] = ["expand", "gemm", "scan", "scatter"];

/// What became of an entry point.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    /// The same bytes, in so many hundredths of the pages that it binds.
    Same {
        hundredths: u64,
    },
    /// The same bytes, but none of them changed.
    Idle,
    /// Other bytes, of a kernel whose result hangs on the order of its workgroups.
    Ordered(String),
    /// Other bytes, of a kernel that reaches past its data: plain wgpu too gives others when there is more behind them.
    Astray(String),
    /// Other bytes, though a workgroup alone gives the same: with these data several may write one place, which is to be looked at.
    Crowded(String),
    /// gmem says why it does not run it.
    Refused(String),
    /// Plain wgpu does not run it, or it needs what is not made up here.
    Left(String),
    Different(String),
}

fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn below(folder: &Path, out: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    entries.sort();
    for path in entries {
        let ending = path
            .extension()
            .and_then(|e| e.to_str())
            .unwrap_or_default();
        if path.is_dir() {
            below(&path, out);
        } else if ["wgsl", "spv", "comp"].contains(&ending) {
            out.push(path);
        }
    }
}

fn source(path: &Path) -> Option<Source<'static>> {
    Source::from_file(path, std::fs::read(path).ok()?).ok()
}

/// The compute entry points of all files that can be read, and how many cannot, which is said.
fn entry_points(files: &[PathBuf]) -> (Vec<(PathBuf, String)>, usize) {
    let (mut found, mut unread) = (Vec::new(), 0);
    for path in files {
        let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        match Source::from_file(path, bytes).and_then(Program::parse) {
            Ok(program) => {
                let names = program.entry_points().into_iter().map(str::to_owned);
                found.extend(names.map(|name| (path.clone(), name)));
            }
            Err(e) => {
                unread += 1;
                say(format_args!("{} is left out: {e}", path.display()));
            }
        }
    }
    (found, unread)
}

/// Whether another order of workgroups may give another result.
fn is_ordered(entry: &Entry) -> bool {
    let hazard = entry.hazard();
    hazard.class >= HazardClass::C && (hazard.results_used || !hazard.in_place.is_empty())
        || hazard.class == HazardClass::E
}

fn pages(storage: &[Vec<u8>]) -> u64 {
    (storage.iter())
        .map(|b| (b.len() as u64).div_ceil(PAGE))
        .sum()
}

/// A kernel with what it is given.
struct Brought<'a> {
    adapter: &'a AdapterChoice,
    source: Source<'static>,
    name: &'a str,
    given: Vec<Vec<u8>>,
    values: Vec<Vec<u8>>,
}

impl Brought<'_> {
    /// What the original makes of the data, with so many bytes of zeroes behind each binding.
    fn plain(&self, groups: [u32; 3], behind: usize) -> Result<Vec<Vec<u8>>, Verdict> {
        let gm = space(self.adapter, PAGE, PAGE + GUARD);
        let device = gm.device(0).expect("a device");
        let sizes: Vec<u64> = (self.given.iter())
            .map(|bytes| (bytes.len() + behind) as u64)
            .collect();
        let plain = PlainKernel::prepare(
            device.gpu().expect("a GPU"),
            self.source.clone(),
            Some(self.name),
            &[],
            &sizes,
            &self.values,
            groups,
        )
        .map_err(|e| Verdict::Left(e.to_string()))?;
        for (i, bytes) in self.given.iter().enumerate() {
            let mut bytes = bytes.clone();
            bytes.resize(bytes.len() + behind, 0);
            plain.write(i, &bytes).expect("a buffer");
        }
        plain.dispatch_and_wait().expect("it ran");
        let read = |(i, bytes): (usize, &Vec<u8>)| {
            let mut read = plain.read(i).expect("a buffer");
            read.truncate(bytes.len());
            read
        };
        Ok(self.given.iter().enumerate().map(read).collect())
    }

    /// What it makes of them in half of its memory, or in as much more as one workgroup needs, and in how many frames.
    fn paged(&self, groups: [u32; 3]) -> Result<(Vec<Vec<u8>>, u64), Verdict> {
        let all = pages(&self.given);
        let mut frames = (all / 2).max(1);
        loop {
            let gm = space(self.adapter, PAGE, frames * PAGE + GUARD);
            let refused = |e: Error| Verdict::Refused(e.to_string());
            let device = gm.device(0).expect("a device");
            let kernel = gm
                .kernel_on(&device, self.source.clone(), Some(self.name), &[])
                .map_err(refused)?;
            let mut memory = Vec::new();
            for bytes in &self.given {
                let mut vector = gm.alloc::<u8>(bytes.len()).expect("memory");
                vector.copy_from_slice(bytes);
                memory.push(vector);
            }
            let mut launch = kernel.launch(groups);
            for (info, memory) in kernel.storage().iter().zip(&mut memory) {
                launch = launch.bind(&info.name, memory);
            }
            for (info, bytes) in kernel.uniforms().iter().zip(&self.values) {
                launch = launch.uniform_bytes(&info.name, bytes);
            }
            match launch.run() {
                Ok(_) => return Ok((memory.iter().map(|m| m.to_vec()).collect(), frames)),
                Err(Error::Launch(LaunchError::FootprintTooLarge { needed, .. }))
                    if frames < needed && needed <= all =>
                {
                    frames = needed;
                }
                Err(Error::Launch(
                    LaunchError::MustBeResident { .. } | LaunchError::MustRunInOnePiece { .. },
                )) if frames < all => frames = all,
                Err(e) => return Err(refused(e)),
            }
        }
    }
}

/// The first byte that differs, in words.
fn difference(entry: &Entry, got: &[Vec<u8>], expected: &[Vec<u8>]) -> Option<String> {
    let of = entry.storage.iter().zip(got.iter().zip(expected));
    of.filter_map(|(binding, (got, expected))| {
        let at = (0..expected.len()).find(|&at| got[at] != expected[at])?;
        let (name, got, expected) = (&binding.name, got[at], expected[at]);
        Some(format!("byte {at} of `{name}` is {got}, not {expected}"))
    })
    .next()
}

/// Runs a kernel over data of a seed in both ways.
fn judge(
    adapter: &AdapterChoice,
    path: &Path,
    name: &str,
    groups: [u32; 3],
    seed: u64,
) -> Result<Verdict, Verdict> {
    let left = |why: &str| Verdict::Left(why.to_owned());
    let source = source(path).ok_or(left("it is no shader"))?;
    let entry = Program::parse(source.clone())
        .and_then(|program| program.entry(Some(name), &[]))
        .map_err(|e| Verdict::Left(e.to_string()))?;
    if !entry.resources.is_empty() {
        return Err(left("it has textures"));
    }
    if entry.storage.is_empty() {
        return Err(left("it has no storage"));
    }
    let mut chance = Chance(seed);
    let fill = |binding: &StorageBinding| data::storage(&entry, binding, &mut chance);
    let given: Vec<Vec<u8>> = entry.storage.iter().map(fill).collect();
    let value = |binding| data::value(binding, &mut chance);
    let brought = Brought {
        adapter,
        source,
        name,
        values: entry.values.iter().map(value).collect(),
        given,
    };
    let expected = brought.plain(groups, 0)?;
    let (got, frames) = brought.paged(groups)?;
    let Some(what) = difference(&entry, &got, &expected) else {
        let hundredths = frames * 100 / pages(&brought.given);
        return Ok(match expected == brought.given {
            true => Verdict::Idle,
            false => Verdict::Same { hundredths },
        });
    };
    if difference(&entry, &brought.plain(groups, 1 << 16)?, &expected).is_some() {
        return Ok(Verdict::Astray(what));
    }
    let alone = brought.paged(ALONE)?.0 == brought.plain(ALONE, 0)?;
    Ok(match alone && is_ordered(&entry) {
        true => Verdict::Ordered(what),
        false if alone => Verdict::Crowded(what),
        false => Verdict::Different(what),
    })
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn kernels_out_of_files_give_what_the_original_gives() {
    let folder = std::env::var_os("GMEM_KERNELS").map(PathBuf::from);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    match &folder {
        Some(folder) => below(folder, &mut files),
        None => ["examples", "src/cli"]
            .into_iter()
            .for_each(|part| below(&root.join(part), &mut files)),
    }
    let (mut chosen, unread) = entry_points(&files);
    assert!(!chosen.is_empty(), "there are no kernels to run");
    assert!(folder.is_some() || unread == 0, "ours can all be read");
    let mut chance = Chance(number("GMEM_KERNELS_SEED").unwrap_or(1));
    if let Some(most) = number("GMEM_KERNELS_MOST") {
        while chosen.len() as u64 > most {
            chosen.swap_remove(chance.below(chosen.len() as u32) as usize);
        }
        chosen.sort();
    }
    let groups = if folder.is_some() { OTHERS } else { OURS };
    for adapter in adapters::adapters() {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        let mut different = Vec::new();
        for (index, (path, name)) in chosen.iter().enumerate() {
            // A software GL takes up to a minute to compile the zeroing of workgroup memory, for each variant.
            if is_gl(&adapter) && folder.is_none() {
                let text = std::fs::read_to_string(path).unwrap_or_default();
                if text.contains("var<workgroup>") {
                    skipped::skipped(format_args!("{adapter}: {name} compiles slowly there"));
                    continue;
                }
            }
            let start = Instant::now();
            let verdict = judge(&adapter, path, name, groups, index as u64);
            let verdict = verdict.unwrap_or_else(|why| why);
            let what = format!("{adapter}: {} of {}", name, path.display());
            say(format_args!(
                "{what}: {verdict:?}, {:.1} s",
                start.elapsed().as_secs_f64()
            ));
            *counts
                .entry(match verdict {
                    Verdict::Same { .. } => "the same",
                    Verdict::Idle => "the same, with nothing changed",
                    Verdict::Ordered(_) => "different, by their order",
                    Verdict::Astray(_) => "different, past their data",
                    Verdict::Crowded(_) => "different, but not alone",
                    Verdict::Refused(_) => "refused",
                    Verdict::Left(_) => "left out",
                    Verdict::Different(_) => "different",
                })
                .or_default() += 1;
            // Kernels of our own are all to run, and to do something.
            let misled = MISLED.contains(&name.as_str());
            let wrong = match verdict {
                Verdict::Different(_) => true,
                Verdict::Same { .. } => false,
                Verdict::Refused(_) | Verdict::Left(_) => folder.is_none(),
                _ => folder.is_none() && !misled,
            };
            if wrong {
                different.push(format!("{what}: {verdict:?}"));
            }
        }
        say(format_args!(
            "{adapter}: {} entry points: {counts:?}; {unread} files could not be read",
            chosen.len()
        ));
        assert!(different.is_empty(), "{}", different.join("\n"));
    }
}
