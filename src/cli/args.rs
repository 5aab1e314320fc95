//! The command line: what can be asked for, checked as far as the words alone allow.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use gmem_hal::trace::Tracer;
use gmem_hal::{HostMechanism, PageSize};
use gmem_runtime::policy::{PolicyKind, UnknownPolicy};

use super::size;
use super::spec::{self, BindSpec, OverrideSpec};
use super::uniform::UniformSpec;

const EXAMPLES: &str = "\
Examples:
  gmem                                        all four demos, on whatever adapter there is
  gmem info --json                            adapters, limits and the host mechanism, for a script
  gmem demo triad --size 1GiB --device-memory 64MiB
  gmem demo pagerank --graph web.mtx --report pagerank.json
  gmem run saxpy.wgsl --grid 4096 --bind x=x.npy --bind y=y.npy,out=result.npy --uniform a=f32:2.0
  gmem run examples/plans/radix.toml          a job of several kernels, described in a file
  gmem check saxpy.wgsl                       what a kernel accesses, and how its pages will be found

Sizes are bytes, or numbers with K, M, G, T (powers of 1024; KiB, MiB, ... are the same) or KB, MB, GB, TB (powers of 1000).
Results go to standard output and nothing else does. The exit status is 0, 1 when a run failed or was not verified, 2 for bad arguments.";

const REPLAY_NOTES: &str = "\
--policy NAME replays one of lru, clock, random and zeal beside the optimum, `belady` the optimum alone, `all` (the default) everything;
--device-memory replays with another amount than was recorded, --seed with another seed.
The optimum evicts the page whose next use is farthest, a clean one among equals: no choice of victims fetches fewer pages. (It does
not choose by what must be written home: a policy may move fewer bytes in both directions together.)
Policies replay what passes needed and what probes and prefetches fetched ahead of them, the optimum what passes needed.
`recorded` is what the run itself did, which also sought frames side by side; a replay knows of no places: compare replays with each other.";

const CHECK_NOTES: &str = "\
For each compute entry point: its bindings, as declared and as really used; its hazard class (A: no barrier, nothing both read and written;
B: barriers; C: a binding is read and written in place; D: atomic read-modify-writes; E: workgroups wait for each other); how the pages it
touches are found (static: on the host; probe: on the device, before a pass; attempt: by running workgroups, which are undone and
run again where they missed a page; resident: not, all has to fit) and why; and the variants that
its launches could need, each of which is made and validated. The exit status is 1 when anything is not supported, 2 for bad arguments.
No adapter is needed. An override without a value by default is taken to be 1 unless --override says otherwise.";

const RUN_NOTES: &str = "\
SPEC, after --bind NAME=, is one of
  FILE.npy             a NumPy array of numbers in C order
  FILE.bin             the bytes of a file
  zeros:64MiB          that many zero bytes
  zeros:f32:1000000    that many zero elements (u8 i8 u16 i16 f16 u32 i32 f32 u64 i64 f64)
  random:f32:1000000   random elements, by --seed and NAME: floats from 0 to 1, integers of any value (no f16)
  range:u32:1000000    0, 1, 2 and so on (no f16)
each followed, if wanted, by ,out=FILE: where the contents go after the last run (FILE.npy keeps dtype and shape).
Input files are never written otherwise.

VALUES, after --uniform NAME=, fill the scalars of the WGSL type in order, wherever its layout puts them:
  --uniform params=u32:4096,2048          two u32
  --uniform params=u32:4096,f32:0.25,1.5  a u32 and two f32
  --uniform light=vec3<f32>:1,0.5,0       one vec3<f32>
  --uniform params=Params:4096,0.25,1.5   a struct by its name: each value is read as the scalar it fills
  --uniform params=params.bin             the bytes themselves

NAME is the name of a variable in the kernel, or GROUP.BINDING such as 0.2. Blocks of GLSL and SPIR-V without a
variable's name go by their own; without any debug names, set 0 and binding 2 is b0_2.

