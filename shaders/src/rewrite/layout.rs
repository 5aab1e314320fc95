//! Types as leaves: where the leaves of a type lie, and which leaves a chain of accesses reaches.
//!
//! A *leaf* is what is loaded or stored as one value: a scalar, an atomic or a vector. A *shape* is the type at some
//! point of a chain; matrix columns and vector components have no handle of their own in the IR.

use naga::{Handle, Module, Scalar, Type, TypeInner, VectorSize};

use crate::reflect::column_stride;

/// A whole load or store of more leaves than this is made by loops over its parts.
pub(super) const MANY_LEAVES: u64 = 256;

/// The type of a place in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Scalar(Scalar),
    Atomic(Scalar),
    Vector(VectorSize, Scalar),
    /// A matrix, an array or a struct.
    Whole(Handle<Type>),
}

/// A leaf of a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    /// Bytes from the start of the whole.
    pub(super) offset: u32,
    pub(super) scalar: Scalar,
    /// Components; `None` for a scalar.
    pub(super) size: Option<VectorSize>,
    pub(super) atomic: bool,
}

impl Leaf {
    /// A vector by itself.
    pub(super) fn vector(size: VectorSize, scalar: Scalar) -> Self {
        Self {
            offset: 0,
            scalar,
            size: Some(size),
            atomic: false,
        }
    }

    pub(super) fn components(self) -> u32 {
        self.size.map_or(1, |s| s as u32)
    }

    pub(super) fn bytes(self) -> u32 {
        self.components() * u32::from(self.scalar.width)
    }
}

impl Shape {
    pub(super) fn of(module: &Module, ty: Handle<Type>) -> Self {
        match module.types[ty].inner {
            TypeInner::Scalar(scalar) => Self::Scalar(scalar),
            TypeInner::Atomic(scalar) => Self::Atomic(scalar),
            TypeInner::Vector { size, scalar } => Self::Vector(size, scalar),
            _ => Self::Whole(ty),
        }
    }

    /// The leaves in memory order, or why they cannot be listed.
    pub(super) fn leaves(self, module: &Module) -> Result<Vec<Leaf>, String> {
        let mut out = Vec::new();
        self.collect(module, 0, &mut out)?;
        Ok(out)
    }

    fn collect(self, module: &Module, offset: u32, out: &mut Vec<Leaf>) -> Result<(), String> {
        let mut leaf = |offset: u32, scalar: Scalar, size, atomic| {
            out.push(Leaf {
                offset,
                scalar,
                size,
                atomic,
            });
        };
        match self {
            Self::Scalar(scalar) => leaf(offset, scalar, None, false),
            Self::Atomic(scalar) => leaf(offset, scalar, None, true),
            Self::Vector(size, scalar) => leaf(offset, scalar, Some(size), false),
            Self::Whole(ty) => match module.types[ty].inner {
                TypeInner::Matrix {
                    columns,
                    rows,
                    scalar,
                } => {
                    for c in 0..columns as u32 {
                        let column = offset + c * column_stride(rows, scalar);
                        leaf(column, scalar, Some(rows), false);
                    }
                }
                TypeInner::Array { base, size, stride } => {
                    let Ok(naga::proc::IndexableLength::Known(n)) = size.resolve(module.to_ctx())
                    else {
                        return Err("a whole load or store of a runtime-sized array".to_owned());
                    };
                    for i in 0..n {
                        Self::of(module, base).collect(module, offset + i * stride, out)?;
                    }
                }
                TypeInner::Struct { ref members, .. } => {
                    for member in members {
                        Self::of(module, member.ty).collect(module, offset + member.offset, out)?;
                    }
                }
                _ => return Err("a type that is not host-shareable in storage".to_owned()),
            },
        }
        Ok(())
    }

    /// How many leaves there are, without listing them.
    pub(super) fn leaf_count(self, module: &Module) -> u64 {
        let Self::Whole(ty) = self else { return 1 };
        match module.types[ty].inner {
            TypeInner::Matrix { columns, .. } => columns as u64,
            TypeInner::Array { base, size, .. } => match size.resolve(module.to_ctx()) {
                Ok(naga::proc::IndexableLength::Known(n)) => {
                    Self::of(module, base).leaf_count(module) * u64::from(n)
                }
                _ => 0,
            },
            TypeInner::Struct { ref members, .. } => members
                .iter()
                .map(|m| Self::of(module, m.ty).leaf_count(module))
                .sum(),
            _ => 0,
        }
    }

