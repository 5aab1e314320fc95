//! What could stand in for the page metadata: a hash map behind a lock for look-ups, and a table of answers for the step.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use gmem_hal::Va;
use gmem_runtime::step::{Event, Mapping, Step, step};
use parking_lot::RwLock;

/// Multiplies, which is enough for page numbers; the default hasher is made against attackers and takes longer.
#[derive(Default)]
struct ByMultiplying(u64);

impl Hasher for ByMultiplying {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&b| self.write_u64(b.into()));
    }

    fn write_u64(&mut self, value: u64) {
        // The map takes buckets from the low bits and tags from the high ones.
        let product = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ (product >> 32);
    }
}

/// The pages that were touched, by number; many threads may look at once.
pub struct Index {
    shift: u32,
    pages: RwLock<HashMap<u64, Mapping, BuildHasherDefault<ByMultiplying>>>,
}

impl Index {
    /// Of pages of `1 << shift` bytes.
    pub fn new(shift: u32, pages: impl Iterator<Item = (Va, Mapping)>) -> Self {
        Self {
            shift,
            pages: RwLock::new(pages.map(|(va, m)| (va.0 >> shift, m)).collect()),
        }
    }

    /// What is known of the page of an address.
    #[must_use]
    pub fn query(&self, va: Va) -> Mapping {
        let pages = self.pages.read();
        pages
            .get(&(va.0 >> self.shift))
            .copied()
            .unwrap_or_default()
    }
}

/// All answers of the coherence step, made beforehand and kept by question.
pub struct Answers(HashMap<(Mapping, Event), Step, BuildHasherDefault<ByMultiplying>>);

impl Answers {
    /// The answers to some questions.
    #[must_use]
    pub fn new(questions: &[(Mapping, Event)]) -> Self {
        let answers = questions.iter().map(|&(m, e)| ((m, e), step(m, e, true)));
        Self(answers.collect())
    }

    /// An answer, if it was made.
    #[must_use]
    pub fn get(&self, mapping: Mapping, event: Event) -> Option<Step> {
        self.0.get(&(mapping, event)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_found_by_any_of_its_addresses_and_others_are_nil() {
        let mapped = Mapping {
            host_mapped: true,
            ..Mapping::NIL
        };
        let index = Index::new(16, [(Va(7 << 16), mapped)].into_iter());
        assert_eq!(index.query(Va((7 << 16) + 65_535)), mapped);
        assert_eq!(index.query(Va(8 << 16)), Mapping::NIL);
    }
}