PLAN.toml describes a job of several kernels: buffers, kernels and the steps to take (docs/plan-format.md; examples/plans has some).
It says itself what is bound; --bind NAME=SPEC then gives one of its buffers other contents, and --repeat takes its steps again.

Example:
  gmem run blur.wgsl --grid 256,256 --entry blur --bind src=in.npy --bind dst=zeros:f32:16777216,out=out.npy \\
      --uniform size=u32:4096,4096 --override RADIUS=3 --device-memory 32MiB --report blur.json";

/// One address space for the CPU and any GPU: WGSL kernels over more memory than the device has.
#[derive(Debug, Parser)]
#[command(name = "gmem", version, about, after_help = EXAMPLES, propagate_version = true)]
pub struct Cli {
    /// Options that every command knows.
    #[command(flatten)]
    pub common: Common,
    /// What to do; all demos when nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show adapters, their windows and limits, the host mechanism and why it was chosen, and the page size
    Info(InfoArgs),
    /// Run demonstrations on several times more data than device memory, each verified (the default command)
    Demo(DemoArgs),
    /// Run any kernel in WGSL, SPIR-V or GLSL over files
    #[command(after_help = RUN_NOTES)]
    Run(RunArgs),
    /// Show what kernels access, how their pages will be found and why, and what is not supported
    #[command(after_help = CHECK_NOTES)]
    Check(CheckArgs),
    /// Measure against what an expert would write by hand with plain wgpu; every ratio is of two sides run in turn
    Bench(BenchArgs),
    /// Replay the page accesses of a recorded run under other eviction policies, and under Belady's optimum
    #[command(after_help = REPLAY_NOTES)]
    Replay(ReplayArgs),
}

/// Options that may stand before or after the command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// Cap on the device memory that holds data: on all windows created, not only on what is in use
    /// [default: 256MiB on a software adapter, 16MiB on the simulated device, else 1GiB; for demos an eighth of the data]
    #[arg(long, global = true, value_name = "SIZE", value_parser = size::parse_nonzero)]
    pub device_memory: Option<u64>,
    /// Cap on the host memory lent to single workgroups that need more than the device memory, which find it there, slowly; 0 for none
    /// [default: as much as the device memory, and at least 64MiB; GL has none]
    #[arg(long, global = true, value_name = "SIZE", value_parser = size::parse)]
    pub remote_memory: Option<u64>,
    /// Unit of migration and translation: a power of two from 4KiB to 2MiB [default: 64KiB, for demos less where device memory is small]
    #[arg(long, global = true, value_name = "SIZE", value_parser = page_size)]
    pub page_size: Option<PageSize>,
    /// What to evict when device memory is full: lru, clock, random, or zeal (as much as it can, to test gmem itself) [default: clock]
    #[arg(long, global = true, value_name = "NAME")]
    pub policy: Option<PolicyChoice>,
    /// Adapter: vulkan, gl, metal, dx12, sim (simulated), or a part of an adapter's name as `gmem info` shows it
    #[arg(long, global = true, value_name = "NAME", value_parser = adapter)]
    pub adapter: Option<Adapter>,
    /// How touches by the CPU are noticed [default: the best that works here]
    #[arg(long, global = true, value_name = "MECHANISM", value_enum)]
    pub host: Option<Host>,
    /// Seed of generated data and of the random policy
    #[arg(long, global = true, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Write a report of the run as JSON
    #[arg(long, global = true, value_name = "FILE.json")]
    pub report: Option<PathBuf>,
    /// Record what happens, when and in which thread, for Perfetto (ui.perfetto.dev) and `gmem replay`
    #[arg(long, global = true, value_name = "FILE.json")]
    pub trace: Option<PathBuf>,
    /// What spaces record into: on while a trace is wanted.
    #[arg(skip)]
    pub tracer: Tracer,
}

impl Common {
    /// The policy that spaces are to have.
    #[must_use]
    pub const fn policy_kind(&self) -> Option<PolicyKind> {
        match self.policy {
            Some(PolicyChoice::One(kind)) => Some(kind),
            _ => None,
        }
    }
}