    /// Calls `f` on one leaf of each kind that there is, so that no long array is walked.
    pub(super) fn each_kind(self, module: &Module, f: &mut impl FnMut(Leaf)) -> Result<(), String> {
        match self {
            Self::Whole(ty) => match module.types[ty].inner {
                TypeInner::Array {
                    size: naga::ArraySize::Dynamic,
                    ..
                } => Err("a whole load or store of a runtime-sized array".to_owned()),
                TypeInner::Array { base, .. } => Self::of(module, base).each_kind(module, f),
                TypeInner::Struct { ref members, .. } => members
                    .iter()
                    .try_for_each(|m| Self::of(module, m.ty).each_kind(module, f)),
                _ => self.leaves(module).map(|all| all.into_iter().for_each(f)),
            },
            _ => self.leaves(module).map(|all| all.into_iter().for_each(f)),
        }
    }

    /// The bytes from the first leaf's first to the last leaf's last.
    pub(super) fn span(self, module: &Module) -> u32 {
        match self {
            Self::Scalar(scalar) | Self::Atomic(scalar) => scalar.width.into(),
            Self::Vector(size, scalar) => size as u32 * u32::from(scalar.width),
            Self::Whole(ty) => module.types[ty].inner.size(module.to_ctx()),
        }
    }

