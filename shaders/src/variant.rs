//! What a rewritten kernel is made for, and the interface it shares with the backend: the parameter block, the
//! table's entries, the guard words and the list of bindings.
//!
//! Addresses are in 32-bit words. A binding's word `w` is found
//! - *slid*: at window word `base_word + (w - slice_start_word)`, when that difference is below `slice_words`;
//! - *paged*: in the frame that `table[page_base + (w + first_word) / page_words]` names.
//!
//! Words are counted in 32 bits, but for a binding that is [far](How::Far).
//!
//! What is found in neither way goes to the guard words at the start of every window: loads read
//! [`READ_GUARD`] words, which are always zero, stores and atomics fall into the [`WRITE_GUARD`] words.

/// Words before the first frame of every window.
pub const GUARD_WORDS: u32 = 64;
/// The first of 32 words that are always zero and never written.
pub const READ_GUARD: u32 = 0;
/// The first of 32 words that take what must not be stored.
pub const WRITE_GUARD: u32 = 32;
/// A table entry's bit: the page is resident.
pub const ENTRY_VALID: u32 = 1;
/// A table entry's bit: the pass may store to the page.
pub const ENTRY_WRITABLE: u32 = 2;
/// A table entry's window starts at this bit (8 bits).
pub const ENTRY_WINDOW_SHIFT: u32 = 2;
/// A table entry without this mask is the frame's first word, counted from the end of the guard words.
pub const ENTRY_FLAGS: u32 = 1023;
/// Words of one record before the touch bits: the first is non-zero when a lane of a probe stopped, or a checked run
/// missed a page.
pub const REPORT_HEADER_WORDS: u32 = 1;

/// What the rewritten kernel does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// The kernel itself.
    Run,
    /// Only the addresses it would touch: no effect on the user's memory.
    Probe,
    /// The kernel itself, where not all that it touches may be there. Every page touched is noted as by a probe. An
    /// access to a page that is missing, or may not be stored to, raises the record's flag besides: the load gives zero, the
    /// store or atomic is dropped, and loops that memory might keep going for ever are left. What was stored until
    /// then is for the caller to undo.
    Checked,
}

impl Mode {
    /// Whether the kernel stores.
    #[must_use]
    pub const fn has_effects(self) -> bool {
        !matches!(self, Self::Probe)
    }
}

/// How a storage binding's bytes are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum How {
    /// In one run of frames of this window.
    Slid {
        /// The window.
        window: u32,
    },
    /// As slid, and all of the binding lies there: what is in bounds cannot stray, so nothing is confined.
    Whole {
        /// The window.
        window: u32,
    },
    /// Through the page table, in any window.
    Paged,
    /// As paged, and all its pages that are resident lie in this window: there is nothing to choose.
    PagedIn {
        /// The window.
        window: u32,
    },
    /// As paged, and so long that its words are counted in 64 bits: slower.
    Far,
}

impl How {
    /// The only window that the binding lies in, where it is known.
    #[must_use]
    pub const fn window(self) -> Option<u32> {
        match self {
            Self::Slid { window } | Self::Whole { window } | Self::PagedIn { window } => {
                Some(window)
            }
            Self::Paged | Self::Far => None,
        }
    }

    /// Whether it is found through the page table.
    #[must_use]
    pub const fn is_paged(self) -> bool {
        matches!(self, Self::Paged | Self::PagedIn { .. } | Self::Far)
    }
}

/// What to rewrite an entry point for: a key of compiled kernels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// What the kernel does.
    pub mode: Mode,
    /// log2 of the page size in bytes: 12 to 21.
    pub page_shift: u32,
    /// Windows of the device: 1 to 256.
    pub windows: u32,
    /// How each storage binding is found, in the order of [`Entry::storage`](crate::Entry::storage);
    /// all paged, in one way or another, in a probe; so or whole in a checked run.
    pub bindings: Vec<How>,
}

