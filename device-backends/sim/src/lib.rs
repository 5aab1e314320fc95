//! A device for gmem with no GPU in it: the whole manager runs on it, in any test, on any machine.
//!
//! [`SimDevice`] keeps the contract of [`gmem_hal::Device`] to the letter and uses all the freedom that it leaves to be
//! unpleasant: memory that `grow` gives is full of [`GARBAGE`], a failed copy leaves rubbish where the contract lets it, calls
//! take their time, and any call can be made to fail.
//!
//! | type | what it is |
//! |---|---|
//! | [`SimOptions`], [`SimDevice`] | the device: capacity, window size, latency, seed |
//! | [`Call`], [`Injection`] | errors at the n-th call, or by chance, or for ever (a lost device) |
//! | [`SimKernel`], [`SimThread`] | a kernel as a Rust closure, and what it sees of the device |
//! | [`SimStop`] | why a workgroup did not finish |
//!
//! What a broken manager would hide behind is checked here instead: a frame that does not exist, a page beyond the space or a
//! second `attach` panics with a message; an access without a translation, or outside a slid slice, fails the pass.
//! Calls from several threads interleave access by access: nothing but the accesses themselves is atomic.
#![forbid(unsafe_code)]

mod device;
mod findings;
mod inject;
mod kernel;
mod memory;
mod rng;
mod thread;
mod word;

pub use device::{SimCounts, SimDevice, SimOptions};
pub use inject::{Call, Injection};
pub use kernel::{SimKernel, loads, stores, updates};
pub use memory::GARBAGE;
pub use thread::{SimStop, SimThread};
pub use word::Word;
