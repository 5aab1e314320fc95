//! Good and bad Matrix Market files.

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
    for (wrong, at) in [
        ("4 1", (4, 1)),
        ("1 4", (1, 4)),
        ("4294967297 1", (4_294_967_297, 1)),
    ] {
        let error = parse(&format!("{PATTERN}3 3 3\n1 2\n{wrong}\n2 3\n")).unwrap_err();
        assert!(
            matches!(error, MtxError::Outside { entry: 2, row, column, nodes: 3, .. }
                if (row, column) == at),
            "{wrong}: {error}"
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
    let error =
        parse("%%MatrixMarket matrix coordinate real general\n3 3 2\n1 2 1.0\n2 3\n").unwrap_err();
    assert!(matches!(error, MtxError::Entry { line: 4, .. }), "{error}");
}

#[test]
fn an_entry_outside_of_the_matrix_is_told_with_its_line_in_the_file() {
    let path = std::env::temp_dir().join(format!("gmem-{}-far.mtx", std::process::id()));
    for (text, words) in [
        (
            "%%MatrixMarket matrix coordinate pattern general\n% from 1\n\n3 3 3\n1 2\n\n3 4\n2 3\n",
            "line 7: entry 2 is at row 3 and column 4, and the matrix has 3 of each",
        ),
        // Mirror images are no entries of the file.
        (
            "%%MatrixMarket matrix coordinate real symmetric\n3 3 4\n2 1 1.0\n3 3 1.0\n3 2 1.0\n4 1 1.0\n",
            "line 6: entry 4 is at row 4 and column 1",
        ),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = read(&path, &Progress::hidden()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn one_is_singular() {
    let error = parse(&format!("{PATTERN}3 3 1\n1 2\n2 3\n")).unwrap_err();
    assert!(error.to_string().ends_with("promise 1 entry"), "{error}");
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
