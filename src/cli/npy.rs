//! NumPy arrays: what a `.npy` file says of its data, its data streamed into memory, and memory written back with the same type and shape.
//!
//! The header is read with the `npyz` crate, behind checks that keep a hostile header from costing memory, stack or an overflow.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use gmem_hal::counted;
use npyz::{DType, Endianness, NpyHeader, Order, TypeChar, TypeStr, WriterBuilder as _};

use super::progress::Progress;
use super::stream::{self, StreamError};

/// Bytes in the longest header that is read: NumPy's own are under a hundred, and its limit is 10,000.
const LONGEST_HEADER: u64 = 1 << 16;
/// Brackets inside brackets in a header: plain arrays have one inside another.
const DEEPEST_HEADER: usize = 8;

/// Elements that `zeros:TYPE:COUNT` can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// Unsigned, 1 byte.
    U8,
    /// Signed, 1 byte.
    I8,
    /// Unsigned, 2 bytes.
    U16,
    /// Signed, 2 bytes.
    I16,
    /// Float, 2 bytes.
    F16,
    /// Unsigned, 4 bytes.
    U32,
    /// Signed, 4 bytes.
    I32,
    /// Float, 4 bytes.
    F32,
    /// Unsigned, 8 bytes.
    U64,
    /// Signed, 8 bytes.
    I64,
    /// Float, 8 bytes.
    F64,
}

/// Names, bytes and NumPy type strings of all elements.
const ELEMENTS: [(Element, &str, u64, &str); 11] = [
    (Element::U8, "u8", 1, "|u1"),
    (Element::I8, "i8", 1, "|i1"),
    (Element::U16, "u16", 2, "<u2"),
    (Element::I16, "i16", 2, "<i2"),
    (Element::F16, "f16", 2, "<f2"),
    (Element::U32, "u32", 4, "<u4"),
    (Element::I32, "i32", 4, "<i4"),
    (Element::F32, "f32", 4, "<f4"),
    (Element::U64, "u64", 8, "<u8"),
    (Element::I64, "i64", 8, "<i8"),
    (Element::F64, "f64", 8, "<f8"),
];

impl Element {
    /// The element of a name such as `f32`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        ELEMENTS.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// Bytes in one.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        ELEMENTS[self as usize].2
    }

    const fn type_string(self) -> &'static str {
        ELEMENTS[self as usize].3
    }
}

/// What an array is made of, in NumPy's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    dtype: TypeStr,
    shape: Vec<u64>,
    bytes: u64,
}

impl Layout {
    /// A plain list of elements.
    ///
    /// # Errors
    /// When it would have 2^64 bytes or more.
    pub fn list(element: Element, count: u64) -> Result<Self, NpyError> {
        let dtype = element
            .type_string()
            .parse()
            .map_err(|_| NpyError::Unwritable)?;
        let bytes = count
            .checked_mul(element.bytes())
            .ok_or(NpyError::Unwritable)?;
        Ok(Self {
            dtype,
            shape: vec![count],
            bytes,
        })
    }

    /// NumPy's name of the element type, such as `<f4`.
    #[must_use]
    pub fn dtype(&self) -> String {
        self.dtype.to_string()
    }

    /// Elements along each axis.
    #[must_use]
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// Bytes of data.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether its elements are single bytes: memory as it is, whatever a kernel makes of it.
    #[must_use]
    pub fn is_bytes(&self) -> bool {
        self.dtype.size_field() == 1
    }

    /// The scalar that WGSL would call this element, where it has one: `f32`, `u32`, `i32`, `f16`.
    #[must_use]
    pub fn wgsl_scalar(&self) -> Option<&'static str> {
        match (self.dtype.type_char(), self.dtype.size_field()) {
            (TypeChar::Float, 4) => Some("f32"),
            (TypeChar::Float, 2) => Some("f16"),
            (TypeChar::Uint, 4) => Some("u32"),
            (TypeChar::Int, 4) => Some("i32"),
            _ => None,
        }
    }
}

