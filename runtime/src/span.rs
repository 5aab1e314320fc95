//! Spans: the pages that a binding may be asked for.
//!
//! An ordinary binding lies in one region: its span is all pages from the first to the last. The binding that pointers are
//! followed in reaches from the lowest to the highest region that the launch may reach, with holes and other people's regions
//! between: of its pages only those of the named ranges are ever claimed.

use std::ops::Range;

use gmem_hal::{Access, ByteRange, Geometry, Launch, Touched};

use crate::claim::Needs;

/// The pages of a binding.
pub(crate) struct Span {
    /// From the first to the last.
    pub(crate) pages: Range<u64>,
    /// Those that may be touched, where they are not all: which may be loaded from, and which stored to. Normalized.
    parts: Option<Needs>,
}

impl Span {
    /// The spans of a launch's bindings.
    pub(crate) fn all(launch: &Launch, geometry: &Geometry) -> Vec<Self> {
        let bound = launch.bound.iter().enumerate();
        let span = |(b, bound): (usize, &ByteRange)| Self {
            pages: geometry.pages_of(*bound),
            parts: launch.follows(b).then(|| {
                let mut parts = Needs::default();
                for reached in &launch.reach {
                    let pages = geometry.pages_of(reached.bytes);
                    parts.add(pages.clone(), Access::Read);
                    if reached.writable {
                        parts.add(pages, Access::Write);
                    }
                }
                parts.normalize();
                parts
            }),
        };
        bound.map(span).collect()
    }

    /// How many pages may be touched.
    pub(crate) fn count(&self) -> u64 {
        match &self.parts {
            Some(parts) => parts.count(),
            None => self.pages.end - self.pages.start,
        }
    }

    /// Adds those of some pages that may be touched so to what is needed.
    pub(crate) fn add(&self, pages: Range<u64>, access: Access, to: &mut Needs) {
        let pages = pages.start.max(self.pages.start)..pages.end.min(self.pages.end);
        if pages.is_empty() {
            return;
        }
        match &self.parts {
            Some(parts) => to.add_common(parts, &pages, access),
            None => to.add(pages, access),
        }
    }

    /// Adds all that may be touched so.
    pub(crate) fn add_all(&self, access: Access, to: &mut Needs) {
        self.add(self.pages.clone(), access, to);
    }
}

/// Adds what a probe or an attempt touched of each binding.
pub(crate) fn add_touched(spans: &[Span], touched: &[Touched], to: &mut Needs) {
    for (span, touched) in spans.iter().zip(touched) {
        for (pages, access) in [
            (&touched.reads, Access::Read),
            (&touched.writes, Access::Write),
        ] {
            for run in pages.chunk_by(|a, b| a + 1 == *b) {
                let start = span.pages.start + u64::from(run[0]);
                span.add(start..start + run.len() as u64, access, to);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_span_with_holes_only_its_parts_are_needed() {
        let mut parts = Needs::default();
        for (pages, access) in [
            (10..12, Access::Read),
            (20..24, Access::Read),
            (20..24, Access::Write),
            (22..30, Access::Read),
        ] {
            parts.add(pages, access);
        }
        parts.normalize();
        let span = Span {
            pages: 10..30,
            parts: Some(parts),
        };
        assert_eq!(span.count(), 12);
        let needs = |pages, access| {
            let mut needs = Needs::default();
            span.add(pages, access, &mut needs);
            needs.normalize();
            needs.pages()
        };
        let pages = |found: Vec<(u64, Access)>| found.into_iter().map(|f| f.0).collect::<Vec<_>>();
        assert_eq!(pages(needs(0..100, Access::Write)), [20, 21, 22, 23]);
        assert_eq!(pages(needs(11..22, Access::Read)), [11, 20, 21]);
        assert!(needs(12..20, Access::Read).is_empty(), "a hole is nobody's");
        assert!(
            needs(11..12, Access::Write).is_empty(),
            "it may only be read"
        );
    }
}
