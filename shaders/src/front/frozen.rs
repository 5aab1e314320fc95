//! Specialisation constants of SPIR-V that naga takes only as constants.
//!
//! What says how long an array is, what the workgroup's size is made of where a function reads that, and what other
//! specialisation constants are computed from keeps the value that the module gives it, and cannot be set any more.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::spirv::HEADER;

mod op {
    pub(super) const TYPE_INT: u16 = 21;
    pub(super) const TYPE_ARRAY: u16 = 28;
    pub(super) const CONSTANT_TRUE: u16 = 41;
    pub(super) const CONSTANT_FALSE: u16 = 42;
    pub(super) const CONSTANT: u16 = 43;
    pub(super) const CONSTANT_COMPOSITE: u16 = 44;
    pub(super) const SPEC_CONSTANT_TRUE: u16 = 48;
    pub(super) const SPEC_CONSTANT_FALSE: u16 = 49;
    pub(super) const SPEC_CONSTANT: u16 = 50;
    pub(super) const SPEC_CONSTANT_COMPOSITE: u16 = 51;
    pub(super) const SPEC_CONSTANT_OP: u16 = 52;
    pub(super) const FUNCTION: u16 = 54;
    pub(super) const DECORATE: u16 = 71;
}

const DECORATION_SPEC_ID: u32 = 1;

/// An instruction that computes a constant: its type, operation and operands.
type Computed<'a> = (u32, u32, &'a [u32]);

/// The module with these constants as constants; its instructions may be cut off, and are then as they were.
pub(super) fn frozen(words: &[u32]) -> Cow<'_, [u32]> {
    let all = Instructions::of(words);
    let mut numbers = HashMap::new();
    let mut composites: HashMap<u32, &[u32]> = HashMap::new();
    let mut computed: Vec<(u32, Computed<'_>)> = Vec::new();
    let mut integers = HashSet::new();
    let mut needed: Vec<u32> = Vec::new();
    let mut specialised = HashSet::new();
    let mut inside = false;
    for (code, operands) in all.clone() {
        inside |= code == op::FUNCTION;
        match (code, operands) {
            (op::TYPE_INT, &[id, 32, _]) => {
                integers.insert(id);
            }
            (op::TYPE_ARRAY, &[_, _, length]) => needed.push(length),
            (op::CONSTANT, &[_, id, value]) => {
                numbers.insert(id, value);
            }
            (op::CONSTANT_COMPOSITE, &[_, id, ref parts @ ..]) => {
                composites.insert(id, parts);
            }
            (op::SPEC_CONSTANT, &[_, id, value]) => {
                specialised.insert(id);
                numbers.insert(id, value);
            }
            (op::SPEC_CONSTANT_TRUE | op::SPEC_CONSTANT_FALSE, &[_, id]) => {
                specialised.insert(id);
            }
            (op::SPEC_CONSTANT_COMPOSITE, &[_, id, ref parts @ ..]) => {
                specialised.insert(id);
                composites.insert(id, parts);
            }
            (op::SPEC_CONSTANT_OP, &[ty, id, operation, ref operands @ ..]) => {
                specialised.insert(id);
                computed.push((id, (ty, operation, operands)));
                needed.push(id);
            }
            // A number that happens to be one of a composite's costs no more than that it cannot be set.
            _ if inside => needed.extend(
                operands
                    .iter()
                    .filter(|id| specialised.contains(id) && composites.contains_key(id)),
            ),
            _ => {}
        }
    }
    let operands_of: HashMap<u32, &[u32]> = computed.iter().map(|(id, c)| (*id, c.2)).collect();
    let mut fixed = HashSet::new();
    while let Some(id) = needed.pop() {
        if specialised.contains(&id) && fixed.insert(id) {
            let parts = composites.get(&id).or_else(|| operands_of.get(&id));
            needed.extend_from_slice(parts.copied().unwrap_or_default());
        }
    }
    if fixed.is_empty() {
        return Cow::Borrowed(words);
    }
    for (id, (ty, operation, operands)) in &computed {
        if integers.contains(ty)
            && let Some(value) = result(*operation, operands, &numbers, &composites)
        {
            numbers.insert(*id, value);
        }
    }
    let mut out = words[..HEADER.min(words.len())].to_vec();
    for (code, operands) in all {
        let mut operands = Cow::Borrowed(operands);
        let code = match (code, &*operands) {
            (op::DECORATE, [target, DECORATION_SPEC_ID, _]) if fixed.contains(target) => continue,
            (_, [_, id, ..]) if !fixed.contains(id) => code,
            (op::SPEC_CONSTANT_TRUE, _) => op::CONSTANT_TRUE,
            (op::SPEC_CONSTANT_FALSE, _) => op::CONSTANT_FALSE,
            (op::SPEC_CONSTANT, _) => op::CONSTANT,
            (op::SPEC_CONSTANT_COMPOSITE, _) => op::CONSTANT_COMPOSITE,
            (op::SPEC_CONSTANT_OP, &[ty, id, ..]) => match numbers.get(&id) {
                Some(value) => {
                    operands = Cow::Owned(vec![ty, id, *value]);
                    op::CONSTANT
                }
                None => code,
            },
            _ => code,
        };
        out.push(((operands.len() as u32 + 1) << 16) | u32::from(code));
        out.extend_from_slice(&operands);
    }
    Cow::Owned(out)
}

