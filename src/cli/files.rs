//! What `gmem run` binds: memory filled from files, with zeroes or with generated elements, and written back where that was asked for.

use std::fs::File;
use std::path::{Path, PathBuf};

use gmem::{Gmem, Vector};

use super::Failure;
use super::making::Making;
use super::npy::{self, Layout, NpyError, NpyFile};
use super::progress::Progress;
use super::size;
use super::spec::{BindSpec, Source, has_extension};
use super::stream::{self, StreamError};

/// An output that cannot be where it is to go.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// There is no such folder.
    #[error("{0:?} cannot be written: its folder does not exist")]
    NoFolder(PathBuf),
    /// There is a folder of that name.
    #[error("{0:?} cannot be written: it is a folder, name a file in it")]
    Folder(PathBuf),
}

/// An input that is open; nothing of its data has been read.
#[derive(Debug)]
pub struct Input {
    from: From,
    /// Bytes of data.
    bytes: u64,
    /// What the data are, where that is known.
    layout: Option<Layout>,
}

#[derive(Debug)]
enum From {
    Npy(NpyFile),
    Bin(PathBuf, File),
    Zeros,
    Made(Making),
}

impl Input {
    /// Opens what a binding names, and looks where its output is to go. `seed` is that of generated data.
    ///
    /// # Errors
    /// With bad arguments when there is no such file or folder; else when the file cannot be bound.
    pub fn open(spec: &BindSpec, seed: u64) -> Result<Self, Failure> {
        if let Some(out) = &spec.out {
            check_output(out)?;
        }
        Ok(match &spec.source {
            Source::Npy(path) => {
                let file = NpyFile::open(path).map_err(|error| match error {
                    NpyError::Stream(missing @ StreamError::Io { .. }) => {
                        Failure::arguments(missing)
                    }
                    other => Failure::run(other),
                })?;
                let layout = file.layout().clone();
                Self {
                    bytes: layout.bytes(),
                    from: From::Npy(file),
                    layout: Some(layout),
                }
            }
            Source::Bin(path) => {
                let (file, bytes) = stream::open_bin(path).map_err(Failure::arguments)?;
                Self {
                    from: From::Bin(path.clone(), file),
                    bytes,
                    layout: None,
                }
            }
            Source::Zeros { bytes, element } => {
                let layout = element
                    .map(|(element, count)| Layout::list(element, count))
                    .transpose()?;
                Self {
                    from: From::Zeros,
                    bytes: *bytes,
                    layout,
                }
            }
            Source::Made {
                how,
                element,
                count,
            } => {
                let layout = Layout::list(*element, *count)?;
                Self {
                    bytes: layout.bytes(),
                    from: From::Made(Making::new(*how, *element, seed, &spec.name)),
                    layout: Some(layout),
                }
            }
        })
    }

    /// What the data are, where that is known.
    #[must_use]
    pub const fn layout(&self) -> Option<&Layout> {
        self.layout.as_ref()
    }

    /// Bytes of data.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that are read from a file.
    #[must_use]
    pub const fn bytes_to_read(&self) -> u64 {
        match self.from {
            From::Zeros | From::Made(_) => 0,
            From::Npy(_) | From::Bin(..) => self.bytes,
        }
    }

    /// Makes memory and fills it. It ends with a whole word: what a file lacks to that is zero.
    ///
    /// # Errors
    /// When there is no room, or the file cannot be read.
    pub fn load(self, gm: &Gmem, progress: &Progress) -> Result<Memory, Failure> {
        let Self {
            from,
            bytes,
            layout,
        } = self;
        let whole = bytes
            .checked_next_multiple_of(4)
            .and_then(|whole| usize::try_from(whole).ok());
        let mut memory = gm.alloc::<u8>(whole.unwrap_or(usize::MAX))?;
        match from {
            From::Npy(file) => {
                file.read_into(&mut memory, progress)?;
            }
            From::Bin(path, mut file) => {
                stream::fill(&path, &mut file, &mut memory[..bytes as usize], progress)?
            }
            From::Zeros => {}
            From::Made(making) => making.fill(&mut memory[..bytes as usize]),
        }
        Ok(Memory {
            memory,
            bytes,
            layout,
        })
    }
}

/// Memory of a binding.
#[derive(Debug)]
pub struct Memory {
    /// The memory: the data and, to a whole word, zeroes.
    pub memory: Vector<u8>,
    bytes: u64,
    layout: Option<Layout>,
}

impl Memory {
    /// The data.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.memory[..self.bytes as usize]
    }

    /// What the data are, where that is known.
    #[must_use]
    pub const fn layout(&self) -> Option<&Layout> {
        self.layout.as_ref()
    }

    /// Writes the data to a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        let progress = Progress::start(&format!("writing {}", path.display()), self.bytes);
        match &self.layout {
            Some(layout) if has_extension(path, "npy") => {
                npy::write(path, layout, &self.memory, &progress)?
            }
            _ => stream::write_bin(path, &self.memory[..self.bytes as usize], &progress)?,
        }
        Ok(())
    }

    /// What was written, in words.
    #[must_use]
    pub fn describe(&self, path: &Path) -> String {
        match &self.layout {
            Some(layout) if has_extension(path, "npy") => {
                let shape: Vec<String> = layout.shape().iter().map(u64::to_string).collect();
                format!("{} of {}", layout.dtype(), shape.join(" x "))
            }
            _ => size::show(self.bytes),
        }
    }
}

/// A long run is not worth a result that has nowhere to go.
///
/// # Errors
/// With bad arguments, when the file's folder is missing or the file is a folder itself.
pub fn check_output(file: &Path) -> Result<(), Failure> {
    let ends_as_folder = file.to_string_lossy().ends_with(std::path::is_separator);
    let error = match file.parent() {
        _ if ends_as_folder || file.is_dir() => OutputError::Folder(file.to_owned()),
        Some(folder) if folder != Path::new("") && !folder.is_dir() => {
            OutputError::NoFolder(file.to_owned())
        }
        _ => return Ok(()),
    };
    Err(Failure::arguments(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::spec::parse_bind;

    fn status(spec: &str) -> Option<u8> {
        Input::open(&parse_bind(spec).unwrap(), 0)
            .err()
            .map(|failure| failure.report())
    }

    #[test]
    fn a_file_that_is_not_there_is_a_bad_argument_and_a_bad_file_a_failed_run() {
        assert_eq!(status("x=/no/such/file.bin"), Some(2));
        assert_eq!(status("x=/no/such/file.npy"), Some(2));
        assert_eq!(status("x=zeros:4,out=/no/such/folder/file.bin"), Some(2));
        let folder = std::env::temp_dir().join(format!("gmem-{}-dir.bin", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let out = format!("x=zeros:4,out={}", folder.display());
        assert_eq!(status(&out), Some(2), "a folder");
        std::fs::remove_dir(&folder).unwrap();
        assert_eq!(status(&out), None, "no folder any more");
        assert_eq!(status(&format!("{out}/")), Some(2), "a folder by its name");
        let path = std::env::temp_dir().join(format!("gmem-{}-bad.npy", std::process::id()));
        std::fs::write(&path, b"no array").unwrap();
        assert_eq!(status(&format!("x={}", path.display())), Some(1));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(status("x=zeros:f32:5,out=here.npy"), None);
    }
}