/// `--policy`: one that can run; for replays also what cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyChoice {
    /// A policy of the runtime.
    One(PolicyKind),
    /// Belady's optimum: it knows the future.
    Belady,
    /// Every one, and the optimum.
    All,
}

impl FromStr for PolicyChoice {
    type Err = UnknownPolicy;

    fn from_str(name: &str) -> Result<Self, UnknownPolicy> {
        match name {
            "belady" => Ok(Self::Belady),
            "all" => Ok(Self::All),
            _ => name.parse().map(Self::One),
        }
    }
}

/// `gmem info`.
#[derive(Debug, Clone, Default, Args)]
pub struct InfoArgs {
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
}

/// `gmem demo`.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Which demonstration
    #[arg(value_enum, default_value_t = DemoName::All)]
    pub name: DemoName,
    /// Data of each demonstration [default: triad 128MiB, heat 64MiB, pagerank 26MiB, histogram 256MiB; a sixteenth on the simulated device]
    #[arg(long, value_name = "SIZE", value_parser = size::parse_nonzero)]
    pub size: Option<u64>,
    /// Graph for pagerank, as a Matrix Market file; an entry (i, j) is an edge from i to j [default: a random RMAT graph]
    #[arg(long, value_name = "FILE.mtx")]
    pub graph: Option<PathBuf>,
    /// File for histogram: any file [default: random bytes]
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

impl Default for DemoArgs {
    fn default() -> Self {
        Self {
            name: DemoName::All,
            size: None,
            graph: None,
            file: None,
        }
    }
}

/// `gmem run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// File with the kernel: WGSL (.wgsl), SPIR-V (.spv) or GLSL for Vulkan (.comp, .glsl); or with a plan of several (.toml)
    #[arg(value_name = "KERNEL|PLAN")]
    pub kernel: PathBuf,
    /// Workgroups in each dimension; needed for a kernel
    #[arg(long, value_name = "X[,Y[,Z]]", value_parser = grid)]
    pub grid: Option<[u32; 3]>,
    /// Entry point [default: the only one there is]
    #[arg(long, value_name = "NAME")]
    pub entry: Option<String>,
    /// Memory for a storage binding; once for each of them (SPEC: see below)
    #[arg(long = "bind", value_name = "NAME=SPEC", value_parser = spec::parse_bind)]
    pub binds: Vec<BindSpec>,
    /// Values of a uniform or an immediate (push constant); once for each of them (VALUES: see below)
    #[arg(long = "uniform", value_name = "NAME=TYPE:VALUE,...|NAME=FILE.bin", value_parser = UniformSpec::parse)]
    pub uniforms: Vec<UniformSpec>,
    /// Value of a pipeline-overridable constant, a number or true or false; once for each of them
    #[arg(long = "override", value_name = "NAME=VALUE", value_parser = spec::parse_override)]
    pub overrides: Vec<OverrideSpec>,
    /// How many times to launch the kernel, one after the other, on the same memory
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: u32,
}

/// `gmem check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// Files with kernels: WGSL (.wgsl), SPIR-V (.spv) or GLSL for Vulkan (.comp, .glsl)
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
    /// Only the entry point of this name [default: all compute entry points]
    #[arg(long, value_name = "NAME")]
    pub entry: Option<String>,
    /// Value of a pipeline-overridable constant, in the files that have it; once for each of them
    #[arg(long = "override", value_name = "NAME=VALUE", value_parser = spec::parse_override)]
    pub overrides: Vec<OverrideSpec>,
}

/// `gmem bench`.
#[derive(Debug, Clone, Default, Args)]
pub struct BenchArgs {
    /// Fewer readings of each case, and fewer cases: under five minutes instead of under twenty
    #[arg(long)]
    pub quick: bool,
    /// Only these groups of cases, such as P1,P6, each up to sixteen times while it is not known to 1.5 %
    #[arg(long, value_name = "ID,...", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Write the rows as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a page with plots, in one file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Measure nothing: show the rows that an earlier run wrote with --json
    #[arg(long, value_name = "FILE.json", conflicts_with_all = ["quick", "only"])]
    pub from: Option<PathBuf>,
}

