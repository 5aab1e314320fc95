//! Made-up data of the shape that a kernel declares: integers are small, so that they are indices into anything, and floats are
//! multiples of 1/16, whose sums are exact.

use gmem::gpu::shaders::naga::{ArraySize, Handle, Module, Scalar, ScalarKind, Type, TypeInner};
use gmem::gpu::shaders::{Entry, StorageBinding, ValueBinding};

use crate::paging::Chance;

/// Of a runtime-sized array.
const ELEMENTS: u32 = 4096;

/// The sizes and counts that a kernel is told.
const COUNTS: [u64; 8] = [1, 2, 4, 8, 16, 32, 64, 256];

/// What a storage binding begins with.
pub fn storage(entry: &Entry, binding: &StorageBinding, chance: &mut Chance) -> Vec<u8> {
    let more = binding.runtime.map_or(0, |r| r.stride * (ELEMENTS - 1));
    let mut bytes = vec![0; (binding.min_bytes + more) as usize];
    let module = &entry.module;
    fill(
        module,
        module.global_variables[binding.global].ty,
        &mut bytes,
        chance,
    );
    bytes
}

/// What a uniform or immediate is.
pub fn value(binding: &ValueBinding, chance: &mut Chance) -> Vec<u8> {
    let mut bytes = vec![0; binding.bytes as usize];
    for leaf in &binding.leaves {
        let word = match leaf.scalar.kind {
            ScalarKind::Sint | ScalarKind::Uint => chance.pick(&COUNTS),
            _ => random(leaf.scalar, chance),
        };
        put(&mut bytes[leaf.offset as usize..], leaf.scalar, word);
    }
    bytes
}

/// The bits of a scalar.
fn random(scalar: Scalar, chance: &mut Chance) -> u64 {
    let sixteenths = |chance: &mut Chance| f64::from(chance.below(255)) / 16.0 - 7.0;
    match (scalar.kind, scalar.width) {
        // 2^-4 to 2^3, either sign, a quarter of a step.
        (ScalarKind::Float, 2) => {
            u64::from(0x2c00 + 0x100 * chance.below(32) + 0x8000 * chance.below(2))
        }
        (ScalarKind::Float, 8) => sixteenths(chance).to_bits(),
        (ScalarKind::Float, _) => (sixteenths(chance) as f32).to_bits().into(),
        (ScalarKind::Bool, _) => chance.below(2).into(),
        _ => chance.below(8).into(),
    }
}

fn put(bytes: &mut [u8], scalar: Scalar, word: u64) {
    let width = usize::from(scalar.width).min(8);
    bytes[..width].copy_from_slice(&word.to_le_bytes()[..width]);
}

/// Fills what lies at the beginning of `bytes`; a runtime-sized array takes all that is left.
fn fill(module: &Module, ty: Handle<Type>, bytes: &mut [u8], chance: &mut Chance) {
    match module.types[ty].inner {
        TypeInner::Scalar(scalar) | TypeInner::Atomic(scalar) => {
            put(bytes, scalar, random(scalar, chance));
        }
        TypeInner::Vector { size, scalar } => {
            for part in bytes.chunks_mut(scalar.width.into()).take(size as usize) {
                put(part, scalar, random(scalar, chance));
            }
        }
        TypeInner::Matrix {
            columns,
            rows,
            scalar,
        } => {
            let rows = rows as usize;
            let column = rows.next_power_of_two() * usize::from(scalar.width);
            for part in bytes.chunks_mut(column).take(columns as usize) {
                for part in part.chunks_mut(scalar.width.into()).take(rows) {
                    put(part, scalar, random(scalar, chance));
                }
            }
        }
        TypeInner::Array { base, size, stride } => {
            let most = match size {
                ArraySize::Constant(length) => length.get() as usize,
                _ => usize::MAX,
            };
            for part in bytes.chunks_exact_mut(stride as usize).take(most) {
                fill(module, base, part, chance);
            }
        }
        TypeInner::Struct { ref members, .. } => {
            for member in members {
                fill(
                    module,
                    member.ty,
                    &mut bytes[member.offset as usize..],
                    chance,
                );
            }
        }
        _ => {}
    }
}
