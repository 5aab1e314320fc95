//! The analysis against plain enumeration: what every invocation of a box touches, computed by a Rust closure.
// A footprint is a list of ranges, often of one.
#![allow(clippy::single_range_in_vec_init)]

mod common;
mod limits;
mod loops;
mod machine;
mod patterns;
mod probes;
mod random;
