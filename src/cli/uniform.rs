//! Values for uniforms, and how they fill the leaves of a WGSL type.
//!
//! A value is one scalar of 32 bits. A type before values says how they are read, until another type follows:
//! `u32:4096,f32:0.25,1.5`. Where it is the name of a struct, each value is read as the scalar that it comes to fill.

use std::path::PathBuf;

use gmem_hal::counted;

use super::spec::{self, BindingName, SpecError};

/// The scalars that a uniform can be made of here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeafKind {
    /// `u32`
    U32,
    /// `i32`
    I32,
    /// `f32`
    F32,
}

impl LeafKind {
    /// Its name in WGSL.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::F32 => "f32",
        }
    }
}

/// One scalar of a type, in the order of the WGSL text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf {
    /// Its byte offset in the layout.
    pub offset: u32,
    /// What it is.
    pub kind: LeafKind,
}

/// One value as it was written, with its type where that was written too.
#[derive(Debug, Clone, PartialEq)]
pub enum UniformScalar {
    /// An unsigned integer.
    U32(u32),
    /// A signed integer.
    I32(i32),
    /// A float.
    F32(f32),
    /// Whatever the leaf is that it comes to fill.
    Untyped(String),
}

/// Where the bytes of a uniform come from.
#[derive(Debug, Clone, PartialEq)]
pub enum UniformSource {
    /// Scalars, in order.
    Values(Vec<UniformScalar>),
    /// A file with the bytes themselves.
    File(PathBuf),
}

/// `--uniform NAME=TYPE:VALUE,...` or `--uniform NAME=FILE.bin`.
#[derive(Debug, Clone, PartialEq)]
pub struct UniformSpec {
    /// Which binding.
    pub name: BindingName,
    /// What it is to hold.
    pub source: UniformSource,
}

/// Why a uniform cannot be understood or filled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UniformError {
    /// The name, or that there is one.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Neither values nor a file.
    #[error("`{0}` is no uniform: use TYPE:VALUE,... such as u32:4096,2048, or FILE.bin")]
    NoType(String),
    /// A type that values cannot be read as.
    #[error(
        "`{0}` is no type of values: use u32, i32 or f32, a vector or matrix of them, or the name of a struct"
    )]
    Type(String),
    /// A value that is not of its type.
    #[error("`{text}` is no {kind}")]
    Value {
        /// What was written.
        text: String,
        /// What it was to be.
        kind: &'static str,
    },
    /// A vector or matrix with the wrong number of values.
    #[error("{ty} takes {} or a multiple of that, not {got}", counted(*arity as u64, "value"))]
    Arity {
        /// The type.
        ty: String,
        /// Its scalars.
        arity: usize,
        /// The values before the next type.
        got: usize,
    },
    /// The WGSL type has more or fewer scalars.
    #[error("the uniform has {}, and there {} given", counted(*want as u64, "scalar"), match .got {
        1 => "is 1 value".to_owned(),
        got => format!("are {got} values"),
    })]
    Count {
        /// Scalars of the type.
        want: usize,
        /// Values given.
        got: usize,
    },
    /// A value's type is not that of the scalar it fills.
    #[error(
        "value {number} is {got}, and the uniform has {want} there, at byte {offset}: write {want}: before it"
    )]
    Kind {
        /// Which value, from 1.
        number: usize,
        /// Its type.
        got: &'static str,
        /// The scalar's type.
        want: &'static str,
        /// The scalar's place.
        offset: u32,
    },
    /// A scalar lies outside of the type, which only a wrong layout can cause.
    #[error("the scalar at byte {offset} lies outside of the uniform's {}", counted(*total, "byte"))]
    Layout {
        /// The scalar's place.
        offset: u32,
        /// The type's size.
        total: u32,
    },
}

/// How the values after a type are read.
#[derive(Debug, Clone, PartialEq)]
struct Typed {
    text: String,
    /// None for a struct: as the leaf says.
    kind: Option<LeafKind>,
    arity: usize,
}

impl UniformSpec {
    /// Reads `NAME=TYPE:VALUE,...` or `NAME=FILE.bin`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, UniformError> {
        let (name, value) = spec::split_value(text, "NAME=TYPE:VALUE,... or NAME=FILE.bin")?;
        let name = spec::parse_name(name)?;
        // No value ends in .bin, and a path may hold a colon.
        let source = if spec::has_extension(value, "bin") {
            UniformSource::File(PathBuf::from(value))
        } else if value.contains(':') {
            UniformSource::Values(parse_values(value)?)
        } else {
            return Err(UniformError::NoType(value.to_owned()));
        };
        Ok(Self { name, source })
    }
}

impl Typed {
    fn parse(text: &str) -> Result<Self, UniformError> {
        let text = text.trim();
        let bad = || UniformError::Type(text.to_owned());
        let (kind, arity) = if let Some(kind) = scalar(text) {
            (Some(kind), 1)
        } else if let Some((shape, kind)) =
            text.strip_suffix('>').and_then(|text| text.split_once('<'))
        {
            let arity = components(shape.trim()).ok_or_else(bad)?;
            (Some(scalar(kind.trim()).ok_or_else(bad)?), arity)
        } else if let Some((kind, arity)) = shorthand(text) {
            (Some(kind), arity)
        } else if spec::is_identifier(text)
            && !RESERVED.contains(&text)
            && components(text).is_none()
        {
            (None, 1)
        } else {
            return Err(bad());
        };
        Ok(Self {
            text: text.to_owned(),
            kind,
            arity,
        })
    }
}

