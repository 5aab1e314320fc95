//! Sizes in bytes, as people write and read them.
//!
//! `K`, `M`, `G`, `T` and `KiB`, `MiB`, `GiB`, `TiB` are powers of 1024; `KB`, `MB`, `GB`, `TB` are powers of 1000;
//! a number alone is bytes. Letters may be of either case. A fraction is allowed and the result is rounded down to a whole byte.

/// Why a text is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Nothing there, or no digits.
    #[error("`{0}` does not begin with a number: write for example 64MiB, 1.5GiB or 65536")]
    NoNumber(String),
    /// What follows the number is not a unit.
    #[error(
        "`{unit}` is not a unit of size: use B, K, M, G, T (powers of 1024, also KiB to TiB) or KB, MB, GB, TB (powers of 1000)"
    )]
    UnknownUnit {
        /// What was written.
        unit: String,
    },
    /// More than 2^64 - 1 bytes.
    #[error("`{0}` is more bytes than 64 bits can count")]
    TooLarge(String),
    /// A size of zero where something is to be held.
    #[error("a size of zero holds nothing: give at least one byte")]
    Zero,
}

const UNITS: [(&str, u64); 14] = [
    ("", 1),
    ("b", 1),
    ("k", 1 << 10),
    ("kib", 1 << 10),
    ("kb", 1_000),
    ("m", 1 << 20),
    ("mib", 1 << 20),
    ("mb", 1_000_000),
    ("g", 1 << 30),
    ("gib", 1 << 30),
    ("gb", 1_000_000_000),
    ("t", 1 << 40),
    ("tib", 1 << 40),
    ("tb", 1_000_000_000_000),
];

/// Reads a size in bytes.
///
/// # Errors
/// When the text is not a number with a unit, or too large.
pub fn parse(text: &str) -> Result<u64, SizeError> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return Err(SizeError::NoNumber(text.to_owned()));
    }
    let lower = unit.to_ascii_lowercase();
    let scale = UNITS
        .iter()
        .find(|(name, _)| *name == lower)
        .map(|(_, scale)| u128::from(*scale))
        .ok_or_else(|| SizeError::UnknownUnit {
            unit: unit.to_owned(),
        })?;
    let too_large = || SizeError::TooLarge(text.to_owned());
    let whole: u128 = if whole.is_empty() {
        0
    } else {
        whole.parse().map_err(|_| too_large())?
    };
    let mut bytes = whole.checked_mul(scale).ok_or_else(too_large)?;
    // Sixteen digits resolve a byte of a tebibyte; the rest cannot matter, and would overflow.
    let fraction = &fraction[..fraction.len().min(16)];
    if !fraction.is_empty() {
        let digits: u128 = fraction.parse().map_err(|_| too_large())?;
        bytes += digits * scale / 10_u128.pow(fraction.len() as u32);
    }
    u64::try_from(bytes).map_err(|_| too_large())
}

/// Reads a size of at least one byte.
///
/// # Errors
/// As [`parse`], and [`SizeError::Zero`].
pub fn parse_nonzero(text: &str) -> Result<u64, SizeError> {
    match parse(text)? {
        0 => Err(SizeError::Zero),
        bytes => Ok(bytes),
    }
}

/// A size for people: whole where it is whole in its unit (`64 MiB`), else with one decimal (`85.3 MiB`).
#[must_use]
pub fn show(bytes: u64) -> String {
    let units = [
        (1_u64 << 40, "TiB"),
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
    ];
    for (scale, unit) in units {
        if bytes < scale {
            continue;
        }
        return if bytes.is_multiple_of(scale) {
            format!("{} {unit}", bytes / scale)
        } else if bytes as f64 / scale as f64 >= 1023.95 && scale < 1 << 40 {
            // It would be rounded to 1024.0 of this unit.
            let next = units.iter().rev().find(|(larger, _)| *larger > scale);
            format!("1.0 {}", next.map_or(unit, |(_, unit)| unit))
        } else {
            format!("{:.1} {unit}", bytes as f64 / scale as f64)
        };
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_binary_and_decimal_units() {
        for (text, bytes) in [
            ("65536", 65_536),
            ("0", 0),
            ("64MiB", 64 << 20),
            ("64M", 64 << 20),
            ("64m", 64 << 20),
            (" 64 mib ", 64 << 20),
            ("1GiB", 1 << 30),
            ("1.5GiB", 3 << 29),
            (".5K", 512),
            ("2.K", 2048),
            ("1KB", 1000),
            ("3TB", 3_000_000_000_000),
            ("7B", 7),
            ("0.1KiB", 102),
            ("0.33333333333333333333333333T", 366_503_875_925),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_size_is_refused_with_the_reason() {
        for text in ["", "MiB", "-5", ".", "1.2.3K", "x64"] {
            assert!(
                matches!(parse(text), Err(SizeError::NoNumber(_))),
                "{text}: {:?}",
                parse(text)
            );
        }
        for text in ["64MiBs", "64 bits", "1e6", "5Q", "64M iB"] {
            assert!(
                matches!(parse(text), Err(SizeError::UnknownUnit { .. })),
                "{text}: {:?}",
                parse(text)
            );
        }
        for text in [
            "18446744073709551616",
            "16777216T",
            "99999999999999999999999999999999999999999999T",
        ] {
            assert!(
                matches!(parse(text), Err(SizeError::TooLarge(_))),
                "{text}: {:?}",
                parse(text)
            );
        }
        assert_eq!(parse_nonzero("0K"), Err(SizeError::Zero));
        assert_eq!(parse_nonzero("1"), Ok(1));
    }

    #[test]
    fn sizes_are_shown_in_the_largest_unit_they_fill() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (64 << 20, "64 MiB"),
            (89_478_485, "85.3 MiB"),
            ((1 << 20) - 4, "1.0 MiB"),
            ((1 << 30) - 4, "1.0 GiB"),
            (1 << 40, "1 TiB"),
        ] {
            assert_eq!(show(bytes), text);
        }
    }
}
