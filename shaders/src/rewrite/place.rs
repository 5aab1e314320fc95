//! Places: what a chain of accesses into a storage binding points to, as arithmetic over index expressions.

use naga::{Expression, Function, Handle, Module, Scalar, VectorSize};

use super::build::Value;
use super::layout::Shape;
use crate::StorageBinding;

/// An index of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Index {
    Constant(u32),
    /// An expression of the user's function.
    Expression(Handle<Expression>),
    /// A value of the new function, below the bound.
    Value(Value),
}

/// One indexing of a chain whose index must be checked, or is not constant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) index: Index,
    /// Bytes from one element to the next; 0 when the place's offset has them already.
    pub(super) stride: u32,
    /// Elements; `None` for the runtime-sized array.
    pub(super) bound: Option<u32>,
}

/// A place in a storage binding: byte `offset + sum(index * stride)`, when all indices are in bounds.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) binding: usize,
    pub(super) shape: Shape,
    /// A constant index reaches beyond 4 GiB.
    pub(super) offset: u64,
    pub(super) steps: Vec<Step>,
    /// All addresses of the place are congruent to `offset` modulo this power of two, in bytes.
    pub(super) align: u32,
    /// Set when the last step chose this component of a vector by a constant.
    pub(super) component: Option<u32>,
    /// Set when the last step chose a component of a vector by an expression.
    pub(super) dynamic_component: bool,
    /// The vector that the last step chose a component of.
    pub(super) vector: Option<(VectorSize, Scalar)>,
}

impl Place {
    /// The place that a pointer expression means, if it points into storage.
    pub(super) fn trace(
        module: &Module,
        storage: &[StorageBinding],
        function: &Function,
        pointer: Handle<Expression>,
    ) -> Option<Self> {
        match function.expressions[pointer] {
            Expression::GlobalVariable(global) => {
                let binding = storage.iter().position(|s| s.global == global)?;
                let ty = module.global_variables[global].ty;
                Some(Self {
                    binding,
                    shape: Shape::of(module, ty),
                    offset: 0,
                    steps: Vec::new(),
                    align: storage[binding].align.max(4),
                    component: None,
                    dynamic_component: false,
                    vector: None,
                })
            }
            Expression::Access { base, index } => {
                let place = Self::trace(module, storage, function, base)?;
                place.indexed(module, Index::Expression(index))
            }
            Expression::AccessIndex { base, index } => {
                let place = Self::trace(module, storage, function, base)?;
                place.part(module, index)
            }
            _ => None,
        }
    }

    /// A struct's member, or what a constant index gives.
    pub(super) fn part(mut self, module: &Module, index: u32) -> Option<Self> {
        if let Some((shape, offset)) = self.shape.member(module, index) {
            self.shape = shape;
            self.offset += u64::from(offset);
            Some(self)
        } else {
            self.indexed(module, Index::Constant(index))
        }
    }

    pub(super) fn indexed(mut self, module: &Module, index: Index) -> Option<Self> {
        let (shape, stride, bound) = self.shape.element(module)?;
        if let Shape::Vector(size, scalar) = self.shape {
            self.vector = Some((size, scalar));
        }
        let vector = self.vector.is_some();
        self.shape = shape;
        match index {
            Index::Constant(i) => {
                self.offset += u64::from(i) * u64::from(stride);
                if vector {
                    self.component = Some(i);
                }
                // Constant indices of sized types are checked by validation.
                if bound.is_none() {
                    self.steps.push(Step {
                        index,
                        stride: 0,
                        bound,
                    });
                }
            }
            Index::Expression(_) | Index::Value(_) => {
                self.align = self.align.min(1 << stride.trailing_zeros().min(31));
                self.dynamic_component |= vector;
                self.steps.push(Step {
                    index,
                    stride,
                    bound,
                });
            }
        }
        Some(self)
    }

    /// Whether the place begins at a whole word, or at a half that is known.
    pub(super) fn known_half(&self) -> bool {
        self.align >= 4
    }

    /// The last two bits of the place's `offset`th byte's address, when [`Place::known_half`].
    pub(super) fn within_word(&self, offset: u32) -> u32 {
        (self.offset as u32).wrapping_add(offset) & 3
    }

    /// Whether `bytes` bytes from the place's `offset`th on lie between two multiples of the place's alignment:
    /// then they lie in one page.
    pub(super) fn within_alignment(&self, offset: u32, bytes: u32) -> bool {
        let first = (self.offset as u32).wrapping_add(offset) & (self.align - 1);
        first + bytes <= self.align
    }
}

