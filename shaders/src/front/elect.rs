//! `OpGroupNonUniformElect`, which naga's front end lacks: the first active invocation is the one before which nothing adds
//! up.

use std::borrow::Cow;

use super::frozen::Instructions;
use super::spirv::HEADER;

mod op {
    pub(super) const TYPE_INT: u16 = 21;
    pub(super) const CONSTANT: u16 = 43;
    pub(super) const FUNCTION: u16 = 54;
    pub(super) const I_EQUAL: u16 = 170;
    pub(super) const ELECT: u16 = 333;
    pub(super) const I_ADD: u16 = 349;
}

const EXCLUSIVE_SCAN: u32 = 2;
/// The header's word that is one more than the greatest id.
const BOUND: usize = 3;

/// The module with each election as a sum and a comparison.
pub(super) fn replaced(words: &[u32]) -> Cow<'_, [u32]> {
    let all = Instructions::of(words);
    if !all.clone().any(|(code, _)| code == op::ELECT) {
        return Cow::Borrowed(words);
    }
    let mut bound = words[BOUND];
    let mut new = || {
        let id = bound;
        bound = bound.wrapping_add(1);
        id
    };
    let declared = all.clone().find_map(|(code, operands)| match *operands {
        [id, 32, 0] if code == op::TYPE_INT => Some(id),
        _ => None,
    });
    let uint = declared.unwrap_or_else(&mut new);
    let (zero, one) = (new(), new());
    let mut out = words[..HEADER].to_vec();
    let mut push = |code: u16, operands: &[u32]| {
        out.push(((operands.len() as u32 + 1) << 16) | u32::from(code));
        out.extend_from_slice(operands);
    };
    let mut inside = false;
    for (code, operands) in all {
        if code == op::FUNCTION && !std::mem::replace(&mut inside, true) {
            if declared.is_none() {
                push(op::TYPE_INT, &[uint, 32, 0]);
            }
            push(op::CONSTANT, &[uint, zero, 0]);
            push(op::CONSTANT, &[uint, one, 1]);
        }
        match *operands {
            [bool, result, scope] if code == op::ELECT => {
                let sum = new();
                push(op::I_ADD, &[uint, sum, scope, EXCLUSIVE_SCAN, one]);
                push(op::I_EQUAL, &[bool, result, sum, zero]);
            }
            _ => push(code, operands),
        }
    }
    out[BOUND] = bound;
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_election_is_a_sum_and_a_comparison() {
        let before = [
            0, 0, 0, 9, 0, 0x4_0015, 1, 32, 0, 0x5_0036, 2, 3, 0, 4, 0x4_014d, 5, 6, 7,
        ];
        let after = [
            0, 0, 0, 12, 0, 0x4_0015, 1, 32, 0, 0x4_002b, 1, 9, 0, 0x4_002b, 1, 10, 1, 0x5_0036, 2,
            3, 0, 4, 0x6_015d, 1, 11, 7, 2, 10, 0x5_00aa, 5, 6, 11, 9,
        ];
        assert_eq!(*replaced(&before), after);
        let untyped: Vec<u32> = before[..5].iter().chain(&before[9..]).copied().collect();
        assert_eq!(replaced(&untyped)[5..9], [0x4_0015, 9, 32, 0]);
        assert!(matches!(replaced(&after), Cow::Borrowed(_)));
    }
}
