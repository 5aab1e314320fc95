//! Graphs out of Matrix Market files: an entry (i, j) of the matrix is an edge from node i to node j, whatever its value.
//!
//! Entries are read with the `sprs` crate. The banner and the line of sizes are read here first, because the crate takes
//! them on trust: it would wait forever for sizes that never come, and make room for as many entries as they promise.

use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

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
    #[error("{path:?} ends at line {line}, before the last of {promised} entries: it was cut off")]
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
        "{path:?} goes on after its last entry, at line {line}: its sizes promise {promised} entries"
    )]
    Trailing {
        /// The file.
        path: PathBuf,
        /// Where.
        line: u64,
        /// Entries that the file's sizes promise.
        promised: u64,
    },
    /// Too many nodes or edges, or an entry outside of the matrix.
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
    read_from(path, BufReader::with_capacity(1 << 18, file), len, progress)
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
    Csr::from_edges(nodes, || {
        from.iter()
            .zip(to)
            .map(|(from, to)| (*from as u64, *to as u64))
    })
    .map_err(|source| MtxError::Graph {
        path: path(),
        source,
    })
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
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Csr, MtxError> {
        read_from(
            Path::new("g.mtx"),
            text.as_bytes(),
            text.len() as u64,
            &Progress::hidden(),
        )
    }

    const PATTERN: &str = "%%MatrixMarket matrix coordinate pattern general\n";

    #[test]
    fn entries_are_edges_from_row_to_column_whatever_their_values() {
        let expected = Csr::from_edges(3, || [(0, 1), (2, 1), (1, 2)].into_iter()).unwrap();
        for text in [
            "%%MatrixMarket matrix coordinate pattern general\n3 3 3\n1 2\n3 2\n2 3\n",
            "%%MatrixMarket matrix coordinate real general\n% a comment\n%\n\n3 3 3\n1 2 0.5\n3 2 -1e3\n\n2 3 7",
            "%%matrixmarket MATRIX Coordinate Integer General\r\n3 3 3\r\n1 2 5\r\n3 2 -1\r\n2 3 7\r\n\r\n",
        ] {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn a_symmetric_matrix_has_its_edges_both_ways_and_its_diagonal_once() {
        let text = "%%MatrixMarket matrix coordinate pattern symmetric\n3 3 2\n2 1\n3 3\n";
        let expected = Csr::from_edges(3, || [(1, 0), (0, 1), (2, 2)].into_iter()).unwrap();
        assert_eq!(parse(text).unwrap(), expected);
    }

    #[test]
    fn a_file_that_is_cut_off_anywhere_is_an_error_with_its_line() {
        let whole = format!("{PATTERN}3 3 3\n1 2\n3 2\n2 3\n");
        // Without the end of its last line it is still whole.
        for len in 0..whole.len() - 2 {
            assert!(parse(&whole[..len]).is_err(), "{len} bytes");
        }
        assert!(parse(&whole[..whole.len() - 1]).is_ok());
        let error = parse(&format!(
            "{PATTERN}3 3 9\n1 2\n3 2\n1 1\n1 1\n1 1\n1 1\n1 1\n1 1\n"
        ))
        .unwrap_err();
        assert!(
            matches!(
                error,
                MtxError::Truncated {
                    line: 10,
                    promised: 9,
                    ..
                }
            ),
            "{error}"
        );
        let error = parse(&format!("{PATTERN}3 3 {}\n1 2\n", u64::MAX)).unwrap_err();
        assert!(
            matches!(
                error,
                MtxError::Truncated {
                    promised: u64::MAX,
                    ..
                }
            ),
            "{error}"
        );
        assert!(matches!(parse(PATTERN), Err(MtxError::Sizes { .. })));
    }

    #[test]
    fn what_is_no_graph_is_refused_with_the_reason() {
        assert!(matches!(parse("from,to\n1,2\n"), Err(MtxError::Banner(_))));
        assert!(matches!(parse(""), Err(MtxError::Banner(_))));
        for (sort, word) in [
            ("array real general", "array"),
            ("coordinate complex general", "complex"),
            ("coordinate real hermitian", "hermitian"),
            ("coordinate pattern", "coordinate pattern"),
        ] {
            let error = parse(&format!("%%MatrixMarket matrix {sort}\n1 1 0\n")).unwrap_err();
            assert!(
                matches!(&error, MtxError::Sort { found, .. } if found == word),
                "{error}"
            );
        }
        assert!(matches!(
            parse(&format!("{PATTERN}3 3\n")),
            Err(MtxError::Sizes { line: 2, .. })
        ));
        assert!(matches!(
            parse(&format!("{PATTERN}3 x 1\n1 1\n")),
            Err(MtxError::Sizes { .. })
        ));
        assert!(matches!(
            parse(&format!("{PATTERN}3 2 1\n1 1\n")),
            Err(MtxError::NotSquare { .. })
        ));
        assert!(matches!(
            parse(&format!("{PATTERN}0 0 0\n")),
            Err(MtxError::Graph {
                source: CsrError::NoNodes,
                ..
            })
        ));
    }

    #[test]
    fn an_entry_that_is_wrong_is_found() {
        for entry in [
            "0 1",
            "1 0",
            "x 1",
            "1",
            "1 -2",
            "1 2 3",
            "99999999999999999999 1",
        ] {
            let error = parse(&format!("{PATTERN}3 3 3\n1 2\n{entry}\n2 3\n")).unwrap_err();
            assert!(
                matches!(error, MtxError::Entry { line: 4, .. }),
                "{entry}: {error}"
            );
        }
        for entry in ["4 1", "1 4", "4294967297 1"] {
            let error = parse(&format!("{PATTERN}3 3 3\n1 2\n{entry}\n2 3\n")).unwrap_err();
            assert!(
                matches!(
                    error,
                    MtxError::Graph {
                        source: CsrError::OutOfRange { .. },
                        ..
                    }
                ),
                "{entry}: {error}"
            );
        }
        let error = parse(&format!("{PATTERN}3 3 1\n1 2\n\n2 3\n")).unwrap_err();
        assert!(
            matches!(
                error,
                MtxError::Trailing {
                    line: 5,
                    promised: 1,
                    ..
                }
            ),
            "{error}"
        );
        let error = parse("%%MatrixMarket matrix coordinate real general\n3 3 2\n1 2 1.0\n2 3\n")
            .unwrap_err();
        assert!(matches!(error, MtxError::Entry { line: 4, .. }), "{error}");
    }

    #[test]
    fn bytes_that_are_no_text_are_an_error() {
        let bytes = [PATTERN.as_bytes(), b"3 3 1\n\xff\xfe\n"].concat();
        let error = read_from(
            Path::new("g.mtx"),
            bytes.as_slice(),
            bytes.len() as u64,
            &Progress::hidden(),
        );
        assert!(error.is_err());
    }
}
