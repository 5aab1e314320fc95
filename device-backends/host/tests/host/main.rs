//! What a host memory promises, tried with real touches of real pages, under each mechanism that this machine has.
#![cfg(target_os = "linux")]

mod bench_baseline;
mod common;
mod deaths;
mod open;
mod rights;
#[path = "../../../../tests/skipped/mod.rs"]
mod skipped;
mod threads;
