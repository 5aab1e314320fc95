//! Bytes between files and memory, a piece at a time.
//!
//! The memory may be a page's user mapping: a system call on a page that is not there fails instead of fetching it, so
//! pieces pass through a small buffer and the memory is touched by loads and stores alone. No second copy of the data is ever held.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use gmem_hal::counted;

use super::progress::Progress;

/// Bytes in a piece.
const PIECE: usize = 1 << 20;

/// Why bytes could not be moved.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// A file could not be opened, read or written.
    #[error("{path:?}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file ended before its data did.
    #[error("{path:?} ends after {found} of {} of data: it was cut off", counted(*expected, "byte"))]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes of data that there should be.
        expected: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// A file has nothing in it.
    #[error("{0:?} is empty: there is nothing to bind")]
    Empty(PathBuf),
}

impl StreamError {
    /// The system's word on a file.
    pub fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

/// Opens a file and says how long it is.
///
/// # Errors
/// When it cannot be opened, or is a directory.
pub fn open(path: &Path) -> Result<(File, u64), StreamError> {
    let file = File::open(path).map_err(|e| StreamError::io(path, e))?;
    let data = file.metadata().map_err(|e| StreamError::io(path, e))?;
    if data.is_dir() {
        return Err(StreamError::io(path, io::ErrorKind::IsADirectory.into()));
    }
    Ok((file, data.len()))
}

/// Opens a file of bytes that is not empty.
///
/// # Errors
/// As [`open`], and [`StreamError::Empty`].
pub fn open_bin(path: &Path) -> Result<(File, u64), StreamError> {
    match open(path)? {
        (_, 0) => Err(StreamError::Empty(path.to_owned())),
        opened => Ok(opened),
    }
}

/// Fills memory from a file.
///
/// # Errors
/// When the file ends first, or cannot be read; the memory then holds part of it.
pub fn fill(
    path: &Path,
    from: &mut impl Read,
    memory: &mut [u8],
    progress: &Progress,
) -> Result<(), StreamError> {
    let expected = memory.len() as u64;
    let mut found = 0;
    pieces(path, from, expected, progress, |piece| {
        memory[found..found + piece.len()].copy_from_slice(piece);
        found += piece.len();
    })
}

/// Calls `use_piece` on `expected` bytes of a file, piece after piece.
///
/// # Errors
/// When the file ends first, or cannot be read.
pub fn pieces(
    path: &Path,
    from: &mut impl Read,
    expected: u64,
    progress: &Progress,
    mut use_piece: impl FnMut(&[u8]),
) -> Result<(), StreamError> {
    let mut buffer = vec![0; PIECE.min(usize::try_from(expected).unwrap_or(PIECE))];
    let mut found = 0;
    while found < expected {
        let room = buffer
            .len()
            .min(usize::try_from(expected - found).unwrap_or(usize::MAX));
        match from.read(&mut buffer[..room]) {
            Ok(0) => {
                return Err(StreamError::Truncated {
                    path: path.to_owned(),
                    expected,
                    found,
                });
            }
            Ok(read) => {
                use_piece(&buffer[..read]);
                found += read as u64;
                progress.advance(read as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(StreamError::io(path, error)),
        }
    }
    Ok(())
}

/// Writes memory to a file that is open.
///
/// # Errors
/// When the file cannot be written.
pub fn drain(
    path: &Path,
    to: &mut impl Write,
    memory: &[u8],
    progress: &Progress,
) -> Result<(), StreamError> {
    let mut buffer = vec![0; PIECE.min(memory.len())];
    for piece in memory.chunks(PIECE) {
        let copy = &mut buffer[..piece.len()];
        copy.copy_from_slice(piece);
        to.write_all(copy).map_err(|e| StreamError::io(path, e))?;
        progress.advance(piece.len() as u64);
    }
    to.flush().map_err(|e| StreamError::io(path, e))
}

/// Writes memory to a new file, as it is.
///
/// # Errors
/// When the file cannot be created or written.
pub fn write_bin(path: &Path, memory: &[u8], progress: &Progress) -> Result<(), StreamError> {
    let mut file = File::create(path).map_err(|e| StreamError::io(path, e))?;
    drain(path, &mut file, memory, progress)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> &'static Path {
        Path::new("a.bin")
    }

    /// Gives a few bytes at a time, and an interruption now and then.
    struct Dribble<'a>(&'a [u8], usize);

    impl Read for Dribble<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.1 += 1;
            if self.1.is_multiple_of(3) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let n = into.len().min(self.0.len()).min(7);
            into[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    #[test]
    fn memory_is_filled_whatever_the_pieces() {
        let data: Vec<u8> = (0..100).collect();
        let mut memory = vec![0; 100];
        fill(
            path(),
            &mut Dribble(&data, 0),
            &mut memory,
            &Progress::hidden(),
        )
        .unwrap();
        assert_eq!(memory, data);
        let data: Vec<u8> = (0..PIECE * 2 + 5).map(|i| (i % 251) as u8).collect();
        let mut memory = vec![0; data.len()];
        fill(
            path(),
            &mut data.as_slice(),
            &mut memory,
            &Progress::hidden(),
        )
        .unwrap();
        assert!(memory == data);
        let mut out = Vec::new();
        drain(path(), &mut out, &memory, &Progress::hidden()).unwrap();
        assert!(out == data);
    }

    #[test]
    fn a_file_that_ends_early_is_truncated_and_says_where() {
        let mut memory = vec![0; 100];
        let error = fill(
            path(),
            &mut [1_u8; 60].as_slice(),
            &mut memory,
            &Progress::hidden(),
        )
        .unwrap_err();
        assert!(
            matches!(
                error,
                StreamError::Truncated {
                    expected: 100,
                    found: 60,
                    ..
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn a_missing_file_and_a_directory_are_named() {
        let error = open(Path::new("/does/not/exist.bin")).unwrap_err();
        assert!(error.to_string().contains("exist.bin"), "{error}");
        assert!(matches!(
            open(&std::env::temp_dir()),
            Err(StreamError::Io { .. })
        ));
    }
}
