//! What was made of shaders before, by their content: a kernel that is compiled again is neither parsed nor analysed again.
//!
//! Key type: [`Cache`]. Invariants: what it answers with is what [`Program::parse`] and [`Program::entry`] make of the same
//! source, entry point and overrides, compared byte by byte; errors are not kept; it holds the [`PROGRAMS`] modules and
//! [`ENTRIES`] entry points that were used last at most, and of sources no more than [`SOURCE_BYTES`] for each of the two.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::ShaderError;
use crate::front::Source;
use crate::program::{Entry, Program};

/// The most modules that are kept.
const PROGRAMS: usize = 16;
/// The most entry points that are kept.
const ENTRIES: usize = 64;
/// The most bytes of the sources of what is kept. A module takes some ten times as much as its source.
const SOURCE_BYTES: usize = 1 << 20;

/// An entry point and the values of its overrides, as they are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    source: Arc<Source<'static>>,
    entry: Option<String>,
    /// Names, and the bits of the values.
    overrides: Vec<(String, u64)>,
}

/// Modules and analysed entry points, the latest used of them. Threads may share it.
#[derive(Default)]
pub struct Cache {
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    programs: Recent<Arc<Source<'static>>, Arc<Program>>,
    entries: Recent<Wanted, Arc<Entry>>,
}

impl Cache {
    /// As [`Program::parse`] and [`Program::entry`]. The same [`Arc`] comes back as long as the entry point is kept.
    ///
    /// # Errors
    /// As those two.
    pub fn entry(
        &self,
        source: &Source<'_>,
        entry: Option<&str>,
        overrides: &[(String, f64)],
    ) -> Result<Arc<Entry>, ShaderError> {
        let is_wanted = |key: &Wanted| {
            let given = overrides
                .iter()
                .map(|(name, value)| (name, value.to_bits()));
            key.entry.as_deref() == entry
                && (key.overrides.iter().map(|(name, bits)| (name, *bits))).eq(given)
                && *key.source == *source
        };
        let mut held = self.held();
        if let Some((_, found)) = held.entries.find(is_wanted) {
            return Ok(found);
        }
        let known = held.programs.find(|key| **key == *source);
        // What follows takes its time, and others may want something else.
        drop(held);
        let (source, program) = match known {
            Some(known) => known,
            None => {
                let program = Arc::new(Program::parse(source)?);
                let source = Arc::new(source.to_owned_source());
                let bytes = source.bytes().len();
                let (key, value) = (Arc::clone(&source), Arc::clone(&program));
                self.held().programs.keep(key, value, bytes, PROGRAMS);
                (source, program)
            }
        };
        let made = Arc::new(program.entry(entry, overrides)?);
        let bytes = source.bytes().len();
        let key = Wanted {
            source,
            entry: entry.map(str::to_owned),
            overrides: (overrides.iter())
                .map(|(name, value)| (name.clone(), value.to_bits()))
                .collect(),
        };
        let mut held = self.held();
        // Another thread may have been faster: then all have what it made.
        if let Some((_, found)) = held.entries.find(|other| *other == key) {
            return Ok(found);
        }
        held.entries.keep(key, Arc::clone(&made), bytes, ENTRIES);
        Ok(made)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Nothing is left half done under the lock.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Things by their keys, the one that was used last at the end.
struct Recent<K, V> {
    /// With the bytes of the source that each stands for.
    items: VecDeque<(K, V, usize)>,
    bytes: usize,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self {
            items: VecDeque::new(),
            bytes: 0,
        }
    }
}

impl<K: Clone, V: Clone> Recent<K, V> {
    /// What `is_wanted` names, which is then the latest.
    fn find(&mut self, is_wanted: impl Fn(&K) -> bool) -> Option<(K, V)> {
        let at = self.items.iter().position(|(key, ..)| is_wanted(key))?;
        let item = self.items.remove(at)?;
        let found = (item.0.clone(), item.1.clone());
        self.items.push_back(item);
        Some(found)
    }

