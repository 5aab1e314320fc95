//! Says what a test leaves out, and why, even when the test passes.

#![allow(dead_code, reason = "not every test leaves something out")]

use std::fmt::Display;
use std::io::Write as _;

/// A line on standard error, with the name of the test. (The test harness keeps what passing tests print, so it is written past it.)
pub fn skipped(why: impl Display) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Nobody reading it is no reason to fail.
    let _ = writeln!(std::io::stderr(), "skipped in {test}: {why}");
}
