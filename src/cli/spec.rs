//! What `gmem run` is told to bind: names of bindings, where their contents come from and go to, and override values.

use std::fmt;
use std::path::{Path, PathBuf};

use super::npy::Element;
use super::size::{self, SizeError};

/// A binding, by the name of its WGSL variable or by its numbers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BindingName {
    /// The variable's name.
    Variable(String),
    /// `@group(group) @binding(binding)`.
    Slot {
        /// The group.
        group: u32,
        /// The binding.
        binding: u32,
    },
}

impl fmt::Display for BindingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => f.write_str(name),
            Self::Slot { group, binding } => write!(f, "{group}.{binding}"),
        }
    }
}

/// Where the first contents of a binding come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A NumPy array.
    Npy(PathBuf),
    /// The bytes of a file.
    Bin(PathBuf),
    /// Zeroes.
    Zeros {
        /// How many bytes.
        bytes: u64,
        /// Of which elements, where it was said, and how many of them.
        element: Option<(Element, u64)>,
    },
    /// Generated elements.
    Made {
        /// How they are made.
        how: Made,
        /// What they are.
        element: Element,
        /// How many.
        count: u64,
    },
}

/// How elements are generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// By the seed, and the name of what they fill: floats from 0 to 1, integers of any value.
    Random,
    /// 0, 1, 2 and so on.
    Range,
}

impl Made {
    /// The word that asks for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Range => "range",
        }
    }
}

/// `--bind NAME=SPEC`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindSpec {
    /// Which binding.
    pub name: BindingName,
    /// What is in it at first.
    pub source: Source,
    /// Where its contents go at last.
    pub out: Option<PathBuf>,
}

/// `--override NAME=VALUE`.
#[derive(Debug, Clone, PartialEq)]
pub struct OverrideSpec {
    /// The constant's name, or its `@id`.
    pub name: String,
    /// Its value; true is 1 and false is 0.
    pub value: f64,
}

/// Why a binding or an override cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// There is no `=`.
    #[error("`{text}` gives no value: write {form}")]
    NoValue {
        /// What was written.
        text: String,
        /// How it should look.
        form: &'static str,
    },
    /// The left side is no name.
    #[error("`{0}` is no binding: give the name of a WGSL variable, or GROUP.BINDING such as 0.2")]
    Name(String),
    /// The right side is neither a file nor something that can be made.
    #[error(
        "`{0}` is nothing to bind: use FILE.npy, FILE.bin, zeros:SIZE, zeros:TYPE:COUNT, random:TYPE:COUNT or range:TYPE:COUNT, followed by ,out=FILE if wanted"
    )]
    Source(String),
    /// The size of zeroes is wrong.
    #[error(transparent)]
    Size(#[from] SizeError),
    /// The element type of zeroes is unknown.
    #[error("`{0}` is no element type: use u8, i8, u16, i16, f16, u32, i32, f32, u64, i64 or f64")]
    Element(String),
    /// The number of zero elements is wrong.
    #[error("`{0}` is no number of elements: give at least 1, and less than 2^64 bytes in all")]
    Count(String),
    /// Elements that cannot be generated.
    #[error("elements of type f16 cannot be made here: bind a file, or zeros")]
    NotMade,
    /// The output is no file that can be written.
    #[error("`{0}` is no output: use out=FILE.npy or out=FILE.bin")]
    Output(String),
    /// An array file is wanted of bytes without a type.
    #[error(
        "{0:?} needs an element type, and the input has none: bind zeros:TYPE:COUNT or a .npy file, or write a .bin file"
    )]
    Untyped(PathBuf),
    /// An override is neither a number nor a truth value.
    #[error("`{0}` is no value of a constant: use a finite number, true or false")]
    Override(String),
}

/// Reads the name of a binding.
///
/// # Errors
/// When it is neither an identifier nor two numbers.
pub fn parse_name(text: &str) -> Result<BindingName, SpecError> {
    let text = text.trim();
    if let Some((group, binding)) = text.split_once('.')
        && let (Ok(group), Ok(binding)) = (group.parse(), binding.parse())
    {
        return Ok(BindingName::Slot { group, binding });
    }
    if is_identifier(text) {
        Ok(BindingName::Variable(text.to_owned()))
    } else {
        Err(SpecError::Name(text.to_owned()))
    }
}

/// Whether a text could be the name of something in WGSL.
#[must_use]
pub fn is_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || c == '_')
        && text != "_"
}

/// Splits `NAME=VALUE`.
///
/// # Errors
/// When there is no `=`, or nothing behind it.
pub fn split_value<'a>(text: &'a str, form: &'static str) -> Result<(&'a str, &'a str), SpecError> {
    match text.split_once('=') {
        Some((name, value)) if !value.trim().is_empty() => Ok((name.trim(), value.trim())),
        _ => Err(SpecError::NoValue {
            text: text.to_owned(),
            form,
        }),
    }
}