    /// Keeps one more, and lets go what was not used for longest until it is within the bounds. What is beyond them by
    /// itself is not kept.
    fn keep(&mut self, key: K, value: V, bytes: usize, most: usize) {
        if bytes > SOURCE_BYTES {
            return;
        }
        self.items.push_back((key, value, bytes));
        self.bytes += bytes;
        while self.items.len() > most || self.bytes > SOURCE_BYTES {
            match self.items.pop_front() {
                Some((.., bytes)) => self.bytes -= bytes,
                None => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "
        override size = 4u;
        @group(0) @binding(0) var<storage, read_write> x: array<u32>;
        @compute @workgroup_size(size) fn one() { x[0] = size; }
        @compute @workgroup_size(1) fn two() { x[1] = size; }";

    fn size(value: f64) -> [(String, f64); 1] {
        [("size".to_owned(), value)]
    }

    #[test]
    fn the_same_content_is_read_once() {
        let cache = Cache::default();
        let first = cache
            .entry(&SOURCE.into(), Some("one"), &size(8.0))
            .unwrap();
        let other_text = SOURCE.to_owned();
        let again = cache
            .entry(&(&other_text).into(), Some("one"), &size(8.0))
            .unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!(first.workgroup_size, [8, 1, 1]);
        assert_eq!(cache.held().programs.items.len(), 1);
    }

    #[test]
    fn another_entry_override_or_text_is_another_kernel() {
        let cache = Cache::default();
        let entry = |source: &str, entry, overrides: &[(String, f64)]| {
            cache.entry(&source.into(), entry, overrides).unwrap()
        };
        let first = entry(SOURCE, Some("one"), &[]);
        assert_eq!(first.workgroup_size, [4, 1, 1]);
        let two = entry(SOURCE, Some("two"), &[]);
        assert_eq!((two.name.as_str(), two.workgroup_size), ("two", [1; 3]));
        let eight = entry(SOURCE, Some("one"), &size(8.0));
        assert_eq!(eight.workgroup_size, [8, 1, 1]);
        assert_eq!(cache.held().programs.items.len(), 1, "one module for all");
        let text = SOURCE.replace("size = 4u", "size = 2u");
        assert_eq!(entry(&text, Some("one"), &[]).workgroup_size, [2, 1, 1]);
        // The same characters in another language are another shader, here a broken one.
        assert!(
            cache
                .entry(&Source::glsl(SOURCE), Some("one"), &[])
                .is_err()
        );
        assert!(Arc::ptr_eq(&first, &entry(SOURCE, Some("one"), &[])));
    }

    #[test]
    fn errors_are_told_every_time() {
        let cache = Cache::default();
        for _ in 0..2 {
            assert!(cache.entry(&"nonsense".into(), None, &[]).is_err());
            assert!(cache.entry(&SOURCE.into(), Some("three"), &[]).is_err());
        }
        assert!(cache.held().entries.items.is_empty());
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_used() {
        let cache = Cache::default();
        let text = |i: usize| SOURCE.replace("4u", &format!("{}u", i + 1));
        let entry = |i: usize| cache.entry(&text(i).into(), Some("one"), &[]).unwrap();
        let (first, second) = (entry(0), entry(1));
        for i in 2..=ENTRIES {
            entry(i);
            assert!(Arc::ptr_eq(&first, &entry(0)), "{i}");
        }
        assert_eq!(cache.held().entries.items.len(), ENTRIES);
        assert_eq!(cache.held().programs.items.len(), PROGRAMS);
        assert!(!Arc::ptr_eq(&second, &entry(1)));

        let mut recent = Recent::default();
        recent.keep(0, (), SOURCE_BYTES / 2, 9);
        recent.keep(1, (), SOURCE_BYTES / 2, 9);
        recent.keep(2, (), 1, 9);
        recent.keep(3, (), SOURCE_BYTES + 1, 9);
        let kept: Vec<i32> = recent.items.iter().map(|item| item.0).collect();
        assert_eq!((kept, recent.bytes), (vec![1, 2], SOURCE_BYTES / 2 + 1));
    }
}
