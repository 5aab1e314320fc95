//! Graphs out of Matrix Market files: an entry (i, j) of the matrix is an edge from node i to node j, whatever its value.
//!
//! Entries are read with the `sprs` crate. The banner and the line of sizes are read here first, because the crate takes
//! them on trust: it would wait forever for sizes that never come, and make room for as many entries as they promise.

use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use gmem_hal::counted;
use sprs::io::IoError;
use sprs::num_kinds::Pattern;

use super::csr::{Csr, CsrError};
use super::progress::Progress;
use super::stream::{self, StreamError};

/// Why a file is no graph.
#[derive(Debug, thiserror::Error)]
pub enum MtxError {
    /// Opening or reading.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The first line is not Matrix Market's.
    #[error("{0:?} is no Matrix Market file: it does not begin with `%%MatrixMarket matrix`")]
    Banner(PathBuf),
    /// A Matrix Market file of another sort.
    #[error(
        "{path:?} holds a matrix that is `{found}`: a graph is coordinate; pattern, integer or real; general or symmetric"
    )]
    Sort {
        /// The file.
        path: PathBuf,
        /// The word of its banner that is not understood.
        found: String,
    },
    /// The line of sizes makes no sense.
    #[error("{path:?} has no line of rows, columns and entries where it should, at line {line}")]
    Sizes {
        /// The file.
        path: PathBuf,
        /// Where.
        line: u64,
    },
    /// The matrix has more rows than columns, or fewer.
    #[error("{path:?} holds a matrix of {rows} by {columns}: a graph has as many rows as columns")]
    NotSquare {
        /// The file.
        path: PathBuf,
        /// Its rows.
        rows: u64,
        /// Its columns.
        columns: u64,
    },
    /// The file ends before its last entry.
    #[error("{path:?} ends at line {line}, before the last of {}: it was cut off", entries(*promised))]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Where.
        line: u64,
        /// Entries that the file's sizes promise.
        promised: u64,
    },
    /// A line is no entry.
    #[error(
        "{path:?} has no entry at line {line}: give row, column and, unless it is a pattern, a value, counted from 1"
    )]
    Entry {
        /// The file.
        path: PathBuf,
        /// Where.
        line: u64,
    },
    /// There is more than was promised.
    #[error(
        "{path:?} goes on after its last entry, at line {line}: its sizes promise {}",
        entries(*promised)
    )]
    Trailing {
        /// The file.
        path: PathBuf,
        /// Where.
        line: u64,
        /// Entries that the file's sizes promise.
        promised: u64,
    },
    /// An entry lies outside of the matrix.
    #[error(
        "{path:?}{}: entry {entry} is at row {row} and column {column}, and the matrix has {nodes} of each, counted from 1",
        match .line {
            Some(line) => format!(", line {line}"),
            None => String::new(),
        }
    )]
    Outside {
        /// The file.
        path: PathBuf,
        /// Where, as far as the file could be read again.
        line: Option<u64>,
        /// Which of the file's entries, from 1.
        entry: u64,
        /// Its row, from 1.
        row: u64,
        /// Its column, from 1.
        column: u64,
        /// Rows and columns that there are.
        nodes: u64,
    },
    /// No nodes, or too many of them or of edges.
    #[error("{path:?}: {source}")]
    Graph {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CsrError,
    },
}

/// Reads the graph in a file.
///
/// # Errors
/// When it is no square sparse matrix, or does not hold what it promises.
pub fn read(path: &Path, progress: &Progress) -> Result<Csr, MtxError> {
    let (file, len) = stream::open(path)?;
    let mut graph = read_from(path, BufReader::with_capacity(1 << 18, file), len, progress);
    if let Err(MtxError::Outside { line, entry, .. }) = &mut graph
        && let Ok((file, _)) = stream::open(path)
    {
        *line = line_of_entry(BufReader::new(file), *entry);
    }
    graph
}

fn entries(count: u64) -> String {
    counted(count, "entry")
}

/// The line of an entry, both from 1. The crate that reads entries keeps no lines: they are counted again.
fn line_of_entry(reader: impl BufRead, entry: u64) -> Option<u64> {
    let mut said = 0_u64;
    for (line, text) in (1..).zip(reader.split(b'\n')) {
        let text = text.ok()?;
        if text.starts_with(b"%") || text.trim_ascii().is_empty() {
            continue;
        }
        // The first of them are the sizes.
        if said == entry {
            return Some(line);
        }
        said += 1;
    }
    None
}

/// Reads a graph of at most `len` bytes; `path` is for messages.
fn read_from(
    path: &Path,
    reader: impl BufRead,
    len: u64,
    progress: &Progress,
) -> Result<Csr, MtxError> {
    let mut reader = Counted {
        inner: reader,
        lines: 0,
        ended: false,
        progress,
    };
    let banner = read_banner(path, &mut reader)?;
    let (nodes, promised) = read_sizes(path, &mut reader)?;
    // The shortest entry is `1 1` and the end of its line, which the last may lack.
    if promised > (len + 1) / 4 {
        let line = reader.lines;
        return Err(MtxError::Truncated {
            path: path.to_owned(),
            line,
            promised,
        });
    }
    // As large a matrix as can be: the crate asserts what is checked below, with a better message.
    let header = format!("{banner}\n{0} {0} {promised}\n", usize::MAX);
    let mut whole = Cursor::new(header.into_bytes()).chain(&mut reader);
    let matrix = sprs::io::read_matrix_market_from_bufread::<Pattern, usize, _>(&mut whole);
    let line = reader.lines;
    let path = || path.to_owned();
    let matrix = matrix.map_err(|error| match error {
        IoError::Io(error) => MtxError::Stream(StreamError::Io {
            path: path(),
            source: error,
        }),
        _ if reader.ended => MtxError::Truncated {
            path: path(),
            line,
            promised,
        },
        _ => MtxError::Entry { path: path(), line },
    })?;
    only_blanks(&path(), &mut reader, promised)?;
    let (from, to) = (matrix.row_inds(), matrix.col_inds());
    let edges = || {
        from.iter()
            .zip(to)
            .map(|(from, to)| (*from as u64, *to as u64))
    };
    Csr::from_edges(nodes, edges).map_err(|source| match source {
        CsrError::OutOfRange { .. } => {
            let (entry, (row, column)) = outside(edges(), banner.ends_with("symmetric"), nodes);
            MtxError::Outside {
                path: path(),
                line: None,
                entry,
                row,
                column,
                nodes,
            }
        }
        source => MtxError::Graph {
            path: path(),
            source,
        },
    })
}

