//! What an entry point binds: storage and uniforms, with their layouts.

use naga::{Handle, Module, Scalar, ScalarKind, Type, TypeInner};

/// A `var<storage>` that an entry point uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageBinding {
    /// The variable in [`Entry::module`](crate::Entry::module).
    pub global: Handle<naga::GlobalVariable>,
    /// Its name.
    pub name: String,
    /// `@group`.
    pub group: u32,
    /// `@binding`.
    pub binding: u32,
    /// The least bytes that may be bound: the fixed part and one element of a runtime-sized array.
    pub min_bytes: u32,
    /// The type's alignment: what is bound begins at a multiple of it.
    pub align: u32,
    /// The runtime-sized array that the variable is or ends in.
    pub runtime: Option<RuntimeArray>,
    /// The WGSL type of the array's element (whatever the array's kind), or of the whole variable.
    pub element: String,
    /// The scalar kind, when all leaves of the binding have the same.
    pub scalar: Option<ScalarLeaf>,
    /// Whether the kernel loads from it.
    pub reads: bool,
    /// Whether the kernel stores to it.
    pub writes: bool,
    /// Whether the kernel uses atomics on it.
    pub atomics: bool,
}

impl StorageBinding {
    /// Whether it is hidden: one of those that the [prelude](crate::prelude) works with, not of the kernel's own.
    #[must_use]
    pub const fn is_hidden(&self) -> bool {
        self.group == crate::prelude::GROUP
    }

    /// Whether it is the space that pointers are followed in, as words or as atomics.
    #[must_use]
    pub const fn follows_pointers(&self) -> bool {
        use crate::prelude::{FAULTS, REACH};
        self.is_hidden() && self.binding != REACH && self.binding != FAULTS
    }

    /// Elements of the runtime-sized array when `bytes` are bound: what `arrayLength` returns. 0 without such an array.
    #[must_use]
    pub fn count(&self, bytes: u64) -> u32 {
        u32::try_from(self.elements(bytes)).unwrap_or(u32::MAX)
    }

    /// As [`StorageBinding::count`], even where that are more than WGSL can count.
    #[must_use]
    pub fn elements(&self, bytes: u64) -> u64 {
        self.runtime.map_or(0, |r| {
            bytes.saturating_sub(u64::from(r.offset)) / u64::from(r.stride)
        })
    }

    /// Words that hold all elements when `bytes` are bound. Of a word that ends behind them only an element of less than
    /// a word counts.
    #[must_use]
    pub fn words(&self, bytes: u64) -> u64 {
        match self.runtime {
            Some(array) if !array.stride.is_multiple_of(4) => bytes.div_ceil(4),
            _ => bytes / 4,
        }
    }
}

/// A runtime-sized array inside a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RuntimeArray {
    /// Bytes before its first element.
    pub offset: u32,
    /// Bytes from one element to the next.
    pub stride: u32,
}

/// The kinds of words in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScalarLeaf {
    /// `f32`.
    F32,
    /// `i32`.
    I32,
    /// `u32`.
    U32,
}

/// A `var<uniform>` or `var<immediate>` that an entry point uses.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueBinding {
    /// The variable in [`Entry::module`](crate::Entry::module).
    pub global: Handle<naga::GlobalVariable>,
    /// Its name.
    pub name: String,
    /// `@group`; 0 of an immediate.
    pub group: u32,
    /// `@binding`; 0 of an immediate.
    pub binding: u32,
    /// Which of the two it is.
    pub kind: ValueKind,
    /// Its size.
    pub bytes: u32,
    /// Its scalars, in memory order.
    pub leaves: Vec<Leaf>,
}

/// How a value is declared, and bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueKind {
    /// `var<uniform>`.
    Uniform,
    /// `var<immediate>`, a push constant.
    Immediate {
        /// Whether its layout is one that a uniform buffer may have: else it is bound as read-only storage.
        uniform: bool,
    },
}

impl ValueBinding {
    /// `@group` and `@binding`, which immediates do not have.
    #[must_use]
    pub const fn slot(&self) -> Option<(u32, u32)> {
        match self.kind {
            ValueKind::Uniform => Some((self.group, self.binding)),
            ValueKind::Immediate { .. } => None,
        }
    }
}

/// A scalar inside a host-shareable type.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    /// Bytes from the start of the whole.
    pub offset: u32,
    /// Kind and width.
    pub scalar: Scalar,
    /// How WGSL names it, from the variable on: `.position.x`, `[3].weight`; empty when the whole is a scalar.
    pub path: String,
}

/// The bytes between the columns of a matrix with columns of `rows` scalars.
pub(crate) fn column_stride(rows: naga::VectorSize, scalar: Scalar) -> u32 {
    let rows = if rows == naga::VectorSize::Tri {
        4
    } else {
        rows as u32
    };
    rows * u32::from(scalar.width)
}

