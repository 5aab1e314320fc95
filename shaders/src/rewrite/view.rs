//! Typed views: as what a window's bytes are seen, and which of a binding's accesses go through which view.
//!
//! Every byte of a binding has one scalar type in the kernel, so the scalar types of its leaves may each have a view of
//! their own and no location is ever reached through two:
//! - plain scalars and vectors of 32 and 64 bits share one view of words: the binding's 32-bit atomics if it has any, else
//!   whole vectors when every access is of that whole size, else single words (64 bits are two words, the low one
//!   first);
//! - 16-bit scalars have a view of their own type, again of whole vectors when every access is of one. What stores
//!   or loads 16 bits has a device that knows 16-bit storage, since the value itself is of such a type: nothing is emulated
//!   and no neighbour's half of a word is ever written;
//! - atomics have a view of their scalar. Signed and unsigned ones share one as long as none, or only one of the two, is
//!   ordered (`atomicMin`, `atomicMax`); 64-bit and float ones do not share.

use naga::{Scalar, ScalarKind, VectorSize};

use super::layout::Leaf;
use crate::Mode;

/// The element type of the array that a window is seen as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct View {
    /// The scalars it holds.
    pub(super) scalar: Scalar,
    /// Components; `None` for scalars. Never three: its elements are as far apart as they are long.
    pub(super) size: Option<VectorSize>,
    pub(super) atomic: bool,
}

impl View {
    /// `u32`.
    pub(super) const WORD: Self = Self::of(Scalar::U32, None);
    /// `vec2<u32>`.
    pub(super) const PAIR: Self = Self::of(Scalar::U32, Some(VectorSize::Bi));
    /// `vec4<u32>`.
    pub(super) const QUAD: Self = Self::of(Scalar::U32, Some(VectorSize::Quad));

    const fn of(scalar: Scalar, size: Option<VectorSize>) -> Self {
        Self {
            scalar,
            size,
            atomic: false,
        }
    }

    const fn atomic(scalar: Scalar) -> Self {
        Self {
            scalar,
            size: None,
            atomic: true,
        }
    }

    /// Bytes of an element.
    pub(super) fn bytes(self) -> u32 {
        self.size.map_or(1, |s| s as u32) * u32::from(self.scalar.width)
    }

    /// log2 of the words of an element: -1 for half a word.
    pub(super) fn shift(self) -> i32 {
        self.bytes().trailing_zeros() as i32 - 2
    }

    /// The kind of scalars it holds.
    pub(super) fn kind(self) -> ScalarKind {
        self.scalar.kind
    }

    /// What a global of this view is called.
    pub(super) fn name(self) -> String {
        let parts = match self.size {
            None => "",
            Some(VectorSize::Bi) => "_pair",
            Some(_) => "_quad",
        };
        match (self.scalar, self.atomic) {
            (Scalar::U32, false) if parts.is_empty() => "words".to_owned(),
            (Scalar::U32, false) => format!("{}s", &parts[1..]),
            (Scalar::U32, true) => "atomics".to_owned(),
            (Scalar::I32, true) => "signed_atomics".to_owned(),
            (scalar, true) => format!("{}_atomics", crate::reflect::scalar_name(scalar)),
            (scalar, false) => format!("{}{parts}s", crate::reflect::scalar_name(scalar)),
        }
    }
}

/// How many views there may be: each is a storage buffer more of every window that it is used on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sharing {
    /// Each binding has the views that suit it best.
    Least,
    /// No views of vectors.
    Scalars,
    /// No views of vectors, and where one binding's words are atomic, those of all are: slower, and one view less.
    Atomics,
}

impl Sharing {
    /// All of them, the best first.
    pub(super) const ALL: [Self; 3] = [Self::Least, Self::Scalars, Self::Atomics];
}

/// The views of one binding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Views {
    words: View,
    /// Components of every access to 16-bit scalars, when they are all alike.
    halves: Option<VectorSize>,
    atomic_uint: View,
    atomic_sint: View,
    /// Whether there are accesses of at least 32 bits, of 16 bits, and to 64-bit atomics.
    kinds: [bool; 3],
    /// Whether an access is atomic: then the windows are bound read-write.
    pub(super) atomics: bool,
    mode: Mode,
}

impl Views {
    /// The view that a leaf is reached through.
    pub(super) fn of(&self, leaf: &Leaf) -> View {
        match (leaf.atomic, leaf.scalar) {
            (_, Scalar { width: 2, .. }) => View::of(leaf.scalar, self.halves),
            // In a probe nothing is changed, and nothing atomic is looked at.
            (true, _) if self.mode == Mode::Probe => View::WORD,
            (true, Scalar::U32) => self.atomic_uint,
            (true, Scalar::I32) => self.atomic_sint,
            (true, scalar) => View::atomic(scalar),
            (false, _) => self.words,
        }
    }
}