/// Reads `NAME=SPEC`.
///
/// # Errors
/// When either side is not understood.
pub fn parse_bind(text: &str) -> Result<BindSpec, SpecError> {
    let (name, spec) = split_value(text, "NAME=FILE.npy, NAME=FILE.bin or NAME=zeros:SIZE")?;
    let name = parse_name(name)?;
    // The last one counts: a file's name may hold a comma.
    let (source, out) = match spec.rfind(",out=") {
        Some(at) => (&spec[..at], Some(&spec[at + ",out=".len()..])),
        None => (spec, None),
    };
    bind(name, parse_source(source)?, out)
}

/// Contents of a binding, and where they go.
///
/// # Errors
/// When that is no file that they can go to.
pub fn bind(name: BindingName, source: Source, out: Option<&str>) -> Result<BindSpec, SpecError> {
    let out = match out {
        None => None,
        Some(out) if has_extension(out, "npy") => {
            let typed = matches!(
                source,
                Source::Npy(_)
                    | Source::Made { .. }
                    | Source::Zeros {
                        element: Some(_),
                        ..
                    }
            );
            if !typed {
                return Err(SpecError::Untyped(PathBuf::from(out)));
            }
            Some(PathBuf::from(out))
        }
        Some(out) if has_extension(out, "bin") => Some(PathBuf::from(out)),
        Some(out) => return Err(SpecError::Output(out.to_owned())),
    };
    Ok(BindSpec { name, source, out })
}

/// Reads what contents come from: a file, or what is made.
///
/// # Errors
/// When it is neither.
pub fn parse_source(text: &str) -> Result<Source, SpecError> {
    for (prefix, how) in [("random:", Made::Random), ("range:", Made::Range)] {
        if let Some(elements) = text.strip_prefix(prefix) {
            let Some((element, count)) = elements.split_once(':') else {
                return Err(SpecError::Source(text.to_owned()));
            };
            let (element, count, _) = parse_elements(element, count)?;
            if element == Element::F16 {
                return Err(SpecError::NotMade);
            }
            return Ok(Source::Made {
                how,
                element,
                count,
            });
        }
    }
    let Some(zeros) = text.strip_prefix("zeros:") else {
        return if has_extension(text, "npy") {
            Ok(Source::Npy(PathBuf::from(text)))
        } else if has_extension(text, "bin") {
            Ok(Source::Bin(PathBuf::from(text)))
        } else {
            Err(SpecError::Source(text.to_owned()))
        };
    };
    let Some((element, count)) = zeros.split_once(':') else {
        return Ok(Source::Zeros {
            bytes: size::parse_nonzero(zeros)?,
            element: None,
        });
    };
    let (element, number, bytes) = parse_elements(element, count)?;
    Ok(Source::Zeros {
        bytes,
        element: Some((element, number)),
    })
}

/// An element type, a number of them, and their bytes.
fn parse_elements(element: &str, count: &str) -> Result<(Element, u64, u64), SpecError> {
    let element = Element::named(element).ok_or_else(|| SpecError::Element(element.to_owned()))?;
    let number: u64 = count
        .trim()
        .parse()
        .map_err(|_| SpecError::Count(count.to_owned()))?;
    match number.checked_mul(element.bytes()) {
        None | Some(0) => Err(SpecError::Count(count.to_owned())),
        Some(bytes) => Ok((element, number, bytes)),
    }
}