/// `gmem replay`.
#[derive(Debug, Clone, Args)]
pub struct ReplayArgs {
    /// A trace that `--trace` wrote
    #[arg(value_name = "TRACE")]
    pub file: PathBuf,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// A demonstration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DemoName {
    /// a[i] = b[i] + s * c[i]: a stream
    Triad,
    /// A 2-D Jacobi iteration: pages are used again
    Heat,
    /// PageRank over a sparse graph: scattered reads
    Pagerank,
    /// Counting the bytes of a file: atomics
    Histogram,
    /// All of them
    All,
}

impl DemoName {
    /// Every demonstration that this names, in the order they are run.
    #[must_use]
    pub fn each(self) -> &'static [Self] {
        match self {
            Self::Triad => &[Self::Triad],
            Self::Heat => &[Self::Heat],
            Self::Pagerank => &[Self::Pagerank],
            Self::Histogram => &[Self::Histogram],
            Self::All => &[Self::Triad, Self::Heat, Self::Pagerank, Self::Histogram],
        }
    }

    /// The name used on the command line and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Triad => "triad",
            Self::Heat => "heat",
            Self::Pagerank => "pagerank",
            Self::Histogram => "histogram",
            Self::All => "all",
        }
    }
}

/// A host mechanism by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Host {
    /// userfaultfd: any pointer works, on Linux
    Uffd,
    /// Page protections and a signal handler: any pointer works, on Linux
    Mprotect,
    /// Nothing is noticed: only views work
    Explicit,
}

impl From<Host> for HostMechanism {
    fn from(host: Host) -> Self {
        match host {
            Host::Uffd => Self::Userfaultfd,
            Host::Mprotect => Self::Mprotect,
            Host::Explicit => Self::Explicit,
        }
    }
}

/// Which device to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adapter {
    /// The simulated one.
    Sim,
    /// Any adapter of one backend: `vulkan`, `gl`, `metal` or `dx12`.
    Backend(&'static str),
    /// One whose name contains this, in either case.
    Named(String),
}

impl RunArgs {
    /// Whether it is a plan that is to be run.
    #[must_use]
    pub fn is_plan(&self) -> bool {
        spec::has_extension(&self.kernel, "toml")
    }

    /// Workgroups in each dimension, of a kernel.
    #[must_use]
    pub fn workgroups(&self) -> [u32; 3] {
        self.grid.unwrap_or([1; 3])
    }
}

fn page_size(text: &str) -> Result<PageSize, Box<dyn std::error::Error + Send + Sync>> {
    Ok(PageSize::new(size::parse(text)?)?)
}

fn adapter(text: &str) -> Result<Adapter, &'static str> {
    match text.trim().to_ascii_lowercase().as_str() {
        "" => Err("an adapter needs a name: `gmem info` lists them"),
        "sim" => Ok(Adapter::Sim),
        "vulkan" => Ok(Adapter::Backend("vulkan")),
        "gl" => Ok(Adapter::Backend("gl")),
        "metal" => Ok(Adapter::Backend("metal")),
        "dx12" => Ok(Adapter::Backend("dx12")),
        _ => Ok(Adapter::Named(text.trim().to_owned())),
    }
}

fn grid(text: &str) -> Result<[u32; 3], String> {
    let mut grid = [1; 3];
    let parts: Vec<&str> = text.split(',').collect();
    if parts.len() > 3 {
        return Err(format!(
            "a grid has one to three dimensions, and here are {}",
            parts.len()
        ));
    }
    for (side, part) in grid.iter_mut().zip(parts) {
        *side = part.trim().parse().map_err(|_| {
            format!(
                "`{part}` is not a number of workgroups: give 1 to {}",
                u32::MAX
            )
        })?;
        if *side == 0 {
            return Err(
                "a grid of zero workgroups does nothing: give at least 1 in each dimension"
                    .to_owned(),
            );
        }
    }
    Ok(grid)
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
