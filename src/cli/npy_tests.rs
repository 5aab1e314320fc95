use super::*;

/// A version 1.0 file as NumPy writes it: the header padded to a multiple of 64 bytes.
fn file(dict: &str, data: &[u8]) -> Vec<u8> {
    let mut text = dict.as_bytes().to_vec();
    while !(10 + text.len() + 1).is_multiple_of(64) {
        text.push(b' ');
    }
    text.push(b'\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text);
    bytes.extend(data);
    bytes
}

fn dict(dtype: &str, fortran: &str, shape: &str) -> String {
    format!("{{'descr': '{dtype}', 'fortran_order': {fortran}, 'shape': {shape}, }}")
}

/// Writes a file for a test and opens it.
fn open(test: &str, bytes: &[u8]) -> Result<NpyFile, NpyError> {
    let path = path(test);
    std::fs::write(&path, bytes).unwrap();
    let opened = NpyFile::open(&path);
    // What was opened stays readable.
    std::fs::remove_file(&path).unwrap();
    opened
}

fn path(test: &str) -> PathBuf {
    std::env::temp_dir().join(format!("gmem-{}-{test}.npy", std::process::id()))
}

#[test]
fn an_array_is_read_and_written_back_byte_for_byte() {
    let data: Vec<u8> = (0..24).collect();
    let whole = file(&dict("<f4", "False", "(2, 3)"), &data);
    let array = open("roundtrip", &whole).unwrap();
    assert_eq!(
        (
            array.layout().dtype().as_str(),
            array.layout().shape(),
            array.layout().bytes()
        ),
        ("<f4", &[2, 3][..], 24)
    );
    assert_eq!(array.layout().wgsl_scalar(), Some("f32"));
    let mut memory = vec![9; 32];
    let layout = array.read_into(&mut memory, &Progress::hidden()).unwrap();
    assert_eq!((&memory[..24], &memory[24..]), (&data[..], &[9; 8][..]));
    let out = path("roundtrip-out");
    write(&out, &layout, &memory, &Progress::hidden()).unwrap();
    let again = NpyFile::open(&out).unwrap();
    assert_eq!(again.layout(), &layout);
    let mut copy = vec![0; 24];
    again.read_into(&mut copy, &Progress::hidden()).unwrap();
    std::fs::remove_file(&out).unwrap();
    assert_eq!(copy, data);
}

#[test]
fn every_number_of_one_to_eight_bytes_is_read() {
    for (dtype, size) in [
        ("|b1", 1),
        ("|u1", 1),
        ("|i1", 1),
        ("<u2", 2),
        ("<i2", 2),
        ("<f2", 2),
        ("<u4", 4),
        ("<i4", 4),
        ("<f4", 4),
        ("<u8", 8),
        ("<i8", 8),
        ("<f8", 8),
        ("<c8", 8),
    ] {
        let array = open(
            "dtypes",
            &file(&dict(dtype, "False", "(3,)"), &vec![0; size * 3]),
        )
        .unwrap();
        assert_eq!(
            (array.layout().bytes(), array.layout().dtype().as_str()),
            (size as u64 * 3, dtype)
        );
    }
    let scalar = open("scalar", &file(&dict("<i4", "False", "()"), &[0; 4])).unwrap();
    assert_eq!(
        (scalar.layout().bytes(), scalar.layout().shape().len()),
        (4, 0)
    );
}

#[test]
fn zeroes_are_written_as_a_list_of_their_type() {
    for (element, name, bytes, dtype) in ELEMENTS {
        assert_eq!(Element::named(name), Some(element));
        let layout = Layout::list(element, 5).unwrap();
        assert_eq!(
            (layout.bytes(), layout.dtype().as_str()),
            (bytes * 5, dtype)
        );
    }
    assert!(Layout::list(Element::F64, u64::MAX).is_err());
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_an_error() {
    let whole = file(&dict("<u4", "False", "(4,)"), &[7; 16]);
    for len in 0..whole.len() {
        let error = open("cut", &whole[..len]).unwrap_err();
        let expected = match len {
            0..8 => matches!(error, NpyError::Magic(_)),
            8..128 => matches!(error, NpyError::Header { .. }),
            _ => matches!(error, NpyError::Stream(StreamError::Truncated { .. })),
        };
        assert!(expected, "{len} bytes: {error}");
    }
    let longer = [&whole[..], &[1]].concat();
    assert!(matches!(
        open("longer", &longer),
        Err(NpyError::Trailing { extra: 1, .. })
    ));
}

#[test]
fn what_is_no_array_of_numbers_is_refused_with_the_reason() {
    assert!(matches!(
        open("text", b"not a numpy file at all"),
        Err(NpyError::Magic(_))
    ));
    for dtype in [
        "|O", ">f4", "<U3", "|S5", "<c16", "<f16", "<M8[s]", "<m8[ns]", "|V4",
    ] {
        let error = open("types", &file(&dict(dtype, "False", "(1,)"), &[0; 16])).unwrap_err();
        assert!(
            matches!(error, NpyError::Dtype { .. } | NpyError::Header { .. }),
            "{dtype}: {error}"
        );
    }
    let record = "{'descr': [('a', '<f4'), ('b', '<i4')], 'fortran_order': False, 'shape': (1,), }";
    assert!(matches!(
        open("record", &file(record, &[0; 8])),
        Err(NpyError::Dtype { .. })
    ));
    let fortran = file(&dict("<f4", "True", "(2, 3)"), &[0; 24]);
    assert!(matches!(
        open("fortran", &fortran),
        Err(NpyError::FortranOrder(_))
    ));
    assert!(
        open("column", &file(&dict("<f4", "True", "(6, 1)"), &[0; 24])).is_ok(),
        "one axis has one order"
    );
    assert!(matches!(
        open("none", &file(&dict("<f4", "False", "(0, 5)"), &[])),
        Err(NpyError::Empty(_))
    ));
}

#[test]
fn a_hostile_header_is_an_error_and_nothing_worse() {
    let deep = format!("{{'descr': {}", "(".repeat(30_000));
    let huge = dict("<f4", "False", "(4294967296, 4294967296, 4294967296)");
    let long_number = dict("<f4", "False", &format!("({},)", "9".repeat(40)));
    let negative = dict("<f4", "False", "(-4,)");
    for dict in [
        deep.as_str(),
        &huge,
        &long_number,
        &negative,
        "",
        "[]",
        "{}",
        "{'descr': 4, 'shape': 5}",
        "\u{ff}",
    ] {
        let error = open("hostile", &file(dict, &[])).unwrap_err();
        assert!(
            matches!(error, NpyError::Header { .. }),
            "{dict:.60}: {error}"
        );
    }
    let mut long = b"\x93NUMPY\x02\x00".to_vec();
    long.extend(u32::MAX.to_le_bytes());
    assert!(matches!(open("long", &long), Err(NpyError::Header { .. })));
    let mut version = file(&dict("<f4", "False", "(1,)"), &[0; 4]);
    version[6] = 9;
    assert!(matches!(
        open("version", &version),
        Err(NpyError::Header { .. })
    ));
}

#[test]
fn memory_smaller_than_the_array_is_refused() {
    let array = open("small", &file(&dict("<u4", "False", "(4,)"), &[7; 16])).unwrap();
    let layout = array.layout().clone();
    assert!(matches!(
        array.read_into(&mut [0; 15], &Progress::hidden()),
        Err(NpyError::Unwritable)
    ));
    assert!(write(&path("small-out"), &layout, &[0; 15], &Progress::hidden()).is_err());
}