/// Scalars that WGSL knows and values are not read as: none of them is the name of a struct.
const RESERVED: [&str; 4] = ["f16", "bool", "u64", "i64"];

fn scalar(text: &str) -> Option<LeafKind> {
    match text {
        "u32" => Some(LeafKind::U32),
        "i32" => Some(LeafKind::I32),
        "f32" => Some(LeafKind::F32),
        _ => None,
    }
}

/// Scalars in `vecN` or `matCxR`.
fn components(shape: &str) -> Option<usize> {
    let side = |c: u8| (b'2'..=b'4').contains(&c).then(|| usize::from(c - b'0'));
    match shape.as_bytes() {
        [b'v', b'e', b'c', n] => side(*n),
        [b'm', b'a', b't', columns, b'x', rows] => Some(side(*columns)? * side(*rows)?),
        _ => None,
    }
}

/// `vec3f`, `vec2u`, `mat4x4f`: WGSL's predeclared aliases.
fn shorthand(text: &str) -> Option<(LeafKind, usize)> {
    let kind = match text.as_bytes().last()? {
        b'u' => LeafKind::U32,
        b'i' => LeafKind::I32,
        b'f' => LeafKind::F32,
        _ => return None,
    };
    Some((kind, components(&text[..text.len() - 1])?))
}

fn parse_values(text: &str) -> Result<Vec<UniformScalar>, UniformError> {
    let mut values = Vec::new();
    let mut current: Option<Typed> = None;
    let mut since = 0;
    for part in text.split(',') {
        let value = match part.split_once(':') {
            Some((ty, value)) => {
                whole(current.as_ref(), values.len() - since)?;
                current = Some(Typed::parse(ty)?);
                since = values.len();
                value
            }
            None => part,
        };
        let kind = current.as_ref().and_then(|typed| typed.kind);
        values.push(match kind {
            Some(kind) => read(value, kind)?,
            None if value.trim().is_empty() => {
                return Err(UniformError::Value {
                    text: value.to_owned(),
                    kind: "value",
                });
            }
            None => UniformScalar::Untyped(value.trim().to_owned()),
        });
    }
    whole(current.as_ref(), values.len() - since)?;
    Ok(values)
}

/// Checks that the values after a vector or matrix type fill whole ones.
fn whole(typed: Option<&Typed>, got: usize) -> Result<(), UniformError> {
    match typed {
        Some(typed) if got == 0 || !got.is_multiple_of(typed.arity) => Err(UniformError::Arity {
            ty: typed.text.clone(),
            arity: typed.arity,
            got,
        }),
        _ => Ok(()),
    }
}

fn read(text: &str, kind: LeafKind) -> Result<UniformScalar, UniformError> {
    let text = text.trim();
    let value = match kind {
        LeafKind::U32 => {
            let digits = text.strip_suffix('u').unwrap_or(text);
            let value = match digits.strip_prefix("0x") {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => digits.parse(),
            };
            value.ok().map(UniformScalar::U32)
        }
        LeafKind::I32 => text
            .strip_suffix('i')
            .unwrap_or(text)
            .parse()
            .ok()
            .map(UniformScalar::I32),
        // `inf` ends in an f of its own.
        LeafKind::F32 => text
            .parse()
            .or_else(|_| text.strip_suffix('f').unwrap_or(text).parse())
            .ok()
            .filter(|value: &f32| value.is_finite() || !text.contains(|c: char| c.is_ascii_digit()))
            .map(UniformScalar::F32),
    };
    value.ok_or_else(|| UniformError::Value {
        text: text.to_owned(),
        kind: kind.name(),
    })
}

/// The bytes of a uniform of `total` bytes whose scalars are `leaves`, filled by `values` in order. What lies between is zero.
///
/// # Errors
/// When there are more or fewer values than leaves, or one is of another kind than its leaf.
pub fn fill_leaves(
    leaves: &[Leaf],
    total: u32,
    values: &[UniformScalar],
) -> Result<Vec<u8>, UniformError> {
    if leaves.len() != values.len() {
        return Err(UniformError::Count {
            want: leaves.len(),
            got: values.len(),
        });
    }
    let mut bytes = vec![0; total as usize];
    for (index, (leaf, value)) in leaves.iter().zip(values).enumerate() {
        let typed;
        let value = match value {
            UniformScalar::Untyped(text) => {
                typed = read(text, leaf.kind)?;
                &typed
            }
            value => value,
        };
        let mismatch = |got| UniformError::Kind {
            number: index + 1,
            got,
            want: leaf.kind.name(),
            offset: leaf.offset,
        };
        let scalar = match (value, leaf.kind) {
            (UniformScalar::U32(value), LeafKind::U32) => value.to_le_bytes(),
            (UniformScalar::I32(value), LeafKind::I32) => value.to_le_bytes(),
            (UniformScalar::F32(value), LeafKind::F32) => value.to_le_bytes(),
            (UniformScalar::U32(_), _) => return Err(mismatch("u32")),
            (UniformScalar::I32(_), _) => return Err(mismatch("i32")),
            (UniformScalar::F32(_), _) => return Err(mismatch("f32")),
            (UniformScalar::Untyped(_), _) => return Err(mismatch("untyped")),
        };
        let at = leaf.offset as usize;
        bytes
            .get_mut(at..at.saturating_add(4))
            .ok_or(UniformError::Layout {
                offset: leaf.offset,
                total,
            })?
            .copy_from_slice(&scalar);
    }
    Ok(bytes)
}

#[cfg(test)]
#[path = "uniform_tests.rs"]
mod tests;
