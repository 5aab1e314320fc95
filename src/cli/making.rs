//! Generated elements, for `random:TYPE:COUNT` and `range:TYPE:COUNT`.

use super::npy::Element;
use super::seeded::Seeded;
use super::spec::{BindingName, Made};

/// How to make each element of some memory.
#[derive(Debug, Clone, Copy)]
pub struct Making {
    how: Made,
    element: Element,
    random: Seeded,
}

impl Making {
    /// Elements for what is called `name`: another name has other random ones, of the same seed.
    #[must_use]
    pub fn new(how: Made, element: Element, seed: u64, name: &BindingName) -> Self {
        Self {
            how,
            element,
            random: Seeded::new(seed, fnv1a(name.to_string().as_bytes())),
        }
    }

    /// Fills memory with whole elements.
    pub fn fill(self, memory: &mut [u8]) {
        let bytes = self.element.bytes() as usize;
        for (index, place) in (0..).zip(memory.chunks_exact_mut(bytes)) {
            place.copy_from_slice(&self.at(index).to_le_bytes()[..bytes]);
        }
    }

    /// The bits of an element, in the lowest of 64.
    fn at(self, index: u64) -> u64 {
        let bits = match self.how {
            Made::Random => self.random.at(index),
            Made::Range => index,
        };
        match (self.element, self.how) {
            // As many bits as the fraction has: every value is exact, and none is 1.
            (Element::F32, Made::Random) => {
                u64::from(((bits >> 40) as f32 / (1 << 24) as f32).to_bits())
            }
            (Element::F64, Made::Random) => ((bits >> 11) as f64 / (1_u64 << 53) as f64).to_bits(),
            (Element::F32, Made::Range) => u64::from((bits as f32).to_bits()),
            (Element::F64, Made::Range) => (bits as f64).to_bits(),
            _ => bits,
        }
    }
}

/// A checksum of bytes: FNV-1a, 64 bits.
#[must_use]
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made<const N: usize>(how: Made, element: Element, name: &str) -> [u8; N] {
        let mut memory = [0; N];
        let name = BindingName::Variable(name.to_owned());
        Making::new(how, element, 7, &name).fill(&mut memory);
        memory
    }

    #[test]
    fn a_range_counts_in_every_type() {
        assert_eq!(made(Made::Range, Element::U8, "a"), [0, 1, 2]);
        assert_eq!(made(Made::Range, Element::I16, "a"), [0, 0, 1, 0]);
        assert_eq!(
            made::<8>(Made::Range, Element::F32, "a")[4..],
            1.0_f32.to_le_bytes()
        );
        assert_eq!(
            made::<16>(Made::Range, Element::F64, "a")[8..],
            1.0_f64.to_le_bytes()
        );
    }

    #[test]
    fn random_elements_depend_on_the_name_and_floats_lie_below_1() {
        let a = made::<4096>(Made::Random, Element::F32, "a");
        assert_eq!(a, made::<4096>(Made::Random, Element::F32, "a"));
        assert_ne!(a, made::<4096>(Made::Random, Element::F32, "b"));
        let floats: Vec<f32> = (a.chunks_exact(4))
            .map(|f| f32::from_le_bytes([f[0], f[1], f[2], f[3]]))
            .collect();
        assert!(floats.iter().all(|f| (0.0..1.0).contains(f)));
        let mean = floats.iter().sum::<f32>() / floats.len() as f32;
        assert!((mean - 0.5).abs() < 0.05, "{mean}");
    }

    #[test]
    fn the_checksum_is_fnv1a() {
        // The empty string and `a`, as the hash's authors give them.
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