/// Whether a file's name ends in an extension, in either case.
#[must_use]
pub fn has_extension(path: impl AsRef<Path>, extension: &str) -> bool {
    path.as_ref()
        .extension()
        .is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

/// Reads `NAME=VALUE` of a pipeline-overridable constant.
///
/// # Errors
/// When either side is not understood.
pub fn parse_override(text: &str) -> Result<OverrideSpec, SpecError> {
    let (name, value) = split_value(text, "NAME=NUMBER, NAME=true or NAME=false")?;
    if !is_identifier(name) && name.parse::<u16>().is_err() {
        return Err(SpecError::Name(name.to_owned()));
    }
    let value = match value {
        "true" => 1.0,
        "false" => 0.0,
        hex if hex.starts_with("0x") => u32::from_str_radix(&hex[2..], 16)
            .map_err(|_| SpecError::Override(hex.to_owned()))?
            .into(),
        number => number
            .parse()
            .ok()
            .filter(|value: &f64| value.is_finite())
            .ok_or_else(|| SpecError::Override(number.to_owned()))?,
    };
    Ok(OverrideSpec {
        name: name.to_owned(),
        value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name: &str) -> BindingName {
        BindingName::Variable(name.to_owned())
    }

    #[test]
    fn sources_and_outputs_are_read() {
        let bind = parse_bind("src=dir/a,b.npy").unwrap();
        assert_eq!(
            bind,
            BindSpec {
                name: variable("src"),
                source: Source::Npy("dir/a,b.npy".into()),
                out: None
            }
        );
        let bind = parse_bind("0.2=a.BIN,out=b.bin").unwrap();
        assert_eq!(
            bind.name,
            BindingName::Slot {
                group: 0,
                binding: 2
            }
        );
        assert_eq!(
            (bind.source, bind.out),
            (Source::Bin("a.BIN".into()), Some("b.bin".into()))
        );
        let bind = parse_bind("x=zeros:64MiB").unwrap();
        assert_eq!(
            bind.source,
            Source::Zeros {
                bytes: 64 << 20,
                element: None
            }
        );
        let bind = parse_bind("x=zeros:f32:1000000,out=x.npy").unwrap();
        assert_eq!(
            bind.source,
            Source::Zeros {
                bytes: 4_000_000,
                element: Some((Element::F32, 1_000_000))
            }
        );
        assert_eq!(bind.out, Some("x.npy".into()));
        let bind = parse_bind("x=range:i64:7,out=x.npy").unwrap();
        assert_eq!(
            bind.source,
            Source::Made {
                how: Made::Range,
                element: Element::I64,
                count: 7
            }
        );
        let bind = parse_bind("x=a,out=with.npy,out=b.bin").unwrap();
        assert_eq!(
            bind.out,
            Some("b.bin".into()),
            "the last output counts: {:?}",
            bind.source
        );
    }

    #[test]
    fn what_cannot_be_bound_is_refused_with_the_reason() {
        let error = |text: &str| parse_bind(text).unwrap_err();
        assert!(matches!(error("x"), SpecError::NoValue { .. }));
        assert!(matches!(error("x="), SpecError::NoValue { .. }));
        for name in [
            "=a.bin",
            "1x=a.bin",
            "a b=a.bin",
            "0.=a.bin",
            "0.-1=a.bin",
            "_=a.bin",
            "0.1.2=a.bin",
        ] {
            assert!(
                matches!(error(name), SpecError::Name(_) | SpecError::NoValue { .. }),
                "{name}"
            );
        }
        for source in ["x=a.txt", "x=npy", "x=zero:5", "x=.npy"] {
            assert!(
                matches!(error(source), SpecError::Source(_)),
                "{source}: {:?}",
                error(source)
            );
        }
        assert!(matches!(error("x=zeros:"), SpecError::Size(_)));
        assert!(matches!(
            error("x=zeros:0"),
            SpecError::Size(SizeError::Zero)
        ));
        assert!(matches!(error("x=zeros:f33:5"), SpecError::Element(_)));
        assert!(matches!(error("x=random:5"), SpecError::Source(_)));
        assert!(matches!(error("x=range:f33:5"), SpecError::Element(_)));
        assert!(matches!(error("x=random:u32:0"), SpecError::Count(_)));
        assert!(matches!(error("x=range:f16:5"), SpecError::NotMade));
        for count in [
            "x=zeros:f32:0",
            "x=zeros:f32:-1",
            "x=zeros:f32:1K",
            "x=zeros:f64:18446744073709551615",
        ] {
            assert!(matches!(error(count), SpecError::Count(_)), "{count}");
        }
        assert!(matches!(error("x=a.npy,out=b.txt"), SpecError::Output(_)));
        assert!(matches!(error("x=a.npy,out="), SpecError::Output(_)));
        assert!(matches!(error("x=a.bin,out=b.npy"), SpecError::Untyped(_)));
        assert!(matches!(
            error("x=zeros:1K,out=b.npy"),
            SpecError::Untyped(_)
        ));
    }

    #[test]
    fn overrides_are_numbers_or_truth_values() {
        for (text, name, value) in [
            ("N=4", "N", 4.0),
            ("scale=-0.5e3", "scale", -500.0),
            ("7=true", "7", 1.0),
            ("on=false", "on", 0.0),
            ("mask=0xff", "mask", 255.0),
        ] {
            assert_eq!(
                parse_override(text),
                Ok(OverrideSpec {
                    name: name.to_owned(),
                    value
                }),
                "{text}"
            );
        }
        for text in [
            "N", "N=", "N=four", "N=inf", "N=nan", "N=0x", "=4", "a-b=4", "N=TRUE",
        ] {
            assert!(parse_override(text).is_err(), "{text}");
        }
    }
}