/// Why a file is no array of numbers, or could not be moved.
#[derive(Debug, thiserror::Error)]
pub enum NpyError {
    /// Opening, reading, writing, or a file that was cut off in its data.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The file does not begin as a .npy file does.
    #[error("{0:?} is no .npy file: it does not begin with NumPy's mark")]
    Magic(PathBuf),
    /// The header is cut off, or makes no sense.
    #[error("{path:?} has a header that cannot be read: {reason}")]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The elements are not numbers of 1 to 8 bytes.
    #[error(
        "{path:?} holds elements of type {dtype}: only little-endian numbers of 1 to 8 bytes can be bound"
    )]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The type, in NumPy's words.
        dtype: String,
    },
    /// The array is stored column by column.
    #[error("{0:?} is in Fortran order: save numpy.ascontiguousarray(...) of it")]
    FortranOrder(PathBuf),
    /// The array has no elements.
    #[error("{0:?} holds no elements: there is nothing to bind")]
    Empty(PathBuf),
    /// There is more behind the data.
    #[error("{path:?} has {} after its data: it is not one array", counted(*extra, "byte"))]
    Trailing {
        /// The file.
        path: PathBuf,
        /// How many.
        extra: u64,
    },
    /// A layout that no file can have.
    #[error("an array of that type and size cannot be written")]
    Unwritable,
}

/// A .npy file whose header was read: its data comes next.
#[derive(Debug)]
pub struct NpyFile {
    path: PathBuf,
    file: File,
    layout: Layout,
}

impl NpyFile {
    /// Opens a file and reads its header. That all of its data is there is checked now, before memory is made for it.
    ///
    /// # Errors
    /// When it is no array of numbers in C order.
    pub fn open(path: &Path) -> Result<Self, NpyError> {
        let (mut file, len) = stream::open(path)?;
        let regular = file.metadata().is_ok_and(|data| data.is_file());
        let (layout, header) = read_header(path, &mut file)?;
        if regular {
            let found = len.saturating_sub(header);
            if found < layout.bytes {
                let path = path.to_owned();
                return Err(StreamError::Truncated {
                    path,
                    expected: layout.bytes,
                    found,
                }
                .into());
            }
            if found > layout.bytes {
                return Err(NpyError::Trailing {
                    path: path.to_owned(),
                    extra: found - layout.bytes,
                });
            }
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            layout,
        })
    }

    /// What is in it.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Streams the data into memory of [`Layout::bytes`] bytes; more memory than that keeps what it had behind them.
    ///
    /// # Errors
    /// When the file cannot be read, or is cut off.
    pub fn read_into(mut self, memory: &mut [u8], progress: &Progress) -> Result<Layout, NpyError> {
        let bytes = usize::try_from(self.layout.bytes).map_err(|_| NpyError::Unwritable)?;
        let memory = memory.get_mut(..bytes).ok_or(NpyError::Unwritable)?;
        stream::fill(&self.path, &mut self.file, memory, progress)?;
        Ok(self.layout)
    }
}

