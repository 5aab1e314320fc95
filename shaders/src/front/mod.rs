//! The front ends: WGSL, SPIR-V or GLSL in, a validated module out.
//!
//! - [`Source`] is a shader in one of the three languages, [`Language`] says which;
//! - what a language has and naga's front end for it lacks is put in words that it knows ([`lacking`], [`inlined`],
//!   [`stand_in`], [`frozen`], [`elect`]), and what it leaves in a form that its validator refuses is put right ([`mend`],
//!   [`zeros`]);
//! - what would nest too deep for a stack is refused first ([`nesting`], [`depth`]), the rest runs on a deep one, and a
//!   panic of naga's front ends or validator is an error ([`guard`]);
//! - pointers to storage and workgroup memory never cross a call afterwards ([`pointers`]), and every binding has a
//!   name ([`names`]);
//! - WGSL that follows 64-bit pointers is given the functions to do so ([`prelude`]).

mod depth;
mod elect;
mod frozen;
mod glsl;
pub(crate) mod guard;
mod inlined;
mod lacking;
mod lines;
mod macros;
mod mend;
mod names;
mod nesting;
mod operands;
mod pointers;
pub mod prelude;
mod spirv;
mod stand_in;
mod tokens;
mod wgsl;
mod zeros;

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use naga::Module;
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};

use crate::error::ShaderError;
use guard::{caught, deep};

pub use guard::panics_are_errors;

/// The language of a shader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// The WebGPU Shading Language.
    Wgsl,
    /// SPIR-V, as words in either byte order.
    SpirV,
    /// GLSL for Vulkan, versions 4.20 to 4.60, 3.10 ES and 3.20 ES: one compute shader with the entry point `main`.
    Glsl,
}

impl Language {
    /// The language that a file's name ends in: `.wgsl`, `.spv`, `.comp` or `.glsl`, in either case.
    #[must_use]
    pub fn of_path(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        match ending.as_str() {
            "wgsl" => Some(Self::Wgsl),
            "spv" => Some(Self::SpirV),
            "comp" | "glsl" => Some(Self::Glsl),
            _ => None,
        }
    }
}

/// A shader. A text alone is WGSL: `"...".into()`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source<'a> {
    /// WGSL.
    Wgsl(Cow<'a, str>),
    /// SPIR-V: a whole number of words, in either byte order.
    SpirV(Cow<'a, [u8]>),
    /// GLSL.
    Glsl(Cow<'a, str>),
}

impl<'a> Source<'a> {
    /// WGSL.
    pub fn wgsl(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Wgsl(text.into())
    }

    /// SPIR-V, as a file holds it.
    pub fn spirv(bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self::SpirV(bytes.into())
    }

    /// SPIR-V, as words of this machine.
    #[must_use]
    pub fn spirv_words(words: &[u32]) -> Self {
        Self::SpirV(words.iter().flat_map(|word| word.to_le_bytes()).collect())
    }

    /// GLSL: a compute shader for Vulkan.
    pub fn glsl(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Glsl(text.into())
    }

    /// What a file holds: the language is that of its name's ending; where that says nothing, SPIR-V if the bytes begin
    /// like it, else WGSL.
    ///
    /// # Errors
    /// [`ShaderError::Parse`] for a text that is no UTF-8.
    pub fn from_file(path: &Path, bytes: Vec<u8>) -> Result<Source<'static>, ShaderError> {
        let guessed = || {
            if spirv::is_spirv(&bytes) {
                Language::SpirV
            } else {
                Language::Wgsl
            }
        };
        let language = Language::of_path(path).unwrap_or_else(guessed);
        if language == Language::SpirV {
            return Ok(Source::SpirV(bytes.into()));
        }
        let text = String::from_utf8(bytes).map_err(|e| {
            let valid = &e.as_bytes()[..e.utf8_error().valid_up_to()];
            ShaderError::Parse {
                line: 1 + valid.iter().filter(|byte| **byte == b'\n').count() as u32,
                message: "this is no text: its bytes are no UTF-8 from here on".to_owned(),
                report: String::new(),
            }
        })?;
        // Some editors begin a text with a byte order mark, which no language has.
        let text = match text.strip_prefix('\u{feff}') {
            Some(rest) => rest.to_owned(),
            None => text,
        };
        Ok(match language {
            Language::Glsl => Source::Glsl(text.into()),
            _ => Source::Wgsl(text.into()),
        })
    }

    /// The same, borrowing nothing.
    pub(crate) fn to_owned_source(&self) -> Source<'static> {
        match self {
            Self::Wgsl(text) => Source::Wgsl(Cow::Owned(text.clone().into_owned())),
            Self::SpirV(bytes) => Source::SpirV(Cow::Owned(bytes.clone().into_owned())),
            Self::Glsl(text) => Source::Glsl(Cow::Owned(text.clone().into_owned())),
        }
    }

    /// What it consists of.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Wgsl(text) | Self::Glsl(text) => text.as_bytes(),
            Self::SpirV(bytes) => bytes,
        }
    }

    /// Its language.
    #[must_use]
    pub const fn language(&self) -> Language {
        match self {
            Self::Wgsl(_) => Language::Wgsl,
            Self::SpirV(_) => Language::SpirV,
            Self::Glsl(_) => Language::Glsl,
        }
    }
}