/// All scalars of a type in memory order; a runtime-sized array counts as one element.
pub(crate) fn leaves(module: &Module, ty: Handle<Type>) -> Vec<Leaf> {
    let mut out = Vec::new();
    collect(module, ty, 0, String::new(), &mut out);
    out
}

const COMPONENTS: [&str; 4] = [".x", ".y", ".z", ".w"];

fn collect(module: &Module, ty: Handle<Type>, offset: u32, path: String, out: &mut Vec<Leaf>) {
    match module.types[ty].inner {
        TypeInner::Scalar(scalar) | TypeInner::Atomic(scalar) => out.push(Leaf {
            offset,
            scalar,
            path,
        }),
        TypeInner::Vector { size, scalar } => {
            for (i, name) in COMPONENTS.iter().enumerate().take(size as usize) {
                out.push(Leaf {
                    offset: offset + i as u32 * u32::from(scalar.width),
                    scalar,
                    path: format!("{path}{name}"),
                });
            }
        }
        TypeInner::Matrix {
            columns,
            rows,
            scalar,
        } => {
            for c in 0..columns as u32 {
                for (r, name) in COMPONENTS.iter().enumerate().take(rows as usize) {
                    out.push(Leaf {
                        offset: offset
                            + c * column_stride(rows, scalar)
                            + r as u32 * u32::from(scalar.width),
                        scalar,
                        path: format!("{path}[{c}]{name}"),
                    });
                }
            }
        }
        TypeInner::Array { base, size, stride } => {
            let n = match size.resolve(module.to_ctx()) {
                Ok(naga::proc::IndexableLength::Known(n)) => n,
                _ => 1,
            };
            for i in 0..n {
                collect(
                    module,
                    base,
                    offset + i * stride,
                    format!("{path}[{i}]"),
                    out,
                );
            }
        }
        TypeInner::Struct { ref members, .. } => {
            for (i, member) in members.iter().enumerate() {
                let name = member.name.clone().unwrap_or_else(|| format!("member{i}"));
                collect(
                    module,
                    member.ty,
                    offset + member.offset,
                    format!("{path}.{name}"),
                    out,
                );
            }
        }
        _ => {}
    }
}

/// The one scalar kind of all leaves, without listing them.
pub(crate) fn common_scalar(module: &Module, ty: Handle<Type>) -> Option<ScalarLeaf> {
    let one = |scalar: Scalar| match (scalar.kind, scalar.width) {
        (ScalarKind::Float, 4) => Some(ScalarLeaf::F32),
        (ScalarKind::Sint, 4) => Some(ScalarLeaf::I32),
        (ScalarKind::Uint, 4) => Some(ScalarLeaf::U32),
        _ => None,
    };
    match module.types[ty].inner {
        TypeInner::Scalar(s) | TypeInner::Atomic(s) => one(s),
        TypeInner::Vector { scalar, .. } | TypeInner::Matrix { scalar, .. } => one(scalar),
        TypeInner::Array { base, .. } => common_scalar(module, base),
        TypeInner::Struct { ref members, .. } => {
            let mut kinds = members.iter().map(|m| common_scalar(module, m.ty));
            let first = kinds.next()??;
            kinds.all(|k| k == Some(first)).then_some(first)
        }
        _ => None,
    }
}

/// The WGSL spelling of a host-shareable type.
pub(crate) fn type_name(module: &Module, ty: Handle<Type>) -> String {
    let t = &module.types[ty];
    match t.inner {
        TypeInner::Scalar(s) => scalar_name(s),
        TypeInner::Atomic(s) => format!("atomic<{}>", scalar_name(s)),
        TypeInner::Vector { size, scalar } => {
            format!("vec{}<{}>", size as u32, scalar_name(scalar))
        }
        TypeInner::Matrix {
            columns,
            rows,
            scalar,
        } => {
            format!(
                "mat{}x{}<{}>",
                columns as u32,
                rows as u32,
                scalar_name(scalar)
            )
        }
        TypeInner::Array { base, size, .. } => match size.resolve(module.to_ctx()) {
            Ok(naga::proc::IndexableLength::Known(n)) => {
                format!("array<{}, {n}>", type_name(module, base))
            }
            _ => format!("array<{}>", type_name(module, base)),
        },
        _ => t.name.clone().unwrap_or_else(|| "struct".to_owned()),
    }
}

/// The WGSL spelling of a scalar type.
pub(crate) fn scalar_name(scalar: Scalar) -> String {
    let letter = match scalar.kind {
        ScalarKind::Bool => return "bool".to_owned(),
        ScalarKind::Sint | ScalarKind::AbstractInt => 'i',
        ScalarKind::Uint => 'u',
        ScalarKind::Float | ScalarKind::AbstractFloat => 'f',
    };
    format!("{letter}{}", u32::from(scalar.width) * 8)
}