/// The instructions of a module, as far as they are whole.
#[derive(Clone)]
pub(super) struct Instructions<'a> {
    words: &'a [u32],
    at: usize,
}

impl<'a> Instructions<'a> {
    pub(super) const fn of(words: &'a [u32]) -> Self {
        Self { words, at: HEADER }
    }
}

impl<'a> Iterator for Instructions<'a> {
    type Item = (u16, &'a [u32]);

    fn next(&mut self) -> Option<Self::Item> {
        let first = *self.words.get(self.at)?;
        let count = (first >> 16) as usize;
        let operands = self.words.get(self.at + 1..self.at + count)?;
        self.at += count;
        Some((first as u16, operands))
    }
}

/// What an operation on constants of 32 bits results in.
fn result(
    operation: u32,
    operands: &[u32],
    numbers: &HashMap<u32, u32>,
    composites: &HashMap<u32, &[u32]>,
) -> Option<u32> {
    const COMPOSITE_EXTRACT: u32 = 81;
    if let (COMPOSITE_EXTRACT, &[composite, index]) = (operation, operands) {
        let part = composites.get(&composite)?.get(index as usize)?;
        return numbers.get(part).copied();
    }
    let number = |at: usize| numbers.get(operands.get(at)?).copied();
    let a = number(0)?;
    let b = || number(1);
    Some(match operation {
        // Bitcast, SNegate, Not.
        124 => a,
        126 => a.wrapping_neg(),
        200 => !a,
        128 => a.wrapping_add(b()?),
        130 => a.wrapping_sub(b()?),
        132 => a.wrapping_mul(b()?),
        // UDiv, SDiv, UMod, SRem.
        134 => a.checked_div(b()?)?,
        135 => (a.cast_signed().checked_div(b()?.cast_signed())?).cast_unsigned(),
        137 => a.checked_rem(b()?)?,
        138 => (a.cast_signed().checked_rem(b()?.cast_signed())?).cast_unsigned(),
        // Shifts to the right, with the sign, and to the left.
        194 => a.checked_shr(b()?)?,
        195 => (a.cast_signed().checked_shr(b()?)?).cast_unsigned(),
        196 => a.checked_shl(b()?)?,
        197 => a | b()?,
        198 => a ^ b()?,
        199 => a & b()?,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(instructions: &[&[u32]]) -> Vec<u32> {
        let mut words = vec![0; HEADER];
        for instruction in instructions {
            words.push(((instruction.len() as u32) << 16) | instruction[0]);
            words.extend_from_slice(&instruction[1..]);
        }
        words
    }

    #[test]
    fn what_sizes_arrays_becomes_a_constant() {
        let before = module(&[
            &[71, 2, 1, 7],
            &[71, 3, 1, 8],
            &[21, 1, 32, 0],
            &[50, 1, 2, 64],
            &[50, 1, 3, 5],
            &[43, 1, 4, 2],
            &[52, 1, 5, 132, 2, 4],
            &[28, 6, 1, 5],
        ]);
        let after = module(&[
            &[71, 3, 1, 8],
            &[21, 1, 32, 0],
            &[43, 1, 2, 64],
            &[50, 1, 3, 5],
            &[43, 1, 4, 2],
            &[43, 1, 5, 128],
            &[28, 6, 1, 5],
        ]);
        assert_eq!(*frozen(&before), after);
        assert!(matches!(frozen(&after), Cow::Borrowed(_)));
    }

    #[test]
    fn a_size_that_a_function_reads_becomes_a_constant() {
        let parts = |of: u32| {
            module(&[
                &[21, 1, 32, 0],
                &[of - 1, 1, 2, 64],
                &[of, 9, 3, 2, 2, 2],
                &[54, 1, 10, 0, 11],
                &[81, 1, 12, 3, 0],
            ])
        };
        assert_eq!(*frozen(&parts(51)), parts(44));
        let unread = &parts(51)[..HEADER + 4 + 4 + 6];
        assert!(matches!(frozen(unread), Cow::Borrowed(_)));
    }

    #[test]
    fn a_module_that_is_cut_off_is_left_to_others() {
        let whole = module(&[&[50, 1, 2, 64], &[28, 6, 1, 2]]);
        for end in HEADER..whole.len() - 1 {
            let _ = frozen(&whole[..end]);
        }
        let _ = frozen(&[0; HEADER + 2]);
    }
}