#[cfg(test)]
mod tests {
    use naga::Statement;

    use super::*;
    use crate::Program;

    /// The place of the one store of a kernel.
    fn place(declarations: &str, store: &str) -> Place {
        let source = format!(
            "{declarations}\n@compute @workgroup_size(1) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{\n\
             let i = id.x; let j = id.y;\n{store}\n}}"
        );
        let entry = Program::from_wgsl(&source)
            .and_then(|p| p.entry(None, &[]))
            .expect("a kernel");
        let function = &entry.module.entry_points[0].function;
        let pointer = function
            .body
            .iter()
            .find_map(|s| match *s {
                Statement::Store { pointer, .. } => Some(pointer),
                _ => None,
            })
            .expect("a store");
        Place::trace(&entry.module, &entry.storage, function, pointer).expect("a place in storage")
    }

    fn strides(place: &Place) -> Vec<(u32, Option<u32>)> {
        place.steps.iter().map(|s| (s.stride, s.bound)).collect()
    }

    #[test]
    fn chains_become_offsets_and_strides() {
        let floats = "@group(0) @binding(0) var<storage, read_write> a: array<f32>;";
        let p = place(floats, "a[i] = 1.0;");
        assert_eq!((p.offset, strides(&p), p.align), (0, vec![(4, None)], 4));
        let p = place(floats, "a[5] = 1.0;");
        assert_eq!((p.offset, strides(&p)), (20, vec![(0, None)]));
        let p = place(floats, "a[0xfffffffeu] = 1.0;");
        assert_eq!(p.offset, 0x3_ffff_fff8, "beyond what 32 bits hold");

        let matrices = "struct S { n: u32, m: array<mat3x3<f32>, 4> }\n\
                        @group(0) @binding(0) var<storage, read_write> a: array<S>;";
        let p = place(matrices, "a[i].m[j][2].y = 1.0;");
        assert_eq!(
            (p.offset, strides(&p)),
            (16 + 32 + 4, vec![(208, None), (48, Some(4))])
        );
        assert_eq!((p.align, p.component), (16, Some(1)));
        let p = place(matrices, "a[3].m[1][j][i] = 1.0;");
        assert_eq!(
            (p.offset, strides(&p)),
            (
                3 * 208 + 16 + 48,
                vec![(0, None), (16, Some(3)), (4, Some(3))]
            )
        );
        assert!(p.dynamic_component);

        let trailing = "struct Q { head: vec2<u32>, items: array<vec3<f32>> }\n\
                        @group(0) @binding(0) var<storage, read_write> q: Q;";
        let p = place(trailing, "q.items[i] = vec3<f32>();");
        assert_eq!((p.offset, strides(&p), p.align), (16, vec![(16, None)], 16));
    }

    #[test]
    fn only_aligned_words_are_known_to_share_a_page() {
        let p = place(
            "@group(0) @binding(0) var<storage, read_write> a: array<vec3<f32>>;",
            "a[i] = vec3<f32>();",
        );
        assert!(p.within_alignment(0, 12));
        assert!(!p.within_alignment(8, 12));
        let p = place(
            "struct E { x: u32, y: u32, z: u32 }\n@group(0) @binding(0) var<storage, read_write> a: array<E>;",
            "a[i] = E(1u, 2u, 3u);",
        );
        assert!(p.within_alignment(0, 4) && !p.within_alignment(0, 8));
    }

    #[test]
    fn halves_of_words_are_known_unless_an_index_moves_by_one() {
        let halves = "enable f16;\n@group(0) @binding(0) var<storage, read_write> a: array<f16>;";
        let p = place(halves, "a[i] = 1.0h;");
        assert_eq!((p.offset, strides(&p), p.align), (0, vec![(2, None)], 2));
        assert!(!p.known_half() && p.within_alignment(0, 2) && !p.within_alignment(0, 4));
        let p = place(
            "enable f16;\nstruct S { x: f32, y: f16, z: f16 }\n@group(0) @binding(0) var<storage, read_write> a: array<S>;",
            "a[i].z = 1.0h;",
        );
        assert_eq!((p.offset, strides(&p), p.align), (6, vec![(8, None)], 4));
        assert!(p.known_half());
        assert_eq!((p.within_word(0), p.within_word(2)), (2, 0));
    }
}