/// One binding of group 0 of a rewritten kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    /// Its number in group 0.
    pub binding: u32,
    /// What to bind.
    pub kind: SlotKind,
}

/// What is bound to a [`Slot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SlotKind {
    /// A uniform with a dynamic offset: [`Params`].
    Params,
    /// A read-only storage buffer: the page table, `array<u32>`.
    Table,
    /// A read-write storage buffer, `array<atomic<u32>>`: word 0 is set in a run that left its confinement;
    /// the records of a probe or a checked run otherwise.
    Report,
    /// The whole of a window.
    Window {
        /// The window.
        window: u32,
        /// Whether it is bound read-write (all slots of one window agree).
        write: bool,
    },
}

/// The parameter block of one dispatch, an array of `vec4<u32>`: two for the dispatch, three for each storage binding.
///
/// Push the bindings in the order of [`Entry::storage`](crate::Entry::storage), each with the method of its [`How`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    words: Vec<u32>,
}

/// Parameters of a slid binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SlidParams {
    /// The binding's first word that the pass may touch.
    pub slice_start_word: u32,
    /// Words of the slice. Start and end lie on multiples of the binding's alignment.
    pub slice_words: u32,
    /// The window's word that holds the slice's first.
    pub base_word: u32,
    /// Elements of the runtime-sized array.
    pub count: u32,
}

/// Parameters of a paged binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PagedParams {
    /// The table's index of the page that holds the binding's first byte.
    pub page_base: u32,
    /// The word in that page where the binding begins.
    pub first_word: u32,
    /// Words of the binding; not looked at of one that is far.
    pub len_words: u32,
    /// Elements of the runtime-sized array.
    pub count: u32,
    /// Probes and checked runs: the first word of this binding's touch bits, counted from the report base; 0 in a run.
    pub touch_base: u32,
}

impl Params {
    /// `vec4`s of the block of an entry point with so many storage bindings.
    #[must_use]
    pub const fn vectors(bindings: usize) -> u32 {
        2 + 3 * bindings as u32
    }

    /// A block for the dispatch whose first workgroup is `start` of a grid of `grid`;
    /// `report_base` is the word of its record in the report.
    #[must_use]
    pub fn new(start: [u32; 3], grid: [u32; 3], report_base: u32) -> Self {
        let [x, y, z] = start;
        let [gx, gy, gz] = grid;
        Self {
            words: vec![x, y, z, report_base, gx, gy, gz, 0],
        }
    }

    /// The next storage binding, slid.
    pub fn push_slid(&mut self, p: SlidParams) -> &mut Self {
        self.words
            .extend([p.slice_start_word, p.slice_words, p.base_word, p.count]);
        self.words.extend([0; 8]);
        self
    }

    /// The next storage binding, paged.
    pub fn push_paged(&mut self, p: PagedParams) -> &mut Self {
        self.words.extend([0, p.len_words, 0, p.count]);
        self.words
            .extend([p.page_base, p.first_word, p.len_words, p.touch_base]);
        self.words.extend([0; 4]);
        self
    }

    /// The block's words.
    #[must_use]
    pub fn words(&self) -> &[u32] {
        &self.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn params_lie_where_the_rewriter_reads_them() {
        let mut p = Params::new([1, 2, 3], [4, 5, 6], 7);
        p.push_slid(SlidParams {
            slice_start_word: 10,
            slice_words: 11,
            base_word: 12,
            count: 13,
        });
        p.push_paged(PagedParams {
            page_base: 20,
            first_word: 21,
            len_words: 22,
            count: 23,
            touch_base: 24,
        });
        let w = p.words();
        assert_eq!(w.len() as u32, 4 * Params::vectors(2));
        assert_eq!(w[..8], [1, 2, 3, 7, 4, 5, 6, 0]);
        assert_eq!(w[8..12], [10, 11, 12, 13]);
        assert_eq!(w[20..28], [0, 22, 0, 23, 20, 21, 22, 24]);
    }
}