    /// The parts one level down, as `AccessIndex` numbers them: empty for leaves.
    pub(super) fn parts(self, module: &Module) -> Vec<Self> {
        let Self::Whole(ty) = self else {
            return Vec::new();
        };
        match module.types[ty].inner {
            TypeInner::Matrix {
                columns,
                rows,
                scalar,
            } => vec![Self::Vector(rows, scalar); columns as usize],
            TypeInner::Array { base, size, .. } => match size.resolve(module.to_ctx()) {
                Ok(naga::proc::IndexableLength::Known(n)) => {
                    vec![Self::of(module, base); n as usize]
                }
                _ => Vec::new(),
            },
            TypeInner::Struct { ref members, .. } => {
                members.iter().map(|m| Self::of(module, m.ty)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What indexing the shape by a number that need not be constant gives: the element's shape, the stride in bytes
    /// and the number of elements (`None`: as many as are bound).
    pub(super) fn element(self, module: &Module) -> Option<(Self, u32, Option<u32>)> {
        match self {
            Self::Vector(size, scalar) => Some((
                Self::Scalar(scalar),
                u32::from(scalar.width),
                Some(size as u32),
            )),
            Self::Whole(ty) => match module.types[ty].inner {
                TypeInner::Matrix {
                    columns,
                    rows,
                    scalar,
                } => Some((
                    Self::Vector(rows, scalar),
                    column_stride(rows, scalar),
                    Some(columns as u32),
                )),
                TypeInner::Array { base, size, stride } => {
                    let n = match size.resolve(module.to_ctx()) {
                        Ok(naga::proc::IndexableLength::Known(n)) => Some(n),
                        _ => None,
                    };
                    Some((Self::of(module, base), stride, n))
                }
                _ => None,
            },
            Self::Scalar(_) | Self::Atomic(_) => None,
        }
    }

    /// A struct's member: its shape and its offset in bytes.
    pub(super) fn member(self, module: &Module, index: u32) -> Option<(Self, u32)> {
        let Self::Whole(ty) = self else { return None };
        let TypeInner::Struct { ref members, .. } = module.types[ty].inner else {
            return None;
        };
        members
            .get(index as usize)
            .map(|m| (Self::of(module, m.ty), m.offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The byte offsets of the leaves of the type called `T`, and its stride in an array.
    fn offsets(declarations: &str) -> (Vec<u32>, u32) {
        let source = format!(
            "enable f16;\n{declarations}\n@group(0) @binding(0) var<storage, read_write> a: array<T>;\n\
             @compute @workgroup_size(1) fn main() {{ a[0] = a[1]; }}"
        );
        let module = naga::front::wgsl::parse_str(&source).expect("the type parses");
        let (_, var) = module.global_variables.iter().next().expect("one variable");
        let (element, stride, bound) = Shape::of(&module, var.ty)
            .element(&module)
            .expect("an array");
        assert_eq!(bound, None);
        let leaves = element.leaves(&module).expect("leaves");
        (leaves.iter().map(|l| l.offset).collect(), stride)
    }

    #[test]
    fn leaves_lie_where_wgsl_puts_them() {
        for (declarations, expected, stride) in [
            ("alias T = u32;", vec![0], 4),
            ("alias T = vec2<f32>;", vec![0], 8),
            ("alias T = vec3<f32>;", vec![0], 16),
            ("alias T = vec4<i32>;", vec![0], 16),
            ("alias T = mat2x2<f32>;", vec![0, 8], 16),
            ("alias T = mat2x3<f32>;", vec![0, 16], 32),
            ("alias T = mat2x4<f32>;", vec![0, 16], 32),
            ("alias T = mat3x2<f32>;", vec![0, 8, 16], 24),
            ("alias T = mat3x3<f32>;", vec![0, 16, 32], 48),
            ("alias T = mat4x2<f32>;", vec![0, 8, 16, 24], 32),
            ("alias T = mat4x3<f32>;", vec![0, 16, 32, 48], 64),
            ("alias T = mat4x4<f32>;", vec![0, 16, 32, 48], 64),
            ("alias T = array<vec3<f32>, 2>;", vec![0, 16], 32),
            ("alias T = array<u32, 3>;", vec![0, 4, 8], 12),
            (
                "alias T = array<array<u32, 3>, 2>;",
                vec![0, 4, 8, 12, 16, 20],
                24,
            ),
            (
                "struct T { a: f32, b: vec3<f32>, c: f32 }",
                vec![0, 16, 28],
                32,
            ),
            (
                "struct T { a: vec3<f32>, b: f32, c: vec2<f32> }",
                vec![0, 12, 16],
                32,
            ),
            (
                "struct T { a: u32, b: mat3x3<f32>, c: u32 }",
                vec![0, 16, 32, 48, 64],
                80,
            ),
            ("struct T { @size(16) a: u32, b: u32 }", vec![0, 16], 20),
            ("struct T { a: u32, @align(32) b: u32 }", vec![0, 32], 64),
            (
                "struct T { @align(16) @size(20) a: u32, b: vec2<u32> }",
                vec![0, 24],
                32,
            ),
            (
                "struct In { a: u32, b: vec3<f32> }\nstruct T { x: u32, n: array<In, 2>, y: u32 }",
                vec![0, 16, 32, 48, 64, 80],
                96,
            ),
            (
                "struct In { a: vec2<f32> }\nstruct T { x: u32, n: In, y: u32 }",
                vec![0, 8, 16],
                24,
            ),
            ("alias T = f16;", vec![0], 2),
            ("alias T = vec3<f16>;", vec![0], 8),
            ("alias T = mat3x3<f16>;", vec![0, 8, 16], 24),
            ("alias T = mat2x2<f16>;", vec![0, 4], 8),
            ("alias T = array<f16, 3>;", vec![0, 2, 4], 6),
            ("struct T { a: f16, b: f16, c: f16 }", vec![0, 2, 4], 6),
            (
                "struct T { a: f16, b: f32, c: f16, d: vec2<f16> }",
                vec![0, 4, 8, 12],
                16,
            ),
            (
                "struct T { a: u32, b: u64, c: vec2<f64> }",
                vec![0, 8, 16],
                32,
            ),
        ] {
            assert_eq!(offsets(declarations), (expected, stride), "{declarations}");
        }
    }

    #[test]
    fn leaves_are_counted_and_their_kinds_told_without_listing_them() {
        let module = naga::front::wgsl::parse_str(
            "struct S { a: array<array<vec3<f32>, 1000>, 1000>, b: mat3x3<f32>, c: array<u64, 9> }\n\
             @group(0) @binding(0) var<storage> s: S;",
        )
        .expect("parses");
        let (_, var) = module.global_variables.iter().next().expect("one variable");
        let shape = Shape::of(&module, var.ty);
        assert_eq!(shape.leaf_count(&module), 1_000_000 + 3 + 9);
        assert_eq!(shape.span(&module), 16_000_000 + 48 + 72 + 8);
        let mut kinds = Vec::new();
        shape
            .each_kind(&module, &mut |leaf| {
                kinds.push((leaf.components(), leaf.bytes()))
            })
            .expect("sized");
        assert_eq!(kinds, [(3, 12), (3, 12), (3, 12), (3, 12), (1, 8)]);
        let small = Shape::of(
            &module,
            match module.types[var.ty].inner {
                TypeInner::Struct { ref members, .. } => members[1].ty,
                _ => var.ty,
            },
        );
        let listed = small.leaves(&module).expect("sized");
        assert_eq!(listed.len() as u64, small.leaf_count(&module));
    }
}
