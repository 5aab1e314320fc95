//! What a buffer is expected to hold at the end of a plan.

use std::fmt;

use super::mistake::Mistake;
use crate::cli::files::Memory;
use crate::cli::making::fnv1a;
use crate::cli::spec::{self, Source};

/// Expected contents.
#[derive(Debug, Clone, PartialEq)]
pub enum Expect {
    /// Those of a file, or that can be made.
    Contents {
        /// From where.
        source: Source,
        /// How far floats may be off.
        within: Option<f64>,
    },
    /// Any with this checksum.
    Checksum(u64),
}

impl Expect {
    /// Reads `fnv1a:HEX` or a SPEC of contents.
    ///
    /// # Errors
    /// When it is neither, or the tolerance makes no sense.
    pub fn parse(text: &str, within: Option<f64>) -> Result<Self, Mistake> {
        if within.is_some_and(|within| !(within >= 0.0 && within.is_finite())) {
            return Err(Mistake::Within);
        }
        if let Some(hex) = text.strip_prefix("fnv1a:") {
            let digits = hex.len() == 16 && hex.bytes().all(|b| b.is_ascii_hexdigit());
            let sum = u64::from_str_radix(hex, 16).ok().filter(|_| digits);
            let sum = sum.ok_or_else(|| Mistake::Checksum(text.to_owned()))?;
            return if within.is_some() {
                Err(Mistake::Within)
            } else {
                Ok(Self::Checksum(sum))
            };
        }
        let source = spec::parse_source(text)?;
        Ok(Self::Contents { source, within })
    }
}

/// How contents differ from what is expected.
#[derive(Debug, PartialEq)]
pub enum Mismatch {
    /// The checksum is another.
    Checksum {
        /// What it is.
        found: u64,
        /// What it should be.
        expected: u64,
    },
    /// Some elements are others.
    Elements {
        /// The first of them.
        index: usize,
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
        /// How many differ.
        differing: usize,
        /// How many there are.
        all: usize,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checksum { found, expected } => {
                write!(
                    f,
                    "its checksum is fnv1a:{found:016x}, not fnv1a:{expected:016x}"
                )
            }
            Self::Elements {
                index,
                found,
                expected,
                differing,
                all,
            } => write!(
                f,
                "element {index} is {found}, not {expected}; {differing} of {all} differ"
            ),
        }
    }
}

/// Compares with a checksum.
pub fn checksum(data: &[u8], expected: u64) -> Result<(), Mismatch> {
    match fnv1a(data) {
        found if found == expected => Ok(()),
        found => Err(Mismatch::Checksum { found, expected }),
    }
}

/// Compares with expected contents of the same size.
pub fn contents(found: &Memory, expected: &Memory, within: Option<f64>) -> Result<(), Mismatch> {
    let layout = expected.layout().or(found.layout());
    let kind = layout.and_then(|layout| layout.wgsl_scalar());
    elements(found.data(), expected.data(), kind, within)
}

fn elements(
    found: &[u8],
    expected: &[u8],
    kind: Option<&str>,
    within: Option<f64>,
) -> Result<(), Mismatch> {
    // Elements of other types are told as the words, or bytes, that they are.
    let width = if found.len().is_multiple_of(4) { 4 } else { 1 };
    let float = |bytes: &[u8]| f64::from(f32::from_bits(word(bytes)));
    let same = |(a, b): (&[u8], &[u8])| match within {
        Some(within) if kind == Some("f32") => a == b || (float(a) - float(b)).abs() <= within,
        _ => a == b,
    };
    let pairs = || found.chunks(width).zip(expected.chunks(width));
    let Some(index) = pairs().position(|pair| !same(pair)) else {
        return Ok(());
    };
    let show = |bytes: &[u8]| match (kind, width) {
        (Some("f32"), 4) => float(bytes).to_string(),
        (Some("i32"), 4) => (word(bytes) as i32).to_string(),
        (Some("u32"), 4) | (_, 1) => word(bytes).to_string(),
        _ => format!("{:#010x}", word(bytes)),
    };
    let at = |all: &[u8]| show(&all[index * width..(index + 1) * width]);
    Err(Mismatch::Elements {
        index,
        found: at(found),
        expected: at(expected),
        differing: pairs().filter(|&pair| !same(pair)).count(),
        all: found.len() / width,
    })
}

/// Up to four bytes, lowest first.
fn word(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .rev()
        .fold(0, |word, byte| word << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_is_read() {
        assert_eq!(
            Expect::parse("fnv1a:00000000000000ff", None).unwrap(),
            Expect::Checksum(255)
        );
        assert!(matches!(
            Expect::parse("zeros:u32:4", Some(0.5)).unwrap(),
            Expect::Contents {
                source: Source::Zeros { bytes: 16, .. },
                within: Some(_)
            }
        ));
        for text in [
            "fnv1a:ff",
            "fnv1a:+0000000000000ff",
            "fnv1a:zzzzzzzzzzzzzzzz",
        ] {
            assert!(
                matches!(Expect::parse(text, None), Err(Mistake::Checksum(_))),
                "{text}"
            );
        }
        assert!(matches!(
            Expect::parse("fnv1a:00000000000000ff", Some(1.0)),
            Err(Mistake::Within)
        ));
        assert!(matches!(
            Expect::parse("zeros:u32:4", Some(-1.0)),
            Err(Mistake::Within)
        ));
        assert!(matches!(
            Expect::parse("nothing", None),
            Err(Mistake::Spec(_))
        ));
    }

    #[test]
    fn the_first_difference_is_told_as_what_it_is() {
        let bytes = |values: &[f32]| bytemuck::cast_slice::<_, u8>(values).to_vec();
        let (a, b) = (bytes(&[1.0, 2.0, 3.5]), bytes(&[1.0, 2.25, 3.0]));
        let told = elements(&a, &b, Some("f32"), None).unwrap_err().to_string();
        assert_eq!(told, "element 1 is 2, not 2.25; 2 of 3 differ");
        let told = elements(&a, &b, Some("f32"), Some(0.25))
            .unwrap_err()
            .to_string();
        assert_eq!(told, "element 2 is 3.5, not 3; 1 of 3 differ");
        assert_eq!(elements(&a, &b, Some("f32"), Some(0.5)), Ok(()));
        let nan = bytes(&[f32::NAN, 2.0, 3.5]);
        assert!(elements(&nan, &a, Some("f32"), Some(1e9)).is_err());
        assert_eq!(elements(b"abc", b"abc", None, None), Ok(()));
        let told = elements(b"abc", b"abd", None, None)
            .unwrap_err()
            .to_string();
        assert_eq!(told, "element 2 is 99, not 100; 1 of 3 differ");
        assert!(checksum(b"a", 0xaf63_dc4c_8601_ec8c).is_ok());
        assert!(checksum(b"b", 0xaf63_dc4c_8601_ec8c).is_err());
    }
}
