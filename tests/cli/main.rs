//! The `gmem` command as a user meets it: demonstrations, kernels over files, mistakes.
//!
//! Adapters: all that there are; `GMEM_TEST_ADAPTER=vulkan|gl|none` restricts them.

mod bad_input;
mod bench;
#[path = "../command/mod.rs"]
mod command;
mod demo;
mod languages;
mod resources;
mod rig;
mod run;
#[path = "../skipped/mod.rs"]
mod skipped;
mod trace;
