//! What it costs to run any kernel over paged memory: reading and rewriting a module, probing, and transactions, each against a
//! named baseline that runs in turn with it. Results are verified.
//!
//! `cargo bench --bench kernels` runs all; `-- rewriting`, `-- probe` or `-- transaction` one part. `GMEM_TEST_ADAPTER=vulkan` (or
//! another backend's name) picks the adapter. Without `--bench`, which only `cargo bench` gives, nothing is measured.

mod common;
#[path = "kernels/probe.rs"]
mod probe;
#[path = "kernels/rewriting.rs"]
mod rewriting;
#[path = "kernels/transaction.rs"]
mod transaction;

use gmem::gpu::{AdapterChoice, BackendName, adapters};

fn main() {
    let given: Vec<String> = std::env::args().skip(1).collect();
    if !given.iter().any(|argument| argument == "--bench") {
        eprintln!("kernels: nothing is measured under test; `cargo bench --bench kernels` does it");
        return;
    }
    let parts: Vec<&String> = given.iter().filter(|a| !a.starts_with('-')).collect();
    let asked = |part: &str| parts.is_empty() || parts.iter().any(|p| part.contains(p.as_str()));
    if asked("rewriting") {
        rewriting::measure();
    }
    let Some(adapter) = adapter() else {
        println!("no adapter: nothing else is measured");
        return;
    };
    if asked("probe") {
        probe::measure(&adapter);
    }
    if asked("transaction") {
        transaction::measure(&adapter);
    }
}

/// The adapter that is asked for, else the first there is.
fn adapter() -> Option<AdapterChoice> {
    let only = std::env::var("GMEM_TEST_ADAPTER").unwrap_or_default();
    let here = adapters();
    let is_here = |b: &&BackendName| here.iter().any(|a| a.backend == b.name());
    let backend = BackendName::ALL
        .iter()
        .filter(is_here)
        .find(|b| only.is_empty() || b.name() == only)?;
    Some(AdapterChoice::Backend(*backend))
}
