//! What can be wrong with a plan: each with its line, and with what is allowed.

use std::error::Error;
use std::path::{Path, PathBuf};

use gmem_hal::counted;

use crate::cli::Failure;
use crate::cli::spec::SpecError;
use crate::cli::uniform::UniformError;

/// A mistake, and where it is.
#[derive(Debug, thiserror::Error)]
#[error("{}, line {line}: {mistake}", path.display())]
pub struct PlanError {
    /// The plan.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub mistake: Mistake,
}

/// What is wrong with a plan.
#[derive(Debug, thiserror::Error)]
pub enum Mistake {
    /// It is no TOML, or has keys or values that no plan has.
    #[error("{0}")]
    Toml(String),
    /// There is nothing to do.
    #[error("a plan needs at least one [[steps]]")]
    NoSteps,
    /// A name that nothing can have.
    #[error("`{0}` is no name: use letters, digits and _, not beginning with a digit")]
    Name(String),
    /// Contents that cannot be understood.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Two buffers go to one file.
    #[error("{0:?} is written by two buffers: give each its own file")]
    SameOutput(PathBuf),
    /// Values that cannot be understood.
    #[error("uniform `{name}`: {source}")]
    Uniform {
        /// Of which uniform.
        name: String,
        /// Why not.
        source: UniformError,
    },
    /// A constant that is neither a number nor a truth value.
    #[error("`{0}` needs a number, true or false")]
    Override(String),
    /// A name of nothing.
    #[error("there is no {kind} `{name}`: the plan has {available}")]
    Unknown {
        /// `buffer`, `kernel`, or `variable`.
        kind: &'static str,
        /// The name.
        name: String,
        /// What there is.
        available: String,
    },
    /// A step that is nothing, or several things.
    #[error(
        "a step has one of `kernel` (run one), `clear` (a buffer to zeroes), `swap` (two buffers), or `steps` (a loop), and here {}",
        match .0.as_slice() {
            [] => "is none of them".to_owned(),
            several => format!("are {}", several.join(" and ")),
        }
    )]
    Kind(Vec<&'static str>),
    /// A key that this step has no use for.
    #[error("`{key}` does not go with `{kind}`, which takes {allowed}")]
    Stray {
        /// The key.
        key: &'static str,
        /// What the step is.
        kind: &'static str,
        /// What it takes.
        allowed: &'static str,
    },
    /// A step without a grid.
    #[error(
        "a step with `kernel` needs `grid`: one to three numbers of workgroups, such as [64] or [16, 16]"
    )]
    NoGrid,
    /// A grid that is none.
    #[error(
        "a grid is one to three numbers of workgroups, each at least 1, such as [64] or [16, 16]"
    )]
    Grid,
    /// A loop without an end, or with several.
    #[error(
        "a loop has one of `repeat` (a number of rounds), `for` (values of variables), or `until_zero` (an element of a buffer), and here {}",
        match .0.as_slice() {
            [] => "is none of them".to_owned(),
            several => format!("are {}", several.join(" and ")),
        }
    )]
    Loop(Vec<&'static str>),
    /// A loop of no rounds.
    #[error("`{0}` needs at least one round")]
    NoRounds(&'static str),
    /// Lists of values that do not go together.
    #[error("`for` needs one list or several of one length, each of numbers")]
    Values,
    /// What `until_zero` names is no element.
    #[error(
        "`{0}` is no element of a buffer: write NAME, or NAME[INDEX] for another than the first"
    )]
    Element(String),
    /// An element past the end, or half behind it.
    #[error("u32 {index} of `{buffer}` is past its {}", counted(*bytes, "byte"))]
    PastEnd {
        /// The buffer.
        buffer: String,
        /// The element.
        index: u64,
        /// What the buffer has.
        bytes: u64,
    },
    /// `swap` of other than two.
    #[error("`swap` takes the names of two different buffers")]
    Swap,
    /// `swap` of different sizes.
    #[error("`swap` takes buffers of one size: `{first}` has {}, `{second}` {}", counted(sizes.0, "byte"), counted(sizes.1, "byte"))]
    SwapSizes {
        /// One.
        first: String,
        /// The other.
        second: String,
        /// Their bytes.
        sizes: (u64, u64),
    },
    /// A buffer that is written through one variable and seen through another.
    #[error(
        "buffer `{0}` is bound twice here, and written: bind it once, or `swap` two buffers between steps"
    )]
    Alias(String),
    /// A checksum that is none.
    #[error("`{0}` is no checksum: write fnv1a: and 16 hexadecimal digits")]
    Checksum(String),
    /// A tolerance that is none, or for what has none.
    #[error(
        "`within` is a number that is not negative, and goes with an `expect` of f32: FILE.npy, random:f32:COUNT, ..."
    )]
    Within,
    /// Expected contents of another size.
    #[error("`{buffer}` has {}, and its `expect` {}", counted(sizes.0, "byte"), counted(sizes.1, "byte"))]
    ExpectSize {
        /// The buffer.
        buffer: String,
        /// Its bytes, and those expected.
        sizes: (u64, u64),
    },
    /// A loop that did not come to its end.
    #[error("`{element}` is still {value} after {}: is the loop's end ever reached? `at_most` sets another limit", counted(*rounds, "round"))]
    Endless {
        /// What should have become zero.
        element: String,
        /// What it is.
        value: u32,
        /// How often it was looked at.
        rounds: u64,
    },
    /// Something that a kernel or a file of the plan led to.
    #[error("{what}")]
    Caused {
        /// What failed.
        what: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl PlanError {
    /// A mistake in a line.
    pub fn new(path: &Path, line: usize, mistake: impl Into<Mistake>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            mistake: mistake.into(),
        }
    }
}

/// Says where in the plan the cause of a failure stands.
pub fn located(failure: Failure, path: &Path, line: usize, what: &str) -> Failure {
    let at = |source: Box<dyn Error + Send + Sync>| {
        let what = match source.to_string() {
            words if words.contains(what) => words,
            words => format!("{what}: {words}"),
        };
        PlanError::new(path, line, Mistake::Caused { what, source })
    };
    match failure {
        Failure::Arguments(source) => Failure::arguments(at(source)),
        Failure::Run(source) => Failure::run(at(source)),
        said => said,
    }
}