impl<'a> From<&'a str> for Source<'a> {
    fn from(wgsl: &'a str) -> Self {
        Self::Wgsl(wgsl.into())
    }
}

impl<'a> From<&'a String> for Source<'a> {
    fn from(wgsl: &'a String) -> Self {
        Self::Wgsl(wgsl.into())
    }
}

impl From<String> for Source<'_> {
    fn from(wgsl: String) -> Self {
        Self::Wgsl(wgsl.into())
    }
}

impl<'a> From<&'a Cow<'_, str>> for Source<'a> {
    fn from(wgsl: &'a Cow<'_, str>) -> Self {
        Self::Wgsl(Cow::Borrowed(wgsl))
    }
}

impl<'a> From<&'a Source<'_>> for Source<'a> {
    fn from(source: &'a Source<'_>) -> Self {
        match source {
            Source::Wgsl(text) => Self::Wgsl(Cow::Borrowed(text)),
            Source::SpirV(bytes) => Self::SpirV(Cow::Borrowed(bytes)),
            Source::Glsl(text) => Self::Glsl(Cow::Borrowed(text)),
        }
    }
}

/// A shader that was read.
pub(crate) struct Read {
    pub(crate) module: Module,
    pub(crate) info: ModuleInfo,
    /// What positions in the module are positions in. Of SPIR-V it has the lines, but nothing in them.
    pub(crate) text: Arc<str>,
}

/// Parses and validates a shader.
///
/// # Errors
/// [`ShaderError::Parse`], [`ShaderError::Invalid`], and [`ShaderError::Unsupported`] for what nests too deep or passes
/// pointers that cannot be followed.
pub(crate) fn read(source: &Source<'_>) -> Result<Read, ShaderError> {
    deep(|| {
        let (mut module, text): (Module, Arc<str>) = match source {
            Source::Wgsl(text) => {
                nesting::check(text, Language::Wgsl)?;
                let (mut module, text) = wgsl::parse(text)?;
                prelude::note_places(&mut module, &text);
                mend::write_only_buffers(&mut module);
                mend::lanes(&mut module);
                mend::endless_loops(&mut module);
                (module, text)
            }
            Source::Glsl(text) => {
                nesting::check(text, Language::Glsl)?;
                let (mut module, text) = glsl::parse(text)?;
                mend::write_only_buffers(&mut module);
                mend::loads_of_wholes(&mut module);
                (module, text)
            }
            Source::SpirV(bytes) => {
                let (mut module, text) = spirv::parse(bytes)?;
                mend::write_only_buffers(&mut module);
                mend::result_types(&mut module);
                mend::logic_of_vectors(&mut module);
                zeros::spread(&mut module);
                (module, text.into())
            }
        };
        prelude::check_groups(&module, &text, matches!(source, Source::Wgsl(_)))?;
        depth::check(&module, &text)?;
        names::complete(&mut module);
        pointers::specialise(&mut module, &text)?;
        let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
        let info =
            caught(|| validator.validate(&module).map_err(Box::new))?.map_err(
                |e| match source {
                    // There is no source to show.
                    Source::SpirV(_) => ShaderError::invalid(&e, &text, false),
                    _ => ShaderError::invalid(&e, &text, true),
                },
            )?;
        Ok(Read { module, info, text })
    })
}