/// Reads a header; also says how many bytes it took.
fn read_header(path: &Path, file: &mut impl Read) -> Result<(Layout, u64), NpyError> {
    let bad = |reason: &str| NpyError::Header {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    let mut start = Vec::new();
    let take = |file: &mut dyn Read, bytes: u64, start: &mut Vec<u8>| -> Result<bool, NpyError> {
        let read = file
            .take(bytes)
            .read_to_end(start)
            .map_err(|e| StreamError::io(path, e))?;
        Ok(read as u64 == bytes)
    };
    if !take(file, 8, &mut start)? || !start.starts_with(b"\x93NUMPY") {
        return Err(NpyError::Magic(path.to_owned()));
    }
    let width = if start[6] == 1 { 2 } else { 4 };
    if !take(file, width, &mut start)? {
        return Err(bad("it is cut off"));
    }
    let length = start[8..]
        .iter()
        .rev()
        .fold(0, |length, byte| length << 8 | u64::from(*byte));
    if length > LONGEST_HEADER {
        return Err(bad("it is too long for a plain array"));
    }
    if !take(file, length, &mut start)? {
        return Err(bad("it is cut off"));
    }
    if let Some(reason) = hostile(&start[8 + width as usize..]) {
        return Err(bad(reason));
    }
    let taken = start.len() as u64;
    let header = NpyHeader::from_reader(Cursor::new(start)).map_err(|e| bad(&e.to_string()))?;
    Ok((layout_of(path, &header)?, taken))
}

/// What in a header's text must not reach its parser: nesting that would exhaust the stack, and dimensions whose product overflows.
fn hostile(text: &[u8]) -> Option<&'static str> {
    let mut depth = 0_usize;
    for byte in text {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST_HEADER {
            return Some("it is nested too deeply");
        }
    }
    let mut product = 1_u64;
    for digits in text
        .split(|byte| !byte.is_ascii_digit())
        .filter(|digits| !digits.is_empty())
    {
        let number = std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.parse::<u64>().ok());
        match number.and_then(|number| product.checked_mul(number.max(1))) {
            Some(next) => product = next,
            None => return Some("its shape is larger than any file"),
        }
    }
    None
}

fn layout_of(path: &Path, header: &NpyHeader) -> Result<Layout, NpyError> {
    let wrong = |dtype: String| NpyError::Dtype {
        path: path.to_owned(),
        dtype,
    };
    let dtype = match header.dtype() {
        DType::Plain(dtype) => dtype,
        other => return Err(wrong(other.descr())),
    };
    let kind = dtype.type_char();
    let number = matches!(
        kind,
        TypeChar::Bool | TypeChar::Int | TypeChar::Uint | TypeChar::Float | TypeChar::Complex
    );
    let size = dtype
        .num_bytes()
        .filter(|size| matches!(size, 1 | 2 | 4 | 8))
        .map(|size| size as u64);
    let (true, Some(size)) = (number && (dtype.endianness() != Endianness::Big), size) else {
        return Err(wrong(dtype.to_string()));
    };
    let shape = header.shape().to_vec();
    let count = shape
        .iter()
        .try_fold(1_u64, |count, side| count.checked_mul(*side));
    let Some(bytes) = count.and_then(|count| count.checked_mul(size)) else {
        return Err(NpyError::Header {
            path: path.to_owned(),
            reason: "its shape is larger than any file".to_owned(),
        });
    };
    if bytes == 0 {
        return Err(NpyError::Empty(path.to_owned()));
    }
    if header.order() == Order::Fortran && shape.iter().filter(|side| **side > 1).count() > 1 {
        return Err(NpyError::FortranOrder(path.to_owned()));
    }
    Ok(Layout {
        dtype,
        shape,
        bytes,
    })
}

/// Writes memory as an array of a layout; memory behind its bytes is left out.
///
/// # Errors
/// When the file cannot be written, or the memory is smaller than the layout.
pub fn write(
    path: &Path,
    layout: &Layout,
    memory: &[u8],
    progress: &Progress,
) -> Result<(), NpyError> {
    let bytes = usize::try_from(layout.bytes).map_err(|_| NpyError::Unwritable)?;
    let memory = memory.get(..bytes).ok_or(NpyError::Unwritable)?;
    let file = File::create(path).map_err(|e| StreamError::io(path, e))?;
    let mut file = npyz::WriteOptions::new_header_only()
        .dtype(DType::Plain(layout.dtype.clone()))
        .shape(&layout.shape)
        .writer(file)
        .write_header_only()
        .map_err(|e| StreamError::io(path, e))?;
    Ok(stream::drain(path, &mut file, memory, progress)?)
}

#[cfg(test)]
#[path = "npy_tests.rs"]
mod tests;
