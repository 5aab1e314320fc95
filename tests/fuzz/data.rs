//! What bindings hold before a kernel runs, and which of their bytes count.

use super::chance::Chance;
use super::program::{Buffer, Content, Program, Role, Shape};
use super::types::Scalar;

impl Buffer {
    /// Bytes before the first element.
    fn head(&self) -> u32 {
        match self.shape {
            Shape::Header(words) => (4 * words).next_multiple_of(self.element.align()),
            Shape::Runtime | Shape::Fixed => 0,
        }
    }

    /// Where the first element is in what is bound.
    pub fn element_start(&self) -> usize {
        self.head() as usize
    }

    /// Bytes that are bound: behind the last whole element of a runtime-sized array some may be left over.
    pub fn bytes(&self) -> usize {
        let stride = self.element.stride();
        let rest = match self.shape {
            Shape::Fixed => 0,
            _ => (4 * (self.count % 4)).min(stride - 4),
        };
        self.head() as usize + self.count as usize * stride as usize + rest as usize
    }

    /// Bytes of its memory: what is bound, and the margins.
    pub fn memory(&self) -> usize {
        self.bytes() + self.margins[0] as usize + self.margins[1] as usize
    }

    /// Where in its memory it is bound.
    pub fn bound(&self) -> std::ops::Range<usize> {
        let from = self.margins[0] as usize;
        from..from + self.bytes()
    }

    /// The first bound byte, if any, in which two contents differ that a kernel may see: not in padding.
    pub fn differs(&self, a: &[u8], b: &[u8]) -> Option<usize> {
        if a == b {
            return None;
        }
        if matches!(self.role, Role::Bag { .. }) {
            let sorted = |bytes: &[u8]| {
                let mut words: Vec<[u8; 4]> = bytes.as_chunks().0.to_vec();
                words.sort_unstable();
                words
            };
            let (a, b) = (sorted(a), sorted(b));
            return (0..a.len()).find(|&at| a[at] != b[at]).map(|at| 4 * at);
        }
        let head = self.head() as usize;
        if let Some(at) = (0..head).find(|&at| a[at] != b[at]) {
            return Some(at);
        }
        let leaves = self.element.leaves();
        for element in 0..self.count as usize {
            let at = head + element * self.element.stride() as usize;
            for &(offset, _) in &leaves {
                let at = at + offset as usize;
                if a[at..at + 4] != b[at..at + 4] {
                    return Some(at);
                }
            }
        }
        None
    }

    /// Which part of an element a bound byte is of, for people.
    pub fn describe(&self, at: usize) -> String {
        match at.checked_sub(self.head() as usize) {
            None => format!("byte {at} of its header"),
            Some(at) => {
                let stride = self.element.stride() as usize;
                format!("byte {} of element {}", at % stride, at / stride)
            }
        }
    }
}

/// The memory of each binding.
pub fn fill(program: &Program, seed: u64) -> Vec<Vec<u8>> {
    let buffers = program.buffers.iter().zip(1..);
    buffers
        .map(|(buffer, number)| {
            let mut chance = Chance(seed.wrapping_mul(31).wrapping_add(number));
            let mut bytes = vec![0; buffer.memory()];
            for part in bytes.chunks_mut(8) {
                part.copy_from_slice(&chance.next().to_le_bytes()[..part.len()]);
            }
            elements(buffer, &mut bytes[buffer.bound()], &mut chance);
            bytes
        })
        .collect()
}

fn elements(buffer: &Buffer, bytes: &mut [u8], chance: &mut Chance) {
    let (head, stride) = (buffer.head() as usize, buffer.element.stride() as usize);
    let content = match buffer.role {
        Role::Data(content) => content,
        Role::Permutation => {
            return put(bytes, head, stride, &permutation(buffer.count, chance));
        }
        Role::Counter | Role::Claims => return bytes[head..].fill(0),
        Role::Own(_) | Role::Atomic(_) | Role::Bits | Role::Log { .. } | Role::Bag { .. } => {
            Content::Any
        }
    };
    let leaves = buffer.element.leaves();
    if matches!(content, Content::Any) && leaves.iter().all(|(_, s)| *s != Scalar::F32) {
        return;
    }
    for element in 0..buffer.count {
        for &(offset, scalar) in &leaves {
            let at = head + element as usize * stride + offset as usize;
            let word = match (scalar, content) {
                (Scalar::F32, _) => (chance.word(255) as f32 - 127.0).to_bits(),
                (_, Content::Any) => continue,
                (_, Content::Small) => chance.word(16),
                (_, Content::Below { bound }) => chance.word(bound),
                (_, Content::Near { bound }) => {
                    let middle = u64::from(element) * u64::from(bound) / u64::from(buffer.count);
                    (middle as u32 + chance.word(200)) % bound.max(1)
                }
            };
            bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
    }
}

fn put(bytes: &mut [u8], head: usize, stride: usize, words: &[u32]) {
    for (element, word) in words.iter().enumerate() {
        let at = head + element * stride;
        bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }
}

/// The numbers below `count`, each once: anywhere, or near where they began.
fn permutation(count: u32, chance: &mut Chance) -> Vec<u32> {
    let mut all: Vec<u32> = (0..count).collect();
    let block = chance.pick(&[100, 1000, count]);
    for part in all.chunks_mut(block.max(1) as usize) {
        for at in (1..part.len()).rev() {
            part.swap(at, chance.below(at as u64 + 1) as usize);
        }
    }
    all
}