impl Views {
    /// The different [`View::shift`]s of the views that are used.
    pub(super) fn shifts(&self) -> Vec<i32> {
        let halves = View::of(Scalar::F16, self.halves).shift();
        let all = [self.words.shift(), halves, 1];
        let mut out: Vec<i32> = (all.into_iter().zip(self.kinds))
            .filter_map(|(shift, used)| used.then_some(shift))
            .collect();
        out.sort_unstable();
        out.dedup();
        out
    }
}

/// What a binding's accesses are: what its views are chosen by.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    atomic_uint: bool,
    atomic_sint: bool,
    atomic_float: bool,
    atomic_wide: bool,
    /// An ordering of unsigned atomics: they cannot be seen as signed ones.
    ordered_uint: bool,
    /// An ordering of signed atomics.
    ordered_sint: bool,
    words: Sizes,
    halves: Sizes,
}

/// Sizes that accesses have, in components.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sizes {
    one: bool,
    two: bool,
    four: bool,
}

impl Sizes {
    fn add(&mut self, components: u32) {
        match components {
            2 => self.two = true,
            4 => self.four = true,
            _ => self.one = true,
        }
    }

    /// The one size of all, if it is a vector's.
    fn vector(self) -> Option<VectorSize> {
        match (self.one, self.two, self.four) {
            (false, true, false) => Some(VectorSize::Bi),
            (false, false, true) => Some(VectorSize::Quad),
            _ => None,
        }
    }
}

impl Seen {
    /// Notes an access to an atomic.
    pub(super) fn atomic(&mut self, scalar: Scalar, ordered: bool) {
        match scalar {
            Scalar::U32 => {
                self.atomic_uint = true;
                self.ordered_uint |= ordered;
            }
            Scalar::I32 => {
                self.atomic_sint = true;
                self.ordered_sint |= ordered;
            }
            Scalar::F32 => self.atomic_float = true,
            _ => self.atomic_wide = true,
        }
    }

    /// Notes an access to so many components of a scalar.
    pub(super) fn plain(&mut self, scalar: Scalar, components: u32) {
        match scalar.width {
            2 => self.halves.add(components),
            width => self.words.add(components * u32::from(width) / 4),
        }
    }

    /// The views of each binding.
    pub(super) fn all(seen: &[Self], mode: Mode, sharing: Sharing) -> Vec<Views> {
        let mut all: Vec<Views> = seen.iter().map(|s| s.views(mode)).collect();
        if sharing != Sharing::Least {
            for views in &mut all {
                views.words.size = None;
                views.halves = None;
            }
        }
        // What compares signed or unsigned keeps its own, so best all have that.
        let ordered = |seen: &Self| seen.ordered_uint || seen.ordered_sint;
        let atomic = (all.iter().zip(seen)).filter(|(views, _)| views.words.atomic);
        let shared = atomic.min_by_key(|(views, seen)| (!ordered(seen), views.words));
        if sharing == Sharing::Atomics
            && let Some(shared) = shared.map(|(views, _)| views.words)
        {
            for (views, seen) in all.iter_mut().zip(seen) {
                if !ordered(seen) {
                    views.words = shared;
                    views.atomic_uint = shared;
                    views.atomic_sint = shared;
                    views.atomics = true;
                }
            }
        }
        all
    }

    fn views(&self, mode: Mode) -> Views {
        let (uint, sint) = (View::atomic(Scalar::U32), View::atomic(Scalar::I32));
        let (atomic_uint, atomic_sint) = match (self.ordered_uint, self.ordered_sint) {
            (true, true) => (uint, sint),
            (false, true) => (sint, sint),
            (true, false) => (uint, uint),
            (false, false) if self.atomic_uint => (uint, uint),
            (false, false) => (sint, sint),
        };
        let words = match (self.atomic_uint, self.atomic_sint) {
            _ if mode == Mode::Probe => None,
            (true, _) => Some(atomic_uint),
            (false, true) => Some(atomic_sint),
            (false, false) => None,
        };
        Views {
            words: words.unwrap_or(match self.words.vector() {
                Some(VectorSize::Bi) => View::PAIR,
                Some(_) => View::QUAD,
                None => View::WORD,
            }),
            halves: self.halves.vector(),
            atomic_uint,
            atomic_sint,
            kinds: [
                self.words != Sizes::default()
                    || self.atomic_uint
                    || self.atomic_sint
                    || self.atomic_float
                    || self.atomic_wide,
                self.halves != Sizes::default(),
                self.atomic_wide && mode.has_effects(),
            ],
            atomics: mode.has_effects()
                && (self.atomic_uint || self.atomic_sint || self.atomic_float || self.atomic_wide),
            mode,
        }
    }
}
