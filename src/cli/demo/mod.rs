//! The demonstrations: four kernels as anybody would write them, their data, and independent computations to compare with.

pub mod budget;
pub mod heat;
pub mod histogram;
pub mod pagerank;
pub mod play;
pub mod runner;
pub mod stage;
pub mod triad;
pub mod twins;
pub mod verify;

#[cfg(test)]
mod kernels_tests;
