//! How much device memory a demonstration gets, and in pages of which size.
//!
//! By default an eighth of its data, so that most of it is elsewhere at any time. A workgroup runs only when all that it touches
//! is resident: where pages are so large that this does not fit, they are made smaller, unless somebody said how large they are.

use gmem_hal::{PageSize, counted};

use crate::cli::args::Common;
use crate::cli::size;

/// The least factor of data over device memory when nobody says how much memory.
const FACTOR: u64 = 4;
/// The factor that is aimed at.
const WANTED_FACTOR: u64 = 8;

/// Device memory and page size of a demonstration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// The page.
    pub page: PageSize,
    /// The cap on device memory in bytes.
    pub memory: u64,
    /// What a person should know of how it came about.
    pub note: Option<String>,
}

/// What is known before a budget is settled.
pub struct Terms<'a> {
    /// What was asked for.
    pub common: &'a Common,
    /// The demonstration's name.
    pub name: &'a str,
    /// Bytes of its data.
    pub data: u64,
    /// Bytes of device memory that hold no data.
    pub overhead: u64,
    /// Whether less memory than works is raised to what works, instead of failing.
    pub raise: bool,
}

/// Settles the budget. `least` says how many pages of so many bytes one workgroup needs.
pub fn settle(terms: &Terms<'_>, least: impl Fn(u64) -> u64) -> Budget {
    let first = terms.common.page_size.unwrap_or_default();
    let pages: Vec<PageSize> = match terms.common.page_size {
        Some(page) => vec![page],
        None => std::iter::successors(Some(first), |page| PageSize::new(page.bytes() / 2).ok())
            .collect(),
    };
    let need = |page: PageSize| least(page.bytes()) * page.bytes() + terms.overhead;
    let shrunk = |page: PageSize| {
        (page != first).then(|| {
            format!(
                "{}: pages of {} instead of {}, of which one workgroup touches {} at once.",
                terms.name,
                size::show(page.bytes()),
                size::show(first.bytes()),
                size::show(need(first)),
            )
        })
    };
    if let Some(memory) = terms.common.device_memory {
        let fitting = pages.iter().copied().find(|page| need(*page) <= memory);
        return match fitting {
            Some(page) => Budget {
                page,
                memory,
                note: shrunk(page),
            },
            None if terms.raise => {
                let page = economical(&pages, need);
                Budget {
                    page,
                    memory: need(page),
                    note: Some(format!(
                        "{}: one workgroup touches {} of {} at once, so in such pages {} bytes ({}) is the smallest \
                         device memory that it runs in: it got that instead of the {} asked for.",
                        terms.name,
                        counted(least(page.bytes()), "page"),
                        size::show(page.bytes()),
                        need(page),
                        size::show(need(page)),
                        size::show(memory),
                    )),
                }
            }
            // The launch says what it would need.
            None => Budget {
                page: first,
                memory,
                note: None,
            },
        };
    }
    for factor in [WANTED_FACTOR, FACTOR] {
        for page in pages.iter().copied() {
            let memory = share(terms.data, factor, page);
            if need(page) <= memory {
                return Budget {
                    page,
                    memory,
                    note: shrunk(page),
                };
            }
        }
    }
    let page = economical(&pages, need);
    let memory = need(page);
    let note = Some(format!(
        "{}: one workgroup touches {} at once, which is more than a quarter of the data: it got that much device memory.",
        terms.name,
        size::show(memory),
    ));
    Budget { page, memory, note }
}

/// The largest of the pages that need hardly more memory than any other: small ones cost time.
fn economical(pages: &[PageSize], need: impl Fn(PageSize) -> u64) -> PageSize {
    let least = pages.iter().map(|page| need(*page)).min().unwrap_or(0);
    let few = pages
        .iter()
        .copied()
        .find(|page| need(*page) <= least + least / 4);
    few.unwrap_or_default()
}

/// A part of the data, in whole pages.
fn share(data: u64, parts: u64, page: PageSize) -> u64 {
    data / parts / page.bytes() * page.bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle_with(common: &Common, data: u64, raise: bool, least: impl Fn(u64) -> u64) -> Budget {
        let terms = Terms {
            common,
            name: "demo",
            data,
            overhead: 256,
            raise,
        };
        settle(&terms, least)
    }

    #[test]
    fn device_memory_is_an_eighth_of_the_data_in_whole_pages() {
        let budget = settle_with(&Common::default(), (128 << 20) + 5, false, |_| 3);
        assert_eq!(
            budget,
            Budget {
                page: PageSize::default(),
                memory: 16 << 20,
                note: None
            }
        );
    }

    #[test]
    fn small_data_get_small_pages_and_keep_the_factor() {
        // Ten pages of any size.
        let budget = settle_with(&Common::default(), 1 << 20, false, |_| 10);
        assert_eq!((budget.page.bytes(), budget.memory), (8192, 1 << 17));
        assert!(
            budget
                .note
                .unwrap()
                .contains("pages of 8 KiB instead of 64 KiB")
        );
        // A footprint that no page size changes much: a quarter is the next best.
        let wide = |page: u64| 200_000_u64.div_ceil(page) + 1;
        let budget = settle_with(&Common::default(), 1 << 20, false, wide);
        assert_eq!(budget.memory, 1 << 18);
        // Data that are all one footprint.
        let budget = settle_with(&Common::default(), 100, false, |_| 2);
        assert_eq!(
            (budget.page, budget.memory),
            (PageSize::MIN, 2 * 4096 + 256)
        );
        assert!(budget.note.unwrap().contains("more than a quarter"));
    }

    #[test]
    fn what_was_asked_for_is_kept_where_it_works() {
        let asked = |memory, page: Option<u64>| Common {
            device_memory: Some(memory),
            page_size: page.map(|bytes| PageSize::new(bytes).unwrap()),
            ..Common::default()
        };
        let budget = settle_with(&asked(1 << 20, None), 1 << 30, true, |_| 3);
        assert_eq!(
            (budget.page, budget.memory, budget.note),
            (PageSize::default(), 1 << 20, None)
        );
        let budget = settle_with(&asked(1 << 17, None), 1 << 30, true, |_| 3);
        assert_eq!((budget.page.bytes(), budget.memory), (1 << 15, 1 << 17));
        // With a page size that was asked for too there is no other way than more memory, or an error.
        let both = asked(1 << 17, Some(1 << 16));
        let budget = settle_with(&both, 1 << 30, true, |_| 3);
        assert_eq!(
            (budget.page.bytes(), budget.memory),
            (1 << 16, 3 * 65_536 + 256)
        );
        assert!(budget.note.unwrap().contains("196864 bytes"));
        // Free to choose, it takes the largest page that hardly costs more: scattered over 200,000 bytes, and four streams.
        let wide = |page: u64| 200_000_u64.div_ceil(page) + 4;
        let budget = settle_with(&asked(1 << 17, None), 1 << 30, true, wide);
        assert_eq!(
            (budget.page.bytes(), budget.memory),
            (8192, 29 * 8192 + 256)
        );
        let budget = settle_with(&both, 1 << 30, false, |_| 3);
        assert_eq!((budget.memory, budget.note), (1 << 17, None));
    }
}