/// The first entry that is outside, with its row and column, all from 1. In a symmetric matrix each entry off the
/// diagonal is followed by its mirror image, which the file does not have.
fn outside(
    mut edges: impl Iterator<Item = (u64, u64)>,
    symmetric: bool,
    nodes: u64,
) -> (u64, (u64, u64)) {
    let mut entry = 0;
    while let Some((from, to)) = edges.next() {
        entry += 1;
        if from >= nodes || to >= nodes {
            return (entry, (from.saturating_add(1), to.saturating_add(1)));
        }
        if symmetric && from != to {
            edges.next();
        }
    }
    (entry, (nodes, nodes))
}

/// Reads the first line, and gives it back in the crate's words.
fn read_banner(path: &Path, reader: &mut impl BufRead) -> Result<String, MtxError> {
    // A banner is short; a binary file's first line may be all of it.
    let mut line = Vec::new();
    reader
        .take(1024)
        .read_until(b'\n', &mut line)
        .map_err(|e| StreamError::io(path, e))?;
    let line = String::from_utf8_lossy(&line).to_ascii_lowercase();
    let words: Vec<&str> = line.split_whitespace().collect();
    let ["%%matrixmarket", "matrix", sort @ ..] = words.as_slice() else {
        return Err(MtxError::Banner(path.to_owned()));
    };
    let wrong = |found: &str| MtxError::Sort {
        path: path.to_owned(),
        found: found.to_owned(),
    };
    let [layout, values, symmetry] = sort else {
        return Err(wrong(&sort.join(" ")));
    };
    let known = [
        (layout, &["coordinate"][..]),
        (values, &["pattern", "integer", "real"]),
        (symmetry, &["general", "symmetric"]),
    ];
    match known.iter().find(|(word, known)| !known.contains(word)) {
        Some((word, _)) => Err(wrong(word)),
        None => Ok(format!(
            "%%MatrixMarket matrix {layout} {values} {symmetry}"
        )),
    }
}

/// Reads the line of sizes behind comments and blank lines: nodes and entries.
fn read_sizes<R: BufRead>(
    path: &Path,
    reader: &mut Counted<'_, R>,
) -> Result<(u64, u64), MtxError> {
    let mut line = String::new();
    loop {
        line.clear();
        let read = reader
            .read_line(&mut line)
            .map_err(|e| StreamError::io(path, e))?;
        if read == 0 || !(line.starts_with('%') || line.trim().is_empty()) {
            break;
        }
    }
    let sizes: Vec<Option<u64>> = line
        .split_whitespace()
        .map(|word| word.parse().ok())
        .collect();
    let [Some(rows), Some(columns), Some(entries)] = sizes[..] else {
        return Err(MtxError::Sizes {
            path: path.to_owned(),
            line: reader.lines,
        });
    };
    if rows != columns {
        return Err(MtxError::NotSquare {
            path: path.to_owned(),
            rows,
            columns,
        });
    }
    Ok((rows, entries))
}

fn only_blanks<R: BufRead>(
    path: &Path,
    reader: &mut Counted<'_, R>,
    promised: u64,
) -> Result<(), MtxError> {
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.read_until(b'\n', &mut line) {
            Ok(0) => return Ok(()),
            Ok(_) if line.trim_ascii().is_empty() => {}
            Ok(_) => {
                return Err(MtxError::Trailing {
                    path: path.to_owned(),
                    line: reader.lines,
                    promised,
                });
            }
            Err(error) => return Err(StreamError::io(path, error).into()),
        }
    }
}

/// Counts lines on their way, so that an error can say where it is.
struct Counted<'a, R> {
    inner: R,
    lines: u64,
    ended: bool,
    progress: &'a Progress,
}

impl<R: BufRead> BufRead for Counted<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let buffer = self.inner.fill_buf()?;
        self.ended = buffer.is_empty();
        Ok(buffer)
    }

    fn consume(&mut self, amount: usize) {
        // What is consumed was filled before, so this neither reads nor fails.
        if let Ok(buffer) = self.inner.fill_buf() {
            let consumed = &buffer[..amount.min(buffer.len())];
            self.lines += consumed.iter().filter(|byte| **byte == b'\n').count() as u64;
        }
        self.progress.advance(amount as u64);
        self.inner.consume(amount);
    }
}

impl<R: BufRead> Read for Counted<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut buffer = self.fill_buf()?;
        let read = buffer.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

#[cfg(test)]
#[path = "mtx_tests.rs"]
mod tests;
