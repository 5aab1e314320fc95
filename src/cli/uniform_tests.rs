use super::*;

fn values(text: &str) -> Result<Vec<UniformScalar>, UniformError> {
    match UniformSpec::parse(&format!("p={text}"))?.source {
        UniformSource::Values(values) => Ok(values),
        UniformSource::File(path) => panic!("a file: {path:?}"),
    }
}

fn leaf(offset: u32, kind: LeafKind) -> Leaf {
    Leaf { offset, kind }
}

#[test]
fn values_are_read_by_the_type_before_them() {
    use UniformScalar::{F32, I32, U32, Untyped};
    assert_eq!(values("u32:1,0xff,3u"), Ok(vec![U32(1), U32(255), U32(3)]));
    assert_eq!(values("i32:-5, 7i"), Ok(vec![I32(-5), I32(7)]));
    assert_eq!(
        values("f32:1,2.5f,-1e3,inf"),
        Ok(vec![F32(1.0), F32(2.5), F32(-1e3), F32(f32::INFINITY)])
    );
    assert_eq!(
        values("u32:4,f32:0.5,1"),
        Ok(vec![U32(4), F32(0.5), F32(1.0)])
    );
    assert_eq!(values("vec2<f32>:1,2"), Ok(vec![F32(1.0), F32(2.0)]));
    assert_eq!(values("vec3u:1,2,3,4,5,6").unwrap().len(), 6);
    assert_eq!(values("mat2x3f:1,2,3,4,5,6").unwrap().len(), 6);
    assert_eq!(values("vec2i:1,2,u32:3"), Ok(vec![I32(1), I32(2), U32(3)]));
    assert_eq!(
        values("Params:1,0.5"),
        Ok(vec![Untyped("1".to_owned()), Untyped("0.5".to_owned())])
    );
}

#[test]
fn a_file_is_named_instead_of_values() {
    for path in ["params.bin", "dir/0.BIN", "C:\\dir\\p.bin"] {
        let spec = UniformSpec::parse(&format!("0.3={path}")).unwrap();
        assert_eq!(spec.source, UniformSource::File(path.into()));
    }
}

#[test]
fn what_is_no_uniform_is_refused_with_the_reason() {
    for text in ["5", "params.txt", "u32"] {
        assert!(
            matches!(values(text), Err(UniformError::NoType(_))),
            "{text}: {:?}",
            values(text)
        );
    }
    for text in [
        "f16:1",
        "bool:true",
        "vec5<f32>:1",
        "vec2<f64>:1,2",
        "vec2:1,2",
        "9x:1",
        ":1",
        "array<u32,2>:1",
    ] {
        assert!(
            matches!(values(text), Err(UniformError::Type(_))),
            "{text}: {:?}",
            values(text)
        );
    }
    for text in [
        "u32:-1",
        "u32:4294967296",
        "u32:1.5",
        "u32:",
        "u32:1,,2",
        "i32:2147483648",
        "f32:x",
        "f32:1e39",
        "P:",
    ] {
        assert!(
            matches!(values(text), Err(UniformError::Value { .. })),
            "{text}: {:?}",
            values(text)
        );
    }
    for text in [
        "vec2<f32>:1",
        "vec3f:1,2,3,4",
        "mat2x2f:1,2,3",
        "vec2f:1,u32:5",
    ] {
        assert!(
            matches!(values(text), Err(UniformError::Arity { .. })),
            "{text}: {:?}",
            values(text)
        );
    }
    assert!(matches!(
        UniformSpec::parse("p"),
        Err(UniformError::Spec(SpecError::NoValue { .. }))
    ));
    assert!(matches!(
        UniformSpec::parse("1p=u32:1"),
        Err(UniformError::Spec(SpecError::Name(_)))
    ));
}

#[test]
fn leaves_are_filled_in_order_at_their_offsets() {
    let leaves = [
        leaf(0, LeafKind::U32),
        leaf(16, LeafKind::F32),
        leaf(20, LeafKind::I32),
    ];
    for text in ["u32:7,f32:1.5,i32:-1", "Params:7,1.5,-1"] {
        let bytes = fill_leaves(&leaves, 32, &values(text).unwrap()).unwrap();
        assert_eq!(bytes.len(), 32);
        assert_eq!(bytes[..4], 7_u32.to_le_bytes());
        assert_eq!(bytes[4..16], [0; 12]);
        assert_eq!(bytes[16..20], 1.5_f32.to_le_bytes());
        assert_eq!(bytes[20..24], (-1_i32).to_le_bytes());
    }
}

#[test]
fn values_that_do_not_fit_the_leaves_are_refused() {
    let leaves = [leaf(0, LeafKind::U32), leaf(4, LeafKind::F32)];
    let fill = |text: &str| fill_leaves(&leaves, 8, &values(text).unwrap());
    assert_eq!(fill("u32:1"), Err(UniformError::Count { want: 2, got: 1 }));
    assert_eq!(
        fill("u32:1,f32:2,3"),
        Err(UniformError::Count { want: 2, got: 3 })
    );
    assert_eq!(
        fill("u32:1,2"),
        Err(UniformError::Kind {
            number: 2,
            got: "u32",
            want: "f32",
            offset: 4
        })
    );
    assert!(matches!(
        fill("Params:-1,2"),
        Err(UniformError::Value { .. })
    ));
    let outside = [leaf(8, LeafKind::U32)];
    assert!(matches!(
        fill_leaves(&outside, 8, &[UniformScalar::U32(1)]),
        Err(UniformError::Layout { .. })
    ));
}
