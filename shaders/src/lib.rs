//! Shaders for gmem: parse a kernel, find out what it touches, and rewrite it so that its storage accesses go through
//! software translation.
//!
//! - [`Source`] is a shader in WGSL, SPIR-V or GLSL;
//! - [`Program`] is a parsed shader, [`Entry`] one of its compute entry points with its bindings ([`StorageBinding`],
//!   [`ValueBinding`], [`ResourceBinding`]) and its [`Analysis`];
//! - [`Cache`] keeps both, by the content of what they were made of;
//! - [`Entry::rewrite`] makes the module that a backend compiles, for a [`Variant`]: the kernel itself or a probe of
//!   the addresses it touches, each binding *slid* or *paged*;
//! - [`Params`], [`Slot`] and the constants beside them are the interface of a rewritten kernel.
//!
//! Invariants: the user's source is never changed, a rewritten module always validates, and what cannot be
//! translated is a typed [`ShaderError::Unsupported`], never a wrong answer.
#![forbid(unsafe_code)]

mod analysis;
mod cache;
mod error;
mod front;
mod immediate;
mod program;
mod reflect;
mod resource;
mod rewrite;
mod variant;

pub use analysis::{
    AccessKind, Analysis, BindingFootprint, BindingUse, Footprint, FunctionRef, Hazard,
    HazardClass, Origin, Site, Wait, WorkgroupBox,
};
pub use cache::Cache;
pub use error::ShaderError;
pub use front::{Language, Source, panics_are_errors, prelude};
pub use naga;
pub use program::{Entry, Program, Rewritten};
pub use reflect::{Leaf, RuntimeArray, ScalarLeaf, StorageBinding, ValueBinding, ValueKind};
pub use resource::{ResourceBinding, ResourceKind, Texel, TextureShape};
pub use variant::{
    ENTRY_FLAGS, ENTRY_VALID, ENTRY_WINDOW_SHIFT, ENTRY_WRITABLE, GUARD_WORDS, How, Mode,
    PagedParams, Params, READ_GUARD, REPORT_HEADER_WORDS, SlidParams, Slot, SlotKind, Variant,
    WRITE_GUARD,
};
